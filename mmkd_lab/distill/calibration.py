"""Whether a network's confidence can be believed."""

from __future__ import annotations

import torch
from torch import Tensor

from mmkd_lab.core.check import require, whole
from mmkd_lab.data.task import Task

BINS = 15


def calibration_error(
    logits: Tensor, target: Tensor, *, task: Task = Task.SINGLE_LABEL, bins: int = BINS
) -> Tensor:
    """Expected calibration error, in points: mean |share right - mean confidence| over bins of equal width,
    weighted by how many fall into each (Guo et al. 2017, equation 3; 15 bins there too).

    Args:
        logits: (R, N, K); dense (R, N, K, H, W).
        target: (N,); multi-label (N, K); dense (N, H, W) with -1 where there is none.
        task: single label and dense: the confidence of the predicted class. Multi-label: the probability of
            every label, against whether it is there.
        bins: how many.

    Returns:
        (R,), from 0 to 100.

    Raises:
        LabError: fewer than one bin, no sample (dense: none with a label), or as many targets as there are no
            logits for.
    """
    whole("bins", bins)
    if task is Task.DENSE:
        logits = logits.movedim(2, -1)
        known = (target >= 0).flatten()
        logits, target = logits.reshape(len(logits), -1, logits.shape[-1])[:, known], target.flatten()[known]
    require(
        logits.shape[1] == len(target),
        "target",
        tuple(target.shape),
        f"must be {logits.shape[1]}, as the logits",
    )
    rule = "must hold at least one sample" + (" with a label" if task is Task.DENSE else "")
    require(len(target) > 0, "target", tuple(target.shape), rule)
    if task is Task.MULTI_LABEL:
        sure = logits.double().sigmoid().flatten(1)
        right = (target > 0.5).double().flatten().expand_as(sure)
    else:
        best = logits.double().softmax(-1).max(-1)
        sure, right = best.values, (best.indices == target.to(best.indices.device)).double()
    where = (sure * bins).long().clamp(max=bins - 1)
    gap = torch.zeros(len(sure), bins, dtype=torch.float64, device=sure.device)
    gap.scatter_add_(1, where, right - sure)
    return 100.0 * gap.abs().sum(1) / sure.shape[1]
