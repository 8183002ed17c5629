"""A hospital's own scans become a trial's: every pair, whatever it was stored as, or why not."""

import shutil
from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from ctrs.config import ChestConfig, PrepareConfig
from ctrs.errors import InputRejected
from ctrs.prepare import prepare
from ctrs.trial.prepared import load_prepared
from ctrs.trial.real import own_cohort
from ctrs.trial.real.own_cohort import prepare_cohort
from tests.phantoms import abdomen, chest, write_chest

SPACING = (5.0, 3.2, 3.0)
BEFORE, AFTER = chest(SPACING, noise_seed=1), chest(SPACING, nodule_mm=40.0, noise_seed=2)


def write_image(volume, file):
    file.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(volume.hu.astype(np.int16))
    image.SetSpacing(volume.spacing[::-1])
    sitk.WriteImage(image, str(file))


def enrol(folder, *patients):
    pd.DataFrame({"patient": patients}).to_csv(folder / "patients.csv", index=False)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """One patient in DICOM, one in NIfTI, prepared once; the second one's scans are turned."""
    folder = tmp_path_factory.mktemp("cohort")
    scans = folder / "scans"
    for visit, volume, day in (
        ("baseline", BEFORE, date(2024, 1, 8)), ("follow_up", AFTER, date(2024, 4, 1)),
    ):  # fmt: skip
        write_chest(volume, scans / "ANNA" / visit, day, name=f"ANNA/{visit}")
    write_image(AFTER, scans / "BERT" / "baseline.nii.gz")
    write_image(BEFORE, scans / "BERT" / "follow_up.nii.gz")
    enrol(folder, "ANNA", "BERT")
    assert prepare_cohort(folder, print) == 2
    return folder


@pytest.fixture
def own(cohort, tmp_path):
    """A copy to spoil, of which nothing is prepared."""
    folder = shutil.copytree(cohort, tmp_path / "cohort")
    shutil.rmtree(folder / "prepared")
    return folder


@pytest.fixture
def quick(monkeypatch):
    """Preparing takes no time; the files that were asked for."""
    asked = []

    def arrays(path):
        asked.append(path)
        return {"image": np.zeros((2, 3, 4), np.uint8), "lungs": np.ones((2, 3, 4), np.uint8)}

    monkeypatch.setattr(own_cohort, "_visit_arrays", arrays)
    return asked


def refusal(folder):
    with pytest.raises(InputRejected) as error:
        prepare_cohort(folder, print)
    return error.value


# --- Prepared -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("patient", "order", "origin"),  # where the files say that their scans begin
    [("ANNA", (0, 1), (-120.0, -95.0, -40.0)), ("BERT", (1, 0), (0.0, 0.0, 0.0))],
)
def test_scans_of_any_kind_are_prepared_as_the_app_does(cohort, patient, order, origin):
    arrays = load_prepared(cohort, patient)
    assert set(arrays) == {"image", "lungs"}  # nothing is outlined
    for visit, which in enumerate(order):
        scan = replace((BEFORE, AFTER)[which], origin=origin)
        prepared, _ = prepare(scan, PrepareConfig(), ChestConfig())
        # 8 bits: half a step is 1 / 510; files hold whole HU: one of them is 1 / 1400.
        np.testing.assert_allclose(arrays["image"][visit] / 255, prepared.image, atol=2.7e-3)
        assert (arrays["lungs"][visit].astype(bool) != prepared.lungs).mean() < 2e-5


def test_simulated_trial_has_nothing_to_prepare(tmp_path):
    assert prepare_cohort(tmp_path, print) == 0
    assert list(tmp_path.iterdir()) == []


def test_what_is_prepared_is_not_prepared_again(own, quick):
    shutil.rmtree(own / "scans" / "BERT")
    assert "line 3" in refusal(own).what
    assert (own / "prepared" / "ANNA.npz").exists()
    shutil.copytree(own / "scans" / "ANNA", own / "scans" / "BERT")
    quick.clear()
    assert prepare_cohort(own, print) == 1
    assert [path.parent.name for path in quick] == ["BERT", "BERT"]
    assert [path.name for path in quick] == ["baseline", "follow_up"]
    assert prepare_cohort(own, print) == 0


