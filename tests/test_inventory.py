"""What is found in folders, archives and files; which series is chosen, and why the others not."""

import copy
import os
import shutil
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.uid import (
    SecondaryCaptureImageStorage,
    XRayRadiationDoseSRStorage,
    generate_uid,
)

from ctrs.config import IntakeConfig
from ctrs.errors import (
    InputRejected,
    MissingSlices,
    NoCtFound,
    NotAVolume,
    NotHounsfield,
    UnsafeArchive,
)
from ctrs.ingest import read_scan, read_volume, take_inventory
from tests.dicom_files import body_hu, ct_series, enhanced_ct, set_pixels, write

CONFIG = IntakeConfig()
DATA = Path(os.environ.get("CTRS_TEST_DATA", "../shared/data"))
ZOO = (
    "ct_all_transfer_syntaxes",
    "ct_gantry_tilt_GE",
    "ct_localizer_and_summary",
    "dcmqi_seg",
    "dicom2nifti_failing",
    "highdicom",
    "pl_lungct_secondary_capture",
    "pydicom_wheel",
    "wg04_ct",
)


def real(path):
    if not (DATA / path).exists():
        pytest.skip(f"needs the real files {path}: set CTRS_TEST_DATA")
    return DATA / path


def inventory(path, config=CONFIG):
    return take_inventory(path, config, path.parent / "scratch")


def pack(folder, archive):
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            packed.write(path, path.relative_to(folder))
    return archive


# --- What is found --------------------------------------------------------------------------


def test_folder_with_a_mix_of_everything(tmp_path):
    folder = tmp_path / "study"
    write(ct_series(name="thin"), folder / "a/b")
    write(ct_series(name="mr", modality="MR")[:3], folder / "mr")
    localizer = ct_series(body_hu(slices=1), name="scout", image_type=("O", "P", "LOCALIZER"))
    write(localizer, folder / "scout")
    (folder / "report.pdf").write_bytes(b"%PDF-1.4" * 100)
    (folder / "inner.zip").write_bytes(b"PK\x03\x04" * 10)
    found = inventory(folder)
    assert found.n_files == 20 + 3 + 1 + 2
    assert [(s.header.modality, s.accepted, s.rank, len(s.files)) for s in found.series] == [
        ("CT", True, 1, 20),
        ("CT", False, None, 1),
        ("MR", False, None, 3),
    ]
    assert found.chosen == found.series[0]
    assert (found.chosen.shape, found.chosen.spacing) == ((20, 14, 18), (2.5, 0.8, 0.7))
    assert "localizers" in found.series[1].reasons[0]
    assert found.series[2].reasons == ("The series is MR; CT is expected.",)
    assert {r.path: r.reason for r in found.rejected_files} == {
        "inner.zip": "The archive is damaged, or no zip archive.",
        "report.pdf": "neither a DICOM file nor an image volume",
    }


def test_files_of_the_chosen_series_come_from_feet_to_head(tmp_path):
    series = ct_series()
    write(series[::-1], tmp_path / "study")
    names = [path.name for path in inventory(tmp_path / "study").chosen.files]
    assert names[:2] == ["019.dcm", "018.dcm"]


def test_localizer_within_a_series_is_set_aside_with_a_reason(tmp_path):
    series = ct_series(body_hu(slices=21))
    series[20].ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    write(series, tmp_path / "study")
    found = inventory(tmp_path / "study")
    assert found.chosen.shape[0] == 20
    assert [(r.path, r.reason) for r in found.rejected_files] == [
        ("020.dcm", "a localizer within a CT series, set aside")
    ]


def dose_report(slice_):
    """A report that carries the UIDs of a CT slice's series."""
    report = copy.deepcopy(slice_)
    report.Modality, report.SOPInstanceUID = "SR", generate_uid(entropy_srcs=["report"])
    report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = XRayRadiationDoseSRStorage
    for keyword in ("PixelData", "Rows", "Columns", "ImagePositionPatient", "RescaleSlope"):
        delattr(report, keyword)
    return report


