"""Are the percentages right at each site? What was predicted beside what happened."""

from __future__ import annotations

from dataclasses import dataclass

from ctrs.survival import MIN_GROUP, kaplan_meier, levels_of, survival_at
from ctrs.types import Cohort, SurvivalAt


@dataclass(frozen=True)
class PredictedAndObserved:
    """One level of a factor.

    Attributes:
        predicted: Mean predicted survival at the time asked for.
        observed: Kaplan-Meier then; ``None`` for fewer than 10 patients, NaN where nobody was
            followed that long.
    """

    level: str
    n_patients: int
    n_events: int
    predicted: float
    observed: SurvivalAt | None


def predicted_and_observed(
    cohort: Cohort, factor: str, at: float, column: str
) -> tuple[PredictedAndObserved, ...]:
    """Mean prediction and observed survival in each level of a factor.

    Args:
        at: Months after time zero.
        column: Of the cohort's table, with the predicted P(alive ``at``).
    """
    found = []
    whose = levels_of(cohort.table, factor)
    for level in whose.cat.categories:
        own = Cohort(level, cohort.table[whose == level])
        enough = len(own.table) >= MIN_GROUP
        found.append(
            PredictedAndObserved(
                level,
                len(own.table),
                int(own.table["event"].sum()),
                float(own.table[column].mean()),
                survival_at(kaplan_meier(own), own, at) if enough else None,
            )
        )
    return tuple(found)
