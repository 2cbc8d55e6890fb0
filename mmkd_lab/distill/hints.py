"""FitNet hints: the student's features, through a learned linear map, are to be the teacher's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import ClassVar

import torch
from torch import Tensor

from mmkd_lab.core.check import LabError, flat, of_type, require, whole
from mmkd_lab.core.seed import derive
from mmkd_lab.distill.method import Method, Needs, Outputs
from mmkd_lab.distill.operands import features_pair


@dataclass(frozen=True)
class Hints(Method):
    """mean over samples and features of (W · f_student + b - f_teacher)².

    W and b belong to the method, one pair per replica, and are trained with the student. Source: Romero et
    al. 2015, "FitNets", equation 3, which has half the sum over features where this has their mean: the
    strength then does not depend on the teacher's width. The paper trains on hints first and distils
    afterwards; here both run together, as later comparisons of methods do.
    """

    name: ClassVar[str] = "hints"

    @property
    def needs(self) -> Needs:
        """Features of the full input."""
        return Needs(features=True)

    def parameters(
        self, student_features: int, teacher_features: int, *, seeds: Sequence[int]
    ) -> dict[str, Tensor]:
        """The regressor: weight (R, F_student, F_teacher) and bias (R, F_teacher), drawn per seed."""
        return regressor(student_features, teacher_features, seeds=seeds, purpose=self.name)

    def __call__(
        self, student: Outputs, target: Tensor, teacher: Outputs, parameters: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """'hints', (R,); the target is not read."""
        mapped = regress(student.known_features(), parameters)
        return {"hints": hint_loss(mapped, teacher.known_features())}


def hint_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of features of equal length, (..., B, F) twice -> (...)."""
    s, t = features_pair(student, teacher)
    require(
        s.shape == t.shape,
        "student",
        tuple(s.shape),
        f"must have the teacher's features, {tuple(t.shape)}",
        "Map the student's features first, see regress().",
    )
    return (s - t).square().mean(dim=(-2, -1))


def regressor(
    student_features: int, teacher_features: int, *, seeds: Sequence[int], purpose: str
) -> dict[str, Tensor]:
    """A linear map per seed, {'weight': (R, F_student, F_teacher), 'bias': (R, F_teacher)}.

    Uniform within ±1/sqrt(F_student), from the stream ('init', purpose) of each seed: a replica's map does
    not depend on who is trained beside it. Raises `LabError` for lengths below 1 or no seed.
    """
    inner = whole("student_features", student_features)
    outer = whole("teacher_features", teacher_features)
    known = [whole("seeds", seed, at_least=0) for seed in flat("seeds", seeds, "a list of seeds")]
    require(len(known) > 0, "seeds", seeds, "must name at least one seed")
    bound = 1 / sqrt(inner)
    drawn = []
    for seed in known:
        generator = torch.Generator().manual_seed(derive(seed, "init", purpose))
        drawn.append(torch.empty(inner + 1, outer).uniform_(-bound, bound, generator=generator))
    stacked = torch.stack(drawn)
    return {"weight": stacked[:, :-1].clone(), "bias": stacked[:, -1].clone()}


def regress(features: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    """Features (R, B, F) through the map of each replica -> (R, B, F').

    Raises `LabError` when the map is missing or was made for other features or another number of replicas.
    """
    of_type("features", features, Tensor, "a torch tensor of features")
    for name in ("weight", "bias"):
        if name not in parameters:
            raise LabError("parameters", sorted(parameters), f"must hold {name!r}", "See Method.parameters.")
    weight, bias = parameters["weight"], parameters["bias"]
    wanted = (len(weight), weight.shape[1])
    found = (len(features), features.shape[-1])
    rule = f"must be ({wanted[0]}, B, {wanted[1]}), as the map that was made for them"
    require(features.ndim == 3 and found == wanted, "features", tuple(features.shape), rule)
    return torch.baddbmm(bias[:, None].to(features.dtype), features, weight.to(features.dtype))
