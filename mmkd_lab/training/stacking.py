"""Stacked or one after another: what the parameters of replicas are put into, and who can be stacked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from mmkd_lab.core.check import LabError, one_of, require, whole
from mmkd_lab.models.layers import watched
from mmkd_lab.models.network import MultimodalNet
from mmkd_lab.models.shared_parts import SharedParts, features_of_views

Named = dict[str, Tensor]
#: Logits, and {layer: features}.
Found = tuple[Tensor, dict[str, Tensor]]
Mode = Literal["auto", "looped", "stacked"]


class Asked(nn.Module):
    """A network asked for its logits and for what passes some layers, under one view or several."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(
        self, x: Mapping[str, Tensor], layers: Sequence[str] = (), parts: SharedParts | None = None
    ) -> Found:
        """{modality: (B, ...)} -> (logits (B, K), {layer: (B, F)}).

        With `parts`, `x` is as `with_removed` gave it, logits and what the head reads have V * B rows, and
        every layer's first B rows are those of the first view.
        """
        if not layers and parts is None:
            return self.net(x), {}
        with watched(self.net, layers) as seen:
            if parts is None:
                logits: Tensor = self.net(x)
            else:
                assert isinstance(self.net, MultimodalNet)
                logits = self.net.head(features_of_views(self.net, x, parts))
        return logits, seen


def choose(net: nn.Module, device: torch.device, mode: str = "auto") -> Literal["looped", "stacked"]:
    """How replicas of a network are run: 'stacked' on CUDA where the network allows, else 'looped'.

    Raises `LabError` for an unknown mode, or a network that cannot be stacked and is to be.
    """
    one_of("mode", mode, ("auto", "looped", "stacked"))
    stuck = obstacles(net)
    if mode == "stacked":
        rule = f"the module {stuck[0] if stuck else ''!r} cannot be stacked"
        require(not stuck, "mode", mode, rule, "Use mode='looped'.")
        return "stacked"
    return "stacked" if mode == "auto" and device.type == "cuda" and not stuck else "looped"


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


def alike(one: nn.Module, other: nn.Module) -> bool:
    """Whether two networks have the same parts and read the same modalities: only weights may differ."""
    same_parts = _parts(one) == _parts(other)
    return same_parts and all(
        getattr(one, name, None) == getattr(other, name, None)
        for name in ("spec", "modalities", "num_outputs")
    )


def _parts(net: nn.Module) -> list[tuple[str, type[nn.Module]]]:
    return [(name, type(part)) for name, part in net.named_modules()]


def stack_rows(parts: Sequence[Mapping[str, Tensor]]) -> Named:
    """{name: (...)} of R networks -> {name: (R, ...)}. Raises `LabError` when they do not agree."""
    shapes = [{name: tuple(value.shape) for name, value in part.items()} for part in parts]
    for r, shape in enumerate(shapes):
        odd = sorted(set(shape.items()) ^ set(shapes[0].items()))
        rule = "its parameters must have the names and shapes of the first network's"
        require(shape == shapes[0], f"modules[{r}]", odd, rule)
    return {name: torch.stack([part[name].detach() for part in parts]) for name in parts[0]}


def join_rows(parts: Sequence[Mapping[str, Tensor]]) -> Named:
    """Several {name: (R, ...)} -> one, along the leading axis. Raises `LabError` when they do not agree."""
    first = {name: value.shape[1:] for name, value in parts[0].items()}
    for part in parts:
        same = {name: value.shape[1:] for name, value in part.items()} == first
        require(same, "parts", sorted(part), "all parts must have the same architecture")
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def row_of(named: Mapping[str, Tensor], r: int) -> Named:
    """{name: (R, ...)} -> {name: (...)}, those of one replica."""
    return {name: value[r] for name, value in named.items()}


def known_seeds(seeds: object) -> tuple[int, ...]:
    """The seeds of replicas, which may repeat. Raises `LabError` unless they are whole numbers from 0."""
    if isinstance(seeds, (str, bytes)) or not isinstance(seeds, Iterable):
        raise LabError("seeds", seeds, "must be a sequence of whole numbers", "For example seeds=range(5).")
    known = tuple(whole("seeds", seed, at_least=0) for seed in seeds)
    require(len(known) > 0, "seeds", seeds, "must name at least one seed")
    return known
