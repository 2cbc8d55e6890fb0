"""Columns that repeat one another, wholly or nearly, and columns in any unit: the known shares stay."""

from __future__ import annotations

import numpy as np
import pytest

from mmkd_lab.shares import ESTIMATORS, Criteria, commonality_shares, decisive_channels
from mmkd_lab.shares.sides import Sides
from tests.shares.worlds import draw

QUICK = {"criteria": Criteria(permutations=100), "resamples": 15}
COPIES = "are combinations of others are left out"


@pytest.mark.parametrize("sides", ["a", "ab"])
@pytest.mark.parametrize("blur", [0.0, 1e-3, 0.1, 0.3])
def test_counts_know_a_channel_by_its_copy_however_blurred(blur, sides):
    a, b, y = draw(n=2000)
    own = np.random.default_rng(5)
    once = decisive_channels(a, b, y, **QUICK)
    a, b = (
        np.hstack([x, x + blur * own.normal(size=x.shape)]) if name in sides else x
        for name, x in (("a", a), ("b", b))
    )
    found = decisive_channels(a, b, y, **QUICK)
    assert once.shares.gamma == 3 / 8
    assert found.shares.gamma == once.shares.gamma
    for name in "ab":
        assert list(found.channels(name, general=True)) == list(once.channels(name, general=True))
    which = "9 of a and 8 of b" if sides == "ab" else "9 of a"
    how = "nearly are count by what they have of their own" if blur else COPIES
    assert f"Channels that {how}: {which}." in found.shares.notes


def test_channels_that_hide_one_another_are_not_called_silent():
    """Too little to be told apart, and not alike enough to be one: no channel of a adds to the others."""
    a, b, y = draw(n=300)
    a = np.hstack([a + 0.3 * np.random.default_rng(seed).normal(size=a.shape) for seed in (1, 2, 3)])
    found = decisive_channels(a, b, y, criteria=Criteria(permutations=100), resamples=0)
    assert not len(found.channels("a"))
    assert any(
        note.startswith("No channel of a is decisive beside the others") for note in found.shares.notes
    )
    noise = np.random.default_rng(4).normal(size=a.shape)
    notes = decisive_channels(noise, b, y, criteria=Criteria(permutations=100), resamples=0).shares.notes
    assert not any("No channel" in note for note in notes)


def test_what_nearly_equal_channels_differ_by_is_not_lost():
    own = np.random.default_rng(6)
    both, apart, noise = own.normal(size=(3, 2000))
    a = np.column_stack([both + 0.05 * apart, both - 0.05 * apart, noise])
    b = np.column_stack([apart + 0.3 * own.normal(size=2000), own.normal(size=2000)])
    found = decisive_channels(a, b, (apart > 0).astype(int), **QUICK)
    assert 1 in found.channels("a", general=True)
    assert 2 not in found.channels("a")


@pytest.mark.parametrize("digits", [7, 2])
def test_proportions_that_sum_to_one_keep_what_they_tell(digits):
    """Ten proportions that tell the label well, beside columns that hardly do."""
    own = np.random.default_rng(7)
    y = own.integers(0, 5, 2000)
    topics = own.gamma(0.5 + 2.0 * np.eye(10)[y])
    topics = (topics / topics.sum(1, keepdims=True)).round(digits)
    other = own.normal(size=(2000, 6))
    other[:, 0] += 0.6 * (y == 0)
    asked = Sides.of(topics, other, y)
    right = [(said.argmax(1) == y).mean() for said in (asked.said_a, asked.said_b)]
    assert right[0] > 0.7
    assert right[1] < 0.3
    for name, estimate in ESTIMATORS.items():
        found = estimate(asked, 0, 0)
        assert found.alpha > 0.8, name
        assert found.gamma < 0.1, name


@pytest.mark.parametrize("power", [3, 30, 120])
def test_units_and_origins_change_nothing(power):
    a, b, y = draw(n=400)
    own = np.random.default_rng(8)
    units = [10.0 ** own.integers(-power, power + 1, size=x.shape[1]) for x in (a, b)]
    canonical = {"basis": "canonical", "weight": "energy", "criteria": Criteria("marginal"), "resamples": 15}
    for estimate in (
        commonality_shares,
        lambda *x: decisive_channels(*x, **QUICK).shares,
        lambda *x: decisive_channels(*x, **canonical).shares,
    ):
        plain, moved = estimate(a, b, y), estimate((a + 3) * units[0], (b - 5) * units[1], y)
        for name in ("alpha", "beta", "gamma_union", "synergy"):
            assert moved.value(name) == pytest.approx(plain.value(name), abs=1e-9)
        assert moved.intervals["gamma_union"].low == pytest.approx(
            plain.intervals["gamma_union"].low, abs=1e-9
        )


@pytest.mark.parametrize("test", ["probe", "marginal"])
def test_channels_given_twice_count_once(test):
    a, b, y = draw(n=1500)
    options = {"criteria": Criteria(test, permutations=100), "resamples": 15}
    once = decisive_channels(a, b, y, **options)
    twice = decisive_channels(np.hstack([a, a]), np.hstack([b, b]), y, **options)
    assert once.shares.gamma > 0.2
    assert twice.shares.gamma == once.shares.gamma
    assert twice.shares.intervals["gamma_union"] == once.shares.intervals["gamma_union"]
    assert list(twice.channels("a")) == list(once.channels("a"))
    assert f"Channels that {COPIES}: 9 of a and 8 of b." in twice.shares.notes
