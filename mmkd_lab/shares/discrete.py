"""From numbers to bins: what an information estimator by counting needs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.check import LabError, one_of, require, whole
from mmkd_lab.core.seed import derive

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]


def discretise(
    values: npt.ArrayLike, *, bins: int, how: str = "auto", seed: int = 0, name: str = "x"
) -> Codes:
    """(n,) bin numbers from 0 for n samples.

    Args:
        values: (n,) whole numbers, which are kept as they are (renumbered); (n,) real numbers; or (n, d)
            features or predictions. Rows of probabilities are best given as log-odds.
        bins: the number of bins; ties may leave fewer.
        how: 'quantile' makes bins of equal mass (one column only; tied values share the bin of their mean
            rank, so that a column that varies never falls into one bin), 'kmeans' clusters, 'auto' takes
            quantiles for one column and clusters otherwise.
        seed: of the clustering.
        name: what error messages call the values.

    Raises:
        LabError: fewer samples than bins, a constant, values that are not finite, quantiles of several
            columns.
    """
    one_of("how", how, ("auto", "quantile", "kmeans"))
    whole("bins", bins, at_least=2)
    x = np.asarray(values)
    require(x.ndim in (1, 2) and x.size > 0, name, x.shape, "must be (samples,) or (samples, columns)")
    if x.ndim == 1 and (np.issubdtype(x.dtype, np.integer) or x.dtype == bool):
        return _renumbered(x)
    columns = finite_columns(name, x)
    way_out = "Ask for fewer bins or give more samples."
    require(
        len(columns) >= bins, "bins", bins, f"must not exceed the {len(columns)} samples of {name}", way_out
    )
    if columns.shape[1] == 1 and how != "kmeans":
        return _quantiles(columns[:, 0], bins)
    if how == "quantile":
        raise LabError("how", how, f"takes one column, and {name} has {columns.shape[1]}", "Use 'kmeans'.")
    return _clusters(columns, bins, seed)


def normal_scores(values: npt.ArrayLike, *, name: str = "x") -> Floats:
    """(n, d) columns with their ranks turned into standard normal quantiles, ties sharing their mean rank.

    Undoes any increasing distortion of a Gaussian column (a Gaussian copula; Liu, Lafferty and Wasserman
    2009). Raises `LabError` for values that are not finite or a constant column.
    """
    from scipy.special import ndtri
    from scipy.stats import rankdata

    x = finite_columns(name, np.asarray(values))
    return np.asarray(ndtri(rankdata(x, axis=0) / (len(x) + 1.0)))


def finite_columns(name: str, values: npt.ArrayLike) -> Floats:
    """(n, d) float64. Raises `LabError` for NaN, infinities, no sample, or a column that is constant."""
    x = np.asarray(values)
    numeric = np.issubdtype(x.dtype, np.number) or x.dtype == bool
    require(bool(numeric), name, x.dtype, "must hold numbers", "Number its values first.")
    x = x.astype(float)
    x = x[:, None] if x.ndim == 1 else x.reshape(len(x), -1) if x.ndim > 2 else x
    require(x.ndim == 2 and x.size > 0, name, x.shape, "must be (samples, columns), none of them 0")
    require(bool(np.isfinite(x).all()), name, "NaN or infinite values", "must be finite")
    flat = np.flatnonzero(np.ptp(x, axis=0) == 0)
    if flat.size:
        shown = f"column {flat[0]}" + (f" and {flat.size - 1} more" if flat.size > 1 else "")
        raise LabError(name, shown, "must vary: a constant tells nothing", "Drop it, or see drop_constant().")
    return x


def drop_constant(values: npt.ArrayLike, *, name: str = "values") -> tuple[Floats, Codes]:
    """The columns that vary, and their numbers. Raises `LabError`, by that name, when none does."""
    x = np.asarray(values, dtype=float)
    x = x[:, None] if x.ndim == 1 else x.reshape(len(x), -1)
    kept = np.flatnonzero(np.ptp(x, axis=0) > 0)
    require(kept.size > 0, name, x.shape, "must hold a column that varies")
    return x[:, kept], kept


def labels(y: npt.ArrayLike) -> Codes:
    """(n,) class numbers from 0. Raises `LabError` for a constant label or one that is not a whole number."""
    target = np.asarray(y)
    require(target.ndim == 1 and target.size > 0, "y", target.shape, "must be (samples,)")
    kind = np.issubdtype(target.dtype, np.integer) or target.dtype == bool
    require(bool(kind), "y", target.dtype, "must hold class numbers")
    names, codes = np.unique(target, return_inverse=True)
    require(
        len(names) > 1, "y", f"always {names[0]}", "must hold at least two classes: a constant has no shares"
    )
    return codes.astype(np.intp)


def paired(**columns: npt.ArrayLike) -> int:
    """The common number of samples. Raises `LabError` when the sets are not paired, or are empty."""
    lengths = {name: len(np.asarray(values)) for name, values in columns.items()}
    way_out = "Keep the samples both modalities have, in one order."
    require(
        len(set(lengths.values())) == 1,
        ", ".join(lengths),
        lengths,
        "must be paired, sample by sample",
        way_out,
    )
    return whole("samples", next(iter(lengths.values())), at_least=1)


def generator(seed: int, *purpose: str) -> np.random.Generator:
    """The numpy stream of one purpose of one seed."""
    whole("seed", seed, at_least=0)
    return np.random.default_rng(derive(seed, "venn", *purpose))


def _quantiles(x: Floats, bins: int) -> Codes:
    from scipy.stats import rankdata

    place = (rankdata(x) - 0.5) / len(x) * bins
    return _renumbered(np.minimum(np.floor(place + 1e-9), bins - 1))


def _clusters(x: Floats, bins: int, seed: int) -> Codes:
    from sklearn.cluster import KMeans

    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    points, rows = np.unique(scaled, axis=0, return_inverse=True)
    if len(points) <= bins:
        return rows.reshape(-1).astype(np.intp)
    state = derive(seed, "venn", "kmeans") % 2**32
    return _renumbered(KMeans(bins, n_init=4, random_state=state).fit_predict(scaled))


def _renumbered(codes: npt.ArrayLike) -> Codes:
    return np.unique(codes, return_inverse=True)[1].astype(np.intp)
