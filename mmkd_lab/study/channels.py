"""A teacher without some of its channels: which ones go, what stands in for them, and what it says then.

Source: Xue et al. 2023 (MFH), Algorithm 1 and the teachers edited by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mmkd_lab.attribution import Alignment, ChannelSaliency, align
from mmkd_lab.attribution.layers import Cut
from mmkd_lab.core import check
from mmkd_lab.core.check import LabError, one_of, real, require
from mmkd_lab.core.seed import derive
from mmkd_lab.data.paired import PairedData
from mmkd_lab.distill import Objective
from mmkd_lab.experiments.store import Arrays
from mmkd_lab.models import NetSpec
from mmkd_lab.training.fit import fit
from mmkd_lab.training.metrics import score
from mmkd_lab.training.recipe import Recipe
from mmkd_lab.training.replicas import Replicas

Channels = npt.NDArray[np.intp]

REPLACEMENTS = ("mean", "zeros", "retrain")
_BATCH = 1024


@dataclass(frozen=True)
class Joint:
    """How the aligned pair is trained, see `attribute.align`; the defaults are the authors' for RAVDESS.

    Raises `LabError` for a setting out of range.
    """

    epochs: int = 100
    batch_size: int | None = 64
    lr: float = 0.01
    momentum: float = 0.9
    objective: Alignment = field(default_factory=Alignment)

    def __post_init__(self) -> None:
        check.whole("epochs", self.epochs)
        if self.batch_size is not None:
            check.whole("batch_size", self.batch_size)
        real("lr", self.lr, above=0.0)
        real("momentum", self.momentum, at_least=0.0, at_most=1.0)

    def as_dict(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


def aligned_pair(
    data: PairedData,
    teacher: NetSpec,
    student: NetSpec,
    *,
    joint: Joint,
    streams: tuple[int, int],
    device: torch.device,
) -> tuple[nn.Module, nn.Module]:
    """A teacher and a student trained together from the weights of two streams: Algorithm 1, step 1."""
    nets = [
        Replicas.build(spec, data, seeds=[stream], device=device).module()
        for spec, stream in zip((teacher, student), streams, strict=True)
    ]
    found = align(
        nets[0],
        nets[1],
        data,
        objective=joint.objective,
        epochs=joint.epochs,
        batch_size=joint.batch_size,
        lr=joint.lr,
        momentum=joint.momentum,
        seed=streams[1],
    )
    return found.teacher, found.student


def ratios_of(ratios: Sequence[float]) -> tuple[float, ...]:
    """Distinct removal ratios within [0, 1), or a `LabError`."""
    sound = not isinstance(ratios, (str, float, int)) and len(ratios) > 0
    require(sound, "ratios", ratios, "must be a list of at least one ratio")
    found = tuple(real("ratios", ratio, at_least=0.0) for ratio in ratios)
    for ratio in found:
        require(ratio < 1.0, "ratios", ratio, "must be below 1, or no channel is left")
    require(len(set(found)) == len(found), "ratios", list(found), "must not name a ratio twice")
    return found


def truth_of(truth: Sequence[int], width: int) -> Channels:
    """The declared channels, sorted, or a `LabError` when they are none, repeated, or not of the layer."""
    found = [check.whole("truth", i, at_least=0) for i in truth]
    require(len(found) > 0, "truth", found, "must name at least one channel")
    require(max(found) < width, "truth", max(found), f"must be a channel of the layer, 0 to {width - 1}")
    require(len(set(found)) == len(found), "truth", found, "must not name a channel twice")
    return np.sort(np.array(found, dtype=np.intp))


def kept_channels(
    arm: str,
    saliency: ChannelSaliency,
    *,
    ratio: float,
    seed: int,
    draw: int = 0,
    truth: Channels | None = None,
) -> Channels:
    """The channels that an arm's teacher keeps when int(ratio * d) of d are removed, sorted.

    'oracle_kd' keeps the declared ones, whatever the ratio. For 'random_kd' a larger ratio removes what a
    smaller one does, and more; `draw` tells several draws apart.

    Raises:
        LabError: no declared truth for the oracle; |W| asked of a layer that does not feed a linear head.
    """
    d = len(saliency)
    gone = int(ratio * d + 1e-9)  # 0.3 * 10 is 3, not 2.9999999999999996
    if arm == "oracle_kd":
        if truth is None:
            raise LabError("truth", None, "the arm 'oracle_kd' needs the channels declared to be shared")
        return truth
    if arm == "ms_kd":
        return np.sort(saliency.order[gone:])
    if arm == "random_kd":
        order = np.random.default_rng(derive(seed, "repair", "random", str(draw))).permutation(d)
        return np.sort(order[: d - gone])
    if arm == "weight_kd":
        if saliency.magnitude is None:
            rule = f"'weight_kd' needs a layer that feeds the linear head, and {saliency.layer!r} does not"
            raise LabError("layer", saliency.layer, rule, "Leave the arm out, or use layer=None.")
        return np.sort(np.argsort(-saliency.magnitude, kind="stable")[: d - gone])
    one_of("arm", arm, ("mg_kd",))
    return saliency.top(d - gone)


@dataclass(frozen=True, eq=False)
class Editor:
    """A teacher cut at a layer, ready to lose channels there.

    Args:
        net: the teacher, with a linear `head`.
        data: the samples; means come from the training split.
        cut: where.
        axis: of the channels.
    """

    net: nn.Module
    data: PairedData
    cut: Cut
    axis: int = 1

    def keeping(
        self, channels: Channels | None, *, replace: str = "mean", features: Sequence[str] = ()
    ) -> tuple[dict[str, Tensor], Arrays]:
        """What the teacher says with these channels alone; None keeps all.

        Args:
            channels: those that stay.
            replace: what stands in for the others: 'mean' is the training mean of each, 'zeros' zero.
            features: the splits whose features are wanted.

        Returns:
            {split: (N, K) logits}, and {'features/<split>': (N, F), 'head': (K, F)} where asked for.
        """
        one_of("replace", replace, ("mean", "zeros"))
        instead: Tensor | None = None
        logits: dict[str, Tensor] = {}
        kept: dict[str, npt.NDArray[np.generic]] = {}
        for split in ("train", *(name for name in self.data.splits if name != "train")):
            x = self._inputs(split)
            passed, _ = self.cut.read(x, batch_size=_BATCH)
            if instead is None:
                instead = passed.mean(0) if replace == "mean" else torch.zeros_like(passed[0])
            if channels is not None:
                passed = torch.where(self._gone(channels, passed), instead, passed)
            said, read = self._rerun(x, passed)
            logits[split] = said.float().cpu()
            if split in features:
                kept[f"features/{split}"] = read.float().cpu().numpy()
        if features:
            kept["head"] = self.net.get_parameter("head.weight").detach().cpu().numpy()
        return logits, kept

    def retrained(
        self, channels: Channels | None, *, recipe: Recipe, stream: int, features: Sequence[str] = ()
    ) -> tuple[dict[str, Tensor], Arrays]:
        """The same with a new linear head, trained on the remaining features as teachers are."""
        every = self.keeping(None, features=tuple(self.data.splits))[1]
        columns = np.arange(every["head"].shape[1]) if channels is None else channels
        size = len(self.data)
        values = torch.zeros(size, len(columns))
        for split in self.data.splits:
            found = torch.from_numpy(np.ascontiguousarray(every[f"features/{split}"][:, columns]))
            values[self.data.positions(split).cpu()] = found.float()
        reduced = PairedData(
            name=f"{self.data.name} features",
            modalities={"features": values},
            target=self.data.target.cpu(),
            splits={name: where.cpu() for name, where in self.data.splits.items()},
            classes=self.data.classes,
            index=self.data.sample_index.cpu(),
        )
        spec = NetSpec(encoder="linear", standardise=False, modalities=("features",))
        untrained = Replicas.build(spec, reduced, seeds=[stream], device="cpu")
        head = fit(untrained, reduced, Objective(), recipe, mode="looped", progress=False).replicas
        logits = {split: head.predict(reduced, split=split)[0] for split in reduced.splits}
        kept = {f"features/{s}": values[reduced.positions(s)].numpy() for s in features}
        if features:
            kept["head"] = head.parameters["head.weight"][0].detach().numpy()
        return logits, kept

    def _inputs(self, split: str) -> dict[str, Tensor]:
        device = next(self.net.parameters()).device
        x = self.data.batch(self.data.positions(split), getattr(self.net, "modalities", None))
        return {name: values.to(device) for name, values in x.items()}

    def _gone(self, channels: Channels, passed: Tensor) -> Tensor:
        """bool, True at removed channels, of a shape that broadcasts over the samples."""
        axis = self.axis % passed.ndim
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
        hook = self.net.get_submodule("head").register_forward_hook(
            lambda _m, args, _out: read.append(args[0])
        )
        try:
            for i in range(0, len(passed), _BATCH):
                some = slice(i, i + _BATCH)
                said.append(self.cut.rerun({name: v[some] for name, v in x.items()}, passed[some]))
        finally:
            hook.remove()
        return torch.cat(said), torch.cat(read)


def scores_of(logits: Mapping[str, Tensor], data: PairedData) -> dict[str, dict[str, float]]:
    """{split: {metric: value}} of one network's logits (N, K)."""
    found = {}
    for split, values in logits.items():
        named = score(values[None], data.target[data.positions(split)].cpu(), task=data.task)
        found[split] = {metric: float(value[0]) for metric, value in named.items()}
    return found
