"""What the score hangs on: the follow-up's tumour made smaller and larger, and scored each time.

A property of the model, not of a treatment: nobody's tumour was treated here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from ctrs.assess import Workshop, prepare_pair
from ctrs.config import PrepareConfig
from ctrs.errors import InputRejected
from ctrs.trial.real.tumour_warp import Region, bend, cut_region, sources, step_for
from ctrs.types import Array, Floats, Prediction, PreparedScan, ScanPair

# Of the follow-up's tumour volume, which is 0 here.
CHANGES = (-0.8, -0.6, -0.4, -0.2, 0.0, 0.3, 0.65, 1.0, 1.5, 2.0)
SEEN = 0.5  # share of a voxel from which it is tumour
LEAST_ML = 0.5  # a tumour of 1 cm: smaller ones have no shape on the model's grid
CORRECTIONS = 3
AT = 12.0  # months


class Imaginer(Protocol):
    """A model that scores a pair and says where it sees what."""

    version: str

    def __call__(
        self, baseline: PreparedScan, follow_up: PreparedScan, interval_days: float
    ) -> Prediction: ...

    def maps(self, scan: PreparedScan) -> Mapping[str, Array]: ...


@dataclass(frozen=True)
class WhatIf:
    """The score of one pair for several volumes of the follow-up's tumour.

    Attributes:
        changes: Of the volume, as a fraction of what is there: -0.5 = half, 1 = twice as much.
        survival: Predicted 12-month survival for each; higher = lives longer.
        lower, upper: Its 90 % interval.
        tumour_ml: What is there, by the model's own measure.
    """

    changes: Floats
    survival: Floats
    lower: Floats
    upper: Floats
    tumour_ml: float


def what_if(
    pair: ScanPair,
    workshop: Workshop,
    model: Callable[[], Imaginer],
    progress: Callable[[float], None] = lambda share: None,
) -> WhatIf:
    """Score a pair with its follow-up's tumour changed in steps; cached like prepared scans.

    The tumour that the model sees is bent smaller or larger on the model's own grid, all lesions
    in proportion; everything else stays, the noise too.

    Args:
        progress: Called with the share done, 0 to 1.

    Raises:
        InputRejected: The model sees no tumour in the follow-up that could be changed.
    """
    (before, _), (after, _) = prepare_pair(pair, workshop)
    key = f"what-if-{pair.key}-{workshop.model_version}".lower()
    kept = workshop.cache.get(key) if workshop.cache else None
    if kept is None:
        days = workshop.config.pair.days(pair.interval_days)
        kept = _scored(model(), before, after, days, progress)
        if workshop.cache:
            workshop.cache.put(key, kept)
    changes, survival, lower, upper = (
        kept[name].astype(float) for name in ("changes", "survival", "lower", "upper")
    )
    return WhatIf(changes, survival, lower, upper, tumour_ml=float(kept["tumour_ml"][0]))


def _scored(
    model: Imaginer,
    before: PreparedScan,
    after: PreparedScan,
    days: float,
    progress: Callable[[float], None],
) -> dict[str, Array]:
    tumour = np.asarray(model.maps(after)["tumour"] > SEEN)
    ml = float(tumour.sum()) * after.voxel_ml
    if ml < LEAST_ML:
        raise InputRejected(
            f"The model sees {ml:.1f} ml of tumour in the follow-up; {LEAST_ML:g} ml are the least"
            " that can be made smaller or larger.",
            "Read the score as it is: it hangs on other things than the tumour.",
        )
    region = cut_region(_hu(after), tumour, after.spacing, 1 + max(CHANGES))
    rows = []
    for index, change in enumerate(CHANGES, start=1):
        curve = model(before, _changed(after, region, change), days).curve
        at = curve.months.index(AT)
        rows.append((change, curve.survival[at], curve.lower[at], curve.upper[at]))
        progress(index / len(CHANGES))
    names = ("changes", "survival", "lower", "upper")
    found = dict(zip(names, np.array(rows, np.float32).T, strict=True))
    return found | {"tumour_ml": np.array([ml], np.float32)}


def _changed(scan: PreparedScan, region: Region, change: float) -> PreparedScan:
    if change == 0:
        return scan
    image = scan.image.copy()
    low, high = PrepareConfig().window_hu
    bent = bend(region.hu, _sources(region, (1 + change) * float(region.tumour.sum())))
    image[region.box] = np.clip((bent - low) / (high - low), 0, 1)
    return replace(scan, image=image)


def _sources(region: Region, voxels: float) -> Array:
    """Where each voxel comes from, for a tumour of so many voxels.

    Interpolation on voxels of 3 mm takes from the change, so that the step is corrected.
    """
    radius = float((3 * voxels * np.prod(region.pixel_mm) / (4 * np.pi)) ** (1 / 3))
    step, tumour = step_for(region, voxels), region.tumour.astype(np.float32)
    for _ in range(CORRECTIONS):
        excess = float(bend(tumour, sources(region, step)).sum()) / voxels - 1
        step -= excess * radius / 3  # the volume of a ball changes three times as fast
    return sources(region, step)


def _hu(scan: PreparedScan) -> Array:
    low, high = PrepareConfig().window_hu
    return scan.image * np.float32(high - low) + np.float32(low)
