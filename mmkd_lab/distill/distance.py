"""How far a student's outputs are from its teacher's, sample by sample and over the batch."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from mmkd_lab.core.check import require
from mmkd_lab.core.config import Positive, config
from mmkd_lab.data.task import Task
from mmkd_lab.distill.operands import logits_pair

DistanceKind = Literal["kl", "mse", "dist"]

#: Below this deviation an output is constant, and its correlation with anything is rounding noise.
_FLAT = 1e-6


@config
class Distance:
    """A distance D(student, teacher) of logits, weighted sample by sample: mean_i w_i · `each`_i +
    `batch`(w).

    Args:
        kind: 'kl': T² · KL(teacher ‖ student) of the outputs softened by T, in nats (Hinton et al. 2015,
            section 2), so that D is `kd_divergence`. 'mse': squared difference of the logits over K (Ba and
            Caruana 2014); softening by T and the factor T² cancel. 'dist': T² · (1 - Pearson correlation) of
            the softened outputs, over the classes of each sample plus over the samples for each class
            (Huang et al. 2022, DIST).
        temperature: T, above 0.
        task: single label: softmax over K. Multi-label: K independent sigmoids, their divergences summed.
            Dense: softmax over K at every position, meaned over positions. Regression: see `divergence`; it
            has no 'dist', whose outputs are a law over classes.

    It is 0 where both agree, and no gradient reaches the teacher. With two classes (or labels) a sample's
    correlation over classes is 1 or -1 and has no gradient: 'dist' learns from that over samples alone. A
    constant output (over classes, or a class over samples) is at distance 0 from another such, and at 1/2
    from the rest.
    """

    kind: DistanceKind = "kl"
    temperature: Positive = 1.0
    task: Task = Task.SINGLE_LABEL

    def __post_init__(self) -> None:
        fits = self.kind != "dist" or self.task is not Task.REGRESSION
        require(fits, "distance", self.kind, "compares laws over classes, and a regression has none")

    def each(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The distance of every sample: logits (..., B, K), for a dense task (..., B, K, H, W), -> (..., B);
        of 'dist' the inter-class term. Raises `LabError` for shapes that differ or do not go with the task,
        or fewer than two classes."""
        s, t, classes = logits_pair(student, teacher, self.task)
        if self.kind == "mse":
            found = (s - t).square().mean(dim=classes)
        elif self.kind == "kl":
            bare = divergence(s, t, classes, temperature=self.temperature, task=self.task)
            found = self.temperature**2 * bare
        else:
            pair = (_standard(self._soft(x, classes), dim=classes) for x in (s, t))
            found = self.temperature**2 * _half_square(*pair, dim=classes)
        return found.flatten(start_dim=classes).mean(dim=-1) if found.ndim > classes else found

    def batch(self, student: Tensor, teacher: Tensor, *, weights: Tensor | None = None) -> Tensor:
        """What only the batch as a whole has, (...): for 'dist' the intra-class term, else 0.

        Under weights w (..., B) it is T² · mean(w) · mean_k (1 - ρ_k), where ρ_k is the correlation over
        samples weighted by w: twice the weights make twice the term, and weights of 1 leave it as published.
        """
        s, t, classes = logits_pair(student, teacher, self.task)
        if self.kind != "dist":
            return s.new_zeros(s.shape[: classes - 1])
        w = _weights(weights, s, classes)
        share = w / w.sum(dim=-1, keepdim=True).clamp(min=torch.finfo(w.dtype).tiny)
        pair = (_rows(self._soft(x, classes), classes) for x in (s, t))
        share = share.repeat_interleave(s.shape[classes + 1 :].numel(), dim=-1)
        share = share / s.shape[classes + 1 :].numel()
        apart = _half_square(*(_standard(x, dim=-2, share=share[..., None]) for x in pair), dim=-2)
        return self.temperature**2 * w.mean(dim=-1) * apart.mean(dim=-1)

    def __call__(self, student: Tensor, teacher: Tensor, *, weights: Tensor | None = None) -> Tensor:
        """D, one value per replica, (...); weights (..., B), None for ones."""
        each = self.each(student, teacher)
        if weights is not None:
            each = each * _weights(weights, student, each.ndim)
        if self.kind != "dist":
            return each.mean(dim=-1)
        return each.mean(dim=-1) + self.batch(student, teacher, weights=weights)

    def _soft(self, logits: Tensor, classes: int) -> Tensor:
        softened = logits / self.temperature
        return softened.sigmoid() if self.task is Task.MULTI_LABEL else softened.softmax(dim=classes)


