"""Is the outlined tumour found, how large, and what else is taken for one?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from ctrs.model.real_anatomy.common import COUNTED_ML, Network, Row, prepared_scan, rounded
from ctrs.prepare import onto_model_grid
from ctrs.trial.real.outlined import OutlinedScan
from ctrs.types import Array, Mask, PreparedScan, Volume

LARGEST_RATIO = 1.5  # of measured to outlined volume, either way
LEAST_DICE = 0.6
HALF = 0.5  # share of a voxel from which it is inside
AROUND = np.ones((3, 3, 3), bool)  # a voxel touches another by a corner, too


@dataclass(frozen=True)
class Overlap:
    """The tumour map of a scan against an outline; volumes in ml.

    Attributes:
        found: Some voxel that is tumour to the model lies within the outline.
        attached_ml: Of the connected parts that overlap the outline, or touch it.
        outlined_ml: Within the outline itself.
        total_ml: Everywhere.
        parts_elsewhere_ml: The other connected parts, largest first: candidates for false
            positives, or tumours that nobody outlined.
        dice: Of the attached parts and the outline; 1 = the same voxels.
    """

    found: bool
    attached_ml: float
    outlined_ml: float
    total_ml: float
    parts_elsewhere_ml: tuple[float, ...]
    dice: float

    @property
    def elsewhere_ml(self) -> float:
        return max(self.total_ml - self.attached_ml, 0.0)


def compare(tumour: Array, outline: Array, voxel_ml: float) -> Overlap:
    """Compare two maps of shares in [0, 1] on the model's grid.

    A voxel that is tumour by half or more is a core; a connected part is its cores and what
    lies next to them, so that the partial voxels of a rim count where they belong.
    """
    core = tumour >= HALF
    truth = outline >= HALF if (outline >= HALF).any() else outline > 0
    labels, n = ndimage.label(core, structure=AROUND)
    sizes = np.bincount(labels.ravel(), weights=tumour.ravel(), minlength=n + 1)
    near = np.unique(labels[_grown(truth)])
    touching = np.isin(labels, near[near > 0])
    attached = np.where(_grown(touching), tumour, 0)
    elsewhere = np.sort(np.delete(sizes, np.union1d(near, [0])))[::-1] * voxel_ml
    both = float((touching & truth).sum())
    return Overlap(
        found=bool((core & truth).any()),
        attached_ml=_ml(attached, voxel_ml),
        outlined_ml=_ml(tumour * outline, voxel_ml),
        total_ml=_ml(tumour, voxel_ml),
        parts_elsewhere_ml=tuple(map(float, elsewhere)),
        dice=2 * both / max(float(touching.sum() + truth.sum()), 1.0),
    )


def _grown(mask: Mask) -> Mask:
    """By one voxel in every direction."""
    return np.asarray(ndimage.binary_dilation(mask, AROUND))


def _ml(shares: Array, voxel_ml: float) -> float:
    return float(shares.sum(dtype=np.float64)) * voxel_ml


def measure_tumour(scan: OutlinedScan, network: Network) -> Row:
    """What the first network says of one outlined (or boxed) tumour."""
    prepared = prepared_scan(scan.volume)
    seen = against(scan.volume, scan.tumour, prepared, network)
    ml = scan.tumour_ml
    return {
        "scan": scan.name,
        "true_ml": rounded(ml, 2),
        "counted": ml >= COUNTED_ML,
        "found": seen.found,
        "attached_ml": rounded(seen.attached_ml, 2),
        "ratio": rounded(seen.attached_ml / ml, 3),
        "dice": rounded(seen.dice, 3),
        "inside_ml": rounded(seen.outlined_ml, 2),
        "total_ml": rounded(seen.total_ml, 2),
        "elsewhere_ml": rounded(seen.elsewhere_ml, 2),
        "parts_elsewhere_ml": [rounded(part, 2) for part in seen.parts_elsewhere_ml[:5]],
    }


def against(volume: Volume, tumour: Mask, prepared: PreparedScan, network: Network) -> Overlap:
    outline = onto_model_grid(tumour.astype(np.float32), volume.spacing, prepared)
    return compare(network.maps(prepared)["tumour"], outline, prepared.voxel_ml)


def judge_masks(rows: list[Row]) -> dict[str, Any]:
    counted = [row for row in rows if row["counted"]]
    dice = float(np.median([row["dice"] for row in counted])) if counted else None
    right = [1 / LARGEST_RATIO <= row["ratio"] <= LARGEST_RATIO for row in counted]
    found = [row["found"] for row in counted]
    return {
        "n": len(counted),
        "target": f"tumours of {COUNTED_ML:.0f} ml or more: all found, measured within a factor"
        f" {LARGEST_RATIO} of the outline, median Dice at least {LEAST_DICE}",
        "met": all(found) and all(right) and dice >= LEAST_DICE if dice is not None else None,
        "found": sum(found),
        "within_ratio": sum(right),
        "median_dice": rounded(dice, 3),
        "scans": rows,
    }


def judge_boxes(rows: list[Row]) -> dict[str, Any]:
    """A box holds more than the tumour: its volume is no truth to measure against."""
    no_truth = ("true_ml", "counted", "ratio", "dice")
    kept = [{key: value for key, value in row.items() if key not in no_truth} for row in rows]
    return {
        "n": len(kept),
        "target": "none: boxes around tumours, without an outline",
        "met": None,
        "found": sum(row["found"] for row in kept),
        "scans": kept,
    }
