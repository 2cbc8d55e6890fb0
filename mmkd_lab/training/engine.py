"""The two ways to run replicas inside the loop: stacked (one call for all), or direct (one plain network)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from mmkd_lab.core.check import LabError
from mmkd_lab.models.shared_parts import SharedParts
from mmkd_lab.training.flat import Flat
from mmkd_lab.training.replicas import Replicas
from mmkd_lab.training.stacking import Asked, Found, Named


class Stacked(nn.Module):
    """All replicas in one call: vmap over the stacked parameters.

    `extras` are parameters trained beside the networks, {name: (R, ...)}: those of a method such as hints.
    """

    def __init__(self, replicas: Replicas, extras: Mapping[str, Tensor] | None = None) -> None:
        super().__init__()
        self.names, self.buffer_names = list(replicas.parameters), list(replicas.buffers)
        learns = {name: one.requires_grad for name, one in replicas.net.named_parameters()}
        self.values = nn.ParameterList(
            nn.Parameter(value.clone(), requires_grad=learns[name])
            for name, value in replicas.parameters.items()
        )
        for i, value in enumerate(replicas.buffers.values()):
            self.register_buffer(f"buffer_{i}", value.clone())
        # In a list, so that its own parameters are not taken for this module's.
        self.asked = [Asked(replicas.net)]
        self.extras = _learning(extras)
        self.flat = Flat([*self.values, *self.extras.values()])

    @property
    def plain(self) -> nn.Module:
        """The network, for a look at what it is."""
        return self.asked[0].net

    def forward(self, x: dict[str, Tensor], shared: bool = False, parts: SharedParts | None = None) -> Tensor:
        """{modality: (R, B, ...)}, or (B, ...) when shared, -> (R, B, K); with `parts` (R, V * B, K)."""
        return self.with_features(x, shared, parts)[0]

    def with_features(
        self,
        x: dict[str, Tensor],
        shared: bool = False,
        parts: SharedParts | None = None,
        *,
        layers: Sequence[str] = (),
    ) -> Found:
        """The same, and {layer: (R, rows, F)}: `HEAD` has a row per row of logits, see `Asked` for others."""
        return self._run(self._parameters_by_name(), x, shared, layers, parts)

    def function(
        self, x: dict[str, Tensor], shared: bool, parts: SharedParts | None = None
    ) -> Callable[[list[Tensor]], Tensor]:
        """The logits (R, B, K) as a function of what is trained, shaped as `flat.views` gives it."""

        def run(values: list[Tensor]) -> Tensor:
            learnt = iter(values)
            named = {
                name: next(learnt) if value.requires_grad else value
                for name, value in self._parameters_by_name().items()
            }
            return self._run(named, x, shared, (), parts)[0]

        return run

    def _run(
        self,
        parameters: Named,
        x: dict[str, Tensor],
        shared: bool,
        layers: Sequence[str],
        parts: SharedParts | None,
    ) -> Found:
        def one(parameters: Named, buffers: Named, x: Named) -> Found:
            named = ({f"net.{name}": value for name, value in part.items()} for part in (parameters, buffers))
            found: Found = functional_call(self.asked[0], tuple(named), (x, layers, parts))
            return found

        try:
            found: Found = vmap(one, in_dims=(0, 0, None if shared else 0))(
                parameters, self._buffers_by_name(), x
            )
        except RuntimeError as error:
            if "randomness" not in str(error):
                raise
            rule = "the network draws random numbers as it runs, which cannot be stacked"
            raise LabError("mode", "stacked", rule, "Use mode='looped'.") from error
        return found

    def train(self, mode: bool = True) -> Stacked:
        """Training or evaluation mode, also for the network that is kept out of this module's sight."""
        self.plain.train(mode)
        super().train(mode)
        return self

    def state(self) -> dict[str, Tensor]:
        """{name: (R, ...)}: live parameters and buffers, not copies."""
        return {**self._parameters_by_name(), **self._buffers_by_name()}

    def gradients(self) -> list[Tensor]:
        """(R, ...) each."""
        known = [*self.values, *self.extras.values()]
        return [value.grad for value in known if value.grad is not None]

    def _parameters_by_name(self) -> dict[str, Tensor]:
        return dict(zip(self.names, self.values, strict=True))

    def _buffers_by_name(self) -> dict[str, Tensor]:
        return {name: getattr(self, f"buffer_{i}") for i, name in enumerate(self.buffer_names)}