def test_other_kinds_within_a_series_are_set_aside_with_a_reason(tmp_path):
    series = ct_series(body_hu(slices=22))
    series[20].SOPClassUID = SecondaryCaptureImageStorage
    series[21].Modality = "PT"
    write([dose_report(series[3]), *series], tmp_path / "study")
    found = inventory(tmp_path / "study")
    assert (found.chosen.shape, len(found.chosen.files), found.n_files) == ((20, 14, 18), 20, 23)
    assert {r.path: r.reason for r in found.rejected_files} == {
        "000.dcm": "SR within a CT series, set aside",
        "021.dcm": "a screenshot within a CT series, set aside",
        "022.dcm": "PT within a CT series, set aside",
    }


def two_phases(apart_mm, second_slices=22):
    """An arterial and a venous phase under one UID; the second one has more slices."""
    arterial = ct_series(name="p")
    venous = ct_series(
        body_hu(slices=second_slices) + 7, name="p", first_position=(-120, -95, -40 + apart_mm)
    )
    for number, phase in enumerate((arterial, venous), 1):
        for ds in phase:
            ds.AcquisitionNumber = number
    return [*arterial, *venous]


@pytest.mark.parametrize("apart_mm", [0.0, 1.1, 1.25])
def test_phases_in_one_series_are_told_apart_and_one_is_chosen(tmp_path, apart_mm):
    write(two_phases(apart_mm), tmp_path / "in")
    found, volume = read_scan(tmp_path / "in", CONFIG)
    assert [series.shape[0] for series in found.series] == [22, 20]
    assert found.series[0].reasons == (
        "axial, 2.5 mm between slices, soft kernel, 22 slices over 55 mm, acquisition 2 of 2 in "
        "its series",
        "passed over: acquisition 1 of 2 in its series",
    )
    np.testing.assert_array_equal(volume.hu, body_hu(slices=22) + 7)
    # The other one by its name, and again from its files.
    other = found.series[1]
    again = read_scan(tmp_path / "in", CONFIG, other.header.series_uid)[1]
    np.testing.assert_array_equal(again.hu, body_hu())
    assert again.header.series_uid == other.header.series_uid != volume.header.series_uid
    assert read_volume(other, CONFIG).sha256 == again.sha256


def of_phase(keyword, value):
    """What a frame of enhanced CT says of its phase."""
    macro = "CardiacSynchronizationSequence" if "Cardiac" in keyword else "FrameContentSequence"
    inside, outside = Dataset(), Dataset()
    setattr(inside, keyword, value)
    setattr(outside, macro, [inside])
    return outside


def phases_in_one_file(apart_mm, keyword, values, lost=()):
    """Two phases as the frames of one file, in no order; the second one has more slices.

    Args:
        lost: Frames of the second phase that are not there.
    """
    ds, venous = enhanced_ct(), enhanced_ct(body_hu(slices=22) + 7)
    frames, pixels = [], []
    for phase, (source, value) in enumerate(zip((ds, venous), values, strict=True)):
        stored = np.frombuffer(source.PixelData, np.int16).reshape(-1, 14, 18)
        for index, frame in enumerate(source.PerFrameFunctionalGroupsSequence):
            if phase == 0 or index not in lost:
                frame.update(of_phase(keyword, value))
                z = frame.PlanePositionSequence[0].ImagePositionPatient[2] + phase * apart_mm
                frame.PlanePositionSequence[0].ImagePositionPatient[2] = z
                frames.append(frame)
                pixels.append(stored[index])
    order = np.random.default_rng(3).permutation(len(frames))
    ds.PerFrameFunctionalGroupsSequence = [frames[i] for i in order]
    ds.NumberOfFrames = len(frames)
    set_pixels(ds, np.stack([pixels[i] for i in order]))
    return ds


