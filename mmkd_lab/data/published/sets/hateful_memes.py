"""hateful_memes: is a meme hateful? The picture and the text on it, of which neither may tell alone.

Kiela et al. 2020. Five lists of JSON, a line a meme, and a folder of pictures. The two development lists
share memes, and the published test lists came without labels at first.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmkd_lab.core.check import DamagedFile
from mmkd_lab.data.published.fixtures.hateful_memes import write
from mmkd_lab.data.published.items import PictureFile
from mmkd_lab.data.published.publication import Publication
from mmkd_lab.data.published.recipes import HatefulMemes
from mmkd_lab.data.published.sheet import Column, Sheet
from mmkd_lab.data.published.tables import Record, distinct, inside, json_lines
from mmkd_lab.data.published.there import first_folder, seen, there
from mmkd_lab.data.task import Task

CLASSES = ("not-hateful", "hateful")
_LABELS = {**dict.fromkeys((0, "0", "not-hateful"), 0), **dict.fromkeys((1, "1", "hateful"), 1)}
_TESTS = ("test_unseen", "test_seen", "dev_seen", "dev_unseen", "dev")
_VALS = ("dev_unseen", "dev_seen", "dev")


@dataclass(frozen=True)
class _Meme:
    id: str
    row: Record
    picture: Path
    label: int | None


def read(folder: Path, recipe: HatefulMemes) -> Sheet:
    """What the lists say. image: (3, height, width); text: what is written on it.

    Raises `DamagedFile` for a list that is missing or damaged, a meme twice in a list or in training and a
    test, or a path that leaves the folder.
    """
    root = first_folder(folder, ("data", "."))
    names = ("train", *_TESTS)
    lists = {name: _memes(root, root / f"{name}.jsonl") for name in names if _there(root, name)}
    if "train" not in lists:
        raise DamagedFile(str(root / "train.jsonl"), "missing", "must be the list of training memes")
    sides, notes = _sides(lists, recipe)
    memes = [(split, one) for split, some in sides.items() for one in some]
    distinct(((one.id, one.row) for _, one in memes), what="meme")
    pictures, missing = there([one.picture for _, one in memes], root, "pictures")
    said = [str(one.row["text"]).strip() or None for _, one in memes]
    sheet = Sheet(
        ids=tuple(one.id for _, one in memes),
        classes=CLASSES,
        task=Task.SINGLE_LABEL,
        target=np.array([one.label for _, one in memes], dtype=np.int64),
        split=tuple(split for split, _ in memes),
        modalities={
            "image": Column(pictures, PictureFile(recipe.size)),
            "text": tuple(said),
        },
        group=tuple(one.id for _, one in memes),
        layout=f"lists {', '.join(lists)}",
        notes=notes,
        files=tuple(root / f"{name}.jsonl" for name in lists),
        missing=missing,
        metrics=("auroc",),
    )
    return seen(sheet, whole=recipe.missing == "drop")


def _there(root: Path, name: str) -> bool:
    return (root / f"{name}.jsonl").is_file()


def _memes(root: Path, file: Path) -> list[_Meme]:
    """The memes of a list; all of them have a label, or none has."""
    found = []
    for row in json_lines(file):
        given = row.cells.get("label")
        known = isinstance(given, (int, str)) and given in _LABELS
        if given is not None and not known:
            raise row.wrong(f"label {given!r}", "must be 0, 1, 'not-hateful' or 'hateful'")
        picture = inside(root, str(row["img"]), row.place)
        label = _LABELS[given] if known else None
        found.append(_Meme(row.number("id").zfill(5), row, picture, label))
    distinct(((one.id, one.row) for one in found), what="meme")
    odd = next((one for one in found if (one.label is None) != (found[0].label is None)), None)
    if odd is not None:
        raise odd.row.wrong(f"label {odd.label}", "must have a label as the first line does, or none")
    return found


def _sides(
    lists: dict[str, list[_Meme]], recipe: HatefulMemes
) -> tuple[dict[str, list[_Meme]], tuple[str, ...]]:
    """The memes by split, and what was decided."""
    known = [name for name, memes in lists.items() if memes and memes[0].label is not None]
    test = next((name for name in (recipe.test, *_TESTS) if name in known), None)
    if test is None:
        shown = f"labels in {', '.join(known) or 'no list'}"
        raise DamagedFile(str(lists["train"][0].row.file.parent), shown, "must have a list to test by")
    val = next((name for name in (recipe.val, *_VALS) if name in known and name != test), None)
    notes = [f"tested on {test}" + f", as {recipe.test} is missing or without labels" * (test != recipe.test)]
    tested = {one.id for one in lists[test]}
    kept = [one for one in lists[val] if one.id not in tested] if val else []
    if val and kept:
        lost = len(lists[val]) - len(kept)
        notes.append(f"validated on {val}" + f", without {lost:,} memes that are in {test} too" * (lost > 0))
    return {"train": lists["train"], "val": kept, "test": lists[test]}, tuple(notes)


PUBLICATION = Publication(
    name="hateful_memes",
    title="Hateful Memes",
    licence="Meta's, for research only, not to be passed on",
    citation="Kiela et al. 2020, The Hateful Memes Challenge",
    home="https://hatefulmemeschallenge.com",
    read=read,
    fixture=write,
    how="Its licence lets nobody pass it on: agree to it with the publisher, and unpack the archive, so that "
    "train.jsonl, the dev and test lists and img/ lie in the folder.",
    expected={"train": 8500, "val": 540, "test": 2000},
)
build = PUBLICATION.build
