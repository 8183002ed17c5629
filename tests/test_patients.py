"""Simulated patients: the same every time, and as a crowd like the published ones."""

import numpy as np
import pytest

from ctrs.trial.population.patients import simulate_patients, trial_table
from ctrs.trial.population.people import COHORT_SIZES, ecog_shares, split_of
from ctrs.types import Recist
from tests.other_machine import on_another_machine


@pytest.fixture(scope="module")
def patients():
    return simulate_patients(2076, 11)


@pytest.fixture(scope="module")
def table(patients):
    return trial_table(patients)


# --- The same every time ----------------------------------------------------------------------


def test_a_patient_is_the_same_however_many_there_are(patients):
    assert simulate_patients(3, 11) == patients[:3]


def test_two_workers_draw_the_same_patients(patients):
    assert simulate_patients(2076, 11, workers=2)[-40:] == patients[-40:]


def test_other_seeds_are_other_patients(patients):
    (other,) = simulate_patients(1, 12)
    assert other.lesions != patients[0].lesions
    assert other.anatomy != patients[0].anatomy


def test_patients_are_not_copies_of_each_other(patients):
    assert len({p.seed for p in patients}) > 2070
    assert len({p.lesions for p in patients}) == len(patients)
    assert [p.patient.patient for p in patients[:2]] == ["SIM-0001", "SIM-0002"]


def test_another_processor_writes_the_same_table(table):
    code = (
        "from ctrs.trial.population.patients import *; import hashlib;"
        "csv = trial_table(simulate_patients(300, 11)).to_csv();"
        "print(hashlib.sha256(csv.encode()).hexdigest())"
    )
    assert on_another_machine(code) == on_another_machine(code, like_this_one=True)


# --- The cohorts ------------------------------------------------------------------------------


def test_cohorts_have_their_published_sizes(table):
    assert table["split"].value_counts().to_dict() == {"train": 1171, "test": 605, "external": 300}


def test_any_beginning_holds_the_cohorts_in_proportion():
    for n in (7, 100, 901):
        dealt = [split_of(index) for index in range(n)]
        for split, size in COHORT_SIZES.items():
            assert dealt.count(split) == pytest.approx(n * size / 2076, abs=1.01)


def test_four_of_the_ten_test_sites_gave_nobody_to_discovery(table):
    sites = {split: set(rows["site"]) for split, rows in table.groupby("split")}
    assert len(sites["test"]) == 10
    assert len(sites["test"] - sites["train"]) == 4
    assert not sites["external"] & sites["test"]


def test_external_trial_is_later_line_alone_and_pd_l1_low(table):
    external = table[table["split"] == "external"]
    assert set(external["line"]) == {"later"}
    assert set(external["regimen"]) == {"ICI alone"}
    assert (external["pd_l1"] == ">=50%").mean() < 0.15  # GARNET: 7.5 %
    routine = table[table["split"] != "external"]
    assert not set(external["scanner_baseline"]) <= set(routine["scanner_baseline"])


def test_men_and_women_and_histology_go_together_as_in_cohorts(table):
    assert (table["sex"] == "male").mean() == pytest.approx(0.55, abs=0.04)  # Sako: 55 %
    squamous = (table["histology"] == "squamous").groupby(table["sex"]).mean()
    # 34 % of men and 21 % of women: from 28 % squamous, two thirds of them men.
    assert squamous["male"] == pytest.approx(0.34, abs=0.05)
    assert squamous["female"] == pytest.approx(0.21, abs=0.05)
    assert table["age"].median() == pytest.approx(67, abs=1)


def test_response_comes_with_pd_l1_and_strength_with_muscle(table):
    change = table["sum_follow_up_mm"] / table["sum_baseline_mm"].where(
        table["sum_baseline_mm"] > 0
    )
    high, low = (change[table["pd_l1"] == level].median() for level in (">=50%", "<1%"))
    assert high < low - 0.02
    weak = table["true_muscle_z"] < -0.5
    assert (table["ecog"] == "2")[weak].mean() > 1.5 * (table["ecog"] == "2")[~weak].mean()


def test_ecog_by_hand():
    # 1 / (1 + exp(0.72)) = 0.3274 and 1 / (1 + exp(-1.80)) = 0.8581 for the average patient.
    assert ecog_shares(0.0, 67) == pytest.approx((0.3274, 0.5307, 0.1419), abs=1e-4)


# --- Tumours ----------------------------------------------------------------------------------


def test_every_patient_is_scanned_in_the_window(table):
    assert table["interval_days"].between(63, 105).all()
    assert table["interval_days"].mean() == pytest.approx(84, abs=1)
    assert (table["months"] > 0).all()
    assert (table["months"] <= 36).all()


def test_recist_class_agrees_with_its_diameters(patients):
    seen = 0
    for patient in patients:
        read = patient.response
        if read.recist is Recist.SD:
            change = read.sum_follow_up_mm / read.sum_baseline_mm - 1
            assert change > -0.301
            assert change < 0.2 or read.sum_follow_up_mm - read.sum_baseline_mm < 5.0
            assert read.new_lesions == 0
            seen += 1
    assert seen > 1000


def test_new_lesions_are_absent_at_baseline(patients):
    new = [lesion for p in patients for lesion in p.lesions if lesion.is_new]
    assert 60 < len(new) < 400
    assert all(lesion.volume_ml(0) == 0 < lesion.volume_ml(1) for lesion in new)


def test_six_percent_look_larger_and_are_not(patients):
    pseudo = [p for p in patients if p.disease.pseudoprogression]
    assert len(pseudo) / len(patients) == pytest.approx(0.06, abs=0.015)  # Park 2020: 6.0 %
    assert np.median([p.tumour_ml(1) / p.tumour_ml(0) for p in pseudo]) > 1.3
    assert all(p.disease.meant_log_ratio <= -0.2 for p in pseudo)
    true_growth = [
        p for p in patients
        if not p.disease.pseudoprogression and p.disease.meant_log_ratio > 0.15
    ]  # fmt: skip
    pseudo_survival = np.mean([p.survival_12m for p in pseudo])
    assert pseudo_survival > np.mean([p.survival_12m for p in true_growth]) + 0.2


def test_some_patients_have_lesions_that_go_opposite_ways(patients):
    # Dissociated response (one up by 20 %, one down by 30 %): 3 to 13 % of patients with NSCLC
    # on immunotherapy (Sato 2021, Tozuka 2020).
    def is_mixed(patient):
        ratios = [x.diameter_mm[1] / x.diameter_mm[0] for x in patient.lesions if not x.is_new]
        return min(ratios) <= 0.7 and max(ratios) >= 1.2

    assert 0.03 < np.mean([is_mixed(p) for p in patients]) < 0.13


def test_blocked_lung_opens_where_the_tumour_shrinks(patients):
    blocked = [x for p in patients for x in p.lesions if x.collapse[0] > 0]
    assert len(blocked) > 100
    for lesion in blocked:
        if 3 < lesion.diameter_mm[1] < lesion.diameter_mm[0]:
            assert lesion.collapse[1] < lesion.collapse[0]
