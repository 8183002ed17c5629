"""The networks' arithmetic by hand, the ensemble's answer, and weights that may be trusted."""

import json
import logging
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ctrs.errors import WeightsUnusable
from ctrs.model import ensemble as ensemble_module
from ctrs.model.ensemble import (
    Ensemble,
    choose_device,
    distance_from_usual,
    load_ensemble,
    look,
    pair_inputs,
)
from ctrs.model.network import (
    EDGES_MONTHS,
    MEASURES,
    Foreseer,
    Perceiver,
    describe_pair,
    logistic_hazard_loss,
    measure,
    pool,
    survival,
    two_windows,
)
from ctrs.model.weights import FORESEERS, PERCEIVER, check_files, read_card, write_card
from ctrs.types import PreparedScan
from tests.scoring_fixtures import write_weights

TWELVE = EDGES_MONTHS.index(12.0)


def small_scan(seed, shape=(16, 24, 32)):
    rng = np.random.default_rng(seed)
    lungs = np.zeros(shape, bool)
    lungs[3:12, 5:18, 4:25] = True
    return PreparedScan(rng.random(shape, np.float32), lungs, (0.0,) * 3, (3.0,) * 3)


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


# --- Measurements ---------------------------------------------------------------------------


def test_measures_of_a_few_voxels_by_hand():
    shape = (1, 1, 9, 10, 11)
    hu = torch.full(shape, -850.0)
    lungs, tumour, effusion = torch.zeros(shape), torch.zeros(shape), torch.zeros(shape)
    lungs[..., :4, :, :] = 1  # 4 * 110 = 440 voxels
    hu[..., 4:, :, :] = 50.0  # muscle above the lungs
    hu[..., 0, 0, :] = -970.0  # 11 voxels of emphysema
    tumour[..., 2, 5, 5], hu[..., 2, 5, 5] = 1.0, 30.0
    tumour[..., 2, 5, 6], hu[..., 2, 5, 6] = 0.5, 10.0  # half covered, and dark
    effusion[..., 3, 9, :], hu[..., 3, 9, :] = 1.0, 11.0  # 11 voxels at the back of the lung
    hu[..., 1, 5, 5] = -500.0  # ground glass beside the tumour
    found = dict(
        zip(MEASURES, measure((hu + 1000) / 1400, lungs, tumour, effusion, 0.027)[0], strict=True)
    )
    # Air: 440 lung - 1.5 tumour - 11 fluid = 427.5. Of these -970 in 11, -500 in one, 10 in
    # half a voxel, -850 in the other 415.
    air = (11 * -970 - 500 + 0.5 * 10 + 415 * -850) / 427.5
    # Around the tumour 5 x 5 x 6 voxels (z 0-4): 4 of 5 slices are lung, 120 voxels; less 1
    # and 1 - 0.5 of tumour: 118.5 (the cover of the half voxel is 1 - 0.5). One is ground glass.
    expected = {
        "tumour_ml": 1.5 * 0.027,
        "effusion_ml": 11 * 0.027,
        "lung_ml": 440 * 0.027,
        "lung_hu": air,
        "emphysema_share": 11 / 427.5,
        "muscle_mm": 0.0,  # every row is lung from side to side
        "tumour_hu": (30 + 0.5 * 10) / 1.5,
        "tumour_dark_share": 0.5 / 1.5,
        "halo_share": 1 / halo_rim(lungs, tumour),
        "largest_share": 1.5 / 9**3,  # one 9³ box fits into 9 x 10 x 11
    }
    for name, value in expected.items():
        assert float(found[name]) == pytest.approx(value, rel=2e-4), name


def test_muscle_is_measured_beside_the_lungs_and_not_between_them():
    shape = (1, 1, 9, 10, 12)
    hu, lungs, nothing = torch.full(shape, 50.0), torch.zeros(shape), torch.zeros(shape)
    lungs[..., 1:3, 1:4, 3:5] = 1  # the right lung: 2 x 3 rows, columns 3 and 4
    lungs[..., 1:3, 1:4, 7:10] = 1  # the left lung: columns 7 to 9; the heart is 5 and 6
    hu[lungs > 0] = -850.0
    hu[..., 0] = -1000.0  # air, then muscle in columns 1 and 2; on the left in column 10,
    hu[..., 11] = -100.0  # and fat outside it
    found = measure((hu + 1000) / 1400, lungs, nothing, nothing, 0.027)[0]
    # Per row 2 voxels of muscle on the right and 1 on the left: 1.5 voxels of 3 mm a side.
    assert float(found[MEASURES.index("muscle_mm")]) == pytest.approx(4.5, rel=1e-4)


