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
from pydicom.dataset import Dataset

from ctrs.config import IntakeConfig
from ctrs.errors import InputRejected
from ctrs.ingest.archive import find_files, relative
from ctrs.ingest.dicom import CT_CLASSES, read_dataset, translated
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
# What may stand in those elements of the list that hold words.
_WORDS = frozenset((
    "00", "01", "AVERAGE", "AXIAL", "CT", "CT_SOM5 SPI", "DERIVED", "FFP", "FFS", "HELICAL",
    "HFP", "HFS", "HU", "MAX_IP", "MIN_IP", "MINIP", "MIP", "MONOCHROME1", "MONOCHROME2", "MPR",
    "NONE", "ORIGINAL", "PRIMARY", "RECON", "RESAMPLED", "REFORMATTED", "SECONDARY", "US",
    "VOLUME",
))  # fmt: skip
_MAKERS = ("GE", "Siemens", "Philips", "Canon", "Toshiba", "Hitachi", "United Imaging", "Neusoft")
_KERNEL = re.compile(r"[A-Z][A-Za-z]?\d\d[a-z]?|FC\d\d|[A-E]")
_PLAIN_KERNEL = {Sharpness.SOFT: "STANDARD", Sharpness.SHARP: "LUNG", Sharpness.UNKNOWN: ""}
_SHIFT_DAYS = (60, 1000)  # into the past


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
            with translated("a damaged DICOM file (%s)"):
                ds = _read(file, config)
                burned_in = str(ds.get("BurnedInAnnotation") or "").upper() == "YES"
                patient = _remove_identity(ds, key)
                target = out / patient / str(ds.SeriesInstanceUID) / f"{ds.SOPInstanceUID}.dcm"
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
        if element.keyword not in _KEPT or element.tag.is_private:
            del ds[element.tag]
        elif element.VR == "SQ":
            for item in element.value:
                _keep_only_listed(item)
        elif element.keyword in ("PatientID", "PatientName"):
            element.value = ""  # the pseudonym comes later
        elif element.VR in ("DA", "DT", "TM"):
            element.value = next((v for v in map(str, _all(element.value)) if _is_time(v)), "")
        elif element.VR in _WRITTEN:
            element.value = [_known(element.keyword, str(v)) for v in _all(element.value)]
    for item in list(ds.file_meta) if hasattr(ds, "file_meta") else ():
        if item.keyword not in _KEPT_META:
            del ds.file_meta[item.tag]


_WRITTEN = frozenset(("AE", "AS", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UN", "UR", "UT"))
_KEPT_META = frozenset((
    "FileMetaInformationGroupLength", "FileMetaInformationVersion", "MediaStorageSOPClassUID",
    "MediaStorageSOPInstanceUID", "TransferSyntaxUID",
))  # fmt: skip


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
