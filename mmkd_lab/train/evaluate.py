"""The task's metrics of replicas on a split, for any view and removal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from mmkd_lab.base.check import require
from mmkd_lab.data.paired import PairedData
from mmkd_lab.nets.removal import Removal
from mmkd_lab.nets.views import View
from mmkd_lab.train.metrics import score
from mmkd_lab.train.replicas import Replicas

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
    sets = [data] if isinstance(data, PairedData) else list(data)
    require(len(sets) in (1, len(replicas)), "data", f"{len(sets)} datasets", f"must be 1 or {len(replicas)}")
    if len(sets) == 1:
        logits = replicas.predict(sets[0], split=split, view=view, removal=removal)
        target = sets[0].target[sets[0].positions(split)].cpu()
    else:
        one_by_one = zip(replicas, sets, strict=True)
        logits = torch.cat([one.predict(d, split=split, view=view, removal=removal) for one, d in one_by_one])
        target = torch.stack([one.target[one.positions(split)].cpu() for one in sets])
    named = score(logits, target, task=sets[0].task)
    return {metric: value.double().numpy() for metric, value in named.items()}
