"""Training the second network: from what was measured in two scans to survival."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from ctrs.model.ensemble import TWELVE, SeenPair, calibrate
from ctrs.model.network import (
    Foreseer,
    expected_hazard_loss,
    logistic_hazard_loss,
    survival,
)
from ctrs.model.usual import Usual

Z90 = 1.645  # half width of a 90 % interval, in standard deviations


@dataclass(frozen=True, kw_only=True)
class ForeseeConfig:
    """How the second network is trained."""

    members: int = 8
    epochs: int = 150
    batch: int = 64
    learning_rate: float = 3e-3
    weight_decay: float = 0.3
    calibration_share: float = 0.2  # of the training patients, kept from the weights
    high_risk_share: float = 0.4  # of the training patients; fixes the cut-off


@dataclass(frozen=True)
class Cases:
    """Pairs after the first network, with what became of the patients.

    Attributes:
        inputs: (N, 21), `ctrs.model.measure.INPUTS`.
        days: (N,) between the scans.
        months, event: (N,) from the follow-up scan.
        truth: (N, 9) true survival given the scans at `EDGES_MONTHS`; ``None`` among real
            patients. Where it is known the networks learn from it: one drawn life says less.
    """

    inputs: Tensor
    days: Tensor
    months: Tensor
    event: Tensor
    truth: Tensor | None = None

    def __getitem__(self, index: Tensor) -> Cases:
        parts = (getattr(self, field.name) for field in fields(self))
        return Cases(*(None if part is None else part[index] for part in parts))  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.months)

    def loss(self, logits: Tensor) -> Tensor:
        """Of hazard logits (N, 9) for these cases."""
        if self.truth is not None:
            return expected_hazard_loss(logits, self.truth)
        return logistic_hazard_loss(logits, self.months, self.event)


@dataclass(frozen=True)
class Foresight:
    """Trained members with what was fixed on patients kept from their weights."""

    members: list[Foreseer]
    usual: Usual
    calibration: dict[str, float]
    interval_parts: dict[str, float]
    cut_off: float
    typical_survival: float
    ood_distances: list[float]


def train_foreseers(
    cases: Cases,
    usual_pairs: Sequence[SeenPair],
    rescans: tuple[Cases, Cases] | None,
    config: ForeseeConfig,
    seed: int,
    inherited: Mapping[str, float] | None = None,
) -> Foresight:
    """Train the ensemble, calibrate it on held-out patients, fix cut-off and interval there.

    Args:
        usual_pairs: Of the same patients, and more that shall not count as unusual.
        rescans: Some patients, each scanned twice over at both visits, if there are such.
        inherited: Parts of the interval that were measured elsewhere with the same first network:
            taken where these patients cannot tell.
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(cases), generator=generator)
    n_held = round(config.calibration_share * len(cases))
    held, learnt = cases[order[:n_held]], cases[order[n_held:]]
    members = [_train_member(learnt, config, seed + 1 + k) for k in range(config.members)]
    calibration = fit_calibration(mean_curve(members, held), held)
    predicted = calibrate(mean_curve(members, cases), calibration)[:, TWELVE].double().numpy()
    traits = [torch.cat(part) for part in list(zip(*usual_pairs, strict=True))[1:]]
    usual = Usual.of(*traits)
    distances = usual.distance(*traits)
    return Foresight(
        members=members,
        usual=usual,
        calibration=calibration,
        interval_parts=_interval(members, held, calibration, rescans, seed, inherited or {}),
        cut_off=round(float(np.quantile(predicted, config.high_risk_share)), 3),
        typical_survival=round(float(np.median(predicted)), 4),
        ood_distances=[float(d) for d in np.percentile(distances, np.arange(101))],
    )


def _train_member(cases: Cases, config: ForeseeConfig, seed: int) -> Foreseer:
    """One member on a bootstrap sample of the patients."""
    torch.manual_seed(seed)
    sample = cases[torch.randint(len(cases), (len(cases),))]
    net = Foreseer()
    net.centre.copy_(cases.inputs.mean(0))
    net.scale.copy_(cases.inputs.std(0).clamp_min(1e-3))
    optimiser = torch.optim.AdamW(
        net.parameters(), config.learning_rate, weight_decay=config.weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.epochs)
    for _ in range(config.epochs):
        for index in torch.randperm(len(sample)).split(config.batch):
            batch = sample[index]
            loss = batch.loss(net(batch.inputs, batch.days))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        schedule.step()
    return net.eval()


@torch.inference_mode()
def mean_curve(members: list[Foreseer], cases: Cases) -> Tensor:
    """Survival at `EDGES_MONTHS`, (N, 9): the mean of the members' hazard logits."""
    return survival(torch.stack([net(cases.inputs, cases.days) for net in members]).mean(0))


