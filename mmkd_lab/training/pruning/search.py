"""The search for the units to prune: masks, their gradients, and one ranking of all units."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from mmkd_lab.core.check import require
from mmkd_lab.models.network import MultimodalNet
from mmkd_lab.training.pruning.surgery import PrunedNet, extract, masked, prunable
from mmkd_lab.training.pruning.units import groups_of, parameter_count
from mmkd_lab.training.replicas import Replicas


class Search:
    """The networks, their masks, and the gradients that the masks have gathered so far.

    Args:
        replicas: R trained networks of one spec.
        target: the parameters that each is to have left.
        stacked: run all replicas in one pass; None does so beside the CPU, where passes in turn are quicker.

    Raises:
        LabError: networks whose units are not known, or a target out of reach.
    """

    def __init__(self, replicas: Replicas, target: int, *, stacked: bool | None = None) -> None:
        self.stacked = replicas.device.type != "cpu" if stacked is None else stacked
        self.groups = groups_of(replicas.net)
        assert isinstance(replicas.net, MultimodalNet)
        self.replicas, self.net = replicas, prunable(replicas.net, self.groups)
        self.shapes = {name: tuple(value.shape[1:]) for name, value in replicas.parameters.items()}
        self.before = self.count({group.name: group.size for group in self.groups})
        self.target = target
        least = self.count({group.name: 1 for group in self.groups})
        rule = f"must be from {least:,}, one unit a layer, to {self.before:,}, the whole network"
        require(len(self.groups) > 0, "replicas", repr(replicas), "has no units that can be pruned")
        require(least <= target <= self.before, "parameters", target, rule)
        fresh = dict(self.net.named_buffers())
        self.buffers = {
            name: replicas.buffers[name]
            if name in replicas.buffers
            else value.to(replicas.device).expand(len(replicas), *value.shape)
            for name, value in fresh.items()
        }
        learns = {name: one.requires_grad for name, one in replicas.net.named_parameters()}
        self.weights = {
            name: nn.Parameter(value.clone(), requires_grad=learns[name])
            for name, value in replicas.parameters.items()
        }
        self.masks = {
            group.name: torch.ones(
                len(replicas), group.size, device=replicas.device, dtype=replicas.dtype, requires_grad=True
            )
            for group in self.groups
        }

    def count(self, kept: Mapping[str, int]) -> int:
        """Parameters of one network with so many units left in each group."""
        return parameter_count(self.shapes, self.groups, kept)

    def logits(self, x: dict[str, Tensor], *, shared: bool = False) -> Tensor:
        """{modality: (R, B, ...)} -> (R, B, K) under the masks."""
        weights = masked(self.weights, self.groups, self.masks)
        buffers = masked(self.buffers, self.groups, self.masks)

        def one(values: dict[str, Tensor], buffers: dict[str, Tensor], x: dict[str, Tensor]) -> Tensor:
            found: Tensor = functional_call(self.net, (values, buffers), (x,))
            return found

        if self.stacked:
            stacked: Tensor = vmap(one, in_dims=(0, 0, None if shared else 0))(weights, buffers, x)
            return stacked
        return torch.stack(
            [
                one(_row(weights, r), _row(buffers, r), x if shared else _row(x, r))
                for r in range(len(self.replicas))
            ]
        )

    def shrink(self, share: float) -> None:
        """Rank all units by the gradients so far, and set the masks for this share of the budget."""
        gone = self.chosen(share)
        with torch.no_grad():
            start = 0
            for group in self.groups:
                part = gone[:, start : start + group.size]
                self.masks[group.name].copy_(torch.where(part, 1.0 - share, 1.0))
                start += group.size

    def chosen(self, share: float) -> Tensor:
        """(R, units) bool: the units that go, the first of the ranking that reach the budget."""
        score = self.scores()
        rows = [self._first(score[r], share) for r in range(len(score))]
        return torch.stack(rows).to(self.replicas.device)

    def scores(self) -> Tensor:
        """(R, units): the gathered gradients, z-scored per replica within each kind of unit."""
        masks = [self.masks[group.name] for group in self.groups]
        grads = [torch.zeros_like(mask) if mask.grad is None else mask.grad for mask in masks]
        whole_rows = torch.cat(grads, dim=1).double()
        kinds = [group.kind for group in self.groups for _ in range(group.size)]
        found = torch.empty_like(whole_rows)
        for kind in set(kinds):
            where = torch.tensor([i for i, one in enumerate(kinds) if one == kind], device=found.device)
            away = whole_rows[:, where] - whole_rows[:, where].mean(dim=1, keepdim=True)
            spread = (away.square().sum(dim=1, keepdim=True) / max(1, len(where) - 1)).sqrt()
            found[:, where] = away / spread.clamp(min=torch.finfo(away.dtype).tiny)
        return found

    def _first(self, score: Tensor, share: float) -> Tensor:
        score = score.cpu().clone()
        start = 0
        for (
            group
        ) in self.groups:  # one unit of each layer stays: the one that the loss would most like to grow
            score[start + int(score[start : start + group.size].argmin())] = -torch.inf
            start += group.size
        order = torch.argsort(score, descending=True, stable=True)
        owner = torch.tensor([g for g, group in enumerate(self.groups) for _ in range(group.size)])
        allowed = self.before - share * (self.before - self.target)
        low, high = 0, len(order) - len(self.groups)
        while low < high:  # the fewest units that reach it: each one taken leaves fewer parameters
            middle = (low + high) // 2
            taken = torch.bincount(owner[order[:middle]], minlength=len(self.groups)).tolist()
            left = {group.name: group.size - n for group, n in zip(self.groups, taken, strict=True)}
            low, high = (low, middle) if self.count(left) <= allowed else (middle + 1, high)
        gone = torch.zeros(len(order), dtype=torch.bool)
        gone[order[:low]] = True
        return gone

    def kept(self, r: int) -> dict[str, Tensor]:
        """{group: (units,) bool} of replica `r`: the units whose masks are not 0."""
        return {name: mask[r].detach() > 0 for name, mask in self.masks.items()}

    def small(self, r: int) -> PrunedNet:
        """Replica `r` without the units whose masks are 0."""
        state = {**_row(self.weights, r), **_row(self.buffers, r)}
        return extract(self.net, state, self.groups, self.kept(r))


def _row(named: Mapping[str, Tensor], r: int) -> dict[str, Tensor]:
    return {name: value[r] for name, value in named.items()}
