"""The trained networks behind the `ctrs.score.Model` protocol."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from scipy.ndimage import gaussian_filter
from torch import Tensor

from ctrs.box import cut_box
from ctrs.config import PrepareConfig
from ctrs.errors import WeightsUnusable
from ctrs.liver import LIVER_BOX, liver_corner
from ctrs.model.measure import (
    INPUTS,
    LASTING,
    MEASURES,
    NEW_ML,
    describe_pair,
    firm,
    followed,
    lasting,
    measure,
    near_tumour,
    new_tumours,
)
from ctrs.model.network import (
    EDGES_MONTHS,
    Foreseer,
    LiverReader,
    Perceiver,
    place,
    survival,
    with_liver,
)
from ctrs.model.usual import Usual
from ctrs.model.weights import FORESEERS, PERCEIVER, USUAL, Card, check_files, read_card
from ctrs.types import STRUCTURES, Array, Biomarker, PredictedCurve, Prediction, PreparedScan

logger = logging.getLogger(__name__)

# What is shown to people: measures that agree with the truth of simulated scans in size, not only
# in order.
BIOMARKERS = {
    "tumour_volume": ("tumour_ml", "ml"),
    "pleural_effusion": ("effusion_ml", "ml"),
    "lung_volume": ("lung_ml", "ml"),
    "emphysema": ("emphysema_share", "share of lung"),
    "muscle": ("muscle_cm2", "cm²"),
}
NEW_TUMOURS = "new_tumour_volume"  # candidates

ATTRIBUTION_STEPS = 8
SMOOTHING_MM = 1.5  # half a voxel: more would carry much of a thin structure over its edge
TUMOUR = STRUCTURES.index("tumour")
LASTING_AT = [STRUCTURES.index(name) for name in LASTING]
TWELVE = EDGES_MONTHS.index(12.0)


class Perceived(NamedTuple):
    """One scan with what the first network makes of it, each with a leading axis of 1."""

    image: Tensor  # (1, 1, Z, Y, X)
    lungs: Tensor  # (1, 1, Z, Y, X)
    maps: Tensor  # (1, S, Z, Y, X), probabilities of `STRUCTURES`
    embedding: Tensor  # (1, 128)


class Places(NamedTuple):
    """Where a pair is looked at with the other scan in mind, (1, Z, Y, X) but for the last.

    Attributes:
        new: 1 in the follow-up's candidates for new tumours.
        beside_follow_up: In the baseline, near tumour of the follow-up that is not new; 0 to 1.
        beside_baseline: In the follow-up, near tumour of the baseline; 0 to 1.
        known: In the follow-up, (1, 2, Z, Y, X), how likely the baseline shows each of
            `ctrs.model.measure.LASTING` near there.
    """

    new: Tensor
    beside_follow_up: Tensor
    beside_baseline: Tensor
    known: Tensor


class SeenPair(NamedTuple):
    """What is left of two scans for the second network, (N, …)."""

    inputs: Tensor  # (N, 21), see `ctrs.model.measure.INPUTS`
    measures: Tensor  # (N, 2, 15), baseline and follow-up
    embeddings: Tensor  # (N, 2, 128)

    def of(self, rows: slice | Tensor) -> SeenPair:
        """Some of the pairs."""
        return SeenPair(self.inputs[rows], self.measures[rows], self.embeddings[rows])


class Ensemble:
    """One `Perceiver` and several `Foreseer`, with calibration and interval from the card."""

    def __init__(
        self,
        card: Card,
        perceiver: Perceiver,
        foreseers: list[Foreseer],
        usual: Usual,
        device: torch.device,
    ) -> None:
        self.card = card
        self.version = card.version
        self.cut_off = card.cut_off
        self.perceiver = perceiver.eval()
        place(perceiver, device)
        self.foreseers = [net.eval() for net in foreseers]
        self.usual = usual
        self._device = device

    @property
    def device(self) -> str:
        return self._device.type

    @torch.inference_mode()
    def __call__(
        self, baseline: PreparedScan, follow_up: PreparedScan, interval_days: float
    ) -> Prediction:
        """Predict survival from a prepared pair; see `ctrs.types.Prediction`."""
        seen = see_pair(self.perceive(baseline), self.perceive(follow_up), baseline.voxel_ml)
        return self.foresee(seen, interval_days)

    @torch.inference_mode()
    def foresee(self, seen: SeenPair, interval_days: float) -> Prediction:
        """The second half alone, for one pair."""
        days = torch.tensor([float(interval_days)])
        curves = torch.cat([self.calibrated(net(seen.inputs, days)) for net in self.foreseers])
        return Prediction(
            curve=self._curve(curves),
            members=tuple(float(s) for s in curves[:, TWELVE]),
            ood_percentile=self._unusual(seen),
            biomarkers=biomarkers(seen),
        )

    @torch.inference_mode()
    def maps(self, scan: PreparedScan) -> dict[str, Array]:
        """For each of `STRUCTURES` the share of each voxel of the scan, 0 to 1."""
        shares = firm(self.perceive(scan).maps)[0].numpy()
        return dict(zip(STRUCTURES, shares, strict=True))

    @torch.no_grad()
    def perceive(self, scan: PreparedScan) -> Perceived:
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

        The path leads from "nothing anywhere" to the maps as they are, so that a voxel counts by
        what is seen in it and by what the second network makes of it. Lung density acts on the
        score through thresholds and has no gradient to show.

        Returns:
            For each scan, shape of its ``image``: how much what is seen in each voxel raised
            (positive) or lowered (negative) the predicted survival; slightly smoothed.
        """
        from captum.attr import IntegratedGradients  # brings matplotlib: only if asked for

        seen = self.perceive(baseline), self.perceive(follow_up)
        days, places = torch.tensor([float(interval_days)]), find_places(*seen)

        def answer(before: Tensor, after: Tensor) -> Tensor:
            looks = (seen[0]._replace(maps=before), seen[1]._replace(maps=after))
            inputs = look(*looks, places, baseline.voxel_ml).inputs
            curves = torch.stack([self.calibrated(net(inputs, days)) for net in self.foreseers])
            return curves[:, :, TWELVE].mean(0)

        maps = IntegratedGradients(answer).attribute(
            (seen[0].maps, seen[1].maps), n_steps=ATTRIBUTION_STEPS, internal_batch_size=1
        )
        sigma = [SMOOTHING_MM / mm for mm in baseline.spacing]
        first, second = (
            gaussian_filter(part[0].sum(0).numpy(), sigma).astype(np.float32) for part in maps
        )
        return first, second

    def calibrated(self, logits: Tensor) -> Tensor:
        """Hazard logits → calibrated survival at `EDGES_MONTHS`: (B, 9) -> (B, 9)."""
        return calibrate(survival(logits), self.card.calibration)

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

    def _unusual(self, seen: SeenPair) -> float:
        distance = self.usual.distance(seen.measures, seen.embeddings)[0]
        return float(np.interp(distance, self.card.ood_distances, np.arange(101)))


