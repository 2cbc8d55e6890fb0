"""Bins, normal scores, p-values, discoveries."""

from __future__ import annotations

import numpy as np
import pytest

from mmkd_lab.core.check import LabError
from mmkd_lab.shares.discrete import discretise, drop_constant, normal_scores
from mmkd_lab.shares.testing import discoveries, pooled_p_values


def test_quantile_bins_hold_equal_masses_and_keep_the_order():
    x = np.random.default_rng(0).standard_normal(1000)
    bins = discretise(x, bins=5)
    assert np.bincount(bins).tolist() == [200] * 5
    assert (np.diff(bins[np.argsort(x)]) >= 0).all()


def test_whole_numbers_are_kept():
    assert discretise(np.array([7, 3, 7, 9]), bins=2).tolist() == [1, 0, 1, 2]


def test_ties_leave_fewer_bins():
    assert discretise(np.array([0.0] * 90 + [1.0] * 10), bins=4).max() == 1


def test_clusters_of_separated_groups():
    rng = np.random.default_rng(1)
    group = np.repeat([0, 1, 2], 50)
    found = discretise(np.eye(3)[group] * 10 + rng.standard_normal((150, 3)), bins=3)
    assert len({(g, c) for g, c in zip(group, found, strict=True)}) == 3


def test_normal_scores_of_a_normal_column_are_the_column():
    x = np.random.default_rng(2).standard_normal((5000, 1))
    assert np.corrcoef(normal_scores(x)[:, 0], x[:, 0])[0, 1] > 0.999
    assert np.array_equal(normal_scores(x), normal_scores(np.exp(x)))


def test_constant_columns_can_be_dropped():
    kept, where = drop_constant(np.array([[1.0, 2.0], [1.0, 3.0]]))
    assert kept.tolist() == [[2.0], [3.0]]
    assert where.tolist() == [1]
    with pytest.raises(LabError, match="must hold a column that varies"):
        drop_constant(np.ones((3, 2)))


def test_pooled_p_values_by_hand():
    found = pooled_p_values([5.0, 0.5], [[1.0, 2.0], [3.0, 0.1]])
    assert found.tolist() == [1 / 5, 4 / 5]
    with pytest.raises(LabError, match=r"null = \(1, 3\)"):
        pooled_p_values([1.0, 2.0], [[1.0, 2.0, 3.0]])


def test_discoveries_against_the_definition():
    rng = np.random.default_rng(3)
    for _ in range(50):
        p = rng.random(20) ** 3
        ranked = np.sort(p)
        k = max([i + 1 for i in range(20) if ranked[i] <= 0.1 * (i + 1) / 20], default=0)
        assert discoveries(p, rate=0.1).sum() == k
    with pytest.raises(LabError, match="p = "):
        discoveries([0.5, 1.5])


def test_too_few_samples_and_wrong_shapes_are_refused():
    with pytest.raises(LabError, match="bins = 5: must not exceed the 3 samples of voice"):
        discretise(np.array([0.1, 0.2, 0.3]), bins=5, name="voice")
    with pytest.raises(LabError, match="bins = 1"):
        discretise(np.array([0.1, 0.2, 0.3]), bins=1)
    with pytest.raises(LabError, match="voice"):
        discretise(np.ones((4, 3)), bins=2, name="voice")
