"""The two sides of a loss, student and teacher: what they must have in common, and their precision."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import torch
from torch import Tensor

from mmkd_lab.core.check import of_type, require
from mmkd_lab.core.seed import derive
from mmkd_lab.data.task import Task
from mmkd_lab.distill.method import Tensors

#: A vector so many times shorter than the longest beside it is rounding noise.
_NOTHING = 1e-6


def logits_pair(student: Tensor, teacher: Tensor, task: Task) -> tuple[Tensor, Tensor, int]:
    """(student, teacher without gradient, class axis), both in single precision or better. Raises `LabError`
    unless both are (..., B, K), dense (..., B, K, H, W), of one shape, with a sample and two classes (one
    output of a regression) at least."""
    for name, values in (("student", student), ("teacher", teacher)):
        of_type(name, values, Tensor, "a torch tensor of logits")
    shape = tuple(student.shape)
    rule = f"must have the shape of the student's logits, {shape}: the same classes and samples"
    require(student.shape == teacher.shape, "teacher", tuple(teacher.shape), rule)
    axes, wanted = (4, "(..., B, K, H, W)") if task is Task.DENSE else (2, "(..., B, K)")
    lead = student.ndim - axes
    least, what = (1, "one output") if task is Task.REGRESSION else (2, "two classes")
    fits = lead >= 0 and shape[lead] > 0 and shape[lead + 1] >= least
    rule = f"must be {wanted} for a {task.value} task, with at least one sample and {what}"
    require(fits, "student", shape, rule)
    return widened(student), widened(teacher.detach()), lead + 1


def features_pair(student: Tensor, teacher: Tensor, *, equal: bool = False) -> tuple[Tensor, Tensor]:
    """(student, teacher without gradient), both in single precision or better. Raises `LabError` unless they
    are (..., B, F) and (..., B, F'), alike but for the last axis, and in that too when they must be `equal`.
    """
    rule = "must be (..., B, F) with at least one sample and one feature"
    for name, values in (("student", student), ("teacher", teacher)):
        fits = values.ndim >= 2 and min(values.shape[-2:]) > 0 and values.is_floating_point()
        require(fits, name, f"{values.dtype} {tuple(values.shape)}", rule)
    same = student.shape == teacher.shape if equal else student.shape[:-1] == teacher.shape[:-1]
    rule = f"must go with the student's features, {tuple(student.shape)}"
    way_out = "" if equal else "Only the last axis may differ."
    require(same, "teacher", tuple(teacher.shape), rule, way_out)
    return widened(student), widened(teacher.detach())


def unit(values: Tensor) -> Tensor:
    """The vectors (..., n, F) at length 1. One that is 0, but for rounding, beside the longest of its n stays
    0 and passes no gradient on: it has no direction, and dividing by its length would make the gradient
    endless."""
    length = values.norm(dim=-1, keepdim=True)
    alive = length > _NOTHING * length.amax(dim=-2, keepdim=True)
    return torch.where(alive, values / torch.where(alive, length, 1.0), 0.0)


def widened(values: Tensor) -> Tensor:
    """In single precision at least: half precision loses a divergence of nearly equal outputs."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def regressor(
    student_features: int, teacher_features: int, *, seeds: Sequence[int], purpose: str
) -> dict[str, Tensor]:
    """A linear map per seed, {'weight': (R, F_student, F_teacher), 'bias': (R, F_teacher)}.

    Uniform within ±1/sqrt(F_student), from the stream ('init', purpose) of each seed: a replica's map does
    not depend on who is trained beside it. Drawn in double precision, alike on every processor.
    """
    bound = 1 / sqrt(student_features)
    drawn = []
    for seed in seeds:
        generator = torch.Generator().manual_seed(derive(seed, "init", purpose))
        empty = torch.empty(student_features + 1, teacher_features, dtype=torch.float64)
        drawn.append(empty.uniform_(-bound, bound, generator=generator))
    stacked = torch.stack(drawn)
    return {"weight": stacked[:, :-1].clone(), "bias": stacked[:, -1].clone()}


def regress(features: Tensor, parameters: Tensors) -> Tensor:
    """Features (R, B, F) through the map of each replica -> (R, B, F')."""
    weight, bias = (parameters[name].to(features.dtype) for name in ("weight", "bias"))
    return torch.baddbmm(bias[:, None], features, weight)
