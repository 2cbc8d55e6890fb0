"""The loss a network is trained on: labels, a teacher, or both; every term by its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mmkd_lab.core.check import LabError, flat, of_type, one_of, position, real, require
from mmkd_lab.data.paired import Task
from mmkd_lab.distill.arms import Arm
from mmkd_lab.distill.kd import CONVENTIONS, kd_divergence


@dataclass(frozen=True, eq=False)
class Objective:
    """loss = ce · CE + kd · KD, for R replicas at once.

    Args:
        ce: weight of the cross-entropy with the labels: a number, or (R,) one per replica.
        kd: weight of `kd_divergence` from the teacher: a number, or (R,).
        temperature: T of the divergence, which carries its factor T².
        convention: 'kl' or 'released', see `kd_divergence`.
        task: what the target is, see `Task`.

    Raises:
        LabError: a negative or infinite weight, both weights 0 for a replica, weights of unequal length, an
            unknown convention, a temperature that is not above 0.
    """

    ce: float | Tensor = 1.0
    kd: float | Tensor = 0.0
    temperature: float = 1.0
    convention: str = "kl"
    task: Task = Task.SINGLE_LABEL

    def __post_init__(self) -> None:
        real("temperature", self.temperature, above=0.0)
        one_of("convention", self.convention, CONVENTIONS)
        of_type("task", self.task, Task, "a Task, such as Task.SINGLE_LABEL")
        ce, kd = _weights("ce", self.ce), _weights("kd", self.kd)
        lengths = {len(w) for w in (ce, kd) if w.ndim == 1}
        require(len(lengths) < 2, "kd", f"{kd.numel()} weights", f"must be as many as the {ce.numel()} of ce")
        alive = bool(((ce + kd) > 0).all())
        require(alive, "ce and kd", "both 0", "must not both be 0, or nothing is learnt")

    @classmethod
    def of_arms(
        cls,
        arms: Sequence[Arm],
        *,
        kd_weight: float = 0.5,
        temperature: float = 4.0,
        convention: str = "kl",
        task: Task = Task.SINGLE_LABEL,
    ) -> Objective:
        """One replica per arm: (1 − rho) · CE + rho · T² KL with rho = `kd_weight` where there is a teacher.

        Without a teacher rho is 0; without labels (kl_only) it is 1. Xue et al. 2023 (MFH) mix the two terms
        so; rho = 0.5 and T = 4 are the starting values of the open benchmark MST-Distill (Li et al. 2025).

        Raises `LabError` for a `kd_weight` outside [0, 1], or no arm.
        """
        rho = real("kd_weight", kd_weight, at_least=0.0, at_most=1.0)
        rule = "a list of at least one Arm"
        chosen = [of_type("arms", arm, Arm, rule, "Use distill.arms().") for arm in flat("arms", arms, rule)]
        require(len(chosen) > 0, "arms", arms, f"must be {rule}")
        shares = [0.0 if arm.teacher == "none" else rho if arm.ce else 1.0 for arm in chosen]
        kd = torch.tensor(shares, dtype=torch.float32)
        return cls(ce=1.0 - kd, kd=kd, temperature=temperature, convention=convention, task=task)

    @cached_property
    def needs_teacher(self) -> bool:
        """Whether any replica learns from a teacher."""
        return bool((_weights("kd", self.kd) > 0).any())

    @property
    def replicas(self) -> int | None:
        """R when a weight is given per replica, None when it fits any number."""
        lengths = [len(w) for w in (self.ce, self.kd) if isinstance(w, Tensor) and w.ndim == 1]
        return lengths[0] if lengths else None

    def __getitem__(self, r: int) -> Objective:
        """The objective of replica `r` alone, with plain numbers as weights."""
        return Objective(
            ce=_weight_of("ce", self.ce, r),
            kd=_weight_of("kd", self.kd, r),
            temperature=self.temperature,
            convention=self.convention,
            task=self.task,
        )

    def to(self, device: torch.device | str) -> Objective:
        """The same objective with its weights on a device."""
        ce, kd = (w.to(device) if isinstance(w, Tensor) else w for w in (self.ce, self.kd))
        return replace(self, ce=ce, kd=kd)

    def describe(self) -> dict[str, Any]:
        """Plain values that name this objective in a key or in provenance."""
        plain = {
            n: w.tolist() if isinstance(w, Tensor) else float(w)
            for n, w in (("ce", self.ce), ("kd", self.kd))
        }
        return {
            **plain,
            "temperature": float(self.temperature),
            "convention": self.convention,
            "task": self.task.value,
        }

    def __call__(self, logits: Tensor, target: Tensor, teacher: Tensor | None = None) -> dict[str, Tensor]:
        """The terms of R replicas: 'ce' and 'kd' without their weights, and 'loss'; each (R,), in nats.

        Args:
            logits: (R, B, K), for a dense task (R, B, K, H, W).
            target: (R, B), multi-label (R, B, K), dense (R, B, H, W) with -1 where there is no label.
            teacher: logits as the student's; may be None when no replica learns from a teacher.

        Raises `LabError` when a teacher is needed and absent, or the shapes or the number of replicas differ.
        """
        _validate_call(logits, target, self.task)
        counted = self.replicas
        require(
            counted is None or counted == len(logits),
            "logits",
            tuple(logits.shape),
            f"must hold {counted} replicas, one per weight",
        )
        ce = _cross_entropy(logits, target, task=self.task)
        loss = _on(self.ce, logits) * ce
        if not self.needs_teacher:
            return {"ce": ce, "kd": torch.zeros_like(ce), "loss": loss}
        if teacher is None:
            raise LabError(
                "teacher", None, "must be given, since kd is above 0", "Pass a TeacherCache to fit()."
            )
        kd = kd_divergence(
            logits, teacher, temperature=self.temperature, convention=self.convention, task=self.task
        )
        return {"ce": ce, "kd": kd, "loss": loss + _on(self.kd, logits) * kd}


def cross_entropy(logits: Tensor, target: Tensor, *, task: Task = Task.SINGLE_LABEL) -> Tensor:
    """Negative log-likelihood per sample in nats, meaned over the batch: (R, B, ...) -> (R,).

    Multi-label: summed over the labels of a sample, as the divergence is. Dense: meaned over the labelled
    positions; 0 for a batch that has none. Shapes and refusals are those of `Objective`.
    """
    _validate_call(logits, target, task)
    return _cross_entropy(logits, target, task=task)


def _cross_entropy(logits: Tensor, target: Tensor, *, task: Task) -> Tensor:
    scores = logits if logits.dtype == torch.float64 else logits.float()
    if task is Task.MULTI_LABEL:
        each = F.binary_cross_entropy_with_logits(scores, target.to(scores), reduction="none")
        return each.sum(dim=-1).mean(dim=-1)
    if task is Task.DENSE:
        each = F.cross_entropy(scores.flatten(0, 1), target.flatten(0, 1), ignore_index=-1, reduction="none")
        labelled = (target >= 0).flatten(start_dim=1).sum(dim=-1).clamp(min=1)
        return each.reshape(target.shape).flatten(start_dim=1).sum(dim=-1) / labelled
    each = F.cross_entropy(scores.flatten(0, 1), target.flatten(), reduction="none")
    return each.reshape(target.shape).mean(dim=-1)


def _weights(argument: str, value: float | Tensor) -> Tensor:
    """As a tensor, () or (R,), checked."""
    if not isinstance(value, Tensor):
        return torch.tensor(real(argument, value, at_least=0.0))
    require(value.ndim <= 1 and value.numel() > 0, argument, tuple(value.shape), "must be a number or (R,)")
    fine = bool((torch.isfinite(value) & (value >= 0)).all())
    require(fine, argument, value.tolist(), "must be finite and at least 0 for every replica")
    return value


def _weight_of(argument: str, value: float | Tensor, r: int) -> float:
    if not isinstance(value, Tensor) or value.ndim == 0:
        return float(value)
    return float(value[position("r", r, len(value), of=f"a replica of {argument}")])


def _on(weight: float | Tensor, like: Tensor) -> float | Tensor:
    return weight.to(like.device) if isinstance(weight, Tensor) else weight


def _validate_call(logits: Tensor, target: Tensor, task: Task) -> None:
    of_type("logits", logits, Tensor, "a torch tensor")
    of_type("target", target, Tensor, "a torch tensor")
    of_type("task", task, Task, "a Task, such as Task.SINGLE_LABEL")
    axes = 5 if task is Task.DENSE else 3
    wanted = "(R, B, K, H, W)" if axes == 5 else "(R, B, K)"
    require(
        logits.ndim == axes,
        "logits",
        tuple(logits.shape),
        f"must be {wanted} for a {task.value} task",
    )
    r, b, k, *where = logits.shape
    expected = (r, b, k) if task is Task.MULTI_LABEL else (r, b, *where)
    require(
        tuple(target.shape) == expected,
        "target",
        tuple(target.shape),
        f"must be {expected} to go with the logits",
    )
    whole = target.dtype == torch.int64 or task is Task.MULTI_LABEL
    require(whole, "target", target.dtype, f"must be int64 for a {task.value} task")
