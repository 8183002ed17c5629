"""Curves, tests and Cox models against R (survival 3.5-3) and arithmetic by hand.

R's calls stand beside the numbers; all of them on ``lung`` or ``veteran``.
"""

import warnings

import numpy as np
import pandas as pd
import pytest

from ctrs.errors import TooFewPatients
from ctrs.survival import (
    cox_each,
    cox_model,
    cox_score,
    kaplan_meier,
    landmark,
    log_rank,
    pairwise_log_rank,
    restricted_mean,
    reverse_kaplan_meier,
    survival_at,
)
from ctrs.types import Cohort
from tests.survival_data import cohorts, lung, make_cohort, simulated_follow_up, veteran

# --- Curves ---------------------------------------------------------------------------------


def test_log_intervals_of_lung_are_those_of_r():
    # survfit(Surv(time, status) ~ sex, lung), conf.type = "log" by default
    men, women = cohorts(lung(), "sex")
    curves = [kaplan_meier(group, interval="log") for group in (men, women)]
    assert [(c.median_months, c.median_interval) for c in curves] == [
        (270, (212, 310)),
        (426, (348, 550)),
    ]
    assert {curve.interval for curve in curves} == {"log"}
    expected = (0.336088, 0.260901, 0.432943), (0.526463, 0.421486, 0.657586)
    for curve, group, numbers in zip(curves, (men, women), expected, strict=True):
        point = survival_at(curve, group, 365)
        assert (point.survival, point.lower, point.upper) == pytest.approx(numbers, abs=1e-6)


def test_medians_of_veteran_by_cell_type_are_those_of_r():
    curves = {g.name: kaplan_meier(g, interval="log") for g in cohorts(veteran(), "celltype")}
    assert {name: (c.median_months, c.median_interval) for name, c in curves.items()} == {
        "squamous": (118, (82, 314)),
        "smallcell": (51, (25, 63)),
        "adeno": (51, (35, 92)),
        "large": (156, (105, 231)),
    }


def test_a_log_band_never_leaves_0_to_1():
    curve = kaplan_meier(make_cohort([1, 4, 6, 9], [1, 0, 1, 1]), interval="log")
    assert curve.upper[1] == 1  # 3/4 * exp(1.96 * sqrt(1/12)) is 1.32
    assert np.isnan(curve.upper[-1])


def test_a_step_at_a_half_puts_the_median_in_its_middle():
    # 3/4 at 2, 1/2 from 5 to 9, 1/4 at 9: R gives (5 + 9) / 2.
    assert kaplan_meier(make_cohort([2, 5, 9, 12], [1, 1, 1, 0])).median_months == 7
    assert kaplan_meier(make_cohort([2, 5, 9, 12], [1, 1, 0, 0])).median_months == 5
    assert kaplan_meier(make_cohort([2, 5, 9], [1, 1, 0])).median_months == 5


def test_restricted_means_of_lung_are_those_of_r():
    # print(survfit(Surv(time, status) ~ sex, lung), rmean = 365)
    means = [restricted_mean(group, 365) for group in cohorts(lung(), "sex")]
    assert [mean.months for mean in means] == pytest.approx([241.4951, 297.4654], abs=1e-3)
    assert [m.standard_error for m in means] == pytest.approx([10.35823, 10.79132], abs=1e-4)
    assert means[0].lower == pytest.approx(241.4951 - 1.959964 * 10.35823, abs=1e-3)


def test_restricted_mean_by_hand():
    # Survival 1 to 0, 3/4 to 2 (a death at 0 counts at once), 1/2 to 6: 2 * 3/4 + 4 * 1/2.
    mean = restricted_mean(make_cohort([0, 2, 7, 9], [1, 1, 0, 1]), 6)
    assert mean.months == pytest.approx(3.5)
    # (area after)^2 d / (n (n - d)): 3.5^2 / 12 + 2^2 / 6
    assert mean.standard_error == pytest.approx(np.sqrt(3.5**2 / 12 + 4 / 6))


def test_a_restricted_mean_beyond_follow_up_is_refused_unless_all_are_dead():
    with pytest.raises(TooFewPatients, match="followed for 5; a mean up to 6"):
        restricted_mean(make_cohort([2, 5], [1, 0]), 6)
    mean = restricted_mean(make_cohort([2, 5], [1, 1]), 6)
    assert mean.months == pytest.approx(3.5)  # (2 + 5) / 2: who is dead gains nothing


