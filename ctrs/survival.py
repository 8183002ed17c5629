"""`Cohort` in, curves and test statistics out. A thin, typed face on lifelines."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from lifelines import CoxPHFitter, KaplanMeierFitter
from lifelines.exceptions import ConvergenceError, ConvergenceWarning
from lifelines.statistics import multivariate_logrank_test
from lifelines.utils import concordance_index
from scipy.stats import chi2

from ctrs.errors import TooFewPatients
from ctrs.types import (
    UNKNOWN,
    Cohort,
    CoxTerm,
    Floats,
    HazardRatio,
    LogRank,
    Mask,
    RiskGroup,
    SurvivalAt,
    SurvivalCurve,
)

PER = 0.10  # hazard ratios are given per +10 percentage points of predicted survival
MIN_SUBGROUP = 10  # patients; below this an estimate says more about chance than about the level
SPLIT_AGE = 65  # years; the cut most immunotherapy trials report
MIN_TUMOUR_ML = 0.1  # about a 6 mm nodule: keeps the logarithm finite where no tumour is left

MAX_STANDARD_ERROR = 10.0  # of a log hazard ratio: an interval of 17 powers of ten is no answer

# What the forest is drawn for, column and heading, in this order.
SUBGROUPS: dict[str, str] = {
    "recist": "RECIST",
    "pd_l1": "PD-L1",
    "histology": "Histology",
    "line": "Line",
    "sex": "Sex",
    "age": "Age",
}
_LEVELS: dict[str, tuple[str, ...]] = {
    "recist": ("CR", "PR", "SD", "PD", "NE"),
    "pd_l1": ("<1%", "1-49%", ">=50%"),
    "age": (f"< {SPLIT_AGE}", f">= {SPLIT_AGE}"),
}
_ADJUSTED_FOR = {"age": "age", "sex": "sex", "histology": "histology", "pd_l1": "PD-L1"}
_HALF = 0.5 + 1e-9  # lifelines multiplies by adding logarithms: 0.5 may come out a hair above


# --- Cohorts --------------------------------------------------------------------------------


def landmark_cohort(
    table: pd.DataFrame, name: str, months_to_landmark: str | None = None
) -> tuple[Cohort, int]:
    """Keep who is still followed after the follow-up CT, and count who is not.

    Whoever died, or was lost, before or exactly at the landmark never had a score that could
    be tested. So do rows without a time or an outcome.

    Args:
        table: As in `Cohort`.
        months_to_landmark: Column with each patient's months from the start of the clock in
            ``months`` to the follow-up CT; ``None`` where ``months`` starts at that scan. The
            column is taken out, so that the clock cannot be moved twice.

    Returns:
        The cohort with its clock at the follow-up CT, and the number of rows left out.

    Source:
        Anderson, Cain & Gelber, J. Clin. Oncol. 1 (1983) 710-719; events at the landmark itself
        are excluded as in R's ``survminer``.
    """
    months = pd.to_numeric(table["months"]).astype(float)
    if months_to_landmark is not None:
        months = months - table[months_to_landmark]
        table = table.drop(columns=months_to_landmark)
    kept = (months > 0) & table["event"].notna()
    followed = table.assign(months=months)[kept].reset_index(drop=True)
    followed["event"] = followed["event"].astype(bool)
    return Cohort(name, followed), len(table) - len(followed)


def split_by_risk(cohort: Cohort) -> list[Cohort]:
    """Low risk, then high risk; a group nobody is in is left out, as is who has no score."""
    groups = cohort.table["risk_group"]
    parts = [Cohort(str(group), cohort.table[groups == group]) for group in RiskGroup]
    return [part for part in parts if len(part.table)]


# --- Kaplan-Meier ---------------------------------------------------------------------------


def kaplan_meier(cohort: Cohort, label: str | None = None) -> SurvivalCurve:
    """Estimate overall survival from the follow-up CT on.

    One row at 0, one per time of death, and a last one where follow-up ends, so that the curve
    knows how far it reaches. Once nobody is left alive the band is NaN (R: NA).

    Args:
        cohort: At least one patient.
        label: ``None``: the cohort's name.

    Returns:
        The curve with a pointwise 95 % band, as R's ``survfit(conf.type = "log-log")``. The
        median is the first time survival falls to 0.5 (R gives the middle of the step if a
        step lies at 0.5 exactly); its interval is where the band falls to 0.5, ``None`` where
        it does not.

    Raises:
        TooFewPatients: The cohort is empty.

    Source:
        Kaplan & Meier, JASA 53 (1958) 457-481; band: Kalbfleisch & Prentice (1980).
    """
    _require(not cohort.table.empty, f"No patient is in “{cohort.name}”; at least 1 is needed.")
    months, event = _follow_up(cohort.table)
    fit = KaplanMeierFitter(alpha=0.05).fit(months, event)
    steps = pd.concat([fit.survival_function_, fit.confidence_interval_], axis=1)
    steps = steps[np.isin(steps.index, months[event]) | (steps.index == months.max())]
    # The first row says that everybody was alive at the scan, whatever happened that day.
    rows = np.vstack([(0.0, 1.0, 1.0, 1.0), steps.reset_index().to_numpy(dtype=float)])
    at, survival, lower, upper = rows.T
    nobody_left = survival <= 0
    lower, upper = (np.where(nobody_left, np.nan, band) for band in (lower, upper))
    return SurvivalCurve(
        label=cohort.name if label is None else label,
        months=at,
        survival=survival,
        lower=lower,
        upper=upper,
        n_patients=len(months),
        n_events=int(event.sum()),
        median_months=_first_time_at_half(at, survival),
        median_interval=(_first_time_at_half(at, lower), _first_time_at_half(at, upper)),
    )


def _first_time_at_half(months: Floats, survival: Floats) -> float | None:
    reached = months[survival <= _HALF]
    return float(reached[0]) if len(reached) else None


def at_risk(cohort: Cohort, months: Sequence[float]) -> list[int]:
    """Patients still under observation just before each time.

    R's convention: who dies or is lost at ``t`` is still counted at ``t``. lifelines counts
    them as gone.
    """
    followed = cohort.table["months"].to_numpy(dtype=float)
    return [int((followed >= month).sum()) for month in months]


def survival_at(curve: SurvivalCurve, cohort: Cohort, months: float) -> SurvivalAt:
    """Read the curve at one time; a death at that very time has happened.

    Past the end of follow-up nothing is known and the survival is NaN, unless everybody has
    died: then it stays 0. Before the first death there is no interval (NaN), as in R: nobody
    has shown yet how much chance there is in the curve.
    """
    row = int(np.searchsorted(curve.months, months, side="right")) - 1
    values = np.array([curve.survival[row], curve.lower[row], curve.upper[row]], dtype=float)
    if months > curve.months[-1] and curve.survival[-1] > 0:
        values[:] = np.nan
    if values[0] == 1:
        values[1:] = np.nan
    survival, lower, upper = (float(value) for value in values)
    return SurvivalAt(months, survival, lower, upper, at_risk(cohort, [months])[0])


# --- Tests and discrimination ---------------------------------------------------------------


def log_rank(groups: Sequence[Cohort]) -> LogRank:
    """Compare the survival of two or more groups.

    A group with nobody under observation at any death says nothing and is not counted, as in R.

    Raises:
        TooFewPatients: Fewer than two groups say anything.

    Source:
        Peto & Peto, J. R. Stat. Soc. A 135 (1972) 185-207; same as R's ``survdiff``.
    """
    tables = [group.table.assign(group=number) for number, group in enumerate(groups)]
    everyone = pd.concat(tables) if tables else pd.DataFrame({"months": [], "event": []})
    first_death = everyone.loc[everyone["event"].astype(bool), "months"].min()
    followed = [table for table in tables if (table["months"] >= first_death).any()]
    _require(
        len(followed) > 1,
        f"{len(followed)} of {len(groups)} groups have patients under observation when somebody "
        "dies; 2 are needed to compare.",
    )
    table = pd.concat(followed)
    months, event = _follow_up(table)
    test = multivariate_logrank_test(months, table["group"], event)
    return LogRank(float(test.test_statistic), len(followed) - 1, float(test.p_value))


def concordance(cohort: Cohort, column: str = "survival_12m") -> float:
    """Harrell's C: 1 = of two patients the one with the lower value always dies first.

    0.5 is chance. Higher ``column`` = lives longer. Rows without a value are left out; a tie in
    the column counts half.

    Raises:
        TooFewPatients: No two patients can be ordered by who died first.

    Source:
        Harrell, Lee & Mark, Stat. Med. 15 (1996) 361-387; same as R's ``concordance``.
    """
    table = cohort.table.dropna(subset=[column])
    months, event = _follow_up(table)
    # A pair can be ordered if one dies while, or before, the other's follow-up ends.
    comparable = event.any() and (months > months[event].min()).any()
    _require(
        bool(comparable),
        f"{len(table)} patients with {int(event.sum())} deaths in “{cohort.name}” give no pair "
        "in which it is known who died first.",
    )
    return float(concordance_index(months, table[column].to_numpy(dtype=float), event))


# --- Hazard ratios --------------------------------------------------------------------------


def hazard_ratio(cohort: Cohort, per: float = PER, *, adjusted: bool) -> HazardRatio:
    """Hazard ratio of death per +``per`` of predicted 12-month survival, by Cox (Efron ties).

    Below 1 = the higher the score, the fewer deaths: the direction the score should have.

    Args:
        cohort: Rows without a score are left out.
        per: 0.10 = ten percentage points.
        adjusted: For those of age, sex, histology, PD-L1 and log baseline tumour volume
            (``tumour_volume_ml``) that the table has; the label says which. "unknown" is a
            level; a patient without an age or a volume is left out.

    Returns:
        The row; its numbers are NaN where the model has no finite answer.

    Raises:
        TooFewPatients: Nobody, or nobody who died.

    Source:
        Cox, J. R. Stat. Soc. B 34 (1972) 187-220; same as R's ``coxph``.
    """
    table = cohort.table.dropna(subset=["survival_12m"])
    label = f"Per +{per * 100:g} points"
    if not adjusted:
        return _score_row(label, table, per, pd.DataFrame(index=table.index))
    table = table.dropna(subset=[c for c in ("age", "tumour_volume_ml") if c in table])
    table = _without_silent_levels(table)
    names = [name for column, name in _ADJUSTED_FOR.items() if column in table]
    names += ["tumour volume"] if "tumour_volume_ml" in table else []
    if names:
        label += f", adjusted for {', '.join(names)}"
    return _score_row(label, table, per, _covariates(table))


def subgroup_hazard_ratios(
    cohort: Cohort, factors: Mapping[str, str] = SUBGROUPS, per: float = PER
) -> list[HazardRatio]:
    """Forest rows: does the score work in everybody? Unadjusted, per +``per``.

    Args:
        factors: Column to heading. ``"age"`` is split at 65; a column the table lacks is
            skipped; a missing value is the level "unknown".

    Returns:
        First "All patients", then one row a level, labelled ``"heading: level"``. A level with
        fewer than 10 patients or no death has ``n_patients`` and ``n_events``, and NaN for
        every estimate: say "too few" there. ``p_interaction`` is the same in all rows of a
        factor and tests the levels that have an estimate; ``None`` if fewer than two have.

    Raises:
        TooFewPatients: Nobody, or nobody who died, in the whole cohort.
    """
    table = cohort.table.dropna(subset=["survival_12m"])
    rows = [replace(hazard_ratio(cohort, per, adjusted=False), label="All patients")]
    for column, heading in factors.items():
        if column in table:
            rows += _factor_rows(table, column, heading, per)
    return rows


def _factor_rows(table: pd.DataFrame, column: str, heading: str, per: float) -> list[HazardRatio]:
    levels = _levels(table, column)
    rows = {
        level: _level_row(f"{heading}: {level}", table[levels == level], per)
        for level in levels.cat.categories
    }
    estimated = [level for level, row in rows.items() if np.isfinite(row.hazard_ratio)]
    p_interaction = _interaction_p(table, levels, estimated)
    return [replace(row, p_interaction=p_interaction) for row in rows.values()]


def _level_row(label: str, table: pd.DataFrame, per: float) -> HazardRatio:
    if len(table) < MIN_SUBGROUP or not table["event"].any():
        return _no_estimate(label, table)
    return _score_row(label, table, per, pd.DataFrame(index=table.index))


def _interaction_p(table: pd.DataFrame, levels: pd.Series, estimated: list[str]) -> float | None:
    """Likelihood ratio test of score x level against score + level, as R's ``anova``."""
    if len(estimated) < 2:
        return None
    kept = levels.isin(estimated)
    table, levels = table[kept], levels[kept].cat.set_categories(estimated)
    level = pd.get_dummies(levels, drop_first=True, dtype=float).add_prefix("level ")
    score = table["survival_12m"].astype(float) / PER
    together = level.assign(score=score)
    products = level.mul(score, axis=0).add_prefix("score x ")
    same = _fit_cox(together, table)
    differs = _fit_cox(together.join(products), table)
    if same is None or differs is None:
        return None
    gain = 2 * (differs.log_likelihood_ - same.log_likelihood_)
    return float(chi2.sf(max(gain, 0.0), df=len(estimated) - 1))


