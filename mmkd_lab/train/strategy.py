"""Stacked, looped or compiled: the recorded choice, per architecture and device."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

import torch
from torch import nn

from mmkd_lab.base.check import one_of
from mmkd_lab.nets.encode import resolve
from mmkd_lab.nets.network import MultimodalNet

MODES = ("stacked", "looped", "compiled")
TABLE = "strategy.json"


def architecture(net: nn.Module) -> str:
    """'lenet', 'mlp + resnet', ...: the encoders, which decide the speed; 'own' for your own module."""
    if not isinstance(net, MultimodalNet):
        return "own"
    names = {resolve(net.spec.encoder_of(m), net.shapes[m]) for m in net.modalities}
    return " + ".join(sorted(names))


@cache
def table() -> dict[str, dict[str, str]]:
    """{device type: {encoder: mode}}, as benchmarks/replicas.py measured it."""
    found: dict[str, dict[str, str]] = json.loads(files(__package__).joinpath(TABLE).read_text("utf-8"))[
        "choice"
    ]
    return found


def choose(net: nn.Module, device: torch.device, mode: str = "auto") -> str:
    """The mode to train in. 'auto' looks the encoder up in the table.

    A network with several encoders goes by the slowest of them (resnet, lenet, mlp, linear). A module that
    cannot be stacked is looped. Raises `LabError` for an unknown mode.
    """
    one_of("mode", mode, ("auto", *MODES))
    if mode != "auto":
        return mode
    if obstacles(net):
        return "looped"
    here = table().get(device.type, {})
    for name in ("resnet", "lenet", "mlp", "linear"):
        if name in architecture(net).split(" + "):
            return here.get(name, "stacked" if device.type == "cuda" else "looped")
    return "stacked" if device.type == "cuda" else "looped"


def stacks(net: nn.Module, device: torch.device) -> bool:
    """Whether replicas are better evaluated stacked."""
    return choose(net, device) == "stacked"


def obstacles(net: nn.Module) -> list[str]:
    """The submodules that cannot be stacked: dropout and batch statistics live outside the parameters."""
    kinds = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)
    return [name or type(part).__name__ for name, part in net.named_modules() if isinstance(part, kinds)]
