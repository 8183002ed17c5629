"""Cohort: does the score separate survival, and in whom?"""

import streamlit as st

from ctrs import ui

ui.frame("Cohort")

with ui.explained("Cohort"):
    chosen = ui.choose_patients()

with ui.explained("Survival", stop=False):
    st.subheader("Months alive since the follow-up CT, by risk group", anchor=False)
    ui.show_survival(chosen)

st.subheader("More about these patients", anchor=False)
ui.show_more(chosen)

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
        says little alone; the interaction p says whether subgroups differ. Whether it is the
        same early and late (proportional hazards) is tested as by R's `cox.zph`.

        **Months lived of the first 12**: the mean over the group; somebody alive all the year
        lived 12.

        **Net benefit** weighs deaths rightly foreseen against false alarms; the more one is
        willing to act early, the cheaper a false alarm counts.
        """
    )
