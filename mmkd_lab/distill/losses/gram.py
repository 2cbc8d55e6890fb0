"""Relations between modalities: how alike a sample looks under different views, to teacher and student."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from mmkd_lab.core.check import require
from mmkd_lab.core.config import config
from mmkd_lab.distill.method import HEAD, OPEN, Method, Needs, Open, Outputs, Tensors, register_method
from mmkd_lab.distill.operands import unit, widened
from mmkd_lab.models.views import View


@register_method("gram")
@config
class ModalityGram(Method):
    """The student learns the teacher's Gram matrix over views, sample by sample; see `gram_relation`.

    Source of the idea: "Multi-modality distillation via learning the teacher's modality-level Gram matrix",
    arXiv 2112.11447. That the rows are of length 1 is chosen here, so that networks of unequal width can be
    compared; logits are centred first, since a constant added to them says nothing.

    The rows are the views, usually `View.only` of each modality, and with `full` the full input too. Raises
    `LabError` for a view named twice, or fewer than two rows.
    """

    views: Open[tuple[View, ...]] = OPEN
    of: Literal["features", "logits"] = "features"
    full: bool = True

    def __post_init__(self) -> None:
        if self.views is not None:
            shown = [view.label for view in self.views]
            fits = len(set(shown)) == len(shown) and len(shown) + self.full >= 2
            require(fits, "views", shown, "must give two rows to relate, each once", "Name more views.")

    @property
    def needs(self) -> Needs:
        """The views, and features where these are compared."""
        layers = (HEAD,) if self.of == "features" and self.full else ()
        return Needs(self.views, layers, layers, view_features=self.of == "features")

    def __call__(self, student: Outputs, target: Tensor, teacher: Outputs, parameters: Tensors) -> Tensors:
        """'gram'."""
        return {self.name: gram_relation(self._rows(student), self._rows(teacher))}

    def _rows(self, said: Outputs) -> Tensor:
        """(R, B, V, F)."""
        if self.of == "features":
            rows = [said.at()] if self.full else []
            return torch.stack([*rows, *map(said.features_under, self.views)], dim=-2)
        rows = [said.logits] if self.full else []
        stacked = torch.stack([row.flatten(2) for row in (*rows, *map(said.under, self.views))], dim=-2)
        return stacked - stacked.mean(dim=-1, keepdim=True)


def gram_relation(student: Tensor, teacher: Tensor) -> Tensor:
    """mean_i ||G_student,i - G_teacher,i||² / V², where G_i[m, n] is the cosine between views m and n.

    (..., B, V, F), one row per view of a sample, the teacher's F may differ -> (...): 0 when both find the
    views of every sample equally alike. Raises `LabError` for other samples or views on one side.
    """
    same = student.shape[:-1] == teacher.shape[:-1]
    rule = f"must hold the samples and views of the student, {tuple(student.shape)}"
    require(same, "teacher", tuple(teacher.shape), rule, "Only the last axis may differ.")
    unit_s, unit_t = (unit(widened(x)) for x in (student, teacher.detach()))
    return (unit_s @ unit_s.mT - unit_t @ unit_t.mT).square().mean(dim=(-3, -2, -1))
