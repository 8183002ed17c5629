"""`ScanPair` in, `ResponseScore` out: the middle of the straight line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ctrs.config import Config, ZoneConfig
from ctrs.errors import about
from ctrs.lungs import Chest, check_chest
from ctrs.types import (
    Finding,
    Prediction,
    PreparedScan,
    ResponseScore,
    RiskGroup,
    ScanPair,
    Volume,
    Zone,
)


class ModelFacts(Protocol):
    """What a score has to say about the model that made it.

    Attributes:
        version: Names the weights.
        cut_off: ``survival_12m`` below it is high risk; fixed when the weights were made.
        device: Where it runs, ``"cpu"`` or ``"cuda"``.
    """

    version: str
    cut_off: float

    @property
    def device(self) -> str: ...


class Model(ModelFacts, Protocol):
    """Anything that turns two prepared scans into predicted survival."""

    def __call__(
        self, baseline: PreparedScan, follow_up: PreparedScan, interval_days: float
    ) -> Prediction: ...


def check_pair(pair: ScanPair, chests: tuple[Chest, Chest], config: Config) -> list[Finding]:
    """Everything about the input that lowers the trust, before any network has run.

    Raises:
        NotAChest: A scan holds no whole chest; ``what`` says which of the two.
    """
    findings = list(pair.findings)
    for name, volume, chest in zip(
        ("Baseline CT", "Follow-up CT"), (pair.baseline, pair.follow_up), chests, strict=True
    ):
        with about(name):
            found = [
                *check_chest(chest, config.chest),
                *_check_values(volume),
                *_check_slices(volume, config.zone),
            ]
        findings += [Finding(f.zone, f"{name}: {f.reason}") for f in found]
    return findings


def _check_values(volume: Volume) -> list[Finding]:
    return [Finding(Zone.AMBER, f"{doubt}.") for doubt in volume.doubts]


def _check_slices(volume: Volume, config: ZoneConfig) -> list[Finding]:
    spacing = volume.spacing[0]
    if spacing <= config.amber_slice_spacing_mm:
        return []
    return [
        Finding(
            Zone.AMBER,
            f"The slices are {spacing:.1f} mm apart; small lesions are missed above"
            f" {config.amber_slice_spacing_mm:.0f} mm.",
        )
    ]


def score(
    pair: ScanPair,
    prepared: tuple[PreparedScan, PreparedScan],
    findings: Sequence[Finding],
    model: Model,
    config: Config,
) -> ResponseScore:
    """Predict survival after the follow-up CT, unless a finding forbids it.

    Args:
        findings: What `check_pair` had to say. One red finding and no network is asked.
    """
    if any(finding.zone is Zone.RED for finding in findings):
        return _not_assessable(findings, model)
    days = config.pair.days(pair.interval_days)
    return judge(model(*prepared, days), findings, model, config.zone)


def judge(
    prediction: Prediction, findings: Sequence[Finding], model: ModelFacts, config: ZoneConfig
) -> ResponseScore:
    """Turn the networks' answer into a score with its zone, or into "not assessable"."""
    findings = [*findings, *check_prediction(prediction, config)]
    if any(finding.zone is Zone.RED for finding in findings):
        return _not_assessable(findings, model)
    at = prediction.curve.months.index(12.0)
    survival_12m = prediction.curve.survival[at]
    return ResponseScore(
        zone=Zone.AMBER if findings else Zone.GREEN,
        reasons=tuple(finding.reason for finding in findings),
        survival_12m=survival_12m,
        interval_90=(prediction.curve.lower[at], prediction.curve.upper[at]),
        curve=prediction.curve,
        risk_group=risk_group(survival_12m, model.cut_off),
        members=prediction.members,
        cut_off=model.cut_off,
        ood_percentile=prediction.ood_percentile,
        biomarkers=prediction.biomarkers,
        model_version=model.version,
        device=model.device,
    )


def check_prediction(prediction: Prediction, config: ZoneConfig) -> list[Finding]:
    """Doubts that only the networks' answer can raise."""
    findings = []
    low, high = min(prediction.members), max(prediction.members)
    if high - low > config.red_members_range:
        findings.append(
            Finding(
                Zone.RED,
                f"The {len(prediction.members)} networks disagree: {low:.0%} to {high:.0%} (up to"
                f" {100 * config.red_members_range:.0f} points apart is accepted).",
            )
        )
    at = prediction.curve.months.index(12.0)
    width = prediction.curve.upper[at] - prediction.curve.lower[at]
    if width > config.amber_interval_width:
        findings.append(
            Finding(
                Zone.AMBER,
                f"The 90 % interval spans {100 * width:.1f} points; up to"
                f" {100 * config.amber_interval_width:.0f} is usual.",
            )
        )
    if prediction.ood_percentile > config.amber_ood_percentile:
        findings.append(
            Finding(
                Zone.AMBER,
                f"This pair is less usual than {prediction.ood_percentile:.0f} % of the pairs the"
                " model was trained on.",
            )
        )
    return [*findings, *_check_fluid(prediction, config)]


def _check_fluid(prediction: Prediction, config: ZoneConfig) -> list[Finding]:
    """Tumour that seems to shrink where fluid has come may lie in it."""
    tumour, fluid = (prediction.biomarkers.get(n) for n in ("tumour_volume", "pleural_effusion"))
    if tumour is None or fluid is None or fluid.change < config.amber_fluid_rise_ml:
        return []
    if tumour.change >= -config.amber_tumour_fall * tumour.baseline:
        return []
    return [
        Finding(
            Zone.AMBER,
            f"Fluid around the lung rose from {fluid.baseline:.0f} to {fluid.follow_up:.0f} ml, and"
            f" the tumour was read as {tumour.baseline:.1f} ml before and {tumour.follow_up:.1f} ml"
            " now: fluid can hide tumour. See whether it is still there before you rely on this"
            " score.",
        )
    ]


def _not_assessable(findings: Sequence[Finding], model: ModelFacts) -> ResponseScore:
    red = [finding.reason for finding in findings if finding.zone is Zone.RED]
    return ResponseScore(
        zone=Zone.RED,
        reasons=tuple(red),
        survival_12m=None,
        interval_90=None,
        curve=None,
        risk_group=None,
        members=(),
        cut_off=model.cut_off,
        ood_percentile=None,
        biomarkers={},
        model_version=model.version,
        device=model.device,
    )


def risk_group(survival_12m: float, cut_off: float) -> RiskGroup:
    """Name the group; a value on the cut-off belongs to the lower risk."""
    return RiskGroup.LOW if survival_12m >= cut_off else RiskGroup.HIGH


def measured_change(score: ResponseScore) -> float | None:
    """Tumour volume change as the model measured it, as a fraction of the baseline.

    ``None`` where nothing was measured, or nothing was there at baseline.
    """
    tumour = score.biomarkers.get("tumour_volume")
    return tumour.change / tumour.baseline if tumour and tumour.baseline > 0 else None
