"""Lung tissue: density by breath and gravity, emphysema, fibrosis, fissures, benign findings.

Every pattern is drawn in coordinates of the body whose z goes with the lung from apex to
base, and from the anatomy's own generator: both visits show the same pattern, as far as
breathing leaves it where it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ctrs.trial.body.anatomy import AIR, SIDES
from ctrs.trial.body.lung_space import Chest, LungSpace
from ctrs.trial.body.lung_tree import Tubes, cover_by_tubes, straight
from ctrs.types import Array, Floats, Mask

PATTERN_MM = 1.6  # in-plane resolution of density patterns; the finest are 2.5 mm
USUAL_HEIGHT_MM = 245.0  # patterns are as large as in a lung of this height
RESIDUAL_SHARE = 0.3  # of total lung capacity left after breathing out; 0.25-0.35 in adults
RIM_WINDOW_MM = 32.0  # depth under the pleura is known up to half of this

# HU from front to back, supine: 30 to 60 in healthy lungs (Millar & Denison, Thorax 44 (1989) 485).
GRADIENT_HU = (30.0, 60.0)
DEPENDENT_HU = (0.0, 140.0)  # more, in the last centimetre at the back
LOBULE_HU, MOSAIC_HU = 24.0, 7.0  # sd of density over 2 mm and over 2 cm, ours
VESSELS_HU = 22.0  # what the painted vessels add to the mean density, which ``lung_hu`` is
EMPTY_HU = -985.0  # where emphysema has destroyed the lung; the threshold of readers is -950
FISSURE_MM = 0.35


def paint_parenchyma(thorax: Chest, rng: np.random.Generator) -> Array:
    """Paint the tissue of both lungs into ``thorax.hu``, where ``thorax.lungs`` is.

    Nothing here is tumour.

    Args:
        rng: Seeded by the anatomy: the same at both visits.

    Returns:
        How far each voxel is scarred, 0 to 1, in the shape of ``thorax.hu``.
    """
    box = _box_of(thorax.lungs)
    density, scarred = _density(_look(thorax, box), rng)
    lungs, hu, lobes = thorax.lungs[box], thorax.hu[box], thorax.lobes[box]
    for image, where, fine in zip(hu, lungs, _refine(density, lungs.shape), strict=True):
        np.copyto(image, fine, where=where)
    _paint_fissures(hu, lobes, thorax.grid.spacing)
    _paint_benign(thorax, rng)
    fibrosis = np.zeros(thorax.hu.shape, np.float32)
    if scarred is not None:
        for image, where, fine in zip(
            fibrosis[box], lungs, _refine(scarred, lungs.shape), strict=True
        ):
            np.copyto(image, fine, where=where)
    return fibrosis


# --- Where a piece of lung lies -----------------------------------------------------------------


@dataclass(frozen=True)
class _Look:
    """Some voxels of the lungs, ``(n,)``, and where they lie on a coarse grid.

    Attributes:
        where: Lungs on the coarse grid.
        z, y, x: mm, z as in lungs of the usual height.
        depth: mm under the surface, up to half of ``RIM_WINDOW_MM``.
    """

    thorax: Chest
    where: Mask
    z: Array
    y: Array
    x: Array
    depth: Array

    @property
    def up(self) -> Array:
        """0 at the base, 1 at the apex."""
        return self.z * np.float32(1 / USUAL_HEIGHT_MM)


Box = tuple[slice, slice, slice]


def _box_of(mask: Mask) -> Box:
    flat = np.asarray(mask.any(axis=0))
    found = (mask.any(axis=(1, 2)), flat.any(axis=1), flat.any(axis=0))
    ends = [np.flatnonzero(some)[[0, -1]] for some in found]
    z, y, x = (slice(int(a), int(b) + 1) for a, b in ends)
    return z, y, x


def _look(thorax: Chest, box: Box) -> _Look:
    """The lungs at a resolution at which their patterns can be drawn."""
    steps = [1] + [max(1, int(PATTERN_MM / mm)) for mm in thorax.grid.spacing[1:]]
    sub = tuple(slice(None, None, n) for n in steps)
    where = thorax.lungs[box][sub]
    spacing = [mm * n for mm, n in zip(thorax.grid.spacing, steps, strict=True)]
    size = [max(3, round(RIM_WINDOW_MM / mm)) for mm in spacing]
    filled = ndimage.uniform_filter(where.astype(np.float32), size)
    z, y, x = (
        np.broadcast_to(axis, thorax.lungs.shape)[box][sub][where]
        for axis in (thorax.z, thorax.y, thorax.x)
    )
    # The apex stays and the base moves: z by the way from the apex to the middle of the lungs.
    down = (np.float32(thorax.height) - z) / np.float32(
        2 * (thorax.height - float(z.mean(dtype=float)))
    )
    depth = (filled[where] - np.float32(0.5)) * np.float32(RIM_WINDOW_MM)
    # Where lung and its surroundings fill half of the window each, the surface is flat and near.
    return _Look(thorax, where, USUAL_HEIGHT_MM * (1 - down), y, x, np.maximum(depth, 0))


def _refine(coarse: Array, shape: tuple[int, ...]) -> Iterator[Array]:
    """Slices of a pattern on the full grid, on straight lines between the coarse voxels."""
    rows, columns = (_between(n, c) for n, c in zip(shape[1:], coarse.shape[1:], strict=True))
    for image in coarse:
        low, high, part = rows
        tall = image[low] + (image[high] - image[low]) * part[:, None]
        low, high, part = columns
        first = tall[:, low]
        yield first + (tall[:, high] - first) * part


def _between(n: int, coarse: int) -> tuple[np.ndarray, np.ndarray, Array]:
    step = -(-n // coarse)
    at = np.arange(n)
    low = at // step
    part = (at % step) / step
    return low, np.minimum(low + 1, coarse - 1), part.astype(np.float32)


class _Pattern:
    """Random fields with mean 0 and unit variance that do not depend on the grid."""

    CELLS = 56  # a pattern repeats after so many of its cells

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        tile = rng.standard_normal((self.CELLS,) * 3, dtype=np.float32)
        tile = ndimage.gaussian_filter(tile, 0.8, mode="wrap")
        self._tile = tile / np.float32(tile.std() * 0.8)  # straight lines between cells flatten

    def __call__(self, look: _Look, cell_mm: float) -> Array:
        """A field at the voxels, ``(n,)``, whose hills are about two cells wide."""
        start = self._rng.uniform(0, self.CELLS, 3)
        at = np.empty((3, len(look.z)), np.float32)
        for row, axis, first in zip(at, (look.z, look.y, look.x), start, strict=True):
            np.multiply(axis, np.float32(1 / cell_mm), out=row)
            row += np.float32(first)
        return np.asarray(
            ndimage.map_coordinates(self._tile, at, order=1, mode="grid-wrap"), np.float32
        )


# --- Density ------------------------------------------------------------------------------------


def _density(look: _Look, rng: np.random.Generator) -> tuple[Array, Array | None]:
    """HU of the lungs on the coarse grid, and how far they are scarred, if they are.

    The order of draws is the same at every visit.
    """
    anatomy, pattern = look.thorax.anatomy, _Pattern(rng)
    lung = _healthy(look, pattern, rng)
    if anatomy.emphysema > 0.005:
        hole = _emphysema(look, pattern, rng)
        lung += hole * (np.float32(EMPTY_HU) - lung)
    scarred = None
    if anatomy.fibrosis > 0:
        scarred = np.zeros(look.where.shape, np.float32)
        scarred[look.where] = _add_fibrosis(lung, look, pattern)
    hu = np.full(look.where.shape, anatomy.lung_hu, np.float32)
    hu[look.where] = np.clip(lung, -1000, 60)
    # Beyond the surface as on it: what is between coarse voxels must not turn into lung of nobody.
    return hu, scarred


def _healthy(look: _Look, pattern: _Pattern, rng: np.random.Generator) -> Array:
    """Density by breath, height over the table and lobule.

    Breathing out keeps the mass of the tissue: density goes with 1 / volume, which is taken to
    fall in a straight line from total capacity at breath 1 to the residual volume at 0.
    """
    thorax = look.thorax
    volume = RESIDUAL_SHARE + (1 - RESIDUAL_SHARE) * thorax.posture.breath
    full = AIR + (thorax.anatomy.lung_hu - VESSELS_HU - AIR) / volume
    gradient, more = rng.uniform(*GRADIENT_HU), rng.uniform(*DEPENDENT_HU)
    back = look.y * np.float32(0.5 / thorax.anatomy.half_depth)  # -0.5 in front, 0.5 at the back
    lung = np.float32(full) + np.float32(gradient / volume) * back
    low = np.clip((12 - look.depth) / 10, 0, 1) * np.clip((back - 0.22) / 0.2, 0, 1)
    lung += np.float32(more * (2.2 - 1.2 * thorax.posture.breath)) * low
    lung += np.float32(LOBULE_HU) * pattern(look, 1.8)
    lung += np.float32(MOSAIC_HU) * pattern(look, 11.0)
    return np.asarray(lung, np.float32)


def _emphysema(look: _Look, pattern: _Pattern, rng: np.random.Generator) -> Array:
    """How much of each voxel is destroyed, 0 to 1; ``anatomy.emphysema`` on the average.

    Three looks in shares that differ between patients: centrilobular holes above, paraseptal
    ones in a row under the pleura, and panlobular loss at the bases.
    """
    looks = rng.dirichlet((3.0, 1.5, 0.7))
    up, near = look.up, np.clip((7 - look.depth) / 4, 0, 1)
    weights = np.log(looks + 0.05)  # of three scalars
    holes = pattern(look, 4.6) + np.float32(1.9) * (up - np.float32(0.5)) + weights[0]
    septal = pattern(look, 4.5) * np.float32(0.6) + 2.4 * near + 0.9 * up - 1.9 + weights[1]
    whole = pattern(look, 16.0) + np.float32(2.2) * (np.float32(0.45) - up) + weights[2] - 0.4
    score = np.maximum(np.maximum(holes, septal), whole).astype(np.float32)
    few = score[:: max(1, len(score) // 40_000)]
    limit = np.quantile(few, 1 - look.thorax.anatomy.emphysema)
    # Steep: a hole is a hole, and half of one is not below the readers' threshold.
    steep = (score - np.float32(limit)) * np.float32(6.0) + np.float32(0.6)
    return np.asarray(np.clip(steep, 0, 1))


def _add_fibrosis(lung: Array, look: _Look, pattern: _Pattern) -> Array:
    """Reticulation and honeycombs under the pleura, most at the bases and at the back.

    Returns:
        How far each voxel is scarred, 0 to 1.
    """
    reach = np.clip((np.float32(look.thorax.anatomy.fibrosis) - look.depth) / 4, 0, 1)
    back = look.y * np.float32(0.35 / look.thorax.anatomy.half_depth)
    part = np.clip(1.15 - 2.0 * look.up + back + 0.25 * pattern(look, 9.0), 0, 1) * reach
    lines = np.clip(1 - np.abs(pattern(look, 2.6)) * np.float32(2.5), 0, 1)
    cells = pattern(look, 2.9)
    honey = np.clip(part * 2.4 - 1.3, 0, 1) * np.clip((np.float32(7) - look.depth) / 4, 0, 1)
    lung += part * (np.float32(70) + np.float32(430) * lines)
    wall = np.clip((np.float32(0.55) - cells) * np.float32(2.5), 0, 1)
    comb = np.float32(-930) + np.float32(640) * wall
    lung += honey * (comb - lung)
    return np.asarray(part, np.float32)


def _paint_fissures(hu: Array, lobes: np.ndarray, spacing: tuple[float, float, float]) -> None:
    """A thin line where one lobe meets another of the same lung.

    A voxel at the border holds the share of it that a fissure of ``FISSURE_MM`` fills; across
    thick slices it blurs into a band, as it does on a real scan.
    """
    for axis, mm in enumerate(spacing):
        last, first = [slice(None)] * 3, [slice(None)] * 3
        last[axis], first[axis] = slice(1, None), slice(None, -1)
        here, before = lobes[tuple(last)], lobes[tuple(first)]
        border = (here != before) & (here > 0) & (before > 0)
        border &= (here <= 3) == (before <= 3)  # 1-3 right, 4 and 5 left
        dense = np.float32(min(900 * FISSURE_MM / mm, 300.0))
        view = hu[tuple(last)]
        np.copyto(view, np.minimum(view + dense, -300), where=border & (view < -600))


# --- Benign findings ----------------------------------------------------------------------------


def _paint_benign(thorax: Chest, rng: np.random.Generator) -> None:
    """Granulomas, lymph nodes in the lung, scars, apical caps and bands of collapsed lung.

    How often each is there is ours: about one small nodule in every chest of this age.
    """
    spaces = [LungSpace(thorax, side, 3.0) for side in SIDES]
    for _ in range(rng.poisson(0.7)):
        ball = _ball(_somewhere(spaces, rng), rng.uniform(3, 6.5), rng)
        _fill(thorax, ball, float(rng.uniform(250, 800)))
    for _ in range(rng.poisson(0.9)):  # nodes lie below the carina, near the pleura
        _fill(
            thorax, _ball(_somewhere(spaces, rng, up=0.4, edge=True), rng.uniform(3, 4.9), rng), 30
        )
    for _ in range(rng.poisson(0.8)):
        _fill(thorax, _scar(_somewhere(spaces, rng, edge=True), rng), -150)
    for space in spaces:
        if rng.random() < 0.3:
            _fill(thorax, _cap(space, rng), -20)
    for _ in range(rng.poisson(0.6)):
        _fill(thorax, _band(_somewhere(spaces, rng, up=0.12), rng), -120)


def _fill(thorax: Chest, tubes: Tubes, hu: float) -> None:
    voxels, cover = cover_by_tubes(tubes, thorax.grid)
    flat = thorax.hu.reshape(-1)
    old = flat[voxels]
    mixed = np.maximum(old, old + cover * (np.float32(hu) - old))
    flat[voxels] = np.where(thorax.lungs.reshape(-1)[voxels], mixed, old)


def _somewhere(
    spaces: list[LungSpace], rng: np.random.Generator, up: float = 1.0, edge: bool = False
) -> Floats:
    """A point in one of the lungs, at most so far up, and near the chest wall if asked."""
    space = spaces[int(rng.integers(2))]
    z, y, x = rng.random(3)
    if edge:
        x = 0.07 * x if space.inner else 1 - 0.07 * x
    return np.asarray(space.points(np.array([[up * z, y, x]]))[0])


def _ball(centre: Floats, diameter: float, rng: np.random.Generator) -> Tubes:
    """Nearly a sphere: a short, thick piece of tube."""
    axis = _direction(rng)
    half = 0.3 * diameter * axis[None]
    return straight(centre - half, centre + half, np.array([0.47 * diameter]))


def _scar(centre: Floats, rng: np.random.Generator) -> Tubes:
    """A few lines that leave one place in about one plane."""
    n = int(rng.integers(2, 5))
    way = np.stack([_direction(rng) for _ in range(n)]) * rng.uniform(6, 16, (n, 1))
    way[:, 0] *= 0.5
    return straight(np.repeat(centre[None], n, 0), centre + way, rng.uniform(0.6, 1.3, n))


def _cap(space: LungSpace, rng: np.random.Generator) -> Tubes:
    """Knobbly thickening over the apex."""
    n = 22
    fractions = np.stack([rng.uniform(0.985, 1.0, n), rng.random(n), rng.random(n)], 1)
    at = space.points(fractions) + np.array([2.0, 0.0, 0.0])
    way = rng.normal(0, 3, (n, 3))
    return straight(at - way, at + way, rng.uniform(1.5, 3.0, n))


def _band(centre: Floats, rng: np.random.Generator) -> Tubes:
    """A thin plate of collapsed lung, lying almost flat: lines side by side."""
    lines = np.arange(-12, 13)[:, None] * 1.1
    length = rng.uniform(14, 28)
    half = length * np.sqrt(1 - (lines / 15) ** 2)
    turn = rng.uniform(-0.8, 0.8)
    along = np.array([rng.normal(0, 0.12), turn, 1.0])[None]
    across = np.array([rng.normal(0, 0.2), 1.0, -turn])[None]
    middle = centre + lines * across
    return straight(middle - half * along, middle + half * along, np.full(len(lines), 0.75))


def _direction(rng: np.random.Generator) -> Floats:
    way = rng.standard_normal(3)
    return np.asarray(way / np.sqrt((way * way).sum()))
