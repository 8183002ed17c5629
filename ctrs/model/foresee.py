"""Training the second network: from what was seen in two scans to survival."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ctrs.model.ensemble import distance_from_usual
from ctrs.model.network import EDGES_MONTHS, Foreseer, logistic_hazard_loss, survival


@dataclass(frozen=True, kw_only=True)
class ForeseeConfig:
    """How the second network is trained."""

    members: int = 5
    epochs: int = 60
    batch: int = 64
    learning_rate: float = 3e-3
    weight_decay: float = 6.0  # strong: some hundred patients, and members that must agree
    calibration_share: float = 0.25  # of the training patients, kept from the weights
    high_risk_share: float = 0.4  # of the training patients; fixes the cut-off


@dataclass(frozen=True)
class Cases:
    """Pairs after the first network, with what became of the patients.

    Attributes:
        inputs: (N, 116), `ctrs.model.ensemble.pair_inputs`.
        days: (N,) between the scans.
        months, event: (N,) from the follow-up scan.
        truth: (N,) true 12-month survival given the scans; ``None`` among real patients.
    """

    inputs: Tensor
    days: Tensor
    months: Tensor
    event: Tensor
    truth: Tensor | None = None

    def __getitem__(self, index: Tensor) -> Cases:
        truth = None if self.truth is None else self.truth[index]
        return Cases(
            self.inputs[index], self.days[index], self.months[index], self.event[index], truth
        )

    def __len__(self) -> int:
        return len(self.months)


@dataclass(frozen=True)
class Foresight:
    """Trained members with what was fixed on patients kept from their weights."""

    members: list[Foreseer]
    calibration: dict[str, float]
    interval_logit: float
    cut_off: float
    ood_distances: list[float]


def train_foreseers(cases: Cases, config: ForeseeConfig, seed: int) -> Foresight:
    """Train the ensemble, calibrate it on held-out patients, fix cut-off and interval there."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(cases), generator=generator)
    n_held = round(config.calibration_share * len(cases))
    held, learnt = cases[order[:n_held]], cases[order[n_held:]]
    members = [_train_member(learnt, config, seed + 1 + k) for k in range(config.members)]
    calibration = _calibrate(_mean_logits(members, held), held)
    predicted = _twelve(_calibrated(_mean_logits(members, cases), calibration))
    distances = distance_from_usual(cases.inputs, members[0])
    return Foresight(
        members=members,
        calibration=calibration,
        interval_logit=_interval(members, held, calibration, seed),
        cut_off=round(float(np.quantile(predicted, config.high_risk_share)), 3),
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
            loss = logistic_hazard_loss(net(batch.inputs, batch.days), batch.months, batch.event)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        schedule.step()
    return net.eval()


@torch.inference_mode()
def _mean_logits(members: list[Foreseer], cases: Cases) -> Tensor:
    return torch.stack([net(cases.inputs, cases.days) for net in members]).mean(0)


def _calibrate(logits: Tensor, cases: Cases) -> dict[str, float]:
    """Intercept and slope of the log cumulative hazard that fit the held-out patients best."""
    log_hazard = _log_cumulative_hazard(logits).detach().clone()
    parameters = torch.tensor([0.0, 1.0], requires_grad=True)
    optimiser = torch.optim.LBFGS([parameters], max_iter=60)

    def loss() -> Tensor:
        optimiser.zero_grad()
        cumulative = torch.exp(parameters[0] + parameters[1] * log_hazard)
        hazard = torch.diff(cumulative, dim=1, prepend=torch.zeros(len(cumulative), 1))
        refitted = torch.log(torch.expm1(hazard.clamp_min(1e-6)))  # logit of 1 - exp(-hazard)
        value = logistic_hazard_loss(refitted, cases.months, cases.event)
        value.backward()
        return value

    optimiser.step(loss)
    intercept, slope = parameters.detach().tolist()
    return {"intercept": round(intercept, 4), "slope": round(max(slope, 0.2), 4)}


def _log_cumulative_hazard(logits: Tensor) -> Tensor:
    return torch.log(-torch.log(survival(logits).clamp(1e-6, 1 - 1e-6)))


def _calibrated(logits: Tensor, calibration: dict[str, float]) -> Tensor:
    scaled = calibration["intercept"] + calibration["slope"] * _log_cumulative_hazard(logits)
    return torch.exp(-torch.exp(scaled))


def _twelve(curves: Tensor) -> np.ndarray:
    return np.asarray(curves[:, EDGES_MONTHS.index(12.0)].double().numpy())


def _interval(
    members: list[Foreseer], held: Cases, calibration: dict[str, float], seed: int
) -> float:
    """Half width of the 90 % interval beside the members' spread, logit scale.

    In a simulated trial the truth is known: the 90 % quantile of its distance from the
    prediction over held-out patients. Among real patients nobody knows it: then only how far
    the calibration itself may be off.
    """
    if held.truth is None:
        return round(_calibration_error(members, held, calibration, seed), 4)
    predicted = _logit(_twelve(_calibrated(_mean_logits(members, held), calibration)))
    off = np.abs(predicted - _logit(held.truth.double().numpy()))
    return round(float(np.quantile(off, 0.9)), 4)


def _calibration_error(
    members: list[Foreseer], held: Cases, calibration: dict[str, float], seed: int
) -> float:
    """90 % quantile of the change at 12 months when the calibration is fitted to a resample."""
    logits = _mean_logits(members, held)
    reference = _logit(_twelve(_calibrated(logits, calibration)))
    rng = np.random.default_rng(seed)
    changes = []
    for _ in range(40):
        index = torch.from_numpy(rng.integers(len(held), size=len(held)))
        refit = _calibrate(logits[index], held[index])
        changes.append(np.abs(_logit(_twelve(_calibrated(logits, refit))) - reference))
    return float(np.quantile(np.concatenate(changes), 0.9))


def _logit(p: np.ndarray) -> np.ndarray:
    p = np.clip(p, 1e-4, 1 - 1e-4)
    return np.asarray(np.log(p / (1 - p)))
