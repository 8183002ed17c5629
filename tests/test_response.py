"""RECIST 1.1 at its boundaries, its volume twin, and the order of the worklist."""

from itertools import product

import pytest

from ctrs.response import (
    VOLUME_PROGRESSION,
    VOLUME_RESPONSE,
    discordance,
    discordance_rank,
    recist_class,
    volume_class,
)
from ctrs.types import Recist, RiskGroup

NAN = float("nan")
CR, PR, SD, PD, NE = Recist
LOW, HIGH = RiskGroup


# Baseline, follow-up, nadir, expected, why.
@pytest.mark.parametrize(
    ("baseline", "follow_up", "nadir", "expected", "why"),
    [
        (50.0, 35.0, None, PR, "-30 % exactly"),
        (50.0, 35.1, None, SD, "-29.8 %"),
        (30.0, 21.0, None, PR, "-30 % exactly, though 0.7 * 30 is 20.999... in binary"),
        (83.7, 58.59, None, PR, "-30 % exactly, though 0.7 * 83.7 rounds"),
        (25.5, 30.6, None, PD, "+20 % exactly and +5.1 mm"),
        (25.5, 30.5, None, SD, "+19.6 %, though +5 mm exactly"),
        (20.0, 25.0, None, PD, "+25 % and +5.0 mm exactly"),
        (20.1, 25.1, None, PD, "+24.9 % and +5.0 mm exactly, though 25.1 - 20.1 rounds"),
        (5.2, 10.2, None, PD, "+5.0 mm exactly, though 10.2 - 5.2 is 4.999... in binary"),
        (25.6, 30.72, None, PD, "+20 % exactly, though 30.72 - 25.6 rounds below 5.12"),
        (20.0, 24.9, None, SD, "+24.5 % but only +4.9 mm"),
        (100.0, 119.9, None, SD, "+19.9 mm but only +19.9 %"),
        (100.0, 120.0, None, PD, "+20 % exactly"),
        (100.0, 48.0, 40.0, PD, "+20 % over the nadir beats -52 % against baseline"),
        (100.0, 47.9, 40.0, PR, "+19.75 % over the nadir"),
        (100.0, 8.0, 4.0, PR, "+100 % over the nadir but only +4 mm"),
        (100.0, 9.0, 4.0, PD, "+5 mm over a small nadir"),
        (100.0, 6.0, 0.0, PD, "back after complete response"),
        (40.0, 49.0, 60.0, PD, "a nadir above the baseline is no nadir"),
        (40.0, 49.0, NAN, PD, "an unmeasured visit never becomes the nadir"),
        (40.0, 0.0, None, CR, "nothing left"),
        (NAN, 40.0, None, NE, "baseline not measured"),
        (40.0, NAN, None, NE, "follow-up not measured"),
        (0.0, 12.0, None, NE, "nothing was measurable"),
    ],
)
def test_targets_are_classed_as_recist_says(baseline, follow_up, nadir, expected, why):
    assert recist_class(baseline, follow_up, nadir) is expected, why


def test_one_new_lesion_is_progression_whatever_the_targets_do():
    assert recist_class(100.0, 20.0, new_lesions=1) is PD
    assert recist_class(NAN, NAN, new_lesions=2) is PD
    assert recist_class(60.0, 8.0, new_lesions=1, all_targets_gone=True) is PD


def test_small_nodes_may_leave_a_sum_at_complete_response():
    assert recist_class(60.0, 8.0, all_targets_gone=True) is CR
    assert recist_class(60.0, 8.0) is PR


def test_sphere_equivalents_of_the_diameter_limits():
    # 0.7 ** 3 = 0.343 and 1.2 ** 3 = 1.728.
    limits = (VOLUME_RESPONSE, VOLUME_PROGRESSION)
    assert limits == pytest.approx((-0.657, 0.728), abs=1e-12)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (-1.0, CR),
        (-0.999, PR),
        (-0.657, PR),
        (-0.656, SD),
        (-0.3, SD),
        (0.2, SD),
        (0.727, SD),
        (0.728, PD),
        (4.0, PD),
        (NAN, NE),
    ],
)
def test_volume_is_classed_at_the_sphere_equivalents(change, expected):
    assert volume_class(change) is expected


@pytest.mark.parametrize(
    ("recist", "volume", "group", "sentence", "rank"),
    [
        (SD, SD, HIGH, "RECIST stable, CTRS high risk", 0),
        (PR, CR, HIGH, "RECIST partial response, CTRS high risk", 0),
        (CR, CR, HIGH, "RECIST complete response, CTRS high risk", 0),
        (SD, PD, HIGH, "RECIST stable, volume progression, CTRS high risk", 0),
        (PD, PD, LOW, "RECIST progression, CTRS low risk", 1),
        (SD, PD, LOW, "RECIST stable, volume progression", 2),
        (PD, SD, HIGH, "RECIST progression, volume stable", 2),
        (SD, SD, None, "RECIST stable, CTRS not assessable", 3),
        (NE, SD, HIGH, "RECIST not evaluable, CTRS high risk", 3),
        (NE, NE, None, "RECIST not evaluable, CTRS not assessable", 3),
        (SD, SD, LOW, "", 4),
        (PR, CR, LOW, "", 4),
        (PD, PD, HIGH, "", 4),
        (SD, NE, LOW, "", 4),
    ],
)
def test_discordance_in_words_and_in_order(recist, volume, group, sentence, rank):
    assert discordance(recist, volume, group) == sentence
    assert discordance_rank(recist, volume, group) == rank


def test_only_the_quiet_rank_has_nothing_to_say():
    for recist, volume, group in product(Recist, Recist, [LOW, HIGH, None]):
        quiet = discordance_rank(recist, volume, group) == 4
        assert quiet == (discordance(recist, volume, group) == ""), (recist, volume, group)
