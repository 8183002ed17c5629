"""Training the part of the first network that reads the liver."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ctrs.model.map_loss import VOXEL_ML, map_loss
from ctrs.model.network import LiverReader, place
from ctrs.model.perceive import mean_around, with_noise
from ctrs.model.training import Training
from ctrs.trial.prepared import LIVERS, Bytes, load_prepared
from ctrs.types import Floats

TUMOUR = "liver_tumour"
SMALL_ML, SMALL_SHOWN_MORE = 8.0, 2.0  # those are overlooked
WITHOUT = 0.6  # how often a liver without tumour is shown, beside one with a large tumour
USUAL_VOXELS = 100.0  # of tumour at half the resolution, 22 ml
MOVED = (4, 6, 6)  # voxels, at most, (z, y, x)
CUT_BELOW = 12  # slices, at most: the model's grid often ends there
MORE = 4.0  # how much more a voxel of tumour counts


@dataclass(frozen=True, kw_only=True)
class ReadLiverConfig:
    """How the liver's reader is trained, a few livers a step."""

    steps: int = 1400
    batch: int = 8
    learning_rate: float = 2e-3  # at its highest, from warm-up to zero
    save_every: int = 100


class Livers(NamedTuple):
    """Boxes around livers, as `ctrs.trial.bank` writes them.

    Attributes:
        images, tumours: (z, y, x) each, bytes.
        weights: How often each is shown, adding up to 1.
    """

    images: list[Bytes]
    tumours: list[Bytes]
    weights: Floats


def gather_livers(trial: Path, patients: Sequence[str]) -> Livers:
    """All livers of a trial, both visits of each patient."""
    images, tumours = [], []
    for name in patients:
        arrays = load_prepared(trial, name, "image", TUMOUR, scans=LIVERS)
        images.append(arrays["image"])
        tumours.append(arrays[TUMOUR])
    ml = np.concatenate([both.sum(axis=(1, 2, 3)) for both in tumours]) / 255 * VOXEL_ML
    weights = np.where(ml > 0, np.where(ml < SMALL_ML, SMALL_SHOWN_MORE, 1.0), WITHOUT)
    return Livers([*chain(*images)], [*chain(*tumours)], weights / weights.sum())


def train_liver_reader(
    trial: Path,
    patients: Sequence[str],
    checkpoints: Path,
    device: torch.device,
    config: ReadLiverConfig,
    seed: int,
    progress: Callable[[str], None],
) -> LiverReader:
    """Train, or go on from the checkpoint; on one CPU the same seed gives the same network.

    Raises:
        InputRejected: The checkpoint is of another number of steps, or of another network.
    """
    torch.manual_seed(seed)
    net = LiverReader()
    place(net, device)
    training = Training("read_liver", checkpoints, net, config, progress)
    if not training.finished:
        livers = gather_livers(trial, patients)
        for step in range(len(training.losses), config.steps):
            rng = np.random.default_rng([seed, 41, step])
            training.learn(_loss(net, *_batch(livers, config.batch, rng, device)))
    return net.eval()


def _loss(net: LiverReader, image: Tensor, truth: Tensor) -> Tensor:
    """Truth is the share of a voxel that is tumour."""
    with torch.autocast(image.device.type, torch.bfloat16):
        logits = net(image).float()
    everywhere, usual = torch.ones_like(truth), torch.full((1,), USUAL_VOXELS)
    return map_loss(logits, truth, everywhere, usual, 1 + MORE * truth)


def _batch(
    livers: Livers, n: int, rng: np.random.Generator, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Images in [0, 1], and the truth at half their resolution."""
    chosen = rng.choice(len(livers.weights), n, p=livers.weights)
    both = [_varied(livers.images[k], livers.tumours[k], rng) for k in chosen]
    image, truth = (
        torch.from_numpy(np.stack(part)).to(device).float()[:, None] / 255
        for part in zip(*both, strict=True)
    )
    shown = torch.cat([_disturb(one, rng) for one in image.split(1)])
    return shown.contiguous(memory_format=torch.channels_last_3d), functional.avg_pool3d(truth, 2)


def _varied(image: Bytes, tumour: Bytes, rng: np.random.Generator) -> tuple[Bytes, Bytes]:
    """The same liver moved, its lower end cut off, mirrored."""
    size = [n - 2 * most for n, most in zip(image.shape, MOVED, strict=True)]
    corner = [int(rng.integers(2 * most + 1)) for most in MOVED]
    box = tuple(slice(c, c + n) for c, n in zip(corner, size, strict=True))
    way = -1 if rng.random() < 0.5 else 1
    image, tumour = image[box][:, :, ::way].copy(), tumour[box][:, :, ::way].copy()
    cut = int(rng.integers(CUT_BELOW + 1)) if rng.random() < 0.5 else 0
    image[:cut], tumour[:cut] = 0, 0
    return image, tumour


def _disturb(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Thick slices, noise, contrast, offset: what another scanner would have made of it."""
    if rng.random() < 0.3:
        image = mean_around(image, (3, 1, 1))
    image = with_noise(image, float(rng.uniform(0, 0.0085)), rng)  # 12 HU
    around = (image - 0.757) * float(rng.uniform(0.92, 1.08)) + 0.757  # 60 HU
    return (around + float(rng.normal(0, 0.0043))).clamp(0, 1)
