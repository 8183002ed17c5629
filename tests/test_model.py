"""The networks' arithmetic by hand, the ensemble's answer, and weights that may be trusted."""

import json
import logging
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy import ndimage

from ctrs.errors import WeightsUnusable
from ctrs.model import ensemble as ensemble_module
from ctrs.model.ensemble import (
    Ensemble,
    Perceived,
    SeenPair,
    choose_device,
    find_places,
    load_ensemble,
    look,
    see_pair,
)
from ctrs.model.measure import INPUTS, LASTING, MEASURES, WORSE, firm
from ctrs.model.network import (
    EDGES_MONTHS,
    EMBEDDED,
    Foreseer,
    Perceiver,
    Perception,
    expected_hazard_loss,
    logistic_hazard_loss,
    survival,
    windowed,
)
from ctrs.model.usual import TRAITS, Usual
from ctrs.model.weights import FORESEERS, PERCEIVER, USUAL, check_files, read_card, write_card
from ctrs.types import STRUCTURES, PreparedScan
from tests.scoring_fixtures import write_weights

TWELVE = EDGES_MONTHS.index(12.0)
SHAPE = (16, 24, 32)


def small_scan(seed, shape=SHAPE):
    rng = np.random.default_rng(seed)
    lungs = np.zeros(shape, bool)
    lungs[3:12, 5:18, 4:25] = True
    return PreparedScan(rng.random(shape, np.float32), lungs, (0.0,) * 3, (3.0,) * 3)


def perceived(shape=SHAPE, **blocks):
    """A scan in which these structures fill these blocks, with a probability of 0.9."""
    scan = small_scan(1, shape)
    maps = torch.full((1, len(STRUCTURES), *shape), 0.05)
    for faint in ("tumour", "halo", *LASTING):
        maps[0, STRUCTURES.index(faint)] = 0.01
    for name, block in blocks.items():
        maps[0, STRUCTURES.index(name)][block] = 0.9
    image, lungs = (
        torch.from_numpy(np.asarray(a, np.float32))[None, None] for a in (scan.image, scan.lungs)
    )
    return Perceived(image, lungs, maps, torch.zeros(1, EMBEDDED))


def a_pair(seed=4):
    """What is left of one pair, at random."""
    rng = torch.Generator().manual_seed(seed)
    return SeenPair(
        torch.randn(1, len(INPUTS), generator=rng),
        10 * torch.rand(1, 2, len(MEASURES), generator=rng),
        torch.randn(1, 2, EMBEDDED, generator=rng),
    )


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    write_weights(folder)
    return folder


@pytest.fixture(scope="module")
def model(weights):
    return load_ensemble(weights, "cpu")


# --- Survival from hazards ------------------------------------------------------------------


def test_survival_is_the_product_of_what_every_interval_leaves():
    # A logit of 0 is a hazard of one half: 1/2, 1/4, 1/8 … are left.
    expected = 0.5 ** np.arange(1, len(EDGES_MONTHS) + 1)
    np.testing.assert_allclose(survival(torch.zeros(1, 9))[0].numpy(), expected, rtol=1e-6)


def test_survival_never_rises_and_higher_logits_die_sooner():
    torch.manual_seed(1)
    logits = torch.randn(50, 9) * 4
    curves = survival(logits)
    assert (curves.diff(dim=1) <= 0).all()
    assert ((curves > 0) & (curves < 1)).all()
    assert (survival(logits + 1) < curves).all()


def test_loss_of_three_patients_by_hand():
    # Hazards of the intervals 0-3, 3-6, 6-9 … months: 0.1, 0.2, 0.3, then 0.05 each.
    hazard = torch.tensor([0.1, 0.2, 0.3] + [0.05] * 6)
    logits = torch.logit(hazard).repeat(3, 1)
    months, event = torch.tensor([7.0, 4.5, 40.0]), torch.tensor([1.0, 0.0, 1.0])
    # Died at 7: lived 0-3 and 3-6, died in 6-9.        log 0.9 + log 0.8 + log 0.3
    # Censored at 4.5: lived 0-3; 3-6 says nothing.     log 0.9
    # Died at 40, after the last edge: lived all.       log 0.9 + log 0.8 + log 0.7 + 6 log 0.95
    logs = np.log([0.9, 0.8, 0.3, 0.9, 0.9, 0.8, 0.7]).sum() + 6 * np.log(0.95)
    loss = logistic_hazard_loss(logits, months, event)
    assert float(loss) == pytest.approx(-logs / 3, rel=1e-5)


