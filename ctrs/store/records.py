"""Nouns to rows and back. A row is a dict by column; it knows nothing of SQL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from ctrs.kernels import sharpness
from ctrs.measurement import Line, Measurement
from ctrs.pair import has_contrast
from ctrs.types import (
    Biomarker,
    Finding,
    Outcome,
    Patient,
    PatientGroup,
    PredictedCurve,
    Recist,
    Response,
    ResponseScore,
    RiskGroup,
    Triple,
    Volume,
    Zone,
)

MAKERS = ("Siemens", "GE", "Philips", "Canon", "Toshiba", "Hitachi", "United Imaging", "Neusoft",
          "Simulated")  # fmt: skip

Row: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class ScanFacts:
    """What is kept of a scan beside its name: how it was made, not of whom or when.

    Attributes:
        shape, spacing_mm: ``(z, y, x)``.
        kernel: ``"soft"``, ``"sharp"`` or ``"unknown"``.
        contrast: ``"yes"`` or ``"no"``.
        manufacturer: One of `MAKERS`, or ``"other"``.
    """

    shape: tuple[int, int, int]
    spacing_mm: Triple
    kernel: str = ""
    contrast: str = ""
    manufacturer: str = ""

    @classmethod
    def of(cls, volume: Volume) -> ScanFacts:
        """The facts of this volume, its header's identity left behind.

        Free text of the header may hold a name: only words of our own are kept.
        """
        slices, rows, columns = volume.hu.shape
        header = volume.header
        return cls(
            shape=(slices, rows, columns),
            spacing_mm=volume.spacing,
            kernel=sharpness(header.kernel),
            contrast="yes" if has_contrast(header) else "no",
            manufacturer=_maker(header.manufacturer),
        )


def _maker(manufacturer: str) -> str:
    """One of the known makers of CT scanners, or ``"other"``."""
    found = (maker for maker in MAKERS if maker.lower() in manufacturer.lower())
    return next(found, "other")


@dataclass(frozen=True)
class StoredPair:
    """A scan pair without its voxels: which two scans, by content, of which patient.

    Attributes:
        chosen_by_hand: Of which scans a person chose the series: ``"baseline"``, ``"follow-up"``.
    """

    pair_key: str
    patient: str
    baseline_sha256: str
    follow_up_sha256: str
    interval_days: int | None
    findings: tuple[Finding, ...] = ()
    chosen_by_hand: tuple[str, ...] = ()


@dataclass(frozen=True)
class Provenance:
    """How a stored score came about: when (UTC), on which device, and the seconds by step."""

    scored_at: datetime
    device: str
    seconds: dict[str, float]


@dataclass(frozen=True)
class CohortCounts:
    """How many patients there are behind a cohort's figures, and where the others went.

    Attributes:
        patients: In the cohort.
        refused: Without any readable pair: only a refusal is known of them.
        scored: With a score by this model, whatever its zone; ``green + amber + red``.
        without_outcome: Among all patients, those whose survival nobody has entered.
        analysed: Green and with an outcome: the rows of `Store.cohort_table`.
        analysed_with_amber: The same with the amber ones.
    """

    patients: int
    refused: int
    scored: int
    green: int
    amber: int
    red: int
    without_outcome: int
    analysed: int
    analysed_with_amber: int


@dataclass(frozen=True)
class ImportedCounts:
    """Patients of a cohort that came as a table; ``with_scans``: those with a scan pair here."""

    patients: int
    with_scans: int


def patient_row(patient: Patient) -> Row:
    return dict(vars(patient))


def scan_row(sha256: str, facts: ScanFacts) -> Row:
    return {"sha256": sha256, **vars(facts)}


def pair_row(pair: StoredPair) -> Row:
    findings = [{"zone": str(found.zone), "reason": found.reason} for found in pair.findings]
    return {
        "patient": pair.patient,
        "pair_key": pair.pair_key,
        "baseline_sha256": pair.baseline_sha256,
        "follow_up_sha256": pair.follow_up_sha256,
        "interval_days": pair.interval_days,
        "findings": findings,
        "chosen_by_hand": list(pair.chosen_by_hand),
    }


def score_row(pair_key: str, score: ResponseScore, seconds: Mapping[str, float]) -> Row:
    lower, upper = score.interval_90 or (None, None)
    return {
        "pair_key": pair_key,
        "model_version": score.model_version,
        "zone": str(score.zone),
        "reasons": list(score.reasons),
        "survival_12m": score.survival_12m,
        "lower": lower,
        "upper": upper,
        "curve": vars(score.curve) if score.curve else None,
        "risk_group": str(score.risk_group) if score.risk_group else None,
        "members": list(score.members),
        "cut_off": score.cut_off,
        "ood_percentile": score.ood_percentile,
        # A MAP is written as its pairs of key and value.
        "biomarkers": [(name, vars(value)) for name, value in score.biomarkers.items()],
        "device": score.device,
        "seconds": list(seconds.items()),
    }


def response_row(pair_key: str, response: Response) -> Row:
    return {"pair_key": pair_key, **vars(response), "recist": str(response.recist)}


def outcome_row(patient: str, outcome: Outcome) -> Row:
    return {"patient": patient, **vars(outcome)}


def measurement_row(patient: str, pair_key: str, drawn: Measurement) -> Row:
    points = [mm for line in drawn.lines for end in line for mm in end]
    return {
        "measurement": drawn.key,
        "patient": patient,
        "pair_key": pair_key,
        "lesion": drawn.lesion,
        "visit": drawn.visit,
        "plane": drawn.plane,
        "points_mm": points,
        "target": drawn.target,
        "node": drawn.node,
        "made_by": drawn.made_by,
    }


def group_row(cohort: str, group: PatientGroup) -> Row:
    youngest, oldest = group.ages or (None, None)
    return {
        "cohort": cohort,
        "name": group.name,
        "wanted": [(factor, list(levels)) for factor, levels in group.wanted.items()],
        "youngest": youngest,
        "oldest": oldest,
    }


def to_group(row: Row) -> PatientGroup:
    ages = None if row["youngest"] is None else (row["youngest"], row["oldest"])
    wanted = {factor: tuple(levels) for factor, levels in row["wanted"].items()}
    return PatientGroup(row["name"], wanted, ages)


def to_patient(row: Row) -> Patient:
    return Patient(**row)


def to_scan_facts(row: Row) -> ScanFacts:
    return ScanFacts(
        shape=tuple(row["shape"]),
        spacing_mm=tuple(row["spacing_mm"]),
        kernel=row["kernel"],
        contrast=row["contrast"],
        manufacturer=row["manufacturer"],
    )


def to_pair(row: Row) -> StoredPair:
    found = tuple(Finding(Zone(item["zone"]), item["reason"]) for item in row["findings"])
    return StoredPair(
        pair_key=row["pair_key"],
        patient=row["patient"],
        baseline_sha256=row["baseline_sha256"],
        follow_up_sha256=row["follow_up_sha256"],
        interval_days=row["interval_days"],
        findings=found,
        chosen_by_hand=tuple(row["chosen_by_hand"]),
    )


def to_score(row: Row) -> ResponseScore:
    has_number = row["survival_12m"] is not None
    return ResponseScore(
        zone=Zone(row["zone"]),
        reasons=tuple(row["reasons"]),
        survival_12m=row["survival_12m"],
        interval_90=(row["lower"], row["upper"]) if has_number else None,
        curve=_to_curve(row["curve"]),
        risk_group=RiskGroup(row["risk_group"]) if has_number else None,
        members=tuple(row["members"]),
        cut_off=row["cut_off"],
        ood_percentile=row["ood_percentile"],
        biomarkers={name: Biomarker(**value) for name, value in row["biomarkers"].items()},
        model_version=row["model_version"],
        device=row["device"],
    )


def _to_curve(value: dict[str, list[float]] | None) -> PredictedCurve | None:
    if value is None:
        return None
    return PredictedCurve(**{name: tuple(numbers) for name, numbers in value.items()})


def to_response(row: Row) -> Response:
    return Response(
        recist=Recist(row["recist"]),
        sum_baseline_mm=row["sum_baseline_mm"],
        sum_follow_up_mm=row["sum_follow_up_mm"],
        new_lesions=row["new_lesions"],
        volume_change=row["volume_change"],
    )


def to_outcome(row: Row) -> Outcome:
    return Outcome(months=row["months"], event=row["event"])


def to_measurement(row: Row) -> Measurement:
    points = row["points_mm"]
    lines: list[Line] = []
    for start in range(0, len(points), 6):
        x, y, z, x_2, y_2, z_2 = points[start : start + 6]
        lines.append(((x, y, z), (x_2, y_2, z_2)))
    return Measurement(
        key=row["measurement"],
        lesion=row["lesion"],
        visit=row["visit"],
        plane=row["plane"],
        lines=tuple(lines),
        target=row["target"],
        node=row["node"],
        made_by=row["made_by"],
    )
