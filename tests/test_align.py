"""Alignment against transforms that are known, because the second scan was made with them."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
import SimpleITK as sitk

from ctrs.align import align, check_likeness
from ctrs.config import ChestConfig, PairConfig, PrepareConfig
from ctrs.errors import DifferentPatients
from ctrs.lungs import find_lungs
from ctrs.prepare import prepare
from ctrs.types import ScanPair, SeriesHeader, Volume, Zone
from tests.conftest import chest_hu, chest_volume

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


def test_scans_that_end_elsewhere_in_the_body_are_not_stretched_to_end_together():
    """The same chest, 12 mm higher in a scan of the same length: its edges are none of the body."""
    origin = (-162.0, -140.0, -310.0)
    higher = np.roll(chest_hu(seed=4), (3, 2, -4), axis=(0, 1, 2))
    first, second = (prepared(Volume(hu, (4.0, 4.0, 3.6), origin)) for hu in (chest_hu(), higher))
    found = align(first, second)
    points = places(first)
    error = (points @ found.affine.T - points)[:, :3] - (-14.4, 8.0, 12.0)
    assert np.linalg.norm(error, axis=1).max() < 1.0
    assert found.likeness > 0.9


def test_the_same_pair_is_always_aligned_the_same_way(scan):
    turned = moved(scan, about_the_middle(scan, TURN, (4, 0, 0)))
    np.testing.assert_allclose(align(scan, turned).affine, align(scan, turned).affine, atol=1e-6)


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


def test_two_bodies_without_a_name_are_refused(scan):
    with pytest.raises(DifferentPatients, match=r"two bodies: .* at least 0\.50 is expected"):
        check_likeness(pair_of("", ""), (scan, unlike(scan)), CONFIG, whole=True)


@pytest.mark.parametrize(
    ("likeness", "expected"),
    [(0.499, DifferentPatients), (0.501, Zone.AMBER), (0.619, Zone.AMBER), (0.621, None)],
)
def test_two_people_are_told_by_the_two_limits(scan, monkeypatch, likeness, expected):
    """Of 18 pairs of different people none reached 0.49, and one person never fell below 0.51."""
    found = replace(align(scan, scan), likeness=likeness)
    monkeypatch.setattr("ctrs.align.align", lambda *_: found)
    if expected is DifferentPatients:
        with pytest.raises(DifferentPatients, match=f"correlate by {likeness:.2f}"):
            check_likeness(pair_of("", ""), (scan, scan), CONFIG, whole=True)
        return
    findings = check_likeness(pair_of("", ""), (scan, scan), CONFIG, whole=True)
    assert [finding.zone for finding in findings] == ([expected] if expected else [])


def test_what_is_cut_off_may_make_one_body_look_like_two_and_is_a_remark(scan):
    (finding,) = check_likeness(pair_of("", ""), (scan, unlike(scan)), CONFIG, whole=False)
    assert finding.zone is Zone.AMBER
    assert "two people" in finding.reason


# The lungs reach from 60 to 213 of 276 mm (y) and from 51 to 264 of 320 mm (x); pixels of 4, 3.6.
@pytest.mark.parametrize(
    ("rows", "columns"), [((13, 70), (0, 90)), ((0, 55), (0, 90)), ((0, 70), (12, 90)),
                          ((0, 70), (0, 76))],
)  # fmt: skip
def test_without_the_chest_wall_in_the_picture_two_bodies_are_a_remark(scan, rows, columns):
    pair = pair_of("", "")
    cut = pair.follow_up.hu[:, slice(*rows), slice(*columns)]
    pair = replace(pair, follow_up=replace(pair.follow_up, hu=cut))
    z, y, x = scan.origin
    other = replace(unlike(scan), origin=(z, y - 4 * rows[0], x - 3.6 * columns[0]))
    (finding,) = check_likeness(pair, (scan, other), CONFIG, whole=True)
    assert finding.zone is Zone.AMBER


def test_lungs_that_do_not_fit_are_no_proof_of_two_bodies(scan):
    lungs = scan.lungs.copy()
    lungs[:, :, : lungs.shape[2] // 2] = False
    other = replace(unlike(scan), lungs=lungs)
    (finding,) = check_likeness(pair_of("", ""), (scan, other), CONFIG, whole=True)
    assert finding.zone is Zone.AMBER


@pytest.mark.parametrize(
    ("ids", "words"),
    [(("", ""), "The scans do not say whose they are"), (("A", ""), "Only one of the scans says"),
     (("", "A"), "Only one of the scans says"), (("ANON", "ANON"), "The scans do not say"),
     (("A", "UNKNOWN"), "Only one of the scans says")],
)  # fmt: skip
def test_what_the_ids_say_is_told_as_it_is(scan, ids, words):
    with pytest.raises(DifferentPatients, match=f"^{words}"):
        check_likeness(pair_of(*ids), (scan, unlike(scan)), CONFIG, whole=True)
    (finding,) = check_likeness(pair_of(*ids), (scan, unlike(scan)), CONFIG, whole=False)
    assert finding.reason.startswith(words)


@pytest.mark.parametrize(("likeness", "remarks"), [(0.499, 1), (0.501, 0), (0.619, 0), (-0.3, 1)])
def test_under_one_id_two_bodies_are_a_remark(scan, monkeypatch, likeness, remarks):
    found = replace(align(scan, scan), likeness=likeness)
    monkeypatch.setattr("ctrs.align.align", lambda *_: found)
    findings = check_likeness(pair_of("A", "A"), (scan, scan), CONFIG, whole=True)
    assert [finding.zone for finding in findings] == [Zone.AMBER] * remarks
    assert all(f.reason.startswith("Both scans bear one patient ID, but look") for f in findings)


@pytest.mark.parametrize(
    ("days", "likeness", "remarks"),
    [
        ((None, None), 0.989, 0), ((None, None), 0.991, 1), ((1, None), 0.991, 1),
        ((1, 1), 0.991, 1), ((1, 2), 0.991, 0), ((1, 2), 0.9989, 0), ((1, 2), 0.9991, 1),
    ],
)  # fmt: skip
def test_two_scans_that_show_one_breath_are_a_remark(scan, monkeypatch, days, likeness, remarks):
    found = replace(align(scan, scan), likeness=likeness)
    monkeypatch.setattr("ctrs.align.align", lambda *_: found)
    headers = [SeriesHeader(patient_id="A", acquired_on=day and date(2024, 1, day)) for day in days]
    volumes = (replace(chest_volume(), header=header) for header in headers)
    findings = check_likeness(ScanPair(*volumes, 84), (scan, scan), CONFIG, whole=True)
    assert [finding.zone for finding in findings] == [Zone.AMBER] * remarks
    assert all("look like one" in finding.reason for finding in findings)
