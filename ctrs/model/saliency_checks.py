"""Whether saliency earns its place: does it point at what drives the hazard, and at the model?

A map that looks the same with random weights explains the picture, not the model (Adebayo et al.,
NeurIPS 2018); one whose top voxels can be deleted without moving the score explains nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from monai.metrics.regression import SSIMMetric
from scipy import ndimage
from torch import Tensor, nn

from ctrs.config import Config, PrepareConfig
from ctrs.model.ensemble import TWELVE, Ensemble
from ctrs.model.measure import HU_HIGH, HU_LOW
from ctrs.prepare import onto_model_grid, prepare
from ctrs.trial.bank import RENDER_MM
from ctrs.trial.population.patients import TrialPatient
from ctrs.trial.render import render_visit
from ctrs.trial.scanner import renoise
from ctrs.types import Array, Mask, PreparedScan

SMOOTHING_VOXELS = 4.0 / PrepareConfig().spacing_mm[0]  # as on screen: 4 mm
DELETED_SHARE = 0.01
BLOCK = 6  # voxels: random blocks are cubes of 18 mm
LUNG_HU, SOFT_HU = -850.0, 40.0  # what stands in the place of what is deleted
BODY_HU = -300.0
DRIVERS = ("tumour", "effusion", "halo", "fibrosis")  # of the hazard, that lie somewhere
NEW_NOISE_HU, SHARPNESS = 10.0, 0.9  # of a soft kernel at usual dose
TARGETS = {"pointing_game": 0.90, "energy_over_chance": 5.0, "deletion_vs_random": 3.0}
LARGEST_SSIM, LEAST_RENOISED_SSIM = 0.5, 0.8


@dataclass(frozen=True)
class KnownPair:
    """A simulated pair with the truth.

    Attributes:
        scans: Baseline and follow-up.
        again: The same visits in other noise.
        drivers: Where tumour, fluid, halo or fibrosis lies, on the model's grid, in each scan.
    """

    scans: tuple[PreparedScan, PreparedScan]
    again: tuple[PreparedScan, PreparedScan]
    drivers: tuple[Mask, Mask]
    interval_days: float


def check_saliency(
    ensemble: Ensemble, pairs: Iterable[KnownPair], seed: int, progress: Callable[[str], None]
) -> dict[str, Any]:
    """Means over the pairs; the pointing game is a share of them.

    Returns:
        ``pointing_game``: share of pairs whose strongest voxel lies on a driver or next to one.
        ``energy_over_chance``: share of the map within drivers, over their share of the body.
        ``randomisation_ssim``: likeness to the map after the last stage of randomising, from the
        output to the input; ``stages`` has them all. ``renoised_ssim``: after new noise.
        ``deletion_vs_random``: what deleting the top 1 % of voxels moves the score, over what
        deleting random blocks of equal size moves it. ``met``: all targets reached.
    """
    rng = np.random.default_rng(seed)
    stages = _randomised(ensemble, seed)
    rows = []
    for index, pair in enumerate(pairs, start=1):
        rows.append(_check_pair(ensemble, stages, pair, rng))
        progress(f"saliency {index}")
    found: dict[str, Any] = {
        name: _mean([row[name] for row in rows])
        for name in ("pointing_game", "energy_over_chance", "renoised_ssim")
    }
    found["stages"] = {name: _mean([row["stages"][name] for row in rows]) for name in stages}
    found["randomisation_ssim"] = list(found["stages"].values())[-1]
    moved, moved_random = (_mean([row[k] for row in rows]) for k in ("deleted", "deleted_random"))
    found["deletion_vs_random"] = round(moved / max(moved_random, 1e-6), 2)
    found["n"] = len(rows)
    found["met"] = bool(
        all(found[name] >= least for name, least in TARGETS.items())
        and found["randomisation_ssim"] < LARGEST_SSIM
        and found["renoised_ssim"] >= LEAST_RENOISED_SSIM
    )
    return found


def _mean(values: list[float]) -> float:
    return round(float(np.mean(values)), 4)


def _check_pair(
    ensemble: Ensemble, stages: dict[str, Ensemble], pair: KnownPair, rng: np.random.Generator
) -> dict[str, Any]:
    maps = _maps(ensemble, pair.scans, pair.interval_days)
    return {
        "pointing_game": float(_points(maps, pair.drivers)),
        "energy_over_chance": _energy_over_chance(maps, pair),
        "renoised_ssim": _likeness(maps, _maps(ensemble, pair.again, pair.interval_days)),
        "stages": {
            name: _likeness(maps, _maps(other, pair.scans, pair.interval_days))
            for name, other in stages.items()
        },
    } | _deletion(ensemble, maps, pair, rng)


def _maps(ensemble: Ensemble, scans: tuple[PreparedScan, PreparedScan], days: float) -> Array:
    """Both maps, (2, Z, Y, X), smoothed as on screen."""
    raw = ensemble.attribute(*scans, days)
    return np.stack([ndimage.gaussian_filter(values, SMOOTHING_VOXELS) for values in raw])


# --- Pairs whose truth is known ---------------------------------------------------------------


def known_pair(patient: TrialPatient) -> KnownPair:
    """A simulated patient's scans as training renders them."""
    rng = np.random.default_rng([patient.seed, 9])
    visits = [_visit(patient, visit, rng) for visit in (0, 1)]
    first, again, drivers = zip(*visits, strict=True)
    return KnownPair(first, again, drivers, patient.interval_days)


