"""The inside of the lung: vessels and airways that branch, and tissue that breathes."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from ctrs.trial.body.anatomy import Grid, Posture
from ctrs.trial.body.lung_space import LungSpace
from ctrs.trial.body.lung_tree import (
    AIRWAY_LEVELS,
    ARTERY_MM,
    LEVELS,
    _beside,
    _grow,
    cover_by_tubes,
    paint_lung_tree,
    straight,
)
from ctrs.trial.body.parenchyma import paint_parenchyma

HEIGHT = 240.0


def chest(spacing=(4.0, 3.0, 3.2), breath=1.0, **build):
    """Two lungs like loaves, the left one narrower, in a body of fat; the base rises on breathing
    out, the apex stays."""
    anatomy = SimpleNamespace(half_depth=90.0, lung_hu=-850.0, emphysema=0.0, fibrosis=0.0)
    vars(anatomy).update(build)
    shape = tuple(int(mm / s) for mm, s in zip((290, 240, 330), spacing, strict=True))
    grid = Grid.around((120.0, 0.0, 0.0), shape, spacing)
    posture = Posture(breath, (0.0, 0.0, 0.0), 0.0)
    z, y, x = grid.body(posture)
    base = (1 - breath) * 85.0
    right = ((x + 80) / 58) ** 2 + (y / 92) ** 2 < 1
    left = ((x - 80) / 50) ** 2 + (y / 92) ** 2 < 1
    lungs = (right | left) & (z > base) & (z < HEIGHT)
    hu = np.full(shape, -90, np.float32)
    hu[lungs] = -850
    lower = z < 110 - 0.6 * y
    lobes = np.where(x < 0, np.where(lower, 3, 1), np.where(lower, 5, 4)) * lungs
    return SimpleNamespace(
        anatomy=anatomy, posture=posture, grid=grid, hu=hu, lungs=lungs, x=x, y=y, z=z,
        height=HEIGHT, lobes=lobes.astype(np.uint8), blood=150.0,
        hilum=lambda side: np.array([115.0, 5.0, -14.0 if side == "right" else 22.0]),
    )  # fmt: skip


def grown(thorax, side="right"):
    space = LungSpace(thorax, side, 5.0)
    x = -14.0 if side == "right" else 22.0
    root = thorax.grid.index(np.array([[115.0, 5.0, x]]), thorax.posture)[0] * thorax.grid.spacing
    return _grow(space, root, ARTERY_MM, np.random.default_rng(7)), root


# --- The tree ---------------------------------------------------------------------------------


def test_branches_follow_murrays_law():
    levels, _ = grown(chest())
    assert [len(level.radius) for level in levels] == [2**k for k in range(LEVELS + 1)]
    assert levels[0].radius[0] == pytest.approx(ARTERY_MM)
    for parent, children in pairwise(levels):
        sums = (children.radius**3).reshape(-1, 2).sum(1)
        np.testing.assert_allclose(parent.radius**3, sums, rtol=1e-9)
    # 7 mm / 2048 ** (1/3) = 0.55 mm
    assert np.median(levels[-1].radius) == pytest.approx(0.55, rel=0.1)


def test_sisters_begin_where_their_parent_ends():
    levels, root = grown(chest())
    np.testing.assert_allclose(levels[0].start[0], root)
    for parent, children in pairwise(levels):
        np.testing.assert_allclose(np.repeat(parent.end, 2, axis=0), children.start)


def test_ends_fill_their_lung_to_the_rim():
    thorax = chest()
    levels, _ = grown(thorax, "left")
    ends = np.rint(levels[-1].end / thorax.grid.spacing).astype(int)
    inside = thorax.lungs[tuple(ends.T)]
    assert inside.mean() > 0.97
    found = ends * thorax.grid.spacing + np.array(thorax.grid.first)
    z, y, x = found.T
    assert x.min() > 0
    # As even as the lung: a quarter of the ends in each quarter of its height.
    shares = np.histogram(z, bins=[0, 60, 120, 180, 240])[0] / len(z)
    np.testing.assert_allclose(shares, 0.25, atol=0.04)
    radius = np.sqrt(((x - 80) / 50) ** 2 + (y / 92) ** 2)
    # Ends are even over the area, too: half of them beyond 0.71 of a lung 5 mm smaller.
    assert np.median(radius) == pytest.approx(0.71 * 45 / 50, abs=0.05)


def test_tree_rises_with_the_diaphragm_and_keeps_its_shape():
    full, out = grown(chest())[0], grown(chest(breath=0.8))[0]
    z_full, z_out = full[-1].end[:, 0], out[-1].end[:, 0]
    # The base is 17 mm higher, the apex where it was: half of that in the middle.
    lifted = z_out - z_full
    low, high = z_full < np.quantile(z_full, 0.1), z_full > np.quantile(z_full, 0.9)
    assert lifted[low].mean() == pytest.approx(16, abs=4)
    assert lifted[high].mean() == pytest.approx(1, abs=3)
    across = (out[-1].end - full[-1].end)[:, 1:]
    assert np.abs(across).max() < 7
    np.testing.assert_array_equal(full[-1].radius, out[-1].radius)


def test_airways_run_beside_their_artery():
    levels, root = grown(chest())
    airways = _beside(levels[:AIRWAY_LEVELS], root)
    np.testing.assert_allclose(airways[0].start[0], root)
    for artery, airway in zip(levels, airways, strict=False):
        apart = np.sqrt(((artery.end - airway.end) ** 2).sum(1))
        assert (apart < artery.radius + airway.radius + 1.2).all()
        assert np.median(apart / (artery.radius + airway.radius)) > 0.8


# --- On the grid --------------------------------------------------------------------------------


@pytest.mark.parametrize("radius", [0.2, 0.7, 1.4, 4.0])
def test_tube_fills_as_much_as_its_volume(radius):
    grid = Grid((24, 40, 60), (2.0, 1.1, 0.9), (0.0, 0.0, 0.0))
    tube = straight(*np.array([[[20.3, 15.2, 11.0]], [[27.1, 24.0, 40.4]]]), np.array([radius]))
    voxels, cover = cover_by_tubes(tube, grid)
    length = np.sqrt(6.8**2 + 8.8**2 + 29.4**2)
    expected = np.pi * radius**2 * length
    assert cover.sum() * np.prod(grid.spacing) == pytest.approx(expected, rel=0.13)
    assert cover.max() <= 1
    assert (np.diff(voxels) > 0).all()


def test_thin_vessel_between_two_slices_is_in_both():
    grid = Grid((6, 20, 30), (5.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    tube = straight(np.array([[12.5, 9.0, 4.0]]), np.array([[12.5, 9.0, 24.0]]), np.array([0.4]))
    voxels, cover = cover_by_tubes(tube, grid)
    image = np.zeros(grid.shape)
    image.flat[voxels] = cover
    assert image[2].sum() == pytest.approx(image[3].sum())
    assert image[[0, 1, 4, 5]].sum() == 0
    # A fifth of pi 0.16 mm2 per voxel of 5 mm2, and half of it in each slice.
    assert image[2, 9, 14] == pytest.approx(np.pi * 0.16 / 5 / 2, rel=0.03)


def test_tube_outside_the_grid_is_not_painted():
    grid = Grid((6, 20, 30), (5.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    tube = straight(np.array([[90.0, 9.0, 4.0]]), np.array([[90.0, 9.0, 24.0]]), np.array([3.0]))
    assert len(cover_by_tubes(tube, grid)[0]) == 0


def test_vessels_are_blood_in_the_lung_and_nothing_else_changes():
    thorax = chest()
    # The hila lie between the lungs: behind them muscle, in front of them fat.
    thorax.hu[(~thorax.lungs) & (thorax.y > 0)] = 55
    before = thorax.hu.copy()
    paint_lung_tree(thorax, np.random.default_rng(4))
    assert thorax.hu[before == 55].max() == 55
    assert thorax.hu[before == -90].max() > 100
    lung = thorax.hu[thorax.lungs]
    assert lung.max() == pytest.approx(0.95 * 150, abs=1)
    assert lung.min() > -1000
    assert 0.015 < (lung > -500).mean() < 0.07  # 0.02 to 0.06 on the public scans
    again = chest()
    again.hu[...] = before
    paint_lung_tree(again, np.random.default_rng(4))
    np.testing.assert_array_equal(thorax.hu, again.hu)


# --- Tissue -------------------------------------------------------------------------------------


def painted(seed=11, **arguments):
    thorax = chest(**arguments)
    paint_parenchyma(thorax, np.random.default_rng(seed))
    return thorax


def test_breathing_out_keeps_the_mass_of_the_lung():
    full, out = painted(), painted(breath=0.8)
    density = [np.median(t.hu[t.lungs]) + 1000 for t in (full, out)]
    # Volume at a breath of 0.8, from 0.3 at 0 to 1 at 1: 0.86.
    assert density[1] / density[0] == pytest.approx(1 / 0.86, rel=0.03)


def test_lung_is_denser_at_the_back():
    thorax = painted()
    y = np.broadcast_to(thorax.y, thorax.hu.shape)
    front, back = (np.median(thorax.hu[thorax.lungs & w]) for w in (y < -55, (y > 55) & (y < 75)))
    # 30 to 60 HU from -90 to 90 mm; here about two thirds of the way, before dependent density.
    assert 18 < back - front < 80


def test_share_of_the_lung_that_emphysema_destroyed_is_as_drawn():
    healthy, ill = painted(), painted(emphysema=0.25)
    for thorax, share in ((healthy, 0.0), (ill, 0.25)):
        assert (thorax.hu[thorax.lungs] < -925).mean() == pytest.approx(share, abs=0.04)
    assert (ill.hu[~ill.lungs] == -90).all()


def test_fibrosis_lies_at_the_bases_under_the_pleura():
    plain, ill = painted(), painted(fibrosis=16.0)
    more = np.abs(ill.hu - plain.hu) > 60
    z, y, x = (np.broadcast_to(a, more.shape) for a in (ill.z, ill.y, ill.x))
    assert z[more].mean() < 0.35 * HEIGHT
    core = ((x + 80) / 58) ** 2 + (y / 92) ** 2 < 0.2
    assert more[core & (z > 25)].mean() < 0.01  # but for a nodule that lies elsewhere
    assert more[ill.lungs & (z < 60)].mean() > 0.15


def test_fissure_is_a_line_between_lobes():
    thorax = painted()
    lobes = thorax.lobes
    border = (lobes[1:] != lobes[:-1]) & (lobes[1:] > 0) & (lobes[:-1] > 0)
    on, off = thorax.hu[1:][border], thorax.hu[1:][~border & (lobes[1:] > 0)]
    # 900 HU times 0.35 mm of 4 mm along z, and of 3 mm along y where it also meets the next lobe.
    assert 50 < np.median(on) - np.median(off) < 220


def test_pattern_does_not_depend_on_the_grid_or_the_breath():
    coarse, fine = painted(spacing=(4.0, 3.0, 3.2), emphysema=0.3), painted(
        spacing=(4.0, 1.0, 1.6), emphysema=0.3)  # fmt: skip
    out = painted(spacing=(4.0, 3.0, 3.2), emphysema=0.3, breath=0.75)
    points = np.random.default_rng(1).uniform((60, -60, -110), (200, 60, -60), (4000, 3))
    # The base is 21.25 mm higher: a place goes with it by its way from the apex.
    moved = points + (21.25 * (HEIGHT - points[:, :1]) / HEIGHT) * (1, 0, 0)

    def at(thorax, where):
        index = np.rint(thorax.grid.index(where, thorax.posture)).astype(int)
        return thorax.hu[tuple(index.T)] < -940

    same = at(coarse, points)
    assert np.mean(same == at(fine, points)) > 0.85
    assert np.mean(same == at(out, moved)) > 0.85
    assert np.mean(same == at(painted(seed=12, emphysema=0.3), points)) < 0.75


def test_findings_that_are_no_tumour_are_small():
    dense = 0
    for seed in range(12):
        thorax = painted(seed=seed)
        assert (thorax.hu[~thorax.lungs] == -90).all()
        dense += (thorax.hu[thorax.lungs] > -300).sum() * np.prod(thorax.grid.spacing) / 1000
    assert 0.05 < dense / 12 < 6  # ml in a chest, fissures and all
