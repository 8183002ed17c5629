"""Tumours as things one can point at: found in each scan's map, matched between the two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import pi
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ctrs.link import Link
from ctrs.types import Array, PreparedScan, Triple

SEEN: Final = 0.5  # share of tumour from which a voxel belongs to one
SMALLEST_ML: Final = 0.16  # a ball of 7 mm
MOST: Final = 30  # what a list can hold; the largest come first
# In another breath the same tumour is found up to this far from where the link expects it.
NEAR_MM: Final = 20.0
_RIM_MM: Final = 6.0  # a tumour's hazy edge counts to it in part, not further away than this

Labels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Lesion:
    """A tumour in one scan, as the model outlines it.

    Attributes:
        label: Its value in the scan's labels, from 1.
        at_mm: Its middle, ``(x, y, z)`` in mm from the centre of the scan's first voxel.
        ml: Volume: the shares of all its voxels added up.
    """

    label: int
    at_mm: Triple
    ml: float


@dataclass(frozen=True)
class PairedLesion:
    """A tumour over both scans, under one name.

    Attributes:
        name: ``"L1"`` is the largest in either scan.
        baseline, follow_up: ``None`` where that scan has none at this place: at the follow-up
            without a baseline it is a candidate for a new tumour, for a person to judge.
    """

    name: str
    baseline: Lesion | None
    follow_up: Lesion | None


def find_lesions(share: Array, scan: PreparedScan) -> tuple[list[Lesion], Labels]:
    """The separate tumours of one scan.

    Args:
        share: Of tumour in each voxel, 0 to 1, on the grid of ``scan``.

    Returns:
        The tumours, largest first, and a map of their labels on the same grid, 0 elsewhere.
    """
    cores = np.asarray(ndimage.label(share >= SEEN)[0], np.int32)
    labels = _with_rims(cores, share, scan.spacing)
    ml = ndimage.sum_labels(share, labels, np.arange(1, int(cores.max(initial=0)) + 1))
    ml = np.asarray(ml) * scan.voxel_ml
    order = [n for n in np.argsort(-ml) if ml[n] >= SMALLEST_ML][:MOST]
    kept = np.zeros(share.shape, np.uint8)
    found = []
    for label, n in enumerate(order, start=1):
        kept[labels == n + 1] = label
        found.append(Lesion(label, _middle(share, kept == label, scan), float(ml[n])))
    return found, kept


def _with_rims(
    cores: npt.NDArray[np.int32], share: Array, spacing: Triple
) -> npt.NDArray[np.int32]:
    away, nearest = ndimage.distance_transform_edt(cores == 0, spacing, return_indices=True)
    rims = (share > 0) & (away <= _RIM_MM)
    return np.where(rims, cores[tuple(nearest)], 0)


def _middle(share: Array, where: npt.NDArray[np.bool_], scan: PreparedScan) -> Triple:
    index = np.array(ndimage.center_of_mass(np.where(where, share, 0)))
    z, y, x = np.array(scan.origin) + index * np.array(scan.spacing)
    return float(x), float(y), float(z)


def pair_lesions(
    baseline: Sequence[Lesion], follow_up: Sequence[Lesion], link: Link
) -> list[PairedLesion]:
    """Which tumour of the follow-up is which of the baseline: the nearest first, each once.

    Two belong together if their middles, brought together by the link, lie no further apart
    than `NEAR_MM`, or than both their radii where they are large.
    """
    matched = _nearest_first(baseline, follow_up, link)
    known_0, known_1 = {b.label for b, _ in matched}, {a.label for _, a in matched}
    every: list[tuple[Lesion | None, Lesion | None]] = [
        *matched,
        *((lesion, None) for lesion in baseline if lesion.label not in known_0),
        *((None, lesion) for lesion in follow_up if lesion.label not in known_1),
    ]
    every.sort(key=lambda both: -max(lesion.ml for lesion in both if lesion))
    return [PairedLesion(f"L{n}", *both) for n, both in enumerate(every, start=1)]


def _nearest_first(
    baseline: Sequence[Lesion], follow_up: Sequence[Lesion], link: Link
) -> list[tuple[Lesion, Lesion]]:
    possible = []
    for before in baseline:
        expected = link.matrix[:3] @ np.array([*before.at_mm, 1.0])
        for after in follow_up:
            apart = float(np.linalg.norm(expected - np.array(after.at_mm)))
            if apart <= max(NEAR_MM, _radius_mm(before.ml) + _radius_mm(after.ml)):
                possible.append((apart, before, after))
    chosen: list[tuple[Lesion, Lesion]] = []
    for _, before, after in sorted(possible, key=lambda item: item[0]):
        if all(before is not b and after is not a for b, a in chosen):
            chosen.append((before, after))
    return chosen


def _radius_mm(ml: float) -> float:
    """Of a ball of this volume."""
    return float((3000 * ml / (4 * pi)) ** (1 / 3))
