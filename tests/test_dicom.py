"""DICOM series to volumes: geometry, values, decoders, and everything that is refused."""

import os
import subprocess
import sys
import zipfile
import zlib
from dataclasses import replace
from datetime import date
from pathlib import Path

import jpeg_ls
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HTJ2K,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from ctrs.config import IntakeConfig
from ctrs.errors import (
    InputRejected,
    MissingSlices,
    NoCtFound,
    NotAVolume,
    NotHounsfield,
    SlicesTooThick,
)
from ctrs.ingest import read_scan, take_inventory
from ctrs.ingest.dicom import decoded, read_header, translated
from ctrs.ingest.image_file import write_nifti
from ctrs.ingest.series import read_volume
from tests.dicom_files import body_hu, ct_series, enhanced_ct, set_pixels, write

CONFIG = IntakeConfig()
DATA = Path(os.environ.get("CTRS_TEST_DATA", "../shared/data"))
ZOO = DATA / "zoo"


def read(series, folder):
    return read_volume(write(series, folder), CONFIG)


def real(path):
    if not (DATA / path).exists():
        pytest.skip(f"needs the real scan {path}: set CTRS_TEST_DATA")
    return DATA / path


# --- Geometry -------------------------------------------------------------------------------


def test_slices_are_sorted_by_position_and_voxels_stay_in_place(tmp_path):
    series = ct_series()
    shuffled = [series[i] for i in np.random.default_rng(3).permutation(len(series))]
    volume = read(shuffled, tmp_path)
    np.testing.assert_allclose(volume.hu, body_hu(), atol=0.5)  # stored as whole numbers
    assert volume.hu.dtype == np.float32
    assert volume.origin == (-120.0, -95.0, -40.0)


def test_spacing_comes_from_positions_not_from_thickness(tmp_path):
    # The builder writes Slice Thickness 9 and Spacing Between Slices 7; the rows are 0.8 apart.
    assert read(ct_series(step_mm=2.5), tmp_path).spacing == pytest.approx((2.5, 0.8, 0.7))


@pytest.mark.parametrize(
    ("orientation", "axes"),
    [
        ((-1, 0, 0, 0, -1, 0), np.s_[:, ::-1, ::-1]),  # prone table position
        ((-1, 0, 0, 0, 1, 0), np.s_[::-1, :, ::-1]),  # its normal points to the feet
        ((1, 0, 0, 0, -1, 0), np.s_[::-1, ::-1, :]),
    ],
)
def test_reversed_axes_are_turned_to_the_patient(tmp_path, orientation, axes):
    volume = read(ct_series(orientation=orientation), tmp_path)
    np.testing.assert_allclose(volume.hu, body_hu()[axes], atol=0.5)
    assert volume.direction == (1, 0, 0, 0, 1, 0, 0, 0, 1)


def test_origin_moves_with_a_reversed_axis(tmp_path):
    # 18 columns, 0.7 mm apart, running to the right from x = -120: the rightmost one is at
    # -120 - 17 * 0.7 = -131.9. The normal points to the feet, so the lowest of 20 slices is at
    # z = -40 - 19 * 2.5 = -87.5.
    volume = read(ct_series(orientation=(-1, 0, 0, 0, 1, 0)), tmp_path)
    assert volume.origin == pytest.approx((-131.9, -95.0, -87.5))


def test_rows_that_run_front_to_back_are_transposed(tmp_path):
    # Along a row y grows, down a column x grows; the normal points to the feet.
    volume = read(ct_series(orientation=(0, 1, 0, 1, 0, 0)), tmp_path)
    np.testing.assert_allclose(volume.hu, body_hu()[::-1].transpose(0, 2, 1), atol=0.5)
    assert volume.spacing == pytest.approx((2.5, 0.7, 0.8))


def test_a_voxel_lies_where_simpleitk_says(tmp_path):
    tilt = np.radians(10)  # oblique, but slices stacked along their normal: allowed
    orientation = (1, 0, 0, 0, np.cos(tilt), np.sin(tilt))
    paths = write(ct_series(orientation=orientation), tmp_path)
    itk = sitk.ReadImage([str(path) for path in paths])
    volume = read_volume(paths, CONFIG)
    assert volume.spacing[::-1] == pytest.approx(itk.GetSpacing(), abs=1e-6)
    assert volume.direction == pytest.approx(itk.GetDirection(), abs=1e-6)
    assert volume.origin == pytest.approx(itk.GetOrigin(), abs=1e-6)
    np.testing.assert_array_equal(volume.hu, sitk.GetArrayFromImage(itk))


def test_missing_slice_is_named_by_its_place(tmp_path):
    series = ct_series(step_mm=2.5)
    del series[7]  # between slice 6 at -40 + 6 * 2.5 = -25 and slice 8 at -20 mm
    with pytest.raises(MissingSlices) as error:
        read(series, tmp_path)
    assert error.value.what == (
        "1 of 18 gaps between slices differ from 2.50 mm; the first is 5.00 mm, between -25.0 "
        "and -20.0 mm."
    )


def test_positions_rounded_to_a_tenth_are_no_gap(tmp_path):
    series = ct_series(step_mm=0.625)
    for ds in series:
        x, y, z = ds.ImagePositionPatient
        ds.ImagePositionPatient = [x, y, round(z, 1)]  # gaps of 0.6 and 0.7 mm
    # From -40.0 to -40 + 19 * 0.625 = -28.125, written as -28.1: 11.9 / 19.
    assert read(series, tmp_path).spacing[0] == pytest.approx(11.9 / 19)


@pytest.mark.parametrize(("shift_mm", "refused"), [(0.09, False), (0.15, True)])
def test_one_slice_may_be_off_by_rounding_and_no_more(tmp_path, shift_mm, refused):
    series = ct_series(step_mm=2.5)
    x, y, z = series[5].ImagePositionPatient
    series[5].ImagePositionPatient = [x, y, z + shift_mm]
    if refused:
        with pytest.raises(MissingSlices, match="2 of 19 gaps"):
            read(series, tmp_path)
    else:
        read(series, tmp_path)


# --- Gantry tilt ------------------------------------------------------------------------------


def tilted(degrees, hu=None, step_mm=2.5):
    """Slices that lean, stacked along the table as a scanner does: straight up."""
    lean = np.radians(degrees)
    series = ct_series(hu, orientation=(1, 0, 0, 0, np.cos(lean), np.sin(lean)))
    for index, ds in enumerate(series):
        ds.ImagePositionPatient = [-120.0, -95.0, round(-40.0 + step_mm * index, 6)]
    return series


def hu_at(places):
    """A body whose HU at each place (mm) is known: soft tissue that changes, air in front."""
    x, y, z = places
    return np.where(y < -93.0, -1000.0, 30.0 + x / 3 + 2 * (y + 90) - z / 2)


def places_of(ds):
    """Of each pixel of a slice, (3, rows, columns) in mm: DICOM PS3.3 C.7.6.2.1.1."""
    down, along = (float(mm) for mm in ds.PixelSpacing)
    cosines = np.array(ds.ImageOrientationPatient, float)
    rows, columns = np.indices((ds.Rows, ds.Columns))
    return (
        np.array(ds.ImagePositionPatient, float)[:, None, None]
        + np.multiply.outer(cosines[:3], along * columns)
        + np.multiply.outer(cosines[3:], down * rows)
    )


