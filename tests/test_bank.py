"""A trial on disk: tables, prepared scans with their truth, never two trials in one folder."""

from itertools import islice

import numpy as np
import pytest

from ctrs.box import cut_box
from ctrs.errors import InputRejected
from ctrs.liver import LIVER_BOX, liver_corner
from ctrs.trial import bank
from ctrs.trial.bank import RARE_STREAM, liver_patients, rare_patients, simulate_trial
from ctrs.trial.population.patients import simulate_patient, simulate_patients
from ctrs.trial.prepared import LIVERS, RARE, RESCANS, load_prepared, read_patients, scanned
from ctrs.types import STRUCTURES


def test_tables_alone_are_written_without_voxels(tmp_path):
    table = simulate_trial(tmp_path, 10, 3, voxels=False)
    assert not (tmp_path / "prepared").exists()
    # 1,171 : 605 : 300 of 2,076 is 5.6 : 2.9 : 1.4 of ten.
    assert table["split"].value_counts().to_dict() == {"train": 6, "test": 3, "external": 1}
    read = read_patients(tmp_path, ["patient", "split"])
    assert list(read["patient"]) == [f"SIM-{n:04d}" for n in range(1, 11)]
    assert set(read["ecog"]) <= {"0", "1", "2"}


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trial")
    simulate_trial(folder, 2, 8)
    return folder


def test_prepared_scans_of_a_patient_hold_the_truth_in_millilitres(trial):
    for patient in simulate_patients(2, 8):
        arrays = load_prepared(trial, patient.patient.patient)
        assert {k: v.shape for k, v in arrays.items()} == dict.fromkeys(
            ("image", "lungs", *STRUCTURES), (2, 104, 88, 120)
        )
        for visit in (0, 1):
            found = arrays["tumour"][visit].sum() / 255 * 0.027
            # What lies outside the model's box, below the lungs, is cut off.
            assert 0.9 * patient.tumour_ml(visit) < found + 0.1
            assert found < 1.03 * patient.tumour_ml(visit) + 0.1
            assert 1200 < arrays["lungs"][visit].sum() * 0.027 < 9000


def test_more_patients_are_added_and_those_there_are_kept(trial):
    before = (trial / "prepared" / "SIM-0002.npz").stat().st_mtime_ns
    simulate_trial(trial, 3, 8)
    assert (trial / "prepared" / "SIM-0003.npz").exists()
    assert (trial / "prepared" / "SIM-0002.npz").stat().st_mtime_ns == before


def test_chosen_arrays_are_read_if_they_are_known(trial):
    found = load_prepared(trial, "SIM-0001", "muscle", "ignore")
    assert set(found) == {"muscle"}  # no real chest: nothing to ignore
    for visit in (0, 1):
        assert 0.3 < found["muscle"][visit].sum() / 255 * 0.027 / 1000 < 6  # litres


def test_some_training_patients_are_scanned_again_on_the_same_days(trial):
    train = [p.patient.patient for p in simulate_patients(3, 8) if p.person.split == "train"]
    simulate_trial(trial, 3, 8, rescans=1)
    assert scanned(trial, RESCANS) == train[:1]
    name = train[0]
    first, again = load_prepared(trial, name), load_prepared(trial, name, scans=RESCANS)
    assert set(again) == set(first)
    for visit in (0, 1):
        # The same tumours, lain down anew: neither the image nor their place is the same.
        ml = [maps["tumour"][visit].sum() / 255 * 0.027 for maps in (first, again)]
        assert ml[1] == pytest.approx(ml[0], rel=0.1, abs=0.1)
        assert (first["tumour"][visit] != again["tumour"][visit]).any()
        difference = np.abs(first["image"][visit].astype(int) - again["image"][visit])
        assert difference.mean() > 2
        litres = [maps["lungs"][visit].sum() * 27e-6 for maps in (first, again)]
        assert litres[1] == pytest.approx(litres[0], rel=0.3)