def test_death_on_an_edge_counts_in_the_interval_that_begins_there():
    logits = torch.logit(torch.tensor([[0.1, 0.2] + [0.5] * 7]))
    loss = logistic_hazard_loss(logits, torch.tensor([3.0]), torch.tensor([1.0]))
    assert float(loss) == pytest.approx(-np.log(0.9 * 0.2), rel=1e-5)


def test_loss_of_known_curves_by_hand():
    logits = torch.logit(torch.tensor([0.1, 0.2, 0.3] + [0.05] * 6)).repeat(2, 1)
    curves = torch.tensor([[0.9] + [0.6] * 8, [1.0] * 9])
    # The first: 0.1 die in the first interval, 0.3 in the second, 0.6 live through all.
    # 0.1 log 0.1 + 0.9 log 0.9 + 0.3 log 0.2 + 0.6 (log 0.8 + log 0.7 + 6 log 0.95)
    # The second never dies: log 0.9 + log 0.8 + log 0.7 + 6 log 0.95
    log = np.log
    first = 0.1 * log(0.1) + 0.9 * log(0.9) + 0.3 * log(0.2)
    first += 0.6 * (log(0.8) + log(0.7) + 6 * log(0.95))
    second = log(0.9) + log(0.8) + log(0.7) + 6 * log(0.95)
    loss = expected_hazard_loss(logits, curves)
    assert float(loss) == pytest.approx(-(first + second) / 2, rel=1e-5)


def test_loss_of_a_curve_is_that_of_the_lives_drawn_from_it():
    rng = np.random.default_rng(5)
    curves = np.array([[0.9, 0.8, 0.66, 0.6, 0.5, 0.45, 0.3, 0.25, 0.2],
                       [0.97, 0.9, 0.9, 0.85, 0.8, 0.7, 0.68, 0.6, 0.55]])  # fmt: skip
    logits = torch.from_numpy(rng.normal(-1.5, 0.8, (2, 9))).float()
    n = 60_000
    lives = []
    for curve in curves:
        interval = (rng.random(n)[:, None] < curve).sum(1)  # how many were lived through
        starts = np.array([0.0, *EDGES_MONTHS])
        ends = np.array([*EDGES_MONTHS, 60.0])
        lives.append(starts[interval] + 0.99 * rng.random(n) * (ends - starts)[interval])
    months = torch.from_numpy(np.concatenate(lives)).float()
    drawn = logistic_hazard_loss(logits.repeat_interleave(n, 0), months, torch.ones(2 * n))
    known = expected_hazard_loss(logits, torch.from_numpy(curves).float())
    assert float(drawn) == pytest.approx(float(known), rel=0.005)


def test_no_hazards_fit_a_known_curve_better_than_its_own():
    curve = torch.tensor([[0.9, 0.8, 0.66, 0.6, 0.5, 0.45, 0.3, 0.25, 0.2]])
    before = torch.cat([torch.ones(1, 1), curve[:, :-1]], dim=1)
    own = torch.logit(1 - curve / before).requires_grad_()
    loss = expected_hazard_loss(own, curve)
    loss.backward()
    np.testing.assert_allclose(own.grad.numpy(), 0, atol=1e-6)
    torch.manual_seed(2)
    for _ in range(5):
        other = own.detach() + 0.3 * torch.randn(1, 9)
        assert expected_hazard_loss(other, curve) > loss


# --- The second network -----------------------------------------------------------------------


def wild_foreseer(seed):
    """Weights of all signs and sizes, as no training would make them."""
    torch.manual_seed(seed)
    net = Foreseer().eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return net


