"""CT files without identity, for whoever has to hand scans on: new files, the old ones untouched.

What is not on the list of what a CT needs is left out; nobody can list what identifies. On the
list is no free text. UIDs and dates go through dicognito. This follows the Basic Profile of DICOM
PS3.15 Annex E with two of its options: Retain Longitudinal Temporal Information with Modified Dates
(one shift in whole days for each patient, so that the interval between scans survives), and of
the patient's characteristics the sex.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator, MutableSequence
from dataclasses import dataclass, field
from pathlib import Path

from dicognito.anonymizer import Anonymizer
from dicognito.datetimeanonymizer import DateTimeAnonymizer
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import UID, RLELossless

from ctrs.config import IntakeConfig
from ctrs.errors import InputRejected
from ctrs.ingest.archive import find_files, relative
from ctrs.ingest.dicom import CT_CLASSES, DAMAGED, read_dataset, translated
from ctrs.ingest.series import AVERAGE, PROJECTIONS
from ctrs.kernels import Sharpness, sharpness
from ctrs.pseudonym import pseudonym
from ctrs.types import RejectedFile

_KEPT = frozenset((
    "AcquisitionDate", "AcquisitionDateTime", "AcquisitionNumber", "AcquisitionTime",
    "BitsAllocated", "BitsStored", "Columns", "ContentDate", "ContentTime", "ConvolutionKernel",
    "CTReconstructionSequence", "DimensionIndexValues", "FrameAcquisitionNumber",
    "FrameContentSequence", "FrameOfReferenceUID", "GantryDetectorTilt", "HighBit",
    "ImageOrientationPatient", "ImagePositionPatient", "ImageType", "InstanceNumber", "KVP",
    "LossyImageCompression", "Manufacturer", "Modality", "NumberOfFrames", "PatientID",
    "PatientName", "PatientPosition", "PatientSex", "PerFrameFunctionalGroupsSequence",
    "PhotometricInterpretation", "PixelData", "PixelMeasuresSequence", "PixelPaddingRangeLimit",
    "PixelPaddingValue", "PixelRepresentation", "PixelSpacing",
    "PixelValueTransformationSequence", "PlanarConfiguration", "PlaneOrientationSequence",
    "PlanePositionSequence", "RescaleIntercept", "RescaleSlope", "RescaleType", "Rows",
    "SamplesPerPixel", "SeriesDate", "SeriesInstanceUID", "SeriesNumber", "SeriesTime",
    "SharedFunctionalGroupsSequence", "SliceThickness", "SOPClassUID", "SOPInstanceUID",
    "SpacingBetweenSlices", "StudyDate", "StudyInstanceUID", "StudyTime",
    "TemporalPositionIdentifier", "TemporalPositionIndex", "XRayTubeCurrent",
))  # fmt: skip
# What may stand in those elements of the list that hold words: among them all that say that an
# image is no plain slice.
_WORDS = PROJECTIONS | {
    "00", "01", AVERAGE, "AXIAL", "CT", "CT_SOM5 SPI", "DERIVED", "FFP", "FFS", "HELICAL", "HFP",
    "HFS", "HU", "MONOCHROME1", "MONOCHROME2", "MPR", "NONE", "ORIGINAL", "PRIMARY", "RECON",
    "RESAMPLED", "REFORMATTED", "SECONDARY", "US", "VOLUME",
}  # fmt: skip
_MAKERS = ("GE", "Siemens", "Philips", "Canon", "Toshiba", "Hitachi", "United Imaging", "Neusoft")
_KERNEL = re.compile(r"[A-Z][A-Za-z]?\d\d[a-z]?|FC\d\d|[A-E]")
_PLAIN_KERNEL = {Sharpness.SOFT: "STANDARD", Sharpness.SHARP: "LUNG", Sharpness.UNKNOWN: ""}
_SHIFT_DAYS = (60, 1000)  # into the past
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_END_OF_IMAGE = b"\xff\xd9"  # of JPEG, JPEG-LS and JPEG 2000


@dataclass
class Deidentified:
    """What became of the files: how many were written, what was left out, what to look at."""

    written: int = 0
    patients: set[str] = field(default_factory=set)
    left_out: list[RejectedFile] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def deidentify(folder: Path, out: Path, key: bytes, config: IntakeConfig) -> Deidentified:
    """Write the CT images of a folder without identity into ``out``.

    Everything else is left out: reports, screenshots and localizers may show a name anywhere.

    Args:
        out: Must not exist yet, or be empty.
        key: As for `pseudonym`. The same key gives the same pseudonyms, UIDs and shifts, so that
            files that come later fit; keep it apart from the files.

    Raises:
        InputRejected: ``out`` is not empty, or ``folder`` holds too many files.
    """
    if out.exists() and any(out.iterdir()):
        raise InputRejected("The folder to write to is not empty.", "Name a new folder.")
    files, rejected = find_files(folder, config)
    done = Deidentified(left_out=rejected)
    for file in files:
        try:
            with translated(f"{DAMAGED} (%s)"):
                ds = _read(file, config)
                burned_in = str(ds.get("BurnedInAnnotation") or "").upper() == "YES"
                patient = _remove_identity(ds, key)
                target = out / patient / _uid(ds, "SeriesInstanceUID")
                target /= f"{_uid(ds, 'SOPInstanceUID')}.dcm"
                target.parent.mkdir(parents=True, exist_ok=True)
                ds.save_as(target, enforce_file_format=True)
        except InputRejected as reason:
            done.left_out.append(RejectedFile(relative(file, folder), reason.what))
            continue
        done.written += 1
        done.patients.add(patient)
        if burned_in:
            done.warnings.append(f"Text is burned into image {done.written}: look at it before")
    return done


def _read(file: Path, config: IntakeConfig) -> Dataset:
    ds = read_dataset(file, config)
    if ds.get("SOPClassUID") not in CT_CLASSES or "PixelData" not in ds:
        raise InputRejected("not a CT image", "")
    if "LOCALIZER" in (ds.get("ImageType") or ()):
        raise InputRejected("a localizer", "")
    return ds


def _remove_identity(ds: Dataset, key: bytes) -> str:
    """Take the identity out of a dataset; comes back with the pseudonym."""
    known = str(ds.get("PatientID") or "").strip() or str(ds.get("StudyInstanceUID") or "unknown")
    name = pseudonym(known, key)
    digest = hmac.new(key, b"deidentify " + known.encode(), hashlib.sha256).hexdigest()
    first, last = _SHIFT_DAYS
    days = first + int(digest[:8], 16) % (last - first)
    sex = str(ds.get("PatientSex") or "")
    _keep_only_listed(ds)
    _keep_only_pixels(ds)
    ds.file_meta = _new_meta(ds)
    anonymizer = Anonymizer(seed=digest)
    anonymizer.add_element_handler(DateTimeAnonymizer(-24 * days))
    anonymizer.anonymize(ds)
    ds.PatientName = ds.PatientID = name
    ds.PatientSex = sex if sex in ("F", "M") else ""
    ds.LongitudinalTemporalInformationModified = "MODIFIED"
    ds.preamble = bytes(128)  # may hold anything
    return name


def _keep_only_listed(ds: Dataset) -> None:
    for element in list(ds):
        if element.keyword not in _KEPT or element.tag.is_private or _is_set_later(element):
            del ds[element.tag]
            continue
        _check_kind_of_value(element)
        if element.VR == "SQ":
            for item in element.value:
                _keep_only_listed(item)
        elif element.VR in ("DA", "DT", "TM"):
            element.value = next((v for v in map(str, _all(element.value)) if _is_time(v)), "")
        elif element.VR in _WRITTEN:
            element.value = [_known(element.keyword, str(v)) for v in _all(element.value)]


def _is_set_later(element: DataElement) -> bool:
    """What gets the pseudonym; and a class that is none of CT, which may be a name."""
    if element.keyword == "SOPClassUID":
        return element.value not in CT_CLASSES
    return element.keyword in ("PatientID", "PatientName")


def _check_kind_of_value(element: DataElement) -> None:
    """Refuse what is written as another kind of value: plain bytes, say, where a UID belongs.

    Each kind is cleaned in its own way, and a kind that is not expected in none. To leave such an
    element out could be worse: without its intercept a slice has other values.
    """
    expected = dictionary_VR(element.tag)
    if element.VR not in (expected, *expected.split(" or ")):
        raise InputRejected(
            f"{element.keyword} is written as {element.VR}; DICOM wants {expected}", ""
        )


def _keep_only_pixels(ds: Dataset) -> None:
    """Cut off what a writer left behind the pixels, or in the table in front of them."""
    if ds.file_meta.TransferSyntaxUID == RLELossless:  # says nowhere how long it is
        ds.decompress(decoding_plugin="pydicom", generate_instance_uid=False)
    frames = int(ds.get("NumberOfFrames") or 1)
    if ds.file_meta.TransferSyntaxUID.is_encapsulated:
        coded = list(generate_frames(ds.PixelData, number_of_frames=frames))
        if len(coded) != frames:
            raise InputRejected(f"{len(coded)} frames, {frames} are announced", "")
        ds.PixelData = encapsulate([_to_its_end(frame) for frame in coded])
        return
    bits = frames * ds.Rows * ds.Columns * ds.SamplesPerPixel * ds.BitsAllocated
    size = (bits + 7) // 8
    if len(ds.PixelData) < size:
        raise InputRejected(f"cut short: {len(ds.PixelData):,} of {size:,} bytes of pixels", "")
    ds.PixelData = ds.PixelData[:size] + bytes(size % 2)


def _to_its_end(frame: bytes) -> bytes:
    end = frame.rfind(_END_OF_IMAGE)
    return frame[: end + len(_END_OF_IMAGE)] if end >= 0 else frame


def _new_meta(ds: Dataset) -> FileMetaDataset:
    """The little that has to stand in front of the dataset; the old one may hold anything."""
    syntax: UID = ds.file_meta.TransferSyntaxUID
    if syntax.is_private or not syntax.is_transfer_syntax:
        raise InputRejected("compressed in an unknown way", "")
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    return meta


def _uid(ds: Dataset, keyword: str) -> str:
    """A UID that is to name a file: nothing but numbers, so that it cannot lead elsewhere."""
    value = str(ds.get(keyword) or "")
    if not _UID.fullmatch(value):
        raise InputRejected(f"{keyword} is missing, or no UID", "")
    return value


_WRITTEN = frozenset(("AE", "AS", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UN", "UR", "UT"))


def _known(keyword: str, text: str) -> str:
    """A word that is known, or else none: anybody can have typed anything anywhere."""
    text = text.strip()
    if keyword == "Manufacturer":
        return next((maker for maker in _MAKERS if maker.upper() in text.upper()), "")
    if keyword == "ConvolutionKernel":
        return text if _KERNEL.fullmatch(text) else _PLAIN_KERNEL[sharpness(text)]
    return text if text in _WORDS else ""


def _all(value: object) -> Iterator[object]:
    many = isinstance(value, MutableSequence)
    yield from value if many else (value,)  # type: ignore[misc]


def _is_time(text: str) -> bool:
    return text.replace(".", "").replace(":", "").isdigit()