@pytest.mark.parametrize("degrees", [12, -7])
def test_gantry_tilt_is_undone_and_every_voxel_lies_where_it_was_measured(tmp_path, degrees):
    series = tilted(degrees)
    for ds in series:
        set_pixels(ds, np.rint(hu_at(places_of(ds)) + 1024).astype(np.int16))
    volume = read(series, tmp_path)
    # The distance along the normal: 2.5 mm of table times the cosine of the tilt.
    assert volume.spacing == pytest.approx((2.5 * np.cos(np.radians(degrees)), 0.8, 0.7))
    assert volume.repairs == (
        f"gantry tilt of {abs(degrees)}.0° undone: each slice moved to its true place, "
        "interpolated within its plane only",
    )
    # The top moves by 19 * 2.5 mm * sin(tilt): 12.3 rows of 0.8 mm at 12°, 7.2 at 7°.
    assert volume.hu.shape == (20, 14 + {12: 13, -7: 8}[degrees], 18)
    image = sitk.GetImageFromArray(volume.hu)
    image.SetSpacing(volume.spacing[::-1])
    image.SetOrigin(volume.origin)
    image.SetDirection(volume.direction)
    checked = 0
    for z, y, x in np.ndindex(volume.hu.shape):
        place = np.array(image.TransformIndexToPhysicalPoint((x, y, z)))
        down = (place - series[z].ImagePositionPatient) @ series[z].ImageOrientationPatient[3:]
        if place[1] > -91.0 and 0.8 < down < 0.8 * 12:  # away from the edges
            assert volume.hu[z, y, x] == pytest.approx(hu_at(place), abs=1.01)  # whole HU
            checked += 1
    assert checked > 2000


def test_tilt_by_hand(tmp_path):
    # 2.5 mm of table at 12°: each slice lies 2.5 * sin(12°) = 0.5198 mm = 0.6497 rows behind the
    # one below. So row 8 of the second slice is 0.6497 of its own row 7 and 0.3503 of row 8.
    volume = read(tilted(12), tmp_path)
    stored = body_hu()
    np.testing.assert_array_equal(volume.hu[0, :14], stored[0])
    np.testing.assert_array_equal(volume.hu[0, 14:], -1024)
    by_hand = 0.6497 * stored[1, 7] + 0.3503 * stored[1, 8]
    np.testing.assert_allclose(volume.hu[1, 8], by_hand, atol=0.1)


def test_a_gap_in_a_tilted_stack_is_a_gap(tmp_path):
    series = tilted(12)
    del series[7]
    with pytest.raises(MissingSlices, match=r"1 of 18 gaps .* differ from 2\.45 mm"):
        read(series, tmp_path)


def test_slices_that_wander_sideways_without_a_tilt_are_refused(tmp_path):
    series = ct_series()
    for index, ds in enumerate(series):  # a straight line, but no table moves like that
        ds.ImagePositionPatient[0] += 0.4 * index
    with pytest.raises(NotAVolume, match=r"shifted sideways .* up to 7\.6 mm"):
        read(series, tmp_path)


def test_slice_moved_sideways_is_refused(tmp_path):
    series = ct_series()
    series[4].ImagePositionPatient[0] += 3.0
    with pytest.raises(NotAVolume, match=r"sideways .* 3\.0 mm, first at -30\.0 mm"):
        read(series, tmp_path)


def test_coronal_series_is_refused(tmp_path):
    with pytest.raises(NotAVolume, match="90° off"):
        read(ct_series(orientation=(1, 0, 0, 0, 0, -1)), tmp_path)


def test_mixed_orientations_matrices_and_pixel_sizes_are_refused(tmp_path):
    turned = ct_series()
    turned[3].ImageOrientationPatient = [0.0, 1.0, 0.0, -1.0, 0.0, 0.0]
    with pytest.raises(NotAVolume, match=r"different directions: 1 differ .* -32\.5 mm"):
        read(turned, tmp_path / "turned")
    resized = ct_series()
    set_pixels(resized[2], np.zeros((7, 9), np.int16))
    with pytest.raises(NotAVolume, match=r"different matrices \(14 × 18 and 7 × 9\)"):
        read(resized, tmp_path / "resized")
    zoomed = ct_series()
    zoomed[2].PixelSpacing = [0.8, 0.9]
    with pytest.raises(NotAVolume, match="different pixel sizes"):
        read(zoomed, tmp_path / "zoomed")


def test_few_or_thick_slices_are_refused_with_both_numbers(tmp_path):
    with pytest.raises(NotAVolume, match="has 9 slices; at least 16"):
        read(ct_series(body_hu(slices=9)), tmp_path / "few")
    with pytest.raises(NotAVolume, match="has 1 slices; at least 16"):
        read(ct_series(body_hu(slices=1)), tmp_path / "one")
    with pytest.raises(SlicesTooThick, match=r"12\.5 mm apart; at most 10\.0 mm"):
        read(ct_series(step_mm=12.5), tmp_path / "thick")


def test_missing_or_senseless_position_is_refused(tmp_path):
    series = ct_series()
    del series[0].ImagePositionPatient
    series[1].ImageOrientationPatient = [1.0, 0.0, 0.0, 1.0, 0.0, 0.0]
    series[2].PixelSpacing = [0.0, 0.7]
    with pytest.raises(NotAVolume, match="3 of 20 images do not say where"):
        read(series, tmp_path)


def test_position_beyond_any_room_is_none(tmp_path):
    series = ct_series()
    series[7].ImagePositionPatient = ["-120", "1e308", "-40"]
    with pytest.raises(NotAVolume, match="1 of 20 images do not say where"):
        read(series, tmp_path)
    like = read_header(tmp_path / "000.dcm", CONFIG)
    assert read_header(tmp_path / "007.dcm", CONFIG, like).images[0].plane is None


@pytest.mark.parametrize(
    ("pixels", "columns", "words"),
    [
        (["0.09", "0.7"], 18, r"measure 0\.09 × 0\.7 mm; 0\.1 to 10 mm are expected"),
        (["0.7", "20"], 18, r"measure 0\.7 × 20 mm; 0\.1 to 10 mm are expected"),
        (["1e-300", "1e-300"], 18, "measure 1e-300 × 1e-300 mm"),
        (["0.8", "4.0"], 251, r"11 × 1004 mm; no scanner's are wider than 1000 mm"),
    ],
)
@pytest.mark.parametrize("tilt_deg", [0, 10])
def test_pixels_no_scanner_has_are_refused(tmp_path, tilt_deg, pixels, columns, words):
    c, s = np.cos(np.radians(tilt_deg)), np.sin(np.radians(tilt_deg))
    series = ct_series(body_hu(columns=columns), orientation=(1, 0, 0, 0, c, s))
    for index, ds in enumerate(series):
        ds.PixelSpacing, ds.ImagePositionPatient = pixels, ["-120", "-95", str(2.5 * index)]
    with pytest.raises(NotAVolume, match=words):
        read(series, tmp_path)


