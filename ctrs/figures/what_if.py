"""The score of one pair for several sizes of the follow-up's tumour."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from ctrs.figures.style import (
    BLUE,
    GREY,
    add_predicted_band,
    axis,
    blank,
    in_percent,
    probability_axis,
)
from ctrs.what_if import WhatIf


def what_if_figure(found: WhatIf) -> go.Figure:
    """Predicted 12-month survival against change of tumour volume, with its 90 % band."""
    figure = blank(height=340, left=70, right=30, top=50, bottom=90)
    add_predicted_band(figure, found.changes, found.lower, found.upper)
    figure.add_scatter(
        x=found.changes,
        y=found.survival,
        mode="lines+markers",
        line={"color": BLUE, "width": 3},
        marker={"size": 8},
        hovertemplate="Tumour %{x:+.0%}: %{y:.0%} alive at 12 months<extra></extra>",
    )
    _mark_as_it_is(figure, found)
    figure.update_layout(
        showlegend=False,
        xaxis=axis(
            f"Change of the follow-up's tumour volume (it has {found.tumour_ml:.0f} ml)",
            tickformat="+.0%",
            tickvals=[-0.8, -0.4, 0, 0.5, 1, 1.5, 2],
        ),
        yaxis=probability_axis("Predicted 12-month survival"),
    )
    return figure


def _mark_as_it_is(figure: go.Figure, found: WhatIf) -> None:
    at = int(abs(found.changes).argmin())
    survival, lower, upper = (float(x[at]) for x in (found.survival, found.lower, found.upper))
    figure.add_vline(x=0, line={"color": GREY, "width": 1, "dash": "dot"})
    figure.add_scatter(
        x=[0],
        y=[survival],
        mode="markers",
        marker={"color": BLUE, "size": 14, "symbol": "diamond"},
        hoverinfo="skip",
    )
    figure.add_annotation(
        text=f"As it is: <b>{survival:.0%}</b> (90% interval {in_percent(lower, upper)})",
        x=0,
        y=1,
        yref="y domain",
        xanchor="left",
        yanchor="bottom",
        yshift=4,
        showarrow=False,
        font={"size": 15},
    )


def what_if_table(found: WhatIf) -> pd.DataFrame:
    """One row a step."""
    return pd.DataFrame(
        {
            "volume_change": found.changes,
            "survival_12m": found.survival,
            "lower_90": found.lower,
            "upper_90": found.upper,
        }
    )
