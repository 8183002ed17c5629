"""Survival statistics against R (survival 3.5-3), published tables and arithmetic by hand.

``lung`` is the North Central Cancer Treatment Group's advanced lung cancer trial (Loprinzi et
al., J. Clin. Oncol. 12 (1994) 601-607), in days, as shipped with R and lifelines. R's numbers:
``survfit(Surv(time, status) ~ sex, lung)``, ``survdiff``, ``coxph``, ``concordance``.
"""

import dataclasses
import warnings

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter
from lifelines.datasets import load_dd, load_lung, load_lymphoma

from ctrs.errors import TooFewPatients
from ctrs.survival import (
    adjusted_hazard_ratio,
    at_risk,
    concordance,
    cox_model,
    hazard_ratio,
    kaplan_meier,
    landmark_cohort,
    log_rank,
    split_by_risk,
    subgroup_hazard_ratios,
    survival_at,
)
from ctrs.types import Cohort
from tests.survival_data import veteran

NAN = float("nan")


@pytest.fixture(scope="module")
def lung():
    """Karnofsky rated by the patient stands in for the score: 0-100, higher = better."""
    table = load_lung().rename(columns={"time": "months"})
    return table.assign(
        event=table["status"] == 1,
        survival_12m=table["pat.karno"] / 100,
        sex=table["sex"].map({1: "male", 2: "female"}),
    )


@pytest.fixture(scope="module")
def male(lung):
    return Cohort("male", lung[lung["sex"] == "male"])


@pytest.fixture(scope="module")
def female(lung):
    return Cohort("female", lung[lung["sex"] == "female"])


def make_cohort(months, event, name="made by hand", **columns):
    table = {"months": np.array(months, float), "event": np.array(event, bool), **columns}
    return Cohort(name, pd.DataFrame(table))


def simulated(seed=4, n=400):
    """A score whose true hazard ratio is 0.74 per +10 points, followed for up to 30 months."""
    random = np.random.default_rng(seed)
    score = random.beta(4, 3, n)
    death = random.exponential(15 * 0.74 ** (-(score - 0.5) / 0.1))
    end = random.uniform(6, 30, n)
    return make_cohort(np.minimum(death, end), death < end, survival_12m=score), random


# --- Kaplan-Meier ---------------------------------------------------------------------------


def test_median_of_lung_and_its_interval_are_those_of_r(male, female):
    men, women = kaplan_meier(male), kaplan_meier(female)
    assert (men.n_patients, men.n_events) == (138, 112)
    assert (women.n_patients, women.n_events) == (90, 53)
    assert (men.median_months, men.median_interval) == (270, (210, 306))
    assert (women.median_months, women.median_interval) == (426, (345, 524))


def test_survival_of_lung_at_one_year_is_that_of_r(male, female):
    men = survival_at(kaplan_meier(male), male, 365)
    women = survival_at(kaplan_meier(female), female, 365)
    assert dataclasses.astuple(men) == pytest.approx(
        (365, 0.336088, 0.252729, 0.421302, 35), abs=1e-6
    )
    assert dataclasses.astuple(women) == pytest.approx(
        (365, 0.526463, 0.403580, 0.635316, 30), abs=1e-6
    )


def test_at_risk_is_counted_as_r_counts(male, female):
    hundreds = range(0, 1000, 100)
    assert at_risk(male, hundreds) == [138, 114, 78, 49, 31, 20, 13, 8, 6, 2]
    assert at_risk(female, hundreds) == [90, 82, 66, 43, 26, 21, 11, 8, 2, 1]
    # Two men are followed to day 300 or 183 exactly; lifelines says 48 and 85.
    assert at_risk(male, [300, 183]) == [49, 86]


# 6-mercaptopurine arm of Freireich et al., Blood 21 (1963) 699-716 (weeks; 0 = censored).
TREATED = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35]
RELAPSED = [1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]
PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]


