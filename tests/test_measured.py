"""What the viewer hands over, and what the page makes of it."""

from math import isnan
from types import SimpleNamespace

import pytest
from conftest import biomarkers
from streamlit.testing.v1 import AppTest

from ctrs.lesions import Lesion, PairedLesion
from ctrs.measurement import Measurement
from ctrs.store import StoredPair
from ctrs.types import Biomarker, Recist, Response
from ctrs.ui import measured, resources
from ctrs.ui.changes import changes_of
from ctrs.ui.measured import (
    as_measurement,
    forget_measurement,
    keep_measurements,
    keep_offset,
    measured_table,
)

SENT = {"key": "k", "lesion": "L1", "visit": 1, "plane": "sagittal",
        "lines": [[[0, 0, 0], [3, 4, 0]]]}  # fmt: skip
PAIR = StoredPair("k1", "P-ANNA", "b", "f", 84)


@pytest.fixture
def store(shelf):
    shelf.save_pair("k1", "P-ANNA", "b", "f", 84, ())
    return shelf


def test_a_line_from_the_browser_is_measured_here(store):
    keep_measurements(PAIR, [SENT])
    (kept,) = store.measurements("P-ANNA", "k1")
    assert kept.long_mm == pytest.approx(5.0)
    assert (kept.lesion, kept.visit, kept.plane) == ("L1", 1, "sagittal")


@pytest.mark.parametrize(
    "change",
    [
        {"visit": 2}, {"plane": "oblique"}, {"lines": []}, {"lines": [[[0, 0], [1, 1]]]},
        {"lines": [[[0, 0, 0], ["x", 1, 1]]]}, {"lines": None}, {"visit": "first"},
        {"lines": [[[0, 0, 0], [float("nan"), 1, 1]]]},
    ],
)  # fmt: skip
def test_what_is_no_line_is_not_kept(store, change):
    with pytest.raises((KeyError, TypeError, ValueError)):
        as_measurement(SENT | change)
    keep_measurements(PAIR, [SENT | change])
    assert store.measurements("P-ANNA", "k1") == []


def test_drawn_anew_a_target_stays_a_target(store):
    store.save_measurement("P-ANNA", "k1", as_measurement(SENT))
    marked = Measurement("k", "L1", 1, "axial", as_measurement(SENT).lines, target=True, node=True)
    store.save_measurement("P-ANNA", "k1", marked)
    keep_measurements(PAIR, [SENT | {"lines": [[[0, 0, 0], [6, 8, 0]]]}])
    (kept,) = store.measurements("P-ANNA", "k1")
    assert (kept.long_mm, kept.target, kept.node) == (10.0, True, True)


def test_what_is_handed_over_again_with_what_is_new_is_recorded_once(store):
    other = SENT | {"key": "k2", "lesion": "M1"}
    keep_measurements(PAIR, [SENT])
    keep_measurements(PAIR, [SENT, other])
    assert [one.key for one in store.measurements("P-ANNA", "k1")] == ["k", "k2"]
    record = store.audit_trail(50)
    lines = record[record["action"] == "measure"]["detail"].tolist()
    assert sorted(line.split(",")[0] for line in lines) == ["L1", "M1"]


def test_names_from_the_browser_have_an_end_and_the_reader_is_who_is_logged_in(store, monkeypatch):
    monkeypatch.setattr(measured.st, "user", {"email": "anna@clinic"})
    kept = as_measurement(SENT | {"key": "k" * 99, "lesion": "L" * 99})
    assert (kept.key, kept.lesion, kept.made_by) == ("k" * 40, "L" * 20, "anna@clinic")
    monkeypatch.setattr(measured.st, "user", {})
    assert as_measurement(SENT).made_by == ""


def test_nothing_handed_over_changes_nothing(store):
    keep_measurements(PAIR, None)
    forget_measurement(PAIR, None)
    keep_offset(PAIR, None)
    keep_offset(PAIR, [1e9, 0, 0])
    assert resources.store().link("P-ANNA", "k1") is None
    keep_offset(PAIR, [1, -2.5, 3])
    assert resources.store().link("P-ANNA", "k1") == (1.0, -2.5, 3.0)


