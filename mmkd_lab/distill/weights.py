"""How much each modality-specific term counts, for every sample: the weighting schemes of MSD.

Source: Jin et al. 2021 (MSD) weigh the auxiliary terms by saliency. The formulas are this lab's own; see
`Weighting`. Learned weights are in `distill.learned` and `training.learner`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import Literal

import torch
from torch import Tensor

from mmkd_lab.core.check import LabError, require
from mmkd_lab.core.config import NonNegative, Positive, config
from mmkd_lab.core.seed import derive
from mmkd_lab.data.paired import PairedData
from mmkd_lab.distill.saliency import Credit, Delta, saliency
from mmkd_lab.distill.teacher_outputs import TeacherOutputs
from mmkd_lab.models.views import View

#: Below this sum of saliencies a sample has nothing to say about its modalities, and gets equal weights.
EPSILON = 1e-8


@config
class Weighting:
    """A scheme. The mean weight, over views and training samples, is 1 under every scheme, so that the factor
    c of the whole term means the same strength; only a gate lowers it.

    With s_{m,i} the saliency of modality m for sample i, sbar its mean over the training split, M modalities:

    - 'uniform': 1
    - 'fixed': the numbers of `fixed`, {view label: weight}, scaled to mean 1
    - 'population': M · sbar_m / sum_j sbar_j
    - 'normalised': M · s_{m,i} / sum_j s_{j,i}, by instance
    - 'softmax': M · softmax_m(s_{m,i} / kappa), by instance; kappa > 0 in the units of delta
    - 'tanh': tanh(max(0, s_{m,i})), by instance, scaled to mean 1

    A negative s_{m,i} counts 0 by instance, except in 'softmax', which orders all; in 'population' a negative
    sbar_m, the mean of signed saliencies, does. A view that keeps several modalities has the mean of their
    saliencies. Where all are below 1e-8, weights are equal. For `delta` and `credit` see `saliency`.

    `control`: 'shuffled' hands every sample the weights of another training sample; 'wrong' gives each view
    the weights of the next one. Both keep the distribution of weights and break what they mean.
    """

    scheme: Literal["uniform", "fixed", "population", "normalised", "softmax", "tanh"] = "uniform"
    delta: Delta = "kl"
    credit: Credit = "drop"
    kappa: Positive = 1.0
    fixed: Mapping[str, NonNegative] = field(default_factory=dict)
    control: Literal["none", "shuffled", "wrong"] = "none"

    def __post_init__(self) -> None:
        shown, belongs = dict(self.fixed), bool(self.fixed) == (self.scheme == "fixed")
        require(belongs, "fixed", shown, "belongs to scheme='fixed', and only there")
        require(not shown or sum(shown.values()) > 0, "fixed", shown, "must not all be 0")


def weigh(
    teacher: TeacherOutputs,
    views: Sequence[View],
    weighting: Weighting,
    *,
    data: PairedData,
    seed: int = 0,
    gate: Mapping[View, Tensor] | None = None,
) -> TeacherOutputs:
    """The outputs of R teachers with a weight for every view and sample.

    Args:
        views: those the student mimics, see `msd_views`.
        data: its modalities, its task, and the training split over which means are taken.
        seed: of the control 'shuffled'.
        gate: {view: (R,) in [0, 1]}, what is left of a view's weights because its teacher is unreliable; see
            `reliability.gates`. The mean weight then falls below 1: less is learnt from such a teacher. Gates
            of views that the teacher knows and the student does not mimic are ignored.

    Raises `LabError` for views the teacher was not asked about or given twice, samples that are not the
    data's, a gate for a view that the teacher does not know, or out of range.
    """
    views, labels = tuple(views), [view.label for view in views]
    require(len(set(views)) == len(views) > 0, "views", labels, "must be at least one, each given once")
    train = torch.isin(teacher.index, data.sample_index[data.positions("train")].to(teacher.index.device))
    shown, rule = f"{len(teacher.index)} samples", f"must know training samples of {data.name}"
    require(bool(train.any()), "teacher", shown, rule)
    raw = _raw(teacher, views, weighting, data, train)  # (V, R, N)
    if weighting.control == "wrong":
        raw = raw.roll(1, dims=0)
    if weighting.control == "shuffled":
        raw = _shuffled(raw, train, seed)
    named = dict(zip(views, raw.unbind(0), strict=True))
    # A gate may shut all views of a teacher: its student then learns from full outputs alone.
    for view, share in (gate or {}).items():
        known = list(dict.fromkeys([*views, *teacher.views]))
        require(view in known, "gate", view.label, f"must be for one of {[v.label for v in known]}")
        fine = share.shape == (len(teacher),) and bool(((share >= 0) & (share <= 1)).all())
        require(fine, "gate", share.tolist(), f"must be {len(teacher)} numbers in [0, 1]")
        if view in named:
            named[view] = named[view] * share.to(raw)[:, None]
    return replace(teacher, weights=named)


def effective_sample_size(weights: Tensor) -> Tensor:
    """(sum w)² / sum w² over the last axis, as a share of its length: 1 when all count alike (Kish 1965)."""
    total, squares = weights.sum(-1), weights.square().sum(-1)
    return torch.where(squares > 0, total.square() / squares.clamp(min=1e-30), 0.0) / weights.shape[-1]


def _raw(
    teacher: TeacherOutputs, views: Sequence[View], weighting: Weighting, data: PairedData, train: Tensor
) -> Tensor:
    """(V, R, N) with mean 1 over views and training samples."""
    shape, labels = (len(views), *teacher.logits.shape[:2]), [view.label for view in views]
    if weighting.scheme == "uniform":
        return teacher.logits.new_ones(shape)
    if weighting.scheme == "fixed":
        if sorted(weighting.fixed) != sorted(labels):
            raise LabError("fixed", dict(weighting.fixed), f"must name the views {labels}")
        values = teacher.logits.new_tensor([weighting.fixed[label] for label in labels])
        return (values / values.mean())[:, None, None].expand(shape)
    require(all(views), "views", labels, "must keep a modality each, for its saliency to weigh it")
    how = {"delta": weighting.delta, "credit": weighting.credit}
    by_name = saliency(teacher, data.modalities, task=data.task, data=data, **how)  # type: ignore[arg-type]
    scores = torch.stack([torch.stack([by_name[m] for m in view]).mean(0) for view in views])
    if weighting.scheme == "softmax":
        return len(views) * (scores / weighting.kappa).softmax(0)
    if weighting.scheme == "population":
        # Before the positive part: samples that a loss helps and those it harms make up for each other.
        scores = scores[..., train].mean(-1, keepdim=True).expand(shape)
    scores = scores.clamp(min=0)
    if weighting.scheme == "tanh":
        scores = scores.tanh()
        mean = scores[..., train].mean((0, 2), keepdim=True)
        return torch.where(mean > EPSILON, scores / mean.clamp(min=EPSILON), 1.0)
    total = scores.sum(0, keepdim=True)
    return torch.where(total > EPSILON, len(views) * scores / total.clamp(min=EPSILON), 1.0)


def _shuffled(raw: Tensor, train: Tensor, seed: int) -> Tensor:
    """Training samples swap their whole rows of weights; all views of a sample stay together."""
    where = train.nonzero().flatten()
    generator = torch.Generator().manual_seed(derive(seed, "shuffled weights"))
    swapped = raw.clone()
    swapped[..., where] = raw[..., where[torch.randperm(len(where), generator=generator).to(where.device)]]
    return swapped
