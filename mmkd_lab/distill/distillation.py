"""A whole training loss: a weighted sum of methods, every term by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from operator import or_
from typing import Any

import torch
from torch import Tensor

from mmkd_lab.core.check import LabError, flat, of_type, position, real, require
from mmkd_lab.data.task import Task
from mmkd_lab.distill.learned import LearnedWeights
from mmkd_lab.distill.losses.ce import CrossEntropy
from mmkd_lab.distill.losses.msd import Msd
from mmkd_lab.distill.method import Context, Method, Needs, Outputs, Tensors, Widths
from mmkd_lab.distill.teacher_outputs import TeacherOutputs
from mmkd_lab.models.removal import REMOVALS, Removal
from mmkd_lab.models.views import View

Weight = float | Tensor

_PAIRS = "pairs (weight, method)"
_FOR_EXAMPLE = "For example [(0.5, CrossEntropy(task)), (0.5, KD(4.0, 'kl', task))]."


@dataclass(frozen=True, eq=False)
class Distillation:
    """loss = sum_j weight_j · method_j, for R replicas at once.

    Where a teacher has not answered for a sample, the terms that read it are 0 there, in value and gradient,
    and their mean is still over the whole batch: an answered sample counts as in a complete table, another
    keeps its other terms alone.

    Args:
        terms: pairs (weight, method); a weight is a number, or (R,) one per replica.
        removal: how the student loses what a view does not keep; needed by methods that compare views, and
            the same operator as their teacher's.

    Raises `LabError` for terms that are no such pairs, weights that are negative, not finite, all 0 or for
    different numbers of replicas, methods of different tasks or not yet bound.
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
        every = [method.name for _, method in self.terms]
        numbered = ((name, every[: i + 1].count(name)) for i, name in enumerate(every))
        return tuple(name if every.count(name) == 1 else f"{name} {n}" for name, n in numbered)

    @property
    def task(self) -> Task | None:
        """The task that its methods are for; None when none says so."""
        return next((method.task for _, method in self.terms if hasattr(method, "task")), None)

    @cached_property
    def needs(self) -> Needs:
        """What its methods need together."""
        return reduce(or_, (method.needs for _, method in self.terms), Needs(teacher=False))

    @property
    def needs_teacher(self) -> bool:
        """Whether any term reads a teacher."""
        return self.needs.teacher

    @cached_property
    def learning(self) -> tuple[Weight, Msd] | None:
        """The pair (weight, Msd) whose weights by view are learned, if there is one."""
        learned = ((w, m) for w, m in self.terms if isinstance(m, Msd) and m.learned is not None)
        return next(learned, None)

    @property
    def learned(self) -> LearnedWeights | None:
        """How they are learned; None where no weights are."""
        return None if self.learning is None else self.learning[1].learned

    @property
    def labels(self) -> CrossEntropy | None:
        """The term that reads the labels, if there is one."""
        return next((method for _, method in self.terms if isinstance(method, CrossEntropy)), None)

    @property
    def replicas(self) -> int | None:
        """R when a weight is given per replica, None when all fit any number."""
        return next((len(weight) for weight, _ in self.terms if isinstance(weight, Tensor)), None)

    def asks(self, context: Context) -> tuple[View, ...]:
        """The views, beside the full input, that the teacher is asked about."""
        return tuple(dict.fromkeys(view for _, method in self.terms for view in method.asks(context)))

    def prepare(self, teacher: TeacherOutputs, context: Context, *, seed: int) -> TeacherOutputs | None:
        """What one student is handed of its teacher (R = 1): what every method prepares, in one; None when no
        term reads a teacher. Raises `LabError` where two methods would have the teacher say different things.
        """
        readers = [method for _, method in self.terms if method.needs.teacher]
        parts = [method.prepare(teacher, context, seed=seed) for method in readers]
        return TeacherOutputs.together(parts) if parts else None

    def parameters(self, student: Widths, teacher: Widths, *, seeds: Sequence[int]) -> Tensors:
        """The methods' own parameters, {term.name: (R, ...)}; the widths are {layer: F}."""
        return {
            f"{term}.{name}": value
            for term, (_, method) in zip(self.names, self.terms, strict=True)
            for name, value in method.parameters(student, teacher, seeds=seeds).items()
        }

    def __call__(
        self, student: Outputs, target: Tensor, teacher: Outputs | None, parameters: Mapping[str, Tensor]
    ) -> Tensors:
        """Every term by name without its weight, and 'loss'; each (R,)."""
        known = teacher is not None or not self.needs_teacher
        require(known, "teacher", None, "must be given, since a term compares with it")
        terms: Tensors = {}
        loss: Tensor | None = None
        compared = _where_answered(student, teacher)
        for name, (weight, method) in zip(self.names, self.terms, strict=True):
            at = f"{name}."
            own = {key.removeprefix(at): value for key, value in parameters.items() if key.startswith(at)}
            mine, theirs = compared if method.needs.teacher else (student, teacher)
            # A method that needs no teacher may get none.
            found = method(mine, target, theirs, own)  # type: ignore[arg-type]
            terms |= {name + key.removeprefix(method.name): value for key, value in found.items()}
            value = found[method.name]
            if isinstance(weight, Tensor):
                weighted = weight.to(value.device) * value
            else:
                weighted = value if weight == 1.0 else weight * value
            loss = weighted if loss is None else loss + weighted
        assert loss is not None
        return {**terms, "loss": loss}

    def __getitem__(self, r: int) -> Distillation:
        """The loss of replica `r` alone."""
        if self.replicas is None:
            return self
        r = position("r", r, self.replicas, of="a replica of the terms")
        return self._with(lambda weight: float(weight[r]))

    def to(self, device: torch.device | str) -> Distillation:
        """The same with its weights on a device."""
        return self._with(lambda weight: weight.to(device))

    def _with(self, change: Callable[[Tensor], Weight]) -> Distillation:
        terms = ((change(w) if isinstance(w, Tensor) else w, method) for w, method in self.terms)
        return replace(self, terms=tuple(terms))

    def describe(self) -> dict[str, Any]:
        """Plain values that name this loss in a key or in provenance."""
        plain = ((w.tolist() if isinstance(w, Tensor) else float(w), method) for w, method in self.terms)
        terms = [{"weight": weight, **method.describe()} for weight, method in plain]
        return {"terms": terms, "removal": None if self.removal is None else self.removal.name}


