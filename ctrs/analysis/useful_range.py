"""Where a decision curve speaks for the score."""

from __future__ import annotations

import numpy as np

from ctrs.survival import DecisionCurve


def useful_range(curve: DecisionCurve) -> tuple[float, float] | None:
    """The longest run of thresholds at which acting on the score does most good.

    Returns:
        First and last risk of death of the run; ``None`` where acting on everybody or on nobody
        is as good everywhere.
    """
    better = np.nan_to_num(curve.net_benefit) > np.maximum(curve.treat_all, 0) + 1e-9
    edges = np.diff(better.astype(int), prepend=0, append=0)
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    if len(starts) == 0:
        return None
    longest = int((ends - starts).argmax())
    return float(curve.threshold[starts[longest]]), float(curve.threshold[ends[longest] - 1])
