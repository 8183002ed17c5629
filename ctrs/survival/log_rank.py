"""Do groups differ in survival? Two or more groups, in strata, or each pair of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import chi2, false_discovery_control

from ctrs.errors import TooFewPatients
from ctrs.survival.checks import follow_up, require
from ctrs.types import Cohort, Floats, LogRank, Mask


def log_rank(groups: Sequence[Cohort], *, strata: str | None = None, rho: float = 0.0) -> LogRank:
    """Compare the survival of two or more groups.

    A group with nobody under observation at any death says nothing and is not counted, as in R.

    Args:
        strata: A column of the cohorts' tables: patients are compared within its levels only;
            a missing value is a patient left out.
        rho: 0 weighs all deaths alike; 1 weighs early deaths more (Peto).

    Raises:
        TooFewPatients: Fewer than two groups say anything, or no death tells them apart.

    Source:
        Peto & Peto, J. R. Stat. Soc. A 135 (1972) 185-207; weights: Harrington & Fleming,
        Biometrika 69 (1982) 553-566; same as R's ``survdiff``.
    """
    tables = [group.table.assign(_group=number) for number, group in enumerate(groups)]
    everyone = pd.concat(tables) if tables else pd.DataFrame(columns=["months", "event", "_group"])
    parts = [everyone]
    if strata is not None:
        everyone = everyone.dropna(subset=[strata])
        parts = [part for _, part in everyone.groupby(strata, observed=True)]
    k = len(groups)
    observed, expected, variance = np.zeros(k), np.zeros(k), np.zeros((k, k))
    for part in parts:
        months, event = follow_up(part)
        sums = _one_stratum(months, event, part["_group"].to_numpy(dtype=int), k, rho)
        observed, expected, variance = (
            total + new for total, new in zip((observed, expected, variance), sums, strict=True)
        )
    sizes = np.bincount(everyone["_group"].to_numpy(dtype=int), minlength=k)
    return log_rank_of_sums(observed, expected, variance, sizes)


def log_rank_of_sums(
    observed: Floats, expected: Floats, variance: Floats, sizes: npt.NDArray[np.int_]
) -> LogRank:
    """The test that `log_rank` gives, from what was counted of its ``k`` groups.

    Args:
        observed, expected, sizes: Deaths, deaths if all groups were alike, and patients, shape
            ``(k,)``.
        variance: Of ``observed - expected``, shape ``(k, k)``.

    Raises:
        TooFewPatients: As `log_rank`.
    """
    counted = np.flatnonzero(expected > 0)
    require(
        len(counted) > 1,
        f"{len(counted)} of {len(sizes)} groups have patients under observation when somebody"
        " dies; 2 are needed to compare.",
    )
    # The excesses sum to 0: the last says nothing that the others do not.
    excess = (observed - expected)[counted[:-1]]
    variance = variance[np.ix_(counted[:-1], counted[:-1])]
    require(
        np.linalg.matrix_rank(variance, hermitian=True) == len(excess),
        f"No death among {sizes.sum()} patients tells {len(counted)} groups apart.",
    )
    chi_square = float(excess @ np.linalg.solve(variance, excess))
    return LogRank(
        chi_square,
        len(excess),
        float(chi2.sf(chi_square, len(excess))),
        n_patients=tuple(int(n) for n in sizes[counted]),
        observed=tuple(float(deaths) for deaths in observed[counted]),
        expected=tuple(float(deaths) for deaths in expected[counted]),
    )


def _one_stratum(
    months: Floats,
    event: Mask,
    group: npt.NDArray[np.int_],
    k: int,
    rho: float,
) -> tuple[Floats, Floats, Floats]:
    """Observed and expected deaths of each group, and the covariance of their difference."""
    times = np.unique(months[event])
    deaths, left = np.zeros((k, len(times))), np.zeros((k, len(times)))
    for number in range(k):
        own = group == number
        place = np.searchsorted(times, months[own & event])
        deaths[number] = np.bincount(place, minlength=len(times))
        left[number] = own.sum() - np.searchsorted(np.sort(months[own]), times, side="left")
    d, n = deaths.sum(axis=0), left.sum(axis=0)
    weight = np.cumprod(np.append(1.0, 1 - d / n))[:-1] ** rho  # survival just before
    share = left / n
    # Of several deaths on one day each leaves one patient fewer for the next (hypergeometric).
    tied = np.divide(n - d, n - 1, out=np.zeros_like(n), where=n > 1)
    scale = weight**2 * d * tied
    variance = np.diag((share * scale).sum(axis=1)) - (share * scale) @ share.T
    return (deaths * weight).sum(axis=1), (share * d * weight).sum(axis=1), variance


@dataclass(frozen=True)
class PairOfGroups:
    """Log-rank test of two groups out of several.

    Attributes:
        test: ``None`` where the two cannot be compared at all.
        p_adjusted: For the number of pairs that can be.
    """

    first: str
    second: str
    test: LogRank | None
    p_adjusted: float | None


def pairwise_log_rank(groups: Sequence[Cohort]) -> list[PairOfGroups]:
    """Which groups differ from which, at a false discovery rate.

    Source:
        Benjamini & Hochberg, J. R. Stat. Soc. B 57 (1995) 289-300; same as R's
        ``p.adjust(p, "BH")``.
    """
    pairs = list(combinations(groups, 2))
    tests = [_test_or_none(pair) for pair in pairs]
    raw = [test.p_value for test in tests if test is not None]
    adjusted: Iterator[float] = iter(false_discovery_control(raw) if raw else [])
    return [
        PairOfGroups(a.name, b.name, test, None if test is None else float(next(adjusted)))
        for (a, b), test in zip(pairs, tests, strict=True)
    ]


def _test_or_none(pair: tuple[Cohort, Cohort]) -> LogRank | None:
    try:
        return log_rank(pair)
    except TooFewPatients:
        return None
