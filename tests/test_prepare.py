"""What lies somewhere in mm lies there on the model's grid too, and comes back to its place."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from ctrs.config import ChestConfig, PrepareConfig
from ctrs.prepare import downsample, onto_model_grid, onto_scan_grid, prepare, window
from ctrs.trial import bank
from ctrs.trial.render import RenderedScan
from ctrs.types import PreparedScan, Volume
from tests import phantoms
from tests.phantoms import chest

CONFIG = PrepareConfig()
CHEST = ChestConfig()
ODD = (1.3, 0.8, 0.7)  # no multiple of 3 mm
SHAPE = (90, 130, 160)  # of the same extent: 117 x 104 x 112 mm


def bump(shape, spacing, place_mm, width_mm=4.0):
    """A smooth bright spot at a place given in mm from the first voxel's centre."""
    axes = np.ix_(*(np.arange(n) * mm for n, mm in zip(shape, spacing, strict=True)))
    distance = sum((axis - place) ** 2 for axis, place in zip(axes, place_mm, strict=True))
    return np.exp(-distance / (2 * width_mm**2)).astype(np.float32)


def centre_mm(values, spacing, first=(0.0, 0.0, 0.0)):
    """Centre of mass in mm from the scan's first voxel."""
    return np.array(ndimage.center_of_mass(values)) * spacing + first


def prepared_at(origin, shape=(30, 20, 26)):
    return PreparedScan(
        np.zeros(shape, np.float32), np.zeros(shape, bool), origin, CONFIG.spacing_mm
    )


# --- Downsampling -----------------------------------------------------------------------------


@pytest.mark.parametrize("spacing", [ODD, (5.0, 0.7, 1.6), (3.0, 3.0, 3.0), (2.0, 2.9, 1.5)])
def test_spot_stays_where_it_is_in_mm(spacing):
    shape = tuple(round(extent / mm) for extent, mm in zip((117, 104, 112), spacing, strict=True))
    place = (40.0, 61.0, 35.5)
    # Wide enough for 5 mm slices to see: the average then lies where the spot does.
    coarse, first = downsample(bump(shape, spacing, place, 8.0), spacing, CONFIG.spacing_mm)
    np.testing.assert_allclose(centre_mm(coarse, CONFIG.spacing_mm, first), place, atol=0.25)


def test_each_axis_shrinks_by_its_own_spacing():
    coarse, first = downsample(np.zeros(SHAPE, np.float32), ODD, CONFIG.spacing_mm)
    # Bins of 2, 3 and 4 voxels: 2.6, 2.4 and 2.8 mm; 45, 43 and 40 of them.
    # 44 * 2.6 / 3 = 38.1; 42 * 2.4 / 3 = 33.6; 39 * 2.8 / 3 = 36.4; and one more of each.
    assert coarse.shape == (39, 35, 37)
    # The first bin's centre: half of 1, 2 and 3 voxels.
    assert first == pytest.approx((0.65, 0.8, 1.05))


def test_coarse_voxels_are_means_not_samples():
    noise = np.random.default_rng(5).normal(-300, 60, (60, 66, 72)).astype(np.float32)
    coarse, _ = downsample(noise, (1.0, 1.0, 1.0), CONFIG.spacing_mm)
    # 27 voxels a mean: 60 / √27 = 11.5 HU are left of the noise.
    assert coarse.mean() == pytest.approx(-300, abs=1)
    assert coarse.std() == pytest.approx(11.5, rel=0.05)
    assert coarse[2, 4, 7] == pytest.approx(noise[6:9, 12:15, 21:24].mean(), abs=0.01)


@pytest.mark.parametrize("mm", [0.7, 0.8, 1.25, 1.6, 2.0, 2.2, 2.5, 5.0])
@pytest.mark.parametrize("slices", range(31, 37))
def test_nothing_is_made_up_at_the_last_slice(mm, slices):
    coarse, _ = downsample(np.full((slices, 12, 17), 55, np.float32), (mm, 1.6, 2.5), (3.0,) * 3)
    np.testing.assert_allclose(coarse, 55, atol=1e-3)


@pytest.mark.parametrize("spacing", [ODD, (5.0, 0.7, 1.6), (2.0, 2.9, 1.5), (1.0, 0.6, 0.9)])
@pytest.mark.parametrize("cut", [(1, 0, 0), (2, 3, 1), (5, 7, 11)])
def test_a_part_of_a_scan_lies_on_the_same_grid_with_the_same_values(spacing, cut):
    rng = np.random.default_rng(3)
    hu = ndimage.gaussian_filter(rng.normal(0, 300, (61, 70, 66)), 1).astype(np.float32)
    whole_at, part_at = (
        (-211.3, -97.7, 12.9),
        np.array((-211.3, -97.7, 12.9)) + cut * np.array(spacing),
    )
    grid = (3.0, 3.0, 3.0)
    whole, start = downsample(hu, spacing, grid, whole_at)
    part, later = downsample(hu[tuple(slice(n, None) for n in cut)], spacing, grid, tuple(part_at))
    offset = (part_at + later - whole_at - np.array(start)) / grid
    steps = np.rint(offset).astype(int)
    np.testing.assert_allclose(offset, steps, atol=1e-6)
    inner = tuple(slice(2, n - 2) for n in part.shape)  # at the ends bins may miss voxels
    same = tuple(slice(2 + s, n - 2 + s) for s, n in zip(steps, part.shape, strict=True))
    np.testing.assert_allclose(part[inner], whole[same], atol=1e-3)


