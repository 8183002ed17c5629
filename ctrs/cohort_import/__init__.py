"""A hospital's table of a cohort becomes rows of the store, after a look at what that would do."""

from ctrs.cohort_import.dry_run import FOLLOW_UP_CT, TABLE_START, Dropped, DryRun, dry_run
from ctrs.cohort_import.load import (
    RESERVED,
    cohort_name,
    conflicts,
    load,
    name_from_file,
    nothing_left,
    remove,
    report_json,
    report_text,
)
from ctrs.cohort_import.mapping import (
    FIELDS,
    NEEDED,
    UNITS,
    Mapping,
    Unit,
    guess_mapping,
    mapping_json,
    read_mapping,
)

__all__ = [
    "FIELDS",
    "FOLLOW_UP_CT",
    "NEEDED",
    "RESERVED",
    "TABLE_START",
    "UNITS",
    "Dropped",
    "DryRun",
    "Mapping",
    "Unit",
    "cohort_name",
    "conflicts",
    "dry_run",
    "guess_mapping",
    "load",
    "mapping_json",
    "name_from_file",
    "nothing_left",
    "read_mapping",
    "remove",
    "report_json",
    "report_text",
]
