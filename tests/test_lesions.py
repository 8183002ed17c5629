"""Tumours one can point at: how many, how large, where, and which is which."""

import numpy as np
import pytest

from ctrs.lesions import Lesion, find_lesions, pair_lesions
from ctrs.link import Link, link_by_lungs
from ctrs.types import PreparedScan

SHAPE = (30, 24, 40)


def scan(origin=(6.0, -9.0, 12.0), lungs=None):
    lungs = np.zeros(SHAPE, bool) if lungs is None else lungs
    return PreparedScan(np.zeros(SHAPE, np.float32), lungs, origin, (3.0, 3.0, 3.0))


def shares(*boxes, rim=0.0):
    share = np.zeros(SHAPE, np.float32)
    for z, y, x, size in boxes:
        if rim:
            share[z - 1 : z + size + 1, y - 1 : y + size + 1, x - 1 : x + size + 1] = rim
        share[z : z + size, y : y + size, x : x + size] = 1.0
    return share


def test_two_tumours_are_two_the_larger_first_with_volume_and_place():
    found, labels = find_lesions(shares((4, 5, 6, 3), (20, 10, 30, 4)), scan())
    # 64 and 27 voxels of 27 mm3.
    assert [lesion.ml for lesion in found] == pytest.approx([1.728, 0.729])
    # The larger one's middle is voxel (21.5, 11.5, 31.5): in mm from the first voxel, x first.
    assert found[0].at_mm == pytest.approx((12 + 31.5 * 3, -9 + 11.5 * 3, 6 + 21.5 * 3))
    assert labels[21, 11, 31] == 1
    assert labels[5, 6, 7] == 2
    assert labels[0, 0, 0] == 0


def test_a_hazy_rim_counts_in_part():
    found, _ = find_lesions(shares((10, 10, 10, 3), rim=0.25), scan())
    # 27 full voxels, and 125 - 27 = 98 that count a quarter.
    assert found[0].ml == pytest.approx((27 + 98 * 0.25) * 0.027)


def test_haze_without_a_core_and_specks_are_no_tumours():
    assert find_lesions(shares(rim=0.0) + 0.3, scan())[0] == []
    speck = shares((10, 10, 10, 1))  # one voxel, 0.027 ml
    assert find_lesions(speck, scan())[0] == []
    assert find_lesions(shares(), scan())[1].max() == 0


def at(label, x, ml=1.0):
    return Lesion(label, (float(x), 0.0, 0.0), ml)


STILL = Link(np.eye(4), True, "")


def names(pairs):
    return [(p.name, p.baseline and p.baseline.label, p.follow_up and p.follow_up.label)
            for p in pairs]  # fmt: skip


def test_the_nearest_belong_together_and_the_rest_is_new_or_gone():
    before = [at(1, 0, 5.0), at(2, 100, 3.0)]
    after = [at(1, 12, 4.0), at(2, 5, 2.0), at(3, 300, 1.0)]
    assert names(pair_lesions(before, after, STILL)) == [
        ("L1", 1, 2), ("L2", None, 1), ("L3", 2, None), ("L4", None, 3),
    ]  # fmt: skip


def test_the_link_moves_the_baseline_before_it_is_compared():
    moved = np.eye(4)
    moved[0, 3] = 200.0
    pairs = pair_lesions([at(1, 0)], [at(1, 0, 2.0), at(2, 201)], Link(moved, True, ""))
    assert ("L2", 1, 2) in names(pairs)


def test_large_tumours_may_be_further_apart_than_small_ones():
    # 30 mm apart: more than 20 mm, less than twice the radius of 100 ml (28.8 mm).
    assert names(pair_lesions([at(1, 0, 100)], [at(1, 30, 100)], STILL)) == [("L1", 1, 1)]
    assert len(pair_lesions([at(1, 0, 1)], [at(1, 30, 1)], STILL)) == 2


def test_without_tumours_there_is_no_list():
    assert pair_lesions([], [], STILL) == []


def test_lungs_are_laid_on_lungs_axis_by_axis():
    first, second = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    first[5:25, 4:20, 10:30] = True
    second[5:15, 6:22, 10:30] = True  # half as high: breathed out; 2 voxels further back
    link = link_by_lungs(scan(lungs=first), scan(lungs=second))
    first_lung, last_lung = (42, 3, 21, 1), (99, 48, 78, 1)  # voxels (5, 4, 10) and (24, 19, 29)
    low, high = link.matrix @ first_lung, link.matrix @ last_lung
    assert low[:3] == pytest.approx([42, -9 + 18, 6 + 15], abs=1)
    assert high[:3] == pytest.approx([99, -9 + 63, 6 + 42], abs=1)
    assert not link.sure


def test_without_lungs_the_middles_lie_on_each_other():
    link = link_by_lungs(scan(), scan(origin=(0.0, 0.0, 0.0)))
    assert link.matrix[:3, 3] == pytest.approx([-12, 9, -6])
    assert "no lungs" in link.how
