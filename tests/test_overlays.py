"""What is drawn over a scan: on the model's grid, packed for the browser, made once."""

import gzip
from dataclasses import replace

import numpy as np
import pytest
from conftest import FixedModel, chest_volume

from ctrs.align import Alignment
from ctrs.assess import Workshop, find_prepared, prepare_cached
from ctrs.config import Config
from ctrs.disk_cache import DiskCache
from ctrs.linked import draw_link, find_link
from ctrs.overlays import (
    LAYERS,
    draw_saliency,
    find_outlines,
    find_saliency,
    outline,
    outlines_key,
    saliency_key,
    slab,
)
from ctrs.saliency import SaliencyMap
from ctrs.types import PreparedScan, ScanPair, Volume


@pytest.fixture
def tools(tmp_path):
    return Workshop(config=Config(), model_version="Fixed-1", model=FixedModel,
                    cache=DiskCache(tmp_path, 10**9))  # fmt: skip


@pytest.fixture(scope="module")
def pair():
    return ScanPair(chest_volume(), chest_volume(tumour_mm=10.0, seed=4), 84)


def test_outlines_are_made_once_and_come_back_whole(tools, pair):
    prepared, _ = prepare_cached(pair.baseline, tools)
    sha256 = pair.baseline.sha256
    assert find_outlines(sha256, tools) is None
    made = outline(sha256, prepared, tools, FixedModel)
    assert find_outlines(sha256, tools) == made
    assert outline(sha256, prepared, tools, lambda: pytest.fail("asked twice")) == made
    assert (made.shape, made.spacing) == (prepared.image.shape, (3.0, 3.0, 3.0))
    assert made.lesions[0].ml == pytest.approx(4 * 4 * 6 * 0.027)
    # The fixed model has fluid in rows 30 to 33; no muscle, no place.
    z = (made.places["pleural_effusion"][2] - prepared.origin[0]) / 3
    assert 30 <= z <= 33
    assert set(made.places) == {"pleural_effusion", "lung_volume"}


def test_the_layers_are_bytes_of_the_models_grid(tools, pair):
    prepared, _ = prepare_cached(pair.baseline, tools)
    outline(pair.baseline.sha256, prepared, tools, FixedModel)
    values = {}
    for layer in LAYERS:
        data = gzip.decompress(slab(outlines_key(pair.baseline.sha256, layer, tools), 0, tools))
        values[layer] = np.frombuffer(data, np.uint8).reshape(prepared.image.shape)
    assert values["tumour"][51, 41, 82] == 255
    assert values["tumour"][51, 41, 60] == 0
    assert values["lesions"][51, 41, 82] == 1
    inside, outside = prepared.lungs, ~prepared.lungs
    assert (values["lungs"][inside] > 127).mean() > 0.95
    assert (values["lungs"][outside] < 128).mean() > 0.95
    assert slab(outlines_key(pair.baseline.sha256, "lungs", tools), 9, tools) is None


class HandMade:
    """Marks what it is given, on a small grid."""

    def __init__(self, **given):
        self.given = given

    def maps(self, scan):
        empty = np.zeros(scan.image.shape, np.float32)
        return {"tumour": empty, "effusion": empty, "muscle": empty} | self.given


ORIGIN, SPACING, SHAPE = (2.0, -3.0, 5.0), (3.0, 4.0, 2.5), (8, 12, 10)


def small(lungs=None):
    lungs = np.zeros(SHAPE, bool) if lungs is None else lungs
    return PreparedScan(np.zeros(SHAPE, np.float32), lungs, ORIGIN, SPACING)


def mm(z, y, x):
    """The place of a voxel, x first: 5 + 2.5 x, -3 + 4 y, 2 + 3 z."""
    return (5 + 2.5 * x, -3 + 4 * y, 2 + 3 * z)


