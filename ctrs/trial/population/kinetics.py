"""How tumours grow and shrink: Stein's model, with parameters fitted to real patients.

The diameter at ``days`` after baseline, over that at baseline, is
``exp(-decay days) + exp(growth days) - 1``: what the treatment kills decays, what it does not
kill grows on (Stein et al., Clin. Cancer Res. 17 (2011) 907-917). ``fitted.json`` holds what
``python -m ctrs trial fit`` found in the real diameters.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

FITTED = Path(__file__).with_name("fitted.json")

# No logarithm of less than this ratio of diameters: it is a ten-thousandth of the volume.
GONE = 0.05


@dataclass(frozen=True, kw_only=True)
class KineticsModel:
    """The population of growth and decay rates.

    Attributes:
        share: Of each kind of course, sums to 1. The first kind hardly decays, the second does.
        log_growth, log_decay: Mean and standard deviation over patients of the log of the rate
            (per day), one pair a kind.
        wobble: Standard deviation (log scale) of a measured sum of diameters about the patient's
            curve, for steady and for unsteady patients; holds the reader's error.
        unsteady: Share of unsteady patients.
    """

    share: tuple[float, ...]
    log_growth: tuple[tuple[float, float], ...]
    log_decay: tuple[tuple[float, float], ...]
    wobble: tuple[float, float]
    unsteady: float


@dataclass(frozen=True)
class Course:
    """Growth and decay of one patient's tumours, per day, and how far scans stray from it."""

    growth: float
    decay: float
    wobble: float

    def ratio(self, days: float) -> float:
        """Diameter after ``days`` over that at baseline, at least 0."""
        return max(stein_ratio(self.growth, self.decay, days), 0.0)


def stein_ratio(growth: float, decay: float, days: float) -> float:
    """Diameter over that at day 0; rates per day."""
    return float(np.exp(-decay * days) + np.exp(growth * days) - 1)


def draw_course(rng: np.random.Generator, model: KineticsModel) -> Course:
    """One patient's course; every draw takes the same number of random numbers."""
    kind = int(np.searchsorted(np.cumsum(model.share[:-1]), rng.random(), side="right"))
    (mean_g, sd_g), (mean_d, sd_d) = model.log_growth[kind], model.log_decay[kind]
    growth = float(np.exp(mean_g + sd_g * rng.standard_normal()))
    decay = float(np.exp(mean_d + sd_d * rng.standard_normal()))
    return Course(growth, decay, model.wobble[int(rng.random() < model.unsteady)])


@cache
def fitted() -> dict[str, Any]:
    """The whole of ``fitted.json``: values, standard errors, sources, command."""
    content: dict[str, Any] = json.loads(FITTED.read_text())
    return content


@cache
def fitted_kinetics() -> KineticsModel:
    """The population that was fitted to the real diameters."""
    found = {name: entry["value"] for name, entry in fitted()["kinetics"]["parameters"].items()}
    second = found["share_decaying"]
    pairs = {
        rate: tuple(
            (found[f"mean_log_{rate}_{kind}"], found[f"sd_log_{rate}_{kind}"])
            for kind in ("lasting", "decaying")
        )
        for rate in ("growth", "decay")
    }
    return KineticsModel(
        share=(1 - second, second),
        log_growth=pairs["growth"],
        log_decay=pairs["decay"],
        wobble=(found["wobble_steady"], found["wobble_unsteady"]),
        unsteady=found["share_unsteady"],
    )
