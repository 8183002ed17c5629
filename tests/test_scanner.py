"""The scanner: noise as measured on real scans, sharpness, slices, table and field of view."""

from dataclasses import replace

import numpy as np
import pytest

from ctrs.kernels import Sharpness, sharpness
from ctrs.trial.scanner import (
    ROUTINE,
    SCANNERS,
    SLICES_MM,
    Protocol,
    _slice_profile,
    acquire,
    change_kernel,
    draw_protocol,
    renoise,
)

SOFT = Protocol(
    spacing=(5.0, 0.6, 0.6), kernel="B30f", manufacturer="Simulated", sharpness=1.0, noise_hu=12.0,
    enhancement=0.0, field_mm=380.0,
)  # fmt: skip


def water_body(spacing, slices=8, width_mm=240.0, depth_mm=240.0):
    """An ellipse of water in air, with room around it; by default as dense as a chest."""
    y, x = (
        (np.arange(int(n / mm)) - int(n / mm) / 2) * mm
        for n, mm in zip((depth_mm + 30, width_mm + 20), spacing[1:], strict=True)
    )
    inside = (2 * y[:, None] / depth_mm) ** 2 + (2 * x[None, :] / width_mm) ** 2 < 1
    return np.repeat(np.where(inside, 0, -1000).astype(np.float32)[None], slices, 0)


