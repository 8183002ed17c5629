"""Cohort, Stable disease, Comparison and the patient among others, as a person reads them."""

import re
from dataclasses import replace

import pandas as pd
import pytest
import streamlit as st
from reading import open_page, read

from ctrs import NOTICE
from ctrs.analysis import comparison as three_readings
from ctrs.survival import (
    adjusted_hazard_ratio,
    calibration_at,
    kaplan_meier,
    landmark_cohort,
    log_rank,
    split_by_risk,
)
from ctrs.types import Outcome, Patient, PredictedCurve, Recist, Response
from ctrs.ui import cohort as cohort_page
from ctrs.ui import comparison
from ctrs.ui.charts import as_csv
from ctrs.ui.placement import _half_words
from tests.conftest import curve

COHORT, STABLE, COMPARISON = (
    "pages/5_Cohort.py", "pages/4_Stable_disease.py", "pages/6_Comparison.py",
)  # fmt: skip
PAGES = (COHORT, STABLE, COMPARISON)
EVERYBODY = [f"SIM-{number:03d}" for number in range(60)]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """The bootstrap is tested elsewhere; a page needs only its shape."""

    def few(function):
        return lambda *args, **how: function(*args, **how, replicates=30)

    monkeypatch.setattr(cohort_page, "bootstrap_estimates", few(cohort_page.bootstrap_estimates))
    monkeypatch.setattr(three_readings, "measured_scores", few(three_readings.measured_scores))


def table(store):
    """What the pages look at: whose score is usable, from the follow-up CT on."""
    return landmark_cohort(store.cohort_table("demo", "fixed"), "demo")[0]


def tables(app):
    return {len(t.value): t.value for t in app.get("table")}


# --- Who is shown ---------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_a_page_says_who_is_shown_who_is_not_and_that_they_are_simulated(filled, app, page):
    text = open_page(app, page)
    assert "These patients are simulated" in text
    # Every ninth of 60 is amber: 0, 9, ... 54 are 7, and 53 are left.
    assert "Of **60 patients** in this cohort, 53 have a usable score; 7 need caution" in text
    assert "Time zero is the follow-up CT" in text
    assert not app.error


@pytest.mark.parametrize("page", PAGES)
def test_a_filter_that_nobody_passes_says_so(filled, app, page):
    filled.save_patient(Patient(patient="SIM-001", cohort="demo", pd_l1="1-49%", sex="female"))
    open_page(app, page)
    app.multiselect(key="filter_pd_l1").set_value(["1-49%"])
    app.multiselect(key="filter_sex").set_value(["male"]).run()
    assert "No patient passes these filters (n = 0)" in read(app)
    assert NOTICE in read(app).replace("**", "")
    assert not app.exception


@pytest.mark.parametrize("page", PAGES)
def test_one_patient_is_drawn_without_a_test(filled, app, page):
    filled.save_patient(Patient(patient="SIM-001", cohort="demo", pd_l1="1-49%"))
    filled.save_response("pair-SIM-001", Response(Recist.SD, 50.0, 45.0, 0, -0.2))
    open_page(app, page)
    app.multiselect(key="filter_pd_l1").set_value(["1-49%"]).run()
    text = read(app)
    assert "1 patient" in text
    assert "Log-rank p" not in text
    assert not app.exception
    assert not app.error


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("died", [False, True])
def test_everybody_alive_and_everybody_dead_on_one_day_are_answered(filled, app, page, died):
    for name in EVERYBODY:
        filled.save_outcome(name, Outcome(20.0, died))
    text = open_page(app, page)
    assert not app.exception
    assert not app.error
    assert "nan" not in text.lower()
    assert "Traceback" not in text
    if page == COHORT and not died:
        assert "Not tested:" in text
        assert "not reached" in text


@pytest.mark.parametrize("page", PAGES)
def test_nobody_s_recist_or_volume_is_known(filled, app, page):
    rows = [
        (f"pair-{name}", Response(Recist.NE, 50.0, 45.0, 0, float("nan"))) for name in EVERYBODY
    ]
    filled.bulk_load(responses=rows)
    text = open_page(app, page)
    assert not app.exception
    assert not app.error
    if page == COMPARISON:
        assert "Nobody has all three readings (n = 0)" in text
    if page == STABLE:
        assert "No patient passes these filters (n = 0)" in text


