"""A trial in figures: by hand on a few patients, and the targets on many."""

import pandas as pd
import pytest

from ctrs.errors import TooFewPatients
from ctrs.trial.population.describe import Target, as_json, as_text, describe
from ctrs.trial.population.patients import simulate_patients, trial_table

FEW = pd.DataFrame(
    {
        # A grew and died first; B shrank; C was stable and lived longest; D was not evaluable.
        "recist": ["PD", "CR", "SD", "NE"],
        "sum_baseline_mm": [50.0, 30.0, 60.0, 0.0],
        "sum_follow_up_mm": [70.0, 0.0, 60.0, 0.0],
        "months": [2.0, 15.0, 30.0, 5.0],
        "event": [True, True, False, True],
        "split": ["train", "test", "train", "external"],
        "true_log_hazard_scan": [2.0, 0.5, -0.5, 1.0],
    }
)


def test_three_patients_by_hand():
    found = describe(FEW)
    assert (found.n, found.events, found.not_evaluable) == (4, 3, 1)
    assert found.without_targets == 0
    assert found.by_split == {"train": 2, "test": 1, "external": 1}
    assert found.recist_mix == pytest.approx({"PD": 1 / 3, "SD": 1 / 3, "PR": 1 / 3})
    # Of the pairs AB, AC, BC the oracle orders all three; the change two (B shrank, died before
    # C); so does RECIST; of the baselines only A < C and B < A, B < C by size: larger dies first
    # in AB, not in AC and BC.
    assert found.c_index == pytest.approx(
        {"oracle": 1.0, "diameter_change": 2 / 3, "recist": 2 / 3, "baseline_diameter": 1 / 3}
    )
    assert found.survival_12m_by_recist == {"PD": 0.0, "SD": 1.0, "PR": 1.0}


def test_who_has_a_class_and_no_target_lesion_counts_by_the_class_alone():
    # E had new lesions, no target ones, and died between B and C.
    new = {"recist": "PD", "sum_baseline_mm": 0.0, "sum_follow_up_mm": 0.0, "months": 20.0,
           "event": True, "split": "test", "true_log_hazard_scan": 1.5}  # fmt: skip
    found = describe(pd.concat([FEW, pd.DataFrame([new])], ignore_index=True))
    assert (found.n, found.events) == (5, 4)
    assert (found.not_evaluable, found.without_targets) == (1, 1)
    assert found.recist_mix == pytest.approx({"PD": 2 / 4, "SD": 1 / 4, "PR": 1 / 4})
    assert found.survival_12m_by_recist == {"PD": 0.5, "SD": 1.0, "PR": 1.0}
    # E has no diameters: no reading is compared on E, though the oracle (which would be wrong on
    # BE) and RECIST (a tie with A) could be.
    assert found.compared == describe(FEW).compared == 3
    assert found.c_index == describe(FEW).c_index
    text = as_text(found)
    assert "1 patients have no response class" in text
    assert "1 patients have a class and no target lesion" in text
    assert "All C-indices (c_…) are of the same 3 patients." in text
    assert "no target lesion" not in as_text(describe(FEW))


def test_target_is_met_up_to_its_tolerance():
    assert Target(0.57, 0.03, 0.60).met
    assert not Target(0.57, 0.03, 0.6001).met
    assert not Target(0.57, 0.03, None).met


def test_json_and_text_say_what_is_missed():
    document = as_json(describe(FEW))
    assert document["targets"]["mix_SD"] == {
        "target": 0.64, "tolerance": 0.05, "value": pytest.approx(1 / 3), "met": False
    }  # fmt: skip
    line = next(x for x in as_text(describe(FEW)).splitlines() if x.startswith("mix_SD"))
    assert line.split() == ["mix_SD", "0.333", "0.64", "(±", "0.05)", "MISSED"]


def test_one_class_alone_is_described_without_the_others():
    found = describe(FEW[FEW["recist"] == "PD"])
    assert found.survival_12m_by_recist == {"PD": 0.0, "SD": None, "PR": None}
    assert found.c_index["oracle"] is None
    assert not found.targets["survival_12m_SD"].met


def test_nobody_is_an_error_in_words():
    with pytest.raises(TooFewPatients, match="no patients"):
        describe(FEW[:0])


def test_a_large_trial_meets_every_target():
    table = trial_table(simulate_patients(8000, 3, workers=2))
    missed = {name: t for name, t in describe(table).targets.items() if not t.met}
    assert missed == {}
