"""The page that brings a cohort's table in: nothing is written before the reader says so."""

import numpy as np
import pytest

from ctrs.pseudonym import load_key, pseudonym
from ctrs.store import StoredPair
from ctrs.types import Patient
from ctrs.ui import resources
from tests.conftest import make_score
from tests.test_pages import read

PAGE = "pages/7_Import.py"
TABLE = (
    "Patient ID,OS,OS_STATUS,gender,when\n"
    + "".join(f"MUELLER-{n},{300 + 37 * n},{n % 2},{'MF'[n % 2]},84\n" for n in range(24))
    + "MUELLER-99,-4,1,M,84\nMUELLER-98,51,1,M,84\n"
)


@pytest.fixture
def upload(app):
    """Put a file into the page; gives the page."""

    def upload(content, name="our <b>cohort.csv"):
        app.switch_page(PAGE).run()
        (uploader,) = app.file_uploader
        content = content.encode() if isinstance(content, str) else content
        uploader.set_value([(name, content, "text/csv")])
        return app.run()

    return upload


def widget(app, kind, field):
    (found,) = [w for w in getattr(app, kind) if w.key and w.key.startswith(f"import_{field}_")]
    return found


def metrics(app):
    return {metric.label: metric.value for metric in app.metric}


def test_a_table_is_looked_at_and_then_imported(upload, shelf, tmp_path):
    app = upload(TABLE)
    assert not app.exception
    assert widget(app, "selectbox", "time").value == "OS"
    assert widget(app, "selectbox", "scan_time").value == "not in the table"
    assert metrics(app) == {
        "Rows in the table": "26", "Kept": "25", "Dropped": "1", "Deaths among the kept": "13",
    }  # fmt: skip
    text = read(app)
    assert "Times are in days (guessed: the longest time is 1151)" in text.replace("**", "")
    assert "Nobody said when the follow-up CT was" in text
    assert "negative time" in text

    widget(app, "selectbox", "scan_time").set_value("when").run()
    assert metrics(app)["Kept"] == "24"
    text = read(app)
    assert "death before scan" in text
    assert "Nobody said" not in text
    assert "MUELLER" not in text
    assert shelf.cohorts() == []

    app.button(key="import_now").click().run()
    assert not app.exception
    assert "24 patients are the cohort “our b cohort” now" in read(app)
    assert shelf.cohorts() == ["our b cohort"]
    assert "import_table" not in app.session_state
    key = load_key(tmp_path / "pseudonym.key")
    outcome = shelf.outcome(pseudonym("MUELLER-3", key))
    assert (outcome.months, outcome.event) == (pytest.approx((300 + 111 - 84) / 30.4375), True)


def test_an_imported_cohort_is_on_the_cohort_page(upload, shelf):
    app = upload(TABLE)
    widget(app, "selectbox", "scan_time").set_value("when").run()
    app.button(key="import_now").click().run()
    app.switch_page("pages/5_Cohort.py").run()
    assert not app.exception
    assert not app.error
    text = read(app)
    assert "Of 24 patients in this cohort".replace(" ", "") in text.replace("*", "").replace(
        " ", ""
    )
    assert "Nobody in this cohort has a score" in text
    app.segmented_control(key="unscored_by").set_value("Sex").run()
    text = read(app)
    assert "Log-rank p" in text
    assert "(12 and 12 patients)" in text
    assert "not known to be the follow-up CT" not in text


def test_a_score_is_not_tested_on_times_from_another_clock(upload, shelf, tmp_path):
    app = upload(TABLE)
    app.button(key="import_now").click().run()
    app.switch_page("pages/5_Cohort.py").run()
    assert "Time zero is start of the times in the imported table" in read(app)
    name = pseudonym("MUELLER-3", load_key(tmp_path / "pseudonym.key"))
    pair = StoredPair("k", name, "0", "1", 84)
    shelf.bulk_load(pairs=[pair], scores=[("k", make_score(0.4))])
    app.run()
    assert not app.exception
    assert "cannot be tested on them" in read(app)
    assert not app.get("plotly_chart")


def test_the_reader_can_correct_the_mapping_and_the_unit(upload):
    app = upload(TABLE.replace("OS,", "how long,", 1))
    assert "Say which column holds: Length of follow-up" in read(app)
    widget(app, "selectbox", "time").set_value("how long").run()
    assert metrics(app)["Kept"] == "25"
    widget(app, "segmented_control", "unit").set_value("years").run()
    assert not app.exception
    assert "None of 26 rows can be imported" in read(app)
    assert not [button for button in app.button if button.key == "import_now"]
    widget(app, "segmented_control", "unit").set_value("days").run()
    widget(app, "checkbox", "from_follow_up").check().run()
    assert "time zero is the **follow-up CT**" in read(app)


