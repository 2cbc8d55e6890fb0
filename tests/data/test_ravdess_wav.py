"""Original RAVDESS recordings: names, refusals, and how close the log-mel comes to the stored one."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from mmkd_lab import data
from mmkd_lab.core.check import DamagedFile, LabError
from mmkd_lab.data.datasets import ravdess_wav
from mmkd_lab.data.datasets.ravdess_wav import (
    Clip,
    clip_levels,
    mel_levels,
    parse_name,
    read_clip,
    recordings,
)

NAME = "03-01-06-01-02-01-12.wav"


def written(path: Path, samples: np.ndarray, *, rate: int = 48000, channels: int = 1) -> Path:
    """A 16-bit wav file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


@pytest.fixture(scope="module")
def clips(mirror: Path) -> dict[Clip, Path]:
    if not (mirror / "ravdess").is_dir():
        pytest.skip("no ravdess folder in the mirror")
    return recordings(mirror)


def test_a_published_name_is_read() -> None:
    assert parse_name(NAME) == Clip(3, 1, 6, 1, 2, 1, 12)
    assert parse_name(NAME).key == "01-06-01-02-01-12"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("03-01-06-01-02-01.wav", "seven numbers of two digits"),
        ("03-01-06-01-02-01-12", "seven numbers"),
        ("03-01-06-01-02-01-12.WAV", "seven numbers"),
        ("3-1-6-1-2-1-12.wav", "seven numbers"),
        ("03_01_06_01_02_01_12.wav", "seven numbers"),
        ("03-01-06-01-02-01-12.wav.part", "seven numbers"),
        ("Actor_12/03-01-06-01-02-01-12.wav", "seven numbers"),
        ("03-01-06-01-02-01-1२.wav", "seven numbers"),
        ("04-01-06-01-02-01-12.wav", "modality must lie between 01 and 03"),
        ("03-03-06-01-02-01-12.wav", "channel must lie"),
        ("03-01-09-01-02-01-12.wav", "emotion must lie between 01 and 08"),
        ("03-01-00-01-02-01-12.wav", "emotion must lie"),
        ("03-01-06-03-02-01-12.wav", "intensity must lie"),
        ("03-01-06-01-03-01-12.wav", "statement must lie"),
        ("03-01-06-01-02-03-12.wav", "repetition must lie"),
        ("03-01-06-01-02-01-25.wav", "actor must lie between 01 and 24"),
        ("03-01-01-02-02-01-12.wav", "neutral emotion has no strong"),
    ],
)
def test_other_names_are_refused(name: str, expected: str) -> None:
    with pytest.raises(LabError, match=expected) as caught:
        parse_name(name)
    assert (caught.value.argument, caught.value.value) == ("name", name)
    with pytest.raises(LabError, match=r"name = 7: must be text"):
        parse_name(7)  # type: ignore[arg-type]


def test_the_mirrors_recordings_are_found(clips: dict[Clip, Path]) -> None:
    assert len(clips) >= 16
    assert {clip.actor for clip in clips} >= {1, 2}
    assert all(path.name == f"{clip.modality:02d}-{clip.key}.wav" for clip, path in clips.items())


def test_the_log_mel_is_the_stored_one(clips: dict[Clip, Path], mirror: Path) -> None:
    """Equal frame counts, and of 96,000 levels of 16 clips at most 16 differ, by one step."""
    with np.load(data.verify("ravdess", mirror)[0], allow_pickle=False) as file:
        stored, length, keys = file["mel"], file["mel_len"], file["key"].tolist()
    different = 0
    for clip, path in list(clips.items())[:16]:
        row = keys.index(clip.key)
        level, frames = mel_levels(read_clip(path))
        assert frames == length[row]
        gap = np.abs(level.astype(int) - stored[row].astype(int))
        assert gap.max() <= 1
        different += int((gap > 0).sum())
    assert different <= 16


