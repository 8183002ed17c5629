"""One choice for both scans, a person's word above it, and none where no rule may choose."""

from datetime import date

import numpy as np
import pytest
import SimpleITK as sitk

from ctrs.config import IntakeConfig, PairConfig
from ctrs.errors import MissingSlices, NoCtFound, NotHounsfield, SeveralScans
from ctrs.ingest import read_pair, read_scan, take_inventory
from ctrs.pair import propose_pair
from tests.dicom_files import body_hu, ct_series, write

CONFIG = IntakeConfig()
BEFORE, AFTER = date(2024, 1, 8), date(2024, 4, 1)


def folder_of(path, **series):
    for name, datasets in series.items():
        write(datasets, path / name)
    return path


def inventory(path):
    return take_inventory(path, CONFIG, path.parent / "scratch")


def kernels_of(pair):
    return [volume.header.kernel for _, volume in pair]


# --- The same kind for both ---------------------------------------------------------------------


def test_like_kernels_come_before_the_softer_one(tmp_path):
    before = folder_of(
        tmp_path / "b",
        soft=ct_series(name="b/1", kernel="B30f"),
        sharp=ct_series(name="b/2", kernel="B70f"),
    )
    after = folder_of(tmp_path / "a", sharp=ct_series(name="a", kernel="B60f", acquired_on=AFTER))
    pair = read_pair((before, after), CONFIG)
    assert kernels_of(pair) == ["B70f", "B60f"]
    chosen = pair[0][0].chosen
    assert chosen.reasons[-1] == "the same kind of reconstruction as in the other scan"
    assert (chosen.rank, [s.rank for s in pair[0][0].series]) == (1, [1, 2])
    assert read_scan(before, CONFIG)[1].header.kernel == "B30f"  # alone, the soft one is better


def test_like_slice_distances_come_before_thinner_slices(tmp_path):
    hu = body_hu(slices=40)
    before = folder_of(
        tmp_path / "b",
        thin=ct_series(hu, name="b/1", step_mm=1.25),
        thick=ct_series(hu[::4][:20].repeat(2, 0)[:20] + 0, name="b/2", step_mm=2.5),
    )
    after = folder_of(tmp_path / "a", a=ct_series(name="a", step_mm=5.0, acquired_on=AFTER))
    (first, _), _ = read_pair((before, after), CONFIG)
    assert first.chosen.spacing[0] == 2.5


def test_where_all_are_alike_the_best_of_each_is_used(tmp_path):
    folders = [
        folder_of(
            tmp_path / name,
            soft=ct_series(name=f"{name}/1", acquired_on=day),
            sharp=ct_series(name=f"{name}/2", kernel="B70f", acquired_on=day),
        )
        for name, day in (("b", BEFORE), ("a", AFTER))
    ]
    pair = read_pair(tuple(folders), CONFIG)
    assert kernels_of(pair) == ["B30f", "B30f"]
    assert pair[0][0].chosen.reasons[-1] == "passed over: 2.5 mm sharp kernel"


def test_a_projection_is_not_chosen_for_being_alike(tmp_path):
    mip = ct_series(name="b/2", kernel="B70f", image_type=("DERIVED", "SECONDARY", "MIP"))
    before = folder_of(tmp_path / "b", plain=ct_series(name="b/1"), mip=mip)
    after = folder_of(tmp_path / "a", a=ct_series(name="a", kernel="B70f", acquired_on=AFTER))
    assert kernels_of(read_pair((before, after), CONFIG)) == ["B30f", "B70f"]


# --- A person's word ----------------------------------------------------------------------------


def test_the_series_that_a_person_names_is_used_and_that_is_kept(tmp_path):
    sharp = ct_series(name="b/2", kernel="B70f")
    before = folder_of(tmp_path / "b", soft=ct_series(name="b/1"), sharp=sharp)
    after = folder_of(tmp_path / "a", soft=ct_series(name="a", acquired_on=AFTER))
    uid = sharp[0].SeriesInstanceUID
    (first, _), (second, _) = pair = read_pair((before, after), CONFIG, (uid, None))
    assert kernels_of(pair) == ["B70f", "B30f"]
    assert first.chosen.reasons[-1] == "named by the user"
    assert "named by the user" not in second.chosen.reasons
    with pytest.raises(NoCtFound, match=r"^Follow-up CT: None of the 1 series"):
        read_pair((before, after), CONFIG, (None, uid))


# --- More than one scan -------------------------------------------------------------------------