def test_kaplan_meier_agrees_with_freireich_1963():
    curve = kaplan_meier(make_cohort(TREATED, RELAPSED), label="6-MP")
    assert curve.label == "6-MP"
    assert curve.months.tolist() == [0, 6, 7, 10, 13, 16, 22, 23, 35]  # the last: end of follow-up
    expected = [1, 0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448, 0.448]
    assert curve.survival.tolist() == pytest.approx(expected, abs=5e-4)
    assert curve.median_months == 23


def test_a_patient_dying_at_a_time_is_dead_at_that_time_but_was_at_risk():
    cohort = make_cohort([2, 5, 5, 9], [1, 1, 0, 1])
    curve = kaplan_meier(cohort)
    # 3/4, then 3/4 * 2/3 = 1/2 (the one lost at 5 was still there), then 0.
    assert [survival_at(curve, cohort, t).survival for t in (0, 1.9, 2, 5, 8, 9)] == pytest.approx(
        [1, 1, 0.75, 0.5, 0.5, 0]
    )
    assert [survival_at(curve, cohort, t).at_risk for t in (2, 5, 5.1, 9)] == [4, 3, 1, 1]


def test_a_curve_that_reaches_a_half_has_a_median_though_binary_rounds():
    # 4/5 * 3/4 * 2/3 * ... in logarithms; 3 of 6 dead is exactly a half.
    assert kaplan_meier(make_cohort([1, 2, 3, 8, 8, 9], [1, 1, 1, 0, 0, 0])).median_months == 3


def test_one_patient_who_died():
    cohort = make_cohort([118], [1])
    curve = kaplan_meier(cohort)
    assert (curve.median_months, curve.median_interval) == (118, (None, None))
    alive, dead = survival_at(curve, cohort, 100), survival_at(curve, cohort, 200)
    assert (alive.survival, alive.at_risk) == (1, 1)
    assert np.isnan([alive.lower, alive.upper]).all()  # one patient proves nothing
    assert (dead.survival, dead.at_risk) == (0, 0)
    assert np.isnan([dead.lower, dead.upper]).all()  # R: NA


def test_nobody_died():
    cohort = make_cohort([4, 7.5], [0, 0])
    curve = kaplan_meier(cohort)
    assert (curve.n_events, curve.median_months, curve.median_interval) == (0, None, (None, None))
    assert survival_at(curve, cohort, 7.5).survival == 1
    assert np.isnan(survival_at(curve, cohort, 7.6).survival)  # nobody was watched so long


def test_everybody_died():
    cohort = make_cohort([1, 3, 4, 4], [1, 1, 1, 1])
    curve = kaplan_meier(cohort)
    assert curve.survival.tolist() == pytest.approx([1, 0.75, 0.5, 0])
    assert survival_at(curve, cohort, 60).survival == 0
    assert np.isfinite(curve.lower[:-1]).all()
    assert np.isnan(curve.lower[-1])


def test_a_death_on_the_day_of_the_scan_still_starts_at_one():
    curve = kaplan_meier(make_cohort([0, 3, 5], [1, 0, 0]))
    assert curve.months.tolist() == [0, 0, 5]
    assert curve.survival.tolist() == pytest.approx([1, 2 / 3, 2 / 3])


@pytest.mark.parametrize("seed", range(5))
def test_the_curve_never_rises_and_stays_in_its_band_in_any_row_order(seed):
    cohort, _ = simulated(seed, n=70)
    curve = kaplan_meier(cohort)
    shuffled = kaplan_meier(Cohort("shuffled", cohort.table.sample(frac=1, random_state=seed)))
    assert (np.diff(curve.survival) <= 0).all()
    alive = curve.survival > 0
    assert (curve.lower[alive] <= curve.survival[alive]).all()
    assert (curve.survival[alive] <= curve.upper[alive]).all()
    np.testing.assert_array_equal(curve.survival, shuffled.survival)


