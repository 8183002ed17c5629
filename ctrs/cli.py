"""The command line: the same functions as the pages, with one JSON document on standard output.

Exit codes: 0 done; 2 wrong usage; 3 the input cannot be used; 4 scored as not assessable.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from time import perf_counter
from typing import Any, cast
from uuid import uuid4

from ctrs import doctor, places, report
from ctrs.assess import Assessment, Workshop, assess, remember
from ctrs.config import Config
from ctrs.demo.board import build_demo, forget_board
from ctrs.demo.cohort import write_cohort
from ctrs.disk_cache import DiskCache
from ctrs.errors import CtrsError, StoreUnusable, places_of
from ctrs.ingest import read_scan
from ctrs.ingest.inventory import survey
from ctrs.model.weights import read_card
from ctrs.pseudonym import load_key, pseudonym
from ctrs.saliency import Explainer, explain, write_nifti
from ctrs.score import Model
from ctrs.store import Store
from ctrs.trial.bank import read_patients, simulate_trial
from ctrs.trial.population import describe
from ctrs.trial.population.kinetics import FITTED

DONE, WRONG_USAGE, UNUSABLE, NOT_ASSESSABLE = 0, 2, 3, 4
MAX_DAYS = 36_500  # a century; more is a slip of the hand
MAX_PATIENTS = 1_000_000
MAX_CHANGE = 20.0  # times the volume that is there


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except CtrsError as error:
        return _refuse(options, error)
    except OSError as fault:
        what = f"A file or folder cannot be read or written ({fault.strerror})."
        return _refuse(options, CtrsError(what, "Check the paths, the permissions and the space."))
    except Exception as fault:
        reference = uuid4().hex[:8]
        _say(f"{type(fault).__name__}, reference {reference}\n{places_of(fault)}")
        what = f"Something went wrong on our side (reference {reference})."
        return _refuse(options, CtrsError(what, "Report it with the lines above."))


def _refuse(options: argparse.Namespace, error: CtrsError) -> int:
    _show(options, report.refusal_json(error), f"{error.what}\n{error.next_step}")
    return UNUSABLE


def _show(options: argparse.Namespace, document: dict[str, Any], text: str) -> None:
    print(json.dumps(document, indent=2) if getattr(options, "json", False) else text)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# --- Commands -------------------------------------------------------------------------------


def _inspect(options: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory() as scratch:
        found = survey(options.path, Config().intake, Path(scratch))
    inventory = found.inventory
    document = report.inventory_json(inventory)
    if inventory.chosen is None:
        document |= {"error": report.error_json(found.fault)}
    lines = [
        f"{series.rank or '-':>3}  {series.header.description or 'series'}: "
        + "; ".join(series.reasons)
        for series in inventory.series
    ]
    lines += [f"  -  {file.path}: {file.reason}" for file in inventory.rejected_files]
    _show(options, document, "\n".join(lines) or "No file found.")
    return DONE if inventory.chosen else UNUSABLE


def _score(options: argparse.Namespace) -> int:
    if options.saliency:
        options.saliency.mkdir(parents=True, exist_ok=True)  # fails before the work, not after
    with _store(options) or nullcontext() as store:
        workshop = _workshop(options, store)
        assessment = assess(
            options.baseline,
            options.follow_up,
            workshop,
            interval_days=options.interval_days,
            progress=lambda stage: _say(f"{stage} …"),
        )
        if store is not None:
            remember(assessment, _pseudonym(assessment), workshop)
        if options.saliency and assessment.score.assessable:
            _write_saliency(assessment, workshop, options.saliency)
    _show(options, report.assessment_json(assessment), report.score_text(assessment.score))
    return DONE if assessment.score.assessable else NOT_ASSESSABLE


def _workshop(options: argparse.Namespace, store: Store | None) -> Workshop:
    weights: Path = options.weights or places.weights()

    def model() -> Model:
        # Torch takes seconds to import: a score from the store does without.
        from ctrs.model.ensemble import load_ensemble

        ensemble = load_ensemble(weights, options.device)
        if options.device not in ("auto", ensemble.device):
            _say(f"There is no {options.device} on this machine: going on with the CPU.")
        return ensemble

    return Workshop(
        config=Config(),
        model_version=read_card(weights).version,
        model=model,
        store=store,
        cache=_cache(options),
    )


def _cache(options: argparse.Namespace) -> DiskCache | None:
    if options.no_cache:
        return None
    try:
        return DiskCache(places.cache(), places.CACHE_BYTES)
    except OSError as fault:
        _say(f"Going on without the cache: its folder cannot be used ({fault.strerror}).")
        return None


def _store(options: argparse.Namespace) -> Store | None:
    """The store that was named, or the usual one unless the app is using it."""
    if options.no_cache:
        return None
    if options.store:
        return Store(options.store)
    try:
        return Store(places.store())
    except StoreUnusable as error:
        _say(f"Going on without the store: {error.what}")
        return None


def _pseudonym(assessment: Assessment) -> str:
    baseline = assessment.pair.baseline
    known = baseline.header.patient_id or baseline.sha256
    return pseudonym(known, load_key(places.pseudonym_key()))


def _write_saliency(assessment: Assessment, workshop: Workshop, folder: Path) -> None:
    _say("explain …")
    start = perf_counter()
    maps = explain(assessment.pair, workshop, cast("Callable[[], Explainer]", workshop.model))
    pair = assessment.pair
    for name, volume, saliency in zip(
        ("baseline", "follow_up"), (pair.baseline, pair.follow_up), maps, strict=True
    ):
        write_nifti(saliency, volume, folder / f"{name}.nii.gz")
    seconds, taken = assessment.seconds, round(perf_counter() - start, 3)
    seconds.update(explain=taken, total=round(seconds["total"] + taken, 3))


def _simulate(options: argparse.Namespace) -> int:
    table = simulate_trial(
        options.out,
        options.patients,
        options.seed,
        voxels=not options.no_voxels,
        backgrounds=options.backgrounds,
        progress=lambda done, total: _say(f"{done}/{total}") if done % 50 == 0 else None,
    )
    _show(options, {"n": len(table)}, f"{len(table)} simulated patients in {options.out}")
    return DONE


def _describe(options: argparse.Namespace) -> int:
    found = describe.describe(read_patients(options.folder, describe.NEEDED))
    _show(options, describe.as_json(found), describe.as_text(found))
    return DONE


def _fit(options: argparse.Namespace) -> int:
    from ctrs.trial.population.fit import fit

    found = fit(options.data, options.out, _command_line())
    _show(options, found, f"Fitted parameters in {options.out}")
    return DONE


def _pair(options: argparse.Namespace) -> int:
    from ctrs.trial.real.semisynthetic import read_mask, semisynthetic_pair, write_pair

    _, scan = read_scan(options.scan, Config().intake)
    tumour = read_mask(options.tumour, scan)
    pair = semisynthetic_pair(scan, tumour, options.change, options.seed)
    facts = write_pair(pair, options.out)
    _show(options, facts, f"{facts['what']}\nIn {options.out}")
    return DONE


def _report(options: argparse.Namespace) -> int:
    from ctrs.trial.realism.report import write_report

    file = write_report(options.data, options.out, options.seed, _say)
    _show(options, {"report": str(file)}, f"The report is {file}")
    return DONE


def _command_line() -> str:
    return "python -m ctrs " + " ".join(sys.argv[1:])


def _train(options: argparse.Namespace) -> int:
    from ctrs.model.perceive import CONTINUED, PerceiveConfig
    from ctrs.model.train import TrainConfig, train

    perceive = CONTINUED if options.continue_from else PerceiveConfig()
    config = TrainConfig(perceive=perceive, seed=options.seed)
    card = train(
        options.trial,
        options.out,
        perceiver_from=options.perceiver,
        continue_from=options.continue_from,
        backgrounds=options.backgrounds,
        device=options.device,
        config=config,
        command=_command_line(),
        progress=_say,
    )
    _show(options, vars(card), f"Weights {card.version} in {options.out}")
    return DONE


def _demo(options: argparse.Namespace) -> int:
    if options.from_trial:
        return _demo_cohort(options)
    path = places.store()
    options.store, options.no_cache, options.weights, options.device = path, False, None, "auto"
    with Store(path) as store:
        if options.reset:
            forget_board(store, places.demo_scans())
        workshop = _workshop(options, store)
        build_demo(
            workshop,
            places.demo_cohort(),
            places.demo_scans(),
            lambda share, words: _say(f"{share:4.0%} {words}"),
        )
    _show(options, {"store": str(path)}, f"The demo is in {path}")
    return DONE


def _demo_cohort(options: argparse.Namespace) -> int:
    """Score the test patients of a trial with the shipped weights: the demo cohort."""
    from ctrs.model.ensemble import load_ensemble
    from ctrs.model.train import predict_trial

    ensemble = load_ensemble(places.weights())
    table, predictions = predict_trial(
        options.from_trial, ensemble, cache=options.from_trial / "seen.npz", progress=_say
    )
    test = (table["split"] == "test").to_numpy()
    kept = [p for p, is_test in zip(predictions, test, strict=True) if is_test]
    n = write_cohort(places.demo_cohort(), table[test], kept, ensemble)
    _show(options, {"n": n}, f"{n} patients in {places.demo_cohort()}")
    return DONE


def _doctor(options: argparse.Namespace) -> int:
    findings = doctor.examine()
    _show(options, findings, "\n".join(f"{k}: {v}" for k, v in findings.items()))
    return DONE


# --- Arguments ------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m ctrs", description=report.NOTICE)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_scan_commands(commands)
    _add_trial_commands(commands)
    demo = _command(commands, "demo", _demo, "make the demo store and the demo scans")
    demo.add_argument("--reset", action="store_true", help="make it anew; uploads stay")
    demo.add_argument("--from-trial", type=Path, metavar="FOLDER", help="write the demo cohort")
    _command(commands, "doctor", _doctor, "what this machine offers")
    return parser


def _add_scan_commands(commands: Any) -> None:
    inspect = _command(commands, "inspect", _inspect, "what is in a folder, archive or file")
    inspect.add_argument("path", type=Path)
    score = _command(commands, "score", _score, "predict survival from a pair of scans")
    score.add_argument("--baseline", type=Path, required=True)
    score.add_argument("--follow-up", type=Path, required=True)
    score.add_argument("--interval-days", type=_days, metavar="N")
    score.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    score.add_argument("--weights", type=Path, metavar="DIR")
    score.add_argument("--store", type=Path, metavar="FILE")
    score.add_argument("--no-cache", action="store_true", help="neither look up nor keep")
    score.add_argument("--saliency", type=Path, metavar="FOLDER")


def _add_trial_commands(commands: Any) -> None:
    trial = commands.add_parser("trial", help="the simulated trial").add_subparsers(required=True)
    simulate = _command(trial, "simulate", _simulate, "simulate patients and their scans")
    simulate.add_argument("--patients", type=_count, required=True, metavar="N")
    simulate.add_argument("--seed", type=_seed, required=True, metavar="S")
    simulate.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    simulate.add_argument("--no-voxels", action="store_true", help="the tables alone")
    simulate.add_argument("--backgrounds", type=Path, metavar="FOLDER", help="real anatomy")
    told = _command(trial, "describe", _describe, "a trial in figures, beside real patients")
    told.add_argument("folder", type=Path)
    fit = _command(trial, "fit", _fit, "fit growth, decay and hazard to the real tables")
    fit.add_argument("--data", type=Path, default=places.test_data(), metavar="FOLDER")
    fit.add_argument("--out", type=Path, default=FITTED, metavar="FILE")
    pair = _command(trial, "pair", _pair, "a real scan and a follow-up made from it")
    pair.add_argument("--scan", type=Path, required=True)
    pair.add_argument("--tumour", type=Path, required=True, metavar="MASK")
    pair.add_argument("--change", type=_change, required=True, metavar="X", help="-0.5 = half left")
    pair.add_argument("--seed", type=_seed, default=1, metavar="S")
    pair.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    compare = _command(trial, "report", _report, "simulated beside real: a report with figures")
    compare.add_argument("--data", type=Path, default=places.test_data(), metavar="FOLDER")
    compare.add_argument("--seed", type=_seed, default=1, metavar="S")
    compare.add_argument("--out", type=Path, default=places.ROOT / "assets/trial", metavar="FOLDER")
    train = _command(commands, "train", _train, "train the networks on a trial")
    train.add_argument("--trial", type=Path, required=True, metavar="FOLDER")
    train.add_argument("--out", type=Path, required=True, metavar="WEIGHTS")
    first = train.add_mutually_exclusive_group()
    first.add_argument("--perceiver", type=Path, metavar="WEIGHTS", help="take its first network")
    first.add_argument("--continue-from", type=Path, metavar="WEIGHTS", help="begin with it")
    train.add_argument("--backgrounds", type=Path, metavar="FOLDER", help="real scans to paint on")
    train.add_argument("--seed", type=_seed, default=1)
    train.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")


def _days(text: str) -> int:
    return int(_number(text, int, -MAX_DAYS, MAX_DAYS, "days"))


def _change(text: str) -> float:
    return _number(text, float, -1, MAX_CHANGE, "of the tumour's volume: -0.5 = half left")


def _count(text: str) -> int:
    return int(_number(text, int, 1, MAX_PATIENTS, "patients"))


def _seed(text: str) -> int:
    return int(_number(text, int, 0, 2**63 - 1, "as a seed"))


def _number(text: str, kind: Callable[[str], float], low: float, high: float, what: str) -> float:
    try:
        number = kind(text)
        if low <= number <= high:
            return number
    except ValueError:
        pass
    whole = "whole number" if kind is int else "number"
    raise argparse.ArgumentTypeError(f"{text}: give a {whole} from {low} to {high} {what}")


def _command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], text: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.set_defaults(run=run)
    return parser
