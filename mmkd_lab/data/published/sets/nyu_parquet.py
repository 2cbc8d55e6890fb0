"""NYU Depth V2 as tables of parquet, as mirrors on Hugging Face have it: that of 0jl and that of tanganke.

The first holds all frames in the published order, 894 labels, and scenes. Up to its version 1.1 maps have
width before height, as the .mat file; version 1.2 turned pictures and depths by a right angle, labels not.
The second is that of multi-task learning: 288 x 384, 13 classes from 0, -1 for none, two splits.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mmkd_lab.core.check import DamagedFile, LabError, reading
from mmkd_lab.data.published.items import genuine, shrunk
from mmkd_lab.data.published.recipes import NyuDepthV2
from mmkd_lab.data.published.sets.nyu_items import classes, metres
from mmkd_lab.data.published.sets.nyu_labels import VOID, table
from mmkd_lab.data.published.sets.nyu_sheet import Frame, Readers, filled, neighbours, sheet_of, told
from mmkd_lab.data.published.sheet import Array, Sheet

Turn = Literal["", "transposed", "turned"]
Key = tuple[str, int]
_WHOLE = "must be a whole table of parquet"
_LEVELS = 255
#: Columns by which a mirror is known.
_0JL, _TANGANKE = {"image", "depth", "label", "scene"}, {"image", "depth", "segmentation"}


@dataclass(frozen=True)
class ParquetPicture:
    """(path, row) of `image` -> (3, height, width) uint8; colours from 0 to 1, or a picture's file in it."""

    size: tuple[int, int]
    turn: Turn = ""

    def __call__(self, key: Key) -> Array:
        """Read it. Raises `DamagedFile`."""
        return shrunk(_straight(_pixels(key), self.turn), self.size)


@dataclass(frozen=True)
class ParquetDepth:
    """(path, row) of `depth` -> (1, height, width) float32 metres."""

    size: tuple[int, int]
    turn: Turn = ""

    def __call__(self, key: Key) -> Array:
        """Read it. Raises `DamagedFile`."""
        values = _map(key, "depth")
        return metres(_straight(values, self.turn), self.size, f"{key[0]}, depth {key[1]}")


@dataclass(frozen=True)
class ParquetLabels:
    """(path, row) of `column` -> (height, width) int16 class numbers; `least` is the first of the table."""

    size: tuple[int, int]
    table: tuple[int, ...]
    column: str
    least: int = 0
    turn: Turn = ""

    def __call__(self, key: Key) -> Array:
        """Read it. Raises `DamagedFile` for a label that is none."""
        values = _map(key, self.column) - self.least
        if values.min() < 0 or values.max() >= len(self.table):
            first, last = self.least, self.least + len(self.table) - 1
            found = [int(one) + first for one in np.unique(values) if not 0 <= one < len(self.table)]
            shown = f"labels {found[:3]}"
            raise DamagedFile(f"{key[0]}, {self.column} {key[1]}", shown, f"must lie from {first} to {last}")
        return classes(
            _straight(values, self.turn), self.size, self.table, f"{key[0]}, {self.column} {key[1]}"
        )


def of_parquet(root: Path, recipe: NyuDepthV2, tested: Callable[[Path, int], tuple[Array, Any]]) -> Sheet:
    """The sheet of either mirror; `tested` tells the official test of so many frames in their order."""
    files = sorted(one for pattern in PATTERNS for one in root.glob(pattern))
    names = set(_opened(files[0]).schema_arrow.names)
    form = _of_0jl if names >= _0JL else _of_tanganke if names >= _TANGANKE else None
    if form is None:
        rule = f"must have the columns {', '.join(sorted(_0JL))}, or {', '.join(sorted(_TANGANKE))}"
        raise DamagedFile(str(files[0]), f"columns {sorted(names)}", rule)
    keys = [(str(file), i) for file in files for i in range(_opened(file).metadata.num_rows)]
    if not keys:
        raise DamagedFile(str(files[0]), "no row", "must hold frames")
    return form(root, recipe, keys, tested)


#: Where the files are: of the set itself, of its copy, and of the automatic conversion.
PATTERNS = ("*.parquet", "data/*.parquet", "default/*/*.parquet")


def _of_0jl(
    root: Path, recipe: NyuDepthV2, keys: list[Key], tested: Callable[[Path, int], tuple[Array, Any]]
) -> Sheet:
    filled(recipe, "0jl's")
    test, lists = tested(root, len(keys))
    scenes = [str(_value(*key, "scene")) for key in keys]
    frames = [Frame(i + 1, "test" if test[i] else "train", scene) for i, scene in enumerate(scenes)]
    image, label = _pixels(keys[0]).shape[:2], _map(keys[0], "label").shape
    upright = image[0] < image[1]
    turn: Turn = "" if upright else "transposed"
    of_labels: Turn = "turned" if upright and label[0] > label[1] else turn
    readers = Readers(
        ParquetPicture(recipe.size, turn),
        ParquetDepth(recipe.size, turn),
        ParquetLabels(recipe.size, table(894, recipe.labels), "label", turn=of_labels),
    )
    sheet = sheet_of(frames, (keys, keys, keys), readers, recipe)
    note = f"pictures are {turn or 'as they are'}, labels {of_labels or 'as they are'}"
    return told(sheet, f"0jl's parquet, {len(keys):,} frames", (note,), lists)


