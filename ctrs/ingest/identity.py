"""Whose scan it is, by the files' own words: what they prove, and what they do not."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ctrs.types import SeriesHeader

# What is written where a name was taken out, or never known: the same for many patients. With a
# number behind it ("ANON17") it tells patients apart, and counts.
_PLACEHOLDER = re.compile(
    r"(anon(ym[a-z]*)?|deid[a-z]*|pseudonym[a-z]*|unknown|unbekannt|unk|none|null|nil|na|nan|"
    r"removed|redacted|blank|empty|undefined|missing|no|test|dummy|sample|example|phantom|x+)?"
    r"(patient|pat|subject|name|id)*(0*|9{4,})"
)


def known_id(header: SeriesHeader) -> str:
    """The patient ID as in the files, ``""`` where it says nothing: absent, or a placeholder."""
    word = re.sub(r"[\W_]+", "", header.patient_id).casefold()
    return "" if _PLACEHOLDER.fullmatch(word) else header.patient_id.strip()


def several_people(headers: Sequence[SeriesHeader]) -> dict[str, int]:
    """How many different patient IDs, sexes and birth dates there are; only those above one.

    IDs may differ in capitals, and birth dates in how they are written: 1950.01.02 is 19500102,
    and 1950 contradicts neither.
    """
    counts = {
        "patient IDs": len({known_id(header).casefold() for header in headers} - {""}),
        "sexes": len({_known_sex(header) for header in headers} - {""}),
        "birth dates": _n_birth_dates(headers),
    }
    return {name: n for name, n in counts.items() if n > 1}


def _known_sex(header: SeriesHeader) -> str:
    """F or M; "other" and what scanners write for "unknown" say nothing."""
    sex = header.patient_sex.strip().upper()
    return sex if sex in ("F", "M") else ""


def _n_birth_dates(headers: Sequence[SeriesHeader]) -> int:
    """Dates that are no beginning of another one."""
    dates = {re.sub(r"\D", "", header.patient_birth_date) for header in headers} - {""}
    return sum(not any(other != one and other.startswith(one) for other in dates) for one in dates)
