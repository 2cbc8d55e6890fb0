"""One row per sample, in whatever a user keeps it: numpy, torch, pandas or a list."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Set, Sized
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, bfloat16

from mmkd_lab.core.check import require

Array = npt.NDArray[Any]
Rows = npt.NDArray[np.int64]

_SHOWN = 3


def rows_of(argument: str, value: object) -> Array:
    """An array of numbers, or of objects where rows are text or anything else. Raises `LabError`: no rows."""
    value = _array(value)
    if isinstance(value, np.ma.MaskedArray):
        masked = int(np.ma.getmaskarray(value).sum())
        require(masked == 0, argument, f"{masked} masked values", "must be known everywhere")
        value = value.data
    found: Any = value.to_numpy() if hasattr(value, "to_numpy") else value
    if isinstance(found, Iterable) and not isinstance(found, (np.ndarray, str, bytes, Mapping, Set)):
        found = _listed(list(found))
    rule = "must hold one row per sample: a numpy array, torch tensor, pandas column or list"
    require(isinstance(found, np.ndarray) and found.ndim > 0 and len(found) > 0, argument, value, rule)
    return found.astype(object) if found.dtype.kind in "UT" else np.asarray(found)


def _array(value: Any) -> Any:  # noqa: ANN401 - whatever somebody gives
    """A tensor as an array; anything else as it is."""
    if not isinstance(value, Tensor):
        return value
    dense = value.detach().cpu().to_dense()
    return (dense.float() if dense.dtype == bfloat16 else dense).numpy()


def _listed(items: list[Any]) -> Array:
    """A list of numbers, or of arrays of one shape, as an array; any other as its items are."""
    items = list(map(_array, items))
    kept = np.empty(len(items), dtype=object)
    kept[:] = items
    if any(isinstance(one, (str, bytes)) or one is None for one in items):
        return kept
    try:
        found = np.asarray(items)
    except (ValueError, TypeError, OverflowError):  # ragged, or of several kinds
        return kept
    return found if found.dtype.kind in "biufc" else kept


def gaps(rows: Array) -> Array:
    """Where there is NaN, None, NA or empty text, in the shape of the rows; an array in a row is no gap."""
    if rows.dtype.kind in "biu":
        return np.zeros(rows.shape, dtype=bool)
    import pandas as pd

    gone: Array = np.asarray(pd.isna(rows))
    if rows.dtype.kind == "O":
        gone |= np.array([isinstance(one, str) and not one.strip() for one in rows.flat]).reshape(rows.shape)
    return gone


def complete(argument: str, rows: Array, rule: str, way_out: str = "") -> None:
    """Raise `LabError` where a row holds NaN, None, NA or empty text."""
    lost = np.asarray(gaps(rows).reshape(len(rows), -1).any(axis=1))
    shown = f"{int(lost.sum())} of {len(lost)} missing, first in row {int(lost.argmax())}"
    require(not lost.any(), argument, shown, rule, way_out)


def plain(argument: str, rows: Array, what: str) -> Array:
    """(N,) truth values, whole numbers as int64 (2.0 is one), or objects that are all text. Raises `LabError`
    for anything else, mixtures among it."""
    require(rows.ndim == 1, argument, tuple(rows.shape), "must hold one value per sample")
    if rows.dtype.kind == "O":
        if all(isinstance(one, str) for one in rows):
            return rows
        kinds = {type(one).__name__.strip("_") for one in rows}
        shown, rule = " and ".join(sorted(kinds)), f"must be {what}: all text, or all whole numbers"
        numbers = not any(isinstance(one, (str, bytes, Iterable)) for one in rows)
        require(numbers, argument, shown, rule, "Convert them to one kind.")
        rows = np.asarray(rows.tolist())
    fine = rows.dtype.kind in "biu"
    odd = rows if rows.dtype.kind != "f" else rows[(rows != np.rint(rows)) | (np.abs(rows) >= 2.0**53)]
    require(fine or not len(odd), argument, some(odd.tolist()), f"must be {what}: text or whole numbers")
    small = rows.dtype.kind != "u" or int(rows.max()) < 2**63
    require(small, argument, rows.max(), "must be below 2**63", "Give them as text.")
    return rows if rows.dtype.kind == "b" else rows.astype(np.int64)


def column(argument: str, value: object, n: int, what: str) -> Array:
    """(N,) `plain` values, one for each of the n samples. Raises `LabError` otherwise."""
    rows = rows_of(argument, value)
    complete(argument, rows, "every sample must have one")
    found = plain(argument, rows, what)
    as_long(argument, found, n)
    return found


def some(names: Collection[object]) -> str:
    """`'a', 'b', 'c' and 4 more`."""
    shown = [repr(one) for one in list(names)[:_SHOWN]]
    return ", ".join(shown) + f" and {len(names) - _SHOWN} more" * (len(names) > _SHOWN)


def as_long(argument: str, rows: Sized, n: int) -> None:
    """Raise `LabError` unless there are n rows, as there are labels."""
    shape = tuple(rows.shape) if isinstance(rows, np.ndarray) else (len(rows),)
    rule, way_out = f"must hold one row per sample ({n} labels)", "Row i must be the same sample in all."
    require(len(rows) == n, argument, shape, rule, way_out)
