"""Files to hand on: no name in any byte, and the interval between the scans as it was."""

from datetime import date

import jpeg_ls
import numpy as np
import pydicom
import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.tag import Tag
from pydicom.uid import JPEGLSLossless, RLELossless

from ctrs.config import IntakeConfig
from ctrs.deidentify import deidentify
from ctrs.errors import InputRejected
from ctrs.ingest import read_scan
from tests.dicom_files import body_hu, ct_series, enhanced_ct, name_everywhere, write

KEY = bytes(range(32))
OTHER_KEY = bytes(range(1, 33))
CONFIG = IntakeConfig()
SECRET = "ZORRO"


def visits(folder):
    first = ct_series(body_hu(20), name="1", patient_id=SECRET, acquired_on=date(2024, 1, 8))
    second = ct_series(body_hu(20), name="2", patient_id=SECRET, acquired_on=date(2024, 4, 1))
    for ds in first:
        ds.AcquisitionTime = ds.StudyTime = "233000"
    for ds in second:
        ds.AcquisitionTime = ds.StudyTime = "003000"
    for ds in (first[0], second[0]):
        name_everywhere(ds, SECRET)
    write(first, folder / "1")
    write(second, folder / "2")
    return folder


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_a_name_in_every_text_element_is_in_no_byte_of_what_is_written(tmp_path):
    done = deidentify(visits(tmp_path / "in"), tmp_path / "out", KEY, CONFIG)
    assert (done.written, len(done.patients), done.left_out) == (40, 1, [])
    for path in (tmp_path / "out").rglob("*"):
        assert SECRET not in str(path)
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes()


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_interval_sex_and_voxels_survive_and_nothing_else_that_identifies(tmp_path):
    source = visits(tmp_path / "in")
    deidentify(source, tmp_path / "out", KEY, CONFIG)
    scans = [read_scan(folder, CONFIG)[1] for folder in sorted((tmp_path / "out").glob("P-*/*"))]
    before, after = sorted(scans, key=lambda scan: scan.header.acquired_on)
    assert (after.header.acquired_on - before.header.acquired_on).days == 84
    assert before.header.acquired_on < date(2024, 1, 8)
    assert before.header.patient_id == after.header.patient_id
    assert before.header.patient_sex == "F"
    assert before.header.patient_birth_date == ""
    np.testing.assert_array_equal(before.hu, read_scan(source / "1", CONFIG)[1].hu)


@pytest.mark.parametrize("word", ["MIP", "MPR_MIP", "PROJECTION IMAGE", "AVERAGE"])
def test_a_copy_still_says_that_its_images_are_no_plain_slices(tmp_path, word):
    kind = ("DERIVED", "PRIMARY", "AXIAL", "MUELLER", word)
    write(ct_series(body_hu(), image_type=kind), tmp_path / "in")
    done = deidentify(tmp_path / "in", tmp_path / "out", KEY, CONFIG)
    assert done.left_out == []
    copies = [pydicom.dcmread(file) for file in (tmp_path / "out").rglob("*.dcm")]
    assert {word in copy.ImageType for copy in copies} == {True}
    assert not any("MUELLER" in str(copy.ImageType) for copy in copies)


def uids(folder):
    read = [pydicom.dcmread(path, stop_before_pixels=True) for path in folder.rglob("*.dcm")]
    return {uid for ds in read for uid in (ds.SOPInstanceUID, ds.SeriesInstanceUID)}


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_one_key_gives_one_answer_and_another_key_another(tmp_path):
    source = visits(tmp_path / "in")
    first, again, other = (
        deidentify(source, tmp_path / name, key, CONFIG)
        for name, key in (("a", KEY), ("b", KEY), ("c", OTHER_KEY))
    )
    assert first.patients == again.patients != other.patients
    assert uids(tmp_path / "a") == uids(tmp_path / "b")
    assert not uids(tmp_path / "a") & (uids(tmp_path / "c") | uids(source))


def test_enhanced_ct_keeps_its_frames(tmp_path):
    write([enhanced_ct()], tmp_path / "in")
    deidentify(tmp_path / "in", tmp_path / "out", KEY, CONFIG)
    _, volume = read_scan(tmp_path / "out", CONFIG)
    np.testing.assert_allclose(volume.hu, body_hu(), atol=0.5)
    assert volume.spacing == pytest.approx((2.5, 0.8, 0.7))


