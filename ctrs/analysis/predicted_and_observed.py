"""Are the percentages right at each site? What was predicted beside what happened."""

from __future__ import annotations

from dataclasses import dataclass

from ctrs.analysis.selection import levels
from ctrs.survival import MIN_GROUP, kaplan_meier, levels_of, survival_at
from ctrs.types import Cohort, SurvivalAt


@dataclass(frozen=True)
class PredictedAndObserved:
    """One level of a factor.

    Attributes:
        predicted: Mean predicted survival at 12 months.
        observed: Kaplan-Meier then; ``None`` for fewer than 10 patients, NaN where nobody was
            followed that long.
    """

    level: str
    n_patients: int
    n_events: int
    predicted: float
    observed: SurvivalAt | None


def predicted_and_observed(cohort: Cohort, factor: str) -> tuple[PredictedAndObserved, ...]:
    """Mean prediction and observed survival at 12 months in each level of a factor."""
    found = []
    for level in levels(cohort.table, factor):
        own = Cohort(level, cohort.table[levels_of(cohort.table, factor) == level])
        enough = len(own.table) >= MIN_GROUP
        found.append(
            PredictedAndObserved(
                level,
                len(own.table),
                int(own.table["event"].sum()),
                float(own.table["survival_12m"].mean()),
                survival_at(kaplan_meier(own), own, 12.0) if enough else None,
            )
        )
    return tuple(found)
