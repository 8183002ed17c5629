"""Two paths in, an assessment out: what the command line, the pages and the demo all call.

files ──read──▶ Volume ×2 ──pair_scans──▶ ScanPair ──prepare, check──▶ findings ──score──▶ Store
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from math import nan
from pathlib import Path
from time import perf_counter

import numpy as np

from ctrs.align import check_likeness
from ctrs.config import Config
from ctrs.disk_cache import DiskCache
from ctrs.ingest import read_pair
from ctrs.ingest.choice import BY_USER
from ctrs.lungs import Chest
from ctrs.pair import pair_scans
from ctrs.prepare import prepare
from ctrs.score import Model, check_pair, measured_change, score
from ctrs.store import ScanFacts, Store
from ctrs.types import (
    Finding,
    Inventory,
    PreparedScan,
    Recist,
    Response,
    ResponseScore,
    ScanPair,
    Volume,
    Zone,
)
from ctrs.volume_cache import VolumeCache

STAGES = ("read", "check", "prepare", "load", "infer")
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Assessment:
    """Everything about one assessed pair.

    Attributes:
        inventories: What was found at the two paths.
        cached: The score came from the store; no network ran.
        seconds: Wall-clock time by stage, and ``total``.
    """

    pair: ScanPair
    inventories: tuple[Inventory, Inventory]
    score: ResponseScore
    cached: bool
    seconds: dict[str, float]

    @property
    def chosen_by_hand(self) -> tuple[str, ...]:
        """Of which scans a person, and no rule, chose the series."""
        named = zip(("baseline", "follow-up"), self.inventories, strict=True)
        return tuple(
            name for name, found in named if found.chosen and BY_USER in found.chosen.reasons
        )


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """What an assessment works with.

    Attributes:
        model_version: Known from the weights' card, so that a cached score needs no torch.
        model: Gives the model; called only if a network has to run.
        store: Where scores are kept; ``None`` keeps and finds nothing.
        cache: For prepared scans and voxels; ``None`` keeps nothing.
    """

    config: Config
    model_version: str
    model: Callable[[], Model]
    store: Store | None = None
    cache: DiskCache | None = None


@dataclass
class _Clock:
    seconds: dict[str, float] = field(default_factory=dict)
    progress: Progress = lambda stage: None

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self.progress(name)
        start = perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = round(perf_counter() - start, 3)


def assess(
    baseline: Path,
    follow_up: Path,
    workshop: Workshop,
    *,
    interval_days: int | None = None,
    series_uids: tuple[str | None, str | None] = (None, None),
    progress: Progress = lambda stage: None,
) -> Assessment:
    """Read, check, prepare and score a pair of scans; a pair scored before comes from the store.

    Every check is made again then, too: a score that was kept never answers for a pair that would
    be refused now, for what its files say of the patient or by a rule that has changed.

    Args:
        baseline, follow_up: Folders, archives or files; see `ctrs.ingest.read_pair`.
        interval_days: Overrides what the files' dates say.
        series_uids: Overrides which series is used of the baseline, and of the follow-up.
        progress: Called with the name of each of `STAGES` as it begins.

    Raises:
        InputRejected: A scan cannot be used; ``what`` says which of the two.
        PairRejected: The two do not belong together.
    """
    start = perf_counter()
    clock = _Clock(progress=progress)
    with clock.stage("read"):
        read = read_pair((baseline, follow_up), workshop.config.intake, series_uids)
    (inventory_0, volume_0), (inventory_1, volume_1) = read
    with clock.stage("check"):
        pair = pair_scans(volume_0, volume_1, workshop.config.pair, interval_days)
    with clock.stage("prepare"):
        prepared = prepare_pair(pair, workshop)
        pair, findings = _examine(pair, prepared, workshop.config)
        known = _find(pair, findings, workshop)
    scans = prepared[0][0], prepared[1][0]
    result = known or _score(pair, scans, findings, workshop, clock)
    clock.seconds["total"] = round(perf_counter() - start, 3)
    return Assessment(pair, (inventory_0, inventory_1), result, known is not None, clock.seconds)


def _examine(
    pair: ScanPair,
    prepared: tuple[tuple[PreparedScan, Chest], tuple[PreparedScan, Chest]],
    config: Config,
) -> tuple[ScanPair, list[Finding]]:
    """The pair with what its bodies tell of whose they are, and all findings together."""
    (first, chest_0), (second, chest_1) = prepared
    chests = chest_0, chest_1
    findings = check_pair(pair, chests, config)
    limit = config.chest.amber_cut_ratio
    whole = all(max(chest.cut_top, chest.cut_bottom) <= limit for chest in chests)
    alike = check_likeness(pair, (first, second), config.pair, whole=whole)
    return replace(pair, findings=(*pair.findings, *alike)), [*findings, *alike]


def _find(pair: ScanPair, findings: Sequence[Finding], workshop: Workshop) -> ResponseScore | None:
    """The score in the store, unless it lacks a remark that would be made now."""
    if workshop.store is None:
        return None
    known = workshop.store.find_score(pair.key, workshop.model_version)
    if known is None or known.survival_12m is None:
        return known
    said = tuple(finding.reason for finding in findings)
    forbidden = any(finding.zone is Zone.RED for finding in findings)
    return None if forbidden or known.reasons[: len(said)] != said else known


def _score(
    pair: ScanPair,
    scans: tuple[PreparedScan, PreparedScan],
    findings: Sequence[Finding],
    workshop: Workshop,
    clock: _Clock,
) -> ResponseScore:
    with clock.stage("load"):  # the first time in a process: torch and the weights
        model = workshop.model()
    with clock.stage("infer"):
        return score(pair, scans, findings, model, workshop.config)


def prepare_pair(
    pair: ScanPair, workshop: Workshop
) -> tuple[tuple[PreparedScan, Chest], tuple[PreparedScan, Chest]]:
    """Both scans on the model's grid, from the cache where they were prepared before."""
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(
            lambda volume: prepare_cached(volume, workshop), (pair.baseline, pair.follow_up)
        )
    return first, second


