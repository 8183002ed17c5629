"""Whether each slice fits between its neighbours: faults that positions do not show.

A gap that somebody filled with a copy, or with the mean of its neighbours, has perfect positions.
So has a slice with another's pixels, one that was lost and left blank, and one on another scale.
"""

from __future__ import annotations

import numpy as np

from ctrs.errors import NotAVolume
from ctrs.types import Array, Floats

# Distance of a slice from the mean of its neighbours over the distance between those. Pure noise
# gives 0.87, smooth change less; 8 real series with 2 to 8 mm between slices stay below 0.83.
MAX_STRANGENESS = 1.5
_QUIET_HU = 5.0  # neighbours nearer to each other than this differ by noise alone
# Means are rounded to whole HU, or cut off.
_ROUNDING_HU = 1.01
# More than this share of exact means is a series made from a thicker one, not a hidden gap.
FEW_MEANS = 0.1
# A measured slice has hundreds of values in its sample; air, or a drawing without noise, a few.
_NOISE = 64
_SAMPLE = 8  # each way within a slice

_EXPORT_AGAIN = "Export the whole series again from the archive, then try again."


def check_neighbours(hu: Array, heights: Floats) -> tuple[str, ...]:
    """Refuse a slice that cannot belong where it is.

    Args:
        hu: ``(slices, rows, columns)``.
        heights: Of each slice in the patient, mm.

    Returns:
        Doubts, in words: that the series was interpolated as a whole.

    Raises:
        NotAVolume: Two neighbours have the same pixels, a slice is the exact mean of its
            neighbours, or one resembles neither of them. The place of the first is named.
    """
    sample = hu[:, ::_SAMPLE, ::_SAMPLE]
    _check_copies(hu, sample, heights)
    below, here, above = sample[:-2], sample[1:-1], sample[2:]
    off = np.abs(here - (below + above) / 2)
    apart = _mean(np.abs(above - below))
    _check_strangers(_mean(off), apart, heights)
    return _check_means(off.max(axis=(1, 2)), apart, heights)


def _mean(planes: Array) -> Floats:
    return np.asarray(planes.mean(axis=(1, 2), dtype=np.float64))


def _check_copies(hu: Array, sample: Array, heights: Floats) -> None:
    suspects = np.flatnonzero((sample[1:] == sample[:-1]).all(axis=(1, 2)))
    twins = [
        i
        for i in suspects
        if np.unique(sample[i]).size > _NOISE and np.array_equal(hu[i], hu[i + 1])
    ]
    if twins:
        first = twins[0]
        raise NotAVolume(
            f"{len(twins)} of {len(hu)} slices repeat the pixels of their neighbour, the first "
            f"between {heights[first]:.1f} and {heights[first + 1]:.1f} mm: a gap seems to "
            "have been filled with copies.",
            _EXPORT_AGAIN,
        )


def _check_strangers(off: Floats, apart: Floats, heights: Floats) -> None:
    strange = np.flatnonzero(off > MAX_STRANGENESS * np.maximum(apart, _QUIET_HU))
    if strange.size:
        raise NotAVolume(
            f"{strange.size} of {len(heights)} slices resemble neither of their neighbours, the "
            f"first at {heights[strange[0] + 1]:.1f} mm: a slice is damaged, out of place or on "
            "another scale.",
            _EXPORT_AGAIN,
        )


def _check_means(most_off: Floats, apart: Floats, heights: Floats) -> tuple[str, ...]:
    means = np.flatnonzero((most_off <= _ROUNDING_HU) & (apart > _QUIET_HU))
    if means.size == 0:
        return ()
    if means.size > FEW_MEANS * len(heights):
        return (f"{means.size} of {len(heights)} slices are interpolated between their neighbours",)
    raise NotAVolume(
        f"{means.size} of {len(heights)} slices are the exact mean of their neighbours, the first "
        f"at {heights[means[0] + 1]:.1f} mm: a gap seems to have been filled by interpolation.",
        _EXPORT_AGAIN,
    )
