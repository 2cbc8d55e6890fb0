"""mm_imdb: the genres of a film from its poster and its plot, several at a time.

Arevalo et al. 2017. In circulation as a folder of JSON and JPEG with a list of splits, names of seven digits
or, apart and of eight, below `images` and `labels`; and as the authors' hdf5 file, see `mm_imdb_hdf5`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmkd_lab.core.check import DamagedFile, require
from mmkd_lab.core.complaints import Complaints
from mmkd_lab.data.published.fixtures.mm_imdb import write
from mmkd_lab.data.published.items import PictureFile
from mmkd_lab.data.published.publication import Download, Publication
from mmkd_lab.data.published.recipes import MmImdb
from mmkd_lab.data.published.sets import mm_imdb_hdf5
from mmkd_lab.data.published.sheet import Column, Sheet
from mmkd_lab.data.published.tables import json_file
from mmkd_lab.data.published.there import first_folder, seen, there
from mmkd_lab.data.task import Task

_GENRES = (
    "Action Adventure Animation Biography Comedy Crime Documentary Drama Family Fantasy Film-Noir History "
    "Horror Music Musical Mystery Romance Sci-Fi Short Sport Thriller War Western"
)
#: The 23 genres, in the order of the alphabet.
CLASSES = tuple(_GENRES.split())
_SPLITS = {"train": "train", "dev": "val", "test": "test"}
_DIGITS = 7


@dataclass(frozen=True)
class _Film:
    number: int
    split: str
    genres: tuple[str, ...]
    plot: str | None

    @property
    def known(self) -> tuple[str, ...]:
        """Those of the 23 genres that it has."""
        return tuple(one for one in self.genres if one in CLASSES)


def read(folder: Path, recipe: MmImdb) -> Sheet:
    """What the lists say. image: (3, height, width) the poster; text: the plot; target: (N, 23).

    Raises `DamagedFile` for what is missing or damaged, a film in two splits, or other genres.
    """
    hdf5 = folder / mm_imdb_hdf5.NAME
    if hdf5.is_file():
        return mm_imdb_hdf5.read(hdf5, recipe, CLASSES)
    return _folder(first_folder(folder, ("mmimdb", ".")), recipe)


def _folder(root: Path, recipe: MmImdb) -> Sheet:
    require(not recipe.vectors, "vectors", True, f"needs {mm_imdb_hdf5.NAME}, which is not there")
    listed = _listed(root / "split.json")
    labels, posters = (first_folder(root, names) for names in (("labels", "dataset"), ("images", "dataset")))
    told = dict(_numbered(labels, (".json",)))
    shown = dict(_numbered(posters, (".jpeg", ".jpg")))
    if not told:
        raise DamagedFile(str(labels), "no <number>.json", "must hold a file for each film")
    films, damaged = _films(told, listed, recipe)
    films, notes = _kept(films, recipe)
    unlabelled = [f"{labels.name}/{number:0{_DIGITS}d}.json" for number in listed if number not in told]
    paths = [shown.get(one.number, posters / f"{one.number:0{_DIGITS}d}.jpeg") for one in films]
    pictures, missing = there([one.resolve() for one in paths], root, "posters")
    target = np.array([[name in one.known for name in CLASSES] for one in films], dtype=np.float32)
    sheet = Sheet(
        ids=tuple(f"{one.number:0{_DIGITS}d}" for one in films),
        classes=CLASSES,
        task=Task.MULTI_LABEL,
        target=target,
        split=tuple(one.split for one in films),
        modalities={
            "image": Column(pictures, PictureFile(recipe.size)),
            "text": tuple(one.plot for one in films),
        },
        layout=f"split.json, films in {labels.name}, posters in {posters.name}",
        notes=(*damaged, *notes, f"the {recipe.plot} plot of each film"),
        files=(root / "split.json",),
        missing=(*unlabelled, *missing),
    )
    return seen(sheet, whole=recipe.missing == "drop")


def _listed(file: Path) -> dict[int, str]:
    """{number of a film: its split}."""
    if not file.is_file():
        raise DamagedFile(str(file), "missing", "must be the list of splits")
    held = json_file(file)
    if not isinstance(held, dict) or set(held) != set(_SPLITS):
        shown = list(held) if isinstance(held, dict) else type(held).__name__
        raise DamagedFile(str(file), shown, f"must hold the lists {', '.join(_SPLITS)}")
    found: dict[int, str] = {}
    for name, split in _SPLITS.items():
        for one in held[name] if isinstance(held[name], list) else [held[name]]:
            if not str(one).isdecimal():
                raise DamagedFile(f"{file}, {name}", one, "must be numbers of films")
            if int(one) in found:
                rule = f"must not be listed twice; it is in {found[int(one)]}"
                raise DamagedFile(f"{file}, {name}", one, rule)
            found[int(one)] = split
    return found


def _numbered(folder: Path, ends: tuple[str, ...]) -> Iterator[tuple[int, Path]]:
    """The files that are named by a number, of seven or eight digits or fewer."""
    if folder.is_dir():
        for file in sorted(folder.iterdir()):
            if file.suffix.lower() in ends and file.stem.isdecimal():
                yield int(file.stem), file


def _films(
    told: Mapping[int, Path], listed: Mapping[int, str], recipe: MmImdb
) -> tuple[list[_Film], tuple[str, ...]]:
    """The films that are listed and there; damaged ones are refused together, or left out and noted."""
    wrong, films = Complaints(), list[_Film]()
    for number, split in listed.items():
        with wrong:
            if number in told:
                films.append(_film(told[number], number, split, recipe))
    if recipe.damaged == "refuse":
        wrong.tell()
    first = f", as {wrong.found[0]}" if wrong.found else ""
    return films, (f"{len(wrong.found):,} films with damaged labels are left out{first}",) * bool(wrong.found)


def _film(file: Path, number: int, split: str, recipe: MmImdb) -> _Film:
    held: Any = json_file(file)
    if not isinstance(held, dict) or not isinstance(held.get("genres"), list):
        raise DamagedFile(str(file), "no list of genres", "must be an object with genres, a list")
    given = held.get("plot") or []
    plots = given if isinstance(given, list) else [given]
    if not all(isinstance(one, str) for one in plots):
        raise DamagedFile(str(file), f"plot {given!r}", "must be a text, or a list of texts")
    plots = [one.strip() for one in plots]
    said = (max(plots, key=len) if recipe.plot == "longest" else plots[0]) if plots else ""
    return _Film(number, split, tuple(map(str, held["genres"])), said or None)


def _kept(films: list[_Film], recipe: MmImdb) -> tuple[list[_Film], tuple[str, ...]]:
    """The films with one of the 23 genres, and what is to be said of the others."""
    others = Counter(name for one in films for name in one.genres if name not in CLASSES)
    kept, notes = [one for one in films if one.known], []
    if len(kept) < len(films):
        notes.append(f"{len(films) - len(kept):,} films have none of the 23 genres and are left out")
    if others:
        shown = ", ".join(f"{name} {n:,}" for name, n in others.most_common())
        notes.append(f"other genres are not looked at: {shown}")
    if recipe.films == "mmbt":
        some = [one for one in kept if "News" not in one.genres]
        notes.append(f"{len(kept) - len(some):,} films of the genre News are left out, as in MMBT's subset")
        kept = some
    return kept, tuple(notes)


PUBLICATION = Publication(
    name="mm_imdb",
    title="MM-IMDB",
    licence="none stated for posters and plots; research use",
    citation="Arevalo, Solorio, Montes-y-Gómez and González 2017, Gated Multimodal Units",
    home="https://github.com/johnarevalo/gmu-mmimdb",
    read=read,
    fixture=write,
    how="Either mmimdb.tar.gz unpacked, or multimodal_imdb.hdf5 with metadata.npy, in the folder.",
    megabytes=8100,
    downloads=(
        Download("https://archive.org/download/mmimdb/mmimdb.tar.gz", "mmimdb.tar.gz", 0, unpack="."),
    ),
    expected={"train": 15552, "val": 2608, "test": 7799},
)
build = PUBLICATION.build
