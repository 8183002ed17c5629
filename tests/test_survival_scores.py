"""Measures of a score: worked by hand, against scikit-survival, and against a known truth."""

import time

import numpy as np
import pytest
from lifelines import CoxPHFitter
from lifelines.utils import concordance_index

from ctrs.errors import InputRejected, TooFewPatients
from ctrs.survival import (
    auc_at,
    bootstrap_estimates,
    brier_at,
    calibration_at,
    decision_curve,
    harrell_c,
    paired_differences,
    uno_c,
)
from ctrs.survival.calibration import _spline
from ctrs.survival.censoring import still_followed
from ctrs.survival.kaplan_meier import kaplan_meier, survival_at, survival_of_parts
from tests.survival_data import lung, make_cohort, simulated_follow_up

NAN = float("nan")


@pytest.fixture(scope="module")
def model_of_lung():
    """Days, died, minus log hazard and P(alive at 365) by Cox on age + sex + ph.ecog, in-sample."""
    table = lung()[["months", "event", "age", "sex", "ph.ecog"]].dropna()
    model = CoxPHFitter().fit(table, "months", "event", fit_options={"precision": 1e-12})
    return (
        table["months"].to_numpy(),
        table["event"].to_numpy(),
        -model.predict_log_partial_hazard(table).to_numpy(),
        model.predict_survival_function(table, [365]).to_numpy()[0],
    )


# --- Discrimination -------------------------------------------------------------------------


def test_discrimination_of_the_lung_model(model_of_lung):
    months, event, score, alive_at_365 = model_of_lung
    # R: concordance(coxph(Surv(time, status) ~ age + sex + ph.ecog, lung)): 0.6371
    assert harrell_c(months, event, score) == pytest.approx(0.63714, abs=1e-5)
    # scikit-survival: concordance_index_ipcw; R's timewt = "n/G2", ymax = 730 gives 0.627366
    assert uno_c(months, event, score, 730) == pytest.approx(0.627596, abs=1e-6)
    assert auc_at(months, event, score, 365) == pytest.approx(0.647525, abs=1e-6)
    assert brier_at(months, event, alive_at_365, 365) == pytest.approx(0.225681, abs=1e-6)


def test_discrimination_by_hand():
    #          lost at 2 and at 6; still followed: 1 before 2, 4/5 from 2 on, 2/5 from 6 on
    months, event = [1, 2, 3, 5, 6, 8], [1, 0, 1, 1, 0, 1]
    score = [0.2, 0.5, 0.4, 0.3, 0.7, 0.7]
    # Dead at 1: 5 pairs, all right. At 3: 3 later, 2 right. At 5: 2 later, both right.
    assert harrell_c(months, event, score) == pytest.approx(9 / 10)
    uno = (5 + (2 + 2) / 0.64) / (5 + (3 + 2) / 0.64)
    assert uno_c(months, event, score, 100) == pytest.approx(uno)
    # Up to 5 the death at 5 is no earlier half any more.
    assert uno_c(months, event, score, 5) == pytest.approx((5 + 2 / 0.64) / (5 + 3 / 0.64))
    # Dead by 4: at 1 (weight 1) and at 3 (5/4); alive: 0.3, 0.7, 0.7.
    assert auc_at(months, event, score, 4) == pytest.approx((3 + 2 * 1.25) / (2.25 * 3))
    # Brier: dead p^2 by their own weight, alive (1 - p)^2 by that at 4; the one lost at 2 by 0.
    brier = (0.2**2 + 0.4**2 / 0.8 + (0.7**2 + 0.3**2 + 0.3**2) / 0.8) / 6
    assert brier_at(months, event, score, 4) == pytest.approx(brier)


