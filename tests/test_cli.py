"""The command line: exit codes, one JSON document, and the same number as the functions."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk

from ctrs import __version__, cli
from ctrs.assess import Workshop, assess
from ctrs.cli.scans import _pseudonym
from ctrs.config import Config
from ctrs.demo.board import CASES, forget_board
from ctrs.model import ensemble
from ctrs.store import Store
from ctrs.types import Patient, SeriesHeader
from tests.dicom_files import ct_series, write
from tests.phantoms import abdomen, chest, write_chest, write_pair
from tests.scoring_fixtures import FixedModel, write_weights

ROOT = Path(__file__).parents[1]
SCORE_KEYS = {
    "assessable", "zone", "reasons", "survival_12m", "interval_90", "members", "curve",
    "risk_group", "cut_off", "ood_percentile", "biomarkers", "interval_days", "model_version",
    "device", "cached", "seconds", "inputs",
}  # fmt: skip
SERIES_KEYS = {
    "series_uid", "study_uid", "modality", "description", "n_files", "accepted", "reasons",
    "rank", "shape", "spacing_mm", "kernel", "contrast", "acquired_on",
}  # fmt: skip


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    return write_pair(tmp_path_factory.mktemp("scans"), patient_id="SECRET-9")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    write_weights(folder)
    return folder


@pytest.fixture(autouse=True)
def places_of_its_own(tmp_path, weights, monkeypatch):
    monkeypatch.setenv("CTRS_STORE", str(tmp_path / "home" / "ctrs.duckdb"))
    monkeypatch.setenv("CTRS_CACHE", str(tmp_path / "home" / "cache"))
    monkeypatch.setenv("CTRS_DEMO_SCANS", str(tmp_path / "home" / "scans"))
    monkeypatch.setenv("CTRS_WEIGHTS", str(weights))
    (tmp_path / "home").mkdir()


class PointingModel(FixedModel):
    def attribute(self, baseline, follow_up, interval_days):
        maps = np.zeros((2, *baseline.image.shape), np.float32)
        maps[:, 40:60, 30:50, 20:40] = 0.3
        return maps[0], -maps[1]


@pytest.fixture
def quick(monkeypatch, weights):
    """Where the number does not matter: a model that takes no time."""
    version = json.loads((weights / "card.json").read_text())["version"]
    model = PointingModel(version=version)
    monkeypatch.setattr(ensemble, "load_ensemble", lambda folder, device: model)
    return model


def score_of(scans, *more):
    return ("score", "--baseline", scans[0], "--follow-up", scans[1], *more)


# --- inspect ----------------------------------------------------------------------------------


def test_inspect_lists_the_series_and_the_one_to_be_used(run, scans):
    code, document, _ = run("inspect", scans[0])
    assert code == 0
    assert set(document) >= {"files", "series", "rejected_files", "chosen"}
    assert document["files"] == 60  # 300 mm at 5 mm
    (series,) = document["series"]
    assert set(series) >= SERIES_KEYS
    assert series["series_uid"] == document["chosen"]
    assert (series["rank"], series["accepted"], series["n_files"]) == (1, True, 60)
    assert series["shape"] == [60, 83, 122]  # 265 mm at 3.2 mm, 366 mm at 3 mm
    assert series["spacing_mm"] == pytest.approx([5.0, 3.2, 3.0])
    assert series["acquired_on"] == "2024-01-08"
    assert series["kernel"] == "B30f"


def test_inspect_of_a_folder_without_ct_is_unusable(run, tmp_path):
    (tmp_path / "letter.txt").write_text("no image")
    code, document, _ = run("inspect", tmp_path / "letter.txt")
    assert code == 3
    assert document.get("chosen") is None


def test_inspect_names_rejected_files_by_relative_path(run, scans, tmp_path):
    folder = shutil.copytree(scans[0], tmp_path / "scan")
    (folder / "sub").mkdir()
    (folder / "sub" / "letter.txt").write_text("no image")
    code, document, _ = run("inspect", folder)
    assert code == 0
    (rejected,) = document["rejected_files"]
    assert set(rejected) == {"path", "reason"}
    assert rejected["path"] == "sub/letter.txt"


def test_inspect_reads_an_archive(run, scans, tmp_path):
    archive = tmp_path / "scan.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as stored:
        for file in scans[0].iterdir():
            stored.write(file, file.name)
    code, document, _ = run("inspect", archive)
    assert code == 0
    assert document["files"] == 60


# --- score ------------------------------------------------------------------------------------


def test_score_document(run, quick, scans, weights):
    code, document, err = run(*score_of(scans))
    assert code == 0
    assert set(document) >= SCORE_KEYS
    assert set(document["seconds"]) >= {"read", "check", "prepare", "infer", "explain", "total"}
    assert set(document["inputs"]) == {"baseline", "follow_up"}
    for scan, day in (("baseline", "2024-01-08"), ("follow_up", "2024-04-01")):
        assert set(document["inputs"][scan]) >= {"series_uid", "sha256", "acquired_on"}
        assert document["inputs"][scan]["acquired_on"] == day
    assert set(document["curve"]) == {"months", "survival", "lower", "upper"}
    at = document["curve"]["months"].index(12)
    assert document["curve"]["survival"][at] == document["survival_12m"]
    assert 0 < document["survival_12m"] < 1
    low, high = document["interval_90"]
    assert low < document["survival_12m"] < high
    assert set(document["biomarkers"]["tumour_volume"]) == {
        "baseline", "follow_up", "change", "unit",
    }  # fmt: skip
    assert document["interval_days"] == 84
    assert document["device"] == "cpu"
    assert document["model_version"] == json.loads((weights / "card.json").read_text())["version"]
    assert "read" in err
    assert "SECRET" not in json.dumps(document) + err


def test_number_is_that_of_the_functions(run, scans, weights):
    code, document, _ = run(*score_of(scans, "--no-cache"))
    assert code == 0
    workshop = Workshop(
        config=Config(), model_version="", model=lambda: ensemble.load_ensemble(weights, "cpu")
    )
    own = assess(*scans, workshop)
    assert document["survival_12m"] == own.score.survival_12m
    assert document["members"] == list(own.score.members)


def test_second_run_comes_from_the_store(run, quick, scans):
    _, first, _ = run(*score_of(scans))
    _, second, err = run(*score_of(scans))
    assert (first["cached"], second["cached"]) == (False, True)
    assert second["survival_12m"] == first["survival_12m"]
    assert "infer" not in err


def test_no_cache_neither_looks_nor_keeps(run, quick, scans, tmp_path):
    _, document, _ = run(*score_of(scans, "--no-cache"))
    assert document["cached"] is False
    assert list((tmp_path / "home").iterdir()) == []
    run(*score_of(scans))
    _, again, _ = run(*score_of(scans, "--no-cache"))
    assert again["cached"] is False
    assert len(quick.asked) == 3


def test_named_store_is_used(run, quick, scans, tmp_path):
    run(*score_of(scans, "--store", tmp_path / "mine.duckdb"))
    with Store(tmp_path / "mine.duckdb") as store:
        (patient,) = store.worklist()["patient"]
    assert "SECRET" not in patient
    assert not (tmp_path / "home" / "ctrs.duckdb").exists()


def test_a_placeholder_for_an_id_does_not_make_one_patient_of_two(tmp_path):
    def named(patient_id, sha256):
        baseline = SimpleNamespace(header=SeriesHeader(patient_id=patient_id), sha256=sha256)
        return _pseudonym(SimpleNamespace(pair=SimpleNamespace(baseline=baseline)), tmp_path / "s")

    assert named("ANONYMOUS", "one") != named("ANONYMOUS", "other")
    assert named("A-17", "one") == named("A-17", "other")


def test_a_patient_has_one_pseudonym_in_a_store_wherever_it_lies(run, quick, scans, tmp_path):
    table, store = tmp_path / "link.csv", tmp_path / "elsewhere" / "s.duckdb"
    table.write_text("patient,months,event\nSECRET-9,14.5,0\nSECRET-10,3,1\n")
    assert run("import", table, "--store", store)[0] == 0
    assert run(*score_of(scans, "--store", store))[0] == 0
    with Store(store) as opened:
        (scored,) = opened.worklist()["patient"]
        assert opened.patient(scored).cohort == "link"  # not a new one of “upload”
        assert opened.cohorts_of([scored]) == {"link": 1}
    assert not (tmp_path / "home" / "pseudonym.key").exists()


def test_a_store_that_is_no_database_is_refused_before_the_work(run, quick, scans, tmp_path):
    notes = tmp_path / "notes.csv"
    notes.write_text("a,b\n1,2\n")
    code, document, _ = run(*score_of(scans, "--store", notes))
    assert code == 3
    assert document["error"]["what"] == "The file notes.csv is not a DuckDB database."
    assert (quick.asked, notes.read_text()) == ([], "a,b\n1,2\n")


def test_store_in_use_by_the_app_does_not_stop_a_score(run, quick, scans, tmp_path):
    held = subprocess.Popen(
        [sys.executable, "-c",
         "import sys; from ctrs.store import Store; from pathlib import Path;"
         "store = Store(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()",
         str(tmp_path / "home" / "ctrs.duckdb")],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert held.stdout.readline() == b"held\n"
        code, document, err = run(*score_of(scans))
    finally:
        held.communicate(timeout=20)
    assert code == 0
    assert document["assessable"] is True
    assert "without the store" in err


def python(*arguments):
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def test_interval_out_of_range_is_not_assessable(run, scans):
    code, document, _ = run(*score_of(scans, "--interval-days", 400))
    assert code == 4
    assert document["assessable"] is False
    assert document["zone"] == "red"
    assert document["survival_12m"] is None
    assert document["curve"] == {"months": [], "survival": [], "lower": [], "upper": []}
    assert document["interval_days"] == 400
    assert set(document) >= SCORE_KEYS


def test_saliency_is_written_on_the_grid_of_each_scan(run, quick, scans, tmp_path):
    code, document, _ = run(*score_of(scans, "--saliency", tmp_path / "maps"))
    assert code == 0
    assert sorted(f.name for f in (tmp_path / "maps").iterdir()) == [
        "baseline.nii.gz", "follow_up.nii.gz",
    ]  # fmt: skip
    image = sitk.ReadImage(str(tmp_path / "maps" / "baseline.nii.gz"))
    assert image.GetSize() == (122, 83, 60)
    # By `dicom_files`: the first voxel lies at (-120, -95, -40).
    assert image.GetOrigin() == pytest.approx((-120, -95, -40))
    assert sitk.GetArrayFromImage(image).max() == pytest.approx(1)
    assert document["seconds"]["explain"] > 0
    assert document["seconds"]["total"] >= document["seconds"]["explain"]


def test_saliency_lies_on_the_grid_of_a_file_in_any_storage(run, quick, scans, tmp_path):
    volume = chest((5.0, 3.2, 3.0), noise_seed=7)
    image = sitk.GetImageFromArray(volume.hu.astype(np.int16))
    image.SetSpacing(volume.spacing[::-1])
    image.SetOrigin((183.7, 163.3, -40.0))
    maps = {}
    for axes in ("LPS", "RAS", "ASR"):
        stored = sitk.DICOMOrient(image, axes)
        sitk.WriteImage(stored, str(tmp_path / f"SECRET-{axes}.nii.gz"))
        more = ("--saliency", tmp_path / axes)
        code, document, _ = run(*score_of((scans[0], tmp_path / f"SECRET-{axes}.nii.gz"), *more))
        assert code == 0
        assert "SECRET" not in json.dumps(document)  # a file may bear a patient's name
        found = sitk.ReadImage(str(tmp_path / axes / "follow_up.nii.gz"))
        assert found.GetSize() == stored.GetSize()
        assert found.GetOrigin() == pytest.approx(stored.GetOrigin(), abs=1e-3)
        assert found.GetDirection() == pytest.approx(stored.GetDirection(), abs=1e-6)
        maps[axes] = sitk.GetArrayFromImage(sitk.DICOMOrient(found, "LPS"))
    assert maps["LPS"].min() == pytest.approx(-1)
    np.testing.assert_array_equal(maps["RAS"], maps["LPS"])
    np.testing.assert_array_equal(maps["ASR"], maps["LPS"])


# --- What cannot be used ------------------------------------------------------------------------


def refused(code, document):
    assert code == 3
    assert set(document["error"]) == {"what", "next_step"}
    assert document["survival_12m"] is None
    return document["error"]["what"]


def test_one_folder_given_twice_is_refused(run, scans):
    code, document, _ = run(*score_of((scans[0], scans[0])))
    assert "the same scan" in refused(code, document)


def test_scans_in_the_wrong_order_are_refused(run, scans):
    code, document, _ = run(*score_of((scans[1], scans[0])))
    assert "84 days older" in refused(code, document)


def test_folder_without_ct_is_refused_by_its_name(run, scans, tmp_path):
    (tmp_path / "empty").mkdir()
    code, document, _ = run(*score_of((scans[0], tmp_path / "empty")))
    assert refused(code, document).startswith("Follow-up CT: ")


def test_path_that_is_not_there_is_refused(run, scans, tmp_path):
    code, document, _ = run(*score_of((tmp_path / "nowhere", scans[1])))
    assert refused(code, document).startswith("Baseline CT: ")


def test_other_patient_is_refused_without_naming_either(run, scans, tmp_path):
    other = write_chest(
        chest((5.0, 3.2, 3.0)), tmp_path / "b", date(2024, 4, 1), patient_id="SECRET-8"
    )
    code, document, err = run(*score_of((scans[0], other)))
    assert "patient IDs" in refused(code, document)
    assert "SECRET" not in json.dumps(document) + err


def test_abdomen_is_refused(run, scans, tmp_path):
    belly = write_chest(abdomen(), tmp_path / "b", date(2024, 4, 1), patient_id="SECRET-9")
    code, document, _ = run(*score_of((scans[0], belly)))
    assert refused(code, document).startswith("Follow-up CT: This is not a whole chest")


def test_missing_slice_is_refused(run, scans, tmp_path):
    cut = shutil.copytree(scans[1], tmp_path / "cut")
    (cut / "020.dcm").unlink()
    code, document, _ = run(*score_of((scans[0], cut)))
    assert "gaps" in refused(code, document)


def test_thick_slices_are_refused(run, scans, tmp_path):
    thick = ct_series(chest((12.5, 3.2, 3.0)).hu, step_mm=12.5, patient_id="SECRET-9")
    write(thick, tmp_path / "thick")
    code, document, _ = run(*score_of((scans[0], tmp_path / "thick")))
    assert "12.5 mm apart" in refused(code, document)


def test_missing_weights_are_refused(run, scans, tmp_path):
    code, document, _ = run(*score_of(scans, "--weights", tmp_path / "none"))
    assert "weights" in refused(code, document)


def test_altered_weights_are_refused(run, scans, weights, tmp_path):
    altered = shutil.copytree(weights, tmp_path / "altered")
    content = bytearray((altered / "foreseers.safetensors").read_bytes())
    content[-1] ^= 1
    (altered / "foreseers.safetensors").write_bytes(content)
    code, document, _ = run(*score_of(scans, "--weights", altered, "--no-cache"))
    assert "checksum" in refused(code, document)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["guess"],
        ["score"],
        ["score", "--baseline", "a"],
        ["score", "--baseline", "a", "--follow-up", "b", "--interval-days", "soon"],
        ["score", "--baseline", "a", "--follow-up", "b", "--device", "abacus"],
        ["inspect"],
    ],
)
def test_wrong_usage_is_two(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    assert stopped.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "usage:" in err


def test_bug_is_shown_as_a_reference_number():
    script = (
        "import ctrs.cli as cli, ctrs.cli.scans as scans\n"
        "def broken(*a, **k): raise RuntimeError('SECRET detail')\n"
        "scans.read_card = broken\n"
        "raise SystemExit(cli.main(['score', '--baseline', 'a', '--follow-up', 'b',"
        " '--no-cache', '--json']))"
    )
    found = python("-c", script)
    assert found.returncode == 3
    document = json.loads(found.stdout)
    reference = document["error"]["what"].split("reference ")[1][:8]
    assert f"RuntimeError, reference {reference}" in found.stderr
    assert "scans.py" in found.stderr  # where it happened
    assert "SECRET" not in found.stdout + found.stderr  # the message may quote a name


# --- The other commands -------------------------------------------------------------------------


def test_text_for_people_without_json(scans, quick, capsys):
    assert cli.main(list(map(str, score_of(scans)))) == 0
    assert capsys.readouterr().out.startswith("Predicted survival 12 months after")


def test_simulate_writes_a_trial(run, tmp_path):
    code, document, _ = run(
        "trial", "simulate", "--patients", 5, "--seed", 3, "--out", tmp_path / "t", "--no-voxels"
    )
    assert code == 0
    assert document["n"] == 5
    assert len((tmp_path / "t" / "patients.csv").read_text().splitlines()) == 6


def test_simulate_is_told_what_to_render_beside_the_trial(run, tmp_path, monkeypatch):
    asked = {}

    def simulate(folder, n, seed, **options):
        asked.update(options, folder=folder, n=n, seed=seed)
        return []

    monkeypatch.setattr("ctrs.cli.trials.simulate_trial", simulate)
    run("trial", "simulate", "--patients", 5, "--seed", 3, "--out", tmp_path / "t",
        "--rescans", 2, "--rare", 4, "--livers", 7)  # fmt: skip
    del asked["progress"]
    assert asked == {
        "folder": tmp_path / "t", "n": 5, "seed": 3, "voxels": True, "backgrounds": None,
        "rescans": 2, "rare": 4, "livers": 7,
    }  # fmt: skip


def test_doctor_says_what_this_machine_offers(run, weights, tmp_path):
    code, document, _ = run("doctor")
    assert code == 0
    assert document["version"] == __version__
    assert set(document) >= {"packages", "device", "decoders", "browser", "store", "weights"}
    assert set(document["packages"]) >= {"streamlit", "torch", "pydicom"}
    assert document["decoders"]["uncompressed"] is True
    assert document["store"]["state"] == "not made yet"
    card = json.loads((weights / "card.json").read_text())
    assert document["weights"]["state"] == "usable"
    assert document["weights"]["version"] == card["version"]
    assert document["weights"]["sha256"] == card["checksums"]


def test_doctor_names_what_is_wrong(run, tmp_path, monkeypatch):
    monkeypatch.setenv("CTRS_WEIGHTS", str(tmp_path))
    (tmp_path / "home" / "ctrs.duckdb").write_bytes(b"no database at all" * 300)
    code, document, _ = run("doctor")
    assert code == 0
    assert "missing" in document["weights"]["state"]
    assert document["store"]["state"] != "usable"


def test_scan_without_date_or_patient_is_scored_with_a_remark(run, quick, scans, tmp_path):
    volume = chest((5.0, 3.2, 3.0), noise_seed=7)
    image = sitk.GetImageFromArray(volume.hu.astype(np.int16))
    image.SetSpacing(volume.spacing[::-1])
    sitk.WriteImage(image, str(tmp_path / "after.nii.gz"))
    code, document, _ = run(*score_of((scans[0], tmp_path / "after.nii.gz")))
    assert code == 0
    assert document["zone"] == "amber"  # no date and no patient in the file
    assert document["interval_days"] is None


def test_inspect_of_nothing_usable_says_what_to_do(tmp_path, capsys):
    (tmp_path / "letter.txt").write_text("no images here")
    assert cli.main(["inspect", str(tmp_path), "--json"]) == 3
    document = json.loads(capsys.readouterr().out)
    assert set(document["error"]) == {"what", "next_step"}
    assert document["chosen"] is None


@pytest.mark.parametrize("days", ["99999999999", "many"])
def test_impossible_days_are_wrong_usage(days, capsys):
    with pytest.raises(SystemExit) as wrong:
        cli.main(["score", "--baseline", "a", "--follow-up", "b", "--interval-days", days])
    assert wrong.value.code == 2


def test_demo_reset_leaves_other_patients_alone(tmp_path):
    with Store(tmp_path / "ctrs.duckdb") as store:
        for name in ("P-ANNA", CASES[0].name):
            store.save_patient(Patient(patient=name, cohort="upload"))
        forget_board(store, tmp_path / "scans")
        assert store.patient("P-ANNA") is not None
        assert store.patient(CASES[0].name) is None


# --- The simulated trial ----------------------------------------------------------------------


def test_tables_are_simulated_and_described(tmp_path, capsys):
    folder = str(tmp_path / "trial")
    made = ["trial", "simulate", "--patients", "400", "--seed", "5", "--no-voxels", "--out", folder]
    assert cli.main([*made, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"n": 400}
    assert cli.main(["trial", "describe", folder, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {
        "n", "events", "c_index", "survival_12m_by_recist", "recist_mix", "median_os_months",
        "targets",
    } <= set(found)  # fmt: skip
    assert found["n"] == 400
    assert set(found["c_index"]) == {"oracle", "diameter_change", "recist", "baseline_diameter"}
    assert all(
        set(target) == {"target", "tolerance", "value", "met"}
        for target in found["targets"].values()
    )
    assert cli.main(["trial", "describe", folder]) == 0
    assert "Of 400 patients no figure is firm" in capsys.readouterr().out


def test_real_cohort_cannot_be_described_as_a_trial(tmp_path, capsys):
    (tmp_path / "patients.csv").write_text("patient,months,event,split\nA,3,True,train\n")
    assert cli.main(["trial", "describe", str(tmp_path), "--json"]) == 3
    error = json.loads(capsys.readouterr().out)["error"]
    assert "true_log_hazard_scan" in error["what"]


@pytest.mark.parametrize(
    "wrong",
    [
        ["trial", "simulate", "--patients", "0", "--seed", "1", "--out", "x"],
        ["trial", "simulate", "--patients", "9" * 20, "--seed", "1", "--out", "x"],
        ["trial", "simulate", "--patients", "5", "--seed", "-1", "--out", "x"],
        ["trial", "pair", "--scan", "x", "--tumour", "y", "--change", "-1.1", "--out", "z"],
        ["trial", "pair", "--scan", "x", "--tumour", "y", "--change", "nan", "--out", "z"],
    ],
)
def test_numbers_that_cannot_be_meant_are_wrong_usage(wrong, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(wrong)
    assert stopped.value.code == 2
    assert "from" in capsys.readouterr().err


def test_semi_synthetic_pair_of_a_phantom(tmp_path, capsys):
    volume = chest()
    mask = np.zeros(volume.hu.shape, np.uint8)
    z, y, x = (np.indices(mask.shape).T * volume.spacing[::1]).T
    middle = [n * mm / 2 for n, mm in zip(mask.shape, volume.spacing, strict=True)]
    middle[2] *= 0.55  # in the right lung
    mask[((z - middle[0]) ** 2 + (y - middle[1]) ** 2 + (x - middle[2]) ** 2) < 12**2] = 1
    volume.hu[mask > 0] = 40
    for name, values in (("scan", volume.hu.astype(np.int16)), ("mask", mask)):
        image = sitk.GetImageFromArray(values)
        image.SetSpacing(volume.spacing[::-1])
        sitk.WriteImage(image, str(tmp_path / f"{name}.nii.gz"))
    command = ["trial", "pair", "--scan", str(tmp_path / "scan.nii.gz"), "--tumour",
               str(tmp_path / "mask.nii.gz"), "--change", "0.6", "--seed", "4",
               "--out", str(tmp_path / "pair"), "--json"]  # fmt: skip
    assert cli.main(command) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["what"].startswith("semi-synthetic")
    assert facts["follow_up_ml"] / facts["baseline_ml"] == pytest.approx(1.6, rel=0.02)
    after = sitk.GetArrayFromImage(
        sitk.ReadImage(str(tmp_path / "pair" / "follow_up_tumour.nii.gz"))
    )
    voxel_ml = np.prod(volume.spacing) / 1000
    assert after.sum() * voxel_ml == pytest.approx(facts["follow_up_ml"], rel=1e-3)


# --- Several scans, and files to hand on --------------------------------------------------------


def test_inspect_proposes_a_pair_where_two_days_are_there(run, scans):
    code, document, _ = run("inspect", scans[0].parent)
    assert (code, document["chosen"]) == (3, None)  # as `score` refuses to choose
    assert {s["status"] for s in document["series"]} == {"other"}
    assert "scans of 2 days, up to 84 days apart" in document["doubt"]
    assert document["error"]["what"] == document["doubt"]
    pair = document["proposed_pair"]
    assert pair["interval_days"] == 84
    assert {pair["baseline"], pair["follow_up"]} == {s["series_uid"] for s in document["series"]}
    assert (
        run("inspect", scans[0].parent, "--treatment-start", "2023-01-01")[1]["proposed_pair"]
        is None
    )


def test_a_folder_of_both_scans_is_refused_until_a_series_is_named(run, scans):
    both = scans[0].parent
    code, document, _ = run("score", "--baseline", both, "--follow-up", scans[1])
    assert code == 3
    assert "of 2 days" in document["error"]["what"]
    uid = run("inspect", scans[0])[1]["chosen"]
    code, document, _ = run(
        "score", "--baseline", both, "--baseline-series", uid, "--follow-up", scans[1]
    )
    assert code == 0
    assert document["inputs"]["baseline"]["series_uid"] == uid
    assert "named by the user" in document["inputs"]["baseline"]["chosen_because"]


def test_files_to_hand_on(run, scans, tmp_path):
    code, document, _ = run("deidentify", scans[0], "--out", tmp_path / "out")
    assert code == 0
    assert (document["written"], len(document["patients"])) == (60, 1)
    assert "SECRET" not in json.dumps(document)
    code, again, _ = run("inspect", tmp_path / "out")
    assert (code, again["series"][0]["n_files"]) == (0, 60)
