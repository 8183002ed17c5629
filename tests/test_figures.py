"""Figures carry the numbers they claim to show, and never by colour alone."""

import numpy as np
import pandas as pd
import pytest

from ctrs import NOTICE
from ctrs.analysis import Compared, Flow
from ctrs.figures import (
    auc_figure,
    calibration_figure,
    calibration_table,
    decision_figure,
    decision_table,
    for_paper,
    forest_figure,
    gain_figure,
    gain_table,
    icon_array,
    placement_figure,
    placement_table,
    reclassification_figure,
    reclassification_table,
    score_strip,
    strip_table,
    survival_figure,
    survival_table,
    swimmer_figure,
    swimmer_table,
    volume_diameter_figure,
    volume_diameter_table,
    waterfall_figure,
    waterfall_table,
)
from ctrs.survival import (
    Calibration,
    CalibrationBin,
    DecisionCurve,
    Difference,
    Estimate,
    kaplan_meier,
)
from ctrs.types import Cohort, HazardRatio, PredictedCurve, Recist, RiskGroup, SurvivalAt

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

CALIBRATION = Calibration(
    at=12,
    predicted=np.array([0.2, 0.5, 0.8]),
    observed=np.array([0.3, 0.6, 0.7]),
    ici=0.1, e50=0.1, e90=0.1, e_max=0.1, observed_to_expected=1.1,
    bins=(
        CalibrationBin(0.35, 0.4, 0.3, 0.55, 20, 12),
        CalibrationBin(0.8, 1.0, NAN, NAN, 10, 0),
        CalibrationBin(0.9, NAN, NAN, NAN, 1, 0),
    ),
    n_patients=31,
    n_events=12,
)  # fmt: skip
DECISION = DecisionCurve(
    at=12,
    threshold=np.array([0.3, 0.6]),
    net_benefit=np.array([0.3, 0.1]),
    treat_all=np.array([0.25, -0.4]),
    acted_on=np.array([0.8, 0.4]),
    n_patients=30,
    n_events=12,
)
GAINS = {
    "C-index": [
        Compared("CTRS", Estimate(0.68, 0.6, 0.7, 50), None),
        Compared(
            "RECIST", Estimate(0.65, 0.58, 0.7, 50), Difference(0.03, -0.02, 0.07, 0.68, 0.65, 50)
        ),
    ]
}
TUMOURS = Cohort(
    "tumours",
    pd.DataFrame(
        {
            "patient": [f"SIM-{n}" for n in range(6)],
            "volume_change": [-0.3, 3.1, 0.05, 0.8, -1.0, NAN],
            "risk_group": [
                "Low risk",
                "High risk",
                "Low risk",
                "High risk",
                "Low risk",
                "Low risk",
            ],
            "survival_12m": [0.7, 0.2, 0.6, 0.4, 0.9, 0.8],
            "new_lesions": [0, 0, 1, 0, 0, 2],
            "sum_baseline_mm": [50.0, 40, 50, 60, 0, 50],
            "sum_follow_up_mm": [30.0, 70, 51, 80, 0, 50],
        }
    ),
)
FLOWS = [
    Flow(Recist.SD, RiskGroup.LOW, 30, 9, SurvivalAt(12, 0.7, 0.5, 0.83, 20)),
    Flow(Recist.SD, RiskGroup.HIGH, 12, 8, SurvivalAt(12, 0.3, 0.1, 0.5, 4)),
    Flow(Recist.PD, RiskGroup.HIGH, 4, 4, SurvivalAt(12, 0.25, 0.01, 0.6, 1)),
]
SWIMMERS = pd.DataFrame(
    {
        "patient": ["SIM-7", "SIM-8", "SIM-9"],
        "place": [41, 42, 43],
        "months": [4.0, 9, 20],
        "event": [True, False, False],
        "risk_group": ["High risk", "High risk", "Low risk"],
    }
)