def _levels(table: pd.DataFrame, column: str) -> pd.Series:
    """The factor as a category: clinical order, then by name; "other", "unknown" come last."""
    values: pd.Series
    if column == "age":
        low, high = _LEVELS["age"]
        age = pd.to_numeric(table["age"])
        split = np.where(age < SPLIT_AGE, low, high)
        values = pd.Series(np.where(age.notna(), split, UNKNOWN), table.index)
    else:
        values = table[column].astype(object).where(table[column].notna(), UNKNOWN).astype(str)
    present = {str(level) for level in values}
    clinical = [level for level in _LEVELS.get(column, ()) if level in present]
    by_name = sorted(present - {*clinical, "other", UNKNOWN})
    last = [level for level in ("other", UNKNOWN) if level in present]
    return values.astype(pd.CategoricalDtype(clinical + by_name + last))


def _without_silent_levels(table: pd.DataFrame) -> pd.DataFrame:
    """Leave out who is in a level nobody died in.

    The best hazard of such a level is 0, which Newton's method cannot reach; with hazard 0 its
    patients drop out of every risk set, so the other coefficients are those of the limit.
    """
    for column in ("sex", "histology", "pd_l1"):
        if column in table:
            levels = _levels(table, column)
            table = table[levels.isin(levels[table["event"].astype(bool)].unique())]
    return table


