"""How well a trained model does on patients that nothing was trained or tuned on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from ctrs.errors import TooFewPatients
from ctrs.score import risk_group
from ctrs.survival import (
    Difference,
    auc_at,
    bootstrap_estimates,
    brier_at,
    calibration_at,
    harrell_c,
    hazard_ratio,
    kaplan_meier,
    log_rank,
    paired_differences,
    split_by_risk,
    survival_at,
)
from ctrs.types import Cohort, Floats, Prediction, RiskGroup

AT = 12.0  # months after the follow-up scan
ORDER = {"CR": 3.0, "PR": 2.0, "SD": 1.0, "PD": 0.0}  # higher = lives longer
DIGITS = 4

# What a model that is worth having reaches: name, where it stands, lowest and highest value.
TARGETS: dict[str, tuple[tuple[str, ...], float, float]] = {
    "share of the oracle's discrimination": (("share_of_oracle",), 0.90, np.inf),
    "C-index": (("c_index", "ctrs"), 0.72, np.inf),
    "gain in C-index over RECIST, lower limit": (("delta_c", "ctrs_vs_recist", "lo"), 0.0, np.inf),
    "gain in C-index over TVC, lower limit": (("delta_c", "ctrs_vs_tvc", "lo"), 0.0, np.inf),
    "AUC at 12 months": (("auc_12m", "ctrs"), 0.77, np.inf),
    "calibration error (ICI) at 12 months": (("ici_12m",), -np.inf, 0.04),
    "hazard ratio per +10 points": (("hr_per_10pp", "hr"), 0.62, 0.80),
    "hazard ratio, upper limit": (("hr_per_10pp", "hi"), -np.inf, 1.0),
    "adjusted hazard ratio per +10 points": (("hr_per_10pp", "adjusted_hr"), 0.62, 0.80),
    "adjusted hazard ratio, upper limit": (("hr_per_10pp", "adjusted_hi"), -np.inf, 1.0),
    "stable disease: log-rank p": (("stable_disease", "logrank_p"), -np.inf, 0.001),
    "stable disease: 12-month survival apart": (("stable_disease", "apart"), 0.20, np.inf),
    "90 % intervals that hold the truth": (("simulation", "interval_90_holds_truth"), 0.85, 0.95),
    "tumour volume: concordance correlation": (
        ("simulation", "tumour_volume_concordance_correlation"), 0.95, np.inf,
    ),
}  # fmt: skip


def evaluate(
    table: pd.DataFrame, predictions: Sequence[Prediction], cut_off: float, split: str = "test"
) -> dict[str, Any]:
    """Discrimination, calibration, groups and, in a simulated trial, distance from the truth.

    Args:
        table: Rows of a trial; the clock starts at the follow-up CT.
        predictions: One a row.

    Returns:
        Readable JSON. C-indices and AUC: 1 = the lower value always dies first. Hazard ratios
        per +10 points of predicted 12-month survival: below 1 = the higher, the fewer deaths.
        What cannot be told from these patients is ``None``.
    """
    scored = _scored(table, predictions, cut_off)
    rivals = _rivals(scored)
    months, event = scored["months"].to_numpy(float), scored["event"].to_numpy(bool)
    found: dict[str, Any] = {
        "split": split,
        "n": len(scored),
        "events": int(event.sum()),
        "c_index": _each(rivals, lambda score: harrell_c(months, event, score)),
        "auc_12m": _each(rivals, lambda score: auc_at(months, event, score, AT)),
        "brier_12m": _each(
            _probabilities(scored), lambda probability: brier_at(months, event, probability, AT)
        ),
        "ici_12m": _or_none(lambda: calibration_at(months, event, rivals["ctrs"], AT).ici),
        "hr_per_10pp": _hazard_ratios(scored),
        "delta_c": _gains(months, event, rivals),
        "survival_12m": _by_group(scored),
    }
    if "recist" in scored:
        found["stable_disease"] = _stable_disease(scored)
    if "oracle" in rivals:
        found["share_of_oracle"] = _share_of_oracle(found["c_index"])
        found["simulation"] = _against_truth(scored)
    return found


def _scored(table: pd.DataFrame, predictions: Sequence[Prediction], cut_off: float) -> pd.DataFrame:
    at = predictions[0].curve.months.index(AT)
    tumours = [p.biomarkers["tumour_volume"] for p in predictions]
    scored = table.assign(
        survival_12m=[p.curve.survival[at] for p in predictions],
        lower=[p.curve.lower[at] for p in predictions],
        upper=[p.curve.upper[at] for p in predictions],
        tumour_volume_ml=[tumour.baseline for tumour in tumours],
        follow_up_volume_ml=[tumour.follow_up for tumour in tumours],
    )
    return scored.assign(risk_group=[risk_group(s, cut_off) for s in scored["survival_12m"]])


def _rivals(scored: pd.DataFrame) -> dict[str, Floats]:
    """Scores by name; higher = lives longer.

    The change of tumour volume is the one by outlines where the table has it, else the
    network's own.
    """
    rivals = {"ctrs": scored["survival_12m"]}
    if "true_log_hazard_scan" in scored:
        rivals["oracle"] = -scored["true_log_hazard_scan"]
    if "recist" in scored:
        rivals["recist"] = scored["recist"].map(ORDER).fillna(1.0)
    if "volume_change" in scored:
        rivals["tvc"] = -scored["volume_change"]
    before, after = scored["tumour_volume_ml"] + 0.1, scored["follow_up_volume_ml"] + 0.1
    rivals["automatic_tvc"] = before / after
    return {name: values.to_numpy(float) for name, values in rivals.items()}


def _probabilities(scored: pd.DataFrame) -> dict[str, Floats]:
    """Predictions that are probabilities of being alive at 12 months."""
    known = {"ctrs": "survival_12m", "oracle": "true_survival_12m_scan"}
    found = {name: scored[c].to_numpy(float) for name, c in known.items() if c in scored}
    curve = kaplan_meier(Cohort("all", scored))
    everybody = survival_at(curve, Cohort("all", scored), AT).survival
    return found | {"same for everybody": np.full(len(scored), everybody)}


def _each(
    scores: Mapping[str, Floats], measure: Callable[[Floats], float]
) -> dict[str, float | None]:
    """``None`` also where a score is not known of everybody: no two would be compared alike."""
    return {
        name: None if np.isnan(score).any() else _or_none(partial(measure, score))
        for name, score in scores.items()
    }


def _or_none(measure: Callable[[], float]) -> float | None:
    try:
        return _finite(measure())
    except TooFewPatients:
        return None


def _share_of_oracle(c_index: Mapping[str, float | None]) -> float | None:
    """Of what the truth tells apart beyond chance; ``None`` where it tells nothing apart."""
    ours, oracle = c_index["ctrs"], c_index["oracle"]
    if ours is None or oracle is None or oracle == 0.5:
        return None
    return _round((ours - 0.5) / (oracle - 0.5))


def _round(value: float) -> float:
    return round(float(value), DIGITS)


def _finite(value: float) -> float | None:
    """JSON knows no NaN, and no infinity."""
    return _round(value) if np.isfinite(value) else None


def _hazard_ratios(scored: pd.DataFrame) -> dict[str, float | None]:
    cohort = Cohort("test", scored)
    found: dict[str, float | None] = {}
    for prefix, adjusted in (("", False), ("adjusted_", True)):
        try:
            row = hazard_ratio(cohort, adjusted=adjusted)
        except TooFewPatients:
            row = None
        for name, value in (("hr", "hazard_ratio"), ("lo", "lower"), ("hi", "upper")):
            found[prefix + name] = _finite(getattr(row, value)) if row else None
    return found


def _gains(months: Floats, event: Any, rivals: Mapping[str, Floats]) -> dict[str, Any]:
    others = [name for name in ("recist", "tvc", "automatic_tvc") if name in rivals]
    try:
        gains = paired_differences(
            months, event, {name: rivals[name] for name in ("ctrs", *others)}, "ctrs"
        )
    except TooFewPatients:
        return {f"ctrs_vs_{name}": dict.fromkeys(("est", "lo", "hi")) for name in others}
    return {f"ctrs_vs_{name}": _gain(gain) for name, gain in gains.items()}


def _gain(gain: Difference) -> dict[str, float | None]:
    return {"est": _finite(gain.estimate), "lo": _finite(gain.lower), "hi": _finite(gain.upper)}


def _by_group(scored: pd.DataFrame) -> dict[str, dict[str, Any]]:
    groups = {}
    for group in split_by_risk(Cohort("test", scored)):
        try:
            point = survival_at(kaplan_meier(group), group, AT)
        except TooFewPatients:
            continue
        groups[group.name] = {
            "n": len(group.table),
            "alive": _finite(point.survival),
            "lo": _finite(point.lower),
            "hi": _finite(point.upper),
        }
    return groups


def _stable_disease(scored: pd.DataFrame) -> dict[str, Any]:
    """Patients whom RECIST calls stable, split by the cut-off that is stored with the weights."""
    stable = scored[scored["recist"] == "SD"]
    found: dict[str, Any] = {"n": len(stable), "events": int(stable["event"].sum())}
    by_group = _by_group(stable) if len(stable) else {}
    alive = {str(group): by_group.get(group, {}).get("alive") for group in RiskGroup}
    low, high = alive[RiskGroup.LOW], alive[RiskGroup.HIGH]
    found["survival_12m"] = alive
    found["apart"] = None if low is None or high is None else _round(low - high)
    return found | _high_against_low(stable)


def _high_against_low(stable: pd.DataFrame) -> dict[str, float | None]:
    high = (stable["risk_group"] == RiskGroup.HIGH).astype(float)
    try:
        p = log_rank(split_by_risk(Cohort("SD", stable))).p_value
        row = hazard_ratio(Cohort("SD", stable.assign(survival_12m=high)), per=1.0, adjusted=False)
    except TooFewPatients:
        return dict.fromkeys(("logrank_p", "hr_high_vs_low", "lo", "hi"))
    return {
        "logrank_p": float(f"{p:.3g}"),
        "hr_high_vs_low": _finite(row.hazard_ratio),
        "lo": _finite(row.lower),
        "hi": _finite(row.upper),
    }


# --- Against the truth of a simulation ----------------------------------------------------------


def _against_truth(scored: pd.DataFrame) -> dict[str, float]:
    truth = scored["true_survival_12m_scan"]
    inside = (scored["lower"] <= truth) & (truth <= scored["upper"])
    measured = scored[["tumour_volume_ml", "follow_up_volume_ml"]].to_numpy(float)
    volume = scored[["true_tumour_ml_baseline", "true_tumour_ml_follow_up"]].to_numpy(float)
    return {
        "interval_90_holds_truth": _round(inside.mean()),
        "median_interval_width": _round((scored["upper"] - scored["lower"]).median()),
        "median_error_points": _round(100 * (scored["survival_12m"] - truth).abs().median()),
        "survival_12m_rank_correlation_with_truth": _round(
            _rank_correlation(scored["survival_12m"], truth)
        ),
        "tumour_volume_concordance_correlation": _round(
            concordance_correlation(measured.ravel(), volume.ravel())
        ),
        "log_tumour_volume_concordance_correlation": _round(
            concordance_correlation(np.log(measured + 1).ravel(), np.log(volume + 1).ravel())
        ),
    }


def _rank_correlation(x: pd.Series, y: pd.Series) -> float:
    """Spearman's; 0 where one of them does not vary, which ranks nothing."""
    varies = x.nunique() > 1 and y.nunique() > 1
    return float(x.corr(y, method="spearman")) if varies else 0.0