def test_the_table_has_a_lesion_a_row_over_both_scans():
    lines = as_measurement(SENT).lines
    across = (((0.0, 0.0, 0.0), (-2.4, 1.8, 0.0)),)
    table = measured_table([
        Measurement("a", "L1", 0, "axial", lines + across, made_by="anna"),
        Measurement("b", "L1", 1, "axial", (((0.0, 0.0, 0.0), (0.0, 0.0, 4.0)),), made_by="bert"),
        Measurement("c", "M1", 1, "axial", lines, made_by="anna"),
    ])  # fmt: skip
    assert table.loc["L1"].tolist() == ["5.0 × 3.0 mm", "4.0 mm", "−20\u00a0%", "anna, bert"]
    assert table.loc["M1"].tolist() == ["not measured", "5.0 mm", "–", "anna"]


def page_of(file):
    from ctrs.ui import resources
    from ctrs.ui.measured import show_measured

    show_measured(file, resources.store().measurements(file.pair.patient, file.pair.pair_key))


ALONG, ACROSS = ((0.0, 0.0, 0.0), (30.0, 0.0, 0.0)), ((9.0, 0.0, 0.0), (9.0, 12.0, 0.0))
SHORTER = ((0.0, 0.0, 0.0), (18.0, 0.0, 0.0)), ((9.0, 0.0, 0.0), (9.0, 10.0, 0.0))


@pytest.fixture
def page(store):
    """L1 and a node measured in both scans, M1 at the follow-up only; two new lesions were read."""
    for key, lesion, visit, lines in (
        ("a", "L1", 0, (ALONG,)), ("b", "L1", 1, (SHORTER[0],)), ("c", "N1", 0, (ALONG, ACROSS)),
        ("d", "N1", 1, SHORTER), ("e", "M1", 1, (ALONG,)),
    ):  # fmt: skip
        drawn = Measurement(key, lesion, visit, "axial", lines, made_by="anna")
        store.save_measurement("P-ANNA", "k1", drawn)
    response = Response(Recist.SD, 61.0, 58.5, 2, -0.25)
    file = SimpleNamespace(pair=PAIR, response=response)
    return AppTest.from_function(page_of, args=(file,)).run()


def words(page):
    assert not page.exception
    return " ".join(one.value for one in [*page.markdown, *page.info])


def test_targets_and_nodes_are_marked_and_their_sums_become_the_reading(page, store):
    page.multiselect(key="target_of_k1").set_value(["L1"]).run()
    assert "30.0 → 18.0 mm" in words(page)
    assert "PR, partial response" in words(page)  # -40 %
    page.multiselect(key="target_of_k1").set_value(["L1", "N1"]).run()
    assert "60.0 → 36.0 mm" in words(page)
    page.multiselect(key="node_of_k1").set_value(["N1"]).run()
    assert "42.0 → 28.0 mm" in words(page)  # the node by its short axis, 12 and 10 mm
    assert page.table[0].value.loc["N1", "Change"] == "−17\u00a0%"
    marked = {(one.key, one.target, one.node) for one in store.measurements("P-ANNA", "k1")}
    assert marked == {("a", True, False), ("b", True, False), ("c", True, True),
                      ("d", True, True), ("e", False, False)}  # fmt: skip
    page.button(key="use_sums").click().run()
    # The two new lesions that were read before make it PD, and stay, as does the volume.
    assert store.response("k1") == Response(Recist.PD, 42.0, 28.0, 2, -0.25)
    assert store.audit_trail(1)["detail"].tolist() == ["42.0 -> 28.0 mm"]


def test_what_was_marked_is_marked_again_when_the_page_is_opened_and_can_be_taken_back(page, store):
    page.multiselect(key="target_of_k1").set_value(["L1", "M1"]).run()
    assert "not measured in both scans" in words(page)
    lines = len(store.audit_trail(99))
    page.multiselect(key="target_of_k1").set_value(["L1"]).run()
    assert len(store.audit_trail(99)) == lines + 1  # only M1 was written anew
    other = AppTest.from_function(page_of, args=(SimpleNamespace(pair=PAIR, response=None),)).run()
    assert other.multiselect(key="target_of_k1").value == ["L1"]
    other.button(key="use_sums").click().run()
    kept = store.response("k1")
    assert (kept.recist, kept.new_lesions) == (Recist.PR, 0)
    assert isnan(kept.volume_change)


