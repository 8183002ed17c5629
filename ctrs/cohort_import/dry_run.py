"""What an import would do: every row is kept, or dropped for a reason; nothing is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping as Table
from dataclasses import dataclass, replace

import pandas as pd

from ctrs.cohort_import import values
from ctrs.cohort_import.mapping import (
    Mapping,
    Unit,
    complete,
    is_progression,
    unit_in_name,
)
from ctrs.cohort_import.values import LIMITS, Values
from ctrs.pseudonym import pseudonym
from ctrs.survival.table import decode_events
from ctrs.text_table import TextTable, numbers, shown

DAYS_A_MONTH = 365.25 / 12
MONTHS_IN: dict[Unit, float] = {"days": 1 / DAYS_A_MONTH, "months": 1.0, "years": 12.0}
MAX_MONTHS = 600  # nobody with this disease is followed for half a century
# Without a unit in the name: nobody is followed for 16 years, and no cohort for half a year only.
MOST_MONTHS, MOST_YEARS = 200, 6

FOLLOW_UP_CT = "follow-up CT"
TABLE_START = "start of the times in the imported table"

READINGS = ("recist", "sum_baseline_mm", "sum_follow_up_mm", "new_lesions", "volume_change",
            "interval_days")  # fmt: skip
CLINIC = ("age", "sex", "histology", "pd_l1", "ecog", "line", "regimen", "site")


@dataclass(frozen=True)
class Dropped:
    """A row that is not imported; ``row`` is its number in a spreadsheet (names are in row 1)."""

    row: int
    reason: str


@dataclass(frozen=True)
class DryRun:
    """What an import would bring into the store.

    Attributes:
        mapping: As used, with its unit.
        unit_reason: How the unit is known, in words.
        time_zero: `FOLLOW_UP_CT`, or `TABLE_START` where nobody said that it is.
        names: Of all columns of the table.
        rows: Below the names; ``rows == len(kept) + len(dropped)``.
        kept: ``patient`` (the pseudonym), ``months`` since the follow-up CT, ``event``, and those
            of `CLINIC` and `READINGS` that the table has.
        warnings: What a person should look at before it is imported.
    """

    mapping: Mapping
    unit_reason: str
    time_zero: str
    names: tuple[str, ...]
    rows: int
    kept: pd.DataFrame
    dropped: tuple[Dropped, ...]
    warnings: tuple[str, ...]

    @property
    def reasons(self) -> dict[str, int]:
        """How many rows are dropped for each reason, the commonest first."""
        return dict(Counter(row.reason for row in self.dropped).most_common())


class _Sieve:
    """Rows with the first reason that speaks against each."""

    def __init__(self, index: pd.Index) -> None:
        self.reasons = pd.Series(None, index, dtype=object)

    def drop(self, where: pd.Series, reason: str) -> None:
        self.reasons[where & self.reasons.isna()] = reason

    @property
    def kept(self) -> pd.Series:
        return self.reasons.isna()


def dry_run(table: TextTable, key: bytes, mapping: Mapping) -> DryRun:
    """Look at every row of a table of a cohort, one row a patient.

    A row is dropped where it has no identifier, time or outcome; where its time is negative or
    impossible; where the patient died or was last seen before the follow-up CT, time zero; where
    a value is impossible; or where the patient occurs again. Rows of one patient that say the
    same are kept once; of rows that disagree none is, because nobody can tell which is right.

    Args:
        key: Of the pseudonyms (`ctrs.pseudonym.load_key`).
        mapping: `guess_mapping` of the names, or as somebody corrected it.

    Raises:
        InputRejected: A column that is needed is not there.
    """
    mapping = complete(mapping, list(table.cells.columns))
    columns = {known: table.cells[name] for known, name in mapping.columns.items()}
    sieve = _Sieve(table.cells.index)
    warnings: list[str] = []
    sieve.drop(columns["patient"].isna(), "no patient identifier")
    mapping, unit_reason = _with_unit(mapping, columns, table.decimal_comma)
    outcome = _outcome(columns, mapping, table.decimal_comma, sieve)
    known = _known(columns, table.decimal_comma, sieve, warnings)
    _drop_duplicates(pd.DataFrame(columns), sieve)
    kept = pd.DataFrame({"patient": columns["patient"], **outcome, **known})[sieve.kept]
    kept["patient"] = [pseudonym(patient, key) for patient in kept["patient"]]
    twins = kept["patient"].duplicated(keep=False)  # two identifiers, by chance
    sieve.drop(twins.reindex(sieve.reasons.index, fill_value=False), "pseudonym taken twice")
    kept = kept[~twins].reset_index(drop=True).astype({"event": bool})
    refused = sieve.reasons.dropna()
    dropped = dict(zip(refused.index.tolist(), refused.tolist(), strict=True))
    width = table.cells.shape[1]
    dropped |= {row: f"{n} cells instead of {width}" for row, n in table.uneven.items()}
    return DryRun(
        mapping,
        unit_reason,
        _time_zero(mapping),
        tuple(table.cells.columns),
        rows=len(table.cells) + len(table.uneven),
        kept=kept,
        dropped=tuple(Dropped(row, dropped[row]) for row in sorted(dropped)),
        warnings=(*_about_the_times(mapping, unit_reason, kept), *warnings),
    )


# --- Times and outcomes -------------------------------------------------------------------------


def _with_unit(
    mapping: Mapping, columns: Table[str, pd.Series], comma: bool
) -> tuple[Mapping, str]:
    if mapping.unit is not None:
        return mapping, "as given"
    name = mapping.columns["time"]
    said = unit_in_name(name)
    if said is not None:
        return replace(mapping, unit=said), f"guessed from the name “{shown(name)}”"
    longest = numbers(columns["time"], comma).max()
    unit: Unit = "months"
    if longest > MOST_MONTHS:
        unit = "days"
    elif longest < MOST_YEARS:
        unit = "years"
    return replace(mapping, unit=unit), f"guessed: the longest time is {longest:g}"


def _outcome(
    columns: Table[str, pd.Series], mapping: Mapping, comma: bool, sieve: _Sieve
) -> dict[str, pd.Series]:
    """Months from the follow-up CT, and who died then."""
    months = _months(columns["time"], mapping, comma)
    event = decode_events(columns["event"])
    sieve.drop(columns["time"].isna(), "no time")
    sieve.drop(months.isna(), "impossible value: the time is no number")
    sieve.drop(columns["event"].isna(), "no outcome")
    sieve.drop(event.isna(), "impossible value: the outcome is neither died nor alive")
    sieve.drop(months < 0, "negative time")
    sieve.drop(months > MAX_MONTHS, f"impossible value: followed for more than {MAX_MONTHS} months")
    to_scan = _to_scan(columns, mapping, comma, sieve)
    if to_scan is not None:
        months = months - to_scan
        died = event.eq(True)
        sieve.drop((months <= 0) & died, "death before scan")
        sieve.drop((months <= 0) & ~died, "last seen before scan")
    return {"months": months, "event": event}


def _months(column: pd.Series, mapping: Mapping, comma: bool) -> pd.Series:
    assert mapping.unit is not None
    return numbers(column, comma) * MONTHS_IN[mapping.unit]


def _to_scan(
    columns: Table[str, pd.Series], mapping: Mapping, comma: bool, sieve: _Sieve
) -> pd.Series | float | None:
    if "scan_time" in columns:
        months = _months(columns["scan_time"], mapping, comma)
        sieve.drop(columns["scan_time"].isna(), "no time of the follow-up CT")
        sieve.drop(months.isna(), "impossible value: the time of the follow-up CT is no number")
        sieve.drop(months < 0, "negative time of the follow-up CT")
        return months
    if mapping.follow_up_at is not None and mapping.unit is not None:
        return mapping.follow_up_at * MONTHS_IN[mapping.unit]
    return None


def _time_zero(mapping: Mapping) -> str:
    known = "scan_time" in mapping.columns or mapping.follow_up_at is not None
    return FOLLOW_UP_CT if known or mapping.from_follow_up else TABLE_START


def _about_the_times(mapping: Mapping, unit_reason: str, kept: pd.DataFrame) -> list[str]:
    found = []
    if unit_reason.startswith("guessed: "):
        found.append(f"The unit of the times is {unit_reason}, so {mapping.unit}. Say it if not.")
    if _time_zero(mapping) != FOLLOW_UP_CT:
        found.append(
            "Nobody said when the follow-up CT was, or that the times begin there: survival of this"
            " cohort is shown from the start of its own times, and no score can be tested on it."
        )
    if any(is_progression(mapping.columns[name]) for name in ("time", "event")):
        found.append(
            "The time or outcome is progression-free survival: what is called a death here is then"
            " a progression or a death."
        )
    if len(kept) and kept["event"].nunique() == 1:
        who = "Everybody" if kept["event"].iloc[0] else "Nobody"
        found.append(f"{who} of {len(kept)} died: check how deaths are coded.")
    return found


# --- What else is known ---------------------------------------------------------------------


def _known(
    columns: Table[str, pd.Series], comma: bool, sieve: _Sieve, warnings: list[str]
) -> dict[str, pd.Series]:
    found = {}
    for name in (*CLINIC, *READINGS):
        if name not in columns:
            continue
        column = columns[name]
        if name == "volume_change":
            fractions = values.percent_as_fraction(column, comma)
            if fractions is not None:
                column = fractions
                warnings.append("“volume_change” has falls by more than 1: taken as percent.")
        read = _read(name, column, comma and column is columns[name])
        sieve.drop(read.impossible, f"impossible value: {_impossible(name)}")
        found[name] = read.values
        if read.not_understood:
            warnings.append(
                f"“{name}”: {read.not_understood} filled cells are not understood and count as"
                " unknown."
            )
    return found


def _read(name: str, column: pd.Series, comma: bool) -> Values:
    if name == "ecog":
        read = values.limited(name, column, comma)
        wrong = read.impossible | (read.values % 1 > 0)
        return Values(read.values.map("{:.0f}".format).where(read.values.notna(), "unknown"), wrong)
    if name in LIMITS:
        return values.limited(name, column, comma)
    if name == "pd_l1":
        return values.pd_l1(column, comma)
    by_name = {"sex": values.sex, "histology": values.histology, "line": values.line,
               "recist": values.recist}  # fmt: skip
    return by_name.get(name, values.level)(column)


def _impossible(name: str) -> str:
    if name not in LIMITS:
        return f"“{name}” is not from 0 to 100 percent"
    low, high, unit = LIMITS[name]
    return f"“{name}” is not from {low} to {high} {unit}".rstrip()


def _drop_duplicates(columns: pd.DataFrame, sieve: _Sieve) -> None:
    left = columns[sieve.kept]
    again = left.duplicated(keep="first")
    disagree = left[~again]["patient"].duplicated(keep=False)
    everybody = sieve.reasons.index
    sieve.drop(again.reindex(everybody, fill_value=False), "duplicate patient: the same row again")
    sieve.drop(
        columns["patient"].isin(set(left.loc[disagree[disagree].index, "patient"])) & sieve.kept,
        "duplicate patient: rows that disagree",
    )