class Direct(nn.Module):
    """One replica, called as the plain module that it is; the leading axis of 1 is put on outside."""

    def __init__(
        self, replicas: Replicas, net: nn.Module, extras: Mapping[str, Tensor] | None = None
    ) -> None:
        super().__init__()
        self.plain = net
        with torch.no_grad():
            for name, parameter in net.named_parameters():
                parameter.copy_(replicas.parameters[name][0])
            for name, buffer in net.named_buffers():
                buffer.copy_(replicas.buffers[name][0])
        # In a list, so that its parameters are not taken for more of this module's.
        self.asked = [Asked(net)]
        self.extras = _learning(extras)
        self.flat = Flat([*net.parameters(), *self.extras.values()])

    def forward(self, x: dict[str, Tensor], shared: bool = False, parts: SharedParts | None = None) -> Tensor:
        """{modality: (1, B, ...)}, or (B, ...) when shared, -> (1, B, K); with `parts` (1, V * B, K)."""
        return self.with_features(x, shared, parts)[0]

    def with_features(
        self,
        x: dict[str, Tensor],
        shared: bool = False,
        parts: SharedParts | None = None,
        *,
        layers: Sequence[str] = (),
    ) -> Found:
        """The same, and {layer: (1, rows, F)}: `HEAD` has a row per row of logits, see `Asked` for others."""
        logits, seen = self.asked[0](x if shared else _first(x), layers, parts)
        return logits[None], {layer: values[None] for layer, values in seen.items()}

    def function(
        self, x: dict[str, Tensor], shared: bool, parts: SharedParts | None = None
    ) -> Callable[[list[Tensor]], Tensor]:
        """The logits (1, B, K) as a function of what is trained, shaped as `flat.views` gives it."""
        names = [f"net.{name}" for name, one in self.plain.named_parameters() if one.requires_grad]

        def run(values: list[Tensor]) -> Tensor:
            # What a method trains beside the network is left out.
            named = dict(zip(names, values, strict=False))
            found: Found = functional_call(self.asked[0], named, (x if shared else _first(x), (), parts))
            return found[0][None]

        return run

    def state(self) -> dict[str, Tensor]:
        """{name: (1, ...)}: live parameters and buffers, not copies."""
        named = (*self.plain.named_parameters(), *self.plain.named_buffers())
        return {name: value[None] for name, value in named}

    def gradients(self) -> list[Tensor]:
        """(1, ...) each."""
        own = [value.grad[None] for value in self.plain.parameters() if value.grad is not None]
        return own + [value.grad for value in self.extras.values() if value.grad is not None]


Engine = Stacked | Direct


def _learning(extras: Mapping[str, Tensor] | None) -> dict[str, nn.Parameter]:
    """In a plain dict: names may hold dots, and the result of training must not hold them."""
    return {name: nn.Parameter(value.detach().clone()) for name, value in (extras or {}).items()}


def _first(x: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value[0] for name, value in x.items()}


def clip_each(gradients: list[Tensor], *, limit: float) -> Tensor:
    """Scale gradients in place so that each replica's norm is at most `limit`.

    A replica's norm is over all its own parameters and nobody else's. Returns the norms before, (R,).
    """
    norms: Tensor = torch.stack([g.flatten(1).norm(dim=1) for g in gradients]).norm(dim=0)
    shrink = (limit / (norms + 1e-6)).clamp(max=1.0)
    for g in gradients:
        g.mul_(shrink.reshape(-1, *[1] * (g.ndim - 1)))
    return norms
