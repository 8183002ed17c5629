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
    likelihood = _Likelihood((x - x.mean(axis=0)) / scale, *follow_up(table))
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


def _maximum(likelihood: _Likelihood, p: int) -> tuple[Floats, Floats, float] | None:
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


class _Likelihood:
    """Efron's partial likelihood of one set of patients, longest followed first.

    Of ``d`` deaths on one day the k-th (from 0) is expected among those at risk, each of the
    ``d`` counting ``1 - k/d``.
    """

    def __init__(self, x: Floats, months: Floats, event: Mask) -> None:
        order = np.argsort(-months, kind="stable")
        self.x, times = x[order], -months[order]  # rising
        self.deaths = np.flatnonzero(event[order])
        died = times[self.deaths]
        self.end = np.searchsorted(times, died, "right") - 1  # last of those at risk
        _, self.first, self.day, sizes = np.unique(
            died, return_index=True, return_inverse=True, return_counts=True
        )
        self.share = (np.arange(len(died)) - self.first[self.day]) / sizes[self.day]
        self.later = np.searchsorted(died, times, "left")  # deaths after this patient's time

    def at(self, beta: Floats) -> tuple[float, Floats, Floats]:
        """Log likelihood, its gradient (p,) and information (p, p)."""
        hazard = self.x @ beta
        weight = np.exp(hazard)
        weighted = weight[:, None] * self.x
        total = self._at_risk(weight)
        mean = self._at_risk(weighted) / total[:, None]
        # Each patient's part in the second moments, summed over all deaths that he was at risk of.
        part = np.append(np.cumsum((1 / total)[::-1])[::-1], 0.0)[self.later]
        part[self.deaths] -= np.add.reduceat(self.share / total, self.first)[self.day]
        second = weighted.T @ (part[:, None] * self.x)
        return (
            float(hazard[self.deaths].sum() - np.log(total).sum()),
            self.x[self.deaths].sum(axis=0) - mean.sum(axis=0),
            second - mean.T @ mean,
        )

    def _at_risk(self, values: Floats) -> Floats:
        """Sum over the patients at risk of each death, the tied ones in part."""
        tied = np.add.reduceat(values[self.deaths], self.first)[self.day]
        share = self.share.reshape(-1, *[1] * (values.ndim - 1))
        sums: Floats = np.cumsum(values, axis=0)[self.end] - share * tied
        return sums
