"""The demo: a cohort that survives its file, and six patients scored like any upload."""

import json
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest

from ctrs import cli, places
from ctrs.assess import Workshop
from ctrs.config import Config, IntakeConfig, ZoneConfig
from ctrs.demo import scans as scans_module
from ctrs.demo.board import build_demo, demo_is_built
from ctrs.demo.cohort import DEMO_COHORT, load_cohort, read_cohort, score_from_json, write_cohort
from ctrs.demo.scans import CASES, DEMO_BOARD, demo_patient, demo_protocol, write_demo_scan
from ctrs.errors import MissingSlices
from ctrs.ingest import read_scan
from ctrs.score import judge
from ctrs.store import Store
from ctrs.trial.population.patients import simulate_patients, trial_table
from ctrs.types import Zone
from tests.scoring_fixtures import FixedModel, forbidden, prediction, write_weights

N = 7
SHIPPED = places.demo_cohort()


@pytest.fixture(scope="module")
def patients():
    return simulate_patients(N, 21)


@pytest.fixture(scope="module")
def cohort(patients, tmp_path_factory):
    file = tmp_path_factory.mktemp("cohort") / "demo" / "cohort.csv"
    table = trial_table(patients).set_index("patient")
    answers = [prediction(survival_12m=0.56 + n / 49) for n in range(N - 1)]
    answers.append(prediction(members=(0.1, 0.9)))  # not assessable
    assert write_cohort(file, table, answers, FixedModel()) == N
    return file


# --- The cohort -------------------------------------------------------------------------------


def test_cohort_comes_back_from_its_file(cohort, patients):
    rows = read_cohort(cohort)
    assert len(rows) == N
    for (patient, pair, score, response, outcome), truth in zip(rows, patients, strict=True):
        assert patient == replace(truth.patient, cohort=DEMO_COHORT)
        assert pair.patient == patient.patient
        assert pair.interval_days == truth.interval_days
        assert response.recist is truth.response.recist
        assert response.new_lesions == truth.response.new_lesions
        assert response.volume_change == pytest.approx(truth.response.volume_change)
        assert outcome == truth.outcome
        assert score.model_version == "fixed-1"


def test_scores_keep_four_digits_and_their_zone(cohort):
    scores = [score for _, _, score, _, _ in read_cohort(cohort)]
    assert scores[1].survival_12m == round(0.56 + 1 / 49, 4) == 0.5804
    assert scores[1].curve.survival[2] == 0.5804
    assert scores[1].interval_90 == (0.55, 0.70)
    assert [score.zone for score in scores] == [Zone.GREEN] * (N - 1) + [Zone.RED]
    assert scores[-1].survival_12m is None
    assert scores[-1].curve is None


def test_an_interval_is_called_wide_where_few_of_the_shipped_cohort_have_one():
    """Weights that are sure of more, or of less, need another limit."""
    scores = [score for _, _, score, _, _ in read_cohort(SHIPPED) if score.interval_90]
    widths = [high - low for low, high in (score.interval_90 for score in scores)]
    limit = Config().zone.amber_interval_width
    many, few = np.quantile(widths, [0.95, 0.98])
    assert many < limit < few + 0.03, "choose ZoneConfig.amber_interval_width anew"
    wide = [score for score, width in zip(scores, widths, strict=True) if width > limit + 1e-4]
    assert all(score.zone is Zone.AMBER for score in wide), "the cohort was judged by another limit"


def test_pairs_have_keys_of_their_own(cohort):
    pairs = [pair for _, pair, *_ in read_cohort(cohort)]
    keys = {key for p in pairs for key in (p.pair_key, p.baseline_sha256, p.follow_up_sha256)}
    assert len(keys) == 3 * N


def test_cohort_in_the_store_counts_as_one_of_patients(cohort, patients):
    with Store() as store:
        assert load_cohort(store, cohort) == N
        load_cohort(store, cohort)  # a second time changes nothing
        table = store.cohort_table(DEMO_COHORT, "fixed-1")
        assert list(table["patient"]) == [p.patient.patient for p in patients[: N - 1]]
        months = [p.outcome.months for p in patients[: N - 1]]
        np.testing.assert_allclose(table["months"], months)
        assert store.cohort_counts(DEMO_COHORT, "fixed-1").red == 1