def test_a_target_that_is_gone_counts_nothing_and_can_be_drawn_after_all(page, store):
    """Of 30 and 12 mm the first is gone, the node has 10: 42 to 10 mm, -76 %, and still disease."""
    page.multiselect(key="target_of_k1").set_value(["L1", "N1"]).run()
    page.multiselect(key="node_of_k1").set_value(["N1"]).run()
    assert not [one for one in page.multiselect if one.key == "gone_of_k1"]  # all have a line
    forget_measurement(PAIR, "b")
    page.run()
    assert "has to be marked as gone" in words(page)
    assert page.multiselect(key="gone_of_k1").options == ["L1"]
    page.multiselect(key="gone_of_k1").set_value(["L1"]).run()
    assert "42.0 → 10.0 mm" in words(page)
    assert store.audit_trail(1)["detail"].iloc[0].startswith("L1, scan 2, gone, by ")
    assert "PR, partial response" in words(page)
    row = page.table[0].value.loc["L1"]
    assert row.tolist()[:3] == ["30.0 mm", "gone, 0 mm", "−100\u00a0%"]
    page.multiselect(key="gone_of_k1").set_value([]).run()
    assert "has to be marked as gone" in words(page)
    page.multiselect(key="gone_of_k1").set_value(["L1"]).run()
    keep_measurements(PAIR, [SENT | {"lines": [[[0, 0, 0], [0, 6, 0]]]}])
    page.run()
    assert "42.0 → 16.0 mm" in words(page)  # it is a target still, and has one line
    assert [one.key for one in store.measurements("P-ANNA", "k1") if one.lesion == "L1"] == [
        "a",
        "k",
    ]


def test_with_all_targets_gone_and_nodes_below_ten_the_response_is_complete(page, store):
    thin = ((0.0, 0.0, 0.0), (18.0, 0.0, 0.0)), ((9.0, 0.0, 0.0), (9.0, 8.0, 0.0))
    store.save_measurement("P-ANNA", "k1", Measurement("d", "N1", 1, "axial", thin))
    forget_measurement(PAIR, "b")
    page.multiselect(key="target_of_k1").set_value(["L1", "N1"]).run()
    page.multiselect(key="node_of_k1").set_value(["N1"]).run()
    page.multiselect(key="gone_of_k1").set_value(["L1"]).run()
    assert "42.0 → 8.0 mm" in words(page)
    assert "CR, complete response" in words(page)
    page.button(key="use_sums").click().run()
    assert store.response("k1").recist is Recist.PD  # two new lesions were read
    store.save_response("k1", Response(Recist.SD, 61.0, 58.5, 0, -0.25))
    file = SimpleNamespace(pair=PAIR, response=store.response("k1"))
    other = AppTest.from_function(page_of, args=(file,)).run()
    other.button(key="use_sums").click().run()
    assert store.response("k1") == Response(Recist.CR, 42.0, 8.0, 0, -0.25)


def test_what_is_gone_can_be_taken_back_when_its_baseline_was_deleted(page, store):
    forget_measurement(PAIR, "b")
    page.run()
    page.multiselect(key="gone_of_k1").set_value(["L1"]).run()
    store.save_measurement("P-ANNA", "k1", Measurement("z", "Z1", 0, "axial", (ALONG,)))
    forget_measurement(PAIR, "a")
    page.run()
    assert not page.exception
    assert page.multiselect(key="gone_of_k1").options == ["L1", "Z1"]
    assert page.table[0].value.loc["L1"].tolist()[:3] == ["not measured", "gone, 0 mm", "–"]
    page.multiselect(key="gone_of_k1").set_value([]).run()
    assert "L1" not in [one.lesion for one in store.measurements("P-ANNA", "k1")]


def page_of_a_chosen_pair():
    from types import SimpleNamespace

    import streamlit as st

    from ctrs.store import StoredPair
    from ctrs.ui import resources
    from ctrs.ui.measured import show_measured

    pair = StoredPair(st.selectbox("Pair", ["k1", "k2"], key="pair"), "P-ANNA", "b", "f", 84)
    measured = resources.store().measurements("P-ANNA", pair.pair_key)
    show_measured(SimpleNamespace(pair=pair, response=None), measured)


def test_what_was_chosen_for_one_pair_is_not_for_the_next(page, store):
    """Both have an L1; a target and gone in the first only."""
    store.save_pair("k2", "P-ANNA", "b2", "f2", 90, ())
    for key, lesion in (("k", "L1"), ("l", "N1")):
        store.save_measurement("P-ANNA", "k2", Measurement(key, lesion, 0, "axial", (ALONG,)))
    forget_measurement(PAIR, "b")
    both = AppTest.from_function(page_of_a_chosen_pair).run()
    both.multiselect(key="target_of_k1").set_value(["L1"]).run()
    both.multiselect(key="gone_of_k1").set_value(["L1"]).run()
    both.selectbox(key="pair").set_value("k2").run()
    assert not both.exception
    assert both.multiselect(key="target_of_k2").value == []
    assert both.multiselect(key="gone_of_k2").value == []
    both.multiselect(key="gone_of_k2").set_value(["N1"]).run()
    kept = store.measurements("P-ANNA", "k2")
    assert [one.lesion for one in kept if one.gone] == ["N1"]
    assert not any(one.target for one in kept)


