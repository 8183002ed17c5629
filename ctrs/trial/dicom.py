"""A simulated scan → a folder of DICOM files, as a scanner would export them."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from ctrs.types import Array, Volume

INTERCEPT = -1024


def write_series(volume: Volume, folder: Path, leave_out: Container[int] = ()) -> None:
    """Write one CT series; the same volume gives the same bytes.

    Args:
        folder: Made if need be; one file a slice, named by instance number.
        leave_out: Slice indices that are lost on the way.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = [volume.header.patient_id, volume.header.description]
    series_uid = generate_uid(entropy_srcs=["series", *name])
    for index, plane in enumerate(volume.hu):
        if index not in leave_out:
            slice_ = _slice(volume, plane, index, series_uid, name)
            slice_.save_as(folder / f"{index + 1:04d}.dcm", enforce_file_format=True)


def _slice(volume: Volume, plane: Array, index: int, series_uid: str, name: list[str]) -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = CTImageStorage
    uid = generate_uid(entropy_srcs=[series_uid, str(index)])
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = uid
    _describe(ds, volume, series_uid, name)
    ds.InstanceNumber = index + 1
    x, y, z = volume.origin
    ds.ImagePositionPatient = [f"{x:.4f}", f"{y:.4f}", f"{z + index * volume.spacing[0]:.4f}"]
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing = [f"{mm:.6g}" for mm in volume.spacing[1:]]
    ds.SliceThickness = f"{volume.header.slice_thickness_mm or volume.spacing[0]:.6g}"
    ds.Rows, ds.Columns = plane.shape
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 0
    ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = 1, INTERCEPT, "HU"
    ds.PixelData = (np.rint(plane) - INTERCEPT).astype("<u2").tobytes()
    return ds


def _describe(ds: Dataset, volume: Volume, series_uid: str, name: list[str]) -> None:
    header = volume.header
    ds.Modality = "CT"
    ds.ImageType = ["DERIVED", "PRIMARY", "AXIAL"]
    ds.DerivationDescription = "Simulated: shows no patient"
    ds.PatientName = "Simulated"
    ds.PatientID = header.patient_id
    ds.PatientSex = header.patient_sex
    ds.PatientBirthDate = ""
    day = header.acquired_on.strftime("%Y%m%d") if header.acquired_on else ""
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = day
    ds.SeriesInstanceUID = series_uid
    ds.StudyInstanceUID = generate_uid(entropy_srcs=["study", *name])
    ds.FrameOfReferenceUID = generate_uid(entropy_srcs=["frame", *name])
    ds.SeriesDescription = header.description
    ds.BodyPartExamined = header.body_part
    ds.ConvolutionKernel = header.kernel
    ds.Manufacturer = header.manufacturer
    if header.contrast:
        ds.ContrastBolusAgent = header.contrast
