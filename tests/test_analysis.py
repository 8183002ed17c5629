"""Who is in a cohort, who they are, and what is compared: by hand, on asymmetric tables."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ctrs import NOTICE
from ctrs.analysis import (
    best_cut,
    comparable,
    compare,
    from_treatment_start,
    guarantee_time,
    high_against_low,
    levels,
    methods,
    predicted_and_observed,
    reclassify,
    select,
    split_at,
    table_one,
    useful_range,
)
from ctrs.errors import TooFewPatients
from ctrs.survival import DecisionCurve, harrell_c, hazard_ratio, log_rank
from ctrs.types import Cohort, Recist, RiskGroup

LOW, HIGH = RiskGroup.LOW, RiskGroup.HIGH


def cohort(**columns):
    n = len(next(iter(columns.values())))
    defaults = {"months": np.arange(1.0, n + 1), "event": [True] * n, "risk_group": [LOW] * n}
    return Cohort("north", pd.DataFrame(defaults | columns))


# --- Filters --------------------------------------------------------------------------------

PEOPLE = cohort(
    months=[1.0, 2, 3, 4, 5, 6],
    event=[True, False, True, True, False, False],
    recist=["SD", "SD", "PR", "SD", None, "SD"],
    pd_l1=["<1%", ">=50%", "<1%", "unknown", "1-49%", "1-49%"],
    site=["site 2", "site 10", "site 2", "site 1", "site 1", "site 10"],
    age=[50.0, 60, 70, 80, 65, np.nan],
)


def test_filters_cross_in_one_order_and_each_says_who_is_left():
    found = select(PEOPLE, {"pd_l1": ["<1%", "unknown"], "recist": ["SD"]})
    assert [(step.words, step.n_patients, step.n_events) for step in found.steps] == [
        ("all patients", 6, 3),
        ("RECIST: SD", 4, 2),
        ("PD-L1: <1% or unknown", 2, 2),
    ]
    assert found.cohort.table["months"].tolist() == [1, 4]
    assert found.words == "RECIST: SD; PD-L1: <1% or unknown"


def test_without_a_filter_everybody_is_there():
    found = select(PEOPLE, {"recist": []})
    assert found.words == "all patients"
    assert len(found.cohort.table) == 6


def test_ages_hold_both_ends_and_lose_who_has_none():
    found = select(PEOPLE, {}, (60, 70))
    assert found.cohort.table["age"].tolist() == [60, 70, 65]
    assert found.steps[-1].words == "age 60 to 70"


def test_a_missing_value_is_the_level_unknown():
    assert levels(PEOPLE.table, "recist") == ["PR", "SD", "unknown"]
    assert select(PEOPLE, {"recist": ["unknown"]}).cohort.table["months"].tolist() == [5]


def test_site_two_comes_before_site_ten():
    assert levels(PEOPLE.table, "site") == ["site 1", "site 2", "site 10"]


def test_a_filter_may_leave_nobody():
    found = select(PEOPLE, {"recist": ["CR"]})
    assert (found.steps[-1].n_patients, found.steps[-1].n_events) == (0, 0)


# --- Table 1 --------------------------------------------------------------------------------


def test_table_one_has_medians_shares_missing_rows_and_standardised_differences():
    low = cohort(age=[50.0, 60, 70, np.nan], sex=["female", "female", "female", "male"],
                 pd_l1=["<1%", "<1%", "1-49%", ">=50%"])  # fmt: skip
    high = cohort(age=[60.0, 70, 80, 90], sex=["female", "male", "male", "male"],
                  pd_l1=["<1%", ">=50%", ">=50%", "unknown"])  # fmt: skip
    table = table_one([Cohort("Low", low.table), Cohort("High", high.table)])
    rows = {(r[0], r[1]): list(r[2:]) for r in table.itertuples(index=False)}
    assert list(table.columns[2:4]) == ["Low (n = 4)", "High (n = 4)"]
    # Means 60 and 75, variances 100 and 166.67: 15 / sqrt(133.33) = 1.30.
    assert rows["Age, years", "median (quartiles)"] == ["60 (55–65)", "75 (68–82)", "1.30"]
    assert rows["", "unknown"][:2] == ["0 (0%)", "1 (25%)"]  # of PD-L1, which comes last
    # 3/4 against 1/4: 0.5 / sqrt((0.1875 + 0.1875) / 2) = 1.15.
    assert rows["Sex", "female"] == ["3 (75%)", "1 (25%)", "1.15"]
    assert rows["", "male"] == ["1 (25%)", "3 (75%)", ""]
    # Known: 1/2, 1/4, 1/4 against 1/3, 0, 2/3. Gaps (1/4, -5/12) of the last two; covariances
    # [[3/16, -1/16], [-1/16, 3/16]] and [[0, 0], [0, 2/9]]: mean [[3/32, -1/32], [-1/32, 59/288]].
    mean = np.array([[3 / 32, -1 / 32], [-1 / 32, 59 / 288]])
    gap = np.array([1 / 4, -5 / 12])
    assert rows["PD-L1", "<1%"][2] == f"{np.sqrt(gap @ np.linalg.inv(mean) @ gap):.2f}"


def test_missing_rows_stand_under_their_own_heading():
    low, high = (
        cohort(age=[50.0, np.nan, 70], sex=["female", "unknown", "male"]),
        cohort(age=[60.0, 61, 62], sex=["male", "male", "male"]),
    )
    table = table_one([low, high])
    places = table.index[table["Level"] == "unknown"].tolist()
    assert places == [1, 4]  # after the median, and after female and male
    assert table.iloc[1, 2:4].tolist() == ["1 (33%)", "0 (0%)"]
    assert table.iloc[4, 2:4].tolist() == ["1 (33%)", "0 (0%)"]


@pytest.mark.parametrize("n", [0, 1])
def test_table_one_of_nobody_or_one_group_has_no_difference(n):
    group = Cohort("Low", cohort(age=[50.0], sex=["male"]).table.head(n))
    table = table_one([group] * n)
    assert "Standardised difference" not in table


def test_a_group_of_one_and_a_constant_give_no_difference():
    one, many = cohort(age=[50.0], sex=["male"]), cohort(age=[60.0] * 3, sex=["male"] * 3)
    assert table_one([one, many])["Standardised difference"].tolist() == ["", ""]
    assert table_one([many, many])["Standardised difference"].tolist() == ["", "0.00"]


# --- Groups ---------------------------------------------------------------------------------


def test_high_against_low_is_above_one_where_high_risk_dies_sooner():
    groups = [HIGH] * 6 + [LOW] * 6
    months = [1.0, 2, 3, 4, 9, 11, 5, 6, 7, 8, 10, 12]
    found = high_against_low(cohort(months=months, risk_group=groups))
    high = np.array([1.0] * 6 + [0.0] * 6)
    again = hazard_ratio(cohort(months=months, survival_12m=high), per=1.0, adjusted=False)
    assert found.hazard_ratio == again.hazard_ratio > 1
    assert (found.n_patients, found.n_events) == (12, 12)


def test_one_group_alone_has_no_ratio_and_nobody_dead_is_refused():
    assert math.isnan(high_against_low(cohort(months=[1.0, 2, 3])).hazard_ratio)
    with pytest.raises(TooFewPatients):
        high_against_low(cohort(months=[1.0, 2], event=[False, False], risk_group=[LOW, HIGH]))


def test_reclassification_counts_each_patient_once_and_leaves_out_who_has_no_class():
    flows = reclassify(
        cohort(
            months=[20.0, 5, 30, 6, 3, 14, 9],
            event=[False, True, False, True, True, True, False],
            recist=["SD", "SD", "SD", "SD", "PD", "NE", None],
            risk_group=[LOW, LOW, LOW, HIGH, HIGH, LOW, LOW],
        )
    )
    assert [(f.recist, f.risk_group, f.n_patients, f.n_events) for f in flows] == [
        (Recist.SD, LOW, 3, 1),
        (Recist.SD, HIGH, 1, 1),
        (Recist.PD, HIGH, 1, 1),
    ]
    assert [f.observed.survival for f in flows] == pytest.approx([2 / 3, 0, 0])
    assert reclassify(cohort(months=[], recist=[])) == ()


def test_prediction_and_outcome_of_each_site():
    n = 12
    table = cohort(
        months=np.append(np.full(n, 20.0), 2.0),
        event=np.append(np.zeros(n, bool), True),
        later=np.append(np.linspace(0.5, 0.72, n), 0.3),
        site=["b"] * n + ["a"],
    )
    small, large = predicted_and_observed(table, "site", 18, "later")
    assert (small.level, small.observed, small.predicted) == ("a", None, 0.3)
    assert large.predicted == pytest.approx(0.61)
    assert large.observed.survival == 1
    assert (large.n_patients, large.n_events) == (12, 0)
    (_, too_late) = predicted_and_observed(table, "site", 20.5, "later")
    assert np.isnan(too_late.observed.survival)


def test_a_score_is_useful_over_its_longest_run_of_thresholds():
    threshold = np.arange(1, 9) / 10
    benefit = np.array([0.3, 0.2, 0.1, np.nan, 0.1, 0.1, 0.1, -0.1])
    everybody = np.array([0.2, 0.1, 0.1, -0.1, -0.2, -0.3, -0.4, -0.5])
    curve = DecisionCurve(12, threshold, benefit, everybody, np.ones(8), 30, 10)
    assert useful_range(curve) == pytest.approx((0.5, 0.7))
    assert useful_range(replace(curve, net_benefit=everybody)) is None


# --- Time zero ------------------------------------------------------------------------------


def test_the_treatment_clock_gives_months_away():
    # 73.05 days are 2.4 months. From the scan: dead at 11, 13, alive at 20 and 30 months.
    group = cohort(
        months=[11.0, 13, 20, 30],
        event=[True, True, False, False],
        interval_days=[73.05, 73.05, 73.05, 60.875],
    )
    early = from_treatment_start(group)
    assert early.table["months"].tolist() == pytest.approx([13.4, 15.4, 22.4, 32])
    (found,) = guarantee_time([group])
    assert found.months == pytest.approx(2.4)
    assert (found.from_start.survival, found.from_follow_up.survival) == pytest.approx((1, 0.75))


def test_who_has_no_interval_is_on_no_treatment_clock():
    group = cohort(months=[11.0, 13], interval_days=[np.nan, np.nan])
    assert guarantee_time([group]) == ()
    assert from_treatment_start(group).table.empty


def test_a_clock_at_treatment_start_makes_an_effect_of_nothing():
    # Nobody's survival depends on anything; "responders" are those who lived to the scan.
    random = np.random.default_rng(3)
    lived = random.exponential(10, 4000)
    scanned = lived > 3
    everybody = Cohort("all", pd.DataFrame({"months": lived, "event": True}))
    with_scan, without = everybody.table[scanned], everybody.table[~scanned]
    biased = log_rank([Cohort("scan", with_scan), Cohort("none", without)])
    assert biased.p_value < 1e-6
    later = pd.DataFrame({"months": with_scan["months"] - 3, "event": True})
    half = random.random(len(later)) < 0.5
    assert log_rank([Cohort("a", later[half]), Cohort("b", later[~half])]).p_value > 0.01


# --- A cut that looked ----------------------------------------------------------------------


def random_cohort(n, seed, effect=0.0):
    random = np.random.default_rng(seed)
    score = random.uniform(0.1, 0.9, n)
    months = random.exponential(np.exp(effect * (score > 0.62)) * 12)
    lost = random.uniform(5, 40, n)
    return cohort(months=np.minimum(months, lost), event=months <= lost, survival_12m=score)


def test_the_best_cut_lies_where_survival_changes_and_its_p_stays_small():
    table = random_cohort(300, 1, effect=1.2)
    found = best_cut(table, permutations=500)
    assert found.cut == pytest.approx(0.62, abs=0.05)
    assert found.p_corrected == 1 / 501  # no deal of 500 did as well
    above, below = split_at(table, found.cut)
    assert above.table["survival_12m"].min() == found.cut > below.table["survival_12m"].max()
    assert above.name == f"Score {found.cut:.0%} or more"


def test_looking_at_many_cuts_is_paid_for():
    # Without any effect one in twenty cohorts may be below 0.05; uncorrected it is far more.
    raw, corrected = [], []
    for seed in range(60):
        table = random_cohort(80, 100 + seed)
        found = best_cut(table, permutations=200)
        corrected.append(found.p_corrected)
        raw.append(log_rank(split_at(table, found.cut)).p_value)
    assert np.mean(np.array(corrected) < 0.05) <= 0.15
    assert np.mean(np.array(raw) < 0.05) > 0.25
    assert 0.3 < np.mean(corrected) < 0.7


@pytest.mark.parametrize("what", ["few", "nobody died", "one score"])
def test_no_cut_without_patients_deaths_or_different_scores(what):
    table = random_cohort(19 if what == "few" else 60, 5).table
    if what == "nobody died":
        table["event"] = False
    if what == "one score":
        table["survival_12m"] = 0.5
    with pytest.raises(TooFewPatients):
        best_cut(Cohort("x", table), permutations=10)


# --- Comparison -----------------------------------------------------------------------------


def comparison_cohort(n=60):
    random = np.random.default_rng(8)
    score = random.uniform(0.1, 0.9, n)
    months = random.exponential(4 + 30 * score)
    recist = np.array(["PD", "SD", "PR", "CR"])[random.integers(0, 4, n)]
    change = random.normal(0, 0.5, n)
    table = cohort(months=months, event=random.random(n) < 0.8, survival_12m=score,
                   recist=recist.astype(object), volume_change=change).table  # fmt: skip
    table.loc[0, "recist"], table.loc[1, "recist"] = "NE", None
    table.loc[2, "volume_change"] = np.nan
    return Cohort("north", table)


def test_all_three_readings_are_measured_on_the_same_patients():
    everybody = comparison_cohort()
    same = comparable(everybody)
    assert len(same.table) == 57
    found = {one.name: one for one in compare(everybody)}
    table = same.table
    rank = table["recist"].map({"PD": 0, "SD": 1, "PR": 2, "CR": 3})
    by_hand = {
        name: harrell_c(table["months"], table["event"], score)
        for name, score in (
            ("CTRS", table["survival_12m"]), ("RECIST", rank), ("TVC", -table["volume_change"]),
        )
    }  # fmt: skip
    assert {name: one.measured.estimate for name, one in found.items()} == pytest.approx(by_hand)
    assert all(one.measured.n_patients == 57 for one in found.values())
    assert found["CTRS"].gain is None
    gain = found["TVC"].gain
    assert gain.estimate == pytest.approx(by_hand["CTRS"] - by_hand["TVC"])
    assert gain.lower < gain.estimate < gain.upper


def test_the_methods_say_whom_when_by_what_and_what_not():
    text = methods.methods(methods.SURVIVAL, select(PEOPLE, {"recist": ["SD"]}), "v7")
    assert "Patients: 4, of whom 2 died (RECIST: SD)." in text
    assert "Time zero was the follow-up CT" in text
    assert "model v7" in text
    assert text.endswith(NOTICE)
    biased = methods.methods(methods.SURVIVAL, select(PEOPLE, {}), "v7", from_treatment=True)
    assert "baseline CT" in biased
    assert "Time zero was the follow-up CT" not in biased
