"""Survival counted in SQL: the numbers of R and lifelines, and of the same patients in memory."""

import numpy as np
import pandas as pd
import pytest
from conftest import make_score
from lifelines import KaplanMeierFitter
from lifelines.statistics import multivariate_logrank_test

from ctrs.errors import InputRejected, TooFewPatients
from ctrs.store import Members, Store, StoredPair
from ctrs.survival import compare_groups, landmark_cohort, levels_of, split_by_risk
from ctrs.types import Cohort, Outcome, Patient, Recist, Response, Zone
from tests.survival_data import lung, simulated_follow_up, veteran

TICKS = (0, 3, 6, 6.5, 12, 400)
MODEL = "fixed"


@pytest.fixture
def store():
    with Store() as fresh:
        yield fresh


def fill(store, table, cohort="c"):
    """A table of follow-up without scores; other columns are what the clinic knows."""
    ids = [f"P-{number}" for number in range(len(table))]
    clinic = table.drop(columns=["months", "event"]).reset_index(drop=True)
    outcomes = table[["months", "event"]].reset_index(drop=True)
    store.bulk_load(
        patients=clinic.assign(patient=ids, cohort=cohort), outcomes=outcomes.assign(patient=ids)
    )


def same(found, expected):
    assert [curve.label for curve in found.curves] == [curve.label for curve in expected.curves]
    for ours, theirs in zip(found.curves, expected.curves, strict=True):
        for name in ("months", "survival", "lower", "upper"):
            np.testing.assert_allclose(
                getattr(ours, name), getattr(theirs, name), rtol=0, atol=1e-9
            )
        assert (ours.n_patients, ours.n_events) == (theirs.n_patients, theirs.n_events)
        assert ours.median_months == theirs.median_months
        assert ours.median_interval == theirs.median_interval
        assert ours.interval == theirs.interval
    assert found.months == expected.months
    assert found.at_risk == expected.at_risk
    assert (found.test is None) == (expected.test is None)
    if found.test is not None:
        assert found.test.n_patients == expected.test.n_patients
        for name in ("chi_square", "p_value", "degrees_of_freedom", "observed", "expected"):
            assert getattr(found.test, name) == pytest.approx(
                getattr(expected.test, name), rel=1e-9
            )


def in_memory(table, by, interval="log-log"):
    cohort, _ = landmark_cohort(table, "c")
    levels = levels_of(cohort.table, by)
    groups = [
        Cohort(level, cohort.table[levels == level])
        for level in levels.cat.categories
        if (levels == level).any()
    ]
    return compare_groups(groups, TICKS, interval=interval)


# --- Published numbers -----------------------------------------------------------------------


def test_lung_is_as_in_r(store):
    # R: survfit and survdiff(Surv(time, status) ~ sex, lung); see test_survival.py
    fill(store, lung()[["months", "event"]].assign(sex=lung()["sex"].map({1: "male", 2: "female"})))
    hundreds = range(0, 1000, 100)
    found = store.compare(Members(cohort="c"), "sex", hundreds)
    women, men = found.curves
    assert (men.label, men.n_patients, men.n_events) == ("male", 138, 112)
    assert (men.median_months, men.median_interval) == (270, (210, 306))
    assert (women.median_months, women.median_interval) == (426, (345, 524))
    year = np.searchsorted(men.months, 365, side="right") - 1
    assert (men.survival[year], men.lower[year], men.upper[year]) == pytest.approx(
        (0.336088, 0.252729, 0.421302), abs=1e-6
    )
    assert found.at_risk == (
        (90, 82, 66, 43, 26, 21, 11, 8, 2, 1),
        (138, 114, 78, 49, 31, 20, 13, 8, 6, 2),
    )
    assert found.test.chi_square == pytest.approx(10.32674195489, abs=1e-8)
    assert found.test.p_value == pytest.approx(0.00131116452, abs=1e-8)


def test_who_leaves_on_a_day_is_still_counted_on_it_as_in_r(store):
    fill(store, lung()[["months", "event"]].assign(sex=lung()["sex"].map({1: "male", 2: "female"})))
    ticks = range(0, 1021, 30)
    women, men = store.compare(Members(cohort="c"), "sex", ticks).at_risk
    # The days on which lifelines' own table, which counts them as gone, says one fewer.
    for own, sex, days in (
        (men, 1, {30, 60, 180, 210, 270, 300, 390, 840}),
        (women, 2, {60, 240, 450}),
    ):
        followed = lung().loc[lung()["sex"] == sex, "months"]
        gone = [int((followed > day).sum()) for day in ticks]
        assert {day for day, r, other in zip(ticks, own, gone, strict=True) if r != other} == days
    assert store.compare(Members(cohort="c"), "sex", [183]).at_risk[1] == (86,)


