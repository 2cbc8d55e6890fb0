"""The whole loss: what it reduces to, its names, one replica of several."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from mmkd_lab.data.task import Task
from mmkd_lab.distill import (
    KD,
    Context,
    CrossEntropy,
    Distillation,
    Msd,
    Needs,
    Outputs,
    cross_entropy,
)
from mmkd_lab.distill.distance import Distance
from mmkd_lab.distill.losses.dkd import DKD
from mmkd_lab.distill.losses.hints import Hints
from mmkd_lab.distill.losses.rkd import RKD
from mmkd_lab.distill.method import CLASSES, HEAD
from mmkd_lab.distill.views import msd_views
from mmkd_lab.distill.weights import Weighting, weigh
from mmkd_lab.models import NetSpec, View, Zeros
from mmkd_lab.training import Recipe, Replicas, fit
from tests.distill.pairs import pairs, said
from tests.distill.samples import draw

ONE = Task.SINGLE_LABEL
VIEWS = A, B = msd_views("ab")
TARGET = torch.tensor([[0, 1, 2, 3, 0], [3, 2, 1, 0, 3]])
CE, KD3, MSD = CrossEntropy(ONE), KD(3.0, "kl", ONE), Msd(VIEWS, temperature=2.0, task=ONE)


def sides(task=ONE, *, weights=False):
    shape = (2, 5, 4, 2, 3) if task is Task.DENSE else (2, 5, 4)
    full, a, b, other, other_a, other_b = draw(*shape, count=6)
    w = {A: draw(2, 5, count=1)[0].abs(), B: draw(2, 5, seed=1, count=1)[0].abs()} if weights else {}
    return Outputs(full, {A: a, B: b}), Outputs(other, {A: other_a, B: other_b}, weights=w)


def loss_of(c=1.0, *, ce=0.4, kd=0.6, msd=MSD):
    return Distillation(((ce, CE), (kd, KD3), (c, msd)), Zeros())


def test_without_c_it_is_kd_and_without_b_and_c_cross_entropy():
    student, teacher = sides()
    found = loss_of(0.0)(student, TARGET, teacher, {})
    assert set(found) == {"ce", "kd", "msd", "msd/a", "msd/b", "loss"}
    assert torch.equal(found["loss"], 0.4 * found["ce"] + 0.6 * found["kd"])
    alone = Distillation(((1.0, CE),))
    assert not alone.needs_teacher
    assert torch.equal(alone(student, TARGET, None, {})["loss"], cross_entropy(student.logits, TARGET))
    assert torch.equal(loss_of(0.0, ce=1.0, kd=0.0)(student, TARGET, teacher, {})["loss"], found["ce"])


def test_the_loss_is_the_sum_of_its_terms_and_one_replica_of_several_is_its_own():
    student, teacher = sides()
    c, rho = torch.tensor([0.5, 2.0]), torch.tensor([1.0, 0.3])
    loss = loss_of(c, ce=rho)
    found = loss(student, TARGET, teacher, {})
    want = rho * found["ce"] + 0.6 * found["kd"] + c * (found["msd/a"] + found["msd/b"])
    torch.testing.assert_close(found["loss"], want)
    assert loss.replicas == 2
    for r in range(2):
        one = [Outputs(o.logits[[r]], {v: x[[r]] for v, x in o.views.items()}) for o in (student, teacher)]
        alone = loss[r](one[0], TARGET[[r]], one[1], {})
        assert loss[r].replicas is None
        for name, value in alone.items():
            torch.testing.assert_close(value, found[name][[r]])


def test_needs_join_and_parameters_reach_their_method():
    hints = Distillation(
        ((1.0, Hints()), (2.0, Hints(student_layer="conv", teacher_layer="block")), (0.1, RKD()))
    )
    layers = Needs(student_layers=(HEAD, "conv"), teacher_layers=(HEAD, "block"))
    assert hints.needs == layers
    assert Distillation((*hints.terms, (1.0, MSD)), Zeros()).needs == layers | Needs(VIEWS)
    assert hints.names == ("hints 1", "hints 2", "rkd")
    made = hints.parameters({HEAD: 3, "conv": 4}, {HEAD: 5, "block": 6}, seeds=[0, 1])
    assert {name: tuple(value.shape) for name, value in made.items()} == {
        "hints 1.weight": (2, 3, 5),
        "hints 1.bias": (2, 5),
        "hints 2.weight": (2, 4, 6),
        "hints 2.bias": (2, 6),
    }
    own = {name: value.double() for name, value in made.items()}
    logits, near, wide = draw(2, 5, 4, count=1)[0], draw(2, 5, 3, count=1)[0], draw(2, 5, 4, count=1)[0]
    head, block = draw(2, 5, 5, count=1)[0], draw(2, 5, 6, count=1)[0]
    student = Outputs(logits, features={HEAD: near, "conv": wide})
    teacher = Outputs(logits, features={HEAD: head, "block": block})
    found = hints(student, TARGET, teacher, own)
    for i, (x, y) in enumerate(((near, head), (wide, block)), start=1):
        mapped = torch.baddbmm(own[f"hints {i}.bias"][:, None], x, own[f"hints {i}.weight"])
        torch.testing.assert_close(found[f"hints {i}"], (mapped - y).square().mean((1, 2)))


@pytest.mark.parametrize(("task", "none"), [(ONE, -100), (Task.DENSE, -1)], ids=["single", "dense"])
def test_what_has_no_label_is_left_out_of_the_mean_of_its_replica(task, none):
    shape = (2, 3, 4, 5, 5) if task is Task.DENSE else (2, 6, 4)
    logits = draw(*shape, count=1)[0]
    where = (2, 3, 5, 5) if task is Task.DENSE else (2, 6)
    target = torch.randint(4, where, generator=torch.Generator().manual_seed(1))
    target[0, :2] = none
    found = cross_entropy(logits, target, task=task)
    for r in range(2):
        torch.testing.assert_close(found[r], F.cross_entropy(logits[r], target[r], ignore_index=none))
    assert cross_entropy(logits, torch.full_like(target, none), task=task).tolist() == [0.0, 0.0]


def test_views_of_two_agree_and_of_three_differ():
    assert set(msd_views("ab", kind="only")) == set(msd_views("ab", kind="drop"))
    assert View.only("a") == View.drop("b", of="ab")
    only, drop = msd_views("abc", kind="only"), msd_views("abc", kind="drop")
    assert [view.label for view in only] == ["a", "b", "c"]
    assert [view.label for view in drop] == ["b+c", "a+c", "a+b"]
    assert msd_views("ba") == msd_views("ab")


@pytest.mark.parametrize("task", CLASSES, ids=[task.name for task in CLASSES])
@pytest.mark.parametrize("distance", ["kl", "mse", "dist"])
def test_a_term_is_the_weighted_distance_of_its_view(distance, task):
    student, teacher = sides(task, weights=True)
    found = Msd((A, B), distance, temperature={A: 2.0}, task=task)(student, TARGET, teacher, {})
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


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_gradient_of_kl_is_temperature_times_the_difference_of_softmaxes(temperature):
    student, teacher = sides(weights=True)
    s = student.views[A].clone().requires_grad_()
    term = Msd((A,), "kl", temperature, ONE)(Outputs(s, {A: s}), TARGET, teacher, {})["msd"]
    (gradient,) = torch.autograd.grad(term.sum(), s)
    softened = (s / temperature).softmax(-1) - (teacher.views[A] / temperature).softmax(-1)
    want = temperature * softened * teacher.weights[A][..., None] / 5
    torch.testing.assert_close(gradient, want, rtol=1e-10, atol=1e-14)


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


@pytest.mark.parametrize(("warmup", "risen"), [(0, [1, 1, 1, 1]), (3, [1 / 3, 2 / 3, 1, 1])])
def test_dkd_rises_over_its_first_epochs(warmup, risen):
    data = pairs()
    start = Replicas.build(NetSpec("mlp", width=2, features=8), data, seeds=[0], device="cpu")
    loss = Distillation(((0.5, CE), (0.5, DKD(temperature=2.0, warmup=warmup))))
    recipe = Recipe(epochs=4, batch_size=12, precision="64-true")
    found = fit(start, data, loss, recipe, teacher=said(data, (), replicas=1), progress=False).history
    terms = found[found["split"] == "train"].pivot_table(index="epoch", columns="metric", values="value")
    whole = terms["dkd/target"] + 8 * terms["dkd/other"]
    assert (terms["dkd"] / whole).tolist() == pytest.approx(risen)
    assert whole.min() > 0.1
