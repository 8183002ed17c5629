"""Whether numbers are CT numbers, and what stands for "nothing was measured here"."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ctrs.errors import NotHounsfield
from ctrs.types import Array, Mask

AIR_HU = np.float32(-1024.0)
# Lung and the air around the patient lie below this; water, fat and bone far above.
_AIR_BELOW_HU = -700.0
# An 8-bit picture has at most 256 grey values; from lung to bone a CT has over 1,000.
_MIN_RANGE_HU = 300.0
_MAX_HU = 32767.0  # dense metal on the extended scale; above is no 16-bit CT

# The limits below were set beside 8 real series of 6 people; what those showed is in brackets.
_AIREST_SHARE = 0.001
AIREST_HU = -930.0  # the thousandth darkest voxel [-1023 to -1021]
_TISSUE_HU = (-500.0, 1000.0)
PEAK_HU = (-150.0, 150.0)  # fat lies at -100, muscle at 50, enhanced organs at 100 [-105 to 85]
_PEAK_WIDTH_HU = 50
MUSCLE_HU = (0.0, 120.0)
_FAT_TO_MUSCLE_HU = (-250.0, 250.0)
MIN_MUSCLE = 0.15  # of the voxels of fat and muscle [0.35 to 0.60]
MAX_GREYS = 256
_GREY_STEP_HU = 3.0  # between neighbouring values of an 8-bit picture over a lung window: 5
_VOXELS_PER_GREY = 20
_FEW_GREYS = 16  # so few are a drawing of our own, not a picture
# A scan cut off above, as a window does: up to which HU that is told from metal at the end of the
# scale, and how many voxels have the largest value [0.0002 at most, at 3071]. Cut off at 400 HU,
# real scans have 0.007 to 0.04.
UNCUT_HU = 1000.0
MAX_AT_TOP = 0.002
_SAMPLE = 4  # each way within a slice
_COUNTED_HU = np.float32(1100.0)  # above is bone and metal
Counts = npt.NDArray[np.int_]  # voxels by HU, from -1024 on


def check_hounsfield(hu: Array) -> None:
    """Refuse values that cannot be a CT of the body in HU: a mask, a picture, another scale.

    Air and soft tissue have to be where they are in every patient. That shows a wrong
    intercept or slope, a normalised, inverted or 8-bit picture, whatever the header says.

    Raises:
        NotHounsfield: No air among them, too narrow a range, values no CT has, a peak of soft
            tissue that is not between fat and enhanced muscle, only a few grey values, or values
            cut off at the upper end of a window.
    """
    sample = hu[:, ::_SAMPLE, ::_SAMPLE]
    _check_range(hu, sample)
    counts = np.bincount((np.clip(sample, AIR_HU, _COUNTED_HU) - AIR_HU + 0.5).astype(int).ravel())
    _check_peaks(np.pad(counts, (0, int(_COUNTED_HU - AIR_HU) + 1 - len(counts))))
    _check_greys(sample)
    _check_cut_off(sample)


def _check_range(hu: Array, sample: Array) -> None:
    high = float(hu.max())
    low = _lowest(sample)
    if low > _AIR_BELOW_HU:
        low = _lowest(hu)  # for small volumes, and for the words
    if low <= _AIR_BELOW_HU and high - low >= _MIN_RANGE_HU and high <= _MAX_HU:
        return
    found = f"from {low:.0f} to {high:.0f}" if np.isfinite(low) else f"{high:.0f} everywhere"
    raise _not_hounsfield(
        f"The values are {found}; a CT in Hounsfield units has air below "
        f"{_AIR_BELOW_HU:.0f} and a range of at least {_MIN_RANGE_HU:.0f}."
    )


def _lowest(hu: Array) -> float:
    """Lowest value above -1024, which is what padding becomes, and padding proves nothing."""
    return float(np.min(hu, initial=np.inf, where=hu > AIR_HU))


def _check_peaks(counts: Counts) -> None:
    airest = float(AIR_HU) + int(np.searchsorted(np.cumsum(counts), _AIREST_SHARE * counts.sum()))
    if airest > AIREST_HU:
        raise _not_hounsfield(
            f"The air of the scan lies at {airest:.0f}; in Hounsfield units it is at -1000."
        )
    body = _between(counts, _TISSUE_HU)
    peak = _TISSUE_HU[0] + float(np.convolve(body, np.ones(_PEAK_WIDTH_HU), "same").argmax())
    if not body.any() or not PEAK_HU[0] <= peak <= PEAK_HU[1]:
        raise _not_hounsfield(
            f"Most of the body lies at {peak:.0f}; fat and muscle are between "
            f"{PEAK_HU[0]:.0f} and {PEAK_HU[1]:.0f} Hounsfield units."
        )
    soft = _between(counts, _FAT_TO_MUSCLE_HU).sum()
    muscle = _between(counts, MUSCLE_HU).sum() / max(soft, 1)
    if muscle < MIN_MUSCLE:
        raise _not_hounsfield(
            f"Only {muscle:.0%} of the soft tissue lies between {MUSCLE_HU[0]:.0f} and "
            f"{MUSCLE_HU[1]:.0f}, where muscle and blood are; at least {MIN_MUSCLE:.0%} is "
            "expected. The scale is probably shifted."
        )


def _between(counts: Counts, limits: tuple[float, float]) -> Counts:
    low, high = (int(limit - AIR_HU) for limit in limits)
    return counts[low : high + 1]


def _check_greys(sample: Array) -> None:
    some = sample[:: max(1, len(sample) // 16)]
    if some.size < _VOXELS_PER_GREY * MAX_GREYS:
        return  # too few to have met all values of a CT
    greys = np.unique(np.rint(some))
    if _FEW_GREYS < greys.size <= MAX_GREYS and np.diff(greys).min() > _GREY_STEP_HU:
        raise _not_hounsfield(
            f"There are only {greys.size} different values, at least {np.diff(greys).min():.0f} "
            "apart: this is an 8-bit picture; a CT has thousands."
        )


def _check_cut_off(sample: Array) -> None:
    top = sample.max()
    at_top = np.count_nonzero(sample == top)
    share = at_top / sample.size
    if top >= UNCUT_HU or at_top < _VOXELS_PER_GREY or share <= MAX_AT_TOP:
        return
    if np.unique(sample).size > _FEW_GREYS:
        raise _not_hounsfield(
            f"{share:.1%} of the voxels have the largest value, {top:.0f}: bone is cut off there, "
            "as in a picture with a window; in a CT it goes on to over 1,000."
        )


def _not_hounsfield(what: str) -> NotHounsfield:
    return NotHounsfield(
        what,
        "Choose the original CT images, in Hounsfield units, not a mask or a screenshot.",
    )


def touching_border(mask: Mask) -> Mask:
    """The parts of a 2-D mask that touch its border.

    Padding surrounds the reconstructed circle. Inside, the same stored value is tissue: some
    scanners declare 0 as padding where 0 is also water.
    """
    parts, _ = ndimage.label(mask)
    edge = np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])
    return np.asarray(np.isin(parts, np.unique(edge[edge > 0])))
