"""A whole training loss: labels, the teacher's output, and any further methods, every term by its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from mmkd_lab.core.check import LabError, flat, of_type, position, real, require
from mmkd_lab.data.paired import Task
from mmkd_lab.distill.learned import LearnedWeights
from mmkd_lab.distill.method import Method, Needs, Outputs
from mmkd_lab.distill.msd import Msd
from mmkd_lab.distill.objective import Objective
from mmkd_lab.models.removal import REMOVALS, Removal

Weight = float | Tensor
Weighted = tuple[Weight, Method]

_PAIRS = "pairs (factor, method)"
_FOR_EXAMPLE = "For example [(1.0, Msd(msd_views(data.modalities)))]."


@dataclass(frozen=True, eq=False)
class Distillation:
    """loss = a · CE + b · KD + sum_j c_j · method_j, for R replicas at once.

    Args:
        base: the first two terms; `Objective(ce=a, kd=b, temperature=T)`.
        methods: a sequence of pairs (c, method); c is a number, or (R,) one per replica.
        removal: how the student loses what a view does not keep; needed by methods that read views, and the
            same operator as their teacher's.
        learned: how the weights of MSD's terms are learned; None when they come with the teacher's outputs.

    Raises:
        LabError: methods that are no such pairs, a weight that is negative or not finite, a method given
            twice, views without a removal, weights for different numbers of replicas, learned weights without
            MSD or by instance with 'dist', a method for another task than the base's.
    """

    base: Objective
    methods: tuple[Weighted, ...] = ()
    removal: Removal | None = None
    learned: LearnedWeights | None = None

    def __post_init__(self) -> None:
        of_type("base", self.base, Objective, "an Objective", "For example Objective(ce=0.5, kd=0.5).")
        listed = flat("methods", self.methods, f"a sequence of {_PAIRS}", _FOR_EXAMPLE)
        pairs = [self._pair(pair) for pair in listed]
        names = [method.name for _, method in pairs]
        require(len(set(names)) == len(names), "methods", names, "must not hold a method twice")
        object.__setattr__(self, "methods", tuple(pairs))
        of_type("removal", self.removal, (Removal, type(None)), f"an operator, one of {REMOVALS}")
        require(
            self.removal is not None or not self.needs.views,
            "removal",
            None,
            "must be given: a method compares views",
            "For example nets.Zeros(), as for the teacher.",
        )
        counts = {len(weight) for weight, _ in pairs if isinstance(weight, Tensor)} | {self.base.replicas}
        counts.discard(None)
        require(len(counts) < 2, "methods", sorted(counts, key=str), "weights must be for as many replicas")
        rule = f"must be the base's, {self.base.task.value}"
        for _, method in pairs:
            task: Task = getattr(method, "task", self.base.task)
            require(task is self.base.task, f"{type(method).__name__}.task", task.value, rule)
        what = "a LearnedWeights or None"
        of_type("learned", self.learned, (LearnedWeights, type(None)), what)
        if self.learned is not None:
            _learnable(self.learned, self.msd)

    @staticmethod
    def _pair(pair: object) -> Weighted:
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise LabError("methods", pair, f"must be {_PAIRS}", _FOR_EXAMPLE)
        weight: Weight = pair[0]
        method = of_type("methods", pair[1], Method, _PAIRS, _FOR_EXAMPLE)
        if isinstance(weight, Tensor):
            fine = weight.ndim == 1 and bool((torch.isfinite(weight) & (weight >= 0)).all())
            require(fine, f"weight of {method.name}", weight.tolist(), "must be (R,), finite and at least 0")
        else:
            real(f"weight of {method.name}", weight, at_least=0.0)
        return weight, method

    @property
    def needs(self) -> Needs:
        """What its methods need together."""
        found = Needs()
        for _, method in self.methods:
            found = found | method.needs
        return found

    @property
    def msd(self) -> tuple[float | Tensor, Msd] | None:
        """The pair (c, Msd) among the methods, if there is one."""
        for weight, method in self.methods:
            if isinstance(method, Msd):
                return weight, method
        return None

    @property
    def needs_teacher(self) -> bool:
        """Whether any term reads a teacher."""
        return bool(self.methods) or self.base.needs_teacher

    @property
    def replicas(self) -> int | None:
        """R when a weight is given per replica, None when all fit any number."""
        counts = [len(weight) for weight, _ in self.methods if isinstance(weight, Tensor)]
        return counts[0] if counts else self.base.replicas

    def parameters(
        self, student_features: int, teacher_features: int, *, seeds: Sequence[int]
    ) -> dict[str, Tensor]:
        """The methods' own parameters, {method.name: (R, ...)}."""
        return {
            f"{method.name}.{name}": value
            for _, method in self.methods
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
        if self.needs_teacher and teacher is None:
            raise LabError("teacher", None, "must be given, since a term compares with it")
        terms = self.base(student.logits, target, None if teacher is None else teacher.logits)
        loss = terms.pop("loss")
        for weight, method in self.methods:
            assert teacher is not None
            own = {
                name.removeprefix(f"{method.name}."): value
                for name, value in parameters.items()
                if name.startswith(f"{method.name}.")
            }
            found = method(student, target, teacher, own)
            terms |= found
            at = weight.to(loss.device) if isinstance(weight, Tensor) else weight
            loss = loss + at * found[method.name]
        return {**terms, "loss": loss}

    def __getitem__(self, r: int) -> Distillation:
        """The loss of replica `r` alone."""
        alone = tuple((_of(weight, r), method) for weight, method in self.methods)
        return replace(self, base=self.base[r], methods=alone)

    def to(self, device: torch.device | str) -> Distillation:
        """The same with its weights on a device."""
        moved = tuple((w.to(device) if isinstance(w, Tensor) else w, method) for w, method in self.methods)
        return replace(self, base=self.base.to(device), methods=moved)

    def describe(self) -> dict[str, Any]:
        """Plain values that name this loss in a key or in provenance."""
        plain: dict[str, Any] = self.base.describe()
        plain["methods"] = [
            {"weight": w.tolist() if isinstance(w, Tensor) else float(w), **method.describe()}
            for w, method in self.methods
        ]
        if self.removal is not None:
            plain["removal"] = self.removal.name
        if self.learned is not None:
            plain["learned"] = self.learned.describe()
        return plain


def _learnable(learned: LearnedWeights, msd: tuple[Weight, Msd] | None) -> None:
    if msd is None:
        raise LabError("learned", learned, "needs Msd among the methods, whose terms are weighed")
    require(
        learned.level == "global" or msd[1].distance != "dist",
        "Msd.distance",
        msd[1].distance,
        "compares whole batches, so that no sample has a gradient of its own",
        "Use LearnedWeights(level='global'), or distance='kl'.",
    )


def _of(weight: float | Tensor, r: int) -> float | Tensor:
    if not isinstance(weight, Tensor):
        return weight
    return float(weight[position("r", r, len(weight), of="a replica of methods")])
