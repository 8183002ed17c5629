"""What is drawn over a scan: the outlines the model sees, and what moved its answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ctrs.assess import Workshop
from ctrs.lesions import Lesion, find_lesions
from ctrs.prepare import downsample
from ctrs.saliency import Explainer, explain
from ctrs.slabs import pack, slab_name
from ctrs.types import Array, PreparedScan, ScanPair, Triple

LAYERS: Final = ("tumour", "lesions", "lungs")
_LUNG_EDGE_VOXELS: Final = 0.8  # smoothing, so that the outline does not go in steps of 3 mm
_SPOT_VOXELS: Final = 2.0
_WAY: Final = "1"  # raise it when the same maps would be drawn differently


class Outliner(Protocol):
    """A model that marks structures voxel by voxel."""

    def maps(self, scan: PreparedScan) -> dict[str, Array]: ...


@dataclass(frozen=True)
class Outlines:
    """What is outlined in one scan, on the model's grid; the voxels are fetched by layer.

    Attributes:
        shape, spacing, origin: Of the grid, ``(z, y, x)``; origin in mm from the centre of the
            scan's first voxel to the centre of the grid's.
        lesions: Tumours, largest first.
        places: Where to look for ``"pleural_effusion"``, ``"lung_volume"`` and ``"muscle"``,
            ``(x, y, z)`` in mm from the centre of the scan's first voxel.
    """

    shape: tuple[int, int, int]
    spacing: Triple
    origin: Triple
    lesions: tuple[Lesion, ...]
    places: dict[str, Triple]


def outlines_key(scan_sha256: str, layer: str, workshop: Workshop) -> str:
    """Under which name the cache keeps one of `LAYERS` of a scan."""
    return f"outline-{layer}-{scan_sha256}-{workshop.model_version}-{_WAY}".lower()


def find_outlines(scan_sha256: str, workshop: Workshop) -> Outlines | None:
    """What `outline` kept of this scan, or ``None``."""
    if workshop.cache is None:
        return None
    arrays = workshop.cache.part(outlines_key(scan_sha256, LAYERS[0], workshop), ("words",))
    return _from_words(json.loads(arrays["words"].tobytes())) if arrays else None


def outline(
    scan_sha256: str, scan: PreparedScan, workshop: Workshop, model: Callable[[], Outliner]
) -> Outlines:
    """Tumours and lungs of one scan, from the cache or from the model; one network runs once."""
    known = find_outlines(scan_sha256, workshop)
    if known is not None:
        return known
    maps = model().maps(scan)
    lesions, labels = find_lesions(maps["tumour"], scan)
    found = Outlines(
        shape=scan.image.shape,
        spacing=scan.spacing,
        origin=scan.origin,
        lesions=tuple(lesions),
        places=_places(maps, scan),
    )
    words = np.frombuffer(json.dumps(asdict(found)).encode(), np.uint8)
    lungs = ndimage.gaussian_filter(scan.lungs.astype(np.float32), _LUNG_EDGE_VOXELS)
    layers = {"lesions": labels, "lungs": _bytes(lungs), "tumour": _bytes(maps["tumour"])}
    if workshop.cache is not None:
        for layer, values in layers.items():  # the one that is looked for comes last
            key = outlines_key(scan_sha256, layer, workshop)
            workshop.cache.put(key, {**pack(values), "words": words})
    return found


def _bytes(share: Array) -> npt.NDArray[np.uint8]:
    return np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)


def _from_words(words: dict[str, Any]) -> Outlines:
    lesions = tuple(
        Lesion(item["label"], _triple(item["at_mm"]), item["ml"]) for item in words["lesions"]
    )
    n_z, n_y, n_x = words["shape"]
    places = {name: _triple(mm) for name, mm in words["places"].items()}
    grid = (n_z, n_y, n_x), _triple(words["spacing"]), _triple(words["origin"])
    return Outlines(*grid, lesions, places)


def _triple(values: list[float]) -> Triple:
    first, second, third = values
    return first, second, third


def _places(maps: dict[str, Array], scan: PreparedScan) -> dict[str, Triple]:
    """The middle of the slice with most of each structure; nothing for what is not there."""
    structures = {
        "pleural_effusion": maps["effusion"],
        "lung_volume": scan.lungs.astype(np.float32),
        "muscle": _below_shoulders(maps["muscle"], scan),
    }
    found = {name: _thickest(share, scan) for name, share in structures.items()}
    return {name: place for name, place in found.items() if place is not None}


def _below_shoulders(muscle: Array, scan: PreparedScan) -> Array:
    """The shoulders hold most muscle and say least: one looks at the middle of the lungs."""
    rows = np.flatnonzero(scan.lungs.any(axis=(1, 2)))
    if rows.size == 0:
        return np.zeros_like(muscle)
    kept = np.zeros_like(muscle)
    kept[rows[len(rows) // 2]] = muscle[rows[len(rows) // 2]]
    return kept


def _thickest(share: Array, scan: PreparedScan) -> Triple | None:
    amounts = np.where(share >= 0.5, share, 0).sum(axis=(1, 2))
    if amounts.max() <= 0:
        return None
    k = int(amounts.argmax())
    j, i = ndimage.center_of_mass(np.where(share[k] >= 0.5, share[k], 0))
    z, y, x = np.array(scan.origin) + np.array([k, j, i]) * np.array(scan.spacing)
    return float(x), float(y), float(z)


# --- What moved the answer ------------------------------------------------------------------


@dataclass(frozen=True)
class SaliencyGrid:
    """Where the saliency of one scan lies; ``(z, y, x)``, the origin as in `Outlines`.

    Attributes:
        strongest: Where it is strongest, ``(x, y, z)`` in mm; ``None`` where there is none.
    """

    shape: tuple[int, int, int]
    spacing: Triple
    origin: Triple
    strongest: Triple | None


def saliency_key(pair_key: str, visit: int, workshop: Workshop) -> str:
    """Under which name the cache keeps the saliency of a pair's scan, 0 or 1, as int8."""
    return f"overlay-saliency-{pair_key}-{visit}-{workshop.model_version}-{_WAY}".lower()


