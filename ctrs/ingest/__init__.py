"""From files to a `Volume`: folders, archives, DICOM and image files in, Hounsfield units out."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from ctrs.config import IntakeConfig
from ctrs.errors import NoCtFound
from ctrs.ingest import image_file
from ctrs.ingest.inventory import survey, take_inventory
from ctrs.ingest.series import read_volume as read_dicom_volume
from ctrs.types import Inventory, Series, Volume

__all__ = ["read_scan", "read_volume", "take_inventory"]


def read_volume(series: Series, config: IntakeConfig) -> Volume:
    """One series in Hounsfield units, oriented to the patient; see `Volume`.

    Slices are sorted along their normal by Image Position (Patient), and their distance is
    measured there. Slice Location, Slice Thickness and Spacing Between Slices are not used:
    the first is optional, the others are no distances between neighbours, or wrong.

    Whatever lies below -1024 HU, and padding, becomes -1024. Identical copies of slices are
    dropped and noted in ``repairs``; any other irregularity is refused, never mended.

    Raises:
        InputRejected: With the reason that the inventory gives for a series not accepted, or
            because pixels are damaged (`NotHounsfield`: are no CT numbers).
    """
    if len(series.files) == 1 and image_file.is_image_file(series.files[0]):
        volume = image_file.read_volume(series.files[0], config)
        return replace(volume, header=series.header)  # by the name that the inventory gave it
    return read_dicom_volume(series.files, config)


def read_scan(
    path: Path, config: IntakeConfig, series_uid: str | None = None
) -> tuple[Inventory, Volume]:
    """The inventory of a path, and the volume of its best series or of the one named.

    The files of an archive are gone when this returns: of their series only the words remain.

    Raises:
        NoCtFound: No CT image, or no series of that UID.
        InputRejected: What is wrong with the series that came nearest to being used.
    """
    with tempfile.TemporaryDirectory(prefix="ctrs-") as scratch:
        found = survey(path, config, Path(scratch))
        series = (
            found.inventory.chosen if series_uid is None else _named(found.inventory, series_uid)
        )
        if series is None:
            raise found.fault
        return found.inventory, found.volume or read_volume(series, config)


def _named(inventory: Inventory, series_uid: str) -> Series:
    for series in inventory.series:
        if series.header.series_uid == series_uid:
            return series
    raise NoCtFound(
        f"None of the {len(inventory.series)} series has the UID that was asked for.",
        "Take the UID of a series from the inventory.",
    )
