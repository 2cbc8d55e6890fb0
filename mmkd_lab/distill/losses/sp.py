"""Similarity-preserving KD: samples that are alike for the teacher are to be alike for the student."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from mmkd_lab.core.config import config
from mmkd_lab.distill.method import FeatureMethod, Outputs, register_method
from mmkd_lab.distill.operands import features_pair, unit


@register_method("sp")
@config
class SimilarityPreserving(FeatureMethod):
    """See `similarity_relation`. Features may differ in length."""

    def __call__(
        self, student: Outputs, target: Tensor, teacher: Outputs, parameters: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """'sp', (R,); the target is not read."""
        return {self.name: similarity_relation(*self.pair(student, teacher))}


def similarity_relation(student: Tensor, teacher: Tensor) -> Tensor:
    """||G_student - G_teacher||² / B² with G the rows of F Fᵀ, each of length 1: (..., B, F) -> (...).

    Unchanged when either side's features are rotated or scaled. Source: Tung and Mori 2019, "Similarity-
    preserving knowledge distillation", section 3.
    """
    s, t = features_pair(student, teacher)
    gram_s, gram_t = (unit(x @ x.mT) for x in (s, t))
    return (gram_s - gram_t).square().mean(dim=(-2, -1))
