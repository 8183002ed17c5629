"""Skin, fat and muscle around the rib cage, and the shoulders with the arms raised."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ctrs.trial.body.anatomy import AIR, FAT, MUSCLE, Anatomy
from ctrs.trial.body.canvas import Canvas, blend, capsule, cover, ellipse, smooth_union
from ctrs.trial.body.shape import ChestShape
from ctrs.trial.body.tissue_texture import TissueTexture
from ctrs.types import Array

BINS = 320  # of the way round one side, back to front
RIB_LAYER_MM = 8.5  # ribs and the muscles between them
SKIN_MM = 2.0
PLANE_HU, PLANE_MM = -70.0, 0.6  # of the fat between two layers of muscle; half its thickness
PLANE_FROM_MM = 5.0  # thinner muscle is one layer
SKIN_HU, INTERCOSTAL_HU, GLAND_HU = 15.0, 30.0, 35.0


class Around:
    """The way round the chest wall: for every pixel, its bin from the back to the front.

    Attributes:
        index: Bin of each pixel, the right side first, then the left; shape of a slice.
        share: Of the way from the back (0) to the front (1) for each bin, shape ``(2 * BINS,)``.
        left: 1 for bins of the left side, else 0.
    """

    def __init__(self, canvas: Canvas, shape: ChestShape) -> None:
        across = np.abs(canvas.x) * np.float32(shape.b / shape.a)
        level = canvas.y / (across + np.abs(canvas.y) + np.float32(1e-3))
        bins = np.rint((1 - level) * np.float32((BINS - 1) / 2)).astype(np.int32)
        self.index = np.where(canvas.x > 0, bins + BINS, bins).astype(np.intp)
        middle = 1 - 2 * np.arange(BINS) / (BINS - 1)
        # The bins are even in |cos| + |sin|; anatomy wants them even in the angle.
        angle = np.arctan2(middle, 1 - np.abs(middle))
        self.share = np.tile(0.5 - angle / np.pi, 2)
        self.left = np.repeat([0.0, 1.0], BINS)

    def spread(self, row: Array) -> Array:
        """Values by bin → values by pixel."""
        return np.asarray(np.take(row, self.index), np.float32)


class BodyWall:
    """Paints the wall slice by slice, and keeps how thick it is.

    Attributes:
        muscle: Share of each voxel that is muscle outside the ribs, without the neck.
    """

    def __init__(
        self, canvas: Canvas, shape: ChestShape, around: Around, texture: TissueTexture
    ) -> None:
        self.canvas, self.shape, self.around, self.texture = canvas, shape, around, texture
        self.anatomy = shape.anatomy
        self.muscle = np.zeros(canvas.grid.shape, np.float32)
        self._lean = shape.lean(canvas.z)
        f = (canvas.z / shape.height).astype(np.float64)[:, None]
        rng = np.random.default_rng([self.anatomy.seed, 19])
        uneven = _waves(rng, f, around)
        muscle = _muscle(f, around.share[None, :], self.anatomy) * (1 + 0.12 * uneven)
        # Fat parts the layers, here nearer to the ribs and there nearer to the skin.
        share = 0.5 + 0.16 * np.clip(_waves(rng, f, around), -2, 2)
        plane = np.where(muscle > PLANE_FROM_MM, RIB_LAYER_MM + share * muscle, -99.0)
        self._plane = plane.astype(np.float32)
        self._muscle = muscle.astype(np.float32)
        # Skin and fat run smoothly over the muscles, and fill the grooves between them.
        sides = np.stack(np.split(muscle, 2, axis=1))
        smooth = ndimage.gaussian_filter(sides, (0, 1, 0.095 * BINS), mode="reflect")
        over = np.maximum(np.concatenate([*smooth], axis=1) - muscle, -0.5 * self.anatomy.fat)
        fat = _fat(f, around.share[None, :], self.anatomy) * (1 + 0.05 * _waves(rng, f, around))
        self._fat = (over + fat).astype(np.float32)
        self._breasts = _Breasts(canvas, shape) if self.anatomy.breast > 0 else None

    def paint(self, k: int, cage: Array) -> None:
        """Fill slice ``k``, given the distance of its pixels to the inner surface of the cage.

        Inside the cage there is fat until somebody else paints.
        """
        hu, edge = self.canvas.hu[k], self.canvas.edge
        f = float(self.canvas.z[k]) / self.shape.height
        muscle = cage - self.around.spread(self._muscle[k] + np.float32(RIB_LAYER_MM))
        # Skin does not lean over the apex as the cage does: there it counts the way out.
        thick = self._muscle[k] + self._fat[k] + np.float32(RIB_LAYER_MM)
        outside = cage * np.float32(1 / self._lean[k]) - self.around.spread(thick)
        outside = self._bulges(k, f, outside)
        hu += cover(outside, edge) * np.float32(FAT - AIR)
        skin = cover(np.abs(outside + np.float32(SKIN_MM / 2)) - np.float32(SKIN_MM / 2), edge)
        blend(hu, skin, SKIN_HU)
        muscle = np.maximum(muscle, outside + np.float32(SKIN_MM + 1))
        if f > 0.72:
            self._fill_shoulders(k, f, outside)
        if f < 1.0:
            self._layers(k, cage, muscle)
        if f > 0.40:
            self._shoulder_girdle(k, f, outside)
        if self._breasts is not None:
            self._breasts.paint_glands(k, self.texture)
        self.texture.add(k, outside + np.float32(SKIN_MM))

    def _layers(self, k: int, cage: Array, muscle: Array) -> None:
        """Muscle outside the ribs, thin fat under it, intercostal muscle, the cage's contents."""
        hu, edge = self.canvas.hu[k], self.canvas.edge
        share = cover(muscle, edge)
        blend(hu, share, MUSCLE)
        plane = np.abs(cage - self.around.spread(self._plane[k])) - np.float32(PLANE_MM)
        blend(hu, share * cover(plane, edge), PLANE_HU)
        inside = cover(cage - np.float32(RIB_LAYER_MM + 0.3), edge)
        blend(hu, inside, FAT)
        self.muscle[k] = share * (1 - inside)
        inner = np.abs(cage - np.float32(4.0)) - np.float32(3.2)
        blend(hu, cover(inner, edge), INTERCOSTAL_HU)

    def _fill_shoulders(self, k: int, f: float, outside: Array) -> None:
        """Towards the neck bundles of muscle fill the outline, but for the fat of the armpits."""
        weight = 0.85 * min((f - 0.72) / 0.16, 1.0)
        deep = outside + np.float32(0.85 * self.anatomy.fat + SKIN_MM + 5)
        for sign in (-1.0, 1.0):
            # The armpit closes upwards; there is fat under the trapezius and over the clavicle.
            armpit = 15 * min((1.0 - f) / 0.12, 1.0)
            for (ya, xa), (yb, xb), mm in (
                ((-0.26, 0.86), (-0.02, 0.94), armpit),
                ((0.78, 0.30), (0.62, 0.86), 2.0),
                ((-0.46, 0.20), (-0.34, 0.40), 7.0 * weight),
            ):
                start = (ya * self.shape.b, sign * xa * self.shape.a)
                end = (yb * self.shape.b, sign * xb * self.shape.a)
                plane = capsule(self.canvas.y, self.canvas.x, start, end, mm)
                deep = np.maximum(deep, -plane)
        share = cover(deep, self.canvas.edge) * self.texture.bundles(k)
        blend(self.canvas.hu[k], np.float32(weight) * share, MUSCLE - 8)

    def _bulges(self, k: int, f: float, outside: Array) -> Array:
        """Union of the trunk with breasts and shoulders."""
        if self._breasts is not None:
            outside = self._breasts.join(float(self.canvas.z[k]), outside)
        if f > 0.5:
            outside = smooth_union(outside, self._shoulders(f), 14.0)
        return outside

    def _shoulders(self, f: float) -> Array:
        """Outline of shoulders and lifted arms: wide, flat, further back towards the neck."""
        a, b, fat = self.shape.a, self.shape.b, self.anatomy.fat
        heights = (0.5, 0.62, 0.72, 0.82, 0.92, 1.02, 1.14)
        half = a * float(np.interp(f, heights, (0.86, 1.08, 1.28, 1.46, 1.60, 1.68, 1.72)))
        front = b * float(np.interp(f, heights, (-0.6, -0.78, -0.82, -0.84, -0.78, -0.62, -0.50)))
        back = b * float(np.interp(f, heights, (0.8, 1.08, 1.16, 1.16, 1.10, 0.98, 0.86)))
        front, back = front - 0.5 * fat, back + 0.5 * fat
        return ellipse(
            self.canvas.y, self.canvas.x, ((front + back) / 2, 0.0),
            ((back - front) / 2, half + fat)
        )  # fmt: skip

    def _shoulder_girdle(self, k: int, f: float, outside: Array) -> None:
        """Muscles in front of and behind the shoulder blade, to the arm and to the neck."""
        m = self.anatomy.muscle / 14
        for sign in (-1.0, 1.0):
            bars = [*_blade_muscles(self.shape, f, sign, m), *_high_muscles(self.shape, f, sign, m)]
            for start, end, radius in bars:
                low = np.minimum(start, end) - radius - 2
                high = np.maximum(start, end) + radius + 2
                box = self.canvas.rectangle((low[0], high[0]), (low[1], high[1]))
                d = capsule(self.canvas.y[box], self.canvas.x[box], start, end, radius)
                d = np.maximum(d, outside[box] + np.float32(SKIN_MM + 1))
                share = cover(d, self.canvas.edge)
                blend(self.canvas.hu[k][box], share, MUSCLE)
                np.maximum(self.muscle[k][box], share, out=self.muscle[k][box])