@pytest.mark.parametrize("apart_mm", [0.0, 1.1, 1.25])
@pytest.mark.parametrize(
    ("keyword", "values"),
    [("FrameAcquisitionNumber", (2, 10)), ("TemporalPositionIndex", (1, 2)),
     ("NominalPercentageOfCardiacPhase", (5.0, 75.0)), ("StackID", ("1", "2"))],
)  # fmt: skip
def test_phases_in_one_file_are_told_apart_and_one_is_chosen(tmp_path, apart_mm, keyword, values):
    path = write([phases_in_one_file(apart_mm, keyword, values)], tmp_path / "in")[0]
    found, volume = read_scan(path, CONFIG)
    assert [series.shape[0] for series in found.series] == [22, 20]
    assert "acquisition 2 of 2 in its series" in found.series[0].reasons[0]
    np.testing.assert_allclose(volume.hu, body_hu(slices=22) + 7, atol=0.5)
    assert volume.origin[2] == pytest.approx(-40 + apart_mm)
    other = found.series[1].header.series_uid
    assert other == volume.header.series_uid.removesuffix("#2") + "#1"
    np.testing.assert_allclose(read_scan(path, CONFIG, other)[1].hu, body_hu(), atol=0.5)


def test_a_phase_with_a_lost_frame_leaves_the_other_one(tmp_path):
    ds = phases_in_one_file(0.0, "StackID", ("1", "2"), lost=(9,))
    path = write([ds], tmp_path / "in")[0]
    found, volume = read_scan(path, CONFIG)
    assert "1 of 20 gaps" in found.series[1].reasons[0]
    np.testing.assert_allclose(volume.hu, body_hu(), atol=0.5)


def test_a_phase_with_a_frame_that_lies_nowhere_leaves_the_other_one(tmp_path):
    ds = phases_in_one_file(0.0, "StackID", ("1", "2"))
    frames = ds.PerFrameFunctionalGroupsSequence
    del next(f for f in frames if f.FrameContentSequence[0].StackID == "2").PlanePositionSequence
    found, volume = read_scan(write([ds], tmp_path / "in")[0], CONFIG)
    assert "1 of 22 images do not say where" in found.series[1].reasons[0]
    np.testing.assert_allclose(volume.hu, body_hu(), atol=0.5)


def test_phases_in_one_file_with_a_frame_that_says_none_are_refused(tmp_path):
    ds = phases_in_one_file(0.0, "StackID", ("1", "2"))
    del ds.PerFrameFunctionalGroupsSequence[5].FrameContentSequence
    path = write([ds], tmp_path / "in")[0]
    with pytest.raises(NotAVolume, match="share a place with another one"):
        read_scan(path, CONFIG)


def test_phases_are_counted_as_numbers(tmp_path):
    """Ten moments of a breath: the tenth is not the second."""
    series = []
    for moment in range(1, 11):
        phase = ct_series(body_hu(slices=16 + moment) + moment, name="4d")
        for ds in phase:
            ds.TemporalPositionIdentifier = moment
        series += phase
    write(series, tmp_path / "in")
    found = inventory(tmp_path / "in")
    slices = {s.header.series_uid.split("#")[1]: s.shape[0] for s in found.series}
    assert slices == {str(moment): 16 + moment for moment in range(1, 11)}


def test_a_phase_with_a_gap_leaves_the_other_one(tmp_path):
    series = two_phases(0.0)
    del series[20 + 9]  # of the second phase
    write(series, tmp_path / "in")
    found = inventory(tmp_path / "in")
    assert [(s.accepted, len(s.files)) for s in found.series] == [(True, 20), (False, 21)]
    assert "1 of 20 gaps" in found.series[1].reasons[0]


def test_a_slice_lost_between_two_turns_of_one_stack_is_a_gap(tmp_path):
    series = ct_series(body_hu(slices=40))
    for number, ds in enumerate(series):
        ds.AcquisitionNumber = 1 + number // 20
    del series[20]
    write(series, tmp_path / "in")
    with pytest.raises(MissingSlices, match="1 of 38 gaps"):
        read_scan(tmp_path / "in", CONFIG)


def test_two_people_in_one_series_are_not_told_apart_by_their_phases(tmp_path):
    series = two_phases(1.1)
    for ds in series[20:]:
        ds.PatientBirthDate = "19600203"
    write(series, tmp_path / "in")
    with pytest.raises(InputRejected, match="more than one patient"):
        read_scan(tmp_path / "in", CONFIG)


