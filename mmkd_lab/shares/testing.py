"""Permutation p-values and false-discovery control."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.check import real, require, whole

Floats = npt.NDArray[np.float64]


def pooled_p_values(observed: npt.ArrayLike, null: npt.ArrayLike) -> Floats:
    """(m,) p-values of m statistics of one scale, against the permuted values of all of them together.

    Args:
        observed: (m,) statistics, large when there is an effect.
        null: (P, m) the same under P permutations.

    Pooling needs statistics with one null distribution (squared correlations do) and gives p-values down to
    1 / (P m + 1). Raises `LabError` when the shapes disagree.
    """
    seen, drawn = np.asarray(observed, dtype=float), np.asarray(null, dtype=float)
    fits = seen.ndim == 1 and drawn.ndim == 2 and drawn.shape[1] == len(seen) and drawn.size > 0
    require(fits, "null", drawn.shape, f"must be (permutations, {len(seen)})")
    ordered = np.sort(drawn.ravel())
    above = ordered.size - np.searchsorted(ordered, seen, side="left")
    return np.asarray((1.0 + above) / (1.0 + ordered.size))


def discoveries(p: npt.ArrayLike, *, rate: float = 0.05) -> npt.NDArray[np.bool_]:
    """(m,) True where a p-value survives at a false discovery rate (Benjamini and Hochberg 1995).

    Raises `LabError` for p-values outside [0, 1] or a rate outside (0, 1).
    """
    real("rate", rate, above=0.0, at_most=0.9999)
    values = np.asarray(p, dtype=float)
    require(
        values.ndim == 1 and bool(((values >= 0) & (values <= 1)).all()), "p", values, "must lie in [0, 1]"
    )
    ordered = np.sort(values)
    passed = np.flatnonzero(ordered <= rate * np.arange(1, len(values) + 1) / max(len(values), 1))
    return np.asarray(values <= ordered[passed[-1]]) if passed.size else np.zeros(len(values), dtype=bool)


def chance(explained: float, left: float, *, ranks: int, freedom: int, outputs: int) -> float:
    """How often chance explains as much: the p-value of an F test.

    Args:
        explained: sum of squares of `outputs` columns that `ranks` predictors explain.
        left: sum of squares that they leave.
        ranks: independent predictors.
        freedom: degrees of freedom that are left per column.
        outputs: independent columns; with more than one this is the pseudo-F of McArdle and Anderson 2001,
            which takes their residuals for uncorrelated and equally large.

    Raises `LabError` for degrees of freedom below 1.
    """
    from scipy.special import fdtrc

    for name, count in (("ranks", ranks), ("freedom", freedom), ("outputs", outputs)):
        whole(name, count)
    if left <= 0:
        return 0.0
    return float(fdtrc(ranks * outputs, freedom * outputs, max(explained, 0.0) / left * freedom / ranks))
