"""Shares by commonality analysis: which part of the explained variance of the label each modality owns.

With R2 the (adjusted) share of the label's variance that a linear probe explains: shared = R2_a + R2_b -
R2_ab, a's own = R2_ab - R2_b, b's own = R2_ab - R2_a (Newton and Spurrell 1967; Seibold and McPhee 1979).
Linear projections on independent latents add up, whatever the label, so in Gaussian worlds this estimates the
declared shares by energy without bias. What a linear probe cannot see (synergy, an encoder that is not
linear) it does not report; products of columns are searched for synergy, and columns may be turned into
normal scores first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.check import LabError, real, require, whole
from mmkd_lab.shares.discrete import finite_columns, generator, labels, normal_scores, paired
from mmkd_lab.shares.shares import ModalityShares, from_masses
from mmkd_lab.shares.subjects import members, subject_codes, too_sure
from mmkd_lab.shares.synergy import product_variance
from mmkd_lab.shares.testing import chance

Floats = npt.NDArray[np.float64]
Columns = npt.NDArray[np.intp]

_RANK = 1e-9  # eigenvalues of a correlation matrix below this are rounding
_LEVEL = 0.05  # explained variance that chance reaches more often than this is not shown to be there


def commonality_shares(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    ranks: bool = False,
    products: bool = True,
    groups: int = 20,
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
        groups: of the jackknife that gives the intervals.
        level: of the intervals.
        subjects: (n,) names of what samples belong to (a speaker), which then stay in one group together; as
            many groups as subjects if these are fewer. The F test takes samples as independent all the same.
        seed: of the groups and of the search.

    unobserved is given for two classes without synergy: 1 - rho^2, with rho the biserial correlation of the
    label with its best linear probe, which takes the label for a thresholded Gaussian score.

    Raises:
        LabError: unpaired sets, constant columns or label, fewer samples than columns, fewer than three
            subjects, wrong options.
    """
    n = paired(a=a, b=b, y=y)
    whole("groups", groups, at_least=3)
    real("level", level, above=0.0, at_most=0.9999)
    target = labels(y)
    one, two = finite_columns("a", a), finite_columns("b", b)
    if ranks:
        one, two = normal_scores(one, name="a"), normal_scores(two, name="b")
    require(
        n >= 2 * groups, "groups", groups, f"must leave two samples each, of {n}", "Ask for fewer groups."
    )
    codes = subject_codes(subjects, n)
    units = members(codes, n)
    moments = _Moments.of(one, two, target, units=units, groups=min(groups, len(units)), seed=seed)
    pair = product_variance(one, two, target, seed=seed) if products else 0.0
    full = _masses(moments.total, moments, pair)
    replicates = np.stack([_masses(moments.total - part, moments, pair) for part in moments.parts])
    p = _rarity(moments)
    notes = _suppression(full) if p <= _LEVEL else ()
    if p > _LEVEL:
        full[:3], notes = 0.0, (f"What both explain is not shown to exceed chance (p = {p:.2f}).",)
    notes += too_sure(codes, target)
    if pair > 0 or moments.classes > 2:
        full, replicates = full[:4], replicates[:, :4]
    shares = from_masses(
        full,
        method="commonality" + (" of normal scores" if ranks else ""),
        replicates=replicates,
        kind="jackknife",
        level=level,
        n=n,
        sees_synergy=products,
        notes=notes,
    )
    # The search for products is not repeated without each group, so nothing is known of its spread.
    known = {name: ends for name, ends in shares.intervals.items() if name != "synergy"}
    return replace(shares, intervals=known)