def test_twice_the_amplitude_is_four_times_the_energy() -> None:
    rng = np.random.default_rng(0)
    noise = np.rint(rng.normal(0, 3000, 48000)).astype(np.int16)
    (quiet, frames), (loud, same) = mel_levels(noise), mel_levels(2 * noise)
    assert frames == same == 49
    step = (loud[:, :frames].astype(int) - quiet[:, :frames]).mean()
    assert step * ravdess_wav.SPAN / 255 == pytest.approx(np.log(4), abs=0.01)
    assert (quiet[:, frames:] == 0).all()
    assert quiet[:, :frames].min() >= 1


def test_silence_around_is_cut_and_long_clips_keep_their_beginning() -> None:
    rng = np.random.default_rng(1)
    sound = np.rint(rng.normal(0, 3000, 24000)).astype(np.int16)
    still = np.zeros(9600, np.int16)
    alone, frames = mel_levels(sound)
    padded, more = mel_levels(np.concatenate([still, sound, still]))
    assert frames <= more <= frames + 3
    level, most = mel_levels(np.tile(sound, 10))
    assert most == 150
    assert np.array_equal(level[:, : frames - 1], alone[:, : frames - 1])
    assert (level > 0).all()
    assert padded[:, more:].max(initial=0) == 0


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (np.zeros(48000, np.int16), "samples = 'silence'"),
        (np.ones(1000, np.int16), r"samples = '1000 samples': must be at least 1680"),
        (np.ones((48000, 2), np.int16), r"samples = \(48000, 2\): must be one channel"),
    ],
)
def test_no_spectrogram_of_nothing(samples: np.ndarray, expected: str) -> None:
    with pytest.raises(LabError, match=expected):
        mel_levels(samples)


def test_unfit_recordings_are_named(tmp_path: Path) -> None:
    path = tmp_path / NAME
    with pytest.raises(DamagedFile, match=r"missing.*zenodo\.org/records/1188976") as caught:
        read_clip(path)
    assert caught.value.argument == str(path)
    with pytest.raises(DamagedFile, match=r"16000 Hz.*48000 Hz") as caught:
        read_clip(written(path, np.ones(100), rate=16000))
    assert caught.value.argument == str(path)
    with pytest.raises(DamagedFile, match=r"2 channels.*mono"):
        read_clip(written(path, np.ones(100), channels=2))
    path.write_bytes(written(path, np.ones(100)).read_bytes()[:-20])
    with pytest.raises(DamagedFile, match="must hold the 100 samples"):
        read_clip(path)
    path.write_bytes(b"RIFF")
    with pytest.raises(DamagedFile, match="must be a wav file"):
        read_clip(path)
    with pytest.raises(LabError, match=r"name = 'clip\.wav'"):
        read_clip(tmp_path / "clip.wav")


def test_folders_and_names_must_agree(tmp_path: Path) -> None:
    with pytest.raises(DamagedFile, match=r"no recording.*Actor_01 to Actor_24") as caught:
        recordings(tmp_path)
    assert caught.value.argument == str(tmp_path / "ravdess")
    folder = tmp_path / "ravdess" / "Actor_11"
    folder.mkdir(parents=True)
    path = written(folder / NAME, np.ones(100))
    with pytest.raises(LabError, match=r"must stand in Actor_12, not in Actor_11"):
        recordings(tmp_path)
    path.rename(folder / "song.wav")
    with pytest.raises(LabError, match=r"name = 'song\.wav'"):
        recordings(tmp_path)


@pytest.mark.parametrize(
    ("samples", "expected"), [(np.zeros(48000), "silent"), (np.ones(100), "at least 1680")]
)
def test_a_silent_or_short_recording_names_its_file(
    samples: np.ndarray, expected: str, tmp_path: Path
) -> None:
    path = written(tmp_path / NAME, samples)
    with pytest.raises(DamagedFile, match=expected) as caught:
        clip_levels(path)
    assert caught.value.argument == str(path)
