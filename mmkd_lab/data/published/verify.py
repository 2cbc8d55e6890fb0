"""Look at the files of a published data set: its form, names and counts, labels, splits, and some items."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mmkd_lab.core.ahead import ahead
from mmkd_lab.core.atomic import write_text
from mmkd_lab.core.check import LabError
from mmkd_lab.core.places import prepared_folder
from mmkd_lab.core.progress import jobs_progress
from mmkd_lab.core.seed import derive
from mmkd_lab.data.published.publication import Observation, Publication
from mmkd_lab.data.published.recipes import Published
from mmkd_lab.data.published.sheet import ItemReader, Sheet
from mmkd_lab.data.task import Task

_SOME, _FEW, _AT_ONCE = 50, 3, 8


def verify(
    publication: Publication, recipe: Published, *, mirror: str | Path | None = None, full: bool = False
) -> Iterator[Observation]:
    """What is found, the cheap things first; `full` reads every item, by the recipe's `jobs` processes.

    A 'stop' is what stops a run; nothing is raised for it.
    """
    try:
        folder = publication.folder(recipe, mirror)
        sheet = publication.sheet(recipe, mirror)
    except LabError as error:
        yield Observation("stop", "files", str(error))
        return
    yield Observation("ok", "layout", f"{sheet.layout or publication.title} in {folder}")
    yield from (Observation("note", "decided", note) for note in sheet.notes if note != sheet.layout)
    yield from _counts(publication, sheet)
    yield from _labels(sheet)
    yield from _sides(sheet)
    if publication.examine is not None:
        yield from publication.examine(folder, recipe, sheet)
    yield from _items(sheet, recipe.jobs, full)


def _counts(publication: Publication, sheet: Sheet) -> Iterator[Observation]:
    counts = Counter(sheet.split or ["all"] * len(sheet))
    shown = ", ".join(f"{name} {counts[name]:,}" for name in counts)
    expected = publication.expected or {}
    less = {name: n for name, n in expected.items() if counts[name] != n}
    whole = f"; the whole set has {', '.join(f'{name} {n:,}' for name, n in less.items())}" if less else ""
    yield Observation("note" if less else "ok", "samples", f"{len(sheet):,}: {shown}{whole}")
    if sheet.missing:
        file = write_text(
            prepared_folder() / f"{publication.name}.missing.txt", "\n".join(sheet.missing) + "\n"
        )
        first = ", ".join(sheet.missing[:_FEW])
        yield Observation("note", "missing", f"{len(sheet.missing):,}, as {first}; all of them in {file}")


def _labels(sheet: Sheet) -> Iterator[Observation]:
    twice = [one for one, n in Counter(sheet.ids).items() if n > 1]
    if twice:
        yield Observation("stop", "ids", f"{len(twice):,} occur more than once, as {twice[:_FEW]}")
    if sheet.task is not Task.SINGLE_LABEL or not isinstance(sheet.target, np.ndarray):
        yield Observation("ok", "labels", f"{sheet.task.value}: {len(sheet.classes)}")
        return
    for name in dict.fromkeys(sheet.split or ()):
        seen = set(sheet.target[sheet.of(name)].tolist())
        absent = [one for i, one in enumerate(sheet.classes) if i not in seen]
        if absent:
            shown = ", ".join(absent[:_FEW])
            yield Observation("stop", "labels", f"{len(absent)} classes have no sample in {name}, as {shown}")
    yield Observation(
        "ok", "labels", f"{len(sheet.classes)} classes, in the order {', '.join(sheet.classes[:5])} ..."
    )


def _sides(sheet: Sheet) -> Iterator[Observation]:
    if sheet.group is None:
        yield Observation("note", "groups", "none are known: what the splits share cannot be told")
        return
    if sheet.split is None:
        yield Observation("ok", "groups", f"{len(set(sheet.group)):,}, kept whole when splits are drawn")
        return
    sides: dict[str, set[str]] = {}
    for one, split in zip(sheet.group, sheet.split, strict=True):
        sides.setdefault(one, set()).add(split)
    torn = [one for one, names in sides.items() if len(names) > 1]
    state, shown = ("stop", f", as {', '.join(torn[:_FEW])}") if torn else ("ok", "")
    yield Observation(state, "groups", f"{len(torn):,} of {len(sides):,} are on both sides of a split{shown}")


def _items(sheet: Sheet, jobs: int, full: bool) -> Iterator[Observation]:
    for label, column in sheet.columns.items():
        keys: list[Any] = list(dict.fromkeys(key for key in column.keys if key is not None))
        if not full and len(keys) > _SOME:
            chosen = np.random.default_rng(derive(0, "verify", label)).choice(len(keys), _SOME, replace=False)
            keys = [keys[i] for i in np.sort(chosen)]
        parts = [keys[i : i + _AT_ONCE] for i in range(0, len(keys), _AT_ONCE)]
        damaged = 0
        answers = ahead(partial(_wrong, column.read), parts, workers=min(jobs, len(parts)))
        with jobs_progress(len(keys), "item") as bar:
            for part, found in zip(parts, answers, strict=True):
                damaged += len(found)
                for key in part:
                    bar.update(str(key))
                yield from (Observation("stop", label, text) for text in found)
        state = "note" if damaged else "ok"
        yield Observation(state, label, f"{len(keys):,} items read, {damaged:,} damaged")


def _wrong(read: ItemReader, keys: list[Any]) -> list[str]:
    found = []
    for key in keys:
        try:
            read(key)
        except LabError as error:
            found.append(str(error))
    return found
