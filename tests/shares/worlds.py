"""Small Gaussian worlds for the tests of this folder, drawn here so that they need no other floor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Small:
    shared: int = 3
    specific_a: int = 3
    specific_b: int = 2
    hidden: int = 2


def draw(spec: Small = Small(), *, n: int = 2000, noise: int = 3, seed: int = 0):
    """Columns of a, columns of b, labels: equal weights, each latent a column, some columns of noise."""
    rng = np.random.default_rng(seed)
    parts = [
        rng.standard_normal((n, k)) for k in (spec.specific_b, spec.shared, spec.specific_a, spec.hidden)
    ]
    own_b, shared, own_a, _ = parts
    y = (np.column_stack(parts).sum(1) > 0).astype(int)
    a = np.column_stack([shared, own_a, rng.standard_normal((n, noise))])
    b = np.column_stack([own_b, shared, rng.standard_normal((n, noise))])
    return a, b, y


def xor(*, n: int = 1000, seed: int = 0):
    """One decisive column each; the label is the XOR of their signs."""
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((2, n, 2))
    return a, b, ((a[:, 0] > 0) ^ (b[:, 0] > 0)).astype(int)


def blurred(r2: float, *, n: int = 2000, noise: int = 3, seed: int = 0):
    """Two noisy views of the one latent that decides, which predict each other with this R^2; some noise."""
    rng = np.random.default_rng(seed)
    latent, kept = rng.standard_normal(n), r2**0.25
    sides = [rng.standard_normal((n, 1 + noise)) for _ in range(2)]
    for side in sides:
        side[:, 0] = kept * latent + np.sqrt(1 - kept**2) * side[:, 0]
    return *sides, (latent > 0).astype(int)
