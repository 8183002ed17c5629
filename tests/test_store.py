"""DuckDB: what goes in comes out, once, whole, and says nothing of who it is about."""

import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from ctrs.errors import NotInStore, StoreUnusable
from ctrs.measurement import Measurement
from ctrs.store import CohortCounts, ImportedCounts, ScanFacts, Store, StoredPair
from ctrs.store.database import MIGRATIONS, connect, migrate
from ctrs.types import (
    Biomarker,
    Finding,
    Outcome,
    Patient,
    PredictedCurve,
    Recist,
    Response,
    ResponseScore,
    RiskGroup,
    ScanPair,
    SeriesHeader,
    Volume,
    Zone,
)

ROOT = Path(__file__).parents[1]

GREEN = ResponseScore(
    zone=Zone.GREEN,
    reasons=(),
    survival_12m=0.1 + 0.2,  # 0.30000000000000004: every bit must come back
    interval_90=(0.25, 1 / 3),
    curve=PredictedCurve(
        months=(0.0, 6.0, 12.0),
        survival=(1.0, 0.7, 0.1 + 0.2),
        lower=(1.0, 0.6, 0.25),
        upper=(1.0, 0.8, 1 / 3),
    ),
    risk_group=RiskGroup.HIGH,
    members=(0.28, 0.31, 5e-324),
    cut_off=0.52,
    ood_percentile=61.5,
    biomarkers={
        "tumour_volume": Biomarker(31.5, 12.25, "ml"),
        "lung_volume": Biomarker(4100.0, 4230.5, "ml"),
    },
    model_version="v1",
    device="cpu",
)
AMBER = replace(
    GREEN, zone=Zone.AMBER, reasons=("The patient's slices are 6.0 mm apart.", 'A "quote", Ä; --')
)
RED = replace(
    GREEN,
    zone=Zone.RED,
    reasons=("The networks disagree.",),
    survival_12m=None,
    interval_90=None,
    curve=None,
    risk_group=None,
    members=(),
    ood_percentile=None,
    biomarkers={},
)
RESPONSE = Response(Recist.PR, 83.5, 41.25, 0, -0.625)
ANNA = Patient(
    patient="P-ANNA",
    cohort="demo",
    age=67,
    sex="F",
    histology="adenocarcinoma",
    pd_l1=">=50%",
    ecog="1",
    line="first",
    regimen="pembrolizumab",
    site="A",
    note="Pseudoprogression",
)


@pytest.fixture
def store():
    with Store() as fresh:
        yield fresh


def add(store, patient="P-ANNA", pair_key="k1", score=None, outcome=None, cohort="demo"):
    """A patient with one pair, whose scans are named after the pair."""
    store.save_patient(Patient(patient=patient, cohort=cohort))
    store.save_pair(pair_key, patient, f"{pair_key}-b", f"{pair_key}-f", 84, ())
    if score:
        store.save_score(pair_key, score, {})
    if outcome:
        store.save_outcome(patient, outcome)


def dump(path):
    """Every value of every table, as text."""
    with duckdb.connect(str(path), read_only=True) as db:
        tables = [name for (name,) in db.execute("SHOW TABLES").fetchall()]
        return "\n".join(f"{t} {db.execute(f'SELECT * FROM {t}').fetchall()}" for t in tables)


# --- What goes in comes out -------------------------------------------------------------------


@pytest.mark.parametrize("score", [GREEN, AMBER, RED], ids=lambda score: str(score.zone))
def test_a_score_comes_back_equal_after_reopening(tmp_path, score):
    with Store(tmp_path / "ctrs.duckdb") as store:
        add(store, score=score)
    with Store(tmp_path / "ctrs.duckdb") as store:
        found = store.find_score("k1", "v1")
    assert found == score
    assert repr(found) == repr(score)  # -0.0, int for float, str for an enum would show here


def test_numbers_of_numpy_are_stored_as_numbers(store):
    add(store, score=replace(GREEN, members=tuple(np.float32([0.25, 0.5]))))
    assert store.find_score("k1", "v1").members == (0.25, 0.5)


def test_only_the_pair_and_model_asked_for_are_found(store):
    add(store, score=GREEN)
    assert store.find_score("k1", "v2") is None
    assert store.find_score("k2", "v1") is None


def test_scoring_again_replaces_whole(store):
    add(store, score=GREEN)
    store.save_score("k1", RED, {})
    assert store.find_score("k1", "v1") == RED
    assert len(store.worklist()) == 1


def test_a_score_knows_how_it_came_about(store):
    before = datetime.now(UTC).replace(tzinfo=None)
    add(store)
    store.save_score("k1", GREEN, {"read": 1.5, "infer": 0.25})
    found = store.provenance("k1", "v1")
    assert (found.device, found.seconds) == ("cpu", {"read": 1.5, "infer": 0.25})
    assert before <= found.scored_at <= before + timedelta(seconds=60)
    assert store.provenance("k1", "v2") is None


def test_a_patient_comes_back_and_is_replaced(store):
    store.save_patient(ANNA)
    assert store.patient("P-ANNA") == ANNA
    store.save_patient(replace(ANNA, age=None, note=""))
    assert store.patient("P-ANNA") == replace(ANNA, age=None, note="")
    assert store.patient("P-NOBODY") is None


def test_cohorts_are_named_once_in_order(store):
    for patient, cohort in {"P-1": "upload", "P-2": "demo", "P-3": "upload"}.items():
        store.save_patient(Patient(patient=patient, cohort=cohort))
    assert store.cohorts() == ["demo", "upload"]


