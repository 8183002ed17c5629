"""Figures carry the numbers they claim to show, and never by colour alone."""

import numpy as np
import pandas as pd
import pytest

from ctrs.figures import (
    forest_figure,
    icon_array,
    placement_figure,
    score_strip,
    survival_figure,
)
from ctrs.survival import kaplan_meier
from ctrs.types import Cohort, HazardRatio, PredictedCurve

NAN = float("nan")


def make_cohort(name, months, event):
    table = {"months": np.array(months, float), "event": np.array(event, bool)}
    return Cohort(name, pd.DataFrame(table))


LOW = make_cohort("Low risk", [3, 6, 6, 8, 11, 14, 20, 24, 26], [1, 0, 1, 0, 1, 0, 0, 1, 0])
HIGH = make_cohort("High risk", [1, 2, 2, 5, 7, 9, 13], [1, 1, 1, 1, 0, 1, 1])
PREDICTED = PredictedCurve(
    months=(0, 6, 12, 18),
    survival=(1, 0.79, 0.62, 0.5),
    lower=(1, 0.7, 0.49, 0.37),
    upper=(1, 0.86, 0.73, 0.64),
)
ROWS = [
    HazardRatio("All patients", 0.73, 0.67, 0.81, 1e-9, 260, 158),
    HazardRatio("RECIST: PR", 0.70, 0.60, 0.82, 1e-5, 97, 61, 0.0004),
    HazardRatio("RECIST: SD", 0.78, 0.64, 0.95, 0.01, 86, 50, 0.0004),
    HazardRatio("RECIST: NE", NAN, NAN, NAN, NAN, 4, 2, 0.0004),
    HazardRatio("PD-L1: >=50%", NAN, NAN, NAN, NAN, 12, 0, 0.234),
    HazardRatio("PD-L1: <1%", 1.9, 0.02, 40.0, 0.6, 11, 3, 0.234),
    HazardRatio("Sex: male", 0.8, 0.7, 0.92, 0.002, 90, 60, 0.0163),
    HazardRatio("Line: first", 0.8, 0.7, 0.92, 0.002, 90, 60, None),
]


def survival():
    return survival_figure([LOW, HIGH], [kaplan_meier(LOW), kaplan_meier(HIGH)], [0, 6, 12, 24])


def texts(figure):
    return [annotation.text for annotation in figure.layout.annotations]


def trace(figure, name):
    (found,) = [trace for trace in figure.data if trace.name == name]
    return found


ALL = {
    "survival": survival,
    "placement": lambda: placement_figure(PREDICTED, kaplan_meier(LOW), "n = 9, 4 deaths"),
    "forest": lambda: forest_figure(ROWS),
    "icons": lambda: icon_array(0.62, (0.51, 0.73)),
    "strip": lambda: score_strip([0.2, 0.5, 0.52, 0.9], 0.62, (0.51, 0.73), 0.55),
}


@pytest.mark.parametrize("name", ALL)
def test_every_figure_says_research_use_only(name):
    assert "Research use only" in texts(ALL[name]())


@pytest.mark.parametrize("name", ALL)
def test_every_figure_lies_on_light_and_on_dark(name):
    figure = ALL[name]()
    assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == "rgba(0,0,0,0)"
    fonts = [figure.layout.font, *(note.font for note in figure.layout.annotations)]
    assert [font.color for font in fonts] == [None] * len(fonts)


# --- Kaplan-Meier ---------------------------------------------------------------------------


def test_survival_figure_steps_after_the_death_and_names_group_size_and_clock():
    figure = survival()
    low = trace(figure, "Low risk (n = 9, 4 deaths)")
    assert low.line.shape == "hv"
    # Deaths at 3 and 6 before fewer than 5 are left, from 11 months on.
    assert list(low.x) == [0, 3, 6, 11, 11]
    assert list(low.y) == pytest.approx([1, 8 / 9, 7 / 9, 7 / 9 * 4 / 5, 7 / 9 * 4 / 5])
    assert figure.layout.xaxis.title.text == "Months since follow-up CT"
    assert tuple(figure.layout.yaxis.range) == (0, 1.02)


def test_where_fewer_than_five_are_at_risk_the_curve_is_thin_and_has_no_band():
    figure = survival()
    firm = trace(figure, "Low risk (n = 9, 4 deaths)")
    thin = trace(figure, "Low risk, fewer than 5 at risk")
    assert thin.line.width < firm.line.width
    assert (thin.x[0], thin.y[0]) == (firm.x[-1], firm.y[-1])
    assert list(thin.x[1:]) == [24, 26]
    bands = [t for t in figure.data if t.fill == "tonexty"]
    assert [max(band.x) for band in bands] == [11, 2]