def test_lung_from_a_landmark_is_as_in_r(store):
    late = lung()[lung()["months"] > 84]
    table = late.assign(months=late["months"] - 84, sex=late["sex"].map({1: "male", 2: "female"}))
    fill(store, table[["months", "event", "sex"]])
    found = store.compare(Members(cohort="c"), "sex", interval="log")
    women, men = found.curves
    assert (men.median_months, men.median_interval) == (219, (185, 280))
    assert (women.median_months, women.median_interval) == (360, (267, 570))
    assert women.n_patients + men.n_patients == 203
    assert found.test.chi_square == pytest.approx(7.665208223, abs=1e-6)


def test_the_band_of_r_s_default_can_be_asked_for(store):
    fill(store, lung()[["months", "event"]].assign(sex=lung()["sex"].map({1: "male", 2: "female"})))
    women, men = store.compare(Members(cohort="c"), "sex", interval="log").curves
    assert (men.median_interval, women.median_interval) == ((212, 310), (348, 550))


def test_veteran_with_four_groups_is_as_in_r(store):
    table = veteran()[["months", "event"]].assign(histology=veteran()["celltype"].astype(str))
    fill(store, table)
    found = store.compare(Members(cohort="c"), "histology")
    medians = {curve.label: curve.median_months for curve in found.curves}
    assert medians == {"squamous": 118, "smallcell": 51, "adeno": 51, "large": 156}
    assert found.test.degrees_of_freedom == 3
    assert found.test.chi_square == pytest.approx(25.4037003458, abs=1e-8)
    assert found.test.p_value == pytest.approx(1.2712459e-05, abs=1e-11)


# --- The same as lifelines and as in memory ------------------------------------------------------


@pytest.mark.parametrize("rounded", [True, False])
@pytest.mark.parametrize("n", [40, 5000])
def test_as_lifelines_to_1e_9(store, n, rounded):
    months, event, points, _ = simulated_follow_up(n, n)
    months = np.ceil(months) if rounded else months
    site = np.array(["a", "b", "c"])[np.digitize(points, [40, 60])]
    fill(store, pd.DataFrame({"months": months, "event": event, "site": site}))
    found = store.compare(Members(cohort="c"), "site", TICKS)
    for curve in found.curves:
        own = site == curve.label
        fit = KaplanMeierFitter().fit(months[own], event[own])
        expected = fit.survival_function_at_times(curve.months)
        np.testing.assert_allclose(curve.survival, expected, rtol=0, atol=1e-9)
    test = multivariate_logrank_test(months, site, event)
    assert found.test.chi_square == pytest.approx(test.test_statistic, rel=1e-9)
    assert found.at_risk[1] == tuple(int((months[site == "b"] >= tick).sum()) for tick in TICKS)


@pytest.mark.parametrize("interval", ["log-log", "log"])
@pytest.mark.parametrize("seed", range(4))
def test_as_the_same_patients_in_memory(store, seed, interval):
    random = np.random.default_rng(seed)
    n = 60
    table = pd.DataFrame(
        {
            "months": random.integers(-1, 12, n)
            / 2,  # some died before, or on, the day of the scan
            "event": random.random(n) < (0.0, 0.3, 0.7, 1.0)[seed],
            "pd_l1": random.choice([">=50%", "<1%", "unknown", "1-49%"], n),
        }
    )
    fill(store, table.assign(months=table["months"].clip(lower=0)))
    found = store.compare(Members(cohort="c"), "pd_l1", TICKS, interval)
    same(found, in_memory(table, "pd_l1", interval))
    assert [curve.label for curve in found.curves] == ["<1%", "1-49%", ">=50%", "unknown"]


def test_a_group_whose_last_patient_dies_and_one_in_which_nobody_does(store):
    table = pd.DataFrame(
        {
            "months": [2.0, 5, 5, 9, 1, 7, 7.5],
            "event": [True, True, False, True, False, False, False],
            "line": ["first"] * 4 + ["later"] * 3,
        }
    )
    fill(store, table)
    found = store.compare(Members(cohort="c"), "line", TICKS)
    same(found, in_memory(table, "line"))
    first, later = found.curves
    assert first.survival.tolist() == pytest.approx([1, 0.75, 0.5, 0])
    assert np.isnan(first.lower[-1])
    assert later.survival.tolist() == [1, 1]
    assert later.months[-1] == 7.5


def test_all_together_are_one_group_named_as_the_cohort(store):
    fill(store, lung()[["months", "event"]])
    found = store.compare(Members(cohort="c"), months=[365])
    (curve,) = found.curves
    assert (curve.label, curve.n_patients, curve.n_events, curve.median_months) == (
        "c", 228, 165, 310,
    )  # fmt: skip
    assert found.test is None
    assert found.at_risk == ((65,),)


# --- Whom it counts ---------------------------------------------------------------------------


