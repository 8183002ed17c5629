"""Patient: what is the outlook, how sure, compared to whom?"""

import streamlit as st

from ctrs import ui

ui.frame("Patient")
file = ui.chosen_patient()
score = file.score

# --- The answer -----------------------------------------------------------------------------

with ui.explained("Patient"):
    ui.show_header(file)
    ui.show_why_not(file)
    ui.show_caution(file)
    if score and score.assessable:
        answer, reading, facts = st.columns([1.1, 1, 1.2], border=True)
        with answer:
            ui.show_answer(score)
        with reading:
            ui.show_reading(file)
        with facts:
            ui.show_facts(score)
        st.markdown(
            ":small[The number predicts how things will go. It does **not** say whether a treatment"
            " helps.]"
        )

# --- The scans ------------------------------------------------------------------------------

if file.pair:
    st.subheader("What changed", anchor=False)
    with ui.explained("The scans", stop=False):
        ui.show_scans(file)

# --- Compared to whom -----------------------------------------------------------------------

if score and score.assessable:
    st.subheader("Compared to whom", anchor=False)
    with ui.explained("The comparison", stop=False):
        reference = ui.choose_reference()
        curves, others = st.columns([1.4, 1])
        with curves:
            ui.show_placement(file, reference)
        with others:
            ui.show_strip(score, reference)
    with st.expander("As a picture of 100 patients"):
        ui.show_icons(score)
    with st.expander("What does the number hang on?"):
        ui.show_what_if(file)

ui.offer_download(file)
st.page_link("pages/1_Board.py", label="Back to the board", icon=":material/arrow_back:")
