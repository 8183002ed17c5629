"""Intervals without replicates: against R, against the derivative, and against the bootstrap."""

import numpy as np
import pytest
from lifelines import CoxPHFitter

from ctrs.errors import TooFewPatients
from ctrs.survival import auc_at, bootstrap, harrell_c, measured_scores, paired_differences
from ctrs.survival.bootstrap import _CaseControlPairs, _ConcordantPairs
from ctrs.survival.comparable_pairs import pairs_of_everybody
from ctrs.survival.influence import auc_influence, concordance_influence
from tests.survival_data import lung, simulated_follow_up


def tied(seed, n):
    """Whole months and scores in tens, in the order of `measured_scores`."""
    months, event, points, _ = simulated_follow_up(seed, n)
    months, points = np.ceil(months), np.round(points / 10) * 10
    order = np.lexsort([~event, months])
    return months[order], event[order], points[order]


def test_the_standard_error_of_c_is_that_of_r():
    table = lung()[["months", "event", "age", "sex", "ph.ecog"]].dropna()
    model = CoxPHFitter().fit(table, "months", "event", fit_options={"precision": 1e-12})
    score = -model.predict_log_partial_hazard(table).to_numpy()
    months, event = table["months"].to_numpy(), table["event"].to_numpy()
    # R: concordance(coxph(Surv(time, status) ~ age + sex + ph.ecog, lung)): 0.6371, se 0.02507
    c, influence = concordance_influence(months, event, score)
    assert c == pytest.approx(0.63714, abs=1e-5)
    assert np.sqrt((influence**2).sum()) == pytest.approx(0.02507, abs=5e-6)


def test_pairs_of_everybody_by_hand():
    # Dead at 2 (score 5), lost at 2 (5), dead at 3 (9), dead at 3 (1), lost at 7 (4).
    months, event = np.array([3.0, 2, 7, 2, 3]), np.array([True, True, False, False, True])
    score = np.array([9.0, 5, 4, 5, 1])
    # Pairs: 2 with the other four (tie, right, wrong, wrong); each 3 with the one lost at 7.
    pairs, in_order = pairs_of_everybody(months, event, score)
    assert pairs.tolist() == [2, 4, 3, 1, 2]
    assert in_order.tolist() == [1, 1.5, 1, 0.5, 1]


@pytest.mark.parametrize("at", [None, 9.0])
def test_an_influence_is_the_derivative_by_how_often_a_patient_counts(at):
    for seed in range(3):
        months, event, score = tied(seed, 61)
        if at is None:
            pairs, (value, influence) = (
                _ConcordantPairs(months, event),
                concordance_influence(months, event, score),
            )
        else:
            pairs, (value, influence) = (
                _CaseControlPairs(months, event, at),
                auc_influence(months, event, score, at),
            )
        step = 2**-10  # exact in 32 bits
        moved = step * np.eye(61, dtype=np.float32)
        draws = np.concatenate([np.ones((1, 61), np.float32), 1 + moved, 1 - moved])
        measured = pairs.measure(score, draws)
        slopes = (measured[1:62] - measured[62:]) / (2 * step)
        assert value == pytest.approx(measured[0], abs=1e-12)
        assert influence == pytest.approx(slopes, abs=1e-8)
        assert np.abs(influence).max() > 0.005


@pytest.mark.parametrize("at", [None, 12.0])
def test_many_patients_get_the_interval_of_the_bootstrap_without_it(at, monkeypatch):
    months, event, points, _ = simulated_follow_up(31, 2400)
    scores = {"score": points, "blurred": points + np.random.default_rng(2).normal(0, 20, 2400)}
    drawn = measured_scores(months, event, scores, auc_at=at)
    monkeypatch.setattr(bootstrap, "MOST_DRAWN", 2399)
    worked_out = measured_scores(months, event, scores, auc_at=at)
    assert worked_out.spread["score"].shape == (2400,)
    for ask in (lambda m: m.estimate("score"), lambda m: m.difference("score", "blurred")):
        slow, fast = ask(drawn), ask(worked_out)
        assert fast.estimate == pytest.approx(slow.estimate, abs=1e-12)
        width = slow.upper - slow.lower
        assert (fast.lower, fast.upper) == pytest.approx((slow.lower, slow.upper), abs=0.06 * width)
        assert fast.n_patients == 2400


def test_a_hundred_thousand_patients_are_measured_as_one_by_one():
    months, event, points, _ = simulated_follow_up(32, 100_000)
    found = paired_differences(months, event, {"a": points, "b": np.round(points, -1)}, "a")["b"]
    assert found.reference == pytest.approx(harrell_c(months, event, points), abs=1e-12)
    assert 0 < found.lower < found.estimate < found.upper < 0.01
    found = paired_differences(
        months, event, {"a": points, "b": np.round(points, -1)}, "a", auc_at=12
    )["b"]
    assert found.reference == pytest.approx(auc_at(months, event, points, 12), abs=1e-12)


def test_many_patients_without_an_answer_are_explained():
    months, score = np.linspace(1, 30, 3000), np.linspace(0.2, 0.8, 3000)
    for at in (None, 12.0):
        with pytest.raises(TooFewPatients, match="3000 patients with 0 deaths give no pair"):
            measured_scores(months, np.zeros(3000), {"a": score}, auc_at=at)
    with pytest.raises(TooFewPatients, match="no pair"):
        measured_scores(months, np.ones(3000), {"a": score}, auc_at=30)