def test_nobody_but_training_patients_is_scanned_again(tmp_path, monkeypatch):
    asked = {}

    def note(folder, patients, *how):
        asked[folder.name] = [patient.patient.patient for _, patient in patients]

    monkeypatch.setattr(bank, "_render_all", note)
    table = simulate_trial(tmp_path, 12, 8, rescans=4)
    train = list(table["patient"][table["split"] == "train"])
    assert train[:4] != list(table["patient"][:4])
    assert asked == {
        "prepared": list(table["patient"]), RESCANS: train[:4], RARE: [], LIVERS: []
    }  # fmt: skip


def test_rare_patients_are_others_than_the_trials_and_all_have_something_rare(
    tmp_path, monkeypatch
):
    asked = {}

    def note(folder, patients, *how):
        asked[folder.name] = [patient for _, patient in patients]

    monkeypatch.setattr(bank, "_render_all", note)
    table = simulate_trial(tmp_path, 30, 8, rare=40)
    assert len(asked[RARE]) == 40
    swollen = [p.disease.pseudoprogression for p in asked[RARE]]
    blocked = [any(any(lesion.collapse) for lesion in p.lesions) for p in asked[RARE]]
    assert 5 < sum(swollen) < 35
    assert all(a or b for a, b in zip(swollen, blocked, strict=True))
    assert {p.person.split for p in asked[RARE]} == {"train"}  # at no site that is kept unseen
    for seed in (8, 9):
        trial = {p.seed for p in simulate_patients(400, seed)}
        assert not {p.seed for p in asked[RARE]} & trial
    assert not {p.patient.patient for p in asked[RARE]} & set(table["patient"])
    swollen_only = list(islice(rare_patients(8, collapse=False), 5))
    assert all(p.disease.pseudoprogression for p in swollen_only)
    first = [p.seed for p in asked[RARE]]
    simulate_trial(tmp_path, 30, 8, rare=50)
    assert [p.seed for p in asked[RARE]][:40] == first


def test_livers_are_of_other_patients_and_half_of_them_hold_tumours():
    patients = list(islice(liver_patients(8), 120))
    ill = [any(lesion.kind == "liver" for lesion in p.lesions) for p in patients]
    assert 0.3 < np.mean(ill) < 0.7
    assert {p.person.split for p in patients} == {"train"}
    others = {
        p.seed for p in [*simulate_patients(400, 8), *islice(rare_patients(8, collapse=True), 40)]
    }
    assert not {p.seed for p in patients} & others


def test_livers_are_boxes_that_lie_as_in_a_whole_scan():
    patient = next(p for p in liver_patients(8) if 5 < _liver_ml(p)[1] < 50)
    rendered = bank._liver_arrays(0, patient, 1)
    assert {k: v.shape for k, v in rendered.items()} == dict.fromkeys(
        ("image", "liver_tumour"), LIVER_BOX
    )
    whole = bank._arrays(None, 0, patient, 1)
    corner = liver_corner(whole["lungs"] > 0)
    cut = {name: cut_box(whole[name], corner, LIVER_BOX, 0) for name in rendered}
    ml = [arrays["liver_tumour"].sum() / 255 * 0.027 for arrays in (rendered, cut)]
    assert ml == pytest.approx([_liver_ml(patient)[1]] * 2, rel=0.1)
    # The noise is another, and the lungs' base may be found a few voxels away.
    middles = [np.argwhere(a["liver_tumour"] > 100).mean(axis=0) for a in (rendered, cut)]
    assert np.abs(middles[0] - middles[1]).max() < 5


def test_livers_are_rendered_beside_the_trial(tmp_path):
    simulate_trial(tmp_path, 1, 8, livers=1)
    (name,) = scanned(tmp_path, LIVERS)
    assert name.startswith("LIVER-")
    assert set(load_prepared(tmp_path, name, scans=LIVERS)) == {"image", "liver_tumour"}


def _liver_ml(patient):
    found = [lesion for lesion in patient.lesions if lesion.kind == "liver"]
    return [sum(lesion.volume_ml(visit) for lesion in found) for visit in (0, 1)]


