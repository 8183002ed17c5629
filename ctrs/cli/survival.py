"""`survival …`: statistics of any table of follow-up."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ctrs.cli.common import DONE, command, number, say, show
from ctrs.survival import as_json
from ctrs.survival.table import FollowUpTable, read_follow_up

MAX_MONTHS = 600  # half a century of follow-up; more is a table in days
MAX_TIME = 1e6


def add(commands: Any) -> None:
    survival = commands.add_parser("survival", help="statistics of any table of follow-up")
    statistics = survival.add_subparsers(required=True, metavar="STATISTIC")

    def statistic(
        name: str, work: Callable[[argparse.Namespace, FollowUpTable], dict[str, Any]], text: str
    ) -> argparse.ArgumentParser:
        parser = command(statistics, name, _survival, text)
        parser.add_argument("csv", type=Path)
        parser.add_argument("--time", required=True, metavar="COL", help="length of follow-up")
        parser.add_argument("--event", required=True, metavar="COL", help="1 = died, 0 = last seen")
        parser.add_argument("--landmark", type=_time, metavar="T", help="start the clock there")
        units = ("days", "months")
        parser.add_argument("--unit", choices=units, default="months", help="of all times")
        parser.set_defaults(statistic=work, group=None, strata=None, covariates=(), at=())
        return parser

    km = statistic("km", _kaplan_meier, "survival over time, with medians")
    km.add_argument("--group", metavar="COL")
    km.add_argument("--at", type=_times, metavar="T1,T2", help="survival at these times")
    km.add_argument("--interval", choices=("log-log", "log"), default="log-log")
    test = statistic("logrank", _log_rank, "do groups differ?")
    test.add_argument("--group", required=True, metavar="COL")
    test.add_argument("--strata", metavar="COL", help="compare within its levels only")
    cox = statistic("cox", _cox, "hazard ratios, and the check of their assumption")
    cox.add_argument("--covariates", type=_names, required=True, metavar="A,B")
    cox.add_argument("--strata", metavar="COL", help="each level has a baseline of its own")
    cox.add_argument("--per", type=_step, default=1.0, metavar="X", help="hazard ratio per +X")
    order = statistic("concordance", _concordance, "does a score order patients by survival?")
    order.add_argument(
        "--covariates", type=_names, required=True, metavar="A,B",
        help="one: a score, higher = lives longer; several: a Cox model of them",
    )  # fmt: skip
    order.add_argument("--at", type=_times, metavar="T1,T2", help="AUC there; Uno's C to the last")


def _survival(options: argparse.Namespace) -> int:
    others = [*options.covariates, *(c for c in (options.group, options.strata) if c)]
    table = read_follow_up(options.csv, options.time, options.event, others, options.landmark)
    longest = float(table.cohort.table["months"].max())
    if options.unit == "months" and longest > MAX_MONTHS:
        say(f"Somebody is followed for {longest:g} months: if they are days, say --unit days.")
    document = options.statistic(options, table) | {"unit": options.unit}
    show(options, document, as_json.as_text(document))
    return DONE


def _kaplan_meier(options: argparse.Namespace, table: FollowUpTable) -> dict[str, Any]:
    return as_json.kaplan_meier_json(table, options.group, options.at, options.interval)


def _log_rank(options: argparse.Namespace, table: FollowUpTable) -> dict[str, Any]:
    return as_json.log_rank_json(table, options.group, options.strata)


def _cox(options: argparse.Namespace, table: FollowUpTable) -> dict[str, Any]:
    return as_json.cox_json(table, options.covariates, options.per, options.strata)


def _concordance(options: argparse.Namespace, table: FollowUpTable) -> dict[str, Any]:
    return as_json.concordance_json(table, options.covariates, options.at)


def _names(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise argparse.ArgumentTypeError("give names of columns, separated by commas")
    return names


def _time(text: str) -> float:
    return number(text, float, 0, MAX_TIME, "as a time")


def _times(text: str) -> tuple[float, ...]:
    return tuple(_time(part) for part in text.split(","))


def _step(text: str) -> float:
    return number(text, float, 1e-9, 1e9, "as the step of a hazard ratio")
