"""Real chest scans as backgrounds: simulated tumours painted into anatomy that nobody simulated.

The real scan's own tumours are outlined by hand in a second file (``scan.nii.gz`` and
``scan.ignore.nii.gz``), so that training neither learns them as healthy tissue nor as tumour.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from ctrs.config import Config
from ctrs.prepare import downsample, onto_model_grid, prepare
from ctrs.trial.body.anatomy import SIDES, LungPlace
from ctrs.trial.disease.lesions import Lesion, Surroundings, Texture, paint_blob
from ctrs.trial.disease.pleura import pour
from ctrs.trial.population.patients import TrialPatient
from ctrs.trial.real.breathing import Breath, breathe, displacement
from ctrs.trial.real.grain import Grain, measure_grain
from ctrs.trial.real.lungs import RealLungs, height_of, lungs_at, near
from ctrs.trial.render import FIRST_DAY, RenderedScan, TumourMaps
from ctrs.trial.scanner import Protocol, renoise
from ctrs.types import Array, Mask, SeriesHeader, Triple, Volume

SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")
TEXTURES: tuple[Texture, ...] = ("solid", "necrotic", "cavitating", "part-solid")
AIR_HU = -1024.0
FINEST_MM = (2.0, 2.4, 2.4)  # of a real scan that patients are painted into, (z, y, x)
OUTLINE_MM = 6.0  # around an outlined tumour nothing is learnt either
HALO_SHARE = 0.1  # of the tumours painted into the lungs of a background
NODES_WITHIN_MM = 12.0  # of the lungs
VARIED_SCALE, VARIED_VOXELS, MIRRORED = (0.86, 1.14), 5.0, 0.2
NEW_NOISE = 0.7  # of the protocol's noise, on top of what the real scan has


@dataclass(frozen=True)
class Background:
    """A real scan on the model's grid: HU, its lungs, and where not to learn."""

    hu: Array
    lungs: Mask
    ignore: Mask
    spacing: Triple

    def varied(self, rng: np.random.Generator) -> Background:
        """The same chest larger or smaller, moved, in one of five cases mirrored.

        A handful of real chests would else be learnt by heart.
        """
        scale = rng.uniform(*VARIED_SCALE, 3)
        if rng.random() < MIRRORED:
            scale[2] = -scale[2]
        middle = (np.array(self.hu.shape) - 1) / 2
        offset = middle - scale * middle + rng.uniform(-VARIED_VOXELS, VARIED_VOXELS, 3)

        def moved(values: Array, order: Literal[0, 1], beyond: float) -> Array:
            found = ndimage.affine_transform(
                values, np.diag(scale), offset, order=order, cval=beyond
            )
            return np.asarray(found)

        return Background(
            moved(self.hu, 1, float(self.hu.min())),
            moved(self.lungs.astype(np.float32), 0, 0.0) > 0,
            moved(self.ignore.astype(np.float32), 0, 1.0) > 0,
            self.spacing,
        )


@dataclass(frozen=True)
class RealScan:
    """A real scan for whole patients, at `FINEST_MM` or coarser; as `Background`, and its noise.

    Attributes:
        name: Of its file.
    """

    name: str
    hu: Array
    lungs: Mask
    ignore: Mask
    spacing: Triple
    grain: Grain


@dataclass(frozen=True, kw_only=True)
class RealRendering(RenderedScan):
    """A simulated patient in a real chest; ``ignore`` is True where that chest has tumours."""

    ignore: Mask


# --- Reading ------------------------------------------------------------------------------------


def load_backgrounds(folder: Path) -> list[Background]:
    """Every scan of a folder (NIfTI, NRRD, MHA in HU), in the order of their names."""
    return [_on_model_grid(file) for file in _scans(folder)]


def load_real_scans(folder: Path) -> list[RealScan]:
    """The same scans for `render_on_background`, in the order of their names."""
    return [_coarser(file) for file in _scans(folder)]


def _scans(folder: Path) -> list[Path]:
    files = sorted(f for f in folder.iterdir() if f.name.endswith(SUFFIXES))
    return [file for file in files if ".ignore." not in file.name]


