"""Training the first network: what is where in a scan."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from monai.losses.dice import DiceLoss
from torch import Tensor
from torch.nn import functional

from ctrs.config import PrepareConfig
from ctrs.model.figures import draw_loss
from ctrs.model.measure import HU_HIGH, HU_LOW
from ctrs.model.network import Perceiver, place
from ctrs.trial.prepared import Bytes, load_prepared
from ctrs.types import KINDS, STRUCTURES, Array, Floats

if TYPE_CHECKING:
    from ctrs.trial.real.backgrounds import Background

# What a structure usually has where there is one, ml. The cross-entropy of its map is counted in
# this much, so that all maps weigh about the same. The same for every scan: a share of what is in
# the scan would punish a wrong voxel most where there is nothing, and teach to see too little.
USUAL_ML = {"tumour": 100.0, "effusion": 250.0, "halo": 15.0, "fibrosis": 1000.0, "muscle": 3000.0}
HARD_TO_SEE = 3.0  # how much more a voxel of tumour in liver or bone counts
HARD = ("liver_tumour", "bone_tumour")
# How much more often scans with these are shown. A third of the patients have some of them.
SHOWN_MORE = {
    "effusion": 1.5, "liver_tumour": 3.0, "bone_tumour": 3.0, "halo": 8.0, "fibrosis": 2.0,
}  # fmt: skip
LARGE_ML, LARGE_SHOWN_MORE = 300.0, 4.0  # few tumours fill half a chest: they weigh in litres
IS_KIND = torch.tensor([name in KINDS for name in STRUCTURES[1:]])
IS_HARD = torch.tensor([name in HARD for name in STRUCTURES[1:]])
OTHERS = [name for name in STRUCTURES[1:] if name not in KINDS]
VOXEL_ML = float(np.prod(PrepareConfig().spacing_mm)) / 1000
RESIZED = (0.86, 1.14)  # along each axis on its own; real chests are varied as much
STEP = 8  # voxels: the network halves a scan three times
AHEAD = 4  # samples being made while the network learns from another


@dataclass(frozen=True, kw_only=True)
class PerceiveConfig:
    """How the first network is trained, a whole scan a step."""

    steps: int = 7000
    learning_rate: float = 8e-4  # at its highest, from warm-up to zero
    background_share: float = 0.3  # of the scans, where there are real backgrounds
    thick_share: float = 0.25  # of the scans that are shown as if their slices were thick
    crop_share: float = 0.15  # of the scans of which only a part is shown
    mirrored_share: float = 0.5  # of the simulated scans
    resized_share: float = 0.5  # of the simulated scans that are shown larger or smaller
    save_every: int = 50


# From a network that knows tumours already to new anatomy or scanners: a fifth of the way.
CONTINUED = PerceiveConfig(steps=1200, learning_rate=4e-4)


@dataclass(frozen=True)
class Material:
    """What samples are drawn from.

    Attributes:
        scans: Patient and visit.
        weights: How often each is drawn, adding up to 1.
    """

    trial: Path
    scans: list[tuple[str, int]]
    weights: Floats
    backgrounds: Sequence[Background]


class Sample(NamedTuple):
    """One scan with its truth.

    Attributes:
        image: (1, 1, Z, Y, X) in [0, 1].
        fine: (1, 1, Z, Y, X), share of tumour.
        learn: (1, 1, Z, Y, X), 1 where anything may be learnt.
        coarse, learn_coarse: (1, S - 1, Z/2, …), the same of the other structures.
    """

    image: Tensor
    fine: Tensor
    learn: Tensor
    coarse: Tensor
    learn_coarse: Tensor


def train_perceiver(
    trial: Path,
    patients: list[str],
    backgrounds: Sequence[Background],
    checkpoints: Path,
    device: torch.device,
    config: PerceiveConfig,
    seed: int,
    progress: Callable[[str], None],
    start: Perceiver | None = None,
) -> Perceiver:
    """Train, or go on from the checkpoint in ``checkpoints``; the same seed, the same network.

    Args:
        start: Where to begin; by default with random weights.
    """
    torch.manual_seed(seed)
    net = Perceiver()
    if start is not None:
        net.load_state_dict(start.state_dict())
    place(net, device)
    optimiser = torch.optim.AdamW(net.parameters(), config.learning_rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.learning_rate, total_steps=config.steps + 1, pct_start=0.1
    )
    checkpoint = checkpoints / "perceive.pt"
    losses = _resume(checkpoint, net, optimiser, schedule)
    if len(losses) >= config.steps:
        return net.eval()
    material = gather(trial, patients, backgrounds)
    for step, sample in _samples(material, config, seed, len(losses)):
        losses.append(_step(net, optimiser, Sample(*(part.to(device) for part in sample))))
        schedule.step()
        if (step + 1) % config.save_every == 0 or step + 1 == config.steps:
            lately = float(np.mean(losses[-100:]))
            progress(f"perceive {step + 1}/{config.steps}: loss {lately:.3f}")
            _save(checkpoint, losses, net, optimiser, schedule)
    draw_loss(losses, checkpoints / "perceive.png")
    return net.eval()


def _samples(
    material: Material, config: PerceiveConfig, seed: int, first: int
) -> Iterator[tuple[int, Sample]]:
    """The samples of all steps from ``first`` on; those of the next steps are made meanwhile."""

    def made(step: int) -> Sample:
        return _sample(material, config, np.random.default_rng([seed, step]))

    with ThreadPoolExecutor(AHEAD) as pool:
        ahead: deque[Future[Sample]] = deque()
        for step in range(first, config.steps):
            while len(ahead) < AHEAD and step + len(ahead) < config.steps:
                ahead.append(pool.submit(made, step + len(ahead)))
            yield step, ahead.popleft().result()


def _step(net: Perceiver, optimiser: torch.optim.Optimizer, sample: Sample) -> float:
    with torch.autocast(sample.image.device.type, torch.bfloat16):
        seen = net(sample.image.contiguous(memory_format=torch.channels_last_3d))
    loss = perceive_loss(seen.fine.float(), seen.coarse.float(), sample)
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0, error_if_nonfinite=True)
    optimiser.step()
    return float(loss.detach())


def perceive_loss(fine: Tensor, coarse: Tensor, sample: Sample) -> Tensor:
    """How wrong the maps of one scan are; see `ctrs.model.network.Perception` for the logits."""
    truth, learn = sample.coarse, sample.learn_coarse
    tumour = functional.avg_pool3d(sample.fine * sample.learn, 2)
    hard = functional.interpolate(truth[:, IS_HARD].amax(1, keepdim=True), size=fine.shape[2:])
    weight = 1 + HARD_TO_SEE * hard * sample.fine
    return (
        map_loss(fine, sample.fine, sample.learn, _usual_voxels(["tumour"], 1), weight)
        + map_loss(
            coarse[:, ~IS_KIND], truth[:, ~IS_KIND], learn[:, ~IS_KIND], _usual_voxels(OTHERS, 8)
        )
        + kind_loss(coarse[:, IS_KIND], truth[:, IS_KIND], learn[:, IS_KIND] * tumour)
    )


def _usual_voxels(names: Sequence[str], fine: int) -> Tensor:
    """`USUAL_ML` in voxels of so many fine ones."""
    return torch.tensor([USUAL_ML[name] for name in names]) / (VOXEL_ML * fine)


def map_loss(
    logits: Tensor, truth: Tensor, learn: Tensor, usual: Tensor, weight: Tensor | float = 1.0
) -> Tensor:
    """How wrong maps are, by Dice and cross-entropy: (1, S, …) each.

    Each map is a question of its own. Where nothing may be learnt the answer is fixed at "surely
    nothing", and so is the truth. Dice alone looks at the largest structure of a scan and gives no
    gradient to a map that has once become empty. Where a structure is absent there is no Dice: most
    structures are in few scans, and a push towards nothing in all the others would teach just that.

    Args:
        usual: (S,) voxels in which the cross-entropy is counted.
        weight: Of each voxel in the cross-entropy.
    """
    answer, truth = logits * learn - 12.0 * (1 - learn), truth * learn
    entropy = functional.binary_cross_entropy_with_logits(answer, truth, reduction="none")
    loss = ((weight * entropy).sum(dim=(0, 2, 3, 4)) / usual.to(logits.device)).mean()
    present = truth.amax(dim=(0, 2, 3, 4)) > 0
    if present.any():
        dice = DiceLoss(sigmoid=True, smooth_nr=1.0, smooth_dr=1.0)
        loss = loss + dice(answer[:, present], truth[:, present])
    return loss


def kind_loss(logits: Tensor, truth: Tensor, tumour: Tensor) -> Tensor:
    """How wrong the kinds of tumour are, asked only where there is tumour: (1, K, …) each.

    Args:
        truth: Share of a voxel that is tumour of this kind.
        tumour: Share that is tumour; 0 where the kind is not known.
    """
    kind = (truth / tumour.clamp_min(0.05)).clamp(0, 1)
    entropy = functional.binary_cross_entropy_with_logits(logits, kind, reduction="none")
    usual = float(_usual_voxels(["tumour"], 8)) * logits.shape[1]
    return (entropy * tumour).sum() / usual


def _save(
    checkpoint: Path,
    losses: list[float],
    net: Perceiver,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> None:
    state = {
        "losses": losses,
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
) -> list[float]:
    """The losses of the steps that are done."""
    if not checkpoint.exists():
        return []
    state = torch.load(checkpoint, weights_only=True)
    net.load_state_dict(state["net"])
    optimiser.load_state_dict(state["optimiser"])
    schedule.load_state_dict(state["schedule"])
    return list(state["losses"])


# --- Samples --------------------------------------------------------------------------------


def gather(trial: Path, patients: list[str], backgrounds: Sequence[Background]) -> Material:
    """All scans of the patients, those with something rare drawn more often."""
    scans, weights = [], []
    for patient in patients:
        found = load_prepared(trial, patient, "tumour", *SHOWN_MORE)
        for visit in (0, 1):
            scans.append((patient, visit))
            ml = {name: maps[visit].sum() / 255 * VOXEL_ML for name, maps in found.items()}
            reasons = [more for name, more in SHOWN_MORE.items() if ml.get(name, 0) > 0]
            if ml["tumour"] > LARGE_ML:
                reasons.append(LARGE_SHOWN_MORE)
            weights.append(max(reasons, default=1.0))
    shares = np.array(weights) / max(sum(weights), 1.0)
    return Material(trial, scans, shares, backgrounds)


def _sample(material: Material, config: PerceiveConfig, rng: np.random.Generator) -> Sample:
    if material.backgrounds and rng.random() < config.background_share:
        chosen = material.backgrounds[int(rng.integers(len(material.backgrounds)))]
        image, structures, learn = _on_background(chosen, rng)
    else:
        patient, visit = material.scans[int(rng.choice(len(material.scans), p=material.weights))]
        shown = _simulated(load_prepared(material.trial, patient), visit)
        image, structures, learn = _varied(*shown, config, rng)
    if rng.random() < config.crop_share:
        image, structures = _cropped(image, structures, rng)
    coarse = [_halved(structures[n]) if n in structures else None for n in STRUCTURES[1:]]
    where = _halved(learn)
    nothing = np.zeros_like(where)
    parts = (
        structures["tumour"][None],
        learn[None],
        np.stack([nothing if share is None else share for share in coarse]),
        np.stack([nothing if share is None else where for share in coarse]),
    )
    disturbed = _disturb(torch.from_numpy(image)[None], config, rng)
    return Sample(disturbed[None], *(torch.from_numpy(part)[None] for part in parts))


Structures = dict[str, Array]


def _simulated(arrays: dict[str, Bytes], visit: int) -> tuple[Array, Structures, Array]:
    image = arrays["image"][visit] / np.float32(255)
    learn = np.ones_like(image)
    if "ignore" in arrays:  # rendered into a real chest that has tumours of its own
        learn -= arrays["ignore"][visit]
    known = {name: arrays[name][visit] / np.float32(255) for name in STRUCTURES if name in arrays}
    return image, known, learn


def _varied(
    image: Array,
    structures: Structures,
    learn: Array,
    config: PerceiveConfig,
    rng: np.random.Generator,
) -> tuple[Array, Structures, Array]:
    """The same patient mirrored, larger or smaller: else the few with rare findings are learnt by
    heart. Arrays (Z, Y, X); the sizes stay multiples of `STEP`.
    """
    mirrored = rng.random() < config.mirrored_share
    scale = rng.uniform(*RESIZED, 3) if rng.random() < config.resized_share else np.ones(3)
    size = tuple(STEP * round(n * by / STEP) for n, by in zip(image.shape, scale, strict=True))

    def varied(values: Array) -> Array:
        if not values.any():  # most structures are in few scans
            return np.zeros(size, np.float32)
        shown = torch.from_numpy(values)[None, None]
        if mirrored:
            shown = shown.flip(-1)
        if size != values.shape:
            shown = functional.interpolate(shown, size, mode="trilinear")
        return np.ascontiguousarray(shown[0, 0].numpy())

    shares = {name: varied(share) for name, share in structures.items()}
    return varied(image), shares, varied(learn)


def _on_background(
    background: Background, rng: np.random.Generator
) -> tuple[Array, Structures, Array]:
    from ctrs.trial.real.backgrounds import paint_background

    varied = background.varied(rng)
    hu, structures = paint_background(varied, rng)
    image = np.clip((hu - HU_LOW) / (HU_HIGH - HU_LOW), 0, 1).astype(np.float32)
    return image, structures, 1 - varied.ignore.astype(np.float32)


def _cropped(
    image: Array, structures: Structures, rng: np.random.Generator
) -> tuple[Array, Structures]:
    """A part of the chest with air around: what is tumour shall not depend on all the rest."""
    box = tuple(_stretch(n, rng) if rng.random() < 0.7 else slice(None) for n in image.shape)

    def within(values: Array) -> Array:
        kept = np.zeros_like(values)
        kept[box] = values[box]
        return kept

    return within(image), {name: within(share) for name, share in structures.items()}


def _stretch(n: int, rng: np.random.Generator) -> slice:
    """Four to nine tenths of an axis, anywhere."""
    length = round(n * float(rng.uniform(0.4, 0.9)))
    start = int(rng.integers(n - length + 1))
    return slice(start, start + length)


def _halved(share: Array) -> Array:
    """Means of blocks of 2 x 2 x 2 voxels."""
    z, y, x = (n // 2 for n in share.shape)
    if not share.any():  # most structures are in few scans
        return np.zeros((z, y, x), np.float32)
    return np.asarray(share.reshape(z, 2, y, 2, x, 2).mean(axis=(1, 3, 5)), np.float32)


def _disturb(image: Tensor, config: PerceiveConfig, rng: np.random.Generator) -> Tensor:
    """Thick slices, blur, noise, contrast, offset: what another scanner would have made of it."""
    if rng.random() < config.thick_share:
        kernel = (int(rng.choice([3, 5])), 1, 1)
        image = functional.avg_pool3d(image, kernel, 1, (kernel[0] // 2, 0, 0))
    if rng.random() < 0.4:
        soft = functional.avg_pool3d(image, 3, stride=1, padding=1)
        image = image + float(rng.uniform(0, 0.8)) * (soft - image)
    grain = torch.from_numpy(rng.standard_normal(image.shape, dtype=np.float32))
    image = image + float(rng.uniform(0, 0.025)) * grain
    image = (image - 0.7) * float(rng.uniform(0.94, 1.06)) + 0.7 + float(rng.normal(0, 0.008))
    return image.clamp(0, 1)