class _Breasts:
    """Two flattened ellipsoids on the front of the chest: fat, in some with glands."""

    def __init__(self, canvas: Canvas, shape: ChestShape) -> None:
        self.canvas, an = canvas, shape.anatomy
        self._z = 0.42 * shape.height
        self._high = 52.0 + 0.5 * an.breast
        self._centre_y = -0.92 * shape.b - 6
        self._deep, self._wide = 10 + 0.7 * an.fat + 0.9 * an.breast, 54 + 0.6 * an.breast
        self._x = 0.58 * shape.a + 0.25 * an.breast  # lying, they fall to the sides
        # About half of all breasts are dense, fewer with age; ours.
        dense = float(np.random.default_rng([an.seed, 20]).uniform(-0.5, 1.0))
        self._glands = min(max(dense + 0.012 * (60 - an.age), 0.0), 1.0)

    def join(self, z: float, outside: Array) -> Array:
        t = 1 - ((z - self._z) / self._high) ** 2
        if t <= 0.02:
            return outside
        size = float(np.sqrt(t))
        for x in (-self._x, self._x):
            bulge = ellipse(self.canvas.y, self.canvas.x, (self._centre_y, x),
                            (self._deep * size, self._wide * size))  # fmt: skip
            outside = smooth_union(outside, bulge, 16.0)
        return outside

    def paint_glands(self, k: int, texture: TissueTexture) -> None:
        """Strands of gland in the fat behind the nipple."""
        t = 1 - ((float(self.canvas.z[k]) - self._z) / (0.75 * self._high)) ** 2
        if t <= 0.02 or self._glands <= 0:
            return
        size = 0.62 * float(np.sqrt(t))
        deep, wide = self._deep * size, self._wide * size
        centre = self._centre_y - 0.25 * self._deep
        for x in (-self._x, self._x):
            box = self.canvas.rectangle((centre - deep, centre + deep), (x - wide, x + wide))
            d = ellipse(self.canvas.y[box], self.canvas.x[box], (centre, x), (deep, wide))
            share = cover(d * np.float32(0.4), self.canvas.edge) * texture.bundles(k, box)
            hu = self.canvas.hu[k][box]
            blend(hu, np.float32(self._glands) * share * (hu > FAT - 40), GLAND_HU)