def test_the_facts_of_a_scan_come_back(store):
    facts = ScanFacts((40, 512, 500), (2.5, 0.703125, 0.71), "B70f", "Ultravist", "SIEMENS")
    store.save_scan("ab12", facts)
    store.save_scan("ab12", facts)
    assert store.scan("ab12") == facts
    assert store.scan("cd34") is None


def test_pairs_come_back_in_the_order_they_were_entered(store):
    findings = (Finding(Zone.AMBER, "120 days apart."), Finding(Zone.RED, "Ä 'quoted'"))
    store.save_patient(ANNA)
    store.save_pair("k9", "P-ANNA", "b", "f", 120, findings)
    store.save_pair("k1", "P-ANNA", "f", "g", None, [])
    assert store.pairs_of("P-ANNA") == [
        StoredPair("k9", "P-ANNA", "b", "f", 120, findings),
        StoredPair("k1", "P-ANNA", "f", "g", None, ()),
    ]
    assert store.pairs_of("P-NOBODY") == []


def test_a_reading_and_an_outcome_come_back(store):
    add(store)
    assert store.response("k1") is None
    assert store.outcome("P-ANNA") is None
    store.save_response("k1", RESPONSE)
    store.save_outcome("P-ANNA", Outcome(13.25, True))
    store.save_outcome("P-ANNA", Outcome(14.5, False))
    assert store.response("k1") == RESPONSE
    assert store.outcome("P-ANNA") == Outcome(14.5, False)


def test_a_pair_of_an_unknown_patient_makes_an_upload(store):
    store.save_pair("k1", "P-NEW", "b", "f", 84, ())
    store.save_patient(ANNA)
    store.save_pair("k2", "P-ANNA", "b", "g", 84, ())
    assert store.patient("P-NEW") == Patient(patient="P-NEW", cohort="upload")
    assert store.patient("P-ANNA") == ANNA


# --- What cannot be ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        replace(GREEN, survival_12m=1.01, interval_90=(0.9, 1.0)),
        replace(GREEN, survival_12m=-0.01, interval_90=(0.0, 0.1)),
        replace(GREEN, survival_12m=float("nan")),
        replace(GREEN, interval_90=(0.31, 0.4)),  # above 0.30
        replace(GREEN, interval_90=(0.1, 0.29)),  # below 0.30
        replace(GREEN, interval_90=(-0.1, 0.4)),
        replace(GREEN, interval_90=(0.1, 1.1)),
        replace(GREEN, interval_90=None),
        replace(GREEN, survival_12m=None, interval_90=None, risk_group=None),
        replace(GREEN, survival_12m=None),
        replace(GREEN, risk_group=None),
        replace(GREEN, risk_group="High"),
        replace(GREEN, zone="blue"),
        replace(RED, survival_12m=0.3, interval_90=(0.2, 0.4), risk_group=RiskGroup.HIGH),
        replace(RED, survival_12m=0.3),
        replace(RED, interval_90=(0.2, 0.4)),
        replace(RED, risk_group=RiskGroup.HIGH),
        replace(RED, curve=GREEN.curve),
    ],
)
def test_an_impossible_score_is_not_stored_and_the_old_one_stays(store, wrong):
    add(store, score=GREEN)
    with pytest.raises(duckdb.ConstraintException):
        store.save_score("k1", wrong, {})
    assert store.find_score("k1", "v1") == GREEN


@pytest.mark.parametrize("edge", [0.0, 1.0])
def test_certainty_is_possible(store, edge):
    add(store, score=replace(GREEN, survival_12m=edge, interval_90=(edge, edge)))
    assert store.find_score("k1", "v1").survival_12m == edge


@pytest.mark.parametrize(
    "wrong",
    [
        replace(RESPONSE, recist="XX"),
        replace(RESPONSE, sum_baseline_mm=-1.0),
        replace(RESPONSE, new_lesions=-1),
        replace(RESPONSE, volume_change=-1.01),
    ],
)
def test_an_impossible_reading_is_not_stored(store, wrong):
    add(store)
    with pytest.raises(duckdb.ConstraintException):
        store.save_response("k1", wrong)


@pytest.mark.parametrize("months", [-0.1, float("nan"), float("inf")])
def test_an_impossible_survival_time_is_not_stored(store, months):
    add(store)
    with pytest.raises(duckdb.ConstraintException):
        store.save_outcome("P-ANNA", Outcome(months, True))


def test_nothing_is_written_for_a_pair_or_patient_that_is_not_there(store):
    add(store)
    with pytest.raises(NotInStore, match=r"1 of 1 scores belong to a scan pair") as caught:
        store.save_score("k2", GREEN, {})
    assert "Load the scans again" in caught.value.next_step
    with pytest.raises(NotInStore, match="1 of 1 responses"):
        store.save_response("k2", RESPONSE)
    with pytest.raises(NotInStore, match="belong to a patient"):
        store.save_outcome("P-NOBODY", Outcome(1.0, True))


# --- The worklist -----------------------------------------------------------------------------

COLUMNS = [
    "patient",
    "pair_key",
    "cohort",
    "note",
    "interval_days",
    "zone",
    "reasons",
    "survival_12m",
    "lower",
    "upper",
    "risk_group",
    "recist",
    "volume_change",
    "sum_baseline_mm",
    "sum_follow_up_mm",
    "new_lesions",
    "scored_at",
    "refusal_what",
    "refusal_next_step",
    "model_version",
]


def test_an_empty_worklist_has_its_columns(store):
    table = store.worklist()
    assert list(table.columns) == COLUMNS
    assert len(table) == 0