def test_groups_differ_in_dash_and_look_the_same_when_alone():
    both = survival()
    alone = survival_figure([HIGH], [kaplan_meier(HIGH)], [0, 12])
    high = trace(both, "High risk (n = 7, 6 deaths)").line
    assert high.dash != trace(both, "Low risk (n = 9, 4 deaths)").line.dash
    assert trace(alone, "High risk (n = 7, 6 deaths)").line == high


def test_six_groups_have_six_dashes():
    groups = [make_cohort(f"arm {i}", [2, 5, 7 + i], [1, 1, 0]) for i in range(6)]
    figure = survival_figure(groups, [kaplan_meier(group) for group in groups], [0, 6])
    assert len({t.line.dash for t in figure.data if t.name and "(n =" in t.name}) == 6


def test_number_at_risk_stands_under_its_tick_in_the_row_of_its_group():
    figure = survival()
    low, high = (trace(figure, f"{group}, number at risk") for group in ("Low risk", "High risk"))
    assert list(low.x) == list(figure.layout.xaxis.tickvals) == [0, 6, 12, 24]
    assert list(low.text) == ["9", "8", "4", "2"]  # who dies at 6 is still at risk at 6
    assert list(high.text) == ["7", "3", "1", "0"]
    assert figure.layout.xaxis2.matches == "x"
    labels = figure.layout.yaxis2.ticktext
    assert "Low risk" in labels[low.y[0]]
    assert "High risk" in labels[high.y[0]]
    assert figure.layout.yaxis2.domain[1] < figure.layout.yaxis.domain[0]


def test_censoring_marks_lie_on_the_curve():
    marks = trace(survival(), "Low risk, follow-up ends alive")
    assert list(marks.x) == [6, 8, 14, 20, 26]
    after_11 = 7 / 9 * 4 / 5
    assert list(marks.y) == pytest.approx([7 / 9, 7 / 9, after_11, after_11, after_11 / 2])


@pytest.mark.parametrize(
    ("months", "event"),
    [([4], [1]), ([4], [0]), ([2, 2], [1, 1]), ([0, 3], [1, 0]), ([2] * 6, [1] * 6)],
)
def test_the_smallest_groups_can_be_drawn(months, event):
    group = make_cohort("alone", months, event)
    figure = survival_figure([group], [kaplan_meier(group)], [0, 12])
    assert not any(np.isnan(np.asarray(t.y, float)).any() for t in figure.data)


# --- One patient ----------------------------------------------------------------------------


def test_the_patient_lies_over_the_group_and_shows_the_value_at_twelve_months():
    figure = placement_figure(PREDICTED, kaplan_meier(LOW), "n = 9, 4 deaths")
    names = [t.name for t in figure.data]
    assert names.index("Low risk (n = 9, 4 deaths)") < names.index("This patient, predicted")
    assert "At 12 months: <b>62%</b> (90% interval 49–73%)" in texts(figure)
    mark = trace(figure, "This patient at 12 months")
    assert (mark.x[0], mark.y[0]) == (12, 0.62)
    assert mark.error_y.array[0] == pytest.approx(0.11)
    assert mark.error_y.arrayminus[0] == pytest.approx(0.13)
    assert max(trace(figure, "Low risk (n = 9, 4 deaths)").x) == 18  # no further than predicted
    assert any("n = 9, 4 deaths" in text for text in texts(figure))


def test_curve_labels_keep_apart_where_the_curves_meet():
    same = kaplan_meier(LOW)
    predicted = PredictedCurve((0, 12, 18), (1, 0.7, 0.622), (1, 0.6, 0.5), (1, 0.8, 0.7))
    figure = placement_figure(predicted, same, "n = 9")
    heights = [a.y for a in figure.layout.annotations if a.x == 18]
    assert len(heights) == 2
    assert abs(heights[0] - heights[1]) >= 0.2


def test_a_patient_without_company_is_drawn_alone():
    figure = placement_figure(PREDICTED, None, "")
    assert all("Low risk" not in text for text in texts(figure))
    assert trace(figure, "This patient, predicted").y == PREDICTED.survival


@pytest.mark.parametrize(
    ("survival", "interval", "counts"),
    [
        (0.62, (0.51, 0.73), (51, 22, 27)),
        (0.62, (0.514, 0.726), (51, 22, 27)),
        (0.005, (0.0, 0.013), (0, 1, 99)),
        (1.0, (1.0, 1.0), (100, 0, 0)),
        (0.333, (1 / 3 - 0.009, 1 / 3 + 0.002), (32, 2, 66)),
    ],
)
def test_icons_add_up_to_a_hundred_and_to_the_printed_bounds(survival, interval, counts):
    figure = icon_array(survival, interval)
    assert tuple(len(t.x or ()) for t in figure.data) == counts
    assert f"{counts[0]} to {100 - counts[2]}" in figure.layout.title.text
    assert len({t.marker.symbol for t in figure.data}) == 3
    places = [place for t in figure.data for place in zip(t.x or (), t.y or (), strict=True)]
    assert len(set(places)) == 100
    assert places[:2] == [(0, 0), (1, 0)] or counts[0] == 0  # row by row from the top left


