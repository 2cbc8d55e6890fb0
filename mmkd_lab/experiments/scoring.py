"""One network's metrics on a split, over all samples and over those that lack nothing or something."""

from __future__ import annotations

import torch
from torch import Tensor

from mmkd_lab.data.paired import PairedData, Task
from mmkd_lab.training.metrics import score


def scored(logits: Tensor, data: PairedData, where: Tensor) -> dict[str, float]:
    """Every metric of one network's logits (1, n, K) of the samples at these positions; where some samples
    lack a modality also '<metric> (complete)' and '(incomplete)', of the samples that have all and of the
    others.
    """
    target, found = data.target[where].cpu(), dict[str, float]()
    whole = data.seen(whole=True)[where].cpu()
    parts = {"": torch.ones_like(whole)}
    if data.present:
        parts |= {" (complete)": whole, " (incomplete)": ~whole}
    for name, part in parts.items():
        mine = target[part]
        varies = data.task is not Task.REGRESSION or (len(mine) > 1 and bool((mine != mine[:1]).any(0).all()))
        if len(mine) and (varies or not name):
            named = score(logits[:, part], mine, task=data.task, also=data.metrics)
            found |= {metric + name: float(value[0]) for metric, value in named.items()}
    return found
