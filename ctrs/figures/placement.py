"""One patient's predicted curve over what happened to others, and the score among theirs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from ctrs.figures.kaplan_meier import add_band, step_at, steps_until
from ctrs.figures.style import (
    BLUE,
    GREY,
    HOVER,
    TIME_AXIS,
    VERMILION,
    add_predicted_band,
    axis,
    blank,
    coloured,
    in_percent,
    probability_axis,
    see_through,
)
from ctrs.types import PredictedCurve, SurvivalCurve


def placement_figure(
    predicted: PredictedCurve, like: SurvivalCurve | None, n_label: str
) -> go.Figure:
    """The patient's predicted curve over what happened to patients of the same risk group.

    Args:
        predicted: With its 90 % band.
        like: Kaplan-Meier from the follow-up CT on, grey with its 95 % band; ``None``: no such
            patients.
        n_label: How many they are, e.g. ``"n = 138, 80 deaths"``.
    """
    figure = blank(height=420, left=70, right=180, top=60, bottom=80)
    end = predicted.months[-1]
    ends = {"<b>This patient</b><br>predicted, 90% band": (predicted.survival[-1], BLUE)}
    if like is not None:
        last = min(end, float(like.months[-1]))
        add_band(figure, like, last, see_through(GREY))
        months, survival = steps_until(like, like.survival, last)
        figure.add_scatter(
            x=months,
            y=survival,
            mode="lines",
            line={"shape": "hv", "color": GREY, "width": 3, "dash": "dash"},
            name=f"{like.label} ({n_label})",
            hovertemplate=HOVER,
        )
        ends[f"<b>{like.label}</b><br>{n_label}<br>observed, 95% band"] = (
            float(survival[-1]),
            GREY,
        )
    _add_predicted(figure, predicted)
    _add_end_labels(figure, ends, end)
    _add_twelve_month_mark(figure, predicted)
    figure.update_layout(
        showlegend=False,
        xaxis=axis(TIME_AXIS, range=[0, end], dtick=3),
        yaxis=probability_axis("Alive"),
    )
    return figure


def _add_predicted(figure: go.Figure, predicted: PredictedCurve) -> None:
    add_predicted_band(figure, predicted.months, predicted.lower, predicted.upper)
    figure.add_scatter(
        x=predicted.months,
        y=predicted.survival,
        mode="lines",
        line={"color": BLUE, "width": 4},
        name="This patient, predicted",
        hovertemplate=HOVER,
    )


def placement_table(predicted: PredictedCurve, like: SurvivalCurve | None) -> pd.DataFrame:
    """The predicted curve with its 90 % band, and beside it the others' with its 95 % band."""
    months = np.asarray(predicted.months)
    table = pd.DataFrame(
        {"months": months, "predicted": predicted.survival, "predicted_lower_90": predicted.lower,
         "predicted_upper_90": predicted.upper}
    )  # fmt: skip
    if like is not None:
        followed = months <= like.months[-1]
        for name, values in (("observed", like.survival), ("observed_lower_95", like.lower),
                             ("observed_upper_95", like.upper)):  # fmt: skip
            table[name] = np.where(followed, step_at(like.months, values, months), np.nan)
    return table


def _add_twelve_month_mark(figure: go.Figure, predicted: PredictedCurve) -> None:
    value, lower, upper = (
        float(np.interp(12.0, predicted.months, values))
        for values in (predicted.survival, predicted.lower, predicted.upper)
    )
    figure.add_vline(x=12, line={"color": GREY, "width": 1, "dash": "dot"})
    figure.add_scatter(
        x=[12],
        y=[value],
        mode="markers",
        marker={"color": BLUE, "size": 12, "symbol": "diamond"},
        error_y={
            "type": "data",
            "array": [upper - value],
            "arrayminus": [value - lower],
            "color": BLUE,
            "thickness": 3,
            "width": 8,
        },
        name="This patient at 12 months",
        hovertemplate=HOVER,
    )
    figure.add_annotation(
        text=f"At 12 months: <b>{value:.0%}</b> (90% interval {in_percent(lower, upper)})",
        x=12,
        y=1,
        yref="y domain",
        yanchor="bottom",
        yshift=4,
        showarrow=False,
        font={"size": 16},
    )


