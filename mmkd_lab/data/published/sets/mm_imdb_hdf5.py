"""The authors' hdf5 file of mm_imdb, as Fuel writes it: pictures with the channels and means of VGG, plots
as word numbers, features, genres in an order of their own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmkd_lab.core.check import DamagedFile, reading, require
from mmkd_lab.data.published import pickles
from mmkd_lab.data.published.hdf5 import opened, shape_of
from mmkd_lab.data.published.items import shrunk
from mmkd_lab.data.published.recipes import MmImdb
from mmkd_lab.data.published.sheet import Array, Column, Sheet
from mmkd_lab.data.task import Task

NAME, WORDS, COPY = "multimodal_imdb.hdf5", "metadata.npy", "metadata.json"
#: Subtracted from blue, green and red.
MEANS = (103.939, 116.779, 123.68)
_SPLITS = {"train": "train", "dev": "val", "test": "test"}
_SEQUENCES = ("sequences", "word_ids")
_GREY = 255


@dataclass(frozen=True)
class Poster:
    """(file, row) -> (3, height, width) uint8 in red, green and blue."""

    size: tuple[int, int]

    def __call__(self, key: tuple[Path, int]) -> Array:
        """Read it. Raises `DamagedFile`."""
        file, row = key
        with opened(file) as held:
            found = held["images"][row]
        seen = found + np.array(MEANS)[:, None, None]
        if seen.min() < -1 or seen.max() > _GREY + 1:
            shown = f"values from {seen.min():.0f} to {seen.max():.0f} once the mean is added"
            raise DamagedFile(f"{file}, images[{row}]", shown, f"must lie between 0 and {_GREY}")
        pixels = np.rint(seen.clip(0, _GREY)).astype(np.uint8)[::-1].transpose(1, 2, 0)
        return shrunk(pixels, self.size)


@dataclass(frozen=True)
class Vector:
    """(file, row) -> (D,) float32 of an array of the file."""

    name: str

    def __call__(self, key: tuple[Path, int]) -> Array:
        """Read it. Raises `DamagedFile`."""
        with opened(key[0]) as held:
            return np.asarray(held[self.name][key[1]], dtype=np.float32)


def read(file: Path, recipe: MmImdb, classes: tuple[str, ...]) -> Sheet:
    """The sheet of the file, genres in the order of `classes`. Raises `DamagedFile`."""
    rule = "must be 'all', as the hdf5 file does not know of other genres"
    require(recipe.films == "all", "films", recipe.films, rule)
    with opened(file) as held:
        needed = ("genres", "imdb_ids", *(("features", "vgg_features") if recipe.vectors else ("images",)))
        rows = _lengths(file, held, needed)
        target = _genres(file, held["genres"], classes)
        ids = [str(one, "ascii") if isinstance(one, bytes) else str(one) for one in held["imdb_ids"][:]]
        split = _split(file, held, rows)
        said, note = (None, "") if recipe.vectors else _texts(file, held)
    kept = np.flatnonzero([one is not None for one in split])
    bare = [i for i in kept if not target[i].any()]
    notes = [note, f"{len(bare):,} films without a genre are left out" * bool(bare)]
    notes += [f"{rows - len(kept):,} films are in no split and left out" * (len(kept) < rows)]
    keys = [(file, i) for i in range(rows)]
    if said is None:
        modalities: dict[str, Any] = {
            "image": Column(keys, Vector("vgg_features")),
            "text": Column(keys, Vector("features")),
        }
    else:
        modalities = {"image": Column(keys, Poster(recipe.size)), "text": said}
    whole = Sheet(
        ids=tuple(ids),
        classes=classes,
        task=Task.MULTI_LABEL,
        target=target,
        split=tuple(one or "" for one in split),
        modalities=modalities,
        layout=f"{NAME}, the authors' own file",
        notes=tuple(filter(None, notes)),
    )
    return whole.rows(np.array([i for i in kept if target[i].any()], dtype=np.int64))


def _lengths(file: Path, held: Any, needed: Sequence[str]) -> int:  # noqa: ANN401 - h5py's
    shapes = {name: shape_of(file, held, name, "SO" if name == "imdb_ids" else "fiu") for name in needed}
    rows = {shape[0] for shape in shapes.values()}
    if len(rows) > 1:
        raise DamagedFile(str(file), f"rows of {shapes}", "must have as many rows in every array")
    if "images" in shapes and (len(shapes["images"]) != 4 or shapes["images"][1] != 3):
        rule = "must be (films, 3, height, width)"
        raise DamagedFile(f"{file}, images", f"shape {shapes['images']}", rule)
    return int(rows.pop())


def _genres(file: Path, genres: Any, classes: tuple[str, ...]) -> Array:  # noqa: ANN401 - h5py's
    """(N, 23) float32 in the order of `classes`; the file's own is that of its attribute."""
    place = f"{file}, genres"
    if "target_names" not in genres.attrs:
        raise DamagedFile(place, "no attribute target_names", "must say which column is which genre")
    with reading(place, "must name its columns in JSON"):
        names = json.loads(genres.attrs["target_names"])
    if sorted(names) != sorted(classes) or genres.shape[1] != len(classes):
        shown = f"{genres.shape[1]} columns, {len(names)} names, as {names[:3]}"
        raise DamagedFile(place, shown, f"must be the {len(classes)} genres")
    found = genres[:]
    if not np.isin(found, (0, 1)).all():
        raise DamagedFile(place, f"values from {found.min()} to {found.max()}", "must be 0 or 1")
    return np.asarray(found[:, [names.index(one) for one in classes]], dtype=np.float32)


