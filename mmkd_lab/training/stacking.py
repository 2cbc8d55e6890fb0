"""Stack, join and call the parameters of replicas."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mmkd_lab.core.check import LabError, require, whole

Named = dict[str, Tensor]
#: (network, parameters, buffers, inputs) of one replica -> what it gives, (B, ...).
Call = Callable[[nn.Module, Named, Named, Named], Tensor]


def call_logits(net: nn.Module, parameters: Named, buffers: Named, x: Named) -> Tensor:
    """Logits (B, K) of one replica."""
    found: Tensor = functional_call(net, (parameters, buffers), (x,))
    return found


def call_features(net: nn.Module, parameters: Named, buffers: Named, x: Named) -> Tensor:
    """Features (B, F) of one replica."""
    prefixed = tuple({f"net.{name}": value for name, value in part.items()} for part in (parameters, buffers))
    found: Tensor = functional_call(_Features(net), prefixed, (x,))
    return found


class _Features(nn.Module):
    """A network's `features` as its `forward`, which is all that functional_call can call."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Named) -> Tensor:
        run: Callable[[Named], Tensor] = getattr(self.net, "features")  # noqa: B009 (Module's type has no features)
        return run(x)


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
        require(
            shape == shapes[0],
            f"modules[{r}]",
            sorted(set(shape.items()) ^ set(shapes[0].items())),
            "its parameters must have the names and shapes of the first network's",
        )
    return {name: torch.stack([part[name].detach() for part in parts]) for name in parts[0]}


def join_rows(parts: Sequence[Mapping[str, Tensor]]) -> Named:
    """Several {name: (R, ...)} -> one, along the leading axis. Raises `LabError` when they do not agree."""
    first = {name: value.shape[1:] for name, value in parts[0].items()}
    for part in parts:
        same = {name: value.shape[1:] for name, value in part.items()} == first
        require(same, "parts", sorted(part), "all parts must have the same architecture")
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def known_seeds(seeds: object) -> tuple[int, ...]:
    """The seeds of replicas, which may repeat. Raises `LabError` unless they are whole numbers from 0."""
    if isinstance(seeds, (str, bytes)) or not isinstance(seeds, Iterable):
        raise LabError("seeds", seeds, "must be a sequence of whole numbers", "For example seeds=range(5).")
    known = tuple(whole("seeds", seed, at_least=0) for seed in seeds)
    require(len(known) > 0, "seeds", seeds, "must name at least one seed")
    return known
