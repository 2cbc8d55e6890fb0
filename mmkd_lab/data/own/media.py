"""Pictures, sounds, texts and arrays in files of their own, each read whole and checked."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from mmkd_lab.core.check import LabError, reading
from mmkd_lab.data.archives import read_npy
from mmkd_lab.data.making.scale import on_grid
from mmkd_lab.data.making.spectrogram import MelSpec, decibels
from mmkd_lab.data.own.rows import Array

#: What a file is by the end of its name.
KINDS = {
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm"), "picture"),
    **dict.fromkeys((".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff"), "sound"),
    **{".txt": "text", ".npy": "array"},
}
#: What Pillow may read: formats that run no other program.
_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
RATE = 16000
_WINDOW, _HOP, _BANDS, _FRAMES, _SECONDS, _FLOOR = 512, 256, 40, 64, 30, 80.0


def read(file: Path, kind: str, size: tuple[int, int], rate: int) -> Any:  # noqa: ANN401 - text or an array
    """A text, the array of a .npy file, a picture of a size, or a sound at a rate.

    Raises `DamagedFile`, and `LabError` where a package is needed that is not installed.
    """
    if kind == "sound":
        return read_sound(file, rate)
    what = {"picture": "a picture", "text": "text in UTF-8", "array": "a .npy file of plain numbers"}
    with reading(file, f"must be {what[kind]}"):
        if kind == "picture":
            return picture(file, size)
        return file.read_text(encoding="utf-8-sig") if kind == "text" else read_npy(file.read_bytes())


def picture(file: Path, size: tuple[int, int]) -> Array:
    """(height, width, 3) uint8, stretched to `size`; what is transparent is white."""
    from PIL import Image, ImageOps

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of metadata, which are not read
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(file, formats=_FORMATS) as opened:
            opened.draft("RGB", (2 * size[1], 2 * size[0]))  # a JPEG is decoded no larger than needed
            upright = ImageOps.exif_transpose(opened)
            if upright.mode.startswith("I"):  # 16 bits of grey
                upright = Image.fromarray((np.asarray(upright) // 256).clip(0, 255).astype(np.uint8))
            flat = upright.convert("RGB")
            if upright.mode != "RGB" and upright.has_transparency_data:
                seen = upright.convert("RGBA")
                flat = Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen).convert("RGB")
            return np.asarray(flat.resize(size[::-1], Image.Resampling.BOX))


def read_sound(file: Path, rate: int) -> Array:
    """(samples,) from -1 to 1 at `rate`, channels averaged; .wav by scipy, other kinds by soundfile."""
    with reading(file, "must be a sound, a .wav of PCM or floating-point samples"):
        found, own = _wav(file) if file.suffix.lower() == ".wav" else _other(file)
        wave = found.reshape(len(found), -1).mean(axis=1)
        if not np.isfinite(wave).all():  # nor is the mean of nothing
            raise ValueError("NaN or infinite samples")
    if own == rate:
        return np.asarray(wave)
    from scipy.signal import resample_poly

    return np.asarray(resample_poly(wave, rate, own))


def _wav(file: Path) -> tuple[Array, int]:
    from scipy.io import wavfile

    with warnings.catch_warnings():
        warnings.filterwarnings("error", category=wavfile.WavFileWarning)  # truncated
        warnings.filterwarnings("ignore", "Chunk .non-data. not understood", wavfile.WavFileWarning)
        rate, found = wavfile.read(file)
    if found.dtype.kind == "u":
        return (found - 128.0) / 128.0, rate
    return found / (2.0 ** (8 * found.dtype.itemsize - 1) if found.dtype.kind == "i" else 1.0), rate


def _other(file: Path) -> tuple[Array, int]:
    try:
        import soundfile
    except (ImportError, OSError) as error:
        way_out = 'Install it: pip install "mmkd-lab[sound]"; or convert the file to .wav.'
        raise LabError("file", str(file), "needs soundfile, as it is no .wav", way_out) from error
    found: tuple[Array, int] = soundfile.read(file)
    return found


def spectrograms(waves: list[Array], form: MelSpec | None) -> Array:
    """(N, 1, mel, frames) log-mel in decibels below each sample's loudest cell, to 80.

    A recording stands in the middle of what the frames cover, or its middle is kept. Without a `form`: 40
    bands at 16 kHz over the longest recording (at most 30 s), averaged over time to at most 64 frames.
    """
    frames = max(1, 1 + (min(max(map(len, waves)), RATE * _SECONDS) - _WINDOW) // _HOP)
    step = -(-frames // _FRAMES) if form is None else 1
    own = _form(step * -(-frames // step))
    used = own if form is None else form
    out = np.empty((len(waves), used.mel, used.frames // step))
    for i, wave in enumerate(waves):
        out[i] = _power(wave, used, step)
    return on_grid(decibels(out, floor=_FLOOR))[:, None]


def spectrogram(wave: Array, *, seconds: float, frames: int) -> Array:
    """(1, 40, frames) float32: log-mel of the middle `seconds` of a sound at `RATE`, as `spectrograms` has
    it, averaged over time to so many frames."""
    step = max(1, round((RATE * seconds - _WINDOW) / _HOP / frames))
    return on_grid(decibels(_power(wave, _form(step * frames), step)[None], floor=_FLOOR)).astype(np.float32)


@cache
def _form(frames: int) -> MelSpec:
    return MelSpec(rate=RATE, window=_WINDOW, hop=_HOP, mel=_BANDS, frames=frames)


def _power(wave: Array, form: MelSpec, step: int) -> Array:
    """(mel, frames / step) power of a sound in the middle of what the frames cover."""
    left, right = (form.samples - len(wave)) // 2, -((len(wave) - form.samples) // 2)
    whole = np.pad(wave, (max(left, 0), max(right, 0)))[max(-left, 0) :][: form.samples]
    return np.asarray(form.power(whole[None]).reshape(form.mel, -1, step).mean(axis=-1))
