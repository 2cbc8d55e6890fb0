"""Relational KD: distances and angles between samples. Features may differ in length."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mmkd_lab.core.check import require
from mmkd_lab.core.config import NonNegative, config
from mmkd_lab.distill.method import FeatureMethod, Outputs, Tensors, register_method
from mmkd_lab.distill.operands import features_pair, unit


@register_method("rkd")
@config
class RKD(FeatureMethod):
    """distance · RKD-D + angle · RKD-A. Source: Park et al. 2019, "Relational knowledge distillation".

    Args:
        distance: weight of `distance_relation` ('rkd/distance'); with 0 it is not computed.
        angle: weight of `angle_relation` ('rkd/angle'); with 0 it is not computed. Its time and memory grow
            with the cube of the batch.
        diagonal: whether means run over all pairs and triples of the batch, also those of a sample with
            itself, whose terms are 0, as the loss of the released codes does (the mean distance is over
            different samples there too). It makes the distance term (B - 1) / B times, and the angle term
            (B - 1)(B - 2) / B² times as large. False, since the paper's sums are over tuples of distinct
            samples (section 3), and a weight then means the same for every size of batch.

    At least one weight must be above 0.
    """

    distance: NonNegative = 25.0
    angle: NonNegative = 50.0
    diagonal: bool = False

    def __post_init__(self) -> None:
        alive = self.distance + self.angle > 0
        require(alive, "distance and angle", "both 0", "must not both be 0, or nothing is learnt")

    def __call__(self, student: Outputs, target: Tensor, teacher: Outputs, parameters: Tensors) -> Tensors:
        """'rkd', and 'rkd/distance' and 'rkd/angle' where they count."""
        pair = self.pair(student, teacher)
        parts = {"distance": (self.distance, distance_relation), "angle": (self.angle, angle_relation)}
        alive = {name: part for name, part in parts.items() if part[0] > 0}
        terms = {f"rkd/{name}": of(*pair, diagonal=self.diagonal) for name, (_, of) in alive.items()}
        weighted = [weight * terms[f"rkd/{name}"] for name, (weight, _) in alive.items()]
        return {self.name: torch.stack(weighted).sum(0), **terms}


def distance_relation(student: Tensor, teacher: Tensor, *, diagonal: bool = False) -> Tensor:
    """Huber loss between distances of pairs of samples, each over its batch's mean: (..., B, F) -> (...).

    ψ(i, j) = ||f_i - f_j|| / μ with μ the mean over pairs i ≠ j; mean over these pairs, with `diagonal` over
    all B², of the Huber loss (δ = 1) of ψ_student - ψ_teacher. Unchanged when either side's features are
    shifted, rotated or scaled; 0 for fewer than two samples. Source: Park et al. 2019, section 3.2.
    """
    s, t = features_pair(student, teacher)
    batch = s.shape[-2]
    apart = F.smooth_l1_loss(_relative(s), _relative(t), reduction="none")
    return apart.sum(dim=(-2, -1)) / (batch**2 if diagonal else max(1, batch * (batch - 1)))


def angle_relation(student: Tensor, teacher: Tensor, *, diagonal: bool = False) -> Tensor:
    """Huber loss between the cosines of the angles that triples of samples span: (..., B, F) -> (...).

    ψ(i, j, k) = cos of the angle at j between i and k; mean over triples of different samples, with
    `diagonal` over all B³, of the Huber loss (δ = 1). Unchanged when either side's features are shifted,
    rotated or scaled; 0 for fewer than three samples. Source: Park et al. 2019, section 3.2.
    """
    s, t = features_pair(student, teacher)
    batch = s.shape[-2]
    apart = F.smooth_l1_loss(_cosines(s), _cosines(t), reduction="none")
    # At i = k the cosine is 1, but for coincident samples; at j = i there is no angle, and both sides have 0.
    off = 1 - torch.eye(batch, dtype=s.dtype, device=s.device)
    total = (apart * off).sum(dim=(-3, -2, -1))
    return total / (batch**3 if diagonal else max(1, batch * (batch - 1) * (batch - 2)))


def _relative(features: Tensor) -> Tensor:
    """(..., B, B) distances over their mean; all 0 when all samples coincide."""
    batch = features.shape[-2]
    # By differences: a matrix product would lose the distances of near neighbours to cancellation.
    apart = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")
    mean = apart.sum(dim=(-2, -1), keepdim=True) / max(1, batch * (batch - 1))
    return apart / torch.where(mean > 0, mean, 1.0)


def _cosines(features: Tensor) -> Tensor:
    """(..., B, B, B): at [j, i, k] the cosine of the angle at sample j between i and k."""
    directions = unit(features[..., None, :, :] - features[..., :, None, :])
    return directions @ directions.mT
