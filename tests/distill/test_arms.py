"""The registry of arms."""

from __future__ import annotations

import pytest

from mmkd_lab.core.check import LabError
from mmkd_lab.distill import ARMS, REPAIRS, arms


def test_arms_come_in_the_order_asked_for():
    assert [arm.name for arm in arms(["kl_only", "no_kd"])] == ["kl_only", "no_kd"]


def test_every_arm_but_one_has_a_teacher_and_every_arm_but_one_has_labels():
    assert [name for name, arm in ARMS.items() if arm.teacher == "none"] == ["no_kd"]
    assert [name for name, arm in ARMS.items() if not arm.ce] == ["kl_only"]
    assert {arm.teacher for arm in ARMS.values()} == {"none", "student", "other", "all"}


def test_repaired_teachers_are_arms_of_their_own():
    assert {arm.teacher for arm in REPAIRS.values()} == {"other"}
    assert not set(ARMS) & set(REPAIRS)
    assert [arm.name for arm in arms(["mg_kd", "no_kd"], known={**ARMS, **REPAIRS})] == ["mg_kd", "no_kd"]
    with pytest.raises(LabError, match="arms = 'mg_kd'"):
        arms(["mg_kd"])


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["cm_kdd"], ["arms = 'cm_kdd'", "Did you mean 'cm_kd'?"]),
        ([], ["arms = []", "at least one"]),
        ("no_kd", ["arms = 'no_kd'", "list"]),
        (["no_kd", "no_kd"], ["must not name an arm twice"]),
    ],
)
def test_bad_names_are_named(names, words):
    with pytest.raises(LabError) as raised:
        arms(names)
    for word in words:
        assert word in str(raised.value)
