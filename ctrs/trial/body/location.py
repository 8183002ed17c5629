"""A place in the body → where it lies at one visit, in mm. No voxels are needed."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ctrs.trial.body.anatomy import (
    Anatomy,
    BonePlace,
    LiverPlace,
    LungPlace,
    NodePlace,
    Place,
    Posture,
    Side,
)
from ctrs.trial.body.organs import REFERENCE, VERTEBRAE
from ctrs.trial.body.shape import ChestShape, chest_shape

MARGIN_MM = 2.0  # a place stays this far inside the lung
LOWEST, HIGHEST = 0.12, 0.94  # of the lung height: heights of the places 0 and 1
ROWS, COLUMNS = 56, 72


def place_mm(anatomy: Anatomy, posture: Posture, place: Place) -> np.ndarray:
    """Where a place lies at a visit: ``(z, y, x)`` mm in body coordinates.

    A place in the lung or liver follows the breath. Shift and turn of the posture are not in
    body coordinates, so they change nothing here.
    """
    shape = chest_shape(anatomy, posture.breath)
    if isinstance(place, LungPlace):
        return _in_lung(shape, place)
    if isinstance(place, NodePlace):
        outwards = -1.0 if place.side == "right" else 1.0
        offset = np.array([place.z, place.y, outwards * place.x])
        return np.asarray(hilum_mm(anatomy, posture, place.side) + offset)
    return _in_liver(shape, place) if isinstance(place, LiverPlace) else _in_bone(shape, place)


def hilum_mm(anatomy: Anatomy, posture: Posture, side: Side) -> np.ndarray:
    """Where the main bronchus enters the lung, ``(z, y, x)`` mm in body coordinates."""
    return np.array(chest_shape(anatomy, posture.breath).organs.main_bronchus(side).points[-1])


def _in_lung(shape: ChestShape, place: LungPlace) -> np.ndarray:
    low = LOWEST * shape.height + 0.4 * shape.lift
    z = low + place.height * (HIGHEST * shape.height - low)
    rows, inner, outer = _slice_of_lung(shape.anatomy, shape.lift, shape, place.side, float(z))
    t = (place.depth + 1) / 2 * (len(rows) - 1)
    k = int(np.clip(np.rint(t), 0, len(rows) - 1))
    across = (place.across + 1) / 2
    return np.array([z, rows[k], inner[k] + across * (outer[k] - inner[k])])


@lru_cache(maxsize=512)
def _slice_of_lung(
    anatomy: Anatomy, lift: float, shape: ChestShape, side: Side, z: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows ``y`` of a lung at height ``z``, front to back, with their inner and outer ``x``."""
    sign = -1.0 if side == "right" else 1.0
    y = np.linspace(-1.1 * shape.b, 1.25 * shape.b, ROWS).astype(np.float32)[:, None]
    x = sign * np.linspace(-0.1 * shape.a, 1.1 * shape.a, COLUMNS).astype(np.float32)[None, :]
    yy, xx = np.broadcast_arrays(y, x)
    inside = shape.lung_distance(side, z, yy, xx) < -MARGIN_MM
    first, last = _longest_runs(inside)
    best, end = _longest_runs((last - first >= 2)[None, :])
    rows = slice(int(best[0]), max(int(end[0]), int(best[0]) + 1))
    return y[rows, 0], x[0, first[rows]], x[0, np.maximum(last[rows] - 1, first[rows])]


def _longest_runs(inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First index and end of the longest run of true values in each row; equal where none."""
    length = np.zeros(inside.shape, np.int64)
    count = np.zeros(len(inside), np.int64)
    for k in range(inside.shape[1]):
        count = (count + 1) * inside[:, k]
        length[:, k] = count
    last = length.argmax(1) + 1
    return last - length.max(1), last


def _in_liver(shape: ChestShape, place: LiverPlace) -> np.ndarray:
    top = shape.dome_tops()[0]
    y, x = shape.b * (-0.20 + 0.38 * place.depth), shape.a * (-0.46 + 0.24 * place.across)
    return np.array([top - 62 + 34 * place.height, y, x])


def _in_bone(shape: ChestShape, place: BonePlace) -> np.ndarray:
    levels = np.array(VERTEBRAE) * shape.height / REFERENCE[0]
    wanted = place.height * 0.92 * shape.height
    z = float(levels[np.abs(levels - wanted).argmin()])  # a body, not a disc
    front, half = (
        float(shape.spine_front(np.array(z))),
        float(shape.vertebra_half_width(np.array(z))),
    )
    aside = shape.organs.spine_x(z)
    return np.array([z, front + 14 + 10 * place.depth, aside + 0.75 * half * place.across])