def test_an_empty_cohort_is_explained():
    with pytest.raises(TooFewPatients, match="“nobody”") as caught:
        kaplan_meier(make_cohort([], [], name="nobody"))
    assert caught.value.next_step.startswith("Widen")


# --- Landmark and groups --------------------------------------------------------------------


def test_landmark_of_lung_at_twelve_weeks_is_that_of_r(lung):
    cohort, excluded = landmark_cohort(lung.assign(scan_on=84), "lung", "scan_on")
    assert (len(cohort.table), excluded) == (203, 25)
    assert "scan_on" not in cohort.table
    groups = [Cohort(sex, cohort.table[cohort.table["sex"] == sex]) for sex in ("male", "female")]
    assert [kaplan_meier(group).median_months for group in groups] == [219, 360]
    assert log_rank(groups).chi_square == pytest.approx(7.665208223, abs=1e-6)


def test_who_is_not_followed_past_the_landmark_is_left_out_and_counted():
    table = pd.DataFrame(
        {
            "patient": list("abcdef"),
            "months": [0.0, -1.0, NAN, 0.5, 7.0, 3.0],
            "event": [True, True, False, True, False, None],
        }
    )
    cohort, excluded = landmark_cohort(table, "mixed")
    assert cohort.table["patient"].tolist() == ["d", "e"]
    assert excluded == 4
    assert cohort.table["event"].dtype == bool


def test_each_patient_has_an_own_landmark():
    table = pd.DataFrame({"months": [9.0, 3.0, 2.5], "event": [True] * 3, "scan": [2.5, 3.0, 2.8]})
    cohort, excluded = landmark_cohort(table, "own", "scan")
    assert cohort.table["months"].tolist() == [6.5]
    assert excluded == 2


def test_risk_groups_come_low_first_without_the_empty_and_the_unscored():
    groups = ["High risk", "Low risk", None, "High risk"]
    cohort = make_cohort([1, 2, 3, 4], [1, 0, 1, 0], risk_group=groups)
    low, high = split_by_risk(cohort)
    assert (low.name, low.table["months"].tolist()) == ("Low risk", [2])
    assert (high.name, high.table["months"].tolist()) == ("High risk", [1, 4])
    assert [group.name for group in split_by_risk(high)] == ["High risk"]


# --- Log-rank and concordance ---------------------------------------------------------------


def test_log_rank_of_lung_by_sex_is_that_of_r(male, female):
    test = log_rank([male, female])
    assert test.chi_square == pytest.approx(10.32674195489, abs=1e-8)
    assert test.p_value == pytest.approx(0.00131116452, abs=1e-8)
    assert test.degrees_of_freedom == 1


def test_log_rank_of_freireich_is_that_of_r():
    groups = [make_cohort(TREATED, RELAPSED), make_cohort(PLACEBO, [1] * 21)]
    assert log_rank(groups).chi_square == pytest.approx(16.79, abs=5e-3)


# R's numbers as quoted in the test suite of lifelines.
@pytest.mark.parametrize(
    ("load", "time", "event", "group", "chi_square", "degrees"),
    [
        (load_dd, "duration", "observed", "regime", 322.5991, 5),
        (load_lymphoma, "Time", "Censor", "Stage_group", 6.70971, 1),
    ],
)
def test_log_rank_of_k_groups_is_that_of_r(load, time, event, group, chi_square, degrees):
    table = load().rename(columns={time: "months", event: "event"})
    test = log_rank([Cohort(str(name), part) for name, part in table.groupby(group)])
    assert test.chi_square == pytest.approx(chi_square, abs=1e-4)
    assert test.degrees_of_freedom == degrees


