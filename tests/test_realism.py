"""What the realism report measures, on inputs whose answer is known by arithmetic."""

import os
from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from ctrs.config import Config
from ctrs.kernels import Sharpness
from ctrs.trial.realism.contact_sheet import (
    GREYS_AND_ORANGE,
    contact_sheet,
    cut_views,
    largest_tumour,
    same_place,
    save_small,
)
from ctrs.trial.realism.evidence import MeasuredScan, Plan
from ctrs.trial.realism.noise import correlation, detrend, measure_noise, noise_power
from ctrs.trial.realism.report import write_report
from ctrs.trial.realism.tables import (
    by_targets,
    compare_quantiles,
    compare_survival,
    distribution,
    kolmogorov_distance,
    real_change,
    shares,
    simulated_change,
)
from ctrs.trial.realism.text import change_section, reflow, spread, table
from ctrs.trial.realism.tissues import (
    Histogram,
    find_tissues,
    histogram,
    measure_densities,
    overlap,
    peak,
)
from ctrs.trial.realism.voxel_text import noise_section
from ctrs.types import Volume

DATA = Path(os.environ.get("CTRS_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


# --- Tables ---------------------------------------------------------------------------------


def test_change_is_percent_of_the_baseline_at_the_scan_nearest_day_84():
    diameters = pd.DataFrame(
        {
            "patient": ["a"] * 4 + ["b"] * 2,
            "day": [-20, -3, 72, 88, 0, 60],
            "diameter_mm": [10.0, 40.0, 99.0, 30.0, 20.0, 10.0],
        }
    )
    assert real_change(diameters).tolist() == [-25.0]  # 40 to 30; b was not scanned in time


def test_simulated_change_leaves_out_who_has_nothing_to_measure():
    sums = pd.DataFrame({"sum_baseline_mm": [50.0, 0.0, 80.0], "sum_follow_up_mm": [60.0, 0, 20]})
    assert simulated_change(sums).tolist() == pytest.approx([20.0, -75.0])


def test_percentiles_by_hand_and_only_five_have_a_limit():
    # 0, 1, ..., 100: percentile p is p itself. Twice as wide: the difference is p again.
    real = pd.Series(np.arange(101.0))
    found = {q.percentile: q for q in compare_quantiles(real, 2 * real - 22)}
    assert (found[75].real, found[75].simulated, found[75].difference) == (75, 128, 53)
    assert found[25].near is True  # 28 against 25
    assert found[50].near is False  # 78 against 50
    assert found[5].near is None


def test_distribution_function_and_its_largest_gap():
    x, share = distribution(pd.Series([7.0, -1.0, 3.0, 3.0]))
    assert x.tolist() == [-1, 3, 3, 7]
    assert share.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert kolmogorov_distance(pd.Series([1.0, 2.0, 3.0, 4.0]), pd.Series([3.5, 9.0])) == 0.75


def patients(*rows):
    names = ["sum_baseline_mm", "sum_follow_up_mm", "months", "event"]
    return pd.DataFrame(rows, columns=names).astype({"event": bool})


def test_class_by_targets_counts_a_complete_response_as_partial():
    found = by_targets(patients((50, 61, 1, 1), (50, 0, 1, 1), (50, 34, 1, 1), (50, 45, 1, 1),
                                (0, 0, 1, 1)))  # fmt: skip
    assert found.tolist() == ["PD", "PR", "PR", "SD", "NE"]
    assert shares(found) == {"PD": 0.25, "SD": 0.25, "PR": 0.5}


def test_survival_at_12_months_of_each_class_on_both_sides():
    # Progression: of 4 real patients 2 die before month 12, of 2 simulated ones 1.
    real = patients((50, 70, 3, 1), (40, 60, 8, 1), (50, 70, 15, 1), (40, 80, 20, 0),
                    (50, 20, 14, 1), (50, 20, 30, 0))  # fmt: skip
    simulated = patients((50, 70, 5, 1), (50, 70, 18, 0), (50, 20, 2, 1), (50, 20, 25, 1))
    progression, response = compare_survival(real, simulated, ("PD", "PR"))
    assert (progression.real_12m.survival, progression.simulated_12m.survival) == (0.5, 0.5)
    assert progression.real_12m.at_risk == 2
    assert progression.within
    assert (response.real_12m.survival, response.simulated_12m.survival) == (1.0, 0.5)


# --- Densities ------------------------------------------------------------------------------


def two_tissues():
    """Lungs in fat with a muscle block at one side, all with known peaks; 3 mm voxels."""
    rng = np.random.default_rng(3)
    hu = np.full((60, 70, 110), -1000, np.float32)
    hu[:, 8:60, 8:102] = rng.normal(-107, 9, (60, 52, 94))
    hu[:, 18:50, 16:50] = hu[:, 18:46, 60:88] = -860
    hu[:, 18:50, 16:50] = rng.normal(-860, 25, (60, 32, 34))
    hu[:, 18:46, 60:88] = rng.normal(-860, 25, (60, 28, 28))
    hu[:, 50:58, 20:70] = rng.normal(47, 14, (60, 8, 50))
    return Volume(hu, (3.0, 3.0, 3.0))


def test_peaks_and_areas_of_a_phantom_of_two_tissues():
    found = measure_densities(two_tissues(), Config())
    assert found.tissues["fat"].peak_hu == pytest.approx(-107, abs=5)
    assert found.tissues["soft tissue"].peak_hu == pytest.approx(47, abs=7)
    assert found.tissues["fat"].width_hu == pytest.approx(2.355 * 9, rel=0.15)  # of a Gaussian
    assert found.tissues["soft tissue"].width_hu == pytest.approx(2.355 * 14, rel=0.15)
    assert found.lung_hu == pytest.approx(-860, abs=2)
    assert found.lung_ml == pytest.approx((32 * 34 + 28 * 28) * 60 * 0.027, rel=0.02)
    # 8 x 50 pixels of 0.09 cm2, less the row of 30 that touches lung; half of a bin is cut off.
    assert 25 < found.tissues["soft tissue"].area_cm2 < 36
    assert found.emphysema_percent == pytest.approx(0.016, abs=0.02)  # 3.6 SD below the mean


def two_lungs():
    """Two lungs in muscle with dense blood between them and a spine behind; HU and lungs."""
    hu = np.full((9, 60, 80), 40, np.float32)
    lungs = np.zeros(hu.shape, bool)
    lungs[:, 10:50, 8:30] = lungs[:, 10:50, 50:72] = True
    hu[lungs] = -850
    hu[:, 15:25, 36:44] = 300  # enhanced heart
    hu[:, 44:52, 36:44] = 300  # spine
    return hu, lungs


def test_blood_between_the_lungs_is_no_bone_but_the_spine_is():
    bone = find_tissues(*two_lungs(), (3.0, 3.0, 3.0))["bone"]
    assert not bone[:, :30].any()
    assert bone[2, 48, 40]


def test_muscle_that_touches_lung_is_left_out():
    muscle = find_tissues(*two_lungs(), (3.0, 3.0, 3.0))["soft tissue"]
    assert muscle[4, 30, 30:33].tolist() == [False, True, True]


def test_peak_and_width_of_a_triangle():
    # Heights 0 2 4 6 3 0 in bins of 10: half of the smoothed top (4.75) lies 1.6 bins below it.
    found = Histogram(np.arange(0.0, 61, 10), np.array([0, 2, 4, 6, 3, 0]) / 15)
    top, width = peak(found)
    assert top == 35
    smooth = np.array([0.5, 2, 4, 4.75, 3, 0.75])
    left = 1 + (4 - 4.75 / 2) / (4 - 2)
    right = 1 + (3 - 4.75 / 2) / (3 - 0.75)
    assert width == pytest.approx(10 * (left + right))
    assert smooth.argmax() == 3


def test_overlap_of_two_histograms():
    one = histogram(np.array([1.0, 1.0, 12.0, 25.0, 99.0]), (0, 30), 10)
    other = histogram(np.array([2.0, 13.0, 14.0, 15.0]), (0, 30), 10)
    assert one.share.tolist() == [0.5, 0.25, 0.25]  # 99 lies outside
    assert overlap(one, other) == 0.5  # 0.25 + 0.25 + 0


# --- Noise ----------------------------------------------------------------------------------


def test_white_noise_has_a_flat_spectrum():
    patches = np.random.default_rng(1).normal(0, 7, (400, 24, 24))
    frequency, power = noise_power(patches, pixel_mm=0.5)
    # The lowest ring holds 4 waves of 1 / 12 mm and 4 diagonal ones.
    assert frequency[0] == pytest.approx((1 + 2**0.5) / 2 / 12)
    assert frequency[-1] == pytest.approx(1.0, rel=0.03)
    assert power == pytest.approx(np.full(12, power.mean()), rel=0.06)
    area = np.sum((power[1:] + power[:-1]) / 2 * np.diff(frequency))
    assert area == pytest.approx(1)


def test_a_blurred_field_falls_off_as_the_square_of_the_blurs_transfer():
    pixel_mm, sigma_mm = 0.7, 0.8
    white = np.random.default_rng(2).normal(0, 30, (300, 64, 64))
    blurred = ndimage.gaussian_filter(white, (0, sigma_mm / pixel_mm, sigma_mm / pixel_mm))
    frequency, power = noise_power(blurred[:, 18:46, 18:46], pixel_mm)
    expected = np.exp(-((2 * np.pi * sigma_mm * frequency) ** 2))
    low = frequency < 0.35  # beyond, leakage from the patch's edges is more than what is left
    assert (power / power[1])[low] == pytest.approx((expected / expected[1])[low], abs=0.06)


def test_correlation_of_neighbours_after_a_blur_of_two_pixels():
    white = np.random.default_rng(4).normal(0, 1, (50, 40, 41))
    mean_of_two = (white[:, :, 1:] + white[:, :, :-1]) / 2
    assert correlation(mean_of_two[:, :, 1:], mean_of_two[:, :, :-1]) == pytest.approx(
        0.5, abs=0.02
    )
    assert correlation(mean_of_two[:, 1:], mean_of_two[:, :-1]) == pytest.approx(0, abs=0.02)


def test_a_curved_background_is_taken_out():
    u = np.linspace(-1, 1, 20)
    slope = 5 + 9 * u[:, None] - 4 * u[None, :] + 7 * u[:, None] * u[None, :] - 6 * u[:, None] ** 2
    assert np.abs(detrend(slope[None])).max() < 1e-9


def noisy_liver(sd, seed=5):
    """A body with one uniform organ, and a ribbed rest in which no patch should be found."""
    rng = np.random.default_rng(seed)
    hu = np.full((6, 160, 200), -1000, np.float32)
    ribbed = 100 * (np.arange(140) // 6 % 2)  # darker on average than the organ
    hu[:, 20:150, 30:170] = ribbed
    hu[:, 60:130, 70:150] = 130
    grain = rng.normal(0, sd, (*hu.shape[:2], 201))
    hu += ((grain[..., 1:] + grain[..., :-1]) / 2**0.5).astype(np.float32)  # streaks of two pixels
    return Volume(hu, (5.0, 0.8, 0.8))


def test_noise_is_measured_in_the_uniform_organ_alone():
    found = measure_noise(noisy_liver(sd=11))
    # A second-order surface takes 6 of 24 x 24 degrees of freedom.
    assert found.sd_hu == pytest.approx(11, rel=0.03)
    assert found.hu == pytest.approx(130, abs=1)
    assert found.between_slices == pytest.approx(0, abs=0.03)
    assert (found.in_row, found.in_column) == pytest.approx((0.5, 0), abs=0.04)
    assert found.pixel_mm == 0.8


def test_no_uniform_tissue_no_noise():
    assert measure_noise(Volume(np.full((4, 90, 120), -1000, np.float32), (5.0, 0.8, 0.8))) is None


# --- Contact sheet --------------------------------------------------------------------------


def small_scan():
    hu = np.arange(4 * 5 * 6, dtype=np.float32).reshape(4, 5, 6)
    return Volume(hu, (3.0, 1.5, 1.0), origin=(-10.0, 20.0, 100.0))


def test_planes_hang_head_up_and_front_up():
    volume = small_scan()
    views = cut_views(volume, (1.2, 2.9, 4.0), "label")
    assert np.array_equal(views.axial.hu, volume.hu[1])
    assert np.array_equal(views.coronal.hu, volume.hu[::-1, 3])
    assert np.array_equal(views.sagittal.hu, volume.hu[::-1, :, 4])
    assert views.sagittal.spacing == (3.0, 1.5)


def test_the_tumour_is_found_again_by_where_it_was():
    first = np.zeros((9, 9, 9), bool)
    first[1:3, 1:3, 1:3] = first[6, 6, 6] = True
    assert largest_tumour(first) == (1.5, 1.5, 1.5)
    assert largest_tumour(np.zeros((3, 3, 3), bool)) is None
    volume = Volume(np.zeros((9, 9, 9), np.float32), (10.0, 10.0, 10.0), origin=(5.0, 0.0, 0.0))
    assert same_place(first, volume, (55.0, 60.0, 70.0)) == (6, 6, 6)
    splintered = first.copy()
    splintered[5:8, 5:8, 5:8] = True
    splintered[5, 2, 7] = True  # nearer, but a thirtieth of what lies beside it
    assert same_place(splintered, volume, (55.0, 25.0, 75.0)) == (6, 6, 6)
    assert same_place(first, volume, (10.0, 80.0, 85.0)) == (1, 8, 8)  # nothing near


def test_a_sheet_shows_the_outline_in_orange(tmp_path):
    volume = Volume(np.full((8, 40, 50), -800, np.float32), (3.0, 1.0, 1.0))
    tumour = np.zeros(volume.hu.shape, bool)
    tumour[4, 15:25, 20:35] = True
    for mask, expected in ((tumour, True), (None, False)):
        file = tmp_path / f"{expected}.png"
        save_small(contact_sheet([cut_views(volume, (4, 20, 27), "x", mask)]), file,
                   palette=GREYS_AND_ORANGE)  # fmt: skip
        picture = matplotlib.image.imread(file)
        coloured = picture[..., 0] - picture[..., 2] > 0.3
        assert coloured.any() == expected


# --- Report ---------------------------------------------------------------------------------


def test_a_paragraph_is_wrapped_and_a_table_is_not():
    rows = table(["a", "b"], [["x " * 60, "1"]])
    text = reflow(f"## Title\n\n{'word ' * 40}\n\n{rows}\n")
    assert rows in text
    assert max(len(line) for line in text.splitlines() if line.startswith("word")) <= 99


def test_spread_leaves_out_what_is_not_known():
    assert spread([3.0, float("nan"), 10.0, 4.0]) == "4 (3 to 10)"
    assert spread([float("nan")]) == "-"


def test_the_text_says_how_many_percentiles_are_near():
    real = pd.Series(np.arange(101.0))
    text = change_section(real, real + 4)
    assert "**5 of 5 percentiles are near.**" in text
    assert "| 90 | +90.0 | +94.0 | +4.0 | yes |" in text
    assert "**0 of 5 percentiles are near.**" in change_section(real, real + 6)


def test_the_text_lists_the_noise_by_kernel_class():
    noise = measure_noise(noisy_liver(sd=11))
    scans = [MeasuredScan("made", Sharpness.SHARP, 5.0, False, noise=noise)]
    text = noise_section([], scans)
    assert f"| made | simulated | sharp | 5 | 0.80 | {noise.sd_hu:.1f} |" in text
    assert "| soft | - | - |" in text


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "ct").exists(), reason=f"no real tables and scans in {DATA}")
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_a_small_report_is_whole(tmp_path):
    (tmp_path / "eye.md").write_text("1999-12-31: the ribs are too straight.")
    said = []
    report = write_report(DATA, tmp_path, 3, said.append, 150, Plan(pairs=1, lungs=1, noise=1), 1)
    text = report.read_text()
    for number in range(1, 10):
        assert f"\n## {number}. " in text
    assert "1999-12-31: the ribs are too straight." in text
    assert "--seed 3\n" in text
    assert "150 patients" in text
    assert str(DATA) not in text
    assert "nan" not in text.lower()
    shown = {part.split(")")[0] for part in text.split("](")[1:]}
    assert shown == {file.name for file in tmp_path.glob("*.png")}
    assert max(file.stat().st_size for file in tmp_path.glob("*.png")) < 250_000
    assert said[-1] == "simulated lungs: 1/1"
