"""Early selection and early stopping, replica by replica, by the validation split alone."""

from __future__ import annotations

import torch
from torch import Tensor

from mmkd_lab.training.recipe import Recipe


class Selection:
    """Keeps each replica's best weights so far.

    The better score wins, equal scores go to the lower nll, equal again to the earlier epoch. Without a
    validation split, or with select='last', the latest weights win until the replica is stopped.
    """

    def __init__(self, recipe: Recipe, state: dict[str, Tensor]) -> None:
        self.recipe = recipe
        self.state = {name: value.detach().clone() for name, value in state.items()}
        replicas = len(next(iter(state.values())))
        self.score = torch.full((replicas,), -torch.inf)
        self.nll = torch.full((replicas,), torch.inf)
        self.epoch = torch.zeros(replicas, dtype=torch.int64)
        self.improved = torch.zeros(replicas, dtype=torch.int64)
        self.stopped = torch.zeros(replicas, dtype=torch.bool)

    def see(self, epoch: int, score: Tensor | None, nll: Tensor | None, state: dict[str, Tensor]) -> None:
        """Look at an epoch's end: score and nll (R,) on the validation split, None when there is none."""
        if score is None or nll is None:
            self._keep(torch.ones_like(self.stopped), epoch, state)
            return
        score, nll = score.cpu(), nll.cpu()
        better = ~self.stopped & ((score > self.score) | ((score == self.score) & (nll < self.nll)))
        self.score, self.nll = torch.where(better, score, self.score), torch.where(better, nll, self.nll)
        self.improved[better] = epoch
        self._keep(better if self.recipe.select == "best_val" else ~self.stopped, epoch, state)
        if self.recipe.patience is not None:
            self.stopped |= epoch - self.improved >= self.recipe.patience

    def _keep(self, rows: Tensor, epoch: int, state: dict[str, Tensor]) -> None:
        self.epoch[rows] = epoch
        if not rows.any():
            return
        where = rows.to(next(iter(state.values())).device)
        for name, value in state.items():
            self.state[name][where] = value.detach()[where]