def test_one_looks_for_fluid_where_most_of_it_stands_and_haze_does_not_count(tools):
    fluid = np.zeros(SHAPE, np.float32)
    fluid[1, 2:4, 2:4] = 1.0
    fluid[5, 6:9, 3:5] = 0.8  # 4.8 of it, more than the 4 of slice 1
    fluid[5, 0:3, 8:10] = 0.3  # would draw the middle aside
    fluid[7] = 0.1  # 12 of it, but haze
    found = outline("f" * 64, small(), tools, lambda: HandMade(effusion=fluid))
    assert found.places == {"pleural_effusion": pytest.approx(mm(5, 7, 3.5))}


def test_one_looks_for_muscle_at_the_middle_of_the_lungs_not_at_the_shoulders(tools):
    lungs, muscle = np.zeros(SHAPE, bool), np.zeros(SHAPE, np.float32)
    lungs[2:7, 4:6, 1:4] = True  # the middle one of these slices is 4
    muscle[6] = 1.0
    muscle[2, 0:3, 0:3] = 1.0
    muscle[4, 8:11, 5:7] = 1.0
    found = outline("a" * 64, small(lungs), tools, lambda: HandMade(muscle=muscle))
    assert found.places["muscle"] == pytest.approx(mm(4, 9, 5.5))
    # All slices with lung have the same amount of it: the first one.
    assert found.places["lung_volume"] == pytest.approx(mm(2, 4.5, 2))
    bare = outline("b" * 64, small(), tools, lambda: HandMade(muscle=muscle))
    assert "muscle" not in bare.places


def test_shares_become_bytes_rounded_and_never_beyond_full(tools):
    share = np.zeros(SHAPE, np.float32)
    share[3, 4, 5:8] = 0.999, 1.3, 0.5
    lungs = np.zeros(SHAPE, bool)
    lungs[2:7, 2:10, 1:8] = True
    outline("c" * 64, small(lungs), tools, lambda: HandMade(tumour=share))
    layers = {
        layer: np.frombuffer(
            gzip.decompress(slab(outlines_key("c" * 64, layer, tools), 0, tools)), np.uint8
        ).reshape(SHAPE)
        for layer in ("tumour", "lungs")
    }
    assert layers["tumour"][3, 4, 5:8].tolist() == [255, 255, 128]
    known = find_outlines("c" * 64, tools)
    assert (known.shape, known.spacing, known.origin) == (SHAPE, SPACING, ORIGIN)
    # Smoothed, so that its line does not go in steps.
    assert ((layers["lungs"] > 20) & (layers["lungs"] < 235)).any()


def test_outlines_of_another_model_are_not_shown(tools):
    share = np.zeros(SHAPE, np.float32)
    made = outline("d" * 64, small(), tools, lambda: HandMade(tumour=share))
    other = replace(tools, model_version="Fixed-2")
    assert find_outlines("d" * 64, tools) == made
    assert find_outlines("d" * 64, other) is None


def test_outlines_that_were_kept_in_part_are_made_again(tools, monkeypatch):
    """A power cut between two layers: what is looked for is written last."""
    put, calls = DiskCache.put, []

    def stop_after_two(self, key, arrays):
        calls.append(key)
        if len(calls) == 3:
            raise KeyboardInterrupt
        put(self, key, arrays)

    monkeypatch.setattr(DiskCache, "put", stop_after_two)
    with pytest.raises(KeyboardInterrupt):
        outline("e" * 64, small(), tools, HandMade)
    monkeypatch.setattr(DiskCache, "put", put)
    assert find_outlines("e" * 64, tools) is None
    outline("e" * 64, small(), tools, HandMade)
    assert all(slab(outlines_key("e" * 64, layer, tools), 0, tools) for layer in LAYERS)