@pytest.mark.parametrize(
    ("pixels", "columns"),
    [((0.1, 0.1), 18), ((0.25, 0.25), 64), ((5.0, 5.0), 18), ((0.8, 4.0), 250)],
)
def test_pixels_of_children_and_of_wide_bores_are_read(tmp_path, pixels, columns):
    hu = np.pad(body_hu(), ((0, 0), (0, 0), (0, columns - 18)), constant_values=-1000)
    volume = read(ct_series(hu, pixel_spacing=pixels), tmp_path)
    assert volume.spacing == pytest.approx((2.5, *pixels))


def test_slices_thinner_than_any_scanners_are_refused(tmp_path):
    with pytest.raises(NotAVolume, match=r"0\.05 mm apart; no scanner measures less than 0\.1"):
        read(ct_series(step_mm=0.05), tmp_path)


# --- Duplicates and strangers ---------------------------------------------------------------


def test_identical_copies_are_dropped_and_noted(tmp_path):
    series = ct_series()
    volume = read([*series, series[3], series[11]], tmp_path)
    np.testing.assert_allclose(volume.hu, body_hu(), atol=0.5)
    assert volume.repairs == ("identical copies of slices dropped: 2",)


def test_copy_in_another_encoding_is_a_copy_too(tmp_path):
    series = ct_series()
    twin = ct_series()[3]
    twin.compress(RLELossless)
    assert read([*series, twin], tmp_path).hu.shape == (20, 14, 18)


def test_two_different_images_at_one_place_are_refused(tmp_path):
    series, other = ct_series(), ct_series(body_hu() + 7)
    with pytest.raises(NotAVolume, match=r"differ lie at -32\.5 mm"):
        read([*series, other[3]], tmp_path)


def test_same_pixels_with_another_rescale_are_no_copy(tmp_path):
    series, other = ct_series(), ct_series()
    other[3].RescaleIntercept = -1000
    with pytest.raises(NotAVolume, match="share a place"):
        read([*series, other[3]], tmp_path)


# Along a row, down a column: as usual, prone, transposed, feet first, in a turned head.
@pytest.mark.parametrize(
    "orientation",
    [
        (1, 0, 0, 0, 1, 0),
        (-1, 0, 0, 0, -1, 0),
        (0, 1, 0, 1, 0, 0),
        (-1, 0, 0, 0, 1, 0),
        (0, 0.98, 0.2, -1, 0, 0),
    ],
)
def test_values_go_back_onto_the_grid_that_dicom_readers_make(tmp_path, orientation):
    norm = (
        np.reshape(orientation, (2, 3))
        / np.linalg.norm(np.reshape(orientation, (2, 3)), axis=1)[:, None]
    )
    volume = read(ct_series(orientation=norm.ravel()), tmp_path / "scan")
    write_nifti(volume.hu, volume, tmp_path / "back.nii")
    back = sitk.ReadImage(str(tmp_path / "back.nii"))
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "scan")))
    theirs = reader.Execute()
    np.testing.assert_array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(theirs))
    assert back.GetOrigin() == pytest.approx(theirs.GetOrigin(), abs=1e-4)
    assert back.GetDirection() == pytest.approx(theirs.GetDirection(), abs=1e-5)
    assert back.GetSpacing() == pytest.approx(theirs.GetSpacing(), abs=1e-5)


def test_one_localizer_is_left_out(tmp_path):
    localizer = ct_series(body_hu(slices=1), orientation=(0, 1, 0, 0, 0, -1))[0]
    localizer.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    assert read([localizer, *ct_series()], tmp_path).hu.shape[0] == 20


def test_three_localizers_are_too_many_to_be_left_out(tmp_path):
    series = ct_series(body_hu(slices=23))
    for ds in series[:3]:
        ds.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    with pytest.raises(NotAVolume, match="localizers"):
        read(series, tmp_path)


def test_two_patients_under_one_series_are_refused_without_naming_them(tmp_path):
    series = ct_series(patient_id="SECRET-7")
    series[4].PatientID = "SECRET-8"
    with pytest.raises(NotAVolume, match="more than one patient") as error:
        read(series, tmp_path)
    assert "SECRET" not in error.value.what + error.value.next_step


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"PhotometricInterpretation": "PALETTE COLOR"}, NoCtFound, "are PALETTE COLOR"),
        ({"RescaleType": "MGML"}, NotHounsfield, "type MGML"),
        ({"RescaleSlope": 0}, NotHounsfield, "slope 0"),
    ],
)
def test_what_is_no_ct_in_hu_is_refused(tmp_path, change, error, words):
    series = ct_series()
    for keyword, value in change.items():
        setattr(series[6], keyword, value)
    with pytest.raises(error, match=words):
        read(series, tmp_path)


@pytest.mark.parametrize("syntax", [None, RLELossless])
def test_which_end_is_shown_white_changes_no_value(tmp_path, syntax):
    series = ct_series()
    for ds in series:
        ds.PhotometricInterpretation = "MONOCHROME1"
        if syntax:
            ds.compress(syntax)
    np.testing.assert_array_equal(read(series, tmp_path).hu, body_hu())


@pytest.mark.parametrize(
    ("keyword", "value", "words"),
    [
        ("Modality", "MR", "is MR; CT is expected"),
        ("SOPClassUID", "1.2.840.10008.5.1.4.1.1.7", "screenshots"),
    ],
)
def test_other_kinds_are_refused_and_a_slice_that_calls_itself_one_leaves_a_gap(
    tmp_path, keyword, value, words
):
    series = ct_series()
    setattr(series[6], keyword, value)
    with pytest.raises(MissingSlices, match=r"between -27\.5 and -22\.5 mm"):
        read(series, tmp_path)
    for ds in series:
        setattr(ds, keyword, value)
    with pytest.raises(NoCtFound, match=words):
        read(series, tmp_path)


def test_colour_images_are_refused(tmp_path):
    series = ct_series()
    series[2].SamplesPerPixel, series[2].PhotometricInterpretation = 3, "RGB"
    series[2].PlanarConfiguration = 0
    series[2].PixelData = bytes(3 * 2 * 14 * 18)
    with pytest.raises(NoCtFound, match="RGB; MONOCHROME2 is expected"):
        read(series, tmp_path)


# --- Values ---------------------------------------------------------------------------------


def test_each_slice_is_rescaled_by_its_own_header(tmp_path):
    series = ct_series()
    series[5] = ct_series(slope=2.0, intercept=-3000.0)[5]
    volume = read(series, tmp_path)
    np.testing.assert_allclose(volume.hu, body_hu(), atol=1.0)  # slope 2: to the nearest 2 HU


def test_values_below_air_become_air(tmp_path):
    hu = body_hu()
    hu[3, 0, 0], hu[4, 0, 0] = -2048, -3024
    volume = read(ct_series(hu, intercept=0.0), tmp_path)
    assert (volume.hu[3, 0, 0], volume.hu[4, 0, 0]) == (-1024, -1024)
    assert volume.hu.min() == -1024


