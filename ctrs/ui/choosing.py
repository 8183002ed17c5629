"""Whom a statistics page looks at: a cohort, who is missing from it, and crossed filters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from ctrs.analysis import FACTORS, Selection, levels, select
from ctrs.cohort_import import FOLLOW_UP_CT
from ctrs.demo.cohort import DEMO_COHORT
from ctrs.errors import InputRejected
from ctrs.store import CohortCounts
from ctrs.survival import landmark_cohort
from ctrs.types import Cohort, Zone
from ctrs.ui import messages, resources
from ctrs.ui.board import BOARDS
from ctrs.ui.groups import offer_groups
from ctrs.ui.unscored import show_unscored

STABLE: Mapping[str, Sequence[str]] = {"recist": ["SD"]}
_USABLE = "usable"
_ZONES = {Zone.GREEN: _USABLE, Zone.AMBER: "with caution"}


@dataclass(frozen=True)
class Chosen:
    """Who is looked at, counted from the follow-up CT on.

    Attributes:
        name: Of the cohort.
        selection: With all filters in words.
        everybody: Whom the filters choose from.
    """

    name: str
    selection: Selection
    everybody: Cohort

    @property
    def cohort(self) -> Cohort:
        return self.selection.cohort

    @property
    def table(self) -> pd.DataFrame:
        return self.selection.cohort.table


def choose_patients(fixed: Mapping[str, Sequence[str]] | None = None) -> Chosen:
    """A cohort and its filters; says in words who is shown and who is not.

    Without a cohort, or with nobody left, says what to do and stops.

    Args:
        fixed: Levels that the page is about, by factor; no filter is offered for them.
    """
    name = _choose_cohort()
    _stop_without_scores(name)
    landmark, before = followed(name, include_amber=True)
    _show_denominators(name, before)
    selection = _filter(landmark, fixed or {})
    if selection.cohort.table.empty:
        st.info("No patient passes these filters (n = 0). Widen the filters.")
        st.stop()
    return Chosen(name, selection, landmark)


def followed(name: str, *, include_amber: bool) -> tuple[Cohort, int]:
    """Who of a cohort is followed past the follow-up CT, and how many are not.

    Shared by all sessions: nobody may change it. Read anew after each write.
    """
    return _followed(name, resources.model_version(), resources.store().state, include_amber)


@st.cache_resource(max_entries=3, show_spinner="Reading the cohort…")  # 100,000 take some 40 MB
def _followed(name: str, model_version: str, state: int, include_amber: bool) -> tuple[Cohort, int]:
    table = resources.store().cohort_table(name, model_version, include_amber=include_amber)
    return landmark_cohort(table.assign(zone=table["zone"].map(_ZONES)), name)


@st.cache_resource(max_entries=64, show_spinner=False)
def _counts(name: str, model_version: str, state: int) -> CohortCounts:
    return resources.store().cohort_counts(name, model_version)


def _stop_without_scores(name: str) -> None:
    """Imported cohorts: show survival where there is no score yet, or no clock to test one by."""
    store, version = resources.store(), resources.model_version()
    time_zero = store.time_zero(name) or FOLLOW_UP_CT
    if _counts(name, version, store.state).scored:
        if time_zero == FOLLOW_UP_CT:
            return
        raise InputRejected(
            f"The times of “{name}” are counted from {time_zero}, not from the follow-up CT: a"
            " score that is known only then cannot be tested on them.",
            "Import the table again and say when the follow-up CT was.",
        )
    everybody, before = landmark_cohort(store.cohort_table(name, version, scored=False), name)
    _show_denominators(name, before)
    if len(everybody.table):
        show_unscored(everybody, time_zero)
    st.stop()


def _choose_cohort() -> str:
    names = [name for name in resources.store().cohorts() if name not in BOARDS]
    if not names:
        st.info("There is no cohort yet. Build the simulated one with `python -m ctrs demo`.")
        st.stop()
    names.sort(key=lambda name: name != DEMO_COHORT)
    name = names[0]
    if len(names) > 1:
        name = st.selectbox("Cohort", names, format_func=cohort_words, key="cohort")
    if name == DEMO_COHORT:
        st.warning(
            "**These patients are simulated.** Nothing on this page is evidence about people.",
            icon=":material/science:",
        )
    return str(name)


def cohort_words(name: str) -> str:
    """A cohort's name, and that it is simulated if it is."""
    return f"{name} (simulated)" if name == DEMO_COHORT else name


def _show_denominators(name: str, before: int) -> None:
    """How many patients there are, and where those went that the figures leave out."""
    counts = _counts(name, resources.model_version(), resources.store().state)
    parts = {
        "need caution (left out unless you ask for them under Zone)": counts.amber,
        "are not assessable (left out)": counts.red,
        "could not be read (left out)": counts.refused,
        "have no known outcome (left out)": counts.without_outcome,
        "died or were lost before the follow-up CT (left out)": before,
    }
    words = [f"{n} {what}" for what, n in parts.items() if n]
    st.markdown(
        f"Of **{messages.patients(counts.patients)}** in this cohort, "
        + "; ".join([f"{counts.green} have a usable score", *words])
        + "."
    )


# --- Filters --------------------------------------------------------------------------------


def _filter(cohort: Cohort, fixed: Mapping[str, Sequence[str]]) -> Selection:
    offered = [factor for factor in FACTORS if factor != "risk_group" and factor not in fixed]
    wanted = dict(fixed)
    with st.expander("Filters (each narrows the one before it)", expanded=True):
        columns = st.columns(5)
        for number, factor in enumerate(offered):
            with columns[number % 5]:
                if picked := _pick_levels(cohort.table, factor):
                    wanted[factor] = picked
        with columns[len(offered) % 5]:
            ages = _pick_ages(cohort.table)
        offer_groups(cohort, wanted, ages, offered)
    selection = select(cohort, wanted, ages)
    _show_steps(selection)
    return selection


def _pick_levels(table: pd.DataFrame, factor: str) -> list[str]:
    return st.multiselect(
        FACTORS[factor],
        levels(table, factor),
        default=[_USABLE] if factor == "zone" and _USABLE in set(table["zone"]) else None,
        key=f"filter_{factor}",
        placeholder="All",
    )


def _pick_ages(table: pd.DataFrame) -> tuple[int, int] | None:
    known = table["age"].dropna()
    if known.empty or known.min() == known.max():
        return None
    low, high = int(known.min()), math.ceil(known.max())
    ages: tuple[int, int] = st.slider("Age", low, high, (low, high), key="filter_age")
    return None if ages == (low, high) else ages


def _show_steps(selection: Selection) -> None:
    last = selection.steps[-1]
    n = messages.patients(last.n_patients, last.n_events)
    st.markdown(
        f"Shown: **{messages.literal(selection.words)}** ({n}). Time zero is the follow-up CT."
    )
    if len(selection.steps) > 2:
        steps = (
            f"{messages.literal(step.words)} **{step.n_patients}** ({step.n_events} deaths)"
            for step in selection.steps
        )
        st.markdown(f":small[Step by step: {' → '.join(steps)}]")
