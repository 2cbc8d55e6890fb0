"""vggsound: ten seconds of a video, what is seen and what is heard, and which of 309 sounds it is.

Chen, Xie, Vedaldi and Zisserman, ICASSP 2020. The published list beside clips <id>_<start>.mp4; sounds may
stand in files of their own (.wav, or .npy at 16 kHz), and frames in a folder of pictures of the clip's name,
or in one tall picture of 32 frames, as the modality focusing paper's code has them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmkd_lab.core.check import DamagedFile, reading
from mmkd_lab.core.check import path as checked
from mmkd_lab.data.own.media import KINDS, picture
from mmkd_lab.data.published.clips import Frames
from mmkd_lab.data.published.fixtures.vggsound import write
from mmkd_lab.data.published.items import genuine
from mmkd_lab.data.published.publication import Download, Publication
from mmkd_lab.data.published.recipes import Vggsound
from mmkd_lab.data.published.sets.heard import CLIPS, Heard
from mmkd_lab.data.published.sheet import Array, Column, Sheet
from mmkd_lab.data.published.tables import Record, csv_rows, distinct, text_of
from mmkd_lab.data.task import Task

LIST, STATISTICS = "vggsound.csv", "stat.csv"
SECONDS, TALL = 10.0, 32
_COLUMNS = ("id", "start", "label", "split")
_NAME = re.compile(r"[A-Za-z0-9_-]{11}_[0-9]{6}")


@dataclass(frozen=True)
class SeenClip:
    """A clip, a folder of frames, or a tall picture of 32 frames -> (3 count, height, width) uint8, as
    `clips.Frames` has it."""

    count: int
    size: tuple[int, int]

    def __call__(self, key: str) -> Array:
        """Read it. Raises `DamagedFile`."""
        file = Path(key)
        if file.is_dir():
            found = sorted(one for one in file.iterdir() if KINDS.get(one.suffix.lower()) == "picture")
            if not found:
                raise DamagedFile(key, "a folder without frames", "must hold pictures")
            chosen = [genuine(found[int((i + 0.5) * len(found) / self.count)]) for i in range(self.count)]
            return np.concatenate([self._read(one) for one in chosen])
        if file.suffix.lower() in CLIPS:
            return Frames(self.count, self.size)(key)
        return self._tall(genuine(file))

    def _read(self, file: Path) -> Array:
        with reading(file, "must be a picture"):
            return np.moveaxis(picture(file, self.size), -1, 0)

    def _tall(self, file: Path) -> Array:
        from PIL import Image

        with reading(file, f"must be a picture of {TALL} frames, one above the other"):
            with Image.open(file) as opened:
                width, height = opened.size
                pixels = np.asarray(opened.convert("RGB"))
            if height != TALL * width:
                raise DamagedFile(
                    str(file), f"{width}×{height} pixels", f"must be {TALL} squares of its width"
                )
            parts = [pixels[int((i + 0.5) * TALL / self.count) * width :][:width] for i in range(self.count)]
            scaled = [Image.fromarray(p).resize(self.size[::-1], Image.Resampling.BOX) for p in parts]
        return np.concatenate([np.moveaxis(np.asarray(one), -1, 0) for one in scaled])


def read(root: Path, recipe: Vggsound) -> Sheet:
    """The listed clips that are there. Raises `DamagedFile` for a list that cannot be used, and for none."""
    file = next((one for one in (root / LIST, root / "data" / LIST) if one.is_file()), root / LIST)
    records, leak = _listed(genuine(file))
    _known(root, records)
    wanted = _subset(recipe)
    records = {name: one for name, one in records.items() if not wanted or one["label"] in wanted}
    seen, heard = _found(root)
    there = [name for name in records if name in seen or name in heard]
    missing = tuple(name for name in records if name not in seen and name not in heard)
    if not there:
        raise DamagedFile(
            str(root), "no clip", f"must hold clips such as {next(iter(records), '')}.mp4", _HOW
        )
    there, few = _enough(there, records)
    classes = sorted({records[name]["label"] for name in there})
    number = {label: i for i, label in enumerate(classes)}
    notes = [
        f"{len(records) - len(missing):,} of {len(records):,} listed clips present",
        f"{leak} training clips of videos that the test has, too, are left out" if leak else "",
        f"{len(few)} classes have too few clips here and are left out, as {few[0]}" if few else "",
    ]
    return Sheet(
        ids=tuple(there),
        classes=tuple(classes),
        task=Task.SINGLE_LABEL,
        target=np.array([number[records[name]["label"]] for name in there], dtype=np.int64),
        split=tuple(records[name]["split"] for name in there),
        modalities={
            "video": Column([seen.get(name) for name in there], SeenClip(recipe.frames, recipe.size)),
            "audio": Column([heard.get(name) for name in there], Heard(SECONDS, recipe.audio_frames)),
        },
        group=tuple(records[name]["id"] for name in there),
        layout=f"{file.name} beside {_forms(seen, heard)}; classes in the order of their names",
        notes=tuple(filter(None, notes)),
        files=(file,),
        missing=missing,
    )


def _listed(file: Path) -> tuple[dict[str, Record], int]:
    """{name of a clip: its record}, and how many training clips are left out as the test has their video."""
    records = list(csv_rows(file, _COLUMNS, header=False))
    for one in records:
        if not re.fullmatch(r"[A-Za-z0-9_-]{11}", one["id"]):
            raise one.wrong(f"id {one['id']!r}", "must be the 11 characters of a YouTube id")
        one.number("start")
        one.option("split", ("train", "test"))
        if not one["label"].strip():
            raise one.wrong("an empty label", "must name a sound")
    tested = {one["id"] for one in records if one["split"] == "test"}
    kept = [one for one in records if one["split"] == "test" or one["id"] not in tested]
    named = ((f"{one['id']}_{int(one['start']):06d}", one) for one in kept)
    return distinct(named, what="clip"), len(records) - len(kept)


def _known(root: Path, records: Mapping[str, Record]) -> None:
    """Compare with the list of classes, where it is there. Raises `DamagedFile` for a class it lacks."""
    file = next((one for one in (root / STATISTICS, root / "data" / STATISTICS) if one.is_file()), None)
    if file is None:
        return
    known = {one["label"] for one in csv_rows(file, ("label", "count", "group"), header=False)}
    for one in records.values():
        if one["label"] not in known:
            raise one.wrong(f"label {one['label']!r}", f"must be a class of {file}")


def _subset(recipe: Vggsound) -> set[str]:
    """The classes that the recipe's list names; none of them: all."""
    if recipe.classes is None:
        return set()
    text, _ = text_of(genuine(checked("classes", recipe.classes)))
    return {line.strip() for line in text.split("\n") if line.strip()}


