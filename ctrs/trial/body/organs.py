"""Where the organs between the lungs lie: tubes and ellipsoids, fitted to the patient's build.

Coordinates stand for a reference adult whose cage is 130 mm half wide and 92 mm half deep inside,
with lungs 250 mm high; they follow cross-sectional anatomy as textbooks show it (ours).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ctrs.trial.body.anatomy import Anatomy
from ctrs.types import Triple

REFERENCE = (250.0, 92.0, 130.0)  # lung height, half depth, half width

# Front of the vertebral bodies: height, y.
SPINE_FRONT = (
    (-80, -46, -26, 2, 29, 55, 78, 101, 124, 147, 171, 191, 211, 228, 244, 258, 290),
    (-6, -4, 0, 9, 20, 30, 38, 44, 47, 48, 46, 40, 33, 24, 14, 4, -14),
)

# Centres of the vertebral bodies, L4 upwards.
VERTEBRAE = (-76, -48, -20, 7, 33, 57, 80, 102, 123, 143, 163, 182, 200, 217, 233, 248, 262,
             276, 290)  # fmt: skip

# Centre lines ``(z, y, x)`` and radii.
AORTA: tuple[Triple, ...] = (
    (126, -20, 6), (138, -30, 0), (152, -38, -9), (168, -40, -14), (184, -35, -12), (196, -23, -4),
    (202, -6, 8), (200, 11, 17), (192, 25, 21), (176, 33, 21), (150, 36, 19), (120, 33, 16),
    (90, 24, 12), (60, 11, 8), (30, -1, 5), (0, -13, 4), (-80, -25, 3),
)  # fmt: skip
AORTA_RADII = (15.5, 17, 17, 16.5, 15.5, 14.5, 13.5, 13, 12.5, 12, 12, 11.5, 11, 10.5, 10, 9.5, 9)
TRUNK: tuple[Triple, ...] = ((114, -56, 18), (130, -50, 25), (144, -38, 29), (154, -20, 28),
                             (157, -8, 24))  # fmt: skip
LEFT_PULMONARY: tuple[Triple, ...] = ((156, -14, 26), (161, 0, 32), (160, 16, 39), (150, 24, 43),
                                      (134, 26, 46))  # fmt: skip
RIGHT_PULMONARY: tuple[Triple, ...] = ((155, -14, 20), (150, -10, 4), (147, -7, -14),
                                       (143, -3, -32), (136, 4, -44))  # fmt: skip
SUPERIOR_CAVA: tuple[Triple, ...] = ((204, -30, -22), (178, -26, -24), (152, -21, -26),
                                     (134, -18, -25))  # fmt: skip
INFERIOR_CAVA: tuple[Triple, ...] = ((-80, -22, -20), (-20, -24, -21), (40, -26, -22),
                                     (58, -22, -22), (73, -18, -22))  # fmt: skip
RIGHT_BRACHIOCEPHALIC: tuple[Triple, ...] = ((204, -30, -22), (226, -30, -28), (242, -26, -44),
                                             (250, -16, -74))  # fmt: skip
LEFT_BRACHIOCEPHALIC: tuple[Triple, ...] = ((204, -31, -20), (212, -44, -2), (222, -44, 18),
                                            (238, -30, 42), (248, -20, 74))  # fmt: skip
INNOMINATE: tuple[Triple, ...] = ((198, -20, -3), (214, -24, -9), (232, -20, -20), (246, -10, -42),
                                  (250, -2, -78))  # fmt: skip
RIGHT_CAROTID: tuple[Triple, ...] = ((232, -20, -20), (256, -22, -24), (290, -24, -26))
LEFT_CAROTID: tuple[Triple, ...] = ((200, -8, 8), (222, -14, 15), (250, -20, 21), (290, -24, 25))
LEFT_SUBCLAVIAN: tuple[Triple, ...] = ((198, 6, 16), (222, 4, 24), (240, 0, 34), (248, -2, 54),
                                       (248, -2, 84))  # fmt: skip
AZYGOS: tuple[Triple, ...] = ((-10, 14, -4), (60, 24, -6), (110, 38, -7), (150, 40, -9),
                              (166, 34, -16), (172, 16, -26), (170, -4, -27),
                              (168, -18, -25))  # fmt: skip
OESOPHAGUS: tuple[Triple, ...] = ((290, -6, 3), (245, 3, 4), (205, 17, 5), (170, 23, 3),
                                  (140, 26, 4), (112, 22, 5), (88, 14, 9), (68, 2, 16),
                                  (52, -12, 26))  # fmt: skip
TRACHEA: tuple[Triple, ...] = ((292, -22, 0), (245, -10, 0), (205, 0, 0), (164, 9, 0))
CARINA: Triple = (158, 10, 0)
MAIN_BRONCHUS: dict[str, tuple[Triple, ...]] = {
    "right": ((164, 9, 0), (153, 10, -9), (143, 12, -20), (135, 13, -34)),
    "left": ((164, 9, 0), (152, 11, 11), (142, 14, 25), (134, 17, 41)),
}


@dataclass(frozen=True)
class Tube:
    points: tuple[Triple, ...]
    radii: tuple[float, ...]


@dataclass(frozen=True)
class Ball:
    """An ellipsoid; the first radius lies along ``axis`` where there is one."""

    centre: Triple
    radii: Triple
    axis: Triple | None = None

    def shrunk(self, mm: float) -> Ball:
        """The same, its surface this far inside."""
        z, y, x = (max(r - mm, 1.0) for r in self.radii)
        return replace(self, radii=(z, y, x))


class Organs:
    """The organs of one patient at one breath.

    ``lift`` is how far the diaphragm stands above its place at full breath, mm.
    """

    def __init__(self, anatomy: Anatomy, lift: float) -> None:
        self.anatomy, self.lift = anatomy, lift
        build = (anatomy.lung_height, anatomy.half_depth, anatomy.half_width)
        self.scale = tuple(mm / ref for mm, ref in zip(build, REFERENCE, strict=True))
        self._thick = 0.5 * (self.scale[1] + self.scale[2])
        rng = np.random.default_rng([anatomy.seed, 18])
        self._own = [float(v) for v in np.clip(rng.standard_normal(10), -2.2, 2.2)]

    def at(self, point: Triple) -> Triple:
        """A point of the reference adult in this patient; near the spine it follows its curve."""
        z, y, x = point
        near = min(max(0.5 + 0.5 * y / 48, 0.0), 1.0)
        bow = max(self.anatomy.kyphosis * max(1 - abs(z - 150) / 150, 0.0), -4.0) * near
        aside = self.spine_x(z * self.scale[0]) * near
        return z * self.scale[0], y * self.scale[1] + bow, x * self.scale[2] + aside

    def spine_x(self, z: float) -> float:
        """How far the spine bends to the left at height ``z``, mm; few are quite straight."""
        f = min(max(z / self.anatomy.lung_height, -0.4), 1.15)
        return 2.6 * self._own[0] * float(np.sin(np.pi * f)) + 2.0 * self._own[1] * float(
            np.sin(2 * np.pi * f)
        )

    def tube(self, points: tuple[Triple, ...], radii: tuple[float, ...] | float) -> Tube:
        """A tube of the reference adult in this patient."""
        given = radii if isinstance(radii, tuple) else (radii,) * len(points)
        return Tube(tuple(self.at(p) for p in points), tuple(r * self._thick for r in given))

    def _ball(self, centre: Triple, radii: Triple, axis: Triple | None = None) -> Ball:
        k = self.anatomy.heart * self._thick
        # Hearts lie steep in the slim and flat in the stout, and differ besides.
        flat = 0.1 * (self.anatomy.bmi - 25) + 0.8 * self._own[2]
        left = max(centre[2], 0.0) / 45
        z, y, x = self.at(centre)
        z, x = z + (2.5 * flat + 2 * self._own[3]) * left, x + 3 * flat * left + 2 * self._own[4]
        rz, ry, rx = (k * r for r in radii)
        # The heart rides on the diaphragm, its base less than its apex.
        ride = 0.6 * self.lift * min(max((150 - centre[0]) / 50, 0.0), 1.0)
        return Ball((z + ride, y, x), (rz, ry, rx), axis)

    @cached_property
    def left_ventricle(self) -> Ball:
        return self._ball((97, -30, 45), (50, 32, 32), (-0.36, -0.60, 0.71))

    @cached_property
    def left_cavity(self) -> Ball:
        """Of the left ventricle: nearer its base, as the wall is thickest at the apex."""
        return self._ball((99, -27, 41), (40, 20, 20), (-0.36, -0.60, 0.71))

    @cached_property
    def right_ventricle(self) -> Ball:
        return self._ball((95, -51, 10), (33, 23, 40))

    @cached_property
    def right_atrium(self) -> Ball:
        return self._ball((110, -20, -22), (31, 25, 21))

    @cached_property
    def left_atrium(self) -> Ball:
        return self._ball((130, 8, 5), (19, 17, 31))

    @cached_property
    def appendage(self) -> Tube:
        return self.tube(((134, -4, 32), (142, -16, 42), (144, -26, 44)), (9, 8, 5))

    @cached_property
    def fat_pads(self) -> list[Ball]:
        """Pericardial fat in both angles between heart and diaphragm."""
        size = 8 + 18 * self.anatomy.visceral
        pads = (((68, -60, -30), 0.8), ((68, -66, 58), 1.0), ((76, -74, 18), 0.9))
        return [self._ball(c, (1.1 * size * k, size * k, 1.4 * size * k)) for c, k in pads]

    @cached_property
    def aorta(self) -> Tube:
        """Widens with age, about a tenth in thirty years (Wolak, JACC Imaging 2008)."""
        k = 1 + 0.1 * (self.anatomy.age - 60) / 30 - (0.06 if self.anatomy.sex == "female" else 0)
        # With age it lengthens: the arch rises and the descending part sways to the left.
        old = min(max((self.anatomy.age - 55) / 30, 0.0), 1.0)
        rise, sway = 5 * old + 3 * self._own[5], 6 * old + 2.5 * self._own[6]
        points = tuple(
            (z + rise * max(1 - abs(z - 196) / 50, 0.0), y, x + sway * _sway(z, y))
            for z, y, x in AORTA
        )
        k *= 1 + 0.06 * self._own[7]
        return self.tube(points, tuple(k * r for r in AORTA_RADII))

    @cached_property
    def pulmonary_arteries(self) -> list[Tube]:
        return [
            self.tube(TRUNK, (14, 14.5, 14, 13, 12)),
            self.tube(LEFT_PULMONARY, (11.5, 11, 10.5, 9, 7.5)),
            self.tube(RIGHT_PULMONARY, (11, 10.5, 10.5, 10, 8)),
        ]

    @cached_property
    def pulmonary_veins(self) -> list[Tube]:
        stubs = (
            ((136, 6, -16), (140, 4, -30), (145, 2, -42)),
            ((126, 12, -18), (120, 20, -38)),
            ((138, 6, 26), (144, 4, 36), (149, 0, 45)),
            ((126, 14, 26), (120, 24, 42)),
        )
        return [self.tube(s, (7.0, 6.0, 5.0)[: len(s)]) for s in stubs]

    @cached_property
    def great_veins(self) -> list[Tube]:
        return [
            self.tube(SUPERIOR_CAVA, (9, 9.5, 9.5, 10)),
            self.tube(RIGHT_BRACHIOCEPHALIC, (8, 7, 6.5, 5.5)),
            self.tube(LEFT_BRACHIOCEPHALIC, (7.5, 6.5, 6.5, 6.5, 5.5)),
        ]

    @cached_property
    def lower_veins(self) -> list[Tube]:
        return [self.tube(INFERIOR_CAVA, (10, 11, 12, 13, 13)), self.tube(AZYGOS, 4.0)]

    @cached_property
    def arch_branches(self) -> list[Tube]:
        return [
            self.tube(INNOMINATE, (7, 6.5, 6, 5, 4.5)),
            self.tube(RIGHT_CAROTID, 3.8),
            self.tube(LEFT_CAROTID, 4.0),
            self.tube(LEFT_SUBCLAVIAN, (5.5, 5, 5, 4.5, 4.5)),
        ]

    @cached_property
    def oesophagus(self) -> Tube:
        return self.tube(OESOPHAGUS, (6.5, 6.5, 6.5, 6.5, 6.5, 7, 7.5, 8, 9))

    @cached_property
    def trachea(self) -> Tube:
        """Its lumen. Shifted as this patient's is, most at the arch of the aorta."""
        wide = 8.6 if self.anatomy.sex == "male" else 7.4
        shift = (0.3, 0.8, 1.0, 1.0)
        points = tuple(
            (z, y, x + k * self.anatomy.trachea)
            for (z, y, x), k in zip(TRACHEA, shift, strict=True)
        )
        return self.tube(points, (wide, wide, wide, 1.05 * wide))

    @cached_property
    def carina(self) -> Triple:
        z, y, x = CARINA
        return self.at((z, y, x + self.anatomy.trachea))

    def main_bronchus(self, side: str) -> Tube:
        """Its lumen, from the end of the trachea to the hilum."""
        fade = (1.0, 0.8, 0.4, 0.0)
        points = tuple(
            (z, y, x + k * self.anatomy.trachea)
            for (z, y, x), k in zip(MAIN_BRONCHUS[side], fade, strict=True)
        )
        small = 1.0 if self.anatomy.sex == "male" else 0.88
        radii = (7.5, 7.2, 7.0, 6.2) if side == "right" else (6.8, 6.2, 6.0, 5.4)
        return self.tube(points, tuple(small * r for r in radii))

    @cached_property
    def extents(self) -> np.ndarray:
        """All that pushes the lungs aside: ellipsoids ``(n, 6)``, centre and radii (z, y, x)."""
        tubes = [self.aorta, *self.pulmonary_arteries, *self.great_veins, *self.lower_veins,
                 *self.arch_branches, *self.pulmonary_veins, self.appendage,
                 self.oesophagus, self.trachea]  # fmt: skip
        tubes += [self.main_bronchus("right"), self.main_bronchus("left")]
        balls = [self.left_ventricle, self.right_ventricle, self.right_atrium, self.left_atrium,
                 *self.fat_pads]  # fmt: skip
        rows = [row for tube in tubes for row in _spheres(tube)]
        for ball in balls:
            rows += [(*ball.centre, *ball.radii)] if ball.axis is None else _along_axis(ball)
        return np.array(rows)