def middle(hu, spacing, half_mm=25.0):
    _, rows, columns = hu.shape
    dy, dx = (int(half_mm / mm) for mm in spacing[1:])
    cut = hu[:, rows // 2 - dy : rows // 2 + dy, columns // 2 - dx : columns // 2 + dx]
    return cut - cut.mean()


def scanned(protocol, seed=2, **body):
    return acquire(water_body(protocol.spacing, **body), protocol, np.random.default_rng(seed))


def correlation(a, b):
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


# --- Noise ------------------------------------------------------------------------------------


def test_noise_in_an_average_chest_is_as_strong_as_the_protocol_says():
    hu = scanned(SOFT)
    assert middle(hu, SOFT.spacing).std() == pytest.approx(12, rel=0.12)
    assert abs(hu[:, 190:250, 180:250].mean()) < 1.5


# Correlation of neighbours in a row, measured on the scans named at the top of ctrs.trial.scanner.
@pytest.mark.parametrize(
    ("kernel_sharpness", "pixel_mm", "measured"),
    [(1.0, 0.57, 0.69), (0.9, 0.646, 0.43), (0.45, 0.54, 0.29), (0.4, 0.646, 0.05)],
)
def test_noise_is_as_fine_as_on_real_scans(kernel_sharpness, pixel_mm, measured):
    protocol = replace(SOFT, spacing=(8.0, pixel_mm, pixel_mm), sharpness=kernel_sharpness)
    noise = middle(scanned(protocol), protocol.spacing)
    assert correlation(noise[..., 1:], noise[..., :-1]) == pytest.approx(measured, abs=0.08)


# Peak of the noise power spectrum per mm: 0.17-0.28 on soft kernels, 0.42-0.62 on FC51 and B70f.
@pytest.mark.parametrize(
    ("kernel_sharpness", "lowest", "highest"),
    [(1.0, 0.12, 0.30), (0.9, 0.15, 0.33), (0.45, 0.32, 0.55), (0.4, 0.48, 0.66)],
)
def test_noise_has_its_power_where_filtered_backprojection_has_it(
    kernel_sharpness, lowest, highest
):
    protocol = replace(SOFT, spacing=(8.0, 0.6, 0.6), sharpness=kernel_sharpness)
    noise = middle(scanned(protocol, slices=24), protocol.spacing)
    power = (np.abs(np.fft.fft2(noise)) ** 2).mean(0)
    f = np.sqrt(np.add.outer(*(np.fft.fftfreq(n, 0.6) ** 2 for n in power.shape)))
    rings = np.arange(0, 0.8, 0.05)
    profile = [power[(f >= low) & (f < low + 0.05)].mean() for low in rings]
    assert lowest < rings[np.argmax(profile)] + 0.025 < highest
    assert profile[0] < 0.35 * max(profile)  # little at zero: no clouds


def test_thin_slices_share_noise_and_thick_ones_do_not():
    for spacing_mm, thickness_mm, expected in (
        (2.0, 0.0, 0.38),
        (8.0, 0.0, 0.06),
        (5.0, 10.0, 0.31),
    ):
        protocol = replace(SOFT, spacing=(spacing_mm, 0.6, 0.6), thickness_mm=thickness_mm)
        noise = middle(scanned(protocol, slices=30), protocol.spacing)
        assert correlation(noise[1:], noise[:-1]) == pytest.approx(expected, abs=0.04)


def test_noise_grows_with_the_body_and_towards_its_middle():
    thin, thick = (scanned(SOFT, width_mm=w, depth_mm=d) for w, d in ((290, 190), (420, 300)))
    assert middle(thick, SOFT.spacing).std() > 1.5 * middle(thin, SOFT.spacing).std()
    edge = thick[:, thick.shape[1] // 2 - 40 : thick.shape[1] // 2 + 40, 50:90]
    assert edge.std() < 0.95 * middle(thick, SOFT.spacing).std()


def test_shoulders_give_streaks_from_side_to_side():
    noise = middle(scanned(SOFT, width_mm=520, depth_mm=200), SOFT.spacing)
    along_x = correlation(noise[..., 4:], noise[..., :-4])
    along_y = correlation(noise[:, 4:], noise[:, :-4])
    assert along_x > along_y + 0.2


def test_coarse_grid_holds_the_mean_of_fine_pixels():
    fine = scanned(replace(SOFT, spacing=(5.0, 0.65, 0.65), sharpness=0.9))
    blocks = middle(fine, (5.0, 0.65, 0.65))[:, :72, :72].reshape(8, 18, 4, 18, 4).mean((2, 4))
    coarse = replace(SOFT, spacing=(5.0, 2.6, 2.6), sharpness=0.9)
    # Averages of 4 x 4 pixels, and the same straight onto the coarse grid.
    found = middle(scanned(coarse, slices=20), coarse.spacing).std()
    assert found == pytest.approx(blocks.std(), rel=0.12)
    assert found < 6  # of 12


def test_noise_of_a_kernel_on_a_scan_that_exists():
    scan = water_body(SOFT.spacing)
    noisy = renoise(scan, SOFT.spacing, 9.0, 0.4, np.random.default_rng(5))
    noise = middle(noisy, SOFT.spacing)
    assert noise.std() == pytest.approx(9, rel=0.12)
    assert correlation(noise[..., 1:], noise[..., :-1]) < 0.15
    again = renoise(scan, SOFT.spacing, 9.0, 0.4, np.random.default_rng(5))
    np.testing.assert_array_equal(noisy, again)


# --- Sharpness and slices -----------------------------------------------------------------------


def test_sharp_kernel_overshoots_at_an_edge_and_a_soft_one_does_not():
    tissue = np.full((3, 40, 60), -800, np.float32)
    tissue[..., 30:] = 40
    quiet = replace(SOFT, noise_hu=1e-3)
    sharp, soft = (acquire(tissue, replace(quiet, sharpness=s), np.random.default_rng(1))[1, 20]
                   for s in (0.4, 0.9))  # fmt: skip
    assert 20 < sharp.max() - 40 < 200
    assert soft.max() - 40 <= 12
    assert np.ptp(soft[28:32]) < np.ptp(sharp[28:32])


def test_slice_is_the_mean_over_its_thickness():
    # Straight lines between slices: a slab as thick as the spacing takes 1/8 of each neighbour.
    np.testing.assert_allclose(_slice_profile(3.0, 3.0), [1 / 8, 3 / 4, 1 / 8])
    np.testing.assert_allclose(_slice_profile(3.0, 6.0), [1 / 4, 1 / 2, 1 / 4])
    assert _slice_profile(2.0, 7.0).sum() == pytest.approx(1)


def test_values_are_whole_and_no_lower_than_air():
    hu = scanned(replace(SOFT, noise_hu=60.0))
    assert hu.dtype == np.float32
    np.testing.assert_array_equal(hu, np.rint(hu))
    assert hu.min() == -1024


# --- Table and field ----------------------------------------------------------------------------


def test_table_is_behind_the_back():
    tissue = np.full((4, 100, 90), -1000, np.float32)
    tissue[:, 20:50, 15:80] = 40
    quiet = replace(SOFT, spacing=(5.0, 2.0, 2.0), noise_hu=1e-3)
    column = acquire(tissue, quiet, np.random.default_rng(2))[2, :, 45]
    skin = np.flatnonzero(column[52:] > -750) + 52
    # Its skin lies 9 mm, and once more 44 mm, behind the last row of the body, 49.
    assert set(skin) <= {53, 54, 71, 72}
    assert {53, 54} & set(skin)
    assert {71, 72} & set(skin)
    assert column[:18].max() < -990  # nothing in front


def test_nothing_is_reconstructed_outside_the_circle():
    protocol = replace(SOFT, spacing=(5.0, 2.0, 2.0), field_mm=200.0, padded=True)
    hu = acquire(np.full((2, 86, 100), 40, np.float32), protocol, np.random.default_rng(1))
    assert (hu[:, 0, 0] == -1024).all()
    assert (hu[:, 43, [0, 99]] > -100).all()
    # Corner: 85 mm up or down, and 99 mm to the side, of which the circle holds 53.
    assert (hu[0, 0] == -1024).sum() == pytest.approx(100 - 53, abs=2)


def test_scan_reaches_from_the_upper_abdomen_to_the_neck():
    grid = replace(SOFT, spacing=(5.0, 2.0, 2.0)).grid(250.0)
    assert grid.first[0] == pytest.approx(-75, abs=2.5)
    assert grid.first[0] + (grid.shape[0] - 1) * 5.0 == pytest.approx(280, abs=5)
    assert grid.shape[2] == 190
    assert grid.shape[1] == pytest.approx(0.86 * 190, abs=1)


# --- Protocols ----------------------------------------------------------------------------------


def test_drawn_protocols_are_those_of_hospitals():
    rng = np.random.default_rng(1)
    drawn = [draw_protocol(rng, 0.7, 0.6) for _ in range(400)]
    assert {p.spacing[0] for p in drawn} == set(SLICES_MM)
    assert {p.manufacturer for p in drawn} == set(ROUTINE)
    assert np.mean([p.enhancement > 0 for p in drawn]) == pytest.approx(0.6, abs=0.08)
    noise = [p.noise_hu for p in drawn]
    assert np.percentile(noise, 10) < 9
    assert np.percentile(noise, 90) > 25


def test_every_kernel_has_a_name_that_says_how_sharp_it_is():
    for kernels in SCANNERS.values():
        assert sum(share for *_, share in kernels) == pytest.approx(1)
        for name, blur, _, _ in kernels:
            expected = Sharpness.SHARP if blur < 0.6 else Sharpness.SOFT
            assert sharpness(name) is expected, name


def test_scanner_can_be_chosen_and_coarse_slices_are_thick():
    rng = np.random.default_rng(3)
    drawn = [draw_protocol(rng, 2.6, 0.5, scanner="Fujifilm") for _ in range(60)]
    assert {p.manufacturer for p in drawn} == {"Fujifilm"}
    assert min(p.spacing[0] for p in drawn) == 2.6  # no slice is thinner than a pixel is wide


def test_another_kernel_makes_its_own_noise_of_the_old_one():
    spacing, rng = (5.0, 0.6, 0.6), np.random.default_rng(6)
    soft = renoise(water_body(spacing), spacing, 10.0, 1.0, rng)
    sharp = renoise(water_body(spacing), spacing, 10.0, 0.4, rng)
    changed = change_kernel(soft, spacing, 1.0, 0.4)
    assert changed.shape == soft.shape
    assert correlation(middle(soft, spacing)[..., 1:], middle(soft, spacing)[..., :-1]) > 0.55
    expected = correlation(middle(sharp, spacing)[..., 1:], middle(sharp, spacing)[..., :-1])
    got = correlation(middle(changed, spacing)[..., 1:], middle(changed, spacing)[..., :-1])
    assert got == pytest.approx(expected, abs=0.13)
    assert middle(changed, spacing).std() > 2.5 * middle(soft, spacing).std()
    assert middle(changed, spacing).mean() == pytest.approx(middle(soft, spacing).mean(), abs=0.2)


def test_a_kernel_changed_there_and_back_is_the_scan_again():
    spacing = (5.0, 0.6, 0.7)
    hu = scanned(replace(SOFT, spacing=spacing), slices=2)
    back = change_kernel(change_kernel(hu, spacing, 1.0, 0.9), spacing, 0.9, 1.0)
    inside = np.s_[:, 200:240, 160:200]
    np.testing.assert_allclose(back[inside], hu[inside], atol=3)
    np.testing.assert_array_equal(change_kernel(hu, spacing, 0.9, 0.9), hu)
