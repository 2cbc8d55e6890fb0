"""One question of several: data of many labels, or of amounts, as data with one label a sample."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from mmkd_lab.core.check import LabError, of_type, one_of
from mmkd_lab.data.paired import PairedData
from mmkd_lab.data.task import Task


def one_label(data: PairedData, label: str | None = None) -> PairedData:
    """The same samples asked one question: whether they have a label, or an amount above the usual.

    What is defined for one label a sample (shares, agreement, forecasts) can so be had of multi-label sets,
    label by label, and of regressions. Data of single labels come back as they are.

    Args:
        data: multi-label: the classes are 'not X' and 'X', X being had from a half on. Regression: 'low' and
            'high', cut at the median of the training samples.
        label: one of `data.classes`; None for the label that is nearest to being had by half of the training
            samples, or the first output.

    Raises `LabError` for an unknown label, dense data, or a label that all training samples have or lack.
    """
    of_type("data", data, PairedData, "a PairedData")
    if data.task is Task.SINGLE_LABEL:
        return data
    if data.task is Task.DENSE:
        way_out = "Scenes are read by failure_cases, repair_teachers and kd_vs_msd."
        raise LabError("data", data.task.value, "must have labels of whole samples", way_out)
    if label is not None:
        one_of("label", label, data.classes)
    train = data.positions("train")
    answers = _amounts(data, train) if data.task is Task.REGRESSION else data.target >= 0.5
    told = answers[train].double().mean(0)
    which = 0 if data.task is Task.REGRESSION else int((told - 0.5).abs().argmin())
    which = which if label is None else data.classes.index(label)
    named = data.classes[which]
    if not 0 < float(told[which]) < 1:
        raise LabError("label", named, "must be had by some training samples and not by others")
    ends = ("low", "high") if data.task is Task.REGRESSION else ("not", "")
    classes = tuple(f"{end} {named}".strip() for end in ends)
    asked = f"asked of one label alone: {classes[1]}"
    notes = (*data.recipe.get("notes", ()), asked)  # type: ignore[misc]
    target, recipe = answers[:, which].long(), {**data.recipe, "notes": notes}
    return replace(
        data,
        name=f"{data.name}: {named}",
        target=target,
        classes=classes,
        task=Task.SINGLE_LABEL,
        recipe=recipe,
        metrics=(),  # those of another task
    )


def _amounts(data: PairedData, train: Tensor) -> Tensor:
    """(N, D) whether each amount lies above its median in training."""
    values = data.target.double().reshape(len(data), -1)
    return values > torch.quantile(values[train], 0.5, dim=0)