@pytest.mark.parametrize("name", sorted(WORSE))
def test_more_of_what_is_worse_never_lengthens_life(name):
    rises = 0
    for seed in range(6):
        net = wild_foreseer(seed)
        rng = torch.Generator().manual_seed(seed)
        inputs = 1.3 * torch.randn(30, len(INPUTS), generator=rng)
        more = inputs.clone()
        more[:, INPUTS.index(name)] += 3 * torch.rand(30, generator=rng)
        days = torch.full((30,), 70.0)
        with torch.inference_mode():
            fewer, lives = (survival(net(x, days)) for x in (inputs, more))
        assert (lives <= fewer + 1e-6).all()
        rises += int((lives < fewer - 1e-4).sum())
    assert rises > 0


@pytest.mark.parametrize("name", sorted(set(INPUTS) - WORSE))
def test_everything_else_may_lengthen_life_or_shorten_it(name):
    slopes = []
    for seed in range(12):
        inputs = torch.zeros(1, len(INPUTS), requires_grad=True)
        wild_foreseer(seed)(inputs, torch.tensor([84.0]))[0, 0].backward()
        slopes.append(float(inputs.grad[0, INPUTS.index(name)]))
    assert min(slopes) < 0 < max(slopes)


def test_days_between_the_scans_may_do_both_too():
    slopes = []
    for seed in range(12):
        days = torch.tensor([84.0], requires_grad=True)
        wild_foreseer(seed)(torch.zeros(1, len(INPUTS)), days)[0, 0].backward()
        slopes.append(float(days.grad[0]))
    assert min(slopes) < 0 < max(slopes)


def test_each_input_bends_the_hazard_by_itself():
    net, at = Foreseer().eval(), INPUTS.index("mean muscle_cm2")
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        net.rises[:, at] = torch.tensor([4.0, -1.0, 0.5, 2.0, 3.0])  # from corner to corner
    inputs = torch.zeros(5, len(INPUTS))
    # Half the first stretch, a quarter of the second, the fourth corner, beyond both ends.
    inputs[:, at] = torch.tensor([-2.25, -1.25, 0.5, 9.0, -9.0])
    with torch.inference_mode():
        logits = net(inputs, torch.full((5,), 84.0))
    expected = torch.tensor([2.0, 4 - 0.25, 4 - 1 + 0.5, 8.5, 0.0])
    torch.testing.assert_close(logits, expected[:, None].expand(-1, 9))


def test_inputs_are_standardised_and_held_within_three_deviations():
    net, plain = wild_foreseer(1), wild_foreseer(1)
    net.centre[:], net.scale[:] = 2.0, 0.5
    days, z = torch.tensor([84.0]), torch.linspace(-2.8, 2.9, len(INPUTS))[None]
    with torch.inference_mode():
        torch.testing.assert_close(net(2 + 0.5 * z, days), plain(z, days))
        far = torch.where(torch.arange(len(INPUTS)) == 7, 90.0, z)
        held = torch.where(torch.arange(len(INPUTS)) == 7, 3.0, z)
        torch.testing.assert_close(plain(far, days), plain(held, days))
        assert not torch.allclose(plain(held, days), plain(z, days))


# --- The first network ------------------------------------------------------------------------


def test_windows_spread_the_soft_tissues_and_the_liver():
    # -1000 … 400 HU are 0 … 1; then -160 to 240 HU, and 0 to 160 HU.
    image = (torch.tensor([-1000.0, -160, 40, 240, 400]) + 1000) / 1400
    views = windowed(image.reshape(1, 1, 1, 1, 5))
    assert views.shape == (1, 3, 1, 1, 5)
    np.testing.assert_array_equal(views[0, 0, 0, 0].numpy(), image.numpy())
    np.testing.assert_allclose(views[0, 1, 0, 0].numpy(), [0, 0, 0.5, 1, 1], atol=1e-6)
    np.testing.assert_allclose(views[0, 2, 0, 0].numpy(), [0, 0, 0.25, 1, 1], atol=1e-6)


