"""Several views of one batch as the rows of a larger one, so that a network answers them in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mmkd_lab.core.check import flat, of_type, require, whole
from mmkd_lab.models.removal import Removal, modality_names
from mmkd_lab.models.views import View


def view_rows(
    x: Mapping[str, Tensor], views: Sequence[View], removal: Removal, *, axis: int = 0
) -> dict[str, Tensor]:
    """V views of a batch {modality: (B, ...)} -> {modality: (V * B, ...)}, one after another.

    Rows v * B to (v + 1) * B - 1 are x under views[v]; `split_views` is the way back. With axis=1 the batch
    comes behind the replicas, (R, B, ...) -> (R, V * B, ...). Masks of an earlier removal hold in every
    view. One view k times with a permutation: k draws from the removed modality's own distribution.
    Raises `LabError` for no view, or one that names a modality which x lacks.
    """
    listed = [of_type("views", v, View, "Views") for v in flat("views", views, "a sequence of Views")]
    require(len(listed) > 0, "views", views, "must hold at least one view", "See View.full and View.only.")
    require(axis in (0, 1), "axis", axis, "must be 0, or 1 behind the replicas")
    of_type("removal", removal, Removal, "a removal operator", "For example Zeros().")
    parts = [removal.apply(x, view, axis=axis) for view in listed]
    first = x[modality_names(x)[0]]
    everyone = torch.ones(first.shape[: axis + 1], dtype=torch.bool, device=first.device)
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: torch.cat([part.get(name, everyone) for part in parts], dim=axis) for name in names}


def split_views(rows: Tensor, count: int, *, axis: int = 0) -> Tensor:
    """What a network made of `view_rows`: (V * B, ...) -> (V, B, ...), or with axis=1 (R, V * B, ...) ->
    (V, R, B, ...).

    Raises `LabError` unless `count`, V, divides the rows.
    """
    whole("count", count)
    total = rows.shape[axis]
    require(total % count == 0, "count", count, f"must divide the {total} rows")
    apart = rows.reshape(*rows.shape[:axis], count, total // count, *rows.shape[axis + 1 :])
    return apart.movedim(axis, 0)
