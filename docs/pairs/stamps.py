"""Tux Paint's stamps, from Debian's package `tuxpaint-stamps-default`: what is drawn, said and written.

    mmkd-lab run 06 -p dataset docs/pairs/stamps.py:stamps -p student sound -p teacher image

A picture, its description in a language you choose, and the same read aloud; the label is the folder. Several
stamps of a folder whose names begin with the same word show one thing: they are a family and stay together.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from mmkd_lab import data

ROOT = Path("/usr/share/tuxpaint/stamps")


def stamps(root: str = str(ROOT), language: str = "fr", size: int = 32, least: int = 12) -> data.PairedData:
    """The stamps that are drawn, written and said in `language`, from folders that have `least` of them."""
    drawn = sorted(Path(root).rglob("*.png"))
    said = {picture: picture.with_name(f"{picture.stem}_desc_{language}.ogg") for picture in drawn}
    found = [picture for picture in drawn if said[picture].exists() and written(picture, language)]
    label = {picture: picture.relative_to(root).parts[0] for picture in found}
    often = {one: list(label.values()).count(one) for one in label.values()}
    found = [picture for picture in found if often[label[picture]] >= least]
    names = [str(picture.relative_to(root).with_suffix("")) for picture in found]
    return data.from_arrays(
        {
            "image": np.stack([pixels(picture, size) for picture in found]),
            "text": [written(picture, language) for picture in found],
            "sound": np.stack([loudness(said[picture]) for picture in found]),
        },
        [label[picture] for picture in found],
        group=[family(name) for name in names],
        ids=names,
        name="stamps",
    )


def family(name: str) -> str:
    """The folder and the first word of a stamp's name."""
    folder, _, last = name.rpartition("/")
    return f"{folder}/{re.split('[^a-z]+', last.lower())[0]}"


def pixels(picture: Path, size: int) -> np.ndarray:
    """(size, size, 3) uint8, on white."""
    with Image.open(picture) as opened:
        one = opened.convert("RGBA")
    paper = Image.new("RGBA", one.size, "white")
    return np.asarray(Image.alpha_composite(paper, one).convert("RGB").resize((size, size)))


def written(picture: Path, language: str) -> str:
    """The description, or nothing where there is none."""
    lines = picture.with_suffix(".txt")
    lines = lines.read_text(encoding="utf-8").splitlines() if lines.exists() else []
    mark = f"{language}.utf8="
    return next((line.removeprefix(mark).strip() for line in lines if line.startswith(mark)), "")


def loudness(sound: Path, frames: int = 40, bands: int = 32) -> np.ndarray:
    """(1, bands, frames) log power of a recording, over its whole length whatever that is."""
    wave, _ = soundfile.read(sound, dtype="float32")
    wave = wave.mean(axis=1) if wave.ndim > 1 else wave
    edges = np.linspace(0, max(len(wave) - 1024, 1), frames).astype(int)
    short = np.stack([np.pad(wave[at : at + 1024], (0, max(0, 1024 - len(wave) + at))) for at in edges])
    power = np.abs(np.fft.rfft(short * np.hanning(1024))) ** 2
    cuts = np.unique(np.geomspace(4, power.shape[1], bands + 1).astype(int))
    return np.log(np.add.reduceat(power, cuts[:-1], axis=1) + 1e-8).T[None].astype(np.float32)
