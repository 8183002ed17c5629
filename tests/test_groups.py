"""Filters kept under a name, in the store and on the pages."""

import pandas as pd
import pytest
from reading import open_page, read

from ctrs.analysis import select
from ctrs.errors import InputRejected
from ctrs.store import Store
from ctrs.survival import landmark_cohort, log_rank
from ctrs.types import Cohort, Patient, PatientGroup
from ctrs.ui import messages
from ctrs.ui.groups import groups_difference

COHORT, STABLE = "pages/5_Cohort.py", "pages/4_Stable_disease.py"
OLD = PatientGroup("Old", {"sex": ("male",), "pd_l1": ("<1%", "unknown")}, (63, 84))
STABLE_ONLY = PatientGroup("Stable", {"recist": ("SD",)})


# --- In the store ---------------------------------------------------------------------------


def test_a_group_comes_back_as_it_was_saved_and_by_name(tmp_path):
    with Store(tmp_path / "s.duckdb") as store:
        store.save_group("demo", STABLE_ONLY)
        store.save_group("demo", OLD)
        store.save_group("other", PatientGroup("Old", {}))
    with Store(tmp_path / "s.duckdb") as store:
        assert store.groups("demo") == [OLD, STABLE_ONLY]
        assert store.groups("other") == [PatientGroup("Old", {}, None)]


def test_a_name_is_used_once_in_a_cohort():
    with Store() as store:
        store.save_group("demo", OLD)
        store.save_group("demo", STABLE_ONLY)
        with pytest.raises(InputRejected, match="has a group of that name"):
            store.save_group("demo", PatientGroup("Old", {}))
        with pytest.raises(InputRejected, match="has a group of that name"):
            store.rename_group("demo", "Stable", "Old")
        assert store.groups("demo") == [OLD, STABLE_ONLY]
        store.rename_group("demo", "Old", "Aged")
        assert [group.name for group in store.groups("demo")] == ["Aged", "Stable"]
        assert store.groups("demo")[0].wanted == OLD.wanted


def test_a_group_goes_alone_or_with_its_cohort():
    with Store() as store:
        for cohort in ("demo", "imported"):
            store.save_patient(Patient(patient=f"P-{cohort}", cohort=cohort))
            store.save_group(cohort, OLD)
            store.save_group(cohort, STABLE_ONLY)
        store.delete_group("demo", "Old")
        assert store.groups("demo") == [STABLE_ONLY]
        assert len(store.groups("imported")) == 2
        store.delete_cohort("imported")
        assert store.groups("imported") == []
        assert store.groups("demo") == [STABLE_ONLY]


def test_the_state_changes_with_each_write_and_with_nothing_else():
    with Store() as store, Store() as other:
        before = store.state
        assert store.cohorts() == []
        assert store.state == before
        store.save_patient(Patient(patient="P-1", cohort="demo"))
        after = store.state
        store.save_group("demo", OLD)
        with pytest.raises(InputRejected):
            store.save_group("demo", OLD)
        assert len({before, after, store.state, other.state}) == 4


# --- On the pages ---------------------------------------------------------------------------


def everybody(store):
    table = store.cohort_table("demo", "fixed", include_amber=True)
    zones = {"green": "usable", "amber": "with caution"}
    return landmark_cohort(table.assign(zone=table["zone"].map(zones)), "demo")[0]


def save(app, name):
    app.text_input(key="group_name").set_value(name)
    app.button(key="save_group_now").click().run()
    assert not app.exception


def test_filters_are_saved_and_set_again(filled, app):
    open_page(app, COHORT)
    app.multiselect(key="filter_sex").set_value(["male"])
    app.slider(key="filter_age").set_value((50, 77)).run()
    save(app, "Men, 50 to 77")
    wanted = {"zone": ("usable",), "sex": ("male",)}
    (saved,) = filled.groups("demo")
    assert (saved.name, dict(saved.wanted), saved.ages) == ("Men, 50 to 77", wanted, (50, 77))
    app.multiselect(key="filter_sex").set_value(["female"])
    app.multiselect(key="filter_zone").set_value([]).run()
    app.selectbox(key="group").set_value("Men, 50 to 77").run()
    last = select(everybody(filled), saved.wanted, saved.ages).steps[-1]
    n = f"{last.n_patients} patients, {last.n_events} deaths"
    assert f"Sex: male; Zone: usable; age 50 to 77: **{n}**" in read(app)
    app.button(key="set_group").click().run()
    assert app.multiselect(key="filter_sex").value == ["male"]
    assert app.multiselect(key="filter_zone").value == ["usable"]
    assert app.slider(key="filter_age").value == (50, 77)
    assert f"Shown: **Sex: male; Zone: usable; age 50 to 77** ({n})" in read(app)


