"""Training end to end on a handful of patients: it runs, it resumes, and it repeats itself."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from ctrs.errors import InputRejected
from ctrs.model import perceive as perceive_module
from ctrs.model import train as train_module
from ctrs.model.ensemble import Seen, load_ensemble
from ctrs.model.foresee import Cases, ForeseeConfig, _calibrated, _mean_logits, train_foreseers
from ctrs.model.network import EDGES_MONTHS, Perceiver
from ctrs.model.perceive import Material, PerceiveConfig, Phase
from ctrs.model.train import TrainConfig, predict_trial, read_trial, train
from ctrs.model.weights import FORESEERS, PERCEIVER, checksum
from ctrs.trial.bank import simulate_trial
from ctrs.trial.real.backgrounds import Background
from ctrs.types import PreparedScan

TINY = TrainConfig(
    perceive=PerceiveConfig(
        phases=(
            Phase(name="tumour", steps=3, learning_rate=2e-3, fluid_share=0.0),
            Phase(name="fluid", steps=1, learning_rate=1e-3, fluid_share=0.5),
        ),
        batch=1,
        save_every=1,
    ),
    foresee=ForeseeConfig(members=2, epochs=3),
    seed=5,
)
N_PATIENTS, RENDERED = 60, ("SIM-0001", "SIM-0002")
CROP = (40, 32, 48)


@pytest.fixture(scope="module")
def quick():
    """Smaller crops; and of the patients beyond the first two nothing real is seen.

    Rendering and looking take seconds a scan: the others get what the first one shows, each
    disturbed in a way of its own.
    """
    see_pair = train_module._see_pair
    shown = []

    def see(trial, patient, *how):
        if patient in RENDERED:
            shown[:] = see_pair(trial, patient, *how)
            return tuple(shown)
        rng = torch.Generator().manual_seed(int(patient[-4:]))
        return tuple(
            Seen(*(t * (1 + 0.2 * torch.randn(t.shape, generator=rng)) for t in seen))
            for seen in shown
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_module, "_see_pair", see)
        patch.setattr(perceive_module, "CROP", CROP)
        yield


@pytest.fixture(scope="module")
def trial(tmp_path_factory, quick):
    folder = tmp_path_factory.mktemp("trial")
    simulate_trial(folder, len(RENDERED), 3, workers=1)
    table = simulate_trial(folder, N_PATIENTS, 3, voxels=False)
    prepared = folder / "prepared"
    for patient in table["patient"][len(RENDERED) :]:
        (prepared / f"{patient}.npz").symlink_to(prepared / "SIM-0002.npz")
    return folder


def run(trial, out, config=TINY, says=None):
    return train(
        trial, out, backgrounds=None, device="cpu", config=config, command="test",
        progress=(says if says is not None else []).append,
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained(trial, tmp_path_factory):
    out = tmp_path_factory.mktemp("weights")
    return run(trial, out), out


# --- End to end -------------------------------------------------------------------------------


def test_trained_weights_load_and_say_where_they_come_from(trained):
    card, out = trained
    ensemble = load_ensemble(out, "cpu")
    assert len(ensemble.foreseers) == card.members == 2
    assert card.command == "test"
    assert card.seed == 5
    assert card.trained_on.startswith("34 patients")  # 1,171 of 2,076, of 60
    assert card.checksums == {name: checksum(out / name) for name in (PERCEIVER, FORESEERS)}
    assert np.isfinite([card.cut_off, card.interval_logit, *card.calibration.values()]).all()
    assert len(card.ood_distances) == 101
    assert (np.diff(card.ood_distances) >= 0).all()


def test_same_seed_gives_the_same_weights(trial, trained, tmp_path):
    # The second network alone: what the first one saw is given to it.
    card, out = trained
    shutil.copytree(out / "checkpoints", tmp_path / "checkpoints")
    again = run(trial, tmp_path)
    assert again.checksums == card.checksums
    assert (again.cut_off, again.calibration, again.interval_logit) == (
        card.cut_off,
        card.calibration,
        card.interval_logit,
    )


def test_first_network_repeats_itself_and_goes_on_from_its_checkpoint(trial, tmp_path):
    def weights(name, progress):
        checkpoints = tmp_path / name
        checkpoints.mkdir(exist_ok=True)
        net = perceive_module.train_perceiver(
            trial, list(RENDERED), [], checkpoints, torch.device("cpu"), TINY.perceive, 5, progress
        )
        return net.state_dict()

    whole = weights("whole", print)
    with pytest.raises(InterruptedError):
        weights("stopped", power_cut())
    says = []
    resumed = weights("stopped", says.append)
    assert [words.split(":")[0] for words in says] == ["tumour 2/3", "tumour 3/3", "fluid 1/1"]
    for name, tensor in whole.items():
        assert torch.equal(tensor, resumed[name]), name


def test_first_network_may_go_on_from_another(trial, tmp_path):
    begun = Perceiver()
    none_left = replace(TINY.perceive, phases=())
    same = perceive_module.train_perceiver(
        trial, list(RENDERED), [], tmp_path, torch.device("cpu"), none_left, 5, print, begun
    )
    for name, tensor in begun.state_dict().items():
        assert torch.equal(tensor, same.state_dict()[name]), name


def power_cut():
    """`progress` is called before the checkpoint is written: let one pass, stop at the next."""
    calls = []

    def progress(words):
        calls.append(words)
        if len(calls) == 2:
            raise InterruptedError

    return progress


def test_finished_training_starts_no_step_again(trial, trained, monkeypatch, tmp_path):
    _, out = trained
    shutil.copytree(out / "checkpoints", tmp_path / "checkpoints")

    def forbidden(*arguments):
        raise AssertionError("Nothing is left to do.")

    monkeypatch.setattr(perceive_module, "_batch", forbidden)
    monkeypatch.setattr(train_module, "_see_pair", forbidden)
    run(trial, tmp_path)


def test_other_first_network_is_shown_the_scans_again(trial, trained, monkeypatch, tmp_path):
    _, out = trained
    shutil.copy(out / "checkpoints" / "seen.npz", tmp_path / "seen.npz")
    looked = []

    def look(*arguments):
        looked.append(arguments[1])
        raise InterruptedError

    monkeypatch.setattr(train_module, "_see_pair", look)
    other = load_ensemble(out, "cpu").perceiver
    with torch.no_grad():
        next(other.parameters()).add_(1e-3)
    with pytest.raises(InterruptedError):
        train_module.see_trial(
            trial, read_trial(trial), other, torch.device("cpu"), tmp_path / "seen.npz", print
        )
    assert looked == ["SIM-0001"]


def test_trial_is_predicted_as_single_pairs_are(trial, trained, tmp_path):
    _, out = trained
    ensemble = load_ensemble(out, "cpu")
    shutil.copy(out / "checkpoints" / "seen.npz", tmp_path / "seen.npz")
    table, predictions = predict_trial(trial, ensemble, cache=tmp_path / "seen.npz", progress=print)
    assert tuple(table.index[:2]) == RENDERED
    assert len(predictions) == N_PATIENTS
    arrays = np.load(trial / "prepared" / "SIM-0002.npz")
    scans = [
        PreparedScan(
            (arrays["image"][visit] / 255).astype(np.float32),
            arrays["lungs"][visit].astype(bool),
            (0.0,) * 3,
            (3.0,) * 3,
        )
        for visit in (0, 1)
    ]
    alone = ensemble(*scans, table["interval_days"].iloc[1])
    assert predictions[1].members == pytest.approx(alone.members, abs=1e-5)
    volume = "tumour_volume"
    assert predictions[1].biomarkers[volume].follow_up == pytest.approx(
        alone.biomarkers[volume].follow_up, rel=1e-4
    )


def test_first_network_may_be_taken_from_other_weights(trial, trained, monkeypatch, tmp_path):
    card, out = trained
    (tmp_path / "checkpoints").mkdir()
    shutil.copy(out / "checkpoints" / "seen.npz", tmp_path / "checkpoints" / "seen.npz")
    monkeypatch.setattr(train_module, "train_perceiver", None)  # would be no function to call
    again = train(
        trial, tmp_path, perceiver_from=out, device="cpu", config=TINY, command="test",
        progress=print,
    )  # fmt: skip
    assert again.checksums[PERCEIVER] == card.checksums[PERCEIVER]


# --- The table --------------------------------------------------------------------------------


def test_folder_without_a_trial_is_refused(tmp_path):
    with pytest.raises(InputRejected, match=r"no patients\.csv"):
        read_trial(tmp_path)


def test_missing_columns_are_named(tmp_path):
    pd.DataFrame({"patient": ["a"], "months": [3.0], "split": ["train"]}).to_csv(
        tmp_path / "patients.csv"
    )
    with pytest.raises(InputRejected, match="event, interval_days"):
        read_trial(tmp_path)


# --- Samples of the first network ---------------------------------------------------------------


TUMOUR, FLUID = TINY.perceive.phases


def drawn(material, phase, seed, n=1, config=TINY.perceive):
    rng = np.random.default_rng(seed)
    return [perceive_module._sample(material, phase, config, rng) for _ in range(n)]


def test_sample_is_a_crop_of_image_and_truth_together(trial):
    with_tumour = 0
    for image, truth, learn in drawn(Material(trial, ["SIM-0001"], [], []), TUMOUR, 4, n=6):
        assert image.shape == learn.shape == (1, *CROP)
        assert truth.shape == (2, *CROP)
        assert 0 <= image.min() <= image.max() <= 1
        assert learn.min() == 1
        tumour = truth[0] > 0.9
        if tumour.sum() > 50:
            with_tumour += 1
            # Lung is about 0.1 of the window, tumour 0.4 to 0.75: the truth lies on the tumour.
            assert image[0][tumour].median() > 0.35
    assert with_tumour >= 3


def test_outlined_tumour_of_a_real_scan_is_not_learnt(quick):
    shape = (104, 88, 120)
    lungs, ignore = np.zeros(shape, bool), np.zeros(shape, bool)
    lungs[20:90, 20:70, 15:55] = True
    ignore[:, :, :60] = True
    background = Background(np.where(lungs, -850, 30).astype(np.float32), lungs, ignore, (3.0,) * 3)
    material = Material(Path("none"), [], [], [background])
    config = PerceiveConfig(background_share=1.0)
    shares = [float(s.learn.mean()) for s in drawn(material, TUMOUR, 1, n=6, config=config)]
    assert min(shares) < 0.9
    assert max(shares) > 0.1


def test_what_must_not_be_learnt_has_no_say():
    torch.manual_seed(2)
    net = perceive_module.Perceiver()
    dice = perceive_module.DiceLoss(sigmoid=True, batch=True)
    learn = torch.ones(1, 1, 16, 24, 16)
    learn[..., :9] = 0
    truth = torch.zeros(1, 2, 16, 24, 16)
    other = truth.clone()
    other[..., :9] = 1
    losses = [
        perceive_module._step(
            net,
            torch.optim.SGD(net.parameters(), 0.0),  # learns nothing: the network stays the same
            dice,
            perceive_module.Sample(0.3 * torch.ones_like(learn), given, learn),
        )
        for given in (truth, other)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.fixture
def wet(tmp_path):
    """A patient with 60 ml of fluid at follow-up, as bright as nothing else, and none before."""
    shape = (2, 104, 88, 120)
    arrays = {name: np.zeros(shape, np.uint8) for name in ("image", "lungs", "tumour", "effusion")}
    arrays["effusion"][1, 5:18, 60:73, 90:104] = 255  # 13 * 13 * 14 voxels of 27 mm³: 63.9 ml
    arrays["effusion"][0, 5:18, 60:73, 90:100] = 255  # 45.6 ml are not worth looking for
    arrays["image"][1] = arrays["effusion"][1]
    (tmp_path / "prepared").mkdir()
    np.savez(tmp_path / "prepared" / "WET.npz", **arrays)
    return tmp_path


def test_fluid_is_looked_for_where_it_is(wet, quick):
    fluid = perceive_module._with_fluid(wet, ["WET"])
    assert fluid == [("WET", 1)]
    share = {}
    for phase in (TUMOUR, replace(FLUID, fluid_share=1.0)):
        samples = drawn(Material(wet, ["WET"], fluid, []), phase, 2, n=30)
        share[phase.name] = np.mean([float(s.truth[1].max()) for s in samples])
        for image, truth, _ in samples:
            if truth[1].max() == 1 and image.max() > 0.8:
                assert image[0][truth[1] == 1].mean() > 5 * image[0][truth[1] == 0].mean()
    # In two of three samples near some fluid; else anywhere, and half of the time before.
    assert share["fluid"] > share["tumour"] + 0.2


def test_samples_depend_on_seed_and_step_alone(trial):
    material = Material(trial, list(RENDERED), [], [])

    def batch(seed, step):
        return perceive_module._batch(material, TUMOUR, TINY.perceive, seed, step).image

    assert torch.equal(batch(1, 4), batch(1, 4))
    assert not torch.equal(batch(1, 4), batch(1, 5))
    assert not torch.equal(batch(1, 4), batch(2, 4))


# --- The second network learns ------------------------------------------------------------------


def cases(n=400, seed=0):
    """One measurement doubles the hazard a deviation; everything else is noise."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(n, 116)).astype(np.float32)
    scale = 0.04 * np.exp(np.log(2) * inputs[:, 3])
    death, censored = rng.exponential(1 / scale), rng.uniform(9, 36, n)
    tensor = torch.from_numpy
    return Cases(
        tensor(inputs),
        torch.full((n,), 84.0),
        tensor(np.minimum(death, censored).astype(np.float32)),
        tensor((death <= censored).astype(np.float32)),
    )


