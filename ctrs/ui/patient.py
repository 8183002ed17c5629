"""One patient: who, how usable, the number with its interval, and what stands beside it."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import streamlit as st

from ctrs import NOTICE
from ctrs.demo.cohort import DEMO_COHORT
from ctrs.response import discordance, volume_class
from ctrs.score import measured_change
from ctrs.store import StoredPair
from ctrs.types import Patient, Recist, Response, ResponseScore, RiskGroup, Zone
from ctrs.ui import messages, resources
from ctrs.ui.board import BOARDS
from ctrs.ui.messages import explained, literal

_FACTS = {
    "tumour_volume": "Tumour volume",
    "new_tumour_volume": "New tumours (candidates)",
    "pleural_effusion": "Pleural effusion (fluid)",
    "lung_volume": "Lung volume",
    "emphysema": "Emphysema",
    "muscle": "Muscle of the chest wall",
}


@dataclass(frozen=True)
class PatientFile:
    """Everything the store has on one patient and one of the patient's scan pairs.

    Attributes:
        refusal: What was wrong and what to do, if the scans given last could not be read.
    """

    patient: Patient
    pair: StoredPair | None
    score: ResponseScore | None
    response: Response | None
    refusal: tuple[str, str] | None

    @property
    def simulated_without_scans(self) -> bool:
        return self.patient.cohort == DEMO_COHORT

    @property
    def tumour_change(self) -> float | None:
        """As read by the clinic, or else as the model measured it; a fraction of the baseline."""
        if self.response is not None:
            return self.response.volume_change
        return measured_change(self.score) if self.score else None


# --- Which patient --------------------------------------------------------------------------


def chosen_patient() -> PatientFile:
    """The patient named in the page's address; without one, let the reader choose and stop."""
    name = st.query_params.get("patient", "")
    with explained("Patient"):
        patient = resources.store().patient(name) if name else None
        if patient is not None:
            return _open(patient)
        if name:
            st.warning("There is no patient under this pseudonym; it may have been deleted.")
        _choose()
    st.stop()


def _choose() -> None:
    tables = [resources.store().worklist(cohort) for cohort in (*BOARDS, DEMO_COHORT)]
    listed = pd.concat(tables)
    notes: dict[str, str] = dict(zip(listed["patient"], listed["note"], strict=True))
    if not notes:
        st.info("There are no patients yet. Upload a baseline and a follow-up CT first.")
        st.page_link("pages/2_Upload.py", label="Upload scans", icon=":material/upload:")
        return
    picked = st.selectbox(
        "Choose a patient",
        list(notes),
        index=None,
        format_func=lambda name: f"{name}: {notes[name]}" if notes[name] else name,
        key="picked_patient",
    )
    st.page_link("pages/1_Board.py", label="Or open one from the board", icon=":material/list:")
    if picked:
        st.query_params["patient"] = picked
        st.rerun()


def _open(patient: Patient) -> PatientFile:
    version = resources.model_version()
    pairs = resources.store().pairs_of(patient.patient)
    pair = _choose_pair(pairs)
    rows = resources.store().worklist(patient.cohort, version)
    refused = rows[(rows["patient"] == patient.patient) & rows["refusal_what"].notna()]
    refusal = refused[["refusal_what", "refusal_next_step"]].to_numpy().tolist()
    return PatientFile(
        patient=patient,
        pair=pair,
        score=resources.store().find_score(pair.pair_key, version) if pair else None,
        response=resources.store().response(pair.pair_key) if pair else None,
        refusal=(refusal[0][0], refusal[0][1]) if refusal else None,
    )


def _choose_pair(pairs: list[StoredPair]) -> StoredPair | None:
    if len(pairs) < 2:
        return pairs[0] if pairs else None
    number = st.selectbox(
        "Scan pair",
        range(len(pairs)),
        index=len(pairs) - 1,
        format_func=lambda n: f"{n + 1}: {messages.days_between(pairs[n].interval_days)} apart",
        key=f"pair_of_{pairs[0].patient}",
    )
    return pairs[number]


# --- The answer -----------------------------------------------------------------------------


def show_header(file: PatientFile) -> None:
    """Who, under the pseudonym, what the clinic knows, and how far apart the scans are."""
    apart = f" · scans {messages.days_between(file.pair.interval_days)} apart" if file.pair else ""
    by_hand = file.pair.chosen_by_hand if file.pair else ()
    chosen = f" · series chosen by hand: {', '.join(by_hand)}" if by_hand else ""
    st.markdown(f"**{file.patient.patient}** · {messages.clinic(file.patient)}{apart}{chosen}")


def show_why_not(file: PatientFile) -> None:
    """Where there is no number: the reason, and what to do."""
    if file.refusal:
        messages.show_advice("The scans given last could not be used", *file.refusal)
    if file.pair and file.score is None:
        st.info("This pair was not scored by the present model yet. Upload the two scans again.")
    if file.score and not file.score.assessable:
        st.error(f"**Not assessable.** {_reasons(file.score)}", icon=":material/block:")
        st.markdown(
            "**What to do:** Choose another series, or another follow-up scan, and upload the pair"
            " again. There is no number, and none should be guessed from this page."
        )


