"""The whole loss: what it reduces to, its names, one replica of several."""

from __future__ import annotations

import json
import math

import pytest
import torch
import torch.nn.functional as F

from mmkd_lab.core.check import LabError
from mmkd_lab.data.task import Task
from mmkd_lab.distill import (
    KD,
    CrossEntropy,
    Distillation,
    LearnedWeights,
    Msd,
    Needs,
    Outputs,
    cross_entropy,
)
from mmkd_lab.distill.losses.hints import Hints
from mmkd_lab.distill.losses.rkd import RKD
from mmkd_lab.distill.method import HEAD
from mmkd_lab.distill.views import msd_views
from mmkd_lab.models import Mean, Zeros
from tests.distill.samples import draw

ONE = Task.SINGLE_LABEL
VIEWS = msd_views("ab")
TARGET = torch.tensor([[0, 1, 2, 3, 0], [3, 2, 1, 0, 3]])
CE, KD3, MSD = CrossEntropy(ONE), KD(3.0, "kl", ONE), Msd(VIEWS, temperature=2.0, task=ONE)


def sides():
    full, a, b, other, other_a, other_b = draw(2, 5, 4, count=6)
    views, others = dict(zip(VIEWS, (a, b), strict=True)), dict(zip(VIEWS, (other_a, other_b), strict=True))
    return Outputs(full, views), Outputs(other, others)


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


def test_a_replica_of_weight_zero_gets_exactly_the_gradient_of_the_others():
    student, teacher = sides()
    loss = Distillation(((torch.tensor([1.0, 0.5]), CE), (torch.tensor([0.0, 0.5]), KD3)))
    together = student.logits.clone().requires_grad_(True)
    loss(Outputs(together), TARGET, teacher, {})["loss"].sum().backward()
    alone = student.logits[:1].clone().requires_grad_(True)
    cross_entropy(alone, TARGET[:1]).sum().backward()
    assert torch.equal(together.grad[:1], alone.grad)


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


def test_describe_is_plain():
    loss = loss_of(torch.tensor([0.5, 1.0]), msd=Msd(VIEWS, "kl", 2.0, ONE, LearnedWeights("instance")))
    plain = loss.describe()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["removal"] == "zeros"
    assert plain["terms"][2]["weight"] == [0.5, 1.0]
    assert plain["terms"][2]["weighting"]["level"] == "instance"
    assert loss.learned.learning_rate == 0.001
    mean = Distillation(((1.0, MSD),), Mean({"a": torch.zeros(6)}))
    assert mean.describe()["removal"] == "mean"


def test_uniform_outputs_cost_log_k_for_each_label():
    zero = torch.zeros(2, 5, 7, dtype=torch.float64)
    found = cross_entropy(zero, torch.zeros(2, 5, dtype=torch.int64))
    torch.testing.assert_close(found, torch.full((2,), math.log(7), dtype=torch.float64))
    found = cross_entropy(zero, torch.ones(2, 5, 7), task=Task.MULTI_LABEL)
    torch.testing.assert_close(found, torch.full((2,), 7 * math.log(2), dtype=torch.float64))


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


def test_labels_out_of_range_are_named():
    for wrong in (4, -1):
        with pytest.raises(
            LabError, match=rf"target = '.*{wrong}.*': must be class numbers, 0 to 3, or -100"
        ):
            cross_entropy(torch.zeros(1, 2, 4), torch.tensor([[0, wrong]]))
