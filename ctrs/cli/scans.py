"""`inspect` and `score`: scans of a patient."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from datetime import date
from pathlib import Path
from time import perf_counter
from typing import Any, cast

from ctrs import places, report
from ctrs.assess import Assessment, Workshop, assess, remember
from ctrs.cli.common import DONE, NOT_ASSESSABLE, UNUSABLE, command, number, say, show
from ctrs.config import Config
from ctrs.disk_cache import DiskCache
from ctrs.errors import StoreUnusable, error_json
from ctrs.ingest.identity import known_id
from ctrs.ingest.image_file import write_nifti
from ctrs.ingest.inventory import survey
from ctrs.model.weights import read_card
from ctrs.pair import propose_pair
from ctrs.pseudonym import load_key, pseudonym
from ctrs.saliency import Explainer, explain
from ctrs.score import Model
from ctrs.store import Store

MAX_DAYS = 36_500  # a century; more is a slip of the hand


def add(commands: Any) -> None:
    inspect = command(commands, "inspect", _inspect, "what is in a folder, archive or file")
    inspect.add_argument("path", type=Path)
    inspect.add_argument(
        "--treatment-start", type=date.fromisoformat, metavar="YYYY-MM-DD",
        help="to propose baseline and follow-up among several scans",
    )  # fmt: skip
    score = command(commands, "score", _score, "predict survival from a pair of scans")
    score.add_argument("--baseline", type=Path, required=True)
    score.add_argument("--follow-up", type=Path, required=True)
    score.add_argument("--interval-days", type=_days, metavar="N")
    for visit in ("baseline", "follow-up"):
        score.add_argument(f"--{visit}-series", metavar="UID", help="instead of the chosen one")
    score.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    score.add_argument("--weights", type=Path, metavar="DIR")
    score.add_argument("--store", type=Path, metavar="FILE")
    score.add_argument("--no-cache", action="store_true", help="neither look up nor keep")
    score.add_argument("--saliency", type=Path, metavar="FOLDER")


def _inspect(options: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory() as scratch:
        found = survey(options.path, Config().intake, Path(scratch))
    inventory = found.inventory
    proposal = propose_pair(inventory, Config().pair, options.treatment_start)
    document = report.inventory_json(inventory)
    document |= {"proposed_pair": report.proposal_json(proposal)}
    usable = document["chosen"] is not None
    if not usable:
        document |= {"error": error_json(found.fault)}
    lines = [
        f"{series.rank or '-':>3}  {series.header.description or 'series'}: "
        + "; ".join(series.reasons)
        for series in inventory.series
    ]
    lines += [f"  -  {file.path}: {file.reason}" for file in inventory.rejected_files]
    lines += [f"  !  {inventory.doubt}"] if inventory.doubt else []
    if proposal:
        names = zip(("baseline", "follow-up"), proposal.reasons, strict=True)
        pair = zip((proposal.baseline, proposal.follow_up), names, strict=True)
        lines += [f"  ?  {name}: {s.header.series_uid} ({why})" for s, (name, why) in pair]
    show(options, document, "\n".join(lines) or "No file found.")
    return DONE if usable else UNUSABLE


def _score(options: argparse.Namespace) -> int:
    if options.saliency:
        options.saliency.mkdir(parents=True, exist_ok=True)  # fails before the work, not after
    with _store(options) or nullcontext() as store:
        workshop = workshop_of(options, store)
        assessment = assess(
            options.baseline,
            options.follow_up,
            workshop,
            interval_days=options.interval_days,
            series_uids=(options.baseline_series, options.follow_up_series),
            progress=lambda stage: say(f"{stage} …"),
        )
        if store is not None:
            remember(assessment, _pseudonym(assessment, options.store), workshop)
        if options.saliency and assessment.score.assessable:
            _write_saliency(assessment, workshop, options.saliency)
    show(options, report.assessment_json(assessment), report.score_text(assessment.score))
    return DONE if assessment.score.assessable else NOT_ASSESSABLE


def workshop_of(options: argparse.Namespace, store: Store | None) -> Workshop:
    """Everything that scoring needs, by the options of `score`."""
    weights: Path = options.weights or places.weights()

    def model() -> Model:
        # Torch takes seconds to import: a score from the store does without.
        from ctrs.model.ensemble import load_ensemble

        ensemble = load_ensemble(weights, options.device)
        if options.device not in ("auto", ensemble.device):
            say(f"There is no {options.device} on this machine: going on with the CPU.")
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
        say(f"Going on without the cache: its folder cannot be used ({fault.strerror}).")
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
        say(f"Going on without the store: {error.what}")
        return None


def _pseudonym(assessment: Assessment, store: Path | None) -> str:
    baseline = assessment.pair.baseline
    known = known_id(baseline.header) or baseline.sha256
    return pseudonym(known, load_key(places.pseudonym_key(store)))


def _write_saliency(assessment: Assessment, workshop: Workshop, folder: Path) -> None:
    say("explain …")
    start = perf_counter()
    maps = explain(assessment.pair, workshop, cast("Callable[[], Explainer]", workshop.model))
    pair = assessment.pair
    for name, volume, saliency in zip(
        ("baseline", "follow_up"), (pair.baseline, pair.follow_up), maps, strict=True
    ):
        write_nifti(saliency.values, volume, folder / f"{name}.nii.gz")
    seconds, taken = assessment.seconds, round(perf_counter() - start, 3)
    seconds.update(explain=taken, total=round(seconds["total"] + taken, 3))


def _days(text: str) -> int:
    return int(number(text, int, -MAX_DAYS, MAX_DAYS, "days"))
