"""Statistics of single channels: what each tells of the label, what predicts it, and what chance would."""

from __future__ import annotations

import numpy as np

from mmkd_lab.core.check import require
from mmkd_lab.shares.samples import Bools, Codes, Floats

_RANK = 1e-12  # eigenvalues below this share of the largest are rounding
_OWN = 1e-4  # of its size; what a column has beyond the others below it is rounding
_COLLINEAR = 0.1  # of its variance; with less beyond the others (inflation factor 10) it is nearly a copy
#: Degrees of freedom that a probe of all channels must leave. The null permutes residuals without a new fit,
#: so that its tails are those of a known residual variance: in noise (two classes, 5 to 100 channels, rate
#: 0.01) something is found on one side in 17 % of data sets with 5 degrees left, 9 % with 10, 4 to 9 % with
#: 20, 2 to 6 % with 30, and 2 to 4 % with 40 to 60.
FREEDOM = 40


def independent(x: Floats) -> tuple[Floats, Codes, int]:
    """The columns of x (n, d) that leave-one-out can tell apart: they, their numbers, how many are reduced.

    A column that is a linear combination of those before it, to a 1e-4th of its size, is left out: one given
    twice counts once, and of proportions that add up to one the last is none. One with less than a tenth of
    its variance beyond those before it (a variance inflation factor above 10, the usual mark of collinearity;
    Marquardt 1970) is reduced to what it has of its own, for neither of two that are nearly one would be
    missed. What the columns span stays the same.
    """
    n, kept, reduced = len(x), list[int](), 0
    z = (x - x.mean(0)) / (x.std(0) * np.sqrt(n))
    basis, found = (np.zeros((n, min(x.shape))) for _ in range(2))
    for i in range(x.shape[1]):
        k = len(kept)
        rest = z[:, i] - basis[:, :k] @ (basis[:, :k].T @ z[:, i])
        rest -= basis[:, :k] @ (basis[:, :k].T @ rest)
        length = float(np.linalg.norm(rest))
        if length > _OWN and k < min(n - 1, len(basis.T)):
            basis[:, k] = rest / length
            alike = length**2 * (n - 1) / (n - 1 - k) < _COLLINEAR  # freed of what chance explains
            found[:, k], reduced = (basis[:, k], reduced + 1) if alike else (z[:, i], reduced)
            kept.append(i)
    return found[:, : len(kept)] * np.sqrt(n), np.array(kept, dtype=np.intp), reduced


