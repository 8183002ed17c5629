"""`train`: a trial on disk → a folder of weights with its card."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ctrs.config import PrepareConfig
from ctrs.errors import InputRejected
from ctrs.model.ensemble import (
    TWELVE,
    Ensemble,
    Perceived,
    SeenPair,
    calibrate,
    choose_device,
    load_ensemble,
    perceive,
    see_pair,
)
from ctrs.model.figures import draw_against_truth
from ctrs.model.foresee import Cases, ForeseeConfig, Foresight, mean_curve, train_foreseers
from ctrs.model.map_loss import VOXEL_ML
from ctrs.model.measure import INPUTS, MEASURES, MEASURING
from ctrs.model.network import EDGES_MONTHS, Perceiver
from ctrs.model.perceive import (
    Material,
    PerceiveConfig,
    gather,
    mixed,
    train_perceiver,
)
from ctrs.model.read_liver import ReadLiverConfig, train_liver_reader
from ctrs.model.weights import FORESEERS, PERCEIVER, USUAL, Card, checksum, write_card
from ctrs.trial.prepared import (
    LIVERS,
    PREPARED,
    RARE,
    RESCANS,
    load_prepared,
    read_patients,
    require_prepared,
    scanned,
)
from ctrs.types import Prediction

if TYPE_CHECKING:
    from ctrs.trial.real.backgrounds import Background

Progress = Callable[[str], None]
SAVE_EVERY = 50  # pairs that were seen
# Of the first network's weights: it computes in these numbers anyway, so that nothing is lost.
STORED = torch.bfloat16
REAL_PAIRS = 100  # of real chests with painted tumours, among what is usual
MIN_PATIENTS = 20  # a fifth of them is kept for the calibration

NEEDED = ("patient", "months", "event", "interval_days", "split")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything about a training run but its data."""

    perceive: PerceiveConfig = field(default_factory=PerceiveConfig)
    read_liver: ReadLiverConfig = field(default_factory=ReadLiverConfig)
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

    Checkpoints and a figure of each step lie in ``out/checkpoints``; the finished weights and
    their card in ``out``.

    Args:
        perceiver_from: Weights whose first network is taken: a cohort without outlined tumours
            trains the second network only.
        continue_from: Weights with whose first network the training of the first begins.

            Of both the part that reads the liver is kept as it is, unless the trial has livers:
            then another is learnt from them.
        backgrounds: See `ctrs.trial.real.backgrounds`.

    Raises:
        InputRejected: The folder holds no trial, nobody to train on, or no outlined tumours while
            the first network is to be trained.
        WeightsUnusable: ``perceiver_from`` or ``continue_from`` holds no weights.
    """
    table = read_trial(trial)
    table = table[table["split"] == "train"]
    if len(table) < MIN_PATIENTS:
        raise InputRejected(
            f"{len(table)} patients are marked for training; {MIN_PATIENTS} are the least.",
            "Write train into the column split of patients.csv, for most of the patients.",
        )
    checkpoints = out / "checkpoints"
    checkpoints.mkdir(parents=True, exist_ok=True)
    on = choose_device(device)
    inherited: dict[str, float] = {}
    real_chests = _backgrounds(backgrounds)
    if perceiver_from:
        other = load_ensemble(perceiver_from, device)
        perceiver, inherited = other.perceiver, other.card.interval_parts
    else:
        _require_outlines(trial, table)
        trained = train_perceiver(
            lambda: _gather(trial, list(table.index), real_chests, out, config, progress),
            checkpoints,
            on,
            config.perceive,
            config.seed,
            progress,
            load_ensemble(continue_from, "cpu").perceiver if continue_from else None,
        )
        perceiver = trained
    livers = scanned(trial, LIVERS)
    if livers:
        inherited = {}  # measured with another first network than this will be
        perceiver.liver = train_liver_reader(
            trial, livers, checkpoints, on, config.read_liver, config.seed, progress
        )
    perceiver = _as_stored(perceiver)
    seen = see_trial(trial, table, perceiver, on, checkpoints / "seen.npz", progress)
    _draw_volumes(table, seen, checkpoints / "seen.png")
    cases = as_cases(table, seen.inputs)
    rescans = _rescans(trial, table, cases, perceiver, on, checkpoints, progress)
    usual = [seen, *_see_real_chests(real_chests, perceiver, on, config.seed)]
    foresight = train_foreseers(cases, usual, rescans, config.foresee, config.seed, inherited)
    _draw_survival(cases, foresight, checkpoints / "foresee.png")
    return _write(out, perceiver, foresight, table, command, config.seed)


def _gather(
    trial: Path,
    patients: list[str],
    real_chests: Sequence[Background],
    out: Path,
    config: TrainConfig,
    progress: Progress,
) -> Material:
    """What the first network learns from: the trial, rare findings, painted real chests."""
    simulated = gather([(trial, PREPARED, patients), (trial, RARE, scanned(trial, RARE))])
    if not real_chests:
        return simulated
    from ctrs.trial.real.painted import paint_scans  # brings an image library

    folder, n = out / "checkpoints", config.perceive.painted
    painted = gather([(folder, *paint_scans(real_chests, folder, n, config.seed, progress))])
    return mixed(simulated, painted, config.perceive.background_share)


def _require_outlines(trial: Path, table: pd.DataFrame) -> None:
    require_prepared(trial, table.index)
    if not load_prepared(trial, str(table.index[0]), "tumour"):
        raise InputRejected(
            "The first network learns from outlined tumours, and these scans have none.",
            "Name weights whose first network is to be used: --perceiver assets/model.",
        )


def _backgrounds(folder: Path | None) -> list[Background]:
    if folder is None:
        return []
    from ctrs.trial.real.backgrounds import load_backgrounds  # brings an image library

    return load_backgrounds(folder)


def _see_real_chests(
    backgrounds: Sequence[Background], perceiver: Perceiver, device: torch.device, seed: int
) -> Iterator[SeenPair]:
    """Pairs of real chests with painted tumours: usual, too, where the first network knows them."""
    if not backgrounds:
        return
    from ctrs.trial.real.backgrounds import paint_background  # brings an image library

    rng = np.random.default_rng([seed, 11])
    low, high = PrepareConfig().window_hu

    def perceived(background: Background) -> Perceived:
        varied = background.varied(rng)
        hu, _ = paint_background(varied, rng)
        image = torch.from_numpy(np.clip((hu - low) / (high - low), 0, 1).astype(np.float32))
        lungs = torch.from_numpy(varied.lungs.astype(np.float32))
        return perceive(perceiver, image[None, None], lungs[None, None], device)

    for index in range(REAL_PAIRS):
        chosen = backgrounds[index % len(backgrounds)]
        with torch.inference_mode():
            yield see_pair(perceived(chosen), perceived(chosen), VOXEL_ML)


def _rescans(
    trial: Path,
    table: pd.DataFrame,
    cases: Cases,
    perceiver: Perceiver,
    device: torch.device,
    checkpoints: Path,
    progress: Progress,
) -> tuple[Cases, Cases] | None:
    """Patients scanned twice over at both visits: as they are in the trial, and again."""
    twice = table.index.isin(scanned(trial, RESCANS))
    if not twice.any():
        return None
    again = see_trial(
        trial, table[twice], perceiver, device, checkpoints / "seen_again.npz", progress, RESCANS
    )
    return cases[torch.from_numpy(np.flatnonzero(twice))], as_cases(table[twice], again.inputs)


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
    kept: Path,
    progress: Progress,
    scans: str = PREPARED,
) -> SeenPair:
    """Run the first network over all pairs of the table, once: pairs in ``kept`` are not seen anew.

    Args:
        scans: Name of the trial's folder with the prepared scans.
    """
    weights = _fingerprint(perceiver)
    known = _read_seen(kept, weights)
    left = [patient for patient in table.index if patient not in known]
    require_prepared(trial, left, scans)
    for index, patient in enumerate(left, start=1):
        known[patient] = _see_pair(trial, patient, perceiver, device, scans)
        if index % SAVE_EVERY == 0 or index == len(left):
            progress(f"see {index}/{len(left)}")
            _write_seen(kept, weights, known)
    return SeenPair(
        *(torch.cat(part) for part in zip(*(known[p] for p in table.index), strict=True))
    )


def _read_seen(file: Path, weights: str) -> dict[str, SeenPair]:
    if not file.exists():
        return {}
    with np.load(file, allow_pickle=False) as arrays:
        if str(arrays["weights"]) != weights:
            return {}
        parts = [torch.from_numpy(arrays[name]).split(1) for name in SeenPair._fields]
        return dict(zip(map(str, arrays["patients"]), map(SeenPair, *parts), strict=True))


def _write_seen(file: Path, weights: str, seen: dict[str, SeenPair]) -> None:
    together = zip(SeenPair._fields, zip(*seen.values(), strict=True), strict=True)
    arrays = {name: torch.cat(part).numpy() for name, part in together}
    partly = file.with_suffix(".part.npz")
    np.savez(partly, patients=list(seen), weights=weights, allow_pickle=False, **arrays)
    partly.replace(file)


def _fingerprint(net: Perceiver) -> str:
    """Of the network and of the way its maps are measured."""
    weights = [t.detach().cpu().numpy().tobytes() for t in net.state_dict().values()]
    return _short(b"".join([f"{MEASURING} {INPUTS}".encode(), *weights]))


@torch.inference_mode()
def _see_pair(
    trial: Path, patient: str, perceiver: Perceiver, device: torch.device, scans: str
) -> SeenPair:
    arrays = load_prepared(trial, patient, "image", "lungs", scans=scans)

    def perceived(visit: int) -> Perceived:
        image = torch.from_numpy(arrays["image"][visit].astype(np.float32) / 255)[None, None]
        lungs = torch.from_numpy(arrays["lungs"][visit].astype(np.float32))[None, None]
        return perceive(perceiver, image, lungs, device)

    return see_pair(perceived(0), perceived(1), VOXEL_ML)


def as_cases(table: pd.DataFrame, inputs: Tensor) -> Cases:
    """The rows of a trial as cases; the truth only where the trial is simulated."""

    def column(name: str) -> Tensor:
        return torch.tensor(table[name].to_numpy(np.float32))

    true = [f"true_survival_{months:.0f}m_scan" for months in EDGES_MONTHS]
    known = all(name in table for name in true)
    return Cases(
        inputs,
        days=column("interval_days"),
        months=column("months"),
        event=column("event"),
        truth=torch.stack([column(name) for name in true], dim=1) if known else None,
    )


# --- Figures ------------------------------------------------------------------------------------


def _draw_volumes(table: pd.DataFrame, seen: SeenPair, file: Path) -> None:
    true = [f"true_tumour_ml_{visit}" for visit in ("baseline", "follow_up")]
    if all(name in table for name in true):
        measured = seen.measures[:, :, MEASURES.index("tumour_ml")].numpy().ravel()
        both = np.log10(measured + 0.1), np.log10(table[true].to_numpy(float).ravel() + 0.1)
        draw_against_truth(*both, "tumour volume, log10 of ml + 0.1", file)


def _draw_survival(cases: Cases, foresight: Foresight, file: Path) -> None:
    if cases.truth is not None:
        curves = calibrate(mean_curve(foresight.members, cases), foresight.calibration)
        predicted, true = (c[:, TWELVE].numpy() for c in (curves, cases.truth))
        draw_against_truth(predicted, true, "12-month survival of the training patients", file)


# --- Weights ------------------------------------------------------------------------------------


def _write(
    out: Path,
    perceiver: Perceiver,
    foresight: Foresight,
    table: pd.DataFrame,
    command: str,
    seed: int,
) -> Card:
    members = {
        f"{k}.{name}": t for k, net in enumerate(foresight.members) for name, t in _state(net)
    }
    tensors = {
        PERCEIVER: {name: t.to(STORED) for name, t in _state(perceiver)},
        FORESEERS: members,
        USUAL: dict(_state(foresight.usual)),
    }
    for name, content in tensors.items():
        save_file(content, out / name)
    checksums = {name: checksum(out / name) for name in tensors}
    card = Card(
        version=f"{date.today():%Y%m%d}-{_short(''.join(checksums.values()).encode())}",
        trained_on=f"{len(table)} patients of the trial in patients.csv",
        sites=sorted(set(table["site"])) if "site" in table else [],
        command=command,
        seed=seed,
        commit=_commit(),
        members=len(foresight.members),
        cut_off=foresight.cut_off,
        typical_survival=foresight.typical_survival,
        calibration=foresight.calibration,
        interval_parts=foresight.interval_parts,
        ood_distances=foresight.ood_distances,
        prepare_version=PrepareConfig().version,
        checksums=checksums,
    )
    write_card(out, card)
    return card


def _as_stored(perceiver: Perceiver) -> Perceiver:
    """The first network with the weights that its file will hold, in place."""
    with torch.no_grad():
        for weights in perceiver.parameters():
            weights.copy_(weights.to(STORED))
    return perceiver


def _state(net: nn.Module) -> list[tuple[str, Tensor]]:
    return [(name, t.detach().cpu().contiguous()) for name, t in net.state_dict().items()]


def _short(content: bytes) -> str:
    return sha256(content).hexdigest()[:8]


def _commit() -> str:
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return found.stdout.strip() or "unknown"


# --- What the trained model says of a whole trial -----------------------------------------------


def predict_trial(
    trial: Path, table: pd.DataFrame, ensemble: Ensemble, *, kept: Path, progress: Progress
) -> list[Prediction]:
    """Predict for every row of a trial's table, straight from its prepared scans.

    Args:
        kept: File that keeps what the first network saw; made anew for other weights.
    """
    device = torch.device(ensemble.device)
    seen = see_trial(trial, table, ensemble.perceiver, device, kept, progress)
    return predict_rows(ensemble, table, seen)


def predict_rows(ensemble: Ensemble, table: pd.DataFrame, seen: SeenPair) -> list[Prediction]:
    """One prediction a row, from what `see_trial` returned for these rows."""
    return [
        ensemble.foresee(seen.of(slice(i, i + 1)), days)
        for i, days in enumerate(table["interval_days"])
    ]
