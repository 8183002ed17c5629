"""How far a pair is from the training pairs, by hand and in the crowd."""

import numpy as np
import pytest
import torch

from ctrs.model.measure import MEASURES
from ctrs.model.network import EMBEDDED
from ctrs.model.usual import TRAITS, Usual

N_MEASURES, N_EMBEDDED = len(MEASURES), EMBEDDED


def crowd(n, seed=0):
    """Pairs whose traits are independent: measures as asinh of what a normal distribution gives."""
    rng = torch.Generator().manual_seed(seed)
    measures = torch.sinh(2 + 0.5 * torch.randn(n, 2, N_MEASURES, generator=rng))
    return measures, 3 * torch.randn(n, 2, N_EMBEDDED, generator=rng) - 1


def test_distance_by_hand():
    usual = Usual()
    usual.centre[:] = 1.0
    usual.scale[:] = 2.0
    measures = torch.sinh(torch.ones(1, 2, N_MEASURES))
    embeddings = torch.ones(1, 2, N_EMBEDDED)
    measures[0, 0, :4] = torch.sinh(torch.tensor(5.0))  # two deviations in four traits
    embeddings[0, 0, 7] = -5.0  # and minus three in one: 4 * 4 + 9 = 25
    embeddings[0, 1, 7] = 4.0  # of the other scan: 2.25
    assert TRAITS == 143
    distance = usual.distance(measures, embeddings)
    np.testing.assert_allclose(distance, [np.sqrt(25 / 143)], rtol=1e-5)


def test_less_usual_scan_counts_whichever_it_is():
    measures, embeddings = crowd(40)
    usual = Usual.of(measures, embeddings)
    embeddings[3, 1] += 20
    turned = usual.distance(measures.flip(1), embeddings.flip(1))
    distance = usual.distance(measures, embeddings)
    np.testing.assert_allclose(distance, turned, rtol=1e-5)
    assert distance.argmax() == 3
    assert distance[3] > 2 * np.median(distance)


def test_usual_pairs_are_one_away():
    usual = Usual.of(*crowd(3000))
    # The larger of two: with 143 traits each is near 1.
    assert np.median(usual.distance(*crowd(500, seed=1))) == pytest.approx(1, abs=0.1)


def test_traits_that_always_go_together_are_missed_when_they_do_not():
    measures, embeddings = crowd(3000)
    embeddings[..., 5] = -embeddings[..., 2] + 0.1 * embeddings[..., 5]
    usual = Usual.of(measures, embeddings)
    as_ever, against = (e.clone() for e in (usual.centre[N_MEASURES:],) * 2)
    as_ever[2] += 6
    as_ever[5] -= 6
    against[2] += 6
    against[5] += 6
    middle = torch.sinh(usual.centre[:N_MEASURES]).expand(1, 2, N_MEASURES)
    near, far = (usual.distance(middle, e.expand(1, 2, N_EMBEDDED))[0] for e in (as_ever, against))
    assert far > 3 * near


def test_few_pairs_and_traits_that_never_vary_give_numbers():
    measures, embeddings = crowd(12)  # 24 scans, 143 traits
    measures[..., 3] = 0.0
    usual = Usual.of(measures, embeddings)
    distance = usual.distance(measures, embeddings)
    assert np.isfinite(distance).all()
    measures[0, 0, 3] = 25.0  # for once it does
    assert usual.distance(measures, embeddings)[0] > 10 * distance[0]
