"""A module as it is given, and as replicas want it: adapted, with all its shapes, in one precision."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter

from mmkd_lab.core.check import require
from mmkd_lab.core.seed import derive
from mmkd_lab.data.paired import PairedData
from mmkd_lab.models.adapter import ModelAdapter
from mmkd_lab.models.layers import Wrapper
from mmkd_lab.models.network import MultimodalNet


def ready(one: object, data: PairedData | None, seed: int, dtype: torch.dtype | None) -> nn.Module:
    """A module as a network of the lab, in its precision and with the shapes of all its parameters."""
    net = one if isinstance(one, (MultimodalNet, Wrapper)) else ModelAdapter(one)  # type: ignore[arg-type]
    lazy = any(isinstance(value, UninitializedParameter) for value in net.parameters())
    rule = "has layers without a shape, which need samples to find it"
    require(
        data is not None or not lazy, "modules", type(one).__name__, rule, "Replicas.of(modules, data=data)."
    )
    kinds = {value.dtype for value in net.parameters() if value.is_floating_point()}
    kind = dtype or (torch.float64 if torch.float64 in kinds else torch.float32)
    if lazy or kinds - {kind}:
        net = copy.deepcopy(net).to(kind)  # yours stays as it is
    if data is not None and isinstance(net, Wrapper):
        where = next(iter(net.parameters()), torch.zeros(())).device
        x = data.batch(data.positions("train")[:2], net.modalities, dtype=kind)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(seed, "init"))
            net.prepare({name: value.to(where) for name, value in x.items()}, argument="modules")
    return net
