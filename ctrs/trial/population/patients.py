"""Simulated patients with the whole truth: who they are, their tumours, their scans' dates, their
lives. What follows from it all is held against real figures by `ctrs.trial.population.describe`.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from ctrs.trial.body.anatomy import Anatomy, draw_anatomy
from ctrs.trial.disease.lesions import Lesion
from ctrs.trial.population.kinetics import fitted_kinetics
from ctrs.trial.population.outcome import (
    FRAILTY,
    draw_outcome,
    log_hazard,
    log_hazard_scan,
    survival,
    survival_shown,
)
from ctrs.trial.population.people import Person, draw_person, split_of
from ctrs.trial.population.reader import read_response
from ctrs.trial.population.tumours import Disease, draw_disease
from ctrs.types import Outcome, Patient, Response

SHOWN_AT = (3, 6, 9, 12, 15, 18, 24, 30, 36)  # months after the follow-up scan
INTERVAL_DAYS, INTERVAL_SD, INTERVAL_LIMITS = 84, 8, (63, 105)


@dataclass(frozen=True, kw_only=True)
class TrialPatient:
    """A simulated patient with the whole truth.

    Attributes:
        interval_days: From baseline to follow-up.
        log_hazard_scan: The part of the true log hazard that the two scans can show.
        survival_12m: True probability of living 12 months after the follow-up scan.
        survival_scan: True probability of living so many months (`SHOWN_AT`) after the follow-up
            scan for patients with these scans: averaged over the clinic and the frailty, which
            no scan shows.
        seed: Of everything about this patient's scans.
    """

    person: Person
    anatomy: Anatomy
    disease: Disease
    interval_days: int
    response: Response
    outcome: Outcome
    log_hazard_scan: float
    survival_12m: float
    survival_scan: dict[int, float]
    seed: int

    @property
    def patient(self) -> Patient:
        return self.person.clinic

    @property
    def lesions(self) -> tuple[Lesion, ...]:
        return self.disease.lesions

    def tumour_ml(self, visit: int) -> float:
        """True volume of all tumours at visit 0 or 1, ml."""
        return sum(lesion.volume_ml(visit) for lesion in self.lesions)


def simulate_patients(
    n: int, seed: int, prefix: str = "SIM", workers: int = 1
) -> list[TrialPatient]:
    """Draw ``n`` patients; the same seed gives the same patients, whatever ``n`` and ``workers``.

    In every 2,076 there are 1,171 of the discovery cohort, 605 of the test cohort and 300 of the
    external trial.
    """
    draw = partial(simulate_patient, seed, prefix)
    if workers < 2 or n < 2000:
        return [draw(index) for index in range(n)]
    with ProcessPoolExecutor(workers) as pool:
        return list(pool.map(draw, range(n), chunksize=500))


def simulate_patient(seed: int | Sequence[int], prefix: str, index: int) -> TrialPatient:
    """One of them, counted from 0."""
    rng = np.random.default_rng([*np.atleast_1d(seed), index])
    person = draw_person(rng, f"{prefix}-{index + 1:04d}", split_of(index))
    anatomy = draw_anatomy(
        rng,
        sex=person.clinic.sex,
        age=person.clinic.age or 67,
        bmi=person.bmi,
        emphysema=person.emphysema,
        fibrosis_mm=person.fibrosis_mm,
        muscle_z=person.muscle_z,
    )
    days = int(np.clip(np.rint(rng.normal(INTERVAL_DAYS, INTERVAL_SD)), *INTERVAL_LIMITS))
    disease = draw_disease(rng, person, anatomy, days, fitted_kinetics())
    shown = log_hazard_scan(person, disease)
    hazard = log_hazard(person, shown, FRAILTY * float(rng.standard_normal()))
    return TrialPatient(
        person=person,
        anatomy=anatomy,
        disease=disease,
        interval_days=days,
        response=read_response(rng, disease.lesions),
        outcome=draw_outcome(rng, hazard),
        log_hazard_scan=shown,
        survival_12m=survival(hazard, 12),
        survival_scan={months: survival_shown(person, shown, months) for months in SHOWN_AT},
        seed=int(rng.integers(2**31)),
    )


def trial_table(patients: list[TrialPatient]) -> pd.DataFrame:
    """One row a patient, as `ctrs.types.Cohort` wants it, with the truth beside it.

    Columns that begin with ``true_`` are known only because the trial is simulated.
    """
    return pd.DataFrame([_row(patient) for patient in patients])


def _row(p: TrialPatient) -> dict[str, object]:
    return {
        **vars(p.patient),
        "split": p.person.split,
        "scanner_baseline": p.person.scanner[0],
        "scanner_follow_up": p.person.scanner[1],
        **vars(p.response),
        "months": p.outcome.months,
        "event": p.outcome.event,
        "interval_days": p.interval_days,
        "true_survival_12m": _digits(p.survival_12m),
        **{f"true_survival_{t}m_scan": _digits(s) for t, s in p.survival_scan.items()},
        "true_log_hazard_scan": _digits(p.log_hazard_scan),
        "true_tumour_ml_baseline": _digits(p.tumour_ml(0)),
        "true_tumour_ml_follow_up": _digits(p.tumour_ml(1)),
        "true_pseudoprogression": p.disease.pseudoprogression,
        "true_lesions": len(p.lesions),
        "true_effusion_ml_baseline": _digits(p.disease.effusion_ml[0]),
        "true_effusion_ml_follow_up": _digits(p.disease.effusion_ml[1]),
        "true_emphysema": _digits(p.person.emphysema),
        "true_fibrosis_mm": _digits(p.person.fibrosis_mm),
        "true_muscle_z": _digits(p.person.muscle_z),
    }


def _digits(value: float) -> float:
    """Six digits: the last bits of a logarithm differ between processors, these do not."""
    return float(f"{value:.6g}")
