"""Plotly figures on a page: readable on light and dark, and with words for screen readers."""

from __future__ import annotations

import plotly.graph_objects as go
import streamlit as st

# Streamlit's own chart text is a grey with too little contrast for small print.
_TEXT = {"light": "#16202A", "dark": "#E8EDF2"}


def show_figure(figure: go.Figure, key: str, words: str) -> None:
    """Draw a figure as wide as its column; ``words`` say the same to who cannot see it."""
    if colour := _TEXT.get(st.context.theme.type or ""):
        figure.update_layout(font_color=colour)
        figure.update_xaxes(tickfont_color=colour, title_font_color=colour)
        figure.update_yaxes(tickfont_color=colour, title_font_color=colour)
    st.plotly_chart(figure, key=key, alt=words, config={"displayModeBar": False})
