"""TelME: a text teacher distils into students of weaker modalities, by outputs and by features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from mmkd_lab.core.config import Positive, config
from mmkd_lab.data.task import Task
from mmkd_lab.distill.distance import Distance
from mmkd_lab.distill.method import (
    CLASSES,
    OPEN,
    FeatureMethod,
    Open,
    Outputs,
    Tensors,
    Widths,
    register_method,
)
from mmkd_lab.distill.operands import features_pair, regress, regressor, unit


@register_method("telme")
@config
class Telme(FeatureMethod):
    """L_logit + L_feat, to be added to the cross-entropy. Source: Yun et al. 2024 (TelME, NAACL).

    L_logit is DIST (`Distance` of kind 'dist'), at a temperature of 4 on MELD and 2 on IEMOCAP there; L_feat
    is `feature_relation`. In TelME all encoders are equally wide; where student and teacher are not, a linear
    map of the student's features is learnt beside it. `ShiftFusion` is the second stage.
    """

    tasks: ClassVar[tuple[Task, ...]] = CLASSES

    temperature: Open[Positive] = OPEN
    feature_temperature: Positive = 1.0
    task: Open[Task] = OPEN

    def parameters(self, student: Widths, teacher: Widths, *, seeds: Sequence[int]) -> Tensors:
        """A map of the student's features where the teacher's are of another length, else nothing."""
        inner, outer = student[self.student_layer], teacher[self.teacher_layer]
        return {} if inner == outer else regressor(inner, outer, seeds=seeds, purpose=self.name)

    def __call__(self, student: Outputs, target: Tensor, teacher: Outputs, parameters: Tensors) -> Tensors:
        """'telme', 'telme/logit' and 'telme/feature'."""
        distance = Distance("dist", temperature=self.temperature, task=self.task)
        logit = distance(student.logits, teacher.logits)
        features, aim = self.pair(student, teacher)
        mapped = regress(features, parameters) if parameters else features
        feature = feature_relation(mapped, aim, temperature=self.feature_temperature)
        return {self.name: logit + feature, "telme/logit": logit, "telme/feature": feature}


def feature_relation(student: Tensor, teacher: Tensor, *, temperature: float = 1.0) -> Tensor:
    """mean_i KL(softmax_j(t_i·t_j / T) ‖ softmax_j(t_i·s_j / T)) in nats, features of length 1: (..., B, F)
    of one length on both sides -> (...).

    Each of the teacher's samples is to find the student's samples as near as it finds the teacher's own.
    Source: Yun et al. 2024 (TelME), the feature loss.
    """
    s, t = features_pair(student, teacher, equal=True)
    unit_s, unit_t = unit(s), unit(t)
    log_t = F.log_softmax(unit_t @ unit_t.mT / temperature, dim=-1)
    log_s = F.log_softmax(unit_t @ unit_s.mT / temperature, dim=-1)
    return (log_t.exp() * (log_t - log_s)).sum(dim=-1).mean(dim=-1)
