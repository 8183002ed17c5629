"""Is one score better than another on the same patients? Differences with their intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from ctrs.errors import InputRejected
from ctrs.survival.censoring import staying
from ctrs.survival.checks import outcomes, require
from ctrs.survival.influence import auc_influence, concordance_influence
from ctrs.types import Floats, Mask

REPLICATES = 2000
MOST_DRAWN = 2500  # patients; a replicate takes steps with their square
MAX_UNDEFINED = 0.05  # share of replicates without a pair, or without a death by the time
_AT_ONCE = 250  # replicates; keeps the working arrays below 20 MB
_PARTS = 8  # of the deaths by time: the early ones' pairs only are with nearly everybody

Counts = npt.NDArray[np.float32]  # whole numbers, as the matrix products need them


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
    """A C-index or AUC with its 95 % interval."""

    estimate: float
    lower: float
    upper: float
    n_patients: int


@dataclass(frozen=True)
class Measured:
    """Scores measured on the same patients, and how far each depends on who they are.

    Attributes:
        values: C-index or AUC of each score.
        spread: Of each score its values on the replicates, shape ``(replicates,)``, or, if not
            ``drawn``, the influence of each patient, shape ``(n_patients,)``. The difference of
            two scores' is that of their difference.
    """

    values: dict[str, float]
    spread: dict[str, Floats]
    drawn: bool
    n_patients: int

    def estimate(self, name: str) -> Estimate:
        """One score with its interval."""
        value = self.values[name]
        return Estimate(value, *self._interval(value, self.spread[name]), self.n_patients)

    def difference(self, reference: str, name: str) -> Difference:
        """The reference minus another score, with its interval."""
        first, second = self.values[reference], self.values[name]
        lower, upper = self._interval(first - second, self.spread[reference] - self.spread[name])
        return Difference(first - second, lower, upper, first, second, self.n_patients)

    def _interval(self, value: float, spread: Floats) -> tuple[float, float]:
        if self.drawn:
            return _percentiles(spread)
        lower, upper = norm.interval(0.95, value, np.sqrt((spread**2).sum()))
        return float(lower), float(upper)


def paired_differences(
    months: npt.ArrayLike,
    event: npt.ArrayLike,
    scores: Mapping[str, npt.ArrayLike],
    reference: str,
    replicates: int = REPLICATES,
    seed: int = 1,
    auc_at: float | None = None,
) -> dict[str, Difference]:
    """How much better one score orders patients than each of the others; as `measured_scores`.

    Args:
        scores: By name; higher = lives longer. A patient for whom one of them is missing is
            left out of all.
        reference: The score that the others are taken from.

    Returns:
        By name of the other score; reference minus other.

    Raises:
        InputRejected: ``reference`` is no score, or as in `harrell_c`.
    """
    if reference not in scores:
        raise InputRejected(
            f"There is no score “{reference}” among {len(scores)}.", "Name one of the scores."
        )
    measured = measured_scores(months, event, scores, replicates, seed, auc_at)
    return {name: measured.difference(reference, name) for name in scores if name != reference}


def bootstrap_estimates(
    months: npt.ArrayLike,
    event: npt.ArrayLike,
    scores: Mapping[str, npt.ArrayLike],
    replicates: int = REPLICATES,
    seed: int = 1,
    auc_at: float | None = None,
) -> dict[str, Estimate]:
    """Harrell's C (or the AUC at a time) of each score with its interval; as `measured_scores`."""
    measured = measured_scores(months, event, scores, replicates, seed, auc_at)
    return {name: measured.estimate(name) for name in scores}


def measured_scores(
    months: npt.ArrayLike,
    event: npt.ArrayLike,
    scores: Mapping[str, npt.ArrayLike],
    replicates: int = REPLICATES,
    seed: int = 1,
    auc_at: float | None = None,
) -> Measured:
    """Scores on the same patients, for intervals of each and of their differences.

    Up to 2,500 patients by paired bootstrap: each replicate draws the patients anew and measures
    all scores on the same draw; intervals are percentiles. Of more by the infinitesimal
    jackknife, which comes to the same for many patients and takes no replicates.

    Args:
        scores: By name; higher = lives longer. A patient for whom one of them is missing is
            left out of all.
        auc_at: ``None``: Harrell's C, as `harrell_c`; a number of months: the AUC then, as
            `ctrs.survival.auc_at`, with the weights of each replicate.

    Raises:
        InputRejected: As `harrell_c`.
        TooFewPatients: Nothing can be ordered, on all patients or (when an interval is asked
            for) in over 5 % of replicates.

    Source:
        Percentile interval: Efron & Tibshirani, An Introduction to the Bootstrap (1993), ch. 13;
        infinitesimal jackknife, ch. 21: same as R's ``concordance``.
    """
    times, died, columns = _complete(months, event, scores)
    # Of one day deaths come first: everybody behind them outlived them.
    order = np.lexsort([~died, times])
    times, died = times[order], died[order]
    sorted_scores = {n: column[order] for n, column in zip(scores, columns, strict=True)}
    if drawn := len(times) <= MOST_DRAWN:
        values, spread = _drawn(times, died, sorted_scores, replicates, seed, auc_at)
    else:
        values, spread = _influences(times, died, sorted_scores, auc_at)
    require(
        bool(np.isfinite(list(values.values())).all()) and len(times) > 0,
        f"{len(times)} patients with {int(died.sum())} deaths give no pair to be ordered.",
    )
    return Measured(values, spread, drawn, len(times))


