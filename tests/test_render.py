"""Simulated scans: the same voxels every time, one build through both visits, real DICOM."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pydicom
import pytest

from ctrs.config import ChestConfig, IntakeConfig, PairConfig, PrepareConfig
from ctrs.errors import MissingSlices
from ctrs.ingest import read_scan
from ctrs.lungs import check_chest
from ctrs.pair import pair_scans
from ctrs.prepare import prepare
from ctrs.trial.body.anatomy import BonePlace, LiverPlace, LungPlace, Posture
from ctrs.trial.body.thorax import Thorax
from ctrs.trial.dicom import write_series
from ctrs.trial.disease.lesions import paint_lesion
from ctrs.trial.disease.pleura import paint_effusion
from ctrs.trial.population.patients import simulate_patients
from ctrs.trial.render import FIRST_DAY, render_visit
from ctrs.trial.scanner import Protocol
from ctrs.types import STRUCTURES
from tests.other_machine import on_another_machine

COARSE = Protocol(
    spacing=(5.0, 3.1, 2.9), kernel="B30f", manufacturer="Simulated", sharpness=1.0, noise_hu=12.0,
    enhancement=100.0, field_mm=380.0,
)  # fmt: skip
STILL = Posture(breath=1.0, shift=(0.0, 0.0, 0.0), turn=0.0)


@pytest.fixture(scope="module")
def patient():
    (found,) = simulate_patients(1, 66)
    return found


@pytest.fixture(scope="module")
def scans(patient):
    return [render_visit(patient, visit, protocol=COARSE) for visit in (0, 1)]


# --- Rendering --------------------------------------------------------------------------------


def test_same_arguments_give_the_same_voxels(patient, scans):
    again = render_visit(patient, 1, protocol=COARSE)
    assert again.volume.sha256 == scans[1].volume.sha256
    np.testing.assert_array_equal(again.tumour, scans[1].tumour)


def test_another_processor_renders_the_same_bytes():
    # Tissue, tumours, fluid and blocked lung, kernel and noise: these three have them all.
    code = """
from hashlib import sha256
from ctrs.trial.population.patients import simulate_patients
from ctrs.trial.render import render_visit
for patient in simulate_patients(40, 8)[::13]:
    scan = render_visit(patient, 1, 3.0)
    for array in (scan.volume.hu, scan.tumour, scan.effusion):
        print(sha256(array.tobytes()).hexdigest(), array.any())
