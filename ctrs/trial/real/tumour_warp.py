"""A tumour of a real scan made smaller, larger or absent by bending the space around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ctrs.trial.disease.shape import Slices
from ctrs.trial.real.grain import Grain
from ctrs.types import Array, Mask, Triple

STIFFNESS = 4.0  # chest wall and mediastinum give way this much less than lung
SOFT_TISSUE_HU = -350.0
THICK_MM = 6.0  # soft tissue thinner than twice this is a vessel, not a wall
INFLUENCE_MM = 15.0  # beyond this and three times the step nothing moves
ROOM_MM = 25.0  # more, for the breath and for lung to copy
SMOOTH_MM = 1.2  # of the distances, so that corners of voxels do not show
SEAM_MM = 2.0  # rim of a tumour that its partial volume has brightened
PARENCHYMA_HU = -600.0
BASE_MM, DETAIL_MM = 12.0, 6.0  # smoothing of the lung's mean density, and what is texture on it
LOST_NOISE = 0.6  # of the sd, to a linear interpolation: 1 - (2/3)^2 of the variance, and some z


@dataclass(frozen=True)
class Region:
    """The part of a scan that a change of the tumour can reach.

    Attributes:
        box: In the voxels of the scan.
        distance: mm to the tumour's surface, negative inside, in units that count walls as
            ``STIFFNESS`` times as far.
        wall: Soft tissue that is not tumour.
        pixel_mm: Spacing, ``(z, y, x)``.
    """

    box: Slices
    hu: Array
    tumour: Mask
    wall: Mask
    distance: Array
    pixel_mm: Triple

    @property
    def first_mm(self) -> Triple:
        z, y, x = (s.start * mm for s, mm in zip(self.box, self.pixel_mm, strict=True))
        return z, y, x


def cut_region(hu: Array, tumour: Mask, spacing: Triple, growth: float) -> Region:
    """The surroundings of a tumour that will have ``growth`` times its volume; 0 = erased."""
    radius = float(3 * tumour.sum() * np.prod(spacing) / (4 * np.pi)) ** (1 / 3)
    step = radius * abs(growth ** (1 / 3) - 1) if growth > 0 else 0.0
    margin = 3 * step + INFLUENCE_MM + ROOM_MM
    box = []
    for axis, mm in enumerate(spacing):
        hit = np.flatnonzero(tumour.any(axis=tuple(a for a in range(3) if a != axis)))
        more = int(np.ceil(margin / mm))
        box.append(slice(max(int(hit[0]) - more, 0), min(int(hit[-1]) + more + 1, hu.shape[axis])))
    part = (box[0], box[1], box[2])
    inside, values = tumour[part], hu[part]
    wall = _wall(values, inside, spacing)
    return Region(part, values, inside, wall, _distance(inside, wall, spacing), spacing)


def _wall(hu: Array, tumour: Mask, spacing: Triple) -> Mask:
    """Chest wall, mediastinum, diaphragm: soft tissue too thick to be a vessel."""
    smooth = ndimage.gaussian_filter(hu, [0.0 if mm > 3 else 1.0 / mm for mm in spacing])
    soft = (smooth > SOFT_TISSUE_HU) & ~tumour
    core = ndimage.distance_transform_edt(soft | tumour, sampling=spacing) > THICK_MM
    core &= ndimage.distance_transform_edt(~tumour, sampling=spacing) > THICK_MM
    if not core.any():
        return np.zeros_like(tumour)
    near = ndimage.distance_transform_edt(~core, sampling=spacing) <= THICK_MM + max(spacing[1:])
    return np.asarray(soft & near)


def _distance(tumour: Mask, wall: Mask, spacing: Triple) -> Array:
    half = 0.5 * min(spacing)
    to_lung = ndimage.distance_transform_edt(tumour | wall, sampling=spacing) - half
    inside = to_lung
    if wall.any():
        to_wall = ndimage.distance_transform_edt(~wall, sampling=spacing) - half
        inside = np.minimum(to_lung, STIFFNESS * to_wall)
    outside = ndimage.distance_transform_edt(~tumour, sampling=spacing) - half
    outside[wall] *= STIFFNESS
    field = np.where(tumour, -inside, outside).astype(np.float32)
    return np.asarray(ndimage.gaussian_filter(field, [SMOOTH_MM / mm for mm in spacing]))


# --- Bending --------------------------------------------------------------------------------------


def surface(distance: Array, voxels: float) -> float:
    """The distance below which this many voxels lie, half way to the next voxel."""
    flat = distance.ravel()
    n = int(np.clip(np.rint(voxels), 1, flat.size - 1))
    found = np.partition(flat, (n - 1, n))
    return 0.5 * float(found[n - 1] + found[n])


def step_for(region: Region, voxels: float) -> float:
    """How far the surface has to move, mm of ``distance``, for the tumour to have this volume."""
    own = float(region.tumour.sum())
    return surface(region.distance, voxels) - surface(region.distance, own)


def sources(region: Region, step: float) -> Array:
    """Where each voxel of the bent region comes from: voxel indices, ``(3, z, y, x)``.

    Along the gradient of the distance a piecewise smooth, always rising function maps the moved
    surface back to the old one, so that nothing folds.
    """
    s = region.distance
    reach = 3 * abs(step) + INFLUENCE_MM
    u = np.clip((s - np.float32(step)) / np.float32(reach - step), 0, 1)
    moved = np.float32(step) * (1 - u) * (1 - u)
    deepest = min(float(s.min()), step) - 0.5
    inner = np.float32(step) * np.clip((s - np.float32(deepest)) / np.float32(step - deepest), 0, 1)
    moved = np.where(s < step, inner, moved)
    gradient = np.array(list(np.gradient(s, *region.pixel_mm)), np.float32)
    steepness = np.maximum((gradient * gradient).sum(0), np.float32(0.25))
    field: Array = moved / steepness * gradient
    smooth = [max(SMOOTH_MM / mm, 0.7) for mm in region.pixel_mm]
    where = np.empty(field.shape, np.float32)
    for axis, (n, mm) in enumerate(zip(s.shape, region.pixel_mm, strict=True)):
        index = np.arange(n, dtype=np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
        where[axis] = index - ndimage.gaussian_filter(field[axis], smooth) / np.float32(mm)
    return where


def bend(values: Array, where: Array) -> Array:
    """Values at the `sources`, linearly interpolated."""
    return np.asarray(ndimage.map_coordinates(values, where, order=1, mode="nearest"), np.float32)


def moved_share(where: Array) -> Array:
    """0 where nothing moved, 1 where a voxel comes from half a voxel away or more."""
    far = np.zeros(where.shape[1:], np.float32)
    for axis, n in enumerate(where.shape[1:]):
        index = np.arange(n, dtype=np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
        np.maximum(far, np.abs(where[axis] - index), out=far)
    return np.asarray(np.minimum(2 * far, 1), np.float32)


def add_lost_noise(hu: Array, moved: Array, grain: Grain, rng: np.random.Generator) -> Array:
    """Give back the noise that interpolation took."""
    return np.asarray(hu + np.float32(LOST_NOISE) * moved * grain.draw(hu.shape, rng), np.float32)


# --- Filling --------------------------------------------------------------------------------------


def erase(region: Region, lungs: Mask) -> Array:
    """The region without its tumour: lung grown into the gap, with texture from nearby.

    Args:
        lungs: Of the region's shape, with their vessels.
    """
    spacing = region.pixel_mm
    # Slices next to the tumour hold a part of it, however thick they are.
    steps = (min(spacing[0], SEAM_MM), spacing[1], spacing[2])
    away = np.asarray(ndimage.distance_transform_edt(~region.tumour, sampling=steps), np.float32)
    keep = np.clip((away - np.float32(SEAM_MM)) / np.float32(1.5), 0, 1)
    keep[region.wall] = 1.0
    gap = keep < 1
    keep = ndimage.gaussian_filter(keep, (0.0, *(0.7 / mm for mm in spacing[1:])))
    parenchyma = (region.hu < PARENCHYMA_HU) & (lungs | (region.hu > -980)) & ~gap
    base = _mean_around(region.hu, parenchyma, spacing, BASE_MM)
    texture = _texture(region, lungs & ~gap & ~region.wall, parenchyma, away)
    return np.asarray(keep * region.hu + (1 - keep) * (base + texture), np.float32)


def _mean_around(hu: Array, where: Mask, spacing: Triple, mm: float) -> Array:
    """Mean of the chosen voxels around each voxel; of all of them where none is near."""
    sigma = [mm / step for step in spacing]
    weight = ndimage.gaussian_filter(where.astype(np.float32), sigma)
    total = ndimage.gaussian_filter(np.where(where, hu, 0).astype(np.float32), sigma)
    overall = float(hu[where].mean(dtype=np.float64)) if where.any() else -850.0
    little = np.float32(1e-3)
    return np.asarray((total + little * np.float32(overall)) / (weight + little), np.float32)


def _texture(region: Region, donor: Mask, parenchyma: Mask, away: Array) -> Array:
    """What the lung has on top of its mean, copied from the deepest lung near the tumour and
    mirrored where the gap is larger than that."""
    spacing = region.pixel_mm
    deep = ndimage.distance_transform_edt(np.pad(donor, 1), sampling=spacing)[1:-1, 1:-1, 1:-1]
    best = np.unravel_index(int(np.argmax(deep - 0.3 * away)), deep.shape)
    half = [max(int(0.58 * deep[best] / mm), 1) for mm in spacing]
    middle = np.rint([w.mean() for w in np.nonzero(region.tumour)]).astype(int)
    index = []
    for axis, n in enumerate(deep.shape):
        offset = np.arange(n) - middle[axis] + half[axis]
        period = 2 * (2 * half[axis])
        folded = np.abs(np.mod(offset + 2 * half[axis], period) - 2 * half[axis])
        index.append(np.clip(best[axis] - half[axis] + folded, 0, n - 1))
    detail = region.hu - _mean_around(region.hu, parenchyma, spacing, DETAIL_MM)
    return np.asarray(detail[np.ix_(*index)], np.float32)
