"""Where a place of the baseline lies in the follow-up, so that both can be looked at together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctrs.types import Floats, Mask, PreparedScan

_ENDS = (1.0, 99.0)  # percent of the lungs' voxels; the outermost ones are noise


@dataclass(frozen=True)
class Link:
    """How the two scans of a pair belong together.

    Attributes:
        matrix: Affine, (4, 4): a place in the baseline, ``(x, y, z, 1)`` in mm from the centre
            of the scan's first voxel, becomes the same place of the follow-up, from the centre
            of its own first voxel.
        sure: Whether it may be relied on without a look.
        how: How it came about, in words.
    """

    matrix: Floats
    sure: bool
    how: str


def link_by_lungs(baseline: PreparedScan, follow_up: PreparedScan) -> Link:
    """Lay the boxes around the lungs onto each other, along each axis by itself.

    A patient turned on the table is not turned back. Without lungs in both scans the middles of
    the model's boxes lie on each other.
    """
    if not (baseline.lungs.any() and follow_up.lungs.any()):
        shift = _middle(follow_up) - _middle(baseline)
        how = "The middles of both scans lie on each other: no lungs were found."
        return Link(_affine(np.ones(3), shift), False, how)
    (low_0, high_0), (low_1, high_1) = _ends(baseline), _ends(follow_up)
    stretch = (high_1 - low_1) / np.maximum(high_0 - low_0, 1.0)
    how = "Linked by the boxes around the lungs, which other breath or posture can shift."
    return Link(_affine(stretch, low_1 - stretch * low_0), False, how)


def _ends(scan: PreparedScan) -> tuple[Floats, Floats]:
    """First and last place with lung, ``(x, y, z)`` in mm."""
    low, high = (_percentile(scan.lungs, share) for share in _ENDS)
    return _to_mm(low, scan), _to_mm(high, scan)


def _percentile(mask: Mask, share: float) -> Floats:
    return np.array([np.percentile(axis, share) for axis in np.nonzero(mask)])


def _middle(scan: PreparedScan) -> Floats:
    return _to_mm((np.array(scan.image.shape) - 1) / 2, scan)


def _to_mm(index: Floats, scan: PreparedScan) -> Floats:
    mm: Floats = np.array(scan.origin) + index * np.array(scan.spacing)
    return mm[::-1]  # (z, y, x) -> (x, y, z)


def _affine(stretch: Floats, shift: Floats) -> Floats:
    matrix = np.eye(4)
    matrix[:3, :3] = np.diag(stretch)
    matrix[:3, 3] = shift
    return matrix
