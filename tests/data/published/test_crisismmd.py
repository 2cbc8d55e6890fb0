"""crisismmd: tables with tabs and bare quotation marks, long numbers, posts with several pictures."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from mmkd_lab import data
from mmkd_lab.data.published import pickles
from mmkd_lab.data.published.fixtures import crisismmd as fixture
from mmkd_lab.data.published.recipes import Crisismmd
from mmkd_lab.data.published.sets import crisismmd
from tests.data.published import change

NAME = "crisismmd"
AGREED = "crisismmd_datasplit_agreed_label/task_humanitarian_text_img_agreed_lab_{}.tsv"
ALL = "crisismmd_datasplit_all/task_humanitarian_text_img_{}.tsv"
TRAIN, DEV = AGREED.format("train"), AGREED.format("dev")
FIRST, PLACE = "917791044158185473", "data_image/hurricane_maria/10_10_2017/{}.jpg"


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp(NAME)
    fixture.write(folder, 30)
    return folder


@pytest.fixture
def folder(written, tmp_path) -> Path:
    return change.copied(written, tmp_path)


def table(file: Path) -> pd.DataFrame:
    return pd.read_csv(file, sep="\t", quoting=csv.QUOTE_NONE, dtype=str)


def test_the_fixture_is_the_published_form(tmp_path):
    fixture.write(tmp_path, 6)
    found = [table(tmp_path / ALL.format(name)) for name in ("train", "dev", "test")]
    assert [len(one) for one in found] == [4, 1, 1]
    assert tuple(found[0].columns) == fixture.COLUMNS
    damage = tmp_path / ALL.replace("humanitarian", "damage").format("train")
    assert len(table(damage).columns) == 8
    assert found[0]["tweet_id"].str.len().tolist() == [18] * 4
    assert found[0]["tweet_id"].duplicated().sum() == 1  # two pictures
    assert found[0]["tweet_text"][0].count('"') == 1
    assert all(change.picture(tmp_path / one)[0] == "JPEG" for one in found[0]["image"])


def test_it_is_read_in_the_right_orientation_with_the_right_labels(folder):
    picture = Image.new("RGB", (64, 48), "red")
    picture.paste("blue", (0, 24, 64, 48))  # the lower half
    picture.save(folder / PLACE.format(f"{FIRST}_0"), quality=100)
    found = data.load(NAME, root=str(folder), size=(8, 8), min_count=1)
    listed = table(folder / TRAIN)
    where = [found.ids.index(one) for one in listed["image_id"]]
    pixels = found.modalities["image"][where[0]].numpy()
    assert (pixels[0, 0] > 200).all()
    assert (pixels[2, 7] > 200).all()
    assert [found.classes[found.target[i]] for i in where] == listed["label"].tolist()
    assert [found.captions["text"][i] for i in where] == listed["tweet_text"].str.strip().tolist()
    assert {name: len(rows) for name, rows in found.splits.items()} == {"train": 20, "val": 5, "test": 5}
    assert found.classes == tuple(sorted(set(listed["label"])))
    assert found.metrics == ("weighted_f1",)


@pytest.mark.parametrize(("labels", "classes"), [("informative", 2), ("damage", 3)])
@pytest.mark.parametrize("lists", ["agreed", "all"])
def test_every_kind_of_list_is_read(folder, labels, lists, classes):
    sheet = crisismmd.read(folder, Crisismmd(labels=labels, lists=lists))
    assert (len(sheet), len(sheet.classes)) == (30, classes)
    assert labels in sheet.layout


def test_text_and_picture_may_have_labels_of_their_own(folder):
    file = folder / ALL.format("train")
    cells = file.read_text().splitlines()[1].split("\t")
    cells[7] = "other_relevant_information"  # the picture's
    change.replaced(file, file.read_text().splitlines()[1], "\t".join(cells))
    by = {
        column: crisismmd.read(folder, Crisismmd(lists="all", label=column))
        for column in ("label", "label_image")
    }
    said = {column: one.classes[one.target[one.ids.index(f"{FIRST}_0")]] for column, one in by.items()}
    assert said == {"label": "not_humanitarian", "label_image": "other_relevant_information"}


def test_a_post_is_on_one_side_and_may_be_shown_once(folder):
    change.twice(folder / TRAIN, 2, folder / DEV)
    sheet = crisismmd.read(folder, Crisismmd())
    assert sheet.split[sheet.ids.index(f"{FIRST}_0")] == "val"
    assert f"{FIRST}_1" not in sheet.ids
    assert any("2 pictures are left out, whose posts are in the test" in note for note in sheet.notes)
    once = crisismmd.read(folder, Crisismmd(one_each=True))
    assert len(set(once.group)) == len(once) < len(sheet)


def test_a_class_that_a_split_lacks_is_left_out(folder):
    change.replaced(folder / TRAIN, "not_humanitarian", "vehicle_damage", 3)
    sheet = crisismmd.read(folder, Crisismmd())
    assert "vehicle_damage" not in sheet.classes
    assert "1 pictures are left out, as some split has none of vehicle_damage" in sheet.notes


def test_what_is_missing_is_counted_and_copies_of_mac_files_are_not_looked_at(folder):
    (folder / PLACE.format(f"{FIRST}_0")).unlink()
    (folder / PLACE.format(f"._{FIRST}_1")).write_bytes(b"mac")
    found = data.load(NAME, root=str(folder), missing="keep")
    assert int(found.present["image"].sum()) == len(found) - 1 == 29
    assert "1 listed files are missing" in repr(found)
    assert len(crisismmd.read(folder, Crisismmd())) == 29


def _lines(change_one):
    """Change the cells of the first record of the training list."""

    def changed(folder: Path) -> None:
        file = folder / TRAIN
        lines = file.read_text().splitlines()
        cells = lines[1].split("\t")
        change_one(cells)
        lines[1] = "\t".join(cells)
        file.write_text("\n".join(lines) + "\n")

    return changed


def _set(at: int, value: str):
    return _lines(lambda cells: cells.__setitem__(at, value))


DAMAGES = {
    "no list": (lambda f: (f / DEV).unlink(), "agreed_lab_dev.tsv.*missing.*Unpack"),
    "commas": (lambda f: change.replaced(f / TRAIN, "\t", ",", 1000), r"train.tsv.*header without.*\\t"),
    "no such column": (
        lambda f: change.replaced(f / TRAIN, "tweet_id", "tweet"),
        "header without 'tweet_id'",
    ),
    "a cell too few": (_lines(list.pop), "train.tsv, line 2.*8 cells.*must have 9"),
    "rounded number": (_set(1, "9.17791E+17"), r"line 2.*9\.17791E\+17.*all its digits"),
    "number of a spreadsheet": (_set(1, FIRST + ".0"), "line 2.*all its digits"),
    "another tweet's picture": (_set(2, "917791044158185470_0"), "line 2.*must begin with"),
    "other label": (_set(5, "funny"), "line 2.*'funny'.*'affected_individuals'"),
    "path that leaves": (_set(4, "data_image/../../secret.jpg"), "line 2.*inside"),
    "absolute path": (_set(4, "/etc/hostname"), "line 2.*inside"),
    "picture twice": (lambda f: change.twice(f / TRAIN, 2), "line 22.*twice.*line 2"),
    "one class": (
        lambda f: (
            [change.replaced(f / DEV, one, "vehicle_damage", 9) for one in ("not_humanitarian",)]
            + [change.replaced(f / DEV, "infrastructure_and_utility_damage", "vehicle_damage", 9)]
        ),
        "labels.*two classes in every split",
    ),
    "UTF-16": (lambda f: (f / DEV).write_text((f / DEV).read_text(), "utf-16"), "dev.tsv.*UTF-16"),
    "page named jpg": (
        lambda f: (f / PLACE.format(f"{FIRST}_0")).write_bytes(change.HTML),
        f"{FIRST}_0.jpg.*HTML page",
    ),
    "cut picture": (lambda f: change.cut(f / PLACE.format(f"{FIRST}_0")), f"{FIRST}_0.jpg.*a picture"),
    "no pictures": (lambda f: (f / "data_image").rename(f / "x"), "none of 30 pictures"),
}


@pytest.mark.parametrize(("damage", "says"), DAMAGES.values(), ids=DAMAGES)
def test_damaged_files_are_refused_by_name(folder, damage, says):
    damage(folder)
    change.refused(NAME, folder, says)


def test_features_of_all_posts(tmp_path):
    fixture.write_features(tmp_path)
    found = data.load(NAME, root=str(tmp_path), form="features")
    assert found.shapes == {"image": (2048,), "text": (768,)}
    assert (found.classes[0], found.classes[-1]) == ("not_humanitarian", "other_relevant_information")
    assert (found.target[:9].tolist(), found.metrics) == ([*range(8), 0], ("weighted_f1",))


FEATURES = {
    "two members": (lambda image, text, label: (image, label), r"tuple of 2 members"),
    "fewer texts": (lambda image, text, label: (image, text[1:], label), r"47 texts.*as many of each"),
    "no numbers": (lambda image, text, label: (image, ["a"], label), r"CMMD_data\.pth, texts.*be numbers"),
    "infinite": (lambda image, text, label: (image / 0, text, label), r"pictures.*finite numbers"),
    "names": (lambda image, text, label: (image, text, [str(i) for i in label]), r"labels <U1"),
}


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize(("changed", "says"), FEATURES.values(), ids=FEATURES)
def test_other_features_are_refused(tmp_path, changed, says):
    fixture.write_features(tmp_path)
    file = tmp_path / "CMMD_data.pth"
    torch.save(changed(*pickles.torch_arrays(file)), file)
    change.refused(NAME, tmp_path, says, form="features")
    change.refused(
        NAME, tmp_path, "labels = 'damage': must be 'humanitarian'", form="features", labels="damage"
    )


def test_a_label_that_is_none_is_left_out(tmp_path):
    fixture.write_features(tmp_path)
    file = tmp_path / "CMMD_data.pth"
    image, text, label = pickles.torch_arrays(file)
    torch.save((image, text, np.where(np.arange(48) == 3, -1, label)), file)
    found = data.load(NAME, root=str(tmp_path), form="features")
    assert (len(found), found.ids[3]) == (47, "row 4")
    assert "1 posts with a label that is none are left out" in repr(found)
