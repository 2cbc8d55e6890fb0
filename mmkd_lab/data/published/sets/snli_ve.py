"""snli_ve: does a picture entail a sentence, contradict it, or neither? SNLI's sentences on Flickr30K.

Xie, Lai, Doran and Kadav 2019. Lists of JSON with the hypothesis as `sentence2`; `sentence1`, the caption
that stands for the picture, is never read, nor is the last letter of a pair's id, which is its label.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mmkd_lab.core.check import DamagedFile
from mmkd_lab.data.published.fixtures.snli_ve import write
from mmkd_lab.data.published.items import PictureFile
from mmkd_lab.data.published.publication import Publication
from mmkd_lab.data.published.recipes import SnliVe
from mmkd_lab.data.published.sheet import Column, Sheet
from mmkd_lab.data.published.tables import Record, distinct, json_lines
from mmkd_lab.data.published.there import first_folder, one_side, seen, there
from mmkd_lab.data.task import Task

CLASSES = ("entailment", "neutral", "contradiction")
_LISTS = {"train": "train", "dev": "val", "test": "test"}
_IMAGE = ("Flikr30kID", "Flickr30K_ID", "Flickr30kID")
_FOLDERS = ("flickr30k_images/flickr30k_images", "flickr30k-images", "images", "flickr30k_images")
_NONE = "-"


@dataclass(frozen=True)
class _Pair:
    id: str
    split: str
    image: str
    label: str
    said: str
    row: Record


def read(folder: Path, recipe: SnliVe) -> Sheet:
    """What the lists say. image: (3, height, width); text: the hypothesis. group: the picture.

    Raises `DamagedFile` for a list that is missing or damaged, a pair twice, or a picture in two splits.
    """
    files = {split: folder / f"snli_ve_{name}.jsonl" for name, split in _LISTS.items()}
    lacking = next((one for one in files.values() if not one.is_file()), None)
    if lacking is not None:
        raise DamagedFile(str(lacking), "missing", "must be one of the three lists of pairs")
    every = [pair for split, file in files.items() for pair in _pairs(file, split)]
    pairs = [one for one in every if one.label != _NONE]
    distinct(((one.id, one.row) for one in pairs), what="pairID")
    one_side(((one.image, one.split, one.row) for one in pairs), "picture")
    home = first_folder(folder, _FOLDERS)
    places = {one.image: home / f"{one.image}.jpg" for one in pairs}
    pictures, missing = there([places[one.image] for one in pairs], folder, "pictures")
    sheet = Sheet(
        ids=tuple(one.id for one in pairs),
        classes=CLASSES,
        task=Task.SINGLE_LABEL,
        target=np.array([CLASSES.index(one.label) for one in pairs], dtype=np.int64),
        split=tuple(one.split for one in pairs),
        modalities={
            "image": Column(pictures, PictureFile(recipe.size)),
            "text": tuple(one.said for one in pairs),
        },
        group=tuple(one.image for one in pairs),
        layout=f"three lists, pictures in {home.relative_to(folder)}",
        notes=_notes(len(every) - len(pairs)),
        files=tuple(files.values()),
        missing=missing,
    )
    return seen(sheet, whole=recipe.missing == "drop")


def _pairs(file: Path, split: str) -> Iterator[_Pair]:
    for row in json_lines(file):
        label = row.option("gold_label", (*CLASSES, _NONE))
        said = str(row["sentence2"]).strip()
        if not said:
            raise row.wrong("sentence2 ''", "must say something")
        yield _Pair(str(row["pairID"]), split, _image(row), label, said, replace(row, cells={}))


def _image(row: Record) -> str:
    """The number of a picture, under any of the names that it has in the lists, or of its caption."""
    given = next((row[name] for name in _IMAGE if name in row.cells), None)
    text = str(row["captionID"]).partition("#")[0] if given is None else str(given)
    found = re.fullmatch(r"(\d+)(?:\.jpg)?", text)
    if found is None:
        raise row.wrong(f"picture {text!r}", "must be the number of a picture of Flickr30K")
    return found[1]


def _notes(undecided: int) -> tuple[str, ...]:
    return (f"{undecided:,} pairs without a gold label are left out",) if undecided else ()


PUBLICATION = Publication(
    name="snli_ve",
    title="SNLI-VE",
    licence="text CC BY-SA 4.0 (SNLI); pictures under Flickr's terms, not to be passed on",
    citation="Xie, Lai, Doran and Kadav 2019, Visual Entailment",
    home="https://github.com/necla-ml/SNLI-VE",
    read=read,
    fixture=write,
    how="Fetch snli_ve_train.jsonl, snli_ve_dev.jsonl and snli_ve_test.jsonl as its home says, ask for "
    "Flickr30K at https://shannon.cs.illinois.edu/DenotationGraph, and put its pictures into "
    "flickr30k_images/ beside the lists.",
    expected={"train": 529527, "val": 17858, "test": 17901},
)
build = PUBLICATION.build
