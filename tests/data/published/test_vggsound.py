"""vggsound: lists with odd ids and labels, clips that are there and clips that are not."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import av
import pytest
from PIL import Image

from mmkd_lab import data
from mmkd_lab.core.check import DamagedFile, LabError
from mmkd_lab.data.published.fixtures.media import Shot, write_clip, write_wav
from mmkd_lab.data.published.fixtures.vggsound import write

SMALL = {"size": (8, 8), "audio_frames": 8}
FIRST = "-abcdefghij_000030"


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> dict[str, Path]:
    found = {}
    for layout in ("mp4", "frames", "mfh"):
        found[layout] = tmp_path_factory.mktemp(layout)
        write(found[layout], 8, layout)
    return found


def load(root: Path, **options):
    return data.load("vggsound", root=str(root), **SMALL, **options)


def rows(root: Path) -> list[list[str]]:
    with (root / "vggsound.csv").open(newline="") as file:
        return list(csv.reader(file))


def change(root: Path, edit: Callable[[list[list[str]]], None]) -> None:
    found = rows(root)
    edit(found)
    with (root / "vggsound.csv").open("w", newline="") as file:
        csv.writer(file).writerows(found)


def test_the_fixture_is_what_it_says(written):
    listed = rows(written["mp4"])
    assert (len(listed), listed[0]) == (8, ["-abcdefghij", "30", "playing a tone", "train"])
    assert '"whistling, low"' in (written["mp4"] / "vggsound.csv").read_text()
    assert sum("_" in row[0] for row in listed) == 1
    with av.open(str(written["mp4"] / "video" / f"{FIRST}.mp4")) as clip:
        video, audio = clip.streams.video[0], clip.streams.audio[0]
        assert (video.width, video.height, video.frames, float(video.average_rate)) == (64, 48, 40, 4)
        assert (audio.codec.name, audio.rate) == ("aac", 16000)
        assert abs(clip.duration / 1e6 - 10) < 0.2


@pytest.mark.parametrize("layout", ["mp4", "frames", "mfh"])
def test_every_form_is_seen_and_heard(written, layout):
    found = load(written[layout])
    assert found.classes == ("playing a tone", "whistling, low")
    assert found.ids[:3] == (FIRST, "-abcdefghij_000040", "ab_defghijk_000020")
    assert found.target.tolist() == [0, 0, 0, 1, 0, 1, 0, 1]
    assert found.group[0] == found.group[1] != found.group[2]
    assert found.splits["test"].tolist() == [6, 7]
    video, audio = (found.modalities[name][[0, 3]].numpy() for name in ("video", "audio"))
    assert video.shape == (2, 9, 8, 8)
    red, green = video.reshape(2, 3, 3, 64).astype(float).mean(axis=(1, 3))
    assert (red.argmax(), green.argmax()) == (0, 1)
    assert audio.shape == (2, 1, 40, 8)
    low, high = audio[:, 0].mean(axis=2).argmax(axis=1)
    assert low < high  # about 250 and 500 Hz


def test_what_is_there_is_used_and_what_is_not_is_counted(tmp_path, written):
    folder = shutil.copytree(written["mp4"], tmp_path / "some")
    (folder / "video" / f"{FIRST}.mp4").unlink()
    (folder / "video" / "ZZZZZZZZZZZ_000001.mp4").write_bytes(b"of no list")
    found = load(folder)
    assert len(found) == 7
    assert "7 of 8 listed clips present" in repr(found)
    shutil.rmtree(folder / "video")
    with pytest.raises(DamagedFile, match=r"no clip.*-abcdefghij_000030.mp4"):
        load(folder)


def test_a_clip_that_is_only_heard_lacks_its_video(tmp_path, written):
    folder = shutil.copytree(written["frames"], tmp_path / "some")
    shutil.rmtree(folder / "frames" / FIRST)
    assert load(folder).present["video"].tolist() == [False, *[True] * 7]


def test_a_video_on_both_sides_is_for_the_test_alone(tmp_path, written):
    folder = shutil.copytree(written["mp4"], tmp_path / "some")
    change(folder, lambda found: found[6].__setitem__(0, "ab_defghijk"))
    (folder / "video" / "clip0000006_000060.mp4").rename(folder / "video" / "ab_defghijk_000060.mp4")
    found = load(folder)
    assert "ab_defghijk_000020" not in found.ids
    assert "1 training clips of videos that the test has" in repr(found)


def test_a_subset_of_classes_and_classes_of_which_little_is_there(tmp_path, written):
    listed = tmp_path / "classes.txt"
    listed.write_text("playing a tone\n")
    with pytest.raises(LabError, match="at least two classes"):
        load(written["mp4"], classes=str(listed))
    folder = shutil.copytree(written["mp4"], tmp_path / "some")
    change(folder, lambda found: found[2].__setitem__(2, "humming"))
    found = load(folder)
    assert "1 classes have too few clips here and are left out, as humming" in repr(found)
    assert len(found) == 7


def put(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content)


def cell(row: int, column: int, value: str) -> Callable[[Path], None]:
    return lambda folder: change(folder, lambda found: found[row].__setitem__(column, value))


CLIP = f"video/{FIRST}.mp4"


def silent(folder: Path) -> None:
    write_clip(folder / CLIP, Shot(tone=None))


def half(folder: Path) -> None:
    content = (folder / CLIP).read_bytes()
    (folder / CLIP).write_bytes(content[: len(content) // 2])


def short_tall(folder: Path) -> None:
    Image.new("RGB", (16, 31 * 16)).save(folder / "train" / "video_jpg" / f"{FIRST}.jpg")


def twice(folder: Path) -> None:
    change(folder, lambda found: found.append([*found[0][:2], "humming", "train"]))


DAMAGE: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "twice": ("mp4", twice, "vggsound.csv, line 9.*must not occur twice; it is in vggsound.csv, line 1"),
    "float start": ("mp4", cell(2, 1, "20.0"), "line 3.*start '20.0'"),
    "split": ("mp4", cell(1, 3, "val"), "line 2.*split 'val'"),
    "id": ("mp4", cell(4, 0, "1.23E+10"), "line 5.*11 characters"),
    "lost hyphen": ("mp4", cell(0, 0, "abcdefghij"), "line 1.*11 characters"),
    "label": ("mp4", cell(3, 2, "nothing known"), "line 4.*must be a class of .*stat.csv"),
    "no label": ("mp4", cell(3, 2, " "), "line 4.*an empty label"),
    "semicolons": ("mp4", put("vggsound.csv", b"a;30;x;train\n"), "line 1.*1 cells"),
    "unquoted comma": ("mp4", put("vggsound.csv", b"-abcdefghij,30,a, b,train\n"), "line 1.*5 cells"),
    "no list": ("mp4", lambda folder: (folder / "vggsound.csv").unlink(), "vggsound.csv.*missing"),
    "lfs": ("mp4", put(CLIP, b"version https://git-lfs.github.com/spec/v1\n"), "mp4.*a Git LFS stub"),
    "empty clip": ("mp4", put(CLIP, b""), "mp4.*empty"),
    "silent": ("mp4", silent, "mp4.*a clip without audio"),
    "half": ("mp4", half, "mp4.*must be a clip that can be decoded"),
    "empty wav": ("frames", put(f"audio/{FIRST}.wav", b""), "wav.*empty"),
    "no samples": (
        "frames",
        lambda folder: write_wav(folder / f"audio/{FIRST}.wav", Shot(seconds=0)),
        "wav.*must be a sound",
    ),
    "tall": ("mfh", short_tall, "jpg.*16×496 pixels"),
    "npy": ("mfh", put(f"train/audio_npy/{FIRST}.npy", b"\x93NUMPY"), "npy.*a sound"),
}


@pytest.mark.parametrize(("layout", "damage", "says"), DAMAGE.values(), ids=DAMAGE)
def test_damage_is_named(written, tmp_path, layout, damage, says):
    folder = shutil.copytree(written[layout], tmp_path / "damaged")
    damage(folder)
    with pytest.raises(DamagedFile, match=f"(?s){says}"):
        load(folder)
