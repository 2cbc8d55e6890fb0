"""av_digits: the embedded default. Real handwritten digits paired with synthesised spoken digits.

The images are UCI optdigits (8×8, as scikit-learn ships them). The speech was made by data/av_digits/make.py:
88 voices of espeak-ng, ten digits, three takes, at many speeds and pitches. Images and speakers are disjoint
between splits, and the strength of either modality is a parameter.
"""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import numpy.typing as npt

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
    pixels, image_digit = _images()
    with np.load(shipped("av_digits/speech.npz"), allow_pickle=False) as file:
        speech = {name: file[name] for name in ("level", "digit", "speaker")}
    utterance_digit, speaker = speech["digit"].astype(np.int64), speech["speaker"].astype(np.int64)
    splits = consecutive([recipe.n_train, recipe.n_val, recipe.n_test])
    sizes = {name: len(rows) for name, rows in splits.items()}
    image, utterance, label = _pairs(sizes, image_digit, utterance_digit, speaker, recipe.seed)
    seen = _degrade(pixels[image], recipe.image_noise, recipe.image_occlusion, recipe.seed)
    power = _power(speech["level"])[utterance]
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
        splits=splits,
        classes=WORDS,
        group=speaker[utterance],
        sources={"image": image, "speech": utterance},
        recipe=asdict(recipe),
    )


def _images() -> tuple[Array, Rows]:
    from sklearn.datasets import load_digits

    found = load_digits()
    return found.images.astype(np.float64) / 16.0, found.target.astype(np.int64)


def _power(level: npt.NDArray[np.uint8]) -> Array:
    """Mel power of the shipped levels, which are steps of 80 / 255 dB above -80 dB; level 0 is silence."""
    return np.asarray(10.0 ** ((level / 255.0 - 1.0) * FLOOR / 10.0) * (level > 0))


def _pairs(
    sizes: dict[str, int], image_digit: Rows, utterance_digit: Rows, speaker: Rows, seed: int
) -> tuple[Rows, Rows, Rows]:
    """Image, utterance and label of every pair, training pairs first."""
    rng = np.random.default_rng(derive(seed, "av_digits", "pairs"))
    shares = tuple(SHARES[name] for name in sizes)
    by_digit = [cut(np.flatnonzero(image_digit == digit), shares, rng) for digit in range(10)]
    speakers = cut(np.unique(speaker), shares, rng)
    images, utterances, labels = [], [], []
    for split, size in enumerate(sizes.values()):
        label = balanced_labels(size, 10, rng)
        image_pool = np.concatenate([by_digit[digit][split] for digit in range(10)])
        utterance_pool = np.flatnonzero(np.isin(speaker, speakers[split]))
        images.append(draw(label, image_pool, image_digit[image_pool], rng))
        utterances.append(draw(label, utterance_pool, utterance_digit[utterance_pool], rng))
        labels.append(label)
    return np.concatenate(images), np.concatenate(utterances), np.concatenate(labels)


def _degrade(images: Array, noise: float, occlusion: float, seed: int) -> Array:
    """Noise and a square of mid grey, fresh for every pair."""
    rng = np.random.default_rng(derive(seed, "av_digits", "image"))
    n, height, width = images.shape
    out = images + noise * rng.standard_normal(images.shape)
    side = round(occlusion * height)
    top, left = rng.integers(0, height - side + 1, n), rng.integers(0, width - side + 1, n)
    rows, columns = np.arange(height), np.arange(width)
    inside_rows = (rows >= top[:, None]) & (rows < top[:, None] + side)
    inside_columns = (columns >= left[:, None]) & (columns < left[:, None] + side)
    out[inside_rows[:, :, None] & inside_columns[:, None, :]] = 0.5
    return np.asarray(out)


def _noise(power: Array, snr_db: float | None, seed: int) -> Array:
    """Mel power of white noise, `snr_db` decibels below the mel power of each utterance in total."""
    if snr_db is None:
        return np.zeros_like(power)
    rng = np.random.default_rng(derive(seed, "av_digits", "noise"))
    out = np.empty_like(power)
    for start in range(0, len(power), 1000):
        part = power[start : start + 1000]
        found = SPEC.power(rng.standard_normal((len(part), SPEC.samples)))
        scale = part.sum(axis=(1, 2)) / found.sum(axis=(1, 2)) * 10.0 ** (-snr_db / 10.0)
        out[start : start + 1000] = found * scale[:, None, None]
    return out