def prepare_cached(volume: Volume, workshop: Workshop) -> tuple[PreparedScan, Chest]:
    """`prepare`, remembered by the scan's content and everything that steers the preparation."""
    if (known := find_prepared(volume.sha256, workshop)) is not None:
        return known
    config = workshop.config
    prepared, chest = prepare(volume, config.prepare, config.chest)
    if workshop.cache is not None:
        workshop.cache.put(_prepared_key(volume.sha256, config), _pack(prepared, chest))
    return prepared, chest


def find_prepared(scan_sha256: str, workshop: Workshop) -> tuple[PreparedScan, Chest] | None:
    """What `prepare_cached` remembers of the scan of this content, without its voxels."""
    if workshop.cache is None:
        return None
    arrays = workshop.cache.get(_prepared_key(scan_sha256, workshop.config))
    return None if arrays is None else _unpack(arrays)


def _prepared_key(scan_sha256: str, config: Config) -> str:
    recipe = sha256(repr((config.prepare, config.chest)).encode()).hexdigest()[:12]
    return f"prepared-{scan_sha256}-{recipe}"


def _pack(prepared: PreparedScan, chest: Chest) -> dict[str, np.ndarray]:
    return {
        "image": prepared.image,
        "lungs": prepared.lungs,
        "origin": np.array(prepared.origin),
        "spacing": np.array(prepared.spacing),
        "chest": np.array(list(vars(chest).values())),
    }


def _unpack(arrays: dict[str, np.ndarray]) -> tuple[PreparedScan, Chest]:
    oz, oy, ox = (float(v) for v in arrays["origin"])
    sz, sy, sx = (float(v) for v in arrays["spacing"])
    lungs = arrays["lungs"].astype(bool)
    prepared = PreparedScan(arrays["image"], lungs, (oz, oy, ox), (sz, sy, sx))
    return prepared, Chest(*(float(v) for v in arrays["chest"]))


def remember(assessment: Assessment, patient: str, workshop: Workshop) -> None:
    """Keep an assessed pair: its score in the store, its voxels in the cache for the viewer.

    A reading that is there already stays as it is.
    """
    pair, store = assessment.pair, workshop.store
    if store is None:
        return
    for volume in (pair.baseline, pair.follow_up):
        store.save_scan(volume.sha256, ScanFacts.of(volume))
        if workshop.cache is not None:
            VolumeCache(workshop.cache).put(volume)
    store.save_pair(
        pair.key,
        patient,
        pair.baseline.sha256,
        pair.follow_up.sha256,
        pair.interval_days,
        pair.findings,
        assessment.chosen_by_hand,
    )
    result = assessment.score
    if not assessment.cached:
        store.save_score(pair.key, result, assessment.seconds)
    if store.response(pair.key) is None:
        store.save_response(pair.key, _unread(result))
    chosen = ", ".join(assessment.chosen_by_hand)
    by_hand = f"; series {BY_USER}: {chosen}" if chosen else ""
    store.audit("score", patient, f"{result.zone}, model {result.model_version}{by_hand}")


def _unread(score: ResponseScore) -> Response:
    """No reading by a person; the volume change as the model measured it."""
    change = measured_change(score)
    return Response(Recist.NE, nan, nan, 0, nan if change is None else change)
