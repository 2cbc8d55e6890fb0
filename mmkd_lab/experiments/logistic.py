"""Logistic regression of many columns at several strengths: scikit-learn's minimum, in fewer steps.

Descent takes as many steps as the columns are alike: hundreds where two of them tell nearly the same. In the
coordinates in which the penalty and the steepest curvature that the loss can have (Böhning 1992: half the
products of the columns, a quarter for a label of its own) are together the identity, it takes some twenty.
One matrix of products serves all strengths, and each starts where the one before it ended.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

Floats = npt.NDArray[np.float64]
#: Where descent ends: after so many steps, or at this share of the gradient that it has at 0. Rough, in
#: single precision, is enough to choose a strength; exact is what is published: logits to 1e-3 or so.
_STEPS, ROUGH, EXACT = 500, 1e-3, 1e-5


class Logistic:
    """Logistic regression on (n, D) columns, D at most n.

    Args:
        x: the columns.
        target: (n, K) of 0 and 1.
        one_of: whether every row is a class and the loss the cross-entropy of their softmax; otherwise each
            column is a label of its own.
        weights: of the samples, (n,), of the samples for each label, (n, K), or None for ones.
    """

    def __init__(self, x: Floats, target: Floats, weights: Floats | None = None, *, one_of: bool) -> None:
        self.x, self.target = torch.from_numpy(np.ascontiguousarray(x)), target  # torch multiplies faster
        self.one_of = one_of
        self.each = np.ones((len(x), 1)) if weights is None else weights.reshape(len(x), -1)
        mean = self.each.mean(1, keepdims=True)
        self.bend = 0.5 if self.one_of else 0.25
        self.products, self.total = x.T @ (x * mean), float(mean.sum())

    def fit(self, strength: float, start: Floats, level: float) -> Floats:
        """(D + 1, K) weights of the columns and, last, the constants; `start` is of the same shape.

        They minimise strength · Σ weight · loss + |weights of the columns|² / 2.
        """
        from scipy.linalg import cholesky, solve_triangular
        from scipy.optimize import minimize

        width, shape = self.x.shape[1], start.shape
        x = self.x.float() if level >= ROUGH else self.x  # half of the numbers to move
        root = cholesky(self.bend * strength * self.products + np.eye(width))
        unit = np.sqrt(self.bend * strength * self.total)  # of the constants

        def plain(z: Floats) -> Floats:
            z = z.reshape(shape)
            return np.vstack([solve_triangular(root, z[:-1]), z[-1:] / unit])

        def cost(z: Floats) -> tuple[float, Floats]:
            w = plain(z)
            loss, slope = self._loss((x @ torch.from_numpy(w[:-1]).to(x.dtype)).double().numpy() + w[-1])
            down = (torch.from_numpy(slope).T.to(x.dtype) @ x).double().numpy().T
            inner = solve_triangular(root, strength * down + w[:-1], trans="T")
            gradient = np.vstack([inner, strength / unit * slope.sum(0)])
            return strength * loss + 0.5 * float((w[:-1] ** 2).sum()), gradient.reshape(-1)

        first = np.vstack([root @ start[:-1], unit * start[-1:]]).reshape(-1)
        least = level * float(np.abs(cost(np.zeros_like(first))[1]).max())
        options = {"maxiter": _STEPS, "maxcor": 20, "gtol": least, "ftol": 0.0}
        return plain(minimize(cost, first, jac=True, method="L-BFGS-B", options=options).x)

    def _loss(self, logits: Floats) -> tuple[float, Floats]:
        """The summed loss, and its slope by the logits (n, K)."""
        if self.one_of:
            logits = logits - logits.max(1, keepdims=True)
            p = np.exp(logits)
            total = p.sum(1, keepdims=True)
            own = (logits * self.target).sum(1, keepdims=True)
            return float((self.each * (np.log(total) - own)).sum()), self.each * (p / total - self.target)
        from scipy.special import expit

        loss = np.logaddexp(0.0, logits) - self.target * logits
        return float((self.each * loss).sum()), self.each * (expit(logits) - self.target)
