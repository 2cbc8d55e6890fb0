"""What teachers say about the training split: by slot, as it was said once, or as they are asked live."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from mmkd_lab.core.check import require
from mmkd_lab.data.paired import PairedData
from mmkd_lab.distill.method import Outputs, changed
from mmkd_lab.distill.teacher_outputs import TeacherOutputs
from mmkd_lab.training.inputs import Resident, rows_of
from mmkd_lab.training.replicas import Replicas
from mmkd_lab.training.stacking import Asked, row_of

#: Within it a network computes in the run's precision.
Precision = Callable[[], AbstractContextManager[Any]]


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
        count, some = len(teacher), teacher.partial
        rule = f"must be 1 for all, or {replicas}, one per replica"
        require(count in (1, replicas), "teacher", f"{count} teachers", rule)
        if resident.each:
            for one in sets if count == 1 else sets[:1]:
                teacher.for_data(one)
            mine = [teacher[0 if count == 1 else r].bare(one) for r, one in enumerate(sets)]
            # One dataset's samples at a time, so that never more than two rows of R are held.
            said = [
                one.rows(index, lacking=some) for one, index in zip(mine, resident.sample_index, strict=True)
            ]
        else:
            said = [teacher.for_data(sets[0]).bare(sets[0]).rows(resident.sample_index, lacking=some)]

        def brought(values: list[Tensor]) -> Tensor:
            found = torch.cat(values).to(resident.target.device)
            return found.to(resident.dtype) if found.is_floating_point() else found

        return cls(Outputs(**changed(brought, *said)), teacher.removal)

    def about(self, slots: Tensor, x: Mapping[str, Tensor], precision: Precision) -> Outputs:
        """Slots (R, B) -> (R, B, ...), whatever the students see of the samples."""

        def some(values: list[Tensor]) -> Tensor:
            return values[0][0][slots] if len(values[0]) == 1 else rows_of(values[0], slots)

        return Outputs(**changed(some, self.outputs))

    def whole(self, replicas: int) -> Outputs:
        """The whole split as one batch, (R, N, ...)."""
        wide = changed(lambda values: values[0].expand(replicas, *values[0].shape[1:]), self.outputs)
        return Outputs(**wide)

    @property
    def widths(self) -> dict[str, int]:
        """{layer: F}."""
        return {layer: values.shape[-1] for layer, values in self.outputs.features.items()}

    def alone(self, r: int) -> Lessons:
        """Those of replica `r`."""
        if len(self.outputs.logits) == 1:
            return self
        return Lessons(Outputs(**changed(lambda values: values[0][r : r + 1], self.outputs)), self.removal)


@dataclass(frozen=True, eq=False)
class Live:
    """One teacher for all replicas, or R teachers, who are asked in every step about the very samples that
    the students see, in evaluation mode; about the full input, their logits and some layers."""

    nets: tuple[Asked, ...]
    layers: tuple[str, ...]
    widths: dict[str, int]

    @classmethod
    def of(cls, teacher: Replicas, data: PairedData, students: Replicas, layers: Sequence[str]) -> Live:
        """In the precision of their students. Raises `LabError` for another number of teachers than one or
        one per student, or other classes than the data's."""
        rule = f"must be 1 for all, or {len(students)}, one per replica"
        require(len(teacher) in (1, len(students)), "teacher", f"{len(teacher)} teachers", rule)
        teacher = teacher.to(students.device, dtype=students.dtype)
        rule = f"must have the classes {data.classes} of {data.name}, in this order"
        require(teacher.classes in (None, data.classes), "teacher", teacher.classes, rule)
        widths = teacher.feature_lengths(data, layers)
        return cls(tuple(Asked(teacher.module(r)) for r in range(len(teacher))), tuple(layers), widths)

    def about(self, slots: Tensor, x: Mapping[str, Tensor], precision: Precision) -> Outputs:
        """What they say about {modality: (R, B, ...)}: (R, B, ...)."""
        with torch.no_grad(), precision():
            if len(self.nets) > 1:
                each = [net(row_of(x, r), self.layers) for r, net in enumerate(self.nets)]
            else:
                rows, seen = self.nets[0](
                    {name: value.flatten(0, 1) for name, value in x.items()}, self.layers
                )
                many = len(slots)
                apart = [value.unflatten(0, (many, -1)) for value in (rows, *seen.values())]
                each = [(one, dict(zip(seen, more, strict=True))) for one, *more in zip(*apart, strict=True)]
        features = {layer: torch.stack([seen[layer] for _, seen in each]) for layer in self.layers}
        return Outputs(torch.stack([logits for logits, _ in each]), features=features)

    def alone(self, r: int) -> Live:
        """That of replica `r`."""
        return self if len(self.nets) == 1 else replace(self, nets=self.nets[r : r + 1])


def part_of(outputs: Outputs, rows: slice | Tensor) -> Outputs:
    """Some rows of a batch."""
    return Outputs(**changed(lambda values: values[0][:, rows], outputs))
