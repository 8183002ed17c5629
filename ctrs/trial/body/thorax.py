"""A simulated thorax: one patient at one visit, every tissue as HU on the grid of a scan."""

from __future__ import annotations

import numpy as np

from ctrs.trial.body.abdomen import Abdomen
from ctrs.trial.body.anatomy import SIDES, Anatomy, Grid, Place, Posture, Side
from ctrs.trial.body.body_wall import Around, BodyWall
from ctrs.trial.body.canvas import Canvas, blend, cover
from ctrs.trial.body.location import hilum_mm, place_mm
from ctrs.trial.body.lung_tree import paint_lung_tree
from ctrs.trial.body.mediastinum import Blood, paint_mediastinum
from ctrs.trial.body.parenchyma import paint_parenchyma
from ctrs.trial.body.shape import Y_FIRST, Y_STEP, ChestShape, chest_shape
from ctrs.trial.body.skeleton import Skeleton
from ctrs.trial.body.tissue_texture import TissueTexture
from ctrs.types import Array, Mask, Triple

FINE = 16  # steps of the mediastinal surface's table per row of the shape's own
RIGHT_UPPER, RIGHT_MIDDLE, RIGHT_LOWER, LEFT_UPPER, LEFT_LOWER = 1, 2, 3, 4, 5


class Thorax:
    """The thorax of one patient at one visit, without tumours.

    Attributes:
        hu: Tissue densities before the scanner's physics, shape of ``grid``, float32.
        lungs, liver: Where they are, shape of ``grid``.
        lobes: 0 outside the lungs, 1-3 right upper, middle and lower, 4-5 left upper and lower.
        z, y, x: Of each voxel in the body, mm; broadcast to the grid.
        height: From the lung base to the apex at full breath, mm.
        muscle: Share of each voxel that is muscle of the chest wall, without the neck's.
        fibrosis: Share of each voxel of lung that is scarred at its rim, 0 to 1.
        blood: HU of arterial blood.
        carina: Where the trachea divides, ``(z, y, x)`` mm.
    """

    def __init__(self, anatomy: Anatomy, posture: Posture, grid: Grid, enhancement: float) -> None:
        """Paint the body; ``enhancement`` is HU added to blood by contrast, 0 for none."""
        self.anatomy, self.posture, self.grid = anatomy, posture, grid
        self.z, self.y, self.x = grid.body(posture)
        self.height = anatomy.lung_height
        self._shape = chest_shape(anatomy, posture.breath)
        self.carina: Triple = self._shape.organs.carina
        blood = Blood.after(enhancement)
        self.blood = blood.aorta
        canvas = Canvas(grid, posture)
        self.hu = canvas.hu
        self._lung = _LungPainter(canvas, self._shape)
        self._paint(canvas, blood, enhancement)
        self.lungs, self.lobes = self._lung.lungs, self._lung.lobes
        self.fibrosis = paint_parenchyma(self, np.random.default_rng([anatomy.seed, 1]))
        paint_lung_tree(self, np.random.default_rng([anatomy.seed, 2]))

    def _paint(self, canvas: Canvas, blood: Blood, enhancement: float) -> None:
        shape = self._shape
        around = Around(canvas, shape)
        texture = TissueTexture(canvas, shape.anatomy, enhancement)
        wall, bones = BodyWall(canvas, shape, around, texture), Skeleton(canvas, shape, around)
        abdomen = Abdomen(canvas, shape, enhancement)
        reach = shape.reach(canvas.y, canvas.x)
        sizes = np.stack((*shape.cage_size(canvas.z), shape.lean(canvas.z)), 1)
        for k, (width, centre, depth, lean) in enumerate(sizes):
            cage = shape.cage_distance(canvas.y, reach, (width, centre, depth))
            cage *= np.float32(lean)
            wall.paint(k, cage)
            abdomen.paint(k, cage)
            bones.paint(k, cage)
            self._lung.measure(k, cage, abdomen.dome)
        abdomen.paint_round_organs()
        self.liver: Mask = abdomen.liver
        self.muscle = wall.muscle
        paint_mediastinum(canvas, shape, blood)
        texture.add_to_organs(shape.a, shape.b)
        bones.paint_limbs()
        self._lung.paint(self.anatomy.lung_hu)

    def locate(self, place: Place) -> np.ndarray:
        """Where a place lies at this visit: ``(z, y, x)`` mm in body coordinates."""
        return place_mm(self.anatomy, self.posture, place)

    def hilum(self, side: Side) -> np.ndarray:
        """Where the main bronchus and vessels enter the lung, ``(z, y, x)`` mm."""
        return hilum_mm(self.anatomy, self.posture, side)


