"""Whether saliency earns its place: does it point at what drives the hazard, and at the model?

A map that looks the same with random weights explains the picture, not the model (Adebayo et al.,
NeurIPS 2018); one whose top voxels can be deleted without moving the score explains nothing.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from monai.metrics.regression import compute_ssim_and_cs
from scipy import ndimage
from torch import Tensor, nn

from ctrs.config import PrepareConfig
from ctrs.model.ensemble import TWELVE, Ensemble
from ctrs.model.measure import HU_HIGH, HU_LOW
from ctrs.trial.prepared import PREPARED, Bytes, load_prepared
from ctrs.trial.scanner import renoise
from ctrs.types import STRUCTURES, Array, Mask, PreparedScan

NO_DRIVERS = ("atelectasis",)  # mapped so that it is not taken for tumour; the score knows none
KEPT = "saliency.json"  # beside a trial's table
PAIRS = 12
DELETED_SHARE = 0.01
BLOCK = 6  # voxels: random blocks are cubes of 18 mm
AROUND_VOXELS = 4.0  # 12 mm: how far around what is deleted its filling is taken from
BODY_HU = -300.0
SHOWN = 0.05  # of the largest value: weaker saliency is not to be seen on screen
NEW_NOISE_HU, SHARPNESS = 10.0, 0.9  # of a soft kernel at usual dose
LEAST = {
    "pointing_game": 0.90, "energy_over_chance": 5.0, "renoised_ssim": 0.8,
    "deletion_vs_random": 3.0,
}  # fmt: skip
LESS_THAN = {"randomisation_ssim": 0.5}
# The parts of the networks in the order in which their weights are drawn anew, from the output to
# the input; None are all second networks.
STAGES: dict[str, tuple[str, ...] | None] = {
    "second networks": None,
    "maps": ("fine", "coarse", "liver"),
    "way up": ("up1", "up2", "up3"),
    "way down": ("down1", "down2", "down3"),
    "stem": ("stem",),
}


@dataclass(frozen=True)
class KnownPair:
    """A simulated pair with the truth.

    Attributes:
        scans: Baseline and follow-up.
        again: The same in other noise.
        drivers: Where something lies that shortens or lengthens life, in each scan.
    """

    scans: tuple[PreparedScan, PreparedScan]
    again: tuple[PreparedScan, PreparedScan]
    drivers: tuple[Mask, Mask]
    interval_days: float


def check_saliency(
    trial: Path,
    table: pd.DataFrame,
    ensemble: Ensemble,
    progress: Callable[[str], None],
    seed: int = 1,
    pairs: int = PAIRS,
) -> dict[str, Any]:
    """Checks of the maps on some pairs of a simulated trial; means, unless said otherwise.

    Args:
        trial: Holds the prepared scans of the patients in ``table`` with their structures.

    Returns:
        ``pointing_game``: share of pairs whose strongest voxel lies on a driver or next to one.
        ``energy_over_chance``: share of the map within drivers, over their share of the body.
        ``renoised_ssim``: likeness to the map of the same pair in other noise.
        ``randomisation_ssim``: likeness to the map of networks whose weights were drawn anew in
        all `STAGES`; ``stages`` has one value each, with all stages before it drawn anew, too.
        ``deletion_vs_random``: what deleting the top 1 % of a scan's voxels moves the score, over
        what deleting random blocks of equal size moves it. ``missed``: the targets not reached.
    """
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(table))[:pairs]
    randomised = _randomised(ensemble, seed)
    rows = []
    for index, row in enumerate(chosen, start=1):
        progress(f"saliency: pair {index} of {len(chosen)} …")  # up to a minute each
        days = float(table["interval_days"].iloc[row])
        pair = known_pair(load_prepared(trial, str(table.index[row])), days, rng)
        rows.append(_check_pair(ensemble, randomised, pair, rng))
    return _summary(rows)


def kept_checks(
    trial: Path, table: pd.DataFrame, ensemble: Ensemble, progress: Callable[[str], None]
) -> dict[str, Any] | None:
    """`check_saliency`, once for these weights: the result lies beside the trial's table.

    Returns:
        ``None`` where nothing is kept and the trial has no scans with known truth.
    """
    file = trial / KEPT
    if file.exists():
        kept = dict(json.loads(file.read_text()))
        if kept.pop("model_version", "") == ensemble.version:
            return kept
    if not _has_truth(trial, str(table.index[0])):
        return None
    found = check_saliency(trial, table, ensemble, progress)
    file.write_text(json.dumps({"model_version": ensemble.version} | found, indent=1) + "\n")
    return found


def _has_truth(trial: Path, patient: str) -> bool:
    prepared = (trial / PREPARED / f"{patient}.npz").exists()
    return prepared and bool(load_prepared(trial, patient, "tumour"))


def _summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {
        name: _mean([row[name] for row in rows])
        for name in ("pointing_game", "energy_over_chance", "renoised_ssim")
    }
    found["stages"] = {name: _mean([row["stages"][name] for row in rows]) for name in STAGES}
    found["randomisation_ssim"] = found["stages"]["stem"]
    moved, by_chance = (np.mean([row[k] for row in rows]) for k in ("moved", "moved_by_chance"))
    found["deletion_vs_random"] = round(float(moved / max(by_chance, 1e-6)), 2)
    found["n"] = len(rows)
    # What could not be measured on these pairs is not reached either.
    found["missed"] = [k for k, least in LEAST.items() if found[k] is None or found[k] < least]
    found["missed"] += [k for k, most in LESS_THAN.items() if found[k] is None or found[k] >= most]
    return found


def _mean(values: list[float]) -> float | None:
    known = [value for value in values if not np.isnan(value)]
    return round(float(np.mean(known)), 3) if known else None


def _check_pair(
    ensemble: Ensemble, randomised: dict[str, Ensemble], pair: KnownPair, rng: np.random.Generator
) -> dict[str, Any]:
    maps = _maps(ensemble, pair.scans, pair.interval_days)
    return {
        "pointing_game": float(points_at(maps, pair.drivers)),
        "energy_over_chance": energy_over_chance(maps, pair),
        "renoised_ssim": likeness(maps, _maps(ensemble, pair.again, pair.interval_days)),
        "stages": {
            name: likeness(maps, _maps(other, pair.scans, pair.interval_days))
            for name, other in randomised.items()
        },
    } | _deletion(ensemble, maps, pair, rng)


def _maps(ensemble: Ensemble, scans: tuple[PreparedScan, PreparedScan], days: float) -> Array:
    """Both maps, (2, Z, Y, X)."""
    return np.stack(ensemble.attribute(*scans, days))


# --- Pairs whose truth is known -----------------------------------------------------------------


def known_pair(arrays: dict[str, Bytes], days: float, rng: np.random.Generator) -> KnownPair:
    """Both visits of a patient of a simulated trial; `ctrs.trial.bank` has the arrays."""
    scans = (_scan(arrays, 0), _scan(arrays, 1))
    again = (_renoised(scans[0], rng), _renoised(scans[1], rng))
    mapped = [name for name in STRUCTURES if name in arrays and name not in NO_DRIVERS]
    drivers = [np.any([arrays[name][visit] > 63 for name in mapped], axis=0) for visit in (0, 1)]
    return KnownPair(scans, again, (drivers[0], drivers[1]), days)


def _scan(arrays: dict[str, Bytes], visit: int) -> PreparedScan:
    image = arrays["image"][visit].astype(np.float32) / 255
    lungs = arrays["lungs"][visit] > 0
    return PreparedScan(image, lungs, (0.0, 0.0, 0.0), PrepareConfig().spacing_mm)


def _renoised(scan: PreparedScan, rng: np.random.Generator) -> PreparedScan:
    hu = renoise(_hu(scan), scan.spacing, NEW_NOISE_HU, SHARPNESS, rng)
    image = np.clip((hu - HU_LOW) / (HU_HIGH - HU_LOW), 0, 1)
    return replace(scan, image=image.astype(np.float32))


def _hu(scan: PreparedScan) -> Array:
    return scan.image * np.float32(HU_HIGH - HU_LOW) + np.float32(HU_LOW)


# --- Where it points ----------------------------------------------------------------------------


def points_at(maps: Array, drivers: tuple[Mask, Mask]) -> bool:
    """Whether the strongest voxel of both maps (2, Z, Y, X) lies on a driver or touches one."""
    scan, *voxel = np.unravel_index(int(np.abs(maps).argmax()), maps.shape)
    return bool(ndimage.binary_dilation(drivers[int(scan)])[tuple(voxel)])


def energy_over_chance(maps: Array, pair: KnownPair) -> float:
    """Share of the maps' absolute values within drivers, over the drivers' share of the body.

    NaN where there is no driver.
    """
    drivers = np.stack(pair.drivers)
    if not drivers.any():
        return float("nan")
    body = drivers | np.stack([(_hu(scan) > BODY_HU) | scan.lungs for scan in pair.scans])
    energy = np.abs(maps)
    within = float(energy[drivers].sum()) / max(float(energy.sum()), 1e-12)
    return within / (float(drivers.sum()) / float(body.sum()))


# --- What it depends on -------------------------------------------------------------------------


def _randomised(ensemble: Ensemble, seed: int) -> dict[str, Ensemble]:
    """Copies with weights drawn anew in one stage more each."""
    found, current = {}, ensemble
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for name, parts in STAGES.items():
            current = copy.deepcopy(current)
            for network in _networks(current, parts):
                network.apply(_draw_anew)
            found[name] = current
    return found


def _networks(ensemble: Ensemble, parts: tuple[str, ...] | None) -> Sequence[nn.Module]:
    if parts is None:
        return ensemble.foreseers
    found = (getattr(ensemble.perceiver, part) for part in parts)
    return [part for part in found if part is not None]


def _draw_anew(module: nn.Module) -> None:
    reset = getattr(module, "reset_parameters", None)
    if callable(reset):
        reset()


def likeness(maps: Array, others: Array) -> float:
    """Structural similarity of signed maps, each scaled to its own largest value: at most 1.

    Only where one of them shows something: two maps that are empty alike in most of a scan would
    else look alike whatever they show.
    """
    first, second = _scaled(maps), _scaled(others)
    shown = (first.abs() > SHOWN) | (second.abs() > SHOWN)
    if not shown.any():
        return 1.0
    ssim, _ = compute_ssim_and_cs(
        _positive(first), _positive(second), spatial_dims=3, data_range=1.0,
        kernel_size=(2 * _REACH + 1,) * 3, kernel_sigma=(1.5,) * 3,
    )  # fmt: skip
    return float(ssim[shown].mean())


def _positive(maps: Tensor) -> Tensor:
    """From 0 to 1, with a margin: a map and its negative would else be as alike as can be."""
    return nn.functional.pad((maps + 1) / 2, (_REACH,) * 6, mode="replicate")


_REACH = 5  # voxels to each side, as the authors of SSIM chose


def _scaled(maps: Array) -> Tensor:
    top = max(float(np.quantile(np.abs(maps), 0.9995)), 1e-12)
    return torch.from_numpy(np.clip(maps / top, -1, 1).astype(np.float32))[:, None]


# --- What it is worth ---------------------------------------------------------------------------


def _deletion(
    ensemble: Ensemble, maps: Array, pair: KnownPair, rng: np.random.Generator
) -> dict[str, float]:
    """How far the score moves without the strongest voxels, and without as many elsewhere.

    One scan at a time, the mean of both: a tumour taken out of both scans has not changed.
    """
    strongest = [_strongest(values) for values in maps]
    blocks = [
        _random_blocks(_hu(scan) > BODY_HU, int(mask.sum()), rng)
        for scan, mask in zip(pair.scans, strongest, strict=True)
    ]
    before = _score(ensemble, pair.scans, pair.interval_days)

    def moved(masks: list[Mask]) -> float:
        first, second = pair.scans
        without = (
            (_without(first, masks[0]), second),
            (first, _without(second, masks[1])),
        )
        scores = [_score(ensemble, scans, pair.interval_days) for scans in without]
        return float(np.mean(np.abs(np.array(scores) - before)))

    return {"moved": moved(strongest), "moved_by_chance": moved(blocks)}


def _strongest(values: Array) -> Mask:
    """The top 1 % of a map's voxels, or as many as it has."""
    n = round(DELETED_SHARE * values.size)
    strength = np.abs(values)
    return np.asarray((strength >= np.partition(strength.ravel(), -n)[-n]) & (strength > 0))


def _random_blocks(body: Mask, n: int, rng: np.random.Generator) -> Mask:
    mask = np.zeros(body.shape, bool)
    places = np.argwhere(body)
    while mask.sum() < n:
        z, y, x = np.maximum(places[rng.integers(len(places))] - BLOCK // 2, 0)
        mask[z : z + BLOCK, y : y + BLOCK, x : x + BLOCK] = True
    return mask


def _without(scan: PreparedScan, mask: Mask) -> PreparedScan:
    """The scan with the mean of what is around in the place of what is deleted.

    One value for all, as of lung or soft tissue, would paint tumours into fat and holes into the
    chest wall: deleting anything anywhere would then move the score.
    """
    kept = (~mask).astype(np.float32)
    weight = ndimage.gaussian_filter(kept, AROUND_VOXELS)
    around = ndimage.gaussian_filter(kept * scan.image, AROUND_VOXELS) / np.maximum(weight, 1e-6)
    return replace(scan, image=np.where(mask, around, scan.image).astype(np.float32))


def _score(ensemble: Ensemble, scans: tuple[PreparedScan, PreparedScan], days: float) -> float:
    curve = ensemble(*scans, days).curve
    return curve.survival[TWELVE + 1]  # the curve begins at 0 months