def test_a_group_that_no_death_concerns_is_not_counted():
    gone_early = make_cohort([1, 1.5], [0, 0])
    first, second = make_cohort([2, 6], [1, 1]), make_cohort([4, 9], [1, 0])
    assert log_rank([gone_early, first, second]) == log_rank([first, second])
    with pytest.raises(TooFewPatients, match="1 of 3 groups"):
        log_rank([gone_early, first, make_cohort([], [])])
    with pytest.raises(TooFewPatients, match="0 of 2 groups"):
        log_rank([gone_early, make_cohort([5, 6], [0, 0])])
    with pytest.raises(TooFewPatients, match="0 of 0"):
        log_rank([])


def test_groups_of_one_name_stay_apart():
    first, second = make_cohort([2, 6, 7], [1, 1, 1], "x"), make_cohort([4, 9, 12], [1, 0, 0], "x")
    assert log_rank([first, second]).degrees_of_freedom == 1


def test_concordance_of_the_lung_model_is_that_of_r(lung):
    # R: coxph(Surv(time, status) ~ age + sex + ph.ecog): 12544 concordant, 7117 discordant,
    # 126 tied: (12544 + 63) / 19787 = 0.63714.
    raw = load_lung()[["time", "status", "age", "sex", "ph.ecog"]].dropna()
    model = CoxPHFitter().fit(raw, "time", "status")
    table = lung.assign(
        outlook=-model.predict_log_partial_hazard(load_lung()[list(model.params_.index)])
    )
    assert concordance(Cohort("lung", table), "outlook") == pytest.approx(0.63714, abs=1e-5)


def test_who_is_scored_low_and_dies_first_is_concordant():
    deaths = make_cohort([2, 5, 9, 11], [1, 1, 0, 1], survival_12m=[0.1, 0.4, 0.8, 0.9])
    assert concordance(deaths) == 1
    upside_down = Cohort("", deaths.table.assign(survival_12m=[0.9, 0.8, 0.4, 0.1]))
    assert concordance(upside_down) == 0
    # Pairs that can be ordered: (2,5) (2,9) (2,11) (5,9) (5,11); one tie: 4.5 of 5.
    tied = Cohort("", deaths.table.assign(survival_12m=[0.1, 0.1, 0.8, 0.9]))
    assert concordance(tied) == pytest.approx(0.9)


def test_concordance_leaves_out_who_has_no_score():
    cohort = make_cohort([2, 5, 9], [1, 1, 1], survival_12m=[0.1, None, 0.8])
    assert concordance(cohort) == 1


@pytest.mark.parametrize(
    ("months", "event"), [([3, 4], [0, 0]), ([3, 4], [0, 1]), ([3], [1]), ([], [])]
)
def test_no_pair_to_order_is_explained(months, event):
    cohort = make_cohort(months, event, survival_12m=np.linspace(0.2, 0.7, len(months)))
    with pytest.raises(TooFewPatients, match="no pair"):
        concordance(cohort)


# --- Hazard ratios --------------------------------------------------------------------------


def test_hazard_ratio_per_ten_points_is_that_of_r(lung):
    # R: coxph(Surv(time, status) ~ I(pat.karno / 10), lung)
    row = hazard_ratio(Cohort("lung", lung), adjusted=False)
    numbers = (row.hazard_ratio, row.lower, row.upper)
    assert numbers == pytest.approx((0.81995857, 0.73664312, 0.91269713), abs=1e-6)
    assert (row.n_patients, row.n_events) == (225, 162)
    assert row.p_interaction is None
    # Twice the step is the square.
    twice = hazard_ratio(Cohort("lung", lung), per=0.20, adjusted=False)
    assert twice.hazard_ratio == pytest.approx(row.hazard_ratio**2, rel=1e-6)


