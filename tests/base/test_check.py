"""Errors name the argument, its value, the rule and the way out."""

import math
import pickle

import pytest

from mmkd_lab.base.check import LabError, listing, one_of, real, require, seeds, whole


def test_message_reads_name_value_rule_way_out():
    error = LabError("lr", -1, "must be above 0", "Try 0.1")
    assert str(error) == "lr = -1: must be above 0. Try 0.1."


def test_a_near_miss_is_suggested():
    with pytest.raises(LabError, match=r"arm = 'cm_kdd'.*'cm_kd'.*Did you mean 'cm_kd'\?"):
        one_of("arm", "cm_kdd", ["no_kd", "cm_kd"])


def test_a_far_miss_lists_without_guessing():
    with pytest.raises(LabError) as caught:
        one_of("arm", "zzz", ["no_kd", "cm_kd"])
    assert "Did you mean" not in str(caught.value)


@pytest.mark.parametrize("value", [0, -3, 1.5, True, "4", None, math.nan])
def test_whole_refuses(value):
    with pytest.raises(LabError, match="batch"):
        whole("batch", value)


@pytest.mark.parametrize("value", [math.nan, math.inf, "1", True, -0.1, 1.1])
def test_real_refuses(value):
    with pytest.raises(LabError, match="at least 0 and at most 1"):
        real("share", value, at_least=0, at_most=1)


def test_real_above_is_strict():
    assert real("t", 1e-9, above=0) == 1e-9
    with pytest.raises(LabError, match="above 0"):
        real("t", 0, above=0)


@pytest.mark.parametrize("value", [[], [1, 1], [-1], 3, "012", [0.5]])
def test_seeds_refuse(value):
    with pytest.raises(LabError, match="seeds"):
        seeds("seeds", value)


def test_seeds_take_any_iterable():
    assert seeds("seeds", range(3)) == (0, 1, 2)


def test_errors_cross_process_boundaries_unchanged():
    error = LabError("name", "x" * 200, "must be short")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert len(str(error)) < 200


def test_require_passes_and_refuses():
    require(True, "a", 1, "rule")
    with pytest.raises(LabError, match="a = 1: rule"):
        require(False, "a", 1, "rule")


@pytest.mark.parametrize(
    ("options", "text"), [([], "(none)"), (["a"], "'a'"), (["a", "b", "c"], "'a', 'b' or 'c'")]
)
def test_listing(options, text):
    assert listing(options) == text