def test_score_survives_json():
    for answer in (prediction(), prediction(members=(0.1, 0.9)), prediction(ood_percentile=99)):
        score = judge(answer, [], FixedModel(), ZoneConfig())
        assert score_from_json(json.dumps(asdict(score))) == score


# --- The cases --------------------------------------------------------------------------------


def test_cases_are_simulated_patients_under_their_own_name():
    assert len({case.name for case in CASES}) == len(CASES) == 6
    for case in CASES:
        patient = demo_patient(case)
        assert patient.patient.patient == case.name
        assert patient.patient.cohort == DEMO_BOARD
        assert patient.patient.note == case.note
        assert patient == demo_patient(case)


def test_story_of_each_case_is_that_of_its_patient():
    truth = {case.name: demo_patient(case) for case in CASES}
    assert truth["DEMO-1"].response.recist == "SD"
    assert truth["DEMO-1"].lesions[0].texture == "necrotic"
    assert truth["DEMO-1"].disease.effusion_ml[0] > 0
    assert truth["DEMO-1"].anatomy.emphysema > 0.05
    assert truth["DEMO-2"].lesions[0].halo > 0
    assert truth["DEMO-2"].tumour_ml(1) > 1.2 * truth["DEMO-2"].tumour_ml(0)
    assert truth["DEMO-3"].response.recist == "PR"
    assert truth["DEMO-4"].response.recist == "SD"
    assert 0.5 < truth["DEMO-4"].tumour_ml(1) / truth["DEMO-4"].tumour_ml(0) < 0.6


@pytest.mark.parametrize("made", range(13))
def test_processes_share_the_scans_even_if_one_starts_late(tmp_path, made):
    jobs = [(case, visit) for case in CASES for visit in (0, 1)]
    first = scans_module._missing(tmp_path, 0, 2)
    for case, visit in jobs[:made]:
        mark = scans_module._mark(tmp_path, case, visit)
        mark.parent.mkdir(exist_ok=True)
        mark.touch()
    late = scans_module._missing(tmp_path, 1, 2)
    assert not [job for job in late if job in first]
    done = jobs[:made]
    assert all(job in first or job in late or job in done for job in jobs)


# --- The board --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """The twelve scans, made once as on first start: about 20 s."""
    folder = tmp_path_factory.mktemp("scans")
    heard = []
    scans_module.write_demo_scans(folder, lambda share, words: heard.append((share, words)))
    assert len(heard) == 12
    assert heard[-1] == (1.0, "Making demo scans, 12 of 12")
    return folder


def workshop(store, model=FixedModel):
    return Workshop(config=Config(), model_version="fixed-1", model=model, store=store)


@pytest.fixture(scope="module")
def built(scans, cohort):
    with Store() as store:
        shares = []
        build_demo(workshop(store), cohort, scans, lambda share, words: shares.append(share))
        yield store, shares


@pytest.mark.slow
def test_board_has_a_row_for_every_case(built):
    store, shares = built
    board = store.worklist(DEMO_BOARD).set_index("patient")
    assert list(board.index) == [case.name for case in CASES]
    assert list(board["note"]) == [case.note for case in CASES]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)


@pytest.mark.slow
def test_board_holds_four_scores_one_refusal_and_one_red(built):
    board = built[0].worklist(DEMO_BOARD).set_index("patient")
    whole = board.loc[["DEMO-1", "DEMO-2", "DEMO-3", "DEMO-4"]]
    assert set(whole["zone"]) <= {"green", "amber"}
    assert (whole["survival_12m"] == 0.62).all()
    assert "gaps" in board.loc["DEMO-5", "refusal_what"]
    assert board.loc["DEMO-5", "refusal_what"].startswith("Follow-up CT: ")
    assert board.loc["DEMO-5", "zone"] is None
    assert board.loc["DEMO-6", "zone"] == "red"
    assert "inside the lungs at the bottom" in board.loc["DEMO-6", "reasons"][0]
    assert pd.isna(board.loc["DEMO-6", "survival_12m"])


