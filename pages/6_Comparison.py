"""Comparison: does CTRS say more than RECIST and the tumour volume change?"""

import streamlit as st

from ctrs import ui

ui.frame("Comparison")
st.markdown(
    "Three readings of the same two scans: the **score** (CTRS), the **RECIST** class, and the"
    " **tumour volume change** (TVC). Whose order agrees better with who died first?"
)

with ui.explained("Comparison"):
    chosen = ui.same_patients(ui.choose_patients())

st.subheader("Who orders the patients better", anchor=False)
ui.show_gains(chosen)

with ui.explained("Reclassification", stop=False):
    st.subheader("Where the score puts the patients of each RECIST class", anchor=False)
    ui.show_reclassification(chosen)

with ui.explained("Tumour change", stop=False):
    st.subheader("How the tumours changed", anchor=False)
    ui.show_tumour_changes(chosen)

with st.expander("How to read this page"):
    st.markdown(
        """
        **C-index**: of two patients, how often the one with the worse reading dies first. 0.5 is
        tossing a coin, 1 is always. **AUC** is the same for "dead or alive 12 months after the
        follow-up CT". A difference whose interval holds 0 may be chance.

        **All three start at the follow-up CT** and are measured on the same patients. The
        intervals say how far a difference depends on who was there; how they are made stands in
        the sentence for a Methods section under *Take along*.

        **The wider a flow, the more patients.** Its colour is how many of them were alive at 12
        months; the table underneath says the same in numbers.

        **RECIST is more than diameters**: a new lesion is progression whatever the sum does. The
        sphere's curve shows what a change of diameter would be in volume.

        **Inside the grey box** a change is no larger than between two scans of one day.
        """
    )