def test_padding_at_the_border_becomes_air_and_tissue_of_that_value_stays(tmp_path):
    hu = body_hu()
    hu[:, 0, :] = 0  # padding, where nothing was measured
    hu[:, 9, 9] = 0  # water, inside
    series = ct_series(hu, intercept=0.0)
    for ds in series:
        ds.add_new("PixelPaddingValue", "SS", 0)
    volume = read(series, tmp_path)
    assert (volume.hu[:, 0, :] == -1024).all()
    assert (volume.hu[:, 9, 9] == 0).all()


def test_padding_written_unsigned_for_signed_pixels_is_understood(tmp_path):
    hu = body_hu()
    hu[:, 0, :] = -24
    series = ct_series(hu, intercept=0.0)
    for ds in series:
        ds.add_new("PixelPaddingValue", "US", 65536 - 24)
    assert (read(series, tmp_path).hu[:, 0, :] == -1024).all()


def test_padding_written_signed_for_unsigned_pixels_is_understood(tmp_path):
    series = ct_series()
    for ds in series:
        stored = np.frombuffer(ds.PixelData, "<i2").reshape(14, 18).astype("<u2")
        stored[0] = 65536 - 2000
        set_pixels(ds, stored)
        ds.add_new("PixelPaddingValue", "SS", -2000)
    assert (read(series, tmp_path).hu[:, 0, :] == -1024).all()


@pytest.mark.parametrize("syntax", [JPEGLSLossless, RLELossless, None])
def test_signed_values_of_twelve_bits_keep_their_sign(tmp_path, syntax):
    series = ct_series(intercept=0.0)
    for ds in series:
        stored = np.frombuffer(ds.PixelData, "<i2").reshape(14, 18)
        ds.BitsStored, ds.HighBit = 12, 11
        if syntax == JPEGLSLossless:
            coded = jpeg_ls.encode_pixel_data(
                (stored & 0x0FFF).astype("<u2").tobytes(), rows=14, columns=18,
                samples_per_pixel=1, bits_stored=12, photometric_interpretation="MONOCHROME2",
            )  # fmt: skip
            ds.PixelData = encapsulate([bytes(coded)])
            ds["PixelData"].VR = "OB"
            ds.file_meta.TransferSyntaxUID = syntax
        elif syntax:
            ds.compress(syntax)
    np.testing.assert_allclose(read(series, tmp_path).hu, body_hu(), atol=0.5)


def test_bits_above_the_stored_ones_are_ignored(tmp_path):
    series = ct_series()
    for ds in series:
        stored = np.frombuffer(ds.PixelData, "<i2").astype("<u2") | 0x4000  # an old overlay
        ds.PixelData, ds.PixelRepresentation = stored.tobytes(), 0
        ds.BitsStored, ds.HighBit = 12, 11
    np.testing.assert_allclose(read(series, tmp_path).hu, body_hu(), atol=0.5)


def test_without_rescale_values_count_as_hu_and_that_is_noted(tmp_path):
    series = ct_series(intercept=0.0)
    for ds in series:
        del ds.RescaleSlope, ds.RescaleIntercept
    volume = read(series, tmp_path)
    np.testing.assert_allclose(volume.hu, body_hu(), atol=0.5)
    assert volume.doubts[0].startswith("No rescale slope")


@pytest.mark.parametrize(
    ("hu", "numbers"),
    [
        # body_hu goes from -1000 to 40 + 19 + 2 * 12 + 3 * 15 = 128.
        (np.clip(body_hu(), -190, None), "from -190 to 128"),  # no air
        (body_hu() + 1024, "from 24 to 1152"),  # intercept lost
        (body_hu() / 8 - 800, "from -925 to -784"),  # a picture: 141 grey values
    ],
)
def test_values_that_are_no_ct_numbers_are_refused(tmp_path, hu, numbers):
    with pytest.raises(NotHounsfield, match=numbers):
        read(ct_series(hu, intercept=-1200.0), tmp_path)


def test_padding_does_not_pass_for_air(tmp_path):
    hu = body_hu() + 1024
    hu[:, 0] = -2000  # stored values without intercept, around them padding
    with pytest.raises(NotHounsfield, match="from 2"):
        read(ct_series(hu, intercept=0.0), tmp_path)


# --- Headers --------------------------------------------------------------------------------


def test_header_says_what_the_files_say(tmp_path):
    header = read(ct_series(kernel="B70f"), tmp_path).header
    assert header.acquired_on == date(2024, 1, 8)
    assert (header.kernel, header.modality, header.patient_id) == ("B70f", "CT", "NOBODY-1")
    assert (header.patient_sex, header.patient_birth_date) == ("F", "19500102")
    assert header.slice_thickness_mm == 9.0


def test_text_is_kept_as_data_without_control_characters(tmp_path):
    ds = ct_series()[0]
    ds.SeriesDescription = "<b>Thorax</b>\x07[0m\t" + "x" * 100
    header = read_header(write([ds], tmp_path)[0], CONFIG).header
    assert header.description.startswith("<b>Thorax</b> [0m xxx")
    assert len(header.description) == 64


@pytest.mark.parametrize(
    ("dates", "expected"),
    [
        ({"AcquisitionDate": "20240305", "StudyDate": "20240301"}, date(2024, 3, 5)),
        ({"AcquisitionDateTime": "20240306113000.0"}, date(2024, 3, 6)),
        ({"AcquisitionDate": "", "StudyDate": "1999.02.03"}, date(1999, 2, 3)),
        ({"AcquisitionDate": "20241399", "SeriesDate": "20240307"}, date(2024, 3, 7)),
        ({}, None),
    ],
)
def test_date_of_the_acquisition(tmp_path, dates, expected):
    ds = ct_series(acquired_on=None)[0]
    for keyword, value in dates.items():
        setattr(ds, keyword, value)
    assert read_header(write([ds], tmp_path)[0], CONFIG).header.acquired_on == expected


def test_series_whose_uid_was_blanked_keep_apart(tmp_path):
    one, other = ct_series(kernel="B30f")[0], ct_series(kernel="B70f")[0]
    one.SeriesInstanceUID = other.SeriesInstanceUID = ""
    paths = write([one, other], tmp_path)
    uids = {read_header(path, CONFIG).header.series_uid for path in paths}
    assert len(uids) == 2
    assert "" not in uids


# --- Slices that say the same -------------------------------------------------------------------


