"""Is a hazard ratio the same early and late? The assumption behind every Cox model, tested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import chi2

from ctrs.types import Floats, Mask

ALPHA = 0.05


@dataclass(frozen=True)
class ProportionalityTest:
    """Test of one covariate (all its levels), or of all together (``covariate = "global"``)."""

    covariate: str
    chi_square: float
    degrees_of_freedom: int
    p_value: float

    @property
    def violated(self) -> bool:
        """The hazard ratio changes over time: one number does not describe it."""
        return self.p_value < ALPHA


def proportional_hazards(
    covariates: Floats,
    months: Floats,
    event: Mask,
    log_hazards: Floats,
    terms: Mapping[str, Sequence[int]],
    strata: pd.Series | None = None,
) -> tuple[ProportionalityTest, ...]:
    """Score tests for a slope of each coefficient over 1 - Kaplan-Meier survival.

    lifelines has the older approximation by Schoenfeld residuals, which gives other numbers.

    Args:
        covariates: Columns of a fitted model, shape ``(patients, coefficients)``.
        log_hazards: Its coefficients, ties by Efron.
        terms: Columns of each covariate.

    Returns:
        One test a covariate, then the global one. NaN where the information is singular.

    Source:
        Grambsch & Therneau, Biometrika 81 (1994) 515-526; exact score test as in R's
        ``cox.zph`` since survival 3.0 (``transform = "km"``).
    """
    clock = _clock(months, event)
    p = covariates.shape[1]
    score, information = np.zeros(p), np.zeros((2 * p, 2 * p))
    labels = np.zeros(len(months), int) if strata is None else pd.factorize(strata)[0]
    centred = covariates - covariates.mean(axis=0)
    weight = np.exp(centred @ log_hazards)
    for label in np.unique(labels[event]):
        own = labels == label
        g, excess, spread = _at_deaths(
            centred[own], weight[own], months[own], event[own], clock[own]
        )
        score += g @ excess
        still, slope, square = (np.tensordot(g**power, spread, 1) for power in range(3))
        information += np.block([[still, slope], [slope, square]])
    everything = {**terms, "global": [column for own in terms.values() for column in own]}
    return tuple(_score_test(name, list(c), score, information) for name, c in everything.items())


def _clock(months: Floats, event: Mask) -> Floats:
    """Of each patient: 1 - survival just before the own time, less its mean over all deaths."""
    times, deaths = np.unique(months[event], return_counts=True)
    left = len(months) - np.searchsorted(np.sort(months), times, side="left")
    before = 1 - np.cumprod(np.append(1.0, 1 - deaths / left))
    own: Floats = before[np.searchsorted(times, months, side="left")]
    own -= own[event].mean()
    return own


def _at_deaths(
    x: Floats, weight: Floats, months: Floats, event: Mask, clock: Floats
) -> tuple[Floats, Floats, Floats]:
    """Of each death: its clock, its excess over the expected, and that one's covariance.

    Of ``d`` deaths on one day the k-th (from 0) is expected among those at risk, each of the
    ``d`` counting ``1 - k/d`` (Efron).
    """
    order = np.argsort(-months, kind="stable")
    x, weight, times = x[order], weight[order], -months[order]  # rising
    deaths = np.flatnonzero(event[order])
    end = np.searchsorted(times, times[deaths], "right") - 1  # last of those at risk
    _, first, day, sizes = np.unique(
        times[deaths], return_index=True, return_inverse=True, return_counts=True
    )
    share = (np.arange(len(deaths)) - first[day]) / sizes[day]
    moments = np.concatenate([np.ones((len(x), 1)), x], axis=1)  # 1 and x: one sum for all
    moments = weight[:, None, None] * moments[:, :, None] * moments[:, None, :]
    tied = np.add.reduceat(moments[deaths], first)[day]
    sums = np.cumsum(moments, axis=0)[end] - share[:, None, None] * tied
    sums /= sums[:, :1, :1]
    mean = sums[:, 0, 1:]
    spread = sums[:, 1:, 1:] - mean[:, :, None] * mean[:, None, :]
    return clock[order][deaths], x[deaths] - mean, spread


def _score_test(
    name: str, columns: list[int], score: Floats, information: Floats
) -> ProportionalityTest:
    p = len(score)
    used = [*range(p), *(p + column for column in columns)]
    u = np.concatenate([np.zeros(p), score[columns]])
    part = information[np.ix_(used, used)]
    scale = np.sqrt(np.diag(part))
    singular = bool((scale <= 0).any()) or (
        np.linalg.matrix_rank(part / np.outer(scale, scale), hermitian=True) < len(used)
    )
    chi_square = float("nan") if singular else float(u @ np.linalg.solve(part, u))
    return ProportionalityTest(
        name, chi_square, len(columns), float(chi2.sf(chi_square, len(columns)))
    )
