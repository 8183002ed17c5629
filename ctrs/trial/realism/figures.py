"""Figures of the realism report. Plain: axis units, n in the legends, never colour alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ctrs.kernels import Sharpness
from ctrs.survival import at_risk
from ctrs.trial.realism.evidence import MeasuredScan
from ctrs.trial.realism.tables import CHECKED, ClassSurvival, distribution
from ctrs.trial.realism.tissues import Histogram, pooled
from ctrs.types import SurvivalCurve

# Okabe and Ito's, which colour-blind people can tell apart; real is solid, simulated dashed.
REAL, SIMULATED, GREY = "#0072B2", "#D55E00", "#808080"
MARKERS = "osD^vP"
RISK_MONTHS = (0, 6, 12, 18, 24)
MAX_MONTHS = 24.0  # the real follow-up ends there
CHANGE_RANGE = (-105.0, 155.0)  # % change; what lies beyond is said in the legend


def _figure(
    columns: int, width: float = 8.6, height: float = 3.6, fitted: bool = True
) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width, height), layout="constrained" if fitted else None)
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    return figure, list(axes)


def _label(axis: Axes, x: str, y: str, title: str = "") -> None:
    axis.set_xlabel(x, fontsize=8)
    axis.set_ylabel(y, fontsize=8)
    axis.set_title(title, fontsize=9, loc="left")


# --- Tables ---------------------------------------------------------------------------------


def change_figure(real: pd.Series, simulated: pd.Series) -> Figure:
    """Distribution functions of the change, and quantile against quantile."""
    figure, (left, right) = _figure(2)
    for values, name, colour, style in (
        (real, "real", REAL, "-"),
        (simulated, "simulated", SIMULATED, "--"),
    ):
        x, share = distribution(values)
        beyond = float((values > CHANGE_RANGE[1]).mean())
        label = f"{name}, n = {len(values):,} ({beyond:.1%} beyond)"
        left.step(x, share, style, where="post", color=colour, label=label)
    left.set_xlim(*CHANGE_RANGE)
    for cut in (-30, 20):
        left.axvline(cut, color=GREY, linewidth=0.7, linestyle=":")
    _label(left, "Change of diameters at day 70-98, %", "Share of patients at or below")
    left.legend(fontsize=7.5, frameon=False, loc="lower right")
    _quantiles(right, real, simulated)
    return figure


def _quantiles(axis: Axes, real: pd.Series, simulated: pd.Series) -> None:
    percentiles = np.arange(1, 100)
    x, y = np.percentile(real, percentiles), np.percentile(simulated, percentiles)
    axis.plot(x, y, ".", color=SIMULATED, markersize=3, label="percentiles 1 to 99")
    checked = np.percentile(real, CHECKED), np.percentile(simulated, CHECKED)
    axis.plot(*checked, "s", color=REAL, fillstyle="none", label="10, 25, 50, 75, 90")
    axis.plot(CHANGE_RANGE, CHANGE_RANGE, color=GREY, linewidth=0.8, label="equal")
    axis.fill_between(CHANGE_RANGE, np.subtract(CHANGE_RANGE, 5), np.add(CHANGE_RANGE, 5),
                      color=GREY, alpha=0.2, label="within 5 points")  # fmt: skip
    axis.set_xlim(*CHANGE_RANGE)
    axis.set_ylim(*CHANGE_RANGE)
    _label(axis, "Real change, %", "Simulated change, %", "Quantile against quantile")
    axis.legend(fontsize=7.5, frameon=False, loc="upper left")


def survival_figure(groups: Sequence[ClassSurvival]) -> Figure:
    """One panel a class: real with its 95 % band, simulated dashed, numbers at risk below."""
    figure, axes = _figure(len(groups), height=4.1, fitted=False)
    figure.subplots_adjust(0.105, 0.24, 0.99, 0.93, 0.2)
    for number, (axis, group) in enumerate(zip(axes, groups, strict=True)):
        real, simulated = group.real_curve, group.simulated_curve
        shown = real.months <= MAX_MONTHS
        axis.fill_between(real.months[shown], real.lower[shown], real.upper[shown], step="post",
                          color=REAL, alpha=0.18, label="real, 95 % band")  # fmt: skip
        _curve(axis, real, "real", REAL, "-")
        _curve(axis, simulated, "simulated", SIMULATED, "--")
        axis.plot([12], [group.target], "D", color="black", markersize=4, label="target")
        axis.set_xlim(0, MAX_MONTHS)
        axis.set_ylim(0, 1.02)
        axis.set_xticks(RISK_MONTHS)
        title = group.recist + (" + CR" if group.recist == "PR" else "")
        _label(axis, "Months from the follow-up scan", "Alive" if number == 0 else "", title)
        _at_risk(axis, group, named=number == 0)
        axis.legend(fontsize=6.5, frameon=False, loc="lower left")
    return figure


def _at_risk(axis: Axes, group: ClassSurvival, named: bool) -> None:
    """Numbers at risk in rows under the ticks; the rows are named beside the first panel."""
    below = axis.get_xaxis_transform()
    rows = (("real", group.real, REAL), ("simulated", group.simulated, SIMULATED))
    for row, (name, cohort, colour) in enumerate(rows):
        height = -0.25 - 0.075 * row
        for month, n in zip(RISK_MONTHS, at_risk(cohort, RISK_MONTHS), strict=True):
            axis.text(month, height, f"{n:,}", transform=below, ha="center", fontsize=7)
        if named:
            axis.text(-2.2, height, name, transform=below, ha="right", fontsize=7, color=colour)
    if named:
        axis.text(-2.2, -0.175, "At risk", transform=below, ha="right", fontsize=7)


def _curve(axis: Axes, curve: SurvivalCurve, name: str, colour: str, style: str) -> None:
    label = f"{name}, n = {curve.n_patients:,}, {curve.n_events:,} died"
    axis.step(curve.months, curve.survival, style, where="post", color=colour, label=label)


# --- Voxels ---------------------------------------------------------------------------------


def density_figure(real: Sequence[MeasuredScan], simulated: Sequence[MeasuredScan]) -> Figure:
    """Histograms of lung, the body, and bone: each scan thin, the mean of all thick."""
    figure, axes = _figure(3, height=3.3)
    for axis, part, title in zip(
        axes,
        ("lung", "body", "bone"),
        ("Lung", "Body without lung", "Bone (150 HU and more)"),
        strict=True,
    ):
        for scans, name, colour, style in (
            (real, "real", REAL, "-"),
            (simulated, "simulated", SIMULATED, "--"),
        ):
            _histograms(axis, [_histogram(scan, part) for scan in scans], name, colour, style)
        _label(axis, "HU, voxels of 3 mm", "Share of voxels per HU", title)
        axis.legend(fontsize=7.5, frameon=False)
    return figure


def _histogram(scan: MeasuredScan, part: str) -> Histogram:
    assert scan.densities is not None
    return scan.densities.body if part == "body" else scan.densities.tissues[part].histogram


def _histograms(axis: Axes, found: list[Histogram], name: str, colour: str, style: str) -> None:
    width = float(found[0].edges[1] - found[0].edges[0])
    for one in found:
        axis.plot(one.centres, one.share / width, style, color=colour, linewidth=0.5, alpha=0.35)
    mean = pooled(found)
    label = f"{name}, n = {len(found)} scans"
    axis.plot(mean.centres, mean.share / width, style, color=colour, linewidth=1.8, label=label)


def noise_figure(real: Sequence[MeasuredScan], simulated: Sequence[MeasuredScan]) -> Figure:
    """Normalised noise power spectra, soft kernels left and sharp ones right."""
    figure, axes = _figure(2, height=3.8)
    kinds = (Sharpness.SOFT, Sharpness.SHARP)
    for axis, kind in zip(axes, kinds, strict=True):
        for scans, colour, style in ((real, REAL, "-"), (simulated, SIMULATED, "--")):
            same = [s for s in scans if s.sharpness is kind and s.noise is not None]
            for scan, marker in zip(same, MARKERS, strict=False):
                _spectrum(axis, scan, colour, style + marker)
        axis.set_xlim(0, 1.0)
        axis.set_ylim(bottom=0)
        _label(axis, "Spatial frequency, 1/mm", "Noise power, area 1 (mm)", f"{kind} kernels")
        axis.legend(fontsize=6.5, frameon=False)
    return figure


def _spectrum(axis: Axes, scan: MeasuredScan, colour: str, look: str) -> None:
    noise = scan.noise
    assert noise is not None
    label = f"{scan.name}, {scan.slice_mm:g} mm, n = {noise.n_patches} patches"
    axis.plot(noise.frequency, noise.power, look, color=colour, linewidth=1.1, markersize=3,
              label=label)  # fmt: skip


def lung_figure(simulated: Sequence[MeasuredScan], real: Sequence[MeasuredScan]) -> Figure:
    """Lung volume, density and emphysema: simulated scans as bars, each real scan as a line."""
    figure, axes = _figure(3, height=3.0)
    for axis, (attribute, scale, unit) in zip(
        axes,
        (
            ("lung_ml", 1 / 1000, "Both lungs, l"),
            ("lung_hu", 1.0, "Mean density of aerated lung, HU"),
            ("emphysema_percent", 1.0, "Lung below -950 HU, %"),
        ),
        strict=True,
    ):
        values, marks = (
            [scale * float(getattr(s.densities, attribute)) for s in scans]
            for scans in (simulated, real)
        )
        bins = np.linspace(min(values + marks), max(values + marks), 19).tolist()
        axis.hist(values, bins=bins, color=SIMULATED, alpha=0.5, hatch="//", edgecolor="white",
                  label=f"simulated, n = {len(values)}")  # fmt: skip
        for number, mark in enumerate(marks):
            axis.axvline(mark, color=REAL, linewidth=1.2,
                         label=f"real, n = {len(marks)}" if number == 0 else None)  # fmt: skip
        _label(axis, unit, "Scans")
        axis.set_ylim(top=1.35 * axis.get_ylim()[1])  # room for the legend
        axis.legend(fontsize=7.5, framealpha=1.0, edgecolor="none", loc="upper right")
    return figure


def size_figure(real_mm: pd.Series, sums_mm: pd.Series, largest_mm: pd.Series) -> Figure:
    """Baseline diameters: the real table beside simulated sums and largest lesions."""
    figure, (axis,) = _figure(1, width=5.6, height=3.3)
    for values, name, colour, style in (
        (real_mm, "real table", REAL, "-"),
        (sums_mm, "simulated, sum of targets", SIMULATED, "--"),
        (largest_mm, "simulated, largest lesion", SIMULATED, ":"),
    ):
        x, share = distribution(values)
        label = f"{name}, n = {len(values):,}"
        axis.step(x, share, style, where="post", color=colour, label=label)
    axis.set_xlim(0, 220)
    _label(axis, "Diameter at baseline, mm", "Share of patients at or below")
    axis.legend(fontsize=7.5, frameon=False, loc="lower right")
    return figure
