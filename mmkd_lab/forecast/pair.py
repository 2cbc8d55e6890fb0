"""Two modalities of a data set as a forecast reads them: columns, classes, training and validation alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from mmkd_lab.core.check import LabError, require
from mmkd_lab.data.paired import PairedData, Task
from mmkd_lab.data.text import PAD
from mmkd_lab.experiments.experiment import roles
from mmkd_lab.forecast.pilots import Codes, Floats
from mmkd_lab.shares.samples import generator
from mmkd_lab.training.inputs import vocabulary

#: Larger sets are looked at by so many training and validation samples, drawn at random.
MOST_TRAIN, MOST_VAL = 2000, 1000
#: Wider modalities by so many principal components of the training samples.
MOST_COLUMNS = 256
_HELD = 0.25


@dataclass(frozen=True, eq=False)
class Columns:
    """One modality: (n, d) standardised columns of training and validation, and its width as given."""

    train: Floats
    val: Floats
    width: int


@dataclass(frozen=True, eq=False)
class SeenPair:
    """What evidence is gathered from.

    Args:
        name: of the data set.
        names: the modality of the teacher and that of the student.
        teacher, student: their columns.
        y, y_val: (n,) and (m,) class numbers.
        samples: training samples there are, of which n are looked at.
        rows, rows_val: their positions in the data.
        subjects: (n,) whom the training samples belong to, or None.
        notes: what must be said of the samples.
    """

    name: str
    names: tuple[str, str]
    teacher: Columns
    student: Columns
    y: Codes
    y_val: Codes
    samples: int
    rows: Codes
    rows_val: Codes
    classes: int
    subjects: Codes | None = None
    notes: tuple[str, ...] = ()

    @property
    def crossmodal(self) -> bool:
        """Whether the teacher sees the other modality alone."""
        return " + " not in self.names[0] and self.names[0] != self.names[1]

    def seen_by(self, sees: str) -> SeenPair:
        """The pair with a teacher that sees the 'student's modality, the 'other' one, or 'all' of both."""
        if sees == "other":
            return self
        if sees == "student":
            return replace(self, teacher=self.student, names=(self.names[1], self.names[1]))
        each = dict(zip(self.names, (self.teacher, self.student), strict=True))
        one, two = (each[name] for name in sorted(each))
        train, val = (np.hstack([a, b]) for a, b in ((one.train, two.train), (one.val, two.val)))
        both = Columns(train, val, one.width + two.width)
        return replace(self, teacher=both, names=(" + ".join(sorted(each)), self.names[1]))


def sides_of(data: PairedData, student: str, teacher: str | None) -> tuple[str, str]:
    """The teacher's modality and the student's. Raises `LabError` unless each is one modality."""
    mine, theirs = roles(data, student, teacher)
    for argument, names in (("student", mine), ("teacher", theirs)):
        rule = "must be one modality: forecasts are of pairs"
        require(len(names) == 1, argument, " + ".join(names), rule)
    return theirs[0], mine[0]


def pair_of(
    data: PairedData, teacher: str, student: str, *, seed: int, answered: Tensor | None = None
) -> SeenPair:
    """The pair of two modalities of single-label data, where both are there.

    With `answered`, the sample indices that a table of answers holds, only these samples are looked at.
    Without a validation split a quarter of the training samples (whole groups of them) stands for it. Raises
    `LabError` for other tasks, no training split, a class with fewer than two training samples.
    """
    single = data.task is Task.SINGLE_LABEL
    require(single, "data", data.task.value, "must have one label a sample: forecasts are of accuracies")
    require("train" in data.splits, "data", list(data.splits), "must have a 'train' split")
    stream, notes = generator(seed, "forecast"), []
    there = data.seen((teacher, student), whole=True).cpu()
    if answered is not None:
        there &= torch.isin(data.sample_index.cpu(), answered)
    here = there.numpy()
    train = data.positions("train").cpu().numpy()
    if not here.all():
        notes.append(
            f"{int(here[train].sum())} of {len(train)} training samples have both sides (and an answer)."
        )
        train = train[here[train]]
    if "val" in data.splits:
        val = data.positions("val").cpu().numpy()
        val = val[here[val]]
    else:
        train, val = _held_out(data, train, stream)
        notes.append(f"There is no validation split: {len(val)} training samples stand for it.")
    samples, counts = len(train), (len(train), len(val))
    target = data.target.cpu().numpy()
    train, val = _some(train, target, MOST_TRAIN, stream), _some(val, target, MOST_VAL, stream)
    if (len(train), len(val)) != counts:
        notes.append(f"{len(train)} of {counts[0]} training, {len(val)} of {counts[1]} validation samples.")
    found, sizes = np.unique(target[train], return_counts=True)
    rule, way_out = "must have at least two training samples", "Leave the class out, or add samples."
    few = [data.classes[i] for i, n in zip(found, sizes, strict=True) if n < 2]
    absent = sorted(set(range(data.num_classes)) - set(found.tolist()))
    few += [data.classes[i] for i in absent]
    require(len(val) > 1, "data", f"{len(val)} samples", "must have validation samples to look at")
    require(not few, "data", f"class {few[0]!r}" if few else "", rule, way_out)
    one, two = (_columns(data, name, train, val) for name in (teacher, student))
    group = None if data.group is None else data.group.cpu().numpy()[train]
    y, y_val = target[train].astype(np.intp), target[val].astype(np.intp)
    names = (teacher, student)
    return SeenPair(
        data.name, names, one, two, y, y_val, samples, train, val, data.num_classes, group, tuple(notes)
    )


def _held_out(data: PairedData, train: Codes, stream: np.random.Generator) -> tuple[Codes, Codes]:
    units = train if data.group is None else data.group.cpu().numpy()[train]
    names = stream.permutation(np.unique(units))
    held = np.isin(units, names[: max(1, round(_HELD * len(names)))])
    require(not held.all(), "data", "one group", "must have a 'val' split, or several groups")
    return train[~held], train[held]


def _some(rows: Codes, target: Codes, most: int, stream: np.random.Generator) -> Codes:
    """At most so many of these rows; two of every class are kept."""
    if len(rows) <= most:
        return rows
    order = stream.permutation(rows)
    rank = np.empty(len(order), dtype=np.intp)  # the how-manieth of its class
    for one in np.unique(target[order]):
        mine = target[order] == one
        rank[mine] = np.arange(mine.sum())
    return np.sort(np.concatenate([order[rank < 2], order[rank >= 2]])[:most])


def _columns(data: PairedData, name: str, train: Codes, val: Codes) -> Columns:
    values = data.modalities[name]
    picked = [values[torch.as_tensor(rows, device=values.device)].cpu() for rows in (train, val)]
    if (size := vocabulary(data).get(name)) is not None:
        counted = [torch.zeros(len(x), size, dtype=torch.float64) for x in picked]
        ids = [x.flatten(1) for x in picked]
        picked = [c.scatter_add_(1, x, (x != PAD).double()) for c, x in zip(counted, ids, strict=True)]
    x, held = (one.double().flatten(1).numpy() for one in picked)
    mean, scale, width = x.mean(0), x.std(0), x.shape[1]
    kept = scale > 1e-9 * np.maximum(np.abs(mean), 1.0)
    if not kept.any():
        raise LabError(f"modality {name!r}", "constant", "must vary over the training samples")
    x, held = ((one[:, kept] - mean[kept]) / scale[kept] for one in (x, held))
    if x.shape[1] > MOST_COLUMNS:
        most = min(MOST_COLUMNS, len(x) - 1)
        _, _, directions = np.linalg.svd(x, full_matrices=False)
        x, held = x @ directions[:most].T, held @ directions[:most].T
        unit = x.std() or 1.0
        x, held = x / unit, held / unit
    return Columns(x, held, width)
