"""Whether what a teacher says about single modalities is worth mimicking: to be looked at before distilling.

A teacher trained on complete inputs alone has never seen a masked one; what it then says may be noise.
"""

from __future__ import annotations

import warnings
from math import nan
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mmkd_lab.core.check import require
from mmkd_lab.data.paired import PairedData
from mmkd_lab.data.task import Task
from mmkd_lab.distill.teacher_outputs import TeacherOutputs
from mmkd_lab.models.views import View

if TYPE_CHECKING:
    import pandas as pd

#: Points above chance, and points of calibration error, beyond which nobody is warned.
MARGIN, MISJUDGED = 5.0, 20.0
#: Points by which rounding may lift a teacher at chance above it; one sample is worth more.
ROUNDING = 1e-4
BINS = 15


_WAY_OUT = (
    "Train it with modality dropout, Recipe(modality_dropout=0.3) and fit(dropout_removal=...), or gate its "
    "weights, weigh(gate=gates(...))."
)


class UnreliableTeacher(UserWarning):
    """A teacher knows little more than chance under a view, or is far too sure of what it says there."""


def reliability(teacher: TeacherOutputs, data: PairedData, *, split: str = "val") -> pd.DataFrame:
    """One row per teacher and view, the full input first, on samples the teacher was not trained on.

    Columns: replica, view, accuracy (percent; multi-label: micro F1, since where labels are rare, saying none
    is right nearly always; regression: R2, with chance 0 and no entropy or calibration), chance (the same of
    the best answer that is always the same), entropy (nats, mean over samples; over labels too for
    multi-label, over positions if dense), calibration (expected calibration error, points), n, split. Raises
    `LabError` for an unknown split, or samples the teacher was not asked about.
    """
    import pandas as pd

    teacher = teacher.for_data(data, split=split)
    positions = data.positions(split)
    said = teacher.rows(data.sample_index[positions].to(teacher.index.device))
    target = data.target[positions].to(teacher.index.device)
    tables, numbers = [], data.task is Task.REGRESSION
    for view, logits in {View.full(data.modalities): said.logits, **said.views}.items():
        columns = {
            "replica": range(len(teacher)),
            "view": view.label,
            "accuracy": _accuracy(logits, target, data.task).cpu().numpy(),
            "chance": _chance(target, data),
            "entropy": nan if numbers else _entropy(logits, data.task).cpu().numpy(),
            "calibration": nan
            if numbers
            else calibration_error(logits, target, task=data.task).cpu().numpy(),
            "n": len(positions),
            "split": split,
        }
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def calibration_error(logits: Tensor, target: Tensor, *, task: Task = Task.SINGLE_LABEL) -> Tensor:
    """Expected calibration error, in points: mean |share right - mean confidence| over 15 bins of equal
    width, weighted by how many fall into each (Guo et al. 2017, equation 3).

    (R, N, K) logits and (N,) labels, multi-label (N, K), dense (R, N, K, H, W) and (N, H, W) with -1 where
    there is none, -> (R,), from 0 to 100. The confidence is that of the predicted class; multi-label: the
    probability of every label, against whether it is there. Raises `LabError` without as many labels, or for
    logits that are not finite.
    """
    require(bool(logits.isfinite().all()), "logits", "NaN or infinite values", "must be finite")
    if task is Task.DENSE:
        known = (target >= 0).flatten()
        logits, target = logits.movedim(2, -1).flatten(1, 3)[:, known], target.flatten()[known]
    rule = f"must be labels of {logits.shape[1]} samples, as the logits, and of at least one"
    require(logits.shape[1] == len(target) > 0, "target", tuple(target.shape), rule)
    if task is Task.MULTI_LABEL:
        sure = logits.double().sigmoid().flatten(1)
        right = (target > 0.5).double().flatten().expand_as(sure)
    else:
        sure, best = logits.double().softmax(-1).max(-1)
        right = (best == target.to(best.device)).double()
    where = (sure * BINS).long().clamp(max=BINS - 1)
    gap = torch.zeros(len(sure), BINS, dtype=torch.float64, device=sure.device)
    gap.scatter_add_(1, where, right - sure)
    return 100.0 * gap.abs().sum(1) / sure.shape[1]


