"""Lesions, fluid and airless lung: their volume, their tissue, and what they keep to."""

from dataclasses import replace

import numpy as np
import pytest

from ctrs.trial.body.anatomy import Grid, LungPlace, Posture, draw_anatomy
from ctrs.trial.body.thorax import Thorax
from ctrs.trial.disease.lesions import Lesion, Surroundings, paint_blob, paint_lesion
from ctrs.trial.disease.pleura import AIRLESS_VOLUME, paint_collapse, pour
from tests.test_prepare import centre_mm

LESION = Lesion(
    kind="primary", place=LungPlace("right", 0.5, 0.0, 0.0), diameter_mm=(22.0, 31.0),
    texture="solid", elongation=1.2, irregularity=0.25, spicules=0.6, halo=0.0,
    collapse=(0.0, 0.0), seed=5,
)  # fmt: skip
SMOOTH = replace(LESION, irregularity=0.0, spicules=0.0)
SPACING = (2.5, 0.9, 1.2)
CENTRE_MM = np.array([61.0, 47.0, 83.0])


def painted(lesion, visit=0, centre_mm=CENTRE_MM, **around):
    hu = np.full((50, 120, 130), -860, np.float32)
    near = Surroundings(**around) if around else None
    share = paint_blob(hu, SPACING, centre_mm / SPACING, lesion, visit, 100.0, near)
    return hu, share


def ml(share, spacing=SPACING):
    return share.sum(dtype=float) * np.prod(spacing) / 1000


def from_centre(shape, spacing=SPACING):
    """Coordinates (z, y, x) of every voxel in mm from the lesion's centre."""
    return [(i * mm - c) for i, mm, c in zip(np.indices(shape), spacing, CENTRE_MM, strict=True)]


# --- Volume -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("visit", "wanted"), [(0, 5.575), (1, 15.599)])  # π / 6 d³
def test_shares_have_the_volume_of_the_kinetics(visit, wanted):
    assert LESION.volume_ml(visit) == pytest.approx(wanted, rel=1e-3)
    assert ml(painted(LESION, visit)[1]) == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (5.0, 2.6, 2.6), (2.0, 5.0, 4.0)])
@pytest.mark.parametrize("diameter", [4.0, 9.0, 40.0, 110.0])
@pytest.mark.parametrize("kind", ["primary", "node"])
def test_volume_is_right_on_any_grid_beside_a_wall_and_another_tumour(spacing, diameter, kind):
    shape = np.ceil((1.3 * diameter + 60) / np.array(spacing)).astype(int)
    lungs = np.ones(shape, bool)
    lungs[:, int(0.6 * shape[1]) :] = False
    hu = np.where(lungs, -860, 50).astype(np.float32)
    taken = np.zeros(shape, np.float32)
    taken[..., int(0.6 * shape[2]) :] = 0.7
    lesion = replace(LESION, diameter_mm=(diameter, 0.0), kind=kind)
    near = Surroundings(lungs, None, taken)
    share = paint_blob(hu, spacing, shape / 2 + 0.3, lesion, 0, 100.0, near)
    assert ml(share, spacing) == pytest.approx(lesion.volume_ml(0), rel=0.005)
    assert (share + taken).max() <= 1 + 1e-6
    assert share.min() >= 0


def test_outside_the_field_of_view_is_no_volume():
    edge = np.array([0.0, 47.0, 83.0]) - (1.25, 0, 0)  # the first slice begins half a voxel above
    _, share = painted(replace(SMOOTH, elongation=1.0), 1, edge)
    assert ml(share) == pytest.approx(0.5 * LESION.volume_ml(1), rel=0.05)
    _, share = painted(LESION, 1, np.array([-500.0, 47.0, 83.0]))
    assert not share.any()


def test_absent_lesion_paints_nothing():
    hu, share = painted(replace(LESION, diameter_mm=(0.0, 31.0)))
    assert not share.any()
    assert (hu == -860).all()


# --- Shape --------------------------------------------------------------------------------------


@pytest.mark.parametrize("visit", [0, 1])
def test_lesion_lies_where_it_was_put(visit):
    _, share = painted(SMOOTH, visit)
    np.testing.assert_allclose(centre_mm(share > 0.5, SPACING), CENTRE_MM, atol=0.4)


def axial_diameters(share):
    """Longest and shortest width over all directions of the widest slice, mm."""
    plane = share[np.argmax(share.sum(axis=(1, 2)))] > 0.5
    points = np.argwhere(plane) * SPACING[1:]
    angles = np.linspace(0, np.pi, 90, endpoint=False)
    along = points @ np.array([np.cos(angles), np.sin(angles)])
    widths = np.ptp(along, axis=0) + 1
    return widths.max(), widths.min()


