"""Domain objects as the JSON documents of the command line, and as sentences for a person."""

from __future__ import annotations

from typing import Any

from ctrs import NOTICE
from ctrs.assess import Assessment
from ctrs.pair import ProposedPair, protocol
from ctrs.types import Inventory, PredictedCurve, ResponseScore, Series, Volume


def inventory_json(inventory: Inventory) -> dict[str, Any]:
    """What was found, and which series would be used: none where a person has to choose."""
    used = None if inventory.doubt else inventory.chosen
    return {
        "files": inventory.n_files,
        "series": [
            _series_json(series) | {"status": _status(series, used)} for series in inventory.series
        ],
        "rejected_files": [vars(file) for file in inventory.rejected_files],
        "chosen": used.header.series_uid if used else None,
        "doubt": inventory.doubt,
    }


def proposal_json(pair: ProposedPair | None) -> dict[str, Any] | None:
    """Which two series are probably baseline and follow-up, and why."""
    if pair is None:
        return None
    return {
        "baseline": pair.baseline.header.series_uid,
        "follow_up": pair.follow_up.header.series_uid,
        "interval_days": pair.days,
        "reasons": list(pair.reasons),
    }


def _status(series: Series, used: Series | None) -> str:
    if series is used:
        return "used"
    return "other" if series.accepted else "rejected"


def _series_json(series: Series) -> dict[str, Any]:
    header = series.header
    return {
        "series_uid": header.series_uid,
        "study_uid": header.study_uid,
        "modality": header.modality,
        "description": header.description,
        "n_files": len(series.files),
        "accepted": series.accepted,
        "reasons": list(series.reasons),
        "rank": series.rank,
        "shape": list(series.shape),
        "spacing_mm": list(series.spacing),
        "kernel": header.kernel,
        "contrast": header.contrast,
        "acquired_on": header.acquired_on.isoformat() if header.acquired_on else None,
    }


def assessment_json(assessment: Assessment) -> dict[str, Any]:
    """An assessed pair: the answer, how it came about, and from what."""
    pair = assessment.pair
    seconds = dict.fromkeys(("read", "check", "prepare", "load", "infer", "explain"), 0.0)
    return {
        **score_json(assessment.score),
        "interval_days": pair.interval_days,
        "cached": assessment.cached,
        "seconds": seconds | assessment.seconds,
        "inputs": {
            name: _input(volume, inventory)
            for name, volume, inventory in zip(
                ("baseline", "follow_up"),
                (pair.baseline, pair.follow_up),
                assessment.inventories,
                strict=True,
            )
        },
        "notice": NOTICE,
    }


def score_json(score: ResponseScore) -> dict[str, Any]:
    """A score alone; in the red zone numbers are ``null`` and lists are empty."""
    curve = score.curve or PredictedCurve((), (), (), ())
    return {
        "assessable": score.assessable,
        "zone": score.zone,
        "reasons": list(score.reasons),
        "survival_12m": score.survival_12m,
        "interval_90": list(score.interval_90) if score.interval_90 else None,
        "members": list(score.members),
        "curve": {name: list(values) for name, values in vars(curve).items()},
        "risk_group": score.risk_group,
        "cut_off": score.cut_off,
        "ood_percentile": score.ood_percentile,
        "biomarkers": {
            name: vars(marker) | {"change": marker.change}
            for name, marker in score.biomarkers.items()
        },
        "model_version": score.model_version,
        "device": score.device,
    }


def _input(volume: Volume, inventory: Inventory) -> dict[str, Any]:
    header = volume.header
    return {
        "series_uid": header.series_uid,
        "sha256": volume.sha256,
        "acquired_on": header.acquired_on.isoformat() if header.acquired_on else None,
        "chosen_because": list(inventory.chosen.reasons) if inventory.chosen else [],
        "repairs": list(volume.repairs),
        **protocol(volume),
    }


def score_text(score: ResponseScore) -> str:
    """One line: the number with its interval, or why there is none."""
    if score.survival_12m is None or score.interval_90 is None:
        return "Not assessable. " + " ".join(score.reasons)
    low, high = score.interval_90
    caution = f" With caution: {' '.join(score.reasons)}" if score.reasons else ""
    return (
        f"Predicted survival 12 months after the follow-up CT: {score.survival_12m:.0%}"
        f" (90 % interval {low:.0%} to {high:.0%}), {str(score.risk_group).lower()}.{caution}"
    )
