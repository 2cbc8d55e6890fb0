"""Which units of a network can be pruned, and which entries of which parameters belong to each of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from math import prod

from torch import nn

from mmkd_lab.core.check import LabError, require
from mmkd_lab.models.bag import Bag
from mmkd_lab.models.fusion import Attention, Late, Mid
from mmkd_lab.models.lenet import LeNet
from mmkd_lab.models.network import MultimodalNet
from mmkd_lab.models.single_stream import SingleStream
from mmkd_lab.models.unet import Up
from mmkd_lab.models.vector import Linear, Mlp

_PLAIN = (nn.Conv2d, nn.GroupNorm, nn.Identity, nn.ReLU, nn.MaxPool2d, nn.AvgPool2d, nn.Flatten)


@dataclass(frozen=True)
class Tie:
    """Unit u of a group owns the entries start + u · each, ..., start + (u + 1) · each - 1 along an axis of
    one network's parameter or buffer `name`.

    They either make the unit's output or, with `reads`, take it in: there a mask acts.
    """

    name: str
    axis: int
    start: int = 0
    each: int = 1
    reads: bool = False


@dataclass(frozen=True)
class Group:
    """The units of one layer. `ties` are all the entries that go when a unit goes.

    Scores are compared within a `kind` first: 'channels' of convolutions, 'units' of dense layers, 'heads'.
    """

    name: str
    kind: str
    size: int
    ties: tuple[Tie, ...]


def groups_of(net: nn.Module) -> tuple[Group, ...]:
    """The groups of units that can be pruned, over all modalities.

    Mlp and Bag: hidden units and features. LeNet: channels of every convolution and features. Late and mid
    fusion: the joint layers too. A single stream: attention heads and the units between its two dense layers.
    What other layers add up (residual maps, tokens) keeps its width.

    Raises:
        LabError: a network of your own, or one with a ResNet encoder, whose blocks add maps to each other,
            with an encoder for sequences, or of U-Nets.
    """
    if not isinstance(net, MultimodalNet):
        rule = "only networks built from a NetSpec can be pruned"
        raise LabError("replicas", type(net).__name__, rule, "The units of your own module are not known.")
    fusion = net.fusion
    maps = [name for name, part in net.named_modules() if isinstance(part, Up)]
    rule = "the units of a U-Net, whose levels meet again on the way up, cannot go one by one"
    require(not maps, "replicas", maps[:1], rule)
    if isinstance(fusion, SingleStream):
        return tuple(_stream(fusion))
    joint = ["head"]  # the layers that read all modalities, each the one before
    if isinstance(fusion, Mid):
        joint = [*(["fusion.merge"] if fusion.has_maps else []), "fusion.dense", "head"]
    elif isinstance(fusion, Late) and isinstance(fusion.joint, nn.Sequential):
        joint = ["fusion.joint.0", "head"]
    found: list[Group] = []
    start = 0
    for i, modality in enumerate(net.modalities):
        reader = Tie(_weight(net, joint[0]), 1, start, reads=True)
        if isinstance(fusion, Attention):
            reader = Tie(f"fusion.token.{i}.weight", 1, reads=True)
        own = _chain(net, _layers(net, i), reader)
        found += own
        start += own[-1].size if own else prod(net.shapes[modality])
    return (*found, *_chain(net, joint[:-1], Tie("head.weight", 1, reads=True)))


def prunable_range(net: nn.Module) -> tuple[int, int]:
    """The fewest parameters to which a network can be pruned, one unit a layer, and those it has.

    Raises `LabError` for a network whose units are not known.
    """
    groups = groups_of(net)
    shapes = {name: tuple(value.shape) for name, value in net.named_parameters()}
    whole = parameter_count(shapes, groups, {group.name: group.size for group in groups})
    return parameter_count(shapes, groups, {group.name: 1 for group in groups}), whole


def parameter_count(
    shapes: Mapping[str, Sequence[int]], groups: Iterable[Group], kept: Mapping[str, int]
) -> int:
    """Parameters of one network, {name: shape} when whole, that keeps so many units of each {group: kept}."""
    sides = {name: list(shape) for name, shape in shapes.items()}
    for group in groups:
        for tie in group.ties:
            if tie.name in sides:
                sides[tie.name][tie.axis] -= (group.size - kept[group.name]) * tie.each
    return sum(prod(shape) for shape in sides.values())


def _layers(net: MultimodalNet, i: int) -> list[str]:
    """The layers with units of modality `i` alone, each reading the one before."""
    if isinstance(net.fusion, Mid):
        stem = f"fusion.stems.{i}.first"
        return [] if isinstance(net.get_submodule(stem), nn.Flatten) else [stem]
    at = f"fusion.encoders.{i}"
    encoder = net.get_submodule(at)
    if isinstance(encoder, LeNet):
        layers = ["stem", *(f"trunk.{j}" for j in range(len(encoder.trunk))), "dense"]
    elif isinstance(encoder, (Mlp, Bag)):
        layers = ["hidden" if isinstance(encoder, Mlp) else "stem", "dense"]
    else:
        _require_plain(isinstance(encoder, Linear), at)
        layers = []
    return [f"{at}.{layer}" for layer in layers]


def _chain(net: MultimodalNet, layers: Sequence[str], reader: Tie) -> list[Group]:
    """The units of layers that each read the one before; `reader` reads the last."""
    found = []
    for at, after in zip_longest(layers, layers[1:]):
        kind, size, made = _units(net, at)
        last = reader
        if after is not None:
            name = _weight(net, after)  # a dense layer may read several cells of a channel
            last = Tie(name, 1, each=net.get_parameter(name).shape[1] // size, reads=True)
        found.append(Group(at, kind, size, (*made, last)))
    return found


def _units(net: MultimodalNet, at: str) -> tuple[str, int, tuple[Tie, ...]]:
    """Kind and number of a layer's units, and what makes them: of a dense layer, of embeddings, or of a
    convolution with its norm, wherever in the block that is.
    """
    layer = net.get_submodule(at)
    if isinstance(layer, nn.Linear):
        return "units", layer.out_features, (Tie(f"{at}.weight", 0), Tie(f"{at}.bias", 0))
    parts = dict(layer.named_children())
    if isinstance(table := parts.get("table"), nn.Embedding):
        return "units", table.embedding_dim, (Tie(f"{at}.table.weight", 1),)
    norms = [name for name, part in parts.items() if isinstance(part, nn.GroupNorm)]
    plain = all(isinstance(part, _PLAIN) for part in parts.values())
    _require_plain(plain and len(norms) == 1, at)
    norm = f"{at}.{norms[0]}"
    ties = [Tie(f"{at}.0.weight", 0), Tie(f"{norm}.weight", 0), Tie(f"{norm}.bias", 0)]
    ties += [Tie(f"{norm}.counted", 0, reads=True), Tie(f"{norm}.member", 0)]
    return "channels", net.get_parameter(f"{at}.0.weight").shape[0], tuple(ties)


def _stream(fusion: SingleStream) -> list[Group]:
    found, width = [], fusion.out_features
    for i, block in enumerate(fusion.blocks):
        at, heads = f"fusion.blocks.{i}", int(block.heads)  # type: ignore[arg-type]
        each = width // heads
        ties = (
            Tie(f"{at}.ask.weight", 0, each=each),
            Tie(f"{at}.key_value.weight", 0, each=each),
            Tie(f"{at}.key_value.weight", 0, start=width, each=each),
            Tie(f"{at}.join.weight", 1, each=each, reads=True),
        )
        found.append(Group(f"{at}.heads", "heads", heads, ties))
        wide = (
            Tie(f"{at}.widen.weight", 0),
            Tie(f"{at}.widen.bias", 0),
            Tie(f"{at}.narrow.weight", 1, reads=True),
        )
        found.append(Group(f"{at}.widen", "units", 4 * width, wide))
    return found


def _weight(net: MultimodalNet, at: str) -> str:
    """The weight of a dense layer, or of a block's convolution."""
    return f"{at}.weight" if isinstance(net.get_submodule(at), nn.Linear) else f"{at}.0.weight"


def _require_plain(plain: bool, at: str) -> None:
    rule = "the units of a ResNet, whose blocks add maps, and of encoders for sequences cannot go one by one"
    require(plain, "replicas", at, rule, "Prune a network with another encoder, such as 'lenet'.")
