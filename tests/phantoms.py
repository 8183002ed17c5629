"""Chests made of ellipsoids: their lungs have a volume that can be worked out by hand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from ctrs.types import Triple, Volume
from tests.dicom_files import ct_series, write

AIR, WATER, TISSUE, LUNG, TABLE = -1000.0, 0.0, 40.0, -850.0, -600.0


@dataclass(frozen=True)
class Ellipsoid:
    """Centre and half axes in mm, ``(z, y, x)``; z to the head, y to the back, x to the left."""

    centre: Triple
    half: Triple

    @property
    def ml(self) -> float:
        return float(4 / 3 * np.pi * np.prod(self.half) / 1000)


RIGHT = Ellipsoid((5.0, 0.0, -75.0), (125.0, 75.0, 55.0))  # 4/3 π 125·75·55 mm³ = 2159.8 ml
LEFT = Ellipsoid((-3.0, 6.0, 72.0), (115.0, 70.0, 46.0))  # 1551.1 ml
NODULE = Ellipsoid((40.0, -20.0, -70.0), (12.0, 12.0, 12.0))
BOWEL_GAS = Ellipsoid((-134.0, -40.0, 40.0), (12.0, 20.0, 30.0))
FIELD = ((-150.0, 150.0), (-125.0, 140.0), (-186.0, 180.0))  # what the scan shows, mm


def chest(
    spacing: Triple = (3.0, 3.0, 3.0),
    *,
    lungs: tuple[Ellipsoid, ...] = (RIGHT, LEFT),
    heights: tuple[float, float] = FIELD[0],
    nodule_mm: float = 24.0,
    noise_seed: int | None = None,
) -> Volume:
    """A body with lungs, a nodule in the right one, a trachea, bowel gas, on a table.

    Args:
        heights: From where to where the scan goes, mm; lungs from -120 to 130.
        nodule_mm: Diameter of the nodule.
    """
    z, y, x = _millimetres(spacing, heights)
    hu = np.full(np.broadcast_shapes(z.shape, y.shape, x.shape), AIR, np.float32)
    hu[np.broadcast_to((y / 105) ** 2 + (x / 165) ** 2 < 1, hu.shape)] = TISSUE
    for lung in lungs:
        hu[_inside(lung, z, y, x)] = LUNG
    nodule = Ellipsoid(NODULE.centre, (nodule_mm / 2,) * 3)
    hu[_inside(nodule, z, y, x)] = TISSUE
    hu[_inside(BOWEL_GAS, z, y, x)] = AIR
    hu[np.broadcast_to((np.hypot(y - 5, x) < 8) & (z > 10), hu.shape)] = AIR  # trachea
    hu[np.broadcast_to((np.abs(y - 118) < 5) & (np.abs(x - 10) < 130), hu.shape)] = TABLE
    if noise_seed is not None:
        hu += np.random.default_rng(noise_seed).normal(0, 12, hu.shape).astype(np.float32)
    return Volume(np.maximum(hu, -1024), spacing)


def abdomen() -> Volume:
    """The lowest tip of one lung, and bowel gas: 70 mm of 150 mm are below the diaphragm."""
    tip = Ellipsoid((0.0, 0.0, -75.0), (60.0, 60.0, 50.0))  # half of it in the scan: 377 ml
    return chest(lungs=(tip,), heights=(-150.0, 0.0), nodule_mm=0.0)


def _millimetres(spacing: Triple, heights: tuple[float, float]) -> list[np.ndarray]:
    ranges = (heights, *FIELD[1:])
    axes = [np.arange(low, high, mm) for (low, high), mm in zip(ranges, spacing, strict=True)]
    return list(np.ix_(*axes))


def _inside(shape: Ellipsoid, z: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    if min(shape.half) <= 0:
        return np.zeros(np.broadcast_shapes(z.shape, y.shape, x.shape), bool)
    parts = zip((z, y, x), shape.centre, shape.half, strict=True)
    return np.asarray(sum(((u - c) / h) ** 2 for u, c, h in parts) < 1)


def write_chest(volume: Volume, folder: Path, day: date | None, **header: str) -> Path:
    """A chest as a folder of DICOM files, a series of its own for each folder's name."""
    step, *pixel = volume.spacing
    series = ct_series(
        volume.hu,
        name=header.pop("name", folder.name),
        step_mm=step,
        pixel_spacing=(pixel[0], pixel[1]),
        acquired_on=day,
        **header,  # type: ignore[arg-type]
    )
    write(series, folder)
    return folder


def write_pair(folder: Path, **header: str) -> tuple[Path, Path]:
    """A baseline and a follow-up 84 days later on disk; the nodule has grown."""
    spacing = (5.0, 3.2, 3.0)
    before = chest(spacing, noise_seed=1)
    after = chest(spacing, nodule_mm=40.0, noise_seed=2)
    return (
        write_chest(before, folder / "before", date(2024, 1, 8), **header),
        write_chest(after, folder / "after", date(2024, 4, 1), **header),
    )
