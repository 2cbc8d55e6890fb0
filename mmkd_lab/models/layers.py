"""What passes the named layers of a network while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from torch import Tensor, nn

from mmkd_lab.core.check import LabError, listing, require
from mmkd_lab.models.removal import VALUES, modality_names

#: Side of the grid on which maps of different sizes are laid over each other, or are summed up.
GRID = 4
#: The layer name of what the head reads: a network's features, unless another layer is named.
HEAD = "head input"


class Wrapper(nn.Module):
    """A network around a `module` that the lab did not write: {modality: (B, ...)} -> logits (B, K).

    It reads `modalities` (None: all that the dataset has), can do `removals`, and its features are what the
    layer `head_name` reads (None: not known).
    """

    module: nn.Module
    modalities: tuple[str, ...] | None
    head_name: str | None
    removals: tuple[str, ...] = VALUES

    @property
    def architecture(self) -> str:
        """What it is, in a word: the name of the module's class."""
        return type(self.module).__name__

    @property
    def layer_names(self) -> tuple[str, ...]:
        """The layers of the module, by its author's names."""
        return tuple(named_layers(self))

    def prepare(self, x: Mapping[str, Tensor], *, argument: str = "module") -> None:
        """Look at a few samples before the first real question. Nothing to do for most."""

    def features(self, x: Mapping[str, Tensor], layer: str | None = None) -> Tensor:
        """{modality: (B, ...)} -> (B, F): what a layer puts out, by default what the head reads."""
        return features_at(self, x, layer or HEAD)

    def refuse_masks(self, x: Mapping[str, Tensor]) -> None:
        """Raise `LabError` for a removal by mask: nobody knows whether the module heeds it."""
        masks = sorted(set(x) - set(modality_names(x)))
        rule = "this network does not know what to do with these masks"
        require(not masks, "removal", masks, rule, f"Use {listing(self.removals)}.")


def set_unit(net: nn.Module, shift: Tensor, scale: Tensor) -> None:
    """Let a module keep the unit of its outputs, (K,) each, as buffers that travel with its weights."""
    net.register_buffer("unit_shift", shift.clone())
    net.register_buffer("unit_scale", scale.clone())


def in_unit(net: nn.Module, answer: Tensor) -> Tensor:
    """What a module answers, in its unit where it has one."""
    if "unit_scale" not in net._buffers:
        return answer
    scale, shift = net.get_buffer("unit_scale"), net.get_buffer("unit_shift")
    return answer * scale.to(answer) + shift.to(answer)


def named_layers(net: nn.Module) -> dict[str, nn.Module]:
    """{name: layer}, by the names that the network's author gave; an adapter's own name is left out."""
    held = net.module if isinstance(net, Wrapper) else net
    return {name: layer for name, layer in held.named_modules() if name}


def features_at(net: nn.Module, x: Mapping[str, Tensor], layer: str) -> Tensor:
    """{modality: (B, ...)} -> (B, F): what a layer of the network puts out, or reads where it is `HEAD`."""
    with watched(net, [layer]) as seen:
        net(x)
    return seen[layer]


@contextmanager
def watched(net: nn.Module, layers: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Within the block, what the layers put out is collected: {name: (B, F)}, maps and sequences flattened.

    `HEAD` is what the head reads, of maps their means over a grid of 4 x 4: where in a scene something is
    matters to hints and relations, and to a pixel it does not. Raises `LabError` for a layer that the network
    lacks, that gives no tensor, or that does not run exactly once.
    """
    known = named_layers(net)
    seen: dict[str, list[Tensor]] = {layer: [] for layer in layers}
    hooks = []
    for layer in seen:
        name = head_name(net) if layer == HEAD else layer
        if name not in known:
            raise LabError("layer", layer, f"is no layer of this network: {listing(list(known))}")
        if layer == HEAD:
            hooks.append(known[name].register_forward_pre_hook(_keeper(seen[layer], layer, "reads")))
        else:
            hooks.append(known[name].register_forward_hook(_keeper(seen[layer], layer, "gives")))
    caught: dict[str, Tensor] = {}
    try:
        yield caught
    finally:
        for hook in hooks:
            hook.remove()
    for layer, values in seen.items():
        if len(values) != 1:
            raise LabError("layer", layer, f"must run once per call, and ran {len(values)} times")
        caught[layer] = values[0]


def head_name(net: nn.Module) -> str:
    """The name of the layer whose input counts as the features. Raises `LabError` when nobody knows it."""
    name = getattr(net, "head_name", None)
    if isinstance(name, str):
        return name
    linear = [name for name, layer in named_layers(net).items() if isinstance(layer, nn.Linear)]
    rule = "must name the layer that the features are read at: no linear layer gives the logits as they are"
    raise LabError("head", None, rule, f"ModelAdapter(module, head=...), for example {listing(linear)}.")


def _keeper(into: list[Tensor], layer: str, does: str) -> Callable[..., None]:
    def keep(_module: nn.Module, args: object, out: object = None) -> None:
        value = args if does == "reads" else out
        while isinstance(value, (tuple, list)) and value:
            value = value[0]
        if not isinstance(value, Tensor) or value.ndim < 2:
            rule = f"{does} {type(value).__name__}, and must give a tensor (samples, ...)"
            raise LabError("layer", layer, rule)
        maps = layer == HEAD and value.ndim == 4
        kept = nn.functional.adaptive_avg_pool2d(value, GRID) if maps else value
        into.append(kept.flatten(1).clone())  # an activation that works in place would change it later

    return keep
