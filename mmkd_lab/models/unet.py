"""A small U-Net for maps: an answer for every position of a picture."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmkd_lab.core.check import require
from mmkd_lab.models.axes import SMALLEST
from mmkd_lab.models.lenet import norm

#: Sides from which the first convolution halves the map; the last then doubles it again.
_STRIDED = 16


class UNet(nn.Module):
    """(B, C, H, W) -> (B, F, H, W), for sides of at least 8 pixels.

    Three levels of `width`, 2 and 4 times `width` channels, each half as wide as the one before, and back up
    with each level concatenated to what comes from below (Ronneberger et al. 2015, section 2), with one
    convolution a step and group norm. Where the shorter side is 16 or more the first level is at half the
    resolution, and the last map is doubled by sub-pixel convolution (Shi et al. 2016, section 3.2).
    """

    def __init__(self, shape: tuple[int, ...], *, width: int, features: int) -> None:
        super().__init__()
        rule = f"a U-Net reads (channels, height, width) with sides of at least {SMALLEST}"
        require(len(shape) == 3 and min(shape[1:]) >= SMALLEST, "shape", shape, rule)
        self.down = Down(shape, width=width)
        self.up = Up([one[0] for one in self.down.shapes], shape[1:], features=features)
        self.map_channels, self.out_features = width, features

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, F, H, W)."""
        out: Tensor = self.up(self.down(x))
        return out


class Down(nn.Module):
    """(B, C, H, W) -> the maps of three levels, the finest first."""

    def __init__(self, shape: tuple[int, ...], *, width: int) -> None:
        super().__init__()
        strided = 2 if min(shape[1:]) >= _STRIDED else 1
        self.stem = _block(shape[0], width, stride=strided)
        self.trunk = nn.ModuleList([_block(n * width, 2 * n * width, stride=2) for n in (1, 2)])
        sides = [[-(-side // (strided * 2**level)) for side in shape[1:]] for level in range(3)]
        #: (C, h, w) of each level; a side that is odd is rounded up when it is halved.
        self.shapes = tuple((width * 2**level, *each) for level, each in enumerate(sides))

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, C, H, W) -> [(B, width, h, w), (B, 2 width, h/2, w/2), ...]."""
        levels = [self.stem(x)]
        for halve in self.trunk:
            levels.append(halve(levels[-1]))
        return levels


class Up(nn.Module):
    """The maps of the levels, the finest first -> (B, F, H, W)."""

    def __init__(self, channels: Sequence[int], sides: Sequence[int], *, features: int) -> None:
        super().__init__()
        self.sides, self.factor = tuple(sides), 2 if min(sides) >= _STRIDED else 1
        first, second, third = channels
        self.merge = nn.ModuleList(
            [_block(second + third, second), _block(first + second, features * self.factor**2)]
        )

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """[(B, C, h, w), ...] -> (B, F, H, W)."""
        first, second, third = levels
        middle = self.merge[0](_beside(second, third))
        out = nn.functional.pixel_shuffle(self.merge[1](_beside(first, middle)), self.factor)
        return out[..., : self.sides[0], : self.sides[1]]


def _beside(fine: Tensor, coarse: Tensor) -> Tensor:
    """A map and a coarser one, each of whose cells is repeated, as one."""
    wide = nn.functional.interpolate(coarse, size=fine.shape[-2:], mode="nearest")
    return torch.cat([fine, wide], dim=1)


def _block(channels: int, out: int, *, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(channels, out, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(conv, norm(out), nn.ReLU())
