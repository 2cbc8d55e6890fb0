"""Train one network or many replicas: `fit` and what it gives."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from mmkd_lab.core.check import LabError, of_type, require
from mmkd_lab.core.progress import watched
from mmkd_lab.data.paired import PairedData
from mmkd_lab.distill.distillation import Distillation
from mmkd_lab.distill.teacher_outputs import TeacherOutputs
from mmkd_lab.models.layers import Wrapper
from mmkd_lab.models.removal import Removal
from mmkd_lab.training.device import deterministic
from mmkd_lab.training.engine import Direct, Stacked
from mmkd_lab.training.fabric import make_fabric
from mmkd_lab.training.inputs import TrainingSplit, datasets
from mmkd_lab.training.lesson_plan import (
    history,
    own_parameters,
    prepared,
    require_fits,
    weights_by_sample,
    weights_over_time,
)
from mmkd_lab.training.lessons import Lessons
from mmkd_lab.training.loop import Job, run
from mmkd_lab.training.own_loss import LossFunction, as_distillation
from mmkd_lab.training.recipe import Precision, Recipe, dtype_of, resolve_precision
from mmkd_lab.training.replicas import Replicas
from mmkd_lab.training.stacking import Mode, choose, obstacles

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    from lightning_fabric import Fabric
    from tqdm import tqdm


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """What training gives.

    Attributes:
        replicas: the networks with the selected weights, in the precision they were trained in.
        history: tidy, one row per replica, epoch, split and metric: replica, seed, epoch, split, metric,
            value. On 'train' the loss's own terms, meaned over the epoch; on 'val' the task's metrics.
        best_epoch: (R,), the epoch (from 1) whose weights were selected.
        mode: 'stacked' or 'looped', as it was run.
        weights: where the weights of views were learned, their means over time: replica, seed, step, view,
            value. None otherwise.
        weights_by_sample: what these weights are in the end for every training sample: (R, V, N) on the CPU,
            views as in `Msd`, samples as in the split; without what the teacher brings along, as a gate. They
            are of the final phi, when the replica's training stopped, whichever epoch its weights are from.
            None where no weights were learned.
    """

    replicas: Replicas
    history: pd.DataFrame
    best_epoch: npt.NDArray[np.int64]
    mode: str
    weights: pd.DataFrame | None = None
    weights_by_sample: Tensor | None = None

    def __repr__(self) -> str:
        return f"{self.replicas!r}; {self.mode}, best epochs {self.best_epoch.tolist()}"


def fit(
    replicas: Replicas,
    data: PairedData | Sequence[PairedData],
    loss: Distillation | LossFunction,
    recipe: Recipe,
    *,
    teacher: TeacherOutputs | None = None,
    mode: Mode = "auto",
    dropout_removal: Removal | None = None,
    fabric: Fabric | None = None,
    progress: bool = True,
    label: str = "",
) -> TrainingResult:
    """Train replicas on the training split; the validation split selects; the test split is never read.

    A replica's result depends on its own seed, data, teacher and loss, not on who is trained beside it:
    its order of samples and its modality dropout come from streams of its own. (With '16-mixed' the loss
    scale is shared, so that one replica's overflow makes all skip a step.)

    Args:
        replicas: R networks; they are left as they are, the trained ones are in the result. Parameters,
            inputs and teacher outputs are brought to the recipe's precision.
        data: one dataset for all, or one per replica, of equal shapes and split sizes.
        loss: a `distill.Distillation`, such as `distill.labels_only()`; or a function of logits (R, B, K),
            target and the teacher's logits (or None) that gives {'loss': (R,), term: (R,), ...}.
        recipe: the hyper-parameters.
        teacher: what one teacher for all replicas, or R teachers, say by sample index.
        mode: 'stacked' (all replicas in one call), 'looped' (one after another), or 'auto': stacked on CUDA
            where the network allows, else looped.
        dropout_removal: how `recipe.modality_dropout` removes; an operator of `models.removal`.
        fabric: a Lightning Fabric you have launched on several devices: each process then takes its share of
            every batch and gradients are averaged, which gives what one process would. Its precision is the
            run's where the recipe says 'auto'. One device otherwise.
        progress: show a progress bar.
        label: what the bar is called.

    Raises:
        LabError: a split that is missing, numbers of replicas that differ, a teacher that has not seen a
            training sample, a network that cannot run in this mode or on a batch of one sample, or a loss
            that is no longer finite.
    """
    of_type("replicas", replicas, Replicas, "Replicas", "See Replicas.build and Replicas.of.")
    of_type("recipe", recipe, Recipe, "a Recipe")
    sets = datasets(data, len(replicas))
    precision = resolve_precision(recipe, replicas.size, replicas.device)
    if fabric is not None and recipe.precision == "auto":
        precision = fabric.strategy.precision.precision
    replicas = replicas.to(dtype=dtype_of(precision))
    how = choose(replicas.net, replicas.device, mode)
    _validate(replicas, sets, recipe, dropout_removal)
    loss = as_distillation(loss)
    _validate_loss(loss, teacher, len(replicas))
    x = replicas.prepare(sets[0], again=True)
    if how == "stacked" and mode == "auto" and isinstance(replicas.net, Wrapper) and not _stacks(replicas, x):
        how = "looped"
    split = TrainingSplit(sets, replicas.modalities, device=replicas.device, dtype=replicas.dtype)
    soft = None if teacher is None else Lessons.of(teacher, sets, split, len(replicas))
    fabric = make_fabric(replicas.device, precision) if fabric is None else fabric
    _validate_fabric(fabric, replicas, precision)
    _no_lone_sample(replicas.net, split.samples, recipe)
    total = recipe.length(split.samples)[1] * (1 if how == "stacked" else len(replicas))
    with deterministic(replicas.device), _bar(total, label, shown=progress and fabric.is_global_zero) as bar:
        job = Job(replicas, split, sets, loss, soft, recipe, dropout_removal, fabric, bar)
        require_fits(job)
        if how == "stacked":
            trained, best = run(prepared(job), Stacked(replicas, own_parameters(job)))
            return _told([job], trained, best, how)
        return _one_by_one(job)


def _one_by_one(job: Job) -> TrainingResult:
    net = copy.deepcopy(job.replicas.net)
    jobs = [_alone(job, r) for r in range(len(job.replicas))]
    parts, epochs = [], []
    for one in jobs:
        trained, best = run(prepared(one), Direct(one.replicas, net, own_parameters(one)))
        parts.append(trained)
        epochs.append(best)
    return _told(jobs, Replicas.join(parts), torch.cat(epochs), "looped")


def _told(jobs: Sequence[Job], trained: Replicas, best: Tensor, how: str) -> TrainingResult:
    told = weights_over_time(jobs), weights_by_sample(jobs)
    return TrainingResult(trained, history(jobs), best.numpy(), how, *told)


def _stacks(replicas: Replicas, x: dict[str, Tensor]) -> bool:
    """Whether a network of yours runs under vmap: tried on two samples, forward and backward."""
    try:
        Stacked(replicas[[0]])(x, True).sum().backward()
    except Exception:  # whatever vmap, or somebody else's code, raises
        return False
    return True


def _alone(job: Job, r: int) -> Job:
    """The job of replica `r` alone."""
    return Job(
        job.replicas[r],
        job.resident.of(r),
        [job.sets[r]] if len(job.sets) > 1 else job.sets,
        job.loss[r],
        None if job.teacher is None else job.teacher.alone(r),
        job.recipe,
        job.dropout,
        job.fabric,
        job.bar,
    )


def _validate(
    replicas: Replicas, sets: Sequence[PairedData], recipe: Recipe, dropout: Removal | None
) -> None:
    for one in sets:
        one.positions("train")
        require(
            "val" in one.splits or (recipe.select == "last" and recipe.patience is None),
            "recipe.select",
            recipe.select,
            f"{one.name} has no validation split",
            "Use select='last' without patience.",
        )
    of_type("dropout_removal", dropout, (Removal, type(None)), "a removal operator", "For example Zeros().")
    require(
        (recipe.modality_dropout > 0) == (dropout is not None),
        "dropout_removal",
        dropout,
        f"recipe.modality_dropout is {recipe.modality_dropout:g}: give both or neither",
    )
    looks = sorted({len(one.splits.get("val", ())) for one in sets})
    require(len(looks) == 1, "data", looks, "every dataset must have as many validation samples")


def _no_lone_sample(net: nn.Module, samples: int, recipe: Recipe) -> None:
    size = recipe.batch_size or samples
    batch_norm = [
        name for name, one in net.named_modules() if isinstance(one, nn.modules.batchnorm._BatchNorm)
    ]
    if batch_norm and (size == 1 or samples % size == 1):
        better = next((s for s in range(max(size, 2), 2 * size + 2) if samples % s != 1), None)
        rule = f"leaves a batch of one sample of {samples}, which {batch_norm[0]!r} cannot normalise"
        raise LabError("recipe.batch_size", size, rule, f"Use batch_size={better}.")


def _validate_loss(loss: Distillation, teacher: object, replicas: int) -> None:
    rule = f"must be one per replica, {replicas}"
    require(loss.replicas in (None, replicas), "loss", f"weights for {loss.replicas}", rule)
    of_type("teacher", teacher, (TeacherOutputs, type(None)), "TeacherOutputs", "See teacher_outputs().")


def _validate_fabric(fabric: Fabric, replicas: Replicas, precision: Precision) -> None:
    rule = f"must be on the device of the replicas, {replicas.device}"
    here, there = ((device.type, device.index or 0) for device in (fabric.device, replicas.device))
    require(here == there, "fabric", fabric.device, rule, "Use replicas.to(fabric.device).")
    found = fabric.strategy.precision.precision
    require(found == precision, "fabric", found, f"must have the recipe's precision, {precision}")
    stuck = obstacles(replicas.net)
    if fabric.world_size > 1 and stuck:
        rule = f"the module {stuck[0]!r} mixes samples or draws numbers, which several processes cannot share"
        raise LabError("fabric", f"{fabric.world_size} processes", rule, "Train it in one process.")


def _bar(total: int, label: str, *, shown: bool) -> tqdm:
    from tqdm.auto import tqdm

    return tqdm(total=total, desc=label or None, unit="step", leave=False, disable=not watched(shown))