def _where_answered(student: Outputs, teacher: Outputs | None) -> tuple[Outputs, Outputs | None]:
    """Both sides, in agreement and without a gradient where the teacher has not answered."""
    if teacher is None or teacher.answered is None:
        return student, teacher
    mine, theirs = student.logits, teacher.logits
    there = teacher.answered.reshape(*teacher.answered.shape, *[1] * (mine.ndim - 2))
    still = mine.detach()
    said = torch.where(there, theirs.to(still), still)
    return replace(student, logits=torch.where(there, mine, still)), replace(teacher, logits=said)


def labels_only(
    task: Task = Task.SINGLE_LABEL, *, class_weights: tuple[float, ...] | None = None
) -> Distillation:
    """The loss of a network that learns from the labels alone."""
    return Distillation(((1.0, CrossEntropy(task, class_weights)),))


def _pair(pair: object) -> tuple[Weight, Method]:
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise LabError("terms", pair, f"must be {_PAIRS}", _FOR_EXAMPLE)
    weight, method = pair[0], of_type("terms", pair[1], Method, _PAIRS, _FOR_EXAMPLE)
    for name in ("views", "temperature", "task", "convention"):
        given = getattr(method, name, "") is not None
        require(given, f"{type(method).__name__}.{name}", None, "must be given, or bound")
    for one in weight.tolist() if isinstance(weight, Tensor) else [weight]:
        real(f"weight of {method.name}", one, at_least=0.0)
    return weight, method
