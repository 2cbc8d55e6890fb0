"""emoji: small pictures with their names and keywords, to be told apart by group or by keyword.

1,601 emoji of one family, 32 by 32 pixels, in eight groups (Apache-2.0 / OFL / MIT). With `target="keywords"`
the frequent keywords are a multi-label target in the manner of MM-IMDB's genres, and the text is the name.
"""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mmkd_lab.core.check import DamagedFile, LabError, require
from mmkd_lab.core.fingerprint import digest
from mmkd_lab.core.seed import derive
from mmkd_lab.data import manifest
from mmkd_lab.data.arrays import Arrays
from mmkd_lab.data.content import read_arrays
from mmkd_lab.data.files import locate
from mmkd_lab.data.paired import PairedData, Task
from mmkd_lab.data.pairing import Rows, stratified_order
from mmkd_lab.data.spectrogram import on_grid
from mmkd_lab.data.text import Vocabulary, words

Keywords = tuple[tuple[str, ...], ...]


def build(
    *,
    target: str,
    text: str | None,
    num_keywords: int,
    n_val: int,
    channels: int,
    min_count: int,
    seed: int,
    mirror: str | None,
    path: str | None,
) -> PairedData:
    """The dataset. Use `data.load("emoji", ...)`, which checks the parameters and knows the defaults.

    image: (N, 3, 32, 32) on white, from -1 (black) to 0 (white), so that 0 everywhere is an empty picture;
    with four channels also the opacity, 0 to 1. text: (N, L) ids, L the longest training text; the vocabulary
    is that of the training split. captions: name and keywords, or the name.
    target: (N,) group; or (N, K) 0 or 1 for the K most frequent keywords of the training split, and then
    facts: 'group'. An emoji may have none of them.
    splits: the file's own test part; validation is cut from the rest, groups in their shares. index: the row
    in the file.

    Raises:
        LabError: keywords both in the text and in the target, or more keywords than there are.
        DamagedFile: the file is missing or damaged.
    """
    shown = _text_choice(target, text)
    (file,) = manifest.collection("emoji").files
    arrays = read_arrays(file, locate(file, mirror, path=path))
    group = arrays["y"].astype(np.int64)
    splits = _splits(arrays["is_train"].astype(bool), group, n_val, seed)
    keywords = _keywords(arrays, file.name)
    names = tuple(map(str, arrays["name"]))
    said = names if shown == "name" else _with_keywords(names, keywords)
    vocabulary = Vocabulary.fit([said[i] for i in splits["train"]], min_count=min_count)
    length = max(len(words(said[i])) for i in splits["train"])
    facts = {
        "target": target,
        "text": shown,
        "num_keywords": num_keywords,
        "n_val": n_val,
        "channels": channels,
        "min_count": min_count,
        "seed": seed,
        "files": {file.name: file.sha256},
    }
    wanted, classes = _target(target, arrays, keywords, splits["train"], num_keywords)
    return PairedData(
        name="emoji",
        modalities={
            "image": torch.from_numpy(_pictures(arrays["rgba32"], channels)),
            "text": torch.from_numpy(vocabulary.encode(said, length=length)),
        },
        target=wanted,
        splits={name: torch.from_numpy(rows) for name, rows in splits.items()},
        classes=classes,
        task=Task.SINGLE_LABEL if target == "group" else Task.MULTI_LABEL,
        recipe={**facts, "hash": digest(facts)},
        vocabularies={"text": vocabulary},
        captions={"text": said},
        facts={} if target == "group" else {"group": torch.from_numpy(group)},
    )


def _text_choice(target: str, text: str | None) -> str:
    if target == "keywords":
        rule = "must be 'name' when the keywords are the target, or the text would say the answer"
        if text not in (None, "name"):
            raise LabError("text", text, rule)
        return "name"
    return text or "name and keywords"


def _splits(is_train: npt.NDArray[np.bool_], group: Rows, n_val: int, seed: int) -> dict[str, Rows]:
    rest = np.flatnonzero(is_train)
    order = stratified_order(group[rest], np.random.default_rng(derive(seed, "emoji", "split")))
    return {
        "train": np.sort(rest[order[n_val:]]),
        "val": np.sort(rest[order[:n_val]]),
        "test": np.flatnonzero(~is_train),
    }


def _keywords(arrays: Arrays, name: str) -> Keywords:
    try:
        found = [json.loads(str(line)) for line in arrays["keywords_json"]]
    except ValueError as error:
        raise DamagedFile(name, str(error), "every row of keywords_json must be a JSON list") from error
    return tuple(tuple(map(str, row)) for row in found)


def _with_keywords(names: tuple[str, ...], keywords: Keywords) -> tuple[str, ...]:
    """'name: keyword, keyword'; a keyword that is the name itself is said once."""
    return tuple(
        f"{name}: {', '.join(word for word in row if word != name)}"
        for name, row in zip(names, keywords, strict=True)
    )


def _target(
    target: str, arrays: Arrays, keywords: Keywords, train: Rows, count: int
) -> tuple[Tensor, tuple[str, ...]]:
    if target == "group":
        return torch.from_numpy(arrays["y"].astype(np.int64)), tuple(map(str, arrays["classes"]))
    counts = Counter(word for i in train for word in set(keywords[i]))
    require(count <= len(counts), "num_keywords", count, f"must be at most {len(counts)}")
    known = sorted(counts, key=lambda word: (-counts[word], word))[:count]
    has = np.array([[word in row for word in known] for row in map(set, keywords)])
    return torch.from_numpy(has.astype(np.float32)), tuple(known)


def _pictures(rgba: npt.NDArray[np.generic], channels: int) -> npt.NDArray[np.float32]:
    """(N, C, 32, 32). What is transparent is the background, whatever colour the file hides there."""
    planes = np.moveaxis(rgba.astype(np.float64) / 255.0, -1, 1)
    opacity = planes[:, 3:]
    colour = (planes[:, :3] - 1.0) * opacity
    return on_grid(colour if channels == 3 else np.concatenate([colour, opacity], axis=1))
