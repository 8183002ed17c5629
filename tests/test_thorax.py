"""The simulated thorax: organs where they belong, a body that breathes, the same bytes."""

from dataclasses import replace

import numpy as np
import pytest

from ctrs.config import ChestConfig
from ctrs.lungs import check_chest, describe_chest, find_lungs
from ctrs.trial.body.anatomy import (
    SIDES,
    BonePlace,
    Grid,
    LiverPlace,
    LungPlace,
    NodePlace,
    Posture,
    draw_anatomy,
)
from ctrs.trial.body.canvas import Canvas, capsule, cover, smooth_union
from ctrs.trial.body.location import hilum_mm, place_mm
from ctrs.trial.body.shape import chest_shape
from ctrs.trial.body.thorax import Thorax

STILL = Posture(breath=1.0, shift=(0.0, 0.0, 0.0), turn=0.0)
SPACING = (5.0, 3.1, 2.9)
BLOOD_HU, LIVER_HU = 42, 58


def an_anatomy(seed, **changes):
    rng = np.random.default_rng(seed)
    build = {"sex": "male", "age": 64, "bmi": 26.0, "emphysema": 0.0, "fibrosis_mm": 0.0,
             "muscle_z": 0.0}  # fmt: skip
    return draw_anatomy(rng, **(build | changes))


def any_anatomy(seed):
    rng = np.random.default_rng([seed, 5])
    return an_anatomy(
        seed,
        sex=("male", "female")[seed % 2],
        age=int(rng.integers(40, 88)),
        bmi=float(rng.uniform(17, 38)),
        emphysema=float(rng.uniform(0, 0.4)),
    )


def any_posture(seed):
    return Posture.draw(np.random.default_rng([seed, 6]))


def a_grid(anatomy, spacing=SPACING, field=400.0):
    length = anatomy.lung_height + 105
    shape = (int(length / spacing[0]), int(0.82 * field / spacing[1]), int(field / spacing[2]))
    return Grid.around((anatomy.lung_height / 2 - 22.5, 7.0, 0.0), shape, spacing)


def a_thorax(anatomy, posture=STILL, enhancement=0.0):
    return Thorax(anatomy, posture, a_grid(anatomy), enhancement)


def at(thorax, points):
    index = np.rint(thorax.grid.index(np.atleast_2d(points), thorax.posture)).astype(int)
    return tuple(index.T)


def litres(thorax, mask):
    return mask.sum() * np.prod(thorax.grid.spacing) / 1e6


@pytest.fixture(scope="module")
def thorax():
    return a_thorax(an_anatomy(3), enhancement=100.0)


# --- Organs -----------------------------------------------------------------------------------


def test_right_lung_is_the_larger():
    shares = []
    for seed in range(8):
        thorax = a_thorax(any_anatomy(seed), any_posture(seed))
        right = (thorax.lungs & (thorax.x < 0)).sum()
        shares.append(right / thorax.lungs.sum())
    # Textbooks give it 53 to 56 %; a big heart on the left or a narrow right chest happens.
    assert 0.51 < np.mean(shares) < 0.57
    assert min(shares) > 0.47


def test_lung_volume_is_that_of_adults():
    # Total lung capacity is 7.99 h - 7.08 l in men and 6.60 h - 5.79 l in women h metres tall, sd
    # 0.7 and 0.6; Quanjer, ERJ 6 Suppl. 16 (1993) 5. At 1.75 and 1.62 m: 6.9 and 4.9 l standing,
    # of which patients who lie in a scanner reach 70 to 95 %.
    men = [litres(t, t.lungs) for t in (a_thorax(an_anatomy(k)) for k in range(4))]
    women = [litres(t, t.lungs) for t in (a_thorax(an_anatomy(k, sex="female")) for k in range(4))]
    assert 3 < min(men) <= max(men) < 8
    assert 2.5 < min(women) <= max(women) < 6.5
    assert np.mean(men) == pytest.approx(0.82 * 6.9, rel=0.12)
    assert np.mean(women) == pytest.approx(0.82 * 4.9, rel=0.12)


def test_aorta_runs_down_left_of_the_spine_and_the_heart_lies_left(thorax):
    anatomy = thorax.anatomy
    organs = chest_shape(anatomy, 1.0).organs
    z, y, x = organs.aorta.points[11]  # of the descending part
    assert x > 5
    assert y < chest_shape(anatomy, 1.0).spine_front(np.array(z))
    assert thorax.hu[at(thorax, (z, y, x))] == pytest.approx(BLOOD_HU + 100, abs=12)
    assert organs.left_ventricle.centre[2] > 25
    assert thorax.hu[at(thorax, organs.left_cavity.centre)] == pytest.approx(142, abs=12)
    myocardium = np.add(organs.left_ventricle.centre, (0, 0, 25))
    assert 60 < thorax.hu[at(thorax, myocardium)] < 125


