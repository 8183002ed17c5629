"""The space inside a lung as fractions of it, so that what lies there follows the breath."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from ctrs.trial.body.anatomy import Anatomy, Grid, Posture, Side
from ctrs.types import Array, Floats, Mask

FINE_MM = 3.0  # the lung's shape is looked up at about this resolution


class Chest(Protocol):
    """What is needed of a thorax; `Thorax` has it."""

    anatomy: Anatomy
    posture: Posture
    grid: Grid
    hu: Array
    lungs: Mask
    x: Array  # body coordinates of the voxels, mm, broadcastable
    y: Array
    z: Array
    height: float  # of the apex over the lung base at full breath, mm
    lobes: np.ndarray  # uint8, 0 outside the lungs
    blood: float  # HU

    def hilum(self, side: Side) -> Floats:
        """``(z, y, x)`` mm in body coordinates."""
        ...


def on_grid(thorax: Chest, point: Floats) -> Floats:
    """A point in body coordinates as mm from the first voxel of the grid, ``(z, y, x)``."""
    index = thorax.grid.index(np.asarray(point, float)[None], thorax.posture)[0]
    return np.asarray(index * np.array(thorax.grid.spacing))


class LungSpace:
    """One lung as a distribution: three fractions of 0-1 give a point, evenly over the lung.

    A fraction keeps its place between the walls of the lung when they move with the breath.
    """

    def __init__(self, thorax: Chest, side: Side, rim_mm: float) -> None:
        """Look up the lung's shape, without a rim of ``rim_mm`` at its surface."""
        step = np.array([max(1, int(FINE_MM / mm)) for mm in thorax.grid.spacing])
        self._spacing = step * thorax.grid.spacing
        sub = tuple(slice(None, None, int(n)) for n in step)
        x = np.broadcast_to(thorax.x, thorax.lungs.shape)[sub]
        lung = thorax.lungs[sub] & (x < 0 if side == "right" else x > 0)
        lung = _without_rim(lung, self._spacing, rim_mm)
        self._x = lung.cumsum(2, dtype=np.float32)
        self._y = self._x[:, :, -1].cumsum(1, dtype=np.float64)
        self._z = self._y[:, -1].cumsum()
        self.inner = 1.0 if side == "right" else 0.0  # the fraction across at the hilum

    def points(self, fractions: Floats) -> Floats:
        """mm from the grid's first voxel, ``(n, 3)``, of fractions up, to the back, to the left."""
        up, back, left = fractions.T
        z, part_z = _quantile(np.broadcast_to(self._z, (len(up), len(self._z))), up)
        y, part_y = _quantile(self._y[z], back)
        x, part_x = _quantile(self._x[z, y].astype(np.float64), left)
        index = np.stack([z + part_z, y + part_y, x + part_x], 1) - 0.5
        return np.asarray(index * self._spacing)


def _without_rim(lung: Mask, spacing: np.ndarray, rim_mm: float) -> Mask:
    inner = lung
    for axis, mm in enumerate(spacing):
        for _ in range(round(rim_mm / mm)):
            inner = inner & np.roll(inner, 1, axis) & np.roll(inner, -1, axis)
    return inner if inner.any() else lung


def _quantile(cumulated: Floats, fraction: Floats) -> tuple[np.ndarray, Floats]:
    """In each row the bin that holds a fraction of its sum, and how far into the bin."""
    wanted = fraction * cumulated[:, -1]
    index = np.minimum((cumulated <= wanted[:, None]).sum(1), cumulated.shape[1] - 1)
    rows = np.arange(len(index))
    before = np.where(index > 0, cumulated[rows, index - 1], 0.0)
    content = cumulated[rows, index] - before
    return index, np.clip((wanted - before) / np.maximum(content, 1e-9), 0, 1)
