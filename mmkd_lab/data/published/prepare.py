"""Items of files as rows of one array on disk: read once, in parallel, and resumed where that stopped."""

from __future__ import annotations

import json
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.ahead import ahead
from mmkd_lab.core.atomic import write_text
from mmkd_lab.core.check import LabError, require, told_before, writing
from mmkd_lab.core.fingerprint import digest
from mmkd_lab.core.places import PREPARED_VARIABLE
from mmkd_lab.core.progress import jobs_progress
from mmkd_lab.data.published.sheet import Array, Column, ItemReader, file_of

_AT_ONCE = 16
_RULE = "must be {} as every other item is"


@dataclass(frozen=True, eq=False)
class Prepared:
    """A column as rows on disk.

    Args:
        rows: (U, ...) the items, one for each key, mapped; zeros where one is damaged.
        where: (N,) the row of each sample, -1 for none.
        damaged: {row: what is wrong}.
    """

    rows: np.memmap[Any, Any]
    where: npt.NDArray[np.int64]
    damaged: dict[int, LabError]

    @property
    def lost(self) -> npt.NDArray[np.bool_]:
        """(N,) where a sample's item is damaged."""
        return np.isin(self.where, list(self.damaged))


def prepared(column: Column, folder: Path, *, label: str, jobs: int = 0) -> Prepared:
    """Every item of a column in one file of `folder`, under a name that changes with the reader, the keys and
    the sizes and times of the files.

    `jobs` processes read, 0 for this one alone. Raises `LabError` where the folder cannot be written or no
    item can be read.
    """
    from filelock import FileLock

    keys = list(dict.fromkeys(key for key in column.keys if key is not None))
    require(len(keys) > 0, label, "no item", "must be there for one sample at least")
    number = {key: i for i, key in enumerate(keys)}
    where = np.array([-1 if key is None else number[key] for key in column.keys], dtype=np.int64)
    final = folder / f"{label}-{_name(column.read, keys)}.npy"
    with writing(PREPARED_VARIABLE, folder):
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(final.with_suffix(".lock")):
            if not final.is_file():
                _make(column.read, keys, final, jobs)
    damaged = {
        int(i): told_before(told) for i, told in json.loads(_damaged(final).read_text("utf-8")).items()
    }
    return Prepared(np.load(final, mmap_mode="r", allow_pickle=False), where, damaged)


def _name(read: ItemReader, keys: Sequence[Hashable]) -> str:
    stamps: dict[str, list[int]] = {}
    for file in {file_of(key) for key in keys}:
        if file.is_file():
            about = file.stat()
            stamps[str(file)] = [about.st_size, about.st_mtime_ns]
    made = [type(read).__qualname__, repr(read), [str(key) for key in keys], stamps]
    return digest(made)


def _make(read: ItemReader, keys: Sequence[Hashable], final: Path, jobs: int) -> None:
    """The file, and beside it what is damaged."""
    partial_file, marks = final.with_suffix(".partial"), final.with_suffix(".done")
    if not partial_file.is_file() or not marks.is_file() or marks.stat().st_size != len(keys):
        example = _first(read, keys)
        shape = (len(keys), *example.shape)
        np.lib.format.open_memmap(partial_file, "w+", example.dtype, shape)
        marks.write_bytes(bytes(len(keys)))
    done = np.memmap(marks, np.uint8, "r+")
    left = np.flatnonzero(done == 0)
    parts = [left[i : i + _AT_ONCE] for i in range(0, len(left), _AT_ONCE)]
    questions = [(part.tolist(), [keys[i] for i in part]) for part in parts]
    damaged: dict[int, LabError] = {}
    with jobs_progress(len(left), "item") as bar:
        answers = ahead(partial(_fill, read, partial_file), questions, workers=min(jobs, len(parts)))
        for part, found in zip(parts, answers, strict=True):
            damaged |= found
            done[[i for i in part if i not in found]] = 1
            for key in part:
                bar.update(str(keys[key]))
    write_text(_damaged(final), json.dumps({i: error.told() for i, error in damaged.items()}))
    partial_file.replace(final)
    marks.unlink()


def _damaged(final: Path) -> Path:
    return final.with_suffix(".damaged.json")


def _first(read: ItemReader, keys: Sequence[Hashable]) -> Array:
    """The first item that can be read; raises what is wrong with the first where none can."""
    wrong: LabError | None = None
    for key in keys:
        try:
            return read(key)
        except LabError as error:
            wrong = wrong or error
    assert wrong is not None
    raise wrong


def _fill(read: ItemReader, file: Path, question: tuple[list[int], list[Hashable]]) -> dict[int, LabError]:
    """Write these rows; what is wrong with those that cannot be read."""
    rows, wrong = np.lib.format.open_memmap(file, "r+"), dict[int, LabError]()
    for i, key in zip(*question, strict=True):
        try:
            item = read(key)
            shown, form = f"{item.dtype} {item.shape}", f"{rows.dtype} {rows.shape[1:]}"
            require(shown == form, str(key), shown, _RULE.format(form))
            bad = item.dtype.kind == "f" and not np.isfinite(item).all()
            require(not bad, str(key), "NaN or infinite values", "must be finite")
            rows[i] = item
        except LabError as error:
            wrong[i] = error
    rows.flush()
    return wrong
