"""Pulmonary arteries, veins and airways: space-filling trees that taper below a voxel.

A tree belongs to the anatomy: its branching is drawn in lung fractions, and a visit only says
where in this breath's lung each fraction lies. So both visits show the same tree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctrs.trial.body.anatomy import AIR, BLOOD, SIDES, Grid
from ctrs.trial.body.lung_space import Chest, LungSpace, on_grid
from ctrs.types import Array, Floats

LEVELS = 11  # 2 ** 11 = 2,048 ends of each tree in each lung
AIRWAY_LEVELS = 7
ARTERY_MM, VEIN_MM = 7.0, 6.4  # radius at the hilum; Murray's law leaves 0.55 mm at the ends
BESIDE = np.array([-0.5, 0.85, 0.15])  # an airway lies behind and below its artery; z, y, x
LUMEN_SHARE = 0.75  # of the artery beside it; Matsuoka, AJR 180 (2003) 513: 0.6 to 0.8 by age
WALL_HU = -10.0
RIM_MM = 4.5  # ends stay this far from the pleura; the last vessels of a CT end at 5 to 10 mm
# The artery enters above and in front of the bronchus, the veins below; z, y, x in mm.
ARTERY_AT, VEIN_AT = np.array([7.0, -8.0, 0.0]), np.array([-16.0, -11.0, 0.0])

# How a tree fills its lung; ours, by eye against the public scans.
# How far a branch goes towards the middle of what it feeds: from the first to the sixth level, and
# by how much sisters differ. Short at the hilum, so that long thin branches leave it.
REACH, REACH_SPREAD = (0.18, 0.22, 0.26, 0.32, 0.40, 0.50), 0.28
STRAY = 0.045  # how much it strays, by its length
BEND = 0.65  # how long it keeps its parent's direction, by its length
DIRECTIONS = 6  # in which a cut is tried
RADIAL = 0.6  # how much rather a cut runs outwards than across
THIN_PIXELS = 1.1  # radius below which a vessel is a row of points
EXTENT_MM = np.array([220.0, 160.0, 105.0])  # of a lung, to compare fractions; z, y, x


@dataclass(frozen=True)
class Tubes:
    """Pieces of vessel; ``(n, 3)`` in mm from the first voxel of a grid, z y x.

    Attributes:
        start, end: Where a piece begins and ends.
        leave: The direction in which it begins, as long as the piece; bends it.
        radius: mm, ``(n,)``.
    """

    start: Floats
    end: Floats
    leave: Floats
    radius: Floats


def straight(start: Floats, end: Floats, radius: Floats) -> Tubes:
    """Tubes without a bend."""
    return Tubes(start, end, end - start, radius)


def paint_lung_tree(thorax: Chest, rng: np.random.Generator) -> None:
    """Paint the vessels and airways of both lungs, from the hila on, into ``thorax.hu``.

    Args:
        rng: Seeded by the anatomy: the same at both visits.
    """
    vessels, airways = [], []
    for side in SIDES:
        space, hilum = LungSpace(thorax, side, RIM_MM), on_grid(thorax, thorax.hilum(side))
        arteries = _grow(space, hilum + ARTERY_AT, ARTERY_MM, rng)
        vessels += [*arteries, *_grow(space, hilum + VEIN_AT, VEIN_MM, rng)]
        airways += _beside(arteries[:AIRWAY_LEVELS], hilum)
    _paint_vessels(thorax, _join(vessels))
    _paint_airways(thorax, _join(airways))


# --- Growing ------------------------------------------------------------------------------------


def _grow(space: LungSpace, root: Floats, radius: float, rng: np.random.Generator) -> list[Tubes]:
    """One tree from its root into a lung, level by level: ``LEVELS + 1`` sets of branches.

    Its ends are spread evenly over the lung and cut into halves again and again; a branch feeds
    each half. Radii by Murray's law: r^3 of a branch is the sum of those it feeds (Murray, PNAS
    12 (1926) 207).
    """
    n = 2**LEVELS
    fractions = rng.random((n, 3))
    flow = 0.4 + rng.gamma(2.0, 0.6, n)  # of each end; makes sisters unequal
    stray = rng.standard_normal((2 * n, 3))
    spread = rng.uniform(1 - REACH_SPREAD, 1 + REACH_SPREAD, (2 * n, 1))
    order = _halves((fractions - (0.45, 0.5, space.inner)) * EXTENT_MM, rng)
    ends, flow = space.points(fractions)[order], flow[order] / flow.sum()
    start, before, levels = root[None], np.zeros((1, 3)), []
    for level in range(LEVELS + 1):
        groups = 2**level
        these = slice(groups, 2 * groups)
        way = ends.reshape(groups, -1, 3).mean(1) - start
        if level < LEVELS:  # the last branches go all the way
            way = way * spread[these] * REACH[min(level, len(REACH) - 1)]
        way = way + STRAY * _length(way) * stray[these]
        leave = (1 - BEND) * way + BEND * _length(way) * before if level else way
        share = flow.reshape(groups, -1).sum(1)
        levels.append(Tubes(start, start + way, leave, radius * np.cbrt(share)))
        start = np.repeat(start + way, 2, axis=0)
        before = np.repeat(way / _length(way), 2, axis=0)
    return levels


def _length(way: Floats) -> Floats:
    """Lengths ``(n, 1)`` of vectors ``(n, 3)``, never 0."""
    return np.asarray(np.sqrt((way * way).sum(1, keepdims=True)) + 1e-6)


def _halves(points: Floats, rng: np.random.Generator) -> np.ndarray:
    """An order of points, mm from the hilum, in which every half, quarter, … is one bundle.

    Each cut is tried in a few directions and made across the widest one. Width outwards counts
    less, so that bundles become cones from the hilum to the pleura, as lobes and segments are.
    """
    order = np.arange(len(points))[None]
    while order.shape[1] > 1:
        cloud = points[order]
        centre = cloud.mean(1)
        outwards = centre / _length(centre)
        tried = rng.standard_normal((len(order), DIRECTIONS, 3))
        tried /= np.sqrt((tried * tried).sum(2, keepdims=True))
        along = (cloud[:, :, None] * tried[:, None]).sum(3)
        radial = (outwards[:, None] * tried).sum(2)
        width = np.ptp(along, axis=1) * (1 - RADIAL * np.abs(radial))
        best = width.argmax(1)
        keys = np.take_along_axis(along, best[:, None, None], 2)[..., 0]
        order = np.take_along_axis(order, np.argsort(keys, axis=1, kind="stable"), 1)
        order = order.reshape(-1, order.shape[1] // 2)
    return order.ravel()


def _beside(arteries: list[Tubes], root: Floats) -> list[Tubes]:
    """Airways: lumens that run along the first arteries, almost touching them."""
    airways: list[Tubes] = []
    start = root[None]
    for artery in arteries:
        lumen = LUMEN_SHARE * artery.radius
        along = (artery.end - artery.start) / _length(artery.end - artery.start)
        aside = BESIDE - (BESIDE * along).sum(1, keepdims=True) * along
        apart = (artery.radius + lumen + 1.2)[:, None] * aside / (_length(aside) + 0.1)
        end = artery.end + apart
        leave = artery.leave if airways else end - start
        airways.append(Tubes(start, end, leave, lumen))
        start = np.repeat(airways[-1].end, 2, axis=0)  # sisters begin where their parent ends
    return airways


def _join(parts: list[Tubes]) -> Tubes:
    fields = zip(*((t.start, t.end, t.leave, t.radius) for t in parts), strict=True)
    start, end, leave, radius = (np.concatenate(field) for field in fields)
    return Tubes(start, end, leave, radius)


# --- Painting -----------------------------------------------------------------------------------


def _paint_vessels(thorax: Chest, tubes: Tubes) -> None:
    """Blood wherever the tubes run through lung, or through fat at the hilum."""
    voxels, cover = cover_by_tubes(tubes, thorax.grid)
    hu, lung = thorax.hu.reshape(-1), thorax.lungs.reshape(-1)[voxels]
    old = hu[voxels]
    fat = ~lung & (old > -200) & (old < -20)
    blood = np.float32(max(thorax.blood * 0.95, BLOOD))
    mixed = np.maximum(old + cover * (blood - old), old)
    hu[voxels] = np.where(lung | fat, mixed, old)


def _paint_airways(thorax: Chest, tubes: Tubes) -> None:
    """Walls in the lung, then the air in them, which also runs through the mediastinum."""
    wall = np.minimum(0.28 + 0.13 * tubes.radius, 1.2)  # mm
    hu, lungs = thorax.hu.reshape(-1), thorax.lungs.reshape(-1)
    for radius, inside in ((tubes.radius + wall, WALL_HU), (tubes.radius, AIR + 10)):
        piece = Tubes(tubes.start, tubes.end, tubes.leave, radius)
        voxels, cover = cover_by_tubes(piece, thorax.grid)
        old = hu[voxels]
        free = lungs[voxels] | ((old < 90) & (inside < WALL_HU))
        hu[voxels] = np.where(free, old + cover * (np.float32(inside) - old), old)


def cover_by_tubes(tubes: Tubes, grid: Grid) -> tuple[np.ndarray, Array]:
    """Which voxels tubes touch, and the share of each that they fill.

    A tube is a row of balls, each of the volume of its piece of the tube; a ball gives each
    voxel its share. So a vessel thinner than a voxel or a slice still has its right density.

    Returns:
        Flat indices into the grid, rising, and shares of 0-1, float32.
    """
    spacing = np.array(grid.spacing)
    points, radius, volume = _balls(tubes, spacing)
    reach = radius.max() + spacing
    low = np.clip(np.floor((points.min(0) - reach) / spacing), 0, grid.shape).astype(int)
    high = np.clip(np.ceil((points.max(0) + reach) / spacing) + 1, low, grid.shape).astype(int)
    box = np.zeros(high - low, np.float32)
    points = points - low * spacing
    thin = radius < THIN_PIXELS * spacing[2]
    _splat_points(box, spacing, points[thin] / spacing, volume[thin])
    sizes = np.ceil(radius / spacing[2])
    for size in np.unique(sizes[~thin]):
        some = ~thin & (sizes == size)
        _splat_balls(box, spacing, points[some], radius[some], volume[some])
    z, y, x = np.nonzero(box > 0)
    voxels = np.ravel_multi_index((z + low[0], y + low[1], x + low[2]), grid.shape)
    return voxels, np.minimum(box[z, y, x], 1)


def _balls(tubes: Tubes, spacing: np.ndarray) -> tuple[Floats, Floats, Floats]:
    """Points along all tubes: mm, radius mm, and the volume in mm3 that each stands for."""
    way = tubes.end - tubes.start
    length = _length(way)[:, 0]
    n = np.ceil(length / np.maximum(0.55 * spacing[2], 0.5 * tubes.radius)).astype(int) + 1
    which = np.repeat(np.arange(len(n)), n)
    part = np.arange(len(which)) - np.repeat(n.cumsum() - n, n)
    t = ((part + 0.5) / n[which])[:, None]
    t2, t3 = t * t, t * t * t
    # A cubic that leaves as told and arrives along the straight way.
    points = (
        tubes.start[which] + (2 * t2 - t3) * way[which] + (t - 2 * t2 + t3) * tubes.leave[which]
    )
    radius = tubes.radius[which]
    return points, radius, np.pi * radius * radius * (length / n)[which]


def _splat_points(box: Array, spacing: Floats, index: Floats, volume: Floats) -> None:
    """Share the volume of each point among its eight voxels."""
    low = np.floor(index).astype(np.int64)
    inside = ((low >= 0) & (low < np.array(box.shape) - 1)).all(1)
    low, part = low[inside], index[inside] - low[inside]
    share = volume[inside] / spacing.prod()
    _, rows, columns = box.shape
    flat, cover = (low[:, 0] * rows + low[:, 1]) * columns + low[:, 2], box.reshape(-1)
    for z in (0, 1):
        for y in (0, 1):
            for x in (0, 1):
                weight = share * np.abs(1 - z - part[:, 0]) * np.abs(1 - y - part[:, 1])
                weight *= np.abs(1 - x - part[:, 2])
                np.add.at(cover, flat + (z * rows + y) * columns + x, weight.astype(np.float32))


def _splat_balls(
    box: Array, spacing: Floats, points: Floats, radius: Floats, volume: Floats
) -> None:
    """Give each voxel near a ball the share of it that the ball fills; balls of about one size."""
    nearest = np.rint(points / spacing).astype(np.int64)
    dz, dy, dx = np.ceil(radius.max() / spacing + 0.5).astype(int).tolist()
    inside = ((nearest >= (dz, dy, dx)) & (nearest < np.array(box.shape) - (dz, dy, dx))).all(1)
    nearest, points, radius = nearest[inside], points[inside], radius[inside]
    off = (points - nearest * spacing).astype(np.float32)
    # A ball stands for more or less than its own volume; per mm of height, for one voxel's share.
    weight = volume[inside] / (4 / 3 * np.pi * radius * radius * radius) / spacing[0]
    weight, r2 = weight.astype(np.float32), (radius * radius).astype(np.float32)
    _, rows, columns = box.shape
    flat, cover = (nearest[:, 0] * rows + nearest[:, 1]) * columns + nearest[:, 2], box.reshape(-1)
    for j, i in np.ndindex(2 * dy + 1, 2 * dx + 1):
        y = np.float32((j - dy) * spacing[1]) - off[:, 1]
        x = np.float32((i - dx) * spacing[2]) - off[:, 2]
        square = r2 - y * y - x * x
        hit = np.flatnonzero(square > 0)
        half, middle = np.sqrt(square[hit]), off[hit, 0]  # mm; the ball's column over this pixel
        target = flat[hit] + (j - dy) * columns + i - dx
        for k in range(-dz, dz + 1):
            low, high = np.float32((k - 0.5) * spacing[0]), np.float32((k + 0.5) * spacing[0])
            share = np.minimum(middle + half, high) - np.maximum(middle - half, low)
            share = np.maximum(share, 0) * weight[hit]
            np.add.at(cover, target + k * rows * columns, share)
