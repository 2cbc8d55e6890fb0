"""Which arms a comparison of KD and MSD cannot have, found before anything is trained."""

from __future__ import annotations

import torch

from mmkd_lab.core.check import LabError
from mmkd_lab.data.paired import PairedData, Task
from mmkd_lab.models import NetSpec, build
from mmkd_lab.training import strategy
from mmkd_lab.training.pruning.units import groups_of, parameter_count
from mmkd_lab.training.recipe import Recipe


def cannot_be_had(
    data: PairedData, student: NetSpec, teacher: NetSpec, *, recipe: Recipe, removal: str
) -> dict[str, str]:
    """{arm: why}, of those that would fail once the teachers are trained.

    Args:
        data: the samples.
        student, teacher: the architectures.
        recipe: the students'.
        removal: the name of the operator.
    """
    drops, precision = recipe.modality_dropout > 0, recipe.precision
    found = {
        "dkd": "DKD is for a single label" if data.task is Task.MULTI_LABEL else "",
        "multi_teacher": _alone(data, teacher),
        "pruned": _pruned(data, student, teacher),
    }
    if removal == "permutation":
        found["kd_drop"] = "a permutation removes whole modalities, not sample by sample"
    elif drops:
        found["kd_drop"] = "the recipe has modality dropout already, which every arm gets"
    if drops:
        found["pruned"] = "its search sees whole samples, and the recipe has modality dropout"
    if precision == "16-mixed":
        found["pruned"] = f"its search compares gradients, which precision {precision!r} scales"
    for arm in ("msd_global", "msd_learned"):
        found[arm] = _learned(data, student, precision)
    return {arm: why for arm, why in found.items() if why}


def _learned(data: PairedData, student: NetSpec, precision: str) -> str:
    if precision == "16-mixed":
        return f"learned weights compare gradients, which precision {precision!r} scales"
    if strategy.obstacles(build(student, data.shapes, data.num_classes, seed=0)):
        return "learned weights need a student without dropout and batch statistics"
    return ""


def _alone(data: PairedData, teacher: NetSpec) -> str:
    """Every modality needs a teacher of its own."""
    for name in data.modalities:
        try:
            build(teacher.on(name), data.shapes, data.num_classes, seed=0)
        except LabError as error:
            return f"there can be no teacher of {name} alone: {error.argument} {error.rule}"
    return ""


def _pruned(data: PairedData, student: NetSpec, teacher: NetSpec) -> str:
    small, large = (build(spec, data.shapes, data.num_classes, seed=0) for spec in (student, teacher))
    target = sum(value.numel() for value in small.parameters())
    try:
        groups = groups_of(large)
    except LabError as error:
        return f"this teacher cannot be pruned: {error.rule}"
    shapes = {name: tuple(value.shape) for name, value in large.named_parameters()}
    whole = sum(torch.Size(shape).numel() for shape in shapes.values())
    least = parameter_count(shapes, groups, {group.name: 1 for group in groups})
    if groups and least <= target < whole:
        return ""
    return f"the student's {target:,} parameters are not between {least:,}, one unit a layer, and {whole:,}"
