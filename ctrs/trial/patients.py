"""Simulated patients: who they are, how their tumours go, how long they live.

The shapes of the distributions follow published cohorts of advanced NSCLC on immunotherapy;
the coefficients of the hazard follow the Cox model on the OAK patients of the ``jmpost`` package
(hazard ratio 5.1 per unit of log diameter ratio, 1.6 per log baseline diameter, 1.7 for ECOG 1).
What follows from them is tested against the published figures in ``tests/test_trial.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ctrs.response import recist_class
from ctrs.trial.anatomy import SIDES, Anatomy, LungPlace, draw_anatomy
from ctrs.trial.lesions import Kind, Lesion, NodePlace, Texture
from ctrs.types import UNKNOWN, Outcome, Patient, Response

FOLLOW_UP_MONTHS = 36.0  # administrative censoring comes between 9 and 36 months
DIAMETER_NOISE = 0.06  # log scale; same-day repeat CT: 84 % within 10 % (Oxnard 2011)
VOLUME_NOISE = 0.09  # log scale; repeat CT -12...+13 % (RIDER)


@dataclass(frozen=True, kw_only=True)
class TrialPatient:
    """A simulated patient with the whole truth.

    Attributes:
        lesions: Through both visits.
        effusion_ml: Pleural fluid at baseline and follow-up, in ``effusion_side``.
        interval_days: From baseline to follow-up.
        log_hazard_scan: The part of the true log hazard that a scan can show.
        survival_12m: True probability of living 12 months after the follow-up scan.
        survival_12m_scan: The same for patients with these scans: averaged over the clinic and
            the frailty, which no scan shows.
    """

    patient: Patient
    anatomy: Anatomy
    lesions: tuple[Lesion, ...]
    effusion_ml: tuple[float, float]
    effusion_side: str
    interval_days: int
    response: Response
    outcome: Outcome
    log_hazard_scan: float
    survival_12m: float
    survival_12m_scan: float
    seed: int

    def tumour_ml(self, visit: int) -> float:
        """True volume of all tumours at visit 0 or 1, ml."""
        return sum(lesion.volume_ml(visit) for lesion in self.lesions)


def simulate_patients(n: int, seed: int, prefix: str = "SIM") -> list[TrialPatient]:
    """Draw ``n`` patients; the same seed gives the same patients, whatever ``n``."""
    return [
        _simulate(np.random.default_rng([seed, index]), f"{prefix}-{index + 1:04d}")
        for index in range(n)
    ]


def _simulate(rng: np.random.Generator, name: str) -> TrialPatient:
    clinic = _clinic(rng, name)
    emphysema = float(np.clip(rng.gamma(0.9, 0.09) * (rng.random() < 0.6), 0, 0.5))
    muscle_z = float(rng.normal() - (0.3 if clinic.ecog != "0" else 0.0))
    trend = _trend(rng)
    lesions = _lesions(rng, trend)
    effusion = _effusion(rng, trend.seen)
    risk = _log_hazard_scan(lesions, trend, effusion, emphysema, muscle_z)
    hidden = _log_hazard_clinic(clinic) + float(rng.normal(0, FRAILTY))
    survival_12m, outcome = _outcome(rng, risk + hidden)
    return TrialPatient(
        patient=clinic,
        anatomy=draw_anatomy(rng, clinic.sex, emphysema, muscle_z),
        lesions=lesions,
        effusion_ml=effusion,
        effusion_side=SIDES[int(rng.integers(2))],
        interval_days=int(np.clip(np.rint(rng.normal(84, 8)), 63, 105)),
        response=_read(rng, lesions),
        outcome=outcome,
        log_hazard_scan=risk,
        survival_12m=survival_12m,
        survival_12m_scan=_survival_seen(risk),
        seed=int(rng.integers(2**31)),
    )


def _clinic(rng: np.random.Generator, name: str) -> Patient:
    squamous = rng.random() < 0.28
    women = 0.32 if squamous else 0.45
    return Patient(
        patient=name,
        cohort="simulated trial",
        age=int(np.clip(rng.normal(66, 9.5), 34, 92)),
        sex=_pick(rng, {"male": 1 - women, "female": women}),
        histology=("squamous" if squamous else _pick(rng, {"adenocarcinoma": 0.88, "other": 0.12})),
        pd_l1=_pick(rng, {"<1%": 0.25, "1-49%": 0.25, ">=50%": 0.32, UNKNOWN: 0.18}),
        ecog=_pick(rng, {"0": 0.34, "1": 0.54, "2": 0.12}),
        line=_pick(rng, {"first": 0.62, "later": 0.38}),
        regimen=_pick(rng, {"ICI alone": 0.52, "ICI + chemotherapy": 0.48}),
        site=f"site {int(rng.integers(1, 11))}",
    )


def _pick(rng: np.random.Generator, shares: dict[str, float]) -> str:
    return str(rng.choice(list(shares), p=list(shares.values())))


# --- Tumours ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trend:
    """Log ratio of diameters, follow-up over baseline: as scanned, and as it will turn out."""

    seen: float
    meant: float
    pseudoprogression: bool


def _trend(rng: np.random.Generator) -> Trend:
    """Responders, stable and progressing patients; a few grow first and shrink later."""
    kind = rng.choice(4, p=[0.20, 0.63, 0.155, 0.015])
    seen = float((rng.normal(-0.75, 0.35), rng.normal(-0.03, 0.13), rng.normal(0.27, 0.16),
                  rng.normal(0.30, 0.08))[kind])  # fmt: skip
    if kind == 3:
        return Trend(seen, -0.55, True)
    return Trend(seen, seen, False)


def _lesions(rng: np.random.Generator, trend: Trend) -> tuple[Lesion, ...]:
    kinds: list[Kind] = ["primary"]
    kinds.extend("metastasis" for _ in range(min(rng.poisson(1.1), 6)))
    kinds.extend("node" for _ in range(min(rng.poisson(0.9), 4)))
    lesions = [_known(rng, kind, trend) for kind in kinds]
    growing = max(trend.seen, 0.0)
    for _ in range(int(rng.poisson(0.05 + 0.9 * growing) if not trend.pseudoprogression else 0)):
        size = float(np.exp(rng.normal(np.log(11), 0.3)))
        lesions.append(_lesion(rng, "metastasis", (0.0, size), trend))
    return tuple(lesions)


def _known(rng: np.random.Generator, kind: Kind, trend: Trend) -> Lesion:
    middle, spread = {"primary": (40, 0.45), "metastasis": (15, 0.4), "node": (19, 0.3)}[kind]
    before = float(np.clip(np.exp(rng.normal(np.log(middle), spread)), 6, 115))
    ratio = float(np.exp(trend.seen + rng.normal(0, 0.09)))
    after = before * ratio
    return _lesion(rng, kind, (before, after if after > 3 else 0.0), trend)


def _lesion(
    rng: np.random.Generator, kind: Kind, diameters: tuple[float, float], trend: Trend
) -> Lesion:
    smooth = kind == "node"
    return Lesion(
        kind=kind,
        place=_node_place(rng) if smooth else _lung_place(rng, max(diameters)),
        diameter_mm=diameters,
        texture=_texture(rng, kind, max(diameters)),
        irregularity=float(rng.uniform(0.02, 0.08) if smooth else rng.uniform(0.08, 0.30)),
        spicules=float(rng.uniform(0.2, 0.7) if kind == "primary" else 0.0),
        halo=float(rng.uniform(0.25, 0.45)) if trend.pseudoprogression else 0.0,
        seed=int(rng.integers(2**31)),
    )


def _texture(rng: np.random.Generator, kind: Kind, diameter: float) -> Texture:
    if kind == "primary" and diameter > 30:
        textures: tuple[Texture, ...] = ("solid", "necrotic", "cavitating")
        return textures[rng.choice(3, p=[0.55, 0.33, 0.12])]
    if kind == "primary" and rng.random() < 0.15:
        return "part-solid"
    return "solid"


def _lung_place(rng: np.random.Generator, diameter: float) -> LungPlace:
    """Anywhere in the lungs; large tumours keep off the walls, upper lobes come first."""
    reach = float(np.clip(1.0 - diameter / 130, 0.2, 0.95))
    return LungPlace(
        SIDES[int(rng.random() < 0.42)],
        float(np.clip(rng.beta(2.2, 1.7), 0.1, 0.92)),
        float(rng.uniform(-reach, reach)),
        float(rng.uniform(-0.85, 0.85) * reach),
    )


def _node_place(rng: np.random.Generator) -> NodePlace:
    """Hilar, subcarinal or paratracheal."""
    side = SIDES[int(rng.integers(2))]
    station = rng.choice(3, p=[0.5, 0.2, 0.3])
    z, y, x = ((0, 6, 6), (-6, 2, -38), (44, -2, -30))[station]
    jz, jy, jx = rng.normal(0, (6, 4, 3))
    return NodePlace(side, float(z + jz), float(y + jy), float(x + jx))


def _effusion(rng: np.random.Generator, trend: float) -> tuple[float, float]:
    before = float(np.exp(rng.normal(np.log(250), 0.7))) if rng.random() < 0.17 else 0.0
    if before:
        return before, before * float(np.exp(rng.normal(0.9 * trend, 0.5)))
    fresh = rng.random() < 0.05 + 0.25 * max(trend, 0)
    return 0.0, float(np.exp(rng.normal(np.log(280), 0.6))) if fresh else 0.0


# --- Outcome --------------------------------------------------------------------------------


def _log_hazard_scan(
    lesions: tuple[Lesion, ...],
    trend: Trend,
    effusion: tuple[float, float],
    emphysema: float,
    muscle_z: float,
) -> float:
    """The part of the log hazard that is there to be seen on the two scans."""
    baseline = sum(lesion.diameter_mm[0] for lesion in lesions)
    new = sum(lesion.is_new for lesion in lesions)
    dead_core = any(lesion.texture in ("necrotic", "cavitating") for lesion in lesions)
    return float(
        0.60 * np.log(max(baseline, 8) / 70)
        + 1.63 * np.clip(trend.meant, -1.6, 0.8)
        + 0.50 * min(new, 2)
        + 0.55 * np.log1p(effusion[1] / 100)
        + 0.50 * dead_core
        + 3.5 * emphysema
        - 0.55 * np.clip(muscle_z, -2.5, 2.5)
    )


def _log_hazard_clinic(patient: Patient) -> float:
    ecog = {"0": -0.30, "1": 0.12, "2": 0.55}[patient.ecog]
    pd_l1 = {"<1%": 0.15, "1-49%": 0.02, ">=50%": -0.22, UNKNOWN: 0.05}[patient.pd_l1]
    age = 0.012 * ((patient.age or 66) - 66)
    return ecog + pd_l1 + age


MEDIAN_HAZARD = 0.0200  # deaths a month at log hazard 0
SHAPE = 1.05  # Weibull; the hazard rises slowly
FRAILTY = 0.2  # standard deviation of what nobody can see, log hazard
HIDDEN = (0.004, 0.389)  # mean and SD over patients of clinic and frailty together, log hazard


def _survival_seen(log_hazard_scan: float) -> float:
    """12-month survival averaged over everything that the scans do not show."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(15)
    scale = MEDIAN_HAZARD * np.exp(log_hazard_scan + HIDDEN[0] + HIDDEN[1] * nodes)
    return float((weights * np.exp(-scale * 12**SHAPE)).sum() / weights.sum())


