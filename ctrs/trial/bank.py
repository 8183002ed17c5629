"""A trial on disk: one table of patients, one file of prepared scans with truth a patient.

``patients.csv`` has the columns of `ctrs.trial.population.patients.trial_table`; its ``split`` is
``train`` (the discovery cohort), ``test`` or ``external``. ``prepared/<patient>.npz`` has, for both
visits (first axis), 8-bit arrays on the model's grid: ``image`` (0-255 over the window), ``lungs``
(0 or 1), the known ones of `ctrs.types.STRUCTURES` (0-255 = share of the voxel), and for patients
in real anatomy ``ignore`` (1 = a tumour of the real chest, in no truth). ``rescans`` and ``rare``
hold the same of further scans, ``livers`` ``image`` and ``liver_tumour`` of the box around the
liver alone. ``trial.json`` says what the trial was made from.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache, partial
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import SimpleITK as sitk

from ctrs.box import cut_box
from ctrs.config import Config
from ctrs.errors import InputRejected
from ctrs.liver import LIVER_BOX, liver_corner
from ctrs.prepare import onto_model_grid, prepare
from ctrs.trial.population.patients import (
    TrialPatient,
    simulate_patient,
    simulate_patients,
    trial_table,
)
from ctrs.trial.prepared import (
    LIVERS,
    PREPARED,
    RARE,
    RESCANS,
    WORKERS,
    Bytes,
    as_bytes,
    write_prepared,
)
from ctrs.trial.real.backgrounds import (
    RealRendering,
    RealScan,
    load_real_scans,
    render_on_background,
)
from ctrs.trial.render import RenderedScan, protocol_of, render_visit
from ctrs.types import Array

ArraysOf = Callable[[int, TrialPatient, int], dict[str, Bytes]]  # of one visit

RENDER_MM = 3.0  # pixel size for training scans: that of the model's grid, edges in proportion
RARE_STREAM, LIVER_STREAM = 31, 32  # beside a trial's seed: other patients than those of any trial
HEALTHY_LIVERS = 4  # of so many patients without tumours of the liver one is taken
LIVER_HEIGHTS = (-75.0, 100.0)  # mm from the base of the lungs: all but the top of the liver's box
RENDERER = 4  # raise it when of the same patient other scans, or another box, would be written


def simulate_trial(
    folder: Path,
    n: int,
    seed: int,
    *,
    voxels: bool = True,
    backgrounds: Path | None = None,
    rescans: int = 0,
    rare: int = 0,
    livers: int = 0,
    workers: int = WORKERS,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> pd.DataFrame:
    """Simulate ``n`` patients into ``folder``; scans of this very trial already there are kept.

    Args:
        rescans: So many of the training patients are scanned again at both visits, on the same
            days: lain down anew, another breath, another protocol of the same scanner.
        rare: So many patients with rare findings beside the trial, in no table: the first network
            learns from their scans what a trial shows too seldom.
        livers: So many more patients of whom only the liver is rendered, in half the time; of the
            simulated body, with ``backgrounds`` too.
        backgrounds: Folder of real scans (`ctrs.trial.real.backgrounds`): the patients' tumours and
            fluid are painted into these, one after the other, in place of simulated anatomy.
            What the simulated body would show beside them (emphysema, muscle, bone) is then
            not to be seen, though it still shortens lives: the oracle knows more than the scans.

    Returns:
        The table written to ``patients.csv``.

    Raises:
        InputRejected: The folder holds another trial or real patients; no backgrounds.
    """
    if voxels and backgrounds:
        _real_scans(backgrounds)  # fails here, before anything is written
    folder.mkdir(parents=True, exist_ok=True)
    _claim(folder, {"seed": seed} | (_made_from(backgrounds) if voxels else {}))
    patients = simulate_patients(n, seed, workers=workers)
    table = trial_table(patients)
    if voxels and backgrounds:
        table["background"] = [_background_of(i, backgrounds).name for i in range(n)]
    partly = folder / "patients.part"
    table.to_csv(partly, index=False)
    partly.replace(folder / "patients.csv")
    if voxels:
        numbered = list(enumerate(patients))
        _render_all(folder / PREPARED, numbered, backgrounds, workers, progress)
        twice = [(i, replace(p, seed=p.seed + 1)) for i, p in numbered if p.person.split == "train"]
        _render_all(folder / RESCANS, twice[:rescans], backgrounds, workers, progress)
        others = rare_patients(seed, collapse=backgrounds is None)
        numbered = list(enumerate(islice(others, rare)))
        _render_all(folder / RARE, numbered, backgrounds, workers, progress)
        numbered = list(enumerate(islice(liver_patients(seed), livers)))
        _render_all(folder / LIVERS, numbered, None, workers, progress, _liver_arrays)
    return table


def rare_patients(seed: int, *, collapse: bool) -> Iterator[TrialPatient]:
    """Patients with pseudoprogression or a blocked bronchus, without end; in no trial.

    Halos and airless lung look too much like tumour to be learnt from the fifth of patients that
    have one of them. All are scanned at sites of the discovery cohort: the others stay unseen.

    Args:
        collapse: Those with a blocked bronchus, too. Real chests do not show it.
    """
    for index in count(1):  # to NumPy a last 0 is none: it would be the trial's own patient
        patient = simulate_patient([seed, RARE_STREAM], "RARE", index)
        blocked = collapse and any(any(lesion.collapse) for lesion in patient.lesions)
        if patient.person.split == "train" and (patient.disease.pseudoprogression or blocked):
            yield patient


def liver_patients(seed: int) -> Iterator[TrialPatient]:
    """Patients with tumours of the liver, and about as many without, without end; in no trial."""
    for index in count(1):
        patient = simulate_patient([seed, LIVER_STREAM], "LIVER", index)
        ill = any(lesion.kind == "liver" for lesion in patient.lesions)
        if patient.person.split == "train" and (ill or index % HEALTHY_LIVERS == 0):
            yield patient


def _made_from(backgrounds: Path | None) -> dict[str, Any]:
    """What scans depend on beside the seed."""
    files = sorted(backgrounds.iterdir()) if backgrounds else []
    return {
        "renderer": RENDERER,
        "backgrounds": {file.name: file.stat().st_size for file in files},
    }


def _claim(folder: Path, made_from: dict[str, Any]) -> None:
    """Note what a trial is made from; refuse to mix it with another, or with real patients."""
    note = folder / "trial.json"
    strange = (folder / "patients.csv").exists() or (folder / PREPARED).exists()
    if not note.exists() and strange:
        raise InputRejected(
            "The folder holds patients or scans that no simulation made.", "Choose an empty folder."
        )
    known = _read_note(note) if note.exists() else {}
    if any(known.get(name, value) != value for name, value in made_from.items()):
        raise InputRejected(
            "The folder holds another trial: other seed, backgrounds or program version.",
            "Choose an empty folder, or delete this one first.",
        )
    note.write_text(json.dumps(known | made_from) + "\n")


def _read_note(note: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(note.read_text()))
    except (ValueError, TypeError):
        raise InputRejected(
            "The trial.json in the folder is damaged.",
            "Choose an empty folder, or delete this one.",
        ) from None


def _render_all(
    folder: Path,
    patients: list[tuple[int, TrialPatient]],
    backgrounds: Path | None,
    workers: int,
    progress: Callable[[int, int], None],
    arrays_of: ArraysOf | None = None,
) -> None:
    folder.mkdir(exist_ok=True)
    with ProcessPoolExecutor(workers, initializer=_one_thread) as pool:
        render = partial(_render_one, folder, arrays_of or partial(_arrays, backgrounds))
        done = pool.map(render, patients, chunksize=4)
        for index, _ in enumerate(done):
            progress(index + 1, len(patients))


def _one_thread() -> None:
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


@cache
def _real_scans(backgrounds: Path) -> list[RealScan]:
    """The real scans, read once in each process.

    Raises:
        InputRejected: There are none.
    """
    scans = load_real_scans(backgrounds)
    if not scans:
        raise InputRejected(
            "The folder of backgrounds holds no scan.", "Put NIfTI, NRRD or MHA files in it."
        )
    return scans


def _render_one(folder: Path, arrays_of: ArraysOf, numbered: tuple[int, TrialPatient]) -> None:
    path = folder / f"{numbered[1].patient.patient}.npz"
    if not path.exists():
        write_prepared(path, [arrays_of(*numbered, visit) for visit in (0, 1)])


def _arrays(
    backgrounds: Path | None, index: int, patient: TrialPatient, visit: int
) -> dict[str, Bytes]:
    return _visit_arrays(_visit(index, patient, visit, backgrounds), Config())


def _visit(index: int, patient: TrialPatient, visit: int, backgrounds: Path | None) -> RenderedScan:
    if backgrounds is None:
        return render_visit(patient, visit, RENDER_MM)
    protocol = protocol_of(patient, visit, RENDER_MM)
    return render_on_background(patient, visit, _background_of(index, backgrounds), protocol)


def _background_of(index: int, backgrounds: Path) -> RealScan:
    scans = _real_scans(backgrounds)
    return scans[index % len(scans)]


def _visit_arrays(scan: RenderedScan, config: Config) -> dict[str, Bytes]:
    # Where a simulated patient lies in the room is drawn anyway: the grid begins with the scan.
    volume = replace(scan.volume, origin=(0.0, 0.0, 0.0))
    prepared, _ = prepare(volume, config.prepare, config.chest)

    def share(values: Array) -> Bytes:
        if not values.any():  # most patients have no fluid, no fibrosis
            return np.zeros(prepared.image.shape, np.uint8)
        return as_bytes(onto_model_grid(values, scan.volume.spacing, prepared))

    arrays = {
        "image": as_bytes(prepared.image),
        "lungs": prepared.lungs.astype(np.uint8),
        **{name: share(values) for name, values in scan.structures.items()},
    }
    if isinstance(scan, RealRendering):
        arrays["ignore"] = (share(scan.ignore.astype(np.float32)) > 25).astype(np.uint8)
    return arrays


def _liver_arrays(index: int, patient: TrialPatient, visit: int) -> dict[str, Bytes]:
    """Image and tumours in `ctrs.liver.LIVER_BOX`; ``index`` is not needed."""
    scan = render_visit(patient, visit, RENDER_MM, heights=LIVER_HEIGHTS)
    arrays = _visit_arrays(scan, Config())
    corner = liver_corner(arrays["lungs"] > 0) or (0, 0, 0)
    return {name: cut_box(arrays[name], corner, LIVER_BOX, 0) for name in ("image", "liver_tumour")}
