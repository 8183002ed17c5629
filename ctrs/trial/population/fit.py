"""`trial fit`: the real tables → ``fitted.json``, each parameter with its standard error.

The kinetics are a mixture of two kinds of patients, each with log-normal growth and decay rates,
fitted by maximum marginal likelihood: the rates of a patient are integrated out on a grid, the
unknown true baseline analytically (it has a flat prior on the log scale), so the likelihood is a
matrix of patients by grid points that is computed once.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import expit, logit, logsumexp

from ctrs.survival import cox_terms
from ctrs.trial.population.tables import read_diameters, read_oak
from ctrs.types import Cohort, Floats

SMALLEST_MM = 2.5  # for a sum of 0: half of the 5 mm below which nothing is measured
GROWTH_GRID = np.linspace(np.log(2e-5), np.log(3e-2), 36)  # log rates per day
DECAY_GRID = np.linspace(np.log(2e-5), np.log(8e-2), 36)
MIN_SD = 0.25  # steps of the grids are 0.21 and 0.24: anything narrower falls between points

PARAMETERS = (
    "share_decaying",
    "mean_log_growth_lasting", "sd_log_growth_lasting",
    "mean_log_decay_lasting", "sd_log_decay_lasting",
    "mean_log_growth_decaying", "sd_log_growth_decaying",
    "mean_log_decay_decaying", "sd_log_decay_decaying",
    "wobble_steady", "wobble_unsteady", "share_unsteady",
)  # fmt: skip
START = (0.35, -7.6, 0.9, -8.3, 0.8, -7.2, 1.1, -5.4, 0.9, 0.10, 0.30, 0.2)
SHARES = ("share_decaying", "share_unsteady")


@dataclass(frozen=True)
class Likelihood:
    """What the data say at each point of the grid of rates.

    Attributes:
        nodes: Log growth and log decay, shape ``(nodes, 2)``.
        squares: Sum of squared deviations from the best curve with these rates, shape
            ``(patients, nodes)``.
        scans: Of each patient, shape ``(patients,)``.
    """

    nodes: Floats
    squares: Floats
    scans: Floats


def fit(data: Path, out: Path, command: str) -> dict[str, Any]:
    """Fit everything and write it to ``out``.

    Args:
        data: Folder with ``tables/``.

    Raises:
        InputRejected: A table is not there.
    """
    diameters, oak = read_diameters(data), read_oak(data)
    found = {
        "command": command,
        "kinetics": {
            "source": "Ghaffari Laleh et al., PLoS Comput Biol 18 (2022) e1009822, CC BY 4.0:"
            " FIR, POPLAR, BIRCH, OAK; the bladder cancer study is left out",
            "patients": int(diameters["patient"].nunique()),
            "scans": len(diameters),
            "parameters": fit_kinetics(diameters),
        },
        "hazard": {
            "source": "OAK patients of the R package jmpost, Apache-2.0; clock at the scan near"
            " week 12; log hazard per unit of each covariate, Cox model with all of them",
            "patients": len(oak),
            "events": int(oak["event"].sum()),
            "parameters": fit_hazard(oak),
        },
    }
    out.write_text(json.dumps(found, indent=2) + "\n")
    return found


# --- Kinetics -------------------------------------------------------------------------------


def fit_kinetics(diameters: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Maximum likelihood estimates of `PARAMETERS` with their standard errors.

    Args:
        diameters: `ctrs.trial.population.tables.read_diameters`.
    """
    likelihood = tabulate(diameters)
    start = _to_line(np.array(START))

    def misfit(line: Floats) -> float:
        return -float(patient_log_likelihood(likelihood, _from_line(line)).sum())

    best = minimize(misfit, start, method="L-BFGS-B", options={"maxiter": 300})
    values = _from_line(best.x)
    errors = _standard_errors(lambda v: patient_log_likelihood(likelihood, v), values)
    return {
        name: {"value": _rounded(value), "standard_error": _rounded(error)}
        for name, value, error in zip(PARAMETERS, values, errors, strict=True)
    }


def tabulate(diameters: pd.DataFrame) -> Likelihood:
    """Deviations of every patient from the curves of every grid point."""
    growth, decay = (g.ravel() for g in np.meshgrid(GROWTH_GRID, DECAY_GRID, indexing="ij"))
    patient = diameters["patient"].astype("category").cat.codes.to_numpy()
    first = diameters.groupby("patient")["day"].transform("min")
    days = (diameters["day"] - first).to_numpy(float)[:, None]
    curve = np.exp(-np.exp(decay) * days) + np.exp(np.exp(growth) * days) - 1
    log_mm = np.log(np.maximum(diameters["diameter_mm"].to_numpy(float), SMALLEST_MM))
    residual = log_mm[:, None] - np.log(np.maximum(curve, 1e-2))
    scans = np.bincount(patient).astype(float)
    sums = np.zeros((len(scans), len(growth)))
    squares = np.zeros_like(sums)
    np.add.at(sums, patient, residual)
    np.add.at(squares, patient, residual**2)
    return Likelihood(np.stack([growth, decay], 1), squares - sums**2 / scans[:, None], scans)