def test_the_worklist_shows_pairs_scored_or_not_and_refusals(store):
    store.save_patient(ANNA)
    store.save_pair("k1", "P-ANNA", "b", "f", 84, ())
    store.save_score("k1", AMBER, {})
    store.save_response("k1", RESPONSE)
    store.save_pair("k2", "P-BERT", "c", "g", None, [Finding(Zone.AMBER, "No date.")])
    store.save_refusal("P-CLEO", "1 of 4 gaps differ.", "Export it again.")
    add(store, "P-DORA", "k4", RED)

    table = store.worklist()
    assert list(table.columns) == COLUMNS
    assert (table["interval_days"].dtype, table["new_lesions"].dtype) == ("Int64", "Int64")
    anna, bert, cleo, dora = table.to_dict("records")
    assert {name: anna[name] for name in COLUMNS if name != "scored_at"} == {
        "patient": "P-ANNA",
        "pair_key": "k1",
        "cohort": "demo",
        "note": "Pseudoprogression",
        "interval_days": 84,
        "zone": "amber",
        "reasons": list(AMBER.reasons),
        "survival_12m": AMBER.survival_12m,
        "lower": 0.25,
        "upper": 1 / 3,
        "risk_group": "High risk",
        "recist": "PR",
        "volume_change": -0.625,
        "sum_baseline_mm": 83.5,
        "sum_follow_up_mm": 41.25,
        "new_lesions": 0,
        "refusal_what": None,
        "refusal_next_step": None,
        "model_version": "v1",
    }
    assert abs(anna["scored_at"] - pd.Timestamp.now("UTC")) < pd.Timedelta(minutes=1)

    assert (bert["patient"], bert["cohort"], bert["zone"]) == ("P-BERT", "upload", None)
    assert pd.isna(bert["interval_days"])
    assert bert["reasons"] == ["No date."]
    assert np.isnan(bert["survival_12m"])

    assert (cleo["patient"], cleo["pair_key"], cleo["zone"]) == ("P-CLEO", None, None)
    assert (cleo["refusal_what"], cleo["reasons"]) == ("1 of 4 gaps differ.", [])
    assert (cleo["refusal_next_step"], cleo["scored_at"]) == ("Export it again.", pd.NaT)

    assert (dora["zone"], dora["reasons"]) == ("red", ["The networks disagree."])
    assert np.isnan(dora["survival_12m"])
    assert dora["risk_group"] is None


def test_the_worklist_can_be_of_one_cohort(store):
    add(store, "P-1", "k1", cohort="demo")
    add(store, "P-2", "k2", cohort="north")
    store.save_refusal("P-3", "what", "next")
    assert store.worklist("north")["patient"].tolist() == ["P-2"]
    assert store.worklist("upload")["patient"].tolist() == ["P-3"]
    assert len(store.worklist()) == 3
    assert len(store.worklist("nowhere")) == 0


def test_the_worklist_shows_the_latest_score_unless_a_model_is_named(store):
    add(store, score=replace(GREEN, model_version="v2", device="second"))
    store.save_score("k1", replace(AMBER, model_version="v1"), {})
    assert store.worklist()["zone"].tolist() == ["amber"]
    assert store.worklist(model_version="v2")["zone"].tolist() == ["green"]
    assert store.worklist(model_version="v3")["zone"].tolist() == [None]


def test_a_readable_pair_settles_the_refusal(store):
    store.save_refusal("P-1", "first", "next")
    store.save_refusal("P-1", "second", "next")
    store.save_refusal("P-2", "other", "next")
    assert store.worklist()["refusal_what"].tolist() == ["second", "other"]
    store.save_pair("k1", "P-1", "b", "f", 84, ())
    assert store.worklist()["refusal_what"].tolist() == [None, "other"]


def test_the_same_scans_can_be_of_a_demo_patient_and_of_an_upload(store):
    add(store, "P-DEMO", "k1", GREEN, cohort="demo")
    store.save_pair("k1", "P-UP", "k1-b", "k1-f", 84, ())
    table = store.worklist()
    assert table["patient"].tolist() == ["P-DEMO", "P-UP"]
    assert table["survival_12m"].tolist() == [GREEN.survival_12m] * 2


# --- Cohorts ----------------------------------------------------------------------------------


@pytest.fixture
def cohort(store):
    """Ten patients of the cohort "north" and one of another, each for a different reason."""
    low = replace(GREEN, survival_12m=0.7, interval_90=(0.6, 0.8), risk_group=RiskGroup.LOW)
    add(store, "P-01", "k01", GREEN, Outcome(5.5, True), "north")
    add(store, "P-02", "k02", low, Outcome(20.0, False), "north")
    add(store, "P-03", "k03", AMBER, Outcome(7.0, True), "north")
    add(store, "P-04", "k04", RED, Outcome(3.0, True), "north")
    add(store, "P-05", "k05", low, None, "north")  # nobody knows
    add(store, "P-06", "k06", AMBER, None, "north")
    add(store, "P-07", "k07", None, Outcome(9.0, True), "north")  # not scored yet
    add(store, "P-08", "k08", replace(GREEN, model_version="v0"), Outcome(9.5, True), "north")
    store.save_patient(Patient(patient="P-09", cohort="north"))
    store.save_refusal("P-09", "what", "next")
    add(store, "P-10", "k10", GREEN, Outcome(8.0, False), "north")
    store.save_pair("k11", "P-10", "k10-f", "k11-f", 84, ())  # a later pair, which is red
    store.save_score("k11", RED, {})
    store.save_refusal("P-10", "what", "next")  # has readable pairs all the same
    add(store, "P-99", "k99", GREEN, Outcome(1.0, True), "south")
    return store


def test_the_cohort_table_has_who_counts(cohort):
    table = cohort.cohort_table("north", "v1")
    assert table["patient"].tolist() == ["P-01", "P-02"]
    assert table["months"].tolist() == [5.5, 20.0]
    assert table["event"].tolist() == [True, False]
    assert table["event"].dtype == bool
    assert table["survival_12m"].tolist() == [GREEN.survival_12m, 0.7]
    assert table["risk_group"].tolist() == ["High risk", "Low risk"]
    assert table["zone"].tolist() == ["green", "green"]