def test_adjusted_hazard_ratio_is_that_of_r(lung):
    # R: coxph(Surv(time, status) ~ age + sex + ph.ecog, lung): ph.ecog 1.58999119
    # (1.27267518-1.98642358), n = 227. As a score the ECOG status is upside down: 1 / HR.
    table = lung.assign(survival_12m=1 - lung["ph.ecog"] / 10)
    row = hazard_ratio(Cohort("lung", table), adjusted=True)
    assert 1 / row.hazard_ratio == pytest.approx(1.58999119, abs=1e-6)
    assert 1 / row.upper == pytest.approx(1.27267518, abs=1e-6)
    assert 1 / row.lower == pytest.approx(1.98642358, abs=1e-6)
    assert row.p_value == pytest.approx(4.4470667e-05, rel=1e-4)
    assert row.n_patients == 227
    assert row.label == "Per +10 points, adjusted for age, sex"


def test_proportional_hazards_of_the_adjusted_model_are_those_of_r(lung):
    # R: cox.zph(coxph(Surv(time, status) ~ age + sex + ph.ecog, lung))
    table = lung.assign(survival_12m=1 - lung["ph.ecog"] / 10)
    tests = adjusted_hazard_ratio(Cohort("lung", table))[1]
    assert {t.covariate: (round(t.chi_square, 3), t.degrees_of_freedom, round(t.p_value, 2))
            for t in tests} == {
        "score": (2.054, 1, 0.15), "age": (0.188, 1, 0.66), "sex": (2.305, 1, 0.13),
        "global": (4.464, 3, 0.22),
    }  # fmt: skip


def test_levels_of_one_covariate_are_tested_together():
    # cox_model is held against R's cox.zph on the same patients elsewhere.
    table = veteran().rename(columns={"celltype": "histology"})
    table = table.assign(
        survival_12m=table["karno"] / 100, pd_l1=np.where(table["trt"] == 1, "<1%", ">=50%"),
        tumour_volume_ml=np.exp(table["diagtime"] / 20),
    )  # fmt: skip
    cohort = Cohort("veteran", table)
    tests = {test.covariate: test for test in adjusted_hazard_ratio(cohort)[1]}
    model = cox_model(cohort, ["karno", "age", "diagtime", "histology", "trt"])
    names = {"karno": "score", "diagtime": "tumour volume", "trt": "PD-L1"}
    assert len(tests) == len(model.proportionality)
    for test in model.proportionality:
        found = tests[names.get(test.covariate, test.covariate)]
        assert found.chi_square == pytest.approx(test.chi_square, rel=1e-5)
        assert found.degrees_of_freedom == test.degrees_of_freedom
    assert tests["histology"].degrees_of_freedom == 3
    assert tests["score"].violated
    foretold = table.assign(survival_12m=1 - table["months"].rank() / len(table))
    row, none = adjusted_hazard_ratio(Cohort("veteran", foretold.assign(event=foretold.index < 3)))
    assert np.isnan(row.hazard_ratio)
    assert none == ()
    with pytest.raises(TooFewPatients, match="137 patients with 0 deaths"):
        adjusted_hazard_ratio(Cohort("veteran", table.assign(event=False)))


def test_adjusting_takes_out_what_another_column_explains():
    # The score says nothing but the tumour volume, which drives the hazard; a little noise
    # keeps the two apart.
    random = np.random.default_rng(8)
    volume = np.exp(random.normal(3, 1, 600))
    score = 0.5 - 0.1 * (np.log(volume) - 3) + random.normal(0, 0.05, 600)
    months = random.exponential(20 / (volume / np.e**3))
    cohort = make_cohort(
        months, np.ones(600), survival_12m=score.clip(0, 1), tumour_volume_ml=volume
    )
    assert hazard_ratio(cohort, adjusted=False).hazard_ratio < 0.6
    adjusted = hazard_ratio(cohort, adjusted=True)
    assert adjusted.lower < 1 < adjusted.upper
    assert adjusted.label.endswith("adjusted for tumour volume")