def test_filters_cross_and_are_said_in_words_step_by_step(filled, app):
    open_page(app, COHORT)
    app.multiselect(key="filter_recist").set_value(["SD"])
    app.multiselect(key="filter_sex").set_value(["female"]).run()
    text = read(app)
    rows = filled.cohort_table("demo", "fixed", include_amber=True)
    stable = rows[rows["recist"] == "SD"]
    women = stable[stable["sex"] == "female"]
    usable = women[women["zone"] == "green"]
    assert f"RECIST: SD **{len(stable)}** ({stable['event'].sum()} deaths)" in text
    assert f"Sex: female **{len(women)}** ({women['event'].sum()} deaths)" in text
    assert f"Zone: usable **{len(usable)}** ({usable['event'].sum()} deaths)" in text
    assert "RECIST: SD; Sex: female; Zone: usable" in text
    assert "Not tested: a group has fewer than 10 patients" in text
    assert "Log-rank p" not in text


def test_amber_scores_come_in_when_the_zone_filter_asks_for_them(filled, app):
    open_page(app, COHORT)
    app.multiselect(key="filter_zone").set_value(["usable", "with caution"]).run()
    assert "(60 patients, " in read(app)


# --- Cohort ---------------------------------------------------------------------------------


def test_the_numbers_on_the_cohort_page_are_those_of_the_core(filled, app):
    text = open_page(app, COHORT)
    groups = split_by_risk(table(filled))
    curves = [kaplan_meier(group) for group in groups]
    assert f"Log-rank p = {log_rank(groups).p_value:.3f}" in text or "Log-rank p < 0.001" in text
    for group, drawn in zip(groups, curves, strict=True):
        row = tables(app)[2].loc[group.name]
        assert row["Patients"] == str(len(group.table))
        assert row["Deaths"] == str(int(group.table["event"].sum()))
        assert row["Median survival (95 %)"].startswith(f"{drawn.median_months:.1f}")


def test_table_one_is_the_first_answer_and_can_be_taken_along(filled, app):
    text = open_page(app, COHORT)
    assert "Standardised difference" in text
    assert "unknown" in text  # every seventh PD-L1
    assert "Tumour volume at baseline, ml" in text


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("In whom does it work?", "hazard ratio"),
        ("Are the percentages right?", "points** off on average"),
        ("Is the order right?", "C-index"),
        ("Is it useful?", "Acting on CTRS"),
    ],
)
def test_every_question_has_an_answer_with_a_figure(filled, app, question, words):
    open_page(app, COHORT)
    app.segmented_control(key="question").set_value(question).run()
    text = read(app)
    assert words in text
    assert len(app.get("plotly_chart")) == 2
    assert not app.error


@pytest.mark.parametrize(
    "question",
    ["In whom does it work?", "Are the percentages right?", "Is the order right?",
     "Is it useful?", "Who are they?"],
)  # fmt: skip
@pytest.mark.parametrize("n", [1, 5])
def test_every_question_about_few_patients_is_answered_in_words(filled, app, question, n):
    for name in EVERYBODY[1 : 1 + n]:
        filled.save_patient(Patient(patient=name, cohort="demo", pd_l1="1-49%"))
    open_page(app, COHORT)
    app.multiselect(key="filter_pd_l1").set_value(["1-49%"])
    app.segmented_control(key="question").set_value(question).run()
    text = read(app)
    assert not app.exception
    assert not app.error
    if "percentages" in question:
        assert "calibration needs 20 with 5" in text
    if "order" in question:
        assert "at least 10 are needed" in text


def test_a_cohort_in_which_nobody_died_has_no_hazard_ratio(filled, app):
    for number, name in enumerate(EVERYBODY):
        filled.save_outcome(name, Outcome(20.0 + number / 10, False))
    open_page(app, COHORT)
    app.segmented_control(key="question").set_value("In whom does it work?").run()
    assert "No hazard ratio:" in read(app)


