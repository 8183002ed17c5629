"""A cohort under crossed filters: does the score separate survival, and in whom?"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import streamlit as st

from ctrs.analysis import (
    DIFFERENCE,
    ExploratoryCut,
    best_cut,
    from_treatment_start,
    guarantee_time,
    methods,
    predicted_and_observed,
    select,
    split_at,
    table_one,
    useful_range,
)
from ctrs.errors import TooFewPatients
from ctrs.figures import (
    auc_figure,
    auc_table,
    calibration_figure,
    calibration_table,
    decision_figure,
    decision_table,
    forest_figure,
    forest_table,
)
from ctrs.survival import (
    MIN_SUBGROUP,
    Calibration,
    DecisionCurve,
    Estimate,
    ProportionalityTest,
    adjusted_hazard_ratio,
    bootstrap_estimates,
    brier_at,
    calibration_at,
    decision_curve,
    hazard_ratio,
    kaplan_meier,
    split_by_risk,
    subgroup_hazard_ratios,
    survival_at,
    uno_c,
)
from ctrs.types import Cohort, HazardRatio
from ctrs.ui import messages, resources
from ctrs.ui.charts import Exhibit, as_csv, show_exhibit
from ctrs.ui.choosing import Chosen
from ctrs.ui.groups import choose_groups, groups_difference
from ctrs.ui.survival import chance_words, difference_words, show_curves

AT = 12.0  # months
CALIBRATED_MONTHS = (6.0, AT, 18.0)
AUC_MONTHS = (6.0, 12.0, 18.0, 24.0)

_PREDICTED = "predicted"  # column: survival to the time that is looked at

FOLLOW_UP, TREATMENT = "Follow-up CT", "Start of treatment"
CUT_OFF, BEST_CUT = "Cut-off of the model", "Best cut on these patients"
SAVED = "Saved groups"


# --- Curves ---------------------------------------------------------------------------------


def show_survival(chosen: Chosen) -> None:
    """Kaplan-Meier by risk group; on request by a saved group, another cut or clock."""
    left, right = st.columns(2)
    by = left.segmented_control(
        "Groups by", [CUT_OFF, BEST_CUT, SAVED], default=CUT_OFF, required=True, key="groups_by"
    )
    clock = right.segmented_control(
        "Time zero", [FOLLOW_UP, TREATMENT], default=FOLLOW_UP, required=True, key="clock"
    )
    groups, difference = _risk_groups(chosen.cohort)
    formed, exploratory = methods.BY_CUT_OFF, False
    if by == SAVED:
        groups, formed = choose_groups(chosen.everybody)
        if not groups:
            return
        difference = groups_difference(groups)
        chosen = replace(chosen, selection=select(chosen.everybody, {}))
    elif by == BEST_CUT and (cut := _cut_groups(chosen.cohort)):
        groups, difference = cut
        formed, exploratory = methods.EXPLORATORY, True
    from_treatment = clock == TREATMENT
    if from_treatment:
        _show_guarantee_time(groups)
        groups = [from_treatment_start(group) for group in groups]
        groups = [group for group in groups if len(group.table)]
        if not groups:
            st.info("The days between the scans are not known for these patients.")
            return
    show_curves(
        chosen,
        groups,
        "survival",
        difference,
        formed=formed,
        exploratory=exploratory,
        from_treatment=from_treatment,
    )


def _risk_groups(cohort: Cohort) -> tuple[list[Cohort], str]:
    groups = split_by_risk(cohort)
    return groups, difference_words(groups)


@resources.remembered("Trying all cuts on 5,000 shuffled cohorts…")
def _best_cut(name: str, table: pd.DataFrame) -> ExploratoryCut:
    return best_cut(Cohort(name, table))


def _cut_groups(cohort: Cohort) -> tuple[list[Cohort], str] | None:
    try:
        found = _best_cut(cohort.name, cohort.table)
    except TooFewPatients as error:
        st.info(
            f"No cut can be searched for: {messages.literal(error.what)} Shown: the cut-off of the"
            " model."
        )
        return None
    st.warning(
        "**Exploratory.** This cut was chosen because it separates these very patients best. It"
        " will separate the next patients less well, and is no risk group.",
        icon=":material/science:",
    )
    words = (
        f"p corrected for the search over {found.n_tried} cuts:"
        f" **{messages.p_value(found.p_corrected)}** (exploratory)."
    )
    return split_at(cohort, found.cut), words


def _show_guarantee_time(groups: Sequence[Cohort]) -> None:
    gifts = "".join(
        f"\n- {one.label}: **{messages.percent(one.from_start.survival)}** alive 12 months after"
        f" the start, **{messages.percent(one.from_follow_up.survival)}** 12 months after the"
        f" follow-up CT; {100 * (one.from_start.survival - one.from_follow_up.survival):+.0f}"
        f" points are a gift of the clock (median {messages.months(one.months)})"
        for one in guarantee_time(groups)
        if not math.isnan(one.from_start.survival + one.from_follow_up.survival)
    )
    st.error(
        "**This clock is biased (guarantee time).** Whoever has a score lived to have the second"
        " scan: in the months before it nobody here could die, and who did die is not here. All"
        f" survival below is too good. On these patients:\n{gifts}",
        icon=":material/timer_off:",
    )


# --- More about them ------------------------------------------------------------------------


@st.fragment(parallel=True)  # some answers take seconds; the page need not wait
def show_more(chosen: Chosen) -> None:
    """One further question at a time: each costs some seconds, and nobody reads them all."""
    picked = st.segmented_control(
        "What else do you want to know?",
        list(_QUESTIONS),
        default=next(iter(_QUESTIONS)),
        required=True,
        key="question",
    )
    with messages.explained(picked, stop=False):
        _QUESTIONS[picked](chosen)


def _methods(sentence: str, chosen: Chosen) -> str:
    return methods.methods(sentence, chosen.selection, resources.model_version())


def _show_table_one(chosen: Chosen) -> None:
    table = table_one(split_by_risk(chosen.cohort))
    shown = table.assign(Level=[messages.level(level) for level in table["Level"]])
    st.table(shown, border="horizontal", hide_index=True)
    if DIFFERENCE in table:  # of two groups
        st.markdown(
            f":small[{DIFFERENCE}: how far the groups are apart, in standard deviations;"
            " below 0.1 they are alike.]"
        )
    st.download_button(
        "Take the table along (CSV)",
        as_csv(table, _methods(methods.TABLE_ONE, chosen)),
        file_name="ctrs-table-one.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
        key="table_one_csv",
    )


# --- Hazard ratios --------------------------------------------------------------------------


@resources.remembered("Fitting a hazard model in every subgroup…")
def _hazards(
    name: str, table: pd.DataFrame
) -> tuple[list[HazardRatio], list[HazardRatio], tuple[ProportionalityTest, ...]]:
    cohort = Cohort(name, table)
    alone = hazard_ratio(cohort, adjusted=False)
    adjusted, changes = adjusted_hazard_ratio(cohort)
    return [alone, adjusted], subgroup_hazard_ratios(cohort), changes


def _show_hazards(chosen: Chosen) -> None:
    with messages.if_enough("hazard ratio"):
        overall, rows, changes = _hazards(chosen.name, chosen.table)
        for row in overall:
            st.markdown(f"{row.label}: **{hazard_words(row)}**")
        if overall[-1].n_patients >= MIN_SUBGROUP:
            _show_proportionality(changes)
        show_exhibit(
            Exhibit(
                "forest",
                forest_figure(rows),
                "; ".join(f"{row.label}: {hazard_words(row)}" for row in rows),
                forest_table([*overall, *rows]),
                _methods(methods.FOREST, chosen),
            )
        )


def _show_proportionality(tests: Sequence[ProportionalityTest]) -> None:
    """Whether the hazard ratios of the adjusted model are the same early and late."""
    known = {test.covariate: test for test in tests if not math.isnan(test.p_value)}
    if "score" not in known:
        st.markdown("Whether the hazard ratio changes over time cannot be tested on them.")
        return
    score, everything = known.pop("score"), known.pop("global", None)
    words = f"Same early and late? The score in the adjusted model: {_test_words(score)}"
    if everything is not None:
        words += f"; all of the model together: {_test_words(everything)}"
    others = [f"{name} ({_test_words(test)})" for name, test in known.items() if test.violated]
    if score.violated:
        st.warning(
            f"**The hazard ratio of the score changes over time.** {words}. One number does not"
            " describe it: read it as a mean over the follow-up, and look at the curves.",
            icon=":material/warning:",
        )
    else:
        st.markdown(f"{words}. No sign that the score's hazard ratio changes over time.")
    if others:
        st.markdown(f"The hazard ratios of other covariates do change: {'; '.join(others)}.")


def _test_words(test: ProportionalityTest) -> str:
    return (
        f"χ² = {test.chi_square:.2f}, df = {test.degrees_of_freedom},"
        f" {messages.p_value(test.p_value)}"
    )


def hazard_words(row: HazardRatio) -> str:
    """``"hazard ratio 0.75 (95 % 0.66–0.84, p < 0.001; 376 patients, 205 deaths)"``."""
    n = messages.patients(row.n_patients, row.n_events)
    if math.isnan(row.hazard_ratio):
        return f"no estimate ({n})"
    interval = f"{row.lower:.2f}–{row.upper:.2f}"
    p = f", {messages.p_value(row.p_value)}" if row.n_patients >= MIN_SUBGROUP else ""
    return f"hazard ratio {row.hazard_ratio:.2f} (95 % {interval}{p}; {n})"


# --- Are the percentages right --------------------------------------------------------------


@resources.remembered("Measuring calibration (the first time some seconds)…")
def _calibration(name: str, table: pd.DataFrame, at: float) -> tuple[Calibration, float, float]:
    """With the Brier score of the prediction, and of the same prediction for everybody."""
    columns = table["months"], table["event"], table[_PREDICTED]
    cohort = Cohort(name, table)
    everybody = survival_at(kaplan_meier(cohort), cohort, at).survival
    found = calibration_at(*columns, at)
    same = np.full(len(table), everybody)
    return found, brier_at(*columns, at), brier_at(*columns[:2], same, at)


def _with_prediction(chosen: Chosen, at: float) -> Cohort:
    """The patients of whom survival to ``at`` months is predicted, with it; says who is not."""
    version = resources.model_version()
    predicted = (
        chosen.table["survival_12m"]
        if at == AT
        else chosen.table["patient"].map(
            resources.store().predicted_survival(chosen.name, version, at)
        )
    )
    table = chosen.table.assign(**{_PREDICTED: predicted}).dropna(subset=[_PREDICTED])
    if missing := len(chosen.table) - len(table):
        st.markdown(
            f"Of {messages.patients(missing)} no prediction for {at:g} months is stored: left out."
        )
    return Cohort(chosen.cohort.name, table)


def _show_calibration(chosen: Chosen) -> None:
    at = st.segmented_control(
        "Months after the follow-up CT", CALIBRATED_MONTHS, default=AT, required=True,
        format_func="{:g}".format, key="calibrated_at",
    )  # fmt: skip
    cohort = _with_prediction(chosen, at)
    with messages.if_enough("calibration"):
        found, brier, same = _calibration(chosen.name, cohort.table, at)
        st.markdown(
            f"The percentages are **{100 * found.ici:.0f} points** off on average (ICI"
            f" {found.ici:.3f}), {100 * found.e_max:.0f} at most. Deaths within {at:g} months:"
            f" **{found.observed_to_expected:.2f}** for each one predicted. Brier score"
            f" {brier:.3f} ({same:.3f} if everybody got the same number; lower is better)."
        )
        show_exhibit(
            Exhibit(
                "calibration",
                calibration_figure(found, cohort.table[_PREDICTED].tolist()),
                "; ".join(
                    f"predicted {messages.percent(group.predicted)}, observed"
                    f" {chance_words(group.observed, group.lower, group.upper)},"
                    f" {messages.patients(group.n_patients)}"
                    for group in found.bins
                ),
                calibration_table(found),
                _methods(methods.calibration(at), chosen),
            )
        )
    if cohort.table.empty:
        return
    st.markdown(f"**At each site**, {at:g} months after the follow-up CT")
    rows = {
        messages.level(one.level): {
            "Patients": str(one.n_patients),
            "Deaths": str(one.n_events),
            "Predicted (mean)": messages.percent(one.predicted),
            "Observed (95 %)": "fewer than 10 patients" if one.observed is None
            else chance_words(one.observed.survival, one.observed.lower, one.observed.upper),
        }
        for one in predicted_and_observed(cohort, "site", at, _PREDICTED)
    }  # fmt: skip
    st.table(pd.DataFrame.from_dict(rows, orient="index"), border="horizontal")


# --- The order of the patients --------------------------------------------------------------


@resources.remembered("Counting pairs of patients…")
def _order(name: str, table: pd.DataFrame) -> tuple[Estimate, float, dict[float, Estimate]]:
    months, event = table["months"], table["event"]
    score = {"CTRS": table["survival_12m"]}
    over_time = {}
    for at in AUC_MONTHS:
        try:
            over_time[at] = bootstrap_estimates(months, event, score, auc_at=at)["CTRS"]
        except TooFewPatients:
            continue  # nobody followed that far: the figure ends before
    harrell = bootstrap_estimates(months, event, score)["CTRS"]
    return harrell, uno_c(months, event, table["survival_12m"], max(AUC_MONTHS)), over_time


def _show_order(chosen: Chosen) -> None:
    with messages.if_enough("C-index"):
        if len(chosen.table) < MIN_SUBGROUP:
            raise TooFewPatients(
                f"{messages.patients(len(chosen.table))}; at least {MIN_SUBGROUP} are needed.",
                "Widen the filters.",
            )
        harrell, uno, over_time = _order(chosen.name, chosen.table)
        st.markdown(
            f"Of two patients, the one with the lower score dies first in"
            f" **{_of_ten(harrell.estimate)} of 10** pairs: C-index {harrell.estimate:.2f}"
            f" (95 % {harrell.lower:.2f}–{harrell.upper:.2f}, n = {harrell.n_patients}); with"
            f" weights for who was lost (Uno, to {max(AUC_MONTHS):g} months) {uno:.2f}."
            f" Intervals are {methods.intervals(harrell.n_patients)}."
        )
        if over_time:
            show_exhibit(
                Exhibit(
                    "auc",
                    auc_figure(over_time),
                    "; ".join(
                        f"{month:g} months: AUC {one.estimate:.2f} (95 % {one.lower:.2f} to"
                        f" {one.upper:.2f})"
                        for month, one in over_time.items()
                    ),
                    auc_table(over_time),
                    _methods(methods.auc(len(chosen.table)), chosen),
                )
            )


def _of_ten(share: float) -> str:
    return f"{10 * share:.1f}"


# --- Is it useful ---------------------------------------------------------------------------


@resources.remembered("Weighing benefit against harm…")
def _decision(table: pd.DataFrame) -> DecisionCurve:
    return decision_curve(table["months"], table["event"], table["survival_12m"], AT)


def _show_decision(chosen: Chosen) -> None:
    with messages.if_enough("decision curve"):
        curve = _decision(chosen.table)
        best = useful_range(curve)
        st.markdown(
            "Suppose something were done for patients above some risk of death. "
            + (
                "Acting on CTRS does more good than acting on everybody, or on nobody, where one"
                f" would act from a risk of **{best[0]:.0%} to {best[1]:.0%}**."
                if best
                else "Acting on CTRS is nowhere better than acting on everybody or on nobody."
            )
        )
        show_exhibit(
            Exhibit(
                "decision",
                decision_figure(curve),
                f"Net benefit of acting on CTRS, on everybody and on nobody, {AT:g} months,"
                f" {messages.patients(curve.n_patients, curve.n_events)}",
                decision_table(curve),
                _methods(methods.DECISION, chosen),
            )
        )


_QUESTIONS: Mapping[str, Callable[[Chosen], None]] = {
    "Who are they?": _show_table_one,
    "In whom does it work?": _show_hazards,
    "Are the percentages right?": _show_calibration,
    "Is the order right?": _show_order,
    "Is it useful?": _show_decision,
}
