"""KD from several teachers at once, each sample from those that are to be trusted on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from mmkd_lab.core.check import of_type, one_of, real, require
from mmkd_lab.core.config import config
from mmkd_lab.data.task import Task
from mmkd_lab.distill.losses.kd import KD
from mmkd_lab.distill.method import Context, register_method
from mmkd_lab.distill.operands import logits_pair, widened
from mmkd_lab.distill.teacher_outputs import TeacherOutputs

Trust = Literal["equal", "confidence", "entropy", "label"]
_TINY = 1e-12


@register_method("multi_teacher")
@config
class MultiTeacher(KD):
    """`KD` from one teacher in the place of several, this one and `Context.others`: see `mix_teachers`, and
    `losses.multi_teacher.trust` for how far each counts on a sample."""

    tasks: ClassVar[tuple[Task, ...]] = (Task.SINGLE_LABEL, Task.MULTI_LABEL)

    trust: Trust = "confidence"

    def prepare(self, teacher: TeacherOutputs, context: Context, *, seed: int) -> TeacherOutputs:
        """The mixture, under the removal and the identity of the first teacher."""
        require(len(context.others) > 0, "context.others", [], "must hold at least one further teacher")
        kept = super().prepare(teacher, context, seed=seed)
        every = [kept.logits, *(other.rows(kept.index).logits for other in context.others)]
        target = None
        if self.trust == "label" and context.data is not None:
            target = kept.targets(context.data)
            target = target.expand(len(kept), *target.shape)
        share = trust(every, by=self.trust, target=target, task=self.task)
        mixed = mix_teachers(every, weights=share, temperature=self.temperature, task=self.task)
        return replace(kept, logits=mixed)


def mix_teachers(
    teachers: Sequence[Tensor],
    *,
    weights: Tensor | Sequence[float] | None = None,
    temperature: float = 1.0,
    task: Task = Task.SINGLE_LABEL,
) -> Tensor:
    """The logits z with softmax(z / T) = sum_t w_t · softmax(z_t / T): one teacher in the place of several.

    KD from z at the same temperature T > 0 is KD from the weighted mean of the teachers' softened
    probabilities (You et al. 2017, "Learning from multiple teacher networks"); multi-label: a sigmoid per
    label.

    Args:
        teachers: logits of each, (..., K), for a dense task (..., K, H, W).
        weights: (T,) one per teacher, or (T, ...) one per teacher and sample, see `trust`; None for equal
            ones. Scaled to sum to 1 over the teachers.

    Returns logits of one teacher's shape, in single precision or better. Raises `LabError` for no teacher,
    shapes that differ, weights that are negative, not finite, of another shape, or all 0 for a sample.
    """
    real("temperature", temperature, above=0.0)
    z, classes = _stacked(teachers, task)
    share = _shares(weights, z, classes)
    log_share = share.clamp(min=torch.finfo(z.dtype).tiny).log().masked_fill(share == 0, -torch.inf)
    softened = z / temperature
    if task is Task.MULTI_LABEL:
        yes, no = ((F.logsigmoid(x) + log_share).logsumexp(dim=0) for x in (softened, -softened))
        return temperature * (yes - no)
    return temperature * (F.log_softmax(softened, dim=classes) + log_share).logsumexp(dim=0)


def trust(
    teachers: Sequence[Tensor],
    *,
    by: Trust = "confidence",
    target: Tensor | None = None,
    task: Task = Task.SINGLE_LABEL,
) -> Tensor:
    """How far each teacher is to be trusted on each sample: logits (..., B, K) each -> (T, ..., B), sum 1.

    Args:
        by: 'equal'; 'confidence': the largest probability; 'entropy': 1 - H / log K, so that a teacher at
            even odds counts nothing; 'label': 1 - softmax_t(cross-entropy of teacher t), over T - 1, as in
            Zhang et al. 2022 ("Confidence-aware multi-teacher KD"). Multi-label: means over the
            labels, each as a law of two outcomes.
        target: for 'label' alone: class numbers (..., B), or (..., B, K) in [0, 1] for multi-label.

    Raises `LabError` for an unknown way, a dense task, 'label' without a fitting target or with one teacher.
    """
    one_of("by", by, get_args(Trust))
    one_of("task", task, (Task.SINGLE_LABEL, Task.MULTI_LABEL))
    z, _ = _stacked(teachers, task)
    if by == "label":
        return _by_label(z, target, task)
    if by == "equal":
        return torch.full_like(z[..., 0], 1 / len(z))
    laws = torch.stack([z, torch.zeros_like(z)], dim=-1) if task is Task.MULTI_LABEL else z
    log_p = F.log_softmax(laws, dim=-1)
    if by == "confidence":
        raw = log_p.amax(dim=-1).exp()
    else:
        even = torch.tensor(float(laws.shape[-1]), dtype=z.dtype, device=z.device).log()
        raw = (1 + (log_p.exp() * log_p).sum(dim=-1) / even).clamp(min=0.0)
    raw = raw.mean(dim=-1) if task is Task.MULTI_LABEL else raw
    # Where every teacher is at even odds none deserves more than another.
    total = raw.sum(dim=0)
    return torch.where(total > _TINY, raw / total.clamp(min=_TINY), 1 / len(z))


def _stacked(teachers: Sequence[Tensor], task: Task) -> tuple[Tensor, int]:
    """((T, ...), the class axis in it), checked."""
    listed = list(teachers)
    require(len(listed) > 0, "teachers", teachers, "must hold at least one teacher")
    axes = [logits_pair(listed[0], one, task)[2] for one in listed]
    return torch.stack([widened(one.detach()) for one in listed]), axes[0] + 1


def _shares(weights: Tensor | Sequence[float] | None, z: Tensor, classes: int) -> Tensor:
    """(T, ...) that broadcasts over z and sums to 1 over the teachers."""
    w = z.new_ones(len(z)) if weights is None else torch.as_tensor(weights).detach().to(z)
    shapes = ((len(z),), tuple(z.shape[:classes]))
    rule = f"must be {shapes[0]}, one per teacher, or {shapes[1]}, one per teacher and sample"
    require(tuple(w.shape) in shapes, "weights", tuple(w.shape), rule)
    fine = bool((torch.isfinite(w) & (w >= 0)).all()) and bool((w.sum(dim=0) > 0).all())
    require(fine, "weights", w.tolist(), "must be at least 0, and not 0 for every teacher")
    w = w / w.sum(dim=0)
    return w.reshape(*w.shape, *[1] * (z.ndim - w.ndim))


def _by_label(z: Tensor, target: Tensor | None, task: Task) -> Tensor:
    require(len(z) > 1, "teachers", f"{len(z)} teacher", "by='label' compares at least two")
    known = of_type("target", target, Tensor, "a torch tensor of labels, for by='label'")
    expected = tuple(z.shape[1:] if task is Task.MULTI_LABEL else z.shape[1:-1])
    require(tuple(known.shape) == expected, "target", tuple(known.shape), f"must be {expected}")
    if task is Task.MULTI_LABEL:
        wide = known.to(z).expand(z.shape)
        loss = F.binary_cross_entropy_with_logits(z, wide, reduction="none").mean(dim=-1)
    else:
        label = known.long().expand(z.shape[:-1])
        loss = -F.log_softmax(z, dim=-1).gather(-1, label[..., None]).squeeze(-1)
    return (1 - loss.softmax(dim=0)) / (len(z) - 1)
