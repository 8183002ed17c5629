"""Where the liver is to be looked for in a prepared scan: a box around the base of the lungs."""

from __future__ import annotations

import numpy as np

from ctrs.box import Corner
from ctrs.types import Mask

# Of the model's voxels of 3 mm, (z, y, x): 144 x 216 x 216 mm.
LIVER_BOX = (48, 72, 72)
_BELOW, _BESIDE = 12, 4  # voxels from the box's edge to the lungs: under their base, to their right
_BASE = 30  # slices of the lungs from their base, 90 mm
_SOME = 20  # voxels in a slice, row or column: fewer are a stray bit of lung


def liver_corner(lungs: Mask) -> Corner | None:
    """First voxel of `LIVER_BOX` ``(z, y, x)``; ``None`` where there are no lungs.

    The box may leave the scan on every side. It hangs on the base of the lungs alone, so that it
    lies alike in a scan that does not show their tops.

    Args:
        lungs: On the model's grid, z upwards, the right lung at low x.
    """
    slices = np.flatnonzero(lungs.sum(axis=(1, 2)) >= _SOME)
    if not slices.size:
        return None
    base = int(slices[0])
    low = lungs[base : base + _BASE]
    rows = np.flatnonzero(low.sum(axis=(0, 2)) >= _SOME)
    columns = np.flatnonzero(low.sum(axis=(0, 1)) >= _SOME)
    if not (rows.size and columns.size):
        return None
    middle = int(rows[0] + rows[-1] + 1) // 2
    return base - _BELOW, middle - LIVER_BOX[1] // 2, int(columns[0]) - _BESIDE