def test_a_file_read_beside_another_is_read_as_it_is_alone(tmp_path):
    series = ct_series()
    for number, ds in enumerate(series):
        ds.AcquisitionDateTime = f"202401080930{number:02d}.5"
        ds.SliceLocation = number
    paths = write(series, tmp_path / "in")
    first, second, *_ = paths
    like = read_header(first, CONFIG)
    beside = read_header(second, CONFIG, like)
    assert beside == read_header(second, CONFIG)
    assert beside.images[0].plane.position[2] == pytest.approx(-37.5)
    assert beside.header is like.header  # nothing was worked out twice


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("RescaleIntercept", -1000), ("PixelSpacing", [0.8, 0.75]), ("PatientID", "NOBODY-2"),
     ("AcquisitionDateTime", "20240109"), ("ImageType", ["DERIVED"]), ("ConvolutionKernel", "B70f"),
     ("ImagePositionPatient", None), ("ImageOrientationPatient", [1, 0, 0, 0, 0, -1]),
     ("PixelPaddingValue", 7), ("AcquisitionNumber", 3), ("SpecificCharacterSet", "ISO_IR 192")],
)  # fmt: skip
def test_a_file_that_says_something_else_is_read_anew(tmp_path, keyword, value):
    series = ct_series()[:3]
    for ds in series:
        ds.AcquisitionDateTime = "20240108093001"
    setattr(series[1], keyword, value)
    first, other, third = write(series, tmp_path / "in")
    like = read_header(first, CONFIG)
    beside = read_header(other, CONFIG, like)
    assert beside == read_header(other, CONFIG)
    assert read_header(third, CONFIG, beside) == read_header(third, CONFIG)
    assert read_header(first, CONFIG, beside) == like


# --- Enhanced multi-frame -------------------------------------------------------------------


def test_enhanced_ct_reads_as_the_classic_one(tmp_path):
    volume = read([enhanced_ct(step_mm=1.25)], tmp_path)
    np.testing.assert_allclose(volume.hu, body_hu(), atol=0.5)
    assert volume.spacing == pytest.approx((1.25, 0.8, 0.7))
    assert volume.header.kernel == "Br40d"
    assert volume.header.acquired_on == date(2024, 1, 8)


def test_enhanced_ct_compressed_and_with_frames_in_any_order(tmp_path):
    ds = enhanced_ct()
    frames = list(ds.PerFrameFunctionalGroupsSequence)
    pixels = np.frombuffer(ds.PixelData, np.int16).reshape(20, 14, 18)
    order = np.random.default_rng(5).permutation(20)
    ds.PerFrameFunctionalGroupsSequence = [frames[i] for i in order]
    set_pixels(ds, np.ascontiguousarray(pixels[order]))
    ds.compress(RLELossless)
    np.testing.assert_allclose(read([ds], tmp_path).hu, body_hu(), atol=0.5)


def test_enhanced_ct_with_a_frame_missing_is_refused(tmp_path):
    hu = body_hu(slices=21)
    ds = enhanced_ct(hu)
    frames = list(ds.PerFrameFunctionalGroupsSequence)
    ds.PerFrameFunctionalGroupsSequence = frames[:4] + frames[5:]
    pixels = np.frombuffer(ds.PixelData, np.int16).reshape(hu.shape)
    set_pixels(ds, np.delete(pixels, 4, axis=0))
    ds.NumberOfFrames = 20
    with pytest.raises(MissingSlices, match=r"5\.00 mm, between -32\.5 and -27\.5 mm"):
        read([ds], tmp_path)


# --- Two things under one series UID ------------------------------------------------------------


def test_two_phases_shuffled_into_one_fine_stack_are_refused(tmp_path):
    # Arterial at -40, -35, …; venous at -37.5, -32.5, …: together a perfect stack of 2.5 mm.
    series = ct_series(step_mm=2.5)
    for number, ds in enumerate(series):
        ds.AcquisitionNumber = 1 + number % 2
    with pytest.raises(NotAVolume, match=r"slices of 2 acquisitions .* lies at -35\.0 mm"):
        read(series, tmp_path)


def test_acquisitions_one_after_the_other_are_one_volume(tmp_path):
    series = ct_series()
    for number, ds in enumerate(series):
        ds.AcquisitionNumber = 1 + number // 4
    assert read(series, tmp_path).hu.shape[0] == 20


def test_moments_of_a_breath_shuffled_into_one_stack_are_refused(tmp_path):
    series = ct_series()
    for number, ds in enumerate(series):
        ds.TemporalPositionIdentifier = 1 + number % 3
    with pytest.raises(NotAVolume, match="slices of 3 acquisitions"):
        read(series, tmp_path)


def test_files_of_two_days_under_one_uid_are_refused(tmp_path):
    series = ct_series()
    for ds in series[10:]:
        ds.AcquisitionDate = ds.StudyDate = "20240401"
    with pytest.raises(NotAVolume, match="84 days apart"):
        read(series, tmp_path)


@pytest.mark.parametrize("keyword", ["RescaleSlope", "RescaleIntercept"])
def test_slices_on_two_scales_are_refused(tmp_path, keyword):
    series = ct_series()
    delattr(series[4], keyword)
    with pytest.raises(NotHounsfield, match="1 of 20 images have no rescale slope or no intercept"):
        read(series, tmp_path)


def test_frames_on_two_scales_are_refused(tmp_path):
    ds = enhanced_ct()
    del ds.PerFrameFunctionalGroupsSequence[7].PixelValueTransformationSequence[0].RescaleIntercept
    with pytest.raises(NotHounsfield, match="1 of 20 images have no rescale slope or no intercept"):
        read([ds], tmp_path)


@pytest.mark.parametrize("kind", ["MIP", "MINIP"])
def test_projections_are_refused(tmp_path, kind):
    series = ct_series(image_type=("DERIVED", "SECONDARY", "AXIAL", kind))
    with pytest.raises(NotAVolume, match=rf"projections \({kind}\)"):
        read(series, tmp_path)


def test_averages_of_thin_slices_are_a_doubt(tmp_path):
    series = ct_series(image_type=("DERIVED", "SECONDARY", "REFORMATTED", "AVERAGE"))
    assert "averages of thinner" in read(series, tmp_path).doubts[0]


@pytest.mark.parametrize(("said", "doubts"), [("01", 1), ("00", 0)])
def test_lossy_compression_in_the_past_is_a_doubt(tmp_path, said, doubts):
    series = ct_series()
    series[5].LossyImageCompression = said
    found = read(series, tmp_path).doubts
    assert len(found) == doubts
    assert all("compressed with loss" in doubt for doubt in found)


def test_blank_slices_at_the_ends_are_dropped_and_that_is_noted(tmp_path):
    hu = np.concatenate([np.full((3, 14, 18), -1024), body_hu(), np.full((1, 14, 18), -1024)])
    volume = read(ct_series(hu), tmp_path)
    np.testing.assert_array_equal(volume.hu, body_hu())
    # Three slices of 2.5 mm above the first position, -40 mm.
    assert volume.origin == pytest.approx((-120.0, -95.0, -32.5))
    assert volume.repairs == ("blank slices at the ends dropped: 4",)


def test_text_burned_into_the_picture_is_a_doubt(tmp_path):
    series = ct_series()
    series[3].BurnedInAnnotation = "YES"
    assert "burned into the pictures" in read(series, tmp_path).doubts[0]


def test_two_frames_of_reference_are_a_doubt(tmp_path):
    series = ct_series()
    for ds in series:
        ds.FrameOfReferenceUID = "1.2.3"
    series[7].FrameOfReferenceUID = ""  # says nothing
    assert read(series, tmp_path / "one").doubts == ()
    for ds in series[12:]:
        ds.FrameOfReferenceUID = "1.2.4"
    doubts = read(series, tmp_path / "two").doubts
    assert doubts[0].startswith("The slices have 2 frames of reference")


