"""Where slices lie in the patient, whether they make a regular grid, and which way it points.

Pure arithmetic on positions in mm: no files. One door for orientation: `to_patient_axes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, permutations
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from ctrs.config import IntakeConfig
from ctrs.errors import MissingSlices, NotAVolume, SlicesTooThick
from ctrs.types import Array, Floats, Triple

# Scanners place patients within a few metres of their origin. Beyond, arithmetic ends somewhere.
FARTHEST_MM = 1e5
# Closer than this is the same place: real reconstructions are at least 0.2 mm apart.
_SAME_PLACE_MM = 0.01
# Scanners that write positions with one decimal put each slice up to 0.05 mm off, so a gap may
# be 0.1 mm off without any fault. On the model's 3 mm grid that is nothing.
_ROUNDING_MM = 0.1 + 1e-6
# Direction cosines are written with six decimals or so; 1e-3 is 0.06 degrees.
_SAME_DIRECTION = 1e-3
_SAME_PIXEL_SPACING = 1e-3  # relative
_RIGHT_ANGLE = 0.01  # of a cosine, 0.6 degrees: the axes of a grid, read as if they were straight
# The table moves along the patient's long axis, however the gantry leans.
_TABLE_DEG = 2.0

_EXPORT_AGAIN = "Export the whole series again from the archive, then try again."
_SEND_AXIAL = "Choose the axial reconstruction of the same study."


@dataclass(frozen=True)
class Plane:
    """One slice in the patient (LPS, mm).

    Attributes:
        position: Centre of the first pixel, ``(x, y, z)``.
        orientation: Direction along a row, then down a column: six cosines.
        pixel_spacing: Between rows, between columns.
        shape: ``(rows, columns)``.
    """

    position: Triple
    orientation: tuple[float, ...]
    pixel_spacing: tuple[float, float]
    shape: tuple[int, int]

    @property
    def normal(self) -> Floats:
        """Unit vector across the slice, towards the head."""
        cosines = np.asarray(self.orientation)
        normal = np.cross(cosines[:3], cosines[3:])
        return np.asarray(normal / np.linalg.norm(normal) * (-1.0 if normal[2] < 0 else 1.0))


@dataclass(frozen=True)
class Layout:
    """Planes in order, feet to head, and the regular grid that they make.

    Attributes:
        order: Index of the plane in each slice of the grid.
        duplicates: Pairs of planes at one place: the one in ``order``, and the other.
        spacing: ``(z, y, x)`` in mm; ``origin``, ``direction`` as in `Volume`.
        tilt_deg: How far the gantry leaned; 0 for slices that are stacked along their normal.
        shifts: Of each slice of a leaning stack, how many (rows, columns) its first pixel lies
            from the grid's corner; empty for the others.
    """

    order: tuple[int, ...]
    duplicates: tuple[tuple[int, int], ...]
    shape: tuple[int, int, int]
    spacing: Triple
    origin: Triple
    direction: tuple[float, ...]
    tilt_deg: float = 0.0
    shifts: tuple[tuple[float, float], ...] = ()


def lay_out(planes: Sequence[Plane], config: IntakeConfig) -> Layout:
    """Order the planes from feet to head and make sure that they form one regular axial grid.

    The distance between slices is measured between positions along the slice normal. Slice
    Thickness is not a distance, and Spacing Between Slices is optional and often wrong.

    Slices of a tilted gantry lie one above the other along the table, not along their normal.
    Their grid is upright on the slices and wide enough for all, so that each slice only has to
    be moved within its own plane.

    Raises:
        NotAVolume: Mixed orientation or matrix, not axial, shifted, too few, or of a size that
            no body and no scanner has.
        MissingSlices: A gap is off the median by more than ``config.spacing_tolerance``
            (relative) and by more than 0.1 mm, the rounding of positions in files.
        SlicesTooThick: Spacing above ``config.max_slice_spacing_mm``.
    """
    first = planes[0]
    _check_alike(planes)
    check_pixels(first.shape, first.pixel_spacing, config)
    _check_axial(first.normal, config)
    positions = np.array([plane.position for plane in planes])
    heights = positions @ first.normal
    tilt_deg = _tilt(positions, heights, first)
    order, duplicates = _sorted_unique(heights)
    slice_mm = _slice_spacing(heights[list(order)], config)
    check_extent(len(order), slice_mm, config)
    row, column = first.orientation[:3], first.orientation[3:]
    straight = Layout(
        order,
        duplicates,
        (len(order), *first.shape),
        (slice_mm, *first.pixel_spacing),
        planes[order[0]].position,
        tuple(float(c) for c in np.column_stack((row, column, first.normal)).ravel()),
    )
    return _leaning(straight, positions[list(order)], tilt_deg) if tilt_deg else straight


def outline(planes: Sequence[Plane]) -> tuple[tuple[int, int, int], Triple]:
    """Shape and spacing, ``(z, y, x)``, of parallel planes that need not make a grid.

    The spacing between slices is the usual one (median); 0 where there is one slice. All are
    zeros where the planes differ in direction, matrix or pixel size, or there are none.
    """
    try:
        _check_alike(planes)
    except (NotAVolume, IndexError):
        return (0, 0, 0), (0.0, 0.0, 0.0)
    first = planes[0]
    heights = np.array([plane.position for plane in planes]) @ first.normal
    order, _ = _sorted_unique(heights)
    gaps = np.diff(heights[list(order)])
    slice_mm = round(float(np.median(gaps)), 6) if len(gaps) else 0.0
    return (len(order), *first.shape), (slice_mm, *first.pixel_spacing)


def _leaning(straight: Layout, positions: Floats, tilt_deg: float) -> Layout:
    """The layout with room for slices that move against each other, and how far each does."""
    axes = np.array(straight.direction).reshape(3, 3)
    across = axes[:, [1, 0]]  # down a column, along a row: the order of rows, columns
    mm = np.array(straight.spacing[1:])
    offsets = (positions - positions[0]) @ across / mm
    corner = offsets.min(axis=0)
    shifts = np.round(offsets - corner, 6)  # a millionth of a pixel is no reason for a row more
    rows, columns = straight.shape[1:] + np.ceil(shifts.max(axis=0)).astype(int)
    x, y, z = positions[0] + across @ (corner * mm)
    return replace(
        straight,
        shape=(straight.shape[0], int(rows), int(columns)),
        origin=(float(x), float(y), float(z)),
        tilt_deg=tilt_deg,
        shifts=tuple((float(down), float(along)) for down, along in shifts),
    )


def check_extent(n_slices: int, slice_mm: float, config: IntakeConfig) -> None:
    """Refuse a stack that is too short or too coarse to show a chest."""
    if n_slices < config.min_slices:
        raise NotAVolume(
            f"The series has {n_slices} slices; at least {config.min_slices} are expected.",
            "Choose the series that covers the whole chest.",
        )
    if slice_mm < config.min_voxel_mm:
        raise NotAVolume(
            f"The slices are {slice_mm:.2g} mm apart; no scanner measures less than "
            f"{config.min_voxel_mm:g} mm.",
            _EXPORT_AGAIN,
        )
    if slice_mm > config.max_slice_spacing_mm:
        raise SlicesTooThick(
            f"The slices are {slice_mm:.1f} mm apart; at most "
            f"{config.max_slice_spacing_mm:.1f} mm are accepted.",
            "Send the thin-slice reconstruction of the same study.",
        )


def check_pixels(
    shape: tuple[int, ...], pixel_spacing: tuple[float, ...], config: IntakeConfig
) -> None:
    """Refuse pixels, or slices, of a size that no CT of a body has: the lungs would be as wrong.

    Args:
        shape: ``(rows, columns)``.
        pixel_spacing: mm, between rows and between columns.

    Raises:
        NotAVolume: A pixel below ``config.min_voxel_mm`` or above ``config.max_pixel_mm``, or
            together wider than ``config.max_field_mm``.
    """
    if min(pixel_spacing) < config.min_voxel_mm or max(pixel_spacing) > config.max_pixel_mm:
        raise NotAVolume(
            f"The pixels measure {pixel_spacing[0]:.3g} × {pixel_spacing[1]:.3g} mm; "
            f"{config.min_voxel_mm:g} to {config.max_pixel_mm:g} mm are expected of CT.",
            _EXPORT_AGAIN,
        )
    fields = [n * mm for n, mm in zip(shape, pixel_spacing, strict=True)]
    if max(fields) > config.max_field_mm:
        raise NotAVolume(
            f"The slices measure {fields[0]:.0f} × {fields[1]:.0f} mm; no scanner's are wider "
            f"than {config.max_field_mm:.0f} mm. The pixel size is wrong.",
            _EXPORT_AGAIN,
        )


def check_place(origin: Triple) -> None:
    """Refuse a volume that lies nowhere near a scanner.

    Raises:
        NotAVolume: Further away than `FARTHEST_MM`, or at no number.
    """
    if not np.abs(origin).max() <= FARTHEST_MM:
        raise NotAVolume(
            f"The file places the scan {np.abs(origin).max():.3g} mm from the scanner's centre.",
            _EXPORT_AGAIN,
        )


def to_patient_axes(
    stored: npt.NDArray[Any],
    spacing: Triple,
    origin: Triple,
    direction: Sequence[float],
    config: IntakeConfig,
) -> tuple[Array, Triple, Triple, tuple[float, ...]]:
    """The same grid with z to the head, y to the back, x to the left; nothing is resampled.

    Axes are swapped and reversed until each points as closely as possible along its patient
    axis. Returns float32 voxels (a view where nothing had to change), spacing, origin and
    direction, all as in `Volume`.

    Raises:
        NotAVolume: Even then the z axis is too far from the patient's long axis, or the axes
            are not at right angles.
    """
    cosines = np.asarray(direction, dtype=float).reshape(3, 3)  # columns: grid axes x, y, z
    if not np.abs(cosines.T @ cosines - np.eye(3)).max() <= _RIGHT_ANGLE:
        raise NotAVolume("The axes of the volume are not at right angles.", _EXPORT_AGAIN)
    axes = max(permutations(range(3)), key=lambda p: sum(abs(cosines[i, p[i]]) for i in range(3)))
    steps = np.array(spacing[::-1])[list(axes)]  # x, y, z as the origin is
    columns = cosines[:, axes]
    voxels = stored.transpose([2 - axes[axis] for axis in (2, 1, 0)])
    corner = np.array(origin, dtype=float)
    for axis in range(3):
        if columns[axis, axis] < 0:
            corner += columns[:, axis] * steps[axis] * (voxels.shape[2 - axis] - 1)
            columns[:, axis] *= -1
            voxels = np.flip(voxels, 2 - axis)
    _check_axial(columns[:, 2], config)
    z, y, x = (float(mm) for mm in steps[::-1])
    return (
        np.ascontiguousarray(voxels, np.float32),
        (z, y, x),
        (float(corner[0]), float(corner[1]), float(corner[2])),
        tuple(float(c) + 0.0 for c in columns.ravel()),  # + 0.0: no "-0.0"
    )


def stored_as(direction: Sequence[float]) -> str:
    """`Volume.stored_as` of a grid with these direction cosines, given as in `Volume`."""
    name: str = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(direction)
    return name


def right_handed(direction: Sequence[float]) -> tuple[float, ...]:
    """The same grid's axes with slices counted along rows x columns, as DICOM readers do."""
    cosines = np.array(direction, dtype=float).reshape(3, 3)
    cosines[:, 2] *= np.sign(np.linalg.det(cosines))
    return tuple(float(c) for c in cosines.ravel())


