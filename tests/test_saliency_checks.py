"""Checks of saliency, tried on maps that are good, bad and blind by construction."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from ctrs.model import saliency_checks as module
from ctrs.model.ensemble import TWELVE
from ctrs.model.saliency_checks import (
    KEPT,
    STAGES,
    KnownPair,
    check_saliency,
    energy_over_chance,
    kept_checks,
    known_pair,
    likeness,
    points_at,
)
from ctrs.trial.prepared import write_prepared
from ctrs.types import PreparedScan

GRID = (24, 28, 32)
TUMOUR = np.s_[9:13, 10:15, 6:12]
LUNG_BYTE, SOFT_BYTE, TUMOUR_BYTE = 28, 189, 200


def visit(tumour=True):
    image = np.full(GRID, SOFT_BYTE, np.uint8)
    arrays = {name: np.zeros(GRID, np.uint8) for name in ("lungs", "tumour", "effusion")}
    arrays["lungs"][3:20, 4:22, 3:15] = 1
    image[arrays["lungs"] > 0] = LUNG_BYTE
    if tumour:
        arrays["tumour"][TUMOUR] = 255
        image[TUMOUR] = TUMOUR_BYTE
    return {"image": image, **arrays}


@pytest.fixture
def trial(tmp_path):
    (tmp_path / "prepared").mkdir()
    for patient in ("P1", "P2", "P3"):
        write_prepared(tmp_path / "prepared" / f"{patient}.npz", [visit(), visit()])
    return tmp_path


TABLE = pd.DataFrame({"interval_days": [80.0, 90.0, 70.0]}, index=["P1", "P2", "P3"])


class Model:
    """Looks at what is as bright as a tumour; its score falls with how much there is of it."""

    version = "one"

    def __init__(self, *, blind=False, wrong=False):
        torch.manual_seed(1)
        parts = {part for stage in STAGES.values() if stage for part in stage}
        self.perceiver = nn.ModuleDict({part: nn.Linear(1, 1) for part in sorted(parts)})
        for part in parts:
            setattr(self.perceiver, part, self.perceiver[part])
        self.foreseers = [nn.Linear(1, 1)]
        self.weights = self._weights()
        self.blind, self.wrong = blind, wrong

    def _weights(self):
        nets = [*self.foreseers, *self.perceiver.values()]
        return [float(net.weight.detach()) for net in nets]

    def _bright(self, scan):
        return (np.abs(scan.image * 255 - TUMOUR_BYTE) < 8).astype(np.float32)

    def attribute(self, baseline, follow_up, days):
        assert days in (70.0, 80.0, 90.0)
        changed = [a != b for a, b in zip(self.weights, self._weights(), strict=True)]
        if any(changed) and not self.blind:  # other weights, another map
            noise = np.random.default_rng(sum(changed)).normal(size=(2, *GRID))
            return tuple(noise.astype(np.float32))
        maps = [-self._bright(scan) for scan in (baseline, follow_up)]
        return tuple(np.roll(m, 9, axis=2) for m in maps) if self.wrong else tuple(maps)

    def __call__(self, baseline, follow_up, days):
        seen = sum(float(self._bright(scan).sum()) for scan in (baseline, follow_up))
        survival = [1.0] + [0.5] * 9
        survival[TWELVE + 1] = 0.9 - seen / 1000
        return SimpleNamespace(curve=SimpleNamespace(survival=survival))


@pytest.fixture
def quiet(monkeypatch):
    """Noise of half a shade, so that the toy sees the same in other noise."""
    monkeypatch.setattr(module, "NEW_NOISE_HU", 3.0)
    monkeypatch.setattr(module, "DELETED_SHARE", 0.006)  # 129 voxels: the tumour has 120


def checked(trial, model):
    return check_saliency(trial, TABLE, model, lambda said: None)


def test_maps_of_a_model_that_looks_at_tumours_earn_their_place(trial, quiet):
    found = checked(trial, Model())
    assert found["n"] == 3
    assert found["pointing_game"] == 1.0
    # All of these scans is body, and all of the map is on the tumour's 120 voxels.
    assert found["energy_over_chance"] == pytest.approx(np.prod(GRID) / 120, rel=0.001)
    assert found["renoised_ssim"] > 0.95
    assert found["randomisation_ssim"] < 0.3
    assert list(found["stages"]) == list(STAGES)
    assert found["deletion_vs_random"] > 3
    assert found["missed"] == []


def test_each_pair_is_named_before_the_work_on_it(trial, quiet):
    done = []

    class Slow(Model):
        def attribute(self, baseline, follow_up, days):
            done.append("work")
            return super().attribute(baseline, follow_up, days)

    check_saliency(trial, TABLE, Slow(), done.append)
    said = [entry for entry, before in zip(done, ["work", *done], strict=False)
            if entry != before]  # fmt: skip
    assert said == [
        "saliency: pair 1 of 3 …", "work", "saliency: pair 2 of 3 …", "work",
        "saliency: pair 3 of 3 …", "work",
    ]  # fmt: skip


def test_what_no_pair_can_tell_is_none_and_not_reached(trial, quiet):
    for patient in TABLE.index:  # nothing that drives the hazard: no chance to compare with
        scans = [visit(tumour=False), visit(tumour=False)]
        write_prepared(trial / "prepared" / f"{patient}.npz", scans)
    found = checked(trial, Model())
    assert found["energy_over_chance"] is None
    assert "energy_over_chance" in found["missed"]


def test_map_that_points_beside_the_tumour_is_found_out(trial, quiet):
    found = checked(trial, Model(wrong=True))
    assert found["pointing_game"] == 0
    assert found["energy_over_chance"] < 5
    assert found["deletion_vs_random"] < 3
    assert found["missed"] == ["pointing_game", "energy_over_chance", "deletion_vs_random"]


def test_map_that_does_not_depend_on_the_weights_is_found_out(trial, quiet):
    found = checked(trial, Model(blind=True))
    assert found["randomisation_ssim"] == pytest.approx(1, abs=1e-3)
    assert found["missed"] == ["randomisation_ssim"]


def test_all_parts_of_the_networks_are_drawn_anew_one_stage_after_the_other():
    model, known = Model(), set()
    for name, other in module._randomised(model, 1).items():
        changed = {part for part, net in other.perceiver.items()
                   if not torch.equal(net.weight, model.perceiver[part].weight)}  # fmt: skip
        known |= set(STAGES[name] or ())
        assert changed == known
        assert not torch.equal(other.foreseers[0].weight, model.foreseers[0].weight)
    assert known == set(model.perceiver)
    assert {"liver", "stem", "fine"} <= known


def test_network_without_a_reader_of_the_liver_is_checked_too():
    model = Model()
    model.perceiver.liver = None
    assert set(module._randomised(model, 1)) == set(STAGES)


def test_strongest_voxel_counts_in_the_scan_where_it_lies():
    maps, drivers = np.zeros((2, *GRID), np.float32), (np.zeros(GRID, bool), np.zeros(GRID, bool))
    maps[1, 4, 5, 6], maps[0, 9, 9, 9] = -3.0, 2.0
    drivers[0][4, 5, 6] = drivers[0][9, 9, 9] = True
    assert not points_at(maps, drivers)
    drivers[1][4, 5, 7] = True  # touches it
    assert points_at(maps, drivers)
    drivers[1][4, 5, 7], drivers[1][4, 5, 8] = False, True
    assert not points_at(maps, drivers)


def test_energy_over_chance_by_hand():
    # Body: 100 voxels of soft tissue and 20 of lung in each scan, air elsewhere.
    image = np.zeros(GRID, np.float32)
    image[2, :10, :10] = 0.75
    lungs = np.zeros(GRID, bool)
    lungs[3, :4, :5] = True
    scan = PreparedScan(image, lungs, (0, 0, 0), (3.0, 3.0, 3.0))
    drivers = np.zeros(GRID, bool), np.zeros(GRID, bool)
    drivers[1][2, :2, :3] = True  # 6 of 240
    maps = np.zeros((2, *GRID), np.float32)
    maps[1, 2, 0, 0], maps[0, 2, 5, 5], maps[1, 20, 20, 20] = -3.0, 4.0, 1.0
    pair = KnownPair((scan, scan), (scan, scan), drivers, 84.0)
    assert energy_over_chance(maps, pair) == pytest.approx((3 / 8) / (6 / 240))
    none = KnownPair((scan, scan), (scan, scan), (drivers[0], drivers[0]), 84.0)
    assert np.isnan(energy_over_chance(maps, none))


def spot(at, value=1.0):
    maps = np.zeros((2, *GRID), np.float32)
    maps[(0, *(slice(c - 2, c + 3) for c in at))] = value
    return maps


def test_likeness_is_one_for_the_same_map_whatever_its_scale():
    here = spot((8, 8, 9))
    assert likeness(here, here) == pytest.approx(1, abs=1e-5)
    assert likeness(here, 7 * here) == pytest.approx(1, abs=1e-5)


def test_emptiness_is_no_likeness():
    here, there = spot((8, 8, 9)), spot((16, 18, 22))
    assert likeness(here, there) < 0.2
    assert likeness(here, -here) < 0
    empty = np.zeros_like(here)
    assert likeness(empty, empty) == 1
    assert likeness(here, empty) < 0.2


def test_pair_has_drivers_where_anything_known_lies():
    first, second = visit(), visit(tumour=False)
    second["effusion"][5, 6, 20:23] = 255
    second["effusion"][5, 6, 23] = 60  # less than a quarter of the voxel
    arrays = {name: np.stack([first[name], second[name]]) for name in first}
    pair = known_pair(arrays, 84.0, np.random.default_rng(1))
    assert [int(d.sum()) for d in pair.drivers] == [120, 3]
    assert pair.drivers[0][TUMOUR].all()
    assert pair.scans[0].image[10, 12, 8] == pytest.approx(200 / 255)
    assert pair.scans[0].lungs.sum() == 17 * 18 * 12
    # Rays that pass 10 cm of body make less noise than the 10 HU of a whole chest, 0.007.
    noise = pair.again[0].image - pair.scans[0].image
    assert 0.0003 < noise[pair.scans[0].image > 0.7].std() < 0.007
    assert not np.array_equal(pair.again[0].image, pair.again[1].image)


def test_what_is_deleted_becomes_what_is_around_it():
    image = np.full(GRID, 0.75, np.float32)
    image[:, :, :16] = 0.1  # lung on one side
    image[11, 12, 5] = 0.9  # a nodule in it
    scan = PreparedScan(image, image < 0.5, (0.0, 0.0, 0.0), (3.0, 3.0, 3.0))
    mask = np.zeros(GRID, bool)
    mask[11, 12, 5] = mask[11, 12, 31] = mask[11, 12, 16] = True
    without = module._without(scan, mask).image
    assert without[11, 12, 5] == pytest.approx(0.1, abs=0.01)
    assert without[11, 12, 31] == pytest.approx(0.75, abs=0.001)
    assert 0.3 < without[11, 12, 16] < 0.6  # at the border: of both
    assert (without != scan.image).sum() == 3


def test_checks_are_kept_for_these_weights_alone(trial, quiet):
    said = []
    found = kept_checks(trial, TABLE, Model(), said.append)
    assert said
    said.clear()
    assert kept_checks(trial, TABLE, Model(), said.append) == found
    assert said == []
    other = Model()
    other.version = "two"
    kept_checks(trial, TABLE, other, said.append)
    assert said
    assert json.loads((trial / KEPT).read_text())["model_version"] == "two"


def test_trial_without_truth_has_no_checks(tmp_path):
    assert kept_checks(tmp_path, TABLE, Model(), print) is None
    (tmp_path / "prepared").mkdir()
    scans = [{name: values for name, values in visit().items() if name in ("image", "lungs")}] * 2
    write_prepared(tmp_path / "prepared" / "P1.npz", scans)
    assert kept_checks(tmp_path, TABLE, Model(), print) is None
    assert not (tmp_path / KEPT).exists()
