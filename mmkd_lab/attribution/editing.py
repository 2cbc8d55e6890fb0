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
from mmkd_lab.attribution.networks import BATCH, batch_of, evaluating, full
from mmkd_lab.attribution.rankings import Channels
from mmkd_lab.core.check import LabError, one_of, require
from mmkd_lab.data.paired import PairedData, Task
from mmkd_lab.distill import labels_only
from mmkd_lab.models import NetSpec
from mmkd_lab.training.fit import fit
from mmkd_lab.training.recipe import Recipe
from mmkd_lab.training.replicas import Replicas

Array = npt.NDArray[np.generic]
#: What stands in for a removed channel where the network stays as it is.
Stand = Literal["mean", "zeros"]


class Edited(NamedTuple):
    """What a teacher says, in its own precision (half precision as single).

    Logits {split: (N, K)} lie on the CPU; features {split: (N, F)} are what its linear head reads, whose
    weight is `head` (K, F). Without one, features are the edited layer's channels, means over positions.
    """

    logits: dict[str, Tensor]
    features: dict[str, Array]
    head: Array | None


@dataclass(frozen=True, eq=False)
class Editor:
    """A teacher cut at a layer of its author's name, ready to lose channels there.

    It takes {modality: (B, ...)}, gives (B, K), and is asked in evaluation mode. Means come from the training
    split. The axis of the channels is found where it is None, see `layers.channel_axis`.
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

        What stands in for the others, `replace`, is the training 'mean' of each, or 'zeros'. Features are
        given of the splits named in `features`.
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
                    instead = _stand(passed, replace)
                said, read = self._rerun(x, self._without(channels, passed, instead))
                logits[split] = full(said).cpu()
                if split in features:
                    kept[split] = full(read).cpu().numpy()
        head = None if self._head is None else full(self._head.weight.detach()).cpu().numpy()
        return Edited(logits, kept, head)

    def edit(self, channels: Channels, *, replace: Stand = "mean") -> tuple[Tensor, Tensor]:
        """What is replaced where these channels alone are kept, and by what: they broadcast to one sample."""
        with evaluating(self.net):
            passed, _ = self._cut.read(self._inputs("train"), batch_size=BATCH)
        gone = self._gone(channels, passed).movedim(1, self._axis(passed))[0]
        return gone, _stand(passed, replace)

    def held(self, split: str, *, replace: Stand = "mean") -> Held:
        """A split's activations at the cut, kept: asking without other channels then runs the rest alone."""
        one_of("replace", replace, get_args(Stand))
        with evaluating(self.net):
            train, _ = self._cut.read(self._inputs("train"), batch_size=BATCH)
            x = self._inputs(split)
            passed, said = self._cut.read(x, batch_size=BATCH)
            alone = self._cut.alone(x, passed, said)
        first = {name: values[:1] for name, values in x.items()} if alone else x
        return Held(self, first, passed, _stand(train, replace), alone)

    def retrained(
        self, channels: Channels | None, *, recipe: Recipe, stream: int, features: Sequence[str] = ()
    ) -> Edited:
        """The same with a new linear head, trained on the remaining features as teachers are.

        Raises `LabError` unless the channels are those that a linear head reads, or for a dense task.
        """
        rule = "trains a new head on one row of features a sample, and a dense task has maps"
        require(self.data.task is not Task.DENSE, "replace", "retrain", rule, "Use 'mean' or 'zeros'.")
        before = self.keeping(None, features=tuple(self.data.splits))
        with evaluating(self.net):
            width = self._at(self._cut.read(self._few, batch_size=BATCH)[0]).shape[1]
        if before.head is None or before.head.shape[1] != width:
            rule = f"a new head needs the channels that a linear head reads, and {self.layer!r} gives others"
            raise LabError("layer", self.layer, rule, "Use layer=None, or replace='mean'.")
        columns = np.arange(width) if channels is None else channels
        data, values = self.data, np.zeros((len(self.data), len(columns)), before.features["train"].dtype)
        for split in data.splits:
            values[data.positions(split).cpu().numpy()] = before.features[split][:, columns]
        reduced = PairedData(
            name=f"{data.name} features",
            modalities={"features": torch.from_numpy(values)},
            target=data.target.cpu(),
            splits={name: where.cpu() for name, where in data.splits.items()},
            classes=data.classes,
            task=data.task,
            index=data.sample_index.cpu(),
            weight=data.weight,
        )
        spec = NetSpec(encoder="linear", standardise=False, modalities=("features",))
        untrained = Replicas.build(spec, reduced, seeds=[stream], device="cpu")
        loss = labels_only(reduced.task)
        head = fit(untrained, reduced, loss, recipe, mode="looped", progress=False).replicas
        logits = {split: head.predict(reduced, split=split)[0] for split in reduced.splits}
        kept: dict[str, Array] = {split: values[reduced.positions(split).numpy()] for split in features}
        return Edited(logits, kept, head.parameters["head.weight"][0].detach().numpy())

    @cached_property
    def _cut(self) -> Cut:
        return Cut(self.net, self.layer, self.side)

    @cached_property
    def _few(self) -> dict[str, Tensor]:
        return {name: values[:8] for name, values in self._inputs("train").items()}

    @cached_property
    def _head(self) -> nn.Linear | None:
        """The linear layer whose output is the logits."""
        with evaluating(self.net):
            name = head_of(self.net, self._few)
        found = None if name is None else module_named(self.net, name)
        return found if isinstance(found, nn.Linear) else None

    def _inputs(self, split: str) -> dict[str, Tensor]:
        return batch_of(self.net, self.data, self.data.positions(split))

    def _axis(self, passed: Tensor) -> int:
        return channel_axis(self._cut, passed, self.axis)

    def _at(self, passed: Tensor) -> Tensor:
        """(N, ...) -> (N, d, ...): the channels along axis 1."""
        return passed.movedim(self._axis(passed), 1)

    def _gone(self, channels: Channels, passed: Tensor) -> Tensor:
        """(1, d, 1, ...) bool, True at removed channels."""
        d = passed.shape[self._axis(passed)]
        gone = ~torch.isin(torch.arange(d), torch.from_numpy(channels))
        return gone.to(passed.device).reshape(1, d, *[1] * (passed.ndim - 2))

    def _without(self, channels: Channels | None, passed: Tensor, instead: Tensor) -> Tensor:
        """What passes with these channels alone, `instead` standing in for the others."""
        if channels is None:
            return passed
        moved = torch.where(self._gone(channels, passed), self._at(instead[None]), self._at(passed))
        return moved.movedim(1, self._axis(passed))

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


@dataclass(frozen=True, eq=False)
class Held:
    """What passes a teacher's cut on one split; see `Editor.held`.

    Where the rest needs nothing else (`alone`), `x` is one sample.
    """

    editor: Editor
    x: Mapping[str, Tensor]
    passed: Tensor
    instead: Tensor
    alone: bool

    def logits(self, channels: Channels | None) -> Tensor:
        """(N, K) of the split, as `Editor.keeping` has them."""
        said = []
        with evaluating(self.editor.net):
            passed = self.editor._without(channels, self.passed, self.instead)
            for i in range(0, len(passed), BATCH):
                some = slice(i, i + BATCH)
                x = self.x if self.alone else {name: values[some] for name, values in self.x.items()}
                said.append(self.editor._cut.rerun(x, passed[some]))
        return full(torch.cat(said)).cpu()


def _stand(passed: Tensor, replace: Stand) -> Tensor:
    """What stands in for channels, from what passes on the training split."""
    return passed.mean(0) if replace == "mean" else torch.zeros_like(passed[0])
