"""A cohort under crossed filters: does the score separate survival, and in whom?"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from ctrs.demo.cohort import DEMO_COHORT
from ctrs.errors import TooFewPatients
from ctrs.figures import forest_figure, survival_figure
from ctrs.store import CohortCounts
from ctrs.survival import (
    MIN_SUBGROUP,
    SUBGROUPS,
    hazard_ratio,
    kaplan_meier,
    landmark_cohort,
    log_rank,
    split_by_risk,
    subgroup_hazard_ratios,
    survival_at,
)
from ctrs.types import Cohort, HazardRatio, SurvivalCurve
from ctrs.ui import messages, resources
from ctrs.ui.board import BOARDS
from ctrs.ui.charts import show_figure

TICKS = (0, 6, 12, 18, 24, 30, 36)
_FACTORS = {name: heading for name, heading in SUBGROUPS.items() if name != "age"}


# --- Whom to look at ------------------------------------------------------------------------


def choose_cohort() -> tuple[str, pd.DataFrame]:
    """A cohort's name and table; without any, say how to get one and stop."""
    names = [name for name in resources.store().cohorts() if name not in BOARDS]
    if not names:
        st.info("There is no cohort yet. Build the simulated one with `python -m ctrs demo`.")
        st.stop()
    names.sort(key=lambda name: name != DEMO_COHORT)
    left, right = st.columns([1, 2], vertical_alignment="bottom")
    name = left.selectbox("Cohort", names, format_func=_cohort_words, key="cohort")
    amber = right.toggle("Include scores that need caution (amber)", key="include_amber")
    if name == DEMO_COHORT:
        st.warning(
            "**These patients are simulated.** Nothing on this page is evidence about people.",
            icon=":material/science:",
        )
    table = resources.store().cohort_table(name, resources.model_version(), include_amber=amber)
    return name, table


def _cohort_words(name: str) -> str:
    return f"{name} (simulated)" if name == DEMO_COHORT else name


def show_denominators(name: str) -> None:
    """How many patients there are, and where those went that the figures leave out."""
    counts: CohortCounts = resources.store().cohort_counts(name, resources.model_version())
    amber = "included" if st.session_state.get("include_amber") else "left out"
    st.markdown(
        f"Of **{messages.patients(counts.patients)}** in this cohort, {counts.green} have a usable"
        f" score; {counts.amber} need caution ({amber}); {counts.red} are not assessable and"
        f" {counts.refused} could not be read (both left out); {counts.without_outcome} have no"
        " known outcome (left out)."
    )


def filters(name: str, table: pd.DataFrame) -> Cohort:
    """The patients that pass all filters; says in words which, and how many."""
    landmark, before = landmark_cohort(table, name)
    kept, words = landmark.table, []
    with st.expander("Filters", expanded=True):
        columns = st.columns(len(_FACTORS) + 1)
        for column, (factor, heading) in zip(columns, _FACTORS.items(), strict=False):
            with column:
                levels = _pick_levels(landmark.table, factor, heading)
            if levels:
                kept = kept[kept[factor].isin(levels)]
                words.append(f"{heading}: {' or '.join(levels)}")
        with columns[-1]:
            ages = _pick_ages(landmark.table)
        if ages:
            kept = kept[kept["age"].between(*ages)]
            words.append(f"age {ages[0]} to {ages[1]}")
    who = messages.literal("; ".join(words)) if words else "all patients"
    n = messages.patients(len(kept), int(kept["event"].sum()))
    lost = f" {messages.patients(before)} died or were lost before it." if before else ""
    st.markdown(f"Shown: **{who}** ({n}). Time zero is the follow-up CT.{lost}")
    return Cohort(name, kept)


def _pick_levels(table: pd.DataFrame, factor: str, heading: str) -> list[str]:
    levels = sorted(table[factor].astype(str).unique())
    return st.multiselect(heading, levels, key=f"filter_{factor}", placeholder="All")


def _pick_ages(table: pd.DataFrame) -> tuple[int, int] | None:
    known = table["age"].dropna()
    if known.empty or known.min() == known.max():
        return None
    low, high = int(known.min()), math.ceil(known.max())
    ages: tuple[int, int] = st.slider("Age", low, high, (low, high), key="filter_age")
    return None if ages == (low, high) else ages


# --- Curves ---------------------------------------------------------------------------------


def show_survival(cohort: Cohort) -> list[SurvivalCurve]:
    """Kaplan-Meier by risk group with the number at risk; says so where nobody is left."""
    if cohort.table.empty:
        st.info("No patient passes these filters (n = 0). Widen the filters.")
        st.stop()
    groups = split_by_risk(cohort)
    curves = [kaplan_meier(group) for group in groups]
    figure = survival_figure(groups, curves, TICKS)
    show_figure(figure, "survival", "; ".join(map(_curve_words, curves)))
    st.markdown(f"**Do the groups differ?** {_difference(groups)}")
    st.table(_table(groups, curves), border="horizontal")
    return curves


