"""DICOM: what the headers say, and the pixels behind them. The only reader through pydicom.

Nothing that pydicom, or a decoder under it, raises escapes from here: see `translated`.
"""

from __future__ import annotations

import logging
import struct
import tempfile
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from functools import lru_cache
from hashlib import sha256
from io import BytesIO
from os import SEEK_END
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pydicom
import pydicom.config
import SimpleITK as sitk
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.filereader import _read_file_meta_info, read_preamble
from pydicom.pixels.utils import pixel_array
from pydicom.tag import BaseTag, Tag

from ctrs.config import IntakeConfig
from ctrs.errors import CtrsError, InputRejected
from ctrs.ingest.archive import other_archive
from ctrs.ingest.geometry import FARTHEST_MM, Plane
from ctrs.ingest.text import MODALITIES, PHOTOMETRIC, RESCALED, printable, term
from ctrs.types import Floats, SeriesHeader

# Values that break the rules are common and mostly harmless, and pydicom quotes them in its
# warnings: a name or an identifier must not reach a log. The settings are the process's own, so
# that threads need no lock.
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
warnings.filterwarnings("ignore", module=r"pydicom\b")
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
sitk.ProcessObject.SetGlobalWarningDisplay(False)

Stored: TypeAlias = npt.NDArray[Any]  # integers as they are in the file

_NATIVE = ""
_BY_SIMPLEITK = "SimpleITK"
# Which decoder is asked, never "whichever is installed": some are licensed under the GPL.
_DECODERS = {
    uid.ImplicitVRLittleEndian: _NATIVE,
    uid.ExplicitVRLittleEndian: _NATIVE,
    uid.ExplicitVRBigEndian: _NATIVE,
    uid.DeflatedExplicitVRLittleEndian: _NATIVE,
    uid.RLELossless: "pydicom",
    uid.JPEGLSLossless: _BY_SIMPLEITK,  # other decoders hold Python's lock
    uid.JPEGLSNearLossless: "pyjpegls",
    uid.JPEG2000Lossless: _BY_SIMPLEITK,
    uid.JPEG2000: _BY_SIMPLEITK,
    uid.HTJ2KLossless: "pylibjpeg",
    uid.HTJ2KLosslessRPCL: "pylibjpeg",
    uid.HTJ2K: "pylibjpeg",
    uid.JPEGLossless: _BY_SIMPLEITK,
    uid.JPEGLosslessSV1: _BY_SIMPLEITK,
}
_UNCOMPRESSED = {
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
}
_LOSSY = {uid.JPEGLSNearLossless, uid.JPEG2000, uid.HTJ2K}
CT_CLASSES = (
    uid.CTImageStorage,
    uid.EnhancedCTImageStorage,
    uid.LegacyConvertedEnhancedCTImageStorage,
)
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_NO_FRAME_HEADER = {0xFFC4, 0xFFC8, 0xFFCC}  # JPEG markers between SOF0 and SOF15
_MAX_INFLATED_BYTES = 1024**3
_CHUNK = 1024**2
_SHORT_VRS = (b"UL", b"UI", b"SH", b"AE")  # of the meta group, with two bytes of length
_PIXEL_DATA = b"\xe0\x7f\x10\x00"
_PIECE, _LAST_PIECE = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"  # of compressed pixels
_PACKED_PIXELS = b"\xe0\x7f\x10\x00OB\x00\x00\xff\xff\xff\xff"  # the element that holds them
_PIXEL_FACTS = (
    "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
)  # fmt: skip
_UNDEFINED = 0xFFFFFFFF
_MAX_PIECES = 100_000  # that are followed; a frame has one, or a few


def _tags(*keywords: str) -> list[BaseTag]:
    """As pydicom wants them: from words it would look each up again for every file."""
    return [Tag(keyword) for keyword in keywords]


