"""What lies under the diaphragm: liver, spleen, stomach, kidneys, bowel, in fat."""

from __future__ import annotations

import numpy as np

from ctrs.trial.body.anatomy import AIR, BLOOD, FAT, LIVER, MUSCLE, LiverPlace
from ctrs.trial.body.canvas import Canvas, blend, cover, ellipse, smooth_union
from ctrs.trial.body.location import place_mm
from ctrs.trial.body.shape import ChestShape
from ctrs.types import Array, Mask, Triple

DIAPHRAGM_MM = 3.0
GAS_HU = AIR + 12.0
STOMACH_HU, BOWEL_HU = 28.0, 35.0


class Abdomen:
    """Paints the organs under the domes: `paint` slice by slice, then `paint_round_organs`.

    Attributes:
        liver: Where the liver is, shape of the grid.
    """

    def __init__(self, canvas: Canvas, shape: ChestShape, enhancement: float) -> None:
        self.canvas, self.shape, self.enhancement = canvas, shape, enhancement
        self.dome = shape.dome(canvas.y, canvas.x)
        self.liver: Mask = np.zeros(canvas.grid.shape, bool)
        self._highest = float(self.dome.max())
        self._edge = self._liver_edge()
        self.liver_hu = LIVER + 0.35 * enhancement

    def paint(self, k: int, cage: Array) -> None:
        """Muscle of the diaphragm, fat and liver in slice ``k``."""
        z = float(self.canvas.z[k])
        if z > self._highest + 2:
            return
        hu, edge = self.canvas.hu[k], self.canvas.edge
        # The domes lean, so the way up is longer than the way out.
        under = np.maximum((np.float32(z) - self.dome) * np.float32(0.7), cage)
        wall = np.abs(under + np.float32(DIAPHRAGM_MM / 2)) - np.float32(DIAPHRAGM_MM / 2 - 0.3)
        share = cover(wall, edge)
        share *= np.float32(0.9)
        blend(hu, share, MUSCLE - 10)
        liver = np.maximum(under + np.float32(DIAPHRAGM_MM - 0.5), self._edge + self._lower_edge(z))
        blend(hu, cover(liver, edge), self.liver_hu)
        np.less(liver, 0, out=self.liver[k])

    def _liver_edge(self) -> Array:
        """Left border of the liver as a distance over ``(y, x)``: the left lobe lies in front."""
        a, b = self.shape.a, self.shape.b
        y, x = self.canvas.y, self.canvas.x
        right = ellipse(y, x, (0.02 * b, -0.50 * a), (0.98 * b, 0.56 * a))
        left = ellipse(y, x, (-0.52 * b, -0.02 * a), (0.44 * b, 0.46 * a))
        return smooth_union(right, left, 22.0)

    def _lower_edge(self, z: float) -> Array:
        """Shrinks the liver towards the feet, from the left and the middle."""
        f = max(0.05 * self.shape.height - z, 0.0)
        return np.float32(0.0) + np.float32(0.25 * f) * (self.canvas.x > -500)

    def paint_round_organs(self) -> None:
        """Spleen, stomach, kidneys, adrenals, crura and bowel; each under the domes."""
        self._spleen()
        self._stomach()
        self._kidneys()
        self._bowel()
        self._liver_vessels()

    def _at(self, z_mm: float, y: float, x: float) -> Triple:
        """Height in mm from the lung base, ``y`` and ``x`` as shares of the half axes."""
        return z_mm * self.shape.height / 250 + self.shape.lift, y * self.shape.b, x * self.shape.a

    def _fit(self, point: Triple, radius: float) -> Triple:
        """The point, moved so that a ball round it touches neither the wall nor the dome."""
        z, y, x = point
        for _ in range(3):  # lower down the wall is elsewhere
            way = max(self._wall(z, y, x) + radius + DIAPHRAGM_MM, 0.0)
            centre = float(self.shape.cage_size(np.array(z))[1])
            long = max(float(np.sqrt((y - centre) ** 2 + x**2)), 1.0)
            y, x = y - way * (y - centre) / long, x - way * x / long
            roof = self.shape.dome(np.array([y], np.float32), np.array([x], np.float32))
            z = min(z, float(roof[0]) - DIAPHRAGM_MM - radius)
        return z, y, x

    def _wall(self, z: float, y: float, x: float) -> float:
        """Distance of one point to the inner surface of the cage, mm, negative inside."""
        width, centre, depth = (float(v) for v in self.shape.cage_size(np.array(z)))
        py, px = np.array([y], np.float32), np.array([x], np.float32)
        reach = self.shape.reach(py, px)
        return float(self.shape.cage_distance(py, reach, (width, centre, depth))[0])

    def _line(self, places: tuple[Triple, ...], radii: tuple[float, ...]) -> tuple[Triple, ...]:
        """The middle of a tube through these places that stays within its walls."""
        return tuple(self._fit(self._at(*p), r) for p, r in zip(places, radii, strict=True))

    def _spleen(self) -> None:
        hu = LIVER - 6 + 0.5 * self.enhancement
        line = tuple(self._at(*p) for p in ((62, 0.16, 0.62), (50, 0.36, 0.66), (28, 0.34, 0.72),
                                            (4, 0.14, 0.78)))  # fmt: skip
        self.canvas.tube(line, (20, 30, 31, 17), hu)

    def _stomach(self) -> None:
        """Lying on the back, the gas is in front and the meal behind it."""
        rng = np.random.default_rng([self.shape.anatomy.seed, 15])
        full = float(rng.uniform(0.75, 1.2))
        places = ((58, -0.12, 0.44), (40, -0.26, 0.48), (10, -0.42, 0.42), (-20, -0.55, 0.24))
        radii = tuple(full * r for r in (29, 34, 29, 19))
        line = self._line(places, radii)
        self.canvas.tube(line, radii, MUSCLE + 0.3 * self.enhancement)
        meal = [(z + rng.normal(0, 2), y + rng.normal(0, 1.5), x + rng.normal(0, 2))
                for z, y, x in line]  # fmt: skip
        thin = [r - float(rng.uniform(2.5, 7)) for r in radii]
        self.canvas.tube(meal, thin, STOMACH_HU + float(rng.normal(0, 8)))
        gas = tuple((z, y - 0.45 * r, x) for (z, y, x), r in zip(line, radii, strict=True))
        self.canvas.tube(gas[:3], tuple(0.52 * r for r in radii[:3]), GAS_HU)

    def _kidneys(self) -> None:
        cortex = 34 + 1.1 * self.enhancement
        for sign, top in ((-1.0, -14.0), (1.0, -4.0)):
            centre = self._at(top - 46, 0.30, sign * 0.50)
            self.canvas.ellipsoid(centre, (52, 27, 25), cortex)
            inner = (centre[0], centre[1] - 5, centre[2] - sign * 7)
            self.canvas.ellipsoid(inner, (32, 13, 13), FAT + 20)
            z, y, x = self._at(top + 12, 0.16, sign * 0.26)
            self.canvas.tube(((z, y, x), (z - 4, y + 16, x + 3 * sign)), (2.4, 1.8), 30.0)
            self.canvas.tube(((z, y, x), (z - 4, y + 14, x + 12 * sign)), (2.4, 1.8), 30.0)
            crus = tuple(self._at(*p) for p in ((50, 0.16, sign * 0.10), (10, 0.10, sign * 0.14),
                                                (-60, 0.04, sign * 0.16)))  # fmt: skip
            self.canvas.tube(crus, (3.0, 5.0, 6.0), MUSCLE)
            psoas = tuple(self._at(*p) for p in ((0, 0.26, sign * 0.24), (-80, 0.20, sign * 0.30)))
            self.canvas.tube(psoas, (5.0, 15.0), MUSCLE)

    def _bowel(self) -> None:
        """Colon under the left dome and in front, loops and pancreas in the middle."""
        rng = np.random.default_rng([self.shape.anatomy.seed, 16])
        places = ((18, -0.42, 0.82, 15), (-8, -0.30, 0.84, 16), (-34, -0.60, 0.66, 17),
                  (-40, -0.78, 0.30, 16), (-46, -0.78, -0.10, 15),
                  (-44, -0.66, -0.52, 17))  # fmt: skip
        line, radii = [], []
        for z, y, x, r in places:
            place = self._at(z + rng.normal(0, 5), y + rng.normal(0, 0.04), x + rng.normal(0, 0.03))
            radii.append(r * float(rng.uniform(0.75, 1.05)))
            line.append(self._fit(place, 1.1 * radii[-1]))
        self._colon(rng, line, radii)
        pancreas = tuple(self._at(*p) for p in ((-40, -0.30, -0.14), (-22, -0.26, 0.12),
                                                (-6, -0.12, 0.42), (4, 0.10, 0.62)))  # fmt: skip
        self.canvas.tube(pancreas, (12, 8, 9, 8), 40 + 0.4 * self.enhancement)
        self._small_bowel(rng)

    def _colon(self, rng: np.random.Generator, line: list[Triple], radii: list[float]) -> None:
        """One tube with pouches: wide and narrow by turns, gas here and stool there."""
        at = np.linspace(0, len(line) - 1, 3 * len(line) - 2)
        points = [self._between(line, float(t)) for t in at]
        wide = np.interp(at, np.arange(len(radii)), radii) * np.where(
            np.arange(len(at)) % 2, 1, 0.7
        )
        self.canvas.tube(points, [float(r) for r in wide], BOWEL_HU + 0.2 * self.enhancement)
        for k in range(len(points) - 1):
            inside = [max(float(r) - 2.6, 1.0) for r in wide[k : k + 2]]
            gas = rng.random() < 0.5
            stool = float(rng.uniform(-60, 30))
            self.canvas.tube(points[k : k + 2], inside, GAS_HU if gas else stool)

    def _between(self, line: list[Triple], t: float) -> Triple:
        z, y, x = (
            float(np.interp(t, np.arange(len(line)), axis)) for axis in zip(*line, strict=True)
        )
        return z, y, x

    def _small_bowel(self, rng: np.random.Generator) -> None:
        """Loops on the left: one tube that winds to and fro on its way down."""
        turns = 22
        across = 0.44 + 0.30 * np.tile((-1.0, 1.0), turns // 2) + rng.normal(0, 0.09, turns)
        deep = -0.30 + rng.normal(0, 0.20, turns)
        down = np.linspace(-6, -84, turns) + rng.normal(0, 7, turns)
        radii = [float(r) for r in rng.uniform(7.5, 12.5, turns)]
        line = [
            self._fit(self._at(float(z), float(y), float(x)), r)
            for z, y, x, r in zip(down, deep, across, radii, strict=True)
        ]
        self.canvas.tube(line, radii, BOWEL_HU + 0.2 * self.enhancement)
        inside = [max(r - 4.5, 0.5) for r in radii]
        self.canvas.tube(line, inside, BOWEL_HU - 15)

    def _liver_vessels(self) -> None:
        """Hepatic and portal veins with their branches: dark without contrast, bright with it."""
        hu = BLOOD - 6 + 0.85 * self.enhancement
        rng = np.random.default_rng([self.shape.anatomy.seed, 21])
        cava = self._at(76, -0.26, -0.17)
        for height, depth, across in ((0.7, 0.5, 0.7), (0.8, -0.5, 0.4), (0.6, -0.1, -0.3)):
            self._branches(rng, cava, (height, depth, across), (5, 3.6, 2.4), hu)
        hilum = self._at(14, -0.28, -0.30)
        self.canvas.tube((self._at(-10, -0.30, -0.12), hilum), (7, 6), hu)
        for height, depth, across in ((-0.3, 0.3, 0.7), (0.1, -0.3, 0.6), (-0.1, -0.5, -0.2)):
            self._branches(rng, hilum, (height, depth, across), (5, 3.6, 2.4), hu)

    def _branches(
        self, rng: np.random.Generator, root: Triple, end: Triple, radii: Triple, hu: float
    ) -> None:
        """One vein from its root to a place in the liver, with three twigs on its way."""
        tip = self._in_liver(end)
        bend = rng.normal(0, 5, 3)
        middle = tuple(float(0.5 * (a + b) + c) for a, b, c in zip(root, tip, bend, strict=True))
        knee: Triple = (middle[0], middle[1], middle[2])
        self.canvas.tube((root, knee, tip), radii, hu)
        for start in (knee, knee, tip):
            z, y, x = (float(np.clip(v, -0.9, 0.9)) for v in rng.normal(end, 0.4))
            self.canvas.tube((start, self._in_liver((z, y, x))), (2.4, 1.0), hu)

    def _in_liver(self, place: Triple) -> Triple:
        z, y, x = place_mm(self.shape.anatomy, self.canvas.posture, LiverPlace(*place))
        return float(z), float(y), float(x)
