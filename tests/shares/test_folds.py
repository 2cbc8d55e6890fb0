"""Cross-fitted probes where groups hold whole classes."""

from __future__ import annotations

import numpy as np
import pytest

from mmkd_lab.core.check import LabError
from mmkd_lab.shares.folds import cross_fitted

RNG = np.random.default_rng(0)
Y = np.repeat([0, 1, 2], [40, 40, 20])
X = RNG.normal(size=(100, 3)) + 3.0 * np.eye(3)[Y]
#: Ten groups of the first two classes; all of the third is one group.
GROUPS = np.r_[np.arange(80) % 10, np.full(20, 10)]


def test_a_class_that_one_group_has_is_as_unlikely_as_it_can_be_where_that_group_is_held_out():
    said = cross_fitted(X, Y, folds=5, groups=GROUPS)
    np.testing.assert_allclose(np.exp(said).sum(1), 1.0)
    (alone,) = set(said[Y == 2, 2])
    held_out = 100 - round(np.exp(-alone) - 1)
    assert held_out in (20 + 8 * np.arange(3))
    assert (said[Y != 2].argmax(1) == Y[Y != 2]).mean() > 0.9


def test_a_fold_without_two_classes_is_refused():
    with pytest.raises(LabError, match="must leave two classes"):
        cross_fitted(X[:80], Y[:80], folds=2, groups=np.repeat([0, 1], 40))
