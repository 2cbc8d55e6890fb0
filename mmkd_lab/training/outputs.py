"""What the students say about a batch: the full input and every view that a method asks for, in one call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mmkd_lab.distill.method import HEAD, Needs, Outputs
from mmkd_lab.models.removal import Removal, modality_names
from mmkd_lab.models.rows import split_views, view_rows
from mmkd_lab.models.shared_parts import SharedParts, can_share, with_removed
from mmkd_lab.models.views import View
from mmkd_lab.training.engine import Engine


@dataclass(frozen=True, eq=False)
class Question:
    """One batch as the students are asked about it: with several views, rows of one larger batch.

    What a removal draws is drawn here, once: however often it is answered, the question stays the same.

    Args:
        x: {modality: (R, rows, ...)}, or (rows, ...) when shared.
        shared: whether all replicas read the same.
        views: the views beside the full one.
        parts: how the views are told apart inside the network, where they share its parts.
    """

    x: dict[str, Tensor]
    shared: bool
    views: tuple[View, ...] = ()
    parts: SharedParts | None = None

    def without_full(self) -> Question:
        """The same about the views alone, for `logits_of_views`."""
        if self.parts is not None:
            return replace(self, parts=replace(self.parts, views=self.parts.views[1:]))
        axis, count = 0 if self.shared else 1, 1 + len(self.views)
        rows = next(iter(self.x.values())).shape[axis]
        size = rows // count
        return replace(self, x={m: value.narrow(axis, size, rows - size) for m, value in self.x.items()})


def asked(
    engine: Engine, x: dict[str, Tensor], shared: bool, *, views: tuple[View, ...], removal: Removal | None
) -> Question:
    """The question about the full input and `views`, all of them in one call of the networks."""
    if not views or removal is None:
        return Question(x, shared)
    names = frozenset(modality_names(x))
    # A view without what this student does not read anyway.
    every = (View(names), *(View(view.kept & names) for view in views))
    axis = 0 if shared else 1
    if can_share(engine.plain, removal, x):
        rows, parts = with_removed(x, every, removal, axis=axis)
        return Question(rows, shared, views, parts)
    return Question(view_rows(x, every, removal, axis=axis), shared, views)


def answered(engine: Engine, question: Question, needs: Needs) -> Outputs:
    """The full view and those of the question, with features where `needs` wants them."""
    layers = tuple(dict.fromkeys((*needs.student_layers, *([HEAD] if needs.view_features else []))))
    said, seen = engine.with_features(question.x, question.shared, question.parts, layers=layers)
    logits = split_views(full(said), 1 + len(question.views), axis=1)
    rows = logits[0].shape[1]
    at_head = split_views(full(seen[HEAD]), len(logits), axis=1)[1:] if needs.view_features else None
    return Outputs(
        logits[0],
        dict(zip(question.views, logits[1:], strict=True)),
        {layer: full(values)[:, :rows] for layer, values in seen.items()},
        {} if at_head is None else dict(zip(question.views, at_head, strict=True)),
    )


def logits_of_views(engine: Engine, question: Question) -> Callable[[list[Tensor]], dict[View, Tensor]]:
    """{view: (R, B, K)}, without the full view, as a function of what is trained."""
    alone = question.without_full()
    run = engine.function(alone.x, alone.shared, alone.parts)

    def said(values: list[Tensor]) -> dict[View, Tensor]:
        rows = split_views(full(run(values)), len(alone.views), axis=1)
        return dict(zip(alone.views, rows, strict=True))

    return said


def full(values: Tensor) -> Tensor:
    """What half precision gave, widened to single; double stays."""
    return values if values.dtype == torch.float64 else values.float()