def test_small_files_that_announce_a_large_volume_are_refused(tmp_path):
    paths = write(ct_series(), tmp_path)
    assert read_volume(paths, CONFIG).hu.size == 20 * 14 * 18
    with pytest.raises(NotAVolume, match=r"more than .* bytes can hold"):
        read_volume(paths, replace(CONFIG, max_compression_ratio=0.1))
    with pytest.raises(NotAVolume, match="more than can be held"):
        read_volume(paths, replace(CONFIG, max_volume_bytes=4 * 20 * 14 * 18 - 1))


# --- Hostile files --------------------------------------------------------------------------


def spoil(tmp_path, change):
    path = write(ct_series()[:1], tmp_path)[0]
    path.write_bytes(change(path.read_bytes()))
    return path


def test_file_that_is_not_dicom_is_refused(tmp_path):
    path = spoil(tmp_path, lambda _: b"%PDF-1.7 and so on" * 50)
    with pytest.raises(InputRejected, match="neither a DICOM file nor"):
        read_header(path, CONFIG)


def test_image_damaged_in_its_pixels_is_named_by_its_place(tmp_path):
    series = ct_series()
    for ds in series:
        in_jpeg_ls(ds)
    paths = write(series, tmp_path)
    content = paths[4].read_bytes()
    at = content.index(b"\xff\xd9") - 40  # in the middle of the coded pixels
    paths[4].write_bytes(content[:at] + b"\xff\xd9" + bytes(38) + content[at + 40 :])
    with pytest.raises(InputRejected, match=r"at -30\.0 mm cannot be decoded \(its content breaks"):
        read_volume(paths, CONFIG)


def in_jpeg_ls(ds):
    stored = np.frombuffer(ds.PixelData, np.uint16).reshape(ds.Rows, ds.Columns)
    ds.PixelData = encapsulate([bytes(jpeg_ls.encode_array(stored))])
    ds.file_meta.TransferSyntaxUID, ds.PixelRepresentation = JPEGLSLossless, 0


def in_runs(ds):
    ds.compress(RLELossless, generate_instance_uid=False)


def implicitly(ds):
    ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian


@pytest.mark.parametrize("write_as", [lambda ds: None, implicitly, in_jpeg_ls, in_runs])
@pytest.mark.parametrize("lost", [9, 100, "pixels"])
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_image_cut_in_its_pixels_is_refused_by_its_header_alone(tmp_path, write_as, lost):
    """The header is longer than what is lost, so that the size of the file alone tells nothing."""
    series = ct_series()
    for ds in series:
        write_as(ds)
    paths = write(series, tmp_path / "in")
    assert not read_header(paths[4], CONFIG).cut_short
    assert read_volume(paths, CONFIG).hu.shape == (20, 14, 18)
    content = paths[4].read_bytes()
    end = content.index(b"\xe0\x7f\x10\x00") if lost == "pixels" else len(content) - lost
    paths[4].write_bytes(content[:end])
    found = take_inventory(tmp_path / "in", CONFIG, tmp_path)
    assert found.chosen is None
    with pytest.raises(InputRejected, match="A file of the series is cut short: ") as refusal:
        read_volume(paths, CONFIG)
    assert found.series[0].reasons == (refusal.value.what,)


def test_fewer_pixels_announced_than_the_image_has_are_cut_short(tmp_path):
    ds = ct_series()[0]
    ds.PixelData = ds.PixelData[:-4]
    path = write([ds], tmp_path)[0]
    assert read_header(path, CONFIG).cut_short == "500 of 504 bytes of the image are there"


def test_file_cut_in_its_header_is_refused(tmp_path):
    path = spoil(tmp_path, lambda content: content[:400])
    with pytest.raises(InputRejected):
        read_volume([path], CONFIG)


def test_uncompressed_image_much_shorter_than_announced_is_cut_short(tmp_path):
    ds = ct_series()[0]
    ds.Rows, ds.Columns = 512, 512
    path = write([ds], tmp_path)[0]
    assert "the image alone has 524,288" in read_header(path, CONFIG).cut_short
    with pytest.raises(InputRejected, match=r"cut short: .* the image alone has 524,288"):
        read_volume([path], CONFIG)


@pytest.mark.parametrize("keyword", ["Rows", "Columns"])
def test_absurd_matrix_is_refused(tmp_path, keyword):
    ds = ct_series()[0]
    setattr(ds, keyword, 65535)
    with pytest.raises(InputRejected, match=r"65535.* pixels; 1 to 2048"):
        read_header(write([ds], tmp_path)[0], CONFIG)


def test_absurd_number_of_frames_is_refused(tmp_path):
    ds = enhanced_ct()
    ds.NumberOfFrames = 2_000_000_000
    with pytest.raises(InputRejected, match="2000000000 frames"):
        read_header(write([ds], tmp_path)[0], CONFIG)


def test_deflate_bomb_is_refused_before_it_is_inflated(tmp_path):
    ds = ct_series()[0]
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    path = write([ds], tmp_path)[0]
    assert read_header(path, CONFIG).images  # as it is, it reads
    deflate = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    bomb = deflate.compress(bytes(64 * 1024**2)) + deflate.flush()
    content = path.read_bytes()
    start = 132 + 12 + int.from_bytes(content[140:144], "little")
    path.write_bytes(content[:start] + bomb)
    with pytest.raises(InputRejected, match="unpacks to far more"):
        read_header(path, CONFIG)


@pytest.mark.parametrize("lie", [0, 400])
def test_deflate_bomb_behind_a_long_meta_group_is_refused(tmp_path, lie):
    """The transfer syntax stands beyond what is looked at first; the group's length may lie."""
    ds = ct_series()[0]
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    ds.file_meta.FileMetaInformationVersion = bytes(4096)
    path = write([ds], tmp_path)[0]
    assert read_header(path, CONFIG).images  # as it is, it reads
    deflate = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    bomb = deflate.compress(bytes(64 * 1024**2)) + deflate.flush()
    content = path.read_bytes()
    length = int.from_bytes(content[140:144], "little")
    front = content[:140] + (length - lie).to_bytes(4, "little") + content[144 : 144 + length]
    path.write_bytes(front + bomb)
    with pytest.raises(InputRejected, match="unpacks to far more"):
        read_header(path, CONFIG)


def announcing(frames, groups=0):
    """1 kB that announces many frames, compressed, so that its size does not disprove them."""
    ds = enhanced_ct(body_hu(1))
    ds.PerFrameFunctionalGroupsSequence = list(ds.PerFrameFunctionalGroupsSequence) * groups
    ds.compress(RLELossless, generate_instance_uid=False)
    ds.NumberOfFrames = frames
    return ds


def test_thousands_of_frames_announced_cost_nothing(tmp_path):
    one, other = announcing(20_000), ct_series()[0]
    other.Modality, other.NumberOfFrames = "US", 20_000
    cut = enhanced_ct(body_hu(2))
    cut.NumberOfFrames = 20_000
    paths = write([one, other, cut], tmp_path)
    assert [len(read_header(path, CONFIG).images) for path in paths] == [1, 1, 1]
    for path in paths:
        with pytest.raises(InputRejected):
            read_scan(path, CONFIG)


