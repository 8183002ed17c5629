"""What every page begins with: menu, heading, notice, and the demo on first start."""

from __future__ import annotations

import streamlit as st

from ctrs import NOTICE, places
from ctrs.ui.resources import build_demo_once

PAGES = {
    "app.py": "Home",
    "pages/1_Board.py": "Board",
    "pages/2_Upload.py": "Upload",
    "pages/3_Patient.py": "Patient",
    "pages/4_Stable_disease.py": "Stable disease",
    "pages/5_Cohort.py": "Cohort",
    "pages/6_Comparison.py": "Comparison",
    "pages/7_Import.py": "Import",
    "pages/8_Model.py": "Model",
}


def frame(title: str) -> None:
    """Start a page. The notice comes before anything that may stop the page."""
    st.set_page_config(
        page_title=f"{title} · Serial CTRS",
        page_icon="🫁",
        layout="wide",
        initial_sidebar_state=220,
    )
    st.html(places.ROOT / "assets" / "app.css")
    with st.sidebar:
        st.markdown("**Serial CTRS**")
        for path, label in PAGES.items():
            st.page_link(path, label=label)
    st.title(title, anchor=False)
    st.markdown(f":small[**{NOTICE.split('. ')[0]}.** {NOTICE.partition('. ')[2]}]")
    build_demo_once()
