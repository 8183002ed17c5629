"""Where the score puts the patients of each RECIST class, and what became of them there."""

from __future__ import annotations

from dataclasses import dataclass

from ctrs.survival import kaplan_meier, survival_at
from ctrs.types import Cohort, Recist, RiskGroup, SurvivalAt

CLASSES = (Recist.CR, Recist.PR, Recist.SD, Recist.PD)


@dataclass(frozen=True)
class Flow:
    """Patients of one RECIST class and one risk group; at least one.

    Attributes:
        observed: Kaplan-Meier at the time asked for; NaN where nobody was followed that long.
    """

    recist: Recist
    risk_group: RiskGroup
    n_patients: int
    n_events: int
    observed: SurvivalAt


def reclassify(cohort: Cohort, at: float = 12.0) -> tuple[Flow, ...]:
    """All pairs of RECIST class and risk group that somebody is in, best class and group first.

    Who has no RECIST class (NE, unknown) or no risk group is in none.
    """
    table = cohort.table
    flows = []
    for recist in CLASSES:
        for group in RiskGroup:
            own = table[(table["recist"] == recist) & (table["risk_group"] == group)]
            if len(own):
                part = Cohort(f"{recist}, {group}", own)
                observed = survival_at(kaplan_meier(part), part, at)
                flows.append(Flow(recist, group, len(own), int(own["event"].sum()), observed))
    return tuple(flows)
