"""What compares outputs (KD, distances, DKD), against closed forms, plain loops and torch's own loss."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmkd_lab.data.task import Task
from mmkd_lab.distill import kd_divergence
from mmkd_lab.distill.distance import Distance
from mmkd_lab.distill.losses.dist import Dist
from mmkd_lab.distill.losses.dkd import DKD, decoupled
from mmkd_lab.distill.method import Outputs
from tests.distill.samples import draw

DISTANCES = ("kl", "mse", "dist")
SHAPES = {Task.SINGLE_LABEL: (2, 5, 4), Task.MULTI_LABEL: (2, 5, 4), Task.DENSE: (2, 3, 4, 2, 3)}
SHAPES[Task.REGRESSION] = (2, 5, 4)
BOTH = [(kind, task) for kind in DISTANCES for task in Task if (kind, task) != ("dist", Task.REGRESSION)]
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


def test_high_temperature_is_half_the_squared_distance_of_centred_logits_over_classes():
    # Hinton et al. 2015, section 2.1: T -> infinity matches logits, 1 / (2 K) of their squared distance.
    student, teacher = _pair(16, 6)
    centred = (student - student.mean(-1, keepdim=True)) - (teacher - teacher.mean(-1, keepdim=True))
    limit = centred.square().sum(-1).mean() / (2 * 6)
    errors = [float(kd_divergence(student, teacher, temperature=t) / limit) - 1 for t in (1e2, 1e3, 1e4)]
    # The next term of the series is of order 1 / T, and double precision keeps it in sight.
    assert errors[0] / errors[1] == pytest.approx(10, rel=0.05)
    assert errors[1] / errors[2] == pytest.approx(10, rel=0.05)


@pytest.mark.parametrize("task", [Task.SINGLE_LABEL, Task.MULTI_LABEL])
@pytest.mark.parametrize("temperature", [1.0, 50.0, 60.0, 1e3, 1e4, 1e6])
def test_single_precision_keeps_its_digits_at_any_temperature(temperature, task):
    pair = [3 * x[:, None] for x in _pair(16, 6)]
    pair[0][0, :, 0] = 1e5  # a sample whose outputs stay far apart beside those that come close
    narrow = [x.float().requires_grad_() for x in pair]
    wide = [x.detach().double().requires_grad_() for x in narrow]
    found, exact = (kd_divergence(*two, temperature=temperature, task=task) for two in (narrow, wide))
    assert found.dtype == torch.float32
    rounding = torch.finfo(torch.float32).eps ** 0.5  # T² eps, up to where the plain formula is left
    torch.testing.assert_close(found, exact.float(), rtol=1e-5, atol=rounding)
    (found + exact).sum().backward()
    torch.testing.assert_close(narrow[0].grad, wide[0].grad.float(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("task", [Task.SINGLE_LABEL, Task.MULTI_LABEL])
@pytest.mark.parametrize("temperature", [1e3, 1e4])
def test_the_divergence_by_finite_differences(temperature, task):
    student, teacher = _pair(3, 4)
    how = {"temperature": temperature, "task": task}
    assert torch.autograd.gradcheck(lambda s: kd_divergence(s, teacher, **how), student.requires_grad_())


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


def test_multi_label_outputs_near_certainty_stay_finite():
    student = torch.tensor([[80.0, -80.0]], requires_grad=True)
    found = kd_divergence(student, torch.tensor([[-80.0, 80.0]]), task=Task.MULTI_LABEL)
    torch.testing.assert_close(found, torch.tensor(160.0))
    found.backward()
    torch.testing.assert_close(student.grad, torch.tensor([[1.0, -1.0]]))


def test_multi_label_with_one_label_is_the_two_class_divergence():
    student, teacher = _pair(6, 1)
    pairs = [torch.cat([x, torch.zeros_like(x)], dim=-1) for x in (student, teacher)]
    two = [torch.cat([x, x], dim=-1) for x in (student, teacher)]  # two equal labels: twice the divergence
    found = kd_divergence(*two, temperature=2.0, task=Task.MULTI_LABEL)
    torch.testing.assert_close(found, 2 * kd_divergence(*pairs, temperature=2.0))


def _batch(*shape):
    generator = torch.Generator().manual_seed(3)
    return *draw(*shape), torch.randint(shape[-1], shape[:-1], generator=generator)


def test_dkd_by_hand():
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


def test_dkd_terms_and_their_weights():
    student, teacher, target = _batch(3, 6, 5)
    method = DKD(temperature=2.0, target_weight=0.5, other_weight=3.0)
    terms = method(Outputs(student), target, Outputs(teacher), {})
    tckd, nckd = decoupled(student, teacher, target, temperature=2.0)
    torch.testing.assert_close(terms["dkd/target"], 4 * tckd.mean(-1))
    torch.testing.assert_close(terms["dkd/other"], 4 * nckd.mean(-1))
    torch.testing.assert_close(terms["dkd"], 0.5 * terms["dkd/target"] + 3 * terms["dkd/other"])


def test_dkd_by_finite_differences():
    student, teacher, target = _batch(2, 3, 4)
    for part in (0, 1):
        assert torch.autograd.gradcheck(
            lambda s, part=part: decoupled(s, teacher, target, temperature=2.0)[part],
            student.clone().requires_grad_(True),
        )
    teacher.requires_grad_(True)
    sum(x.sum() for x in decoupled(student.requires_grad_(True), teacher, target)).backward()
    assert teacher.grad is None


def test_certain_dkd_outputs_stay_finite():
    certain = torch.tensor([[200.0, 0.0, -200.0]], requires_grad=True)
    both = decoupled(certain, torch.tensor([[-200.0, 0.0, 200.0]]), torch.tensor([2]))
    sum(both).sum().backward()
    assert all(torch.isfinite(x).all() for x in (*both, certain.grad))