def find_saliency(pair_key: str, workshop: Workshop) -> tuple[SaliencyGrid, SaliencyGrid] | None:
    """What `draw_saliency` kept of this pair, or ``None``."""
    if workshop.cache is None:
        return None
    found = []
    for visit in (0, 1):
        arrays = workshop.cache.part(saliency_key(pair_key, visit, workshop), ("words",))
        if arrays is None:
            return None
        words = json.loads(arrays["words"].tobytes())
        strongest = words["strongest"] and _triple(words["strongest"])
        n_z, n_y, n_x = words["shape"]
        grid = (n_z, n_y, n_x), _triple(words["spacing"]), _triple(words["origin"])
        found.append(SaliencyGrid(*grid, strongest))
    return found[0], found[1]


def draw_saliency(
    pair: ScanPair, pair_key: str, workshop: Workshop, model: Callable[[], Explainer]
) -> None:
    """Keep the saliency of both scans in the cache, as a browser fetches it.

    The model sees 3 mm; a finer map would take fifty times the room and show nothing more.
    """
    if workshop.cache is None:
        return
    scans = pair.baseline, pair.follow_up
    for visit, (scan, found) in enumerate(zip(scans, explain(pair, workshop, model), strict=True)):
        spacing = workshop.config.prepare.spacing_mm
        values, origin = downsample(found.values, scan.spacing, spacing)
        whole = np.rint(np.clip(values, -1, 1) * 127).astype(np.int8)
        words = {
            "shape": whole.shape,
            "spacing": spacing,
            "origin": origin,
            "strongest": _strongest(whole, spacing, origin),
        }
        kept = np.frombuffer(json.dumps(words).encode(), np.uint8)
        workshop.cache.put(saliency_key(pair_key, visit, workshop), {**pack(whole), "words": kept})


def _strongest(values: npt.NDArray[np.int8], spacing: Triple, origin: Triple) -> Triple | None:
    """The middle of the strongest spot: single voxels are levelled, plateaus get a top."""
    amounts = ndimage.gaussian_filter(np.abs(values.astype(np.float32)), _SPOT_VOXELS)
    if amounts.max() <= 0:
        return None
    index = np.array(np.unravel_index(amounts.argmax(), amounts.shape))
    z, y, x = np.array(origin) + index * np.array(spacing)
    return float(x), float(y), float(z)


def slab(key: str, number: int, workshop: Workshop) -> bytes | None:
    """One gzip'd slab of what the cache keeps under this key, or ``None``."""
    if workshop.cache is None:
        return None
    name = slab_name(number)
    arrays = workshop.cache.part(key, (name,))
    return arrays[name].tobytes() if arrays else None
