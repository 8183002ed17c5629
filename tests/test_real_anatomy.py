"""Checks on real scans, themselves checked with networks whose answer is known."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ctrs.model.real_anatomy import as_markdown, check_real_anatomy, follow_ups, masks, rim
from ctrs.model.real_anatomy import common as common_module
from ctrs.model.real_anatomy.text import TITLES
from ctrs.prepare import onto_model_grid
from ctrs.trial.real import outlined
from ctrs.trial.real.outlined import REAL_CROPS, REAL_SCANS, OutlinedScan, outlined_scan
from ctrs.types import STRUCTURES, Biomarker, Prediction
from tests.conftest import chest_volume, curve

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("CTRS_TEST_DATA", ROOT.parent / "shared" / "data"))

TUMOUR_AT_MM = np.array([112.0, 140.0, 224.0])  # of the phantom, from its first voxel
VOXEL_ML = 0.027


class Eyes:
    """Sees what is dense in the middle of the phantom's left lung; ``score`` makes survival of
    the tumour in ml at baseline and follow-up."""

    def __init__(self, score=lambda before, after: 0.9 * np.exp(-after / 60)):
        self.score = score

    def maps(self, scan):
        places = np.indices(scan.image.shape).reshape(3, -1).T * scan.spacing + scan.origin
        near = np.linalg.norm(places - TUMOUR_AT_MM, axis=1).reshape(scan.image.shape) < 28
        share = np.clip((scan.image * 1400 - 1000 + 700) / 600, 0, 1)
        blank = np.zeros_like(scan.image)
        seen = np.where(near, share, 0).astype(np.float32)
        return {name: seen if name == "tumour" else blank for name in STRUCTURES}

    def ml(self, scan):
        return float(self.maps(scan)["tumour"].sum()) * scan.voxel_ml

    def __call__(self, baseline, follow_up, interval_days):
        before, after = self.ml(baseline), self.ml(follow_up)
        volume = Biomarker(before, after, "ml")
        survival = float(self.score(before, after))
        return Prediction(curve(survival), (survival,), 40.0, {"tumour_volume": volume})


class FixedEyes(Eyes):
    """Sees one given map in every scan."""

    def __init__(self, tumour):
        super().__init__()
        self.tumour = tumour

    def maps(self, scan):
        return {"tumour": self.tumour}


@pytest.fixture(scope="module")
def scan():
    volume = chest_volume()
    z, y, x = (
        i * mm - at
        for i, mm, at in zip(np.indices(volume.hu.shape), volume.spacing, TUMOUR_AT_MM, strict=True)
    )
    return OutlinedScan("a phantom", volume, z * z + y * y + x * x < 14**2)


def said(_):
    return None


# --- Masks --------------------------------------------------------------------------------------


def cube(shape=(16, 18, 20), at=(3, 4, 5), n=4):
    values = np.zeros(shape, np.float32)
    values[tuple(slice(a, a + n) for a in at)] = 1.0
    return values


def test_a_map_beside_its_outline_by_hand():
    outline, tumour = cube(), cube(at=(3, 4, 6))
    tumour[3:7, 4:8, 10] = 0.25  # a rim of partial voxels
    tumour[12:14, 12:14, 15:17] = 1.0
    tumour[0, 16, 0] = 0.3  # in doubt, far from anything
    found = masks.compare(tumour, outline, VOXEL_ML)
    assert found.found
    assert found.dice == pytest.approx(2 * 48 / 128)  # 4 x 4 x 3 voxels in common
    assert found.attached_ml == pytest.approx((64 + 16 * 0.25) * VOXEL_ML)
    assert found.outlined_ml == pytest.approx(48 * VOXEL_ML)
    assert found.total_ml == pytest.approx((64 + 4 + 8 + 0.3) * VOXEL_ML)
    assert found.elsewhere_ml == pytest.approx(8.3 * VOXEL_ML)
    assert found.parts_elsewhere_ml == pytest.approx((8 * VOXEL_ML,))


def test_parts_elsewhere_come_largest_first():
    tumour = cube() + cube(at=(12, 0, 0), n=2) + cube(at=(12, 12, 14), n=3)
    found = masks.compare(tumour, cube(), VOXEL_ML)
    assert found.parts_elsewhere_ml == pytest.approx((27 * VOXEL_ML, 8 * VOXEL_ML))
    assert found.dice == 1


def test_what_only_touches_the_outline_is_measured_and_not_found():
    found = masks.compare(cube(at=(3, 4, 9)), cube(), VOXEL_ML)
    assert not found.found
    assert found.dice == 0
    assert found.attached_ml == pytest.approx(64 * VOXEL_ML)
    assert found.parts_elsewhere_ml == ()


def test_what_lies_two_voxels_away_is_elsewhere():
    found = masks.compare(cube(at=(3, 4, 10)), cube(), VOXEL_ML)
    assert found.attached_ml == 0
    assert found.parts_elsewhere_ml == pytest.approx((64 * VOXEL_ML,))


def test_doubt_everywhere_finds_nothing():
    found = masks.compare(np.full((16, 18, 20), 0.4, np.float32), cube(), VOXEL_ML)
    assert not found.found
    assert (found.attached_ml, found.dice, found.parts_elsewhere_ml) == (0, 0, ())


def test_an_outline_too_small_for_half_a_voxel_still_counts():
    outline = 0.3 * cube(n=1)
    assert masks.compare(cube(n=1), outline, VOXEL_ML).found


def test_the_tumour_of_a_phantom_is_measured_on_the_model_grid(scan):
    row = masks.measure_tumour(scan, Eyes())
    assert row["found"]
    assert row["counted"]
    assert row["true_ml"] == pytest.approx(11.5, abs=0.3)  # a ball of 14 mm
    assert row["ratio"] == pytest.approx(1, abs=0.15)
    assert row["dice"] > 0.9
    assert row["elsewhere_ml"] == pytest.approx(0, abs=0.05)


def mask_row(ml, ratio, dice, found=True):
    return {"scan": "x", "true_ml": ml, "counted": ml >= 5, "ratio": ratio, "dice": dice,
            "found": found}  # fmt: skip


GOOD = [mask_row(7.8, 1.4, 0.7), mask_row(48.4, 0.7, 0.62), mask_row(1.4, 9.0, 0.1, False)]


@pytest.mark.parametrize(
    ("rows", "met"),
    [
        (GOOD, True),  # the small one decides nothing
        ([*GOOD, mask_row(6.0, 1.6, 0.9)], False),
        ([*GOOD, mask_row(6.0, 0.6, 0.9)], False),
        ([*GOOD, mask_row(6.0, 1.0, 0.9, False)], False),
        ([mask_row(7.8, 1.0, 0.59)], False),
        ([mask_row(7.8, 1.0, 0.5), *GOOD], True),  # the median: 0.62
        ([mask_row(1.4, 1.0, 0.9)], None),
        ([], None),
    ],
)
def test_masks_are_judged_by_tumours_of_5_ml_or_more(rows, met):
    judged = masks.judge_masks(rows)
    assert judged["met"] is met
    assert judged["n"] == sum(row["counted"] for row in rows)
    assert judged["scans"] == rows


# --- Follow-ups ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("sign", "spearman"), [(1, -1.0), (-1, 1.0)])
def test_survival_against_the_change_that_was_made(scan, monkeypatch, sign, spearman):
    monkeypatch.setattr(follow_ups, "CHANGES", (-0.8, 0.0, 1.0))
    eyes = Eyes(lambda before, after: 0.5 - sign * after / 80)
    row = follow_ups.dose_response(scan, eyes, said)
    assert row["spearman"] == spearman
    assert row["counted"]
    for step, change in zip(row["steps"], (-0.8, 0.0, 1.0), strict=True):
        assert step["change"] == change
        assert step["measured_change"] == pytest.approx(change, abs=0.15)
        assert step["measured_change_there"] == pytest.approx(change, abs=0.15)
    assert follow_ups.judge_doses([row])["met"] is (sign == 1)


def test_at_least_nine_steps_from_a_fifth_to_three_times_the_volume():
    assert len(follow_ups.CHANGES) >= 9
    assert (follow_ups.CHANGES[0], follow_ups.CHANGES[-1]) == (-0.8, 2.0)
    assert list(follow_ups.CHANGES) == sorted(follow_ups.CHANGES)


def test_rank_correlation_of_what_does_not_vary_is_none():
    assert follow_ups.rank_correlation([1, 2, 3], [0.4, 0.4, 0.4]) == 0
    assert follow_ups.rank_correlation([1, 2, 3, 4], [0.9, 0.7, 0.8, 0.1]) == pytest.approx(-0.8)


def test_doses_are_judged_by_the_worst_tumour_of_5_ml_or_more():
    rows = [{"counted": True, "spearman": -0.99}, {"counted": False, "spearman": 0.3}]
    assert follow_ups.judge_doses(rows)["met"] is True
    rows.append({"counted": True, "spearman": -0.94})
    assert follow_ups.judge_doses(rows)["met"] is False
    assert follow_ups.judge_doses(rows)["largest_spearman"] == -0.94
    assert follow_ups.judge_doses([])["met"] is None


@pytest.mark.parametrize(
    ("score", "second_mm", "met"),
    [
        (lambda before, after: 0.5 + 0.1 * np.log(after / before), 14.0, True),
        (lambda before, after: 0.5 + 2.5 * np.log(after / before), 14.2, False),  # apart in score
        (lambda before, after: 0.5, 15.5, False),  # apart in volume
        (lambda before, after: 0.5, 14.2, True),
    ],
)
def test_two_kernels_of_one_breath_hold(monkeypatch, score, second_mm, met):
    volumes = {
        name: chest_volume(tumour_mm=mm, seed=seed)
        for name, mm, seed in zip(outlined.TWO_KERNELS, (14.0, second_mm), (3, 4), strict=True)
    }
    monkeypatch.setattr(follow_ups, "has_scan", lambda data, name: True)
    monkeypatch.setattr(follow_ups, "real_scan", lambda data, name: volumes[name])
    found = follow_ups.zero_change(Path(), Eyes(score), said)
    assert found["met"] is met, found
    first, second = found["scans"]
    assert (first["baseline"], first["follow_up"]) == (second["follow_up"], second["baseline"])
    assert found["survival_apart"] == pytest.approx(
        abs(first["survival_12m"] - second["survival_12m"]), abs=2e-4
    )


def test_no_tumour_measured_is_no_proof_of_no_change(monkeypatch):
    monkeypatch.setattr(follow_ups, "has_scan", lambda data, name: True)
    monkeypatch.setattr(follow_ups, "real_scan", lambda data, name: chest_volume())
    blind = FixedEyes(np.zeros((2, 2, 2), np.float32))
    found = follow_ups.zero_change(Path(), blind, said)
    assert found["met"] is False
    assert found["scans"][0]["measured_change"] is None


def test_an_erased_tumour_is_gone_and_survival_above_the_median(scan):
    row = follow_ups.erased(scan, Eyes(), 0.8)
    assert row["tumour_left_ml"] < 1
    assert row["above_typical"]
    assert follow_ups.judge_erased([row])["met"] is True
    hopeless = follow_ups.erased(scan, Eyes(lambda before, after: 0.8), 0.8)
    assert hopeless["above_typical"] is False  # above, not at
    assert follow_ups.judge_erased([row, hopeless])["met"] is False
    assert follow_ups.judge_erased([])["met"] is None


# --- Gates --------------------------------------------------------------------------------------


def test_growth_by_a_rim_of_3_mm_by_hand():
    ball_of_10_mm = 4 / 3 * np.pi  # ml
    assert rim.rim_growth(ball_of_10_mm) == pytest.approx(1.3**3 - 1)
    assert rim.rim_growth(8 * ball_of_10_mm) == pytest.approx(1.15**3 - 1)


def test_a_network_that_measures_passes_the_gates(scan):
    row = rim.gates(scan, Eyes())
    assert row["passed"]
    assert row["fall_by_rim"] > 0.1
    assert len(row["moved_by"]) == 5
    assert max(map(abs, row["moved_by"].values())) < row["fall_by_rim"]
    assert rim.judge_gates([row])["met"] is True


class Grumpy(Eyes):
    """Scores the picture's roughness, as a network does that learnt the scanner."""

    def __call__(self, baseline, follow_up, interval_days):
        rough = float(np.abs(np.diff(follow_up.image, axis=2)).mean())
        return Prediction(curve(np.clip(20 * rough, 0.01, 0.99)), (0.5,), 40.0, {})


