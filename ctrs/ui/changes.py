"""What changed between the scans, as facts; what the model concludes stands elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from ctrs.store import StoredPair
from ctrs.types import Biomarker, Triple
from ctrs.ui import messages
from ctrs.ui.patient import PatientFile
from ctrs.ui.scene import Scene

GoTo = Callable[[StoredPair, int, Triple], None]

# Outlines are matched one to one; a tumour counts as new where the baseline is clear all around.
ONLY_NOW = "Outlined at follow-up only"
NOT_NEW = "not counted as new, as the baseline is not clear of tumour near there"


@dataclass(frozen=True)
class Change:
    """One fact in both scans.

    Attributes:
        visit, at_mm: Where to look for it: scan 0 or 1, and the place in it; ``None`` where there
            is nothing to look at.
    """

    name: str
    baseline: str
    follow_up: str
    change: str
    visit: int = 1
    at_mm: Triple | None = None


def changes_of(file: PatientFile, scene: Scene) -> list[Change]:
    """The facts of a pair, in the order a board asks for them."""
    facts = file.score.biomarkers if file.score else {}
    rows = [
        _row("Tumour volume", facts.get("tumour_volume"), *_largest(scene)),
        _new(scene, facts.get("new_tumour_volume")),
        _row("Pleural effusion", facts.get("pleural_effusion"), *_place(scene, "pleural_effusion")),
        _row("Lung volume", facts.get("lung_volume"), *_place(scene, "lung_volume")),
        _row("Muscle of the chest wall", facts.get("muscle"), *_place(scene, "muscle")),
    ]
    return [row for row in rows if row is not None]


def _row(name: str, fact: Biomarker | None, visit: int, at: Triple | None) -> Change | None:
    if fact is None:
        return None
    before, after = (_amount(value, fact.unit) for value in (fact.baseline, fact.follow_up))
    return Change(name, before, after, _change(name, fact), visit, at)


def _amount(value: float, unit: str) -> str:
    return f"{value:,.{1 if value < 100 else 0}f}\u00a0{unit}"


def _change(name: str, fact: Biomarker) -> str:
    """In per cent; for tumour with the word on the noise of repeated scans."""
    if fact.baseline <= 0:
        return "–" if fact.follow_up <= 0 else "not there before"
    fraction = fact.change / fact.baseline
    if name == "Tumour volume":
        return messages.volume_change(fraction)
    return messages.signed_percent(fraction)


def _new(scene: Scene, fact: Biomarker | None) -> Change | None:
    """Candidates: a person has to look whether they are there, new, and tumour."""
    new = [lesion for lesion in scene.lesions if lesion.baseline is None]
    outlined = [lesion.follow_up for lesion in new if lesion.follow_up]
    if fact is None or (fact.follow_up <= 0 and not outlined):
        return None
    at = outlined[0].at_mm if outlined else None
    names = ", ".join(lesion.name for lesion in new)
    if fact.follow_up <= 0:
        ml = _amount(sum(lesion.ml for lesion in outlined), fact.unit)
        return Change(ONLY_NOW, "–", ml, f"{names}: {NOT_NEW}", 1, at)
    ml = _amount(fact.follow_up, fact.unit)
    return Change("New lesions (candidates)", "–", ml, names or "beside a known lesion", 1, at)


def _largest(scene: Scene) -> tuple[int, Triple | None]:
    lesion = next(iter(scene.lesions), None)
    if lesion is None:
        return 1, None
    if lesion.follow_up:
        return 1, lesion.follow_up.at_mm
    return 0, lesion.baseline.at_mm if lesion.baseline else None


def _place(scene: Scene, name: str) -> tuple[int, Triple | None]:
    """In the follow-up, or else in the baseline."""
    for visit in (1, 0):
        if scene.outlines and (at := scene.outlines[visit].places.get(name)):
            return visit, at
    return 1, None


def show_changes(file: PatientFile, scene: Scene, go_to: GoTo) -> None:
    """The facts as rows, each with a button that leads to its place in the scans."""
    rows = changes_of(file, scene)
    if not rows:
        return
    widths = [2.2, 1.2, 1.2, 2, 0.8]
    table = st.container(gap="xxsmall")
    for column, title in zip(
        table.columns(widths), ("Measured by the model", "Baseline", "Follow-up", "Change", ""),
        strict=True,
    ):  # fmt: skip
        column.markdown(f":small[{title}]")
    for row in rows:
        columns = table.columns(widths, vertical_alignment="center")
        words = (row.name, row.baseline, row.follow_up, row.change)
        for column, text in zip(columns, words, strict=False):
            column.markdown(text)
        columns[4].button(
            "Show",
            key=f"show_{row.name}",
            disabled=row.at_mm is None,
            help=f"{row.name} in the scans",
            on_click=go_to,
            args=(scene.pair, row.visit, row.at_mm),
        )
    st.markdown(
        ":small[Facts, not reasons: what raised or lowered the number is shown by the colours in"
        " the scans. −12 to +13 % is what the same tumour's volume varies by on one day.]"
    )
