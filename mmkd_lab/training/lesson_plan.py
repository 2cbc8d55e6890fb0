"""What a distillation asks of a fit before its first step, and what it leaves afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mmkd_lab.core.check import listing, require
from mmkd_lab.distill.distillation import Distillation
from mmkd_lab.models.removal import Permutation, modality_names
from mmkd_lab.training.learner import WeightLearner
from mmkd_lab.training.lessons import Lessons
from mmkd_lab.training.stacking import obstacles

if TYPE_CHECKING:
    import pandas as pd

    from mmkd_lab.training.loop import Job


def prepared(job: Job) -> Job:
    """The job with what belongs to one run alone: its own streams and, where wanted, a learner."""
    loss = job.loss.to(job.replicas.device)
    if isinstance(loss.removal, Permutation):
        # A stream that begins here: nobody who is trained before or beside it moves it on.
        loss = replace(loss, removal=Permutation(seed=loss.removal.seed))
    job.loss = loss
    if loss.learned is not None:
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
    needs = job.loss.needs
    if not needs.student_layers or job.teacher is None:
        return {}
    student = job.replicas.feature_lengths(job.sets[0], needs.student_layers)
    teacher = {layer: int(values.shape[-1]) for layer, values in job.teacher.outputs.features.items()}
    made = job.loss.parameters(student, teacher, seeds=job.replicas.seeds)
    return {name: value.to(job.replicas.device, job.replicas.dtype) for name, value in made.items()}


def require_fits(job: Job) -> None:
    """Raise `LabError` unless the teacher said, and the students can say, what the loss compares."""
    loss, task = job.loss, job.resident.task
    known = job.teacher is not None or not loss.needs_teacher
    rule = "must be given, since the loss compares with it"
    require(known, "teacher", None, rule, "See training.teacher_outputs().")
    rule = f"must be that of {job.sets[0].name}, {task.value}"
    require(loss.task in (None, task), "loss.task", loss.task and loss.task.value, rule)
    for _, method in loss.terms:
        require(task in method.tasks, "loss", method.name, f"is not for a {task.value} task")
    if job.teacher is not None:
        _teacher_knows(job.teacher, loss)
    names = modality_names(job.resident.x)
    for view in loss.needs.views:
        kept = len(view) == 0 or any(name in names for name in view)
        rule = f"must keep a modality that the student reads: {listing(names)}"
        way_out = "A student of one modality has no other views; compare full outputs, with KD."
        require(kept, "views", view.label, rule, "Leave it out." if len(names) > 1 else way_out)
    if loss.learned is not None:
        _can_learn(job)


def _teacher_knows(teacher: Lessons, loss: Distillation) -> None:
    said, needs = teacher.outputs, loss.needs
    if needs.views and loss.removal is not None:
        rule = f"must be the one behind the teacher's views, {teacher.removal}"
        same, way_out = teacher.removal == loss.removal.name, "Ask the teacher with the student's operator."
        require(same, "removal", loss.removal.name, rule, way_out)
    at_head = needs.views if needs.view_features else ()
    wanted = (
        ("view", said.views, needs.views),
        ("layer", said.features, needs.teacher_layers),
        ("features under", said.view_features, at_head),
    )
    for what, known, asked in wanted:
        for one in asked:
            label, at_hand = getattr(one, "label", one), [getattr(name, "label", name) for name in known]
            rule = f"must know the {what} {label!r}"
            require(one in known, "teacher", at_hand, rule, "Ask it: training.teacher_outputs().")


def _can_learn(job: Job) -> None:
    learned, stuck = job.loss.learned, obstacles(job.replicas.net)
    alone = job.fabric.world_size == 1
    require(alone, "learned", learned, "needs one process, and there are several")
    rule = "scales gradients, which learned weights compare"
    precision = job.recipe.precision
    require(precision != "16-mixed", "recipe.precision", precision, rule, "Use bf16-mixed.")
    rule = "needs networks without dropout and batch statistics, which looking ahead would disturb"
    way_out = "Use LayerNorm or GroupNorm, or weights that are not learned."
    require(not stuck, "learned", stuck, rule, way_out)


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
