"""Of patients to whom 60 % is predicted, do 60 % live?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from ctrs.figures.style import BLUE, FAINT_GREY, GREY, VERMILION, axis, blank
from ctrs.survival import Calibration


def calibration_figure(found: Calibration, predictions: Sequence[float]) -> go.Figure:
    """Predicted against observed survival, smoothed and in groups, over how many have what.

    Args:
        predictions: Each patient's prediction, for the bars at the lower edge.
    """
    figure = blank(height=480, left=70, right=20, top=50, bottom=80)
    figure.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        line={"color": GREY, "width": 2, "dash": "dot"},
        name="predicted = observed",
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=found.predicted,
        y=found.observed,
        mode="lines",
        line={"color": BLUE, "width": 3},
        name="observed, smoothed",
        hovertemplate="predicted %{x:.0%}: observed %{y:.0%}<extra></extra>",
    )
    _add_bins(figure, found)
    counts, edges = np.histogram(np.asarray(predictions, dtype=float), bins=40, range=(0, 1))
    figure.add_bar(
        x=(edges[:-1] + edges[1:]) / 2,
        y=0.12 * counts / max(int(counts.max()), 1),
        customdata=counts,
        width=0.022,
        marker={"color": FAINT_GREY},
        name="patients with that prediction",
        hovertemplate="%{customdata} patients<extra></extra>",
    )
    scale: dict[str, Any] = {"tickformat": ".0%", "dtick": 0.25}
    figure.update_layout(
        xaxis=axis(f"Predicted survival at {found.at:g} months", range=[0, 1], **scale),
        yaxis=axis(
            f"Observed survival at {found.at:g} months after the follow-up CT",
            range=[0, 1.02],
            **scale,
        ),
    )
    for text, x, y in (("lives longer than predicted", 0.25, 0.92),
                       ("lives shorter than predicted", 0.78, 0.22)):  # fmt: skip
        figure.add_annotation(text=text, x=x, y=y, showarrow=False, opacity=0.75)
    return figure


def _add_bins(figure: go.Figure, found: Calibration) -> None:
    known = [group for group in found.bins if np.isfinite(group.observed)]
    observed = np.array([group.observed for group in known])
    upper, lower = (
        np.nan_to_num(np.array([getattr(group, bound) for group in known]) - observed)
        for bound in ("upper", "lower")
    )
    figure.add_scatter(
        x=[group.predicted for group in known],
        y=observed,
        error_y={"type": "data", "array": upper, "arrayminus": -lower, "width": 4},
        mode="markers",
        marker={"color": VERMILION, "size": 10, "symbol": "square"},
        name="observed, in groups (95%)",
        customdata=[group.n_patients for group in known],
        hovertemplate="predicted %{x:.0%}: observed %{y:.0%} (n = %{customdata})<extra></extra>",
    )


def calibration_table(found: Calibration) -> pd.DataFrame:
    """The groups: predicted and observed survival with its 95 % interval, and their sizes."""
    return pd.DataFrame([vars(group) for group in found.bins])
