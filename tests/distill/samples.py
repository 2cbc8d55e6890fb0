"""Random outputs in double precision, for checks to many digits."""

from __future__ import annotations

import torch


def draw(*shape: int, seed: int = 0, count: int = 2) -> tuple[torch.Tensor, ...]:
    """`count` tensors of a shape, standard normal, float64."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(*shape, generator=generator, dtype=torch.float64) for _ in range(count))


def rotation(size: int, *, seed: int = 0) -> torch.Tensor:
    """A random orthogonal matrix."""
    return torch.linalg.qr(draw(size, size, seed=seed, count=1)[0])[0]
