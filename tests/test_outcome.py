"""Life and death in the simulation: directions, arithmetic, and who is blind to what."""

from dataclasses import replace

import numpy as np
import pytest

from ctrs.survival import cox_terms, kaplan_meier, survival_at
from ctrs.trial.population import outcome
from ctrs.trial.population.fit import HAZARD_COVARIATES, hazard_covariates
from ctrs.trial.population.kinetics import fitted
from ctrs.trial.population.patients import simulate_patients, trial_table
from ctrs.trial.population.people import ecog_shares
from ctrs.types import Cohort


@pytest.fixture(scope="module")
def patients():
    return simulate_patients(6000, 5, workers=2)


@pytest.fixture(scope="module")
def patient(patients):
    return next(p for p in patients if p.disease.effusion_ml == (0.0, 0.0) and len(p.lesions) == 2)


def shown(patient, person=None, **disease):
    return outcome.log_hazard_scan(person or patient.person, replace(patient.disease, **disease))


def test_fluid_and_growth_shorten_life_and_muscle_lengthens_it(patient):
    now = shown(patient)
    assert shown(patient, effusion_ml=(0.0, 400.0)) > now
    assert shown(patient, meant_log_ratio=patient.disease.meant_log_ratio - 0.3) < now
    strong = replace(patient.person, muscle_z=patient.person.muscle_z + 1)
    weak = replace(patient.person, emphysema=patient.person.emphysema + 0.1)
    assert shown(patient, strong) < now < shown(patient, weak)


def test_typical_effusion_has_its_published_ratio_times_the_common_factor(patient):
    ml = 100 * (np.exp(1.4) - 1)
    rise = shown(patient, effusion_ml=(0.0, ml)) - shown(patient)
    assert rise == pytest.approx(1.6 * np.log(1.38), abs=0.005)


def test_survival_by_hand():
    # exp(-0.0088 * exp(0.5) * 12^1.05) = exp(-0.19714)
    assert outcome.survival(0.5, 12) == pytest.approx(0.82108, abs=1e-4)


def test_survival_of_such_scans_is_the_mean_over_all_that_they_hide(patient):
    rng = np.random.default_rng(3)
    person, shares = patient.person, ecog_shares(patient.person.muscle_z, patient.patient.age)
    lives = []
    for _ in range(20_000):
        clinic = replace(
            patient.patient,
            ecog=str(rng.choice(["0", "1", "2"], p=shares)),
        )
        frailty = outcome.FRAILTY * rng.standard_normal()
        hazard = outcome.log_hazard(replace(person, clinic=clinic), 1.2, frailty)
        lives.append(outcome.survival(hazard, 12))
    assert outcome.survival_shown(person, 1.2, 12) == pytest.approx(np.mean(lives), abs=0.005)


def test_true_probabilities_are_calibrated(patients):
    # What each patient drew from, and how many of them lived.
    table = trial_table(patients)
    alive = survival_at(kaplan_meier(Cohort("all", table)), Cohort("all", table), 12.0).survival
    assert alive == pytest.approx(table["true_survival_12m"].mean(), abs=0.02)
    assert alive == pytest.approx(table["true_survival_12m_scan"].mean(), abs=0.02)


def test_cox_on_readings_agrees_with_oak(patients):
    """Simulated readings give the coefficients of the real ones, each within its interval."""
    table = trial_table(patients)
    readable = hazard_covariates(table[table["sum_baseline_mm"] > 0])
    names = [name for name in HAZARD_COVARIATES if name != "immunotherapy"]
    oak = fitted()["hazard"]["parameters"]
    for term in cox_terms(Cohort("simulated", readable), names):
        off = abs(term.log_hazard - oak[term.covariate]["value"])
        assert off < 1.96 * oak[term.covariate]["standard_error"], term