def cox_terms(cohort: Cohort, covariates: Sequence[str]) -> list[CoxTerm]:
    """Coefficients of a Cox model with all the ``covariates`` together, per unit of each.

    Args:
        covariates: Numeric columns of the cohort's table, none missing.

    Raises:
        TooFewPatients: The likelihood has no finite maximum.

    Source:
        Efron's handling of ties; same as R's ``coxph``.
    """
    fit = _fit_cox(cohort.table[list(covariates)].astype(float), cohort.table)
    if fit is None:
        raise TooFewPatients(
            f"A Cox model with {len(covariates)} covariates has no answer for the"
            f" {len(cohort.table)} patients of “{cohort.name}”.",
            "Leave out covariates, or choose a larger cohort.",
        )
    return [
        CoxTerm(name, float(fit.params_[name]), float(fit.standard_errors_[name]))
        for name in covariates
    ]


def _covariates(table: pd.DataFrame) -> pd.DataFrame:
    """What the score is adjusted for, as numbers, without columns that repeat others."""
    columns = pd.DataFrame(index=table.index)
    if "age" in table:
        columns["age"] = table["age"].astype(float)
    if "tumour_volume_ml" in table:
        volume = table["tumour_volume_ml"].astype(float)
        columns["log volume"] = np.log(volume.clip(lower=MIN_TUMOUR_ML))
    for column in ("sex", "histology", "pd_l1"):
        if column in table:
            dummies = pd.get_dummies(_levels(table, column), drop_first=True, dtype=float)
            columns = columns.join(dummies.add_prefix(f"{column} "))
    return _independent(columns)


