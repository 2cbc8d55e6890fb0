"""Algorithm 1 where the head is not linear: the rest of the network, run again for many channels at once."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mmkd_lab.attribution.layers import Cut
from mmkd_lab.attribution.saliency import distance


def permuted_rest(
    cut: Cut,
    x: Mapping[str, Tensor],
    passed: Tensor,
    z: Tensor,
    student: Tensor,
    orders: Tensor,
    *,
    axis: int,
    kind: str,
    batch_size: int,
) -> Tensor:
    """(M, d): D_i - D_0 of M given permutations, for any rest of a network.

    Channels are stacked along the batch. Where the rest needs nothing but this layer, what lies before it is
    run on one sample only; otherwise (another modality joins later) on every sample again. Channels that are
    constant are not run.

    Args:
        cut: the network and the layer.
        x: {modality: (N, ...)}.
        passed: (N, ...) what the layer says, channels along `axis`.
        z: (N, K) the teacher's logits.
        student: (N, K) float64.
        orders: (M, N) int64 permutations.
        axis: of the channels, at least 1.
        kind: the distance.
        batch_size: rows that pass through the rest at once.
    """
    n, d = len(passed), passed.shape[axis]
    moving = torch.nonzero(~constant_channels(passed, axis)).flatten()
    alone = cut.alone(x, passed, z)
    rows = min(n, batch_size)
    together = max(1, batch_size // rows)
    found = torch.zeros(len(orders), d, dtype=torch.float64, device=z.device)
    start = distance(z.double(), student, kind=kind).mean()
    first = {name: v[:1] for name, v in x.items()}
    for k in range(0, len(moving), together):
        channels = moving[k : k + together]
        taken = passed.index_select(axis, channels)
        each = torch.arange(len(channels), device=passed.device)
        for i in range(0, n, rows):
            some = slice(i, i + rows)
            c, b = len(channels), len(passed[some])
            block = passed[some].expand(c, *passed[some].shape).clone()
            given = (
                first if alone else {name: v[some].repeat(c, *[1] * (v.ndim - 1)) for name, v in x.items()}
            )
            for m, order in enumerate(orders):
                block.movedim(axis + 1, 1)[each, channels] = taken[order[some]].movedim(axis, 0)
                again = cut.rerun(given, block.flatten(0, 1)).double().reshape(c, b, -1)
                found[m, channels] += distance(again, student[some], kind=kind).sum(1)
    found /= n
    return torch.where(constant_channels(passed, axis), 0.0, found - start)


def constant_channels(passed: Tensor, axis: int) -> Tensor:
    """(N, ...) -> (d,) bool: the channel is the same for every sample, at each of its positions."""
    same = (passed == passed[:1]).all(0).movedim(axis - 1, 0)
    return same.reshape(len(same), -1).all(1)