def _check_alike(planes: Sequence[Plane]) -> None:
    """Refuse images of several orientations, matrices or pixel sizes under one series UID."""
    first = planes[0]
    size, step = first.shape, np.array(first.pixel_spacing)
    turned = [
        p
        for p in planes
        if np.abs(np.subtract(p.orientation, first.orientation)).max() > _SAME_DIRECTION
    ]
    if turned:
        raise _mixed("directions", len(turned), planes, turned[0])
    if others := [p for p in planes if p.shape != size]:
        raise _mixed(
            f"matrices ({_by(size)} and {_by(others[0].shape)})", len(others), planes, others[0]
        )
    if others := [
        p for p in planes if (np.abs(p.pixel_spacing - step) > _SAME_PIXEL_SPACING * step).any()
    ]:
        raise _mixed("pixel sizes", len(others), planes, others[0])


def _mixed(of_what: str, n_others: int, planes: Sequence[Plane], at: Plane) -> NotAVolume:
    return NotAVolume(
        f"The {len(planes)} images of the series have different {of_what}: {n_others} differ "
        f"from the first, the first of them at {at.position[2]:.1f} mm.",
        "Choose a series that holds one axial stack only.",
    )


def _by(shape: tuple[int, int]) -> str:
    return f"{shape[0]} × {shape[1]}"


