"""Real chest scans as backgrounds: simulated tumours painted into anatomy that nobody simulated.

A background is a prepared real scan. Its own tumours are outlined by hand in a second file
(``scan.nii.gz`` and ``scan.ignore.nii.gz``), so that training neither learns them as healthy
tissue nor as tumour.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from ctrs.config import Config
from ctrs.prepare import onto_model_grid, prepare
from ctrs.trial.anatomy import LungPlace
from ctrs.trial.lesions import Lesion, Texture, paint_blob
from ctrs.types import Array, Mask, Triple, Volume

SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")
TEXTURES: tuple[Texture, ...] = ("solid", "necrotic", "cavitating", "part-solid")


@dataclass(frozen=True)
class Background:
    """A real scan on the model's grid: HU, its lungs, and where not to learn."""

    hu: Array
    lungs: Mask
    ignore: Mask
    spacing: Triple


def load_backgrounds(folder: Path) -> list[Background]:
    """Every scan of a folder (NIfTI, NRRD, MHA in HU), in the order of their names."""
    files = sorted(f for f in folder.iterdir() if f.name.endswith(SUFFIXES))
    return [_load(file) for file in files if ".ignore." not in file.name]


def _load(file: Path) -> Background:
    config = Config()
    image = sitk.DICOMOrient(sitk.ReadImage(str(file)), "LPS")
    hu = np.maximum(sitk.GetArrayFromImage(image).astype(np.float32), -1024)
    z, y, x = image.GetSpacing()[::-1]
    prepared, _ = prepare(Volume(hu, (z, y, x)), config.prepare, config.chest)
    low, high = config.prepare.window_hu
    ignore = np.zeros(prepared.image.shape, bool)
    outlined = _ignore_file(file)
    if outlined is not None:
        mask = sitk.DICOMOrient(sitk.ReadImage(str(outlined)), "LPS")
        values = (sitk.GetArrayFromImage(mask) > 0).astype(np.float32)
        share = onto_model_grid(values, (z, y, x), prepared)
        ignore = ndimage.binary_dilation(share > 0.1, iterations=2)
    return Background(prepared.image * (high - low) + low, prepared.lungs, ignore, prepared.spacing)


def _ignore_file(file: Path) -> Path | None:
    for suffix in SUFFIXES:
        if file.name.endswith(suffix):
            stem = file.name.removesuffix(suffix)
            found = [file.with_name(f"{stem}.ignore{s}") for s in SUFFIXES]
            return next((f for f in found if f.exists()), None)
    return None


def paint_background(background: Background, rng: np.random.Generator) -> tuple[Array, Mask]:
    """A copy of the background with up to five tumours in and around the lungs.

    Returns:
        HU and the truth mask, both on the model's grid.
    """
    hu = background.hu.copy()
    tumour = np.zeros(hu.shape, bool)
    near = ndimage.binary_dilation(background.lungs, iterations=4) & (hu > -150) & (hu < 200)
    for _ in range(int(rng.integers(0, 6))):
        where = background.lungs if rng.random() < 0.7 else near
        centre = rng.choice(np.argwhere(where)) + rng.uniform(-0.5, 0.5, 3)
        lesion = _random_lesion(rng)
        tumour |= paint_blob(hu, background.spacing, centre, lesion, 0, rng.uniform(0, 120))
    return hu, tumour


def _random_lesion(rng: np.random.Generator) -> Lesion:
    diameter = float(np.clip(np.exp(rng.normal(np.log(20), 0.6)), 6, 95))
    return Lesion(
        kind="metastasis",
        place=LungPlace("right", 0.5, 0.0, 0.0),
        diameter_mm=(diameter, diameter),
        texture=TEXTURES[rng.choice(4, p=[0.65, 0.18, 0.09, 0.08])],
        irregularity=float(rng.uniform(0.03, 0.32)),
        spicules=float(rng.choice([0.0, rng.uniform(0.2, 0.7)])),
        halo=0.0,
        seed=int(rng.integers(2**31)),
    )