"""
    there = on_another_machine(code)
    assert there == on_another_machine(code, like_this_one=True)
    assert len(there.splitlines()) == 12


def test_part_of_the_body_is_what_lies_between_two_heights(patient):
    whole, part = (render_visit(patient, 1, 3.0, heights=h) for h in (None, (-30.0, 60.0)))
    step, first = part.volume.spacing[0], part.volume.origin[2]
    assert -30 <= first < -30 + step
    assert 60 - step < first + (len(part.tumour) - 1) * step <= 60
    start = round((first - whole.volume.origin[2]) / step)
    poured = ("effusion", "atelectasis")
    for name, share in part.structures.items():
        if name in poured:
            continue
        same = whole.structures[name][start : start + len(share)]
        assert np.abs(share - same).mean() < 1e-3 + 0.1 * same.mean(), name


def test_visits_differ(scans):
    assert scans[0].volume.sha256 != scans[1].volume.sha256


def test_both_visits_are_the_same_chest(scans):
    chests = [prepare(s.volume, PrepareConfig(), ChestConfig())[1] for s in scans]
    assert [check_chest(chest, ChestConfig()) for chest in chests] == [(), ()]
    # The patient may breathe differently and have more fluid, but has the same ribs.
    assert chests[1].lung_ml == pytest.approx(chests[0].lung_ml, rel=0.25)
    assert chests[1].height_mm == pytest.approx(chests[0].height_mm, rel=0.15)


def test_values_are_whole_hounsfield_units(scans):
    hu = scans[0].volume.hu
    assert hu.dtype == np.float32
    np.testing.assert_array_equal(hu, np.rint(hu))
    assert hu.min() >= -1024
    assert hu.max() > 300  # bone


def test_tumour_and_fluid_are_apart_and_dense(scans):
    for scan in scans:
        assert (scan.tumour + scan.effusion).max() <= 1 + 1e-6
        assert (scan.tumour == 1).any()
        assert np.median(scan.volume.hu[scan.tumour == 1]) > -100


def test_interval_and_patient_stand_in_the_headers(patient, scans):
    before, after = (scan.volume.header for scan in scans)
    assert (after.acquired_on - before.acquired_on).days == patient.interval_days
    assert before.acquired_on == FIRST_DAY + timedelta(days=patient.seed % 600)
    assert before.patient_id == after.patient_id == patient.patient.patient
    pair = pair_scans(scans[0].volume, scans[1].volume, PairConfig())
    assert pair.interval_days == patient.interval_days


# --- The truth --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ill(patient):
    """A patient with one of everything: in one lung a tumour with a core that swells with haze, in
    the other one that grows through the wall."""
    lung = replace(patient.lesions[0], kind="primary", place=LungPlace("right", 0.7, 0.1, 0.2),
                   diameter_mm=(30.0, 40.0), texture="necrotic", halo=0.35,
                   collapse=(0.0, 0.0))  # fmt: skip
    plain = replace(lung, kind="metastasis", place=LungPlace("left", 0.5, 0.95, 0.3), halo=0.0,
                    diameter_mm=(16.0, 90.0), texture="solid", seed=4)  # fmt: skip
    liver = replace(plain, kind="liver", place=LiverPlace(0.1, 0.2, 0.0), diameter_mm=(0.0, 28.0))
    bone = replace(plain, kind="bone", place=BonePlace(0.5, 0.0, 0.0), diameter_mm=(19.0, 24.0))
    disease = replace(patient.disease, lesions=(lung, plain, liver, bone),
                      effusion_ml=(0.0, 350.0), effusion_side="left")  # fmt: skip
    anatomy = replace(patient.anatomy, fibrosis=18.0)
    return replace(patient, disease=disease, anatomy=anatomy)


@pytest.fixture(scope="module")
def truth(ill):
    return [render_visit(ill, visit, protocol=COARSE) for visit in (0, 1)]


def ml(share):
    return share.sum(dtype=float) * np.prod(COARSE.spacing) / 1000


def test_every_structure_is_mapped_on_the_grid_of_the_scan(truth):
    for scan in truth:
        assert set(scan.structures) == set(STRUCTURES)
        for name, share in scan.structures.items():
            assert share.shape == scan.volume.hu.shape, name
            assert 0 <= share.min() <= share.max() <= 1 + 1e-6, name


def test_parts_of_tumour_are_their_own_lesions_and_never_exceed_it(ill, truth):
    lung, plain, liver, bone = ill.lesions
    parts = {"cored_tumour": [lung], "liver_tumour": [liver], "bone_tumour": [bone],
             "tumour": [lung, plain, liver, bone]}  # fmt: skip
    for visit, scan in enumerate(truth):
        for name, lesions in parts.items():
            wanted = sum(lesion.volume_ml(visit) for lesion in lesions)
            assert ml(scan.structures[name]) == pytest.approx(wanted, rel=0.006), name
            assert (scan.structures[name] <= scan.tumour + 1e-6).all(), name
    assert not truth[0].structures["liver_tumour"].any()  # it is new


def test_maps_lie_in_their_organs(ill, truth):
    scan = truth[1]
    body = np.random.default_rng([ill.seed, 1])
    thorax = Thorax(
        ill.anatomy, Posture.draw(body), COARSE.grid(ill.anatomy.lung_height), COARSE.enhancement
    )
    maps = scan.structures
    within = {"liver_tumour": thorax.liver, "halo": thorax.lungs, "fibrosis": thorax.lungs}
    for name, organ in within.items():
        assert maps[name][organ].sum() > 0.97 * maps[name].sum() > 0, name
    assert maps["muscle"][thorax.lungs | thorax.liver].sum() < 0.02 * maps["muscle"].sum()
    spine = np.array(np.nonzero(maps["bone_tumour"] > 0.5)).mean(1)
    there = thorax.grid.index(thorax.locate(ill.lesions[3].place)[None], thorax.posture)[0]
    np.testing.assert_allclose(spine, there, atol=2)


def test_halo_is_haze_around_the_swollen_tumour_and_nowhere_else(ill, truth, scans):
    halo = truth[1].structures["halo"]
    assert not truth[0].structures["halo"].any()
    assert halo.max() > 0.9
    at = np.argwhere(halo > 0.2) * COARSE.spacing
    centre = np.argwhere(truth[1].structures["cored_tumour"] > 0.5).mean(0) * COARSE.spacing
    # Up to 0.35 radii and a little (elongation, spikes) outside a tumour of 40 mm.
    assert np.linalg.norm(at - centre, axis=1).max() < 45
    core = (halo > 0.9) & (truth[1].tumour < 0.05)
    assert -800 < np.median(truth[1].volume.hu[core]) < -500
    assert not any(scan.structures["halo"].any() for scan in scans)  # nothing swells there


def test_no_voxel_belongs_to_two_tissues(truth):
    for scan in truth:
        maps = scan.structures
        for name in ("effusion", "halo", "fibrosis", "atelectasis", "muscle"):
            assert (maps[name] + scan.tumour).max() <= 1 + 1e-5, name
        assert (maps["fibrosis"] + maps["effusion"] + maps["atelectasis"]).max() <= 1 + 1e-5


def test_scars_are_seen_where_there_are_some(ill, truth, scans, patient):
    assert patient.anatomy.fibrosis == 0
    assert not any(scan.structures["fibrosis"].any() for scan in scans)
    share = truth[0].structures["fibrosis"]
    assert ml(share) > 20
    scarred = [np.median(scan.volume.hu[share > 0.5]) for scan in (truth[0], scans[0])]
    assert scarred[0] > scarred[1] + 50  # the same chest in the same breath


def test_truth_that_is_noted_changes_no_voxel(ill):
    """The halo's map is filled on the way: the same scan is painted without it."""
    grid = COARSE.grid(ill.anatomy.lung_height)
    painted = []
    for halo in (None, np.zeros(grid.shape, np.float32)):
        thorax = Thorax(ill.anatomy, STILL, grid, 100.0)
        share = paint_lesion(thorax, ill.lesions[0], 1, 100.0, None, halo)
        painted.append((thorax.hu, share))
    for first, second in zip(*painted, strict=True):
        np.testing.assert_array_equal(first, second)