def calibrate(curves: Tensor, calibration: Mapping[str, float]) -> Tensor:
    """Survival curves with their log cumulative hazard moved by intercept and slope."""
    hazard = -torch.log(curves.clamp(1e-6, 1 - 1e-6))
    moved = calibration["intercept"] + calibration["slope"] * torch.log(hazard)
    return torch.exp(-torch.exp(moved))


def perceive(perceiver: Perceiver, image: Tensor, lungs: Tensor, device: torch.device) -> Perceived:
    """Run the first network on ``device``; everything comes back on the CPU in float32."""
    on_device = image.to(device, memory_format=torch.channels_last_3d)
    # bfloat16 is fast on every GPU we run on and on recent CPUs.
    with torch.autocast(device.type, torch.bfloat16):
        seen = perceiver(on_device)
        maps = seen.probabilities().cpu()
        if perceiver.liver is not None:
            maps = _read_liver(perceiver.liver, maps, image, lungs, device)
    return Perceived(image, lungs, maps, seen.embedding.float().cpu())


def _read_liver(
    liver: LiverReader, maps: Tensor, image: Tensor, lungs: Tensor, device: torch.device
) -> Tensor:
    """The maps with what the liver's own reader sees, where there are lungs to find it by."""
    corner = liver_corner(lungs[0, 0].numpy() > 0)
    if corner is None:
        return maps
    box = _tensor(cut_box(image[0, 0].numpy(), corner, LIVER_BOX, 0)).to(device)
    return with_liver(maps, liver.tumours(box)[0, 0].cpu().numpy(), corner)


