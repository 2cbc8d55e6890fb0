"""What the lists of a published data set say, before any of its pictures or sounds is read."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.check import require
from mmkd_lab.data.task import Task

Array = npt.NDArray[Any]


class ItemReader(Protocol):
    """A frozen dataclass of plain fields that reads one item, in any process.

    It gives arrays of one shape and type: pictures uint8 (colours, H, W), anything else float32; label maps
    of a dense task int16 (H, W), -1 where there is none. Raises `DamagedFile` that names the file, and the
    key inside it.
    """

    def __call__(self, key: Any) -> Array: ...  # noqa: ANN401, D102 - whatever the keys are


@dataclass(frozen=True, eq=False)
class Column:
    """A modality in files, unread.

    Args:
        keys: one per sample: a path, or a tuple that begins with one, such as (path, row). None where the
            sample lacks the modality. Samples may share a key: it is read, and kept, once.
        read: what reads a key.
    """

    keys: Sequence[Hashable]
    read: ItemReader


@dataclass(frozen=True, eq=False)
class Sheet:
    """A data set as its lists have it, N samples.

    Args:
        ids: N distinct texts, as the set calls its samples.
        classes: names, in the order of the class numbers.
        task: what the target is.
        target: as `PairedData` has it; of a dense task a `Column` of label maps.
        split: N of 'train', 'val', 'test'. Without any 'val' a fifth of 'train' becomes it, groups whole.
            None where none is published: 60 / 20 / 20 %, groups whole.
        modalities: name -> a `Column`, N texts (None where there is none), or an array (N, ...).
        group: N names of what must not stand on both sides of a split, or None.
        layout: which of the forms in circulation this is, and how that is known.
        notes: what was decided, in words.
        files: the lists that were read.
        missing: what the lists name and the folder lacks.
        metrics: those that the set reports beside its task's own, see `PairedData`.
    """

    ids: tuple[str, ...]
    classes: tuple[str, ...]
    task: Task
    target: Array | Column
    split: tuple[str, ...] | None
    modalities: Mapping[str, Column | tuple[str | None, ...] | Array]
    group: tuple[str, ...] | None = None
    layout: str = ""
    notes: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    missing: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        columns = {name: x.keys if isinstance(x, Column) else x for name, x in self.modalities.items()}
        target = self.target.keys if isinstance(self.target, Column) else self.target
        every: dict[str, Any] = {**columns, "target": target, "split": self.split, "group": self.group}
        long = {name: len(x) for name, x in every.items() if x is not None and len(x) != len(self.ids)}
        require(not long, "sheet", long, f"must hold one row per sample, {len(self.ids)}")

    def __len__(self) -> int:
        return len(self.ids)

    def of(self, split: str) -> npt.NDArray[np.int64]:
        """The rows of a published split."""
        return np.flatnonzero(np.array(self.split or ()) == split)

    @property
    def columns(self) -> dict[str, Column]:
        """What is read of files, by modality; the label maps of a dense task as 'target'."""
        found = {name: x for name, x in self.modalities.items() if isinstance(x, Column)}
        return found | ({"target": self.target} if isinstance(self.target, Column) else {})

    def rows(self, which: npt.NDArray[np.int64]) -> Sheet:
        """These samples alone."""

        def some(x: Any) -> Any:  # noqa: ANN401 - any of the columns
            if isinstance(x, Column):
                return Column([x.keys[i] for i in which], x.read)
            return x[which] if isinstance(x, np.ndarray) else x and tuple(x[i] for i in which)

        kept = {name: some(getattr(self, name)) for name in ("ids", "target", "split", "group")}
        return replace(self, **kept, modalities={name: some(x) for name, x in self.modalities.items()})


def file_of(key: Any) -> Path:  # noqa: ANN401 - whatever the keys are
    """The file that a key of a column names."""
    return Path(key[0] if isinstance(key, tuple) else key)


def whole_groups(group: Sequence[str], split: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """Groups as they are; one that a published split tears becomes one in each split, and a note says so."""
    sides: dict[str, set[str]] = {}
    for one, name in zip(group, split, strict=True):
        sides.setdefault(one, set()).add(name)
    torn = {one for one, names in sides.items() if len(names) > 1}
    found = tuple(f"{one} ({name})" if one in torn else one for one, name in zip(group, split, strict=True))
    shown = f"{len(torn):,} of {len(sides):,} groups are on both sides of the published split"
    return found, f"{shown}, as {min(torn)}" if torn else ""
