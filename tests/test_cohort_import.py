"""A hospital's table: which rows count, why not the others, and what is in the store afterwards."""

import io
import json
import logging
import os
import sys
import warnings
from glob import glob
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rdata
from lifelines.datasets import load_lung

from ctrs import cli
from ctrs.cohort_import import (
    FOLLOW_UP_CT,
    RESERVED,
    TABLE_START,
    Mapping,
    cohort_name,
    conflicts,
    dry_run,
    guess_mapping,
    load,
    name_from_file,
    read_mapping,
    remove,
)
from ctrs.demo.cohort import DEMO_COHORT
from ctrs.demo.scans import DEMO_BOARD
from ctrs.errors import InputRejected
from ctrs.pseudonym import pseudonym
from ctrs.store import Members, Store
from ctrs.survival import compare_groups, concordance, cox_model, kaplan_meier, survival_at
from ctrs.text_table import read_text_table
from ctrs.trial.population.tables import read_oak
from ctrs.types import Cohort, Outcome, Patient

DATA = Path(os.environ.get("CTRS_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
KEY = bytes(range(32))
TIMES = {"patient": "id", "time": "t", "event": "e"}


@pytest.fixture
def store():
    with Store() as fresh:
        yield fresh


@pytest.fixture
def table(tmp_path):
    """Write a table, and read it back as text."""

    def table(content):
        path = tmp_path / "table.csv"
        if isinstance(content, pd.DataFrame):
            content.to_csv(path, index=False)
        else:
            path.write_text(content)
        return read_text_table(path)

    return table


def trial(table, **mapping):
    """A dry run; without a mapping by the names of the columns."""
    guess = guess_mapping(list(table.cells.columns))
    return dry_run(table, KEY, Mapping(**mapping) if mapping else guess)


def reasons(run):
    return {dropped.row: dropped.reason for dropped in run.dropped}


# --- Rows -----------------------------------------------------------------------------------

DIRTY = """Patient ID;OS_DAYS;OS_STATUS;Scan days;Age;Sex;Site
A-1;420;1:DECEASED;84;67;M;North
A-2;-5;0:LIVING;84;55;F;Squamous
A-3;50;1:DECEASED;84;71;F;South
A-4;84;0:LIVING;84;71;F;South
A-5;800,5;0:LIVING;90;444;F;South
A-6;700,5;0:LIVING;90;44,9;w;North
A-7;300;1:DECEASED;90;64;M;South
A-7;310;0:LIVING;90;64;M;South
A-8;600;1:DECEASED;85;59;M;South
A-8;600;1:DECEASED;85;59;M;South
A-9;;1:DECEASED;85;59;M;South
A-10;600;maybe;85;59;M;South
;600;0;85;59;M;South
A-12;600;0
A-13;99999;0;85;59;M;South
A-14;soon;0;85;59;M;South
A-15;600;;85;59;M;South
A-16;600;0;;59;M;South
A-17;600;0;-3;59;M;South
A-18;84;1;84;59;M;South
"""


def test_every_row_is_kept_or_dropped_with_its_reason(table):
    run = trial(table(DIRTY))
    assert reasons(run) == {
        3: "negative time",
        4: "death before scan",
        5: "last seen before scan",
        6: "impossible value: “age” is not from 1 to 120 years",
        8: "duplicate patient: rows that disagree",
        9: "duplicate patient: rows that disagree",
        11: "duplicate patient: the same row again",
        12: "no time",
        13: "impossible value: the outcome is neither died nor alive",
        14: "no patient identifier",
        15: "3 cells instead of 7",
        16: "impossible value: followed for more than 600 months",
        17: "impossible value: the time is no number",
        18: "no outcome",
        19: "no time of the follow-up CT",
        20: "negative time of the follow-up CT",
        21: "death before scan",  # on its very day: no score could have been tested
    }
    assert run.rows == 20 == len(run.kept) + len(run.dropped)
    assert run.reasons["duplicate patient: rows that disagree"] == 2
    assert run.kept["patient"].tolist() == [pseudonym(f"A-{n}", KEY) for n in (1, 6, 8)]
    # Days after the follow-up CT, in months of 365.25 / 12 days; a decimal comma is one.
    days = np.array([420 - 84, 700.5 - 90, 600 - 85])
    np.testing.assert_allclose(run.kept["months"], days / 30.4375)
    assert run.kept["event"].tolist() == [True, False, True]
    assert run.kept["sex"].tolist() == ["male", "female", "male"]
    assert (run.mapping.unit, run.time_zero) == ("days", FOLLOW_UP_CT)


def test_a_patient_whose_other_row_is_dropped_is_kept_once(table):
    run = trial(table("patient,months,event\nA,-1,0\nA,5,1\nB,5,1\n"))
    assert len(run.kept) == 2
    assert reasons(run) == {2: "negative time"}


def test_a_comma_in_a_number_is_a_decimal_one_only_where_cells_are_parted_otherwise(table):
    run = trial(table('id,t,e\nA,"1,234",1\nB,5,0\n'), columns=TIMES, unit="days")
    assert reasons(run) == {2: "impossible value: the time is no number"}
    run = trial(table("id;t;e\nA;1,5;1\nB;5;0\n"), columns=TIMES, unit="months")
    assert run.kept["months"].tolist() == [1.5, 5]


def test_an_identifier_appears_nowhere(table, store, caplog, capsys):
    caplog.set_level(logging.DEBUG)
    text = table(DIRTY.replace("A-", "MUELLER^ANNA-"))
    run = trial(text)
    load(run, "lung", store)
    everything = repr(run) + run.kept.to_csv() + caplog.text + "".join(capsys.readouterr())
    assert "MUELLER" not in everything + store.audit_trail(9).to_csv()
    with pytest.raises(InputRejected) as caught:
        trial(text, columns={"patient": "Patient ID", "time": "nowhere", "event": "OS_STATUS"})
    assert "MUELLER" not in caught.value.what


# --- Which column is what -------------------------------------------------------------------


def test_columns_are_guessed_by_their_names():
    names = ["PatientID", "age", "clinical.T.Stage", "Histology", "gender", "Survival.time",
             "deadstatus.event"]  # fmt: skip
    assert guess_mapping(names).columns == {
        "patient": "PatientID", "time": "Survival.time", "event": "deadstatus.event",
        "age": "age", "sex": "gender", "histology": "Histology",
    }  # fmt: skip
    own = ["patient", "months", "event", "interval_days", "recist", "volume_change", "pd_l1"]
    assert set(guess_mapping(own).columns) == {"time", *own} - {"months"}


def test_progression_is_not_taken_for_survival(table):
    text = table("PATIENT_ID,PFS_MONTHS,PFS_STATUS\nA,3,1:PROGRESSED\n")
    with pytest.raises(InputRejected, match="No column was found for time and event") as caught:
        trial(text)
    assert "Progression-free survival is not overall survival" in caught.value.what
    columns = {"patient": "PATIENT_ID", "time": "PFS_MONTHS", "event": "PFS_STATUS"}
    run = trial(text, columns=columns)
    assert any("a progression or a death" in warning for warning in run.warnings)


def test_what_is_mapped_to_nothing_is_explained(table):
    with pytest.raises(InputRejected, match="no column “when” for time; it has “id”, “t”, “e”"):
        trial(table("id,t,e\nA,1,1\n"), columns=TIMES | {"time": "when"})


def mapping_file(tmp_path, content):
    path = tmp_path / "mapping.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_mapping_is_read_nested_flat_or_from_a_report(tmp_path):
    nested = {"columns": TIMES, "unit": "days", "follow_up_at": 84}
    expected = Mapping(TIMES, "days", 84)
    for document in (nested, TIMES | {"unit": "days", "follow_up_at": 84}, {"mapping": nested}):
        assert read_mapping(mapping_file(tmp_path, document)) == expected
    assert read_mapping(mapping_file(tmp_path, {"time": "t", "age": None})).columns == {"time": "t"}


@pytest.mark.parametrize(
    "content",
    ["time = t", "[1]", {"tiem": "t"}, {"columns": {"tiem": "t"}}, {"time": 3}, {"unit": "weeks"},
     {"follow_up_at": -1}, {"follow_up_at": "84"}, {"follow_up_at": True},
     {"from_follow_up": "yes"}],
)  # fmt: skip
def test_a_wrong_mapping_is_explained(tmp_path, content):
    with pytest.raises(InputRejected) as caught:
        read_mapping(mapping_file(tmp_path, content))
    assert caught.value.next_step


# --- Units and clocks -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "times", "unit", "why"),
    [
        ("OS_MONTHS", [4000, 2], "months", "name"),
        ("survival.days", [4, 2], "days", "name"),
        ("SurvivalDays", [4, 2], "days", "name"),
        ("time_years", [4, 2], "years", "name"),
        ("t", [4454, 20], "days", "longest time is 4454"),
        ("t", [201, 20], "days", "longest time is 201"),
        ("t", [200, 20], "months", "longest time is 200"),
        ("t", [6, 1], "months", "longest time is 6"),
        ("t", [2.51, 0.3], "years", "longest time is 2.51"),
    ],
)
def test_the_unit_is_guessed_and_said(table, name, times, unit, why):
    text = table(pd.DataFrame({"id": ["A", "B"], name: times, "e": [1, 0]}))
    run = trial(text, columns=TIMES | {"time": name})
    assert run.mapping.unit == unit
    assert why in run.unit_reason
    assert any("Say it if not" in warning for warning in run.warnings) == ("longest" in why)


def test_a_unit_that_is_given_is_not_guessed(table):
    run = trial(table("id,os_days,e\nA,10,1\n"), columns=TIMES | {"time": "os_days"}, unit="months")
    assert (run.kept["months"].tolist(), run.unit_reason) == ([10], "as given")


def test_the_follow_up_ct_may_be_one_time_for_all(table):
    # R: lung from day 84 on has 203 patients; 25 died or were lost before or on it.
    raw = load_lung().assign(id=range(228))
    columns = {"patient": "id", "time": "time", "event": "status"}
    run = trial(table(raw), columns=columns, unit="days", follow_up_at=84)
    assert len(run.kept) == 203
    assert run.reasons == {"death before scan": 25}
    assert run.kept["months"].min() * 30.4375 == pytest.approx(4)  # the first after it, day 88


def test_without_a_follow_up_ct_the_clock_is_named(table):
    text = table("id,t,e\nA,30,1\nB,40,0\n")
    run = trial(text, columns=TIMES)
    assert run.time_zero == TABLE_START
    assert any("Nobody said when the follow-up CT was" in warning for warning in run.warnings)
    assert trial(text, columns=TIMES, from_follow_up=True).time_zero == FOLLOW_UP_CT


@pytest.mark.parametrize(("code", "word"), [("1", "Everybody"), ("0", "Nobody")])
def test_one_outcome_for_all_is_doubted(table, code, word):
    run = trial(table(f"id,t,e\nA,30,{code}\nB,40,{code}\n"), columns=TIMES)
    assert any(f"{word} of 2 died" in warning for warning in run.warnings)


# --- Values ---------------------------------------------------------------------------------


def column(table, field, cells):
    rows = "".join(f"P{n}\t30\t1\t{cell}\n" for n, cell in enumerate(cells))
    text = table(f"id\tt\te\tx\n{rows}")
    return trial(text, columns=TIMES | {field: "x"}, unit="months")


@pytest.mark.parametrize(
    ("field", "cells", "values"),
    [
        ("sex", ["M", "female", "W", "unknown", "", "2"],
         ["male", "female", "female", "unknown", "unknown", "unknown"]),
        ("histology", ["Adeno", "squamous cell carcinoma", "adenosquamous", "nos", ""],
         ["adenocarcinoma", "squamous", "other", "other", "unknown"]),
        ("pd_l1", ["0", "0.9", "1", "49.5", "50", "100", "NA"],
         ["<1%", "<1%", "1-49%", "1-49%", ">=50%", ">=50%", "unknown"]),
        ("pd_l1", ["≥ 50 %", "1–49%", "<1%", "high"], [">=50%", "1-49%", "<1%", "unknown"]),
        ("pd_l1", ["0.5", "0.01"], ["unknown", "unknown"]),  # of a hundred, or of one?
        ("ecog", ["0", "1.0", ""], ["0", "1", "unknown"]),
        ("line", ["1", "first", "2.0", "3L", "adjuvant"],
         ["first", "first", "later", "later", "unknown"]),
        ("recist", ["pd", "Stable disease", "POD", "x"], ["PD", "SD", "PD", None]),
        ("age", ["78.7515", "", "44,5"], [78.7515, np.nan, 44.5]),
        ("volume_change", ["-0.5", "2"], [-0.5, 2]),
        ("volume_change", ["-50", "20", ""], [-0.5, 0.2, np.nan]),
        ("site", ["North", "=cmd|' /C calc'!A0", "<img src=x>", "St. Mary's (A)", "@x", "-1"],
         ["North", "unknown", "unknown", "St. Mary's (A)", "unknown", "unknown"]),
    ],
)  # fmt: skip
def test_a_column_is_read_as_the_store_keeps_it(table, field, cells, values):
    found = column(table, field, cells).kept[field].tolist()
    pd.testing.assert_series_equal(pd.Series(found), pd.Series(values), check_dtype=False)


@pytest.mark.parametrize(
    ("field", "cells", "kept"),
    [
        ("age", ["0", "0.9", "1", "120", "121", "old", "-4", "inf"], 2),
        ("ecog", ["0", "4", "5", "1.5", "good"], 2),
        ("pd_l1", ["0", "100", "101", "-1"], 2),
        ("sum_baseline_mm", ["0", "2000", "2000.1", "-1"], 2),
        ("new_lesions", ["0", "100", "101"], 2),
        ("interval_days", ["84", "2001"], 1),
    ],
)
def test_what_cannot_be_drops_the_patient(table, field, cells, kept):
    run = column(table, field, cells)
    assert len(run.kept) == kept
    assert all(f"impossible value: “{field}”" in reason for reason in run.reasons)


def test_cells_that_are_not_understood_are_counted(table):
    run = column(table, "sex", ["M", "2", "x"])
    assert "“sex”: 2 filled cells are not understood and count as unknown." in run.warnings


def test_free_text_is_not_kept(table):
    run = column(table, "site", [f"Dr Smith, phone 55{n}" for n in range(31)])
    assert set(run.kept["site"]) == {"unknown"}
    assert any("31 filled cells" in warning for warning in run.warnings)


# --- Into the store -------------------------------------------------------------------------


def test_kept_rows_are_the_cohort_and_the_record_says_so(table, store):
    run = trial(table("patient,months,event,age,ecog,arm,recist,new_lesions,interval_days\n"
                      "A,12.5,1,67.9,1,Docetaxel,SD,0,84\nB,20,0,,,,,,\n"))  # fmt: skip
    load(run, "oak", store)
    a, b = (pseudonym(name, KEY) for name in "AB")
    assert store.cohorts() == ["oak"]
    assert store.patient(a) == Patient(
        patient=a, cohort="oak", age=67, ecog="1", regimen="Docetaxel"
    )
    assert store.patient(b) == Patient(patient=b, cohort="oak")
    assert store.outcome(a) == Outcome(12.5, True)
    rows = store.cohort_table("oak", "v1", scored=False).set_index("patient")
    assert rows.loc[a, ["recist", "new_lesions", "interval_days"]].tolist() == ["SD", 0, 84]
    assert rows.loc[b, "recist"] == "unknown"
    assert np.isnan(rows.loc[b, "new_lesions"])
    assert store.time_zero("oak") == TABLE_START
    assert store.audit_trail(1)["detail"].tolist() == ["oak: 2 of 2 rows"]
    assert store.cohort_counts("oak", "v1").patients == 2
    assert store.cohort_table("oak", "v1").empty  # nobody has a score
    store.delete_patient(a)
    assert store.cohort_table("oak", "v1", scored=False)["patient"].tolist() == [b]


def test_importing_again_replaces_and_what_that_changes_is_said(table, store):
    first = trial(table("patient,months,event,age\nA,12,1,50\nB,20,0,60\n"))
    load(first, "one", store)
    second = trial(table("patient,months,event\nA,13,0\nC,5,1\n"))
    words = conflicts(second, "two", store)
    assert words == [
        "1 of these patients are in the database already, in “one”: what the table says of them"
        " takes the place of what was known, and they move to “two”."
    ]
    load(second, "two", store)
    a = pseudonym("A", KEY)
    assert (store.patient(a).cohort, store.patient(a).age) == ("two", None)
    assert store.outcome(a) == Outcome(13, False)
    assert len(store.cohort_table("one", "v1", scored=False)) == 1
    again = conflicts(second, "two", store)
    assert "in “two”" in again[0]
    assert "they move" not in again[0]
    assert again[1] == "“two” exists: its other patients stay in it."


def test_an_imported_cohort_can_be_removed_and_the_record_stays(table, store):
    load(trial(table("patient,months,event,recist\nA,12,1,SD\nB,5,0,PD\n")), "one", store)
    load(trial(table("patient,months,event\nC,7,0\n")), "two", store)
    assert remove("one", store) == []
    assert store.cohorts() == ["two"]
    assert store.outcome(pseudonym("A", KEY)) is None
    assert store.outcome(pseudonym("C", KEY)) == Outcome(7, False)
    assert store.audit_trail(9)["detail"].tolist() == [
        "one: 2 patients, 0 scans", "two: 1 of 1 rows", "one: 2 of 2 rows",
    ]  # fmt: skip
    load(trial(table("patient,months,event\nA,12,1\n")), "one", store)  # it can come back
    assert store.cohorts() == ["one", "two"]


@pytest.mark.parametrize("name", [*RESERVED, "scored by hand", "never there"])
def test_only_what_was_imported_can_be_removed(table, store, name):
    load(trial(table("patient,months,event\nA,12,1\n")), "one", store)
    for other in (*RESERVED, "scored by hand"):
        store.save_patient(Patient(patient=f"P-{other}", cohort=other))
    for reserved in RESERVED:
        store.save_time_zero(reserved, TABLE_START)
    with pytest.raises(InputRejected, match=f"“{name}” is not an imported cohort"):
        remove(name, store)
    assert store.cohorts() == sorted([*RESERVED, "one", "scored by hand"])


@pytest.mark.parametrize("name", ["", "  ", "x" * 61, "=1+1", "<b>", "a\nb", "Upload", "demo"])
def test_names_that_no_cohort_can_have(table, store, name):
    with pytest.raises(InputRejected, match="cohort's name"):
        cohort_name(name)
    with pytest.raises(InputRejected):
        load(trial(table("patient,months,event\nA,13,0\n")), name, store)
    assert store.cohorts() == []


def test_the_app_s_own_cohorts_are_reserved():
    assert set(RESERVED) == {DEMO_COHORT, DEMO_BOARD, "upload"}


def test_a_file_s_name_makes_a_name():
    assert name_from_file("NSCLC-Lung1.v3 Oct_2019") == "NSCLC-Lung1.v3 Oct_2019"
    assert cohort_name(name_from_file("=<x>|y" + "z" * 90))
    assert name_from_file("***") == "imported"


def test_nothing_left_is_not_imported(table, store):
    with pytest.raises(InputRejected, match=r"None of 1 rows .*: 1 negative time"):
        load(trial(table("patient,months,event\nA,-3,0\n")), "x", store)
    assert store.cohorts() == []


# --- The command line -----------------------------------------------------------------------


@pytest.fixture
def run(tmp_path, capsys):
    """Run ``import`` with ``--json`` and a store of its own."""

    def run(text, *options, name="cohort.csv"):
        path = tmp_path / name
        path.write_text(text)
        store = tmp_path / "home" / "ctrs.duckdb"
        code = cli.main(["import", str(path), "--store", str(store), "--json", *options])
        out, err = capsys.readouterr()
        return code, json.loads(out), err, store

    return run


def test_import_is_as_in_the_contract(run):
    code, found, err, path = run(DIRTY)
    assert code == 0
    assert err == ""
    assert (found["rows"], found["kept"], len(found["dropped"])) == (20, 3, 17)
    assert found["dropped"][0] == {"row": 3, "reason": "negative time"}
    assert isinstance(found["warnings"], list)
    assert (found["cohort"], found["dry_run"]) == ("cohort", False)
    with Store(path) as store:
        assert store.cohort_counts("cohort", "v1").patients == 3
    assert path.with_name("pseudonym.key").exists()


@pytest.mark.parametrize("name", ["notes.json", "notes.csv"])
def test_a_store_that_is_no_database_is_refused_and_nothing_is_made(tmp_path, capsys, name):
    table, store = tmp_path / "cohort.csv", tmp_path / "home" / name
    table.write_text("patient,months,event\nMUELLER-1,3.5,1\nMUELLER-2,9,0\n")
    store.parent.mkdir()
    store.write_text('{"a": 1}')
    assert cli.main(["import", str(table), "--store", str(store), "--json"]) == 3
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["what"] == f"The file {name} is not a DuckDB database."
    assert [path.name for path in store.parent.iterdir()] == [name]
    assert store.read_text() == '{"a": 1}'


def test_a_dry_run_writes_nothing_at_all(run, tmp_path):
    code, found, _, path = run(DIRTY, "--dry-run")
    assert (code, found["kept"], found["dry_run"]) == (0, 3, True)
    assert not path.parent.exists()
    # Its report is a mapping that can be corrected and given back.
    found["mapping"]["unit"] = "months"
    mapping = mapping_file(tmp_path, found)
    code, found, _, _ = run(DIRTY, "--dry-run", "--mapping", str(mapping))
    assert found["mapping"]["unit"] == "months"


def test_a_dry_run_beside_a_store_says_what_would_change(run):
    run(DIRTY)
    _, found, _, path = run("patient,months,event\nA-1,3,1\nB,3,0\n", "--dry-run", "--cohort", "x")
    assert any("1 of these patients are in the database already" in w for w in found["warnings"])
    with Store(path) as store:
        assert store.cohorts() == ["cohort"]


def test_what_cannot_be_imported_ends_with_3_and_a_way_on(run):
    for text, what in {
        "patient,months,event\nSECRET-7,-3,0\n": "None of 1 rows",
        "a,b\nSECRET-7,1\n": "No column was found for patient and time and event",
        "<html>SECRET-7</html>": "web page",
    }.items():
        code, found, err, path = run(text)
        assert code == 3
        assert what in found["error"]["what"]
        assert found["error"]["next_step"]
        assert "SECRET" not in json.dumps(found) + err
        assert not path.exists()
    code, found, _, _ = run("patient,months,event\nA,-3,0\n")
    assert found["dropped"] == [{"row": 2, "reason": "negative time"}]


def test_a_file_that_is_not_there_is_named(tmp_path, capsys):
    there, gone = tmp_path / "c.csv", tmp_path / "gone.csv"
    there.write_text(DIRTY)
    assert cli.main(["import", str(gone), "--store", str(tmp_path / "s.duckdb"), "--json"]) == 3
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["what"] == "There is no file “gone.csv”."
    assert cli.main(["import", str(there), "--mapping", str(gone), "--dry-run", "--json"]) == 3
    what = json.loads(capsys.readouterr().out)["error"]["what"]
    assert what.startswith("The path given as “mapping” cannot be read or written (No such file")
    assert "gone" not in what


def test_a_terminal_without_quotation_marks_gets_the_words(tmp_path, monkeypatch):
    path, out = tmp_path / "c.csv", io.BytesIO()
    path.write_text(DIRTY)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding="ascii"))
    assert cli.main(["import", str(path), "--dry-run", "--store", str(tmp_path / "s.duckdb")]) == 0
    sys.stdout.flush()
    assert b"guessed from the name ?OS_DAYS?" in out.getvalue()


