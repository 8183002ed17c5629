"""The follow-up's tumour bent smaller and larger: by how much, what stays, and what is refused."""

from types import SimpleNamespace

import numpy as np
import pytest

from ctrs.assess import Workshop, prepare_pair
from ctrs.config import Config
from ctrs.disk_cache import DiskCache
from ctrs.errors import InputRejected
from ctrs.figures import what_if_figure, what_if_table
from ctrs.types import ScanPair
from ctrs.what_if import CHANGES, WhatIf, what_if
from tests.phantoms import chest
from tests.scoring_fixtures import FixedModel

NODULE_MM = np.array([190.0, 105.0, 116.0])  # its centre, from the first voxel of the scan


def around_nodule(scan):
    """The nodule on the model's grid, and 33 mm of lung around its centre."""
    centre = np.rint((NODULE_MM - scan.origin) / 3).astype(int)
    return tuple(slice(c - 11, c + 12) for c in centre)


class Counter:
    """Sees the nodule, and dies of its volume at the follow-up."""

    version = "fixed-1"

    def __init__(self, blind=False):
        self.seen, self.pairs, self.blind = [], [], blind

    def maps(self, scan):
        tumour, box = np.zeros_like(scan.image), around_nodule(scan)
        tumour[box] = 0.0 if self.blind else scan.image[box] > 0.42  # half way to tissue
        return {"tumour": tumour}

    def __call__(self, baseline, follow_up, interval_days):
        self.pairs.append((baseline, follow_up, interval_days))
        ml = float(self.maps(follow_up)["tumour"].sum()) * follow_up.voxel_ml
        self.seen.append(ml)
        at_12 = 0.9 - ml / 1000
        return SimpleNamespace(
            curve=SimpleNamespace(
                months=(0.0, 12.0), survival=(1.0, at_12),
                lower=(1.0, at_12 - 0.1), upper=(1.0, at_12 + 0.05),
            )
        )  # fmt: skip


@pytest.fixture(scope="module")
def pair():
    return ScanPair(chest(noise_seed=1), chest((4.0, 2.6, 3.1), nodule_mm=40.0), None)


def workshop(tmp_path=None):
    cache = DiskCache(tmp_path, 2**30) if tmp_path else None
    return Workshop(config=Config(), model_version="fixed-1", model=FixedModel, cache=cache)


@pytest.fixture(scope="module")
def asked(pair):
    model, said = Counter(), []
    return what_if(pair, workshop(), lambda: model, said.append), model, said


def test_volumes_are_what_was_asked_for(asked):
    found, model, _ = asked
    assert found.tumour_ml == pytest.approx(33.5, rel=0.1)  # a ball of 40 mm: 33.5 ml
    wanted = (1 + np.array(CHANGES)) * found.tumour_ml
    np.testing.assert_allclose(model.seen, wanted, rtol=0.06, atol=1.5)


def test_every_step_has_its_score_with_interval(asked):
    found, model, said = asked
    np.testing.assert_allclose(found.changes, CHANGES, atol=1e-6)
    np.testing.assert_allclose(found.survival, 0.9 - np.array(model.seen) / 1000, atol=1e-6)
    np.testing.assert_allclose(found.survival - found.lower, 0.1, atol=1e-6)
    np.testing.assert_allclose(found.upper - found.survival, 0.05, atol=1e-6)
    assert (np.diff(found.survival) < 0).all()
    np.testing.assert_allclose(said, np.arange(1, 11) / 10)


def test_nothing_else_changes(pair, asked):
    _, model, _ = asked
    (before, _), (after, _) = prepare_pair(pair, workshop())
    for baseline, follow_up, days in model.pairs:
        assert days == 84
        np.testing.assert_array_equal(baseline.image, before.image)
        far = np.s_[:, :, 75:]  # the other lung
        np.testing.assert_allclose(follow_up.image[far], after.image[far], atol=1e-6)
    same = model.pairs[CHANGES.index(0.0)][1]
    np.testing.assert_array_equal(same.image, after.image)


def test_pair_is_imagined_once(pair, asked, tmp_path):
    model = Counter()
    first = what_if(pair, workshop(tmp_path), lambda: model)
    again = what_if(pair, workshop(tmp_path), None)
    np.testing.assert_array_equal(first.survival, again.survival)
    assert first.tumour_ml == again.tumour_ml
    assert len(model.pairs) == len(CHANGES)


def test_without_a_tumour_there_is_nothing_to_change(pair):
    with pytest.raises(InputRejected, match=r"0\.0 ml"):
        what_if(pair, workshop(), lambda: Counter(blind=True))


def test_figure_shows_every_step_and_marks_the_scan_as_it_is():
    found = WhatIf(
        changes=np.array([-0.5, 0.0, 1.0]), survival=np.array([0.7, 0.62, 0.4]),
        lower=np.array([0.6, 0.5, 0.2]), upper=np.array([0.8, 0.71, 0.55]), tumour_ml=31.4,
    )  # fmt: skip
    figure = what_if_figure(found)
    curve = next(trace for trace in figure.data if trace.mode == "lines+markers")
    assert list(curve.y) == [0.7, 0.62, 0.4]
    mark = next(trace for trace in figure.data if trace.mode == "markers")
    assert (mark.x[0], mark.y[0]) == (0, 0.62)
    words = " ".join(a.text for a in figure.layout.annotations)
    assert "<b>62%</b> (90% interval 50–71%)" in words
    assert "31 ml" in figure.layout.xaxis.title.text
    table = what_if_table(found)
    assert table.loc[2].tolist() == [1.0, 0.4, 0.2, 0.55]
