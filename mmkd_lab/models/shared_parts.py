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

    A removed modality is `hidden` from attention, or the last row of the batch stands in for it.
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
    several: list[Tensor] = []
    masks: list[Tensor | None] = []
    for name, part in zip(net.modalities, parts, strict=True):
        keeps = [name in view for view in asked.views]
        if asked.hidden:
            several.append(part.repeat(len(keeps), *[1] * (part.ndim - 1)))
            masks.append(torch.tensor(keeps, device=part.device).repeat_interleave(len(part)))
        else:  # the batch where a view keeps the modality, else the removed sample again and again
            batch, gone = part[:-1], part[-1:].expand(len(part) - 1, *part.shape[1:])
            several.append(torch.cat([batch if kept else gone for kept in keeps]))
            masks.append(None)
    return net.fusion.merged(several, masks)
