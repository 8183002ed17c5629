"""What is measured in the maps, by hand on a few voxels, and what counts as a new tumour."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from ctrs.model.measure import (
    INPUTS,
    MEASURES,
    WORSE,
    describe_pair,
    firm,
    followed,
    lasting,
    measure,
    near_tumour,
    new_tumours,
)
from ctrs.types import STRUCTURES

SHAPE = (9, 10, 12)
VOXEL_ML = 0.027  # 3 mm a side


def blank(hu=-850.0, shape=SHAPE):
    """HU, lungs and maps of one scan, without their leading axes."""
    return (
        torch.full(shape, hu),
        torch.zeros(shape),
        {name: torch.zeros(shape) for name in STRUCTURES},
    )


def measured(hu, lungs, maps):
    image = ((hu + 1000) / 1400)[None, None]
    stacked = torch.stack([maps[name] for name in STRUCTURES])[None]
    found = measure(image, lungs[None, None], stacked, VOXEL_ML)
    assert found.shape == (1, len(MEASURES))
    return dict(zip(MEASURES, found[0].tolist(), strict=True))


# --- One scan -----------------------------------------------------------------------------------


def test_doubt_counts_for_nothing_and_what_is_sure_wholly():
    # From 0.2 to 0.8 the share rises from 0 to 1: (0.65 - 0.2) / 0.6 = 0.75.
    maps = torch.tensor([0.0, 0.1, 0.2, 0.35, 0.65, 0.8, 1.0]).expand(1, len(STRUCTURES), 1, 1, 7)
    sure = dict(zip(STRUCTURES, firm(maps)[0, :, 0, 0].numpy(), strict=True))
    np.testing.assert_allclose(sure["tumour"], [0, 0, 0, 0.25, 0.75, 1, 1], atol=1e-6)
    # From 0.02 to 0.3: (0.1 - 0.02) / 0.28 = 2 / 7, (0.2 - 0.02) / 0.28 = 9 / 14.
    np.testing.assert_allclose(sure["halo"], [0, 2 / 7, 9 / 14, 1, 1, 1, 1], atol=1e-6)


def test_volumes_are_those_of_the_voxels_that_are_seen():
    hu, lungs, maps = blank()
    for n, name in enumerate(STRUCTURES[1:], start=2):
        maps[name][n % 9, 3, :n] = 1.0  # 2 voxels of fluid, 3 of liver tumour, and so on
    maps["tumour"][:] = 0.15  # a haze of doubt in a thousand voxels
    maps["tumour"][2, 5, 5], maps["tumour"][2, 5, 6] = 1.0, 0.5  # one and a half
    found = measured(hu, lungs, maps)
    voxels = dict(zip(STRUCTURES, (1.5, 2, 3, 4, 5, 6, 7, 8, 9), strict=True))
    for name in STRUCTURES[:-1]:
        assert found[f"{name}_ml"] == pytest.approx(voxels[name] * VOXEL_ML, rel=1e-5), name
    assert "muscle_ml" not in found


def test_density_and_emphysema_are_those_of_the_aerated_lung():
    hu, lungs, maps = blank(hu=30.0)
    lungs[:4] = 1  # 4 * 120 = 480 voxels
    hu[:4] = -850.0
    hu[0, 0, :11] = -970.0  # 11 voxels of emphysema
    hu[6, 0, :] = -990.0  # gas outside the lungs
    maps["tumour"][2, 5, 5], hu[2, 5, 5] = 1.0, 30.0
    maps["tumour"][2, 5, 6], hu[2, 5, 6] = 0.5, 10.0  # half of it is air
    maps["effusion"][3, 9, :7], hu[3, 9, :7] = 1.0, 11.0
    maps["atelectasis"][1, 9, :5], hu[1, 9, :5] = 1.0, 38.0
    found = measured(hu, lungs, maps)
    # Air: 480 - 1.5 tumour - 7 fluid - 5 airless = 466.5 voxels; -970 in 11, 10 in half of one,
    # -850 in 455.
    assert found["lung_ml"] == pytest.approx(480 * VOXEL_ML)
    assert found["emphysema_share"] == pytest.approx(11 / 466.5, rel=1e-4)
    expected = (11 * -970 + 0.5 * 10 + 455 * -850) / 466.5
    assert found["lung_hu"] == pytest.approx(expected, rel=1e-4)


def test_muscle_is_the_mean_area_from_the_lowest_lung_to_below_the_shoulders():
    hu, lungs, maps = blank()
    lungs[1:6, 4:8, 3:5] = 1  # in five slices, of which the lower three are within 70 %
    for z, n in enumerate((10, 4, 6, 8, 9, 12)):  # voxels of muscle in slices 0 to 5
        maps["muscle"][z, 0, :n] = 0.95
    # (4 + 6 + 8) / 3 = 6 voxels of 9 mm².
    assert measured(hu, lungs, maps)["muscle_cm2"] == pytest.approx(6 * 0.09, rel=1e-4)


def test_chest_is_as_wide_and_as_deep_as_lung_is_seen():
    hu, lungs, maps = blank()
    lungs[2, 3:5, 1:4] = 1  # 2 rows, 3 columns …
    lungs[2, 4:8, 7:9] = 1  # … with these 5 rows (3 to 7) and 5 columns
    lungs[3, 1:4, 2:10] = 1  # 3 rows, 8 columns
    # (5 * 5 + 3 * 8) / 2 slices = 24.5 voxels of 9 mm².
    assert measured(hu, lungs, maps)["chest_cm2"] == pytest.approx(24.5 * 0.09, rel=1e-5)


def test_noise_is_read_off_three_soft_voxels_in_a_row():
    hu, lungs, maps = blank()
    hu[4, 5, 3:8] = torch.tensor([40.0, 46.0, 40.0, 52.0, 40.0])
    # Second differences -12, 18, -24 have squares 144, 324, 576; their mean over 6 is 58.
    found = measured(hu, lungs, maps)
    assert found["noise_hu"] == pytest.approx(np.sqrt(58), rel=1e-3)
    assert found["noise_along_hu"] == 0  # nowhere three soft voxels one over the other


def test_noise_within_and_across_slices_are_told_apart():
    rng = np.random.default_rng(4)
    hu, lungs, maps = blank(shape=(40, 44, 48))
    noise = rng.normal(0, 9, (42, 44, 48))
    slices = (noise[:-2] + noise[1:-1] + noise[2:]) / 3  # thick: neighbours share their noise
    # Within a slice each has 9 / √3 = 5.2. Across, the means of noises 1 to 3, 2 to 4 and 3 to 5
    # have the second difference (n1 - n2 - n4 + n5) / 3: its variance is 4 * 81 / 9 = 36, over 6.
    hu[:] = torch.from_numpy(50 + slices).float()
    found = measured(hu, lungs, maps)
    assert found["noise_hu"] == pytest.approx(9 / np.sqrt(3), rel=0.03)
    assert found["noise_along_hu"] == pytest.approx(np.sqrt(6), rel=0.03)


def test_scan_without_lungs_has_numbers_all_the_same():
    found = measured(*blank(hu=-1000.0))
    assert np.isfinite(list(found.values())).all()
    assert found["lung_ml"] == found["muscle_cm2"] == found["chest_cm2"] == 0


def test_scans_of_a_batch_are_measured_each_by_itself():
    torch.manual_seed(3)
    image, maps = torch.rand(2, 1, *SHAPE), torch.rand(2, len(STRUCTURES), *SHAPE)
    lungs = (torch.rand(2, 1, *SHAPE) > 0.6).float()
    both = measure(image, lungs, maps, VOXEL_ML)
    for k in (0, 1):
        alone = measure(image[k : k + 1], lungs[k : k + 1], maps[k : k + 1], VOXEL_ML)
        np.testing.assert_allclose(both[k].numpy(), alone[0].numpy(), rtol=1e-5)
    assert not torch.allclose(both[0], both[1])


# --- Two scans ----------------------------------------------------------------------------------


def of(**known):
    """Measures of a scan in which only these are not zero."""
    return torch.tensor([[known.get(name, 0.0) for name in MEASURES]])


def followed_ml(before, after):
    return torch.tensor([before]), torch.tensor([after])


def test_pair_is_described_by_means_and_changes():
    before = of(tumour_ml=5.7, effusion_ml=0.0, liver_tumour_ml=4.5, muscle_cm2=100.0,
                chest_cm2=500.0, lung_ml=4000.0, lung_hu=-850.0, emphysema_share=0.02,
                noise_hu=30.0, noise_along_hu=8.0)  # fmt: skip
    after = of(tumour_ml=11.7, effusion_ml=150.0, halo_ml=6.0, fibrosis_ml=50.0, muscle_cm2=50.0,
               chest_cm2=250.0, lung_ml=2000.0, lung_hu=-840.0, emphysema_share=0.06,
               noise_hu=11.0, noise_along_hu=9.0)  # fmt: skip
    lasting_ml = torch.tensor([[2.0, 4.5]])
    found = describe_pair(before, after, torch.tensor([0.9]), followed_ml(2.7, 8.7), lasting_ml)
    assert found.shape == (1, 21)
    found = dict(zip(INPUTS, found[0].tolist(), strict=True))
    # 1 + 5.7 / 0.3 = 20 and 1 + 11.7 / 0.3 = 40; followed, 1 + 2.7 / 0.3 = 10 and
    # 1 + 8.7 / 0.3 = 30; 1 + 150 / 50 = 4; 1 + 4.5 / 0.5 = 10;
    # 1 + 6 / 2 = 4; 1 + 50 / 50 = 2; halves are log 1/2; 1 + 0.9 / 0.3 = 4.
    log = np.log
    expected = {
        "tumour_ml": (log(800) / 2, log(3)),
        "effusion_ml": (log(4) / 2, log(4)),
        "liver_tumour_ml": (log(10) / 2, -log(10)),
        "bone_tumour_ml": (0, 0),
        "cored_tumour_ml": (0, None),
        "fibrosis_ml": (log(2) / 2, None),
        "muscle_cm2": (-log(2) / 2, -log(2)),
        "chest_cm2": (-log(2) / 2, None),
        "lung_ml": (-log(2) / 2, -log(2)),
        "lung_hu": (-8.45, None),
        "emphysema_share": (0.2, None),
    }
    for name, (mean, change) in expected.items():
        assert found.pop(f"mean {name}") == pytest.approx(mean, abs=1e-5), name
        if change is not None:  # no input: breath, scanner and the tumour's size
            assert found.pop(f"change of {name}") == pytest.approx(change, abs=1e-5), name
    assert found.pop("held change of tumour_ml") == pytest.approx(log(3))  # within its limits
    assert found.pop("lasting liver_tumour") == pytest.approx(log(5))
    assert found.pop("lasting bone_tumour") == pytest.approx(log(10))
    assert found == {"new tumour": pytest.approx(log(4))}  # and nothing of the noise


@pytest.mark.parametrize(
    # 1 + 2.7 / 0.3 = 10, 1 + 29.7 / 0.3 = 100, 1 + 299.7 / 0.3 = 1000
    ("before", "after", "held"),
    [(2.7, 29.7, 1.2), (299.7, 0.0, -4.2), (299.7, 29.7, -np.log(10)), (2.7, 5.7, np.log(2))],
)
def test_change_of_tumour_is_held_where_more_of_it_means_little(before, after, held):
    followed = followed_ml(before, after)
    found = describe_pair(of(), of(), torch.zeros(1), followed, torch.zeros(1, 2))[0]
    assert float(found[INPUTS.index("held change of tumour_ml")]) == pytest.approx(held, abs=1e-4)
    free = float(found[INPUTS.index("change of tumour_ml")])
    assert free == pytest.approx(np.log((after + 0.3) / (before + 0.3)), abs=1e-4)


def test_little_is_needed_to_believe_in_tumour_where_the_other_scan_has_some():
    tumour = torch.tensor([0.0, 0.02, 0.11, 0.2, 0.5, 0.8])
    # From 0.2 to 0.8 by itself; beside the other's tumour from 0.02 to 0.2.
    alone, beside, half = (followed(tumour, torch.tensor(near)) for near in (0.0, 1.0, 0.5))
    np.testing.assert_allclose(alone, [0, 0, 0, 0, 0.5, 1], atol=1e-6)
    np.testing.assert_allclose(beside, [0, 0, 0.5, 1, 1, 1], atol=1e-6)
    np.testing.assert_allclose(half, [0, 0, 0.25, 0.5, 0.5, 1], atol=1e-6)


def test_what_both_scans_show_a_little_of_lasts():
    kind = torch.tensor([0.0, 0.9, 0.0001, 0.04, 0.3], requires_grad=True)
    known = torch.tensor([0.9, 0.0, 0.04, 0.09, 0.6])
    # Roots of the products: 0 and 0; 0.002; 0.06; 0.42. From 0.02 to 0.2 the share rises.
    found = lasting(kind, known)
    np.testing.assert_allclose(found.detach(), [0, 0, 0, 0.04 / 0.18, 1], atol=1e-4)
    found.sum().backward()
    assert torch.isfinite(kind.grad).all()
    assert kind.grad[3] > 0


def test_tumour_of_the_other_scan_is_looked_for_at_the_same_place_of_the_lungs():
    here, there = np.zeros(GRID, bool), np.zeros(GRID, bool)
    here[10:50, 10:40, 10:60] = True
    there[10:31, 12:42, 5:55] = True  # breathed out: half as high; moved by 2 and -5
    other = np.zeros(GRID, np.float32)
    other[20, 22, 25] = 1.0
    near = near_tumour(other, (here, there))
    # 20 lies as far up there as about 29 here; 20 rows and columns from the lungs' first.
    z, y, x = ndimage.center_of_mass(near)
    assert (z, y, x) == pytest.approx((29, 20, 30), abs=0.7)
    sides = [len(np.flatnonzero(near.max(axis=other))) for other in ((1, 2), (0, 2), (0, 1))]
    assert sides[1:] == [7, 7]  # three voxels around
    assert 8 <= sides[0] <= 10  # and twice the voxel itself
    flat = np.zeros(GRID, bool)
    flat[20] = there[20]
    for lungs in (np.zeros(GRID, bool), flat):
        assert not near_tumour(other, (here, lungs)).any()
        assert not near_tumour(other, (lungs, there)).any()
    assert not near_tumour(np.zeros_like(other), (here, there)).any()


def test_what_never_helps_is_among_the_inputs():
    assert set(INPUTS) >= WORSE
    # Mean and change of tumour, liver, bone and fluid; new tumours; the held change of tumour;
    # tumours of liver and bone that both scans show.
    assert len(WORSE) == 12
    assert "change of muscle_cm2" not in WORSE


# --- New tumours ----------------------------------------------------------------------------------

GRID = (60, 50, 70)


def lungs_in(z=(5, 55), y=(6, 46), x=(8, 64)):
    lungs = np.zeros(GRID, bool)
    lungs[z[0] : z[1], y[0] : y[1], x[0] : x[1]] = True
    return lungs


def tumours(*places, share=0.9):
    """Blocks of 2 x 3 x 4 voxels that begin at these."""
    found = np.zeros(GRID, np.float32)
    for z, y, x in places:
        found[z : z + 2, y : y + 3, x : x + 4] = share
    return found


BOTH = (lungs_in(), lungs_in())
OLD, NEW = (20, 15, 30), (40, 25, 18)


def test_tumour_that_was_not_there_is_found_with_its_share():
    after = tumours(OLD, NEW)
    after[40, 25, 18] = 0.6
    (found,) = new_tumours(tumours(OLD), after, BOTH)
    expected = tumours(NEW)
    expected[40, 25, 18] = 0.6
    np.testing.assert_array_equal(found, expected)


def test_nothing_is_new_where_nothing_is_or_all_was_known():
    assert new_tumours(tumours(OLD), np.zeros(GRID, np.float32), BOTH) == []
    assert new_tumours(tumours(OLD, NEW), tumours(OLD, NEW), BOTH) == []
    assert new_tumours(tumours(OLD, NEW), tumours(NEW), BOTH) == []


@pytest.mark.parametrize(("away", "n"), [(4, 0), (7, 0), (8, 1), (12, 1)])
def test_known_tumour_nearby_may_be_the_same_one(away, n):
    # The known one ends at row 17; from there 7 voxels are 21 mm.
    z, y, x = OLD
    after = tumours((z, y + 2 + away, x))
    assert len(new_tumours(tumours(OLD), after, BOTH)) == n


def test_tumour_in_another_breath_is_the_same_tumour():
    # The lungs end at slice 55 in both; their base rises from 5 to 25 as the patient breathes out.
    # A tumour 40 % up from the base: 5 + 0.4 * 50 = 25 and 25 + 0.4 * 30 = 37, 12 slices higher.
    before, after = tumours((25, 15, 30)), tumours((37, 15, 30))
    out = lungs_in(), lungs_in(z=(25, 55))
    assert new_tumours(before, after, out) == []
    assert len(new_tumours(before, after, BOTH)) == 1  # in one breath these would be two
    # And the other way round: what seems to stay in place is new.
    assert len(new_tumours(tumours((37, 15, 30)), after, out)) == 1


def test_shifted_patient_has_no_new_tumour():
    before, after = tumours((25, 12, 20)), tumours((25, 22, 20))
    assert new_tumours(before, after, (lungs_in(y=(1, 36)), lungs_in(y=(11, 46)))) == []


def test_specks_and_doubt_are_no_tumours():
    speck = np.zeros(GRID, np.float32)
    speck[40, 25, 18:23] = 1.0  # five voxels; six are the least
    assert new_tumours(tumours(OLD), speck, BOTH) == []
    assert new_tumours(tumours(OLD), tumours(NEW, share=0.45), BOTH) == []


@pytest.mark.parametrize(("hint", "n"), [(0.08, 1), (0.12, 0)])
def test_hint_of_a_tumour_at_baseline_makes_it_known(hint, n):
    assert len(new_tumours(tumours(NEW, share=hint), tumours(NEW), BOTH)) == n


def test_tumour_within_the_box_of_another_is_told_apart():
    after = np.zeros(GRID, np.float32)
    after[40, 20:26, 18] = after[40, 20, 18:30] = 1.0  # an L of 17 voxels …
    after[40, 23:26, 24:28] = 0.9  # … and 12 within its box
    found = new_tumours(np.zeros_like(after), after, BOTH)
    assert [float(share.sum()) for share in found] == pytest.approx([17, 12 * 0.9], rel=1e-5)
    np.testing.assert_allclose(found[0] + found[1], after)


def test_largest_comes_first():
    after = tumours((12, 10, 50), NEW)
    after[42:46, 25:28, 18:22] = 1.0  # NEW goes on upwards
    sizes = [float(found.sum()) for found in new_tumours(np.zeros_like(after), after, BOTH)]
    assert sizes == pytest.approx([24 * 0.9 + 48, 24 * 0.9], rel=1e-5)


def test_scan_without_lungs_has_no_candidates():
    none = np.zeros(GRID, bool)
    assert new_tumours(tumours(), tumours(NEW), (none, BOTH[1])) == []
    assert new_tumours(tumours(), tumours(NEW), (BOTH[0], none)) == []