def test_follow_up_of_lung_is_that_of_r():
    # survfit(Surv(time, status == 1) ~ 1, lung)
    followed = reverse_kaplan_meier(Cohort("lung", lung()), interval="log")
    assert (followed.n_patients, followed.n_events) == (228, 63)
    assert (followed.median_months, followed.median_interval) == (588, (511, 1010))


def test_landmark_counts_deaths_and_losses_apart():
    table = pd.DataFrame(
        {
            "months": [1.0, 2.0, 3.0, 3.0, 8.0, 5.0, None, 0.5],
            "event": [True, False, True, False, True, None, True, False],
        }
    )
    found = landmark(table, "mixed", 3.0)
    assert (found.died_before, found.lost_before, found.unknown, found.excluded) == (2, 3, 2, 7)
    assert found.cohort.table["months"].tolist() == [5.0]


def test_landmark_of_lung_at_twelve_weeks_has_rs_intervals():
    groups = cohorts(landmark(lung(), "lung", 84).cohort.table, "sex")
    curves = [kaplan_meier(group, interval="log") for group in groups]
    assert [(c.median_months, c.median_interval) for c in curves] == [
        (219, (185, 280)),
        (360, (267, 570)),
    ]


def test_grouping_by_response_without_a_landmark_shows_an_effect_that_is_not_there():
    # Response says nothing about survival, but who dies before the scan never has one.
    random = np.random.default_rng(3)
    death, scan = random.exponential(12, 800), np.full(800, 3.0)
    table = pd.DataFrame({"months": death, "event": True, "scan": scan})
    responded = (random.random(800) < 0.5) & (death > scan)
    naive = log_rank(cohorts(table.assign(responder=responded), "responder"))
    honest = log_rank(
        cohorts(landmark(table.assign(responder=responded), "", "scan").cohort.table, "responder")
    )
    assert naive.p_value < 1e-6
    assert honest.p_value > 0.05


# --- Tests ----------------------------------------------------------------------------------


def test_peto_test_of_lung_is_that_of_r():
    # survdiff(Surv(time, status) ~ sex, lung, rho = 1)
    test = log_rank(cohorts(lung(), "sex"), rho=1)
    assert test.chi_square == pytest.approx(12.7141514, abs=1e-7)
    assert test.p_value == pytest.approx(0.000362898928, abs=1e-10)


def test_log_rank_says_how_many_died_and_should_have():
    # survdiff: expected 91.6 and 73.4
    test = log_rank(cohorts(lung(), "sex"))
    assert (test.n_patients, test.observed) == ((138, 90), (112, 53))
    assert test.expected == pytest.approx((91.58, 73.42), abs=0.005)


def test_log_rank_of_veteran_is_that_of_r():
    test = log_rank(cohorts(veteran(), "celltype"))
    assert test.chi_square == pytest.approx(25.4037003458, abs=1e-8)
    assert (test.degrees_of_freedom, test.p_value) == (3, pytest.approx(1.2712459e-05, rel=1e-7))
    treatments = cohorts(veteran(), "trt")
    assert log_rank(treatments).chi_square == pytest.approx(0.008227343, abs=1e-8)
    # survdiff(Surv(time, status) ~ trt + strata(celltype), veteran)
    stratified = log_rank(treatments, strata="celltype")
    assert stratified.chi_square == pytest.approx(0.7017433468, abs=1e-8)


# Checked against R in the test suites of lifelines and scikit-survival.
@pytest.mark.parametrize(
    ("first", "second", "chi_square"),
    [
        (([1, 2, 3], [1, 1, 1]), ([1, 2, 3], [1, 1, 1]), 0.0),
        # By hand: at 1 excess 1 - 2/4 with variance 1/4; at 2 1 - 1/3, 2/9; 3 and 4: 0.
        (([1, 2], [1, 1]), ([3, 4], [1, 1]), (1 / 2 + 2 / 3) ** 2 / (1 / 4 + 2 / 9)),
        # Two deaths of four on one day: variance 2 * 1/4 * (4 - 2) / 3; then 1 - 1/2, 1/4.
        (([2, 2, 5], [1, 1, 0]), ([2, 6], [0, 1]), (2 - 6 / 5) ** 2 / (2 * 6 / 25 * 3 / 4)),
    ],
)
def test_log_rank_by_hand(first, second, chi_square):
    test = log_rank([make_cohort(*first), make_cohort(*second)])
    assert test.chi_square == pytest.approx(chi_square)


