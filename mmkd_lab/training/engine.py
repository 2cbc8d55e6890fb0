"""Replicas as they train: all in one call, or one plain network, with all that learns in one flat tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mmkd_lab.core.check import require
from mmkd_lab.models.shared_parts import SharedParts
from mmkd_lab.training.replicas import Replicas
from mmkd_lab.training.stacking import Asked, Found, Named, answers


class Flat:
    """Parameters, and their gradients, moved into one buffer each; the parameters become views of it.

    Frozen ones are left where they are. For networks this small, walking the list of parameters costs more
    than the arithmetic of an optimiser's step. `parameter` is what the optimiser gets.
    """

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        learning = [parameter for parameter in parameters if parameter.requires_grad]
        require(len(learning) > 0, "replicas", "no parameter", "at least one must take a gradient")
        self._shapes = [parameter.shape for parameter in learning]
        self.parameter = nn.Parameter(torch.cat([parameter.data.reshape(-1) for parameter in learning]))
        self.gradient = self.parameter.grad = torch.zeros_like(self.parameter)
        pieces = zip(self.views(self.parameter.data), self.views(self.gradient), strict=True)
        for parameter, (value, gradient) in zip(learning, pieces, strict=True):
            parameter.data, parameter.grad = value, gradient

    def zero_grad(self) -> None:
        """Zero the gradients in place: dropping them would break the views."""
        self.gradient.zero_()

    def views(self, flat: Tensor) -> list[Tensor]:
        """A buffer of this layout, cut into pieces shaped like the parameters, in their order."""
        pieces = torch.split(flat, [shape.numel() for shape in self._shapes])
        return [piece.view(shape) for piece, shape in zip(pieces, self._shapes, strict=True)]


class Engine:
    """R replicas in one call of vmap; or R = 1 called as the plain module that it is, which is quicker alone.

    They are copied. Where there is a `unit`, (shift, scale), answers come without it. `extras` are parameters
    trained beside the networks, {name: (R, ...)}, as those of hints; `net` is the network, for a look at what
    it is, and `flat` all that learns.
    """

    def __init__(
        self,
        replicas: Replicas,
        extras: Mapping[str, Tensor] | None = None,
        *,
        stacked: bool,
        unit: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        self.net, self.stacked, self.unit = replicas.module(), stacked, unit
        self._asked = Asked(self.net)
        self.parameters: Named = dict(self.net.named_parameters())
        self.buffers: Named = dict(self.net.named_buffers())
        if stacked:
            self.parameters = {
                name: nn.Parameter(replicas.parameters[name].clone(), requires_grad=one.requires_grad)
                for name, one in self.parameters.items()
            }
            self.buffers = {name: replicas.buffers[name].clone() for name in self.buffers}
        self.extras = {name: nn.Parameter(value.detach().clone()) for name, value in (extras or {}).items()}
        self.flat = Flat([*self.parameters.values(), *self.extras.values()])

    def __call__(
        self,
        x: Mapping[str, Tensor],
        shared: bool = False,
        parts: SharedParts | None = None,
        learnt: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """{modality: (R, B, ...)}, or (B, ...) when shared, -> (R, B, K); with `parts` (R, V * B, K).

        `learnt` takes the place of what is trained, shaped as `flat.views` gives it.
        """
        return self.ask(x, shared, parts, learnt=learnt)[0]

    def ask(
        self,
        x: Mapping[str, Tensor],
        shared: bool = False,
        parts: SharedParts | None = None,
        *,
        layers: Sequence[str] = (),
        learnt: Sequence[Tensor] | None = None,
    ) -> Found:
        """The same, and {layer: (R, rows, F)}: `HEAD` has a row per row of logits, see `Asked` for others."""
        named = self.parameters
        if learnt is not None:
            values = iter(learnt)  # what a method trains beside the network comes after these
            named = {name: next(values) if one.requires_grad else one for name, one in named.items()}
        if self.stacked:
            logits, seen = answers(
                self.net, named, self.buffers, x, shared=shared, stacked=True, layers=layers, parts=parts
            )
            return self._bare(logits), seen
        asked, given = self._asked, x if shared else {name: value[0] for name, value in x.items()}
        if learnt is None:
            logits, seen = asked(given, layers, parts)
        else:
            inner = {f"net.{name}": value for name, value in named.items()}
            logits, seen = functional_call(asked, inner, (given, layers, parts))
        return self._bare(logits[None]), {layer: features[None] for layer, features in seen.items()}

    def _bare(self, logits: Tensor) -> Tensor:
        return logits if self.unit is None else (logits - self.unit[0]) / self.unit[1]

    def state(self) -> Named:
        """{name: (R, ...)}: live parameters and buffers, not copies."""
        named = {**self.parameters, **self.buffers}
        return named if self.stacked else {name: value[None] for name, value in named.items()}

    def gradients(self) -> list[Tensor]:
        """(R, ...) each."""
        own = [value.grad for value in self.parameters.values() if value.grad is not None]
        own = own if self.stacked else [gradient[None] for gradient in own]
        return own + [value.grad for value in self.extras.values() if value.grad is not None]


def clip_each(gradients: list[Tensor], *, limit: float) -> Tensor:
    """Scale gradients in place so that each replica's norm is at most `limit`.

    A replica's norm is over all its own parameters and nobody else's. Returns the norms before, (R,).
    """
    norms: Tensor = torch.stack([g.flatten(1).norm(dim=1) for g in gradients]).norm(dim=0)
    shrink = (limit / (norms + 1e-6)).clamp(max=1.0)
    for g in gradients:
        g.mul_(shrink.reshape(-1, *[1] * (g.ndim - 1)))
    return norms
