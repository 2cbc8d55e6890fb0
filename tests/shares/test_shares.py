"""The result type: conventions, checks, tables, intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mmkd_lab.shares.shares import QUANTITIES, ModalityShares, from_masses


def test_both_conventions_of_gamma():
    shares = ModalityShares(0.3, 0.2, 0.5, "by hand")
    assert shares.gamma_union == 0.5
    assert shares.gamma_a == pytest.approx(0.5 / 0.8)
    assert shares.gamma_b == pytest.approx(0.5 / 0.7)


def test_the_whole_sums_to_one_and_keeps_the_ratios():
    shares = ModalityShares(0.3, 0.2, 0.5, "by hand", synergy=0.25, unobserved=0.4)
    whole = shares.whole
    assert sum(whole.values()) == pytest.approx(1.0)
    assert whole == pytest.approx(
        {
            "alpha": 0.6 * 0.75 * 0.3,
            "gamma": 0.6 * 0.75 * 0.5,
            "beta": 0.6 * 0.75 * 0.2,
            "synergy": 0.15,
            "unobserved": 0.4,
        }
    )


def test_masses_become_shares():
    shares = from_masses([3, 2, 5, 10, 20], method="by hand", n=7)
    assert (shares.alpha, shares.beta, shares.gamma) == pytest.approx((0.3, 0.2, 0.5))
    assert shares.synergy == pytest.approx(0.5)
    assert shares.unobserved == pytest.approx(0.5)
    assert shares.n == 7
    assert not shares.xor_type


def test_what_a_method_cannot_see_is_none_and_nan_in_the_table():
    shares = from_masses([1, 1, 2, 0], method="by hand", sees_synergy=False)
    assert shares.synergy is None
    assert shares.unobserved is None
    table = shares.to_table().set_index("quantity")
    assert list(table.index) == list(QUANTITIES)
    assert math.isnan(table.loc["synergy", "value"])
    assert table.loc["gamma_union", "value"] == 0.5
    assert "synergy not seen" in str(shares)


def test_pure_synergy_has_no_gamma_and_says_so():
    shares = from_masses([0, 0, 0, 2, 1], method="by hand")
    assert not shares.defined
    assert shares.xor_type
    assert math.isnan(shares.gamma_a)
    assert "XOR-type" in shares.notes[0]
    assert "undefined" in repr(shares)
    assert "Nothing decisive was found" in from_masses([-1, 0, 0, 0, 1], method="by hand").notes[0]


def test_mostly_synergy_is_flagged():
    shares = from_masses([1, 1, 1, 9], method="by hand")
    assert shares.xor_type
    assert "75%" in shares.notes[0]
    assert not from_masses([1, 1, 1, 2], method="by hand").xor_type


def test_basic_mirrors_and_recentred_moves():
    gamma = np.linspace(0.3, 0.5, 1001)
    drawn = np.column_stack([1 - gamma, 0 * gamma, gamma, 0 * gamma])
    ends = {
        kind: from_masses([0.5, 0, 0.5, 0], method="m", replicates=drawn, kind=kind, level=0.9999).intervals[
            "gamma_union"
        ]
        for kind in ("percentile", "basic", "recentred")
    }
    assert ends["percentile"].low == pytest.approx(0.3, abs=1e-3)
    assert ends["basic"].low == pytest.approx(0.5, abs=1e-3)
    assert ends["recentred"].low == pytest.approx(0.4, abs=1e-3)


def test_the_jackknife_gives_students_interval_of_a_mean():
    from mmkd_lab.core.stats import mean_interval

    values = np.array([0.3, 0.5, 0.4, 0.6, 0.2])
    without = (values.sum() - values) / 4
    drawn = np.column_stack([1 - without, 0 * without, without, 0 * without])
    found = from_masses([0.6, 0, 0.4, 0], method="m", replicates=drawn, kind="jackknife").intervals[
        "gamma_union"
    ]
    plain = mean_interval(values)
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high))


def test_intervals_end_at_zero_and_one():
    drawn = np.array([[0.0, 0, 1, 0], [1, 0, 0, 0]] * 30)
    ends = from_masses([0.05, 0, 0.95, 0], method="m", replicates=drawn, kind="basic").intervals[
        "gamma_union"
    ]
    assert (ends.low, ends.high) == pytest.approx((0.9, 1.0))
