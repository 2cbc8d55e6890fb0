"""A plain function as the whole loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from mmkd_lab.core.check import require
from mmkd_lab.distill.distillation import Distillation
from mmkd_lab.distill.method import Method, Needs, Outputs

#: Logits (R, B, K), target (R, B), the teacher's logits or None -> {'loss': (R,), term: (R,), ...}.
LossFunction = Callable[[Tensor, Tensor, Tensor | None], dict[str, Tensor]]


@dataclass(frozen=True)
class OwnLoss(Method):
    """A loss that is a function of logits, target and, where there is one, the teacher's logits."""

    name: ClassVar[str] = "loss"

    function: LossFunction

    @property
    def needs(self) -> Needs:
        """A teacher may be there, and need not."""
        return Needs(teacher=False)

    def __call__(
        self, student: Outputs, target: Tensor, teacher: Outputs | None, parameters: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """What the function gives."""
        return self.function(student.logits, target, None if teacher is None else teacher.logits)


def as_distillation(loss: Distillation | LossFunction) -> Distillation:
    """The loss itself, or a function as the one term of a loss. Raises `LabError` for anything else."""
    if isinstance(loss, Distillation):
        return loss
    require(
        callable(loss), "loss", loss, "must be a Distillation, or a function", "See distill.labels_only()."
    )
    return Distillation(((1.0, OwnLoss(loss)),))
