"""Metrics by name; `score` applies a task's to logits of several replicas, `evaluate` asks them itself.

The functions are written out: torchmetrics agrees with them (the tests compare), but importing it takes
seconds, and this in every worker process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from mmkd_lab.core.check import LabError, of_type, one_of, require
from mmkd_lab.core.registry import Registry
from mmkd_lab.data.paired import PairedData
from mmkd_lab.data.task import Task
from mmkd_lab.models.removal import Removal
from mmkd_lab.models.views import View
from mmkd_lab.training.inputs import datasets
from mmkd_lab.training.replicas import Replicas

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

#: Logits (N, K) and target (N,), for multi-label (N, K), or for a dense task (N, K, H, W) and (N, H, W) -> a
#: number.
Function = Callable[[Tensor, Tensor], Tensor | float]


@dataclass(frozen=True)
class Metric:
    """A number that says how well logits fit a target.

    `function` is given double precision, and a dense target's -1 counts for nothing; differences are in
    `unit`, and more is better where `higher`; `origin` is the module that defines it. One that is `asked` for
    is known of those data alone whose `metrics` name it.
    """

    function: Function
    tasks: tuple[Task, ...]
    origin: str = ""
    unit: str = "points"
    higher: bool = True
    asked: bool = False


METRICS: Registry[Metric] = Registry("metric", home=["mmkd_lab.training.sentiment"])


def register_metric(
    name: str,
    *,
    task: Task | Sequence[Task],
    unit: str = "points",
    higher: bool = True,
    asked: bool = False,
) -> Callable[[Function], Function]:
    """A decorator that makes a function of logits and target a metric of one task or several.

    It then appears in histories, tables and `evaluate` under its name; early selection goes by the task's
    first one, or by that which `Recipe.select_metric` names. `unit`, `higher` and `asked` as in `Metric`.
    Raises `LabError` for a name of the lab's own.
    """
    tasks = (task,) if isinstance(task, Task) else tuple(task)

    def keep(function: Function) -> Function:
        origin = getattr(function, "__module__", "")
        METRICS.register(name, Metric(function, tasks, origin, unit, higher, asked))
        return function

    return keep


@register_metric("accuracy", task=Task.SINGLE_LABEL)
def accuracy(logits: Tensor, target: Tensor) -> Tensor:
    """Samples whose largest logit is the target's, in percent."""
    return 100.0 * (logits.argmax(-1) == target).double().mean()


@register_metric("balanced_accuracy", task=Task.SINGLE_LABEL)
def balanced_accuracy(logits: Tensor, target: Tensor) -> Tensor:
    """The share of each class's samples that are named right, the mean over classes that occur, in
    percent."""
    hits, there, _ = _named(logits, target)
    return 100.0 * (hits / there.clamp(min=1)).sum() / (there > 0).sum()


@register_metric("macro_f1", task=(Task.SINGLE_LABEL, Task.MULTI_LABEL))
def macro_f1(logits: Tensor, target: Tensor) -> Tensor:
    """F1 of each class (at probability 0.5, of each label), the mean over them, in percent.

    As scikit-learn's zero_division=0 has it: a class that is neither there nor predicted is left out, a label
    that is not counts as 0.
    """
    if not target.is_floating_point():
        hits, there, said = _named(logits, target)
        known = there + said > 0
        return 100.0 * (2 * hits / (there + said).clamp(min=1)).sum() / known.sum()
    hits, both = _hits(logits, target)
    return 100.0 * (2 * hits / both.clamp(min=1)).mean()


@register_metric("weighted_f1", task=Task.SINGLE_LABEL, asked=True)
def weighted_f1(logits: Tensor, target: Tensor) -> Tensor:
    """F1 of each class, the mean over them by how often they occur, in percent: MELD, IEMOCAP."""
    hits, there, said = _named(logits, target)
    return 100.0 * (2 * hits / (there + said).clamp(min=1) * there).sum() / there.sum()


@register_metric("micro_f1", task=Task.MULTI_LABEL)
def micro_f1(logits: Tensor, target: Tensor) -> Tensor:
    """F1 at probability 0.5, all labels counted together, in percent."""
    hits, both = _hits(logits, target)
    return 100.0 * 2 * hits.sum() / both.sum().clamp(min=1)


