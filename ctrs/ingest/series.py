"""The DICOM files of one series become one volume, or a reason why not."""

from __future__ import annotations

import filecmp
import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy import ndimage

from ctrs.config import IntakeConfig
from ctrs.errors import InputRejected, MissingSlices, NoCtFound, NotAVolume, NotHounsfield
from ctrs.ingest.dicom import (
    SECONDARY_CAPTURE,
    DicomFile,
    Image,
    Stored,
    decoded,
    read_header,
    translated,
)
from ctrs.ingest.geometry import (
    Layout,
    lay_out,
    outline,
    right_handed,
    stored_as,
    to_patient_axes,
)
from ctrs.ingest.neighbours import check_neighbours, without_blank_ends
from ctrs.ingest.values import AIR_HU, check_hounsfield, touching_border
from ctrs.types import Array, Triple, Volume

# Material maps of multi-energy CT come as CT images whose values are no CT numbers.
_HU_TYPES = {"", "HU", "US", "HU_MOD"}
# Both are allowed of CT: they say which end is shown white, not what the values are.
_GREY = ("MONOCHROME2", "MONOCHROME1")
# Slabs of the largest or smallest values of thin slices: vessels and noise make them, no tissue.
PROJECTIONS = {"MIP", "MINIP", "MAX_IP", "MIN_IP", "MPR_MIP", "PROJECTION IMAGE"}
AVERAGE = "AVERAGE"  # what a thick slice is, too: some scanners make theirs so
_MAX_LOCALIZERS = 2
# Decoders and arithmetic let go of Python's lock; more threads than cores only fight for it.
_CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
_THREADS = min(4, _CORES)
_MAX_DAYS_OF_A_SCAN = 1  # some scans begin before midnight

_EXPORT_AGAIN = "Export the whole series again from the archive, then try again."
_CHOOSE_CT = "Choose the folder of a chest CT series (files usually end in .dcm)."


