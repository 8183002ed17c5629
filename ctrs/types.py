"""The nouns of the project. Plain frozen dataclasses: no I/O, no torch, no streamlit.

Axis order is always ``(slice, row, column)`` = ``(z, y, x)``; spacing is in mm and in the same
order. A `Volume` is oriented to the patient: z grows towards the head, y towards the back, x
towards the patient's left (DICOM's LPS). Intensities are Hounsfield units (HU).

One direction everywhere: a higher ``survival_12m`` means the patient is expected to live longer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

Array: TypeAlias = npt.NDArray[np.float32]
Mask: TypeAlias = npt.NDArray[np.bool_]
Floats: TypeAlias = npt.NDArray[np.float64]
Triple: TypeAlias = tuple[float, float, float]
Interval: TypeAlias = Literal["log-log", "log"]  # how a Kaplan-Meier band is made; R's names

# What is mapped in every scan, voxel by voxel. `KINDS` are parts of `tumour`:
# tumours of liver and bone, and tumours with a dead or hollow core. A halo is the hazy rim of an
# infiltrated tumour in the lung and no part of it; atelectasis is lung without air, behind a
# blocked bronchus or under fluid; muscle is that of the chest wall.
STRUCTURES = (
    "tumour", "effusion", "liver_tumour", "bone_tumour", "cored_tumour",
    "halo", "fibrosis", "atelectasis", "muscle",
)  # fmt: skip
KINDS = ("liver_tumour", "bone_tumour", "cored_tumour")


# --- What a scan is -------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class SeriesHeader:
    """What the files say about one series. Holds identity: never stored, logged or shown.

    Attributes:
        acquired_on: Date of the acquisition; ``None`` where the files give none.
        patient_id, patient_birth_date, patient_sex: As in the files, ``""`` where absent.
        kernel: Convolution Kernel (0018,1210), ``""`` where absent.
        contrast: Contrast/Bolus Agent (0018,0010), ``""`` where absent.
    """

    series_uid: str = ""
    study_uid: str = ""
    modality: str = "CT"
    description: str = ""
    acquired_on: date | None = None
    kernel: str = ""
    contrast: str = ""
    body_part: str = ""
    manufacturer: str = ""
    slice_thickness_mm: float | None = None
    patient_id: str = ""
    patient_birth_date: str = ""
    patient_sex: str = ""


@dataclass(frozen=True)
class Volume:
    """One CT series as a regular grid of Hounsfield units.

    Attributes:
        hu: Intensities, shape ``(slices, rows, columns)``, at least -1024 (air).
        spacing: Distance between voxel centres in mm, ``(z, y, x)``.
        origin: Position of voxel ``(0, 0, 0)`` in the patient frame (LPS), mm, ``(x, y, z)``.
        direction: Direction cosines as SimpleITK gives them: nine numbers, row by row, the
            columns being the x, y and z axes of the grid. Close to the identity.
        header: What the files said of the series.
        repairs: What had to be done to the files to get here, in words; places and values stay
            exact, but for the interpolation within slices that undoes a gantry tilt.
        doubts: Why the values may not be exact, in words.
        stored_as: Where the columns, rows and slices of the files count to, for whoever writes
            voxels back onto their grid: ``"RAS"`` = right, front, head.
    """

    hu: Array
    spacing: Triple
    origin: Triple = (0.0, 0.0, 0.0)
    direction: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    header: SeriesHeader = field(default_factory=SeriesHeader)
    repairs: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    stored_as: str = "LPS"

    @cached_property
    def sha256(self) -> str:
        """Names the content: voxels in whole HU and spacing; not dates, names or UIDs."""
        digest = sha256(repr((self.hu.shape, tuple(round(mm, 4) for mm in self.spacing))).encode())
        for plane in self.hu:  # one at a time: a copy of the whole would double the memory
            digest.update(np.rint(plane).astype("<i2").tobytes())
        return digest.hexdigest()

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return float(np.prod(self.spacing)) / 1000.0


@dataclass(frozen=True)
class Series:
    """One reconstruction found among the files, whether it can be used, and why.

    Attributes:
        files: Where its images lie, in slice order if ``accepted``.
        reasons: In words, for a person: what speaks for it, or what is wrong with it.
        rank: 1 for the series that will be used; ``None`` if not accepted.
        shape, spacing: ``(z, y, x)``; zeros where no volume could be made.
    """

    header: SeriesHeader
    files: tuple[Path, ...]
    accepted: bool
    reasons: tuple[str, ...]
    rank: int | None
    shape: tuple[int, int, int]
    spacing: Triple


@dataclass(frozen=True)
class RejectedFile:
    """A file that belongs to no series, and why. ``path`` is relative to what was given."""

    path: str
    reason: str


@dataclass(frozen=True)
class Inventory:
    """Everything found in a folder, archive or file.

    Attributes:
        chosen: The series to score, or to propose where there is a doubt.
        doubt: Why a person has to say which series is meant; ``""`` where a rule may choose.
    """

    n_files: int
    series: tuple[Series, ...]
    rejected_files: tuple[RejectedFile, ...]
    chosen: Series | None
    doubt: str = ""


class Zone(StrEnum):
    """How far an answer may be trusted: as it is, with caution, or not at all."""

    GREEN = "green"
    AMBER = "amber"
    RED = "red"


@dataclass(frozen=True)
class Finding:
    """One thing about the input that lowers the trust in the answer; ``zone`` is never green."""

    zone: Zone
    reason: str


@dataclass(frozen=True)
class ScanPair:
    """A baseline CT and the follow-up CT it is compared with, same patient.

    Attributes:
        interval_days: Days from baseline to follow-up; ``None`` where nobody knows.
        findings: What the guard let pass with a remark.
    """

    baseline: Volume
    follow_up: Volume
    interval_days: int | None
    findings: tuple[Finding, ...] = ()

    @property
    def key(self) -> str:
        """Names everything that a score depends on: both contents, their order, what is known."""
        remarks = [f"{finding.zone}: {finding.reason}" for finding in self.findings]
        remarks += [*self.baseline.doubts, *self.follow_up.doubts]
        known = repr((self.baseline.sha256, self.follow_up.sha256, self.interval_days, remarks))
        return sha256(known.encode()).hexdigest()


@dataclass(frozen=True)
class PreparedScan:
    """One scan on the model's grid.

    Attributes:
        image: HU rescaled to [0, 1], shape ``config.shape`` = ``(z, y, x)``, float32.
        lungs: Where the lungs are, same shape.
        origin: Centre of voxel ``(0, 0, 0)`` in the scan's own grid frame, mm from the centre
            of its first voxel, ``(z, y, x)``.
        spacing: mm, ``(z, y, x)``.
    """

    image: Array
    lungs: Mask
    origin: Triple
    spacing: Triple

    @property
    def voxel_ml(self) -> float:
        return float(np.prod(self.spacing)) / 1000.0


# --- What the model says --------------------------------------------------------------------


class RiskGroup(StrEnum):
    """Always written with the word "risk": a bare "High" could be read either way."""

    LOW = "Low risk"
    HIGH = "High risk"


@dataclass(frozen=True)
class PredictedCurve:
    """Predicted survival of one patient from the follow-up CT on.

    Attributes:
        months: Times, shape ``(steps,)``, starts at 0.
        survival: P(alive at that time), shape ``(steps,)``, starts at 1, never rises.
        lower, upper: 90 % interval, shape ``(steps,)``.
    """

    months: tuple[float, ...]
    survival: tuple[float, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]


@dataclass(frozen=True)
class Biomarker:
    """Something measured by the model in both scans, without a hand."""

    baseline: float
    follow_up: float
    unit: str

    @property
    def change(self) -> float:
        return self.follow_up - self.baseline


@dataclass(frozen=True)
class Prediction:
    """What the networks alone say about a prepared pair, before any rule of ours.

    Attributes:
        curve: With its 90 % interval; its value at 12 months is the score.
        members: Survival at 12 months by each network of the ensemble.
        ood_percentile: Share of training pairs (0-100) that look more usual than this one.
        biomarkers: By name; at least ``tumour_volume`` in ml.
    """

    curve: PredictedCurve
    members: tuple[float, ...]
    ood_percentile: float
    biomarkers: dict[str, Biomarker]


@dataclass(frozen=True)
class ResponseScore:
    """What the model says about one scan pair.

    Attributes:
        zone: How far to trust it. Red: not assessable, and there is no number at all.
        reasons: Why it is not green, in words; empty for green.
        survival_12m: Predicted probability of being alive 12 months after the follow-up CT,
            in [0, 1]; higher = lives longer; ``None`` in the red zone, as are the next four.
        interval_90: 90 % interval of ``survival_12m``.
        curve: The whole prediction; its value at 12 months is ``survival_12m``.
        risk_group: ``survival_12m`` cut at ``cut_off``; at the cut-off or above = low risk.
        members: ``survival_12m`` by each network of the ensemble.
        cut_off: Stored with the weights, fixed on the training patients.
        ood_percentile: Share of training pairs (0-100) that look more usual than this one.
        biomarkers: By name; holds at least ``tumour_volume`` (ml) unless the zone is red.
    """

    zone: Zone
    reasons: tuple[str, ...]
    survival_12m: float | None
    interval_90: tuple[float, float] | None
    curve: PredictedCurve | None
    risk_group: RiskGroup | None
    members: tuple[float, ...]
    cut_off: float
    ood_percentile: float | None
    biomarkers: dict[str, Biomarker]
    model_version: str
    device: str

    @property
    def assessable(self) -> bool:
        return self.zone is not Zone.RED


# --- Patients and cohorts -------------------------------------------------------------------


class Recist(StrEnum):
    """RECIST 1.1 response class at the follow-up scan."""

    CR = "CR"
    PR = "PR"
    SD = "SD"
    PD = "PD"
    NE = "NE"


UNKNOWN = "unknown"  # a level of its own, never filled in silently


@dataclass(frozen=True, kw_only=True)
class Patient:
    """Who, under a pseudonym, and what the clinic knows. ``"unknown"`` is a level.

    Attributes:
        patient: The pseudonym. Nothing else identifies.
        cohort: Where the patient comes from: ``"demo"``, ``"upload"`` or an imported name.
        pd_l1: ``"<1%"``, ``"1-49%"``, ``">=50%"`` or ``"unknown"``.
        note: One line for the worklist, written by the project for demo patients.
    """

    patient: str
    cohort: str
    age: int | None = None
    sex: str = UNKNOWN
    histology: str = UNKNOWN
    pd_l1: str = UNKNOWN
    ecog: str = UNKNOWN
    line: str = UNKNOWN
    regimen: str = UNKNOWN
    site: str = UNKNOWN
    note: str = ""


@dataclass(frozen=True)
class PatientGroup:
    """Patients of a cohort by what they have in common, under a name somebody chose.

    Attributes:
        wanted: Levels kept, by factor (`ctrs.analysis.FACTORS`); all others are not asked for.
        ages: First and last age kept, years; ``None``: all.
    """

    name: str
    wanted: Mapping[str, tuple[str, ...]]
    ages: tuple[float, float] | None = None


@dataclass(frozen=True)
class Response:
    """What conventional reading says at the follow-up scan.

    Attributes:
        recist: RECIST 1.1 class.
        sum_baseline_mm, sum_follow_up_mm: Sums of target diameters.
        new_lesions: How many the reader counted.
        volume_change: Tumour volume change (TVC) as a fraction: -0.5 = half the volume left.
    """

    recist: Recist
    sum_baseline_mm: float
    sum_follow_up_mm: float
    new_lesions: int
    volume_change: float


@dataclass(frozen=True)
class Outcome:
    """Overall survival from the follow-up scan: months, and whether the patient died then."""

    months: float
    event: bool


@dataclass(frozen=True)
class Cohort:
    """Follow-up of many patients, one row each.

    Time zero is the follow-up CT, not the start of treatment: the score does not exist
    before it, and counting from treatment would credit it with months nobody could lose
    (guarantee-time bias).

    Attributes:
        table: Columns ``patient`` (str), ``months`` since the follow-up CT (float, >= 0),
            ``event`` (bool, True = died), ``survival_12m`` (float in [0, 1]), ``risk_group``,
            and those of `Patient` and `Response` that are known.
    """

    name: str
    table: pd.DataFrame


@dataclass(frozen=True)
class SurvivalCurve:
    """A Kaplan-Meier estimate, one row per time at which the curve steps.

    Attributes:
        months: Times, shape ``(steps,)``, starts at 0.
        survival: P(T > t), shape ``(steps,)``, starts at 1, never rises.
        lower, upper: Pointwise 95 % confidence band, shape ``(steps,)``.
        n_patients, n_events: Size of the group.
        median_months: First time survival falls to 0.5 (the middle of a step at 0.5 exactly);
            ``None`` if it never does.
        interval: How the band was made.
    """

    label: str
    months: Floats
    survival: Floats
    lower: Floats
    upper: Floats
    n_patients: int
    n_events: int
    median_months: float | None
    median_interval: tuple[float | None, float | None]
    interval: Interval = "log-log"


@dataclass(frozen=True)
class SurvivalAt:
    """Kaplan-Meier survival at one time, with its 95 % interval and the number still at risk."""

    months: float
    survival: float
    lower: float
    upper: float
    at_risk: int


@dataclass(frozen=True)
class LogRank:
    """Test of "all groups have the same survival"; two-sided.

    Attributes:
        n_patients, observed, expected: Of each group that was counted, in order: its size, its
            deaths, and the deaths it would have had if all groups were alike (weighted, where
            the test weighs).
    """

    chi_square: float
    degrees_of_freedom: int
    p_value: float
    n_patients: tuple[int, ...] = ()
    observed: tuple[float, ...] = ()
    expected: tuple[float, ...] = ()


@dataclass(frozen=True)
class HazardRatio:
    """One row of a Cox model: above 1 = dies sooner. Interval 95 %.

    Attributes:
        label: Whose hazard ratio: a covariate or a subgroup.
        n_patients, n_events: Behind this row.
        p_value: Of this row's effect, two-sided (Wald).
        p_interaction: Does the effect differ between the levels of this subgroup's factor?
            Likelihood ratio; ``None`` where the row is no subgroup.
    """

    label: str
    hazard_ratio: float
    lower: float
    upper: float
    p_value: float
    n_patients: int
    n_events: int
    p_interaction: float | None = None


@dataclass(frozen=True)
class CoxTerm:
    """One coefficient of a Cox model; ``log_hazard`` above 0 = dies sooner, per unit."""

    covariate: str
    log_hazard: float
    standard_error: float