def calibration():
    return calibration_figure(CALIBRATION, [0.3, 0.31, 0.8])


def gains():
    return gain_figure(GAINS)


def decision():
    return decision_figure(DECISION)


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
    "calibration": calibration,
    "auc": lambda: auc_figure({12.0: Estimate(0.7, 0.6, 0.8, 40)}),
    "gains": gains,
    "decision": decision,
    "waterfall": lambda: waterfall_figure(TUMOURS),
    "volume_diameter": lambda: volume_diameter_figure(TUMOURS),
    "reclassification": lambda: reclassification_figure(FLOWS),
    "swimmer": lambda: swimmer_figure(SWIMMERS),
}


@pytest.mark.parametrize("name", ALL)
def test_every_figure_says_research_use_only(name):
    assert "Research use only" in texts(ALL[name]())


@pytest.mark.parametrize("name", ALL)
def test_every_figure_lies_on_light_and_on_dark(name):
    figure = ALL[name]()
    assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == "rgba(0,0,0,0)"
    on_a_flow = [note for note in figure.layout.annotations if "alive (n =" in note.text]
    fonts = [note.font for note in figure.layout.annotations if note not in on_a_flow]
    assert [font.color for font in (figure.layout.font, *fonts)] == [None] * (len(fonts) + 1)


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
    bars, interval, patient, rug = figure.data
    assert list(rug.x) == [0.21, 0.5, 0.52, 0.9]
    assert max(rug.y) < 0  # under the bars
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


# --- For paper ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_a_figure_to_be_taken_away_is_dark_on_white_and_bears_the_whole_notice(name):
    figure = ALL[name]()
    paper = for_paper(figure)
    said = " ".join(texts(paper)).replace("<br>", " ")
    assert NOTICE in said
    assert paper.layout.paper_bgcolor == "white"
    assert paper.layout.font.color == "black"
    assert paper.layout.height > figure.layout.height
    assert figure.layout.paper_bgcolor == "rgba(0,0,0,0)"  # the one on screen stays as it was


@pytest.mark.parametrize("name", ALL)
def test_no_figure_names_anybody(name):
    assert "SIM-" not in ALL[name]().to_json()


# --- Survival, more -------------------------------------------------------------------------


def test_another_clock_and_an_exploratory_cut_are_said_in_the_figure():
    figure = survival_figure(
        [LOW], [kaplan_meier(LOW)], [0, 12], time_axis="Months since baseline CT", exploratory=True
    )
    assert figure.layout.xaxis.title.text == "Months since baseline CT"
    assert any("EXPLORATORY" in text for text in texts(figure))
    assert not any("EXPLORATORY" in text for text in texts(survival()))


def test_the_survival_table_has_the_drawn_numbers_and_nobody_s_own_months():
    table = survival_table([LOW, HIGH], [kaplan_meier(LOW), kaplan_meier(HIGH)], range(3))
    assert table["group"].tolist() == ["Low risk"] * 3 + ["High risk"] * 3
    # Of seven, one dies at 1 and two at 2; who dies at 2 is still at risk at 2.
    assert table["survival"].tolist()[3:] == pytest.approx([1, 6 / 7, 4 / 7])
    assert table["at_risk"].tolist()[3:] == [7, 7, 6]
    assert len(survival_table([], [], range(3))) == 0


# --- Calibration, order, benefit ------------------------------------------------------------


def test_calibration_draws_curve_groups_and_who_has_which_prediction():
    figure = calibration()
    assert list(trace(figure, "observed, smoothed").y) == [0.3, 0.6, 0.7]
    groups = trace(figure, "observed, in groups (95%)")
    assert list(groups.x) == [0.35, 0.8]  # the third was not followed long enough
    assert list(groups.error_y.array) == pytest.approx([0.15, 0.0])
    assert list(groups.error_y.arrayminus) == pytest.approx([0.1, 0.0])
    assert sum(trace(figure, "patients with that prediction").customdata) == 3
    assert "12 months after the follow-up CT" in figure.layout.yaxis.title.text
    assert calibration_table(CALIBRATION)["n_patients"].tolist() == [20, 10, 1]


