"""snli_ve: hypotheses on pictures, three spellings of a picture's number, no picture on two sides."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from mmkd_lab import data
from mmkd_lab.data.published.fixtures import snli_ve as fixture
from mmkd_lab.data.published.recipes import SnliVe
from mmkd_lab.data.published.sets import snli_ve
from tests.data.published import change

NAME = "snli_ve"
TRAIN, DEV = "snli_ve_train.jsonl", "snli_ve_dev.jsonl"
FIRST = "1000092795"


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp(NAME)
    fixture.write(folder, 18)
    return folder


@pytest.fixture
def folder(written, tmp_path) -> Path:
    return change.copied(written, tmp_path)


def lines(file: Path) -> list[dict]:
    return [json.loads(one) for one in file.read_text("utf-8").splitlines()]


def test_the_fixture_is_the_published_form(tmp_path):
    fixture.write(tmp_path, 6)
    found = [one for part in ("train", "dev", "test") for one in lines(tmp_path / f"snli_ve_{part}.jsonl")]
    assert {name for one in found for name in one} & set(fixture.NAMES) == set(fixture.NAMES)
    assert [one["gold_label"] for one in found[:3]] == list(snli_ve.CLASSES)
    assert found[0]["pairID"] == f"{FIRST}.jpg#0r1e"
    assert any(str(one.get(name, "")).endswith(".jpg") for one in found for name in fixture.NAMES)
    parsed = {"sentence1", "sentence1_parse", "sentence1_binary_parse", "sentence2", "annotator_labels"}
    assert parsed <= set(found[0])
    assert change.picture(tmp_path / f"flickr30k_images/{FIRST}.jpg") == ("JPEG", "RGB", (64, 48))


def test_it_is_read_in_the_right_orientation_with_the_right_labels(folder):
    picture = Image.new("RGB", (64, 48), "red")
    picture.paste("blue", (32, 0, 64, 48))  # the right half
    picture.save(folder / f"flickr30k_images/{FIRST}.jpg", quality=100)
    found = data.load(NAME, root=str(folder), size=(8, 8), min_count=1)
    pixels = found.modalities["image"][0].numpy()
    assert pixels.shape == (3, 8, 8)
    assert (pixels[0, :, 0] > 200).all()
    assert (pixels[2, :, 7] > 200).all()
    assert found.classes == ("entailment", "neutral", "contradiction")
    listed = lines(folder / TRAIN)
    assert [found.classes[i] for i in found.target[: len(listed)]] == [one["gold_label"] for one in listed]
    assert found.captions["text"][: len(listed)] == tuple(one["sentence2"] for one in listed)
    assert {name: len(rows) for name, rows in found.splits.items()} == {"train": 12, "val": 3, "test": 3}
    assert found.sources["image"][:4].tolist() == [0, 0, 0, 1]  # a picture is kept once


def test_the_caption_is_read_by_nobody(folder):
    for number in range(1, 13):
        change.line(folder / TRAIN, number, sentence1="secretword", sentence1_parse="secretword")
    found = data.load(NAME, root=str(folder), min_count=1)
    assert "secretword" not in found.vocabularies["text"].words


def test_every_spelling_of_a_picture_is_the_same(folder):
    sheet = snli_ve.read(folder, SnliVe())
    assert len(set(sheet.group)) == 6
    for number in range(1, 13):
        change.line(folder / TRAIN, number, **dict.fromkeys(fixture.NAMES))
    assert snli_ve.read(folder, SnliVe()).group == sheet.group  # from the caption's id


@pytest.mark.parametrize("place", ["images", "flickr30k-images", "flickr30k_images/flickr30k_images"])
def test_pictures_may_lie_where_copies_have_them(folder, place):
    (folder / "flickr30k_images").rename(folder / "elsewhere")
    (folder / place).parent.mkdir(exist_ok=True)
    (folder / "elsewhere").rename(folder / place)
    sheet = snli_ve.read(folder, SnliVe())
    assert not sheet.missing
    assert place in sheet.layout


def test_what_is_undecided_or_missing_is_counted(folder):
    change.line(folder / TRAIN, 2, gold_label="-")
    (folder / f"flickr30k_images/{FIRST}.jpg").unlink()
    found = data.load(NAME, root=str(folder), missing="keep")
    assert found.present["image"].tolist() == [False] * 2 + [True] * 15
    assert "1 pairs without a gold label are left out" in repr(found)
    assert f"as flickr30k_images/{FIRST}.jpg" in repr(found)
    assert len(snli_ve.read(folder, SnliVe())) == 15


DAMAGES = {
    "no list": (lambda f: (f / DEV).unlink(), "snli_ve_dev.jsonl.*missing"),
    "cut line": (lambda f: change.cut(f / TRAIN, 0.99), r"train.jsonl, line 12.*object in JSON"),
    "other label": (lambda f: change.line(f / TRAIN, 2, gold_label="maybe"), "line 2.*'maybe'.*'entailment'"),
    "number for a label": (lambda f: change.line(f / TRAIN, 2, gold_label=1), "line 2.*must be one of"),
    "no hypothesis": (lambda f: change.line(f / TRAIN, 2, sentence2=None), "line 2.*must have 'sentence2'"),
    "empty hypothesis": (lambda f: change.line(f / TRAIN, 2, sentence2=" "), "line 2.*say something"),
    "pair twice": (lambda f: change.twice(f / TRAIN, 5), "line 13.*pairID.*twice.*line 5"),
    "picture in two splits": (
        lambda f: change.line(f / DEV, 1, Flikr30kID=FIRST, Flickr30K_ID=FIRST, Flickr30kID=FIRST),
        rf"dev.jsonl, line 1.*{FIRST}.*train as well: snli_ve_train.jsonl, line 1",
    ),
    "path for a picture": (
        lambda f: change.line(f / TRAIN, 1, Flikr30kID="../secret"),
        r"line 1.*\.\./secret.*number of a picture",
    ),
    "no picture at all": (
        lambda f: change.line(f / TRAIN, 2, captionID="vg_1", Flickr30K_ID=None),
        "line 2.*'vg_1'.*number of a picture",
    ),
    "UTF-16": (lambda f: (f / DEV).write_text((f / DEV).read_text(), "utf-16"), "dev.jsonl.*UTF-16"),
    "a binary file": (lambda f: (f / DEV).write_bytes(b"PK\3\4\0\0"), "dev.jsonl.*zero bytes"),
    "no pictures": (lambda f: (f / "flickr30k_images").rename(f / "x"), "none of 6 pictures"),
    "page named jpg": (
        lambda f: (f / f"flickr30k_images/{FIRST}.jpg").write_bytes(change.HTML),
        f"{FIRST}.jpg.*HTML page",
    ),
    "empty picture": (
        lambda f: (f / f"flickr30k_images/{FIRST}.jpg").write_bytes(b""),
        f"{FIRST}.jpg.*empty",
    ),
}


@pytest.mark.parametrize(("damage", "says"), DAMAGES.values(), ids=DAMAGES)
def test_damaged_files_are_refused_by_name(folder, damage, says):
    damage(folder)
    change.refused(NAME, folder, says)