def gates(table: pd.DataFrame, teacher: TeacherOutputs) -> dict[View, Tensor]:
    """How much of each view's weight a teacher's reliability leaves, {view: (R,) in [0, 1]}.

    (accuracy under the view - chance) / (accuracy of the full input - chance), cut off at 0 and 1: a view at
    chance is not mimicked at all, and neither is any view of a teacher that is at chance, or below it, on the
    full input. Raises `LabError` unless `table` is what `reliability` gave of these teachers on the
    validation split: samples of another must not decide how a student is trained.
    """
    _is_table(table)
    seen = sorted(set(table["split"]))
    require(seen == ["val"], "table", seen, "must be of the split 'val' alone", "reliability(teacher, data).")
    labels, said = [view.label for view in teacher.views], sorted(set(table["view"]))
    known = set(labels) <= set(said) and set(table["replica"]) == set(range(len(teacher)))
    rule = f"must be of these {len(teacher)} teachers and their views {labels}"
    require(known, "table", f"{table['replica'].nunique()} teachers, {said}", rule)
    full = table.groupby("replica").first()
    room = full["accuracy"] - full["chance"]
    found = {}
    for view in teacher.views:
        here = table[table["view"] == view.label].set_index("replica")
        # Without room nothing the teacher says is reliable; a share of it would be noise over noise.
        share = ((here["accuracy"] - here["chance"]) / room.where(room > ROUNDING)).clip(0.0, 1.0).fillna(0.0)
        found[view] = torch.tensor(share.to_numpy(), dtype=torch.float32)
    return found


def warn_unreliable(table: pd.DataFrame, *, way_out: str = _WAY_OUT) -> list[str]:
    """Warn of views under which the teachers' mean accuracy is within 5 points of chance, or their
    confidence more than 20 points off; returns the sentences. The empty view is passed over: saliency may
    read it, and no student mimics it. The warning ends in `way_out`. Raises `LabError` for a table that
    `reliability` did not give.
    """
    _is_table(table)
    said = []
    for view, rows in table[table["view"] != View.only().label].groupby("view", sort=False):
        mean = rows[["accuracy", "chance", "calibration"]].mean()
        where = f"Seeing {view} only, the teacher" if "+" not in str(view) else f"Seeing {view}, the teacher"
        if mean["accuracy"] - mean["chance"] < MARGIN:
            said.append(f"{where} reaches {mean['accuracy']:.1f} % (chance {mean['chance']:.1f} %).")
        elif mean["calibration"] > MISJUDGED:
            said.append(f"{where} is {mean['calibration']:.0f} points off in its confidence.")
    if said:
        warnings.warn(" ".join([*said, way_out]), UnreliableTeacher, stacklevel=2)
    return said


def _is_table(table: object) -> None:
    columns = list(getattr(table, "columns", []))
    known = {"replica", "view", "accuracy", "chance", "calibration", "split"} <= set(columns)
    require(known, "table", columns or table, "must be what reliability() gave")


def _accuracy(logits: Tensor, target: Tensor, task: Task) -> Tensor:
    """Percent, (R,)."""
    if task is Task.MULTI_LABEL:
        said, there = logits > 0, target > 0.5
        hits = (said & there).double().sum((-2, -1))
        return 100.0 * 2 * hits / (said.double().sum((-2, -1)) + there.double().sum()).clamp(min=1)
    if task is Task.SINGLE_LABEL:
        return 100.0 * (logits.argmax(-1) == target).double().mean(-1)
    if task is Task.REGRESSION:
        left, spread = (logits - target).square().sum(1), (target - target.mean(0)).square().sum(0)
        return 100.0 * (1 - left / spread).double().mean(-1)
    known = target >= 0
    right = (logits.argmax(2) == target) & known
    return 100.0 * right.flatten(1).double().sum(1) / known.sum().clamp(min=1)


def _chance(target: Tensor, data: PairedData) -> float:
    if data.task is Task.REGRESSION:
        return 0.0
    if data.task is Task.MULTI_LABEL:
        counts, _ = (target > 0.5).double().sum(0).sort(descending=True)
        said = len(target) * torch.arange(1, len(counts) + 1, device=counts.device)
        return float((100.0 * 2 * counts.cumsum(0) / (said + counts.sum())).max())
    known = target[target >= 0]
    return 100.0 * int(torch.bincount(known, minlength=data.num_classes).max()) / len(known)


def _entropy(logits: Tensor, task: Task) -> Tensor:
    if task is Task.MULTI_LABEL:
        p = logits.double().sigmoid().clamp(1e-12, 1 - 1e-12)
        return -(p * p.log() + (1 - p) * (1 - p).log()).mean((-2, -1))
    log_p = logits.double().log_softmax(2)
    return -(log_p.exp() * log_p).sum(2).flatten(1).mean(1)