def test_a_patient_without_a_stratum_is_left_out():
    groups = cohorts(veteran(), "trt")
    stray = groups[0].table.head(1).assign(celltype=pd.NA, months=1.0)
    stray["celltype"] = stray["celltype"].astype(groups[0].table["celltype"].dtype)
    with_stray = [Cohort("1", pd.concat([groups[0].table, stray])), groups[1]]
    expected = log_rank(groups, strata="celltype")
    assert log_rank(with_stray, strata="celltype") == expected


def test_deaths_that_tell_nothing_apart_are_explained():
    at_once = [make_cohort([5, 5], [1, 1]), make_cohort([5], [1])]
    with pytest.raises(TooFewPatients, match="tells 2 groups apart"):
        log_rank(at_once)


def test_pairs_of_veteran_and_their_adjustment_are_those_of_r():
    pairs = pairwise_log_rank(cohorts(veteran(), "celltype"))
    assert [(pair.first, pair.second) for pair in pairs] == [
        ("squamous", "smallcell"), ("squamous", "adeno"), ("squamous", "large"),
        ("smallcell", "adeno"), ("smallcell", "large"), ("adeno", "large"),
    ]  # fmt: skip
    raw = [6.6892123e-04, 5.1918015e-04, 0.36442284, 0.75565133, 2.2045675e-03, 2.6283169e-05]
    adjusted = [1.33784245e-03, 1.33784245e-03, 0.43730740, 0.75565133, 3.30685128e-03,
                1.57699010e-04]  # fmt: skip
    assert [pair.test.p_value for pair in pairs] == pytest.approx(raw, abs=1e-8)
    assert [pair.p_adjusted for pair in pairs] == pytest.approx(adjusted, abs=1e-8)


def test_a_pair_that_cannot_be_compared_does_not_count_as_a_test():
    squamous, smallcell, *_ = cohorts(veteran(), "celltype")
    # Followed for no time: nobody of them is under observation when somebody dies.
    nobody = make_cohort([0, 0], [0, 0], "nobody")
    pairs = pairwise_log_rank([squamous, nobody, smallcell])
    compared = [pair for pair in pairs if pair.test is not None]
    assert [(pair.first, pair.second) for pair in compared] == [("squamous", "smallcell")]
    assert compared[0].p_adjusted == compared[0].test.p_value
    assert [pair.p_adjusted for pair in pairs if pair.test is None] == [None, None]
    assert pairwise_log_rank([squamous]) == []


# --- Cox ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lung_model():
    return cox_model(Cohort("lung", lung()), ["age", "sex", "ph.ecog"])


def test_cox_model_of_lung_is_that_of_r(lung_model):
    # coxph(Surv(time, status) ~ age + sex + ph.ecog, lung)
    assert [row.covariate for row in lung_model.rows] == ["age", "sex", "ph.ecog"]
    assert [row.log_hazard for row in lung_model.rows] == pytest.approx(
        [0.011066765, -0.552612396, 0.463728475], abs=1e-8
    )
    sex = lung_model.rows[1]
    assert (sex.hazard_ratio, sex.lower, sex.upper) == pytest.approx(
        (0.57544456, 0.41421302, 0.79943513), abs=1e-7
    )
    assert sex.standard_error == pytest.approx(0.167739054, abs=1e-8)
    assert sex.p_value == pytest.approx(9.8605137e-04, rel=1e-5)
    assert lung_model.log_likelihood_null == pytest.approx(-744.480456, abs=1e-6)
    assert lung_model.log_likelihood == pytest.approx(-729.230121, abs=1e-6)
    sizes = lung_model.n_patients, lung_model.n_events, lung_model.n_incomplete
    assert sizes == (227, 164, 1)
    assert lung_model.concordance == pytest.approx(0.63714, abs=1e-5)


def test_proportional_hazards_of_lung_are_those_of_r(lung_model):
    # cox.zph(coxph(...)); lifelines would say 0.0287, 2.432, 2.165
    tests = {t.covariate: (round(t.chi_square, 3), t.degrees_of_freedom, round(t.p_value, 2))
             for t in lung_model.proportionality}  # fmt: skip
    assert tests == {
        "age": (0.188, 1, 0.66),
        "sex": (2.305, 1, 0.13),
        "ph.ecog": (2.054, 1, 0.15),
        "global": (4.464, 3, 0.22),
    }
    assert not any(test.violated for test in lung_model.proportionality)


