"""Training end to end on a handful of patients: it runs, it resumes, and it repeats itself."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from scipy import ndimage

from ctrs.errors import InputRejected
from ctrs.model import perceive as perceive_module
from ctrs.model import train as train_module
from ctrs.model.ensemble import (
    TWELVE,
    Ensemble,
    SeenPair,
    calibrate,
    load_ensemble,
    perceive,
)
from ctrs.model.foresee import (
    Cases,
    ForeseeConfig,
    _rescan_noise,
    _unseen,
    fit_calibration,
    mean_curve,
    train_foreseers,
)
from ctrs.model.map_loss import USUAL_ML, Sample, kind_loss, map_loss, perceive_loss
from ctrs.model.measure import INPUTS, MEASURES
from ctrs.model.network import (
    EDGES_MONTHS,
    EMBEDDED,
    LiverReader,
    Perceiver,
    expected_hazard_loss,
    logistic_hazard_loss,
    place,
)
from ctrs.model.perceive import (
    Material,
    PerceiveConfig,
    Scan,
    as_sample,
    draw,
    gather,
    mixed,
)
from ctrs.model.read_liver import ReadLiverConfig
from ctrs.model.train import as_cases, predict_trial, read_trial, see_trial
from ctrs.model.weights import FORESEERS, PERCEIVER, USUAL, checksum, read_card
from ctrs.trial.population.patients import SHOWN_AT
from ctrs.trial.prepared import LIVERS, PREPARED, RESCANS, load_prepared, write_prepared
from ctrs.trial.real import painted as painted_module
from ctrs.trial.real.backgrounds import Background
from ctrs.trial.real.painted import paint_scans
from ctrs.types import STRUCTURES, PreparedScan
from tests.tiny_trial import (
    GRID,
    N_PATIENTS,
    RESCANNED,
    TINY,
    TRAINED,
    tiny_scans,
    train_tiny,
    write_tiny_trial,
)

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    return write_tiny_trial(tmp_path_factory.mktemp("trial"))


@pytest.fixture(scope="module")
def real_cohort(trial, tmp_path_factory):
    """The same scans as a hospital has them: nothing outlined, nothing known but what happened."""
    folder = tmp_path_factory.mktemp("real")
    table = pd.read_csv(trial / "patients.csv")
    table = table[[name for name in table if not name.startswith("true_")]]
    table.to_csv(folder / "patients.csv", index=False)
    (folder / "prepared").mkdir()
    for patient in table["patient"]:
        arrays = load_prepared(trial, patient, "image", "lungs")
        visits = [{name: both[visit] for name, both in arrays.items()} for visit in (0, 1)]
        write_prepared(folder / "prepared" / f"{patient}.npz", visits)
    return folder


@pytest.fixture(scope="module")
def trained(trial, tmp_path_factory):
    out = tmp_path_factory.mktemp("weights")
    return train_tiny(trial, out), out


# --- End to end -------------------------------------------------------------------------------


def test_trained_weights_load_and_say_where_they_come_from(trial, trained):
    card, out = trained
    ensemble = load_ensemble(out, "cpu")
    assert ensemble.card == card
    assert len(ensemble.foreseers) == card.members == 2
    assert card.command == "test"
    assert card.seed == 5
    assert card.trained_on.startswith(f"{TRAINED} patients")  # 1,171 of 2,076, of 40
    table = read_trial(trial)
    assert card.sites == sorted(set(table["site"][table["split"] == "train"]))
    assert card.checksums == {n: checksum(out / n) for n in (PERCEIVER, FORESEERS, USUAL)}
    assert 0 < card.cut_off < 1
    assert 0 < card.typical_survival < 1
    assert np.isfinite(list(card.calibration.values())).all()
    assert len(card.ood_distances) == 101
    assert (np.diff(card.ood_distances) >= 0).all()


def test_first_network_is_stored_in_the_numbers_that_it_computes_in(trained):
    _, out = trained
    stored = load_file(out / PERCEIVER)
    assert {t.dtype for t in stored.values()} == {torch.bfloat16}
    whole = Perceiver()
    checkpoint = torch.load(out / "checkpoints" / "perceive.pt", weights_only=True)
    whole.load_state_dict(checkpoint["net"])
    loaded = load_ensemble(out, "cpu").perceiver
    assert not torch.equal(whole.stem[0].conv.weight, loaded.stem[0].conv.weight)
    image = torch.rand(1, 1, *GRID, generator=torch.Generator().manual_seed(1))
    place(whole, CPU)
    with torch.inference_mode():
        seen = [perceive(net.eval(), image, image, CPU) for net in (whole, loaded)]
    assert torch.equal(seen[0].maps, seen[1].maps)
    assert torch.equal(seen[0].embedding, seen[1].embedding)


def test_interval_has_a_part_for_everything_that_was_measured(trained):
    card, _ = trained
    assert set(card.interval_parts) == {"calibration", "rescan", "unseen"}
    assert all(part >= 0 for part in card.interval_parts.values())
    assert np.isfinite(card.interval_logit)


def test_each_step_leaves_a_figure(trained):
    pytest.importorskip("matplotlib")
    checkpoints = trained[1] / "checkpoints"
    assert {f.stem for f in checkpoints.glob("*.png")} == {"perceive", "seen", "foresee"}


def test_same_seed_gives_the_same_weights(trial, trained, tmp_path):
    card, _ = trained
    again = train_tiny(trial, tmp_path)
    assert again.checksums == card.checksums
    assert again == replace(card, version=again.version)


def first_network(trial, checkpoints, progress=print, config=TINY.perceive, start=None):
    checkpoints.mkdir(exist_ok=True)
    patients = ["SIM-0001", "SIM-0002"]
    return perceive_module.train_perceiver(
        lambda: gather([(trial, PREPARED, patients)]), checkpoints, CPU, config, 5, progress, start
    ).state_dict()


def test_first_network_goes_on_from_its_checkpoint(trial, tmp_path):
    whole = first_network(trial, tmp_path / "whole")
    with pytest.raises(InterruptedError):
        first_network(trial, tmp_path / "stopped", power_cut())
    says = []
    resumed = first_network(trial, tmp_path / "stopped", says.append)
    assert [words.split(":")[0] for words in says] == ["perceive 2/3", "perceive 3/3"]
    for name, tensor in whole.items():
        assert torch.equal(tensor, resumed[name]), name


def test_checkpoint_of_other_steps_or_of_an_older_network_is_refused(trial, tmp_path):
    first_network(trial, tmp_path / "done")
    more = replace(TINY.perceive, steps=30)
    with pytest.raises(InputRejected, match="of 3 steps lies there; 30 are asked for"):
        first_network(trial, tmp_path / "done", config=more)
    kept = torch.load(tmp_path / "done" / "perceive.pt", weights_only=True)
    assert set(kept) == {"steps", "losses", "net"}  # nothing to go on with
    del kept["steps"]
    torch.save(kept, tmp_path / "done" / "perceive.pt")
    with pytest.raises(InputRejected, match="of an older kind"):
        first_network(trial, tmp_path / "done")


@pytest.mark.parametrize("broken", [0, 1])
def test_numbers_that_are_none_stop_the_training_before_they_are_kept(
    trial, tmp_path, monkeypatch, broken
):
    loss, taken = perceive_module._loss, []

    def breaks(*arguments):
        taken.append(loss(*arguments))
        if len(taken) == 2:
            # A loss without end; or one that is a number, and whose slope is none.
            taken[-1] = taken[-1] * torch.inf if broken == 0 else taken[-1] + _steep(taken[-1])
        return taken[-1]

    monkeypatch.setattr(perceive_module, "_loss", breaks)
    with pytest.raises(FloatingPointError):
        first_network(trial, tmp_path / "first")
    kept = torch.load(tmp_path / "first" / "perceive.pt", weights_only=True)
    assert len(kept["losses"]) == 1


def _steep(loss):
    """0, with a slope without end."""
    return torch.sqrt(loss - loss.detach())


def power_cut():
    """`progress` is called before the checkpoint is written: let one pass, stop at the next."""
    calls = []

    def progress(words):
        calls.append(words)
        if len(calls) == 2:
            raise InterruptedError

    return progress


def test_first_network_may_begin_with_another(trial, tmp_path):
    begun = Perceiver()
    learns_nothing = replace(TINY.perceive, steps=1, learning_rate=0.0)
    same = first_network(trial, tmp_path / "same", config=learns_nothing, start=begun)
    other = first_network(trial, tmp_path / "other", config=learns_nothing)
    for name, tensor in begun.state_dict().items():
        assert torch.equal(tensor, same[name]), name
    assert not torch.equal(begun.fine.conv_block.weight, other["fine.conv_block.weight"])


def test_part_that_reads_the_liver_stays_as_it_is_while_the_rest_goes_on_learning(trial, tmp_path):
    begun = Perceiver(reads_liver=True)
    learnt = first_network(trial, tmp_path / "learnt", start=begun)
    changed = {n for n, t in begun.state_dict().items() if not torch.equal(t, learnt[n])}
    assert not any(name.startswith("liver.") for name in changed)
    assert {"stem.0.conv.weight", "coarse.weight"} <= changed


def test_checkpoint_of_a_network_that_reads_no_liver_is_refused(trial, tmp_path):
    for first, then in ((None, Perceiver(reads_liver=True)), (Perceiver(reads_liver=True), None)):
        folder = tmp_path / f"{then is None}"
        first_network(trial, folder, start=first)
        with pytest.raises(InputRejected, match="another network"):
            first_network(trial, folder, start=then)


def test_what_was_measured_with_the_reader_before_is_not_inherited(trial, trained, tmp_path):
    others = write_livers(trial, tmp_path / "trial")
    shutil.rmtree(others / RESCANS)
    config = replace(TINY, read_liver=ReadLiverConfig(steps=10, batch=1))
    card = train_tiny(others, tmp_path / "learnt", config, perceiver_from=trained[1])
    assert set(card.interval_parts) == {"calibration", "unseen"}
    shutil.rmtree(others / LIVERS)
    card = train_tiny(others, tmp_path / "kept", config, perceiver_from=trained[1])
    assert set(card.interval_parts) == {"calibration", "unseen", "rescan"}


def write_livers(trial, folder):
    """A copy of the trial in which there is one liver to learn from."""
    shutil.copytree(trial, folder)
    (folder / LIVERS).mkdir()
    rng = np.random.default_rng(4)
    ball = np.zeros((32, 40, 40), np.uint8)
    ball[12:20, 14:24, 14:24] = 255
    visits = [{"image": rng.integers(180, 200, ball.shape).astype(np.uint8), "liver_tumour": ball}]
    write_prepared(folder / LIVERS / "LIVER-0001.npz", visits)
    return folder


def test_training_may_continue_from_weights(trial, trained, tmp_path, monkeypatch):
    card, out = trained
    learns_nothing = replace(TINY.perceive, steps=1, learning_rate=0.0)
    config = replace(TINY, perceive=learns_nothing)
    assert (
        train_tiny(trial, tmp_path, config, continue_from=out).checksums[PERCEIVER]
        == (card.checksums[PERCEIVER])
    )


def test_liver_is_learnt_where_the_trial_has_livers_and_kept_where_not(trial, trained, tmp_path):
    out, others = trained[1], write_livers(trial, tmp_path / "trial")
    config = replace(TINY, read_liver=ReadLiverConfig(steps=10, batch=1))
    train_tiny(others, tmp_path / "learnt", config, perceiver_from=out)
    train_tiny(trial, tmp_path / "kept", config, perceiver_from=out)
    before, learnt, kept = (
        load_file(folder / PERCEIVER) for folder in (out, tmp_path / "learnt", tmp_path / "kept")
    )
    assert set(kept) == set(before)  # nobody taught it to read livers
    read = {name for name in learnt if name.startswith("liver.")}
    assert set(learnt) - read == set(before)
    assert all(torch.equal(before[name], learnt[name]) for name in before)
    loaded = load_ensemble(tmp_path / "learnt", "cpu").perceiver
    checkpoint = torch.load(tmp_path / "learnt/checkpoints/read_liver.pt", weights_only=True)
    assert {f"liver.{name}" for name in checkpoint["net"]} == read
    stored = checkpoint["net"]["out.weight"].to(torch.bfloat16)
    assert torch.equal(loaded.liver.out.weight.bfloat16(), stored)
    # The second networks learnt from what the stored reader sees.
    with np.load(tmp_path / "learnt/checkpoints/seen.npz") as seen:
        assert str(seen["weights"]) == train_module._fingerprint(loaded)
    # Once learnt it is passed on.
    train_tiny(trial, tmp_path / "passed", config, perceiver_from=tmp_path / "learnt")
    passed = load_file(tmp_path / "passed" / PERCEIVER)
    assert all(torch.equal(learnt[name], passed[name]) for name in learnt)


def test_finished_training_starts_no_step_again(trial, trained, monkeypatch, tmp_path):
    card, out = trained
    shutil.copytree(out / "checkpoints", tmp_path / "checkpoints")

    def forbidden(*arguments):
        raise AssertionError("Nothing is left to do.")

    monkeypatch.setattr(train_module, "gather", forbidden)
    monkeypatch.setattr(perceive_module, "as_sample", forbidden)
    monkeypatch.setattr(train_module, "_see_pair", forbidden)
    assert train_tiny(trial, tmp_path).checksums == card.checksums


# --- What the first network sees ----------------------------------------------------------------


@pytest.fixture
def looked(monkeypatch):
    """The patients whose scans are looked at, and in which folder."""
    see_pair, seen = train_module._see_pair, []

    def see(trial, patient, perceiver, device, scans):
        seen.append((scans, patient))
        return see_pair(trial, patient, perceiver, device, scans)

    monkeypatch.setattr(train_module, "_see_pair", see)
    return seen


def test_looking_goes_on_where_it_stopped(trial, trained, looked, monkeypatch, tmp_path):
    monkeypatch.setattr(train_module, "SAVE_EVERY", 2)
    perceiver = load_ensemble(trained[1], "cpu").perceiver
    table, kept = read_trial(trial).iloc[:5], tmp_path / "seen.npz"
    with pytest.raises(InterruptedError):
        see_trial(trial, table, perceiver, CPU, kept, power_cut())  # after two of four
    looked.clear()
    seen = see_trial(trial, table, perceiver, CPU, kept, print)
    assert looked == [("prepared", f"SIM-000{n}") for n in (3, 4, 5)]
    whole = see_trial(trial, table, perceiver, CPU, tmp_path / "other.npz", print)
    for part, same in zip(seen, whole, strict=True):
        assert torch.equal(part, same)


def test_pairs_come_in_the_order_of_the_table(trial, trained, tmp_path):
    perceiver = load_ensemble(trained[1], "cpu").perceiver
    table, kept = read_trial(trial).iloc[:3], tmp_path / "seen.npz"
    seen = see_trial(trial, table, perceiver, CPU, kept, print)
    turned = see_trial(trial, table.iloc[[2, 0]], perceiver, CPU, kept, print)
    assert torch.equal(turned.embeddings, seen.embeddings[[2, 0]])
    assert not torch.equal(seen.embeddings[0], seen.embeddings[2])


def test_other_first_network_is_shown_the_scans_again(trial, trained, looked, tmp_path):
    other = load_ensemble(trained[1], "cpu").perceiver
    table, kept = read_trial(trial).iloc[:2], tmp_path / "seen.npz"
    see_trial(trial, table, other, CPU, kept, print)
    see_trial(trial, table, other, CPU, kept, print)
    assert len(looked) == 2
    with torch.no_grad():
        next(other.parameters()).add_(1e-3)
    see_trial(trial, table, other, CPU, kept, print)
    assert len(looked) == 4
    other.liver = LiverReader().eval()
    see_trial(trial, table, other, CPU, kept, print)
    assert len(looked) == 6
    with torch.no_grad():
        other.liver.out.weight.add_(1e-3)
    see_trial(trial, table, other, CPU, kept, print)
    assert len(looked) == 8


def test_second_scans_are_looked_at_in_their_own_folder(trial, trained, looked, tmp_path):
    _, out = trained
    train_tiny(trial, tmp_path, perceiver_from=out)
    folders = [scans for scans, _ in looked]
    assert folders.count(RESCANS) == RESCANNED
    assert folders.count("prepared") == TRAINED


def test_trial_is_predicted_as_single_pairs_are(trial, trained, tmp_path):
    ensemble = load_ensemble(trained[1], "cpu")
    table = read_trial(trial).iloc[:4]
    predictions = predict_trial(trial, table, ensemble, kept=tmp_path / "seen.npz", progress=print)
    assert len(predictions) == 4
    arrays = load_prepared(trial, "SIM-0002", "image", "lungs")
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
    assert predictions[1].members == pytest.approx(alone.members, abs=1e-6)
    assert predictions[1].ood_percentile == pytest.approx(alone.ood_percentile, abs=1e-3)
    assert predictions[1].biomarkers["lung_volume"] == alone.biomarkers["lung_volume"]
    assert predictions[0].biomarkers["lung_volume"] != alone.biomarkers["lung_volume"]


# --- A cohort of one's own ----------------------------------------------------------------------


def test_real_cohort_trains_the_second_network_alone(real_cohort, trained, monkeypatch, tmp_path):
    card, out = trained
    monkeypatch.setattr(train_module, "train_perceiver", None)  # would be no function to call
    own = train_tiny(real_cohort, tmp_path, perceiver_from=out)
    assert own.checksums[PERCEIVER] == card.checksums[PERCEIVER]
    assert own.checksums[FORESEERS] != card.checksums[FORESEERS]
    # Where nothing was scanned twice and no truth is known, these two parts are taken over.
    assert set(own.interval_parts) == {"calibration", "rescan", "unseen"}
    for part in ("rescan", "unseen"):
        assert own.interval_parts[part] == card.interval_parts[part]
    assert own.interval_parts["calibration"] != card.interval_parts["calibration"]


def test_first_network_cannot_learn_without_outlines(real_cohort, tmp_path):
    with pytest.raises(InputRejected, match="outlined tumours, and these scans have none"):
        train_tiny(real_cohort, tmp_path)


def test_too_few_patients_are_not_trained_on(real_cohort, trained, tmp_path):
    table = pd.read_csv(real_cohort / "patients.csv").iloc[:30]  # 17 of them to train on
    table.to_csv(tmp_path / "patients.csv", index=False)
    with pytest.raises(InputRejected, match=r"17 patients .* 20 are the least"):
        train_tiny(tmp_path, tmp_path / "out", perceiver_from=trained[1])


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


def test_cases_hold_the_true_curve_at_every_edge(trial):
    assert list(EDGES_MONTHS) == list(SHOWN_AT)
    table = read_trial(trial)
    cases = as_cases(table, torch.zeros(len(table), len(INPUTS)))
    assert cases.truth.shape == (N_PATIENTS, 9)
    assert (cases.truth.diff(dim=1) < 0).all()
    column = table["true_survival_12m_scan"].to_numpy(np.float32)
    np.testing.assert_array_equal(cases.truth[:, TWELVE].numpy(), column)
    np.testing.assert_array_equal(cases.days.numpy(), table["interval_days"])
    assert set(cases.event.tolist()) == {0.0, 1.0}
    without = table.drop(columns="true_survival_9m_scan")
    assert as_cases(without, cases.inputs).truth is None


# --- Samples of the first network ---------------------------------------------------------------


WHOLE = replace(TINY.perceive, crop_share=0.0, mirrored_share=0.0, resized_share=0.0)


def drawn(material, seed, config=WHOLE):
    rng = np.random.default_rng(seed)
    return as_sample(draw(material, rng), config, rng)


def of_one_patient(folder, visits):
    (folder / "prepared").mkdir()
    write_prepared(folder / "prepared" / "ONE.npz", visits)
    return Material([Scan(folder, "prepared", "ONE", 1)], np.array([1.0]))


def test_sample_is_a_whole_scan_with_its_truth(tmp_path):
    visits = tiny_scans(4)
    visits[1]["halo"][4, 6, 8] = 51  # a fifth of one voxel: 1/40 of eight
    sample = drawn(of_one_patient(tmp_path, visits), 2)
    assert sample.image.shape == sample.fine.shape == sample.learn.shape == (1, 1, *GRID)
    assert sample.coarse.shape == sample.learn_coarse.shape == (1, 8, 20, 16, 20)
    np.testing.assert_array_equal(sample.fine[0, 0].numpy(), visits[1]["tumour"] / 255)
    assert (sample.learn == 1).all()
    assert (sample.learn_coarse == 1).all()
    halo = sample.coarse[0, STRUCTURES[1:].index("halo")]
    assert float(halo[2, 3, 4]) == pytest.approx(1 / 40)
    assert int((halo > 0).sum()) == 1
    # Lung is about 0.1 of the window, tumour 0.75: the truth lies on the tumour.
    tumour = sample.fine == 1
    assert sample.image[tumour].median() > 0.6 > 0.3 > sample.image[0, 0, 4:12, 6:16, 20:26].mean()


def test_part_of_a_chest_has_air_around_and_no_tumour_there(tmp_path):
    visits = tiny_scans(4)
    visits[1]["image"][:] = np.maximum(visits[1]["image"], 30)  # no air of its own
    visits[1]["tumour"][:] = 255
    material = of_one_patient(tmp_path, visits)
    config = replace(WHOLE, crop_share=1.0)
    kept = [drawn(material, seed, config).fine[0, 0].numpy() for seed in range(30)]
    for share in kept:
        ends = [(axis.min(), axis.max() + 1) for axis in np.nonzero(share)]
        box = tuple(slice(*end) for end in ends)
        assert (share[box] == 1).all()
        assert share.sum() == share[box].size
        assert all(0.39 * n <= high - low for (low, high), n in zip(ends, GRID, strict=True))
    sizes = np.array([share.mean() for share in kept])
    assert 0.2 < sizes.mean() < 0.7
    for seed in range(8):
        sample = drawn(material, seed, config)
        outside = sample.image[sample.fine == 0]
        assert outside.numel() == 0 or outside.median() < 0.09  # air, but for the grain
        assert (sample.learn == 1).all()


def test_structure_that_is_not_known_is_not_learnt(tmp_path):
    visits = [{k: v for k, v in visit.items() if k != "muscle"} for visit in tiny_scans(4)]
    sample = drawn(of_one_patient(tmp_path, visits), 2)
    known = sample.learn_coarse.amax(dim=(0, 2, 3, 4)).bool().tolist()
    assert known == [name != "muscle" for name in STRUCTURES[1:]]


def test_tumour_of_a_real_chest_is_not_learnt(tmp_path):
    visits = tiny_scans(4)
    for visit in visits:
        visit["ignore"] = np.zeros(GRID, np.uint8)
        visit["ignore"][5, 7:9, 10:13] = 1
    sample = drawn(of_one_patient(tmp_path, visits), 2)
    assert int((sample.learn == 0).sum()) == 6
    # Rows 7 and 8 and columns 10 to 12 of slice 5: a quarter of a block's eight voxels at most.
    where = sample.learn_coarse[0, 3]
    assert float(where[2, 3, 5]) == pytest.approx(1 - 2 / 8)
    assert float(where[2, 4, 6]) == pytest.approx(1 - 1 / 8)
    assert int((where < 1).sum()) == 4


def test_background_teaches_what_is_painted_and_nothing_where_it_is_ill(tmp_path):
    lungs, ignore = np.zeros((40, 48, 56), bool), np.zeros((40, 48, 56), bool)
    lungs[6:34, 8:40, 6:24] = True
    lungs[8:34, 10:38, 32:52] = True
    ignore[:, :, :20] = True
    background = Background(np.where(lungs, -850, 30).astype(np.float32), lungs, ignore, (3.0,) * 3)
    scans, names = paint_scans([background], tmp_path, 4, 1, print)
    material = gather([(tmp_path, scans, names)])
    assert [scan[1:] for scan in material.scans] == [(scans, name, 0) for name in names]
    samples = [drawn(material, seed) for seed in range(4)]
    assert sum(float(s.fine.sum()) for s in samples) > 20
    for sample in samples:
        assert 0.2 < float(sample.learn.mean()) < 0.95
        known = sample.learn_coarse.amax(dim=(0, 2, 3, 4)).bool().tolist()
        unknown = ("fibrosis", "atelectasis", "muscle")
        assert known == [name not in unknown for name in STRUCTURES[1:]]
    images = [load_prepared(tmp_path, name, "image", scans=scans)["image"] for name in names]
    assert len({image.tobytes() for image in images}) == 4  # each is another


def test_painted_scans_are_kept_for_the_same_chests_and_for_no_others(tmp_path, monkeypatch):
    lungs = np.zeros((24, 24, 32), bool)
    lungs[4:20, 4:20, 4:14] = lungs[4:20, 4:20, 18:28] = True
    hu = np.where(lungs, -850, 30).astype(np.float32)
    first = Background(hu, lungs, ~lungs, (3.0,) * 3)
    scans, names = paint_scans([first], tmp_path, 3, 1, print)
    assert names == ["00000", "00001", "00002"]
    monkeypatch.setattr(painted_module, "ProcessPoolExecutor", None)  # would be no pool to open
    assert paint_scans([first], tmp_path, 2, 1, print) == (scans, names[:2])
    monkeypatch.undo()
    others = [([replace(first, hu=hu + 1)], 1), ([first], 2), ([first, first], 1)]
    assert len({scans, *(paint_scans(b, tmp_path, 1, seed, print)[0] for b, seed in others)}) == 4


def test_painted_chests_are_a_share_of_what_is_drawn():
    def of(*names):
        return [Scan(Path("none"), "prepared", name, 0) for name in names]

    simulated, painted = (
        Material(of("a", "b"), np.array([0.25, 0.75])),
        Material(of("p"), np.array([1.0])),
    )
    both = mixed(simulated, painted, 0.2)
    assert both.scans == of("a", "b", "p")
    np.testing.assert_allclose(both.weights, [0.2, 0.6, 0.2])
    assert mixed(simulated, Material([], np.zeros(0)), 0.2) is simulated


def test_rare_structures_are_drawn_more_often(tmp_path, monkeypatch):
    shown = {"effusion": 1.5, "bone_tumour": 4.0, "halo": 6.0}
    monkeypatch.setattr(perceive_module, "SHOWN_MORE", shown)
    monkeypatch.setattr(perceive_module, "LARGE_ML", 100 * 0.027)  # 100 voxels
    monkeypatch.setattr(perceive_module, "LARGE_SHOWN_MORE", 2.5)
    monkeypatch.setattr(perceive_module, "SMALL_ML", 13 * 0.027)  # these have 36 and more
    monkeypatch.setattr(perceive_module, "SMALL_SHOWN_MORE", 3.0)
    visits = tiny_scans(1)  # no fluid
    visits[1]["bone_tumour"][3, 3, 3] = 255  # at the follow-up only
    of_one_patient(tmp_path, visits)
    write_prepared(tmp_path / "prepared" / "TWO.npz", tiny_scans(4))  # fluid at both visits
    visits = tiny_scans(4)
    visits[0]["halo"][5, 5, 5] = 9  # the rarer of what is there counts
    write_prepared(tmp_path / "prepared" / "THREE.npz", visits)
    visits = tiny_scans(1)
    for visit, voxels in zip(visits, (101, 100), strict=True):  # only the first is large
        visit["tumour"][:] = 0
        visit["tumour"].flat[:voxels] = 255
    write_prepared(tmp_path / "prepared" / "FOUR.npz", visits)
    visits = tiny_scans(1)
    for visit, voxels in zip(visits, (12, 0), strict=True):  # small, and none
        visit["tumour"][:] = 0
        visit["tumour"].flat[:voxels] = 255
    write_prepared(tmp_path / "prepared" / "FIVE.npz", visits)
    patients = ["ONE", "TWO", "THREE", "FOUR", "FIVE"]
    material = gather([(tmp_path, PREPARED, patients)])
    assert material.scans == [
        Scan(tmp_path, PREPARED, patient, visit) for patient in patients for visit in (0, 1)
    ]
    # 1 + 4 + 1.5 + 1.5 + 6 + 1.5 + 2.5 + 1 + 3 + 1 = 23
    weights = np.array([1, 4, 1.5, 1.5, 6, 1.5, 2.5, 1, 3, 1]) / 23
    np.testing.assert_allclose(material.weights, weights)


def test_samples_depend_on_their_seed_alone(trial):
    material = gather([(trial, PREPARED, ["SIM-0001", "SIM-0002"])])
    assert torch.equal(drawn(material, [1, 4]).image, drawn(material, [1, 4]).image)
    assert not torch.equal(drawn(material, [1, 4]).image, drawn(material, [1, 5]).image)
    assert not torch.equal(drawn(material, [1, 4]).image, drawn(material, [2, 4]).image)


def one_bright_box():
    """Off the middle along every axis, so that every mirroring shows."""
    image = torch.zeros(32, 40, 48)
    image[4:10, 8:18, 6:20] = 1.0
    return torch.stack([image, image])


def test_mirrored_patient_has_left_and_right_exchanged_and_nothing_else():
    config = replace(TINY.perceive, mirrored_share=1.0, resized_share=0.0)
    values = one_bright_box()
    found = perceive_module._varied(values, config, np.random.default_rng(0))
    assert torch.equal(found, values.flip(3))


def test_resized_patient_keeps_the_tumour_where_it_is_in_the_image(monkeypatch):
    monkeypatch.setattr(perceive_module, "TILTED_DEGREES", 0.0)
    config = replace(TINY.perceive, mirrored_share=0.0, resized_share=1.0)
    scales = []
    for seed in range(12):
        image, share = perceive_module._varied(
            one_bright_box(), config, np.random.default_rng(seed)
        )
        assert image.shape == (32, 40, 48)
        assert torch.equal(image, share)
        profile = [image.sum(dim=[a for a in range(3) if a != axis]) for axis in range(3)]
        # 6 x 10 x 14 voxels, each axis larger or smaller on its own, about the middle.
        sides = np.array([float(p.sum() / p.max()) for p in profile])
        scale = sides / (6, 10, 14)
        assert ((scale > 0.85) & (scale < 1.15)).all()
        centre = np.array(ndimage.center_of_mass(image.numpy()))
        middle = np.array([15.5, 19.5, 23.5])
        expected = (np.array([6.5, 12.5, 12.5]) - middle) * scale + middle
        np.testing.assert_allclose(centre, expected, atol=0.15)
        scales.append(scale)
    assert np.std(scales, axis=0).min() > 0.04


def test_tilted_patient_is_turned_and_not_bent(monkeypatch):
    monkeypatch.setattr(perceive_module, "TILTED_DEGREES", 20.0)
    monkeypatch.setattr(perceive_module, "RESIZED", (1.0, 1.0))
    config = replace(TINY.perceive, mirrored_share=0.0, resized_share=1.0)
    z, y, x = torch.meshgrid(*(torch.arange(float(n)) for n in (40, 56, 48)), indexing="ij")
    rod = (((z - 22) / 4) ** 2 + ((y - 27) / 18) ** 2 + ((x - 25) / 6) ** 2 < 1).float()
    turned = []
    for seed in range(8):
        found = perceive_module._varied(rod[None], config, np.random.default_rng(seed))[0]
        assert float(found.sum()) == pytest.approx(float(rod.sum()), rel=0.02)
        spread, axes = np.linalg.eigh(np.cov(np.argwhere(found.numpy() > 0.5).T))
        np.testing.assert_allclose(np.sqrt(5 * spread), (4, 6, 18), rtol=0.08)
        turned.append(np.degrees(np.arccos(abs(axes[1, 2]))))
    assert 2 < max(turned) < 40
    assert np.std(turned) > 1


def test_thick_slices_smear_along_the_patient_and_nowhere_else():
    image = torch.zeros(1, 20, 12, 12)
    image[:, 10, 5, 7] = 1.0

    def share_along(config):
        """Of what left the slice and of what left the row, over many drawings."""
        slices, rows = 0.0, 0.0
        for seed in range(40):
            found = perceive_module._disturb(image, config, np.random.default_rng(seed))
            slices += float((found[0, :10, 5, 7]).max() - found[0, 2, 2, 2])
            rows += float((found[0, 10, :5, 7]).max() - found[0, 2, 2, 2])
        return slices, rows

    thick, thin = (share_along(PerceiveConfig(thick_share=share)) for share in (1.0, 0.0))
    assert thick[0] > 2 * thick[1]
    assert thin[0] < 1.5 * thin[1]


def test_thick_or_blurred_slices_are_no_darker_at_the_ends_of_a_scan():
    config, image = PerceiveConfig(thick_share=1.0), torch.full((1, 8, 30, 30), 0.7)
    for seed in range(12):
        found = perceive_module._disturb(image, config, np.random.default_rng(seed))
        means = [float(part.mean()) for part in (found[:, 0], found[:, -1], found[..., 0], found)]
        assert means == pytest.approx([means[-1]] * 4, abs=0.01)  # the noise of 240 voxels


# --- The loss of the first network --------------------------------------------------------------


def a_map(*values):
    """One structure in eight voxels."""
    return torch.tensor(values, dtype=torch.float32).reshape(1, 1, 2, 2, 2)


ALL = torch.ones(1, 1, 2, 2, 2)


FIVE = torch.tensor([5.0])  # voxels in which the entropy is counted


def test_loss_of_a_map_by_hand():
    # Logits 0: a probability of 1/2 everywhere, log 2 in each of eight voxels.
    # Dice: 1 - (2 * 3/2 + 1) / (3 + 8/2 + 1) = 1/2.
    truth = a_map(1, 1, 1, 0, 0, 0, 0, 0)
    loss = map_loss(torch.zeros_like(truth), truth, ALL, FIVE)
    assert float(loss) == pytest.approx(8 * np.log(2) / 5 + 0.5, rel=1e-5)
    # Two voxels count four times and three times.
    weight = a_map(4, 1, 1, 1, 1, 1, 1, 3)
    loss = map_loss(torch.zeros_like(truth), truth, ALL, FIVE, weight)
    assert float(loss) == pytest.approx(13 * np.log(2) / 5 + 0.5, rel=1e-5)


def test_absent_structure_is_judged_by_its_entropy_alone():
    loss = map_loss(torch.zeros_like(ALL), 0 * ALL, ALL, FIVE)
    assert float(loss) == pytest.approx(8 * np.log(2) / 5, rel=1e-5)
    # Of two scans the mean, and the Dice of those that have one.
    truth = torch.cat([0 * ALL, a_map(1, 1, 1, 0, 0, 0, 0, 0)])
    loss = map_loss(torch.zeros_like(truth), truth, torch.cat([ALL, ALL]), FIVE)
    assert float(loss) == pytest.approx(8 * np.log(2) / 5 + 0.5, rel=1e-5)
    # Beside a present one that is usually larger, and the Dice of the present one alone.
    truth = torch.cat([0 * ALL, a_map(1, 1, 1, 0, 0, 0, 0, 0)], dim=1)
    learn = torch.cat([ALL, ALL], dim=1)
    loss = map_loss(torch.zeros_like(truth), truth, learn, torch.tensor([5.0, 20.0]))
    assert float(loss) == pytest.approx(4 * np.log(2) * (1 / 5 + 1 / 20) + 0.5, rel=1e-5)


def test_what_must_not_be_learnt_has_no_say():
    learn = a_map(1, 1, 1, 1, 1, 0, 0, 0)
    logits = torch.linspace(-2, 3, 8).reshape(1, 1, 2, 2, 2).requires_grad_()
    seen, hidden = a_map(1, 0, 0, 1, 0, 0, 0, 0), a_map(1, 0, 0, 1, 0, 1, 1, 0)
    losses = [map_loss(logits, truth, learn, FIVE) for truth in (seen, hidden)]
    assert losses[0].item() == losses[1].item()
    losses[1].backward()
    assert (logits.grad[learn == 0] == 0).all()
    assert (logits.grad[learn == 1] != 0).all()


def test_kind_is_asked_only_where_there_is_tumour():
    # Two voxels of tumour, a whole one of this kind and half a voxel of another. Probability 1/4.
    tumour = a_map(1, 0.5, 0, 0, 0, 0, 0, 0)
    truth = a_map(1, 0, 0, 0, 0, 0, 0, 0)
    logits = torch.full_like(tumour, -np.log(3)).requires_grad_()
    loss = kind_loss(logits, truth, tumour)
    usual = USUAL_ML["tumour"] / (8 * 0.027)  # coarse voxels
    by_hand = -(np.log(1 / 4) + 0.5 * np.log(3 / 4)) / usual
    assert loss.item() == pytest.approx(by_hand, rel=1e-5)
    loss.backward()
    assert (logits.grad.ravel()[2:] == 0).all()
    assert logits.grad.ravel()[0] < 0 < logits.grad.ravel()[1]  # more of it; less of it


def test_kind_of_a_voxel_is_its_share_of_the_tumour_there():
    # A fifth of the voxel is tumour and all of it of this kind: the answer is 1, not a fifth.
    tumour = a_map(0.2, 0, 0, 0, 0, 0, 0, 0)
    sure, unsure = (kind_loss(x * ALL, tumour, tumour) for x in (9.0, -1.386))
    assert float(sure) < 1e-6 < float(unsure)


def test_tumour_in_liver_and_bone_counts_more():
    fine, coarse = torch.zeros(1, 1, 4, 4, 8), torch.zeros(1, 8, 2, 2, 4)
    tumour, nothing = torch.zeros_like(fine), torch.zeros_like(coarse)
    tumour[..., :2], tumour[..., 4:6] = 1, 1
    learn, learn_none = torch.ones_like(fine), torch.zeros_like(coarse)
    losses = {}
    for kind in ("liver_tumour", "bone_tumour", "cored_tumour"):
        truth = nothing.clone()
        truth[:, STRUCTURES[1:].index(kind), ..., :1] = 1  # of the first of the two tumours
        sample = Sample(fine, tumour, learn, truth, learn_none)
        losses[kind] = float(perceive_loss(fine, coarse, sample))
    # 32 voxels more often by 3, of log 2 each.
    more = 3 * 32 * np.log(2) / (USUAL_ML["tumour"] / 0.027)
    assert losses["liver_tumour"] == pytest.approx(losses["cored_tumour"] + more, rel=1e-5)
    assert losses["bone_tumour"] == losses["liver_tumour"]


def test_every_map_has_its_loss_and_unknown_kinds_none():
    fine, coarse = torch.zeros(1, 1, 4, 4, 8), torch.full((1, 8, 2, 2, 4), -12.0)
    tumour = torch.zeros(1, 1, 4, 4, 8)
    tumour[..., :2] = 1

    def loss(name, known=1.0):
        logits, learn = coarse.clone(), torch.ones_like(coarse)
        at = STRUCTURES[1:].index(name)
        logits[:, at], learn[:, at] = 3.0, known
        sample = Sample(fine, tumour, torch.ones_like(fine), torch.zeros_like(coarse), learn)
        return float(perceive_loss(fine, logits, sample))

    flat = loss("halo", known=0.0)
    for name in ("effusion", "halo", "fibrosis", "atelectasis", "muscle"):
        assert loss(name) > flat
        assert loss(name, known=0.0) == pytest.approx(flat, abs=1e-4)
    kinds = [loss(name) for name in ("liver_tumour", "bone_tumour", "cored_tumour")]
    assert min(kinds) > loss("liver_tumour", known=0.0)


# --- The second network learns ------------------------------------------------------------------

HARM, HELP, NEW = (INPUTS.index(n) for n in ("mean tumour_ml", "mean muscle_cm2", "new tumour"))
CONFIG = ForeseeConfig(members=2, epochs=40)


def curves_of(log_hazard):
    """(N,) → (N, 9): a constant hazard of 0.04 a month at 0."""
    edges = np.array(EDGES_MONTHS)
    return np.exp(-0.04 * np.exp(log_hazard)[:, None] * edges).astype(np.float32)


def cases(n=400, seed=0, known=False, hidden=0.0, slopes=((HARM, 0.7),)):
    """Some inputs move the log hazard, the others are noise.

    Args:
        known: Give the true curve, too.
        hidden: SD of what moves the hazard and is no input.
    """
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(n, len(INPUTS))).astype(np.float32)
    log_hazard = sum(slope * inputs[:, k] for k, slope in slopes) + hidden * rng.normal(size=n)
    death = rng.exponential(1 / (0.04 * np.exp(log_hazard)))
    censored = rng.uniform(9, 36, n)
    tensor = torch.from_numpy
    return Cases(
        tensor(inputs),
        torch.full((n,), 84.0),
        tensor(np.minimum(death, censored).astype(np.float32)),
        tensor((death <= censored).astype(np.float32)),
        tensor(curves_of(log_hazard)) if known else None,
    )


def seen_of(patients):
    rng = torch.Generator().manual_seed(1)
    n = len(patients)
    return SeenPair(
        patients.inputs,
        torch.rand(n, 2, len(MEASURES), generator=rng),
        torch.randn(n, 2, EMBEDDED, generator=rng),
    )


def foreseen(patients, rescans=None, inherited=None, config=CONFIG):
    return train_foreseers(patients, [seen_of(patients)], rescans, config, 1, inherited)


@pytest.fixture(scope="module")
def foresight():
    return foreseen(cases())


def twelve_month_survival(foresight, patients):
    curves = calibrate(mean_curve(foresight.members, patients), foresight.calibration)
    return curves[:, TWELVE].numpy()


def ladder(index, *values):
    """Patients who differ in one input."""
    inputs = torch.zeros(len(values), len(INPUTS))
    inputs[:, index] = torch.tensor(values)
    return Cases(inputs, *(torch.full((len(values),), x) for x in (84.0, 10.0, 1.0)))


def test_who_has_the_higher_hazard_is_predicted_to_die_sooner(foresight):
    most, some, least = twelve_month_survival(foresight, ladder(HARM, -1.5, 0.0, 1.5))
    assert most > some + 0.05 > least + 0.1


def test_what_helps_is_learnt_but_new_tumour_is_never_taken_for_it():
    patients = cases(slopes=((HELP, -0.7), (NEW, -0.7)))  # as chance may have it in a few
    found = foreseen(patients)
    less, more = twelve_month_survival(found, ladder(HELP, -1.5, 1.5))
    assert more > less + 0.1
    less, more = twelve_month_survival(found, ladder(NEW, -1.5, 1.5))
    assert more <= less + 1e-6


def test_known_curve_is_learnt_from_in_place_of_one_drawn_life():
    patients = cases(known=True)
    logits = torch.randn(len(patients), 9, generator=torch.Generator().manual_seed(2))
    assert torch.equal(patients.loss(logits), expected_hazard_loss(logits, patients.truth))
    real = replace(patients, truth=None)
    drawn_life = logistic_hazard_loss(logits, patients.months, patients.event)
    assert torch.equal(real.loss(logits), drawn_life)
    misled = replace(patients, months=torch.ones(400), event=torch.ones(400))
    true = patients.truth[:, TWELVE].numpy()
    assert np.corrcoef(twelve_month_survival(foreseen(misled), patients), true)[0, 1] > 0.9


def test_some_of_the_cases_are_cases_with_all_they_have():
    patients, some = cases(known=True), torch.tensor([7, 2])
    found = patients[some]
    assert len(found) == 2
    assert torch.equal(found.truth, patients.truth[some])
    assert torch.equal(found.inputs, patients.inputs[some])
    assert cases()[some].truth is None


def test_cut_off_leaves_two_in_five_below_it_and_the_typical_one_half(foresight):
    predicted = twelve_month_survival(foresight, cases())
    assert (predicted < foresight.cut_off).mean() == pytest.approx(0.4, abs=0.01)
    assert (predicted < foresight.typical_survival).mean() == pytest.approx(0.5, abs=0.01)


def test_training_pairs_are_spread_over_their_percentiles(foresight):
    seen = seen_of(cases())
    distance = foresight.usual.distance(seen.measures, seen.embeddings)
    assert foresight.ood_distances[0] == pytest.approx(distance.min(), rel=1e-5)
    assert (distance < foresight.ood_distances[90]).mean() == pytest.approx(0.9, abs=0.01)


def test_calibrated_survival_is_what_happens():
    # Others than those it was trained on, of whom 400 tell how to calibrate: 0.025 of chance.
    held = cases(n=2000, seed=7)
    alive = twelve_month_survival(foreseen(cases(n=2000, seed=3)), held)
    at_risk = (held.months >= 12) | (held.event == 1)
    lived = (held.months >= 12).float()[at_risk].mean()
    assert alive.mean() == pytest.approx(float(lived), abs=0.07)


def test_calibration_finds_how_far_curves_are_off():
    patients = cases(known=True)
    wanted = {"intercept": -0.4, "slope": 1.6}
    off = replace(patients, truth=calibrate(patients.truth, wanted))
    found = fit_calibration(patients.truth, off)
    assert found == {k: pytest.approx(v, abs=0.02) for k, v in wanted.items()}
    found = fit_calibration(patients.truth, patients)
    assert found == {"intercept": pytest.approx(0, abs=0.02), "slope": pytest.approx(1, abs=0.02)}


def test_second_network_repeats_itself(foresight):
    again = foreseen(cases())
    assert again.calibration == foresight.calibration
    assert again.interval_parts == foresight.interval_parts
    for one, other in zip(again.members, foresight.members, strict=True):
        assert torch.equal(one.rises, other.rises)
    assert not torch.equal(again.members[0].rises, again.members[1].rises)


# --- The interval ---------------------------------------------------------------------------------

AS_IT_IS = {"intercept": 0.0, "slope": 1.0}


def open_book(shift=0.0):
    """A member in whose first input the logit of 12-month survival is written."""

    def net(inputs, days):
        logits = torch.full((len(inputs), len(EDGES_MONTHS)), -30.0)
        logits[:, 0] = -inputs[:, 0] - shift
        return logits

    return net


def written(*logits):
    return ladder(0, *logits)


def test_noise_of_a_second_scan_by_hand():
    first, again = written(0.1, -0.4, 1.0), written(0.3, -0.1, 0.4)
    # Differences -0.2, -0.3, 0.6: their mean square is 0.49 / 3, half of it each scan's own.
    noise = _rescan_noise([open_book()], AS_IT_IS, (first, again))
    assert noise == pytest.approx(1.645 * np.sqrt(0.49 / 6), rel=1e-3)


def test_what_the_networks_miss_by_hand():
    # Eleven patients off by 0, 0.1, … 1.0. For the next one nine times of ten it takes the 11th of
    # them: 0.9 * (11 + 1) = 10.8. The members are 0.2 above and below: 1.645 * 0.2 √2 = 0.4653;
    # 0.3 is known already.
    predicted = torch.linspace(-0.5, 0.6, 11)
    held = written(*predicted)
    truth = torch.full((11, 9), 0.5)
    truth[:, TWELVE] = torch.sigmoid(predicted + torch.arange(11) / 10)
    members = [open_book(0.2), open_book(-0.2)]
    found = _unseen(members, replace(held, truth=truth), AS_IT_IS, 0.3)
    assert found == pytest.approx(np.sqrt(1.0**2 - 0.4653**2 - 0.3**2), rel=1e-3)
    assert _unseen(members, replace(held, truth=truth), AS_IT_IS, 2.0) == 0


@pytest.fixture(scope="module")
def half_blind():
    """Trained where half of what moves the hazard is hidden, with everybody scanned twice."""
    patients = cases(n=3000, known=True, hidden=0.5)
    rng = torch.Generator().manual_seed(8)
    noisy = patients.inputs + 0.2 * torch.randn(patients.inputs.shape, generator=rng)
    return foreseen(patients, (patients, replace(patients, inputs=noisy)))


def ensemble_of(foresight, card):
    card = replace(card, interval_parts=foresight.interval_parts, members=2,
                   calibration=foresight.calibration)  # fmt: skip
    return Ensemble(card, Perceiver(), foresight.members, foresight.usual, CPU)


def test_nine_of_ten_unknown_patients_have_their_truth_in_the_interval(half_blind, trained):
    ensemble = ensemble_of(half_blind, read_card(trained[1]))
    others = cases(n=1500, seed=9, known=True, hidden=0.5)
    seen, inside = seen_of(others), 0
    for k in range(len(others)):
        curve = ensemble.foresee(seen.of(slice(k, k + 1)), 84).curve
        at = curve.months.index(12.0)
        inside += curve.lower[at] <= float(others.truth[k, TWELVE]) <= curve.upper[at]
    assert inside / len(others) == pytest.approx(0.9, abs=0.04)


def test_what_is_hidden_widens_the_interval(half_blind):
    open_eyed = foreseen(cases(n=1500, known=True))
    assert half_blind.interval_parts["unseen"] > 2 * open_eyed.interval_parts["unseen"]
    # A deviation of 0.5 of the log hazard is about 0.7 on the logit scale; 1.645 of them.
    assert 0.7 < half_blind.interval_parts["unseen"] < 1.8
    assert half_blind.interval_parts["rescan"] > 0.1
    assert "rescan" not in open_eyed.interval_parts


def test_parts_that_cannot_be_measured_are_taken_from_elsewhere(foresight):
    elsewhere = {"calibration": 9.0, "rescan": 0.21, "unseen": 0.53}
    found = foreseen(cases(), inherited=elsewhere).interval_parts
    assert found == elsewhere | foresight.interval_parts
    assert set(foresight.interval_parts) == {"calibration"}
    assert found["calibration"] < 1


def test_parts_that_can_be_measured_are_not():
    patients = cases(known=True)
    found = foreseen(patients, (patients, patients), {"rescan": 7.0, "unseen": 8.0})
    assert found.interval_parts["rescan"] == 0  # twice the same scan
    assert found.interval_parts["unseen"] < 1


def test_inherited_noise_of_a_scan_is_not_counted_twice():
    # Where the truth is known the interval as a whole is as wide as it takes, no wider.
    patients = cases(known=True, hidden=0.6)
    alone = foreseen(patients).interval_parts
    heir = foreseen(patients, inherited={"rescan": 0.3, "unseen": 9.0, "calibration": 9.0})
    assert heir.interval_parts["rescan"] == 0.3
    assert heir.interval_parts["calibration"] == alone["calibration"]
    whole = [np.hypot(*(p.get(k, 0) for k in ("rescan", "unseen")))
             for p in (alone, heir.interval_parts)]  # fmt: skip
    assert whole[1] == pytest.approx(whole[0], abs=0.02)


def test_more_pairs_can_be_usual(foresight):
    patients, other = cases(), seen_of(cases(n=30, seed=5))
    strange = other._replace(embeddings=other.embeddings + 12.0)
    found = train_foreseers(patients, [seen_of(patients), strange], None, CONFIG, 1)

    def percentile(of):
        distance = of.usual.distance(strange.measures, strange.embeddings)
        return np.interp(distance, of.ood_distances, np.arange(101)).mean()

    assert percentile(foresight) == 100
    assert percentile(found) < 99.5
    assert found.calibration == foresight.calibration  # nothing was learnt from them


def test_real_chests_with_painted_tumours_are_usual(monkeypatch):
    monkeypatch.setattr(train_module, "REAL_PAIRS", 3)
    lungs = np.zeros((48, 48, 56), bool)
    lungs[6:40, 8:40, 6:24] = lungs[8:40, 10:38, 32:52] = True
    hu = np.where(lungs, -850, 30).astype(np.float32)
    background = Background(hu, lungs, np.zeros_like(lungs), (3.0,) * 3)
    torch.manual_seed(1)
    net = Perceiver().eval()
    pairs = list(train_module._see_real_chests([background], net, CPU, 4))
    assert len(pairs) == 3
    assert not torch.equal(pairs[0].measures, pairs[1].measures)
    assert not torch.equal(pairs[0].measures[:, 0], pairs[0].measures[:, 1])  # another breath
    litres = pairs[0].measures[0, :, MEASURES.index("lung_ml")] / 1000
    np.testing.assert_allclose(litres.numpy(), lungs.sum() * 27e-6, rtol=0.35)
    again = list(train_module._see_real_chests([background], net, CPU, 4))
    assert torch.equal(pairs[2].measures, again[2].measures)
    assert list(train_module._see_real_chests([], net, CPU, 4)) == []
