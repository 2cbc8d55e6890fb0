"""FitNet hints: the student's features, through a learned linear map, are to be the teacher's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from mmkd_lab.core.config import config
from mmkd_lab.distill.method import FeatureMethod, Outputs, register_method
from mmkd_lab.distill.operands import features_pair, regress, regressor


@register_method("hints")
@config
class Hints(FeatureMethod):
    """mean over samples and features of (W · f_student + b - f_teacher)².

    W and b belong to the method, one pair per replica, and are trained with the student. Source: Romero et
    al. 2015, "FitNets", equation 3, which has half the sum over features where this has their mean: the
    strength then does not depend on the teacher's width. The paper trains on hints first and distils
    afterwards; here both run together, as later comparisons of methods do.
    """

    def parameters(
        self,
        student_features: Mapping[str, int],
        teacher_features: Mapping[str, int],
        *,
        seeds: Sequence[int],
    ) -> dict[str, Tensor]:
        """The regressor: weight (R, F_student, F_teacher) and bias (R, F_teacher), drawn per seed."""
        inner, outer = student_features[self.student_layer], teacher_features[self.teacher_layer]
        return regressor(inner, outer, seeds=seeds, purpose=self.name)

    def __call__(
        self, student: Outputs, target: Tensor, teacher: Outputs, parameters: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """'hints', (R,); the target is not read."""
        features, aim = self.pair(student, teacher)
        return {self.name: hint_loss(regress(features, parameters), aim)}


def hint_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of features of equal length, (..., B, F) twice -> (...)."""
    s, t = features_pair(student, teacher, equal=True)
    return (s - t).square().mean(dim=(-2, -1))
