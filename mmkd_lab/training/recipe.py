"""How a network is trained: every hyper-parameter of the loop, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from math import ceil
from typing import Annotated, Any, Literal

import torch
from pydantic import Field

from mmkd_lab.core.check import require
from mmkd_lab.core.config import Count, NonNegative, Positive, config

Precision = Literal["auto", "64-true", "32-true", "bf16-mixed", "16-mixed"]
_EPOCHS = 30
#: Parameters from which double precision costs more than its reproducibility is worth.
_LARGE = 5_000_000
#: Compute capabilities of the GPUs whose double precision is half as fast as single: P100, V100, A100, H100
#: and H200, B200. On the others it is 32 to 64 times slower.
_FAST_DOUBLE = ((6, 0), (7, 0), (8, 0), (9, 0), (10, 0))


@config
class Recipe:
    """Training hyper-parameters.

    Args:
        epochs: passes over the training split; 30 when neither this nor `steps` is given.
        steps: optimiser steps in all, instead of `epochs`; the last pass may then be cut short.
        min_steps: optimiser steps in all, at least so many: for a split so small that the epochs make fewer
            they are raised, and `patience` with them. None for no floor; goes with `epochs` alone.
        batch_size: samples per step; None for the full batch. The last batch of a pass is smaller where the
            split does not divide evenly.
        optimiser: 'sgd', 'adam' or 'adamw'.
        lr: the highest learning rate of the schedule.
        momentum: of SGD, or the first beta of Adam and AdamW.
        weight_decay: as torch.optim has it: added to the gradient, or decoupled for AdamW.
        schedule: 'constant'; 'cosine' to zero (Loshchilov and Hutter 2017); 'step' divides by 10 at 50 % and
            75 % of the steps (He et al. 2016, section 4.2); 'onecycle' (Smith and Topin 2019).
        warmup: share of the steps over which the rate first rises linearly, 0 to 0.5.
        clip: largest norm of one replica's gradient; None to leave it alone.
        precision: of parameters, inputs, teacher outputs and predictions: '64-true' (double), '32-true'
            (single), 'bf16-mixed' or '16-mixed' (GPU only); 'auto' is what `resolve_precision` says. Training
            in single precision is chaotic in its last digits: another processor, another number of threads
            gives other networks. In double precision the same training agrees to about 1e-9.
        select: 'best_val' keeps each replica's weights of the epoch with the best validation score, ties to
            the lower nll (rmse in a regression), then to the earlier epoch; 'last' keeps the final weights.
            Test data plays no part.
        select_metric: the metric whose validation score that is, by its name; None for the task's first.
        patience: stop a replica after so many epochs without a better validation score; None for never.
        validate_every: epochs between two looks at the validation split; the last epoch is always looked at.
        modality_dropout: probability with which each modality of each training sample is removed; a sample
            always keeps one. How it goes is `fit`'s argument `dropout_removal`.

    Raises:
        LabError: a value out of its range, or `steps` beside `epochs` or `min_steps`.
    """

    epochs: Count | None = None
    steps: Count | None = None
    min_steps: Count | None = None
    batch_size: Count | None = 64
    optimiser: Literal["sgd", "adam", "adamw"] = "adam"
    lr: Positive = 3e-3
    momentum: Annotated[NonNegative, Field(le=0.9999)] = 0.9
    weight_decay: NonNegative = 0.0
    schedule: Literal["constant", "cosine", "step", "onecycle"] = "cosine"
    warmup: Annotated[NonNegative, Field(le=0.5)] = 0.0
    clip: Positive | None = None
    precision: Precision = "auto"
    select: Literal["best_val", "last"] = "best_val"
    select_metric: str | None = None
    patience: Count | None = None
    validate_every: Count = 1
    modality_dropout: Annotated[NonNegative, Field(le=0.99)] = 0.0

    def __post_init__(self) -> None:
        both = (self.epochs, self.steps)
        require(None in both, "epochs and steps", both, "only one of them may be given")
        rule = "must be None where the steps themselves are given"
        require(None in (self.steps, self.min_steps), "min_steps", self.min_steps, rule)
        if both == (None, None):
            object.__setattr__(self, "epochs", _EPOCHS)

    def length(self, samples: int) -> tuple[int, int]:
        """(steps per epoch, steps in all) for a training split of this many samples."""
        per_epoch = 1 if self.batch_size is None else ceil(samples / self.batch_size)
        floor = ceil((self.min_steps or 0) / per_epoch)
        return per_epoch, self.steps or per_epoch * max(self.epochs or _EPOCHS, floor)

    def raised(self, samples: int) -> Recipe:
        """The recipe that is run on so many training samples: `min_steps` reached, by more epochs and, since
        an epoch of few steps tells less, by as many times the patience."""
        per_epoch, total = self.length(samples)
        if self.epochs is None or total == per_epoch * self.epochs:
            return self
        epochs = total // per_epoch
        patience = None if self.patience is None else -(-self.patience * epochs // self.epochs)
        return replace(self, epochs=epochs, patience=patience)

    def as_dict(self) -> dict[str, object]:
        """Plain JSON values; `from_dict` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """The recipe that `as_dict` wrote. Raises `LabError` for an unknown field."""
        return cls(**values)


def resolve_precision(recipe: Recipe, parameters: int, device: torch.device) -> Precision:
    """The precision in which a network of so many parameters is trained on a device; never 'auto'.

    'auto' is '64-true' below five million parameters, on a CPU or on a GPU with fast double precision, else
    '32-true'. Double takes 1 to 2 times as long as single on the lab's small networks.
    """
    if recipe.precision != "auto":
        return recipe.precision
    fast = device.type == "cpu"
    if device.type == "cuda":
        fast = torch.cuda.get_device_capability(device) in _FAST_DOUBLE
    return "64-true" if parameters < _LARGE and fast else "32-true"


def dtype_of(precision: Precision) -> torch.dtype:
    """What parameters are kept in: mixed precisions keep them in single."""
    return torch.float64 if precision == "64-true" else torch.float32
