"""The search for the units to prune: masks, their gradients, and one ranking of all units."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mmkd_lab.core.check import require
from mmkd_lab.models.network import MultimodalNet
from mmkd_lab.training.pruning.surgery import PrunedNet, extract, masked, prunable
from mmkd_lab.training.pruning.units import groups_of, parameter_count
from mmkd_lab.training.replicas import Replicas
from mmkd_lab.training.stacking import answers, row_of


class Search:
    """The networks, their masks, and the gradients that the masks have gathered so far.

    Each of R trained networks of one spec is to have `target` parameters left. They run `stacked`, in one
    pass, beside the CPU, where passes in turn are quicker. Raises `LabError` for networks whose units are not
    known, or a target out of reach.
    """

    def __init__(self, replicas: Replicas, target: int, *, stacked: bool | None = None) -> None:
        self.stacked = replicas.device.type != "cpu" if stacked is None else stacked
        self.groups, self.replicas, self.target = groups_of(replicas.net), replicas, target
        require(len(self.groups) > 0, "replicas", repr(replicas), "has no units that can be pruned")
        assert isinstance(replicas.net, MultimodalNet)
        self.net, where, r = prunable(replicas.net, self.groups), replicas.device, len(replicas)
        self.shapes = {name: tuple(value.shape[1:]) for name, value in replicas.parameters.items()}
        self.before = replicas.size
        least = self.count({group.name: 1 for group in self.groups})
        rule = f"must be from {least:,}, one unit a layer, to {self.before:,}, the whole network"
        require(least <= target <= self.before, "parameters", target, rule)
        fresh = {name: value.to(where).expand(r, *value.shape) for name, value in self.net.named_buffers()}
        self.buffers = {name: replicas.buffers.get(name, value) for name, value in fresh.items()}
        self.weights: dict[str, Tensor] = {
            name: nn.Parameter(replicas.parameters[name].clone(), requires_grad=one.requires_grad)
            for name, one in replicas.net.named_parameters()
        }
        how = {"device": where, "dtype": replicas.dtype, "requires_grad": True}
        self.masks = {group.name: torch.ones(r, group.size, **how) for group in self.groups}  # type: ignore[call-overload]

    def count(self, kept: Mapping[str, int]) -> int:
        """Parameters of one network with so many units left in each group."""
        return parameter_count(self.shapes, self.groups, kept)

    def logits(self, x: Mapping[str, Tensor], *, shared: bool = False) -> Tensor:
        """{modality: (R, B, ...)} -> (R, B, K) under the masks."""
        weights, buffers = (masked(one, self.groups, self.masks) for one in (self.weights, self.buffers))
        return answers(self.net, weights, buffers, x, shared=shared, stacked=self.stacked)[0]

    def shrink(self, share: float) -> None:
        """Rank all units by the gradients so far, and set the masks for this share of the budget."""
        gone = torch.split(self.chosen(share), [group.size for group in self.groups], dim=1)
        with torch.no_grad():
            for mask, part in zip(self.masks.values(), gone, strict=True):
                mask.copy_(torch.where(part, 1.0 - share, 1.0))

    def chosen(self, share: float) -> Tensor:
        """(R, units) bool: the units that go, the first of the ranking that reach the budget."""
        return torch.stack([self._first(score, share) for score in self.scores().cpu()]).to(
            self.replicas.device
        )

    def scores(self) -> Tensor:
        """(R, units): the gathered gradients, z-scored per replica within each kind of unit."""
        masks = self.masks.values()
        grads = [torch.zeros_like(mask) if mask.grad is None else mask.grad for mask in masks]
        found, kinds = torch.cat(grads, dim=1).double(), [g.kind for g in self.groups for _ in range(g.size)]
        for kind in set(kinds):
            where = torch.tensor([one == kind for one in kinds], device=found.device)
            away = found[:, where] - found[:, where].mean(dim=1, keepdim=True)
            spread = (away.square().sum(dim=1, keepdim=True) / max(1, away.shape[1] - 1)).sqrt()
            found[:, where] = away / spread.clamp(min=torch.finfo(away.dtype).tiny)
        return found

    def _first(self, score: Tensor, share: float) -> Tensor:
        sizes = [group.size for group in self.groups]
        score = score.clone()
        for part in torch.split(
            score, sizes
        ):  # views: one unit of each layer stays, which the loss would grow most
            part[part.argmin()] = -torch.inf
        order = torch.argsort(score, descending=True, stable=True)
        owner = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
        allowed = self.before - share * (self.before - self.target)
        low, high = 0, len(order) - len(sizes)
        while low < high:  # the fewest units that reach it: each one taken leaves fewer parameters
            middle = (low + high) // 2
            taken = torch.bincount(owner[order[:middle]], minlength=len(sizes)).tolist()
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
        return extract(self.net, row_of({**self.weights, **self.buffers}, r), self.groups, self.kept(r))