def test_survival_is_predicted_to_the_months_that_the_curve_has(cohort):
    months = (0.0, 6.0, 12.0, 18.0)
    later = PredictedCurve(
        months, (1.0, 0.8, 0.6, 0.35), (1.0, 0.7, 0.5, 0.2), (1.0, 0.9, 0.7, 0.5)
    )
    cohort.save_score("k02", replace(GREEN, curve=later), {})
    cohort.save_score("k01", replace(GREEN, curve=replace(later, months=(0, 6, 12, 17))), {})
    cohort.save_score("k03", replace(AMBER, curve=None), {})
    cohort.save_score("k99", replace(GREEN, curve=later), {})  # of another cohort
    cohort.save_score("k08", replace(GREEN, curve=later, model_version="v0"), {})
    assert cohort.predicted_survival("north", "v1", 18)["P-02"] == 0.35
    assert set(cohort.predicted_survival("north", "v1", 18).index) & {
        "P-01", "P-03", "P-08", "P-10", "P-99"
    } == set()  # fmt: skip
    assert cohort.predicted_survival("north", "v1", 6)[["P-01", "P-02"]].tolist() == [0.8, 0.8]
    assert cohort.predicted_survival("north", "v1", 7.5).empty


def test_amber_counts_if_asked_for(cohort):
    table = cohort.cohort_table("north", "v1", include_amber=True)
    assert table["patient"].tolist() == ["P-01", "P-02", "P-03"]


def test_the_denominators_add_up(cohort):
    # Scored by v1: P-01 to P-06 and P-10, whose last pair is red.
    counts = cohort.cohort_counts("north", "v1")
    assert counts == CohortCounts(
        patients=10,
        refused=1,
        scored=7,
        green=3,
        amber=2,
        red=2,
        without_outcome=3,  # P-05, P-06, P-09
        analysed=2,
        analysed_with_amber=3,
    )
    assert cohort.cohort_counts("nowhere", "v1") == CohortCounts(0, 0, 0, 0, 0, 0, 0, 0, 0)


def test_the_cohort_table_brings_what_the_clinic_knows(store):
    store.save_patient(ANNA)
    store.save_pair("k1", "P-ANNA", "b", "f", 84, ())
    store.save_score("k1", GREEN, {})
    store.save_response("k1", RESPONSE)
    store.save_outcome("P-ANNA", Outcome(13.25, True))
    (row,) = store.cohort_table("demo", "v1").to_dict("records")
    assert row == {
        "patient": "P-ANNA",
        "months": 13.25,
        "event": True,
        "survival_12m": GREEN.survival_12m,
        "risk_group": "High risk",
        "age": 67.0,
        "sex": "F",
        "histology": "adenocarcinoma",
        "pd_l1": ">=50%",
        "ecog": "1",
        "line": "first",
        "regimen": "pembrolizumab",
        "site": "A",
        "recist": "PR",
        "volume_change": -0.625,
        "tumour_volume_ml": 31.5,  # at baseline
        "zone": "green",
        "sum_baseline_mm": 83.5,
        "sum_follow_up_mm": 41.25,
        "new_lesions": 0.0,
        "lower": GREEN.interval_90[0],
        "upper": GREEN.interval_90[1],
        "interval_days": 84.0,
    }


def test_what_nobody_knows_is_a_level_of_its_own_or_not_a_number(cohort):
    table = cohort.cohort_table("north", "v1")
    assert table["recist"].tolist() == ["unknown", "unknown"]
    assert table["sex"].tolist() == ["unknown", "unknown"]
    for name in ("age", "volume_change", "sum_baseline_mm", "new_lesions"):
        assert table[name].dtype == float, name
        assert table[name].isna().all(), name


# --- Many at once -----------------------------------------------------------------------------


def test_lists_of_nouns_load_like_one_by_one(store):
    pair = StoredPair("k1", "P-ANNA", "b", "f", 84, (Finding(Zone.AMBER, "Thick."),))
    bert = Patient(patient="P-BERT", cohort="demo")
    store.bulk_load(
        [ANNA, bert],
        [pair, StoredPair("k2", "P-BERT", "c", "g", None)],
        [("k1", AMBER), ("k2", RED)],
        [("k1", RESPONSE)],
        [("P-ANNA", Outcome(13.25, True))],
    )
    assert (store.patient("P-ANNA"), store.patient("P-BERT")) == (ANNA, bert)
    assert store.pairs_of("P-ANNA") == [pair]
    assert (store.find_score("k1", "v1"), store.find_score("k2", "v1")) == (AMBER, RED)
    assert (store.response("k1"), store.response("k2")) == (RESPONSE, None)
    assert store.outcome("P-ANNA") == Outcome(13.25, True)


def test_frames_load_with_defaults_for_missing_columns(store):
    store.bulk_load(
        patients=pd.DataFrame(
            {"patient": ["P-1", "P-2"], "cohort": "north", "age": [61.0, np.nan]}, index=[7, 3]
        ),
        pairs=pd.DataFrame(
            {
                "patient": ["P-1"],
                "pair_key": ["k1"],
                "baseline_sha256": ["b"],
                "follow_up_sha256": ["f"],
                "interval_days": [np.nan],
            }
        ),
        scores=pd.DataFrame(
            {
                "pair_key": ["k1"],
                "model_version": ["v1"],
                "zone": ["green"],
                "survival_12m": [0.7],
                "lower": [0.6],
                "upper": [0.8],
                "risk_group": ["Low risk"],
                "cut_off": [0.5],
            }
        ),
        outcomes=pd.DataFrame({"patient": ["P-1"], "months": [3.5], "event": [True]}),
    )
    assert store.patient("P-1") == Patient(patient="P-1", cohort="north", age=61)
    assert store.patient("P-2") == Patient(patient="P-2", cohort="north")
    assert store.pairs_of("P-1") == [StoredPair("k1", "P-1", "b", "f", None)]
    assert store.cohort_table("north", "v1")["months"].tolist() == [3.5]


