"""How long simulated patients live after the follow-up scan.

A proportional-hazards model whose coefficients come from OAK (``fitted.json``) or from published
hazard ratios. Published ratios are attenuated: they compare halves of a dichotomised, noisily
measured trait, in one model with what else is known. Taken at face value they leave the best
reading of both scans at a C-index of 0.745 (8,000 patients, seed 7); one common factor,
`UNMASKED`, raises all those that RECIST does not see, to bring this ceiling into the middle of
0.75 to 0.79. That factor is ours, and so is every statement about how much is there to be found.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctrs.trial.population.kinetics import fitted
from ctrs.trial.population.people import Person, ecog_shares
from ctrs.trial.population.tumours import Disease
from ctrs.types import Outcome, Patient


@dataclass(frozen=True)
class Effect:
    """Log hazard per unit of a trait, and who found it."""

    log_hazard: float
    source: str


# --- What the two scans show. Higher = dies sooner.
EFFECTS = {
    "effusion": Effect(0.32, "per 1.4 of log(1 + ml/100), a typical effusion: HR 1.38 (1.09-1.74),"
                       " PLUIE, 538 patients on ICI"),
    "liver": Effect(0.71, "HR 2.04 (1.33-3.13), PMID 31828427, 215 patients on ICI"),
    "bone": Effect(0.37, "HR 1.45 (1.30-1.62), Zhu, Front Immunol 2024, meta-analysis of 13"),
    "muscle": Effect(-0.30, "per SD; sarcopenia HR 1.61 (1.19-2.18), PMC8517360: those below and"
                     " above its cut lie 1.6 SD apart"),
    "emphysema": Effect(0.20, "per 10 % of the lung; above 17 % of it against below HR 1.56, Zhang,"
                        " ERJ Open Res 2023, mostly not on ICI; the step is ours"),
    "fibrosis": Effect(0.53, "ratio of median survivals 1.70, stage IV, Araki, Eur J Radiol Open"
                       " 2019, not on ICI"),
    "necrosis": Effect(0.26, "HR 1.3; ours: no ratio on ICI was found"),
    "new_lesion": Effect(0.41, "HR 1.5 for one, twice that for more; ours: worse than growth alone"
                         " in four trials, without a ratio"),
}  # fmt: skip
UNMASKED = 1.6

# Cox coefficients on OAK are those of noisy readings of some lesions; of all tumour, exactly
# known, they must be larger to give the same answer when read. See tests/test_outcome.py.
TRUE_CHANGE, TRUE_BASELINE = 1.75, 0.8  # times the fitted coefficient of what was read

CHANGE_LIMITS = (-1.4, 0.4)  # log ratio: a tumour that is gone adds nothing by being more gone
TYPICAL_ML = 36.0

# --- What no scan shows.
ECOG_2 = 1.33  # HR 2.72 (2.03-3.63) against 0 and 1 together, Dall'Olio, Lung Cancer 2020
FRAILTY = 0.25  # SD of what nobody knows; ours

# --- Time.
MONTHLY_HAZARD = 0.0088  # at log hazard 0
SHAPE = 1.05  # Weibull: the hazard rises slowly
CENSORED_BETWEEN = (9.0, 36.0)  # months; administrative


def log_hazard_scan(person: Person, disease: Disease) -> float:
    """Log hazard of everything that the two scans show, with what they say about ECOG.

    Sex and, by bone and plaque, age are among what a scan shows.
    """
    shown = _tumour_part(disease) + UNMASKED * _missed_part(person, disease)
    shares = ecog_shares(person.muscle_z, _age(person.clinic))
    return shown + _body_part(person.clinic) + _dot(shares, _ecog_effects())


def _tumour_part(disease: Disease) -> float:
    oak = fitted()["hazard"]["parameters"]
    before = sum(lesion.volume_ml(0) for lesion in disease.lesions)
    change = float(np.clip(disease.meant_log_ratio, *CHANGE_LIMITS))
    return float(
        TRUE_CHANGE * oak["log_change"]["value"] * change
        + TRUE_BASELINE * oak["log_baseline"]["value"] * np.log(max(before, 1.0) / TYPICAL_ML) / 3
    )


def _missed_part(person: Person, disease: Disease) -> float:
    """What neither diameters nor volume say, at its published size."""
    lesions = disease.lesions
    traits = {
        "effusion": float(np.log1p(disease.effusion_ml[1] / 100)) / 1.4,
        "liver": any(x.kind == "liver" and x.diameter_mm[1] > 0 for x in lesions),
        "bone": any(x.kind == "bone" and x.diameter_mm[1] > 0 for x in lesions),
        "muscle": float(np.clip(person.muscle_z, -2.5, 2.5)),
        "emphysema": person.emphysema / 0.10,
        "fibrosis": person.fibrosis_mm > 0,
        "necrosis": any(x.texture in ("necrotic", "cavitating") for x in lesions),
        "new_lesion": min(sum(x.is_new for x in lesions), 2),
    }
    return sum(EFFECTS[name].log_hazard * float(size) for name, size in traits.items())


def _body_part(clinic: Patient) -> float:
    oak = fitted()["hazard"]["parameters"]
    decades = (_age(clinic) - 67) / 10
    return float(oak["male"]["value"] * (clinic.sex == "male") + oak["decade"]["value"] * decades)


def _ecog_effects() -> tuple[float, float, float]:
    return 0.0, fitted()["hazard"]["parameters"]["ecog_1"]["value"], ECOG_2


def log_hazard(person: Person, scan: float, frailty: float) -> float:
    """Log hazard of the patient with everything known, and with the frailty that is not."""
    shares = ecog_shares(person.muscle_z, _age(person.clinic))
    surprise = _ecog_effects()[int(person.clinic.ecog)] - _dot(shares, _ecog_effects())
    return scan + surprise + frailty


def survival(log_hazard: float, months: float) -> float:
    """Probability of being alive ``months`` after the follow-up scan."""
    return float(np.exp(-MONTHLY_HAZARD * np.exp(log_hazard) * months**SHAPE))


def survival_shown(person: Person, scan: float, months: float) -> float:
    """The same for all patients with such scans: averaged over ECOG and frailty.

    Exact, because everything else that moves the hazard is on the scans: PD-L1, line and regimen
    act through the response alone.
    """
    effects = _ecog_effects()
    shares = ecog_shares(person.muscle_z, _age(person.clinic))
    mean = _dot(shares, effects)
    total = 0.0
    for share, effect in zip(shares, effects, strict=True):
        hazards = scan + effect - mean + FRAILTY * _NODES
        alive = np.exp(-MONTHLY_HAZARD * np.exp(hazards) * months**SHAPE)
        total += share * float((_WEIGHTS * alive).sum())
    return total


_NODES, _RAW = np.polynomial.hermite_e.hermegauss(7)
_WEIGHTS = _RAW / _RAW.sum()


def draw_outcome(rng: np.random.Generator, log_hazard: float) -> Outcome:
    """One life; censored where the study ends first."""
    scale = MONTHLY_HAZARD * float(np.exp(log_hazard))
    death = float((rng.exponential() / scale) ** (1 / SHAPE))
    censored = float(rng.uniform(*CENSORED_BETWEEN))
    return Outcome(round(max(min(death, censored), 0.1), 2), death <= censored)


def _age(clinic: Patient) -> int:
    return 67 if clinic.age is None else clinic.age


def _dot(shares: tuple[float, ...], values: tuple[float, ...]) -> float:
    return sum(share * value for share, value in zip(shares, values, strict=True))