def test_an_aliased_level_and_a_silent_level_do_not_spoil_the_adjusted_model():
    cohort, random = simulated()
    table = cohort.table.assign(
        age=random.integers(40, 85, len(cohort.table)),
        sex=random.choice(["female", "male", "unknown"], len(cohort.table), p=[0.4, 0.5, 0.1]),
        histology="adenocarcinoma",
        tumour_volume_ml=random.exponential(30, len(cohort.table)),
    )
    table["pd_l1"] = np.where(table["sex"] == "unknown", None, "<1%")  # unknown together
    expected = hazard_ratio(Cohort("", table.drop(columns=["pd_l1", "histology"])), adjusted=True)
    row = hazard_ratio(Cohort("", table), adjusted=True)
    assert row.hazard_ratio == pytest.approx(expected.hazard_ratio, rel=1e-9)
    assert 0.6 < row.hazard_ratio < 0.85

    nobody_died = table.sample(12, random_state=1).assign(histology="other", event=False)
    table = pd.concat([table, nobody_died], ignore_index=True)
    silent = hazard_ratio(Cohort("", table), adjusted=True)
    assert silent.hazard_ratio == pytest.approx(row.hazard_ratio, rel=1e-9)
    assert silent.n_patients == row.n_patients


def test_no_tumour_left_and_unknown_age_are_no_obstacle_to_adjusting():
    cohort, random = simulated()
    n = len(cohort.table)
    age = random.integers(40, 85, n).astype(float)
    age[:7] = NAN
    volume = random.exponential(30, n)
    volume[7:30] = 0
    table = cohort.table.assign(age=age, tumour_volume_ml=volume)
    row = hazard_ratio(Cohort("", table), adjusted=True)
    assert row.n_patients == n - 7
    assert np.isfinite(row.hazard_ratio)


def test_the_interval_holds_the_true_hazard_ratio_about_as_often_as_it_says():
    held = 0
    for seed in range(40):
        row = hazard_ratio(simulated(seed, n=200)[0], adjusted=False)
        held += row.lower < 0.74 < row.upper
    assert held >= 34  # binomial(40, 0.95): 34 or more in 99.7 %


@pytest.mark.parametrize(
    ("months", "event", "score"),
    [
        (range(1, 13), [1] * 12, np.arange(12) / 12),  # perfect order: no finite maximum
        (range(1, 13), [1] * 12, [0.5] * 12),  # everybody has the same score
        (range(1, 13), [1] + [0] * 11, np.arange(12) / 12),  # one death, the lowest score
        ([3], [1], [0.4]),
        ([8, 8, 4], [1, 1, 0], [0.1, 0.1, 0.3]),  # R: 1 (0 to Inf)
    ],
)
def test_a_model_without_a_finite_answer_is_a_row_of_nan_and_no_warning(months, event, score):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        row = hazard_ratio(make_cohort(months, event, survival_12m=score), adjusted=False)
    assert np.isnan([row.hazard_ratio, row.lower, row.upper, row.p_value]).all()
    assert (row.n_patients, row.n_events) == (len(months), sum(event))


def test_a_hazard_ratio_without_a_death_is_explained():
    for cohort in (make_cohort([3, 4], [0, 0], survival_12m=[0.2, 0.3]),
                   make_cohort([], [], survival_12m=[])):  # fmt: skip
        with pytest.raises(TooFewPatients, match="at least 1 death"):
            hazard_ratio(cohort, adjusted=True)


# --- Forest ---------------------------------------------------------------------------------


def test_subgroups_of_lung_and_their_interaction_are_those_of_r(lung):
    everybody, women, men = subgroup_hazard_ratios(Cohort("lung", lung), {"sex": "Sex"})
    assert (everybody.label, everybody.p_interaction) == ("All patients", None)
    assert everybody.hazard_ratio == pytest.approx(0.819959, abs=1e-6)
    assert (men.label, men.n_patients, men.n_events) == ("Sex: male", 136, 110)
    assert (women.label, women.n_patients, women.n_events) == ("Sex: female", 89, 52)
    assert (men.hazard_ratio, men.lower, men.upper) == pytest.approx(
        (0.8172677, 0.7078912, 0.94354399), abs=1e-5
    )
    assert (women.hazard_ratio, women.lower, women.upper) == pytest.approx(
        (0.80906895, 0.68149705, 0.96052149), abs=1e-5
    )
    # anova(coxph(~ k10 + sex), coxph(~ k10 * sex))
    assert men.p_interaction == women.p_interaction == pytest.approx(0.9276354, abs=1e-6)


