"""Encoders for sequences: convolutions over time, and a gated recurrent unit."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor, nn

from mmkd_lab.models.lenet import norm


class Conv1d(nn.Module):
    """(B, ...) -> (B, F): convolutions over time until few steps are left, then one dense layer.

    Blocks of convolution (5 steps, then 3), max-pooling, group norm and ReLU halve the steps until 2 or 3 are
    left; the first has 4 * width channels, the others 8 * width.
    """

    def __init__(self, shape: tuple[int, ...], *, time: int, width: int, features: int) -> None:
        super().__init__()
        steps, channels = shape[time], 4 * width
        first = _block(prod(shape) // steps, channels, kernel=5, halved=steps > 3)
        self.stem = nn.Sequential(Steps(time), _ChannelsFirst(), *first)
        self.map_channels, self.out_features = channels, features
        trunk, steps = list[nn.Module](), max(steps // 2, min(steps, 3))
        while steps > 3:
            trunk += _block(channels, 8 * width, kernel=3, halved=True)
            steps, channels = steps // 2, 8 * width
        self.trunk = nn.Sequential(*trunk)
        self.dense = nn.Linear(channels * steps, features)

    def forward(self, x: Tensor) -> Tensor:
        """(B, ...) -> (B, F)."""
        return nn.functional.relu(self.dense(self.trunk(self.stem(x)).flatten(1)))


class Gru(nn.Module):
    """(B, ...) -> (B, F): the last state, of 8 * width numbers, of a gated recurrent unit, and a dense layer.

    Cho et al. 2014, with the reset gate behind the matrix, as torch has it.
    """

    def __init__(self, shape: tuple[int, ...], *, time: int, width: int, features: int) -> None:
        super().__init__()
        self.map_channels, self.out_features = 8 * width, features
        self.stem = nn.Sequential(Steps(time), Recurrence(prod(shape) // shape[time], 8 * width))
        self.dense = nn.Linear(8 * width, features)

    def forward(self, x: Tensor) -> Tensor:
        """(B, ...) -> (B, F)."""
        return nn.functional.relu(self.dense(self.stem(x)))


class Recurrence(nn.Module):
    """(B, T, C) -> (B, H), the last state; written out, as torch's own cannot be stacked."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.read, self.recall = nn.Linear(channels, 3 * hidden), nn.Linear(hidden, 3 * hidden)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, H)."""
        read = self.read(x)
        state = torch.zeros_like(read[:, 0, : self.recall.in_features])
        for now in read.unbind(1):
            (reset, update, new), past = now.chunk(3, -1), self.recall(state).chunk(3, -1)
            new = torch.tanh(new + torch.sigmoid(reset + past[0]) * past[2])
            state = new + torch.sigmoid(update + past[1]) * (state - new)
        return state


class Steps(nn.Module):
    """(B, ...) -> (B, T, C): time first, all other axes together behind it."""

    def __init__(self, time: int) -> None:
        super().__init__()
        self.time = time

    def forward(self, x: Tensor) -> Tensor:
        """(B, ...) -> (B, T, C)."""
        return x.movedim(1 + self.time, 1).reshape(*x.shape[:1], x.shape[1 + self.time], -1)


class _ChannelsFirst(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2)


def _block(channels: int, out: int, *, kernel: int, halved: bool) -> list[nn.Module]:
    conv = nn.Conv1d(channels, out, kernel, padding=kernel // 2, bias=False)
    return [conv, nn.MaxPool1d(2) if halved else nn.Identity(), norm(out), nn.ReLU()]