@pytest.mark.parametrize("at", [6.0, 12.0, 18.0])
def test_percentages_are_checked_at_the_month_asked_for(filled, app, at):
    open_page(app, COHORT)
    app.segmented_control(key="question").set_value("Are the percentages right?").run()
    chosen = app.segmented_control(key="calibrated_at")
    assert chosen.value == 12
    chosen.set_value(at).run()
    rows = table(filled).table
    # Each curve falls by one rate throughout.
    predicted = rows["survival_12m"] ** (at / 12)
    found = calibration_at(rows["months"], rows["event"], predicted, at)
    text = read(app)
    assert f"(ICI {found.ici:.3f})" in text
    assert f"Deaths within {at:g} months: **{found.observed_to_expected:.2f}**" in text
    assert f"At each site**, {at:g} months after the follow-up CT" in text
    (site,) = [t.value for t in app.get("table") if "Predicted (mean)" in t.value]
    assert site["Predicted (mean)"].tolist() == [f"{100 * predicted.mean():.0f}\u00a0%"]
    assert any(f"Calibration at {at:g} months was" in code.value for code in app.code)
    assert "no prediction" not in text


def test_without_curves_there_is_no_calibration_at_18_months(filled, app):
    rows = table(filled).table
    for row in rows.itertuples():
        score = filled.find_score(f"pair-{row.patient}", "fixed")
        short = PredictedCurve((0.0, 12.0), (1.0, row.survival_12m), (1.0, row.lower), (1.0, 1.0))
        filled.save_score(f"pair-{row.patient}", replace(score, curve=short), {})
    open_page(app, COHORT)
    app.segmented_control(key="question").set_value("Are the percentages right?").run()
    assert "points** off on average" in read(app)
    app.segmented_control(key="calibrated_at").set_value(18.0).run()
    text = read(app)
    assert f"Of {len(rows)} patients no prediction for 18 months is stored" in text
    assert "No calibration:" in text
    assert "At each site" not in text
    assert not app.exception
    assert not app.error


def test_nobody_followed_to_18_months_is_said(filled, app):
    for number, name in enumerate(EVERYBODY):
        filled.save_outcome(name, Outcome(2 + number / 4, number % 3 == 0))
    open_page(app, COHORT)
    app.segmented_control(key="question").set_value("Are the percentages right?").run()
    app.segmented_control(key="calibrated_at").set_value(18.0).run()
    text = read(app)
    assert "No calibration: Nobody is followed up to 18" in text
    assert "nan" not in text.lower()
    assert not app.error


def test_the_page_says_whether_the_hazard_ratio_is_the_same_early_and_late(filled, app):
    open_page(app, COHORT)
    app.segmented_control(key="question").set_value("In whom does it work?").run()
    tests = {test.covariate: test for test in adjusted_hazard_ratio(table(filled))[1]}
    text = read(app)
    for test in (tests["score"], tests["global"]):
        assert (
            f"χ² = {test.chi_square:.2f}, df = {test.degrees_of_freedom}, p = {test.p_value:.3f}"
            in text
        )
    assert not tests["score"].violated
    assert "No sign that the score's hazard ratio changes over time" in text


def test_a_score_that_tells_early_deaths_only_is_called_that(filled, app):
    rows = table(filled).table.sort_values("survival_12m")
    for rank, name in enumerate(rows["patient"]):
        low = rank < len(rows) // 2  # the low half dies early; later nobody can tell
        months = 0.3 + rank / 10 if low and rank % 4 else 6 + 14 * (rank * 7 % 53) / 53
        filled.save_outcome(name, Outcome(months, True))
    open_page(app, COHORT)
    app.segmented_control(key="question").set_value("In whom does it work?").run()
    assert adjusted_hazard_ratio(table(filled))[1][0].violated
    text = read(app)
    assert "The hazard ratio of the score changes over time" in text
    assert "No sign" not in text


def test_a_cut_that_looked_is_stamped_and_its_p_corrected(filled, app):
    open_page(app, COHORT)
    app.segmented_control(key="groups_by").set_value("Best cut on these patients").run()
    text = read(app)
    assert "Exploratory." in text
    assert "p corrected for the search over" in text
    assert re.search(r"Score \d+% or more", text)
    assert "Log-rank p" not in text
    assert "Low risk" not in app.get("table")[0].value.to_string()


