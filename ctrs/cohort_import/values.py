"""Cells to values of the store: each column as a whole, and why a cell cannot be one."""

from __future__ import annotations

import re
from collections.abc import Mapping as Table
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from ctrs.text_table import numbers
from ctrs.types import UNKNOWN, Recist

MAX_LEVELS = 30  # of a text; more is free text, which may hold anything about anybody
MAX_NAME = 60  # characters of a level
_PLAIN: Final = re.compile(r"[^\W_][\w .,+/()&'-]*")  # of a level: no formula, no markup

# Lowest and highest value that a living person, or a reader, can have.
LIMITS: Final = {
    "age": (1, 120, "years"),
    "ecog": (0, 4, ""),
    "interval_days": (0, 2000, "days"),
    "sum_baseline_mm": (0, 2000, "mm"),
    "sum_follow_up_mm": (0, 2000, "mm"),
    "new_lesions": (0, 100, ""),
    "volume_change": (-1, 1000, "of the volume before"),
}
_SEX: Final = {"male": "male", "m": "male", "man": "male", "female": "female", "f": "female",
               "w": "female", "woman": "female"}  # fmt: skip
_RECIST: Final = {level.value: level.value for level in Recist} | {
    "POD": "PD", "PROGRESS": "PD", "PROGRESSIVEDISEASE": "PD", "STABLEDISEASE": "SD",
    "PARTIALRESPONSE": "PR", "COMPLETERESPONSE": "CR", "NOTEVALUABLE": "NE",
}  # fmt: skip
_PD_L1: Final = ("<1%", "1-49%", ">=50%")


@dataclass(frozen=True)
class Values:
    """A column, read.

    Attributes:
        values: NaN, ``None`` or ``"unknown"`` where the cell is empty or says nothing known.
        impossible: Rows whose cell holds what cannot be; their patients cannot be counted.
        not_understood: How many cells were filled and yet are unknown.
    """

    values: pd.Series
    impossible: pd.Series
    not_understood: int = 0


def limited(field: str, column: pd.Series, decimal_comma: bool) -> Values:
    """A number within `LIMITS`; anything else is impossible."""
    low, high, _ = LIMITS[field]
    found = numbers(column, decimal_comma)
    wrong = column.notna() & ~found.between(low, high)
    return Values(found.mask(wrong), wrong)


def percent_as_fraction(column: pd.Series, decimal_comma: bool) -> pd.Series | None:
    """``column / 100`` as text where it must hold percents: something fell by more than all."""
    found = numbers(column, decimal_comma)
    if found.min() >= -1 or found.isna().all():
        return None
    return (found / 100).map(repr).where(found.notna(), column)


def sex(column: pd.Series) -> Values:
    return _looked_up(column.str.lower(), _SEX)


def recist(column: pd.Series) -> Values:
    read = _looked_up(column.str.upper().str.replace(r"[^A-Z]", "", regex=True), _RECIST)
    return Values(read.values.where(read.values != UNKNOWN, None), read.impossible,
                  read.not_understood)  # fmt: skip


def histology(column: pd.Series) -> Values:
    """Adenocarcinoma, squamous, or other: the words that the statistics know."""
    words = column.str.lower()
    found = pd.Series(UNKNOWN, column.index, dtype=object)
    found = found.mask(column.notna() & (words != UNKNOWN), "other")
    found = found.mask(words.str.contains("squam", na=False), "squamous")
    found = found.mask(words.str.contains("adeno", na=False), "adenocarcinoma")
    both = words.str.contains("adenosquam", na=False)
    return Values(found.mask(both, "other"), _nowhere(column))


def line(column: pd.Series) -> Values:
    known = {"first": "first", "1": "first", "1l": "first", "later": "later"}
    known |= {f"{n}{end}": "later" for n in range(2, 20) for end in ("", "l")}
    known |= {"second": "later", "third": "later"}
    return _looked_up(column.str.lower().str.removesuffix(".0"), known)


def pd_l1(column: pd.Series, decimal_comma: bool) -> Values:
    """Three classes, from their names or from percents."""
    text = column.str.replace(" ", "").str.replace("≥", ">=").str.replace("–", "-")
    read = _looked_up(text, {level: level for level in _PD_L1} | {"<1": "<1%", ">=50": ">=50%",
                                                                  "1-49": "1-49%"})  # fmt: skip
    share = numbers(text.str.removesuffix("%"), decimal_comma)
    # Up to 1 these may be fractions: 0.5 is half of the cells, or half a percent.
    if not (share.max() > 1):
        return read
    classes = pd.cut(share, [-np.inf, 1, 50, np.inf], right=False, labels=list(_PD_L1))
    values = read.values.where(classes.isna(), classes.astype(object))
    wrong = share.notna() & ~share.between(0, 100)
    return Values(values, wrong, int((column.notna() & (values == UNKNOWN)).sum()))


def level(column: pd.Series) -> Values:
    """Names of sites or regimens as they are, if they can be; free text is not kept."""
    lower = column.str.lower()
    plain = column.str.fullmatch(_PLAIN, na=False) & (column.str.len() <= MAX_NAME)
    plain &= lower != UNKNOWN
    if column[plain].nunique() > MAX_LEVELS:
        plain &= False
    values = column.where(plain, UNKNOWN)
    return Values(
        values, _nowhere(column), int((column.notna() & (lower != UNKNOWN) & ~plain).sum())
    )


def _looked_up(column: pd.Series, known: Table[str, str]) -> Values:
    values = column.map(known)
    lost = column.notna() & values.isna() & (column.str.lower() != UNKNOWN)
    return Values(values.fillna(UNKNOWN).astype(object), _nowhere(column), int(lost.sum()))


def _nowhere(column: pd.Series) -> pd.Series:
    return pd.Series(False, column.index)
