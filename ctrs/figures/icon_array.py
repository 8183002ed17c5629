"""A hundred patients like this one."""

from __future__ import annotations

import plotly.graph_objects as go

from ctrs.figures.style import BLUE, GREY, blank


def icon_array(survival_12m: float, interval: tuple[float, float]) -> go.Figure:
    """A hundred patients like this one: how many are alive at 12 months.

    Full circles up to the lower bound of the interval, rings from there to the upper bound,
    crosses above it. The counts are the printed bounds, so they add up to 100 and never differ
    from the words above them.
    """
    lower, upper = (round(100 * bound) for bound in interval)
    figure = blank(height=390, left=10, right=10, top=60, bottom=70)
    parts = (
        (range(lower), "circle", BLUE, f"{lower} alive"),
        (range(lower, upper), "circle-open", BLUE, f"{upper - lower} uncertain"),
        (range(upper, 100), "x-thin-open", GREY, f"{100 - upper} not alive"),
    )
    for icons, symbol, colour, name in parts:
        figure.add_scatter(
            x=[icon % 10 for icon in icons],
            y=[icon // 10 for icon in icons],
            mode="markers",
            marker={
                "symbol": symbol,
                "color": colour,
                "size": 15,
                "line": {"width": 3, "color": colour},
            },
            name=name,
            showlegend=True,
            hoverinfo="name",
        )
    figure.update_layout(
        title={
            "text": f"Of 100 patients like this, about <b>{survival_12m * 100:.0f}</b> are alive "
            f"at 12 months<br>(90% interval {lower} to {upper})",
            "font": {"size": 16},
            "x": 0.5,
            "xanchor": "center",
        },
        xaxis={"visible": False, "range": [-0.7, 9.7]},
        yaxis={"visible": False, "range": [9.7, -0.7], "scaleanchor": "x"},
        legend={"orientation": "h", "x": 0.5, "xanchor": "center", "y": -0.02, "yanchor": "top"},
    )
    return figure