@pytest.fixture(scope="module")
def foresight():
    return train_foreseers(cases(), ForeseeConfig(members=2, epochs=15), seed=1)


def test_who_has_the_higher_hazard_is_predicted_to_die_sooner(foresight):
    inputs = torch.zeros(3, 116)
    inputs[:, 3] = torch.tensor([-1.5, 0.0, 1.5])
    with torch.inference_mode():
        logits = torch.stack([net(inputs, torch.full((3,), 84.0)) for net in foresight.members])
    risk = logits.mean(0)[:, 0]
    assert risk[0] < risk[1] < risk[2]


def test_cut_off_leaves_two_in_five_below_it(foresight):
    assert 0 < foresight.cut_off < 1
    predicted = twelve_month_survival(foresight, cases())
    assert (predicted < foresight.cut_off).mean() == pytest.approx(0.4, abs=0.01)


def test_calibrated_survival_is_what_happens(foresight):
    # Others than those it was trained on; about 40 months a death at the middle hazard.
    held = cases(n=2000, seed=7)
    alive = twelve_month_survival(foresight, held)
    at_risk = (held.months >= 12) | (held.event == 1)
    lived = (held.months >= 12).float()[at_risk].mean()
    assert alive.mean() == pytest.approx(float(lived), abs=0.07)


def twelve_month_survival(foresight, patients):
    curves = _calibrated(_mean_logits(foresight.members, patients), foresight.calibration)
    return curves[:, EDGES_MONTHS.index(12.0)].numpy()


def test_second_network_repeats_itself(foresight):
    again = train_foreseers(cases(), ForeseeConfig(members=2, epochs=15), seed=1)
    assert again.calibration == foresight.calibration
    for one, other in zip(again.members, foresight.members, strict=True):
        assert torch.equal(one.direct.weight, other.direct.weight)
    assert not torch.equal(again.members[0].direct.weight, again.members[1].direct.weight)
