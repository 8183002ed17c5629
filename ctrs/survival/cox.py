"""Cox models: the hazard of death against covariates, ties by Efron."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from lifelines import CoxPHFitter
from lifelines.exceptions import ConvergenceError, ConvergenceWarning

from ctrs.errors import TooFewPatients
from ctrs.survival.checks import follow_up, require
from ctrs.survival.efron import MAX_STANDARD_ERROR
from ctrs.survival.proportional_hazards import ProportionalityTest, proportional_hazards
from ctrs.types import Cohort, CoxTerm


@dataclass(frozen=True)
class CoxRow:
    """One coefficient; ``hazard_ratio`` above 1 = dies sooner, per unit; interval 95 %, Wald.

    Attributes:
        covariate: The column; for a level of a category ``"column: level"``.
        log_hazard, standard_error: On the logarithmic scale.
    """

    covariate: str
    log_hazard: float
    standard_error: float
    hazard_ratio: float
    lower: float
    upper: float
    p_value: float


@dataclass(frozen=True)
class CoxModel:
    """A fitted model.

    Attributes:
        rows: One a coefficient, in the order asked for.
        n_patients, n_events: Who has all covariates.
        n_incomplete: Who was left out for want of one.
        log_likelihood, log_likelihood_null: Partial, with and without the covariates.
        concordance: Harrell's C of the model on its own patients: too hopeful for others. NaN
            where nobody is known to have died before another.
        proportionality: One test a covariate, and ``"global"`` for all together; a small p
            says that a hazard ratio is not the same early and late.
    """

    rows: tuple[CoxRow, ...]
    n_patients: int
    n_events: int
    n_incomplete: int
    log_likelihood: float
    log_likelihood_null: float
    concordance: float
    proportionality: tuple[ProportionalityTest, ...]


def cox_model(
    cohort: Cohort,
    covariates: Sequence[str],
    per: float | Mapping[str, float] = 1.0,
    strata: str | None = None,
) -> CoxModel:
    """Fit one Cox model with all the covariates together.

    Args:
        covariates: Columns of the cohort's table. One that holds anything but numbers is a
            category, compared with its first level (alphabetically, or in its own order).
        per: Units of a hazard ratio, for all numeric covariates or by name: 10 = per +10.
        strata: Column whose levels may each have a baseline hazard of their own.

    Raises:
        TooFewPatients: Nobody who died, or the likelihood has no finite maximum.

    Source:
        Cox, J. R. Stat. Soc. B 34 (1972) 187-220; Efron, JASA 72 (1977) 557-565; same as R's
        ``coxph`` and ``cox.zph``.
    """
    table, columns, terms, fit = _fitted(cohort, covariates, per, strata)
    months, event = follow_up(table)
    beta = fit.params_[columns.columns].to_numpy(dtype=float)
    null = fit.log_likelihood_ - fit.log_likelihood_ratio_test().test_statistic / 2
    return CoxModel(
        rows=tuple(_row(str(name), fit.summary.loc[name]) for name in columns.columns),
        n_patients=len(table),
        n_events=int(event.sum()),
        n_incomplete=len(cohort.table) - len(table),
        log_likelihood=float(fit.log_likelihood_),
        log_likelihood_null=float(null),
        concordance=_concordance(fit),
        proportionality=proportional_hazards(
            columns.to_numpy(dtype=float),
            months,
            event,
            beta,
            terms,
            None if strata is None else table[strata],
        ),
    )


def cox_score(cohort: Cohort, covariates: Sequence[str]) -> pd.DataFrame:
    """The cohort's table with a column ``cox_score``: minus the log hazard of its own model.

    Higher = lives longer. Only rows with all covariates. Raises as `cox_model`.
    """
    table, columns, _, fit = _fitted(cohort, covariates, 1.0, None)
    hazard = columns.to_numpy(dtype=float) @ fit.params_[columns.columns].to_numpy(dtype=float)
    return table.assign(cox_score=-hazard)


def _fitted(
    cohort: Cohort,
    covariates: Sequence[str],
    per: float | Mapping[str, float],
    strata: str | None,
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, list[int]], CoxPHFitter]:
    """Complete rows, their numbers for the model, whose columns are whose, and the fit."""
    needed = [*covariates, *([] if strata is None else [strata])]
    table = cohort.table.dropna(subset=needed)
    n_events = int(table["event"].sum())
    require(
        n_events > 0,
        f"{len(table)} patients with {n_events} deaths: a Cox model needs at least 1 death.",
    )
    columns, terms = _design(table, covariates, per)
    fit = fit_cox(columns, table, None if strata is None else table[strata])
    if fit is None:
        raise _no_answer(len(covariates), len(table), cohort.name)
    return table, columns, terms, fit


def cox_each(
    cohort: Cohort,
    covariates: Sequence[str],
    per: float | Mapping[str, float] = 1.0,
    strata: str | None = None,
) -> dict[str, CoxModel | None]:
    """The covariates one at a time, each on all who have it; ``None`` where there's no answer."""
    models: dict[str, CoxModel | None] = {}
    for name in covariates:
        try:
            models[name] = cox_model(cohort, [name], per, strata)
        except TooFewPatients:
            models[name] = None
    return models


