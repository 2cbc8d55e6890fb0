"""Several teachers as one, and teachers that left only probabilities: both become logits to distil from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from mmkd_lab.core.check import flat, of_type, one_of, real, require
from mmkd_lab.data.task import Task
from mmkd_lab.distill.operands import logits_pair, widened

Trust = Literal["equal", "confidence", "entropy", "label"]
TRUST: tuple[Trust, ...] = ("equal", "confidence", "entropy", "label")
_TINY = 1e-12


def mix_teachers(
    teachers: Sequence[Tensor],
    *,
    weights: Tensor | Sequence[float] | None = None,
    temperature: float = 1.0,
    task: Task = Task.SINGLE_LABEL,
) -> Tensor:
    """The logits z with softmax(z / T) = sum_t w_t · softmax(z_t / T): one teacher in the place of several.

    KD from z at the same temperature is KD from the weighted mean of the teachers' softened probabilities
    (You et al. 2017, "Learning from multiple teacher networks"). A cache of z serves every method.

    Args:
        teachers: logits of each, (..., K); any axes before the classes, for a dense task (..., K, H, W).
        weights: (T,) one per teacher, or (T, ...) one per teacher and sample, see `trust`; None for equal
            ones. Scaled to sum to 1 over the teachers.
        temperature: T, above 0: the one the student is then distilled with.
        task: softmax over classes, or for multi-label a sigmoid per label.

    Returns:
        logits of one teacher's shape, in single precision or better.

    Raises:
        LabError: no teacher, shapes that differ, weights that are negative, not finite, of another shape, or
            all 0 for a sample.
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
        teachers: logits of each; no dense ones.
        by: 'equal'; 'confidence': the largest probability; 'entropy': 1 - H / log K, so that a teacher at
            even odds counts nothing; 'label': 1 - softmax_t(cross-entropy of teacher t), over T - 1, as in
            Zhang et al. 2022 ("Confidence-aware multi-teacher KD"). Multi-label: means over the
            labels, each as a law of two outcomes.
        target: for 'label' alone: class numbers (..., B), or (..., B, K) in [0, 1] for multi-label.
        task: single label or multi-label.

    Raises:
        LabError: an unknown way, a dense task, 'label' without a fitting target or with one teacher.
    """
    one_of("by", by, TRUST)
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
    known = raw.sum(dim=0) > _TINY
    return torch.where(known, raw / raw.sum(dim=0).clamp(min=_TINY), 1 / len(z))


def soft_label_logits(
    probabilities: Tensor, *, floor: float = 1e-4, task: Task = Task.SINGLE_LABEL
) -> Tensor:
    """Logits of a teacher that is not there, only its soft labels (votes, or what a large model wrote down).

    A probability p is first moved to (1 - floor) · p + floor / K (multi-label: floor / 2), since log 0 is no
    logit; at temperature 1 the logits give exactly that law, at higher ones a softer one.

    Args:
        probabilities: (..., K) that sum to 1; multi-label: each in [0, 1]; dense: (..., K, H, W).
        floor: how much of an even law is mixed in, above 0 and below 1.
        task: what the target is.

    Raises:
        LabError: values outside [0, 1] or sums that are not 1 within 0.001.
    """
    real("floor", floor, above=0.0, at_most=0.999)
    p, _, classes = logits_pair(probabilities, probabilities, task)
    inside = bool(((p >= 0) & (p <= 1)).all())
    shown = f"{float(p.min()):g} to {float(p.max()):g}"
    require(inside, "probabilities", shown, "must lie between 0 and 1")
    if task is Task.MULTI_LABEL:
        return ((1 - floor) * p + floor / 2).logit()
    worst = float((p.sum(dim=classes) - 1).abs().max())
    require(worst <= 1e-3, "probabilities", f"a sum that is {worst:g} off", "must sum to 1 over the classes")
    return ((1 - floor) * p + floor / p.shape[classes]).log()


def _stacked(teachers: Sequence[Tensor], task: Task) -> tuple[Tensor, int]:
    """((T, ...), the class axis in it), checked."""
    rule = "a list of each teacher's logits"
    listed = [of_type("teachers", one, Tensor, rule) for one in flat("teachers", teachers, rule)]
    require(len(listed) > 0, "teachers", teachers, "must hold at least one teacher")
    classes = 0
    for t, one in enumerate(listed):
        same = one.shape == listed[0].shape
        rule = f"must have the shape of the first teacher's logits, {tuple(listed[0].shape)}"
        require(same, f"teachers[{t}]", tuple(one.shape), rule)
        classes = logits_pair(one, one, task)[2]
    return torch.stack([widened(one.detach()) for one in listed]), classes + 1


def _shares(weights: object, z: Tensor, classes: int) -> Tensor:
    """(T, ...) that broadcasts over z and sums to 1 over the teachers."""
    if weights is None:
        w = z.new_ones(len(z))
    elif isinstance(weights, Tensor):
        w = weights.detach().to(z)
    else:
        listed = flat("weights", weights, "one weight per teacher")
        w = z.new_tensor([real("weights", one) for one in listed])
    shapes = ((len(z),), tuple(z.shape[:classes]))
    rule = f"must be {shapes[0]}, one per teacher, or {shapes[1]}, one per teacher and sample"
    require(tuple(w.shape) in shapes, "weights", tuple(w.shape), rule)
    require(bool((torch.isfinite(w) & (w >= 0)).all()), "weights", w.tolist(), "must be at least 0")
    require(bool((w.sum(dim=0) > 0).all()), "weights", w.tolist(), "must not be 0 for every teacher")
    w = w / w.sum(dim=0)
    return w.reshape(*w.shape, *[1] * (z.ndim - w.ndim))


def _by_label(z: Tensor, target: object, task: Task) -> Tensor:
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
