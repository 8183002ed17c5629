"""When two scans are a pair, with which remarks, and when they are not."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from ctrs.config import PairConfig
from ctrs.errors import DifferentPatients, SameScan, WrongOrder
from ctrs.ingest.identity import known_id
from ctrs.kernels import sharpness
from ctrs.pair import pair_scans
from ctrs.types import SeriesHeader, Volume, Zone

CONFIG = PairConfig()
DAY_0 = date(2024, 1, 8)


def make_volume(day=0, *, seed=1, spacing=(2.5, 0.8, 0.7), **header):
    """A scan taken ``day`` days after the first one; ``None``: nobody knows when."""
    hu = np.random.default_rng(seed).normal(-300, 400, (5, 6, 7)).astype(np.float32)
    acquired_on = None if day is None else DAY_0 + timedelta(days=day)
    defaults = {"patient_id": "NOBODY-1", "patient_sex": "F", "patient_birth_date": "19500102"}
    header = SeriesHeader(acquired_on=acquired_on, **(defaults | header))
    return Volume(hu, spacing, header=header)


def follow_up(day=84, **header):
    return make_volume(day, seed=2, **header)


def zones(pair):
    return [finding.zone for finding in pair.findings]


def test_twelve_weeks_give_a_pair_without_remarks():
    pair = pair_scans(make_volume(), follow_up(84), CONFIG)
    assert (pair.interval_days, pair.findings) == (84, ())


@pytest.mark.parametrize(
    ("days", "zone"),
    [
        (0, Zone.RED), (41, Zone.RED), (42, Zone.AMBER), (62, Zone.AMBER), (63, None),
        (105, None), (106, Zone.AMBER), (140, Zone.AMBER), (141, Zone.RED),
    ],
)  # fmt: skip
def test_interval_decides_the_zone(days, zone):
    pair = pair_scans(make_volume(), follow_up(days), CONFIG)
    assert zones(pair) == ([] if zone is None else [zone])


def test_remarks_on_the_interval_hold_both_numbers():
    red = pair_scans(make_volume(), follow_up(200), CONFIG).findings[0].reason
    assert red == "The scans are 200 days apart; 42 to 140 days are needed for a score."
    amber = pair_scans(make_volume(), follow_up(50), CONFIG).findings[0].reason
    assert amber == "The scans are 50 days apart; 63 to 105 days are usual."


@pytest.mark.parametrize(("first", "second"), [(None, 84), (0, None), (None, None)])
def test_unknown_interval_is_a_remark_with_what_is_assumed(first, second):
    pair = pair_scans(make_volume(first), follow_up(second), CONFIG)
    assert pair.interval_days is None
    assert zones(pair) == [Zone.AMBER]
    assert "assumes 84 days" in pair.findings[0].reason


def test_same_scan_twice_is_refused_whatever_the_headers_say():
    with pytest.raises(SameScan):
        pair_scans(make_volume(0), make_volume(84, patient_id="OTHER"), CONFIG)


def textured(seed, slices=40):
    hu = np.random.default_rng(seed).normal(-300, 400, (slices, 32, 40)).astype(np.float32)
    return make_volume(0, seed=seed).__class__(hu, (2.5, 0.8, 0.7))


@pytest.mark.parametrize("kept", [np.s_[3:], np.s_[:-9], np.s_[::2], np.s_[::-1]])
def test_same_pixels_under_another_name_are_the_same_scan(kept):
    one = textured(1)
    again = replace(one, hu=one.hu[kept], header=SeriesHeader(study_uid="1.2", series_uid="3"))
    with pytest.raises(SameScan, match="100% of the slices have equal pixels"):
        pair_scans(one, again, CONFIG, 84)


@pytest.mark.parametrize("added", [1, -24, 80, -200])
def test_same_pixels_with_something_added_are_the_same_scan(added):
    one = textured(1)  # -1500 to 1100 HU before the floor of air
    one, again = (replace(one, hu=np.maximum(one.hu + hu, -1024)) for hu in (0, added))
    with pytest.raises(SameScan, match="100% of the slices have equal pixels, but for a constant"):
        pair_scans(one, again, CONFIG, 84)


def test_a_copy_in_every_voxel_is_called_that():
    one = textured(1)
    with pytest.raises(SameScan, match="every voxel is equal"):
        pair_scans(one, replace(one, header=SeriesHeader(study_uid="1.2")), CONFIG, 84)


def test_scans_that_share_a_slice_or_two_are_two_scans():
    one, other = textured(1), textured(2)
    other.hu[:3] = one.hu[:3]
    pair_scans(one, other, CONFIG, 84)
    other.hu[:5] = one.hu[:5]
    with pytest.raises(SameScan, match="12% of the slices"):
        pair_scans(one, other, CONFIG, 84)


@pytest.mark.parametrize(("first", "second", "remarks"), [
    ("", "Iohexol", 1), ("Iohexol", "", 1), ("a", "b", 0), ("", "", 0), ("NONE", "", 0),
    ("NONE", "Iohexol", 1), ("Iohexol", "without", 1),
])  # fmt: skip
def test_contrast_medium_in_one_scan_only_is_a_remark(first, second, remarks):
    pair = pair_scans(
        make_volume(contrast=first, study_uid="1.2"),
        follow_up(contrast=second, study_uid="1.3"),
        CONFIG,
    )
    assert len(pair.findings) == remarks
    assert all("contrast medium" in finding.reason for finding in pair.findings)


def test_contrast_is_not_judged_where_no_tag_can_tell():
    assert pair_scans(make_volume(contrast="a"), follow_up(), CONFIG).findings == ()


def test_follow_up_before_baseline_is_refused():
    with pytest.raises(WrongOrder, match="84 days older"):
        pair_scans(make_volume(84), follow_up(0), CONFIG)


@pytest.mark.parametrize(
    ("header", "field"),
    [
        ({"patient_id": "SECRET-8"}, "patient IDs"),
        ({"patient_sex": "M"}, "sexes"),
        ({"patient_birth_date": "19440302"}, "birth dates"),
    ],
)
def test_different_patients_are_refused_without_naming_them(header, field):
    with pytest.raises(DifferentPatients, match=f"The {field} in the two scans differ") as error:
        pair_scans(make_volume(), follow_up(**header), CONFIG)
    words = error.value.what + error.value.next_step
    assert not any(value in words.replace("M", "") for value in header.values() if len(value) > 1)


def test_other_patient_is_told_before_wrong_order():
    with pytest.raises(DifferentPatients):
        pair_scans(make_volume(84), follow_up(0, patient_id="SECRET-8"), CONFIG)


@pytest.mark.parametrize("sex", ["", "O", "U"])
def test_sex_that_says_nothing_contradicts_nobody(sex):
    assert pair_scans(make_volume(), follow_up(patient_sex=sex), CONFIG).findings == ()


@pytest.mark.parametrize(
    "header", [{"patient_id": "nobody-1 "}, {"patient_birth_date": "1950.01.02"},
               {"patient_birth_date": "1950"}],
)  # fmt: skip
def test_one_identity_written_in_two_ways_is_one(header):
    assert pair_scans(make_volume(), follow_up(**header), CONFIG).findings == ()


def test_two_years_of_birth_are_two_patients():
    with pytest.raises(DifferentPatients, match="birth dates"):
        pair_scans(make_volume(), follow_up(patient_birth_date="1951"), CONFIG)


@pytest.mark.parametrize(
    "text", ["", "ANONYMOUS", "anon", "Anonymous^Patient", "0", "000", "UNKNOWN", "None", "TEST",
             "n/a", "XXXX", "99999", "no id"],
)  # fmt: skip
def test_a_placeholder_is_no_patient_id(text):
    assert known_id(SeriesHeader(patient_id=text)) == ""
    pair = pair_scans(make_volume(), follow_up(patient_id=text), CONFIG)
    assert "no patient ID, or only a placeholder" in pair.findings[0].reason


@pytest.mark.parametrize("text", ["ANON17", "Test12", "Nolan", "NA-3", "P0000", "1", "LIDC-0001"])
def test_what_tells_patients_apart_is_an_id(text):
    assert known_id(SeriesHeader(patient_id=f" {text}")) == text
    with pytest.raises(DifferentPatients, match="patient IDs"):
        pair_scans(make_volume(), follow_up(patient_id=text), CONFIG)


def test_interval_given_by_the_user_counts():
    pair = pair_scans(make_volume(), follow_up(84), CONFIG, interval_days=80)
    assert (pair.interval_days, pair.findings) == (80, ())
    unknown = pair_scans(make_volume(None), follow_up(None), CONFIG, interval_days=90)
    assert (unknown.interval_days, unknown.findings) == (90, ())


@pytest.mark.parametrize(("given", "remarks"), [(91, 0), (92, 1), (77, 0), (76, 1)])
def test_dates_may_differ_from_the_given_interval_by_a_week(given, remarks):
    pair = pair_scans(make_volume(), follow_up(84), CONFIG, interval_days=given)
    assert zones(pair) == [Zone.AMBER] * remarks


def test_given_interval_that_contradicts_the_dates_is_a_remark_with_both():
    # Also where the dates are the same: two reconstructions of one scan.
    for day in (0, 30):
        pair = pair_scans(make_volume(), follow_up(day), CONFIG, interval_days=84)
        assert zones(pair) == [Zone.AMBER]
        assert "84 days apart" in pair.findings[0].reason
        assert f"{day} days apart" in pair.findings[0].reason


def test_a_given_interval_does_not_turn_swapped_scans_around():
    with pytest.raises(WrongOrder, match="30 days older"):
        pair_scans(make_volume(), follow_up(-30), CONFIG, interval_days=84)


def test_one_series_with_a_slice_left_out_is_the_same_scan():
    one = make_volume(series_uid="1.2.3", study_uid="1.2")
    part = replace(one, hu=one.hu[1:])
    with pytest.raises(SameScan, match="one series"):
        pair_scans(one, part, CONFIG, interval_days=84)


@pytest.mark.parametrize(
    ("day", "said"), [(84, "their dates are 84 days"), (None, "no two dates are in them")]
)
def test_one_examination_by_its_uid_is_a_remark(day, said):
    """Some research exports write one Study Instance UID for all scans of a patient."""
    one, other = make_volume(study_uid="1.2"), follow_up(day, study_uid="1.2")
    pair = pair_scans(one, other, CONFIG, interval_days=84)
    assert zones(pair) == [Zone.AMBER]
    assert said in pair.findings[0].reason


def test_one_examination_does_not_turn_swapped_scans_around():
    with pytest.raises(WrongOrder):
        pair_scans(make_volume(84, study_uid="1.2"), follow_up(0, study_uid="1.2"), CONFIG)


def test_two_acquisitions_of_one_series_are_one_scan():
    one = make_volume(study_uid="1.2", series_uid="1.2.3#1")
    other = follow_up(study_uid="1.2", series_uid="1.2.3#2")
    with pytest.raises(SameScan, match="one series"):
        pair_scans(one, other, CONFIG)


def test_negative_interval_is_refused_even_if_the_dates_are_right():
    with pytest.raises(WrongOrder, match="5 days older"):
        pair_scans(make_volume(), follow_up(84), CONFIG, interval_days=-5)


NAMELESS = {"patient_id": "", "patient_sex": "", "patient_birth_date": ""}


def test_two_scans_without_identity_get_no_remark():
    assert pair_scans(make_volume(**NAMELESS), follow_up(**NAMELESS), CONFIG).findings == ()


@pytest.mark.parametrize(("first", "second", "word"), [({}, NAMELESS, "follow-up"),
                                                       (NAMELESS, {}, "baseline")])  # fmt: skip
def test_identity_on_one_side_only_is_a_remark(first, second, word):
    pair = pair_scans(make_volume(**first), follow_up(**second), CONFIG)
    assert zones(pair) == [Zone.AMBER]
    assert pair.findings[0].reason.startswith(f"The {word} scan has no patient ID")
    assert "NOBODY" not in pair.findings[0].reason


@pytest.mark.parametrize(("mm", "remarks"), [(5.0, 0), (5.1, 1), (1.25, 0), (1.2, 1)])
def test_slices_more_than_twice_as_far_apart_are_a_remark(mm, remarks):
    pair = pair_scans(make_volume(), follow_up(spacing=(mm, 0.8, 0.7)), CONFIG)
    assert zones(pair) == [Zone.AMBER] * remarks
    if remarks:
        assert f"2.5 mm apart at baseline and {mm:.4g} mm" in pair.findings[0].reason


def test_soft_against_sharp_kernel_is_a_remark_and_unknown_is_not():
    mixed = pair_scans(make_volume(kernel="B40f"), follow_up(kernel="B70f"), CONFIG)
    assert "a soft kernel and the follow-up scan a sharp one" in mixed.findings[0].reason
    assert pair_scans(make_volume(kernel="B40f"), follow_up(), CONFIG).findings == ()


def test_windows_come_from_the_config():
    config = replace(CONFIG, green_days=(10, 20), amber_days=(5, 30), assumed_days=15)
    assert zones(pair_scans(make_volume(), follow_up(25), config)) == [Zone.AMBER]
    assert zones(pair_scans(make_volume(), follow_up(84), config)) == [Zone.RED]


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [
        ("B30f", "soft"), ("B40f", "soft"), ("Br40d\\3", "soft"), ("I31f", "soft"),
        ("STANDARD", "soft"), ("FC08", "soft"), ("FC13", "soft"), ("B", "soft"),
        ("B60f", "sharp"), ("B70f", "sharp"), ("Bl57d", "sharp"), ("LUNG", "sharp"),
        ("BONEPLUS", "sharp"), ("FC51", "sharp"), ("FC30", "sharp"), ("L", "sharp"),
        ("YC", "sharp"), ("", "unknown"), ("X-1", "unknown"),
    ],
)  # fmt: skip
def test_kernels_are_known_by_their_names(kernel, expected):
    assert sharpness(kernel) == expected
