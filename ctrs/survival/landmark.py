"""Whoever can be counted from the follow-up CT on, and whoever cannot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ctrs.types import Cohort, RiskGroup


@dataclass(frozen=True)
class Landmark:
    """Who is still followed after the landmark, and how many are not, by reason.

    Attributes:
        cohort: Its clock starts at the landmark.
        died_before, lost_before: Died, or were last seen, before or exactly at the landmark.
        unknown: Rows without a time, an outcome or a landmark.
    """

    cohort: Cohort
    died_before: int
    lost_before: int
    unknown: int

    @property
    def excluded(self) -> int:
        return self.died_before + self.lost_before + self.unknown


def landmark(
    table: pd.DataFrame, name: str, months_to_landmark: str | float | None = None
) -> Landmark:
    """Keep who is still followed after the landmark, and count who is not.

    Whoever died, or was lost, before or exactly at the landmark never had a score that could
    be tested. Counting the others from the start of treatment would credit them with months
    that they could not lose (guarantee-time bias).

    Args:
        table: As in `Cohort`.
        months_to_landmark: A column with each patient's months from the start of the clock in
            ``months`` to the follow-up CT, which is taken out, so that the clock cannot be
            moved twice; or one number of months for all; ``None`` where ``months`` starts at
            that scan.

    Source:
        Anderson, Cain & Gelber, J. Clin. Oncol. 1 (1983) 710-719; events at the landmark itself
        are excluded as in R's ``survminer``.
    """
    months = pd.to_numeric(table["months"]).astype(float)
    if isinstance(months_to_landmark, str):
        months = months - pd.to_numeric(table[months_to_landmark]).astype(float)
        table = table.drop(columns=months_to_landmark)
    elif months_to_landmark is not None:
        months = months - months_to_landmark
    known = months.notna() & table["event"].notna()
    kept = known & (months > 0)
    died = known & ~kept & table["event"].eq(True)
    followed = table.assign(months=months)[kept].reset_index(drop=True)
    followed["event"] = followed["event"].astype(bool)
    return Landmark(
        Cohort(name, followed),
        died_before=int(died.sum()),
        lost_before=int(np.sum(known & ~kept & ~died)),
        unknown=int(np.sum(~known)),
    )


def landmark_cohort(
    table: pd.DataFrame, name: str, months_to_landmark: str | None = None
) -> tuple[Cohort, int]:
    """The cohort of `landmark`, and the number of rows left out of it for any reason."""
    found = landmark(table, name, months_to_landmark)
    return found.cohort, found.excluded


def split_by_risk(cohort: Cohort) -> list[Cohort]:
    """Low risk, then high risk; a group nobody is in is left out, as is who has no score."""
    groups = cohort.table["risk_group"]
    parts = [Cohort(str(group), cohort.table[groups == group]) for group in RiskGroup]
    return [part for part in parts if len(part.table)]
