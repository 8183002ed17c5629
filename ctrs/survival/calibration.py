"""Of patients to whom 60 % is predicted, do 60 % live? Smoothed, and in groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ctrs.errors import TooFewPatients
from ctrs.survival.checks import outcomes, require
from ctrs.survival.discrimination import check_probabilities
from ctrs.survival.efron import breslow, fit_efron
from ctrs.survival.kaplan_meier import kaplan_meier, survival_at
from ctrs.types import Cohort, Floats

BINS = 10
KNOTS = (0.10, 0.50, 0.90)  # quantiles of the prediction: Harrell's for three knots
GRID = 101
MIN_PATIENTS = 20  # of a spline with two coefficients; below, the curve is chance
MIN_DEATHS = 5
_NEVER = 1e-6  # predictions of 0 and 1 have no complementary log-log


@dataclass(frozen=True)
class CalibrationBin:
    """Patients with similar predictions: mean predicted, and Kaplan-Meier with 95 % interval.

    ``observed`` is NaN where nobody of the group was followed long enough.
    """

    predicted: float
    observed: float
    lower: float
    upper: float
    n_patients: int
    n_events: int


@dataclass(frozen=True)
class Calibration:
    """Predicted against observed survival at one time; all are probabilities of being alive.

    Attributes:
        at: Months.
        predicted, observed: The smoothed curve for a figure, shape ``(101,)``, over the range
            of predictions; on the diagonal = well calibrated; below = too hopeful.
        ici: Mean distance of the curve from the diagonal over the patients (integrated
            calibration index), 0 = perfect.
        e50, e90, e_max: Median, 90th percentile and maximum of the same distances.
        observed_to_expected: Deaths by ``at``, Kaplan-Meier over predicted; above 1 = too
            hopeful on the whole. NaN where no death at all is predicted.
        bins: Groups of patients by prediction, lowest first; ties stay together.
        n_patients, n_events: Behind all of it; events at any time.
    """

    at: float
    predicted: Floats
    observed: Floats
    ici: float
    e50: float
    e90: float
    e_max: float
    observed_to_expected: float
    bins: tuple[CalibrationBin, ...]
    n_patients: int
    n_events: int


def calibration_at(
    months: npt.ArrayLike,
    event: npt.ArrayLike,
    survival_probability: npt.ArrayLike,
    at: float,
    bins: int = BINS,
) -> Calibration:
    """How well predicted survival at a time agrees with what happened.

    The curve is that of a Cox model of the outcome on the complementary log-log of the
    predicted death, by a restricted cubic spline with 3 knots; a straight line where
    predictions have fewer than 4 values, and the Kaplan-Meier estimate where they have one.

    Args:
        survival_probability: Predicted P(alive at ``at``), in [0, 1]; higher = lives longer.
        at: Months.
        bins: Groups of about equal size; fewer where predictions are tied.

    Raises:
        InputRejected: Missing or negative times, no probabilities, unequal lengths.
        TooFewPatients: Under 20 patients or 5 deaths, nobody followed to ``at``, or a curve
            without a finite answer.

    Source:
        Austin, Harrell & van Klaveren, Stat. Med. 39 (2020) 2714-2742.
    """
    times, died, (probability,) = outcomes(months, event, survival_probability)
    check_probabilities(probability)
    n, deaths = len(times), int(died.sum())
    require(
        n >= MIN_PATIENTS and deaths >= MIN_DEATHS,
        f"{n} patients with {deaths} deaths; calibration needs {MIN_PATIENTS} with {MIN_DEATHS}.",
    )
    alive = _survival(times, died, at)
    require(np.isfinite(alive.observed), f"Nobody is followed up to {at:g}.")
    grid = np.linspace(probability.min(), probability.max(), GRID)
    smooth = _smoothed(times, died, probability, np.concatenate([probability, grid]), at)
    distance = np.abs(smooth[:n] - probability)
    expected = float(1 - probability.mean())
    return Calibration(
        at=at,
        predicted=grid,
        observed=smooth[n:],
        ici=float(distance.mean()),
        e50=float(np.median(distance)),
        e90=float(np.quantile(distance, 0.9)),
        e_max=float(distance.max()),
        observed_to_expected=(1 - alive.observed) / expected if expected > 0 else float("nan"),
        bins=_binned(times, died, probability, at, bins),
        n_patients=n,
        n_events=deaths,
    )


def _smoothed(
    months: Floats, event: npt.NDArray[np.bool_], probability: Floats, where: Floats, at: float
) -> Floats:
    """Survival at ``at`` by the flexible Cox model, for each probability in ``where``."""
    x, new = _complementary_log_log(probability), _complementary_log_log(where)
    basis, new_basis = _spline(x, x), _spline(new, x)
    if basis.shape[1] == 0:
        return np.full(len(where), _survival(months, event, at).observed)
    fit = fit_efron(pd.DataFrame(basis), pd.DataFrame({"months": months, "event": event}))
    if fit is None:
        raise TooFewPatients(
            f"The {len(months)} patients allow no finite calibration curve.",
            "Choose a larger cohort, or an earlier time.",
        )
    beta, middle = fit.log_hazards.to_numpy(dtype=float), basis.mean(axis=0)
    baseline = breslow(np.exp((basis - middle) @ beta), months, event, at)
    return np.asarray(np.exp(-baseline * np.exp((new_basis - middle) @ beta)))


def _complementary_log_log(survival: Floats) -> Floats:
    """log(-log(survival)): straight in the log hazard if the hazards are proportional."""
    values: Floats = np.log(-np.log(survival.clip(_NEVER, 1 - _NEVER)))
    return values


def _spline(x: Floats, fitted: Floats) -> Floats:
    """Restricted cubic spline of ``x`` with the knots of ``fitted``: columns of the model.

    Source:
        Harrell, Regression Modeling Strategies, 2nd ed. (2015), section 2.4.5.
    """
    distinct = len(np.unique(fitted))
    if distinct < 2:
        return np.empty((len(x), 0))
    low, middle, high = np.quantile(fitted, KNOTS)
    if distinct < 4 or not low < middle < high:
        return x[:, None]
    cubes = [np.maximum(x - knot, 0) ** 3 for knot in (low, middle, high)]
    bent = cubes[0] - cubes[1] * (high - low) / (high - middle)
    bent += cubes[2] * (middle - low) / (high - middle)
    return np.column_stack([x, bent / (high - low) ** 2])


def _binned(
    months: Floats, event: npt.NDArray[np.bool_], probability: Floats, at: float, bins: int
) -> tuple[CalibrationBin, ...]:
    edges = np.unique(np.quantile(probability, np.linspace(0, 1, bins + 1)[1:-1]))
    number = np.searchsorted(edges, probability, side="left")
    groups = (number == which for which in np.unique(number))
    return tuple(_survival(months[own], event[own], at, probability[own]) for own in groups)


def _survival(
    months: Floats,
    event: npt.NDArray[np.bool_],
    at: float,
    probability: Floats | None = None,
) -> CalibrationBin:
    cohort = Cohort("group", pd.DataFrame({"months": months, "event": event}))
    point = survival_at(kaplan_meier(cohort), cohort, at)
    predicted = float("nan") if probability is None else float(probability.mean())
    return CalibrationBin(
        predicted, point.survival, point.lower, point.upper, len(months), int(event.sum())
    )
