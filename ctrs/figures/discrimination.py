"""How well scores order the patients: over time, and against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from ctrs.analysis import Compared
from ctrs.figures.style import BLUE, GREY, TIME_AXIS, axis, blank
from ctrs.survival import Difference, Estimate

_SYMBOLS = ("circle", "square", "diamond", "triangle-up")


def auc_figure(over_time: Mapping[float, Estimate]) -> go.Figure:
    """AUC of the score at each number of months, with its 95 % interval."""
    figure = blank(height=400, left=70, right=20, top=50, bottom=80)
    months = list(over_time)
    values = [over_time[month] for month in months]
    figure.add_scatter(
        x=months,
        y=[value.estimate for value in values],
        error_y={
            "type": "data",
            "array": [value.upper - value.estimate for value in values],
            "arrayminus": [value.estimate - value.lower for value in values],
            "thickness": 2,
            "width": 8,
        },
        mode="lines+markers",
        line={"color": BLUE, "width": 3},
        marker={"size": 11},
        name="CTRS (95% interval)",
        hovertemplate="%{x} months: %{y:.2f}<extra></extra>",
    )
    figure.add_hline(
        y=0.5,
        line={"color": GREY, "width": 2, "dash": "dot"},
        annotation_text="0.5 = tossing a coin",
        annotation_position="bottom right",
    )
    figure.update_layout(
        showlegend=True,
        xaxis=axis(TIME_AXIS, tickvals=months, range=[0, max(months, default=12) + 3]),
        yaxis=axis("AUC (1 = perfect order)", range=[0.4, 1.0], dtick=0.1),
    )
    return figure


def auc_table(over_time: Mapping[float, Estimate]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"months": month, "auc": value.estimate, "lower_95": value.lower,
             "upper_95": value.upper, "patients": value.n_patients}
            for month, value in over_time.items()
        ]
    )  # fmt: skip


def gain_figure(rows: Mapping[str, Sequence[Compared]]) -> go.Figure:
    """By how much CTRS orders better than each other reading, with its 95 % interval.

    Args:
        rows: What `ctrs.analysis.compare` found, by measure, such as ``{"C-index": …}``.
    """
    gains = [
        (f"{measure}: {one.name}", index, one.gain)
        for index, (measure, found) in enumerate(rows.items())
        for one in found
        if one.gain is not None
    ]
    reach = max((abs(b) for _, _, g in gains for b in (g.lower, g.upper)), default=0.1) * 1.15
    figure = blank(height=170 + 44 * len(gains), left=170, right=20, top=60, bottom=80)
    for y, (name, index, gain) in enumerate(gains):
        figure.add_scatter(
            x=[gain.estimate],
            y=[y],
            error_x={
                "type": "data",
                "array": [gain.upper - gain.estimate],
                "arrayminus": [gain.estimate - gain.lower],
                "thickness": 3,
                "width": 8,
            },
            mode="markers+text",
            text=[_gain_words(gain)],
            textposition="top center",
            marker={"color": BLUE, "size": 14, "symbol": _SYMBOLS[index % len(_SYMBOLS)]},
            name=name,
            hoverinfo="name+text",
        )
    figure.add_vline(x=0, line={"color": GREY, "width": 2})
    for text, x, anchor in (
        ("◀ the other is better", 0.0, "left"),
        ("CTRS is better ▶", 1.0, "right"),
    ):
        figure.add_annotation(
            text=text, xref="x domain", yref="y domain", x=x, y=1, xanchor=anchor,
            yanchor="bottom", yshift=6, showarrow=False,
        )  # fmt: skip
    figure.update_layout(
        showlegend=False,
        xaxis=axis("CTRS minus the other (C-index or AUC, 95% interval)", range=[-reach, reach]),
        yaxis={
            "tickvals": list(range(len(gains))),
            "ticktext": [f"{name.replace(': ', ' against ')}  " for name, _, _ in gains],
            "range": [len(gains) - 0.4, -0.7],
            "showgrid": False,
            "zeroline": False,
        },
    )
    return figure


def _gain_words(gain: Difference) -> str:
    words = f"{gain.estimate:+.3f} ({gain.lower:+.3f} to {gain.upper:+.3f})"
    return words.replace("-", "−")


def gain_table(rows: Mapping[str, Sequence[Compared]]) -> pd.DataFrame:
    """One row a measure and reading: the value, its interval, and the gain of CTRS with its."""
    return pd.DataFrame(
        [
            {
                "measure": measure, "of": one.name, "estimate": one.measured.estimate,
                "lower_95": one.measured.lower, "upper_95": one.measured.upper,
                "ctrs_minus_it": one.gain.estimate if one.gain else None,
                "gain_lower_95": one.gain.lower if one.gain else None,
                "gain_upper_95": one.gain.upper if one.gain else None,
                "patients": one.measured.n_patients,
            }
            for measure, found in rows.items()
            for one in found
        ]
    )  # fmt: skip
