"""Is one score better than another on the same patients? Differences with their intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctrs.errors import InputRejected
from ctrs.survival.censoring import staying
from ctrs.survival.checks import outcomes, require
from ctrs.types import Floats, Mask

REPLICATES = 2000
MAX_UNDEFINED = 0.05  # share of replicates without a pair, or without a death by the time
_AT_ONCE = 250  # replicates; keeps the working arrays of 5,000 patients below 100 MB

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Difference:
    """Reference minus other: above 0 = the reference orders the patients better.

    Attributes:
        estimate: On the patients as they are.
        lower, upper: 95 % percentile interval over the replicates.
        reference, other: The two C-indices (or AUCs) themselves.
        n_patients: Who has all the scores.
    """

    estimate: float
    lower: float
    upper: float
    reference: float
    other: float
    n_patients: int


@dataclass(frozen=True)
class Estimate:
    """A C-index or AUC with its 95 % percentile interval over bootstrap replicates."""

    estimate: float
    lower: float
    upper: float
    n_patients: int


def paired_differences(
    months: npt.ArrayLike,
    event: npt.ArrayLike,
    scores: Mapping[str, npt.ArrayLike],
    reference: str,
    replicates: int = REPLICATES,
    seed: int = 1,
    auc_at: float | None = None,
) -> dict[str, Difference]:
    """How much better one score orders patients than each of the others, by paired bootstrap.

    Each replicate draws the patients anew and measures all scores on the same draw.

    Args:
        scores: By name; higher = lives longer. A patient for whom one of them is missing is
            left out of all.
        reference: The score that the others are taken from.
        auc_at: ``None``: Harrell's C, as `harrell_c`; a number of months: the AUC then, as
            `ctrs.survival.auc_at`, with the weights of each replicate.

    Returns:
        By name of the other score; reference minus other.

    Raises:
        InputRejected: ``reference`` is no score, or as in `harrell_c`.
        TooFewPatients: Nothing can be ordered, on all patients or in over 5 % of replicates.

    Source:
        Percentile interval: Efron & Tibshirani, An Introduction to the Bootstrap (1993), ch. 13.
    """
    if reference not in scores:
        raise InputRejected(
            f"There is no score “{reference}” among {len(scores)}.", "Name one of the scores."
        )
    whole, drawn, n = _measured(months, event, scores, replicates, seed, auc_at)
    found = {}
    for name in scores:
        if name != reference:
            lower, upper = _interval(drawn[reference] - drawn[name])
            estimate = whole[reference] - whole[name]
            found[name] = Difference(
                estimate, lower, upper, whole[reference], whole[name], n_patients=n
            )
    return found


def bootstrap_estimates(
    months: npt.ArrayLike,
    event: npt.ArrayLike,
    scores: Mapping[str, npt.ArrayLike],
    replicates: int = REPLICATES,
    seed: int = 1,
    auc_at: float | None = None,
) -> dict[str, Estimate]:
    """Harrell's C (or the AUC at a time) of each score with its interval; as above otherwise."""
    whole, drawn, n = _measured(months, event, scores, replicates, seed, auc_at)
    return {name: Estimate(whole[name], *_interval(drawn[name]), n_patients=n) for name in scores}


def _measured(
    months: npt.ArrayLike,
    event: npt.ArrayLike,
    scores: Mapping[str, npt.ArrayLike],
    replicates: int,
    seed: int,
    auc_at: float | None,
) -> tuple[dict[str, float], dict[str, Floats], int]:
    """Each score on all patients, and on each replicate, shape ``(replicates,)``."""
    times, died, columns = _complete(months, event, scores)
    order = np.argsort(times, kind="stable")
    times, died = times[order], died[order]
    pairs: _ConcordantPairs | _CaseControlPairs
    if auc_at is None:
        pairs = _ConcordantPairs(times, died)
    else:
        pairs = _CaseControlPairs(times, died, auc_at)
    draws = np.concatenate([np.ones((1, len(times)), int), _draws(len(times), replicates, seed)])
    measured = {}
    for name, column in zip(scores, columns, strict=True):
        measured[name] = pairs.measure(column[order], draws)
    whole = {name: float(values[0]) for name, values in measured.items()}
    require(
        bool(np.isfinite(list(whole.values())).all()) and len(times) > 0,
        f"{len(times)} patients with {int(died.sum())} deaths give no pair to be ordered.",
    )
    return whole, {name: values[1:] for name, values in measured.items()}, len(times)