def test_ties_count_half_and_a_loss_on_the_day_of_a_death_outlives_it():
    months, event, score = [4, 4, 7, 7], [1, 0, 1, 1], [0.3, 0.9, 0.3, 0.2]
    # The one dead at 4 against lost at 4 (right), 7 (tie), 7 (wrong); two deaths at 7: no pair.
    assert harrell_c(months, event, score) == pytest.approx(1.5 / 3)
    assert uno_c(months, event, score, 7) == pytest.approx(1.5 / 3)
    assert auc_at([2, 5, 5], [1, 0, 1], [0.4, 0.4, 0.9], 3) == pytest.approx(0.75)


def test_a_death_on_the_very_day_has_happened_whatever_binary_makes_of_the_day():
    # 12.1 is no binary fraction; in 32 bits it lies above 12.1 in 64.
    months, event, score = [12.1, 30.3, 40.7, 2.2], [1, 0, 1, 1], [0.1, 0.9, 0.8, 0.2]
    assert auc_at(months, event, score, 12.1) == 1
    assert brier_at(months, event, score, 12.1) == pytest.approx(
        (0.1**2 + 0.1**2 + 0.2**2 + 0.2**2) / 4
    )


def test_scores_that_are_close_are_not_tied():
    months, event = [1, 2, 3, 4], [1, 1, 0, 0]
    assert auc_at(months, event, [1e-12, 2e-12, 3e-12, 4e-12], 2) == 1


def test_all_measures_agree_with_scikit_survival_on_ties_and_losses():
    metrics = pytest.importorskip("sksurv.metrics")
    util = pytest.importorskip("sksurv.util")
    for seed in range(5):
        months, event, points, truth = simulated_follow_up(seed, 150)
        months, points = np.ceil(months), np.round(points / 5) * 5
        outcome = util.Surv.from_arrays(event, months)
        assert harrell_c(months, event, points) == pytest.approx(
            metrics.concordance_index_censored(event, months, -points)[0]
        )
        assert uno_c(months, event, points, 18) == pytest.approx(
            metrics.concordance_index_ipcw(outcome, outcome, -points, 18)[0]
        )
        assert auc_at(months, event, points, 12) == pytest.approx(
            metrics.cumulative_dynamic_auc(outcome, outcome, -points, [12])[0][0]
        )
        assert brier_at(months, event, truth, 12) == pytest.approx(
            metrics.brier_score(outcome, outcome, truth, [12])[1][0]
        )


def test_unos_c_does_not_hang_on_how_many_are_lost_early():
    months, event, points, _ = simulated_follow_up(7, 20_000)
    early = np.random.default_rng(1).exponential(9, 20_000)
    fewer, seen = np.minimum(months, early), event & (months <= early)
    full = uno_c(months, event, points, 12)
    assert uno_c(fewer, seen, points, 12) == pytest.approx(full, abs=0.006)
    # Shorter follow-up keeps the pairs of early deaths; those are easier or harder to order.
    assert seen.mean() < 0.65 * event.mean()


def test_still_followed_by_hand():
    months, event = np.array([1.0, 2, 2, 4]), np.array([True, False, True, False])
    # At 2 one of three dies first, then one of the two left is lost; at 4 the last one is.
    kept = still_followed(months, event, np.array([0.5, 1.9, 2, 3, 4, 9]))
    assert kept.tolist() == [1, 1, 0.5, 0.5, 0, 0]


@pytest.mark.parametrize("measure", [harrell_c, lambda *a: uno_c(*a, 5), lambda *a: auc_at(*a, 5)])
@pytest.mark.parametrize(
    ("months", "event"),
    [([], []), ([3], [1]), ([3, 9], [0, 0]), ([7, 7], [1, 1]), ([9, 8], [1, 0])],
)
def test_nothing_to_order_is_explained(measure, months, event):
    with pytest.raises(TooFewPatients):
        measure(months, event, np.linspace(0.2, 0.8, len(months)))


