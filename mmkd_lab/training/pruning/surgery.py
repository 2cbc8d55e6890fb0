"""Networks with masks over their units, and the smaller networks that are left when masks are 0."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mmkd_lab.models.layers import Wrapper
from mmkd_lab.models.network import MultimodalNet
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
        self.register_buffer("member", nn.functional.one_hot(group, norm.num_groups).to(norm.weight))

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
        norm = copied.get_submodule(f"{path}.{last}")
        assert isinstance(norm, nn.GroupNorm)
        setattr(copied.get_submodule(path), last, CountedGroupNorm(norm))
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
        reading = sorted(
            ((tie.start, group, tie) for group, tie in ties if tie.reads), key=lambda one: one[0]
        )
        if not reading:
            continue
        axis, parts, where = reading[0][2].axis + 1, list[Tensor](), 0
        shape, one = values[name].shape, masks[reading[0][1].name]
        for start, group, tie in reading:  # the masks laid over the axis, 1 where no group reads
            mask = masks[group.name].repeat_interleave(tie.each, dim=1)
            parts += [one.new_ones(len(one), start - where), mask]
            where = start + mask.shape[1]
        factor = torch.cat([*parts, one.new_ones(len(one), shape[axis] - where)], dim=1)
        around = [1] * len(shape)
        around[0], around[axis] = factor.shape
        found[name] = values[name] * factor.reshape(around)
    return found


def extract(
    net: MultimodalNet, state: Mapping[str, Tensor], groups: Sequence[Group], kept: Mapping[str, Tensor]
) -> PrunedNet:
    """The smaller network that keeps some units of a `prunable` one: no mask, fewer rows and columns.

    `state` is {name: (...)}, the parameters and buffers of one replica; `kept` is {group: (units,) bool}, at
    least one of each.
    """
    small = copy.deepcopy(net)
    cuts = _by_name(groups, state)
    for name, value in state.items():
        stays = [torch.ones(side, dtype=torch.bool, device=value.device) for side in value.shape]
        for group, tie in cuts.get(name, []):
            end = tie.start + group.size * tie.each
            stays[tie.axis][tie.start : end] = kept[group.name].repeat_interleave(tie.each)
        for axis, stay in enumerate(stays):
            value = value.index_select(axis, stay.nonzero().flatten())
        path, _, last = name.rpartition(".")
        module = small.get_submodule(path)
        if last in module._parameters:
            learns = module.get_parameter(last).requires_grad
            value = nn.Parameter(value.detach().clone(), requires_grad=learns)
        setattr(module, last, value)
    for group in groups:
        if group.kind == "heads":
            block = small.get_submodule(group.name.removesuffix(".heads"))
            setattr(block, "heads", int(kept[group.name].sum()))  # noqa: B010 (Module's type has no heads)
    for module in small.modules():  # the numbers that modules hold about themselves
        if isinstance(module, nn.Linear):
            module.out_features, module.in_features = module.weight.shape
        elif isinstance(module, nn.Conv2d):
            module.out_channels, module.in_channels = module.weight.shape[:2]
        elif isinstance(module, nn.Embedding):
            module.num_embeddings, module.embedding_dim = module.weight.shape
    return PrunedNet(small)


def _by_name(groups: Sequence[Group], values: Mapping[str, Tensor]) -> dict[str, list[tuple[Group, Tie]]]:
    """The ties of every tensor in `values`."""
    found: dict[str, list[tuple[Group, Tie]]] = {}
    for group in groups:
        for tie in group.ties:
            if tie.name in values:
                found.setdefault(tie.name, []).append((group, tie))
    return found