def test_archive_gives_the_same_as_its_folder(tmp_path):
    write(ct_series(), tmp_path / "study/ct")
    archive = pack(tmp_path / "study", tmp_path / "study.zip")
    packed, plain = inventory(archive), inventory(tmp_path / "study")
    assert [(s.header, s.shape, s.reasons) for s in packed.series] == [
        (s.header, s.shape, s.reasons) for s in plain.series
    ]
    assert all((tmp_path / "scratch") in path.parents for path in packed.chosen.files)
    _, volume = read_scan(archive, CONFIG)
    np.testing.assert_allclose(volume.hu, body_hu(), atol=0.5)


def test_archive_inside_an_archive_is_unpacked_once(tmp_path):
    write(ct_series(), tmp_path / "study/ct")
    inner = pack(tmp_path / "study", tmp_path / "outer/deep/inner.zip")
    (tmp_path / "outer/letter.txt").write_text("Dear colleague")
    for path in (tmp_path / "outer", pack(tmp_path / "outer", tmp_path / "outer.zip")):
        found = inventory(path)
        shutil.rmtree(tmp_path / "scratch", ignore_errors=True)
        assert (found.n_files, found.chosen.shape[0]) == (21, 20)
        assert found.rejected_files[0].path == "letter.txt"
    twice = pack(inner.parent, tmp_path / "twice.zip")
    with zipfile.ZipFile(tmp_path / "thrice.zip", "w") as packed:
        packed.write(twice, "twice.zip")
    found = inventory(tmp_path / "thrice.zip")
    assert found.chosen is None
    assert [(r.path, r.reason) for r in found.rejected_files] == [
        ("twice.zip/inner.zip", "an archive inside an archive inside; it is not unpacked")
    ]


def test_unsafe_archive_inside_is_one_rejected_file(tmp_path):
    write(ct_series(), tmp_path / "s")
    with zipfile.ZipFile(tmp_path / "s/evil.zip", "w") as packed:
        packed.writestr("../1.dcm", b"x")
    found = inventory(tmp_path / "s")
    assert found.chosen is not None
    assert "leads outside its folder" in found.rejected_files[0].reason


def test_archives_inside_share_one_limit(tmp_path):
    (tmp_path / "s").mkdir()
    for name in ("a.zip", "b.zip"):
        with zipfile.ZipFile(tmp_path / "s" / name, "w") as packed:
            packed.writestr("noise", os.urandom(60_000))
    found = inventory(tmp_path / "s", replace(CONFIG, max_unpacked_bytes=100_000))
    reasons = {r.path: r.reason for r in found.rejected_files}
    assert "bomb" in reasons["b.zip"]
    assert reasons["a.zip/noise"] == "neither a DICOM file nor an image volume"


def test_unsafe_archive_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr("../1.dcm", b"x")
    with pytest.raises(UnsafeArchive):
        inventory(tmp_path / "a.zip")


def test_single_files_are_enough(tmp_path):
    enhanced = write([enhanced_ct()], tmp_path / "e")[0]
    assert inventory(enhanced).chosen.shape == (20, 14, 18)
    sitk.WriteImage(sitk.GetImageFromArray(body_hu()), str(tmp_path / "scan.nrrd"))
    found = inventory(tmp_path / "scan.nrrd")
    assert (found.n_files, found.chosen.shape) == (1, (20, 14, 18))
    one_slice = write(ct_series()[:1], tmp_path / "s")[0]
    assert inventory(one_slice).series[0].reasons == (
        "The series has 1 slices; at least 16 are expected.",
    )


def test_voxels_beside_a_header_are_no_file_of_their_own(tmp_path):
    folder = tmp_path / "scan"
    folder.mkdir()
    sitk.WriteImage(sitk.GetImageFromArray(body_hu()), str(folder / "a.mhd"))
    sitk.WriteImage(sitk.GetImageFromArray(body_hu()), str(folder / "b.nhdr"), True)
    found = inventory(folder)
    assert len(found.series) == 2
    assert found.rejected_files == ()


def test_missing_path_is_refused(tmp_path):
    with pytest.raises(InputRejected, match="no such file"):
        inventory(tmp_path / "nothing")


