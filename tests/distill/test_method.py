"""A method is one file: registered by name, bound by a study, described by all of its fields."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields

import pytest
import torch

from mmkd_lab.core.config import Positive, config
from mmkd_lab.data.task import Task
from mmkd_lab.distill import (
    METHODS,
    Context,
    Distillation,
    Method,
    Msd,
    Needs,
    Outputs,
    msd_views,
    register_method,
)
from mmkd_lab.distill.method import OPEN, OpenTemperature, source_digest
from mmkd_lab.models import Zeros
from tests.distill.samples import draw

CONTEXT = Context(Task.SINGLE_LABEL, 3.0, "released", msd_views("ab"), ("a", "b"))


@pytest.mark.parametrize("name", list(METHODS))
def test_every_field_is_in_the_key_and_every_open_one_can_be_bound(name):
    method = METHODS[name]().bind(CONTEXT)
    method.require_bound()
    plain = method.describe()
    assert set(plain) == {"method", *(one.name for one in fields(method))}
    assert json.loads(json.dumps(plain)) == plain
    for one in ("task", "temperature", "convention", "views"):
        assert getattr(method, one, None) in (None, getattr(CONTEXT, one))
    assert METHODS[name].name == name


def test_what_is_given_is_not_bound_anew():
    given = METHODS["kd"](temperature=1.5).bind(CONTEXT)
    assert (given.temperature, given.convention) == (1.5, "released")


def test_a_method_of_your_own():
    @register_method("power")
    @config
    class Power(Method):
        power: Positive = 2.0
        temperature: OpenTemperature = OPEN

        def __call__(self, student, target, teacher, parameters):
            apart = (student.logits - teacher.logits).abs() ** self.power
            return {self.name: apart.mean(dim=(-2, -1))}

    try:
        assert METHODS["power"] is Power
        student, teacher = draw(2, 5, 4)
        loss = Distillation(((0.5, METHODS["power"](3.0).bind(CONTEXT)),))
        found = loss(Outputs(student), torch.zeros(2, 5).long(), Outputs(teacher), {})
        torch.testing.assert_close(found["loss"], 0.5 * (student - teacher).abs().pow(3).mean((1, 2)))
        plain = Power(3.0).describe()
        assert plain["power"] == 3.0
        assert plain["source"] == source_digest(Power) != ""
    finally:
        METHODS.forget("power")


def test_the_source_of_yours_is_part_of_the_key_and_the_labs_own_has_none():
    @dataclass(frozen=True)
    class One(Method):
        def __call__(self, student, target, teacher, parameters):
            return {"one": student.logits.mean((1, 2))}

    @dataclass(frozen=True)
    class Two(Method):
        def __call__(self, student, target, teacher, parameters):
            return {"one": student.logits.sum((1, 2))}

    assert source_digest(One) != source_digest(Two)
    cells = []
    for body in ("student.logits.mean()", "student.logits.sum()", "student.logits.mean()"):
        names = {"Method": Method, "__name__": "__main__"}
        exec(f"class Cell(Method):\n    def __call__(self, student, *rest):\n        return {body}", names)
        cells.append(source_digest(names["Cell"]))
    assert cells[0] == cells[2] != cells[1]
    assert source_digest(Msd) == ""


def test_needs_join():
    one = Needs(msd_views("ab"), ("x",), ("y",), teacher=False)
    two = Needs(msd_views("ab")[:1], ("z",), ("y",), view_features=True)
    assert one | two == Needs(msd_views("ab"), ("x", "z"), ("y",), view_features=True, teacher=True)


def test_by_default_a_student_is_handed_what_is_needed():
    from tests.distill.pairs import pairs, said

    data = pairs()
    teacher = said(data, msd_views("ab"))
    assert not METHODS["kd"]().bind(CONTEXT).prepare(teacher, CONTEXT, seed=0).views
    kept = METHODS["gram"](of="logits").bind(CONTEXT).prepare(teacher, CONTEXT, seed=0)
    assert set(kept.views) == set(msd_views("ab"))
    loss = Distillation(((1.0, METHODS["kd"]().bind(CONTEXT)), (1.0, Msd().bind(CONTEXT))), Zeros())
    handed = loss.prepare(teacher, CONTEXT, seed=0)
    assert torch.equal(handed.logits, teacher.logits)
    assert set(handed.views) == set(msd_views("ab"))
    assert Distillation(((1.0, METHODS["ce"]().bind(CONTEXT)),)).prepare(teacher, CONTEXT, seed=0) is None
