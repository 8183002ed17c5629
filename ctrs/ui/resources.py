"""What all sessions share: the store, the model, the caches, and the demo built on first start."""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import streamlit as st

from ctrs import places
from ctrs.assess import Workshop
from ctrs.config import Config
from ctrs.demo.board import build_demo, demo_is_built
from ctrs.disk_cache import DiskCache
from ctrs.errors import CtrsError
from ctrs.model.weights import REPORT, Card, read_card
from ctrs.store import Store
from ctrs.ui.messages import explained

if TYPE_CHECKING:
    from ctrs.model.ensemble import Ensemble

CONFIG = Config()
P = ParamSpec("P")
R = TypeVar("R")


def remembered(words: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Keep the last 64 answers of a function for all sessions; ``words`` stand while it computes.

    What comes back is shared: nobody may change it. Not ``st.cache_data``, which looks for the
    running server as soon as it decorates, and complains in the log: the server imports this
    package for its routes before it runs.
    """
    return st.cache_resource(max_entries=64, show_spinner=words)


@st.cache_resource(show_spinner=False)
def card() -> Card:
    """What is known about the weights; reading it needs no torch."""
    return read_card(places.weights())


@st.cache_resource(show_spinner=False)
def model_report() -> str:
    """What was measured, in words (Markdown), as it lies beside the weights; empty without one."""
    file = places.weights() / REPORT
    return file.read_text() if file.exists() else ""


@st.cache_resource(show_spinner="Opening the database…")
def store() -> Store:
    return Store(places.store())


@st.cache_resource(show_spinner="Loading the model (once after each start, some seconds)…")
def model() -> Ensemble:
    from ctrs.model.ensemble import load_ensemble  # torch: some seconds, only if a network runs

    return load_ensemble(places.weights())


@st.cache_resource(show_spinner=False)
def cache() -> DiskCache:
    return DiskCache(places.cache(), places.CACHE_BYTES)


def workshop() -> Workshop:
    """Everything an assessment works with; without weights or database, say so and stop."""
    with explained("The app is not ready"):
        return Workshop(
            config=CONFIG,
            model_version=card().version,
            model=lambda: model(),
            store=store(),
            cache=cache(),
        )


def model_version() -> str:
    return workshop().model_version


# --- First start ----------------------------------------------------------------------------


@st.cache_resource(show_spinner=False)
def _building() -> Lock:
    return Lock()


def build_demo_once() -> None:
    """Build the demo patients if they are not there; of two sessions, one builds, one waits."""
    if os.environ.get("CTRS_DEMO") == "off" or not places.demo_cohort().exists():
        return
    try:
        tools = Workshop(
            config=CONFIG,
            model_version=card().version,
            model=lambda: model(),
            store=store(),
            cache=cache(),
        )
    except CtrsError:
        return  # pages that need the store or the weights say what is wrong with them
    if demo_is_built(store(), tools.model_version):
        return
    with explained("The demo patients could not be made"):
        _build_demo(tools)


def _build_demo(tools: Workshop) -> None:
    bar = st.progress(0.0, "First start: the demo patients are being made, about 20 seconds…")

    def progress(share: float, words: str) -> None:
        bar.progress(min(share, 1.0), f"First start: {words}…")

    with _building():
        build_demo(tools, places.demo_cohort(), places.demo_scans(), progress)
    bar.empty()
