"""A repaired teacher as a network to go on with: the user's own, edited in place of one layer.

Source: Xue et al. 2023 (MFH), Algorithm 1.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor, nn

from mmkd_lab.attribution.channels import ChannelSaliency, by_channel
from mmkd_lab.attribution.editing import Editor, Stand
from mmkd_lab.attribution.layers import Side, module_named, user_module
from mmkd_lab.attribution.rankings import Channels, RankingContext, kept_channels, truth_of
from mmkd_lab.core.check import LabError, of_type, one_of, reading, require
from mmkd_lab.data.paired import PairedData
from mmkd_lab.models import ModelAdapter, MultimodalNet
from mmkd_lab.models.layers import Wrapper
from mmkd_lab.training.checkpoint import read, write

FORMAT = "mmkd_lab repaired 1"
#: Buffers of an edited layer: which of its numbers are replaced, and by what.
REMOVED, STAND_IN = "removed_channels", "stand_in"


@dataclass(frozen=True, eq=False, repr=False)
class RepairedTeacher:
    """A teacher without some of its channels.

    Attributes:
        network: a copy of what was given, of its type, in evaluation mode. Its state dict has two buffers
            more, at the edited layer; inputs must keep their shape.
        saliency: of the layer's channels, before any went.
        kept: the channels that are left, sorted.
        facts: ranking, ratio, what stands in, data, as plain values.
    """

    network: nn.Module
    saliency: ChannelSaliency
    kept: Channels
    facts: dict[str, Any]

    @property
    def removed(self) -> Channels:
        """The channels that went, sorted."""
        return np.setdiff1d(np.arange(len(self.saliency)), self.kept)

    def save(self, path: str | Path) -> Path:
        """Write the state as safetensors, atomically; `load_repaired` fills a network of yours with it.

        Raises `LabError` for a place that cannot be written.
        """
        state = {name: value.clone() for name, value in user_module(self.network).state_dict().items()}
        place = {"layer": self.saliency.layer, "side": self.saliency.side, "kept": self.kept.tolist()}
        return write(path, {"format": FORMAT, **place, **self.facts}, state)

    def __repr__(self) -> str:
        name, found, d = type(user_module(self.network)).__name__, self.saliency, len(self.saliency)
        how = f"ranked {self.facts['ranking']!r}, {self.facts['replace']} instead"
        gone = f"{d - len(self.kept)} of {d} channels at the {found.side} of {found.layer!r}"
        return f"{name} without {gone} ({how})"


def repair(
    teacher: nn.Module,
    student: nn.Module,
    data: PairedData,
    *,
    ratio: float,
    ranking: str = "general",
    layer: str | None = None,
    side: Side = "output",
    axis: int | None = None,
    replace: Stand = "mean",
    truth: Sequence[int] | None = None,
    seed: int = 0,
) -> RepairedTeacher:
    """Take channels out of a copy of a trained teacher; Algorithm 1, steps 2 and 3. Yours stays as it is.

    Both networks are taken as they are. Rank with a student that was trained jointly with this teacher (step
    1: `align`, or `pairs` of a repair study); with any other the ranking is much worse.

    Args:
        teacher, student: networks of {modality: (B, ...)}, or what `ModelAdapter` can call so; where one
            reads a single modality of several, say which: `ModelAdapter(net, modalities=["image"])`.
        data: the training split ranks the channels and gives their means.
        ratio: the share of the channels to remove, in [0, 1); int(ratio d) of d go.
        ranking: a name in `RANKINGS`, whose last channels go.
        layer, side, axis: where, as in `by_channel`; None for what the linear head reads.
        replace: what stands in: 'mean', over the training split, or 'zeros'.
        truth: the channels declared to be shared, which the ranking 'oracle' keeps.
        seed: of permutations and random rankings.

    Raises `LabError` for what `by_channel` and `kept_channels` refuse, a ratio that removes nothing, or a
    layer that has lost channels before.
    """
    one_of("replace", replace, get_args(Stand))
    nets = [_ready(name, net) for name, net in (("teacher", teacher), ("student", student))]
    of_type("data", data, PairedData, "a PairedData")
    found = by_channel(nets[0], nets[1], data, layer=layer, side=side, axis=axis, seed=seed)
    declared = None if truth is None else truth_of(truth, len(found))
    kept = kept_channels(ranking, RankingContext(found, seed=seed, truth=declared), ratio)
    d = len(found)
    require(len(kept) < d, "ratio", ratio, f"removes none of the {d} channels", f"At least {1 / d:.3g}")
    gone, instead = Editor.of(nets[0], data, found).edit(kept, replace=replace)
    made = copy.deepcopy(teacher).eval()
    edit_layer(made, found.layer, found.side, gone, instead)
    facts = {"ranking": ranking, "ratio": float(ratio), "replace": replace, "seed": seed}
    facts |= {"dataset": data.name, "fingerprint": data.fingerprint, "classes": list(data.classes)}
    return RepairedTeacher(made, found, kept, facts)


def load_repaired(path: str | Path, network: nn.Module) -> nn.Module:
    """A copy of a network, of the class that was repaired, with the state and the edit in a file.

    Raises:
        DamagedFile: no such file, a damaged or foreign one.
        LabError: a network of other layers or shapes.
    """
    of_type("network", network, nn.Module, "a torch.nn.Module of the repaired class")
    meta, state = read(path, FORMAT)
    made = copy.deepcopy(network).eval()
    with reading(path, "must say what was edited"):
        layer, side = str(meta["layer"]), meta["side"]
        gone, instead = (state[f"{layer}.{name}"] for name in (REMOVED, STAND_IN))
    edit_layer(made, layer, side, gone, instead)
    try:
        user_module(made).load_state_dict(state, assign=True)  # in the file's precision
    except RuntimeError as error:
        why = " ".join(str(error).split()).partition(": ")[2]
        raise LabError("network", type(network).__name__, f"does not fit the file's state: {why}") from error
    return made


def edit_layer(net: nn.Module, layer: str, side: Side, gone: Tensor, instead: Tensor) -> None:
    """From now on `instead` passes where `gone` is true, at this side of the layer; both broadcast."""
    module = module_named(net, layer)
    rule = "has lost channels already"
    require(
        not hasattr(module, REMOVED), "layer", layer, rule, "Repair the whole network, at a higher ratio."
    )
    module.register_buffer(REMOVED, gone)
    module.register_buffer(STAND_IN, instead)
    if side == "output":
        module.register_forward_hook(_after)
    else:
        module.register_forward_pre_hook(_before)


def _after(layer: nn.Module, _args: object, out: Tensor) -> Tensor:
    return _passed(layer, out)


def _before(layer: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (_passed(layer, args[0]), *args[1:])


def _passed(layer: nn.Module, x: Tensor) -> Tensor:
    gone, instead = layer.get_buffer(REMOVED), layer.get_buffer(STAND_IN)
    rule = f"must be {tuple(instead.shape)} a sample at the repaired layer, as when it was repaired"
    require(x.shape[1:] == instead.shape, "input", tuple(x.shape), rule)
    return torch.where(gone, instead.to(x.dtype), x)


def _ready(argument: str, net: object) -> nn.Module:
    found = of_type(argument, net, nn.Module, "a torch.nn.Module")
    known = isinstance(found, (MultimodalNet, Wrapper)) or hasattr(found, "modalities")
    return found if known else ModelAdapter(found)
