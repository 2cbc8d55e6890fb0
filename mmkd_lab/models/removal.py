"""Removal operators: how a modality that a view does not keep goes away. One mechanism for all of them.

Every operator has `apply(x, keep)`, which changes the removed modalities and nothing else. Zeros, mean and
permutation replace values. Attention and learned leave a mask beside the values, and the network acts on it:
only it has the attention weights, and only it has the trained stand-ins.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from mmkd_lab.core.check import LabError, flat, listing, one_of, require
from mmkd_lab.core.seed import derive
from mmkd_lab.data.on_demand import Values
from mmkd_lab.data.paired import PairedData
from mmkd_lab.models.views import View

ATTENTION, LEARNED = "attention", "learned"
REMOVALS = ("zeros", "mean", "attention", "permutation", "learned")
#: The removals that replace values, and so need nothing of the network.
VALUES = ("zeros", "mean", "permutation")
_KEPT = " kept for "
_ROWS = 512  # rows that a mean is summed over at once
_FOR_TEXT = "Use zeros, attention, permutation or learned."


def kept_key(kind: str, modality: str) -> str:
    """The name under which a mask (B,) bool, True where the modality is kept, travels beside the modality."""
    return f"{modality}{_KEPT}{kind}"


def modality_names(x: Mapping[str, Tensor]) -> tuple[str, ...]:
    """The modalities of a batch, sorted, without the masks that travel beside them."""
    return tuple(sorted(name for name in x if _KEPT not in name))


def are_ids(values: Values) -> bool:
    """Whether a modality is text: int64 are token ids, smaller integers are numbers stored in little room,
    uint8 for example pictures."""
    return values.dtype == torch.int64


class Removal:
    """The base of all operators. `apply` removes whole modalities, `apply_where` sample by sample."""

    name: ClassVar[str]

    def apply(self, x: Mapping[str, Tensor], keep: View, *, axis: int = 0) -> dict[str, Tensor]:
        """{modality: (B, ...)} -> the same with the modalities that `keep` lacks removed.

        With axis=1 the batch comes behind the replicas, {modality: (R, B, ...)}. Keeping everything changes
        nothing, and removing twice is removing once. (A second permutation draws anew: there the two agree in
        distribution.) Raises `LabError` when `keep` names an absent modality.
        """
        kept = dict(x)
        for name in keep.missing(modality_names(x)):
            stays = torch.zeros(x[name].shape[: axis + 1], dtype=torch.bool, device=x[name].device)
            kept.update(self._remove(x, name, stays))
        return kept

    def apply_where(self, x: Mapping[str, Tensor], stays: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The same, sample by sample: `stays[modality]` is bool, with x's batch axes, (B,) or (R, B)."""
        kept = dict(x)
        for name, mask in stays.items():
            one_of("stays", name, modality_names(x))
            shape = tuple(x[name].shape[: mask.ndim])
            require(tuple(mask.shape) == shape, f"stays[{name!r}]", tuple(mask.shape), f"must be {shape}")
            kept.update(self._remove(x, name, mask))
        return kept

    def _remove(self, x: Mapping[str, Tensor], name: str, stays: Tensor) -> dict[str, Tensor]:
        return {name: torch.where(_over(stays, x[name]), x[name], self._instead(x[name], name, stays))}

    def _instead(self, values: Tensor, name: str, stays: Tensor) -> Tensor:
        raise LabError("removal", type(self).__name__, "must define _instead or _remove")


class Zeros(Removal):
    """Put zeros in place of the modality; of a text, padding.

    A single-stream network goes on attending to such tokens, by their position and segment: another
    intervention than `AttentionMask`.
    """

    name = "zeros"

    def _instead(self, values: Tensor, name: str, stays: Tensor) -> Tensor:
        return values.new_zeros(())


