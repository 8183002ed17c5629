"""Reading a trial on disk: its table, and the prepared scans of a patient. See `ctrs.trial.bank`.

Apart from the bank because whoever trains reads scans and renders none: no image library is
needed for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from os import cpu_count
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import numpy.typing as npt
import pandas as pd

from ctrs.errors import InputRejected
from ctrs.types import Array

Bytes = npt.NDArray[np.uint8]
WORKERS = min(cpu_count() or 2, 16)  # that make or read scans side by side


PREPARED, RESCANS, RARE, LIVERS = "prepared", "rescans", "rare", "livers"  # folders of a trial


def load_prepared(
    folder: Path, patient: str, *names: str, scans: str = PREPARED
) -> dict[str, Bytes]:
    """The arrays of one patient, all or those named and known; first axis both visits."""
    with np.load(folder / scans / f"{patient}.npz", allow_pickle=False) as arrays:
        return {name: arrays[name] for name in names or arrays.files if name in arrays.files}


def require_prepared(folder: Path, patients: Iterable[str], scans: str = PREPARED) -> None:
    """Refuse patients whose scans the trial does not hold; names nobody.

    Raises:
        InputRejected: Says how many, and in which folder they were looked for.
    """
    there = [(folder / scans / f"{patient}.npz").exists() for patient in patients]
    if not all(there):
        raise InputRejected(
            f"{there.count(False)} of {len(there)} patients have no scans in"
            f" {folder.name}/{scans}.",
            "Simulate the trial without --no-voxels, or put a hospital's own scans into"
            f" {folder.name}/scans.",
        )


def as_bytes(share: Array) -> Bytes:
    """Values from 0 to 1 as 0 to 255."""
    return np.rint(share * 255).astype(np.uint8)


def write_prepared(file: Path, visits: Sequence[Mapping[str, Bytes]]) -> None:
    """Write the arrays of both visits of one patient, whole or not at all."""
    partly = file.with_suffix(".part")
    # As numpy.savez_compressed does, which has no quicker level: a tenth larger, read in half the
    # time, and training reads each file many times.
    with ZipFile(partly, "w", ZIP_DEFLATED, compresslevel=1) as archive:
        for name in visits[0]:
            with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                both = np.stack([visit[name] for visit in visits])
                np.lib.format.write_array(stream, both, allow_pickle=False)
    partly.replace(file)


def scanned(folder: Path, scans: str = PREPARED) -> list[str]:
    """The patients with scans in one of a trial's folders, by name."""
    return sorted(file.stem for file in (folder / scans).glob("*.npz"))


def read_patients(folder: Path, needed: Iterable[str]) -> pd.DataFrame:
    """``patients.csv`` of a trial.

    Raises:
        InputRejected: There is none, it is no table, one of the ``needed`` columns is missing, or
            the follow-up is not in months (0 or more) with deaths True or False.
    """
    file = folder / "patients.csv"
    if not file.exists():
        raise InputRejected(
            "The folder holds no patients.csv.", "Make one with `python -m ctrs trial simulate`."
        )
    try:
        table = pd.read_csv(file, dtype={"ecog": str, "patient": str})
    except (ValueError, pd.errors.ParserError):
        raise InputRejected(
            "patients.csv is no table that can be read.",
            "Save it as comma-separated text, one row a patient.",
        ) from None
    missing = set(needed) - set(table.columns)
    if missing:
        raise InputRejected(
            f"patients.csv lacks the columns {', '.join(sorted(missing))}.",
            "Add them; the README describes each.",
        )
    _check_follow_up(table)
    return table


def _check_follow_up(table: pd.DataFrame) -> None:
    if "months" in table:
        months = pd.to_numeric(table["months"], errors="coerce")
        wrong = int((~(months >= 0) | np.isinf(months)).sum())
        if wrong:
            raise InputRejected(
                f"In {wrong} of {len(table)} rows the months of follow-up are missing or no number"
                " of at least 0.",
                "Give the months from the follow-up CT to death or last contact.",
            )
    if "event" in table:
        if not table["event"].isin([True, False]).all():  # 1 and 0 are these two
            raise InputRejected(
                "The column event holds other values than True and False.",
                "Write True where the patient has died, False where not.",
            )
        table["event"] = table["event"].astype(bool)
