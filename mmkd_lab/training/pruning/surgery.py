"""Networks with masks over their units, and the smaller networks that are left when masks are 0."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mmkd_lab.models.bag import Bag
from mmkd_lab.models.fusion import Late, Mid
from mmkd_lab.models.layers import Wrapper
from mmkd_lab.models.lenet import LeNet
from mmkd_lab.models.network import MultimodalNet
from mmkd_lab.models.vector import Mlp
from mmkd_lab.training.pruning.units import Group, Tie

_TINY = 1e-12


class CountedGroupNorm(nn.Module):
    """Group norm over channels that may count in part, and in groups that may be of unequal size.

    (B, C, H, W) -> the same. A group's mean and variance are those of its channels weighted by `counted`:
    with ones it is torch's group norm; a channel that counts 0 has no say, as if it were not there.
    """

    counted: Tensor
    member: Tensor

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps
        group = torch.arange(norm.num_channels) // (norm.num_channels // norm.num_groups)
        self.register_buffer("counted", torch.ones(norm.num_channels).to(norm.weight))
        member = nn.functional.one_hot(group, norm.num_groups)
        self.register_buffer("member", member.to(norm.weight))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        share = self.member * self.counted[:, None]
        share = share / share.sum(0).clamp(min=_TINY)
        mean = x.mean((-2, -1)) @ share @ self.member.T
        away = x - mean[..., None, None]
        variance = away.square().mean((-2, -1)) @ share @ self.member.T
        scale = torch.rsqrt(variance + self.eps) * self.weight
        return away * scale[..., None, None] + self.bias[:, None, None]


class PrunedNet(Wrapper):
    """What is left of a network after pruning: {modality: (B, ...)} -> logits (B, K), `features` (B, F).

    It reads the modalities and can do the removals of the network it came from, but no `NetSpec` describes
    its layers: each has kept as many units as it has kept.
    """

    def __init__(self, net: MultimodalNet) -> None:
        super().__init__()
        self.module, self.modalities = net, net.modalities
        self.head_name, self.removals = net.head_name, net.removals

    def forward(self, x: Mapping[str, Tensor]) -> Tensor:
        """{modality: (B, ...)} -> logits (B, K)."""
        out: Tensor = self.module(x)
        return out


def prunable(net: MultimodalNet, groups: Sequence[Group]) -> MultimodalNet:
    """A copy whose norms over pruned channels can leave channels out; the parameters keep their names."""
    copied = copy.deepcopy(net)
    for name in {tie.name for group in groups for tie in group.ties if tie.name.endswith(".counted")}:
        path, _, last = name.removesuffix(".counted").rpartition(".")
        parent = copied.get_submodule(path)
        norm = parent.get_submodule(last)
        if isinstance(norm, nn.GroupNorm):
            setattr(parent, last, CountedGroupNorm(norm))
    return copied


def masked(
    values: Mapping[str, Tensor], groups: Sequence[Group], masks: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Parameters or buffers {name: (R, ...)} under masks {group: (R, units)}.

    A unit's output times its mask is what the next layer's weights times the mask make of the output; so that
    no layer has to know of masks.
    """
    found = dict(values)
    for name, ties in _by_name(groups, values).items():
        reading = sorted((pair for pair in ties if pair[1].reads), key=lambda pair: pair[1].start)
        if reading:
            axis = reading[0][1].axis + 1
            factor = _factor(reading, masks, length=values[name].shape[axis])
            around = [1] * values[name].ndim
            around[0], around[axis] = factor.shape
            found[name] = values[name] * factor.reshape(around)
    return found


def _factor(reading: Sequence[tuple[Group, Tie]], masks: Mapping[str, Tensor], *, length: int) -> Tensor:
    """(R, length): the masks laid over one axis, 1 where no group reads."""
    parts: list[Tensor] = []
    where = 0
    for group, tie in reading:
        mask = masks[group.name]
        parts += [mask.new_ones(len(mask), tie.start - where), mask.repeat_interleave(tie.each, dim=1)]
        where = tie.start + group.size * tie.each
    return torch.cat([*parts, parts[0].new_ones(len(parts[0]), length - where)], dim=1)


def extract(
    net: MultimodalNet,
    state: Mapping[str, Tensor],
    groups: Sequence[Group],
    kept: Mapping[str, Tensor],
) -> PrunedNet:
    """The smaller network that keeps some units: no mask, no zero, fewer rows and columns.

    Args:
        net: from `prunable`.
        state: {name: (...)}, the parameters and buffers of one replica.
        groups: the groups.
        kept: {group: (units,) bool}, at least one of each group.
    """
    small = copy.deepcopy(net)
    cuts = _by_name(groups, state)
    for name, value in state.items():
        stays = {axis: torch.ones(side, dtype=torch.bool) for axis, side in enumerate(value.shape)}
        for group, tie in cuts.get(name, []):
            end = tie.start + group.size * tie.each
            stays[tie.axis][tie.start : end] = kept[group.name].cpu().repeat_interleave(tie.each)
        for axis, stay in stays.items():
            value = value.index_select(axis, stay.nonzero().flatten().to(value.device))
        _put(small, name, value)
    for group in groups:
        if group.kind == "heads":
            block = small.get_submodule(group.name.removesuffix(".heads"))
            setattr(block, "heads", int(kept[group.name].sum()))  # noqa: B010 (Module's type has no heads)
    _resize(small)
    return PrunedNet(small)


def _by_name(groups: Sequence[Group], values: Mapping[str, Tensor]) -> dict[str, list[tuple[Group, Tie]]]:
    """The ties of every tensor in `values`."""
    found: dict[str, list[tuple[Group, Tie]]] = {}
    for group in groups:
        for tie in group.ties:
            if tie.name in values:
                found.setdefault(tie.name, []).append((group, tie))
    return found


def _put(net: nn.Module, name: str, value: Tensor) -> None:
    path, _, last = name.rpartition(".")
    module = net.get_submodule(path)
    if last in module._parameters:
        learns = module.get_parameter(last).requires_grad
        value = nn.Parameter(value.detach().clone(), requires_grad=learns)
    setattr(module, last, value)


def _resize(net: nn.Module) -> None:
    """Make the numbers that modules hold about themselves those of their tensors."""
    for module in net.modules():
        if isinstance(module, nn.Linear):
            module.out_features, module.in_features = module.weight.shape
        elif isinstance(module, nn.Conv2d):
            module.out_channels, module.in_channels = module.weight.shape[:2]
        elif isinstance(module, nn.Embedding):
            module.num_embeddings, module.embedding_dim = module.weight.shape
        elif isinstance(module, (LeNet, Mlp, Bag)):
            module.out_features = len(module.dense.weight)
        elif isinstance(module, CountedGroupNorm):
            module.member = module.member[:, module.member.any(0)]  # groups that lost every channel
        elif isinstance(module, MultimodalNet) and isinstance(module.fusion, (Late, Mid)):
            module.fusion.out_features = module.head.weight.shape[1]
