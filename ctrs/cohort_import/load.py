"""A dry run that a person has looked at becomes rows of the store."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

from ctrs.cohort_import.dry_run import CLINIC, READINGS, DryRun
from ctrs.cohort_import.mapping import mapping_json
from ctrs.errors import InputRejected
from ctrs.store import Store

RESERVED = ("demo", "demo board", "upload")  # cohorts of the app's own
_NAME = re.compile(r"[^\W_][\w .,+()-]{0,59}")
_WHOLE = ("age", "interval_days", "new_lesions")


def cohort_name(text: str) -> str:
    """A name for a cohort, as given.

    Raises:
        InputRejected: Empty, too long, with signs that do not belong in a name, or the app's own.
    """
    name = text.strip()
    if not _NAME.fullmatch(name) or name.lower() in RESERVED:
        raise InputRejected(
            "The cohort's name is empty, longer than 60 characters, holds signs other than letters,"
            f" digits, spaces and . , + ( ) - _, or is one of {', '.join(RESERVED)}.",
            "Give another name for the cohort.",
        )
    return name


def name_from_file(stem: str) -> str:
    """A name for a cohort from a file's, to begin with; it may need another one still."""
    words = re.sub(r"[^\w.,+()-]+", " ", stem)
    return words.strip(" ._-,+()")[:60].strip() or "imported"


def conflicts(run: DryRun, cohort: str, store: Store) -> list[str]:
    """What the import would change of what the store holds already, in words."""
    found = store.cohorts_of(run.kept["patient"].tolist())
    words = [
        f"{n} of these patients are in the database already, in “{name}”: what the table says of"
        " them takes the place of what was known"
        + ("." if name == cohort else f", and they move to “{cohort}”.")
        for name, n in found.items()
    ]
    if cohort in store.cohorts():
        words.append(f"“{cohort}” exists: its other patients stay in it.")
    return words


def load(run: DryRun, cohort: str, store: Store) -> None:
    """Write the kept rows, all or none, and a line in the record.

    Raises:
        InputRejected: No row is kept, or the cohort's name cannot be used.
    """
    cohort = cohort_name(cohort)
    if run.kept.empty:
        raise nothing_left(run)
    table = run.kept.copy()
    for name in (*CLINIC, *READINGS):
        if name in _WHOLE and name in table:
            table[name] = table[name].astype(float).floordiv(1).astype("Int64")
    readings = [name for name in READINGS if name in table]
    store.save_time_zero(cohort, run.time_zero)
    store.bulk_load(
        patients=table[["patient", *(c for c in CLINIC if c in table)]].assign(cohort=cohort),
        outcomes=table[["patient", "months", "event"]],
        readings=table[["patient", *readings]] if readings else None,
    )
    store.audit("import cohort", None, f"{cohort}: {len(table)} of {run.rows} rows")


def remove(cohort: str, store: Store) -> list[str]:
    """Take an imported cohort out again, with everything derived from its patients.

    The record of what was done keeps its lines, and gets one more.

    Returns:
        ``sha256`` of scans that nobody else needs: the caller deletes their files.

    Raises:
        InputRejected: No table of that name was imported, or it is one of the app's own cohorts.
    """
    if cohort in RESERVED or cohort not in store.imported_cohorts():
        raise InputRejected(
            f"“{cohort}” is not an imported cohort: it may have been removed already, or belongs to"
            " the app.",
            "Choose one of the imported cohorts.",
        )
    return store.delete_cohort(cohort)


def nothing_left(run: DryRun) -> InputRejected:
    """Why an import of this table would be empty."""
    reasons = "; ".join(f"{n} {reason}" for reason, n in run.reasons.items())
    return InputRejected(
        f"None of {run.rows} rows can be imported: {reasons}.",
        "Check which column is which, and the unit of the times.",
    )


def report_json(run: DryRun) -> dict[str, Any]:
    """The dry run as the command line's document."""
    return {
        "rows": run.rows,
        "kept": len(run.kept),
        "dropped": [vars(row) for row in run.dropped],
        "warnings": list(run.warnings),
        "reasons": run.reasons,
        "mapping": mapping_json(run.mapping),
        "unit_reason": run.unit_reason,
        "time_zero": run.time_zero,
        "patients": {
            "deaths": int(run.kept["event"].sum()),
            "median_follow_up_months": _median(run.kept["months"]),
        },
    }


def _median(months: pd.Series) -> float | None:
    return None if months.empty else round(float(months.median()), 2)


def report_text(run: DryRun) -> str:
    """The dry run for a person."""
    lines = [
        f"{len(run.kept)} of {run.rows} rows can be imported ({run.kept['event'].sum()} deaths).",
        f"Times are in {run.mapping.unit} ({run.unit_reason}). Time zero: {run.time_zero}.",
        "Columns: "
        + ", ".join(f"{field} = “{name}”" for field, name in run.mapping.columns.items()),
        *(f"Dropped: {n} {reason}" for reason, n in run.reasons.items()),
        *(f"Note: {warning}" for warning in run.warnings),
    ]
    return "\n".join(lines)