def show_caution(file: PatientFile) -> None:
    """The reasons to be careful, before the number is read."""
    if file.score and file.score.zone is Zone.AMBER:
        st.warning(f"**Interpret with caution.** {_reasons(file.score)}", icon=":material/warning:")


def _reasons(score: ResponseScore) -> str:
    return " ".join(literal(reason) for reason in score.reasons)


def show_answer(score: ResponseScore) -> None:
    """The number with its interval, in figures and in words, and the risk group."""
    if score.survival_12m is None or score.interval_90 is None or score.risk_group is None:
        return
    lower, upper = (f"{100 * bound:.0f}" for bound in score.interval_90)
    number = messages.score_words(score)
    grey = score.zone is Zone.AMBER
    side = "at or above" if score.risk_group is RiskGroup.LOW else "below"
    st.markdown("Predicted 12-month survival (90 % interval)")
    st.header(f":gray[{number}] with caution" if grey else number, anchor=False)
    st.markdown(
        f"About **{100 * score.survival_12m:.0f} of 100** similar patients ({lower} to {upper})"
        " are alive 12 months after the follow-up CT."
    )
    st.markdown(
        f"**{messages.RISKS[score.risk_group]}** ({side} the cut-off of"
        f" {messages.percent(score.cut_off)})  \n{messages.ZONES[score.zone]}"
    )


def show_reading(file: PatientFile) -> None:
    """RECIST and tumour volume beside the score, and who disagrees."""
    recist = file.response.recist if file.response else Recist.NE
    change = file.tumour_change
    st.markdown("Conventional reading")
    st.markdown(f"RECIST: **{messages.RECIST[recist]}**{_diameters(file.response)}")
    st.markdown(f"Tumour volume change (TVC): **{messages.volume_change(change)}**")
    if file.score and file.score.risk_group and recist is not Recist.NE:
        volume = volume_class(float("nan") if change is None else change)
        words = discordance(recist, volume, file.score.risk_group)
        st.markdown(
            f":material/compare_arrows: **They disagree:** {words}."
            if words
            else ":material/check: RECIST, volume and CTRS agree."
        )
    st.markdown(":small[−12 to +13 % is what the same tumour varies by on one day.]")


def _diameters(response: Response | None) -> str:
    if response is None or not response.sum_baseline_mm > 0:
        return ""
    new = f", {response.new_lesions} new" if response.new_lesions else ""
    sums = f"{response.sum_baseline_mm:.0f} → {response.sum_follow_up_mm:.0f} mm"
    return f" ({sums}{new})"


def show_facts(score: ResponseScore) -> None:
    """What the model measured in both scans, apart from what it concludes."""
    st.markdown("Measured by the model")
    rows = {}
    for name, label in _FACTS.items():
        if fact := score.biomarkers.get(name):
            rows[label] = _fact(fact.baseline, fact.follow_up, fact.unit)
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["Baseline", "Follow-up"])
    change = measured_change(score)
    st.table(table, border="horizontal")
    st.markdown(f":small[Change by the model: {messages.volume_change(change)}]")


def _fact(baseline: float, follow_up: float, unit: str) -> list[str]:
    both = (baseline, follow_up)
    if unit.startswith("share"):
        return [f"{messages.percent(value)} {unit.removeprefix('share ')}" for value in both]
    decimals = 1 if max(both) < 100 else 0
    return [f"{value:,.{decimals}f}\u00a0{unit}" for value in both]


# --- Taking it along ------------------------------------------------------------------------


def offer_download(file: PatientFile) -> None:
    st.download_button(
        "Download this result as text",
        result_text(file),
        file_name=f"ctrs-{file.patient.patient}.txt",
        mime="text/plain",
        icon=":material/download:",
        on_click="ignore",
        key="download_result",
    )


def result_text(file: PatientFile) -> str:
    """The result in plain text; it begins with what it must not be used for."""
    lines = [NOTICE, "", f"Patient: {file.patient.patient}"]
    if file.pair:
        apart = messages.days_between(file.pair.interval_days)
        lines.append(f"Interval between the scans: {apart}")
    if file.refusal:
        lines.append(f"Scans could not be used: {file.refusal[0]}")
    if file.score:
        lines += _score_lines(file.score)
    recist = file.response.recist if file.response else Recist.NE
    lines.append(f"RECIST 1.1: {messages.RECIST[recist]}")
    lines.append(f"Tumour volume change: {messages.volume_change(file.tumour_change)}")
    return "\n".join(lines).replace("\u00a0", " ") + "\n"


def _score_lines(score: ResponseScore) -> list[str]:
    words = {Zone.GREEN: "usable", Zone.AMBER: "with caution", Zone.RED: "not assessable"}
    lines = [f"Zone: {words[score.zone]}", *(f"Reason: {reason}" for reason in score.reasons)]
    if score.risk_group:
        number = messages.score_words(score)
        lines.append(f"Alive 12 months after the follow-up CT (90 % interval): {number}")
        cut_off = messages.percent(score.cut_off)
        lines.append(f"Risk group: {score.risk_group} (high risk is below {cut_off})")
    for name, label in _FACTS.items():
        if fact := score.biomarkers.get(name):
            lines.append(f"{label}: {' → '.join(_fact(fact.baseline, fact.follow_up, fact.unit))}")
    return [*lines, f"Model: {score.model_version}"]
