"""Who the simulated patients are: three cohorts with their sites, scanners and clinics.

Shares and sizes follow the published Serial CTRS cohorts (1,171 discovery, 605 test at ten sites,
Sako et al., JAMA Netw Open 2026) and, for the external trial, GARNET's lung cohort (later line,
monotherapy, PD-L1 mostly low). Where a figure has no source beside it, it is ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctrs.types import UNKNOWN, Patient

COHORT_SIZES = {"train": 1171, "test": 605, "external": 300}
TOTAL = sum(COHORT_SIZES.values())

# Four of the ten test sites gave no patient to discovery. Each has the scanners it bought.
SITES: dict[str, tuple[str, ...]] = {
    "site 1": ("Siemens",), "site 2": ("Siemens", "GE"), "site 3": ("GE",),
    "site 4": ("Philips", "Siemens"), "site 5": ("GE", "Canon"), "site 6": ("Siemens", "Philips"),
    "site 7": ("Canon",), "site 8": ("GE", "Philips"), "site 9": ("Siemens",),
    "site 10": ("Philips", "Canon"),
    "trial site A": ("United Imaging",), "trial site B": ("Fujifilm",),
    "trial site C": ("United Imaging", "Fujifilm"), "trial site D": ("Fujifilm", "Siemens"),
}  # fmt: skip
SITES_OF = {
    "train": tuple(SITES)[:6],
    "test": tuple(SITES)[:10],
    "external": tuple(SITES)[10:],
}

PD_L1 = ("<1%", "1-49%", ">=50%", UNKNOWN)
FIRST_LINE_PD_L1 = (0.25, 0.27, 0.36, 0.12)
LATER_LINE_PD_L1 = (0.25, 0.20, 0.20, 0.35)  # often never tested
EXTERNAL_PD_L1 = (0.36, 0.30, 0.07, 0.27)  # GARNET: 35.8, 29.9, 7.5 and 26.9 %

# Ordinal logistic model of ECOG: log odds of at most 0 and at most 1 for the average patient.
ECOG_THRESHOLDS = (-0.72, 1.80)
ECOG_PER_MUSCLE = -0.45  # per SD: the weak are in worse shape
ECOG_PER_DECADE = 0.30


@dataclass(frozen=True, kw_only=True)
class Person:
    """A simulated patient apart from the tumours.

    Attributes:
        clinic: What the clinic knows.
        split: ``train`` (the discovery cohort), ``test`` or ``external``.
        scanner: Manufacturer at the baseline scan, and at the follow-up scan.
        muscle_z: Muscle against others of the same sex, in standard deviations.
        emphysema: Share of the lung destroyed, 0 to 0.5.
        fibrosis_mm: Thickness of a fibrotic rim at the bases; 0 = none.
    """

    clinic: Patient
    split: str
    scanner: tuple[str, str]
    bmi: float
    muscle_z: float
    emphysema: float
    fibrosis_mm: float


def _deal() -> tuple[str, ...]:
    """The cohorts dealt out one by one, always to the one that lags most behind its share."""
    counts = dict.fromkeys(COHORT_SIZES, 0)
    dealt = []
    for n in range(1, TOTAL + 1):
        lagging = max(COHORT_SIZES, key=lambda s: COHORT_SIZES[s] * n - TOTAL * counts[s])
        counts[lagging] += 1
        dealt.append(lagging)
    return tuple(dealt)


_DEALT = _deal()


def split_of(index: int) -> str:
    """The cohort of the patient with this index: the published sizes in every 2,076 patients.

    Every beginning of the sequence holds the cohorts in proportion, so that a small trial has
    all three and a patient's cohort does not depend on how many follow.
    """
    return _DEALT[index % TOTAL]


def draw_person(rng: np.random.Generator, name: str, split: str) -> Person:
    """One patient of a cohort, under a name that says the patient is simulated."""
    site = pick(rng, SITES_OF[split])
    smoker = rng.random() < 0.88
    squamous = rng.random() < (0.30 if smoker else 0.08)
    male = rng.random() < (0.66 if squamous else 0.51)
    age = int(np.clip(rng.normal(67, 9), 34, 92))
    muscle_z = float(rng.standard_normal())
    line = "later" if rng.random() < later_line_share(split) else "first"
    pd_l1 = pick(rng, PD_L1, _pd_l1_shares(split, line))
    clinic = Patient(
        patient=name,
        cohort="simulated trial",
        age=age,
        sex="male" if male else "female",
        histology="squamous" if squamous else pick(rng, ("adenocarcinoma", "other"), (0.88, 0.12)),
        pd_l1=pd_l1,
        ecog=pick(rng, ("0", "1", "2"), ecog_shares(muscle_z, age)),
        line=line,
        regimen="ICI + chemotherapy" if rng.random() < _combined(line, pd_l1) else "ICI alone",
        site=site,
    )
    return Person(
        clinic=clinic,
        split=split,
        scanner=_scanners(rng, site),
        bmi=float(np.clip(25.3 + 1.3 * muscle_z + rng.normal(0, 4.0), 15.5, 44)),
        muscle_z=muscle_z,
        emphysema=_emphysema(rng, smoker, squamous),
        fibrosis_mm=_fibrosis(rng, age),
    )


def pick(
    rng: np.random.Generator, options: tuple[str, ...], shares: tuple[float, ...] | None = None
) -> str:
    """One of the options, by their shares; equal shares by default. One random number."""
    u = rng.random()
    if shares is None:
        return options[int(u * len(options))]
    for option, share in zip(options, shares, strict=True):
        u -= share
        if u < 0:
            return option
    return options[-1]


def ecog_shares(muscle_z: float, age: int) -> tuple[float, float, float]:
    """Probability of ECOG 0, 1 and 2 given what a scan shows of the patient."""
    eta = ECOG_PER_MUSCLE * muscle_z + ECOG_PER_DECADE * (age - 67) / 10
    up_to_0, up_to_1 = (1 / (1 + float(np.exp(eta - t))) for t in ECOG_THRESHOLDS)
    return up_to_0, up_to_1 - up_to_0, 1 - up_to_1


def later_line_share(split: str) -> float:
    """Share of a cohort that had another treatment before."""
    return 1.0 if split == "external" else 0.36


def _pd_l1_shares(split: str, line: str) -> tuple[float, ...]:
    if split == "external":
        return EXTERNAL_PD_L1
    return FIRST_LINE_PD_L1 if line == "first" else LATER_LINE_PD_L1


def _combined(line: str, pd_l1: str) -> float:
    """Share on immunotherapy with chemotherapy: first line, mostly with PD-L1 below 50 %."""
    if line == "later":
        return 0.0
    return 0.30 if pd_l1 == ">=50%" else 0.85


def _scanners(rng: np.random.Generator, site: str) -> tuple[str, str]:
    """Where a site has several scanners, most patients return to the one they know."""
    before = pick(rng, SITES[site])
    moves = rng.random() < 0.25
    after = pick(rng, SITES[site])
    return before, after if moves else before


def _emphysema(rng: np.random.Generator, smoker: bool, squamous: bool) -> float:
    """Share of the lung: about half of the patients have some."""
    scale = 0.11 if squamous else 0.085
    extent = float(rng.gamma(1.1, scale))
    has_some = rng.random() < (0.62 if smoker else 0.08)
    return min(extent, 0.5) if has_some else 0.0


def _fibrosis(rng: np.random.Generator, age: int) -> float:
    """Interstitial abnormality in about a tenth, more often in the old."""
    thickness = float(rng.uniform(6, 22))
    return thickness if rng.random() < 0.10 * (1 + 0.3 * (age - 67) / 10) else 0.0
