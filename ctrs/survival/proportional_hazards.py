"""Is a hazard ratio the same early and late? The assumption behind every Cox model, tested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import chi2

from ctrs.survival.efron import EfronLikelihood
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
    p = covariates.shape[1]
    score, information = np.zeros(p), np.zeros((2 * p, 2 * p))
    labels = np.zeros(len(months), int) if strata is None else pd.factorize(strata)[0]
    centred = covariates - covariates.mean(axis=0)
    for label in np.unique(labels[event]):
        own = labels == label
        likelihood = EfronLikelihood(centred[own], months[own], event[own])
        g = _clock(months, event, likelihood.days)
        excess, spread = likelihood.by_day(log_hazards)
        score += g @ excess
        still, slope, square = (np.tensordot(g**power, spread, 1) for power in range(3))
        information += np.block([[still, slope], [slope, square]])
    everything = {**terms, "global": [column for own in terms.values() for column in own]}
    return tuple(_score_test(name, list(c), score, information) for name, c in everything.items())


def _clock(months: Floats, event: Mask, at: Floats) -> Floats:
    """1 - survival just before each of ``at``, less its mean over all deaths."""
    times, deaths = np.unique(months[event], return_counts=True)
    left = len(months) - np.searchsorted(np.sort(months), times, side="left")
    before = 1 - np.cumprod(np.append(1.0, 1 - deaths / left))
    mean = before[:-1] @ deaths / deaths.sum()
    clock: Floats = before[np.searchsorted(times, at, side="left")] - mean
    return clock


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
