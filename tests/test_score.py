"""The zones at their limits, the interval that counts, and no number where none may stand."""

from dataclasses import replace

import numpy as np
import pytest

from ctrs.config import Config
from ctrs.errors import NotAChest
from ctrs.lungs import Chest
from ctrs.score import check_pair, check_prediction, judge, risk_group, score
from ctrs.types import Biomarker, Finding, PreparedScan, RiskGroup, ScanPair, Volume, Zone
from tests.scoring_fixtures import FixedModel, prediction

CONFIG = Config()
WHOLE = Chest(lung_ml=3700, height_mm=250, smaller_side=0.4, cut_top=0.0, cut_bottom=0.1)
AMBER = Finding(Zone.AMBER, "a remark")
RED = Finding(Zone.RED, "a refusal")
PREPARED = PreparedScan(
    np.zeros((2, 3, 4), np.float32), np.zeros((2, 3, 4), bool), (0.0,) * 3, (3.0,) * 3
)


def make_pair(interval_days=84, spacing_z=2.5, findings=()):
    hu = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    before = Volume(hu, (spacing_z, 0.7, 0.8))
    return ScanPair(before, Volume(hu + 1, (2.0, 0.7, 0.8)), interval_days, tuple(findings))


def judged(findings=(), **changes):
    return judge(prediction(**changes), findings, FixedModel(), CONFIG.zone)


def scored(pair, findings=()):
    model = FixedModel()
    return score(pair, (PREPARED, PREPARED), findings, model, CONFIG), model


# --- The number -----------------------------------------------------------------------------


def test_score_is_the_curve_at_twelve_months():
    result = judged(survival_12m=0.62, interval=(0.55, 0.70))
    assert result.curve.months[2] == 12
    assert result.survival_12m == result.curve.survival[2] == 0.62
    assert result.interval_90 == (0.55, 0.70)
    assert result.zone is Zone.GREEN
    assert result.reasons == ()


def test_score_says_what_made_it():
    result = judged()
    assert (result.model_version, result.device, result.cut_off) == ("fixed-1", "cpu", 0.6)
    assert result.members == (0.60, 0.64)
    assert result.biomarkers["tumour_volume"].change == -2.5


@pytest.mark.parametrize(
    ("survival_12m", "group"),
    [(0.6, RiskGroup.LOW), (0.5999, RiskGroup.HIGH), (0.61, RiskGroup.LOW), (0, RiskGroup.HIGH)],
)
def test_value_on_the_cut_off_is_low_risk(survival_12m, group):
    assert risk_group(survival_12m, 0.6) is group
    assert judged(survival_12m=survival_12m, interval=(0, 0.2)).risk_group is group


@pytest.mark.parametrize(("known", "asked"), [(91, 91), (0, 0), (None, 84)])
def test_model_is_told_the_interval_or_the_assumed_one(known, asked):
    _, model = scored(make_pair(interval_days=known))
    assert model.asked == [asked]


# --- Zones ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "zone", "words"),
    [
        ({"members": (0.25, 0.5, 0.65)}, Zone.GREEN, ""),  # 40 points apart, and no more
        ({"members": (0.24, 0.5, 0.65)}, Zone.RED, "The 3 networks disagree: 24% to 65%"),
        ({"interval": (0.125, 0.845)}, Zone.GREEN, ""),  # 72 points wide
        ({"interval": (0.12, 0.844)}, Zone.AMBER, "spans 72.4 points; up to 72"),
        ({"ood_percentile": 95.0}, Zone.GREEN, ""),
        ({"ood_percentile": 95.1}, Zone.AMBER, "less usual than 95 %"),
    ],
)
def test_each_doubt_of_the_networks_at_its_limit(changes, zone, words):
    result = judged(**changes)
    assert result.zone is zone
    assert len(result.reasons) == (zone is not Zone.GREEN)
    assert words in " ".join(result.reasons)


