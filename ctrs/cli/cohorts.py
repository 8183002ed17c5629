"""`import`: a table of a cohort becomes rows of the store."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from ctrs import places
from ctrs.cli.common import DONE, UNUSABLE, command, show
from ctrs.cohort_import import (
    DryRun,
    cohort_name,
    conflicts,
    dry_run,
    guess_mapping,
    load,
    name_from_file,
    nothing_left,
    read_mapping,
    report_json,
    report_text,
)
from ctrs.errors import error_json
from ctrs.pseudonym import load_key
from ctrs.store import Store, require_database
from ctrs.text_table import read_text_table


def add(commands: Any) -> None:
    parser = command(commands, "import", _import, "bring a cohort's table into the store")
    parser.add_argument("csv", type=Path)
    parser.add_argument("--store", type=Path, metavar="FILE", help="the usual one if not given")
    parser.add_argument(
        "--mapping", type=Path, metavar="FILE", help="JSON: which column is what; else guessed"
    )
    parser.add_argument(
        "--from-follow-up", action="store_true", help="its times begin at the follow-up CT already"
    )
    parser.add_argument("--cohort", metavar="NAME", help="else the name of the file")
    parser.add_argument("--dry-run", action="store_true", help="say what it would do, and do not")


def _import(options: argparse.Namespace) -> int:
    path = options.store or places.store()
    require_database(path)  # before a key is made beside it
    cohort = cohort_name(options.cohort or name_from_file(options.csv.stem))
    table = read_text_table(options.csv)
    mapping = guess_mapping(list(table.cells.columns))
    if options.mapping:
        mapping = read_mapping(options.mapping)
    if options.from_follow_up:
        mapping = replace(mapping, from_follow_up=True)
    run = dry_run(table, _key(path, options.dry_run), mapping)
    document = report_json(run) | {"cohort": cohort, "dry_run": options.dry_run}
    if run.kept.empty:
        error = nothing_left(run)
        words = f"{report_text(run)}\n{error.what}\n{error.next_step}"
        show(options, document | {"error": error_json(error)}, words)
        return UNUSABLE
    notes = _write(run, cohort, path, options.dry_run)
    document["warnings"] += notes
    done = f"Nothing was written. Without --dry-run they become the cohort “{cohort}”."
    if not options.dry_run:
        done = f"They are the cohort “{cohort}” now."
    show(options, document, "\n".join([report_text(run), *notes, done]))
    return DONE


def _key(store: Path, dry: bool) -> bytes:
    """Of this store; a dry run makes no file and is content with a key of the moment."""
    file = places.pseudonym_key(store)
    return os.urandom(32) if dry and not file.exists() else load_key(file)


def _write(run: DryRun, cohort: str, path: Path, dry: bool) -> list[str]:
    """Import, unless it is a dry run; says what changes of what the store holds."""
    if dry and not path.exists():
        return []
    with Store(path) as store:
        notes = conflicts(run, cohort, store)
        if not dry:
            load(run, cohort, store)
    return notes
