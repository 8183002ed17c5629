"""The trained networks behind the `ctrs.score.Model` protocol."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ctrs.config import PrepareConfig
from ctrs.errors import WeightsUnusable
from ctrs.model.network import (
    EDGES_MONTHS,
    MEASURES,
    Foreseer,
    Perceiver,
    describe_pair,
    measure,
    place,
    pool,
    survival,
)
from ctrs.model.weights import FORESEERS, PERCEIVER, Card, check_files, read_card
from ctrs.types import Array, Biomarker, PredictedCurve, Prediction, PreparedScan

logger = logging.getLogger(__name__)

BIOMARKERS = {
    "tumour_volume": ("tumour_ml", "ml"),
    "pleural_effusion": ("effusion_ml", "ml"),
    "lung_volume": ("lung_ml", "ml"),
    "emphysema": ("emphysema_share", "share of lung"),
}


ATTRIBUTION_STEPS = 8


class Perceived(NamedTuple):
    """One scan with the first network's features and maps (shares in [0, 1])."""

    image: Tensor  # (1, 1, Z, Y, X)
    lungs: Tensor  # (1, 1, Z, Y, X)
    features: Tensor  # (1, 24, Z/2, Y/2, X/2)
    maps: Tensor  # (1, 2, Z, Y, X): tumour, effusion


class Seen(NamedTuple):
    """One scan after the first network, each with a leading axis of 1."""

    measures: Tensor  # (1, 10)
    deep: Tensor  # (1, 48)


class Ensemble:
    """One `Perceiver` and several `Foreseer`, with calibration and interval from the card."""

    def __init__(
        self, card: Card, perceiver: Perceiver, foreseers: list[Foreseer], device: torch.device
    ) -> None:
        self.card = card
        self.version = card.version
        self.cut_off = card.cut_off
        self.perceiver = perceiver.eval()
        place(perceiver, device)
        self.foreseers = [net.eval() for net in foreseers]
        self._device = device

    @property
    def device(self) -> str:
        return self._device.type

    @torch.inference_mode()
    def __call__(
        self, baseline: PreparedScan, follow_up: PreparedScan, interval_days: float
    ) -> Prediction:
        """Predict survival from a prepared pair; see `ctrs.types.Prediction`."""
        before, after = self.see(baseline), self.see(follow_up)
        prediction = self.foresee(pair_inputs(before, after), interval_days)
        measured = biomarkers(before.measures[0], after.measures[0])
        return replace(prediction, biomarkers=measured)

    @torch.inference_mode()
    def foresee(self, inputs: Tensor, interval_days: float) -> Prediction:
        """The second half alone: `pair_inputs` of one pair, (1, 116); no biomarkers."""
        days = torch.tensor([float(interval_days)])
        curves = torch.cat([self.calibrated(net(inputs, days)) for net in self.foreseers])
        return Prediction(
            curve=self._curve(curves),
            members=tuple(float(s) for s in curves[:, EDGES_MONTHS.index(12.0)]),
            ood_percentile=self._unusual(inputs),
            biomarkers={},
        )

    def see(self, scan: PreparedScan) -> Seen:
        """Run the first network on one scan and measure what it saw."""
        p = self._perceive(scan)
        return look(p.image, p.lungs, p.features, p.maps, scan.voxel_ml)

    @torch.no_grad()
    def _perceive(self, scan: PreparedScan) -> Perceived:
        """The first network's answer; by the CPU if the GPU has no memory left."""
        image, lungs = _tensor(scan.image), _tensor(scan.lungs)
        try:
            return perceive(self.perceiver, image, lungs, self._device)
        except torch.OutOfMemoryError:
            logger.warning("The GPU ran out of memory: going on with the CPU")
            self._device = torch.device("cpu")
            self.perceiver.to(self._device)
            return perceive(self.perceiver, image, lungs, self._device)

    def attribute(
        self, baseline: PreparedScan, follow_up: PreparedScan, interval_days: float
    ) -> tuple[Array, Array]:
        """Integrated gradients of the 12-month survival over what the first network saw.

        The path leads from "no tumour, no fluid anywhere" to the maps as they are, so that a
        voxel counts by what is seen in it and by what the second network makes of it. Lung
        density and muscle act on the score through thresholds and have no gradient to show.

        Returns:
            For each scan, shape of its ``image``: how much the tumour or fluid in each voxel
            raised (positive) or lowered (negative) the predicted survival.
        """
        from captum.attr import IntegratedGradients  # brings matplotlib: only if asked for

        scans = (baseline, follow_up)
        seen = [self._perceive(scan) for scan in scans]
        days = torch.tensor([float(interval_days)])

        def answer(before: Tensor, after: Tensor) -> Tensor:
            looks = [
                look(s.image, s.lungs, s.features, maps, scan.voxel_ml)
                for s, maps, scan in zip(seen, (before, after), scans, strict=True)
            ]
            inputs = pair_inputs(*looks)
            curves = torch.stack([self.calibrated(net(inputs, days)) for net in self.foreseers])
            return curves[:, :, EDGES_MONTHS.index(12.0)].mean(0)

        maps = IntegratedGradients(answer).attribute(
            (seen[0].maps, seen[1].maps), n_steps=ATTRIBUTION_STEPS, internal_batch_size=1
        )
        return maps[0][0].sum(0).numpy(), maps[1][0].sum(0).numpy()

    def calibrated(self, logits: Tensor) -> Tensor:
        """Hazard logits → calibrated survival at `EDGES_MONTHS`: (B, 9) -> (B, 9)."""
        hazard = -torch.log(survival(logits).clamp(1e-6, 1 - 1e-6))
        c = self.card.calibration
        return torch.exp(-torch.exp(c["intercept"] + c["slope"] * torch.log(hazard)))

    def _curve(self, members: Tensor) -> PredictedCurve:
        """Mean of the members on the logit scale, with the card's interval around it."""
        logits = torch.logit(members.double().clamp(1e-4, 1 - 1e-4))
        middle = logits.mean(0)
        spread = 1.645 * logits.std(0, correction=1) if len(members) > 1 else 0.0 * middle
        half = torch.hypot(spread, torch.full_like(spread, self.card.interval_logit))
        lower, curve, upper = (
            np.minimum.accumulate(torch.sigmoid(x).numpy())
            for x in (middle - half, middle, middle + half)
        )
        return PredictedCurve(
            months=(0.0, *EDGES_MONTHS),
            survival=(1.0, *map(float, curve)),
            lower=(1.0, *map(float, lower)),
            upper=(1.0, *map(float, upper)),
        )

    def _unusual(self, inputs: Tensor) -> float:
        distance = distance_from_usual(inputs, self.foreseers[0])[0]
        return float(np.interp(distance, self.card.ood_distances, np.arange(101)))


