"""Which series of the uploaded files is meant: by rule, or by the reader, who sees both at once."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import pandas as pd
import streamlit as st

from ctrs.ingest.choice import alike
from ctrs.ingest.inventory import Survey, survey
from ctrs.ingest.text import technical
from ctrs.kernels import Sharpness, sharpness
from ctrs.types import Inventory, Series
from ctrs.ui import messages, resources
from ctrs.ui.messages import explained
from ctrs.ui.staging import Upload, staged

Named: TypeAlias = tuple[str | None, str | None]  # UIDs; None where the rule chooses

_BY_RULE = "Let the rule choose"


@dataclass(frozen=True)
class _LookedInto:
    """What two uploads hold, which uploads those were, and what the rule would choose."""

    files: tuple[str, ...]
    inventories: tuple[Inventory, Inventory]
    by_rule: tuple[Inventory, Inventory]


def choose_series(baseline: Sequence[Upload], follow_up: Sequence[Upload]) -> Named:
    """Let the reader name the series of each scan, with both protocols side by side."""
    if not (baseline and follow_up):
        return None, None
    if not st.toggle("Look into the files and choose the series myself", key="by_hand"):
        return None, None
    with explained("The files could not be looked into"), st.spinner("Sorting the files…"):
        found = _look_into(baseline, follow_up)
    columns = st.columns(2)
    names = ("Baseline CT", "Follow-up CT")
    picked = [
        _pick(column, name, inventory)
        for column, name, inventory in zip(columns, names, found.inventories, strict=True)
    ]
    # As in `ctrs.ingest.read_pair`: like reconstructions are preferred where none is named.
    ruled = found.inventories if any(picked) else found.by_rule
    meant = [series or other.chosen for series, other in zip(picked, ruled, strict=True)]
    if meant[0] and meant[1]:
        st.table(protocol_table(meant[0], meant[1]), border="horizontal")
    first, second = (series.header.series_uid if series else None for series in picked)
    return first, second


def _look_into(baseline: Sequence[Upload], follow_up: Sequence[Upload]) -> _LookedInto:
    """Sort the files once, however often the page is drawn."""
    files = tuple(file.file_id for file in (*baseline, *follow_up))
    known: _LookedInto | None = st.session_state.get("looked_into")
    if known is None or known.files != files:
        with staged(baseline, follow_up) as (first, second):
            one, other = _survey(first), _survey(second)
        inventories = one.inventory, other.inventory
        known = _LookedInto(files, inventories, alike(*inventories, (one.as_fit, other.as_fit)))
        st.session_state["looked_into"] = known
    return known


def _survey(path: Path) -> Survey:
    with tempfile.TemporaryDirectory(prefix="ctrs-") as scratch:
        return survey(path, resources.CONFIG.intake, Path(scratch))


def _pick(column: st.delta_generator.DeltaGenerator, name: str, found: Inventory) -> Series | None:
    usable = [series for series in found.series if series.accepted]
    number = column.selectbox(
        f"Series of the {name}",
        [None, *range(len(usable))],
        format_func=lambda n: _BY_RULE if n is None else _label(n, usable[n]),
        key=f"series of {name}",
        help="Only series that form a sound CT volume can be chosen.",
    )
    if found.doubt and number is None:
        column.warning(f"{messages.literal(found.doubt)} Choose one of them.")
    if not usable:
        column.warning("None of the series can be used; scoring says why.")
    return None if number is None else usable[number]


def _label(number: int, series: Series) -> str:
    """A number, and words of our own: a description may hold a name."""
    told = technical(series.header.description)
    day = series.header.acquired_on or "day unknown"
    return f"{number + 1}: {series.reasons[0]}, {day}" + (f" ({told})" if told else "")


def protocol_table(baseline: Series, follow_up: Series) -> pd.DataFrame:
    """How both scans were made, side by side, and in words where they differ."""
    one, other = _protocol(baseline), _protocol(follow_up)
    rows = {
        what: [one[what], other[what], "same" if one[what] == other[what] else "differs"]
        for what in one
    }
    columns = ["Baseline CT", "Follow-up CT", "Compared"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def _protocol(series: Series) -> dict[str, str]:
    header = series.header
    kind, thick = sharpness(header.kernel), header.slice_thickness_mm
    kernel = "not given" if not header.kernel else (
        "of unknown sharpness" if kind is Sharpness.UNKNOWN else str(kind)
    )  # fmt: skip
    slices, rows, columns = series.shape
    return {
        "Distance between slices": f"{series.spacing[0]:.4g} mm",
        "Slice thickness": "not given" if thick is None else f"{thick:.4g} mm",
        "Kernel": f"{kernel} {technical(header.kernel)}".strip(),
        "Contrast medium": "yes" if header.contrast else "none named",
        "Slices": f"{slices} over {slices * series.spacing[0]:.0f} mm",
        "Pixels": f"{rows} × {columns} of {series.spacing[2]:.2f} mm",
    }
