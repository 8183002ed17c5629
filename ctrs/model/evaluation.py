"""`evaluate` on a whole trial, at home and elsewhere, and the report that is made of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ctrs import NOTICE
from ctrs.errors import InputRejected, TooFewPatients
from ctrs.model.ensemble import Ensemble
from ctrs.model.evaluate import (
    Patients,
    against_targets,
    compare_discrimination,
    evaluate,
)
from ctrs.model.saliency_checks import LEAST, LESS_THAN, kept_checks
from ctrs.model.train import predict_trial, read_trial
from ctrs.model.weights import Card
from ctrs.types import Prediction

SPLITS = ("test", "external")
SEEN = "seen.npz"  # what the first network saw, beside a trial's table


def evaluate_trial(
    trial: Path, ensemble: Ensemble, split: str, progress: Callable[[str], None]
) -> dict[str, Any]:
    """`evaluate` on one split; of the test split also how the score does elsewhere, and saliency.

    Raises:
        InputRejected: The trial has no such patients, or no scans to look at.
    """
    table = read_trial(trial)
    patients = _predicted(trial, table[table["split"] == split], ensemble, split, progress)
    found = evaluate(*patients, ensemble.cut_off, split)
    found["targets"] = against_targets(found)
    if split == "test":
        found["elsewhere"] = _elsewhere(trial, table, patients, ensemble, progress)
        found["saliency"] = kept_checks(trial, patients[0], ensemble, progress)
    return found | {"model_version": ensemble.version}


def _predicted(
    trial: Path,
    rows: pd.DataFrame,
    ensemble: Ensemble,
    split: str,
    progress: Callable[[str], None],
) -> Patients:
    if rows.empty:
        raise InputRejected(
            f"Nobody in patients.csv belongs to the split “{split}”.",
            "Write it into the column split for the patients to be evaluated.",
        )
    return rows, predict_trial(trial, rows, ensemble, kept=trial / SEEN, progress=progress)


def _elsewhere(
    trial: Path,
    table: pd.DataFrame,
    test: Patients,
    ensemble: Ensemble,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """Sites that gave no patient to training against those that did, and the external trial."""
    pairs: dict[str, tuple[Patients, Patients]] = {}
    rows, predictions = test
    known = set(ensemble.card.sites)
    if known and "site" in rows:
        unseen = ~rows["site"].isin(known).to_numpy()
        if unseen.any() and not unseen.all():
            pairs["unseen sites"] = (
                _some(rows, predictions, ~unseen),
                _some(rows, predictions, unseen),
            )
    external = table[table["split"] == "external"]
    if len(external):
        pairs["external trial"] = (
            test,
            _predicted(trial, external, ensemble, "external", progress),
        )
    found = {}
    for name, (here, there) in pairs.items():
        with suppress(TooFewPatients):
            found[name] = compare_discrimination(here, there)
    return found


def _some(rows: pd.DataFrame, predictions: Sequence[Prediction], mask: np.ndarray) -> Patients:
    return rows[mask], [p for p, wanted in zip(predictions, mask, strict=True) if wanted]


# --- In words -----------------------------------------------------------------------------------


def as_markdown(card: Card, parts: Mapping[str, Mapping[str, Any]]) -> str:
    """The report: what was measured on each split, beside the targets."""
    lines = [
        "# How well the model does",
        "",
        NOTICE,
        "",
        f"{_whom(parts)} Time zero is the follow-up CT.",
        "",
        f"Weights {card.version}, trained on {card.trained_on}, by `{card.command}` at commit"
        f" {card.commit}. {card.remarks}".rstrip(),
    ]
    for split, found in parts.items():
        lines += ["", f"## {split.capitalize()} split", "", *_split(found)]
    return "\n".join(lines) + "\n"


def _whom(parts: Mapping[str, Mapping[str, Any]]) -> str:
    if any("simulation" in found for found in parts.values()):
        return (
            "Simulated patients: the trial's scans, tumours and lives are drawn, and nothing here"
            " says how the model does in people."
        )
    return "Patients as the table has them."


def _split(found: Mapping[str, Any]) -> list[str]:
    lines = [f"{found['n']} patients, {found['events']} deaths.", ""]
    lines += ["| what | measured | target | met |", "|---|---|---|---|"]
    known = {name: row for name, row in found["targets"].items() if row["value"] is not None}
    for name, row in known.items():
        lines.append(f"| {name} | {_figure(row['value'])} | {_target(row)} | {_yes(row['met'])} |")
    for name, row in found.get("elsewhere", {}).items():
        measured = (
            f"C {row['c_index']:.3f} ({row['lo']:.3f} to {row['hi']:.3f}), n {row['n']}; difference"
            f" {row['difference']:+.3f} ({row['difference_lo']:+.3f} to"
            f" {row['difference_hi']:+.3f})"
        )
        target = "within 0.03, interval reaches 0"
        lines.append(f"| {name} | {measured} | {target} | {_yes(row['met'])} |")
    lines += ["", "| | C-index | AUC, 12 months | Brier, 12 months |", "|---|---|---|---|"]
    names = {**found["c_index"], **found["brier_12m"]}
    for name in names:
        cells = (found[m].get(name) for m in ("c_index", "auc_12m", "brier_12m"))
        lines.append(f"| {name} | " + " | ".join(_figure(cell) for cell in cells) + " |")
    return [*lines, *_saliency(found.get("saliency"))]


SALIENCY = {
    "pointing_game": "pairs in which the strongest voxel lies on what drives the hazard",
    "energy_over_chance": "saliency within what drives the hazard, over chance",
    "randomisation_ssim": "likeness (SSIM) to the map of networks with random weights",
    "renoised_ssim": "likeness (SSIM) to the map of the same pair in other noise",
    "deletion_vs_random": "score moved by deleting the top 1 % of voxels, over random blocks",
}


def _saliency(found: Mapping[str, Any] | None) -> list[str]:
    if not found:
        return []
    lines = ["", f"Saliency, on {found['n']} of these pairs:", ""]
    lines += ["| what | measured | target | met |", "|---|---|---|---|"]
    for name, words in SALIENCY.items():
        target = f"{LEAST[name]:g} or more" if name in LEAST else f"below {LESS_THAN[name]:g}"
        met = _yes(name not in found["missed"])
        lines.append(f"| {words} | {_figure(found[name])} | {target} | {met} |")
    return lines


def _figure(value: object) -> str:
    return "" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def _target(row: Mapping[str, Any]) -> str:
    low, high = row["at_least"], row["at_most"]
    if low is not None and high is not None:
        return f"{low:g} to {high:g}"
    if low is not None:
        return f"{low:g} or more"
    return f"{high:g} or less"


def _yes(met: bool) -> str:
    return "yes" if met else "**no**"
