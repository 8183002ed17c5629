"""The shape of a chest as formulas, without voxels: cage, diaphragm, mediastinum, fissures."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy import interpolate, ndimage

from ctrs.trial.body.anatomy import Anatomy, Side
from ctrs.trial.body.canvas import ellipse_distance
from ctrs.trial.body.organs import REFERENCE, SPINE_FRONT, Organs
from ctrs.types import Array, Floats

# Inner surface of the rib cage by height over lung height: half width over the widest, and front
# and back over the half depth. After CT sections of adults; ours.
CAGE_HEIGHT = (-0.35, -0.15, 0.0, 0.12, 0.27, 0.45, 0.6, 0.72, 0.81, 0.88, 0.935, 0.975, 1.0)
CAGE_WIDTH = (0.98, 1.0, 1.0, 1.0, 1.0, 0.965, 0.92, 0.865, 0.79, 0.69, 0.55, 0.36, 0.1)
CAGE_FRONT = (-1.02, -1.06, -1.06, -1.04, -1.01, -0.98, -0.92, -0.83, -0.72, -0.59, -0.42, -0.20,
              0.02)  # fmt: skip
CAGE_BACK = (0.52, 0.66, 0.76, 0.83, 0.92, 1.0, 1.0, 0.96, 0.88, 0.77, 0.64, 0.5, 0.3)  # fmt: skip
FLAT = 0.30  # share of the half width over which front and back are straight
BREATH_LIFT_MM = 105.0  # the diaphragm's way per unit of breath: 27 mm from 0.78 to 1.04
RIB_WAY = 0.2  # the sternum's, as a share of its distance from the middle

MAX_LEAN = 4.0  # square of the steepest slope that is followed

Y_FIRST, Y_STEP, Y_N = -140.0, 5.0, 57
Z_FIRST, Z_STEP = -90.0, 6.0
JUNCTION_MM = 3.0  # the lungs nearly meet behind the sternum
PLEURA_MM = 2.5  # fat between an organ and the lung

_table = interpolate.PchipInterpolator
_width, _front = _table(CAGE_HEIGHT, CAGE_WIDTH), _table(CAGE_HEIGHT, CAGE_FRONT)
_back = _table(CAGE_HEIGHT, CAGE_BACK)
_spine = _table(*SPINE_FRONT)


class ChestShape:
    """Cage, domes and mediastinum of one patient at one breath; lengths in mm, signed distances
    negative inside."""

    def __init__(self, anatomy: Anatomy, breath: float) -> None:
        self.anatomy = anatomy
        self.a, self.b, self.height = anatomy.half_width, anatomy.half_depth, anatomy.lung_height
        self._breath = breath
        self.lift = (1.0 - breath) * BREATH_LIFT_MM
        rng = np.random.default_rng([anatomy.seed, 19])
        self._own = np.clip(rng.standard_normal(8), -2.2, 2.2)
        self._flat = FLAT + 0.025 * self._own[0]
        self._levels = np.arange(-100.0, self.height + 80.0)
        self._sizes = self._cage_sizes(self._levels)
        narrowing = np.gradient(0.5 * (self._sizes[0] + self._sizes[2]))
        self._lean = 1 / np.sqrt(1 + np.minimum(narrowing * narrowing, MAX_LEAN))
        self._spine = self._spine_front(self._levels)
        self.organs = Organs(anatomy, self.lift)
        self.z_axis = np.arange(Z_FIRST, self.height + 60, Z_STEP)
        self.y_axis = Y_FIRST + Y_STEP * np.arange(Y_N)
        self.medial = self._medial()

    # --- Rib cage ---------------------------------------------------------------------------

    def cage_size(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Half width, centre ``y`` and half depth of the cage at heights ``z``, mm."""
        width, centre, depth = (np.interp(z, self._levels, values) for values in self._sizes)
        return width, centre, depth

    def _cage_sizes(self, z: np.ndarray) -> tuple[np.ndarray, ...]:
        f = np.clip(z / self.height, CAGE_HEIGHT[0], 1.0)
        bow = self.anatomy.kyphosis * np.maximum(1 - np.abs(f - 0.6) / 0.6, 0) * 0.8
        front, back = (
            (1 - RIB_WAY * (1 - self._breath)) * self.b * _front(f),
            self.b * _back(f) + bow,
        )
        # An emphysematous chest is a barrel: its upper part is nearly as wide as the lower.
        barrel = 1 + 0.22 * self.anatomy.emphysema * np.clip(f, 0, 1) * (1 - f) * 4
        cone = 1 + 0.035 * self._own[1] * (0.3 - np.clip(f, 0, 1))  # wider below or above
        return self.a * _width(f) * barrel * cone, (front + back) / 2, (back - front) / 2

    def lean(self, z: np.ndarray) -> np.ndarray:
        """Distance to the cage's wall over the distance to it within a slice, at heights ``z``.

        Near the apex the wall lies nearly flat, and a slice cuts its layers aslant.
        """
        return np.asarray(np.interp(z, self._levels, self._lean))

    def reach(self, y: Array, x: Array) -> Array:
        """``|x|`` with this patient's difference between the sides; narrower in front."""
        skew = 1 + self.anatomy.asymmetry * np.where(x < 0, -1, 1)
        wedge = 1 + (0.09 + 0.025 * self._own[2]) * np.clip(-y / self.b, 0, 1.2)
        return np.asarray(np.abs(x) * skew * wedge, np.float32)

    def cage_distance(self, y: Array, reach: Array, size: tuple[float, float, float]) -> Array:
        """Distance to the inner surface of the cage within one slice."""
        width, centre, depth = size
        flat = self._flat * width
        u = np.maximum(reach - np.float32(flat), 0) * np.float32(1 / (width - flat))
        v = (y - np.float32(centre)) * np.float32(1 / depth)
        return ellipse_distance(u, v, width - flat, depth)

    # --- Diaphragm --------------------------------------------------------------------------

    def dome_tops(self) -> tuple[float, float]:
        """Height of the right and of the left leaf of the diaphragm, mm; the right is higher."""
        both = self.lift + 5 * self._own[5]
        apart = max(0.06 * self.height + 4 * self._own[6], 2.0)
        # Hyperinflated lungs press the diaphragm flat.
        right = (0.39 - 0.10 * self.anatomy.emphysema) * self.height + both
        return float(right), float(right - apart)

    def dome(self, y: Array, x: Array) -> Array:
        """Height of the diaphragm over each ``(y, x)``.

        Two leaves and the central tendon: ellipsoids whose edges stand higher in front than at
        the back, so that the lung reaches deepest there.
        """
        a, b = self.a, self.b
        leaves = []
        right, left = self.dome_tops()
        own = 0.03 * self._own[3:5]
        for centre, top, y0, ay, ax in ((-0.46 + own[0], right, -0.24 - own[1], 0.99, 0.62),
                                        (0.50 + own[1], left, -0.20 + own[0], 0.97, 0.60),
                                        (0.05, left - 12, -0.42, 0.72, 0.55)):  # fmt: skip
            u = (x - np.float32(centre * a)) * np.float32(1 / (ax * a))
            v = (y - np.float32(y0 * b)) * np.float32(1 / (ay * b))
            rise = top + 12
            rounded = np.sqrt(np.maximum(1 - u * u - v * v, 0))
            leaves.append(rounded * np.float32(rise) - 12 - np.float32(300) * (rounded <= 0))
        return np.asarray(np.maximum(np.maximum(leaves[0], leaves[1]), leaves[2]), np.float32)

    def floor(self, y: Array, x: Array) -> Array:
        """Deepest the lung reaches at each ``(y, x)``: low at the back, high in front."""
        v = np.clip((y + np.float32(0.85 * self.b)) * np.float32(1 / (1.6 * self.b)), 0, 1)
        middle = np.clip(1 - np.abs(x) * np.float32(1 / (0.4 * self.a)), 0, 1)
        low = 0.26 * self.height * (1 - v) * (1 - v) + 0.08 * self.height * middle
        return np.asarray(low + 0.3 * self.lift, np.float32)

    # --- Mediastinum ------------------------------------------------------------------------

    def spine_front(self, z: np.ndarray) -> np.ndarray:
        """``y`` of the front of the vertebral bodies at heights ``z``."""
        return np.asarray(np.interp(z, self._levels, self._spine))

    def _spine_front(self, z: np.ndarray) -> np.ndarray:
        scaled = np.clip(z * REFERENCE[0] / self.height, -80, 290)
        bow = self.anatomy.kyphosis * np.maximum(1 - np.abs(scaled - 150) / 150, 0)
        return np.asarray(_spine(scaled) * self.b / REFERENCE[1] + np.maximum(bow, -4))

    def vertebra_half_width(self, z: np.ndarray) -> np.ndarray:
        """Of the vertebral bodies at heights ``z``: slim in the middle of the chest."""
        f = np.asarray(z, np.float64) / self.height
        return np.asarray(np.interp(f, (-0.3, 0.3, 0.7, 1.05), (23, 18, 14.5, 15)) * self.a / 130)

    def _medial(self) -> dict[Side, Array]:
        """Where each lung ends towards the middle: ``x`` over the axes ``(z, y)``.

        The pleura is taut, so the organs' outline is rounded before the lungs lean on it.
        """
        low, high = self._core()
        for zc, yc, xc, rz, ry, rx in self.organs.extents.tolist():
            # Only the part of the table that this organ's bounding box covers.
            rz, ry, rx = rz + PLEURA_MM, ry + PLEURA_MM, rx + PLEURA_MM
            rows, columns = _span(zc, rz, Z_FIRST, Z_STEP), _span(yc, ry, Y_FIRST, Y_STEP)
            v = (self.z_axis[rows] - zc) / rz
            u = (self.y_axis[columns] - yc) / ry
            inside = (1 - v * v)[:, None] - u * u
            half = np.where(inside > 0, rx * np.sqrt(np.maximum(inside, 0)), -300)
            np.maximum(high[rows, columns], xc + half, out=high[rows, columns])
            np.minimum(low[rows, columns], xc - half, out=low[rows, columns])
        blur = (0.7, 0.9)
        return {
            "right": np.asarray(ndimage.gaussian_filter(low, blur, mode="nearest"), np.float32),
            "left": np.asarray(ndimage.gaussian_filter(high, blur, mode="nearest"), np.float32),
        }

    def _core(self) -> tuple[Floats, Floats]:
        """What lies between the lungs besides organs: fat in front, the spine at the back."""
        z, y = self.z_axis[:, None], self.y_axis[None, :]
        f = z / self.height
        fat = self.anatomy.visceral
        upper = np.clip((f - 0.80) / 0.16, 0, 1)  # towards the neck it widens
        half = JUNCTION_MM + 3 * fat + 17 * upper + 0 * y
        behind = y - self.spine_front(self.z_axis)[:, None]
        bone = self.vertebra_half_width(self.z_axis)[:, None]
        # Round in front, and nearly as wide at the heads of the ribs.
        t = np.clip((behind + 3) / 14, 0, 1)
        spine = np.where(
            behind > -3,
            (bone + 3) * np.sqrt(t * (2 - t)) + 0.013 * np.maximum(behind - 25, 0) ** 2,
            0,
        )
        half = np.maximum(half, spine)
        # In front the fat behind the sternum spreads the lungs a little, more at both ends.
        front = y - (self.b * _front(np.clip(f, CAGE_HEIGHT[0], 1)))
        spread = (6 + 12 * fat) * np.clip(1 - front / (10 + 10 * fat), 0, 1)
        half = np.maximum(half, JUNCTION_MM + spread)
        aside = np.array([[self.organs.spine_x(float(v))] for v in self.z_axis]) * (behind > -3)
        drift = aside + 3.0 * np.clip(1 - np.abs(f - 0.62) / 0.3, 0, 1) * (behind < -40)
        return drift - half, drift + half

    def medial_row(self, side: Side, z: float) -> Array:
        """The mediastinal surface of a lung at height ``z``, over ``y_axis``."""
        t = float(np.clip((z - Z_FIRST) / Z_STEP, 0, len(self.z_axis) - 1.001))
        k, rest = int(t), np.float32(t - int(t))
        table = self.medial[side]
        return np.asarray((1 - rest) * table[k] + rest * table[k + 1], np.float32)

    # --- Lungs ------------------------------------------------------------------------------

    def lung_distance(self, side: Side, z: float, y: Array, x: Array) -> Array:
        """Signed distance (mm, roughly) to the surface of a lung at points of one slice."""
        width, centre, depth = (float(v) for v in self.cage_size(np.array(z)))
        cage = self.cage_distance(y, self.reach(y, x), (width, centre, depth))
        cage = cage * np.float32(self.lean(np.array(z)))
        edge = np.interp(y, self.y_axis, self.medial_row(side, z))
        inner = x - edge if side == "right" else edge - x
        under = np.maximum(self.dome(y, x), self.floor(y, x)) - z
        outside = np.maximum(np.maximum(cage, inner), 0.8 * under)
        return np.asarray(outside if z < self.height else outside + 1000)

    # --- Fissures ---------------------------------------------------------------------------

    def oblique_fissure(self, side: Side, y: Array, x: Array) -> Array:
        """Height of the fissure that cuts off the lower lobe, over each ``(y, x)``."""
        sy = y * np.float32(1 / self.b)
        sx = (np.abs(x) * np.float32(1 / self.a) - 0.5) * 2
        base, slope = (0.50, 0.34) if side == "right" else (0.54, 0.36)
        f = base + slope * sy - 0.05 * sy * sy * sy - 0.03 * sx * sx + 0.02 * sx * sy
        return np.asarray(self.height * f - 0.5 * self.lift * (sy < 0) * -sy, np.float32)

    def horizontal_fissure(self, y: Array, x: Array) -> Array:
        """Height of the fissure between the right upper and middle lobe, over each ``(y, x)``."""
        sy = y * np.float32(1 / self.b)
        sx = np.abs(x) * np.float32(1 / self.a) - 0.55
        return np.asarray(
            self.height * (0.535 - 0.10 * sx * sx + 0.03 * sy + 0.05 * sy * sx), np.float32
        )


def _span(middle: float, reach: float, first: float, step: float) -> slice:
    """Indices of an axis between ``middle - reach`` and ``middle + reach``."""
    low = max(math.ceil((middle - reach - first) / step), 0)
    return slice(low, max(math.floor((middle + reach - first) / step) + 1, low))


@lru_cache(maxsize=16)
def chest_shape(anatomy: Anatomy, breath: float) -> ChestShape:
    """The shape of a chest, kept for the last few that were asked for."""
    return ChestShape(anatomy, breath)
