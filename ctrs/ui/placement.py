"""One patient among others: the predicted curve over theirs, the score among theirs, in words."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from ctrs.analysis import FACTORS, Selection, methods, select
from ctrs.cohort_import import FOLLOW_UP_CT
from ctrs.demo.cohort import DEMO_COHORT
from ctrs.figures import (
    icon_array,
    placement_figure,
    placement_table,
    score_strip,
    strip_table,
)
from ctrs.survival import MIN_GROUP, kaplan_meier, survival_at
from ctrs.types import UNKNOWN, Cohort, PredictedCurve, Recist, ResponseScore, SurvivalCurve, Zone
from ctrs.ui import messages, resources
from ctrs.ui.board import BOARDS
from ctrs.ui.charts import Exhibit, show_exhibit
from ctrs.ui.choosing import cohort_words, followed
from ctrs.ui.patient import PatientFile
from ctrs.ui.survival import chance_words

_ALIKE = ("risk_group", "recist", "histology", "pd_l1")


def choose_reference() -> str:
    """Name of the cohort that a patient is compared with; asks where there are several."""
    names = _references()
    if len(names) < 2:
        return names[0]
    chosen: str = st.selectbox(
        "Compared with the patients of", names, format_func=cohort_words, key="reference"
    )
    return chosen


def _references() -> list[str]:
    """The demo cohort, then imported ones with scores, counted from the follow-up CT."""
    store, version = resources.store(), resources.model_version()
    return [DEMO_COHORT] + [
        name
        for name in store.cohorts()
        if name not in (*BOARDS, DEMO_COHORT)
        and (store.time_zero(name) or FOLLOW_UP_CT) == FOLLOW_UP_CT
        and store.cohort_counts(name, version).scored
    ]


@st.fragment
def show_placement(file: PatientFile, reference: str) -> None:
    """The patient's predicted curve over what happened to patients like this one.

    Args:
        reference: Name of the cohort of those patients.
    """
    with messages.explained("The comparison", stop=False):
        score = file.score
        if score is None or score.curve is None or not _may_be_compared(score):
            return
        selection = _patients_like(file, reference)
        like = _curve_of(selection)
        n = selection.steps[-1].n_patients
        st.markdown(_half_words(score.curve))
        show_exhibit(
            Exhibit(
                "placement",
                placement_figure(score.curve, like, _short(like)),
                _placement_words(score, like, reference),
                placement_table(score.curve, like),
                methods.methods(methods.PLACEMENT, selection, resources.model_version()),
            )
        )
        st.markdown(_observed_words(selection, like, reference) if like else _refusal(n))


def _may_be_compared(score: ResponseScore) -> bool:
    if score.zone is not Zone.AMBER or st.toggle(
        "Compare although the number needs caution", key="place_amber"
    ):
        return True
    st.info("A number that needs caution is not compared with other patients unless asked.")
    return False


def _followed(reference: str) -> Cohort:
    return followed(reference, include_amber=False)[0]


def _own_levels(file: PatientFile) -> dict[str, str]:
    """What this patient is, in each factor where that is known."""
    recist = file.response.recist if file.response else Recist.NE
    own = {
        "risk_group": str(file.score.risk_group) if file.score else UNKNOWN,
        "recist": UNKNOWN if recist is Recist.NE else str(recist),
        "histology": file.patient.histology,
        "pd_l1": file.patient.pd_l1,
    }
    return {factor: own[factor] for factor in _ALIKE if own[factor] != UNKNOWN}


def _patients_like(file: PatientFile, reference: str) -> Selection:
    """Patients of the cohort who share with this one what the reader asks for."""
    own = _own_levels(file)
    same = st.pills(
        "Patients with the same",
        list(own),
        selection_mode="multi",
        default=["risk_group"],
        format_func=lambda factor: f"{FACTORS[factor]} ({own[factor]})",
        key="alike",
    )
    wanted = {factor: [own[factor]] for factor in _ALIKE if factor in (same or [])}
    selection = select(_followed(reference), wanted)
    steps = (f"{messages.literal(step.words)} **{step.n_patients}**" for step in selection.steps)
    st.markdown(f":small[Patients: {' → '.join(steps)}]")
    return selection


def _curve_of(selection: Selection) -> SurvivalCurve | None:
    if selection.steps[-1].n_patients < MIN_GROUP:
        return None
    return kaplan_meier(selection.cohort, "Others like this one")


def _short(like: SurvivalCurve | None) -> str:
    return f"n = {like.n_patients}, {like.n_events} deaths" if like else ""


def _half_words(curve: PredictedCurve) -> str:
    """When the predicted curve and the bounds of its band fall to a half, in months."""
    middle, low, high = (
        _half_months(curve.months, values) for values in (curve.survival, curve.lower, curve.upper)
    )
    return (
        f"Predicted: half of such patients live longer than **{middle}** after the follow-up CT"
        f" (90 % interval {low} to {high})."
    )


def _half_months(months: tuple[float, ...], survival: tuple[float, ...]) -> str:
    if survival[-1] > 0.5:
        return f"{months[-1]:.0f}\u00a0months or more"
    falling = np.asarray(survival)[::-1]
    return f"{float(np.interp(0.5, falling, np.asarray(months)[::-1])):.0f}\u00a0months"


def _observed_words(selection: Selection, like: SurvivalCurve, reference: str) -> str:
    year = survival_at(like, selection.cohort, 12)
    share = chance_words(year.survival, year.lower, year.upper)
    whose = messages.literal(reference)
    if reference == DEMO_COHORT:
        whose = "the demo cohort, all **simulated**"
    return (
        f"Of {messages.patients(like.n_patients)} like this one"
        f" ({messages.literal(selection.words)}), **{share}** were alive 12 months after their"
        f" follow-up CT. :small[Grey: these patients of {whose}. The patient need not follow that"
        " curve.]"
    )


def _refusal(n: int) -> str:
    return (
        f"Only {messages.patients(n)} are like that: fewer than {MIN_GROUP} say nothing, and no"
        " curve is drawn. Ask for less in common."
    )


def _placement_words(score: ResponseScore, like: SurvivalCurve | None, reference: str) -> str:
    over = (
        f"over the observed survival of {messages.patients(like.n_patients, like.n_events)} like"
        f" this one, {cohort_words(reference)}"
        if like
        else "alone: too few patients are like this one"
    )
    return (
        f"Predicted survival of this patient over time, {messages.score_words(score)} at 12 months,"
        f" {over}."
    )


# --- The score among others -----------------------------------------------------------------


def show_strip(score: ResponseScore, reference: str) -> None:
    """Where the number falls among those of the cohort named ``reference``."""
    if score.survival_12m is None or score.interval_90 is None:
        return
    others = _followed(reference)
    scores = others.table["survival_12m"].dropna()
    if scores.empty:
        return
    below = float((scores < score.survival_12m).mean())
    st.markdown(
        f"The number is higher than that of **{messages.percent(below)}** of the"
        f" {messages.patients(len(scores))} of {messages.literal(cohort_words(reference))}."
    )
    everybody = select(others, {})
    show_exhibit(
        Exhibit(
            "strip",
            score_strip(scores.tolist(), score.survival_12m, score.interval_90, score.cut_off),
            f"{messages.score_words(score)} among the cohort",
            strip_table(scores.tolist()),
            methods.methods(methods.PLACEMENT, everybody, resources.model_version()),
        )
    )


def show_icons(score: ResponseScore) -> None:
    """A hundred icons, for talking with a patient."""
    if score.survival_12m is None or score.interval_90 is None:
        return
    low, high = (f"{100 * bound:.0f}" for bound in score.interval_90)
    words = (
        f"About {100 * score.survival_12m:.0f} of 100 similar patients (range {low} to {high}) are"
        " alive a year after this scan."
    )
    st.markdown(words)
    figure = icon_array(score.survival_12m, score.interval_90)
    counts = [int(low), int(high) - int(low), 100 - int(high)]
    names = ["alive", "uncertain", "not alive"]
    show_exhibit(
        Exhibit(
            "icons",
            figure,
            words,
            pd.DataFrame({"of_100_patients": names, "count": counts}),
            f"Predicted survival 12 months after the follow-up CT with its 90% interval, model"
            f" {resources.model_version()}.",
        )
    )
