"""DICOM files made in memory: small, readable, deterministic, of nobody.

``slices = ct_series(...)`` gives datasets that a test may spoil one by one; ``write(slices,
folder)`` puts them on disk. The body they show has no symmetry, so that a swapped or reversed
axis shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np
from pydicom.datadict import dictionary_VR, keyword_dict
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    generate_uid,
)

_TEXT = {"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT"}
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def body_hu(slices: int = 20, rows: int = 14, columns: int = 18) -> np.ndarray:
    """Air around tissue with a lung; every voxel of one octant differs from its mirror images."""
    z, y, x = np.indices((slices, rows, columns))
    hu = np.full((slices, rows, columns), -1000.0, np.float32)
    hu[:, 2:-1, 1:-2] = 40.0
    hu[:, 4:8, 3:7] = -850.0
    return (hu + z + 2 * y + 3 * x).astype(np.float32)  # -1000 ... about 200 HU


def ct_series(
    hu: np.ndarray | None = None,
    *,
    name: str = "a",
    step_mm: float = 2.5,
    pixel_spacing: tuple[float, float] = (0.8, 0.7),
    first_position: tuple[float, float, float] = (-120.0, -95.0, -40.0),
    orientation: Sequence[float] = AXIAL,
    acquired_on: date | None = date(2024, 1, 8),
    kernel: str = "B30f",
    patient_id: str = "NOBODY-1",
    sex: str = "F",
    birth_date: str = "19500102",
    slope: float = 1.0,
    intercept: float = -1024.0,
    image_type: Sequence[str] = ("ORIGINAL", "PRIMARY", "AXIAL"),
    modality: str = "CT",
) -> list[Dataset]:
    """One CT series, a dataset each slice, in the order of ``hu``'s first axis.

    Args:
        hu: What the slices show, ``(slices, rows, columns)``; `body_hu` if not given.
        name: Seeds the series UID and the study UID (by its part before the first "/").
        step_mm: From slice to slice along the normal of ``orientation``.
    """
    hu = body_hu() if hu is None else hu
    stored = np.rint((hu - intercept) / slope).astype(np.int16)
    normal = np.cross(orientation[:3], orientation[3:])
    series = []
    for index, pixels in enumerate(stored):
        ds = _dataset(CTImageStorage, f"{name} {index}")
        ds.SeriesInstanceUID = generate_uid(entropy_srcs=[name])
        ds.StudyInstanceUID = generate_uid(entropy_srcs=["study", name.split("/")[0]])
        ds.Modality, ds.ImageType = modality, list(image_type)
        ds.PatientID, ds.PatientSex, ds.PatientBirthDate = patient_id, sex, birth_date
        if acquired_on is not None:
            ds.AcquisitionDate = ds.StudyDate = acquired_on.strftime("%Y%m%d")
        ds.SeriesDescription, ds.ConvolutionKernel = f"Thorax {name}", kernel
        ds.SliceThickness = 9.0  # on purpose not the distance between slices
        ds.SpacingBetweenSlices = 7.0
        ds.ImageOrientationPatient = [float(c) for c in orientation]
        position = np.array(first_position) + index * step_mm * normal
        ds.ImagePositionPatient = [round(float(mm), 6) for mm in position]
        ds.PixelSpacing = list(pixel_spacing)
        ds.RescaleSlope, ds.RescaleIntercept = slope, intercept
        set_pixels(ds, pixels)
        series.append(ds)
    return series


def enhanced_ct(hu: np.ndarray | None = None, *, step_mm: float = 2.5, name: str = "e") -> Dataset:
    """The same as `ct_series`, as one multi-frame file; each frame has an intercept of its own."""
    hu = body_hu() if hu is None else hu
    ds = _dataset(EnhancedCTImageStorage, name)
    ds.SeriesInstanceUID = generate_uid(entropy_srcs=[name])
    ds.StudyInstanceUID = generate_uid(entropy_srcs=["study", name])
    ds.Modality, ds.ImageType = "CT", ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    ds.PatientID, ds.AcquisitionDateTime = "NOBODY-1", "20240108093000"
    ds.NumberOfFrames = len(hu)
    shared = Dataset()
    shared.PlaneOrientationSequence = [_item(ImageOrientationPatient=list(AXIAL))]
    shared.PixelMeasuresSequence = [_item(PixelSpacing=[0.8, 0.7], SliceThickness=9.0)]
    shared.CTReconstructionSequence = [_item(ConvolutionKernel="Br40d")]
    ds.SharedFunctionalGroupsSequence = [shared]
    frames, stored = [], []
    for index, pixels in enumerate(hu):
        frame, intercept = Dataset(), -1024 - index
        position = [-120.0, -95.0, -40.0 + index * step_mm]
        frame.PlanePositionSequence = [_item(ImagePositionPatient=position)]
        frame.PixelValueTransformationSequence = [
            _item(RescaleSlope=1, RescaleIntercept=intercept, RescaleType="HU")
        ]
        frames.append(frame)
        stored.append(np.rint(pixels - intercept).astype(np.int16))
    ds.PerFrameFunctionalGroupsSequence = frames
    set_pixels(ds, np.stack(stored))
    return ds


def set_pixels(ds: Dataset, stored: np.ndarray) -> None:
    """Put stored values into a dataset, 16 bits, signed or not as ``stored`` is."""
    ds.Rows, ds.Columns = stored.shape[-2:]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 16, 15
    ds.PixelRepresentation = int(stored.dtype.kind == "i")
    ds.PixelData = stored.tobytes()


def name_everywhere(ds: Dataset, name: str) -> None:
    """A name in every text element that DICOM knows, in a private one and in the preamble.

    The few stay as they are without which this is no CT, or of somebody else.
    """
    technical = ("Modality", "PhotometricInterpretation", "RescaleType", "PatientID", "PatientSex")
    for keyword, tag in keyword_dict.items():
        if dictionary_VR(tag) in _TEXT and tag >= 0x00080000 and keyword not in technical:
            setattr(ds, keyword, name)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL", name]
    ds.ConvolutionKernel = f"B30f {name}"
    ds.private_block(0x0011, f"{name} VENDOR", create=True).add_new(0x01, "LO", name)
    ds.ReferencedStudySequence = [_item(PatientName=name, StudyDescription=name)]
    ds.preamble = name.encode().ljust(128, b"\0")


def write(series: Sequence[Dataset], folder: Path) -> list[Path]:
    """Write datasets as ``000.dcm``, ``001.dcm`` …; comes back with the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{index:03d}.dcm" for index in range(len(series))]
    for ds, path in zip(series, paths, strict=True):
        ds.save_as(path, enforce_file_format=True)
    return paths


def _dataset(sop_class: str, name: str) -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = sop_class
    ds.SOPInstanceUID = generate_uid(entropy_srcs=["instance", name])
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    return ds


def _item(**attributes: object) -> Dataset:
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item
