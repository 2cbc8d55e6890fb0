"""Synergy that shows in products: a column of a times a column of b tells what neither tells alone (XOR)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mmkd_lab.base.check import real, whole
from mmkd_lab.venn.discrete import Codes, generator
from mmkd_lab.venn.testing import discoveries, pooled_p_values

Floats = npt.NDArray[np.float64]

#: No more products than this enter the regression, the strongest first.
_MOST = 40


def product_variance(
    a: Floats, b: Floats, y: Codes, *, rate: float = 0.05, permutations: int = 20, seed: int = 0
) -> float:
    """Share of the label's variance explained by products a_i b_j beyond the columns themselves.

    Products are chosen on one half of the samples (permutation test of each, false discovery rate `rate`) and
    measured on the other (adjusted R^2), both ways round; the mean is returned, 0 when nothing is found.
    Linear, so that XOR of signs shows with 2 / pi of its correlation, and synergy of other shapes may not
    show at all.

    Args:
        a: (n, d_a) columns.
        b: (n, d_b) columns.
        y: (n,) class numbers from 0.
        rate: of false discoveries.
        permutations: of the label; the null is pooled over all products.
        seed: of the halves and permutations.

    Raises `LabError` for wrong options.
    """
    real("rate", rate, above=0.0, at_most=0.5)
    whole("permutations", permutations)
    stream = generator(seed, "products")
    order = stream.permutation(len(y))
    halves = order[: len(y) // 2], order[len(y) // 2 :]
    indicators = np.eye(int(y.max()) + 1)[y]
    found = [
        _one_way(a, b, indicators, chosen, measured, rate, permutations, stream)
        for chosen, measured in (halves, halves[::-1])
    ]
    return max(float(np.mean(found)), 0.0)


def _one_way(
    a: Floats,
    b: Floats,
    indicators: Floats,
    chosen: Codes,
    measured: Codes,
    rate: float,
    permutations: int,
    stream: np.random.Generator,
) -> float:
    one, two, rest = _ready(a, b, indicators, chosen)
    strengths = _strengths(one, two, rest)
    null = np.stack([_strengths(one, two, rest[stream.permutation(len(rest))]) for _ in range(permutations)])
    p = pooled_p_values(strengths.ravel(), null.reshape(permutations, -1))
    hits = np.flatnonzero(discoveries(p, rate=rate))
    if hits.size == 0:
        return 0.0
    hits = hits[np.argsort(-strengths.ravel()[hits])][: min(_MOST, len(measured) // 10)]
    i, j = np.unravel_index(hits, strengths.shape)
    one, two, rest = _ready(a, b, indicators, measured)
    columns = one[:, i] * two[:, j]
    columns = columns - columns.mean(0)
    basis, values, _ = np.linalg.svd(columns, full_matrices=False)
    basis = basis[:, values > 1e-9 * values[0]]
    total = float(((indicators[measured] - indicators[measured].mean(0)) ** 2).sum())
    explained = float(((basis.T @ rest) ** 2).sum())
    left = float((rest**2).sum()) - explained
    freedom = len(measured) - 1 - basis.shape[1]
    return float((explained - left * basis.shape[1] / freedom) / total)


def _ready(a: Floats, b: Floats, indicators: Floats, rows: Codes) -> tuple[Floats, Floats, Floats]:
    """Centred columns of some rows, and what a linear fit of both leaves of the label."""
    one, two, target = (x[rows] - x[rows].mean(0) for x in (a, b, indicators))
    both = np.column_stack([one, two])
    fit, *_ = np.linalg.lstsq(both, target, rcond=1e-9)
    return one, two, target - both @ fit


def _strengths(one: Floats, two: Floats, rest: Floats) -> Floats:
    """(d_a, d_b) squared correlation of each product with what is left, summed over the indicators."""
    n = len(rest)
    spread = ((one**2).T @ two**2) / n - (one.T @ two / n) ** 2
    squares = sum(((one * r[:, None]).T @ two / n) ** 2 for r in (rest - rest.mean(0)).T)
    return np.asarray(squares / np.maximum(spread, 1e-12) / float((rest**2).sum() / n))
