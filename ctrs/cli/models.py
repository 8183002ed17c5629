"""`train`, `evaluate` and `release`: the model.

Nothing heavy is imported before a command needs it: training runs where there is no image library.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctrs import places
from ctrs.cli.common import DONE, command, command_line, number, say, seed, show
from ctrs.errors import InputRejected

if TYPE_CHECKING:
    from ctrs.model.ensemble import Ensemble


def add(commands: Any) -> None:
    train = command(commands, "train", _train, "train the networks on a trial")
    train.add_argument("--trial", type=Path, required=True, metavar="FOLDER")
    train.add_argument("--out", type=Path, required=True, metavar="WEIGHTS")
    first = train.add_mutually_exclusive_group()
    first.add_argument("--perceiver", type=Path, metavar="WEIGHTS", help="take its first network")
    first.add_argument("--continue-from", type=Path, metavar="WEIGHTS", help="begin with it")
    train.add_argument("--backgrounds", type=Path, metavar="FOLDER", help="real scans to paint on")
    train.add_argument("--steps", type=_steps, metavar="N", help="of the first network")
    train.add_argument("--seed", type=seed, default=1)
    train.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    test = command(commands, "evaluate", _evaluate, "how well weights do on a trial")
    test.add_argument("--trial", type=Path, metavar="FOLDER", help="else the shipped test patients")
    test.add_argument("--weights", type=Path, metavar="WEIGHTS", help="else those in use")
    test.add_argument("--split", choices=("test", "external"), default="test")
    test.add_argument(
        "--real",
        type=Path,
        nargs="?",
        const=places.test_data(),
        metavar="DATA",
        help="on real scans instead",
    )
    test.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    out = command(commands, "release", _release, "make weights the shipped ones, with report")
    out.add_argument("--trial", type=Path, required=True, metavar="FOLDER")
    out.add_argument("--weights", type=Path, required=True, metavar="WEIGHTS")
    out.add_argument("--data", type=Path, default=places.test_data(), metavar="DATA")


def _steps(text: str) -> int:
    return int(number(text, int, 10, 1_000_000, "steps: the learning rate must rise and fall"))


def _train(options: argparse.Namespace) -> int:
    from ctrs.model.perceive import CONTINUED, PerceiveConfig
    from ctrs.model.train import TrainConfig, train

    if (options.trial / "scans").is_dir():
        from ctrs.trial.real.own_cohort import prepare_cohort  # brings image libraries

        prepare_cohort(options.trial, say)
    perceive = CONTINUED if options.continue_from else PerceiveConfig()
    if options.steps and options.perceiver:
        raise InputRejected(
            "--steps are those of the first network, and --perceiver takes one that is trained.",
            "Leave out one of the two.",
        )
    if options.steps:
        perceive = replace(perceive, steps=options.steps)
    config = TrainConfig(perceive=perceive, seed=options.seed)
    card = train(
        options.trial,
        options.out,
        perceiver_from=options.perceiver,
        continue_from=options.continue_from,
        backgrounds=options.backgrounds,
        device=options.device,
        config=config,
        command=command_line(),
        progress=say,
    )
    show(options, vars(card), f"Weights {card.version} in {options.out}")
    return DONE


def _evaluate(options: argparse.Namespace) -> int:
    from ctrs.model.ensemble import load_ensemble
    from ctrs.model.evaluation import as_markdown, evaluate_trial
    from ctrs.trial.real.own_cohort import prepare_cohort

    ensemble = load_ensemble(options.weights or places.weights(), options.device)
    if options.real:
        return _evaluate_real(options, ensemble)
    trial = options.trial or places.trial()
    prepare_cohort(trial, say)
    found = evaluate_trial(trial, ensemble, options.split, say)
    show(options, found, lambda: as_markdown(ensemble.card, {options.split: found}))
    return DONE


def _evaluate_real(options: argparse.Namespace, ensemble: Ensemble) -> int:
    from ctrs.model.real_anatomy import as_markdown, check_real_anatomy

    typical = ensemble.card.typical_survival
    found = check_real_anatomy(options.real, ensemble, typical_survival=typical, progress=say)
    show(options, found, lambda: as_markdown(found))
    return DONE


def _release(options: argparse.Namespace) -> int:
    from ctrs.release import release

    file = release(options.trial, options.weights, options.data, say)
    show(options, {"report": str(file)}, f"The report is {file}")
    return DONE