_HEADER_TAGS = _tags(
    "AcquisitionDate", "AcquisitionDateTime", "AcquisitionNumber", "BitsAllocated",
    "BitsStored", "BodyPartExamined", "BurnedInAnnotation", "Columns",
    "ContentDate", "ContrastBolusAgent", "ConvolutionKernel", "FrameOfReferenceUID", "HighBit",
    "ImageOrientationPatient",
    "ImagePositionPatient", "ImageType", "LossyImageCompression", "Manufacturer", "Modality",
    "ModalityLUTSequence", "NumberOfFrames", "PatientBirthDate", "PatientID", "PatientSex",
    "PerFrameFunctionalGroupsSequence", "PhotometricInterpretation", "PixelPaddingRangeLimit",
    "PixelPaddingValue", "PixelRepresentation", "PixelSpacing", "RescaleIntercept",
    "RescaleSlope", "RescaleType", "Rows", "SamplesPerPixel", "SOPClassUID", "SeriesDate",
    "SeriesDescription", "SeriesInstanceUID", "SharedFunctionalGroupsSequence",
    "SeriesNumber", "SliceThickness", "StudyDate", "StudyInstanceUID",
    "TemporalPositionIdentifier",
)  # fmt: skip
_OUTLINE_TAGS = _tags(
    "ROIContourSequence", "StructureSetROISequence",
)  # fmt: skip
_PIXEL_TAGS = _tags(
    "BitsAllocated", "BitsStored", "Columns", "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths", "HighBit", "NumberOfFrames", "PhotometricInterpretation",
    "PixelData", "PixelRepresentation", "PlanarConfiguration", "Rows", "SamplesPerPixel",
)  # fmt: skip

_POSITION, _MOMENT = _tags("ImagePositionPatient", "AcquisitionDateTime")
_DAY = 10  # characters of a moment that tell the day, with dots or without

_EXPORT_AGAIN = "Export the whole series again from the archive, then try again."
DAMAGED = "a damaged DICOM file"  # what a reason begins with
NO_DICOM = "neither a DICOM file nor an image volume"


@dataclass(frozen=True)
class Image:
    """One slice: a file, or one frame of a file.

    Attributes:
        plane: Where it lies; ``None`` if the file does not say.
        slope, intercept: Stored value to HU.
        padding: Stored values, from and to, that mean "nothing was measured here".
        acquisition: Which turn of the scanner, which moment of a repeated one or of the heartbeat,
            which stack of its file; ``""`` where the file does not say.
    """

    path: Path
    frame: int
    plane: Plane | None
    slope: float
    intercept: float
    rescale_type: str
    padding: tuple[int, int] | None
    acquisition: str = ""
    shape: tuple[int, int] = (0, 0)  # rows, columns
    has_rescale: bool = True  # slope and intercept stand in the file


@dataclass(frozen=True)
class PlainPixels:
    """Uncompressed little-endian pixels of 16 bits: where in the file, and how they are stored."""

    offset: int
    bits: int  # that count; those above hold anything
    signed: bool


class _PixelElement(NamedTuple):
    """Where the pixels stand in a file, and how many bytes of them are announced."""

    start: int
    announced: int


@dataclass(frozen=True)
class DicomFile:
    """The header of one file. ``images`` is empty where the file holds no image."""

    path: Path
    header: SeriesHeader
    sop_class: str
    transfer_syntax: str
    image_type: tuple[str, ...]
    photometric: str
    samples: int
    burned_in: bool  # text is part of the picture, by the file's own word
    images: tuple[Image, ...]
    was_lossy: bool = False  # compressed with loss at some time, by the file's own word
    cut_short: str = ""  # how, where the file is shorter than its pixels
    frame_of_reference: str = ""  # what its positions are measured from; "" if not said
    plain: PlainPixels | None = None  # where they can be read without pydicom
    raw: tuple[object, ...] = field(default=(), repr=False, compare=False)  # see `_raw`

    @property
    def can_be_decoded(self) -> bool:
        return self.transfer_syntax in _DECODERS

    @property
    def compression(self) -> str:
        """The transfer syntax in words."""
        name = uid.UID(self.transfer_syntax).name  # of unknown ones: the text in the file
        return name if name != self.transfer_syntax else "an unknown transfer syntax"

    @property
    def is_lossy(self) -> bool:
        return self.was_lossy or self.transfer_syntax in _LOSSY

    @property
    def is_localizer(self) -> bool:
        return "LOCALIZER" in self.image_type