def _check_axial(normal: Floats, config: IntakeConfig) -> None:
    degrees = _angle(normal, np.array([0.0, 0.0, 1.0]))
    if degrees > config.max_obliquity_deg:
        raise NotAVolume(
            f"The slices are not axial: {degrees:.0f}° off the patient's long axis; at most "
            f"{config.max_obliquity_deg:.0f}° are accepted.",
            _SEND_AXIAL,
        )


def _tilt(positions: Floats, heights: Floats, first: Plane) -> float:
    """How far the stack leans off the slices' normal, in degrees; 0 if it stands upright.

    Read as a grid, a stack that leans or jumps sideways would be sheared without anybody
    noticing. A drift below one pixel over the whole stack is the rounding of positions and
    cosines. A stack that leans because the gantry did lies in a line along the table.

    Raises:
        NotAVolume: Slices are shifted against each other in any other way.
    """
    order = np.argsort(heights, kind="stable")
    path = positions[order] - positions[order[0]]
    sideways = path - np.outer(path @ first.normal, first.normal)
    drift = np.linalg.norm(sideways, axis=1)
    limit = max(first.pixel_spacing)
    if drift.max() <= limit:
        return 0.0
    along_table = _angle(path[-1], np.array([0.0, 0.0, 1.0])) <= _TABLE_DEG
    if along_table and _is_line(path, limit):
        return _angle(path[-1], first.normal)
    at = positions[order[int(np.argmax(drift > limit))]][2]
    raise NotAVolume(
        f"The slices are shifted sideways against each other by up to {drift.max():.1f} mm, "
        f"first at {at:.1f} mm; at most one pixel ({limit:.2f} mm) is expected.",
        _EXPORT_AGAIN,
    )