# --- Lesions and fluid ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def thorax(patient):
    return Thorax(patient.anatomy, STILL, COARSE.grid(patient.anatomy.lung_height), 100.0)


def test_lesion_of_the_patient_is_in_the_lung_it_belongs_to(thorax, patient):
    primary = patient.lesions[0]
    share = paint_lesion(thorax, primary, 0, 100.0)
    volume = share.sum() * np.prod(COARSE.spacing) / 1000
    assert volume == pytest.approx(primary.volume_ml(0), rel=0.005)
    x = np.average(np.broadcast_to(thorax.x, share.shape), weights=share)
    assert (x < 0) == (primary.place.side == "right")


def test_fluid_has_its_volume_at_the_back_of_its_side(patient):
    thorax = Thorax(patient.anatomy, STILL, COARSE.grid(patient.anatomy.lung_height), 0.0)
    fluid, _ = paint_effusion(thorax, "left", 300.0)
    assert fluid.sum() * np.prod(COARSE.spacing) / 1000 == pytest.approx(300, rel=0.01)
    y, x = (np.broadcast_to(a, fluid.shape) for a in (thorax.y, thorax.x))
    assert (x[fluid > 0.5] > 0).all()
    assert np.average(y, weights=fluid) > y[thorax.lungs].mean() + 20
    np.testing.assert_allclose(thorax.hu[fluid == 1], 11, atol=1e-3)
    assert not any(share.any() for share in paint_effusion(thorax, "left", 0.0))


