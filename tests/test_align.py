"""Alignment against transforms that are known, because the second scan was made with them."""

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from ctrs.align import align, check_likeness
from ctrs.config import ChestConfig, PairConfig, PrepareConfig
from ctrs.lungs import find_lungs
from ctrs.prepare import prepare
from ctrs.types import ScanPair, SeriesHeader, Volume, Zone
from tests.conftest import chest_volume

CONFIG = PairConfig()


def prepared(volume):
    return prepare(volume, PrepareConfig(), ChestConfig())[0]


@pytest.fixture(scope="module")
def scan():
    return prepared(chest_volume())


def moved(scan, matrix):
    """The scan as another would show it: its place p lies at ``matrix @ p``, (x, y, z) in mm."""
    image = sitk.GetImageFromArray(scan.image)
    image.SetSpacing(scan.spacing[::-1])
    image.SetOrigin(scan.origin[::-1])
    back = sitk.AffineTransform(3)
    inverse = np.linalg.inv(matrix)
    back.SetMatrix(inverse[:3, :3].ravel().tolist())
    back.SetTranslation(inverse[:3, 3].tolist())
    image = sitk.GetArrayFromImage(sitk.Resample(image, image, back, sitk.sitkLinear, 0.0))
    lungs = find_lungs(image * 1400 - 1000, scan.spacing, ChestConfig())
    return replace(scan, image=image, lungs=lungs)


def places(scan):
    """Some voxels of the lungs in mm, ``(n, 4)``: x, y, z, 1."""
    found = np.argwhere(scan.lungs)[::97]
    mm = np.array(scan.origin) + found * np.array(scan.spacing)
    return np.column_stack([mm[:, ::-1], np.ones(len(mm))])


def about_the_middle(scan, linear, shift):
    middle = places(scan)[:, :3].mean(axis=0)
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = middle + np.array(shift) - linear @ middle
    return matrix


TURN = np.array([[np.cos(0.07), -np.sin(0.07), 0], [np.sin(0.07), np.cos(0.07), 0], [0, 0, 1.0]])
CASES = {
    "nothing": (np.eye(3), (0, 0, 0)),
    "shifted": (np.eye(3), (6, -9, 12)),
    "breathed deeper": (np.diag([1.03, 1.05, 1.12]), (0, -3, -8)),
    "turned by 4 degrees": (TURN, (4, 0, 0)),
}


@pytest.mark.parametrize("case", CASES)
def test_a_known_motion_is_found_to_less_than_a_voxel(scan, case):
    truth = about_the_middle(scan, *CASES[case])
    found = align(scan, moved(scan, truth))
    points = places(scan)
    error = np.linalg.norm((points @ found.affine.T - points @ truth.T)[:, :3], axis=1)
    assert np.median(error) < 2.0  # two thirds of a voxel; the last digits are the processor's
    assert error.max() < 6.0
    assert found.quality > 0.95
    assert found.likeness > 0.85
    assert found.sure


def test_alignment_is_from_the_baseline_to_the_follow_up(scan):
    shifted = moved(scan, about_the_middle(scan, np.eye(3), (0, 0, 15)))
    assert align(scan, shifted).affine[2, 3] == pytest.approx(15, abs=2)
    assert align(shifted, scan).affine[2, 3] == pytest.approx(-15, abs=2)


def test_origins_of_the_two_boxes_count(scan):
    z, y, x = scan.origin
    elsewhere = replace(scan, origin=(z + 30, y - 12, x))
    found = align(scan, elsewhere)
    np.testing.assert_allclose(found.affine[:3, 3], (0, -12, 30), atol=0.5)
    np.testing.assert_allclose(found.affine[:3, :3], np.eye(3), atol=0.01)


def test_without_lungs_there_is_no_quality(scan):
    empty = replace(scan, lungs=np.zeros_like(scan.lungs))
    found = align(scan, empty)
    assert (found.quality, found.sure) == (0.0, False)


def test_another_chest_fits_worse_and_is_not_relied_on(scan):
    hu = chest_volume().hu.copy()
    hu[:, 20:50, 50:] = np.where(hu[:, 20:50, 50:] < -500, 40, hu[:, 20:50, 50:])  # a lung less
    other = prepared(Volume(hu, (4.0, 4.0, 3.6)))
    found = align(scan, other)
    assert found.quality < 0.9
    assert not found.sure
    assert "is needed to rely on it" in found.how


# --- Whether it is one person -------------------------------------------------------------------


def pair_of(first_id, second_id):
    headers = (SeriesHeader(patient_id=name) for name in (first_id, second_id))
    volumes = (replace(chest_volume(), header=header) for header in headers)
    return ScanPair(*volumes, 84)


def unlike(scan):
    """Another body around lungs in the same place."""
    noise = np.random.default_rng(5).random(scan.image.shape, np.float32)
    return replace(scan, image=np.where(scan.lungs, scan.image, noise).astype(np.float32))


def test_two_bodies_without_a_name_are_a_remark(scan):
    (finding,) = check_likeness(pair_of("", ""), (scan, unlike(scan)), CONFIG)
    assert finding.zone is Zone.AMBER
    assert "two people" in finding.reason


def test_one_body_without_a_name_is_none(scan):
    assert check_likeness(pair_of("", ""), (scan, scan), CONFIG) == []


def test_with_names_the_bodies_are_not_compared(scan):
    assert check_likeness(pair_of("A", "A"), (scan, unlike(scan)), CONFIG) == []
    assert len(check_likeness(pair_of("A", ""), (scan, unlike(scan)), CONFIG)) == 1
