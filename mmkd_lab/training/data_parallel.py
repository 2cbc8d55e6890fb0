"""Data parallelism: which part of every batch is this process's, and how the parts become one again.

Every process holds all replicas and all data and draws the same batches; each computes the gradient of its
own rows, and the mean over processes, weighted by rows, is the gradient of the whole batch. Lightning Fabric
launches the processes and averages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class DataParallel:
    """One process of `world`: it takes every `world`-th row of a batch, beginning with row `rank`."""

    rank: int = 0
    world: int = 1

    def rows(self, size: int) -> slice:
        """The rows of a batch of `size`. A process with no row of its own takes the first, at no weight."""
        return slice(self.rank, None, self.world) if self.rank < size else slice(0, 1)

    def weight(self, size: int) -> float:
        """What this process's mean counts, so that the mean over processes is that of the batch."""
        return len(range(self.rank, size, self.world)) * self.world / size

    def average(self, fabric: Any, value: Tensor) -> Tensor:  # noqa: ANN401 - Fabric, which is imported late
        """Replace `value`, in place, by its mean over all processes; returns it."""
        return value if self.world == 1 else value.copy_(fabric.all_reduce(value, reduce_op="mean"))