Bar = tuple[tuple[float, float], tuple[float, float], float]


def _bump(value: np.ndarray, centre: float, width: float) -> np.ndarray:
    return np.asarray(np.exp(-(((value - centre) / width) ** 2)))


def _muscle(f: np.ndarray, s: np.ndarray, anatomy: Anatomy) -> np.ndarray:
    """Thickness of the muscle outside the ribs, mm, by height and way round (back 0, front 1)."""
    m = anatomy.muscle
    erector = 1.25 * _bump(s, 0.075, 0.085) * (1.15 - 0.35 * np.clip(f, 0, 1))
    blade = 0.85 * _bump(s, 0.31, 0.17) * _bump(f, 0.80, 0.20)
    latissimus = 0.46 * _bump(s, 0.36, 0.13) * _bump(f, 0.45, 0.35)
    serratus = 0.30 * _bump(s, 0.52, 0.12) * _bump(f, 0.40, 0.3)
    pectoralis = 0.80 * _bump(s, 0.79, 0.13) * _bump(f, 0.76, 0.17)
    belly = 0.6 * _bump(s, 0.9, 0.2) * _bump(f, -0.25, 0.25)
    sides = 0.7 * _bump(s, 0.55, 0.2) * _bump(f, -0.3, 0.2)
    return np.asarray(
        1.0 + m * (erector + blade + latissimus + serratus + pectoralis + belly + sides)
    )


def _waves(rng: np.random.Generator, f: np.ndarray, around: Around) -> np.ndarray:
    """Slow waves over height and way round, not the same on both sides; sd about 1."""
    left = around.left[None, :]
    total = np.zeros((len(f), len(around.share)))
    for turns in (1.3, 2.4, 4.1):
        up, begin, other = rng.uniform((-3, 0, 0), (3, 1, 1))
        phase = turns * around.share[None, :] + up * f + begin + other * left
        total += 0.8 * np.sin(2 * np.pi * phase)
    return total


