"""The KD divergence against closed forms and against torch's own loss."""

from __future__ import annotations

from math import log

import pytest
import torch
import torch.nn.functional as F

from mmkd_lab.data.task import Task
from mmkd_lab.distill import kd_divergence
from tests.distill.samples import draw


def _pair(*shape: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    student, teacher = draw(*shape, seed=seed)
    return 2 * student, 2 * teacher


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0, 20.0])
def test_gradient_is_t_times_the_difference_of_the_softened_outputs(temperature):
    student, teacher = _pair(6, 5)
    student.requires_grad_(True)
    kd_divergence(student, teacher, temperature=temperature).backward()
    soft = torch.softmax(student.detach() / temperature, -1) - torch.softmax(teacher / temperature, -1)
    torch.testing.assert_close(student.grad, temperature * soft / 6, atol=1e-14, rtol=1e-10)


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("convention", ["kl", "released"])
def test_equal_outputs_give_zero_and_no_gradient(task, convention):
    shape = (3, 4, 5, 2, 2) if task is Task.DENSE else (3, 4, 5)
    student = _pair(*shape)[0].requires_grad_(True)
    found = kd_divergence(student, student.detach(), temperature=3.0, convention=convention, task=task)
    assert found.shape == (3,)
    torch.testing.assert_close(found, torch.zeros(3, dtype=torch.float64), atol=1e-14, rtol=0)
    found.sum().backward()
    torch.testing.assert_close(student.grad, torch.zeros_like(student), atol=1e-14, rtol=0)


def test_a_constant_added_to_the_logits_changes_nothing():
    student, teacher = _pair(8, 4)
    shifted = kd_divergence(student + 3.0, teacher - 7.0, temperature=2.0)
    torch.testing.assert_close(shifted, kd_divergence(student, teacher, temperature=2.0))


def test_high_temperature_is_half_the_squared_distance_of_centred_logits_over_classes():
    # Hinton et al. 2015, section 2.1: T -> infinity matches logits, 1 / (2 K) of their squared distance.
    student, teacher = _pair(16, 6)
    centred = (student - student.mean(-1, keepdim=True)) - (teacher - teacher.mean(-1, keepdim=True))
    limit = centred.square().sum(-1).mean() / (2 * 6)
    errors = [float(kd_divergence(student, teacher, temperature=t) / limit) - 1 for t in (1e2, 1e3, 1e4)]
    # The next term of the series is of order 1 / T, and double precision keeps it in sight.
    assert errors[0] / errors[1] == pytest.approx(10, rel=0.05)
    assert errors[1] / errors[2] == pytest.approx(10, rel=0.05)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_kl_is_torch_batchmean_times_t_squared(temperature):
    student, teacher = _pair(7, 3)
    torchs = torch.nn.KLDivLoss(reduction="batchmean")(
        F.log_softmax(student / temperature, -1), F.softmax(teacher / temperature, -1)
    )
    torch.testing.assert_close(
        kd_divergence(student, teacher, temperature=temperature), torchs * temperature**2
    )


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
@pytest.mark.parametrize("classes", [2, 8])
def test_released_convention_is_torchs_default_reduction(classes):
    student, teacher = _pair(7, classes)
    torchs = torch.nn.KLDivLoss(reduction="mean")(F.log_softmax(student, -1), F.softmax(teacher, -1))
    torch.testing.assert_close(kd_divergence(student, teacher, convention="released"), torchs)


def test_released_convention_is_half_of_a_true_kl_for_two_classes():
    student, teacher = _pair(9, 2)
    released, true = (kd_divergence(student, teacher, convention=c) for c in ("released", "kl"))
    torch.testing.assert_close(released, true / 2)


def test_closed_form_of_two_certain_enough_outputs():
    # Student at even odds, teacher at p: KL = log 2 - entropy(p).
    p = torch.tensor(0.9, dtype=torch.float64)
    teacher = torch.stack([p.log(), (1 - p).log()])[None]
    entropy = -(p * p.log() + (1 - p) * (1 - p).log())
    found = kd_divergence(torch.zeros(1, 2, dtype=torch.float64), teacher)
    torch.testing.assert_close(found, log(2) - entropy)


def test_it_is_the_teachers_divergence_from_the_student_not_the_reverse():
    student, teacher = torch.tensor([[0.0, 0.0]]), torch.tensor([[4.0, 0.0]])
    p = torch.softmax(teacher, -1)
    torch.testing.assert_close(kd_divergence(student, teacher), (p * (p * 2).log()).sum())
    assert not torch.isclose(kd_divergence(student, teacher), kd_divergence(teacher, student))


def test_multi_label_with_one_label_is_the_two_class_divergence():
    student, teacher = _pair(6, 1)
    pairs = [torch.cat([x, torch.zeros_like(x)], dim=-1) for x in (student, teacher)]
    two = [torch.cat([x, x], dim=-1) for x in (student, teacher)]  # two equal labels: twice the divergence
    found = kd_divergence(*two, temperature=2.0, task=Task.MULTI_LABEL)
    torch.testing.assert_close(found, 2 * kd_divergence(*pairs, temperature=2.0))


def test_multi_label_outputs_near_certainty_stay_finite():
    student = torch.tensor([[80.0, -80.0]], requires_grad=True)
    found = kd_divergence(student, torch.tensor([[-80.0, 80.0]]), task=Task.MULTI_LABEL)
    torch.testing.assert_close(found, torch.tensor(160.0))
    found.backward()
    torch.testing.assert_close(student.grad, torch.tensor([[1.0, -1.0]]))


@pytest.mark.parametrize("convention", ["kl", "released"])
def test_dense_is_the_mean_over_positions(convention):
    student, teacher = _pair(2, 3, 4, 5, 6)  # R, B, K, H, W
    dense = kd_divergence(student, teacher, temperature=2.0, convention=convention, task=Task.DENSE)
    flat = [x.permute(0, 1, 3, 4, 2).reshape(2, -1, 4) for x in (student, teacher)]
    torch.testing.assert_close(dense, kd_divergence(*flat, temperature=2.0, convention=convention))


@pytest.mark.parametrize("task", list(Task))
def test_per_replica_equals_looped(task):
    shape = (2, 3, 5, 4, 2, 2) if task is Task.DENSE else (2, 3, 5, 4)  # two leading axes
    student, teacher = _pair(*shape)
    stacked = kd_divergence(student, teacher, temperature=3.0, task=task)
    assert stacked.shape == (2, 3)
    for i in range(2):
        for j in range(3):
            one = kd_divergence(student[i, j], teacher[i, j], temperature=3.0, task=task)
            torch.testing.assert_close(stacked[i, j], one)


@pytest.mark.parametrize("temperature", [1.0, 1e3])
@pytest.mark.parametrize("task", list(Task))
def test_gradients_by_finite_differences_and_none_for_the_teacher(task, temperature):
    student, teacher = _pair(*((2, 3, 2, 2) if task is Task.DENSE else (2, 3)))
    assert torch.autograd.gradcheck(
        lambda s: kd_divergence(s, teacher, temperature=temperature, task=task),
        student.clone().requires_grad_(True),
    )
    teacher.requires_grad_(True)
    found = kd_divergence(student.requires_grad_(True), teacher, temperature=temperature, task=task)
    found.backward()
    assert found.dtype == torch.float64
    assert teacher.grad is None


def test_half_precision_is_computed_in_single():
    student, teacher = (x.bfloat16() for x in _pair(64, 10))
    found = kd_divergence(student, teacher, temperature=4.0)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, kd_divergence(student.float(), teacher.float(), temperature=4.0))
