"""Which series of the uploaded files is meant: by rule, or by the reader, who sees both at once."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TypeAlias

import pandas as pd
import streamlit as st

from ctrs.errors import CtrsError
from ctrs.ingest import NAMES
from ctrs.ingest.choice import alike, named
from ctrs.ingest.inventory import Survey, survey
from ctrs.ingest.text import technical
from ctrs.kernels import Sharpness, sharpness
from ctrs.pair import has_contrast, propose_pair
from ctrs.types import Inventory, Series
from ctrs.ui import messages, resources
from ctrs.ui.messages import explained
from ctrs.ui.staging import Upload, staged

Named: TypeAlias = tuple[str | None, str | None]  # UIDs; None where the rule chooses

_BY_RULE = "Let the rule choose"
_NOT_GIVEN = "not given"


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
    in_one = _ids(baseline) == _ids(follow_up)
    by_hand = "Look into the files and choose the series myself"
    if not in_one and not st.toggle(by_hand, key="by_hand"):
        return None, None
    with explained("The files could not be looked into"), st.spinner("Sorting the files…"):
        found = _sorted_once(baseline, follow_up)
    if in_one:
        _propose(found)
    columns = st.columns(2)
    picked = [
        _pick(column, name, inventory)
        for column, name, inventory in zip(columns, NAMES, found.inventories, strict=True)
    ]
    # As in `ctrs.ingest.read_pair`: like reconstructions are preferred where none is named.
    ruled = found.inventories if any(picked) else found.by_rule
    meant = [series or other.chosen for series, other in zip(picked, ruled, strict=True)]
    if meant[0] and meant[1]:
        st.table(protocol_table(meant[0], meant[1]), border="horizontal")
    first, second = (series.header.series_uid if series else None for series in picked)
    return first, second


def _ids(files: Sequence[Upload]) -> tuple[str, ...]:
    return tuple(file.file_id for file in files)


def _propose(found: _LookedInto) -> None:
    """Choose baseline and follow-up among the scans of one upload, and say why these two."""
    start = st.date_input(
        "Start of treatment, where it is known", None, date(1900, 1, 1), key="treatment_start",
        help="The baseline is the last scan up to this day; without it, the first scan of all.",
    )  # fmt: skip
    pair = propose_pair(found.inventories[0], resources.CONFIG.pair, start)
    if pair is None:
        st.warning(
            "No pair can be proposed: CT scans of one patient on two days are needed"
            + (", one of them up to the start of treatment." if start else ".")
            + " Choose the two scans yourself."
        )
        return
    days = [series.header.acquired_on for series in (pair.baseline, pair.follow_up)]
    told = zip(("Baseline", "follow-up"), days, pair.reasons, strict=True)
    st.info("; ".join(f"{name}: {day}, {why}" for name, day, why in told) + ".")
    if st.session_state.get("proposed_for") != (found.files, start):  # else the reader's choice
        st.session_state["proposed_for"] = (found.files, start)
        usable = [series for series in found.inventories[0].series if series.accepted]
        for name, series in zip(NAMES, (pair.baseline, pair.follow_up), strict=True):
            st.session_state[_key(name)] = usable.index(series)


def _key(name: str) -> str:
    return f"series of {name}"


def _sorted_once(baseline: Sequence[Upload], follow_up: Sequence[Upload]) -> _LookedInto:
    """Sort the files once, however often the page is drawn."""
    files = (*_ids(baseline), *_ids(follow_up))
    known: _LookedInto | None = st.session_state.get("looked_into")
    if known is None or known.files != files:
        with staged(baseline, follow_up) as (first, second):
            one = _survey(first)
            other = one if _ids(baseline) == _ids(follow_up) else _survey(second)
        inventories = one.inventory, other.inventory
        known = _LookedInto(files, inventories, alike(*inventories, (one.as_fit, other.as_fit)))
        st.session_state["looked_into"] = known
    return known


def look_into(paths: tuple[Path, Path], series: Named) -> list[Inventory | None]:
    """What two paths hold, and which series of each is meant, whether or not it can be scored.

    ``None`` where nothing could be opened at all.
    """
    found = [_survey_or_none(path) for path in paths]
    inventories = [survey.inventory if survey else None for survey in found]
    one, other = found
    if one and other and not any(series):
        return [*alike(one.inventory, other.inventory, (one.as_fit, other.as_fit))]
    return [
        named(inventory, uid) if inventory and uid else inventory
        for inventory, uid in zip(inventories, series, strict=True)
    ]


def _survey_or_none(path: Path) -> Survey | None:
    try:
        return _survey(path)
    except CtrsError:
        return None  # the refusal says why


def _survey(path: Path) -> Survey:
    with tempfile.TemporaryDirectory(prefix="ctrs-") as scratch:
        return survey(path, resources.CONFIG.intake, Path(scratch))


def _pick(column: st.delta_generator.DeltaGenerator, name: str, found: Inventory) -> Series | None:
    usable = [series for series in found.series if series.accepted]
    number = column.selectbox(
        f"Series of the {name}",
        [None, *range(len(usable))],
        format_func=lambda n: _BY_RULE if n is None else _label(n, usable[n]),
        key=_key(name),
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
    return f"{number + 1}: {day}, {series.reasons[0]}" + (f" ({told})" if told else "")


def protocol_table(baseline: Series, follow_up: Series) -> pd.DataFrame:
    """How both scans were made, side by side, and in words where they differ."""
    one, other = _protocol(baseline), _protocol(follow_up)
    rows = {what: [one[what], other[what], _compared(one[what], other[what])] for what in one}
    columns = [*NAMES, "Compared"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def _compared(one: str, other: str) -> str:
    if _NOT_GIVEN in (one, other):
        return "not known"
    return "same" if one == other else "differs"


def _protocol(series: Series) -> dict[str, str]:
    header = series.header
    kind, thick = sharpness(header.kernel), header.slice_thickness_mm
    kernel = _NOT_GIVEN if not header.kernel else (
        "of unknown sharpness" if kind is Sharpness.UNKNOWN else str(kind)
    )  # fmt: skip
    slices, rows, columns = series.shape
    return {
        "Distance between slices": f"{series.spacing[0]:.4g} mm",
        "Slice thickness": _NOT_GIVEN if thick is None else f"{thick:.4g} mm",
        "Kernel": f"{kernel} {technical(header.kernel)}".strip(),
        "Contrast medium": "yes" if has_contrast(header) else "none named",
        "Slices": f"{slices} over {slices * series.spacing[0]:.0f} mm",
        "Pixels": f"{rows} × {columns} of {series.spacing[2]:.2f} mm",
    }
