"""Results as rows: the task's metrics, fidelity to the teacher, calibration, weights and time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mmkd_lab.data.paired import PairedData, Task
from mmkd_lab.distill import TeacherOutputs, calibration_error, effective_sample_size
from mmkd_lab.distill.saliency import difference
from mmkd_lab.experiments.networks import SAMPLE_WEIGHTS
from mmkd_lab.experiments.scoring import scored
from mmkd_lab.experiments.store import Result
from mmkd_lab.experiments.summary import COLUMNS
from mmkd_lab.models import View
from mmkd_lab.training.metrics import score

#: The arm and the role of logistic regression on the student's input.
LINEAR, BASELINE = "linear", "baseline"
Row = tuple[object, ...]
#: {split: {view label: (N, K)}}, what one network says.
Said = Mapping[str, Mapping[str, Tensor]]


@dataclass(eq=False)
class Table:
    """A table under construction.

    Args:
        study: its name.
        data: the samples.
        columns: those beside the usual ones.
    """

    study: str
    data: PairedData
    columns: tuple[str, ...] = ()
    rows: list[Row] = field(default_factory=list)

    def add(
        self, arm: str, role: str, seed: int, split: str, named: Mapping[str, float], *at: object
    ) -> None:
        """One row a metric; `at` are the values of the further columns."""
        head = (self.study, self.data.name, arm, role, seed, split)
        self.rows += [(*head, metric, value, *at) for metric, value in named.items()]

    def scores(
        self, arm: str, role: str, seed: int, scores: Mapping[str, Mapping[str, float]], *at: object
    ) -> None:
        """{split: {metric: value}} of one network."""
        for split, named in scores.items():
            self.add(arm, role, seed, split, named, *at)

    def baseline(self, linear: Mapping[str, Tensor] | None, seed: int, *at: object) -> None:
        """The rows of logistic regression, which has no seed of its own, beside the first of the students."""
        for split, logits in (linear or {}).items():
            mine = scored(logits[None], self.data, self.data.positions(split))
            self.add(LINEAR, BASELINE, seed, split, mine, *at)

    def frame(self) -> pd.DataFrame:
        """The tidy table."""
        return pd.DataFrame(self.rows, columns=[*COLUMNS, *self.columns])


def teacher_scores(teacher: TeacherOutputs, data: PairedData) -> dict[str, dict[str, float]]:
    """{split: {metric: value}} of one teacher (R = 1), over the samples of each split that it has answered
    for; where these are not all, 'answered' is their share in percent."""
    found = {}
    for split, (many, samples) in teacher.coverage(data).items():
        if many:
            where = data.positions(split)
            there = torch.isin(data.sample_index[where].cpu(), teacher.index.cpu())
            found[split] = scored(teacher_said(teacher, data, split)[0], data, where[there])
            found[split] |= {"answered": 100.0 * many / samples} if many < samples else {}
    return found


def teacher_said(teacher: TeacherOutputs, data: PairedData, split: str) -> tuple[Tensor, Tensor]:
    """(1, n, K) logits and the labels of the n samples of a split that a teacher has answered for."""
    index = data.sample_index[data.positions(split)].to(teacher.index.device)
    there = torch.isin(index, teacher.index)
    return teacher.rows(index[there]).logits.cpu(), data.target[data.positions(split)].cpu()[there.cpu()]


def said_by_student(result: Result, splits: Sequence[str], views: Sequence[View]) -> Said:
    """The kept outputs of one student."""
    return {
        split: {
            v.label: torch.from_numpy(np.array(result.tensors[f"logits/{split}/{v.label}"])) for v in views
        }
        for split in splits
    }


def said_by_teacher(
    teacher: TeacherOutputs, data: PairedData, splits: Sequence[str], views: Sequence[View]
) -> Said:
    """The outputs of one teacher (R = 1) on the same samples, under the views that it was asked about."""
    found = {}
    for split in splits:
        rows = teacher.rows(data.sample_index[data.positions(split)].to(teacher.index.device))
        named = {views[0]: rows.logits, **rows.views}
        found[split] = {view.label: named[view][0].cpu() for view in views if view in named}
    return found


def metrics(
    logits: Tensor, target: Tensor, task: Task, teacher: Tensor | None, *, also: Sequence[str] = ()
) -> dict[str, float]:
    """Every metric of one network's logits (N, K), and against its teacher's where there is one.

    The task's own (see `training.metrics.score`); ece: expected calibration error, points; js: mean
    Jensen-Shannon divergence from the teacher, nats; agreement: same decision as the teacher, percent; w1:
    Wasserstein-1 distance of the two distributions of `densities`, in probability. Of a dense task over
    positions, all of them but for w1, which has those with a class. In a regression instead
    apart: root mean squared difference from the teacher, in the unit of the target, the mean over outputs.
    """
    scores = score(logits[None], target, task=task, also=also)
    named = {name: float(value[0]) for name, value in scores.items()}
    if task is Task.REGRESSION:
        if teacher is not None:
            named["apart"] = float((logits - teacher).square().mean(0).sqrt().mean())
        return named
    named["ece"] = float(calibration_error(logits[None], target, task=task)[0])
    if teacher is None:
        return named
    apart = difference(teacher[None], logits[None], delta="js", task=task)
    labels = task is Task.MULTI_LABEL
    axis = 1 if task is Task.DENSE else -1
    same = (logits > 0) == (teacher > 0) if labels else logits.argmax(axis) == teacher.argmax(axis)
    mine, theirs = (densities(x, target, task).flatten().sort()[0] for x in (logits, teacher))
    return {
        **named,
        "js": float(apart.double().mean()),
        "agreement": 100.0 * float(same.double().mean()),
        "w1": float((mine - theirs).abs().mean()),
    }


def densities(logits: Tensor, target: Tensor, task: Task) -> Tensor:
    """The one number per sample whose density is drawn: logits (..., N, K) -> (..., N).

    Two classes: the probability of the second. More: the probability of the true class. Multi-label: the
    probability of every label, (..., N, K). Regression: the outputs, likewise. Dense: as for one label, of
    each position that has a class, (..., N, K, H, W) and (N, H, W) -> (..., positions).
    """
    if task is Task.DENSE:
        known = target >= 0
        return densities(logits.movedim(-3, -1)[..., known, :], target[known], Task.SINGLE_LABEL)
    if task is Task.REGRESSION:
        return logits.double()
    if task is Task.MULTI_LABEL:
        return logits.double().sigmoid()
    p = logits.double().softmax(-1)
    if p.shape[-1] == 2:
        return p[..., 1]
    return p.gather(-1, target.expand(p.shape[:-1])[..., None])[..., 0]


def sample_weights(result: Result) -> dict[str, Tensor]:
    """{view label: (N,)} weights of the training samples that a student learned by; empty without such."""
    start = f"{SAMPLE_WEIGHTS}/"
    return {
        name.removeprefix(start): torch.from_numpy(np.array(values))
        for name, values in sorted(result.tensors.items())
        if name.startswith(start)
    }


def weight_rows(table: Table, arm: str, seed: int, result: Result) -> None:
    """Mean and effective share of the weights of a student's training samples, per view."""
    for view, mine in sample_weights(result).items():
        named = {"weight": float(mine.mean()), "ess": float(effective_sample_size(mine))}
        table.add(arm, "student", seed, "train", named, view)