def divergence(student: Tensor, teacher: Tensor, classes: int, *, temperature: float, task: Task) -> Tensor:
    """KL(teacher ‖ student) of the outputs softened by T, in nats, without the factor T²; the axis `classes`
    is summed, for labels from logits, so that a probability near 0 or 1 loses nothing.

    In a regression each output is the mean of a Gaussian of deviation T, in units of the target's deviation
    in
    training: KL(N(t, T²) ‖ N(s, T²)) = (t - s)² / 2T². T² times that is half the squared difference, whatever
    T: as for classes at a high T, where KD matches logits (Hinton et al. 2015, section 2.1), and beside
    labels of the same unit variance, (1 - rho) ½(s - y)² + rho ½(s - t)² fits the mixture (1 - rho) y + rho
    t.
    """
    s, t = student / temperature, teacher / temperature
    if task is Task.REGRESSION:
        return (s - t).square().sum(dim=classes) / 2
    if temperature > torch.finfo(s.dtype).eps ** -0.25:  # above it rounding, times T², would reach sqrt(eps)
        if task is Task.MULTI_LABEL:
            pair = (torch.stack([x, torch.zeros_like(x)], dim=-1) for x in (s, t))
            return _close(*pair, dim=-1).sum(dim=classes)
        return _close(s, t, dim=classes)
    if task is Task.MULTI_LABEL:
        yes = t.sigmoid() * (F.logsigmoid(t) - F.logsigmoid(s))
        no = (-t).sigmoid() * (F.logsigmoid(-t) - F.logsigmoid(-s))
        return (yes + no).sum(dim=classes)
    log_t = F.log_softmax(t, dim=classes)
    return (log_t.exp() * (log_t - F.log_softmax(s, dim=classes))).sum(dim=classes)


def _close(student: Tensor, teacher: Tensor, *, dim: int) -> Tensor:
    """KL(teacher ‖ student) of logits without cancellation where both are close: with the log-ratio c centred
    under the teacher's law, it is log E[exp(c)] = log(1 + E[exp(c) - 1 - c])."""
    p, apart = teacher.softmax(dim=dim), student - teacher
    c = apart - (p * apart).sum(dim=dim, keepdim=True)
    near, series = c.clamp(-1.0, 1.0), torch.ones_like(c)
    for n in range(18, 2, -1):  # 18! is beyond double precision
        series = 1 + near / n * series
    close = torch.log1p((p * near.square() / 2 * series).sum(dim=dim))
    far = (p * (teacher.log_softmax(dim=dim) - student.log_softmax(dim=dim))).sum(dim=dim)
    return torch.where(c.abs().amax(dim=dim) < 1, close, far)


def _standard(values: Tensor, *, dim: int, share: Tensor | None = None) -> Tensor:
    """Centred along `dim` and of length 1 there; with `share`, both by the weighted law."""
    if share is None:
        return F.normalize(values - values.mean(dim=dim, keepdim=True), dim=dim, eps=_FLAT)
    centred = values - (share * values).sum(dim=dim, keepdim=True)
    return F.normalize(share.sqrt() * centred, dim=dim, eps=_FLAT)


def _half_square(one: Tensor, other: Tensor, *, dim: int) -> Tensor:
    """1 - Pearson for two standard vectors: exactly 0 when they are equal, where 1 - sum(a·b) is not."""
    return (one - other).square().sum(dim=dim) / 2


def _rows(values: Tensor, classes: int) -> Tensor:
    """(..., B, K) as it is; (..., B, K, H, W) as (..., B·H·W, K): every position is a sample."""
    if values.ndim == classes + 1:
        return values
    return values.movedim(classes, -1).flatten(classes - 1, -2)


def _weights(weights: Tensor | None, student: Tensor, classes: int) -> Tensor:
    if weights is None:
        dtype = torch.float64 if student.dtype == torch.float64 else torch.float32
        return torch.ones(student.shape[:classes], dtype=dtype, device=student.device)
    expected = tuple(student.shape[:classes])
    require(tuple(weights.shape) == expected, "weights", tuple(weights.shape), f"must be {expected}")
    return weights.detach()
