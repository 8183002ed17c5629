"""Patients whom RECIST calls stable: what the score adds where RECIST says nothing."""

from __future__ import annotations

import math

import pandas as pd
import streamlit as st

from ctrs.analysis import high_against_low, methods
from ctrs.figures import swimmer_figure, swimmer_table
from ctrs.survival import MIN_GROUP, split_by_risk
from ctrs.ui import messages, resources
from ctrs.ui.charts import Exhibit, show_exhibit
from ctrs.ui.choosing import Chosen
from ctrs.ui.survival import difference_words, show_curves

LANES = 40  # patients in one swimmer plot and list


def show_stable_survival(chosen: Chosen) -> None:
    """Kaplan-Meier of the stable by risk group, with the hazard ratio of the two."""
    groups = split_by_risk(chosen.cohort)
    words = difference_words(groups)
    if len(groups) == 2 and min(len(group.table) for group in groups) >= MIN_GROUP:
        with messages.if_enough("hazard ratio"):
            row = high_against_low(chosen.cohort)
            if not math.isnan(row.hazard_ratio):
                words += (
                    f" High-risk patients die at **{row.hazard_ratio:.1f} times** the rate of"
                    f" low-risk ones (95 % {row.lower:.1f}–{row.upper:.1f})."
                )
    show_curves(chosen, groups, "stable_survival", words)


@st.fragment
def show_stable_patients(chosen: Chosen) -> None:
    """Each of the stable as a lane and as a line of a list, lowest score first."""
    with messages.explained("The patients", stop=False):
        _show_patients(chosen)


def _show_patients(chosen: Chosen) -> None:
    table = chosen.table.sort_values(["survival_12m", "patient"]).reset_index(drop=True)
    table = table.assign(place=range(1, len(table) + 1))
    first = _choose_part(len(table))
    part = table.iloc[first : first + LANES]
    figure, listed = st.columns([1, 1.6])
    with figure:
        show_exhibit(
            Exhibit(
                "swimmer",
                swimmer_figure(part),
                f"Follow-up of {messages.patients(len(part), int(part['event'].sum()))}, lowest"
                " score first; the list beside it says the same",
                swimmer_table(part),
                methods.methods(methods.SWIMMER, chosen.selection, resources.model_version()),
            )
        )
    with listed:
        st.markdown("Open a patient by the pseudonym (in a new tab).")
        st.dataframe(
            _listed(part),
            hide_index=True,
            height=min(35 * (len(part) + 1) + 3, 900),
            column_config={
                "Patient": st.column_config.LinkColumn(display_text=r"patient=(.*)$"),
            },
            key="stable_list",
            alt="The patients of the figure, with their scores and what became of them",
        )


def _choose_part(n: int) -> int:
    if n <= LANES:
        return 0
    parts = range(0, n, LANES)
    return st.selectbox(
        "Patients, lowest score first",
        parts,
        format_func=lambda start: f"{start + 1} to {min(start + LANES, n)} of {n}",
        key=f"stable_part_of_{n}",  # a list of other patients begins at its top
        width=260,
    )


def _listed(part: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "No.": part["place"],
            # Beside this page's own address, wherever the app is served.
            "Patient": [f"Patient?patient={name}" for name in part["patient"]],
            "12-month survival (90 %)": [
                messages.chance(*row)
                for row in zip(
                    part["survival_12m"], zip(part["lower"], part["upper"], strict=True),
                    strict=True,
                )
            ],
            "Group": [str(group) for group in part["risk_group"]],
            "Volume change": [messages.volume_change(change) for change in part["volume_change"]],
            "Since follow-up CT": [
                f"{'died' if died else 'alive'} at {messages.months(months)}"
                for months, died in zip(part["months"], part["event"], strict=True)
            ],
        }
    )  # fmt: skip
