"""Shares by information: the partial information decomposition of two discretised modalities.

The map is Liang et al. 2023 read into MFH's diagram: alpha = U1 / (R + U1 + U2), beta = U2 / (...), gamma = R
/ (...), synergy = S / (R + U1 + U2 + S), unobserved = H(Y | X1, X2) / H(Y). What it measures is information,
not who sees which latent: see `mmkd_lab.shares.gaussian` for how far the two truths lie apart.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.check import one_of, real, require, whole
from mmkd_lab.shares.discrete import Codes, discretise, generator, labels, paired
from mmkd_lab.shares.pid import PIDStack, pid_stack, table_of
from mmkd_lab.shares.shares import ModalityShares, from_masses
from mmkd_lab.shares.subjects import settled, subject_codes

Floats = npt.NDArray[np.float64]

#: With fewer samples than this per cell of the table, the estimate is mostly bias.
_THIN = 5.0
#: Information that shuffled labels reach more often than this is not shown to be there.
_LEVEL = 0.05
#: More different values of one modality than this are no codes; tables and times grow with their product.
_MOST = 256
#: Bits; the solver's bounds lie closer together than this.
_NOTHING = 1e-6


def information_shares(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    bins: int = 5,
    how: str = "auto",
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
        a: (n,) codes (at most 256 different ones), (n,) scores, or (n, d) features or predictions of
            modality a.
        b: the same of modality b, sample by sample.
        y: (n,) class numbers.
        bins: bins per modality.
        how: see `discretise`.
        permutations: label shuffles for the bias; 0 leaves the plug-in values.
        bootstrap: resamples for the intervals; 0 for none.
        interval: 'recentred', 'percentile' or 'basic', see `from_masses`. A resample is biased once more than
            the sample; 'recentred' takes that off by its centre, the others by correcting twice.
        level: of the intervals.
        subjects: (n,) names of what samples belong to (a speaker), whose samples are then resampled together.
            Labels are shuffled over subjects where all samples of each have one label, else over samples.
        seed: of clusters, shuffles and resamples.

    Raises:
        LabError: unpaired sets, a constant label or modality, fewer samples than bins, too many codes, fewer
            than three subjects, wrong options.
    """
    n = paired(a=a, b=b, y=y)
    one_of("interval", interval, ("percentile", "basic", "recentred"))
    whole("permutations", permutations, at_least=0)
    whole("bootstrap", bootstrap, at_least=0)
    real("level", level, above=0.0, at_most=0.9999)
    target = labels(y)
    one = discretise(a, bins=bins, how=how, seed=seed, name="a")
    two = discretise(b, bins=bins, how=how, seed=seed, name="b")
    for name, codes in (("a", one), ("b", two)):
        count = int(codes.max()) + 1
        rule, way_out = f"must be between 2 and {_MOST}", "Give real numbers to have them binned."
        require(2 <= count <= _MOST, name, f"{count} different codes", rule, way_out)
    units = subject_codes(subjects, n)
    table = table_of(one, two, target)
    found = pid_stack(table[None])
    shuffled = _shuffled(one, two, target, units, permutations=permutations, seed=seed)
    bias = shuffled.mean(axis=0) if permutations else np.zeros(4)
    masses = _masses(found, bias)[0]
    notes = _thin(n, table)
    total = _informations(found)[0, 2]
    rarity = (1 + int((shuffled[:, 2] >= total - 1e-12).sum())) / (1 + permutations)
    if permutations >= 1 / _LEVEL and rarity > _LEVEL:
        masses = np.array([0.0, 0.0, 0.0, 0.0, float(found.entropy[0])])
        notes += (f"{total:.3f} bits are not shown to exceed what shuffled labels give (p = {rarity:.2f}).",)
    replicates = None
    if bootstrap:
        drawn = _resamples(table, (one, two, target), units, generator(seed, "bootstrap"), bootstrap)
        replicates = _masses(pid_stack(drawn), bias if interval == "recentred" else 2.0 * bias)
    method = f"information (BROJA, {table.shape[0]} x {table.shape[1]} bins)"
    shares = from_masses(
        masses, method=method, replicates=replicates, kind=interval, level=level, n=n, notes=notes
    )
    return shares if replicates is None else _reaching(shares, masses, replicates, level)


def _shuffled(
    one: Codes, two: Codes, target: Codes, units: Codes | None, *, permutations: int, seed: int
) -> Floats:
    """(P, 4) I1, I2, I12 and R under label shuffles."""
    if not permutations:
        return np.zeros((0, 4))
    stream, labels = generator(seed, "shuffle"), settled(units, target)

    def drawn() -> Codes:
        return stream.permutation(target) if labels is None else stream.permutation(labels)[units]

    return _informations(pid_stack(np.stack([table_of(one, two, drawn()) for _ in range(permutations)])))


def _resamples(
    table: Floats, codes: tuple[Codes, Codes, Codes], units: Codes | None, stream: np.random.Generator, b: int
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


def _informations(found: PIDStack) -> Floats:
    first, second = found.redundancy + found.unique_1, found.redundancy + found.unique_2
    return np.column_stack([first, second, first + found.unique_2 + found.synergy, found.redundancy])


def _masses(found: PIDStack, bias: Floats) -> Floats:
    """(B, 5) bits: U1, U2, R, S, H(Y | X1, X2), all corrected and not negative."""
    first, second, joint, shared = np.maximum(_informations(found) - bias, 0.0).T
    shared = np.minimum(shared, np.minimum(first, second))
    own_1, own_2 = first - shared, second - shared
    synergy = np.maximum(joint - shared - own_1 - own_2, 0.0)
    seen = shared + own_1 + own_2 + synergy
    return np.column_stack([own_1, own_2, shared, synergy, np.maximum(found.entropy - seen, 0.0)])


def _reaching(shares: ModalityShares, masses: Floats, replicates: Floats, level: float) -> ModalityShares:
    """With intervals that reach the boundary where unique information is not shown to be there."""
    lowest = 2 * masses[:2] - np.quantile(replicates[:, :2], 0.5 + level / 2, axis=0)
    nothing = lowest <= _NOTHING
    known = dict(shares.intervals)
    for name, where in (("alpha", nothing[0]), ("beta", nothing[1])):
        if where and name in known:
            known[name] = replace(known[name], low=0.0)
    for name, where in (("gamma_a", nothing[0]), ("gamma_b", nothing[1]), ("gamma_union", nothing.all())):
        if where and name in known:
            known[name] = replace(known[name], high=1.0)
    return replace(shares, intervals=known)


def _thin(n: int, table: Floats) -> tuple[str, ...]:
    if n >= _THIN * table.size:
        return ()
    return (f"{n:,} samples for {table.size:,} cells: the bias correction is large; use fewer bins.",)
