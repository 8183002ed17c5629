"""Slices that do not belong where they are, though every position is perfect."""

import numpy as np
import pytest

from ctrs.errors import NotAVolume
from ctrs.ingest.neighbours import check_neighbours
from tests.conftest import chest_hu

HEIGHTS = -310 + 4.0 * np.arange(56)


@pytest.fixture
def hu():
    return chest_hu()  # 56 slices of 70 x 90, noisy


def test_a_scan_as_it_should_be(hu):
    assert check_neighbours(hu, HEIGHTS) == ()


def test_gap_filled_with_a_copy_is_named_by_its_place(hu):
    hu[20] = hu[19]
    with pytest.raises(NotAVolume) as error:
        check_neighbours(hu, HEIGHTS)
    # Slices 19 and 20 lie at -310 + 76 = -234 and -230 mm.
    assert error.value.what.startswith(
        "1 of 56 slices repeat the pixels of their neighbour, the first between -234.0 and "
        "-230.0 mm"
    )


@pytest.mark.parametrize("rounding", [np.asarray, np.rint, np.trunc])
def test_gap_filled_by_interpolation_is_refused(hu, rounding):
    hu[20] = rounding((hu[19] + hu[21]) / 2)
    with pytest.raises(
        NotAVolume, match=r"1 of 56 slices are the exact mean .* first at -230\.0 mm"
    ):
        check_neighbours(hu, HEIGHTS)


def test_series_interpolated_throughout_is_a_doubt(hu):
    hu[1:-1:2] = (hu[:-2:2] + hu[2::2]) / 2
    (doubt,) = check_neighbours(hu, HEIGHTS)
    assert doubt == "27 of 56 slices are interpolated between their neighbours"


def blank(hu):
    hu[20] = -1024


def half_decoded(hu):
    hu[20, 25:] = 0


def wrong_intercept(hu):
    hu[20] += 1024


def from_elsewhere(hu):
    hu[20] = hu[3]


def mirrored(hu):
    hu[20] = hu[20, :, ::-1]


@pytest.mark.parametrize("fault", [blank, half_decoded, wrong_intercept, from_elsewhere, mirrored])
def test_slice_that_resembles_neither_neighbour_is_refused(hu, fault):
    fault(hu)
    with pytest.raises(NotAVolume, match=r"1 of 56 slices resemble neither .* first at -230\.0 mm"):
        check_neighbours(hu, HEIGHTS)


def test_air_beyond_the_body_is_no_copy(hu):
    hu[:6] = -1024
    hu[-4:] = -1024
    assert check_neighbours(hu, HEIGHTS) == ()


def test_a_drawing_without_noise_is_no_copy():
    hu = np.full((30, 64, 64), -1000, np.float32)
    hu[:, 20:40, 20:40] = 40
    assert check_neighbours(hu, np.arange(30.0)) == ()


def test_two_slices_have_no_neighbours_on_both_sides(hu):
    assert check_neighbours(hu[:2], HEIGHTS[:2]) == ()
