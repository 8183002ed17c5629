"""Any table of follow-up, as a CSV file, becomes a cohort."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ctrs.errors import InputRejected
from ctrs.survival import Landmark, landmark
from ctrs.text_table import TextTable, numbers, read_text_table
from ctrs.types import Cohort

DIED = {"1", "true", "t", "yes", "dead", "died", "death", "deceased", "event"}
ALIVE = {"0", "false", "f", "no", "alive", "living", "censored", "lost"}


@dataclass(frozen=True)
class FollowUpTable:
    """A table that was read.

    Attributes:
        cohort: Columns ``months`` (in the unit of the file), ``event``, and the others asked
            for; numbers where all values are numbers, else text.
        landmark: Who was left out, and why.
        columns: Name in the file to name in the cohort, of the others. In the cohort they have
            names of our own: a file may call anything ``months`` or ``event``.
    """

    cohort: Cohort
    landmark: Landmark
    columns: dict[str, str]

    def in_file(self, name: str) -> str:
        """The file's name for a column of the cohort, or for a level of it, ``column: level``."""
        column, colon, level = name.partition(":")
        known = {own: name for name, own in self.columns.items()}
        return known.get(column, column) + colon + level


def read_follow_up(
    path: Path, time: str, event: str, others: Sequence[str] = (), landmark_at: float | None = None
) -> FollowUpTable:
    """Read a CSV file with one row a patient; separated by comma, semicolon or tab.

    Where no comma parts the cells, 12,5 is a number. Deaths may be coded 1/0, true/false,
    dead/alive and the like, with a note behind a colon (``1:DECEASED``), or 2/1 as in R, where
    2 = died.

    Args:
        time, event: Names of the columns.
        others: Further columns that are needed; missing values stay missing.
        landmark_at: Start the clock there, in the unit of the file; ``None``: keep it, and
            with it who was followed for no time at all.

    Raises:
        InputRejected: No table, a column that is missing or not of its kind, a negative time,
            or no row left.
    """
    text = _read(path)
    raw, comma = text.cells.reset_index(drop=True), text.decimal_comma
    for name in (time, event, *others):
        if name not in raw:
            listed = ", ".join(f"“{column}”" for column in raw.columns[:20])
            raise InputRejected(
                f"The table has no column “{name}”; it has {listed}.", "Name one of its columns."
            )
    times = _times(raw[time], time, comma)
    table = pd.DataFrame({"months": times, "event": _events(raw[event], event)})
    columns = {name: f"_{place}" for place, name in enumerate(dict.fromkeys(others))}
    for name, own in columns.items():
        table[own] = _numbers_or_text(raw[name], comma)
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
    return FollowUpTable(found.cohort, found, columns)


def _everybody(table: pd.DataFrame, name: str) -> Landmark:
    known = table[["months", "event"]].notna().all(axis=1)
    kept = table[known].astype({"event": bool}).reset_index(drop=True)
    return Landmark(Cohort(name, kept), 0, 0, unknown=len(table) - len(kept))


def split(cohort: Cohort, column: str) -> list[Cohort]:
    """One cohort a level, in order of number or alphabet; who has no level is in none."""
    groups = cohort.table.groupby(column, sort=True, observed=True)
    return [Cohort(_name(level), part) for level, part in groups]


def _name(level: object) -> str:
    # 15 digits: with the usual 6, centres 1000001 and 1000002 would be one.
    return f"{level:.15g}" if isinstance(level, float) else str(level)


def _read(path: Path) -> TextTable:
    table = read_text_table(path)
    if table.uneven:
        total, width = len(table.uneven) + len(table.cells), table.cells.shape[1]
        raise InputRejected(
            f"{len(table.uneven)} of {total} rows do not have {width} cells.",
            "Export the table as CSV anew, or leave out these rows.",
        )
    return table


def _times(column: pd.Series, name: str, decimal_comma: bool) -> pd.Series:
    times = numbers(column, decimal_comma)
    wrong = int((column.notna() & times.isna()).sum())
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
    codes_in_digits = pd.to_numeric(words, errors="coerce")
    words = words.where(codes_in_digits.isna(), codes_in_digits.map("{:g}".format))
    present = set(words.dropna())
    codes = {"2": True, "1": False} if present <= {"1", "2"} and "2" in present else {}
    codes = codes or dict.fromkeys(DIED, True) | dict.fromkeys(ALIVE, False)
    return words.map(codes)


def _numbers_or_text(column: pd.Series, decimal_comma: bool) -> pd.Series:
    found = numbers(column, decimal_comma)
    return found if found.notna().equals(column.notna()) else column
