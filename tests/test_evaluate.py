"""What the card says of a model, checked by hand on a handful of patients."""

import json
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest

from ctrs.errors import InputRejected
from ctrs.model import evaluate as evaluate_module
from ctrs.model import evaluation
from ctrs.model.evaluate import (
    TARGETS,
    against_targets,
    compare_discrimination,
    concordance_correlation,
    evaluate,
)
from ctrs.trial.population.patients import simulate_patients, trial_table
from ctrs.types import Biomarker, PredictedCurve, Prediction

# Patient by patient: months, died, predicted 12-month survival, RECIST, volume change.
ROWS = [
    (3.0, True, 0.2, "PD", 0.5),
    (5.0, True, 0.7, "SD", 0.1),
    (10.0, False, 0.9, "PR", -0.6),
    (20.0, True, 0.5, "SD", -0.2),
    (30.0, False, 0.8, "PR", -0.9),
]


@pytest.fixture
def table():
    columns = ["months", "event", "survival", "recist", "volume_change"]
    return pd.DataFrame(ROWS, columns=columns).drop(columns="survival")


@pytest.fixture
def simulated(table):
    """The same patients with the truth: two of ten volumes are not what was measured."""
    return table.assign(
        true_survival_12m_scan=[0.25, 0.45, 0.85, 0.55, 0.95],  # off by .05 .25 .05 .05 .15
        true_log_hazard_scan=[2.0, 0.5, -1.0, 1.0, 0.0],
        true_tumour_ml_baseline=[10.0, 10.0, 10.0, 14.0, 10.0],
        true_tumour_ml_follow_up=[5.0, 5.0, 2.0, 5.0, 5.0],
    )


def predictions(width=0.1):
    return [prediction(row[2], width) for row in ROWS]


def prediction(survival_12m, width=0.1, volumes=(10.0, 5.0)):
    curve = PredictedCurve(
        months=(0.0, 12.0),
        survival=(1.0, survival_12m),
        lower=(1.0, survival_12m - width),
        upper=(1.0, survival_12m + width),
    )
    return Prediction(curve, (survival_12m,), 50.0, {"tumour_volume": Biomarker(*volumes, "ml")})


def test_c_index_counts_the_pairs_in_which_the_lower_score_died_first(table):
    # Usable pairs (the one who dies first is known): patient 1 with 2, 3, 4, 5; 2 with 3, 4, 5;
    # 4 with 5. Of these eight only (2, 4) is the wrong way round: 0.7 died before 0.5.
    found = evaluate(table, predictions(), cut_off=0.6)
    assert found["c_index"]["ctrs"] == pytest.approx(7 / 8, abs=1e-3)


def test_recist_is_ranked_from_progression_to_response_with_ties_as_half(table):
    # Of the eight pairs (2, 4), both stable, is a tie; the rest are right: 7.5 of 8.
    found = evaluate(table, predictions(), cut_off=0.6)
    assert found["c_index"]["recist"] == pytest.approx(7.5 / 8, abs=1e-3)


def test_change_of_volume_is_taken_from_the_networks_where_nothing_else_is_known(table):
    # Ratios of follow-up over baseline 4, 2, 1, 1/2 and 3 in their order: who grew most died
    # first in all pairs but (4, 5) and (2, 5): 6 of 8.
    volumes = [(10.0, 40.0), (5.0, 10.0), (8.0, 8.0), (30.0, 15.0), (2.0, 6.0)]
    answers = [prediction(row[2], volumes=v) for row, v in zip(ROWS, volumes, strict=True)]
    found = evaluate(table.drop(columns="volume_change"), answers, cut_off=0.6)
    assert found["c_index"]["automatic_tvc"] == pytest.approx(6 / 8, abs=1e-3)
    assert "tvc" not in found["c_index"]


