"""CTRS against RECIST and the tumour volume change, on the same patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import streamlit as st

from ctrs.analysis import Compared, Flow, comparable, compare, methods, reclassify
from ctrs.errors import TooFewPatients
from ctrs.figures import (
    gain_figure,
    gain_table,
    reclassification_figure,
    reclassification_table,
    volume_diameter_figure,
    volume_diameter_table,
    waterfall_figure,
    waterfall_table,
)
from ctrs.response import VOLUME_NOISE
from ctrs.survival import MIN_GROUP
from ctrs.types import Cohort
from ctrs.ui import messages, resources
from ctrs.ui.charts import Exhibit, show_exhibit
from ctrs.ui.choosing import Chosen
from ctrs.ui.survival import chance_words

AT = 12.0  # months
_NAMES = {"RECIST": "RECIST class", "TVC": "volume change"}


def same_patients(chosen: Chosen) -> Chosen:
    """Who has all three readings; says how many have not. With nobody left, stops."""
    cohort = comparable(chosen.cohort)
    lost = len(chosen.table) - len(cohort.table)
    n, deaths = len(cohort.table), int(cohort.table["event"].sum())
    st.markdown(
        f"Compared: **{messages.patients(n, deaths)}** with all three readings: CTRS, RECIST and"
        f" tumour volume change (TVC). {messages.patients(lost)} lack one and are left out."
    )
    if cohort.table.empty:
        st.info("Nobody has all three readings (n = 0). Widen the filters.")
        st.stop()
    last = replace(chosen.selection.steps[-1], words="all three readings known",
                   n_patients=n, n_events=deaths)  # fmt: skip
    steps = (*chosen.selection.steps, last)
    return replace(chosen, selection=replace(chosen.selection, cohort=cohort, steps=steps))


def _methods(sentence: str, chosen: Chosen) -> str:
    return methods.methods(sentence, chosen.selection, resources.model_version())


# --- Who orders better ----------------------------------------------------------------------


@resources.remembered("Measuring who orders better…")
def _compared(name: str, table: pd.DataFrame) -> dict[str, tuple[Compared, ...]]:
    cohort = Cohort(name, table)
    return {"C-index": compare(cohort), "AUC, 12 months": compare(cohort, auc_at=AT)}


@st.fragment(parallel=True)  # some seconds; what stands below need not wait
def show_gains(chosen: Chosen) -> None:
    """C-index and AUC of the three, and the differences with their intervals."""
    with messages.explained("Differences", stop=False), messages.if_enough("comparison"):
        if len(chosen.table) < MIN_GROUP:
            raise TooFewPatients(
                f"{messages.patients(len(chosen.table))}; at least {MIN_GROUP} are needed.",
                "Widen the filters.",
            )
        found = _compared(chosen.name, chosen.table)
        for one in found["C-index"]:
            if one.gain is not None:
                st.markdown(f"- Against **{_NAMES[one.name]}**: {_gain_words(one)}")
        show_exhibit(
            Exhibit(
                "gains",
                gain_figure(found),
                "; ".join(
                    f"{measure}, CTRS against {one.name}: {_gain_words(one)}"
                    for measure, rows in found.items()
                    for one in rows
                    if one.gain is not None
                ),
                gain_table(found),
                _methods(methods.comparison(len(chosen.table)), chosen),
            )
        )
        st.table(_gain_rows(found), border="horizontal")


def _gain_words(one: Compared) -> str:
    if one.gain is None:
        return ""
    low, high = one.gain.lower, one.gain.upper
    verdict = (
        "CTRS orders these patients **better**"
        if low > 0
        else "CTRS orders these patients **worse**"
        if high < 0
        else "**no difference can be told** (the interval holds 0)"
    )
    difference = f"difference {one.gain.estimate:+.3f} (95 % {low:+.3f} to {high:+.3f})"
    return f"{verdict}; {difference.replace('-', '−')}"


def _gain_rows(found: dict[str, tuple[Compared, ...]]) -> pd.DataFrame:
    names = [one.name for one in next(iter(found.values()))]
    rows = {
        name: {
            measure: f"{own.measured.estimate:.3f} ({own.measured.lower:.3f} to"
            f" {own.measured.upper:.3f})"
            for measure, parts in found.items()
            for own in parts
            if own.name == name
        }
        for name in names
    }
    table = pd.DataFrame.from_dict(rows, orient="index")
    return table.rename(columns=lambda measure: f"{measure} (95 %), 0.5 = chance")


# --- Who changes place ----------------------------------------------------------------------


def show_reclassification(chosen: Chosen) -> None:
    """Flows from RECIST class to risk group, and the same as a table."""
    flows = reclassify(chosen.cohort, AT)
    figure = reclassification_figure(flows)
    show_exhibit(
        Exhibit(
            "reclassification",
            figure,
            "; ".join(map(_flow_words, flows)),
            reclassification_table(flows),
            _methods(methods.RECLASSIFICATION, chosen),
        )
    )
    st.table(_flow_rows(flows), border="horizontal", hide_index=True)


def _flow_words(flow: Flow) -> str:
    return f"{flow.recist}, {flow.risk_group}: {flow.n_patients} patients, {_observed(flow)}"


def _observed(flow: Flow) -> str:
    if flow.n_patients < MIN_GROUP:
        return f"fewer than {MIN_GROUP} patients"
    return chance_words(flow.observed.survival, flow.observed.lower, flow.observed.upper)


def _flow_rows(flows: Sequence[Flow]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "RECIST": messages.RECIST[flow.recist],
                "CTRS": str(flow.risk_group),
                "Patients": str(flow.n_patients),
                "Deaths": str(flow.n_events),
                "Alive at 12 months, observed (95 %)": _observed(flow),
            }
            for flow in flows
        ]
    )


# --- How the tumours changed ----------------------------------------------------------------


def show_tumour_changes(chosen: Chosen) -> None:
    """The waterfall of volume changes, and volume against diameter with the noise box."""
    left, right = st.columns(2)
    with left:
        st.markdown("**Each patient's tumour volume change**, coloured by the score")
        show_exhibit(
            Exhibit(
                "waterfall",
                waterfall_figure(chosen.cohort),
                f"Tumour volume change of {messages.patients(len(chosen.table))} by risk group",
                waterfall_table(chosen.cohort),
                _methods(methods.TUMOUR_CHANGE, chosen),
            )
        )
    with right:
        st.markdown("**Is the change real?** Volume against diameters")
        inside = int(chosen.table["volume_change"].between(*VOLUME_NOISE).sum())
        show_exhibit(
            Exhibit(
                "volume_diameter",
                volume_diameter_figure(chosen.cohort),
                f"Volume change against change of diameters; {messages.patients(inside)} of"
                f" {len(chosen.table)} changed in volume by no more than two scans of one day do",
                volume_diameter_table(chosen.cohort),
                _methods(methods.TUMOUR_CHANGE, chosen),
            )
        )
