"""A trial on disk: one table of patients, one file of prepared scans with truth a patient.

``patients.csv`` has the columns of `ctrs.trial.patients.trial_table` and ``split`` (``train`` or
``test``). ``prepared/<patient>.npz`` has, for both visits (first axis), 8-bit arrays on the
model's grid: ``image`` (0-255 over the window), ``tumour`` and ``effusion`` (0-255 = share of the
voxel), ``lungs`` (0 or 1).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import SimpleITK as sitk

from ctrs.config import Config
from ctrs.prepare import onto_model_grid, prepare
from ctrs.trial.patients import TrialPatient, simulate_patients, trial_table
from ctrs.trial.render import RenderedScan, render_visit
from ctrs.types import Array

Bytes = npt.NDArray[np.uint8]

RENDER_MM = 2.6  # pixel size for training scans; finer than the model's grid
TEST_SHARE = 0.4


def simulate_trial(
    folder: Path,
    n: int,
    seed: int,
    *,
    voxels: bool = True,
    workers: int = 2,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> pd.DataFrame:
    """Simulate ``n`` patients into ``folder``; scans already there are kept.

    Returns:
        The table written to ``patients.csv``: the first 60 % are for training.
    """
    patients = simulate_patients(n, seed)
    table = trial_table(patients)
    n_train = round(n * (1 - TEST_SHARE))
    table["split"] = ["train"] * n_train + ["test"] * (n - n_train)
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "patients.csv", index=False)
    if voxels:
        _render_all(folder / "prepared", patients, workers, progress)
    return table


def _render_all(
    folder: Path,
    patients: list[TrialPatient],
    workers: int,
    progress: Callable[[int, int], None],
) -> None:
    folder.mkdir(exist_ok=True)
    with ProcessPoolExecutor(workers, initializer=_one_thread) as pool:
        done = pool.map(partial(_render_one, folder), patients, chunksize=4)
        for index, _ in enumerate(done):
            progress(index + 1, len(patients))


def _one_thread() -> None:
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def _render_one(folder: Path, patient: TrialPatient) -> None:
    path = folder / f"{patient.patient.patient}.npz"
    if path.exists():
        return
    config = Config()
    visits = [_visit_arrays(render_visit(patient, v, RENDER_MM), config) for v in (0, 1)]
    partly = path.with_suffix(".part")
    with partly.open("wb") as file:
        both = {name: np.stack([visit[name] for visit in visits]) for name in visits[0]}
        np.savez_compressed(file, allow_pickle=False, **both)
    partly.replace(path)


def _visit_arrays(scan: RenderedScan, config: Config) -> dict[str, Bytes]:
    prepared, _ = prepare(scan.volume, config.prepare, config.chest)
    spacing = scan.volume.spacing
    return {
        "image": _bytes(prepared.image),
        "lungs": prepared.lungs.astype(np.uint8),
        "tumour": _bytes(onto_model_grid(scan.tumour.astype(np.float32), spacing, prepared)),
        "effusion": _bytes(onto_model_grid(scan.effusion.astype(np.float32), spacing, prepared)),
    }


def _bytes(share: Array) -> Bytes:
    return np.rint(share * 255).astype(np.uint8)


def load_prepared(folder: Path, patient: str, *names: str) -> dict[str, Bytes]:
    """The arrays of one patient, all or those named; first axis baseline and follow-up."""
    with np.load(folder / "prepared" / f"{patient}.npz", allow_pickle=False) as arrays:
        return {name: arrays[name] for name in names or arrays.files}
