"""The iterates of the BROJA program, their bounds, and the Newton system they share (see `pid_solver`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmkd_lab.shares.samples import Bools, Codes, Floats

_FIRST_SLACK = 0.1
_LIFTS = (1e-15, 1e-13, 1e-11, 1e-9)  # of a unit diagonal, the smallest that Cholesky accepts
_STACKED = 64  # the largest system that is inverted in stacks
_TINY = 1e-40


@dataclass(eq=False)
class State:
    """An iterate: multipliers l1 (B, n1, K) and l2 (B, n2, K), masses s and slacks (B, n1, n2).

    `on` (B, n1, n2, K) is where q may be positive, `p1` and `p2` are the marginals to keep.
    """

    l1: Floats
    l2: Floats
    s: Floats
    slack: Floats
    on: Bools
    p1: Floats
    p2: Floats

    @property
    def used(self) -> Bools:
        """(B, n1, n2) the cells that may hold something."""
        return np.asarray(self.on.any(-1))

    def take(self, rows: Codes) -> State:
        """Only these tables."""
        return State(*(values[rows] for values in vars(self).values()))

    def cells(self) -> tuple[Floats, Floats]:
        """lse (B, n1, n2), -1 in cells that hold nothing, and softmax (B, n1, n2, K)."""
        return cells_of(self.l1, self.l2, self.on)

    def primal(self, soft: Floats) -> tuple[Floats, Floats]:
        """f at the iterate's q once it has the right marginals to the last digit, and that q.

        Scale each (x1, y) and (x2, y) down to its marginal, then spread what is missing as a product
        (Altschuler, Weed and Rigollet 2017, algorithm 2, once per class).
        """
        q = self.s[..., None] * soft
        q = q * np.minimum(1.0, _over(self.p1, q.sum(2)))[:, :, None, :]
        q = q * np.minimum(1.0, _over(self.p2, q.sum(1)))[:, None, :, :]
        r1, r2 = np.maximum(self.p1 - q.sum(2), 0.0), np.maximum(self.p2 - q.sum(1), 0.0)
        q = q + _over(r1, r1.sum(1, keepdims=True))[:, :, None, :] * r2[:, None, :, :]
        return np.asarray((q * _log(_over(q, q.sum(-1, keepdims=True)))).sum(axis=(1, 2, 3))), q

    def bound(self, lse: Floats) -> Floats:
        """The dual value of the multipliers once l1 is shifted into the feasible set: no q does better."""
        shift = np.where(self.used, lse, -np.inf).max(2)
        l1 = self.l1 - np.where(np.isfinite(shift), shift, 0.0)[..., None]
        return np.asarray((self.p1 * l1).sum((1, 2)) + (self.p2 * self.l2).sum((1, 2)))


def start(p: Floats) -> State:
    """Sources independent given the label: that q is feasible, and its multipliers are known."""
    p1, p2 = p.sum(2), p.sum(1)
    py = p1.sum(1)
    q = p1[:, :, None, :] * (p2 / np.where(py > 0, py, 1.0)[:, None, :])[:, None, :, :]
    on = q > 0
    l1 = _log(p1) - _log(p1.sum(2, keepdims=True))
    l2 = _log(p2) - _log(p2.sum(2, keepdims=True)) - _log(py)[:, None, :]
    lse, used = cells_of(l1, l2, on)[0], on.any(-1)
    top = np.where(used, lse, -np.inf).max(2)
    top = np.where(np.isfinite(top), top + _FIRST_SLACK, 0.0)[..., None]
    return State(l1 - top, l2, q.sum(-1), np.where(used, top - lse, 1.0), on, p1, p2)


def cells_of(l1: Floats, l2: Floats, on: Bools) -> tuple[Floats, Floats]:
    """lse and softmax of given multipliers, see `State.cells`."""
    total = np.where(on, l1[:, :, None, :] + l2[:, None, :, :], -np.inf)
    top = total.max(-1, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    raised = np.exp(total - top)
    mass = raised.sum(-1, keepdims=True)
    empty, mass = mass == 0, np.where(mass == 0, 1.0, mass)
    return np.where(empty, -1.0, np.log(mass) + top)[..., 0], raised / mass


class System:
    """The Newton system of one iterate, factorised once and solved for several right-hand sides.

    Unknowns are the steps in l1, l2, s and slack. The equations: q = s softmax has the right marginals; lse +
    slack = 0; s slack = aim. Once s and slack are eliminated, each cell holds m = s (diag(softmax) - (1 - 1 /
    slack) softmax softmax').
    """

    def __init__(self, state: State) -> None:
        self._state, self._used = state, state.used
        lse, self._soft = state.cells()
        self._miss = np.where(self._used, lse + state.slack, 0.0)
        self._mass = state.s[..., None] * self._soft
        self._tie = (1.0 - 1.0 / state.slack)[..., None]
        b, n1, n2, k = self._mass.shape
        blocks = -(self._tie * self._mass)[..., :, None] * self._soft[..., None, :]
        np.einsum("...kk->...k", blocks)[...] += self._mass
        normal = np.zeros((b, n1 + n2, k, n1 + n2, k))
        one, two = np.arange(n1), np.arange(n1, n1 + n2)
        normal[:, one, :, one, :] = blocks.sum(2).transpose(1, 0, 2, 3)
        normal[:, two, :, two, :] = blocks.sum(1).transpose(1, 0, 2, 3)
        normal[:, :n1, :, n1:, :] = blocks.transpose(0, 1, 3, 2, 4)
        normal[:, n1:, :, :n1, :] = blocks.transpose(0, 2, 3, 1, 4)
        # Adding a constant to l1(., y) and taking it from l2(., y) changes nothing: hold the one l2(., y) of
        # each y that has the most mass.
        held = np.arange(n2)[:, None] == state.p2.argmax(1)[:, None, :]
        free = np.concatenate([state.p1 > 0, (state.p2 > 0) & ~held], axis=1).reshape(b, -1)
        self._root = _Root(normal.reshape(b, (n1 + n2) * k, -1), free)

    def direction(self, aim: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """The step in s, l1, l2 and slack towards s slack = aim (B, n1, n2)."""
        state, used = self._state, self._used
        shift = np.where(used, (aim + state.s * self._miss) / state.slack - state.s, 0.0)
        q = (state.s + shift)[..., None] * self._soft
        r1, r2 = state.p1 - q.sum(2), state.p2 - q.sum(1)
        d1, d2 = self._solve(r1, r2)
        scaled = self._mass * self._total(d1, d2)  # one round of refinement
        dq = scaled - self._tie * self._soft * scaled.sum(-1, keepdims=True)
        e1, e2 = self._solve(r1 - dq.sum(2), r2 - dq.sum(1))
        d1, d2 = d1 + e1, d2 + e2
        rise = (self._soft * self._total(d1, d2)).sum(-1)
        ds = np.where(used, shift + state.s * rise / state.slack, 0.0)
        return ds, d1, d2, np.where(used, -self._miss - rise, 0.0)

    def _total(self, d1: Floats, d2: Floats) -> Floats:
        return (d1[:, :, None, :] + d2[:, None, :, :]) * self._state.on

    def _solve(self, r1: Floats, r2: Floats) -> tuple[Floats, Floats]:
        rhs = np.concatenate([r1, r2], axis=1)
        both = self._root.solve(rhs.reshape(len(rhs), -1)).reshape(rhs.shape)
        return both[:, : r1.shape[1]], both[:, r1.shape[1] :]


class _Root:
    """Solves symmetric positive systems on their free rows; the other unknowns are held at zero.

    Scaled to a unit diagonal and lifted a little off singularity; refinement takes the lift back. Cholesky,
    because the elimination of blocks loses the small eigenvalues beside the stiff ones.
    """

    def __init__(self, matrices: Floats, free: Bools) -> None:
        diagonal = np.maximum(np.einsum("bii->bi", matrices), _TINY)
        self._scale = np.where(free, 1.0 / np.sqrt(diagonal), 0.0)
        scaled = matrices * self._scale[:, :, None] * self._scale[:, None, :]
        for lift in _LIFTS:
            np.einsum("bii->bi", scaled)[...] = 1.0 + lift
            try:
                self._lower = np.linalg.cholesky(scaled)
                break
            except np.linalg.LinAlgError:
                if lift == _LIFTS[-1]:
                    raise
        self._stacked = scaled.shape[-1] <= _STACKED
        if self._stacked:  # many small inverses in one call beat many calls
            self._inverse = np.linalg.inv(self._lower) * self._scale[:, None, :]

    def solve(self, rhs: Floats) -> Floats:
        """(B, m) unknowns of (B, m) right-hand sides."""
        if self._stacked:
            half = np.matmul(self._inverse, rhs[..., None])
            return np.asarray(np.matmul(self._inverse.swapaxes(1, 2), half)[..., 0])
        from scipy.linalg import cho_solve

        pairs = zip(self._lower, self._scale * rhs, strict=True)
        found = [cho_solve((one, True), r, check_finite=False) for one, r in pairs]
        return np.asarray(self._scale * np.stack(found))


def _over(x: Floats, y: Floats) -> Floats:
    y = np.broadcast_to(y, x.shape)
    return np.divide(x, y, out=np.zeros_like(x), where=y > 0)


def _log(p: Floats) -> Floats:
    return np.asarray(np.log(p, out=np.zeros_like(p), where=p > 0))
