"""All parameters of an engine in one flat tensor, so that an optimiser step is one call."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Flat:
    """Moves parameters, and their gradients, into one buffer each; the parameters become views of it.

    For networks this small, walking the list of parameters costs more than the arithmetic of the step.

    Attributes:
        parameter: what the optimiser gets; its `grad` is the gradient buffer.
    """

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        values = [_in_memory_order(parameter.data) for parameter in parameters]
        self.parameter = nn.Parameter(torch.cat([value.reshape(-1) for value in values]))
        self.parameter.grad = torch.zeros_like(self.parameter)
        start = 0
        for parameter, value in zip(parameters, values, strict=True):
            end = start + value.numel()
            last = _channels_last(parameter.data)
            parameter.data = _view(self.parameter.data[start:end], value.shape, last=last)
            parameter.grad = _view(self.parameter.grad[start:end], value.shape, last=last)
            start = end

    def zero_grad(self) -> None:
        """Zero the gradients in place: dropping them would break the views."""
        assert self.parameter.grad is not None
        self.parameter.grad.zero_()


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