def test_groups_are_cut_at_the_cut_off_and_counted_from_the_follow_up(table):
    groups = evaluate(table, predictions(), cut_off=0.6)["survival_12m"]
    # High risk: 0.2 (dead at 3) and 0.5 (dead at 20): one of two is alive at 12 months.
    assert groups["High risk"]["n"] == 2
    assert groups["High risk"]["alive"] == pytest.approx(0.5)
    # Low risk: 0.7 dead at 5, 0.9 censored at 10, 0.8 alive at 30: 2 of 3.
    assert groups["Low risk"]["alive"] == pytest.approx(2 / 3, abs=1e-3)


def test_a_real_cohort_has_no_truth_to_compare_with(table):
    found = evaluate(table, predictions(), cut_off=0.6)
    assert not {"simulation", "share_of_oracle"} & set(found)


def test_share_of_intervals_that_hold_the_truth(simulated):
    found = evaluate(simulated, predictions(width=0.1), cut_off=0.6)["simulation"]
    assert found["interval_90_holds_truth"] == pytest.approx(3 / 5)
    assert found["median_interval_width"] == pytest.approx(0.2)
    assert found["median_error_points"] == pytest.approx(5)


def test_volumes_of_both_visits_agree_as_far_as_they_do(simulated):
    # Measured 10 and 5, five times each; true the same but for one 14 and one 2. Means 7.5 and
    # 7.6, variances 6.25 and (4 * 100 + 196 + 4 * 25 + 4) / 10 - 57.76 = 12.24; covariance
    # (4 * 100 + 140 + 4 * 25 + 10) / 10 - 57 = 8. And 2 * 8 / (6.25 + 12.24 + 0.01) = 0.8649.
    found = evaluate(simulated, predictions(), cut_off=0.6)["simulation"]
    assert found["tumour_volume_concordance_correlation"] == pytest.approx(0.8649, abs=1e-4)


def test_share_of_the_oracle_is_that_of_what_is_above_chance(simulated):
    # The oracle's hazards 2, 0.5, -1, 1, 0 have (2, 4) the wrong way round, as the score has.
    found = evaluate(simulated, predictions(), cut_off=0.6)
    assert found["c_index"]["oracle"] == pytest.approx(7 / 8, abs=1e-3)
    simulated["true_log_hazard_scan"] = [2.0, 1.5, -1.0, 1.0, 0.0]  # all right now
    found = evaluate(simulated, predictions(), cut_off=0.6)
    # (7/8 - 1/2) / (1 - 1/2)
    assert found["share_of_oracle"] == pytest.approx(0.75, abs=2e-3)


def test_concordance_correlation_by_hand():
    # x = 1 2 3, y = 2 3 5: means 2 and 10/3, variances 2/3 and 14/9, covariance 1.
    # 2 * 1 / (2/3 + 14/9 + (4/3)**2) = 2 / 4 = 0.5
    assert concordance_correlation(np.array([1.0, 2, 3]), np.array([2.0, 3, 5])) == (
        pytest.approx(0.5)
    )
    assert concordance_correlation(np.ones(3), np.ones(3)) == 0


# --- A whole simulated trial ------------------------------------------------------------------


@pytest.fixture(scope="module")
def trial():
    """Patients and what a model says that sees most of their truth."""
    table = trial_table(simulate_patients(300, 4))
    rng = np.random.default_rng(6)
    logits = -np.log(1 / table["true_survival_12m_scan"] - 1) + rng.normal(0, 0.3, len(table))
    volumes = table[["true_tumour_ml_baseline", "true_tumour_ml_follow_up"]].to_numpy()
    answers = [
        prediction(1 / (1 + np.exp(-x)), volumes=tuple(v))
        for x, v in zip(logits, volumes, strict=True)
    ]
    return table, answers


@pytest.fixture(scope="module")
def measured(trial):
    return evaluate(*trial, cut_off=0.6)


def test_every_target_finds_its_figure(measured):
    found = against_targets(measured)
    assert set(found) == set(TARGETS)
    assert all(isinstance(row["value"], float) for row in found.values())


