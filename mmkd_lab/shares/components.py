"""Wide inputs as a few columns: their first principal components."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mmkd_lab.shares.samples import Floats, drop_constant

_RANK = 1e-12  # components with less than this share of the first one's variance are rounding


def leading(x: npt.ArrayLike, *, components: int = 50, name: str = "values") -> Floats:
    """(n, at most `components`) columns: as they are, or their first principal components when wider.

    Of fewer than four times as many samples, there are no more columns than a quarter of the samples: the
    estimators need samples beyond the columns of both modalities. The components are those of all samples
    given; no label is looked at. A column given twice counts once. Raises `LabError`, by that name, when no
    column varies.
    """
    columns = drop_constant(x, name=name)
    columns = columns[:, np.sort(np.unique(columns, axis=1, return_index=True)[1])]
    most = min(components, max(len(columns) // 4, 1))
    if columns.shape[1] <= most:
        return columns
    centred = columns - columns.mean(0)
    wide = centred.shape[1] > len(centred)  # of pictures, say: the smaller of two products is enough
    squares, directions = np.linalg.eigh(centred @ centred.T if wide else centred.T @ centred)
    most = min(most, int((squares > _RANK * squares[-1]).sum()))
    squares, directions = squares[: -most - 1 : -1], directions[:, : -most - 1 : -1]
    directions = centred.T @ directions / np.sqrt(squares) if wide else directions
    largest = np.abs(directions).argmax(0)  # a direction has no sign of its own
    return np.asarray(centred @ (directions * np.sign(directions[largest, np.arange(most)])))
