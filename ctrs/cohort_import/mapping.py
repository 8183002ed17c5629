"""Which column of a table is what, in which unit its times are, and when its clock starts."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args

from ctrs.errors import InputRejected
from ctrs.text_table import shown

Unit: TypeAlias = Literal["days", "months", "years"]
UNITS: Final[tuple[Unit, ...]] = get_args(Unit)

# What a table may hold, and what a person is asked for.
FIELDS: Final = {
    "patient": "Patient identifier",
    "time": "Length of follow-up (overall survival)",
    "event": "Died or last seen alive",
    "scan_time": "Time of the follow-up CT, by the same clock",
    "interval_days": "Days from baseline to follow-up CT",
    "age": "Age in years",
    "sex": "Sex",
    "histology": "Histology",
    "pd_l1": "PD-L1",
    "ecog": "ECOG",
    "line": "Line of treatment",
    "regimen": "Regimen or arm",
    "site": "Site",
    "recist": "RECIST at the follow-up CT",
    "sum_baseline_mm": "Sum of target diameters, baseline (mm)",
    "sum_follow_up_mm": "Sum of target diameters, follow-up (mm)",
    "new_lesions": "New lesions",
    "volume_change": "Change of the tumour volume (fraction)",
}
NEEDED: Final = ("patient", "time", "event")

# Names that columns go by, the surest first; compared without case, spaces and signs.
_NAMES: Final = {
    "patient": "patient patientid subjectid usubjid subjid subject caseid pid mrn id",
    "time": "months osmonths osdays ostime survivaltime survivalmonths survivaldays"
    " overallsurvivalmonths overallsurvivaldays overallsurvival futime followuptime days time os",
    "event": "event osevent osstatus deadstatusevent deathstatus vitalstatus deadstatus death dead"
    " died deceased status",
    "scan_time": "scantime scanmonths scandays followupscanmonths followupscandays monthstofollowup"
    " daystofollowup monthstolandmark landmark",
    "interval_days": "intervaldays daysbetweenscans",
    "age": "age ageyears ageatdiagnosis ageatbaseline",
    "sex": "sex gender",
    "histology": "histology histologicalsubtype",
    "pd_l1": "pdl1 pdl1score pdl1tps pdl1class clinicallyreportedpdl1score",
    "ecog": "ecog ecogps performancestatus",
    "line": "line lineoftherapy lineoftreatment linesoftx",
    "regimen": "regimen arm treatment treatmenttype",
    "site": "site centre center",
    "recist": "recist recistclass",
    "sum_baseline_mm": "sumbaselinemm baselinesld sldbaseline",
    "sum_follow_up_mm": "sumfollowupmm followupsld sldfollowup",
    "new_lesions": "newlesions",
    "volume_change": "volumechange tumourvolumechange tumorvolumechange tvc",
}  # fmt: skip
_UNIT_WORDS: Final[dict[str, Unit]] = {
    "day": "days", "days": "days", "month": "months", "months": "months", "mos": "months",
    "year": "years", "years": "years", "yrs": "years",
}  # fmt: skip


@dataclass(frozen=True)
class Mapping:
    """How to read a table.

    Attributes:
        columns: Field (`FIELDS`) to the name of its column; what is not there is not known.
        unit: Of ``time``, ``scan_time`` and ``follow_up_at``; ``None``: guessed from the table.
        follow_up_at: Start of the clock to the follow-up CT where it is the same for all and
            no column has it.
        from_follow_up: The times begin at the follow-up CT already.
    """

    columns: dict[str, str] = field(default_factory=dict)
    unit: Unit | None = None
    follow_up_at: float | None = None
    from_follow_up: bool = False


def guess_mapping(names: Collection[str]) -> Mapping:
    """What the columns are by their names; progression-free survival is taken for nothing."""
    plain = {_plain(name): name for name in reversed([*names])}
    columns: dict[str, str] = {}
    for known, words in _NAMES.items():
        found = (plain[word] for word in words.split() if word in plain)
        name = next((name for name in found if name not in columns.values()), None)
        if name is not None:
            columns[known] = name
    return Mapping(columns)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def unit_in_name(name: str) -> Unit | None:
    """The unit that a column's name says, like ``OS_MONTHS``."""
    words = re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower())
    return next((_UNIT_WORDS[word] for word in words if word in _UNIT_WORDS), None)


def read_mapping(path: Path) -> Mapping:
    """A mapping as `mapping_json` writes it, alone or within the report of a dry run.

    Raises:
        InputRejected: No JSON, or fields and units that do not exist.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as fault:
        raise InputRejected(
            "The mapping is no JSON.", "Take the one that a dry run with --json writes."
        ) from fault
    if isinstance(document, dict) and isinstance(document.get("mapping"), dict):
        document = document["mapping"]
    return _checked(document)


def _checked(document: Any) -> Mapping:
    known = {*FIELDS, "columns", "unit", "follow_up_at", "from_follow_up"}
    if not isinstance(document, dict) or (unknown := [*document.keys() - known]):
        which = "" if not isinstance(document, dict) else f": “{shown(sorted(unknown)[0])}”"
        raise InputRejected(
            f"The mapping holds something that is no field{which}.",
            f"Fields are {', '.join(FIELDS)}; beside them “unit”, “follow_up_at” and"
            " “from_follow_up”.",
        )
    columns = dict(document.get("columns") or {})
    columns |= {name: document[name] for name in document.keys() & {*FIELDS}}
    columns = {name: column for name, column in columns.items() if column is not None}
    unit, at = document.get("unit"), document.get("follow_up_at")
    wrong = [*columns.keys() - {*FIELDS}] or not all(isinstance(c, str) for c in columns.values())
    numeric = isinstance(at, int | float) and not isinstance(at, bool)
    begins = document.get("from_follow_up", False)
    wrong = wrong or not isinstance(begins, bool)
    if wrong or unit not in (None, *UNITS) or not (at is None or (numeric and 0 <= at < 1e6)):
        raise InputRejected(
            "The mapping names a field or unit that does not exist, or no column.",
            f"Fields are {', '.join(FIELDS)}; units are {', '.join(UNITS)}; “follow_up_at” is a"
            " number, “from_follow_up” true or false.",
        )
    return Mapping(columns, unit, at, begins)


def complete(given: Mapping, names: Collection[str]) -> Mapping:
    """The mapping, in order of `FIELDS`, once its columns are there.

    Raises:
        InputRejected: A column is not there, or one of `NEEDED` is not known.
    """
    listed = ", ".join(f"“{shown(name)}”" for name in [*names][:20])
    for known, name in given.columns.items():
        if name not in names:
            raise InputRejected(
                f"The table has no column “{shown(name)}” for {known}; it has {listed}.",
                "Name one of its columns in the mapping.",
            )
    missing = [known for known in NEEDED if known not in given.columns]
    if missing:
        raise InputRejected(
            f"No column was found for {' and '.join(missing)}; the table has {listed}."
            + _about_progression(names),
            "Say in a mapping which column it is.",
        )
    return replace(given, columns={name: given.columns[name] for name in FIELDS
                                   if name in given.columns})  # fmt: skip


def _about_progression(names: Collection[str]) -> str:
    if any(is_progression(name) for name in names):
        return " Progression-free survival is not overall survival, and is not taken for it."
    return ""


def is_progression(name: str) -> bool:
    """Whether the name speaks of progression-free survival."""
    return "pfs" in _plain(name) or "progress" in _plain(name)


def mapping_json(mapping: Mapping) -> dict[str, Any]:
    return asdict(mapping)