def test_a_time_past_follow_up_is_explained():
    months, event, score = [2, 5, 6], [1, 1, 0], [0.1, 0.5, 0.6]
    with pytest.raises(TooFewPatients, match="0 are followed past it"):
        auc_at(months, event, score, 6)
    with pytest.raises(TooFewPatients, match="Nobody is followed past 6"):
        brier_at(months, event, score, 6)
    for n in (0, 1):
        with pytest.raises(TooFewPatients, match=f"2 patients or more; found: {n}"):
            brier_at(months[:n], event[:n], score[:n], 1)
    # With all dead everything is known at any time.
    assert brier_at([2, 5, 6], [1, 1, 1], score, 60) == pytest.approx((0.01 + 0.25 + 0.36) / 3)
    assert brier_at([7, 9], [0, 0], [0.8, 0.6], 6) == pytest.approx((0.04 + 0.16) / 2)


@pytest.mark.parametrize(
    ("months", "event", "score", "message"),
    [
        ([1, -2, 3], [1, 1, 0], [0.1, 0.2, 0.3], "1 of 3 times are below 0"),
        ([1, NAN, 3], [1, 1, 0], [0.1, 0.2, 0.3], "1 of 3 times are missing"),
        ([1, 2, 3], [1, 2, 0], [0.1, 0.2, 0.3], "1 of 3 outcomes"),
        ([1, 2, 3], [1, 1, 0], [0.1, NAN, NAN], "2 of 3 values are missing"),
        ([1, 2, 3], [1, 1], [0.1, 0.2, 0.3], "shapes"),
    ],
)
def test_input_that_cannot_be_used_is_rejected(months, event, score, message):
    for measure in (harrell_c, lambda *a: uno_c(*a, 2), lambda *a: brier_at(*a, 2)):
        with pytest.raises(InputRejected, match=message):
            measure(months, event, score)


def test_percentages_are_no_probabilities():
    for measure in (brier_at, calibration_at, decision_curve):
        with pytest.raises(InputRejected, match="2 of 3 probabilities"):
            measure([1, 2, 3], [1, 1, 0], [20, 0.3, 71], 2)


# --- Calibration ----------------------------------------------------------------------------


def test_the_truth_is_well_calibrated_and_a_shift_is_measured():
    months, event, _, truth = simulated_follow_up(11, 6000)
    right = calibration_at(months, event, truth, 12)
    assert right.ici < 0.015
    assert right.observed_to_expected == pytest.approx(1, abs=0.03)
    # Hazards said to be 40 % too low: everybody is promised more than comes true.
    hopeful = truth**0.6
    wrong = calibration_at(months, event, hopeful, 12)
    distance = hopeful - truth
    assert wrong.ici == pytest.approx(distance.mean(), abs=0.012)
    assert wrong.e50 == pytest.approx(np.median(distance), abs=0.012)
    assert wrong.e90 == pytest.approx(np.quantile(distance, 0.9), abs=0.015)
    assert wrong.e_max >= wrong.e90 > wrong.e50
    assert wrong.observed_to_expected == pytest.approx(
        (1 - truth.mean()) / (1 - hopeful.mean()), abs=0.04
    )
    middle = slice(20, 80)
    assert (wrong.observed[middle] < wrong.predicted[middle]).all()
    assert wrong.observed[middle] == pytest.approx(wrong.predicted[middle] ** (1 / 0.6), abs=0.03)


def test_a_bend_that_no_straight_line_has_is_followed():
    # Right for the lower half, 20 points too hopeful above.
    months, event, _, truth = simulated_follow_up(12, 6000)
    said = np.where(truth > np.median(truth), truth + 0.4 * (truth - np.median(truth)), truth)
    bent = calibration_at(months, event, said.clip(0, 0.999), 12)
    at = dict(zip(np.quantile(said, [0.1, 0.9]), np.quantile(truth, [0.1, 0.9]), strict=True))
    for predicted, true in at.items():
        assert np.interp(predicted, bent.predicted, bent.observed) == pytest.approx(true, abs=0.03)