def test_window_maps_its_ends_to_zero_and_one():
    hu = np.array([-1024, -1000, -300, 400, 3000], np.float32)
    np.testing.assert_allclose(window(hu, (-1000, 400)), [0, 0, 0.5, 1, 1])


# --- Prepared scans -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def volume():
    return chest((2.5, 1.7, 1.9), noise_seed=4)


@pytest.fixture(scope="module")
def prepared(volume):
    return prepare(volume, CONFIG, CHEST)[0]


def test_shape_range_and_type(prepared):
    assert prepared.image.shape == prepared.lungs.shape == CONFIG.shape
    assert prepared.image.dtype == np.float32
    assert prepared.lungs.dtype == bool
    assert 0 <= prepared.image.min() < 0.01
    assert 0.7 < prepared.image.max() <= 1  # tissue at 40 HU: 1040 / 1400 = 0.743


def test_lungs_lie_in_the_middle_of_the_box(prepared):
    found = np.argwhere(prepared.lungs)
    # Whole voxels: the middle of the lungs' extent is that of the box, to half a voxel.
    np.testing.assert_allclose(
        (found.min(0) + found.max(0) + 1) / 2, np.array(CONFIG.shape) / 2, atol=0.51
    )


def test_origin_says_where_the_box_lies_in_the_scan(prepared):
    found = np.argwhere(prepared.lungs).mean(0) * prepared.spacing + prepared.origin
    first = [low for low, _ in phantoms.FIELD]
    # Centre of mass of both lungs, by volume, in the phantom's own mm.
    parts = (phantoms.RIGHT, phantoms.LEFT)
    expected = np.average([p.centre for p in parts], axis=0, weights=[p.ml for p in parts])
    np.testing.assert_allclose(found + first, expected, atol=1.5)


def test_slices_beyond_the_lungs_do_not_move_what_is_seen():
    tall = chest((2.5, 1.7, 1.9), heights=(-170.0, 150.0), noise_seed=4)  # lungs from -120 on
    tall = replace(tall, origin=(-87.3, -41.9, 310.4))
    low = replace(tall, hu=tall.hu[3:], origin=(-87.3, -41.9, 310.4 + 3 * 2.5))
    one, other = (prepare(scan, CONFIG, CHEST)[0] for scan in (tall, low))
    assert other.origin[0] == pytest.approx(one.origin[0] - 3 * 2.5)
    seen = int(np.ceil((10 - one.origin[0]) / 3))  # rows above the slices that were cut off
    np.testing.assert_array_equal(one.image[seen:], other.image[seen:])
    np.testing.assert_array_equal(one.lungs, other.lungs)


def test_a_mask_lies_where_the_scan_does_wherever_that_begins(volume):
    elsewhere = replace(volume, origin=(-87.3, -41.9, 311.6))
    prepared = prepare(elsewhere, CONFIG, CHEST)[0]
    place = np.array((150.0, 130.0, 140.0))
    mask = bump(volume.hu.shape, volume.spacing, place, 8.0)
    found = onto_model_grid(mask, volume.spacing, prepared)
    centre = centre_mm(found, CONFIG.spacing_mm, prepared.origin)
    np.testing.assert_allclose(centre, place, atol=0.25)


def test_left_is_right_of_right(prepared):
    # x grows to the patient's left: the larger lung is the right one, at small x.
    half = CONFIG.shape[2] // 2
    assert prepared.lungs[:, :, :half].sum() > 1.2 * prepared.lungs[:, :, half:].sum()


def test_same_scan_is_prepared_to_the_same_bits(volume, prepared):
    again, chest_again = prepare(replace(volume), CONFIG, CHEST)
    assert again.image.tobytes() == prepared.image.tobytes()
    assert again.lungs.tobytes() == prepared.lungs.tobytes()
    assert again.origin == prepared.origin
    assert chest_again == prepare(volume, CONFIG, CHEST)[1]


