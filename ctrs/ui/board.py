"""The worklist: who needs talking about first, one row a scan pair or refusal."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from ctrs.demo.scans import DEMO_BOARD
from ctrs.response import discordance, discordance_rank, volume_class
from ctrs.types import Recist, RiskGroup, Zone
from ctrs.ui import messages, resources

UPLOADS = "upload"
BOARDS = (DEMO_BOARD, UPLOADS)
_NO_NUMBER = "Choose another series, or another follow-up scan, and upload the pair again."
_SHOWS = ("All", "Needs attention", "Not assessable", "Agree")


@dataclass(frozen=True)
class BoardRow:
    """One line of the worklist.

    Attributes:
        rank: Of `ctrs.response.discordance_rank`.
        answer: The number with its interval, or ``""``.
        sentence: Who disagrees, or why there is no number.
        caution: Why the number is to be read with care, or ``""``.
        next_step: What to do where there is no number.
    """

    patient: str
    note: str
    zone: Zone
    recist: Recist
    volume_change: float
    answer: str
    risk_group: RiskGroup | None
    rank: int
    sentence: str
    caution: str
    next_step: str
    interval_days: int | None


def board_rows() -> list[BoardRow]:
    """The worklist, what needs talking about first on top; within a rank the lowest number first.

    Columns of `Store.worklist` for patients of the demo board and uploads.
    """
    tables = [resources.store().worklist(cohort, resources.model_version()) for cohort in BOARDS]
    records = pd.concat([table for table in tables if len(table)] or tables[:1]).to_dict("records")
    ordered = sorted(records, key=lambda record: (*_order(record), record["patient"]))
    return [_row(record) for record in ordered]


def _order(record: dict[Any, Any]) -> tuple[int, float]:
    survival = record["survival_12m"]
    return _rank(record), 2.0 if pd.isna(survival) else float(survival)


def _rank(record: dict[Any, Any]) -> int:
    return discordance_rank(_recist(record), volume_class(_change(record)), _group(record))


def _row(record: dict[Any, Any]) -> BoardRow:
    group, survival = _group(record), record["survival_12m"]
    has_number = not pd.isna(survival)
    sentence, next_step = _words(record)
    days = record["interval_days"]
    return BoardRow(
        patient=record["patient"],
        note=record["note"] or "",
        zone=Zone(record["zone"]) if _text(record["zone"]) else Zone.RED,
        recist=_recist(record),
        volume_change=_change(record),
        answer=messages.chance(survival, (record["lower"], record["upper"])) if has_number else "",
        risk_group=group,
        rank=_rank(record),
        sentence=sentence,
        caution=" ".join(record["reasons"]) if record["zone"] == Zone.AMBER else "",
        next_step=next_step,
        interval_days=None if pd.isna(days) else int(days),
    )


def _words(record: dict[Any, Any]) -> tuple[str, str]:
    """The sentence of a row, and the next step where there is no number."""
    if what := _text(record["refusal_what"]):
        return what, record["refusal_next_step"]
    if not _text(record["zone"]):
        return "Not scored by this model yet.", "Upload the two scans again."
    if record["zone"] == Zone.RED:
        return " ".join(record["reasons"]), _NO_NUMBER
    words = discordance(_recist(record), volume_class(_change(record)), _group(record))
    return words or "RECIST, volume and CTRS agree", ""


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _recist(record: dict[Any, Any]) -> Recist:
    return Recist(_text(record["recist"]) or Recist.NE)


def _change(record: dict[Any, Any]) -> float:
    change = record["volume_change"]
    return math.nan if pd.isna(change) else float(change)


def _group(record: dict[Any, Any]) -> RiskGroup | None:
    name = _text(record["risk_group"])
    return RiskGroup(name) if name else None


# --- Drawing --------------------------------------------------------------------------------


def filtered_rows(rows: list[BoardRow]) -> list[BoardRow]:
    """Let the reader narrow the list down."""
    show = st.segmented_control(
        f"Show (of {len(rows)} scan pairs)", _SHOWS, default="All", key="board_show", required=True
    )
    if show == "Needs attention":
        return [row for row in rows if row.rank < 3]
    if show == "Not assessable":
        return [row for row in rows if not row.answer]
    if show == "Agree":
        return [row for row in rows if row.rank == 4]
    return rows


def show_board(rows: list[BoardRow]) -> None:
    if not rows:
        st.info("No scan pair is like that.")
    for row in rows:
        _show_row(row)


def _show_row(row: BoardRow) -> None:
    with st.container(border=True):
        who, usable, reading, score, why = st.columns(
            [1.7, 1.5, 2.1, 2.0, 3.0], vertical_alignment="center"
        )
        who.page_link(
            "pages/3_Patient.py",
            label=f"**{row.patient}**",
            icon=":material/open_in_new:",
            help="Open this patient",
            query_params={"patient": row.patient},
        )
        usable.markdown(f"**{messages.ZONES[row.zone]}**{_apart(row)}")
        reading.markdown(
            f"RECIST: **{messages.RECIST[row.recist]}**  \n"
            f"Volume: **{messages.volume_change(row.volume_change)}**"
        )
        if row.answer and row.risk_group:
            number = f":gray[{row.answer}]" if row.zone is Zone.AMBER else row.answer
            score.markdown(
                f"**{number}**  \nalive at 12 months  \n{messages.RISKS[row.risk_group]}"
            )
        else:
            score.markdown("**No number**")
        why.markdown(_why(row))


def _apart(row: BoardRow) -> str:
    if row.interval_days is None:
        return ""
    return f"  \n:small[{messages.days_between(row.interval_days)} apart]"


def _why(row: BoardRow) -> str:
    lines = [f"**{messages.literal(row.sentence)}**" if row.rank < 4 else row.sentence]
    if row.caution:
        lines.append(f"Caution: {messages.literal(row.caution)}")
    if row.next_step:
        lines.append(f"Next: {messages.literal(row.next_step)}")
    if row.note:
        lines.append(f":small[{messages.literal(row.note)}]")
    return "  \n".join(lines)
