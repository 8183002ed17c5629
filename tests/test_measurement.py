"""Lines in mm, diameters at right angles, and sums that are not quietly too small."""

from math import cos, isnan, nan, radians, sin

import pytest

from ctrs.measurement import Measurement, all_targets_gone, recist_sums

FLAT = ((10.0, 20.0, 5.0), (13.0, 24.0, 5.0))  # 3-4-5
ACROSS = ((10.0, 24.0, 5.0), (12.4, 22.2, 5.0))  # (2.4, -1.8): 3 mm, at right angles to (3, 4)


def drawn(lesion="L1", visit=0, lines=(FLAT,), **how):
    return Measurement(f"{lesion}{visit}", lesion, visit, "axial", tuple(lines), **how)


def test_lengths_are_in_space():
    assert drawn().long_mm == pytest.approx(5.0)
    assert drawn().short_mm is None
    steep = drawn(lines=[((0.0, 0.0, 0.0), (2.0, 3.0, 6.0))])
    assert steep.long_mm == pytest.approx(7.0)


def test_the_longer_diameter_is_the_longest_whichever_was_drawn_first():
    for lines in ((FLAT, ACROSS), (ACROSS, FLAT)):
        assert (drawn(lines=lines).long_mm, drawn(lines=lines).short_mm) == pytest.approx((5, 3))


@pytest.mark.parametrize(
    "lines",
    [
        (),  # at the baseline there is something, or nothing to measure
        (FLAT, ACROSS, FLAT),
        ((FLAT[0], FLAT[0]),),  # no length
        ((FLAT[0], (nan, 0.0, 0.0)),),
        ((FLAT[0], (float("inf"), 0.0, 0.0)),),
        (FLAT, ((0.0, 0.0, 5.0), (3.0, 5.0, 5.0))),  # nearly parallel
        (FLAT, ((0.0, 0.0, 5.0), (-3.0, -5.0, 5.0))),  # the other way round
        (FLAT, (ACROSS[0], ACROSS[0])),  # a second diameter without length
    ],
)
def test_what_is_no_measurement_is_refused(lines):
    with pytest.raises(ValueError, match=r"line|diameter"):
        drawn(lines=lines)


@pytest.mark.parametrize(("lean", "kept"), [(9.5, True), (-9.5, True), (11, False), (-11, False)])
def test_a_line_drawn_by_hand_may_lean_by_ten_degrees(lean, kept):
    angle = radians(90 + lean)
    along, leaning = ((0.0, 0.0, 0.0), (20.0, 0.0, 0.0)), ((5.0, 0.0, 0.0),
                     (5.0 + 8 * cos(angle), 8 * sin(angle), 0.0))  # fmt: skip
    if kept:
        assert drawn(lines=(along, leaning)).short_mm == pytest.approx(8.0)
        return
    with pytest.raises(ValueError, match="right angles"):
        drawn(lines=(along, leaning))


def test_a_node_counts_by_its_short_axis():
    assert drawn(lines=(FLAT, ACROSS), node=True).recist_mm == pytest.approx(3.0)
    assert isnan(drawn(node=True).recist_mm)
    assert drawn(lines=(FLAT, ACROSS)).recist_mm == pytest.approx(5.0)


def test_sums_are_of_targets_measured_in_both_scans():
    pair = [drawn(target=True), drawn(visit=1, lines=(FLAT, ACROSS), node=True, target=True)]
    other = [drawn("L2", 0), drawn("L2", 1)]
    assert recist_sums(pair + other) == pytest.approx((5.0, 3.0))


def test_a_target_that_is_missing_in_one_scan_leaves_no_sum_there():
    before, after = recist_sums([drawn(target=True), drawn(visit=1, target=True),
                                 drawn("L2", 0, target=True)])  # fmt: skip
    assert before == pytest.approx(10.0)
    assert isnan(after)


def test_without_targets_there_is_no_sum():
    assert all(isnan(mm) for mm in recist_sums([drawn(), drawn(visit=1)]))
    assert all(isnan(mm) for mm in recist_sums([]))


def test_a_lesion_that_is_gone_counts_nothing_and_a_node_too():
    gone = drawn(visit=1, lines=(), target=True)
    assert (gone.gone, gone.long_mm, gone.short_mm, gone.recist_mm) == (True, 0.0, None, 0.0)
    assert drawn(visit=1, lines=(), node=True).recist_mm == 0.0
    left = [drawn("L2", 0, target=True), drawn("L2", 1, target=True)]
    assert recist_sums([drawn(target=True), gone, *left]) == pytest.approx((10.0, 5.0))


def across(mm):
    return ((0.0, 0.0, 0.0), (20.0, 0.0, 0.0)), ((9.0, 0.0, 0.0), (9.0, mm, 0.0))


@pytest.mark.parametrize(("node_mm", "none_left"), [(9.9, True), (10.0, False)])
def test_nothing_is_left_where_lesions_are_gone_and_nodes_are_below_ten(node_mm, none_left):
    gone = drawn(visit=1, lines=(), target=True)
    node = drawn("N1", 1, across(node_mm), target=True, node=True)
    assert all_targets_gone([gone, node]) is none_left
    assert all_targets_gone([gone, node, drawn("L2", 1)]) is none_left  # no target
    assert not all_targets_gone([gone, node, drawn("L2", 1, target=True)])
    assert not all_targets_gone([drawn(target=True), drawn("L2", 1)])  # nothing says so
