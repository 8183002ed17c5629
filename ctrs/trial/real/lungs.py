"""The lungs of a real scan as a frame for places that were drawn for a simulated one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ctrs.config import ChestConfig, PrepareConfig
from ctrs.lungs import find_lungs
from ctrs.prepare import downsample
from ctrs.trial.body.anatomy import SIDES, LiverPlace, LungPlace, NodePlace, Place, Side
from ctrs.types import Array, Mask, Triple

HILUM_HEIGHT = 0.52  # of the lung, from its base
DEPTH_REACH = 0.86  # of the lung's half depth, as in a simulated thorax
UNDER_DOME_MM = 32.0  # from the right dome down to the middle of the liver's upper half
LIVER_REACH_MM = (14.0, 30.0, 36.0)  # from there, (z, y, x)
LIVER_HU = (25.0, 200.0)


def lungs_at(hu: Array, spacing: Triple) -> Mask:
    """Lungs of a scan on its own grid, found on the model's grid; empty where there are none."""
    coarse_mm = PrepareConfig().spacing_mm
    coarse, start = downsample(hu, spacing, coarse_mm)
    found = find_lungs(coarse, coarse_mm, ChestConfig())
    index = [
        np.clip(np.rint((np.arange(n) * mm - s) / new), 0, m - 1).astype(int)
        for n, mm, s, new, m in zip(hu.shape, spacing, start, coarse_mm, found.shape, strict=True)
    ]
    return np.asarray(found[np.ix_(*index)])


def height_of(lungs: Mask, z_mm: float) -> tuple[float, float]:
    """Base and apex of the lungs, mm from the first slice; the whole scan without lungs."""
    slices = np.flatnonzero(lungs.any(axis=(1, 2)))
    first, last = (slices[0], slices[-1]) if slices.size else (0, len(lungs) - 1)
    return float(first * z_mm), float(last * z_mm)


@dataclass(frozen=True)
class RealLungs:
    """Both lungs of a real scan; right is at low x."""

    right: Mask
    left: Mask
    spacing: Triple

    @staticmethod
    def split(lungs: Mask, spacing: Triple) -> RealLungs:
        """Part the lungs at their emptiest column in the middle third."""
        columns = lungs.sum(axis=(0, 1))
        hit = np.flatnonzero(columns)
        low, high = (int(hit[0]), int(hit[-1]) + 1) if hit.size else (0, len(columns))
        third = (high - low) // 3
        middle = low + third + int(np.argmin(columns[low + third : max(high - third, low + 1)]))
        right = lungs.copy()
        right[..., middle:] = False
        return RealLungs(right, lungs & ~right, spacing)

    def of(self, side: Side) -> Mask:
        return self.right if side == SIDES[0] else self.left

    def locate(self, place: Place, hu: Array) -> np.ndarray | None:
        """Voxel indices of a place, not rounded; ``None`` where this scan does not show it.

        Vertebrae are never looked for, and the liver only under the right dome.
        """
        if isinstance(place, LungPlace):
            return self._in_lung(place)
        if isinstance(place, NodePlace):
            return self._node(place)
        return self._in_liver(place, hu) if isinstance(place, LiverPlace) else None

    def _in_lung(self, place: LungPlace) -> np.ndarray | None:
        lung = self.of(place.side)
        slices = np.flatnonzero(lung.any(axis=(1, 2)))
        if slices.size == 0:
            return None
        z = slices[0] + place.height * (slices[-1] - slices[0])
        plane = lung[slices[np.argmin(np.abs(slices - z))]]
        rows = np.flatnonzero(plane.any(axis=1))
        y = _between(rows, DEPTH_REACH * place.depth)
        row = plane[rows[np.argmin(np.abs(rows - y))]]
        outwards = -place.across if place.side == SIDES[0] else place.across
        return np.array([z, y, _between(np.flatnonzero(row), outwards)])

    def hilum(self, side: Side) -> np.ndarray | None:
        """The medial border of a lung at its mid height, voxel indices."""
        inwards = self._in_lung(LungPlace(side, HILUM_HEIGHT, -1.0, 0.0))
        return inwards

    def _node(self, place: NodePlace) -> np.ndarray | None:
        hilum = self.hilum(place.side)
        if hilum is None:
            return None
        outwards = -place.x if place.side == SIDES[0] else place.x
        return np.asarray(hilum + np.array([place.z, place.y, outwards]) / self.spacing)

    def _in_liver(self, place: LiverPlace, hu: Array) -> np.ndarray | None:
        slices, rows, columns = np.nonzero(self.right)
        if slices.size == 0:
            return None
        low = slices < np.quantile(slices, 0.3)
        y, x = int(rows[low].mean()), int(columns[low].mean())
        dome = np.flatnonzero(self.right[:, y, x])
        if dome.size == 0:
            return None
        reach = np.array(LIVER_REACH_MM) * (place.height, place.depth, place.across)
        point = np.array([dome[0], y, x]) + (reach - (UNDER_DOME_MM, 0, 0)) / self.spacing
        voxel = np.rint(point).astype(int)
        if (voxel < 1).any() or (voxel >= np.array(hu.shape) - 1).any():
            return None
        around = hu[tuple(slice(v - 1, v + 2) for v in voxel)]
        return point if LIVER_HU[0] < float(np.median(around)) < LIVER_HU[1] else None


def _between(indices: np.ndarray, share: float) -> float:
    """The index at -1 (first) to 1 (last) of a range of indices."""
    first, last = float(indices[0]), float(indices[-1])
    return 0.5 * (first + last) + share * 0.5 * (last - first)


def near(lungs: Mask, spacing: Triple, mm: float) -> Mask:
    """Everything within a distance of the lungs, the lungs themselves left out."""
    away = ndimage.distance_transform_edt(~lungs, sampling=spacing)
    return np.asarray((away > 0) & (away <= mm))
