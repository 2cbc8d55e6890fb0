"""A LeNet-style encoder: convolutions and pooling until the map is small, then one dense layer."""

from __future__ import annotations

from math import gcd

from torch import Tensor, nn

from mmkd_lab.core.check import require
from mmkd_lab.models.axes import SMALLEST

#: The longest side that convolutional encoders accept, in pixels.
LARGEST = 112


class LeNet(nn.Module):
    """(B, C, H, W) -> (B, F), for sides of 8 to 112 pixels.

    Blocks of convolution (5x5, then 3x3), 2x2 max-pooling, group norm and ReLU halve the map until its
    shorter side is 2 or 3; the channels double at each block, up to four times the first. From 16 pixels on,
    the first block halves by its stride instead. Group norm rather than batch norm: a sample's output must
    not depend on which views share its batch.
    """

    def __init__(self, shape: tuple[int, ...], *, width: int, features: int) -> None:
        super().__init__()
        channels, sides = map_shape(shape)
        blocks: list[nn.Module] = []
        while min(sides) > 3:
            out = width if not blocks else min(2 * channels, 4 * width)
            strided = not blocks and min(sides) >= 16
            blocks.append(_block(channels, out, kernel=3 if blocks else 5, strided=strided))
            sides = ((sides[0] + strided) // 2, (sides[1] + strided) // 2)
            channels = out
        self.map_channels = width
        self.stem, self.trunk = blocks[0], nn.Sequential(*blocks[1:])
        self.dense = nn.Linear(channels * sides[0] * sides[1], features)
        self.out_features = features

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, F)."""
        return nn.functional.relu(self.dense(self.trunk(self.stem(x)).flatten(1)))


def norm(channels: int) -> nn.GroupNorm:
    """Group norm in at most four groups."""
    return nn.GroupNorm(gcd(channels, 4), channels)


def _block(channels: int, out: int, *, kernel: int, strided: bool) -> nn.Sequential:
    conv = nn.Conv2d(channels, out, kernel, stride=2 if strided else 1, padding=kernel // 2, bias=False)
    # Pooling first: the norm and the ReLU, most of a small net's time, then run on a quarter of the map.
    pool = nn.Identity() if strided else nn.MaxPool2d(2)
    return nn.Sequential(conv, pool, norm(out), nn.ReLU())


def map_shape(shape: tuple[int, ...]) -> tuple[int, tuple[int, int]]:
    """(channels, (height, width)) of a sample. Raises `LabError` where a convolution cannot read it."""
    rule = f"a convolutional encoder reads (channels, height, width) with sides of {SMALLEST} to {LARGEST}"
    require(readable(shape), "shape", shape, rule, "Use encoder='mlp' for anything else.")
    return shape[0], (shape[1], shape[2])


def readable(shape: tuple[int, ...]) -> bool:
    """Whether convolutional encoders can read samples of this shape."""
    return len(shape) == 3 and all(SMALLEST <= side <= LARGEST for side in shape[1:])
