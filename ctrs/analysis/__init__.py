"""What the statistics pages ask of a cohort: who is in it, who they are, what is compared.

The statistics themselves are `ctrs.survival`'s. Nothing here knows a page or a figure.
"""

from ctrs.analysis.comparison import Compared, comparable, compare
from ctrs.analysis.exploratory_cut import ExploratoryCut, best_cut, split_at
from ctrs.analysis.guarantee_time import GuaranteeTime, from_treatment_start, guarantee_time
from ctrs.analysis.high_against_low import high_against_low
from ctrs.analysis.predicted_and_observed import PredictedAndObserved, predicted_and_observed
from ctrs.analysis.reclassification import Flow, reclassify
from ctrs.analysis.selection import FACTORS, Selection, Step, levels, select
from ctrs.analysis.table_one import DIFFERENCE, table_one
from ctrs.analysis.useful_range import useful_range

__all__ = [
    "DIFFERENCE",
    "FACTORS",
    "Compared",
    "ExploratoryCut",
    "Flow",
    "GuaranteeTime",
    "PredictedAndObserved",
    "Selection",
    "Step",
    "best_cut",
    "comparable",
    "compare",
    "from_treatment_start",
    "guarantee_time",
    "high_against_low",
    "levels",
    "predicted_and_observed",
    "reclassify",
    "select",
    "split_at",
    "table_one",
    "useful_range",
]