def test_trachea_holds_air_and_divides_above_the_heart(thorax):
    z, y, x = thorax.carina
    assert thorax.hu[at(thorax, (z + 40, y - 6, x))] < -850
    assert z > chest_shape(thorax.anatomy, 1.0).organs.left_ventricle.centre[0] + 30
    right, left = thorax.hilum("right"), thorax.hilum("left")
    assert right[2] < -20 < 20 < left[2]
    assert max(right[0], left[0]) < z
    np.testing.assert_array_equal(right, hilum_mm(thorax.anatomy, STILL, "right"))


def test_spine_is_behind_and_the_liver_is_right(thorax):
    for height in np.arange(0.05, 1, 0.1):  # never a disc, which has 85 HU
        assert thorax.hu[at(thorax, thorax.locate(BonePlace(height, 0.0, 0.0)))] > 105
    liver = thorax.hu[thorax.liver]
    # Contrast of 100 HU in the blood puts 35 HU into the liver.
    assert np.median(liver) == pytest.approx(LIVER_HU + 35, abs=1)
    assert np.broadcast_to(thorax.x, thorax.hu.shape)[thorax.liver].mean() < -30
    assert 0.8 < litres(thorax, thorax.liver) < 3
    assert not (thorax.liver & thorax.lungs).any()


def test_right_dome_is_higher_and_the_lungs_reach_deepest_at_the_back():
    for seed in range(6):
        right, left = chest_shape(an_anatomy(seed), 1.0).dome_tops()
        assert left < right
        # At the tenth vertebra or a little above, where it stands in full inspiration.
        assert 0.33 < right / an_anatomy(seed).lung_height < 0.45
    thorax = a_thorax(an_anatomy(3))
    y = np.broadcast_to(thorax.y, thorax.hu.shape)
    lowest = np.flatnonzero(thorax.lungs.any((1, 2)))[1]
    assert y[lowest][thorax.lungs[lowest]].min() > 15


def test_marrow_fades_with_age():
    young, old = (a_thorax(an_anatomy(3, age=age)) for age in (45, 84))
    where = [at(t, t.locate(BonePlace(0.52, 0.0, 0.0))) for t in (young, old)]
    assert young.hu[where[0]] > old.hu[where[1]] + 30


def test_lobes_cover_the_lungs_exactly(thorax):
    np.testing.assert_array_equal(thorax.lobes > 0, thorax.lungs)
    assert set(np.unique(thorax.lobes)) == {0, 1, 2, 3, 4, 5}
    x = np.broadcast_to(thorax.x, thorax.hu.shape)
    assert (x[(thorax.lobes > 0) & (thorax.lobes < 4)] < 12).all()
    assert (x[thorax.lobes > 3] > -12).all()
    volume = [litres(thorax, thorax.lobes == k) for k in range(1, 6)]
    assert np.argmin(volume) == 1  # the middle lobe
    y = np.broadcast_to(thorax.y, thorax.hu.shape)
    assert y[thorax.lobes == 3].mean() > y[thorax.lobes == 2].mean() + 40


def test_everything_is_a_number(thorax):
    assert np.isfinite(thorax.hu).all()
    assert thorax.hu.dtype == np.float32
    assert thorax.hu.min() >= -1024
    assert 400 < thorax.hu.max() < 1200


@pytest.mark.parametrize("seed", range(10))
def test_finder_of_lungs_accepts_the_chest(seed):
    thorax = a_thorax(any_anatomy(seed), any_posture(seed), 90.0 * (seed % 2))
    lungs = find_lungs(thorax.hu, thorax.grid.spacing, ChestConfig())
    assert check_chest(describe_chest(lungs, thorax.hu, thorax.grid.spacing), ChestConfig()) == ()
    assert lungs.sum() == pytest.approx(thorax.lungs.sum(), rel=0.12)


# --- Build ------------------------------------------------------------------------------------


def test_fat_makes_the_body_wider_and_a_woman_has_breasts():
    def body(anatomy):
        thorax = a_thorax(anatomy)
        return thorax, thorax.hu > -300

    (slim, slim_body), (stout, stout_body) = (body(an_anatomy(3, bmi=b)) for b in (18.0, 36.0))
    assert litres(stout, stout_body) > 1.25 * litres(slim, slim_body)
    woman, her_body = body(an_anatomy(3, sex="female"))
    k = int(np.argmin(np.abs(woman.z[:, 0, 0] - 0.42 * woman.height)))
    front = np.flatnonzero(her_body[k].any(1))[0]
    across = np.flatnonzero(her_body[k, front + 2])
    middle = int(np.argmin(np.abs(woman.x[0, 0])))
    assert across.min() < middle < across.max()
    assert not her_body[k, front + 2, middle]  # two breasts, and between them none