@dataclass(frozen=True)
class Stack:
    """The images of one series that make a volume, and how they lie."""

    files: tuple[DicomFile, ...]
    images: tuple[Image, ...]
    layout: Layout

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files from feet to head, duplicates behind the slice that they repeat."""
        twins: dict[int, list[int]] = {}
        for kept, twin in self.layout.duplicates:
            twins.setdefault(kept, []).append(twin)
        order = (i for kept in self.layout.order for i in (kept, *twins.get(kept, ())))
        return tuple(dict.fromkeys(self.images[i].path for i in order))


def split_foreign(files: Sequence[DicomFile]) -> tuple[list[DicomFile], list[DicomFile]]:
    """The CT files of a series, and those of other kinds that carry its UID (dose reports, say).

    A slice that only calls itself something else leaves a gap, for which the series is refused.
    """
    foreign = [file for file in files if _is_foreign(file)]
    if len(foreign) == len(files):
        return foreign, []
    return [file for file in files if not _is_foreign(file)], foreign


def _is_foreign(file: DicomFile) -> bool:
    return is_screenshot(file) or file.header.modality not in ("CT", "")  # "" may be a slice


def is_screenshot(file: DicomFile) -> bool:
    return file.sop_class.startswith(SECONDARY_CAPTURE)


def split_localizers(
    files: Sequence[DicomFile],
) -> tuple[list[DicomFile], list[DicomFile]]:
    """The files of a series without its few localizers, and those localizers.

    One or two overview images that share the series UID with the slices are set aside. More
    than that, or nothing else, is left as it is: the series is then not what it seems.
    """
    localizers = [file for file in files if file.is_localizer]
    if len(localizers) <= _MAX_LOCALIZERS and 2 * len(localizers) < len(files):
        return [file for file in files if not file.is_localizer], localizers
    return list(files), []


def split_acquisitions(files: Sequence[DicomFile], fault: InputRejected) -> list[list[DicomFile]]:
    """The acquisitions (phases, or moments of a breath) of a series that is no volume as a whole.

    Each may be one by itself. Fewer than two come back where nothing may be split: the files do
    not say, they are of two people or days, or slices are missing from one long stack that was
    acquired in turns.

    Args:
        fault: Why the series as a whole is refused.
    """
    parts: dict[str, list[DicomFile]] = {}
    for file in files:
        turns = _by_turn(file)
        if not isinstance(fault, NotAVolume) or "" in turns or not turns:
            return []
        for turn, images in turns.items():
            parts.setdefault(turn, []).append(replace(file, images=tuple(images)))
    try:
        _check_one_origin(files)
    except InputRejected:
        return []
    found = [parts[turn] for turn in sorted(parts, key=_in_numbers)]
    return [] if isinstance(fault, MissingSlices) and not _overlap(found) else found


def _by_turn(file: DicomFile) -> dict[str, list[Image]]:
    """The images of a file by their acquisition; the frames of enhanced CT may be of several."""
    turns: dict[str, list[Image]] = {}
    for image in file.images:
        turns.setdefault(image.acquisition, []).append(image)
    return turns


def _in_numbers(turn: str) -> list[tuple[int, str]]:
    """Sorts 2 before 10."""
    return [(len(part), part) for part in turn.split("/")]


def _overlap(parts: Sequence[Sequence[DicomFile]]) -> bool:
    """Whether two of them show the same part of the body."""
    heights = [[_height(image) for file in part for image in file.images] for part in parts]
    spans = sorted((min(part), max(part)) for part in heights)
    return any(low < high for (_, high), (low, _) in pairwise(spans))


def stack(files: Sequence[DicomFile], config: IntakeConfig) -> Stack:
    """Make sure that the files of one series form a CT volume, from their headers.

    Pixels are read in one case only: two images at one place are the same, or a fault.

    Raises:
        NoCtFound: Not CT images at all.
        NotHounsfield: The header says that the values are something else.
        NotAVolume: CT images that do not form one regular axial volume, and its subclasses.
        InputRejected: Compressed in a way that cannot be read.
    """
    for file in files:
        _check_kind(file)
    images = [image for file in files for image in file.images]
    if unplaced := sum(image.plane is None for image in images):
        raise NotAVolume(
            f"{unplaced} of {len(images)} images do not say where in the patient they lie.",
            "Export the series again, with image positions.",
        )
    _check_one_origin(files)
    layout = lay_out([image.plane for image in images if image.plane], config)
    found = Stack(tuple(files), tuple(images), layout)
    _check_size(found, config)
    _check_duplicates(found, config)
    _check_acquisitions(found)
    return found


def extent(files: Sequence[DicomFile]) -> tuple[tuple[int, int, int], Triple]:
    """Shape and spacing, ``(z, y, x)``, of a series that is no volume; zeros if unknown."""
    planes = [image.plane for file in files for image in file.images]
    placed = [plane for plane in planes if plane]
    return outline(placed if len(placed) == len(planes) else [])


def _check_one_origin(files: Sequence[DicomFile]) -> None:
    """Refuse files under one series UID that are of two people, two days or two scales."""
    headers = [file.header for file in files]
    if len({(h.patient_id, h.patient_birth_date, h.patient_sex) for h in headers}) > 1:
        raise NotAVolume("The images of one series name more than one patient.", _EXPORT_AGAIN)
    days = [header.acquired_on for header in headers if header.acquired_on]
    if days and (apart := (max(days) - min(days)).days) > _MAX_DAYS_OF_A_SCAN:
        raise NotAVolume(
            f"The images of one series were acquired up to {apart} days apart.", _EXPORT_AGAIN
        )
    images = [image for file in files for image in file.images]
    without = sum(not image.has_rescale for image in images)
    if 0 < without < len(images):
        raise NotHounsfield(
            f"{without} of {len(images)} images have no rescale slope or no intercept and the "
            "others have both: the slices are on different scales.",
            _EXPORT_AGAIN,
        )


def _check_size(found: Stack, config: IntakeConfig) -> None:
    """Refuse what memory cannot hold, and small files that announce a large volume."""
    rows, columns = found.layout.shape[1:]
    voxels = len(found.images) * rows * columns
    on_disk = sum(file.path.stat().st_size for file in found.files)
    too_large = 4 * voxels > config.max_volume_bytes
    if too_large or 2 * voxels > config.max_compression_ratio * on_disk:
        raise NotAVolume(
            f"{len(found.images)} images of {rows} × {columns} pixels are more than "
            + ("can be held." if too_large else f"{on_disk:,} bytes can hold."),
            "Send a reconstruction with fewer slices.",
        )


def _check_acquisitions(found: Stack) -> None:
    """Refuse acquisitions that alternate: two phases, shuffled, may look like one fine stack."""
    turns = [found.images[index].acquisition for index in found.layout.order]
    ends = [at for at, (one, other) in enumerate(pairwise(turns), 1) if one != other]
    begun: set[str] = set()
    for start, turn in ((at, turns[at]) for at in (0, *ends)):
        if turn in begun:
            raise NotAVolume(
                f"The series mixes the slices of {len(set(turns))} acquisitions (phases, or times "
                "of a breath); the first that is out of turn lies at "
                f"{_height(found.images[found.layout.order[start]]):.1f} mm.",
                "Choose a series with a single phase.",
            )
        begun.add(turn)


def _check_kind(file: DicomFile) -> None:
    """Refuse what is no CT image in Hounsfield units, by what its header says."""
    if is_screenshot(file):
        raise NoCtFound("The series holds screenshots (secondary capture), no CT data.", _CHOOSE_CT)
    if file.header.modality != "CT":
        kind = file.header.modality or "of no named modality"
        raise NoCtFound(f"The series is {kind}; CT is expected.", _CHOOSE_CT)
    if not file.images:
        raise NoCtFound("The series holds no image.", _CHOOSE_CT)
    if file.cut_short:
        raise InputRejected(
            f"A file of the series is cut short: {file.cut_short}.",
            "Export the whole series again.",
        )
    if file.samples != 1 or file.photometric not in _GREY:
        kind = file.photometric or "of no named kind"
        raise NoCtFound(f"The images are {kind}; MONOCHROME2 is expected of CT.", _CHOOSE_CT)
    if file.is_localizer:
        raise NotAVolume(
            "The series holds localizers (overview images); axial slices are expected.",
            _CHOOSE_CT,
        )
    if kinds := sorted(PROJECTIONS & set(file.image_type)):
        raise NotAVolume(
            f"The images are projections ({kinds[0]}): each shows the extreme values of several "
            "slices.",
            "Choose a series of plain slices of the same study.",
        )
    if not file.can_be_decoded:
        raise InputRejected(
            f"The images are compressed as {file.compression}, which cannot be read.",
            "Export the series uncompressed or with lossless compression.",
        )
    _check_rescale(file)


def _check_rescale(file: DicomFile) -> None:
    for image in file.images:
        if image.rescale_type not in _HU_TYPES or image.slope == 0:
            raise NotHounsfield(
                f"The images hold values of type {image.rescale_type or 'unknown'} (slope "
                f"{image.slope:g}); Hounsfield units are expected.",
                "Choose the ordinary CT reconstruction of the same study.",
            )


def _check_duplicates(found: Stack, config: IntakeConfig) -> None:
    """Refuse two different images at one place: phases of a moving organ, or a mix-up."""
    for kept, twin in found.layout.duplicates:
        one, other = found.images[kept], found.images[twin]
        if _same_bytes(one, other):
            continue
        holders = {image: file for file in found.files for image in file.images}
        with translated(f"The image at {_height(one):.1f} mm cannot be decoded (%s)."):
            first, second = (next(decoded(holders[i], [i], config)) for i in (one, other))
        if _scale(one) != _scale(other) or not np.array_equal(first, second):
            raise NotAVolume(
                f"{len(found.layout.duplicates) + 1} images share a place with another one; the "
                f"first two that differ lie at {_height(one):.1f} mm.",
                "Choose a series with a single phase.",
            )


def _scale(image: Image) -> tuple[float, float]:
    return image.slope, image.intercept


def _same_bytes(one: Image, other: Image) -> bool:
    return one.frame == other.frame and filecmp.cmp(one.path, other.path, shallow=False)


# --- Pixels --------------------------------------------------------------------------------


def read_volume(paths: Sequence[Path], config: IntakeConfig) -> Volume:
    """The files of one series as a `Volume`.

    Raises:
        InputRejected: As `read_header` and `stack`, or an image that cannot be decoded.
        NotHounsfield: The values cannot be CT numbers.
        NotAVolume: A slice does not fit between its neighbours.
    """
    files, _ = split_foreign([read_header(path, config) for path in paths])
    files, _ = split_localizers(files)
    return read_stack(stack(files, config), config)


def read_stack(found: Stack, config: IntakeConfig) -> Volume:
    """As `read_volume`, for a series whose headers were read and judged already."""
    layout = found.layout
    hu = np.empty(layout.shape, np.float32)
    slots = {found.images[index]: slot for slot, index in enumerate(layout.order)}

    def fill(file: DicomFile) -> None:
        images = [image for image in file.images if image in slots]
        if not images:
            return
        with translated(f"The image at {_height(images[0]):.1f} mm cannot be decoded (%s)."):
            for image, stored in zip(images, decoded(file, images, config), strict=True):
                slot = slots[image]
                _place(stored, image, hu[slot], layout.shifts[slot] if layout.shifts else None)

    heights = np.array([_height(found.images[index]) for index in layout.order])
    with ThreadPoolExecutor(_THREADS) as pool:
        deque(pool.map(fill, found.files), maxlen=0)
        neighbours = pool.submit(check_neighbours, hu, heights)
        check_hounsfield(hu)  # meanwhile; what it finds is told first
        interpolated = neighbours.result()
    voxels, spacing, origin, direction = to_patient_axes(
        hu, layout.spacing, layout.origin, layout.direction, config
    )
    header = found.files[0].header
    doubts = (*_doubts(found), *interpolated)
    # Files of slices have no order among them: it is that in which DICOM readers put them.
    turned = stored_as(right_handed(layout.direction))
    return without_blank_ends(
        Volume(voxels, spacing, origin, direction, header, _repairs(found), doubts, turned),
        config,
    )


def _height(image: Image) -> float:
    return image.plane.position[2] if image.plane else 0.0


def _repairs(found: Stack) -> tuple[str, ...]:
    repairs = []
    if twins := len(found.layout.duplicates):
        repairs.append(f"identical copies of slices dropped: {twins}")
    if tilt := found.layout.tilt_deg:
        repairs.append(
            f"gantry tilt of {tilt:.1f}° undone: each slice moved to its true place, "
            "interpolated within its plane only"
        )
    return tuple(repairs)


def _doubts(found: Stack) -> tuple[str, ...]:
    doubts = []
    if any(not image.has_rescale for image in found.images):
        doubts.append(
            "No rescale slope or no intercept in the files: stored values taken as they are"
        )
    if any(file.is_lossy for file in found.files):
        doubts.append("The images were compressed with loss, now or at some time before")
    if any(AVERAGE in file.image_type for file in found.files):
        doubts.append("The files say that their slices are averages of thinner ones")
    if any(file.burned_in for file in found.files):
        doubts.append("The files say that text is burned into the pictures; it may name somebody")
    if (origins := len({file.frame_of_reference for file in found.files} - {""})) > 1:
        doubts.append(
            f"The slices have {origins} frames of reference: their positions may be measured from "
            "different places"
        )
    return tuple(doubts)


def _place(stored: Stored, image: Image, out: Array, shift: tuple[float, float] | None) -> None:
    """Fill a slice of the grid with HU, moved by (rows, columns) where the stack leans."""
    if shift is None:
        _to_hu(stored, image, out)
        return
    rows, columns = image.shape
    slice_hu = np.full_like(out, AIR_HU)
    _to_hu(stored, image, slice_hu[:rows, :columns])
    ndimage.shift(slice_hu, shift, out, order=1, mode="constant", cval=AIR_HU)


def _to_hu(stored: Stored, image: Image, out: Array) -> None:
    """Fill ``out`` with HU: rescaled, and air where nothing was measured."""
    if image.slope == 1:  # once through the memory less
        np.add(stored, np.float32(image.intercept), out=out)
    else:
        np.multiply(stored, np.float32(image.slope), out=out)
        out += np.float32(image.intercept)
    if image.padding is not None and _padding_shows(image):
        low, high = image.padding
        out[touching_border((stored >= low) & (stored <= high))] = AIR_HU
    np.maximum(out, AIR_HU, out=out)


def _padding_shows(image: Image) -> bool:
    """Whether padding would be taken for tissue; below -1024 HU it becomes air anyway."""
    ends = image.padding or (0, 0)
    return any(end * image.slope + image.intercept > AIR_HU for end in ends)
