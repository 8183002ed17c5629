"""How well a trained model does on patients that nothing was trained or tuned on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ctrs.errors import TooFewPatients
from ctrs.score import risk_group
from ctrs.survival import concordance, kaplan_meier, split_by_risk, survival_at
from ctrs.types import Cohort, Prediction

ORDER = {"CR": 3.0, "PR": 2.0, "SD": 1.0, "PD": 0.0}  # higher = lives longer


def evaluate(
    table: pd.DataFrame, predictions: Sequence[Prediction], cut_off: float
) -> dict[str, Any]:
    """Discrimination, group survival and, in a simulated trial, distance from the truth.

    Args:
        table: Rows of a trial; the clock starts at the follow-up CT.
        predictions: One a row.

    Returns:
        Readable JSON for the card. C-indices: 1 = the lower value always dies first.
    """
    at = predictions[0].curve.months.index(12.0)
    scored = table.assign(
        survival_12m=[p.curve.survival[at] for p in predictions],
        lower=[p.curve.lower[at] for p in predictions],
        upper=[p.curve.upper[at] for p in predictions],
        volume_baseline=[p.biomarkers["tumour_volume"].baseline for p in predictions],
    )
    scored["risk_group"] = [risk_group(s, cut_off) for s in scored["survival_12m"]]
    found: dict[str, Any] = {
        "n": len(scored),
        "events": int(scored["event"].sum()),
        "c_index": _c_indices(scored),
        "survival_12m": _by_group(scored),
    }
    if "true_survival_12m_scan" in scored:
        found["simulation"] = _against_truth(scored)
    return found


def _c_indices(scored: pd.DataFrame) -> dict[str, float]:
    rivals = {"ctrs": scored["survival_12m"]}
    if "recist" in scored:
        rivals["recist"] = scored["recist"].map(ORDER).fillna(1.0)
        rivals["tvc"] = -scored["volume_change"]
    if "true_log_hazard_scan" in scored:
        rivals["oracle"] = -scored["true_log_hazard_scan"]
    return {
        name: round(concordance(Cohort(name, scored.assign(value=values)), "value"), 3)
        for name, values in rivals.items()
    }


def _by_group(scored: pd.DataFrame) -> dict[str, dict[str, float]]:
    groups = {}
    for group in split_by_risk(Cohort("test", scored)):
        try:
            point = survival_at(kaplan_meier(group), group, 12.0)
        except TooFewPatients:
            continue
        groups[group.name] = {
            "n": len(group.table),
            "alive": round(point.survival, 3),
            "lo": round(point.lower, 3),
            "hi": round(point.upper, 3),
        }
    return groups


def _against_truth(scored: pd.DataFrame) -> dict[str, float]:
    truth = scored["true_survival_12m_scan"]
    inside = (scored["lower"] <= truth) & (truth <= scored["upper"])
    measured, volume = scored["volume_baseline"], scored["true_tumour_ml_baseline"]
    return {
        "interval_90_holds_truth": round(float(inside.mean()), 3),
        "median_interval_width": round(float((scored["upper"] - scored["lower"]).median()), 3),
        "survival_12m_rank_correlation_with_truth": round(
            _rank_correlation(scored["survival_12m"], truth), 3
        ),
        "tumour_volume_concordance_correlation": round(
            _concordance_correlation(np.log(measured + 1), np.log(volume + 1)), 3
        ),
    }


def _rank_correlation(x: pd.Series, y: pd.Series) -> float:
    """Spearman's; 0 where one of them does not vary, which ranks nothing."""
    varies = x.nunique() > 1 and y.nunique() > 1
    return float(x.corr(y, method="spearman")) if varies else 0.0


def _concordance_correlation(x: pd.Series, y: pd.Series) -> float:
    """Lin's coefficient: 1 only where both agree, not where they merely rise together.

    Source:
        Lin, Biometrics 45 (1989) 255-268.
    """
    covariance = float(np.cov(x, y, bias=True)[0, 1])
    spread = float(x.var(ddof=0) + y.var(ddof=0) + (x.mean() - y.mean()) ** 2)
    return 2 * covariance / spread if spread > 0 else 0.0