def test_emphysema_makes_a_barrel():
    healthy, ill = an_anatomy(3), an_anatomy(3, emphysema=0.4)
    assert ill.half_depth > 1.05 * healthy.half_depth
    assert ill.lung_height > 1.03 * healthy.lung_height


def test_muscle_follows_the_score():
    weak, strong = (an_anatomy(3, muscle_z=z) for z in (-2.0, 2.0))
    assert weak.muscle + 10 < strong.muscle


def test_muscle_is_mapped_where_it_is_painted():
    weak, middle, strong = (a_thorax(an_anatomy(3, muscle_z=z)) for z in (-2.0, 0.0, 2.0))
    # 14 mm and 3.5 mm more or less a deviation: 7, 14 and 21.
    area = [litres(t, t.muscle) for t in (weak, middle, strong)]
    assert area[0] < 0.75 * area[1] < area[1] < 0.8 * area[2]
    share = strong.muscle
    assert 0 <= share.min() <= share.max() <= 1
    assert 25 < np.median(strong.hu[share > 0.99]) < 75
    # The tips of the lungs reach in among the muscles of the neck.
    low = strong.lungs & (strong.z < 0.9 * strong.height)
    assert share[low | strong.liver].sum() < 0.01 * share.sum()
    x = np.broadcast_to(strong.x, share.shape)
    assert 0.35 < share[x < 0].sum() / share.sum() < 0.65
    # It lies outside the ribs, on every side: none within half of the cage.
    inner = (np.abs(x) < 0.5 * strong.anatomy.half_width) & (strong.y > -40) & (strong.y < 20)
    assert share[inner & (np.abs(strong.z - 0.4 * strong.height) < 40)].sum() < 1


def test_scars_are_mapped_at_the_rim_of_the_bases():
    healthy, scarred = (a_thorax(an_anatomy(3, fibrosis_mm=mm)) for mm in (0.0, 16.0))
    assert not healthy.fibrosis.any()
    share = scarred.fibrosis
    assert 0.5 < share.max() <= 1
    assert not share[~scarred.lungs].any()
    where = share > 0.5
    assert scarred.hu[where].mean() > healthy.hu[where].mean() + 100
    untouched = (share == 0) & scarred.lungs
    assert scarred.hu[untouched].mean() == pytest.approx(healthy.hu[untouched].mean(), abs=15)
    z, x = (np.broadcast_to(a, share.shape) for a in (scarred.z, scarred.x))
    assert np.average(z, weights=share) < z[scarred.lungs].mean() - 20
    assert np.average(np.abs(x), weights=share) > np.abs(x[scarred.lungs]).mean()
    more = a_thorax(an_anatomy(3, fibrosis_mm=30.0)).fibrosis
    assert more.sum() > 1.3 * share.sum()


def test_drawn_build_is_the_same_for_the_same_seed():
    assert any_anatomy(4) == any_anatomy(4)
    assert any_anatomy(4) != any_anatomy(6)


# --- Breath and places ------------------------------------------------------------------------


def test_breathing_out_makes_the_lungs_smaller_and_leaves_the_bones():
    anatomy = an_anatomy(3)
    deep, shallow = a_thorax(anatomy), a_thorax(anatomy, replace(STILL, breath=0.8))
    assert 0.78 < shallow.lungs.sum() / deep.lungs.sum() < 0.90
    low = np.abs(deep.z[:, 0, 0] - 0.2 * deep.height).argmin()
    assert shallow.lungs[low].sum() < 0.8 * deep.lungs[low].sum()
    spine = BonePlace(0.4, 0.1, 0.2)
    np.testing.assert_array_equal(deep.locate(spine), shallow.locate(spine))


