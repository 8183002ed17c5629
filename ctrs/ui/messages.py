"""How numbers and errors read on a page. The same number reads the same everywhere."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import streamlit as st

from ctrs.errors import CtrsError, TooFewPatients, places_of
from ctrs.response import VOLUME_NOISE
from ctrs.types import UNKNOWN, Patient, Recist, ResponseScore, RiskGroup, Zone

logger = logging.getLogger(__name__)

ZONES = {
    Zone.GREEN: ":green[:material/check_circle:] Usable",
    Zone.AMBER: ":orange[:material/warning:] With caution",
    Zone.RED: ":red[:material/block:] Not assessable",
}
RISKS = {
    RiskGroup.LOW: ":material/arrow_circle_up: Low risk",
    RiskGroup.HIGH: ":material/arrow_circle_down: High risk",
}
RECIST = {
    Recist.CR: "CR, complete response",
    Recist.PR: "PR, partial response",
    Recist.SD: "SD, stable disease",
    Recist.PD: "PD, progressive disease",
    Recist.NE: "not evaluated",
}


@contextmanager
def explained(subject: str, *, stop: bool = True) -> Iterator[None]:
    """Show a `CtrsError` as advice about ``subject``; anything else as a reference number.

    Args:
        stop: Whether the page ends there; else only what the ``with`` covers is missing.
    """
    try:
        yield
        return
    except CtrsError as error:
        show_advice(subject, error.what, error.next_step)
    except Exception as error:
        reference = uuid4().hex[:8]
        logger.error("%s, reference %s\n%s", type(error).__name__, reference, places_of(error))
        st.error(
            f"**{subject}.** Something went wrong on our side; nothing was changed."
            f"\n\n**What to do:** Try again. If it happens again, report reference `{reference}`.",
            icon=":material/error:",
        )
    if stop:
        st.stop()


@contextmanager
def if_enough(what: str) -> Iterator[None]:
    """Where there are too few patients for ``what``, say so in its place."""
    try:
        yield
    except TooFewPatients as error:
        st.info(f"No {what}: {literal(error.what)} {literal(error.next_step)}")


def show_advice(subject: str, what: str, next_step: str) -> None:
    """What happened, and what the reader can do about it."""
    text = f"**{subject}.** {literal(what)}\n\n**What to do:** {literal(next_step)}"
    st.error(text, icon=":material/error:")


def literal(text: str) -> str:
    """Text from files or from a person, so that nothing in it is read as markup."""
    return "".join(f"\\{c}" if c in r"\`*_[]<>#$~:|!" else c for c in text)


# --- Numbers --------------------------------------------------------------------------------


def percent(share: float) -> str:
    """``"38 %"``; never 0 or 100 for a chance that is neither."""
    if 0 < share < 0.005:
        return "< 1\u00a0%"
    if 0.995 <= share < 1:
        return "> 99\u00a0%"
    return f"{100 * share:.0f}\u00a0%"


def chance(share: float, interval: tuple[float, float]) -> str:
    """A probability with its interval: ``"38 % (27–50)"``."""
    lower, upper = interval
    return f"{percent(share)} ({100 * lower:.0f}–{100 * upper:.0f})"


def score_words(score: ResponseScore) -> str:
    """The number of a score with its interval, or that there is none."""
    if score.survival_12m is None or score.interval_90 is None:
        return "no number"
    return chance(score.survival_12m, score.interval_90)


def volume_change(fraction: float | None) -> str:
    """``"−4 % (inside noise)"``, ``"+35 %"``, ``"0 % (…)"``, or that nobody measured it."""
    if fraction is None or math.isnan(fraction):
        return "not measured"
    text = signed_percent(fraction)
    return f"{text} (inside noise)" if VOLUME_NOISE[0] <= fraction <= VOLUME_NOISE[1] else text


def signed_percent(fraction: float) -> str:
    """``"−24 %"``, or ``"not measured"`` for NaN."""
    if math.isnan(fraction):
        return "not measured"
    points = round(100 * fraction)
    return f"{points:+d}\u00a0%".replace("-", "−") if points else "0\u00a0%"


def days_between(days: int | None) -> str:
    """``"12 weeks (84 days)"``, ``"12 weeks and 1 day (85 days)"``."""
    if days is None:
        return "an unknown time"
    weeks, rest = divmod(days, 7)
    more = f" and {_count(rest, 'day')}" if rest else ""
    return f"{_count(weeks, 'week')}{more} ({days} days)"


def _count(n: int, noun: str) -> str:
    return f"{n}\u00a0{noun}{'' if n == 1 else 's'}"


def months(value: float | None) -> str:
    """``"14.2 months"``, or ``"not reached"`` as papers write it."""
    return "not reached" if value is None else f"{value:.1f}\u00a0months"


def p_value(value: float) -> str:
    """``"p = 0.032"``; below 0.001 the exact number carries no meaning."""
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def patients(n: int, deaths: int | None = None) -> str:
    """``"86 patients, 50 deaths"``."""
    words = _count(n, "patient")
    return words if deaths is None else f"{words}, {_count(deaths, 'death')}"


def level(name: str) -> str:
    """A level of a factor as it reads in a table: ``"≥ 50%"``."""
    return literal(name.replace(">=", "≥\u00a0"))


def clinic(patient: Patient) -> str:
    """What is known of a patient in one line; what is unknown is said."""
    age = "age unknown" if patient.age is None else f"{patient.age} years"
    sex = "sex unknown" if patient.sex == UNKNOWN else patient.sex
    histology = "histology unknown" if patient.histology == UNKNOWN else patient.histology
    line = "line unknown" if patient.line == UNKNOWN else f"{patient.line} line"
    words = [age, sex, histology, f"PD-L1 {patient.pd_l1}", line]
    words += [] if patient.regimen == UNKNOWN else [patient.regimen]
    return literal(" · ".join(words))


_MISSED = {
    "pointing_game": "its strongest point lies beside what drives the risk",
    "energy_over_chance": "too much of it lies outside what drives the risk",
    "randomisation_ssim": "it hardly changes when the model is made random",
    "renoised_ssim": "it changes with the noise of the scan",
    "deletion_vs_random": "taking away what it marks moves the number little more than taking away"
    " anything else",
}


def saliency_doubt(checks: Mapping[str, Any] | None) -> str:
    """Why the saliency is not shown unless asked for; empty where it passed all its checks."""
    if checks is None:
        return "Whether this view can be relied on was not checked for these weights."
    if not checks["missed"]:
        return ""
    reasons = "; ".join(_MISSED[name] for name in checks["missed"])
    return (
        f"Off unless asked for: in {checks['n']} simulated patients it missed"
        f" {len(checks['missed'])} of {len(_MISSED)} checks ({reasons})."
    )
