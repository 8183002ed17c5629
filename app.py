"""Home, and where the server starts: ``streamlit run app.py``.

The server imports this file and takes ``app``; a visit of the home page runs it as a script. The
pages beside it are listed in `ctrs.ui.PAGES`.
"""

import streamlit as st

from ctrs import ui
from ctrs.memory import share_arenas

share_arenas()
app = st.App(__file__, routes=ui.ROUTES, middleware=ui.MIDDLEWARE)

if __name__ == "__main__":
    ui.frame("Serial CTRS")
    st.markdown(
        "Two chest CTs of one patient with advanced non-small cell lung cancer on immunotherapy,"
        " one before treatment and one about 12 weeks later, become one number: **how likely it is"
        " that the patient is alive 12 months after the second scan**."
    )
    st.markdown(
        "- A higher number means a longer expected life: 62 % (51–72) reads “about 62 of 100"
        " similar patients are alive; the model's own doubt reaches from 51 to 72” (90 %"
        " interval).\n"
        "- It says how things are likely to go. It does not say which treatment helps.\n"
        "- Where the scans do not allow a number, there is none, and the reason is given."
    )
    board, upload = st.columns(2)
    board.page_link(
        "pages/1_Board.py", label="**Board:** what needs attention today?", icon=":material/list:"
    )
    upload.page_link(
        "pages/2_Upload.py", label="**Upload:** score a pair of scans", icon=":material/upload:"
    )
