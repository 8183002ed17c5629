"""Training the first network: where is tumour, where is fluid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from monai.losses.dice import DiceLoss
from torch import Tensor
from torch.nn import functional

from ctrs.model.network import HU_HIGH, HU_LOW, Perceiver, place
from ctrs.trial.bank import load_prepared
from ctrs.trial.real.backgrounds import Background, paint_background
from ctrs.types import Array

ENTROPY_WEIGHT = 5.0  # brings both terms to the same size
CROP = (72, 72, 88)  # voxels, (z, y, x); multiples of 8


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A part of the training with its own learning rate, from warm-up to zero."""

    name: str  # of its checkpoint
    steps: int
    learning_rate: float
    fluid_share: float  # of samples taken around pleural fluid


@dataclass(frozen=True, kw_only=True)
class PerceiveConfig:
    """How the first network is trained.

    Fluid is in one patient of five and far from most tumours, so it has a phase of its own in
    which it is looked for on purpose.
    """

    phases: tuple[Phase, ...] = (
        Phase(name="tumour", steps=2200, learning_rate=2e-3, fluid_share=0.0),
        Phase(name="fluid", steps=450, learning_rate=1e-3, fluid_share=0.4),
    )
    batch: int = 2
    background_share: float = 0.4  # of the other samples, where there are real backgrounds
    save_every: int = 50


# From a network that knows tumours already to new anatomy or scanners: a fifth of the way.
CONTINUED = PerceiveConfig(
    phases=(
        Phase(name="tumour", steps=400, learning_rate=1e-3, fluid_share=0.15),
        Phase(name="fluid", steps=100, learning_rate=5e-4, fluid_share=0.4),
    )
)


@dataclass(frozen=True)
class Material:
    """What samples are drawn from.

    Attributes:
        fluid: Scans with pleural fluid: patient and visit.
    """

    trial: Path
    patients: list[str]
    fluid: list[tuple[str, int]]
    backgrounds: list[Background]


class Sample(NamedTuple):
    """(1, Z, Y, X) image in [0, 1]; (2, …) shares of tumour and fluid; (1, …) where to learn."""

    image: Tensor
    truth: Tensor
    learn: Tensor


def train_perceiver(
    trial: Path,
    patients: list[str],
    backgrounds: list[Background],
    checkpoints: Path,
    device: torch.device,
    config: PerceiveConfig,
    seed: int,
    progress: Callable[[str], None],
    start: Perceiver | None = None,
) -> Perceiver:
    """Train phase by phase, or go on from the ``checkpoints``; the same seed, the same network.

    Args:
        start: Where to begin; by default with random weights.
    """
    torch.manual_seed(seed)
    net = Perceiver()
    if start is not None:
        net.load_state_dict(start.state_dict())
    place(net, device)
    material = Material(trial, patients, _with_fluid(trial, patients), backgrounds)
    for phase in config.phases:
        _train_phase(net, phase, material, checkpoints, device, config, seed, progress)
    return net.eval()


def _train_phase(
    net: Perceiver,
    phase: Phase,
    material: Material,
    checkpoints: Path,
    device: torch.device,
    config: PerceiveConfig,
    seed: int,
    progress: Callable[[str], None],
) -> None:
    optimiser = torch.optim.AdamW(net.parameters(), phase.learning_rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, phase.learning_rate, total_steps=phase.steps + 1, pct_start=0.1
    )
    dice = DiceLoss(sigmoid=True, smooth_nr=1.0, smooth_dr=1.0, batch=True)
    checkpoint = checkpoints / f"{phase.name}.pt"
    start = _resume(checkpoint, net, optimiser, schedule)
    running = 0.0
    for step in range(start, phase.steps):
        batch = _batch(material, phase, config, seed, step)
        loss = _step(net, optimiser, dice, Sample(*(t.to(device) for t in batch)))
        schedule.step()
        running = 0.98 * running + 0.02 * loss if step > start else loss
        if (step + 1) % config.save_every == 0 or step + 1 == phase.steps:
            progress(f"{phase.name} {step + 1}/{phase.steps}: loss {running:.3f}")
            _save(checkpoint, step + 1, net, optimiser, schedule)


def _step(net: Perceiver, optimiser: torch.optim.Optimizer, dice: DiceLoss, batch: Sample) -> float:
    with torch.autocast(batch.image.device.type, torch.bfloat16):
        logits = net(batch.image.contiguous(memory_format=torch.channels_last_3d)).logits
    # Where nothing may be learnt the answer is fixed at "surely nothing", and so is the truth.
    learn = batch.learn
    answer, truth = logits.float() * learn - 12.0 * (1 - learn), batch.truth * learn
    # Each map is a question of its own. (MONAI's DiceCELoss sets them against each other, and a
    # map that has once become empty gets no gradient from Dice: so cross-entropy beside it.)
    entropy = functional.binary_cross_entropy_with_logits(answer, truth)
    loss: Tensor = dice(answer, truth) + ENTROPY_WEIGHT * entropy
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimiser.step()
    return float(loss.detach())


