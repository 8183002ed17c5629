"""By how much each patient moves a C-index or an AUC: intervals without drawing replicates.

An influence is the derivative of the measure with respect to how often that patient counts, at
once. The sum of their squares is the variance of the measure (infinitesimal jackknife), and that
of a difference comes from the differences of the influences.
"""

from __future__ import annotations

import numpy as np

from ctrs.survival.comparable_pairs import pairs_of_everybody
from ctrs.survival.discrimination import share_above
from ctrs.types import Floats, Mask


def concordance_influence(months: Floats, event: Mask, score: Floats) -> tuple[float, Floats]:
    """Harrell's C, and each patient's influence on it, shape ``(patients,)``; NaN without a pair.

    Source:
        Efron & Tibshirani, An Introduction to the Bootstrap (1993), ch. 21; the root of the sum
        of squares is the standard error of R's ``concordance``.
    """
    pairs, in_order = pairs_of_everybody(months, event, score)
    n_pairs = pairs.sum() / 2  # each has two patients
    if n_pairs == 0:
        return float("nan"), np.full(len(months), np.nan)
    found = float(in_order.sum() / 2 / n_pairs)
    return found, (in_order - found * pairs) / n_pairs


def auc_influence(months: Floats, event: Mask, score: Floats, at: float) -> tuple[float, Floats]:
    """The AUC at a time, and each patient's influence on it; NaN without a case or a control.

    A patient counts as a case or a control, and also in how likely others were to be still
    followed, by whose inverse the cases are weighed.

    Source:
        As `ctrs.survival.auc_at`, differentiated; Blanche et al., Stat. Med. 32 (2013) 5381-5397
        have the same two parts.
    """
    case, control = event & (months <= at), months > at
    if not case.any() or not control.any():
        return float("nan"), np.full(len(months), np.nan)
    followed = _Followed(months, event, at)
    weight = 1 / followed.kept_at(months[case])
    above = share_above(score[case], score[control])  # of the controls, for each case
    found = float(weight @ above / weight.sum())
    below = 1 - share_above(score[control], score[case], weight)
    influence = np.zeros(len(months))
    influence[case] = weight * (above - found) / weight.sum()
    influence[control] = (below - found) / control.sum()
    return found, influence + followed.influence(case, influence[case])


class _Followed:
    """P(not lost by a time) up to ``at``, and how it moves with who is there."""

    def __init__(self, months: Floats, event: Mask, at: float) -> None:
        self._months, self._event, self._at = months, event, at
        self._times, place = np.unique(months[months <= at], return_inverse=True)
        died = np.bincount(place, weights=event[months <= at])
        self._lost = np.bincount(place) - died
        left = len(months) - np.searchsorted(np.sort(months), self._times, "left")
        self._could_be_lost = left - died  # who dies at a time is not lost at it any more
        self._kept = np.cumprod(1 - self._lost / self._could_be_lost)

    def kept_at(self, months: Floats) -> Floats:
        """As `ctrs.survival.censoring.still_followed`, for times that somebody has."""
        kept: Floats = self._kept[np.searchsorted(self._times, months)]
        return kept

    def influence(self, case: Mask, moved: Floats) -> Floats:
        """Of each patient through the weights of the cases.

        Args:
            moved: What the measure gains if the weight of each case grows by its own size.
        """
        place = np.searchsorted(self._times, self._months[case])
        at_time = np.bincount(place, weights=moved, minlength=len(self._times))
        later = at_time[::-1].cumsum()[::-1]  # of the cases at each time and after
        if_lost = later / (self._could_be_lost - self._lost)
        if_at_risk = np.append(0.0, np.cumsum(if_lost * self._lost / self._could_be_lost))
        lost = ~self._event & (self._months <= self._at)
        # At risk of being lost up to the own time; on the very day only who does not die.
        own = np.searchsorted(self._times, self._months, "left")
        found = -if_at_risk[own + lost]
        found[lost] += if_lost[own[lost]]
        return found
