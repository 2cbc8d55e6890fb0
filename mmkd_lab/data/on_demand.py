"""Modalities that stay where they are, on disk or in a Dataset: rows are read when they are asked for."""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mmkd_lab.core.check import DamagedFile, LabError, require

#: The most bytes of such a modality that are held at once because somebody asks for all of it.
MOST = 2**30
#: Bytes read at once while all rows are looked at.
BLOCK = 2**24
_COLOURS, _SIDE = 4, 8  # the most colours of a picture, and its shortest side
_KINDS = ("f2", "f4", "f8", "u1", "i1", "i2", "i4")
_CHANGED = "has changed since the data was made of it"


def is_kept(dtype: np.dtype[np.generic]) -> bool:
    """Whether numbers of this type may stay where they are."""
    return dtype.isnative and dtype.str[1:] in _KINDS


def turned(shape: Sequence[int], dtype: object) -> str:
    """What must be done with bytes (H, W, colours) or (H, W) to be a picture, colours first: 'last', 'grey',
    or nothing, ''."""
    if dtype != np.uint8 or not 2 <= len(shape) <= 3:
        return ""
    if len(shape) == 2:
        return "grey" if min(shape) >= _SIDE else ""
    first = shape[0] <= _COLOURS and min(shape[1:]) >= _SIDE
    return "last" if shape[2] <= _COLOURS and min(shape[:2]) >= _SIDE and not first else ""


def as_picture(values: npt.NDArray[Any], how: str) -> npt.NDArray[Any]:
    """(B, ...) after what `turned` says."""
    if how == "last":
        return np.ascontiguousarray(np.moveaxis(values, -1, 1))
    return values[:, None] if how == "grey" else values