def test_a_person_reads_the_same(tmp_path, capsys):
    path = tmp_path / "c.csv"
    path.write_text(DIRTY)
    assert cli.main(["import", str(path), "--dry-run", "--store", str(tmp_path / "s.duckdb")]) == 0
    text = capsys.readouterr().out
    assert "3 of 20 rows can be imported (2 deaths)." in text
    assert "Times are in days (guessed from the name “OS_DAYS”). Time zero: follow-up CT." in text
    assert "Dropped: 2 duplicate patient: rows that disagree" in text
    assert "Nothing was written" in text


# --- Real tables ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tables():
    if not (DATA / "tables").exists():
        pytest.skip("needs the real tables: set CTRS_TEST_DATA")
    return DATA / "tables"


def real(path):
    (found,) = glob(str(path))
    return read_text_table(Path(found))


def test_lung1_has_its_published_survival(tables, store):
    # The data's owner: 422 patients, median 549 days, 40.3 % alive after two years.
    run = trial(real(tables / "lung1" / "*.csv"))
    assert (run.rows, len(run.kept), run.mapping.unit) == (422, 422, "days")
    load(run, "lung1", store)
    (curve,) = store.compare(Members(cohort="lung1")).curves
    assert (curve.n_patients, curve.n_events) == (422, 373)
    assert curve.median_months * 30.4375 == pytest.approx(549)
    alive = curve.survival[np.searchsorted(curve.months, 24, side="right") - 1]
    assert alive == pytest.approx(0.403, abs=5e-4)


