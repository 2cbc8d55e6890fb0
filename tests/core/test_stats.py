"""Intervals against tabulated Student's t values, and their coverage by simulation."""

import math

import numpy as np
import pytest

from mmkd_lab.core.check import LabError
from mmkd_lab.core.stats import Interval, mean_interval, paired_interval


def test_against_the_t_table():
    # n = 5: t(4, 0.975) = 2.776445; the standard deviation of 1..5 is sqrt(2.5)
    found = mean_interval([1, 2, 3, 4, 5])
    half = 2.776445 * math.sqrt(2.5 / 5)
    assert found.mean == 3
    assert found.low == pytest.approx(3 - half, abs=1e-5)
    assert found.high == pytest.approx(3 + half, abs=1e-5)


def test_one_value_has_no_interval():
    found = mean_interval([2.0])
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert found.side == 0
    assert str(found) == "2.00 (n = 1)"


def test_pairing_removes_what_seeds_share():
    seeds = np.random.default_rng(0).normal(size=20) * 100
    found = paired_interval(seeds + 1.0, seeds)
    assert found.low == pytest.approx(1.0)
    assert found.high == pytest.approx(1.0)


def test_ninety_five_percent_intervals_cover_ninety_five_percent():
    draws = np.random.default_rng(1).normal(loc=0.7, size=(4000, 5))
    covered = np.mean([i.low <= 0.7 <= i.high for i in map(mean_interval, draws)])
    assert abs(covered - 0.95) < 0.0125  # 3.6 standard errors


def test_shown_with_a_true_minus_sign():
    assert Interval(-1.234, -2.0, -0.5, 5).show(signed=True) == "−1.23 [−2.00, −0.50]"
    assert Interval(1.234, 0.5, 2.0, 5).show(signed=True) == "+1.23 [0.50, 2.00]"


@pytest.mark.parametrize(
    ("values", "match"),
    [([], "at least one"), ([[1.0]], "flat"), ([math.nan], "finite"), ([math.inf, 1], "finite")],
)
def test_refused_values(values, match):
    with pytest.raises(LabError, match=match):
        mean_interval(values)


@pytest.mark.parametrize("level", [0, 1, -1, math.nan, "95"])
def test_refused_levels(level):
    with pytest.raises(LabError, match="level"):
        mean_interval([1, 2], level=level)


def test_refused_pairs():
    with pytest.raises(LabError, match="one value per seed"):
        paired_interval([1, 2], [1, 2, 3])


@pytest.mark.parametrize("values", ["12", ["1", "2"], None, {"a": 1}, [[1.0], [1.0, 2.0]], [10**400]])
def test_what_is_no_number_is_refused_by_name(values):
    with pytest.raises(LabError, match="values = "):
        mean_interval(values)
    with pytest.raises(LabError, match="control = "):
        paired_interval([1.0, 2.0], values)


@pytest.mark.parametrize(
    ("values", "side"),
    [
        ((1.0, 1.1, 1.2), 1),
        ((-1.0, -1.1, -1.2), -1),
        ((-1.0, 0.5, 1.0), 0),
        ((0.5, 0.5, 0.5), 0),
        ((0.0, 0.0), 0),
        ((0.1 + 0.2, 0.3, 0.3), 0),
        ((1e-14, 1.1e-14, 1.2e-14), 0),
        ((1.0, 1.1), 0),
    ],
)
def test_the_side_of_zero_needs_a_spread(values, side):
    assert mean_interval(values).side == side


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Interval(0.5, 0.004, 0.996, 3), "+0.500 [0.004, 0.996]"),
        (Interval(-0.5, -1.0, -0.0001, 3), "−0.5000 [−1.0000, −0.0001]"),
        (Interval(0.0, 0.0, 0.0, 3), "+0.00, the same in all 3"),
        (Interval(1.0, 1.0, 1.0, 4), "+1.00, the same in all 4"),
        (Interval(5.0, 4.0, 6.0, 2), "+5.00 [4.00, 6.00], of 2 only"),
        (Interval(5.0, -4.0, 14.0, 2), "+5.00 [−4.00, 14.00]"),
    ],
)
def test_what_is_compared_with_zero_tells_why_it_shows_nothing(found, said):
    assert found.show(signed=True) == said
