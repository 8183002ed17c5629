"""What happened to each patient of a list."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from ctrs.figures.style import GREY, PATTERNS, TIME_AXIS, axis, blank, look
from ctrs.types import RiskGroup


def swimmer_figure(table: pd.DataFrame) -> go.Figure:
    """One lane a patient from the follow-up CT on, in the order of the table, first on top.

    A cross is a death, an arrow a patient alive when follow-up ended. Lanes bear the numbers in
    ``place``, not pseudonyms: the picture may be taken away.

    Args:
        table: As in `ctrs.types.Cohort`, with a column ``place`` (int).
    """
    figure = blank(height=150 + 17 * len(table), left=70, right=20, top=60, bottom=80)
    lanes = np.arange(len(table))
    for index, group in enumerate(RiskGroup):
        own = (table["risk_group"] == group).to_numpy()
        figure.add_bar(
            x=table["months"][own],
            y=lanes[own],
            orientation="h",
            width=0.7,
            name=f"{group} (n = {int(own.sum())})",
            marker={
                "color": look(group, index)[0],
                "pattern": {"shape": PATTERNS[group], "size": 6},
                "line": {"width": 0},
            },
            hovertemplate="%{x:.1f} months<extra>%{fullData.name}</extra>",
        )
    died = table["event"].to_numpy(dtype=bool)
    for own, symbol, name in (
        (died, "x-thin-open", "died"),
        (~died, "triangle-right", "alive when follow-up ended"),
    ):
        figure.add_scatter(
            x=table["months"][own] + 0.45,
            y=lanes[own],
            mode="markers",
            marker={
                "symbol": symbol,
                "size": 8,
                "color": GREY,
                "line": {"width": 3, "color": GREY},
            },
            name=name,
            hoverinfo="name",
        )
    furthest = float(table["months"].max()) if len(table) else 12.0
    figure.add_vline(x=12, line={"color": GREY, "width": 1, "dash": "dot"})
    figure.update_layout(
        barmode="overlay",
        xaxis=axis(TIME_AXIS, range=[0, furthest * 1.05 + 1], dtick=6),
        yaxis={
            "title": {"text": "Patient (number in the list)"},
            "tickvals": lanes[::5],
            "ticktext": [str(place) for place in table["place"].to_numpy()[::5]],
            "range": [len(table) - 0.4, -0.6],
            "showgrid": False,
            "zeroline": False,
        },
    )
    return figure


def swimmer_table(table: pd.DataFrame) -> pd.DataFrame:
    """Of each risk group: patients, deaths, and how many are followed past 6, 12 and 24 months."""
    rows = []
    for group in RiskGroup:
        own = table[table["risk_group"] == group]
        row = {"risk_group": str(group), "patients": len(own), "deaths": int(own["event"].sum())}
        rows.append(
            row | {f"followed_past_{m}_months": int((own["months"] > m).sum()) for m in (6, 12, 24)}
        )
    return pd.DataFrame(rows)
