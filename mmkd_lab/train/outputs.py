"""What the students say about a batch: the full input and every view that a method asks for, in one call."""

from __future__ import annotations

import torch
from torch import Tensor

from mmkd_lab.distill.method import Needs, Outputs
from mmkd_lab.nets.removal import Removal, modality_names
from mmkd_lab.nets.rows import split_views, view_rows
from mmkd_lab.nets.views import View
from mmkd_lab.train.engine import Engine


def outputs(
    engine: Engine, x: dict[str, Tensor], shared: bool, needs: Needs, removal: Removal | None
) -> Outputs:
    """The full view and those of `needs`, run as one batch of (1 + V) · B rows."""
    if not needs.views or removal is None:
        if not needs.features:
            return Outputs(full(engine(x, shared)))
        logits, features = engine.with_features(x, shared)
        return Outputs(full(logits), features=full(features))
    every = [View.full(modality_names(x)), *_present(needs.views, x)]
    rows = view_rows(x, every, removal, axis=0 if shared else 1)
    if not (needs.features or needs.view_features):
        logits = split_views(full(engine(rows, shared)), len(every), axis=1)
        return Outputs(logits[0], dict(zip(needs.views, logits[1:], strict=True)))
    said, felt = engine.with_features(rows, shared)
    logits, features = (split_views(full(part), len(every), axis=1) for part in (said, felt))
    return Outputs(
        logits[0],
        dict(zip(needs.views, logits[1:], strict=True)),
        features[0],
        dict(zip(needs.views, features[1:], strict=True)),
    )


def full(values: Tensor) -> Tensor:
    """What half precision gave, widened to single; double stays."""
    return values if values.dtype == torch.float64 else values.float()


def removed(x: dict[str, Tensor], view: View, removal: Removal | None, *, shared: bool) -> dict[str, Tensor]:
    """The batch under one view alone."""
    assert removal is not None
    (present,) = _present((view,), x)
    return view_rows(x, [present], removal, axis=0 if shared else 1)


def _present(views: tuple[View, ...], x: dict[str, Tensor]) -> list[View]:
    """The views without what this student does not read anyway."""
    names = frozenset(modality_names(x))
    return [View(view.kept & names) for view in views]
