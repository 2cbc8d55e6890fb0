"""From the arrays that a dataset's file made to `PairedData`, the same way for every dataset."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.fingerprint import digest
from mmkd_lab.data.manifest import DataFile
from mmkd_lab.data.paired import PairedData

Rows = npt.NDArray[np.int64]
SPLITS = ("train", "val", "test")


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


def paired(name: str, **parts: Any) -> PairedData:  # noqa: ANN401 - `PairedData` itself checks them
    """`PairedData` of numpy arrays; the arguments are those of `PairedData`."""
    return PairedData(name, **parts)


def words_of(said: Sequence[str], train: Rows, *, min_count: int) -> dict[str, Any]:
    """The `vocabularies` and `captions` of a text modality fitted on its training rows, and its `ids`.

    ids: (N, L), L the longest training text.
    """
    from mmkd_lab.data.text import Vocabulary, words

    vocabulary = Vocabulary.fit([said[i] for i in train], min_count=min_count)
    length = max(len(words(said[i])) for i in train)
    return {
        "ids": vocabulary.encode(said, length=length),
        "vocabularies": {"text": vocabulary},
        "captions": {"text": tuple(said)},
    }
