"""What teachers say about the training split, on the device, by slot; `Resident` has the inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmkd_lab.core.check import require
from mmkd_lab.data.paired import PairedData
from mmkd_lab.distill.method import Outputs, changed
from mmkd_lab.distill.teacher_outputs import TeacherOutputs
from mmkd_lab.training.inputs import Resident, rows_of


@dataclass(frozen=True, eq=False)
class Lessons:
    """The outputs of one teacher for all replicas, or of R teachers: every tensor is (1 or R, N, ...).

    `removal` names the operator behind the views.
    """

    outputs: Outputs
    removal: str

    @classmethod
    def of(
        cls, teacher: TeacherOutputs, sets: Sequence[PairedData], resident: Resident, replicas: int
    ) -> Lessons:
        """The rows of the training split, in its order.

        Raises `LabError` for another number of teachers, and what `TeacherOutputs.for_data` refuses. (The
        identity of a stack of teachers, each of its own data, is that of the first.)
        """
        count, where = len(teacher), (resident.target.device, resident.dtype)
        rule = f"must be 1 for all, or {replicas}, one per replica"
        require(count in (1, replicas), "teacher", f"{count} teachers", rule)
        if resident.each:
            for one in sets if count == 1 else sets[:1]:
                teacher.for_data(one)
            # One dataset's samples at a time, so that never more than two rows of R are held.
            said = [
                teacher[0 if count == 1 else r].rows(index) for r, index in enumerate(resident.sample_index)
            ]
        else:
            said = [teacher.for_data(sets[0]).rows(resident.sample_index)]
        return cls(Outputs(**changed(lambda values: torch.cat(values).to(*where), *said)), teacher.removal)

    def pick(self, slots: Tensor) -> Outputs:
        """Slots (R, B) -> (R, B, ...)."""

        def some(values: list[Tensor]) -> Tensor:
            return values[0][0][slots] if len(values[0]) == 1 else rows_of(values[0], slots)

        return Outputs(**changed(some, self.outputs))

    def whole(self, replicas: int) -> Outputs:
        """The whole split as one batch, (R, N, ...)."""
        wide = changed(lambda values: values[0].expand(replicas, *values[0].shape[1:]), self.outputs)
        return Outputs(**wide)

    def alone(self, r: int) -> Lessons:
        """Those of replica `r`."""
        if len(self.outputs.logits) == 1:
            return self
        return Lessons(Outputs(**changed(lambda values: values[0][r : r + 1], self.outputs)), self.removal)


def part_of(outputs: Outputs, rows: slice | Tensor) -> Outputs:
    """Some rows of a batch."""
    return Outputs(**changed(lambda values: values[0][:, rows], outputs))
