"""`evaluate` as it is typed: on what is shipped, and on trials that hold less than it needs."""

import shutil
from argparse import Namespace

import pytest

from ctrs import places
from ctrs.cli.common import show
from ctrs.errors import InputRejected
from ctrs.model import evaluation
from ctrs.model import train as train_module
from ctrs.trial.bank import simulate_trial


@pytest.fixture
def tables_only(tmp_path):
    simulate_trial(tmp_path / "trial", 60, 3, voxels=False)
    return tmp_path / "trial"


def test_shipped_weights_on_the_shipped_patients(run, tmp_path, monkeypatch, capsys):
    shipped = shutil.copytree(places.ROOT / "data" / "trial", tmp_path / "trial")
    monkeypatch.setattr(places, "trial", lambda: shipped)
    monkeypatch.setattr(evaluation, "as_markdown", None)  # nobody asked for words
    monkeypatch.delenv("CTRS_WEIGHTS", raising=False)
    code, found, _ = run("evaluate")
    assert code == 0
    monkeypatch.undo()
    show(Namespace(), found, lambda: "words")
    assert capsys.readouterr().out == "words\n"  # somebody did
    assert set(found) >= {
        "split", "n", "events", "c_index", "auc_12m", "brier_12m", "ici_12m", "hr_per_10pp",
        "delta_c", "stable_disease", "saliency",
    }  # fmt: skip
    assert set(found["c_index"]) >= {"ctrs", "oracle", "recist", "tvc"}
    assert set(found["delta_c"]["ctrs_vs_tvc"]) == {"est", "lo", "hi"}
    assert found["n"] == 605
    assert found["c_index"]["ctrs"] == pytest.approx(0.721, abs=0.0006)  # as the README says
    assert found["c_index"]["recist"] == pytest.approx(0.62, abs=0.01)
    assert set(found["saliency"]) >= {
        "pointing_game", "randomisation_ssim", "deletion_vs_random"
    }  # fmt: skip


def test_trial_without_scans_says_whose_and_where(run, tables_only, tmp_path):
    weights = places.ROOT / "assets" / "model"
    code, found, _ = run("evaluate", "--trial", tables_only, "--weights", weights)
    assert code == 3
    words = found["error"]["what"]
    n = sum(",test," in line for line in (tables_only / "patients.csv").read_text().splitlines())
    assert words == f"{n} of {n} patients have no scans in trial/prepared."
    assert "--no-voxels" in found["error"]["next_step"]
    for more in ([], ["--perceiver", weights]):
        code, found, _ = run("train", "--trial", tables_only, "--out", tmp_path / "out", *more)
        assert code == 3
        assert "have no scans in trial/prepared." in found["error"]["what"]


def test_steps_are_those_of_a_first_network_that_is_trained(
    run, tables_only, tmp_path, monkeypatch
):
    asked = []

    def train(trial, out, **how):
        asked.append((how["config"].perceive.steps, how["continue_from"]))
        raise InputRejected("Enough.", "Go home.")

    monkeypatch.setattr(train_module, "train", train)
    out, weights = tmp_path / "out", places.ROOT / "assets" / "model"
    begun = ("train", "--trial", tables_only, "--out", out, "--steps", "12")
    for more in ((), ("--continue-from", weights)):
        code, _, _ = run(*begun, *more)
        assert code == 3
    assert asked == [(12, None), (12, weights)]
    code, found, _ = run(*begun, "--perceiver", weights)
    assert code == 3
    assert "--perceiver" in found["error"]["what"]
    assert len(asked) == 2


@pytest.mark.parametrize("steps", ["9", "0", "-3", "2.5", "many"])
def test_too_few_steps_for_a_rise_and_a_fall_are_wrong_usage(run, capsys, steps):
    with pytest.raises(SystemExit) as left:
        run("train", "--trial", "t", "--out", "o", f"--steps={steps}")
    assert left.value.code == 2
    assert f"{steps}: give a whole number from 10" in capsys.readouterr().err