def test_interaction_over_levels_does_not_hang_on_the_size_of_the_step(lung):
    cohort = Cohort("lung", lung)
    tenth, half = (
        subgroup_hazard_ratios(cohort, {"sex": "Sex"}, per)[1].p_interaction for per in (0.1, 0.5)
    )
    assert tenth == half


def test_small_and_silent_levels_are_listed_without_an_estimate():
    cohort, _ = simulated(n=60)
    histology = ["squamous"] * 9 + [None] * 12 + ["adenocarcinoma"] * 29 + ["other"] * 10
    table = cohort.table.assign(histology=histology)
    table.loc[table["histology"] == "other", "event"] = False
    rows = {r.label: r for r in subgroup_hazard_ratios(Cohort("", table), {"histology": "Type"})}
    assert list(rows) == [
        "All patients", "Type: adenocarcinoma", "Type: squamous", "Type: other", "Type: unknown"
    ]  # fmt: skip
    assert np.isnan(rows["Type: squamous"].hazard_ratio)  # 9 patients
    assert rows["Type: squamous"].n_patients == 9
    assert np.isnan(rows["Type: other"].hazard_ratio)  # nobody died
    assert (rows["Type: other"].n_patients, rows["Type: other"].n_events) == (10, 0)
    assert np.isfinite(rows["Type: unknown"].hazard_ratio)
    # The test compares the two levels that have an estimate.
    both = Cohort("", table[table["histology"].isna() | (table["histology"] == "adenocarcinoma")])
    expected = subgroup_hazard_ratios(both, {"histology": "Type"})[1].p_interaction
    assert rows["Type: squamous"].p_interaction == pytest.approx(expected, rel=1e-9)


def test_one_level_has_nothing_to_interact_with():
    cohort, _ = simulated(n=60)
    rows = subgroup_hazard_ratios(Cohort("", cohort.table.assign(line="first")), {"line": "Line"})
    assert [row.p_interaction for row in rows] == [None, None]
    assert rows[1].hazard_ratio == pytest.approx(rows[0].hazard_ratio)


def test_levels_stand_in_clinical_order_and_age_is_cut_at_65():
    cohort, random = simulated(n=300)
    table = cohort.table.assign(
        recist=random.choice(["PD", "SD", "PR", "mixed"], 300),
        pd_l1=random.choice(["unknown", ">=50%", "1-49%", "<1%"], 300),
        age=[64] * 140 + [65] * 145 + [None] * 15,
    )
    rows = subgroup_hazard_ratios(Cohort("", table))
    assert [row.label for row in rows] == [
        "All patients",
        "RECIST: PR", "RECIST: SD", "RECIST: PD", "RECIST: mixed",
        "PD-L1: <1%", "PD-L1: 1-49%", "PD-L1: >=50%", "PD-L1: unknown",
        "Age: < 65", "Age: >= 65", "Age: unknown",
    ]  # fmt: skip
    assert [row.n_patients for row in rows[-3:]] == [140, 145, 15]


def test_a_real_interaction_is_found():
    cohort, random = simulated(n=500)
    table = cohort.table.assign(sex=["female"] * 250 + ["male"] * 250)
    table.loc[250:, "survival_12m"] = random.uniform(0, 1, 250)  # says nothing in men
    rows = subgroup_hazard_ratios(Cohort("", table), {"sex": "Sex"})
    assert rows[1].hazard_ratio < 0.8
    assert rows[2].lower < 1 < rows[2].upper
    assert rows[1].p_interaction < 0.001
