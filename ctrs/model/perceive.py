"""Training the first network: what is where in a scan."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.nn import functional

from ctrs.model.map_loss import VOXEL_ML, Sample, perceive_loss
from ctrs.model.network import Perceiver, place
from ctrs.model.training import Training
from ctrs.trial.prepared import WORKERS, load_prepared
from ctrs.types import STRUCTURES, Floats

# How much more often scans with these are shown. Two thirds of the patients have some of them.
SHOWN_MORE = {
    "effusion": 1.5, "liver_tumour": 3.0, "bone_tumour": 3.0, "halo": 5.0, "fibrosis": 2.0,
    "atelectasis": 1.5,
}  # fmt: skip
LARGE_ML, LARGE_SHOWN_MORE = 300.0, 4.0  # few tumours fill half a chest: they weigh in litres
# Survival goes with the change of volume in per cent, and that is misjudged where little is left to
# be found: of the squared error among 430 unseen patients 94 % lay in those with less than 20 ml
# at one of the visits.
SMALL_ML, SMALL_SHOWN_MORE = 20.0, 2.5
RESIZED = (0.86, 1.14)  # along each axis on its own; real chests are varied as much
TILTED_DEGREES = 6.0  # at most, about each axis
AHEAD = 2 * WORKERS  # scans being read while the network learns from others


@dataclass(frozen=True, kw_only=True)
class PerceiveConfig:
    """How the first network is trained, a few whole scans a step."""

    steps: int = 4000
    batch: int = 4  # scans
    learning_rate: float = 1e-3  # at its highest, from warm-up to zero
    background_share: float = 0.3  # of the scans, where there are real backgrounds
    painted: int = 1200  # real chests with tumours painted into them
    thick_share: float = 0.25  # of the scans that are shown as if their slices were thick
    crop_share: float = 0.15  # of the scans of which only a part is shown
    mirrored_share: float = 0.5
    resized_share: float = 0.7  # of the scans that are shown larger or smaller, and tilted
    save_every: int = 50


# From a network that knows tumours already to new anatomy or scanners: a quarter of the way.
CONTINUED = PerceiveConfig(steps=1000, learning_rate=4e-4)


class Scan(NamedTuple):
    """One visit of a patient with prepared scans; see `ctrs.trial.bank`."""

    folder: Path
    scans: str
    patient: str
    visit: int


@dataclass(frozen=True)
class Material:
    """What samples are drawn from; ``weights`` say how often each, adding up to 1."""

    scans: list[Scan]
    weights: Floats


class Drawn(NamedTuple):
    """A scan as it lies on disk.

    Attributes:
        values: (C, Z, Y, X), bytes: the image, and what there is in the scan.
        names: Of the C arrays.
        known: Which of the other `STRUCTURES` than tumour are known, those that are absent too.
    """

    values: Tensor
    names: tuple[str, ...]
    known: tuple[bool, ...]


def train_perceiver(
    gathered: Callable[[], Material],
    checkpoints: Path,
    device: torch.device,
    config: PerceiveConfig,
    seed: int,
    progress: Callable[[str], None],
    start: Perceiver | None = None,
) -> Perceiver:
    """Train, or go on from the checkpoint in ``checkpoints``; on one CPU the same seed gives the
    same network.

    Args:
        gathered: What to learn from; not asked for where all steps are done.
        start: Where to begin; by default with random weights.

    Raises:
        InputRejected: The checkpoint is of another number of steps, or of another network.
    """
    torch.manual_seed(seed)
    net = Perceiver(reads_liver=start is not None and start.liver is not None)
    if start is not None:
        net.load_state_dict(start.state_dict())
    place(net, device)
    training = Training("perceive", checkpoints, net, config, progress)
    if not training.finished:
        done = len(training.losses)
        for sample in _samples(gathered(), config, seed, done, device):
            training.learn(_loss(net, sample))
    return net.eval()


def _samples(
    material: Material, config: PerceiveConfig, seed: int, done: int, device: torch.device
) -> Iterator[Sample]:
    """The samples of all steps that are left; scans of the next are read meanwhile."""
    numbers = range(done * config.batch, config.steps * config.batch)

    def read(number: int) -> tuple[Drawn, np.random.Generator]:
        rng = np.random.default_rng([seed, number])
        return draw(material, rng), rng

    def made(drawn: Drawn, rng: np.random.Generator) -> Sample:
        return as_sample(drawn._replace(values=drawn.values.to(device)), config, rng)

    with ThreadPoolExecutor(WORKERS) as pool:
        ahead = deque(pool.submit(read, number) for number in numbers[:AHEAD])
        batch: list[Sample] = []
        for number in numbers:
            batch.append(made(*ahead.popleft().result()))
            if number + AHEAD < numbers.stop:
                ahead.append(pool.submit(read, number + AHEAD))
            if len(batch) == config.batch:
                yield Sample(*(torch.cat(parts) for parts in zip(*batch, strict=True)))
                batch.clear()


def _loss(net: Perceiver, sample: Sample) -> Tensor:
    with torch.autocast(sample.image.device.type, torch.bfloat16):
        seen = net(sample.image.contiguous(memory_format=torch.channels_last_3d))
    return perceive_loss(seen.fine.float(), seen.coarse.float(), sample)


# --- Samples --------------------------------------------------------------------------------


def gather(folders: Sequence[tuple[Path, str, Sequence[str]]]) -> Material:
    """All scans of some patients, those with something rare drawn more often.

    Args:
        folders: Trial, its folder of scans, and the patients, by name.
    """
    patients = [(folder, scans, name) for folder, scans, names in folders for name in names]
    with ThreadPoolExecutor(WORKERS) as pool:  # reading is most of it
        each = list(pool.map(_weights, patients))
    scans = [Scan(*who, visit) for who, found in zip(patients, each, strict=True)
             for visit in range(len(found))]  # fmt: skip
    weights = np.concatenate(each) if each else np.zeros(0)
    return Material(scans, weights / max(weights.sum(), 1.0))


def _weights(patient: tuple[Path, str, str]) -> Floats:
    """How often each visit is drawn, beside one where nothing is rare."""
    folder, scans, name = patient
    found = load_prepared(folder, name, "tumour", *SHOWN_MORE, scans=scans)
    weights = []
    for visit in range(len(found["tumour"])):
        ml = {name: maps[visit].sum() / 255 * VOXEL_ML for name, maps in found.items()}
        reasons = [more for name, more in SHOWN_MORE.items() if ml.get(name, 0) > 0]
        if ml["tumour"] > LARGE_ML:
            reasons.append(LARGE_SHOWN_MORE)
        if 0 < ml["tumour"] < SMALL_ML:
            reasons.append(SMALL_SHOWN_MORE)
        weights.append(max(reasons, default=1.0))
    return np.array(weights)


def mixed(material: Material, other: Material, share: float) -> Material:
    """Both, ``other`` making up ``share`` of what is drawn."""
    if not other.scans:
        return material
    weights = np.concatenate([(1 - share) * material.weights, share * other.weights])
    return Material([*material.scans, *other.scans], weights)


def draw(material: Material, rng: np.random.Generator) -> Drawn:
    """One scan as it lies on disk; what is empty there is left out."""
    scan = material.scans[int(rng.choice(len(material.scans), p=material.weights))]
    names = ("image", "ignore", *STRUCTURES)
    arrays = load_prepared(scan.folder, scan.patient, *names, scans=scan.scans)
    shown = {name: both[scan.visit] for name, both in arrays.items()}
    filled = [n for n in shown if n == "image" or shown[n].any()]
    return Drawn(
        torch.from_numpy(np.stack([shown[name] for name in filled])),
        tuple(filled),
        tuple(name in shown for name in STRUCTURES[1:]),
    )


def as_sample(drawn: Drawn, config: PerceiveConfig, rng: np.random.Generator) -> Sample:
    """What the network is shown of a scan, on the device where ``drawn.values`` lie."""
    values = drawn.values.float() / 255  # (C, Z, Y, X)
    ignore = drawn.names.index("ignore") if "ignore" in drawn.names else None
    if ignore is not None:
        values[ignore] *= 255  # it is 0 or 1
    values = _varied(values, config, rng)
    learn = torch.ones_like(values[:1]) if ignore is None else 1 - values[ignore : ignore + 1]
    if rng.random() < config.crop_share:
        values = _cropped(values, rng)
    by_name = dict(zip(drawn.names, values.split(1), strict=True))
    nothing = torch.zeros_like(learn)
    coarse = functional.avg_pool3d(torch.cat([by_name.get(n, nothing) for n in STRUCTURES[1:]]), 2)
    known = torch.tensor(drawn.known, dtype=values.dtype).to(values.device)[:, None, None, None]
    parts = (
        _disturb(by_name["image"], config, rng),
        by_name.get("tumour", nothing),
        learn,
        coarse,
        functional.avg_pool3d(learn, 2) * known,
    )
    return Sample(*(part[None] for part in parts))


def _varied(values: Tensor, config: PerceiveConfig, rng: np.random.Generator) -> Tensor:
    """The same patient mirrored, larger or smaller, tilted: else the few with rare findings are
    learnt by heart. (C, Z, Y, X); what is beyond the scan is air without anything in it.
    """
    mirrored = rng.random() < config.mirrored_share
    if rng.random() >= config.resized_share:
        return values.flip(-1) if mirrored else values
    turn = Rotation.from_euler("zyx", rng.uniform(-TILTED_DEGREES, TILTED_DEGREES, 3), degrees=True)
    scale = np.diag(1 / rng.uniform(*RESIZED, 3)) @ np.diag([-1.0 if mirrored else 1.0, 1, 1])
    half = np.diag(values.shape[:0:-1])  # PyTorch counts each axis, x first, from -1 to 1
    back = np.linalg.inv(half) @ turn.as_matrix() @ scale @ half
    matrix = torch.zeros(1, 3, 4)
    matrix[0, :, :3] = torch.from_numpy(back)
    shape = [1, *values.shape]
    where = functional.affine_grid(matrix.to(values.device), shape, align_corners=False)
    return functional.grid_sample(values[None], where, align_corners=False)[0]


def _cropped(values: Tensor, rng: np.random.Generator) -> Tensor:
    """A part of the chest with air around: what is tumour shall not depend on all the rest."""
    box = tuple(_stretch(n, rng) if rng.random() < 0.7 else slice(None) for n in values.shape[1:])
    kept = torch.zeros_like(values)
    kept[:, *box] = values[:, *box]
    return kept


def _stretch(n: int, rng: np.random.Generator) -> slice:
    """Four to nine tenths of an axis, anywhere."""
    length = round(n * float(rng.uniform(0.4, 0.9)))
    start = int(rng.integers(n - length + 1))
    return slice(start, start + length)


def _disturb(image: Tensor, config: PerceiveConfig, rng: np.random.Generator) -> Tensor:
    """Thick slices, blur, noise, contrast, offset: what another scanner would have made of it."""
    if rng.random() < config.thick_share:
        kernel = (int(rng.choice([3, 5])), 1, 1)
        image = mean_around(image, kernel)
    if rng.random() < 0.4:
        soft = mean_around(image, (3, 3, 3))
        image = image + float(rng.uniform(0, 0.8)) * (soft - image)
    image = with_noise(image, float(rng.uniform(0, 0.025)), rng)
    image = (image - 0.7) * float(rng.uniform(0.94, 1.06)) + 0.7 + float(rng.normal(0, 0.008))
    return image.clamp(0, 1)


def mean_around(image: Tensor, kernel: tuple[int, int, int]) -> Tensor:
    """Means over boxes of voxels; at the ends over those that are there."""
    z, y, x = (size // 2 for size in kernel)
    return functional.avg_pool3d(image, kernel, 1, (z, y, x), count_include_pad=False)


def with_noise(image: Tensor, size: float, rng: np.random.Generator) -> Tensor:
    """The image with white noise of this standard deviation, made where the image lies."""
    generator = torch.Generator(image.device).manual_seed(int(rng.integers(2**62)))
    return image + size * torch.randn(image.shape, generator=generator, device=image.device)