def test_what_may_show_a_name_is_left_out_with_a_reason(tmp_path):
    scout = ct_series(body_hu(1), image_type=("ORIGINAL", "PRIMARY", "LOCALIZER"))
    shot = ct_series(body_hu(1))
    shot[0].SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    burned = ct_series(body_hu(1), name="b")
    burned[0].BurnedInAnnotation = "YES"
    for name, series in (("scout", scout), ("shot", shot), ("burned", burned)):
        write(series, tmp_path / "in" / name)
    (tmp_path / "in/letter.txt").write_text("Dear patient")
    done = deidentify(tmp_path / "in", tmp_path / "out", KEY, CONFIG)
    assert {file.path: file.reason for file in done.left_out} == {
        "scout/000.dcm": "a localizer",
        "shot/000.dcm": "not a CT image",
        "letter.txt": "neither a DICOM file nor an image volume",
    }
    assert done.written == 1
    assert "burned into image 1" in done.warnings[0]


# --- Where else a name may hide -----------------------------------------------------------------


def as_bytes(ds, keyword, value):
    """An element written as plain bytes, which nobody cleans."""
    ds[keyword] = DataElement(Tag(keyword), "OB", value)


@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "SeriesInstanceUID"])
def test_uid_that_leads_outside_is_no_name_for_a_file(tmp_path, keyword):
    series = ct_series(body_hu(2))
    for ds in series:
        as_bytes(ds, keyword, f"../../../../../outside/evil {SECRET}".encode())
    write(series, tmp_path / "in")
    done = deidentify(tmp_path / "in", tmp_path / "a/out", KEY, CONFIG)
    assert (done.written, len(done.left_out)) == (0, 2)
    assert done.left_out[0].reason == f"{keyword} is written as OB; DICOM wants UI"
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("uid", ["", ["1.2", "1.3"]])
def test_image_without_a_uid_of_its_own_is_left_out(tmp_path, uid):
    series = ct_series(body_hu(2))
    series[1].SOPInstanceUID = uid
    write(series, tmp_path / "in")
    done = deidentify(tmp_path / "in", tmp_path / "out", KEY, CONFIG)
    assert done.written == 1
    assert done.left_out[0].reason == "SOPInstanceUID is missing, or no UID"


def in_another_kind(ds):
    as_bytes(ds, "KVP", SECRET.encode())


def in_a_frame_of_reference(ds):
    as_bytes(ds, "FrameOfReferenceUID", SECRET.encode())


def in_front(ds):
    ds.file_meta.FileMetaInformationVersion = SECRET.encode()


def in_a_class_further_down(ds):
    inner = Dataset()
    inner.SOPClassUID = f"1.2.{SECRET}"
    ds.PixelMeasuresSequence = [inner]


def behind_the_pixels(ds):
    ds.PixelData += SECRET.encode()


def behind_a_coded_frame(ds):
    pixels = np.frombuffer(ds.PixelData, np.uint16).reshape(ds.Rows, ds.Columns)
    coded = bytes(jpeg_ls.encode_array(pixels))
    ds.PixelData = encapsulate([coded + SECRET.encode()])
    ds.file_meta.TransferSyntaxUID = JPEGLSLossless
    ds.PixelRepresentation = 0


def behind_runs(ds):
    ds.compress(RLELossless, generate_instance_uid=False)
    ds.PixelData = encapsulate([get_frame(ds.PixelData, 0) + b"ZORRO "])


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("hide", "written"),
    [
        (in_another_kind, 19),
        (in_a_frame_of_reference, 19),
        (in_front, 20),
        (in_a_class_further_down, 20),
        (behind_the_pixels, 20),
        (behind_a_coded_frame, 20),
        (behind_runs, 20),
    ],
)
def test_a_name_where_none_belongs_is_not_handed_on(tmp_path, hide, written):
    series = ct_series()
    hide(series[0])
    paths = write(series, tmp_path / "in")
    assert SECRET.encode() in paths[0].read_bytes()
    done = deidentify(tmp_path / "in", tmp_path / "out", KEY, CONFIG)
    assert done.written == written
    kept = b"".join(p.read_bytes() for p in (tmp_path / "out").rglob("*.dcm"))
    assert SECRET.encode() not in kept
    if written == 20:
        read = read_scan(tmp_path / "out", CONFIG)[1]
        np.testing.assert_array_equal(read.hu, read_scan(tmp_path / "in", CONFIG)[1].hu)


def test_image_cut_short_is_left_out(tmp_path):
    series = ct_series(body_hu(2))
    series[1].PixelData = series[1].PixelData[:-100]
    write(series, tmp_path / "in")
    done = deidentify(tmp_path / "in", tmp_path / "out", KEY, CONFIG)
    assert done.written == 1
    assert done.left_out[0].reason == "cut short: 404 of 504 bytes of pixels"


def test_nothing_is_written_over(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").write_text("mine")
    with pytest.raises(InputRejected, match="not empty"):
        deidentify(tmp_path, tmp_path / "out", KEY, CONFIG)
