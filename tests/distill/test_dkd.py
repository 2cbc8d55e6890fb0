"""Decoupled KD: by hand, and the sum that its two parts must make."""

from __future__ import annotations

from math import log

import pytest
import torch

from mmkd_lab.distill.distance import Distance
from mmkd_lab.distill.losses.dkd import DKD, decoupled
from mmkd_lab.distill.method import Outputs
from tests.distill.samples import draw


def _batch(*shape):
    generator = torch.Generator().manual_seed(3)
    return *draw(*shape), torch.randint(shape[-1], shape[:-1], generator=generator)


def test_by_hand():
    # Teacher (1/2, 1/4, 1/4), student (1/3, 1/3, 1/3), label 0.
    teacher = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64).log()
    student = torch.zeros(3, dtype=torch.float64)
    tckd, nckd = decoupled(student[None], teacher[None], torch.tensor([0]))
    assert float(tckd) == pytest.approx(0.5 * log(1.5) + 0.5 * log(0.75))
    assert float(nckd) == pytest.approx(0.0, abs=1e-15)  # both split the other two evenly
    tckd, nckd = decoupled(student[None], teacher[None], torch.tensor([1]))
    assert float(tckd) == pytest.approx(0.25 * log(0.75) + 0.75 * log(0.75 * 1.5))
    assert float(nckd) == pytest.approx(2 / 3 * log(4 / 3) + 1 / 3 * log(2 / 3))


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_divergence_is_tckd_plus_the_rest_of_the_teachers_mass_times_nckd(temperature):
    student, teacher, target = _batch(2, 6, 5)
    tckd, nckd = decoupled(student, teacher, target, temperature=temperature)
    sure = (teacher / temperature).softmax(-1).gather(-1, target[..., None])[..., 0]
    whole = Distance("kl", temperature=temperature).each(student, teacher) / temperature**2
    torch.testing.assert_close(tckd + (1 - sure) * nckd, whole)


def test_with_two_classes_only_the_target_part_is_left():
    student, teacher, target = _batch(4, 2)
    tckd, nckd = decoupled(student, teacher, target)
    assert nckd.tolist() == [0.0] * 4
    torch.testing.assert_close(tckd, Distance("kl").each(student, teacher))


def test_terms_and_their_weights():
    student, teacher, target = _batch(3, 6, 5)
    method = DKD(temperature=2.0, target_weight=0.5, other_weight=3.0)
    terms = method(Outputs(student), target, Outputs(teacher), {})
    tckd, nckd = decoupled(student, teacher, target, temperature=2.0)
    torch.testing.assert_close(terms["dkd/target"], 4 * tckd.mean(-1))
    torch.testing.assert_close(terms["dkd/other"], 4 * nckd.mean(-1))
    torch.testing.assert_close(terms["dkd"], 0.5 * terms["dkd/target"] + 3 * terms["dkd/other"])
    for r in range(3):
        alone = method(
            *(Outputs(x[r : r + 1]) for x in (student,)), target[r : r + 1], Outputs(teacher[r : r + 1]), {}
        )
        torch.testing.assert_close(alone["dkd"], terms["dkd"][r : r + 1])


def test_gradients_by_finite_differences_and_none_for_the_teacher():
    student, teacher, target = _batch(2, 3, 4)
    for part in (0, 1):
        assert torch.autograd.gradcheck(
            lambda s, part=part: decoupled(s, teacher, target, temperature=2.0)[part],
            student.clone().requires_grad_(True),
        )
    teacher.requires_grad_(True)
    sum(x.sum() for x in decoupled(student.requires_grad_(True), teacher, target)).backward()
    assert teacher.grad is None


def test_equal_outputs_give_zero_and_a_shift_changes_nothing():
    student, teacher, target = _batch(5, 4)
    assert all(x.abs().max() == 0 for x in decoupled(student, student, target))
    for shifted, plain in zip(
        decoupled(student + 2, teacher - 3, target), decoupled(student, teacher, target), strict=True
    ):
        torch.testing.assert_close(shifted, plain)


def test_certain_outputs_stay_finite():
    certain = torch.tensor([[200.0, 0.0, -200.0]], requires_grad=True)
    both = decoupled(certain, torch.tensor([[-200.0, 0.0, 200.0]]), torch.tensor([2]))
    sum(both).sum().backward()
    assert all(torch.isfinite(x).all() for x in (*both, certain.grad))
