"""Distances per sample and per batch against closed forms, plain loops and the KD divergence."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmkd_lab.data.task import Task
from mmkd_lab.distill import kd_divergence
from mmkd_lab.distill.distance import Distance
from mmkd_lab.distill.losses.dist import Dist
from mmkd_lab.distill.method import Outputs
from tests.distill.samples import draw

DISTANCES = ("kl", "mse", "dist")
SHAPES = {Task.SINGLE_LABEL: (2, 5, 4), Task.MULTI_LABEL: (2, 5, 4), Task.DENSE: (2, 3, 4, 2, 3)}
BOTH = [(kind, task) for kind in DISTANCES for task in Task]
IDS = [f"{kind}-{task.name}" for kind, task in BOTH]


@pytest.mark.parametrize("temperature", [1.0, 3.0])
@pytest.mark.parametrize("task", list(Task))
def test_kl_is_the_kd_divergence_and_its_mean_over_samples(task, temperature):
    student, teacher = draw(*SHAPES[task])
    distance = Distance("kl", temperature=temperature, task=task)
    expected = kd_divergence(student, teacher, temperature=temperature, task=task)
    torch.testing.assert_close(distance(student, teacher), expected)
    torch.testing.assert_close(distance.each(student, teacher).mean(-1), expected)


def test_mse_by_hand_and_whatever_the_temperature():
    student, teacher = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[4.0, 2.0], [1.0, 2.0]])
    for temperature in (1.0, 7.0):
        distance = Distance("mse", temperature=temperature)
        assert distance.each(student, teacher).tolist() == [4.5, 2.5]
        assert float(distance(student, teacher)) == 3.5


@pytest.mark.parametrize("task", [Task.SINGLE_LABEL, Task.MULTI_LABEL])
def test_dist_is_one_minus_numpys_correlations(task):
    student, teacher = draw(6, 4)
    law = torch.sigmoid if task is Task.MULTI_LABEL else (lambda x: x.softmax(-1))
    s, t = (law(x / 2.0).numpy() for x in (student, teacher))
    inter = [4 * (1 - np.corrcoef(s[i], t[i])[0, 1]) for i in range(6)]
    intra = np.mean([4 * (1 - np.corrcoef(s[:, k], t[:, k])[0, 1]) for k in range(4)])
    distance = Distance("dist", temperature=2.0, task=task)
    np.testing.assert_allclose(distance.each(student, teacher), inter)
    np.testing.assert_allclose(distance.batch(student, teacher), intra)
    np.testing.assert_allclose(distance(student, teacher), np.mean(inter) + intra)


def test_dense_dist_takes_every_position_as_a_sample():
    student, teacher = draw(2, 3, 4, 2, 3)
    flat = [x.permute(0, 1, 3, 4, 2).reshape(2, -1, 4) for x in (student, teacher)]
    dense, single = (Distance("dist", temperature=2.0, task=t) for t in (Task.DENSE, Task.SINGLE_LABEL))
    torch.testing.assert_close(dense(student, teacher), single(*flat))
    weights = torch.rand(2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    every = weights.repeat_interleave(6, dim=1)
    torch.testing.assert_close(dense(student, teacher, weights=weights), single(*flat, weights=every))


def test_weighted_dist_counts_a_sample_of_weight_two_twice():
    student, teacher = draw(4, 3)
    weights = torch.tensor([2.0, 1.0, 0.0, 1.0], dtype=torch.float64)
    twice = [torch.cat([x[:1], x[:2], x[3:]]) for x in (student, teacher)]
    distance = Distance("dist")
    torch.testing.assert_close(distance(student, teacher, weights=weights), distance(*twice))


@pytest.mark.parametrize(("kind", "task"), BOTH, ids=IDS)
def test_weights_of_one_change_nothing_and_weights_scale_the_whole(kind, task):
    student, teacher = draw(*SHAPES[task])
    distance = Distance(kind, temperature=2.0, task=task)
    ones = torch.ones(SHAPES[task][:2], dtype=torch.float64)
    plain = distance(student, teacher)
    torch.testing.assert_close(distance(student, teacher, weights=ones), plain)
    torch.testing.assert_close(distance(student, teacher, weights=3 * ones), 3 * plain)
    assert distance(student, teacher, weights=0 * ones).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("kind", ["kl", "mse"])
def test_weights_multiply_sample_by_sample(kind):
    student, teacher = draw(2, 5, 4)
    weights = torch.rand(2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    distance = Distance(kind, temperature=2.0)
    expected = (weights * distance.each(student, teacher)).mean(-1)
    torch.testing.assert_close(distance(student, teacher, weights=weights), expected)
    assert distance.batch(student, teacher).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("kind", "task"), BOTH, ids=IDS)
def test_equal_outputs_are_at_distance_exactly_zero(kind, task):
    for values in (draw(*SHAPES[task])[0], torch.zeros(SHAPES[task])):  # also where nothing varies
        student = values.clone().requires_grad_(True)
        distance = Distance(kind, temperature=2.0, task=task)
        found = distance(student, values)
        assert found.tolist() == [0.0, 0.0]
        assert distance.each(student, values).abs().max() == 0
        found.sum().backward()
        torch.testing.assert_close(student.grad, torch.zeros_like(student), atol=1e-12, rtol=0)


@pytest.mark.parametrize(("kind", "task"), BOTH, ids=IDS)
def test_gradients_by_finite_differences_and_none_for_the_teacher(kind, task):
    student, teacher = draw(*SHAPES[task])
    distance = Distance(kind, temperature=1.5, task=task)
    weights = torch.rand(SHAPES[task][:2], dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert torch.autograd.gradcheck(
        lambda s: distance(s, teacher, weights=weights), student.clone().requires_grad_(True)
    )
    teacher.requires_grad_(True)
    weights.requires_grad_(True)
    distance(student.requires_grad_(True), teacher, weights=weights).sum().backward()
    assert teacher.grad is None
    assert weights.grad is None


@pytest.mark.parametrize(("kind", "task"), BOTH, ids=IDS)
def test_stacked_equals_looped(kind, task):
    student, teacher = draw(3, *SHAPES[task])  # two leading axes
    distance = Distance(kind, temperature=2.0, task=task)
    stacked, each = distance(student, teacher), distance.each(student, teacher)
    assert stacked.shape == (3, 2)
    assert each.shape == (3, *SHAPES[task][:2])
    for i in range(3):
        for j in range(2):
            torch.testing.assert_close(stacked[i, j], distance(student[i, j], teacher[i, j]))
            torch.testing.assert_close(each[i, j], distance.each(student[i, j], teacher[i, j]))


def test_dist_does_not_mind_a_shift_of_logits_and_finds_an_affine_law_alike():
    student, teacher = draw(2, 5, 4)
    distance = Distance("dist", temperature=2.0)
    torch.testing.assert_close(distance(student + 3.0, teacher - 5.0), distance(student, teacher))
    law = teacher.softmax(-1)
    weaker = (0.3 * law + 0.7 / 4).log()  # an affine image of every probability: perfectly correlated
    torch.testing.assert_close(Distance("dist")(weaker, teacher), torch.zeros(2, dtype=torch.float64))


def test_two_classes_have_a_correlation_of_one_either_way_and_no_gradient_from_it():
    student, teacher = torch.tensor([[3.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [2.0, 0.0]])
    student.requires_grad_(True)
    found = Distance("dist").each(student, teacher)
    torch.testing.assert_close(found, torch.tensor([0.0, 2.0]))
    found.sum().backward()
    torch.testing.assert_close(student.grad, torch.zeros(2, 2), atol=1e-6, rtol=0)


def test_a_constant_output_is_half_way_and_rounding_is_not_taken_for_a_pattern():
    teacher = torch.tensor([[0.1, 0.1, 0.1]])
    assert float(Distance("dist").each(torch.tensor([[1.0, 0.0, 0.0]]), teacher)) == pytest.approx(0.5)
    noise = teacher + 1e-8
    assert float(Distance("dist").each(noise, teacher)) < 0.01


def test_the_dist_method_weighs_its_two_terms():
    student, teacher = (Outputs(x) for x in draw(2, 5, 4))
    terms = Dist(2.0, 3.0, 0.5, Task.SINGLE_LABEL)(student, torch.zeros(2, 5).long(), teacher, {})
    distance = Distance("dist", temperature=2.0)
    torch.testing.assert_close(terms["dist/inter"], distance.each(student.logits, teacher.logits).mean(-1))
    torch.testing.assert_close(terms["dist/intra"], distance.batch(student.logits, teacher.logits))
    torch.testing.assert_close(terms["dist"], 3 * terms["dist/inter"] + 0.5 * terms["dist/intra"])
    both = Dist(2.0, task=Task.SINGLE_LABEL)(student, torch.zeros(2, 5).long(), teacher, {})
    torch.testing.assert_close(both["dist"], distance(student.logits, teacher.logits))


def test_half_precision_is_computed_in_single():
    student, teacher = (x.bfloat16() for x in draw(16, 5))
    for kind in DISTANCES:
        found = Distance(kind, temperature=2.0)(student, teacher)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, Distance(kind, temperature=2.0)(student.float(), teacher.float()))
