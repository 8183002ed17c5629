"""What the app shows before anybody has uploaded anything: simulated patients, marked as such.

* The demo cohort: the test patients of the simulated trial with the scores that the shipped model
  computed from their scans (``data/demo/cohort.csv``, written by ``python -m ctrs demo cohort``).
* The demo board: six patients with DICOM scans, made on first start and scored like any upload.
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd
import SimpleITK as sitk

from ctrs.assess import Workshop, assess, remember
from ctrs.config import ZoneConfig
from ctrs.errors import CtrsError
from ctrs.score import ModelFacts, judge
from ctrs.store import Store, StoredPair
from ctrs.trial.dicom import write_series
from ctrs.trial.patients import TrialPatient, simulate_patients
from ctrs.trial.render import render_visit
from ctrs.trial.scanner import Protocol
from ctrs.types import (
    Biomarker,
    Outcome,
    Patient,
    PredictedCurve,
    Prediction,
    Recist,
    Response,
    ResponseScore,
    RiskGroup,
    Volume,
    Zone,
)

DEMO_COHORT = "demo"
DEMO_BOARD = "demo board"

Progress = Callable[[float, str], None]


# --- The cohort -----------------------------------------------------------------------------


def write_cohort(
    file: Path, table: pd.DataFrame, predictions: Sequence[Prediction], model: ModelFacts
) -> int:
    """Write scored trial patients as the demo cohort; returns how many.

    Args:
        table: `ctrs.model.train.read_trial`, indexed by patient.
        predictions: One a row of the table.
    """
    scores = [judge(prediction, [], model, ZoneConfig()) for prediction in predictions]
    columns = [f for f in (*_PATIENT, *_RESPONSE, "months", "event") if f in table.columns]
    out = table[columns].assign(
        interval_days=table["interval_days"],
        score=[json.dumps(asdict(_rounded(score))) for score in scores],
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    out.to_csv(file, index_label="patient")
    return len(out)


def read_cohort(
    file: Path,
) -> list[tuple[Patient, StoredPair, ResponseScore, Response, Outcome]]:
    """The demo cohort as nouns, one tuple a patient."""
    table = pd.read_csv(file, dtype={"ecog": str})
    return [_read_row(row) for row in table.to_dict("records")]


_PATIENT = ("age", "sex", "histology", "pd_l1", "ecog", "line", "regimen", "site")
_RESPONSE = ("recist", "sum_baseline_mm", "sum_follow_up_mm", "new_lesions", "volume_change")


def _read_row(row: dict[Any, Any]) -> tuple[Patient, StoredPair, ResponseScore, Response, Outcome]:
    name = str(row["patient"])
    clinic = {field: row[field] for field in _PATIENT}
    read = {field: row[field] for field in _RESPONSE} | {"recist": Recist(row["recist"])}
    baseline, follow_up = (sha256(f"{name} {visit}".encode()).hexdigest() for visit in (0, 1))
    pair_key = sha256(f"{baseline} {follow_up}".encode()).hexdigest()
    return (
        Patient(patient=name, cohort=DEMO_COHORT, **clinic),
        StoredPair(pair_key, name, baseline, follow_up, int(row["interval_days"])),
        score_from_json(row["score"]),
        Response(**read),
        Outcome(float(row["months"]), bool(row["event"])),
    )


def _rounded(score: ResponseScore) -> ResponseScore:
    """Four digits are more than the model knows, and keep the file small."""
    content = json.loads(json.dumps(asdict(score)), parse_float=lambda text: round(float(text), 4))
    return score_from_json(json.dumps(content))


def score_from_json(text: str) -> ResponseScore:
    """The inverse of ``json.dumps(asdict(score))``."""
    content = json.loads(text)
    curve, interval = content.pop("curve"), content.pop("interval_90")
    group = content.pop("risk_group")
    return ResponseScore(
        **content
        | {
            "zone": Zone(content["zone"]),
            "reasons": tuple(content["reasons"]),
            "members": tuple(content["members"]),
            "biomarkers": {k: Biomarker(**v) for k, v in content["biomarkers"].items()},
        },
        interval_90=(interval[0], interval[1]) if interval else None,
        risk_group=RiskGroup(group) if group else None,
        curve=PredictedCurve(**{k: tuple(v) for k, v in curve.items()}) if curve else None,
    )


def load_cohort(store: Store, file: Path) -> int:
    """Put the demo cohort into the store; returns how many patients."""
    rows = read_cohort(file)
    store.bulk_load(
        patients=[patient for patient, *_ in rows],
        pairs=[pair for _, pair, *_ in rows],
        scores=[(pair.pair_key, score) for _, pair, score, *_ in rows],
        responses=[(pair.pair_key, response) for _, pair, _, response, _ in rows],
        outcomes=[(patient.patient, outcome) for patient, *_, outcome in rows],
    )
    return len(rows)


# --- The board ------------------------------------------------------------------------------


@dataclass(frozen=True)
class DemoCase:
    """One patient of the demo board.

    Attributes:
        seed: Of `simulate_patients`; chosen so that the truth fits the story.
        lost_slices: Of the follow-up, as if the export had been interrupted.
        kept_share: Of the follow-up's slices from the top; below 1 the scan ends too early.
    """

    name: str
    seed: int
    note: str
    lost_slices: tuple[int, ...] = ()
    kept_share: float = 1.0


CASES = (
    DemoCase("DEMO-1", 66, "Stable by RECIST; necrotic primary, fluid, emphysema"),
    DemoCase("DEMO-2", 1433, "Larger at 12 weeks with a hazy rim: pseudoprogression in the making"),
    DemoCase("DEMO-3", 37, "Partial response"),
    DemoCase("DEMO-4", 223, "Stable disease, small tumour"),
    DemoCase("DEMO-5", 107, "Export interrupted: slices are missing", lost_slices=(40, 41, 60)),
    DemoCase("DEMO-6", 212, "Follow-up scan ends in the middle of the lungs", kept_share=0.55),
)


def demo_patient(case: DemoCase) -> TrialPatient:
    """The simulated patient behind a case, under the case's name."""
    (patient,) = simulate_patients(1, case.seed, prefix=case.name)
    clinic = replace(patient.patient, patient=case.name, cohort=DEMO_BOARD, note=case.note)
    return replace(patient, patient=clinic)


