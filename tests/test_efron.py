"""Cox by Newton's method against R (survival 3.5-3), lifelines and arithmetic by hand."""

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter

from ctrs.survival.efron import EfronLikelihood, breslow, fit_efron
from tests.survival_data import lung, make_cohort, simulated_follow_up, veteran


def test_lung_is_that_of_r():
    # coxph(Surv(time, status) ~ age + sex + ph.ecog, lung)
    table = lung().dropna(subset=["ph.ecog"])
    fit = fit_efron(table[["age", "sex", "ph.ecog"]], table)
    assert fit.log_hazards.tolist() == pytest.approx(
        [0.011066765, -0.552612396, 0.463728475], abs=1e-8
    )
    assert fit.standard_errors["sex"] == pytest.approx(0.167739054, abs=1e-8)
    assert fit.log_likelihood == pytest.approx(-729.230121, abs=1e-6)


@pytest.mark.parametrize("rounded_to", [0, 2, 8])
def test_as_lifelines_with_and_without_ties(rounded_to):
    months, event, points, _ = simulated_follow_up(7, 400)
    months = rounded_to * np.ceil(months / rounded_to) if rounded_to else months
    data = pd.DataFrame(
        {"points": points / 10, "old": points**2 % 7 > 2, "months": months, "event": event}
    ).astype(float)
    theirs = CoxPHFitter().fit(data, "months", "event", fit_options={"precision": 1e-12})
    ours = fit_efron(data[["points", "old"]], data)
    np.testing.assert_allclose(ours.log_hazards, theirs.params_, atol=1e-6)
    np.testing.assert_allclose(ours.standard_errors, theirs.standard_errors_, atol=1e-6)
    assert ours.log_likelihood == pytest.approx(theirs.log_likelihood_, abs=1e-6)


def test_veteran_is_as_lifelines():
    table = veteran()
    x = pd.get_dummies(table["celltype"], drop_first=True, dtype=float)
    x = x.assign(karno=table["karno"].astype(float), trt=table["trt"].astype(float))
    data = x.assign(months=table["months"], event=table["event"])
    theirs = CoxPHFitter().fit(data, "months", "event", fit_options={"precision": 1e-12})
    ours = fit_efron(x, table)
    np.testing.assert_allclose(ours.log_hazards, theirs.params_[x.columns], atol=1e-6)
    np.testing.assert_allclose(ours.standard_errors, theirs.standard_errors_[x.columns], atol=1e-6)


def test_two_deaths_on_one_day_by_hand():
    # x = 1 and x = 0 die on day 3, x = 1 on day 5, x = 0 is followed to 9. With u = exp(beta):
    # log L = 2 beta - log(2u + 2) - log(1.5u + 1.5) - log(u + 1), highest where 2 = 3u / (u + 1):
    # u = 2; the information 3u / (u + 1)^2 is 2/3 there.
    table = make_cohort([3, 3, 5, 9], [1, 1, 1, 0]).table
    fit = fit_efron(pd.DataFrame({"x": [1.0, 0, 1, 0]}), table)
    assert fit.log_hazards["x"] == pytest.approx(np.log(2), abs=1e-8)
    assert fit.standard_errors["x"] == pytest.approx(np.sqrt(1.5), abs=1e-8)
    expected = 2 * np.log(2) - 3 * np.log(3) - np.log(2) - np.log(1.5)
    assert fit.log_likelihood == pytest.approx(expected, abs=1e-9)


def test_no_finite_maximum_is_no_answer():
    table = make_cohort([1, 2, 3, 4, 5, 6], [1, 1, 1, 0, 0, 0]).table
    deadly = pd.Series([1.0, 1, 1, 0, 0, 0])
    assert fit_efron(pd.DataFrame({"deadly": deadly}), table) is None
    assert fit_efron(pd.DataFrame({"constant": np.full(6, 4.0)}), table) is None
    several = pd.DataFrame({"a": [3.0, 1, 4, 1, 5, 9], "b": [6.0, 2, 8, 2, 10, 18]})
    assert fit_efron(several, table) is None  # b is twice a


def test_the_unit_of_a_covariate_does_not_matter():
    table = lung().dropna(subset=["pat.karno"])
    fits = [fit_efron(table[["pat.karno"]] * unit, table) for unit in (1e-7, 0.1, 1e7)]
    # R: exp(coef) of pat.karno/10 is 0.819959 (0.736643-0.912697)
    assert np.exp(fits[1].log_hazards["pat.karno"]) == pytest.approx(0.819959, abs=1e-5)
    for fit, unit in zip(fits, (1e-7, 0.1, 1e7), strict=True):
        assert fit.log_hazards["pat.karno"] * unit * 10 == pytest.approx(np.log(0.819959), abs=1e-5)


def test_the_days_add_up_to_the_whole():
    months, event, points, _ = simulated_follow_up(9, 180)
    x = np.column_stack([points / 40, points**2 % 5 - 2])
    beta = np.array([-0.4, 0.07])
    # Whole months, with 1 to 12 deaths on each; and every death on a day of its own.
    for times in (np.ceil(months), months):
        likelihood = EfronLikelihood(x, times, event)
        _, gradient, information = likelihood.at(beta)
        excess, spread = likelihood.by_day(beta)
        assert likelihood.days.tolist() == sorted(set(times[event]), reverse=True)
        assert gradient == pytest.approx(excess.sum(axis=0), abs=1e-10)
        assert information == pytest.approx(spread.sum(axis=0), abs=1e-9)
        # The gradient is the slope of the likelihood, and the information minus that of the slope.
        for column in range(2):
            step = np.zeros(2)
            step[column] = 1e-5
            up, down = likelihood.at(beta + step), likelihood.at(beta - step)
            assert gradient[column] == pytest.approx((up[0] - down[0]) / 2e-5, rel=1e-6)
            assert information[column] == pytest.approx((down[1] - up[1]) / 2e-5, rel=1e-6)


def test_the_baseline_hazard_by_hand():
    hazards, months = np.array([2, 1, 3, 0.5]), np.array([5.0, 2, 3, 3])
    event = np.array([True, True, False, True])
    # At 2 all four are at risk (6.5); at 3 those of 2, 3 and 0.5, who is lost on the day too.
    assert breslow(hazards, months, event, 2.9) == pytest.approx(1 / 6.5)
    assert breslow(hazards, months, event, 3) == pytest.approx(1 / 6.5 + 1 / 5.5)
    assert breslow(hazards, months, event, 60) == pytest.approx(1 / 6.5 + 1 / 5.5 + 1 / 2)
    assert breslow(hazards, months, event, 1) == 0


def test_the_baseline_hazard_is_that_of_lifelines():
    table = lung().dropna(subset=["ph.ecog"])
    data = table[["months", "event", "age", "sex", "ph.ecog"]]
    theirs = CoxPHFitter().fit(data, "months", "event", fit_options={"precision": 1e-12})
    hazards = theirs.predict_partial_hazard(data).to_numpy()
    months, event = data["months"].to_numpy(), data["event"].to_numpy(dtype=bool)
    for day in (5, 11, 310, 1022):  # 11: three deaths
        expected = float(theirs.baseline_cumulative_hazard_.loc[:day].iloc[-1, 0])
        assert breslow(hazards, months, event, day) == pytest.approx(expected, rel=1e-9)
