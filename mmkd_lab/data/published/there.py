"""Which of the listed files are there, and which samples have something to be seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mmkd_lab.core.check import DamagedFile
from mmkd_lab.data.published.sheet import Column, Sheet
from mmkd_lab.data.published.tables import Record


def first_folder(root: Path, names: Iterable[str]) -> Path:
    """The first of these folders that is there, else the last. `.` is the root itself."""
    places = [root / name for name in names]
    return next((one for one in places if one.is_dir()), places[-1])


def there(paths: Sequence[Path | None], root: Path, what: str) -> tuple[list[Path | None], tuple[str, ...]]:
    """Each path, or None where there is no such file, and the missing ones below the root, each once.

    Raises `DamagedFile` where there is none at all; `what` says of what.
    """
    known = {one: one.is_file() for one in dict.fromkeys(paths) if one is not None}
    missing = tuple(_below(root, one) for one, found in known.items() if not found)
    if known and len(missing) == len(known):
        first = next(iter(known))
        way_out = f"Unpack or link the {what} there, under the names that the lists give."
        raise DamagedFile(
            str(first.parent), f"none of {len(known):,} {what}", f"must hold the {what}", way_out
        )
    return [one if one is not None and known[one] else None for one in paths], missing


def _below(root: Path, file: Path) -> str:
    base = next((one for one in (root, root.resolve()) if file.is_relative_to(one)), None)
    return (file if base is None else file.relative_to(base)).as_posix()


def present(columns: Mapping[str, Column]) -> dict[str, Column]:
    """The modalities that some sample has: a set may be there in one alone."""
    return {name: one for name, one in columns.items() if any(key is not None for key in one.keys)}


def seen(sheet: Sheet, *, whole: bool = False) -> Sheet:
    """The samples that have one modality at least, or every one; a note says how many had not."""
    each = [x.keys if isinstance(x, Column) else x for x in sheet.modalities.values()]
    enough = all if whole else any
    kept = np.array([enough(one[i] is not None for one in each) for i in range(len(sheet))], dtype=bool)
    if kept.all():
        return sheet
    lack = "lack a modality" if whole else "have no modality at all"
    note = f"{int((~kept).sum()):,} samples {lack} and are left out"
    return replace(sheet.rows(np.flatnonzero(kept)), notes=(*sheet.notes, note))


def one_side(members: Iterable[tuple[str, str, Record]], what: str) -> None:
    """Raise `DamagedFile`, naming both lines, where something is in two splits: (it, split, line) of each."""
    first: dict[str, tuple[str, Record]] = {}
    for one, split, row in members:
        known, other = first.setdefault(one, (split, row))
        if known != split:
            where = f"{other.file.name}, line {other.line}"
            raise row.wrong(f"{what} {one!r} in {split}", f"must not be in {known} as well: {where}")
