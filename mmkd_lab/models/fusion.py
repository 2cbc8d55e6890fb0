"""How modalities meet: late, mid and attention fusion."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import prod, sqrt

import torch
from torch import Tensor, nn

from mmkd_lab.models.encode import AnyEncoder
from mmkd_lab.models.layers import GRID
from mmkd_lab.models.lenet import LeNet, norm
from mmkd_lab.models.resnet import ResNet
from mmkd_lab.models.unet import UNet
from mmkd_lab.models.vector import Mlp


class Pointwise(nn.Linear):
    """A linear layer over axis 1: (B, F) -> (B, K), or at every position (B, F, H, W) -> (B, K, H, W)."""

    def forward(self, input: Tensor) -> Tensor:
        """(B, F, ...) -> (B, K, ...)."""
        if input.ndim < 3:
            return super().forward(input)
        return super().forward(input.movedim(1, -1)).movedim(-1, 1)


class _Fusion(nn.Module, ABC):
    """`parts` works out each modality by itself, `merged` what they say together."""

    masks = False
    out_features: int

    def forward(self, x: list[Tensor], kept: list[Tensor | None]) -> Tensor:
        """M tensors (B, ...) and M masks, (B,) bool or None where all are kept -> (B, F)."""
        return self.merged(self.parts(x), kept)

    @abstractmethod
    def parts(self, x: list[Tensor]) -> list[Tensor]:
        """What is worked out of each modality by itself: M tensors (B, ...)."""

    @abstractmethod
    def merged(self, parts: list[Tensor], kept: list[Tensor | None]) -> Tensor:
        """What `parts` gave, and the masks -> (B, F)."""


class Late(_Fusion):
    """M feature vectors or maps, concatenated; with `joint` units, a hidden layer over them."""

    def __init__(self, encoders: Sequence[AnyEncoder], *, joint: int) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(encoders)
        total = sum(encoder.out_features for encoder in encoders)
        self.joint = nn.Sequential(Pointwise(total, joint), nn.ReLU()) if joint else nn.Identity()
        self.out_features = joint or total

    def parts(self, x: list[Tensor]) -> list[Tensor]:
        """M feature vectors (B, F), or maps (B, F, H, W)."""
        return [encode(one) for encode, one in zip(self.encoders, x, strict=True)]

    def merged(self, parts: list[Tensor], kept: list[Tensor | None]) -> Tensor:
        """(B, F) or (B, F, H, W), concatenated."""
        out: Tensor = self.joint(torch.cat(parts, dim=1))
        return out


class Mid(_Fusion):
    """The encoders' first maps, merged and then processed jointly.

    Maps are averaged onto a common 4x4 grid; a vector's hidden layer, or the mean over a sequence's steps, is
    laid over every cell. Where every
    modality is a vector, the hidden layers are concatenated and a dense layer goes on from there.
    """

    def __init__(self, encoders: Sequence[AnyEncoder], *, features: int) -> None:
        super().__init__()
        # Only the part of an encoder that runs is kept: a parameter without a gradient would be a trap.
        self.stems = nn.ModuleList([_Stem(encoder) for encoder in encoders])
        total = sum(encoder.map_channels for encoder in encoders)
        self.has_maps = any(isinstance(encoder, (LeNet, ResNet)) for encoder in encoders)
        self.merge: nn.Module = nn.Identity()
        if self.has_maps:
            conv = nn.Conv2d(total, features, 3, padding=1, bias=False)
            self.merge = nn.Sequential(conv, norm(features), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(1))
            total = features * (GRID // 2) ** 2
        self.dense = nn.Linear(total, features)
        self.out_features = features

    def parts(self, x: list[Tensor]) -> list[Tensor]:
        """M first maps, or hidden layers."""
        maps = [stem(one) for stem, one in zip(self.stems, x, strict=True)]
        return [_on_grid(one) for one in maps] if self.has_maps else maps

    def merged(self, parts: list[Tensor], kept: list[Tensor | None]) -> Tensor:
        """(B, F), processed jointly."""
        return nn.functional.relu(self.dense(self.merge(torch.cat(parts, dim=1))))


class MapMid(_Fusion):
    """The maps of every level of the way down are added over the modalities; one way up reads the sums.

    As in FuseNet (Hazirbas et al. 2016, section 3.1), which adds the depth branch's maps to the colour
    branch's; here no branch is the main one.
    """

    def __init__(self, encoders: Sequence[UNet]) -> None:
        super().__init__()
        self.down = nn.ModuleList([encoder.down for encoder in encoders])
        self.up = encoders[0].up
        self.out_features = encoders[0].out_features
        self.shapes = encoders[0].down.shapes

    def parts(self, x: list[Tensor]) -> list[Tensor]:
        """Each modality's maps of all levels, flattened into one row a sample, which views can share."""
        every = [down(one) for down, one in zip(self.down, x, strict=True)]
        return [torch.cat([level.flatten(1) for level in levels], dim=1) for levels in every]

    def merged(self, parts: list[Tensor], kept: list[Tensor | None]) -> Tensor:
        """(B, F, H, W)."""
        total = torch.stack(parts).sum(0)
        rows = torch.split(total, [prod(shape) for shape in self.shapes], dim=1)
        levels = [row.reshape(-1, *shape) for row, shape in zip(rows, self.shapes, strict=True)]
        out: Tensor = self.up(levels)
        return out