def _is_line(path: Floats, tolerance_mm: float) -> bool:
    """Whether points that start at zero lie on the line to the last of them."""
    towards = path[-1] / max(float(np.linalg.norm(path[-1])), _SAME_PLACE_MM)
    return bool(
        (np.linalg.norm(path - np.outer(path @ towards, towards), axis=1) <= tolerance_mm).all()
    )


def _angle(one: Floats, other: Floats) -> float:
    """Between two vectors, in degrees."""
    length = max(float(np.linalg.norm(one) * np.linalg.norm(other)), 1e-12)
    return float(np.degrees(np.arccos(np.clip(one @ other / length, -1.0, 1.0))))


def _sorted_unique(heights: Floats) -> tuple[tuple[int, ...], tuple[tuple[int, int], ...]]:
    order: list[int] = []
    duplicates: list[tuple[int, int]] = []
    for index in np.argsort(heights, kind="stable").tolist():
        if order and heights[index] - heights[order[-1]] < _SAME_PLACE_MM:
            duplicates.append((order[-1], index))
        else:
            order.append(index)
    return tuple(order), tuple(duplicates)


def _slice_spacing(heights: Floats, config: IntakeConfig) -> float:
    """Mean distance between sorted slices, after a check that no gap stands out; 0 for one."""
    if len(heights) < 2:
        return 0.0
    gaps = np.diff(heights)
    median = float(np.median(gaps))
    wrong = np.abs(gaps - median) > max(config.spacing_tolerance * median, _ROUNDING_MM)
    if not wrong.any():
        return float(gaps.mean())
    low, high = list(pairwise(heights))[int(np.argmax(wrong))]
    raise MissingSlices(
        f"{wrong.sum()} of {len(gaps)} gaps between slices differ from {median:.2f} mm; the "
        f"first is {high - low:.2f} mm, between {low:.1f} and {high:.1f} mm.",
        "Slices are probably missing: export the whole series again.",
    )
