"""Outlines drawn in DICOM become masks, and boxes lie where the readers drew them."""

import os
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage

from ctrs.errors import InputRejected
from ctrs.ingest.dicom import read_outlines
from ctrs.trial.real.outlined import (
    BOXES,
    REAL_CROPS,
    REAL_SCANS,
    fill_outlines,
    has_scan,
    outlined_scan,
    real_scan,
)
from ctrs.types import Volume

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("CTRS_TEST_DATA", ROOT.parent / "shared" / "data"))
VOLUME = Volume(np.zeros((5, 12, 16), np.float32), (3.0, 2.0, 1.0), (-10.0, 20.0, 100.0))


def needs(name):
    if not has_scan(DATA, name):
        pytest.skip(f"no {name} in {DATA}: set CTRS_TEST_DATA")


def square(first, last, z):
    """Around the voxels from first to last, (y, x), of slice z: mm in the patient frame."""
    (y0, x0), (y1, x1) = first, last
    corners = [(y0, x0), (y0, x1), (y1, x1), (y1, x0)]
    ends = [(-0.5 if y == y0 else 0.5, -0.5 if x == x0 else 0.5) for y, x in corners]
    return np.array(
        [
            (-10 + (x + dx) * 1.0, 20 + (y + dy) * 2.0, 100 + z * 3.0)
            for (y, x), (dy, dx) in zip(corners, ends, strict=True)
        ]
    )


# --- Outlines → voxels ------------------------------------------------------------------------


def test_each_axis_is_filled_by_its_own_spacing_and_origin():
    inside = fill_outlines([square((2, 5), (6, 13), 3)], VOLUME)
    expected = np.zeros(VOLUME.hu.shape, bool)
    expected[3, 2:7, 5:14] = True
    np.testing.assert_array_equal(inside, expected)


def test_an_outline_within_another_cuts_a_hole():
    outlines = [square((1, 1), (9, 12), 1), square((3, 4), (5, 6), 1), square((0, 0), (1, 1), 4)]
    inside = fill_outlines(outlines, VOLUME)
    assert inside[1].sum() == 9 * 12 - 3 * 3
    assert not inside[1, 4, 5]
    assert inside[4].sum() == 4


def test_a_triangle_runs_either_way_round_and_fills_half():
    corners = np.array([(-10.5, 19.0, 100.0), (5.5, 19.0, 100.0), (-10.5, 43.0, 100.0)])
    inside = fill_outlines([corners], VOLUME)[0]
    np.testing.assert_array_equal(inside, fill_outlines([corners[::-1]], VOLUME)[0])
    assert inside.sum() == pytest.approx(0.5 * 12 * 16, abs=4)
    assert inside[0, 0]
    assert not inside[-1, -1]


def test_outlines_beyond_the_scan_are_left_out():
    assert not fill_outlines([square((1, 1), (3, 3), 9)], VOLUME).any()


# --- RT structure sets ------------------------------------------------------------------------


def item(**values):
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def structure_set(path, outlines):
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = RTStructureSetStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = "1.2.3"
    ds.Modality = "RTSTRUCT"
    ds.StructureSetROISequence = [
        item(ROINumber="7", ROIName="heart"), item(ROINumber="4", ROIName="GTV-1"),
    ]  # fmt: skip
    contours = [
        item(ContourGeometricType="CLOSED_PLANAR", NumberOfContourPoints=len(points),
             ContourData=[f"{v:.3f}" for v in points.ravel()])
        for points in outlines
    ]  # fmt: skip
    ds.ROIContourSequence = [
        item(ReferencedROINumber="4", ContourSequence=contours), item(ReferencedROINumber="7"),
    ]  # fmt: skip
    ds.save_as(path, enforce_file_format=True)


