"""Ridge pilots: the normal equations by hand, scikit-learn, and what was never seen."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge as Sklearn

from mmkd_lab.forecast.pilots import STRENGTHS, Ridge, pilot, subsets


def _drawn(n, d, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((n, d)), rng.integers(0, classes, n)
    x[:, 0] += y
    return x, y, rng


def test_two_samples_and_one_column_by_hand():
    # Centred columns (-1, 1), centred targets (-1/2, 1/2): B = 1 / (2 + lambda), lambda = 2 n.
    ridge = Ridge.on(np.array([[0.0], [2.0]]))
    said = ridge.answers(np.array([[0.0], [1.0]]), np.array([[3.0]]), 2.0)
    assert said == pytest.approx(0.5 + (3.0 - 1.0) / (2.0 + 4.0))


@pytest.mark.parametrize(("n", "d"), [(40, 5), (12, 30)])
def test_students_are_those_of_the_normal_equations_and_of_scikit_learn(n, d):
    x, y, rng = _drawn(n, d)
    labels, held = np.eye(3)[y], rng.standard_normal((7, d))
    for strength in (1e-3, 1.0, 10.0):
        said = Ridge.on(x).answers(labels, held, strength)
        centred, target = x - x.mean(0), labels - labels.mean(0)
        by_hand = np.linalg.solve(centred.T @ centred + strength * n * np.eye(d), centred.T @ target)
        assert np.allclose(said, (held - x.mean(0)) @ by_hand + labels.mean(0), atol=1e-10)
        assert np.allclose(said, Sklearn(alpha=strength * n).fit(x, labels).predict(held), atol=1e-8)


@pytest.mark.parametrize(("n", "d"), [(25, 4), (10, 20)])
def test_what_was_not_seen_is_what_the_student_of_all_others_says(n, d):
    x, y, _ = _drawn(n, d)
    labels, strength = np.eye(3)[y], 0.3
    (said,) = Ridge.on(x).unseen(labels, [strength])
    for i in (0, n // 2, n - 1):
        rest = np.arange(n) != i
        # The penalty is that of all n samples: one left out does not change the student's strength.
        alone = Sklearn(alpha=strength * n).fit(x[rest], labels[rest]).predict(x[[i]])
        assert np.allclose(said[i], alone[0], atol=1e-9)


def test_the_strength_is_the_one_with_the_least_error_of_unseen_samples():
    x, y, _ = _drawn(60, 8)
    labels, ridge = np.eye(3)[y], Ridge.on(x)
    errors = [((ridge.unseen(labels, [one])[0] - labels) ** 2).mean() for one in STRENGTHS]
    assert ridge.best(labels, labels) == STRENGTHS[int(np.argmin(errors))]


def test_a_teacher_that_says_the_labels_brings_nothing_and_one_that_knows_better_helps():
    rng = np.random.default_rng(3)
    z = rng.standard_normal((460, 5))
    truth = (z @ np.array([1.0, 1.0, 0.0, 0.0, 0.0]) > 0).astype(int)
    y = np.where(rng.random(460) < 0.35, 1 - truth, truth)  # labels are noisy, the teacher knows the truth
    ridge, held = Ridge.on(z[:60]), (z[60:], truth[60:])
    same = pilot(ridge, y[:60], held, np.eye(2)[y[:60]])
    assert same.gain == 0.0
    assert same.error == pytest.approx(0.0, abs=1e-9)
    wise = pilot(ridge, y[:60], held, np.eye(2)[truth[:60]])
    assert wise.gain > 3.0
    assert wise.error > 3.0
    assert wise.plain == same.plain


def test_order_of_columns_and_units_change_nothing():
    x, y, rng = _drawn(50, 6)
    soft = np.eye(3)[rng.integers(0, 3, 50)]
    held = (x[:20] + 0.1, y[:20])
    one = pilot(Ridge.on(x), y, held, soft)
    turned = np.linalg.qr(rng.standard_normal((6, 6)))[0]  # ridge knows no directions
    two = pilot(Ridge.on(x @ turned), y, (held[0] @ turned, held[1]), soft)
    assert (one.plain, one.gain) == (two.plain, two.gain)
    assert one.error == pytest.approx(two.error, abs=1e-9)


def test_subsets_hold_every_class_and_are_drawn_anew_by_the_seed():
    y = np.array([0] * 30 + [1] * 5 + [2])
    one, two = subsets(y, 9, 4, seed=0), subsets(y, 9, 4, seed=1)
    assert all(len(rows) == len(set(rows.tolist())) == 9 for rows in one)
    assert all(set(y[rows]) == {0, 1, 2} for rows in one)
    assert [rows.tolist() for rows in one] == [rows.tolist() for rows in subsets(y, 9, 4, seed=0)]
    assert [rows.tolist() for rows in one] != [rows.tolist() for rows in two]
