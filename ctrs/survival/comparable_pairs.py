"""Who is known to have outlived whom, counted for all patients at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ctrs.types import Floats, Mask

Counts: TypeAlias = npt.NDArray[np.int64]
Ranks: TypeAlias = npt.NDArray[np.int32]


@dataclass(frozen=True)
class PairsOfDeaths:
    """For each death, in the order given, how many patients outlived that one.

    Attributes:
        outlived: Followed longer, or lost on the day of the death; another death on that day is
            no pair.
        above, tied: Those of ``outlived`` with a higher score, and with the very same score.
    """

    outlived: Counts
    above: Counts
    tied: Counts


def pairs_of_deaths(months: Floats, event: Mask, score: Floats) -> PairsOfDeaths:
    """Count each death's pairs, exactly, in ``n log n`` steps of whole arrays.

    A death's pairs are all who stand in front of it (`_line`).
    """
    found = _in_front(_line(months, event), _ranks(-score))[:, event]
    return PairsOfDeaths(*found.astype(np.int64))


def pairs_of_everybody(months: Floats, event: Mask, score: Floats) -> tuple[Floats, Floats]:
    """In how many pairs each patient is, and in how many of them the lower score died first.

    As the one who died first or as the one who outlived; a tie of the scores counts half.
    """
    place = _line(months, event)
    first = _in_front(place, _ranks(-score)) * event
    # The deaths behind each one: the line turned round, and of who stands there the dead only.
    place, worth = place.max(initial=0) - place, _ranks(score)
    behind = _in_front(place, worth)
    behind[:, event] = _in_front(place[event], worth[event])
    behind[:, ~event] -= _in_front(place[~event], worth[~event])
    pairs, right, tied = (first + behind).astype(float)
    return pairs, right + tied / 2


def _line(months: Floats, event: Mask) -> Ranks:
    """Places in line, 0 in front: who was followed longest.

    Deaths of one day share a place, behind who was lost on it.
    """
    return _ranks(-months) * np.int32(2) + event


def _in_front(place: Ranks, worth: Ranks) -> Ranks:
    """For each one: how many have a lower place; of them a lower worth; of them the same worth.

    Shape ``(3, patients)``.
    """
    digits = int(place.max(initial=0)).bit_length()
    # How many stand in front of each place, whether somebody stands on it or not.
    ahead = np.zeros(2**digits + 1, dtype=np.int32)
    np.cumsum(np.bincount(place, minlength=2**digits), out=ahead[1:])
    # Of one worth, who stands further back comes first: nobody has an equal before him and ahead.
    order = np.argsort((worth.astype(np.int64) << digits + 1) - place)
    above, tied = np.empty_like(place), np.empty_like(place)
    above[order] = _lower_before(place[order], ahead, digits)
    tied[order] = _lower_in_block(place[order], worth[order])
    return np.stack([ahead[place], above, tied])


def _ranks(values: Floats) -> Ranks:
    """0 for the lowest value, rising by 1; equal for equal values."""
    order = np.argsort(values)
    ranks = np.empty(len(values), dtype=np.int32)
    ranks[order] = np.cumsum(_changes(values[order])) - 1
    return ranks


def _changes(values: npt.NDArray[Any]) -> Mask:
    """Where a value is another than the one before it; true at the first."""
    changes = np.ones(len(values), dtype=bool)
    changes[1:] = values[1:] != values[:-1]
    return changes


def _lower_in_block(place: Ranks, worth: Ranks) -> Ranks:
    """How many of the same worth have a lower place; sorted by worth, then falling by place."""
    of_worth = _changes(worth)
    return _ends(of_worth) - _ends(of_worth | _changes(place))


def _ends(starts: Mask) -> Ranks:
    """For each one, where its block ends; ``starts`` is true at the first of each block."""
    edges = np.append(np.flatnonzero(starts), len(starts)).astype(np.int32)
    return np.repeat(edges[1:], np.diff(edges))


def _lower_before(place: Ranks, ahead: Ranks, digits: int) -> Ranks:
    """How many with a lower place come before each one.

    Sorts by place, one binary digit after the other from the highest. Two places part at the
    highest digit in which they differ: there, in their group, each one with the digit 1 counts
    those with the digit 0 before it.

    Args:
        ahead: How many have a lower place than each: where its group begins.
    """
    n = len(place)
    found, at = np.zeros(n, dtype=np.int32), np.arange(n, dtype=np.int32)
    lefts, whose = np.zeros(n + 1, dtype=np.int32), at
    for digit in reversed(range(digits)):
        half = place >> digit
        ones = np.flatnonzero(half & 1)
        np.cumsum(~half & 1, out=lefts[1:])
        start = ahead[half >> 1 << digit + 1]
        before = lefts[:-1] - lefts[start]
        found[whose[ones]] += before[ones]
        target = start + before
        target[ones] = ahead[half[ones] << digit] + at[ones] - target[ones]
        place, whose = _moved(place, target), _moved(whose, target)
    return found


def _moved(values: Ranks, target: Ranks) -> Ranks:
    moved = np.empty_like(values)
    moved[target] = values
    return moved
