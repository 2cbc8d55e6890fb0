"""Readers of one clip: its frames and its sound, by PyAV (the extra `video`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmkd_lab.core.check import DamagedFile, LabError, reading
from mmkd_lab.data.own.media import RATE, spectrogram
from mmkd_lab.data.published.items import genuine
from mmkd_lab.data.published.sheet import Array

_MOST_SECONDS = 600.0


@contextmanager
def opened(file: Path, kind: str) -> Iterator[tuple[Any, Any]]:
    """A clip and its first stream of a kind, 'video' or 'audio'. Raises `DamagedFile` where there is none,
    `LabError` where PyAV is not installed."""
    try:
        import av
    except ImportError as error:
        way_out = 'Install it: pip install "mmkd-lab[video]".'
        raise LabError("file", str(file), "needs PyAV, as it is a clip", way_out) from error
    genuine(file)
    alone = {"protocol_whitelist": "file"}  # a playlist fetches nothing
    rule = "must be a clip that can be decoded"
    with reading(file, rule, "Fetch it again."), av.open(str(file), options=alone) as clip:
        streams = clip.streams.video if kind == "video" else clip.streams.audio
        if not streams:
            wanted = f"must have a stream of {'pictures' if kind == 'video' else 'sound'}"
            raise DamagedFile(str(file), f"a clip without {kind}", wanted)
        yield clip, streams[0]


@dataclass(frozen=True)
class Frames:
    """A clip -> (3 count, height, width) uint8: frames in the middle of `count` equal parts of it, stretched
    to `size`, one after another; with one frame a picture."""

    count: int
    size: tuple[int, int]

    def __call__(self, key: str | Path) -> Array:
        """Read it. Raises `DamagedFile`."""
        file = Path(key)
        with opened(file, "video") as (clip, stream):
            number = stream.frames
            if not number:  # not stated: counted, and opened again, since not every clip can be wound back
                number = sum(1 for _ in clip.decode(stream))
        wanted = [int((i + 0.5) * number / self.count) for i in range(self.count)]
        found: dict[int, Array] = {}
        last: Any = None
        with opened(file, "video") as (clip, stream):
            for i, last in enumerate(clip.decode(stream)):
                if i in wanted:
                    found[i] = self._pixels(last)
                if i >= wanted[-1]:
                    break
            if last is None:
                raise DamagedFile(str(file), "no frame", "must hold at least one")
            if len(found) < len(set(wanted)):  # it states more frames than it has
                found |= {i: self._pixels(last) for i in wanted if i not in found}
        return np.concatenate([np.moveaxis(found[i], -1, 0) for i in wanted])

    def _pixels(self, frame: Any) -> Array:  # noqa: ANN401 - PyAV's
        height, width = self.size
        found: Array = frame.to_ndarray(format="rgb24", width=width, height=height, interpolation="AREA")
        return found


@dataclass(frozen=True)
class ClipSound:
    """A clip -> (1, 40, frames) float32 log-mel of its sound, as `items.SoundFile` has it."""

    seconds: float
    frames: int

    def __call__(self, key: str | Path) -> Array:
        """Read it. Raises `DamagedFile`, for a clip without sound too."""
        return spectrogram(wave_of(Path(key)), seconds=self.seconds, frames=self.frames)


def wave_of(file: Path) -> Array:
    """(samples,) of a clip's sound at `RATE`, channels averaged. Raises `DamagedFile`."""
    import av

    with opened(file, "audio") as (clip, stream):
        resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
        parts, total = list[Array](), 0
        for frame in clip.decode(stream):
            for one in resampler.resample(frame):
                parts.append(one.to_ndarray()[0])
                total += len(parts[-1])
            if total > RATE * _MOST_SECONDS:
                raise DamagedFile(str(file), "too long", f"must last at most {_MOST_SECONDS:g} s")
        parts += [one.to_ndarray()[0] for one in resampler.resample(None)]
        if not sum(map(len, parts)):
            raise DamagedFile(str(file), "a stream of no sound", "must hold at least one sample")
    return np.concatenate(parts)
