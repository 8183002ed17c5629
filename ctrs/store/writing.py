"""Putting rows into tables: one row or a hundred thousand, the same way."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from typing import Final

import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]  # ships no type hints

from ctrs.errors import NotInStore
from ctrs.store import queries
from ctrs.store.database import Connection, utc_now
from ctrs.store.records import Row, patient_row
from ctrs.types import Patient

_KEYS: Final = {
    "patients": ("patient",),
    "scans": ("sha256",),
    "pairs": ("patient", "pair_key"),
    "refusals": ("patient",),
    "scores": ("pair_key", "model_version"),
    "responses": ("pair_key",),
    "outcomes": ("patient",),
    "readings": ("patient",),
    "imports": ("cohort",),
    "patient_groups": ("cohort", "name"),
    "measurements": ("measurement",),
    "links": ("patient", "pair_key"),
}
_STAMPS: Final = {"pairs": "saved_at", "refusals": "refused_at", "scores": "scored_at",
                  "imports": "imported_at", "patient_groups": "saved_at", "measurements": "made_at",
                  "links": "made_at"}  # fmt: skip
# Table: (its column, the table that must hold the same value, what a person calls it).
_PARENTS: Final = {
    "pairs": ("patient", "patients", "patient"),
    "scores": ("pair_key", "pairs", "scan pair"),
    "responses": ("pair_key", "pairs", "scan pair"),
    "outcomes": ("patient", "patients", "patient"),
    "readings": ("patient", "patients", "patient"),
    "measurements": ("pair_key", "pairs", "scan pair"),
    "links": ("pair_key", "pairs", "scan pair"),
}


def replace(cursor: Connection, table: str, rows: Sequence[Row] | pd.DataFrame) -> None:
    """Write rows in place of those with the same key, inside the caller's transaction.

    Raises:
        NotInStore: A row belongs to a patient or pair that is not in the database.
    """
    if len(rows) == 0:
        return
    cursor.register("incoming", _as_arrow(cursor, table, rows))
    _check_parents(cursor, table)
    same = " AND ".join(f"{table}.{key} = incoming.{key}" for key in _KEYS[table])
    # Not INSERT OR REPLACE: that keeps the old value of a column the frame leaves out.
    cursor.execute(f"DELETE FROM {table} USING incoming WHERE {same}")
    cursor.execute(f"INSERT INTO {table} BY NAME SELECT * FROM incoming")


def _as_arrow(cursor: Connection, table: str, rows: Sequence[Row] | pd.DataFrame) -> pa.Table:
    """The rows with the table's own types; types guessed from the values would differ."""
    schema = cursor.sql(f"SELECT * FROM {table} LIMIT 0").to_arrow_table().schema
    columns = list(rows.columns if isinstance(rows, pd.DataFrame) else rows[0])
    if unknown := set(columns) - set(schema.names):
        raise ValueError(f"The table {table} has no columns {sorted(unknown)}.")
    wanted = pa.schema([schema.field(column) for column in columns])
    if isinstance(rows, pd.DataFrame):
        arrow = pa.Table.from_pandas(rows, schema=wanted, preserve_index=False)
    else:
        arrow = pa.Table.from_pylist(list(rows), schema=wanted)
    return _stamped(arrow, _STAMPS.get(table))


def _stamped(arrow: pa.Table, column: str | None) -> pa.Table:
    if column is None or column in arrow.column_names:
        return arrow
    return arrow.append_column(column, pa.repeat(pa.scalar(utc_now()), arrow.num_rows))


def _check_parents(cursor: Connection, table: str) -> None:
    if table not in _PARENTS:
        return
    key, parent, noun = _PARENTS[table]
    (lost, total), *_ = cursor.execute(
        f"SELECT count(*) FILTER ({key} NOT IN (SELECT {key} FROM {parent})), count(*)"
        " FROM incoming"
    ).fetchall()
    if lost:
        raise NotInStore(
            f"{lost} of {total} {table} belong to a {noun} that is not in the database.",
            "Load the scans again: the patient may have been deleted in the meantime.",
        )


def introduce(cursor: Connection, patient: str) -> None:
    """Make a patient of the cohort ``"upload"`` of a pseudonym met for the first time."""
    known = cursor.execute("SELECT 1 FROM patients WHERE patient = ?", [patient]).fetchall()
    if not known:
        replace(cursor, "patients", [patient_row(Patient(patient=patient, cohort="upload"))])


def forget(cursor: Connection, whom: str, name: str) -> list[str]:
    """Delete patients with everything derived; ``sha256`` of the scans nobody else's pair needs.

    Args:
        whom: `THIS_PATIENT` or `THIS_COHORT` of `ctrs.store.queries`.
        name: The pseudonym, or the cohort's name.
    """
    found = cursor.execute(queries.SCANS_OF.format(whom=whom), {"name": name}).fetchall()
    scans = [sha256 for (sha256,) in found]
    # Patients last: whom to delete is read from there.
    for table in ("pairs", "refusals", "outcomes", "readings", "measurements", "links", "patients"):
        cursor.execute(f"DELETE FROM {table} WHERE patient IN ({whom})", {"name": name})
    for table in ("scores", "responses"):
        cursor.execute(f"DELETE FROM {table} WHERE {queries.PAIRS_OF_NOBODY}")
    cursor.execute("DELETE FROM scans WHERE sha256 IN (SELECT unnest(?::TEXT[]))", [scans])
    return scans


def note(cursor: Connection, action: str, patient: str | None, detail: str) -> None:
    """Add a line to the record of what was done. Nothing ever changes or removes one."""
    cursor.execute(
        "INSERT INTO audit (noted_at, actor, action, patient, detail) VALUES (?, ?, ?, ?, ?)",
        [utc_now(), actor(), action, patient, detail],
    )


def actor() -> str:
    """The account that runs the program."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that has no name
        return "unknown"
