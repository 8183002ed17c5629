"""New weights into the project: what they are measured by, and the demo that they score."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from ctrs import places
from ctrs.demo.cohort import write_cohort
from ctrs.model.ensemble import Ensemble, load_ensemble
from ctrs.model.evaluation import SEEN, SPLITS, as_markdown, evaluate_trial
from ctrs.model.real_anatomy import as_markdown as real_as_markdown
from ctrs.model.real_anatomy import check_real_anatomy
from ctrs.model.saliency_checks import KEPT, kept_checks
from ctrs.model.train import predict_trial, read_trial
from ctrs.model.weights import REPORT, write_card


def release(trial: Path, weights: Path, data: Path, progress: Callable[[str], None]) -> Path:
    """Make weights the shipped ones, with their report, the shipped test split and the demo.

    Args:
        trial: Simulated, with the scans of its test and external patients.
        weights: Written by `ctrs.model.train`.
        data: Real scans; without them that part of the report says so.

    Returns:
        The report.
    """
    home = places.ROOT / "assets" / "model"
    for file in (weights / name for name in ("card.json", *_tensors(weights))):
        shutil.copy(file, home / file.name)
    ensemble = load_ensemble(home, "cpu")
    _write_shipped_trial(trial, ensemble, progress)
    write_demo_cohort(trial, ensemble, progress)
    parts = {s: evaluate_trial(places.trial(), ensemble, s, progress) for s in SPLITS}
    typical = ensemble.card.typical_survival
    real = check_real_anatomy(data, ensemble, typical_survival=typical, progress=progress)
    card = replace(ensemble.card, metrics=parts["test"])
    write_card(home, card)
    report = home / REPORT
    report.write_text(as_markdown(card, parts) + "\n## Real anatomy\n\n" + real_as_markdown(real))
    return report


def _tensors(weights: Path) -> list[str]:
    return sorted(file.name for file in weights.glob("*.safetensors"))


def _write_shipped_trial(trial: Path, ensemble: Ensemble, progress: Callable[[str], None]) -> None:
    """The patients that nothing was trained on, what the network saw of them, and its saliency."""
    table = read_trial(trial)
    kept = table[table["split"].isin(SPLITS)]
    predict_trial(trial, kept, ensemble, kept=trial / SEEN, progress=progress)
    kept_checks(trial, table[table["split"] == "test"], ensemble, progress)
    home = places.trial()
    home.mkdir(parents=True, exist_ok=True)
    kept.to_csv(home / "patients.csv")
    shutil.copy(trial / KEPT, home / KEPT)
    with np.load(trial / SEEN, allow_pickle=False) as seen:
        rows = np.isin(seen["patients"], list(kept.index))
        parts = {k: seen[k][rows] for k in seen.files if k not in ("weights", "patients")}
        np.savez_compressed(
            home / SEEN, patients=seen["patients"][rows], weights=seen["weights"],
            allow_pickle=False, **parts,
        )  # fmt: skip


def write_demo_cohort(trial: Path, ensemble: Ensemble, progress: Callable[[str], None]) -> int:
    """Score the test patients of a trial: the demo cohort. Returns how many."""
    table = read_trial(trial)
    test = table[table["split"] == "test"]
    predictions = predict_trial(trial, test, ensemble, kept=trial / SEEN, progress=progress)
    return write_cohort(places.demo_cohort(), test, predictions, ensemble)
