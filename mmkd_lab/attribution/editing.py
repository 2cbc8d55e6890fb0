"""A teacher without some of its channels: what stands in for them, and what it says then.

Source: Xue et al. 2023 (MFH), Algorithm 1 and the teachers edited by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mmkd_lab.attribution.channels import ChannelSaliency
from mmkd_lab.attribution.layers import Cut, Side, channel_axis, head_of, module_named
from mmkd_lab.attribution.networks import BATCH, evaluating, onto, read_by
from mmkd_lab.attribution.rankings import Channels
from mmkd_lab.core.check import LabError, one_of
from mmkd_lab.data.paired import PairedData
from mmkd_lab.distill import labels_only
from mmkd_lab.models import NetSpec
from mmkd_lab.training.fit import fit
from mmkd_lab.training.recipe import Recipe
from mmkd_lab.training.replicas import Replicas

Array = npt.NDArray[np.generic]
#: What stands in for a removed channel where the network stays as it is.
Stand = Literal["mean", "zeros"]
REPLACEMENTS = (*get_args(Stand), "retrain")


class Edited(NamedTuple):
    """What a teacher says.

    Attributes:
        logits: {split: (N, K)}, on the CPU.
        features: {split: (N, F)} what its linear head reads; without one, the edited layer's channels, means
            over their positions.
        head: (K, F) the head's weight, or None where there is no linear head.
    """

    logits: dict[str, Tensor]
    features: dict[str, Array]
    head: Array | None


@dataclass(frozen=True, eq=False)
class Editor:
    """A teacher cut at a layer, ready to lose channels there. It is asked in evaluation mode.

    Args:
        net: any module that takes {modality: (B, ...)} and gives (B, K).
        data: the samples; means come from the training split.
        layer: the layer, by the user's own name.
        side: 'output' or 'input' of that layer.
        axis: of the channels; None finds it, see `layers.channel_axis`.

    Raises `LabError` for a layer that does not exist.
    """

    net: nn.Module
    data: PairedData
    layer: str
    side: Side = "output"
    axis: int | None = None

    @classmethod
    def of(cls, net: nn.Module, data: PairedData, saliency: ChannelSaliency) -> Editor:
        """Cut where the channels were ranked."""
        return cls(net, data, saliency.layer, saliency.side, saliency.axis)

    def keeping(
        self, channels: Channels | None, *, replace: Stand = "mean", features: Sequence[str] = ()
    ) -> Edited:
        """What the teacher says with these channels alone; None keeps all.

        Args:
            channels: those that stay.
            replace: what stands in for the others: 'mean' is the training mean of each, 'zeros' zero.
            features: the splits whose features are wanted.
        """
        one_of("replace", replace, get_args(Stand))
        instead: Tensor | None = None
        logits: dict[str, Tensor] = {}
        kept: dict[str, Array] = {}
        with evaluating(self.net):
            for split in ("train", *(name for name in self.data.splits if name != "train")):
                x = self._inputs(split)
                passed, _ = self._cut.read(x, batch_size=BATCH)
                if instead is None:
                    instead = passed.mean(0) if replace == "mean" else torch.zeros_like(passed[0])
                if channels is not None:
                    passed = torch.where(self._gone(channels, passed), instead, passed)
                said, read = self._rerun(x, passed)
                logits[split] = said.float().cpu()
                if split in features:
                    kept[split] = read.float().cpu().numpy()
        return Edited(logits, kept, self._weight)

    def retrained(
        self, channels: Channels | None, *, recipe: Recipe, stream: int, features: Sequence[str] = ()
    ) -> Edited:
        """The same with a new linear head, trained on the remaining features as teachers are.

        Raises `LabError` unless the channels are those that a linear head reads.
        """
        whole = self.keeping(None, features=tuple(self.data.splits))
        width = self._at(self._cut.read(self._few, batch_size=BATCH)[0]).shape[1]
        if whole.head is None or whole.head.shape[1] != width:
            rule = f"a new head needs the channels that a linear head reads, and {self.layer!r} gives others"
            raise LabError("layer", self.layer, rule, "Use layer=None, or replace='mean'.")
        columns = np.arange(width) if channels is None else channels
        values = torch.zeros(len(self.data), len(columns))
        for split in self.data.splits:
            found = np.ascontiguousarray(whole.features[split][:, columns])
            values[self.data.positions(split).cpu()] = torch.from_numpy(found).float()
        reduced = PairedData(
            name=f"{self.data.name} features",
            modalities={"features": values},
            target=self.data.target.cpu(),
            splits={name: where.cpu() for name, where in self.data.splits.items()},
            classes=self.data.classes,
            index=self.data.sample_index.cpu(),
        )
        head = _new_head(reduced, recipe, stream)
        logits = {split: head.predict(reduced, split=split)[0] for split in reduced.splits}
        kept = {split: values[reduced.positions(split)].numpy() for split in features}
        return Edited(logits, kept, head.parameters["head.weight"][0].detach().numpy())

    @cached_property
    def _cut(self) -> Cut:
        return Cut(self.net, self.layer, self.side)

    @cached_property
    def _few(self) -> dict[str, Tensor]:
        return {name: values[:8] for name, values in self._inputs("train").items()}

    @cached_property
    def _head(self) -> nn.Module | None:
        """The linear layer whose output is the logits."""
        with evaluating(self.net):
            name = head_of(self.net, self._few)
        return None if name is None else module_named(self.net, name)

    @property
    def _weight(self) -> Array | None:
        if self._head is None:
            return None
        weight: Tensor = self._head.weight  # type: ignore[assignment]
        found: Array = weight.detach().float().cpu().numpy()
        return found

    def _inputs(self, split: str) -> dict[str, Tensor]:
        return onto(self.net, self.data.batch(self.data.positions(split), read_by(self.net)))

    def _at(self, passed: Tensor) -> Tensor:
        """(N, ...) -> (N, d, ...): the channels along axis 1."""
        return passed.movedim(channel_axis(self._cut, passed, self.axis), 1)

    def _gone(self, channels: Channels, passed: Tensor) -> Tensor:
        """bool, True at removed channels, of a shape that broadcasts over the samples."""
        axis = channel_axis(self._cut, passed, self.axis)
        gone = torch.ones(passed.shape[axis], dtype=torch.bool, device=passed.device)
        gone[torch.from_numpy(channels).to(gone.device)] = False
        shape = [1] * (passed.ndim - 1)
        shape[axis - 1] = len(gone)
        return gone.reshape(shape)

    def _rerun(self, x: Mapping[str, Tensor], passed: Tensor) -> tuple[Tensor, Tensor]:
        """(N, K) logits and (N, F) features of the network from the cut on."""
        read: list[Tensor] = []
        said = []
        # After the head, not before it: a cut at the head's input changes what the head reads.
        hook = self._head and self._head.register_forward_hook(lambda _m, args, _out: read.append(args[0]))
        try:
            for i in range(0, len(passed), BATCH):
                some = slice(i, i + BATCH)
                said.append(self._cut.rerun({name: v[some] for name, v in x.items()}, passed[some]))
        finally:
            if hook:
                hook.remove()
        if not read:
            moved = self._at(passed)
            read = [moved if moved.ndim == 2 else moved.flatten(2).mean(2)]
        return torch.cat(said), torch.cat(read)


def _new_head(data: PairedData, recipe: Recipe, stream: int) -> Replicas:
    spec = NetSpec(encoder="linear", standardise=False, modalities=("features",))
    untrained = Replicas.build(spec, data, seeds=[stream], device="cpu")
    return fit(untrained, data, labels_only(data.task), recipe, mode="looped", progress=False).replicas
