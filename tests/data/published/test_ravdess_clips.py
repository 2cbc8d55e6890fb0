"""ravdess_clips: names of seven numbers, takes that are seen and heard, actors on one side of a split."""

from __future__ import annotations

import re
import shutil
import wave
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from mmkd_lab import data
from mmkd_lab.core.check import DamagedFile, LabError
from mmkd_lab.data.published.fixtures.media import Shot, write_clip, write_wav
from mmkd_lab.data.published.fixtures.ravdess_clips import write, write_arrays
from mmkd_lab.data.published.publication import publication
from mmkd_lab.data.published.recipes import RavdessClips
from mmkd_lab.data.published.verify import verify

SMALL = {"size": (8, 8), "audio_frames": 8}
WAV = "Audio_Speech_Actors/Actor_01/03-01-01-01-01-01-01.wav"
MP4 = "Video_Speech_Actors/Actor_01/01-01-01-01-01-01-01.mp4"


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("ravdess")
    write(folder)
    return folder


def sheet(root: Path, **options):
    known = publication("ravdess_clips")
    return known.sheet(RavdessClips(root=str(root), **SMALL, **options))


def test_the_fixture_is_what_it_says(written):
    with wave.open(str(written / WAV)) as file:
        assert (file.getnchannels(), file.getframerate(), file.getsampwidth()) == (2, 48000, 2)
    for name, sounds in (("01", 1), ("02", 0)):
        with av.open(str(written / MP4.replace("/01-", f"/{name}-"))) as clip:
            assert (clip.streams.video[0].width, len(clip.streams.audio)) == (64, sounds)
            assert clip.streams.video[0].codec.name == "h264"


def test_takes_are_joined_by_six_numbers(written, tmp_path):
    found = sheet(written)
    assert found.ids[0] == "01-01-01-01-01-01"
    assert [found.classes[i] for i in found.target[:3]] == ["neutral"] * 3
    assert sorted(set(found.group)) == ["actor 01", "actor 02", "actor 03"]
    assert found.modalities["audio"].keys[0] == str(written / WAV)
    assert found.modalities["video"].keys[0] == str(written / MP4)
    assert "9 of 9 performances are both seen and heard" in found.notes
    folder = shutil.copytree(written, tmp_path / "some")
    (folder / WAV).unlink()
    changed = sheet(folder)
    assert changed.modalities["audio"].keys[0] == str(folder / MP4)  # heard in the clip
    (folder / MP4).unlink()
    changed = sheet(folder)
    assert changed.modalities["audio"].keys[0] is None
    assert changed.modalities["video"].keys[0] == str(folder / MP4.replace("/01-", "/02-"))


def test_a_second_copy_is_left_out(written, tmp_path):
    folder = shutil.copytree(written, tmp_path / "some")
    shutil.copytree(folder / "Audio_Speech_Actors", folder / "audio_speech_actors_01-24")
    (folder / "Audio_Speech_Actors" / "Actor_01" / f"._{Path(WAV).name}").write_bytes(b"of a mac")
    assert "9 files of a name that occurs elsewhere, too, are left out" in sheet(folder).notes
    assert len(sheet(folder)) == 9


def test_no_actor_is_on_both_sides(tmp_path):
    for actor in range(1, 6):
        for emotion in range(1, 9):
            write_wav(tmp_path / f"03-01-{emotion:02d}-01-01-01-{actor:02d}.wav", Shot(tone=100.0 * emotion))
    found = data.load("ravdess_clips", root=str(tmp_path), **SMALL)
    sides = [set(found.group[rows].tolist()) for rows in found.splits.values()]
    assert len(found.splits) == 3
    assert not set.intersection(sides[0], sides[1] | sides[2]) | (sides[1] & sides[2])
    mixed = data.load("ravdess_clips", root=str(tmp_path), **SMALL, split="random")
    assert "every actor is in every split" in repr(mixed)
    assert mixed.group is None
    told = verify(publication("ravdess_clips"), RavdessClips(root=str(tmp_path)))
    states = {one.subject: one.state for one in told}
    assert (states["actors"], states["samples"]) == ("note", "note")
    assert "stop" not in states.values()


def test_what_is_heard_or_seen_alone_is_a_set_of_one_modality(written, tmp_path):
    for part, name in (("Audio_Speech_Actors", "audio"), ("Video_Speech_Actors", "video")):
        folder = shutil.copytree(written / part, tmp_path / name)
        for clip in folder.rglob("01-*.mp4"):
            clip.unlink()  # it has sound; 02-... has none
        assert list(sheet(folder).modalities) == [name]


