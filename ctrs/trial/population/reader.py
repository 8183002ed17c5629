"""How a radiologist reads the two scans: RECIST 1.1 and tumour volume, with a reader's error.

The reader sees lesions, not the truth: each diameter and each volume is measured once per visit.
Nothing here knows of pseudoprogression, which looks like growth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ctrs.measurement import MAX_TARGETS, NORMAL_NODE_MM
from ctrs.response import recist_class
from ctrs.trial.disease.lesions import Lesion
from ctrs.types import Recist, Response

# RIDER, same-day repeat CT of lung cancer. Diameters by readers: 84 % of repeats within 10 %
# (Oxnard et al., J. Clin. Oncol. 29 (2011) 3114), a difference of 0.071 SD on the log scale, and
# so 0.050 a measurement. Volumes by software: 95 % limits -12.1 to 13.4 % (Zhao et al.,
# Radiology 252 (2009) 263), 0.065 for the difference and 0.046 a measurement.
DIAMETER_ERROR = 0.050
VOLUME_ERROR = 0.046

MEASURABLE_MM, MEASURABLE_NODE_MM = 10.0, 15.0
TOO_SMALL_MM = 5.0  # RECIST 1.1: seen, but too small to measure, counts as 5 mm
MAX_TARGETS_AN_ORGAN = 2
UNEQUIVOCAL_GROWTH = 1.73  # of non-target volume, by the FAQ of the EORTC
MISSED_BELOW_MM = 6.0  # a new lesion smaller than this is not called new
MISSED_SHARE = 0.15  # of the others, overlooked or called equivocal

ORGANS = {"primary": "lung", "metastasis": "lung", "node": "node", "liver": "liver"}


@dataclass(frozen=True)
class Measured:
    """One lesion as measured at both visits, mm; nodes by their short axis. 0 = not seen."""

    lesion: Lesion
    baseline_mm: float
    follow_up_mm: float

    @property
    def gone(self) -> bool:
        """Not seen any more; for a node, of normal size."""
        return self.follow_up_mm < (NORMAL_NODE_MM if self.lesion.kind == "node" else 1e-9)


def read_response(rng: np.random.Generator, lesions: Sequence[Lesion]) -> Response:
    """RECIST class, sums of diameters, new lesions and volume change, as read.

    Where nothing is measurable the class is NE and the sums are 0.
    """
    known = [_measure(rng, lesion) for lesion in lesions if not lesion.is_new]
    new = sum(_is_called_new(rng, lesion) for lesion in lesions if lesion.is_new)
    targets = choose_targets(known)
    others = [m for m in known if m not in targets]
    before = round(sum(t.baseline_mm for t in targets), 1)
    after = round(sum(t.follow_up_mm for t in targets), 1)
    return Response(
        recist=_classify(before, after, targets, others, new),
        sum_baseline_mm=before,
        sum_follow_up_mm=after,
        new_lesions=new,
        volume_change=_volume_change(rng, lesions),
    )


def choose_targets(measured: Sequence[Measured]) -> list[Measured]:
    """The largest measurable lesions: at most five, at most two an organ; bone is no target."""
    candidates = [m for m in measured if m.lesion.kind in ORGANS and _is_measurable(m)]
    chosen: list[Measured] = []
    for candidate in sorted(candidates, key=lambda m: -m.baseline_mm):
        organ = ORGANS[candidate.lesion.kind]
        same = sum(ORGANS[m.lesion.kind] == organ for m in chosen)
        if same < MAX_TARGETS_AN_ORGAN and len(chosen) < MAX_TARGETS:
            chosen.append(candidate)
    return chosen


def _is_measurable(m: Measured) -> bool:
    return m.baseline_mm >= (MEASURABLE_NODE_MM if m.lesion.kind == "node" else MEASURABLE_MM)


def _measure(rng: np.random.Generator, lesion: Lesion) -> Measured:
    """Longest axial diameter, for nodes the short axis, with the error of one measurement."""
    node = lesion.kind == "node"
    axis = 1 / lesion.elongation if node else lesion.elongation
    read = [
        diameter * axis * float(np.exp(DIAMETER_ERROR * error))
        for diameter, error in zip(lesion.diameter_mm, rng.standard_normal(2), strict=True)
    ]
    return Measured(lesion, *(max(mm, TOO_SMALL_MM) if mm > 0 else 0.0 for mm in read))


def _is_called_new(rng: np.random.Generator, lesion: Lesion) -> bool:
    overlooked = rng.random() < MISSED_SHARE
    return lesion.diameter_mm[1] >= MISSED_BELOW_MM and not overlooked


def _classify(
    before: float, after: float, targets: list[Measured], others: list[Measured], new: int
) -> Recist:
    if _have_grown_unequivocally(targets, others):
        return Recist.PD
    all_gone = bool(targets) and all(t.gone for t in targets)
    complete = all_gone and all(m.gone for m in others)
    if all_gone and not complete and new == 0:
        return Recist.PR
    return recist_class(before, after, new_lesions=new, all_targets_gone=complete)


def _have_grown_unequivocally(targets: list[Measured], others: list[Measured]) -> bool:
    """Non-targets alone make progression only where the whole burden rose as much as they did.

    RECIST 1.1 wants "an overall level of substantial worsening" where targets are stable.
    """
    return bool(others) and all(
        _volume(group, 1) >= UNEQUIVOCAL_GROWTH * _volume(group, 0) > 0
        for group in (others, [*targets, *others])
    )


def _volume(measured: list[Measured], visit: int) -> float:
    """Of balls with the measured diameters, in cubic mm up to a factor."""
    return sum((m.baseline_mm, m.follow_up_mm)[visit] ** 3 for m in measured)


def _volume_change(rng: np.random.Generator, lesions: Sequence[Lesion]) -> float:
    """Change of the volume of all lesions, each measured by software; -0.5 = half is left."""
    errors = np.exp(VOLUME_ERROR * rng.standard_normal((len(lesions), 2)))
    volumes = np.array([[lesion.volume_ml(0), lesion.volume_ml(1)] for lesion in lesions])
    before, after = (volumes * errors).sum(0)
    return round(float(after / before - 1), 5) if before > 0 else float("nan")