class Attention(_Fusion):
    """One learned query attends over one token per modality, and over itself.

    A token is an encoder's features, made F long, plus an embedding of its modality. A masked modality gets
    weight zero exactly. The query is a token as well, so that the empty view has an answer.
    """

    masks = True

    def __init__(self, encoders: Sequence[AnyEncoder], *, features: int) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(encoders)
        self.token = nn.ModuleList([nn.Linear(encoder.out_features, features) for encoder in encoders])
        self.query = nn.Parameter(torch.empty(features))
        # A key bias would shift every score alike and so never learn: Adam would feed on its rounding noise.
        self.key, self.value = nn.Linear(features, features, bias=False), nn.Linear(features, features)
        self.norm = nn.LayerNorm(features)
        self.out_features = features

    def parts(self, x: list[Tensor]) -> list[Tensor]:
        """M tokens (B, F)."""
        return [make(encode(one)) for make, encode, one in zip(self.token, self.encoders, x, strict=True)]

    def merged(self, parts: list[Tensor], kept: list[Tensor | None]) -> Tensor:
        """(B, F), where the query attends."""
        cls = self.query.expand_as(parts[0]).to(parts[0].dtype)
        stacked = torch.stack([cls, *parts], dim=-2)  # (B, 1 + M, F)
        score = (self.key(stacked) * self.query).sum(-1) / sqrt(self.out_features)
        shut = [torch.zeros_like(score[..., 0], dtype=torch.bool)]
        shut += [torch.zeros_like(shut[0]) if mask is None else ~mask for mask in kept]
        weight = score.masked_fill(torch.stack(shut, dim=-1), -torch.inf).softmax(-1)
        out: Tensor = self.norm(cls + (weight.unsqueeze(-1) * self.value(stacked)).sum(-2))
        return out


class _Stem(nn.Module):
    def __init__(self, encoder: AnyEncoder) -> None:
        super().__init__()
        self.first = encoder.hidden if isinstance(encoder, Mlp) else getattr(encoder, "stem", nn.Flatten(1))
        self.flat = isinstance(encoder, Mlp)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = nn.functional.relu(self.first(x.flatten(1))) if self.flat else self.first(x)
        return out.mean(-1) if out.ndim == 3 else out  # over time


def _on_grid(maps: Tensor) -> Tensor:
    if maps.ndim == 2:
        return maps[:, :, None, None].expand(-1, -1, GRID, GRID)
    return nn.functional.adaptive_avg_pool2d(maps, GRID)
