"""The hazard ratio of the score: in everybody, adjusted, and in subgroups."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.stats import chi2, norm

from ctrs.survival.checks import MIN_GROUP, follow_up, require
from ctrs.survival.efron import EfronFit, fit_efron
from ctrs.survival.proportional_hazards import ProportionalityTest, proportional_hazards
from ctrs.types import UNKNOWN, Cohort, HazardRatio, RiskGroup

PER = 0.10  # hazard ratios are given per +10 percentage points of predicted survival
MIN_SUBGROUP = MIN_GROUP
SPLIT_AGE = 65  # years; the cut most immunotherapy trials report
MIN_TUMOUR_ML = 0.1  # about a 6 mm nodule: keeps the logarithm finite where no tumour is left

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
    "risk_group": tuple(RiskGroup),
}
_ADJUSTED_FOR = {"age": "age", "sex": "sex", "histology": "histology", "pd_l1": "PD-L1"}
# First word of a column of the adjusted model: what its test is called.
_TERMS = {"score": "score", **_ADJUSTED_FOR, "volume": "tumour volume"}


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
    if adjusted:
        return _adjusted(cohort, per).row
    return _score_row(_label(per), cohort.table.dropna(subset=["survival_12m"]), per)


def adjusted_hazard_ratio(cohort: Cohort) -> tuple[HazardRatio, tuple[ProportionalityTest, ...]]:
    """The adjusted `hazard_ratio`, and whether each of its model is the same early and late.

    Returns:
        The row; and one test for ``"score"`` and for each covariate (all its levels), then
        ``"global"``; none where the model has no finite answer.

    Raises:
        TooFewPatients: As `hazard_ratio`.

    Source:
        As `proportional_hazards`: same as R's ``cox.zph``.
    """
    found = _adjusted(cohort, PER)
    return found.row, _proportionality(found)


@dataclass(frozen=True)
class _Adjusted:
    """The adjusted model, on whom it could use; ``fit`` as from `fit_efron`."""

    row: HazardRatio
    table: pd.DataFrame
    columns: pd.DataFrame
    fit: EfronFit | None


def _adjusted(cohort: Cohort, per: float) -> _Adjusted:
    table = cohort.table.dropna(subset=["survival_12m"])
    _require_death(table)  # before levels without one are left out: then nobody is left
    table = _complete(table)
    names = [name for column, name in _ADJUSTED_FOR.items() if column in table]
    names += ["tumour volume"] if "tumour_volume_ml" in table else []
    label = _label(per) + (f", adjusted for {', '.join(names)}" if names else "")
    columns = _score(table, per).join(_covariates(table))
    _require_death(table)
    fit = fit_efron(columns, table)
    return _Adjusted(_row_of(label, table, fit), table, columns, fit)


def _proportionality(model: _Adjusted) -> tuple[ProportionalityTest, ...]:
    table, columns, fit = model.table, model.columns, model.fit
    if fit is None:
        return ()
    terms: dict[str, list[int]] = {}
    for place, column in enumerate(columns):
        terms.setdefault(_TERMS[str(column).split(" ", 1)[0]], []).append(place)
    return proportional_hazards(
        columns.to_numpy(dtype=float), *follow_up(table), fit.log_hazards.to_numpy(), terms
    )


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
    # Sorted once: each model sorts its patients, and these then are.
    table = cohort.table.dropna(subset=["survival_12m"]).sort_values("months", ascending=False)
    rows = [replace(hazard_ratio(cohort, per, adjusted=False), label="All patients")]
    for column, heading in factors.items():
        if column in table:
            rows += _factor_rows(table, column, heading, per)
    return rows


def _factor_rows(table: pd.DataFrame, column: str, heading: str, per: float) -> list[HazardRatio]:
    levels = levels_of(table, column)
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
    return _score_row(label, table, per)


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
    same = fit_efron(together, table)
    differs = fit_efron(together.join(products), table)
    if same is None or differs is None:
        return None
    gain = 2 * (differs.log_likelihood - same.log_likelihood)
    return float(chi2.sf(max(gain, 0.0), df=len(estimated) - 1))


def levels_of(table: pd.DataFrame, column: str) -> pd.Series:
    """The factor as a category: clinical order, then by name; "other", "unknown" come last."""
    if column == "age":
        names = [*_LEVELS["age"], UNKNOWN]
        age = pd.to_numeric(table["age"]).to_numpy(dtype=float)
        codes = np.select([age < SPLIT_AGE, age >= SPLIT_AGE], [0, 1], 2)
    else:
        codes, found = pd.factorize(table[column])
        names = [*map(str, found), UNKNOWN]  # -1, missing, is the last
    order = ordered_levels(column, {names[code] for code in np.unique(codes)})
    places = {level: place for place, level in enumerate(order)}
    own = np.array([places.get(name, -1) for name in names])[codes]
    return pd.Series(pd.Categorical.from_codes(own.tolist(), pd.Index(order)), table.index)


def ordered_levels(column: str, present: Collection[str]) -> list[str]:
    """The levels that are present: clinical order, then by name; "other", "unknown" last."""
    clinical = [level for level in _LEVELS.get(column, ()) if level in present]
    by_name = sorted({*present} - {*clinical, "other", UNKNOWN}, key=_by_number)
    return clinical + by_name + [level for level in ("other", UNKNOWN) if level in present]


def _by_number(name: str) -> list[str]:
    """So that site 2 comes before site 10."""
    return [part.zfill(9) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _complete(table: pd.DataFrame) -> pd.DataFrame:
    """Whom the adjusted model can use."""
    table = table.dropna(subset=[c for c in ("age", "tumour_volume_ml") if c in table])
    return _without_silent_levels(table)


def _without_silent_levels(table: pd.DataFrame) -> pd.DataFrame:
    """Leave out who is in a level nobody died in.

    The best hazard of such a level is 0, which Newton's method cannot reach; with hazard 0 its
    patients drop out of every risk set, so the other coefficients are those of the limit.
    """
    for column in ("sex", "histology", "pd_l1"):
        if column in table:
            levels = levels_of(table, column)
            table = table[levels.isin(levels[table["event"].astype(bool)].unique())]
    return table


def _covariates(table: pd.DataFrame) -> pd.DataFrame:
    """What the score is adjusted for, as numbers, without columns that repeat others."""
    columns = pd.DataFrame(index=table.index)
    if "age" in table:
        columns["age"] = table["age"].astype(float)
    if "tumour_volume_ml" in table:
        volume = table["tumour_volume_ml"].astype(float)
        columns["volume (log)"] = np.log(volume.clip(lower=MIN_TUMOUR_ML))
    for column in ("sex", "histology", "pd_l1"):
        if column in table:
            dummies = pd.get_dummies(levels_of(table, column), drop_first=True, dtype=float)
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


def _label(per: float) -> str:
    return f"Per +{per * 100:g} points"


def _score(table: pd.DataFrame, per: float) -> pd.DataFrame:
    return pd.DataFrame({"score": table["survival_12m"].astype(float) / per})


def _require_death(table: pd.DataFrame) -> None:
    require(
        bool(table["event"].any()),
        f"{len(table)} patients with 0 deaths: a hazard ratio needs at least 1 death.",
    )


def _score_row(label: str, table: pd.DataFrame, per: float) -> HazardRatio:
    """The score alone."""
    _require_death(table)
    return _row_of(label, table, fit_efron(_score(table, per), table))


def _row_of(label: str, table: pd.DataFrame, fit: EfronFit | None) -> HazardRatio:
    if fit is None:
        return _no_estimate(label, table)
    log_hazard, error = float(fit.log_hazards["score"]), float(fit.standard_errors["score"])
    lower, upper = norm.interval(0.95, log_hazard, error)
    return HazardRatio(
        label=label,
        hazard_ratio=float(np.exp(log_hazard)),
        lower=float(np.exp(lower)),
        upper=float(np.exp(upper)),
        p_value=float(2 * norm.sf(abs(log_hazard) / error)),
        n_patients=len(table),
        n_events=int(table["event"].sum()),
    )


def _no_estimate(label: str, table: pd.DataFrame) -> HazardRatio:
    nan = float("nan")
    return HazardRatio(label, nan, nan, nan, nan, len(table), int(table["event"].sum()))