@register_metric("auroc", task=Task.SINGLE_LABEL, asked=True)
def auroc(logits: Tensor, target: Tensor) -> Tensor:
    """Area under the ROC curve of each class against the others, the mean over them, in percent.

    The share of pairs that the probability of the class puts in the right order; equal ones count half. Of
    samples that are all of one class it is 50. Source: Fawcett 2006, sections 7 and 10.
    """
    likely, there = logits.log_softmax(-1), torch.unique(target)
    areas = [torch.full((), 0.5, dtype=torch.float64)]
    for k in there if len(there) > 1 else ():
        own, others = likely[target == k, k], likely[target != k, k].sort()[0]
        below, upto = (torch.searchsorted(others, own, right=right) for right in (False, True))
        areas.append((below + upto).double().mean() / (2 * len(others)))
    return 100.0 * torch.stack(areas[1:] or areas).mean()


@register_metric("vqa_accuracy", task=Task.MULTI_LABEL, asked=True)
def vqa_accuracy(logits: Tensor, target: Tensor) -> Tensor:
    """What the target, from 0 to 1, says of the label with the largest logit, the mean, in percent.

    With targets that say how well each answer agrees with ten people's it is the accuracy of Antol et al.
    2015, section 3.
    """
    return 100.0 * target.gather(-1, logits.argmax(-1, keepdim=True)).double().mean()