def halo_rim(lungs, tumour):
    """Lung within two voxels of the tumour, counted voxel by voxel."""
    covered, air = tumour[0, 0].numpy(), lungs[0, 0].numpy()
    total = 0.0
    for z, y, x in np.ndindex(covered.shape):
        near = covered[max(z - 2, 0) : z + 3, max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3].max()
        total += near * (1 - covered[z, y, x]) * air[z, y, x]
    return total


def test_pool_is_the_mean_over_tumour_and_over_lungs():
    features = torch.arange(2 * 2 * 2 * 2, dtype=torch.float32).reshape(1, 2, 2, 2, 2)
    lungs, tumour = torch.zeros(1, 1, 4, 4, 4), torch.zeros(1, 1, 4, 4, 4)
    tumour[..., :2, :2, :2] = 1  # wholly the first voxel of the features' grid
    lungs[..., 2:, 2:, 2:] = 1  # wholly the last …
    lungs[..., 2:, 2:, 0] = 1  # … and half of the one beside it
    # Channel 0 holds 0 … 7, channel 1 holds 8 … 15. Lungs: (7 + 0.5 * 6) / 1.5.
    np.testing.assert_allclose(
        pool(features, lungs, tumour)[0].numpy(), [0, 8, 10 / 1.5, (15 + 7) / 1.5], rtol=1e-5
    )


def test_pair_is_described_by_mean_and_growth():
    #        tumour largest effusion lung   hu     emph  muscle hu   dark halo
    before = [19.7, 0.2, 0.0, 4000.0, -850.0, 0.02, 8.0, 30.0, 0.1, 0.0]
    after = [39.7, 0.3, 100.0, 2000.0, -840.0, 0.04, 6.0, 35.0, 0.3, 0.2]
    found = describe_pair(torch.tensor([before]), torch.tensor([after]))[0].numpy()
    mean, growth = found[:10], found[10:]
    # log(20), log(40): mean log(28.28), growth log 2; log1p: 0, log 2; lungs: 0, log 1/2.
    np.testing.assert_allclose(
        mean,
        [np.log(800) / 2, 0.25, np.log(2) / 2, -np.log(2) / 2, -8.45, 0.15, 1.4, 0.65, 0.4, 0.2],
        rtol=1e-5,
    )
    np.testing.assert_allclose(
        growth, [np.log(2), 0.1, np.log(2), -np.log(2), 0.1, 0.1, -0.4, 0.1, 0.4, 0.4], atol=1e-5
    )


def test_second_window_spreads_the_soft_tissues():
    # -1000 … 400 HU are 0 … 1; -160 and 240 HU are the ends of the second window.
    image = (torch.tensor([-1000.0, -160, 40, 240, 400]) + 1000) / 1400
    both = two_windows(image.reshape(1, 1, 1, 1, 5))
    np.testing.assert_allclose(both[0, 1, 0, 0].numpy(), [0, 0, 0.5, 1, 1], atol=1e-6)
    np.testing.assert_array_equal(both[0, 0, 0, 0].numpy(), image.numpy())


def test_perceiver_answers_on_the_grid_of_the_image():
    torch.manual_seed(0)
    with torch.inference_mode():
        seen = Perceiver().eval()(torch.rand(1, 1, 16, 24, 32))
    assert seen.logits.shape == (1, 2, 16, 24, 32)
    assert seen.features.shape == (1, 24, 8, 12, 16)


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
    inputs = torch.randn(1, 116, generator=torch.Generator().manual_seed(4))
    prediction = model.foresee(inputs, 70)
    with torch.inference_mode():
        own = [model.calibrated(net(inputs, torch.tensor([70.0]))) for net in model.foreseers]
    assert prediction.members == pytest.approx([float(curve[0, TWELVE]) for curve in own])
    at = prediction.curve.months.index(12.0)
    assert min(prediction.members) <= prediction.curve.survival[at] <= max(prediction.members)