def test_a_frame_replaces_whole_rows(store):
    add(store, score=GREEN)
    columns = {"pair_key": ["k1"], "model_version": ["v1"], "zone": ["red"], "cut_off": [0.5]}
    store.bulk_load(scores=pd.DataFrame(columns))
    found = store.find_score("k1", "v1")
    assert (found.zone, found.curve, found.biomarkers) == (Zone.RED, None, {})


def test_one_wrong_row_keeps_all_tables_as_they_were(store):
    patients = [Patient(patient="P-1", cohort="north")]
    with pytest.raises(NotInStore, match=r"1 of 2 outcomes belong to a patient"):
        store.bulk_load(
            patients, outcomes=[("P-1", Outcome(1.0, True)), ("P-2", Outcome(2.0, True))]
        )
    with pytest.raises(duckdb.ConstraintException):
        store.bulk_load(patients, outcomes=[("P-1", Outcome(-1.0, True))])
    with pytest.raises(duckdb.ConstraintException):
        store.bulk_load(patients * 2)
    with pytest.raises(ValueError, match=r"no columns \['ages'\]"):
        store.bulk_load(patients=pd.DataFrame({"patient": ["P-1"], "ages": [61]}))
    assert store.patient("P-1") is None
    store.bulk_load(patients)
    assert store.patient("P-1") == patients[0]


def test_nothing_is_nothing(store):
    store.bulk_load()
    store.bulk_load(pd.DataFrame({"patient": [], "cohort": []}))
    assert store.cohorts() == []


# --- Who did what, and the right to be forgotten ----------------------------------------------


def test_the_record_keeps_everything_newest_first(store):
    store.audit("open worklist")
    store.audit("score", "P-ANNA", "v1, green")
    trail = store.audit_trail(10)
    assert list(trail.columns) == ["noted_at", "actor", "action", "patient", "detail"]
    assert trail["action"].tolist() == ["score", "open worklist"]
    assert trail["patient"].tolist() == ["P-ANNA", None]
    assert trail["detail"].tolist() == ["v1, green", ""]
    assert trail["actor"].str.len().min() > 0
    assert (pd.Timestamp.now("UTC") - trail["noted_at"]).max() < pd.Timedelta(minutes=1)
    assert store.audit_trail(1)["action"].tolist() == ["score"]


def test_an_account_without_a_name_is_unknown(store, monkeypatch):
    def nameless():
        raise KeyError("uid not found: 4711")

    monkeypatch.setattr("getpass.getuser", nameless)
    store.audit("score")
    assert store.audit_trail(1)["actor"].tolist() == ["unknown"]


def test_a_deleted_patient_leaves_only_a_line_in_the_record(tmp_path):
    path = tmp_path / "ctrs.duckdb"
    with Store(path) as store:
        for patient, pair_key in {"P-ANNA": "k1", "P-BERT": "k2"}.items():
            add(store, patient, pair_key, GREEN, Outcome(5.0, True))
            store.save_response(pair_key, RESPONSE)
            store.save_refusal(patient, f"what of {patient}", "next")
            store.save_scan(f"{pair_key}-b", ScanFacts((4, 5, 6), (1.0, 2.0, 3.0)))
        assert store.delete_patient("P-ANNA") == ["k1-b", "k1-f"]
        assert store.worklist()["patient"].tolist() == ["P-BERT", "P-BERT"]
        assert store.scan("k2-b") is not None
        assert store.find_score("k2", "v1") == GREEN
        assert store.response("k2") == RESPONSE
    left = dump(path)
    assert "k1" not in left
    (line,) = [line for line in left.split("\n") if "P-ANNA" in line]
    assert line.startswith("audit ")
    assert "delete patient" in line


def test_scans_that_somebody_else_needs_stay(store):
    add(store, "P-1", "k1", GREEN)
    store.save_pair("k1", "P-2", "k1-b", "k1-f", 84, ())  # the same pair again
    store.save_pair("k3", "P-1", "k1-f", "later", 84, ())  # and one more, sharing a scan
    for sha256 in ("k1-b", "k1-f", "later"):
        store.save_scan(sha256, ScanFacts((4, 5, 6), (1.0, 2.0, 3.0)))
    assert store.delete_patient("P-1") == ["later"]
    assert store.find_score("k1", "v1") == GREEN
    assert store.scan("k1-b") is not None
    assert store.scan("later") is None
    assert store.delete_patient("P-2") == ["k1-b", "k1-f"]
    assert store.find_score("k1", "v1") is None


def test_deleting_nobody_removes_nothing(store):
    add(store, score=GREEN)
    assert store.delete_patient("P-NOBODY") == []
    assert len(store.worklist()) == 1


def test_a_score_that_arrives_after_the_deletion_is_not_kept(store):
    add(store)
    store.delete_patient("P-ANNA")
    with pytest.raises(NotInStore):
        store.save_score("k1", GREEN, {})