def _on_model_grid(file: Path) -> Background:
    config = Config()
    hu, spacing = _read(file)
    prepared, _ = prepare(Volume(hu, spacing), config.prepare, config.chest)
    low, high = config.prepare.window_hu
    ignore = np.zeros(prepared.image.shape, bool)
    outlined = _ignore_file(file)
    if outlined is not None:
        values, _ = _read(outlined)
        ignore = _widened(onto_model_grid(_binary(values), spacing, prepared), prepared.spacing)
    return Background(prepared.image * (high - low) + low, prepared.lungs, ignore, prepared.spacing)


def _coarser(file: Path) -> RealScan:
    full, spacing = _read(file)
    z, y, x = (max(mm, finest) for mm, finest in zip(spacing, FINEST_MM, strict=True))
    hu, _ = downsample(full, spacing, (z, y, x))
    ignore = np.zeros(hu.shape, bool)
    outlined = _ignore_file(file)
    if outlined is not None:
        values, _ = _read(outlined)
        ignore = _widened(downsample(_binary(values), spacing, (z, y, x))[0], (z, y, x))
    grain = measure_grain(hu, (z, y, x))
    return RealScan(file.name, hu, lungs_at(hu, (z, y, x)), ignore, (z, y, x), grain)


def _read(file: Path) -> tuple[Array, Triple]:
    image = sitk.DICOMOrient(sitk.ReadImage(str(file)), "LPS")
    z, y, x = image.GetSpacing()[::-1]
    return np.maximum(sitk.GetArrayFromImage(image).astype(np.float32), AIR_HU), (z, y, x)


def _binary(values: Array) -> Array:
    return (values > 0).astype(np.float32)


def _widened(share: Array, spacing: Triple) -> Mask:
    if not (share > 0.1).any():
        return np.zeros(share.shape, bool)
    away = ndimage.distance_transform_edt(share <= 0.1, sampling=spacing)
    return np.asarray(away <= OUTLINE_MM)


def _ignore_file(file: Path) -> Path | None:
    for suffix in SUFFIXES:
        if file.name.endswith(suffix):
            stem = file.name.removesuffix(suffix)
            found = [file.with_name(f"{stem}.ignore{s}") for s in SUFFIXES]
            return next((f for f in found if f.exists()), None)
    return None


# --- Single tumours -----------------------------------------------------------------------------


def paint_background(
    background: Background, rng: np.random.Generator
) -> tuple[Array, dict[str, Array]]:
    """A copy of the background with up to five tumours in and around the lungs.

    Returns:
        HU, and what is painted, by the name of the structure, both on the model's grid.
    """
    hu = background.hu.copy()
    maps = TumourMaps(hu.shape)
    grain = measure_grain(background.hu, background.spacing)
    soft = near(background.lungs, background.spacing, NODES_WITHIN_MM) & (hu > -150) & (hu < 200)
    for _ in range(int(rng.integers(0, 6))):
        in_lung = rng.random() < 0.7 or not soft.any()
        places = np.argwhere(background.lungs if in_lung else soft)
        lesion = _random_lesion(rng, in_lung)
        if len(places) == 0:
            continue
        centre = rng.choice(places) + rng.uniform(-0.5, 0.5, 3)
        around = Surroundings(background.lungs, None, maps.tumour)
        contrast = float(rng.uniform(0, 120))
        visit = int(lesion.halo > 0)  # halos are painted at the follow-up
        share = paint_blob(
            hu, background.spacing, centre, lesion, visit, contrast, around, maps.halo
        )
        maps.add(lesion, share)
    hu += maps.tumour * grain.draw(hu.shape, rng)
    return hu, _known(maps, np.zeros_like(hu))


def _known(maps: TumourMaps, effusion: Array) -> dict[str, Array]:
    known = maps.structures(effusion, np.zeros_like(effusion))
    return {name: share for name, share in known.items() if name != "atelectasis"}


