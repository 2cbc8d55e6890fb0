"""hateful_memes: five lists with an overlap, pictures of every kind, tests with and without labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmkd_lab import data
from mmkd_lab.data.published.fixtures import hateful_memes as fixture
from mmkd_lab.data.published.recipes import HatefulMemes
from mmkd_lab.data.published.sets import hateful_memes
from tests.data.published import change

NAME = "hateful_memes"


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp(NAME)
    fixture.write(folder, 24)
    return folder


@pytest.fixture
def folder(written, tmp_path) -> Path:
    return change.copied(written, tmp_path)


def lines(file: Path) -> list[dict]:
    return [json.loads(one) for one in file.read_text("utf-8").splitlines()]


def test_the_fixture_is_the_published_form(tmp_path):
    fixture.write(tmp_path, 6)
    found = {file.stem: lines(file) for file in tmp_path.glob("*.jsonl")}
    assert set(found) == {"train", "dev_seen", "dev_unseen", "test_seen", "test_unseen"}
    assert sum(map(len, found.values())) == 6
    first = found["train"][0]
    assert list(first) == ["id", "img", "label", "text"]
    assert (first["id"], first["img"]) == (1234, "img/01234.png")
    assert found["dev_seen"][0]["id"] == found["dev_unseen"][0]["id"]
    assert all("label" not in one for one in found["test_seen"])
    modes = {change.picture(file)[1] for file in (tmp_path / "img").iterdir()}
    assert {"RGBA", "L"} <= modes


def test_it_is_read_in_the_right_orientation_with_the_right_labels(folder):
    picture = Image.new("RGBA", (60, 40), (255, 0, 0, 255))
    picture.paste((0, 0, 255, 255), (0, 20, 60, 40))  # the lower half
    picture.paste((0, 0, 0, 0), (30, 0, 60, 20))  # the upper right, transparent
    picture.save(folder / "img/01234.png")
    Image.new("RGB", (60, 40), "white").save(folder / "img/01271.png", format="JPEG")
    found = data.load(NAME, root=str(folder), size=(8, 8), min_count=1)
    pixels = found.modalities["image"][0].numpy()
    assert pixels.shape == (3, 8, 8)
    assert pixels[:, 0, 0].tolist() == [255, 0, 0]
    assert pixels[:, 0, 7].tolist() == [255, 255, 255]
    assert pixels[:, 7, 0].tolist() == [0, 0, 255]
    listed = lines(folder / "train.jsonl")
    assert found.ids[:2] == ("01234", "01271")
    assert found.captions["text"][: len(listed)] == tuple(one["text"] for one in listed)
    assert found.target[: len(listed)].tolist() == [one["label"] for one in listed]
    assert {name: len(rows) for name, rows in found.splits.items()} == {"train": 13, "val": 2, "test": 5}
    assert found.metrics == ("auroc",)
    assert "tested on test_unseen" in repr(found)


def test_a_meme_of_both_development_lists_is_on_one_side(folder):
    sheet = hateful_memes.read(folder, HatefulMemes(test="dev_seen"))
    known = {
        split: {i for i, s in zip(sheet.ids, sheet.split, strict=True) if s == split} for split in sheet.split
    }
    assert not known["val"] & known["test"]
    assert (len(known["val"]), len(known["test"])) == (1, 2)
    assert "validated on dev_unseen, without 1 memes that are in dev_seen too" in sheet.notes


def test_lists_of_the_first_phase(folder):
    for name in ("dev_unseen", "test_unseen"):
        (folder / f"{name}.jsonl").unlink()
    (folder / "dev_seen.jsonl").rename(folder / "dev.jsonl")
    (folder / "test_seen.jsonl").rename(folder / "test.jsonl")
    found = data.load(NAME, root=str(folder))
    assert "tested on dev, as test_unseen is missing or without labels" in repr(found)
    assert len(found.splits["val"]) > 0
    assert "val drawn from train" in repr(found)


def test_other_spellings_are_read(folder):
    train = folder / "train.jsonl"
    change.line(train, 1, id="01234", label="not-hateful")
    change.line(train, 2, label="1")
    train.write_bytes(b"\xef\xbb\xbf" + train.read_bytes() + b"\n")  # a mark at the start, an empty line
    sheet = hateful_memes.read(folder, HatefulMemes())
    assert (sheet.ids[0], sheet.target[:2].tolist()) == ("01234", [0, 1])


def test_what_is_missing_is_counted(folder):
    (folder / "img/01234.png").unlink()
    change.line(folder / "train.jsonl", 2, text=" ")
    found = data.load(NAME, root=str(folder), missing="keep")
    assert not found.present["image"][0]
    assert not found.present["text"][1]
    assert int(found.present["image"].sum()) == len(found) - 1
    assert "1 listed files are missing, as img/01234.png" in repr(found)
    whole = data.load(NAME, root=str(folder))
    assert not {"01234", "01271"} & set(whole.ids)
    assert "2 samples lack a modality and are left out" in repr(whole)


def _outside(folder: Path) -> None:
    (folder / "img/01234.png").unlink()
    (folder.parent / "secret.png").write_bytes(b"secret")
    (folder / "img/01234.png").symlink_to(folder.parent / "secret.png")


TRAIN = "train.jsonl"
DAMAGES = {
    "no list": (lambda f: (f / TRAIN).unlink(), "train.jsonl.*missing"),
    "cut line": (lambda f: change.cut(f / TRAIN, 0.99), r"train.jsonl, line 13.*object in JSON"),
    "a list in place of an object": (lambda f: (f / TRAIN).write_text("[1]\n"), "line 1.*object in JSON"),
    "UTF-16": (lambda f: (f / TRAIN).write_text((f / TRAIN).read_text(), "utf-16"), "train.jsonl.*UTF-16"),
    "other label": (lambda f: change.line(f / TRAIN, 3, label=2), r"line 3.*label 2.*0, 1"),
    "a label that is missing": (lambda f: change.line(f / TRAIN, 3, label=None), "line 3.*have a label"),
    "rounded id": (lambda f: change.line(f / TRAIN, 2, id=1271.0), r"line 2.*1271\.0.*all its digits"),
    "no picture named": (lambda f: change.line(f / TRAIN, 2, img=None), "line 2.*must have 'img'"),
    "twice in a list": (lambda f: change.twice(f / TRAIN, 1), r"line 14.*'01234'.*train.jsonl, line 1"),
    "in training and the test": (
        lambda f: change.twice(f / TRAIN, 1, f / "test_unseen.jsonl"),
        r"test_unseen.jsonl, line 6.*'01234'.*train.jsonl, line 1",
    ),
    "path that leaves": (lambda f: change.line(f / TRAIN, 1, img="../01234.png"), "line 1.*inside"),
    "absolute path": (lambda f: change.line(f / TRAIN, 1, img="/etc/hostname"), "line 1.*inside"),
    "link that leaves": (_outside, "line 1.*img/01234.png.*links followed"),
    "page named png": (lambda f: (f / "img/01234.png").write_bytes(change.HTML), "01234.png.*HTML page"),
    "stub named png": (lambda f: (f / "img/01271.png").write_bytes(change.STUB), "01271.png.*LFS stub"),
    "cut picture": (lambda f: change.cut(f / "img/01234.png"), "01234.png.*must be a picture"),
    "no pictures": (lambda f: (f / "img").rename(f / "images"), r"img.*none of 20 pictures"),
    "no labels but in training": (
        lambda f: [
            change.line(f / f"{name}.jsonl", i, label=None)
            for name, lines in {"dev_seen": 2, "dev_unseen": 2, "test_unseen": 5}.items()
            for i in range(1, lines + 1)
        ],
        "labels in train.*list to test by",
    ),
}


@pytest.mark.parametrize(("damage", "says"), DAMAGES.values(), ids=DAMAGES)
def test_damaged_files_are_refused_by_name(folder, damage, says):
    damage(folder)
    change.refused(NAME, folder, says)


def test_damaged_pictures_are_named_together_or_left_out(folder):
    for name in ("01234", "01271"):
        change.cut(folder / f"img/{name}.png")
    told = str(change.refused(NAME, folder, "must be a picture"))
    assert "01234.png" in told
    assert "01271.png" in told
    found = data.load(NAME, root=str(folder), damaged="drop")
    assert len(found) == 18
    assert "2 damaged items, 2 samples left out" in repr(found)
    assert "01234" not in found.ids
    assert not np.isin(["01234", "01271"], found.ids).any()
