"""Bins, normal scores, p-values, discoveries."""

from __future__ import annotations

import numpy as np
import pytest

from mmkd_lab.shares import discretise, normal_scores
from mmkd_lab.shares.channels import discoveries, pooled_p_values


@pytest.mark.parametrize("bins", [2, 5, 10])
def test_bins_are_of_equal_mass_in_order_and_never_empty(bins):
    rng = np.random.default_rng(bins)
    x = rng.normal(size=1001)
    codes = discretise(x, bins=bins)
    counts = np.bincount(codes)
    assert len(counts) == bins
    assert np.ptp(counts) <= 2
    assert (np.diff(codes[np.argsort(x)]) >= 0).all()
    for ties in (rng.poisson(0.3, 500).astype(float), np.r_[np.zeros(499), 1.0]):
        counts = np.bincount(discretise(ties, bins=bins))
        assert counts.min() > 0
        assert len(counts) >= 2


def test_whole_numbers_are_kept():
    assert discretise(np.array([7, 3, 7, 9]), bins=2).tolist() == [1, 0, 1, 2]


def test_clusters_of_separated_groups_and_of_few_different_points():
    rng = np.random.default_rng(1)
    group = np.repeat([0, 1, 2], 50)
    corners = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    for x, bins in ((np.eye(3)[group] * 10 + rng.standard_normal((150, 3)), 3), (corners[group], 5)):
        found = discretise(x, bins=bins)
        assert len({(g, c) for g, c in zip(group, found, strict=True)}) == 3


def test_normal_scores_of_a_normal_column_are_the_column():
    x = np.random.default_rng(2).standard_normal((5000, 1))
    assert np.corrcoef(normal_scores(x)[:, 0], x[:, 0])[0, 1] > 0.999
    assert np.array_equal(normal_scores(x), normal_scores(np.exp(x)))


def test_p_values_and_discoveries_against_their_definitions():
    found = pooled_p_values(np.array([5.0, 0.5]), np.array([[1.0, 2.0], [3.0, 0.1]]))
    assert found.tolist() == [1 / 5, 4 / 5]
    rng = np.random.default_rng(3)
    for _ in range(50):
        p = rng.random(20) ** 3
        ranked = np.sort(p)
        k = max([i + 1 for i in range(20) if ranked[i] <= 0.1 * (i + 1) / 20], default=0)
        assert discoveries(p, rate=0.1).sum() == k
