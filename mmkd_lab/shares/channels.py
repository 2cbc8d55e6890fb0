"""Statistics of single channels: what each tells of the label, and what predicts it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.check import require

Floats = npt.NDArray[np.float64]

_RANK = 1e-12  # eigenvalues below this share of the largest are rounding
_OWN = 1e-4  # of its size; what a column has beyond the others below it is rounding
#: Degrees of freedom that a probe of all channels must leave. The null permutes residuals without a new fit,
#: so that its tails are those of a known residual variance: in noise (two classes, 5 to 100 channels, rate
#: 0.01) something is found on one side in 17 % of data sets with 5 degrees left, 9 % with 10, 4 to 9 % with
#: 20, 2 to 6 % with 30, and 2 to 4 % with 40 to 60.
FREEDOM = 40


@dataclass(frozen=True, eq=False)
class Effects:
    """What d channels tell about the label.

    Args:
        statistic: (d,) squared correlation with the label (all indicators together), on the scale of `null`.
        null: (P, d) the same under permutations of the label.
        variance: (d,) share of the label's variance, freed of what chance explains; may be negative.
    """

    statistic: Floats
    null: Floats
    variance: Floats


def independent(x: Floats) -> npt.NDArray[np.intp]:
    """The columns of x (n, d) that are no linear combination of those before them, to a 1e-4th of their size.

    A column given twice counts once, and of proportions that add up to one the last is none.
    """
    z = (x - x.mean(0)) / (x.std(0) * np.sqrt(len(x)))
    kept: list[int] = []
    basis = np.zeros((len(x), min(x.shape)))
    for i in range(x.shape[1]):
        known = basis[:, : len(kept)]
        rest = z[:, i] - known @ (known.T @ z[:, i])
        rest -= known @ (known.T @ rest)
        length = float(np.linalg.norm(rest))
        if length > _OWN and len(kept) < basis.shape[1]:
            basis[:, len(kept)] = rest / length
            kept.append(i)
    return np.array(kept, dtype=np.intp)


def label_effects(
    x: Floats, indicators: Floats, *, probe: bool, permutations: int, stream: np.random.Generator
) -> Effects:
    """Effects of the columns of x (n, d) on the label indicators (n, K).

    With `probe` a column counts by what it adds to all other columns in a linear probe (its squared
    semi-partial correlation), and the null permutes the residuals of the full probe (ter Braak 1992); else it
    counts alone, and the null permutes the label.

    Raises `LabError` when the probe leaves fewer than `FREEDOM` degrees of freedom.
    """
    x, y = x - x.mean(0), indicators - indicators.mean(0)
    n, total = len(x), float((y**2).sum())
    columns, rest, freedom = _own(x, y) if probe else (x / np.linalg.norm(x, axis=0), y, n - 1)
    explained = ((columns.T @ y) ** 2).sum(1)
    scale = freedom / (n - 1) / float((rest**2).sum())
    null = np.empty((permutations, x.shape[1]))
    for i in range(permutations):
        null[i] = ((columns.T @ rest[stream.permutation(n)]) ** 2).sum(1)
    left = float((rest**2).sum()) / freedom
    if not probe:  # what the column itself explains is not noise
        left_over = (total - explained) / max(n - 2, 1)
        return Effects(explained * scale, null * scale, (explained - left_over) / total)
    return Effects(explained * scale, null * scale * (n - 1) / freedom, (explained - left) / total)


def predicted_share(x: Floats, other: Floats) -> Floats:
    """(d,) adjusted R^2 of each column of x on all columns of the other modality.

    Raises `LabError` unless there are more samples than independent columns.
    """
    r2, rank = _explained(x - x.mean(0), _basis(other))
    return np.asarray(1.0 - (1.0 - r2) * (len(x) - 1.0) / (len(x) - rank - 1.0))


def prediction_null(x: Floats, other: Floats, *, permutations: int, stream: np.random.Generator) -> Floats:
    """(P, d) adjusted R^2 as in `predicted_share` with the pairs broken."""
    basis, centred = _basis(other), x - x.mean(0)
    drawn = np.stack([_explained(centred, basis[stream.permutation(len(x))])[0] for _ in range(permutations)])
    return np.asarray(1.0 - (1.0 - drawn) * (len(x) - 1.0) / (len(x) - basis.shape[1] - 1.0))


def canonical_columns(a: Floats, b: Floats) -> tuple[Floats, Floats, Floats]:
    """Both modalities in canonical coordinates (uncorrelated, unit variance), and the correlations.

    (n, r_a), (n, r_b), (min(r_a, r_b),): column i of one correlates with column i of the other and with
    nothing else there (Hotelling 1936). Raises `LabError` unless samples exceed columns.
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


def _own(x: Floats, y: Floats) -> tuple[Floats, Floats, int]:
    """Each column freed of all others and of unit length; the label freed of all columns; degrees of freedom.

    A column that the others repeat has nothing of its own and comes out as zeros.
    """
    u, values, vectors = _spectrum(x)
    freedom = len(x) - len(values) - 1
    require(
        freedom >= FREEDOM,
        "samples",
        len(x),
        f"must exceed the {len(values)} independent channels by more than {FREEDOM} for test='probe'",
        "Use test='marginal', fewer channels (principal components), or more samples.",
    )
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
    require(
        len(other) > len(values) + 1,
        "samples",
        len(other),
        f"must exceed the {len(values)} independent channels of a modality",
        "Give more samples, or fewer channels (principal components).",
    )
    return u


def _explained(centred: Floats, basis: Floats) -> tuple[Floats, int]:
    total = (centred**2).sum(0)
    return np.minimum(((basis.T @ centred) ** 2).sum(0) / total, 1.0), basis.shape[1]
