"""How the survival follows the tumour: changed by known volumes, unchanged, and erased."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scipy import stats

from ctrs.model.real_anatomy.common import (
    COUNTED_ML,
    SEED,
    Network,
    Progress,
    Row,
    measured_change,
    prepared_scan,
    rounded,
    survival_12m,
)
from ctrs.model.real_anatomy.masks import against
from ctrs.trial.real.outlined import TWO_KERNELS, OutlinedScan, has_scan, real_scan
from ctrs.trial.real.semisynthetic import INTERVAL_DAYS, semisynthetic_pair
from ctrs.types import PreparedScan

CHANGES = (-0.8, -0.6, -0.4, -0.2, 0.0, 0.25, 0.5, 1.0, 1.5, 2.0)  # of the tumour's volume
LARGEST_SPEARMAN = -0.95
SAME_POINTS = 0.05  # of survival, between the two orders of a pair without any change
SAME_VOLUME = 0.10

# --- Dose-response ------------------------------------------------------------------------------


def dose_response(scan: OutlinedScan, network: Network, progress: Progress) -> Row:
    """Survival by how much the tumour changed: the more it grew, the lower."""
    baseline = prepared_scan(scan.volume)
    before = against(scan.volume, scan.tumour, baseline, network)
    steps = []
    for change in CHANGES:
        progress(f"{scan.name}: {change:+.0%} of the tumour's volume")
        steps.append(_step(scan, baseline, before.attached_ml, change, network))
    return {
        "scan": scan.name,
        "true_ml": rounded(scan.tumour_ml, 2),
        "counted": scan.tumour_ml >= COUNTED_ML,
        "spearman": rounded(
            rank_correlation([s["change"] for s in steps], [s["survival_12m"] for s in steps]), 3
        ),
        "steps": steps,
    }


def _step(
    scan: OutlinedScan, baseline: PreparedScan, before_ml: float, change: float, network: Network
) -> Row:
    pair = semisynthetic_pair(scan.volume, scan.tumour, change, SEED)
    follow_up = prepared_scan(pair.follow_up)
    prediction = network(baseline, follow_up, INTERVAL_DAYS)
    after = against(pair.follow_up, pair.follow_up_tumour, follow_up, network)
    return {
        "change": change,
        "survival_12m": rounded(survival_12m(prediction)),
        "measured_change": rounded(measured_change(prediction), 3),
        "measured_change_there": rounded(
            after.attached_ml / before_ml - 1 if before_ml > 0 else None, 3
        ),
    }


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> float:
    """Spearman's; 0 where one of them does not vary, which ranks nothing."""
    if len(set(x)) < 2 or len(set(y)) < 2:
        return 0.0
    return float(stats.spearmanr(x, y).statistic)


def judge_doses(rows: list[Row]) -> dict[str, Any]:
    counted = [row["spearman"] for row in rows if row["counted"]]
    return {
        "n": len(counted),
        "target": f"tumours of {COUNTED_ML:.0f} ml or more, changed by {CHANGES[0]:+.0%} to"
        f" {CHANGES[-1]:+.0%} in {len(CHANGES)} steps: Spearman of change against survival"
        f" {LARGEST_SPEARMAN} or lower in each",
        "met": max(counted) <= LARGEST_SPEARMAN if counted else None,
        "largest_spearman": max(counted) if counted else None,
        "scans": rows,
    }


# --- No change ----------------------------------------------------------------------------------


def zero_change(data: Path, network: Network, progress: Progress) -> dict[str, Any]:
    """One breath-hold, two kernels, in either order: nothing changed, and nothing may seem to."""
    target = (
        "one breath-hold in two kernels, in either order: survival at most"
        f" {100 * SAME_POINTS:.0f} points apart, tumour volume within ±{SAME_VOLUME:.0%}"
    )
    if not all(has_scan(data, name) for name in TWO_KERNELS):
        return {"n": 0, "target": target, "met": None, "scans": []}
    progress(f"{TWO_KERNELS[0]} and the other kernel: no change")
    first, second = (prepared_scan(real_scan(data, name)) for name in TWO_KERNELS)
    rows, survival = [], []
    for order, pair in ((TWO_KERNELS, (first, second)), (TWO_KERNELS[::-1], (second, first))):
        prediction = network(*pair, INTERVAL_DAYS)
        survival.append(survival_12m(prediction))
        change = measured_change(prediction)
        rows.append(
            {
                "baseline": order[0],
                "follow_up": order[1],
                "survival_12m": rounded(survival[-1]),
                "measured_change": rounded(change, 3),
                "same_volume": change is not None and abs(change) <= SAME_VOLUME,
            }
        )
    apart = abs(survival[0] - survival[1])
    return {
        "n": 1,
        "target": target,
        "met": apart <= SAME_POINTS and all(row["same_volume"] for row in rows),
        "survival_apart": rounded(apart),
        "scans": rows,
    }


# --- Erased -------------------------------------------------------------------------------------


def erased(scan: OutlinedScan, network: Network, typical_survival: float) -> Row:
    """Survival where nothing is left of the outlined tumour."""
    pair = semisynthetic_pair(scan.volume, scan.tumour, -1.0, SEED)
    prediction = network(prepared_scan(pair.baseline), prepared_scan(pair.follow_up), INTERVAL_DAYS)
    survival = survival_12m(prediction)
    return {
        "scan": scan.name,
        "survival_12m": rounded(survival),
        "above_typical": survival > typical_survival,
        "tumour_left_ml": rounded(prediction.biomarkers["tumour_volume"].follow_up, 2),
    }


def judge_erased(rows: list[Row]) -> dict[str, Any]:
    above = [row["above_typical"] for row in rows]
    return {
        "n": len(rows),
        "target": "tumour erased: survival above the median of the trial in each",
        "met": all(above) if above else None,
        "above": sum(above),
        "scans": rows,
    }