def _concordance(fit: CoxPHFitter) -> float:
    try:
        return float(fit.concordance_index_)
    except ZeroDivisionError:  # all died on one day
        return float("nan")


def _design(
    table: pd.DataFrame, covariates: Sequence[str], per: float | Mapping[str, float]
) -> tuple[pd.DataFrame, dict[str, list[int]]]:
    """Numbers for the model, and which of their columns belong to which covariate."""
    columns = pd.DataFrame(index=table.index)
    terms = {}
    for name in covariates:
        before = columns.shape[1]
        if pd.api.types.is_numeric_dtype(table[name]):
            step = per.get(name, 1.0) if isinstance(per, Mapping) else per
            columns[name] = table[name].astype(float) / step
        else:
            levels = pd.get_dummies(table[name], drop_first=True, dtype=float)
            columns = columns.join(levels.add_prefix(f"{name}: "))
        terms[name] = list(range(before, columns.shape[1]))
    return columns, terms


def _row(name: str, summary: pd.Series) -> CoxRow:
    return CoxRow(
        name,
        log_hazard=float(summary["coef"]),
        standard_error=float(summary["se(coef)"]),
        hazard_ratio=float(summary["exp(coef)"]),
        lower=float(summary["exp(coef) lower 95%"]),
        upper=float(summary["exp(coef) upper 95%"]),
        p_value=float(summary["p"]),
    )


def cox_terms(cohort: Cohort, covariates: Sequence[str]) -> list[CoxTerm]:
    """Coefficients of a Cox model with all the ``covariates`` together, per unit of each.

    Args:
        covariates: Numeric columns of the cohort's table, none missing.

    Raises:
        TooFewPatients: The likelihood has no finite maximum.

    Source:
        Efron's handling of ties; same as R's ``coxph``.
    """
    fit = fit_cox(cohort.table[list(covariates)].astype(float), cohort.table)
    if fit is None:
        raise _no_answer(len(covariates), len(cohort.table), cohort.name)
    return [
        CoxTerm(name, float(fit.params_[name]), float(fit.standard_errors_[name]))
        for name in covariates
    ]


def _no_answer(n_covariates: int, n_patients: int, name: str) -> TooFewPatients:
    return TooFewPatients(
        f"A Cox model with {n_covariates} covariates has no answer for the {n_patients} patients"
        f" of “{name}”.",
        "Leave out covariates that are constant, repeat another or single out who survived, or"
        " choose a larger cohort.",
    )


def fit_cox(
    covariates: pd.DataFrame, table: pd.DataFrame, strata: pd.Series | None = None
) -> CoxPHFitter | None:
    """Fit by Efron; ``None`` where the likelihood has no finite maximum."""
    months, event = follow_up(table)
    if (covariates.nunique() < 2).any():
        return None
    data = covariates.assign(_months=months, _event=event)
    if strata is not None:
        data = data.assign(_strata=pd.factorize(strata)[0])
    with warnings.catch_warnings():
        for trouble in (ConvergenceWarning, RuntimeWarning):
            warnings.simplefilter("error", trouble)
        # Guesses from the data before the fit, some of them wrong: the fit itself decides.
        warnings.filterwarnings("ignore", r"(?s).*may harm convergence", ConvergenceWarning)
        try:
            fit = CoxPHFitter(alpha=0.05).fit(
                data,
                duration_col="_months",
                event_col="_event",
                strata=None if strata is None else "_strata",
                fit_options={"precision": 1e-12},
            )
        except (ConvergenceError, ConvergenceWarning, RuntimeWarning, np.linalg.LinAlgError):
            return None
    # Separation can also end in a "converged" fit with an endless interval.
    errors = fit.standard_errors_ * covariates.std()
    return fit if bool((errors < MAX_STANDARD_ERROR).all()) else None
