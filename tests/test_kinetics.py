"""Growth and decay: Stein's curve by hand, the fit on patients made with known rates."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from ctrs.trial.population.fit import (
    PARAMETERS,
    START,
    fit_hazard,
    fit_kinetics,
    hazard_covariates,
    patient_log_likelihood,
    tabulate,
)
from ctrs.trial.population.kinetics import (
    FITTED,
    Course,
    KineticsModel,
    draw_course,
    fitted_kinetics,
    stein_ratio,
)


def test_stein_by_hand():
    # exp(-0.01 * 84) + exp(0.002 * 84) - 1 = 0.43171 + 1.18294 - 1
    assert stein_ratio(0.002, 0.01, 84) == pytest.approx(0.61465, abs=1e-5)
    assert stein_ratio(0.002, 0.01, 0) == 1


def test_growth_makes_larger_and_decay_smaller():
    assert Course(0.004, 0.0, 0.1).ratio(84) > 1 > Course(0.0, 0.004, 0.1).ratio(84)


def test_drawn_rates_have_the_population_they_come_from():
    model = KineticsModel(
        share=(0.7, 0.3), log_growth=((-7.0, 0.5), (-9.0, 0.1)),
        log_decay=((-8.0, 0.2), (-5.0, 0.3)), wobble=(0.1, 0.3), unsteady=0.25,
    )  # fmt: skip
    rng = np.random.default_rng(4)
    courses = [draw_course(rng, model) for _ in range(4000)]
    decays = np.array([c.decay > math.exp(-6.5) for c in courses])
    assert decays.mean() == pytest.approx(0.3, abs=0.02)
    slow = np.log([c.growth for c, d in zip(courses, decays, strict=True) if not d])
    assert slow.mean() == pytest.approx(-7.0, abs=0.03)
    assert slow.std() == pytest.approx(0.5, abs=0.03)
    assert np.mean([c.wobble == 0.3 for c in courses]) == pytest.approx(0.25, abs=0.02)


def test_every_parameter_is_committed_with_its_standard_error():
    content = json.loads(FITTED.read_text())
    for part in ("kinetics", "hazard"):
        for name, entry in content[part]["parameters"].items():
            assert 0 < entry["standard_error"] < 1, name
    assert set(content["kinetics"]["parameters"]) == set(PARAMETERS)
    assert content["kinetics"]["patients"] == 1329
    assert sum(fitted_kinetics().share) == pytest.approx(1)


def made_diameters(growth, decay, noise, n, seed):
    rng = np.random.default_rng(seed)
    days = np.array([0, 42, 84, 126, 168, 210])
    rows = []
    for patient in range(n):
        curve = [stein_ratio(growth, decay, day) for day in days]
        mm = rng.uniform(20, 90) * np.array(curve) * np.exp(noise * rng.standard_normal(len(days)))
        rows.append(pd.DataFrame({"patient": f"p{patient}", "day": days, "diameter_mm": mm}))
    return pd.concat(rows, ignore_index=True)


def test_likelihood_is_highest_at_the_rates_that_made_the_data():
    likelihood = tabulate(made_diameters(0.0015, 0.008, 0.05, 30, 2))
    best = likelihood.nodes[likelihood.squares.sum(0).argmin()]
    assert np.exp(best) == pytest.approx([0.0015, 0.008], rel=0.25)  # one step of the grid


def test_likelihood_prefers_the_noise_that_is_there():
    likelihood = tabulate(made_diameters(0.0015, 0.008, 0.10, 60, 3))
    at = dict(zip(PARAMETERS, START, strict=True)) | {"share_unsteady": 1e-6}

    def total(noise):
        values = np.array(list((at | {"wobble_steady": noise}).values()))
        return patient_log_likelihood(likelihood, values).sum()

    assert total(0.10) > max(total(0.05), total(0.20))


def test_fit_finds_the_population_that_made_the_data():
    # 40 patients whose tumours hardly decay, 40 whose tumours do, and 20 unsteady ones.
    groups = [(0.0003, 0.05, 40), (0.0150, 0.05, 40), (0.0003, 0.30, 20)]
    made = pd.concat(
        [
            made_diameters(0.0006, decay, noise, n, k).assign(
                patient=lambda t, k=k: f"{k}-" + t["patient"]
            )
            for k, (decay, noise, n) in enumerate(groups)
        ],
        ignore_index=True,
    )
    found = {name: (e["value"], e["standard_error"]) for name, e in fit_kinetics(made).items()}
    assert found["share_decaying"][0] == pytest.approx(0.4, abs=0.15)
    assert found["mean_log_decay_decaying"][0] == pytest.approx(math.log(0.015), abs=0.3)
    assert found["wobble_steady"][0] == pytest.approx(0.05, rel=0.15)
    assert found["share_unsteady"][0] == pytest.approx(0.2, abs=0.08)
    # By hand: a standard deviation from 80 x 5 deviations is known to sd / sqrt(800), a share of
    # 20 in 100 to 0.04.
    assert found["wobble_steady"][1] == pytest.approx(0.0018, rel=0.6)
    assert found["share_unsteady"][1] == pytest.approx(0.04, rel=0.4)


def test_missing_baseline_shift_changes_nothing():
    # The unknown true baseline is integrated out: doubling every diameter says nothing new.
    made = made_diameters(0.002, 0.004, 0.08, 5, 6)
    doubled = made.assign(diameter_mm=2 * made["diameter_mm"])
    np.testing.assert_allclose(tabulate(made).squares, tabulate(doubled).squares, atol=1e-8)


def test_hazard_fit_finds_the_direction_of_growth():
    rng = np.random.default_rng(8)
    n = 400
    growth = rng.normal(0, 0.4, n)
    death = rng.exponential(20 / np.exp(1.5 * growth))
    oak = pd.DataFrame(
        {
            "months": np.minimum(death, 30), "event": death <= 30,
            "sum_baseline_mm": rng.uniform(20, 90, n), "ecog": rng.choice(["0", "1"], n),
            "age": rng.uniform(40, 80, n), "sex": rng.choice(["male", "female"], n),
            "arm": rng.choice(["Docetaxel", "MPDL3280A"], n),
        }
    )  # fmt: skip
    oak["sum_follow_up_mm"] = oak["sum_baseline_mm"] * np.exp(growth)
    found = fit_hazard(oak)["log_change"]
    assert found["value"] == pytest.approx(1.5, abs=3 * found["standard_error"])
    assert found["standard_error"] < 0.25


def test_covariates_by_hand():
    row = hazard_covariates(
        pd.DataFrame(
            {"sum_baseline_mm": [40.0], "sum_follow_up_mm": [0.0], "ecog": ["2"], "age": [71],
             "sex": ["female"]}
        )
    ).iloc[0]  # fmt: skip
    assert row["log_change"] == pytest.approx(math.log(2.5 / 40))  # gone counts as 2.5 mm
    assert (row["ecog_1"], row["decade"], row["male"], row["immunotherapy"]) == (1, 7.1, 0, 1)
