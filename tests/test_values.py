"""Whether numbers are CT numbers, by what every body shows."""

import numpy as np
import pytest

from ctrs.errors import NotHounsfield
from ctrs.ingest.values import check_hounsfield
from tests.conftest import chest_hu


@pytest.fixture
def hu():
    return chest_hu()


def test_a_chest_in_hounsfield_units(hu):
    check_hounsfield(hu)


@pytest.mark.parametrize("padding", [-1024.0, -1000.0])
def test_a_chest_without_air_around_it(hu, padding):
    hu[:, :12] = padding
    check_hounsfield(hu)


def stored(hu):
    return hu + 1024


def intercept_twice(hu):
    return np.maximum(hu - 1024, -1024)


def normalised(hu):  # -1024 … 3071 became -1000 … 1000
    return (hu + 1024) / 4095 * 2000 - 1000


def inverted(hu):
    return np.maximum(-hu, -1024)


def mediastinal_picture(hu):
    return (np.clip(hu, -160, 240) + 160) / 400 * 255


def picture_called_hu(hu):  # an 8-bit picture with an intercept of -1024
    return mediastinal_picture(hu) * 5 - 1024


def half_slope(hu):
    return hu / 2


def shifted_up(hu):
    return hu + 150


def shifted_down(hu):
    return np.maximum(hu - 130, -1024)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (stored, "air below -700"),
        (intercept_twice, "Most of the body|muscle"),
        (normalised, "Most of the body lies at -[45]"),
        (inverted, "air below -700"),
        (mediastinal_picture, "air below -700"),
        (picture_called_hu, "air below -700|Most of the body"),
        (half_slope, "air below -700"),
        (shifted_up, "air of the scan lies at"),
        (shifted_down, "muscle"),
    ],
)
def test_another_scale_is_refused(hu, wrong, words):
    with pytest.raises(NotHounsfield, match=words):
        check_hounsfield(wrong(hu).astype(np.float32))


def test_an_eight_bit_picture_over_the_whole_range_is_refused(hu):
    greys = np.rint((np.clip(hu, -1000, 400) + 1000) / 1400 * 255)
    picture = np.rint(greys / 255 * 1400 - 1000).astype(np.float32)
    with pytest.raises(NotHounsfield, match="8-bit picture"):
        check_hounsfield(picture)


@pytest.mark.parametrize("top", [150, 300])  # the spine has 350
def test_a_scan_cut_off_by_a_window_is_refused(hu, top):
    with pytest.raises(NotHounsfield, match=rf"the largest value, {top}: bone is cut off"):
        check_hounsfield(np.minimum(hu, top))


def test_metal_at_the_end_of_the_scale_is_no_window(hu):
    hu[:, 30:34, 40:44] = 3071
    check_hounsfield(hu)


def test_a_drawing_of_few_values_is_no_window(hu):
    check_hounsfield(np.select([hu < -900, hu < -400, hu < 200], [-1000.0, -830, 40], 350))


def test_a_scan_in_steps_of_two_is_none(hu):
    check_hounsfield((np.rint(hu / 2) * 2).astype(np.float32))


@pytest.mark.parametrize("hu_of_fat_and_metal", [(-110.0, 14_000.0)])
def test_fat_and_metal_are_no_other_scale(hu, hu_of_fat_and_metal):
    fat, metal = hu_of_fat_and_metal
    body = (hu > -100) & (hu < 200)
    body[:, ::2] = False  # every second row stays muscle
    hu[body] += fat - 40
    hu[10, 30:34, 40:44] = metal
    check_hounsfield(hu)
