"""From one modality to tokens: words of a text, patches of a map, rows of features, one vector."""

from __future__ import annotations

from math import ceil, prod

import torch
from torch import Tensor, nn

from mmkd_lab.core.check import require
from mmkd_lab.data.text import PAD
from mmkd_lab.models.axes import time_axis
from mmkd_lab.models.bag import Embedding
from mmkd_lab.models.encode import rows_of_text
from mmkd_lab.models.sequence import Steps
from mmkd_lab.models.spec import NetSpec


class _Tokens(nn.Module):
    count: int

    def there(self, x: Tensor) -> Tensor | None:
        """Which tokens may be attended to, (B, T) bool; None for all."""
        return None


class Words(_Tokens):
    """(B, L) token ids -> (B, L, F). Padding has no content: the zero vector."""

    def __init__(self, rows: int, length: int, *, features: int) -> None:
        super().__init__()
        self.table = Embedding(rows, features)
        self.count = length

    def forward(self, ids: Tensor) -> Tensor:
        """(B, L) -> (B, L, F)."""
        content = self.table(ids)
        return torch.where((ids != PAD).unsqueeze(-1), content, content.new_zeros(()))

    def there(self, x: Tensor) -> Tensor:
        """All but padding, (B, L) bool; all of a text that is nothing but padding, as zeros leave it."""
        real = x != PAD
        return real | ~real.any(-1, keepdim=True)


class Patches(_Tokens):
    """(B, C, H, W) -> (B, T, F): square patches, row by row; maps are filled up with zeros to whole ones."""

    def __init__(self, shape: tuple[int, ...], *, features: int, patch: int) -> None:
        super().__init__()
        channels, *sides = shape
        self.side = patch or ceil(min(sides) / 4)
        self.grid = [ceil(side / self.side) for side in sides]
        self.rim = [n * self.side - side for n, side in zip(self.grid, sides, strict=True)]
        self.project = nn.Linear(channels * self.side**2, features)
        self.count = self.grid[0] * self.grid[1]

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, T, F)."""
        if any(self.rim):
            x = nn.functional.pad(x, (0, self.rim[1], 0, self.rim[0]))
        cut = x.reshape(len(x), -1, self.grid[0], self.side, self.grid[1], self.side)
        out: Tensor = self.project(cut.permute(0, 2, 4, 1, 3, 5).reshape(len(x), self.count, -1))
        return out


class Rows(_Tokens):
    """(B, ...) -> (B, T, F), or a vector (B, D) -> (B, 1, F): each step through one dense layer."""

    def __init__(self, shape: tuple[int, ...], *, time: int | None, features: int) -> None:
        super().__init__()
        self.count = 1 if time is None else shape[time]
        self.steps = nn.Identity() if time is None else Steps(time)
        self.project = nn.Linear(prod(shape) // self.count, features)

    def forward(self, x: Tensor) -> Tensor:
        """(B, ...) or (B, D) -> (B, T, F)."""
        out: Tensor = self.project(self.steps(x).reshape(len(x), self.count, -1))
        return out


Tokens = Words | Patches | Rows


def tokens(spec: NetSpec, modality: str, shape: tuple[int, ...]) -> Tokens:
    """The untrained tokens of one modality: text by its vocabulary, anything else by its axes.

    Raises `LabError` for a shape without axes, or a patch larger than the picture.
    """
    rows = rows_of_text(spec, modality, shape)
    if rows is not None:
        return Words(rows, shape[0], features=spec.features)
    require(len(shape) > 0, f"shapes[{modality!r}]", shape, "must have an axis for a single stream to read")
    time = time_axis(spec, modality, shape)
    if time is not None or len(shape) == 1:
        return Rows(shape, time=time, features=spec.features)
    rule = f"must fit into the {shape[1]} by {shape[2]} pixels of {modality!r}"
    require(spec.patch <= min(shape[1:]), "patch", spec.patch, rule)
    return Patches(shape, features=spec.features, patch=spec.patch)