def test_a_deleted_cohort_is_gone_whole_and_the_others_stay(tmp_path):
    path = tmp_path / "ctrs.duckdb"
    with Store(path) as store:
        homes = {"P-1": "ward", "P-2": "ward", "P-3": "ward 2", "P-4": "demo"}
        for number, (patient, cohort) in enumerate(homes.items()):
            add(store, patient, f"k{number}", GREEN, Outcome(5.0 + number, True), cohort)
            store.save_scan(f"k{number}-b", ScanFacts((4, 5, 6), (1.0, 2.0, 3.0)))
        store.save_pair("k9", "P-3", "k1-b", "later", 84, ())  # shares a scan with P-2
        store.save_link("P-1", "k0", (1.5, -2.0, 6.25))
        store.bulk_load(readings=pd.DataFrame({"patient": ["P-2"], "recist": ["SD"]}))
        store.bulk_load(patients=[Patient(patient="P-5", cohort="ward")])
        for cohort in ("ward", "ward 2", "nobody's"):
            store.save_time_zero(cohort, "the follow-up CT")
        assert store.imported_cohorts() == {
            "ward": ImportedCounts(patients=3, with_scans=2),
            "ward 2": ImportedCounts(patients=1, with_scans=1),
        }
        assert store.delete_cohort("ward") == ["k0-b", "k0-f", "k1-f"]
        assert store.cohorts() == ["demo", "ward 2"]
        assert store.time_zero("ward") is None
        assert store.time_zero("ward 2") == "the follow-up CT"
        assert store.scan("k1-b") is not None
        assert store.outcome("P-3") == Outcome(7.0, True)
        assert [store.find_score(f"k{n}", "v1") for n in range(4)] == [None, None, GREEN, GREEN]
        trail = store.audit_trail(9)
        assert trail["action"].tolist() == ["delete cohort", "link scans"]
        assert trail["detail"][0] == "ward: 3 patients, 3 scans"
        assert store.delete_cohort("ward") == []
        assert store.cohorts() == ["demo", "ward 2"]
    left = "\n".join(line for line in dump(path).split("\n") if not line.startswith("audit "))
    for gone in ("P-1", "P-2", "P-5", "k0"):
        assert gone not in left


def test_a_deleted_patient_can_come_back(store):
    add(store, score=GREEN)
    store.delete_patient("P-ANNA")
    add(store, score=AMBER)
    assert store.find_score("k1", "v1") == AMBER


def test_a_patient_can_be_deleted_while_somebody_reads(store):
    add(store, score=GREEN)
    with store._reading() as reader:
        reader.begin()
        assert reader.execute("SELECT count(*) FROM scores").fetchall() == [(1,)]
        assert store.delete_patient("P-ANNA") == ["k1-b", "k1-f"]
        assert reader.execute("SELECT count(*) FROM scores").fetchall() == [(1,)]
    assert len(store.worklist()) == 0


# --- Identity ---------------------------------------------------------------------------------


def test_nothing_of_a_header_that_identifies_reaches_the_file(tmp_path):
    header = SeriesHeader(
        series_uid="SECRET-1",
        study_uid="SECRET-2",
        description="SECRET-3",
        acquired_on=date(1961, 8, 13),
        kernel="B70f SECRET-6",
        contrast="Ultravist SECRET-7",
        manufacturer="SIEMENS SECRET-8",
        patient_id="SECRET-4",
        patient_birth_date="19100827",
        patient_sex="SECRET-5",
    )
    hu = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    baseline = Volume(hu, (2.5, 0.7, 0.8), header=header)
    follow_up = Volume(hu[::-1], (2.5, 0.7, 0.8), header=header)
    pair = ScanPair(baseline, follow_up, 84, (Finding(Zone.AMBER, "Thick."),))
    path = tmp_path / "ctrs.duckdb"
    with Store(path) as store:
        for volume in (baseline, follow_up):
            store.save_scan(volume.sha256, ScanFacts.of(volume))
        hashes = (baseline.sha256, follow_up.sha256)
        store.save_pair(pair.key, "P-ANNA", *hashes, pair.interval_days, pair.findings)
        store.save_score(pair.key, GREEN, {"read": 0.5})
        assert store.scan(baseline.sha256) == ScanFacts(
            (3, 4, 5), (2.5, 0.7, 0.8), "sharp", "yes", "Siemens"
        )
    text = dump(path) + path.read_bytes().decode("latin-1")
    assert "Siemens" in text  # or this test would find nothing anywhere
    for secret in ("SECRET", "1961", "19100827"):
        assert secret not in text


# --- The file ---------------------------------------------------------------------------------


def test_the_file_is_for_its_owner_alone(tmp_path):
    Store(tmp_path / "new" / "ctrs.duckdb").close()
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "new" / "ctrs.duckdb").stat().st_mode & 0o777 == 0o600


def test_two_stores_in_memory_are_two(store):
    store.save_patient(ANNA)
    with Store() as other:
        assert other.patient("P-ANNA") is None


@pytest.mark.parametrize(
    "content", [b"patient,months\nP-1,3\n" * 500, b"", b"SQLite format 3\0" * 300]
)
@pytest.mark.parametrize("name", ["ctrs.duckdb", "ctrs.csv", "ctrs.json"])
def test_a_file_that_is_no_database_is_named_and_left_alone(tmp_path, content, name):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(StoreUnusable, match=f"{name} is not a DuckDB database") as caught:
        Store(path)
    assert str(tmp_path) not in caught.value.what + caught.value.next_step
    assert caught.value.next_step.endswith(".")
    assert path.read_bytes() == content


def test_a_folder_that_cannot_be_made_is_explained(tmp_path):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file" / "ctrs.duckdb", tmp_path):
        with pytest.raises(StoreUnusable, match="cannot be opened"):
            Store(path)


def test_a_database_of_another_program_is_left_alone(tmp_path):
    path = tmp_path / "other.duckdb"
    with duckdb.connect(str(path)) as db:
        db.execute("CREATE TABLE mine (x INTEGER)")
    with pytest.raises(StoreUnusable, match="1 tables of another program"):
        Store(path)
    assert dump(path) == "mine []"


