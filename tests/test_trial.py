"""Simulated patients: the same every time, and as a crowd like the published ones."""

from dataclasses import replace

import numpy as np
import pytest
from lifelines import KaplanMeierFitter
from lifelines.utils import concordance_index

from ctrs.trial.bank import TEST_SHARE, load_prepared, simulate_trial
from ctrs.trial.lesions import Lesion, paint_blob
from ctrs.trial.patients import simulate_patients, trial_table
from ctrs.types import Recist
from tests.test_prepare import centre_mm

# 202 real patients of OAK, scanned in weeks 6 to 18 (R package jmpost), clock at that scan.
MIX = {"PD": 0.19, "SD": 0.64, "PR": 0.17}
SURVIVAL_12M = {"PD": 0.43, "SD": 0.59, "PR": 0.85}


@pytest.fixture(scope="module")
def patients():
    return simulate_patients(4000, 11)


@pytest.fixture(scope="module")
def table(patients):
    table = trial_table(patients)
    classes = table["recist"].astype(str).replace("CR", "PR")
    return table.assign(response=classes)


# --- The same every time ----------------------------------------------------------------------


def test_a_patient_is_the_same_however_many_there_are(patients):
    assert simulate_patients(3, 11) == patients[:3]


def test_other_seeds_are_other_patients(patients):
    (other,) = simulate_patients(1, 12)
    assert other.lesions != patients[0].lesions
    assert other.anatomy != patients[0].anatomy


def test_patients_are_not_copies_of_each_other(patients):
    assert len({p.seed for p in patients}) > 3990
    assert len({p.lesions for p in patients}) == len(patients)
    assert [p.patient.patient for p in patients[:2]] == ["SIM-0001", "SIM-0002"]


# --- The crowd --------------------------------------------------------------------------------


@pytest.mark.parametrize("response", ["PD", "SD", "PR"])
def test_responses_come_as_often_as_in_oak(table, response):
    assert (table["response"] == response).mean() == pytest.approx(MIX[response], abs=0.06)


@pytest.mark.parametrize("response", ["PD", "SD", "PR"])
def test_responses_live_as_long_as_in_oak(table, response):
    group = table[table["response"] == response]
    fitted = KaplanMeierFitter().fit(group["months"], group["event"])
    assert float(fitted.predict(12)) == pytest.approx(SURVIVAL_12M[response], abs=0.06)


def c_index(table, hazard):
    return concordance_index(table["months"], -hazard, table["event"])


def test_what_is_measured_tells_as_much_as_in_oak(table):
    # OAK: change of diameters 0.64, RECIST 0.61, baseline diameters 0.57.
    change = table["sum_follow_up_mm"] / table["sum_baseline_mm"]
    rank = table["response"].map({"PR": 0, "SD": 1, "PD": 2})
    assert c_index(table, change) == pytest.approx(0.64, abs=0.04)
    assert c_index(table, rank) == pytest.approx(0.61, abs=0.04)
    assert c_index(table, table["sum_baseline_mm"]) == pytest.approx(0.57, abs=0.04)


def test_scans_tell_more_than_diameters_and_less_than_everything(table):
    change = c_index(table, table["sum_follow_up_mm"] / table["sum_baseline_mm"])
    scan = c_index(table, table["true_log_hazard_scan"])
    everything = c_index(table, -table["true_survival_12m"])
    assert change + 0.03 < scan < everything < 0.85


def test_true_survival_is_calibrated(table):
    # The probability that each patient drew from, and how many of them lived.
    fitted = KaplanMeierFitter().fit(table["months"], table["event"])
    assert float(fitted.predict(12)) == pytest.approx(table["true_survival_12m"].mean(), abs=0.02)


def test_every_patient_is_scanned_in_the_window(table):
    assert table["interval_days"].between(63, 105).all()
    assert table["interval_days"].mean() == pytest.approx(84, abs=1)
    assert (table["months"] > 0).all()
    assert (table["months"] <= 36).all()


def test_recist_class_agrees_with_its_diameters(patients):
    for patient in patients[:500]:
        read = patient.response
        change = read.sum_follow_up_mm / read.sum_baseline_mm - 1
        if read.recist is Recist.PR:
            assert change <= -0.299
        if read.recist is Recist.SD:
            assert -0.301 < change < 0.21
            assert read.new_lesions == 0


def test_new_lesions_are_absent_at_baseline(patients):
    new = [lesion for p in patients for lesion in p.lesions if lesion.is_new]
    assert 100 < len(new) < 1200
    assert all(lesion.volume_ml(0) == 0 < lesion.volume_ml(1) for lesion in new)