def test_a_curve_that_turns_round_is_followed():
    # The middle predictions come true best, both ends die more: no straight line does that.
    random = np.random.default_rng(16)
    x = random.uniform(-2, 1, 6000)
    said, truth = np.exp(-np.exp(x)), np.exp(-np.exp(np.abs(x + 0.5) - 1))
    death, end = random.exponential(-12 / np.log(truth)), random.uniform(8, 40, 6000)
    found = calibration_at(np.minimum(death, end), death <= end, said, 12)
    for place in (-1.8, -0.5, 0.8):
        true = np.exp(-np.exp(abs(place + 0.5) - 1))
        observed = np.interp(np.exp(-np.exp(place)), found.predicted, found.observed)
        assert observed == pytest.approx(true, abs=0.07), place


def test_the_spline_bends_between_its_knots_and_is_straight_outside():
    # Knots at 1, 5 and 9. At 5: 4^3 / 8^2; at 9: (8^3 - 2 * 4^3) / 8^2; then 1.5 per unit.
    x = np.array([0.0, 1, 5, 9, 11, 13])
    basis = _spline(x, np.linspace(0, 10, 101))
    assert basis[:, 0].tolist() == x.tolist()
    assert basis[:, 1] == pytest.approx([0, 0, 1, 6, 9, 12])
    # Through three values any bend fits: a straight line then.
    assert _spline(x, np.repeat([1.0, 5, 9], 7)).shape == (6, 1)


def test_bins_hold_everybody_once_and_are_kaplan_meier():
    months, event, _, truth = simulated_follow_up(13, 403)
    bins = calibration_at(months, event, truth, 12).bins
    assert sum(one.n_patients for one in bins) == 403
    assert sum(one.n_events for one in bins) == event.sum()
    assert {one.n_patients for one in bins} <= {40, 41}
    assert (np.diff([one.predicted for one in bins]) > 0).all()
    lowest = truth <= np.quantile(truth, 0.1)
    assert bins[0].predicted == pytest.approx(truth[lowest].mean())
    assert all(one.lower < one.observed < one.upper for one in bins)


def test_few_distinct_predictions_and_certainties_are_calibrated_too():
    months, event, points, _ = simulated_follow_up(14, 400)
    same = calibration_at(months, event, np.full(400, 0.5), 12)
    assert (same.ici, len(same.bins)) == (pytest.approx(abs(same.bins[0].observed - 0.5)), 1)
    two = calibration_at(months, event, np.where(points > 55, 0.7, 0.3), 12)
    assert [one.predicted for one in two.bins] == pytest.approx([0.3, 0.7])
    assert two.observed[-1] == pytest.approx(two.bins[1].observed, abs=0.05)
    certain = calibration_at(months, event, np.where(points > 55, 1.0, 0.0), 12)
    assert np.isfinite(certain.ici)
    assert np.isnan(calibration_at(months, event, np.ones(400), 12).observed_to_expected)


def test_calibration_of_few_patients_or_past_follow_up_is_explained():
    months, event, _, truth = simulated_follow_up(15, 60)
    with pytest.raises(TooFewPatients, match="19 patients"):
        calibration_at(months[:19], event[:19], truth[:19], 12)
    with pytest.raises(TooFewPatients, match="0 deaths"):
        calibration_at(months, np.zeros(60), truth, 12)
    with pytest.raises(TooFewPatients, match="60 patients with 4 deaths"):
        calibration_at(months, np.arange(60) < 4, truth, 12)
    with pytest.raises(TooFewPatients, match="Nobody is followed up to 100"):
        calibration_at(months, event, truth, 100)


# --- Decision curve -------------------------------------------------------------------------


