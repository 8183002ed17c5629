"""How tumours changed: patient by patient, and by volume against by diameter."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from ctrs.figures.style import GREY, PATTERNS, PURPLE, axis, blank, coloured, look
from ctrs.response import (
    DIAMETER_NOISE,
    PARTIAL_RESPONSE,
    PROGRESSION,
    VOLUME_NOISE,
    VOLUME_PROGRESSION,
    VOLUME_RESPONSE,
)
from ctrs.types import Cohort, RiskGroup

MOST = 2.0  # +200 %: who grew more than that is drawn at the upper edge
_SYMBOLS = {RiskGroup.LOW: "circle-open", RiskGroup.HIGH: "x-thin-open"}


def waterfall_figure(cohort: Cohort) -> go.Figure:
    """Tumour volume change of each patient, largest growth first, by risk group.

    Who has no volume change is not drawn; a star marks new lesions by the reader. Bars above
    +200 % are cut and counted in the small print. Nobody is named.
    """
    table = cohort.table.dropna(subset=["volume_change"])
    table = table.sort_values(["volume_change", "survival_12m"], ascending=False)
    table = table.assign(place=np.arange(1, len(table) + 1))
    figure = blank(height=460, left=70, right=20, top=50, bottom=80)
    for index, group in enumerate(RiskGroup):
        own = table[table["risk_group"] == group]
        figure.add_bar(
            x=own["place"],
            y=own["volume_change"].clip(upper=MOST),
            customdata=own["volume_change"],
            name=f"{group} (n = {len(own)})",
            marker={
                "color": look(group, index)[0],
                "pattern": {"shape": PATTERNS[group], "size": 5},
                "line": {"width": 0},
            },
            hovertemplate="%{customdata:+.0%}<extra>%{fullData.name}</extra>",
        )
    _add_new_lesions(figure, table)
    for y, words, x, anchor in (
        (VOLUME_PROGRESSION, "+73%: a sphere whose diameter grew by 20%", 1, "right"),
        (VOLUME_RESPONSE, "−66%: a sphere whose diameter shrank by 30%", 0.01, "left"),
    ):
        figure.add_hline(y=y, line={"color": GREY, "width": 2, "dash": "dash"})
        figure.add_annotation(
            text=words, xref="x domain", x=x, y=y, xanchor=anchor, yanchor="bottom",
            showarrow=False, font={"size": 12},
        )  # fmt: skip
    over = int((table["volume_change"] > MOST).sum())
    figure.update_layout(
        bargap=0.1,
        xaxis=axis(
            f"{len(table)} patients, largest growth first{_over(over)}", showticklabels=False
        ),
        yaxis=axis(
            "Tumour volume change at the follow-up CT",
            tickformat="+.0%",
            range=[-1.08, MOST * 1.12],
        ),
    )
    return figure


def _over(n: int) -> str:
    return f" ({n} grew by more than {MOST:.0%}: cut)" if n else ""


def _add_new_lesions(figure: go.Figure, table: pd.DataFrame) -> None:
    if "new_lesions" not in table:
        return
    new = table[table["new_lesions"] > 0]
    figure.add_scatter(
        x=new["place"],
        y=new["volume_change"].clip(lower=0, upper=MOST) + 0.06,
        mode="markers",
        marker={"symbol": "star", "size": 9, "color": GREY},
        name=f"new lesion by the reader (n = {len(new)})",
        hoverinfo="name",
    )


def waterfall_table(cohort: Cohort) -> pd.DataFrame:
    """How many of each risk group fall into each class of volume change; nobody's own change."""
    table = cohort.table.dropna(subset=["volume_change"])
    edges = [-np.inf, VOLUME_RESPONSE, *VOLUME_NOISE, VOLUME_PROGRESSION, np.inf]
    names = ["-66 % or less", "shrunk", "within noise", "grown", "+73 % or more"]
    classes = pd.cut(table["volume_change"], edges, labels=names)
    counts = pd.crosstab(table["risk_group"], classes, dropna=False)
    return counts.rename_axis(None, axis=1).reset_index()


def volume_diameter_figure(cohort: Cohort) -> go.Figure:
    """Change by volume against change by diameter, with the box that is measurement noise.

    Who lacks one of the two is not drawn; changes are cut at +200 %.
    """
    table = changes(cohort)
    figure = blank(height=480, left=70, right=20, top=50, bottom=80)
    diameter = np.linspace(-1, PROGRESSION**3, 121)
    diameter = diameter[(1 + diameter) ** 3 - 1 <= MOST]
    figure.add_shape(
        type="rect",
        x0=DIAMETER_NOISE[0], x1=DIAMETER_NOISE[1], y0=VOLUME_NOISE[0], y1=VOLUME_NOISE[1],
        line={"color": PURPLE, "width": 3}, layer="above",
    )  # fmt: skip
    figure.add_scatter(
        x=diameter,
        y=(1 + diameter) ** 3 - 1,
        mode="lines",
        line={"color": GREY, "width": 2, "dash": "dot"},
        name="a sphere",
        hoverinfo="skip",
    )
    for index, group in enumerate(RiskGroup):
        own = table[table["risk_group"] == group]
        colour = look(group, index)[0]
        figure.add_scatter(
            x=own["diameter_change"].clip(upper=MOST),
            y=own["volume_change"].clip(upper=MOST),
            mode="markers",
            marker={
                "symbol": _SYMBOLS[group], "size": 8, "color": colour,
                "line": {"width": 2, "color": colour},
            },
            name=f"{group} (n = {len(own)})",
            hovertemplate="diameters %{x:+.0%}, volume %{y:+.0%}<extra>%{fullData.name}</extra>",
        )  # fmt: skip
    for limit in (PARTIAL_RESPONSE - 1, PROGRESSION - 1):
        figure.add_vline(x=limit, line={"color": GREY, "width": 1, "dash": "dash"})
    figure.add_annotation(
        text=f"{coloured('▭', PURPLE)} box: two scans of one day (95%)",
        xref="x domain", yref="y domain", x=0.99, y=0.02, xanchor="right", yanchor="bottom",
        showarrow=False, font={"size": 12},
    )  # fmt: skip
    figure.update_layout(
        xaxis=axis(
            "Change of the sum of diameters (RECIST), dashed: −30% and +20%",
            tickformat="+.0%",
            range=[-1.05, 1.25],
        ),
        yaxis=axis("Tumour volume change", tickformat="+.0%", range=[-1.08, MOST * 1.08]),
    )
    return figure


def changes(cohort: Cohort) -> pd.DataFrame:
    """Rows with both changes; ``diameter_change`` as a fraction of the baseline sum."""
    table = cohort.table
    table = table[table["sum_baseline_mm"] > 0].dropna(subset=["sum_follow_up_mm", "volume_change"])
    return table.assign(diameter_change=table["sum_follow_up_mm"] / table["sum_baseline_mm"] - 1)


def volume_diameter_table(cohort: Cohort) -> pd.DataFrame:
    """How many lie inside the noise by volume, by diameter, by both or by none, by risk group."""
    table = changes(cohort)
    volume, diameter = (
        table[column].between(*noise)
        for column, noise in (("volume_change", VOLUME_NOISE), ("diameter_change", DIAMETER_NOISE))
    )
    where = np.select(
        [volume & diameter, volume, diameter],
        ["both within noise", "volume within noise", "diameters within noise"],
        "both beyond noise",
    )
    counts = pd.crosstab(table["risk_group"], pd.Series(where, table.index), dropna=False)
    return counts.rename_axis(None, axis=1).reset_index()
