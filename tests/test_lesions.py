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


UNEVEN = PreparedScan(np.zeros(SHAPE, np.float32), np.zeros(SHAPE, bool), (0, 0, 0), (6, 2, 1))


def test_a_voxel_belongs_to_a_tumour_from_half_on():
    half, less = shares(), shares()
    half[10:13, 10:13, 10:13] = 0.5
    less[10:13, 10:13, 10:13] = 0.49
    assert [lesion.ml for lesion in find_lesions(half, scan())[0]] == pytest.approx([0.3645])
    assert find_lesions(less, scan())[0] == []


def test_the_smallest_that_counts_is_a_ball_of_seven_millimetres():
    six, five = shares(), shares()
    six[10, 10, 10:16] = five[10, 10, 10:15] = 1.0  # 0.162 and 0.135 ml; the ball has 0.180
    assert len(find_lesions(six, scan())[0]) == 1
    assert find_lesions(five, scan())[0] == []


def test_a_list_ends_with_the_thirtieth():
    many = shares()
    for n in range(35):
        z, y, x = np.unravel_index(n, (5, 2, 4))
        many[6 * z : 6 * z + 2, 12 * y : 12 * y + 2, 10 * x : 10 * x + 2 + (n == 34)] = 1.0
    found, labels = find_lesions(many, scan())
    assert (len(found), labels.max()) == (30, 30)
    assert found[0].ml == pytest.approx(12 * 0.027)  # the last one is the largest


def test_a_rim_reaches_six_millimetres_whatever_the_voxels_and_no_further():
    """Slices of 6 mm, rows of 2, columns of 1: one slice, three rows, six columns."""
    share = np.full(SHAPE, 0.1, np.float32)
    share[10:13, 10:14, 10:20] = 1.0
    share[:, 12, :] = np.where(share[:, 12, :] == 1.0, 1.0, 0.0)  # no haze in this row
    found, labels = find_lesions(share, UNEVEN)
    for inside, outside in (((9, 11, 15), (8, 11, 15)), ((11, 7, 15), (11, 6, 15)),
                            ((11, 11, 4), (11, 11, 3)), ((11, 11, 25), (11, 11, 26))):  # fmt: skip
        assert labels[inside] == 1, inside
        assert labels[outside] == 0, outside
    assert labels[11, 12, 22] == 0  # near, but there is none of it
    assert found[0].ml == pytest.approx(share[labels == 1].sum() * 12 / 1000)


def test_the_middle_of_a_tumour_is_that_of_its_shares():
    share = shares()
    share[10:12, 10, 10:14] = 1.0
    share[10:12, 10, 14:16] = 0.5  # (10 + 11 + 12 + 13 + 0.5 * 29) / 5
    (found,), _ = find_lesions(share, scan(origin=(0.0, 0.0, 0.0)))
    assert found.at_mm == pytest.approx((60.5 / 5 * 3, 30.0, 31.5))


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


def test_small_ones_belong_together_up_to_twenty_millimetres_apart():
    assert names(pair_lesions([at(1, 0)], [at(1, 19.5)], STILL)) == [("L1", 1, 1)]
    assert len(pair_lesions([at(1, 0)], [at(1, 20.5)], STILL)) == 2


def test_each_is_matched_once_and_the_nearest_wins_whatever_the_order():
    # 0 is 12 mm from 12 and 18 from -18; 30 is 18 mm from 12: it must not take what is nearer.
    pairs = names(pair_lesions([at(1, 30, 9.0), at(2, 0, 8.0)], [at(1, 12, 1.0)], STILL))
    assert pairs == [("L1", 1, None), ("L2", 2, 1)]
    pairs = names(pair_lesions([at(1, 0, 9.0)], [at(1, 18, 8.0), at(2, -5, 1.0)], STILL))
    assert pairs == [("L1", 1, 2), ("L2", None, 1)]


def test_the_name_goes_by_the_larger_of_both_scans():
    before, after = [at(1, 0, 2.0), at(2, 100, 5.0)], [at(1, 0, 9.0), at(2, 100, 1.0)]
    assert names(pair_lesions(before, after, STILL)) == [("L1", 1, 1), ("L2", 2, 2)]


def test_both_radii_count_where_one_is_large_and_one_small():
    # Radii of 28.8 mm (100 ml) and 6.2 mm (1 ml): 35.0 mm together.
    for apart, many in ((34.5, 1), (35.5, 2)):
        assert len(pair_lesions([at(1, 0, 100)], [at(1, apart, 1)], STILL)) == many
        assert len(pair_lesions([at(1, 0, 1)], [at(1, apart, 100)], STILL)) == many


def test_large_tumours_may_be_further_apart_than_small_ones():
    # 30 mm apart: more than 20 mm, less than twice the radius of 100 ml (28.8 mm).
    assert len(pair_lesions([at(1, 0, 100)], [at(1, 58, 100)], STILL)) == 2
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


def test_specks_at_the_ends_do_not_stretch_the_boxes_around_the_lungs():
    lungs = np.zeros(SHAPE, bool)
    lungs[5:25, 4:20, 10:30] = True
    specked = lungs.copy()
    specked[0, 0, 0] = specked[29, 23, 39] = True
    link = link_by_lungs(scan(lungs=lungs), scan(lungs=specked))
    assert link.matrix == pytest.approx(np.eye(4), abs=0.01)


def test_the_box_reaches_from_end_to_end_on_a_grid_of_any_spacing():
    """Voxels of 6, 2 and 1 mm. Lungs twice as wide, 4 rows further back, one slice higher."""
    first, second = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    first[5:25, 4:14, 5:15] = True
    second[6:26, 8:18, 5:25] = True
    grids = [PreparedScan(np.zeros(SHAPE, np.float32), one, (0, 0, 0), (6, 2, 1))
             for one in (first, second)]  # fmt: skip
    link = link_by_lungs(*grids)
    # In mm: x 5 to 14 becomes 5 to 24, y 8 to 26 becomes 16 to 34, z 30 to 144 becomes 36 to 150.
    assert link.matrix @ [5, 8, 30, 1] == pytest.approx([5, 16, 36, 1], abs=0.5)
    assert link.matrix @ [14, 26, 144, 1] == pytest.approx([24, 34, 150, 1], abs=0.5)


def test_lungs_in_a_single_slice_are_no_reason_to_fall_over():
    flat = np.zeros(SHAPE, bool)
    flat[7, 4:20, 10:30] = True
    assert np.isfinite(link_by_lungs(scan(lungs=flat), scan(lungs=flat)).matrix).all()


def test_without_lungs_the_middles_lie_on_each_other():
    other = PreparedScan(np.zeros((10, 40, 20), np.float32), np.zeros((10, 40, 20), bool),
                         (0.0, 0.0, 0.0), (3.0, 3.0, 3.0))  # fmt: skip
    lungs = np.ones(SHAPE, bool)
    for link in (link_by_lungs(scan(), other), link_by_lungs(scan(lungs=lungs), other)):
        # Middles: 12 + 19.5 * 3, -9 + 11.5 * 3, 6 + 14.5 * 3, and 9.5, 19.5 and 4.5 times 3.
        assert link.matrix[:3, 3] == pytest.approx([28.5 - 70.5, 58.5 - 25.5, 13.5 - 49.5])
        assert np.array_equal(link.matrix[:3, :3], np.eye(3))
        assert "no lungs" in link.how
        assert not link.sure
