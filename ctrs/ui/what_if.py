"""What the number hangs on: asked for by a button, because it takes some seconds."""

from __future__ import annotations

import streamlit as st

from ctrs import NOTICE
from ctrs.figures import what_if_figure, what_if_table
from ctrs.store import StoredPair
from ctrs.ui import resources
from ctrs.ui.charts import Exhibit, show_exhibit
from ctrs.ui.messages import explained
from ctrs.ui.patient import PatientFile
from ctrs.ui.viewer import open_pair
from ctrs.what_if import WhatIf, what_if

_METHODS = (
    "The tumour that the model sees in the follow-up was made smaller and larger in steps by"
    " bending the scan around it, all lesions in proportion, and the pair was scored anew each"
    f" time; bands are 90% intervals. {NOTICE}"
)


@st.fragment
def show_what_if(file: PatientFile) -> None:
    """A curve of the score against the size of the follow-up's tumour, once it is asked for."""
    if file.pair is None or file.simulated_without_scans:
        return
    st.markdown(
        "The tumour in the follow-up CT is made smaller and larger on this patient's own scan, and"
        " the model is asked again. **This shows what the model looks at. It does not show what a"
        " treatment would do.**"
    )
    if st.toggle("Ask the model (some seconds, once for each pair)", key="what_if"):
        with explained("The question", stop=False):
            _show(_asked(file.pair))


def _asked(pair: StoredPair) -> WhatIf:
    tools = resources.workshop()
    bar = st.progress(0.0, "Changing the tumour and scoring each time…")

    def progress(share: float) -> None:
        bar.progress(share, f"Changing the tumour and scoring each time, {share:.0%} done…")

    try:
        return what_if(open_pair(pair, tools), tools, lambda: resources.model(), progress)
    finally:
        bar.empty()


def _show(found: WhatIf) -> None:
    words = "; ".join(
        f"volume {change:+.0%}: {survival:.0%} alive at 12 months"
        for change, survival in zip(found.changes, found.survival, strict=True)
    )
    show_exhibit(Exhibit("what-if", what_if_figure(found), words, what_if_table(found), _METHODS))