def test_no_rare_patient_is_the_trials_own_of_that_number(monkeypatch):
    # 0 and 31 make the same stream as 0, 31 and 0: the rare ones must begin after that.
    own = simulate_patients(RARE_STREAM + 1, 0)[RARE_STREAM]
    assert simulate_patient([0, RARE_STREAM], "RARE", 0).seed == own.seed
    drawn = []

    def note(*which):
        drawn.append(simulate_patient(*which))
        return drawn[-1]

    monkeypatch.setattr(bank, "simulate_patient", note)
    next(rare_patients(0, collapse=True))
    assert own.seed not in [patient.seed for patient in drawn]


def test_second_scans_that_are_there_are_kept(trial):
    (name,) = scanned(trial, RESCANS)
    before = (trial / RESCANS / f"{name}.npz").stat().st_mtime_ns
    simulate_trial(trial, 3, 8, rescans=1)
    assert (trial / RESCANS / f"{name}.npz").stat().st_mtime_ns == before
    assert scanned(trial, RESCANS) == [name]


def test_nobody_is_scanned_again_unless_asked(tmp_path):
    simulate_trial(tmp_path, 3, 8, voxels=False, rescans=2)
    assert scanned(tmp_path, RESCANS) == []


def test_scans_of_another_seed_are_not_mixed_in(trial):
    table = (trial / "patients.csv").read_text()
    with pytest.raises(InputRejected, match="another trial"):
        simulate_trial(trial, 2, 9)
    assert (trial / "patients.csv").read_text() == table


def test_tables_alone_do_not_replace_those_of_another_trial(trial):
    table = (trial / "patients.csv").read_text()
    with pytest.raises(InputRejected, match="another trial"):
        simulate_trial(trial, 2, 9, voxels=False)
    assert (trial / "patients.csv").read_text() == table


def test_real_patients_are_never_overwritten(tmp_path):
    (tmp_path / "patients.csv").write_text("patient\nreal\n")
    with pytest.raises(InputRejected, match="no simulation made"):
        simulate_trial(tmp_path, 2, 9, voxels=False)
    assert "real" in (tmp_path / "patients.csv").read_text()


def test_backgrounds_must_be_there_before_anything_is_written(tmp_path):
    (tmp_path / "none").mkdir()
    with pytest.raises(InputRejected, match="no scan"):
        simulate_trial(tmp_path / "trial", 1, 8, backgrounds=tmp_path / "none")
    assert not (tmp_path / "trial").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "no table"),
        ("patient,months,event\nA,,True\n", "1 of 1 rows the months"),
        ("patient,months,event\nA,-5,True\nB,3,False\n", "1 of 2 rows the months"),
        ("patient,months,event\nA,soon,True\n", "1 of 1 rows the months"),
        ("patient,months,event\nA,4,dead\n", "other values than True and False"),
    ],
)
def test_table_that_cannot_be_meant_is_refused_in_words(tmp_path, content, words):
    (tmp_path / "patients.csv").write_text(content)
    with pytest.raises(InputRejected, match=words):
        read_patients(tmp_path, ["patient"])


def test_deaths_may_be_written_as_one_and_zero(tmp_path):
    (tmp_path / "patients.csv").write_text("patient,months,event\nA,4,1\nB,7,0\n")
    assert list(read_patients(tmp_path, ["event"])["event"]) == [True, False]


def test_damaged_note_is_refused(tmp_path):
    (tmp_path / "trial.json").write_text("{")
    with pytest.raises(InputRejected, match="damaged"):
        simulate_trial(tmp_path, 2, 9, voxels=False)


def test_table_without_a_column_says_which(tmp_path):
    (tmp_path / "patients.csv").write_text("patient,months\nA,3\n")
    with pytest.raises(InputRejected, match="lacks the columns event, split"):
        read_patients(tmp_path, ["patient", "split", "event"])
    with pytest.raises(InputRejected, match=r"no patients\.csv"):
        read_patients(tmp_path / "elsewhere", [])


def test_images_are_not_all_alike(trial):
    images = load_prepared(trial, "SIM-0001", "image")["image"]
    assert np.abs(images[0].astype(int) - images[1]).mean() > 2