# --- Headers --------------------------------------------------------------------------------


def read_header(path: Path, config: IntakeConfig, like: DicomFile | None = None) -> DicomFile:
    """What one file says about itself; its pixels stay on disk.

    Args:
        like: A file read before. What both say in the same bytes is not worked out again: slices
            of a series differ in little but their position.

    Raises:
        InputRejected: Not DICOM, damaged, or too large to be a CT image. ``what`` is a short
            reason, without a path.
    """
    with translated(f"{DAMAGED} (%s)"):
        ds, end = _read(path, config, _HEADER_TAGS)
        if ds.file_meta.get("MediaStorageSOPClassUID") == uid.MediaStorageDirectoryStorage:
            raise _unreadable("a DICOM directory (DICOMDIR), not an image")
        raw = _raw(ds)  # before anything is converted
        again = like is not None and raw and raw == like.raw
        pixels = _pixel_element(path, ds, end)
        cut_short = _cut_short(path, ds, end, pixels)
        found = _moved(like, path, ds) if like and again else _parse(path, ds, config, cut_short)
        return replace(found, cut_short=cut_short, plain=_plain(ds, pixels), raw=raw)


def _raw(ds: Dataset) -> tuple[object, ...]:
    """All that was read but the position, as it is in the file; empty where there is more to it."""
    tags = ds.keys()  # a loop over the dataset itself would convert each element
    elements = [ds.get_item(tag) for tag in tags if tag != _POSITION]
    if ds.get("NumberOfFrames") or any(element.VR == "SQ" for element in elements):
        return ()
    told = ((e.tag, e.VR, e.value[:_DAY] if e.tag == _MOMENT else e.value) for e in elements)
    return (ds.file_meta.TransferSyntaxUID, ds.original_encoding, *told)


def _moved(like: DicomFile, path: Path, ds: Dataset) -> DicomFile:
    """The file, which says the same as another one but for its position."""
    if not like.images:
        return replace(like, path=path)
    image, position = like.images[0], _position(ds, ())
    if image.plane and len(position) == 3:
        x, y, z = position
        plane: Plane | None = replace(image.plane, position=(x, y, z))
    else:
        plane = _plane(ds, ())
    return replace(like, path=path, images=(replace(image, path=path, plane=plane),))


@contextmanager
def translated(reason: str) -> Iterator[None]:
    """Turn whatever the libraries raise into a reason, with what happened for ``%s``.

    Files that are cut, altered or hostile make pydicom and the decoders raise nearly anything,
    RecursionError included. ``from None``: their words quote the file and may identify.
    """
    try:
        yield
    except CtrsError:
        raise
    except Exception as fault:
        raise _unreadable(reason % _in_words(fault)) from None


def _in_words(fault: Exception) -> str:
    if isinstance(fault, MemoryError):
        return "it needs more memory than there is"
    if isinstance(fault, RecursionError):
        return "nested too deep"
    if isinstance(fault, (EOFError, struct.error)):
        return "it ends too early"
    return "its content breaks the rules of DICOM"


def _unreadable(reason: str) -> InputRejected:
    return InputRejected(reason, _EXPORT_AGAIN)


def _read(path: Path, config: IntakeConfig, tags: list[BaseTag] | None) -> tuple[Dataset, int]:
    """The elements named, or all, and where in the file reading ended."""
    with path.open("rb") as file:
        head = file.read(2048)
        # Old files start without preamble, with group 0002 or 0008 in either byte order.
        bare = head[128:132] != b"DICM"
        if bare and (kind := other_archive(head)):
            raise _unreadable(f"a {kind} archive; only zip archives are unpacked")
        if bare and head[:2] not in (b"\x02\x00", b"\x08\x00", b"\x00\x02", b"\x00\x08"):
            raise _unreadable(NO_DICOM)
        if _is_deflated(file, head, bare):
            _check_inflated_size(file, config)
        file.seek(0)
        ds = pydicom.dcmread(
            file, stop_before_pixels=tags is _HEADER_TAGS, specific_tags=tags, force=bare
        )
        end = file.tell()
    if "TransferSyntaxUID" not in ds.file_meta:
        ds.file_meta.TransferSyntaxUID = _guessed_syntax(ds)
    return ds, end


