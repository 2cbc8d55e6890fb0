"""`data.from_dataframe`: paired data of the columns of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mmkd_lab.core.check import LabError, did_you_mean, flat, mapping, require
from mmkd_lab.core.complaints import Complaints
from mmkd_lab.data.own.arrays import from_arrays
from mmkd_lab.data.own.rows import some
from mmkd_lab.data.paired import PairedData

Modalities = Mapping[str, str | Sequence[str]]


def from_dataframe(
    frame: pd.DataFrame,
    *,
    label: str | Sequence[str],
    modalities: Modalities,
    split: object = None,
    group: str | None = None,
    id: str | None = None,
    **options: Any,  # noqa: ANN401 - the keywords of `from_arrays`
) -> PairedData:
    """Paired data of the columns of a table, one row per sample.

    Args:
        frame: a pandas DataFrame, or what has `to_pandas`: a polars, pyarrow or Hugging Face table.
        label: the column of the labels; or several, of 0 and 1, of which a sample may have more than one.
        modalities: {name: a column of texts, numbers or arrays; columns of numbers; or what the names of
            such columns begin with}.
        split: a column of 'train', 'val', 'test'; or as in `from_arrays`.
        group: the column of what must not stand on both sides of a split.
        id: the column of ids.
        options: seed, name, classes, tokens, channels_last, weight, min_count, as in `from_arrays`.

    Raises one `LabError` that names everything that is wrong, with the column.
    """
    table: object = getattr(frame, "to_pandas", lambda: frame)()
    if not isinstance(table, pd.DataFrame):
        raise LabError("frame", type(frame).__name__, "must be a pandas DataFrame")
    twice, wrong = table.columns[table.columns.duplicated()].tolist(), Complaints()
    require(not twice, "frame", f"columns {some(twice)} twice", "must not name a column twice")
    column = split if isinstance(split, str) else None
    found: dict[str, Any] = {"label": np.arange(len(table)) % 2, "split": None if column else split}
    given = {"label": label, "split": column, "group": group, "id": id}
    inputs: dict[str, Any] = {}
    for name, where in given.items():
        with wrong:
            found[name] = found.get(name) if where is None else _columns(name, where, table)
    with wrong:
        for name, where in mapping("modalities", modalities, "{name: column or columns}").items():
            begun = [one for one in table if isinstance(where, str) and where and str(one).startswith(where)]
            with wrong:
                named = begun if begun and where not in table else where
                inputs[name] = _columns(f"modalities[{name!r}]", named, table)
    with wrong:
        if inputs:
            several = isinstance(label, (list, tuple)) and len(label) > 1
            parts = {"classes": label if several else None, "group": found.get("group"), **options}
            data = from_arrays(inputs, found["label"], split=found["split"], ids=found.get("id"), **parts)
    wrong.tell()
    return data


def _columns(argument: str, where: object, frame: pd.DataFrame) -> Any:  # noqa: ANN401 - Series, DataFrame
    """A column as it is, or several of numbers. Raises `LabError` for one that is not there."""
    named = [where] if isinstance(where, str) else flat(argument, where, "the name of a column, or several")
    unknown = [str(one) for one in named if one not in frame]
    known = list(map(str, frame.columns))
    way_out = did_you_mean(unknown[0], known) if unknown else ""
    way_out = way_out or f"There are {some(known)}."
    require(bool(named) and not unknown, argument, some(unknown), "must be a column of the table", way_out)
    table: Any = frame[named]
    odd = [one for one in named if table[one].dtype.kind in "mM"]
    if not isinstance(where, str):
        numbers = table.apply(lambda column: pd.to_numeric(column, errors="coerce"))
        odd += [one for one in named if (numbers[one].isna() & table[one].notna()).any()]
        table = numbers.astype(float)
        gaps = [one for one in named if one not in odd and table[one].isna().any()]
        way_out = "Leave these columns or rows out, or fill the gaps."
        require(not gaps, argument, f"gaps in {some(gaps)}", "must hold a number in every row", way_out)
    way_out = "Turn it into numbers, or give texts as a modality of their own."
    require(not odd, argument, f"column {some(odd)}", "must hold numbers, no texts or dates", way_out)
    return table[where] if isinstance(where, str) else table
