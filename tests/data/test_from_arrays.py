"""`data.from_arrays`: what it makes of anything that has rows, and how it splits."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from mmkd_lab import data
from mmkd_lab.data.own.divide import divide
from mmkd_lab.data.own.labels import Labels
from mmkd_lab.data.task import Task
from tests.data.own import N, labels, sensors, texts


def sides(found):
    """(N,) the split of each row."""
    where = np.full(len(found), "", dtype=object)
    for name, rows in found.splits.items():
        where[rows.numpy()] = name
    return where


@pytest.mark.parametrize(
    ("y", "classes", "target"),
    [
        (np.arange(N, dtype=np.uint8) % 3, ("0", "1", "2"), [0, 1, 2]),
        (np.array([-7, 40, 3])[np.arange(N) % 3], ("-7", "3", "40"), [0, 2, 1]),
        (torch.tensor([5, 5, 9]).repeat(N // 3), ("5", "9"), [0, 0, 1]),
        (list(labels()), ("cat", "dog", "owl"), [0, 1, 2]),
        (pd.Series(labels(), dtype="category"), ("cat", "dog", "owl"), [0, 1, 2]),
        (np.arange(N) % 3 == 1, ("False", "True"), [0, 1, 0]),
        (pd.array([1, 2, 2] * (N // 3), dtype="Int64"), ("1", "2"), [0, 1, 1]),
        ((np.arange(N) % 3)[:, None] * 2.0, ("0", "2", "4"), [0, 1, 2]),
        (np.eye(3)[np.arange(N) % 3], ("0", "1", "2"), [0, 1, 2]),
        ([["b"], ("a",), {"b"}] * (N // 3), ("a", "b"), [1, 0, 1]),
    ],
)
def test_labels_of_any_kind_are_classes(y, classes, target):
    found = data.from_arrays({"a": sensors()}, y)
    assert (found.classes, found.task) == (classes, Task.SINGLE_LABEL)
    assert found.target[:3].tolist() == target


def test_classes_are_put_in_order_or_named():
    def of(y, classes):
        found = data.from_arrays({"a": sensors()}, y, classes=classes)
        return found.classes, found.target[:3].tolist()

    assert of(labels(), ["owl", "cat", "dog"]) == (("owl", "cat", "dog"), [1, 2, 0])
    assert of(np.arange(N) % 3, ["x", "y", "z"]) == (("x", "y", "z"), [0, 1, 2])
    assert of(np.arange(N) % 3 + 7, {9: "x", 7: "y", 8: "z"}) == (("x", "y", "z"), [1, 2, 0])


@pytest.mark.parametrize(
    "y", [[["b", "a"], ["b"], []] * (N // 3), np.array([[1, 1], [0, 1], [0, 0]] * (N // 3))]
)
def test_several_labels_a_sample(y):
    found = data.from_arrays({"a": sensors()}, y, classes=["a", "b"])
    assert (found.classes, found.task) == (("a", "b"), Task.MULTI_LABEL)
    assert found.target[:3].tolist() == [[1, 1], [0, 1], [0, 0]]
    assert {name: found.target[rows].sum(0).tolist() for name, rows in found.splits.items()} == {
        "train": [18, 36],
        "val": [6, 12],
        "test": [6, 12],
    }


def shape_and_top(values, **options):
    found = data.from_arrays({"x": values}, labels(), **options).modalities["x"]
    return tuple(found.shape[1:]), str(found.dtype).removeprefix("torch."), float(found.max())


def full(*shape, dtype, value=255):
    return np.full((N, *shape), value, dtype=dtype)


@pytest.mark.parametrize(
    ("values", "shape", "kind", "top"),
    [
        (full(8, 9, 3, dtype=np.uint8), (3, 8, 9), "float32", 1.0),
        (full(4, 8, 9, dtype=np.uint8), (4, 8, 9), "float32", 1.0),
        (full(8, 9, dtype=np.uint8), (1, 8, 9), "float32", 1.0),
        (full(7, dtype=np.uint8), (7,), "float32", 255.0),
        (full(9, 9, 3, dtype=np.float32), (3, 9, 9), "float32", 255.0),
        (full(20, 9, 3, dtype=np.float64), (20, 9, 3), "float64", 255.0),  # steps, joints, coordinates
        (full(9, 9, 2, dtype=np.float16), (9, 9, 2), "float16", 255.0),
        (full(dtype=np.int64, value=2**30 + 1), (1,), "float64", 2.0**30 + 1),
        (full(3, dtype=bool, value=True), (3,), "float32", 1.0),
        (full(3, dtype=">f4", value=2), (3,), "float32", 2.0),
        ([np.ones((2, 3))] * N, (2, 3), "float64", 1.0),
        ([torch.ones(2, dtype=torch.bfloat16)] * N, (2,), "float32", 1.0),
        (pd.Series([np.ones(4)] * N), (4,), "float64", 1.0),
        ([[1, 2]] * N, (2,), "float32", 2.0),
        (np.ones((N, 4)).T[::-1].T, (4,), "float64", 1.0),
    ],
)
def test_numbers_of_any_kind_and_pictures_of_either_order(values, shape, kind, top):
    assert shape_and_top(values) == (shape, kind, top)


def test_what_is_named_is_not_guessed():
    assert shape_and_top(full(20, 9, 3, dtype=np.float32), channels_last=["x"])[0] == (3, 20, 9)
    assert shape_and_top(full(9, 9, 3, dtype=np.float32), channels_last=[])[0] == (9, 9, 3)
    assert shape_and_top(full(5, dtype=np.int32), tokens=["x"]) == ((5,), "int64", 255.0)


def test_texts_become_words_of_the_training_split_and_stay_as_they_were_written():
    said = [*texts()[:-1], "A cat, unheard-of!"]
    split = ["train"] * 60 + ["validation"] * 15 + ["Test"] * 15
    found = data.from_arrays({"text": said, "more": np.array(texts()), "x": sensors()}, labels(), split=split)
    assert set(found.vocabularies) == set(found.captions) == {"text", "more"}
    assert found.vocabularies["text"].words[2:] == ("a", "big", "small", "cat", "dog", "owl")
    assert found.caption("text", N - 1) == said[-1]
    assert found.vocabularies["text"].decode(found.modalities["text"][N - 1].numpy()) == "a cat <unk>"


def test_a_row_of_gaps_is_a_sample_without_the_modality():
    there, x = np.arange(N) % 4 != 1, sensors()
    x[5] = np.nan
    said = [text if known else None for text, known in zip(texts(), there, strict=True)]
    found = data.from_arrays({"text": said, "x": x, "y": sensors()}, labels(), weight=np.arange(N) % 3)
    assert found.present["text"].tolist() == there.tolist()
    assert found.present["x"].nonzero().flatten().tolist() == [i for i in range(N) if i != 5]
    assert set(found.present) == {"text", "x"}
    assert [found.caption("text", i) for i in (0, 1)] == [said[0], ""]
    assert found.weight is not None
    assert found.weight.tolist() == [i % 3 for i in range(N)]
    assert "modalities['text'] is missing in 23 of 90 samples" in repr(found)


@pytest.mark.parametrize(("columns", "names"), [(1, ("y",)), (2, ("y", "y1"))])
def test_numbers_with_fractions_are_a_regression(columns, names):
    y = np.random.default_rng(0).normal(size=(N, columns))
    found = data.from_arrays({"x": sensors()}, y[:, 0] if columns == 1 else y)
    assert (found.task, found.classes) == (data.Task.REGRESSION, names)
    np.testing.assert_array_equal(found.target.reshape(N, -1).numpy(), y)
    assert [len(found.positions(name)) for name in ("train", "val", "test")] == [54, 18, 18]


def test_three_ways_to_say_one_split_and_a_validation_split_of_a_fifth():
    ids, test = [f"s{i}" for i in range(N)], np.arange(N) >= 60
    given = {
        "masks": {"train": ~test, "test": test},
        "positions": {"train": range(60), "test": np.arange(60, N)},
        "ids": {"training": ids[:60], "testing": ids[60:]},
        "column": np.where(test, "test", "train"),
    }
    found = [data.from_arrays({"a": sensors()}, labels(), ids=ids, split=one) for one in given.values()]
    assert len({one.fingerprint for one in found}) == 1
    assert {name: len(rows) for name, rows in found[0].splits.items()} == {"train": 48, "val": 12, "test": 30}
    assert "val drawn from train, 20%" in repr(found[0])
    numbered = data.from_arrays(
        {"a": sensors()},
        labels(),
        ids=range(N, 0, -1),
        split={"train": range(1, 61), "test": range(61, N + 1)},
    )
    assert set(sides(numbered)[:30]) == {"test"}
    assert numbered.sample_index[0] == N
    assert numbered.ids == ()
    shares = data.from_arrays({"a": sensors()}, labels(), split=(0.8, 0.1, 0.1))
    assert [len(rows) for rows in shares.splits.values()] == [72, 9, 9]
    part = data.from_arrays(
        {"a": sensors()}, labels(), split={"train": range(30), "val": range(30, 40), "test": range(40, 50)}
    )
    assert "splits as given; 40 in no split" in repr(part)


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("kind", [str, int])
def test_a_split_is_of_samples_and_not_of_rows(grouped, kind):
    rng = np.random.default_rng(1)
    y, ids = rng.integers(0, 4, 300), np.array([kind(i) for i in rng.permutation(300) + 1000])
    group = rng.integers(0, 40, 300).astype(str)

    def split(order):
        who = {"group": group[order]} if grouped else {}
        found = data.from_arrays({"a": sensors(300)}, y[order], ids=ids[order], seed=3, **who)
        return dict(zip(ids[order].tolist(), sides(found), strict=True))

    order = rng.permutation(300)
    assert split(np.arange(300)) == split(order)
    assert split(order) != dict.fromkeys(ids.tolist(), "train")


@pytest.mark.parametrize("shares", [(0.6, 0.2, 0.2), (0.8, 0.2), (0.5, 0.3, 0.2)])
@pytest.mark.parametrize("seed", range(5))
def test_every_class_has_its_share_to_within_one_sample(seed, shares):
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(30), rng.integers(len(shares), 40, 30))
    made = divide(
        Labels(y, tuple(map(str, range(30)))), shares, group=None, order=rng.permutation(len(y)), seed=seed
    )
    counts = np.array([[((made == part) & (y == k)).sum() for part in range(len(shares))] for k in range(30)])
    wanted = np.bincount(y)[:, None] * np.array(shares)
    assert np.abs(counts - wanted).max() < 1
    assert counts.min() >= 1
    assert np.abs(counts.sum(0) - wanted.sum(0)).max() <= 5


def test_three_samples_of_a_class_are_one_for_each_split():
    found = data.from_arrays({"a": sensors()}, ["rare"] * 3 + ["often"] * (N - 3), split=(0.9, 0.05, 0.05))
    assert sorted(sides(found)[:3]) == ["test", "train", "val"]


@pytest.mark.parametrize("seed", range(4))
def test_groups_stay_whole_and_classes_near_their_shares(seed):
    rng = np.random.default_rng(seed)
    group, y = rng.integers(0, 24, 1440), rng.integers(0, 8, 1440)
    found = data.from_arrays({"a": sensors(1440)}, y, group=group, seed=seed)
    where = sides(found)
    assert all(len(set(where[group == one])) == 1 for one in range(24))
    counts = np.array([[((where == name) & (y == k)).sum() for k in range(8)] for name in found.splits])
    assert np.abs(counts.sum(1) / 1440 - [0.6, 0.2, 0.2]).max() < 0.05
    assert counts.min() > 0


def test_a_class_in_three_groups_is_brought_into_every_split():
    group = np.arange(N) // 3
    y = np.where(np.isin(group, [4, 11, 25]), "rare", "often")
    found = data.from_arrays({"a": sensors()}, y, group=[f"g{one}" for one in group])
    where = sides(found)
    assert {where[np.flatnonzero(group == one)[0]] for one in (4, 11, 25)} == {"train", "val", "test"}


def test_equal_data_have_equal_fingerprints_and_another_seed_another_split():
    a, b, c = (data.from_arrays({"a": sensors(), "t": texts()}, labels(), seed=s) for s in (0, 0, 1))
    assert a.fingerprint == b.fingerprint != c.fingerprint
    assert a.recipe["seed"] == 0
    assert "splits drawn, stratified, seed 0" in repr(a)


def test_the_published_emoji_with_their_names(mirror):
    loaded = data.load("emoji", mirror=str(mirror))
    path = next(place.path for place in data.where("emoji", mirror))
    with np.load(path, allow_pickle=False) as file:
        held = {name: file[name] for name in file.files}
    names = held["classes"][held["y"]]
    split = np.where(held["is_train"].astype(bool), "train", "test")
    modalities = {"image": held["rgba32"], "text": held["name"]}
    found = data.from_arrays(modalities, names, split=split, ids=held["emoji"], classes=list(held["classes"]))
    assert found.shapes["image"] == (4, 32, 32)
    assert found.classes == loaded.classes
    assert torch.equal(found.target, loaded.target)
    assert torch.equal(found.splits["test"], loaded.splits["test"])
    assert found.captions["text"] == tuple(held["name"])
    assert found.ids[0] == str(held["emoji"][0])
