"""Channel saliency as pure tensor functions: MFH's Algorithm 1, step 2 (Xue et al. 2023).

D_i is the distance between the teacher's logits with channel i permuted over the samples, and the student's
logits; D_0 is the distance without a permutation. All functions return D_i - D_0 with its sign: above 0,
permuting the channel takes the teacher away from the student, so the channel carries what both know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import torch
from torch import Tensor

from mmkd_lab.attribution.layers import Cut, Readout
from mmkd_lab.core.calling_off import go_on
from mmkd_lab.core.check import LabError, require

Distance = Literal["mse", "l1", "kl"]
DISTANCES = get_args(Distance)
#: Numbers held at once: half a megabyte of doubles stays in the second-level cache.
_BLOCK = 1 << 16
_ROWS = 1 << 10
#: Positions of maps that are worked out at once.
_POSITIONS = 1 << 8


def distance(teacher: Tensor, student: Tensor, *, kind: Distance = "mse") -> Tensor:
    """(..., N, K) and (N, K) logits -> (..., N), per sample.

    'mse' and 'l1': mean over the classes of squared or absolute differences of logits. 'kl': KL(teacher ||
    student) of the softmax, in nats.
    """
    return _measure(teacher, student.log_softmax(-1) if kind == "kl" else student, kind, -1)


def _measure(teacher: Tensor, known: Tensor, kind: Distance, axis: int) -> Tensor:
    """The distance per sample, classes along `axis`; of the student 'kl' is given log-probabilities."""
    if kind == "mse":
        return (teacher - known).square_().mean(axis)
    if kind == "l1":
        return (teacher - known).abs_().mean(axis)
    top = teacher.amax(axis, keepdim=True)
    size = (teacher - top).exp_()  # one exponential a logit: the softmax is never divided out
    total = size.sum(axis)
    return (size.mul_(teacher - known)).sum(axis) / total - total.log() - top.squeeze(axis)


def closed_form(features: Tensor, weight: Tensor, gap: Tensor) -> Tensor:
    """The exact mean of D_i - D_0 over all permutations, for a linear head and the MSE of logits.

    mean over c of [2 W_ci^2 var(f_i) - 2 W_ci cov(f_i, gap_c)], with variances over N, not N - 1. Since a
    uniform permutation pairs every two samples alike, E[f_perm] is the mean and E[(f_perm - f)^2] = 2 var.

    Of the channels that the head reads, features (..., N, d), the head's weight (..., K, d) and the gap
    (..., N, K), teacher's minus student's logits, whose precision the result (..., d) has. Leading axes are
    worlds or replicas. Exactly 0 for a channel that is constant. Raises `LabError` for other shapes.
    """
    n, d = features.shape[-2:]
    fits = weight.shape[-1] == d and tuple(gap.shape[-2:]) == (n, weight.shape[-2])
    shown = f"{tuple(features.shape)}, {tuple(weight.shape)}, {tuple(gap.shape)}"
    require(fits, "features, weight, gap", shown, "must be (..., N, d), (..., K, d) and (..., N, K)")
    features, weight = features.to(gap), weight.to(gap)
    spread = features - features.mean(-2, keepdim=True)
    covariance: Tensor = gap.transpose(-1, -2) @ spread / n  # (..., K, d)
    found = 2.0 * (weight.square().mean(-2) * spread.square().mean(-2) - (weight * covariance).mean(-2))
    return torch.where(_constant(features), 0.0, found)


def closed_form_of(readout: Readout, gap: Tensor) -> Tensor:
    """(d,): `closed_form` for channels of P positions that are permuted together.

    With g_ic what channel i adds to logit c: mean over c of [2 var(g_ic) - 2 cov(g_ic, gap_c)]. Of maps the
    gap is (N, K · P), and every position is a network of its own: the mean over them.
    """
    if readout.maps:
        by_position = readout.features.movedim(2, 0)
        gaps = gap.reshape(len(gap), -1, len(by_position)).movedim(2, 0)
        pairs = zip(torch.split(by_position, _POSITIONS), torch.split(gaps, _POSITIONS), strict=True)
        return torch.cat([closed_form(f, readout.weight[..., 0], g) for f, g in pairs]).mean(0)
    if readout.features.shape[2] == 1:
        return closed_form(readout.features[..., 0], readout.weight[..., 0], gap)
    parts = []
    for channels in _blocks(readout.features.shape[1], gap.numel()):
        g = readout.contributions(channels)
        g = g - g.mean(1, keepdim=True)
        parts.append(2.0 * (g.square() - g * gap).mean((1, 2)))
    return torch.where(_constant(readout.features.movedim(2, 0)).all(0), 0.0, torch.cat(parts))


def permuted_mse(features: Tensor, weight: Tensor, gap: Tensor, orders: Tensor) -> Tensor:
    """(M, d): D_i - D_0 of M given permutations, for a linear head and the MSE of logits.

    With f' the permuted channel, D_i - D_0 = 2 / (N K) * sum over samples of (f' - f) r, where
    r = gap . W_i - |W_i|^2 f: one multiplication per sample and channel, whatever the number of classes.
    Arguments are those of `closed_form`, for one network, and (M, N) permutations, alike for all channels.
    """
    n, k = gap.shape
    f = features - features.mean(0)
    r = gap @ weight - weight.square().sum(0) * f
    found = f.new_zeros(len(orders), f.shape[1])
    rows = max(1, _BLOCK // f.shape[1])
    for i in range(0, n, rows):
        some, here = r[i : i + rows], orders[:, i : i + rows]
        for m in range(len(orders)):
            found[m] += torch.index_select(f, 0, here[m]).mul_(some).sum(0)
    return (2.0 / (n * k)) * (found - (f * r).sum(0))


def permuted_additive(
    readout: Readout, teacher: Tensor, student: Tensor, orders: Tensor, *, kind: Distance
) -> Tensor:
    """(M, d): D_i - D_0 of M given permutations, for a linear head and any distance.

    Permuted logits are the teacher's logits plus the change in what the channel adds to them: no layer is run
    again. Samples and channels are taken in blocks that stay in the cache.
    """
    n, d, positions = readout.features.shape
    found = teacher.new_zeros(len(orders), d)
    # Classes come first: a sum over a short last axis is several times slower.
    known = (student.log_softmax(-1) if kind == "kl" else student).T.unsqueeze(1).contiguous()
    said, rows = teacher.T.unsqueeze(1), min(n, _ROWS)
    for channels in _blocks(d, rows * teacher.shape[1]):
        g = readout.contributions(channels).movedim(2, 0).contiguous()  # (K, c, N)
        single, by = readout.features[:, channels, 0].T.contiguous(), readout.weight[:, channels]
        for i in range(0, n, rows):
            some = slice(i, i + rows)
            rest, here = said[..., some] - g[..., some], known[..., some]
            for m, order in enumerate(orders[:, some]):
                if positions == 1:  # gather one number a sample, not one a class
                    z = torch.addcmul(rest, by, single.index_select(1, order))
                else:
                    z = g.index_select(2, order).add_(rest)
                found[m, channels] += _measure(z, here, kind, 0).sum(1)
    return found / n - distance(teacher, student, kind=kind).mean()


def permuted_rest(
    cut: Cut,
    x: Mapping[str, Tensor],
    passed: Tensor,
    z: Tensor,
    student: Tensor,
    orders: Tensor,
    *,
    axis: int,
    kind: Distance,
    batch_size: int,
) -> Tensor:
    """(M, d): D_i - D_0 of M given permutations, for any rest of a network.

    Channels are stacked along the batch. Where the rest needs nothing but this layer, what lies before it is
    run on one sample only; otherwise (another modality joins later) on every sample again. Channels that are
    constant are not run. `passed` (N, ...) is what the layer says, channels along `axis`; `z` (N, K) are the
    teacher's logits, `student` (N, K) the other's in float64, `orders` (M, N) the permutations. Of maps the
    student's are given as rows (N, K · H · W).
    """
    still, alone, n = constant_channels(passed, axis), cut.alone(x, passed, z), len(passed)
    moving = torch.nonzero(~still).flatten()
    rows = min(n, batch_size)
    together = max(1, batch_size // rows)
    found = student.new_zeros(len(orders), passed.shape[axis])
    for k in range(0, len(moving), together):
        go_on()
        channels = moving[k : k + together]
        c, taken = len(channels), passed.index_select(axis, channels)
        each = torch.arange(c, device=passed.device)
        for i in range(0, n, rows):
            some = slice(i, i + rows)
            block = passed[some].expand(c, *passed[some].shape).clone()
            given = {
                name: v[:1] if alone else v[some].repeat(c, *[1] * (v.ndim - 1)) for name, v in x.items()
            }
            for m, order in enumerate(orders[:, some]):
                block.movedim(axis + 1, 1)[each, channels] = taken[order].movedim(axis, 0)
                again = cut.rerun(given, block.flatten(0, 1)).double().reshape(c, len(order), -1)
                found[m, channels] += distance(again, student[some], kind=kind).sum(1)
    return torch.where(still, 0.0, found / n - distance(z.double().flatten(1), student, kind=kind).mean())


def constant_channels(passed: Tensor, axis: int) -> Tensor:
    """(N, ...) -> (d,) bool: the channel is the same for every sample, at each of its positions."""
    same = (passed == passed[:1]).all(0).movedim(axis - 1, 0)
    return same.reshape(len(same), -1).all(1)


def _constant(features: Tensor) -> Tensor:
    """(..., N, d) -> (..., d) bool: the channel is the same for every sample."""
    return (features == features[..., :1, :]).all(-2)


def weight_magnitude(weight: Tensor) -> Tensor:
    """|W| of each channel, the baseline that ranks channels by weight alone: (..., K, d) -> (..., d).

    The Euclidean norm over the classes after their mean is taken off: a weight that is equal for all classes
    moves no softmax. For two classes this is |w_1 - w_0| / sqrt(2).
    """
    size: Tensor = torch.linalg.vector_norm(weight - weight.mean(-2, keepdim=True), dim=-2)
    return size


def minmax(values: Tensor) -> Tensor:
    """(..., d) -> the same, stretched to [0, 1] as Algorithm 1's step 3 does; all 0 when they are equal."""
    low, high = values.amin(-1, keepdim=True), values.amax(-1, keepdim=True)
    return torch.where(high > low, (values - low) / torch.where(high > low, high - low, 1.0), 0.0)


def top_k_precision(values: Tensor, truth: Tensor, *, k: int | None = None) -> Tensor:
    """Share of truly general channels, bool (..., d), among the k most salient: (..., d) -> (...).

    By default k is how many are true. Raises `LabError` for another shape, a k not between 1 and d, or,
    without k, worlds that differ in their number of true ones.
    """
    require(values.shape == truth.shape, "truth", tuple(truth.shape), f"must be {tuple(values.shape)}")
    if k is None:
        low, high = int(truth.sum(-1).min()), int(truth.sum(-1).max())
        if low != high:
            raise LabError("k", None, f"must be given, since the worlds have {low} to {high} true channels")
        k = low
    require(1 <= k <= values.shape[-1], "k", k, f"must lie between 1 and {values.shape[-1]}")
    return truth.gather(-1, values.topk(k, dim=-1).indices).double().mean(-1)


def _blocks(channels: int, numbers: int) -> list[slice]:
    size = max(1, _BLOCK // max(1, numbers))
    return [slice(i, i + size) for i in range(0, channels, size)]
