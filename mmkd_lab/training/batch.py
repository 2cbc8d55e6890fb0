"""One batch as the loop sees it, and what the students say about it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from mmkd_lab.distill.method import Outputs
from mmkd_lab.training.data_parallel import DataParallel
from mmkd_lab.training.lessons import part_of
from mmkd_lab.training.outputs import Question


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