def widened(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Numbers as a network is given them: floating ones as `dtype`; bytes (uint8), which are pictures, too,
    from 0 to 1 in place of 255; other integers as they are, int64 being token ids."""
    if values.dtype == torch.uint8:
        return values.to(dtype).div_(255)
    return values.to(dtype) if values.is_floating_point() else values


class Reader(Protocol):
    """What stands behind rows. `forms` has the shape of one row and its type, by name; `workers` is how many
    processes may read at a time. It travels to other processes without its values."""

    @property
    def workers(self) -> int: ...  # noqa: D102

    @property
    def forms(self) -> Mapping[str, tuple[tuple[int, ...], torch.dtype]]: ...  # noqa: D102

    def read(self, names: Sequence[str], positions: npt.NDArray[np.int64]) -> dict[str, Tensor]:
        """{name: (len(positions), ...)}."""

    def digest(self, name: str) -> str:
        """Hex digits that change with any value."""

    def unchanged(self) -> None:
        """Raise `DamagedFile` if what it reads is no longer what it was."""

    def __len__(self) -> int: ...


class OnDemand:
    """A modality (N, ...) that is not held in memory.

    It tells what a tensor tells of itself, `rows[positions]` is a tensor of these rows, and `cpu()` is all of
    it, for whoever needs it so: refused from `MOST` bytes.
    """

    device = torch.device("cpu")
    layout = torch.strided

    def __init__(self, reader: Reader, name: str, where: Tensor | None = None) -> None:
        self.reader, self.name, self.where = reader, name, where
        form, self.dtype = reader.forms[name]
        self.shape = torch.Size((len(reader) if where is None else len(where), *form))

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def ndim(self) -> int:
        """Axes, the samples' first."""
        return len(self.shape)

    @property
    def row_bytes(self) -> int:
        """Of one row."""
        return prod(self.shape[1:]) * self.dtype.itemsize

    def numel(self) -> int:
        """How many numbers there are."""
        return prod(self.shape)

    def is_floating_point(self) -> bool:
        """Whether they are floating."""
        return self.dtype.is_floating_point

    def __getitem__(self, where: Tensor | int | slice) -> Tensor:
        return fetch({self.name: self}, [self.name], self._known(where))[self.name]

    def _known(self, where: Tensor | int | slice) -> Tensor:
        """Positions as they are; of anything else that picks samples, the positions that it picks."""
        plain = isinstance(where, Tensor) and where.dtype == torch.int64
        return where if plain else torch.arange(len(self))[where]  # type: ignore[return-value]

    def at(self, positions: Tensor) -> npt.NDArray[np.int64]:
        """Where the reader has these positions (B,). Raises `IndexError` for one that is not there."""
        inside = not len(positions) or (int(positions.min()) >= 0 and int(positions.max()) < len(self))
        if not inside:
            raise IndexError(f"positions must lie between 0 and {len(self) - 1}")
        found = positions.cpu() if self.where is None else self.where[positions.cpu()]
        return found.numpy()

    def select(self, positions: Tensor) -> OnDemand:
        """These rows alone, unread."""
        return OnDemand(self.reader, self.name, torch.from_numpy(self.at(positions)))

    def to(self, device: object) -> OnDemand:
        """The same: rows go to a device when they are read."""
        return self

    def cpu(self) -> Tensor:
        """All rows. Raises `LabError` where they are too many to be held at once."""
        size = len(self) * self.row_bytes
        rule = f"is read row by row, and what needs all of it at once is done up to {MOST / 2**30:g} GiB"
        shown = f"{size / 2**30:.1f} GiB"
        require(size <= MOST, f"modality {self.name!r}", shown, rule, "Take a part: data.select(positions).")
        return self[torch.arange(len(self))]

    def digest(self) -> str:
        """Hex digits that change with any value, the type or the shape."""
        told = f"{self.reader.digest(self.name)}:{self.dtype}:{tuple(self.shape)}".encode()
        return hashlib.sha256(
            told + (b"" if self.where is None else self.where.numpy().tobytes())
        ).hexdigest()


Values = Tensor | OnDemand


def fetch(values: Mapping[str, Values], names: Iterable[str], positions: Tensor) -> dict[str, Tensor]:
    """{name: (*positions.shape, ...)}; what one reader has of a sample is read together."""
    found: dict[str, Tensor] = {}
    asked: list[tuple[Reader, npt.NDArray[np.int64], dict[str, str]]] = []
    for name in names:
        one = values[name]
        if isinstance(one, Tensor):
            found[name] = one[positions.to(one.device)]
            continue
        at = one.at(positions.reshape(-1))
        same = (own for reader, there, own in asked if reader is one.reader and np.array_equal(there, at))
        own = next(same, None)
        if own is None:
            asked.append((one.reader, at, own := {}))
        own[one.name] = name
    for reader, at, own in asked:
        for name, read in reader.read(list(own), at).items():
            found[own[name]] = read.view(*positions.shape, *read.shape[1:])
    return {name: found[name] for name in names}


class Scan:
    """What is found out of a modality while all its rows pass by once: its digest, and that it is finite."""

    def __init__(self, argument: str) -> None:
        self.argument, self.rows, self.bad, self.first, self.total = argument, 0, 0, -1, hashlib.sha256()

    def see(self, block: npt.NDArray[np.generic]) -> None:
        """The next rows."""
        self.total.update(np.ascontiguousarray(block).data)
        if block.dtype.kind == "f":
            single = block.reshape(len(block), -1).astype(np.float32, copy=False)
            odd = np.flatnonzero(~np.isfinite(single).all(axis=1))
            self.first = self.rows + int(odd[0]) if len(odd) and not self.bad else self.first
            self.bad += len(odd)
        self.rows += len(block)

    def digest(self) -> str:
        """Of all rows. Raises `LabError` if one is not finite."""
        if self.bad:
            shown = f"{self.bad} rows with NaN or infinite values, first row {self.first}"
            rule = "must be finite, in single precision too"
            raise LabError(self.argument, shown, rule, "Drop, repair or rescale these samples first.")
        return self.total.hexdigest()


@dataclass(frozen=True)
class MappedFile:
    """Rows of a file that is an array, read by seeking: what is read is held, and nothing else of the file.

    (The pages of a mapped array count as this process's memory, and are there as long as the system likes.)

    Args:
        path: of the file.
        offset: where its first row begins, in bytes.
        stride: from one row to the next, in bytes.
        shape: of the array.
        kind: its type, as numpy writes it.
        stamp: the file's size and time of last change.
        picture: what is done with its rows, see `turned`.
    """

    path: str
    offset: int
    stride: int
    shape: tuple[int, ...]
    kind: str
    stamp: tuple[int, int]
    picture: str = ""
    workers: int = 0

    @classmethod
    def of(cls, array: object) -> MappedFile | None:
        """The file behind a mapped array, or None for what is none, or not rows of numbers in one piece each:
        token ids and arrays that changed in memory alone (mode 'c') are held as any other."""
        if not isinstance(array, np.memmap) or array.filename is None or array.mode == "c":
            return None
        whole = array.ndim > 0 and len(array) > 0 and is_kept(array.dtype)
        if not whole or not array[0].flags.c_contiguous or array.strides[0] < array[0].nbytes:
            return None
        if array.mode != "r":
            array.flush()
        base = np.frombuffer(array._mmap, dtype=np.uint8).ctypes.data  # type: ignore[attr-defined]
        begins = array.offset - array.offset % mmap.ALLOCATIONGRANULARITY
        path = os.path.abspath(array.filename)  # noqa: PTH100 - a Path resolves links, which may be moved
        known = cls(
            path, begins + array.ctypes.data - base, array.strides[0], array.shape, array.dtype.str, (0, 0)
        )
        about = os.stat(path)  # noqa: PTH116
        return replace(known, stamp=(about.st_size, about.st_mtime_ns))

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def name(self) -> str:
        """Of the file, without its folder."""
        return Path(self.path).name

    @property
    def forms(self) -> Mapping[str, tuple[tuple[int, ...], torch.dtype]]:
        """Under the only name, that of the file."""
        one = torch.from_numpy(as_picture(np.empty((0, *self.shape[1:]), self.kind), self.picture))
        return {self.name: (tuple(one.shape[1:]), one.dtype)}

    def read(self, names: Sequence[str], positions: npt.NDArray[np.int64]) -> dict[str, Tensor]:
        """Rows in the order asked for; neighbours are read in one go. Raises `DamagedFile`."""
        found = np.empty((len(positions), *self.shape[1:]), self.kind)
        size = found[:1].nbytes
        into = memoryview(found.reshape(-1).view(np.uint8))  # type: ignore[arg-type]
        apart = np.diff(positions) != 1 if size == self.stride else np.ones(max(0, len(positions) - 1), bool)
        starts = [0, *(np.flatnonzero(apart) + 1).tolist(), len(positions)] if len(positions) else []
        self.unchanged()
        with open(self.path, "rb", buffering=0) as file:  # noqa: PTH123
            for start, stop in pairwise(starts):
                file.seek(self.offset + int(positions[start]) * self.stride)
                if file.readinto(into[start * size : stop * size]) != (stop - start) * size:
                    raise DamagedFile(self.path, "truncated", _CHANGED, "Fetch it, and load it, again")
        return {name: torch.from_numpy(as_picture(found, self.picture)) for name in names}

    def digest(self, name: str) -> str:
        """Of all rows, read once in a process."""
        self.unchanged()
        return _digest(self)

    def unchanged(self) -> None:
        """Raise `DamagedFile` unless the file has the size and the time that it had."""
        try:
            about = os.stat(self.path)  # noqa: PTH116
        except OSError as error:
            raise DamagedFile(self.path, error.strerror, "can no longer be read", "Load it again") from error
        if (about.st_size, about.st_mtime_ns) != self.stamp:
            shown = f"{about.st_size:,} bytes, and {self.stamp[0]:,} then"
            raise DamagedFile(self.path, shown, _CHANGED, "Load it, and make the data, again")


@cache
def _digest(file: MappedFile) -> str:
    seen, many = Scan(f"rows of {file.path}"), max(1, BLOCK // max(1, file.stride))
    for start in range(0, len(file), many):
        at = np.arange(start, min(start + many, len(file)))
        seen.see(file.read([file.name], at)[file.name].numpy())
    return seen.digest()
