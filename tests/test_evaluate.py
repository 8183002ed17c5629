"""What the card says of a model, checked by hand on a handful of patients."""

import pandas as pd
import pytest

from ctrs.model.evaluate import _concordance_correlation, evaluate
from ctrs.types import Biomarker, PredictedCurve, Prediction

# Patient by patient: months, died, predicted 12-month survival, RECIST, volume change.
ROWS = [
    (3.0, True, 0.2, "PD", 0.5),
    (5.0, True, 0.7, "SD", 0.1),
    (10.0, False, 0.9, "PR", -0.6),
    (20.0, True, 0.5, "SD", -0.2),
    (30.0, False, 0.8, "PR", -0.9),
]


@pytest.fixture
def table():
    columns = ["months", "event", "survival", "recist", "volume_change"]
    return pd.DataFrame(ROWS, columns=columns).drop(columns="survival")


def predictions(width=0.1):
    return [prediction(row[2], width) for row in ROWS]


def prediction(survival_12m, width):
    curve = PredictedCurve(
        months=(0.0, 12.0),
        survival=(1.0, survival_12m),
        lower=(1.0, survival_12m - width),
        upper=(1.0, survival_12m + width),
    )
    return Prediction(curve, (survival_12m,), 50.0, {"tumour_volume": Biomarker(10.0, 5.0, "ml")})


def test_c_index_counts_the_pairs_in_which_the_lower_score_died_first(table):
    # Usable pairs (the one who dies first is known): patient 1 with 2, 3, 4, 5; 2 with 3, 4, 5;
    # 4 with 5. Of these eight only (2, 4) is the wrong way round: 0.7 died before 0.5.
    found = evaluate(table, predictions(), cut_off=0.6)
    assert found["c_index"]["ctrs"] == pytest.approx(7 / 8, abs=1e-3)


def test_recist_is_ranked_from_progression_to_response_with_ties_as_half(table):
    # Of the eight pairs (2, 4), both stable, is a tie; the rest are right: 7.5 of 8.
    found = evaluate(table, predictions(), cut_off=0.6)
    assert found["c_index"]["recist"] == pytest.approx(7.5 / 8, abs=1e-3)


def test_groups_are_cut_at_the_cut_off_and_counted_from_the_follow_up(table):
    groups = evaluate(table, predictions(), cut_off=0.6)["survival_12m"]
    # High risk: 0.2 (dead at 3) and 0.5 (dead at 20): one of two is alive at 12 months.
    assert groups["High risk"]["n"] == 2
    assert groups["High risk"]["alive"] == pytest.approx(0.5)
    # Low risk: 0.7 dead at 5, 0.9 censored at 10, 0.8 alive at 30: 2 of 3.
    assert groups["Low risk"]["alive"] == pytest.approx(2 / 3, abs=1e-3)


def test_a_real_cohort_has_no_truth_to_compare_with(table):
    assert "simulation" not in evaluate(table, predictions(), cut_off=0.6)


def test_share_of_intervals_that_hold_the_truth(table):
    table["true_survival_12m_scan"] = [0.25, 0.45, 0.85, 0.55, 0.95]  # off by .05 .25 .05 .05 .15
    table["true_tumour_ml_baseline"] = [8.0, 9.0, 10.0, 11.0, 14.0]
    found = evaluate(table, predictions(width=0.1), cut_off=0.6)["simulation"]
    assert found["interval_90_holds_truth"] == pytest.approx(3 / 5)
    assert found["median_interval_width"] == pytest.approx(0.2)


def test_concordance_correlation_by_hand():
    # x = 1 2 3, y = 2 3 5: means 2 and 10/3, variances 2/3 and 14/9, covariance 1.
    # 2 * 1 / (2/3 + 14/9 + (4/3)**2) = 2 / 4 = 0.5
    assert _concordance_correlation(pd.Series([1.0, 2, 3]), pd.Series([2.0, 3, 5])) == (
        pytest.approx(0.5)
    )
