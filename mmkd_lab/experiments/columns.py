"""Modalities as the columns of one matrix, as scikit-learn wants them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from mmkd_lab.data.on_demand import widened
from mmkd_lab.data.paired import PairedData
from mmkd_lab.data.text import PAD
from mmkd_lab.training.inputs import vocabulary

Floats = npt.NDArray[np.float64]
#: Numbers that the training inputs, or a kernel, may have: half a gigabyte in double precision.
MOST = 2**26


def width(data: PairedData, names: Sequence[str]) -> int:
    """How many columns they are together."""
    sizes = vocabulary(data)
    return sum(sizes.get(name) or data.modalities[name][0].numel() for name in names)


def _columns(data: PairedData, name: str) -> Floats:
    """A modality as a matrix: values flattened, texts as how often each word occurs."""
    values = widened(data.modalities[name].cpu(), torch.float64)
    if (size := vocabulary(data).get(name)) is None:
        found: Floats = values.double().flatten(1).numpy()
        return found
    ids, counts = values.flatten(1), torch.zeros(len(values), size, dtype=torch.float64)
    counted: Floats = counts.scatter_add_(1, ids, (ids != PAD).double()).numpy()
    return counted


def standardised(data: PairedData, name: str) -> Floats:
    """Each column with the mean and deviation of the training samples that have it; 0 for those that lack
    it."""
    inputs, there = _columns(data, name), data.seen([name]).cpu().numpy()
    train = data.positions("train").cpu().numpy()
    known = inputs[train[there[train]]]
    deviation = known.std(axis=0)
    found: Floats = (inputs - known.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
    return np.where(there[:, None], found, 0.0)
