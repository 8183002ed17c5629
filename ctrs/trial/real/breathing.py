"""A real scan in another breath: a smooth, seeded deformation of the whole chest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from ctrs.types import Array, Floats, Triple

DIAPHRAGM_MM = 10.0  # the most that the base moves between two breath holds; ours
APEX_MM = 2.0
NODE_MM = 16.0  # between the knots of the deformation; it is linear between them
WOBBLE_MM = 1.2  # of organs against each other
WOBBLE_SCALE_MM = 70.0
WIDENING = 0.02  # of the chest in front, at a deep breath


@dataclass(frozen=True)
class Breath:
    """One deformation.

    Attributes:
        descent_mm: How far the base of the lungs moves to the feet; negative = up.
        shift_mm: Of the whole patient on the table, ``(z, y, x)``.
        lungs_z_mm: Base and apex of the lungs, from the first slice.
        seed: Of the wobble.
    """

    descent_mm: float
    shift_mm: Triple
    lungs_z_mm: tuple[float, float]
    seed: int

    @staticmethod
    def draw(rng: np.random.Generator, lungs_z_mm: tuple[float, float]) -> Breath:
        """Another breath hold and another position on the table."""
        descent = float(np.clip(rng.normal(0, 0.5), -1, 1)) * DIAPHRAGM_MM
        z, y, x = (float(mm) for mm in rng.normal(0, 1.5, 3))
        return Breath(descent, (z, y, x), lungs_z_mm, int(rng.integers(2**31)))


def displacement(breath: Breath, shape: tuple[int, ...], spacing: Triple) -> Floats:
    """Where the tissue at each knot comes from, minus the knot.

    Returns:
        Shape ``(knots z, knots y, knots x, 3)``, mm, last axis ``(z, y, x)``; knots are
        `NODE_MM` apart, the first one on the first voxel.
    """
    extent = [(n - 1) * mm for n, mm in zip(shape, spacing, strict=True)]
    knots = [int(np.ceil(e / NODE_MM)) + 1 for e in extent]
    z, y, _ = np.ix_(*(np.arange(n) * NODE_MM for n in knots))
    base, apex = breath.lungs_z_mm
    t = np.clip((z - base) / max(apex - base, 1.0), -0.4, 1.2)
    # Most at the diaphragm, least at the apex; below the lungs the belly moves along.
    low = np.clip(1 - t, 0, 1)
    fade = 1 - 0.5 * np.clip(-t / 0.4, 0, 1)
    share = (APEX_MM + (DIAPHRAGM_MM - APEX_MM) * low * low * (3 - 2 * low)) / DIAPHRAGM_MM
    # Tissue now at z was higher before the base moved down.
    field = np.zeros((*knots, 3))
    field[..., 0] = breath.descent_mm * share * fade
    forward = np.clip(1 - y / max(extent[1], 1.0), 0, 1)  # the back lies on the table
    depth = WIDENING * extent[1] * breath.descent_mm / DIAPHRAGM_MM
    field[..., 1] = depth * forward * forward * low
    field += np.asarray(breath.shift_mm) + _wobble(knots, np.random.default_rng(breath.seed))
    return field


def _wobble(knots: list[int], rng: np.random.Generator) -> Floats:
    """Smooth random vectors; linear between few random ones, axis by axis."""
    field = rng.standard_normal((9, 9, 9, 3)) * WOBBLE_MM
    for axis, n in enumerate(knots):
        where = np.minimum(np.arange(n) * NODE_MM / WOBBLE_SCALE_MM, 7.999)
        low = where.astype(int)
        t = where - low
        t = (t * t * (3 - 2 * t)).reshape([-1 if a == axis else 1 for a in range(4)])
        field = field.take(low, axis=axis) * (1 - t) + field.take(low + 1, axis=axis) * t
    return np.asarray(field)


def breathe(
    values: Array,
    spacing: Triple,
    field: Floats,
    outside: float,
    first_mm: Triple = (0.0, 0.0, 0.0),
    labels: bool = False,
) -> Array:
    """Deform a scan, or a map on its grid, by a `displacement`.

    Args:
        outside: What lies beyond the scan; the first and last slice are repeated instead, so
            that a chest does not end in air.
        first_mm: Where the first voxel lies from that of the scan, ``(z, y, x)``.

        labels: The values are names of tissues: take the nearest, never a mean.

    Returns:
        Same shape, linearly interpolated unless ``labels``.
    """
    padding = int(np.ceil(2 * DIAPHRAGM_MM / spacing[0]))
    padded = np.pad(values, ((padding, padding), (0, 0), (0, 0)), mode="edge")
    image = sitk.GetImageFromArray(padded)
    image.SetSpacing(spacing[::-1])
    z, y, x = first_mm
    image.SetOrigin((x, y, z - padding * spacing[0]))
    knots = sitk.GetImageFromArray(np.ascontiguousarray(field[..., ::-1]), isVector=True)
    knots.SetSpacing((NODE_MM,) * 3)
    transform = sitk.DisplacementFieldTransform(knots)
    moved = sitk.Resample(
        image,
        values.shape[::-1],
        transform,
        sitk.sitkNearestNeighbor if labels else sitk.sitkLinear,
        (x, y, z),
        spacing[::-1],
        image.GetDirection(),
        outside,
    )
    return np.asarray(sitk.GetArrayFromImage(moved), np.float32)
