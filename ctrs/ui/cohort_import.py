"""A table from the browser: which column is what, what would be kept, and only then the import."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

import pandas as pd
import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from ctrs import places
from ctrs.cohort_import import (
    FIELDS,
    NEEDED,
    UNITS,
    DryRun,
    Mapping,
    Unit,
    conflicts,
    dry_run,
    guess_mapping,
    load,
    name_from_file,
    nothing_left,
    remove,
)
from ctrs.pseudonym import load_key
from ctrs.store import ImportedCounts
from ctrs.text_table import MAX_BYTES, TextTable, read_text_table
from ctrs.ui import messages, resources
from ctrs.volume_cache import VolumeCache

_FIRST = (*NEEDED, "scan_time")
_NOT_THERE = "not in the table"
_GUESS: Literal["guess"] = "guess"
_SHOWN_ROWS = 5


def choose_table() -> TextTable:
    """The table that was uploaded; without one the page ends here."""
    generation = st.session_state.setdefault("import_generation", 0)
    file = st.file_uploader(
        "The cohort's table, one row a patient",
        max_upload_size=MAX_BYTES // 1024**2,
        key=f"cohort_table_{generation}",
        help="Text separated by comma, semicolon or tab (CSV), names of the columns first.",
    )
    if (done := st.session_state.pop("import_done", None)) is not None:
        _show_done(*done)
    if file is None:
        _forget()
        st.stop()
    if st.session_state.get("import_table", ("",))[0] != file.file_id:
        with st.spinner("Reading the table…"):
            st.session_state["import_table"] = file.file_id, _read(file)
        st.session_state["import_file"] = name_from_file(Path(file.name).stem)
    table: TextTable = st.session_state["import_table"][1]
    return table


def _forget() -> None:
    for kept in ("import_table", "import_run"):
        st.session_state.pop(kept, None)


def _read(file: UploadedFile) -> TextTable:
    with tempfile.TemporaryDirectory(prefix="ctrs-import-") as folder:
        path = Path(folder) / "table"  # never under the name that the browser gave
        path.write_bytes(file.getbuffer())
        return read_text_table(path)


def ask_mapping(table: TextTable) -> Mapping:
    """Which column is what: guessed by the names, and for the reader to correct."""
    names = list(table.cells.columns)
    guess = guess_mapping(names)
    st.subheader("Which column is what", anchor=False)
    for column, field in zip(st.columns(len(_FIRST)), _FIRST, strict=True):
        with column:
            _pick_column(field, names, guess)
    unit, at, begins = st.columns([1.3, 1, 1.2], vertical_alignment="bottom")
    given: Unit | Literal["guess"] = unit.segmented_control(
        "Unit of the times", [_GUESS, *UNITS], default=_GUESS, required=True, key=_key("unit")
    )
    start = at.number_input(
        "Follow-up CT at, if the same for all", 0.0, 1e5, None, key=_key("follow_up_at"),
        placeholder="Not given", help="In the unit of the times, from where they begin.",
    )  # fmt: skip
    from_follow_up = begins.checkbox(
        "The times begin at the follow-up CT already", key=_key("from_follow_up")
    )
    others = [field for field in FIELDS if field not in _FIRST]
    with st.expander(f"What else the table holds ({_found(guess, others)} found by name)"):
        columns = st.columns(4)
        for number, field in enumerate(others):
            with columns[number % 4]:
                _pick_column(field, names, guess)
    picked = {field: st.session_state[_key(field)] for field in FIELDS}
    chosen = {field: name for field, name in picked.items() if name != _NOT_THERE}
    return Mapping(chosen, None if given == "guess" else given, start, from_follow_up)


def _key(field: str) -> str:
    """A new file gets new widgets, so that the last file's columns are not kept."""
    return f"import_{field}_{st.session_state['import_table'][0]}"


def _found(guess: Mapping, fields: list[str]) -> int:
    return sum(field in guess.columns for field in fields)


def _pick_column(field: str, names: list[str], guess: Mapping) -> None:
    options = [_NOT_THERE, *names]
    place = options.index(guess.columns[field]) if field in guess.columns else 0
    st.selectbox(FIELDS[field], options, place, key=_key(field))


def try_import(table: TextTable, mapping: Mapping) -> DryRun:
    """What the import would do, as counts, reasons and first rows; ends the page where nothing."""
    missing = [FIELDS[field] for field in NEEDED if field not in mapping.columns]
    if missing:
        st.info(f"Say which column holds: {'; '.join(missing)}.")
        st.stop()
    run = _looked_at(table, mapping)
    st.subheader("What would be imported", anchor=False)
    _show_counts(run)
    for warning in run.warnings:
        st.warning(messages.literal(warning), icon=":material/warning:")
    if run.dropped:
        _show_dropped(run)
    if run.kept.empty:
        raise nothing_left(run)
    st.markdown(
        f":small[The first {min(_SHOWN_ROWS, len(run.kept))} patients as they would be kept, under"
        " pseudonyms. Identifiers are not stored.]"
    )
    st.dataframe(run.kept.head(_SHOWN_ROWS), hide_index=True, key="import_preview")
    return run


