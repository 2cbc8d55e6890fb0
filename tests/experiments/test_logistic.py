"""Logistic regression in its own coordinates: scikit-learn's minimum."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from mmkd_lab.experiments.logistic import Logistic

STRENGTHS = (1e-3, 1e-1)


def _columns(n=300, width=12):
    """Columns of which the last tells nearly what the first does, and three classes."""
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(n, width)), np.arange(n) % 3
    x[:, :3] += 0.7 * np.eye(3)[y]
    x[:, -1] = x[:, 0] + 1e-2 * draw.normal(size=n)
    return (x - x.mean(0)) / x.std(0), y, draw.uniform(0.5, 2.0, n)


def _fits(x, target, weights, *, one_of):
    model, found = Logistic(x, target, weights, one_of=one_of), np.zeros((x.shape[1] + 1, target.shape[1]))
    for strength in STRENGTHS:
        found = model.fit(strength, found, 1e-9)
        yield strength, found


@pytest.mark.parametrize("weighted", [False, True])
def test_classes_and_labels_of_their_own_are_scikit_learns(weighted):
    x, y, weights = _columns()
    given = weights if weighted else None
    for strength, found in _fits(x, np.eye(3)[y], given, one_of=True):
        want = LogisticRegression(C=strength, tol=1e-10, max_iter=5000).fit(x, y, sample_weight=given)
        assert pytest.approx(want.coef_, abs=1e-6) == found[:-1].T
        assert found[-1] - found[-1].mean() == pytest.approx(
            want.intercept_ - want.intercept_.mean(), abs=1e-5
        )
    each = None if given is None else np.stack([given] * 3, axis=1)
    several = np.stack([y == 0, y > 0, x[:, 3] > 0.5], axis=1).astype(float)
    for labels in (several, np.eye(3)[y]):  # also where every sample happens to have one label
        for strength, found in _fits(x, labels, each, one_of=False):
            for k, label in enumerate(labels.T):
                want = LogisticRegression(C=strength, tol=1e-10, max_iter=5000).fit(
                    x, label, sample_weight=given
                )
                assert found[:, k] == pytest.approx(np.append(want.coef_[0], want.intercept_), abs=1e-5)
