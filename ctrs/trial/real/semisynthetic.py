"""Pairs of which one scan is real: its tumour changed by a known volume, as if 12 weeks later."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ctrs.errors import InputRejected
from ctrs.ingest.image_file import is_image_file, write_nifti
from ctrs.trial.real.breathing import Breath, breathe, displacement
from ctrs.trial.real.grain import Grain, measure_grain
from ctrs.trial.real.lungs import height_of, lungs_at
from ctrs.trial.real.tumour_warp import (
    Region,
    add_lost_noise,
    bend,
    cut_region,
    erase,
    moved_share,
    sources,
    step_for,
    surface,
)
from ctrs.trial.scanner import renoise
from ctrs.types import Array, Floats, Mask, Triple, Volume

INTERVAL_DAYS = 84
FAR_MM = 1000.0  # distance to the tumour outside its region
LARGEST_ML = 700.0  # a ball of 11 cm, as the largest simulated ones
WORDS = "semi-synthetic: no patient was scanned twice"
MIN_RENOISE = 0.5  # of the scan's own sd: two scans never share their noise
CLOSE_ENOUGH = 0.005  # of the volume
FITTING_STEPS = 6  # rounds of measuring the volume after the breath and correcting the step


@dataclass(frozen=True)
class SemisyntheticPair:
    """A real baseline and a follow-up made from it.

    Attributes:
        baseline: The real scan, unchanged.
        follow_up: The same anatomy in another breath, with the tumour changed.
        baseline_tumour, follow_up_tumour: Shapes of ``hu``.
        baseline_ml, follow_up_ml: Volumes of the two masks.
        volume_change: Wanted, as a fraction of the baseline: -1 = erased.
    """

    baseline: Volume
    follow_up: Volume
    baseline_tumour: Mask
    follow_up_tumour: Mask
    baseline_ml: float
    follow_up_ml: float
    volume_change: float
    seed: int


def semisynthetic_pair(
    volume: Volume, tumour: Mask, volume_change: float, seed: int
) -> SemisyntheticPair:
    """Shrink, grow or erase a real tumour by bending the space around it.

    Lung gives way, chest wall and mediastinum hardly. Where the tumour is erased, lung texture
    of the same scan takes its place. Then the whole chest breathes a little differently
    (`ctrs.trial.real.breathing`), and gets new noise.

    Args:
        tumour: One or more tumours, of the scan's shape; the change is that of their sum.
        volume_change: -1 = erased, -0.5 = half left, 2 = three times as large.
        seed: The same seed gives the same follow-up.

    Raises:
        InputRejected: No tumour in the mask, another shape, or a change below -1.
    """
    _check(volume, tumour, volume_change)
    rng = np.random.default_rng([seed, 84])
    grain = measure_grain(volume.hu, volume.spacing)
    lungs = lungs_at(volume.hu, volume.spacing)
    field = displacement(
        Breath.draw(rng, height_of(lungs, volume.spacing[0])), volume.hu.shape, volume.spacing
    )
    region = cut_region(volume.hu, tumour, volume.spacing, 1 + volume_change)
    hu = volume.hu.copy()
    if volume_change <= -1:
        hu[region.box] = erase(region, lungs[region.box])
        moved_tumour = np.zeros_like(tumour)
    else:
        where, mask = _fit(region, field, volume, (1 + volume_change) * float(tumour.sum()))
        bent = bend(region.hu, where)
        hu[region.box] = add_lost_noise(bent, moved_share(where), grain, rng)
        moved_tumour = np.zeros_like(tumour)
        moved_tumour[region.box] = mask
    air = float(volume.hu.min())
    moved = breathe(hu, volume.spacing, field, air)
    return SemisyntheticPair(
        baseline=volume,
        follow_up=_follow_up(volume, _with_new_noise(moved, volume.spacing, grain, rng)),
        baseline_tumour=tumour,
        follow_up_tumour=moved_tumour,
        baseline_ml=float(tumour.sum()) * volume.voxel_ml,
        follow_up_ml=float(moved_tumour.sum()) * volume.voxel_ml,
        volume_change=volume_change,
        seed=seed,
    )


def _check(volume: Volume, tumour: Mask, volume_change: float) -> None:
    if tumour.shape != volume.hu.shape:
        raise InputRejected(
            f"The mask has {_by(tumour.shape)} voxels and the scan {_by(volume.hu.shape)}.",
            "Give the mask that was drawn on this scan.",
        )
    if not tumour.any():
        raise InputRejected(
            "The mask is empty: no voxel of it is above 0.", "Give a mask with a tumour in it."
        )
    if not volume_change >= -1:
        raise InputRejected(
            f"A volume cannot change by {volume_change:+.2f}; -1 is a tumour that is gone.",
            "Give a change of -1 or above, for example -0.5 for half the volume.",
        )
    wanted = float(tumour.sum()) * volume.voxel_ml * (1 + volume_change)
    if volume_change > 0 and wanted > LARGEST_ML:
        raise InputRejected(
            f"The tumour would have {wanted:.0f} ml; up to {LARGEST_ML:.0f} ml can be made.",
            "Give a smaller change.",
        )


def _by(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))


def _fit(region: Region, field: Floats, volume: Volume, voxels: float) -> tuple[Array, Mask]:
    """Sources of the bent region and the mask after the breath, with the wanted volume."""
    level = surface(region.distance, float(region.tumour.sum()))
    radius = float((3 * voxels * np.prod(volume.spacing) / (4 * np.pi)) ** (1 / 3))
    step = step_for(region, voxels)
    best = np.inf
    for _ in range(FITTING_STEPS):
        tried = sources(region, step)
        far = bend(region.distance, tried)
        there = breathe(far, volume.spacing, field, FAR_MM, region.first_mm)
        excess = float(np.count_nonzero(there < level)) / voxels - 1
        if abs(excess) < best:
            best, where, seen = abs(excess), tried, there
        if best < CLOSE_ENOUGH:
            break
        step -= excess * radius / 3  # the volume of a ball changes three times as fast
    # What is left is a fraction of a voxel along the surface.
    n = max(round(voxels), 1)
    return where, seen <= np.partition(seen.ravel(), n - 1)[n - 1]


def _with_new_noise(hu: Array, spacing: Triple, grain: Grain, rng: np.random.Generator) -> Array:
    """As much noise as the scan had before interpolation smoothed it, and at least half new."""
    left = measure_grain(hu, spacing).sd_hu
    missing = max(grain.sd_hu**2 - left**2, (MIN_RENOISE * grain.sd_hu) ** 2)
    return renoise(hu, spacing, float(np.sqrt(missing)), grain.sharpness(spacing), rng)


def _follow_up(volume: Volume, hu: Array) -> Volume:
    before = volume.header
    day = before.acquired_on
    header = replace(
        before,
        acquired_on=day + timedelta(days=INTERVAL_DAYS) if day else None,
        description=f"semi-synthetic follow-up of {before.description or 'a chest CT'}",
        series_uid="",
        study_uid="",
    )
    return replace(volume, hu=hu, header=header)


# --- Files --------------------------------------------------------------------------------------


def read_mask(path: Path, volume: Volume) -> Mask:
    """A mask drawn on a scan (NIfTI, NRRD, MetaImage; above 0 = tumour), on the scan's grid.

    A mask with the scan's voxels in any orientation is taken voxel by voxel; one that lies
    elsewhere in the same patient frame is resampled to the nearest voxel.

    Raises:
        InputRejected: No image file, or (part of) what it outlines lies outside the scan.
    """
    if not is_image_file(path) or not path.is_file():
        raise InputRejected(
            "The mask is no image file that can be read.", "Give a .nii, .nii.gz, .nrrd or .mha."
        )
    try:
        image = sitk.DICOMOrient(sitk.ReadImage(str(path)) > 0, "LPS")
    except RuntimeError:
        raise InputRejected(
            "The mask is damaged, or not a volume of three dimensions.", "Export it again."
        ) from None
    values = sitk.GetArrayFromImage(image) > 0
    if values.shape == volume.hu.shape and np.allclose(
        image.GetSpacing()[::-1], volume.spacing, rtol=0.01
    ):
        return np.asarray(values)
    return _resampled(image, values, volume)


def _resampled(image: sitk.Image, values: Mask, volume: Volume) -> Mask:
    moved = sitk.Resample(
        image,
        volume.hu.shape[::-1],
        sitk.Transform(),
        sitk.sitkNearestNeighbor,
        volume.origin,
        volume.spacing[::-1],
        volume.direction,
    )
    found = np.asarray(sitk.GetArrayFromImage(moved) > 0)
    before = float(values.sum()) * float(np.prod(image.GetSpacing()))
    after = float(found.sum()) * float(np.prod(volume.spacing))
    if before > 0 and after < 0.5 * before:
        raise InputRejected(
            f"The mask ({_by(values.shape)} voxels) does not lie on the scan"
            f" ({_by(volume.hu.shape)}): {after / before:.0%} of what it outlines is inside.",
            "Give the mask that was drawn on this scan.",
        )
    return found


def write_pair(pair: SemisyntheticPair, folder: Path) -> dict[str, Any]:
    """Write both scans and masks as ``.nii.gz``, and ``pair.json`` with volumes and seed.

    Returns:
        What stands in ``pair.json``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, volume, tumour in (
        ("baseline", pair.baseline, pair.baseline_tumour),
        ("follow_up", pair.follow_up, pair.follow_up_tumour),
    ):
        write_nifti(np.rint(volume.hu).astype(np.int16), volume, folder / f"{name}.nii.gz")
        write_nifti(tumour.astype(np.uint8), volume, folder / f"{name}_tumour.nii.gz")
    facts = {
        "what": WORDS,
        "baseline_ml": round(pair.baseline_ml, 4),
        "follow_up_ml": round(pair.follow_up_ml, 4),
        "volume_change_wanted": pair.volume_change,
        "volume_change_got": round(pair.follow_up_ml / pair.baseline_ml - 1, 5),
        "interval_days": INTERVAL_DAYS,
        "seed": pair.seed,
    }
    (folder / "pair.json").write_text(json.dumps(facts, indent=2) + "\n")
    return facts
