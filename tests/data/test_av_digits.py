"""av_digits: splits, pairs, noise, and the stated fingerprint."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch

from mmkd_lab import data
from mmkd_lab.data.datasets import av_digits
from mmkd_lab.data.manifest import shipped
from mmkd_lab.data.paired import PairedData

SMALL = {"n_train": 400, "n_val": 100, "n_test": 200}


@pytest.fixture(scope="module")
def small() -> PairedData:
    return data.load("av_digits", **SMALL)


def test_the_default_is_the_stated_dataset() -> None:
    found = data.load("av_digits")
    assert found.fingerprint == "1c53a8e4e36a972c"
    assert {name: len(where) for name, where in found.splits.items()} == {
        "train": 2000,
        "val": 500,
        "test": 2000,
    }
    assert found.shapes == {"image": (1, 8, 8), "speech": (1, 28, 28)}
    assert all(values.dtype == torch.float32 for values in found.modalities.values())


def test_a_seed_gives_one_dataset(small: PairedData) -> None:
    assert data.load("av_digits", **SMALL).fingerprint == small.fingerprint
    assert data.load("av_digits", **SMALL, seed=1).fingerprint != small.fingerprint


def test_pairs_have_equal_labels(small: PairedData) -> None:
    from sklearn.datasets import load_digits

    with np.load(shipped("av_digits/speech.npz"), allow_pickle=False) as speech:
        said = torch.from_numpy(speech["digit"].astype(np.int64))
        voices = torch.from_numpy(speech["speaker"].astype(np.int64))
    assert torch.equal(said[small.sources["speech"]], small.target)
    assert torch.equal(torch.from_numpy(load_digits().target)[small.sources["image"]], small.target)
    assert torch.equal(voices[small.sources["speech"]], small.group)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_images_utterances_and_speakers_are_on_one_side(seed: int) -> None:
    found = data.load("av_digits", n_train=2000, n_val=2000, n_test=2000, seed=seed)
    assert found.group is not None
    kinds = {"speaker": found.group, **found.sources}
    for kind, numbers in kinds.items():
        sides = {split: set(numbers[where].tolist()) for split, where in found.splits.items()}
        for one, other in combinations(sides, 2):
            assert not sides[one] & sides[other], kind
    assert len(set(found.group[found.splits["train"]].tolist())) == 48
    assert len(set(found.group.tolist())) == 88


def test_every_split_is_balanced(small: PairedData) -> None:
    for where in small.splits.values():
        counts = torch.bincount(small.target[where], minlength=10)
        assert int(counts.max() - counts.min()) <= 1


@pytest.mark.parametrize("wanted", [-10.0, 0.0, 12.0])
def test_speech_noise_has_the_stated_power(wanted: float) -> None:
    with np.load(shipped("av_digits/speech.npz"), allow_pickle=False) as speech:
        power = av_digits._power(speech["level"][:1500])
    noise = av_digits._noise(power, wanted, 0)
    measured = 10 * np.log10(power.sum(axis=(1, 2)) / noise.sum(axis=(1, 2)))
    assert measured == pytest.approx(np.full(1500, wanted), abs=1e-9)
    assert (av_digits._noise(power, None, 0) == 0).all()


def test_clean_speech_is_the_shipped_spectrogram() -> None:
    found = data.load("av_digits", **SMALL, speech_snr_db=None)
    with np.load(shipped("av_digits/speech.npz"), allow_pickle=False) as speech:
        level = speech["level"][found.sources["speech"].numpy()].astype(float)
    rows = found.modalities["speech"][:, 0].double().numpy()
    slope, offset = np.polyfit(level.ravel(), rows.ravel(), 1)
    assert slope > 0
    assert np.abs(slope * level + offset - rows).max() < 0.01


def test_image_noise_has_the_stated_sd_and_occlusion_the_stated_area() -> None:
    clean = np.zeros((3000, 8, 8))
    assert av_digits._degrade(clean, 0.4, 0.0, 0).std() == pytest.approx(0.4, rel=0.01)
    hidden = av_digits._degrade(clean, 0.0, 0.5, 0) == 0.5
    assert set(hidden.sum(axis=(1, 2))) == {16}
    assert hidden.any(axis=0).all()
    assert (av_digits._degrade(clean, 0.1, 1.0, 0) == 0.5).all()


def test_training_rows_are_standardised(small: PairedData) -> None:
    for values in small.modalities.values():
        rows = values[small.splits["train"]]
        assert float(rows.mean()) == pytest.approx(0.0, abs=1e-3)
        assert float(rows.std()) == pytest.approx(1.0, abs=1e-3)


def test_either_modality_can_be_made_the_stronger() -> None:
    from sklearn.linear_model import LogisticRegression

    def accuracy(found: PairedData, modality: str) -> float:
        x = found.modalities[modality].flatten(1).numpy()
        train, test, y = found.splits["train"].numpy(), found.splits["test"].numpy(), found.target.numpy()
        model = LogisticRegression(C=0.01, max_iter=300).fit(x[train], y[train])
        return 100 * float(model.score(x[test], y[test]))

    default = data.load("av_digits")
    image, speech = accuracy(default, "image"), accuracy(default, "speech")
    assert 80 < image < 93
    assert 65 < speech < 80
    other = data.load("av_digits", image_noise=0.75, speech_snr_db=5.0)
    image, speech = accuracy(other, "image"), accuracy(other, "speech")
    assert image < 60
    assert speech > 80


def test_the_shipped_speech_has_every_voice_saying_every_digit_three_times() -> None:
    path = shipped("av_digits/speech.npz")
    assert path.stat().st_size < 1_500_000
    with np.load(path, allow_pickle=False) as speech:
        counts = np.zeros((88, 10), dtype=int)
        np.add.at(counts, (speech["speaker"], speech["digit"]), 1)
        level, voices, found = speech["level"], speech["voices"], speech["speaker"]
    assert (counts == 3).all()
    assert len(set(voices.tolist())) == 88
    assert level.shape == (2640, 28, 28)
    assert (level.max(axis=(1, 2)) == 255).all()
    heard: dict[bytes, set[int]] = {}
    for row, speaker in zip(level, found, strict=True):
        heard.setdefault(row.tobytes(), set()).add(int(speaker))
    assert all(len(speakers) == 1 for speakers in heard.values())  # two speakers of one voice would agree
    assert "en-gb" not in {voice.partition("+")[0] for voice in voices.tolist()}  # it has no variants
    # No utterance is cut: where speech reaches the first or last frame it is its tail, 20 dB below its peak.
    assert (level[:, :, [0, -1]].max(axis=(1, 2)) < 255 - 20 * 255 / 80).all()
