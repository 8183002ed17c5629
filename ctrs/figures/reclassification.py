"""Where the score puts the patients of each RECIST class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite

import pandas as pd
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from ctrs.analysis import Flow
from ctrs.figures.style import GREY, RECIST_WORDS, blank
from ctrs.survival import MIN_GROUP
from ctrs.types import Recist, RiskGroup

_SCALE = "Cividis"  # as good as the same to colour-blind people, and from dark to light in grey
_HEIGHT_PX, _PAD_PX, _NODE_PX = 390, 24, 22
_LEAST_PX = 22  # a flow less wide has no room for words
_DOMAIN = (0.2, 0.84)


def reclassification_figure(flows: Sequence[Flow]) -> go.Figure:
    """RECIST classes on the left, risk groups on the right, flows as wide as patients.

    A flow's colour, and the words where it begins, are the observed survival of its patients at
    the time of `Flow.observed`; it is grey where they are fewer than 10 or nobody was followed
    that long. The scale stands beside.
    """
    left = _sizes(flows, "recist", Recist)
    right = _sizes(flows, "risk_group", RiskGroup)
    unit = (1 - (len(left) - 1) * _PAD_PX / _HEIGHT_PX) / max(sum(left.values()), 1)
    tops = _tops(left, unit), _tops(right, unit)
    figure = blank(height=_HEIGHT_PX + 70, left=10, right=90, top=20, bottom=50)
    names = [*left, *right]
    figure.add_sankey(
        arrangement="fixed",
        domain={"x": list(_DOMAIN)},
        node={
            "label": [""] * len(names),  # plotly would write them across the flows
            "customdata": [str(name) for name in names],
            "hovertemplate": "%{customdata}: %{value} patients<extra></extra>",
            "x": [0.001] * len(left) + [0.999] * len(right),
            "y": [
                top[name] + unit * sizes[name] / 2
                for top, sizes in zip(tops, (left, right), strict=True)
                for name in sizes
            ],
            "color": GREY,
            "pad": _PAD_PX,
            "thickness": _NODE_PX,
        },
        link={
            "source": [names.index(flow.recist) for flow in flows],
            "target": [names.index(flow.risk_group) for flow in flows],
            "value": [flow.n_patients for flow in flows],
            "color": [_colour(flow) for flow in flows],
            "line": {"color": GREY, "width": 1},
            "customdata": [_words(flow) for flow in flows],
            "hovertemplate": "%{customdata}<extra></extra>",
        },
    )
    for sizes, top, x, anchor in (
        (left, tops[0], _DOMAIN[0] - 0.01, "right"),
        (right, tops[1], _DOMAIN[1] + 0.01, "left"),
    ):
        for name, size in sizes.items():
            text = f"{RECIST_WORDS.get(name, name)}<br><b>n = {size}</b>"
            _write(figure, text, x, top[name] + unit * size / 2, anchor)
    _add_shares(figure, flows, tops[0], unit)
    _add_scale(figure)
    figure.update_layout(xaxis={"visible": False}, yaxis={"visible": False})
    return figure


def _sizes(flows: Sequence[Flow], of: str, order: type[Recist] | type[RiskGroup]) -> dict[str, int]:
    """Patients by class or group, those that somebody is in, in their own order."""
    sums = {
        str(name): sum(flow.n_patients for flow in flows if getattr(flow, of) == name)
        for name in order
    }
    return {name: size for name, size in sums.items() if size}


def _tops(sizes: Mapping[str, int], unit: float) -> dict[str, float]:
    """Upper ends of the nodes of one side, as shares of the height from the top; centred."""
    pad = _PAD_PX / _HEIGHT_PX
    at = (1 - unit * sum(sizes.values()) - pad * (len(sizes) - 1)) / 2
    tops = {}
    for name, size in sizes.items():
        tops[name] = at
        at += unit * size + pad
    return tops


def _add_shares(
    figure: go.Figure, flows: Sequence[Flow], tops: Mapping[str, float], unit: float
) -> None:
    below = dict(tops)
    for flow in flows:
        middle = below[flow.recist] + unit * flow.n_patients / 2
        below[flow.recist] += unit * flow.n_patients
        known = flow.n_patients >= MIN_GROUP and isfinite(flow.observed.survival)
        if known and unit * flow.n_patients * _HEIGHT_PX >= _LEAST_PX:
            text = f"  {flow.observed.survival:.0%} alive (n = {flow.n_patients})"
            # The scale is dark below the middle, whatever lies behind the figure.
            colour = "white" if flow.observed.survival < 0.6 else "black"
            _write(figure, text, _DOMAIN[0] + 0.03, middle, "left", colour)


def _write(
    figure: go.Figure, text: str, x: float, from_top: float, anchor: str, colour: str | None = None
) -> None:
    figure.add_annotation(
        text=text, xref="paper", yref="paper", x=x, y=1 - from_top, xanchor=anchor,
        yanchor="middle", align=anchor, showarrow=False, font={"color": colour},
    )  # fmt: skip


def _add_scale(figure: go.Figure) -> None:
    figure.add_scatter(  # nothing is drawn but its colour bar
        x=[None],
        y=[None],
        mode="markers",
        marker={
            "colorscale": _SCALE, "cmin": 0, "cmax": 1, "color": [0.5], "showscale": True,
            "colorbar": {
                "title": {"text": "Alive at<br>12 months"}, "tickformat": ".0%", "dtick": 0.25,
                "thickness": 16,
            },
        },
        showlegend=False,
        hoverinfo="skip",
    )  # fmt: skip


def _colour(flow: Flow) -> str:
    if flow.n_patients < MIN_GROUP or not isfinite(flow.observed.survival):
        return GREY
    (colour,) = sample_colorscale(_SCALE, [flow.observed.survival])
    return str(colour)


def _words(flow: Flow) -> str:
    alive = flow.observed.survival
    if flow.n_patients < MIN_GROUP:
        known = "too few to say more"
    elif isfinite(alive):
        known = f"{alive:.0%} alive at {flow.observed.months:g} months"
    else:
        known = "not followed that long"
    return f"{flow.recist} → {flow.risk_group}: {flow.n_patients} patients, {known}"


def reclassification_table(flows: Sequence[Flow]) -> pd.DataFrame:
    """One row a flow: its size, deaths, and observed survival with its 95 % interval."""
    return pd.DataFrame(
        [
            {
                "recist": str(flow.recist), "risk_group": str(flow.risk_group),
                "patients": flow.n_patients, "deaths": flow.n_events,
                "months": flow.observed.months, "observed_survival": flow.observed.survival,
                "lower_95": flow.observed.lower, "upper_95": flow.observed.upper,
                "at_risk": flow.observed.at_risk,
            }
            for flow in flows
        ]
    )  # fmt: skip
