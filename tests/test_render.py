"""Simulated scans: the same voxels every time, one build through both visits, real DICOM."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from ctrs.config import ChestConfig, IntakeConfig, PairConfig, PrepareConfig
from ctrs.errors import MissingSlices
from ctrs.ingest import read_scan
from ctrs.lungs import check_chest
from ctrs.pair import pair_scans
from ctrs.prepare import prepare
from ctrs.trial.anatomy import LungPlace, Posture, Thorax
from ctrs.trial.backgrounds import Background, load_backgrounds, paint_background
from ctrs.trial.dicom import write_series
from ctrs.trial.lesions import paint_effusion, paint_lesion
from ctrs.trial.patients import simulate_patients
from ctrs.trial.render import FIRST_DAY, render_visit
from ctrs.trial.scanner import Protocol, acquire, draw_protocol

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
        assert not (scan.tumour & scan.effusion).any()
        assert scan.tumour.any()
        hu = scan.volume.hu
        assert np.median(hu[scan.tumour]) > -100


def test_interval_and_patient_stand_in_the_headers(patient, scans):
    before, after = (scan.volume.header for scan in scans)
    assert (after.acquired_on - before.acquired_on).days == patient.interval_days
    assert before.acquired_on == FIRST_DAY + timedelta(days=patient.seed % 600)
    assert before.patient_id == after.patient_id == patient.patient.patient
    pair = pair_scans(scans[0].volume, scans[1].volume, PairConfig())
    assert pair.interval_days == patient.interval_days


# --- Anatomy ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def thorax(patient):
    return Thorax(patient.anatomy, STILL, COARSE.grid(patient.anatomy.lung_height), 100.0)


def test_lungs_are_on_both_sides_and_the_heart_is_on_the_left(thorax):
    x = np.broadcast_to(thorax.x, thorax.hu.shape)
    right, left = (thorax.lungs & (x < 0)).sum(), (thorax.lungs & (x > 0)).sum()
    assert 0.70 < left / right < 0.98


def test_spine_is_at_the_back_and_liver_on_the_right(thorax, patient):
    anatomy, grid = patient.anatomy, thorax.grid
    points = np.array([[20.0, 0.72 * anatomy.half_depth, 0.0], [-20.0, 0.0, -60.0]])
    spine, liver = np.rint(grid.index(points, STILL)).astype(int)
    assert thorax.hu[tuple(spine)] > 80
    # Contrast of 100 HU in the blood puts 35 HU into the liver.
    assert thorax.hu[tuple(liver)] == pytest.approx(58 + 35)


def test_place_in_the_lung_goes_up_outwards_and_to_its_side(thorax):
    low = thorax.locate(LungPlace("right", 0.2, 0.0, 0.0))
    high = thorax.locate(LungPlace("right", 0.8, 0.0, 0.0))
    outer = thorax.locate(LungPlace("left", 0.2, 0.8, 0.5))
    assert high[0] > low[0] + 80
    assert low[2] < 0 < outer[2]
    assert outer[2] > -low[2]
    assert outer[1] > low[1] == 0


def test_body_turned_and_shifted_is_found_again(thorax):
    grid, posture = thorax.grid, Posture(1.0, (7.0, -5.0, 11.0), 0.2)
    z, y, x = (np.broadcast_to(a, grid.shape) for a in grid.body(posture))
    voxel = (13, 40, 77)
    point = np.array([[z[voxel], y[voxel], x[voxel]]])
    np.testing.assert_allclose(grid.index(point, posture)[0], voxel, atol=1e-3)


def test_lesion_of_the_patient_is_in_the_lung_it_belongs_to(thorax, patient):
    primary = patient.lesions[0]
    mask = paint_lesion(thorax, primary, 0, 100.0)
    volume = mask.sum() * np.prod(COARSE.spacing) / 1000
    assert volume == pytest.approx(primary.volume_ml(0), rel=0.02)
    x = np.broadcast_to(thorax.x, mask.shape)[mask].mean()
    assert (x < 0) == (primary.place.side == "right")


def test_fluid_has_its_volume_at_the_back_of_its_side(patient):
    thorax = Thorax(patient.anatomy, STILL, COARSE.grid(patient.anatomy.lung_height), 0.0)
    fluid = paint_effusion(thorax, "left", 300.0)
    assert fluid.sum() * np.prod(COARSE.spacing) / 1000 == pytest.approx(300, rel=0.01)
    y, x = (np.broadcast_to(a, fluid.shape) for a in (thorax.y, thorax.x))
    assert (x[fluid] > 0).all()
    assert y[fluid].mean() > y[thorax.lungs].mean() + 20
    assert (thorax.hu[fluid] == 11).all()
    assert not paint_effusion(thorax, "left", 0.0).any()


# --- The scanner ------------------------------------------------------------------------------


def test_noise_is_as_strong_as_the_protocol_says():
    water = np.zeros((8, 90, 100), np.float32)
    hu = acquire(water, replace(COARSE, spacing=(5.0, 0.8, 0.8)), np.random.default_rng(2))
    inside = hu[:, 5:60, 5:-5]
    assert inside.std() == pytest.approx(12, rel=0.1)
    assert inside.mean() == pytest.approx(0, abs=1.5)


def test_sharp_kernel_has_finer_noise():
    water = np.zeros((8, 90, 100), np.float32)
    likeness = []
    for sharpness in (0.4, 1.0):
        protocol = replace(COARSE, spacing=(5.0, 0.8, 0.8), sharpness=sharpness)
        hu = acquire(water, protocol, np.random.default_rng(2))[:, 5:60]
        likeness.append(np.corrcoef(hu[..., :-1].ravel(), hu[..., 1:].ravel())[0, 1])
    assert likeness[0] + 0.2 < likeness[1]


def test_table_is_behind_the_back():
    tissue = np.full((4, 70, 90), -1000, np.float32)
    tissue[:, 20:50, 15:80] = 40
    hu = acquire(tissue, replace(COARSE, noise_hu=0.01), np.random.default_rng(2))
    plank = np.argwhere((hu > -900) & (hu < -300) & (np.indices(hu.shape)[1] > 49))
    assert len(plank)
    # In the middle 4 to 7 mm behind the last row of the body, row 49: at 3.1 mm a row, row 51.
    assert set(plank[plank[:, 2] == 45, 1]) == {51}
    assert set(plank[:, 1]) <= {50, 51}  # curved towards the patient at its sides


def test_drawn_protocols_are_those_of_hospitals():
    rng = np.random.default_rng(1)
    drawn = [draw_protocol(rng, 0.9, 0.6) for _ in range(300)]
    assert {p.spacing[0] for p in drawn} == {2.0, 2.5, 3.0, 5.0, 8.0}
    assert np.mean([p.enhancement > 0 for p in drawn]) == pytest.approx(0.6, abs=0.08)


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


# --- Real backgrounds ---------------------------------------------------------------------------


def test_background_is_read_with_the_outline_of_what_not_to_learn(scans, tmp_path):
    volume = scans[0].volume
    for name, values in (("a.nii.gz", volume.hu), ("a.ignore.nii.gz", scans[0].tumour)):
        image = sitk.GetImageFromArray(values.astype(np.int16))
        image.SetSpacing(volume.spacing[::-1])
        image.SetOrigin(volume.origin)
        # Stored upside down, as many files are: reading has to turn both the same way.
        sitk.WriteImage(sitk.Flip(image, (False, True, True)), str(tmp_path / name))
    (background,) = load_backgrounds(tmp_path)
    prepared, _ = prepare(volume, PrepareConfig(), ChestConfig())
    np.testing.assert_allclose((background.hu + 1000) / 1400, prepared.image, atol=1e-3)
    np.testing.assert_array_equal(background.lungs, prepared.lungs)
    ignored_ml = background.ignore.sum() * 0.027
    true_ml = scans[0].tumour.sum() * volume.voxel_ml
    assert true_ml < ignored_ml < 6 * true_ml + 60  # with a rim of two voxels


def test_tumours_are_painted_into_a_copy():
    lungs = np.zeros((40, 44, 48), bool)
    lungs[8:30, 8:30, 6:20] = True
    hu = np.where(lungs, -850, 30).astype(np.float32)
    background = Background(hu, lungs, np.zeros_like(lungs), (3.0, 3.0, 3.0))
    painted, tumour = paint_background(background, np.random.default_rng(6))
    assert tumour.any()
    assert (background.hu == np.where(lungs, -850, 30)).all()
    assert (painted[tumour & lungs] != -850).mean() > 0.95
    again, _ = paint_background(background, np.random.default_rng(6))
    np.testing.assert_array_equal(painted, again)
