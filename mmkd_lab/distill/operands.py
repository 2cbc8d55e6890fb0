"""What every loss checks of its two tensors, student and teacher, and the precision it computes in."""

from __future__ import annotations

import torch
from torch import Tensor

from mmkd_lab.core.check import of_type, require
from mmkd_lab.data.paired import Task

#: A vector so many times shorter than the longest beside it is rounding noise.
_NOTHING = 1e-6

#: The axes of one replica's logits: batch and classes, and for a dense task height and width.
_AXES = {Task.SINGLE_LABEL: 2, Task.MULTI_LABEL: 2, Task.DENSE: 4}


def logits_pair(student: Tensor, teacher: Tensor, task: Task) -> tuple[Tensor, Tensor, int]:
    """(student, teacher without gradient, class axis), both in single precision or better.

    Raises `LabError` unless both are (..., B, K), for a dense task (..., B, K, H, W), of one shape, with at
    least one sample and two classes.
    """
    of_type("student", student, Tensor, "a torch tensor of logits")
    of_type("teacher", teacher, Tensor, "a torch tensor of logits")
    of_type("task", task, Task, "a Task, such as Task.SINGLE_LABEL")
    require(
        student.shape == teacher.shape,
        "teacher",
        tuple(teacher.shape),
        f"must have the shape of the student's logits, {tuple(student.shape)}",
        "Teacher and student must have the same classes, and the same samples in the batch.",
    )
    axes = _AXES[task]
    wanted = "(..., B, K, H, W)" if task is Task.DENSE else "(..., B, K)"
    rule = f"must be {wanted} for a {task.value} task"
    require(student.ndim >= axes, "student", tuple(student.shape), rule)
    lead = student.ndim - axes
    require(student.shape[lead] > 0, "student", tuple(student.shape), "must hold at least one sample")
    require(student.shape[lead + 1] >= 2, "student", tuple(student.shape), "must have at least two classes")
    return widened(student), widened(teacher.detach()), lead + 1


def features_pair(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """(student, teacher without gradient), both in single precision or better.

    Raises `LabError` unless they are (..., B, F) and (..., B, F'), alike but for the last axis.
    """
    of_type("student", student, Tensor, "a torch tensor of features")
    of_type("teacher", teacher, Tensor, "a torch tensor of features")
    rule = "must be (..., B, F) with at least one sample and one feature"
    for name, values in (("student", student), ("teacher", teacher)):
        fits = values.ndim >= 2 and min(values.shape[-2:]) > 0 and values.is_floating_point()
        require(fits, name, f"{values.dtype} {tuple(values.shape)}", rule)
    require(
        student.shape[:-1] == teacher.shape[:-1],
        "teacher",
        tuple(teacher.shape),
        f"must hold the samples of the student's features, {tuple(student.shape)}",
        "Only the last axis, the length of the features, may differ.",
    )
    return widened(student), widened(teacher.detach())


def unit(values: Tensor) -> Tensor:
    """The vectors (..., n, F) at length 1. One that is 0, but for rounding, beside the longest of its n stays
    0 and passes no gradient on: it has no direction, and dividing by its length would make the gradient
    endless.
    """
    length = values.norm(dim=-1, keepdim=True)
    alive = length > _NOTHING * length.amax(dim=-2, keepdim=True)
    return torch.where(alive, values / torch.where(alive, length, 1.0), 0.0)


def widened(values: Tensor) -> Tensor:
    """In single precision at least: half precision loses a divergence of nearly equal outputs."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
