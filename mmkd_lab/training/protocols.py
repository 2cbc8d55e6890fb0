"""What the loop asks of an objective and of a teacher."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from mmkd_lab.distill.method import Outputs


class ObjectiveLike(Protocol):
    """A loss for R replicas; `distill.Objective` is one.

    When replicas are trained one after another and the objective can be indexed, replica r gets
    `objective[r]`.
    """

    def __call__(self, logits: Tensor, target: Tensor, teacher: Tensor | None = None) -> dict[str, Tensor]:
        """Logits (R, B, K), target (R, B), teacher (R, B, K) or None -> {'loss': (R,), term: (R,), ...}."""
        ...


class TeacherLike(Protocol):
    """What teachers say, by sample index; `distill.TeacherCache` and `distill.TeacherViews` are two."""

    def rows(self, sample_index: Tensor) -> Tensor | Outputs:
        """(B,) for all teachers, or (R, B) one row each -> logits (R, B, K), or more than logits."""
        ...
