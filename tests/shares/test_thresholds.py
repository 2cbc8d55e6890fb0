"""Where a verdict hangs on a threshold, a boundary or a few degrees of freedom, the result says so."""

from __future__ import annotations

import re

import numpy as np
import pytest

from mmkd_lab.core.check import LabError
from mmkd_lab.shares import Criteria, decisive_channels, information_shares
from mmkd_lab.shares.channels import FREEDOM
from tests.shares.worlds import blurred

METHODS = {
    "count": ("probe", {}),
    "canonical": ("marginal", {"basis": "canonical", "weight": "energy"}),
}


def shares_of(method, r2, *, n=2000, **thresholds):
    test, options = METHODS[method]
    criteria = Criteria(test, permutations=100, **thresholds)
    return decisive_channels(*blurred(r2, n=n), criteria=criteria, resamples=0, **options).shares


def hanging(shares):
    return [note for note in shares.notes if note.startswith("gamma hangs on where shared begins")]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("r2", [0.05, 0.1, 0.25])
def test_gamma_of_noisy_views_hangs_on_the_threshold_and_says_so(method, r2):
    (note,) = hanging(shares_of(method, r2))
    low, high = (float(re.search(rf"([0-9.]+) from {least}", note).group(1)) for least in ("0.033", "0.3"))
    assert "with R^2 from 0.1 on (least_shared)" in note
    assert low == pytest.approx(1.0, abs=0.05)
    assert high == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("r2", [0.01, 0.6])
def test_views_far_from_the_threshold_have_no_such_note(method, r2):
    shares = shares_of(method, r2)
    assert shares.gamma == pytest.approx(float(r2 > 0.1), abs=0.05)
    assert not hanging(shares)


@pytest.mark.parametrize("method", METHODS)
def test_the_threshold_tips_gamma_over(method):
    assert shares_of(method, 0.2).gamma == pytest.approx(1.0, abs=0.05)
    assert shares_of(method, 0.2, least_shared=0.5).gamma == pytest.approx(0.0, abs=0.05)
    (note,) = hanging(shares_of(method, 0.2, least_shared=0.5))
    assert "0.00 with R^2 from 0.5 on (least_shared), 1.00 from 0.17, 0.00 from 1." in note


# few degrees of freedom


def test_a_probe_that_leaves_few_degrees_of_freedom_is_refused():
    rng = np.random.default_rng(0)
    a, b, y = rng.normal(size=(60, 50)), rng.normal(size=(60, 5)), np.arange(60) % 2
    rule = r"samples = 60: must exceed the 50 independent channels by more than 40 for test='probe'"
    with pytest.raises(LabError, match=rule + r".*Use Criteria\(test='marginal'\), fewer channels"):
        decisive_channels(a, b, y)
    assert not decisive_channels(
        a, b, y, criteria=Criteria("marginal", permutations=100), resamples=0
    ).shares.defined


def test_noise_is_seldom_decisive_with_the_least_degrees_of_freedom():
    found = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        n = 20 + FREEDOM + 1
        a, b = rng.normal(size=(2, n, 20))
        table = decisive_channels(
            a, b, np.arange(n) % 2, criteria=Criteria(permutations=100), resamples=0, products=False
        ).table
        found += bool(table["decisive"].any())
    assert found <= 5  # 6 % are expected; with 10 degrees of freedom it would be 17 %


def test_halves_with_too_few_degrees_of_freedom_give_no_interval():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 110, 20))
    y = (a[:, 0] + b[:, 0] + 0.3 * rng.normal(size=110) > 0).astype(int)
    for test, missing in (("probe", True), ("marginal", False)):
        shares = decisive_channels(a, b, y, criteria=Criteria(test, permutations=100), resamples=10).shares
        assert any(note.startswith("No intervals") for note in shares.notes) == missing
        assert bool(shares.intervals) != missing


# the boundary of unique information


def scores(strength_a, strength_b, seed, n=600):
    rng = np.random.default_rng(seed)
    y = rng.integers(2, size=n)
    return strength_a * y + rng.normal(size=n), strength_b * y + rng.normal(size=n), y


def test_intervals_of_equally_informative_modalities_hold_full_redundancy():
    held = {"gamma_union": 0, "alpha": 0, "beta": 0}
    for seed in range(12):
        ends = information_shares(*scores(1.5, 1.5, seed), permutations=20, bootstrap=60).intervals
        held["gamma_union"] += ends["gamma_union"].high == 1.0
        held["alpha"] += ends["alpha"].low == 0.0
        held["beta"] += ends["beta"].low == 0.0
        assert ends["gamma_union"].low <= ends["gamma_union"].mean <= ends["gamma_union"].high
    assert min(held.values()) >= 10


def test_only_what_is_not_shown_reaches_the_boundary():
    ends = information_shares(*scores(2.5, 1.0, 0), permutations=20, bootstrap=60).intervals
    assert ends["alpha"].low > 0.2
    assert ends["beta"].low == 0.0
    assert ends["gamma_b"].high == 1.0
    assert ends["gamma_a"].high < 0.8
    assert ends["gamma_union"].high < 0.8
