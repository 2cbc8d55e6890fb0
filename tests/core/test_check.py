"""Errors name the argument, its value, the rule and the way out."""

import itertools
import math
import pickle

import numpy as np
import pandas as pd
import pytest

from mmkd_lab.core.check import (
    DamagedFile,
    LabError,
    flat,
    listing,
    one_of,
    path,
    position,
    reading,
    real,
    seeds,
    whole,
)

HUGE = pytest.param(-(10**5000), id="a number of five thousand digits")


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


@pytest.mark.parametrize(
    ("options", "text"), [([], "(none)"), (["a"], "'a'"), (["a", "b", "c"], "'a', 'b' or 'c'")]
)
def test_listing(options, text):
    assert listing(options) == text


@pytest.mark.parametrize(
    "value", [np.array([1, 2]), np.array("p"), pd.DataFrame({"p": [1]}), HUGE, [], {"p"}, b"p", None, 1.0]
)
def test_one_of_refuses_what_cannot_be_compared(value):
    with pytest.raises(LabError, match=r"arm = .*must be one of 'p' or 1"):
        one_of("arm", value, ["p", 1])


def test_one_of_takes_numpy_text_and_numbers():
    one_of("arm", np.str_("p"), ["p", 1])
    one_of("arm", np.int64(1), ["p", 1])


@pytest.mark.parametrize("value", [10**400, HUGE])
def test_numbers_too_large_are_refused_by_name(value):
    with pytest.raises(LabError, match="lr = "):
        real("lr", value)
    with pytest.raises(LabError, match="steps = "):
        whole("steps", value)


@pytest.mark.parametrize("value", [itertools.count(), {"a", "b"}, {"a": 1}, "ab", 3, None, np.array(1)])
def test_flat_takes_what_has_an_order_and_an_end(value):
    with pytest.raises(LabError, match="arms = "):
        flat("arms", value, "a list")


@pytest.mark.parametrize("value", ["", "x" * 5000, "a\0b", "~nobody-of-this-name/x", b"x", None, 3])
def test_path_refuses(value):
    with pytest.raises(LabError, match="mirror = "):
        path("mirror", value)


@pytest.mark.parametrize("value", [-1, 2, True, "0", None, 0.0])
def test_position_refuses(value):
    with pytest.raises(LabError, match=r"r = .*must be a teacher, 0 to 1"):
        position("r", value, 2, of="a teacher")


def test_a_message_is_one_line():
    assert "\n" not in str(LabError("x", np.zeros((3, 3)), "must be flat"))


def test_a_long_value_keeps_its_beginning_and_its_end():
    shown = str(LabError("path", "/speech/" + "x" * 200 + "/digits.npz", "must exist"))
    assert shown.startswith("path = '/speech/x")
    assert "…x" in shown
    assert "/digits.npz': must exist." in shown
    assert len(shown) == len("path = : must exist.") + 80


def _asserts(content):
    assert content == "sound"


@pytest.mark.parametrize(
    ("read", "told"),
    [
        (lambda content: content["size"], "TypeError: string indices must be integers"),
        (lambda content: content.items(), "AttributeError: 'str' object has no attribute 'items'"),
        (lambda content: {}[content], "KeyError: 'x'"),
        (int, "invalid literal for int"),
    ],
)
def test_what_content_can_cause_is_a_fault_of_the_file(read, told):
    with (
        pytest.raises(DamagedFile, match=rf"a\.json = .*{told}.*: must be JSON\.") as caught,
        reading("a.json", "must be JSON"),
    ):
        read("x")
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    ("read", "kind"),
    [
        (lambda content: content + unknown, NameError),  # noqa: F821 - that is the fault
        (lambda content: math.squareroot(content), AttributeError),
        (lambda content: np.zeros(2).items(content), AttributeError),
        (_asserts, AssertionError),
    ],
)
def test_a_fault_of_the_reader_is_not_put_down_to_the_file(read, kind):
    with pytest.raises(kind), reading("a.json", "must be JSON"):
        read("x")