def _influences(
    months: Floats, event: Mask, scores: Mapping[str, Floats], auc_at: float | None
) -> tuple[dict[str, float], dict[str, Floats]]:
    found = {
        name: concordance_influence(months, event, score)
        if auc_at is None
        else auc_influence(months, event, score, auc_at)
        for name, score in scores.items()
    }
    return {n: one[0] for n, one in found.items()}, {n: one[1] for n, one in found.items()}


def _drawn(
    months: Floats,
    event: Mask,
    scores: Mapping[str, Floats],
    replicates: int,
    seed: int,
    auc_at: float | None,
) -> tuple[dict[str, float], dict[str, Floats]]:
    """Each score on the patients as they are, and on each replicate."""
    pairs: _ConcordantPairs | _CaseControlPairs
    if auc_at is None:
        pairs = _ConcordantPairs(months, event)
    else:
        pairs = _CaseControlPairs(months, event, auc_at)
    draws = _draws(len(months), replicates, seed)
    measured = {name: pairs.measure(score, draws) for name, score in scores.items()}
    return (
        {name: float(values[0]) for name, values in measured.items()},
        {name: values[1:] for name, values in measured.items()},
    )


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


@lru_cache(maxsize=1)  # a page asks several measures of the same patients
def _draws(n: int, replicates: int, seed: int) -> Counts:
    """How often each patient is in each replicate, ``(1 + replicates, patients)``; first: once."""
    chosen = np.random.default_rng(seed).integers(0, max(n, 1), (replicates, n), dtype=np.int32)
    counts = np.ones((1 + replicates, n), np.float32)
    for row, drawn in enumerate(chosen, start=1):
        counts[row] = np.bincount(drawn, minlength=n)
    counts.flags.writeable = False
    return counts


def _percentiles(values: Floats) -> tuple[float, float]:
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
        self._dead = np.flatnonzero(event)
        # Behind the deaths of a day stand those who outlived them.
        days = np.searchsorted(months[self._dead], months[self._dead], "right")
        self._outlived_from = self._dead[days - 1] + 1

    def measure(self, score: Floats, draws: Counts) -> Floats:
        concordant = np.zeros(len(draws))
        for part in np.array_split(np.arange(len(self._dead)), _PARTS):
            if len(part):
                concordant += self._concordant(score, draws, part)
        return _ratio(concordant, self._pairs(draws))

    def _concordant(self, score: Floats, draws: Counts, part: npt.NDArray[np.int_]) -> Floats:
        dead, start = self._dead[part], int(self._outlived_from[part[0]])
        right = _agreement(score[dead], score[start:])
        right *= np.arange(start, len(score)) >= self._outlived_from[part, None]
        sums = [
            np.einsum("rd,rd->r", some[:, dead], some[:, start:] @ right.T, dtype=float)
            for some in _chunks(draws)
        ]
        return np.concatenate(sums)

    def _pairs(self, draws: Counts) -> Floats:
        total = np.cumsum(draws, axis=1)  # whole numbers, exact
        outlived = total[:, -1:] - total[:, self._outlived_from - 1]
        return np.asarray(np.einsum("rd,rd->r", draws[:, self._dead], outlived, dtype=float))


class _CaseControlPairs:
    """AUC at a time of any draw; who was lost is stood in for with the weights of that draw."""

    def __init__(self, months: Floats, event: Mask, at: float) -> None:
        self._case = np.flatnonzero(event & (months <= at))
        self._control = np.flatnonzero(months > at)
        self._died = event[months <= at]
        # Of each distinct time.
        self._starts = np.flatnonzero(np.diff(months[months <= at], prepend=-np.inf))
        self._case_time = np.searchsorted(months[self._starts], months[self._case])

    def measure(self, score: Floats, draws: Counts) -> Floats:
        right = _agreement(score[self._case], score[self._control])
        return np.concatenate([self._of(right, some) for some in _chunks(draws)])

    def _of(self, right: npt.NDArray[np.float32], draws: Counts) -> Floats:
        controls = draws[:, self._control]
        n_controls = controls.sum(axis=1, dtype=float)
        cases = draws[:, self._case] * self._weights(draws, n_controls)
        concordant = np.einsum("rc,rc->r", cases, controls @ right.T)
        return _ratio(concordant, cases.sum(axis=1) * n_controls)

    def _weights(self, draws: Counts, n_controls: Floats) -> Floats:
        if len(self._starts) == 0:
            return np.ones((len(draws), 0))
        early = draws[:, : len(self._died)]
        died = np.add.reduceat(early * self._died, self._starts, axis=1, dtype=float)
        lost = np.add.reduceat(early * ~self._died, self._starts, axis=1, dtype=float)
        kept = staying(lost, died, n_controls[:, None])[:, self._case_time]
        # Without a control nobody may be left; the ratio is undefined then, whatever the weight.
        return 1.0 / np.where(kept > 0, kept, 1.0)


def _ratio(part: Floats, whole: Floats) -> Floats:
    """NaN where the draw has no pair."""
    ratio: Floats = np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return ratio