def test_a_newer_database_is_refused_and_let_go(tmp_path):
    path = tmp_path / "ctrs.duckdb"
    Store(path).close()
    with duckdb.connect(str(path)) as db:
        db.execute("INSERT INTO schema_version VALUES (99, 'future', now()::TIMESTAMP)")
    with pytest.raises(StoreUnusable, match="version 99; this program knows") as caught:
        Store(path)
    assert caught.value.next_step.startswith("Update the program")
    duckdb.connect(str(path)).close()  # would fail, with other settings, were it still open


def test_a_damaged_database_is_explained_when_it_is_opened_or_read(tmp_path):
    path = tmp_path / "ctrs.duckdb"
    with Store(path) as store:
        for number in range(30):
            add(store, f"P-{number}", f"k{number}", GREEN)
    whole = path.read_bytes()
    fates = set()
    for place in range(16_384, len(whole), 100_003):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        fates.add(fate_of(path))
    assert fates <= {"fine", "at opening", "at reading"}
    assert "at reading" in fates


def fate_of(path):
    try:
        store = Store(path)
    except StoreUnusable:
        return "at opening"
    with store:
        try:
            store.worklist()
        except StoreUnusable:
            return "at reading"
    return "fine"


def run(program, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_file_in_use_by_another_process_is_explained(tmp_path):
    path = tmp_path / "ctrs.duckdb"
    program = (
        "import sys; from pathlib import Path; from ctrs.store import Store;"
        "store = Store(Path(sys.argv[1])); print('open', flush=True); input(); store.close()"
    )
    with run(program, path) as other:
        assert other.stdout.readline() == "open\n"
        with pytest.raises(StoreUnusable, match="open in another process") as caught:
            Store(path)
        assert caught.value.next_step.startswith("Close the other")
        other.communicate("\n", timeout=60)
    Store(path).close()


KILLED = """
import sys
from pathlib import Path
from ctrs.store import Store
from tests.test_store import GREEN, RESPONSE, Outcome, add
store = Store(Path(sys.argv[1]))
for number in range(10_000):
    add(store, f"P-{number}", f"k{number}", GREEN, Outcome(number / 7, True))
    store.save_response(f"k{number}", RESPONSE)
    store.audit("score", f"P-{number}")
    print(number, flush=True)
"""


def test_a_killed_process_loses_nothing_it_was_told_is_saved(tmp_path):
    path = tmp_path / "ctrs.duckdb"
    with run(KILLED, path) as writer:
        for _ in range(12):
            writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        last = 11 + len(writer.stdout.read().splitlines())  # what it said before it died
    assert writer.returncode == -signal.SIGKILL
    with Store(path) as store:
        for number in range(last + 1):
            assert store.find_score(f"k{number}", "v1") == GREEN, number
            assert store.response(f"k{number}") == RESPONSE
            assert store.outcome(f"P-{number}") == Outcome(number / 7, True)
        assert len(store.audit_trail(10_000)) >= last + 1
        store.audit("again")  # the counter of entries has survived as well


FULL = """
import resource, signal, sys
from pathlib import Path
from ctrs.errors import StoreUnusable
from ctrs.store import Store
from tests.test_store import ANNA
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = Store(Path(sys.argv[1]))
store.save_patient(ANNA)
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
try:
    for _ in range(1000):
        store.audit("score", detail="x" * 1000)
except StoreUnusable as error:
    print(error.what)
"""


def test_a_full_disk_is_explained_and_keeps_what_was_there(tmp_path):
    path = tmp_path / "ctrs.duckdb"
    with run(FULL, path) as writer:
        said, _ = writer.communicate(timeout=60)
    assert said == "The database could not be read or written, and nothing of this step was kept.\n"
    with Store(path) as store:
        assert store.patient("P-ANNA") == ANNA


# --- Threads ----------------------------------------------------------------------------------


def test_eight_writers_and_eight_readers_share_a_store(tmp_path):
    with Store(tmp_path / "ctrs.duckdb") as store:
        add(store, "P-SHARED", "shared", GREEN)

        def write(worker):
            for step in range(5):
                name = f"{worker}-{step}"
                add(store, f"P-{name}", f"k{name}", GREEN, Outcome(worker + step / 8, True))
                # All fight for one row, with two scores that must never be mixed.
                store.save_score("shared", AMBER if step % 2 else RED, {})
                store.audit("score", f"P-{name}")

        def read(_):
            for _ in range(15):
                assert store.find_score("shared", "v1") in (GREEN, AMBER, RED)
                counts = store.cohort_counts("demo", "v1")
                assert counts.scored == counts.green + counts.amber + counts.red
                assert store.worklist()["patient"].is_unique

        with ThreadPoolExecutor(16) as pool:
            tasks = [pool.submit(job, n) for n in range(8) for job in (write, read)]
            for task in tasks:
                task.result(timeout=60)

        assert len(store.worklist()) == 1 + 8 * 5
        assert len(store.cohort_table("demo", "v1")) == 8 * 5
        assert len(store.audit_trail(1000)) == 8 * 5


# --- Migrations -------------------------------------------------------------------------------


LINE = ((10.0, -20.5, 5.0), (13.0, -16.5, 5.0))


def draw(key="m1", lesion="L1", visit=0, **how):
    return Measurement(key, lesion, visit, "coronal", (LINE,), **how)


def test_a_measurement_comes_back_as_it_was_drawn_with_who_and_when(store):
    add(store)
    across = ((10.0, -16.5, 5.0), (12.4, -18.3, 5.0))
    drawn = replace(draw(made_by="anna@clinic", target=True, node=True), lines=(LINE, across))
    store.save_measurement("P-ANNA", "k1", drawn)
    assert store.measurements("P-ANNA", "k1") == [drawn]
    store.save_measurement("P-ANNA", "k1", draw("m2", visit=1))
    assert store.measurements("P-ANNA", "k1")[1].made_by  # the account, where nobody logs in
    assert store.measurements("P-BERTA", "k1") == []
    trail = store.audit_trail(5)
    assert trail["action"].tolist() == ["measure", "measure"]
    assert "by anna@clinic" in trail["detail"].iloc[1]


def test_a_lesion_has_one_measurement_a_scan_and_it_can_be_changed_and_deleted(store):
    add(store)
    store.save_measurement("P-ANNA", "k1", draw("m1"))
    store.save_measurement("P-ANNA", "k1", draw("m2"))  # drawn anew, by somebody else
    assert [one.key for one in store.measurements("P-ANNA", "k1")] == ["m2"]
    store.save_measurement("P-ANNA", "k1", draw("m2", lesion="M1"))
    assert [one.lesion for one in store.measurements("P-ANNA", "k1")] == ["M1"]
    store.delete_measurement("P-BERTA", "m2")  # not hers
    assert store.measurements("P-ANNA", "k1")
    store.delete_measurement("P-ANNA", "m2")
    store.delete_measurement("P-ANNA", "m2")
    assert store.measurements("P-ANNA", "k1") == []


def test_measurements_and_links_need_a_pair_and_go_with_the_patient(store):
    with pytest.raises(NotInStore):
        store.save_measurement("P-ANNA", "k1", draw())
    add(store)
    store.save_measurement("P-ANNA", "k1", draw())
    store.save_link("P-ANNA", "k1", (1.5, -2.0, 6.25))
    store.save_link("P-ANNA", "k1", (1.5, -2.0, 6.5))
    assert store.link("P-ANNA", "k1") == (1.5, -2.0, 6.5)
    assert store.link("P-BERTA", "k1") is None
    assert store.link("P-ANNA", "k2") is None
    assert "link scans" in store.audit_trail(1)["action"].tolist()
    store.delete_patient("P-ANNA")
    add(store)
    assert store.link("P-ANNA", "k1") is None
    assert store.measurements("P-ANNA", "k1") == []


def test_an_older_database_is_brought_up_to_date_with_its_content(tmp_path):
    path = tmp_path / "ctrs.duckdb"
    with Store(path) as store:
        add(store, score=GREEN)
    newer = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, newer)
    number = len(list(newer.glob("*.sql"))) + 1
    (newer / f"{number:04}_weight.sql").write_text(
        "ALTER TABLE patients ADD COLUMN weight_kg DOUBLE;"
        "UPDATE patients SET weight_kg = 71.5 WHERE patient = 'P-ANNA';"
    )
    with connect(path) as db:
        assert migrate(db, newer) == number
        assert migrate(db, newer) == number
        assert db.execute("SELECT patient, weight_kg FROM patients").fetchall() == [
            ("P-ANNA", 71.5)
        ]
        versions = db.execute("SELECT version, name FROM schema_version").fetchall()
        assert (versions[0], versions[-1]) == ((1, "first"), (number, "weight"))
        assert db.execute("SELECT pair_key FROM scores").fetchall() == [("k1",)]