def test_the_clock_from_treatment_says_how_biased_it_is(filled, app):
    open_page(app, COHORT)
    app.segmented_control(key="clock").set_value("Start of treatment").run()
    text = read(app)
    assert "This clock is biased (guarantee time)" in text
    assert "points are a gift of the clock" in text
    assert len(app.error) == 1


# --- Stable disease -------------------------------------------------------------------------


def test_stable_disease_is_split_by_the_score_and_listed_lowest_first(filled, app):
    text = open_page(app, STABLE)
    rows = table(filled).table
    stable = rows[rows["recist"] == "SD"].sort_values(["survival_12m", "patient"])
    n, deaths = len(stable), int(stable["event"].sum())
    assert f"RECIST: SD; Zone: usable** ({n} patients, {deaths} deaths)" in text
    (listed,) = [frame.value for frame in app.get("dataframe")]
    assert listed["Patient"].tolist() == [f"Patient?patient={name}" for name in stable["patient"]]
    assert listed["No."].tolist() == list(range(1, n + 1))
    first = stable.iloc[0]
    chance = f"{100 * first['survival_12m']:.0f} % ({100 * first['lower']:.0f}–"
    assert listed["12-month survival (90 %)"][0].replace("\u00a0", " ").startswith(chance)
    ends = ["died at" if died else "alive at" for died in stable["event"]]
    assert [cell[:8].strip() for cell in listed["Since follow-up CT"]] == ends


def test_many_stable_patients_come_in_parts(filled, app):
    filled.bulk_load(
        responses=[(f"pair-{n}", Response(Recist.SD, 50.0, 45.0, 0, -0.2)) for n in EVERYBODY]
    )
    open_page(app, STABLE)
    (listed,) = app.get("dataframe")
    assert len(listed.value) == 40
    app.selectbox(key="stable_part_of_53").set_value(40).run()
    (listed,) = app.get("dataframe")
    assert listed.value["No."].tolist() == list(range(41, 54))
    assert "High-risk patients die at **" in read(app)


# --- Comparison -----------------------------------------------------------------------------


def test_the_comparison_is_on_the_same_patients_with_intervals(filled, app):
    filled.save_response("pair-SIM-001", Response(Recist.NE, 50.0, 45.0, 0, -0.2))
    text = open_page(app, COMPARISON)
    assert "Compared: **52 patients" in text
    assert "1 patient lack one" in text or "1 patient lacks one" in text
    assert "Against **RECIST class**" in text
    assert "difference " in text
    assert len(app.get("plotly_chart")) == 4
    flows = tables(app)
    assert "CTRS" in text
    counts = next(t for t in flows.values() if "RECIST" in t)["Patients"].astype(int)
    assert counts.sum() == 52


def test_small_flows_have_no_share(filled, app):
    text = open_page(app, COMPARISON)
    small = [f for f in comparison.reclassify(table(filled)) if f.n_patients < 10]
    assert text.count("fewer than 10 patients") == len(small) > 0


# --- The patient among others ---------------------------------------------------------------


def test_the_patient_is_placed_among_patients_of_the_same_risk_group(filled, app):
    text = open_page(app, "pages/3_Patient.py", "DEMO-DISAGREES")
    high = table(filled).table.query("risk_group == 'High risk'")
    assert f"all patients **53** → Risk group: High risk **{len(high)}**" in text
    assert f"Of {len(high)} patients like this one" in text
    assert "The patient need not follow that curve" in text
    # 0.38 at 12 months by one rate throughout: half live longer than 12 ln 2 / -ln 0.38 = 8.6.
    assert "half of such patients live longer than **9 months**" in text


def move(store, names, cohort):
    for name in names:
        store.save_patient(Patient(patient=name, cohort=cohort, sex="female"))


