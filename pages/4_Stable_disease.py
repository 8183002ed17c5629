"""Stable disease: what does the score add where RECIST says nothing?"""

import streamlit as st

from ctrs import ui

ui.frame("Stable disease")
st.markdown(
    "RECIST calls a tumour **stable** that neither shrank nor grew enough. Some of these patients"
    " live for years, others die within months. This page shows whether the score tells them apart."
)

with ui.explained("Stable disease"):
    chosen = ui.choose_patients(ui.STABLE)

with ui.explained("Survival", stop=False):
    st.subheader("Months alive since the follow-up CT, by risk group", anchor=False)
    ui.show_stable_survival(chosen)

with ui.explained("The patients", stop=False):
    st.subheader("The patients, one by one", anchor=False)
    ui.show_stable_patients(chosen)

with st.expander("How to read this page"):
    st.markdown(
        """
        **Low and high risk** are the two sides of the cut-off that is stored with the model. It
        was fixed on other patients; nothing on this page moves it.

        **Time zero is the follow-up CT**: RECIST calls nobody stable before it, and the score
        does not exist before it.

        **Each bar is one patient**: a cross at its end is a death, an arrow means alive when
        follow-up ended. The number beside it is the patient's line in the list.

        **One patient may live long with a low number, and the other way round.** The groups
        differ; no bar is foretold.
        """
    )