VETERAN_MODEL = ["trt", "celltype", "karno", "diagtime", "age", "prior"]


def test_cox_model_of_veteran_is_that_of_r_and_warns():
    model = cox_model(Cohort("veteran", veteran()), VETERAN_MODEL)
    rows = {row.covariate: row for row in model.rows}
    small, adeno = rows["celltype: smallcell"], rows["celltype: adeno"]
    assert (small.hazard_ratio, small.lower, small.upper) == pytest.approx(
        (2.3669, 1.3799, 4.0597), abs=1e-4
    )
    assert (adeno.hazard_ratio, adeno.lower, adeno.upper) == pytest.approx(
        (3.3071, 1.8336, 5.9647), abs=1e-4
    )
    assert rows["celltype: large"].hazard_ratio == pytest.approx(1.4938, abs=1e-4)
    karno = rows["karno"]
    assert (karno.hazard_ratio, karno.lower, karno.upper) == pytest.approx(
        (0.9677, 0.9573, 0.9782), abs=1e-4
    )
    assert model.concordance == pytest.approx(0.736, abs=5e-4)
    tests = {test.covariate: test for test in model.proportionality}
    expected = {"trt": 0.2644, "celltype": 15.2274, "karno": 12.9352, "diagtime": 0.0129,
                "age": 1.8288, "prior": 2.1656, "global": 34.5525}  # fmt: skip
    assert {n: round(t.chi_square, 4) for n, t in tests.items()} == expected
    assert (tests["celltype"].degrees_of_freedom, tests["global"].degrees_of_freedom) == (3, 8)
    assert tests["global"].p_value == pytest.approx(3.2e-5, abs=5e-7)
    assert [n for n, t in tests.items() if t.violated] == ["celltype", "karno", "global"]


def test_a_step_scales_the_coefficient_and_leaves_categories_and_tests_alone():
    cohort = Cohort("veteran", veteran())
    by_one, by_ten = (cox_model(cohort, ["karno", "celltype"], per) for per in (1, 10))
    by_name = cox_model(cohort, ["karno", "celltype"], {"karno": 10})
    assert by_ten.rows == by_name.rows
    assert by_ten.rows[0].log_hazard == pytest.approx(10 * by_one.rows[0].log_hazard)
    assert by_ten.rows[1].log_hazard == pytest.approx(by_one.rows[1].log_hazard)
    assert [t.chi_square for t in by_ten.proportionality] == pytest.approx(
        [t.chi_square for t in by_one.proportionality]
    )


def test_each_stratum_has_a_baseline_of_its_own():
    # Within each stratum the score doubles the hazard; the strata differ ten-fold against it.
    random = np.random.default_rng(5)
    stratum = np.repeat(["a", "b"], 300)
    score = random.integers(0, 2, 600) * np.where(stratum == "a", 1, 0.0) + random.normal(0, 1, 600)
    rate = np.where(stratum == "a", 0.02, 0.2) * 2**score
    cohort = make_cohort(random.exponential(1 / rate), np.ones(600), score=score, where=stratum)
    plain = cox_model(cohort, ["score"]).rows[0]
    apart = cox_model(cohort, ["score"], strata="where")
    assert plain.upper < 2
    assert apart.rows[0].lower < 2 < apart.rows[0].upper
    assert apart.proportionality[0].covariate == "score"
    # A stratum by itself adds its own likelihood: two copies say the same twice.
    half = Cohort("", cohort.table[cohort.table["where"] == "a"])
    twice = Cohort("", pd.concat([half.table, half.table.assign(where="b")]))
    once, doubled = cox_model(half, ["score"]), cox_model(twice, ["score"], strata="where")
    assert doubled.rows[0].log_hazard == pytest.approx(once.rows[0].log_hazard, abs=1e-8)
    assert doubled.proportionality[0].chi_square == pytest.approx(
        2 * once.proportionality[0].chi_square, rel=1e-6
    )


