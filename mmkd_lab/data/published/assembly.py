"""From a sheet to `PairedData`: files are read into rows on disk, texts become ids, splits are completed."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from mmkd_lab.core.check import LabError, reading, require
from mmkd_lab.core.complaints import Complaints
from mmkd_lab.core.fingerprint import digest
from mmkd_lab.core.places import prepared_folder
from mmkd_lab.data.assemble import SPLITS, paired, words_of
from mmkd_lab.data.on_demand import MappedFile, OnDemand
from mmkd_lab.data.own.labels import Labels
from mmkd_lab.data.own.splits import Divisible, Splits, splits_of
from mmkd_lab.data.paired import PairedData
from mmkd_lab.data.published.prepare import Prepared, prepared
from mmkd_lab.data.published.recipes import Published
from mmkd_lab.data.published.sheet import Array, Sheet
from mmkd_lab.data.task import Task

_LONGEST = 256  # words of a text that are read


def assembled(name: str, sheet: Sheet, recipe: Published, facts: dict[str, object]) -> PairedData:
    """The data of a sheet. `facts` are the parameters that determine it.

    Raises one `DamagedFile` that names every damaged item, unless the recipe has them dropped, and `LabError`
    for what `PairedData` refuses.
    """
    folder = prepared_folder() / name
    found = {
        label: prepared(column, folder, label=label, jobs=recipe.jobs)
        for label, column in sheet.columns.items()
    }
    sheet, found = _sound(sheet, found, recipe)
    splits, note = _splits(sheet, recipe)
    held: dict[str, Any] = {"vocabularies": {}, "captions": {}, "present": {}, "sources": {}}
    modalities: dict[str, Any] = {}
    for label, values in sheet.modalities.items():
        if label in found:
            modalities[label] = _rows(found[label])
            there = found[label].where >= 0
            shared = len(found[label].rows) < int(there.sum())
            held["sources"] |= {label: found[label].where} if shared else {}
        elif isinstance(values, tuple):
            there = np.array([text is not None for text in values])
            said = _words(label, values, splits["train"][there[splits["train"]]], recipe.min_count)
            modalities[label] = said.pop("ids")
            held = {kind: {**held[kind], **said.get(kind, {})} for kind in held}
        else:
            modalities[label], there = values, np.ones(len(sheet), dtype=bool)
        held["present"] |= {} if there.all() else {label: there}
    group = None if sheet.group is None else np.unique(sheet.group, return_inverse=True)[1]
    read = {str(file.name): _sha256(file) for file in sheet.files}
    facts = {**facts, "files": read, "notes": tuple(filter(None, [*sheet.notes, note]))}
    return paired(
        name,
        modalities=modalities,
        target=found["target"].rows[found["target"].where] if "target" in found else sheet.target,
        splits=splits,
        classes=sheet.classes,
        task=sheet.task,
        ids=sheet.ids,
        group=group,
        recipe={**facts, "hash": digest(facts)},
        metrics=sheet.metrics,
        **held,
    )


def _sound(sheet: Sheet, found: dict[str, Prepared], recipe: Published) -> tuple[Sheet, dict[str, Prepared]]:
    """Without the samples of which an item is damaged, where these are dropped."""
    wrong = Complaints()
    wrong.found += [error for one in found.values() for _, error in sorted(one.damaged.items())]
    if not wrong.found:
        return sheet, found
    lost = np.any([one.lost for one in found.values()], axis=0)
    if recipe.damaged == "refuse":
        if len(wrong.found) == 1:
            _refuse(wrong.found[0])
        wrong.tell()
    kept = np.flatnonzero(~lost)
    require(len(kept) > 0, "damaged", "every sample", "must leave something")
    first = wrong.found[0]
    note = f"{len(wrong.found):,} damaged items, {int(lost.sum()):,} samples left out, as {first}"
    sheet = replace(sheet.rows(kept), notes=(*sheet.notes, note))
    return sheet, {label: replace(one, where=one.where[kept]) for label, one in found.items()}


def _refuse(error: LabError) -> None:
    way_out = f"{error.way_out} Or leave such samples out: damaged='drop'.".strip()
    raise type(error)(error.argument, error.value, error.rule, way_out)


def _splits(sheet: Sheet, recipe: Published) -> tuple[Splits, str]:
    """Positions by split, and a note where a validation split had to be made."""
    given = None if sheet.split is None else {one: rows for one in SPLITS if len(rows := sheet.of(one))}
    labels = Labels(np.zeros(len(sheet), dtype=np.int64), ("samples",))
    if isinstance(sheet.target, np.ndarray) and sheet.task in (Task.SINGLE_LABEL, Task.MULTI_LABEL):
        labels = Labels(sheet.target, sheet.classes, sheet.task)
    group = None if sheet.group is None else np.array(sheet.group, dtype=object)
    samples = Divisible(labels, np.array(sheet.ids, dtype=object), group)
    found, note = splits_of(given, samples, recipe.seed, wrong := Complaints())
    wrong.tell()
    return found, "" if given is not None and "val" in given else note


def _rows(one: Prepared) -> OnDemand | Array:
    """Rows that stay on disk. A sample that has none is shown the first, and nobody sees it."""
    file = MappedFile.of(one.rows)
    where = np.maximum(one.where, 0)
    if file is None:
        return np.asarray(one.rows)[where]
    plain = len(where) == len(one.rows) and bool((where == np.arange(len(where))).all())
    return OnDemand(file, file.name, None if plain else torch.from_numpy(where))


def _words(label: str, said: tuple[str | None, ...], train: Array, min_count: int) -> dict[str, Any]:
    texts = [text or "" for text in said]
    return words_of(texts, train, min_count=min_count, modality=label, longest=_LONGEST)


def _sha256(file: Any) -> str:  # noqa: ANN401 - a path
    with reading(file, "must be a file that can be read"), file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
