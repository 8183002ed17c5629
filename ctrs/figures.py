"""Domain object in, plotly figure out. No streamlit, so every figure has a plain test.

Every figure lies on whatever is behind it (light or dark) and takes its text colour from there.
Colours are Okabe & Ito's, which colour-blind people can tell apart; none carries a meaning
alone: groups differ in their dash too, icons and rows in their shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from math import isfinite, log10

import numpy as np
import plotly.graph_objects as go

from ctrs.survival import MIN_SUBGROUP, at_risk
from ctrs.types import Cohort, Floats, HazardRatio, PredictedCurve, RiskGroup, SurvivalCurve

TIME_AXIS = "Months since follow-up CT"
MIN_AT_RISK = 5  # below this a curve is drawn thin, faint and without its band

BLUE, VERMILION, GREEN = "#0072B2", "#D55E00", "#009E73"
PURPLE, ORANGE, SKY = "#CC79A7", "#E69F00", "#56B4E9"
GREY = "#808080"  # as far from white as from black
_FAINT_GREY = "rgba(128,128,128,0.25)"

_LOOKS = (
    (BLUE, "solid"),
    (VERMILION, "dash"),
    (GREEN, "dashdot"),
    (PURPLE, "longdash"),
    (ORANGE, "longdashdot"),
    (SKY, "dot"),
)
_SWATCHES = {
    "solid": "———",
    "dash": "– – –",
    "dashdot": "– · –",
    "longdash": "— —",
    "longdashdot": "— · —",
    "dot": "· · · ·",
}
# A risk group looks the same in every figure, whoever stands beside it.
_LOOK_OF: dict[str, tuple[str, str]] = {RiskGroup.LOW: _LOOKS[0], RiskGroup.HIGH: _LOOKS[1]}

_RECIST_WORDS = {
    "CR": "CR, complete response",
    "PR": "PR, partial response",
    "SD": "SD, stable disease",
    "PD": "PD, progressive disease",
    "NE": "NE, not evaluable",
}


# --- Kaplan-Meier with the number at risk ---------------------------------------------------


def survival_figure(
    groups: Sequence[Cohort], curves: Sequence[SurvivalCurve], ticks: Sequence[float]
) -> go.Figure:
    """Kaplan-Meier curves with 95 % bands, censoring marks and the number at risk below.

    Curves are not cut off where few are left: from where fewer than 5 are at risk they go on
    thin, faint and without a band, so that nobody reads a difference into the last patients and
    nobody misses that they exist.

    Args:
        groups: One cohort a curve, in the same order.
        ticks: Months at which the axis is marked and patients are counted; 0 first.
    """
    rows_px = 22 * len(groups)
    figure = _blank(height=430 + rows_px, left=130, right=20, top=50, bottom=30)
    for index, (group, curve) in enumerate(zip(groups, curves, strict=True)):
        _add_curve(figure, group, curve, *_look(curve.label, index), crowded=len(curves) > 2)
    _add_risk_table(figure, groups, [curve.label for curve in curves], ticks)

    inner_px = 350 + rows_px
    room = 0.04 * (max(ticks) - min(ticks))  # for half a count beside the first and last tick
    time_range = [min(ticks) - room, max(ticks) + room]
    figure.update_layout(
        xaxis=_axis(TIME_AXIS, anchor="y", tickvals=list(ticks), range=time_range),
        xaxis2={"matches": "x", "visible": False, "anchor": "y2"},
        yaxis={**_probability_axis("Alive"), "domain": [(rows_px + 90) / inner_px, 1]},
        yaxis2={"domain": [0, rows_px / inner_px]},
    )
    figure.add_annotation(
        text=f"Thin line: fewer than {MIN_AT_RISK} at risk. Tick: follow-up ends alive. "
        "Band: 95% (log-log).",
        **_note(x=0, xanchor="left", below=30),
        xshift=-120,
    )
    return figure


def _add_curve(
    figure: go.Figure, group: Cohort, curve: SurvivalCurve, colour: str, dash: str, crowded: bool
) -> None:
    followed = np.sort(group.table["months"].to_numpy(dtype=float))
    firm_until = float(followed[-MIN_AT_RISK]) if len(followed) >= MIN_AT_RISK else 0.0
    _add_band(figure, curve, firm_until, _see_through(colour, 0.07 if crowded else 0.18))
    line = {"shape": "hv", "color": colour, "dash": dash}
    common = {"mode": "lines", "legendgroup": curve.label, "hovertemplate": _HOVER}
    months, survival = _until(curve, curve.survival, firm_until)
    figure.add_scatter(
        x=months,
        y=survival,
        line={**line, "width": 3},
        name=f"{curve.label} (n = {curve.n_patients}, {curve.n_events} deaths)",
        **common,
    )
    rest = curve.months > firm_until
    figure.add_scatter(
        x=[months[-1], *curve.months[rest]],
        y=[survival[-1], *curve.survival[rest]],
        line={**line, "width": 1.5},
        opacity=0.6,
        name=f"{curve.label}, fewer than {MIN_AT_RISK} at risk",
        showlegend=False,
        **common,
    )
    censored = np.sort(group.table.loc[~group.table["event"].astype(bool), "months"].unique())
    figure.add_scatter(
        x=censored,
        y=_step(curve.months, curve.survival, censored),
        mode="markers",
        marker={"symbol": "line-ns-open", "color": colour, "size": 8},
        name=f"{curve.label}, follow-up ends alive",
        legendgroup=curve.label,
        showlegend=False,
        hovertemplate=_HOVER,
    )


def _add_band(figure: go.Figure, curve: SurvivalCurve, until: float, fill_colour: str) -> None:
    for bound, fill in ((curve.lower, None), (curve.upper, "tonexty")):
        months, band = _until(curve, bound, until)
        figure.add_scatter(
            x=months,
            y=np.where(np.isnan(band), 0, band),
            mode="lines",
            line={"shape": "hv", "width": 0},
            fill=fill,
            fillcolor=fill_colour,
            legendgroup=curve.label,
            showlegend=False,
            hoverinfo="skip",
        )


def _until(curve: SurvivalCurve, values: Floats, month: float) -> tuple[Floats, Floats]:
    """The steps up to a time, with a point at that very time."""
    kept = curve.months <= month
    at_end = _step(curve.months, values, np.array([month]))
    return np.append(curve.months[kept], month), np.append(values[kept], at_end)


def _step(months: Floats, values: Floats, at: Floats) -> Floats:
    """Read a right-continuous step function."""
    return np.asarray(values[np.searchsorted(months, at, side="right") - 1], dtype=np.float64)


def _add_risk_table(
    figure: go.Figure, groups: Sequence[Cohort], labels: Sequence[str], ticks: Sequence[float]
) -> None:
    for row, (group, label) in enumerate(zip(groups, labels, strict=True)):
        figure.add_scatter(
            x=list(ticks),
            y=[row] * len(ticks),
            text=[str(count) for count in at_risk(group, ticks)],
            mode="text",
            name=f"{label}, number at risk",
            showlegend=False,
            hoverinfo="skip",
            xaxis="x2",
            yaxis="y2",
        )
    figure.update_layout(
        yaxis2={
            "range": [len(labels) - 0.5, -0.5],
            "tickvals": list(range(len(labels))),
            "ticktext": [f"{_swatch(label, i)}{label}  " for i, label in enumerate(labels)],
            "showgrid": False,
            "zeroline": False,
        }
    )
    figure.add_annotation(
        text="<b>Number at risk</b>",
        xref="x2 domain",
        yref="y2 domain",
        x=0,
        y=1,
        xanchor="left",
        yanchor="bottom",
        xshift=-120,
        showarrow=False,
    )


# --- One patient ----------------------------------------------------------------------------


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
    figure = _blank(height=420, left=70, right=180, top=60, bottom=80)
    end = predicted.months[-1]
    ends = {"<b>This patient</b><br>predicted, 90% band": (predicted.survival[-1], BLUE)}
    if like is not None:
        last = min(end, float(like.months[-1]))
        _add_band(figure, like, last, _see_through(GREY))
        months, survival = _until(like, like.survival, last)
        figure.add_scatter(
            x=months,
            y=survival,
            mode="lines",
            line={"shape": "hv", "color": GREY, "width": 3, "dash": "dash"},
            name=f"{like.label} ({n_label})",
            hovertemplate=_HOVER,
        )
        ends[f"<b>{like.label} patients</b><br>{n_label}<br>observed, 95% band"] = (
            float(survival[-1]),
            GREY,
        )
    _add_predicted(figure, predicted)
    _add_end_labels(figure, ends, end)
    _add_twelve_month_mark(figure, predicted)
    figure.update_layout(
        showlegend=False,
        xaxis=_axis(TIME_AXIS, range=[0, end], dtick=3),
        yaxis=_probability_axis("Alive"),
    )
    return figure


def _add_predicted(figure: go.Figure, predicted: PredictedCurve) -> None:
    for bound, fill in ((predicted.lower, None), (predicted.upper, "tonexty")):
        figure.add_scatter(
            x=predicted.months,
            y=bound,
            mode="lines",
            line={"width": 0, "color": BLUE},
            fill=fill,
            fillcolor=_see_through(BLUE),
            hoverinfo="skip",
        )
    figure.add_scatter(
        x=predicted.months,
        y=predicted.survival,
        mode="lines",
        line={"color": BLUE, "width": 4},
        name="This patient, predicted",
        hovertemplate=_HOVER,
    )


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
        hovertemplate=_HOVER,
    )
    figure.add_annotation(
        text=f"At 12 months: <b>{value:.0%}</b> (90% interval {_range(lower, upper)})",
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
            text=f"{_coloured('——' if colour == BLUE else '– –', colour)} {text}",
            x=at,
            y=height,
            xanchor="left",
            xshift=8,
            align="left",
            showarrow=False,
        )


def icon_array(survival_12m: float, interval: tuple[float, float]) -> go.Figure:
    """A hundred patients like this one: how many are alive at 12 months.

    Full circles up to the lower bound of the interval, rings from there to the upper bound,
    crosses above it. The counts are the printed bounds, so they add up to 100 and never differ
    from the words above them.
    """
    lower, upper = (round(100 * bound) for bound in interval)
    figure = _blank(height=390, left=10, right=10, top=60, bottom=70)
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


def score_strip(
    scores: Sequence[float], value: float, interval: tuple[float, float], cut_off: float
) -> go.Figure:
    """Where the patient's predicted 12-month survival falls among the cohort's, and the cut-off.

    Args:
        scores: Of the cohort, in [0, 1]; NaN are not drawn.
        interval: 90 %, drawn as a bar through the patient's diamond.
        cut_off: At it or above = low risk.
    """
    known = np.asarray(scores, dtype=float)
    known = known[np.isfinite(known)]
    counts, edges = np.histogram(known, bins=40, range=(0, 1))
    figure = _blank(height=210, left=20, right=20, top=55, bottom=75)
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
    _add_strip_words(figure, value, interval, cut_off)
    figure.update_layout(
        showlegend=False,
        xaxis=_axis(
            f"Predicted 12-month survival, {len(known)} patients of the cohort",
            range=[0, 1],
            tickformat=".0%",
            dtick=0.1,
        ),
        yaxis={"visible": False, "range": [0, 1.25 * top]},
    )
    return figure


def _add_strip_words(
    figure: go.Figure, value: float, interval: tuple[float, float], cut_off: float
) -> None:
    """Above the bars: no line crosses a word, wherever the cut-off and the patient are."""
    figure.add_annotation(
        text=f"{_coloured('◆', BLUE)} This patient: <b>{value:.0%}</b> "
        f"(90% interval {_range(*interval)})",
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


# --- Forest ---------------------------------------------------------------------------------


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
    figure = _blank(height=150 + 26 * len(lines), left=10, right=10, top=40, bottom=110)
    for y, line in enumerate(lines):
        if isinstance(line, HazardRatio):
            _add_forest_row(figure, line, y, axis_range)
        else:
            _add_forest_texts(figure, y, f"<b>{line[0]}</b>", "", line[1])
    header = (f"<b>{text}</b>" for text in ("", "Patients / deaths", "HR (95% CI)"))
    _add_forest_texts(figure, -1, *header)
    figure.add_vline(x=1, line={"color": GREY, "width": 2})
    _add_directions(figure)
    shown = [t for t in _FOREST_TICKS if axis_range[0] <= t <= axis_range[1]]
    figure.update_layout(
        showlegend=False,
        xaxis=_axis(
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
    heading, _, level = row.label.rpartition(": ")
    stable = heading != "" and level == "SD"
    words = _RECIST_WORDS.get(level, level).replace(">= ", "≥ ").replace(">=", "≥ ")
    text = f"   {words}" if heading else words
    texts = [text, f"{row.n_patients} / {row.n_events}", _estimate(row)]
    if stable or not heading:
        texts = [f"<b>{text}</b>" for text in texts]
    if stable:
        figure.add_shape(
            type="rect",
            xref="paper",
            x0=0,
            x1=1,
            y0=y - 0.5,
            y1=y + 0.5,
            fillcolor=_FAINT_GREY,
            line={"width": 0},
            layer="below",
        )
    _add_forest_texts(figure, y, *texts)
    if not isfinite(row.hazard_ratio):
        return
    symbol = "square" if stable else "circle" if heading else "diamond"
    _add_interval(figure, row, y, axis_range, symbol, 5 if stable else 3)


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


def _add_forest_texts(figure: go.Figure, y: int, left: str, middle: str, right: str) -> None:
    for x, anchor, text in ((0, "left", left), (0.39, "right", middle), (0.78, "left", right)):
        if text:
            figure.add_annotation(
                text=text, xref="paper", x=x, y=y, xanchor=anchor, showarrow=False
            )


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


# --- What all share -------------------------------------------------------------------------

_HOVER = "%{x:.1f} months: %{y:.0%}<extra>%{fullData.name}</extra>"


def _blank(*, height: int, left: int, right: int, top: int, bottom: int) -> go.Figure:
    """An empty figure of a height in pixels that says what it must not be used for."""
    figure = go.Figure()
    figure.update_layout(
        height=height,
        margin={"l": left, "r": right, "t": top, "b": bottom, "pad": 0},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"size": 14},
        legend={"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom"},
        bargap=0,
    )
    figure.add_annotation(
        text="Research use only",
        **_note(x=1, xanchor="right", below=bottom),
    )
    return figure


def _note(*, x: float, xanchor: str, below: int) -> dict[str, object]:
    """Small print at the lower edge, so many pixels below the axes."""
    return {
        "xref": "paper",
        "yref": "paper",
        "x": x,
        "y": 0,
        "xanchor": xanchor,
        "yanchor": "bottom",
        "yshift": -below,
        "showarrow": False,
        "font": {"size": 11},
        "opacity": 0.75,
    }


def _axis(title: str, standoff: int = 12, **more: object) -> dict[str, object]:
    return {
        "title": {"text": title, "font": {"size": 14}, "standoff": standoff},
        "gridcolor": _FAINT_GREY,
        "linecolor": GREY,
        "showline": True,
        "ticks": "outside",
        "zeroline": False,
        **more,
    }


def _probability_axis(title: str) -> dict[str, object]:
    return _axis(title, range=[0, 1.02], tickformat=".0%", dtick=0.25)


def _look(label: str, index: int) -> tuple[str, str]:
    return _LOOK_OF.get(label, _LOOKS[index % len(_LOOKS)])


def _swatch(label: str, index: int) -> str:
    colour, dash = _look(label, index)
    return _coloured(_SWATCHES[dash], colour) + " "


def _coloured(text: str, colour: str) -> str:
    return f'<span style="color:{colour}"><b>{text}</b></span>'


def _see_through(colour: str, opacity: float = 0.18) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def _range(lower: float, upper: float) -> str:
    return f"{lower * 100:.0f}–{upper:.0%}"
