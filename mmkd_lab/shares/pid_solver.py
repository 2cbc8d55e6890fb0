"""A primal-dual interior-point method for the BROJA program, for many tables at once.

Over q(x1, x2, y) >= 0 with q(x1, y) = p(x1, y) and q(x2, y) = p(x2, y), minimise
    f(q) = sum q log(q / q(x1, x2)) = -H_q(Y | X1, X2)   (nats).
The program is that of Bertschinger et al. 2014; a cone program for it is in Makkeh et al. 2018. We follow
the central path of its dual instead, which is smaller and smoother. f is homogeneous of degree 1, so the
dual reads
    maximise <l1, p(x1, y)> + <l2, p(x2, y)>
    with lse(x1, x2) = log sum_y exp(l1(x1, y) + l2(x2, y)) <= 0.
The multiplier of a cell's constraint is its mass s(x1, x2), and q = s softmax(l1 + l2).

What makes it fast: each cell adds one K x K block to a Newton system of (n1 + n2) K unknowns, about ten of
which are solved; the slack of lse <= 0 is an unknown of its own, so that curvature does not shorten steps.
What makes it certain: a shift of l1 makes the iterate feasible for the dual, a correction of its marginals
makes q feasible for the primal, and the difference of the two values bounds the error, rounding apart.
What makes it robust: a table that does not arrive (masses that differ by many orders of magnitude) is
solved again along the barrier of the dual, which is slower and cannot cycle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmkd_lab.shares.pid_newton import State, System, cells_of, start
from mmkd_lab.shares.samples import Codes, Floats

_STEPS = 30
_TO_THE_WALL = 0.99  # how much of its mass or slack a cell may lose in one step
_LEAST_CENTRE = 1e-3
_LONGEST = 3.0  # nats a multiplier may move in one step
_FLOOR = 0.2  # of the tolerance
_NUMBERS = 1 << 22  # of Newton systems held at once; several copies are made of them
_BARRIER_FROM, _BARRIER_SHRINK, _BARRIER_STEPS = 1e-2, 0.1, 60


@dataclass(eq=False)
class Solution:
    """The least f (nats), its proven error (nats), the minimisers (B, n1, n2, K), and the steps taken."""

    value: Floats
    gap: Floats
    q: Floats
    steps: int = 0

    def meet(self, rows: Codes, state: State) -> None:
        """Keep what is better than before, judged by its proven gap."""
        lse, soft = state.cells()
        found, feasible = state.primal(soft)
        error = found - state.bound(lse)
        better = error < self.gap[rows]
        kept = rows[better]
        self.value[kept], self.gap[kept], self.q[kept] = found[better], error[better], feasible[better]


def solve(p: Floats, *, tolerance: float) -> Solution:
    """Minimise f for B tables p (B, n1, n2, K), each summing to 1, until the gap is below `tolerance` nats.

    Tables that are done leave the stack. A gap that could not be closed is reported, not hidden.
    """
    count, n1, n2, k = p.shape
    best = Solution(np.full(count, np.inf), np.full(count, np.inf), np.zeros_like(p))
    size = max(1, _NUMBERS // ((n1 + n2) * k) ** 2)
    for i in range(0, count, size):
        _primal_dual(best, p, np.arange(i, min(i + size, count)), tolerance)
    for row in np.flatnonzero(best.gap > tolerance):
        _barrier(best, p, int(row), tolerance)
    best.gap = np.maximum(best.gap, 0.0)
    return best


def _primal_dual(best: Solution, p: Floats, active: Codes, tolerance: float) -> None:
    state = start(p[active])
    for step in range(_STEPS + 1):
        best.meet(active, state)
        best.steps = max(best.steps, step)
        going = np.flatnonzero(best.gap[active] > tolerance)
        if going.size == 0 or step == _STEPS:
            return
        if going.size < active.size:
            active, state = active[going], state.take(going)
        try:
            _advance(state, floor=_FLOOR * tolerance)
        except np.linalg.LinAlgError:  # the barrier takes over
            return


def _advance(state: State, *, floor: float) -> None:
    """One predictor-corrector step, in place. Raises `LinAlgError` when the system has lost its digits."""
    system = System(state)
    used = state.used
    n = used.sum(axis=(1, 2))
    mu = (state.s * state.slack * used).sum(axis=(1, 2)) / n
    ds, _, _, dl = system.direction(np.zeros_like(state.s))
    reach = np.minimum(_reach(state.s, ds), _reach(state.slack, dl))[:, None, None]
    ahead = ((state.s + reach * ds) * (state.slack + reach * dl) * used).sum(axis=(1, 2)) / n
    # Where the constraints are missed by more than their slack, masses must not run ahead of them.
    lse, _ = state.cells()
    missed = (np.abs(np.where(used, lse + state.slack, 0.0)) * state.s).sum(axis=(1, 2)) / (mu * n)
    least = np.clip(0.3 * missed, _LEAST_CENTRE, 1.0)
    centre = np.maximum(np.clip(ahead / mu, 0.0, 1.0) ** 3, least) * mu
    # A slack below the floor buys nothing (all masses sum to 1) and costs digits.
    target = np.maximum(np.maximum(centre, floor / n)[:, None, None], floor * state.s)
    ds, d1, d2, dl = system.direction(target - ds * dl)
    step = np.minimum(1.0, _TO_THE_WALL * np.minimum(_reach(state.s, ds), _reach(state.slack, dl)))
    # Beyond a few nats the exponentials are no longer what their slope promised.
    rise = np.abs((d1[:, :, None, :] + d2[:, None, :, :]) * state.on).max(axis=(1, 2, 3))
    step = np.minimum(step, _LONGEST / np.maximum(rise, _LONGEST))
    at = step[:, None, None]
    state.s, state.slack = state.s + at * ds, state.slack + at * dl
    state.l1, state.l2 = state.l1 + at * d1, state.l2 + at * d2


def _barrier(best: Solution, p: Floats, i: int, tolerance: float) -> None:
    """Newton's method on <l, p> + mu sum log(-lse), for falling mu: a concave function with a line search."""
    row, state = np.array([i]), start(p[i : i + 1])
    used = state.used
    mu, last = _BARRIER_FROM, 0.1 * tolerance / used.sum()
    while True:
        for _ in range(_BARRIER_STEPS):
            lse, _ = state.cells()
            state.slack = np.where(used, -lse, 1.0)
            state.s = np.where(used, mu / state.slack, 0.0)
            try:
                _, d1, d2, _ = System(state).direction(np.full_like(state.s, mu))
            except np.linalg.LinAlgError:
                return
            if not _climb(state, d1, d2, mu):
                break
        best.meet(row, state)
        if best.gap[i] <= tolerance or mu <= last:
            return
        mu = max(_BARRIER_SHRINK * mu, last)


