"""The two ways to run replicas inside the loop: stacked (one call for all), or direct (one plain network)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from mmkd_lab.train.flat import Flat
from mmkd_lab.train.replicas import Replicas

#: What torch.compile puts before every name.
_COMPILED = "_orig_mod."


class Stacked(nn.Module):
    """All replicas in one call: vmap over the stacked parameters."""

    def __init__(self, replicas: Replicas) -> None:
        super().__init__()
        self.names, self.buffer_names = list(replicas.parameters), list(replicas.buffers)
        self.values = nn.ParameterList(nn.Parameter(value.clone()) for value in replicas.parameters.values())
        for i, value in enumerate(replicas.buffers.values()):
            self.register_buffer(f"buffer_{i}", value.clone())
        self.net = [replicas.net]  # in a list, so that its own parameters are not taken for this module's
        self.flat = Flat(list(self.values))

    def forward(self, x: dict[str, Tensor], shared: bool = False) -> Tensor:
        """{modality: (R, B, ...)}, or (B, ...) when shared, -> (R, B, K)."""
        run = vmap(self._one, in_dims=(0, 0, None if shared else 0))
        out: Tensor = run(self._parameters_by_name(), self._buffers_by_name(), x)
        return out

    def state(self) -> dict[str, Tensor]:
        """{name: (R, ...)}: live parameters and buffers, not copies."""
        return {**self._parameters_by_name(), **self._buffers_by_name()}

    def gradients(self) -> list[Tensor]:
        """(R, ...) each."""
        return [value.grad for value in self.values if value.grad is not None]

    def _one(
        self, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor], x: dict[str, Tensor]
    ) -> Tensor:
        out: Tensor = functional_call(self.net[0], (dict(parameters), dict(buffers)), (x,))
        return out

    def _parameters_by_name(self) -> dict[str, Tensor]:
        return dict(zip(self.names, self.values, strict=True))

    def _buffers_by_name(self) -> dict[str, Tensor]:
        return {name: getattr(self, f"buffer_{i}") for i, name in enumerate(self.buffer_names)}


class Direct(nn.Module):
    """One replica, called as the plain module that it is; the leading axis of 1 is put on outside."""

    def __init__(self, replicas: Replicas, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        with torch.no_grad():
            for name, parameter in net.named_parameters():
                parameter.copy_(replicas.parameters[name.removeprefix(_COMPILED)][0])
            for name, buffer in net.named_buffers():
                buffer.copy_(replicas.buffers[name.removeprefix(_COMPILED)][0])
        # A fifth to a third faster for the lab's convolutions. (torch's stubs lack this overload of `to`.)
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.flat = Flat(list(net.parameters()))

    def forward(self, x: dict[str, Tensor], shared: bool = False) -> Tensor:
        """{modality: (1, B, ...)}, or (B, ...) when shared, -> (1, B, K)."""
        out: Tensor = self.net(x if shared else {name: value[0] for name, value in x.items()})
        return out[None]

    def state(self) -> dict[str, Tensor]:
        """{name: (1, ...)}: live parameters and buffers, not copies."""
        named = (*self.net.named_parameters(), *self.net.named_buffers())
        return {name.removeprefix(_COMPILED): value[None] for name, value in named}

    def gradients(self) -> list[Tensor]:
        """(1, ...) each."""
        return [value.grad[None] for value in self.net.parameters() if value.grad is not None]


Engine = Stacked | Direct


def clip_each(gradients: list[Tensor], *, limit: float) -> Tensor:
    """Scale gradients in place so that each replica's norm is at most `limit`.

    A replica's norm is over all its own parameters and nobody else's. Returns the norms before, (R,).
    """
    norms: Tensor = torch.stack([g.flatten(1).norm(dim=1) for g in gradients]).norm(dim=0)
    shrink = (limit / (norms + 1e-6)).clamp(max=1.0)
    for g in gradients:
        g.mul_(shrink.reshape(-1, *[1] * (g.ndim - 1)))
    return norms
