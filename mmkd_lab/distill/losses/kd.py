"""Knowledge distillation: the teacher's softened outputs. Hinton et al. 2015, section 2."""

from __future__ import annotations

from typing import ClassVar, get_args

from torch import Tensor

from mmkd_lab.core.check import one_of, real
from mmkd_lab.core.config import Positive, config
from mmkd_lab.data.task import Task
from mmkd_lab.distill.distance import divergence
from mmkd_lab.distill.method import OPEN, Convention, Method, Open, Outputs, Tensors, register_method
from mmkd_lab.distill.operands import logits_pair


@register_method("kd")
@config
class KD(Method):
    """T² · KL(teacher ‖ student) on the full input, see `kd_divergence`."""

    by_sample: ClassVar[bool] = True

    temperature: Open[Positive] = OPEN
    convention: Open[Convention] = OPEN
    task: Open[Task] = OPEN

    def __call__(self, student: Outputs, target: Tensor, teacher: Outputs, parameters: Tensors) -> Tensors:
        """'kd'."""
        how = {"temperature": self.temperature, "convention": self.convention, "task": self.task}
        return {self.name: kd_divergence(student.logits, teacher.logits, **how)}  # type: ignore[arg-type]


def kd_divergence(
    student: Tensor,
    teacher: Tensor,
    *,
    temperature: float = 1.0,
    convention: Convention = "kl",
    task: Task = Task.SINGLE_LABEL,
) -> Tensor:
    """T² · KL(teacher ‖ student) of the outputs softened by T > 0, in nats, meaned over the batch.

    No gradient reaches the teacher. The gradient with respect to the logits of one student output is
    T · (softmax(student / T) − softmax(teacher / T)) over the batch size: its size stays when T changes.

    Args:
        student, teacher: logits (..., B, K), for a dense task (..., B, K, H, W); leading axes are replicas.
        convention: 'kl' is the true divergence. 'released' divides it by K too, as `torch.nn.KLDivLoss()`
            does by default and the released code of Xue et al. 2023 (MFH) with it; there T is always 1. For
            two classes it is half of the true divergence.
        task: single label: softmax over K. Multi-label: K independent Bernoulli outputs, their divergences
            summed. Dense: softmax over K at every position, meaned over all positions, those without a label
            too, where a teacher has an answer all the same. Regression: Gaussians of
            deviation T, half the squared difference of their means in all, see `distance.divergence`.

    Returns one value per replica. Raises `LabError` for shapes that differ or have too few axes, fewer than
    two classes, an unknown convention, a temperature that is not above 0.
    """
    real("temperature", temperature, above=0.0)
    one_of("convention", convention, get_args(Convention))
    s, t, classes = logits_pair(student, teacher, task)
    total = divergence(s, t, classes, temperature=temperature, task=task)
    if convention == "released":
        total = total / s.shape[classes]
    return total.flatten(start_dim=classes - 1).mean(dim=-1) * temperature**2
