"""Simulated tumours in real anatomy, here a phantom in place of the real scan."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
import SimpleITK as sitk

from ctrs.config import ChestConfig, PrepareConfig
from ctrs.prepare import prepare
from ctrs.trial.body.anatomy import BonePlace, LiverPlace, LungPlace, NodePlace
from ctrs.trial.population.patients import simulate_patients
from ctrs.trial.real.backgrounds import (
    OUTLINE_MM,
    Background,
    RealScan,
    load_backgrounds,
    load_real_scans,
    paint_background,
    render_on_background,
)
from ctrs.trial.real.grain import Grain, measure_grain
from ctrs.trial.real.lungs import RealLungs, height_of, lungs_at
from ctrs.trial.render import FIRST_DAY
from ctrs.trial.scanner import Protocol
from ctrs.types import Volume
from tests.conftest import chest_hu

SPACING = (4.0, 4.0, 3.6)
PROTOCOL = Protocol(
    spacing=(5.0, 3.1, 2.9), kernel="B30f", manufacturer="Simulated", sharpness=1.0, noise_hu=12.0,
    enhancement=100.0, field_mm=380.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def scan():
    hu = chest_hu()
    ignore = np.zeros(hu.shape, bool)
    ignore[27:30, 32:38, 59:66] = True  # the phantom's own tumour
    return RealScan(
        "phantom", hu, lungs_at(hu, SPACING), ignore, SPACING, measure_grain(hu, SPACING)
    )


@pytest.fixture(scope="module")
def patient():
    (found,) = simulate_patients(1, 66)
    lesion = replace(found.lesions[0], place=LungPlace("right", 0.5, 0.1, 0.2), kind="primary",
                     diameter_mm=(24.0, 36.0), texture="solid", collapse=(0.0, 0.0))  # fmt: skip
    node = replace(lesion, kind="node", place=NodePlace("left", 8.0, 2.0, -12.0), spicules=0.0,
                   diameter_mm=(18.0, 12.0), irregularity=0.05)  # fmt: skip
    bone = replace(lesion, kind="bone", place=BonePlace(0.5, 0.0, 0.0))
    disease = replace(found.disease, lesions=(lesion, node, bone), effusion_ml=(0.0, 250.0),
                      effusion_side="left")  # fmt: skip
    return replace(found, disease=disease)


# --- Reading ------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    mask = np.zeros((56, 70, 90), np.float32)
    mask[26:31, 33:38, 60:65] = 1
    for name, values in (("a.nii.gz", chest_hu()), ("a.ignore.nii.gz", mask)):
        image = sitk.GetImageFromArray(values.astype(np.int16))
        image.SetSpacing(SPACING[::-1])
        image.SetOrigin((-162.0, -140.0, -310.0))
        # Stored upside down, as many files are: reading has to turn both the same way.
        sitk.WriteImage(sitk.Flip(image, (False, True, True)), str(tmp_path / name))
    return tmp_path


def test_background_is_read_with_the_outline_of_what_not_to_learn(folder):
    (background,) = load_backgrounds(folder)
    prepared, _ = prepare(Volume(chest_hu(), SPACING), PrepareConfig(), ChestConfig())
    np.testing.assert_allclose((background.hu + 1000) / 1400, prepared.image, atol=1e-3)
    assert (background.lungs != prepared.lungs).mean() < 1e-5  # 3.6 mm is no 32-bit number
    sides = [n * mm for n, mm in zip((5, 5, 5), SPACING, strict=True)]
    ignored_ml = background.ignore.sum() * 0.027
    assert (
        np.prod(sides) / 1000 < ignored_ml < np.prod([s + 2 * OUTLINE_MM + 6 for s in sides]) / 1000
    )


def test_scan_for_patients_keeps_its_coarse_grid_and_its_outline(folder):
    (scan,) = load_real_scans(folder)
    assert scan.spacing == pytest.approx(SPACING)
    np.testing.assert_allclose(scan.hu, chest_hu(), atol=1)
    assert scan.ignore[28, 35, 62]
    assert not scan.ignore[28, 35, 20]
    assert scan.lungs.sum() > 10_000


# --- Grain --------------------------------------------------------------------------------------


def test_grain_of_known_noise_is_found_and_drawn():
    rng = np.random.default_rng(3)
    known = Grain(17.0, (0.0, 0.6, 0.9))
    hu = 40 + known.draw((16, 120, 130), rng)
    found = measure_grain(hu, (5.0, 0.9, 0.8))
    assert found.sd_hu == pytest.approx(17, rel=0.25)
    assert found.blur[0] == 0  # slices of 5 mm share no noise
    assert found.blur[1] == pytest.approx(0.6, abs=0.2)
    assert found.blur[2] == pytest.approx(0.9, abs=0.2)
    assert found.draw(hu.shape, rng).std() == pytest.approx(found.sd_hu, rel=0.02)


def test_scan_without_soft_tissue_has_no_grain():
    assert measure_grain(np.full((8, 30, 30), -900, np.float32), SPACING).sd_hu == 0


# --- Places -------------------------------------------------------------------------------------


def test_places_follow_the_real_lungs(scan):
    lungs = RealLungs.split(scan.lungs, SPACING)
    assert np.nonzero(lungs.right)[2].mean() < 40 < 50 < np.nonzero(lungs.left)[2].mean()
    low, high = (lungs.locate(LungPlace("right", h, 0.0, 0.0), scan.hu) for h in (0.2, 0.8))
    base, apex = height_of(lungs.right, SPACING[0])
    assert (high[0] - low[0]) * SPACING[0] == pytest.approx(0.6 * (apex - base))
    outer, inner = (lungs.locate(LungPlace("left", 0.5, a, 0.0), scan.hu) for a in (0.9, -0.9))
    assert outer[2] > inner[2] + 10  # the left lung reaches outwards to higher x
    outer, inner = (lungs.locate(LungPlace("right", 0.5, a, 0.0), scan.hu) for a in (0.9, -0.9))
    assert outer[2] < inner[2] - 10
    back, front = (lungs.locate(LungPlace("left", 0.5, 0.0, d), scan.hu) for d in (0.7, -0.7))
    assert back[1] > front[1] + 10
    for point in (low, high, outer, inner, back, front):
        assert scan.lungs[tuple(np.rint(point).astype(int))]


def test_node_lies_off_the_hilum_of_its_side(scan):
    lungs = RealLungs.split(scan.lungs, SPACING)
    node = lungs.locate(NodePlace("right", 8.0, -4.0, -10.8), scan.hu)
    # 8 mm up are 2 slices, 4 mm to the front 1 row, 10.8 mm inwards of the right lung +3 columns.
    np.testing.assert_allclose(node - lungs.hilum("right"), (2, -1, 3))


def test_no_lung_and_no_bone_have_no_place(scan):
    none = RealLungs.split(np.zeros_like(scan.lungs), SPACING)
    for place in (LungPlace("left", 0.5, 0, 0), NodePlace("left", 0, 0, 0), LiverPlace(0, 0, 0)):
        assert none.locate(place, scan.hu) is None
    assert RealLungs.split(scan.lungs, SPACING).locate(BonePlace(0.5, 0, 0), scan.hu) is None


def test_liver_is_under_the_right_dome_or_nowhere(scan):
    lungs = RealLungs.split(scan.lungs[12:], SPACING)
    below = np.full((30, 70, 90), 60, np.float32)
    hu = np.concatenate([below, scan.hu[12:]])
    moved = RealLungs(*(np.concatenate([below < 0, m]) for m in (lungs.right, lungs.left)), SPACING)
    point = moved.locate(LiverPlace(0.0, 0.0, 0.0), hu)
    assert point[0] < np.nonzero(moved.right)[0].min() + 4
    assert point[2] < 45
    assert lungs.locate(LiverPlace(0.0, 0.0, 0.0), scan.hu[12:]) is None


# --- Single tumours -----------------------------------------------------------------------------


def background_of(scan):
    return Background(scan.hu, scan.lungs, scan.ignore, SPACING)


def test_tumours_are_painted_into_a_copy(scan):
    background = background_of(scan)
    before = background.hu.copy()
    painted, structures = paint_background(background, np.random.default_rng(6))
    share, halo = structures["tumour"], structures["halo"]
    assert share.any()
    assert share.max() <= 1
    np.testing.assert_array_equal(background.hu, before)
    changed = painted != before
    assert not changed[(share == 0) & (halo == 0)].any()
    assert changed[share > 0.05].mean() > 0.95
    again, _ = paint_background(background, np.random.default_rng(6))
    np.testing.assert_array_equal(painted, again)


def test_painted_tumours_are_as_noisy_as_their_surroundings():
    rng = np.random.default_rng(1)
    noise = Grain(30.0, (0.0, 0.5, 0.5)).draw((40, 60, 60), rng)
    lungs = np.zeros(noise.shape, bool)
    lungs[:, 5:50, 5:50] = True
    background = Background(
        np.where(lungs, -850, 40) + noise, lungs, lungs & False, (3.0, 3.0, 3.0)
    )
    seen = []
    for seed in range(12):
        hu, structures = paint_background(background, np.random.default_rng(seed))
        solid = (structures["tumour"] == 1) & (hu > -100)
        if solid.sum() > 150:
            seen.append(np.diff(hu, axis=2)[solid[..., 1:] & solid[..., :-1]].std())
    wanted = np.diff(noise, axis=2).std()
    assert np.median(seen) == pytest.approx(wanted, rel=0.3)


PAINTED = {"tumour", "effusion", "liver_tumour", "bone_tumour", "cored_tumour", "halo"}


def test_truth_of_painted_tumours_names_what_can_be_known(scan):
    cored = halos = 0
    for seed in range(40):
        hu, maps = paint_background(background_of(scan), np.random.default_rng(seed))
        # Nobody has outlined the real chest's muscle, scars and airless lung.
        assert set(maps) == PAINTED
        assert not any(maps[name].any() for name in ("effusion", "liver_tumour", "bone_tumour"))
        assert (maps["cored_tumour"] <= maps["tumour"]).all()
        assert (maps["tumour"] + maps["halo"]).max() <= 1 + 1e-6
        cored += bool(maps["cored_tumour"].any())
        halos += bool(maps["halo"].any())
        assert not maps["halo"][~scan.lungs].any()
        # Beside the tumour, lung is raised towards -640 HU by as much as is noted.
        haze = (maps["halo"] > 0) & (maps["tumour"] == 0)
        raised = maps["halo"] * (np.maximum(scan.hu, -640) - scan.hu)
        np.testing.assert_allclose((hu - scan.hu)[haze], raised[haze], atol=0.1)
    assert 8 < cored < 36
    assert 3 <= halos < 20


# --- Whole patients -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def visits(patient, scan):
    return [render_on_background(patient, visit, scan, PROTOCOL) for visit in (0, 1)]


def test_patient_has_lung_tumour_node_and_fluid_with_their_volumes(patient, visits):
    for visit, scan in enumerate(visits):
        lung, node, _ = patient.lesions  # no bone in a real scan
        wanted = lung.volume_ml(visit) + node.volume_ml(visit)
        assert scan.tumour.sum(dtype=float) * scan.volume.voxel_ml == pytest.approx(
            wanted, rel=0.005
        )
        assert (scan.tumour + scan.effusion).max() <= 1 + 1e-6
    assert not visits[0].effusion.any()
    fluid = visits[1].effusion
    assert fluid.sum() * visits[1].volume.voxel_ml == pytest.approx(250, rel=0.02)
    assert np.average(np.indices(fluid.shape)[2], weights=fluid) > 45  # the patient's left


def test_truth_of_a_patient_in_a_real_chest(patient, scan):
    lung, node, _ = patient.lesions
    cored = replace(lung, texture="cavitating", halo=0.4)
    disease = replace(patient.disease, lesions=(cored, node))
    ill = replace(patient, disease=disease)
    before, after = (render_on_background(ill, v, scan, PROTOCOL).structures for v in (0, 1))
    assert set(after) == PAINTED
    for maps, visit in ((before, 0), (after, 1)):
        ml = maps["cored_tumour"].sum(dtype=float) * np.prod(SPACING) / 1000
        assert ml == pytest.approx(cored.volume_ml(visit), rel=0.005)  # and not the node
        assert (maps["cored_tumour"] <= maps["tumour"]).all()
    assert not before["halo"].any()
    assert after["halo"].max() > 0.5
    assert (after["halo"] + after["tumour"]).max() <= 1 + 1e-6


def test_painted_voxels_are_tissue(visits):
    for scan in visits:
        inside = scan.volume.hu[scan.tumour == 1]
        assert np.median(inside) == pytest.approx(40 + 0.3 * 100, abs=20)
    assert np.median(visits[1].volume.hu[visits[1].effusion == 1]) == pytest.approx(11, abs=12)


def test_each_visit_has_its_own_breath_and_noise(patient, scan, visits):
    first, second = (visit.volume.hu for visit in visits)
    assert np.abs(first[:, :, :40] - second[:, :, :40]).mean() > 5
    again = render_on_background(patient, 0, scan, PROTOCOL)
    np.testing.assert_array_equal(again.volume.hu, first)
    np.testing.assert_array_equal(again.tumour, visits[0].tumour)


def test_outline_of_the_real_tumour_moves_with_it(scan, visits):
    for visit in visits:
        assert visit.ignore.sum() == pytest.approx(scan.ignore.sum(), rel=0.35)
        assert np.median(visit.volume.hu[visit.ignore]) > -300


def test_header_says_that_only_the_chest_is_real(patient, visits):
    before, after = (visit.volume.header for visit in visits)
    assert before.acquired_on == FIRST_DAY + timedelta(days=patient.seed % 600)
    assert (after.acquired_on - before.acquired_on).days == patient.interval_days
    assert after.description == "Follow-up, simulated tumours in a real chest"
    assert after.slice_thickness_mm == 4.0
