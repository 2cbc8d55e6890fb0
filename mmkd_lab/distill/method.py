"""What every distillation method is: terms of a loss, from what students and teachers say about a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from mmkd_lab.core.check import LabError, listing
from mmkd_lab.models.views import View


@dataclass(frozen=True, eq=False)
class Outputs:
    """What R networks say about one batch.

    Args:
        logits: (R, B, K), all modalities kept; for a dense task (R, B, K, H, W).
        views: the logits under other views, {view: (R, B, K)}.
        features: (R, B, F), what the head reads, all modalities kept; None where nobody asked for them.
        view_features: the features under other views, {view: (R, B, F)}.
        weights: on the teacher's side, the weight of each sample under a view, {view: (R, B)}.
    """

    logits: Tensor
    views: Mapping[View, Tensor] = field(default_factory=dict)
    features: Tensor | None = None
    view_features: Mapping[View, Tensor] = field(default_factory=dict)
    weights: Mapping[View, Tensor] = field(default_factory=dict)

    def under(self, view: View) -> Tensor:
        """The logits under a view. Raises `LabError` when nobody computed them."""
        if view not in self.views:
            known = listing([one.label for one in self.views]) if self.views else "none"
            raise LabError("view", view.label, f"must be one whose outputs are at hand: {known}")
        return self.views[view]

    def known_features(self) -> Tensor:
        """The features. Raises `LabError` when nobody computed them."""
        if self.features is None:
            raise LabError("features", None, "must be given: this method compares features")
        return self.features


@dataclass(frozen=True)
class Needs:
    """What a method must be given beside the logits of the full input.

    Args:
        views: the views under which it compares student and teacher.
        features: whether it reads features of the full input.
        view_features: whether it reads features under `views`.
    """

    views: tuple[View, ...] = ()
    features: bool = False
    view_features: bool = False

    def __or__(self, other: Needs) -> Needs:
        """What two methods need together."""
        extra = tuple(view for view in other.views if view not in self.views)
        return Needs(
            self.views + extra,
            self.features or other.features,
            self.view_features or other.view_features,
        )


class Method:
    """The base of all methods. A subclass says its `name`, what it `needs`, and its terms.

    A method is called with what R students and their teachers say and returns its terms by name, each (R,);
    the one under its own `name` is what is trained on, the others are parts of it to look at. No gradient may
    reach the teacher.
    """

    name: ClassVar[str]

    @property
    def needs(self) -> Needs:
        """What it reads beside the logits of the full input."""
        return Needs()

    def parameters(
        self, student_features: int, teacher_features: int, *, seeds: Sequence[int]
    ) -> dict[str, Tensor]:
        """Parameters of its own that are trained with the student, {name: (R, ...)}, drawn per seed."""
        return {}

    def __call__(
        self,
        student: Outputs,
        target: Tensor,
        teacher: Outputs,
        parameters: Mapping[str, Tensor],
    ) -> dict[str, Tensor]:
        """{name: (R,), part: (R,), ...} for target (R, B, ...)."""
        raise LabError("method", type(self).__name__, "must define __call__")

    def describe(self) -> dict[str, object]:
        """Plain JSON values that name this method in a key or in provenance."""
        return {"method": self.name}