class _LungPainter:
    """Cuts the lungs out of what is painted: inside the cage, above the domes, off the middle."""

    def __init__(self, canvas: Canvas, shape: ChestShape) -> None:
        self.canvas, self.shape = canvas, shape
        self.lungs: Mask = np.zeros(canvas.grid.shape, bool)
        self.lobes = np.zeros(canvas.grid.shape, np.uint8)
        self._floor = shape.floor(canvas.y, canvas.x)
        self._left = canvas.x > 0
        rows = (canvas.y - np.float32(Y_FIRST)) * np.float32(FINE / Y_STEP)
        last = FINE * (len(shape.y_axis) - 1)
        self._row = np.clip(np.rint(rows), 0, last).astype(np.intp)
        self._fine = np.arange(last + 1) * (Y_STEP / FINE) + Y_FIRST
        y, x = canvas.y, canvas.x
        self._oblique = np.where(
            self._left, shape.oblique_fissure("left", y, x), shape.oblique_fissure("right", y, x)
        )
        self._horizontal = shape.horizontal_fissure(y, x)
        self._share: dict[int, tuple[tuple[slice, slice], Array]] = {}

    def measure(self, k: int, cage: Array, dome: Array) -> None:
        """Find the lungs of slice ``k``: their mask, their lobes, and their share of each voxel."""
        z = float(self.canvas.z[k])
        inside = cage < self.canvas.edge
        rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        if not rows.size or not 0 <= z < self.shape.height:
            return
        box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        outside = np.maximum(dome[box], self._floor[box])
        outside -= np.float32(z)
        outside *= np.float32(0.8)
        np.maximum(outside, cage[box], out=outside)
        np.maximum(outside, self._towards_middle(z, box), out=outside)
        share = cover(outside, self.canvas.edge)
        if not share.any():
            return
        self._share[k] = box, share
        lungs = outside < 0
        self.lungs[k][box] = lungs
        self.lobes[k][box] = self._lobes(z, box) * lungs

    def _towards_middle(self, z: float, box: tuple[slice, slice]) -> Array:
        """Distance of pixels into the mediastinum, along x."""
        x, row = self.canvas.x[box], self._row[box]
        right, left = (
            np.interp(self._fine, self.shape.y_axis, self.shape.medial_row(side, z)).astype(
                np.float32
            )
            for side in SIDES
        )
        return np.asarray(np.minimum(x - np.take(right, row), np.take(left, row) - x))

    def _lobes(self, z: float, box: tuple[slice, slice]) -> np.ndarray:
        lower = self._oblique[box] > z
        left = self._left[box]
        upper_right = np.where(self._horizontal[box] > z, RIGHT_MIDDLE, RIGHT_UPPER)
        found = np.where(left, LEFT_UPPER, upper_right)
        return np.asarray(np.where(lower, np.where(left, LEFT_LOWER, RIGHT_LOWER), found), np.uint8)

    def paint(self, hu: float) -> None:
        """Fill the lungs with plain tissue, their edges in proportion."""
        for k, (box, share) in self._share.items():
            blend(self.canvas.hu[k][box], share, hu)
        self._share.clear()
