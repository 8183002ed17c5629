"""Where the lungs are in a scan, and whether it is a whole chest at all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ctrs.config import ChestConfig
from ctrs.errors import NotAChest
from ctrs.types import Array, Finding, Mask, Triple, Zone

BODY_HU = -300.0  # skin and fat are above, lung and air below
# Gas without any lung tissue (trachea, bowel) averages about -1000; emphysema stays above -980.
PARENCHYMA_HU = (-975.0, -500.0)
CLOSING_MM = 9.0  # bridges vessels and nodules, stays short of the mediastinum
MAX_HOLE_MM2 = 2000.0  # a 5 cm tumour is filled; the mediastinum between joined lungs is not


@dataclass(frozen=True)
class Chest:
    """What the lungs say about a scan.

    Attributes:
        lung_ml: Volume of both lungs with the vessels and nodules inside them.
        height_mm: From the lowest to the highest slice with lung.
        smaller_side: Share of the lung on the side that has less, 0 to 0.5.
        cut_top, cut_bottom: Lung area in the last and first slice over the largest area.
    """

    lung_ml: float
    height_mm: float
    smaller_side: float
    cut_top: float
    cut_bottom: float


def find_lungs(hu: Array, spacing: Triple, config: ChestConfig) -> Mask:
    """Mask of both lungs, by air inside the body.

    Args:
        hu: A scan on a coarse grid (about 3 mm), oriented as a `ctrs.types.Volume`.
        spacing: mm, ``(z, y, x)``.

    Returns:
        Same shape as ``hu``; empty where no lung is found. Vessels and nodules inside are
        included; consolidations and tumours that touch the chest wall may not be.
    """
    air = hu < config.lung_below_hu
    inside = air & ~_reaches_the_edge(air)
    lungs = _keep_lung_tissue(inside, hu)
    return _close(lungs, spacing)


def _reaches_the_edge(air: Mask) -> Mask:
    """Air around the patient: connected, within its slice, to the slice's edge."""
    in_plane = np.zeros((3, 3, 3), bool)
    in_plane[1] = True
    labels, _ = ndimage.label(air, in_plane)
    edges = (labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1])
    outside = np.unique(np.concatenate([edge.ravel() for edge in edges]))
    return np.isin(labels, outside[outside > 0])


def _keep_lung_tissue(inside: Mask, hu: Array) -> Mask:
    """Components of lung density; gas of the bowel and small pockets are left out."""
    labels, n = ndimage.label(inside)
    if n == 0:
        return inside
    index = np.arange(1, n + 1)
    sizes = ndimage.sum_labels(inside, labels, index)
    tissue = (hu > PARENCHYMA_HU[0]) & (hu < PARENCHYMA_HU[1])
    share = ndimage.mean(tissue, labels, index)
    keep = (share > 0.5) & (sizes > 0.04 * sizes.max())
    return np.isin(labels, index[keep])


def _close(lungs: Mask, spacing: Triple) -> Mask:
    """Fill what lies inside the lungs: closing by `CLOSING_MM`, then holes slice by slice."""
    closed = np.zeros_like(lungs)
    found = ndimage.find_objects(lungs.astype(np.uint8))
    if found:
        # Nothing beyond the lungs' own box can be inside them.
        closed[found[0]] = _close_box(lungs[found[0]], spacing)
    return closed


def _close_box(lungs: Mask, spacing: Triple) -> Mask:
    reach = round(CLOSING_MM / max(spacing))
    padded = np.pad(lungs, reach)
    far = ndimage.distance_transform_edt(~padded, sampling=spacing) > CLOSING_MM
    closed = ndimage.distance_transform_edt(~far, sampling=spacing) > CLOSING_MM
    core = tuple(slice(reach, -reach) for _ in range(3))
    max_hole = MAX_HOLE_MM2 / (spacing[1] * spacing[2])
    return np.asarray([_fill_holes(plane, max_hole) for plane in (closed | padded)[core]], bool)


def _fill_holes(plane: Mask, max_pixels: float) -> Mask:
    holes, n = ndimage.label(ndimage.binary_fill_holes(plane) & ~plane)
    sizes = ndimage.sum_labels(holes > 0, holes, np.arange(1, n + 1))
    return plane | np.isin(holes, np.flatnonzero(sizes <= max_pixels) + 1)


def describe_chest(lungs: Mask, hu: Array, spacing: Triple) -> Chest:
    """Measure a lung mask; all zeros where it is empty.

    Args:
        lungs, hu: Of one scan, the same shape.
    """
    area = lungs.sum(axis=(1, 2))
    rows = np.flatnonzero(area)
    if rows.size == 0:
        return Chest(0.0, 0.0, 0.0, 0.0, 0.0)
    columns = lungs.sum(axis=(0, 1))
    side = columns[: _midline(columns, hu)].sum() / columns.sum()
    return Chest(
        lung_ml=float(lungs.sum() * np.prod(spacing) / 1000.0),
        height_mm=float((rows[-1] - rows[0] + 1) * spacing[0]),
        smaller_side=float(min(side, 1.0 - side)),
        cut_top=float(area[-1] / area.max()),
        cut_bottom=float(area[0] / area.max()),
    )


def _midline(columns: npt.NDArray[np.int_], hu: Array) -> int:
    """Between the lungs the mask is thinnest: its emptiest column in the body's middle third.

    Of the body, not of the mask: the mask of a single lung has its middle within that lung.
    """
    body = np.flatnonzero((hu > BODY_HU).any(axis=(0, 1)))
    low, high = (body[0], body[-1] + 1) if body.size else (0, len(columns))
    third = (high - low) // 3
    middle = columns[low + third : high - third]
    return int(low + third + np.argmin(middle))


def check_chest(chest: Chest, config: ChestConfig) -> tuple[Finding, ...]:
    """Refuse what is no chest, and remark on lungs that are cut off or one-sided.

    Raises:
        NotAChest: Too little lung, or over too short a distance.
    """
    if chest.lung_ml < config.min_lung_ml or chest.height_mm < config.min_lung_height_mm:
        raise NotAChest(
            f"This is not a whole chest: {chest.lung_ml:.0f} ml of lung over"
            f" {chest.height_mm:.0f} mm were found; at least {config.min_lung_ml:.0f} ml over"
            f" {config.min_lung_height_mm:.0f} mm are expected.",
            "Choose the chest CT of this visit, from the apex of the lungs to their base.",
        )
    ends = (("top", chest.cut_top), ("bottom", chest.cut_bottom))
    findings = [_cut_off(end, cut, config) for end, cut in ends if cut > config.amber_cut_ratio]
    if chest.smaller_side < config.min_smaller_side:
        findings.append(
            Finding(
                Zone.AMBER,
                f"Only {chest.smaller_side:.0%} of the lung found is on one side; a lung may"
                " be missing, collapsed or covered by fluid.",
            )
        )
    return tuple(findings)


def _cut_off(end: str, cut: float, config: ChestConfig) -> Finding:
    zone = Zone.RED if cut > config.red_cut_ratio else Zone.AMBER
    return Finding(
        zone,
        f"The scan ends inside the lungs at the {end}: its outermost slice still shows {cut:.0%}"
        f" of the largest lung area (up to {config.amber_cut_ratio:.0%} is usual, more than"
        f" {config.red_cut_ratio:.0%} cannot be assessed).",
    )
