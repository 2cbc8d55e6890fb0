"""Stacked, looped or compiled: the recorded choice, per architecture and device."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

import torch
from torch import nn

from mmkd_lab.core.check import one_of
from mmkd_lab.models.encode import resolve
from mmkd_lab.models.network import MultimodalNet

MODES = ("stacked", "looped", "compiled")
#: What the table tells apart, the costliest first. Small maps have a shorter side below 16.
KINDS = ("single_stream", "resnet", "lenet", "resnet small", "lenet small", "bag", "mlp", "linear")
TABLE = "strategy.json"


def architecture(net: nn.Module) -> str:
    """'lenet', 'mlp + resnet', 'single_stream', ...: what decides the speed; 'own' for your own module."""
    if not isinstance(net, MultimodalNet):
        return "own"
    return " + ".join(sorted(set(_parts(net).values())))


def kind(encoder: str, shape: tuple[int, ...]) -> str:
    """The row of the table for one encoder (not 'auto') and the shape of a sample."""
    return f"{encoder} small" if encoder in ("lenet", "resnet") and min(shape[1:]) < 16 else encoder


@cache
def table() -> dict[str, dict[str, str]]:
    """{device type: {kind: mode}}, as benchmarks/replicas.py measured it."""
    recorded = json.loads(files(__package__).joinpath(TABLE).read_text("utf-8"))
    choice: dict[str, dict[str, str]] = recorded["choice"]
    return choice


def choose(net: nn.Module, device: torch.device, mode: str = "auto") -> str:
    """The mode to train in. 'auto' looks in the table; compiled is never chosen, only asked for.

    A network with several encoders goes by the costliest of them. A module that cannot be stacked is looped;
    what is not in the table is looped on the CPU and stacked elsewhere.

    Raises `LabError` for an unknown mode.
    """
    one_of("mode", mode, ("auto", *MODES))
    if mode != "auto":
        return mode
    if obstacles(net):
        return "looped"
    otherwise = "looped" if device.type == "cpu" else "stacked"
    if not isinstance(net, MultimodalNet):
        return otherwise
    kinds = {kind(name, net.shapes[m]) for m, name in _parts(net).items()}
    return table().get(device.type, {}).get(min(kinds, key=KINDS.index), otherwise)


def _parts(net: MultimodalNet) -> dict[str, str]:
    """{modality: what reads it}."""
    if net.spec.fusion == "single_stream":
        return dict.fromkeys(net.modalities, "single_stream")
    text = net.spec.token_counts
    return {m: resolve(net.spec.encoder_of(m), net.shapes[m], text=m in text) for m in net.modalities}


def stacks(net: nn.Module, device: torch.device) -> bool:
    """Whether replicas are better evaluated stacked."""
    return choose(net, device) == "stacked"


def obstacles(net: nn.Module) -> list[str]:
    """The submodules that cannot be stacked: dropout and batch statistics live outside the parameters.

    Dropout at rate 0, also that of attention, drops nothing and is no obstacle.
    """
    return [name or type(part).__name__ for name, part in net.named_modules() if _in_the_way(part)]


def _in_the_way(part: nn.Module) -> bool:
    if isinstance(part, nn.MultiheadAttention):
        return float(part.dropout) > 0
    if isinstance(part, nn.modules.dropout._DropoutNd):
        return part.p > 0
    return isinstance(part, nn.modules.batchnorm._BatchNorm)