def test_places_follow_the_breath():
    anatomy = an_anatomy(3)
    out = replace(STILL, breath=0.8)
    low, top = LungPlace("right", 0.1, 0.3, 0.2), LungPlace("right", 0.95, 0.3, 0.2)
    rise = [place_mm(anatomy, out, p)[0] - place_mm(anatomy, STILL, p)[0] for p in (low, top)]
    assert 3 < rise[0] < 22
    assert 0 <= rise[1] < 1
    liver = LiverPlace(0.2, 0.1, 0.3)
    # The dome goes 105 mm up per unit of breath.
    up = place_mm(anatomy, out, liver) - place_mm(anatomy, STILL, liver)
    np.testing.assert_allclose(up, (21, 0, 0), atol=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_places_lie_in_their_organ(seed):
    anatomy, posture = any_anatomy(seed), any_posture(seed)
    thorax = Thorax(anatomy, posture, a_grid(anatomy, (3.0, 2.6, 2.5)), 0.0)
    rng = np.random.default_rng(seed)
    for _ in range(60):
        height, across, depth = rng.uniform((0, -0.9, -0.9), (1, 0.9, 0.9))
        for side in SIDES:
            where = at(thorax, thorax.locate(LungPlace(side, height, across, depth)))
            assert thorax.lungs[where].all(), (side, height, across, depth)
            assert (thorax.lobes[where] < 4).all() == (side == "right")
        assert thorax.liver[at(thorax, thorax.locate(LiverPlace(across, depth, -across)))].all()


def test_place_goes_up_outwards_and_back():
    anatomy = an_anatomy(3)

    def point(*place):
        return place_mm(anatomy, STILL, LungPlace(*place))

    assert point("left", 0.8, 0.0, 0.0)[0] > point("left", 0.2, 0.0, 0.0)[0] + 90
    assert point("left", 0.5, 0.8, 0.0)[2] > point("left", 0.5, -0.8, 0.0)[2] + 25
    assert point("right", 0.5, 0.8, 0.0)[2] < point("right", 0.5, -0.8, 0.0)[2] - 25
    assert point("right", 0.5, 0.0, 0.8)[1] > point("right", 0.5, 0.0, -0.8)[1] + 60
    node = place_mm(anatomy, STILL, NodePlace("right", 7.0, -4.0, 3.0))
    np.testing.assert_allclose(node - hilum_mm(anatomy, STILL, "right"), (7, -4, -3))


def test_body_turned_and_shifted_is_found_again(thorax):
    grid, posture = thorax.grid, Posture(1.0, (7.0, -5.0, 11.0), 0.2)
    z, y, x = (np.broadcast_to(a, grid.shape) for a in grid.body(posture))
    voxel = (13, 40, 77)
    point = np.array([[z[voxel], y[voxel], x[voxel]]])
    np.testing.assert_allclose(grid.index(point, posture)[0], voxel, atol=1e-3)


# --- Brushes ----------------------------------------------------------------------------------


def test_painted_ellipsoid_has_its_volume_where_it_should_be():
    grid = Grid.around((0.0, 0.0, 0.0), (40, 44, 52), (2.0, 1.5, 1.2))
    canvas = Canvas(grid, Posture(1.0, (1.0, 2.0, -3.0), 0.6))
    canvas.ellipsoid((4.0, -12.0, 15.0), (18.0, 11.0, 14.0), 0.0)
    share = canvas.hu / 1000 + 1  # air is -1000, the ellipsoid 0
    # 4/3 pi * 18 * 11 * 14
    assert share.sum() * 3.6 == pytest.approx(11611, rel=0.02)
    index = np.array(np.nonzero(share > 0.5)).mean(1)
    expected = grid.index(np.array([[4.0, -12.0, 15.0]]), canvas.posture)[0]
    np.testing.assert_allclose(index, expected, atol=0.1)


def test_painted_tube_has_its_volume_however_thin():
    grid = Grid.around((0.0, 0.0, 0.0), (50, 44, 52), (2.0, 1.5, 1.2))
    for radius, tolerance in ((6.0, 0.05), (0.7, 0.35)):
        canvas = Canvas(grid, STILL)
        canvas.tube(((-30.0, -8.0, 4.0), (30.0, 9.0, -5.0)), (radius, radius), 0.0)
        volume = (canvas.hu / 1000 + 1).sum() * 3.6
        length = np.sqrt(60**2 + 17**2 + 9**2) + 4 / 3 * radius
        assert volume == pytest.approx(np.pi * radius**2 * length, rel=tolerance)


def test_edges_are_ramps_one_voxel_wide():
    distance = np.array([-2.0, -0.5, -0.25, 0.0, 0.5, 3.0], np.float32)
    np.testing.assert_allclose(cover(distance, 1.0), [1, 1, 0.75, 0.5, 0, 0])


def test_bar_and_union_are_distances():
    y, x = np.array([3.0, 0.0], np.float32), np.array([5.0, 14.0], np.float32)
    np.testing.assert_allclose(capsule(y, x, (0, 0), (0, 10), 1.0), [2, 3])
    near, far = np.float32([1.0, 0.0]), np.float32([9.0, 0.0])
    # Far from the crease the nearer one; on it a quarter of the width nearer.
    np.testing.assert_allclose(smooth_union(near, far, 4.0), [1, -1])


def test_what_is_outside_the_grid_is_not_painted():
    canvas = Canvas(Grid.around((0.0, 0.0, 0.0), (5, 6, 7), (2.0, 2.0, 2.0)), STILL)
    canvas.ellipsoid((200.0, 0.0, 0.0), (9.0, 9.0, 9.0), 50.0)
    assert (canvas.hu == -1000).all()
