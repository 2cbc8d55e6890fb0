"""Compiled full-batch descent of linear networks: many on their own, or two together.

An input is stored feature by feature, samples contiguous, in a multiple of four rows: both passes of a step
then run along the samples, four rows at a time, and the compiler turns them into vector code. Importing this
takes numba's second; all compiled code stands in this one file, since numba looks only at its date when it
decides whether the machine code on disk is still good.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

Reals = npt.NDArray[np.floating]

#: Sums may be reordered and products fused: LLVM needs no more to use vectors.
_OPTIONS = {
    "cache": True,
    "nogil": True,
    "fastmath": {"reassoc", "contract", "nsz", "arcp"},
    "error_model": "numpy",
}
#: 1 / 8!, 1 / 7!, ..., 1, 1; then where e^v is held, and the step to its 64th root.
_TAYLOR = np.array([1 / 40320, 1 / 5040, 1 / 720, 1 / 120, 1 / 24, 1 / 6, 0.5, 1.0, 1.0, 40.0, 1 / 64])


def by_feature(x: Reals, dtype: npt.DTypeLike = np.float64) -> Reals:
    """(N, d) samples -> (D, N): features, a row of ones for the bias, zeros up to a multiple of four rows.

    It begins on a cache line: vectors across two of them cost a quarter of the time.
    """
    n, d = x.shape
    rows, size = -(-(d + 1) // 4) * 4, np.dtype(dtype).itemsize
    room = np.zeros(rows * n * size + 64, np.uint8)
    begin = -room.ctypes.data % 64
    packed: Reals = room[begin : begin + rows * n * size].view(dtype).reshape(rows, n)
    packed[:d] = x.T
    packed[d] = 1.0
    return packed


@numba.njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _logits(x: Reals, w: Reals, z: Reals) -> None:
    """z (N,) = w (D,) applied to x (D, N)."""
    z[:] = x.dtype.type(0.0)
    for j in range(0, len(w), 4):
        w0, w1, w2, w3 = w[j], w[j + 1], w[j + 2], w[j + 3]
        x0, x1, x2, x3 = x[j], x[j + 1], x[j + 2], x[j + 3]
        for i in range(len(z)):
            z[i] += w0 * x0[i] + w1 * x1[i] + w2 * x2[i] + w3 * x3[i]


@numba.njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _step(x: Reals, slope: Reals, w: Reals, speed: Reals, lr: float, momentum: float) -> None:
    """SGD: speed = momentum * speed + x slope, w -= lr * speed, where slope (N,) is the loss's in z."""
    for j in range(0, len(w), 4):
        g0 = g1 = g2 = g3 = x.dtype.type(0.0)
        x0, x1, x2, x3 = x[j], x[j + 1], x[j + 2], x[j + 3]
        for i in range(len(slope)):
            g0 += x0[i] * slope[i]
            g1 += x1[i] * slope[i]
            g2 += x2[i] * slope[i]
            g3 += x3[i] * slope[i]
        for k, g in enumerate((g0, g1, g2, g3)):
            speed[j + k] = momentum * speed[j + k] + g
            w[j + k] -= lr * speed[j + k]


@numba.njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _exp(v: float, c: Reals) -> float:
    """e^v for |v| <= 40, beyond which it stays: Taylor at v / 64 by the coefficients c, squared six times.

    Plain multiplications, which vectorise where a call to the C library would not; in double precision
    sigmoids and softmaxes made of it are good to 1e-14.
    """
    y = min(max(v, -c[9]), c[9]) * c[10]
    e = ((((c[0] * y + c[1]) * y + c[2]) * y + c[3]) * y + c[4]) * y + c[5]
    e = ((e * y + c[6]) * y + c[7]) * y + c[8]
    for _ in range(6):
        e *= e
    return e  # type: ignore[no-any-return]


@numba.njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def descend(
    x: Reals, w: Reals, target: Reals, scale: Reals, temperature: float, lr: float, steps: int
) -> None:
    """Train R one-logit networks on one input in place: x (D, N), w (R, D), target (R, N), scale (R, 2).

    The loss's slope in a logit z is (scale[0] sigmoid(z) + scale[1] sigmoid(z / temperature) - target) / N.
    """
    n, kind = x.shape[1], x.dtype.type
    z, speed, c = np.empty(n, x.dtype), np.zeros(len(x), x.dtype), _TAYLOR.astype(x.dtype)
    one, rate, still, cold = kind(1.0), kind(lr / n), kind(0.0), kind(1.0 / temperature)
    for r in range(len(w)):
        plain, soft, pulled, mine = scale[r, 0], scale[r, 1], target[r], w[r]
        for _ in range(steps):
            _logits(x, mine, z)
            if soft == still:
                for i in range(n):
                    z[i] = plain / (one + _exp(-z[i], c)) - pulled[i]
            else:
                for i in range(n):
                    tempered = soft / (one + _exp(-cold * z[i], c))
                    z[i] = plain / (one + _exp(-z[i], c)) + tempered - pulled[i]
            _step(x, z, mine, speed, rate, still)


@numba.njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _misses(z: Reals, target: npt.NDArray[np.int64], c: Reals, p: Reals) -> None:
    """p (K, N) = softmax of z over the classes, minus 1 at the target: the cross-entropy's slope."""
    classes, n = z.shape
    for i in range(n):
        top, total = z[:, i].max(), 0.0
        for k in range(classes):
            p[k, i] = _exp(z[k, i] - top, c)
            total += p[k, i]
        for k in range(classes):
            p[k, i] /= total
        p[target[i], i] -= 1.0


@numba.njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def descend_jointly(
    xa: Reals,
    xb: Reals,
    target: npt.NDArray[np.int64],
    wa: Reals,
    wb: Reals,
    agreement: float,
    steps: int,
    lr: float,
    momentum: float,
) -> None:
    """Train a pair of K-logit networks in place, in double precision: x (D, N), target (N,), w (K, D).

    The loss is CE(a) + CE(b) + agreement * mean over samples and classes of (logits a - logits b)^2.
    """
    classes, n = len(wa), xa.shape[1]
    pull = 2.0 * agreement / classes
    z, p = np.empty((2, classes, n)), np.empty((2, classes, n))
    za, zb, pa, pb = z[0], z[1], p[0], p[1]
    va, vb = np.zeros_like(wa), np.zeros_like(wb)
    for _ in range(steps):
        for k in range(classes):
            _logits(xa, wa[k], za[k])
            _logits(xb, wb[k], zb[k])
        _misses(za, target, _TAYLOR, pa)
        _misses(zb, target, _TAYLOR, pb)
        for k in range(classes):
            for i in range(n):
                gap = pull * (za[k, i] - zb[k, i])
                pa[k, i] = (pa[k, i] + gap) / n
                pb[k, i] = (pb[k, i] - gap) / n
            _step(xa, pa[k], wa[k], va[k], lr, momentum)
            _step(xb, pb[k], wb[k], vb[k], lr, momentum)
