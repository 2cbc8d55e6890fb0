"""From the arrays that a dataset's file made to `PairedData`, the same way for every dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.fingerprint import digest
from mmkd_lab.data.manifest import DataFile
from mmkd_lab.data.paired import PairedData
from mmkd_lab.data.text import Vocabulary, words

Rows = npt.NDArray[np.int64]
SPLITS = ("train", "val", "test")
#: `PairedData` of numpy arrays, which it turns into tensors and checks.
paired: Callable[..., PairedData] = PairedData


def facts_of(recipe: object, files: Iterable[DataFile] = (), **more: object) -> dict[str, object]:
    """What determines a dataset: its parameters, the digests of its files, what they came to, and `hash`.

    Where the files were found is left out: it determines nothing.
    """
    names = [one.name for one in fields(recipe) if one.name not in ("mirror", "path")]  # type: ignore[arg-type]
    facts = {**{name: getattr(recipe, name) for name in names}, **more}
    facts["files"] = {file.name: file.sha256 for file in files}
    return {**facts, "hash": digest(facts)}


def consecutive(sizes: Sequence[int]) -> dict[str, Rows]:
    """Splits of rows that stand in this order: the training rows, those for validation, the test."""
    ends = np.cumsum([0, *sizes])
    return {name: np.arange(ends[i], ends[i + 1]) for i, name in enumerate(SPLITS)}


def words_of(
    said: Sequence[str], train: Rows, *, min_count: int, modality: str = "text", longest: int | None = None
) -> dict[str, Any]:
    """`vocabularies` and `captions` of a text fitted on its training rows, and `ids` as long as these.

    With `longest` no text has more words than that.
    """
    vocabulary = Vocabulary.fit([said[i] for i in train], min_count=min_count)
    length = max(1, *(len(words(said[i])) for i in train))
    ids = vocabulary.encode(said, length=length if longest is None else min(length, longest))
    return {"ids": ids, "vocabularies": {modality: vocabulary}, "captions": {modality: tuple(said)}}
