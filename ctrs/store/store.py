"""The DuckDB file: who was scored, on which scans, by which model, and what became of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self, TypeVar

import duckdb
import pandas as pd

from ctrs.errors import InputRejected, StoreUnusable
from ctrs.measurement import Measurement
from ctrs.store import queries, records
from ctrs.store.database import Connection, connect, migrate
from ctrs.store.records import CohortCounts, ImportedCounts, Provenance, Row, ScanFacts, StoredPair
from ctrs.store.survival import Members, compare
from ctrs.store.writing import actor, forget, introduce, note, replace
from ctrs.survival import GroupComparison
from ctrs.types import (
    UNKNOWN,
    Finding,
    Interval,
    Outcome,
    Patient,
    PatientGroup,
    Response,
    ResponseScore,
    Triple,
)

Item = TypeVar("Item")
_states = count()  # of all stores together: no two of them share one


class Store:
    """Patients, scan pairs, scores and outcomes in one DuckDB file, under pseudonyms.

    Any number of threads may use one store: readers see the last committed state and never
    wait, writers take turns. Each public write is one transaction: it is there whole, and
    stays through a crash, once the method has returned.

    Args:
        path: The file, created if absent; ``None`` is an empty store in memory.

    Raises:
        StoreUnusable: The file is open in another process, is no database of this program, or
            is newer than the program.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._db = connect(path)
        self._writing = Lock()
        self._state = next(_states)
        try:
            migrate(self._db)
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the file go, so that another process may open it."""
        self._db.close()

    @property
    def state(self) -> int:
        """Another number after each write, here or in any store: until then what was read holds.

        Ask for it before reading. Nobody else writes into the file while this store is open.
        """
        return self._state

    # --- Patients and scans -----------------------------------------------------------------

    def save_patient(self, patient: Patient) -> None:
        """Write what is known of a patient, in place of what was known before."""
        with self._transaction() as cursor:
            replace(cursor, "patients", [records.patient_row(patient)])

    def patient(self, pseudonym: str) -> Patient | None:
        """The patient under this pseudonym, or ``None``."""
        row = self._row("SELECT * FROM patients WHERE patient = ?", pseudonym)
        return records.to_patient(row) if row else None

    def cohorts(self) -> list[str]:
        """Names of the cohorts that have a patient, in alphabetical order."""
        found = self._rows("SELECT DISTINCT cohort FROM patients ORDER BY cohort")
        return [row["cohort"] for row in found]

    def save_time_zero(self, cohort: str, words: str) -> None:
        """Write what the times of an imported cohort are counted from."""
        with self._transaction() as cursor:
            replace(cursor, "imports", [{"cohort": cohort, "time_zero": words}])

    def time_zero(self, cohort: str) -> str | None:
        """What `save_time_zero` wrote, or ``None``: the follow-up CT, as everywhere else."""
        row = self._row("SELECT time_zero FROM imports WHERE cohort = ?", cohort)
        return row["time_zero"] if row else None

    def imported_cohorts(self) -> dict[str, ImportedCounts]:
        """Cohorts that came as a table and have a patient still, in alphabetical order."""
        return {row.pop("cohort"): ImportedCounts(**row) for row in self._rows(queries.IMPORTED)}

    def cohorts_of(self, patients: Sequence[str]) -> dict[str, int]:
        """How many of these pseudonyms the store knows, by their cohort."""
        rows = self._rows(
            "SELECT cohort, count(*) AS n FROM patients"
            " WHERE patient IN (SELECT unnest(?::TEXT[])) GROUP BY cohort ORDER BY cohort",
            list(patients),
        )
        return {row["cohort"]: row["n"] for row in rows}

    def save_scan(self, sha256: str, facts: ScanFacts) -> None:
        """Write how a scan was made; `Volume.sha256` names it."""
        with self._transaction() as cursor:
            replace(cursor, "scans", [records.scan_row(sha256, facts)])

    def scan(self, sha256: str) -> ScanFacts | None:
        """How this scan was made, or ``None`` if it was never saved."""
        row = self._row("SELECT * FROM scans WHERE sha256 = ?", sha256)
        return records.to_scan_facts(row) if row else None

    def save_pair(
        self,
        pair_key: str,
        patient: str,
        baseline_sha256: str,
        follow_up_sha256: str,
        interval_days: int | None,
        findings: Sequence[Finding],
        chosen_by_hand: Sequence[str] = (),
    ) -> None:
        """Write which two scans of a patient belong together, and whose series a person chose.

        A pseudonym met for the first time becomes a patient of the cohort ``"upload"``. A
        refusal of the same patient is settled by this and leaves the worklist.
        """
        scans = baseline_sha256, follow_up_sha256
        pair = StoredPair(
            pair_key, patient, *scans, interval_days, tuple(findings), tuple(chosen_by_hand)
        )
        with self._transaction() as cursor:
            introduce(cursor, patient)
            replace(cursor, "pairs", [records.pair_row(pair)])
            cursor.execute("DELETE FROM refusals WHERE patient = ?", [patient])

    def pairs_of(self, patient: str) -> list[StoredPair]:
        """The scan pairs of this patient, in the order they were entered."""
        rows = self._rows(
            "SELECT * FROM pairs WHERE patient = ? ORDER BY saved_at, pair_key", patient
        )
        return [records.to_pair(row) for row in rows]

    def save_refusal(self, patient: str, what: str, next_step: str) -> None:
        """Write that the scans of a patient could not be read, in place of an earlier refusal.

        A pseudonym met for the first time becomes a patient of the cohort ``"upload"``.
        """
        row = {"patient": patient, "what": what, "next_step": next_step}
        with self._transaction() as cursor:
            introduce(cursor, patient)
            replace(cursor, "refusals", [row])

    # --- Scores, responses, outcomes --------------------------------------------------------

    def save_score(self, pair_key: str, score: ResponseScore, seconds: Mapping[str, float]) -> None:
        """Write a score and the seconds each step took; the same model's earlier one goes.

        Raises:
            NotInStore: There is no such pair, or no longer.
        """
        with self._transaction() as cursor:
            replace(cursor, "scores", [records.score_row(pair_key, score, seconds)])

    def find_score(self, pair_key: str, model_version: str) -> ResponseScore | None:
        """The score of this pair by this model, equal to what was saved, or ``None``."""
        row = self._score_row(pair_key, model_version)
        return records.to_score(row) if row else None

    def provenance(self, pair_key: str, model_version: str) -> Provenance | None:
        """When, where and how fast this pair was scored by this model, or ``None``."""
        row = self._score_row(pair_key, model_version)
        return Provenance(row["scored_at"], row["device"], row["seconds"]) if row else None

    def _score_row(self, pair_key: str, model_version: str) -> Row | None:
        return self._row(
            "SELECT * FROM scores WHERE pair_key = ? AND model_version = ?",
            pair_key,
            model_version,
        )

    def save_response(self, pair_key: str, response: Response) -> None:
        """Write the conventional reading of a pair, in place of an earlier one.

        Raises:
            NotInStore: There is no such pair, or no longer.
        """
        with self._transaction() as cursor:
            replace(cursor, "responses", [records.response_row(pair_key, response)])

    def response(self, pair_key: str) -> Response | None:
        """The conventional reading of this pair, or ``None``."""
        row = self._row("SELECT * FROM responses WHERE pair_key = ?", pair_key)
        return records.to_response(row) if row else None

    def save_outcome(self, patient: str, outcome: Outcome) -> None:
        """Write what became of a patient, in place of what was known before.

        Raises:
            NotInStore: There is no such patient, or no longer.
        """
        with self._transaction() as cursor:
            replace(cursor, "outcomes", [records.outcome_row(patient, outcome)])

    def outcome(self, patient: str) -> Outcome | None:
        """What became of this patient, or ``None``."""
        row = self._row("SELECT * FROM outcomes WHERE patient = ?", patient)
        return records.to_outcome(row) if row else None

    # --- What a person draws ----------------------------------------------------------------

    def save_measurement(self, patient: str, pair_key: str, drawn: Measurement) -> None:
        """Keep a measurement, in place of one with the same key; the record keeps a line.

        A lesion has one measurement a scan: an earlier one of the same lesion and scan goes.

        Raises:
            NotInStore: There is no such pair, or no longer.
        """
        by = drawn.made_by or actor()
        row = records.measurement_row(patient, pair_key, drawn) | {"made_by": by}
        same = [patient, pair_key, drawn.lesion, drawn.visit]
        with self._transaction() as cursor:
            cursor.execute(queries.FORGET_SAME_LESION, same)
            replace(cursor, "measurements", [row])
            what = f"{drawn.lesion}, scan {drawn.visit + 1}{', gone' if drawn.gone else ''}"
            note(cursor, "measure", patient, f"{what}, by {by}")

    def measurements(self, patient: str, pair_key: str) -> list[Measurement]:
        """What was measured on this pair, by lesion and scan."""
        rows = self._rows(
            "SELECT * FROM measurements WHERE patient = ? AND pair_key = ? ORDER BY lesion, visit",
            patient,
            pair_key,
        )
        return [records.to_measurement(row) for row in rows]

    def delete_measurement(self, patient: str, key: str) -> None:
        """Remove a measurement of this patient; the record keeps a line."""
        with self._transaction() as cursor:
            gone = cursor.execute(
                "DELETE FROM measurements WHERE patient = ? AND measurement = ? RETURNING lesion",
                [patient, key],
            ).fetchall()
            for (lesion,) in gone:
                note(cursor, "delete measurement", patient, lesion)

    def save_link(self, patient: str, pair_key: str, offset_mm: Triple) -> None:
        """Keep how far, ``(x, y, z)`` in mm, a person moved the follow-up onto the baseline.

        Raises:
            NotInStore: There is no such pair, or no longer.
        """
        row = {"patient": patient, "pair_key": pair_key, "offset_mm": list(offset_mm)}
        with self._transaction() as cursor:
            replace(cursor, "links", [row | {"made_by": actor()}])
            note(cursor, "link scans", patient, "by hand")

    def link(self, patient: str, pair_key: str) -> Triple | None:
        """What `save_link` kept, or ``None``."""
        row = self._row(
            "SELECT offset_mm FROM links WHERE patient = ? AND pair_key = ?", patient, pair_key
        )
        return tuple(row["offset_mm"]) if row else None

    # --- Groups of patients -----------------------------------------------------------------

    def save_group(self, cohort: str, group: PatientGroup) -> None:
        """Keep what the patients of a group have in common, for this cohort.

        Raises:
            InputRejected: The cohort has a group of that name.
        """
        with self._transaction() as cursor:
            _require_free(cursor, cohort, group.name)
            replace(cursor, "patient_groups", [records.group_row(cohort, group)])

    def groups(self, cohort: str) -> list[PatientGroup]:
        """The groups that were saved for this cohort, by name."""
        rows = self._rows("SELECT * FROM patient_groups WHERE cohort = ? ORDER BY name", cohort)
        return [records.to_group(row) for row in rows]

    def rename_group(self, cohort: str, name: str, new_name: str) -> None:
        """Give a group another name; one that is not there stays so.

        Raises:
            InputRejected: The cohort has a group of the new name.
        """
        with self._transaction() as cursor:
            _require_free(cursor, cohort, new_name)
            cursor.execute(
                "UPDATE patient_groups SET name = ? WHERE cohort = ? AND name = ?",
                [new_name, cohort, name],
            )

    def delete_group(self, cohort: str, name: str) -> None:
        """Remove a group; its patients stay."""
        with self._transaction() as cursor:
            cursor.execute(
                "DELETE FROM patient_groups WHERE cohort = ? AND name = ?", [cohort, name]
            )

    # --- Tables -----------------------------------------------------------------------------

    def worklist(self, cohort: str | None = None, model_version: str | None = None) -> pd.DataFrame:
        """One row a scan pair, scored or not, and one row a refusal.

        Args:
            cohort: Only this cohort; ``None`` for all.
            model_version: Only scores by this model; ``None`` for each pair's latest score.

        Returns:
            Columns ``patient``, ``pair_key``, ``cohort``, ``note``, ``interval_days`` (Int64),
            ``zone``, ``reasons`` (list of str), ``survival_12m``, ``lower``, ``upper`` (90 %),
            ``risk_group``, ``recist``, ``volume_change``, ``sum_baseline_mm``,
            ``sum_follow_up_mm``, ``new_lesions`` (Int64), ``scored_at`` (UTC),
            ``refusal_what``, ``refusal_next_step``, ``model_version``; by patient. Text that is
            missing is ``None``, numbers are NaN or ``<NA>``. A pair that is not scored yet has
            no zone, and its reasons are what the guard found.
        """
        table = self._table(queries.WORKLIST, cohort=cohort, model_version=model_version)
        return table.assign(
            interval_days=table["interval_days"].astype("Int64"),
            new_lesions=table["new_lesions"].astype("Int64"),
            reasons=table["reasons"].map(list),
            scored_at=table["scored_at"].dt.tz_localize("UTC"),
        )

    def cohort_table(
        self,
        cohort: str,
        model_version: str,
        include_amber: bool = False,
        *,
        scored: bool = True,
    ) -> pd.DataFrame:
        """One row a patient with an outcome and a score that counts: the table of a `Cohort`.

        A patient with several pairs is represented by the one entered last. Red scores never
        count; amber ones if asked for. `cohort_counts` says how many that leaves out.

        Args:
            scored: ``False``: everybody with an outcome; who has no score of this model has NaN
                or ``None`` for it. Imported tables bring no scores.

        Returns:
            Columns ``patient``, ``months``, ``event``, ``survival_12m``, ``risk_group``, ``age``
            (years, NaN if unknown), ``sex``, ``histology``, ``pd_l1``, ``ecog``, ``line``,
            ``regimen``, ``site``, ``recist`` (``"unknown"`` if nobody read it),
            ``volume_change``, ``tumour_volume_ml`` (at baseline, by the model), ``zone``,
            ``sum_baseline_mm``, ``sum_follow_up_mm``, ``new_lesions``, ``lower``, ``upper`` (90 %
            interval of ``survival_12m``), ``interval_days`` (NaN if unknown); by patient.
        """
        return self._table(
            queries.COHORT_TABLE,
            cohort=cohort,
            model_version=model_version,
            include_amber=include_amber,
            scored=scored,
            unknown=UNKNOWN,
        )

    def predicted_survival(self, cohort: str, model_version: str, months: float) -> pd.Series:
        """Predicted P(alive ``months`` after the follow-up CT) of the scores in `cohort_table`.

        Returns:
            In [0, 1], indexed by patient; without those whose curve has no value for that month.
        """
        table = self._table(
            queries.PREDICTED, cohort=cohort, model_version=model_version, months=months
        )
        return table.set_index("patient")["survival"]

    def compare(
        self,
        members: Members,
        by: str | None = None,
        months: Sequence[float] = (),
        interval: Interval = "log-log",
    ) -> GroupComparison:
        """Survival of groups of a cohort, counted in the database: for a million patients.

        As `ctrs.survival.compare_groups` on the rows of `cohort_table` that are followed past
        the follow-up CT, time zero.

        Args:
            by: One of `ctrs.store.FACTORS`; ``None``: all as one group, named as the cohort. Who
                has no risk group or zone is in none.
            months: Where to count who is at risk.

        Raises:
            TooFewPatients: Nobody is left.
            InputRejected: More than 20 groups.
        """
        with self._reading() as cursor:
            return compare(cursor, members, by, months, interval)

    def cohort_counts(self, cohort: str, model_version: str) -> CohortCounts:
        """How many patients of this cohort count, and why the others do not."""
        with self._reading() as cursor:
            parameters = {"cohort": cohort, "model_version": model_version}
            (row,) = _fetch(cursor.execute(queries.COHORT_COUNTS, parameters))
        return CohortCounts(**row)

    # --- Many at once -----------------------------------------------------------------------

    def bulk_load(
        self,
        patients: Sequence[Patient] | pd.DataFrame = (),
        pairs: Sequence[StoredPair] | pd.DataFrame = (),
        scores: Sequence[tuple[str, ResponseScore]] | pd.DataFrame = (),
        responses: Sequence[tuple[str, Response]] | pd.DataFrame = (),
        outcomes: Sequence[tuple[str, Outcome]] | pd.DataFrame = (),
        readings: pd.DataFrame | None = None,
    ) -> None:
        """Write whole tables in one transaction, in place of rows with the same keys.

        Args:
            patients, pairs: Nouns, or a frame.
            scores, responses: With the pair's key in front, or a frame.
            outcomes: With the patient's pseudonym in front, or a frame.
            readings: What a table says of the response, whatever of it is known.

        A frame has columns of the table of the same name (``migrations/``); those that the
        table has a default for may be missing.

        Raises:
            NotInStore: A pair, an outcome or a reading names no patient, or a score or response
                no pair.
        """
        tables = {
            "patients": _as_rows(patients, records.patient_row),
            "pairs": _as_rows(pairs, records.pair_row),
            "scores": _as_rows(scores, lambda item: records.score_row(*item, {})),
            "responses": _as_rows(responses, lambda item: records.response_row(*item)),
            "outcomes": _as_rows(outcomes, lambda item: records.outcome_row(*item)),
            "readings": [] if readings is None else readings,
        }
        with self._transaction() as cursor:
            for table, rows in tables.items():
                replace(cursor, table, rows)

    # --- Who did what, and the right to be forgotten ----------------------------------------

    def audit(self, action: str, patient: str | None = None, detail: str = "") -> None:
        """Add a line to the record of what was done, with the time and the account's name."""
        with self._transaction() as cursor:
            note(cursor, action, patient, detail)

    def audit_trail(self, limit: int) -> pd.DataFrame:
        """The last ``limit`` lines of the record, newest first.

        Columns ``noted_at`` (UTC), ``actor``, ``action``, ``patient`` (``None`` if about nobody),
        ``detail``.
        """
        table = self._table(
            "SELECT noted_at, actor, action, patient, detail FROM audit"
            " ORDER BY entry DESC LIMIT $limit",
            limit=limit,
        )
        return table.assign(noted_at=table["noted_at"].dt.tz_localize("UTC"))

    def delete_patient(self, patient: str) -> list[str]:
        """Remove a patient with everything derived, at one stroke; the record keeps a line.

        The rows are gone for every reader. In the file their bytes stay, as in most databases,
        until later writes need the space: destroying the file destroys them for certain.

        Returns:
            ``sha256`` of the scans that nobody else's pair needs: the caller deletes their
            files.
        """
        with self._transaction() as cursor:
            scans = forget(cursor, queries.THIS_PATIENT, patient)
            note(cursor, "delete patient", patient, f"{len(scans)} scans")
        return scans

    def delete_cohort(self, cohort: str) -> list[str]:
        """Remove all patients of a cohort as `delete_patient` does one, all or none.

        Returns:
            ``sha256`` of the scans that nobody of another cohort needs, as `delete_patient`.
        """
        with self._transaction() as cursor:
            counted = cursor.execute(
                "SELECT count(*) FROM patients WHERE cohort = ?", [cohort]
            ).fetchall()
            scans = forget(cursor, queries.THIS_COHORT, cohort)
            for table in ("imports", "patient_groups"):
                cursor.execute(f"DELETE FROM {table} WHERE cohort = ?", [cohort])
            words = f"{cohort}: {counted[0][0]} patients, {len(scans)} scans"
            note(cursor, "delete cohort", None, words)
        return scans

    # --- Access -----------------------------------------------------------------------------

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        # A cursor is a connection of its own: threads must not share one.
        with _explained(), self._db.cursor() as cursor:
            yield cursor

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self._writing, self._reading() as cursor:
            cursor.begin()
            try:
                yield cursor
            except BaseException:
                cursor.rollback()
                raise
            cursor.commit()
            self._state = next(_states)

    def _rows(self, query: str, *parameters: object) -> list[Row]:
        with self._reading() as cursor:
            return _fetch(cursor.execute(query, list(parameters)))

    def _row(self, query: str, *parameters: object) -> Row | None:
        return next(iter(self._rows(query, *parameters)), None)

    def _table(self, query: str, **parameters: object) -> pd.DataFrame:
        with self._reading() as cursor:
            return cursor.execute(query, parameters).df()


def _fetch(cursor: Connection) -> list[Row]:
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _require_free(cursor: Connection, cohort: str, name: str) -> None:
    taken = "SELECT 1 FROM patient_groups WHERE cohort = ? AND name = ?"
    if cursor.execute(taken, [cohort, name]).fetchall():
        raise InputRejected(
            "This cohort has a group of that name.", "Choose another name, or remove that group."
        )


def _as_rows(
    items: Sequence[Item] | pd.DataFrame, to_row: Callable[[Item], Row]
) -> list[Row] | pd.DataFrame:
    return items if isinstance(items, pd.DataFrame) else [to_row(item) for item in items]


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (duckdb.IntegrityError, duckdb.ProgrammingError, duckdb.DataError):
        raise  # wrong rows or wrong SQL: the program is to blame, not the file
    except duckdb.Error as error:
        raise StoreUnusable(
            "The database could not be read or written, and nothing of this step was kept.",
            "Try again; if that does not help, make room on the disk and restart the program, or"
            " restore the database from a backup.",
        ) from error
