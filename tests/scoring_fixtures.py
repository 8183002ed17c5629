"""A model whose answer is known by hand, and real networks with weights of no training."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ctrs.model.foresee import Foresight
from ctrs.model.network import Foreseer, Perceiver
from ctrs.model.train import _write
from ctrs.model.usual import TRAITS, Usual
from ctrs.model.weights import Card
from ctrs.types import Biomarker, PredictedCurve, Prediction, PreparedScan

MONTHS = (0.0, 6.0, 12.0, 24.0)


def prediction(
    survival_12m: float = 0.62,
    *,
    interval: tuple[float, float] = (0.55, 0.70),
    members: tuple[float, ...] = (0.60, 0.64),
    ood_percentile: float = 40.0,
) -> Prediction:
    """A green answer unless told otherwise; no value stands twice in it."""
    low, high = interval
    return Prediction(
        curve=PredictedCurve(
            months=MONTHS,
            survival=(1.0, 0.80, survival_12m, 0.31),
            lower=(1.0, 0.74, low, 0.22),
            upper=(1.0, 0.86, high, 0.42),
        ),
        members=members,
        ood_percentile=ood_percentile,
        biomarkers={"tumour_volume": Biomarker(10.0, 7.5, "ml")},
    )


@dataclass
class FixedModel:
    """Answers the same to everybody, and remembers what it was asked."""

    answer: Prediction = field(default_factory=prediction)
    version: str = "fixed-1"
    cut_off: float = 0.6
    device: str = "cpu"
    asked: list[float] = field(default_factory=list)

    def __call__(
        self, baseline: PreparedScan, follow_up: PreparedScan, interval_days: float
    ) -> Prediction:
        self.asked.append(interval_days)
        return self.answer


def forbidden() -> FixedModel:
    raise AssertionError("No network may run here.")


def write_weights(folder: Path, seed: int = 3) -> Card:
    """Networks as they are before training, saved as training saves them."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    usual = Usual()
    usual.centre.copy_(torch.linspace(0, 0.1, TRAITS))
    foresight = Foresight(
        members=[_calm(Foreseer()), _calm(Foreseer())],
        usual=usual,
        calibration={"intercept": 0.1, "slope": 0.9},
        interval_parts={"calibration": 0.18, "rescan": 0.24},  # √(0.18² + 0.24²) = 0.3
        cut_off=0.55,
        typical_survival=0.64,
        ood_distances=[float(d) for d in np.linspace(0, 60, 101)],
    )
    table = pd.DataFrame({"split": ["train"] * 3, "site": ["north", "east", "north"]})
    return _write(folder, Perceiver(), foresight, table, "python -m ctrs train", seed)


def _calm(net: Foreseer) -> Foreseer:
    """Untrained networks disagree about every pair; these hardly listen to what was measured."""
    with torch.no_grad():
        for part in (net.rises, net.outer.weight, net.outer.bias):
            part.mul_(1e-3)
    return net
