"""One batch as the loop sees it, what the students say about it, and which part of it is this process's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from mmkd_lab.distill.method import Outputs
from mmkd_lab.training.lessons import part_of
from mmkd_lab.training.outputs import Question


@dataclass(frozen=True)
class DataParallel:
    """One process of `world`: it takes every `world`-th row of a batch, beginning with row `rank`.

    Every process holds all replicas and all data and draws the same batches; each computes the gradient of
    its own rows, and the mean over processes, weighted by rows, is the gradient of the whole batch. Lightning
    Fabric launches the processes and averages.
    """

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


@dataclass(frozen=True)
class Batch:
    """Inputs {m: (R, B, ...)}, (B, ...) when shared; target (R, B, ...); what the teachers say, or None."""

    x: dict[str, Tensor]
    target: Tensor
    teacher: Outputs | None
    shared: bool = False
    weight: float = 1.0

    def part(self, share: DataParallel) -> Batch:
        """The rows of one process out of several."""
        if share.world == 1:
            return self
        size = self.target.shape[1]
        rows = share.rows(size)
        x = {name: value[rows] if self.shared else value[:, rows] for name, value in self.x.items()}
        teacher = None if self.teacher is None else part_of(self.teacher, rows)
        return Batch(x, self.target[:, rows], teacher, self.shared, share.weight(size))


@dataclass(frozen=True, eq=False)
class Said:
    """What the students were asked about a batch, and what they said."""

    question: Question
    outputs: Outputs
