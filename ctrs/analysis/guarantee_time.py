"""What a clock that starts with the treatment gives away for nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ctrs.survival import kaplan_meier, survival_at
from ctrs.types import Cohort, SurvivalAt

DAYS_PER_MONTH = 365.25 / 12


@dataclass(frozen=True)
class GuaranteeTime:
    """The same patients by two clocks.

    Attributes:
        label: The group.
        months: Median from the baseline CT to the follow-up CT: nobody here could die in them.
        from_start, from_follow_up: Survival at the same number of months on each clock; the
            first is the higher by what the clock gives away.
    """

    label: str
    months: float
    from_start: SurvivalAt
    from_follow_up: SurvivalAt


def from_treatment_start(cohort: Cohort) -> Cohort:
    """The cohort with the months counted from the baseline CT, the stand-in for the first dose.

    Rows without a known ``interval_days`` (baseline to follow-up CT) are left out.
    """
    table = cohort.table.dropna(subset=["interval_days"])
    before = table["interval_days"].astype(float) / DAYS_PER_MONTH
    return Cohort(cohort.name, table.assign(months=table["months"] + before))


def guarantee_time(groups: Sequence[Cohort], at: float = 12.0) -> tuple[GuaranteeTime, ...]:
    """How much of the survival at a time is a gift of the clock, by group.

    Whoever has a score lived to have the second scan. A clock that starts with the treatment
    counts the months before that scan as survived, though whoever died in them was never here
    to be counted (guarantee-time, or immortal-time, bias).

    Args:
        groups: Months from the follow-up CT, with ``interval_days``. A group in which no
            interval is known is left out.

    Source:
        Anderson, Cain & Gelber, J. Clin. Oncol. 1 (1983) 710-719; Giobbie-Hurder et al., J.
        Clin. Oncol. 31 (2013) 2963-2969.
    """
    found = []
    for group in groups:
        known = Cohort(group.name, group.table.dropna(subset=["interval_days"]))
        if known.table.empty:
            continue
        early = from_treatment_start(known)
        found.append(
            GuaranteeTime(
                group.name,
                float(known.table["interval_days"].astype(float).median() / DAYS_PER_MONTH),
                survival_at(kaplan_meier(early), early, at),
                survival_at(kaplan_meier(known), known, at),
            )
        )
    return tuple(found)
