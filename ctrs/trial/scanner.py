"""What the scanner does to a thorax: slices, sharpness, noise, table, field of view."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ctrs.trial.anatomy import AIR, Grid
from ctrs.types import Array, Triple


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How one scan was made.

    Attributes:
        spacing: Between voxel centres, mm, ``(z, y, x)``.
        kernel, manufacturer: As they stand in the DICOM header.
        sharpness: Correlation length of the noise in mm: 0.4 = sharp lung kernel, 1 = soft.
        noise_hu: Standard deviation of the noise in soft tissue.
        enhancement: HU that contrast adds to blood; 0 = without contrast.
        field_mm: Width of the reconstructed field of view.
    """

    spacing: Triple
    kernel: str
    manufacturer: str
    sharpness: float
    noise_hu: float
    enhancement: float
    field_mm: float

    def grid(self, lung_height: float) -> Grid:
        """The voxels of a scan from below the lungs to above their apex."""
        length = lung_height + 62
        shape = (
            int(length / self.spacing[0]),
            int(0.82 * self.field_mm / self.spacing[1]),
            int(self.field_mm / self.spacing[2]),
        )
        return Grid.around((lung_height / 2 - 6, 6.0, 0.0), shape, self.spacing)


KERNELS = (("B30f", 1.0, 11.0), ("B40f", 0.9, 14.0), ("STANDARD", 0.9, 13.0), ("Br40", 0.9, 12.0),
           ("FC51", 0.45, 30.0), ("B70f", 0.4, 42.0), ("LUNG", 0.4, 38.0))  # fmt: skip
KERNEL_SHARES = (0.2, 0.2, 0.2, 0.15, 0.1, 0.05, 0.1)


def draw_protocol(rng: np.random.Generator, in_plane_mm: float, contrast: float) -> Protocol:
    """One protocol as hospitals use them; ``contrast`` is the share of enhanced scans."""
    slices = rng.choice([2.0, 2.5, 3.0, 5.0, 8.0], p=[0.2, 0.25, 0.2, 0.3, 0.05])
    kernel, sharpness, noise = KERNELS[rng.choice(len(KERNELS), p=KERNEL_SHARES)]
    dose = float(np.exp(rng.normal(0, 0.3)))
    return Protocol(
        spacing=(float(slices), in_plane_mm, in_plane_mm),
        kernel=kernel,
        manufacturer=str(rng.choice(["Siemens", "GE", "Canon", "Philips"])),
        sharpness=sharpness,
        noise_hu=float(noise * dose * (2.5 / slices) ** 0.5),
        enhancement=float(rng.normal(115, 30)) if rng.random() < contrast else 0.0,
        field_mm=float(rng.uniform(330, 420)),
    )


def acquire(tissue: Array, protocol: Protocol, rng: np.random.Generator) -> Array:
    """Turn tissue densities into what a scanner reconstructs: whole HU, at least -1024."""
    y_mm, x_mm = protocol.spacing[1:]
    hu = _add_table(tissue, protocol)
    blur = 0.45 * protocol.sharpness
    hu = ndimage.gaussian_filter(hu, (0, blur / y_mm, blur / x_mm))
    hu += _noise(hu, protocol, rng)
    return np.asarray(np.clip(np.rint(hu), -1024, 3071), np.float32)


def _add_table(tissue: Array, protocol: Protocol) -> Array:
    """A curved carbon table just behind the back."""
    hu = tissue.copy()
    rows = np.flatnonzero((tissue > AIR + 100).any(axis=(0, 2)))
    back = rows[-1] if rows.size else tissue.shape[1] - 1
    _, y, x = np.ogrid[0:1, : tissue.shape[1], : tissue.shape[2]]
    x_mm = (x - tissue.shape[2] / 2) * protocol.spacing[2]
    behind = (y - back) * protocol.spacing[1] + 0.0009 * x_mm**2
    plank = (behind > 4) & (behind < 7) & (np.abs(x_mm) < 200) & (y > back - 12)
    np.copyto(hu, -620.0, where=plank & (hu < AIR + 50))
    return hu


def _noise(hu: Array, protocol: Protocol, rng: np.random.Generator) -> Array:
    """Correlated noise, weaker in lung and air than behind bone and muscle."""
    white = rng.standard_normal(hu.shape, dtype=np.float32)
    sigma = [protocol.sharpness / mm for mm in protocol.spacing[1:]]
    grain = ndimage.gaussian_filter(white, (0, *sigma), truncate=2.5)
    grain *= protocol.noise_hu / max(float(grain.std()), 1e-6)
    return np.asarray(grain * np.where(hu < -500, 0.65, 1.0), np.float32)
