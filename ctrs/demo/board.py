"""The demo in the store: the simulated cohort, and six patients scored like any upload."""

from __future__ import annotations

from pathlib import Path
from shutil import rmtree

from ctrs.assess import Workshop, assess, remember
from ctrs.demo.cohort import DEMO_COHORT, load_cohort
from ctrs.demo.scans import (
    CASES,
    DEMO_BOARD,
    VISITS,
    DemoCase,
    Progress,
    demo_patient,
    write_demo_scans,
)
from ctrs.errors import CtrsError
from ctrs.store import Store


def build_demo(workshop: Workshop, cohort: Path, scans: Path, progress: Progress) -> None:
    """Fill the store with the demo cohort and the demo board; what is there stays.

    Args:
        cohort: `ctrs.places.demo_cohort`.
        scans: Folder for the DICOM files; made if need be.
    """
    store = workshop.store
    if store is None or demo_is_built(store, workshop.model_version):
        return
    progress(0.0, "Loading the simulated cohort")
    load_cohort(store, cohort)
    write_demo_scans(scans, lambda share, words: progress(0.02 + 0.6 * share, words))
    for n, case in enumerate(CASES):
        progress(0.62 + 0.38 * n / len(CASES), f"Scoring demo patient {n + 1} of {len(CASES)}")
        _assess_case(case, scans, workshop, store)
    progress(1.0, "The demo is ready")


def forget_board(store: Store, scans: Path) -> None:
    """Remove the six patients and their scans, so that they are made anew; others stay."""
    for case in CASES:
        store.delete_patient(case.name)
        rmtree(scans / case.name, ignore_errors=True)


def _assess_case(case: DemoCase, scans: Path, workshop: Workshop, store: Store) -> None:
    patient = demo_patient(case)
    store.save_patient(patient.patient)
    folder = scans / case.name
    try:
        assessment = assess(folder / VISITS[0], folder / VISITS[1], workshop)
    except CtrsError as error:
        store.save_refusal(case.name, error.what, error.next_step)
        return
    remember(assessment, case.name, workshop)
    store.save_response(assessment.pair.key, patient.response)


def demo_is_built(store: Store, model_version: str) -> bool:
    """Whether the store holds the whole demo with scores by this model."""
    board = store.worklist(DEMO_BOARD)
    scored = board[board["zone"].notna()]
    fresh = (scored["model_version"] == model_version).all()
    return len(board) == len(CASES) and bool(fresh) and DEMO_COHORT in store.cohorts()