def test_lung_beside_much_fluid_has_no_air(patient):
    thorax = Thorax(patient.anatomy, STILL, COARSE.grid(patient.anatomy.lung_height), 0.0)
    before = thorax.hu.copy()
    fluid, airless = paint_effusion(thorax, "left", 900.0)
    # A rim of (900 - 200) * 0.02 = 14 mm fades out over half of that.
    assert 40 < ml(airless) < 500
    assert (fluid + airless).max() <= 1 + 1e-6
    lung = before < -500
    assert np.median(thorax.hu[lung & (airless > 0.99)]) == pytest.approx(38, abs=2)
    untouched = (airless == 0) & (fluid == 0)
    np.testing.assert_array_equal(thorax.hu[untouched], before[untouched])
    small = Thorax(patient.anatomy, STILL, COARSE.grid(patient.anatomy.lung_height), 0.0)
    assert not paint_effusion(small, "left", 150.0).atelectasis.any()


def test_lung_behind_a_blocked_bronchus_is_mapped_and_is_no_tumour(ill):
    lung = replace(ill.lesions[0], place=LungPlace("right", 0.5, -0.6, 0.1), collapse=(0.9, 0.3))
    disease = replace(ill.disease, lesions=(lung,), effusion_ml=(0.0, 0.0))
    blocked = replace(ill, disease=disease)
    scans = [render_visit(blocked, visit, protocol=COARSE) for visit in (0, 1)]
    airless = [scan.structures["atelectasis"] for scan in scans]
    assert ml(airless[0]) > 2 * ml(airless[1]) > 10  # it opens again
    for scan, share in zip(scans, airless, strict=True):
        assert (share + scan.tumour).max() <= 1 + 1e-5
        assert -20 < np.median(scan.volume.hu[share > 0.9]) < 110  # as dense as tumour


# --- DICOM ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folders(scans, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dicom")
    for name, scan in zip(("before", "after"), scans, strict=True):
        write_series(scan.volume, folder / name)
    return folder


def test_series_is_read_back_to_the_same_voxels(scans, folders):
    for name, scan in zip(("before", "after"), scans, strict=True):
        inventory, volume = read_scan(folders / name, IntakeConfig())
        np.testing.assert_array_equal(volume.hu, scan.volume.hu)
        assert volume.spacing == pytest.approx(scan.volume.spacing)
        assert volume.origin == pytest.approx(scan.volume.origin, abs=1e-3)
        assert volume.sha256 == scan.volume.sha256
        assert volume.repairs == ()
        assert inventory.n_files == len(scan.volume.hu)
        header, wanted = volume.header, scan.volume.header
        assert header.acquired_on == wanted.acquired_on
        assert header.kernel == "B30f"
        assert header.patient_id == wanted.patient_id


def test_two_visits_are_two_series_of_two_studies(folders):
    read = [pydicom.dcmread(folders / name / "0001.dcm") for name in ("before", "after")]
    for keyword in ("SeriesInstanceUID", "StudyInstanceUID", "SOPInstanceUID"):
        assert read[0][keyword].value != read[1][keyword].value


def test_files_say_that_they_are_simulated(folders):
    ds = pydicom.dcmread(folders / "before" / "0003.dcm")
    assert ds.ImageType[0] == "DERIVED"
    assert "shows no patient" in ds.DerivationDescription
    assert ds.InstanceNumber == 3


def test_same_volume_gives_the_same_bytes(scans, folders, tmp_path):
    write_series(scans[0].volume, tmp_path)
    for file in folders.joinpath("before").iterdir():
        assert (tmp_path / file.name).read_bytes() == file.read_bytes()


def test_lost_slices_are_missing_and_noticed(scans, tmp_path):
    write_series(scans[0].volume, tmp_path, leave_out=(20, 21))
    assert len(list(tmp_path.iterdir())) == len(scans[0].volume.hu) - 2
    with pytest.raises(MissingSlices):
        read_scan(tmp_path, IntakeConfig())