def see_pair(before: Perceived, after: Perceived, voxel_ml: float) -> SeenPair:
    """Measure both scans, each beside the other, and look for new tumours in the second."""
    return look(before, after, find_places(before, after), voxel_ml)


def find_places(before: Perceived, after: Perceived) -> Places:
    """Where to look in a pair."""
    likely = before.maps[0, TUMOUR].numpy()
    first, second = (firm(s.maps)[0, TUMOUR].numpy() for s in (before, after))
    lungs = (before.lungs[0, 0].numpy() > 0, after.lungs[0, 0].numpy() > 0)
    new = np.zeros(second.shape, np.float32)
    for candidate in new_tumours(likely, second, lungs):
        new[candidate > 0] = 1
    known = [near_tumour(before.maps[0, at].numpy(), lungs[::-1]) for at in LASTING_AT]
    old = second * (1 - new)  # what is new has no place in the baseline to be looked for
    found = (new, near_tumour(old, lungs), near_tumour(first, lungs[::-1]), np.stack(known))
    return Places(*(torch.from_numpy(where)[None] for where in found))


def look(before: Perceived, after: Perceived, places: Places, voxel_ml: float) -> SeenPair:
    """The numbers of a pair, given where to look; gradients go through the maps."""
    first, second = (measure(s.image, s.lungs, s.maps, voxel_ml) for s in (before, after))

    def ml(share: Tensor) -> Tensor:
        return share.sum(dim=(-3, -2, -1)) * voxel_ml

    followed_ml = (
        ml(followed(before.maps[:, TUMOUR], places.beside_follow_up)),
        ml(followed(after.maps[:, TUMOUR], places.beside_baseline)),
    )
    new_ml = ml(firm(after.maps)[:, TUMOUR] * places.new)
    lasting_ml = ml(lasting(after.maps[:, LASTING_AT], places.known))
    return SeenPair(
        describe_pair(first, second, new_ml, followed_ml, lasting_ml),
        torch.stack([first, second], dim=1),
        torch.stack([before.embedding, after.embedding], dim=1),
    )


def _tensor(array: npt.NDArray[np.generic]) -> Tensor:
    return torch.from_numpy(np.asarray(array, np.float32))[None, None]  # -> (1, 1, Z, Y, X)


def biomarkers(seen: SeenPair) -> dict[str, Biomarker]:
    """What is worth showing of the measures of one pair."""
    before, after = seen.measures[0]
    found = {
        name: Biomarker(
            float(before[MEASURES.index(measured)]), float(after[MEASURES.index(measured)]), unit
        )
        for name, (measured, unit) in BIOMARKERS.items()
    }
    return found | {NEW_TUMOURS: Biomarker(0.0, new_tumour_ml(seen), "ml")}


def new_tumour_ml(seen: SeenPair) -> float:
    """Volume of the candidates for new tumours of one pair."""
    return float(NEW_ML * torch.expm1(seen.inputs[0, INPUTS.index("new tumour")]))


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
        tensors = load_file(folder / PERCEIVER)
        perceiver = Perceiver(reads_liver=any(name.startswith("liver.") for name in tensors))
        perceiver.load_state_dict(tensors)
        foreseers = _foreseers(folder, card)
        usual = Usual()
        usual.load_state_dict(load_file(folder / USUAL))
    except (RuntimeError, SafetensorError) as error:
        raise _foreign("other networks than this program has") from error
    return Ensemble(card, perceiver, foreseers, usual, choose_device(device))


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