def _curve_words(curve: SurvivalCurve) -> str:
    n = messages.patients(curve.n_patients, curve.n_events)
    return f"{curve.label}: {n}, median survival {messages.months(curve.median_months)}"


def _difference(groups: Sequence[Cohort]) -> str:
    if len(groups) < 2:
        return "There is one risk group only: nothing to compare."
    small = [group for group in groups if len(group.table) < MIN_SUBGROUP]
    if small:
        sizes = ", ".join(f"{group.name.lower()} n = {len(group.table)}" for group in small)
        return f"Not tested: a group has fewer than {MIN_SUBGROUP} patients ({sizes})."
    try:
        test = log_rank(groups)
    except TooFewPatients as error:
        return f"Not tested: {messages.literal(error.what)}"
    sizes = " and ".join(str(len(group.table)) for group in groups)
    return f"Log-rank {messages.p_value(test.p_value)} ({sizes} patients)."


def _table(groups: Sequence[Cohort], curves: Sequence[SurvivalCurve]) -> pd.DataFrame:
    rows = {}
    for group, curve in zip(groups, curves, strict=True):
        year = survival_at(curve, group, 12)
        low, high = (messages.months(bound) for bound in curve.median_interval)
        rows[curve.label] = {
            "Patients": str(curve.n_patients),
            "Deaths": str(curve.n_events),
            "Median survival (95 %)": f"{messages.months(curve.median_months)} ({low} to {high})",
            "Alive at 12 months (95 %)": _share(year.survival, year.lower, year.upper),
            "At risk at 12 months": str(year.at_risk),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def _share(survival: float, lower: float, upper: float) -> str:
    if math.isnan(survival):
        return "not followed that long"
    if math.isnan(lower) or math.isnan(upper):
        return f"{messages.percent(survival)} (no interval)"
    return messages.chance(survival, (lower, upper))


# --- Hazard ratios --------------------------------------------------------------------------


@st.cache_data(max_entries=64, show_spinner="Fitting the hazard models…")
def _hazards(name: str, table: pd.DataFrame) -> tuple[list[HazardRatio], list[HazardRatio]]:
    cohort = Cohort(name, table)
    overall = [hazard_ratio(cohort, adjusted=adjusted) for adjusted in (False, True)]
    return overall, subgroup_hazard_ratios(cohort)


def show_hazards(cohort: Cohort) -> list[HazardRatio]:
    """Hazard ratio per 10 points, unadjusted, adjusted, and by subgroup; empty without deaths."""
    try:
        overall, rows = _hazards(cohort.name, cohort.table)
    except TooFewPatients as error:
        st.info(f"No hazard ratio: {messages.literal(error.what)} {error.next_step}")
        return []
    for row in overall:
        st.markdown(f"{row.label}: **{_hazard(row)}**")
    show_figure(forest_figure(rows), "forest", _forest_words(rows))
    return [*overall, *rows]


def _hazard(row: HazardRatio) -> str:
    n = messages.patients(row.n_patients, row.n_events)
    if math.isnan(row.hazard_ratio):
        return f"no estimate ({n})"
    interval = f"{row.lower:.2f}–{row.upper:.2f}"
    p = f", {messages.p_value(row.p_value)}" if row.n_patients >= MIN_SUBGROUP else ""
    return f"hazard ratio {row.hazard_ratio:.2f} (95 % {interval}{p}; {n})"


def _forest_words(rows: Sequence[HazardRatio]) -> str:
    return "; ".join(f"{row.label}: {_hazard(row)}" for row in rows)


# --- Taking it along ------------------------------------------------------------------------


def offer_csv(cohort: Cohort, curves: Sequence[SurvivalCurve], rows: Sequence[HazardRatio]) -> None:
    st.download_button(
        "Download these figures as a table (CSV, groups only, no patients)",
        aggregate_csv(cohort, curves, rows),
        file_name=f"ctrs-{cohort.name}.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
        key="download_cohort",
    )


def aggregate_csv(
    cohort: Cohort, curves: Sequence[SurvivalCurve], rows: Sequence[HazardRatio]
) -> str:
    """Survival of each group at each tick, then the hazard ratios; nobody's own months."""
    groups = {group.name: group for group in split_by_risk(cohort)}
    lines = [
        {
            "what": "survival", "of": curve.label, "months": tick, "estimate": at.survival,
            "lower_95": at.lower, "upper_95": at.upper, "at_risk": at.at_risk,
            "patients": curve.n_patients, "deaths": curve.n_events,
        }
        for curve in curves
        for tick in TICKS
        for at in [survival_at(curve, groups[curve.label], tick)]
    ]  # fmt: skip
    lines += [
        {
            "what": "hazard ratio per +10 points", "of": row.label, "estimate": row.hazard_ratio,
            "lower_95": row.lower, "upper_95": row.upper, "p": row.p_value,
            "patients": row.n_patients, "deaths": row.n_events,
        }
        for row in rows
    ]  # fmt: skip
    text = io.StringIO("# Research use only. Not a medical device.\n")
    text.seek(0, io.SEEK_END)
    pd.DataFrame(lines).to_csv(text, index=False, float_format="%.6g")
    return text.getvalue()