def test_elongation_is_the_longest_diameter_over_that_of_the_sphere():
    _, share = painted(replace(SMOOTH, elongation=1.4), 1)
    assert axial_diameters(share)[0] == pytest.approx(1.4 * 31, abs=2)


def test_node_is_read_across():
    _, share = painted(replace(SMOOTH, elongation=1.4, kind="node"), 1)
    assert axial_diameters(share)[1] == pytest.approx(31 / 1.4, abs=2)


def test_spikes_are_thin_and_reach_out():
    z, y, x = from_centre((50, 120, 130))
    far = np.sqrt(z * z + y * y + x * x) > 1.45 * 15.5
    _, smooth = painted(replace(LESION, spicules=0.0, elongation=1.0), 1)
    _, spiky = painted(replace(LESION, elongation=1.0), 1)
    assert ml(smooth * far) < 0.05
    assert 0.1 < ml(spiky * far) < 0.1 * ml(spiky)


def test_shape_stays_the_same_while_it_grows():
    small, large = (
        painted(replace(LESION, diameter_mm=(d, 0), spicules=0.0))[1] > 0.5 for d in (20.0, 40.0)
    )
    z, y, x = (np.rint((m / 2 + c) / s).astype(int) for m, c, s in zip(
        from_centre(small.shape), CENTRE_MM, SPACING, strict=True))  # fmt: skip
    shrunk = small[z, y, x]
    assert 2 * (shrunk & large).sum() / (shrunk.sum() + large.sum()) > 0.9


def test_other_seeds_are_other_shapes():
    assert (painted(LESION)[1] != painted(replace(LESION, seed=6))[1]).any()


def wall_at(mm_behind_the_centre):
    lungs = np.ones((50, 120, 130), bool)
    lungs[:, round((CENTRE_MM[1] + mm_behind_the_centre) / SPACING[1]) :] = False
    return lungs


def test_lesion_flattens_against_the_wall():
    lungs = wall_at(6)
    hu = np.where(lungs, -860, 50).astype(np.float32)
    share = paint_blob(
        hu, SPACING, CENTRE_MM / SPACING, SMOOTH, 1, 100.0, Surroundings(lungs=lungs)
    )
    assert not share[~lungs].any()
    assert ml(share) == pytest.approx(SMOOTH.volume_ml(1), rel=0.005)
    # In the last row of lung it is broad: a ball cut 6 mm off its centre would be 29 mm wide.
    assert (share[:, :, :][:, np.flatnonzero(lungs[0, :, 0])[-1]] > 0.5).any(axis=0).sum() > 24


def test_large_tumour_grows_through_the_wall():
    hu = np.full((60, 120, 120), -860, np.float32)
    lungs = np.ones(hu.shape, bool)
    lungs[:, 62:] = False
    hu[~lungs] = 50
    lesion = replace(SMOOTH, diameter_mm=(110.0, 0.0))
    centre = np.array([30.0, 59.0, 60.0])
    share = paint_blob(hu, (3.0, 3.0, 3.0), centre, lesion, 0, 0.0, Surroundings(lungs=lungs))
    assert 0.02 < share[~lungs].sum() / share.sum() < 0.4


def test_node_keeps_out_of_vessels_and_lung():
    hu = np.full((40, 60, 60), -90, np.float32)
    hu[:, :, 36:], hu[:, :24] = 160, -860
    vessel, lung = hu > 100, hu < -800
    node = replace(SMOOTH, kind="node", diameter_mm=(16.0, 0.0), elongation=1.1)
    share = paint_blob(hu, (1.0, 1.0, 1.0), np.array([20.0, 30.0, 31.0]), node, 0, 120.0)
    assert share[vessel].sum() + share[lung].sum() < 0.02 * share.sum()


# --- Tissue -------------------------------------------------------------------------------------


def test_full_voxels_are_tissue_and_the_rest_is_left_alone():
    hu, share = painted(LESION, 1)
    np.testing.assert_allclose(hu[share == 1], 40 + 0.3 * 100, atol=25)
    assert (hu[share == 0] == -860).all()
    half = (share > 0.4) & (share < 0.6)
    assert -560 < np.median(hu[half]) < -220


def core(hu):
    return hu[tuple(np.rint(CENTRE_MM / SPACING).astype(int))]


def test_necrotic_core_is_darker_than_the_rim():
    hu, share = painted(replace(LESION, texture="necrotic"), 1)
    assert core(hu) == pytest.approx(14, abs=3)
    assert np.quantile(hu[share == 1], 0.9) > 80


