"""Feature columns in different units, on one scale."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.check import require
from mmkd_lab.data.pairing import Rows
from mmkd_lab.data.spectrogram import on_grid


def standardise(values: npt.NDArray[np.generic], train: Rows) -> npt.NDArray[np.float32]:
    """(N, D) columns minus their mean, over their sd, both of the training rows; rounded as `on_grid` does.

    A column that is constant on the training rows becomes 0 there, and keeps its own unit elsewhere.
    Raises `LabError` when `train` is empty or `values` is not a table.
    """
    require(values.ndim == 2, "values", values.shape, "must be a table (N, D)")
    require(len(train) > 0, "train", (), "must hold at least one training row")
    table = values.astype(np.float64)
    mean, sd = table[train].mean(axis=0), table[train].std(axis=0)
    return on_grid((table - mean) / np.where(sd > 0, sd, 1.0))