def test_net_benefit_by_hand():
    # Risks 0.9, 0.6, 0.3, 0.2; those of 0.9 and 0.3 die by 12.
    months, event, alive = [3, 20, 8, 20], [1, 0, 1, 0], [0.1, 0.4, 0.7, 0.8]
    curve = decision_curve(months, event, alive, 12, [0.1, 0.2, 0.3, 0.5, 0.95])
    # All acted on: 2/4 - 2/4 * 1/9, and at 0.2, which 1 - 0.8 does not quite reach; three:
    # 2/4 - 1/4 * 3/7; two: 1/4 - 1/4 * 1; nobody: 0.
    assert curve.net_benefit == pytest.approx(
        [0.5 - 0.5 / 9, 0.5 - 0.5 / 4, 0.5 - 0.25 * 3 / 7, 0, 0]
    )
    assert curve.acted_on.tolist() == [1, 1, 0.75, 0.5, 0]
    assert curve.treat_all == pytest.approx(
        [0.5 - 0.5 / 9, 0.5 - 0.5 / 4, 0.5 - 0.5 * 3 / 7, 0, 0.5 - 0.5 * 19]
    )
    assert (curve.n_patients, curve.n_events) == (4, 2)


def test_who_is_lost_counts_in_the_net_benefit():
    # Of two acted on one is lost at 2, the other dies at 3: by Kaplan-Meier all of them die.
    curve = decision_curve([2, 3, 20], [0, 1, 0], [0.2, 0.2, 0.9], 12, [0.5])
    assert curve.net_benefit == pytest.approx([2 / 3])


def test_the_deaths_of_parts_are_those_of_their_curves():
    months, event, points, _ = simulated_follow_up(23, 211)
    months = np.ceil(months)
    parts = [points >= low for low in (0, 31, 60, 82, 90)] + [points < 20]
    assert min(part.sum() for part in parts) > 0
    for at in (1, 12, 12.5, 40):
        expected = []
        for part in parts:
            own = make_cohort(months[part], event[part])
            expected.append(survival_at(kaplan_meier(own), own, at).survival)
        found = survival_of_parts(months, event, parts, at)
        assert found == pytest.approx(expected, abs=1e-12, nan_ok=True), at
    assert survival_of_parts(months, event, [points > 1000], 12).tolist() == [1]


def test_a_decision_curve_without_an_answer_is_explained():
    with pytest.raises(InputRejected, match="threshold"):
        decision_curve([3, 20], [1, 0], [0.1, 0.4], 12, [0.5, 1])
    with pytest.raises(TooFewPatients, match="No patient"):
        decision_curve([], [], [], 12)
    with pytest.raises(TooFewPatients, match="followed up to 12"):
        decision_curve([3, 5], [1, 0], [0.1, 0.4], 12)
    unknown = decision_curve([3, 5, 20], [0, 0, 0], [0.1, 0.2, 0.9], 12, [0.5, 0.05])
    assert np.isnan(unknown.net_benefit[0])
    assert unknown.net_benefit[1] == pytest.approx(-0.05 / 0.95)


# --- Bootstrap ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rivals():
    """605 patients with tied times and tied scores: the truth, a blurred one, and classes."""
    months, event, points, _ = simulated_follow_up(21, 605)
    random = np.random.default_rng(4)
    blurred = points + random.normal(0, 25, 605)
    classes = np.digitize(blurred, [35, 60, 80]).astype(float)
    scores = {"score": points, "blurred": blurred, "classes": classes}
    return np.ceil(months), event, scores


def redrawn(months, event, scores, measure, replicates, seed):
    """The same bootstrap the slow way: each replicate as a table of its own."""
    n = len(months)
    draws = np.random.default_rng(seed).integers(0, n, (replicates, n), dtype=np.int32)
    order = np.lexsort([~event, months])
    found = []
    for drawn in draws:
        rows = order[drawn]
        found.append([measure(months[rows], event[rows], s[rows]) for s in scores.values()])
    return np.array(found)