def test_a_name_of_the_app_s_own_is_refused_and_another_one_works(upload, shelf):
    app = upload(TABLE)
    widget(app, "text_input", "cohort").set_value("Demo").run()
    app.button(key="import_now").click().run()
    assert "The cohort's name" in read(app)
    assert shelf.cohorts() == []
    widget(app, "text_input", "cohort").set_value("ours").run()
    app.button(key="import_now").click().run()
    assert shelf.cohorts() == ["ours"]


def test_an_imported_cohort_is_removed_after_a_question_that_names_its_patients(
    upload, shelf, tmp_path
):
    app = upload(TABLE, "ward.csv")
    app.button(key="import_now").click().run()
    app = upload(TABLE.replace("MUELLER", "MEIER").replace("MEIER-7,", "MEIER-99,", 1), "other.csv")
    app.button(key="import_now").click().run()
    assert shelf.cohorts() == ["other", "ward"]
    name = pseudonym("MUELLER-3", load_key(tmp_path / "pseudonym.key"))
    pair = StoredPair("k", name, "a1", "b2", 84)
    shelf.bulk_load(pairs=[pair], scores=[("k", make_score(0.4))])
    resources.cache().put("a1", {"x": np.arange(3)})

    app.switch_page(PAGE).run()
    assert app.button(key="remove_cohort").disabled
    app.selectbox(key="removable").set_value("ward").run()
    assert "cannot be undone" not in read(app)
    app.button(key="remove_cohort").click().run()
    assert "Remove “ward” with its 25 patients?** 1 of them have scans" in read(app)
    app.button(key="removal_no").click().run()
    assert "cannot be undone" not in read(app)
    assert shelf.cohorts() == ["other", "ward"]

    app.button(key="remove_cohort").click().run()
    app.selectbox(key="removable").set_value("other").run()
    assert "cannot be undone" not in read(app)  # the question was about the other one
    app.selectbox(key="removable").set_value("ward").run()
    app.button(key="remove_cohort").click().run()
    shelf.delete_patient(name)
    app.run()
    assert "with its 24 patients?" in read(app)
    shelf.bulk_load(
        patients=[Patient(patient=name, cohort="ward")], pairs=[pair],
        scores=[("k", make_score(0.4))],
    )  # fmt: skip
    app.run()
    app.button(key="removal_yes_ward_25").click().run()
    assert not app.exception
    assert "The cohort “ward” was removed with its 25 patients" in read(app)
    assert shelf.cohorts() == ["other"]
    assert shelf.pairs_of(name) == []
    assert resources.cache().get("a1") is None
    assert shelf.audit_trail(1)["detail"].tolist() == ["ward: 25 patients, 2 scans"]
    app.run()
    assert "was removed" not in read(app)


def test_the_demo_cohort_cannot_be_chosen_for_removal(app, shelf):
    shelf.save_patient(Patient(patient="SIM-1", cohort="demo"))
    app.switch_page(PAGE).run()
    assert not [box for box in app.selectbox if box.key == "removable"]
    assert not [button for button in app.button if button.key == "remove_cohort"]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"PK\x03\x04 workbook", "an Excel workbook or a zip"),
        (b"\x00\x01\x02", "no table of text"),
        ("<script>alert('MUELLER')</script>", "a web page"),
        ("MUELLER-1,12,1,67\nMUELLER-2,13,0,70\n", "names of the columns first"),
        ("", "The file is empty"),
    ],
)
def test_what_is_no_table_is_explained(upload, shelf, content, what):
    app = upload(content)
    assert not app.exception
    text = read(app)
    assert what in text
    assert "What to do" in text
    assert "MUELLER" not in text
    assert shelf.cohorts() == []


def test_an_unexpected_error_is_a_reference_without_identity(upload, monkeypatch, caplog):
    app = upload(TABLE)

    def broken():
        raise ZeroDivisionError("division by MUELLER-1")

    monkeypatch.setattr(resources, "store", broken)
    app.run()
    text = read(app)
    assert "reference `" in text
    assert "MUELLER" not in text + caplog.text
    assert not app.exception