class Mean(Removal):
    """Put the training mean in place of the modality: one stored tensor of one sample's shape each.

    Text has no mean: its removal is refused.
    """

    name = "mean"

    def __init__(self, means: Mapping[str, Tensor]) -> None:
        self.means = dict(means)

    @classmethod
    def of(cls, data: PairedData) -> Mean:
        """The means over the training split of `data`, and over nothing else."""
        positions = data.positions("train")
        numbers = [name for name, values in data.modalities.items() if not are_ids(values)]
        total: dict[str, Tensor] = {}
        for part in torch.split(positions, _ROWS):
            for name, values in data.batch(part, numbers, dtype=torch.float64).items():
                sums = values.double().sum(0)
                total[name] = total[name] + sums if name in total else sums
        return cls({name: values / int(data.seen([name])[positions].sum()) for name, values in total.items()})

    def _instead(self, values: Tensor, name: str, stays: Tensor) -> Tensor:
        if are_ids(values):
            raise LabError("removal", "mean", f"token ids have no mean, and {name!r} is text", _FOR_TEXT)
        one_of("modality", name, sorted(self.means))
        return self.means[name].to(values)


class Permutation(Removal):
    """Deal the modality out anew among the samples of a batch, by a seeded permutation.

    All B! permutations are equally likely, so that a sample keeps its own values with probability 1 / B: one
    sample of a batch on average, whatever its size. The modality's own distribution stays as it is; only the
    pairing is broken. Each call goes on in the stream.
    """

    name = "permutation"

    def __init__(self, *, seed: int = 0) -> None:
        self.seed = seed
        self.generator = torch.Generator().manual_seed(derive(seed, "removal", "permutation"))

    def _instead(self, values: Tensor, name: str, stays: Tensor) -> Tensor:
        batch = stays.ndim - 1
        order = torch.randperm(values.shape[batch], generator=self.generator)
        return values.index_select(batch, order.to(values.device))

    def apply_where(self, x: Mapping[str, Tensor], stays: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Refused: a permutation within a batch of replicas would make them depend on each other."""
        rule = "removes whole modalities at test time, not sample by sample"
        raise LabError("removal", "permutation", rule)


class _Masked(Removal):
    """Leaves a mask and no other trace: a network that does not look for the mask removes nothing."""

    def _remove(self, x: Mapping[str, Tensor], name: str, stays: Tensor) -> dict[str, Tensor]:
        key = kept_key(self.name, name)
        return {key: stays & x[key] if key in x else stays}


class AttentionMask(_Masked):
    """Hide the modality from a network's attention (fusion='attention' or 'single_stream'; others refuse)."""

    name = ATTENTION


class Learned(_Masked):
    """Put the network's own trained stand-in in place of the modality (NetSpec(baseline=True)).

    A text becomes [MASK] tokens. `fit` trains it with this removal as modality dropout.
    """

    name = LEARNED


def removal_named(name: str, data: PairedData | None = None, *, seed: int = 0) -> Removal:
    """The operator of a name. 'mean' needs `data` for its training means. Raises `LabError` otherwise."""
    one_of("removal", name, REMOVALS)
    if name == "mean":
        if data is None:
            raise LabError("data", None, "the removal 'mean' needs the dataset whose training mean it stores")
        return Mean.of(data)
    if name == "permutation":
        return Permutation(seed=seed)
    return {"zeros": Zeros, "attention": AttentionMask, "learned": Learned}[name]()


def check_heeded(removal: Removal, net: object) -> None:
    """Raise `LabError` when a removal leaves only a mask, and the network does not say that it heeds it.

    A network says so in its attribute `removals`, names out of `REMOVALS`, as those of the lab do.
    """
    if not isinstance(removal, _Masked):
        return
    example = f"For example {(*VALUES, removal.name)}."
    known = flat("net.removals", getattr(net, "removals", ()), "a sequence of names", example)
    mask = f"x[{kept_key(removal.name, '<modality>')!r}]"
    rule = f"leaves the values and a mask in {mask}, and this {type(net).__name__} does not say it heeds such"
    way_out = f"Use {listing(known or VALUES)}, or a network with {removal.name!r} in its attribute removals."
    require(removal.name in known, "removal", removal.name, rule, way_out)


def _over(stays: Tensor, values: Tensor) -> Tensor:
    return stays.reshape(*stays.shape, *[1] * (values.ndim - stays.ndim))