def _complete(
    months: npt.ArrayLike, event: npt.ArrayLike, scores: Mapping[str, npt.ArrayLike]
) -> tuple[Floats, Mask, list[Floats]]:
    columns = [np.asarray(score, dtype=float) for score in scores.values()]
    times, died = np.asarray(months, dtype=float), np.asarray(event, dtype=float)
    if all(column.shape == times.shape == died.shape for column in columns):
        there = np.all([~np.isnan(column) for column in columns], axis=0)
        times, died = times[there], died[there]
        columns = [column[there] for column in columns]
    return outcomes(times, died, *columns)


def _draws(n: int, replicates: int, seed: int) -> Counts:
    """How often each patient is in each replicate, shape ``(replicates, patients)``."""
    random = np.random.default_rng(seed)
    if n == 0:
        return np.zeros((replicates, 0), int)
    return random.multinomial(n, np.full(n, 1.0 / n), size=replicates)


def _interval(values: Floats) -> tuple[float, float]:
    defined = values[np.isfinite(values)]
    require(
        len(defined) >= (1 - MAX_UNDEFINED) * len(values),
        f"{len(values) - len(defined)} of {len(values)} bootstrap replicates have no pair to be"
        f" ordered; {MAX_UNDEFINED:.0%} may.",
    )
    lower, upper = np.percentile(defined, [2.5, 97.5])
    return float(lower), float(upper)


def _chunks(draws: Counts) -> Iterator[Counts]:
    for start in range(0, len(draws), _AT_ONCE):
        yield draws[start : start + _AT_ONCE]


def _agreement(first: Floats, second: Floats) -> npt.NDArray[np.float32]:
    """1 where the first has the lower score, 0.5 for a tie; ``(first, second)``.

    Sums of halves: exact in 32 bits up to 8 million pairs a patient.
    """
    below = (first[:, None] < second[None, :]).astype(np.float32)
    below += np.float32(0.5) * (first[:, None] == second[None, :])
    return below


class _ConcordantPairs:
    """Harrell's C of any draw: each pair counts as often as both patients were drawn.

    A patient drawn twice is no pair with itself: two deaths on one day.
    """

    def __init__(self, months: Floats, event: Mask) -> None:
        later = months[None, :] > months[:, None]
        later |= (months[None, :] == months[:, None]) & ~event[None, :]
        self._dead = np.flatnonzero(event)
        self._comparable = later[self._dead].astype(np.float32)

    def measure(self, score: Floats, draws: Counts) -> Floats:
        right = self._comparable * _agreement(score[self._dead], score)
        return np.concatenate([self._of(right, some) for some in _chunks(draws)])

    def _of(self, right: npt.NDArray[np.float32], draws: Counts) -> Floats:
        weights, dead = draws.astype(np.float32), draws[:, self._dead].astype(float)
        concordant = (dead * (weights @ right.T)).sum(axis=1)
        pairs = (dead * (weights @ self._comparable.T)).sum(axis=1)
        return _ratio(concordant, pairs)


class _CaseControlPairs:
    """AUC at a time of any draw; who was lost is stood in for with the weights of that draw."""

    def __init__(self, months: Floats, event: Mask, at: float) -> None:
        self._case = np.flatnonzero(event & (months <= at))
        self._control = np.flatnonzero(months > at)
        self._event = event
        self._starts = np.flatnonzero(np.diff(months, prepend=-np.inf))  # of each distinct time
        self._case_time = np.searchsorted(months[self._starts], months[self._case])

    def measure(self, score: Floats, draws: Counts) -> Floats:
        right = _agreement(score[self._case], score[self._control])
        return np.concatenate([self._of(right, some) for some in _chunks(draws)])

    def _of(self, right: npt.NDArray[np.float32], draws: Counts) -> Floats:
        controls = draws[:, self._control].astype(np.float32)
        cases = draws[:, self._case] * self._weights(draws)
        concordant = (cases * (controls @ right.T)).sum(axis=1)
        return _ratio(concordant, cases.sum(axis=1) * controls.sum(axis=1, dtype=float))

    def _weights(self, draws: Counts) -> Floats:
        if len(self._starts) == 0:
            return np.ones((len(draws), 0))
        died = np.add.reduceat(draws * self._event, self._starts, axis=1).astype(float)
        lost = np.add.reduceat(draws * ~self._event, self._starts, axis=1).astype(float)
        kept = staying(lost, died)[:, self._case_time]
        # Without a control nobody may be left; the ratio is undefined then, whatever the weight.
        return 1.0 / np.where(kept > 0, kept, 1.0)


def _ratio(part: Floats, whole: Floats) -> Floats:
    """NaN where the draw has no pair."""
    ratio: Floats = np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return ratio