# --- Calibration --------------------------------------------------------------------------------


def fit_calibration(curves: Tensor, cases: Cases) -> dict[str, float]:
    """Intercept and slope of the log cumulative hazard that fit these patients best.

    Args:
        curves: (N, 9), predicted survival.
    """
    curves = curves.detach().clone()
    parameters = torch.tensor([0.0, 1.0], requires_grad=True)
    optimiser = torch.optim.LBFGS([parameters], max_iter=60)

    def loss() -> Tensor:
        optimiser.zero_grad()
        moved = calibrate(curves, {"intercept": parameters[0], "slope": parameters[1]})  # type: ignore[dict-item]
        cumulative = -torch.log(moved.clamp(1e-6, 1 - 1e-6))
        hazard = torch.diff(cumulative, dim=1, prepend=torch.zeros(len(cumulative), 1))
        refitted = torch.log(torch.expm1(hazard.clamp_min(1e-6)))  # logit of 1 - exp(-hazard)
        value = cases.loss(refitted)
        value.backward()
        return value

    optimiser.step(loss)
    intercept, slope = parameters.detach().tolist()
    return {"intercept": round(intercept, 4), "slope": round(max(slope, 0.2), 4)}


# --- The interval -------------------------------------------------------------------------------


def _interval(
    members: list[Foreseer],
    held: Cases,
    calibration: dict[str, float],
    rescans: tuple[Cases, Cases] | None,
    seed: int,
    inherited: Mapping[str, float],
) -> dict[str, float]:
    """Half widths of 90 % intervals beside the members' spread, logit scale.

    What the networks miss is known only in a simulated trial, where the truth is: there it is as
    wide as it takes for nine in ten held-out patients to have their truth in the whole interval.
    """
    parts = {**inherited, "calibration": _calibration_error(members, held, calibration, seed)}
    if rescans is not None:
        parts["rescan"] = _rescan_noise(members, calibration, rescans)
    if held.truth is not None:
        parts.pop("unseen", None)
        parts["unseen"] = _unseen(members, held, calibration, math.hypot(*parts.values()))
    return {name: round(value, 4) for name, value in parts.items()}


@torch.inference_mode()
def _twelve(members: list[Foreseer], cases: Cases, calibration: dict[str, float]) -> np.ndarray:
    """Logits of each member's calibrated 12-month survival, (members, N)."""
    curves = [calibrate(survival(net(cases.inputs, cases.days)), calibration) for net in members]
    return logit(torch.stack(curves)[:, :, TWELVE].double().numpy())


def _calibration_error(
    members: list[Foreseer], held: Cases, calibration: dict[str, float], seed: int
) -> float:
    """90 % quantile of the change at 12 months when the calibration is fitted to a resample."""
    curves = mean_curve(members, held)
    reference = logit(calibrate(curves, calibration)[:, TWELVE].double().numpy())
    rng = np.random.default_rng(seed)
    changes = []
    for _ in range(40):
        index = torch.from_numpy(rng.integers(len(held), size=len(held)))
        refit = fit_calibration(curves[index], held[index])
        again = logit(calibrate(curves, refit)[:, TWELVE].double().numpy())
        changes.append(np.abs(again - reference))
    return float(np.quantile(np.concatenate(changes), 0.9))


def _rescan_noise(
    members: list[Foreseer], calibration: dict[str, float], rescans: tuple[Cases, Cases]
) -> float:
    """From the differences of scores that ought to be the same: each has noise of its own."""
    first, again = (_twelve(members, cases, calibration).mean(0) for cases in rescans)
    return float(Z90 * np.sqrt(np.mean((first - again) ** 2) / 2))


def _unseen(
    members: list[Foreseer], held: Cases, calibration: dict[str, float], known: float
) -> float:
    """What has to be added in squares so that 90 % of the truths lie in the intervals.

    With the correction for few patients that makes it hold on the average for the next one.

    Source:
        Split conformal prediction: Lei et al., J. Am. Stat. Assoc. 113 (2018) 1094-1111.
    """
    assert held.truth is not None
    logits = _twelve(members, held, calibration)
    off = np.abs(logits.mean(0) - logit(held.truth[:, TWELVE].double().numpy()))
    spread = Z90 * logits.std(0, ddof=1) if len(members) > 1 else np.zeros(len(held))
    missing = off**2 - spread**2 - known**2
    level = min(math.ceil(0.9 * (len(held) + 1)) / len(held), 1.0)
    return float(np.sqrt(max(np.quantile(missing, level, method="higher"), 0.0)))


def logit(p: np.ndarray) -> np.ndarray:
    p = np.clip(p, 1e-4, 1 - 1e-4)
    return np.asarray(np.log(p / (1 - p)))