def _random_lesion(rng: np.random.Generator, in_lung: bool) -> Lesion:
    middle, spread = (20, 0.6) if in_lung else (18, 0.4)
    diameter = float(np.clip(np.exp(rng.normal(np.log(middle), spread)), 6, 95))
    return Lesion(
        kind="metastasis" if in_lung else "node",
        place=LungPlace("right", 0.5, 0.0, 0.0),
        diameter_mm=(diameter, diameter),
        texture=TEXTURES[rng.choice(4, p=[0.65, 0.18, 0.09, 0.08])] if in_lung else "solid",
        elongation=float(rng.uniform(1.0, 1.45)),
        irregularity=float(rng.uniform(0.03, 0.32)),
        spicules=float(rng.choice([0.0, rng.uniform(0.2, 0.7)])) if in_lung else 0.0,
        halo=float(rng.uniform(0.25, 0.5)) if in_lung and rng.random() < HALO_SHARE else 0.0,
        collapse=(0.0, 0.0),
        seed=int(rng.integers(2**31)),
    )


# --- Whole patients -----------------------------------------------------------------------------


def render_on_background(
    patient: TrialPatient, visit: int, scan: RealScan, protocol: Protocol
) -> RealRendering:
    """A patient's tumours and fluid in a real chest, in a breath of this visit.

    Tumours of the lung, nodes and fluid are placed by the real lungs; tumours of the liver where
    the scan shows it; those of bone are left out, in the truth too. Which lung is airless is not
    known: real lungs have some at the back that nobody outlined.

    Args:
        visit: 0 (baseline) or 1 (follow-up).
        protocol: Contrast, noise and names of the scanner; the grid is that of ``scan``.
    """
    rng = np.random.default_rng([patient.seed, visit, 7])
    spacing = scan.spacing
    breath = Breath.draw(rng, height_of(scan.lungs, spacing[0]))
    field = displacement(breath, scan.hu.shape, spacing)
    hu = breathe(scan.hu, spacing, field, AIR_HU)
    names = scan.lungs + np.float32(2) * scan.ignore  # both masks in one go
    named = breathe(names, spacing, field, 0.0, labels=True)
    lungs, ignore = (named == 1) | (named == 3), named >= 2
    structures = _paint_patient(hu, lungs, spacing, patient, visit, protocol.enhancement)
    painted = np.maximum(structures["tumour"], structures["effusion"])
    hu += painted * scan.grain.draw(hu.shape, rng)
    hu = renoise(hu, spacing, NEW_NOISE * protocol.noise_hu, protocol.sharpness, rng)
    volume = Volume(hu, spacing, header=_header(patient, visit, protocol, spacing))
    return RealRendering(volume=volume, structures=structures, ignore=ignore)


def _paint_patient(
    hu: Array, lungs: Mask, spacing: Triple, patient: TrialPatient, visit: int, enhancement: float
) -> dict[str, Array]:
    """What is painted, by the name of the structure; ``hu`` is changed in place."""
    both = RealLungs.split(lungs, spacing)
    side = SIDES[0] if patient.disease.effusion_side == SIDES[0] else SIDES[1]
    fluid = pour(hu, both.of(side), spacing, patient.disease.effusion_ml[visit], enhancement)
    maps = TumourMaps(hu.shape)
    for lesion in patient.lesions:
        centre = both.locate(lesion.place, hu)
        if centre is not None:
            around = Surroundings(lungs, None, maps.tumour)
            share = paint_blob(hu, spacing, centre, lesion, visit, enhancement, around, maps.halo)
            maps.add(lesion, share)
    return _known(maps, fluid.effusion)


def _header(patient: TrialPatient, visit: int, protocol: Protocol, spacing: Triple) -> SeriesHeader:
    day = FIRST_DAY + timedelta(days=patient.seed % 600 + visit * patient.interval_days)
    words = "Baseline" if visit == 0 else "Follow-up"
    return SeriesHeader(
        description=f"{words}, simulated tumours in a real chest",
        acquired_on=day,
        kernel=protocol.kernel,
        contrast="yes" if protocol.enhancement else "",
        body_part="CHEST",
        manufacturer=protocol.manufacturer,
        slice_thickness_mm=spacing[0],
        patient_id=patient.patient.patient,
        patient_sex=patient.patient.sex[:1].upper(),
    )
