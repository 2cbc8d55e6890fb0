"""Train one network or many replicas: `fit` and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from mmkd_lab.core.check import LabError, of_type, require
from mmkd_lab.core.progress import watched
from mmkd_lab.data.paired import PairedData
from mmkd_lab.distill.distillation import Distillation
from mmkd_lab.distill.method import Method, Needs, Outputs
from mmkd_lab.distill.teacher_outputs import TeacherOutputs
from mmkd_lab.models.layers import Wrapper
from mmkd_lab.models.removal import Removal, Zeros
from mmkd_lab.training.device import deterministic, keep_memory, make_fabric
from mmkd_lab.training.engine import Engine
from mmkd_lab.training.inputs import datasets
from mmkd_lab.training.job import Fitting
from mmkd_lab.training.lessons import Lessons, Live
from mmkd_lab.training.loop import run
from mmkd_lab.training.reading import Augment
from mmkd_lab.training.recipe import Recipe, dtype_of, resolve_precision
from mmkd_lab.training.replicas import Replicas
from mmkd_lab.training.stacking import Mode, choose, obstacles
from mmkd_lab.training.streamed import split_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    from lightning_fabric import Fabric

#: Logits (R, B, K), target (R, B), the teacher's logits or None -> {'loss': (R,), term: (R,), ...}.
LossFunction = Callable[[Tensor, Tensor, Tensor | None], dict[str, Tensor]]


@dataclass(frozen=True)
class OwnLoss(Method):
    """A loss that is a function of logits, target and, where there is one, the teacher's logits."""

    name: ClassVar[str] = "loss"

    function: LossFunction

    @property
    def needs(self) -> Needs:
        """A teacher may be there, and need not."""
        return Needs(teacher=False)

    def __call__(
        self, student: Outputs, target: Tensor, teacher: Outputs | None, parameters: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """What the function gives."""
        return self.function(student.logits, target, None if teacher is None else teacher.logits)


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
    teacher: TeacherOutputs | Replicas | None = None,
    augment: Augment | None = None,
    mode: Mode = "auto",
    dropout_removal: Removal | None = None,
    absent: Removal | None = None,
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
        teacher: what one teacher for all replicas, or R teachers, say by sample index; or themselves, to be
            asked in every step about the sample as the student sees it.
        augment: what the students see of each training sample instead, see `training.Augment`.
        mode: 'stacked' (all replicas in one call), 'looped' (one after another), or 'auto': stacked on CUDA
            where the network allows, else looped.
        dropout_removal: how `recipe.modality_dropout` removes; an operator of `models.removal`.
        absent: how modalities go that a sample lacks (`PairedData.present`), in training and validation: an
            operator; None for `dropout_removal`, that of the loss, or zeros. A sample of which the networks
            see nothing is not trained on.
        fabric: a Lightning Fabric you have launched on several devices: each process then takes its share of
            every batch and gradients are averaged, which gives what one process would. Its precision is the
            run's where the recipe says 'auto'. One device otherwise.
        progress, label: show a progress bar of this name.

    Raises:
        LabError: a split that is missing, numbers of replicas that differ, a teacher that has not seen a
            training sample, a network that cannot run in this mode or on a batch of one sample, or a loss
            that is no longer finite.
    """
    from tqdm.auto import tqdm

    of_type("replicas", replicas, Replicas, "Replicas", "See Replicas.build and Replicas.of.")
    of_type("recipe", recipe, Recipe, "a Recipe")
    said, see = "TeacherOutputs or Replicas", "See teacher_outputs()."
    of_type("teacher", teacher, (TeacherOutputs, Replicas, type(None)), said, see)
    of_type("augment", augment, (Augment, type(None)), "a training.Augment")
    sets, count = datasets(data, len(replicas)), len(replicas)
    precision = resolve_precision(recipe, replicas.size, replicas.device)
    if fabric is not None and recipe.precision == "auto":
        precision = fabric.strategy.precision.precision
    replicas = replicas.to(dtype=dtype_of(precision)).meaning(sets[0].classes)
    how = choose(replicas.net, replicas.device, mode)
    _require_splits(sets, recipe, dropout_removal)
    if not isinstance(loss, Distillation):
        rule = "must be a Distillation, or a function"
        require(callable(loss), "loss", loss, rule, "See distill.labels_only().")
        some = isinstance(teacher, TeacherOutputs) and teacher.partial
        require(not some, "loss", loss, "cannot tell samples without an answer", "Use a Distillation.")
        loss = Distillation(((1.0, OwnLoss(loss)),))
    fits = loss.replicas in (None, count)
    require(fits, "loss", f"weights for {loss.replicas}", f"must be one per replica, {count}")
    x = replicas.prepare(sets[0], again=True)
    if how == "stacked" and mode == "auto" and isinstance(replicas.net, Wrapper) and not _stacks(replicas, x):
        how = "looped"
    taught = teacher if isinstance(teacher, Replicas) else None
    also = () if taught is None else taught.modalities or tuple(sets[0].modalities)
    also = (*also, *((augment.modalities or ()) if augment else ()))
    split = split_of(sets, replicas, also=also, augment=augment, recipe=recipe)
    soft: Lessons | Live | None = None
    if taught is not None:
        soft = Live.of(taught, sets[0], replicas, loss.needs.teacher_layers)
    elif isinstance(teacher, TeacherOutputs):
        soft = Lessons.of(teacher, sets, split, count)
    keep_memory()
    fabric = make_fabric(replicas.device, precision) if fabric is None else fabric
    _require_fabric(fabric, replicas, precision)
    weighted = split.counts is not None or (loss.labels is not None and loss.labels.class_weights is not None)
    rule = "cannot share a batch whose mean is weighted"
    require(fabric.world_size == 1 or not weighted, "fabric", fabric.world_size, rule, "Use one process.")
    _no_lone_sample(replicas.net, split.samples, recipe)
    total = recipe.length(split.samples)[1] * (1 if how == "stacked" else count)
    hidden = not watched(progress and fabric.is_global_zero)
    with (
        deterministic(replicas.device),
        tqdm(total=total, desc=label or None, unit="step", leave=False, disable=hidden) as bar,
    ):
        gone = absent or dropout_removal or loss.removal or Zeros()
        job = Fitting(replicas, split, sets, loss, soft, recipe, dropout_removal, fabric, bar, gone)
        job.require_fits()
        jobs = [job] if how == "stacked" else [job.alone(r) for r in range(count)]
        trained, best = zip(*(run(one, stacked=how == "stacked") for one in jobs), strict=True)
    return _told(jobs, Replicas.join(trained), torch.cat(best), how)


def _told(jobs: Sequence[Fitting], trained: Replicas, best: Tensor, how: str) -> TrainingResult:
    import pandas as pd

    mine = [(job, r) for job in jobs for r in range(len(job.replicas))]
    each = [(n, trained.seeds[n], job, r) for n, (job, r) in enumerate(mine)]
    history = [
        (n, seed, row.epoch, row.split, row.metric, row.value[r])
        for n, seed, job, r in each
        for row in job.rows
        if row.alive[r]
    ]
    columns = ["replica", "seed", "epoch", "split", "metric", "value"]
    found = TrainingResult(trained, pd.DataFrame(history, columns=columns), best.numpy(), how)
    if jobs[0].learner is None:
        return found
    over_time, by_sample = [], []
    for n, seed, job, r in each:
        assert job.learner is not None
        for look in job.learner.looks:
            named = zip(job.learner.views, look.weights[r].tolist(), strict=True)
            over_time += [(n, seed, look.step, view.label, value) for view, value in named]
    for job in jobs:
        assert job.learner is not None
        assert isinstance(job.teacher, Lessons)
        replicas, target = len(job.replicas), job.resident.target
        own = target if job.resident.each else target.expand(replicas, *target.shape)
        by_sample.append(job.learner.final_weights(job.teacher.whole(replicas), own))
    weights = pd.DataFrame(over_time, columns=["replica", "seed", "step", "view", "value"])
    return TrainingResult(trained, found.history, found.best_epoch, how, weights, torch.cat(by_sample))


def _stacks(replicas: Replicas, x: dict[str, Tensor]) -> bool:
    """Whether a network of yours runs under vmap: tried on two samples, forward and backward."""
    try:
        torch.autograd.backward(Engine(replicas[0], stacked=True)(x, True).sum())
    except Exception:  # whatever vmap, or somebody else's code, raises
        return False
    return True


def _require_splits(sets: Sequence[PairedData], recipe: Recipe, dropout: Removal | None) -> None:
    for one in sets:
        selects = recipe.select == "best_val" or recipe.patience is not None
        rule, way_out = f"{one.name} has no validation split", "Use select='last' without patience."
        require("val" in one.splits or not selects, "recipe.select", recipe.select, rule, way_out)
    of_type("dropout_removal", dropout, (Removal, type(None)), "a removal operator", "For example Zeros().")
    both = (recipe.modality_dropout > 0) == (dropout is not None)
    rule = f"recipe.modality_dropout is {recipe.modality_dropout:g}: give both or neither"
    require(both, "dropout_removal", dropout, rule)
    looks = sorted({len(one.splits.get("val", ())) for one in sets})
    require(len(looks) == 1, "data", looks, "every dataset must have as many validation samples")


def _no_lone_sample(net: nn.Module, samples: int, recipe: Recipe) -> None:
    size, norm = recipe.batch_size or samples, nn.modules.batchnorm._BatchNorm
    stuck = [name for name, one in net.named_modules() if isinstance(one, norm)]
    if stuck and (size == 1 or samples % size == 1):
        better = next((s for s in range(max(size, 2), 2 * size + 2) if samples % s != 1), None)
        rule = f"leaves a batch of one sample of {samples}, which {stuck[0]!r} cannot normalise"
        raise LabError("recipe.batch_size", size, rule, f"Use batch_size={better}.")


def _require_fabric(fabric: Fabric, replicas: Replicas, precision: str) -> None:
    rule = f"must be on the device of the replicas, {replicas.device}"
    here, there = ((device.type, device.index or 0) for device in (fabric.device, replicas.device))
    require(here == there, "fabric", fabric.device, rule, "Use replicas.to(fabric.device).")
    found = fabric.strategy.precision.precision
    require(found == precision, "fabric", found, f"must have the recipe's precision, {precision}")
    stuck = obstacles(replicas.net)
    rule = f"the module {stuck[0] if stuck else ''!r} mixes samples or draws, which processes cannot share"
    alone, processes = fabric.world_size == 1, f"{fabric.world_size} processes"
    require(alone or not stuck, "fabric", processes, rule, "Train it in one process.")
