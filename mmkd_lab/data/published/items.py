"""Readers of one picture or one sound, as columns of a sheet take them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmkd_lab.core.check import DamagedFile, reading
from mmkd_lab.data.own.media import RATE, picture, read_sound, spectrogram
from mmkd_lab.data.published.sheet import Array

_STAND_INS = {
    b"version https://git-lfs": "a Git LFS stub, not the file itself",
    b"<!doctype html": "an HTML page, such as an error page",
    b"<html": "an HTML page, such as an error page",
}


def genuine(file: Path) -> Path:
    """The file, unless it is missing, empty, or a stand-in that a download left. Raises `DamagedFile`."""
    if not file.is_file():
        raise DamagedFile(str(file), "missing", "must be there")
    with reading(file, "must be a file that can be read"), file.open("rb") as opened:
        head = opened.read(64).lstrip().lower()
    if not head:
        raise DamagedFile(str(file), "empty", "must hold something", "Fetch it again.")
    for mark, what in _STAND_INS.items():
        if head.startswith(mark):
            raise DamagedFile(str(file), what, "must be what its name says", "Fetch it again.")
    return file


def shrunk(pixels: Array, size: tuple[int, int]) -> Array:
    """(3, height, width) uint8 of (H, W, 3) levels, cells averaged."""
    from PIL import Image

    resized = Image.fromarray(np.ascontiguousarray(pixels)).resize(size[::-1], Image.Resampling.BOX)
    return np.ascontiguousarray(np.moveaxis(np.asarray(resized), -1, 0))


@dataclass(frozen=True)
class PictureFile:
    """A picture file, any kind that Pillow reads by itself -> (3, height, width) uint8, stretched; what is
    transparent is white, grey is three equal colours."""

    size: tuple[int, int]

    def __call__(self, key: str | Path) -> Array:
        """Read it. Raises `DamagedFile`."""
        file = genuine(Path(key))
        with reading(file, "must be a picture"):
            return np.ascontiguousarray(np.moveaxis(picture(file, self.size), -1, 0))


@dataclass(frozen=True)
class SoundFile:
    """A sound file -> (1, 40, frames) float32 log-mel of its middle `seconds`, at 16 kHz, channels averaged,
    in decibels below its loudest cell, to -80."""

    seconds: float
    frames: int

    def __call__(self, key: str | Path) -> Array:
        """Read it. Raises `DamagedFile`, for an empty sound too."""
        file = genuine(Path(key))
        wave = read_sound(file, RATE)
        return spectrogram(wave, seconds=self.seconds, frames=self.frames)