def read_dataset(path: Path, config: IntakeConfig) -> Dataset:
    """Everything in one file, for whoever writes it again.

    Raises:
        InputRejected: Not DICOM, or damaged.
    """
    with translated(f"{DAMAGED} (%s)"):
        return _read(path, config, None)[0]


def _guessed_syntax(ds: Dataset) -> uid.UID:
    implicit, little = ds.original_encoding
    if implicit:
        return uid.ImplicitVRLittleEndian
    return uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian


def _is_deflated(file: BinaryIO, head: bytes, bare: bool) -> bool:
    """Whether pydicom will inflate the file; if so, ``file`` stands where it will begin."""
    known = uid.DeflatedExplicitVRLittleEndian
    if known.encode() not in head and _holds_meta_group(head[0 if bare else 132 :]):
        return False
    file.seek(0)
    read_preamble(file, force=bare)
    # Read as pydicom does, whatever its length element says: or there would be a way around.
    return bool(_read_file_meta_info(file).get("TransferSyntaxUID") == known)


def _holds_meta_group(head: bytes) -> bool:
    """Whether the group 0002 in front is usual, and over within these bytes."""
    at = 0
    while head[at : at + 2] == b"\x02\x00":
        if head[at + 4 : at + 6] in _SHORT_VRS:
            at += 8 + int.from_bytes(head[at + 6 : at + 8], "little")
        elif head[at + 4 : at + 6] == b"OB":
            at += 12 + int.from_bytes(head[at + 8 : at + 12], "little")
        else:
            return False
    return at + 2 <= len(head)


def _check_inflated_size(file: BinaryIO, config: IntakeConfig) -> None:
    """Refuse a deflated file that is a bomb: pydicom would inflate it whole."""
    start = file.tell()
    packed_bytes = file.seek(0, SEEK_END) - start
    file.seek(start)
    limit = min(_MAX_INFLATED_BYTES, int(packed_bytes * config.max_compression_ratio))
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    written = 0
    while not inflate.eof and (packed := inflate.unconsumed_tail or file.read(_CHUNK)):
        written += len(inflate.decompress(packed, _CHUNK))
        if written > limit:
            raise _unreadable("a deflated file that unpacks to far more than an image")


def _pixel_element(path: Path, ds: Dataset, end: int) -> _PixelElement | None:
    """Of a little-endian file, whose header ends there; ``None`` if nothing is where it belongs."""
    implicit = ds.file_meta.TransferSyntaxUID == uid.ImplicitVRLittleEndian
    with path.open("rb", buffering=0) as file:
        file.seek(end)
        head = file.read(12)
    if head[:4] != _PIXEL_DATA or not (implicit or head[4:6] in (b"OW", b"OB")):
        return None
    announced = int.from_bytes(head[4:8] if implicit else head[8:12], "little")
    return _PixelElement(end + (8 if implicit else 12), announced)


def _cut_short(path: Path, ds: Dataset, end: int, pixels: _PixelElement | None) -> str:
    """How a CT image is shorter than its pixels; ``""`` if it is not, as far as can be told."""
    if not ds.get("Rows") or ds.get("Modality") != "CT":
        return ""
    found, syntax = path.stat().st_size, ds.file_meta.TransferSyntaxUID
    if pixels is not None and pixels.announced == _UNDEFINED:
        whole = _ends(path, pixels.start)
        return "" if whole else f"{found:,} bytes, the compressed image goes on beyond them"
    if found <= end and syntax != uid.DeflatedExplicitVRLittleEndian:
        return f"{found:,} bytes, and none of them of the image"
    if syntax not in _UNCOMPRESSED:
        return ""
    expected = _image_bytes(ds)
    if found < expected:
        return f"{found:,} bytes, the image alone has {expected:,}"
    there = min(pixels.announced, found - pixels.start) if pixels else expected
    return f"{there:,} of {expected:,} bytes of the image are there" if there < expected else ""


