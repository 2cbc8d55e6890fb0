"""A teacher that is not there, only a table of what it said: votes, or what a large model wrote down."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from mmkd_lab.core import check
from mmkd_lab.core.check import LabError, real, require
from mmkd_lab.data.archives import read_npz
from mmkd_lab.data.paired import PairedData
from mmkd_lab.data.task import Task
from mmkd_lab.distill.operands import logits_pair
from mmkd_lab.distill.teacher_outputs import TeacherOutputs

if TYPE_CHECKING:
    import pandas as pd

#: What the column of sample indices, and that of labels, may be called.
IDS = ("id", "index", "sample_index", "sample")
LABEL = "label"
_FORMATS = (".csv", ".parquet", ".npz", ".jsonl", ".json")


def read_outputs(
    source: str | Path | pd.DataFrame,
    data: PairedData,
    *,
    values: Literal["logits", "probabilities", "labels"] | None = None,
    floor: float = 1e-4,
) -> TeacherOutputs:
    """One teacher's outputs (R = 1), with the data's identity, from a table by sample id.

    Args:
        source: a data frame, or a csv, parquet, npz (one array a column) or json lines file. It has a column
            of sample indices, called id, index, sample_index or sample, and one column for each class, by its
            name, in any order; instead of these it may have a column 'label' of class names (single label).
        data: the samples and classes that it is about.
        values: what the table holds. None: labels, where there is such a column; probabilities, where all
            values lie between 0 and 1 and (but for multi-label) sum to 1; else logits. Several rows of one
            id, as several votes, are averaged: probabilities and labels as shares, logits as logits.
        floor: see `soft_label_logits`, which makes logits of probabilities and labels.

    Raises `LabError` for a file that cannot be read, a column or a sample of the training split that is
    missing, an id, a label or a column that the data does not have, values that are no finite numbers.
    """
    name, table = _table(source)
    sized = data.task is not Task.DENSE
    require(sized, "data", data.task.value, "a table has one row for each sample, no map")
    ids = _ids(table, name, data)
    if values is None and LABEL in table and LABEL not in data.classes:
        values = "labels"
    numbers = _labels(table, name, data) if values == "labels" else _numbers(table, name, data, ids)
    if values is None:
        inside = bool(((numbers >= 0) & (numbers <= 1)).all())
        whole = data.task is Task.MULTI_LABEL or bool(((numbers.sum(1) - 1).abs() <= 1e-3).all())
        values = "probabilities" if inside and whole else "logits"
    index, slot = torch.unique(ids, return_inverse=True)
    mean = torch.zeros(len(index), data.num_classes, dtype=torch.float64).index_add_(0, slot, numbers)
    mean = mean / torch.bincount(slot)[:, None]
    if values != "logits":
        mean = soft_label_logits(mean, floor=floor, task=data.task)
    return TeacherOutputs(index, mean.float()[None], identity=data.identity).for_data(data)


def soft_label_logits(
    probabilities: Tensor, *, floor: float = 1e-4, task: Task = Task.SINGLE_LABEL
) -> Tensor:
    """Logits of a teacher that is not there, only its soft labels (votes, or what a large model wrote down).

    A probability p is first moved to (1 - floor) · p + floor / K (multi-label: floor / 2), since log 0 is no
    logit; at temperature 1 the logits give exactly that law, at higher ones a softer one. Probabilities are
    (..., K), dense (..., K, H, W), that sum to 1; multi-label: each in [0, 1]. Raises `LabError` for values
    outside [0, 1] or sums that are not 1 within 0.001.
    """
    real("floor", floor, above=0.0, at_most=0.999)
    p, _, classes = logits_pair(probabilities, probabilities, task)
    inside, shown = bool(((p >= 0) & (p <= 1)).all()), f"{float(p.min()):g} to {float(p.max()):g}"
    require(inside, "probabilities", shown, "must lie between 0 and 1")
    if task is Task.MULTI_LABEL:
        return ((1 - floor) * p + floor / 2).logit()
    worst = float((p.sum(dim=classes) - 1).abs().max())
    require(worst <= 1e-3, "probabilities", f"a sum that is {worst:g} off", "must sum to 1 over the classes")
    return ((1 - floor) * p + floor / p.shape[classes]).log()


def _table(source: str | Path | pd.DataFrame) -> tuple[str, pd.DataFrame]:
    import pandas as pd

    if isinstance(source, pd.DataFrame):
        return "the table", source
    file = check.path("source", source)
    kind = file.suffix.lower()
    require(file.is_file(), "source", str(file), "must be a file that exists")
    require(kind in _FORMATS, "source", file.name, f"must be one of {', '.join(_FORMATS)}")
    with check.reading(file, "must be a table that can be read"):
        if kind == ".npz":
            return file.name, pd.DataFrame(read_npz(file))
        if kind in (".json", ".jsonl"):
            return file.name, pd.read_json(file, lines=kind == ".jsonl")
        return file.name, (pd.read_csv if kind == ".csv" else pd.read_parquet)(file)


def _ids(table: pd.DataFrame, name: str, data: PairedData) -> Tensor:
    column = next((one for one in IDS if one in table and one not in data.classes), None)
    if column is None:
        raise LabError("source", name, f"must have a column of sample indices, called {check.listing(IDS)}")
    require(len(table) > 0, "source", name, "must have at least one row")
    at, kind = f"{name}[{column!r}]", table[column].dtype
    require(kind.kind in "iu", at, str(kind), "must hold whole numbers, the sample indices")
    ids = torch.from_numpy(table[column].to_numpy(dtype=np.int64, copy=True))
    strange = ids[~torch.isin(ids, data.sample_index.cpu())].tolist()
    require(not strange, at, strange[:1], f"is no sample of {data.name} ({len(strange)} such rows)")
    return ids


def _labels(table: pd.DataFrame, name: str, data: PairedData) -> Tensor:
    at = f"{name}[{LABEL!r}]"
    require(data.task is Task.SINGLE_LABEL, at, data.task.value, "labels are for a single label")
    require(LABEL in table, "source", name, f"must have a column {LABEL!r}")
    said = table[LABEL].astype(str).tolist()
    strange = [one for one in said if one not in data.classes]
    require(not strange, at, strange[:1], f"must be one of the classes {data.classes}")
    return torch.eye(data.num_classes, dtype=torch.float64)[[data.classes.index(one) for one in said]]


def _numbers(table: pd.DataFrame, name: str, data: PairedData, ids: Tensor) -> Tensor:
    missing = [one for one in data.classes if one not in table]
    require(not missing, "source", name, f"must have a column for each class, and lacks {missing}")
    strange = [str(one) for one in table.columns if one not in (*data.classes, *IDS, LABEL)]
    require(not strange, "source", name, f"has the columns {strange}, which are no classes of {data.name}")
    for column in data.classes:
        kind = table[column].dtype
        require(kind.kind in "fiub", f"{name}[{column!r}]", str(kind), "must hold numbers")
        values = table[column].to_numpy(dtype=np.float64)
        for row in np.flatnonzero(~np.isfinite(values))[:1]:
            rule = f"must be finite, and is not for sample {int(ids[row])}"
            raise LabError(f"{name}[{column!r}]", float(values[row]), rule)
    # The columns of a frame may lie backwards in memory, which torch does not take.
    return torch.from_numpy(table[list(data.classes)].to_numpy(dtype=np.float64).copy())
