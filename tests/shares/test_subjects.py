"""Intervals over subjects: repeating a subject's sample teaches nothing, and the interval must know it."""

import numpy as np
import pytest

from mmkd_lab.shares import Criteria, commonality_shares, decisive_channels, information_shares
from mmkd_lab.shares.samples import members, subject_codes
from tests.shares.worlds import draw

MARGINAL = Criteria("marginal", permutations=100)
FAST = {
    "information": lambda a, b, y, **more: information_shares(
        a[:, :4].sum(1), b[:, :4].sum(1), y, bins=3, permutations=20, bootstrap=400, **more
    ),
    "commonality": lambda a, b, y, **more: commonality_shares(a, b, y, products=False, **more),
    "decisive": lambda a, b, y, **more: (
        decisive_channels(
            a, b, y, criteria=MARGINAL, weight="energy", resamples=60, products=False, **more
        ).shares
    ),
}


def width(shares):
    found = shares.intervals["gamma_union"]
    return found.high - found.low


@pytest.mark.parametrize("name", FAST)
def test_repeated_samples_of_a_subject_narrow_no_interval(name):
    a, b, y = draw(n=600, noise=1)
    who = np.repeat(np.arange(600), 9)
    again = [x[who] for x in (a, b, y)]
    once, naive = width(FAST[name](a, b, y)), width(FAST[name](*again))
    found = width(FAST[name](*again, subjects=who))
    assert found == pytest.approx(once, rel=0.35)
    assert naive < 0.55 * found


@pytest.mark.parametrize("name", FAST)
def test_names_of_subjects_are_only_names(name):
    a, b, y = draw(n=400, noise=1)
    who = np.random.default_rng(0).integers(0, 30, 400)
    one = FAST[name](a, b, y, subjects=who)
    other = FAST[name](a, b, y, subjects=np.array([f"speaker {100 + i}" for i in who]))
    assert dict(one.intervals) == dict(other.intervals)


def test_members_hold_every_sample_once():
    codes = subject_codes(["b", "a", "b", "c", "a"], 5)
    assert [unit.tolist() for unit in members(codes, 5)] == [[1, 4], [0, 2], [3]]
    assert [unit.tolist() for unit in members(None, 3)] == [[0], [1], [2]]


def patients(seed, *, count=16, each=40):
    """A column that tells patients apart, and a label of patients that it has nothing to do with."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(count), each)
    a = rng.normal(size=count)[who] + 0.05 * rng.normal(size=len(who))
    return a, rng.normal(size=len(who)), rng.permutation(np.arange(count) % 2)[who], who


def test_a_column_that_tells_patients_apart_does_not_tell_their_labels():
    found, naive = [], []
    for seed in range(12):
        a, b, y, who = patients(seed)
        found.append(information_shares(a, b, y, bootstrap=0, subjects=who).defined)
        naive.append(information_shares(a, b, y, bootstrap=0).defined)
    assert sum(naive) >= 10
    assert sum(found) <= 3


@pytest.mark.parametrize("name", ["commonality", "decisive"])
def test_tests_that_are_too_sure_say_so(name):
    a, b, y, who = patients(0)
    a, b = (np.column_stack([x, np.random.default_rng(1).normal(size=(len(x), 2))]) for x in (a, b))
    assert any("too sure" in note for note in FAST[name](a, b, y, subjects=who).notes)
    assert not any("too sure" in note for note in FAST[name](a, b, y, subjects=np.roll(who, 7)).notes)