def _image_bytes(ds: Dataset) -> int:
    bits = (
        int(ds.get("NumberOfFrames") or 1) * int(ds.Rows) * int(ds.get("Columns") or 0)
        * int(ds.get("SamplesPerPixel") or 1) * int(ds.get("BitsAllocated") or 8)
    )  # fmt: skip
    return bits // 8


def _ends(path: Path, start: int) -> bool:
    """Whether the pieces of compressed pixels go on to the mark that ends them."""
    with path.open("rb", buffering=0) as file:
        for _ in range(_MAX_PIECES):
            file.seek(start)
            head = file.read(8)
            if head[:4] != _PIECE:
                return head[:4] == _LAST_PIECE
            start += 8 + int.from_bytes(head[4:], "little")
    return True  # for all one knows


def _plain(ds: Dataset, pixels: _PixelElement | None) -> PlainPixels | None:
    """Where the pixels lie, if they can be taken from the file as they are."""
    syntax, bits = ds.file_meta.TransferSyntaxUID, int(ds.get("BitsStored") or 0)
    usual = (
        syntax in (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian)
        and (ds.get("BitsAllocated"), ds.get("SamplesPerPixel")) == (16, 1)
        and 8 < bits <= 16
        and ds.get("HighBit") == bits - 1
        and ds.get("PixelRepresentation") in (0, 1)
    )
    if pixels is None or not usual:
        return None
    count = int(ds.get("NumberOfFrames") or 1) * int(ds.get("Rows") or 0)
    if pixels.announced != 2 * count * int(ds.get("Columns") or 0):
        return None
    return PlainPixels(pixels.start, bits, bool(ds.PixelRepresentation))


def _parse(path: Path, ds: Dataset, config: IntakeConfig, cut_short: str) -> DicomFile:
    groups = _functional_groups(ds, 0)
    return DicomFile(
        path=path,
        header=_series_header(ds, groups),
        sop_class=str(ds.get("SOPClassUID") or ""),
        transfer_syntax=str(ds.file_meta.TransferSyntaxUID),
        image_type=tuple(printable(v).upper() for v in _values(ds.get("ImageType"))),
        photometric=term(ds.get("PhotometricInterpretation"), PHOTOMETRIC, ""),
        samples=int(ds.get("SamplesPerPixel") or 1),
        burned_in=str(ds.get("BurnedInAnnotation") or "").strip().upper() == "YES",
        images=_images(path, ds, config, not cut_short) if ds.get("Rows") else (),
        frame_of_reference=printable(ds.get("FrameOfReferenceUID")),
        was_lossy=str(ds.get("LossyImageCompression") or "").strip() == "01",
    )


def _series_header(ds: Dataset, groups: Sequence[Dataset]) -> SeriesHeader:
    thickness = _first(ds, groups, "SliceThickness", "PixelMeasuresSequence")
    kernel = _first(ds, groups, "ConvolutionKernel", "CTReconstructionSequence")
    return SeriesHeader(
        series_uid=printable(ds.get("SeriesInstanceUID")) or _stand_in_uid(ds),
        study_uid=printable(ds.get("StudyInstanceUID")),
        modality=term(ds.get("Modality"), MODALITIES, "OT"),
        description=printable(ds.get("SeriesDescription")),
        acquired_on=_acquired_on(ds),
        kernel=printable("\\".join(str(v) for v in _values(kernel))),
        contrast=printable(ds.get("ContrastBolusAgent")),
        body_part=printable(ds.get("BodyPartExamined")),
        manufacturer=printable(ds.get("Manufacturer")),
        slice_thickness_mm=_number(thickness),
        patient_id=printable(ds.get("PatientID")),
        patient_birth_date=printable(ds.get("PatientBirthDate")),
        patient_sex=printable(ds.get("PatientSex")),
    )


def _stand_in_uid(ds: Dataset) -> str:
    """For files whose UIDs were blanked with the names: what else tells series apart."""
    keywords = ("StudyInstanceUID", "SeriesNumber", "SeriesDescription", "ConvolutionKernel")
    told = "|".join(str(ds.get(keyword)) for keyword in (*keywords, "Modality"))
    return f"without-uid-{sha256(told.encode()).hexdigest()[:12]}"


