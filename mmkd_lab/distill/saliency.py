"""How much each modality matters to a teacher, sample by sample: the change of its output when one goes.

Source: Jin et al. 2021 (MSD) weigh modalities by such a saliency score. The definitions here are this lab's
own, since the paper's code was never published.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from math import factorial, log
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from mmkd_lab.core.check import LabError, of_type, one_of
from mmkd_lab.data.paired import PairedData
from mmkd_lab.data.task import Task
from mmkd_lab.distill.teacher_outputs import TeacherOutputs
from mmkd_lab.distill.views import modality_names
from mmkd_lab.models.views import View, all_views

Delta = Literal["kl", "js", "tv", "logit", "loss", "correctness"]
Credit = Literal["drop", "only", "shapley"]
DELTAS: tuple[Delta, ...] = get_args(Delta)
CREDITS: tuple[Credit, ...] = get_args(Credit)


def saliency(
    teacher: TeacherOutputs,
    modalities: Iterable[str],
    *,
    delta: Delta = "kl",
    credit: Credit = "drop",
    task: Task = Task.SINGLE_LABEL,
    data: PairedData | None = None,
) -> dict[str, Tensor]:
    """How much each modality matters, {modality: (R, N)} in the order of `teacher.index`.

    With v(A) = -delta(T(x), T(keep(x, A))), the value of the modalities A:

    - 'drop' credits m with v(all) - v(all but m), the change when m alone goes. It does not see redundancy:
      where either modality suffices, both get about 0. For two modalities it reads the *other* alone.
    - 'only' credits m with v({m}) - v(nothing), how far m alone leads. It does not see synergy.
    - 'shapley' averages m's contribution over all orders (Shapley 1953), sees both, and needs all 2^M views.

    Args:
        teacher: its outputs under the views that `needed_views` names.
        modalities: M >= 2 names.
        delta: 'kl' KL(T ‖ T') in nats, 'js' Jensen-Shannon in nats (at most log 2), 'tv' total variation,
            'logit' mean absolute difference of logits, 'loss' CE(y, T') - CE(y, T) in nats (may be negative),
            'correctness' right before minus right after (multi-label: share of the labels).
        credit: see above.
        task: multi-label sums over the labels (means, for 'logit' and 'correctness'); dense: positions' mean;
            regression: Gaussians of variance 1 about the outputs, which has no 'js' and no 'correctness'.
        data: where 'loss' and 'correctness' find the labels of the teacher's samples, and a regression its
            unit.

    Raises `LabError` for an unknown delta or credit, fewer than two modalities, a view the teacher was not
    asked about, labels that are needed and absent.
    """
    one_of("delta", delta, DELTAS)
    names, target = modality_names(modalities), None
    if delta in ("loss", "correctness"):
        way_out = f"delta={delta!r} needs its labels."
        target = teacher.targets(of_type("data", data, PairedData, "the dataset", way_out))
    if task is Task.REGRESSION:
        own = of_type("data", data, PairedData, "the dataset", "A regression needs its unit.")
        teacher = teacher.bare(own)
        target = None if target is None else _bare(target, own)
    everything = View.full(names)
    values = {everything: teacher.logits.new_zeros(teacher.logits.shape[:2])}
    for view in needed_views(names, credit=credit):
        if view not in teacher.views:
            known = [one.label for one in teacher.views]
            raise LabError("teacher", known, f"must know the view {view.label!r}", "See needed_views().")
        other = teacher.views[view]
        values[view] = -difference(teacher.logits, other, delta=delta, task=task, target=target)
    if credit == "drop":
        return {m: values[everything] - values[View.drop(m, of=names)] for m in names}
    if credit == "only":
        return {m: values[View.only(m)] - values[View.only()] for m in names}
    return {m: _shapley(values, names, m) for m in names}


def needed_views(modalities: Iterable[str], *, credit: Credit = "drop") -> tuple[View, ...]:
    """The views, beside the full one, that `saliency` reads."""
    one_of("credit", credit, CREDITS)
    names = modality_names(modalities)
    if credit == "drop":
        return tuple(View.drop(m, of=names) for m in names)
    if credit == "only":
        return (View.only(), *(View.only(m) for m in names))
    return all_views(names)[:-1]


def difference(
    full: Tensor,
    other: Tensor,
    *,
    delta: Delta = "kl",
    task: Task = Task.SINGLE_LABEL,
    target: Tensor | None = None,
) -> Tensor:
    """delta(T(x), T(x')) per sample, see `saliency`: logits (..., K), for a dense task (R, N, K, H, W) -> (R,
    N). For 'loss' and 'correctness' `target` is (N,) or, by the task, (N, K) or (N, H, W)."""
    one_of("delta", delta, DELTAS)
    # In double precision: in single, the divergence of two outputs that agree is noise of either sign about
    # 1e-7, from which weights by saliency would be made. (Apple's devices have no double.)
    full, other = (x.float() if x.device.type == "mps" else x.double() for x in (full, other))
    if task is Task.DENSE:
        full, other = full.movedim(2, -1), other.movedim(2, -1)
    if task is Task.REGRESSION:
        return _apart(full, other, delta, target).float()
    if delta in ("loss", "correctness"):
        labels = of_type("target", target, Tensor, "the labels", f"delta={delta!r} compares with them.")
        measure = _loss if delta == "loss" else _wrong
        each = measure(other, labels, task) - measure(full, labels, task)
    elif delta == "logit":
        each = (full - other).abs().mean(-1)
    else:
        each = _divergence(_logs(full, task), _logs(other, task), delta)
    return (each if each.ndim == 2 else each.flatten(2).mean(-1)).float()


def _bare(target: Tensor, data: PairedData) -> Tensor:
    assert data.unit is not None
    shift, scale = (part.to(target.device) for part in data.unit)
    return (target.double() - shift) / scale


def _apart(full: Tensor, other: Tensor, delta: Delta, target: Tensor | None) -> Tensor:
    """Of Gaussians of variance 1 about the outputs: KL, total variation and NLL in closed form."""
    squared = (full - other).square().sum(-1)
    if delta == "kl":
        return squared / 2
    if delta == "tv":
        return torch.erf((squared / 8).sqrt())
    if delta == "logit":
        return (full - other).abs().mean(-1)
    rule = (
        "has no closed form for a regression" if delta == "js" else "is of classes, and a regression has none"
    )
    if delta != "loss" or target is None:
        raise LabError("delta", delta, rule, "Use 'kl', 'tv', 'logit' or 'loss'.")
    return ((other - target).square().sum(-1) - (full - target).square().sum(-1)) / 2


def _logs(logits: Tensor, task: Task) -> Tensor:
    """Log-probabilities (..., outcomes, variables): one softmax, or K Bernoulli variables of two outcomes."""
    if task is Task.MULTI_LABEL:
        return torch.stack([F.logsigmoid(logits), F.logsigmoid(-logits)], dim=-2)
    return logits.log_softmax(-1).unsqueeze(-1)


def _divergence(p: Tensor, q: Tensor, delta: Delta) -> Tensor:
    """Of two laws by their logarithms."""
    if delta == "kl":
        return (p.exp() * (p - q)).sum((-2, -1)).clamp(min=0)
    if delta == "tv":
        return 0.5 * (p.exp() - q.exp()).abs().sum((-2, -1))
    middle = torch.logaddexp(p, q) - log(2)
    return 0.5 * (p.exp() * (p - middle) + q.exp() * (q - middle)).sum((-2, -1)).clamp(min=0)


def _loss(logits: Tensor, target: Tensor, task: Task) -> Tensor:
    if task is Task.MULTI_LABEL:
        wanted = target.to(logits).expand(logits.shape)
        return F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").sum(-1)
    wanted = target.clamp(min=0).expand(logits.shape[:-1])
    loss = -logits.log_softmax(-1).gather(-1, wanted[..., None])[..., 0]
    return loss * (target >= 0)


def _wrong(logits: Tensor, target: Tensor, task: Task) -> Tensor:
    if task is Task.MULTI_LABEL:
        return ((logits > 0) != (target > 0.5)).float().mean(-1)
    return ((logits.argmax(-1) != target) & (target >= 0)).float()


def _shapley(values: dict[View, Tensor], names: tuple[str, ...], m: str) -> Tensor:
    others = [name for name in names if name != m]
    total = torch.zeros_like(values[View.only()])
    for size in range(len(names)):
        share = factorial(size) * factorial(len(names) - 1 - size) / factorial(len(names))
        for chosen in combinations(others, size):
            total = total + share * (values[View.only(*chosen, m)] - values[View.only(*chosen)])
    return total
