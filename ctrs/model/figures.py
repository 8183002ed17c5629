"""A figure for each step of the training, where matplotlib is installed; they change nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SMOOTHED_OVER = 100  # steps


def draw_loss(losses: Sequence[float], file: Path) -> None:
    """The loss of the first network, step by step and smoothed."""

    def draw(axes: Axes) -> None:
        axes.plot(losses, color="0.8", lw=0.5)
        n = min(SMOOTHED_OVER, len(losses))
        smooth = np.convolve(losses, np.ones(n) / n, "valid")
        axes.plot(np.arange(n - 1, len(losses)), smooth, color="C0")
        axes.set(xlabel="step", ylabel=f"loss, mean of {n} steps", ylim=(0, None))

    _draw(draw, file)


def draw_against_truth(measured: np.ndarray, true: np.ndarray, what: str, file: Path) -> None:
    """Measured against true values, (N,) each, on the diagonal where they agree."""

    def draw(axes: Axes) -> None:
        axes.plot(true, measured, ".", ms=3, alpha=0.5)
        ends = [min(true.min(), measured.min()), max(true.max(), measured.max())]
        axes.plot(ends, ends, color="0.5", lw=1)
        axes.set(xlabel=f"true {what}", ylabel=f"{what} by the network, n = {len(true)}")

    _draw(draw, file)


def _draw(draw: Callable[[Axes], None], file: Path) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    figure = Figure(figsize=(5, 4), layout="constrained")
    draw(figure.add_subplot())
    figure.savefig(file, dpi=110)
