"""`Volume` on the scanner's grid → `PreparedScan` on the model's grid around the lungs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk

from ctrs.box import Corner, cut_box
from ctrs.config import ChestConfig, PrepareConfig
from ctrs.lungs import Chest, describe_chest, find_lungs
from ctrs.types import Array, Mask, PreparedScan, Triple, Volume

AIR_HU = -1024.0
# Of a voxel. Places are often whole or half voxels: what is rounded in between is the same for
# every part of a scan.
_BETWEEN = 0.38


def prepare(
    volume: Volume, config: PrepareConfig, chest_config: ChestConfig
) -> tuple[PreparedScan, Chest]:
    """Average down to the model's spacing, find the lungs, cut the model's box around them.

    The same function feeds training and inference. Nothing is random.

    Returns:
        The prepared scan, and the measurements of the chest by which the caller decides
        whether it may be scored. Without lungs the box lies in the middle of the scan.
    """
    first = _first_mm(volume)
    coarse, start = downsample(volume.hu, volume.spacing, config.spacing_mm, first)
    lungs = find_lungs(coarse, config.spacing_mm, chest_config)
    begins = [
        round((at + s) / mm) for at, s, mm in zip(first, start, config.spacing_mm, strict=True)
    ]
    corner = _corner(lungs, config.shape, begins)
    image = cut_box(coarse, corner, config.shape, AIR_HU)
    prepared = PreparedScan(
        image=window(image, config.window_hu),
        lungs=cut_box(lungs, corner, config.shape, False),
        origin=tuple(s + c * mm for s, c, mm in zip(start, corner, config.spacing_mm, strict=True)),  # type: ignore[arg-type]
        spacing=config.spacing_mm,
    )
    return prepared, describe_chest(lungs, coarse, config.spacing_mm)


def onto_model_grid(values: Array, spacing: Triple, prepared: PreparedScan) -> Array:
    """Bring values on a scan's grid (a truth mask, say) to the grid of its prepared scan.

    Returns:
        Shape of ``prepared.image``; a mask becomes the share of each voxel that it covers.
    """
    first = _first_of(prepared, spacing)
    coarse, start = downsample(values, spacing, prepared.spacing, first)
    z, y, x = (
        round((o - s) / mm)
        for o, s, mm in zip(prepared.origin, start, prepared.spacing, strict=True)
    )
    z_n, y_n, x_n = prepared.image.shape
    return cut_box(coarse, (z, y, x), (z_n, y_n, x_n), 0.0)


def onto_scan_grid(values: Array, prepared: PreparedScan, volume: Volume) -> Array:
    """Bring a map on the model's grid back to the grid of the scan it was prepared from.

    Returns:
        Shape of ``volume.hu``; 0 outside the model's box.
    """
    image = sitk.GetImageFromArray(values)
    image.SetSpacing(prepared.spacing[::-1])
    image.SetOrigin(prepared.origin[::-1])
    resampled = sitk.Resample(
        image,
        volume.hu.shape[::-1],
        sitk.Transform(),
        sitk.sitkLinear,
        (0.0, 0.0, 0.0),
        volume.spacing[::-1],
        image.GetDirection(),
        0.0,
    )
    return np.asarray(sitk.GetArrayFromImage(resampled), np.float32)


def _first_mm(volume: Volume) -> Triple:
    """Where the first voxel lies in the patient, along the scan's own axes, ``(z, y, x)`` in mm."""
    cosines = np.array(volume.direction).reshape(3, 3)  # columns: axes x, y, z
    x, y, z = (float(mm) for mm in cosines.T @ np.array(volume.origin))
    return z, y, x


def _first_of(prepared: PreparedScan, spacing: Triple) -> Triple:
    """A place of the scan's first voxel for which `downsample` gives the grid of ``prepared``."""
    z, y, x = (
        0.5 * (max(1, int(new / old)) - 1) * old - at
        for at, old, new in zip(prepared.origin, spacing, prepared.spacing, strict=True)
    )
    return z, y, x


def downsample(
    hu: Array, spacing: Triple, new_spacing: Triple, first_mm: Triple = (0.0, 0.0, 0.0)
) -> tuple[Array, Triple]:
    """Resample to ``new_spacing``, averaging where the grid becomes coarser.

    Averaging first keeps the noise of a sharp kernel from folding into the coarse grid.

    Args:
        first_mm: Where the first voxel lies, ``(z, y, x)``. The new grid stays where it is when a
            part of the scan is given, which begins elsewhere.

    Returns:
        HU on the new grid, and the centre of its first voxel in mm from the centre of the
        first voxel of ``hu``, ``(z, y, x)``.
    """
    factors = [max(1, int(new / old)) for old, new in zip(spacing, new_spacing, strict=True)]
    skipped = [
        _before_first_bin(*axis) for axis in zip(hu.shape, spacing, first_mm, factors, strict=True)
    ]
    # sitk reads (z, y, x) arrays as x, y, z images
    image = sitk.GetImageFromArray(hu[tuple(slice(n, None) for n in skipped)])
    shrunk = sitk.BinShrink(image, factors[::-1])
    # ITK leaves the centre of the first bin where the first voxel was: put it where it is.
    bins = [(n + 0.5 * (f - 1)) * mm for n, f, mm in zip(skipped, factors, spacing, strict=True)]
    shrunk.SetOrigin(bins[::-1])
    shrunk.SetSpacing([f * mm for f, mm in zip(factors, spacing, strict=True)][::-1])
    start = tuple(
        at + new * (round(u := (first + n * mm) / new) - u)
        for at, first, n, mm, new in zip(bins, first_mm, skipped, spacing, new_spacing, strict=True)
    )
    size = [
        max(1, round((at + (n - 1) * old - begin) / new) + 1)
        for n, old, new, at, begin in zip(
            shrunk.GetSize(), shrunk.GetSpacing(), new_spacing[::-1], bins[::-1], start[::-1],
            strict=True,
        )
    ]  # fmt: skip
    resampled = sitk.Resample(
        shrunk,
        size,
        sitk.Transform(),
        sitk.sitkLinear,
        start[::-1],
        new_spacing[::-1],
        shrunk.GetDirection(),
        # The last voxel of the new grid may lie up to half its size beyond the last slice. Air
        # there would hide lungs that are cut off, and is no share of a mask.
        useNearestNeighborExtrapolator=True,
    )
    return sitk.GetArrayFromImage(resampled), start  # type: ignore[return-value]


def _before_first_bin(n: int, mm: float, first_mm: float, factor: int) -> int:
    """Voxels in front of the first whole bin, where bins lie alike in every part of a scan."""
    skipped = -int(np.floor(first_mm / mm + _BETWEEN)) % factor
    return skipped if n - skipped >= factor else 0


def window(hu: Array, window_hu: tuple[float, float]) -> Array:
    """Clip to the window and rescale to [0, 1]: 0 at its lower end, 1 at its upper end."""
    low, high = window_hu
    return ((np.clip(hu, low, high) - low) / (high - low)).astype(np.float32)


def _corner(lungs: Mask, shape: tuple[int, int, int], begins: Sequence[int]) -> Corner:
    """First voxel of the box whose centre is the centre of the lungs' bounding box.

    Args:
        begins: Where ``lungs`` begins on the grid of the patient: a box between two voxels is
            moved to the same one in every part of a scan.
    """
    found = np.argwhere(lungs)
    low, high = (found.min(0), found.max(0)) if found.size else (np.zeros(3), lungs.shape)
    z, y, x = (
        round((a + b + 1 - n) / 2 + k) - k
        for a, b, n, k in zip(low, high, shape, begins, strict=True)
    )
    return z, y, x
