"""R networks of one architecture, their parameters stacked along a leading axis. One network is R = 1."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain

import numpy as np
import torch
from torch import Tensor, nn

from mmkd_lab.core.check import flat, require
from mmkd_lab.data.paired import PairedData
from mmkd_lab.models.layers import HEAD, Wrapper, named_layers
from mmkd_lab.models.network import MultimodalNet, build
from mmkd_lab.models.removal import Removal
from mmkd_lab.models.spec import NetSpec
from mmkd_lab.models.views import View
from mmkd_lab.training.device import at_once, resolve
from mmkd_lab.training.inputs import eval_inputs, fill_vocabulary, standardise
from mmkd_lab.training.reading import in_place
from mmkd_lab.training.stacking import Found, Named, answers, built, fill, known_seeds, ready, row_of


class Replicas:
    """R networks of one architecture as stacked parameters: `Replicas.build` from a spec, or `Replicas.of`
    from your own modules.

    Two replicas may share a seed: they then start from the same weights and see their data in the same order,
    which is how the arms of a study are paired.

    Attributes:
        net: the architecture as a module; its own parameters are of no meaning.
        parameters: {name: (R, ...)}.
        buffers: {name: (R, ...)}, for example the training means that inputs are standardised with.
        seeds: R seeds.
        classes: what the logits stand for, in order, once they were trained; None where nobody knows.
    """

    def __init__(
        self,
        net: nn.Module,
        parameters: Named,
        buffers: Named,
        seeds: Sequence[int],
        classes: tuple[str, ...] | None = None,
    ) -> None:
        self.net, self.seeds, self.classes = net, tuple(seeds), classes
        self.parameters, self.buffers = parameters, buffers

    @classmethod
    def build(
        cls,
        spec: NetSpec,
        data: PairedData,
        *,
        seeds: Iterable[int],
        device: str | torch.device = "auto",
        dtype: torch.dtype = torch.float32,
    ) -> Replicas:
        """One untrained network per seed, for the modalities and classes of `data`.

        With `spec.standardise` the means and deviations come from the training split. Raises `LabError` for a
        modality that is not in the data, a shape the encoder cannot read, or bad seeds.
        """
        known, spec = known_seeds(seeds), fill_vocabulary(spec, data)
        nets = [build(spec, data.shapes, data.num_classes, seed=seed).to(dtype) for seed in known]
        if spec.standardise:
            standardise(nets, data)
        if data.unit is not None:
            for net in nets:
                net.head.set_unit(*data.unit)
        return cls.of(nets, seeds=known, device=device)

    @classmethod
    def of(
        cls,
        modules: Sequence[nn.Module],
        *,
        data: PairedData | None = None,
        seeds: Iterable[int] | None = None,
        device: str | torch.device = "auto",
        dtype: torch.dtype | None = None,
    ) -> Replicas:
        """Your own networks: R modules of one architecture, see `ModelAdapter` for what they may be.

        The weights are copied; a parameter that takes no gradient in the first module stays frozen in `fit`.

        Args:
            modules: the networks.
            data: the samples on which each is tried, which otherwise happens at the first question. Lazy
                layers need it: this try gives them their shapes, and their weights under each seed.
            seeds: R seeds; by default 0 .. R - 1.
            device: where the replicas go.
            dtype: their precision; None for that of the modules, where half precision becomes single.

        Raises:
            LabError: modules that differ in more than their weights, or that cannot be used.
        """
        listed = flat("modules", modules, "a list of networks", "For one network give [network].")
        require(len(listed) > 0, "modules", modules, "must hold at least one network")
        known = known_seeds(range(len(listed)) if seeds is None else seeds)
        require(len(known) == len(listed), "seeds", known, f"must be {len(listed)}, one per network")
        nets = [ready(one, data, seed, dtype) for one, seed in zip(listed, known, strict=True)]
        first = built(nets[0])
        for r, one in enumerate(nets):
            require(built(one) == first, f"modules[{r}]", one, "must be built like the first network")
        parameters = _stacked([dict(net.named_parameters()) for net in nets])
        require(len(parameters) > 0, "modules", modules, "must have parameters")
        buffers = _stacked([dict(net.named_buffers()) for net in nets])
        classes = getattr(nets[0], "classes", None)
        return cls(copy.deepcopy(nets[0]), parameters, buffers, known, classes).to(resolve(device))

    @classmethod
    def join(cls, parts: Sequence[Replicas]) -> Replicas:
        """All replicas of several of one architecture, in order. Raises `LabError` when they differ."""
        net = parts[0].net
        alike = all(part.net is net or built(part.net) == built(net) for part in parts)
        require(alike, "parts", parts, "all parts must have the same architecture")
        parameters, buffers = (
            {name: torch.cat([state[name] for state in states]) for name in states[0]}
            for states in ([one.parameters for one in parts], [one.buffers for one in parts])
        )
        seeds = [seed for part in parts for seed in part.seeds]
        return cls(net, parameters, buffers, seeds, parts[0].classes)

    def __len__(self) -> int:
        return len(self.seeds)

    def __getitem__(self, which: int | slice | Sequence[int]) -> Replicas:
        """Some replicas, as copies: `replicas[r]` is one network, R = 1."""
        rows = np.atleast_1d(np.arange(len(self))[which]).tolist()
        pick = torch.tensor(rows, device=self.device)
        some, seeds = self._each(lambda value: value[pick]), [self.seeds[r] for r in rows]
        return Replicas(self.net, *some, seeds, self.classes)

    def __iter__(self) -> Iterator[Replicas]:
        return (self[r] for r in range(len(self)))

    def __repr__(self) -> str:
        reads = f", reading {' + '.join(self.modalities)}" if self.modalities else ""
        what = f"{len(self)} × {self.name} of {self.size:,} parameters{reads}"
        kind = ", in double precision" if self.dtype == torch.float64 else ""
        return f"{what}, seeds {list(self.seeds)}, on {self.device}{kind}"

    @property
    def name(self) -> str:
        """The architecture in a word or two: 'lenet', 'mlp + resnet', or the name of your module's class."""
        return str(getattr(self.net, "architecture", type(self.net).__name__))

    @property
    def spec(self) -> NetSpec | None:
        """The spec they were built from; None for your own modules."""
        return self.net.spec if isinstance(self.net, MultimodalNet) else None

    @property
    def modalities(self) -> tuple[str, ...] | None:
        """The modalities read; None when your own module does not say (then it is given all)."""
        names = getattr(self.net, "modalities", None)
        return None if names is None else tuple(names)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(iter(self.parameters.values())).device

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the parameters, and so of what is read and said."""
        return next(iter(self.parameters.values())).dtype

    @property
    def size(self) -> int:
        """Parameters of one network."""
        return sum(value[0].numel() for value in self.parameters.values())

    def to(self, device: str | torch.device | None = None, *, dtype: torch.dtype | None = None) -> Replicas:
        """The same replicas on a device, 'auto' takes a GPU when there is one; or in another precision."""
        where, kind = self.device if device is None else resolve(device), dtype or self.dtype
        same = (where, kind) == (self.device, self.dtype)
        net = self.net if same else copy.deepcopy(self.net).to(where, kind)
        moved = self._each(lambda v: v.to(where, kind) if v.is_floating_point() else v.to(where))
        return Replicas(net, *moved, self.seeds, self.classes)

    def _each(self, change: Callable[[Tensor], Tensor]) -> tuple[Named, Named]:
        """Parameters and buffers after the same change of every one."""
        parameters, buffers = (
            {name: change(value) for name, value in state.items()}
            for state in (self.parameters, self.buffers)
        )
        return parameters, buffers

    def prepare(self, data: PairedData, *, again: bool = False) -> dict[str, Tensor]:
        """Let a network of yours find out, on two samples, how it is called; returns these samples.

        Raises `LabError` as `ModelAdapter` does.
        """
        known = data.splits.get("train", torch.arange(len(data)))[:2]
        x = data.batch(known.to(data.target.device), self.modalities, dtype=self.dtype)
        x = {name: value.to(self.device) for name, value in x.items()}
        if isinstance(self.net, Wrapper) and (again or getattr(self.net, "calling", True) is None):
            self.net.prepare(x)
        return x

    def meaning(self, classes: tuple[str, ...]) -> Replicas:
        """The same replicas, with logits that stand for these classes."""
        return Replicas(self.net, self.parameters, self.buffers, self.seeds, classes)

    def with_state(self, state: Mapping[str, Tensor]) -> Replicas:
        """The same architecture and seeds with other parameters and buffers, {name: (R, ...)}."""
        parameters, buffers = (
            {name: state[name] for name in known} for known in (self.parameters, self.buffers)
        )
        return Replicas(self.net, parameters, buffers, self.seeds, self.classes)

    def module(self, r: int = 0) -> nn.Module:
        """Replica `r` as an ordinary module of its own, in evaluation mode."""
        net = fill(copy.deepcopy(self.net).eval(), row_of({**self.parameters, **self.buffers}, r))
        net.classes = self.classes  # type: ignore[assignment]
        return net

    def forward(self, x: Mapping[str, Tensor], *, shared: bool = False) -> Tensor:
        """{modality: (R, B, ...)}, or (B, ...) for all when `shared`, -> logits (R, B, K)."""
        return self._ask(x, shared)[0]

    def predict(
        self,
        data: PairedData,
        *,
        split: str | None = None,
        view: View | None = None,
        removal: Removal | str | None = None,
    ) -> Tensor:
        """Logits (R, N, K) on the CPU, in the networks' precision, in the order of the split, or of all
        samples when `split` is None.

        Args:
            data: the samples.
            split: 'train', 'val' or 'test'.
            view: the modalities to keep; None for all.
            removal: how the others go: an operator, or its name ('zeros' by default).

        Raises:
            LabError: an unknown split or modality, a removal this network cannot do, logits that are not
                finite, or networks trained on other classes, or on these in another order.
        """
        return self._over(data, split, view, removal, None)

    def features(
        self,
        data: PairedData,
        *,
        split: str | None = None,
        layer: str | None = None,
        view: View | None = None,
        removal: Removal | str | None = None,
    ) -> Tensor:
        """Features (R, N, F): what a layer puts out, flattened, by default what the head reads (of maps their
        means over a grid of 4 x 4).

        Layers have the names that their author gave, see `models.named_layers`; arguments and errors as
        `predict`'s.
        """
        return self._over(data, split, view, removal, layer or HEAD)

    @property
    def layer_names(self) -> tuple[str, ...]:
        """The layers that `features` can read, beside `HEAD`; by the names that their author gave."""
        return tuple(named_layers(self.net))

    @property
    def has_features(self) -> bool:
        """Whether it is known what the head reads; of a network of yours, once it has been tried."""
        return getattr(self.net, "head_name", None) is not None

    def feature_lengths(self, data: PairedData, layers: Sequence[str] = (HEAD,)) -> dict[str, int]:
        """{layer: F}, by asking one of the networks about two samples."""
        x = self.prepare(data)
        with torch.inference_mode():
            seen = self[0]._ask(x, True, layers)[1]
        return {layer: values.shape[-1] for layer, values in seen.items()}

    def _over(
        self,
        data: PairedData,
        split: str | None,
        view: View | None,
        removal: Removal | str | None,
        layer: str | None,
    ) -> Tensor:
        rule = f"must be the classes of {data.name} in their order, {data.classes}, as these were trained on"
        require(self.classes in (None, data.classes), "replicas.classes", self.classes, rule)
        size = at_once(len(self), self.device)
        batches = eval_inputs(
            data, self.modalities, split, view, removal, size=size, device=self.device, dtype=self.dtype
        )
        first = next(batches)  # refuses what is wrong with the question before the network is tried
        self.prepare(data)
        asked = () if layer is None else (layer,)
        told = (self._ask(x, True, asked) for x in chain([first], batches))
        said = ((logits if layer is None else seen[layer]).cpu() for logits, seen in told)
        with torch.inference_mode():
            found = in_place(said, len(data) if split is None else len(data.positions(split)))
        found = found.clone()
        bad = (~found.isfinite().flatten(1).all(1)).nonzero().flatten().tolist()
        what = f"{self.name} of seed {self.seeds[bad[0]]}" if bad else ""
        require(not bad, "replicas", what, f"gives NaN or infinite values for {data.name}")
        return found

    def _ask(self, x: Mapping[str, Tensor], shared: bool, layers: Sequence[str] = ()) -> Found:
        """Logits (R, B, K), and what passes the layers, {layer: (R, B, F)}."""
        stacked = len(self) > 1 and isinstance(self.net, MultimodalNet) and self.device.type == "cuda"
        self.net.eval()
        return answers(
            self.net, self.parameters, self.buffers, x, shared=shared, stacked=stacked, layers=layers
        )


def _stacked(parts: Sequence[Named]) -> Named:
    """{name: (...)} of R networks -> {name: (R, ...)}."""
    return {name: torch.stack([part[name].detach() for part in parts]) for name in parts[0]}