def add(store, name, zone=Zone.GREEN, survival=0.6, outcome=(10.0, True), cohort="c", **known):
    store.save_patient(Patient(patient=name, cohort=cohort, **known))
    if zone is not None:
        pair = StoredPair(f"k-{name}", name, f"{name}0", f"{name}1", 84)
        store.bulk_load(pairs=[pair], scores=[(pair.pair_key, make_score(survival, zone))])
        store.save_response(pair.pair_key, Response(Recist.SD, 60.0, 50.0, 0, -0.1))
    if outcome:
        store.save_outcome(name, Outcome(*outcome))


@pytest.fixture
def mixed(store):
    """Seven who count in some question or other, and three who count in none."""
    add(store, "P-1", age=50, sex="male")
    add(store, "P-2", age=70, outcome=(4.0, True), sex="female")
    add(store, "P-3", survival=0.3, outcome=(2.0, True), age=64, sex="male")
    add(store, "P-4", survival=0.3, outcome=(7.0, False), age=65, sex="female")
    add(store, "P-5", Zone.AMBER, outcome=(8.0, True), sex="male")
    add(store, "P-6", Zone.RED, outcome=(9.0, True))
    add(store, "P-7", None, outcome=(6.0, True), sex="male")
    add(store, "P-8", outcome=None)
    add(store, "P-9", outcome=(0.0, True))
    add(store, "P-10", cohort="another")
    return store


def sizes(found):
    return {curve.label: (curve.n_patients, curve.n_events) for curve in found.curves}


def test_scores_count_by_zone_as_in_the_cohort_table(mixed):
    green = mixed.compare(Members(cohort="c", model_version=MODEL), "risk_group", TICKS)
    assert sizes(green) == {"Low risk": (2, 2), "High risk": (2, 1)}
    cohort, _ = landmark_cohort(mixed.cohort_table("c", MODEL), "c")
    same(green, compare_groups(split_by_risk(cohort), TICKS))
    amber = Members(cohort="c", model_version=MODEL, include_amber=True)
    assert sizes(mixed.compare(amber, "zone")) == {"green": (4, 3), "amber": (1, 1)}


def test_without_a_model_everybody_counts(mixed):
    assert sizes(mixed.compare(Members(cohort="c"))) == {"c": (7, 6)}
    everybody = mixed.cohort_table("c", MODEL, scored=False)
    assert len(everybody) == 8  # with the one who died on the day of the scan
    unscored = everybody.set_index("patient").loc["P-7"]
    assert np.isnan(unscored["survival_12m"])
    assert (unscored["recist"], unscored["months"]) == ("unknown", 6)
    with pytest.raises(TooFewPatients):  # nobody has a risk group then
        mixed.compare(Members(cohort="c"), "risk_group")


def test_filters_cross(mixed):
    scored = {"cohort": "c", "model_version": MODEL}
    women = Members(**scored, levels={"sex": ["female"]})
    assert sizes(mixed.compare(women, "risk_group")) == {"Low risk": (1, 1), "High risk": (1, 0)}
    assert sizes(mixed.compare(Members(**scored, ages=(50, 64)), "age")) == {"< 65": (2, 2)}
    assert sizes(mixed.compare(Members(**scored), "age")) == {"< 65": (2, 2), ">= 65": (2, 1)}
    stable = Members(**scored, levels={"recist": ["SD"], "sex": ["male", "female"]})
    assert sizes(mixed.compare(stable)) == {"c": (4, 3)}
    with pytest.raises(TooFewPatients, match="at least 1"):
        mixed.compare(Members(**scored, levels={"recist": ["PD"]}))


def test_what_is_asked_for_is_never_a_part_of_the_query(mixed):
    hostile = "'); DROP TABLE patients; --"
    with pytest.raises(ValueError, match="no factor"):
        mixed.compare(Members(cohort="c"), hostile)
    with pytest.raises(ValueError, match="no factor"):
        mixed.compare(Members(cohort="c", levels={hostile: ["a"]}))
    with pytest.raises(TooFewPatients):
        mixed.compare(Members(cohort=hostile))
    with pytest.raises(TooFewPatients):
        mixed.compare(Members(cohort="c", levels={"sex": [hostile]}))
    assert sizes(mixed.compare(Members(cohort="c"))) == {"c": (7, 6)}


def test_too_many_groups_are_refused_and_a_level_may_be_any_text(store):
    names = [f"site {number} 'x'" for number in range(21)]
    fill(store, pd.DataFrame({"months": [5.0] * 21, "event": [True] * 21, "site": names}))
    with pytest.raises(InputRejected, match="21 levels; up to 20"):
        store.compare(Members(cohort="c"), "site")
    few = Members(cohort="c", levels={"site": names[:12]})
    labels = [curve.label for curve in store.compare(few, "site").curves]
    assert labels == names[:12]  # by number, not by letter: 2 before 10


def test_one_question_leaves_nothing_behind_for_the_next(mixed):
    first = mixed.compare(Members(cohort="c"), "sex", TICKS)
    mixed.compare(Members(cohort="another"))
    again = mixed.compare(Members(cohort="c"), "sex", TICKS)
    same(again, first)
