"""What was measured by hand: kept, listed, and summed up as RECIST does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import dist, isnan
from typing import Any
from uuid import uuid4

import pandas as pd
import streamlit as st

from ctrs.measurement import MAX_TARGETS, Line, Measurement, all_targets_gone, recist_sums
from ctrs.response import recist_class
from ctrs.store import StoredPair
from ctrs.types import Recist, Response
from ctrs.ui import messages, resources
from ctrs.ui.patient import PatientFile
from ctrs.ui.scene import NAMES


def keep_measurements(pair: StoredPair, drawn: Iterable[Mapping[str, Any]] | None) -> None:
    """Keep what the viewer hands over: all that was drawn since this page last answered."""
    for one in drawn or ():
        _keep(pair, one)


def _keep(pair: StoredPair, drawn: Mapping[str, Any]) -> None:
    """Keep one; what cannot be a measurement is dropped with a word."""
    store = resources.store()
    known = {one.key: one for one in store.measurements(pair.patient, pair.pair_key)}
    try:
        measurement = as_measurement(drawn)
    except (KeyError, TypeError, ValueError):
        st.toast("The line could not be kept: draw it again, with two different ends.")
        return
    measurement = _marked_alike(measurement, known.values())
    before = known.get(measurement.key)
    if before and replace(measurement, made_by=before.made_by) == before:
        return  # handed over twice; the record would name it twice, too
    store.save_measurement(pair.patient, pair.pair_key, measurement)


def _marked_alike(drawn: Measurement, known: Iterable[Measurement]) -> Measurement:
    """A target, or a node, is one in both scans, and stays one when it is drawn anew."""
    same = [one for one in known if one.key == drawn.key or one.lesion == drawn.lesion]
    return replace(
        drawn, target=any(one.target for one in same), node=any(one.node for one in same)
    )


def as_measurement(drawn: Mapping[str, Any]) -> Measurement:
    """What a browser sent, as a measurement.

    Raises:
        KeyError, TypeError, ValueError: It is none.
    """
    lines = tuple(_line(line) for line in drawn["lines"])
    if not lines:
        raise ValueError("A browser draws lines; that a lesion is gone is said beside the images.")
    return Measurement(
        key=str(drawn["key"])[:40],
        lesion=str(drawn["lesion"])[:20],
        visit=int(drawn["visit"]),
        plane=str(drawn["plane"]),
        lines=lines,
        made_by=_reader(),
    )


def _line(ends: Sequence[Sequence[float]]) -> Line:
    (x, y, z), (x_2, y_2, z_2) = ends
    return (float(x), float(y), float(z)), (float(x_2), float(y_2), float(z_2))


def _reader() -> str:
    """Who is logged in; where nobody logs in, the store writes down the account."""
    return str(st.user.get("email") or "")


def forget_measurement(pair: StoredPair, key: str | None) -> None:
    if key:
        resources.store().delete_measurement(pair.patient, str(key))


def keep_offset(pair: StoredPair, offset: Sequence[float] | None) -> None:
    """Remember how far the follow-up was moved by hand."""
    if offset and len(offset) == 3 and dist(offset, (0, 0, 0)) < 1000:
        x, y, z = (float(mm) for mm in offset)
        resources.store().save_link(pair.patient, pair.pair_key, (x, y, z))


def show_measured(file: PatientFile, measured: Sequence[Measurement]) -> None:
    """The measurements over both scans, and which of them are targets."""
    if file.pair is None or not measured:
        return
    st.markdown("**Measured by hand**")
    st.table(measured_table(measured), border="horizontal")
    names = sorted({one.lesion for one in measured})
    left, right = st.columns(2)
    left.multiselect(
        "Targets (RECIST 1.1, at most two an organ)",
        names,
        [name for name in names if any(m.target for m in measured if m.lesion == name)],
        max_selections=MAX_TARGETS,
        key=_key(file.pair, "target"),
        on_change=_mark,
        args=(file.pair, "target"),
    )
    right.multiselect(
        "Lymph nodes (count by their short axis)",
        names,
        [name for name in names if any(m.node for m in measured if m.lesion == name)],
        key=_key(file.pair, "node"),
        on_change=_mark,
        args=(file.pair, "node"),
    )
    _ask_what_is_gone(file.pair, measured)
    _offer_sums(file, file.pair, measured)


def _key(pair: StoredPair, what: str) -> str:
    """Of a widget; what was chosen for one pair says nothing about the next."""
    return f"{what}_of_{pair.pair_key}"


def _ask_what_is_gone(pair: StoredPair, measured: Sequence[Measurement]) -> None:
    """Lesions of the baseline without a line at the follow-up: a person says that they are gone."""
    drawn_again = {one.lesion for one in measured if one.visit == 1 and not one.gone}
    # What was said to be gone can be taken back, though its baseline was deleted meanwhile.
    names = {one.lesion for one in measured if one.visit == 0 or one.gone} - drawn_again
    if not names:
        return
    st.multiselect(
        "Gone at the follow-up (count as 0 mm)",
        sorted(names),
        sorted({one.lesion for one in measured if one.gone}),
        key=_key(pair, "gone"),
        on_change=_mark_gone,
        args=(pair,),
        help="What is still there but too small to measure counts as 5 mm: draw it that long.",
    )


def _mark_gone(pair: StoredPair) -> None:
    chosen = set(st.session_state[_key(pair, "gone")])
    store = resources.store()
    known = store.measurements(pair.patient, pair.pair_key)
    for one in known:
        if one.gone and one.lesion not in chosen:
            store.delete_measurement(pair.patient, one.key)
    for lesion in chosen - {one.lesion for one in known if one.visit == 1}:
        gone = Measurement(str(uuid4()), lesion, 1, "axial", (), made_by=_reader())
        store.save_measurement(pair.patient, pair.pair_key, _marked_alike(gone, known))


def measured_table(measured: Sequence[Measurement]) -> pd.DataFrame:
    """One row a lesion: both diameters at both scans, the change of what counts, and by whom."""
    rows = {}
    for name in sorted({one.lesion for one in measured}):
        found = {one.visit: one for one in measured if one.lesion == name}
        both = [found.get(visit) for visit in (0, 1)]
        change = "–"
        if both[0] and both[1]:
            change = messages.signed_percent(both[1].recist_mm / both[0].recist_mm - 1)
        by = ", ".join(sorted({one.made_by for one in found.values()}))
        rows[name] = [*(_words(one) for one in both), change, by]
    return pd.DataFrame.from_dict(rows, orient="index", columns=[*NAMES, "Change", "By"])


def _words(drawn: Measurement | None) -> str:
    if drawn is None:
        return "not measured"
    if drawn.gone:
        return "gone, 0 mm"
    short = "" if drawn.short_mm is None else f" × {drawn.short_mm:.1f}"
    return f"{drawn.long_mm:.1f}{short} mm"


def _mark(pair: StoredPair, trait: str) -> None:
    chosen = st.session_state[_key(pair, trait)]
    store = resources.store()
    for one in store.measurements(pair.patient, pair.pair_key):
        wanted = one.lesion in chosen
        if getattr(one, trait) != wanted:
            marked: dict[str, Any] = {trait: wanted}
            store.save_measurement(pair.patient, pair.pair_key, replace(one, **marked))


def _offer_sums(file: PatientFile, pair: StoredPair, measured: Sequence[Measurement]) -> None:
    sums = recist_sums(measured)
    if not any(one.target for one in measured):
        return
    if any(isnan(mm) for mm in sums):
        st.info(
            "A target is not measured in both scans, or a node lacks its short axis. A target that"
            " is gone at the follow-up has to be marked as gone."
        )
        return
    nothing_left = all_targets_gone(measured)
    recist = recist_class(*sums, all_targets_gone=nothing_left)
    st.markdown(
        f"Sum of the targets: **{sums[0]:.1f} → {sums[1]:.1f} mm**, by the targets alone"
        f" **{messages.RECIST[recist]}**"
    )
    if st.button("Use these sums as the conventional reading", key="use_sums"):
        _use(file, pair, sums, nothing_left)
        st.rerun()  # the reading stands further up, beyond what runs again by itself


def _use(
    file: PatientFile, pair: StoredPair, sums: tuple[float, float], nothing_left: bool
) -> None:
    """New lesions and the volume stay as they were read."""
    before = file.response
    new = before.new_lesions if before else 0
    change = before.volume_change if before else float("nan")
    recist: Recist = recist_class(*sums, new_lesions=new, all_targets_gone=nothing_left)
    resources.store().save_response(pair.pair_key, Response(recist, *sums, new, change))
    resources.store().audit("read targets", pair.patient, f"{sums[0]:.1f} -> {sums[1]:.1f} mm")
