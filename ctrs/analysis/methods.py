"""How each figure was made, in the words of a Methods section."""

from __future__ import annotations

from collections.abc import Mapping

from ctrs import NOTICE, __version__
from ctrs.analysis.exploratory_cut import PERMUTATIONS, SMALLEST_SHARE
from ctrs.analysis.selection import Selection
from ctrs.survival import MIN_GROUP, MOST_DRAWN, REPLICATES

_LANDMARK = "Time zero was the follow-up CT; who died or was lost before it was not counted."

SURVIVAL = (
    "Overall survival was estimated by Kaplan-Meier with pointwise 95% confidence intervals on the"
    " log-log scale; groups were compared by the two-sided log-rank test unless one had fewer than"
    f" {MIN_GROUP} patients."
)
BY_CUT_OFF = "Risk groups are the two sides of the cut-off stored with the model."
TREATMENT_CLOCK = (
    "For illustration of guarantee-time bias only, survival was counted from the baseline CT."
)
EXPLORATORY = (
    "Groups were formed by the cut of the score with the largest standardised log-rank statistic,"
    f" each side holding at least {SMALLEST_SHARE:.0%} of the patients; the p value is corrected"
    f" for the search by {PERMUTATIONS:,} permutations of the outcomes. Exploratory."
)
FOREST = (
    "Hazard ratios of death per +10 percentage points of predicted 12-month survival are from"
    " univariable Cox models (Efron's ties) with 95% Wald intervals; interactions were tested by"
    " likelihood ratio, and proportional hazards in the adjusted model by the score test of"
    " Grambsch and Therneau (1994, over 1 - Kaplan-Meier). No estimate is given for subgroups of"
    f" fewer than {MIN_GROUP} patients."
)
TABLE_ONE = (
    "Characteristics are given as median (quartiles) or count (share); groups are compared by"
    " standardised differences among patients whose value is known."
)
_CALIBRATION = (
    "Calibration at {at:g} months was assessed by hazard regression on a restricted cubic spline"
    " (3 knots) of the complementary log-log of the predicted risk, and by Kaplan-Meier in tenths"
    " of the prediction; ICI is the mean absolute distance of the smoothed curve from the diagonal."
)
_AUC = (
    "Cumulative/dynamic AUC was estimated with inverse probability of censoring weights; 95%"
    " intervals are {intervals}."
)
DECISION = (
    "Net benefit at 12 months was estimated over all thresholds of the predicted risk of death,"
    " with deaths among those acted on counted by Kaplan-Meier, and compared with acting on"
    " everybody and on nobody."
)
_COMPARISON = (
    "CTRS, RECIST 1.1 class and tumour volume change were compared on the same patients from the"
    " same landmark: Harrell's C-index and the cumulative/dynamic AUC at 12 months; 95% intervals,"
    " of the paired differences too, are {intervals}."
)
RECLASSIFICATION = (
    "Patients were cross-classified by RECIST 1.1 class and risk group; observed survival at 12"
    " months is by Kaplan-Meier with log-log 95% intervals."
)
TUMOUR_CHANGE = (
    "Tumour volume change is relative to the baseline CT. Limits of same-day repeatability are"
    " those of Zhao et al., Radiology 2009 (volume -12% to +13%, diameter -7% to +6%)."
)
SWIMMER = "Follow-up of each patient is shown from the follow-up CT to death or last contact."
PLACEMENT = (
    "The predicted curve is the mean of the model's members with its 90% interval; it is shown over"
    " the Kaplan-Meier estimate (95% log-log band) of patients of a reference cohort."
)


def by_characteristics(groups: Mapping[str, str]) -> str:
    """The sentence for groups of the reader's choice: name to what they have in common."""
    listed = "; ".join(f"“{name}” ({words})" for name, words in groups.items())
    return f"Groups were formed by characteristics of the patients: {listed}."


def intervals(n_patients: int) -> str:
    """How intervals of a C-index or AUC of so many patients are made."""
    if n_patients <= MOST_DRAWN:
        return f"percentiles of {REPLICATES:,} bootstrap replicates"
    return "from the infinitesimal jackknife"


def auc(n_patients: int) -> str:
    """The sentence for the AUC of so many patients over time."""
    return _AUC.format(intervals=intervals(n_patients))


def comparison(n_patients: int) -> str:
    """The sentence for the comparison of the three readings of so many patients."""
    return _COMPARISON.format(intervals=intervals(n_patients))


def calibration(at: float) -> str:
    """The sentence for calibration ``at`` months after the follow-up CT."""
    return _CALIBRATION.format(at=at)


def methods(
    sentence: str, chosen: Selection, model_version: str, *, from_treatment: bool = False
) -> str:
    """What was done, to whom, from when on, by which model, and what it must not be used for."""
    last = chosen.steps[-1]
    whom = f"Patients: {last.n_patients}, of whom {last.n_events} died ({chosen.words})."
    zero = TREATMENT_CLOCK if from_treatment else _LANDMARK
    made = f"Serial CTRS {__version__}, model {model_version}."
    return f"{sentence} {zero} {whom} {made} {NOTICE}"
