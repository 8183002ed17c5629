"""Any table of follow-up, as a CSV file, becomes a cohort."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ctrs.errors import InputRejected
from ctrs.survival import Landmark, landmark
from ctrs.text_table import read_text_table
from ctrs.types import Cohort

DIED = {"1", "true", "t", "yes", "dead", "died", "death", "deceased", "event"}
ALIVE = {"0", "false", "f", "no", "alive", "living", "censored", "lost"}
OWN = ("months", "event")  # names that a cohort's table has for itself


@dataclass(frozen=True)
class FollowUpTable:
    """A table that was read.

    Attributes:
        cohort: Columns ``months`` (in the unit of the file), ``event``, and the others asked
            for under their own names; numbers where all values are numbers, else text.
        landmark: Who was left out, and why.
    """

    cohort: Cohort
    landmark: Landmark


def read_follow_up(
    path: Path, time: str, event: str, others: Sequence[str] = (), landmark_at: float | None = None
) -> FollowUpTable:
    """Read a CSV file with one row a patient; separated by comma, semicolon or tab.

    Deaths may be coded 1/0, true/false, dead/alive and the like, with a note behind a colon
    (``1:DECEASED``), or 2/1 as in R, where 2 = died.

    Args:
        time, event: Names of the columns.
        others: Further columns that are needed; missing values stay missing.
        landmark_at: Start the clock there, in the unit of the file; ``None``: keep it, and
            with it who was followed for no time at all.

    Raises:
        InputRejected: No table, a column that is missing or not of its kind, a negative time,
            or no row left.
    """
    raw = _read(path)
    for name in (time, event, *others):
        if name not in raw:
            listed = ", ".join(f"“{column}”" for column in raw.columns[:20])
            raise InputRejected(
                f"The table has no column “{name}”; it has {listed}.", "Name one of its columns."
            )
    taken = [name for name in others if name in OWN]
    if taken:
        raise InputRejected(
            f"Only the time or the event can be called “{taken[0]}”.", "Rename the column."
        )
    table = pd.DataFrame({"months": _times(raw[time], time), "event": _events(raw[event], event)})
    for name in dict.fromkeys(others):
        table[name] = _numbers_or_text(raw[name])
    if landmark_at is None:
        found = _everybody(table, path.name)
    else:
        found = landmark(table, path.name, landmark_at)
    if found.cohort.table.empty:
        raise InputRejected(
            f"None of {len(table)} rows is left: {found.unknown} have no time or event,"
            f" {found.died_before} died and {found.lost_before} were lost before the landmark.",
            "Check the columns, or choose an earlier landmark.",
        )
    return FollowUpTable(found.cohort, found)


def _everybody(table: pd.DataFrame, name: str) -> Landmark:
    known = table[["months", "event"]].notna().all(axis=1)
    kept = table[known].astype({"event": bool}).reset_index(drop=True)
    return Landmark(Cohort(name, kept), 0, 0, unknown=len(table) - len(kept))


def split(cohort: Cohort, column: str) -> list[Cohort]:
    """One cohort a level, in order of number or alphabet; who has no level is in none."""
    groups = cohort.table.groupby(column, sort=True, observed=True)
    return [Cohort(_name(level), part) for level, part in groups]


def _name(level: object) -> str:
    return f"{level:g}" if isinstance(level, float) else str(level)


def _read(path: Path) -> pd.DataFrame:
    table = read_text_table(path)
    if table.uneven:
        total, width = len(table.uneven) + len(table.cells), table.cells.shape[1]
        raise InputRejected(
            f"{len(table.uneven)} of {total} rows do not have {width} cells.",
            "Export the table as CSV anew, or leave out these rows.",
        )
    return table.cells.reset_index(drop=True)


def _times(column: pd.Series, name: str) -> pd.Series:
    times = pd.to_numeric(column, errors="coerce").astype(float)
    wrong = int((column.notna() & ~np.isfinite(times)).sum())
    if wrong:
        raise InputRejected(
            f"{wrong} of {len(times)} times in “{name}” are no numbers.",
            "Give times as numbers, with a decimal point.",
        )
    negative = int((times < 0).sum())
    if negative:
        raise InputRejected(
            f"{negative} of {len(times)} times in “{name}” are below 0.",
            "Count every time from the start of the clock, and use --landmark to move it.",
        )
    return times


def _events(column: pd.Series, name: str) -> pd.Series:
    events = decode_events(column)
    wrong = int((column.notna() & events.isna()).sum())
    if wrong:
        raise InputRejected(
            f"{wrong} of {len(column)} events in “{name}” are neither 1 (died) nor 0.",
            "Code who died as 1 and who was last seen alive as 0.",
        )
    return events


def decode_events(column: pd.Series) -> pd.Series:
    """True = died, False = last seen alive, missing = neither; for the codes of `read_follow_up`.

    Args:
        column: Text or missing.
    """
    words = column.str.lower().str.partition(":")[0].str.strip()
    numbers = pd.to_numeric(words, errors="coerce")
    words = words.where(numbers.isna(), numbers.map("{:g}".format))
    present = set(words.dropna())
    codes = {"2": True, "1": False} if present <= {"1", "2"} and "2" in present else {}
    codes = codes or dict.fromkeys(DIED, True) | dict.fromkeys(ALIVE, False)
    return words.map(codes)


def _numbers_or_text(column: pd.Series) -> pd.Series:
    numbers = pd.to_numeric(column, errors="coerce").astype(float)
    all_numbers = numbers.notna().equals(column.notna()) and not np.isinf(numbers).any()
    return numbers if all_numbers else column
