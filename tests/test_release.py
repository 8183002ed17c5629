"""New weights become the shipped ones: all that belongs to them comes along."""

import json

import numpy as np
import pandas as pd
import pytest

from ctrs import places
from ctrs.model import saliency_checks
from ctrs.model.ensemble import load_ensemble
from ctrs.model.evaluation import evaluate_trial
from ctrs.model.saliency_checks import check_saliency
from ctrs.model.weights import read_card
from ctrs.release import release
from tests.tiny_trial import train_tiny, write_tiny_trial


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A project of its own with a report, the trial and the weights that it was made of."""
    home = tmp_path_factory.mktemp("project")
    trial = write_tiny_trial(tmp_path_factory.mktemp("trial"))
    weights = tmp_path_factory.mktemp("weights")
    train_tiny(trial, weights)
    for folder in ("assets/model", "data/demo"):
        (home / folder).mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(places, "ROOT", home)

        def two_pairs(*args):
            return check_saliency(*args, pairs=2)

        patch.setattr(saliency_checks, "check_saliency", two_pairs)
        report = release(trial, weights, home / "no real scans", [].append)
    return home, trial, weights, report


def test_weights_are_shipped_with_what_they_reached(released):
    home, _, weights, _ = released
    shipped, trained = read_card(home / "assets/model"), read_card(weights)
    assert shipped.version == trained.version
    assert shipped.metrics["n"] == shipped.metrics["saliency"]["n"] + 10 == 12
    assert trained.metrics == {}
    assert load_ensemble(home / "assets/model", "cpu").card == shipped


def test_only_patients_that_nothing_was_trained_on_are_shipped(released):
    home, trial, _, _ = released
    everybody = pd.read_csv(trial / "patients.csv")
    shipped = pd.read_csv(home / "data/trial/patients.csv")
    assert set(shipped["split"]) == {"test", "external"}
    assert len(shipped) == (everybody["split"] != "train").sum() == 18
    with np.load(home / "data/trial/seen.npz", allow_pickle=False) as seen:
        assert set(seen["patients"]) == set(shipped["patient"])
        assert len(seen["inputs"]) == 18


def test_shipped_patients_give_the_same_figures_without_their_scans(released):
    home, _, _, _ = released
    ensemble = load_ensemble(home / "assets/model", "cpu")
    said = []
    found = evaluate_trial(home / "data/trial", ensemble, "test", said.append)
    assert found == json.loads(json.dumps(ensemble.card.metrics))
    assert said == []


def test_report_has_both_splits_saliency_and_says_what_is_missing(released):
    home, _, _, report = released
    assert report == home / "assets/model/report.md"
    text = report.read_text()
    for words in ("Research use only", "## Test split", "## External split", "## Real anatomy"):
        assert words in text
    assert "Saliency, on 2 of these pairs" in text
    assert "CancerData pat_2" in text.splitlines()[-1]  # named as not there


def test_demo_cohort_has_the_test_patients_as_these_weights_score_them(released):
    home, _, _, _ = released
    cohort = pd.read_csv(home / "data/demo/cohort.csv")
    shipped = pd.read_csv(home / "data/trial/patients.csv")
    assert len(cohort) == (shipped["split"] == "test").sum() == 12
