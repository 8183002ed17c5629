"""Slices hang as radiologists hang them, to scale, and the same height is the same height."""

import numpy as np
import pytest

from ctrs.slices import (
    LOWERED,
    RAISED,
    WINDOWS,
    Span,
    Window,
    height_of,
    lung_span,
    render_slice,
    slice_at,
    whole_scan,
    with_letters,
)
from ctrs.types import PreparedScan, Volume

GREY = Window(0, 510)  # -255 HU is black, 255 HU is white: one grey level each 2 HU


def phantom(spacing=(5.0, 1.5, 1.5)):
    """Air; in slice 3 a bright spot at the front, on the patient's left."""
    hu = np.full((7, 20, 30), -1000.0, np.float32)
    hu[3, 2, 25] = 1000.0  # y grows to the back, x to the patient's left
    return Volume(hu, spacing)


def brightest(picture):
    return np.unravel_index(picture[..., 0].argmax(), picture.shape[:2])


def test_the_patients_left_is_on_the_right_and_the_front_on_top():
    picture = render_slice(phantom(), 3, GREY)
    row, column = brightest(picture)
    assert row < picture.shape[0] / 2
    assert column > picture.shape[1] / 2


def test_a_slice_is_the_one_that_was_asked_for():
    assert render_slice(phantom(), 3, GREY).max() == 255
    assert render_slice(phantom(), 4, GREY).max() == 0


def test_pixels_become_square_without_moving_anything():
    # 20 rows of 3 mm and 30 columns of 1.5 mm are 60 x 45 mm: 40 x 30 pixels of 1.5 mm.
    picture = render_slice(phantom((5.0, 3.0, 1.5)), 3, GREY)
    assert picture.shape == (40, 30, 3)
    row, column = brightest(picture)
    assert row in (4, 5)  # row 2 of 3 mm is 6 to 9 mm from the top
    assert column == 25


def test_window_maps_its_ends_to_black_and_white_and_its_centre_to_grey():
    hu = np.array([[[-256.0, -255.0, 0.0, 102.0, 255.0, 300.0]]], np.float32)
    picture = render_slice(Volume(hu, (1.0, 1.0, 1.0)), 0, GREY)
    # 102 HU: (102 + 255) / 510 * 255 = 178.5
    assert picture[0, :, 0].tolist() == [0, 0, 128, 178, 255, 255]


def test_two_scans_in_one_field_are_equally_large():
    # The slice is 30 x 45 mm; in a field of 60 x 90 mm it has 10 rows and 15 columns around it.
    picture = render_slice(phantom(), 3, GREY, field_mm=(60.0, 90.0))
    assert picture.shape == (40, 60, 3)
    assert brightest(picture) == (2 + 10, 25 + 15)


def test_saliency_is_orange_where_it_lowered_and_blue_where_it_raised():
    volume = Volume(np.full((1, 4, 6), -1000.0, np.float32), (1.0, 1.0, 1.0))
    saliency = np.zeros((1, 4, 6), np.float32)
    saliency[0, 1, 1], saliency[0, 2, 4], saliency[0, 3, 0] = -1.0, 1.0, 0.01
    picture = render_slice(volume, 0, GREY, saliency=saliency, opacity=1.0)
    assert tuple(picture[1, 1]) == LOWERED
    assert tuple(picture[2, 4]) == RAISED
    assert not picture[3, 0].any()  # too faint to be drawn
    half = render_slice(volume, 0, GREY, saliency=saliency, opacity=0.5)
    assert half[1, 1] == pytest.approx(np.array(LOWERED) / 2, abs=1)


def test_letters_are_at_the_edges_and_leave_the_middle_alone():
    plain = np.full((200, 300, 3), 90, np.uint8)
    changed = np.flatnonzero((with_letters(plain) != plain).any(axis=(0, 2)))
    assert changed.min() < 20
    assert changed.max() > 280
    assert not ((changed > 50) & (changed < 250)).any()


def test_every_window_that_is_offered_shows_something():
    assert list(WINDOWS) == ["Lung", "Mediastinum", "Bone", "Liver"]
    assert all(window.width > 0 for window in WINDOWS.values())


def prepared(first, last, start_mm=12.0, step_mm=3.0):
    lungs = np.zeros((30, 5, 4), bool)
    lungs[first : last + 1, 2, 1:3] = True
    return PreparedScan(lungs.astype(np.float32), lungs, (start_mm, 0.0, 0.0), (step_mm, 3.0, 3.0))


def test_lung_span_is_measured_in_the_scan_not_in_the_models_box():
    assert lung_span(prepared(4, 20)) == Span(12 + 4 * 3, 12 + 20 * 3)
    assert lung_span(prepared(4, 3)) is None


def test_one_height_finds_the_same_level_in_scans_of_other_thickness():
    thick, thin = phantom((5.0, 1.5, 1.5)), Volume(np.zeros((40, 3, 4), np.float32), (1.25, 1, 1))
    # Half way up lungs of 10 to 30 mm is 20 mm; of 12 to 42 mm it is 27 mm.
    assert slice_at(thick, Span(10, 30), 0.5) == 4
    assert slice_at(thin, Span(12, 42), 0.5) == 22
    assert height_of(thin, Span(12, 42), 22) == pytest.approx((22 * 1.25 - 12) / 30)


def test_a_height_outside_the_scan_gives_its_last_slice():
    assert slice_at(phantom(), Span(0, 10), 9.0) == 6
    assert slice_at(phantom(), Span(0, 10), -9.0) == 0


def test_without_lungs_the_whole_scan_stands_in():
    assert whole_scan(phantom()) == Span(0.0, 30.0)  # 7 slices, 5 mm apart
