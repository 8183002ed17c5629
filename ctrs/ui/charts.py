"""Plotly figures on a page: readable on light and dark, in words for screen readers, to take away.

A picture is made by the browser that shows it: plotly's own camera button needs no server and no
network. For that the figure is redrawn dark on white, with the notice in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from ctrs import NOTICE
from ctrs.figures import for_paper

# Streamlit's own chart text is a grey with too little contrast for small print.
_TEXT = {"light": "#16202A", "dark": "#E8EDF2"}
_PAPER_PX = 900
_FORMATS = {"SVG": "svg", "PNG": "png"}


@dataclass(frozen=True)
class Exhibit:
    """A figure and what travels with it.

    Attributes:
        key: Names widgets and files.
        words: Say the same to who cannot see the figure.
        data: The numbers in it, of groups and never of persons.
        methods: How it was made, for a Methods section.
    """

    key: str
    figure: go.Figure
    words: str
    data: pd.DataFrame
    methods: str


@st.fragment
def show_exhibit(exhibit: Exhibit) -> None:
    """Draw a figure, and offer it as a picture, as a table and in words."""
    key = exhibit.key
    picture = st.session_state.get(f"{key}_picture")
    if picture:
        _show_for_paper(exhibit, _FORMATS[picture])
    else:
        show_figure(exhibit.figure, key, exhibit.words)
    with st.popover("Take along", icon=":material/download:"):
        st.segmented_control("As a picture", list(_FORMATS), key=f"{key}_picture")
        st.markdown(
            ":small[The figure turns black on white; then press the **camera** above it. Your"
            " browser makes the picture; nothing leaves this machine.]"
        )
        st.download_button(
            "As a table (CSV, groups only, no patients)",
            as_csv(exhibit.data, exhibit.methods),
            file_name=f"ctrs-{key}.csv",
            mime="text/csv",
            icon=":material/table:",
            on_click="ignore",
            key=f"{key}_csv",
        )
        st.markdown("For a Methods section:")
        st.code(exhibit.methods, language=None, wrap_lines=True)


def as_csv(data: pd.DataFrame, methods: str) -> str:
    """A table; its first lines say what it must not be used for, and how it was made."""
    about = f"# {NOTICE}\n# {methods.removesuffix(NOTICE).strip()}\n"
    return about + data.to_csv(index=False, float_format="%.6g")


def show_figure(figure: go.Figure, key: str, words: str) -> None:
    """Draw a figure as wide as its column; ``words`` say the same to who cannot see it."""
    if colour := _TEXT.get(st.context.theme.type or ""):
        figure.update_layout(font_color=colour)
        figure.update_xaxes(tickfont_color=colour, title_font_color=colour)
        figure.update_yaxes(tickfont_color=colour, title_font_color=colour)
    st.plotly_chart(figure, key=key, alt=words, config={"displayModeBar": False})


def _show_for_paper(exhibit: Exhibit, file_format: str) -> None:
    figure = for_paper(exhibit.figure)
    camera = {
        "format": file_format,
        "filename": f"ctrs-{exhibit.key}",
        "width": _PAPER_PX,  # whatever the width of the column: the small print needs it
        "height": figure.layout.height,
        "scale": 2,
    }
    st.plotly_chart(
        figure,
        key=f"{exhibit.key}_{file_format}",
        theme=None,
        alt=exhibit.words,
        config={
            "displayModeBar": True,
            "displaylogo": False,
            "modeBarButtons": [["toImage"]],
            "toImageButtonOptions": camera,
        },
    )
