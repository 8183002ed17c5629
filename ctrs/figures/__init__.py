"""Domain object in, plotly figure out. No streamlit, so every figure has a plain test.

One family a file. Beside a figure stands its table: the same numbers, of groups and never of
persons, for who takes them away.
"""

from ctrs.figures.calibration import calibration_figure, calibration_table
from ctrs.figures.decision_curve import decision_figure, decision_table
from ctrs.figures.discrimination import auc_figure, auc_table, gain_figure, gain_table
from ctrs.figures.forest import forest_figure, forest_table
from ctrs.figures.icon_array import icon_array
from ctrs.figures.kaplan_meier import survival_figure, survival_table
from ctrs.figures.placement import placement_figure, placement_table, score_strip, strip_table
from ctrs.figures.reclassification import reclassification_figure, reclassification_table
from ctrs.figures.style import for_paper
from ctrs.figures.swimmer import swimmer_figure, swimmer_table
from ctrs.figures.tumour_change import (
    volume_diameter_figure,
    volume_diameter_table,
    waterfall_figure,
    waterfall_table,
)
from ctrs.figures.what_if import what_if_figure, what_if_table

__all__ = [
    "auc_figure",
    "auc_table",
    "calibration_figure",
    "calibration_table",
    "decision_figure",
    "decision_table",
    "for_paper",
    "forest_figure",
    "forest_table",
    "gain_figure",
    "gain_table",
    "icon_array",
    "placement_figure",
    "placement_table",
    "reclassification_figure",
    "reclassification_table",
    "score_strip",
    "strip_table",
    "survival_figure",
    "survival_table",
    "swimmer_figure",
    "swimmer_table",
    "volume_diameter_figure",
    "volume_diameter_table",
    "waterfall_figure",
    "waterfall_table",
    "what_if_figure",
    "what_if_table",
]