def _acquired_on(ds: Dataset) -> date | None:
    """The day of the acquisition, or the nearest thing that the file gives."""
    for keyword in (
        "AcquisitionDate", "AcquisitionDateTime", "SeriesDate", "StudyDate", "ContentDate",
    ):  # fmt: skip
        digits = str(ds.get(keyword) or "").replace(".", "")[:8]  # old files: 2001.02.03
        try:
            return date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
        except ValueError:
            continue
    return None


def _images(path: Path, ds: Dataset, config: IntakeConfig, whole: bool) -> tuple[Image, ...]:
    """Each frame; one without a place stands for all where they are of no use as slices.

    A number of frames is soon written: a file of 1 kB may announce thousands.
    """
    rows, columns = int(ds.Rows), int(ds.get("Columns") or 0)
    frames = int(ds.get("NumberOfFrames") or 1)
    if not (0 < rows <= config.max_matrix and 0 < columns <= config.max_matrix):
        raise _unreadable(
            f"{rows} × {columns} pixels; 1 to {config.max_matrix} each way are accepted"
        )
    if not 0 < frames <= config.max_files:
        raise _unreadable(f"{frames} frames; 1 to {config.max_files} are accepted")
    placed = len(ds.get("PerFrameFunctionalGroupsSequence") or ()) >= frames
    if frames > 1 and not (whole and placed and ds.get("Modality") == "CT"):
        return (replace(_image(path, ds, 0), plane=None),)
    return tuple(_image(path, ds, frame) for frame in range(frames))


def _image(path: Path, ds: Dataset, frame: int) -> Image:
    groups = _functional_groups(ds, frame)
    transformation = "PixelValueTransformationSequence"
    slope = _number(_first(ds, groups, "RescaleSlope", transformation))
    intercept = _number(_first(ds, groups, "RescaleIntercept", transformation))
    return Image(
        path=path,
        frame=frame,
        plane=_plane(ds, groups),
        slope=1.0 if slope is None else slope,
        intercept=0.0 if intercept is None else intercept,
        rescale_type="LUT"
        if "ModalityLUTSequence" in ds
        else term(_first(ds, groups, "RescaleType", transformation), RESCALED, "other"),
        padding=_padding(ds),
        acquisition=_acquisition(ds, groups),
        shape=(int(ds.Rows), int(ds.Columns)),
        has_rescale=slope is not None and intercept is not None,
    )


def _acquisition(ds: Dataset, groups: Sequence[Dataset]) -> str:
    content = "FrameContentSequence"
    number = _first(ds, groups, "FrameAcquisitionNumber", content) or ds.get("AcquisitionNumber")
    moment = _first(ds, groups, "TemporalPositionIndex", content) or ds.get(
        "TemporalPositionIdentifier"
    )
    # Enhanced CT has two more ways to put several volumes into one file.
    beat = _first(ds, groups, "NominalPercentageOfCardiacPhase", "CardiacSynchronizationSequence")
    parts = number, moment, beat, _first(ds, groups, "StackID", content)
    return "/".join(printable(part) for part in parts if part is not None)


def _plane(ds: Dataset, groups: Sequence[Dataset]) -> Plane | None:
    """Where the image lies, if the file says so in finite numbers that make sense."""
    position = _position(ds, groups)
    cosines = _numbers(_first(ds, groups, "ImageOrientationPatient", "PlaneOrientationSequence"))
    steps = _numbers(_first(ds, groups, "PixelSpacing", "PixelMeasuresSequence"))
    if (len(position), len(cosines), len(steps)) != (3, 6, 2) or min(steps) <= 0:
        return None
    row, column = np.array(cosines[:3]), np.array(cosines[3:])
    lengths = np.array([np.linalg.norm(row), np.linalg.norm(column)])
    if np.abs(lengths - 1).max() > 0.01 or abs(row @ column) > 0.01:
        return None
    return Plane(
        (position[0], position[1], position[2]),
        cosines,
        (steps[0], steps[1]),
        (int(ds.Rows), int(ds.Columns)),
    )