def test_perceiver_answers_on_the_grid_of_the_image_and_on_half_of_it():
    torch.manual_seed(0)
    with torch.inference_mode():
        seen = Perceiver().eval()(torch.rand(1, 1, *SHAPE))
    assert seen.fine.shape == (1, 1, 16, 24, 32)
    assert seen.coarse.shape == (1, 8, 8, 12, 16)
    assert seen.embedding.shape == (1, EMBEDDED)
    assert seen.probabilities().shape == (1, 9, 16, 24, 32)


def test_every_structure_has_its_map_in_its_place():
    fine = torch.full((1, 1, 4, 6, 8), -9.0)
    fine[0, 0, 3, 2, 5] = 0.0
    coarse = torch.full((1, 8, 2, 3, 4), -9.0)
    coarse[0, 4, 1, 0, 3] = np.log(3)  # a probability of 0.75
    maps = Perception(torch.zeros(1, EMBEDDED), fine, coarse).probabilities()[0]
    tumour = maps[STRUCTURES.index("tumour")]
    assert np.argwhere(tumour.numpy() > 0.4).tolist() == [[3, 2, 5]]
    # The fifth of the others, twice as fine: voxels 2-3, 0-1, 6-7.
    halo = maps[STRUCTURES.index("halo")]
    np.testing.assert_allclose(halo[2:4, 0:2, 6:8].numpy(), 0.75, rtol=1e-6)
    assert int((maps > 0.1).sum()) == 1 + 8


def test_kind_of_a_tumour_counts_only_where_there_is_a_tumour():
    fine = torch.full((1, 1, 2, 4, 6), -20.0)
    fine[0, 0, 1, 2, 3] = np.log(4)  # a probability of 0.8
    coarse = torch.full((1, 8, 1, 2, 3), np.log(3))  # everywhere 0.75
    maps = Perception(torch.zeros(1, EMBEDDED), fine, coarse).probabilities()[0]
    for kind in ("liver_tumour", "bone_tumour", "cored_tumour"):
        found = maps[STRUCTURES.index(kind)]
        assert float(found[1, 2, 3]) == pytest.approx(0.6, rel=1e-5)
        assert float(found.sum()) == pytest.approx(0.6, rel=1e-4)
    for other in ("effusion", "halo", "fibrosis", "atelectasis", "muscle"):
        assert float(maps[STRUCTURES.index(other)].min()) == pytest.approx(0.75, rel=1e-5)


def test_untrained_network_sees_nearly_nothing():
    torch.manual_seed(0)
    with torch.inference_mode():
        maps = Perceiver().eval()(torch.rand(1, 1, *SHAPE)).probabilities()
    assert float(maps.mean()) < 0.05


# --- What is seen in a pair ---------------------------------------------------------------------


OLD, NEW = np.s_[5:7, 6:9, 6:9], np.s_[9:11, 14:17, 20:24]  # 18 and 24 voxels


def test_pair_is_seen_with_its_measures_and_its_new_tumour():
    before = perceived(tumour=OLD)
    after = perceived(tumour=OLD)
    after.maps[0, 0][NEW] = 0.65  # three quarters of a voxel each
    seen = see_pair(before, after._replace(embedding=torch.ones(1, EMBEDDED)), 0.027)
    tumour = seen.measures[0, :, MEASURES.index("tumour_ml")]
    np.testing.assert_allclose(tumour.numpy(), [18 * 0.027, (18 + 18) * 0.027], rtol=1e-5)
    assert float(seen.embeddings[0, 0].sum()) == 0
    assert float(seen.embeddings[0, 1].sum()) == EMBEDDED
    markers = ensemble_module.biomarkers(seen)
    assert markers["new_tumour_volume"].baseline == 0
    assert markers["new_tumour_volume"].follow_up == pytest.approx(18 * 0.027, rel=1e-4)
    assert markers["tumour_volume"].change == pytest.approx(18 * 0.027, rel=1e-4)
    # log(1 + 0.486 / 0.3), and log of 1 + 0.972 / 0.3 over 1 + 0.486 / 0.3
    inputs = dict(zip(INPUTS, seen.inputs[0].tolist(), strict=True))
    assert inputs["new tumour"] == pytest.approx(np.log(2.62), rel=1e-4)
    assert inputs["change of tumour_ml"] == pytest.approx(np.log(4.24 / 2.62), rel=1e-4)