def test_the_strip_marks_patient_interval_and_cut_off_among_the_cohort():
    figure = score_strip([0.21, 0.5, 0.52, 0.9, NAN], 0.62, (0.51, 0.73), 0.55)
    bars, interval, patient = figure.data
    assert sum(bars.y) == 4
    assert bars.x[np.argmax(bars.y)] == pytest.approx(0.5125)  # 0.50 and 0.52 share a bin
    assert (interval.x, patient.x) == ((0.51, 0.73), (0.62,))
    assert figure.layout.shapes[0].x0 == 0.55
    assert "4 patients" in figure.layout.xaxis.title.text
    words = " ".join(texts(figure))
    assert "<b>62%</b> (90% interval 51–73%)" in words
    assert "Low risk ▶ (cut-off 55%)" in words
    low, high = (
        next(a for a in figure.layout.annotations if word in a.text) for word in ("Low r", "High r")
    )
    assert (low.xanchor, high.xanchor) == ("left", "right")  # low risk lies above the cut-off


def test_a_strip_without_a_cohort_still_shows_the_patient():
    figure = score_strip([], 0.3, (0.2, 0.4), 0.55)
    assert figure.data[2].x == (0.3,)


# --- Forest ---------------------------------------------------------------------------------


def row_texts(figure, containing):
    (y,) = {a.y for a in figure.layout.annotations if containing in a.text}
    return [a.text for a in figure.layout.annotations if a.y == y and a.xref == "paper"]


def test_forest_rows_carry_patients_deaths_and_estimate():
    figure = forest_figure(ROWS)
    assert figure.layout.xaxis.type == "log"
    assert row_texts(figure, "PR, partial") == [
        "   PR, partial response",
        "97 / 61",
        "0.70 (0.60 – 0.82)",
    ]
    assert row_texts(figure, "NE, not") == ["   NE, not evaluable", "4 / 2", "too few (n = 4)"]
    assert row_texts(figure, "≥ 50%") == ["   ≥ 50%", "12 / 0", "no deaths"]
    assert trace(figure, "RECIST: PR").x == (0.70,)
    assert not [t for t in figure.data if t.name == "RECIST: NE"]
    assert any(s.x0 == s.x1 == 1 for s in figure.layout.shapes)


def test_interaction_stands_at_the_head_of_its_factor():
    figure = forest_figure(ROWS)
    assert row_texts(figure, "<b>RECIST</b>") == ["<b>RECIST</b>", "interaction p < 0.001"]
    assert row_texts(figure, "<b>PD-L1</b>") == ["<b>PD-L1</b>", "interaction p = 0.23"]
    assert row_texts(figure, "<b>Sex</b>") == ["<b>Sex</b>", "interaction p = 0.016"]
    assert row_texts(figure, "<b>Line</b>") == ["<b>Line</b>"]  # nothing was tested


def test_stable_disease_stands_out_by_shape_weight_and_bar():
    figure = forest_figure(ROWS)
    stable, other = trace(figure, "RECIST: SD"), trace(figure, "RECIST: PR")
    assert stable.marker.symbol != other.marker.symbol
    assert all(text.startswith("<b>") for text in row_texts(figure, "SD, stable"))
    (bar,) = [shape for shape in figure.layout.shapes if shape.type == "rect"]
    assert bar.y0 < stable.y[0] < bar.y1


def test_directions_are_said_in_words():
    words = texts(forest_figure(ROWS))
    left = next(a for a in forest_figure(ROWS).layout.annotations if "lower hazard" in a.text)
    assert left.xanchor == "right"  # it ends at 1: hazards below 1 lie left of it
    assert any("higher hazard" in text for text in words)


def test_an_endless_interval_is_cut_with_an_arrow():
    figure = forest_figure(ROWS)
    (interval,) = [t for t in figure.data if t.mode == "lines+markers" and max(t.x) == 10]
    assert tuple(interval.x) == (0.1, 10)
    assert tuple(interval.marker.symbol) == ("triangle-left", "triangle-right")
    assert "1.90 (0.02 – 40.00)" in texts(figure)


def test_a_forest_of_nothing_but_gaps_can_be_drawn():
    figure = forest_figure([HazardRatio("All patients", NAN, NAN, NAN, NAN, 30, 4)])
    assert "<b>no estimate</b>" in texts(figure)
