"""Edges of tumours laid upon each other: how dense the lung is beyond them, and what is learnt."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from ctrs.model import rims
from ctrs.model.measure import INPUTS, doubted
from ctrs.model.rims import PLACES, PROFILE, Rims, profile

SHAPE, MIDDLE, RADIUS = (40, 44, 48), (19.0, 22.0, 25.0), 8.0
LUNG, TISSUE, HAZE = -850.0, 40.0, -640.0
HELD = INPUTS.index("held change of tumour_ml")


def away():
    """Voxels beyond the surface of the ball."""
    axes = np.meshgrid(*map(np.arange, SHAPE), indexing="ij")
    return np.sqrt(sum((a - m) ** 2 for a, m in zip(axes, MIDDLE, strict=True))) - RADIUS


def ball(rim=0.0):
    """A ball of 24 mm in lung, its surface half way through a voxel; around it haze, so wide."""
    beyond = away()
    outside = np.where(beyond < rim, HAZE, LUNG)
    share = np.clip(0.5 - beyond, 0, 1)
    return (share * TISSUE + (1 - share) * outside).astype(np.float32)


def seen(hu, lungs=None):
    lungs = np.ones(SHAPE, bool) if lungs is None else lungs
    return profile(hu, (away() < 0).astype(np.float32), lungs)


def at(voxels):
    """Where the median at this place stands in a profile."""
    return int(np.flatnonzero(voxels == PLACES)[0])


def test_without_a_rim_there_is_lung_a_voxel_beyond_the_edge():
    found = seen(ball())
    assert found.shape == (PROFILE,)
    assert found[at(0.0)] == pytest.approx(-400 - LUNG)  # where tumour begins
    assert found[at(1.5) : at(5.0) + 1] == pytest.approx(0, abs=25)
    assert found[11 + at(3.0)] == pytest.approx(0, abs=2)  # the mean
    assert np.exp(found[-1]) > 500  # rays: a surface of 800 voxels


def test_haze_is_seen_as_far_as_it_reaches():
    found = seen(ball(rim=3.0))
    assert found[[at(1.5), at(2.0)]] == pytest.approx(HAZE - LUNG, abs=30)
    assert found[[at(4.0), at(5.0)]] == pytest.approx(0, abs=2)
    assert found[at(3.5)] < found[at(2.5)] / 2
    assert seen(ball(rim=1.0))[at(1.5)] < found[at(1.5)] / 3


def test_rays_that_meet_a_vessel_or_leave_the_lung_say_nothing():
    hu = ball()
    hu[:, :, 37:] = TISSUE  # 4 voxels beyond the ball: the chest wall
    assert np.exp(seen(hu)[-1]) < np.exp(seen(ball())[-1]) - 20
    assert seen(hu)[at(4.0)] == pytest.approx(0, abs=10)
    half = np.ones(SHAPE, bool)
    half[19:] = False
    whole, part = (np.exp(seen(ball(), lungs)[-1]) for lungs in (None, half))
    assert 0.35 * whole < part < 0.55 * whole


def test_with_too_few_rays_or_no_tumour_nothing_is_known():
    assert np.isnan(seen(ball(), np.zeros(SHAPE, bool))).all()
    assert np.isnan(profile(ball(), np.zeros(SHAPE, np.float32), np.ones(SHAPE, bool))).all()
    thin = profile(
        np.full(SHAPE, LUNG, np.float32), np.ones(SHAPE, np.float32), np.ones(SHAPE, bool)
    )
    assert np.isnan(thin).all()  # a map of tumour, where there is only air


def test_the_tumour_at_the_scans_edge_is_no_error():
    hu, tumour = ball(rim=2.0), (away() < 0).astype(np.float32)
    found = profile(hu[15:], tumour[15:], np.ones(hu[15:].shape, bool))
    assert np.isfinite(found).all()


# --- Learning ---------------------------------------------------------------------------------


def pairs(n=120, seed=1):
    """Profiles at random; those with a rim have 60 HU more at the third place of the follow-up."""
    rng = np.random.default_rng(seed)
    profiles = rng.normal(100, 20, (n, 2, PROFILE))
    hazy = np.arange(n) % 3 == 0
    profiles[hazy, 1, 2] += 60
    return torch.tensor(profiles, dtype=torch.float32), torch.tensor(hazy)


def test_a_rim_is_told_by_what_it_adds_and_chances_add_up_among_those_not_chosen_for_it():
    profiles, hazy = pairs()
    own = torch.arange(len(hazy)) >= 80
    own &= ~(hazy & (torch.arange(len(hazy)) % 2 == 0))  # there every fifth or so has one
    found = Rims.of(profiles, hazy, own)
    fresh, truly = pairs(90, seed=2)
    chance = found(fresh)
    assert chance[truly].mean() > chance[~truly].mean() + 0.4
    assert float(found(profiles)[own].mean()) == pytest.approx(
        float(hazy[own].float().mean()), abs=1e-3
    )


def test_what_cannot_be_seen_has_no_rim_and_a_missing_baseline_is_as_the_usual():
    profiles, hazy = pairs()
    found = Rims.of(profiles, hazy, torch.ones(len(hazy), dtype=torch.bool))
    unseen, new = profiles[:1].clone(), profiles[:1].clone()
    unseen[:, 1] = torch.nan
    new[:, 0] = torch.nan
    assert float(found(unseen)) == 0.0
    assert 0 < float(found(new)) < 1
    holes = profiles.clone()
    holes[1:9, 0] = torch.nan
    again = Rims.of(holes, hazy, torch.ones(len(hazy), dtype=torch.bool))
    assert torch.isfinite(again.weight).all()


@pytest.mark.parametrize("few", [rims.LEAST_CASES - 1, rims.LEAST_CASES])
def test_of_too_few_nothing_is_learnt(few):
    profiles, _ = pairs()
    hazy = torch.arange(len(profiles)) < few
    found = Rims.of(profiles, hazy, torch.ones(len(hazy), dtype=torch.bool))
    assert bool((found(profiles) > 1e-9).any()) is (few == rims.LEAST_CASES)


def test_without_rims_in_the_trial_itself_nothing_is_learnt():
    profiles, hazy = pairs()
    assert not (Rims.of(profiles, hazy, ~hazy)(profiles) > 1e-9).any()


# --- What it does to growth -------------------------------------------------------------------


def test_growth_is_taken_back_as_far_as_it_may_be_immune_cells():
    """Of a growth of 0.8 with a chance of 0.25, a quarter is a shrinkage of 1: 0.6 - 0.25."""
    inputs = torch.zeros(3, len(INPUTS)) + 0.5
    inputs[:, HELD] = torch.tensor([0.8, -0.2, -2.5])
    told = doubted(inputs, torch.tensor([0.25, 0.25, 0.25]))
    assert told[:, HELD].tolist() == pytest.approx([0.35, -0.4, -2.5])  # gone is gone
    rest = [k for k in range(len(INPUTS)) if k != HELD]
    assert torch.equal(told[:, rest], inputs[:, rest])
    assert torch.equal(doubted(inputs, torch.zeros(3)), inputs)


def test_more_growth_is_never_better_whatever_the_rim():
    inputs = torch.zeros(200, len(INPUTS))
    inputs[:, HELD] = torch.linspace(-4.2, 1.2, 200)
    for chance in (0.0, 0.3, 0.9, 1.0):
        told = doubted(inputs, torch.full((200,), chance))[:, HELD]
        assert (told.diff() >= -1e-6).all()


def test_a_blurred_edge_is_no_rim_of_the_same_sum():
    """A scanner's blur moves tissue outwards and inwards: beyond two voxels it leaves nothing."""
    blurred = ndimage.gaussian_filter(ball(), 0.7).astype(np.float32)
    assert seen(blurred)[at(2.5)] < seen(ball(rim=3.0))[at(2.5)] / 3
