"""What teachers say about the training split, on the device, by slot; `TrainingSplit` has the inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mmkd_lab.core.check import require
from mmkd_lab.distill.method import Outputs
from mmkd_lab.training.inputs import TrainingSplit, rows_of
from mmkd_lab.training.protocols import TeacherLike


@dataclass(frozen=True, eq=False)
class Lessons:
    """The outputs of one teacher for all replicas, or of R teachers: every tensor is (1 or R, N, ...).

    `removal` names the operator behind the views; None where the teacher does not say.
    """

    outputs: Outputs
    removal: str | None = None

    @classmethod
    def of(cls, teacher: TeacherLike, resident: TrainingSplit, replicas: int) -> Lessons:
        """The rows of the training split, in its order. Raises `LabError` for another number of teachers."""
        removal, device = getattr(teacher, "removal", None), resident.target.device
        kind = resident.dtype
        if not resident.each:
            said = _known(teacher.rows(resident.sample_index), replicas)
            return cls(_over(lambda values: values[0].to(device, kind), [said]), removal)
        # One dataset's samples at a time, so that never more than two rows of R are held.
        each = []
        for r, index in enumerate(resident.sample_index):
            said = _known(teacher.rows(index), replicas)
            own = 0 if len(said.logits) == 1 else r
            each.append(_over(lambda values, own=own: values[0][own].clone(), [said]))  # type: ignore[misc]
        return cls(_over(lambda values: torch.stack(values).to(device, kind), each), removal)

    def __len__(self) -> int:
        return len(self.outputs.logits)

    def pick(self, slots: Tensor) -> Outputs:
        """Slots (R, B) -> (R, B, ...)."""

        def some(values: list[Tensor]) -> Tensor:
            one = values[0]
            return one[0][slots] if len(one) == 1 else rows_of(one, slots)

        return _over(some, [self.outputs])

    def whole(self, replicas: int) -> Outputs:
        """The whole split as one batch, (R, N, ...)."""
        return _over(lambda values: values[0].expand(replicas, *values[0].shape[1:]), [self.outputs])

    def alone(self, r: int) -> Lessons:
        """Those of replica `r`."""
        if len(self) == 1:
            return self
        return Lessons(_over(lambda values: values[0][r : r + 1], [self.outputs]), self.removal)


def part_of(outputs: Outputs, rows: slice | Tensor) -> Outputs:
    """Some rows of a batch."""
    return _over(lambda values: values[0][:, rows], [outputs])


def _known(said: Tensor | Outputs, replicas: int) -> Outputs:
    outputs = Outputs(said) if isinstance(said, Tensor) else said
    count = len(outputs.logits)
    rule = f"must be 1 for all, or {replicas}, one per replica"
    require(count in (1, replicas), "teacher", f"{count} teachers", rule)
    return outputs


def _over(change: Callable[[list[Tensor]], Tensor], several: list[Outputs]) -> Outputs:
    """The same change of every tensor; it is given that tensor of all outputs in the list."""

    def named(field: str) -> dict[object, Tensor]:
        return {
            view: change([getattr(one, field)[view] for one in several])
            for view in getattr(several[0], field)
        }

    features = [one.features for one in several if one.features is not None]
    return Outputs(
        change([one.logits for one in several]).detach(),
        named("views"),  # type: ignore[arg-type]
        change(features).detach() if features else None,
        named("view_features"),  # type: ignore[arg-type]
        named("weights"),  # type: ignore[arg-type]
    )
