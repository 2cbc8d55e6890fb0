"""Similarity-preserving KD: samples that are alike for the teacher are to be alike for the student."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from mmkd_lab.core.config import config
from mmkd_lab.distill.method import HEAD, Method, Needs, Outputs, register_method
from mmkd_lab.distill.operands import features_pair, unit


@register_method("sp")
@config
class SimilarityPreserving(Method):
    """See `similarity_relation`. Features may differ in length.

    Args:
        student_layer, teacher_layer: where features are taken, see `Hints`.
    """

    student_layer: str = HEAD
    teacher_layer: str = HEAD

    @property
    def needs(self) -> Needs:
        """Features of the full input."""
        return Needs(student_layers=(self.student_layer,), teacher_layers=(self.teacher_layer,))

    def __call__(
        self, student: Outputs, target: Tensor, teacher: Outputs, parameters: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """'sp', (R,); the target is not read."""
        found = similarity_relation(student.at(self.student_layer), teacher.at(self.teacher_layer))
        return {self.name: found}


def similarity_relation(student: Tensor, teacher: Tensor) -> Tensor:
    """||G_student - G_teacher||² / B² with G the rows of F Fᵀ, each of length 1: (..., B, F) -> (...).

    Unchanged when either side's features are rotated or scaled. Source: Tung and Mori 2019, "Similarity-
    preserving knowledge distillation", section 3.
    """
    s, t = features_pair(student, teacher)
    gram_s, gram_t = (unit(x @ x.mT) for x in (s, t))
    return (gram_s - gram_t).square().mean(dim=(-2, -1))
