"""Who are they? The first table of every paper, by group, with what is missing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ctrs.survival import levels_of
from ctrs.types import UNKNOWN, Cohort, Floats

_NUMBERS = {"age": "Age, years", "tumour_volume_ml": "Tumour volume at baseline, ml"}
_CLASSES = {
    "sex": "Sex",
    "histology": "Histology",
    "pd_l1": "PD-L1",
    "ecog": "ECOG",
    "line": "Line",
    "regimen": "Regimen",
    "recist": "RECIST",
}
MEDIAN = "median (quartiles)"
DIFFERENCE = "Standardised difference"


def table_one(groups: Sequence[Cohort]) -> pd.DataFrame:
    """Characteristics of each group as text, and how far the first two groups are apart.

    Numbers as median with quartiles, classes as count and share of the group; what is not known
    has a row of its own and counts in the shares. The standardised difference is that of the
    first group from the second among patients whose value is known: 0 = alike, and below 0.1
    usually counts as balanced. It does not grow with the number of patients as a p value does.

    Returns:
        One row a line; columns ``"Characteristic"``, ``"Level"``, one a group (its name and
        size), and, with exactly two groups, `DIFFERENCE`, empty where it cannot be told.

    Source:
        Austin, Stat. Med. 28 (2009) 3083-3107; more than two classes: Yang & Dalton, SAS Global
        Forum (2012) 335.
    """
    everybody = pd.concat([group.table for group in groups]) if groups else pd.DataFrame()
    rows = []
    for column, heading in _NUMBERS.items():
        if column in everybody:
            rows += _numbers(groups, column, heading)
    for column, heading in _CLASSES.items():
        if column in everybody:
            rows += _classes(groups, everybody, column, heading)
    names = [f"{group.name} (n = {len(group.table)})" for group in groups]
    ends = [DIFFERENCE] if len(groups) == 2 else []
    table = pd.DataFrame(rows, columns=["Characteristic", "Level", *names, DIFFERENCE])
    return table[["Characteristic", "Level", *names, *ends]]


def _numbers(groups: Sequence[Cohort], column: str, heading: str) -> list[list[str]]:
    values = [pd.to_numeric(group.table[column]).astype(float) for group in groups]
    known = [value.dropna() for value in values]
    rows = [[heading, MEDIAN, *map(_quartiles, known), _difference_of_means(known)]]
    missing = [len(value) - len(found) for value, found in zip(values, known, strict=True)]
    if any(missing):
        counts = [_count(n, len(value)) for n, value in zip(missing, values, strict=True)]
        rows.append(["", UNKNOWN, *counts, ""])
    return rows


def _quartiles(values: pd.Series) -> str:
    if values.empty:
        return "none known"
    low, middle, high = values.quantile([0.25, 0.5, 0.75])
    return f"{middle:.0f} ({low:.0f}–{high:.0f})"


def _classes(
    groups: Sequence[Cohort], everybody: pd.DataFrame, column: str, heading: str
) -> list[list[str]]:
    levels = [str(level) for level in levels_of(everybody, column).cat.categories]
    counts = [
        levels_of(group.table, column).value_counts().reindex(levels, fill_value=0)
        for group in groups
    ]
    rows = [
        ["", level, *(_count(int(own[level]), int(own.sum())) for own in counts), ""]
        for level in levels
    ]
    rows[0][0] = heading
    rows[0][-1] = _difference_of_shares([own.drop(UNKNOWN, errors="ignore") for own in counts])
    return rows


def _count(n: int, of: int) -> str:
    return f"{n} ({n / of:.0%})" if of else "0"


def _difference_of_means(known: Sequence[pd.Series]) -> str:
    if len(known) != 2 or min(map(len, known)) < 2:
        return ""
    first, second = known
    spread = np.sqrt((first.var() + second.var()) / 2)
    return f"{abs(first.mean() - second.mean()) / spread:.2f}" if spread > 0 else ""


def _difference_of_shares(counts: Sequence[pd.Series]) -> str:
    if len(counts) != 2 or min(own.sum() for own in counts) < 2:
        return ""
    first, second = (own.to_numpy(dtype=float)[1:] / own.sum() for own in counts)
    gap = first - second
    # Pseudo-inverse: a level that nobody of both groups has varies in nothing.
    distance = gap @ np.linalg.pinv((_spread(first) + _spread(second)) / 2, hermitian=True) @ gap
    return f"{np.sqrt(distance):.2f}"


def _spread(shares: Floats) -> Floats:
    """Covariance of the indicators of all classes but the first."""
    spread: Floats = np.diag(shares) - np.outer(shares, shares)
    return spread
