"""Lightning Fabric supplies device, precision and strategy; torch.optim the optimisers."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from mmkd_lab.core.check import LabError
from mmkd_lab.training.recipe import Recipe

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def make_fabric(device: torch.device, precision: str) -> Fabric:
    """A Fabric for one device. Raises `LabError` for half precision where the device has none."""
    from lightning_fabric import Fabric

    if precision == "16-mixed" and device.type != "cuda":
        raise LabError(
            "precision", precision, f"needs a GPU, and the device is {device}", "Use 'bf16-mixed'."
        )
    logger = logging.getLogger("lightning_fabric")
    level = logger.level
    logger.setLevel(logging.WARNING)  # Fabric announces the precision each time; the recipe already says it
    try:
        devices = [device.index or 0] if device.type == "cuda" else 1
        return Fabric(accelerator=device.type, devices=devices, precision=precision)
    finally:
        logger.setLevel(level)


def optimiser(parameter: nn.Parameter, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimiser. It works entry by entry, so that stacked replicas do not mix."""
    given: dict[str, Any] = {"lr": recipe.lr, "weight_decay": recipe.weight_decay}
    given["fused"] = parameter.device.type in ("cpu", "cuda")
    if recipe.optimiser == "sgd":
        return torch.optim.SGD([parameter], momentum=recipe.momentum, **given)
    kind = torch.optim.Adam if recipe.optimiser == "adam" else torch.optim.AdamW
    return kind([parameter], betas=(recipe.momentum, 0.999), **given)
