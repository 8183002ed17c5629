"""From files in the browser to a scored pair in the store. The files are gone afterwards."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import pandas as pd
import streamlit as st

from ctrs import places
from ctrs.assess import STAGES, Assessment, Workshop, assess, remember
from ctrs.errors import CtrsError
from ctrs.ingest import NAMES
from ctrs.ingest.identity import known_id
from ctrs.ingest.text import technical
from ctrs.pseudonym import load_key, pseudonym
from ctrs.response import recist_class
from ctrs.score import measured_change
from ctrs.types import UNKNOWN, Inventory, Patient, Response, Series
from ctrs.ui import messages, resources
from ctrs.ui.board import UPLOADS
from ctrs.ui.messages import explained
from ctrs.ui.patient import show_answer
from ctrs.ui.series import Named, look_into, protocol_table
from ctrs.ui.staging import Upload, staged

_STAGES = dict(
    zip(
        STAGES,
        (
            "Reading both scans: sorting the files, checking the slices…",
            "Checking that the two scans belong together…",
            "Finding the lungs in both scans…",
            "Loading the model (once after each start, some seconds)…",
            "The networks are looking at both scans…",
        ),
        strict=True,
    )
)
_FOLDER, _FILES = "A folder for each scan", "A zip, or single files"


@dataclass(frozen=True)
class Clinic:
    """What the reader typed in beside the scans."""

    patient: Patient
    interval_days: int | None
    sum_baseline_mm: float
    sum_follow_up_mm: float
    new_lesions: int

    @property
    def was_read(self) -> bool:
        """Whether somebody typed in a reading; an empty form overwrites none."""
        return not math.isnan(self.sum_baseline_mm) or self.new_lesions > 0

    def response(self, volume_change: float | None) -> Response:
        sums = self.sum_baseline_mm, self.sum_follow_up_mm
        change = math.nan if volume_change is None else volume_change
        recist = recist_class(*sums, new_lesions=self.new_lesions)
        return Response(recist, *sums, self.new_lesions, change)


@dataclass(frozen=True)
class Outcome:
    """What became of an upload: words and tables only, nothing that identifies, no voxels.

    Attributes:
        inventories: Series and rejected files of each scan, as tables.
        refusal: What was wrong and what to do; ``None`` after a success.
        protocols: How both scans were made, side by side.
        repairs: What was mended in them, exactly.
    """

    patient: str
    inventories: dict[str, tuple[pd.DataFrame, pd.DataFrame]]
    pair_key: str | None = None
    refusal: tuple[str, str] | None = None
    cached: bool = False
    seconds: float = 0.0
    protocols: pd.DataFrame | None = None
    repairs: tuple[str, ...] = ()


# --- What to upload -------------------------------------------------------------------------


def choose_scans() -> tuple[list[Upload], list[Upload]]:
    """The files of the baseline and of the follow-up CT."""
    kind = st.segmented_control(
        "What do you have?", [_FOLDER, _FILES], default=_FOLDER, key="kind", required=True
    )
    left, right = st.columns(2)
    with left:
        baseline = _uploader("Baseline CT, before treatment", "baseline", kind == _FOLDER)
    with right:
        follow_up = _uploader("Follow-up CT, about 12 weeks later", "follow_up", kind == _FOLDER)
    one = baseline or follow_up
    in_one = one and not (baseline and follow_up)
    if in_one and st.toggle("Both scans are among these files", key="both_in_one"):
        return one, one
    return baseline, follow_up


def _uploader(label: str, key: str, folder: bool) -> list[Upload]:
    # A new number empties both uploaders, which frees the files that the browser sent.
    generation = st.session_state.setdefault("upload_generation", 0)
    files = st.file_uploader(
        label,
        accept_multiple_files="directory" if folder else True,
        key=f"{key}_{'folder' if folder else 'files'}_{generation}",
        help="DICOM in any mix of files, a zip of it, or one NIfTI, NRRD or MHA volume in HU.",
    )
    return list(files or [])


def ask_clinic() -> Clinic:
    """What is known of the patient; everything is optional and "unknown" is an answer."""
    with st.expander("What else is known (optional; the score uses only the days between scans)"):
        one, two, three = st.columns(3)
        days = one.number_input(
            "Days between the scans", 0, 2000, None, key="days", placeholder="From the files"
        )
        age = two.number_input("Age in years", 18, 110, None, key="age", placeholder=UNKNOWN)
        sex = three.selectbox("Sex", [UNKNOWN, "female", "male"], key="sex")
        histology = one.selectbox(
            "Histology", [UNKNOWN, "adenocarcinoma", "squamous", "other"], key="histology"
        )
        pd_l1 = two.selectbox("PD-L1", [UNKNOWN, "<1%", "1-49%", ">=50%"], key="pd_l1")
        line = three.selectbox("Line of treatment", [UNKNOWN, "first", "later"], key="line")
        regimen = one.selectbox(
            "Regimen", [UNKNOWN, "ICI alone", "ICI + chemotherapy"], key="regimen"
        )
        before = two.number_input(
            "RECIST sum of diameters, baseline (mm)", 0.0, 2000.0, None, key="sum_baseline"
        )
        after = three.number_input(
            "RECIST sum of diameters, follow-up (mm)", 0.0, 2000.0, None, key="sum_follow_up"
        )
        new = one.number_input("New lesions", 0, 100, 0, key="new_lesions")
    patient = Patient(
        patient="", cohort=UPLOADS, age=age, sex=sex, histology=histology, pd_l1=pd_l1, line=line,
        regimen=regimen,
    )  # fmt: skip
    sums = [math.nan if mm is None else mm for mm in (before, after)]
    return Clinic(patient, days, sums[0], sums[1], new)


# --- Scoring --------------------------------------------------------------------------------


def score_upload(
    baseline: Sequence[Upload], follow_up: Sequence[Upload], clinic: Clinic, series: Named
) -> None:
    """Score a pair and keep the result, or keep why it was refused, for `show_outcome`.

    Args:
        series: The UIDs of the series that a person chose, of baseline and follow-up.
    """
    tools = resources.workshop()
    st.session_state.pop("upload_outcome", None)
    bar = st.progress(0.0, "Taking the files…")

    def progress(stage: str) -> None:
        bar.progress((1 + STAGES.index(stage)) / (1 + len(STAGES)), _STAGES[stage])

    with explained("This pair was not scored"), staged(baseline, follow_up) as folders:
        try:
            days = clinic.interval_days
            assessment = assess(
                *folders, tools, interval_days=days, series_uids=series, progress=progress
            )
        except CtrsError as error:
            outcome = _refused(folders, series, error)
        else:
            outcome = _kept(assessment, clinic, tools)
            st.session_state["upload_generation"] += 1
    bar.empty()
    st.session_state["upload_outcome"] = outcome
    st.session_state["upload_clinic"] = clinic
    st.rerun()


def _kept(assessment: Assessment, clinic: Clinic, tools: Workshop) -> Outcome:
    pair, score, store = assessment.pair, assessment.score, tools.store
    name = _pseudonym(known_id(pair.baseline.header) or pair.baseline.sha256)
    remember(assessment, name, tools)
    _save_patient(name, clinic, tools)
    if store is not None and clinic.was_read:
        store.save_response(pair.key, clinic.response(measured_change(score)))
    return Outcome(
        patient=name,
        inventories=dict(zip(NAMES, map(_tables, assessment.inventories), strict=True)),
        pair_key=pair.key,
        cached=assessment.cached,
        seconds=assessment.seconds["total"],
        protocols=protocol_table(
            *(inventory.chosen for inventory in assessment.inventories if inventory.chosen)
        ),
        repairs=tuple(
            f"{name}: {repair}."
            for name, volume in zip(NAMES, (pair.baseline, pair.follow_up), strict=True)
            for repair in volume.repairs
        ),
    )


def _refused(folders: tuple[Path, Path], series: Named, error: CtrsError) -> Outcome:
    inventories, identifier = {}, ""
    found = look_into(folders, series)
    for name, inventory in zip(NAMES, found, strict=True):
        if inventory:
            inventories[name] = _tables(inventory, scored=False)
            identifier = identifier or _patient_id(inventory)
    name = _pseudonym(identifier or _fingerprint(folders[0]))
    return Outcome(name, inventories, refusal=(error.what, error.next_step))


def _patient_id(inventory: Inventory) -> str:
    return next(filter(None, (known_id(series.header) for series in inventory.series)), "")


def _fingerprint(path: Path) -> str:
    """Names files without a readable identifier by their content."""
    digest = sha256()
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _pseudonym(identifier: str) -> str:
    return pseudonym(identifier, load_key(places.pseudonym_key()))


def _save_patient(name: str, clinic: Clinic, tools: Workshop) -> None:
    """Write what was typed in; what was known before stays where nothing was."""
    if tools.store is None:
        return
    before = tools.store.patient(name) or Patient(patient=name, cohort=UPLOADS)
    typed = vars(clinic.patient) | {"patient": name, "cohort": before.cohort}
    known = {key: value for key, value in typed.items() if value not in (None, UNKNOWN, "")}
    tools.store.save_patient(replace(before, **known))


# --- What came of it ------------------------------------------------------------------------


def has_outcome() -> bool:
    """Whether the page still shows what became of an upload."""
    return "upload_outcome" in st.session_state


def show_outcome() -> None:
    """The number with its interval or the reason for none, and what was in the files."""
    outcome: Outcome | None = st.session_state.get("upload_outcome")
    if outcome is None:
        return
    with explained("The result of the upload"):
        if outcome.refusal:
            messages.show_advice("This pair was not scored", *outcome.refusal)
            _offer_to_keep(outcome, outcome.refusal)
        else:
            _show_score(outcome)
    for name, (series, rejected) in outcome.inventories.items():
        with st.expander(f"{name}: what was in the files", expanded=bool(outcome.refusal)):
            if len(series):
                st.table(series, border="horizontal", hide_index=True)
            else:
                st.markdown("There is no series of images in them.")
            if len(rejected):
                st.markdown(f"Files that were not used: {len(rejected)}")
                st.dataframe(rejected, hide_index=True, key=f"rejected {name}")


def _show_score(outcome: Outcome) -> None:
    store, version = resources.workshop().store, resources.workshop().model_version
    score = store.find_score(outcome.pair_key, version) if store and outcome.pair_key else None
    if score is None:
        st.info("The result of this upload is no longer in the database.")
        return
    again = "This pair was scored before; the same result is shown." if outcome.cached else ""
    if score.reasons:
        reasons = " ".join(messages.literal(reason) for reason in score.reasons)
        st.warning(f"**{messages.ZONES[score.zone]}.** {reasons}")
    else:
        st.success(f"Done in {outcome.seconds:.1f} seconds. {again}", icon=":material/check:")
    show_answer(score)
    if outcome.protocols is not None:
        st.markdown("How the two scans were made")
        st.table(outcome.protocols, border="horizontal")
    if outcome.repairs:
        st.markdown(f"What was mended: {messages.literal(' '.join(outcome.repairs))}")
    st.page_link(
        "pages/3_Patient.py",
        label=f"See {outcome.patient} with both scans",
        icon=":material/open_in_new:",
        query_params={"patient": outcome.patient},
    )
    st.markdown(
        ":small[The uploaded files were removed. The images are kept without names or dates, until"
        " newer ones need the room.]"
    )


def _offer_to_keep(outcome: Outcome, refusal: tuple[str, str]) -> None:
    if st.button(f"Keep {outcome.patient} on the board as not readable", key="keep_refused"):
        tools = resources.workshop()
        if tools.store is not None:
            _save_patient(outcome.patient, st.session_state["upload_clinic"], tools)
            tools.store.save_refusal(outcome.patient, *refusal)
            tools.store.audit("keep refusal", outcome.patient)
        st.success(f"{outcome.patient} is on the board.")
        st.page_link("pages/1_Board.py", label="Go to the board", icon=":material/list:")


def _tables(inventory: Inventory, *, scored: bool = True) -> tuple[pd.DataFrame, pd.DataFrame]:
    chosen = "" if inventory.doubt else "Used" if scored else "Chosen, not scored"
    series = pd.DataFrame([_series_row(found, chosen) for found in inventory.series])
    rejected = pd.DataFrame(
        [{"File": file.path, "Why not": file.reason} for file in inventory.rejected_files]
    )
    return series, rejected


def _series_row(series: Series, chosen: str) -> dict[str, object]:
    """``chosen``: what became of the best one, ``""`` where none was taken."""
    header = series.header
    state = "Could be used" if series.accepted else "Cannot be used"
    return {
        "": chosen if chosen and series.rank == 1 else state,
        "Why": "; ".join(series.reasons),
        "Series": technical(header.description),
        "Kind": header.modality,
        "Slices": series.shape[0] or len(series.files),
        "Slice distance (mm)": f"{series.spacing[0]:.2f}" if series.accepted else "",
        "Kernel": technical(header.kernel),
        "Acquired": str(header.acquired_on or "unknown"),
    }
