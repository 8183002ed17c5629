"""Survival over time, with intervals: curves, medians, restricted means, length of follow-up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from lifelines import KaplanMeierFitter
from scipy.stats import norm

from ctrs.survival.checks import follow_up, require
from ctrs.types import Cohort, Floats, Interval, Mask, SurvivalAt, SurvivalCurve

_TOLERANCE = 1e-9  # lifelines multiplies by adding logarithms: 0.5 may come out a hair above
_Z = float(norm.ppf(0.975))


def kaplan_meier(
    cohort: Cohort, label: str | None = None, *, interval: Interval = "log-log"
) -> SurvivalCurve:
    """Estimate overall survival from the follow-up CT on.

    One row at 0, one per time of death, and a last one where follow-up ends, so that the curve
    knows how far it reaches. Once nobody is left alive the band is NaN (R: NA).

    Args:
        cohort: At least one patient.
        label: ``None``: the cohort's name.
        interval: ``"log-log"`` keeps the band inside 0 to 1 and holds what it promises in small
            groups; ``"log"`` is R's default, for comparing with what others published.

    Returns:
        The curve with a pointwise 95 % band, as R's ``survfit(conf.type = interval)``. The
        median is the first time survival falls to 0.5, and the middle of the step if a step
        lies at 0.5 exactly; its interval is where the band does, ``None`` where it does not.

    Raises:
        TooFewPatients: The cohort is empty.

    Source:
        Kaplan & Meier, JASA 53 (1958) 457-481; bands: Kalbfleisch & Prentice (1980).
    """
    require(not cohort.table.empty, f"No patient is in “{cohort.name}”; at least 1 is needed.")
    months, event = follow_up(cohort.table)
    name = cohort.name if label is None else label
    return curve_of_steps(name, _steps(cohort.table), len(months), int(event.sum()), interval)


@dataclass(frozen=True)
class Steps:
    """Survival where it steps, counted from patients or by a database.

    Attributes:
        months: Times of death, rising, and the end of follow-up, each shape ``(steps,)``.
        survival: P(T > t) after each step.
        greenwood: Greenwood's sum of ``d / (n (n - d))`` up to there, for ``d`` deaths among
            ``n`` at risk; of no meaning once survival is 0.
    """

    months: Floats
    survival: Floats
    greenwood: Floats


def curve_of_steps(
    label: str, steps: Steps, n_patients: int, n_events: int, interval: Interval
) -> SurvivalCurve:
    """The curve that `kaplan_meier` gives, from its steps."""
    lower, upper = _band(steps, interval)
    # The first row says that everybody was alive at the scan, whatever happened that day.
    at, survival, lower, upper = (
        np.concatenate([[first], values])
        for first, values in (
            (0.0, steps.months),
            (1.0, steps.survival),
            (1.0, lower),
            (1.0, upper),
        )
    )
    return SurvivalCurve(
        label=label,
        months=at,
        survival=survival,
        lower=lower,
        upper=upper,
        n_patients=n_patients,
        n_events=n_events,
        median_months=_time_at_half(at, survival),
        median_interval=(_time_at_half(at, lower), _time_at_half(at, upper)),
        interval=interval,
    )


def _steps(table: pd.DataFrame) -> Steps:
    months, event = follow_up(table)
    fit = KaplanMeierFitter().fit(months, event)
    events = fit.event_table
    left = events["at_risk"] - events["observed"]
    with np.errstate(divide="ignore", invalid="ignore"):  # nobody left: see `Steps`
        greenwood = (events["observed"] / (events["at_risk"] * left)).cumsum()
    survival = fit.survival_function_.iloc[:, 0]
    kept = np.isin(survival.index, months[event]) | (survival.index == months.max())
    at, alive = survival.index.to_numpy(dtype=float), survival.to_numpy(dtype=float)
    return Steps(at[kept], alive[kept], greenwood.to_numpy(dtype=float)[kept])


def _band(steps: Steps, interval: Interval) -> tuple[Floats, Floats]:
    survival = steps.survival
    reach = _Z * np.sqrt(steps.greenwood)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # 0 and 1: see below
        if interval == "log":
            lower, upper = survival * np.exp(-reach), np.minimum(survival * np.exp(reach), 1)
        else:
            stretch = np.exp(reach / np.log(survival))
            lower, upper = survival ** (1 / stretch), survival**stretch
    undecided = np.where(survival >= 1, 1.0, np.nan)
    inside = (survival > 0) & (survival < 1)
    return np.where(inside, lower, undecided), np.where(inside, upper, undecided)


def _time_at_half(months: Floats, survival: Floats) -> float | None:
    """When a step function falls to a half; the middle of a step at a half, as in R."""
    reached = np.flatnonzero(survival <= 0.5 + _TOLERANCE)
    if len(reached) == 0:
        return None
    first = reached[0]
    below = np.flatnonzero(survival < survival[first] - _TOLERANCE)
    if abs(survival[first] - 0.5) <= _TOLERANCE and len(below):
        return float((months[first] + months[below[0]]) / 2)
    return float(months[first])


def at_risk(cohort: Cohort, months: Sequence[float]) -> list[int]:
    """Patients still under observation just before each time.

    R's convention: who dies or is lost at ``t`` is still counted at ``t``. lifelines counts
    them as gone.
    """
    followed = cohort.table["months"].to_numpy(dtype=float)
    return [int((followed >= month).sum()) for month in months]


def survival_at(curve: SurvivalCurve, cohort: Cohort, months: float) -> SurvivalAt:
    """Read the curve at one time; a death at that very time has happened.

    Past the end of follow-up nothing is known and the survival is NaN, unless everybody has
    died: then it stays 0. Before the first death there is no interval (NaN): nobody has shown
    yet how much chance there is in the curve.
    """
    row = int(np.searchsorted(curve.months, months, side="right")) - 1
    values = np.array([curve.survival[row], curve.lower[row], curve.upper[row]], dtype=float)
    if months > curve.months[-1] and curve.survival[-1] > 0:
        values[:] = np.nan
    if values[0] == 1:
        values[1:] = np.nan
    survival, lower, upper = (float(value) for value in values)
    return SurvivalAt(months, survival, lower, upper, at_risk(cohort, [months])[0])


def survival_of_parts(months: Floats, event: Mask, parts: Sequence[Mask], at: float) -> Floats:
    """Survival at one time in many parts of the same patients: no curves, and so much faster.

    As ``survival_at(kaplan_meier(part), part, at).survival``; 1 where nobody is in the part.

    Args:
        parts: Who is in each, shape ``(patients,)``; they may overlap.

    Returns:
        One survival a part, shape ``(parts,)``.
    """
    order = np.argsort(months, kind="stable")
    months, event = months[order], event[order]
    dead = np.flatnonzero(event & (months <= at))
    days, place = np.unique(months[dead], return_inverse=True)
    starts = np.searchsorted(months, days, "left")
    found = np.ones(len(parts))
    for number, part in enumerate(parts):
        inside = np.asarray(part)[order]
        left = inside.sum() - np.append(0, np.cumsum(inside))[starts]
        died = np.bincount(place, weights=inside[dead], minlength=len(days))
        found[number] = np.prod(1 - died[left > 0] / left[left > 0])
        if inside.any() and found[number] > 0 and months[inside].max() < at:
            found[number] = np.nan
    return found


@dataclass(frozen=True)
class RestrictedMean:
    """Mean months lived up to ``until``, with its standard error and 95 % interval (normal)."""

    until: float
    months: float
    standard_error: float
    lower: float
    upper: float


def restricted_mean(cohort: Cohort, until: float) -> RestrictedMean:
    """Mean survival time up to ``until``: the area under the Kaplan-Meier curve.

    Says something where no median is reached and where hazards are not proportional.

    Raises:
        TooFewPatients: Nobody in the cohort, or nobody is followed as far as ``until``.

    Source:
        Royston & Parmar, BMC Med. Res. Methodol. 13 (2013) 152; same as R's
        ``print(survfit(...), rmean = until)``.
    """
    curve = kaplan_meier(cohort)
    require(
        until <= curve.months[-1] or curve.survival[-1] <= 0,
        f"“{cohort.name}” is followed for {curve.months[-1]:g}; a mean up to {until:g} is not"
        " known.",
    )
    months, event = follow_up(cohort.table)
    inside = curve.months < until
    starts, survival = curve.months[inside], curve.survival[inside]
    areas = survival * np.diff(np.append(starts, until))
    deaths = np.diff(np.append(0, np.searchsorted(np.sort(months[event]), starts, "right")))
    deaths = deaths.astype(float)
    left = (len(months) - np.searchsorted(np.sort(months), starts, "left")).astype(float)
    after = areas[::-1].cumsum()[::-1]  # area from each death on
    spread = np.divide(deaths, left * (left - deaths), out=np.zeros_like(left), where=left > deaths)
    error = float(np.sqrt((after**2 * spread).sum()))
    mean = float(areas.sum())
    return RestrictedMean(until, mean, error, mean - _Z * error, mean + _Z * error)


def reverse_kaplan_meier(cohort: Cohort, *, interval: Interval = "log-log") -> SurvivalCurve:
    """How long patients were followed: loss is the event, death hides when it would have come.

    The curve's median is the median follow-up; ``n_events`` counts who was lost.

    Raises:
        TooFewPatients: The cohort is empty.

    Source:
        Schemper & Smith, Control. Clin. Trials 17 (1996) 343-346; same as R's
        ``survfit(Surv(time, status == 0) ~ 1)``.
    """
    lost = cohort.table.assign(event=~cohort.table["event"].astype(bool))
    return kaplan_meier(Cohort(cohort.name, lost), interval=interval)
