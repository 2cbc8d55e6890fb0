"""What is heard, of a sound file, of a clip, or of samples in a .npy file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmkd_lab.core.check import DamagedFile, reading
from mmkd_lab.data.archives import read_npy
from mmkd_lab.data.own.media import spectrogram
from mmkd_lab.data.published.clips import ClipSound
from mmkd_lab.data.published.items import SoundFile, genuine
from mmkd_lab.data.published.sheet import Array

#: The ends of the names of clips.
CLIPS = (".mp4", ".mkv", ".webm", ".avi", ".flv")


@dataclass(frozen=True)
class Heard:
    """A clip, a sound file, or .npy (1, T) at 16 kHz -> (1, 40, frames), as `items.SoundFile` has it."""

    seconds: float
    frames: int

    def __call__(self, key: str) -> Array:
        """Read it. Raises `DamagedFile`, for a clip without sound too."""
        suffix = Path(key).suffix.lower()
        if suffix in CLIPS:
            return ClipSound(self.seconds, self.frames)(key)
        if suffix != ".npy":
            return SoundFile(self.seconds, self.frames)(key)
        with reading(genuine(Path(key)), "must be a .npy file of a sound, (1, T)"):
            wave = read_npy(Path(key).read_bytes())
        if wave.dtype.kind != "f" or wave.size != max(wave.shape) or not np.isfinite(wave).all():
            raise DamagedFile(key, f"{wave.dtype} {wave.shape}", "must be a sound: finite numbers (1, T)")
        return spectrogram(wave.reshape(-1).astype(np.float64), seconds=self.seconds, frames=self.frames)
