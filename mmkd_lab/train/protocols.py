"""What the loop asks of an objective and of a teacher."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class ObjectiveLike(Protocol):
    """A loss for R replicas; `distill.Objective` is one.

    When replicas are trained one after another and the objective can be indexed, replica r gets
    `objective[r]`.
    """

    def __call__(self, logits: Tensor, target: Tensor, teacher: Tensor | None = None) -> dict[str, Tensor]:
        """Logits (R, B, K), target (R, B), teacher (R, B, K) or None -> {'loss': (R,), term: (R,), ...}."""
        ...


class TeacherLike(Protocol):
    """Teacher logits by sample index; `distill.TeacherCache` is one."""

    def rows(self, sample_index: Tensor) -> Tensor:
        """(B,) for all teachers, or (R, B) one row each -> (R, B, K)."""
        ...
