"""Shares by information: the partial information decomposition of two discretised modalities.

The map is Liang et al. 2023 read into MFH's diagram: alpha = U1 / (R + U1 + U2), beta = U2 / (...), gamma = R
/ (...), synergy = S / (R + U1 + U2 + S), unobserved = H(Y | X1, X2) / H(Y). What it measures is information,
not who sees which latent: see `mmkd_lab.shares.gaussian` for how far the two truths lie apart.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.check import one_of, require, whole
from mmkd_lab.shares.pid import PID, pid_stack, table_of
from mmkd_lab.shares.samples import (
    Codes,
    Floats,
    discretise,
    generator,
    labels,
    paired,
    settled,
    subject_codes,
)
from mmkd_lab.shares.shares import ModalityShares, from_masses

_THIN = 5.0  # with fewer samples than this per cell of the table, the estimate is mostly bias
_LEVEL = 0.05  # information that shuffled labels reach more often than this is not shown to be there
_MOST = 256  # more different values of a modality are no codes; tables and times grow with their product
_NOTHING = 1e-6  # bits; the solver's bounds lie closer together than this


def information_shares(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    bins: int = 5,
    permutations: int = 50,
    bootstrap: int = 200,
    interval: str = "recentred",
    level: float = 0.95,
    subjects: npt.ArrayLike | None = None,
    seed: int = 0,
) -> ModalityShares:
    """Shares of two paired modalities by what they tell about the label.

    The plug-in decomposition is corrected by label shuffles: their mean of I1, I2, I12 and R is taken off;
    parts follow by the identities R + U1 = I1, R + U2 = I2, R + U1 + U2 + S = I12, cut at 0. Where I12 does
    not exceed 95 % of the shuffles (20 or more), nothing is decisive and the shares are undefined: those of
    noise mean nothing. Intervals resample the table. Where the resamples, mirrored at the estimate, do not
    exclude U1 = 0 (or U2 = 0), the interval of alpha (beta) reaches 0 and that of gamma_a (gamma_b) 1; where
    they exclude neither, that of gamma reaches 1: at such a boundary the cut at 0 moves the estimate and
    all resamples to one side of the truth (Andrews 2000). What is measured are the values given: a probe of
    more noise columns tells less, and that is unique to the other modality.

    Args:
        a: (n,) codes (at most 256 different ones), (n,) scores, or (n, d) features or predictions of a.
        b: the same of modality b, sample by sample.
        y: (n,) class numbers.
        bins: bins per modality, see `discretise`.
        permutations: label shuffles for the bias; 0 leaves the plug-in values.
        bootstrap: resamples for the intervals; 0 for none.
        interval: 'recentred', 'percentile' or 'basic', see `from_masses`. A resample is biased once more than
            the sample; 'recentred' takes that off by its centre, the others by correcting twice.
        level: of the intervals.
        subjects: (n,) names of what samples belong to (a speaker), whose samples are then resampled together.
            Labels are shuffled over subjects where all samples of each have one label, else over samples.
        seed: of clusters, shuffles and resamples.

    Raises `LabError` for unpaired sets, a constant label or modality, fewer samples than bins, too many
    codes, fewer than three subjects, wrong options.
    """
    n, target = paired(a=a, b=b, y=y), labels(y)
    one_of("interval", interval, ("percentile", "basic", "recentred"))
    whole("permutations", permutations, at_least=0)
    whole("bootstrap", bootstrap, at_least=0)
    one, two = (discretise(x, bins=bins, seed=seed, name=name) for name, x in (("a", a), ("b", b)))
    for name, count in (("a", one.max() + 1), ("b", two.max() + 1)):
        rule, way_out = f"must be between 2 and {_MOST}", "Give real numbers to have them binned."
        require(2 <= count <= _MOST, name, f"{count} different codes", rule, way_out)
    codes, units = (one, two, target), subject_codes(subjects, n)
    table = table_of(*codes)
    found = pid_stack(table[None])
    shuffled = _shuffled(codes, units, permutations, generator(seed, "shuffle"))
    bias = shuffled.mean(axis=0) if permutations else np.zeros(4)
    masses = _masses(found, bias)[0]
    notes: tuple[str, ...] = ()
    if n < _THIN * table.size:
        notes = (f"{n:,} samples for {table.size:,} cells: the bias correction is large; use fewer bins.",)
    total = _informations(found)[0, 2]
    rarity = (1 + int((shuffled[:, 2] >= total - 1e-12).sum())) / (1 + permutations)
    if permutations >= 1 / _LEVEL and rarity > _LEVEL:
        masses = np.array([0.0, 0.0, 0.0, 0.0, found[0].entropy])
        notes += (f"{total:.3f} bits are not shown to exceed what shuffled labels give (p = {rarity:.2f}).",)
    replicates = None
    if bootstrap:
        drawn = _resamples(table, codes, units, bootstrap, generator(seed, "bootstrap"))
        replicates = _masses(pid_stack(drawn), bias if interval == "recentred" else 2.0 * bias)
    method = f"information (BROJA, {table.shape[0]} x {table.shape[1]} bins)"
    shares = from_masses(
        masses, method=method, replicates=replicates, kind=interval, level=level, n=n, notes=notes
    )
    return shares if replicates is None else _reaching(shares, masses, replicates, level)


def _shuffled(
    codes: tuple[Codes, Codes, Codes], units: Codes | None, permutations: int, stream: np.random.Generator
) -> Floats:
    """(P, 4) I1, I2, I12 and R under label shuffles, of subjects where these have one label each."""
    if not permutations:
        return np.zeros((0, 4))
    one, two, target = codes
    labels = settled(units, target)
    drawn = [
        stream.permutation(target) if labels is None else stream.permutation(labels)[units]
        for _ in range(permutations)
    ]
    return _informations(pid_stack(np.stack([table_of(one, two, y) for y in drawn])))


def _resamples(
    table: Floats, codes: tuple[Codes, Codes, Codes], units: Codes | None, b: int, stream: np.random.Generator
) -> Floats:
    """(B, n1, n2, K) tables of resampled samples, or of resampled subjects with all their samples."""
    if units is None:
        n = int(table.sum())
        return stream.multinomial(n, table.ravel() / n, size=b).reshape(-1, *table.shape).astype(float)
    cell = np.ravel_multi_index(codes, table.shape)
    count = int(units.max()) + 1
    each = np.bincount(units * table.size + cell, minlength=count * table.size).reshape(count, -1)
    weights = stream.multinomial(count, np.full(count, 1 / count), size=b)
    return np.asarray(weights @ each, dtype=float).reshape(-1, *table.shape)


def _informations(found: list[PID]) -> Floats:
    """(B, 4) I1, I2, I12 and R."""
    return np.array(
        [[one.information_1, one.information_2, one.information, one.redundancy] for one in found]
    )


def _masses(found: list[PID], bias: Floats) -> Floats:
    """(B, 5) bits: U1, U2, R, S, H(Y | X1, X2), all corrected and not negative."""
    first, second, joint, shared = np.maximum(_informations(found) - bias, 0.0).T
    shared = np.minimum(shared, np.minimum(first, second))
    own_1, own_2 = first - shared, second - shared
    synergy = np.maximum(joint - shared - own_1 - own_2, 0.0)
    seen, entropy = shared + own_1 + own_2 + synergy, np.array([one.entropy for one in found])
    return np.column_stack([own_1, own_2, shared, synergy, np.maximum(entropy - seen, 0.0)])


def _reaching(shares: ModalityShares, masses: Floats, replicates: Floats, level: float) -> ModalityShares:
    """With intervals that reach the boundary where unique information is not shown to be there."""
    lowest = 2 * masses[:2] - np.quantile(replicates[:, :2], 0.5 + level / 2, axis=0)
    a, b = lowest <= _NOTHING
    known = dict(shares.intervals)
    for name, nothing in {"alpha": a, "beta": b}.items():
        if nothing and name in known:
            known[name] = replace(known[name], low=0.0)
    for name, nothing in {"gamma_a": a, "gamma_b": b, "gamma_union": a and b}.items():
        if nothing and name in known:
            known[name] = replace(known[name], high=1.0)
    return replace(shares, intervals=known)