def _visit(
    patient: TrialPatient, visit: int, rng: np.random.Generator
) -> tuple[PreparedScan, PreparedScan, Mask]:
    scan, config = render_visit(patient, visit, RENDER_MM), Config()
    volume = scan.volume
    noisy = replace(volume, hu=renoise(volume.hu, volume.spacing, NEW_NOISE_HU, SHARPNESS, rng))
    first, again = (prepare(v, config.prepare, config.chest)[0] for v in (volume, noisy))
    drivers = np.zeros(first.image.shape, bool)
    for name in DRIVERS:
        drivers |= onto_model_grid(scan.structures[name], volume.spacing, first) > 0.25
    return first, again, drivers


# --- Where it points ----------------------------------------------------------------------------


def _points(maps: Array, drivers: tuple[Mask, Mask]) -> bool:
    scan, *voxel = np.unravel_index(int(np.abs(maps).argmax()), maps.shape)
    return bool(ndimage.binary_dilation(drivers[int(scan)])[tuple(voxel)])


def _energy_over_chance(maps: Array, pair: KnownPair) -> float:
    drivers = np.stack(pair.drivers)
    body = np.stack([_hu(scan) > BODY_HU for scan in pair.scans]) | np.stack(
        [scan.lungs for scan in pair.scans]
    )
    if not drivers.any():
        return float("nan")
    energy = np.abs(maps)
    within = float(energy[drivers].sum()) / max(float(energy.sum()), 1e-12)
    return within / (float(drivers.sum()) / float((body | drivers).sum()))


def _hu(scan: PreparedScan) -> Array:
    return scan.image * (HU_HIGH - HU_LOW) + HU_LOW


# --- What it depends on -------------------------------------------------------------------------


def _randomised(ensemble: Ensemble, seed: int) -> dict[str, Ensemble]:
    """Copies with weights drawn anew, stage by stage from the output to the input."""
    state = torch.get_rng_state()
    torch.manual_seed(seed)
    stages, current = {}, ensemble
    names = ("the second network", "the maps", "the way up", "the way down", "the stem")
    for name, parts in zip(names, _STAGES, strict=True):
        current = copy.deepcopy(current)
        networks: list[nn.Module] = (
            list(current.foreseers)
            if parts is None
            else [getattr(current.perceiver, part) for part in parts]
        )
        for network in networks:
            network.apply(_draw_anew)
        stages[name] = current
    torch.set_rng_state(state)
    return stages


_STAGES: tuple[tuple[str, ...] | None, ...] = (
    None, ("fine", "coarse"), ("up1", "up2"), ("down1", "down2"), ("stem",),
)  # fmt: skip


def _draw_anew(module: nn.Module) -> None:
    reset = getattr(module, "reset_parameters", None)
    if callable(reset):
        reset()


def _likeness(maps: Array, others: Array) -> float:
    """Structural similarity of the signed maps, each scaled to its own largest value."""
    ssim = SSIMMetric(spatial_dims=3, data_range=2.0)(_scaled(maps), _scaled(others))
    return float(torch.as_tensor(ssim).mean())


def _scaled(maps: Array) -> Tensor:
    top = max(float(np.quantile(np.abs(maps), 0.9995)), 1e-12)
    return torch.from_numpy(np.clip(maps / top, -1, 1).astype(np.float32))[:, None]


# --- What it is worth ---------------------------------------------------------------------------


def _deletion(
    ensemble: Ensemble, maps: Array, pair: KnownPair, rng: np.random.Generator
) -> dict[str, float]:
    n = round(DELETED_SHARE * maps[0].size)
    top = [np.abs(m) >= np.partition(np.abs(m).ravel(), -n)[-n] for m in maps]
    blocks = [_random_blocks(_hu(scan) > BODY_HU, n, rng) for scan in pair.scans]
    before = _score(ensemble, pair.scans, pair.interval_days)

    def moved(masks: list[Mask]) -> float:
        scans = [_without(scan, mask) for scan, mask in zip(pair.scans, masks, strict=True)]
        return abs(_score(ensemble, (scans[0], scans[1]), pair.interval_days) - before)

    return {"deleted": moved(top), "deleted_random": moved(blocks)}


def _random_blocks(body: Mask, n: int, rng: np.random.Generator) -> Mask:
    mask = np.zeros(body.shape, bool)
    places = np.argwhere(body)
    while mask.sum() < n:
        z, y, x = np.maximum(places[rng.integers(len(places))] - BLOCK // 2, 0)
        mask[z : z + BLOCK, y : y + BLOCK, x : x + BLOCK] = True
    return mask


def _without(scan: PreparedScan, mask: Mask) -> PreparedScan:
    """Lung in the place of what is deleted within the lungs' surroundings, else soft tissue."""
    near_lung = ndimage.uniform_filter(scan.lungs.astype(np.float32), 7) > 0.35
    filled = np.where(near_lung, LUNG_HU, SOFT_HU)
    image = np.where(mask, (filled - HU_LOW) / (HU_HIGH - HU_LOW), scan.image)
    return replace(scan, image=image.astype(np.float32))


def _score(ensemble: Ensemble, scans: tuple[PreparedScan, PreparedScan], days: float) -> float:
    curve = ensemble(*scans, days).curve
    return curve.survival[TWELVE + 1]  # the curve begins at 0 months
