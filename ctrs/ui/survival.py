"""Survival by risk group, as figure, table and sentence: what all statistics pages begin with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from ctrs.analysis import methods
from ctrs.errors import TooFewPatients
from ctrs.figures import survival_figure, survival_table
from ctrs.figures.style import TIME_AXIS
from ctrs.survival import (
    MIN_GROUP,
    kaplan_meier,
    log_rank,
    restricted_mean,
    survival_at,
)
from ctrs.types import Cohort, SurvivalCurve
from ctrs.ui import messages, resources
from ctrs.ui.charts import Exhibit, show_exhibit

if TYPE_CHECKING:  # which shows cohorts without scores by means of this module
    from ctrs.ui.choosing import Chosen

TICKS = (0, 6, 12, 18, 24, 30, 36)
MONTHS = range(37)
TREATMENT_AXIS = "Months since baseline CT (start of treatment)"


def show_curves(
    chosen: Chosen,
    groups: Sequence[Cohort],
    key: str,
    difference: str,
    *,
    formed: str = methods.BY_CUT_OFF,
    exploratory: bool = False,
    from_treatment: bool = False,
) -> None:
    """Kaplan-Meier of each group with the number at risk, and the same in numbers.

    Args:
        difference: What a test of the groups says, in words.
        formed: How the groups were, for a Methods section.
        exploratory: The groups were cut on these very patients.
        from_treatment: The clock starts at the baseline CT.
    """
    curves = [kaplan_meier(group) for group in groups]
    figure = survival_figure(
        groups,
        curves,
        TICKS,
        time_axis=TREATMENT_AXIS if from_treatment else TIME_AXIS,
        exploratory=exploratory,
    )
    st.markdown(_headline(groups, curves))
    show_exhibit(
        Exhibit(
            key,
            figure,
            "; ".join(map(curve_words, curves)),
            survival_table(groups, curves, MONTHS),
            methods.methods(
                f"{methods.SURVIVAL} {formed}",
                chosen.selection,
                resources.model_version(),
                from_treatment=from_treatment,
            ),
        )
    )
    st.markdown(f"**Do the groups differ?** {difference}")
    st.table(group_table(groups, curves), border="horizontal")


def _headline(groups: Sequence[Cohort], curves: Sequence[SurvivalCurve]) -> str:
    parts = []
    for group, curve in zip(groups, curves, strict=True):
        year = survival_at(curve, group, 12)
        share = chance_words(year.survival, year.lower, year.upper)
        parts.append(f"{curve.label}: **{share}**")
    return f"Alive at 12 months (95 % interval): {'; '.join(parts)}."


def curve_words(curve: SurvivalCurve) -> str:
    """``"High risk: 86 patients, 50 deaths, median survival 9.1 months"``."""
    n = messages.patients(curve.n_patients, curve.n_events)
    return f"{curve.label}: {n}, median survival {messages.months(curve.median_months)}"


def difference_words(groups: Sequence[Cohort]) -> str:
    """What the log-rank test says, or why there is none."""
    if len(groups) < 2:
        return "There is one risk group only: nothing to compare."
    small = [group for group in groups if len(group.table) < MIN_GROUP]
    if small:
        sizes = ", ".join(f"{group.name.lower()} n = {len(group.table)}" for group in small)
        return f"Not tested: a group has fewer than {MIN_GROUP} patients ({sizes})."
    try:
        test = log_rank(groups)
    except TooFewPatients as error:
        return f"Not tested: {messages.literal(error.what)}"
    sizes = " and ".join(str(len(group.table)) for group in groups)
    return f"Log-rank {messages.p_value(test.p_value)} ({sizes} patients)."


def group_table(groups: Sequence[Cohort], curves: Sequence[SurvivalCurve]) -> pd.DataFrame:
    """Sizes, median, survival at 12 months and months lived of each group, with intervals."""
    rows = {}
    for group, curve in zip(groups, curves, strict=True):
        year = survival_at(curve, group, 12)
        rows[curve.label] = {
            "Patients": str(curve.n_patients),
            "Deaths": str(curve.n_events),
            "Median survival (95 %)": _median(curve),
            "Alive at 12 months (95 %)": chance_words(year.survival, year.lower, year.upper),
            "At risk at 12 months": str(year.at_risk),
            "Months lived of the first 12 (95 %)": _restricted(group),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def _median(curve: SurvivalCurve) -> str:
    middle = messages.months(curve.median_months)
    if curve.median_months is None and curve.median_interval == (None, None):
        return middle
    low, high = (messages.months(bound) for bound in curve.median_interval)
    return f"{middle} ({low} to {high})"


def chance_words(survival: float, lower: float, upper: float) -> str:
    """``"66 % (58–73)"``, or what of it is not known."""
    if math.isnan(survival):
        return "not followed that long"
    if math.isnan(lower) or math.isnan(upper):
        return f"{messages.percent(survival)} (no interval)"
    return messages.chance(survival, (lower, upper))


def _restricted(group: Cohort) -> str:
    try:
        mean = restricted_mean(group, 12)
    except TooFewPatients:
        return "not followed that long"
    upper = min(mean.upper, 12.0)
    return f"{mean.months:.1f} ({max(mean.lower, 0.0):.1f} to {upper:.1f})"
