"""Signed maps land where their voxels are in the scan, on one scale for both scans."""

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from ctrs.assess import Workshop, prepare_pair
from ctrs.config import Config
from ctrs.disk_cache import DiskCache
from ctrs.ingest.image_file import write_nifti
from ctrs.saliency import explain
from ctrs.types import ScanPair, Volume
from tests.phantoms import chest
from tests.scoring_fixtures import FixedModel

BEFORE, AFTER = (60, 30, 25), (40, 50, 90)  # voxels on the model's grid, (z, y, x)


class Pointer:
    """Points at one block of voxels a scan: down at baseline, up and half as much later."""

    version = "fixed-1"

    def __init__(self):
        self.asked = []

    def attribute(self, baseline, follow_up, interval_days):
        self.asked.append(interval_days)
        maps = np.zeros((2, *baseline.image.shape), np.float32)
        for values, (z, y, x), sign in zip(maps, (BEFORE, AFTER), (-0.02, 0.01), strict=True):
            values[z - 8 : z + 9, y - 8 : y + 9, x - 8 : x + 9] = sign
        return maps[0], maps[1]


@pytest.fixture(scope="module")
def pair():
    return ScanPair(
        chest((5.0, 3.2, 3.0), noise_seed=1), chest((4.0, 2.6, 3.1), nodule_mm=40.0), None
    )


def workshop(tmp_path=None):
    cache = DiskCache(tmp_path, 2**30) if tmp_path else None
    return Workshop(config=Config(), model_version="fixed-1", model=FixedModel, cache=cache)


@pytest.fixture(scope="module")
def maps(pair):
    return explain(pair, workshop(), Pointer)


def test_map_has_the_grid_of_its_own_scan(pair, maps):
    assert maps[0].values.shape == pair.baseline.hu.shape
    assert maps[1].values.shape == pair.follow_up.hu.shape


@pytest.mark.parametrize("visit", [0, 1])
def test_map_points_at_the_place_in_mm(pair, maps, visit):
    volume = (pair.baseline, pair.follow_up)[visit]
    prepared = prepare_pair(pair, workshop())[visit][0]
    at = np.array(ndimage.center_of_mass(np.abs(maps[visit].values))) * volume.spacing
    place = np.array((BEFORE, AFTER)[visit]) * 3.0 + prepared.origin
    np.testing.assert_allclose(at, place, atol=0.6)


def test_sign_and_common_scale_survive(maps):
    # The scale leaves 0.05 % of 1,098,240 voxels above 1: 549. A block has 17³ = 4,913 of one
    # value: the stronger map has its top at 1, and the other, half as strong, at half of that.
    assert maps[0].values.max() <= 1e-6
    assert maps[1].values.min() >= -1e-6
    assert -maps[0].values.min() == pytest.approx(1.0, abs=0.02)
    assert maps[1].values.max() / -maps[0].values.min() == pytest.approx(0.5, abs=0.02)


def test_map_of_nothing_is_nothing(pair):
    class Silent(Pointer):
        def attribute(self, baseline, follow_up, interval_days):
            return tuple(0 * values for values in super().attribute(baseline, follow_up, 84))

    for saliency in explain(pair, workshop(), Silent):
        assert (saliency.values == 0).all()


def test_second_explanation_comes_from_the_cache_and_is_the_same(pair, maps, tmp_path):
    pointer = Pointer()
    explain(pair, workshop(tmp_path), lambda: pointer)
    again = explain(pair, workshop(tmp_path), lambda: pointer)
    assert pointer.asked == [84]  # once, with the assumed interval
    np.testing.assert_array_equal(again[1].values, maps[1].values)


def test_nifti_has_the_values_and_the_place_of_the_scan(tmp_path):
    values = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4) / 24
    cos, sin = np.cos(0.1), np.sin(0.1)
    volume = Volume(
        np.zeros((2, 3, 4), np.float32),
        (5.0, 0.8, 0.7),
        origin=(-120.0, -95.0, 40.0),
        direction=(cos, -sin, 0.0, sin, cos, 0.0, 0.0, 0.0, 1.0),
    )
    write_nifti(values, volume, tmp_path / "map.nii.gz")
    image = sitk.ReadImage(str(tmp_path / "map.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), values)
    assert image.GetSpacing() == pytest.approx((0.7, 0.8, 5.0))
    assert image.GetOrigin() == pytest.approx((-120.0, -95.0, 40.0))
    assert image.GetDirection() == pytest.approx(volume.direction, abs=1e-6)
