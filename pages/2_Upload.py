"""Upload: is this the right pair, and what does it say?"""

import streamlit as st

from ctrs import ui

ui.frame("Upload")
st.markdown(
    "Two chest CTs of one patient: **before treatment** and **about 12 weeks later**. Localisers,"
    " reports and other series may be among the files: the best series is chosen, and the page says"
    " why. Names and dates in the files are not kept."
)

baseline, follow_up = ui.choose_scans()
st.page_link("pages/8_Model.py", label="Which scans are accepted, and why", icon=":material/rule:")
series = ui.choose_series(baseline, follow_up)
clinic = ui.ask_clinic()

# --- Score ----------------------------------------------------------------------------------

ready = bool(baseline and follow_up)
if not ready:
    which = "the next pair" if ui.has_outcome() else "the pair"
    st.markdown(f"Both scans are needed before {which} can be scored.")
if st.button("Score this pair", type="primary", disabled=not ready, key="score"):
    ui.score_upload(baseline, follow_up, clinic, series)

# --- Show -----------------------------------------------------------------------------------

ui.show_outcome()
