"""Ribs with their cartilage, spine, sternum, clavicles, shoulder blades and humeral heads."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ctrs.trial.body.anatomy import Anatomy
from ctrs.trial.body.body_wall import Around, blade_points
from ctrs.trial.body.canvas import Canvas, blend, capsule, cover, ellipse, ellipse_distance
from ctrs.trial.body.organs import REFERENCE, VERTEBRAE
from ctrs.trial.body.shape import ChestShape
from ctrs.types import Array, Mask, Triple

CORTEX, THIN_CORTEX, DISC, CARTILAGE, CORD = 620.0, 380.0, 85.0, 95.0, 32.0

# Ribs 1 to 12 of the reference adult: height of the head at the spine and of the end of the bone
# in front (mm), and that end's share of the way round. Cartilage goes on to the sternum.
RIB_HEAD = (257, 243, 227, 209, 190, 170, 149, 127, 104, 81, 56, 31)
RIB_FRONT = (216, 196, 167, 136, 107, 80, 54, 31, 10, -10, -22, -24)
RIB_END = (0.92, 0.91, 0.90, 0.895, 0.885, 0.86, 0.815, 0.75, 0.68, 0.60, 0.44, 0.30)
CARTILAGE_TOP = (219, 203, 180, 158, 139, 123, 112, 104, 84, 55, -90, -90)  # at the sternum
RIB_THICK, RIB_HIGH = 4.1, 5.2  # half, mm


def marrow_hu(anatomy: Anatomy) -> float:
    """Cancellous bone: 226 HU at the age of 27, 90 at 90; Jang, Radiology 291 (2019) 360."""
    return 285.0 - 2.17 * anatomy.age


class Skeleton:
    """Paints the bones: `paint` slice by slice, then `paint_limbs` once."""

    def __init__(self, canvas: Canvas, shape: ChestShape, around: Around) -> None:
        self.canvas, self.shape, self.around = canvas, shape, around
        self.anatomy = shape.anatomy
        self.marrow = marrow_hu(self.anatomy)
        self._off_rib, self._is_bone = self._rib_tables()
        # Spurs widen the ends of the vertebrae of the old, more on one side than on the other.
        spurs = np.random.default_rng([self.anatomy.seed, 22]).uniform(0, 1, 2)
        self._spurs = spurs * min(max((self.anatomy.age - 45) / 35, 0.0), 1.2)
        self._spine = canvas.rectangle((-60, 1.6 * shape.b), (-58, 58))

    def paint(self, k: int, cage: Array) -> None:
        """All bones of slice ``k``, given the distance of its pixels to the inside of the cage."""
        f = float(self.canvas.z[k]) / self.shape.height
        if f < 1.04:
            self._paint_ribs(k, cage)
        self._paint_spine(k)
        if 0.36 < f < 0.94:
            self._paint_sternum(k, f)
        if 0.42 < f < 1.04:
            self._paint_blades(k, f)

    # --- Ribs -------------------------------------------------------------------------------

    def _rib_tables(self) -> tuple[Array, Array]:
        """Distance along z to the nearest rib, and about 1 where that is bone, 0 where cartilage.

        Both by slice and bin of the way round: the ribs hug the cage, so that height and way
        round say everything but how deep a pixel lies in the wall.
        """
        z = self.canvas.z[:, None]
        off = np.full((len(z), len(self.around.share)), 99.0, np.float32)
        bone = np.zeros_like(off)
        rng = np.random.default_rng([self.anatomy.seed, 11])
        uneven = rng.normal(0, 2.0, (2, 12))
        patches = ndimage.gaussian_filter(rng.standard_normal((12, len(self.around.share))), (0, 4))
        patches *= 1 / float(patches.std())
        # The rim of bone is uneven; cartilage calcifies in patches from the age of 45 on (ours).
        lime = (self.anatomy.age - 45) / 40
        rim = np.clip(1 + 0.12 * patches, 0.7, 1.3)
        calcified = np.clip(0.5 * patches + 0.45 * lime - 0.5, 0, 0.5 * max(lime, 0))
        for n in range(12):
            centre, exists = self._rib_course(n, uneven[:, n])
            distance = np.where(exists, np.abs(z - centre), 99).astype(np.float32)
            nearer = distance < off
            off = np.where(nearer, distance, off)
            kind = np.where(self.around.share < RIB_END[n], rim[n], calcified[n])
            bone = np.where(nearer, kind[None, :], bone)
        return off * np.float32(0.88), bone.astype(np.float32)  # the ribs run aslant

    def _rib_course(self, n: int, uneven: np.ndarray) -> tuple[Array, Mask]:
        """Height of rib ``n`` in each bin of the way round, and whether it is there at all."""
        s, end = self.around.share, RIB_END[n]
        t = np.clip(s / end, 0, 1)
        drop = t * (0.75 + 0.5 * t - 0.25 * t * t)  # steepest at the side
        bone = RIB_HEAD[n] + (RIB_FRONT[n] - RIB_HEAD[n]) * drop
        rise = np.clip((s - end) / (0.97 - end), 0, 1)
        bone = bone + (CARTILAGE_TOP[n] - RIB_FRONT[n]) * rise * (n < 10)
        high = bone * self.shape.height / REFERENCE[0]
        side = np.where(self.around.left > 0, uneven[1], uneven[0]) * t
        last = end if n >= 10 else (1.0 if n < 7 else 0.93)
        return (high + side).astype(np.float32)[None, :], ((s > 0.055) & (s < last))[None, :]

    def _paint_ribs(self, k: int, cage: Array) -> None:
        near = np.flatnonzero((np.abs(cage - 4.5) < 7).any(axis=1))
        if not near.size or self._off_rib[k].min() > 9:
            return
        rows = slice(int(near[0]), int(near[-1]) + 1)
        index = self.around.index[rows]
        high = np.take(self._off_rib[k], index) * np.float32(1 / RIB_HIGH)
        deep = (cage[rows] - np.float32(4.4)) * np.float32(1 / RIB_THICK)
        r = np.sqrt(high * high + deep * deep)
        hu, edge = self.canvas.hu[k][rows], self.canvas.edge
        bone = np.take(self._is_bone[k], index)
        shell = cover((r - 1) * np.float32(4.0), edge)
        blend(hu, shell, CARTILAGE + (CORTEX - CARTILAGE) * bone)
        blend(hu, cover((r - 0.64) * np.float32(4.0), edge) * np.minimum(bone, 1), self.marrow)

    # --- Spine ------------------------------------------------------------------------------

    def _paint_spine(self, k: int) -> None:
        """One vertebra or disc, cut as the spine leans at this height."""
        z, scale = float(self.canvas.z[k]), self.shape.a / REFERENCE[2]
        y = self.canvas.y[self._spine]
        x = self.canvas.x[self._spine] - np.float32(self.shape.organs.spine_x(z))
        heights = np.array((z - 6, z, z + 6))
        fronts = self.shape.spine_front(heights)
        front, lean = float(fronts[1]), float(fronts[2] - fronts[0]) / 20
        level = np.interp(heights * REFERENCE[0] / self.shape.height, VERTEBRAE, np.arange(19))
        rate = float(level[2] - level[0]) / 12
        half = float(self.shape.vertebra_half_width(heights)[1])
        deep = scale * float(
            np.interp(z / self.shape.height, (-0.3, 0.3, 0.7, 1.1), (34, 30, 24, 17))
        )
        phase = np.float32(level[1]) + (y - np.float32(front + deep / 2)) * np.float32(lean * rate)
        phase = phase - np.rint(phase)  # -0.5 to 0.5, feet to head, 0 in the middle of a vertebra
        hu = self.canvas.hu[k][self._spine]
        self._paint_arch(hu, y, x, front + deep, (float(level[1]), rate, lean), scale)
        self._paint_body(hu, y, x, phase, (front, half, deep))

    def _paint_body(
        self, hu: Array, y: Array, x: Array, phase: Array, size: tuple[float, float, float]
    ) -> None:
        front, half, deep = size
        edge = self.canvas.edge
        right, left = (np.float32(0.55 + 0.6 * spur) for spur in self._spurs)
        waist = np.float32(0.90) + phase * phase * np.where(x > 0, left, right)
        v = (y - np.float32(front + deep / 2)) * np.float32(2 / deep)
        dent = np.maximum(v, 0) * np.maximum(1 - np.abs(x) * np.float32(1.6 / half), 0)
        u = x / (waist * np.float32(half))
        v = v + np.float32(0.22) * dent  # the back is hollow towards the canal
        u4 = np.abs(u) * np.sqrt(np.abs(u))
        v4 = np.abs(v) * np.sqrt(np.abs(v))
        distance = ellipse_distance(u4, v4, half * 0.62, deep * 0.31)
        inside = cover(distance, edge)
        away = np.abs(phase)
        disc = np.clip((away - np.float32(0.405)) * np.float32(28), 0, 1)
        plate = np.clip(1 - np.abs(away - np.float32(0.385)) * np.float32(22), 0, 1)
        inner = self.marrow + (CORTEX * 0.62 - self.marrow) * plate
        blend(hu, inside, inner + (DISC - inner) * disc)
        rim = cover(np.abs(distance + np.float32(0.9)) - np.float32(0.7), edge)
        blend(hu, rim * (1 - disc), THIN_CORTEX)

    def _paint_arch(
        self,
        hu: Array,
        y: Array,
        x: Array,
        back: float,
        place: tuple[float, float, float],
        scale: float,
    ) -> None:
        """Canal, pedicles, laminae, transverse and spinous process behind the vertebral body."""
        edge = self.canvas.edge
        canal = back + 7 * scale
        level, rate, lean = place
        phase = level + rate * lean * 20
        phase -= float(np.rint(phase))
        ring = ellipse(y, x, (canal + 1, 0.0), (10.5 * scale, 13 * scale))
        lamina = (
            np.abs(ring) - np.float32(2.6 * scale) + np.float32(2.5 * max(abs(phase) - 0.28, 0) * 4)
        )
        blend(hu, cover(np.maximum(lamina, np.float32(canal + 1) - y), edge), 0.62 * CORTEX)
        for sign in (-1.0, 1.0):
            if -0.12 < phase < 0.42:  # pedicles, in the upper half
                d = capsule(
                    y, x, (back - 4, sign * 12 * scale), (canal + 4, sign * 14 * scale), 4.2 * scale
                )
                blend(hu, cover(d, edge), 0.55 * CORTEX)
            if -0.22 < phase < 0.30:  # transverse process and its joint with the rib
                d = capsule(
                    y,
                    x,
                    (canal + 5, sign * 15 * scale),
                    (canal + 13, sign * 33 * scale),
                    4.0 * scale,
                )
                blend(hu, cover(d, edge), 0.66 * CORTEX)
                blend(hu, cover(d + 2.0, edge), self.marrow)
            if phase > 0.16 or phase < -0.42:  # neck of the rib
                d = capsule(
                    y, x, (back - 5, sign * 19 * scale), (canal + 6, sign * 36 * scale), 3.6
                )
                blend(hu, cover(d, edge), 0.7 * CORTEX)
                blend(hu, cover(d + 1.8, edge), self.marrow)
        # The spinous process slants down to the feet, so behind it lies the vertebra above.
        d = capsule(y, x, (canal + 12 * scale, 0.0), (canal + 31 * scale, 0.0), 2.6 * scale)
        over = np.float32(level) + (y - np.float32(canal)) * np.float32(0.55 * rate)
        there = np.clip(np.float32(3.6) - 10 * np.abs(over - np.rint(over)), 0, 1)
        blend(hu, cover(d, edge) * there, 0.5 * CORTEX)
        blend(hu, cover(d + np.float32(1.6), edge) * there, self.marrow)
        inside = ellipse(y, x, (canal, 0.0), (7.6 * scale, 9.6 * scale))
        blend(hu, cover(inside, edge), -20.0)
        blend(hu, cover(inside + np.float32(1.8), edge), CORD)

    # --- In front and at the back -----------------------------------------------------------

    def _paint_sternum(self, k: int, f: float) -> None:
        """Manubrium, body and xiphoid, with a gap of cartilage between the first two."""
        _, centre, depth = (float(v) for v in self.shape.cage_size(np.array(f * self.shape.height)))
        front = centre - depth - 7.5
        half = float(np.interp(f, (0.36, 0.42, 0.46, 0.6, 0.74, 0.77, 0.80, 0.88, 0.935),
                               (3, 6, 15, 18, 13.5, 13.5, 18, 29, 24)))  # fmt: skip
        box = self.canvas.rectangle((front - 12, front + 12), (-half - 4, half + 4))
        y, x = self.canvas.y[box], self.canvas.x[box]
        bend = x * x * np.float32(0.004)  # convex forwards
        bar = capsule(y - bend, x, (front, -half + 5), (front, half - 5), 5.4)
        hu, edge = self.canvas.hu[k][box], self.canvas.edge
        joint = min(abs(f - 0.785) / 0.008, 1.0)
        blend(hu, cover(bar, edge), CARTILAGE + (THIN_CORTEX - CARTILAGE) * joint)
        blend(hu, cover(bar + np.float32(1.7), edge), 0.75 * self.marrow)

    def _paint_blades(self, k: int, f: float) -> None:
        """Thin in the middle, thick at the outer edge; from its spine upwards with a ridge."""
        for sign in (-1.0, 1.0):
            inner, outer = blade_points(self.shape, f, sign)
            middle = 0.5 * (inner + outer) - np.array((-3.0, -4.0 * sign))  # hugs the ribs
            end = float(np.interp(f, (0.6, 0.9), (3.4, 6.0)))  # the joint of the shoulder is on top
            bars = [(inner, middle, 2.2), (middle, outer, 2.5), (outer - (1, sign), outer, end)]
            if f > 0.80:
                ridge = outer + np.array((18.0, 6.0 * sign))
                bars.append((middle + np.array((2.0, 0)), ridge, 3.4))
            for start, end, radius in bars:
                low, high = np.minimum(start, end) - 9, np.maximum(start, end) + 9
                box = self.canvas.rectangle((low[0], high[0]), (low[1], high[1]))
                d = capsule(self.canvas.y[box], self.canvas.x[box],
                            (start[0], start[1]), (end[0], end[1]), radius)  # fmt: skip
                blend(self.canvas.hu[k][box], cover(d, self.canvas.edge), THIN_CORTEX)
                blend(self.canvas.hu[k][box], cover(d + 2.4, self.canvas.edge), self.marrow)

    def paint_limbs(self) -> None:
        """Clavicles, and the upper ends of the arms, which are raised beside the head."""
        h, b, a = self.shape.height, self.shape.b, self.shape.a
        for sign in (-1.0, 1.0):
            clavicle: tuple[Triple, ...] = (
                (0.915 * h, -0.66 * b, sign * 0.19 * a), (0.945 * h, -0.64 * b, sign * 0.40 * a),
                (0.99 * h, -0.36 * b, sign * 0.66 * a), (1.03 * h, -0.02 * b, sign * 0.90 * a),
            )  # fmt: skip
            self.canvas.tube(clavicle, (9, 6, 5.5, 7), CORTEX)
            self.canvas.tube(clavicle, (6.5, 3.4, 3, 4.5), self.marrow)
            head: Triple = (1.04 * h, 0.12 * b, sign * 1.10 * a)
            shaft: Triple = (1.04 * h + 60, 0.02 * b, sign * 1.34 * a)
            for shell, hu in ((0.0, CORTEX), (2.2, self.marrow - 40)):
                self.canvas.ellipsoid(head, (24 - shell, 23 - shell, 23 - shell), hu)
                self.canvas.tube((head, shaft), (16 - shell, 12 - 1.6 * shell), hu)