def test_frame_without_a_place_is_refused(tmp_path):
    ds = enhanced_ct()
    del ds.PerFrameFunctionalGroupsSequence[19]
    with pytest.raises(NotAVolume, match="do not say where in the patient"):
        read([ds], tmp_path)


def test_images_of_all_files_count_together(tmp_path):
    series = [enhanced_ct(name=name) for name in "ab"]
    write(series, tmp_path / "in")
    found = take_inventory(tmp_path / "in", replace(CONFIG, max_files=40), tmp_path)
    assert len(found.series) == 2
    with pytest.raises(InputRejected, match="more than 39 images"):
        take_inventory(tmp_path / "in", replace(CONFIG, max_files=39), tmp_path)


@pytest.mark.parametrize(
    "fault", [AttributeError("x"), EOFError("x"), MemoryError("x"), RecursionError("x")]
)
def test_reasons_are_in_words_not_in_those_of_a_program(fault):
    with pytest.raises(InputRejected) as refusal, translated("damaged (%s)"):
        raise fault
    assert "Error" not in refusal.value.what


# --- Damage beside a series ---------------------------------------------------------------------


def beside(tmp_path, change, name="019.dcm"):
    """The doubts about a scan whose last slice was damaged, or beside which something lies."""
    folder = tmp_path / "in"
    write(ct_series(), folder)
    path = folder / name
    path.write_bytes(change(path.read_bytes() if path.exists() else b""))
    _, volume = read_scan(tmp_path / "in", CONFIG)
    return len(volume.hu), volume.doubts


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content[:200],  # in the group in front
        lambda content: content[: content.index(b"\x08\x00\x60\x00")],  # before it says CT
        lambda content: content[: content.index(b"\x20\x00\x0d\x00")],  # before its UIDs
        lambda content: b"",
        lambda content: bytes(len(content)),
    ],
)
def test_last_slice_that_cannot_be_read_is_a_doubt(tmp_path, change):
    slices, doubts = beside(tmp_path, change)
    assert slices == 19
    assert doubts == (
        "1 file beside the slices cannot be read: slices may be missing at an end of the scan",
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [("letter.txt", b"Dear"), ("README", b"Read"), ("LOCK", b""), ("other/1.dcm", b"x" * 500)],
)
def test_what_is_no_slice_by_its_name_or_place_is_no_doubt(tmp_path, name, content):
    (tmp_path / "in/other").mkdir(parents=True)
    assert beside(tmp_path, lambda _: content, name) == (20, ())


@pytest.mark.parametrize(("content", "doubts"), [(b"Read me", 0), (b"", 1)])
def test_without_endings_a_text_is_no_slice_and_an_empty_file_may_be_one(tmp_path, content, doubts):
    for number, path in enumerate(write(ct_series(), tmp_path)):
        path.rename(tmp_path / f"1.2.840.{number}")
    (tmp_path / "README").write_bytes(content)
    assert len(read_scan(tmp_path, CONFIG)[1].doubts) == doubts


def test_slice_damaged_in_its_archive_is_a_doubt(tmp_path):
    paths = write(ct_series(), tmp_path / "in")
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in paths:
            packed.write(path, f"study/{path.name}")
    content = bytearray(archive.read_bytes())
    at = content.rindex(paths[-1].read_bytes()[-50:])
    content[at] ^= 1
    archive.write_bytes(content)
    inventory, volume = read_scan(archive, CONFIG)
    assert inventory.rejected_files[0].path == "study/019.dcm"
    assert len(volume.hu) == 19
    assert "1 file beside the slices" in volume.doubts[0]


def test_sequences_nested_thousands_deep_are_refused(tmp_path):
    path = write(ct_series()[:1], tmp_path)[0]
    # (0040,A730) SQ of undefined length, then an item of undefined length, again and again.
    level = b"\x40\x00\x30\xa7SQ\x00\x00" + b"\xff" * 4 + b"\xfe\xff\x00\xe0" + b"\xff" * 4
    content = path.read_bytes()
    at = content.index(b"\xe0\x7f\x10\x00OW")
    path.write_bytes(content[:at] + level * 5000)
    with pytest.raises(InputRejected, match="damaged"):
        read_header(path, CONFIG)


def test_frame_that_claims_another_size_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    made_room = []
    monkeypatch.setattr("ctrs.ingest.dicom._decode_by_simpleitk", made_room.append)
    series = ct_series()
    ds = pydicom.dcmread(real("zoo/wg04_ct/CT2_J2KR"))
    for slice_ in series:
        slice_.PixelData = ds.PixelData
        slice_["PixelData"].VR = "OB"
        slice_["PixelData"].is_undefined_length = True
        slice_.file_meta.TransferSyntaxUID = JPEG2000Lossless
    with pytest.raises(InputRejected, match=r"at -40\.0 mm cannot be decoded \(its content"):
        read(series, tmp_path)
    assert not made_room


# pydicom warns of odd values; outside of tests those warnings are switched off for the process.
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_flipped_bytes_give_an_answer_or_a_ctrs_error_never_another(tmp_path):
    rng = np.random.default_rng(11)
    paths = write(ct_series(), tmp_path)
    good = paths[9].read_bytes()
    for _ in range(150):
        bad = bytearray(good)
        for at in rng.integers(0, len(bad), 12):
            bad[at] = rng.integers(0, 256)
        paths[9].write_bytes(bad)
        try:
            volume = read_volume(paths, CONFIG)
        except InputRejected:
            continue
        assert volume.hu.shape[0] in (19, 20)
        assert np.isfinite(volume.hu).all()


# --- JPEG 2000 and JPEG-LS ----------------------------------------------------------------------


@pytest.mark.parametrize("bits", [10, 12, 13, 16])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(
    ("syntax", "encoder"), [(JPEG2000Lossless, "pylibjpeg"), (JPEGLSLossless, "pyjpegls")]
)
def test_lossless_jpeg_gives_back_every_value_there_can_be(bits, signed, syntax, encoder, tmp_path):
    low = -(2 ** (bits - 1)) if signed else 0
    values = np.arange(low, low + 2**bits, 2 ** (bits - 10)) + (2 ** (bits - 10) - 1)
    values[0] = low  # from the least to the greatest
    image = np.random.default_rng(bits).permutation(values).reshape(32, 32)
    ds = ct_series()[3]
    set_pixels(ds, image.astype(np.int16 if signed else np.uint16))
    ds.BitsStored, ds.HighBit = bits, bits - 1
    ds.compress(syntax, encoding_plugin=encoder)
    np.testing.assert_array_equal(stored(*write([ds], tmp_path)).astype(int), image)


# --- High-throughput JPEG 2000 ------------------------------------------------------------------