def test_known_tumour_is_not_new_and_gone_tumour_is_none():
    assert not find_places(perceived(tumour=OLD), perceived(tumour=OLD)).new.any()
    assert not find_places(perceived(tumour=OLD), perceived()).new.any()
    found = find_places(perceived(tumour=OLD), perceived(tumour=NEW)).new
    assert found.shape == (1, *SHAPE)
    assert float(found.sum()) == float(found[0][NEW].sum()) == 24


def test_each_scan_is_read_beside_the_other():
    before = perceived(tumour=OLD)
    before.maps[0, 0][NEW] = 0.15  # a trace
    places = find_places(before, perceived(tumour=NEW))
    assert (places.beside_baseline[0][OLD] == 1).all()
    assert (places.beside_follow_up[0][NEW] == 1).all()
    assert not places.beside_baseline[0][NEW].any()
    assert not places.beside_follow_up[0][OLD].any()
    # A tenth of a doubt means nothing in one scan, and (0.1 - 0.02) / 0.18 beside the other's.
    faint = perceived()
    faint.maps[0, 0][OLD] = 0.1

    def change(after):
        seen = see_pair(perceived(tumour=OLD), after, 0.027)
        inputs = dict(zip(INPUTS, seen.inputs[0].tolist(), strict=True))
        return inputs["change of tumour_ml"]

    gone, left = change(perceived()), change(faint)
    first, second = 1 + 18 * 0.027 / 0.3, 1 + 18 * (0.08 / 0.18) * 0.027 / 0.3
    assert gone == pytest.approx(-np.log(first), rel=1e-4)
    assert left == pytest.approx(np.log(second / first), rel=1e-4)


def test_new_tumour_never_makes_the_baseline_look_worse():
    hazy = perceived()
    hazy.maps[0, 0][NEW] = 0.09  # just below a trace that would make it known

    def inputs(after):
        return dict(zip(INPUTS, see_pair(hazy, after, 0.027).inputs[0].tolist(), strict=True))

    before, after = inputs(perceived()), inputs(perceived(tumour=NEW))
    assert before["change of tumour_ml"] == 0
    for name in ("new tumour", "change of tumour_ml"):
        assert after[name] == pytest.approx(np.log(1 + 24 * 0.027 / 0.3), rel=1e-4)


def test_pair_without_lungs_has_numbers_all_the_same():
    before, after = (s._replace(lungs=0 * s.lungs) for s in (perceived(), perceived(tumour=OLD)))
    places = find_places(before, after)
    assert not any(where.any() for where in places)
    assert torch.isfinite(see_pair(before, after, 0.027).inputs).all()


def test_biomarkers_have_their_structures_and_units():
    before = perceived(tumour=OLD, liver_tumour=np.s_[5, 6:8, 6:9], muscle=np.s_[4, 20, 2:32])
    after = perceived(effusion=np.s_[3:5, 4, 2:13], fibrosis=np.s_[2, 2:4, 1:8])
    found = ensemble_module.biomarkers(see_pair(before, after, 0.027))
    voxels = {"tumour_volume": (18, 0), "pleural_effusion": (0, 22), "new_tumour_volume": (0, 0)}
    for name, (first, second) in voxels.items():
        assert found[name].baseline == pytest.approx(first * 0.027, rel=1e-5), name
        assert found[name].follow_up == pytest.approx(second * 0.027, rel=1e-5, abs=1e-6), name
        assert found[name].unit == "ml"
    assert found["lung_volume"].baseline == pytest.approx(9 * 13 * 21 * 0.027)
    assert found["emphysema"].unit == "share of lung"
    assert found["muscle"].unit == "cm²"