def test_box_beyond_the_scan_holds_air_and_no_lung():
    small = chest((3.0, 3.0, 3.0), heights=(-60.0, 60.0))  # 40 slices; the box has 104
    prepared, _ = prepare(small, CONFIG, CHEST)
    # (0 + 39 + 1 - 104) / 2 = -32: the scan's 40 slices are slices 32 to 71 of the box.
    assert prepared.origin[0] == pytest.approx(-32 * 3.0)
    assert (prepared.image[:32] == 0).all()
    assert (prepared.image[72:] == 0).all()
    assert not prepared.lungs[:32].any()
    coarse = window(small.hu, CONFIG.window_hu)
    y, x = (round(mm / 3) for mm in prepared.origin[1:])
    # What the box shows is the scan itself, which is on 3 mm already; 88 rows from y on.
    rows = coarse[:, max(y, 0) : y + 88, max(x, 0) : x + 120]
    np.testing.assert_array_equal(prepared.image[32:72, max(-y, 0) :][:, : rows.shape[1]][
        :, :, max(-x, 0) :][:, :, : rows.shape[2]], rows)  # fmt: skip


def test_scan_without_lungs_has_the_box_in_its_middle():
    block = Volume(np.full((40, 50, 61), 35, np.float32), (3.0, 3.0, 3.0))
    prepared, found = prepare(block, CONFIG, CHEST)
    assert found.lung_ml == 0
    # (0 + 40 + 1 - 104) / 2 = -31.5, (51 - 88) / 2 = -18.5, (62 - 120) / 2 = -29; to even.
    assert prepared.origin == (-32 * 3.0, -18 * 3.0, -29 * 3.0)


def test_training_prepares_as_the_app_does(volume, prepared):
    nothing = np.zeros(volume.hu.shape, np.float32)
    arrays = bank._visit_arrays(RenderedScan(volume, {"tumour": nothing}), bank.Config())
    np.testing.assert_array_equal(arrays["lungs"].astype(bool), prepared.lungs)
    # The bank keeps 8 bits: half a step is 1 / 510.
    np.testing.assert_allclose(arrays["image"] / 255, prepared.image, atol=1 / 509)


# --- There and back -------------------------------------------------------------------------------


def test_mask_lands_on_the_model_grid_where_its_tissue_is(volume, prepared):
    z, y, x = phantoms._millimetres(volume.spacing, phantoms.FIELD[0])
    mask = phantoms._inside(phantoms.NODULE, z, y, x).astype(np.float32)
    share = onto_model_grid(mask, volume.spacing, prepared)
    assert share.shape == CONFIG.shape
    # 4/3 π 12³ mm³ = 7.24 ml
    assert share.sum() * prepared.voxel_ml == pytest.approx(7.24, rel=0.03)
    at = centre_mm(share, prepared.spacing, prepared.origin)
    first = [low for low, _ in phantoms.FIELD]
    np.testing.assert_allclose(at + first, phantoms.NODULE.centre, atol=0.6)
    # Tissue at 40 HU is 0.743 of the window, lung 0.107.
    assert prepared.image[share > 0.99].min() > 0.6


def test_mask_that_fills_the_scan_is_a_share_everywhere():
    mask = np.ones(SHAPE, np.float32)
    share = onto_model_grid(mask, ODD, prepared_at((-3.35, -5.2, -7.95), (50, 44, 48)))
    assert set(np.unique(share)) <= {0.0, 1.0}
    # The first whole bins begin after 1, 2 and 3 voxels: their centres are 1.95, 2.4 and 3.15 mm
    # from the first voxel, and the nearest places of the grid 2.65, 3.8 and 4.05 mm.
    assert share[2, 3, 4] == 1
    assert share[:2].max() == share[:, :3].max() == share[:, :, :4].max() == 0
    # To the last bins at 113.75, 100.8 and 109.55 mm.
    assert share.sum() == 38 * 33 * 36


def test_spot_goes_to_the_model_and_comes_back_to_its_place():
    place = (40.3, 61.7, 35.2)
    scan = Volume(np.zeros(SHAPE, np.float32), ODD)
    _, first = downsample(scan.hu, ODD, CONFIG.spacing_mm)
    origin = tuple(f + n * 3.0 for f, n in zip(first, (4, 9, 3), strict=True))
    box = prepared_at(origin)
    there = onto_model_grid(bump(SHAPE, ODD, place), ODD, box)
    np.testing.assert_allclose(centre_mm(there, box.spacing, origin), place, atol=0.3)
    back = onto_scan_grid(there, box, scan)
    assert back.shape == SHAPE
    np.testing.assert_allclose(centre_mm(back, ODD), place, atol=0.3)


def test_map_is_zero_outside_the_box_and_linear_inside():
    box = prepared_at((13.0, 26.0, 39.0), (4, 5, 6))
    values = np.broadcast_to(np.arange(6, dtype=np.float32), (4, 5, 6)).copy()
    scan = Volume(np.zeros((40, 60, 80), np.float32), (1.0, 1.0, 1.0))
    back = onto_scan_grid(values, box, scan)
    # 3 mm a voxel from x = 39 on: at 45 mm the third value, 2; at 46 mm a third further.
    np.testing.assert_allclose(back[14, 27, [39, 45, 46, 54]], [0, 2, 7 / 3, 5], atol=1e-5)
    assert back[11, 27, 45] == back[14, 24, 45] == back[14, 27, 57] == 0