def perceive(perceiver: Perceiver, image: Tensor, lungs: Tensor, device: torch.device) -> Perceived:
    """Run the first network on ``device``; everything comes back on the CPU in float32."""
    on_device = image.to(device, memory_format=torch.channels_last_3d)
    # bfloat16 is fast on every GPU we run on and on recent CPUs.
    with torch.autocast(device.type, torch.bfloat16):
        features, logits = perceiver(on_device)
    return Perceived(image, lungs, features.float().cpu(), torch.sigmoid(logits.float()).cpu())


def look(image: Tensor, lungs: Tensor, features: Tensor, maps: Tensor, voxel_ml: float) -> Seen:
    """Measure and pool what the first network saw."""
    tumour, effusion = maps.split(1, dim=1)
    measures = measure(image, lungs, tumour, effusion, voxel_ml)
    return Seen(measures, pool(features, lungs, tumour))


def pair_inputs(before: Seen, after: Seen) -> Tensor:
    """What the second network gets: measurements first, then deep features, (B, 20 + 96)."""
    described = describe_pair(before.measures, after.measures)
    return torch.cat([described, before.deep, after.deep - before.deep], dim=1)


def distance_from_usual(inputs: Tensor, net: Foreseer) -> npt.NDArray[np.float64]:
    """Root mean square of the standardised measurements: (B, …) -> (B,); 1 is usual."""
    z = ((inputs - net.centre) / net.scale)[:, : net.measures]
    return np.asarray(z.double().square().mean(1).sqrt().numpy())


def _tensor(array: npt.NDArray[np.generic]) -> Tensor:
    return torch.from_numpy(np.asarray(array, np.float32))[None, None]  # -> (1, 1, Z, Y, X)


def biomarkers(before: Tensor, after: Tensor) -> dict[str, Biomarker]:
    """What is worth showing of the measures of both scans, each (10,)."""
    return {
        name: Biomarker(
            float(before[MEASURES.index(measured)]), float(after[MEASURES.index(measured)]), unit
        )
        for name, (measured, unit) in BIOMARKERS.items()
    }


def choose_device(wanted: str) -> torch.device:
    """``"cpu"``, ``"cuda"`` or ``"auto"``: the GPU when there is one."""
    if wanted == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda")


def load_ensemble(folder: Path, device: str = "auto") -> Ensemble:
    """Load weights from ``folder``.

    Raises:
        WeightsUnusable: See `ctrs.model.weights`; or they are of other networks, or for scans
            prepared in another way.
    """
    card = read_card(folder)
    check_files(folder, card)
    if card.prepare_version != PrepareConfig().version:
        raise _foreign(f"scans prepared in way {card.prepare_version}; this program prepares them"
                       f" in way {PrepareConfig().version}")  # fmt: skip
    try:
        perceiver = Perceiver()
        perceiver.load_state_dict(load_file(folder / PERCEIVER))
        foreseers = _foreseers(folder, card)
    except (RuntimeError, SafetensorError) as error:
        raise _foreign("other networks than this program has") from error
    return Ensemble(card, perceiver, foreseers, choose_device(device))


def _foreign(made_for: str) -> WeightsUnusable:
    return WeightsUnusable(
        f"The weights were made for {made_for}.",
        "Use weights made by this version, or train them again.",
    )


def _foreseers(folder: Path, card: Card) -> list[Foreseer]:
    tensors = load_file(folder / FORESEERS)
    nets = []
    for member in range(card.members):
        net, prefix = Foreseer(), f"{member}."
        net.load_state_dict(
            {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        )
        nets.append(net)
    return nets
