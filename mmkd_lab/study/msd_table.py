"""The columns of a comparison: the task, fidelity to the teacher, calibration, weights and time, per view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mmkd_lab.data.paired import PairedData, Task
from mmkd_lab.distill.calibration import calibration_error
from mmkd_lab.distill.saliency import difference
from mmkd_lab.distill.teacher_views import TeacherViews
from mmkd_lab.distill.weights import effective_sample_size
from mmkd_lab.experiments.store import Result
from mmkd_lab.experiments.summary import COLUMNS
from mmkd_lab.models.views import View
from mmkd_lab.study.msd_networks import BY_SAMPLE
from mmkd_lab.training.metrics import score

Row = tuple[object, ...]
#: {split: {view label: (N, K)}}, what one network says.
Said = Mapping[str, Mapping[str, Tensor]]


def said_by_student(result: Result, splits: Sequence[str], views: Sequence[View]) -> Said:
    """The kept outputs of one student."""
    return {
        split: {
            v.label: torch.from_numpy(np.array(result.tensors[f"logits/{split}/{v.label}"])) for v in views
        }
        for split in splits
    }


def said_by_teacher(
    teacher: TeacherViews, data: PairedData, splits: Sequence[str], views: Sequence[View]
) -> Said:
    """The outputs of one teacher (R = 1) on the same samples."""
    found = {}
    for split in splits:
        rows = teacher.rows(data.sample_index[data.positions(split)].to(teacher.index.device))
        named = {v: rows.logits if v == View.full(data.modalities) else rows.views[v] for v in views}
        found[split] = {view.label: logits[0].cpu() for view, logits in named.items()}
    return found


def metrics(logits: Tensor, target: Tensor, task: Task, teacher: Tensor | None) -> dict[str, float]:
    """Every metric of one network's logits (N, K), and against its teacher's where there is one.

    The task's own (see `train.metrics.score`); ece: expected calibration error, points; js: mean
    Jensen-Shannon divergence from the teacher, nats; agreement: same decision as the teacher, percent; w1:
    Wasserstein-1 distance of the two distributions of `scores`, in probability.
    """
    named = {name: float(value[0]) for name, value in score(logits[None], target, task=task).items()}
    named["ece"] = float(calibration_error(logits[None], target, task=task)[0])
    if teacher is None:
        return named
    labels = task is Task.MULTI_LABEL
    apart = difference(teacher[None], logits[None], delta="js", task=task)
    same = (logits > 0) == (teacher > 0) if labels else logits.argmax(-1) == teacher.argmax(-1)
    mine, theirs = (scores(x, target, task).flatten().sort()[0] for x in (logits, teacher))
    return {
        **named,
        "js": float(apart.double().mean()),
        "agreement": 100.0 * float(same.double().mean()),
        "w1": float((mine - theirs).abs().mean()),
    }


def scores(logits: Tensor, target: Tensor, task: Task) -> Tensor:
    """The one number per sample whose density is drawn: logits (..., N, K) -> (..., N).

    Two classes: the probability of the second. More: the probability of the true class. Multi-label: the
    probability of every label, (..., N, K).
    """
    if task is Task.MULTI_LABEL:
        return logits.double().sigmoid()
    p = logits.double().softmax(-1)
    if p.shape[-1] == 2:
        return p[..., 1]
    return p.gather(-1, target.expand(p.shape[:-1])[..., None])[..., 0]


@dataclass(frozen=True, eq=False)
class Lines:
    """Rows of the table under construction, in the order of COLUMNS and 'view'."""

    study: str
    data: PairedData
    rows: list[Row]

    def network(self, arm: str, role: str, seed: int, said: Said, teacher: Said | None = None) -> None:
        """One network: everything on test, the task's metrics on val."""
        for split, views in said.items():
            target = self.data.target[self.data.positions(split)].cpu()
            for view, logits in views.items():
                against = None if teacher is None or split != "test" else teacher[split][view]
                named = metrics(logits, target, self.data.task, against)
                if split != "test":
                    named.pop("ece")
                for metric, value in named.items():
                    self._add(arm, role, seed, split, metric, value, view)

    def weights(self, arm: str, seed: int, teacher: TeacherViews) -> None:
        """Mean and effective share of the weights that a student was trained with, see `with_learned`."""
        train = torch.isin(
            teacher.index, self.data.sample_index[self.data.positions("train")].to(teacher.index.device)
        )
        for view, values in teacher.weights.items():
            mine = values[0, train].double()
            self._add(arm, "student", seed, "train", "weight", float(mine.mean()), view.label)
            self._add(arm, "student", seed, "train", "ess", float(effective_sample_size(mine)), view.label)

    def seconds(self, arm: str, seed: int, result: Result, reference: Result, view: str) -> None:
        """Seconds per step, and their ratio to KD's."""
        mine, its = (float(one.metrics["seconds"]) for one in (result, reference))
        self._add(arm, "student", seed, "train", "seconds_per_step", mine, view)
        self._add(arm, "student", seed, "train", "steps_of_kd", mine / its, view)

    def table(self) -> pd.DataFrame:
        """The tidy table."""
        return pd.DataFrame(self.rows, columns=[*COLUMNS, "view"])

    def _add(self, arm: str, role: str, seed: int, split: str, metric: str, value: float, view: str) -> None:
        self.rows.append((self.study, self.data.name, arm, role, seed, split, metric, value, view))