def test_two_patients_in_one_folder_are_not_chosen_between(tmp_path):
    folder = folder_of(
        tmp_path / "s", one=ct_series(name="1"), other=ct_series(name="2", patient_id="SECRET-2")
    )
    found = inventory(folder)
    assert (
        found.doubt
        == "The files hold CT series of 2 patients, by their patient IDs; one is expected."
    )
    with pytest.raises(SeveralScans, match="2 patients"):
        read_scan(folder, CONFIG)
    named = found.series[1].header
    assert read_scan(folder, CONFIG, named.series_uid)[1].header == named


def test_two_days_in_one_folder_are_not_chosen_between(tmp_path):
    folder = folder_of(
        tmp_path / "s",
        before=ct_series(name="1", acquired_on=BEFORE),
        after=ct_series(name="2", acquired_on=AFTER),
    )
    with pytest.raises(SeveralScans, match="scans of 2 days, up to 84 days apart"):
        read_scan(folder, CONFIG)


def test_an_examination_that_ends_after_midnight_is_one_scan(tmp_path):
    folder = folder_of(
        tmp_path / "s",
        one=ct_series(name="1", acquired_on=date(2024, 1, 8)),
        other=ct_series(name="2", acquired_on=date(2024, 1, 9)),
    )
    assert inventory(folder).doubt == ""


def test_volumes_that_say_nothing_are_not_chosen_between(tmp_path):
    (tmp_path / "s").mkdir()
    for name in ("a.nrrd", "b.nrrd"):
        sitk.WriteImage(sitk.GetImageFromArray(body_hu()), str(tmp_path / "s" / name))
    with pytest.raises(SeveralScans, match="2 usable volumes that say neither"):
        read_scan(tmp_path / "s", CONFIG)


NAMELESS = {"patient_id": "", "sex": "", "birth_date": ""}
OTHER_BIRTH = {"birth_date": "19660304"}


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ({}, {"patient_id": "nobody-1", "birth_date": "1950.01.02"}, ""),
        ({}, OTHER_BIRTH, "2 patients, by their birth dates"),
        ({**OTHER_BIRTH, "patient_id": ""}, {"patient_id": ""}, "2 patients, by their birth dates"),
        ({"patient_id": "ANON"}, {"patient_id": "ANON", "sex": "M"}, "2 patients, by their sexes"),
        ({"acquired_on": None}, {}, "2 examinations, and not all of them say"),
        ({"acquired_on": None}, {"acquired_on": None}, "2 examinations, and not all of them say"),
        ({"patient_id": "ANON"}, {"patient_id": "ANON"}, "2 examinations, and not all of them say"),
        (NAMELESS, {}, "2 examinations, and not all of them say"),
        ({}, {}, ""),  # of one patient and day: chest and abdomen, ordered by themselves
    ],
)
def test_two_examinations_of_who_knows_whom_are_not_chosen_between(tmp_path, first, second, words):
    folder = folder_of(
        tmp_path / "s", one=ct_series(name="1", **first), other=ct_series(name="2", **second)
    )
    doubt = inventory(folder).doubt
    assert doubt.startswith(f"The files hold CT series of {words}") if words else doubt == ""


def test_a_nameless_series_made_afterwards_is_of_its_study(tmp_path):
    later = ct_series(name="1/made", acquired_on=None, **NAMELESS)
    folder = folder_of(tmp_path / "s", one=ct_series(name="1/first"), other=later)
    assert inventory(folder).doubt == ""


@pytest.mark.parametrize("other", [{"acquired_on": AFTER}, {"patient_id": "NOBODY-2"}])
def test_a_fault_in_one_of_two_scans_does_not_choose_the_other(tmp_path, other):
    with_a_gap = ct_series(name="2", **other)
    del with_a_gap[10]
    found = inventory(folder_of(tmp_path / "s", one=ct_series(name="1"), other=with_a_gap))
    assert [series.accepted for series in found.series] == [True, False]
    assert found.doubt.startswith("The files hold CT s")
    few = folder_of(tmp_path / "few", one=ct_series(name="1"), other=with_a_gap[:15])
    assert take_inventory(few, CONFIG, tmp_path / "scratch2").doubt == ""  # no scan, by its slices


def test_where_nothing_can_be_used_the_fault_is_told(tmp_path):
    for name, day in (("1", BEFORE), ("2", AFTER)):
        series = ct_series(name=name, acquired_on=day)
        del series[10]
        write(series, tmp_path / "s" / name)
    with pytest.raises(MissingSlices):
        read_scan(tmp_path / "s", CONFIG)


