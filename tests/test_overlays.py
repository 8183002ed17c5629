"""What is drawn over a scan: on the model's grid, packed for the browser, made once."""

import gzip

import numpy as np
import pytest
from conftest import FixedModel, chest_volume

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
from ctrs.types import ScanPair


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
    assert link.how


def test_without_a_cache_nothing_is_found_and_nothing_breaks(pair):
    bare = Workshop(config=Config(), model_version="fixed", model=FixedModel)
    assert find_prepared(pair.baseline.sha256, bare) is None
    assert find_outlines(pair.baseline.sha256, bare) is None
    assert find_saliency(pair.key, bare) is None
    assert slab("anything", 0, bare) is None
