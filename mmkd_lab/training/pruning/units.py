"""Which units of a network can be pruned, and which entries of which parameters belong to each of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import NoReturn

from torch import nn

from mmkd_lab.core.check import LabError
from mmkd_lab.models.bag import Bag
from mmkd_lab.models.fusion import GRID, Attention, Late, Mid
from mmkd_lab.models.lenet import LeNet
from mmkd_lab.models.network import MultimodalNet
from mmkd_lab.models.single_stream import Block, SingleStream
from mmkd_lab.models.vector import Linear, Mlp

#: Scores are compared within a kind first: 'channels' of convolutions, 'units' of dense layers, 'heads'.
KINDS = ("channels", "units", "heads")
_PLAIN = (nn.Conv2d, nn.GroupNorm, nn.Identity, nn.ReLU, nn.MaxPool2d, nn.AvgPool2d, nn.Flatten)


@dataclass(frozen=True)
class Tie:
    """Unit u of a group owns the entries start + u · each, ..., start + (u + 1) · each - 1 along an axis.

    Args:
        name: the parameter or buffer.
        axis: the axis of one network's tensor.
        start: where the group's first unit begins.
        each: entries per unit.
        reads: True where the entries take the unit's output in: there a mask acts. False where they make it.
    """

    name: str
    axis: int
    start: int = 0
    each: int = 1
    reads: bool = False


@dataclass(frozen=True)
class Group:
    """The units of one layer. `ties` are all the entries that go when a unit goes."""

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
        LabError: a network of your own, or one with a ResNet encoder, whose blocks add maps to each other.
    """
    rule = "only networks built from a NetSpec can be pruned"
    if not isinstance(net, MultimodalNet):
        raise LabError("replicas", type(net).__name__, rule, "The units of your own module are not known.")
    fusion = net.fusion
    if isinstance(fusion, SingleStream):
        return _stream(fusion)
    if isinstance(fusion, Mid):
        return _mid(net, fusion)
    joint = isinstance(fusion, Late) and isinstance(fusion.joint, nn.Sequential)
    found: list[Group] = []
    start = 0
    for i, encoder in enumerate(fusion.encoders):
        at = "fusion.joint.0" if joint else "head"
        reader = Tie(f"{at}.weight", 1, start, reads=True)
        if isinstance(fusion, Attention):
            reader = Tie(f"fusion.token.{i}.weight", 1, reads=True)
        found += _encoder(encoder, f"fusion.encoders.{i}", reader)
        start += encoder.out_features if isinstance(encoder, (Mlp, LeNet, Linear, Bag)) else 0
    if joint:
        found.append(_dense("fusion.joint.0", fusion.out_features, Tie("head.weight", 1, reads=True)))
    return tuple(found)


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
    """Parameters of one network that keeps so many units of each group.

    Args:
        shapes: {parameter: shape in the whole network}.
        groups: the groups.
        kept: {group: units kept}.
    """
    sides = {name: list(shape) for name, shape in shapes.items()}
    for group in groups:
        for tie in group.ties:
            if tie.name in sides:
                sides[tie.name][tie.axis] -= (group.size - kept[group.name]) * tie.each
    return sum(prod(shape) for shape in sides.values())


def _encoder(encoder: nn.Module, at: str, reader: Tie) -> list[Group]:
    if isinstance(encoder, Linear):
        return []
    if isinstance(encoder, Mlp):
        into = Tie(f"{at}.dense.weight", 1, reads=True)
        return [
            _stem(f"{at}.hidden", encoder.hidden, into),
            _dense(f"{at}.dense", encoder.out_features, reader),
        ]
    if isinstance(encoder, Bag):
        into = Tie(f"{at}.dense.weight", 1, reads=True)
        return [_stem(f"{at}.stem", encoder.stem, into), _dense(f"{at}.dense", encoder.out_features, reader)]
    if not isinstance(encoder, LeNet):
        _refuse(at)
    assert isinstance(encoder, LeNet)
    blocks = {f"{at}.stem": encoder.stem}
    blocks |= {f"{at}.trunk.{j}": block for j, block in enumerate(encoder.trunk)}
    inputs = [Tie(f"{where}.0.weight", 1, reads=True) for where in blocks]
    channels = encoder.get_parameter(f"{list(blocks)[-1].removeprefix(f'{at}.')}.0.weight").shape[0]
    cells = encoder.dense.in_features // channels
    inputs.append(Tie(f"{at}.dense.weight", 1, each=cells, reads=True))
    found = [
        _block(where, block, into) for (where, block), into in zip(blocks.items(), inputs[1:], strict=True)
    ]
    return [*found, _dense(f"{at}.dense", encoder.out_features, reader)]


