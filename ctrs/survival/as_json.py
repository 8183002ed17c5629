"""Survival statistics of a table as the JSON documents of the command line."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ctrs.errors import TooFewPatients
from ctrs.survival import (
    MIN_GROUP,
    CoxModel,
    CoxRow,
    auc_at,
    cox_each,
    cox_model,
    cox_score,
    harrell_c,
    kaplan_meier,
    log_rank,
    pairwise_log_rank,
    reverse_kaplan_meier,
    survival_at,
    uno_c,
)
from ctrs.survival.table import FollowUpTable, split
from ctrs.types import Cohort, Interval, SurvivalCurve

SMALL = f"A group has fewer than {MIN_GROUP} patients: p says little about it."
SMALL_MODEL = f"The model has fewer than {MIN_GROUP} patients: p says little about it."
SCORE = "higher = lives longer"

Json = dict[str, Any]


def kaplan_meier_json(
    table: FollowUpTable, group: str | None, at: Mapping[str, float], interval: Interval
) -> Json:
    """Curves of all or of each group: sizes, medians, survival at times; unit as in the file.

    Args:
        at: Times by their names in the document.
    """
    cohorts = [Cohort("all", table.cohort.table)]
    if group is not None:
        cohorts = split(table.cohort, table.columns[group])
    followed = reverse_kaplan_meier(table.cohort, interval=interval)
    return {
        "groups": {cohort.name: _group_json(cohort, at, interval) for cohort in cohorts},
        "interval": interval,
        "follow_up": _median_json(followed),
        **_left_out(table, group),
    }


def _group_json(cohort: Cohort, at: Mapping[str, float], interval: Interval) -> Json:
    curve = kaplan_meier(cohort, interval=interval)
    points = {name: _point_json(curve, cohort, time) for name, time in at.items()}
    sizes = {"n": curve.n_patients, "events": curve.n_events}
    return sizes | _median_json(curve) | {"survival_at": points}


def _point_json(curve: SurvivalCurve, cohort: Cohort, time: float) -> Json:
    point = survival_at(curve, cohort, time)
    lower, upper = point.lower, point.upper
    if point.survival == 1:  # before the first death R says from 1 to 1, and a page nothing
        lower = upper = 1.0
    return {
        "s": number(point.survival),
        "lo": number(lower),
        "hi": number(upper),
        "at_risk": point.at_risk,
    }


def _median_json(curve: SurvivalCurve) -> Json:
    low, high = curve.median_interval
    return {"median": curve.median_months, "median_lo": low, "median_hi": high}


def log_rank_json(table: FollowUpTable, group: str, strata: str | None) -> Json:
    """Test of all groups, and of each pair where there are more than two.

    Small groups have their p value, too, with a note: who reads JSON can judge or leave it.
    """
    cohorts = split(table.cohort, table.columns[group])
    test = log_rank(cohorts, strata=None if strata is None else table.columns[strata])
    document: Json = {
        "chi2": test.chi_square,
        "df": test.degrees_of_freedom,
        "p": test.p_value,
        "groups": {cohort.name: len(cohort.table) for cohort in cohorts},
        **_left_out(table, group),
    }
    if min(test.n_patients) < MIN_GROUP:
        document["note"] = SMALL
    if len(cohorts) > 2 and strata is None:
        document["pairs"] = [
            {
                "groups": [pair.first, pair.second],
                "chi2": None if pair.test is None else pair.test.chi_square,
                "p": None if pair.test is None else pair.test.p_value,
                "p_adjusted": pair.p_adjusted,
            }
            for pair in pairwise_log_rank(cohorts)
        ]
    return document


def cox_json(
    table: FollowUpTable, covariates: Sequence[str], per: float, strata: str | None
) -> Json:
    """All covariates in one model, the check of its assumption, and each covariate alone."""
    columns = [table.columns[name] for name in covariates]
    within = None if strata is None else table.columns[strata]
    model = cox_model(table.cohort, columns, per, within)
    alone = cox_each(table.cohort, columns, per, within)
    document = {
        "n": model.n_patients,
        "events": model.n_events,
        "rows": _rows_json(model, table),
        "ph": {
            table.in_file(test.covariate): {
                "chi2": number(test.chi_square),
                "df": test.degrees_of_freedom,
                "p": number(test.p_value),
            }
            for test in model.proportionality
        },
        "concordance": number(model.concordance),
        "log_likelihood": [model.log_likelihood_null, model.log_likelihood],
        "incomplete": model.n_incomplete,
        "univariable": {
            table.in_file(column): None
            if one is None
            else {"n": one.n_patients, "rows": _rows_json(one, table)}
            for column, one in alone.items()
        },
        **_left_out(table, None),
    }
    notes = [SMALL_MODEL] if model.n_patients < MIN_GROUP else []
    changing = [table.in_file(t.covariate) for t in model.proportionality if t.violated]
    if changing:
        notes.append(f"The hazard ratio changes over time: {', '.join(changing)}.")
    return document | _note(notes)


def _note(notes: Sequence[str]) -> Json:
    return {"note": " ".join(notes)} if notes else {}


def _rows_json(model: CoxModel, table: FollowUpTable) -> Json:
    def row_json(row: CoxRow) -> Json:
        return {
            "coef": row.log_hazard,
            "se": row.standard_error,
            "hr": row.hazard_ratio,
            "lo": row.lower,
            "hi": number(row.upper),
            "p": number(row.p_value),
        }

    return {table.in_file(row.covariate): row_json(row) for row in model.rows}


def concordance_json(
    table: FollowUpTable, covariates: Sequence[str], at: Mapping[str, float]
) -> Json:
    """C of a score, or of a Cox model of several covariates on its own patients.

    Uno's C goes up to the last of ``at``, or to the end of follow-up; the AUC is given at each.
    What these patients cannot tell is ``None``, and a note says why.

    Args:
        at: Times by their names in the document.

    Raises:
        TooFewPatients: Not even Harrell's C is known.
    """
    columns = [table.columns[name] for name in covariates]
    if len(columns) == 1:
        scored, column = table.cohort.table.dropna(subset=columns), columns[0]
        _require_numbers(scored[column].dtype.kind)
    else:
        scored, column = cox_score(table.cohort, columns), "cox_score"
    months, event = scored["months"].to_numpy(dtype=float), scored["event"].to_numpy(dtype=bool)
    score = scored[column].to_numpy(dtype=float)
    harrell = harrell_c(months, event, score)
    end = float(months.max())
    until = min(max(at.values(), default=end), end)
    notes: list[str] = []

    def known(name: str, measure: Callable[[], float]) -> float | None:
        try:
            return measure()
        except TooFewPatients as lack:
            notes.append(f"{name}: {lack.what}")
            return None

    document = {
        "harrell": harrell,
        "uno": known("Uno's C", lambda: uno_c(months, event, score, until)),
        "until": until,
        "auc": {
            name: known(f"AUC at {name}", partial(auc_at, months, event, score, time))
            for name, time in at.items()
        },
        "n": len(scored),
        "events": int(np.sum(event)),
        "score": SCORE if len(covariates) == 1 else "minus the log hazard of a Cox model",
        **_left_out(table, None),
    }
    return document | _note(notes)


def _require_numbers(kind: str) -> None:
    if kind not in "fiu":
        raise TooFewPatients(
            "The covariate is no number: its values cannot be ordered.",
            "Give a column of numbers in which higher = lives longer.",
        )


def _left_out(table: FollowUpTable, group: str | None) -> Json:
    found = table.landmark
    without = 0 if group is None else int(table.cohort.table[table.columns[group]].isna().sum())
    return {
        "excluded_before_landmark": found.died_before + found.lost_before,
        "left_out": {
            "died_before_landmark": found.died_before,
            "lost_before_landmark": found.lost_before,
            "no_time_or_event": found.unknown,
            "no_group": without,
        },
    }


def number(value: float) -> float | None:
    """JSON knows neither NaN nor infinity."""
    return value if math.isfinite(value) else None


def as_text(document: Json, indent: str = "") -> str:
    """The same document as indented lines for a person."""
    lines = []
    for name, value in document.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}", as_text(value, indent + "  ")]
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            lines += [f"{indent}{name}", *(as_text(part, indent + "  ") for part in value)]
        else:
            lines.append(f"{indent}{name}: {_short(value)}")
    return "\n".join(line for line in lines if line)


def _short(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, list):
        return " | ".join(_short(part) for part in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
