"""Knowledge distillation: the teacher's softened outputs. Hinton et al. 2015, section 2."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from mmkd_lab.core.check import one_of, real
from mmkd_lab.core.config import config
from mmkd_lab.data.task import Task
from mmkd_lab.distill.distance import divergence
from mmkd_lab.distill.method import (
    OPEN,
    Convention,
    Method,
    OpenConvention,
    OpenTask,
    OpenTemperature,
    Outputs,
    register_method,
)
from mmkd_lab.distill.operands import logits_pair

CONVENTIONS: tuple[Convention, ...] = ("kl", "released")


@register_method("kd")
@config
class KD(Method):
    """T² · KL(teacher ‖ student) on the full input, see `kd_divergence`.

    Args:
        temperature: T, above 0.
        convention: 'kl' or 'released'.
        task: what the outputs are.
    """

    temperature: OpenTemperature = OPEN
    convention: OpenConvention = OPEN
    task: OpenTask = OPEN

    def __call__(
        self, student: Outputs, target: Tensor, teacher: Outputs, parameters: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """'kd', (R,); the target is not read."""
        found = kd_divergence(
            student.logits,
            teacher.logits,
            temperature=self.temperature,
            convention=self.convention,
            task=self.task,
        )
        return {self.name: found}


def kd_divergence(
    student: Tensor,
    teacher: Tensor,
    *,
    temperature: float = 1.0,
    convention: Convention = "kl",
    task: Task = Task.SINGLE_LABEL,
) -> Tensor:
    """T² · KL(teacher ‖ student) of the outputs softened by T, in nats, meaned over the batch.

    No gradient reaches the teacher. The gradient with respect to the logits of one student output is
    T · (softmax(student / T) − softmax(teacher / T)) over the batch size: its size stays when T changes. The
    value itself is a small difference at large T: in single precision it loses digits there, in double not.

    Args:
        student: logits (..., B, K), for a dense task (..., B, K, H, W); leading axes are replicas.
        teacher: logits of the same shape.
        temperature: T, above 0.
        convention: 'kl' is the true divergence. 'released' divides it by K too, as `torch.nn.KLDivLoss()`
            does by default and the released code of Xue et al. 2023 (MFH) with it; there T is always 1. For
            two classes it is half of the true divergence.
        task: single label: softmax over K. Multi-label: K independent Bernoulli outputs, their divergences
            summed. Dense: softmax over K at every position, meaned over positions.

    Returns:
        one value per replica, of the leading axes' shape (a scalar when there are none).

    Raises:
        LabError: shapes that differ or have too few axes, fewer than two classes, an unknown convention, a
            temperature that is not above 0.
    """
    real("temperature", temperature, above=0.0)
    one_of("convention", convention, CONVENTIONS)
    s, t, classes = logits_pair(student, teacher, task)
    total = divergence(s, t, classes, temperature=temperature, task=task)
    if convention == "released":
        total = total / s.shape[classes]
    return total.flatten(start_dim=classes - 1).mean(dim=-1) * temperature**2