def test_an_effect_that_fades_is_found_and_a_lasting_one_is_not_accused():
    random = np.random.default_rng(2)
    arm = random.integers(0, 2, 600)
    lasting = random.exponential(10 / (1 + arm))
    early = random.exponential(10 / (1 + 4 * arm))
    fading = np.where(early < 3, early, 3 + random.exponential(10, 600))
    faded, lasted = (
        cox_model(make_cohort(months, np.ones(600), arm=arm), ["arm"]).proportionality[0]
        for months in (fading, lasting)
    )
    assert faded.p_value < 1e-4
    assert lasted.p_value > 0.05


def test_each_covariate_alone_is_a_model_on_who_has_it():
    table = lung().assign(nothing=1.0)
    alone = cox_each(Cohort("lung", table), ["pat.karno", "sex", "nothing"], per={"pat.karno": 10})
    # coxph(Surv(time, status) ~ I(pat.karno / 10), lung)
    row = alone["pat.karno"].rows[0]
    assert (row.hazard_ratio, row.lower, row.upper) == pytest.approx(
        (0.81995857, 0.73664312, 0.91269713), abs=1e-6
    )
    assert (alone["pat.karno"].n_patients, alone["pat.karno"].n_events) == (225, 162)
    assert alone["sex"].n_patients == 228
    assert alone["nothing"] is None


@pytest.mark.parametrize(
    ("months", "event", "x", "message"),
    [
        ([3, 4, 6], [0, 0, 0], [1, 2, 3], "3 patients with 0 deaths"),
        ([], [], [], "0 patients with 0 deaths"),
        ([3], [1], [2], "no answer for the 1 patients"),
        ([3, 4, 6, 7], [1, 1, 0, 1], [5, 5, 5, 5], "no answer"),
        ([1, 2, 3, 4], [1, 1, 1, 1], [4, 3, 2, 1], "no answer"),
        ([3, 4, 6], [1, 1, 1], [None, None, None], "0 patients with 0 deaths"),
    ],
)
def test_a_model_without_an_answer_is_explained_without_a_warning(months, event, x, message):
    cohort = make_cohort(months, event, x=np.array(x, float))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(TooFewPatients, match=message):
            cox_model(cohort, ["x"])


def test_deaths_on_one_day_say_nothing_and_two_alike_say_something():
    model = cox_model(make_cohort([4, 4, 4], [1, 1, 1], x=[1, 2, 4]), ["x"])
    assert model.rows[0].hazard_ratio == pytest.approx(1)
    assert np.isnan(model.concordance)
    # Only two deaths, both of the value 3: the slope l solves the sum of 3 - mean(x) = 0 over
    # {3, 3, 1, 8} and {3, 1, 8}, a finite answer, though the deaths do not vary.
    model = cox_model(make_cohort([2, 5, 9, 9], [1, 1, 0, 0], x=[3.0, 3, 1, 8]), ["x"])
    slope = model.rows[0].log_hazard
    weights = [np.exp(slope * np.array(x)) for x in ([3.0, 3, 1, 8], [3.0, 1, 8])]
    means = [
        np.average([3, 3, 1, 8], weights=weights[0]),
        np.average([3, 1, 8], weights=weights[1]),
    ]
    assert sum(means) == pytest.approx(6)


def test_a_covariate_of_small_spread_is_estimated_like_any_other():
    table = lung().dropna(subset=["pat.karno"])
    table = table.assign(tiny=table["pat.karno"] / 1e5)
    big, tiny = (cox_model(Cohort("", table), [name]).rows[0] for name in ("pat.karno", "tiny"))
    assert tiny.log_hazard == pytest.approx(1e5 * big.log_hazard, rel=1e-6)


def test_the_score_of_a_model_is_higher_for_who_lives_longer():
    scored = cox_score(Cohort("lung", lung()), ["age", "sex", "ph.ecog"])
    assert len(scored) == 227
    old_man = scored.query("sex == 1 and `ph.ecog` == 2")["cox_score"].mean()
    young_woman = scored.query("sex == 2 and `ph.ecog` == 0")["cox_score"].mean()
    assert young_woman > old_man


def test_the_interval_of_a_known_hazard_ratio_holds_it():
    # 400 runs: python -m tests.benchmarks.bench_coverage
    held = 0
    for seed in range(60):
        months, event, points, _ = simulated_follow_up(seed, 300)
        row = cox_model(make_cohort(months, event, points=points), ["points"], per=10).rows[0]
        held += row.lower < 0.74 < row.upper
    assert 52 <= held <= 60  # binomial(60, 0.95): 52 or more in 99.6 %
