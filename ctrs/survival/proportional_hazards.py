"""Is a hazard ratio the same early and late? The assumption behind every Cox model, tested."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
    for label in np.unique(labels):
        own = labels == label
        parts = (centred[own], weight[own], months[own], event[own])
        for time, surprise, spread in _at_deaths(*parts):
            g = clock[time]
            score += g * surprise
            information += np.kron([[1.0, g], [g, g * g]], spread)
    everything = {**terms, "global": [column for own in terms.values() for column in own]}
    return tuple(_score_test(name, list(c), score, information) for name, c in everything.items())


def _clock(months: Floats, event: Mask) -> dict[float, float]:
    """1 - survival just before each death, less its mean over all deaths."""
    times, deaths = np.unique(months[event], return_counts=True)
    left = len(months) - np.searchsorted(np.sort(months), times, side="left")
    before = 1 - np.cumprod(np.append(1.0, 1 - deaths / left))[:-1]
    centred = before - np.average(before, weights=deaths)
    return dict(zip(times.tolist(), centred.tolist(), strict=True))


def _at_deaths(
    x: Floats, weight: Floats, months: Floats, event: Mask
) -> Iterator[tuple[float, Floats, Floats]]:
    """For each time of death: it, the deaths' excess over the expected, and its covariance.

    Of ``d`` deaths on one day the k-th is expected among those at risk, each of the ``d``
    counting ``1 - k/d`` (Efron).
    """
    order = np.argsort(-months, kind="stable")
    x, weight, months, event = x[order], weight[order], months[order], event[order]
    moments = np.concatenate([np.ones((len(x), 1)), x], axis=1)  # 1 and x: one sum for all
    moments = weight[:, None, None] * moments[:, :, None] * moments[:, None, :]
    at_risk = np.cumsum(moments, axis=0)  # over everybody followed as long or longer
    for time in np.unique(months[event]):
        first, end = (int(np.searchsorted(-months, -time, side)) for side in ("left", "right"))
        dying = np.arange(first, end)[event[first:end]]
        excess, spread = x[dying].sum(axis=0), np.zeros((x.shape[1], x.shape[1]))
        for k in range(len(dying)):
            sums = at_risk[end - 1] - moments[dying].sum(axis=0) * (k / len(dying))
            mean = sums[0, 1:] / sums[0, 0]
            excess = excess - mean
            spread += sums[1:, 1:] / sums[0, 0] - np.outer(mean, mean)
        yield float(time), excess, spread


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
