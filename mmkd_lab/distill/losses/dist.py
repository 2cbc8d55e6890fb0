"""DIST: the student keeps the teacher's relations between classes and between samples, not its values."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from mmkd_lab.core.config import NonNegative, Positive, config
from mmkd_lab.data.task import Task
from mmkd_lab.distill.distance import Distance
from mmkd_lab.distill.method import CLASSES, OPEN, Method, Open, Outputs, Tensors, register_method


@register_method("dist")
@config
class Dist(Method):
    """T² · (β · [1 - mean_i ρ(y_s[i, :], y_t[i, :])] + γ · [1 - mean_k ρ(y_s[:, k], y_t[:, k])]).

    y are the outputs softened by T, ρ is Pearson's correlation: the first term (`inter` β) compares classes
    within a sample, the second (`intra` γ) samples within a class. Source: Huang et al. 2022, "Knowledge
    distillation from a stronger teacher". `Distance` says what becomes of two classes and of constant
    outputs.
    """

    tasks: ClassVar[tuple[Task, ...]] = CLASSES

    temperature: Open[Positive] = OPEN
    inter: NonNegative = 1.0
    intra: NonNegative = 1.0
    task: Open[Task] = OPEN

    def __call__(self, student: Outputs, target: Tensor, teacher: Outputs, parameters: Tensors) -> Tensors:
        """'dist', 'dist/inter' and 'dist/intra'."""
        distance = Distance("dist", temperature=self.temperature, task=self.task)
        inter = distance.each(student.logits, teacher.logits).mean(dim=-1)
        intra = distance.batch(student.logits, teacher.logits)
        total = self.inter * inter + self.intra * intra
        return {self.name: total, "dist/inter": inter, "dist/intra": intra}
