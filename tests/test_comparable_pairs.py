"""Pairs of patients, counted at once, against counting them one by one."""

import numpy as np
import pytest
from lifelines.utils import concordance_index

from ctrs.survival import harrell_c
from ctrs.survival.comparable_pairs import pairs_of_deaths


def one_by_one(months, event, score):
    """The definition, as plainly as it can be written."""
    found = []
    for a in range(len(months)):
        if not event[a]:
            continue
        outlived = [
            b
            for b in range(len(months))
            if months[b] > months[a] or (months[b] == months[a] and not event[b])
        ]
        above = sum(score[b] > score[a] for b in outlived)
        tied = sum(score[b] == score[a] for b in outlived)
        found.append((len(outlived), above, tied))
    return found


def counted(months, event, score):
    found = pairs_of_deaths(np.array(months, float), np.array(event, bool), np.array(score, float))
    return list(zip(found.outlived, found.above, found.tied, strict=True))


def test_ties_of_day_and_of_score_are_counted_as_a_person_would():
    months = [5, 5, 5, 5, 9, 2]
    event = [1, 0, 1, 0, 0, 1]
    score = [0.4, 0.4, 0.9, 0.1, 0.4, 0.4]
    # Of the first: outlived by both lost on day 5 and by the last to leave; the other death of
    # day 5 is no pair. Two of the three have its score, none a higher one.
    assert counted(months, event, score) == [(3, 0, 2), (3, 0, 0), (5, 1, 3)]


def test_nobody_died_and_nobody_at_all():
    assert counted([3, 4], [0, 0], [0.1, 0.2]) == []
    assert counted([], [], []) == []
    assert counted([3], [1], [0.1]) == [(0, 0, 0)]


@pytest.mark.parametrize("n", [2, 3, 7, 8, 9, 33, 64, 65])
@pytest.mark.parametrize(("days", "levels"), [(1, 3), (4, 1), (5, 4), (40, 3), (1000, 1000)])
def test_as_counted_one_by_one(n, days, levels):
    random = np.random.default_rng(n * days + levels)
    for share_of_deaths in (0.1, 0.6, 1.0):
        months = random.integers(0, days, n) / 3
        event = random.random(n) < share_of_deaths
        score = random.integers(0, levels, n) / 7 - 0.3
        assert counted(months, event, score) == one_by_one(months, event, score)


def test_the_index_is_that_of_lifelines_to_the_last_bit():
    random = np.random.default_rng(8)
    months, score = random.integers(0, 900, 5000), random.integers(0, 101, 5000) / 100
    event = random.random(5000) < 0.4
    assert harrell_c(months, event, score) == concordance_index(months, score, event)


def test_scores_that_differ_in_the_last_bit_are_not_tied():
    assert counted([1, 2], [1, 0], [0.3, 0.1 + 0.2]) == [(1, 1, 0)]
    assert counted([1, 2], [1, 0], [0.0, -0.0]) == [(1, 0, 1)]
