"""Scans on disk by content, so that a page can show again what was uploaded before."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from ctrs.disk_cache import AnyArray, DiskCache
from ctrs.slabs import pack, slab_name, slices_a_slab, unpack
from ctrs.types import SeriesHeader, Triple, Volume

_VOXEL_BYTES = 2


@dataclass(frozen=True)
class Grid:
    """Where the voxels of a kept scan lie.

    Attributes:
        shape, spacing: ``(z, y, x)``; mm.
        origin, direction: As in `Volume`.
    """

    shape: tuple[int, int, int]
    spacing: Triple
    origin: Triple
    direction: tuple[float, ...]

    @property
    def slices_a_slab(self) -> int:
        return slices_a_slab(self.shape, _VOXEL_BYTES)


class VolumeCache:
    """Volumes by `Volume.sha256`: voxels in whole HU, the grid, and how the scan was made.

    The voxels lie there as a browser fetches them, in compressed slabs. Of the header only the
    slice thickness is kept: nothing says whose scan it is or when it was made.
    """

    def __init__(self, cache: DiskCache) -> None:
        self._cache = cache

    def put(self, volume: Volume) -> None:
        """Keep this volume under its ``sha256``."""
        words = {
            "slice_thickness_mm": volume.header.slice_thickness_mm,
            "repairs": volume.repairs,
        }
        arrays: dict[str, AnyArray] = {
            # Exactly what the sha256 is made of, so that it names the copy as well.
            **pack(np.rint(volume.hu).astype("<i2")),
            "spacing": np.array(volume.spacing, np.float64),
            "origin": np.array(volume.origin, np.float64),
            "direction": np.array(volume.direction, np.float64),
            "words": np.frombuffer(json.dumps(words).encode(), np.uint8),
        }
        self._cache.put(volume.sha256, arrays)

    def get(self, sha256: str) -> Volume | None:
        """The volume of this content, or ``None`` if it was never kept or had to make room."""
        arrays = self._cache.get(sha256)
        if arrays is None or "shape" not in arrays:  # or kept in an older way
            return None
        words = json.loads(arrays["words"].tobytes())
        grid = _grid(arrays)
        return Volume(
            hu=unpack(arrays).astype(np.float32),
            spacing=grid.spacing,
            origin=grid.origin,
            direction=grid.direction,
            header=SeriesHeader(
                slice_thickness_mm=words["slice_thickness_mm"],
            ),
            repairs=tuple(words["repairs"]),
        )

    def grid(self, sha256: str) -> Grid | None:
        """Where this volume's voxels lie, without reading them; ``None`` as in `get`."""
        arrays = self._cache.part(sha256, ("shape", "spacing", "origin", "direction"))
        return _grid(arrays) if arrays else None

    def slab(self, sha256: str, number: int) -> bytes | None:
        """One slab, gzip'd, of int16 HU; ``None`` if there is no such volume or slab."""
        name = slab_name(number)
        arrays = self._cache.part(sha256, (name,))
        return arrays[name].tobytes() if arrays else None

    def delete(self, sha256: str) -> None:
        """Forget this volume; nothing happens if it is not there."""
        self._cache.delete(sha256)


def _grid(arrays: dict[str, AnyArray]) -> Grid:
    n_z, n_y, n_x = arrays["shape"].tolist()
    z, y, x = arrays["spacing"].tolist()
    x_mm, y_mm, z_mm = arrays["origin"].tolist()
    direction = tuple(arrays["direction"].tolist())
    return Grid((n_z, n_y, n_x), (z, y, x), (x_mm, y_mm, z_mm), direction)