def _found(root: Path) -> tuple[dict[str, str], dict[str, str]]:
    """{name of a clip: what shows it}, {name: what sounds}; files of their own before the clip itself."""
    seen, heard, clips = dict[str, str](), dict[str, str](), dict[str, str]()
    for folder, folders, files in os.walk(root):
        place = Path(folder)
        folders.sort()
        for name in [one for one in folders if _NAME.fullmatch(one)]:
            if any(KINDS.get(Path(one).suffix.lower()) == "picture" for one in os.listdir(place / name)):  # noqa: PTH208 - names
                seen[name] = str(place / name)
        for one in sorted(files):
            name, suffix = Path(one).stem, Path(one).suffix.lower()
            kinds = {".npy": heard, **dict.fromkeys(CLIPS, clips)}
            kinds |= {
                end: heard if kind == "sound" else seen for end, kind in KINDS.items() if kind in _KINDS
            }
            if _NAME.fullmatch(name) and suffix in kinds:
                kinds[suffix].setdefault(name, str(place / one))
    return clips | seen, clips | heard


_KINDS = ("sound", "picture")


def _enough(there: Sequence[str], records: Mapping[str, Record]) -> tuple[list[str], list[str]]:
    """The clips of classes that train and validate (two videos) and test, and the other classes."""
    sides: dict[str, dict[str, set[str]]] = {}
    for name in there:
        one = records[name]
        sides.setdefault(one["label"], {"train": set(), "test": set()})[one["split"]].add(one["id"])
    few = sorted(label for label, held in sides.items() if len(held["train"]) < 2 or not held["test"])
    kept = [name for name in there if records[name]["label"] not in few]
    if not kept:
        shown, rule = (
            f"{len(there)} clips of {len(few)} classes",
            "must hold a class with two training videos and a test",
        )
        raise DamagedFile(str(there[0]), shown, rule, _HOW)
    return kept, few


def _forms(seen: Mapping[str, str], heard: Mapping[str, str]) -> str:
    def ends(files: Iterable[str]) -> str:
        return ", ".join(sorted({Path(one).suffix or "a folder of frames" for one in files})) or "nothing"

    return f"{ends(seen.values())} to be seen and {ends(heard.values())} to be heard"


_HOW = (
    "The list alone may be downloaded: the clips belong to those who made them. Fetch them by the list with "
    "a tool of your choice, ten seconds from the start that it states, as <id>_<start, six digits>.mp4; "
    "where they lie below the folder does not matter. Many are gone: what is there is used, and counted."
)
_RAW = "https://raw.githubusercontent.com/hche11/VGGSound/master/data"
PUBLICATION = Publication(
    name="vggsound",
    title="VGGSound",
    licence="CC BY 4.0 (the list); the clips belong to their uploaders",
    citation="Chen, Xie, Vedaldi, Zisserman: VGGSound: A Large-Scale Audio-Visual Dataset, ICASSP 2020",
    home="https://github.com/hche11/VGGSound",
    read=read,
    fixture=write,
    how=_HOW,
    downloads=(
        Download(f"{_RAW}/{LIST}", LIST, 0),
        Download(f"{_RAW}/{STATISTICS}", STATISTICS, 0),
    ),
    expected={"train": 183_730, "test": 15_446},
)
build = PUBLICATION.build
