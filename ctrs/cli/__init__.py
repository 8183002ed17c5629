"""The command line: the same functions as the pages, with one JSON document on standard output.

Exit codes: 0 done; 2 wrong usage; 3 the input cannot be used; 4 scored as not assessable.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from uuid import uuid4

from ctrs import NOTICE
from ctrs.cli.common import UNUSABLE, say, show
from ctrs.errors import CtrsError, places_of, refusal_json

# Commands by the module that has them. Only that one is imported: `train` has to run where nobody
# installed what the others need.
MODULES = {
    "scans": ("inspect", "score"),
    "identity": ("deidentify",),
    "trials": ("trial",),
    "models": ("train", "evaluate", "release"),
    "survival": ("survival",),
    "cohorts": ("import",),
    "house": ("demo", "doctor"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    options = _parser(words).parse_args(words)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except CtrsError as error:
        return _refuse(options, error)
    except OSError as fault:
        what = f"{_what(options, fault)} cannot be read or written ({fault.strerror})."
        return _refuse(options, CtrsError(what, "Check the paths, the permissions and the space."))
    except Exception as fault:
        reference = uuid4().hex[:8]
        say(f"{type(fault).__name__}, reference {reference}\n{places_of(fault)}")
        what = f"Something went wrong on our side (reference {reference})."
        return _refuse(options, CtrsError(what, "Report it with the lines above."))


def _what(options: argparse.Namespace, fault: OSError) -> str:
    """Which of the paths that were given; not the path, which may hold the name of a patient."""
    for name, value in vars(options).items():
        if isinstance(value, Path) and str(value) == str(fault.filename):
            return f"The path given as “{name}”"
    return "A file or folder"


def _refuse(options: argparse.Namespace, error: CtrsError) -> int:
    show(options, refusal_json(error), f"{error.what}\n{error.next_step}")
    return UNUSABLE


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """Of the command that is asked for; of all where it is not clear."""
    parser = argparse.ArgumentParser("python -m ctrs", description=NOTICE)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    wanted = [name for name, has in MODULES.items() if words and words[0] in has]
    for name in wanted or MODULES:
        import_module(f"ctrs.cli.{name}").add(commands)
    return parser
