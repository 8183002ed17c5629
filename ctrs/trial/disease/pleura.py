"""Fluid around a lung, and lung without air: under fluid or behind a blocked bronchus."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ctrs.trial.body.anatomy import LungPlace, Side
from ctrs.trial.body.thorax import Thorax
from ctrs.trial.disease.lesions import Lesion, to_the_pleura
from ctrs.trial.disease.shape import Slices, cover, voxel_range
from ctrs.types import Array, Mask, Triple

FLUID_HU = 11.0
AIRLESS_HU = 38.0  # lung without air or contrast
AIRLESS_UPTAKE = 0.55  # share of the blood's enhancement; airless lung lights up more than tumour
AIRLESS_VOLUME = 0.3  # of a lobe that has lost its air but kept blood and secretions; ours
MOST_OF_A_LUNG = 0.6  # that fluid may take; more would need the mediastinum to move
PASSIVE_FROM_ML = 200.0  # smaller effusions leave the lung aerated
PASSIVE_MM_PER_ML = 0.02  # thickness of the airless rim
PASSIVE_MOST_MM = 18.0


class Fluid(NamedTuple):
    """What an effusion makes of a scan, as shares of each voxel, 0 to 1.

    Attributes:
        effusion: The fluid.
        atelectasis: Lung beside it that has lost its air.
    """

    effusion: Array
    atelectasis: Array


def paint_effusion(thorax: Thorax, side: Side, volume_ml: float, enhancement: float = 0.0) -> Fluid:
    """Paint fluid into one pleural space of a patient who lies on the back.

    It lies along the back and at the base, thins out upwards, and climbs the wall at its edge.
    Lung next to a large effusion is airless.

    Args:
        enhancement: HU of contrast in blood, which airless lung takes up.

    Returns:
        The fluid, adding up to ``volume_ml`` (at most `MOST_OF_A_LUNG` of the lung's own space),
        and the airless lung.
    """
    half = thorax.lungs & (thorax.x < 0 if side == "right" else thorax.x > 0)
    return pour(thorax.hu, half, thorax.grid.spacing, volume_ml, enhancement)


def pour(hu: Array, lung: Mask, spacing: Triple, volume_ml: float, enhancement: float) -> Fluid:
    """The same for any scan: ``hu`` is changed in place where ``lung``, one lung, leaves room."""
    found = Fluid(np.zeros(hu.shape, np.float32), np.zeros(hu.shape, np.float32))
    if volume_ml <= 0 or not lung.any():
        return found
    box = _bounding_box(lung)
    inside = to_the_pleura(lung[box], hu[box])
    height = _height_above_fluid(inside, spacing)
    field = np.where(inside, height, np.float32(1e4))
    voxels = volume_ml * 1000 / float(np.prod(spacing))
    voxels = min(voxels, MOST_OF_A_LUNG * float(inside.sum()))
    width = np.minimum(voxel_range(height), np.float32(2 * max(spacing)))
    fluid, level = cover(field, width, inside.astype(np.float32), voxels)
    view = hu[box]
    airless = _squeeze(view, field - np.float32(level), volume_ml, enhancement)
    view += fluid * (np.float32(FLUID_HU) - view)
    found.effusion[box] = fluid
    found.atelectasis[box] = airless * (1 - fluid)
    return found


def _squeeze(view: Array, above: Array, volume_ml: float, enhancement: float) -> Array:
    """Airless lung just above the fluid, fading into aerated lung; ``above`` in mm. Its share."""
    rim = min(PASSIVE_MM_PER_ML * (volume_ml - PASSIVE_FROM_ML), PASSIVE_MOST_MM)
    if rim <= 0:
        return np.zeros_like(view)
    airless = np.clip(np.float32(1.5) - above / np.float32(rim), 0, 1)
    hu = np.float32(AIRLESS_HU + AIRLESS_UPTAKE * enhancement)
    view += airless * (np.maximum(view, hu) - view)
    return np.asarray(airless, np.float32)


def _bounding_box(mask: Mask) -> Slices:
    """With one voxel around."""
    found = []
    for axis in range(3):
        hit = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        found.append(slice(max(int(hit[0]) - 1, 0), int(hit[-1]) + 2))
    return found[0], found[1], found[2]


def _height_above_fluid(inside: Mask, spacing: Triple) -> Array:
    """How late each voxel of a lung is reached by rising fluid, mm."""
    n_z, n_y, _ = inside.shape
    z = (np.arange(n_z, dtype=np.float32) * np.float32(spacing[0])).reshape(-1, 1, 1)
    y = (np.arange(n_y, dtype=np.float32) * np.float32(spacing[1])).reshape(1, -1, 1)
    # Mostly gravity, partly the lung: it hangs from its root and leaves the base first.
    height = np.float32(0.45) * z - np.float32(0.9) * y
    wall = _to_the_side(inside, spacing[2])
    climb = wall / np.float32(11)
    return np.asarray(height - np.float32(34) / (1 + climb * climb), np.float32)


def _to_the_side(inside: Mask, x_mm: float) -> Array:
    """Distance to the nearer end of the lung along each row, mm."""
    columns = np.arange(inside.shape[2], dtype=np.float32)
    first = inside.argmax(axis=2)[..., None]
    last = inside.shape[2] - 1 - inside[..., ::-1].argmax(axis=2)[..., None]
    nearer = np.minimum(columns - first, last - columns)
    return np.asarray(np.maximum(nearer, 0) * np.float32(x_mm), np.float32)


def paint_collapse(thorax: Thorax, lesion: Lesion, visit: int, enhancement: float) -> Array:
    """Paint the airless lung behind a tumour that blocks its bronchus; paint the tumour after.

    A wedge of the lesion's lobe, its tip at the hilum and its base at the pleura. It is smaller
    than the lung it was: `AIRLESS_VOLUME` of ``lesion.collapse`` of the lobe beyond the tumour.

    Returns:
        The share of each voxel that is airless, 0 to 1. It is no tumour.
    """
    share = np.zeros(thorax.grid.shape, np.float32)
    place = lesion.place
    if lesion.collapse[visit] <= 0 or not isinstance(place, LungPlace):
        return share
    lobe = _lobe(thorax, place)
    if not lobe.any():
        return share
    box = _bounding_box(lobe)
    field, beyond = _wedge(thorax, place, box)
    other_lobes = thorax.lungs[box] & ~lobe[box]
    beyond &= to_the_pleura(lobe[box], thorax.hu[box]) & ~other_lobes
    voxels = AIRLESS_VOLUME * lesion.collapse[visit] * float(beyond.sum())
    airless, _ = cover(field, voxel_range(field), beyond.astype(np.float32), voxels)
    view = thorax.hu[box]
    hu = np.float32(AIRLESS_HU + AIRLESS_UPTAKE * enhancement)
    view += airless * (np.maximum(view, hu) - view)
    share[box] = airless
    return share


def _lobe(thorax: Thorax, place: LungPlace) -> Mask:
    """The lobe of the place, or its lung where the place lies in none."""
    half = thorax.lungs & (thorax.x < 0 if place.side == "right" else thorax.x > 0)
    lobes = thorax.lobes
    centre = np.rint(thorax.grid.index(thorax.locate(place)[None], thorax.posture)[0]).astype(int)
    z, y, x = np.clip(centre, 0, np.array(half.shape) - 1)
    return np.asarray(half & (lobes == lobes[z, y, x])) if lobes[z, y, x] else half


def _wedge(thorax: Thorax, place: LungPlace, box: Slices) -> tuple[Array, Mask]:
    """How far from the axis hilum-tumour each voxel lies, over its way along it; and the part
    beyond the tumour."""
    hilum, centre = thorax.hilum(place.side), thorax.locate(place)
    axis = np.asarray(centre - hilum, np.float64)
    length = float(np.sqrt((axis * axis).sum()))
    dz, dy, dx = (np.float32(d) for d in axis / max(length, 1.0))
    shape = thorax.grid.shape
    z, y, x = (
        np.broadcast_to(a, shape)[box] - np.float32(h)
        for a, h in zip((thorax.z, thorax.y, thorax.x), hilum, strict=True)
    )
    along = z * dz + y * dy + x * dx
    aside = np.sqrt(np.maximum(z * z + y * y + x * x - along * along, 0))
    field = (aside + 4) / np.maximum(along, np.float32(4))  # 4 mm: the tip is a bronchus
    return np.asarray(field, np.float32), np.asarray(along > 0.6 * length)
