"""av_mnist_npy: AV-MNIST as the six arrays in circulation, made by Vielzeuf et al. 2018 and MultiBench.

Its pictures have three principal components, fitted on training and test apart, its sounds the same speakers
on both sides, and it is reported that some sounds are not of the digit in the picture: `mmkd-lab data verify`
tells how well the class means of each modality agree with the labels. `av_mnist` is made anew, without these.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from mmkd_lab.core.check import DamagedFile, reading
from mmkd_lab.data.published.fixtures.av_mnist_npy import write
from mmkd_lab.data.published.items import genuine
from mmkd_lab.data.published.publication import Observation, Publication
from mmkd_lab.data.published.recipes import AvMnistNpy
from mmkd_lab.data.published.sheet import Array, Column, Sheet
from mmkd_lab.data.task import Task

TRAIN, VAL = 60_000, 5_000
SHAPES = {"image": (1, 28, 28), "audio": (1, 112, 112)}
_LOOKED_AT, _BY_CHANCE, _MOST = 2000, 0.1, 1e6


@dataclass(frozen=True)
class ArrayRow:
    """(path, row) of a .npy file -> float32 of a shape, from 0 to 1 for values from 0 to 255."""

    shape: tuple[int, ...]

    def __call__(self, key: tuple[str, int]) -> Array:
        """Read it. Raises `DamagedFile` for what is not finite."""
        with np.errstate(over="ignore"):  # infinite then, which is refused
            row = np.array(_mapped(key[0])[key[1]])
        if not (np.abs(row.astype(np.float64)) < _MOST).all():  # NaN is not
            raise DamagedFile(
                f"{key[0]}, row {key[1]}", "NaN or huge values", "must be levels up to 255 or so"
            )
        return row.astype(np.float32).reshape(self.shape) / np.float32(255)


@cache
def _mapped(path: str) -> Array:
    """An array that stays on disk. Raises `DamagedFile` unless it is whole, and holds plain numbers."""
    with reading(genuine(Path(path)), "must be a whole .npy file of plain numbers", "Fetch it again."):
        found: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    if found.dtype.kind not in "fiu":
        raise DamagedFile(path, f"{found.dtype}", "must hold numbers")
    return found


def read(root: Path, recipe: AvMnistNpy) -> Sheet:
    """Both splits of the six files. Raises `DamagedFile` for a missing file, and shapes that do not fit."""
    _mapped.cache_clear()  # a file may have been replaced
    folder = next((one for one in (root, root / "avmnist") if (one / "image").is_dir()), root)
    labels = {split: _labels(folder / f"{split}_labels.npy") for split in ("train", "test")}
    keys: dict[str, list[tuple[str, int]]] = {}
    for modality, shape in SHAPES.items():
        keys[modality] = []
        for split, known in labels.items():
            file = folder / modality / f"{split}_data.npy"
            found = _mapped(str(file)).shape
            fits = found[:1] == known.shape and int(np.prod(found[1:])) == int(np.prod(shape))
            if not fits:
                rule = f"must be ({len(known)}, ...), as the labels, {np.prod(shape)} numbers in a row"
                raise DamagedFile(str(file), found, rule)
            keys[modality] += [(str(file), i) for i in range(len(known))]
    train, test = len(labels["train"]), len(labels["test"])
    held = VAL if train == TRAIN else 0
    side = ["train"] * (train - held) + ["val"] * held + ["test"] * test
    return Sheet(
        ids=tuple(f"{name}-{i}" for name, n in (("train", train), ("test", test)) for i in range(n)),
        classes=tuple(map(str, range(10))),
        task=Task.SINGLE_LABEL,
        target=np.concatenate([labels["train"], labels["test"]]),
        split=tuple(side),
        modalities={name: Column(keys[name], ArrayRow(shape)) for name, shape in SHAPES.items()},
        layout="MultiBench's six arrays",
        notes=(f"validation is the last {VAL:,} of train, as in the literature",) if held else (),
        files=tuple(folder / f"{one}_labels.npy" for one in labels),
    )


def _labels(file: Path) -> Array:
    """(N,) int64 digits; floating numbers that are whole count, too."""
    found = np.array(_mapped(str(file)))
    if found.ndim != 1 or len(found) == 0:
        raise DamagedFile(str(file), found.shape, "must be labels (N,)")
    odd = np.flatnonzero(~np.isin(found, np.arange(10)))
    if len(odd):
        shown = f"{found[odd[0]]} in row {odd[0]}"
        raise DamagedFile(str(file), shown, "must be digits from 0 to 9")
    return found.astype(np.int64)


def _agreement(root: Path, recipe: AvMnistNpy, sheet: Sheet) -> Iterator[Observation]:
    """How often the nearest class mean, of one half of some training rows, names the label of the others."""
    rows = sheet.of("train")[:_LOOKED_AT]
    labels = np.asarray(sheet.target)[rows]
    for name, column in sheet.columns.items() if len(rows) > 1 else ():
        values = np.stack([column.read(column.keys[i]).ravel() for i in rows])
        half = len(rows) // 2
        fitted, told = values[:half], values[half:]
        known = np.unique(labels[:half])
        means = np.stack([fitted[labels[:half] == one].mean(axis=0) for one in known])
        near = known[((told[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)]
        share = float((near == labels[half:]).mean())
        state = "ok" if share > 2 * _BY_CHANCE else "note"
        text = (
            f"the nearest class mean is right for {share:.0%} of {len(told)} rows; by chance {_BY_CHANCE:.0%}"
        )
        yield Observation(state, f"{name} fits", text)


PUBLICATION = Publication(
    name="av_mnist_npy",
    title="AV-MNIST, the arrays in circulation",
    licence="none stated; MNIST CC BY-SA 3.0, Free Spoken Digit Dataset CC BY-SA 4.0",
    citation="Vielzeuf, Lechervy, Pateux, Jurie: CentralNet, ECCV workshops 2018",
    home="https://github.com/pliang279/MultiBench",
    read=read,
    fixture=write,
    how="Follow MultiBench's readme to the archive avmnist, and put its folders image and audio and its two "
    "label files into the folder. The set av_mnist makes the same from openly licensed parts.",
    expected={"train": TRAIN - VAL, "val": VAL, "test": 10_000},
    examine=_agreement,
)
build = PUBLICATION.build
