"""av_digits: the embedded default. Real handwritten digits paired with synthesised spoken digits.

The images are UCI optdigits (8×8, as scikit-learn ships them). The speech was made by data/av_digits/make.py:
88 voices of espeak-ng, ten digits, three takes, at many speeds and pitches. Images and speakers are disjoint
between splits, and the strength of either modality is a parameter.
"""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from mmkd_lab.core.seed import derive
from mmkd_lab.data.assemble import consecutive, paired
from mmkd_lab.data.datasets.recipes import AvDigits
from mmkd_lab.data.making.pairing import Rows, balanced_labels, cut, draw
from mmkd_lab.data.making.scale import Array, Scale
from mmkd_lab.data.making.spectrogram import MelSpec, decibels
from mmkd_lab.data.manifest import shipped
from mmkd_lab.data.paired import PairedData

#: As in data/av_digits/make.py, which made the shipped spectrograms.
SPEC = MelSpec(rate=8000, window=256, hop=240, mel=28, frames=28)
FLOOR = 80.0
#: Share of the images of each digit, and of the speakers, that each split may use.
SHARES = {"train": 0.55, "val": 0.15, "test": 0.30}
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def build(recipe: AvDigits) -> PairedData:
    """The dataset. Use `data.load("av_digits", ...)`.

    image: (N, 1, 8, 8), black 0 and white 1 before the noise, standardised by the training images.
    speech: (N, 1, 28, 28) log-mel in decibels, standardised by the training spectrograms; noise is white and
    is added in the power domain, at a ratio over the whole window of 0.84 s.
    group: the speaker. sources: which image and which utterance each pair holds.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    with np.load(shipped("av_digits/speech.npz"), allow_pickle=False) as file:
        level, digit, speaker = (file[name] for name in ("level", "digit", "speaker"))
    digit, speaker = digit.astype(np.int64), speaker.astype(np.int64)
    sizes = [recipe.n_train, recipe.n_val, recipe.n_test]
    image, utterance, label = _pairs(sizes, digits.target.astype(np.int64), digit, speaker, recipe.seed)
    pixels = digits.images.astype(np.float64) / 16.0
    seen = _degrade(pixels[image], recipe.image_noise, recipe.image_occlusion, recipe.seed)
    # The shipped levels are steps of 80 / 255 dB above -80 dB; level 0 is silence.
    power = (10.0 ** ((level / 255.0 - 1.0) * FLOOR / 10.0) * (level > 0))[utterance]
    heard = decibels(power + _noise(power, recipe.speech_snr_db, recipe.seed), floor=FLOOR)
    for values in (seen, heard):
        Scale.fit(values[: recipe.n_train]).apply(values)
    return paired(
        "av_digits",
        modalities={
            "image": seen.astype(np.float32)[:, None],
            "speech": heard.astype(np.float32)[:, None],
        },
        target=label,
        splits=consecutive(sizes),
        classes=WORDS,
        group=speaker[utterance],
        sources={"image": image, "speech": utterance},
        recipe=asdict(recipe),
    )


def _pairs(
    sizes: list[int], image_digit: Rows, utterance_digit: Rows, speaker: Rows, seed: int
) -> tuple[Rows, Rows, Rows]:
    """Image, utterance and label of every pair, training pairs first."""
    rng, shares = np.random.default_rng(derive(seed, "av_digits", "pairs")), tuple(SHARES.values())
    by_digit = [cut(np.flatnonzero(image_digit == digit), shares, rng) for digit in range(10)]
    speakers = cut(np.unique(speaker), shares, rng)
    found = []
    for split, size in enumerate(sizes):
        label = balanced_labels(size, 10, rng)
        images = np.concatenate([parts[split] for parts in by_digit])
        utterances = np.flatnonzero(np.isin(speaker, speakers[split]))
        image = draw(label, images, image_digit[images], rng)
        found.append((image, draw(label, utterances, utterance_digit[utterances], rng), label))
    image, utterance, label = (np.concatenate(part) for part in zip(*found, strict=True))
    return image, utterance, label


def _degrade(images: Array, noise: float, occlusion: float, seed: int) -> Array:
    """Noise and a square of mid grey, fresh for every pair."""
    rng = np.random.default_rng(derive(seed, "av_digits", "image"))
    n, height, width = images.shape
    out = images + noise * rng.standard_normal(images.shape)
    side = round(occlusion * height)
    top, left = rng.integers(0, height - side + 1, (n, 1)), rng.integers(0, width - side + 1, (n, 1))
    down, right = np.arange(height) - top, np.arange(width) - left
    inside_down, inside_right = (down >= 0) & (down < side), (right >= 0) & (right < side)
    out[inside_down[:, :, None] & inside_right[:, None, :]] = 0.5
    return np.asarray(out)


def _noise(power: Array, snr_db: float | None, seed: int) -> Array:
    """Mel power of white noise, `snr_db` decibels below the mel power of each utterance in total."""
    out = np.zeros_like(power)
    if snr_db is None:
        return out
    rng = np.random.default_rng(derive(seed, "av_digits", "noise"))
    for start in range(0, len(power), 1000):
        part = power[start : start + 1000]
        found = SPEC.power(rng.standard_normal((len(part), SPEC.samples)))
        scale = part.sum(axis=(1, 2)) / found.sum(axis=(1, 2)) * 10.0 ** (-snr_db / 10.0)
        out[start : start + 1000] = found * scale[:, None, None]
    return out
