"""Survival statistics: follow-up in, curves, tests and measures of a score out.

Thin, typed faces on lifelines, held against R (``survival`` 3.5-3). One idea a
file. Wherever a score or probability goes in, higher = lives longer.
"""

from ctrs.survival.bootstrap import (
    MOST_DRAWN,
    REPLICATES,
    Difference,
    Estimate,
    Measured,
    bootstrap_estimates,
    measured_scores,
    paired_differences,
)
from ctrs.survival.calibration import Calibration, CalibrationBin, calibration_at
from ctrs.survival.checks import MIN_GROUP
from ctrs.survival.cox import CoxModel, CoxRow, cox_each, cox_model, cox_score, cox_terms
from ctrs.survival.decision_curve import DecisionCurve, decision_curve
from ctrs.survival.discrimination import auc_at, brier_at, concordance, harrell_c, uno_c
from ctrs.survival.groups import GroupComparison, compare_groups
from ctrs.survival.hazard_ratios import (
    MIN_SUBGROUP,
    MIN_TUMOUR_ML,
    PER,
    SPLIT_AGE,
    SUBGROUPS,
    adjusted_hazard_ratio,
    hazard_ratio,
    levels_of,
    ordered_levels,
    subgroup_hazard_ratios,
)
from ctrs.survival.kaplan_meier import (
    RestrictedMean,
    Steps,
    at_risk,
    curve_of_steps,
    kaplan_meier,
    restricted_mean,
    reverse_kaplan_meier,
    survival_at,
)
from ctrs.survival.landmark import Landmark, landmark, landmark_cohort, split_by_risk
from ctrs.survival.log_rank import (
    PairOfGroups,
    log_rank,
    log_rank_of_sums,
    pairwise_log_rank,
)
from ctrs.survival.proportional_hazards import ProportionalityTest, proportional_hazards

__all__ = [
    "MIN_GROUP",
    "MIN_SUBGROUP",
    "MIN_TUMOUR_ML",
    "MOST_DRAWN",
    "PER",
    "REPLICATES",
    "SPLIT_AGE",
    "SUBGROUPS",
    "Calibration",
    "CalibrationBin",
    "CoxModel",
    "CoxRow",
    "DecisionCurve",
    "Difference",
    "Estimate",
    "GroupComparison",
    "Landmark",
    "Measured",
    "PairOfGroups",
    "ProportionalityTest",
    "RestrictedMean",
    "Steps",
    "adjusted_hazard_ratio",
    "at_risk",
    "auc_at",
    "bootstrap_estimates",
    "brier_at",
    "calibration_at",
    "compare_groups",
    "concordance",
    "cox_each",
    "cox_model",
    "cox_score",
    "cox_terms",
    "curve_of_steps",
    "decision_curve",
    "harrell_c",
    "hazard_ratio",
    "kaplan_meier",
    "landmark",
    "landmark_cohort",
    "levels_of",
    "log_rank",
    "log_rank_of_sums",
    "measured_scores",
    "ordered_levels",
    "paired_differences",
    "pairwise_log_rank",
    "proportional_hazards",
    "restricted_mean",
    "reverse_kaplan_meier",
    "split_by_risk",
    "subgroup_hazard_ratios",
    "survival_at",
    "uno_c",
]