def label_effects(
    x: Floats, indicators: Floats, *, probe: bool, permutations: int, stream: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    """What the columns of x (n, d) tell of the label indicators (n, K): statistic, null and variance.

    The statistic (d,) is the squared correlation with all indicators together, its null (P, d) the same under
    permutations; variance (d,) is the share of the label's, freed of what chance explains, maybe negative.

    With `probe` a column counts by what it adds to all other columns in a linear probe (its squared
    semi-partial correlation), and the null permutes the residuals of the full probe (ter Braak 1992); else it
    counts alone, and the null permutes the label. A probe must leave `FREEDOM` degrees of freedom.
    """
    x, y = x - x.mean(0), indicators - indicators.mean(0)
    n, total = len(x), float((y**2).sum())
    columns, rest, freedom = _own(x, y) if probe else (x / np.linalg.norm(x, axis=0), y, n - 1)
    explained = ((columns.T @ y) ** 2).sum(1)
    scale = freedom / (n - 1) / float((rest**2).sum())
    null = np.empty((permutations, x.shape[1]))
    for i in range(permutations):
        null[i] = ((columns.T @ rest[stream.permutation(n)]) ** 2).sum(1)
    if not probe:  # what the column itself explains is not noise
        left = (total - explained) / max(n - 2, 1)
        return explained * scale, null * scale, (explained - left) / total
    left = float((rest**2).sum()) / freedom
    return explained * scale, null * scale * (n - 1) / freedom, (explained - left) / total


def predicted_share(x: Floats, other: Floats) -> Floats:
    """(d,) adjusted R^2 of each column of x on all columns of the other modality."""
    return _adjusted(x - x.mean(0), _basis(other))


def prediction_null(x: Floats, other: Floats, *, permutations: int, stream: np.random.Generator) -> Floats:
    """(P, d) adjusted R^2 as in `predicted_share` with the pairs broken."""
    basis, centred = _basis(other), x - x.mean(0)
    return np.stack([_adjusted(centred, basis[stream.permutation(len(x))]) for _ in range(permutations)])


def canonical_columns(a: Floats, b: Floats) -> tuple[Floats, Floats, Floats]:
    """Both modalities in canonical coordinates (uncorrelated, unit variance), and the correlations.

    (n, r_a), (n, r_b), (min(r_a, r_b),): column i of one correlates with column i of the other and with
    nothing else there (Hotelling 1936).
    """
    one, two = _basis(a), _basis(b)
    u, correlations, vt = np.linalg.svd(one.T @ two)
    scale = np.sqrt(len(a))
    return one @ u * scale, two @ vt.T * scale, np.minimum(correlations, 1.0)


def canonical_threshold(
    a: Floats, b: Floats, *, permutations: int, quantile: float, stream: np.random.Generator
) -> float:
    """The first canonical correlation that broken pairs reach, at a quantile."""
    one, two = _basis(a), _basis(b)
    first = [np.linalg.norm(one[stream.permutation(len(a))].T @ two, 2) for _ in range(permutations)]
    return float(np.quantile(first, quantile))


def pooled_p_values(observed: Floats, null: Floats) -> Floats:
    """(m,) p-values of (m,) statistics against their (P, m) permuted values, of all of them together.

    Pooling needs statistics with one null distribution (squared correlations do) and gives p-values down to
    1 / (P m + 1).
    """
    ordered = np.sort(null, axis=None)
    above = ordered.size - np.searchsorted(ordered, observed, side="left")
    return np.asarray((1.0 + above) / (1.0 + ordered.size))


def discoveries(p: Floats, *, rate: float) -> Bools:
    """(m,) True where a p-value survives at a false discovery rate (Benjamini and Hochberg 1995)."""
    ordered = np.sort(p)
    passed = ordered[ordered <= rate * np.arange(1, len(p) + 1) / max(len(p), 1)]
    return np.asarray(p <= passed.max(initial=-1.0))


def chance(explained: float, left: float, *, ranks: int, freedom: int, outputs: int) -> float:
    """How often chance explains as much: the p-value of an F test.

    `ranks` independent predictors explain a sum of squares of `outputs` independent columns and leave one
    with `freedom` degrees of freedom per column. With several columns this is the pseudo-F of McArdle and
    Anderson 2001, which takes their residuals for uncorrelated and equally large.
    """
    from scipy.special import fdtrc

    if left <= 0:
        return 0.0
    return float(fdtrc(ranks * outputs, freedom * outputs, max(explained, 0.0) / left * freedom / ranks))


def together(x: Floats, indicators: Floats) -> float:
    """How often chance explains as much of the label indicators (n, K) as all columns of x (n, d) do."""
    basis, y = _basis(x), indicators - indicators.mean(0)
    (n, rank), explained = basis.shape, float(((basis.T @ y) ** 2).sum())
    left = float((y**2).sum()) - explained
    return chance(explained, left, ranks=rank, freedom=n - 1 - rank, outputs=y.shape[1] - 1)


def _own(x: Floats, y: Floats) -> tuple[Floats, Floats, int]:
    """Each column freed of all others and of unit length; the label freed of all columns; degrees of freedom.

    A column that the others repeat has nothing of its own and comes out as zeros.
    """
    u, values, vectors = _spectrum(x)
    freedom = len(x) - len(values) - 1
    rule = f"must exceed the {len(values)} independent channels by more than {FREEDOM} for test='probe'"
    way_out = "Use Criteria(test='marginal'), fewer channels (principal components), or more samples."
    require(freedom >= FREEDOM, "samples", len(x), rule, way_out)
    own = u @ (vectors / values).T  # dual vectors: column i is orthogonal to every other channel
    redundant = 1.0 - (vectors**2).sum(1) > 1e-6  # outside the row space: other channels repeat it
    length = np.linalg.norm(own, axis=0)
    own = np.where(redundant, 0.0, own / np.where(length > 0, length, 1.0))
    return own, y - u @ (u.T @ y), freedom


def _spectrum(centred: Floats) -> tuple[Floats, Floats, Floats]:
    """Left singular vectors (n, r), singular values (r,) and right ones (d, r) of the standardised columns.

    From the Gram matrix, which is much smaller than the columns; it cannot tell ranks below 1e-6.
    """
    z = centred / centred.std(0)
    squares, vectors = np.linalg.eigh(z.T @ z)
    kept = squares > _RANK * squares[-1]
    values, vectors = np.sqrt(squares[kept]), vectors[:, kept]
    return z @ (vectors / values), values, vectors


def _basis(other: Floats) -> Floats:
    """(n, r) orthonormal basis of the centred columns."""
    u, values, _ = _spectrum(other - other.mean(0))
    rule = f"must exceed the {len(values)} independent channels of a modality"
    way_out = "Give more samples, or fewer channels (principal components)."
    require(len(other) > len(values) + 1, "samples", len(other), rule, way_out)
    return u


def _adjusted(centred: Floats, basis: Floats) -> Floats:
    n, rank = basis.shape
    r2 = np.minimum(((basis.T @ centred) ** 2).sum(0) / (centred**2).sum(0), 1.0)
    return np.asarray(1.0 - (1.0 - r2) * (n - 1.0) / (n - rank - 1.0))