def test_pseudoprogression_grows_first_and_lives_long(patients):
    pseudo = [p for p in patients if any(lesion.halo for lesion in p.lesions)]
    assert 0.005 < len(pseudo) / len(patients) < 0.03
    assert np.median([p.tumour_ml(1) / p.tumour_ml(0) for p in pseudo]) > 1.5
    assert np.mean([p.survival_12m for p in pseudo]) > 0.65


# --- Lesions ----------------------------------------------------------------------------------

LESION = Lesion(
    kind="primary", place=None, diameter_mm=(22.0, 31.0), texture="solid", irregularity=0.25,
    spicules=0.6, halo=0.0, seed=5,
)  # fmt: skip
SPACING = (2.5, 0.9, 1.2)
CENTRE_MM = np.array([61.0, 47.0, 83.0])


def painted(lesion, visit, centre_mm=CENTRE_MM):
    hu = np.full((50, 120, 130), -860, np.float32)
    mask = paint_blob(hu, SPACING, centre_mm / SPACING, lesion, visit, enhancement=100.0)
    return hu, mask


@pytest.mark.parametrize(("visit", "ml"), [(0, 5.575), (1, 15.599)])  # π / 6 d³
def test_mask_has_the_volume_of_the_kinetics(visit, ml):
    _, mask = painted(LESION, visit)
    assert LESION.volume_ml(visit) == pytest.approx(ml, rel=1e-3)
    assert mask.sum() * np.prod(SPACING) / 1000 == pytest.approx(ml, rel=0.02)


@pytest.mark.parametrize("visit", [0, 1])
def test_lesion_lies_where_it_was_put(visit):
    _, mask = painted(replace(LESION, irregularity=0.0, spicules=0.0), visit)
    np.testing.assert_allclose(centre_mm(mask, SPACING), CENTRE_MM, atol=0.3)


def test_lesion_is_tissue_inside_and_leaves_the_rest_alone():
    hu, mask = painted(LESION, 1)
    assert np.median(hu[mask]) == pytest.approx(38 + 0.3 * 100, abs=2)
    z, y, x = np.indices(hu.shape)
    far = np.linalg.norm(
        [(u - c) for u, c in zip((z * 2.5, y * 0.9, x * 1.2), CENTRE_MM, strict=True)], axis=0
    )
    assert (hu[far > 45] == -860).all()


def test_absent_lesion_paints_nothing():
    hu, mask = painted(replace(LESION, diameter_mm=(0.0, 31.0)), 0, np.array([500.0, 47, 83]))
    assert not mask.any()
    assert (hu == -860).all()


def test_necrotic_core_is_darker_than_the_rim():
    hu, mask = painted(replace(LESION, texture="necrotic"), 1)
    assert hu[tuple(np.rint(CENTRE_MM / SPACING).astype(int))] == pytest.approx(12, abs=2)
    assert np.quantile(hu[mask], 0.9) > 60


def test_halo_comes_with_the_follow_up_only():
    def glass_ml(halo, visit):
        hu, mask = painted(replace(LESION, halo=halo), visit)
        return ((hu > -700) & (hu < -550) & ~mask).sum() * np.prod(SPACING) / 1000

    assert glass_ml(0.4, 0) == glass_ml(0.0, 0)
    assert glass_ml(0.4, 1) > glass_ml(0.0, 1) + 5


# --- On disk ----------------------------------------------------------------------------------


def test_tables_alone_are_written_without_voxels(tmp_path):
    table = simulate_trial(tmp_path, 10, 3, voxels=False)
    assert not (tmp_path / "prepared").exists()
    assert list(table["split"]) == ["train"] * 6 + ["test"] * round(10 * TEST_SHARE)
    lines = (tmp_path / "patients.csv").read_text().splitlines()
    assert len(lines) == 11
    assert lines[1].startswith("SIM-0001,")


def test_prepared_scans_of_a_patient_hold_the_truth_in_millilitres(tmp_path):
    simulate_trial(tmp_path, 1, 8, workers=1)
    (patient,) = simulate_patients(1, 8)
    arrays = load_prepared(tmp_path, "SIM-0001")
    assert {k: v.shape for k, v in arrays.items()} == dict.fromkeys(
        ("image", "lungs", "tumour", "effusion"), (2, 104, 88, 120)
    )
    for visit in (0, 1):
        found = arrays["tumour"][visit].sum() / 255 * 0.027
        # Lesions that overlap count once in the voxels and twice in the kinetics.
        assert 0.7 * patient.tumour_ml(visit) < found < 1.05 * patient.tumour_ml(visit)
        assert 1500 < arrays["lungs"][visit].sum() * 0.027 < 8000
