"""Several views of one batch, with what they share worked out once.

A kept modality is the same in every view, and most removals put the same thing in place of every sample's.
Each encoder then needs to see the batch and one removed sample, rather than the batch once per view.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmkd_lab.models.network import MultimodalNet
from mmkd_lab.models.removal import AttentionMask, Learned, Mean, Removal, Zeros, modality_names
from mmkd_lab.models.single_stream import SingleStream
from mmkd_lab.models.views import View


@dataclass(frozen=True)
class SharedParts:
    """Ask a network for V views at once: rows v * B to (v + 1) * B - 1 of its answer are views[v].

    Args:
        views: V views.
        hidden: whether a removed modality is hidden from attention. Otherwise the last row of the batch
            holds what stands in for it, see `with_removed`.
    """

    views: tuple[View, ...]
    hidden: bool = False


def can_share(net: nn.Module, removal: Removal, x: Mapping[str, Tensor]) -> bool:
    """Whether `features_of_views` gives what the views one by one would.

    Not where the removal depends on the sample (permutation, an operator of your own, masks left by an
    earlier removal), nor in a network that mixes the modalities from the first layer on.
    """
    if not isinstance(net, MultimodalNet) or isinstance(net.fusion, SingleStream):
        return False
    if type(removal) is AttentionMask and not net.fusion.masks:
        return False
    names = modality_names(x)
    return type(removal) in (Zeros, Mean, AttentionMask, Learned) and len(names) == len(x) > 1


def with_removed(
    x: Mapping[str, Tensor], views: tuple[View, ...], removal: Removal, *, axis: int = 0
) -> tuple[dict[str, Tensor], SharedParts]:
    """A batch {modality: (B, ...)}, or (R, B, ...) with axis=1, as `features_of_views` wants it.

    Unless the removal hides modalities from attention, one row more: a sample without what any view lacks.
    """
    if isinstance(removal, AttentionMask):
        return dict(x), SharedParts(views, hidden=True)
    first = {name: values.narrow(axis, 0, 1) for name, values in x.items()}
    always = frozenset(modality_names(x)).intersection(*(view.kept for view in views))
    gone = removal.apply(first, View(always), axis=axis)
    batch = next(iter(x.values())).shape[: axis + 1]
    rows = dict(x)
    for name, one in gone.items():
        # Beside the modalities there may now be masks, which say that the batch itself is whole.
        whole = x[name] if name in x else torch.ones(batch, dtype=torch.bool, device=one.device)
        rows[name] = torch.cat([whole, one], dim=axis)
    return rows, SharedParts(views)


def features_of_views(net: MultimodalNet, x: Mapping[str, Tensor], asked: SharedParts) -> Tensor:
    """{modality: (B, ...)} as `with_removed` gave it -> (V * B, F), what the head reads under each view."""
    assert not isinstance(net.fusion, SingleStream)
    parts = net.fusion.parts(net.inputs(x))
    if asked.hidden:
        several = [part.repeat(len(asked.views), *[1] * (part.ndim - 1)) for part in parts]
        return net.fusion.merged(several, [_mask(name, parts[0], asked) for name in net.modalities])
    several = [_either(name, part, asked) for name, part in zip(net.modalities, parts, strict=True)]
    return net.fusion.merged(several, [None] * len(several))


def _either(name: str, part: Tensor, asked: SharedParts) -> Tensor:
    """(V * B, ...): the batch where a view keeps the modality, else the removed sample again and again."""
    batch, gone = part[:-1], part[-1:].expand(len(part) - 1, *part.shape[1:])
    return torch.cat([batch if name in view else gone for view in asked.views])


def _mask(name: str, like: Tensor, asked: SharedParts) -> Tensor:
    """(V * B,) bool, False where a view removes the modality."""
    kept = torch.tensor([name in view for view in asked.views], device=like.device)
    return kept.repeat_interleave(len(like))
