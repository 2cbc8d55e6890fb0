"""The terms of MSD: their formula, their gradient, temperatures by view, and weights that only scale."""

from __future__ import annotations

import pytest
import torch

from mmkd_lab.data.task import Task
from mmkd_lab.distill.distance import Distance
from mmkd_lab.distill.losses.msd import Msd
from mmkd_lab.distill.method import Context, Outputs
from mmkd_lab.distill.views import msd_views
from mmkd_lab.distill.weights import Weighting, weigh
from mmkd_lab.models import View
from tests.distill.pairs import pairs, said
from tests.distill.samples import draw

DISTANCES = ("kl", "mse", "dist")
A, B = View.only("a"), View.only("b")
SHAPES = {Task.SINGLE_LABEL: (2, 5, 4), Task.MULTI_LABEL: (2, 5, 4), Task.DENSE: (2, 3, 4, 2, 3)}
ONE = Task.SINGLE_LABEL
NO_TARGET = torch.zeros(2, 5, dtype=torch.int64)


def sides(task=Task.SINGLE_LABEL, *, weights=False):
    shape = SHAPES[task]
    full, a, b, other_full, other_a, other_b = draw(*shape, count=6)
    w = dict(
        zip(
            (A, B),
            torch.rand(2, *shape[:2], generator=torch.Generator().manual_seed(3)).double(),
            strict=True,
        )
    )
    student = Outputs(full, {A: a, B: b})
    return student, Outputs(other_full, {A: other_a, B: other_b}, weights=w if weights else {})


def test_views_of_two_agree_and_of_three_differ():
    assert set(msd_views("ab", kind="only")) == set(msd_views("ab", kind="drop"))
    assert View.only("a") == View.drop("b", of="ab")
    only, drop = msd_views("abc", kind="only"), msd_views("abc", kind="drop")
    assert [view.label for view in only] == ["a", "b", "c"]
    assert [view.label for view in drop] == ["b+c", "a+c", "a+b"]
    assert msd_views("ba") == msd_views("ab")


@pytest.mark.parametrize("task", list(Task), ids=[task.name for task in Task])
@pytest.mark.parametrize("distance", DISTANCES)
def test_a_term_is_the_weighted_distance_of_its_view(distance, task):
    student, teacher = sides(task, weights=True)
    found = Msd((A, B), distance, temperature={A: 2.0}, task=task)(student, NO_TARGET, teacher, {})
    assert list(found) == ["msd", "msd/a", "msd/b"]
    torch.testing.assert_close(found["msd"], found["msd/a"] + found["msd/b"])
    for view, t in ((A, 2.0), (B, 1.0)):
        measure = Distance(distance, temperature=t, task=task)
        want = measure(student.views[view], teacher.views[view], weights=teacher.weights[view])
        torch.testing.assert_close(found[f"msd/{view.label}"], want)


def test_temperatures_may_name_views_by_their_labels():
    one, two = (Msd((A, B), temperature=t, task=Task.SINGLE_LABEL) for t in ({A: 2.0}, {"a": 2.0}))
    assert [two.measure(view).temperature for view in (A, B)] == [2.0, 1.0]
    assert one.describe() == two.describe()


@pytest.mark.parametrize("task", list(Task), ids=[task.name for task in Task])
@pytest.mark.parametrize("distance", DISTANCES)
def test_a_student_that_is_its_teacher_has_no_loss(distance, task):
    _, teacher = sides(task, weights=True)
    student = Outputs(teacher.logits, teacher.views)
    found = Msd((A, B), distance, temperature=3.0, task=task)(student, NO_TARGET, teacher, {})
    for value in found.values():
        assert float(value.abs().max()) < 1e-15


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_gradient_of_kl_is_temperature_times_the_difference_of_softmaxes(temperature):
    student, teacher = sides(weights=True)
    s = student.views[A].clone().requires_grad_()
    term = Msd((A,), "kl", temperature, ONE)(Outputs(s, {A: s}), NO_TARGET, teacher, {})["msd"]
    (gradient,) = torch.autograd.grad(term.sum(), s)
    softened = (s / temperature).softmax(-1) - (teacher.views[A] / temperature).softmax(-1)
    want = temperature * softened * teacher.weights[A][..., None] / 5
    torch.testing.assert_close(gradient, want, rtol=1e-10, atol=1e-14)


def test_gradient_of_multi_label_kl_is_temperature_times_the_difference_of_sigmoids():
    student, teacher = sides(Task.MULTI_LABEL)
    s = student.views[A].clone().requires_grad_()
    term = Msd((A,), temperature=3.0, task=Task.MULTI_LABEL)(Outputs(s, {A: s}), NO_TARGET, teacher, {})
    (gradient,) = torch.autograd.grad(term["msd"].sum(), s)
    want = 3.0 * ((s / 3.0).sigmoid() - (teacher.views[A] / 3.0).sigmoid()) / 5
    torch.testing.assert_close(gradient, want, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("distance", DISTANCES)
def test_weights_of_one_are_no_weights_and_none_get_a_gradient(distance):
    student, teacher = sides()
    weights = {view: torch.ones(2, 5, dtype=torch.float64, requires_grad=True) for view in (A, B)}
    measured = Msd((A, B), distance, temperature=2.0, task=Task.SINGLE_LABEL)
    plain = measured(student, NO_TARGET, teacher, {})["msd"]
    held = measured(student, NO_TARGET, Outputs(teacher.logits, teacher.views, weights=weights), {})["msd"]
    torch.testing.assert_close(plain, held)
    assert not held.requires_grad


def test_the_label_takes_no_part():
    student, teacher = sides()
    labels = torch.randint(4, (2, 5), generator=torch.Generator().manual_seed(0))
    one, two = (Msd((A, B), "kl", 1.0, ONE)(student, y, teacher, {})["msd"] for y in (NO_TARGET, labels))
    assert torch.equal(one, two)


def test_a_student_is_handed_its_views_and_their_weights():
    data = pairs()
    views = msd_views(data.modalities)
    teacher = said(data, views, replicas=1)
    gate = {views[0]: torch.tensor([0.5]), views[1]: torch.tensor([1.0]), View.only(): torch.tensor([0.0])}
    context = Context(Task.SINGLE_LABEL, 2.0, "kl", views, ("a", "b"), data=data, gate=gate)
    own = Weighting("normalised")
    found = Msd(weighting=own).bind(context).prepare(teacher, context, seed=0)
    want = weigh(teacher, views, own, data=data, gate={view: gate[view] for view in views})
    for view in views:
        assert torch.equal(found.views[view], teacher.views[view])
        assert torch.equal(found.weights[view], want.weights[view])
    full = Msd(weighting="uniform", target="full").bind(context).prepare(teacher, context, seed=0)
    assert all(torch.equal(values, teacher.logits) for values in full.views.values())
    assert [float(full.weights[view].unique()) for view in views] == [0.5, 1.0]
    one, two, again = (
        Msd(weighting="shuffled").bind(context).prepare(teacher, context, seed=seed).digest()
        for seed in (0, 1, 0)
    )
    assert one == again != two
    bare = Msd().bind(context)
    assert bare.weighting is None
    assert not bare.prepare(teacher, context, seed=0).weights


def test_the_teacher_is_asked_what_saliency_reads():
    context = Context(Task.SINGLE_LABEL, 2.0, "kl", msd_views("ab"), ("a", "b"))
    assert Msd(weighting="uniform").bind(context).asks(context) == msd_views("ab")
    shapley = Msd(weighting=Weighting("tanh", credit="shapley")).bind(context)
    assert set(shapley.asks(context)) == {A, B, View.only()}