def test_a_network_that_looks_at_the_scanner_does_not(scan):
    row = rim.gates(scan, Grumpy())
    assert row["passed"] is False
    assert rim.judge_gates([row])["met"] is False
    assert rim.judge_gates([])["met"] is None


class Fussy(Eyes):
    """Minds noise in the model's own voxels, and otherwise measures."""

    def __call__(self, baseline, follow_up, interval_days):
        answer = super().__call__(baseline, follow_up, interval_days)
        noisier = grain(follow_up) > 1.15 * grain(baseline)
        return replace(answer, curve=curve(0.01)) if noisier else answer


def grain(scan):
    soft = scan.image[:, :, 1:] > 0.65
    return np.median(np.abs(np.diff(scan.image, axis=2)[soft]))


def test_noise_that_no_scanner_makes_is_told_and_decides_nothing(scan):
    row = rim.gates(scan, Fussy())
    assert row["moved_by"][rim.TOLD_ONLY] < -0.4
    assert row["passed"] is True


def test_growth_that_raises_survival_does_not_pass_however_much(scan):
    row = rim.gates(scan, Eyes(lambda before, after: 0.1 + after / 60))
    assert row["fall_by_rim"] < 0
    assert row["passed"] is False


def test_disturbances_keep_the_tumour_where_it_is(scan):
    prepared = common_module.prepared_scan(scan.volume)
    others = rim.disturbed(scan.volume, prepared)
    assert len(others) == 5
    place = onto_model_grid(scan.tumour.astype(np.float32), scan.volume.spacing, prepared) > 0.9
    shifted = others["box shifted by 1 voxel"]
    np.testing.assert_array_equal(shifted.image[1:, 1:, 1:], prepared.image[:-1, :-1, :-1])
    np.testing.assert_array_equal(shifted.lungs[1:, 1:, 1:], prepared.lungs[:-1, :-1, :-1])
    assert shifted.origin == tuple(o - 3 for o in prepared.origin)
    noisy = others["20 HU of noise"]
    assert not np.array_equal(noisy.image, prepared.image)
    assert noisy.image[place].mean() == pytest.approx(prepared.image[place].mean(), abs=0.01)
    for other in others.values():
        assert other.image.shape == prepared.image.shape
        assert Eyes().ml(other) == pytest.approx(Eyes().ml(prepared), rel=0.12)