def concordance_correlation(x: Floats, y: Floats) -> float:
    """Lin's coefficient: 1 only where both agree, not where they merely rise together.

    Source:
        Lin, Biometrics 45 (1989) 255-268.
    """
    covariance = float(np.cov(x, y, bias=True)[0, 1])
    spread = float(x.var() + y.var() + (x.mean() - y.mean()) ** 2)
    return 2 * covariance / spread if spread > 0 else 0.0


# --- Elsewhere ----------------------------------------------------------------------------------


Patients = tuple[pd.DataFrame, Sequence[Prediction]]


def compare_discrimination(here: Patients, there: Patients) -> dict[str, Any]:
    """C-index of patients elsewhere less that of those here, with its 95 % interval.

    Source:
        MOVER, for two independent estimates with bootstrap intervals of their own: Zou & Donner,
        Stat. Med. 27 (2008) 1693-1702.
    """
    first, second = (_with_interval(*patients) for patients in (here, there))
    difference = second["c_index"] - first["c_index"]
    down = np.hypot(second["c_index"] - second["lo"], first["hi"] - first["c_index"])
    up = np.hypot(second["hi"] - second["c_index"], first["c_index"] - first["lo"])
    return second | {
        "difference": _round(difference),
        "difference_lo": _round(difference - down),
        "difference_hi": _round(difference + up),
        "met": bool(abs(difference) <= 0.03 and difference - down <= 0 <= difference + up),
    }


def _with_interval(table: pd.DataFrame, predictions: Sequence[Prediction]) -> dict[str, Any]:
    at = predictions[0].curve.months.index(AT)
    scores = np.array([p.curve.survival[at] for p in predictions])
    found = bootstrap_estimates(table["months"], table["event"], {"ctrs": scores})["ctrs"]
    return {
        "n": len(table),
        "events": int(table["event"].sum()),
        "c_index": _round(found.estimate),
        "lo": _round(found.lower),
        "hi": _round(found.upper),
    }


def against_targets(found: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What was measured beside what a model worth having reaches: `TARGETS`."""
    return {name: _against(found, *target) for name, target in TARGETS.items()}


def _against(
    found: Mapping[str, Any], path: tuple[str, ...], low: float, high: float
) -> dict[str, Any]:
    value: Any = found
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    met = value is not None and low <= value <= high
    return {
        "value": value,
        "at_least": low if np.isfinite(low) else None,
        "at_most": high if np.isfinite(high) else None,
        "met": met,
    }
