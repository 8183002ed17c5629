"""Noise of a scan, real or simulated: its strength and texture in uniform patches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ctrs.types import Array, Floats, Volume

PATCH_MM = 20.0  # a vessel's width free of edges: aorta, heart, liver, spleen
N_PATCHES = 40
PER_SLICE = 3  # at most, so that one slice does not speak for the scan
STEP_MM = 4.0  # between the slices and the places that are looked at
SMOOTH_MM = 2.0  # what is left after this is anatomy rather than noise
SOFT_HU = (0.0, 220.0)  # mean of a patch: muscle, liver, blood with or without contrast
CORE_MM = 40.0  # patches keep that far from the side edges of the picture


@dataclass(frozen=True)
class Noise:
    """Noise in the uniform patches of one scan.

    Attributes:
        frequency: Middle of each ring, per mm, up to Nyquist.
        power: Radially averaged noise power spectrum, area 1 over ``frequency`` (mm).
        sd_hu: Standard deviation within a patch, median over patches.
        peak_per_mm: Frequency with the most power.
        mean_per_mm: Frequency averaged over the power.
        in_row, in_column: Correlation of pixels beside each other, and of pixels one above the
            other; they differ where the noise runs in streaks from shoulder to shoulder.
        between_slices: Correlation of a pixel with the one in the next slice.
        pixel_mm, slice_mm: What "neighbouring" and "next" mean in this scan.
        hu: Mean density of the patches.
    """

    frequency: Floats
    power: Floats
    sd_hu: float
    peak_per_mm: float
    mean_per_mm: float
    in_row: float
    in_column: float
    between_slices: float
    pixel_mm: float
    slice_mm: float
    hu: float
    n_patches: int


def measure_noise(volume: Volume) -> Noise | None:
    """Noise of one scan; ``None`` where no patch is uniform soft tissue."""
    slice_mm, pixel_mm, _ = volume.spacing
    corners = uniform_patches(volume)
    if not len(corners):
        return None
    size = patch_pixels(pixel_mm)
    cut = _cut(volume.hu, corners, size)
    here = detrend(cut)
    above = detrend(_cut(volume.hu, corners + np.array([1, 0, 0]), size))
    frequency, power = noise_power(here, pixel_mm)
    return Noise(
        frequency=frequency,
        power=power,
        sd_hu=float(np.median(here.std(axis=(1, 2)))),
        peak_per_mm=float(frequency[np.argmax(power)]),
        mean_per_mm=float((frequency * power).sum() / power.sum()),
        in_row=correlation(here[:, :, 1:], here[:, :, :-1]),
        in_column=correlation(here[:, 1:], here[:, :-1]),
        between_slices=correlation(here, above),
        pixel_mm=pixel_mm,
        slice_mm=slice_mm,
        hu=float(cut.mean()),
        n_patches=len(corners),
    )


def patch_pixels(pixel_mm: float) -> int:
    """Side of a patch in pixels, even."""
    return 2 * round(PATCH_MM / pixel_mm / 2)


# --- Where ----------------------------------------------------------------------------------


def uniform_patches(volume: Volume) -> npt.NDArray[np.int64]:
    """First voxels ``(z, y, x)`` of the patches with the least anatomy, shape ``(n, 3)``.

    Ranked by the standard deviation of the smoothed picture within the patch. The last slice
    is left out: every patch has a neighbour above.
    """
    step = max(1, round(STEP_MM / volume.spacing[0]))
    found = [
        (score, (z, y, x))
        for z in range(0, len(volume.hu) - 1, step)
        for score, (y, x) in _of_slice(volume.hu[z], volume.spacing[1])
    ]
    found.sort()
    corners = [corner for _, corner in found[:N_PATCHES]]
    return np.array(corners, np.int64).reshape(-1, 3)


def _of_slice(plane: Array, pixel_mm: float) -> list[tuple[float, tuple[int, int]]]:
    """The best `PER_SLICE` patches of one slice that do not overlap, with their scores."""
    size = patch_pixels(pixel_mm)
    score = _unrest(plane, pixel_mm, size)
    best = []
    for _ in range(PER_SLICE):
        y, x = np.unravel_index(int(np.argmin(score)), score.shape)
        if not np.isfinite(score[y, x]):
            break
        best.append((float(score[y, x]), (int(y), int(x))))
        score[max(y - size, 0) : y + size, max(x - size, 0) : x + size] = np.inf
    return best


def _unrest(plane: Array, pixel_mm: float, size: int) -> Floats:
    """Anatomy in the patch that begins at each pixel, HU; infinite where it may not lie."""
    # Clipped, so that one bright edge does not outshine the sum by rounding.
    smooth = ndimage.gaussian_filter(np.clip(plane, -300, 500), SMOOTH_MM / pixel_mm)
    mean, square = (_patch_mean(image, size) for image in (smooth, smooth * smooth))
    unrest = np.sqrt(np.maximum(square - mean * mean, 0))
    allowed = (mean > SOFT_HU[0]) & (mean < SOFT_HU[1])
    edge = round(CORE_MM / pixel_mm)
    allowed[:, :edge] = allowed[:, allowed.shape[1] - edge :] = False
    return np.where(allowed, unrest, np.inf)


def _patch_mean(image: Array, size: int) -> Floats:
    """Mean of the ``size`` x ``size`` pixels from each pixel on, where they all exist."""
    sums = np.zeros((image.shape[0] + 1, image.shape[1] + 1))
    sums[1:, 1:] = np.cumsum(np.cumsum(image, axis=0, dtype=np.float64), axis=1)
    box = sums[size:, size:] - sums[:-size, size:] - sums[size:, :-size] + sums[:-size, :-size]
    return box / size**2


def _cut(hu: Array, corners: npt.NDArray[np.int64], size: int) -> Floats:
    return np.array([hu[z, y : y + size, x : x + size] for z, y, x in corners], float)


# --- What -----------------------------------------------------------------------------------


def detrend(patches: Floats) -> Floats:
    """Take a second-order surface out of each patch ``(n, size, size)``: slow anatomy, cupping."""
    size = patches.shape[-1]
    u = np.linspace(-1, 1, size)
    y, x = np.meshgrid(u, u, indexing="ij")
    surface = np.stack([np.ones_like(x), x, y, x * y, x * x, y * y]).reshape(6, -1)
    basis, _ = np.linalg.qr(surface.T)
    flat = patches.reshape(len(patches), -1)
    return np.asarray((flat - (flat @ basis) @ basis.T).reshape(patches.shape))


def noise_power(patches: Floats, pixel_mm: float) -> tuple[Floats, Floats]:
    """Radially averaged 2-D noise power spectrum, normalised to area 1.

    Args:
        patches: Detrended, shape ``(n, size, size)``, square pixels.

    Returns:
        Frequencies per mm, and the power at each. Rings are as wide as the resolution
        (1 / side of the patch); the lowest is left out, since detrending empties it.

    Source:
        ICRU Report 87 (2012), chapter on noise power spectra.
    """
    size = patches.shape[-1]
    power = (np.abs(np.fft.fft2(patches)) ** 2).mean(axis=0) * pixel_mm**2 / size**2
    axis = np.fft.fftfreq(size, pixel_mm)
    radius = np.sqrt(axis[:, None] ** 2 + axis[None, :] ** 2)
    ring = np.rint(radius * size * pixel_mm).astype(int)
    rings = np.arange(1, size // 2 + 1)
    radial = ndimage.mean(power, ring, rings)
    frequency = ndimage.mean(radius, ring, rings)
    area = float(np.sum((radial[1:] + radial[:-1]) / 2 * np.diff(frequency)))
    return np.asarray(frequency), np.asarray(radial) / area


def correlation(one: Floats, other: Floats) -> float:
    """Correlation of two detrended stacks of patches, voxel by voxel."""
    return float((one * other).mean() / np.sqrt((one**2).mean() * (other**2).mean()))


def spectrum_overlap(one: Noise, other: Noise) -> float:
    """Area under both normalised spectra, over the frequencies both have; 1 = the same."""
    step = 0.01  # per mm
    axis = np.arange(0, min(one.frequency[-1], other.frequency[-1]), step)
    both = [np.interp(axis, noise.frequency, noise.power, left=0.0) for noise in (one, other)]
    return float(np.minimum(*(power / power.sum() for power in both)).sum())
