"""`demo` and `doctor`: the house itself."""

from __future__ import annotations

import argparse
from typing import Any

from ctrs import doctor, places
from ctrs.cli.common import DONE, command, say, show
from ctrs.cli.scans import workshop_of
from ctrs.demo.board import build_demo, forget_board
from ctrs.store import Store


def add(commands: Any) -> None:
    demo = command(commands, "demo", _demo, "make the demo store and the demo scans")
    demo.add_argument("--reset", action="store_true", help="make it anew; uploads stay")
    command(commands, "doctor", _doctor, "what this machine offers")


def _demo(options: argparse.Namespace) -> int:
    path = places.store()
    options.store, options.no_cache, options.weights, options.device = path, False, None, "auto"
    with Store(path) as store:
        if options.reset:
            forget_board(store, places.demo_scans())
        workshop = workshop_of(options, store)
        build_demo(
            workshop,
            places.demo_cohort(),
            places.demo_scans(),
            lambda share, words: say(f"{share:4.0%} {words}"),
        )
    show(options, {"store": str(path)}, f"The demo is in {path}")
    return DONE


def _doctor(options: argparse.Namespace) -> int:
    findings = doctor.examine()
    show(options, findings, "\n".join(f"{k}: {v}" for k, v in findings.items()))
    return DONE
