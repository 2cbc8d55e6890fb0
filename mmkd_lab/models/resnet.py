"""A small residual encoder for images and spectrograms."""

from __future__ import annotations

from torch import Tensor, nn

from mmkd_lab.models.lenet import map_shape, norm


class ResNet(nn.Module):
    """(B, C, H, W) -> (B, F), for sides of 8 to 112 pixels.

    A convolution (strided where the shorter side is 16 or more), then residual blocks with `width`, 2 and 4
    times `width` channels, each but the first halving the map, the mean over the map, and one dense layer. He
    et al. 2016, section 3.3, with group norm for batch norm.
    """

    def __init__(self, shape: tuple[int, ...], *, width: int, features: int) -> None:
        super().__init__()
        channels, sides = map_shape(shape)
        stride = 2 if min(sides) >= 16 else 1
        stem: list[nn.Module] = [
            nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False),
            norm(width),
            nn.ReLU(),
        ]
        if min(sides) >= 64:
            stem.append(nn.MaxPool2d(2))
        self.stem, self.map_channels = nn.Sequential(*stem, _Residual(width, width, stride=1)), width
        self.trunk = nn.Sequential(
            _Residual(width, 2 * width, stride=2),
            _Residual(2 * width, 4 * width, stride=2),
        )
        self.dense = nn.Linear(4 * width, features)
        self.out_features = features

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, F)."""
        return nn.functional.relu(self.dense(self.trunk(self.stem(x)).mean((-2, -1))))


class _Residual(nn.Module):
    def __init__(self, channels: int, out: int, *, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, out, 3, stride=stride, padding=1, bias=False),
            norm(out),
            nn.ReLU(),
            nn.Conv2d(out, out, 3, padding=1, bias=False),
            norm(out),
        )
        same = stride == 1 and channels == out
        self.skip = nn.Identity() if same else nn.Conv2d(channels, out, 1, stride=stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.relu(self.body(x) + self.skip(x))
