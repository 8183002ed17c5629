"""Opening the DuckDB file, and bringing its tables to the version this program knows."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import duckdb

from ctrs.errors import StoreUnusable

Connection: TypeAlias = duckdb.DuckDBPyConnection

MARK, MARK_AT = b"DUCK", 8  # in every file of DuckDB, behind a checksum

MIGRATIONS = Path(__file__).parent / "migrations"

# A medical store reaches for nothing outside its own file. Without this, DuckDB answers a SQLite
# file by trying to download an extension.
_CLOSED_IN: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "enable_external_access": False,
}


def utc_now() -> datetime:
    """The time in UTC, without a zone, as the tables keep it."""
    return datetime.now(UTC).replace(tzinfo=None)


def connect(path: Path | None) -> Connection:
    """Open the database file, or create it; ``None`` is an empty one in memory.

    A new file can be read by its owner alone, and so can the folders made for it.

    Raises:
        StoreUnusable: Another process has the file open, it is no DuckDB database, or it cannot
            be read and written.
    """
    if path is None:
        return duckdb.connect(":memory:", config=_CLOSED_IN)
    is_new = not path.exists()
    require_database(path)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        connection = duckdb.connect(str(path), config=_CLOSED_IN)
    except (duckdb.Error, OSError) as error:
        raise _explain(path, str(error)) from error
    if is_new:
        path.chmod(0o600)
    return connection


def require_database(path: Path) -> None:
    """Refuse a file that is there and no database, and leave it as it is.

    DuckDB would open a .csv or .json for reading, and what is written then would be lost.

    Raises:
        StoreUnusable: The file has no mark of DuckDB, or cannot be read.
    """
    if not path.exists():
        return
    try:
        with path.open("rb") as file:
            start = file.read(MARK_AT + len(MARK))
    except OSError as error:
        raise _explain(path, str(error)) from error
    if start[MARK_AT:] != MARK:
        raise _explain(path, "not a valid database")


def _explain(path: Path, message: str) -> StoreUnusable:
    if "set lock" in message or "used by another process" in message:  # Linux, macOS; Windows
        return StoreUnusable(
            f"The database {path.name} is open in another process; one at a time can use it.",
            "Close the other window or command that uses this database, then try again.",
        )
    if path.is_file() and "not a valid" in message:
        return StoreUnusable(
            f"The file {path.name} is not a DuckDB database.",
            "Choose another file, or move this one away: a new database is then created.",
        )
    return StoreUnusable(
        f"The database {path.name} cannot be opened.",
        "Check that its folder can be written to and that the file is a database of this"
        " program, or restore it from a backup.",
    )


def migrate(connection: Connection, folder: Path = MIGRATIONS) -> int:
    """Apply the migrations the database has not seen, in order; the version reached.

    Each file, ``NNNN_name.sql``, is applied whole or not at all, together with its row in
    ``schema_version``. Files are numbered from 1 without gaps and never change once released.

    Raises:
        StoreUnusable: The database is newer than the program, or belongs to another program.
    """
    files = sorted(folder.glob("[0-9][0-9][0-9][0-9]_*.sql"))
    if [int(file.name[:4]) for file in files] != list(range(1, len(files) + 1)):
        raise ValueError("Migrations are numbered from 1 without gaps.")
    reached = _version(connection)
    if reached > len(files):
        raise StoreUnusable(
            f"The database has version {reached}; this program knows versions up to {len(files)}.",
            "Update the program, or open the database with the program that wrote it.",
        )
    for file in files[reached:]:
        _apply(connection, file)
    return len(files)


def _version(connection: Connection) -> int:
    tables = connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()
    if tables and ("schema_version",) not in tables:
        raise StoreUnusable(
            f"The database holds {len(tables)} tables of another program.",
            "Choose another file for the database of this program.",
        )
    connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_version ("
        "version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at TIMESTAMP NOT NULL)"
    )
    ((reached,),) = connection.execute(
        "SELECT coalesce(max(version), 0) FROM schema_version"
    ).fetchall()
    return int(reached)


def _apply(connection: Connection, file: Path) -> None:
    connection.begin()
    try:
        connection.execute(file.read_text(encoding="utf-8"))
        connection.execute(
            "INSERT INTO schema_version VALUES (?, ?, ?)",
            [int(file.name[:4]), file.stem[5:], utc_now()],
        )
    except BaseException:
        connection.rollback()
        raise
    connection.commit()
