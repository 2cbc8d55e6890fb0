"""Shares by information: the partial information decomposition of two discretised modalities.

The map is Liang et al. 2023 read into MFH's diagram: alpha = U1 / (R + U1 + U2), beta = U2 / (...), gamma = R
/ (...), synergy = S / (R + U1 + U2 + S), unobserved = H(Y | X1, X2) / H(Y). What it measures is information,
not who sees which latent: see `mmkd_lab.venn.gaussian` for how far the two truths lie apart.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mmkd_lab.base.check import one_of, real, require, whole
from mmkd_lab.venn.discrete import Codes, discretise, generator, labels, paired
from mmkd_lab.venn.pid import PIDStack, pid_stack, table_of
from mmkd_lab.venn.shares import ModalityShares, from_masses

Floats = npt.NDArray[np.float64]

#: With fewer samples than this per cell of the table, the estimate is mostly bias.
_THIN = 5.0


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
    seed: int = 0,
) -> ModalityShares:
    """Shares of two paired modalities by what they tell about the label.

    The plug-in decomposition is corrected by label shuffles: their mean of I1, I2, I12 and R is taken off;
    parts follow by the identities R + U1 = I1, R + U2 = I2, R + U1 + U2 + S = I12, cut at 0. Intervals
    resample the table.

    Args:
        a: (n,) codes, (n,) scores, or (n, d) features or predictions of modality a.
        b: the same of modality b, sample by sample.
        y: (n,) class numbers.
        bins: bins per modality.
        how: see `discretise`.
        permutations: label shuffles for the bias; 0 leaves the plug-in values.
        bootstrap: resamples for the intervals; 0 for none.
        interval: 'recentred', 'percentile' or 'basic', see `from_masses`. A resample is biased once more than
            the sample; 'recentred' takes that off by its centre, the others by correcting twice.
        level: of the intervals.
        seed: of clusters, shuffles and resamples.

    Raises:
        LabError: unpaired sets, a constant label or modality, fewer samples than bins, wrong options.
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
        require(
            int(codes.max()) > 0,
            name,
            "one bin",
            "must fall into at least two bins",
            "A constant has no shares.",
        )
    table = table_of(one, two, target)
    found = pid_stack(table[None])
    bias = _bias(one, two, target, permutations=permutations, seed=seed)
    masses = _masses(found, bias)[0]
    replicates = None
    if bootstrap:
        stream = generator(seed, "bootstrap")
        drawn = stream.multinomial(n, table.ravel() / n, size=bootstrap).reshape(-1, *table.shape)
        replicates = _masses(pid_stack(drawn), bias if interval == "recentred" else 2.0 * bias)
    notes = _thin(n, table)
    method = f"information (BROJA, {table.shape[0]} x {table.shape[1]} bins)"
    return from_masses(
        masses, method=method, replicates=replicates, kind=interval, level=level, n=n, notes=notes
    )


def pairing_p_value(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    bins: int = 5,
    permutations: int = 200,
    seed: int = 0,
) -> float:
    """How often I(A, B; Y) is as large when pairs are broken within each class: small when the pairing
    matters.

    A large value means that synergy beyond independent views was not found, or that the sets are not paired
    at all. Arguments and errors as in `information_shares`.
    """
    paired(a=a, b=b, y=y)
    whole("permutations", permutations)
    target = labels(y)
    one, two = (discretise(x, bins=bins, seed=seed, name=name) for x, name in ((a, "a"), (b, "b")))
    stream, members = generator(seed, "pairs"), [np.flatnonzero(target == k) for k in range(target.max() + 1)]
    tables = [table_of(one, two, target)]
    for _ in range(permutations):
        broken = two.copy()
        for rows in members:
            broken[rows] = two[stream.permutation(rows)]
        tables.append(table_of(one, broken, target))
    informations = pid_stack(np.stack(tables))
    total = informations.redundancy + informations.unique_1 + informations.unique_2 + informations.synergy
    return float((1 + (total[1:] >= total[0] - 1e-9).sum()) / (1 + permutations))


def _bias(one: Codes, two: Codes, target: Codes, *, permutations: int, seed: int) -> Floats:
    """(4,) mean of I1, I2, I12 and R over label shuffles."""
    if not permutations:
        return np.zeros(4)
    stream = generator(seed, "shuffle")
    tables = np.stack([table_of(one, two, stream.permutation(target)) for _ in range(permutations)])
    return np.asarray(_informations(pid_stack(tables)).mean(axis=0))


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


def _thin(n: int, table: Floats) -> tuple[str, ...]:
    if n >= _THIN * table.size:
        return ()
    return (f"{n:,} samples for {table.size:,} cells: the bias correction is large; use fewer bins.",)
