"""Partial information decomposition of what two sources say about a target (BROJA).

Of all distributions q that keep p(x1, y) and p(x2, y), the one with the least I_q(X1, X2; Y) shares as much
as the marginals allow. What the pair says beyond it is synergy; what one source says there and the other does
not is unique; the rest is redundant. Source: Bertschinger et al. 2014, definition 1 and section 3; Liang et
al. 2023 (NeurIPS), section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.check import real, require
from mmkd_lab.shares import pid_solver
from mmkd_lab.shares.samples import Codes, Floats

#: The largest duality gap, in bits, that is accepted as solved.
TOLERANCE = 1e-8

_NOTHING = 1e-14  # masses that change no part by as much as 1e-12 bits


@dataclass(frozen=True)
class PID:
    """The four parts of I(X1, X2; Y), in bits.

    Args:
        redundancy: what either source says alone.
        unique_1: what only source 1 says.
        unique_2: what only source 2 says.
        synergy: what only the pair says.
        entropy: H(Y).
        gap: proven bound on the error of each part, in bits (a duality gap).
    """

    redundancy: float
    unique_1: float
    unique_2: float
    synergy: float
    entropy: float
    gap: float

    @property
    def information_1(self) -> float:
        """I(X1; Y) = R + U1."""
        return self.redundancy + self.unique_1

    @property
    def information_2(self) -> float:
        """I(X2; Y) = R + U2."""
        return self.redundancy + self.unique_2

    @property
    def information(self) -> float:
        """I(X1, X2; Y) = R + U1 + U2 + S."""
        return self.redundancy + self.unique_1 + self.unique_2 + self.synergy

    def __str__(self) -> str:
        unique = f"U1 {self.unique_1:.4f}, U2 {self.unique_2:.4f}"
        parts = f"R {self.redundancy:.4f}, {unique}, S {self.synergy:.4f}"
        return f"{parts} of H(Y) {self.entropy:.4f} bits (gap {self.gap:.0e})"


def pid(table: npt.ArrayLike, *, tolerance: float = TOLERANCE) -> PID:
    """Decompose one table of counts or probabilities.

    Args:
        table: (n1, n2, K), not negative; it is divided by its sum. Rows, columns and classes may be empty.
        tolerance: the duality gap in bits that ends the search.

    Raises `LabError` for a table that is not such an array or holds nothing, or a gap that could not be
    closed.
    """
    data = np.asarray(table, dtype=float)
    require(data.ndim == 3, "table", data.shape, "must have three axes: source 1, source 2, target")
    return pid_stack(data[None], tolerance=tolerance)[0]


def pid_stack(tables: npt.ArrayLike, *, tolerance: float = TOLERANCE) -> list[PID]:
    """Decompose B tables (B, n1, n2, K) at once, as replicates of a bootstrap; see `pid`."""
    real("tolerance", tolerance, above=0.0)
    p = np.asarray(tables, dtype=float)
    require(p.ndim == 4 and 0 not in p.shape, "tables", p.shape, "must be (B, n1, n2, K), none of them 0")
    rule = "must hold finite counts or probabilities that are not negative"
    require(bool((np.isfinite(p) & (p >= 0)).all()), "table", float(p.min()), rule)
    totals = p.sum(axis=(1, 2, 3), keepdims=True)
    require(bool((totals > 0).all()), "table", 0.0, "must hold at least one sample", "Its sum is 0.")
    p = p / totals
    p = np.where(p < _NOTHING, 0.0, p)
    found = pid_solver.solve(p, tolerance=tolerance * np.log(2.0))
    gap = found.gap / np.log(2.0)
    rule = f"could not be solved: the gap stays at {gap.max():.1e} bits"
    way_out = "Merge cells that hold next to nothing."
    require(float(gap.max()) <= max(tolerance, 1e-6), "table", p.shape[1:], rule, way_out)
    i1, i2 = mutual_information(p.sum(2)), mutual_information(p.sum(1))
    joint = mutual_information(p.reshape(len(p), -1, p.shape[-1]))
    entropy = _entropy(p.sum((1, 2)), 1)
    # The least I_q lies between max(I1, I2) and I_p: rounding may not push a part below zero.
    least = np.clip(entropy + found.value / np.log(2.0), np.maximum(i1, i2), np.minimum(joint, i1 + i2))
    parts = (i1 + i2 - least, least - i2, least - i1, joint - least, entropy, gap)
    return [PID(*map(float, one)) for one in zip(*parts, strict=True)]


def table_of(x1: npt.ArrayLike, x2: npt.ArrayLike, y: npt.ArrayLike) -> Floats:
    """(n1, n2, K) counts of three columns of whole numbers from 0.

    Raises `LabError` when they differ in length, are empty, or hold something else.
    """
    columns = [_codes(name, codes) for name, codes in (("x1", x1), ("x2", x2), ("y", y))]
    lengths = [len(codes) for codes in columns]
    require(len(set(lengths)) == 1, "x1, x2, y", lengths, "must be paired: one value per sample each")
    shape = tuple(int(codes.max()) + 1 for codes in columns)
    flat = np.ravel_multi_index(columns, shape)
    return np.bincount(flat, minlength=int(np.prod(shape))).reshape(shape).astype(float)


def mutual_information(joint: npt.ArrayLike) -> Floats:
    """I(X; Y) in bits of (..., n, K) joint probabilities or counts, each over its own sum."""
    p = np.asarray(joint, dtype=float)
    p = p / p.sum(axis=(-2, -1), keepdims=True)
    return _entropy(p.sum(-1), 1) + _entropy(p.sum(-2), 1) - _entropy(p, 2)


def _codes(name: str, values: npt.ArrayLike) -> Codes:
    codes = np.asarray(values)
    require(codes.ndim == 1 and codes.size > 0, name, codes.shape, "must be a flat, non-empty column")
    kind = np.issubdtype(codes.dtype, np.integer) or codes.dtype == bool
    require(kind, name, codes.dtype, "must hold whole numbers", "Discretise it first.")
    require(int(codes.min()) >= 0, name, int(codes.min()), "must hold numbers of at least 0")
    return codes.astype(np.intp)


def _entropy(p: Floats, axes: int) -> Floats:
    logs = np.log2(p, out=np.zeros_like(p), where=p > 0)
    return np.asarray(-(p * logs).sum(axis=tuple(range(-axes, 0))))