def test_auc_over_time_has_its_intervals():
    figure = auc_figure({6.0: Estimate(0.71, 0.6, 0.8, 40), 12.0: Estimate(0.66, 0.58, 0.7, 40)})
    (line,) = [t for t in figure.data if t.name.startswith("CTRS")]
    assert list(line.x) == [6, 12]
    assert list(line.error_y.array) == pytest.approx([0.09, 0.04])
    assert list(line.error_y.arrayminus) == pytest.approx([0.11, 0.08])
    assert figure.layout.xaxis.title.text == "Months since follow-up CT"


def test_gains_stand_right_of_zero_where_the_score_is_better():
    figure = gains()
    (row,) = [t for t in figure.data if t.name == "C-index: RECIST"]
    assert row.x == (0.03,)
    assert list(row.error_x.array) == pytest.approx([0.04])
    assert list(row.error_x.arrayminus) == pytest.approx([0.05])
    assert row.text == ("+0.030 (−0.020 to +0.070)",)
    (right,) = [a for a in figure.layout.annotations if "CTRS is better" in a.text]
    assert right.x == 1
    assert figure.layout.xaxis.range[0] == -figure.layout.xaxis.range[1] < -0.07
    table = gain_table(GAINS)
    assert table["of"].tolist() == ["CTRS", "RECIST"]
    assert table["ctrs_minus_it"].tolist()[1] == 0.03
    assert np.isnan(table["ctrs_minus_it"].tolist()[0])


def test_decision_curve_against_everybody_and_nobody():
    figure = decision()
    assert list(trace(figure, "act on CTRS").y) == [0.3, 0.1]
    assert list(trace(figure, "act on everybody").y) == [0.25, -0.4]
    assert list(trace(figure, "act on nobody").y) == [0, 0]
    assert len({t.line.dash for t in figure.data}) == 3
    assert list(decision_table(DECISION)["share_acted_on"]) == [0.8, 0.4]


# --- How tumours changed --------------------------------------------------------------------


def test_the_waterfall_is_sorted_cut_and_told_apart_by_pattern():
    figure = waterfall_figure(TUMOURS)
    low, high = trace(figure, "Low risk (n = 3)"), trace(figure, "High risk (n = 2)")
    assert list(high.x) == [1, 2]
    assert list(high.y) == [2.0, 0.8]  # +310 % is cut at +200 %
    assert list(low.y) == pytest.approx([0.05, -0.3, -1.0])
    assert low.marker.pattern.shape != high.marker.pattern.shape
    assert list(trace(figure, "new lesion by the reader (n = 1)").x) == [3]
    assert "1 grew by more than 200%" in figure.layout.xaxis.title.text
    assert {round(s.y0, 3) for s in figure.layout.shapes} == {0.728, -0.657}
    table = waterfall_table(TUMOURS).set_index("risk_group")
    assert table.loc["Low risk"].tolist() == [1, 1, 1, 0, 0]
    assert table.loc["High risk"].tolist() == [0, 0, 0, 0, 2]


def test_volume_against_diameter_has_the_sphere_and_the_noise_box():
    figure = volume_diameter_figure(TUMOURS)
    sphere = trace(figure, "a sphere")
    at = np.argmin(np.abs(np.asarray(sphere.x) + 0.3))
    assert sphere.y[at] == pytest.approx((1 + sphere.x[at]) ** 3 - 1)
    (box,) = [shape for shape in figure.layout.shapes if shape.type == "rect"]
    assert (box.x0, box.x1, box.y0, box.y1) == (-0.07, 0.06, -0.12, 0.13)
    assert list(trace(figure, "Low risk (n = 2)").x) == pytest.approx([-0.4, 0.02])
    table = volume_diameter_table(TUMOURS).set_index("risk_group")
    assert table.loc["Low risk", "both within noise"] == 1
    assert table.loc["Low risk", "both beyond noise"] == 1


