"""Encoders for vectors: a multi-layer perceptron, and nothing at all before a linear head."""

from __future__ import annotations

from math import prod

from torch import Tensor, nn


class Mlp(nn.Module):
    """(B, ...) -> (B, F): flatten, one hidden layer of 8 * width units with ReLU, one of F with ReLU."""

    def __init__(self, shape: tuple[int, ...], *, width: int, features: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(prod(shape), 8 * width)
        self.dense = nn.Linear(8 * width, features)
        self.map_channels, self.out_features = 8 * width, features

    def forward(self, x: Tensor) -> Tensor:
        """(B, ...) -> (B, F)."""
        return nn.functional.relu(self.dense(nn.functional.relu(self.hidden(x.flatten(1)))))


class Linear(nn.Module):
    """(B, ...) -> (B, D): the input itself, flattened, so that the head makes a linear classifier of it."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.map_channels = self.out_features = prod(shape)

    def forward(self, x: Tensor) -> Tensor:
        """(B, ...) -> (B, D)."""
        return x.flatten(1)