def test_an_imported_cohort_can_be_what_the_patient_is_compared_with(filled, app):
    move(filled, EVERYBODY[:30], "Ward *7*")
    move(filled, EVERYBODY[30:31], "From the start")
    filled.save_time_zero("From the start", "the start of treatment")
    text = open_page(app, "pages/3_Patient.py", "DEMO-DISAGREES")
    reference = app.selectbox(key="reference")
    # Those counted from another day cannot be set beside a prediction from the follow-up CT.
    assert reference.options == ["demo (simulated)", "Ward *7*"]
    assert "demo cohort, all **simulated**" in text
    reference.set_value("Ward *7*").run()
    ward = landmark_cohort(filled.cohort_table("Ward *7*", "fixed"), "")[0].table
    high = (ward["risk_group"] == "High risk").sum()
    assert 10 <= high < len(ward) - 10
    text = read(app)
    assert f"all patients **{len(ward)}** → Risk group: High risk **{high}**" in text
    assert f"{high} patients like this one" in text
    assert f"of the {len(ward)} patients of Ward *7*." in text
    assert "these patients of Ward *7*" in text
    assert "demo cohort" not in text
    assert not app.exception


def test_fewer_than_ten_like_the_patient_are_refused(filled, app):
    open_page(app, "pages/3_Patient.py", "DEMO-DISAGREES")
    app.get("button_group")  # the pills
    app.pills(key="alike").set_value(["risk_group", "recist", "histology", "pd_l1"]).run()
    text = read(app)
    assert "fewer than 10 say nothing" in text
    assert "patients like this one" not in text
    assert not app.exception


def test_what_is_unknown_of_a_patient_cannot_be_asked_for(filled, app):
    open_page(app, "pages/3_Patient.py", "DEMO-AGREES")  # PD-L1 is not known
    assert not any("PD-L1" in option for option in app.pills(key="alike").options)


def test_the_picture_of_a_hundred_comes_with_words(filled, app):
    text = open_page(app, "pages/3_Patient.py", "DEMO-DISAGREES")
    assert "About 38 of 100 similar patients (range 27 to 50) are alive a year" in text


def test_half_of_such_patients_in_months():
    # 0.25 at 12 months: half at 6. The bounds reach a half at other times, or never.
    assert "**6\u00a0months**" in _half_words(curve(0.25))
    assert "24\u00a0months or more" in _half_words(curve(0.9))


# --- Taking it along ------------------------------------------------------------------------


def test_a_table_begins_with_what_it_must_not_be_used_for():
    text = as_csv(pd.DataFrame({"months": [12], "survival": [0.5]}), f"By hand. {NOTICE}")
    lines = text.splitlines()
    assert lines == [f"# {NOTICE}", "# By hand.", "months,survival", "12,0.5"]


@pytest.mark.parametrize("page", PAGES)
def test_nothing_to_take_along_names_a_patient(filled, app, page, monkeypatch):
    taken = []
    monkeypatch.setattr(
        "ctrs.ui.charts.as_csv", lambda data, about: taken.append(as_csv(data, about)) or "csv"
    )
    open_page(app, page)
    assert taken
    for text in taken:
        assert "SIM-" not in text
        assert text.startswith(f"# {NOTICE}")
    methods = [code.value for code in app.code]
    assert methods
    assert all(NOTICE in words and "SIM-" not in words for words in methods)


def test_a_figure_turns_white_when_it_is_to_be_taken_along(filled, app):
    open_page(app, COHORT)
    app.segmented_control(key="survival_picture").set_value("SVG").run()
    (chart,) = [c for c in app.get("plotly_chart") if '"toImage"' in c.proto.config]
    assert '"format": "svg"' in chart.proto.config
    assert "Not affiliated" in chart.proto.spec


# --- When something goes wrong --------------------------------------------------------------


@pytest.mark.parametrize(
    ("page", "broken"),
    [
        (COHORT, "ctrs.ui.resources.store"),
        (COMPARISON, "ctrs.ui.resources.store"),
        (COHORT, "ctrs.ui.cohort.table_one"),
        (COMPARISON, "ctrs.ui.comparison.compare"),
        (STABLE, "ctrs.ui.stable_disease.swimmer_figure"),
    ],
)
def test_an_unexpected_error_is_a_reference_and_leaves_the_notice(
    filled, app, monkeypatch, caplog, page, broken
):
    def fail(*_, **__):
        raise ZeroDivisionError("division by MUELLER^ANNA")

    st.cache_resource.clear()
    monkeypatch.setattr(broken, fail)
    text = open_page(app, page)
    assert "reference `" in text
    assert "ZeroDivisionError" not in text
    assert "MUELLER" not in text + caplog.text
    assert NOTICE in text.replace("**", "")