def _position(ds: Dataset, groups: Sequence[Dataset]) -> tuple[float, ...]:
    """Where the first pixel lies; empty if the file does not say, or says a place far away."""
    position = _numbers(_first(ds, groups, "ImagePositionPatient", "PlanePositionSequence"))
    return position if all(abs(mm) <= FARTHEST_MM for mm in position) else ()


def _padding(ds: Dataset) -> tuple[int, int] | None:
    value = _number(ds.get("PixelPaddingValue"))
    if value is None:
        return None
    limit = _number(ds.get("PixelPaddingRangeLimit"))
    ends = [int(value), int(value if limit is None else limit)]
    # Writers mix up the signed and the unsigned form of one bit pattern.
    bits = int(ds.get("BitsAllocated") or 16)
    signed = bool(ds.get("PixelRepresentation"))
    wrapped = [end % 2**bits for end in ends]
    if signed:
        wrapped = [end - 2**bits if end >= 2 ** (bits - 1) else end for end in wrapped]
    return min(wrapped), max(wrapped)


def _functional_groups(ds: Dataset, frame: int) -> list[Dataset]:
    """What enhanced CT says of one frame: its own group, then the shared one. Else empty."""
    found: list[Dataset] = []
    for keyword, index in (
        ("PerFrameFunctionalGroupsSequence", frame),
        ("SharedFunctionalGroupsSequence", 0),
    ):
        items = ds.get(keyword) or []
        found += items[index : index + 1]
    return found


def _first(ds: Dataset, groups: Sequence[Dataset], keyword: str, macro: str) -> Any:
    """An attribute from the functional groups that hold it, or else from the top level."""
    for group in groups:
        items = group.get(macro) or []
        if items and items[0].get(keyword) is not None:
            return items[0].get(keyword)
    return ds.get(keyword)


def _values(value: Any) -> list[Any]:
    if value is None:
        return []
    return [value] if isinstance(value, (str, bytes, int, float)) else list(value)


def _number(value: Any) -> float | None:
    numbers = _numbers(value)
    return numbers[0] if len(numbers) == 1 else None


def _numbers(value: Any) -> tuple[float, ...]:
    """Finite numbers, or none at all."""
    try:
        numbers = tuple(float(v) for v in _values(value))
    except (TypeError, ValueError):
        return ()
    return numbers if np.isfinite(numbers).all() else ()


# --- Outlines -------------------------------------------------------------------------------


def read_outlines(path: Path) -> dict[str, list[Floats]]:
    """What was outlined by hand, slice by slice: an RT structure set.

    Returns:
        By the name of the structure: outlines, each ``(points, 3)``, mm in the patient frame
        (LPS), ``(x, y, z)``.

    Raises:
        InputRejected: No structure set, or a damaged one.

    Source:
        DICOM PS3.3 C.8.8.5 (Structure Set) and C.8.8.6 (ROI Contour).
    """
    with translated("no RT structure set, or a damaged one (%s)"):
        ds = pydicom.dcmread(path, specific_tags=_OUTLINE_TAGS)
        names = {int(roi.ROINumber): printable(roi.ROIName) for roi in ds.StructureSetROISequence}
        return {
            names[int(structure.ReferencedROINumber)]: [
                np.array(outline.ContourData, float).reshape(-1, 3)
                for outline in structure.get("ContourSequence") or []
            ]
            for structure in ds.ROIContourSequence
        }


# --- Pixels ---------------------------------------------------------------------------------


def decoded(file: DicomFile, images: Sequence[Image], config: IntakeConfig) -> Iterator[Stored]:
    """Stored values of some images of one file, each ``(rows, columns)``."""
    if file.plain is not None:
        yield from _taken(file.path, file.plain, images)
        return
    ds, _ = _read(file.path, config, _PIXEL_TAGS)
    for image in images:
        yield _decode_frame(ds, image.frame)


