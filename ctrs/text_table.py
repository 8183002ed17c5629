"""A table of text as hospitals export it: any separator, any encoding, nothing taken on trust.

Nothing is read as a formula, a link or a number here: a cell is text or missing.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from ctrs.errors import InputRejected

MAX_BYTES = 256 * 1024**2  # a million patients with twenty columns have about 150 MB
MAX_ROWS = 1_000_000
MAX_COLUMNS = 1_000
SHOWN = 40  # characters of a column's name in a message
MISSING = ["", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "."]

_EXPORT = "Export the table as CSV."
_BEGINNINGS = {
    b"PK\x03\x04": "an Excel workbook or a zip",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"%PDF": "a PDF",
    b"\x1f\x8b": "compressed with gzip",
    b"RDX": "an R data file",
    b"BZh": "compressed, like most R data files",
    b"PAR1": "a Parquet file",
}


@dataclass(frozen=True)
class TextTable:
    """What a file holds, cell by cell.

    Attributes:
        cells: One row a row of the file, indexed by its number in a spreadsheet (names are in
            row 1); text without spaces around it, ``None`` where a cell is empty or says so.
        uneven: Rows with more or fewer cells than there are names, by number: how many cells.
        separator: Between cells.
    """

    cells: pd.DataFrame
    uneven: dict[int, int]
    separator: str

    @property
    def decimal_comma(self) -> bool:
        """Whether 12,5 is a number: only where the comma does not part the cells."""
        return self.separator != ","


def read_text_table(path: Path) -> TextTable:
    """Read a file separated by comma, semicolon or tab; lines before the names may begin with #.

    Raises:
        InputRejected: Not there, too large, no text, no line of names, names that occur twice, no
            rows, or most rows have another number of cells than there are names.
    """
    text = _text(path)
    rows = _rows(text)
    number, header = next(rows, (0, []))
    names = [name.strip() for name in header]
    _check_names(names)
    good, uneven = _sort_out(rows, len(names))
    if not good and not uneven:
        raise InputRejected(
            "The file has a line of names and nothing below it.", f"{_EXPORT} One row a patient."
        )
    if len(uneven) > len(good):
        raise InputRejected(
            f"{len(uneven)} of {len(uneven) + len(good)} rows do not have {len(names)} cells.",
            "Export the table as CSV anew, with quotes round text that holds the separator.",
        )
    index = [row - number + 1 for row, _ in good]
    table = pd.DataFrame([cells for _, cells in good], index=index, columns=names, dtype=object)
    for place, name in enumerate(names):
        cells = table[name].str.strip()
        table.isetitem(place, cells.where(~cells.isin(MISSING), None).to_numpy(dtype=object))
    return TextTable(table, {row - number + 1: n for row, n in uneven}, _separator(text))


def numbers(column: pd.Series, decimal_comma: bool) -> pd.Series:
    """Text to numbers; what is none is NaN, as is infinity."""
    if decimal_comma:
        column = column.str.replace(r"^([-+]?\d+),(\d+)$", r"\1.\2", regex=True)
    found = pd.to_numeric(column, errors="coerce").astype(float)
    return found.where(np.isfinite(found))


def shown(name: str) -> str:
    """A column's name for a message: cut, and only what can be printed."""
    clean = "".join(c if c.isprintable() else "?" for c in name)
    return clean if len(clean) <= SHOWN else clean[: SHOWN - 1] + "…"


def _text(path: Path) -> str:
    if not path.exists() or path.is_dir():  # a pipe is as good as a file
        raise InputRejected(
            f"There is no file “{shown(path.name)}”.", "Check the path of the table."
        )
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise InputRejected(
            f"The file has {size / 1024**2:.0f} MB; up to {MAX_BYTES // 1024**2} MB are read.",
            "Leave out the columns that are not needed, or split the table.",
        )
    content = path.read_bytes()
    for start, what in _BEGINNINGS.items():
        if content.startswith(start):
            raise InputRejected(f"The file is {what}, not a table of text.", _EXPORT)
    text = _decoded(content)
    if any(ord(c) < 32 and c not in "\t\r\n\f" for c in set(text)):
        raise InputRejected("The file is no table of text.", _EXPORT)
    if text.lstrip()[:1] == "<":
        raise InputRejected("The file is a web page or XML, not a table of text.", _EXPORT)
    return text


def _decoded(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")  # never fails; only names could come out wrong


def _separator(text: str) -> str:
    lines = (line for line in StringIO(text) if line.strip() and not line.startswith("#"))
    header = next(lines, "")
    return max(",;\t", key=header.count)


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Rows that hold anything, with their number from 1; remarks at the top are skipped."""
    reader = csv.reader(StringIO(text, newline=""), delimiter=_separator(text))
    begun = False
    try:
        for number, row in enumerate(reader, start=1):
            if not any(cell.strip() for cell in row) or (not begun and row[0].startswith("#")):
                continue
            begun = True
            yield number, row
    except csv.Error as fault:
        raise InputRejected("The file is no table of text.", _EXPORT) from fault


def _check_names(names: list[str]) -> None:
    if not names:
        raise InputRejected("The file is empty.", f"{_EXPORT} The first line holds the names.")
    numbers = sum(_is_number(name) for name in names)
    if numbers and numbers >= sum(map(bool, names)) / 2:
        raise InputRejected(
            f"{numbers} of {len(names)} cells of the first line are numbers: it seems to be a"
            " patient.",
            "Put a line with the names of the columns first.",
        )
    twice = sorted({shown(name) for name in names if names.count(name) > 1})[:3]
    if twice:
        listed = ", ".join(f"“{name}”" for name in twice)
        raise InputRejected(
            f"Two columns share a name: {listed}.", "Rename one of them, or leave it out."
        )
    if len(names) > MAX_COLUMNS:
        raise InputRejected(
            f"The table has {len(names)} columns; up to {MAX_COLUMNS} are read.",
            "Leave out the columns that are not needed.",
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


Numbered = list[tuple[int, list[str]]]


def _sort_out(
    rows: Iterator[tuple[int, list[str]]], width: int
) -> tuple[Numbered, list[tuple[int, int]]]:
    good: Numbered = []
    uneven: list[tuple[int, int]] = []
    for number, row in islice(rows, MAX_ROWS):
        if len(row) == width:
            good.append((number, row))
        else:
            uneven.append((number, len(row)))
    if next(rows, None) is not None:
        raise InputRejected(
            f"The table has more than {MAX_ROWS:,} rows.", "Split it and import the parts."
        )
    return good, uneven
