"""Groups of patients side by side: their curves, who is at risk, and whether they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ctrs.errors import TooFewPatients
from ctrs.survival.kaplan_meier import at_risk, kaplan_meier
from ctrs.survival.log_rank import log_rank
from ctrs.types import Cohort, Interval, LogRank, SurvivalCurve


@dataclass(frozen=True)
class GroupComparison:
    """Survival of groups that somebody is in, in order.

    Attributes:
        curves: One a group, labelled with its name.
        months: Where ``at_risk`` is counted.
        at_risk: Under observation just before each of ``months``, one row a group.
        test: Log-rank; ``None`` where there is nothing to compare.
    """

    curves: tuple[SurvivalCurve, ...]
    months: tuple[float, ...]
    at_risk: tuple[tuple[int, ...], ...]
    test: LogRank | None


def compare_groups(
    groups: Sequence[Cohort], months: Sequence[float] = (), *, interval: Interval = "log-log"
) -> GroupComparison:
    """Compare cohorts held in memory; `ctrs.store.Store.compare` does the same in the database.

    Raises:
        TooFewPatients: A cohort is empty.
    """
    curves = tuple(kaplan_meier(group, interval=interval) for group in groups)
    counts = tuple(tuple(at_risk(group, months)) for group in groups)
    try:
        test = log_rank(groups)
    except TooFewPatients:
        test = None
    return GroupComparison(curves, tuple(float(month) for month in months), counts, test)