def test_cavity_is_air_within_a_wall_and_belongs_to_the_tumour():
    hu, share = painted(replace(SMOOTH, texture="cavitating", seed=6), 1)
    air = (hu < -900) & (share == 1)
    assert 0.05 < ml(air) / SMOOTH.volume_ml(1) < 0.4
    assert ((share == 1) & (hu > 20)).sum() > air.sum()
    assert ml(share) == pytest.approx(SMOOTH.volume_ml(1), rel=0.005)


def test_some_cavities_hold_fluid_at_their_back():
    lesions = [replace(SMOOTH, texture="cavitating", seed=seed) for seed in range(12)]
    _, y, _ = from_centre((50, 120, 130))
    levels = 0
    for lesion in lesions:
        hu, share = painted(lesion, 1)
        air, fluid = (hu < -969) & (share == 1), (abs(hu - 12) < 0.01) & (share == 1)
        if fluid.sum() > 30:
            levels += 1
            assert np.quantile(y[fluid], 0.02) > y[air].max()
    assert 1 <= levels <= 8


def test_part_solid_has_a_core_within_ground_glass_that_shows_vessels():
    hu = np.full((50, 120, 130), -860, np.float32)
    hu[:, 46:49] = 40  # a vessel as wide as the window
    lesion = replace(SMOOTH, texture="part-solid")
    share = paint_blob(hu, SPACING, CENTRE_MM / SPACING, lesion, 1, 0.0)
    glass = (share == 1) & (hu < -400)
    assert np.median(hu[glass]) == pytest.approx(-520, abs=5)
    assert core(hu) > 0
    assert (hu[(share == 1)][:, None] > -525).all()
    assert (hu[:, 46:49][share[:, 46:49] > 0] > 20).all()


def test_halo_comes_with_the_follow_up_only_and_is_no_tumour():
    def glass_ml(halo, visit):
        hu, share = painted(replace(LESION, halo=halo), visit)
        return ml((hu > -800) & (hu < -550) & (share == 0))

    assert glass_ml(0.4, 0) == glass_ml(0.0, 0)
    assert glass_ml(0.4, 1) > glass_ml(0.0, 1) + 5
    assert ml(painted(replace(LESION, halo=0.4), 1)[1]) == pytest.approx(15.599, rel=1e-3)


def test_strength_of_a_halo_is_noted_where_it_is_painted():
    def noted(halo, visit, before=None, **around):
        hu = np.full((50, 120, 130), -860, np.float32)
        strength = np.zeros_like(hu) if before is None else before.copy()
        lesion = replace(SMOOTH, halo=halo)
        near = Surroundings(**around) if around else None
        share = paint_blob(hu, SPACING, CENTRE_MM / SPACING, lesion, visit, 0.0, near, strength)
        return hu, share, strength

    assert not noted(0.4, 0)[2].any()
    assert not noted(0.0, 1)[2].any()
    hu, share, strength = noted(0.4, 1)
    outside = share == 0
    # Lung of -860 HU is raised towards -640: by 220 at full strength.
    np.testing.assert_allclose(hu[outside], -860 + 220 * strength[outside], atol=0.01)
    assert strength.max() <= 1
    assert (strength[share > 0.99] == 1).all()
    # Of two halos the stronger one is noted.
    earlier = np.full_like(strength, 0.3)
    np.testing.assert_array_equal(noted(0.4, 1, earlier)[2], np.maximum(strength, 0.3))
    lungs = wall_at(6)
    assert not noted(0.4, 1, lungs=lungs)[2][~lungs].any()


def test_metastasis_in_the_liver_is_a_little_darker_than_the_liver():
    hu = np.full((50, 120, 130), 96, np.float32)
    lesion = replace(SMOOTH, kind="liver")
    share = paint_blob(hu, SPACING, CENTRE_MM / SPACING, lesion, 1, 110.0)
    assert 96 - 46 < np.median(hu[share > 0.95]) < 96 - 29
    assert ml(share) == pytest.approx(15.599, rel=1e-3)


def test_bone_metastases_are_holes_or_dense_by_seed():
    found = set()
    for seed in range(8):
        hu = np.full((50, 120, 130), 180, np.float32)
        lesion = replace(SMOOTH, kind="bone", seed=seed)
        share = paint_blob(hu, SPACING, CENTRE_MM / SPACING, lesion, 0, 0.0)
        middle = float(np.median(hu[share == 1]))
        assert 40 <= middle <= 60 or middle > 500
        found.add(middle > 500)
    assert found == {False, True}