# --- The ensemble ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def predicted(model):
    return model(small_scan(1), small_scan(2), 84)


def test_curve_begins_at_one_and_never_rises(predicted):
    curve = predicted.curve
    assert curve.months == (0.0, *EDGES_MONTHS)
    for values in (curve.survival, curve.lower, curve.upper):
        assert len(values) == len(curve.months)
        assert values[0] == 1
        assert (np.diff(values) <= 0).all()


def test_interval_holds_the_estimate(predicted):
    curve = predicted.curve
    lower, middle, upper = (np.array(v[1:]) for v in (curve.lower, curve.survival, curve.upper))
    assert (lower < middle).all()
    assert (middle < upper).all()


def test_parts_of_the_interval_add_up_in_squares(model):
    # √(0.18² + 0.24²)
    assert model.card.interval_logit == pytest.approx(0.3)
    wider = replace(model.card, interval_parts=model.card.interval_parts | {"unseen": 0.4})
    assert wider.interval_logit == pytest.approx(0.5)


def test_estimate_and_interval_by_hand(model):
    members = torch.full((2, 9), 0.5)
    members[0, TWELVE], members[1, TWELVE] = 0.6, 0.4
    curve = model._curve(members)
    # Logits ±0.4055: mean 0, deviation 0.4055 √2 = 0.5734, times 1.645 = 0.9433; with 0.3 of
    # the card √(0.9433² + 0.3²) = 0.9898. Before 12 months the deviation is 0.
    at = curve.months.index(12.0)
    assert curve.survival[at] == pytest.approx(0.5)
    assert curve.lower[at] == pytest.approx(1 / (1 + np.exp(0.9898)), abs=1e-4)
    assert curve.upper[1] == pytest.approx(1 / (1 + np.exp(-0.3)), abs=1e-4)


def test_calibration_acts_on_the_log_cumulative_hazard(model):
    logits = torch.logit(torch.full((1, 9), 0.2))
    # By 12 months 0.8⁴ live; H = -4 log 0.8 = 0.8926. exp(0.1 + 0.9 log H) = 0.9978.
    assert float(model.calibrated(logits)[0, TWELVE]) == pytest.approx(np.exp(-0.9978), abs=1e-4)


def test_members_are_their_own_survival_at_twelve_months(model):
    seen = a_pair()
    prediction = model.foresee(seen, 70)
    with torch.inference_mode():
        own = [model.calibrated(net(seen.inputs, torch.tensor([70.0]))) for net in model.foreseers]
    assert prediction.members == pytest.approx([float(curve[0, TWELVE]) for curve in own])
    at = prediction.curve.months.index(12.0)
    assert min(prediction.members) <= prediction.curve.survival[at] <= max(prediction.members)


def test_days_between_the_scans_count(model):
    assert model.foresee(a_pair(), 63).members != model.foresee(a_pair(), 105).members


def test_order_of_the_scans_counts(model, predicted):
    turned = model(small_scan(2), small_scan(1), 84)
    assert turned.members != predicted.members
    marker, other = predicted.biomarkers["emphysema"], turned.biomarkers["emphysema"]
    assert marker.baseline != marker.follow_up
    assert (marker.baseline, marker.follow_up) == (other.follow_up, other.baseline)


def test_lung_volume_is_that_of_the_mask(predicted):
    # 9 * 13 * 21 voxels of 27 mm³
    assert predicted.biomarkers["lung_volume"].baseline == pytest.approx(9 * 13 * 21 * 0.027)
    assert predicted.biomarkers["tumour_volume"].unit == "ml"


def test_same_scans_give_the_same_answer(model, predicted):
    assert model(small_scan(1), small_scan(2), 84) == predicted


