"""Attribution by channel: MFH's Algorithm 1 for any layer of any network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor, nn

from mmkd_lab.attribution import saliency
from mmkd_lab.attribution.layers import Cut, Readout, Side, channel_axis, head_of, layer_kinds
from mmkd_lab.attribution.networks import BATCH, NetInputs, Network, Numbers, evaluating, logits
from mmkd_lab.attribution.saliency import DISTANCES, Distance
from mmkd_lab.core.check import LabError, one_of, require, whole
from mmkd_lab.core.seed import derive
from mmkd_lab.data.paired import PairedData

ChannelMethod = Literal["auto", "closed_form", "permutation"]
CHANNEL_METHODS = get_args(ChannelMethod)


@dataclass(frozen=True, eq=False)
class ChannelSaliency:
    """How much each channel of a layer carries what teacher and student both know.

    Attributes:
        values: (d,) D_i - D_0, signed, in units of the distance. Below 0: permuting the channel brings the
            teacher closer to the student.
        standard_error: (d,) of the mean over permutations; 0 for the closed form, NaN for one permutation.
        start: D_0, the distance without a permutation.
        layer, side: the layer's name, and whether its 'input' or its 'output'.
        axis: of the channels in what passes there, at least 1.
        method, distance: 'closed_form' or 'permutation'; 'mse', 'l1' or 'kl'.
        permutations: how many; None for the closed form, which is their mean over all of them.
        n: samples.
        constant: (d,) bool; a channel that is the same for every sample has saliency 0 exactly.
        magnitude: (d,) |W|, the baseline, where the layer feeds a linear head; else None.
    """

    values: Numbers
    standard_error: Numbers
    start: float
    layer: str
    side: Side
    axis: int
    method: str
    distance: Distance
    permutations: int | None
    n: int
    constant: npt.NDArray[np.bool_]
    magnitude: Numbers | None = None

    def __len__(self) -> int:
        return len(self.values)

    @property
    def normalised(self) -> Numbers:
        """(d,) in [0, 1] by min-max, as the paper has it; all 0 when equal. It hides the sign."""
        return saliency.minmax(torch.from_numpy(self.values)).numpy()

    @property
    def order(self) -> npt.NDArray[np.intp]:
        """(d,) channels from the most to the least modality-general; ties by number."""
        return np.argsort(-self.values, kind="stable")

    def top(self, k: int) -> npt.NDArray[np.intp]:
        """The k most modality-general channels, sorted by number. Raises `LabError` unless 1 <= k <= d."""
        require(whole("k", k) <= len(self), "k", k, f"must be at most {len(self)}, the number of channels")
        return np.sort(self.order[:k])

    @property
    def table(self) -> pd.DataFrame:
        """One row per channel: channel, saliency, standard_error, normalised, rank (from 1), constant."""
        table = pd.DataFrame({"channel": np.arange(len(self)), "saliency": self.values})
        table = table.assign(standard_error=self.standard_error, normalised=self.normalised)
        table = table.assign(rank=np.argsort(self.order) + 1, constant=self.constant)
        return table if self.magnitude is None else table.assign(magnitude=self.magnitude)

    def __repr__(self) -> str:
        how = "closed form" if self.permutations is None else f"{self.permutations} permutations"
        still, above, below = int(self.constant.sum()), (self.values > 0).sum(), (self.values < 0).sum()
        return (
            f"saliency of {len(self)} channels at the {self.side} of {self.layer!r} ({self.distance}, {how}, "
            f"{self.n:,} samples): {above} above 0, {below} below"
            + (f", {still} constant and therefore 0" if still else "")
        )


def by_channel(
    teacher: Network,
    student: Network,
    data: PairedData | Mapping[str, Tensor],
    *,
    layer: str | None = None,
    side: Side = "output",
    axis: int | None = None,
    method: ChannelMethod = "auto",
    distance: Distance = "mse",
    permutations: int | Tensor = 100,
    split: str = "train",
    seed: int = 0,
    batch_size: int = BATCH,
) -> ChannelSaliency:
    """Step 2 of Algorithm 1: how far the teacher leaves the student when a channel is permuted over samples.

    Step 1 comes before it: train both nets jointly with `align`, or the ranking is much worse. Permutations
    are drawn over all samples, whatever the batch size. Source: Xue et al. 2023 (MFH), Algorithm 1.

    Args:
        teacher: the network whose channels are ranked; {modality: (B, ...)} -> logits (B, K), or (B, K, H,
            W), whose distance is the mean over positions.
        student: the other one; it may read other modalities.
        data: a dataset, of which `split` is used, or {modality: (N, ...)}.
        layer: a layer of the teacher, by the name that your module has for it ('layer1'); None for the input
            of its linear head.
        side: 'output' or 'input' of that layer.
        axis: the channel axis of what passes there; None finds it, see `layers.channel_axis`: 1 for (N, d)
            and (N, d, H, W), the last for (N, tokens, d). All positions of a channel are permuted together.
        method: 'closed_form' (exact; needs a linear head that reads the layer, and distance 'mse'),
            'permutation', or 'auto' for the closed form where it holds and no permutations are given by row.
            The result says which it was.
        distance: between logits: 'mse', 'l1', or 'kl' = KL(teacher || student) in nats.
        permutations: how many, or (M, N) int64, each row a permutation of the samples.
        split, seed: of a `PairedData`; of the permutations.
        batch_size: samples that pass through a network at once.

    Raises `LabError` for a layer that does not exist, no linear head to start from, the closed form where it
    does not hold, fewer than 2 samples, nets with different numbers of logits, bad orders.
    """
    one_of("method", method, CHANNEL_METHODS)
    one_of("distance", distance, DISTANCES)
    whole("seed", seed, at_least=0)
    samples, others = (NetInputs.of(net, data, split=split) for net in (teacher, student))
    n = len(samples)
    require(n >= 2, "data", f"{n} sample", "must hold at least 2 samples to permute")
    drawn = not isinstance(permutations, Tensor)
    if drawn:
        whole("permutations", permutations)
    x = samples.x
    with evaluating(teacher), evaluating(student):
        cut = _cut(teacher, x, layer, side)
        passed, said = cut.read(x, batch_size=batch_size)
        z = said.double()
        h = logits(student, others.x, batch_size=batch_size).to(z)
        rule = f"must give logits {tuple(z.shape)}, as the teacher"
        require(z.shape == h.shape, "student", tuple(h.shape), rule)
        rule = "compares one answer a sample, and these are maps"
        require(distance != "kl" or z.ndim == 2, "distance", distance, rule, "Use 'mse' or 'l1'.")
        z, h = z.flatten(1), h.flatten(1)
        way_out = "Use distance='mse', or networks of two logits."
        rule = "is 0 between any two networks of one logit"
        require(distance != "kl" or z.shape[1] > 1, "distance", distance, rule, way_out)
        at = channel_axis(cut, passed, axis)
        readout = Readout.of(cut, x, passed, axis=at, batch_size=batch_size)
        holds = distance == "mse" and readout is not None
        if method == "closed_form" and not holds:
            way_out = "Use method='permutation'."
            require(distance == "mse", "distance", distance, "the closed form holds for 'mse' alone", way_out)
            made_of = layer_kinds(cut.net)
            rule = f"the closed form needs a linear head right after {cut.layer!r}; the layers are {made_of}"
            raise LabError("method", method, rule, way_out)
        closed = method == "closed_form" or (method == "auto" and holds and drawn)
        if closed and readout is not None:
            found = saliency.closed_form_of(readout, z - h).unsqueeze(0)
        else:
            orders = _orders(permutations, n, seed).to(z.device)
            if readout is None or readout.maps:
                size = batch_size
                found = saliency.permuted_rest(
                    cut, x, passed, said, h, orders, axis=at, kind=distance, batch_size=size
                )
            elif distance == "mse" and readout.features.shape[2] == 1:
                found = saliency.permuted_mse(readout.features[..., 0], readout.weight[..., 0], z - h, orders)
            else:
                found = saliency.permuted_additive(readout, z, h, orders, kind=distance)
    still, m = saliency.constant_channels(passed, at), len(found)
    error = torch.full_like(found[0], 0.0 if closed else torch.nan) if m == 1 else found.std(0) / m**0.5
    magnitude = None
    if readout is not None:  # over a channel's positions, the norm of the norms
        magnitude = saliency.weight_magnitude(readout.weight.movedim(2, 0)).norm(dim=0).cpu().numpy()
    return ChannelSaliency(
        values=torch.where(still, 0.0, found.mean(0)).cpu().numpy(),
        standard_error=torch.where(still, 0.0, error).cpu().numpy(),
        start=float(saliency.distance(z, h, kind=distance).mean()),
        layer=cut.layer,
        side=cut.side,
        axis=at,
        method="closed_form" if closed else "permutation",
        distance=distance,
        permutations=None if closed else m,
        n=n,
        constant=still.cpu().numpy(),
        magnitude=magnitude,
    )


def _cut(teacher: Network, x: Mapping[str, Tensor], layer: str | None, side: Side) -> Cut:
    if not isinstance(teacher, nn.Module):
        raise LabError("teacher", type(teacher).__name__, "has no layers; give an nn.Module")
    if layer is not None:
        return Cut(teacher, layer, side)
    head = head_of(teacher, x)
    if head is None:
        rule = f"has no linear head to start from; its layers are {layer_kinds(teacher)}"
        raise LabError("teacher", type(teacher).__name__, rule, "Name a layer, for example layer='features'.")
    return Cut(teacher, head, "input")


def _orders(permutations: int | Tensor, n: int, seed: int) -> Tensor:
    """(M, N) permutations: those given, checked, or so many drawn."""
    if not isinstance(permutations, Tensor):
        generator = torch.Generator().manual_seed(derive(seed, "attribute", "channels"))
        return torch.stack([torch.randperm(n, generator=generator) for _ in range(permutations)])
    sound = permutations.ndim == 2 and permutations.shape[1] == n and len(permutations) > 0
    shown = f"{permutations.dtype} {tuple(permutations.shape)}"
    sound = sound and permutations.dtype == torch.int64
    require(sound, "permutations", shown, f"must be a number or (M, {n}) int64")
    each = bool((permutations.cpu().sort(1)[0] == torch.arange(n)).all())
    require(each, "permutations", "rows", f"each row must hold every number from 0 to {n - 1} once")
    return permutations
