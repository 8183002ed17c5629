"""Import: which patients of this table can be counted, and why not the others?"""

import streamlit as st

from ctrs import ui

ui.frame("Import")
st.markdown(
    "A cohort's table, **one row a patient**, becomes a cohort of the statistics pages. First you"
    " see what would be kept and what would be dropped, and why; nothing is written before you say"
    " so. Identifiers become pseudonyms."
)

with ui.explained("Imported cohorts", stop=False):
    ui.offer_removal()

with ui.explained("The table"):
    table = ui.choose_table()
    mapping = ui.ask_mapping(table)
    run = ui.try_import(table, mapping)
    ui.offer_import(run)

with st.expander("How to read this page"):
    st.markdown(
        """
        **Time zero is the follow-up CT.** Survival by anything that is known only then may not be
        counted from an earlier day. Where the times of the table begin at treatment, say when the
        follow-up CT was: in a column, or one time for all. Who died or was last seen before it is
        dropped.

        **A row is dropped** without an identifier, a time or an outcome; for a time below 0 or
        above 50 years; for a value that cannot be; and where a patient occurs again. Rows that
        say the same count once. Where rows of one patient disagree none is kept: nobody can tell
        which is right.

        **Cells that are not understood** count as unknown, and free text is not kept.
        """
    )
