"""Where the score comes from: a signed map a scan, on the scan's own grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ctrs.assess import Workshop, prepare_pair
from ctrs.prepare import onto_scan_grid
from ctrs.types import Array, PreparedScan, ScanPair


class Explainer(Protocol):
    """A model that can say which voxels moved its answer."""

    version: str

    def attribute(
        self, baseline: PreparedScan, follow_up: PreparedScan, interval_days: float
    ) -> tuple[Array, Array]: ...


@dataclass(frozen=True)
class SaliencyMap:
    """Signed saliency of one scan.

    Attributes:
        values: Shape of the scan's ``hu``, -1 to 1. Positive: what stands there raised the
            predicted survival; negative: it lowered it. Both scans of a pair share one scale.
            It is no tumour outline.
    """

    values: Array


def explain(
    pair: ScanPair, workshop: Workshop, model: Callable[[], Explainer]
) -> tuple[SaliencyMap, SaliencyMap]:
    """Saliency of both scans of a pair, by integrated gradients; cached like prepared scans.

    Source:
        Sundararajan, Taly & Yan, ICML 2017.
    """
    (before, _), (after, _) = prepare_pair(pair, workshop)
    key = f"saliency-{pair.key}-{workshop.model_version}".lower()
    arrays = workshop.cache.get(key) if workshop.cache else None
    if arrays is None:
        days = workshop.config.pair.days(pair.interval_days)
        maps = model().attribute(before, after, days)
        arrays = dict(zip(("baseline", "follow_up"), _on_one_scale(maps), strict=True))
        if workshop.cache:
            workshop.cache.put(key, arrays)
    return (
        SaliencyMap(onto_scan_grid(arrays["baseline"], before, pair.baseline)),
        SaliencyMap(onto_scan_grid(arrays["follow_up"], after, pair.follow_up)),
    )


def _on_one_scale(maps: tuple[Array, Array]) -> list[Array]:
    """Divide both maps by the same number, so that they can be compared."""
    top = max(float(np.quantile(np.abs(values), 0.9995)) for values in maps)
    return [np.clip(values / max(top, 1e-12), -1, 1).astype(np.float32) for values in maps]
