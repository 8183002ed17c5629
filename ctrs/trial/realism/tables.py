"""How far a simulated table of patients is from real ones: growth of tumours, and survival."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from ctrs.response import recist_class
from ctrs.survival import (
    concordance,
    kaplan_meier,
    landmark_cohort,
    log_rank,
    survival_at,
)
from ctrs.trial.population.tables import change_near
from ctrs.types import Cohort, Floats, SurvivalAt, SurvivalCurve

WINDOW_DAYS = (70, 98)  # the follow-up scan: 12 weeks, two weeks either way
PERCENTILES = (5, 10, 25, 50, 75, 90, 95)
CHECKED = (10, 25, 50, 75, 90)  # these must lie within `TOLERANCE_POINTS`
TOLERANCE_POINTS = 5.0  # percentage points of change; ours, half of what one reader repeats

CLASSES = ("PD", "SD", "PR")  # CR is counted as PR: complete responses at 12 weeks are rare
LANDMARK_MONTHS = 12.0
# 12-month survival of 202 OAK patients from their scan in weeks 6-18, `jmpost` 0.4: the same
# figures as in `tests/test_trial.py`.
TARGETS_12M = {"PD": 0.43, "SD": 0.59, "PR": 0.85}


# --- Change of the diameters ----------------------------------------------------------------


def real_change(diameters: pd.DataFrame) -> pd.Series:
    """Change of each patient's diameter from baseline to the scan nearest day 84, in %.

    Args:
        diameters: As `ctrs.trial.population.tables.read_diameters` gives them.
    """
    return change_near(diameters, *WINDOW_DAYS)["change"] * 100


def simulated_change(table: pd.DataFrame) -> pd.Series:
    """The same from the sums of a simulated reader, a table of `trial_table`."""
    measured = table[table["sum_baseline_mm"] > 0]
    return (measured["sum_follow_up_mm"] / measured["sum_baseline_mm"] - 1) * 100


@dataclass(frozen=True)
class Quantile:
    """One percentile of the change on both sides, in points."""

    percentile: int
    real: float
    simulated: float

    @property
    def difference(self) -> float:
        return self.simulated - self.real

    @property
    def near(self) -> bool | None:
        """Within `TOLERANCE_POINTS`; ``None`` where no limit is set."""
        if self.percentile not in CHECKED:
            return None
        return abs(self.difference) <= TOLERANCE_POINTS


def compare_quantiles(real: pd.Series, simulated: pd.Series) -> list[Quantile]:
    """`PERCENTILES` side by side, between two values by a straight line."""
    sides = (np.percentile(values, PERCENTILES) for values in (real, simulated))
    return [
        Quantile(percentile, float(a), float(b))
        for percentile, a, b in zip(PERCENTILES, *sides, strict=True)
    ]


def kolmogorov_distance(real: pd.Series, simulated: pd.Series) -> float:
    """Largest gap between the two distribution functions, 0 = the same, 1 = apart."""
    return float(stats.ks_2samp(real, simulated).statistic)


def distribution(values: pd.Series) -> tuple[Floats, Floats]:
    """Empirical distribution function: sorted values, and the share at or below each."""
    ordered = np.sort(values.to_numpy(dtype=float))
    return ordered, np.arange(1, len(ordered) + 1) / len(ordered)


# --- Survival by response -------------------------------------------------------------------


@dataclass(frozen=True)
class ClassSurvival:
    """Survival from the follow-up scan in one RECIST class, real patients and simulated ones.

    Attributes:
        target: 12-month survival that the simulation is held to.
        p_value: Log-rank test of "real and simulated patients live equally long".
    """

    recist: str
    target: float
    real: Cohort
    simulated: Cohort
    real_curve: SurvivalCurve
    simulated_curve: SurvivalCurve
    real_12m: SurvivalAt
    simulated_12m: SurvivalAt
    p_value: float

    @property
    def within(self) -> bool:
        """Does the simulated 12-month survival lie in the 95 % interval of the real one?"""
        return self.real_12m.lower <= self.simulated_12m.survival <= self.real_12m.upper


def by_targets(table: pd.DataFrame) -> pd.Series:
    """RECIST class from the two sums alone, CR as PR: all that the real table can give."""
    pairs = zip(table["sum_baseline_mm"], table["sum_follow_up_mm"], strict=True)
    classes = [str(recist_class(before, after)) for before, after in pairs]
    return pd.Series(classes, table.index, dtype=object).replace("CR", "PR")


def shares(classes: pd.Series) -> dict[str, float]:
    """Share of each of `CLASSES` among those that have one."""
    known = classes[classes.isin(CLASSES)]
    return {name: float((known == name).mean()) for name in CLASSES}


def compare_survival(
    real: pd.DataFrame, simulated: pd.DataFrame, classes: Sequence[str] = CLASSES
) -> list[ClassSurvival]:
    """Kaplan-Meier of each class by target lesions; the clock starts at the follow-up scan.

    Args:
        real, simulated: Columns ``months``, ``event``, ``sum_baseline_mm``,
            ``sum_follow_up_mm``.

    Raises:
        TooFewPatients: A class is empty, or nobody dies in it.
    """
    return [
        _compare_class(name, _of_class(real, name), _of_class(simulated, name)) for name in classes
    ]


def _of_class(table: pd.DataFrame, name: str) -> Cohort:
    cohort, _ = landmark_cohort(table[by_targets(table) == name], name)
    return cohort


def _compare_class(name: str, real: Cohort, simulated: Cohort) -> ClassSurvival:
    curves = kaplan_meier(real), kaplan_meier(simulated)
    return ClassSurvival(
        name,
        TARGETS_12M[name],
        real,
        simulated,
        *curves,
        survival_at(curves[0], real, LANDMARK_MONTHS),
        survival_at(curves[1], simulated, LANDMARK_MONTHS),
        log_rank([real, simulated]).p_value,
    )


def discrimination(table: pd.DataFrame) -> dict[str, float]:
    """Harrell's C of what a reader has in hand, each turned so that higher = lives longer."""
    cohort, _ = landmark_cohort(table, "all")
    found = cohort.table
    ranks = by_targets(found).map({"PD": 0.0, "SD": 1.0, "PR": 2.0})
    readings = {
        "% change of the sum": -found["sum_follow_up_mm"] / found["sum_baseline_mm"],
        "RECIST class": ranks,
        "sum at baseline": -found["sum_baseline_mm"],
        "ECOG": -pd.to_numeric(found["ecog"], errors="coerce"),
    }
    return {
        name: concordance(Cohort(name, found.assign(reading=values)), "reading")
        for name, values in readings.items()
    }