def _outcome(rng: np.random.Generator, log_hazard: float) -> tuple[float, Outcome]:
    """True 12-month survival, and one life drawn from it."""
    scale = MEDIAN_HAZARD * np.exp(log_hazard)
    survival_12m = float(np.exp(-scale * 12**SHAPE))
    death = float((rng.exponential() / scale) ** (1 / SHAPE))
    censored = float(rng.uniform(9, FOLLOW_UP_MONTHS))
    months = max(min(death, censored), 0.1)
    return survival_12m, Outcome(round(months, 2), death <= censored)


# --- Conventional reading ---------------------------------------------------------------------


def _read(rng: np.random.Generator, lesions: tuple[Lesion, ...]) -> Response:
    """RECIST 1.1 and volume change as a reader would measure them, with a reader's noise."""
    targets = _targets(lesions)
    before = [t.diameter_mm[0] * np.exp(rng.normal(0, DIAMETER_NOISE)) for t in targets]
    after = [t.diameter_mm[1] * np.exp(rng.normal(0, DIAMETER_NOISE)) for t in targets]
    new = sum(lesion.is_new and rng.random() < 0.8 for lesion in lesions)
    volumes = [
        sum(lesion.volume_ml(visit) for lesion in lesions) * np.exp(rng.normal(0, VOLUME_NOISE))
        for visit in (0, 1)
    ]
    return Response(
        recist=recist_class(sum(before), sum(after), new_lesions=new),
        sum_baseline_mm=round(float(sum(before)), 1),
        sum_follow_up_mm=round(float(sum(after)), 1),
        new_lesions=int(new),
        volume_change=float(volumes[1] / volumes[0] - 1),
    )


