"""Original RAVDESS recordings by their published names, and their log-mel spectrograms.

Names: modality-channel-emotion-intensity-statement-repetition-actor, two digits each, in folders Actor_01 to
Actor_24 (Livingstone and Russo 2018). CC BY-NC-SA 4.0, research only.
"""

from __future__ import annotations

import re
from dataclasses import asdict, astuple, dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.check import DamagedFile, LabError, reading, require
from mmkd_lab.data.archives import Samples, read_wav
from mmkd_lab.data.datasets.ravdess import LOWEST, SPAN
from mmkd_lab.data.files import mirror_folder
from mmkd_lab.data.making.scale import Array
from mmkd_lab.data.making.spectrogram import mel_edges

RATE, TARGET_RATE = 48000, 16000
WINDOW, HOP, FFT = 400, 160, 512
BANDS, FRAMES = 40, 150
LOW, HIGH = 60.0, 7600.0
EMPHASIS, EPSILON, RANGE_DB = 0.97, 1e-10, 40.0
HOME = "It is in Audio_Speech_Actors_01-24.zip of zenodo.org/records/1188976 (CC BY-NC-SA 4.0)."
_LARGEST = (3, 2, 8, 2, 2, 2, 24)  # of each number of a name


@dataclass(frozen=True)
class Clip:
    """What a RAVDESS name says; every number counts from 1.

    Args:
        modality: 1 audio-video, 2 video alone, 3 audio alone.
        channel: 1 speech, 2 song.
        emotion: 1 neutral, 2 calm, 3 happy, 4 sad, 5 angry, 6 fearful, 7 disgust, 8 surprised.
        intensity: 1 normal, 2 strong; neutral is never strong.
        statement: 1 "Kids are talking by the door", 2 "Dogs are sitting by the door".
        repetition: 1 or 2.
        actor: 1 to 24; odd numbers are men.
    """

    modality: int
    channel: int
    emotion: int
    intensity: int
    statement: int
    repetition: int
    actor: int

    @property
    def key(self) -> str:
        """The name without its modality, which is the same for all recordings of one performance."""
        return "-".join(f"{number:02d}" for number in astuple(self)[1:])


def parse_name(name: str, suffix: str = ".wav") -> Clip:
    """What `03-01-06-01-02-01-12.wav` says. Raises `LabError` naming what is wrong with any other form."""

    rule = f"must be seven numbers of two digits, as in 03-01-06-01-02-01-12{suffix}"
    match = re.fullmatch(rf"([0-9]{{2}}(?:-[0-9]{{2}}){{6}}){re.escape(suffix)}", str(name))
    if match is None:
        raise LabError("name", name, rule)
    found = Clip(*map(int, match[1].split("-")))
    for (field, number), most in zip(asdict(found).items(), _LARGEST, strict=True):
        require(1 <= number <= most, "name", name, f"its {field} must lie between 01 and {most:02d}")
    fine = found.emotion != 1 or found.intensity == 1
    require(fine, "name", name, "its intensity must be 01: the neutral emotion has no strong one")
    return found


def recordings(mirror: str | Path | None = None) -> dict[Clip, Path]:
    """Every recording under `ravdess/Actor_XX` of the mirror, sorted by path.

    Raises `LabError` for a name of another form or an actor in another one's folder, `DamagedFile` for none.
    """
    folder = mirror_folder("ravdess", mirror)
    found: dict[Clip, Path] = {}
    for path in sorted(folder.glob("Actor_*/*.wav")):
        clip = parse_name(path.name)
        rule = f"must stand in Actor_{clip.actor:02d}, not in {path.parent.name}"
        require(path.parent.name == f"Actor_{clip.actor:02d}", "name", path.name, rule)
        found[clip] = path
    if not found:
        raise DamagedFile(str(folder), "no recording", "must hold Actor_01 to Actor_24 with .wav files", HOME)
    return found