def _add_end_labels(figure: go.Figure, ends: dict[str, tuple[float, str]], at: float) -> None:
    """Name the curves where they end, the names kept apart where the curves are not."""
    at_least = 0.1
    for text, (survival, colour) in sorted(ends.items(), key=lambda item: item[1][0]):
        height = max(survival, at_least)
        at_least = height + 0.3  # three lines of text
        figure.add_annotation(
            text=f"{coloured('——' if colour == BLUE else '– –', colour)} {text}",
            x=at,
            y=height,
            xanchor="left",
            xshift=8,
            align="left",
            showarrow=False,
        )


def score_strip(
    scores: Sequence[float], value: float, interval: tuple[float, float], cut_off: float
) -> go.Figure:
    """Where the patient's predicted 12-month survival falls among the cohort's, and the cut-off.

    Args:
        scores: Of the cohort, in [0, 1], as bars and as a rug; NaN are not drawn.
        interval: 90 %, drawn as a bar through the patient's diamond.
        cut_off: At it or above = low risk.
    """
    known = np.asarray(scores, dtype=float)
    known = known[np.isfinite(known)]
    counts, edges = np.histogram(known, bins=40, range=(0, 1))
    figure = blank(height=235, left=20, right=20, top=55, bottom=75)
    figure.add_bar(
        x=(edges[:-1] + edges[1:]) / 2,
        y=counts,
        width=0.022,
        marker={"color": GREY, "opacity": 0.6},
        hovertemplate="%{y} patients<extra></extra>",
    )
    top = 1.25 * max(int(counts.max()), 1)
    figure.add_scatter(x=interval, y=[top, top], mode="lines", line={"color": BLUE, "width": 6})
    figure.add_scatter(
        x=[value],
        y=[top],
        mode="markers",
        marker={"symbol": "diamond", "color": BLUE, "size": 16},
        hovertemplate="This patient: %{x:.0%}<extra></extra>",
    )
    figure.add_vline(x=cut_off, line={"color": VERMILION, "width": 2, "dash": "dash"})
    figure.add_scatter(
        x=known,
        y=np.full(len(known), -0.14 * top),
        mode="markers",
        marker={"symbol": "line-ns-open", "color": GREY, "size": 8, "line": {"width": 1}},
        hoverinfo="skip",
    )
    _add_strip_words(figure, value, interval, cut_off)
    figure.update_layout(
        showlegend=False,
        xaxis=axis(
            f"Predicted 12-month survival, {len(known)} patients of the cohort",
            range=[0, 1],
            tickformat=".0%",
            dtick=0.1,
        ),
        yaxis={"visible": False, "range": [-0.28 * top, 1.25 * top]},
    )
    return figure


def strip_table(scores: Sequence[float]) -> pd.DataFrame:
    """How many patients of the cohort have which score, in steps of 5 points."""
    counts, edges = np.histogram(np.asarray(scores, dtype=float), bins=20, range=(0, 1))
    return pd.DataFrame({"from": edges[:-1], "to": edges[1:], "patients": counts})


def _add_strip_words(
    figure: go.Figure, value: float, interval: tuple[float, float], cut_off: float
) -> None:
    """Above the bars: no line crosses a word, wherever the cut-off and the patient are."""
    figure.add_annotation(
        text=f"{coloured('◆', BLUE)} This patient: <b>{value:.0%}</b> "
        f"(90% interval {in_percent(*interval)})",
        xref="paper",
        x=0,
        y=1,
        yref="y domain",
        yanchor="bottom",
        yshift=24,
        showarrow=False,
        font={"size": 16},
    )
    for text, anchor in (
        ("◀ High risk  ", "right"),
        (f"  Low risk ▶ (cut-off {cut_off:.0%})", "left"),
    ):
        figure.add_annotation(
            text=text,
            x=cut_off,
            y=1,
            yref="y domain",
            yanchor="bottom",
            xanchor=anchor,
            showarrow=False,
        )
