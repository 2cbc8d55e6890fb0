"""One scale for what a network reads, rounded so that every processor makes the same dataset."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.check import require
from mmkd_lab.data.making.pairing import Rows

Array = npt.NDArray[np.float64]

#: Finished values are multiples of this (in units of the training sd), so that the last bits of an FFT or a
#: logarithm, which differ between processors, do not reach the dataset's fingerprint.
GRID = 1.0 / 256.0
_ROWS = 500


@dataclass(frozen=True)
class Scale:
    """A linear scale fitted on training samples: (value - mean) / sd, rounded to `GRID`."""

    mean: float
    sd: float

    @classmethod
    def fit(cls, values: npt.NDArray[np.floating]) -> Scale:
        """One mean and one sd over all values, in double precision, a part at a time."""
        count, total, squares = values.size, 0.0, 0.0
        for start in range(0, len(values), _ROWS):
            total += float(values[start : start + _ROWS].sum(dtype=np.float64))
        mean = total / count
        for start in range(0, len(values), _ROWS):
            squares += float(np.square(values[start : start + _ROWS].astype(np.float64) - mean).sum())
        return cls(mean, math.sqrt(squares / count) or 1.0)

    def apply(self, values: npt.NDArray[np.floating]) -> None:
        """Standardise in place, a part at a time."""
        for start in range(0, len(values), _ROWS):
            part = values[start : start + _ROWS].astype(np.float64)
            values[start : start + _ROWS] = on_grid((part - self.mean) / self.sd)


def on_grid(values: Array, grid: float = GRID) -> npt.NDArray[np.float32]:
    """Round to multiples of `grid`."""
    return (np.rint(values / grid) * grid).astype(np.float32)


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