# --- All together -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def found(scan):
    """The whole check, with the phantom for one outlined scan, one box, one crop, two kernels."""
    here = {"pyradiomics lung2", "CancerData pat_4", *outlined.TWO_KERNELS}
    modules = (follow_ups, __import__("ctrs.model.real_anatomy", fromlist=["x"]))
    with pytest.MonkeyPatch.context() as patch:
        for module in modules:
            patch.setattr(module, "has_scan", lambda data, name: name in here)
        patch.setattr(modules[1], "outlined_scan", lambda data, name: replace(scan, name=name))
        patch.setattr(follow_ups, "real_scan", lambda data, name: scan.volume)
        patch.setattr(follow_ups, "CHANGES", (-0.5, 1.0))
        words = []
        result = check_real_anatomy(DATA, Eyes(), typical_survival=0.6, progress=words.append)
    assert "pyradiomics lung2: -50% of the tumour's volume" in words
    return result


def test_every_check_says_what_it_wanted_and_whether_it_got_it(found):
    for key in TITLES:
        assert {"n", "target", "met", "scans"} <= set(found[key]), key
    assert {key: found[key]["met"] for key in TITLES} == {
        "masks": True, "crops": True, "boxes": None, "dose_response": True, "zero_change": True,
        "erased": True, "gates": True,
    }  # fmt: skip
    assert found["masks"]["n"] == found["crops"]["n"] == 1
    assert [row["scan"] for row in found["boxes"]["scans"]] == list(outlined.TWO_KERNELS[::-1])
    assert "ratio" not in found["boxes"]["scans"][0]
    assert "NLST 101287" in found["missing"]
    assert "pyradiomics lung2" not in found["missing"]


