"""What the floor of shares refuses, and in which words."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mmkd_lab.core.check import LabError
from mmkd_lab.core.stats import Interval
from mmkd_lab.shares import (
    Criteria,
    ModalityShares,
    commonality_shares,
    decisive_channels,
    declared,
    discretise,
    from_masses,
    gaussian_pid,
    information_shares,
    performance_shares,
    pid,
    table_of,
)
from mmkd_lab.shares.folds import cross_fitted
from mmkd_lab.shares.hypotheses import gamma, gaussian_information, linear_cka, non_target_divergence
from mmkd_lab.shares.prediction import spearman
from mmkd_lab.shares.samples import drop_constant
from tests.shares.worlds import Small, draw

A, B, Y = draw(n=300)
WIDE = np.random.default_rng(0).normal(size=(60, 50))
CONSTANT = np.array([[1.0, 2.0]] * 300)
NAN = np.where(np.arange(300)[:, None] == 7, np.nan, A)
ALONE = np.where(np.arange(300)[:, None] == 17, 3.4, np.full((300, 1), 3.3))
MIRROR = np.array([[1, 2, 0], [2, 1, 0], [0, 0, 1.0]])
ESTIMATORS = {
    "commonality": commonality_shares,
    "decisive": decisive_channels,
    "information": information_shares,
}


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize(
    ("data", "words"),
    [
        ((A, B[:-1], Y), "a, b, y = {'a': 300, 'b': 299, 'y': 300}: must be paired"),
        ((A, B, Y * 0), "y = 'always 0': must hold at least two classes"),
        ((A, B, Y.astype(float)), "y = dtype"),
        ((CONSTANT, B, Y), "a = 'column 0 and 1 more': must vary"),
        ((NAN, B, Y), "a = 'NaN or infinite values'"),
        ((A.astype(str), B, Y), "must hold numbers"),
        ((A, B, Y, np.arange(299)), "subjects = (299,): must name one subject per sample"),
        ((A, B, Y, np.arange(300) % 2), "subjects = '2 subjects': must be at least 3"),
    ],
)
def test_wrong_data_are_refused(name, data, words):
    with pytest.raises(LabError) as caught:
        ESTIMATORS[name](*data[:3], subjects=data[3] if len(data) > 3 else None)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: information_shares(np.arange(300), B, Y),
            "a = '300 different codes': must be between 2 and 256",
        ),
        (lambda: information_shares(A, B, Y, interval="student"), "interval = 'student'"),
        (
            lambda: information_shares(B[:8, 1], B[:8, 0], np.arange(8) % 2, bins=9),
            "bins = 9: must not exceed the 8",
        ),
        (lambda: discretise(A, bins=1), "bins = 1"),
        (lambda: drop_constant(CONSTANT), "must hold a column that varies"),
        (lambda: Criteria(test="both"), "test = 'both'"),
        (
            lambda: Criteria(permutations=3),
            "permutations = 3: must be at least 1 / rate, 100",
        ),
        (
            lambda: decisive_channels(WIDE, B[:60], Y[:60]),
            "samples = 60: must exceed the 50 independent channels",
        ),
        (lambda: commonality_shares(WIDE, WIDE**2, Y[:60]), "must exceed the"),
        (lambda: commonality_shares(A[:39], B[:39], Y[:39]), "samples = 39: must be at least 40"),
        (lambda: commonality_shares(ALONE, B, Y), "groups = 'a column': is constant once one group"),
        (lambda: commonality_shares(A, B, Y, level=1.0), "level = 1.0"),
        (lambda: performance_shares([70, 71], [60], [80]), "b = (1,): must be one per seed"),
        (lambda: performance_shares(70, 60, 180), "both = array([180.])"),
        (lambda: performance_shares(40, 30, 50, scale="latent", chance=10), "scale = 'latent'"),
        (lambda: cross_fitted(A, Y, folds=200), "folds = 200"),
        (lambda: pid(np.ones((2, 2))), "table = (2, 2): must have three axes"),
        (lambda: pid(np.zeros((2, 2, 2))), "must hold at least one sample"),
        (lambda: pid(-np.ones((2, 2, 2))), "table = -1.0"),
        (lambda: pid(np.full((2, 2, 2), np.nan)), "not negative"),
        (lambda: table_of([0, 1], [0, 1, 1], [0, 1]), "x1, x2, y = [2, 3, 2]: must be paired"),
        (lambda: table_of([0.5, 1.0], [0, 1], [0, 1]), "x1 = dtype"),
        (lambda: table_of([0, 1], [-1, 1], [0, 1]), "x2 = -1"),
        (lambda: declared(Small(), hyperplane=[1, 2, 3], by="energy"), "hyperplane = (3,): must have one"),
        (lambda: declared(Small(), by="mass"), "by = 'mass'"),
        (lambda: gaussian_pid(np.eye(3), width_a=2), "width_a = 2"),
        (lambda: gaussian_pid(MIRROR, width_a=1), "covariance = -"),
        (lambda: ModalityShares(0.5, 0.5, 0.5, "m"), "alpha + beta + gamma = 1.5: must be 1"),
        (lambda: ModalityShares(-0.2, 0.2, 1.0, "m"), "alpha = -0.2"),
        (
            lambda: ModalityShares(math.nan, 0.2, 0.8, "m"),
            "alpha = nan: must be defined when the other two are",
        ),
        (lambda: ModalityShares(math.nan, math.nan, math.nan, "m"), "must say why"),
        (lambda: ModalityShares(0.5, 0.5, 0.0, "m", synergy=1.5), "synergy = 1.5"),
        (
            lambda: ModalityShares(0.5, 0.5, 0.0, "m", intervals={"delta": Interval(0, 0, 0, 5)}),
            "interval = 'delta'",
        ),
        (lambda: ModalityShares(0.5, 0.5, 0.0, "m").value("gama"), "quantity = 'gama'"),
        (lambda: from_masses([1, 2, 3], method="m"), "masses = (3,)"),
        (lambda: from_masses([1, 2, math.inf, 0], method="m"), "must be finite"),
        (lambda: gamma(CONSTANT, A), "teacher = 'constant'"),
        (lambda: gamma(A[:9], A[:9]), "student = '9 samples': must be more than 9"),
        (lambda: non_target_divergence(A[:, :2], A[:, :2], Y), "three classes"),
        (lambda: gaussian_information(A, A), "b = 'a function of a'"),
        (lambda: gaussian_information(A[:12], B[:12]), "a = '12 samples': must be more than 17"),
        (lambda: linear_cka(CONSTANT, A), "a = 'constant'"),
        (lambda: spearman([1.0, 1.0], [1.0, 2.0]), "x = 'constant'"),
        (lambda: spearman([1.0], [1.0]), "two pairs"),
        (lambda: spearman([1.0, 2.0], [1.0]), "y = 1"),
    ],
)
def test_wrong_questions_are_refused(call, words):
    with pytest.raises(LabError) as caught:
        call()
    assert words in str(caught.value)
