"""CTRS beside RECIST and the tumour volume change, on the very same patients."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from ctrs.analysis.reclassification import CLASSES
from ctrs.survival import Difference, Estimate, measured_scores
from ctrs.types import Cohort, Floats

CTRS, RECIST, TVC = "CTRS", "RECIST", "TVC"
_ORDER = {recist: float(rank) for rank, recist in enumerate(reversed(CLASSES))}


@dataclass(frozen=True)
class Compared:
    """How well one reading orders the patients, and by how much CTRS does it better.

    Attributes:
        measured: C-index or AUC with its interval.
        gain: CTRS minus this one; ``None`` for CTRS itself.
    """

    name: str
    measured: Estimate
    gain: Difference | None


def comparable(cohort: Cohort) -> Cohort:
    """Who has all three: a score, a RECIST class that is one, and a tumour volume change."""
    table = cohort.table
    known = table["recist"].isin(CLASSES) & table[["survival_12m", "volume_change"]].notna().all(
        axis=1
    )
    return Cohort(cohort.name, table[known])


def compare(cohort: Cohort, auc_at: float | None = None) -> tuple[Compared, ...]:
    """CTRS, RECIST and TVC, each with its C-index (or AUC), and the gain of CTRS.

    Args:
        cohort: Who is not `comparable` is left out.
        auc_at: ``None``: Harrell's C; months: the AUC then.

    Raises:
        TooFewPatients: As `ctrs.survival.measured_scores`.
    """
    table = comparable(cohort).table
    months, event = table["months"].to_numpy(dtype=float), table["event"].to_numpy(dtype=bool)
    found = measured_scores(months, event, readings(table), auc_at=auc_at)
    return tuple(
        Compared(name, found.estimate(name), None if name == CTRS else found.difference(CTRS, name))
        for name in found.values
    )


def readings(table: pd.DataFrame) -> dict[str, Floats]:
    """The three as scores; higher = lives longer."""
    return {
        CTRS: table["survival_12m"].to_numpy(dtype=float),
        RECIST: table["recist"].map(_ORDER).to_numpy(dtype=float),
        TVC: -table["volume_change"].to_numpy(dtype=float),
    }
