"""Whether each slice fits between its neighbours: faults that positions do not show.

A gap that somebody filled with a copy, or with the mean of its neighbours, has perfect positions.
So have slices with another's pixels, in the wrong order, lost and left blank, or on another scale.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np

from ctrs.config import IntakeConfig
from ctrs.errors import NotAVolume
from ctrs.ingest.geometry import check_extent
from ctrs.types import Array, Floats, Mask, Volume

# Distance of a slice from the mean of its neighbours over the distance between those. Pure noise
# gives 0.87, smooth change less; 8 real series with 2 to 8 mm between slices stay below 0.83.
MAX_STRANGENESS = 1.5
_QUIET_HU = 5.0  # neighbours nearer to each other than this differ by noise alone
# Means are rounded to whole HU, or cut off.
_ROUNDING_HU = 1.01
# More than this share of exact means, in each part of it, is a series made from a thicker one.
FEW_MEANS = 0.1
_PARTS = 5
# A measured slice has hundreds of values in its sample; air, or a drawing without noise, a few.
_NOISE = 64
_SAMPLE = 8  # each way within a slice
# Of the tissue of two neighbours, less what they differ throughout: 0.15 at most in 12 series.
_SAME_SHARE = 0.8
_SAME_HU = 1.0
_TISSUE_ABOVE_HU = -900.0

# The limits below are of means over blocks of 8 x 8 pixels, which noise leaves alone. They were set
# beside 9 real series of 8 people, 11 scans of the demo and 10 of the simulated trial, each also
# thinned to every 2nd, 3rd and 4th slice, up to 10 mm.
_BLOCK = 8
# Distance of a slice from the next over that from the next but one: 0.88 at most (abdomen, 9 mm).
# A jump back by a breath of 20 mm has up to 1.23, two slices exchanged 1.30 or more.
MAX_DISORDER = 1.25
_NO_CHANGE_HU = 4.0  # so near are slices that show the same
# Distance of two neighbours over the median of those around: 1.73 at most, 2.32 in one narrow
# field thinned to 6 mm. A breath of 20 mm in the middle of the scan reaches 4.0.
MAX_STEP = 2.5
_AROUND = 5  # on either side
# A step refuses the scan where slices so far apart usually differ less (0.61 of it for a breath of
# 20 mm), or where another slice, further away than a breath, continues it (2.6 after real gaps).
STEP_MM = 25.0
_BREATH_MM = 20.0
_CONTINUES = 1.4  # times the usual distance; slices in their right order have 1

_EXPORT_AGAIN = "Export the whole series again from the archive, then try again."


def check_neighbours(hu: Array, heights: Floats) -> tuple[str, ...]:
    """Refuse a slice that cannot belong where it is.

    Args:
        hu: ``(slices, rows, columns)``.
        heights: Of each slice in the patient, mm.

    Returns:
        Doubts, in words: that the scan jumps somewhere, or was interpolated as a whole.

    Raises:
        NotAVolume: Two slices have the same pixels, one is the exact mean of its neighbours, is
            blank or resembles neither of them, or the scan does not go on from one to the next.
            The place of the first is named.
    """
    sample = np.ascontiguousarray(hu[:, ::_SAMPLE, ::_SAMPLE])  # far faster to go through
    _check_twins(hu, sample, heights)
    below, here, above = sample[:-2], sample[1:-1], sample[2:]
    off = np.abs(here - (below + above) / 2)
    apart = _mean(np.abs(above - below))
    _check_strangers(_mean(off), apart, heights)
    _check_copies(hu, sample, heights)
    blank = _blank(sample)
    first, end = _ends(blank)
    _check_blank(blank, first, end, heights)
    coarse = _block_means(hu[first:end])
    _check_order(coarse, heights[first:end])
    doubts = _check_steps(coarse, heights[first:end])
    return doubts + _check_means(off.max(axis=(1, 2)), apart, heights)


def without_blank_ends(volume: Volume, config: IntakeConfig) -> Volume:
    """The volume without the slices at its ends that have one value throughout.

    They were not measured, and would hide that the scan ends inside the lungs.

    Raises:
        NotAVolume: Too few slices are left.
    """
    first, end = _ends(_blank(volume.hu[:, ::_SAMPLE, ::_SAMPLE]))
    dropped = len(volume.hu) - (end - first)
    if dropped == 0:
        return volume
    check_extent(end - first, volume.spacing[0], config)
    up = np.array(volume.direction[2::3]) * volume.spacing[0]
    x, y, z = (float(mm) for mm in np.array(volume.origin) + first * up)
    repair = f"blank slices at the ends dropped: {dropped}"
    return replace(
        volume, hu=volume.hu[first:end], origin=(x, y, z), repairs=(*volume.repairs, repair)
    )


def _mean(planes: Array) -> Floats:
    return np.asarray(planes.mean(axis=(1, 2), dtype=np.float64))


def _blank(sample: Array) -> Mask:
    return np.asarray(sample.max(axis=(1, 2)) == sample.min(axis=(1, 2)))


def _ends(blank: Mask) -> tuple[int, int]:
    """The first slice that is not blank, and the one behind the last; all, if there is none."""
    measured = np.flatnonzero(~blank)
    return (int(measured[0]), int(measured[-1]) + 1) if measured.size else (0, len(blank))


def _block_means(hu: Array) -> Array:
    """``(slices, rows, columns)``, of whole blocks; slice by slice, which is the fastest."""
    side = min(_BLOCK, *hu.shape[1:])
    rows, columns = hu.shape[1] // side, hu.shape[2] // side
    ones = np.ones(side, np.float32)
    means = np.empty((len(hu), rows, columns), np.float32)
    for plane, out in zip(hu, means, strict=True):
        lines = plane[: rows * side, : columns * side].reshape(rows, side, -1).sum(axis=1)
        out[:] = lines.reshape(rows, columns, side) @ ones / side**2
    return means


def _distances(coarse: Array, between: int) -> Floats:
    """Of each slice from the one so many above it, HU."""
    return _mean(np.abs(coarse[between:] - coarse[:-between]))


def _check_twins(hu: Array, sample: Array, heights: Floats) -> None:
    """Refuse neighbours that are equal, or differ by one value throughout: noise never does."""
    change = sample[1:] - sample[:-1]
    tissue = np.maximum(sample[1:], sample[:-1]) > _TISSUE_ABOVE_HU
    usual = np.median(change, axis=(1, 2))[:, None, None]
    same = (np.abs(change - usual) <= _SAME_HU) & tissue
    shares = same.sum(axis=(1, 2)) / np.maximum(tissue.sum(axis=(1, 2)), _NOISE)
    twins = [i for i in np.flatnonzero(shares > _SAME_SHARE) if _is_measured(sample[i])]
    if twins:
        first = twins[0]
        raise NotAVolume(
            f"{len(twins)} of {len(hu)} slices repeat the pixels of their neighbour, the first "
            f"between {heights[first]:.1f} and {heights[first + 1]:.1f} mm: a gap seems to "
            "have been filled with copies.",
            _EXPORT_AGAIN,
        )


def _is_measured(plane: Array) -> bool:
    return np.unique(plane).size > _NOISE


def _check_copies(hu: Array, sample: Array, heights: Floats) -> None:
    """Refuse equal slices wherever they are."""
    alike: dict[bytes, list[int]] = {}
    for index, plane in enumerate(sample):
        alike.setdefault(plane.tobytes(), []).append(index)
    groups = [g for g in alike.values() if len(g) > 1 and _is_measured(sample[g[0]])]
    pairs = (pair for group in groups for pair in combinations(group, 2))
    twins = [(one, other) for one, other in pairs if np.array_equal(hu[one], hu[other])]
    if twins:
        one, other = twins[0]
        raise NotAVolume(
            f"{len({other for _, other in twins})} of {len(hu)} slices repeat the pixels of "
            f"another, the first at {heights[one]:.1f} and {heights[other]:.1f} mm: a gap seems to "
            "have been filled with copies.",
            _EXPORT_AGAIN,
        )


def _check_blank(blank: Mask, first: int, end: int, heights: Floats) -> None:
    inside = np.flatnonzero(blank[first:end]) + first
    if 0 < inside.size < end - first:
        raise NotAVolume(
            f"{inside.size} of {len(heights)} slices are blank, the first at "
            f"{heights[inside[0]]:.1f} mm: they seem to have been lost.",
            _EXPORT_AGAIN,
        )


def _check_order(coarse: Array, heights: Floats) -> None:
    """Refuse a slice that is nearer to the next but one than to the next, up or down.

    Where a body is symmetric, as some drawn ones are, the slices beside its middle are equal: but
    then they are also nearer to it than slices usually are.
    """
    if len(coarse) <= 2:
        return
    step, two = _distances(coarse, 1), np.maximum(_distances(coarse, 2), _NO_CHANGE_HU)
    usual = _usual(step)
    far = np.maximum(step[:-1], step[1:])
    unusual = far > np.maximum(usual[:-1], usual[1:])
    wrong = np.flatnonzero((far > MAX_DISORDER * two) & unusual)
    if wrong.size:
        raise NotAVolume(
            f"The slices around {heights[wrong[0] + 1]:.1f} mm are not in order: one resembles the "
            "next but one more than the next.",
            _EXPORT_AGAIN,
        )


def _check_steps(coarse: Array, heights: Floats) -> tuple[str, ...]:
    """A step is a doubt, or, where no breath makes one so large, a reason to refuse."""
    if len(coarse) <= 2:
        return ()
    step = _distances(coarse, 1)
    if np.median(step) <= _QUIET_HU:
        return ()  # a drawing that changes at few places; measured slices differ by 13 HU and more
    usual = np.maximum(_usual(step), _QUIET_HU)
    spacing_mm = float(np.median(np.diff(heights)))
    far = min(max(1, round(STEP_MM / spacing_mm)), len(coarse) - 1)
    limit = float(np.median(_distances(coarse, far)))
    steps = np.flatnonzero(step > MAX_STEP * usual)
    for at in map(int, steps):
        elsewhere = _continues_elsewhere(coarse, at, usual[at], _BREATH_MM / spacing_mm)
        if step[at] > limit or elsewhere:
            raise NotAVolume(
                f"The scan does not continue between {heights[at]:.1f} and {heights[at + 1]:.1f} "
                f"mm: these slices differ {step[at] / usual[at]:.1f} times as much as those "
                f"around (up to {MAX_STEP:g} is usual). Slices are lost, out of place, of another "
                "scan or on another scale.",
                _EXPORT_AGAIN,
            )
    return tuple(
        f"The scan jumps at {heights[at]:.1f} mm: neighbouring slices differ "
        f"{step[at] / usual[at]:.1f} times as much as those around; the patient may have "
        "breathed, or slices may be missing"
        for at in steps[:1]
    )


def _usual(step: Floats) -> Floats:
    """Median of the steps around each, itself left out."""
    around = [
        np.concatenate([step[max(0, at - _AROUND) : at], step[at + 1 : at + 1 + _AROUND]])
        for at in range(len(step))
    ]
    return np.array([np.median(steps) for steps in around])


def _continues_elsewhere(coarse: Array, at: int, usual: float, far: float) -> bool:
    """Whether a slice on either side of a step goes on in another part of the scan."""
    places = np.arange(len(coarse))
    for side in (at, at + 1):
        others = coarse[np.abs(places - side) > far]
        if (_mean(np.abs(others - coarse[side])) < _CONTINUES * usual).any():
            return True
    return False


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
    busy = apart > _QUIET_HU
    is_mean = (most_off <= _ROUNDING_HU) & busy
    means = np.flatnonzero(is_mean)
    if means.size == 0:
        return ()
    everywhere = all(part.any() for part in np.array_split(is_mean[busy], _PARTS))
    if everywhere and means.size > FEW_MEANS * len(heights):
        return (f"{means.size} of {len(heights)} slices are interpolated between their neighbours",)
    raise NotAVolume(
        f"{means.size} of {len(heights)} slices are the exact mean of their neighbours, the first "
        f"at {heights[means[0] + 1]:.1f} mm: a gap seems to have been filled by interpolation.",
        _EXPORT_AGAIN,
    )
