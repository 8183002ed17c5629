"""What all figures share: colours, dashes, axes, and what none of them may be used for.

Every figure lies on whatever is behind it (light or dark) and takes its text colour from there.
Colours are Okabe & Ito's, which colour-blind people can tell apart; none carries a meaning
alone: groups differ in their dash too, icons and rows in their shape, bars in their pattern.
"""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from ctrs import NOTICE
from ctrs.types import Floats, RiskGroup

Values = Sequence[float] | Floats

_NOTICE = "notice"
_NOTICE_PX = 44

TIME_AXIS = "Months since follow-up CT"

BLUE, VERMILION, GREEN = "#0072B2", "#D55E00", "#009E73"
PURPLE, ORANGE, SKY = "#CC79A7", "#E69F00", "#56B4E9"
GREY = "#808080"  # as far from white as from black
FAINT_GREY = "rgba(128,128,128,0.25)"

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

PATTERNS = {RiskGroup.LOW: "", RiskGroup.HIGH: "/"}  # of bars

RECIST_WORDS = {
    "CR": "CR, complete response",
    "PR": "PR, partial response",
    "SD": "SD, stable disease",
    "PD": "PD, progressive disease",
    "NE": "NE, not evaluable",
}

HOVER = "%{x:.1f} months: %{y:.0%}<extra>%{fullData.name}</extra>"


def blank(*, height: int, left: int, right: int, top: int, bottom: int) -> go.Figure:
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
        name=_NOTICE,
        **note(x=1, xanchor="right", below=bottom),
    )
    return figure


def for_paper(figure: go.Figure) -> go.Figure:
    """A copy to be taken away: dark on white, with all that must be said wherever it turns up."""
    paper = go.Figure(figure)
    below = paper.layout.margin.b
    paper.update_layout(
        paper_bgcolor="white",
        plot_bgcolor="white",
        font_color="black",
        height=paper.layout.height + _NOTICE_PX,
        margin_b=below + _NOTICE_PX,
    )
    for axes in (paper.update_xaxes, paper.update_yaxes):
        axes(tickfont_color="black", title_font_color="black")
    paper.update_annotations({"text": ""}, selector={"name": _NOTICE})
    paper.add_annotation(
        text=NOTICE.replace(". Our", ".<br>Our"),
        align="left",
        **note(x=0, xanchor="left", below=below + _NOTICE_PX) | {"opacity": 1.0},
    )
    return paper


def add_predicted_band(figure: go.Figure, x: Values, lower: Values, upper: Values) -> None:
    """Shade from the lower to the upper end of a prediction's interval."""
    for bound, fill in ((lower, None), (upper, "tonexty")):
        figure.add_scatter(
            x=x,
            y=bound,
            mode="lines",
            line={"width": 0, "color": BLUE},
            fill=fill,
            fillcolor=see_through(BLUE),
            hoverinfo="skip",
        )


def stamp(figure: go.Figure, text: str) -> None:
    """Say across a figure how far it is not to be trusted."""
    figure.add_annotation(
        text=f"<b>{text}</b>",
        xref="x domain",
        yref="y domain",
        x=0.99,
        y=0.97,
        xanchor="right",
        yanchor="top",
        showarrow=False,
        font={"size": 16},
        bordercolor=GREY,
        borderwidth=2,
        borderpad=4,
    )


def note(*, x: float, xanchor: str, below: int) -> dict[str, object]:
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


def axis(title: str, standoff: int = 12, **more: object) -> dict[str, object]:
    return {
        "title": {"text": title, "font": {"size": 14}, "standoff": standoff},
        "gridcolor": FAINT_GREY,
        "linecolor": GREY,
        "showline": True,
        "ticks": "outside",
        "zeroline": False,
        **more,
    }


def probability_axis(title: str) -> dict[str, object]:
    return axis(title, range=[0, 1.02], tickformat=".0%", dtick=0.25)


def look(label: str, index: int) -> tuple[str, str]:
    return _LOOK_OF.get(label, _LOOKS[index % len(_LOOKS)])


def swatch(label: str, index: int) -> str:
    colour, dash = look(label, index)
    return coloured(_SWATCHES[dash], colour) + " "


def coloured(text: str, colour: str) -> str:
    return f'<span style="color:{colour}"><b>{text}</b></span>'


def see_through(colour: str, opacity: float = 0.18) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def in_percent(lower: float, upper: float) -> str:
    return f"{lower * 100:.0f}–{upper:.0%}"
