"""A hospital's own patients as a trial: their scans brought to the model's grid, once.

The folder holds ``patients.csv`` (`ctrs.model.train.NEEDED` says which columns) and
``scans/<patient>/baseline`` and ``scans/<patient>/follow_up``, each a folder of DICOM or one file
(.zip, .nii.gz, .nrrd, .mha). What a simulated trial has beside that, the truth, is not there.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ctrs.config import Config
from ctrs.errors import CtrsError, InputRejected
from ctrs.ingest import read_scan
from ctrs.lungs import check_chest
from ctrs.prepare import prepare
from ctrs.trial.prepared import PREPARED, Bytes, as_bytes, read_patients, write_prepared

SCANS = "scans"
VISITS = ("baseline", "follow_up")
SHOWN_FAULTS = 5


def prepare_cohort(folder: Path, progress: Callable[[str], None]) -> int:
    """Prepare every pair of ``scans`` that is not prepared yet; returns how many were.

    Does nothing where there is no folder ``scans``: a simulated trial is rendered prepared.

    Raises:
        InputRejected: Scans are missing or cannot be used; says of which rows of the table, and
            names nobody. The others are prepared all the same.
    """
    if not (folder / SCANS).is_dir():
        return 0
    patients = [str(name) for name in read_patients(folder, ["patient"])["patient"]]
    (folder / PREPARED).mkdir(exist_ok=True)
    faults, done = [], 0
    for row, patient in enumerate(patients, start=2):  # the first line holds the names
        try:
            done += _prepare_pair(folder, patient)
        except CtrsError as error:
            faults.append(f"line {row}: {error.what}")
        if row % 10 == 0:
            progress(f"prepare {row - 1}/{len(patients)}")
    if faults:
        shown = " ".join(faults[:SHOWN_FAULTS])
        raise InputRejected(
            f"Of {len(patients)} patients {len(faults)} have scans that cannot be used: {shown}",
            "Mend these scans, or take the lines out of patients.csv, and begin again: what is"
            " prepared stays.",
        )
    return done


def _prepare_pair(folder: Path, patient: str) -> bool:
    """False where it was there already."""
    if Path(patient).name != patient or patient == "..":
        raise InputRejected("The patient's name is no plain name of a folder.", "Rename it.")
    target = folder / PREPARED / f"{patient}.npz"
    if target.exists():
        return False
    home = folder / SCANS / patient
    write_prepared(target, [_visit_arrays(_scan(home, visit)) for visit in VISITS])
    return True


def _scan(home: Path, visit: str) -> Path:
    found = sorted(home.glob(f"{visit}*")) if home.is_dir() else []
    if len(found) != 1:
        raise InputRejected(
            f"{len(found)} folders or files are called {visit}; 1 is expected.",
            f"Put the scan into {SCANS}/<patient>/{visit}.",
        )
    return found[0]


def _visit_arrays(path: Path) -> dict[str, Bytes]:
    config = Config()
    _, volume = read_scan(path, config.intake)
    prepared, chest = prepare(volume, config.prepare, config.chest)
    check_chest(chest, config.chest)
    return {
        "image": as_bytes(prepared.image),
        "lungs": prepared.lungs.astype(np.uint8),
    }