def test_nothing_identifying_is_in_any_reason(tmp_path):
    write(ct_series(name="a", patient_id="SECRET-7", birth_date="19441122"), tmp_path / "s/a")
    write(ct_series(name="b", patient_id="SECRET-7", modality="PT"), tmp_path / "s/b")
    found = inventory(tmp_path / "s")
    words = str([s.reasons for s in found.series] + [r.reason for r in found.rejected_files])
    assert "SECRET" not in words
    assert "19441122" not in words


# --- Which one is chosen --------------------------------------------------------------------


def chosen_and_reasons(folder, **series):
    for name, datasets in series.items():
        write(datasets, folder / name)
    found = inventory(folder)
    by_name = {s.files[0].parent.name: s for s in found.series}
    return found.chosen.files[0].parent.name, {n: s.reasons for n, s in by_name.items()}


def test_reasons_for_the_chosen_series_in_words(tmp_path):
    _, reasons = chosen_and_reasons(tmp_path / "s", one=ct_series(step_mm=1.25, kernel="STANDARD"))
    assert reasons["one"] == ("axial, 1.25 mm between slices, soft kernel, 20 slices over 25 mm",)


def test_thinner_slices_are_preferred(tmp_path):
    chosen, reasons = chosen_and_reasons(
        tmp_path / "s",
        thick=ct_series(body_hu(slices=16), name="1", step_mm=5.0),
        thin=ct_series(body_hu(slices=64), name="2", step_mm=1.25, kernel="B70f"),
    )
    assert chosen == "thin"
    assert reasons["thick"][1] == "5 mm between slices; a thinner reconstruction is there"


def test_soft_kernel_is_preferred_over_sharp_at_like_spacing(tmp_path):
    chosen, reasons = chosen_and_reasons(
        tmp_path / "s",
        lung=ct_series(body_hu(slices=25), name="1", step_mm=1.0, kernel="B70f"),
        soft=ct_series(body_hu(slices=20), name="2", step_mm=1.25, kernel="B40f"),
    )
    assert chosen == "soft"
    assert reasons["lung"][1] == "sharp kernel; a softer reconstruction is there"


def test_below_one_millimetre_a_soft_kernel_counts_more(tmp_path):
    chosen, _ = chosen_and_reasons(
        tmp_path / "s",
        thinnest=ct_series(body_hu(slices=50), name="1", step_mm=0.5, kernel="FC51"),
        soft=ct_series(body_hu(slices=25), name="2", step_mm=1.0, kernel="FC08"),
    )
    assert chosen == "soft"


def test_more_of_the_body_counts_before_thinner_slices(tmp_path):
    # 20 * 5 = 100 mm against 64 * 1.25 = 80 mm: more than 15 % is missing.
    chosen, reasons = chosen_and_reasons(
        tmp_path / "s",
        long=ct_series(body_hu(slices=20), name="1", step_mm=5.0),
        short=ct_series(body_hu(slices=64), name="2", step_mm=1.25),
    )
    assert chosen == "long"
    assert reasons["short"][1] == ("covers 80 mm of the body; a series that covers 100 mm is there")


@pytest.mark.parametrize(("slices", "chosen"), [(128, "chest"), (127, "more"), (143, "chest")])
def test_beyond_a_chest_more_of_the_body_counts_for_nothing(tmp_path, slices, chosen):
    # 85 % of 300 mm are 255 mm: 127.5 slices of 2 mm. The other one has 100 * 5 = 500 mm.
    found, _ = chosen_and_reasons(
        tmp_path / "s",
        chest=ct_series(body_hu(slices=slices), name="1", step_mm=2.0),
        more=ct_series(body_hu(slices=100), name="2", step_mm=5.0),
    )
    assert found == chosen


def labelled(text, **more):
    series = ct_series(**more)
    for slice_ in series:
        slice_.SeriesDescription, slice_.BodyPartExamined = text, ""
    return series


