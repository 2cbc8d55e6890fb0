"""Relations between modalities: how alike a sample looks under different views, for the teacher and for the
student."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mmkd_lab.core.check import LabError, flat, of_type, one_of, require
from mmkd_lab.distill.method import Method, Needs, Outputs
from mmkd_lab.distill.operands import unit, widened
from mmkd_lab.models.views import View

SOURCES = ("features", "logits")


@dataclass(frozen=True)
class ModalityGram(Method):
    """The student learns the teacher's Gram matrix over views, sample by sample; see `gram_relation`.

    Source of the idea: "Multi-modality distillation via learning the teacher's modality-level Gram matrix",
    arXiv 2112.11447. That the rows are of length 1 is chosen here, so that networks of unequal width can be
    compared.

    Args:
        views: the modality-specific views, at least one; usually `View.only` of each modality.
        of: 'features' or 'logits'; logits are centred first, since a constant added to them says nothing.
        full: whether the full input is a row of the matrix too.

    Raises:
        LabError: an unknown source, no view, a view named twice, or one row alone.
    """

    name: ClassVar[str] = "gram"

    views: tuple[View, ...]
    of: str = "features"
    full: bool = True

    def __post_init__(self) -> None:
        rule = "a list of Views"
        listed = tuple(of_type("views", view, View, rule) for view in flat("views", self.views, rule))
        object.__setattr__(self, "views", listed)
        shown = [view.label for view in listed]
        require(len(set(listed)) == len(listed), "views", shown, "must not name a view twice")
        one_of("of", self.of, SOURCES)
        of_type("full", self.full, bool, "True or False")
        rows = len(listed) + self.full
        require(rows >= 2, "views", shown, "a relation needs at least two rows", "Name more views.")

    @property
    def needs(self) -> Needs:
        """The views, and features where these are compared."""
        wanted = self.of == "features"
        return Needs(views=self.views, features=wanted and self.full, view_features=wanted)

    def __call__(
        self, student: Outputs, target: Tensor, teacher: Outputs, parameters: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """'gram', (R,); the target is not read."""
        return {"gram": gram_relation(self._rows(student), self._rows(teacher))}

    def describe(self) -> dict[str, object]:
        """Plain JSON values that name this method in a key or in provenance."""
        labels = [view.label for view in self.views]
        return {"method": self.name, "views": labels, "of": self.of, "full": self.full}

    def _rows(self, said: Outputs) -> Tensor:
        """(R, B, V, F)."""
        if self.of == "logits":
            rows = [said.logits] * self.full + [said.under(view) for view in self.views]
            stacked = torch.stack([row.flatten(2) for row in rows], dim=-2)
            return stacked - stacked.mean(dim=-1, keepdim=True)
        rows = [said.known_features()] if self.full else []
        for view in self.views:
            if view not in said.view_features:
                raise LabError("view_features", view.label, "must be given: this method compares features")
            rows.append(said.view_features[view])
        return torch.stack(rows, dim=-2)


def gram_relation(student: Tensor, teacher: Tensor) -> Tensor:
    """mean_i ||G_student,i - G_teacher,i||² / V², where G_i[m, n] is the cosine between views m and n.

    Args:
        student: (..., B, V, F), one row per view of a sample.
        teacher: (..., B, V, F'), the same views in the same order; the length may differ.

    Returns:
        one value per replica, (...); 0 when both find the views of every sample equally alike.

    Raises:
        LabError: other samples or views on one side than on the other.
    """
    of_type("student", student, Tensor, "a torch tensor of one row per view")
    of_type("teacher", teacher, Tensor, "a torch tensor of one row per view")
    rule = "must be (..., B, V, F) with at least one sample and two views"
    fits = student.ndim >= 3 and student.shape[-3] > 0 and student.shape[-2] >= 2
    require(fits, "student", tuple(student.shape), rule)
    same = student.shape[:-1] == teacher.shape[:-1]
    rule = f"must hold the samples and views of the student, {tuple(student.shape)}"
    require(same, "teacher", tuple(teacher.shape), rule, "Only the last axis may differ.")
    unit_s, unit_t = (unit(widened(x)) for x in (student, teacher.detach()))
    return (unit_s @ unit_s.mT - unit_t @ unit_t.mT).square().mean(dim=(-3, -2, -1))
