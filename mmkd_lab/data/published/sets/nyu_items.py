"""Readers of one picture, depth or label map of NYU Depth V2, of the .mat file or of files of their own."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmkd_lab.core.check import DamagedFile, reading
from mmkd_lab.data.archives import read_npy
from mmkd_lab.data.published.hdf5 import opened
from mmkd_lab.data.published.items import genuine, shrunk
from mmkd_lab.data.published.sets.nyu_labels import VOID, WRONG
from mmkd_lab.data.published.sheet import Array

Size = tuple[int, int]
#: Metres between which the median depth of a frame lies: the sensor sees from 0.7 to 10.
NEAREST, FARTHEST = 0.4, 12.0
_PIXELS = 40_000_000


def mat(file: Path) -> AbstractContextManager[Any]:
    """The .mat file, which is HDF5, to be read. Raises as `hdf5.opened`."""
    return opened(file, "a whole .mat file of version 7.3")


def nearest(values: Array, size: Size) -> Array:
    """(H, W) values at the middle of each cell of a grid of another size: none is invented."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip(size, values.shape, strict=True)
    )
    return np.asarray(values[rows[:, None], columns])


@dataclass(frozen=True)
class MatPicture:
    """(path, row) of `images` -> (3, height, width) uint8."""

    size: Size

    def __call__(self, key: tuple[str, int]) -> Array:
        """Read it. Raises `DamagedFile`."""
        with mat(Path(key[0])) as file:
            pixels = file["images"][key[1]].transpose(2, 1, 0)  # colours, W, H as MATLAB's files have them
        if pixels.dtype != np.uint8:
            raise DamagedFile(f"{key[0]}, images {key[1]}", pixels.dtype, "must be levels of one byte")
        return shrunk(pixels, self.size)


@dataclass(frozen=True)
class MatDepth:
    """(path, row) of `depths` or `rawDepths` -> (1, height, width) float32 metres, 0 where there is none."""

    size: Size
    dataset: str

    def __call__(self, key: tuple[str, int]) -> Array:
        """Read it. Raises `DamagedFile`."""
        with mat(Path(key[0])) as file:
            values = file[self.dataset][key[1]].T
        return metres(values, self.size, f"{key[0]}, {self.dataset} {key[1]}")


@dataclass(frozen=True)
class MatLabels:
    """(path, row) of `labels` -> (height, width) int16 class numbers, see `nyu_labels.table`."""

    size: Size
    table: tuple[int, ...]
    dataset: str = "labels"

    def __call__(self, key: tuple[str, int]) -> Array:
        """Read it. Raises `DamagedFile` for a label that is none."""
        with mat(Path(key[0])) as file:
            values = file[self.dataset][key[1]].T
        return classes(values, self.size, self.table, f"{key[0]}, {self.dataset} {key[1]}")


@dataclass(frozen=True)
class DepthFile:
    """A png of 16 bits, or a .npy of metres -> (1, height, width) float32 metres; a png holds `unit` metres
    in a step."""

    size: Size
    unit: float

    def __call__(self, key: str) -> Array:
        """Read it. Raises `DamagedFile`."""
        file = genuine(Path(key))
        with reading(file, "must hold depths"):
            if file.suffix == ".npy":
                return metres(read_npy(file.read_bytes()), self.size, key)
            values, mode = _grey(file)
            if not mode.startswith("I"):
                raise DamagedFile(key, f"a picture of mode {mode}", "must be a png of 16 bits of grey")
            return metres(values, self.size, key, self.unit)


@dataclass(frozen=True)
class LabelFile:
    """A png of class numbers -> (height, width) int16 by a table; three equal colours count as one."""

    size: Size
    table: tuple[int, ...]

    def __call__(self, key: str) -> Array:
        """Read it. Raises `DamagedFile` for a label that is none."""
        file = genuine(Path(key))
        with reading(file, "must be a png of class numbers"):
            values, _ = _grey(file)
        return classes(values, self.size, self.table, key)


def _grey(file: Path) -> tuple[Array, str]:
    """(H, W) numbers as they are stored, those of a palette too, and the mode."""
    from PIL import Image

    with Image.open(file, formats=("PNG",)) as picture:
        if picture.width * picture.height > _PIXELS:
            raise DamagedFile(str(file), f"{picture.size} pixels", f"must have at most {_PIXELS:,}")
        values, mode = np.asarray(picture), picture.mode
    if values.ndim == 3:
        if not (values == values[..., :1]).all():
            raise DamagedFile(str(file), f"colours, mode {mode}", "must hold one number a pixel")
        values = values[..., 0]
    return values, mode


def metres(values: Array, size: Size, name: str, unit: float = 1.0) -> Array:
    """(1, height, width) metres of depths (H, W) of so many metres. Raises `DamagedFile` for another unit."""
    if values.ndim != 2 or values.dtype.kind not in "fu":
        raise DamagedFile(name, f"{values.dtype} {values.shape}", "must be depths (H, W)")
    found = nearest(values, size).astype(np.float32) * np.float32(unit)
    found = np.where(np.isfinite(found), found, 0)
    valid = found[found > 0]
    middle = float(np.median(valid)) if len(valid) else 1.0
    if not NEAREST <= middle <= FARTHEST:
        rule = f"must be in metres: half of a frame lies between {NEAREST:g} and {FARTHEST:g} m"
        raise DamagedFile(name, f"a median depth of {middle:g}", rule, "It may be in millimetres.")
    return found[None].astype(np.float32)


def classes(values: Array, size: Size, table: tuple[int, ...], name: str) -> Array:
    """(height, width) int16 of labels (H, W). Raises `DamagedFile` for one that the table lacks."""
    if values.dtype.kind == "f" and (values == np.rint(values)).all():
        values = values.astype(np.int64)
    if values.ndim != 2 or values.dtype.kind not in "iu":
        raise DamagedFile(name, f"{values.dtype} {values.shape}", "must be whole numbers (H, W)")
    known = np.array(table, dtype=np.int16)
    inside = values.astype(np.int64).clip(-1, len(known)) + 1
    legal = np.concatenate([[False], known != WRONG, [False]])
    if np.bincount(inside.ravel(), minlength=len(legal))[~legal].any():
        wrong = np.unique(values[~legal[inside]])[:3].tolist()
        most = max(i for i, one in enumerate(table) if one >= VOID)
        raise DamagedFile(name, f"labels {wrong}", f"must be labels of this form, {most} at most")
    return known[nearest(values, size)]
