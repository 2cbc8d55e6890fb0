"""Relations between samples: distances and angles (RKD), similarities (SP). Features may differ in length."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from mmkd_lab.core.check import real, require
from mmkd_lab.distill.method import Method, Needs, Outputs
from mmkd_lab.distill.operands import features_pair, unit

#: Lengths below this are those of coincident samples.
_TINY = 1e-12


@dataclass(frozen=True)
class RKD(Method):
    """distance · RKD-D + angle · RKD-A. Source: Park et al. 2019, "Relational knowledge distillation".

    Args:
        distance: weight of `distance_relation`, at least 0; with 0 it is not computed.
        angle: weight of `angle_relation`, at least 0; with 0 it is not computed. Its time and memory grow
            with the cube of the batch.

    Raises:
        LabError: a negative weight, or both weights 0.
    """

    name: ClassVar[str] = "rkd"

    distance: float = 25.0
    angle: float = 50.0

    def __post_init__(self) -> None:
        real("distance", self.distance, at_least=0.0)
        real("angle", self.angle, at_least=0.0)
        alive = self.distance + self.angle > 0
        require(alive, "distance and angle", "both 0", "must not both be 0, or nothing is learnt")

    @property
    def needs(self) -> Needs:
        """Features of the full input."""
        return Needs(features=True)

    def __call__(
        self, student: Outputs, target: Tensor, teacher: Outputs, parameters: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """'rkd', and 'rkd/distance' and 'rkd/angle' where they count, each (R,); the target is not read."""
        pair = student.known_features(), teacher.known_features()
        terms = {}
        if self.distance > 0:
            terms["rkd/distance"] = distance_relation(*pair)
        if self.angle > 0:
            terms["rkd/angle"] = angle_relation(*pair)
        weights = {"rkd/distance": self.distance, "rkd/angle": self.angle}
        total = torch.stack([weights[name] * term for name, term in terms.items()]).sum(0)
        return {"rkd": total, **terms}

    def describe(self) -> dict[str, object]:
        """Plain JSON values that name this method in a key or in provenance."""
        return {"method": self.name, "distance": float(self.distance), "angle": float(self.angle)}


@dataclass(frozen=True)
class SimilarityPreserving(Method):
    """Similar samples for the teacher are to be similar for the student; see `similarity_relation`."""

    name: ClassVar[str] = "sp"

    @property
    def needs(self) -> Needs:
        """Features of the full input."""
        return Needs(features=True)

    def __call__(
        self, student: Outputs, target: Tensor, teacher: Outputs, parameters: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """'sp', (R,); the target is not read."""
        return {"sp": similarity_relation(student.known_features(), teacher.known_features())}


def distance_relation(student: Tensor, teacher: Tensor) -> Tensor:
    """Huber loss between distances of pairs of samples, each over its batch's mean: (..., B, F) -> (...).

    ψ(i, j) = ||f_i - f_j|| / μ with μ the mean over pairs i ≠ j; mean over these pairs of the Huber loss (δ =
    1) of ψ_student - ψ_teacher. Unchanged when either side's features are shifted, rotated or scaled; 0 for
    fewer than two samples. Source: Park et al. 2019, section 3.2.
    """
    s, t = features_pair(student, teacher)
    batch = s.shape[-2]
    apart = F.smooth_l1_loss(_relative(s), _relative(t), reduction="none")
    return apart.sum(dim=(-2, -1)) / max(1, batch * (batch - 1))


def angle_relation(student: Tensor, teacher: Tensor) -> Tensor:
    """Huber loss between the cosines of the angles that triples of samples span: (..., B, F) -> (...).

    ψ(i, j, k) = cos of the angle at j between i and k; mean over triples of different samples of the Huber
    loss (δ = 1). Unchanged when either side's features are shifted, rotated or scaled; 0 for fewer than three
    samples. Source: Park et al. 2019, section 3.2.
    """
    s, t = features_pair(student, teacher)
    batch = s.shape[-2]
    apart = F.smooth_l1_loss(_cosines(s), _cosines(t), reduction="none")
    # At i = k the cosine is 1, but for coincident samples; at j = i there is no angle, and both sides have 0.
    off = 1 - torch.eye(batch, dtype=s.dtype, device=s.device)
    return (apart * off).sum(dim=(-3, -2, -1)) / max(1, batch * (batch - 1) * (batch - 2))


def similarity_relation(student: Tensor, teacher: Tensor) -> Tensor:
    """||G_student - G_teacher||² / B² with G the rows of F Fᵀ, each of length 1: (..., B, F) -> (...).

    Unchanged when either side's features are rotated or scaled. Source: Tung and Mori 2019, "Similarity-
    preserving knowledge distillation", section 3.
    """
    s, t = features_pair(student, teacher)
    gram_s, gram_t = (unit(x @ x.mT) for x in (s, t))
    return (gram_s - gram_t).square().mean(dim=(-2, -1))


def _relative(features: Tensor) -> Tensor:
    """(..., B, B) distances over their mean; all 0 when all samples coincide."""
    batch = features.shape[-2]
    # By differences: a matrix product would lose the distances of near neighbours to cancellation.
    apart = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")
    mean = apart.sum(dim=(-2, -1), keepdim=True) / max(1, batch * (batch - 1))
    return apart / mean.clamp(min=_TINY)


def _cosines(features: Tensor) -> Tensor:
    """(..., B, B, B): at [j, i, k] the cosine of the angle at sample j between i and k."""
    towards = features[..., None, :, :] - features[..., :, None, :]
    directions = unit(towards)
    return directions @ directions.mT