def _mid(net: MultimodalNet, fusion: Mid) -> tuple[Group, ...]:
    found: list[Group] = []
    start = 0
    at = "fusion.merge.0.weight" if fusion.has_maps else "fusion.dense.weight"
    for i, (stem, modality) in enumerate(zip(fusion.stems, net.modalities, strict=True)):
        first, where = stem.get_submodule("first"), f"fusion.stems.{i}.first"
        if isinstance(first, nn.Flatten):
            start += prod(net.shapes[modality])
            continue
        reader = Tie(at, 1, start, reads=True)
        found.append(
            _block(where, first, reader) if isinstance(first, nn.Sequential) else _stem(where, first, reader)
        )
        start += found[-1].size
    if fusion.has_maps:
        cells = (GRID // 2) ** 2
        found.append(
            _block("fusion.merge", fusion.merge, Tie("fusion.dense.weight", 1, each=cells, reads=True))
        )
    return (*found, _dense("fusion.dense", fusion.out_features, Tie("head.weight", 1, reads=True)))


def _stream(fusion: SingleStream) -> tuple[Group, ...]:
    found = []
    for i, block in enumerate(fusion.blocks):
        assert isinstance(block, Block)
        at, heads = f"fusion.blocks.{i}", block.heads
        width, each = fusion.out_features, fusion.out_features // heads
        ties = (
            Tie(f"{at}.ask.weight", 0, each=each),
            Tie(f"{at}.key_value.weight", 0, each=each),
            Tie(f"{at}.key_value.weight", 0, start=width, each=each),
            Tie(f"{at}.join.weight", 1, each=each, reads=True),
        )
        found.append(Group(f"{at}.heads", "heads", heads, ties))
        found.append(_dense(f"{at}.widen", 4 * width, Tie(f"{at}.narrow.weight", 1, reads=True)))
    return tuple(found)


def _dense(at: str, size: int, reader: Tie) -> Group:
    """The outputs of a dense layer."""
    return Group(at, "units", size, (Tie(f"{at}.weight", 0), Tie(f"{at}.bias", 0), reader))


def _stem(at: str, first: nn.Module, reader: Tie) -> Group:
    """The hidden layer of an Mlp, or the embeddings of a Bag."""
    if isinstance(first, nn.Linear):
        return _dense(at, first.out_features, reader)
    table = first.get_parameter("table.weight")
    return Group(at, "units", table.shape[1], (Tie(f"{at}.table.weight", 1), reader))


def _block(at: str, block: nn.Module, reader: Tie) -> Group:
    """The channels of a convolution with its norm, wherever in the block that is."""
    parts = dict(block.named_children())
    conv = parts["0"]
    norms = [name for name, part in parts.items() if isinstance(part, nn.GroupNorm)]
    plain = all(isinstance(part, _PLAIN) for part in parts.values())
    if not isinstance(conv, nn.Conv2d) or len(norms) != 1 or not plain:
        _refuse(at)
    assert isinstance(conv, nn.Conv2d)
    norm = f"{at}.{norms[0]}"
    ties = (
        Tie(f"{at}.0.weight", 0),
        Tie(f"{norm}.weight", 0),
        Tie(f"{norm}.bias", 0),
        Tie(f"{norm}.counted", 0, reads=True),
        Tie(f"{norm}.member", 0),
        reader,
    )
    return Group(at, "channels", conv.out_channels, ties)


def _refuse(at: str) -> NoReturn:
    raise LabError(
        "replicas",
        at,
        "a ResNet's blocks add maps to each other, so that their channels cannot go one by one",
        "Prune a network with another encoder, such as 'lenet'.",
    )
