"""Tumours and fluid painted into a simulated or real thorax, with the truth in every voxel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from scipy import ndimage

from ctrs.trial.anatomy import AIR, LungPlace, Side, Thorax
from ctrs.types import Array, Mask, Triple

Kind = Literal["primary", "metastasis", "node"]
Texture = Literal["solid", "necrotic", "cavitating", "part-solid"]


class NodePlace(NamedTuple):
    """A lymph node station: mm from the hilum of a side, ``(z, y, x)``, x outwards."""

    side: Side
    z: float
    y: float
    x: float


@dataclass(frozen=True, kw_only=True)
class Lesion:
    """One tumour through both visits.

    Attributes:
        diameter_mm: At baseline and follow-up, of the sphere with the same volume; 0 = absent.
        irregularity: 0 = smooth ellipsoid, about 0.35 = lobulated.
        spicules: Length of the spikes over the radius.
        halo: Ground-glass rim at follow-up, as immune cells make it; share of the radius.
    """

    kind: Kind
    place: LungPlace | NodePlace
    diameter_mm: tuple[float, float]
    texture: Texture
    irregularity: float
    spicules: float
    halo: float
    seed: int

    def volume_ml(self, visit: int) -> float:
        """Volume at visit 0 (baseline) or 1 (follow-up)."""
        return float(np.pi / 6 * self.diameter_mm[visit] ** 3 / 1000)

    @property
    def is_new(self) -> bool:
        return self.diameter_mm[0] == 0 < self.diameter_mm[1]


def paint_lesion(thorax: Thorax, lesion: Lesion, visit: int, enhancement: float) -> Mask:
    """Paint one lesion into ``thorax.hu``; returns its truth mask (all false if absent)."""
    if lesion.diameter_mm[visit] <= 0:
        return np.zeros(thorax.grid.shape, bool)
    centre = thorax.grid.index(_centre(thorax, lesion.place)[None], thorax.posture)[0]
    return paint_blob(thorax.hu, thorax.grid.spacing, centre, lesion, visit, enhancement)


def _centre(thorax: Thorax, place: LungPlace | NodePlace) -> np.ndarray:
    if isinstance(place, LungPlace):
        return thorax.locate(place)
    outwards = -1.0 if place.side == "right" else 1.0
    offset = np.array([place.z, place.y, outwards * place.x])
    return np.asarray(thorax.hilum(place.side) + offset)


def paint_blob(
    hu: Array, spacing: Triple, centre: np.ndarray, lesion: Lesion, visit: int, enhancement: float
) -> Mask:
    """Paint one lesion into any scan.

    The shape is a random field cut at the level that gives exactly the wanted volume, so
    that mask and kinetics agree whatever the outline.

    Args:
        hu: Changed in place.
        centre: Voxel indices ``(z, y, x)``, not rounded.
    """
    mask = np.zeros(hu.shape, bool)
    box = _box(hu.shape, spacing, centre, lesion.diameter_mm[visit])
    if box is None:
        return mask
    radius = lesion.diameter_mm[visit] / 2
    field = _shape_field(box, spacing, centre, lesion, radius)
    voxels = lesion.volume_ml(visit) * 1000 / np.prod(spacing)
    n = int(np.clip(np.rint(voxels), 1, field.size))
    level = float(np.partition(field.ravel(), n - 1)[n - 1])
    _blend(hu[box], field, level, radius, spacing, lesion, visit, enhancement)
    mask[box] = field <= level
    return mask


def _box(
    shape: tuple[int, ...], spacing: Triple, centre: np.ndarray, diameter: float
) -> tuple[slice, slice, slice] | None:
    reach = np.ceil((0.95 * diameter + 4) / np.array(spacing)).astype(int)
    middle = np.rint(centre).astype(int)
    low = np.maximum(middle - reach, 0)
    high = np.minimum(middle + reach + 1, shape)
    if (high <= low).any():
        return None  # outside the field of view
    z, y, x = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return z, y, x


def _shape_field(
    box: tuple[slice, slice, slice],
    spacing: Triple,
    centre: np.ndarray,
    lesion: Lesion,
    radius: float,
) -> Array:
    """Small inside, large outside; 1 near the surface of the undisturbed ellipsoid."""
    rng = np.random.default_rng(lesion.seed)
    axes = np.exp(rng.normal(0, 0.16, 3))
    axes /= axes.prod() ** (1 / 3)
    coordinates: Sequence[Array] = np.meshgrid(
        *(
            (np.arange(s.start, s.stop, dtype=np.float32) - c) * mm / radius
            for s, c, mm in zip(box, centre, spacing, strict=True)
        ),
        indexing="ij",
    )
    distance = np.sqrt(sum((u / a) ** 2 for u, a in zip(coordinates, axes, strict=True)))
    bumps = _relative_noise(coordinates, 0.8, rng)
    spikes = np.maximum(_relative_noise(coordinates, 0.33, rng) - 0.9, 0)
    field = distance - lesion.irregularity * bumps - lesion.spicules * spikes
    # Far away no bump may make an island of its own.
    return np.asarray(field + 3 * np.maximum(distance - 1.5, 0), np.float32)


def _relative_noise(
    coordinates: Sequence[Array], scale: float, rng: np.random.Generator
) -> np.ndarray:
    """Random field whose pattern grows with the lesion: coordinates are in radii."""
    half = 3.0
    cells = int(2 * half / scale) + 3
    coarse = rng.standard_normal((cells, cells, cells))
    where = [(u + half) / scale for u in coordinates]
    return np.asarray(ndimage.map_coordinates(coarse, where, order=1, mode="nearest") / 0.54)


def _blend(
    view: Array,
    field: Array,
    level: float,
    radius: float,
    spacing: Triple,
    lesion: Lesion,
    visit: int,
    enhancement: float,
) -> None:
    """Mix the lesion's tissue into ``view`` with an edge as soft as half a voxel."""
    edge = max(0.5 * float(np.mean(spacing)) / radius, 0.04)
    share = 1 / (1 + np.exp(np.clip((field - level) / (0.5 * edge), -30, 30)))
    tissue = np.full(field.shape, 38.0 + 0.3 * enhancement, np.float32)
    if lesion.texture == "necrotic":
        tissue[field < 0.62 * level] = 12.0
    if lesion.texture == "cavitating":
        tissue[field < 0.55 * level] = AIR + 30
    if lesion.texture == "part-solid":
        tissue[field > 0.7 * level] = -420.0
    if visit == 1 and lesion.halo > 0:
        rim = (field > level) & (field < level + lesion.halo)
        view[rim] = np.maximum(view[rim], -640.0)
    if lesion.kind == "node":
        tissue += 6.0
    view += share.astype(np.float32) * (tissue - view)


def paint_effusion(thorax: Thorax, side: Side, volume_ml: float) -> Mask:
    """Fluid in the back and at the base of one pleural space, with a concave upper edge."""
    half = thorax.lungs & (thorax.x < 0 if side == "right" else thorax.x > 0)
    if volume_ml <= 0 or not half.any():
        return np.zeros(thorax.grid.shape, bool)
    wall = thorax.x * (1 if side == "left" else -1) / thorax.anatomy.half_width
    depth = 0.75 * thorax.z - 0.9 * thorax.y - 40 * wall**2
    inside = np.broadcast_to(depth, half.shape)[half]
    voxels = volume_ml * 1000 / np.prod(thorax.grid.spacing)
    n = int(np.clip(voxels, 1, 0.6 * inside.size))
    level = np.partition(inside, n - 1)[n - 1]
    fluid = half & (depth <= level)
    thorax.hu[fluid] = 11.0
    return np.asarray(fluid)