def test_tables_without_survival_are_refused_and_can_be_mapped(tables):
    rizvi = real(tables / "rizvi" / "*" / "data_clinical_patient.txt")
    with pytest.raises(InputRejected, match="Progression-free survival is not overall survival"):
        trial(rizvi)
    mind = real(tables / "msk_mind2020" / "*.tsv")
    run = trial(mind)
    # It has times of some who died, and no column of who died.
    assert run.kept.empty
    assert run.rows == len(run.dropped) == 247
    with pytest.raises(InputRejected, match="Excel"):
        real(tables / "tumor_ts_laleh2022" / "*.xlsx")
    with pytest.raises(InputRejected, match="R data file"):
        real(tables / "jmpost" / "os_data.rda")


def test_oak_as_it_is_with_the_scan_s_time_in_a_column(tables, table):
    """The R tables exported to CSV: years from the first dose, and the scan nearest week 12."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a tibble is read as a plain data frame: wanted
        (people,) = rdata.read_rda(str(tables / "jmpost" / "os_data.rda")).values()
        (scans,) = rdata.read_rda(str(tables / "jmpost" / "tumor_data.rda")).values()
    inside = scans[(scans["year"] * 365.25).between(42, 126)]
    off = (inside["year"] * 365.25 - 84).abs()
    nearest = inside.assign(off=off, id=inside["id"].astype(str)).sort_values(["id", "off"])
    at = nearest.groupby("id")["year"].first().rename("scan_time")
    run = trial(table(people.assign(id=people["id"].astype(str)).merge(at, on="id", how="left")))
    assert run.mapping.unit == "years"  # nobody is followed for more than three
    assert set(run.mapping.columns) == {
        "patient", "time", "event", "scan_time", "age", "sex", "ecog", "regimen",
    }  # fmt: skip
    oak = read_oak(DATA)
    assert (run.rows, len(run.kept), int(run.kept["event"].sum())) == (203, 202, 108)
    np.testing.assert_allclose(sorted(run.kept["months"]), sorted(oak["months"]), atol=1e-9)


def test_the_landmark_facts_of_oak_survive_the_way_through_the_store(tables, table, store):
    oak = read_oak(DATA)
    export = pd.DataFrame(
        {
            "id": oak["patient"],
            "days from scan": oak["months"] * 30.4375,
            "died": oak["event"].astype(int),
            **oak[["recist", "sum_baseline_mm", "sum_follow_up_mm", "ecog", "age", "sex", "arm"]],
        }
    )
    columns = {name: name for name in export if name not in ("id", "days from scan", "died", "arm")}
    columns |= {"patient": "id", "time": "days from scan", "event": "died", "regimen": "arm"}
    run = trial(table(export), columns=columns, from_follow_up=True)
    assert (len(run.kept), int(run.kept["event"].sum()), run.mapping.unit) == (202, 108, "days")
    load(run, "oak", store)
    found = store.cohort_table("oak", "none", scored=False)
    assert found["recist"].value_counts().to_dict() == {"SD": 130, "PD": 38, "PR": 34}

    by_class = store.compare(Members(cohort="oak"), "recist", [12])
    groups = {name: Cohort(name, part) for name, part in found.groupby("recist")}
    for curve in by_class.curves:
        alive = survival_at(curve, groups[curve.label], 12).survival
        assert alive == pytest.approx({"PD": 0.43, "SD": 0.59, "PR": 0.85}[curve.label], abs=0.006)
    in_memory = compare_groups([groups[curve.label] for curve in by_class.curves], [12])
    assert by_class.test.chi_square == pytest.approx(in_memory.test.chi_square, rel=1e-9)
    assert by_class.at_risk == in_memory.at_risk
    assert kaplan_meier(groups["SD"]).median_months == pytest.approx(
        by_class.curves[1].median_months
    )

    change = np.log(found["sum_follow_up_mm"] / found["sum_baseline_mm"])
    table_ = found.assign(
        change=change, baseline=np.log(found["sum_baseline_mm"]),
        shrinkage=-change, small=-found["sum_baseline_mm"],
        order=found["recist"].map({"PD": 0.0, "SD": 1.0, "PR": 2.0}),
        ecog=found["ecog"].astype(float),
    )  # fmt: skip
    cohort = Cohort("oak", table_)
    facts = {"shrinkage": 0.64, "order": 0.61, "small": 0.57}
    for name, expected in facts.items():
        assert concordance(cohort, name) == pytest.approx(expected, abs=0.006), name
    model = cox_model(cohort, ["change", "baseline", "ecog", "sex", "age", "regimen"])
    assert model.concordance == pytest.approx(0.68, abs=0.006)
    rows = {row.covariate: row for row in model.rows}
    expected = {"change": (5.1, 2.6, 9.9), "baseline": (1.6, 1.1, 2.4), "ecog": (1.7, 1.1, 2.6)}
    for name, numbers in expected.items():
        row = rows[name]
        assert (row.hazard_ratio, row.lower, row.upper) == pytest.approx(numbers, abs=0.06), name
