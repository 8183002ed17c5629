"""Scans on disk: the same content under the same name, and nobody's identity."""

import gzip
from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from ctrs.disk_cache import DiskCache
from ctrs.types import SeriesHeader, Volume
from ctrs.volume_cache import VolumeCache

SECRET = SeriesHeader(
    series_uid="SECRET-1",
    study_uid="SECRET-2",
    description="SECRET-3",
    acquired_on=date(1961, 8, 13),
    kernel="B70f",
    contrast="Ultravist",
    body_part="SECRET-4",
    slice_thickness_mm=1.25,
    patient_id="SECRET-5",
    patient_birth_date="19610813",
    patient_sex="F",
)


def make_volume(seed=0):
    hu = np.random.default_rng(seed).uniform(-1024, 3071, (4, 5, 6)).astype(np.float32)
    turned = (0.98, -0.199, 0.0, 0.199, 0.98, 0.0, 0.0, 0.0, 1.0)
    return Volume(
        hu, (2.5, 0.703125, 0.71), (-180.5, -170.25, 12.1), turned, SECRET, ("Sorted again.",)
    )


@pytest.fixture
def cache(tmp_path):
    return VolumeCache(DiskCache(tmp_path, 10**7))


def test_a_volume_comes_back_with_its_grid_in_whole_hu(cache):
    volume = make_volume()
    cache.put(volume)
    found = cache.get(volume.sha256)
    np.testing.assert_array_equal(found.hu, np.rint(volume.hu))
    assert found.hu.dtype == np.float32
    assert (found.spacing, found.origin) == (volume.spacing, volume.origin)
    assert (found.direction, found.repairs) == (volume.direction, volume.repairs)


def test_the_copy_has_the_name_it_is_kept_under(cache):
    volume = make_volume()
    cache.put(volume)
    assert cache.get(volume.sha256).sha256 == volume.sha256


def test_only_how_the_scan_was_made_is_kept_of_its_header(cache, tmp_path):
    volume = make_volume()
    cache.put(volume)
    assert cache.get(volume.sha256).header == SeriesHeader(slice_thickness_mm=1.25)
    (file,) = tmp_path.iterdir()
    assert b"SECRET" not in file.read_bytes()
    assert b"1961" not in file.read_bytes()


def test_an_unknown_slice_thickness_stays_unknown(cache):
    volume = replace(make_volume(), header=SeriesHeader())
    cache.put(volume)
    assert cache.get(volume.sha256).header == SeriesHeader()


def test_two_volumes_do_not_mix_and_one_can_be_forgotten(cache):
    first, second = make_volume(1), make_volume(2)
    cache.put(first)
    cache.put(second)
    cache.delete(first.sha256)
    assert cache.get(first.sha256) is None
    np.testing.assert_array_equal(cache.get(second.sha256).hu, np.rint(second.hu))


def test_its_grid_is_known_without_its_voxels(cache):
    volume = make_volume()
    cache.put(volume)
    grid = cache.grid(volume.sha256)
    assert (grid.shape, grid.spacing) == ((4, 5, 6), volume.spacing)
    assert (grid.origin, grid.direction) == (volume.origin, volume.direction)
    assert cache.grid("0" * 64) is None


def test_a_slab_holds_the_voxels_in_whole_hu(cache):
    volume = make_volume()
    cache.put(volume)
    voxels = np.frombuffer(gzip.decompress(cache.slab(volume.sha256, 0)), "<i2")
    np.testing.assert_array_equal(voxels, np.rint(volume.hu).astype(int).ravel())
    assert cache.slab(volume.sha256, 1) is None
    assert cache.slab("0" * 64, 0) is None


def test_slabs_are_numbered_from_the_lowest_and_as_large_as_the_grid_says(cache):
    hu = np.random.default_rng(4).integers(-1000, 1000, (7, 400, 700)).astype(np.float32)
    volume = Volume(hu, (2.5, 0.7, 0.7))
    cache.put(volume)
    step = cache.grid(volume.sha256).slices_a_slab
    assert step == 4  # 2 MiB hold 3.7 slices of 560,000 bytes
    second = np.frombuffer(gzip.decompress(cache.slab(volume.sha256, 1)), "<i2")
    np.testing.assert_array_equal(second.reshape(3, 400, 700), hu[step:])


def test_a_grid_is_known_of_what_says_nothing_else(cache, tmp_path):
    """The words about a scan are no part of its grid: damaged, they hide no image."""
    volume = make_volume()
    cache.put(volume)
    disk = DiskCache(tmp_path, 10**7)
    arrays = disk.get(volume.sha256)
    del arrays["words"]
    disk.put(volume.sha256, arrays)
    assert cache.grid(volume.sha256).shape == (4, 5, 6)


def test_what_an_older_version_kept_counts_as_absent(cache, tmp_path):
    DiskCache(tmp_path, 10**7).put("a" * 64, {"voxels": np.zeros((2, 2, 2))})
    assert cache.get("a" * 64) is None
    assert cache.grid("a" * 64) is None
