"""A whole training loss: a weighted sum of methods, every term by its name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from mmkd_lab.core.check import LabError, flat, of_type, position, real, require
from mmkd_lab.data.task import Task
from mmkd_lab.distill.learned import LearnedWeights
from mmkd_lab.distill.losses.ce import CrossEntropy
from mmkd_lab.distill.losses.msd import Msd
from mmkd_lab.distill.method import Context, Method, Needs, Outputs
from mmkd_lab.distill.teacher_outputs import TeacherOutputs
from mmkd_lab.models.removal import REMOVALS, Removal
from mmkd_lab.models.views import View

Weight = float | Tensor

_PAIRS = "pairs (weight, method)"
_FOR_EXAMPLE = "For example [(0.5, CrossEntropy(task)), (0.5, KD(4.0, 'kl', task))]."


@dataclass(frozen=True, eq=False)
class Distillation:
    """loss = sum_j weight_j · method_j, for R replicas at once.

    Args:
        terms: pairs (weight, method); a weight is a number, or (R,) one per replica.
        removal: how the student loses what a view does not keep; needed by methods that compare views, and
            the same operator as their teacher's.

    Raises:
        LabError: terms that are no such pairs, a weight that is negative or not finite, weights that are all
            0 or for different numbers of replicas, methods of different tasks or not yet bound, views without
            a removal.
    """

    terms: tuple[tuple[Weight, Method], ...]
    removal: Removal | None = None

    def __post_init__(self) -> None:
        listed = flat("terms", self.terms, f"a sequence of {_PAIRS}", _FOR_EXAMPLE)
        object.__setattr__(self, "terms", tuple(_pair(pair) for pair in listed))
        require(len(self.terms) > 0, "terms", [], "must hold at least one pair", _FOR_EXAMPLE)
        of_type("removal", self.removal, (Removal, type(None)), f"an operator, one of {REMOVALS}")
        known = self.removal is not None or not self.needs.views
        require(known, "removal", None, "must be given: a method compares views", "For example Zeros().")
        counts = {len(weight) for weight, _ in self.terms if isinstance(weight, Tensor)}
        require(len(counts) < 2, "terms", sorted(counts), "weights must be for as many replicas")
        total = sum(weight for weight, _ in self.terms)
        alive = bool((torch.as_tensor(total) > 0).all())
        require(alive, "terms", "weights of 0", "must not all be 0, or nothing is learnt")
        tasks = {method.task.value for _, method in self.terms if hasattr(method, "task")}
        require(len(tasks) < 2, "terms", sorted(tasks), "must all be for one task")

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The name of every term: its method's, numbered where a method comes several times."""
        seen, total = Counter[str](), Counter(method.name for _, method in self.terms)
        found = []
        for _, method in self.terms:
            seen[method.name] += 1
            found.append(method.name if total[method.name] == 1 else f"{method.name} {seen[method.name]}")
        return tuple(found)

    @property
    def task(self) -> Task | None:
        """The task that its methods are for; None when none says so."""
        return next((method.task for _, method in self.terms if hasattr(method, "task")), None)

    @cached_property
    def needs(self) -> Needs:
        """What its methods need together."""
        found = Needs(teacher=False)
        for _, method in self.terms:
            found = found | method.needs
        return found

    @property
    def needs_teacher(self) -> bool:
        """Whether any term reads a teacher."""
        return self.needs.teacher

    @cached_property
    def learning(self) -> tuple[Weight, Msd] | None:
        """The pair (weight, Msd) whose weights by view are learned, if there is one."""
        for weight, method in self.terms:
            if isinstance(method, Msd) and method.learned is not None:
                return weight, method
        return None

    @property
    def learned(self) -> LearnedWeights | None:
        """How they are learned; None where no weights are."""
        return None if self.learning is None else self.learning[1].learned

    @property
    def replicas(self) -> int | None:
        """R when a weight is given per replica, None when all fit any number."""
        return next((len(weight) for weight, _ in self.terms if isinstance(weight, Tensor)), None)

    def asks(self, context: Context) -> tuple[View, ...]:
        """The views, beside the full input, that the teacher is asked about."""
        asked = (view for _, method in self.terms for view in method.asks(context))
        return tuple(dict.fromkeys(asked))

    def prepare(self, teacher: TeacherOutputs, context: Context, *, seed: int) -> TeacherOutputs | None:
        """What one student is handed of its teacher (R = 1): what every method prepares, in one; None when no
        term reads a teacher.

        Raises `LabError` where two methods would have the teacher say different things.
        """
        parts = [
            method.prepare(teacher, context, seed=seed) for _, method in self.terms if method.needs.teacher
        ]
        return TeacherOutputs.together(parts) if parts else None

    def parameters(
        self,
        student_features: Mapping[str, int],
        teacher_features: Mapping[str, int],
        *,
        seeds: Sequence[int],
    ) -> dict[str, Tensor]:
        """The methods' own parameters, {term.name: (R, ...)}; the features are {layer: F}."""
        return {
            f"{term}.{name}": value
            for term, (_, method) in zip(self.names, self.terms, strict=True)
            for name, value in method.parameters(student_features, teacher_features, seeds=seeds).items()
        }

    def __call__(
        self,
        student: Outputs,
        target: Tensor,
        teacher: Outputs | None,
        parameters: Mapping[str, Tensor],
    ) -> dict[str, Tensor]:
        """Every term by name without its weight, and 'loss'; each (R,)."""
        if teacher is None:
            require(not self.needs_teacher, "teacher", None, "must be given, since a term compares with it")
        terms: dict[str, Tensor] = {}
        loss: Tensor | None = None
        for name, (weight, method) in zip(self.names, self.terms, strict=True):
            own = {
                key.removeprefix(f"{name}."): value
                for key, value in parameters.items()
                if key.startswith(f"{name}.")
            }
            # A method that needs no teacher may get none.
            found = method(student, target, teacher, own)  # type: ignore[arg-type]
            terms |= {name + key.removeprefix(method.name): value for key, value in found.items()}
            value = found[method.name]
            weighted = (weight.to(value.device) if isinstance(weight, Tensor) else weight) * value
            loss = weighted if loss is None else loss + weighted
        assert loss is not None
        return {**terms, "loss": loss}

    def __getitem__(self, r: int) -> Distillation:
        """The loss of replica `r` alone."""
        return replace(self, terms=tuple((_of(weight, r), method) for weight, method in self.terms))

    def to(self, device: torch.device | str) -> Distillation:
        """The same with its weights on a device."""
        moved = ((w.to(device) if isinstance(w, Tensor) else w, method) for w, method in self.terms)
        return replace(self, terms=tuple(moved))

    def describe(self) -> dict[str, Any]:
        """Plain values that name this loss in a key or in provenance."""
        terms = [
            {"weight": w.tolist() if isinstance(w, Tensor) else float(w), **method.describe()}
            for w, method in self.terms
        ]
        return {"terms": terms, "removal": None if self.removal is None else self.removal.name}


def labels_only(task: Task = Task.SINGLE_LABEL) -> Distillation:
    """The loss of a network that learns from the labels alone."""
    return Distillation(((1.0, CrossEntropy(task)),))


def _pair(pair: object) -> tuple[Weight, Method]:
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise LabError("terms", pair, f"must be {_PAIRS}", _FOR_EXAMPLE)
    weight: Weight = pair[0]
    method = of_type("terms", pair[1], Method, _PAIRS, _FOR_EXAMPLE)
    method.require_bound()
    at = f"weight of {method.name}"
    if isinstance(weight, Tensor):
        fine = weight.ndim == 1 and bool((torch.isfinite(weight) & (weight >= 0)).all())
        require(fine, at, weight.tolist(), "must be (R,), finite and at least 0")
    else:
        real(at, weight, at_least=0.0)
    return weight, method


def _of(weight: Weight, r: int) -> Weight:
    if not isinstance(weight, Tensor):
        return weight
    return float(weight[position("r", r, len(weight), of="a replica of the terms")])
