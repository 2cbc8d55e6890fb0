"""The labels: cross-entropy for one label, many, or maps; squared error for numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from mmkd_lab.core.check import LabError, one_of, real, require
from mmkd_lab.core.config import config
from mmkd_lab.data.paired import PairedData
from mmkd_lab.data.task import Task
from mmkd_lab.distill.method import OPEN, Method, Needs, Open, Outputs, Tensors, register_method
from mmkd_lab.distill.operands import widened

#: The class number of a position without a label: torch's own, and the lab's in maps.
_NO_LABEL = {Task.SINGLE_LABEL: -100, Task.DENSE: -1}


@register_method("ce")
@config
class CrossEntropy(Method):
    """Negative log-likelihood of the labels, see `cross_entropy`: 'ce'. It reads no teacher.

    `class_weights` are as in `cross_entropy`; weights of samples come with the data (`PairedData.weight`).
    """

    task: Open[Task] = OPEN
    class_weights: tuple[float, ...] | None = None

    @property
    def needs(self) -> Needs:
        """No teacher."""
        return Needs(teacher=False)

    def __call__(
        self, student: Outputs, target: Tensor, teacher: Outputs | None, parameters: Tensors
    ) -> Tensors:
        """'ce'."""
        weights = {"class_weights": self.class_weights, "sample_weights": student.counts}
        return {self.name: cross_entropy(student.logits, target, task=self.task, **weights)}  # type: ignore[arg-type]


def class_weights(
    given: Literal["balanced"] | Mapping[str, float] | None, data: PairedData
) -> tuple[float, ...] | None:
    """A weight for each class, in order: as given by name, where a class not named counts 1.

    'balanced': N / (K · N_k) of N training samples (positions of a map), N_k of class k (King and Zeng 2001,
    as scikit-learn has it); for several labels (N - N_k) / N_k, which makes a label's presence and its
    absence count alike. Raises `LabError` for a regression, an unknown class, weights that are not above 0, a
    label that is never or always there.
    """
    if given is None:
        return None
    require(
        data.task is not Task.REGRESSION, "class_weight", given, "is for classes, and a regression has none"
    )
    if isinstance(given, Mapping):
        for name, weight in given.items():
            one_of("class_weight", name, list(data.classes))
            real(f"class_weight[{name!r}]", weight, above=0.0)
        return tuple(float(given.get(name, 1.0)) for name in data.classes)
    one_of("class_weight", given, ("balanced",))
    target = data.target[data.positions("train")].cpu()
    if data.task is Task.MULTI_LABEL:
        there = target.double().sum(0)
        found = (len(target) - there) / there
    else:
        counts = target[target >= 0].bincount(minlength=data.num_classes).double()
        found = counts.sum() / (data.num_classes * counts)
    odd = [name for name, one in zip(data.classes, found, strict=True) if not 0 < one < torch.inf]
    require(
        not odd, "class_weight", "balanced", f"has no weight for {odd}, in training never or always there"
    )
    return tuple(found.tolist())


def cross_entropy(
    logits: Tensor,
    target: Tensor,
    *,
    task: Task = Task.SINGLE_LABEL,
    class_weights: Sequence[float] | None = None,
    sample_weights: Tensor | None = None,
) -> Tensor:
    """Negative log-likelihood per sample in nats, meaned over what has a label: (R, B, K, ...) -> (R,).

    The target is (R, B) class numbers, -100 where there is no label; dense (R, B, H, W), -1 where there is
    none; multi-label (R, B, K) in [0, 1], whose labels are summed, as the divergence's are; regression
    (R, B, D), half the squared error summed over outputs: a Gaussian of variance 1, but for a constant. 0 for
    a batch without a label.

    The mean may be weighted, sum of w · nll over sum of w: by `class_weights` of the K classes, as
    `torch.nn.functional.cross_entropy(weight=...)` has it, by `sample_weights` (R, B), or by their product.
    For several labels a class's weight is that of its presence, torch's `pos_weight`.

    Raises `LabError` for shapes that do not go together, class numbers not int64 or out of range.
    """
    axes, wanted = (5, "(R, B, K, H, W)") if task is Task.DENSE else (3, "(R, B, K)")
    shape = tuple(logits.shape)
    require(logits.ndim == axes, "logits", shape, f"must be {wanted} for a {task.value} task")
    whole_rows = task in (Task.MULTI_LABEL, Task.REGRESSION)
    expected = shape if whole_rows else shape[:2] + shape[3:]
    fits = tuple(target.shape) == expected
    require(fits, "target", tuple(target.shape), f"must be {expected} to go with the logits")
    scores = widened(logits)
    if task is Task.REGRESSION:
        return _mean((scores - target.to(scores)).square().sum(dim=-1) / 2, sample_weights)
    if task is Task.MULTI_LABEL:
        present = None if class_weights is None else scores.new_tensor(class_weights)
        each = F.binary_cross_entropy_with_logits(
            scores, target.to(scores), reduction="none", pos_weight=present
        )
        return _mean(each.sum(dim=-1), sample_weights)
    whole = target.dtype == torch.int64
    require(whole, "target", target.dtype, f"must be int64 for a {task.value} task")
    none, rows = _NO_LABEL[task], (scores.flatten(0, 1), target.flatten(0, 1))
    try:
        each = F.cross_entropy(*rows, ignore_index=none, reduction="none").reshape(target.shape)
    except IndexError as error:
        worst = f"{int(target.min())} to {int(target.max())}"
        rule = f"must be class numbers, 0 to {shape[2] - 1}, or {none} for none"
        raise LabError("target", worst, rule) from error
    known = target != none
    if class_weights is None and sample_weights is None:
        return each.flatten(1).sum(dim=-1) / known.flatten(1).sum(dim=-1).clamp(min=1)
    weights = known.to(scores)
    if class_weights is not None:
        weights = weights * scores.new_tensor(class_weights)[target.clamp(min=0)]
    if sample_weights is not None:
        weights = weights * sample_weights.reshape(*target.shape[:2], *[1] * (target.ndim - 2)).to(scores)
    return _mean(each.flatten(1), weights.flatten(1))


def _mean(each: Tensor, weights: Tensor | None) -> Tensor:
    """(R, B) -> (R,), weighted; 0 where all weights are."""
    if weights is None:
        return each.mean(dim=-1)
    weights = weights.to(each)
    total = weights.sum(dim=-1)
    return (weights * each).sum(dim=-1) / torch.where(total > 0, total, 1.0)
