"""Synergy that shows in products: a column of a times a column of b tells what neither tells alone (XOR).

A product of columns that both modalities share tells nothing beyond them: where a_1 and b_1 are one latent,
a_1 b_1 is its square, and a modality that knows its own squares needs no partner for it. What a product has
of this kind, a_i times b_j as a predicts it and b_j times a_i as b predicts it, is taken off first.
"""

from __future__ import annotations

import numpy as np

from mmkd_lab.shares.channels import chance, discoveries, pooled_p_values
from mmkd_lab.shares.samples import Codes, Floats, generator

_MOST = 40  # products that enter the regression, the strongest first
_SAMPLES = 20  # of a half that each product needs there
_RATE, _PERMUTATIONS = 0.05, 20  # of false discoveries; of the label
_LEVEL = 0.05  # what is explained by products must be rarer than this under chance to count
_NOTHING = 1e-12


def product_variance(a: Floats, b: Floats, y: Codes, *, seed: int = 0) -> float:
    """Share of the label's variance explained by products a_i b_j beyond what either modality has of them.

    Products are chosen on one half of the samples (permutation test of each, its null pooled over all of
    them, false discovery rate 0.05) and measured on the other (adjusted R^2 beyond the columns and their own
    products, 0 unless an F test passes at 5 %), both ways round; the mean is returned. Linear, so that XOR of
    signs shows with 2 / pi of its correlation, and synergy of other shapes may not show at all.

    Args:
        a: (n, d_a) columns.
        b: (n, d_b) columns.
        y: (n,) class numbers from 0.
        seed: of the halves and permutations.
    """
    stream = generator(seed, "products")
    order = stream.permutation(len(y))
    halves = order[: len(y) // 2], order[len(y) // 2 :]
    sets = a, b, np.eye(int(y.max()) + 1)[y]
    found = [_one_way(*sets, *ways, stream) for ways in (halves, halves[::-1])]
    return max(float(np.mean(found)), 0.0)


def _one_way(
    a: Floats, b: Floats, indicators: Floats, chosen: Codes, measured: Codes, stream: np.random.Generator
) -> float:
    one, two, rest = _ready(a, b, indicators, chosen)
    if min(float((rest**2).mean()), float(np.ptp(indicators[measured], axis=0).max())) < _NOTHING:
        return 0.0  # a half with one class, or with a label that the columns settle
    strengths = _strengths(one, two, rest)
    null = [_strengths(one, two, rest[stream.permutation(len(rest))]).ravel() for _ in range(_PERMUTATIONS)]
    hits = np.flatnonzero(discoveries(pooled_p_values(strengths.ravel(), np.stack(null)), rate=_RATE))
    hits = hits[np.argsort(-strengths.ravel()[hits])][: min(_MOST, len(measured) // _SAMPLES)]
    if hits.size == 0:
        return 0.0
    i, j = np.unravel_index(hits, strengths.shape)
    to_a, to_b = _fit(two, one[:, i]), _fit(one, two[:, j])
    one, two, y = (x[measured] - x[measured].mean(0) for x in (a, b, indicators))
    own = np.column_stack([one, two, one[:, i] * (one @ to_b), (two @ to_a) * two[:, j]])
    own = own - own.mean(0)
    known = _orthonormal(own, np.linalg.norm(own, axis=0))
    products = one[:, i] * two[:, j]
    products = products - products.mean(0)
    added = _orthonormal(products - known @ (known.T @ products), np.linalg.norm(products, axis=0))
    rest, rank = y - known @ (known.T @ y), added.shape[1]
    freedom = len(measured) - 1 - known.shape[1] - rank
    if rank == 0 or freedom < 1:
        return 0.0
    explained = float(((added.T @ rest) ** 2).sum())
    left = float((rest**2).sum()) - explained
    if chance(explained, left, ranks=rank, freedom=freedom, outputs=y.shape[1] - 1) > _LEVEL:
        return 0.0
    return float((explained - left * rank / freedom) / (y**2).sum())


def _fit(x: Floats, y: Floats) -> Floats:
    """(d, m) least-squares coefficients of the columns of y (n, m) on those of x (n, d)."""
    return np.asarray(np.linalg.lstsq(x, y, rcond=1e-9)[0], dtype=float)


def _orthonormal(columns: Floats, length: Floats) -> Floats:
    """(n, r) basis of the columns, each taken at a length."""
    basis, values, _ = np.linalg.svd(columns / np.where(length > 0, length, 1.0), full_matrices=False)
    return np.asarray(basis[:, values > 1e-6])


def _ready(a: Floats, b: Floats, indicators: Floats, rows: Codes) -> tuple[Floats, Floats, Floats]:
    """Centred columns of some rows, and what a linear fit of both and their squares leaves of the label."""
    one, two, target = (x[rows] - x[rows].mean(0) for x in (a, b, indicators))
    both = np.column_stack([one, two])
    if 4 * both.shape[1] < len(rows):  # squares take as many degrees of freedom again
        both = np.column_stack([both, both**2 - (both**2).mean(0)])
    return one, two, target - both @ _fit(both, target)


def _strengths(one: Floats, two: Floats, rest: Floats) -> Floats:
    """(d_a, d_b) squared correlation of each product with what is left, summed over the indicators."""
    n = len(rest)
    spread = ((one**2).T @ two**2) / n - (one.T @ two / n) ** 2
    squares = sum(((one * r[:, None]).T @ two / n) ** 2 for r in (rest - rest.mean(0)).T)
    return np.asarray(squares / np.maximum(spread, 1e-12) / float((rest**2).sum() / n))
