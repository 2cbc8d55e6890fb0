"""emoji: small pictures with their names and keywords, to be told apart by group or by keyword.

1,601 emoji of one family, 32 by 32 pixels, in eight groups (Apache-2.0 / OFL / MIT). With `target="keywords"`
the frequent keywords are a multi-label target in the manner of MM-IMDB's genres, and the text is the name.
"""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.check import DamagedFile, require
from mmkd_lab.core.seed import derive
from mmkd_lab.data.assemble import facts_of, paired, words_of
from mmkd_lab.data.content import ArraySet, array_set
from mmkd_lab.data.datasets.recipes import Emoji
from mmkd_lab.data.making.pairing import Rows, stratified_order
from mmkd_lab.data.making.scale import on_grid
from mmkd_lab.data.paired import PairedData, Task

Keywords = tuple[tuple[str, ...], ...]


def build(recipe: Emoji) -> PairedData:
    """The dataset. Use `data.load("emoji", ...)`.

    image: (N, 3, 32, 32) on white, from -1 (black) to 0 (white), so that 0 everywhere is an empty picture;
    with four channels also the opacity, 0 to 1. text: (N, L) ids, L the longest training text; the vocabulary
    is that of the training split. captions: name and keywords, or the name.
    target: (N,) group; or (N, K) 0 or 1 for the K most frequent keywords of the training split, and then
    facts: 'group'. An emoji may have none of them.
    splits: the file's own test part; validation is cut from the rest, groups in their shares. index: the row
    in the file.

    Raises:
        LabError: more keywords than there are.
        DamagedFile: the file is missing or damaged.
    """
    found = array_set("emoji", mirror=recipe.mirror, path=recipe.path)
    group, by_group = found.whole("y"), recipe.target == "group"
    splits = _splits(found["is_train"].astype(bool), group, recipe.n_val, recipe.seed)
    keywords, names = _keywords(found), found.texts("name")
    said = names if recipe.said == "name" else _with_keywords(names, keywords)
    text = words_of(said, splits["train"], min_count=recipe.min_count)
    target, classes = (
        (group, found.texts("classes"))
        if by_group
        else _frequent(keywords, splits["train"], recipe.num_keywords)
    )
    return paired(
        "emoji",
        modalities={"image": _pictures(found["rgba32"], recipe.channels), "text": text.pop("ids")},
        target=target,
        splits=splits,
        classes=classes,
        task=Task.SINGLE_LABEL if by_group else Task.MULTI_LABEL,
        recipe=facts_of(recipe, [found.file], text=recipe.said),
        facts={} if by_group else {"group": group},
        **text,
    )


def _splits(is_train: npt.NDArray[np.bool_], group: Rows, n_val: int, seed: int) -> dict[str, Rows]:
    rest = np.flatnonzero(is_train)
    order = stratified_order(group[rest], np.random.default_rng(derive(seed, "emoji", "split")))
    return {
        "train": np.sort(rest[order[n_val:]]),
        "val": np.sort(rest[order[:n_val]]),
        "test": np.flatnonzero(~is_train),
    }


def _keywords(found: ArraySet) -> Keywords:
    try:
        rows = [json.loads(line) for line in found.texts("keywords_json")]
    except ValueError as error:
        rule = "every row of keywords_json must be a JSON list"
        raise DamagedFile(found.file.name, str(error), rule) from error
    return tuple(tuple(map(str, row)) for row in rows)


def _with_keywords(names: tuple[str, ...], keywords: Keywords) -> tuple[str, ...]:
    """'name: keyword, keyword'; a keyword that is the name itself is said once."""
    return tuple(
        f"{name}: {', '.join(word for word in row if word != name)}"
        for name, row in zip(names, keywords, strict=True)
    )


def _frequent(keywords: Keywords, train: Rows, count: int) -> tuple[npt.NDArray[np.bool_], tuple[str, ...]]:
    """(N, K) which of the most frequent training keywords each emoji has, and what they are."""
    counts = Counter(word for i in train for word in set(keywords[i]))
    require(count <= len(counts), "num_keywords", count, f"must be at most {len(counts)}")
    known = sorted(counts, key=lambda word: (-counts[word], word))[:count]
    return np.array([[word in row for word in known] for row in map(set, keywords)]), tuple(known)


def _pictures(rgba: npt.NDArray[np.generic], channels: int) -> npt.NDArray[np.float32]:
    """(N, C, 32, 32). What is transparent is the background, whatever colour the file hides there."""
    planes = np.moveaxis(rgba.astype(np.float64) / 255.0, -1, 1)
    opacity = planes[:, 3:]
    colour = (planes[:, :3] - 1.0) * opacity
    return on_grid(colour if channels == 3 else np.concatenate([colour, opacity], axis=1))
