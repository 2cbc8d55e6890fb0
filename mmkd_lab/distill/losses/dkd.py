"""Decoupled KD: the teacher's certainty of the label and its word on the other classes, weighed apart."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from mmkd_lab.core.check import require
from mmkd_lab.core.config import Natural, NonNegative, Positive, config
from mmkd_lab.data.task import Task
from mmkd_lab.distill.method import OPEN, Method, Open, Outputs, Tensors, register_method
from mmkd_lab.distill.operands import logits_pair


@register_method("dkd")
@config
class DKD(Method):
    """α · TCKD + β · NCKD, both times T². Source: Zhao et al. 2022, "Decoupled knowledge distillation".

    KL(teacher ‖ student) = TCKD + (1 - p_t) · NCKD with p_t the teacher's probability of the label: plain KD
    silences what a sure teacher knows of the other classes. Here `target_weight` α (1 in the paper) and
    `other_weight` β are apart. The paper chooses β by the teacher's certainty: of the eleven released
    configurations for CIFAR-100 five have 8, the default there and here, four have 6 and two have 2; on
    ImageNet it is 0.5 or 2. T is 4 on CIFAR-100 and 1 on ImageNet. With two classes NCKD is 0.

    In the first `warmup` epochs the whole term rises linearly: epoch e, from 1, has e / warmup of it. The
    released configurations have 20 of 240 epochs on CIFAR-100 and 1 of 100 on ImageNet; here the
    default is none, full strength from the first step.
    """

    tasks: ClassVar[tuple[Task, ...]] = (Task.SINGLE_LABEL,)
    by_sample: ClassVar[bool] = True

    temperature: Open[Positive] = OPEN
    target_weight: NonNegative = 1.0
    other_weight: NonNegative = 8.0
    warmup: Natural = 0

    def __call__(self, student: Outputs, target: Tensor, teacher: Outputs, parameters: Tensors) -> Tensors:
        """'dkd', 'dkd/target' (TCKD · T²) and 'dkd/other' (NCKD · T²)."""
        both = decoupled(student.logits, teacher.logits, target, temperature=self.temperature)
        one, other = (term.mean(dim=-1) * self.temperature**2 for term in both)
        risen = 1.0 if student.epoch is None else min(1.0, student.epoch / max(1, self.warmup))
        total = risen * (self.target_weight * one + self.other_weight * other)
        return {self.name: total, "dkd/target": one, "dkd/other": other}


def decoupled(
    student: Tensor, teacher: Tensor, target: Tensor, *, temperature: float = 1.0
) -> tuple[Tensor, Tensor]:
    """(TCKD, NCKD) of every sample in nats, without the factor T²: logits (..., B, K) -> (..., B) twice.

    TCKD is the divergence of the two-outcome law (label, any other class), NCKD that of the law over the
    other classes, renormalised. Source: Zhao et al. 2022, section 3. Raises `LabError` for logits that differ
    in shape or a target that is not (..., B) int64 class numbers.
    """
    s, t, _ = logits_pair(student, teacher, Task.SINGLE_LABEL)
    fits = target.shape == s.shape[:-1] and target.dtype == torch.int64
    rule = f"must be int64 {tuple(s.shape[:-1])}, one class number per sample"
    require(fits, "target", f"{target.dtype} {tuple(target.shape)}", rule, "DKD is for a single label.")
    label = target[..., None]
    is_label = torch.zeros_like(s, dtype=torch.bool).scatter_(-1, label, value=True)
    (hit_s, miss_s, rest_s), (hit_t, miss_t, rest_t) = (
        _split(x / temperature, label, is_label) for x in (s, t)
    )
    tckd = hit_t.exp() * (hit_t - hit_s) + miss_t.exp() * (miss_t - miss_s)
    nckd = (rest_t.exp().masked_fill(is_label, 0.0) * (rest_t - rest_s)).sum(dim=-1)
    return tckd, nckd


def _split(logits: Tensor, label: Tensor, is_label: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probabilities of the label, of a miss, and of each other class given a miss (0 at the label)."""
    log_p = F.log_softmax(logits, dim=-1)
    miss = log_p.masked_fill(is_label, -torch.inf).logsumexp(dim=-1)
    rest = (log_p - miss[..., None]).masked_fill(is_label, 0.0)
    return log_p.gather(-1, label).squeeze(-1), miss, rest