def test_stable_disease_is_split_by_the_cut_off(trial, measured):
    table, _ = trial
    stable = measured["stable_disease"]
    is_stable = (table["recist"] == "SD").to_numpy()
    assert stable["n"] == is_stable.sum()
    assert stable["events"] == table["event"][is_stable].sum()
    alive = stable["survival_12m"]
    assert stable["apart"] == pytest.approx(alive["Low risk"] - alive["High risk"], abs=1e-4)
    assert stable["apart"] > 0.1
    assert stable["lo"] < stable["hr_high_vs_low"] < stable["hi"]
    assert stable["hr_high_vs_low"] > 1
    assert 0 <= stable["logrank_p"] < 0.05


def test_stable_patients_in_one_group_are_not_compared(trial):
    table, answers = trial
    found = evaluate(table, answers, cut_off=0.001)["stable_disease"]
    assert found["survival_12m"]["High risk"] is None
    assert found["survival_12m"]["Low risk"] > 0.3
    assert all(found[key] is None for key in ("logrank_p", "hr_high_vs_low", "lo", "hi", "apart"))


def test_stable_patients_who_all_live_leave_the_rest_measured(table):
    table.loc[table["recist"] == "SD", "event"] = False
    found = evaluate(table, predictions(), cut_off=0.6)
    assert found["n"] == 5
    assert found["stable_disease"]["events"] == 0
    assert found["stable_disease"]["hr_high_vs_low"] is None


def test_one_patient_has_null_for_all_that_needs_two(simulated):
    found = evaluate(simulated[:1], predictions()[:1], cut_off=0.6)
    found["targets"] = against_targets(found)
    assert (found["n"], found["events"]) == (1, 1)
    for name in ("c_index", "auc_12m", "brier_12m", "hr_per_10pp"):
        assert set(found[name].values()) == {None}
    assert found["delta_c"]["ctrs_vs_recist"] == {"est": None, "lo": None, "hi": None}
    assert (found["ici_12m"], found["share_of_oracle"]) == (None, None)
    assert found["simulation"]["median_error_points"] == pytest.approx(5)  # 0.2, in truth 0.25
    json.dumps(found, allow_nan=False)
    assert "1 patients, 1 deaths" in evaluation.as_markdown(Mock(), {"test": found})


def test_patients_lost_before_the_year_have_no_12_month_figures(table):
    table.loc[3, "event"] = False  # of the two stable patients one died, and one was lost
    found = evaluate(table.assign(months=table["months"] / 3), predictions(), cut_off=0.6)
    # As above without the pair (4, 5): of seven pairs (2, 4) alone is the wrong way round.
    assert found["c_index"]["ctrs"] == pytest.approx(6 / 7, abs=1e-3)
    assert set(found["auc_12m"].values()) | set(found["brier_12m"].values()) == {None}
    assert found["survival_12m"]["Low risk"]["alive"] is None
    assert found["stable_disease"]["apart"] is None
    json.dumps(found, allow_nan=False)


def test_a_rival_that_is_not_known_of_everybody_has_no_figure(table):
    table.loc[2, "volume_change"] = np.nan
    c_index = evaluate(table, predictions(), cut_off=0.6)["c_index"]
    assert c_index["tvc"] is None
    assert c_index["ctrs"] == pytest.approx(7 / 8, abs=1e-3)


def test_a_truth_that_tells_nobody_apart_has_no_share(simulated):
    simulated["true_log_hazard_scan"] = 1.0
    found = evaluate(simulated, predictions(), cut_off=0.6)
    assert found["c_index"]["oracle"] == 0.5
    assert found["share_of_oracle"] is None