def _of_tanganke(root: Path, recipe: NyuDepthV2, keys: list[Key], tested: object) -> Sheet:
    filled(recipe, "tanganke's")
    if recipe.labels != 13:
        raise LabError("labels", recipe.labels, "must be 13: this form has no others", "Give labels=13.")
    sides = ["train" if "train" in (Path(one).stem[:5], Path(one).parent.name) else "test" for one, _ in keys]
    order = sorted(range(len(keys)), key=lambda i: sides[i] == "test")
    keys, sides = [keys[i] for i in order], [sides[i] for i in order]
    frames = [Frame(i + 1, side, neighbours(i)) for i, side in enumerate(sides)]
    readers = Readers(
        ParquetPicture(recipe.size),
        ParquetDepth(recipe.size),
        ParquetLabels(recipe.size, (VOID, *range(13)), "segmentation", least=-1),
    )
    sheet = sheet_of(frames, (keys, keys, keys), readers, recipe)
    said = f"tanganke's parquet, {len(keys):,} frames; its val is the official test"
    return told(sheet, said, ("scenes are not named in this form: five rows are kept together",), ())


def _pixels(key: Key) -> Array:
    """(H, W, 3) uint8."""
    from PIL import Image

    value, place = _value(*key, "image"), f"{key[0]}, image {key[1]}"
    with reading(place, "must be a picture"):
        if isinstance(value, dict):
            with Image.open(io.BytesIO(value["bytes"]), formats=("PNG", "JPEG")) as opened:
                return np.asarray(opened.convert("RGB"))
        if value.ndim != 3 or value.shape[0] != 3 or not (np.abs(value - 0.5) <= 0.5 + 1e-3).all():
            raise DamagedFile(place, f"{value.dtype} {value.shape}", "must be (3, H, W), from 0 to 1")
        return np.moveaxis(np.rint(value * _LEVELS).clip(0, _LEVELS).astype(np.uint8), 0, -1)


def _map(key: Key, column: str) -> Array:
    """(H, W) of a column of maps, which may have one channel."""
    value: Any = _value(*key, column)
    place = f"{key[0]}, {column} {key[1]}"
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
        raise DamagedFile(place, type(value).__name__, "must be a map of numbers")
    found: Array = value[0] if value.ndim == 3 and len(value) == 1 else value
    if found.ndim != 2 or not found.size:
        raise DamagedFile(place, found.shape, "must be (H, W)")
    return found


def _straight(value: Array, turn: Turn) -> Array:
    return {"": value, "transposed": value.swapaxes(0, 1), "turned": np.rot90(value, -1)}[turn]


def _opened(file: Path) -> Any:  # noqa: ANN401 - pyarrow's
    try:
        from pyarrow import parquet
    except ImportError as error:
        way_out = 'Install it: pip install "mmkd-lab[parquet]".'
        raise LabError("file", str(file), "needs pyarrow, as it is a table of parquet", way_out) from error
    with reading(genuine(file), _WHOLE, "Fetch it again."):
        return parquet.ParquetFile(file)


def _value(path: str, row: int, column: str) -> Any:  # noqa: ANN401 - an array, a text, or a picture's file
    with reading(path, _WHOLE):
        about = Path(path).stat()
        ends = _ends(path, about.st_size, about.st_mtime_ns)
        part = int(np.searchsorted(ends, row, side="right"))
        first = 0 if part == 0 else ends[part - 1]
        held = _part(path, about.st_size, about.st_mtime_ns, part, column)[row - first]
        return _plain(held)


@lru_cache(maxsize=16)
def _ends(path: str, _size: int, _time: int) -> tuple[int, ...]:
    """The row after each part of a file."""
    about = _opened(Path(path)).metadata
    return tuple(np.cumsum([about.row_group(i).num_rows for i in range(about.num_row_groups)]).tolist())


@lru_cache(maxsize=1)
def _part(path: str, _size: int, _time: int, part: int, column: str) -> Any:  # noqa: ANN401 - pyarrow's
    """One column of one part: rows are asked for in their order, and a part is read once for all of its."""
    found = _opened(Path(path)).read_row_group(part, columns=[column]).column(column).combine_chunks()
    return getattr(found, "storage", found)


def _plain(held: Any) -> Any:  # noqa: ANN401 - pyarrow's; nested lists of equal lengths become an array
    if not _listed(held.type):
        return held.as_py()
    values = held.values
    shape = [len(values)]
    while _listed(values.type):
        lengths = {len(one) for one in values}
        if len(lengths) != 1:
            raise ValueError(f"lists of {len(lengths)} lengths")
        shape.append(lengths.pop())
        values = values.flatten()
    return values.to_numpy(zero_copy_only=False).reshape(shape)


def _listed(kind: Any) -> bool:  # noqa: ANN401 - pyarrow's
    from pyarrow import types

    return any(one(kind) for one in (types.is_list, types.is_large_list, types.is_fixed_size_list))