@pytest.mark.parametrize("syntax", [HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K])
def test_high_throughput_jpeg_2000_decodes_to_the_pixels_that_were_encoded(tmp_path, syntax):
    # tests/data/htj2k.jhc: these pixels, encoded without loss by OpenJPH 0.26.3 (imagecodecs).
    pixels = np.random.default_rng(9).integers(-2048, 3072, (45, 38)).astype(np.int16)
    pixels[10:30, 5:20] //= 40
    ds = ct_series()[0]
    set_pixels(ds, pixels)
    coded = (Path(__file__).parent / "data/htj2k.jhc").read_bytes()
    ds.PixelData = encapsulate([coded])
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    ds.file_meta.TransferSyntaxUID = syntax
    (path,) = write([ds], tmp_path)
    file = read_header(path, CONFIG)
    np.testing.assert_array_equal(next(decoded(file, file.images, CONFIG)), pixels)
    assert file.is_lossy == (syntax == HTJ2K)  # by its name it may be


# --- Pixels taken as they are -------------------------------------------------------------------


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [12, 16])
def test_plain_pixels_are_those_that_pydicom_reads(tmp_path, implicit, signed, bits):
    ds = ct_series()[0]
    noise = np.random.default_rng(bits).integers(0, 65536, (14, 18)).astype("<u2")
    set_pixels(ds, noise)
    ds.BitsStored, ds.HighBit, ds.PixelRepresentation = bits, bits - 1, int(signed)
    ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    file = read_header(write([ds], tmp_path)[0], CONFIG)
    assert file.plain is not None
    (taken,) = decoded(file, file.images, CONFIG)
    (read_by_pydicom,) = decoded(replace(file, plain=None), file.images, CONFIG)
    np.testing.assert_array_equal(taken, read_by_pydicom)


def test_frames_of_a_plain_file_are_told_apart(tmp_path):
    file = read_header(write([enhanced_ct()], tmp_path)[0], CONFIG)
    taken = list(decoded(file, file.images, CONFIG))
    other = list(decoded(replace(file, plain=None), file.images, CONFIG))
    np.testing.assert_array_equal(taken, other)


def unlike_the_rest(ds):
    ds.BitsStored, ds.HighBit = 12, 13


def cut(ds):
    ds.PixelData = ds.PixelData[:-10]


@pytest.mark.parametrize("oddity", [unlike_the_rest, cut])
def test_odd_pixels_are_left_to_pydicom(tmp_path, oddity):
    ds = ct_series()[0]
    oddity(ds)
    assert read_header(write([ds], tmp_path)[0], CONFIG).plain is None


# --- Real files -----------------------------------------------------------------------------

LOSSLESS = (
    "LittleEndianImplicitTransferSyntax_1.2.840.10008.1.2",
    "LittleEndianExplicitTransferSyntax_1.2.840.10008.1.2.1",
    "BigEndianExplicitTransferSyntax_1.2.840.10008.1.2.2",
    "DeflatedExplicitVRLittleEndianTransferSyntax_1.2.840.10008.1.2.1.99",
    "RLELosslessTransferSyntax_1.2.840.10008.1.2.5",
    "JPEGProcess14TransferSyntax_1.2.840.10008.1.2.4.57",
    "JPEGProcess14SV1TransferSyntax_1.2.840.10008.1.2.4.70",
    "JPEGLSLosslessTransferSyntax_1.2.840.10008.1.2.4.80",
    "JPEG2000LosslessOnlyTransferSyntax_1.2.840.10008.1.2.4.90",
)


def stored(path):
    file = read_header(path, CONFIG)
    return next(decoded(file, file.images, CONFIG))


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_all_lossless_encodings_decode_to_the_same_pixels(syntax):
    folder = real("zoo/ct_all_transfer_syntaxes")
    expected = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "CTImage.dcm")))[0]
    found = stored(folder / f"CTImage.dcm_{syntax}.dcm")
    # SimpleITK rescales: the header of this image says 1 * stored - 1024.
    np.testing.assert_array_equal(found.astype(int) - 1024, expected)


@pytest.mark.parametrize("image", ["CT1", "CT2"])
def test_nema_test_images_decode_alike(image):
    folder = real("zoo/wg04_ct")
    first, *others = (stored(folder / f"{image}_{how}") for how in ("J2KR", "JPLL", "RLE"))
    for other in others:
        np.testing.assert_array_equal(first, other)


def test_no_decoder_under_the_gpl_is_needed():
    folder = real("zoo/ct_all_transfer_syntaxes")
    program = (
        # pylibjpeg loads every plugin that is installed; make it see none of the GPL one.
        "import importlib.metadata as metadata, sys\n"
        "found = metadata.entry_points\n"
        "metadata.entry_points = lambda **kind: [\n"
        "    point for point in found(**kind) if not point.value.startswith('libjpeg')]\n"
        "sys.modules['libjpeg'] = None\n"
        "from pathlib import Path\n"
        "from ctrs.config import IntakeConfig\n"
        "from ctrs.ingest.dicom import decoded, read_header\n"
        "for name in sys.argv[1:]:\n"
        "    file = read_header(Path(name), IntakeConfig())\n"
        "    print(next(decoded(file, file.images, IntakeConfig())).sum(dtype=int))\n"
    )
    files = [str(folder / f"CTImage.dcm_{syntax}.dcm") for syntax in LOSSLESS]
    done = subprocess.run(
        [sys.executable, "-c", program, *files], capture_output=True, text=True, check=True
    )
    assert len(done.stdout.split()) == len(LOSSLESS)
    assert len(set(done.stdout.split())) == 1


def test_real_gantry_tilt_with_uneven_gaps_is_refused_by_its_first_gap():
    paths = sorted(real("zoo/ct_gantry_tilt_GE").iterdir())
    with pytest.raises(MissingSlices, match="gaps between slices differ"):
        read_volume(paths, CONFIG)


@pytest.mark.parametrize("series", ["CT_series2", "CT_series3"])
def test_real_series_equals_simpleitk(series):
    folder = real(f"ct/lungdx/Lung_Dx-A0002/{series}")
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    itk = reader.Execute()
    volume = read_volume(sorted(folder.iterdir(), reverse=True), CONFIG)
    np.testing.assert_array_equal(volume.hu, np.maximum(sitk.GetArrayFromImage(itk), -1024))
    assert volume.spacing == pytest.approx(itk.GetSpacing()[::-1])
    assert volume.origin == pytest.approx(itk.GetOrigin())


@pytest.mark.slow
def test_real_jpeg_ls_series_equals_simpleitk():
    folder = real("ct/nlst101287/CT_3_952642")
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    itk = sitk.GetArrayFromImage(reader.Execute())
    assert itk.min() == -2048  # padding
    volume = read_volume(sorted(folder.iterdir()), CONFIG)
    assert volume.spacing == pytest.approx((2.0, 0.54, 0.54))
    np.testing.assert_array_equal(volume.hu, np.maximum(itk, -1024))


def test_limits_come_from_the_config(tmp_path):
    paths = write(ct_series(), tmp_path)
    with pytest.raises(NotAVolume, match="at least 21"):
        read_volume(paths, replace(CONFIG, min_slices=21))
    with pytest.raises(InputRejected, match="1 to 13"):
        read_volume(paths, replace(CONFIG, max_matrix=13))


def test_empty_dataset_is_refused(tmp_path):
    ds = Dataset()
    ds.file_meta = ct_series()[0].file_meta
    ds.PatientID = "NOBODY"
    with pytest.raises(NoCtFound):
        read([ds], tmp_path)
