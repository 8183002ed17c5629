"""`train`: a trial on disk → a folder of weights with its card."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file
from torch import Tensor

from ctrs.config import PrepareConfig
from ctrs.model.ensemble import (
    Ensemble,
    Seen,
    biomarkers,
    choose_device,
    load_ensemble,
    look,
    pair_inputs,
    perceive,
)
from ctrs.model.evaluate import evaluate
from ctrs.model.foresee import Cases, ForeseeConfig, Foresight, train_foreseers
from ctrs.model.network import Perceiver
from ctrs.model.perceive import PerceiveConfig, train_perceiver
from ctrs.model.weights import FORESEERS, PERCEIVER, Card, checksum, write_card
from ctrs.trial.bank import load_prepared, read_patients
from ctrs.trial.real.backgrounds import load_backgrounds
from ctrs.types import Prediction

Progress = Callable[[str], None]

NEEDED = ("patient", "months", "event", "interval_days", "split")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything about a training run but its data."""

    perceive: PerceiveConfig = field(default_factory=PerceiveConfig)
    foresee: ForeseeConfig = field(default_factory=ForeseeConfig)
    seed: int = 1


def train(
    trial: Path,
    out: Path,
    *,
    perceiver_from: Path | None = None,
    continue_from: Path | None = None,
    backgrounds: Path | None = None,
    device: str,
    config: TrainConfig,
    command: str,
    progress: Progress,
) -> Card:
    """Train both networks on the ``train`` patients of a trial; resumes where it was stopped.

    Checkpoints lie in ``out/checkpoints``; the finished weights and their card in ``out``.

    Args:
        perceiver_from: Weights whose first network is taken as it is: a cohort without outlined
            tumours trains the second network only.
        continue_from: Weights with whose first network the training of the first begins.
        backgrounds: See `ctrs.trial.real.backgrounds`.

    Raises:
        InputRejected: The folder holds no trial.
        WeightsUnusable: ``perceiver_from`` or ``continue_from`` holds no weights.
    """
    table = read_trial(trial)
    (out / "checkpoints").mkdir(parents=True, exist_ok=True)
    on = choose_device(device)
    if perceiver_from:
        perceiver = load_ensemble(perceiver_from, device).perceiver
    else:
        perceiver = train_perceiver(
            trial,
            list(table.index[table["split"] == "train"]),
            load_backgrounds(backgrounds) if backgrounds else [],
            out / "checkpoints",
            on,
            config.perceive,
            config.seed,
            progress,
            load_ensemble(continue_from, "cpu").perceiver if continue_from else None,
        )
    inputs, measures = see_trial(
        trial, table, perceiver, on, out / "checkpoints" / "seen.npz", progress
    )
    cases = as_cases(table, inputs)
    learnt = torch.from_numpy(np.flatnonzero(table["split"] == "train"))
    foresight = train_foreseers(cases[learnt], config.foresee, config.seed)
    card = _write(out, perceiver, foresight, table, command, config.seed)
    ensemble = load_ensemble(out, "cpu")
    card = replace(card, metrics=_test_metrics(ensemble, table, inputs, measures))
    write_card(out, card)
    return card


def _test_metrics(
    ensemble: Ensemble, table: pd.DataFrame, inputs: Tensor, measures: Tensor
) -> dict[str, Any]:
    """`evaluate` on the ``test`` patients; empty where the trial has none."""
    test = np.flatnonzero(table["split"] == "test")
    if test.size == 0:
        return {}
    rows = table.iloc[test]
    predictions = predict_rows(ensemble, rows, inputs[test], measures[test])
    return evaluate(rows, predictions, ensemble.cut_off)


def read_trial(trial: Path) -> pd.DataFrame:
    """``patients.csv`` of a trial, indexed by patient.

    Raises:
        InputRejected: There is none, or a column is missing.
    """
    return read_patients(trial, NEEDED).set_index("patient")


