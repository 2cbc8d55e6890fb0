"""One batch as the loop sees it: inputs, what the students are asked and say, and a process's part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from mmkd_lab.distill.method import HEAD, Needs, Outputs
from mmkd_lab.models.removal import Removal, modality_names
from mmkd_lab.models.rows import split_views, view_rows
from mmkd_lab.models.shared_parts import SharedParts, can_share, with_removed
from mmkd_lab.models.views import View
from mmkd_lab.training.engine import Engine
from mmkd_lab.training.lessons import part_of


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
    """Inputs {m: (R, B, ...)}, (B, ...) when shared; target (R, B, ...); what the teachers say, or None; and
    how much each label counts, (R, B), or None."""

    x: dict[str, Tensor]
    target: Tensor
    teacher: Outputs | None
    shared: bool = False
    weight: float = 1.0
    counts: Tensor | None = None

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
class Batched:
    """One batch as the students are asked about it: x is {modality: (R, rows, ...)}, or (rows, ...) when
    shared; with `views` beside the full one, rows of one larger batch, or `parts` that the views share.

    What a removal draws is drawn here, once: however often it is answered, the question stays the same.
    """

    x: dict[str, Tensor]
    shared: bool
    views: tuple[View, ...] = ()
    parts: SharedParts | None = None

    def without_full(self) -> Batched:
        """The same about the views alone, for `logits_of_views`."""
        if self.parts is not None:
            return replace(self, parts=replace(self.parts, views=self.parts.views[1:]))
        axis = 0 if self.shared else 1
        rows = next(iter(self.x.values())).shape[axis]
        size = rows // (1 + len(self.views))
        return replace(self, x={m: value.narrow(axis, size, rows - size) for m, value in self.x.items()})


@dataclass(frozen=True, eq=False)
class Said:
    """What the students were asked about a batch, and what they said."""

    question: Batched
    outputs: Outputs


def asked(
    engine: Engine, x: dict[str, Tensor], shared: bool, *, views: tuple[View, ...], removal: Removal | None
) -> Batched:
    """The question about the full input and `views`, all of them in one call of the networks."""
    if not views or removal is None:
        return Batched(x, shared)
    names, axis = frozenset(modality_names(x)), 0 if shared else 1
    # A view without what this student does not read anyway.
    every = (View(names), *(View(view.kept & names) for view in views))
    if can_share(engine.net, removal, x):
        rows, parts = with_removed(x, every, removal, axis=axis)
        return Batched(rows, shared, views, parts)
    return Batched(view_rows(x, every, removal, axis=axis), shared, views)


def answered(engine: Engine, question: Batched, needs: Needs) -> Outputs:
    """The full view and those of the question, with features where `needs` wants them."""
    layers = tuple(dict.fromkeys((*needs.student_layers, *([HEAD] if needs.view_features else []))))
    said, seen = engine.ask(question.x, question.shared, question.parts, layers=layers)
    if not question.views and not layers:
        return Outputs(full(said))
    first, *others = split_views(full(said), 1 + len(question.views), axis=1)
    at_head = split_views(full(seen[HEAD]), 1 + len(others), axis=1)[1:] if needs.view_features else ()
    return Outputs(
        first,
        dict(zip(question.views, others, strict=True)),
        {layer: full(values)[:, : first.shape[1]] for layer, values in seen.items()},
        dict(zip(question.views, at_head, strict=needs.view_features)),
    )


def logits_of_views(engine: Engine, question: Batched) -> Callable[[Sequence[Tensor]], dict[View, Tensor]]:
    """{view: (R, B, K)}, without the full view, as a function of what is trained."""
    alone = question.without_full()

    def said(learnt: Sequence[Tensor]) -> dict[View, Tensor]:
        rows = full(engine(alone.x, alone.shared, alone.parts, learnt))
        return dict(zip(alone.views, split_views(rows, len(alone.views), axis=1), strict=True))

    return said


def full(values: Tensor) -> Tensor:
    """What half precision gave, widened to single; double stays."""
    return values if values.dtype == torch.float64 else values.float()
