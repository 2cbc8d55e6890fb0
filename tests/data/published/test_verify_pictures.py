"""`verify` on the sets of pictures and texts: what is there, what is missing, what is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmkd_lab.core.places import prepared_folder
from mmkd_lab.data import DATASETS
from mmkd_lab.data.published.publication import publication
from mmkd_lab.data.published.verify import verify
from tests.data.published import change

#: A picture of each set, which its fixture of 30 samples has.
PICTURES = {
    "crisismmd": "data_image/hurricane_maria/10_10_2017/917791044158185473_0.jpg",
    "hateful_memes": "img/01234.png",
    "mm_imdb": "mmimdb/dataset/0000005.jpeg",
    "snli_ve": "flickr30k_images/1000092795.jpg",
    "vqa_v2": "train2014/COCO_train2014_000000000009.jpg",
}
OPTIONS = {"vqa_v2": {"min_answers": 1}}


def looked(name: str, folder: Path) -> dict[str, list[str]]:
    """State -> what was found."""
    recipe = DATASETS[name].recipe
    found: dict[str, list[str]] = {"ok": [], "note": [], "stop": []}
    for one in verify(publication(name), recipe(root=str(folder), **OPTIONS.get(name, {})), full=True):
        found[one.state].append(f"{one.subject}: {one.text}")
    return found


@pytest.mark.parametrize("name", PICTURES)
def test_missing_is_a_count_and_a_list_and_damaged_stops(name, tmp_path):
    publication(name).fixture(tmp_path, 30)
    sound = looked(name, tmp_path)
    assert sound["stop"] == []
    assert any(one.startswith("layout: ") for one in sound["ok"])
    assert any(one.startswith("image: ") and one.endswith(" 0 damaged") for one in sound["ok"])
    picture = tmp_path / PICTURES[name]
    change.cut(picture)
    damaged = looked(name, tmp_path)
    (stop,) = damaged["stop"]
    assert picture.name in stop
    assert any(one.endswith(" 1 damaged") for one in damaged["note"])
    picture.unlink()
    fewer = looked(name, tmp_path)
    assert fewer["stop"] == []
    assert any(one.startswith("missing: 1, as ") for one in fewer["note"])
    listed = (prepared_folder() / f"{name}.missing.txt").read_text("utf-8")
    assert listed.strip().endswith(picture.name)