def test_outlines_come_by_name_with_their_points(tmp_path):
    drawn = [square((2, 5), (6, 13), 3), square((1, 1), (2, 2), 4)]
    structure_set(tmp_path / "rs.dcm", drawn)
    found = read_outlines(tmp_path / "rs.dcm")
    assert set(found) == {"GTV-1", "heart"}
    assert found["heart"] == []
    for points, expected in zip(found["GTV-1"], drawn, strict=True):
        np.testing.assert_allclose(points, expected)


@pytest.mark.parametrize("keep", [0, 100, 400])
def test_a_damaged_structure_set_is_refused(tmp_path, keep):
    structure_set(tmp_path / "rs.dcm", [square((2, 5), (6, 13), 3)])
    cut = tmp_path / "SECRET-7.dcm"
    cut.write_bytes((tmp_path / "rs.dcm").read_bytes()[:keep])
    with pytest.raises(InputRejected) as refused:
        read_outlines(cut)
    assert "SECRET-7" not in refused.value.what


# --- Real scans -------------------------------------------------------------------------------

# Volumes and longest diameters that the data's own README gives.
GTV_ML = {"CancerData pat_2": 6.46, "CancerData pat_3": 11.59, "CancerData pat_4": 123.4}


@pytest.mark.parametrize("name", REAL_CROPS)
def test_gross_tumours_have_their_published_volumes(name):
    needs(name)
    assert outlined_scan(DATA, name).tumour_ml == pytest.approx(GTV_ML[name], rel=0.005)


def test_a_scan_is_there_only_with_its_outline(tmp_path):
    folder = tmp_path / "ct" / "pyradiomics"
    folder.mkdir(parents=True)
    (folder / "lung1_image.nrrd").touch()
    assert not has_scan(tmp_path, "pyradiomics lung1")
    (folder / "lung1_label.nrrd").touch()
    assert has_scan(tmp_path, "pyradiomics lung1")


def positions(folder):
    """UIDs of the slices, and where they lie along the patient, mm."""
    tags = ["SOPInstanceUID", "ImagePositionPatient"]
    read = (pydicom.dcmread(file, specific_tags=tags) for file in folder.glob("*.dcm"))
    return {ds.SOPInstanceUID: float(ds.ImagePositionPatient[2]) for ds in read}


def lung_dx_boxes(folder):
    for file in (folder.parent / "annotation").glob("*.xml"):
        for box in ElementTree.parse(file).getroot().iter("bndbox"):
            x0, y0, x1, y1 = (int(box.findtext(key)) for key in ("xmin", "ymin", "xmax", "ymax"))
            yield file.stem, (y0, y1), (x0, x1)


def nlst_boxes(folder):
    (file,) = (folder.parent / "SR_103_648991").glob("*.dcm")

    def coordinates(ds):
        for part in ds.get("ContentSequence", []):
            if part.ValueType == "SCOORD":
                points = np.rint(np.reshape(part.GraphicData, (-1, 2))).astype(int)
                (x0, y0), (x1, y1) = points.min(0), points.max(0)
                image = part.ContentSequence[0].ReferencedSOPSequence[0]
                yield image.ReferencedSOPInstanceUID, (y0, y1), (x0, x1)
            yield from coordinates(part)

    return coordinates(pydicom.dcmread(file))


@pytest.mark.slow
@pytest.mark.parametrize("name", BOXES)
def test_boxes_hold_what_the_readers_drew(name):
    needs(name)
    folder = DATA / "ct" / REAL_SCANS[name]
    drawn = list((nlst_boxes if name.startswith("NLST") else lung_dx_boxes)(folder))
    volume, lies_at = real_scan(DATA, name), positions(folder)
    mine = [(uid, rows, columns) for uid, rows, columns in drawn if uid in lies_at]
    assert mine
    slices = [round((lies_at[uid] - volume.origin[2]) / volume.spacing[0]) for uid, _, _ in mine]
    rows, columns = (np.array([box[k] for box in mine]) for k in (1, 2))
    assert BOXES[name] == (
        (min(slices), max(slices)),
        (rows.min(), rows.max()),
        (columns.min(), columns.max()),
    )
