"""Slices that do not belong where they are, though every position is perfect."""

from dataclasses import replace

import numpy as np
import pytest

from ctrs.config import IntakeConfig
from ctrs.errors import NotAVolume
from ctrs.ingest.neighbours import check_neighbours, without_blank_ends
from tests.conftest import chest_hu, chest_volume

CONFIG = IntakeConfig()
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


def altered(hu):
    hu[20, 40, 50] += 1


def brighter(hu):
    hu[20] += 1


@pytest.mark.parametrize("how", [altered, brighter])
def test_copy_that_was_altered_a_little_is_one(hu, how):
    hu[20] = hu[19]
    how(hu)
    with pytest.raises(NotAVolume, match=r"1 of 56 slices repeat .* between -234\.0 and -230\.0"):
        check_neighbours(hu, HEIGHTS)


def test_copies_from_further_away_are_found(hu):
    hu[40:43] = hu[10:13]
    with pytest.raises(NotAVolume, match=r"3 of 56 .* the first at -270\.0 and -150\.0 mm"):
        check_neighbours(hu, HEIGHTS)


@pytest.mark.parametrize("rounding", [np.asarray, np.rint, np.trunc])
def test_gap_filled_by_interpolation_is_refused(hu, rounding):
    hu[20] = rounding((hu[19] + hu[21]) / 2)
    with pytest.raises(
        NotAVolume, match=r"1 of 56 slices are the exact mean .* first at -230\.0 mm"
    ):
        check_neighbours(hu, HEIGHTS)


def test_a_wide_gap_filled_by_interpolation_is_no_interpolated_series(hu):
    for at in range(20, 28):  # 8 of 56 slices, between 19 and 28
        hu[at] = hu[19] + (hu[28] - hu[19]) * (at - 19) / 9
    with pytest.raises(NotAVolume, match=r"8 of 56 .* exact mean .* first at -230\.0 mm"):
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


# --- Order, steps, blank slices -----------------------------------------------------------------

SMOOTH_HEIGHTS = -310 + 2.0 * np.arange(80)


@pytest.fixture
def smooth():
    """80 slices of 64 x 64, 2 mm apart, in each of which everything differs from the next."""
    z, y, x = np.indices((80, 64, 64)).astype(np.float32)
    hu = np.where((x - 20 - z / 4) ** 2 + (y - 30 + z / 8) ** 2 < (12 + z / 10) ** 2, -800, 40)
    hu = np.where((x - 50) ** 2 + (y - 10 - z / 2) ** 2 < 100, 300, hu)
    return (hu + np.random.default_rng(4).normal(0, 20, hu.shape)).astype(np.float32)


def test_a_body_that_changes_evenly_is_as_it_should_be(smooth):
    assert check_neighbours(smooth, SMOOTH_HEIGHTS) == ()


@pytest.mark.parametrize("at", [20, 41, 78])
def test_two_slices_exchanged_are_out_of_order(smooth, at):
    smooth[[at, at + 1]] = smooth[[at + 1, at]]
    with pytest.raises(NotAVolume, match="are not in order: one resembles the next but one"):
        check_neighbours(smooth, SMOOTH_HEIGHTS)


def halves_exchanged(hu):
    return np.concatenate([hu[40:], hu[:40]])


def block_reversed(hu):
    return np.concatenate([hu[:25], hu[25:55][::-1], hu[55:]])


def blocks_exchanged(hu):
    return np.concatenate([hu[:20], hu[40:60], hu[20:40], hu[60:]])


def upper_half_on_another_scale(hu):
    return np.concatenate([hu[:40], hu[40:] + 1024])


def several_slices_of_water(hu):
    hu[30:36] = np.random.default_rng(1).normal(0, 20, hu[30:36].shape)
    return hu


def last_slice_of_noise(hu):
    hu[-1] = np.random.default_rng(1).normal(0, 500, hu[-1].shape)
    return hu


@pytest.mark.parametrize(
    ("fault", "place"),
    [
        (halves_exchanged, "-232.0 and -230.0"),
        (block_reversed, "-262.0 and -260.0"),
        (blocks_exchanged, "-272.0 and -270.0"),
        (upper_half_on_another_scale, "-232.0 and -230.0"),
        (several_slices_of_water, "-252.0 and -250.0"),
        (last_slice_of_noise, "-154.0 and -152.0"),
    ],
)
def test_what_does_not_continue_is_refused(smooth, fault, place):
    with pytest.raises(NotAVolume, match=f"does not continue between {place} mm"):
        check_neighbours(fault(smooth), SMOOTH_HEIGHTS)


def test_a_jump_that_a_breath_may_have_made_is_a_doubt(smooth):
    hu = np.delete(smooth, slice(40, 46), axis=0)  # 12 mm
    (doubt,) = check_neighbours(hu, SMOOTH_HEIGHTS[:74])
    assert doubt.startswith("The scan jumps at -232.0 mm: neighbouring slices differ ")


@pytest.mark.parametrize("value", [-1024, 0])
def test_blank_slices_inside_the_scan_are_refused(hu, value):
    hu[20:23] = value
    with pytest.raises(NotAVolume, match=r"3 of 56 slices are blank, the first at -230\.0 mm"):
        check_neighbours(hu, HEIGHTS)


def test_blank_slices_at_the_ends_are_taken_off():
    whole = chest_volume()
    hu = np.concatenate([np.full_like(whole.hu[:2], -1024), whole.hu, whole.hu[:1] * 0])
    tilted = (1.0, 0.0, 0.0, 0.0, 0.8, 0.6, 0.0, -0.6, 0.8)  # z axis: (0, 0.6, 0.8)
    volume = without_blank_ends(replace(whole, hu=hu, direction=tilted), CONFIG)
    np.testing.assert_array_equal(volume.hu, whole.hu)
    # Two slices of 4 mm along that axis: 4.8 mm back, 6.4 mm up.
    assert volume.origin == pytest.approx((-162.0, -135.2, -303.6))
    assert volume.repairs == ("blank slices at the ends dropped: 3",)
    assert without_blank_ends(whole, CONFIG) is whole


def test_too_few_slices_between_blank_ends_are_refused():
    whole = chest_volume()
    hu = np.concatenate([whole.hu[:15], np.zeros_like(whole.hu[:9])])
    with pytest.raises(NotAVolume, match="15 slices; at least 16 are expected"):
        without_blank_ends(replace(whole, hu=hu), CONFIG)
