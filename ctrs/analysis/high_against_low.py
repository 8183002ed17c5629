"""How much faster do high-risk patients die than low-risk ones?"""

from __future__ import annotations

from dataclasses import replace

from ctrs.survival import hazard_ratio
from ctrs.types import Cohort, HazardRatio, RiskGroup


def high_against_low(cohort: Cohort) -> HazardRatio:
    """Hazard ratio of death of the high-risk against the low-risk group, unadjusted.

    Above 1 = the high-risk group dies sooner: the direction the groups should have. NaN where
    there is one group only, or no finite answer.

    Raises:
        TooFewPatients: Nobody died.
    """
    table = cohort.table[cohort.table["risk_group"].isin(list(RiskGroup))]
    high = (table["risk_group"] == RiskGroup.HIGH).astype(float)
    row = hazard_ratio(
        Cohort(cohort.name, table.assign(survival_12m=high)), per=1.0, adjusted=False
    )
    return replace(row, label="High risk against low risk")