def over_time(results: Mapping[str, Sequence[Result]], seeds: Sequence[int]) -> pd.DataFrame:
    """The learned weights at every update: arm, seed, step, view, value; no rows where none are learned."""
    table = [
        (arm, seed, int(step), name.removeprefix("weights/"), float(value))
        for arm, found in results.items()
        for seed, result in zip(seeds, found, strict=True)
        for name, values in sorted(result.tensors.items())
        if name.startswith("weights/") and name != "weights/step"
        for step, value in zip(result.tensors["weights/step"], values, strict=True)
    ]
    return pd.DataFrame(table, columns=["arm", "seed", "step", "view", "value"])


def with_learned(teacher: TeacherViews, result: Result, data: PairedData) -> TeacherViews:
    """A student's teacher (R = 1) with the weights of training samples that the student ended with, where it
    learned them; what the teacher brings along, as a gate, stays a factor. Other samples weigh 0."""
    if not any(name.startswith(f"{BY_SAMPLE}/") for name in result.tensors):
        return teacher
    slots = teacher.full.slots(data.sample_index[data.positions("train")])
    named = {}
    for view, gate in teacher.weights.items():
        learned = torch.from_numpy(np.array(result.tensors[f"{BY_SAMPLE}/{view.label}"])).to(gate)
        named[view] = gate.new_zeros(gate.shape)
        named[view][:, slots] = learned * gate[:, slots]
    return replace(teacher, weights=named)


def by_sample(
    taught: Mapping[str, Sequence[TeacherViews]], seeds: Sequence[int], data: PairedData
) -> pd.DataFrame:
    """The weight of every training sample: arm, seed, sample, view, value, and the facts of the data.

    `taught` has the teachers (R = 1) of an arm's students, one per seed, with the weights they count by.
    """
    parts = []
    train = data.positions("train").cpu()
    index = data.sample_index[data.positions("train")]
    facts = {name: values.cpu()[train].numpy() for name, values in data.facts.items()}
    each = [(arm, *one) for arm, teachers in taught.items() for one in zip(seeds, teachers, strict=True)]
    for arm, seed, teacher in each:
        rows = teacher.rows(index.to(teacher.index.device))
        for view, values in rows.weights.items():
            columns = {
                "sample": index.cpu().numpy(),
                "view": view.label,
                "value": values[0].cpu().numpy(),
                **facts,
            }
            parts.append(pd.DataFrame({"arm": arm, "seed": seed, **columns}))
    names = ["arm", "seed", "sample", "view", "value"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=names)
