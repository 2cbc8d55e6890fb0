"""Regions of one sample: image patches, spectrogram cells, tokens, feature columns."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from mmkd_lab.core.check import LabError, require, whole


def grid(shape: Sequence[int], patch: int | Sequence[int]) -> Tensor:
    """Region numbers for a sample of `shape`, cut into patches along its last axes.

    Args:
        shape: of one sample: (C, H, W), (1, bands, frames), (tokens,), (columns,).
        patch: side lengths of a patch along the last axes, or one for all axes but channels. Axes before them
            (the channels of an image) belong to one region together. A last patch may be smaller.

    Raises:
        LabError: more sides than axes, or a side that is not a whole number of at least 1.

    Example:
        `grid((1, 28, 28), 7)` has 16 regions; `grid((1, 40, 100), (40, 10))` has 10 stretches of time;
        `grid((50,), 1)` has one region per column.
    """
    axes = len(shape)
    require(axes >= 1, "shape", tuple(shape), "must have at least one axis")
    if isinstance(patch, Sequence):
        sides = [whole("patch", side) for side in patch]
    else:
        sides = [whole("patch", patch)] * (axes if axes < 3 else axes - 1)
    require(
        1 <= len(sides) <= axes,
        "patch",
        patch,
        f"must have 1 to {axes} sides, one per axis of {tuple(shape)}",
    )
    numbers = torch.zeros(tuple(shape), dtype=torch.int64)
    for axis, side in zip(range(axes - len(sides), axes), sides, strict=True):
        count = -(-shape[axis] // side)
        along = torch.arange(shape[axis]) // side
        numbers = numbers * count + along.reshape(-1, *[1] * (axes - 1 - axis))
    return numbers


def region_sums(values: Tensor, regions: Tensor) -> Tensor:
    """(N, ...) values and (...) region numbers -> (N, R): the sum of each region's cells, regions by number.

    Raises `LabError` when the two do not go together.
    """
    require(values.shape[1:] == regions.shape, "regions", tuple(regions.shape), "must have a sample's shape")
    flat, numbers = values.flatten(1), regions.flatten().to(values.device)
    _, rank = torch.unique(numbers, return_inverse=True)
    return flat.new_zeros(len(flat), int(rank.max()) + 1).index_add_(1, rank, flat)


def window(shape: Sequence[int], patch: int | Sequence[int]) -> tuple[int, ...]:
    """The occlusion window over a sample of `shape`: `patch` along the last axes, whole along the others."""
    numbers = grid(shape, patch)  # for its checks
    if numbers.numel() != prod(shape):
        raise LabError("shape", tuple(shape), "must have no empty axis")
    axes = len(shape)
    sides = list(patch) if isinstance(patch, Sequence) else [patch] * (axes if axes < 3 else axes - 1)
    before = list(shape[: axes - len(sides)])
    return tuple(before + [min(side, size) for side, size in zip(sides, shape[len(before) :], strict=True)])