def _save(
    checkpoint: Path,
    step: int,
    net: Perceiver,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> None:
    state = {
        "step": step,
        "net": net.state_dict(),
        "optimiser": optimiser.state_dict(),
        "schedule": schedule.state_dict(),
    }
    torch.save(state, checkpoint.with_suffix(".part"))
    checkpoint.with_suffix(".part").replace(checkpoint)


def _resume(
    checkpoint: Path,
    net: Perceiver,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> int:
    if not checkpoint.exists():
        return 0
    state = torch.load(checkpoint, weights_only=True)
    net.load_state_dict(state["net"])
    optimiser.load_state_dict(state["optimiser"])
    schedule.load_state_dict(state["schedule"])
    return int(state["step"])


# --- Samples --------------------------------------------------------------------------------


def _with_fluid(trial: Path, patients: list[str]) -> list[tuple[str, int]]:
    """Scans with at least 50 ml of pleural fluid."""
    voxels = 50 / 0.027 * 255
    return [
        (patient, visit)
        for patient in patients
        for visit, fluid in enumerate(load_prepared(trial, patient, "effusion")["effusion"])
        if fluid.sum(dtype=np.int64) > voxels
    ]


def _batch(
    material: Material, phase: Phase, config: PerceiveConfig, seed: int, step: int
) -> Sample:
    rng = np.random.default_rng([seed, step])
    samples = [_sample(material, phase, config, rng) for _ in range(config.batch)]
    images, truths, learns = zip(*samples, strict=True)
    return Sample(torch.stack(images), torch.stack(truths), torch.stack(learns))


def _sample(
    material: Material, phase: Phase, config: PerceiveConfig, rng: np.random.Generator
) -> Sample:
    around = 0  # the map around which the crop lies: tumour
    if material.fluid and phase.fluid_share and rng.random() < phase.fluid_share:
        patient, visit = material.fluid[int(rng.integers(len(material.fluid)))]
        whole, around = _simulated(material.trial, patient, visit), 1
    elif material.backgrounds and rng.random() < config.background_share:
        chosen = material.backgrounds[int(rng.integers(len(material.backgrounds)))]
        whole = _on_background(chosen, rng)
    else:
        patient = material.patients[int(rng.integers(len(material.patients)))]
        whole = _simulated(material.trial, patient, int(rng.integers(2)))
    z, y, x = _crop(whole.truth[around].numpy(), rng)
    image, truth, learn = (part[:, z, y, x] for part in whole)
    if rng.random() < 0.5:
        image, truth, learn = (part.flip(-1) for part in (image, truth, learn))
    return Sample(_disturb(image, rng), truth, learn)


def _on_background(background: Background, rng: np.random.Generator) -> Sample:
    hu, tumour = paint_background(background, rng)
    image = np.clip((hu - HU_LOW) / (HU_HIGH - HU_LOW), 0, 1)
    truth = np.stack([tumour, np.zeros_like(tumour)])
    parts = (image[None], truth, ~background.ignore[None])
    return Sample(*(torch.from_numpy(part.astype(np.float32)) for part in parts))


def _simulated(trial: Path, patient: str, visit: int) -> Sample:
    arrays = load_prepared(trial, patient)
    image = torch.from_numpy(arrays["image"][visit].astype(np.float32) / 255)[None]
    maps = np.stack([arrays[name][visit] for name in ("tumour", "effusion")])
    learn = torch.ones_like(image)
    if "ignore" in arrays:  # rendered into a real chest that has tumours of its own
        learn -= torch.from_numpy(arrays["ignore"][visit].astype(np.float32))[None]
    return Sample(image, torch.from_numpy(maps.astype(np.float32) / 255), learn)


def _crop(truth: Array, rng: np.random.Generator) -> list[slice]:
    """A box of `CROP`, in two of three cases around some voxel of tumour or fluid."""
    shape = truth.shape
    voxels = np.argwhere(truth > 0.5)
    if len(voxels) and rng.random() < 0.67:
        centre = voxels[int(rng.integers(len(voxels)))] + rng.integers(-20, 21, 3)
    else:
        centre = rng.integers(0, shape)
    low = [int(np.clip(c - n // 2, 0, m - n)) for c, n, m in zip(centre, CROP, shape, strict=True)]
    return [slice(a, a + n) for a, n in zip(low, CROP, strict=True)]


def _disturb(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Noise, blur, offset, contrast: what another scanner would have made of it."""
    if rng.random() < 0.4:
        kernel = 3
        soft = functional.avg_pool3d(image[None], kernel, stride=1, padding=1)[0]
        image = image + float(rng.uniform(0, 0.8)) * (soft - image)
    grain = torch.from_numpy(rng.standard_normal(image.shape, dtype=np.float32))
    image = image + float(rng.uniform(0, 0.025)) * grain
    image = (image - 0.7) * float(rng.uniform(0.94, 1.06)) + 0.7 + float(rng.normal(0, 0.008))
    return image.clamp(0, 1)
