"""The Cox model's maximum by Newton's method: for pages that need dozens of fits at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ctrs.survival.checks import follow_up
from ctrs.types import Floats, Mask

# Of a log hazard ratio per standard deviation: an interval of 17 powers of ten is no answer.
MAX_STANDARD_ERROR = 10.0
_STEPS = 25  # where there is a maximum, it takes under ten
_HALVINGS = 10
_NEAR = 1e-16  # twice the log likelihood still to be gained: a hundred-millionth of an error


@dataclass(frozen=True)
class EfronFit:
    """Coefficients and standard errors by column, log scale, above 0 = dies sooner."""

    log_hazards: pd.Series
    standard_errors: pd.Series
    log_likelihood: float


def fit_efron(covariates: pd.DataFrame, table: pd.DataFrame) -> EfronFit | None:
    """Fit one Cox model; ``None`` where the likelihood has no finite maximum.

    The same answer as lifelines' ``CoxPHFitter``, without a loop over the times of death.

    Args:
        covariates: Numbers, none missing, one row a patient; at least one column.
        table: ``months`` and ``event`` of the same patients, of whom one at least died.

    Source:
        Efron, JASA 72 (1977) 557-565; same as R's ``coxph``.
    """
    x = covariates.to_numpy(dtype=float)
    scale = x.std(axis=0)
    if (np.ptp(x, axis=0) == 0).any():
        return None
    likelihood = EfronLikelihood((x - x.mean(axis=0)) / scale, *follow_up(table))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # of a step too far
        found = _maximum(likelihood, x.shape[1])
    if found is None:
        return None
    beta, errors, value = found
    # Separation can also end in a "converged" fit with an endless interval.
    if not (errors < MAX_STANDARD_ERROR).all():
        return None
    return EfronFit(
        pd.Series(beta / scale, index=covariates.columns),
        pd.Series(errors / scale, index=covariates.columns),
        value,
    )


def breslow(hazards: Floats, months: Floats, event: Mask, at: float) -> float:
    """Cumulative hazard up to ``at`` of somebody with hazard 1; deaths at ``at`` have happened.

    Args:
        hazards: Of each patient by a fitted model, shape ``(patients,)``.

    Source:
        Breslow, J. R. Stat. Soc. B 34 (1972) 216-217; same as R's
        ``basehaz(fit, centered = FALSE)`` of a fit with ``ties = "breslow"``.
    """
    order = np.argsort(months, kind="stable")
    at_risk = np.cumsum(hazards[order][::-1])[::-1]
    died = months[event & (months <= at)]
    return float((1 / at_risk[np.searchsorted(months[order], died, "left")]).sum())


def _maximum(likelihood: EfronLikelihood, p: int) -> tuple[Floats, Floats, float] | None:
    """Where the likelihood is highest, the standard errors, and how high it is there."""
    beta = np.zeros(p)
    value, gradient, information = likelihood.at(beta)
    for _ in range(_STEPS):
        try:
            covariance = np.linalg.inv(information)
        except np.linalg.LinAlgError:
            return None
        step = covariance @ gradient
        gain = float(gradient @ step)
        if not np.isfinite(gain) or gain < 0:
            return None
        if gain < _NEAR:
            return beta, np.sqrt(np.diag(covariance)), value
        for _ in range(_HALVINGS):
            after = likelihood.at(beta + step)
            if after[0] >= value - 1e-12 * abs(value):
                break
            step = step / 2
        beta, (value, gradient, information) = beta + step, after
    return None


class EfronLikelihood:
    """Efron's partial likelihood of one set of patients, day of death by day of death.

    Of ``d`` deaths on one day the k-th (from 0) is expected among those at risk, each of the
    ``d`` counting ``1 - k/d``. What is at risk is added up by day first: in a large cohort many
    die on each.

    Args:
        x: Covariates, shape ``(patients, p)``.
        event: One at least.

    Attributes:
        days: Of a death, latest first, shape ``(days,)``.
    """

    def __init__(self, x: Floats, months: Floats, event: Mask) -> None:
        order = np.argsort(-months, kind="stable")  # longest followed first
        self._x, times = x[order], -months[order]
        self._dead = np.flatnonzero(event[order])
        days, self._first, self._day, sizes = np.unique(
            times[self._dead], return_index=True, return_inverse=True, return_counts=True
        )
        self.days = -days
        # Who joins those at risk between one day of death and the next.
        self._ends = np.searchsorted(times, days, "right")
        self._starts = np.append(0, self._ends[:-1])
        self._share = (np.arange(len(self._dead)) - self._first[self._day]) / sizes[self._day]
        self._died = np.add.reduceat(self._x[self._dead], self._first)

    def at(self, beta: Floats) -> tuple[float, Floats, Floats]:
        """Log likelihood, its gradient (p,) and information (p, p)."""
        hazard = self._x @ beta
        weight = np.exp(hazard)
        weighted = weight[:, None] * self._x
        total = self._expected_among(weight)
        once, by_share, a, b, c = self._sums(total)
        everybody, tied = self._at_risk(weighted), self._tied(weighted)
        mean = once @ everybody - by_share @ tied
        crossed = (b[:, None] * everybody).T @ tied
        square = (a[:, None] * everybody).T @ everybody + (c[:, None] * tied).T @ tied
        square -= crossed + crossed.T
        # Each patient's part in the second moments, summed over all deaths that he was at risk of.
        part = np.repeat(once[::-1].cumsum()[::-1], self._ends - self._starts)
        part = np.append(part, np.zeros(len(self._x) - len(part)))
        part[self._dead] -= by_share[self._day]
        return (
            float(hazard[self._dead].sum() - np.log(total).sum()),
            self._died.sum(axis=0) - mean,
            weighted.T @ (part[:, None] * self._x) - square,
        )

    def by_day(self, beta: Floats) -> tuple[Floats, Floats]:
        """Of each day the deaths' excess over the expected, (days, p), and its covariance."""
        weight = np.exp(self._x @ beta)
        weighted = weight[:, None] * self._x
        once, by_share, a, b, c = self._sums(self._expected_among(weight))
        everybody, tied = self._at_risk(weighted), self._tied(weighted)
        mean = once[:, None] * everybody - by_share[:, None] * tied
        second = weighted[:, :, None] * self._x[:, None, :]
        spread = np.einsum("d,dpq->dpq", once, self._at_risk(second))
        spread -= np.einsum("d,dpq->dpq", by_share, self._tied(second))
        crossed = np.einsum("d,dp,dq->dpq", b, everybody, tied)
        spread -= np.einsum("d,dp,dq->dpq", a, everybody, everybody)
        spread -= np.einsum("d,dp,dq->dpq", c, tied, tied)
        spread += crossed + crossed.transpose(0, 2, 1)
        return self._died - mean, spread

    def _sums(self, total: Floats) -> list[Floats]:
        """Of each day, summed over its deaths: 1 and k/d by total; 1, k/d, (k/d)² by total²."""
        part, square = self._share / total, 1 / total**2
        return [
            self._by_day(of_deaths)
            for of_deaths in (1 / total, part, square, self._share * square, part**2)
        ]

    def _expected_among(self, weight: Floats) -> Floats:
        """Of each death the hazards of those at risk, the tied ones in part."""
        total: Floats = self._at_risk(weight)[self._day]
        total -= self._share * self._tied(weight)[self._day]
        return total

    def _at_risk(self, values: Floats) -> Floats:
        """Sum over the patients at risk on each day."""
        sums: Floats = np.add.reduceat(values[: self._ends[-1]], self._starts).cumsum(axis=0)
        return sums

    def _tied(self, values: Floats) -> Floats:
        """Sum over the patients who die on each day."""
        return self._by_day(values[self._dead])

    def _by_day(self, of_deaths: Floats) -> Floats:
        sums: Floats = np.add.reduceat(of_deaths, self._first)
        return sums