def read_clip(path: str | Path) -> Samples:
    """The 48 kHz samples of one recording.

    Raises `LabError` for a name that is not RAVDESS's, `DamagedFile` where there is no 48 kHz mono wav file.
    """
    file = Path(path)
    parse_name(file.name)
    if not file.is_file():
        raise DamagedFile(str(file), "missing", "must be there", HOME)
    with reading(file, "must be a wav file", HOME):
        content = file.read_bytes()
    rate, samples = read_wav(content, name=str(file))
    if rate != RATE:
        raise DamagedFile(str(file), f"{rate} Hz", f"must be at {RATE} Hz", HOME)
    return samples


def clip_levels(path: str | Path) -> tuple[npt.NDArray[np.uint8], int]:
    """`mel_levels` of a recording. Raises as `read_clip`, and `DamagedFile` for a silent or too short one."""
    samples = read_clip(path)
    try:
        return mel_levels(samples)
    except LabError as error:
        raise DamagedFile(str(path), error.value, error.rule, HOME) from error


def mel_levels(samples: Samples) -> tuple[npt.NDArray[np.uint8], int]:
    """(40, 150) log-mel levels as `data.load("ravdess", audio="mel")` stores them, and how many frames count.

    The recording is resampled to 16 kHz and cut to the stretch between the first and the last frame (25 ms,
    every 10 ms) within 40 dB of the loudest. Then pre-emphasis of 0.97, a periodic Hann window, a 512-point
    power spectrum over the squared sum of the window, 40 triangles on the HTK mel scale from 60 to 7600 Hz
    with edges on whole bins, and ln(energy + 1e-10), averaged over pairs of frames. Level 1 to 255 is
    (lnE + 23.1) / 30.1 * 255, rounded; 0 is padding. Of more than 150 pairs the first 150 are kept.

    Raises `LabError` when the recording is silent or shorter than two frames.
    """
    wave = _resampled(samples)
    log = _log_mel(wave)
    first, last = _heard(wave)
    pairs = min(-(-(last + 1 - first) // 2), (len(log) - first) // 2, FRAMES)
    require(pairs > 0, "samples", f"{len(samples)} samples", "must hold at least two frames of sound")
    paired = log[first : first + 2 * pairs].reshape(pairs, 2, BANDS).mean(axis=1)
    level = np.zeros((BANDS, FRAMES), dtype=np.uint8)
    level[:, :pairs] = np.clip(np.rint((paired.T - LOWEST) / SPAN * 255.0), 1, 255)
    return level, pairs


def _resampled(samples: Samples) -> Array:
    from scipy.signal import resample_poly

    require(samples.ndim == 1, "samples", samples.shape, "must be one channel")
    shortest = (WINDOW + HOP) * RATE // TARGET_RATE
    require(len(samples) >= shortest, "samples", f"{len(samples)} samples", f"must be at least {shortest}")
    return np.asarray(resample_poly(samples / 32768.0, 1, RATE // TARGET_RATE))


def _framed(wave: Array) -> Array:
    return np.lib.stride_tricks.sliding_window_view(wave, WINDOW)[::HOP]


def _heard(wave: Array) -> tuple[int, int]:
    """The first and the last frame within 40 dB of the loudest."""
    power = np.square(_framed(wave)).mean(axis=1)
    require(float(power.max()) > 0, "samples", "silence", "must not be silent throughout")
    loud = np.flatnonzero(power > power.max() * 10.0 ** (-RANGE_DB / 10.0))
    return int(loud[0]), int(loud[-1])


def _log_mel(wave: Array) -> Array:
    """(frames, 40) natural log of mel energy."""
    emphasised = np.concatenate([wave[:1], wave[1:] - EMPHASIS * wave[:-1]])
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    spectrum = np.square(np.abs(np.fft.rfft(_framed(emphasised) * hann, FFT))) / hann.sum() ** 2
    return np.asarray(np.log(spectrum @ _filters() + EPSILON))


@cache
def _filters() -> Array:
    """(257, 40) triangles of height one whose edges are whole bins."""
    edges = np.floor((FFT + 1) * mel_edges(LOW, HIGH, BANDS) / TARGET_RATE)
    bins, left, centre, right = np.arange(FFT // 2 + 1)[:, None], edges[:-2], edges[1:-1], edges[2:]
    height = np.minimum((bins - left) / (centre - left), (right - bins) / (right - centre))
    return np.asarray(np.clip(height, 0.0, None))
