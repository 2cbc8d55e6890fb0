"""Samples of two modalities: columns, labels, subjects; bins and normal scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.check import LabError, require, whole
from mmkd_lab.core.seed import derive

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.intp]

#: With fewer subjects than this nothing can be said of their spread.
LEAST = 3


@dataclass(frozen=True, eq=False)
class Samples:
    """Two modalities of n paired samples, with their labels, and the units that are resampled together.

    Args:
        sides: (n, d_a) columns of a and (n, d_b) of b, of mean 0 and deviation 1.
        target: (n,) class numbers from 0.
        units: the samples of each subject, or each sample by itself.
        too_sure: the note of tests that take samples as independent where labels belong to subjects.
    """

    sides: tuple[Floats, Floats]
    target: Codes
    units: list[Codes]
    too_sure: tuple[str, ...]

    @classmethod
    def of(
        cls,
        a: npt.ArrayLike,
        b: npt.ArrayLike,
        y: npt.ArrayLike,
        *,
        subjects: npt.ArrayLike | None,
        ranks: bool,
    ) -> Samples:
        """What was given, checked; with `ranks` as normal scores.

        Columns are standardised: a change of units changes nothing that a modality tells.
        """
        n, target = paired(a=a, b=b, y=y), labels(y)
        columns = normal_scores if ranks else finite_columns
        codes, why = subject_codes(subjects, n), "tests that take samples as independent are too sure"
        sure = settled(codes, target) is not None
        notes = (f"All samples of a subject have one label: {why}.",) if sure else ()
        one, two = (_standard(columns(x, name=name)) for name, x in (("a", a), ("b", b)))
        return cls((one, two), target, members(codes, n), notes)


def discretise(values: npt.ArrayLike, *, bins: int, seed: int = 0, name: str = "x") -> Codes:
    """(n,) bin numbers from 0 for n samples.

    Args:
        values: (n,) whole numbers, which are only renumbered; (n,) real numbers; or (n, d) features or
            predictions. Rows of probabilities are best given as log-odds.
        bins: the number of bins; ties may leave fewer. One column is cut into bins of equal mass (tied values
            share the bin of their mean rank, so that a column that varies never falls into one bin), several
            are clustered by k-means.
        seed: of the clustering.
        name: what error messages call the values.

    Raises `LabError` for fewer samples than bins, or a constant.
    """
    whole("bins", bins, at_least=2)
    x = np.asarray(values)
    if x.ndim == 1 and x.size and (np.issubdtype(x.dtype, np.integer) or x.dtype == bool):
        return _renumbered(x)
    columns = finite_columns(x, name=name)
    rule, way_out = f"must not exceed the {len(x)} samples of {name}", "Ask for fewer bins."
    require(len(x) >= bins, "bins", bins, rule, way_out)
    if columns.shape[1] == 1:
        from scipy.stats import rankdata

        place = (rankdata(columns[:, 0]) - 0.5) / len(x) * bins
        return _renumbered(np.minimum(np.floor(place + 1e-9), bins - 1))
    from sklearn.cluster import KMeans

    scaled = (columns - columns.mean(axis=0)) / columns.std(axis=0)
    points, rows = np.unique(scaled, axis=0, return_inverse=True)
    if len(points) <= bins:
        return rows.reshape(-1).astype(np.intp)
    state = derive(seed, "venn", "kmeans") % 2**32
    return _renumbered(KMeans(bins, n_init=4, random_state=state).fit_predict(scaled))


def normal_scores(values: npt.ArrayLike, *, name: str = "x") -> Floats:
    """(n, d) columns with their ranks turned into standard normal quantiles, ties sharing their mean rank.

    Undoes any increasing distortion of a Gaussian column (a Gaussian copula; Liu, Lafferty and Wasserman
    2009). Raises `LabError` for values that are not finite or a constant column.
    """
    from scipy.special import ndtri
    from scipy.stats import rankdata

    x = finite_columns(values, name=name)
    return np.asarray(ndtri(rankdata(x, axis=0) / (len(x) + 1.0)))


def finite_columns(values: npt.ArrayLike, *, name: str = "x") -> Floats:
    """(n, d) float64. Raises `LabError` for NaN, infinities, no sample, or a column that is constant."""
    given = np.asarray(values)
    numeric = np.issubdtype(given.dtype, np.number) or given.dtype == bool
    require(numeric, name, given.dtype, "must hold numbers", "Number its values first.")
    require(given.size > 0, name, given.shape, "must be (samples, columns), none of them 0")
    x = given.reshape(len(given), -1).astype(float)
    require(bool(np.isfinite(x).all()), name, "NaN or infinite values", "must be finite")
    flat = np.flatnonzero(np.ptp(x, axis=0) == 0)
    if flat.size:
        shown = f"column {flat[0]}" + (f" and {flat.size - 1} more" if flat.size > 1 else "")
        raise LabError(name, shown, "must vary: a constant tells nothing", "Drop it, or see drop_constant().")
    return x


def _standard(x: Floats) -> Floats:
    """Columns that vary, in units of their deviation from their mean."""
    x = x / np.abs(x).max(0)  # or squares might overflow
    return np.asarray((x - x.mean(0)) / x.std(0))


def drop_constant(values: npt.ArrayLike, *, name: str = "values") -> Floats:
    """The columns that vary. Raises `LabError`, by that name, when none does."""
    x = np.asarray(values, dtype=float)
    x = x.reshape(len(x), -1)
    kept = np.ptp(x, axis=0) > 0
    require(bool(kept.any()), name, x.shape, "must hold a column that varies")
    return x[:, kept]


def labels(y: npt.ArrayLike) -> Codes:
    """(n,) class numbers from 0. Raises `LabError` for a constant label or one that is not a whole number."""
    target = np.asarray(y)
    require(target.ndim == 1, "y", target.shape, "must be (samples,)")
    kind = np.issubdtype(target.dtype, np.integer) or target.dtype == bool
    require(kind, "y", target.dtype, "must hold class numbers")
    names, codes = np.unique(target, return_inverse=True)
    rule = "must hold at least two classes: a constant has no shares"
    require(len(names) > 1, "y", f"always {names[0]}", rule)
    return codes.astype(np.intp)


def paired(**columns: npt.ArrayLike) -> int:
    """The common number of samples. Raises `LabError` when the sets are not paired, or are empty."""
    lengths = {name: len(np.asarray(values)) for name, values in columns.items()}
    way_out = "Keep the samples both modalities have, in one order."
    same = len(set(lengths.values())) == 1
    require(same, ", ".join(lengths), lengths, "must be paired, sample by sample", way_out)
    return whole("samples", next(iter(lengths.values())))


def generator(seed: int, *purpose: str) -> np.random.Generator:
    """The numpy stream of one purpose of one seed."""
    whole("seed", seed, at_least=0)
    return np.random.default_rng(derive(seed, "venn", *purpose))


# Samples of one subject (a speaker, a patient) are not independent: they are resampled together. An interval
# that takes them as independent is too narrow by the square root of the design effect 1 + (m - 1) rho, m
# samples a subject with correlation rho (Kish 1965, section 5.4).


def subject_codes(subjects: npt.ArrayLike | None, n: int) -> Codes | None:
    """(n,) subject numbers from 0, or None when every sample stands for itself.

    Raises `LabError` for a column of another length, or fewer than three subjects.
    """
    if subjects is None:
        return None
    names = np.asarray(subjects)
    require(names.shape == (n,), "subjects", names.shape, f"must name one subject per sample, ({n},)")
    found, codes = np.unique(names, return_inverse=True)
    shown = f"{len(found)} subject{'s' if len(found) > 1 else ''}"
    rule = f"must be at least {LEAST} for an interval over subjects"
    require(len(found) >= LEAST, "subjects", shown, rule, "Give subjects=None to resample samples.")
    return codes.astype(np.intp)


def settled(codes: Codes | None, target: Codes) -> Codes | None:
    """(S,) the label of each subject where all its samples have one label; None where some do not.

    A test that shuffles single samples is then too sure: what merely tells subjects apart seems to tell it.
    """
    if codes is None:
        return None
    one_each = target[np.unique(codes, return_index=True)[1]]
    return one_each if bool((one_each[codes] == target).all()) else None


def members(codes: Codes | None, n: int) -> list[Codes]:
    """The samples of each unit that is resampled: of each subject, or each sample by itself."""
    if codes is None:
        return list(np.arange(n)[:, None])
    return np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])


def _renumbered(codes: npt.ArrayLike) -> Codes:
    return np.unique(codes, return_inverse=True)[1].astype(np.intp)