# --- Targets ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "path", "values"),
    [
        ("C-index", ("c_index", "ctrs"), {0.7199: False, 0.72: True, 0.9: True}),
        (
            "calibration error (ICI) at 12 months",
            ("ici_12m",),
            {0.0: True, 0.04: True, 0.0401: False},
        ),
        (
            "hazard ratio per +10 points",
            ("hr_per_10pp", "hr"),
            {0.6: False, 0.62: True, 0.8: True, 0.81: False},
        ),
        ("hazard ratio, upper limit", ("hr_per_10pp", "hi"), {0.99: True, 1.01: False}),
        (
            "gain in C-index over RECIST, lower limit",
            ("delta_c", "ctrs_vs_recist", "lo"),
            {-0.001: False, 0.001: True},
        ),
        (
            "90 % intervals that hold the truth",
            ("simulation", "interval_90_holds_truth"),
            {0.84: False, 0.9: True, 0.99: False},
        ),
    ],
)
def test_target_is_met_between_its_limits(name, path, values):
    for value, met in values.items():
        found = value
        for key in reversed(path):
            found = {key: found}
        row = against_targets(found)[name]
        assert (row["value"], row["met"]) == (value, met)


def test_what_was_not_measured_is_not_met():
    found = against_targets({"c_index": {"ctrs": None}})
    assert not any(row["met"] for row in found.values())
    assert all(row["value"] is None for row in found.values())


def test_limits_that_say_nothing_are_left_out():
    found = against_targets({})
    limits = {name: (row["at_least"], row["at_most"]) for name, row in found.items()}
    assert limits["C-index"] == (0.72, None)
    assert limits["calibration error (ICI) at 12 months"] == (None, 0.04)
    assert limits["hazard ratio per +10 points"] == (0.62, 0.80)
    assert limits["share of the oracle's discrimination"] == (0.9, None)
    assert limits["hazard ratio, upper limit"] == (None, 1.0)
    assert limits["gain in C-index over TVC, lower limit"] == (0.0, None)


# --- Elsewhere ----------------------------------------------------------------------------------


def estimated(monkeypatch, *intervals):
    found = iter([{"n": 50, "events": 30, "c_index": c, "lo": lo, "hi": hi}
                  for c, lo, hi in intervals])  # fmt: skip
    monkeypatch.setattr(evaluate_module, "_with_interval", lambda *patients: next(found))
    return compare_discrimination((None, None), (None, None))


def test_difference_of_two_places_has_an_interval_by_hand(monkeypatch):
    found = estimated(monkeypatch, (0.72, 0.68, 0.75), (0.70, 0.62, 0.77))
    assert found["c_index"] == 0.70
    assert found["difference"] == pytest.approx(-0.02)
    # Down: √(0.08² + 0.03²) = 0.0854; up: √(0.07² + 0.04²) = 0.0806.
    assert found["difference_lo"] == pytest.approx(-0.1054, abs=1e-4)
    assert found["difference_hi"] == pytest.approx(0.0606, abs=1e-4)
    assert found["met"]


@pytest.mark.parametrize(
    "there",
    [
        (0.68, 0.60, 0.75),  # 0.04 less
        (0.76, 0.70, 0.80),  # 0.04 more
        (0.70, 0.699, 0.701),  # 0.02 less, and surely so
    ],
)
def test_place_where_the_model_does_otherwise_does_not_meet_the_target(monkeypatch, there):
    assert not estimated(monkeypatch, (0.72, 0.719, 0.721), there)["met"]


def test_place_where_the_score_is_worthless_is_seen(trial):
    table, answers = trial
    half = len(table) // 2
    here = table[:half], answers[:half]
    rng = np.random.default_rng(3)
    guesses = [prediction(p) for p in rng.uniform(0.2, 0.8, len(table) - half)]
    found = compare_discrimination(here, (table[half:], guesses))
    assert found["n"] == len(table) - half
    assert found["events"] == table["event"][half:].sum()
    assert found["c_index"] == pytest.approx(0.5, abs=0.08)
    assert found["difference_lo"] < found["difference"] < found["difference_hi"] < 0
    assert not found["met"]
    same = compare_discrimination(here, here)
    assert same["difference"] == 0
    assert same["met"]


