"""crema_d: names of takes, actors on one side of a split or the lists in circulation, stubs of Git LFS."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import av
import pandas as pd
import pytest

from mmkd_lab import data
from mmkd_lab.core.check import DamagedFile
from mmkd_lab.data.published.fixtures.crema_d import write

SMALL = {"size": (8, 8), "audio_frames": 8}
TAKE = "1001_IEO_ANG_HI"
STUB = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 90000\n"


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("crema")
    write(folder)
    return folder


def load(root: Path, **options):
    return data.load("crema_d", root=str(root), **SMALL, **options)


def test_the_fixture_is_what_it_says(written):
    with av.open(str(written / "VideoFlash" / f"{TAKE}.flv")) as clip:
        assert (clip.streams.video[0].codec.name, len(clip.streams.audio)) == ("flv", 1)
    found = pd.read_csv(written / "train.csv", header=None, encoding="utf-8-sig")
    assert found.iloc[0].tolist() == [TAKE, "ANG"]
    assert (written / "train.csv").read_bytes()[:3] == b"\xef\xbb\xbf"


def test_the_label_is_in_the_name_and_no_actor_on_both_sides(written):
    found = load(written)
    assert found.classes == ("anger", "disgust", "fear", "happy", "neutral", "sad")
    assert found.ids[:2] == (TAKE, "1001_IEO_DIS_HI")
    assert found.target[:6].tolist() == [0, 1, 2, 3, 4, 5]
    sides = [set(found.group[rows].tolist()) for rows in found.splits.values()]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 5
    assert "30 of 30 takes are both seen and heard" in repr(found)
    tones = found.modalities["audio"][[0, 3]].numpy()[:, 0].mean(axis=2).argmax(axis=1)
    assert tones[0] < tones[1]
    red = found.modalities["video"][[0, 5]].float().mean(dim=(2, 3))[:, 0]
    assert red[0] < red[1]


def test_the_lists_in_circulation_share_actors(written, tmp_path):
    folder = shutil.copytree(written, tmp_path / "some")
    (folder / "AudioWAV" / "1001_IEO_DIS_HI.wav").unlink()
    (folder / "VideoFlash" / "1001_IEO_DIS_HI.flv").unlink()
    found = load(folder, split="listed")
    assert (len(found), found.group) == (29, None)
    assert "1 listed files are missing, as 1001_IEO_DIS_HI" in repr(found)
    assert found.splits["test"].tolist() == [23, 24, 25, 26, 27, 28]


def test_what_is_only_heard_lacks_its_clip(written, tmp_path):
    folder = shutil.copytree(written, tmp_path / "some")
    (folder / "VideoFlash" / f"{TAKE}.flv").unlink()
    assert load(folder).present["video"].tolist() == [False, *[True] * 29]


def test_what_is_heard_alone_is_a_set_of_one_modality(written, tmp_path):
    folder = shutil.copytree(written, tmp_path / "some")
    shutil.rmtree(folder / "VideoFlash")
    assert list(load(folder).modalities) == ["audio"]


def rename(other: str) -> Callable[[Path], None]:
    return lambda folder: (folder / f"AudioWAV/{TAKE}.wav").rename(folder / f"AudioWAV/{other}.wav")


def listed(text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "test.csv").write_text(text)


DAMAGE: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "actor": ("actors", rename("1092_IEO_ANG_HI"), "1092_IEO_ANG_HI.*must be actor"),
    "sentence": ("actors", rename("1001_XYZ_ANG_HI"), "must be actor"),
    "emotion": ("actors", rename("1001_IEO_JOY_HI"), "must be actor"),
    "level": ("actors", rename("1001_IEO_ANG_H"), "must be actor"),
    "stub wav": ("actors", lambda f: (f / f"AudioWAV/{TAKE}.wav").write_bytes(STUB), "wav.*a Git LFS stub"),
    "stub flv": ("actors", lambda f: (f / f"VideoFlash/{TAKE}.flv").write_bytes(STUB), "flv.*a Git LFS stub"),
    "html": ("actors", lambda f: (f / f"VideoFlash/{TAKE}.flv").write_text("<HTML>"), "flv.*an HTML page"),
    "other label": ("listed", listed(f"{TAKE},SAD\n"), "test.csv, line 1.*emotion 'SAD'.*must be that of"),
    "both lists": (
        "listed",
        listed(f"{TAKE},ANG\n"),
        "test.csv, line 1.*must not occur twice; it is in train.csv",
    ),
    "no label": ("listed", listed(f"{TAKE}\n"), "test.csv, line 1.*1 cells"),
    "no list": ("listed", lambda f: (f / "test.csv").unlink(), "test.csv.*missing"),
}


@pytest.mark.parametrize(("split", "damage", "says"), DAMAGE.values(), ids=DAMAGE)
def test_damage_is_named(written, tmp_path, split, damage, says):
    folder = shutil.copytree(written, tmp_path / "damaged")
    damage(folder)
    with pytest.raises(DamagedFile, match=f"(?s){says}"):
        load(folder, split=split)


def test_an_empty_folder_says_what_it_lacks(tmp_path):
    with pytest.raises(DamagedFile, match=r"must hold AudioWAV/\*.wav.*git lfs install"):
        load(tmp_path)
