"""The whole line on real chest CTs, with the shipped weights, through the command line."""

import json
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from ctrs import places
from ctrs.cli import main
from ctrs.config import IntakeConfig
from ctrs.ingest import read_scan
from ctrs.model.weights import read_card
from ctrs.trial.body.anatomy import LungPlace
from ctrs.trial.dicom import write_series
from ctrs.trial.disease.lesions import Lesion, paint_blob

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("CTRS_TEST_DATA", ROOT.parent / "shared" / "data")) / "ct"
LUNG_DX = DATA / "lungdx" / "Lung_Dx-A0002"
NLST = DATA / "nlst101287" / "CT_3_952642"
NRRD = DATA / "pyradiomics"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.exists(), reason=f"no real scans in {DATA}"),
    pytest.mark.filterwarnings("ignore::UserWarning:pydicom"),
]

KEYS = {
    "assessable", "zone", "reasons", "survival_12m", "interval_90", "members", "curve",
    "risk_group", "cut_off", "ood_percentile", "biomarkers", "interval_days", "model_version",
    "device", "cached", "seconds", "inputs",
}  # fmt: skip


@pytest.fixture(scope="module")
def score(tmp_path_factory):
    """Run ``score`` with a store of its own; returns the exit code and the JSON."""
    home = tmp_path_factory.mktemp("home")

    def run(capsys, baseline, follow_up, *options):
        os.environ |= {"CTRS_STORE": str(home / "ctrs.duckdb"), "CTRS_CACHE": str(home / "cache")}
        arguments = ["score", "--baseline", str(baseline), "--follow-up", str(follow_up), "--json"]
        try:
            code = main([*arguments, *options])
        finally:
            del os.environ["CTRS_STORE"], os.environ["CTRS_CACHE"]
        return code, json.loads(capsys.readouterr().out)

    return run


def check_answer(code, answer):
    """Everything that must hold for any pair that was given a number."""
    assert code == 0
    assert set(answer) >= KEYS
    low, high = answer["interval_90"]
    assert 0 < low < answer["survival_12m"] < high < 1
    curve = answer["curve"]
    at = curve["months"].index(12.0)
    assert curve["survival"][at] == answer["survival_12m"]
    assert all(np.diff(curve["survival"]) <= 0)
    assert len(answer["members"]) == read_card(places.weights()).members
    assert answer["biomarkers"]["tumour_volume"]["unit"] == "ml"
    group = "Low risk" if answer["survival_12m"] >= answer["cut_off"] else "High risk"
    assert answer["risk_group"] == group


def test_two_kernels_of_one_breath_hold_give_an_answer_and_then_the_stored_one(score, capsys):
    pair = (LUNG_DX / "CT_series2", LUNG_DX / "CT_series3", "--interval-days", "84")
    code, answer = score(capsys, *pair)
    check_answer(code, answer)
    assert answer["interval_days"] == 84
    assert not answer["cached"]
    again, repeated = score(capsys, *pair)
    assert again == 0
    assert repeated["cached"]
    assert repeated["survival_12m"] == answer["survival_12m"]
    assert repeated["seconds"]["infer"] == 0


def test_jpeg_ls_series_against_a_semi_synthetic_follow_up(score, capsys, tmp_path):
    follow_up = tmp_path / "follow_up"
    write_series(semi_synthetic_follow_up(NLST), follow_up)
    code, answer = score(capsys, NLST, follow_up)
    check_answer(code, answer)
    assert answer["interval_days"] == 84


def semi_synthetic_follow_up(folder):
    """The real scan 12 weeks later: breathed a little differently, noisier, one tumour more."""
    _, volume = read_scan(folder, IntakeConfig())
    # One slice higher, without the uppermost: it would come round to the lower end.
    hu = np.roll(volume.hu[:-1], (3, -2), axis=(1, 2))
    x, y, z = volume.origin
    lesion = Lesion(
        kind="metastasis", place=LungPlace("left", 0.5, 0.0, 0.0), diameter_mm=(0.0, 28.0),
        texture="solid", elongation=1.1, irregularity=0.2, spicules=0.0, halo=0.0,
        collapse=(0.0, 0.0), seed=3,
    )  # fmt: skip
    paint_blob(hu, volume.spacing, np.array([70.0, 250.0, 130.0]), lesion, 1, 0.0)
    hu += np.random.default_rng(4).normal(0, 12, hu.shape).astype(np.float32)
    day = volume.header.acquired_on + timedelta(days=84)
    header = replace(volume.header, acquired_on=day, description="semi-synthetic follow-up")
    origin = (x, y, z + volume.spacing[0])
    return replace(volume, hu=np.clip(hu, -1024, 3000), origin=origin, header=header)


def test_two_nrrd_volumes_without_dates_or_names(score, capsys):
    images = (NRRD / "lung1_image.nrrd", NRRD / "lung2_image.nrrd")
    code, answer = score(capsys, *images)
    check_answer(code, answer)
    assert answer["interval_days"] is None
    assert answer["zone"] == "amber"
    code, dated = score(capsys, *images, "--interval-days", "84")
    check_answer(code, dated)


def test_an_abdomen_is_refused_as_no_chest(score, capsys):
    abdomen = DATA / "totalseg_abdomen_negative" / "example_ct.nii.gz"
    code, answer = score(capsys, LUNG_DX / "CT_series2", abdomen)
    assert code == 3
    assert "not a whole chest" in answer["error"]["what"]
    assert answer["survival_12m"] is None


def test_one_folder_twice_is_refused_as_identical(score, capsys):
    code, answer = score(capsys, NLST, NLST)
    assert code == 3
    assert "same" in answer["error"]["what"] or "identical" in answer["error"]["what"]


def test_a_folder_without_ct_says_so(score, capsys, tmp_path):
    (tmp_path / "letter.txt").write_text("no images here")
    code, answer = score(capsys, tmp_path, NLST)
    assert code == 3
    assert answer["error"]["what"].startswith("Baseline CT: ")
    assert "CT" in answer["error"]["next_step"]
