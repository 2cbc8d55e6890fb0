"""A teacher that is not there, only a table of what it said: votes, or what a large model wrote down."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from mmkd_lab.core import check
from mmkd_lab.core.check import LabError, require
from mmkd_lab.data.identity import Identity
from mmkd_lab.data.paired import PairedData
from mmkd_lab.data.task import Task
from mmkd_lab.distill.multi_teacher import soft_label_logits
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
    """One teacher's outputs (R = 1) from a table by sample id.

    Args:
        source: a data frame, or a csv, parquet, npz (one array a column) or json lines file. It has a column
            of sample indices, called id, index, sample_index or sample, and one column for each class, by its
            name; instead of these it may have a column 'label' of class names (single label alone).
        data: the samples and classes that it is about; K columns in any order.
        values: what the table holds. None: labels, where there is such a column; probabilities, where all
            values lie between 0 and 1 and (but for multi-label) sum to 1; else logits. Several rows of one
            id, as several votes, are averaged: probabilities and labels as shares, logits as logits.
        floor: see `soft_label_logits`, which makes logits of probabilities and labels.

    Returns:
        outputs that carry the data's identity.

    Raises:
        LabError: a file that cannot be read, a column or a sample of the training split that is missing, an
            id, a label or a column that the data does not have, values that are no finite numbers.
    """
    name, table = _table(source)
    require(
        data.task is not Task.DENSE, "data", data.task.value, "a table has one row for each sample, no map"
    )
    ids = _ids(table, name, data)
    kind = ("labels" if LABEL in table and LABEL not in data.classes else None) if values is None else values
    numbers = _labels(table, name, data) if kind == "labels" else _numbers(table, name, data, ids)
    if kind is None:
        kind = "probabilities" if _are_shares(numbers, data.task) else "logits"
    index, slot = torch.unique(ids, return_inverse=True)
    mean = torch.zeros(len(index), data.num_classes, dtype=torch.float64).index_add_(0, slot, numbers)
    mean = mean / torch.bincount(slot)[:, None]
    if kind != "logits":
        mean = soft_label_logits(mean, floor=floor, task=data.task)
    identity = Identity(data.classes, tuple(data.modalities), data.fingerprint)
    return TeacherOutputs(index, mean.float()[None], identity=identity).for_data(data)


def _table(source: str | Path | pd.DataFrame) -> tuple[str, pd.DataFrame]:
    import pandas as pd

    if isinstance(source, pd.DataFrame):
        return "the table", source
    file = check.path("source", source)
    kind = file.suffix.lower()
    require(file.is_file(), "source", str(file), "must be a file that exists")
    require(kind in _FORMATS, "source", file.name, f"must be one of {', '.join(_FORMATS)}")
    try:
        if kind == ".csv":
            return file.name, pd.read_csv(file)
        if kind == ".parquet":
            return file.name, pd.read_parquet(file)
        if kind == ".npz":
            with np.load(file, allow_pickle=False) as arrays:
                return file.name, pd.DataFrame({column: arrays[column] for column in arrays.files})
        return file.name, pd.read_json(file, lines=kind == ".jsonl")
    except (ValueError, OSError, ImportError) as error:
        raise LabError("source", file.name, f"cannot be read: {error}") from error


def _ids(table: pd.DataFrame, name: str, data: PairedData) -> Tensor:
    column = next((one for one in IDS if one in table and one not in data.classes), None)
    if column is None:
        raise LabError("source", name, f"must have a column of sample indices, called {check.listing(IDS)}")
    require(len(table) > 0, "source", name, "must have at least one row")
    at = f"{name}[{column!r}]"
    whole = table[column].dtype.kind in "iu"
    require(whole, at, str(table[column].dtype), "must hold whole numbers, the sample indices")
    ids = torch.from_numpy(table[column].to_numpy(dtype=np.int64, copy=True))
    strange = ids[~torch.isin(ids, data.sample_index.cpu())]
    shown = int(strange[0]) if len(strange) else None
    require(shown is None, at, shown, f"is no sample of {data.name} ({len(strange)} such rows)")
    return ids


def _labels(table: pd.DataFrame, name: str, data: PairedData) -> Tensor:
    at = f"{name}[{LABEL!r}]"
    require(data.task is Task.SINGLE_LABEL, at, data.task.value, "labels are for a single label")
    require(LABEL in table, "source", name, f"must have a column {LABEL!r}")
    said = table[LABEL].astype(str).tolist()
    strange = [one for one in said if one not in data.classes]
    shown = strange[0] if strange else None
    require(shown is None, at, shown, f"must be one of the classes {data.classes}")
    return torch.eye(data.num_classes, dtype=torch.float64)[[data.classes.index(one) for one in said]]


def _numbers(table: pd.DataFrame, name: str, data: PairedData, ids: Tensor) -> Tensor:
    missing = [one for one in data.classes if one not in table]
    require(not missing, "source", name, f"must have a column for each class, and lacks {missing}")
    strange = [str(one) for one in table.columns if one not in (*data.classes, *IDS, LABEL)]
    require(not strange, "source", name, f"has the columns {strange}, which are no classes of {data.name}")
    for column in data.classes:
        kind = table[column].dtype
        require(kind.kind in "fiub", f"{name}[{column!r}]", str(kind), "must hold numbers")
    found = table[list(data.classes)].to_numpy(dtype=np.float64, copy=True)
    bad = np.argwhere(~np.isfinite(found))
    if len(bad):
        row, k = (int(one) for one in bad[0])
        at = f"{name}[{data.classes[k]!r}]"
        raise LabError(at, float(found[row, k]), f"must be finite, and is not for sample {int(ids[row])}")
    return torch.from_numpy(found.copy())  # the columns of a frame may lie backwards in memory


def _are_shares(numbers: Tensor, task: Task) -> bool:
    inside = bool(((numbers >= 0) & (numbers <= 1)).all())
    return inside and (task is Task.MULTI_LABEL or bool(((numbers.sum(1) - 1).abs() <= 1e-3).all()))
