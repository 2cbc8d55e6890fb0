"""DIST: the student keeps the teacher's relations between classes and between samples, not its values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from mmkd_lab.core.check import of_type, real
from mmkd_lab.data.paired import Task
from mmkd_lab.distill.distances import Distance
from mmkd_lab.distill.method import Method, Outputs


@dataclass(frozen=True)
class Dist(Method):
    """T² · (β · [1 - mean_i ρ(y_s[i, :], y_t[i, :])] + γ · [1 - mean_k ρ(y_s[:, k], y_t[:, k])]).

    y are the outputs softened by T, ρ is Pearson's correlation: the first term compares classes within a
    sample ('dist/inter'), the second samples within a class ('dist/intra'). Source: Huang et al. 2022,
    "Knowledge distillation from a stronger teacher". `Distance` says what becomes of two classes and of
    constant outputs.

    Args:
        temperature: T, above 0.
        inter: β, at least 0.
        intra: γ, at least 0.
        task: see `Distance`.
    """

    name: ClassVar[str] = "dist"

    temperature: float = 1.0
    inter: float = 1.0
    intra: float = 1.0
    task: Task = Task.SINGLE_LABEL

    def __post_init__(self) -> None:
        real("temperature", self.temperature, above=0.0)
        real("inter", self.inter, at_least=0.0)
        real("intra", self.intra, at_least=0.0)
        of_type("task", self.task, Task, "a Task, such as Task.SINGLE_LABEL")

    def __call__(
        self, student: Outputs, target: Tensor, teacher: Outputs, parameters: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """'dist', 'dist/inter' and 'dist/intra', each (R,); the target is not read."""
        distance = Distance("dist", temperature=self.temperature, task=self.task)
        inter = distance.each(student.logits, teacher.logits).mean(dim=-1)
        intra = distance.batch(student.logits, teacher.logits)
        return {"dist": self.inter * inter + self.intra * intra, "dist/inter": inter, "dist/intra": intra}

    def describe(self) -> dict[str, object]:
        """Plain JSON values that name this method in a key or in provenance."""
        return {
            "method": self.name,
            "temperature": float(self.temperature),
            "inter": float(self.inter),
            "intra": float(self.intra),
            "task": self.task.value,
        }
