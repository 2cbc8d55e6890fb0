"""How a network is trained: every hyper-parameter of the loop, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from math import ceil

from mmkd_lab.core.check import mapping, one_of, real, require, whole

OPTIMISERS = ("sgd", "adam", "adamw")
SCHEDULES = ("constant", "cosine", "step", "onecycle")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
SELECTIONS = ("best_val", "last")
_EPOCHS = 30


@dataclass(frozen=True)
class Recipe:
    """Training hyper-parameters.

    Args:
        epochs: passes over the training split; 30 when neither this nor `steps` is given.
        steps: optimiser steps in all, instead of `epochs`; the last pass may then be cut short.
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
        precision: '32-true', 'bf16-mixed' or '16-mixed' (GPU only).
        select: 'best_val' keeps each replica's weights of the epoch with the best validation score, ties to
            the lower nll, then to the earlier epoch; 'last' keeps the final weights. Test data plays no part.
        patience: stop a replica after so many epochs without a better validation score; None for never.
        validate_every: epochs between two looks at the validation split; the last epoch is always looked at.
        modality_dropout: probability with which each modality of each training sample is removed; a sample
            always keeps one. How it goes is `fit`'s argument `dropout_removal`.

    Raises:
        LabError: a value out of its range, or both `epochs` and `steps`.
    """

    epochs: int | None = None
    steps: int | None = None
    batch_size: int | None = 64
    optimiser: str = "adam"
    lr: float = 3e-3
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: str = "cosine"
    warmup: float = 0.0
    clip: float | None = None
    precision: str = "32-true"
    select: str = "best_val"
    patience: int | None = None
    validate_every: int = 1
    modality_dropout: float = 0.0

    def __post_init__(self) -> None:
        require(
            self.epochs is None or self.steps is None,
            "epochs and steps",
            (self.epochs, self.steps),
            "only one of them may be given",
        )
        if self.epochs is None and self.steps is None:
            object.__setattr__(self, "epochs", _EPOCHS)
        for name in ("epochs", "steps", "batch_size", "patience", "validate_every"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, whole(name, getattr(self, name)))
        one_of("optimiser", self.optimiser, OPTIMISERS)
        one_of("schedule", self.schedule, SCHEDULES)
        one_of("precision", self.precision, PRECISIONS)
        one_of("select", self.select, SELECTIONS)
        self._real("lr", above=0.0)
        self._real("momentum", at_least=0.0, at_most=0.9999)
        self._real("weight_decay", at_least=0.0)
        self._real("warmup", at_least=0.0, at_most=0.5)
        self._real("modality_dropout", at_least=0.0, at_most=0.99)
        if self.clip is not None:
            self._real("clip", above=0.0)

    def _real(self, name: str, **bounds: float) -> None:
        """Kept as Python's float, so that 1 and 1.0 are one recipe and numpy's numbers become JSON."""
        object.__setattr__(self, name, real(name, getattr(self, name), **bounds))

    def length(self, samples: int) -> tuple[int, int]:
        """(steps per epoch, steps in all) for a training split of this many samples."""
        per_epoch = 1 if self.batch_size is None else ceil(samples / self.batch_size)
        if self.steps is not None:
            return per_epoch, self.steps
        assert self.epochs is not None
        return per_epoch, per_epoch * self.epochs

    def as_dict(self) -> dict[str, object]:
        """Plain JSON values; `from_dict` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Recipe:
        """The recipe that `as_dict` wrote. Raises `LabError` for an unknown field."""
        known = [field.name for field in fields(cls)]
        for name in mapping("values", values, "what as_dict gave"):
            one_of("field of Recipe", name, known)
        return cls(**values)  # type: ignore[arg-type]