def test_an_image_file_is_not_preferred_to_dicom(tmp_path):
    folder = folder_of(tmp_path / "s", sharp=ct_series(kernel="B70f"))
    thin = sitk.GetImageFromArray(body_hu(slices=60))  # of 1 mm, and no kernel that is sharp
    sitk.WriteImage(thin, str(folder / "copy.nrrd"))
    found = inventory(folder)
    assert (found.chosen.header.kernel, found.doubt) == ("B70f", "")


# --- The next best ------------------------------------------------------------------------------


def grey(hu):
    """An 8-bit picture of a lung window, back on a scale of HU: soft tissue without its middle."""
    return np.rint((np.clip(hu, -1000, 400) + 1000) / 1400 * 255) / 255 * 1400 - 1000


def noisy_body(slices):
    hu = np.minimum(body_hu(slices, 80, 80), 40)
    return hu + np.random.default_rng(slices).normal(0, 25, hu.shape).astype(np.float32)


def test_values_that_are_no_hu_leave_the_next_best_series(tmp_path):
    before = folder_of(
        tmp_path / "b",
        good=ct_series(noisy_body(32), name="s/1"),
        grey=ct_series(grey(noisy_body(64)), name="s/2", step_mm=1.25),
    )
    assert inventory(before).chosen.spacing[0] == 1.25
    found, volume = read_scan(before, CONFIG)
    assert volume.spacing[0] == found.chosen.spacing[0] == 2.5
    assert "in place of the series that was preferred" in found.chosen.reasons[-1]
    assert [(s.accepted, s.rank) for s in found.series] == [(True, 1), (False, None)]
    assert "8-bit picture" in found.series[1].reasons[0]
    after = folder_of(tmp_path / "a", a=ct_series(noisy_body(40), name="a", acquired_on=AFTER))
    (first, _), (second, _) = read_pair((before, after), CONFIG)
    assert (first.chosen.spacing[0], second.chosen.spacing[0]) == (2.5, 2.5)


def test_a_series_that_a_person_named_has_no_next_best(tmp_path):
    poor = ct_series(grey(noisy_body(64)), name="s/2", step_mm=1.25)
    folder = folder_of(tmp_path / "b", good=ct_series(noisy_body(32), name="s/1"), grey=poor)
    with pytest.raises(NotHounsfield):
        read_scan(folder, CONFIG, poor[0].SeriesInstanceUID)


def test_a_part_of_the_chest_is_no_next_best(tmp_path):
    part = ct_series(noisy_body(32), name="s/1", step_mm=0.5)  # 16 of 80 mm
    whole = ct_series(grey(noisy_body(64)), name="s/2", step_mm=1.25)
    with pytest.raises(NotHounsfield):
        read_scan(folder_of(tmp_path / "b", part=part, whole=whole), CONFIG)


# --- Which two of several -----------------------------------------------------------------------


def scans_of(tmp_path, *days, **more):
    series = {str(n): ct_series(name=str(n), acquired_on=d, **more) for n, d in enumerate(days)}
    return inventory(folder_of(tmp_path / "s", **series))


def test_first_scan_and_the_one_nearest_to_twelve_weeks_are_proposed(tmp_path):
    days = (date(2024, 6, 30), date(2024, 1, 8), date(2024, 2, 19), date(2024, 4, 3))
    pair = propose_pair(scans_of(tmp_path, *days), PairConfig())
    # 42, 86 and 174 days after the first one.
    assert (pair.baseline.header.acquired_on, pair.days) == (date(2024, 1, 8), 86)
    assert pair.reasons == ("the first scan", "86 days later, nearest to 84 of 3 later scans")


def test_start_of_treatment_tells_the_baseline(tmp_path):
    found = scans_of(tmp_path, date(2023, 9, 1), date(2024, 1, 8), date(2024, 4, 3))
    pair = propose_pair(found, PairConfig(), date(2024, 1, 20))
    assert pair.baseline.header.acquired_on == date(2024, 1, 8)
    assert pair.reasons == (
        "the last scan up to the start of treatment, 12 days before it",
        "86 days later, the only later scan",
    )
    assert propose_pair(found, PairConfig(), date(2023, 1, 1)) is None  # all scans are later


def test_nothing_is_proposed_of_one_day_or_of_two_patients(tmp_path):
    assert propose_pair(scans_of(tmp_path / "1", BEFORE), PairConfig()) is None
    both = folder_of(
        tmp_path / "2",
        one=ct_series(name="1", acquired_on=BEFORE),
        other=ct_series(name="2", acquired_on=AFTER, patient_id="NOBODY-2"),
    )
    assert propose_pair(inventory(both), PairConfig()) is None
