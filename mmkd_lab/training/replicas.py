"""R networks of one architecture, their parameters stacked along a leading axis. One network is R = 1."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from mmkd_lab.core.check import flat, of_type, require, whole
from mmkd_lab.data.paired import PairedData
from mmkd_lab.models.layers import HEAD, Wrapper, named_layers
from mmkd_lab.models.network import MultimodalNet, build
from mmkd_lab.models.removal import Removal
from mmkd_lab.models.spec import NetSpec
from mmkd_lab.models.views import View
from mmkd_lab.training.adapt import ready
from mmkd_lab.training.device import resolve
from mmkd_lab.training.inputs import eval_inputs, fill_vocabulary, standardise
from mmkd_lab.training.stacking import Asked, Named, alike, join_rows, known_seeds, row_of, stack_rows

#: Samples times replicas that pass through the networks at once outside training.
CHUNK = 4096


class Replicas:
    """R networks of one architecture as stacked parameters.

    Make them with `Replicas.build` from a spec, or with `Replicas.of` from your own modules. Two replicas may
    share a seed: they then start from the same weights and see their data in the same order, which is how the
    arms of a study are paired.

    Attributes:
        net: the architecture as a module; its own parameters are of no meaning.
        parameters: {name: (R, ...)}.
        buffers: {name: (R, ...)}, for example the training means that inputs are standardised with.
        seeds: R seeds.
    """

    def __init__(
        self,
        net: nn.Module,
        parameters: Mapping[str, Tensor],
        buffers: Mapping[str, Tensor],
        seeds: Sequence[int],
    ) -> None:
        self.net, self.seeds = net, tuple(seeds)
        self.parameters, self.buffers = dict(parameters), dict(buffers)

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
        of_type("data", data, PairedData, "a PairedData")
        known = known_seeds(seeds)
        spec = fill_vocabulary(spec, data)
        nets = [build(spec, data.shapes, data.num_classes, seed=seed).to(dtype) for seed in known]
        if spec.standardise:
            standardise(nets, data)
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
        for r, one in enumerate(nets):
            require(alike(one, nets[0]), f"modules[{r}]", one, "must be built like the first network")
        parameters = stack_rows([dict(net.named_parameters()) for net in nets])
        require(len(parameters) > 0, "modules", modules, "must have parameters")
        buffers = stack_rows([dict(net.named_buffers()) for net in nets])
        return cls(copy.deepcopy(nets[0]), parameters, buffers, known).to(resolve(device))

    @classmethod
    def join(cls, parts: Sequence[Replicas]) -> Replicas:
        """All replicas of several of the same architecture, in order."""
        listed = flat("parts", parts, "a list of Replicas")
        parts = [of_type("parts", part, cls, "a list of Replicas") for part in listed]
        require(len(parts) > 0, "parts", parts, "must hold at least one")
        for part in parts:
            require(
                alike(part.net, parts[0].net), "parts", parts, "all parts must have the same architecture"
            )
        return cls(
            parts[0].net,
            join_rows([part.parameters for part in parts]),
            join_rows([part.buffers for part in parts]),
            [seed for part in parts for seed in part.seeds],
        )

    def __len__(self) -> int:
        return len(self.seeds)

    def __getitem__(self, which: int | slice | Sequence[int]) -> Replicas:
        """Some replicas, as copies: `replicas[r]` is one network, R = 1."""
        rows = list(range(len(self)))[which] if isinstance(which, slice) else self._rows(which)
        require(len(rows) > 0, "replica", which, f"must pick at least one of the {len(self)}")
        pick = torch.tensor(rows, device=self.device)
        return Replicas(
            self.net,
            {name: value[pick] for name, value in self.parameters.items()},
            {name: value[pick] for name, value in self.buffers.items()},
            [self.seeds[r] for r in rows],
        )

    def _rows(self, which: object) -> list[int]:
        plain = which.tolist() if hasattr(which, "tolist") else which
        listed = (
            [plain] if isinstance(plain, int) else flat("replica", plain, "a whole number or a list of them")
        )
        found = [whole("replica", r, at_least=-len(self)) for r in listed]
        for r in found:
            require(r < len(self), "replica", r, f"there are {len(self)}, counted from 0")
        return found

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
        where = self.device if device is None else resolve(device)
        kind = dtype or self.dtype
        same = (where, kind) == (self.device, self.dtype)

        def moved(value: Tensor) -> Tensor:
            return value.to(where, kind) if value.is_floating_point() else value.to(where)

        return Replicas(
            self.net if same else copy.deepcopy(self.net).to(where, kind),
            {name: moved(value) for name, value in self.parameters.items()},
            {name: moved(value) for name, value in self.buffers.items()},
            self.seeds,
        )

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

    def with_state(self, state: Mapping[str, Tensor], *, seeds: Sequence[int] | None = None) -> Replicas:
        """The same architecture with other parameters and buffers, {name: (R, ...)}, and maybe seeds."""
        return Replicas(
            self.net,
            {name: state[name] for name in self.parameters},
            {name: state[name] for name in self.buffers},
            self.seeds if seeds is None else seeds,
        )

    def module(self, r: int = 0) -> nn.Module:
        """Replica `r` as an ordinary module of its own, in evaluation mode."""
        one = self[r]
        net = copy.deepcopy(self.net).eval()
        with torch.no_grad():
            for name, parameter in net.named_parameters():
                parameter.copy_(one.parameters[name][0])
            for name, buffer in net.named_buffers():
                buffer.copy_(one.buffers[name][0])
        return net

    def forward(self, x: Mapping[str, Tensor], *, shared: bool = False) -> Tensor:
        """{modality: (R, B, ...)}, or (B, ...) for all when `shared`, -> logits (R, B, K)."""
        require(isinstance(x, Mapping), "x", type(x).__name__, "must be {modality: tensor}")
        for name, values in x.items():
            fits = shared or (values.ndim > 0 and len(values) == len(self))
            rule = f"must be ({len(self)}, batch, ...)"
            require(fits, f"x[{name!r}]", tuple(values.shape), rule, "Or shared=True.")
        self.net.eval()
        return self._call(x, shared, None)

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
            LabError: an unknown split or modality, a removal this network cannot do, or logits that are not
                finite.
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
        """Features (R, N, F): what a layer puts out, flattened, by default what the head reads.

        Layers have the names that their author gave, see `models.named_layers`; arguments and errors as
        `predict`'s.
        """
        return self._over(data, split, view, removal, layer or HEAD)

    def head_weight(self) -> Tensor | None:
        """(R, K, F), what makes logits of the features, but for a bias; None where the head is not linear."""
        head = getattr(self.net, "head_name", None)
        if not isinstance(named_layers(self.net).get(head or ""), nn.Linear):
            return None
        return self.parameters[f"{'module.' * isinstance(self.net, Wrapper)}{head}.weight"]

    @property
    def layer_names(self) -> tuple[str, ...]:
        """The layers that `features` can read, beside `HEAD`; by the names that their author gave."""
        return tuple(named_layers(self.net))

    @property
    def has_features(self) -> bool:
        """Whether it is known what the head reads; of a network of yours, once it has been tried."""
        return getattr(self.net, "head_name", None) is not None

    def feature_lengths(self, data: PairedData, layers: Iterable[str] = (HEAD,)) -> dict[str, int]:
        """{layer: F}, by asking one of the networks about two samples."""
        x, one = self.prepare(data), self[0]
        one.net.eval()
        with torch.inference_mode():
            return {layer: int(one._call(x, True, layer).shape[-1]) for layer in layers}

    def _over(
        self,
        data: PairedData,
        split: str | None,
        view: View | None,
        removal: Removal | str | None,
        layer: str | None,
    ) -> Tensor:
        of_type("data", data, PairedData, "a PairedData")
        size = max(64, CHUNK // len(self))
        parts = []
        batches = eval_inputs(
            data, self.modalities, split, view, removal, size=size, device=self.device, dtype=self.dtype
        )
        first = next(batches)
        self.prepare(data)
        self.net.eval()
        with torch.inference_mode():
            for x in chain([first], batches):
                parts.append(self._call(x, True, layer).cpu())
        found = torch.cat(parts, dim=1).clone()
        bad = (~found.isfinite().flatten(1).all(1)).nonzero().flatten().tolist()
        what = f"{self.name} of seed {self.seeds[bad[0]]}" if bad else ""
        require(not bad, "replicas", what, f"gives NaN or infinite values for {data.name}")
        return found

    def _call(self, x: Mapping[str, Tensor], shared: bool, layer: str | None) -> Tensor:
        """Logits (R, B, K), or what passes a layer, (R, B, F)."""
        asked = Asked(self.net)

        def one(parameters: Named, buffers: Named, x: Named) -> Tensor:
            named = ({f"net.{name}": value for name, value in part.items()} for part in (parameters, buffers))
            logits, seen = functional_call(asked, tuple(named), (x, () if layer is None else (layer,)))
            found: Tensor = logits if layer is None else seen[layer]
            return found

        if len(self) > 1 and isinstance(self.net, MultimodalNet) and self.device.type == "cuda":
            stacked: Tensor = vmap(one, in_dims=(0, 0, None if shared else 0))(
                self.parameters, self.buffers, dict(x)
            )
            return stacked
        rows = [
            one(row_of(self.parameters, r), row_of(self.buffers, r), dict(x) if shared else row_of(x, r))
            for r in range(len(self))
        ]
        return torch.stack(rows)
