"""`deidentify`: CT files to hand on."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ctrs import places
from ctrs.cli.common import DONE, UNUSABLE, command, show
from ctrs.config import Config
from ctrs.deidentify import deidentify
from ctrs.pseudonym import load_key


def add(commands: Any) -> None:
    parser = command(commands, "deidentify", _deidentify, "CT files without identity, to hand on")
    parser.add_argument("path", type=Path, help="a folder; searched whole")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")


def _deidentify(options: argparse.Namespace) -> int:
    key = load_key(places.pseudonym_key())
    done = deidentify(options.path, options.out, key, Config().intake)
    document = {
        "written": done.written,
        "patients": sorted(done.patients),
        "left_out": [vars(file) for file in done.left_out],
        "warnings": done.warnings,
    }
    lines = [f"{done.written} images written for {', '.join(sorted(done.patients)) or 'nobody'}"]
    lines += [f"  left out  {file.path}: {file.reason}" for file in done.left_out]
    show(options, document, "\n".join([*lines, *done.warnings]))
    return DONE if done.written else UNUSABLE