def weights_over_time(results: Mapping[str, Sequence[Result]], seeds: Sequence[int]) -> pd.DataFrame:
    """The learned weights at every update: arm, seed, step, view, value; no rows where none are learned."""
    rows = [
        (arm, seed, int(step), name.removeprefix("weights/"), float(value))
        for arm, found in results.items()
        for seed, result in zip(seeds, found, strict=True)
        for name, values in sorted(result.tensors.items())
        if name.startswith("weights/") and name != "weights/step"
        for step, value in zip(result.tensors["weights/step"], values, strict=True)
    ]
    return pd.DataFrame(rows, columns=["arm", "seed", "step", "view", "value"])


def weights_by_sample(
    results: Mapping[str, Sequence[Result]], seeds: Sequence[int], data: PairedData
) -> pd.DataFrame:
    """The weight of every training sample: arm, seed, sample, view, value, and the facts of the data."""
    train = data.positions("train").cpu()
    facts = {name: values.cpu()[train].numpy() for name, values in data.facts.items()}
    index = data.sample_index.cpu()[train].numpy()
    parts: Iterable[pd.DataFrame] = [
        pd.DataFrame(
            {"arm": arm, "seed": seed, "sample": index, "view": view, "value": values.numpy(), **facts}
        )
        for arm, found in results.items()
        for seed, result in zip(seeds, found, strict=True)
        for view, values in sample_weights(result).items()
    ]
    names = ["arm", "seed", "sample", "view", "value"]
    listed = list(parts)
    return pd.concat(listed, ignore_index=True) if listed else pd.DataFrame(columns=names)
