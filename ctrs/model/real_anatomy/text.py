"""The checks on real scans as Markdown, for a report."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ctrs.model.real_anatomy.common import Row

TITLES = {
    "masks": "Tumours that people outlined",
    "crops": "Outlined tumours in parts of a chest",
    "boxes": "Tumours in a box, without an outline",
    "dose_response": "The more the tumour grew, the lower the survival",
    "zero_change": "No change: one breath-hold, two kernels",
    "erased": "Tumour erased",
    "gates": "A rim of tumour against noise, crop and kernel",
}


def as_markdown(found: dict[str, Any]) -> str:
    """What `check_real_anatomy` found: an overview, then a table a check."""
    overview = _table(
        ("check", "n", "target", "met"),
        ((title, found[key]["n"], found[key]["target"], _met(found[key]["met"]))
         for key, title in TITLES.items()),
    )  # fmt: skip
    parts = [overview, f"Follow-ups are {found['follow_ups']}."]
    if found["missing"]:
        parts.append(f"Not there, and not counted: {', '.join(found['missing'])}.")
    for key, title in TITLES.items():
        if found[key]["scans"]:
            parts += [f"### {title}", _TABLES[key](found[key])]
    return "\n\n".join(parts) + "\n"


def _met(met: bool | None) -> str:
    return "–" if met is None else "yes" if met else "**no**"


def _table(head: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:+.0%}"


def _points(value: float) -> str:
    return f"{100 * value:+.1f}"


def _found(row: Row) -> str:
    return "yes" if row["found"] else "**no**"


def _masks(check: dict[str, Any]) -> str:
    head = ("scan", "found", "outlined, ml", "model, ml", "ratio", "Dice", "elsewhere, ml")
    return _table(
        head,
        ((row["scan"], _found(row), row["true_ml"], row["attached_ml"], row["ratio"], row["dice"],
          row["elsewhere_ml"]) for row in check["scans"]),
    )  # fmt: skip


def _boxes(check: dict[str, Any]) -> str:
    return _table(
        ("scan", "found", "in the box, ml", "connected with it, ml", "elsewhere, ml"),
        ((row["scan"], _found(row), row["inside_ml"], row["attached_ml"], row["elsewhere_ml"])
         for row in check["scans"]),
    )  # fmt: skip


def _doses(check: dict[str, Any]) -> str:
    """A row a step: survival, and in brackets the change of volume that the model measured."""
    scans = check["scans"]
    head = ("change of volume", *(row["scan"] for row in scans))
    rows: list[tuple[str, ...]] = [
        (_share(steps[0]["change"]),
         *(f"{s['survival_12m']:.1%} ({_share(s['measured_change'])})" for s in steps))
        for steps in zip(*(row["steps"] for row in scans), strict=True)
    ]  # fmt: skip
    rows.append(("Spearman", *(f"{row['spearman']:+.3f}" for row in scans)))
    words = "12-month survival, in brackets the change of all tumour as the model measured it."
    return f"{_table(head, rows)}\n\n{words}"


def _unchanged(check: dict[str, Any]) -> str:
    return _table(
        ("baseline", "follow-up", "12-month survival", "measured change"),
        ((row["baseline"], row["follow_up"], f"{row['survival_12m']:.1%}",
          _share(row["measured_change"])) for row in check["scans"]),
    )  # fmt: skip


def _erased(check: dict[str, Any]) -> str:
    return _table(
        ("scan", "12-month survival", "above the trial's median", "tumour left, ml"),
        ((row["scan"], f"{row['survival_12m']:.1%}", _met(row["above_typical"]),
          row["tumour_left_ml"]) for row in check["scans"]),
    )  # fmt: skip


def _gates(check: dict[str, Any]) -> str:
    disturbances = list(dict.fromkeys(name for row in check["scans"] for name in row["moved_by"]))
    head = ("points of survival", "a rim of tumour", *disturbances)
    rows = []
    for row in check["scans"]:
        moved = (row["moved_by"].get(name) for name in disturbances)
        told = ("–" if points is None else _points(points) for points in moved)
        rows.append((row["scan"], _points(-row["fall_by_rim"]), *told))
    return _table(head, rows)


_TABLES: dict[str, Callable[[dict[str, Any]], str]] = {
    "masks": _masks, "crops": _masks, "boxes": _boxes, "dose_response": _doses,
    "zero_change": _unchanged, "erased": _erased, "gates": _gates,
}  # fmt: skip
