"""A box of voxels: cut out of an image, which it may leave on every side."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Corner = tuple[int, int, int]  # first voxel of a box, (z, y, x); may lie outside the image


def cut_box(
    array: npt.NDArray[Any], corner: Corner, shape: tuple[int, int, int], fill: float
) -> npt.NDArray[Any]:
    """Cut a box out of ``array``; where the box leaves the array it holds ``fill``."""
    box = np.full(shape, fill, array.dtype)
    source, target = [], []
    for start, length, available in zip(corner, shape, array.shape, strict=True):
        low, high = min(max(start, 0), available), min(start + length, available)
        high = max(low, high)
        source.append(slice(low, high))
        target.append(slice(low - start, high - start))
    box[tuple(target)] = array[tuple(source)]
    return box