# --- Reclassification and swimmers ----------------------------------------------------------


def test_flows_are_as_wide_as_patients_and_coloured_by_what_happened():
    figure = reclassification_figure(FLOWS)
    (flows,) = [t for t in figure.data if t.type == "sankey"]
    assert list(flows.link.value) == [30, 12, 4]
    words = texts(figure)
    for node in ("SD, stable disease", "PD, progressive disease", "Low risk", "High risk"):
        assert any(text.startswith(node) for text in words)
    assert "Low risk<br><b>n = 30</b>" in words
    assert "  70% alive (n = 30)" in words
    assert not any("(n = 4)" in text for text in words)  # four patients have no share
    # 46 patients and one gap of 24 px share 390 px; SD fills the upper 42 parts on the left, and
    # on the right, where the gap is the same, low risk the upper 30.
    unit = (1 - 24 / 390) / 46
    assert list(flows.node.y) == pytest.approx([21 * unit, 1 - 2 * unit, 15 * unit, 1 - 8 * unit])
    assert list(flows.link.source) == [0, 0, 1]
    assert list(flows.link.target) == [2, 3, 3]
    assert flows.link.color[0] != flows.link.color[1]
    assert flows.link.color[2] == "#808080"  # four patients have no colour
    assert "70% alive at 12 months" in flows.link.customdata[0]
    assert "too few" in flows.link.customdata[2]
    assert reclassification_table(FLOWS)["patients"].tolist() == [30, 12, 4]
    assert len(reclassification_figure([]).data) == 2


def test_a_lane_a_patient_with_how_it_ended():
    figure = swimmer_figure(SWIMMERS)
    low, high = trace(figure, "Low risk (n = 1)"), trace(figure, "High risk (n = 2)")
    assert (list(high.x), list(high.y)) == ([4, 9], [0, 1])
    assert (list(low.x), list(low.y)) == ([20], [2])
    assert low.marker.pattern.shape != high.marker.pattern.shape
    assert list(trace(figure, "died").y) == [0]
    assert list(trace(figure, "alive when follow-up ended").y) == [1, 2]
    assert figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1]  # the first on top
    table = swimmer_table(SWIMMERS).set_index("risk_group")
    assert table.loc["High risk"].tolist() == [2, 1, 1, 0, 0]


@pytest.mark.parametrize("n", [0, 1])
def test_figures_of_nobody_or_one_patient_can_be_drawn(n):
    few = Cohort("few", TUMOURS.table.head(n))
    for draw in (waterfall_figure, volume_diameter_figure):
        assert draw(few).layout.height > 0
    assert waterfall_table(few)["risk_group"].size == n
    assert volume_diameter_table(few)["risk_group"].size == n
    assert swimmer_figure(SWIMMERS.head(n)).layout.height > 0


def test_the_placement_table_stops_where_the_others_were_followed_to():
    table = placement_table(PREDICTED, kaplan_meier(HIGH))
    assert table["predicted"].tolist() == [1, 0.79, 0.62, 0.5]
    # 7 patients: 1, then 2, then 1 of 4 dead by 6 months; 1 lost at 7, 1 of 2 dead at 9.
    assert table["observed"].tolist()[:3] == pytest.approx([1, 3 / 7, 3 / 14])
    assert np.isnan(table["observed"].tolist()[3])  # nobody was followed past 13
    assert "observed" not in placement_table(PREDICTED, None)


def test_the_strip_table_counts_scores_in_steps_of_five_points():
    table = strip_table([0.21, 0.24, 0.26, 1.0])
    assert table[table["patients"] > 0]["patients"].tolist() == [2, 1, 1]
