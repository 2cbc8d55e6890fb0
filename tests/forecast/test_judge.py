"""Scores of forecasts by hand; models that never see the set they are asked about."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from mmkd_lab.core.check import LabError
from mmkd_lab.forecast.judge import area, brier, calibration, leave_set_out, right, scores
from mmkd_lab.forecast.model import CHOICES, balanced, chosen, final, fitted, left_out, likely_above
from tests.forecast.pairs import rows


def test_brier_area_and_share_right_by_hand():
    p, up = np.array([0.9, 0.4, 0.5, 0.2]), np.array([True, True, False, False])
    assert brier(p, up.astype(float)) == pytest.approx((0.01 + 0.36 + 0.25 + 0.04) / 4)
    assert brier(p, up.astype(float), np.array([1.0, 0, 0, 1])) == pytest.approx(0.025)
    # Pairs (true, false): .9>.5, .9>.2, .4<.5, .4>.2 -> 3 of 4; a tie counts half.
    assert area(p, up) == 0.75
    assert area(np.array([0.3, 0.3]), np.array([True, False])) == 0.5
    assert np.isnan(area(p, np.ones(4, dtype=bool)))
    # .9 right, .4 wrong, .5 half, .2 right.
    assert right(p, up) == 2.5 / 4


def test_calibration_counts_every_forecast_once():
    p, up = np.array([0.0, 0.1, 0.2, 0.95, 1.0]), np.array([0.0, 1.0, 1.0, 1.0, 0.0])
    found = calibration(p, up)
    assert found["n"].tolist() == [2, 1, 2]
    assert found["share"].tolist() == [0.5, 1.0, 0.5]
    assert found["probability"].tolist() == pytest.approx([0.05, 0.2, 0.975])


def test_only_gains_whose_interval_leaves_out_zero_are_right_or_wrong():
    table = pd.DataFrame({"gain": [1.0, -1.0, 0.2, 0.0], "low": [0.5, -2, -1, 0], "high": [2, -0.1, 1, 0]})
    found = scores(np.array([0.8, 0.9, 0.1, 0.1]), table)
    assert (found["shown"], found["n"]) == (2.0, 4.0)
    assert found["right"] == 0.5
    assert found["brier"] == pytest.approx((0.04 + 0.81 + 0.81 + 0.01) / 4)


@pytest.mark.parametrize("seed", range(5))
def test_no_set_is_on_both_sides_and_each_is_left_out_once(seed):
    rng = np.random.default_rng(seed)
    sets = [f"set {i}" for i in rng.integers(0, 5, 40)]
    held_out = np.zeros(40, dtype=int)
    for known, held in leave_set_out(sets):
        here, there = ({s for s, one in zip(sets, side, strict=True) if one} for side in (known, held))
        assert len(there) == 1
        assert not here & there
        assert (known ^ held).all()
        held_out += held
    assert (held_out == 1).all()
    with pytest.raises(LabError, match="at least two data sets"):
        list(leave_set_out(["one"] * 3))


def test_what_is_said_of_a_set_does_not_depend_on_what_came_of_it():
    table = rows()
    mine = (table["set"] == "set 2").to_numpy()
    other = table.copy()
    other.loc[mine, ["gain", "low", "high"]] = -other.loc[mine, ["gain", "high", "low"]].to_numpy()
    one, two = (left_out(found, ("pilot",), 1.0) for found in (table, other))
    assert np.array_equal(one.probability[mine], two.probability[mine])
    assert np.array_equal(one.gain[mine], two.gain[mine])
    assert not np.array_equal(one.gain[~mine], two.gain[~mine])


def test_how_likely_a_gain_is_above_zero_is_students_t():
    table = rows(sets=1, each=3).iloc[:3].assign(gain=[1.0, 0.0, -2.0], low=[-1.0, -3, -2], high=[3.0, 3, -2])
    error = 2.0 / student.ppf(0.975, 7)
    assert likely_above(table) == pytest.approx([student.cdf(1.0 / error, 7), 0.5, 0.0])


def test_every_set_weighs_the_same():
    table = pd.concat([rows(sets=1, each=30), rows(sets=2, each=3).assign(set=lambda t: t["set"] + "'")])
    weight = pd.Series(balanced(table)).groupby(table["set"].to_numpy()).sum()
    assert np.allclose(weight, weight.iloc[0])
    assert balanced(table).mean() == pytest.approx(1.0)


def test_a_model_finds_what_foretells_and_lives_with_what_is_missing():
    table = rows(sets=5, each=20)
    model = fitted(table, CHOICES["accuracies and pilots"], 1.0)
    at = dict(zip(model.names, model.sign, strict=False))
    assert at["pilot"] == max(at.values(), key=abs)
    missing = table.assign(teacher_accuracy=np.nan, pilot_soft=np.nan)
    assert np.isfinite(model.probability(missing)).all()
    empty = fitted(missing, ("teacher_accuracy", "pilot"), 1.0)
    assert empty.sign[0] == 0.0
    choice, _ = chosen(table)
    assert "pilot" in CHOICES[choice]


def test_a_forecasts_interval_holds_its_share_of_gains_left_out():
    table = rows(sets=6, each=30, noise=1.0)
    model, choice = final(table)
    fresh = rows(sets=6, each=30, noise=1.0, seed=9)
    off = fresh["gain"].to_numpy() - model.gain(fresh)
    inside = ((off > model.spread[0]) & (off < model.spread[1])).mean()
    assert choice in CHOICES
    assert 0.7 < inside < 0.9
