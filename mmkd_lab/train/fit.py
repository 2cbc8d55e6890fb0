"""Train one network or many replicas: `fit` and what it gives."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from mmkd_lab.base.check import LabError, require
from mmkd_lab.base.progress import watched
from mmkd_lab.data.paired import PairedData
from mmkd_lab.nets.removal import Removal
from mmkd_lab.train import strategy
from mmkd_lab.train.device import deterministic
from mmkd_lab.train.engine import Direct, Stacked
from mmkd_lab.train.fabric import make_fabric
from mmkd_lab.train.inputs import Resident
from mmkd_lab.train.loop import Job, run
from mmkd_lab.train.protocols import ObjectiveLike, TeacherLike
from mmkd_lab.train.recipe import Recipe
from mmkd_lab.train.replicas import Replicas

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    from tqdm import tqdm


@dataclass(frozen=True, eq=False)
class Fit:
    """What training gives.

    Attributes:
        replicas: the networks with the selected weights.
        history: tidy, one row per replica, epoch, split and metric: replica, seed, epoch, split, metric,
            value. On 'train' the objective's own terms, meaned over the epoch; on 'val' the task's metrics.
        best_epoch: (R,), the epoch (from 1) whose weights were selected.
        mode: 'stacked', 'looped' or 'compiled', as it was run.
    """

    replicas: Replicas
    history: pd.DataFrame
    best_epoch: npt.NDArray[np.int64]
    mode: str

    def __repr__(self) -> str:
        return f"{self.replicas!r}; {self.mode}, best epochs {self.best_epoch.tolist()}"


def fit(
    replicas: Replicas,
    data: PairedData | Sequence[PairedData],
    objective: ObjectiveLike,
    recipe: Recipe,
    *,
    teacher: TeacherLike | None = None,
    mode: str = "auto",
    dropout_removal: Removal | None = None,
    progress: bool = True,
    label: str = "",
) -> Fit:
    """Train replicas on the training split; the validation split selects; the test split is never read.

    A replica's result depends on its own seed, data, teacher and objective, not on who is trained beside it:
    its order of samples and its modality dropout come from streams of its own. (With '16-mixed' the loss
    scale is shared, so that one replica's overflow makes all skip a step.)

    Args:
        replicas: R networks; they are left as they are, the trained ones are in the result.
        data: one dataset for all, or one per replica, of equal shapes and split sizes.
        objective: see `ObjectiveLike`; for instance `distill.Objective`.
        recipe: the hyper-parameters.
        teacher: logits of one teacher for all replicas or of R teachers, by sample index.
        mode: 'stacked' (all replicas in one call), 'looped' (one after another), 'compiled' (looped through
            torch.compile), or 'auto' (the recorded measurement for this architecture and device).
        dropout_removal: how `recipe.modality_dropout` removes; an operator of `nets.removal`.
        progress: show a progress bar.
        label: what the bar is called.

    Raises:
        LabError: a split that is missing, numbers of replicas that differ, a teacher that has not seen a
            training sample, an architecture that cannot run in this mode, or a loss that is no longer finite.
    """
    sets = [data] if isinstance(data, PairedData) else list(data)
    how = strategy.choose(replicas.net, replicas.device, mode)
    _validate(replicas, sets, recipe, dropout_removal, how)
    resident = Resident(sets, replicas.modalities, device=replicas.device)
    soft = None if teacher is None else _teacher_rows(teacher, resident, len(replicas))
    fabric = make_fabric(replicas.device, recipe.precision)
    total = recipe.length(resident.samples)[1] * (1 if how == "stacked" else len(replicas))
    with deterministic(replicas.device), _bar(total, label, shown=progress) as bar:
        job = Job(replicas, resident, sets, objective, soft, recipe, dropout_removal, fabric, bar)
        if how == "stacked":
            trained, best = run(job, Stacked(replicas))
            return Fit(trained, _history([job]), best.numpy(), how)
        return _one_by_one(job, how)


def _one_by_one(job: Job, how: str) -> Fit:
    net = copy.deepcopy(job.replicas.net).requires_grad_(True)
    runner = _compiled(net) if how == "compiled" else net
    jobs = [_alone(job, r) for r in range(len(job.replicas))]
    parts, epochs = [], []
    for one in jobs:
        trained, best = run(one, Direct(one.replicas, runner))
        parts.append(trained)
        epochs.append(best)
    return Fit(Replicas.join(parts), _history(jobs), torch.cat(epochs).numpy(), how)


def _compiled(net: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        # torch's own compiler uses what torch itself has deprecated.
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="torch")
        return cast(nn.Module, torch.compile(net))


def _alone(job: Job, r: int) -> Job:
    """The job of replica `r` alone."""
    teacher = job.teacher
    return Job(
        job.replicas[r],
        job.resident.of(r),
        [job.sets[r]] if len(job.sets) > 1 else job.sets,
        job.objective[r] if hasattr(job.objective, "__getitem__") else job.objective,
        teacher if teacher is None or len(teacher) == 1 else teacher[r : r + 1],
        job.recipe,
        job.dropout,
        job.fabric,
        job.bar,
    )


def _teacher_rows(teacher: TeacherLike, resident: Resident, replicas: int) -> Tensor:
    soft = teacher.rows(resident.sample_index).detach()
    require(
        len(soft) in (1, replicas),
        "teacher",
        f"{len(soft)} teachers",
        f"must be 1 for all, or {replicas}, one per replica",
    )
    return soft.to(resident.target.device)


def _validate(
    replicas: Replicas, sets: Sequence[PairedData], recipe: Recipe, dropout: Removal | None, how: str
) -> None:
    require(
        len(sets) in (1, len(replicas)),
        "data",
        f"{len(sets)} datasets",
        f"must be 1 for all, or {len(replicas)}, one per replica",
    )
    for one in sets:
        one.positions("train")
        require(
            "val" in one.splits or (recipe.select == "last" and recipe.patience is None),
            "recipe.select",
            recipe.select,
            f"{one.name} has no validation split",
            "Use select='last' without patience.",
        )
    require(
        (recipe.modality_dropout > 0) == (dropout is not None),
        "dropout_removal",
        dropout,
        f"recipe.modality_dropout is {recipe.modality_dropout:g}: give both or neither",
    )
    stuck = strategy.obstacles(replicas.net)
    if how == "stacked" and stuck:
        raise LabError("mode", how, f"the module {stuck[0]!r} cannot be stacked", "Use mode='looped'.")


def _bar(total: int, label: str, *, shown: bool) -> tqdm:
    from tqdm.auto import tqdm

    return tqdm(total=total, desc=label or None, unit="step", leave=False, disable=not watched(shown))


def _history(jobs: Sequence[Job]) -> pd.DataFrame:
    import pandas as pd

    table, first = [], 0
    for job in jobs:
        for row in job.rows:
            for r, (value, alive) in enumerate(zip(row.value.tolist(), row.alive.tolist(), strict=True)):
                if alive:
                    table.append((first + r, job.replicas.seeds[r], row.epoch, row.split, row.metric, value))
        first += len(job.replicas)
    return pd.DataFrame(table, columns=["replica", "seed", "epoch", "split", "metric", "value"])