@pytest.fixture
def on_disk(trial, monkeypatch):
    """Evaluate this trial with an ensemble that comes from these sites."""
    table = trial[0].set_index("patient")
    answers = dict(zip(table.index, trial[1], strict=True))
    asked = []

    def predict(folder, rows, ensemble, kept, progress):
        asked.extend(rows.index)
        return [answers[patient] for patient in rows.index]

    monkeypatch.setattr(evaluation, "read_trial", lambda folder: table)
    monkeypatch.setattr(evaluation, "predict_trial", predict)

    def run(tmp_path, split, sites):
        card = SimpleNamespace(sites=sites)
        ensemble = SimpleNamespace(card=card, cut_off=0.6, version="v-7")
        return evaluation.evaluate_trial(tmp_path, ensemble, split, print)

    return table, asked, run


def test_patients_elsewhere_are_those_of_other_sites_and_of_the_external_trial(on_disk, tmp_path):
    table, asked, run = on_disk
    known = sorted(set(table["site"][table["split"] == "train"]))
    found = run(tmp_path, "test", known)
    test, external = (table["split"] == name for name in ("test", "external"))
    assert found["n"] == test.sum()
    assert found["model_version"] == "v-7"
    assert set(found["targets"]) == set(TARGETS)
    unseen = found["elsewhere"]["unseen sites"]
    assert unseen["n"] == (test & ~table["site"].isin(known)).sum() > 10
    assert found["elsewhere"]["external trial"]["n"] == external.sum()
    assert set(asked) == set(table.index[test | external])  # nobody it was trained on


def test_where_no_site_is_new_none_is_compared(on_disk, tmp_path):
    table, _, run = on_disk
    assert set(run(tmp_path, "test", sorted(set(table["site"])))["elsewhere"]) == {"external trial"}
    assert set(run(tmp_path, "test", [])["elsewhere"]) == {"external trial"}
    assert "elsewhere" not in run(tmp_path, "external", ["site 1"])


def test_too_few_patients_elsewhere_leave_the_rest_measured(on_disk, tmp_path):
    table, _, run = on_disk
    gone = table.index[table["split"] == "external"][2:]
    table.drop(index=gone, inplace=True)
    table.loc[table["split"] == "external", "event"] = False
    found = run(tmp_path, "test", [])
    assert found["n"] == (table["split"] == "test").sum()
    assert found["elsewhere"] == {}


def test_split_that_nobody_belongs_to_is_refused(on_disk, tmp_path):
    with pytest.raises(InputRejected, match="belongs to the split “validation”"):
        on_disk[2](tmp_path, "validation", [])


def test_report_holds_every_target_and_says_whom_it_is_about(on_disk, tmp_path):
    found = on_disk[2](tmp_path, "test", ["site 1", "site 2"])
    card = SimpleNamespace(
        version="v-7", trained_on="23 patients", command="train", commit="abc", remarks="Twice."
    )
    text = evaluation.as_markdown(card, {"test": found})
    assert "Simulated patients" in text
    assert "at commit abc. Twice." in text
    assert f"{found['n']} patients, {found['events']} deaths." in text
    for name, row in found["targets"].items():
        (line,) = [x for x in text.splitlines() if x.startswith(f"| {name} |")]
        assert line.endswith("| yes |" if row["met"] else "| **no** |"), name
    assert "| unseen sites | C 0." in text
    assert "| external trial | C 0." in text


def test_what_cannot_be_told_is_null_in_the_json_and_no_nan(table):
    # One patient a histology: the adjusted model has no finite answer.
    odd = table.assign(age=[50.0, 61, 70, 44, 83], histology=["a", "b", "c", "d", "e"])
    found = evaluate(odd, predictions(), cut_off=0.6)
    json.loads(json.dumps(found, allow_nan=False))
    assert found["hr_per_10pp"]["adjusted_hr"] is None
