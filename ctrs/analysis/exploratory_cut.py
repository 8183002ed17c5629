"""A cut of the score chosen by looking at who died: only with a p value that pays for the look."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctrs.errors import TooFewPatients
from ctrs.survival import MIN_GROUP
from ctrs.types import Cohort, Floats, Mask

SMALLEST_SHARE = 0.10  # of the patients on either side of a cut that is tried
PERMUTATIONS = 5000
_AT_ONCE = 500


@dataclass(frozen=True)
class ExploratoryCut:
    """Where the score separates these patients best; higher score = lives longer.

    Attributes:
        cut: At it or above = the upper group.
        n_tried: Cuts that were compared.
        p_corrected: How often cutting at the best place separates as much when the score means
            nothing; two-sided, from permutations.
    """

    cut: float
    n_tried: int
    p_corrected: float


def best_cut(cohort: Cohort, permutations: int = PERMUTATIONS, seed: int = 1) -> ExploratoryCut:
    """The cut of ``survival_12m`` with the largest standardised log-rank statistic.

    An ordinary p value at the best of many cuts is far too small. Here the outcomes are dealt
    anew among the patients, and the best cut is searched for in each deal.

    Raises:
        TooFewPatients: Under 20 patients, nobody died, or the scores leave nothing to cut.

    Source:
        Lausen & Schumacher, Biometrics 48 (1992) 73-85; log-rank scores and the permutation:
        Hothorn & Lausen, Comput. Stat. Data Anal. 43 (2003) 121-137.
    """
    table = cohort.table.dropna(subset=["survival_12m"]).sort_values("survival_12m")
    score = table["survival_12m"].to_numpy(dtype=float)
    n, deaths = len(table), int(table["event"].sum())
    least = max(int(np.ceil(SMALLEST_SHARE * n)), MIN_GROUP)
    below = np.flatnonzero(np.diff(score) > 0) + 1  # patients below each possible cut
    below = below[(below >= least) & (below <= n - least)]
    if len(below) == 0 or deaths == 0:
        raise TooFewPatients(
            f"{n} patients with {deaths} deaths leave no cut with {least} on either side.",
            "Use the cut-off of the model, widen the filters or choose a larger cohort.",
        )
    surprise = _log_rank_scores(
        table["months"].to_numpy(dtype=float), table["event"].to_numpy(dtype=bool)
    )
    found = _standardised(surprise[None, :], below)[0]
    random = np.random.default_rng(seed)
    as_good = 0
    for start in range(0, permutations, _AT_ONCE):
        deals = np.tile(surprise, (min(_AT_ONCE, permutations - start), 1))
        dealt = _standardised(random.permuted(deals, axis=1), below)
        as_good += int((dealt.max(axis=1) >= found.max() - 1e-12).sum())
    place = below[int(found.argmax())]
    p_corrected = (1 + as_good) / (1 + permutations)
    return ExploratoryCut(float(score[place]), len(below), p_corrected)


def split_at(cohort: Cohort, cut: float) -> list[Cohort]:
    """Who is at the cut or above, then who is below; named by the score, not as a risk group."""
    score = cohort.table["survival_12m"]
    parts = [
        Cohort(f"Score {cut:.0%} or more", cohort.table[score >= cut]),
        Cohort(f"Score below {cut:.0%}", cohort.table[score < cut]),
    ]
    return [part for part in parts if len(part.table)]


def _log_rank_scores(months: Floats, event: Mask) -> Floats:
    """Death (1 or 0) less the cumulative hazard (Nelson-Aalen) up to each patient's own time."""
    times, place = np.unique(months, return_inverse=True)
    died = np.bincount(place, weights=event, minlength=len(times))
    gone = np.bincount(place, minlength=len(times)).cumsum()
    left = len(months) - np.append(0, gone[:-1])
    return np.asarray(event - np.cumsum(died / left)[place], dtype=np.float64)


def _standardised(surprise: Floats, below: np.ndarray) -> Floats:
    """|sum of the scores below each cut|, by its spread over all deals; ``(deals, cuts)``."""
    n = surprise.shape[1]
    mean, variance = surprise[0].mean(), surprise[0].var(ddof=1)
    sums = surprise.cumsum(axis=1)[:, below - 1] - below * mean
    spread = np.sqrt(variance * below * (n - below) / n)
    return np.asarray(np.abs(sums) / spread, dtype=np.float64)
