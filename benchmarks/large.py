"""Networks of published sizes for gpu.py, with untrained weights: any module of yours takes their place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions around a shortcut (He et al. 2016, figure 5)."""

    def __init__(self, before: int, width: int, stride: int, dilation: int = 1) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for ins, outs, side, step, apart in (
            (before, width, 1, 1, 1),
            (width, width, 3, stride, dilation),
            (width, 4 * width, 1, 1, 1),
        ):
            layers += _convolution(ins, outs, side, stride=step, dilation=apart)
        self.body = nn.Sequential(*layers[:-1])
        fits = before == 4 * width and stride == 1
        same = nn.Conv2d(before, 4 * width, 1, stride, bias=False)
        self.shortcut = nn.Identity() if fits else nn.Sequential(same, nn.BatchNorm2d(4 * width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, 4 width, H / stride, W / stride)."""
        return torch.relu(self.body(x) + self.shortcut(x))


def stages(channels: int, width: int, depths: Sequence[int], *, dilated: bool = False) -> list[nn.Module]:
    """A residual network before its head: at 1/4 of the picture, then each half as large; with `dilated` the
    last keeps its size and its 3 x 3 convolutions are dilated by 2 (Chen et al. 2017, DeepLabV3)."""
    first = nn.Sequential(*_convolution(channels, width, 7, stride=2), nn.MaxPool2d(3, 2, 1))
    found, before = list[nn.Module]([first]), width
    for stage, depth in enumerate(depths):
        last = dilated and stage == len(depths) - 1
        blocks = []
        for i in range(depth):
            stride = 2 if i == 0 and stage > 0 and not last else 1
            blocks.append(Bottleneck(before, width * 2**stage, stride, 2 if last else 1))
            before = 4 * width * 2**stage
        found.append(nn.Sequential(*blocks))
    return found


def resnet(width: int, depths: Sequence[int], classes: int) -> nn.Module:
    """A residual network, with 64 and (3, 4, 6, 3) of ResNet-50's size, for pictures (B, 3, H, W)."""
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width * 2 ** (len(depths) - 1), classes)]
    return nn.Sequential(*stages(3, width, depths), *head)


class TwoBranch(nn.Module):
    """{modality: (B, C, H, W)} -> logits (B, K, H, W): a residual branch for each modality, and one head.

    After every stage the maps of all branches are added up, and the first branch goes on from the sum
    (Hazirbas et al. 2016, FuseNet; Seichter et al. 2021, ESANet). The head is that of DeepLabV3+ (Chen et
    al. 2018): convolutions of several dilations and a mean over the map, then the maps of the first stage
    beside them. One modality is the case of one branch. `channels` is {modality: channels}.
    """

    def __init__(self, channels: Mapping[str, int], width: int, depths: Sequence[int], classes: int) -> None:
        super().__init__()
        self.modalities = tuple(channels)
        branches = [stages(each, width, depths, dilated=True) for each in channels.values()]
        self.branches = nn.ModuleList([nn.ModuleList(one) for one in branches])
        deep, wide = 4 * width * 2 ** (len(depths) - 1), 4 * width
        self.context = nn.ModuleList(
            [nn.Sequential(*_convolution(deep, wide, 1))]
            + [nn.Sequential(*_convolution(deep, wide, 3, dilation=apart)) for apart in (6, 12, 18)]
        )
        self.mean = nn.Sequential(nn.Conv2d(deep, wide, 1), nn.ReLU())
        self.merge = nn.Sequential(*_convolution(5 * wide, wide, 1))
        self.fine = nn.Sequential(*_convolution(4 * width, width, 1))
        self.head = nn.Sequential(*_convolution(wide + width, wide, 3), nn.Conv2d(wide, classes, 1))

    def forward(self, x: Mapping[str, Tensor]) -> Tensor:
        """{modality: (B, C, H, W)} -> (B, K, H, W)."""
        maps, seen = [x[name] for name in self.modalities], []
        for layers in zip(*self.branches, strict=True):
            maps = [layer(one) for layer, one in zip(layers, maps, strict=True)]
            maps[0] = torch.stack(maps).sum(0) if len(maps) > 1 else maps[0]
            seen.append(maps[0])
        fine, deep = seen[1], seen[-1]
        mean = self.mean(deep.mean((-2, -1), keepdim=True)).expand(-1, -1, *deep.shape[-2:])
        coarse = self.merge(torch.cat([*(look(deep) for look in self.context), mean], dim=1))
        both = torch.cat([_resized(coarse, fine), self.fine(fine)], dim=1)
        return _resized(self.head(both), x[self.modalities[0]])


def _resized(maps: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(maps, size=like.shape[-2:], mode="bilinear", align_corners=False)


def _convolution(ins: int, outs: int, side: int, *, stride: int = 1, dilation: int = 1) -> list[nn.Module]:
    around = dilation * (side // 2)
    conv = nn.Conv2d(ins, outs, side, stride, around, dilation=dilation, bias=False)
    return [conv, nn.BatchNorm2d(outs), nn.ReLU()]