def demo_protocol(case: DemoCase, visit: int) -> Protocol:
    """A plain chest protocol, coarse enough to be made while somebody waits."""
    noise = (13.0, 15.0)[visit]
    return Protocol(
        spacing=(3.0, 1.6, 1.6),
        kernel="B40f",
        manufacturer="Simulated",
        sharpness=0.9,
        noise_hu=noise,
        enhancement=(95.0, 110.0)[visit],
        field_mm=380.0,
    )


def write_demo_scan(folder: Path, case: DemoCase, visit: int) -> None:
    """Render one scan of a case into ``folder/<name>/baseline`` or ``…/follow_up``."""
    volume = render_visit(demo_patient(case), visit, protocol=demo_protocol(case, visit)).volume
    lost: tuple[int, ...] = ()
    if visit == 1:
        lost = case.lost_slices
        volume = _upper_part(volume, case.kept_share)
    write_series(volume, folder / case.name / ("baseline", "follow_up")[visit], lost)


def _upper_part(volume: Volume, share: float) -> Volume:
    first = round((1 - share) * len(volume.hu))
    x, y, z = volume.origin
    return replace(volume, hu=volume.hu[first:], origin=(x, y, z + first * volume.spacing[0]))


def write_demo_scans(folder: Path, progress: Progress) -> None:
    """Render the scans that are not there yet, on two cores."""
    missing = [
        (case, visit)
        for case in CASES
        for visit in (0, 1)
        if not (folder / case.name / ("baseline", "follow_up")[visit] / "done").exists()
    ]
    if not missing:
        return
    # Spawned, not forked: the app has threads, and a forked copy of them may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, context, initializer=_one_thread) as pool:
        jobs = [pool.submit(partial(_write_and_mark, folder), *job) for job in missing]
        for n, job in enumerate(as_completed(jobs)):
            job.result()
            progress((n + 1) / len(jobs), f"Making demo scans: {n + 1} of {len(jobs)}")


def _one_thread() -> None:
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def _write_and_mark(folder: Path, case: DemoCase, visit: int) -> None:
    write_demo_scan(folder, case, visit)
    (folder / case.name / ("baseline", "follow_up")[visit] / "done").touch()


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


def _assess_case(case: DemoCase, scans: Path, workshop: Workshop, store: Store) -> None:
    patient = demo_patient(case)
    store.save_patient(patient.patient)
    folder = scans / case.name
    try:
        assessment = assess(folder / "baseline", folder / "follow_up", workshop)
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
