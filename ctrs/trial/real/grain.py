"""The noise of a real scan: how strong and how coarse it is, and more of the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ctrs.types import Array, Triple

SOFT_TISSUE_HU = (10.0, 120.0)  # muscle, liver, blood without or with some contrast
LOOKED_AT = 14  # slices, evenly spread
FLAT_VOXELS = 2.5  # or this many voxels, where they are large
WIDER = 2.0  # how much further around a voxel must be calm
FEW_VOXELS = 500
FLAT_MM = 2.5  # grain is what differs from the mean over this distance
THIN_MM = 1.6  # thicker slices do not share noise
# Of the soft tissue. The sd come out within a quarter of that of uniform patches, where tissue is
# patchy a little above, where it is flat a little below.
CALM_SHARE = 0.05
BLUR_MM, SHARPNESS = (0.24, 0.27, 0.34, 0.46), (0.40, 0.45, 0.90, 1.0)  # of the same scans
MAD_TO_SD = 1.4826


@dataclass(frozen=True)
class Grain:
    """Noise in soft tissue.

    Attributes:
        sd_hu: Its standard deviation.
        blur: Of the Gaussian that gives white noise this correlation, in voxels, ``(z, y, x)``.
    """

    sd_hu: float
    blur: Triple

    def sharpness(self, spacing: Triple) -> float:
        """The kernel's, as in `ctrs.trial.scanner.Protocol`, from the coarseness in the plane."""
        blur_mm = 0.5 * (self.blur[1] * spacing[1] + self.blur[2] * spacing[2])
        return float(np.interp(blur_mm, BLUR_MM, SHARPNESS))

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        """Noise of this strength and coarseness."""
        white = rng.standard_normal(shape, dtype=np.float32)
        noise = ndimage.gaussian_filter(white, self.blur, truncate=3.0)
        sd = float(np.sqrt(np.mean(np.square(noise), dtype=np.float64)))
        noise *= np.float32(self.sd_hu / max(sd, 1e-6))
        return np.asarray(noise, np.float32)


def measure_grain(hu: Array, spacing: Triple) -> Grain:
    """Noise in the flat parts of the soft tissue; none where there is no soft tissue."""
    step = max(1, len(hu) // LOOKED_AT)
    slices = hu[step // 2 :: step]
    sigma = [max(FLAT_MM / mm, FLAT_VOXELS) for mm in spacing[1:]]
    smooth = ndimage.gaussian_filter(slices, (0.0, *sigma))
    low, high = SOFT_TISSUE_HU
    inside = (smooth > low) & (smooth < high)
    if np.count_nonzero(inside) < FEW_VOXELS:
        return Grain(0.0, (0.0, 0.0, 0.0))
    rest = slices - smooth
    rough = ndimage.gaussian_filter(rest * rest, (0.0, *(WIDER * s for s in sigma)))
    # Borders of organs and vessels are no noise: keep the calmest part.
    flat = inside & (rough <= np.float32(np.quantile(rough[inside], CALM_SHARE)))
    sd = MAD_TO_SD * float(np.median(np.abs(rest[flat])))
    y, x = (_blur(rest, flat, axis) for axis in (1, 2))
    z = 0.5 * (y + x) * spacing[1] / spacing[0] if spacing[0] < THIN_MM else 0.0
    return Grain(sd / _kept((y, x), sigma), (z, y, x))


def _kept(blur: tuple[float, float], sigma: list[float]) -> float:
    """Share of the sd that noise keeps when its mean over ``sigma`` is taken away."""
    # Powers of Gaussian noise and filters; a pixel is itself as wide as a blur of 0.28.
    power = [b * b + 0.08 for b in blur]
    once = np.prod([np.sqrt(p / (p + s * s / 2)) for p, s in zip(power, sigma, strict=True)])
    twice = np.prod([np.sqrt(p / (p + s * s)) for p, s in zip(power, sigma, strict=True)])
    return float(np.sqrt(1 - 2 * once + twice))


def _blur(rest: Array, flat: np.ndarray, axis: int) -> float:
    """Sigma from the correlation of neighbours: exp(-1 / (4 sigma²)) for blurred white noise."""
    a = np.moveaxis(rest, axis, -1)
    both = np.moveaxis(flat, axis, -1)
    pair = both[..., 1:] & both[..., :-1]
    left, right = a[..., :-1][pair], a[..., 1:][pair]
    product = float(np.mean(left * right, dtype=np.float64))
    power = 0.5 * float(np.mean(left * left + right * right, dtype=np.float64))
    correlation = float(np.clip(product / max(power, 1e-6), 1e-3, 0.97))
    return float(np.sqrt(-0.25 / np.log(correlation))) if correlation > 0.02 else 0.0