def patient_log_likelihood(likelihood: Likelihood, values: Floats) -> Floats:
    """Marginal log likelihood of each patient, up to a constant.

    Args:
        values: In the order of `PARAMETERS`.
    """
    named = dict(zip(PARAMETERS, values, strict=True))
    log_prior = _log_prior(likelihood.nodes, named)
    unsteady = named["share_unsteady"]
    kinds = [
        np.log(share) - (likelihood.scans - 1) * np.log(wobble)
        + logsumexp(log_prior - likelihood.squares / (2 * wobble**2), axis=1)
        for share, wobble in ((1 - unsteady, named["wobble_steady"]),
                              (unsteady, named["wobble_unsteady"]))
    ]  # fmt: skip
    return np.asarray(np.logaddexp(*kinds))


def _log_prior(nodes: Floats, named: dict[str, float]) -> Floats:
    """Log probability of each grid point in the population; sums to 1."""
    parts = []
    for kind, share in (("lasting", 1 - named["share_decaying"]),
                        ("decaying", named["share_decaying"])):  # fmt: skip
        mean = [named[f"mean_log_{rate}_{kind}"] for rate in ("growth", "decay")]
        sd = [named[f"sd_log_{rate}_{kind}"] for rate in ("growth", "decay")]
        bell = -0.5 * (((nodes - mean) / sd) ** 2).sum(1)
        parts.append(np.log(share) + bell - logsumexp(bell))
    return np.asarray(np.logaddexp(*parts))


def _to_line(values: Floats) -> Floats:
    """Shares by logit and spreads by log: the optimiser may then go anywhere."""
    return np.array([_forward(name)(v) for name, v in zip(PARAMETERS, values, strict=True)])


def _from_line(line: Floats) -> Floats:
    return np.array([_back(name)(v) for name, v in zip(PARAMETERS, line, strict=True)])


def _forward(name: str) -> Callable[[float], float]:
    if name in SHARES:
        return lambda v: float(logit(v))
    return (lambda v: v) if name.startswith("mean") else (lambda v: float(np.log(v)))


def _back(name: str) -> Callable[[float], float]:
    if name in SHARES:
        return lambda v: float(expit(np.clip(v, -8, 8)))
    if name.startswith("mean"):
        return lambda v: v
    floor = MIN_SD if name.startswith("sd") else 0.01
    return lambda v: max(float(np.exp(min(v, 3.0))), floor)


def _standard_errors(log_likelihoods: Callable[[Floats], Floats], values: Floats) -> Floats:
    """From the patients' scores: the inverse of their summed outer products.

    Source:
        Berndt, Hall, Hall & Hausman, Ann. Econ. Soc. Meas. 3 (1974) 653-665.
    """
    scores = []
    for k, value in enumerate(values):
        step = np.zeros_like(values)
        step[k] = 1e-3 * max(abs(value), 0.1)
        rise = log_likelihoods(values + step) - log_likelihoods(values - step)
        scores.append(rise / (2 * step[k]))
    information = np.array(scores) @ np.array(scores).T
    return np.asarray(np.sqrt(np.diag(np.linalg.inv(information))))


# --- Hazard ---------------------------------------------------------------------------------


def fit_hazard(oak: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Log hazard ratios of what is known at the follow-up scan, fitted together.

    Args:
        oak: `ctrs.trial.population.tables.read_oak`.
    """
    return {
        term.covariate: {
            "value": _rounded(term.log_hazard),
            "standard_error": _rounded(term.standard_error),
        }
        for term in cox_terms(Cohort("OAK", hazard_covariates(oak)), HAZARD_COVARIATES)
    }


HAZARD_COVARIATES = ("log_change", "log_baseline", "ecog_1", "decade", "male", "immunotherapy")


def hazard_covariates(table: pd.DataFrame) -> pd.DataFrame:
    """The columns of `HAZARD_COVARIATES`, from real or simulated patients.

    A sum of 0 counts as `SMALLEST_MM`; without an ``arm`` everybody had immunotherapy.
    """
    after = np.maximum(table["sum_follow_up_mm"].to_numpy(float), SMALLEST_MM)
    before = table["sum_baseline_mm"].to_numpy(float)
    arm = table["arm"] if "arm" in table else pd.Series("MPDL3280A", table.index)
    return table.assign(
        log_change=np.log(after / before),
        log_baseline=np.log(before),
        ecog_1=(table["ecog"].astype(str) != "0").astype(float),
        decade=table["age"].astype(float) / 10,
        male=(table["sex"] == "male").astype(float),
        immunotherapy=(arm != "Docetaxel").astype(float),
    )


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")
