"""Heart, great vessels, airways and what else lies between the lungs, painted in fat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctrs.trial.body.anatomy import AIR, BLOOD, FAT, MUSCLE
from ctrs.trial.body.canvas import Canvas
from ctrs.trial.body.organs import Ball, Organs, Tube
from ctrs.trial.body.shape import ChestShape
from ctrs.types import Triple

AIRWAY_HU = AIR + 8.0
CALCIUM_HU = 650.0
VESSEL_WALL_MM = 1.3


@dataclass(frozen=True)
class Blood:
    """HU of the blood by where it flows; contrast reaches the parts unequally."""

    aorta: float
    lungs: float  # pulmonary arteries and the right heart
    cava: float  # superior: the arm it was injected into
    lower: float  # inferior vena cava
    muscle: float  # of the heart

    @staticmethod
    def after(enhancement: float) -> Blood:
        """About a minute after injection; 0 = without contrast."""
        e = enhancement
        return Blood(
            BLOOD + e, BLOOD + 0.95 * e, BLOOD + 1.35 * e, BLOOD + 0.55 * e, MUSCLE - 4 + 0.45 * e
        )


def paint_mediastinum(canvas: Canvas, shape: ChestShape, blood: Blood) -> None:
    """Paint every organ between the lungs, from the diaphragm to the neck."""
    organs = shape.organs
    _paint_soft(canvas, organs)
    _paint_heart(canvas, organs, blood)
    _paint_vessels(canvas, organs, blood)
    _paint_airways(canvas, organs)
    _paint_oesophagus(canvas, organs)
    if shape.anatomy.age >= 55:
        _paint_plaque(canvas, organs)


def _tube(canvas: Canvas, tube: Tube, hu: float, extra: float = 0.0) -> None:
    canvas.tube(tube.points, tuple(max(r + extra, 0.3) for r in tube.radii), hu)


def _ball(canvas: Canvas, ball: Ball, hu: float) -> None:
    canvas.ellipsoid(ball.centre, ball.radii, hu, ball.axis)


def _paint_soft(canvas: Canvas, organs: Organs) -> None:
    """Thyroid, strands of the thymus, and small lymph nodes as every adult has them."""
    for sign in (-1.0, 1.0):
        low, high = organs.at((252, -16, sign * 15)), organs.at((276, -18, sign * 17))
        canvas.tube((low, high), (7, 8), 95.0)
    rng = np.random.default_rng([organs.anatomy.seed, 12])
    thymus = -60.0 - 35 * min(max((organs.anatomy.age - 40) / 30, 0), 1)
    for x in (-5.0, 6.0):
        z, y = rng.normal(178, 6), rng.normal(-62, 3)
        canvas.ellipsoid(organs.at((z, y, x)), (16, 5, 7), max(thymus, FAT + 8))
    stations: tuple[Triple, ...] = ((176, 8, -16), (168, -6, -14), (150, 16, 8), (182, -8, 26),
                                    (170, -18, 24), (186, -2, -18), (124, 22, -2))  # fmt: skip
    for station in stations:
        if rng.random() < 0.75:
            place = tuple(p + rng.normal(0, 2.0) for p in station)
            r = float(rng.uniform(2.2, 4.2))
            canvas.ellipsoid(organs.at((place[0], place[1], place[2])), (1.5 * r, r, 1.2 * r), 42.0)


def _paint_heart(canvas: Canvas, organs: Organs, blood: Blood) -> None:
    """Atria, right ventricle behind a thin wall, left ventricle in a thick one."""
    for chamber, wall_mm in ((organs.right_atrium, 0.0), (organs.left_atrium, 1.2),
                             (organs.right_ventricle, 0.0)):  # fmt: skip
        _ball(canvas, chamber.shrunk(-wall_mm), blood.muscle)
    _ball(canvas, organs.left_atrium, blood.aorta)
    _tube(canvas, organs.appendage, blood.aorta)
    _ball(canvas, organs.right_atrium.shrunk(1.6), 0.6 * blood.lungs + 0.4 * blood.lower)
    _ball(canvas, organs.right_ventricle.shrunk(3.0), blood.lungs)
    _ball(canvas, organs.left_ventricle, blood.muscle)
    _ball(canvas, organs.left_cavity, blood.aorta)
    _paint_grooves(canvas, organs, blood)


def _paint_grooves(canvas: Canvas, organs: Organs, blood: Blood) -> None:
    """Fat with a coronary artery in it: between the ventricles, and round the right atrium."""
    groove: tuple[Triple, ...] = ((122, -46, 40), (108, -62, 50), (92, -72, 58), (80, -76, 66))
    front = organs.tube(groove, (4.0, 4.5, 4.0, 3.5))
    right = organs.tube(((128, -38, -8), (114, -42, -15), (98, -40, -18)), (4.0, 4.5, 3.5))
    back = organs.tube(((112, -2, -14), (108, 0, 12), (112, 0, 36)), (4.5, 4.5, 4.5))
    for tube in (front, right, back):
        _tube(canvas, tube, FAT + 8)
        canvas.tube(tube.points, (1.7,) * len(tube.points), blood.aorta)


def _paint_vessels(canvas: Canvas, organs: Organs, blood: Blood) -> None:
    wall = MUSCLE - 5
    for vein, hu in zip(organs.lower_veins, (blood.lower, blood.lower), strict=True):
        _tube(canvas, vein, hu)
    for vein in organs.pulmonary_veins:
        _tube(canvas, vein, blood.aorta)
    for vein in organs.great_veins:
        _tube(canvas, vein, wall)
        _tube(canvas, vein, blood.cava, -0.8)
    for artery in organs.pulmonary_arteries:
        _tube(canvas, artery, wall)
        _tube(canvas, artery, blood.lungs, -VESSEL_WALL_MM * 0.7)
    for artery in (*organs.arch_branches, organs.aorta):
        _tube(canvas, artery, wall)
    for artery in (*organs.arch_branches, organs.aorta):
        _tube(canvas, artery, blood.aorta, -VESSEL_WALL_MM)


def _paint_airways(canvas: Canvas, organs: Organs) -> None:
    """Trachea and main bronchi: all walls first, so that the lumen runs on through the carina."""
    tubes = (organs.trachea, organs.main_bronchus("right"), organs.main_bronchus("left"))
    for tube in tubes:
        _tube(canvas, tube, MUSCLE - 25, 1.8)
    for tube in tubes:
        _tube(canvas, tube, AIRWAY_HU)


def _paint_oesophagus(canvas: Canvas, organs: Organs) -> None:
    """A muscular tube with a little gas here and there."""
    tube = organs.oesophagus
    _tube(canvas, tube, MUSCLE - 10)
    rng = np.random.default_rng([organs.anatomy.seed, 13])
    for k in np.flatnonzero(rng.random(len(tube.points) - 2) < 0.5):
        z, y, x = tube.points[k + 1]
        canvas.ellipsoid((z, y - 1.5, x), (11, 1.8, 3.0), -700.0)


def _paint_plaque(canvas: Canvas, organs: Organs) -> None:
    """Calcium in the wall of the aorta and the coronary arteries: more of it with age."""
    rng = np.random.default_rng([organs.anatomy.seed, 14])
    burden = min(max((organs.anatomy.age - 52) / 30, 0.0), 1.0) * rng.gamma(1.6, 0.7)
    points, radii = organs.aorta.points, organs.aorta.radii
    for _ in range(int(14 * burden)):
        k = int(rng.choice((1, 4, 5, 6, 7, 8, 8, 9, 10, 11, 12, 13)))
        t, angle = rng.random(), rng.uniform(0, 2 * np.pi)
        z, y, x = (
            float((1 - t) * p + t * q) for p, q in zip(points[k], points[k + 1], strict=True)
        )
        r = radii[k] - 1.0
        place = (z, y + r * float(np.sin(angle)), x + r * float(np.cos(angle)))
        size = float(rng.uniform(1.2, 2.6))
        canvas.ellipsoid(place, (1.6 * size, size, size), CALCIUM_HU)
    for _ in range(int(5 * burden)):
        z, y, x = organs.at(
            (122 - rng.uniform(0, 26), -44 - rng.uniform(0, 18), 40 + rng.normal(0, 4))
        )
        canvas.ellipsoid((z, y, x), (2.6, 1.4, 1.4), CALCIUM_HU)
