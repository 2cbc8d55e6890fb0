"""MST-Distill's three arrays of RAVDESS: 15 pictures of a face, 15 cepstral coefficients in time, labels.

No row has a name. Where labels come as those of the 60 recordings of an actor do in the order of their names,
time and again, each sixty rows are one actor's; else nobody knows who speaks.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmkd_lab.core.check import DamagedFile, LabError, reading
from mmkd_lab.data.published.items import genuine, shrunk
from mmkd_lab.data.published.recipes import RavdessClips
from mmkd_lab.data.published.sheet import Array, Column, Sheet
from mmkd_lab.data.task import Task

FILES = {name: f"{name}_data.npy" for name in ("video", "audio", "label")}
EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
#: The labels of an actor's sixty recordings of speech, by name: no neutral one is strong.
ACTOR = np.repeat(np.arange(8), [4, *[8] * 7])
_LEVELS, _MOST = 255, 1e30


@dataclass(frozen=True)
class FacesRow:
    """(path, row) of (N, frames, 3, H, W), blue first -> (3 count, height, width) uint8, red first: frames in
    the middle of `count` equal parts, one after another."""

    count: int
    size: tuple[int, int]

    def __call__(self, key: tuple[str, int]) -> Array:
        """Read it. Raises `DamagedFile`."""
        clip, place = np.array(_mapped(key[0])[key[1]]), f"{key[0]}, row {key[1]}"
        if not ((clip >= 0) & (clip <= _LEVELS)).all():
            raise DamagedFile(place, "levels beyond", f"must lie between 0 and {_LEVELS}")
        wanted = [int((i + 0.5) * len(clip) / self.count) for i in range(self.count)]
        pictures = [np.moveaxis(clip[i][::-1], 0, -1).astype(np.uint8) for i in wanted]
        return np.concatenate([shrunk(one, self.size) for one in pictures])


@dataclass(frozen=True)
class CepstralRow:
    """(path, row) of (N, coefficients, frames) -> (1, coefficients, frames) float32."""

    def __call__(self, key: tuple[str, int]) -> Array:
        """Read it. Raises `DamagedFile`."""
        found = np.array(_mapped(key[0])[key[1]], dtype=np.float64)[None]
        if not (np.abs(found) < _MOST).all():  # NaN is not
            raise DamagedFile(f"{key[0]}, row {key[1]}", "NaN or huge values", "must be finite")
        return found.astype(np.float32)


def of_arrays(root: Path, recipe: RavdessClips) -> Sheet:
    """The sheet of the arrays that are there. Raises `DamagedFile` for shapes that do not fit, `LabError`
    where actors are to be kept apart and are not known."""
    root = next(
        (one for one in (root, root / "RAVDESS_preprocessed_npy") if (one / FILES["label"]).is_file()), root
    )
    label = np.array(_mapped(str(root / FILES["label"])))
    if (
        label.ndim != 1
        or not len(label)
        or label.dtype.kind not in "iu"
        or not np.isin(label, range(8)).all()
    ):
        shown = f"{label.dtype} {label.shape}"
        raise DamagedFile(str(root / FILES["label"]), shown, "must be labels (N,) from 0 to 7")
    columns: dict[str, Column] = {}
    for name, axes in (("audio", ("N", "coefficients", "frames")), ("video", ("N", "frames", 3, "H", "W"))):
        if not (file := root / FILES[name]).is_file():
            continue
        shape = _mapped(str(file)).shape
        fits = len(shape) == len(axes) and shape[0] == len(label) and min(shape) > 0
        if not fits or (3 in axes and shape[2] != 3):
            raise DamagedFile(
                str(file), shape, f"must be {axes}, {len(label)} rows as the labels".replace("'", "")
            )
        keys = [(str(file), i) for i in range(len(label))]
        columns[name] = Column(
            keys, FacesRow(recipe.frames, recipe.size) if name == "video" else CepstralRow()
        )
    if not columns:
        raise DamagedFile(str(root), "labels alone", f"must hold {FILES['audio']} or {FILES['video']}")
    actors = len(label) % len(ACTOR) == 0 and bool((label.reshape(-1, len(ACTOR)) == ACTOR).all())
    random = recipe.split == "random"
    if not random and not actors:
        rule = (
            "must be 'random': rows are not in the order of the recordings' names, so nobody knows who speaks"
        )
        raise LabError("split", recipe.split, rule, "Give split='random', or the published files.")
    return Sheet(
        ids=tuple(f"row {i}" for i in range(len(label))),
        classes=EMOTIONS,
        task=Task.SINGLE_LABEL,
        target=label.astype(np.int64),
        split=None,
        modalities=columns,
        group=None if random else tuple(f"actor {i // len(ACTOR) + 1}" for i in range(len(label))),
        layout=f"MST-Distill's arrays, {len(label):,} rows without names",
        notes=("every sixty rows are taken for one actor's, by their labels",) * (not random),
        files=(root / FILES["label"],),
    )


def _mapped(path: str) -> Array:
    """An array that stays on disk. Raises `DamagedFile` unless it is whole, and holds plain numbers."""
    with reading(genuine(Path(path)), "must be a whole .npy file of plain numbers", "Fetch it again."):
        found: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    if found.dtype.kind not in "fiu":
        raise DamagedFile(path, f"{found.dtype}", "must hold numbers")
    return found
