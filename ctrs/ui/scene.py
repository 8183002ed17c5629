"""What the viewer in the browser is told of a pair: grids, addresses, lesions, lines. No voxels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ctrs.assess import Workshop, find_prepared
from ctrs.lesions import PairedLesion, pair_lesions
from ctrs.link import Link, link_by_lungs
from ctrs.linked import find_link
from ctrs.measurement import Measurement
from ctrs.overlays import (
    LAYERS,
    Outlines,
    SaliencyGrid,
    find_outlines,
    find_saliency,
    outlines_key,
    saliency_key,
)
from ctrs.slabs import slices_a_slab
from ctrs.store import StoredPair
from ctrs.types import PreparedScan, Triple
from ctrs.ui.images import SALIENCY, address
from ctrs.volume_cache import Grid, VolumeCache

Told: TypeAlias = dict[str, Any]  # as JSON

NAMES = ("Baseline CT", "Follow-up CT")


@dataclass(frozen=True)
class Scene:
    """A pair as the viewer shows it; whatever is not computed yet is ``None``.

    Attributes:
        grids: Of both scans.
        link: As aligned; until then, by the boxes around the lungs.
        outlines, saliency: Of both scans.
        unfinished: Both scans on the model's grid, as long as outlines or alignment are missing.
            The saliency is made when asked for.
    """

    pair: StoredPair
    grids: tuple[Grid, Grid]
    link: Link
    outlines: tuple[Outlines, Outlines] | None
    saliency: tuple[SaliencyGrid, SaliencyGrid] | None
    unfinished: tuple[PreparedScan, PreparedScan] | None

    @property
    def lesions(self) -> list[PairedLesion]:
        if self.outlines is None:
            return []
        return pair_lesions(self.outlines[0].lesions, self.outlines[1].lesions, self.link)


def find_scene(pair: StoredPair, tools: Workshop) -> Scene | None:
    """What is on disk of this pair; ``None`` where its images are no longer kept."""
    if tools.cache is None:
        return None
    scans = pair.baseline_sha256, pair.follow_up_sha256
    cache = VolumeCache(tools.cache)
    grids = cache.grid(scans[0]), cache.grid(scans[1])
    if grids[0] is None or grids[1] is None:
        return None
    outlines = find_outlines(scans[0], tools), find_outlines(scans[1], tools)
    both = (outlines[0], outlines[1]) if outlines[0] and outlines[1] else None
    link, unfinished = find_link(scans, tools), None
    if both is None or link is None:  # else the prepared scans need not be read
        prepared = find_prepared(scans[0], tools), find_prepared(scans[1], tools)
        if prepared[0] is None or prepared[1] is None:
            return None
        unfinished = prepared[0][0], prepared[1][0]
        link = link or link_by_lungs(*unfinished)
    saliency = find_saliency(pair.pair_key, tools)
    return Scene(pair, (grids[0], grids[1]), link, both, saliency, unfinished)


def tell(
    scene: Scene,
    tools: Workshop,
    measurements: Sequence[Measurement],
    offset_mm: Triple | None,
    *,
    with_saliency: bool,
) -> Told:
    """Everything the browser needs to show a pair; see ``frontend/nouns.js``."""
    lesions = scene.lesions
    return {
        "pair": scene.pair.pair_key,
        "scans": [_scan(scene, visit, tools, lesions, with_saliency) for visit in (0, 1)],
        "link": {
            "matrix": scene.link.matrix.ravel().tolist(),
            "offset": list(offset_mm or (0.0, 0.0, 0.0)),
            "sure": scene.link.sure,
            "how": scene.link.how,
        },
        "strongest": _strongest(scene) if with_saliency else [None, None],
        "lesions": [_lesion(lesion) for lesion in lesions],
        "measurements": [_measurement(drawn) for drawn in measurements if not drawn.gone],
    }


def _scan(
    scene: Scene,
    visit: int,
    tools: Workshop,
    lesions: Sequence[PairedLesion],
    with_saliency: bool,
) -> Told:
    grid = scene.grids[visit]
    sha256 = (scene.pair.baseline_sha256, scene.pair.follow_up_sha256)[visit]
    ct = _source(grid.shape, grid.spacing, (0.0, 0.0, 0.0), grid.slices_a_slab)
    told: Told = {
        "label": NAMES[visit],
        "ct": ct | {"id": sha256, "url": address(scene.pair, visit, "ct")},
        "position": list(grid.origin),
        "direction": list(grid.direction),
        "names": _names(lesions, visit),
        **dict.fromkeys((*LAYERS, SALIENCY)),
    }
    if scene.outlines:
        found = scene.outlines[visit]
        lies = _source(found.shape, found.spacing, found.origin, slices_a_slab(found.shape, 1))
        for layer in LAYERS:
            key = outlines_key(sha256, layer, tools)
            told[layer] = lies | {"id": key, "url": address(scene.pair, visit, layer)}
    if scene.saliency and with_saliency:
        at = scene.saliency[visit]
        lies = _source(at.shape, at.spacing, at.origin, slices_a_slab(at.shape, 1))
        key = saliency_key(scene.pair.pair_key, visit, tools)
        told[SALIENCY] = lies | {"id": key, "url": address(scene.pair, visit, SALIENCY)}
    return told


def _source(shape: tuple[int, int, int], spacing: Triple, origin: Triple, slices: int) -> Told:
    """A grid in the browser's order: (z, y, x) -> (x, y, z)."""
    return {
        "size": list(shape[::-1]),
        "spacing": list(spacing[::-1]),
        "origin": list(origin[::-1]),
        "slices": slices,
    }


def _strongest(scene: Scene) -> list[Triple | None]:
    """Where each scan moved the answer most."""
    return [grid.strongest for grid in scene.saliency] if scene.saliency else [None, None]


def _names(lesions: Sequence[PairedLesion], visit: int) -> list[str]:
    """Names by label; 0 is no lesion."""
    found = {}
    for lesion in lesions:
        here = (lesion.baseline, lesion.follow_up)[visit]
        if here:
            found[here.label] = lesion.name
    return [found.get(label, "") for label in range(max(found, default=0) + 1)]


def _lesion(lesion: PairedLesion) -> Told:
    both = lesion.baseline, lesion.follow_up
    return {
        "name": lesion.name,
        "at": [list(one.at_mm) if one else None for one in both],
        "ml": [round(one.ml, 2) if one else None for one in both],
    }


def _measurement(drawn: Measurement) -> Told:
    return {
        "key": drawn.key,
        "lesion": drawn.lesion,
        "visit": drawn.visit,
        "plane": drawn.plane,
        "lines": [[list(end) for end in line] for line in drawn.lines],
        "by": drawn.made_by,
    }
