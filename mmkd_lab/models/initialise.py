"""Draw a network's weights from a stream of its own, leaving torch's global generator alone."""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor, nn

from mmkd_lab.core.seed import derive

#: Parameters that belong to no layer and must not start alike.
_EMBEDDINGS = ("query", "cls", "separator", "position", "segment")


def initialise(net: nn.Module, *, seed: int) -> None:
    """Draw all weights of `net` in place: torch's default law for dense layers and convolutions.

    They are drawn in double precision and then rounded: every processor draws the same.

    Weights and biases are uniform within ±1/sqrt(fan-in) (He et al. 2015 with the slope torch takes); norms
    start as the identity; embeddings, of F numbers each, and an attention query are normal with deviation
    1/sqrt(F); trainable stand-ins start at zero.
    """
    generator = torch.Generator().manual_seed(derive(seed, "init"))
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d)):
                bound = 1 / sqrt(module.weight[0].numel())
                for parameter in module.parameters(recurse=False):
                    parameter.copy_(_wide(parameter).uniform_(-bound, bound, generator=generator))
            elif isinstance(module, (nn.GroupNorm, nn.LayerNorm)):
                module.weight.fill_(1.0)
                module.bias.zero_()
            else:
                for name, parameter in module.named_parameters(recurse=False):
                    if isinstance(module, nn.Embedding) or name in _EMBEDDINGS:
                        deviation = 1 / sqrt(parameter.shape[-1])
                        parameter.copy_(_wide(parameter).normal_(0.0, deviation, generator=generator))
                    else:
                        parameter.zero_()


def _wide(like: Tensor) -> Tensor:
    return torch.empty(like.shape, dtype=torch.float64)