def test_how_unusual_a_pair_is_grows_with_the_distance(model):
    # The card's percentiles are 0 … 60: a distance of 30 is the 50th, beyond 60 is the 100th.
    seen = a_pair()
    embeddings = torch.zeros(1, 2, EMBEDDED)
    centre, n = model.usual.centre, len(MEASURES)
    seen = seen._replace(
        measures=torch.sinh(centre[:n]).expand(1, 2, n), embeddings=embeddings + centre[n:]
    )
    assert model._unusual(seen) == pytest.approx(0, abs=1e-3)
    seen.embeddings[0, 1, 8] += 30 * np.sqrt(TRAITS)
    assert model._unusual(seen) == pytest.approx(50, abs=1e-2)
    seen.embeddings[0, 1, 8] *= 10
    assert model._unusual(seen) == 100


def test_maps_are_named_shares_on_the_grid_of_the_scan(model, monkeypatch):
    seen = perceived(effusion=np.s_[3:5, 4, 2:13])
    seen.maps[0, STRUCTURES.index("halo"), 7, 7, 7] = 0.09  # (0.09 - 0.02) / 0.28
    monkeypatch.setattr(model, "perceive", lambda scan: seen)
    maps = model.maps(small_scan(1))
    assert tuple(maps) == STRUCTURES
    assert {share.shape for share in maps.values()} == {SHAPE}
    assert maps["effusion"].sum() == 22
    assert maps["halo"][7, 7, 7] == pytest.approx(0.25)
    assert maps["halo"].sum() + maps["tumour"].sum() == pytest.approx(0.25)


# --- Attribution --------------------------------------------------------------------------------


@pytest.fixture
def seeing(model, monkeypatch):
    """Wild second networks, and first answers that are known: an old tumour and a new one."""
    before = perceived(tumour=OLD)
    after = perceived(tumour=OLD, effusion=np.s_[3:6, 18:20, 4:20])
    after.maps[0, 0][NEW] = 0.9
    torch.manual_seed(7)
    found = Ensemble(model.card, Perceiver(), [Foreseer(), Foreseer()], Usual(), model._device)
    answers = iter([before, after])
    monkeypatch.setattr(found, "perceive", lambda scan: next(answers))
    return found, before, after


def test_attribution_lies_on_what_is_seen_and_new_tumour_shortens_life(seeing):
    model, _, after = seeing
    first, second = model.attribute(small_scan(1), small_scan(2), 84)
    assert first.shape == second.shape == SHAPE
    seen = (firm(after.maps)[0] > 0).any(0).numpy()
    near = ndimage.binary_dilation(seen, np.ones((3, 3, 3)), iterations=2)  # the smoothing
    assert (second[~near] == 0).all()
    assert (second[NEW] < 0).all()
    assert (second[3:6, 18:20, 4:20] < 0).all()  # fluid
    assert np.abs(first[OLD]).min() > 0
    assert np.abs(first[OLD]).sum() > 0.7 * np.abs(first).sum()


def test_attribution_adds_up_to_what_the_maps_change(seeing, monkeypatch):
    model, before, after = seeing
    monkeypatch.setattr(ensemble_module, "ATTRIBUTION_STEPS", 100)
    maps = model.attribute(small_scan(1), small_scan(2), 84)

    def score(share):
        scans = (scan._replace(maps=share * scan.maps) for scan in (before, after))
        inputs = look(*scans, find_places(before, after), 0.027).inputs
        with torch.inference_mode():
            curves = [
                model.calibrated(net(inputs, torch.tensor([84.0]))) for net in model.foreseers
            ]
        return float(torch.stack(curves)[:, 0, TWELVE].mean())

    assert maps[0].sum() + maps[1].sum() == pytest.approx(score(1.0) - score(0.0), rel=0.05)


# --- Out of memory ----------------------------------------------------------------------------


def test_full_gpu_memory_ends_on_the_cpu_with_the_same_answer(
    weights, predicted, monkeypatch, caplog
):
    model, tried = load_ensemble(weights, "cpu"), []
    perceive = ensemble_module.perceive

    def full_once(*arguments):
        tried.append(arguments[-1])
        if len(tried) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return perceive(*arguments)

    monkeypatch.setattr(ensemble_module, "perceive", full_once)
    with caplog.at_level(logging.WARNING):
        assert model(small_scan(1), small_scan(2), 84) == predicted
    assert len(tried) == 3  # once in vain, then each scan
    assert model.device == "cpu"
    assert "out of memory" in caplog.text