def test_the_stable_keep_what_their_page_is_about(filled, app):
    open_page(app, STABLE)
    save(app, "Stable")
    assert filled.groups("demo")[0].wanted == {"recist": ("SD",), "zone": ("usable",)}
    app.multiselect(key="filter_sex").set_value(["male"]).run()
    app.selectbox(key="group").set_value("Stable").run()
    app.button(key="set_group").click().run()
    assert app.multiselect(key="filter_sex").value == []
    assert not app.exception


def test_a_group_that_nobody_is_in_any_more_cannot_be_set(filled, app):
    filled.save_group("demo", PatientGroup("Gone", {"site": ("site 99",)}, (20, 99)))
    open_page(app, COHORT)
    app.selectbox(key="group").set_value("Gone").run()
    assert "Nobody in this cohort is like that any more" in read(app)
    assert "set_group" not in [button.key for button in app.button]


def test_ages_outside_the_cohort_s_are_cut_to_them(filled, app):
    filled.save_group("demo", PatientGroup("All ages", {}, (20, 99)))
    open_page(app, COHORT)
    slider = app.slider(key="filter_age")
    slider.set_value((55, 66)).run()
    app.selectbox(key="group").set_value("All ages").run()
    app.button(key="set_group").click().run()
    assert app.slider(key="filter_age").value == (slider.min, slider.max)


def test_a_group_is_renamed_and_removed(filled, app):
    filled.save_group("demo", OLD)
    filled.save_group("demo", STABLE_ONLY)
    open_page(app, COHORT)
    app.selectbox(key="group").set_value("Old").run()
    app.text_input(key="rename_Old").set_value("Stable")
    app.button(key="rename_group_now").click().run()
    assert "The group was not renamed" in read(app)
    app.text_input(key="rename_Old").set_value("Aged men")
    app.button(key="rename_group_now").click().run()
    assert [group.name for group in filled.groups("demo")] == ["Aged men", "Stable"]
    app.selectbox(key="group").set_value("Stable").run()
    app.button(key="remove_group").click().run()
    assert [group.name for group in filled.groups("demo")] == ["Aged men"]
    assert app.selectbox(key="group").value is None
    assert not app.exception


@pytest.mark.parametrize("name", ["", "  ", "<b>x</b>", "_x_", "$x$", "(x)"])
def test_a_name_that_a_page_would_read_as_something_else_is_refused(filled, app, name):
    open_page(app, COHORT)
    save(app, name)
    text = read(app)
    assert "The group was not saved" in text
    assert f"The name has {len(name.strip())} characters" in text
    assert filled.groups("demo") == []


def test_saved_groups_stand_side_by_side_whatever_is_filtered(filled, app):
    filled.save_group("demo", PatientGroup("Men", {"sex": ("male",)}))
    filled.save_group("demo", PatientGroup("Women", {"sex": ("female",)}))
    open_page(app, COHORT)
    app.multiselect(key="filter_histology").set_value(["squamous"])
    app.segmented_control(key="groups_by").set_value("Saved groups").run()
    table = everybody(filled).table
    parts = [Cohort(sex, table[table["sex"] == sex]) for sex in ("male", "female")]
    test, sizes = log_rank(parts), [len(part.table) for part in parts]
    assert f"Log-rank {messages.p_value(test.p_value)} ({sizes[0]} and {sizes[1]}" in read(app)
    shown = app.get("table")[0].value
    assert shown.index.tolist() == ["Men", "Women"]
    assert shown["Patients"].tolist() == [str(size) for size in sizes]
    methods = "\n".join(code.value for code in app.code)
    assert "“Men” (Sex: male); “Women” (Sex: female)" in methods
    assert f"Patients: {len(table)}, of whom" in methods
    assert "cut-off stored" not in methods.split("Groups were formed")[1].split("\n")[0]


def test_groups_that_share_patients_are_drawn_and_not_tested():
    table = pd.DataFrame(
        {"patient": [f"P-{n}" for n in range(30)], "months": range(1, 31), "event": True}
    )
    parts = [Cohort("a", table[:18]), Cohort("b", table[15:])]
    assert groups_difference(parts).startswith("Not tested: 3\u00a0patients are in more")
    assert groups_difference([parts[0], Cohort("b", table[18:])]).startswith("Log-rank")
    assert groups_difference(parts[:1]).startswith("Only one group")


def test_without_a_saved_group_the_page_says_how_to_save_one(filled, app):
    open_page(app, COHORT)
    app.segmented_control(key="groups_by").set_value("Saved groups").run()
    assert "No group is saved for this cohort yet" in read(app)
    assert not app.exception
