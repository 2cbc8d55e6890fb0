"""Networks as replicas: made ready, asked in one call or one after another, and who can be stacked."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.parameter import UninitializedParameter

from mmkd_lab.core.check import LabError, one_of, require, whole
from mmkd_lab.core.seed import derive
from mmkd_lab.data.paired import PairedData
from mmkd_lab.models.adapter import ModelAdapter
from mmkd_lab.models.layers import Wrapper, watched
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


def answers(
    net: nn.Module,
    parameters: Named,
    buffers: Named,
    x: Mapping[str, Tensor],
    *,
    shared: bool,
    stacked: bool,
    layers: Sequence[str] = (),
    parts: SharedParts | None = None,
) -> Found:
    """What R networks say to {modality: (R, B, ...)}, or (B, ...) when shared: see `Asked`, with R in front.

    Raises `LabError` for a network that draws random numbers and is to be stacked.
    """
    asked = Asked(net)

    def one(parameters: Named, buffers: Named, x: Named) -> Found:
        found: Found = functional_call(asked, (_inner(parameters), _inner(buffers)), (x, layers, parts))
        return found

    if stacked:
        try:
            together: Found = vmap(one, in_dims=(0, 0, None if shared else 0))(parameters, buffers, dict(x))
        except RuntimeError as error:
            if "randomness" not in str(error):
                raise
            rule = "the network draws random numbers as it runs, which cannot be stacked"
            raise LabError("mode", "stacked", rule, "Use mode='looped'.") from error
        return together
    each = [
        one(row_of(parameters, r), row_of(buffers, r), dict(x) if shared else row_of(x, r))
        for r in range(len(next(iter(parameters.values()))))
    ]
    seen = {layer: torch.stack([features[layer] for _, features in each]) for layer in layers}
    return torch.stack([logits for logits, _ in each]), seen


def choose(net: nn.Module, device: torch.device, mode: str = "auto") -> str:
    """How replicas of a network are run: 'stacked' on CUDA where the network allows, else 'looped'.

    Raises `LabError` for an unknown mode, or a network that cannot be stacked and is to be.
    """
    one_of("mode", mode, ("auto", "looped", "stacked"))
    stuck = obstacles(net)
    rule = f"the module {stuck[0] if stuck else ''!r} cannot be stacked"
    require(mode != "stacked" or not stuck, "mode", mode, rule, "Use mode='looped'.")
    if mode == "auto":
        return "stacked" if device.type == "cuda" and not stuck else "looped"
    return mode


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


def ready(one: object, data: PairedData | None, seed: int, dtype: torch.dtype | None) -> nn.Module:
    """A module as a network of the lab, in its precision and with the shapes of all its parameters."""
    net = one if isinstance(one, (MultimodalNet, Wrapper)) else ModelAdapter(one)  # type: ignore[arg-type]
    lazy = any(isinstance(value, UninitializedParameter) for value in net.parameters())
    rule, known = "has layers without a shape, which need samples to find it", data is not None or not lazy
    require(known, "modules", type(one).__name__, rule, "Replicas.of(modules, data=data).")
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


def built(net: nn.Module) -> tuple[Any, ...]:
    """How a network is built: of two that are alike only the weights may differ."""
    said = [getattr(net, name, None) for name in ("spec", "modalities", "num_outputs")]
    parts = [(name, type(part)) for name, part in net.named_modules()]
    shapes = {name: value.shape for name, value in (*net.named_parameters(), *net.named_buffers())}
    return said, parts, shapes


def row_of(named: Mapping[str, Tensor], r: int) -> Named:
    """{name: (R, ...)} -> {name: (...)}, those of one replica."""
    return {name: value[r] for name, value in named.items()}


def fill(net: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    """Copy {name: (...)} into the parameters and buffers of a network; returns it."""
    with torch.no_grad():
        for name, value in (*net.named_parameters(), *net.named_buffers()):
            value.copy_(state[name])
    return net


def known_seeds(seeds: object) -> tuple[int, ...]:
    """The seeds of replicas, which may repeat. Raises `LabError` unless they are whole numbers from 0."""
    if isinstance(seeds, (str, bytes)) or not isinstance(seeds, Iterable):
        raise LabError("seeds", seeds, "must be a sequence of whole numbers", "For example seeds=range(5).")
    known = tuple(whole("seeds", seed, at_least=0) for seed in seeds)
    require(len(known) > 0, "seeds", seeds, "must name at least one seed")
    return known


def _inner(named: Named) -> Named:
    """By the names that they have in `Asked`."""
    return {f"net.{name}": value for name, value in named.items()}
