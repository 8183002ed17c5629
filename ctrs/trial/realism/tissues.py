"""Tissues of a scan by one simple rule for real and simulated ones: densities, areas, lungs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ctrs.config import Config
from ctrs.lungs import BODY_HU, find_lungs
from ctrs.prepare import downsample
from ctrs.types import Array, Floats, Mask, Triple, Volume

# Where a voxel counts as a tissue. The ranges are ours; the peaks inside them are measured.
RANGES_HU: dict[str, tuple[float, float]] = {
    "lung": (-1024.0, -500.0),
    "fat": (-150.0, -50.0),
    "soft tissue": (0.0, 100.0),
    "bone": (150.0, 1500.0),
}
BIN_HU = {"lung": 10.0, "fat": 5.0, "soft tissue": 5.0, "bone": 25.0}
BODY_RANGE_HU, BODY_BIN_HU = (-200.0, 400.0), 5.0  # everything but lung, in one histogram

EMPHYSEMA_HU = -950.0  # Gevenois et al., Am. J. Respir. Crit. Care Med. 154 (1996) 187-192
TABLE_VOXELS = 2  # half the thickness of what opening removes: a table, not a chest wall
BEHIND_MM = 50.0  # the spine and its surroundings: that deep from the lungs' back edge


@dataclass(frozen=True)
class Histogram:
    """Shares of the voxels in equal bins; ``edges`` has one more entry, HU."""

    edges: Floats
    share: Floats

    @property
    def centres(self) -> Floats:
        return (self.edges[1:] + self.edges[:-1]) / 2


@dataclass(frozen=True)
class Tissue:
    """One tissue of one scan.

    Attributes:
        peak_hu: Most frequent density.
        width_hu: Full width of the peak at half its height.
        median_hu: Half of the voxels are denser; for bone, which has no peak of its own.
        area_cm2: Mean cross-section over the slices that show lung.
    """

    histogram: Histogram
    peak_hu: float
    width_hu: float
    median_hu: float
    area_cm2: float


@dataclass(frozen=True)
class Densities:
    """What the tissues of one scan measure, on the model's grid.

    Attributes:
        tissues: By name, as in `RANGES_HU`.
        body: Everything inside the body that is not lung.
        lung_ml: Both lungs, vessels and nodules included.
        lung_hu: Mean density of the aerated lung.
        emphysema_percent: Share of the aerated lung below -950 HU.
    """

    tissues: dict[str, Tissue]
    body: Histogram
    lung_ml: float
    lung_hu: float
    emphysema_percent: float


def measure_densities(volume: Volume, config: Config) -> Densities:
    """Measure one scan after averaging to the model's grid, where noise hardly counts.

    Real and simulated scans have slices of 2 to 8 mm and kernels from soft to sharp: on their
    own grids the widths of the peaks would be those of the noise.
    """
    spacing = config.prepare.spacing_mm
    hu, _ = downsample(volume.hu, volume.spacing, spacing)
    lungs = find_lungs(hu, spacing, config.chest)
    rows = np.flatnonzero(lungs.any(axis=(1, 2)))
    levels = slice(rows[0], rows[-1] + 1) if rows.size else slice(None)
    hu, lungs = hu[levels], lungs[levels]
    masks = find_tissues(hu, lungs, spacing)
    cm2 = spacing[1] * spacing[2] / 100.0 / len(hu)
    aerated = hu[masks["lung"]]
    return Densities(
        tissues={name: _tissue(hu[mask], name, cm2) for name, mask in masks.items()},
        body=histogram(hu[find_body(hu) & ~lungs], BODY_RANGE_HU, BODY_BIN_HU),
        lung_ml=float(lungs.sum() * np.prod(spacing) / 1000.0),
        lung_hu=float(aerated.mean()) if aerated.size else float("nan"),
        emphysema_percent=float((aerated < EMPHYSEMA_HU).mean() * 100) if aerated.size else 0.0,
    )


def find_tissues(hu: Array, lungs: Mask, spacing: Triple) -> dict[str, Mask]:
    """Masks by name, of the shape of ``hu``; a voxel beside air or lung belongs to none but lung.

    Averaging with air gives muscle the density of fat, and the skin that of lung.
    """
    body = find_body(hu)
    airy = ndimage.binary_dilation(hu < BODY_HU)
    inner = body & ~airy & ~lungs
    masks = {name: inner & (hu >= low) & (hu <= high) for name, (low, high) in RANGES_HU.items()}
    masks["lung"] = lungs & (hu <= RANGES_HU["lung"][1])
    masks["bone"] &= ~_heart_region(lungs, spacing)
    return masks


def find_body(hu: Array) -> Mask:
    """The patient without table and clothes, the lungs filled; empty where nobody is."""
    solid = ndimage.binary_opening(hu > BODY_HU, iterations=TABLE_VOXELS)
    labels, n = ndimage.label(solid)
    if n == 0:
        return np.asarray(solid)
    largest = labels == np.argmax(ndimage.sum_labels(solid, labels, np.arange(1, n + 1))) + 1
    return np.asarray([ndimage.binary_fill_holes(plane) for plane in largest], bool)


def _heart_region(lungs: Mask, spacing: Triple) -> Mask:
    """Between the lungs and well in front of the spine: dense blood there is no bone."""
    between = np.maximum.accumulate(lungs, axis=2)
    between &= np.maximum.accumulate(lungs[:, :, ::-1], axis=2)[:, :, ::-1]
    rows = np.arange(lungs.shape[1])[None, :]
    back = np.where(lungs.any(axis=2), rows, -1).max(axis=1)
    front = rows < (back - BEHIND_MM / spacing[1])[:, None]
    return np.asarray(between & front[:, :, None])


# --- Histograms -----------------------------------------------------------------------------


def histogram(values: Array, between: tuple[float, float], width: float) -> Histogram:
    """Shares of the values in each bin of ``width`` HU; values outside are left out."""
    edges = np.arange(between[0], between[1] + width / 2, width)
    counts, _ = np.histogram(values, edges)
    return Histogram(edges, counts / max(counts.sum(), 1))


def overlap(one: Histogram, other: Histogram) -> float:
    """Overlap coefficient: area under both, 1 = the same distribution, 0 = nothing shared."""
    return float(np.minimum(one.share, other.share).sum())


def pooled(histograms: list[Histogram]) -> Histogram:
    """Mean of histograms with the same bins: every scan counts the same."""
    shares = np.mean([h.share for h in histograms], axis=0)
    return Histogram(histograms[0].edges, shares)


def peak(found: Histogram) -> tuple[float, float]:
    """Position of the highest peak and its full width at half height, HU; NaN if empty.

    Smoothed over three bins; where a side does not fall to half, the range ends the width.
    """
    share = np.convolve(found.share, (0.25, 0.5, 0.25), mode="same")
    if share.max() <= 0:
        return float("nan"), float("nan")
    top = int(np.argmax(share))
    low, high = _half_height(share[top::-1]), _half_height(share[top:])
    width = (low + high) * float(found.edges[1] - found.edges[0])
    return float(found.centres[top]), width


def _half_height(falling: Floats) -> float:
    """Bins from the first entry to where it is half as high, between bins by a straight line."""
    half = falling[0] / 2
    below = np.flatnonzero(falling <= half)
    if below.size == 0:
        return float(len(falling) - 0.5)
    k = int(below[0])
    return float(k - 1 + (falling[k - 1] - half) / (falling[k - 1] - falling[k]))


def _tissue(values: Array, name: str, cm2: float) -> Tissue:
    found = histogram(values, RANGES_HU[name], BIN_HU[name])
    median = float(np.median(values)) if values.size else float("nan")
    return Tissue(found, *peak(found), median, float(values.size * cm2))
