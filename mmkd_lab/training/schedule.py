"""The optimiser of a recipe, and its learning rate at every step: closed forms, no state."""

from __future__ import annotations

from math import cos, pi
from typing import Any

import torch
from torch import nn

from mmkd_lab.training.recipe import Recipe

#: One-cycle: share of the steps that rise, and the rates at both ends (Smith and Topin 2019, torch's
# defaults).
RISE, START, END = 0.3, 1 / 25, 1 / 25e4


def factor(name: str, step: int, *, total: int, warmup: float = 0.0) -> float:
    """The share of the highest rate at `step` of 0 .. total - 1, by the name of the schedule.

    Over the share `warmup` of the steps it rises linearly, before the schedule proper runs over the rest.
    """
    rising = round(warmup * total)
    if step < rising:
        return (step + 1) / (rising + 1)
    done = (step - rising) / max(1, total - rising)
    if name == "constant":
        return 1.0
    if name == "cosine":
        return _between(1.0, 0.0, done)
    if name == "step":
        return 1.0 if done < 0.5 else 0.1 if done < 0.75 else 0.01
    if done < RISE:
        return _between(START, 1.0, done / RISE)
    return _between(1.0, END, (done - RISE) / (1 - RISE))


def rates(recipe: Recipe, *, total: int) -> list[float]:
    """The learning rate of every step of a recipe."""
    shares = (factor(recipe.schedule, step, total=total, warmup=recipe.warmup) for step in range(total))
    return [recipe.lr * share for share in shares]


def optimiser(parameter: nn.Parameter, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimiser. It works entry by entry, so that stacked replicas do not mix."""
    given: dict[str, Any] = {"lr": recipe.lr, "weight_decay": recipe.weight_decay}
    given["fused"] = parameter.device.type in ("cpu", "cuda")
    if recipe.optimiser == "sgd":
        return torch.optim.SGD([parameter], momentum=recipe.momentum, **given)
    kind = torch.optim.Adam if recipe.optimiser == "adam" else torch.optim.AdamW
    return kind([parameter], betas=(recipe.momentum, 0.999), **given)


def _between(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + cos(pi * share)) / 2