@dataclass(frozen=True, eq=False)
class _Moments:
    """Cross-products of [1, a, b, label indicators], in all and by group."""

    total: Floats
    parts: Floats
    a: Columns
    b: Columns
    label: Columns

    @property
    def classes(self) -> int:
        return len(self.label)

    @classmethod
    def of(
        cls, a: Floats, b: Floats, y: Columns, *, units: list[Columns], groups: int, seed: int
    ) -> _Moments:
        k = int(y.max()) + 1
        centred = [(x - x.mean(0)) / x.std(0) for x in (a, b)]
        rows = np.column_stack([np.ones(len(y)), *centred, np.eye(k)[y]])
        order = generator(seed, "groups").permutation(len(units))
        held = [np.concatenate([units[i] for i in some]) for some in np.array_split(order, groups)]
        parts = np.stack([rows[some].T @ rows[some] for some in held])
        ends = np.cumsum([1, a.shape[1], b.shape[1], k])
        where = [np.arange(start, end) for start, end in pairwise(ends)]
        return cls(parts.sum(0), parts, *where)


def _masses(cross: Floats, moments: _Moments, pair: float) -> Floats:
    """(5,) a's own, b's own, shared, synergy, and the unobserved share of a Gaussian score's variance."""
    n = cross[0, 0]
    s = cross - np.outer(cross[0], cross[0]) / n
    y = moments.label
    a, b, both = (
        _adjusted(s, seen, y, n) for seen in (moments.a, moments.b, np.concatenate([moments.a, moments.b]))
    )
    rare = cross[0, y[0]] / n
    score = _biserial(float(rare)) if len(y) == 2 else 1.0
    return np.array([both - b, both - a, a + b - both, pair, max(score - both, 0.0)])


def _rarity(moments: _Moments) -> float:
    """How often chance makes both modalities explain as much of the label."""
    n, cross = float(moments.total[0, 0]), moments.total
    s = cross - np.outer(cross[0], cross[0]) / n
    r2, rank = _explained(s, np.concatenate([moments.a, moments.b]), moments.label, n)
    freedom = int(n) - rank - 1
    return chance(r2, 1.0 - r2, ranks=rank, freedom=freedom, outputs=moments.classes - 1)


def _adjusted(s: Floats, seen: Columns, label: Columns, n: float) -> float:
    """Adjusted R^2 (Ezekiel 1930) of the label indicators on the seen columns, whatever their rank."""
    r2, rank = _explained(s, seen, label, n)
    return 1.0 - (1.0 - r2) * (n - 1.0) / (n - rank - 1.0)


def _explained(s: Floats, seen: Columns, label: Columns, n: float) -> tuple[float, int]:
    """R^2 of the label indicators on the seen columns, and how many of these are independent."""
    scale = np.sqrt(np.maximum(np.diag(s)[seen], 0.0))  # rounding may leave a constant below 0
    if (scale**2 <= _RANK * n).any():
        raise LabError(
            "groups", "a column", "is constant once one group of samples is left out", "Drop the column."
        )
    values, vectors = np.linalg.eigh(s[np.ix_(seen, seen)] / np.outer(scale, scale))
    kept = values > _RANK * len(seen)
    rank = int(kept.sum())
    way_out = "Give more samples, or fewer columns (principal components, predictions)."
    require(n > rank + 1, "samples", int(n), f"must exceed the {rank} independent columns", way_out)
    part = vectors[:, kept].T @ (s[np.ix_(seen, label)] / scale[:, None])
    r2 = float((part**2 / values[kept, None]).sum()) / float(np.trace(s[np.ix_(label, label)]))
    return min(r2, 1.0), rank


def _biserial(rare: float) -> float:
    """The R^2 of a thresholded standard normal score on itself: phi(t)^2 / (p (1 - p)), at P(Y = 0) = p."""
    from scipy.special import ndtri

    density = np.exp(-0.5 * float(ndtri(rare)) ** 2) / np.sqrt(2 * np.pi)
    return float(density**2 / (rare * (1 - rare)))


def _suppression(masses: Floats) -> tuple[str, ...]:
    worst = float(masses[:3].min())
    if worst > -0.02 * float(np.abs(masses[:3]).sum()):
        return ()
    names = ("a's own part", "b's own part", "the shared part")
    which = names[int(masses[:3].argmin())]
    return (f"Suppression: {which} of the explained variance is negative ({worst:.3f}) and counts as 0.",)
