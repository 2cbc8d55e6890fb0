"""Background sounds: the mixing ratio, the split by fold, and both archives they can come from."""

from __future__ import annotations

import io
import wave
import zipfile
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import resample_poly

from mmkd_lab.core.check import DamagedFile
from mmkd_lab.data import manifest
from mmkd_lab.data.archives import members
from mmkd_lab.data.content import BACKGROUND
from mmkd_lab.data.making.noise import excerpt, mix, pink, read_backgrounds, without_silence

FILE = manifest.collection("esc10").files[0]


@pytest.fixture(scope="module")
def clips(mirror: Path) -> dict[str, bytes]:
    return members(mirror / FILE.name, BACKGROUND)


def published(path: Path, clips: dict[str, bytes], *, rate: int = 44100) -> Path:
    """An archive laid out as ESC-50, its clips resampled from the mirror's."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ESC-50-master/audio/1-100038-A-14.wav", b"a clip of another class")
        for number, (name, content) in enumerate(clips.items()):
            low = np.frombuffer(content[44:], "<i2").astype(float)
            high = np.clip(resample_poly(low, 441, 80), -32768, 32767).astype("<i2")
            buffer = io.BytesIO()
            with wave.open(buffer, "wb") as file:
                file.setparams((1, 2, rate, 0, "NONE", ""))
                file.writeframes(high.tobytes())
            archive.writestr(f"ESC-50-master/audio/{name}-{number}.wav", buffer.getvalue())
    return path


def ratio(speech: np.ndarray, noise: np.ndarray) -> np.ndarray:
    return 10 * np.log10((speech**2).mean(axis=1) / (noise**2).mean(axis=1))


@pytest.mark.parametrize("wanted", [-10.0, -5.0, 0.0, 7.5])
def test_measured_ratio_is_the_ratio_asked(wanted: float) -> None:
    rng = np.random.default_rng(0)
    speech, noise = (
        rng.standard_normal((5, 4000)) * [[1], [50], [0.01], [3], [7]],
        rng.standard_normal((5, 4000)),
    )
    assert ratio(speech, mix(speech, noise, wanted) - speech) == pytest.approx(np.full(5, wanted), abs=1e-9)


def test_silent_noise_adds_nothing() -> None:
    speech = np.random.default_rng(0).standard_normal((2, 100))
    assert np.array_equal(mix(speech, np.zeros((2, 100)), 0.0), speech)


def test_pink_noise_falls_three_decibels_an_octave_whatever_the_chunks() -> None:
    rng = np.random.default_rng(0)
    noise = pink(rng, rows=400, samples=8000)
    spectrum = (np.abs(np.fft.rfft(noise, axis=1)) ** 2).mean(axis=0)
    octaves = [spectrum[low : 2 * low].mean() for low in (100, 200, 400, 800, 1600)]
    assert 10 * np.log10(np.array(octaves[:-1]) / octaves[1:]) == pytest.approx(np.full(4, 3.01), abs=0.15)
    again = np.random.default_rng(0)
    parts = np.concatenate([pink(again, rows=150, samples=8000), pink(again, rows=250, samples=8000)])
    assert np.array_equal(noise, parts)


def test_excerpt_goes_round_and_silence_is_dropped() -> None:
    assert excerpt(np.arange(5.0), 0.6, 4).tolist() == [3, 4, 0, 1]
    assert excerpt(np.arange(5.0), 0.2, 2).tolist() == [1, 2]
    loud, soft = np.ones(80), np.full(80, 1e-3)
    assert (
        without_silence(np.concatenate([soft, loud, np.zeros(160), loud * 0.1])).tolist()
        == [1.0] * 80 + [0.1] * 80
    )


def test_folds_keep_the_sides_apart(mirror: Path) -> None:
    found = read_backgrounds(FILE, mirror / FILE.name)
    parts = {split: set(found.of(split).tolist()) for split in ("train", "val", "test")}
    assert [len(part) for part in parts.values()] == [30, 10, 10]
    assert set.union(*parts.values()) == set(range(50))
    sources = {split: {found.names[i].split("-")[1] for i in part} for split, part in parts.items()}
    assert not sources["train"] & sources["test"]
    assert all((clip**2).mean() > 0 for clip in found.clips)


def test_the_published_archive_is_read_too(tmp_path: Path, mirror: Path, clips: dict[str, bytes]) -> None:
    path = published(tmp_path / "ESC-50-master.zip", clips)
    found, known = read_backgrounds(FILE, path), read_backgrounds(FILE, mirror / FILE.name)
    assert found.names == known.names
    for name, ours, theirs in zip(found.names, found.clips, known.clips, strict=True):
        assert abs(len(ours) - len(theirs)) <= 0.05 * len(theirs) + 800, name


def test_a_swapped_missing_or_other_clip_is_named(tmp_path: Path, clips: dict[str, bytes]) -> None:
    first, second = list(clips)[:2]
    swapped = {**clips, first: clips[second], second: clips[first]}
    with pytest.raises(DamagedFile, match="dB on average") as caught:
        read_backgrounds(FILE, published(tmp_path / "ESC-50-master.zip", swapped))
    assert first in caught.value.argument
    fewer = {name: content for name, content in clips.items() if name != second}
    with pytest.raises(DamagedFile, match=f"without clip {second}"):
        read_backgrounds(FILE, published(tmp_path / "ESC-50-master.zip", fewer))
    with pytest.raises(DamagedFile, match="48000 Hz"):
        read_backgrounds(FILE, published(tmp_path / "ESC-50-master.zip", clips, rate=48000))


def test_an_altered_clip_of_the_small_archive_is_refused(
    tmp_path: Path, mirror: Path, clips: dict[str, bytes]
) -> None:
    path = tmp_path / FILE.names[0]
    with zipfile.ZipFile(mirror / FILE.name) as good, zipfile.ZipFile(path, "w") as bad:
        for info in good.infolist():
            content = bytearray(good.read(info))
            if info.filename.endswith("5-186924-A.wav"):
                content[1000] ^= 1
            bad.writestr(info.filename, bytes(content))
    with pytest.raises(DamagedFile, match="SHA-256") as caught:
        read_backgrounds(FILE, path)
    assert caught.value.argument == str(path)