def _fat(f: np.ndarray, s: np.ndarray, anatomy: Anatomy) -> np.ndarray:
    """Thickness of the fat and skin over the muscle, mm."""
    groove = 1 - 0.55 * _bump(s, 0.0, 0.05)
    front = 1 - 0.35 * _bump(s, 1.0, 0.10)
    low = 1 + 0.35 * np.clip(0.35 - f, 0, 0.5) * _bump(s, 0.6, 0.4)
    back = 1 - 0.12 * _bump(s, 0.25, 0.2) + 0.25 * _bump(s, 0.45, 0.15)
    return np.asarray(SKIN_MM + 1 + anatomy.fat * groove * front * low * back)


def blade_points(shape: ChestShape, f: float, sign: float) -> tuple[np.ndarray, np.ndarray]:
    """Medial and lateral edge of the shoulder blade at height ``f``, ``(y, x)`` mm."""
    heights = (0.42, 0.55, 0.72, 0.89, 1.02)
    inner = float(np.interp(f, heights, (62, 44, 25, 22, 24)))
    outer = float(np.interp(f, heights, (68, 72, 80, 92, 96)))
    off_inner = float(np.interp(f, heights, (17, 17, 17, 24, 42)))
    off_outer = float(np.interp(f, heights, (17, 20, 26, 42, 66)))
    return (
        _beside_cage(shape, f, sign, inner, off_inner),
        _beside_cage(shape, f, sign, outer, off_outer),
    )


def _beside_cage(
    shape: ChestShape, f: float, sign: float, degrees: float, off_mm: float
) -> np.ndarray:
    """A point so far outside the cage, at an angle from straight back, ``(y, x)`` mm."""
    width, centre, depth = (float(v) for v in shape.cage_size(np.array(f * shape.height)))
    angle = np.deg2rad(degrees)
    y = centre + (depth + off_mm) * np.cos(angle)
    x = 0.3 * width + (0.7 * width + off_mm) * np.sin(angle)
    return np.array((y, sign * x))


def _blade_muscles(shape: ChestShape, f: float, sign: float, m: float) -> list[Bar]:
    """Subscapularis, infraspinatus with teres, and the edge of the latissimus."""
    if f > 1.05:
        return []
    inner, outer = blade_points(shape, f, sign)
    out = np.array((0.75, 0.5 * sign))
    grow = float(np.clip((f - 0.40) / 0.14, 0.15, 1)) * m
    middle = 0.3 * inner + 0.7 * outer
    return [
        _bar(inner - 6 * out, middle - 7 * out, 5.5 * grow),
        _bar(inner + 7 * out, middle + 8 * out, 6.5 * grow),
        _bar(outer + np.array((2, 4 * sign)), outer + np.array((12, -6 * sign)), 8.0 * grow),
    ]


def _high_muscles(shape: ChestShape, f: float, sign: float, m: float) -> list[Bar]:
    """Trapezius, the pectoral muscles on their way to the arm, deltoid, and the neck."""
    a, b = shape.a, shape.b
    bars: list[Bar] = []
    if f > 0.66:
        up = min((f - 0.66) / 0.2, 1.0)
        bars.append(
            _bar(
                np.array((1.18 * b - 22 * up, sign * 10)),
                np.array((1.05 * b - 14 * up, sign * 0.62 * a)),
                (3 + 5 * up) * m,
            )
        )
    if 0.70 < f < 0.99:
        up = (f - 0.70) / 0.29
        start = np.array((b * (-0.90 + 0.34 * up) - 6, sign * a * (0.58 - 0.14 * up)))
        end = np.array((b * (-0.52 + 0.34 * up), sign * a * (1.02 + 0.12 * up)))
        middle = 0.6 * start + 0.4 * end + np.array((-3.0, 2.0 * sign))
        bars += [_bar(start, middle, 7.5 * m), _bar(middle, end, (6 - 2 * up) * m)]
    if f > 0.86:
        up = min((f - 0.86) / 0.12, 1.0)
        arm = np.array((0.12 * b, sign * 1.08 * a))
        over, under = np.array((-14.0, -4.0 * sign)), np.array((16.0, 10.0 * sign))
        bars.append(_bar(arm + over, arm + under, (13 + 10 * up) * m**0.5))
    if f > 0.93:
        y = float(shape.spine_front(np.array(f * shape.height)))
        bars += [
            _bar(np.array((y + 6, sign * 24.0)), np.array((y + 22, sign * 30.0)), 11.0),
            _bar(np.array((y + 42, sign * 16.0)), np.array((y + 46, sign * 26.0)), 15.0),
            _bar(np.array((y - 34, sign * 34.0)), np.array((y - 24, sign * 42.0)), 7.0),
        ]
    return bars


def _bar(start: np.ndarray, end: np.ndarray, radius: float) -> Bar:
    return (float(start[0]), float(start[1])), (float(end[0]), float(end[1])), float(radius)
