"""Kaplan-Meier curves with the number at risk."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from ctrs.figures.style import (
    HOVER,
    TIME_AXIS,
    axis,
    blank,
    look,
    note,
    probability_axis,
    see_through,
    stamp,
    swatch,
)
from ctrs.survival import at_risk, survival_at
from ctrs.types import Cohort, Floats, SurvivalCurve

MIN_AT_RISK = 5  # below this a curve is drawn thin, faint and without its band


def survival_figure(
    groups: Sequence[Cohort],
    curves: Sequence[SurvivalCurve],
    ticks: Sequence[float],
    *,
    time_axis: str = TIME_AXIS,
    exploratory: bool = False,
) -> go.Figure:
    """Kaplan-Meier curves with 95 % bands, censoring marks and the number at risk below.

    Curves are not cut off where few are left: from where fewer than 5 are at risk they go on
    thin, faint and without a band, so that nobody reads a difference into the last patients and
    nobody misses that they exist.

    Args:
        groups: One cohort a curve, in the same order.
        ticks: Months at which the axis is marked and patients are counted; 0 first.
        time_axis: Names the time zero.
        exploratory: The groups were cut by looking at these very data; the figure says so.
    """
    rows_px = 22 * len(groups)
    figure = blank(height=430 + rows_px, left=130, right=20, top=50, bottom=30)
    for index, (group, curve) in enumerate(zip(groups, curves, strict=True)):
        _add_curve(figure, group, curve, *look(curve.label, index), crowded=len(curves) > 2)
    _add_risk_table(figure, groups, [curve.label for curve in curves], ticks)

    inner_px = 350 + rows_px
    room = 0.04 * (max(ticks) - min(ticks))  # for half a count beside the first and last tick
    time_range = [min(ticks) - room, max(ticks) + room]
    figure.update_layout(
        xaxis=axis(time_axis, anchor="y", tickvals=list(ticks), range=time_range),
        xaxis2={"matches": "x", "visible": False, "anchor": "y2"},
        yaxis={**probability_axis("Alive"), "domain": [(rows_px + 90) / inner_px, 1]},
        yaxis2={"domain": [0, rows_px / inner_px]},
    )
    figure.add_annotation(
        text=f"Thin line: fewer than {MIN_AT_RISK} at risk. Tick: follow-up ends alive. "
        "Band: 95% (log-log).",
        **note(x=0, xanchor="left", below=30),
        xshift=-120,
    )
    if exploratory:
        stamp(figure, "EXPLORATORY: cut chosen on these data")
    return figure


def _add_curve(
    figure: go.Figure, group: Cohort, curve: SurvivalCurve, colour: str, dash: str, crowded: bool
) -> None:
    followed = np.sort(group.table["months"].to_numpy(dtype=float))
    firm_until = float(followed[-MIN_AT_RISK]) if len(followed) >= MIN_AT_RISK else 0.0
    add_band(figure, curve, firm_until, see_through(colour, 0.07 if crowded else 0.18))
    line = {"shape": "hv", "color": colour, "dash": dash}
    common = {"mode": "lines", "legendgroup": curve.label, "hovertemplate": HOVER}
    months, survival = steps_until(curve, curve.survival, firm_until)
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
        y=step_at(curve.months, curve.survival, censored),
        mode="markers",
        marker={"symbol": "line-ns-open", "color": colour, "size": 8},
        name=f"{curve.label}, follow-up ends alive",
        legendgroup=curve.label,
        showlegend=False,
        hovertemplate=HOVER,
    )


def add_band(figure: go.Figure, curve: SurvivalCurve, until: float, fill_colour: str) -> None:
    for bound, fill in ((curve.lower, None), (curve.upper, "tonexty")):
        # A death at the very end belongs to the thin part: its step would tear the band's edge.
        firm = np.flatnonzero(curve.months < until) if until > 0 else np.array([0])
        months, band = np.append(curve.months[firm], until), np.append(bound[firm], bound[firm[-1]])
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


def steps_until(curve: SurvivalCurve, values: Floats, month: float) -> tuple[Floats, Floats]:
    """The steps up to a time, with a point at that very time."""
    kept = curve.months <= month
    at_end = step_at(curve.months, values, np.array([month]))
    return np.append(curve.months[kept], month), np.append(values[kept], at_end)


def step_at(months: Floats, values: Floats, at: Floats) -> Floats:
    """Read a right-continuous step function."""
    return np.asarray(values[np.searchsorted(months, at, side="right") - 1], dtype=np.float64)


def survival_table(
    groups: Sequence[Cohort], curves: Sequence[SurvivalCurve], months: Sequence[float]
) -> pd.DataFrame:
    """Each group's survival with its 95 % interval and number at risk; nobody's own months."""
    return pd.DataFrame(
        [
            {
                "group": curve.label, "months": month, "survival": at.survival,
                "lower_95": at.lower, "upper_95": at.upper, "at_risk": at.at_risk,
                "patients": curve.n_patients, "deaths": curve.n_events,
            }
            for group, curve in zip(groups, curves, strict=True)
            for month in months
            for at in [survival_at(curve, group, month)]
        ]
    )  # fmt: skip


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
            "ticktext": [f"{swatch(label, i)}{label}  " for i, label in enumerate(labels)],
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