def _taken(path: Path, plain: PlainPixels, images: Sequence[Image]) -> Iterator[Stored]:
    for image in images:
        rows, columns = image.shape
        count, unused = rows * columns, 16 - plain.bits
        where = plain.offset + 2 * count * image.frame
        values: Stored = np.fromfile(path, "<u2", count, offset=where)
        if unused:  # the shifts drop what lies above, and bring the sign back
            values <<= unused
        if plain.signed:
            values = values.view("<i2")
        yield (values >> unused if unused else values).reshape(rows, columns)


def _decode_frame(ds: Dataset, frame: int) -> Stored:
    syntax = ds.file_meta.TransferSyntaxUID
    decoder = _DECODERS[syntax]
    if decoder != _NATIVE:
        coded = get_frame(ds.PixelData, frame, number_of_frames=int(ds.get("NumberOfFrames") or 1))
        _check_coded_size(coded, int(ds.Rows), int(ds.Columns))
        if decoder == _BY_SIMPLEITK:
            return _decode_by_simpleitk(ds, coded)
    stored = pixel_array(ds, index=frame, raw=True, decoding_plugin=decoder)
    return stored.reshape(int(ds.Rows), int(ds.Columns))


def _decode_by_simpleitk(ds: Dataset, coded: bytes) -> Stored:
    """By the GDCM inside SimpleITK: on all cores, and of JPEG lossless the other is under the GPL.

    GDCM reads files and rescales what it reads; a file with this frame and no rescale in it
    gives the stored values.
    """
    facts = tuple(int(ds[keyword].value) for keyword in _PIXEL_FACTS)
    with tempfile.NamedTemporaryFile(suffix=".dcm") as file:
        file.write(_head_of_one_frame(str(ds.file_meta.TransferSyntaxUID), facts))
        file.write(_PACKED_PIXELS + encapsulate([coded]) + _LAST_PIECE + bytes(4))
        file.flush()
        stored: Stored = sitk.GetArrayFromImage(sitk.ReadImage(file.name))
    return stored.reshape(int(ds.Rows), int(ds.Columns))


@lru_cache(16)
def _head_of_one_frame(syntax: str, facts: tuple[int, ...]) -> bytes:
    """A file in front of its pixels: the same for all slices of a series."""
    lone = Dataset()
    lone.file_meta = FileMetaDataset()
    lone.file_meta.TransferSyntaxUID = uid.UID(syntax)
    lone.SOPClassUID = lone.file_meta.MediaStorageSOPClassUID = uid.UID(SECONDARY_CAPTURE)
    lone.SOPInstanceUID = lone.file_meta.MediaStorageSOPInstanceUID = uid.UID("1.2.3")
    lone.SamplesPerPixel, lone.PhotometricInterpretation = 1, "MONOCHROME2"
    for keyword, value in zip(_PIXEL_FACTS, facts, strict=True):
        setattr(lone, keyword, value)
    head = BytesIO()
    lone.save_as(head, enforce_file_format=True)
    return head.getvalue()


def _check_coded_size(coded: bytes, rows: int, columns: int) -> None:
    """Refuse a frame that claims another size than its header, before room is made for it."""
    size = _jpeg_2000_size(coded) if coded[:4] == b"\xff\x4f\xff\x51" else _jpeg_size(coded)
    if size not in (None, (rows, columns)):
        raise ValueError("coded size differs from the header")


def _jpeg_2000_size(coded: bytes) -> tuple[int, int]:
    right, bottom, left, top = struct.unpack(">4I", coded[8:24])  # the SIZ marker comes first
    return bottom - top, right - left


def _jpeg_size(coded: bytes) -> tuple[int, int] | None:
    """Rows and columns of a JPEG or JPEG-LS frame; ``None`` for other encodings."""
    at = 2 if coded[:2] == b"\xff\xd8" else len(coded)
    while at + 9 <= len(coded):
        marker, length = struct.unpack(">HH", coded[at : at + 4])
        if marker == 0xFFF7 or (0xFFC0 <= marker <= 0xFFCF and marker not in _NO_FRAME_HEADER):
            rows, columns = struct.unpack(">HH", coded[at + 5 : at + 9])
            return rows, columns
        at += 2 + length
    return None
