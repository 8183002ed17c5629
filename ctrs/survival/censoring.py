"""How likely it was to be still followed: the weights that stand in for who was lost."""

from __future__ import annotations

import numpy as np

from ctrs.errors import TooFewPatients
from ctrs.types import Floats, Mask


def still_followed(months: Floats, event: Mask, at: Floats) -> Floats:
    """P(not lost by that time) at each of ``at``: Kaplan-Meier with the outcome turned round.

    Who dies at a time cannot be lost at it any more; who is lost at ``t`` counts as lost in the
    value at ``t``.

    Source:
        Same as scikit-survival's ``CensoringDistributionEstimator``. R's ``survival`` weighs a
        death at ``t`` by the value just before ``t``: the two differ where somebody dies and
        somebody is lost on one day.
    """
    times, place = np.unique(months, return_inverse=True)
    lost = np.bincount(place, weights=~event, minlength=len(times)).astype(float)
    died = np.bincount(place, weights=event, minlength=len(times)).astype(float)
    kept = staying(lost, died)
    row = np.searchsorted(times, at, side="right")
    return np.concatenate([[1.0], kept])[row]


def staying(lost: Floats, died: Floats, longer: float | Floats = 0.0) -> Floats:
    """The same from counts per distinct time, shape ``(..., times)``, in order of time.

    Args:
        longer: How many are followed past the last of these times, shape ``(..., 1)``.
    """
    left = np.cumsum((lost + died)[..., ::-1], axis=-1)[..., ::-1] + longer
    could_be_lost = left - died
    share = np.divide(lost, could_be_lost, out=np.zeros_like(lost), where=could_be_lost > 0)
    return np.asarray(np.cumprod(1.0 - share, axis=-1), dtype=float)


def inverse_weights(months: Floats, event: Mask, at: Floats) -> Floats:
    """1 / P(not lost by that time), for the deaths and times that a statistic uses.

    Raises:
        TooFewPatients: At one of the times nobody was followed any more.
    """
    kept = still_followed(months, event, at)
    if (kept <= 0).any():
        latest = months.max() if len(months) else 0.0
        raise TooFewPatients(
            f"Nobody is followed past {latest:g}: what happens up to {at.max():g} is not known.",
            "Choose an earlier time.",
        )
    return 1.0 / kept