def _climb(state: State, d1: Floats, d2: Floats, mu: float) -> bool:
    """Move along a direction as far as the barrier rises (Armijo); False when it is at its top."""
    used = state.used

    def height(l1: Floats, l2: Floats) -> float:
        slack = -cells_of(l1, l2, state.on)[0][used]
        if not (slack > 0).all():
            return -np.inf
        return float((state.p1 * l1).sum() + (state.p2 * l2).sum() + mu * np.log(slack).sum())

    q = state.s[..., None] * state.cells()[1]
    slope = float(((state.p1 - q.sum(2)) * d1).sum() + ((state.p2 - q.sum(1)) * d2).sum())
    if not slope > 1e-4 * mu:
        if np.isfinite(slope) and slope > 0:  # within reach of full steps: one more, and on to the next mu
            state.l1, state.l2 = state.l1 + d1, state.l2 + d2
        return False
    here, step = height(state.l1, state.l2), 1.0
    while step > 1e-10:
        l1, l2 = state.l1 + step * d1, state.l2 + step * d2
        if height(l1, l2) >= here + 0.1 * step * slope:
            state.l1, state.l2 = l1, l2
            return True
        step *= 0.5
    return False


def _reach(x: Floats, dx: Floats) -> Floats:
    """How far along dx every x stays positive, at most 1 / 0.99."""
    ratio = np.divide(x, -dx, out=np.full_like(x, np.inf), where=dx < 0)
    return np.asarray(np.minimum(ratio.min(axis=(1, 2)), 1.0 / _TO_THE_WALL))
