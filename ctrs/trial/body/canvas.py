"""The grid of a scan in the patient's frame, and anti-aliased shapes painted on it.

Every shape is painted inside its own bounding box. An edge is a linear ramp of the signed distance
over one voxel: plain arithmetic, so that every machine paints the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from ctrs.trial.body.anatomy import AIR, Grid, Posture
from ctrs.types import Array, Triple

Box = tuple[slice, slice, slice]
Points = Sequence[Triple]


def cover(distance: Array, edge: float) -> Array:
    """Share of a voxel inside a surface at this signed distance (mm, negative inside)."""
    share = distance * np.float32(-1 / edge)
    share += np.float32(0.5)
    return np.clip(share, 0, 1, out=share)


def blend(view: Array, share: Array, hu: Array | float) -> None:
    """Mix ``hu`` into ``view`` in place by the share of each voxel that it fills."""
    view += share * (hu - view)


class Canvas:
    """HU on a grid, and where its voxels lie in the body.

    Attributes:
        hu: Shape of the grid, float32; air until painted.
        z: Of each slice, mm, shape ``(n,)``.
        y, x: Of each pixel of a slice, mm, shape ``(rows, columns)``.
        edge: Width of a painted edge in a slice, mm.
    """

    def __init__(self, grid: Grid, posture: Posture) -> None:
        self.grid, self.posture = grid, posture
        z, y, x = grid.body(posture)
        self.z = np.ascontiguousarray(z[:, 0, 0])
        self.y, self.x = np.ascontiguousarray(y[0]), np.ascontiguousarray(x[0])
        self.hu = np.full(grid.shape, AIR, np.float32)
        self.edge = 0.5 * (grid.spacing[1] + grid.spacing[2])
        self._turn = math.cos(posture.turn), math.sin(posture.turn)
        self.edge_3d = (2 * self.edge + grid.spacing[0]) / 3

    def box(self, low: Sequence[float], high: Sequence[float]) -> Box | None:
        """The voxels that may lie between two corners in the body; ``None`` outside the grid."""
        cos, sin = self._turn
        middle = [0.5 * (float(a) + float(b)) for a, b in zip(low, high, strict=True)]
        z_half, y_half, x_half = (
            0.5 * (float(b) - float(a)) for a, b in zip(low, high, strict=True)
        )
        _, y, x = middle
        centre = (middle[0], cos * y - sin * x, sin * y + cos * x)
        reach = (z_half, cos * y_half + abs(sin) * x_half, cos * x_half + abs(sin) * y_half)
        slices = []
        for axis in range(3):
            spacing = self.grid.spacing[axis]
            start = centre[axis] + self.posture.shift[axis] - self.grid.first[axis]
            first = max(math.floor((start - reach[axis]) / spacing), 0)
            last = min(math.ceil((start + reach[axis]) / spacing) + 1, self.grid.shape[axis])
            if last <= first:
                return None
            slices.append(slice(first, last))
        return slices[0], slices[1], slices[2]

    def rectangle(self, y: tuple[float, float], x: tuple[float, float]) -> tuple[slice, slice]:
        """Rows and columns that may lie between these limits in any slice; may be empty."""
        box = self.box((-1e6, y[0], x[0]), (1e6, y[1], x[1]))
        return (slice(0, 0), slice(0, 0)) if box is None else box[1:]

    def ellipsoid(
        self, centre: Triple, radii: Triple, hu: float, axis: Triple | None = None
    ) -> None:
        """Paint an ellipsoid.

        Args:
            centre, radii: ``(z, y, x)`` mm; the first radius lies along ``axis`` where given, and
                the other two should then be equal.
            axis: Direction of the first radius, any length.
        """
        reach = radii if axis is None else (max(radii),) * 3
        low, high = ([c + sign * (r + self.edge_3d) for c, r in zip(centre, reach, strict=True)]
                     for sign in (-1, 1))  # fmt: skip
        box = self.box(low, high)
        if box is not None:
            distance = self._ellipsoid_distance(box, centre, radii, axis)
            blend(self.hu[box], cover(distance, self.edge_3d), hu)

    def _ellipsoid_distance(
        self, box: Box, centre: Triple, radii: Triple, axis: Triple | None
    ) -> Array:
        z, y, x = self._offsets(box, centre)
        if axis is None:
            r = np.sqrt((z / radii[0]) ** 2 + ((y / radii[1]) ** 2 + (x / radii[2]) ** 2))
        else:
            along = _dot(_unit(axis), (z, y, x))
            across = z * z + (y * y + x * x) - along * along
            r = np.sqrt(np.maximum(across, 0) / radii[1] ** 2 + (along / radii[0]) ** 2)
        # Distance by the mean radius: exact for spheres, and right on the surface for all.
        return np.asarray((r - 1) * np.float32(min(radii) ** 0.5 * sorted(radii)[1] ** 0.5))

    def tube(self, points: Points, radii: Sequence[float], hu: float) -> None:
        """Paint a tube along a polyline ``(z, y, x)`` mm, with its radius at each point."""
        for (a, b), (ra, rb) in zip(pairwise(points), pairwise(radii), strict=True):
            self._segment(a, b, ra, rb, hu)

    def _segment(self, start: Triple, end: Triple, ra: float, rb: float, hu: float) -> None:
        reach = max(ra, rb) + self.edge_3d
        ends = list(zip(start, end, strict=True))
        box = self.box([min(e) - reach for e in ends], [max(e) + reach for e in ends])
        if box is None:
            return
        z, y, x = self._offsets(box, start)
        v = tuple(float(e - s) for s, e in zip(start, end, strict=True))
        length2 = max(v[0] ** 2 + v[1] ** 2 + v[2] ** 2, 1e-6)
        along = _dot((v[0], v[1], v[2]), (z, y, x))
        t = np.clip(along * np.float32(1 / length2), 0, 1)
        square = z * z + (y * y + x * x) + t * (t * np.float32(length2) - 2 * along)
        distance = np.sqrt(np.maximum(square, 0)) - (np.float32(ra) + t * np.float32(rb - ra))
        # What is thinner than a voxel fills only part of it, however well it hits the centre.
        thin = np.float32(min(1.0, (2 * min(ra, rb) / self.edge_3d) ** 2))
        blend(self.hu[box], cover(distance, self.edge_3d) * thin, hu)

    def _offsets(self, box: Box, centre: Triple) -> tuple[Array, Array, Array]:
        z = (self.z[box[0]] - np.float32(centre[0]))[:, None, None]
        return z, self.y[box[1:]] - np.float32(centre[1]), self.x[box[1:]] - np.float32(centre[2])


def capsule(
    y: Array, x: Array, start: tuple[float, float], end: tuple[float, float], radius: float
) -> Array:
    """Signed distance (mm) of pixels to a rounded bar from ``start`` to ``end``, ``(y, x)``."""
    qy, qx = y - np.float32(start[0]), x - np.float32(start[1])
    vy, vx = np.float32(end[0] - start[0]), np.float32(end[1] - start[1])
    t = np.clip((qy * vy + qx * vx) / max(float(vy * vy + vx * vx), 1e-6), 0, 1)
    qy, qx = qy - t * vy, qx - t * vx
    return np.asarray(np.sqrt(qy * qy + qx * qx) - np.float32(radius), np.float32)


def ellipse(y: Array, x: Array, centre: tuple[float, float], radii: tuple[float, float]) -> Array:
    """Signed distance (mm, good near the edge) of pixels to an ellipse, all ``(y, x)``."""
    v = (y - np.float32(centre[0])) * np.float32(1 / radii[0])
    u = (x - np.float32(centre[1])) * np.float32(1 / radii[1])
    return ellipse_distance(u, v, radii[1], radii[0])


def ellipse_distance(u: Array, v: Array, a: float, b: float) -> Array:
    """First-order distance (mm) to the unit circle of scaled coordinates ``u = x/a, v = y/b``."""
    u2, v2 = u * u, v * v
    square = u2 + v2
    r = np.sqrt(square)
    slope = np.sqrt(u2 * np.float32(1 / (a * a)) + v2 * np.float32(1 / (b * b)))
    slope += np.float32(1e-6)
    return np.asarray((square - r) / slope, np.float32)


def smooth_union(first: Array, second: Array, width: float) -> Array:
    """Union of two signed distances whose crease is rounded over ``width`` mm."""
    h = np.maximum(np.float32(width) - np.abs(first - second), 0)
    return np.asarray(np.minimum(first, second) - h * h * np.float32(0.25 / width), np.float32)


def _unit(axis: Triple) -> Triple:
    z, y, x = np.array(axis) / float(np.sqrt(sum(v * v for v in axis)))
    return float(z), float(y), float(x)


def _dot(axis: Triple, offsets: tuple[Array, Array, Array]) -> Array:
    z, y, x = offsets
    return np.asarray(
        z * np.float32(axis[0]) + (y * np.float32(axis[1]) + x * np.float32(axis[2])), np.float32
    )
