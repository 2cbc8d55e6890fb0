"""From an encoder's name and a sample's shape to the module."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from mmkd_lab.base.check import one_of, require
from mmkd_lab.nets.lenet import LeNet
from mmkd_lab.nets.resnet import ResNet
from mmkd_lab.nets.spec import ENCODERS, NetSpec
from mmkd_lab.nets.vector import Linear, Mlp


class Encoder(Protocol):
    """What every encoder offers: its two output lengths, its first maps and its features."""

    map_channels: int
    out_features: int

    def maps(self, x: Tensor) -> Tensor:
        """(B, ...) -> (B, C, h, w) for convolutional encoders, (B, C) for the others."""
        ...

    def __call__(self, x: Tensor) -> Tensor:
        """(B, ...) -> (B, F)."""
        ...


def resolve(name: str, shape: tuple[int, ...]) -> str:
    """The encoder that a name means for samples of a shape: 'auto' is 'lenet' for (C, H, W), else 'mlp'."""
    one_of("encoder", name, ENCODERS)
    if name != "auto":
        return name
    return "lenet" if len(shape) == 3 else "mlp"


def encoder(spec: NetSpec, modality: str, shape: tuple[int, ...]) -> LeNet | ResNet | Mlp | Linear:
    """The untrained encoder of one modality. Raises `LabError` when it cannot read this shape."""
    require(all(side >= 1 for side in shape), f"shapes[{modality!r}]", shape, "every side must be at least 1")
    name = resolve(spec.encoder_of(modality), shape)
    if name == "lenet":
        return LeNet(shape, width=spec.width, features=spec.features)
    if name == "resnet":
        return ResNet(shape, width=spec.width, features=spec.features)
    return Mlp(shape, width=spec.width, features=spec.features) if name == "mlp" else Linear(shape)
