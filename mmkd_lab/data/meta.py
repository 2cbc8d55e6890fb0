"""Set training samples aside for what is learned beside the networks, such as the weights of a loss."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mmkd_lab.core.check import of_type, real, require
from mmkd_lab.core.seed import derive
from mmkd_lab.data.paired import PairedData
from mmkd_lab.data.task import META, Task


def set_aside(data: PairedData, *, share: float = 0.1, seed: int = 0) -> PairedData:
    """The same samples with a part of the training split moved to the split 'meta'.

    The validation split selects models and the test split reports: neither may also teach weights. Groups, as
    speakers, stay together, and are taken until `share` of the training samples is reached, which may be far
    exceeded where they are large; without groups, classes keep their shares as nearly as whole samples allow.
    Nothing else is kept apart: a picture paired with sounds of several groups may be in both splits.

    Raises `LabError` for a share out of range, a 'meta' split that is there already, or too few samples or
    groups for both splits.
    """
    of_type("data", data, PairedData, "a PairedData")
    real("share", share, above=0.0, at_most=1.0)

    require(META not in data.splits, "data", list(data.splits), f"must not have a {META!r} split yet")
    train = data.positions("train")
    rng = np.random.default_rng(derive(seed, META))
    picked = _groups(data, train, share, rng) if data.group is not None else _rows(data, train, share, rng)
    count = int(picked.sum())
    rule = f"must leave samples in 'train' and in {META!r}, of {len(train)}"
    require(0 < count < len(train), "share", share, rule)
    splits = {**data.splits, "train": train[~picked], META: train[picked]}
    return replace(data, splits=splits, recipe={**data.recipe, META: {"share": share, "seed": seed}})


def _rows(data: PairedData, train: Tensor, share: float, rng: np.random.Generator) -> Tensor:
    """Every class gives its share, and at least one sample."""
    picked = torch.zeros(len(train), dtype=torch.bool)
    labels = data.target[train].cpu().numpy() if data.task is Task.SINGLE_LABEL else np.zeros(len(train), int)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        picked[rng.permutation(rows)[: max(1, round(share * len(rows)))]] = True
    return picked.to(train.device)


def _groups(data: PairedData, train: Tensor, share: float, rng: np.random.Generator) -> Tensor:
    """Whole groups in a drawn order, until the share is reached, a last one never being taken."""
    assert data.group is not None
    owner: npt.NDArray[np.int64] = data.group[train].cpu().numpy()
    order = rng.permutation(np.unique(owner))
    picked = np.zeros(len(train), dtype=bool)
    for name in order[:-1]:
        if picked.sum() >= share * len(train):
            break
        picked |= owner == name
    return torch.from_numpy(picked).to(train.device)
