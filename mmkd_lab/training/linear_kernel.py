"""Compiled full-batch descent of linear networks: many on their own, or two together.

Everything here computes in double precision, so that the same training agrees to about 1e-13 on every
processor. An input is stored feature by feature, samples contiguous, in a multiple of four rows: both passes
of a step then run along the samples, four rows at a time, and the compiler turns them into vector code. Importing
this takes numba's second; all compiled code stands in this one file, since numba looks only at its date
when it decides whether the machine code on disk is still good.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]

#: Sums may be reordered and products fused: LLVM needs no more to use vectors.
_OPTIONS = {
    "cache": True,
    "nogil": True,
    "fastmath": {"reassoc", "contract", "nsz", "arcp"},
    "error_model": "numpy",
}


def by_feature(x: npt.NDArray[np.floating], *, rows: int = 4) -> Doubles:
    """(N, d) samples -> (D, N): the features, a row of ones for the bias, zeros up to a multiple of `rows`."""
    n, d = x.shape
    packed = np.zeros((-(-(d + 1) // rows) * rows, n))
    packed[:d] = x.T
    packed[d] = 1.0
    return packed


@numba.njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _logits(x: Doubles, w: Doubles, z: Doubles) -> None:
    """z (N,) = w (D,) applied to x (D, N)."""
    z[:] = 0.0
    for j in range(0, len(w), 4):
        w0, w1, w2, w3 = w[j], w[j + 1], w[j + 2], w[j + 3]
        x0, x1, x2, x3 = x[j], x[j + 1], x[j + 2], x[j + 3]
        for i in range(len(z)):
            z[i] += w0 * x0[i] + w1 * x1[i] + w2 * x2[i] + w3 * x3[i]


@numba.njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _step(x: Doubles, slope: Doubles, w: Doubles, speed: Doubles, lr: float, momentum: float) -> None:
    """SGD: speed = momentum * speed + x slope, w -= lr * speed, where slope (N,) is the loss's in z."""
    for j in range(0, len(w), 4):
        g0 = g1 = g2 = g3 = 0.0
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
def _exp(v: float) -> float:
    """e^v for |v| <= 40, beyond which it stays: Taylor at v / 64, squared six times.

    Plain multiplications, which vectorise where a call to the C library would not; sigmoids and softmaxes
    made of it are good to 1e-14.
    """
    y = min(max(v, -40.0), 40.0) / 64.0
    e = ((y / 40320.0 + 1.0 / 5040.0) * y + 1.0 / 720.0) * y + 1.0 / 120.0
    e = ((((e * y + 1.0 / 24.0) * y + 1.0 / 6.0) * y + 0.5) * y + 1.0) * y + 1.0
    for _ in range(6):
        e *= e
    return e


@numba.njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def descend(x: Doubles, w: Doubles, target: Doubles, scale: Doubles, lr: float, steps: int) -> None:
    """Train R one-logit networks on one input in place: x (D, N), w (R, D), target (R, N), scale (R,).

    The loss's slope in a logit z is (scale * sigmoid(z) - target) / N.
    """
    n = x.shape[1]
    z, speed = np.empty(n), np.zeros(x.shape[0])
    for r in range(len(w)):
        for _ in range(steps):
            _logits(x, w[r], z)
            for i in range(n):
                z[i] = scale[r] / (1.0 + _exp(-z[i])) - target[r, i]
            _step(x, z, w[r], speed, lr / n, 0.0)


@numba.njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _softmax(z: Doubles, target: npt.NDArray[np.int64], p: Doubles) -> None:
    """p (K, N) = softmax of z over the classes, minus 1 at the target: the cross-entropy's slope."""
    classes, n = z.shape
    for i in range(n):
        top = z[:, i].max()
        total = 0.0
        for c in range(classes):
            p[c, i] = _exp(z[c, i] - top)
            total += p[c, i]
        for c in range(classes):
            p[c, i] /= total
        p[target[i], i] -= 1.0


@numba.njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def descend_jointly(
    xa: Doubles,
    xb: Doubles,
    target: npt.NDArray[np.int64],
    wa: Doubles,
    wb: Doubles,
    agreement: float,
    steps: int,
    lr: float,
    momentum: float,
) -> None:
    """Train a pair of K-logit networks in place: x (D, N), target (N,), w (K, D).

    The loss is CE(a) + CE(b) + agreement * mean over samples and classes of (logits a - logits b)^2.
    """
    classes, n = len(wa), xa.shape[1]
    za, zb, pa, pb = np.empty((4, classes, n))
    va, vb = np.zeros_like(wa), np.zeros_like(wb)
    pull = 2.0 * agreement / classes
    for _ in range(steps):
        for c in range(classes):
            _logits(xa, wa[c], za[c])
            _logits(xb, wb[c], zb[c])
        _softmax(za, target, pa)
        _softmax(zb, target, pb)
        for c in range(classes):
            for i in range(n):
                gap = pull * (za[c, i] - zb[c, i])
                pa[c, i] = (pa[c, i] + gap) / n
                pb[c, i] = (pb[c, i] - gap) / n
            _step(xa, pa[c], wa[c], va[c], lr, momentum)
            _step(xb, pb[c], wb[c], vb[c], lr, momentum)