@pytest.mark.parametrize(
    ("label", "chosen"),
    [
        ("Abdomen 1.0", "thorax"),
        ("PELVIS", "thorax"),
        ("Thorax-Abdomen 1.0", "other"),
        ("", "other"),
    ],
)
def test_a_series_that_names_another_part_of_the_body_comes_later(tmp_path, label, chosen):
    found, reasons = chosen_and_reasons(
        tmp_path / "s",
        thorax=labelled("Thorax 2.5", name="1"),
        other=labelled(label, hu=body_hu(slices=50), name="2", step_mm=1.0),
    )
    assert found == chosen
    if chosen == "thorax":
        assert reasons["other"][1] == "of another part of the body, by its tags"


def test_the_only_series_is_used_whatever_part_it_names(tmp_path):
    write(labelled("Abdomen"), tmp_path / "s")
    assert inventory(tmp_path / "s").chosen.rank == 1


def test_original_images_are_preferred_over_derived_and_averages_come_last(tmp_path):
    chosen, reasons = chosen_and_reasons(
        tmp_path / "s",
        derived=ct_series(name="1", image_type=("DERIVED", "SECONDARY", "AXIAL")),
        original=ct_series(name="2"),
        thick=ct_series(body_hu(slices=40), name="3", step_mm=1.25,
                        image_type=("DERIVED", "SECONDARY", "AVERAGE")),
    )  # fmt: skip
    assert chosen == "original"
    assert reasons["derived"][1] == "derived images; the original ones are there"
    assert reasons["thick"][1] == "averaged slabs; a series of plain slices is there"


def test_ranks_count_up_from_the_chosen_one(tmp_path):
    for name, step in (("c", 5.0), ("a", 1.25), ("b", 2.5)):
        write(ct_series(body_hu(slices=int(100 / step)), name=name, step_mm=step), tmp_path / name)
    found = take_inventory(tmp_path, CONFIG, tmp_path / "scratch")
    assert [(s.rank, s.spacing[0]) for s in found.series] == [(1, 1.25), (2, 2.5), (3, 5.0)]


# --- Reading what was found -----------------------------------------------------------------


def test_read_volume_refuses_with_the_words_of_the_inventory(tmp_path):
    series = ct_series()
    del series[8]
    write(series, tmp_path / "s")
    refused = inventory(tmp_path / "s").series[0]
    with pytest.raises(MissingSlices) as error:
        read_volume(refused, CONFIG)
    assert refused.reasons == (error.value.what,)
    assert not refused.accepted
    assert (refused.shape, refused.spacing) == ((19, 14, 18), (2.5, 0.8, 0.7))
    assert refused.rank is None


def test_what_is_known_of_refused_series_is_told(tmp_path):
    write(ct_series(name="1", step_mm=11.0), tmp_path / "s/1 thick")
    write(ct_series(body_hu(slices=1), name="2"), tmp_path / "s/2 lone")
    twins = ct_series(body_hu(slices=17), name="3")
    twins[4].ImagePositionPatient = twins[3].ImagePositionPatient
    write(twins, tmp_path / "s/3 twins")
    mixed = ct_series(name="4")
    set_pixels(mixed[4], np.zeros((13, 18), np.int16))
    write(mixed, tmp_path / "s/4 mixed")
    nowhere = ct_series(name="5")
    del nowhere[4].ImagePositionPatient
    write(nowhere, tmp_path / "s/5 nowhere")
    sitk.WriteImage(sitk.GetImageFromArray(body_hu(slices=9)), str(tmp_path / "s/6.nrrd"))
    known = {
        (s.files[0].parent.name if s.files[0].suffix == ".dcm" else "6"): (s.shape, s.spacing)
        for s in inventory(tmp_path / "s").series
    }
    assert known == {
        "1 thick": ((20, 14, 18), (11.0, 0.8, 0.7)),
        "2 lone": ((1, 14, 18), (0.0, 0.8, 0.7)),
        "3 twins": ((16, 14, 18), (2.5, 0.8, 0.7)),
        "4 mixed": ((0, 0, 0), (0.0, 0.0, 0.0)),
        "5 nowhere": ((0, 0, 0), (0.0, 0.0, 0.0)),
        "6": ((9, 14, 18), (1.0, 1.0, 1.0)),
    }