def test_days_between_the_scans_count(model):
    inputs = torch.randn(1, 116, generator=torch.Generator().manual_seed(4))
    assert model.foresee(inputs, 63).members != model.foresee(inputs, 105).members


def test_order_of_the_scans_counts(model, predicted):
    turned = model(small_scan(2), small_scan(1), 84)
    assert turned.members != predicted.members
    marker, other = predicted.biomarkers["tumour_volume"], turned.biomarkers["tumour_volume"]
    assert (marker.baseline, marker.follow_up) == (other.follow_up, other.baseline)


def test_lung_volume_is_that_of_the_mask(predicted):
    # 9 * 13 * 21 voxels of 27 mm³
    assert predicted.biomarkers["lung_volume"].baseline == pytest.approx(9 * 13 * 21 * 0.027)
    assert predicted.biomarkers["tumour_volume"].unit == "ml"


def test_same_scans_give_the_same_answer(model, predicted):
    assert model(small_scan(1), small_scan(2), 84) == predicted


def test_distance_from_usual_is_the_root_mean_square():
    net = Foreseer()
    net.centre[:] = 1.0
    net.scale[:] = 2.0
    inputs = torch.ones(1, 116)
    inputs[0, :20] = torch.tensor([5.0] * 10 + [-1.0] * 10)  # two and minus one deviation
    inputs[0, 20:] = 1000.0  # deep features do not count
    # √((10 * 4 + 10 * 1) / 20) = √2.5
    assert distance_from_usual(inputs, net)[0] == pytest.approx(np.sqrt(2.5))


def test_how_unusual_a_pair_is_grows_with_the_distance(model):
    # The card's percentiles are 0 … 60: a distance of 30 is the 50th, beyond 60 is the 100th.
    inputs = torch.full((1, 116), 30.0)
    assert model._unusual(inputs) == pytest.approx(50, abs=1e-3)
    assert model._unusual(10 * inputs) == 100


def test_features_of_the_pair_are_baseline_and_change():
    image, lungs = torch.rand(1, 1, 12, 12, 12), torch.ones(1, 1, 12, 12, 12)
    maps, ones = torch.full((1, 2, 12, 12, 12), 0.25), torch.ones(1, 24, 6, 6, 6)
    before, after = (look(image, lungs, k * ones, maps, 0.027) for k in (2.0, 5.0))
    inputs = pair_inputs(before, after)
    assert inputs.shape == (1, 116)
    np.testing.assert_allclose(inputs[0, 20:].numpy(), [2.0] * 48 + [3.0] * 48, rtol=1e-5)


def test_attribution_has_the_grid_of_each_scan_and_adds_up(model):
    scans = small_scan(1), small_scan(2)
    maps = model.attribute(*scans, 84)
    assert [m.shape for m in maps] == [scan.image.shape for scan in scans]
    assert all(np.isfinite(m).all() for m in maps)
    assert any(np.abs(m).max() > 0 for m in maps)


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


def test_networks_are_read_as_they_were_saved(weights, model):
    saved = load_file(weights / FORESEERS)
    for k, net in enumerate(model.foreseers):
        for name, tensor in net.state_dict().items():
            assert torch.equal(tensor, saved[f"{k}.{name}"])
    assert not torch.equal(model.foreseers[0].direct.weight, model.foreseers[1].direct.weight)
    assert not any(net.training for net in (model.perceiver, *model.foreseers))


@pytest.mark.parametrize("name", [PERCEIVER, FORESEERS])
def test_altered_weights_are_refused(weights, tmp_path, name):
    folder = copied(weights, tmp_path)
    content = bytearray((folder / name).read_bytes())
    content[-3] ^= 1  # one bit of one number
    (folder / name).write_bytes(content)
    with pytest.raises(WeightsUnusable, match=f"{name} is not the one"):
        load_ensemble(folder, "cpu")


@pytest.mark.parametrize("name", [PERCEIVER, FORESEERS])
def test_missing_weights_are_refused(weights, tmp_path, name):
    folder = copied(weights, tmp_path)
    (folder / name).unlink()
    with pytest.raises(WeightsUnusable, match=f"{name} is missing"):
        check_files(folder, read_card(folder))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda card: card | {"format": 2}, "format 2; this program reads format 1"),
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
