"""A real series, damaged in the ways that happen: refused, or exactly the same volume."""

import os
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from ctrs.config import ChestConfig, IntakeConfig, PrepareConfig
from ctrs.errors import InputRejected, MissingSlices, NotAVolume
from ctrs.ingest import read_scan
from ctrs.lungs import check_chest
from ctrs.prepare import prepare
from ctrs.types import Zone

CONFIG = IntakeConfig()
DATA = Path(os.environ.get("CTRS_TEST_DATA", Path(__file__).parents[1] / "../shared/data"))
SERIES = DATA / "ct/lungdx/Lung_Dx-A0002/CT_series3"  # 30 slices, 8 mm apart, uncompressed
ZOO = DATA / "zoo"

pytestmark = [
    pytest.mark.skipif(not SERIES.exists(), reason=f"no real series in {SERIES}"),
    pytest.mark.filterwarnings("ignore::UserWarning:pydicom"),
]


@pytest.fixture(scope="module")
def sound():
    return read_scan(SERIES, CONFIG)[1]


@pytest.fixture
def files(tmp_path):
    """A copy of the series, from feet to head."""
    copies = [Path(shutil.copy(path, tmp_path)) for path in SERIES.iterdir()]
    for copy in copies:
        copy.chmod(0o644)
    heights = {path: height(pydicom.dcmread(path, stop_before_pixels=True)) for path in copies}
    return sorted(copies, key=heights.__getitem__)


def height(ds):
    return float(ds.ImagePositionPatient[2])


def change(path, how):
    ds = pydicom.dcmread(path)
    how(ds)
    ds.save_as(path)


def read(files):
    return read_scan(files[0].parent, CONFIG)[1]


def test_order_of_the_files_does_not_matter(files, sound):
    folder = files[0].parent
    for number, path in enumerate(reversed(files)):
        path.rename(folder / f"x{number:03d}")
    np.testing.assert_array_equal(read_scan(folder, CONFIG)[1].hu, sound.hu)


def test_numbers_of_the_images_exchanged_do_not_matter(files, sound):
    for path in files[5:9]:
        change(path, lambda ds: setattr(ds, "InstanceNumber", 40 - int(ds.InstanceNumber)))
    np.testing.assert_array_equal(read(files).hu, sound.hu)


def test_a_slice_deleted_is_a_gap(files):
    files[11].unlink()
    with pytest.raises(MissingSlices, match=r"first is 16\.00 mm"):
        read(files)


def test_a_slice_twice_is_dropped_and_noted(files, sound):
    shutil.copy(files[12], files[12].with_name("again"))
    volume = read(files)
    np.testing.assert_array_equal(volume.hu, sound.hu)
    assert volume.repairs == ("identical copies of slices dropped: 1",)


def test_a_gap_filled_with_a_copy_is_seen_through(files):
    height_11 = pydicom.dcmread(files[11]).ImagePositionPatient
    shutil.copy(files[10], files[11])
    change(files[11], lambda ds: setattr(ds, "ImagePositionPatient", height_11))
    change(files[11], lambda ds: setattr(ds, "SOPInstanceUID", pydicom.uid.generate_uid()))
    with pytest.raises(NotAVolume, match="repeat the pixels of their neighbour"):
        read(files)


def test_pixels_of_two_slices_exchanged_are_noticed(files):
    first, second = (pydicom.dcmread(files[n]).PixelData for n in (8, 19))
    change(files[8], lambda ds: setattr(ds, "PixelData", second))
    change(files[19], lambda ds: setattr(ds, "PixelData", first))
    with pytest.raises(NotAVolume, match="2 of 30 slices resemble neither"):
        read(files)


@pytest.mark.parametrize("number", [0, 14, 29])
def test_a_slice_cut_short_is_refused(files, number):
    os.truncate(files[number], 400_000)
    with pytest.raises(InputRejected, match=r"cut short|cannot be decoded|damaged"):
        read(files)


def test_a_slice_overwritten_with_nothing_is_refused(files):
    change(files[14], lambda ds: setattr(ds, "PixelData", bytes(len(ds.PixelData))))
    with pytest.raises(NotAVolume, match="1 of 30 slices resemble neither"):
        read(files)


def test_one_slice_on_another_scale_is_refused(files):
    change(files[14], lambda ds: setattr(ds, "RescaleIntercept", "0"))
    with pytest.raises(NotAVolume, match="resemble neither"):
        read(files)


def test_positions_upside_down_are_not_assessable(files):
    def turn(ds):
        x, y, z = ds.ImagePositionPatient
        ds.ImagePositionPatient = [x, y, -z]

    for path in files:
        change(path, turn)
    _, chest = prepare(read(files), PrepareConfig(), ChestConfig())
    reds = [f.reason for f in check_chest(chest, ChestConfig()) if f.zone is Zone.RED]
    assert any("upside down" in reason for reason in reds)


def test_rows_stored_backwards_with_the_orientation_that_says_so_are_the_same(files, sound):
    def reverse(ds):
        x, y, z = ds.ImagePositionPatient
        ds.ImagePositionPatient = [x, y + (ds.Rows - 1) * ds.PixelSpacing[0], z]
        ds.ImageOrientationPatient = [1, 0, 0, 0, -1, 0]
        pixels = np.frombuffer(ds.PixelData, "<u2").reshape(ds.Rows, ds.Columns)
        ds.PixelData = pixels[::-1].tobytes()

    for path in files:
        change(path, reverse)
    np.testing.assert_array_equal(read(files).hu, sound.hu)


def test_saved_as_nifti_and_back_is_the_same(sound, tmp_path):
    image = sitk.GetImageFromArray(np.ascontiguousarray(sound.hu[::-1]).astype(np.int16))
    image.SetSpacing(sound.spacing[::-1])
    x, y, z = sound.origin
    image.SetOrigin((x, y, z + 29 * sound.spacing[0]))
    image.SetDirection((1, 0, 0, 0, 1, 0, 0, 0, -1))
    sitk.WriteImage(image, str(tmp_path / "flipped.nii.gz"))
    _, volume = read_scan(tmp_path / "flipped.nii.gz", CONFIG)
    np.testing.assert_array_equal(volume.hu, sound.hu)


ZOO_FILES = sorted(p for p in ZOO.rglob("*") if p.is_file()) if ZOO.exists() else []


def test_every_file_of_the_zoo_alone_is_refused_in_words():
    if not ZOO_FILES:
        pytest.skip(f"no files in {ZOO}")
    for path in ZOO_FILES:
        with pytest.raises(InputRejected) as refusal:
            read_scan(path, CONFIG)
        assert refusal.value.what, path.name
        assert refusal.value.next_step, path.name
