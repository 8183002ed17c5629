"""From files to a `Volume`: folders, archives, DICOM and image files in, Hounsfield units out."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from ctrs.config import IntakeConfig
from ctrs.errors import NotHounsfield, about
from ctrs.ingest import image_file
from ctrs.ingest.choice import alike, named, without_chosen
from ctrs.ingest.inventory import Survey, survey, take_inventory
from ctrs.ingest.series import read_stack
from ctrs.ingest.series import read_volume as read_dicom_volume
from ctrs.types import Inventory, Series, Volume

__all__ = ["NAMES", "read_pair", "read_scan", "read_volume", "take_inventory"]

NAMES = ("Baseline CT", "Follow-up CT")  # of the two scans of a pair, in this order


def read_volume(series: Series, config: IntakeConfig) -> Volume:
    """One series in Hounsfield units, oriented to the patient; see `Volume`.

    Slices are sorted along their normal by Image Position (Patient), and their distance is
    measured there. Slice Location, Slice Thickness and Spacing Between Slices are not used:
    the first is optional, the others are no distances between neighbours, or wrong.

    Whatever lies below -1024 HU, and padding, becomes -1024. Identical copies of slices are
    dropped, and slices of a tilted gantry are moved within their planes to where they were
    measured; both are noted in ``repairs``. Any other irregularity is refused, never mended.
    Acquisitions that share a file (enhanced CT) are refused here; `read_scan` takes them apart.

    Raises:
        InputRejected: With the reason that the inventory gives for a series not accepted, or
            because pixels are damaged (`NotHounsfield`: are no CT numbers).
    """
    if len(series.files) == 1 and image_file.is_image_file(series.files[0]):
        volume = image_file.read_volume(series.files[0], config)
    else:
        volume = read_dicom_volume(series.files, config)
    return replace(volume, header=series.header)  # by the name that the inventory gave it


def read_scan(
    path: Path, config: IntakeConfig, series_uid: str | None = None
) -> tuple[Inventory, Volume]:
    """The inventory of a path, and the volume of its best series or of the one named.

    The files of an archive are gone when this returns: of their series only the words remain.

    Raises:
        NoCtFound: No CT image, or no series of that UID.
        SeveralScans: Usable series of more than one patient or day, and none was named.
        InputRejected: What is wrong with the series that came nearest to being used.
    """
    with tempfile.TemporaryDirectory(prefix="ctrs-") as scratch:
        found = survey(path, config, Path(scratch))
        return _read(found, _choice(found, series_uid), config)


def read_pair(
    paths: tuple[Path, Path],
    config: IntakeConfig,
    series_uids: tuple[str | None, str | None] = (None, None),
) -> tuple[tuple[Inventory, Volume], tuple[Inventory, Volume]]:
    """As `read_scan` for a baseline and a follow-up scan, at once.

    Where nothing is named, the same kind of reconstruction is preferred for both. Errors say
    which of the two scans they are about.
    """
    with tempfile.TemporaryDirectory(prefix="ctrs-") as scratch, ThreadPoolExecutor(2) as pool:
        folders = [Path(scratch) / name for name in ("baseline", "follow_up")]
        for folder in folders:
            folder.mkdir()
        surveys = list(pool.map(_survey_named, NAMES, paths, (config, config), folders))
        chosen = [_choice_named(*each) for each in zip(NAMES, surveys, series_uids, strict=True)]
        if series_uids == (None, None):
            fit = surveys[0].as_fit, surveys[1].as_fit
            chosen = list(alike(chosen[0], chosen[1], fit))
        first, second = pool.map(_read_named, NAMES, surveys, chosen, (config, config))
        return first, second


def _survey_named(name: str, path: Path, config: IntakeConfig, scratch: Path) -> Survey:
    with about(name):
        return survey(path, config, scratch)


def _choice_named(name: str, found: Survey, series_uid: str | None) -> Inventory:
    with about(name):
        return _choice(found, series_uid)


def _read_named(
    name: str, found: Survey, inventory: Inventory, config: IntakeConfig
) -> tuple[Inventory, Volume]:
    with about(name):
        inventory, volume = _read(found, inventory, config)
        volume.sha256  # noqa: B018 - hashed here, where the other scan is still being read
        return inventory, volume


def _choice(found: Survey, series_uid: str | None) -> Inventory:
    if series_uid is not None:
        return named(found.inventory, series_uid)
    if found.inventory.chosen is None or found.inventory.doubt:
        raise found.fault
    return found.inventory


def _read(found: Survey, inventory: Inventory, config: IntakeConfig) -> tuple[Inventory, Volume]:
    """The chosen series, or the next best where its values are no CT numbers: headers hide that."""
    if inventory.chosen is None:
        raise found.fault
    try:
        return inventory, _read_series(found, inventory.chosen, config)
    except NotHounsfield as fault:
        other = without_chosen(inventory, fault.what, found.as_fit)
        if other is None:
            raise
    return _read(found, other, config)


def _read_series(found: Survey, series: Series, config: IntakeConfig) -> Volume:
    judged = found.stacks.get(series.header.series_uid)
    if judged is not None:
        return _with_loss(read_stack(judged, config), found.lost.get(series.header.series_uid, 0))
    return found.volume or read_volume(series, config)


def _with_loss(volume: Volume, lost: int) -> Volume:
    """With the doubt that slices are missing at an end, if files beside them cannot be read."""
    if not lost:
        return volume
    files = "1 file beside the slices" if lost == 1 else f"{lost} files beside the slices"
    doubt = f"{files} cannot be read: slices may be missing at an end of the scan"
    return replace(volume, doubts=(*volume.doubts, doubt))
