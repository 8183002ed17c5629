"""Crossed filters that say in words whom they keep, and how many at each step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from ctrs.survival import levels_of
from ctrs.types import Cohort

# What patients are chosen by, column and heading, in the order in which the filters are crossed.
FACTORS: dict[str, str] = {
    "risk_group": "Risk group",
    "recist": "RECIST",
    "pd_l1": "PD-L1",
    "histology": "Histology",
    "line": "Line",
    "regimen": "Regimen",
    "sex": "Sex",
    "site": "Site",
    "zone": "Zone",
}


@dataclass(frozen=True)
class Step:
    """One filter, in words, and who is left after it."""

    words: str
    n_patients: int
    n_events: int


@dataclass(frozen=True)
class Selection:
    """Who passed all filters. The first step is everybody."""

    cohort: Cohort
    steps: tuple[Step, ...]

    @property
    def words(self) -> str:
        """All filters in a few words, such as ``"RECIST: SD; age 40 to 60"``."""
        return "; ".join(step.words for step in self.steps[1:]) or "all patients"


def levels(table: pd.DataFrame, factor: str) -> list[str]:
    """Levels of a factor that somebody has: clinical order, then by name, "unknown" last."""
    return [str(level) for level in levels_of(table, factor).cat.categories]


def select(
    cohort: Cohort, wanted: Mapping[str, Sequence[str]], ages: tuple[float, float] | None = None
) -> Selection:
    """Keep who is in one of the wanted levels of every factor, and of a wanted age.

    Args:
        wanted: Levels by column of `FACTORS`; none = no filter. A missing value is the level
            "unknown".
        ages: First and last age kept, years; who has no known age is not. ``None``: all.
    """
    table = cohort.table
    steps = [_step("all patients", table)]
    for factor, heading in FACTORS.items():
        if wanted.get(factor):
            table = table[levels_of(table, factor).isin(wanted[factor])]
            steps.append(_step(f"{heading}: {' or '.join(wanted[factor])}", table))
    if ages is not None:
        table = table[table["age"].between(*ages)]
        steps.append(_step(f"age {ages[0]:g} to {ages[1]:g}", table))
    return Selection(Cohort(cohort.name, table), tuple(steps))


def _step(words: str, table: pd.DataFrame) -> Step:
    return Step(words, len(table), int(table["event"].sum()))
