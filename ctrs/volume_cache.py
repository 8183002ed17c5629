"""Scans on disk by content, so that a page can show again what was uploaded before."""

from __future__ import annotations

import json

import numpy as np

from ctrs.disk_cache import AnyArray, DiskCache
from ctrs.types import SeriesHeader, Volume


class VolumeCache:
    """Volumes by `Volume.sha256`: voxels in whole HU, the grid, and how the scan was made.

    Of the header only kernel, contrast and slice thickness are kept: nothing says whose scan
    it is or when it was made.
    """

    def __init__(self, cache: DiskCache) -> None:
        self._cache = cache

    def put(self, volume: Volume) -> None:
        """Keep this volume under its ``sha256``."""
        header = volume.header
        words = {
            "slice_thickness_mm": header.slice_thickness_mm,
            "repairs": volume.repairs,
        }
        arrays: dict[str, AnyArray] = {
            # Exactly what the sha256 is made of, so that it names the copy as well.
            "voxels": np.rint(volume.hu).astype("<i2"),
            "spacing": np.array(volume.spacing, np.float64),
            "origin": np.array(volume.origin, np.float64),
            "direction": np.array(volume.direction, np.float64),
            "words": np.frombuffer(json.dumps(words).encode(), np.uint8),
        }
        self._cache.put(volume.sha256, arrays)

    def get(self, sha256: str) -> Volume | None:
        """The volume of this content, or ``None`` if it was never kept or had to make room."""
        arrays = self._cache.get(sha256)
        if arrays is None:
            return None
        words = json.loads(arrays["words"].tobytes())
        z, y, x = arrays["spacing"].tolist()
        x_mm, y_mm, z_mm = arrays["origin"].tolist()
        return Volume(
            hu=arrays["voxels"].astype(np.float32),
            spacing=(z, y, x),
            origin=(x_mm, y_mm, z_mm),
            direction=tuple(arrays["direction"].tolist()),
            header=SeriesHeader(
                slice_thickness_mm=words["slice_thickness_mm"],
            ),
            repairs=tuple(words["repairs"]),
        )

    def delete(self, sha256: str) -> None:
        """Forget this volume; nothing happens if it is not there."""
        self._cache.delete(sha256)
