"""Cohort: does the score separate survival, and in whom?"""

import streamlit as st

from ctrs import ui

ui.frame("Cohort")

# --- Whom to look at ------------------------------------------------------------------------

with ui.explained("Cohort"):
    name, table = ui.choose_cohort()
    ui.show_denominators(name)
    cohort = ui.filters(name, table)

# --- Show -----------------------------------------------------------------------------------

with ui.explained("Survival"):
    st.subheader("Months alive since the follow-up CT, by risk group", anchor=False)
    curves = ui.show_survival(cohort)
with ui.explained("Hazard ratios"):
    st.subheader("In whom does the score work", anchor=False)
    rows = ui.show_hazards(cohort)
ui.offer_csv(cohort, curves, rows)

# --- Explain --------------------------------------------------------------------------------

with st.expander("How to read this page"):
    st.markdown(
        """
        **Each step down is a death**, each tick a patient whose follow-up ends alive. The table
        under the curves counts who is still followed: where few are left, the curve says little.

        **Time zero is the follow-up CT**, because the score does not exist before it. Who died or
        was lost before that scan is not here.

        **The log-rank p** says how often chance alone would separate the groups this much. It is
        not given for groups under 10. Trying many filters finds small p values by chance.

        **The hazard ratio per 10 points**: 0.75 means that of two patients 10 points apart, the
        one with the higher score dies at three quarters of the other's rate. A subgroup's row
        says little alone; the interaction p says whether subgroups differ.
        """
    )
