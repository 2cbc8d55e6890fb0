"""Metrics as pure tensor functions, one value per replica, in double precision."""

from __future__ import annotations

import torch
from torch import Tensor

from mmkd_lab.core.check import require
from mmkd_lab.data.paired import Task


def accuracy(logits: Tensor, target: Tensor) -> Tensor:
    """Single label: logits (R, N, K), target (N,) or (R, N) -> (R,), in percent."""
    _batch_of(logits, target, axes=3)
    return 100.0 * _double(logits.argmax(-1) == target).mean(-1)


def nll(logits: Tensor, target: Tensor, *, task: Task = Task.SINGLE_LABEL) -> Tensor:
    """Mean negative log-likelihood in nats: per sample, per label entry for multi-label, per labelled pixel
    if dense.

    Shapes as `score`'s; returns (R,).
    """
    if task is Task.MULTI_LABEL:
        wanted = target.expand(logits.shape).float()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        return _double(loss).mean((-2, -1))
    classes = 2
    wanted = target.expand(logits.shape[:classes] + logits.shape[classes + 1 :])
    real = wanted >= 0
    log_p = (
        logits.log_softmax(classes).gather(classes, wanted.clamp(min=0).unsqueeze(classes)).squeeze(classes)
    )
    axes = tuple(range(1, log_p.ndim))
    return -_double(log_p * real).sum(axes) / _double(real).sum(axes).clamp(min=1)


def f1(logits: Tensor, target: Tensor, *, average: str) -> Tensor:
    """Multi-label F1 at probability 0.5: logits (R, N, K), target (N, K) or (R, N, K) -> (R,), in percent.

    'micro' counts over all labels together; 'macro' is the mean over labels. A label that is neither present
    nor predicted counts as 0, as scikit-learn's zero_division=0 has it.
    """
    said, true = logits > 0, target > 0.5
    hits = _double((said & true).sum(-2))
    both = _double(said.sum(-2) + true.sum(-2))
    if average == "micro":
        hits, both = hits.sum(-1), both.sum(-1)
    per_label = 2 * hits / both.clamp(min=1)
    return 100.0 * (per_label if average == "micro" else per_label.mean(-1))


def pixel_accuracy(logits: Tensor, target: Tensor) -> Tensor:
    """Dense: logits (R, N, K, H, W), target (N, H, W) with -1 where there is none -> (R,), in percent."""
    _batch_of(logits, target, axes=5)
    real = target >= 0
    right = (logits.argmax(2) == target) & real
    return 100.0 * _double(right.sum((-3, -2, -1))) / _double(real.sum((-3, -2, -1))).clamp(min=1)


def mean_iou(logits: Tensor, target: Tensor) -> Tensor:
    """Dense: intersection over union, pooled over all pixels, mean over the classes that occur -> (R,), in
    percent.

    A class counts when it is in the target or is predicted; pixels of -1 count for nothing.
    """
    _batch_of(logits, target, axes=5)
    said, real = logits.argmax(2), target >= 0
    shares, counted = [], []
    for k in range(logits.shape[2]):
        here, there = (said == k) & real, (target == k) & real
        union = _double((here | there).sum((-3, -2, -1)))
        shares.append(_double((here & there).sum((-3, -2, -1))) / union.clamp(min=1))
        counted.append(_double(union > 0))
    return 100.0 * torch.stack(shares).sum(0) / torch.stack(counted).sum(0).clamp(min=1)


def score(logits: Tensor, target: Tensor, *, task: Task) -> dict[str, Tensor]:
    """All metrics of a task, each (R,); the first one is what early selection maximises.

    Args:
        logits: (R, N, K), or (R, N, K, H, W) for a dense task.
        target: as `PairedData.target`, shared by the replicas or with a leading axis of R.
        task: what the target is.
    """
    if task is Task.MULTI_LABEL:
        named = {f"{kind}_f1": f1(logits, target, average=kind) for kind in ("macro", "micro")}
    elif task is Task.DENSE:
        named = {"miou": mean_iou(logits, target), "pixel_accuracy": pixel_accuracy(logits, target)}
    else:
        named = {"accuracy": accuracy(logits, target)}
    return {**named, "nll": nll(logits, target, task=task)}


def _batch_of(logits: Tensor, target: Tensor, *, axes: int) -> None:
    require(logits.ndim == axes, "logits", tuple(logits.shape), f"must have {axes} axes, replicas first")
    shape = (logits.shape[1], *logits.shape[3:])
    require(
        tuple(target.shape) in (shape, (len(logits), *shape)),
        "target",
        tuple(target.shape),
        f"must be {shape}, or the same with a leading axis of {len(logits)} replicas",
    )


def _double(values: Tensor) -> Tensor:
    """In float32 the mean of 10,000 hits is 89.460002, not 89.46. Apple's GPUs have no double precision."""
    return (values.cpu() if values.device.type == "mps" else values).double()
