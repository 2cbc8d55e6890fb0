"""All parameters of an engine in one flat tensor, so that an optimiser step is one call."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmkd_lab.core.check import require


class Flat:
    """Moves parameters, and their gradients, into one buffer each; the parameters become views of it.

    Frozen parameters are left where they are.

    For networks this small, walking the list of parameters costs more than the arithmetic of the step.

    Args:
        parameters: those of all replicas, (R, ...) each, or of one network alone.

    Attributes:
        parameter: what the optimiser gets; its `grad` is the gradient buffer.
    """

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        parameters = [parameter for parameter in parameters if parameter.requires_grad]
        require(len(parameters) > 0, "replicas", "no parameter", "at least one must take a gradient")
        values = [_in_memory_order(parameter.data) for parameter in parameters]
        self.parameter = nn.Parameter(torch.cat([value.reshape(-1) for value in values]))
        self.parameter.grad = torch.zeros_like(self.parameter)
        self._parts: list[tuple[slice, torch.Size, bool]] = []
        start = 0
        for parameter, value in zip(parameters, values, strict=True):
            part = slice(start, start + value.numel())
            last = _channels_last(parameter.data)
            parameter.data = _view(self.parameter.data[part], value.shape, last=last)
            parameter.grad = _view(self.parameter.grad[part], value.shape, last=last)
            self._parts.append((part, value.shape, last))
            start = part.stop

    @property
    def gradient(self) -> Tensor:
        """The gradient buffer."""
        assert self.parameter.grad is not None
        return self.parameter.grad

    def zero_grad(self) -> None:
        """Zero the gradients in place: dropping them would break the views."""
        self.gradient.zero_()

    def views(self, flat: Tensor) -> list[Tensor]:
        """A buffer of this layout, cut into pieces shaped like the parameters, in their order."""
        return [_view(flat[part], shape, last=last) for part, shape, last in self._parts]

    def plain(self, flat: Tensor) -> list[Tensor]:
        """The same pieces in the memory order of their shapes: forward mode wants no other."""
        return [value.contiguous() for value in self.views(flat)]


def _channels_last(value: Tensor) -> bool:
    return (
        value.ndim == 4
        and value.is_contiguous(memory_format=torch.channels_last)
        and not value.is_contiguous()
    )


def _in_memory_order(value: Tensor) -> Tensor:
    return value.permute(0, 2, 3, 1) if _channels_last(value) else value.contiguous()


def _view(flat: Tensor, shape: torch.Size, *, last: bool) -> Tensor:
    return flat.view(shape).permute(0, 3, 1, 2) if last else flat.view(shape)