def test_a_target_measured_at_the_second_scan_later_is_one_there_too(page, store):
    forget_measurement(PAIR, "b")
    page.multiselect(key="target_of_k1").set_value(["L1"]).run()
    keep_measurements(PAIR, [SENT])
    page.run()
    assert "30.0 → 5.0 mm" in words(page)


def scene(*lesions, places=({}, {})):
    outlines = tuple(SimpleNamespace(places=found) for found in places)
    return SimpleNamespace(pair=PAIR, lesions=list(lesions), outlines=outlines)


def file(**more):
    return SimpleNamespace(score=SimpleNamespace(biomarkers=biomarkers(20.0, 21.0) | more))


KNOWN = PairedLesion("L1", Lesion(1, (1.0, 2.0, 3.0), 9.0), Lesion(1, (4.0, 5.0, 6.0), 8.0))
GONE = PairedLesion("L1", Lesion(1, (1.0, 2.0, 3.0), 9.0), None)
NEW = PairedLesion("L2", None, Lesion(2, (7.0, 8.0, 9.0), 1.0))


def test_every_fact_says_whether_it_is_more_than_noise_and_where_to_look():
    fact, *_ = changes_of(file(), scene(KNOWN))
    assert (fact.name, fact.baseline, fact.follow_up) == (
        "Tumour volume",
        "20.0\u00a0ml",
        "21.0\u00a0ml",
    )
    assert fact.change == "+5\u00a0% (inside noise)"
    assert (fact.visit, fact.at_mm) == (1, (4.0, 5.0, 6.0))


def test_a_tumour_that_is_gone_is_shown_where_it_was():
    fact, *_ = changes_of(file(), scene(GONE))
    assert (fact.visit, fact.at_mm) == (0, (1.0, 2.0, 3.0))


def test_new_lesions_are_candidates_and_named():
    found = {row.name: row for row in changes_of(
        file(new_tumour_volume=Biomarker(0.0, 1.0, "ml")), scene(KNOWN, NEW))}  # fmt: skip
    row = found["New lesions (candidates)"]
    assert (row.change, row.at_mm) == ("L2", (7.0, 8.0, 9.0))
    none = changes_of(file(new_tumour_volume=Biomarker(0.0, 0.0, "ml")), scene(KNOWN))
    assert "New lesions (candidates)" not in [row.name for row in none]


def test_what_is_outlined_only_at_follow_up_but_near_old_tumour_is_not_called_new():
    """Two outlines of 1 and 0.5 ml have no partner; the model counts nothing as new: no 0.0 ml."""
    other = PairedLesion("L3", None, Lesion(3, (1.0, 1.0, 1.0), 0.5))
    nothing_new = file(new_tumour_volume=Biomarker(0.0, 0.0, "ml"))
    rows = changes_of(nothing_new, scene(KNOWN, NEW, other))
    found = {row.name: row for row in rows}
    assert "New lesions (candidates)" not in found
    row = found["Outlined at follow-up only"]
    assert (row.follow_up, row.at_mm) == ("1.5\u00a0ml", (7.0, 8.0, 9.0))
    assert row.change.startswith("L2, L3: not counted as new")
    rows = changes_of(file(new_tumour_volume=Biomarker(0.0, 1.2, "ml")), scene(KNOWN))
    (new,) = [row for row in rows if row.name == "New lesions (candidates)"]
    assert (new.follow_up, new.change) == ("1.2\u00a0ml", "beside a known lesion")


def test_what_was_not_there_before_has_no_percentage():
    places = {"lung_volume": (1.0, 1.0, 1.0)}, {"pleural_effusion": (2.0, 2.0, 2.0)}
    found = {row.name: row for row in changes_of(file(), scene(KNOWN, places=places))}
    assert found["Pleural effusion"].change == "not there before"
    assert found["Pleural effusion"].at_mm == (2.0, 2.0, 2.0)
    assert (found["Lung volume"].visit, found["Lung volume"].at_mm) == (0, (1.0, 1.0, 1.0))
    assert found["Lung volume"].change == "−4\u00a0%"  # 4210 to 4055 ml
