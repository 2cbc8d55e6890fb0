"""The compiled loop behind `align_linear`: two linear networks of one world, trained full-batch.

Everything of one world (two inputs, two weight matrices) fits in the second-level cache, so that a world is
trained to its end before the next one begins. Inputs are stored feature by feature, samples contiguous,
because both passes of a step then run along the samples.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

_OPTIONS = {"cache": True, "fastmath": {"reassoc", "contract", "nsz", "arcp", "afn"}, "error_model": "numpy"}


@numba.njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _logits(x: Floats, weight: Floats, z: Floats) -> None:
    """z (K, N) = weight (d + 1, K) applied to x (d, N); the last row of `weight` is the bias."""
    d, n = x.shape
    for k in range(z.shape[0]):
        row = z[k]
        bias = weight[d, k]
        for i in range(n):
            row[i] = bias
        for j in range(0, d - 3, 4):
            w0, w1, w2, w3 = weight[j, k], weight[j + 1, k], weight[j + 2, k], weight[j + 3, k]
            x0, x1, x2, x3 = x[j], x[j + 1], x[j + 2], x[j + 3]
            for i in range(n):
                row[i] += w0 * x0[i] + w1 * x1[i] + w2 * x2[i] + w3 * x3[i]
        for j in range(d - d % 4, d):
            w0, x0 = weight[j, k], x[j]
            for i in range(n):
                row[i] += w0 * x0[i]


@numba.njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _softmax(z: Floats, p: Floats) -> None:
    """p (K, N) = softmax of z over the classes."""
    k, n = z.shape
    for i in range(n):
        top = z[0, i]
        for c in range(1, k):
            top = max(top, z[c, i])
        total = np.float32(0.0)
        for c in range(k):
            p[c, i] = np.exp(z[c, i] - top)
            total += p[c, i]
        for c in range(k):
            p[c, i] /= total


@numba.njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _descend(x: Floats, slope: Floats, weight: Floats, speed: Floats, lr: float, momentum: float) -> None:
    """One step of SGD with momentum: speed = momentum * speed + gradient, weight -= lr * speed."""
    d, n = x.shape
    for k in range(slope.shape[0]):
        row = slope[k]
        for j in range(d):
            one, total = x[j], np.float32(0.0)
            for i in range(n):
                total += one[i] * row[i]
            speed[j, k] = momentum * speed[j, k] + total
            weight[j, k] -= lr * speed[j, k]
        total = np.float32(0.0)
        for i in range(n):
            total += row[i]
        speed[d, k] = momentum * speed[d, k] + total
        weight[d, k] -= lr * speed[d, k]


@numba.njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def train(
    xa: Floats,
    xb: Floats,
    target: npt.NDArray[np.int64],
    wa: Floats,
    wb: Floats,
    agreement: float,
    steps: int,
    lr: float,
    momentum: float,
) -> None:
    """Train all worlds in place.

    xa (W, d_a, N), xb (W, d_b, N), target (W, N), wa (W, d_a + 1, K), wb (W, d_b + 1, K). The loss of a world
    is CE(a) + CE(b) + agreement * mean over samples and classes of (logits a - logits b)^2.
    """
    n, k = target.shape[1], wa.shape[2]
    share, rate, keep = np.float32(1.0 / n), np.float32(lr), np.float32(momentum)
    pull = np.float32(2.0 * agreement / (n * k))
    za, zb = np.empty((k, n), np.float32), np.empty((k, n), np.float32)
    pa, pb = np.empty((k, n), np.float32), np.empty((k, n), np.float32)
    for w in range(len(xa)):
        va, vb = np.zeros_like(wa[w]), np.zeros_like(wb[w])
        for _ in range(steps):
            _logits(xa[w], wa[w], za)
            _logits(xb[w], wb[w], zb)
            _softmax(za, pa)
            _softmax(zb, pb)
            for i in range(n):
                pa[target[w, i], i] -= np.float32(1.0)
                pb[target[w, i], i] -= np.float32(1.0)
            for c in range(k):
                for i in range(n):
                    gap = pull * (za[c, i] - zb[c, i])
                    pa[c, i] = share * pa[c, i] + gap
                    pb[c, i] = share * pb[c, i] - gap
            _descend(xa[w], pa, wa[w], va, rate, keep)
            _descend(xb[w], pb, wb[w], vb, rate, keep)
