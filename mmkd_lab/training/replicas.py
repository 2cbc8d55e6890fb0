"""R networks of one architecture, their parameters stacked along a leading axis. One network is R = 1."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import vmap

from mmkd_lab.core.check import LabError, flat, of_type, require, whole
from mmkd_lab.data.paired import PairedData
from mmkd_lab.models.network import MultimodalNet, build
from mmkd_lab.models.own import OwnNet
from mmkd_lab.models.removal import Removal
from mmkd_lab.models.spec import NetSpec
from mmkd_lab.models.views import View
from mmkd_lab.training import strategy
from mmkd_lab.training.device import resolve
from mmkd_lab.training.inputs import eval_inputs, fill_vocabulary, standardise
from mmkd_lab.training.stacking import (
    Call,
    Named,
    alike,
    call_features,
    call_logits,
    join_rows,
    known_seeds,
    stack_rows,
)

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
        cls, spec: NetSpec, data: PairedData, *, seeds: Iterable[int], device: str | torch.device = "auto"
    ) -> Replicas:
        """One untrained network per seed, for the modalities and classes of `data`.

        With `spec.standardise` the means and deviations come from the training split. Raises `LabError` for a
        modality that is not in the data, a shape the encoder cannot read, or bad seeds.
        """
        of_type("data", data, PairedData, "a PairedData")
        known = known_seeds(seeds)
        spec = fill_vocabulary(spec, data)
        nets = [build(spec, data.shapes, data.num_classes, seed=seed) for seed in known]
        if spec.standardise:
            standardise(nets, data)
        return cls.of(nets, seeds=known, device=device)

    @classmethod
    def of(
        cls,
        modules: Sequence[nn.Module],
        *,
        seeds: Iterable[int] | None = None,
        device: str | torch.device = "auto",
    ) -> Replicas:
        """Your own networks: R modules of one architecture, each taking {modality: tensor} and giving logits
        (B, K).

        The weights are copied; a parameter that takes no gradient in the first module stays frozen in `fit`.
        Raises `LabError` when the modules differ in more than their weights.
        """
        listed = flat("modules", modules, "a list of networks", "For one network give [network].")
        require(len(listed) > 0, "modules", modules, "must hold at least one network")
        modules = [one if isinstance(one, (MultimodalNet, OwnNet)) else OwnNet(one) for one in listed]  # type: ignore[arg-type]
        for r, one in enumerate(modules):
            require(alike(one, modules[0]), f"modules[{r}]", one, "must be built like the first network")
        known = known_seeds(range(len(modules)) if seeds is None else seeds)
        require(len(known) == len(modules), "seeds", known, f"must be {len(modules)}, one per network")
        parameters = stack_rows([dict(module.named_parameters()) for module in modules])
        require(len(parameters) > 0, "modules", modules, "must have parameters")
        buffers = stack_rows([dict(module.named_buffers()) for module in modules])
        return cls(copy.deepcopy(modules[0]), parameters, buffers, known).to(device)

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
        count = sum(value[0].numel() for value in self.parameters.values())
        reads = f", reading {' + '.join(self.modalities)}" if self.modalities else ""
        what = f"{len(self)} × {self.name} of {count:,} parameters{reads}"
        return f"{what}, seeds {list(self.seeds)}, on {self.device}"

    @property
    def name(self) -> str:
        """The architecture in a word or two, as the table of strategies has it."""
        return strategy.architecture(self.net)

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

    def to(self, device: str | torch.device) -> Replicas:
        """The same replicas on a device; 'auto' takes a GPU when there is one."""
        where = resolve(device)
        return Replicas(
            self.net if where == self.device else copy.deepcopy(self.net).to(where),
            {name: value.to(where) for name, value in self.parameters.items()},
            {name: value.to(where) for name, value in self.buffers.items()},
            self.seeds,
        )

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
            require(
                fits,
                f"x[{name!r}]",
                tuple(values.shape),
                f"must be ({len(self)}, batch, ...)",
                "Or shared=True.",
            )
        self.net.eval()
        return self._call(x, shared, call_logits)

    def predict(
        self,
        data: PairedData,
        *,
        split: str | None = None,
        view: View | None = None,
        removal: Removal | str | None = None,
    ) -> Tensor:
        """Logits (R, N, K), float32 on the CPU, in the order of the split, or of all samples when `split` is
        None.

        Args:
            data: the samples.
            split: 'train', 'val' or 'test'.
            view: the modalities to keep; None for all.
            removal: how the others go: an operator, or its name ('zeros' by default).

        Raises:
            LabError: an unknown split or modality, or a removal this network cannot do.
        """
        return self._over(data, split, view, removal, call_logits)

    def feature_lengths(self, data: PairedData, layers: Iterable[str] = ()) -> dict[str, int]:
        """{layer: F}, by asking one of the networks about two samples."""
        x = next(eval_inputs(data, self.modalities, "train", None, None, size=2, device=self.device))
        first, rest = (
            {name: value[0] for name, value in part.items()} for part in (self.parameters, self.buffers)
        )
        with torch.inference_mode():
            return dict.fromkeys(layers, int(call_features(self.net, first, rest, x).shape[-1]))

    def features(
        self,
        data: PairedData,
        *,
        split: str | None = None,
        view: View | None = None,
        removal: Removal | str | None = None,
    ) -> Tensor:
        """Features (R, N, F), what the head reads; arguments and errors as `predict`'s.

        Your own module needs a method `features` for this.
        """
        if not callable(getattr(self.net, "features", None)):
            raise LabError("net", type(self.net).__name__, "has no method features(x)")
        return self._over(data, split, view, removal, call_features)

    def _over(
        self,
        data: PairedData,
        split: str | None,
        view: View | None,
        removal: Removal | str | None,
        run: Call,
    ) -> Tensor:
        size = max(64, CHUNK // len(self))
        parts = []
        self.net.eval()
        with torch.inference_mode():
            for x in eval_inputs(data, self.modalities, split, view, removal, size=size, device=self.device):
                parts.append(self._call(x, True, run).float().cpu())
        return torch.cat(parts, dim=1).clone()

    def _call(self, x: Mapping[str, Tensor], shared: bool, run: Call) -> Tensor:
        if len(self) > 1 and strategy.stacks(self.net, self.device):

            def one(parameters: Named, buffers: Named, x: Named) -> Tensor:
                return run(self.net, parameters, buffers, x)

            stacked: Tensor = vmap(one, in_dims=(0, 0, None if shared else 0))(
                self.parameters, self.buffers, dict(x)
            )
            return stacked
        rows = [
            run(
                self.net,
                {name: value[r] for name, value in self.parameters.items()},
                {name: value[r] for name, value in self.buffers.items()},
                dict(x) if shared else {name: value[r] for name, value in x.items()},
            )
            for r in range(len(self))
        ]
        return torch.stack(rows)
