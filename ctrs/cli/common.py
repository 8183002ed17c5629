"""What every command has: its parser, its one JSON document, its words, its exit code."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

DONE, WRONG_USAGE, UNUSABLE, NOT_ASSESSABLE = 0, 2, 3, 4
MAX_PATIENTS = 1_000_000


def show(
    options: argparse.Namespace, document: dict[str, Any], text: str | Callable[[], str]
) -> None:
    """Print the document, or else the text, which is made only then if it is a function."""
    if getattr(options, "json", False):
        print(json.dumps(document, indent=2))
        return
    words = text() if callable(text) else text
    # A terminal without quotation marks shows “?” for them; an error would show nothing at all.
    encoding = sys.stdout.encoding or "utf-8"
    print(words.encode(encoding, "replace").decode(encoding))


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def command_line() -> str:
    return "python -m ctrs " + " ".join(sys.argv[1:])


def command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], text: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.set_defaults(run=run)
    return parser


# --- Numbers on the command line ---------------------------------------------------------------


def count(text: str) -> int:
    return int(number(text, int, 1, MAX_PATIENTS, "patients"))


def none_or_some(text: str) -> int:
    return int(number(text, int, 0, MAX_PATIENTS, "patients"))


def seed(text: str) -> int:
    return int(number(text, int, 0, 2**63 - 1, "as a seed"))


def number(text: str, kind: Callable[[str], float], low: float, high: float, what: str) -> float:
    try:
        number = kind(text)
        if low <= number <= high:
            return number
    except ValueError:
        pass
    whole = "whole number" if kind is int else "number"
    raise argparse.ArgumentTypeError(f"{text}: give a {whole} from {low} to {high} {what}")