def _named(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of each class (K,): how many are named right, are there, are named."""
    k, said = logits.shape[-1], logits.argmax(-1)
    return tuple(one.bincount(minlength=k).double() for one in (target[said == target], target, said))  # type: ignore[return-value]


def _hits(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """(K,) true positives, and (K,) what is predicted plus what is there."""
    said, true = logits > 0, target > 0.5
    return (said & true).sum(0).double(), (said.sum(0) + true.sum(0)).double()


@register_metric("miou", task=Task.DENSE)
def mean_iou(logits: Tensor, target: Tensor) -> Tensor:
    """Intersection over union, pooled over all pixels, mean over the classes that occur, in percent.

    A class counts when it is in the target or is predicted; pixels of -1 count for nothing.
    """
    real, classes = target >= 0, logits.shape[1]
    said, true = logits.argmax(1)[real], target[real]
    table = torch.bincount(true * classes + said, minlength=classes**2).reshape(classes, classes).double()
    union = table.sum(0) + table.sum(1) - table.diag()
    counted = union > 0
    return 100.0 * (table.diag() / union.clamp(min=1)).sum() / counted.sum().clamp(min=1)


@register_metric("pixel_accuracy", task=Task.DENSE)
def pixel_accuracy(logits: Tensor, target: Tensor) -> Tensor:
    """Pixels with a label that get it, in percent."""
    real = target >= 0
    return 100.0 * ((logits.argmax(1) == target) & real).sum().double() / real.sum().clamp(min=1)


@register_metric("r2", task=Task.REGRESSION)
def r2(logits: Tensor, target: Tensor) -> Tensor:
    """The share of the target's variance that is explained, 1 - SSE / SST, in percent; mean over outputs.

    100 is perfect, 0 is what the mean of these very samples gets, and there is no lower end.
    """
    left, spread = (logits - target).square().sum(0), (target - target.mean(0)).square().sum(0)
    return 100.0 * (1 - left / spread).mean()


@register_metric("rmse", task=Task.REGRESSION, unit="units of the target", higher=False)
def rmse(logits: Tensor, target: Tensor) -> Tensor:
    """Root mean squared error in the unit of the target, the mean over outputs."""
    return (logits - target).square().mean(0).sqrt().mean()


@register_metric("mae", task=Task.REGRESSION, unit="units of the target", higher=False)
def mae(logits: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error in the unit of the target, the mean over outputs."""
    return (logits - target).abs().mean()


@register_metric("nll", task=(Task.SINGLE_LABEL, Task.MULTI_LABEL, Task.DENSE), unit="nats", higher=False)
def nll(logits: Tensor, target: Tensor) -> Tensor:
    """Mean negative log-likelihood in nats: per sample, per label of multi-label, or per labelled pixel."""
    if target.is_floating_point():
        return functional.binary_cross_entropy_with_logits(logits, target.to(logits.dtype))
    each = functional.cross_entropy(logits, target, reduction="sum", ignore_index=-1)
    return each / (target >= 0).sum().clamp(min=1)


def cost_of(task: Task) -> str:
    """The metric, less of which is better, that decides between equal scores and shows a training's
    course."""
    return "rmse" if task is Task.REGRESSION else "nll"


def names_of(task: Task, also: Sequence[str] = ()) -> list[str]:
    """The metrics of a task, the one that it is about first, then those `also` asked for.

    Raises `LabError` for one that is unknown, or of another task.
    """
    for name in also:
        rule = f"must be a metric of a {task.value} task"
        require(task in METRICS[name].tasks, "metrics", name, rule)
    own = [name for name, metric in METRICS.items() if task in metric.tasks and not metric.asked]
    return list(dict.fromkeys([*own, *also]))


def first_of(task: Task) -> str:
    """The metric that a task is about: the first that was registered for it."""
    return names_of(task)[0]


def goodness(named: Mapping[str, Tensor], metric: str | None = None) -> Tensor:
    """Of what `score` gave, the first or the one named, so that more is better. Raises `LabError` for one
    that this task does not have."""
    name = next(iter(named)) if metric is None else metric
    one_of("select_metric", name, list(named))
    return named[name] if METRICS[name].higher else -named[name]


def score(logits: Tensor, target: Tensor, *, task: Task, also: Sequence[str] = ()) -> dict[str, Tensor]:
    """All metrics of a task, each (R,) in double precision; the first one is what early selection maximises.

    Args:
        logits: (R, N, K), or (R, N, K, H, W) for a dense task.
        target: as `PairedData.target`, shared by the replicas or with a leading axis of R.
        task: what the target is.
        also: metrics that are told when they are asked for, as `PairedData.metrics` does.

    Raises:
        LabError: logits or a target of another shape, logits that are not finite, or a metric of yours that
            gives no number.
    """
    axes, replicas = 5 if task is Task.DENSE else 3, len(logits)
    require(logits.ndim == axes, "logits", tuple(logits.shape), f"must have {axes} axes, replicas first")
    whole = task in (Task.MULTI_LABEL, Task.REGRESSION)
    one = logits.shape[1:] if whole else (logits.shape[1], *logits.shape[3:])
    rule = f"must be {tuple(one)}, or the same with a leading axis of {replicas} replicas"
    fits = target.shape in (torch.Size(one), torch.Size((replicas, *one)))
    require(fits, "target", tuple(target.shape), rule)
    bad = (~logits.isfinite().flatten(1).all(1)).nonzero().flatten().tolist()
    shown = f"NaN or infinite values of replica {bad[0]}" if bad else ""
    require(not bad, "logits", shown, "must be finite to be scored", "Its training diverged: lower the rate.")
    wide = (logits.cpu() if logits.device.type == "mps" else logits).double()  # which has no double precision
    pairs = list(zip(wide, target.to(wide.device).expand(replicas, *one), strict=True))
    scores = {}
    for name in names_of(task, also):
        found = [METRICS[name].function(*pair) for pair in pairs]
        try:
            scores[name] = torch.tensor([float(value) for value in found], dtype=torch.float64)
        except (TypeError, ValueError, RuntimeError) as error:
            raise LabError(f"metric {name!r}", found[0], "must give one number") from error
    return scores


def evaluate(
    replicas: Replicas,
    data: PairedData | Sequence[PairedData],
    *,
    split: str,
    view: View | None = None,
    removal: Removal | str | None = None,
) -> dict[str, npt.NDArray[np.float64]]:
    """{metric: (R,)}: 'accuracy' in percent, 'nll' in nats and more; for other tasks see `score`.

    Args:
        replicas: R networks.
        data: one dataset for all, or one per replica.
        split: 'train', 'val' or 'test'.
        view: the modalities to keep; None for all.
        removal: how the others go: an operator or its name; zeros when None.

    Raises:
        LabError: an unknown split or modality, or a removal this network cannot do.
    """
    of_type("replicas", replicas, Replicas, "Replicas", "See Replicas.build and Replicas.of.")
    sets, found = datasets(data, len(replicas)), []
    for some, one in [(replicas, sets[0])] if len(sets) == 1 else zip(replicas, sets, strict=True):
        logits = some.predict(one, split=split, view=view, removal=removal)
        shape, rule = tuple(logits.shape), f"must have one logit for each class of {one.name}"
        require(len(shape) > 2 and shape[2] == one.num_classes, "replicas", f"logits {shape}", rule)
        target = one.target[one.positions(split)].cpu()
        found.append(score(logits, target, task=one.task, also=one.metrics))
    return {metric: torch.cat([part[metric] for part in found]).numpy() for metric in found[0]}