@pytest.mark.slow
def test_board_knows_what_conventional_reading_says(built):
    board = built[0].worklist(DEMO_BOARD).set_index("patient")
    for case in CASES:
        if case.name != "DEMO-5":
            truth = demo_patient(case)
            assert board.loc[case.name, "recist"] == truth.response.recist
            assert board.loc[case.name, "interval_days"] == truth.interval_days


@pytest.mark.slow
def test_demo_that_is_there_is_not_made_again(built, tmp_path):
    store, _ = built
    assert demo_is_built(store, "fixed-1")
    assert not demo_is_built(store, "fixed-2")
    silent = workshop(store, forbidden)
    build_demo(silent, tmp_path / "none.csv", tmp_path / "none", forbidden)
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
def test_scans_that_are_there_are_not_made_again(scans):
    before = {file: file.stat().st_mtime_ns for file in scans.rglob("*.dcm")}
    scans_module.write_demo_scans(scans, forbidden)
    assert {file: file.stat().st_mtime_ns for file in scans.rglob("*.dcm")} == before


@pytest.mark.slow
def test_demo_command_builds_what_the_app_shows(scans, cohort, tmp_path, monkeypatch, capsys):
    card = write_weights(tmp_path / "weights")
    monkeypatch.setenv("CTRS_STORE", str(tmp_path / "ctrs.duckdb"))
    monkeypatch.setenv("CTRS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CTRS_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("CTRS_DEMO_SCANS", str(scans))
    monkeypatch.setattr(places, "demo_cohort", lambda: cohort)
    model = FixedModel(version=card.version)
    monkeypatch.setattr("ctrs.model.ensemble.load_ensemble", lambda folder, device: model)
    with Store(tmp_path / "ctrs.duckdb") as store:
        store.save_refusal("OLD", "was here", "Go.")
    assert cli.main(["demo", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["store"] == str(tmp_path / "ctrs.duckdb")
    assert "Scoring demo patient 6 of 6" in err
    with Store(tmp_path / "ctrs.duckdb") as store:
        assert demo_is_built(store, card.version)
        assert "OLD" in set(store.worklist()["patient"])


# --- One scan ---------------------------------------------------------------------------------


def test_lost_slices_are_lost_from_the_follow_up_only(tmp_path, monkeypatch):
    coarse = replace(demo_protocol(1), spacing=(4.0, 6.0, 6.0))
    monkeypatch.setattr(scans_module, "demo_protocol", lambda visit: coarse)
    for visit in (0, 1):
        write_demo_scan(tmp_path, CASES[4], visit)
    _, whole = read_scan(tmp_path / "DEMO-5" / "baseline", IntakeConfig())
    assert len(list((tmp_path / "DEMO-5" / "follow_up").iterdir())) == len(whole.hu) - 3
    with pytest.raises(MissingSlices):
        read_scan(tmp_path / "DEMO-5" / "follow_up", IntakeConfig())


def test_scan_that_ends_early_keeps_its_upper_part_in_place(tmp_path, monkeypatch):
    coarse = replace(demo_protocol(1), spacing=(4.0, 6.0, 6.0))
    monkeypatch.setattr(scans_module, "demo_protocol", lambda visit: coarse)
    write_demo_scan(tmp_path, CASES[5], 1)
    write_demo_scan(tmp_path / "whole", replace(CASES[5], kept_share=1.0), 1)
    _, part = read_scan(tmp_path / "DEMO-6" / "follow_up", IntakeConfig())
    _, whole = read_scan(tmp_path / "whole" / "DEMO-6" / "follow_up", IntakeConfig())
    n = len(part.hu)
    assert n / len(whole.hu) == pytest.approx(0.55, abs=0.01)
    np.testing.assert_array_equal(part.hu, whole.hu[-n:])
    x, y, z = whole.origin
    assert part.origin == pytest.approx((x, y, z + (len(whole.hu) - n) * 4.0), abs=1e-3)
