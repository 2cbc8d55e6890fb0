"""The task's metrics of replicas on a split, for any view and removal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mmkd_lab.core.check import of_type, require
from mmkd_lab.data.paired import PairedData
from mmkd_lab.models.removal import Removal
from mmkd_lab.models.views import View
from mmkd_lab.training.inputs import datasets
from mmkd_lab.training.metrics import score
from mmkd_lab.training.replicas import Replicas

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def evaluate(
    replicas: Replicas,
    data: PairedData | Sequence[PairedData],
    *,
    split: str,
    view: View | None = None,
    removal: Removal | str | None = None,
) -> dict[str, npt.NDArray[np.float64]]:
    """{metric: (R,)}: 'accuracy' in percent and 'nll' in nats; for other tasks see `metrics.score`.

    Args:
        replicas: R networks.
        data: one dataset for all, or one per replica.
        split: 'train', 'val' or 'test'.
        view: the modalities to keep; None for all.
        removal: how the others go: an operator or its name; zeros when None.

    Raises:
        LabError: an unknown split or modality, or a removal this network cannot do.
    """
    of_type("replicas", replicas, Replicas, "Replicas", "See Replicas.build and Replicas.of.")
    sets = datasets(data, len(replicas))
    pairs = [(replicas, sets[0])] if len(sets) == 1 else zip(replicas, sets, strict=True)
    named = [_scored(some, one, split, view, removal) for some, one in pairs]
    return {metric: torch.cat([part[metric] for part in named]).double().numpy() for metric in named[0]}


def _scored(
    replicas: Replicas, data: PairedData, split: str, view: View | None, removal: Removal | str | None
) -> dict[str, Tensor]:
    target = data.target[data.positions(split)].cpu()
    logits = replicas.predict(data, split=split, view=view, removal=removal)
    rule = f"must be (R, N, {data.num_classes}), one logit for each class of {data.name}"
    fits = logits.ndim > 2 and logits.shape[2] == data.num_classes
    require(fits, "replicas", f"logits {tuple(logits.shape)}", rule)
    return score(logits, target, task=data.task)