def test_power_cut_leaves_nothing_that_looks_prepared(own, monkeypatch, quick):
    def cut(stream, array, **more):
        stream.write(b"half")
        raise InterruptedError

    with monkeypatch.context() as patch:
        patch.setattr(np.lib.format, "write_array", cut)
        with pytest.raises(InterruptedError):
            prepare_cohort(own, print)
    assert prepare_cohort(own, print) == 2


def test_progress_is_told_now_and_then(tmp_path, quick):
    names = [f"P{n:02d}" for n in range(21)]
    for name in names:
        for visit in ("baseline", "follow_up"):
            (tmp_path / "scans" / name / visit).mkdir(parents=True)
    enrol(tmp_path, *names)
    said = []
    assert prepare_cohort(tmp_path, said.append) == 21
    assert said == ["prepare 9/21", "prepare 19/21"]


# --- Refused --------------------------------------------------------------------------------------


def test_missing_visit_is_told_by_its_line(own, quick):
    (own / "scans" / "BERT" / "follow_up.nii.gz").unlink()
    error = refusal(own)
    assert error.what == (
        "Of 2 patients 1 have scans that cannot be used: line 3: 0 folders or files are called"
        " follow_up; 1 is expected."
    )
    assert error.next_step.startswith("Mend these scans")
    assert (own / "prepared" / "ANNA.npz").exists()
    assert not (own / "prepared" / "BERT.npz").exists()


def test_visit_that_is_there_twice_is_not_chosen_from(own, quick):
    write_image(BEFORE, own / "scans" / "ANNA" / "baseline_2.nii.gz")
    assert "line 2: 2 folders or files are called baseline" in refusal(own).what


def test_patient_without_a_folder_is_told(own, quick):
    enrol(own, "ANNA", "CARL", "BERT")
    assert "line 3: 0 folders or files are called baseline" in refusal(own).what
    assert (own / "prepared" / "BERT.npz").exists()


def test_scan_that_is_no_chest_is_refused(own):
    write_image(abdomen(), own / "scans" / "BERT" / "follow_up.nii.gz")
    assert "line 3: This is not a whole chest" in refusal(own).what
    assert (own / "prepared" / "ANNA.npz").exists()


def test_nobody_is_named(own):
    shutil.move(own / "scans" / "ANNA", own / "scans" / "MUELLER^ANNA")
    baseline = own / "scans" / "MUELLER^ANNA" / "baseline"
    shutil.rmtree(baseline)
    baseline.mkdir()
    (baseline / "MUELLER.dcm").write_text("no image")
    enrol(own, "MUELLER^ANNA")
    error = refusal(own)
    assert "line 2" in error.what
    assert "MUELLER" not in error.what + error.next_step


def test_many_faults_are_counted_and_five_are_shown(tmp_path, quick):
    (tmp_path / "scans").mkdir()
    enrol(tmp_path, *"ABCDEFG")
    what = refusal(tmp_path).what
    assert "Of 7 patients 7 have" in what
    assert [f"line {n}:" in what for n in range(1, 9)] == [False] + [True] * 5 + [False] * 2


@pytest.mark.parametrize(
    "name",
    ["../outside", "..", ".", "../scans/ANNA", "BERT/../ANNA", "sub/deeper", "/etc", "ANNA/"],
)
def test_name_that_leads_elsewhere_is_refused(own, quick, name):
    for place in (own / "outside", own / "scans" / "sub" / "deeper", own / "scans"):
        for visit in ("baseline", "follow_up"):
            (place / visit).mkdir(parents=True, exist_ok=True)
    (own / "prepared").mkdir()
    (own / "patients.csv").write_text(f"patient\n{name}\nBERT\n")
    before = sorted(own.rglob("*"))
    assert "line 2: The patient's name is no plain name" in refusal(own).what
    assert {path.parent.name for path in quick} == {"BERT"}
    assert [f.name for f in sorted(own.rglob("*")) if f not in before] == ["BERT.npz"]


def test_folder_of_a_patient_may_be_a_link(own, quick):
    shutil.move(own / "scans" / "ANNA", own / "archive")
    (own / "scans" / "ANNA").symlink_to(own / "archive")
    assert prepare_cohort(own, print) == 2
