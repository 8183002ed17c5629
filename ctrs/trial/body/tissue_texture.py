"""The texture of tissue: patterns that belong to the body and move with it."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ctrs.trial.body.anatomy import FAT, MUSCLE, Anatomy
from ctrs.trial.body.canvas import Canvas
from ctrs.types import Array

# One tile of each pattern, repeated in all directions.
TILE, TILE_LAYERS, TILE_STEP_MM = 150, 12, 5.0  # TILE in mm
FAT_HU = -110.0  # most frequent density of fat in five real scans (the trial's report)
SEPTUM_HU, MARBLE_HU = 75.0, 42.0  # how much a septum adds, and one sd of marbling takes away
UPTAKE_HU, UPTAKE_MOST_HU = 4.0, 9.0  # sd within an organ, and the most
ORGAN_HU = (0.0, 240.0)
Window = tuple[slice, slice]
ALL: Window = (slice(None), slice(None))


class TissueTexture:
    """What no tissue lacks: fat in muscle, septa in fat, an uneven uptake in organs."""

    def __init__(self, canvas: Canvas, anatomy: Anatomy, enhancement: float) -> None:
        self.canvas = canvas
        rng = np.random.default_rng([anatomy.seed, 17])
        fine, coarse = _noise(rng, (0.8, 1.3, 2.6)), _noise(rng, (1.0, 3.6, 4.4))
        self._muscle = _in_muscle(fine, coarse, anatomy, enhancement)
        self._fat = _in_fat(fine, coarse)
        self._bundles = np.clip(np.float32(0.60) + coarse * np.float32(1.1), 0, 1)
        uptake = np.float32(UPTAKE_HU) * (np.float32(0.7) * fine + np.float32(0.7) * coarse)
        self._uptake = np.clip(uptake, -UPTAKE_MOST_HU, UPTAKE_MOST_HU)
        row, column = (np.rint(a).astype(np.intp) % TILE for a in (canvas.y, canvas.x))
        self._index = row * TILE + column

    def add(self, k: int, outside: Array) -> None:
        """Add septa and marbling to slice ``k``, where the distance to the skin is negative."""
        hu = self.canvas.hu[k]
        pattern = np.where(hu < -50, self._slice(self._fat, k), self._slice(self._muscle, k))
        hu += pattern * (outside < 0)

    def add_to_organs(self, half_width: float, half_depth: float) -> None:
        """Add the uneven uptake to everything soft inside the cage."""
        box = self.canvas.rectangle((-half_depth, half_depth), (-half_width, half_width))
        low, high = ORGAN_HU
        for k in range(len(self.canvas.z)):
            hu = self.canvas.hu[k][box]
            hu += self._slice(self._uptake, k, box) * ((hu > low) & (hu < high))

    def bundles(self, k: int, box: Window = ALL) -> Array:
        """Share of each pixel of slice ``k`` that is muscle or gland, the rest fat."""
        return self._slice(self._bundles, k, box)

    def _slice(self, tile: Array, k: int, box: Window = ALL) -> Array:
        layer = float(self.canvas.z[k]) / TILE_STEP_MM
        low = int(np.floor(layer))
        rest = np.float32(layer - low)
        first, second = tile[low % TILE_LAYERS], tile[(low + 1) % TILE_LAYERS]
        return np.asarray(np.take((1 - rest) * first + rest * second, self._index[box]))


def _noise(rng: np.random.Generator, sigma: tuple[float, float, float]) -> Array:
    white = rng.standard_normal((TILE_LAYERS, TILE, TILE), dtype=np.float32)
    smooth = ndimage.gaussian_filter(white, sigma, mode="wrap")
    return np.asarray(smooth * np.float32(1 / float(smooth.std())), np.float32)


def _in_muscle(fine: Array, coarse: Array, anatomy: Anatomy, enhancement: float) -> Array:
    """What to add to plain muscle: its own density, and fat in streaks, more in old and stout."""
    old = min(max((anatomy.age - 40) / 40, 0.0), 1.2)
    stout = min(max((anatomy.bmi - 20) / 15, 0.0), 1.2)
    mean = 62 - 9 * old - 5 * stout + 0.12 * enhancement - MUSCLE
    marbling = MARBLE_HU * (0.5 + 0.5 * old + 0.4 * stout)
    both = np.float32(0.75) * fine + np.float32(0.66) * coarse
    streaks = np.maximum(both - np.float32(0.35), 0)
    return np.asarray(
        np.float32(mean) + np.float32(6) * fine - np.float32(marbling) * streaks, np.float32
    )


def _in_fat(fine: Array, coarse: Array) -> Array:
    """What to add to plain fat: thin septa, where a slow pattern changes its sign."""
    septa = np.maximum(1 - np.abs(coarse + np.float32(0.35) * fine) * np.float32(4.5), 0)
    strength = np.float32(SEPTUM_HU) * np.maximum(np.float32(0.25) + np.float32(0.5) * fine, 0)
    grain = np.float32(FAT_HU - FAT) + np.float32(6) * fine
    return np.asarray(grain + septa * strength, np.float32)
