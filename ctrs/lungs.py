"""Where the lungs are in a scan, and whether it is a whole chest at all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import ConvexHull

from ctrs.config import ChestConfig
from ctrs.errors import NotAChest
from ctrs.types import Array, Finding, Mask, Triple, Zone

BODY_HU = -300.0  # skin and fat are above, lung and air below
# Gas without any lung tissue (trachea, bowel) averages about -1000; emphysema stays above -980.
PARENCHYMA_HU = (-975.0, -500.0)
CLOSING_MM = 9.0  # bridges vessels and nodules, stays short of the mediastinum
_END_SHARE = 0.2  # of the lungs' height: where the dome of the diaphragm is, and the apex
_MIN_HULL_POINTS = 20
_BONE_HU = 250.0
_STRIP_MM = 36.0
MAX_HOLE_MM2 = 2000.0  # a 5 cm tumour is filled; the mediastinum between joined lungs is not


@dataclass(frozen=True)
class Chest:
    """What the lungs say about a scan.

    Attributes:
        lung_ml: Volume of both lungs with the vessels and nodules inside them.
        height_mm: From the lowest to the highest slice with lung.
        smaller_side: Share of the lung on the side that has less, 0 to 0.5.
        cut_top, cut_bottom: Lung area in the last and first slice over the largest area.
        upright: How much better each lung fills its convex hull at the top than at the bottom,
            where the diaphragm's dome hollows it out; -1 to 1, negative where it is upside down.
        spine_behind: Share of bone in the midline behind the lungs' middle less that in front.
        width_mm: From the outermost lung on the right to that on the left.
    """

    lung_ml: float
    height_mm: float
    smaller_side: float
    cut_top: float
    cut_bottom: float
    upright: float = 0.0
    spine_behind: float = 0.0
    width_mm: float = 0.0


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
    middle = _midline(columns, hu)
    side = columns[:middle].sum() / columns.sum()
    height = rows[-1] - rows[0] + 1
    fifth, half = round(_END_SHARE * height), rows[0] + height // 2
    base, apex = (lungs[at : at + fifth] for at in (rows[0], rows[-1] + 1 - fifth))
    return Chest(
        lung_ml=float(lungs.sum() * np.prod(spacing) / 1000.0),
        height_mm=float((rows[-1] - rows[0] + 1) * spacing[0]),
        smaller_side=float(min(side, 1.0 - side)),
        cut_top=float(area[-1] / area.max()),
        cut_bottom=float(area[0] / area.max()),
        upright=_solidity(apex, middle) - _solidity(base, middle),
        spine_behind=_bone_behind(hu[half : rows[-1]], lungs[half : rows[-1]], middle, spacing),
        width_mm=float((np.ptp(np.flatnonzero(columns)) + 1) * spacing[2]),
    )


def _solidity(lungs: Mask, middle: int) -> float:
    """Mean share of its convex hull that a lung fills, over slices and both lungs; at most 1."""
    shares = []
    for plane in lungs:
        for lung in (plane[:, :middle], plane[:, middle:]):
            points = np.argwhere(lung)
            if len(points) >= _MIN_HULL_POINTS and (np.ptp(points, axis=0) > 1).all():
                shares.append(min(len(points) / ConvexHull(points).volume, 1.0))
    return float(np.mean(shares)) if shares else 1.0


def _bone_behind(hu: Array, lungs: Mask, middle: int, spacing: Triple) -> float:
    """Share of bone in a strip along the midline: around the lungs' back less around their front.

    Above the heart, which is as bright as bone where contrast medium was given.
    """
    rows = np.flatnonzero(lungs.any(axis=(0, 2)))
    if rows.size == 0:
        return 0.0
    front, back = rows[0], rows[-1]
    quarter = max(1, (back - front) // 4)
    reach = max(1, round(_STRIP_MM / 2 / spacing[2]))
    bone = hu[:, :, max(0, middle - reach) : middle + reach + 1] > _BONE_HU
    behind = bone[:, back - quarter : back + quarter]
    before = bone[:, max(0, front - quarter) : front + quarter]
    return float(behind.mean() - before.mean()) if behind.size and before.size else 0.0


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
    """Refuse what is no chest, and remark on lungs that are cut off, one-sided or too large.

    Raises:
        NotAChest: Too little lung, over too short a distance, or more than anybody has.
    """
    if chest.lung_ml < config.min_lung_ml or chest.height_mm < config.min_lung_height_mm:
        raise NotAChest(
            f"This is not a whole chest: {chest.lung_ml:.0f} ml of lung over"
            f" {chest.height_mm:.0f} mm were found; at least {config.min_lung_ml:.0f} ml over"
            f" {config.min_lung_height_mm:.0f} mm are expected.",
            "Choose the chest CT of this visit, from the apex of the lungs to their base.",
        )
    if chest.lung_ml > config.max_lung_ml or chest.width_mm > config.max_lung_width_mm:
        raise NotAChest(
            f"The lungs measure {_size(chest)}; up to {config.max_lung_ml / 1000:.0f} l and"
            f" {config.max_lung_width_mm:.0f} mm are human. The pixel size of the files is"
            " probably wrong.",
            "Export the series again from the archive, without changing its size.",
        )
    ends = (("top", chest.cut_top), ("bottom", chest.cut_bottom))
    findings = [_cut_off(end, cut, config) for end, cut in ends if cut > config.amber_cut_ratio]
    findings += _turned(chest, config)
    if chest.lung_ml > config.amber_lung_ml or chest.width_mm > config.amber_lung_width_mm:
        findings.append(
            Finding(
                Zone.AMBER,
                f"The lungs measure {_size(chest)}, more than nearly anybody's (up to"
                f" {config.amber_lung_ml / 1000:.0f} l and {config.amber_lung_width_mm:.0f} mm);"
                " the pixel size of the files may be wrong.",
            )
        )
    if chest.smaller_side < config.min_smaller_side:
        findings.append(
            Finding(
                Zone.AMBER,
                f"Only {chest.smaller_side:.0%} of the lung found is on one side; a lung may"
                " be missing, collapsed or covered by fluid.",
            )
        )
    return tuple(findings)


def _size(chest: Chest) -> str:
    return f"{chest.lung_ml / 1000:.1f} l and {chest.width_mm:.0f} mm from right to left"


def _turned(chest: Chest, config: ChestConfig) -> list[Finding]:
    """What the anatomy says against the orientation that the file claims."""
    wrong = []
    if chest.upright < config.min_upright:
        wrong.append("upside down: the hollow of the diaphragm is at the upper end of the lungs")
    if chest.spine_behind < config.min_spine_behind:
        wrong.append("back to front: the spine is in front of the lungs")
    return [
        Finding(
            Zone.RED,
            f"The scan seems to be {how}. Convert the DICOM series again, with a program that "
            "keeps the orientation.",
        )
        for how in wrong
    ]


def _cut_off(end: str, cut: float, config: ChestConfig) -> Finding:
    zone = Zone.RED if cut > config.red_cut_ratio else Zone.AMBER
    return Finding(
        zone,
        f"The scan ends inside the lungs at the {end}: its outermost slice still shows {cut:.0%}"
        f" of the largest lung area (up to {config.amber_cut_ratio:.0%} is usual, more than"
        f" {config.red_cut_ratio:.0%} cannot be assessed).",
    )
