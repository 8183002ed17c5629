"""`survival …`: statistics of any table of follow-up."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from ctrs.cli.common import DONE, command, number, say, show
from ctrs.survival import as_json
from ctrs.survival.table import FollowUpTable, read_follow_up

MAX_MONTHS = 600  # half a century of follow-up; more is a table in days
MAX_TIME = 1e6


def _names(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise argparse.ArgumentTypeError("give names of columns, separated by commas")
    return names


def _time(text: str) -> float:
    return number(text, float, 0, MAX_TIME, "as a time")


def _times(text: str) -> dict[str, float]:
    """Each by what was typed, which names it in the document."""
    return {part.strip(): _time(part) for part in text.split(",")}


def _step(text: str) -> float:
    return number(text, float, 1e-9, 1e9, "as the step of a hazard ratio")


# One set of options for all statistics: how each is read, and what it is where it is not given.
COMMON: dict[str, tuple[Any, dict[str, Any]]] = {
    "group": (None, {"metavar": "COL", "help": "one group a value of this column"}),
    "covariates": ((), {"type": _names, "metavar": "A,B", "help": "columns of the model"}),
    "strata": (None, {"metavar": "COL", "help": "compare within its levels only"}),
    "at": ({}, {"type": _times, "metavar": "T1,T2", "help": "at these times"}),
    "per": (1.0, {"type": _step, "metavar": "X", "help": "hazard ratio per +X"}),
    "interval": ("log-log", {"choices": ("log-log", "log"), "help": "kind of confidence interval"}),
}


def add(commands: Any) -> None:
    survival = commands.add_parser("survival", help="statistics of any table of follow-up")
    statistics = survival.add_subparsers(required=True, metavar="STATISTIC")

    def statistic(
        name: str,
        work: Callable[[argparse.Namespace, FollowUpTable], dict[str, Any]],
        text: str,
        needs: Collection[str],
        uses: Collection[str],
    ) -> None:
        parser = command(statistics, name, _survival, text)
        parser.add_argument("csv", type=Path)
        parser.add_argument("--time", required=True, metavar="COL", help="length of follow-up")
        parser.add_argument("--event", required=True, metavar="COL", help="1 = died, 0 = last seen")
        parser.add_argument("--landmark", type=_time, metavar="T", help="start the clock there")
        units = ("days", "months")
        parser.add_argument("--unit", choices=units, default="months", help="of all times")
        used = {*needs, *uses}
        for option, (_, reads) in COMMON.items():
            told = reads if option in used else reads | {"help": argparse.SUPPRESS}
            parser.add_argument(f"--{option}", required=option in needs, **told)
        parser.set_defaults(statistic=work, name=name, used=used)

    statistic("km", _kaplan_meier, "survival over time, with medians",
              (), ("group", "at", "interval"))  # fmt: skip
    statistic("logrank", _log_rank, "do groups differ?", ("group",), ("strata",))
    statistic("cox", _cox, "hazard ratios, and the check of their assumption",
              ("covariates",), ("strata", "per"))  # fmt: skip
    statistic(
        "concordance", _concordance,
        "does a score order patients by survival? One covariate: a score, higher = lives longer;"
        " several: a Cox model of them. --at: AUC there, and Uno's C to the last of them",
        ("covariates",), ("at",),
    )  # fmt: skip


def _survival(options: argparse.Namespace) -> int:
    _settle(options)
    others = [*options.covariates, *(c for c in (options.group, options.strata) if c)]
    table = read_follow_up(options.csv, options.time, options.event, others, options.landmark)
    longest = float(table.cohort.table["months"].max())
    if options.unit == "months" and longest > MAX_MONTHS:
        say(f"Somebody is followed for {longest:g} months: if they are days, say --unit days.")
    document = options.statistic(options, table) | {"unit": options.unit}
    show(options, document, as_json.as_text(document))
    return DONE


def _settle(options: argparse.Namespace) -> None:
    """Fill in what was not given, and say what this statistic makes nothing of."""
    for option, (default, _) in COMMON.items():
        given = getattr(options, option) is not None
        if given and option not in options.used:
            say(f"--{option} does not apply to {options.name} and is ignored.")
        if not given or option not in options.used:
            setattr(options, option, default)


def _kaplan_meier(options: argparse.Namespace, table: FollowUpTable) -> dict[str, Any]:
    return as_json.kaplan_meier_json(table, options.group, options.at, options.interval)


def _log_rank(options: argparse.Namespace, table: FollowUpTable) -> dict[str, Any]:
    return as_json.log_rank_json(table, options.group, options.strata)


def _cox(options: argparse.Namespace, table: FollowUpTable) -> dict[str, Any]:
    return as_json.cox_json(table, options.covariates, options.per, options.strata)


def _concordance(options: argparse.Namespace, table: FollowUpTable) -> dict[str, Any]:
    return as_json.concordance_json(table, options.covariates, options.at)
