"""What a distillation asks of a fit before its first step, and what it leaves afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mmkd_lab.core.check import LabError, listing, require
from mmkd_lab.distill.distillation import Distillation
from mmkd_lab.models.layers import HEAD
from mmkd_lab.models.removal import Permutation, modality_names
from mmkd_lab.training.learner import WeightLearner
from mmkd_lab.training.stacking import obstacles

if TYPE_CHECKING:
    import pandas as pd

    from mmkd_lab.training.loop import Job


def prepared(job: Job) -> Job:
    """The job with what belongs to one run alone: its own streams and, where wanted, a learner."""
    loss = job.objective
    if isinstance(loss, Distillation):
        loss = job.objective = loss.to(job.replicas.device)
    if isinstance(loss, Distillation) and isinstance(loss.removal, Permutation):
        # A stream that begins here: nobody who is trained before or beside it moves it on.
        loss = job.objective = replace(loss, removal=Permutation(seed=loss.removal.seed))
    if isinstance(loss, Distillation) and loss.learned is not None:
        job.learner = WeightLearner(
            loss,
            job.sets,
            seeds=job.replicas.seeds,
            modalities=job.replicas.modalities,
            device=job.replicas.device,
            dtype=job.replicas.dtype,
            autocast=job.fabric.autocast,
        )
    return job


def own_parameters(job: Job) -> dict[str, Tensor]:
    """The parameters of the methods, {name: (R, ...)}, on the replicas' device."""
    loss = job.objective
    if not isinstance(loss, Distillation) or not loss.methods or not loss.needs.features:
        return {}
    assert job.teacher is not None
    assert job.teacher.outputs.features is not None
    student = job.replicas.feature_lengths(job.sets[0])[HEAD]
    teacher = int(job.teacher.outputs.features.shape[-1])
    made = loss.parameters(student, teacher, seeds=job.replicas.seeds)
    return {name: value.to(job.replicas.device, job.replicas.dtype) for name, value in made.items()}


def require_fits(job: Job) -> None:
    """Raise `LabError` unless the teacher said, and the students can say, what the loss compares."""
    loss = job.objective
    if not isinstance(loss, Distillation):
        return
    if loss.needs_teacher and job.teacher is None:
        raise LabError("teacher", None, "must be given, since the loss compares with it", "See TeacherViews.")
    task, rule = job.resident.task, f"must be that of {job.sets[0].name}, {job.resident.task.value}"
    require(loss.base.task is task, "objective.task", loss.base.task.value, rule)
    if job.teacher is not None:
        _teacher_knows(job, loss)
    names = modality_names(job.resident.x)
    for view in loss.needs.views:
        kept = [name for name in view if name in names]
        require(
            bool(kept) or len(view) == 0,
            "views",
            view.label,
            f"must keep a modality that the student reads: {listing(names)}",
            "Leave this view out."
            if len(names) > 1
            else "A student of one modality has no other views; compare full outputs with Objective.",
        )
    if loss.learned is not None:
        require(
            job.fabric.world_size == 1, "learned", loss.learned, "needs one process, and there are several"
        )
        require(
            job.recipe.precision != "16-mixed",
            "recipe.precision",
            job.recipe.precision,
            "scales gradients, which learned weights compare",
            "Use bf16-mixed.",
        )
        stuck = obstacles(job.replicas.net)
        require(
            not stuck,
            "learned",
            stuck,
            "needs networks without dropout and batch statistics, which looking ahead would disturb",
            "Use LayerNorm or GroupNorm, or weights that are not learned.",
        )


def _teacher_knows(job: Job, loss: Distillation) -> None:
    assert job.teacher is not None
    said, classes, needs = job.teacher.outputs, job.resident.classes, loss.needs
    require(
        said.logits.shape[2] == classes,
        "teacher",
        f"{said.logits.shape[2]} classes",
        f"must have the {classes} classes of {job.sets[0].name}",
        "Train the teacher on the classes the student has.",
    )
    if needs.views and loss.removal is not None and job.teacher.removal is not None:
        require(
            job.teacher.removal == loss.removal.name,
            "removal",
            loss.removal.name,
            f"must be the one behind the teacher's views, {job.teacher.removal}",
            "Cache the teacher's views with the student's operator.",
        )
    for view in needs.views:
        known = [one.label for one in said.views]
        if view not in said.views:
            raise LabError(
                "teacher", known, f"must know the view {view.label!r}", "Cache it: train.cache_views()."
            )
    lacks = needs.features and said.features is None
    lacks = lacks or (needs.view_features and not said.view_features)
    require(
        not lacks, "teacher", "no features", "must hold features", "Cache them: cache_views(features=True)."
    )


def history(jobs: Sequence[Job]) -> pd.DataFrame:
    """See `TrainingResult.history`."""
    import pandas as pd

    table, first = [], 0
    for job in jobs:
        for row in job.rows:
            for r, (value, alive) in enumerate(zip(row.value.tolist(), row.alive.tolist(), strict=True)):
                if alive:
                    table.append((first + r, job.replicas.seeds[r], row.epoch, row.split, row.metric, value))
        first += len(job.replicas)
    return pd.DataFrame(table, columns=["replica", "seed", "epoch", "split", "metric", "value"])


def weights_over_time(jobs: Sequence[Job]) -> pd.DataFrame | None:
    """See `TrainingResult.weights`."""
    import pandas as pd

    table, first = [], 0
    for job in jobs:
        if job.learner is not None:
            labels = [view.label for view in job.learner.views]
            table += [
                (first + r, seed, look.step, label, float(look.weights[r, v]))
                for look in job.learner.looks
                for r, seed in enumerate(job.replicas.seeds)
                for v, label in enumerate(labels)
            ]
        first += len(job.replicas)
    columns = ["replica", "seed", "step", "view", "value"]
    return pd.DataFrame(table, columns=columns) if table else None


def weights_by_sample(jobs: Sequence[Job]) -> Tensor | None:
    """See `TrainingResult.weights_by_sample`."""
    parts = []
    for job in jobs:
        if job.learner is not None and job.teacher is not None:
            replicas, target = len(job.replicas), job.resident.target
            own = target if job.resident.each else target.expand(replicas, *target.shape)
            parts.append(job.learner.final_weights(job.teacher.whole(replicas), own))
    return torch.cat(parts) if parts else None