def _looked_at(table: TextTable, mapping: Mapping) -> DryRun:
    """The dry run; made anew only when the file or the mapping is another one."""
    asked = st.session_state["import_table"][0], mapping
    if st.session_state.get("import_run", (None,))[0] != asked:
        with st.spinner("Looking at every row…"):
            run = dry_run(table, load_key(places.pseudonym_key()), mapping)
        st.session_state["import_run"] = asked, run
    found: DryRun = st.session_state["import_run"][1]
    return found


def _show_counts(run: DryRun) -> None:
    counts = {
        "Rows in the table": run.rows,
        "Kept": len(run.kept),
        "Dropped": len(run.dropped),
        "Deaths among the kept": int(run.kept["event"].sum()),
    }
    for column, (label, n) in zip(st.columns(len(counts)), counts.items(), strict=True):
        column.metric(label, f"{n:,}", border=True)
    longest = run.kept["months"].max() if len(run.kept) else None
    st.markdown(
        f"Times are in **{run.mapping.unit}** ({messages.literal(run.unit_reason)}), time zero is"
        f" the **{messages.literal(run.time_zero)}**; the longest follow-up is"
        f" **{'unknown' if longest is None else messages.months(longest)}**."
    )


def _show_dropped(run: DryRun) -> None:
    rows: dict[str, list[int]] = {}
    for dropped in run.dropped:
        rows.setdefault(dropped.reason, []).append(dropped.row)
    table = pd.DataFrame(
        {
            "Why": list(run.reasons),
            "Rows dropped": list(run.reasons.values()),
            "First of them (numbers as in a spreadsheet)": [
                ", ".join(map(str, rows[reason][:8])) for reason in run.reasons
            ],
        }
    )
    st.dataframe(table, hide_index=True, key="import_dropped")
    st.download_button(
        "Take all dropped rows along (CSV, numbers and reasons only)",
        pd.DataFrame([vars(row) for row in run.dropped]).to_csv(index=False),
        file_name="ctrs-dropped-rows.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
        key="download_dropped",
    )


def offer_import(run: DryRun) -> None:
    """Ask for the cohort's name, say what would change, and import when told to."""
    cohort = st.text_input(
        "Name of the cohort", st.session_state["import_file"], max_chars=60, key=_key("cohort")
    ).strip()
    store = resources.store()
    for words in conflicts(run, cohort, store):
        st.warning(messages.literal(words), icon=":material/sync_problem:")
    if st.button(f"Import {messages.patients(len(run.kept))}", type="primary", key="import_now"):
        load(run, cohort, store)
        st.session_state["import_generation"] += 1
        st.session_state["import_done"] = cohort, len(run.kept)
        _forget()
        st.rerun()


def _show_done(cohort: str, n: int) -> None:
    st.success(
        f"{messages.patients(n)} are the cohort “{messages.literal(cohort)}” now. The file was not"
        " kept.",
        icon=":material/check:",
    )
    st.page_link("pages/5_Cohort.py", label="See the cohort", icon=":material/open_in_new:")


# --- Taking a cohort out again --------------------------------------------------------------


def offer_removal() -> None:
    """Imported cohorts can be removed, after a question that says how many patients go."""
    if (removed := st.session_state.pop("cohort_removed", None)) is not None:
        st.success(messages.literal(removed), icon=":material/check:")
    imported = resources.store().imported_cohorts()
    if not imported:
        return
    with st.expander(f"Imported cohorts ({len(imported)})"):
        name, button = st.columns([3, 1], vertical_alignment="bottom")
        cohort = name.selectbox(
            "Imported cohort", list(imported), None, key="removable", placeholder="Choose one",
            format_func=lambda name: f"{name} ({messages.patients(imported[name].patients)})",
        )  # fmt: skip
        asked = button.button("Remove…", disabled=cohort is None, key="remove_cohort")
        if cohort is None:
            st.session_state.pop("cohort_to_remove", None)
            return
        if asked:
            st.session_state["cohort_to_remove"] = cohort
        if st.session_state.get("cohort_to_remove") == cohort:
            _ask_removal(cohort, imported[cohort])


def _ask_removal(cohort: str, counts: ImportedCounts) -> None:
    n = messages.patients(counts.patients)
    scans = f" {counts.with_scans} of them have scans and scores here, which go too."
    st.warning(
        f"**Remove “{messages.literal(cohort)}” with its {n}?**"
        f"{scans if counts.with_scans else ''} This cannot be undone; the table can be imported"
        " again. The record of what was done stays.",
        icon=":material/delete:",
    )
    # Keys hold the number: where it changed since the question, a click asks anew.
    if st.button(f"Remove {n}", key=f"removal_yes_{cohort}_{counts.patients}"):
        _remove(cohort, n)
    if st.button("Keep them", type="primary", key="removal_no"):
        del st.session_state["cohort_to_remove"]
        st.rerun()


def _remove(cohort: str, n: str) -> None:
    volumes = VolumeCache(resources.cache())
    for sha256 in remove(cohort, resources.store()):
        volumes.delete(sha256)
    del st.session_state["cohort_to_remove"]
    st.session_state["cohort_removed"] = f"The cohort “{cohort}” was removed with its {n}."
    st.rerun()