def test_what_was_found_is_json(found):
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_markdown_has_an_overview_and_a_whole_table_for_each_check(found):
    text = as_markdown(found)
    for key, title in TITLES.items():
        assert f"### {title}" in text
        assert f"| {title} | {found[key]['n']} |" in text
    assert "None" not in text
    for table in (part for part in text.split("\n\n") if part.startswith("|")):
        assert len({line.count("|") for line in table.splitlines()}) == 1, table


def test_markdown_shows_what_was_missed(found):
    failed = {**found, "erased": {**found["erased"], "met": False}}
    assert "**no**" in as_markdown(failed)
    assert "**no**" not in as_markdown(found)


def test_an_empty_folder_decides_nothing(tmp_path):
    found = check_real_anatomy(tmp_path, Eyes(), typical_survival=0.6, progress=said)
    assert [found[key]["met"] for key in TITLES] == [None] * len(TITLES)
    assert found["missing"] == [*REAL_SCANS, *REAL_CROPS]
    assert "###" not in as_markdown(found)


# --- On a real scan -----------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "ml"), [("pyradiomics lung1", 1.361)])
def test_the_outline_of_a_real_scan_found_by_who_knows_it(name, ml):
    if not outlined.has_scan(DATA, name):
        pytest.skip(f"no {name} in {DATA}: set CTRS_TEST_DATA")
    scan = outlined_scan(DATA, name)
    prepared = common_module.prepared_scan(scan.volume)
    truth = onto_model_grid(scan.tumour.astype(np.float32), scan.volume.spacing, prepared)
    row = masks.measure_tumour(scan, FixedEyes(truth))
    assert row["true_ml"] == pytest.approx(ml, abs=0.01)
    assert row["ratio"] == pytest.approx(1, abs=0.05)
    assert (row["dice"], row["elsewhere_ml"], row["counted"]) == (1, 0, False)