@pytest.mark.parametrize(
    ("fluid", "tumour", "doubted"),
    [
        ((20.0, 121.0), (10.0, 6.9), True),
        ((20.0, 119.0), (10.0, 6.9), False),  # 99 ml more
        ((20.0, 121.0), (10.0, 7.1), False),  # 29 % less
        ((121.0, 20.0), (10.0, 6.9), False),  # fluid that went hides nothing
        ((20.0, 121.0), (6.9, 10.0), False),
        ((20.0, 121.0), (0.0, 0.0), False),
    ],
)
def test_tumour_that_goes_where_fluid_comes_is_doubted(fluid, tumour, doubted):
    read = {
        "pleural_effusion": Biomarker(*fluid, "ml"),
        "tumour_volume": Biomarker(*tumour, "ml"),
    }
    findings = check_prediction(replace(prediction(), biomarkers=read), CONFIG.zone)
    assert [finding.zone for finding in findings] == [Zone.AMBER] * doubted
    if doubted:
        (reason,) = (finding.reason for finding in findings)
        assert "rose from 20 to 121 ml" in reason
        assert "read as 10.0 ml before and 6.9 ml now: fluid can hide tumour" in reason


def test_every_doubt_is_told():
    findings = check_prediction(
        prediction(members=(0.1, 0.9), interval=(0.1, 0.9), ood_percentile=99), CONFIG.zone
    )
    assert [finding.zone for finding in findings] == [Zone.RED, Zone.AMBER, Zone.AMBER]


def test_remark_on_the_input_makes_amber_and_keeps_the_number():
    result, _ = scored(make_pair(), [AMBER])
    assert result.zone is Zone.AMBER
    assert result.reasons == ("a remark",)
    assert result.survival_12m == 0.62


@pytest.mark.parametrize("findings", [[RED], [AMBER, RED]])
def test_red_input_asks_no_network(findings):
    result, model = scored(make_pair(), findings)
    assert model.asked == []
    assert result.reasons == ("a refusal",)
    assert not result.assessable


def test_red_score_holds_no_number_of_the_patient():
    for result in (scored(make_pair(), [RED])[0], judged(members=(0.1, 0.8))):
        assert result.zone is Zone.RED
        content = vars(result)
        empty = ("survival_12m", "interval_90", "curve", "risk_group", "ood_percentile")
        assert all(content[name] is None for name in empty)
        assert result.members == ()
        assert result.biomarkers == {}
        assert result.cut_off == 0.6


# --- The input --------------------------------------------------------------------------------


def test_values_that_may_not_be_exact_are_a_remark():
    pair = make_pair()
    pair = replace(pair, follow_up=replace(pair.follow_up, doubts=("Decoded from lossy stuff",)))
    (finding,) = check_pair(pair, (WHOLE, WHOLE), CONFIG)
    assert finding.zone is Zone.AMBER
    assert finding.reason == "Follow-up CT: Decoded from lossy stuff."
    assert pair.key != make_pair().key


def test_what_the_guard_remarked_comes_first_and_scans_are_named():
    pair = make_pair(spacing_z=5.1, findings=[AMBER])
    findings = check_pair(pair, (WHOLE, replace(WHOLE, cut_top=0.7)), CONFIG)
    assert findings[0] == AMBER
    assert findings[1].zone is Zone.AMBER
    assert findings[1].reason.startswith("Baseline CT: The slices are 5.1 mm apart")
    assert findings[2].zone is Zone.RED
    assert findings[2].reason.startswith("Follow-up CT: The scan ends inside the lungs at the top")
    assert len(findings) == 3


@pytest.mark.parametrize(("spacing_z", "remarks"), [(5.0, 0), (5.01, 1)])
def test_slices_may_be_five_millimetres_apart(spacing_z, remarks):
    assert len(check_pair(make_pair(spacing_z=spacing_z), (WHOLE, WHOLE), CONFIG)) == remarks


@pytest.mark.parametrize(("which", "name"), [(0, "Baseline CT: "), (1, "Follow-up CT: ")])
def test_refusal_of_what_is_no_chest_names_the_scan(which, name):
    chests = [WHOLE, WHOLE]
    chests[which] = replace(WHOLE, lung_ml=377.0)
    with pytest.raises(NotAChest) as error:
        check_pair(make_pair(), tuple(chests), CONFIG)
    assert error.value.what.startswith(name + "This is not a whole chest: 377 ml")
    assert error.value.next_step.startswith("Choose")
