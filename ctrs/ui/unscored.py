"""A cohort without scores: survival by what the clinic knows, until its scans are here."""

from __future__ import annotations

import streamlit as st

from ctrs import NOTICE
from ctrs.analysis import FACTORS, levels
from ctrs.cohort_import import FOLLOW_UP_CT
from ctrs.figures import survival_figure, survival_table
from ctrs.survival import kaplan_meier, levels_of
from ctrs.types import Cohort
from ctrs.ui import messages
from ctrs.ui.charts import Exhibit, show_exhibit
from ctrs.ui.survival import MONTHS, TICKS, curve_words, difference_words, group_table

_TOGETHER = "All together"
_MAX_GROUPS = 8  # colours that can be told apart
_OF_SCORES = ("risk_group", "zone")


def show_unscored(cohort: Cohort, time_zero: str) -> None:
    """Survival of an imported cohort, in groups of the reader's choice.

    Args:
        time_zero: What its times are counted from.
    """
    st.info(
        "Nobody in this cohort has a score by this model: its table was imported without scans."
        " Upload a patient's scans under the same identifier, and the score joins the outcome."
        " Until then: survival without scores."
    )
    if time_zero != FOLLOW_UP_CT:
        st.warning(
            f"**Time zero is {messages.literal(time_zero)}**, not known to be the follow-up CT."
            " Nothing that is known only at that scan may be compared on these times.",
            icon=":material/timer_off:",
        )
    groups = _groups(cohort)
    curves = [kaplan_meier(group) for group in groups]
    show_exhibit(
        Exhibit(
            "unscored",
            survival_figure(groups, curves, TICKS, time_axis=f"Months since {time_zero}"),
            "; ".join(map(curve_words, curves)),
            survival_table(groups, curves, MONTHS),
            "Overall survival was estimated by Kaplan-Meier with pointwise 95% confidence intervals"
            f" on the log-log scale. Time zero: {time_zero}. {NOTICE}",
        )
    )
    if len(groups) > 1:
        st.markdown(f"**Do the groups differ?** {difference_words(groups)}")
    st.table(group_table(groups, curves), border="horizontal")


def _groups(cohort: Cohort) -> list[Cohort]:
    headings = {
        heading: factor
        for factor, heading in FACTORS.items()
        if factor not in _OF_SCORES and 2 <= len(levels(cohort.table, factor)) <= _MAX_GROUPS
    }
    picked = st.segmented_control(
        "Groups by", [_TOGETHER, *headings], default=_TOGETHER, required=True, key="unscored_by"
    )
    if picked == _TOGETHER:
        return [cohort]
    column = levels_of(cohort.table, headings[picked])
    return [Cohort(level, cohort.table[column == level]) for level in column.cat.categories]