def _independent(columns: pd.DataFrame) -> pd.DataFrame:
    """Drop constants and sums of others, as R does: two unknowns often come together."""
    centred = (columns - columns.mean()).to_numpy(dtype=float)
    kept: list[int] = []
    for column in range(centred.shape[1]):
        if np.linalg.matrix_rank(centred[:, [*kept, column]]) > len(kept):
            kept.append(column)
    return columns.iloc[:, kept]


def _score_row(label: str, table: pd.DataFrame, per: float, others: pd.DataFrame) -> HazardRatio:
    n_events = int(table["event"].sum())
    _require(
        n_events > 0,
        f"{len(table)} patients with {n_events} deaths: a hazard ratio needs at least 1 death.",
    )
    fit = _fit_cox(others.assign(score=table["survival_12m"].astype(float) / per), table)
    if fit is None:
        return _no_estimate(label, table)
    score = fit.summary.loc["score"]
    return HazardRatio(
        label=label,
        hazard_ratio=float(score["exp(coef)"]),
        lower=float(score["exp(coef) lower 95%"]),
        upper=float(score["exp(coef) upper 95%"]),
        p_value=float(score["p"]),
        n_patients=len(table),
        n_events=n_events,
    )


def _fit_cox(covariates: pd.DataFrame, table: pd.DataFrame) -> CoxPHFitter | None:
    """Fit by Efron; ``None`` where the likelihood has no finite maximum."""
    months, event = _follow_up(table)
    with warnings.catch_warnings():
        for trouble in (ConvergenceWarning, RuntimeWarning):
            warnings.simplefilter("error", trouble)
        try:
            fit = CoxPHFitter(alpha=0.05).fit(
                covariates.assign(_months=months, _event=event),
                duration_col="_months",
                event_col="_event",
                fit_options={"precision": 1e-9},
            )
        except (ConvergenceError, ConvergenceWarning, RuntimeWarning, np.linalg.LinAlgError):
            return None
    # Separation can also end in a "converged" fit with an endless interval.
    return fit if bool((fit.standard_errors_ < MAX_STANDARD_ERROR).all()) else None


def _no_estimate(label: str, table: pd.DataFrame) -> HazardRatio:
    nan = float("nan")
    return HazardRatio(label, nan, nan, nan, nan, len(table), int(table["event"].sum()))


def _follow_up(table: pd.DataFrame) -> tuple[Floats, Mask]:
    return table["months"].to_numpy(dtype=float), table["event"].to_numpy(dtype=bool)


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise TooFewPatients(what, "Widen the filters or choose a larger cohort.")