def test_the_strongest_spot_is_a_spot_and_lies_in_the_scans_own_millimetres(tools, monkeypatch):
    """On 3 mm, of voxels of 1, 1.5 and 0.75 mm: the grid's first centre is not the scan's."""
    shape, spacing = (60, 48, 80), (1.0, 1.5, 0.75)
    values = np.zeros((2, *shape), np.float32)
    values[0, 30:42, 10:20, 40:56] = -0.9
    values[0, 6:9, 40:42, 4:8] = 1.0  # one voxel of the grid: noise
    volume = Volume(np.zeros(shape, np.float32), spacing)
    maps = [SaliencyMap(one) for one in values]
    monkeypatch.setattr("ctrs.overlays.explain", lambda *_: maps)
    draw_saliency(ScanPair(volume, volume, 84), "k1", tools, FixedModel)
    first, second = find_saliency("k1", tools)
    assert first.origin == (1.0, 0.75, 1.125)  # the middle of the first 3, 2 and 4 voxels
    expected = np.array([47.5 * 0.75, 14.5 * 1.5, 35.5 * 1.0])
    assert np.abs(np.array(first.strongest) - expected).max() <= 1.5 + 1e-6
    assert second.strongest is None


def test_saliency_keeps_its_sign_and_its_place(tools, pair):
    assert find_saliency(pair.key, tools) is None
    draw_saliency(pair, pair.key, tools, FixedModel)
    first, second = find_saliency(pair.key, tools)
    prepared = [prepare_cached(scan, tools)[0] for scan in (pair.baseline, pair.follow_up)]
    for visit, (grid, x_voxels, sign) in enumerate([(first, 33, -1), (second, 83, 1)]):
        data = gzip.decompress(slab(saliency_key(pair.key, visit, tools), 0, tools))
        values = np.frombuffer(data, np.int8).reshape(grid.shape)
        assert np.sign(values[np.abs(values) > 20]).tolist() == [sign] * (np.abs(values) > 20).sum()
        # The fixed model was moved in voxels (50-53, 40-43, x) of its own grid.
        expected = np.array(prepared[visit].origin)[::-1] + 3 * np.array([x_voxels, 41.5, 51.5])
        assert np.abs(np.array(grid.strongest) - expected).max() < 9.5


def test_a_map_of_another_model_is_not_shown(tools, pair):
    draw_saliency(pair, pair.key, tools, FixedModel)
    other = Workshop(config=Config(), model_version="Fixed-2", model=FixedModel, cache=tools.cache)
    assert find_saliency(pair.key, other) is None


def test_the_link_is_aligned_once_and_remembered(tools, pair):
    scans = pair.baseline.sha256, pair.follow_up.sha256
    prepared = prepare_cached(pair.baseline, tools)[0], prepare_cached(pair.follow_up, tools)[0]
    assert find_link(scans, tools) is None
    draw_link(scans, prepared, tools)
    link = find_link(scans, tools)
    # The same chest but for its tumour: every place stays where it is.
    for place in [(0, 0, 0), (200, 100, 150)]:
        assert (link.matrix @ [*place, 1])[:3] == pytest.approx(place, abs=3)


def test_a_link_is_kept_with_its_doubt_and_direction_under_both_scans_and_made_once(
    tools, monkeypatch
):
    asked = []

    def found(baseline, follow_up):
        asked.append((baseline, follow_up))
        affine = np.eye(4)
        affine[:3, 3] = [7.0, -8.0, 9.0]
        return Alignment(affine, 0.9, 0.8, False, "By eye.")

    monkeypatch.setattr("ctrs.linked.align", found)
    first, second = small(), small(np.ones(SHAPE, bool))
    draw_link(("a" * 64, "b" * 64), (first, second), tools)
    draw_link(("a" * 64, "b" * 64), (first, second), tools)
    assert asked == [(first, second)]
    link = find_link(("a" * 64, "b" * 64), tools)
    assert link.matrix[:3, 3].tolist() == [7.0, -8.0, 9.0]
    assert (link.sure, link.how) == (False, "By eye.")
    assert find_link(("a" * 64, "c" * 64), tools) is None
    assert find_link(("c" * 64, "b" * 64), tools) is None


def test_without_a_cache_nothing_is_found_and_nothing_breaks(pair):
    bare = Workshop(config=Config(), model_version="fixed", model=FixedModel)
    assert find_prepared(pair.baseline.sha256, bare) is None
    assert find_outlines(pair.baseline.sha256, bare) is None
    assert find_saliency(pair.key, bare) is None
    assert slab("anything", 0, bare) is None
