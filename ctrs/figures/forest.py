"""Hazard ratios, overall and by subgroup."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from math import isfinite, log10

import pandas as pd
import plotly.graph_objects as go

from ctrs.figures.style import BLUE, FAINT_GREY, GREY, RECIST_WORDS, axis, blank
from ctrs.survival import MIN_SUBGROUP
from ctrs.types import HazardRatio


def forest_figure(rows: Sequence[HazardRatio]) -> go.Figure:
    """Hazard ratios per +10 points, overall and by subgroup, on a log axis.

    Args:
        rows: As `ctrs.survival.subgroup_hazard_ratios` gives them: a label ``"heading: level"``
            is drawn under its heading, any other as a line of its own with a diamond. A row of
            NaN says why it has no estimate. The row of stable disease stands on a grey bar, in
            bold, with a square.
    """
    lines = _forest_lines(rows)
    axis_range = _forest_range(rows)
    figure = blank(height=150 + 26 * len(lines), left=10, right=10, top=40, bottom=110)
    texts = _forest_texts(-1, ["", "<b>Patients / deaths</b>", "<b>HR (95% CI)</b>"])
    for y, line in enumerate(lines):
        if isinstance(line, HazardRatio):
            _add_forest_row(figure, line, y, axis_range)
            texts += _forest_texts(y, _row_texts(line))
        else:
            texts += _forest_texts(y, [f"<b>{line[0]}</b>", "", line[1]])
    # All at once: plotly goes through all the others whenever one is added.
    figure.update_layout(annotations=[*figure.layout.annotations, *texts])
    figure.add_vline(x=1, line={"color": GREY, "width": 2})
    _add_directions(figure)
    shown = [t for t in _FOREST_TICKS if axis_range[0] <= t <= axis_range[1]]
    figure.update_layout(
        showlegend=False,
        xaxis=axis(
            "Hazard ratio of death per +10 points of predicted survival (log scale)",
            standoff=34,
            type="log",
            range=[log10(limit) for limit in axis_range],
            tickvals=shown,
            ticktext=[f"{tick:g}" for tick in shown],
            domain=_FOREST_DOMAIN,
        ),
        yaxis={"visible": False, "range": [len(lines) - 0.4, -1.5]},
    )
    return figure


def forest_table(rows: Sequence[HazardRatio]) -> pd.DataFrame:
    """One row a hazard ratio, as drawn."""
    return pd.DataFrame(
        [
            {
                "of": row.label, "hazard_ratio": row.hazard_ratio, "lower_95": row.lower,
                "upper_95": row.upper, "p_interaction": row.p_interaction,
                "patients": row.n_patients, "deaths": row.n_events,
            }
            for row in rows
        ]
    )  # fmt: skip


_FOREST_TICKS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0)
_FOREST_WIDEST = (0.1, 10.0)  # an interval that leaves this ends in an arrow
_FOREST_DOMAIN = [0.42, 0.76]

_Heading = tuple[str, str]  # the factor, and what its interaction test says


def _forest_lines(rows: Sequence[HazardRatio]) -> list[HazardRatio | _Heading]:
    lines: list[HazardRatio | _Heading] = []
    for heading, members in groupby(rows, key=lambda row: row.label.rpartition(": ")[0]):
        levels = list(members)
        if heading:
            lines.append((heading, _interaction(levels[0].p_interaction)))
        lines.extend(levels)
    return lines


def _interaction(p_value: float | None) -> str:
    if p_value is None:
        return ""
    if p_value < 0.001:
        return "interaction p < 0.001"
    return f"interaction p = {p_value:.{2 if p_value >= 0.0995 else 3}f}"


def _forest_range(rows: Sequence[HazardRatio]) -> tuple[float, float]:
    lowest = min([row.lower for row in rows if isfinite(row.lower)], default=0.5)
    highest = max([row.upper for row in rows if isfinite(row.upper)], default=2.0)
    narrowest, widest = _FOREST_WIDEST
    return max(narrowest, min(0.5, lowest * 0.95)), min(widest, max(1.5, highest * 1.05))


def _add_forest_row(
    figure: go.Figure, row: HazardRatio, y: int, axis_range: tuple[float, float]
) -> None:
    heading, stable = _place(row)
    if stable:
        figure.add_shape(
            type="rect",
            xref="paper",
            x0=0,
            x1=1,
            y0=y - 0.5,
            y1=y + 0.5,
            fillcolor=FAINT_GREY,
            line={"width": 0},
            layer="below",
        )
    if not isfinite(row.hazard_ratio):
        return
    symbol = "square" if stable else "circle" if heading else "diamond"
    _add_interval(figure, row, y, axis_range, symbol, 5 if stable else 3)


def _row_texts(row: HazardRatio) -> list[str]:
    heading, stable = _place(row)
    level = row.label.rpartition(": ")[2]
    words = RECIST_WORDS.get(level, level).replace(">= ", "≥ ").replace(">=", "≥ ")
    text = f"   {words}" if heading else words
    texts = [text, f"{row.n_patients} / {row.n_events}", _estimate(row)]
    return [f"<b>{text}</b>" for text in texts] if stable or not heading else texts


def _place(row: HazardRatio) -> tuple[str, bool]:
    """The heading that a row stands under, or ``""``; and whether it is that of stable disease."""
    heading, _, level = row.label.rpartition(": ")
    return heading, heading != "" and level == "SD"


def _add_interval(
    figure: go.Figure,
    row: HazardRatio,
    y: int,
    axis_range: tuple[float, float],
    symbol: str,
    width: int,
) -> None:
    lower, upper = max(row.lower, axis_range[0]), min(row.upper, axis_range[1])
    figure.add_scatter(
        x=[lower, upper],
        y=[y, y],
        mode="lines+markers",
        line={"color": BLUE, "width": width},
        marker={
            "color": BLUE,
            "size": 9,
            "symbol": [
                "triangle-left" if lower > row.lower else "line-ns-open",
                "triangle-right" if upper < row.upper else "line-ns-open",
            ],
        },
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=[min(max(row.hazard_ratio, lower), upper)],
        y=[y],
        mode="markers",
        marker={"color": BLUE, "size": 18 if symbol == "diamond" else 13, "symbol": symbol},
        name=row.label,
        hovertemplate=f"{row.label}: {_estimate(row)}<extra></extra>",
    )


def _estimate(row: HazardRatio) -> str:
    if isfinite(row.hazard_ratio):
        return f"{row.hazard_ratio:.2f} ({row.lower:.2f} – {row.upper:.2f})"
    if row.n_patients < MIN_SUBGROUP:
        return f"too few (n = {row.n_patients})"
    return "no deaths" if row.n_events == 0 else "no estimate"


def _forest_texts(y: int, texts: Sequence[str]) -> list[dict[str, object]]:
    """Annotations of one line: what, how many, and the estimate."""
    columns = ((0, "left"), (0.39, "right"), (0.78, "left"))
    return [
        {"text": text, "xref": "paper", "x": x, "y": y, "xanchor": anchor, "showarrow": False}
        for text, (x, anchor) in zip(texts, columns, strict=True)
        if text
    ]


def _add_directions(figure: go.Figure) -> None:
    """Say in words which side of the line is which."""
    for text, anchor, shift in (
        ("◀ higher score, lower hazard", "right", -6),
        ("higher score, higher hazard ▶", "left", 6),
    ):
        figure.add_annotation(
            text=text,
            x=0,  # log10(1): annotations on a log axis are placed by exponent
            y=0,
            yref="y domain",
            yanchor="top",
            yshift=-26,
            xanchor=anchor,
            xshift=shift,
            showarrow=False,
            font={"size": 12},
        )