def test_error_names_the_fault_of_the_best_series(tmp_path):
    series = ct_series()
    del series[8]
    write(series, tmp_path / "s/ct")
    write(ct_series(body_hu(slices=60), name="m", modality="MR"), tmp_path / "s/mr")
    with pytest.raises(MissingSlices, match=r"1 of 18 gaps"):
        read_scan(tmp_path / "s", CONFIG)


def test_error_says_what_is_there_where_no_ct_is(tmp_path):
    write(ct_series(name="m", modality="MR"), tmp_path / "s/mr")
    (tmp_path / "s/readme.txt").write_text("hello")
    words = (
        r"None of the 21 files is a usable CT image \(found: MR\)\. The reason for 1 of them: "
        "neither a DICOM file nor an image volume"
    )
    with pytest.raises(NoCtFound, match=words):
        read_scan(tmp_path / "s", CONFIG)
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoCtFound, match="None of the 0 files"):
        read_scan(tmp_path / "empty", CONFIG)


def test_error_says_why_images_that_call_themselves_ct_are_none(tmp_path):
    series = ct_series()
    for ds in series:
        ds.PhotometricInterpretation = "RGB"
    write(series, tmp_path / "s/ct")
    write(ct_series(body_hu(slices=60), name="m", modality="MR"), tmp_path / "s/mr")
    with pytest.raises(NoCtFound, match="The images are RGB; MONOCHROME2 is expected"):
        read_scan(tmp_path / "s", CONFIG)


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.bz2", "tar.xz", "7z", "rar"])
def test_an_archive_that_is_not_unpacked_is_called_one(tmp_path, kind):
    path = tmp_path / f"scan.{kind}"
    names = {"tar.gz": "gzip", "tar.bz2": "bzip2", "tar.xz": "xz", "rar": "RAR"}
    if kind.startswith("tar"):
        write(ct_series(), tmp_path / "s")
        with tarfile.open(path, f"w:{kind[4:]}") as archive:
            archive.add(tmp_path / "s", "s")
    else:  # as the manuals of both say that their files begin
        path.write_bytes(
            {"7z": b"7z\xbc\xaf\x27\x1c", "rar": b"Rar!\x1a\x07\x01"}[kind] + bytes(99)
        )
    words = f"The file is not .* a {names.get(kind, kind)} archive; only zip archives are unpacked"
    with pytest.raises(NoCtFound, match=words):
        read_scan(path, CONFIG)


def test_a_series_can_be_named(tmp_path):
    write(ct_series(name="1", kernel="B40f"), tmp_path / "s/soft")
    sharp = ct_series(name="2", kernel="B70f")
    write(sharp, tmp_path / "s/sharp")
    found, volume = read_scan(tmp_path / "s", CONFIG, series_uid=sharp[0].SeriesInstanceUID)
    assert volume.header.kernel == found.chosen.header.kernel == "B70f"
    assert (found.chosen.rank, found.series[0], found.series[1].rank) == (1, found.chosen, 2)
    assert found.chosen.reasons[-1] == "named by the user"
    with pytest.raises(NoCtFound, match="None of the 2 series"):
        read_scan(tmp_path / "s", CONFIG, series_uid="1.2.3")


def test_volume_of_an_image_file_keeps_the_uid_of_the_inventory_and_no_file_name(tmp_path):
    (tmp_path / "s").mkdir()
    for name, hu in (("SECRET-7", body_hu()), ("SECRET-8", body_hu(slices=24))):
        sitk.WriteImage(sitk.GetImageFromArray(hu), str(tmp_path / f"s/{name}.nii.gz"))
    first, second = inventory(tmp_path / "s").series
    assert first.header.series_uid != second.header.series_uid
    found, volume = read_scan(tmp_path / "s", CONFIG, second.header.series_uid)
    assert volume.header == found.chosen.header == second.header
    assert volume.hu.shape == second.shape
    assert "SECRET" not in f"{first.header}{first.reasons}{second.header}{second.reasons}"


