"""TelME: a text teacher distils into students of weaker modalities, by outputs and by features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from mmkd_lab.core.check import of_type, real, require
from mmkd_lab.data.paired import Task
from mmkd_lab.distill.distances import Distance
from mmkd_lab.distill.hints import regress, regressor
from mmkd_lab.distill.method import Method, Needs, Outputs
from mmkd_lab.distill.operands import features_pair, unit


@dataclass(frozen=True)
class Telme(Method):
    """L_logit + L_feat, to be added to the cross-entropy. Source: Yun et al. 2024 (TelME, NAACL).

    L_logit is DIST (`Distance` of kind 'dist'); L_feat is `feature_relation`. In TelME all encoders are
    equally wide; where student and teacher are not, a linear map of the student's features is learnt beside
    it. `ShiftFusion` is the second stage.

    Args:
        temperature: of L_logit; 4 on MELD and 2 on IEMOCAP in TelME.
        feature_temperature: of L_feat; 1 in TelME.
        task: see `Distance`.
    """

    name: ClassVar[str] = "telme"

    temperature: float = 4.0
    feature_temperature: float = 1.0
    task: Task = Task.SINGLE_LABEL

    def __post_init__(self) -> None:
        real("temperature", self.temperature, above=0.0)
        real("feature_temperature", self.feature_temperature, above=0.0)
        of_type("task", self.task, Task, "a Task, such as Task.SINGLE_LABEL")

    @property
    def needs(self) -> Needs:
        """Features of the full input."""
        return Needs(features=True)

    def parameters(
        self, student_features: int, teacher_features: int, *, seeds: Sequence[int]
    ) -> dict[str, Tensor]:
        """A map of the student's features where the teacher's are of another length, else nothing."""
        if student_features == teacher_features:
            return {}
        return regressor(student_features, teacher_features, seeds=seeds, purpose=self.name)

    def __call__(
        self, student: Outputs, target: Tensor, teacher: Outputs, parameters: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """'telme', 'telme/logit' and 'telme/feature', each (R,); the target is not read."""
        distance = Distance("dist", temperature=self.temperature, task=self.task)
        logit = distance(student.logits, teacher.logits)
        features = student.known_features()
        mapped = regress(features, parameters) if parameters else features
        feature = feature_relation(mapped, teacher.known_features(), temperature=self.feature_temperature)
        return {"telme": logit + feature, "telme/logit": logit, "telme/feature": feature}

    def describe(self) -> dict[str, object]:
        """Plain JSON values that name this method in a key or in provenance."""
        return {
            "method": self.name,
            "temperature": float(self.temperature),
            "feature_temperature": float(self.feature_temperature),
            "task": self.task.value,
        }


def feature_relation(student: Tensor, teacher: Tensor, *, temperature: float = 1.0) -> Tensor:
    """mean_i KL(softmax_j(t_i·t_j / T) ‖ softmax_j(t_i·s_j / T)) in nats, features of length 1: (..., B, F)
    -> (...).

    Each of the teacher's samples is to find the student's samples as near as it finds the teacher's own.
    Source: Yun et al. 2024 (TelME), the feature loss. Raises `LabError` unless both sides have
    features of one length.
    """
    real("temperature", temperature, above=0.0)
    s, t = features_pair(student, teacher)
    require(
        s.shape == t.shape,
        "student",
        tuple(s.shape),
        f"must have the teacher's features, {tuple(t.shape)}",
        "Map the student's features first, see regress().",
    )
    unit_s, unit_t = unit(s), unit(t)
    log_t = F.log_softmax(unit_t @ unit_t.mT / temperature, dim=-1)
    log_s = F.log_softmax(unit_t @ unit_s.mT / temperature, dim=-1)
    return (log_t.exp() * (log_t - log_s)).sum(dim=-1).mean(dim=-1)