def see_trial(
    trial: Path,
    table: pd.DataFrame,
    perceiver: Perceiver,
    device: torch.device,
    cache: Path,
    progress: Progress,
) -> tuple[Tensor, Tensor]:
    """Run the first network over all pairs once, and keep the result in ``cache``.

    Returns:
        Inputs of the second network (N, 116), and the measures of both scans (N, 2, 10).
    """
    patients, weights = list(table.index), _fingerprint(perceiver)
    if cache.exists():
        with np.load(cache, allow_pickle=False) as kept:
            if list(kept["patients"]) == patients and str(kept["weights"]) == weights:
                return torch.from_numpy(kept["inputs"]), torch.from_numpy(kept["measures"])
    inputs, measures = [], []
    for index, patient in enumerate(patients):
        before, after = _see_pair(trial, patient, perceiver, device)
        inputs.append(pair_inputs(before, after))
        measures.append(torch.stack([before.measures, after.measures], dim=1))
        if (index + 1) % 50 == 0:
            progress(f"see {index + 1}/{len(patients)}")
    seen = torch.cat(inputs), torch.cat(measures)
    kept = {"inputs": seen[0].numpy(), "measures": seen[1].numpy()}
    np.savez(cache, patients=patients, weights=weights, allow_pickle=False, **kept)
    return seen


def _fingerprint(net: Perceiver) -> str:
    return _short(b"".join(t.detach().cpu().numpy().tobytes() for t in net.state_dict().values()))


@torch.inference_mode()
def _see_pair(
    trial: Path, patient: str, perceiver: Perceiver, device: torch.device
) -> tuple[Seen, Seen]:
    arrays = load_prepared(trial, patient)
    voxel_ml = float(np.prod(PrepareConfig().spacing_mm)) / 1000
    seen = []
    for visit in (0, 1):
        image = torch.from_numpy(arrays["image"][visit].astype(np.float32) / 255)[None, None]
        lungs = torch.from_numpy(arrays["lungs"][visit].astype(np.float32))[None, None]
        seen.append(look(*perceive(perceiver, image, lungs, device), voxel_ml))
    return seen[0], seen[1]


def as_cases(table: pd.DataFrame, inputs: Tensor) -> Cases:
    """The rows of a trial as cases; the truth only where the trial is simulated."""

    def column(name: str) -> Tensor:
        return torch.tensor(table[name].to_numpy(np.float32))

    known = "true_survival_12m_scan" in table
    return Cases(
        inputs,
        days=column("interval_days"),
        months=column("months"),
        event=column("event"),
        truth=column("true_survival_12m_scan") if known else None,
    )


def _write(
    out: Path,
    perceiver: Perceiver,
    foresight: Foresight,
    table: pd.DataFrame,
    command: str,
    seed: int,
) -> Card:
    save_file({k: v.contiguous() for k, v in perceiver.cpu().state_dict().items()}, out / PERCEIVER)
    tensors = {
        f"{k}.{name}": tensor.contiguous()
        for k, net in enumerate(foresight.members)
        for name, tensor in net.state_dict().items()
    }
    save_file(tensors, out / FORESEERS)
    checksums = {name: checksum(out / name) for name in (PERCEIVER, FORESEERS)}
    together = "".join(checksums.values()).encode()
    n_train = int((table["split"] == "train").sum())
    card = Card(
        version=f"{date.today():%Y%m%d}-{_short(together)}",
        trained_on=f"{n_train} patients of the trial in patients.csv",
        command=command,
        seed=seed,
        commit=_commit(),
        members=len(foresight.members),
        cut_off=foresight.cut_off,
        calibration=foresight.calibration,
        interval_logit=foresight.interval_logit,
        ood_distances=foresight.ood_distances,
        prepare_version=PrepareConfig().version,
        checksums=checksums,
    )
    write_card(out, card)
    return card


def _short(content: bytes) -> str:
    return sha256(content).hexdigest()[:8]


def _commit() -> str:
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return found.stdout.strip() or "unknown"


# --- What the trained model says of a whole trial -----------------------------------------------


def predict_trial(
    trial: Path, ensemble: Ensemble, *, cache: Path, progress: Progress
) -> tuple[pd.DataFrame, list[Prediction]]:
    """Predict for every pair of a trial, straight from its prepared scans.

    Args:
        cache: File that keeps what the first network saw; made anew for other weights.
    """
    table = read_trial(trial)
    device = torch.device(ensemble.device)
    inputs, measures = see_trial(trial, table, ensemble.perceiver, device, cache, progress)
    return table, predict_rows(ensemble, table, inputs, measures)


def predict_rows(
    ensemble: Ensemble, table: pd.DataFrame, inputs: Tensor, measures: Tensor
) -> list[Prediction]:
    """One prediction a row, from what `see_trial` returned for these rows."""
    return [
        replace(
            ensemble.foresee(inputs[i : i + 1], days),
            biomarkers=biomarkers(measures[i, 0], measures[i, 1]),
        )
        for i, days in enumerate(table["interval_days"])
    ]
