"""What a network reads, as somebody keeps it: numbers, pictures, token ids, or texts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mmkd_lab.core.check import LabError, require
from mmkd_lab.data.on_demand import MappedFile, OnDemand, turned
from mmkd_lab.data.own.rows import Array, gaps, rows_of
from mmkd_lab.data.validate import as_tensor, validate_modality

#: As `models.axes` has it: the most channels of a picture, and its shortest side.
_CHANNELS, _SMALLEST = 4, 8
_EXACT = 2**24  # the whole numbers that single precision holds

Values = Array | tuple[str, ...] | OnDemand


@dataclass(frozen=True, eq=False)
class Input:
    """(N, ...) numbers or N texts; (N,) where they are there, None for everywhere; what was decided."""

    values: Values
    present: Array | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.values)


def input_of(argument: str, value: object, *, tokens: bool, last: bool | None) -> Input:
    """What one modality is, by `from_arrays`' rules: a row of nothing but gaps is a sample that lacks it, and
    holds what the first row that is there does.

    Raises `LabError` for rows of several shapes, neither numbers nor text, gaps within a row, and infinity.
    """
    if isinstance(value, OnDemand):
        return Input(value)
    if not tokens and (file := MappedFile.of(value)) is not None:
        found, note = _mapped(argument, file, last)
        return Input(found, None, (note,))
    rows, present = _filled(argument, rows_of(argument, value))
    values, note = _values(argument, rows, tokens=tokens, last=last)
    lost = 0 if present is None else int((~present).sum())
    told = [note, f"{argument} is missing in {lost} of {len(rows)} samples" * (lost > 0)]
    return Input(values, present, tuple(filter(None, told)))


def _filled(argument: str, rows: Array) -> tuple[Array, Array | None]:
    """The rows, those of nothing but gaps filled, and the mask of the others; None where none is missing."""
    gone = np.asarray(gaps(rows).reshape(len(rows), -1).all(axis=1))
    if not rows.size or not gone.any():
        return rows, None
    require(not gone.all(), argument, "gaps alone", "must be there for one sample at least", "Leave it out.")
    first, found = int(gone.argmin()), rows.copy()
    for i in np.flatnonzero(gone):  # one by one: a row may be an array itself
        found[i] = rows[first]
    return found, ~gone


def _values(argument: str, rows: Array, *, tokens: bool, last: bool | None) -> tuple[Values, str]:
    if rows.dtype.kind == "O" and rows.ndim == 1 and any(isinstance(one, str) for one in rows):
        odd = [f"{one!r} in row {i}" for i, one in enumerate(rows) if not isinstance(one, str)]
        require(not odd, argument, odd[:1], "must hold a text in every row")
        return tuple(map(str, rows)), ""
    numbers = _stacked(argument, rows)
    if tokens:
        shown = f"{numbers.dtype} {tuple(numbers.shape)}"
        fine = numbers.dtype.kind in "iu" and numbers.ndim == 2
        require(fine, argument, shown, "must be whole numbers (N, L), as it is named in `tokens`")
        return numbers.astype(np.int64), ""
    found, note = _pictures(argument, numbers, last)
    if found.dtype.kind != "f" or found.dtype.itemsize > 8:
        wide = found.dtype.kind == "f" or (found.dtype.itemsize > 2 and np.abs(found).max(initial=0) > _EXACT)
        found = found.astype(np.float64 if wide else np.float32)
    found = np.ascontiguousarray(found, dtype=found.dtype.newbyteorder("="))
    validate_modality(argument, as_tensor(argument, found), len(found))
    return found, note


def _mapped(argument: str, file: MappedFile, last: bool | None) -> tuple[OnDemand, str]:
    """Numbers that stay in their file; pictures of bytes as `_pictures` has them, as they are read."""
    how = turned(file.shape[1:], np.dtype(file.kind)) if last is None else "last" * last
    file = replace(file, picture=how)
    found = OnDemand(file, file.name)
    turn = f", and read as pictures {tuple(found.shape[1:])}" * bool(how)
    return found, f"{argument} stays in {file.name}{turn}"


def _stacked(argument: str, rows: Array) -> Array:
    """Numbers, (N, 1) at the least; objects that are arrays of one shape as one array."""
    if rows.dtype.kind == "O":
        parts: list[Array] = []
        for i, one in enumerate(rows if rows.ndim == 1 else rows.reshape(len(rows), -1)):
            shown = f"{one!r}"[:20] + f" in row {i}"
            try:
                part = np.asarray(one)
                parts.append(part if part.dtype.kind in "biuf" else part.astype(np.float64))
            except (TypeError, ValueError, OverflowError) as error:
                raise LabError(argument, shown, "must hold numbers, or a text in every row") from error
            rule, way_out = f"must have one shape, and row 0 has {parts[0].shape}", "Cut, pad or resize them."
            same = parts[i].shape == parts[0].shape
            require(same, argument, f"{parts[i].shape} in row {i}", rule, way_out)
        rows = np.stack(parts).reshape(len(rows), *(rows.shape[1:] if rows.ndim > 1 else parts[0].shape))
    shown = f"{rows.dtype} {tuple(rows.shape)}"
    require(rows.dtype.kind in "biuf", argument, shown, "must be numbers, or a list of texts")
    return rows[:, None] if rows.ndim == 1 else rows


def _pictures(argument: str, rows: Array, last: bool | None) -> tuple[Array, str]:
    """Bytes that are pictures from 0 to 1, and colours before height and width."""
    shape, is_bytes = rows.shape, rows.dtype == np.uint8
    first = len(shape) == 4 and shape[1] <= _CHANNELS and min(shape[2:]) >= _SMALLEST
    turn = len(shape) == 4 and shape[3] <= _CHANNELS and min(shape[1:3]) >= _SMALLEST and not first
    turn = turn and (is_bytes or (shape[1] == shape[2] and shape[3] != 2)) if last is None else last
    grey = is_bytes and len(shape) == 3 and min(shape[1:]) >= _SMALLEST
    rule = "must be (N, height, width, channels), as it is named in `channels_last`"
    require(not turn or len(shape) == 4, argument, tuple(shape), rule)
    found = np.moveaxis(rows, 3, 1) if turn else rows[:, None] if grey else rows
    note = f"{argument} {shape[1:]} is read as a picture {found.shape[1:]}" if turn or grey else ""
    if is_bytes and (turn or grey or first):
        found = np.divide(found, np.float32(255.0), dtype=np.float32)
        note = f"{note}, from 0 to 1" if note else f"{argument}: bytes go from 0 to 1"
    return found, note
