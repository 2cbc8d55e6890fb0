"""All parameters of an engine in one flat tensor, so that an optimiser step is one call."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmkd_lab.core.check import require


class Flat:
    """Moves parameters, and their gradients, into one buffer each; the parameters become views of it.

    Frozen parameters are left where they are. For networks this small, walking the list of parameters costs
    more than the arithmetic of the step.

    Args:
        parameters: those of all replicas, (R, ...) each, or of one network alone.

    Attributes:
        parameter: what the optimiser gets; its `grad` is the gradient buffer.
    """

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        learning = [parameter for parameter in parameters if parameter.requires_grad]
        require(len(learning) > 0, "replicas", "no parameter", "at least one must take a gradient")
        self._shapes = [parameter.shape for parameter in learning]
        self.parameter = nn.Parameter(torch.cat([parameter.data.reshape(-1) for parameter in learning]))
        self.parameter.grad = torch.zeros_like(self.parameter)
        pieces = zip(self.views(self.parameter.data), self.views(self.gradient), strict=True)
        for parameter, (value, gradient) in zip(learning, pieces, strict=True):
            parameter.data, parameter.grad = value, gradient

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
        pieces, start = [], 0
        for shape in self._shapes:
            pieces.append(flat[start : start + shape.numel()].view(shape))
            start += shape.numel()
        return pieces