def _sway(z: float, y: float) -> float:
    """How much a point of the aorta takes part in the sway of its descending limb, 0 to 1."""
    return max(1 - abs(z - 125) / 75, 0.0) if y > 5 else 0.0


def _spheres(tube: Tube, step_mm: float = 9.0) -> list[tuple[float, ...]]:
    rows = []
    for i in range(len(tube.points) - 1):
        a, b = np.array(tube.points[i]), np.array(tube.points[i + 1])
        n = max(1, int(np.sqrt(((b - a) ** 2).sum()) / step_mm))
        for t in np.arange(n + 1) / n:
            r = (1 - t) * tube.radii[i] + t * tube.radii[i + 1]
            rows.append((*((1 - t) * a + t * b), r, r, r))
    return rows


def _along_axis(ball: Ball, n: int = 11) -> list[tuple[float, ...]]:
    """Spheres with the envelope of a long ellipsoid of revolution."""
    length, radius, _ = ball.radii
    axis = np.array(ball.axis)
    axis = axis / np.sqrt((axis**2).sum())
    focus = np.sqrt(max(length**2 - radius**2, 0.0))
    rows = []
    for t in np.linspace(-1, 1, n):
        r = (
            radius
            * np.sqrt(max(1 - t**2 * (focus / length) ** 2, 0.0))
            * np.sqrt(max(1 - t**2, 0.02))
        )
        centre = np.array(ball.centre) + t * 0.8 * length * axis
        rows.append((*centre, max(r, 0.35 * radius), max(r, 0.35 * radius), max(r, 0.35 * radius)))
    return rows
