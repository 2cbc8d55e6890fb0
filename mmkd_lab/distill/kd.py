"""The divergence a student is distilled with: Hinton et al. 2015, section 2, for one label, many, or maps."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from mmkd_lab.core.check import of_type, one_of, real, require
from mmkd_lab.data.paired import Task

CONVENTIONS = ("kl", "released")

#: The axes of one replica's logits: batch and classes, and for a dense task height and width.
_AXES = {Task.SINGLE_LABEL: 2, Task.MULTI_LABEL: 2, Task.DENSE: 4}


def kd_divergence(
    student: Tensor,
    teacher: Tensor,
    *,
    temperature: float = 1.0,
    convention: str = "kl",
    task: Task = Task.SINGLE_LABEL,
) -> Tensor:
    """T² · KL(teacher ‖ student) of the outputs softened by T, in nats, meaned over the batch.

    No gradient reaches the teacher. The gradient with respect to the logits of one student output is
    T · (softmax(student / T) − softmax(teacher / T)) over the batch size: its size stays when T changes.

    Args:
        student: logits (..., B, K), for a dense task (..., B, K, H, W); leading axes are replicas.
        teacher: logits of the same shape.
        temperature: T, above 0.
        convention: 'kl' is the true divergence. 'released' divides it by K too, as `torch.nn.KLDivLoss()`
            does by default and the released code of Xue et al. 2023 (MFH) with it; there T is always 1. For
            two classes it is half of the true divergence.
        task: single label: softmax over K. Multi-label: K independent Bernoulli outputs, their divergences
            summed. Dense: softmax over K at every position, meaned over positions.

    Returns:
        one value per replica, of the leading axes' shape (a scalar when there are none).

    Raises:
        LabError: shapes that differ or have too few axes, fewer than two classes, an unknown convention, a
            temperature that is not above 0.
    """
    real("temperature", temperature, above=0.0)
    one_of("convention", convention, CONVENTIONS)
    _validate_shapes(student, teacher, task)
    lead = student.ndim - _AXES[task]
    soft_student = student.float() / temperature
    soft_teacher = teacher.detach().float() / temperature
    if task is Task.MULTI_LABEL:
        per_output = _bernoulli_kl(soft_teacher, soft_student)
    else:
        per_output = _categorical_kl(soft_teacher, soft_student, axis=lead + 1)
    total = per_output.sum(dim=lead + 1)
    if convention == "released":
        total = total / student.shape[lead + 1]
    return total.flatten(start_dim=lead).mean(dim=-1) * temperature**2


def _categorical_kl(teacher: Tensor, student: Tensor, *, axis: int) -> Tensor:
    """The terms p_t · (log p_t − log p_s); they sum to the divergence along the class axis."""
    log_teacher = F.log_softmax(teacher, dim=axis)
    return log_teacher.exp() * (log_teacher - F.log_softmax(student, dim=axis))


def _bernoulli_kl(teacher: Tensor, student: Tensor) -> Tensor:
    """The divergence of every output by itself, from logits so that p near 0 or 1 loses nothing."""
    yes = teacher.sigmoid() * (F.logsigmoid(teacher) - F.logsigmoid(student))
    no = (-teacher).sigmoid() * (F.logsigmoid(-teacher) - F.logsigmoid(-student))
    return yes + no


def _validate_shapes(student: Tensor, teacher: Tensor, task: Task) -> None:
    of_type("student", student, Tensor, "a torch tensor of logits")
    of_type("teacher", teacher, Tensor, "a torch tensor of logits")
    of_type("task", task, Task, "a Task, such as Task.SINGLE_LABEL")
    require(
        student.shape == teacher.shape,
        "teacher",
        f"{tuple(teacher.shape)}",
        f"must have the shape of the student's logits, {tuple(student.shape)}",
        "Teacher and student must have the same classes, and the same samples in the batch.",
    )
    axes = _AXES[task]
    wanted = "(..., B, K, H, W)" if task is Task.DENSE else "(..., B, K)"
    require(
        student.ndim >= axes, "student", tuple(student.shape), f"must be {wanted} for a {task.value} task"
    )
    lead = student.ndim - axes
    require(student.shape[lead] > 0, "student", tuple(student.shape), "must hold at least one sample")
    classes = student.shape[lead + 1]
    require(classes >= 2, "student", tuple(student.shape), "must have at least two classes")
