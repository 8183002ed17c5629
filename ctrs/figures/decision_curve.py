"""Would acting on the score do more good than acting on everybody, or on nobody?"""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from ctrs.figures.style import BLUE, GREY, VERMILION, axis, blank
from ctrs.survival import DecisionCurve


def decision_figure(curve: DecisionCurve) -> go.Figure:
    """Net benefit over the risk of death from which on one would act."""
    figure = blank(height=430, left=70, right=20, top=50, bottom=80)
    for values, name, colour, dash in (
        (curve.net_benefit, "act on CTRS", BLUE, "solid"),
        (curve.treat_all, "act on everybody", VERMILION, "dash"),
        (np.zeros_like(curve.threshold), "act on nobody", GREY, "dot"),
    ):
        figure.add_scatter(
            x=curve.threshold,
            y=values,
            mode="lines",
            line={"color": colour, "width": 3, "dash": dash},
            name=name,
            hovertemplate="from a risk of %{x:.0%}: %{y:.3f}<extra>%{fullData.name}</extra>",
        )
    top = max(0.05, float(np.nanmax([*curve.net_benefit, *curve.treat_all])) * 1.1)
    figure.update_layout(
        xaxis=axis(
            f"Act from this predicted risk of death within {curve.at:g} months of the follow-up CT",
            range=[0, 1],
            tickformat=".0%",
            dtick=0.1,
        ),
        yaxis=axis("Net benefit (deaths rightly foreseen per patient)", range=[-0.25 * top, top]),
    )
    return figure


def decision_table(curve: DecisionCurve) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "risk_of_death": curve.threshold,
            "net_benefit_ctrs": curve.net_benefit,
            "net_benefit_everybody": curve.treat_all,
            "share_acted_on": curve.acted_on,
        }
    )