# --- Fluid --------------------------------------------------------------------------------------

LUNG = np.zeros((40, 60, 50), bool)
LUNG[4:36, 6:52, 5:40] = True
LUNG[30:, 6:20] = False


def poured(volume_ml):
    hu = np.where(LUNG, -860, 50).astype(np.float32)
    return hu, pour(hu, LUNG, (5.0, 3.1, 2.9), volume_ml, 100.0)


@pytest.mark.parametrize("volume_ml", [40.0, 300.0, 900.0])
def test_fluid_has_its_volume_at_the_back_and_base_of_its_side(volume_ml):
    hu, share = poured(volume_ml)
    assert ml(share, (5.0, 3.1, 2.9)) == pytest.approx(volume_ml, rel=0.005)
    assert not share[~LUNG].any()
    np.testing.assert_allclose(hu[share == 1], 11, atol=1e-3)
    z, y, _ = (np.average(i, weights=share) for i in np.indices(LUNG.shape))
    middle_z, middle_y, _ = (i[LUNG].mean() for i in np.indices(LUNG.shape))
    assert y > middle_y + 4
    assert z < middle_z


def test_fluid_climbs_at_the_wall():
    _, share = poured(600.0)
    plane = share[12] > 0.5
    front = np.where(plane.any(axis=0), plane.argmax(axis=0), 99)  # lowest row with fluid
    assert front[6] < front[22] - 2
    assert front[38] < front[22] - 2


def test_lung_beside_much_fluid_is_airless_and_beside_little_is_not():
    for volume_ml, airless in ((150.0, False), (900.0, True)):
        hu, share = poured(volume_ml)
        dense = (hu > 60) & LUNG & (share < 0.05)
        assert dense.any() == airless


def test_no_fluid_and_no_lung_paint_nothing():
    hu, share = poured(0.0)
    assert not share.any()
    assert (hu[LUNG] == -860).all()
    assert not pour(hu, np.zeros_like(LUNG), (5.0, 3.1, 2.9), 200.0, 0.0).any()


def test_fluid_never_takes_a_whole_lung():
    _, share = poured(50_000.0)
    assert 0.55 < share.sum() / LUNG.sum() < 0.61


# --- In a thorax --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def thorax():
    anatomy = draw_anatomy(
        np.random.default_rng(7), sex="male", age=66, bmi=25.0, emphysema=0.0, fibrosis_mm=0.0,
        muscle_z=0.0,
    )  # fmt: skip
    grid = Grid.around((110.0, 5.0, 2.0), (64, 76, 104), (5.0, 4.1, 3.9))
    return Thorax(anatomy, Posture(1.0, (0.0, 0.0, 0.0), 0.0), grid, 100.0)


def test_lesion_of_a_place_is_in_its_lung_with_its_volume(thorax):
    lesion = replace(LESION, place=LungPlace("right", 0.6, 0.95, 0.2))
    hu = thorax.hu.copy()
    share = paint_lesion(thorax, lesion, 1, 100.0)
    thorax.hu[:] = hu
    assert ml(share, thorax.grid.spacing) == pytest.approx(lesion.volume_ml(1), rel=0.005)
    x = np.broadcast_to(thorax.x, share.shape)
    assert np.average(x, weights=share) < 0
    assert share[thorax.lungs].sum() > 0.6 * share.sum()


def test_lung_behind_a_blocked_bronchus_is_airless(thorax):
    lesion = replace(LESION, place=LungPlace("right", 0.6, -0.3, 0.0), collapse=(0.8, 0.0))
    hu = thorax.hu.copy()
    share = paint_collapse(thorax, lesion, 0, 100.0)
    painted_hu = thorax.hu.copy()
    assert not paint_collapse(thorax, lesion, 1, 100.0).any()
    thorax.hu[:] = hu
    lobe = thorax.lobes[tuple(np.argwhere(share > 0.9)[0])]
    where = thorax.lobes[share > 0.9]
    assert (where[where > 0] == lobe).all()
    lobe_ml = ml(thorax.lobes == lobe, thorax.grid.spacing)
    # At most 0.3 of 0.8 of the lobe; what lies before the tumour stays aerated.
    assert 0.3 < ml(share, thorax.grid.spacing) / (AIRLESS_VOLUME * 0.8 * lobe_ml) <= 1.05
    assert painted_hu[share == 1].min() > 60
    assert (
        np.average(np.broadcast_to(thorax.x, share.shape), weights=share)
        < (thorax.locate(lesion.place)[2])
    )
