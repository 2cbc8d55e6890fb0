"""Which arms an experiment cannot have, found before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from mmkd_lab.core.check import LabError
from mmkd_lab.data.paired import PairedData, Task
from mmkd_lab.distill import ARMS, HEAD, Arm, Distillation
from mmkd_lab.experiments.config import Config
from mmkd_lab.training.job import not_live
from mmkd_lab.training.pruning import prunable_range
from mmkd_lab.training.recipe import Recipe
from mmkd_lab.training.replicas import Replicas
from mmkd_lab.training.sources import Source
from mmkd_lab.training.stacking import obstacles


def cannot_be_had(
    names: Sequence[str],
    losses: Mapping[str, Distillation],
    *,
    data: PairedData,
    student: Source,
    teachers: Mapping[str, Source],
    recipe: Recipe,
    config: Config,
) -> dict[str, str]:
    """{arm: why} of those among `names` that would fail once the teachers are trained.

    Args:
        names: registered arms.
        losses: their bound losses.
        data: the samples.
        student, teachers: where networks come from.
        recipe: the students'.
        config: the experiment's.
    """
    small = student.replicas([0], device=torch.device("cpu"), recipe=recipe)
    found = {}
    for name in names:
        arm, loss = ARMS[name], losses[name]
        found[name] = (
            _task(arm, loss, data.task)
            or _drop(arm, recipe, config.removal)
            or _live(arm, loss, config)
            or _teacher(arm, loss, teachers, data)
            or _learned(loss, small, recipe, data.task)
            or _pruned(arm, small, teachers, recipe, data.task)
            or _layers(loss, small)
        )
    return {name: why for name, why in found.items() if why}


def _task(arm: Arm, loss: Distillation, task: Task) -> str:
    if arm.tasks is not None and task not in arm.tasks:
        return f"it is not for a {task.value} task"
    for _, method in loss.terms:
        if task not in method.tasks:
            return f"its method {method.name!r} is not for a {task.value} task"
    return ""


def _live(arm: Arm, loss: Distillation, config: Config) -> str:
    if config.teacher_sees == "clean" or not loss.needs_teacher or arm.teacher is None:
        return ""
    if arm.teacher.training != "alone" or arm.teacher.beside == "each":
        return "its teacher is edited, or one of several, and cannot be asked in every step"
    return not_live(loss)


def _drop(arm: Arm, recipe: Recipe, removal: str) -> str:
    if not arm.drop:
        return ""
    if removal == "permutation":
        return "a permutation removes whole modalities, not sample by sample"
    return "the recipe has modality dropout already, which every arm gets" if recipe.modality_dropout else ""


def _teacher(arm: Arm, loss: Distillation, teachers: Mapping[str, Source], data: PairedData) -> str:
    kind = arm.teacher
    if kind is None or kind.sees not in teachers:
        return ""
    source = teachers[kind.sees]
    if kind.training != "alone" and not source.trains:
        return "its teacher is trained jointly with a student, and this one comes as it is"
    if kind.beside == "each":
        return _each(source, data)
    if source.kind != "table":
        return ""
    said = source.outputs
    lacks = [view.label for view in loss.needs.views if view not in said.views]
    lacks += [layer for layer in loss.needs.teacher_layers if layer not in said.features]
    lacks += ["features under views"] if loss.needs.view_features and not said.view_features else []
    if lacks:
        return f"the table of its teacher's outputs lacks {', '.join(lacks)}"
    whole = [one.name for _, one in loss.terms if one.needs.teacher and not one.by_sample and said.partial]
    return f"its teacher has not answered for every sample, as {whole[0]!r} needs" if whole else ""


def _each(source: Source, data: PairedData) -> str:
    """Every modality needs a teacher of its own."""
    if source.spec is None:
        return "a teacher of each modality can be made of a NetSpec alone"
    for name in data.modalities:
        try:
            source.of(name)
        except LabError as error:
            return f"there can be no teacher of {name} alone: {error.argument} {error.rule}"
    return ""


def _learned(loss: Distillation, small: Replicas, recipe: Recipe, task: Task) -> str:
    if loss.learned is None:
        return ""
    if task is Task.REGRESSION and loss.learned.level == "instance":
        return "its weights are learned from probabilities of classes, which a regression has not"
    if recipe.precision == "16-mixed":
        return f"learned weights compare gradients, which precision {recipe.precision!r} scales"
    if obstacles(small.net):
        return "learned weights need a student without dropout and batch statistics"
    return ""


def _pruned(arm: Arm, small: Replicas, teachers: Mapping[str, Source], recipe: Recipe, task: Task) -> str:
    if arm.start != "pruned" or "all" not in teachers:
        return ""
    if task is Task.REGRESSION:
        return "its search goes by the cross-entropy of classes"
    if recipe.modality_dropout:
        return "its search sees whole samples, and the recipe has modality dropout"
    if recipe.precision == "16-mixed":
        return f"its search compares gradients, which precision {recipe.precision!r} scales"
    if not teachers["all"].trains:
        return "its teacher comes as it is, and pruning trains it on"
    large = teachers["all"].replicas([0], device=torch.device("cpu"), recipe=recipe)
    try:
        least, whole = prunable_range(large.net)
    except LabError as error:
        return f"this teacher cannot be pruned: {error.rule}"
    if least <= small.size < whole:
        return ""
    return (
        f"the student's {small.size:,} parameters are not between {least:,}, one unit a layer, and {whole:,}"
    )


def _layers(loss: Distillation, small: Replicas) -> str:
    known = small.layer_names
    lacks = [name for name in loss.needs.student_layers if name != HEAD and name not in known]
    if lacks:
        return f"the student has no layer {lacks[0]!r}"
    no_head = HEAD in loss.needs.student_layers and not small.has_features
    return "the student does not say what its head reads" if no_head else ""