def _targets(lesions: tuple[Lesion, ...]) -> list[Lesion]:
    """RECIST targets: the largest measurable, at most 5, at most 2 an organ."""
    chosen: list[Lesion] = []
    for organ, smallest in ((("primary", "metastasis"), 10.0), (("node",), 15.0)):
        found = [x for x in lesions if x.kind in organ and x.diameter_mm[0] >= smallest]
        chosen += sorted(found, key=lambda x: -x.diameter_mm[0])[:2]
    return chosen or [max(lesions, key=lambda x: x.diameter_mm[0])]


def trial_table(patients: list[TrialPatient]) -> pd.DataFrame:
    """One row a patient, as `ctrs.types.Cohort` wants it, with the truth beside it."""
    return pd.DataFrame(
        [
            {
                **vars(p.patient),
                **vars(p.response),
                "months": p.outcome.months,
                "event": p.outcome.event,
                "interval_days": p.interval_days,
                "true_survival_12m": p.survival_12m,
                "true_survival_12m_scan": p.survival_12m_scan,
                "true_log_hazard_scan": p.log_hazard_scan,
                "true_tumour_ml_baseline": p.tumour_ml(0),
                "true_tumour_ml_follow_up": p.tumour_ml(1),
            }
            for p in patients
        ]
    )