@pytest.fixture(scope="module")
def arrays(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("arrays")
    write_arrays(folder)
    return folder


def test_arrays_have_the_actors_that_their_labels_tell(arrays):
    found = data.load("ravdess_clips", root=str(arrays), form="arrays", frames=2, size=(8, 8))
    assert found.shapes == {"audio": (1, 15, 156), "video": (6, 8, 8)}
    assert [len(set(found.group[rows].tolist())) for rows in found.splits.values()] == [1, 1, 1]
    assert "every sixty rows are taken for one actor's" in repr(found)
    faces = found.modalities["video"][[59]].numpy()[0, :, 0, 0]
    assert faces.tolist() == [30, 0, 240 - 30 * 7, 110, 0, 240 - 30 * 7]  # red first, frames 3 and 11
    np.testing.assert_array_equal(found.target[:5].numpy(), [0, 0, 0, 0, 1])


def test_arrays_without_order_or_of_other_shapes_are_refused(arrays, tmp_path):
    folder = Path(shutil.copytree(arrays, tmp_path / "own"))

    def given(name, change):
        held = np.load(arrays / f"{name}_data.npy", allow_pickle=False)
        np.save(folder / f"{name}_data.npy", change(held))
        return {"root": str(folder), "form": "arrays", "size": (8, 8)}

    mixed = given("label", lambda x: x[::-1])
    with pytest.raises(LabError, match=r"split = 'actors': must be 'random': rows are not in the order"):
        data.load("ravdess_clips", **mixed)
    assert data.load("ravdess_clips", **mixed, split="random").group is None
    for name, change, says in (
        ("label", lambda x: x + 1, "label_data.npy.*must be labels .N,. from 0 to 7"),
        ("audio", lambda x: x[:9], r"audio_data.npy = \(9, 15, 156\): must be .*180 rows"),
        ("video", lambda x: x.swapaxes(1, 2), "video_data.npy.*frames, 3, H, W"),
        ("audio", lambda x: x * np.nan, "audio_data.npy, row 0.*must be finite"),
    ):
        with pytest.raises(DamagedFile, match=says):
            data.load("ravdess_clips", **given(name, change))
        given(name, lambda x: x)


def move(name: str, other: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / other).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).rename(folder / other)

    return damage


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "emotion 09": (move(WAV, WAV.replace("03-01-01", "03-01-09")), "03-01-09.*its emotion must lie"),
    "actor 25": (move(WAV, "03-01-01-01-01-01-25.wav"), "its actor must lie"),
    "six numbers": (move(WAV, "03-01-01-01-01-01.wav"), "must be seven numbers"),
    "strong neutral": (move(WAV, WAV.replace("03-01-01-01", "03-01-01-02")), "no strong one"),
    "wav of 01": (move(WAV, WAV.replace("/03-", "/01-")), "modality 01.*in a .wav file"),
    "mp4 of 03": (move(MP4, MP4.replace("/01-", "/03-")), "modality 03.*in a .mp4 file"),
    "sung disgust": (move(WAV, WAV.replace("03-01-01", "03-02-07")), "song of emotion 07"),
    "other actor": (move(WAV, WAV.replace("Actor_01", "Actor_02")), "must stand in Actor_01"),
}


@pytest.mark.parametrize(("damage", "says"), DAMAGE.values(), ids=DAMAGE)
def test_a_wrong_name_is_refused(written, tmp_path, damage, says):
    folder = shutil.copytree(written, tmp_path / "damaged")
    damage(folder)
    with pytest.raises(DamagedFile, match=f"(?s){says}"):
        sheet(folder)


@pytest.mark.parametrize(
    ("name", "write_it", "says"),
    [
        (WAV, lambda file: file.write_bytes(b""), "wav.*empty"),
        (WAV, lambda file: file.write_bytes(file.read_bytes()[:20000]), "wav.*must be a sound"),
        (WAV, lambda file: write_wav(file, Shot(seconds=0)), "wav.*must be a sound"),
        (MP4, lambda file: file.write_bytes(b"\0" * 4096), "mp4.*must be a clip"),
        (MP4, lambda file: write_clip(file, Shot(seconds=0.01)), "mp4"),
    ],
)
def test_a_damaged_item_is_found(written, tmp_path, name, write_it, says):
    folder = shutil.copytree(written, tmp_path / "damaged")
    write_it(folder / name)
    found = verify(publication("ravdess_clips"), RavdessClips(root=str(folder)))
    stops = [one.text for one in found if one.state == "stop"]
    assert len(stops) == 1
    assert re.search(says, stops[0])


def test_an_empty_folder_says_where_the_files_are(tmp_path):
    with pytest.raises(DamagedFile, match=r"no speech.*Actor_01 to Actor_24"):
        sheet(tmp_path)
