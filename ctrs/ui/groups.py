"""Filters kept under a name: set again, renamed, removed, and their patients set side by side."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from ctrs.analysis import levels, methods, select
from ctrs.errors import InputRejected
from ctrs.types import Cohort, PatientGroup
from ctrs.ui import messages, resources
from ctrs.ui.survival import difference_words

MOST_COMPARED = 6  # colours and dashes that can be told apart
_NAME = re.compile(r"[^\W_](?:[^\W_]|[ .,+()/%=≥≤-]){0,39}")  # nothing that a page would read


def offer_groups(
    cohort: Cohort,
    wanted: Mapping[str, Sequence[str]],
    ages: tuple[float, float] | None,
    offered: Sequence[str],
) -> None:
    """Save the filters as they stand; set, rename or remove what was saved before.

    Args:
        cohort: Everybody that the filters choose from.
        wanted, ages: The filters.
        offered: Factors for which this page has a filter.
    """
    with st.popover("Saved groups", icon=":material/bookmark:"):
        _offer_saving(cohort.name, wanted, ages)
        groups = {group.name: group for group in resources.store().groups(cohort.name)}
        if not groups:
            return
        name = st.selectbox(
            "A group that was saved", list(groups), None, key="group", placeholder="Choose one"
        )
        if name is not None:
            _offer_group(cohort, groups[name], offered)


def _offer_saving(
    cohort: str, wanted: Mapping[str, Sequence[str]], ages: tuple[float, float] | None
) -> None:
    with st.form("save_group", clear_on_submit=True, border=False):
        name = st.text_input("Save these filters as", max_chars=40, key="group_name")
        saved = st.form_submit_button("Save", key="save_group_now")
    if not saved:
        return
    with messages.explained("The group was not saved", stop=False):
        kept = {factor: tuple(picked) for factor, picked in wanted.items() if picked}
        resources.store().save_group(cohort, PatientGroup(_checked(name), kept, ages))
        st.success(f"Saved as “{name.strip()}”.", icon=":material/check:")


def _checked(name: str) -> str:
    name = name.strip()
    if not _NAME.fullmatch(name):
        raise InputRejected(
            f"The name has {len(name)} characters; 1 to 40 are expected, letters and digits first"
            " of all, then spaces and . , + - ( ) / % = ≥ ≤ too.",
            "Choose another name, such as “Stable, PD-L1 ≥ 50%”; never a person's.",
        )
    return name


def _offer_group(cohort: Cohort, group: PatientGroup, offered: Sequence[str]) -> None:
    found = select(cohort, group.wanted, group.ages)
    last = found.steps[-1]
    n = messages.patients(last.n_patients, last.n_events)
    st.markdown(f"{messages.literal(found.words)}: **{n}**")
    if last.n_patients:
        st.button(
            "Set these filters",
            on_click=_set_filters,
            args=(cohort.table, group, offered),
            key="set_group",
            type="primary",
        )
    else:
        st.info("Nobody in this cohort is like that any more.")
    with st.form("rename_group", border=False):
        new = st.text_input("Another name", group.name, max_chars=40, key=f"rename_{group.name}")
        renamed = st.form_submit_button("Rename", key="rename_group_now")
    if renamed:
        with messages.explained("The group was not renamed", stop=False):
            resources.store().rename_group(cohort.name, group.name, _checked(new))
            st.session_state.pop("group", None)
            st.rerun()
    st.button("Remove this group", on_click=_remove, args=(cohort.name, group.name),
              key="remove_group", icon=":material/delete:")  # fmt: skip


def _remove(cohort: str, name: str) -> None:
    resources.store().delete_group(cohort, name)
    st.session_state.pop("group", None)


def _set_filters(table: pd.DataFrame, group: PatientGroup, offered: Sequence[str]) -> None:
    """Put the group into the filters; levels that nobody has any more cannot be offered."""
    for factor in offered:
        there = levels(table, factor)
        wanted = group.wanted.get(factor, ())
        st.session_state[f"filter_{factor}"] = [level for level in wanted if level in there]
    known = table["age"].dropna()
    if known.empty:
        return
    low, high = int(known.min()), math.ceil(known.max())
    first, last = group.ages or (low, high)
    st.session_state["filter_age"] = (max(low, int(first)), min(high, math.ceil(last)))


# --- Side by side ---------------------------------------------------------------------------


def choose_groups(cohort: Cohort) -> tuple[list[Cohort], str]:
    """The saved groups to set side by side, and how they were formed, for a Methods section.

    Args:
        cohort: Everybody: groups are not narrowed by the filters that are set just now.
    """
    saved = {group.name: group for group in resources.store().groups(cohort.name)}
    if not saved:
        st.info(
            "No group is saved for this cohort yet. Set filters, open **Saved groups** under them,"
            " and give them a name."
        )
        return [], ""
    names = st.multiselect(
        "Groups side by side", list(saved), default=list(saved)[:2],
        max_selections=MOST_COMPARED, key="compared_groups",
    )  # fmt: skip
    found = {name: select(cohort, saved[name].wanted, saved[name].ages) for name in names}
    st.markdown(
        f":small[From all {messages.patients(len(cohort.table))} followed past the follow-up CT,"
        " whatever filters are set above.]\n"
        + "".join(
            f"\n- {name}: {messages.literal(one.words)}, {messages.patients(len(one.cohort.table))}"
            for name, one in found.items()
        )
    )
    groups = [Cohort(name, one.cohort.table) for name, one in found.items()]
    formed = methods.by_characteristics({name: one.words for name, one in found.items()})
    return [group for group in groups if len(group.table)], formed


def groups_difference(groups: Sequence[Cohort]) -> str:
    """What the log-rank test says; none where somebody would stand on both sides."""
    if len(groups) < 2:
        return "Only one group has patients: nothing to compare."
    members = pd.concat([group.table["patient"] for group in groups])
    twice = int((members.value_counts() > 1).sum())
    if twice:
        return (
            f"Not tested: {messages.patients(twice)} are in more than one of these groups. Choose"
            " groups that share nobody."
        )
    return difference_words(groups)