@pytest.mark.parametrize("at", [None, 12.0])
def test_replicates_are_those_of_redrawn_tables_ties_and_all(rivals, at):
    months, event, scores = rivals

    def measure(*columns):
        return harrell_c(*columns) if at is None else auc_at(*columns, at)

    found = paired_differences(months, event, scores, "score", replicates=40, seed=9, auc_at=at)
    values = redrawn(months, event, scores, measure, 40, 9)
    for column, name in enumerate(list(scores)[1:], start=1):
        expected = np.percentile(values[:, 0] - values[:, column], [2.5, 97.5])
        assert (found[name].lower, found[name].upper) == pytest.approx(tuple(expected), abs=1e-12)
        whole = [measure(months, event, scores[n]) for n in ("score", name)]
        assert (found[name].reference, found[name].other) == pytest.approx(tuple(whole), abs=1e-12)
        assert found[name].estimate == pytest.approx(whole[0] - whole[1], abs=1e-12)
    single = bootstrap_estimates(months, event, scores, replicates=40, seed=9, auc_at=at)
    expected = np.percentile(values[:, 2], [2.5, 97.5])
    assert (single["classes"].lower, single["classes"].upper) == pytest.approx(tuple(expected))


def test_the_better_score_is_above_and_the_same_score_is_no_better(rivals):
    months, event, scores = rivals
    found = paired_differences(months, event, scores | {"again": scores["score"]}, "score")
    assert list(found) == ["blurred", "classes", "again"]
    assert 0 < found["blurred"].lower < found["blurred"].estimate < found["blurred"].upper
    assert (found["again"].estimate, found["again"].lower, found["again"].upper) == (0, 0, 0)
    flipped = paired_differences(months, event, scores, "classes")["score"]
    assert flipped.estimate == -found["classes"].estimate
    assert found["blurred"] == paired_differences(months, event, scores, "score")["blurred"]
    assert found["blurred"].n_patients == 605


def test_who_lacks_one_score_is_left_out_of_all(rivals):
    months, event, scores = rivals
    holey = scores["classes"].copy()
    holey[:50] = NAN
    found = paired_differences(months, event, scores | {"classes": holey}, "score", 50)
    rest = {name: score[50:] for name, score in scores.items()}
    assert found == paired_differences(months[50:], event[50:], rest, "score", 50)
    assert found["classes"].n_patients == 555


def test_the_interval_is_as_wide_as_scores_differ_from_sample_to_sample():
    # Spread of the difference over fresh samples, against what one bootstrap of one says.
    def difference(seed):
        months, event, points, _ = simulated_follow_up(seed, 250)
        blurred = points + np.random.default_rng(seed).normal(0, 15, 250)
        return months, event, {"a": points, "b": blurred}

    fresh = []
    for seed in range(150):
        months, event, scores = difference(seed)
        fresh.append(concordance_index(months, scores["a"], event)
                     - concordance_index(months, scores["b"], event))  # fmt: skip
    widths = [
        (d.upper - d.lower) / (2 * 1.96)
        for d in (paired_differences(*difference(s), "a", 400)["b"] for s in range(10))
    ]
    assert np.mean(widths) == pytest.approx(np.std(fresh), rel=0.25)


def test_two_thousand_replicates_of_605_patients_take_seconds(rivals):
    start = time.process_time()
    paired_differences(*rivals, "score", auc_at=12)
    paired_differences(*rivals, "score")
    assert time.process_time() - start < 20


def test_a_bootstrap_without_an_answer_is_explained():
    with pytest.raises(InputRejected, match="no score “c” among 2"):
        paired_differences([1, 2], [1, 1], {"a": [1, 2], "b": [2, 1]}, "c")
    for months, event in (([], []), ([3, 4], [0, 0]), ([5, 5], [1, 1])):
        scores = {"a": np.arange(len(months)), "b": np.arange(len(months))}
        with pytest.raises(TooFewPatients, match="no pair"):
            paired_differences(months, event, scores, "a")
    with pytest.raises(TooFewPatients, match="of 2000 bootstrap replicates"):
        paired_differences([3, 4], [1, 1], {"a": [1, 2], "b": [2, 1]}, "a")
    with pytest.raises(TooFewPatients, match="no pair"):
        paired_differences([3, 4], [1, 1], {"a": [1, 2], "b": [2, 1]}, "a", auc_at=9)
    with pytest.raises(InputRejected, match="shapes"):
        paired_differences([3, 4], [1, 1], {"a": [1, 2, 3], "b": [2, 1]}, "a")