def test_what_was_drawn_before_lesions_could_be_gone_is_kept(tmp_path):
    older = tmp_path / "migrations"
    older.mkdir()
    for file in sorted(MIGRATIONS.glob("*.sql"))[:5]:
        shutil.copy(file, older)
    line = [1.0, 2.0, 3.0, 4.0, 6.0, 3.0]
    row = f"('m', 'P', 'k', 'L1', 1, 'axial', {line}, true, false, TIMESTAMP '2026-01-02', 'anna')"
    put = f"INSERT INTO measurements VALUES {row}"
    with connect(None) as db:
        migrate(db, older)
        db.execute(put)
        before = db.execute("SELECT * FROM measurements").fetchall()
        migrate(db, MIGRATIONS)
        assert db.execute("SELECT * FROM measurements").fetchall() == before
        db.execute(put.replace("'m'", "'gone'").replace(str(line), "[]"))
        for wrong in ("'L1', 0", "'', 1"):  # nothing measured at the baseline; no name
            with pytest.raises(duckdb.ConstraintException):
                db.execute(
                    put.replace("'m'", "'n'").replace(str(line), "[]").replace("'L1', 1", wrong)
                )
        with pytest.raises(duckdb.ConstraintException):
            db.execute(put)  # the key is one still
        assert db.execute("SELECT count(*) FROM measurements").fetchall() == [(2,)]


def test_a_failing_migration_leaves_the_last_version(tmp_path):
    (tmp_path / "0001_good.sql").write_text("CREATE TABLE a (x INTEGER); INSERT INTO a VALUES (7);")
    (tmp_path / "0002_bad.sql").write_text("CREATE TABLE b (x INTEGER); SELECT nonsense;")
    with connect(None) as db:
        with pytest.raises(duckdb.BinderException, match="nonsense"):
            migrate(db, tmp_path)
        assert db.execute("SHOW TABLES").fetchall() == [("a",), ("schema_version",)]
        (tmp_path / "0002_bad.sql").write_text("CREATE TABLE b (x INTEGER); DELETE FROM a;")
        assert migrate(db, tmp_path) == 2
        assert db.execute("SELECT count(*) FROM a").fetchall() == [(0,)]


def test_a_gap_in_the_migrations_is_noticed(tmp_path):
    for name in ("0001_a.sql", "0003_c.sql"):
        (tmp_path / name).write_text("SELECT 1")
    with connect(None) as db, pytest.raises(ValueError, match="without gaps"):
        migrate(db, tmp_path)