def test_device_that_is_not_there_is_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert {choose_device(wanted).type for wanted in ("auto", "cpu", "cuda")} == {"cpu"}


# --- Weights on disk --------------------------------------------------------------------------


def copied(weights, tmp_path):
    for file in weights.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def test_card_is_read_as_it_was_written(weights, tmp_path):
    card = replace(read_card(weights), metrics={"c_index": 0.7})
    write_card(tmp_path, card)
    assert read_card(tmp_path) == card


def test_card_names_the_sites_of_the_patients(weights):
    assert read_card(weights).sites == ["east", "north"]


def test_networks_are_read_as_they_were_saved(weights, model):
    saved = load_file(weights / FORESEERS)
    for k, net in enumerate(model.foreseers):
        for name, tensor in net.state_dict().items():
            assert torch.equal(tensor, saved[f"{k}.{name}"])
    assert not torch.equal(model.foreseers[0].inner.weight, model.foreseers[1].inner.weight)
    for name, tensor in load_file(weights / USUAL).items():
        assert torch.equal(getattr(model.usual, name), tensor)
    assert float(model.usual.centre[-1]) == pytest.approx(0.1)
    assert not any(net.training for net in (model.perceiver, *model.foreseers))


@pytest.mark.parametrize("name", [PERCEIVER, FORESEERS, USUAL])
def test_altered_weights_are_refused(weights, tmp_path, name):
    folder = copied(weights, tmp_path)
    content = bytearray((folder / name).read_bytes())
    content[-3] ^= 1  # one bit of one number
    (folder / name).write_bytes(content)
    with pytest.raises(WeightsUnusable, match=f"{name} is not the one"):
        load_ensemble(folder, "cpu")


@pytest.mark.parametrize("name", [PERCEIVER, FORESEERS, USUAL])
def test_missing_weights_are_refused(weights, tmp_path, name):
    folder = copied(weights, tmp_path)
    (folder / name).unlink()
    with pytest.raises(WeightsUnusable, match=f"{name} is missing"):
        check_files(folder, read_card(folder))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda card: card | {"format": 1}, "format 1; this program reads format 4"),
        (lambda card: {k: v for k, v in card.items() if k != "format"}, "format None"),
        (lambda card: {k: v for k, v in card.items() if k != "cut_off"}, "cannot be read"),
        (lambda card: card | {"surprise": 1}, "cannot be read"),
        (lambda card: ["no", "card"], "cannot be read"),
    ],
)
def test_card_of_another_kind_is_refused(weights, tmp_path, change, words):
    folder = copied(weights, tmp_path)
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(change(card)))
    with pytest.raises(WeightsUnusable, match=words):
        read_card(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00"])
def test_broken_card_is_refused(tmp_path, content):
    (tmp_path / "card.json").write_bytes(content)
    with pytest.raises(WeightsUnusable, match="cannot be read"):
        read_card(tmp_path)


def test_no_weights_are_refused_with_advice(tmp_path):
    with pytest.raises(WeightsUnusable) as error:
        load_ensemble(tmp_path / "nowhere", "cpu")
    assert error.value.next_step.startswith("Install")


def test_loading_runs_no_pickle(weights, monkeypatch):
    def refuse(*arguments, **more):
        raise AssertionError("Weights must not be unpickled.")

    for module, name in ((torch, "load"), (pickle, "load"), (pickle, "loads")):
        monkeypatch.setattr(module, name, refuse)
    monkeypatch.setattr(pickle, "Unpickler", refuse)
    assert isinstance(load_ensemble(weights, "cpu"), Ensemble)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [("prepare_version", "0", "prepared in way 0"), ("members", 9, "other networks")],
)
def test_weights_of_another_program_are_explained(tmp_path, field, value, words):
    write_weights(tmp_path)
    card = read_card(tmp_path)
    write_card(tmp_path, replace(card, **{field: value}))
    with pytest.raises(WeightsUnusable, match=words):
        load_ensemble(tmp_path)
