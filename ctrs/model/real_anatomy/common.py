"""What all the checks on real scans share: how a scan is prepared and a prediction is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from ctrs.config import Config
from ctrs.prepare import prepare
from ctrs.types import Array, Prediction, PreparedScan, Volume

Progress: TypeAlias = Callable[[str], None]
Row: TypeAlias = dict[str, Any]  # readable JSON: what was found in one scan

COUNTED_ML = 5.0  # smaller tumours are told, and decide nothing
SEED = 1  # of the follow-ups


class Network(Protocol):
    """What is asked of `ctrs.model.ensemble.Ensemble`."""

    def maps(self, scan: PreparedScan) -> dict[str, Array]: ...

    def __call__(
        self, baseline: PreparedScan, follow_up: PreparedScan, interval_days: float
    ) -> Prediction: ...


def prepared_scan(volume: Volume) -> PreparedScan:
    """As the app prepares it."""
    config = Config()
    return prepare(volume, config.prepare, config.chest)[0]


def survival_12m(prediction: Prediction) -> float:
    """P(alive 12 months after the follow-up)."""
    return float(prediction.curve.survival[prediction.curve.months.index(12.0)])


def measured_change(prediction: Prediction) -> float | None:
    """Of all tumour in the scan, a fraction of the baseline; ``None`` without any there."""
    tumour = prediction.biomarkers["tumour_volume"]
    return tumour.change / tumour.baseline if tumour.baseline > 0 else None


def rounded(value: float | None, digits: int = 4) -> float | None:
    return None if value is None else round(float(value), digits)
