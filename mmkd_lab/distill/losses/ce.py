"""The labels: cross-entropy for one label, many, or maps."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mmkd_lab.core.check import LabError, require
from mmkd_lab.core.config import config
from mmkd_lab.data.task import Task
from mmkd_lab.distill.method import OPEN, Method, Needs, Open, Outputs, Tensors, register_method
from mmkd_lab.distill.operands import widened

#: The class number of a position without a label: torch's own, and the lab's in maps.
_NO_LABEL = {Task.SINGLE_LABEL: -100, Task.DENSE: -1}


@register_method("ce")
@config
class CrossEntropy(Method):
    """Negative log-likelihood of the labels, see `cross_entropy`: 'ce'. It reads no teacher."""

    task: Open[Task] = OPEN

    @property
    def needs(self) -> Needs:
        """No teacher."""
        return Needs(teacher=False)

    def __call__(
        self, student: Outputs, target: Tensor, teacher: Outputs | None, parameters: Tensors
    ) -> Tensors:
        """'ce'."""
        return {self.name: cross_entropy(student.logits, target, task=self.task)}


def cross_entropy(logits: Tensor, target: Tensor, *, task: Task = Task.SINGLE_LABEL) -> Tensor:
    """Negative log-likelihood per sample in nats, meaned over what has a label: (R, B, K, ...) -> (R,).

    The target is (R, B) class numbers, -100 where there is no label; dense (R, B, H, W), -1 where there is
    none; multi-label (R, B, K) in [0, 1], whose labels are summed, as the divergence's are. 0 for a batch
    without a label. Raises `LabError` for shapes that do not go together, class numbers not int64 or out of
    range.
    """
    axes, wanted = (5, "(R, B, K, H, W)") if task is Task.DENSE else (3, "(R, B, K)")
    shape = tuple(logits.shape)
    require(logits.ndim == axes, "logits", shape, f"must be {wanted} for a {task.value} task")
    expected = shape if task is Task.MULTI_LABEL else shape[:2] + shape[3:]
    fits = tuple(target.shape) == expected
    require(fits, "target", tuple(target.shape), f"must be {expected} to go with the logits")
    scores = widened(logits)
    if task is Task.MULTI_LABEL:
        each = F.binary_cross_entropy_with_logits(scores, target.to(scores), reduction="none")
        return each.sum(dim=-1).mean(dim=-1)
    whole = target.dtype == torch.int64
    require(whole, "target", target.dtype, f"must be int64 for a {task.value} task")
    none, rows = _NO_LABEL[task], (scores.flatten(0, 1), target.flatten(0, 1))
    try:
        each = F.cross_entropy(*rows, ignore_index=none, reduction="none").reshape(target.shape)
    except IndexError as error:
        worst = f"{int(target.min())} to {int(target.max())}"
        rule = f"must be class numbers, 0 to {shape[2] - 1}, or {none} for none"
        raise LabError("target", worst, rule) from error
    labelled = (target != none).flatten(1).sum(dim=-1).clamp(min=1)
    return each.flatten(1).sum(dim=-1) / labelled
