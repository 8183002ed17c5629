"""Model: what is it, for whom, when not to use it?"""

import streamlit as st

from ctrs import ui

ui.frame("Model")
st.markdown(
    "Our own ensemble of neural networks. The first network finds tumour, fluid, scars and muscle"
    " in each scan, the others read from what was measured, and from the days between the scans,"
    " how survival goes on."
)

what_for, not_for = st.columns(2, border=True)
what_for.markdown(
    """
    **For whom it was made**
    - Adults with advanced non-small cell lung cancer on immunotherapy
    - A chest CT before treatment and one about 12 weeks later
    - Research, and teaching how such a score would be read
    """
)
not_for.markdown(
    """
    **When not to use it**
    - To choose, continue or stop a treatment
    - For other tumours, other treatments, or one scan alone
    - As evidence about people: it was **trained on simulated patients**
    """
)

st.subheader("What the number means", anchor=False)
st.markdown(
    """
    The predicted chance of being alive **12 months after the follow-up CT**. Higher = lives
    longer. The interval in brackets is wide: it was made to hold the true chance of nine in ten
    simulated patients (measured below), and does not cover what the simulation got wrong. The
    number does not say whether a treatment works, and two patients with one number can have very
    different lives ahead.
    """
)

st.subheader("When there is a number", anchor=False)
ui.show_zones()
ui.show_intake()

st.subheader("The weights in use", anchor=False)
ui.show_card()
