"""The demo cohort: simulated patients with the scores that the shipped model gave their scans.

``data/demo/cohort.csv`` is written by ``python -m ctrs release``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd

from ctrs.config import ZoneConfig
from ctrs.score import ModelFacts, judge
from ctrs.store import Store, StoredPair
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
    Zone,
)

DEMO_COHORT = "demo"


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