def test_scratch_is_gone_after_reading(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    write(ct_series(), tmp_path / "s")
    read_scan(pack(tmp_path / "s", tmp_path / "a.zip"), CONFIG)
    assert list((tmp_path / "temporary").iterdir()) == []


def test_lone_mask_is_refused_by_the_inventory_already(tmp_path):
    mask = sitk.GetImageFromArray((body_hu() > 0).astype(np.int16))
    sitk.WriteImage(mask, str(tmp_path / "mask.nrrd"))
    found = inventory(tmp_path / "mask.nrrd")
    assert found.chosen is None
    assert "from 0 to 1" in found.series[0].reasons[0]
    with pytest.raises(NotHounsfield):
        read_scan(tmp_path / "mask.nrrd", CONFIG)


# --- Real files -----------------------------------------------------------------------------


# pydicom warns of odd values; outside of tests those warnings are switched off for the process.
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@pytest.mark.parametrize("name", ZOO)
def test_no_folder_of_the_zoo_is_accepted_or_breaks_the_reader(name):
    folder = real(f"zoo/{name}")
    found = inventory(folder)
    n_files = sum(path.is_file() for path in folder.rglob("*"))
    assert (
        found.n_files
        == n_files
        == sum(len(s.files) for s in found.series) + len(found.rejected_files)
    )
    assert found.chosen is None
    assert all(s.reasons for s in found.series)
    with pytest.raises(InputRejected):
        read_scan(folder, CONFIG)


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_whole_zoo_at_once():
    assert inventory(real("zoo")).chosen is None


def test_real_tilt_with_uneven_gaps_is_no_uniform_grid():
    (found,) = inventory(real("zoo/ct_gantry_tilt_GE")).series
    assert "gaps between slices differ" in found.reasons[0]


def test_real_soft_kernel_is_chosen_over_the_sharp_one():
    found = inventory(real("ct/lungdx"))
    assert [s.header.kernel for s in found.series] == ["B40f", "B70f"]
    assert found.chosen.reasons == (
        "axial, 8 mm between slices, soft kernel, 30 slices over 240 mm",
        "passed over: 8 mm sharp kernel",
    )


def test_real_folder_with_images_and_labels():
    found = inventory(real("ct/pyradiomics"))
    assert {s.files[0].name: s.accepted for s in found.series} == {
        "lung1_image.nrrd": True,
        "lung2_image.nrrd": True,
        "lung1_label.nrrd": False,
        "lung2_label.nrrd": False,
    }


def test_real_series_without_uids_is_read():
    folder = real("ct/totalseg_abdomen_negative/example_ct_dicom")
    found, volume = read_scan(folder, CONFIG)
    assert len(found.series) == 1
    assert volume.hu.shape == (20, 512, 512)
    # 3 mm thick, but 2 mm from one to the next (-804.5, -802.5 … -766.5 mm).
    assert volume.spacing == pytest.approx((2.0, 0.9765625, 0.9765625))


def test_real_series_with_a_slice_lost_or_cut(tmp_path):
    source = sorted(real("ct/lungdx/Lung_Dx-A0002/CT_series3").iterdir())
    for path in source:
        shutil.copy(path, tmp_path)
    (tmp_path / source[11].name).unlink()
    with pytest.raises(MissingSlices, match=r"1 of 28 gaps .* 8\.00 mm; the first is 16\.00 mm"):
        read_scan(tmp_path, CONFIG)
    shutil.copy(source[11], tmp_path)
    for number in (11, 0):  # in the middle, and at the end, where no gap would tell
        os.truncate(tmp_path / source[number].name, 300_000)
        with pytest.raises(InputRejected, match="cut short: 300,000 bytes"):
            read_scan(tmp_path, CONFIG)
        shutil.copy(source[number], tmp_path)
    shutil.copy(source[12], tmp_path / "again.dcm")
    assert read_scan(tmp_path, CONFIG)[1].repairs == ("identical copies of slices dropped: 1",)


def test_limits_come_from_the_config(tmp_path):
    write(ct_series(), tmp_path / "s")
    assert inventory(tmp_path / "s", replace(CONFIG, max_slice_spacing_mm=2.0)).chosen is None
