"""Metrics by name, for one network's logits; `score` applies a task's to several replicas.

The functions are written out: torchmetrics agrees with them (the tests compare), but importing it takes
seconds, and this in every worker process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mmkd_lab.core.check import LabError, of_type, require
from mmkd_lab.core.registry import Registry
from mmkd_lab.data.task import Task

#: Logits (N, K) and target (N,), for multi-label (N, K), or for a dense task (N, K, H, W) and (N, H, W) -> a
#: number.
Function = Callable[[Tensor, Tensor], Tensor | float]


@dataclass(frozen=True)
class Metric:
    """A number that says how well logits fit a target.

    Args:
        function: see `Function`; it is given double precision, and a dense target's -1 counts for nothing.
        tasks: the tasks it serves.
        origin: the module it was defined in.
    """

    function: Function
    tasks: tuple[Task, ...]
    origin: str = ""


METRICS: Registry[Metric] = Registry("metric")


def register_metric(name: str, *, task: Task | Sequence[Task]) -> Callable[[Function], Function]:
    """A decorator that makes a function of logits and target a metric of one task or several.

    It then appears in histories, tables and `evaluate` under its name; early selection goes by the lab's own.
    Raises `LabError` for a name of the lab's own.
    """
    tasks = (task,) if isinstance(task, Task) else tuple(task)
    for one in tasks:
        of_type("task", one, Task, "a Task, or several")

    def keep(function: Function) -> Function:
        METRICS.register(name, Metric(function, tasks, getattr(function, "__module__", "")))
        return function

    return keep


@register_metric("accuracy", task=Task.SINGLE_LABEL)
def accuracy(logits: Tensor, target: Tensor) -> Tensor:
    """Samples whose largest logit is the target's, in percent."""
    return 100.0 * (logits.argmax(-1) == target).double().mean()


@register_metric("macro_f1", task=Task.MULTI_LABEL)
def macro_f1(logits: Tensor, target: Tensor) -> Tensor:
    """F1 at probability 0.5, the mean over labels, in percent.

    A label that is neither present nor predicted counts as 0, as scikit-learn's zero_division=0 has it.
    """
    hits, both = _hits(logits, target)
    return 100.0 * (2 * hits / both.clamp(min=1)).mean()


@register_metric("micro_f1", task=Task.MULTI_LABEL)
def micro_f1(logits: Tensor, target: Tensor) -> Tensor:
    """F1 at probability 0.5, all labels counted together, in percent."""
    hits, both = _hits(logits, target)
    return 100.0 * 2 * hits.sum() / both.sum().clamp(min=1)


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


@register_metric("nll", task=tuple(Task))
def nll(logits: Tensor, target: Tensor) -> Tensor:
    """Mean negative log-likelihood in nats: per sample, per label of multi-label, or per labelled pixel."""
    if target.is_floating_point():
        return functional.binary_cross_entropy_with_logits(logits, target.to(logits.dtype))
    each = functional.cross_entropy(logits, target, reduction="sum", ignore_index=-1)
    return each / (target >= 0).sum().clamp(min=1)


def score(logits: Tensor, target: Tensor, *, task: Task) -> dict[str, Tensor]:
    """All metrics of a task, each (R,) in double precision; the first one is what early selection maximises.

    Args:
        logits: (R, N, K), or (R, N, K, H, W) for a dense task.
        target: as `PairedData.target`, shared by the replicas or with a leading axis of R.
        task: what the target is.

    Raises:
        LabError: logits or a target of another shape, logits that are not finite, or a metric of yours that
            gives no number.
    """
    axes = 5 if task is Task.DENSE else 3
    require(logits.ndim == axes, "logits", tuple(logits.shape), f"must have {axes} axes, replicas first")
    one = tuple(logits.shape[1:]) if task is Task.MULTI_LABEL else (logits.shape[1], *logits.shape[3:])
    each = (len(logits), *one)
    rule = f"must be {one}, or the same with a leading axis of {len(logits)} replicas"
    require(tuple(target.shape) in (one, each), "target", tuple(target.shape), rule)
    bad = (~logits.isfinite().flatten(1).all(1)).nonzero().flatten().tolist()
    shown = f"NaN or infinite values of replica {bad[0]}" if bad else ""
    require(not bad, "logits", shown, "must be finite to be scored", "Its training diverged: lower the rate.")
    wide = (logits.cpu() if logits.device.type == "mps" else logits).double()  # which has no double precision
    targets = target.to(wide.device).expand(each)
    known = {name: metric for name, metric in METRICS.items() if task in metric.tasks}
    return {name: _per_replica(name, metric, wide, targets) for name, metric in known.items()}


def _per_replica(name: str, metric: Metric, logits: Tensor, targets: Tensor) -> Tensor:
    found = [metric.function(*pair) for pair in zip(logits, targets, strict=True)]
    try:
        values = [torch.as_tensor(value, dtype=torch.float64, device=logits.device) for value in found]
        return torch.stack(values).reshape(len(logits))
    except (TypeError, ValueError, RuntimeError) as error:
        raise LabError(f"metric {name!r}", found[0], "must give one number") from error
