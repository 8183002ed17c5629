"""Board: what needs attention today?"""

import streamlit as st

from ctrs import ui

ui.frame("Board")
st.markdown(
    "What needs attention comes first: patients whose **predicted survival disagrees** with RECIST"
    " or with the tumour volume. Open a patient by the pseudonym."
)

with ui.explained("The board"):
    rows = ui.board_rows()
    if not rows:
        st.info("Nobody is on the board yet. Upload a baseline and a follow-up CT first.")
        st.page_link("pages/2_Upload.py", label="Upload scans", icon=":material/upload:")
        st.stop()
    shown = ui.filtered_rows(rows)
    ui.show_board(shown)

with st.expander("How to read this page"):
    st.markdown(
        """
        **The percentage** is the predicted chance of being alive 12 months after the follow-up
        CT, with its 90 % interval. Low and high risk are its two sides of the model's cut-off.

        **Volume** is the change of the tumour volume since the baseline CT. From −12 to +13 % is
        what one tumour varies by between two scans of one day: *inside noise*.

        **The order**: stable or responding by RECIST but high risk; progressing by RECIST but low
        risk; volume disagrees; something could not be assessed; all agree.
        """
    )