def _split(file: Path, held: Any, rows: int) -> list[str | None]:  # noqa: ANN401 - h5py's
    """The split of each row, by Fuel's table of ranges."""
    place = f"{file}, attribute split"
    if "split" not in held.attrs:
        raise DamagedFile(place, "missing", "must say which rows are train, dev and test")
    found: list[str | None] = [None] * rows
    with reading(place, "must be Fuel's table of splits"):
        for one in held.attrs["split"]:
            name = bytes(one["split"]).decode()
            if bytes(one["source"]).decode() != "genres" or name not in _SPLITS:
                continue
            where = held[one["indices"]][:] if one["indices"] else range(int(one["start"]), int(one["stop"]))
            for i in where:
                if found[i] not in (None, _SPLITS[name]):
                    raise DamagedFile(place, f"row {i} in {found[i]} and {name}", "must be in one split")
                found[i] = _SPLITS[name]
    if not any(found):
        raise DamagedFile(place, "no row", "must say which rows are train, dev and test")
    return found


def _texts(file: Path, held: Any) -> tuple[tuple[str | None, ...], str]:  # noqa: ANN401 - h5py's
    """The plots in words; in the numbers of words where no list of words is at hand."""
    name = next((one for one in _SEQUENCES if one in held), None)
    if name is None:
        raise DamagedFile(str(file), f"no {_SEQUENCES[0]!r}", "must have the plots, as numbers of words")
    words = _words(file.parent)
    note = "" if words else f"plots are the numbers of words, as there is no {WORDS} or {COPY}"
    texts = [" ".join(words.get(int(i), f"w{i}") for i in row) or None for row in held[name][:]]
    return tuple(texts), note


def _words(folder: Path) -> dict[int, str]:
    """{number: word} of the pickled dictionary beside the file, read by an allow-list, or a copy in JSON."""
    if (copy := folder / COPY).is_file():
        from mmkd_lab.data.published.tables import json_file

        found = json_file(copy)
    elif (file := folder / WORDS).is_file():
        copy, found = file, pickles.object_array(file)
    else:
        return {}
    with reading(copy, "must hold ix_to_word, the word of each number"):
        return {int(i): str(word) for i, word in found["ix_to_word"].items()}
