"""Background sounds: 50 clips of ESC-10, or generated pink noise, to be mixed under speech at a stated ratio.

Folds 1 to 3 are for training, fold 4 for validation and fold 5 for testing: no clip is heard on two sides.
ESC-50 keeps the clips cut from one original recording in one fold (Piczak 2015), so no recording is either.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mmkd_lab.core.check import DamagedFile
from mmkd_lab.data.archives import digest_members, loudness, members, read_wav
from mmkd_lab.data.content import BACKGROUND, PUBLISHED_BACKGROUND, exact_members
from mmkd_lab.data.manifest import DataFile, backgrounds

Floats = npt.NDArray[np.float64]

RATE, SECONDS = 8000, 5
FOLDS = {"train": ("1", "2", "3"), "val": ("4",), "test": ("5",)}
#: Decibels by which a published clip, resampled, may differ on average from the loudness the manifest states;
#: the two most alike of the 50 clips differ by 1.15.
TOLERANCE = 1.0
_BLOCK = RATE // 100


@dataclass(frozen=True, eq=False)
class Backgrounds:
    """Clips at 8 kHz without their silent stretches.

    Args:
        names: the clip names, sorted; a clip's number is its position here.
        clips: their samples.
        digest: SHA-256 of the archive's content.
    """

    names: tuple[str, ...]
    clips: tuple[Floats, ...]
    digest: str

    def of(self, split: str) -> npt.NDArray[np.int64]:
        """The numbers of the clips that a split may use."""
        return np.array([i for i, name in enumerate(self.names) if name[0] in FOLDS[split]], dtype=np.int64)


def read_backgrounds(file: DataFile, path: Path) -> Backgrounds:
    """The 50 clips, from either archive:

    * esc10-8khz.zip: already at 8 kHz, compared byte by byte with the manifest's digest;
    * ESC-50 as published (44.1 kHz): resampled, and the loudness of each clip compared with the manifest's.

    Raises `DamagedFile` naming the path when a clip is missing, altered, or not a wav file of its kind.
    """
    if path.name == file.names[0]:
        found = exact_members(file, path, BACKGROUND)
        rate = RATE
    else:
        found, rate = members(path, PUBLISHED_BACKGROUND, only=backgrounds()), 44100
    missing = sorted(set(backgrounds()) - set(found))
    if missing:
        raise DamagedFile(
            str(path), f"without clip {missing[0]}", f"must hold all {len(backgrounds())} clips"
        )
    clips = tuple(_clip(found[name], rate=rate, name=name, path=path) for name in sorted(found))
    return Backgrounds(
        tuple(sorted(found)), tuple(without_silence(clip) for clip in clips), digest_members(found)
    )


def without_silence(clip: Floats) -> Floats:
    """Drop the 10 ms blocks more than 50 dB below the loudest: many clips are padded with digital silence."""
    blocks = clip[: len(clip) // _BLOCK * _BLOCK].reshape(-1, _BLOCK)
    power = (blocks**2).mean(axis=1)
    return np.asarray(blocks[power > power.max() * 1e-5].ravel())


def pink(rng: np.random.Generator, *, rows: int, samples: int) -> Floats:
    """(rows, samples) noise whose power falls as 1 / f (3 dB an octave) above 20 Hz."""
    from scipy.fft import irfft

    frequencies = np.fft.rfftfreq(samples, 1 / RATE)
    shape = 1.0 / np.sqrt(np.maximum(frequencies, 20.0))
    shape[0] = 0.0
    parts = rng.standard_normal((rows, 2, len(frequencies)))  # row by row: chunks draw the same
    return np.asarray(irfft((parts[:, 0] + 1j * parts[:, 1]) * shape, n=samples, axis=1))


def excerpt(clip: Floats, start: float, samples: int) -> Floats:
    """`samples` samples of a clip from the relative position `start` in [0, 1) on, going round at its end."""
    first = int(start * len(clip))
    if first + samples <= len(clip):
        return clip[first : first + samples]
    return np.take(clip, np.arange(first, first + samples), mode="wrap")


def mix(speech: Floats, noise: Floats, snr_db: float) -> Floats:
    """Add noise to each row of speech, (N, samples), `snr_db` decibels below the speech.

    Both powers are means over the whole row, padding included. Silent noise adds nothing.
    """
    speech_power, noise_power = (np.einsum("ij,ij->i", sound, sound) for sound in (speech, noise))
    gain = np.sqrt(speech_power * 10.0 ** (-snr_db / 10.0) / np.maximum(noise_power, 1e-12))
    return np.asarray(speech + gain[:, None] * noise)


def _clip(content: bytes, *, rate: int, name: str, path: Path) -> Floats:
    found_rate, samples = read_wav(content, name=f"{path}: {name}")
    if found_rate != rate:
        raise DamagedFile(f"{path}: {name}", f"{found_rate} Hz", f"must have {rate} Hz")
    if len(samples) != SECONDS * rate:
        shown = f"{len(samples) / rate:.3f} s"
        raise DamagedFile(f"{path}: {name}", shown, f"must last {SECONDS} s, as every clip of ESC-50 does")
    if rate == RATE:
        return samples.astype(np.float64)
    from scipy.signal import resample_poly

    clip = np.asarray(resample_poly(samples.astype(np.float64), 80, 441))
    stated = np.frombuffer(bytes.fromhex(backgrounds()[name]), dtype=np.uint8).astype(float)
    apart = float(np.abs(loudness(clip).astype(float) - stated).mean()) / 4.0
    if apart > TOLERANCE:
        shown, rule = (
            f"differs by {apart:.1f} dB on average",
            "its loudness over time must be that of the manifest",
        )
        raise DamagedFile(f"{path}: {name}", shown, rule, "Delete the archive and download it again.")
    return clip
