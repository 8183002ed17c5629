"""`trial …`: simulated patients, and what is real beside them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ctrs import places
from ctrs.cli.common import (
    DONE,
    command,
    command_line,
    count,
    none_or_some,
    number,
    say,
    seed,
    show,
)
from ctrs.config import Config
from ctrs.ingest import read_scan
from ctrs.trial.bank import simulate_trial
from ctrs.trial.population import describe
from ctrs.trial.population.kinetics import FITTED
from ctrs.trial.prepared import read_patients

MAX_CHANGE = 20.0  # times the volume that is there


def add(commands: Any) -> None:
    trial = commands.add_parser("trial", help="the simulated trial").add_subparsers(required=True)
    simulate = command(trial, "simulate", _simulate, "simulate patients and their scans")
    simulate.add_argument("--patients", type=count, required=True, metavar="N")
    simulate.add_argument("--seed", type=seed, required=True, metavar="S")
    simulate.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    simulate.add_argument("--no-voxels", action="store_true", help="the tables alone")
    simulate.add_argument("--backgrounds", type=Path, metavar="FOLDER", help="real anatomy")
    simulate.add_argument(
        "--rescans", type=none_or_some, default=0, metavar="N", help="scanned again the same day"
    )
    simulate.add_argument(
        "--rare", type=none_or_some, default=0, metavar="N", help="more scans with rare findings"
    )
    simulate.add_argument(
        "--livers", type=none_or_some, default=0, metavar="N", help="livers alone, of more patients"
    )
    told = command(trial, "describe", _describe, "a trial in figures, beside real patients")
    told.add_argument("folder", type=Path)
    fit = command(trial, "fit", _fit, "fit growth, decay and hazard to the real tables")
    fit.add_argument("--data", type=Path, default=places.test_data(), metavar="FOLDER")
    fit.add_argument("--out", type=Path, default=FITTED, metavar="FILE")
    pair = command(trial, "pair", _pair, "a real scan and a follow-up made from it")
    pair.add_argument("--scan", type=Path, required=True)
    pair.add_argument("--tumour", type=Path, required=True, metavar="MASK")
    pair.add_argument("--change", type=_change, required=True, metavar="X", help="-0.5 = half left")
    pair.add_argument("--seed", type=seed, default=1, metavar="S")
    pair.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    compare = command(trial, "report", _report, "simulated beside real: a report with figures")
    compare.add_argument("--data", type=Path, default=places.test_data(), metavar="FOLDER")
    compare.add_argument("--seed", type=seed, default=1, metavar="S")
    compare.add_argument("--out", type=Path, default=places.ROOT / "assets/trial", metavar="FOLDER")
    chests = command(trial, "backgrounds", _backgrounds, "real chests to paint tumours into")
    chests.add_argument("--data", type=Path, default=places.test_data(), metavar="FOLDER")
    chests.add_argument("--out", type=Path, required=True, metavar="FOLDER")


def _simulate(options: argparse.Namespace) -> int:
    table = simulate_trial(
        options.out,
        options.patients,
        options.seed,
        voxels=not options.no_voxels,
        backgrounds=options.backgrounds,
        rescans=options.rescans,
        rare=options.rare,
        livers=options.livers,
        progress=lambda done, total: say(f"{done}/{total}") if done % 50 == 0 else None,
    )
    show(options, {"n": len(table)}, f"{len(table)} simulated patients in {options.out}")
    return DONE


def _describe(options: argparse.Namespace) -> int:
    found = describe.describe(read_patients(options.folder, describe.NEEDED))
    show(options, describe.as_json(found), describe.as_text(found))
    return DONE


def _fit(options: argparse.Namespace) -> int:
    from ctrs.trial.population.fit import fit

    found = fit(options.data, options.out, command_line())
    show(options, found, f"Fitted parameters in {options.out}")
    return DONE


def _pair(options: argparse.Namespace) -> int:
    from ctrs.trial.real.semisynthetic import read_mask, semisynthetic_pair, write_pair

    _, scan = read_scan(options.scan, Config().intake)
    tumour = read_mask(options.tumour, scan)
    pair = semisynthetic_pair(scan, tumour, options.change, options.seed)
    facts = write_pair(pair, options.out)
    show(options, facts, f"{facts['what']}\nIn {options.out}")
    return DONE


def _report(options: argparse.Namespace) -> int:
    from ctrs.trial.realism.report import write_report

    file = write_report(options.data, options.out, options.seed, say)
    show(options, {"report": str(file)}, f"The report is {file}")
    return DONE


def _backgrounds(options: argparse.Namespace) -> int:
    from ctrs.trial.real.outlined import write_backgrounds

    names = write_backgrounds(options.data, options.out)
    show(options, {"scans": names}, f"{len(names)} real chests in {options.out}")
    return DONE


def _change(text: str) -> float:
    return number(text, float, -1, MAX_CHANGE, "of the tumour's volume: -0.5 = half left")
