"""What tumours a simulated patient has, and what 12 weeks of treatment make of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from ctrs.trial.body.anatomy import (
    SIDES,
    Anatomy,
    BonePlace,
    LiverPlace,
    LungPlace,
    NodePlace,
    Place,
)
from ctrs.trial.disease.lesions import Kind, Lesion, Texture
from ctrs.trial.population.kinetics import GONE, Course, KineticsModel, draw_course, stein_ratio
from ctrs.trial.population.people import Person, pick
from ctrs.trial.population.reader import DIAMETER_ERROR
from ctrs.types import Triple

# --- How often and how large. Shares of patients at the start of immunotherapy.
HAS_PRIMARY = 0.90  # the others were operated on or irradiated before
HAS_LUNG_METASTASES, MORE_METASTASES = 0.45, 0.50  # the second: chance of yet another one
HAS_NODES, MORE_NODES = 0.70, 0.45  # nodal disease 71 % (Botticelli, J. Transl. Med. 2019)
HAS_LIVER, MORE_LIVER = 0.17, 0.45  # 12 to 22 % in cohorts on immunotherapy
HAS_BONE, MORE_BONE = 0.16, 0.35  # of 26 to 38 % with bone metastases, half in the thoracic spine
MOST = 7  # of one kind
MOST_ML = 1500.0  # all tumours together at the follow-up: nobody with more lies down for a CT; ours
# Diameter of the sphere with the same volume: median mm, and standard deviation of its log. All
# tumours together have a median of 31 ml; by PET it was 36 ml (Chardin et al., JITC 2020).
SIZES: dict[Kind, tuple[float, float]] = {
    "primary": (35.0, 0.50), "metastasis": (11.5, 0.40), "node": (18.0, 0.30),
    "liver": (20.0, 0.45), "bone": (18.0, 0.35),
}  # fmt: skip
SMALLEST_MM, LARGEST_MM = 5.0, 110.0
HAS_EFFUSION, NEW_EFFUSION = 0.25, 0.05  # 25 % before, 6 % arising on treatment (PLUIE, OLCSG)
HAS_COLLAPSE = 0.15  # 19 % obstruct a bronchus (stage III-IV, J. BUON 2010); central primaries

# --- How lesions of one patient differ. On the log scale.
LESION_RATES = 0.35  # of each rate; 37 % of the variance of a drug effect lay within patients and
# 63 % between them, SD 0.57 and 0.74 (sunitinib, Schindler et al., CPT Pharmacomet. 2016)
SHARED_WOBBLE = 0.47  # correlation of residuals between lesions (same source)
LESIONS_IN_A_SUM = 1.7  # effective number of target lesions behind one sum of diameters

# --- What drives the course. Log odds of the kind that decays, centred on the average patient.
BY_PD_L1 = {">=50%": 0.45, "1-49%": -0.05, "<1%": -0.40, "unknown": -0.05}
BY_REGIMEN = {"ICI + chemotherapy": 0.05, "ICI alone": -0.35}

# --- Pseudoprogression: 6 % of patients (Park et al., Radiology 297 (2020) 87). It is among those
# whose tumours look larger by this log ratio; what is left of the tumours is another draw.
LOOKS_LARGER, PSEUDO_AMONG_LARGER = 0.12, 0.31
LEAST_HIDDEN = -0.2  # log ratio of what is left of them, at most

# --- New lesions. A tenth of patients; more where the known ones grow.
NEW_RATE, NEW_PER_GROWTH = 0.035, 0.40
NEW_SIZE = (11.0, 0.30)


@dataclass(frozen=True, kw_only=True)
class Disease:
    """All that a patient's scans show of the cancer.

    Attributes:
        lesions: Through both visits.
        meant_log_ratio: Log ratio of diameters, follow-up over baseline, of what is truly tumour:
            in pseudoprogression far below what the scans show.
        pseudoprogression: The tumours look larger because they are infiltrated.
        effusion_ml: Pleural fluid at baseline and follow-up, in ``effusion_side``.
    """

    lesions: tuple[Lesion, ...]
    meant_log_ratio: float
    pseudoprogression: bool
    effusion_ml: tuple[float, float]
    effusion_side: str


def draw_disease(
    rng: np.random.Generator, person: Person, anatomy: Anatomy, days: int, model: KineticsModel
) -> Disease:
    """The tumours of one patient at both visits.

    Args:
        days: Between the visits.
    """
    course = draw_course(rng, _tilted(model, person))
    spread = _wobble(course)
    shift = spread * SHARED_WOBBLE**0.5 * float(rng.standard_normal())
    trend = float(np.log(max(course.ratio(days), GONE))) + shift
    looks_larger = rng.random() < PSEUDO_AMONG_LARGER and trend > LOOKS_LARGER
    hidden = draw_course(rng, _only_decaying(model)).ratio(days)
    left = min(float(np.log(max(hidden, GONE))), LEAST_HIDDEN)
    halo = _halo(left) if looks_larger else 0.0
    lesions = _bounded(_known_lesions(rng, anatomy, course, days, spread, shift, halo))
    # Only a rim around a tumour in the lung shows what goes on: without one, it is growth.
    pseudo = any(lesion.halo for lesion in lesions)
    n_new = int(rng.poisson(NEW_RATE + NEW_PER_GROWTH * max(trend, 0.0)))
    if not pseudo:
        lesions += _new_lesions(rng, anatomy, min(n_new, 4), lesions)
    seen = _log_ratio(lesions)
    return Disease(
        lesions=tuple(lesions),
        meant_log_ratio=left if pseudo else seen,
        pseudoprogression=pseudo,
        effusion_ml=_effusion(rng, 0.0 if pseudo else trend),
        effusion_side=pick(rng, SIDES),
    )


def _halo(left: float) -> float:
    """Width of the hazy rim over the radius: the less tumour is left, the wider."""
    return 0.25 + 0.25 * min(LEAST_HIDDEN - left, 1.0)


def _tilted(model: KineticsModel, person: Person) -> KineticsModel:
    """The population with the share of responders that goes with PD-L1 and regimen."""
    clinic = person.clinic
    odds = model.share[1] / model.share[0]
    odds *= float(np.exp(BY_PD_L1[clinic.pd_l1] + BY_REGIMEN[clinic.regimen]))
    return _with_share(model, odds / (1 + odds))


def _only_decaying(model: KineticsModel) -> KineticsModel:
    return _with_share(model, 1.0)


def _with_share(model: KineticsModel, decaying: float) -> KineticsModel:
    return KineticsModel(
        share=(1 - decaying, decaying),
        log_growth=model.log_growth,
        log_decay=model.log_decay,
        wobble=model.wobble,
        unsteady=model.unsteady,
    )


def _wobble(course: Course) -> float:
    """How far one lesion strays between two scans, so that a read sum strays as was fitted.

    The fit knows sums of diameters with the reader's error in them: that is taken off, and what
    is left is divided among lesions that stray partly together.
    """
    of_sum = 2 * course.wobble**2 - 2 * DIAMETER_ERROR**2 / LESIONS_IN_A_SUM
    together = SHARED_WOBBLE + (1 - SHARED_WOBBLE) / LESIONS_IN_A_SUM
    return float(np.sqrt(max(of_sum, 0.0) / together))


def _log_ratio(lesions: list[Lesion]) -> float:
    """Log ratio of the diameters of spheres that hold all tumour, at least a twentieth."""
    before, after = (sum(lesion.volume_ml(visit) for lesion in lesions) for visit in (0, 1))
    return float(np.log(max(after / before, GONE**3)) / 3)


# --- Lesions ----------------------------------------------------------------------------------


def _known_lesions(
    rng: np.random.Generator,
    anatomy: Anatomy,
    course: Course,
    days: int,
    spread: float,
    shift: float,
    halo: float,
) -> list[Lesion]:
    lesions: list[Lesion] = []
    for kind in _kinds(rng):
        growth, decay = np.exp(LESION_RATES * rng.standard_normal(2))
        ratio = stein_ratio(course.growth * growth, course.decay * decay, days)
        own = spread * (1 - SHARED_WOBBLE) ** 0.5 * float(rng.standard_normal())
        # Straying changes no diameter on average: half the variance is taken off.
        ratio = max(ratio, 0.0) * float(np.exp(shift + own - spread**2 / 2))
        before = _size(rng, *SIZES[kind])
        after = before * ratio
        after = after if after >= 0.12 * before and after > 2.5 else 0.0  # too little to be seen
        grown = 0 < before < after
        rim = halo if grown else 0.0
        lesions.append(_lesion(rng, anatomy, kind, (before, after), lesions, rim))
    return lesions


def _bounded(lesions: list[Lesion]) -> list[Lesion]:
    """All lesions of the follow-up smaller in proportion where they are more than `MOST_ML`."""
    total = sum(lesion.volume_ml(1) for lesion in lesions)
    shrink = min((MOST_ML / total) ** (1 / 3), 1.0) if total else 1.0
    return [
        replace(lesion, diameter_mm=(lesion.diameter_mm[0], lesion.diameter_mm[1] * shrink))
        for lesion in lesions
    ]


def _kinds(rng: np.random.Generator) -> list[Kind]:
    kinds: list[Kind] = ["primary"] if rng.random() < HAS_PRIMARY else []
    for kind, share, more in (
        ("metastasis", HAS_LUNG_METASTASES, MORE_METASTASES),
        ("node", HAS_NODES, MORE_NODES),
        ("liver", HAS_LIVER, MORE_LIVER),
        ("bone", HAS_BONE, MORE_BONE),
    ):
        count = min(int(rng.geometric(1 - more)), MOST) if rng.random() < share else 0
        kinds.extend([kind] * count)  # type: ignore[list-item]
    return kinds or ["primary"]


def _new_lesions(
    rng: np.random.Generator, anatomy: Anatomy, count: int, known: list[Lesion]
) -> list[Lesion]:
    new: list[Lesion] = []
    for _ in range(count):
        kind: Kind = "liver" if rng.random() < 0.2 else "metastasis"
        size = (0.0, _size(rng, *NEW_SIZE))
        new.append(_lesion(rng, anatomy, kind, size, [*known, *new], 0.0))
    return new


def _size(rng: np.random.Generator, median: float, spread: float) -> float:
    return float(np.clip(median * np.exp(spread * rng.standard_normal()), SMALLEST_MM, LARGEST_MM))


def _lesion(
    rng: np.random.Generator,
    anatomy: Anatomy,
    kind: Kind,
    diameters: tuple[float, float],
    others: list[Lesion],
    halo: float,
) -> Lesion:
    in_lung = kind in ("primary", "metastasis")
    largest = max(diameters)
    collapse = kind == "primary" and rng.random() < HAS_COLLAPSE
    return Lesion(
        kind=kind,
        place=_free_place(rng, anatomy, kind, largest, others, collapse),
        diameter_mm=diameters,
        texture=_texture(rng, kind, diameters[0]),
        elongation=float(rng.uniform(1.05, 1.3)),
        irregularity=float(rng.uniform(0.08, 0.30) if in_lung else rng.uniform(0.02, 0.10)),
        spicules=float(rng.uniform(0.2, 0.7)) if kind == "primary" else 0.0,
        halo=halo if in_lung else 0.0,
        collapse=_collapse(rng, diameters) if collapse else (0.0, 0.0),
        seed=int(rng.integers(2**31)),
    )


def _texture(rng: np.random.Generator, kind: Kind, diameter: float) -> Texture:
    """Large primaries are often necrotic, 5 to 22 % cavitate; some small ones are glassy."""
    u = rng.random()
    if kind == "primary" and diameter > 30:
        return "necrotic" if u < 0.38 else "cavitating" if u < 0.50 else "solid"
    if kind == "primary" and u < 0.12:
        return "part-solid"
    return "necrotic" if kind == "node" and u < 0.15 else "solid"


def _collapse(rng: np.random.Generator, diameters: tuple[float, float]) -> tuple[float, float]:
    """Share of the lung behind that is airless: it opens again where the tumour shrinks."""
    before = float(rng.uniform(0.3, 1.0))
    change = 1.5 * np.log(max(diameters[1], 3.0) / max(diameters[0], 3.0))
    return before, float(np.clip(before * np.exp(change), 0, 1))


# --- Places -----------------------------------------------------------------------------------

TRIES = 8
STATIONS = ((0, 6, 6), (-6, 2, -38), (44, -2, -30))  # hilar, subcarinal, paratracheal: mm


def _free_place(
    rng: np.random.Generator,
    anatomy: Anatomy,
    kind: Kind,
    diameter: float,
    others: list[Lesion],
    central: bool,
) -> Place:
    """A place that keeps off the other lesions; the best of a few where all are taken."""
    taken = [(_roughly_mm(anatomy, o.place), max(o.diameter_mm) / 2) for o in others]
    best, most_room = None, -math.inf
    for _ in range(TRIES):
        place = _place(rng, kind, diameter, central)
        here = _roughly_mm(anatomy, place)
        room = min((math.dist(here, there) - radius for there, radius in taken), default=math.inf)
        if room > most_room:
            best, most_room = place, room
        if room > 0.6 * diameter + 3:
            break
    assert best is not None  # the first try is always better than nothing
    return best


def _roughly_mm(anatomy: Anatomy, place: Place) -> Triple:
    """About where a place lies, ``(z, y, x)`` mm: good to a centimetre, and a thousand times faster
    than `ctrs.trial.body.location.place_mm`. The painter lets no two lesions share a voxel anyway.
    """
    a, b, height = anatomy.half_width, anatomy.half_depth, anatomy.lung_height
    if isinstance(place, LungPlace):
        sign = -1 if place.side == "right" else 1
        x = sign * a * (0.56 + 0.38 * place.across)
        return height * (0.12 + 0.83 * place.height), 0.8 * b * place.depth, x
    if isinstance(place, NodePlace):
        sign = -1 if place.side == "right" else 1
        return 0.5 * height + place.z, place.y, sign * (0.3 * a + place.x)
    if isinstance(place, LiverPlace):
        return 34 * place.height, 0.38 * b * place.depth, a * (-0.46 + 0.24 * place.across)
    return height * place.height, 0.8 * b + 10 * place.depth, 15 * place.across


def _place(rng: np.random.Generator, kind: Kind, diameter: float, central: bool) -> Place:
    if kind == "node":
        jitter = rng.normal(0, (6, 4, 3))
        station = STATIONS[int(np.searchsorted((0.5, 0.7), rng.random()))]
        z, y, x = (float(a + b) for a, b in zip(station, jitter, strict=True))
        return NodePlace(SIDES[int(rng.random() < 0.5)], z, y, x)
    if kind == "liver":
        height, depth, across = rng.uniform(-0.7, 0.7, 3)
        return LiverPlace(float(height), float(depth), float(across))
    if kind == "bone":
        height, depth, across = rng.uniform((0.05, -0.4, -0.5), (0.9, 0.4, 0.5))
        return BonePlace(float(height), float(depth), float(across))
    return _lung_place(rng, kind, diameter, central)


def _lung_place(rng: np.random.Generator, kind: Kind, diameter: float, central: bool) -> LungPlace:
    """Primaries rather in the upper lobes and on the right, metastases at the bases and rim.

    Large tumours keep off the walls. A central one sits by the hilum.
    """
    side = SIDES[int(rng.random() < 0.42)]
    if central:
        height, across, depth = rng.uniform((0.40, -0.85, -0.25), (0.62, -0.45, 0.25))
        return LungPlace(side, float(height), float(across), float(depth))
    reach = float(np.clip(1.0 - diameter / 130, 0.2, 0.9))
    upper = (2.4, 1.6) if kind == "primary" else (1.5, 2.0)
    height = float(np.clip(rng.beta(*upper), 0.1, 0.92))
    across, depth = rng.uniform(-reach, reach, 2)
    if kind == "metastasis" and across < 0:
        across = abs(across) if rng.random() < 0.5 else across
    return LungPlace(side, height, float(across), float(depth))


# --- Fluid ------------------------------------------------------------------------------------


def _effusion(rng: np.random.Generator, trend: float) -> tuple[float, float]:
    """Millilitres at both visits; what is there follows the tumour, and some comes anew."""
    before, change, fresh = rng.standard_normal(3)
    if rng.random() < HAS_EFFUSION:
        ml = float(np.exp(np.log(260) + 0.75 * before))
        return ml, float(np.clip(ml * np.exp(0.9 * trend + 0.5 * change), 0, 2000))
    arises = rng.random() < NEW_EFFUSION + 0.25 * max(trend, 0.0)
    return 0.0, float(np.exp(np.log(280) + 0.6 * fresh)) if arises else 0.0
