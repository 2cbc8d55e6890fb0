"""The task's metrics of replicas on a split, for any view and removal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

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
    sets, found = datasets(data, len(replicas)), []
    for some, one in [(replicas, sets[0])] if len(sets) == 1 else zip(replicas, sets, strict=True):
        logits = some.predict(one, split=split, view=view, removal=removal)
        shape, rule = tuple(logits.shape), f"must have one logit for each class of {one.name}"
        require(len(shape) > 2 and shape[2] == one.num_classes, "replicas", f"logits {shape}", rule)
        found.append(score(logits, one.target[one.positions(split)].cpu(), task=one.task))
    return {metric: torch.cat([part[metric] for part in found]).numpy() for metric in found[0]}
