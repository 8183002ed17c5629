"""A simulated thorax: body build, breathing state, and every tissue as HU on a grid.

Coordinates are mm in the patient frame: x to the patient's left, y to the back, z to the head;
(0, 0, 0) is in the middle of the chest at the height of the lung bases. A place *inside* a lung
is given by fractions, so that it follows the breath: see `LungPlace`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from scipy import ndimage

from ctrs.types import Array, Mask, Triple

Side = Literal["right", "left"]
SIDES: tuple[Side, Side] = ("right", "left")

AIR, FAT, MUSCLE, BLOOD, LIVER, BONE, MARROW = -1000.0, -100.0, 52.0, 42.0, 58.0, 420.0, 140.0


class LungPlace(NamedTuple):
    """A place in a lung: 0-1 from the base up, -1 to 1 inwards-outwards and front-back."""

    side: Side
    height: float
    across: float
    depth: float


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """Build of one patient; lengths in mm. Stays the same from visit to visit."""

    half_width: float  # of the rib cage, inside
    half_depth: float
    lung_height: float  # at full breath, from the base to the apex
    fat: float  # thickness of the fat layer
    muscle: float  # thickness of the chest wall muscle
    heart: float  # scale, 1 = usual
    lung_hu: float  # of healthy parenchyma at full breath
    emphysema: float  # share of the lung destroyed, 0 to 0.5
    fibrosis: float  # thickness of the fibrotic rim at the bases, mm
    seed: int  # of everything that has no number of its own: vessels, textures


def draw_anatomy(rng: np.random.Generator, sex: str, emphysema: float, muscle_z: float) -> Anatomy:
    """A body build. Sizes after CT chest dimensions of adults, women about a tenth smaller.

    Args:
        emphysema: Share of the lung, 0 to 0.5.
        muscle_z: Muscle against others of the same sex, in standard deviations.
    """
    small = 0.91 if sex == "female" else 1.0
    return Anatomy(
        half_width=small * rng.normal(138, 8),
        half_depth=small * rng.normal(93, 6),
        lung_height=small * rng.normal(248, 16) * (1 + 0.15 * emphysema),
        fat=float(np.clip(rng.gamma(4, 4.5), 4, 42)),
        muscle=float(np.clip(small * (14 + 3.5 * muscle_z), 5, 28)),
        heart=float(np.clip(rng.normal(1.0, 0.09), 0.8, 1.3)),
        lung_hu=rng.normal(-855, 18),
        emphysema=emphysema,
        fibrosis=float(rng.choice([0.0, rng.uniform(6, 22)], p=[0.85, 0.15])),
        seed=int(rng.integers(2**31)),
    )


@dataclass(frozen=True)
class Posture:
    """How the patient lay and breathed at one visit; mm, and ``breath`` 1 = full."""

    breath: float
    shift: Triple  # (z, y, x)
    turn: float  # radians about the long axis

    @staticmethod
    def draw(rng: np.random.Generator) -> Posture:
        z, y, x = rng.normal(0, (8, 6, 6))
        return Posture(float(np.clip(rng.normal(0.95, 0.05), 0.78, 1.04)), (z, y, x),
                       float(rng.normal(0, 0.025)))  # fmt: skip


@dataclass(frozen=True)
class Grid:
    """A regular grid of voxels: shape, spacing and first voxel, each ``(z, y, x)``, mm."""

    shape: tuple[int, int, int]
    spacing: Triple
    first: Triple

    @staticmethod
    def around(centre: Triple, shape: tuple[int, int, int], spacing: Triple) -> Grid:
        z, y, x = (c - (n - 1) / 2 * mm for c, n, mm in zip(centre, shape, spacing, strict=True))
        return Grid(shape, spacing, (z, y, x))

    def body(self, posture: Posture) -> tuple[Array, Array, Array]:
        """The voxels in the coordinates of a body that lies shifted and turned; broadcasts."""
        z, y, x = np.ix_(
            *(
                np.arange(n, dtype=np.float32) * mm + start - shift
                for n, mm, start, shift in zip(
                    self.shape, self.spacing, self.first, posture.shift, strict=True
                )
            )
        )
        cos, sin = np.float32(np.cos(posture.turn)), np.float32(np.sin(posture.turn))
        return z, cos * y + sin * x, cos * x - sin * y

    def index(self, points: np.ndarray, posture: Posture) -> np.ndarray:
        """Voxel indices (not rounded) of points ``(n, 3)`` given in body coordinates."""
        z, y, x = points.T
        cos, sin = np.cos(posture.turn), np.sin(posture.turn)
        lab = np.stack([z, cos * y - sin * x, sin * y + cos * x], 1) + posture.shift
        return np.asarray((lab - self.first) / self.spacing)


class Thorax:
    """The thorax of one patient at one visit, painted tissue by tissue.

    Attributes:
        hu: Tissue densities before the scanner's physics, shape of ``grid``.
        lungs: Both lungs as the anatomy has them, tumours or not.
    """

    def __init__(self, anatomy: Anatomy, posture: Posture, grid: Grid, enhancement: float) -> None:
        """Paint the body; ``enhancement`` is HU added to blood by contrast, 0 for none."""
        self.anatomy, self.posture = anatomy, posture
        self.grid = grid
        self.z, self.y, self.x = grid.body(posture)
        self.height = anatomy.lung_height * (0.82 + 0.18 * posture.breath)
        self._rng = np.random.default_rng(anatomy.seed)
        self._blood = BLOOD + enhancement
        self.hu = np.full(grid.shape, AIR, np.float32)
        cage = self._cage()
        self._paint_wall(cage)
        below = self._paint_below(cage)
        self.lungs = cage & ~below & ~self._paint_mediastinum(cage)
        self._paint_parenchyma()
        self._paint_airways()
        self._paint_vessels()

    def _put(self, where: Mask, hu: Array | float) -> None:
        np.copyto(self.hu, hu, where=where, casting="same_kind")

    # --- Shapes -----------------------------------------------------------------------------

    def _taper(self, z: Array | float) -> Array:
        """Width of the rib cage at height z over its greatest width: a dome at the apex."""
        t = np.clip(np.asarray(z, np.float32) / self.height, -0.6, 1.0)
        dome = np.sqrt(np.maximum(1 - np.maximum(t, 0) ** 4.2, 0))
        return np.asarray(dome * (0.93 + 0.07 * np.cos(2.2 * (t - 0.35))), np.float32)

    def _cage_radius(self) -> Array:
        """Distance from the axis as a fraction of the cage's inner wall; 1 on the wall."""
        a, b = self.anatomy.half_width, self.anatomy.half_depth
        taper = np.maximum(self._taper(self.z), 0.05)
        x, y = self.x / (a * taper), self.y / (b * (0.55 + 0.45 * taper))
        return np.asarray((np.abs(x) ** 2.5 + np.abs(y) ** 2.3) ** 0.41, np.float32)

    def _cage(self) -> Mask:
        self._radius = self._cage_radius()
        return (self._radius < 1) & (self.z < self.height)

    def _paint_wall(self, cage: Mask) -> None:
        """Skin, fat, muscle, ribs, spine, sternum and shoulder blades."""
        an, gx, gy, gz = self.anatomy, self.x, self.y, self.z
        a, b = an.half_width + 9, an.half_depth + 9
        neck = 1 - 0.45 / (1 + np.exp(-(gz - self.height - 22) / 9))
        thick = an.muscle * (1 + 0.5 * np.exp(-(((gz - 0.8 * self.height) / 60) ** 2)))
        wall = ((np.abs(gx) / (a * neck)) ** 2.5 + (np.abs(gy) / (b * neck)) ** 2.4) ** 0.41
        depth = (wall - 1) * (a + b) / 2  # mm outside the rib cage, roughly
        self._put(depth < thick + an.fat, FAT)
        self._put(depth < thick, MUSCLE)
        shell = ~cage & (self._radius < 1.09) & (gz < self.height + 4)
        angle = np.arctan2(gy / b, np.abs(gx) / a)  # -pi/2 in front, pi/2 at the back
        rib = (gz + 34 * np.sin(angle)) / 27.0  # ribs climb towards the back
        phase = np.abs(rib - np.rint(rib))
        self._put(shell & (phase < 0.21), BONE)
        self._put(shell & (phase < 0.13) & (self._radius > 1.02) & (self._radius < 1.07), MARROW)
        self._paint_spine()
        sternum = (np.abs(gx) < 17) & (np.abs(gy + b + 1) < 6) & (gz > 0.25 * self.height)
        self._put(sternum & (gz < self.height - 12), 0.5 * (BONE + MARROW))
        blade = np.abs((np.abs(gx) - 88) * 0.8 - (gy - 0.78 * b)) < 4
        blade = blade & (np.abs(gz - 0.72 * self.height) < 55) & (depth > 3) & (depth < thick + 2)
        self._put(blade, 0.7 * BONE)

    def _paint_spine(self) -> None:
        gx, gy, gz = self.x, self.y, self.z
        self._spine_y = 0.72 * self.anatomy.half_depth
        body = np.hypot(gx / 19, (gy - self._spine_y) / 15)
        disc = np.abs(np.mod(gz / 24.0, 1.0) - 0.5) > 0.42
        self._put((body < 1) & ~disc, MARROW + 40)
        self._put((body < 1) & (body > 0.86), BONE)
        self._put((body < 1) & disc, 85)
        canal = np.hypot(gx / 9, (gy - self._spine_y - 24) / 8)
        arch = np.hypot(gx / 17, (gy - self._spine_y - 26) / 16)
        self._put((arch < 1) & (canal > 1), 0.75 * BONE)
        self._put(canal < 1, 30)
        self._spine = np.broadcast_to((body < 1.12) | (arch < 1.15), self.hu.shape)

    def _dome(self) -> Array:
        """Height of the diaphragm at each (y, x), mm above the lung bases' lowest point."""
        an, gx, gy = self.anatomy, self.x, self.y
        rise = (1.15 - 0.5 * self.posture.breath) * 62
        domes = []
        for centre, extra in ((-0.47, 1.22), (0.5, 0.96)):
            x = (gx / an.half_width - centre) / 0.62
            y = (gy / an.half_depth + 0.28) / 1.05
            domes.append(extra * rise * np.maximum(1 - 0.9 * x**2 - y**2, -0.6))
        return np.asarray(np.maximum(*domes) + 4, np.float32)

    def _paint_below(self, cage: Mask) -> Mask:
        """Liver, spleen, stomach and fat under the diaphragm; returns what is not lung there."""
        an, gx, gy, gz = self.anatomy, self.x, self.y, self.z
        below = np.asarray(gz < self._dome())
        inside = (self._radius < 1) & below
        self._put(inside, FAT + 10)
        enhanced = 0.35 * (self._blood - BLOOD)
        liver = inside & (gx < 0.22 * an.half_width - 0.25 * (gy + 20)) & (gz > -95)
        self._put(liver, LIVER + enhanced)
        spleen = np.hypot(np.hypot((gx - 0.66 * an.half_width) / 32, (gy - 30) / 44),
                          (gz + 8) / 52)  # fmt: skip
        self._put(inside & (spleen < 1), LIVER - 6 + enhanced)
        stomach = np.hypot(np.hypot((gx - 0.42 * an.half_width) / 36, (gy + 34) / 36),
                           (gz + 2) / 42)  # fmt: skip
        self._put(inside & (stomach < 1), 32)
        self._put(inside & (stomach < 0.9) & (gy < -38), AIR + 15)
        return below

    def _paint_mediastinum(self, cage: Mask) -> Mask:
        """Heart, great vessels and fat between the lungs; returns the space they take."""
        an, top, gx, gy, gz = self.anatomy, self.height, self.x, self.y, self.z
        heart = self._heart()
        t = np.clip(gz / top, 0, 1)
        width = an.half_width * (0.17 + 0.07 * t) * (1 + 0.35 * np.exp(-((gy / 70 + 0.55) ** 2)))
        front = 1 - 0.55 / (1 + np.exp(-(-gy - 0.70 * an.half_depth) / 5))
        middle = np.abs(gx) < width * front
        space = cage & (middle & (gy < self._spine_y) | (heart < 1.03) | self._spine)
        soft = space & ~self._spine
        self._put(soft, FAT + 15)
        self._put(cage & (heart < 1), self._blood * 0.92)
        self._put(cage & (heart < 1) & (heart > 0.88), MUSCLE + 20)
        self._paint_great_vessels(soft)
        return np.asarray(space)

    def _heart(self) -> Array:
        gx, gy, gz, k = self.x, self.y, self.z, self.anatomy.heart
        x, y, z = gx - 22, gy + 26, gz - 0.26 * self.height
        u = 0.82 * x + 0.45 * (-y) - 0.35 * z  # long axis: to the left, front and down
        v = -0.45 * x + 0.89 * (-y)
        w = 0.35 * x + z * 0.94
        return np.asarray(np.sqrt((u / 66) ** 2 + (v / 47) ** 2 + (w / 56) ** 2) / k, np.float32)

    def _paint_great_vessels(self, soft: Mask) -> None:
        gx, gy, gz = self.x, self.y, self.z
        top, blood = self.height, self._blood
        arch_z = 0.72 * top
        descending = np.hypot(gx - 22, gy - 0.42 * self.anatomy.half_depth) < 13
        self._put(soft & descending & (gz < arch_z), blood)
        ascending = np.hypot(gx + 14, gy + 20) < 16
        self._put(soft & ascending & (gz > 0.38 * top) & (gz < arch_z), blood)
        along = (gy + 20) / (0.42 * self.anatomy.half_depth + 20)  # 0 in front, 1 at the back
        bow = arch_z + 16 * (1 - (2 * along - 1) ** 2)
        arch = np.hypot(gx - (-14 + 36 * along), gz - bow) < 13
        self._put(soft & arch & (along > -0.1) & (along < 1.1), blood)
        cava = np.hypot(gx + 33, gy + 10) < 9
        self._put(soft & cava & (gz > 0.45 * top), blood + 0.6 * (blood - BLOOD))
        for x, y in ((-18, -22), (2, -14), (16, -4)):  # to head and arms
            branch = np.hypot(gx - x, gy - y) < 5.5
            self._put(soft & branch & (gz > arch_z), blood)
        trunk = np.hypot((gy + 12), gz - 0.56 * top) < 12.5
        self._put(soft & trunk & (np.abs(gx - 4) < 36), blood * 0.97)

    # --- Lung -------------------------------------------------------------------------------

    def _smooth_noise(self, scale_mm: float) -> Array:
        """A random field with unit variance and this correlation length, fixed to the body."""
        half = 240.0  # mm; the field covers any chest, whatever the grid
        cells = int(2 * half / scale_mm) + 3
        coarse = self._rng.standard_normal((cells, cells, cells)).astype(np.float32)
        first = np.subtract(self.grid.first, self.posture.shift)
        offset = np.clip(np.add(first, (half / 2, half, half)) / scale_mm, 0, None)
        step = np.array(self.grid.spacing) / scale_mm
        shape = self.grid.shape
        field = ndimage.affine_transform(coarse, step, offset, shape, order=1, mode="nearest")
        return np.asarray(field / 0.54, np.float32)  # linear interpolation shrinks the variance

    def _paint_parenchyma(self) -> None:
        """Density by gravity and breath, emphysema in the upper lobes, fibrosis at the rim."""
        an, gy, gz = self.anatomy, self.y, self.z
        fuller = (1 - self.posture.breath) * 180
        gravity = 32 * gy / an.half_depth
        lung = an.lung_hu + fuller + gravity + 12 * self._smooth_noise(22) - 50 * an.emphysema
        if an.emphysema > 0.02:
            field = self._smooth_noise(8) + 0.9 * (gz / self.height - 0.5)
            holes = field > np.quantile(field[self.lungs], 1 - an.emphysema)
            lung = np.where(holes, -968.0, lung)
        rim = (1 - self._radius) * 0.5 * (an.half_width + an.half_depth)
        fibrosis = (rim < an.fibrosis) & (gz < 0.5 * self.height)
        lung = np.where(fibrosis, lung + 260 + 150 * self._smooth_noise(6), lung)
        fissure = np.abs(gz - 0.42 * self.height + 0.75 * (gy - 10)) < 1.1
        lung = np.where(fissure, np.maximum(lung, -720), lung)
        self._put(self.lungs, lung)

    def _paint_airways(self) -> None:
        top, gx, gy, gz = self.height, self.x, self.y, self.z
        carina = 0.60 * top
        trachea = np.hypot(gx, (gy - 16)) < 8.5
        wall = np.hypot(gx, (gy - 16)) < 10.5
        above = (gz > carina) & (self.hu > AIR)
        self._put(above & wall, MUSCLE - 20)
        self._put(above & trachea, AIR + 12)
        self._hila = {}
        for side, sign in (("right", -1.0), ("left", 1.0)):
            hilum = np.array([carina - 26, 14.0, sign * 0.36 * self.anatomy.half_width])
            line = _line(np.array([carina + 4, 16.0, 0.0]), hilum, 1.0)
            self._draw_tube(line, 7.5, MUSCLE - 20)
            self._draw_tube(line, 5.8, AIR + 12)
            self._hila[side] = hilum

    def _paint_vessels(self) -> None:
        """Pulmonary vessels: trees that grow from each hilum towards places in the lung."""
        for side in SIDES:
            places = [self._draw_place(side) for _ in range(300)]
            ends = np.array([self.locate(place) for place in places])
            self._grow_tree(self._hila[side], ends, radius=6.2)

    def _draw_place(self, side: Side) -> LungPlace:
        height = float(self._rng.uniform(0.06, 0.93))
        across, depth = self._rng.uniform(-0.8, 0.93), self._rng.uniform(-0.9, 0.9)
        return LungPlace(side, height, float(across), float(depth))

    def _grow_tree(self, root: np.ndarray, ends: np.ndarray, radius: float) -> None:
        """Split the ends into two halves again and again; each half is fed by one branch."""
        if len(ends) == 0 or radius < 0.45:
            return
        centre = ends.mean(0)
        share = 0.42 if len(ends) > 1 else 1.0
        bend = self._rng.normal(0, 2.5, 3)
        tip = root + share * (centre - root) + bend
        inside = BLOOD if radius < 1.5 else self._blood
        self._draw_tube(_line(root, tip, 0.8), radius, inside, only_lung=True)
        if len(ends) == 1:
            return
        axis = np.argmax(ends.var(0))
        order = np.argsort(ends[:, axis])
        cut = int(len(ends) * self._rng.uniform(0.35, 0.65)) or 1
        for half in (order[:cut], order[cut:]):
            thinner = radius * (len(half) / len(ends)) ** 0.36
            self._grow_tree(tip, ends[half], thinner)

    def _draw_tube(
        self, line: np.ndarray, radius: float, hu: float, only_lung: bool = False
    ) -> None:
        """Blend a tube into the grid: each voxel by the share of it that the tube covers."""
        step = self.grid.spacing
        ball = _ball(radius, min(0.9, *(mm / 2 for mm in step)))
        points = (line[:, None, :] + ball[None]).reshape(-1, 3)
        index = np.rint(self.grid.index(points, self.posture)).astype(np.int32)
        keep = ((index >= 0) & (index < self.hu.shape)).all(1)
        flat = np.unique(np.ravel_multi_index(tuple(index[keep].T), self.hu.shape))
        if only_lung:
            flat = flat[self.lungs.ravel()[flat]]
        cover = min(1.0, np.pi * radius**2 / (step[1] * step[2]))
        view = self.hu.ravel()
        view[flat] = (1 - cover) * view[flat] + cover * hu

    # --- Places -----------------------------------------------------------------------------

    def locate(self, place: LungPlace) -> np.ndarray:
        """Where a place in the lung lies at this visit: ``(z, y, x)`` mm in body coordinates."""
        an = self.anatomy
        sign = -1.0 if place.side == "right" else 1.0
        base = 22.0 + 26.0 * (1.1 - self.posture.breath)
        z = base + place.height * (0.95 * self.height - base)
        taper = float(self._taper(z))
        y = place.depth * 0.86 * an.half_depth * (0.55 + 0.45 * taper)
        reach = (1 - min(0.95, abs(place.depth) * 0.86) ** 2.3) ** 0.4
        inner, outer = 0.36 * an.half_width, an.half_width * taper * reach
        middle, half = (inner + outer) / 2, max(outer - inner, 10.0) / 2
        return np.array([z, y, sign * (middle + place.across * half)])

    def hilum(self, side: Side) -> np.ndarray:
        """Where the main bronchus and vessels enter the lung, ``(z, y, x)`` mm."""
        return np.asarray(self._hila[side])


def _line(start: np.ndarray, end: np.ndarray, step_mm: float) -> np.ndarray:
    n = max(2, int(np.linalg.norm(end - start) / step_mm))
    return np.linspace(start, end, n)


def _ball(radius: float, step: float) -> np.ndarray:
    axis = np.arange(-radius, radius + 1e-6, step) if radius > step / 2 else np.zeros(1)
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    points = np.stack([z.ravel(), y.ravel(), x.ravel()], 1)
    return np.asarray(points[(points**2).sum(1) <= radius**2 + 1e-9])
