"""Shares by commonality analysis: which part of the explained variance of the label each modality owns.

With R2 the (adjusted) share of the label's variance that a linear probe explains: shared = R2_a + R2_b -
R2_ab, a's own = R2_ab - R2_b, b's own = R2_ab - R2_a (Newton and Spurrell 1967; Seibold and McPhee 1979).
Linear projections on independent latents add up, whatever the label, so in Gaussian worlds this estimates the
declared shares by energy without bias. What a linear probe cannot see (synergy, an encoder that is not
linear) it does not report; products of columns are searched for synergy, and columns may be turned into
normal scores first.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.check import LabError, require
from mmkd_lab.shares.channels import chance
from mmkd_lab.shares.samples import Codes, Floats, Samples, generator
from mmkd_lab.shares.shares import ModalityShares, from_masses
from mmkd_lab.shares.synergy import product_variance

_GROUPS = 20  # of the jackknife
_RANK = 1e-9  # eigenvalues of a correlation matrix below this are rounding
_LEVEL = 0.05  # explained variance that chance reaches more often than this is not shown to be there


def commonality_shares(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    ranks: bool = False,
    products: bool = True,
    level: float = 0.95,
    subjects: npt.ArrayLike | None = None,
    seed: int = 0,
) -> ModalityShares:
    """Shares of two paired modalities by explained variance.

    Where an F test at 5 % does not show that both together explain anything, nothing is decisive (but for the
    products) and the shares are undefined: those of noise mean nothing.

    Args:
        a: (n, d_a) columns of modality a: inputs, features or predictions.
        b: (n, d_b) columns of modality b.
        y: (n,) class numbers; with K > 2 the K indicators are explained together.
        ranks: turn every column into normal scores first, which undoes increasing distortions.
        products: search products of a column of a and one of b for synergy (`synergy.product_variance`).
        level: of the intervals, by a jackknife over 20 groups of samples.
        subjects: (n,) names of what samples belong to (a speaker), which then stay in one group together; as
            many groups as subjects if these are fewer. The F test takes samples as independent all the same.
        seed: of the groups and of the search.

    unobserved is given for two classes without synergy: 1 - rho^2, with rho the biserial correlation of the
    label with its best linear probe, which takes the label for a thresholded Gaussian score.

    Raises `LabError` for unpaired sets, constant columns or label, fewer samples than columns, fewer than
    three subjects, wrong options.
    """
    given = Samples.of(a, b, y, subjects=subjects, ranks=ranks)
    sides, target, units, n = given.sides, given.target, given.units, len(given.target)
    rule = f"must be at least {2 * _GROUPS}, two for each group of the jackknife"
    require(n >= 2 * _GROUPS, "samples", n, rule)
    classes = int(target.max()) + 1
    # Cross-products of [1, a, b, label indicators], by group.
    rows = np.column_stack([np.ones(n), *sides, np.eye(classes)[target]])
    drawn = generator(seed, "groups").permutation(len(units))
    held = [
        np.concatenate([units[i] for i in some]) for some in np.array_split(drawn, min(_GROUPS, len(units)))
    ]
    parts = np.stack([rows[some].T @ rows[some] for some in held])
    total, ends = parts.sum(0), np.cumsum([1, *(x.shape[1] for x in sides), classes])
    where = [np.arange(start, end) for start, end in pairwise(ends)]

    pair = product_variance(*sides, target, seed=seed) if products else 0.0
    masses = _masses(total, where, pair)
    replicates = np.stack([_masses(total - part, where, pair) for part in parts])
    r2, rank = _explained(_centred(total), np.concatenate(where[:2]), where[2], n)
    p = chance(r2, 1.0 - r2, ranks=rank, freedom=n - rank - 1, outputs=classes - 1)
    notes = _suppression(masses)
    if p > _LEVEL:
        masses[:3], notes = 0.0, (f"What both explain is not shown to exceed chance (p = {p:.2f}).",)
    if pair > 0 or classes > 2:
        masses, replicates = masses[:4], replicates[:, :4]
    return from_masses(
        masses,
        method="commonality" + (" of normal scores" if ranks else ""),
        replicates=replicates,
        kind="jackknife",
        level=level,
        n=n,
        sees_synergy=products,
        no_interval=("synergy",),  # the search for products is not repeated without each group
        notes=notes + given.too_sure,
    )


def _masses(cross: Floats, where: list[Codes], pair: float) -> Floats:
    """(5,) a's own, b's own, shared, synergy, and the unobserved share of a Gaussian score's variance."""
    one, two, label = where
    n, s = float(cross[0, 0]), _centred(cross)
    adjusted = []  # R^2 (Ezekiel 1930) of the label indicators on a, b and both, whatever their rank
    for seen in (one, two, np.concatenate([one, two])):
        r2, rank = _explained(s, seen, label, n)
        adjusted.append(1.0 - (1.0 - r2) * (n - 1.0) / (n - rank - 1.0))
    a, b, both = adjusted
    score = 1.0
    if len(label) == 2:  # R^2 of a thresholded normal score on itself: phi(t)^2 / (p (1 - p)), p = P(Y = 0)
        from scipy.special import ndtri

        rare = float(cross[0, label[0]] / n)
        density = np.exp(-0.5 * float(ndtri(rare)) ** 2) / np.sqrt(2 * np.pi)
        score = float(density**2 / (rare * (1 - rare)))
    return np.array([both - b, both - a, a + b - both, pair, max(score - both, 0.0)])


def _centred(cross: Floats) -> Floats:
    return np.asarray(cross - np.outer(cross[0], cross[0]) / cross[0, 0])


def _explained(s: Floats, seen: Codes, label: Codes, n: float) -> tuple[float, int]:
    """R^2 of the label indicators on the seen columns, and how many of these are independent."""
    scale = np.sqrt(np.maximum(np.diag(s)[seen], 0.0))  # rounding may leave a constant below 0
    if (scale**2 <= _RANK * n).any():
        rule = "is constant once one group of samples is left out"
        raise LabError("groups", "a column", rule, "Drop the column.")
    values, vectors = np.linalg.eigh(s[np.ix_(seen, seen)] / np.outer(scale, scale))
    kept = values > _RANK * len(seen)
    rank = int(kept.sum())
    way_out = "Give more samples, or fewer columns (principal components, predictions)."
    require(n > rank + 1, "samples", int(n), f"must exceed the {rank} independent columns", way_out)
    part = vectors[:, kept].T @ (s[np.ix_(seen, label)] / scale[:, None])
    r2 = float((part**2 / values[kept, None]).sum()) / float(np.trace(s[np.ix_(label, label)]))
    return min(r2, 1.0), rank


def _suppression(masses: Floats) -> tuple[str, ...]:
    worst = float(masses[:3].min())
    if worst > -0.02 * float(np.abs(masses[:3]).sum()):
        return ()
    which = ("a's own part", "b's own part", "the shared part")[int(masses[:3].argmin())]
    return (f"Suppression: {which} of the explained variance is negative ({worst:.3f}) and counts as 0.",)
