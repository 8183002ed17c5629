"""From the maps of what is where to a few numbers a scan, and from two scans to a pair's."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from ctrs.config import PrepareConfig
from ctrs.types import STRUCTURES, Array, Mask

EMPHYSEMA_HU = -950.0
SOFT_TISSUE_HU = (-20.0, 120.0)
# Where the network is unsure a voxel counts in part: below the first not at all, above the second
# wholly. Half a per mill of doubt in a million voxels would else be 15 ml. Of a thin haze it is
# never sure: there the doubt itself is what can be measured. Of a liver it matters most whether
# there is any tumour, which doubt helps to tell (AUC 0.91 in place of 0.85 among 98 training
# patients, 35 of them with liver tumours). Edges were chosen on training patients.
DOUBT_SURE = dict.fromkeys(STRUCTURES, (0.2, 0.8)) | {
    "halo": (0.02, 0.3), "liver_tumour": (0.1, 0.6),
}  # fmt: skip
_SURELY, _LIKELY = DOUBT_SURE["tumour"], (0.02, 0.2)  # the second beside tumour of the other scan
_NO_SLOPE = 1e-6  # a root has one at nothing that is endless
_BESIDE_VOXELS = 7  # up to 9 mm away: the two scans are laid upon each other only roughly
BELOW_THE_SHOULDERS = 0.7  # of the height of the lungs
HU_LOW, HU_HIGH = PrepareConfig().window_hu

VOLUMES = tuple(name for name in STRUCTURES if name != "muscle")
MEASURES = (*(f"{name}_ml" for name in VOLUMES), "muscle_cm2", "chest_cm2", "lung_ml", "lung_hu",
            "emphysema_share", "noise_hu", "noise_along_hu")  # fmt: skip

# How a measure is brought to the scale on which it acts: volumes become logarithms, so that their
# difference is growth in per cent.
_TUMOUR_ML, _SMALL_ML = 0.3, 0.5
_SMALLEST_ML = {"tumour_ml": _TUMOUR_ML, "effusion_ml": 50.0, "fibrosis_ml": 50.0}
# Raise it when the same weights would see the same scans differently (the box of the liver, how two
# readings are joined), or measure the same maps differently.
MEASURING = 2
NEW_ML = 0.3  # a new tumour as small as can be seen
# Noise says how a scan was made, and nothing about the patient. Halos are too faint to rely on: in
# real chests large tumours have some haze around them anyway, and the more, the larger they are.
# Airless lung is mapped so that it is not taken for tumour.
_DESCRIBED = tuple(
    n for n in MEASURES if n not in ("halo_ml", "atelectasis_ml", "noise_hu", "noise_along_hu")
)
# What these seem to change by in twelve weeks is breath and scanner, or comes with the tumour's
# size. Where a real tumour grew, the lung that it squeezed was mapped as new scars and its core as
# larger, and the second networks had learnt to take both for good signs: three times its volume
# lowered the survival by 4 points with these changes, by 14 without. Predictions for 1,000 patients
# unknown to the first network went with their true log hazard as before (r = 0.859 with, 0.860).
_STEADY = ("cored_tumour_ml", "fibrosis_ml", "chest_cm2", "lung_hu", "emphysema_share")
_CHANGING = tuple(n for n in _DESCRIBED if n not in _STEADY)
# Faint, and few: it matters most whether there is any, and both scans together know best.
LASTING = ("liver_tumour", "bone_tumour")
INPUTS = (*(f"mean {name}" for name in _DESCRIBED), *(f"change of {name}" for name in _CHANGING),
          "new tumour", "held change of tumour_ml",
          *(f"lasting {name}" for name in LASTING))  # fmt: skip
# Of the log volume: what is gone does no more good by being more gone, and what has grown beyond
# threefold hardly more harm. Without this, and by a straight line, the measures of 1,171 training
# patients went with their true log hazard by r = 0.83, with it by 0.85.
HELD_CHANGE = (-4.2, 1.2)
# Never better with more of it.
_HARMFUL = ("tumour_ml", "liver_tumour_ml", "bone_tumour_ml", "effusion_ml")
WORSE = {f"{what} {name}" for what in ("mean", "change of") for name in _HARMFUL}
WORSE |= {"new tumour", "held change of tumour_ml", *(f"lasting {name}" for name in LASTING)}


def firm(maps: Tensor) -> Tensor:
    """Probabilities of `STRUCTURES` → shares of a voxel, without the haze of doubt.

    Keeps the shape, (B, S, Z, Y, X).
    """
    edges = torch.tensor([DOUBT_SURE[name] for name in STRUCTURES])
    doubt, sure = edges[:, :, None, None, None].unbind(1)
    return ((maps - doubt) / (sure - doubt)).clamp(0, 1)


def measure(image: Tensor, lungs: Tensor, maps: Tensor, voxel_ml: float) -> Tensor:
    """Plain measurements of scans, from the image and the maps.

    Args:
        image, lungs: (B, 1, Z, Y, X).
        maps: (B, S, Z, Y, X), probabilities of `STRUCTURES`.

    Returns:
        (B, 15) in the order of `MEASURES`: volumes in ml; area of the chest wall's muscle and of
        the box around the lungs (less what has none of them) in cm2, means over the slices with
        lung (muscle below the shoulders); density and noise in HU; emphysema as a share of the
        aerated lung.
    """
    hu = image * (HU_HIGH - HU_LOW) + HU_LOW
    shares = firm(maps)
    by_name = dict(zip(STRUCTURES, shares.split(1, dim=1), strict=True))
    volumes = [_total(by_name[name]) * voxel_ml for name in VOLUMES]
    dense = sum(by_name[name] for name in ("tumour", "effusion", "atelectasis"))
    aerated = lungs * (1 - dense).clamp_min(0)
    mm = 10 * voxel_ml ** (1 / 3)
    within, across = _noise(hu)
    return torch.stack(
        [
            *volumes,
            _muscle(by_name["muscle"], lungs) * mm * mm / 100,
            _chest(lungs) * mm * mm / 100,
            _total(lungs) * voxel_ml,
            _mean(hu, aerated),
            _mean((hu < EMPHYSEMA_HU).to(hu.dtype), aerated),
            within,
            across,
        ],
        dim=1,
    )


def _total(share: Tensor) -> Tensor:
    return share.sum(dim=(1, 2, 3, 4))


def _mean(values: Tensor, share: Tensor) -> Tensor:
    return _total(values * share) / _total(share).clamp_min(1.0)


def _muscle(muscle: Tensor, lungs: Tensor) -> Tensor:
    """Voxels of muscle in a slice, on the average from the lowest lung to the shoulders."""
    held = lungs.amax(dim=(1, 3, 4))  # (B, Z)
    up = held.cumsum(1) / held.sum(1, keepdim=True).clamp_min(1)
    low = held * (up <= BELOW_THE_SHOULDERS)
    return (muscle.sum(dim=(1, 3, 4)) * low).sum(1) / low.sum(1).clamp_min(1)


def _chest(lungs: Tensor) -> Tensor:
    """Columns that hold lung times rows that do, on the average of the slices with lung."""
    wide = lungs.amax(3).sum(dim=(1, 3))  # (B, Z): columns that hold lung
    deep = lungs.amax(4).sum(dim=(1, 3))
    held = lungs.amax(dim=(1, 3, 4))
    return (wide * deep).sum(1) / held.sum(1).clamp_min(1)


def _noise(hu: Tensor) -> tuple[Tensor, Tensor]:
    """How much soft tissue differs from voxel to voxel, HU: within a slice and across slices."""
    low, high = SOFT_TISSUE_HU
    soft = ((hu > low) & (hu < high)).to(hu.dtype)

    def differ(axis: int) -> Tensor:
        n = hu.shape[axis]
        parts = [hu.narrow(axis, k, n - 2) for k in (0, 1, 2)]
        inside = torch.stack([soft.narrow(axis, k, n - 2) for k in (0, 1, 2)]).amin(0)
        return _mean((parts[0] - 2 * parts[1] + parts[2]).square() / 6, inside).sqrt()

    return differ(4), differ(2)


# --- Two scans --------------------------------------------------------------------------------


def describe_pair(
    baseline: Tensor,
    follow_up: Tensor,
    new_ml: Tensor,
    followed_ml: tuple[Tensor, Tensor],
    lasting_ml: Tensor,
) -> Tensor:
    """Measures of both scans → `INPUTS`: (B, 15), (B, 15), (B,), (B,) twice, (B, 2) -> (B, 21).

    Args:
        new_ml: Volume of the candidates for new tumours.
        followed_ml: Volume of tumour in both scans, each read with the other beside it: see
            `followed`. Its change is that of the tumour.
        lasting_ml: Volume of each of `LASTING` that both scans show, see `lasting`.
    """
    before, after = _scaled(baseline), _scaled(follow_up)
    change = (after - before)[:, [_DESCRIBED.index(name) for name in _CHANGING]]
    new = torch.log1p(new_ml / NEW_ML)[:, None]
    grown = torch.log1p(followed_ml[1] / _TUMOUR_ML) - torch.log1p(followed_ml[0] / _TUMOUR_ML)
    at = _CHANGING.index("tumour_ml")
    change = torch.cat([change[:, :at], grown[:, None], change[:, at + 1 :]], dim=1)
    held = grown[:, None].clamp(*HELD_CHANGE)
    both = torch.log1p(lasting_ml / _SMALL_ML)
    return torch.cat([(before + after) / 2, change, new, held, both], dim=1)


def followed(tumour: Tensor, near: Tensor) -> Tensor:
    """Shares of tumour in a scan that is read beside the other one, as a reader does.

    Where the other scan surely has tumour, little is needed to believe that this one has some, too.
    Among 430 patients unknown to the network the standard deviation between measured and true log
    change (held) fell from 0.49 to 0.36, and with the true log hazard the change went by r = 0.50
    in place of 0.47.

    Args:
        tumour: Probabilities, any shape.
        near: What `near_tumour` makes of the other scan, 0 to 1, same shape.
    """
    likely, surely = ((tumour - doubt) / (sure - doubt) for doubt, sure in (_LIKELY, _SURELY))
    return torch.maximum(near * likely.clamp(0, 1), surely.clamp(0, 1))


def lasting(kind: Tensor, known: Tensor) -> Tensor:
    """Shares of one kind of tumour that both scans show a little of, at the same place.

    Whether there are tumours of the liver was told by it with an AUC of 0.89 among 430 patients
    unknown to the network, 82 of them with such tumours, by the follow-up alone with 0.84.

    Args:
        kind: Probabilities in the follow-up, any shape.
        known: Those of the baseline near there, see `near_tumour`, same shape.
    """
    together = (kind * known + _NO_SLOPE).sqrt()
    doubt, sure = _LIKELY
    return ((together - doubt) / (sure - doubt)).clamp(0, 1)


def near_tumour(other: Array, lungs: tuple[Mask, Mask]) -> Array:
    """Where one scan may have tumour because the other has: 0 to 1, in the shape of ``other``.

    Args:
        other: Shares or probabilities of tumour in the other scan.
        lungs: Of this scan and of the other: a place of one is found in the other by the boxes
            around them.
    """
    if not (other.any() and lungs[0].any() and lungs[1].any()):
        return np.zeros_like(other)
    (low, high), (low_there, high_there) = (_ends(mask) for mask in lungs)
    if not ((high > low) & (high_there > low_there)).all():
        return np.zeros_like(other)
    scale = (high_there - low_there) / (high - low)
    moved = ndimage.affine_transform(other, scale, low_there - scale * low, order=1)
    return np.asarray(ndimage.maximum_filter(moved, size=_BESIDE_VOXELS), np.float32)


def _scaled(measures: Tensor) -> Tensor:
    m = dict(zip(MEASURES, measures.unbind(1), strict=True))
    seen = [n for n in _DESCRIBED if n.removesuffix("_ml") in VOLUMES]
    volumes = [torch.log1p(m[n] / _SMALLEST_ML.get(n, _SMALL_ML)) for n in seen]
    return torch.stack(
        [
            *volumes,
            torch.log(m["muscle_cm2"].clamp_min(5) / 100),
            torch.log(m["chest_cm2"].clamp_min(50) / 500),
            torch.log(m["lung_ml"].clamp_min(100) / 4000),
            m["lung_hu"] / 100,
            m["emphysema_share"] * 5,
        ],
        dim=1,
    )


def new_tumours(before: Array, after: Array, lungs: tuple[Mask, Mask]) -> list[Array]:
    """Tumours of the follow-up where the baseline shows none: candidates, for a person to judge.

    A place of one scan is found in the other by the boxes around the lungs.

    Args:
        before: Chances of tumour on the model's grid, baseline; the least doubt counts as known.
        after: Shares of tumour, follow-up.
        lungs: Of both scans.

    Returns:
        The share of each candidate, each in the shape of ``after``, the largest first.
    """
    labels, n = ndimage.label(after > _SEEN)
    if n == 0 or not (lungs[0].any() and lungs[1].any()):
        return []
    known = ndimage.maximum_filter(before, size=_NEAR_VOXELS)
    found = []
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        part = np.where(labels[box] == label, after[box], 0)
        if part.sum() < _SMALLEST_NEW_VOXELS:
            continue
        where = np.argwhere(labels[box] == label) + [s.start for s in box]
        if _highest(known, _at_baseline(where, lungs)) < _UNSEEN:
            whole = np.zeros_like(after)
            whole[box] = part
            found.append(whole)
    return sorted(found, key=lambda share: -float(share.sum()))


_SEEN, _UNSEEN = 0.5, 0.1  # share from which tumour is there, chance below which it was not
# 3 mm each: what lies within 21 mm may be the same tumour in another breath. Among 264 training
# patients 15 mm and a share of 0.2 found 26 of 57 with new tumours, and 33 of 207 without; this
# finds 22 and 17.
_NEAR_VOXELS = 15
_SMALLEST_NEW_VOXELS = 6  # 0.16 ml, a ball of 7 mm


def _at_baseline(where: np.ndarray, lungs: tuple[Mask, Mask]) -> np.ndarray:
    (low_0, high_0), (low_1, high_1) = (_ends(mask) for mask in lungs)
    moved = (where - low_1) / np.maximum(high_1 - low_1, 1) * (high_0 - low_0) + low_0
    return np.asarray(np.clip(np.rint(moved), 0, np.array(lungs[0].shape) - 1), int)


def _ends(lungs: Mask) -> np.ndarray:
    """Where lungs begin and end along each axis, but for some stray voxels: (2, 3)."""
    return np.array([np.percentile(axis, (1, 99)) for axis in np.nonzero(lungs)]).T


def _highest(values: Array, where: np.ndarray) -> float:
    return float(values[tuple(where.T)].max())
