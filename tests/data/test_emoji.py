"""emoji: the stated datasets, no leak through words or splits, what plain classifiers reach."""

from __future__ import annotations

import json
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch

from mmkd_lab import data
from mmkd_lab.core.check import DamagedFile
from mmkd_lab.data.paired import PairedData, Task
from mmkd_lab.data.text import words


@pytest.fixture(scope="module")
def file(mirror: Path) -> Path:
    place = data.where("emoji", mirror)[0]
    if not place.exists:
        pytest.skip("no features/emoji.npz in or beside the mirror")
    return place.path


@pytest.fixture(scope="module")
def groups(file: Path) -> PairedData:
    return data.load("emoji", path=str(file))


@pytest.fixture(scope="module")
def keywords(file: Path) -> PairedData:
    return data.load("emoji", target="keywords", path=str(file))


def bags(found: PairedData) -> np.ndarray:
    """(N, V) how often each word occurs."""
    size = len(found.vocabularies["text"])
    return torch.nn.functional.one_hot(found.modalities["text"], size).sum(dim=1)[:, 1:].numpy()


def test_the_defaults_are_the_stated_datasets(groups: PairedData, keywords: PairedData, file: Path) -> None:
    assert groups.fingerprint == "54e5cb3d39fa862c"
    assert groups.recipe["hash"] == "dd08f48c907d9d0e"
    assert keywords.fingerprint == "1c2210157ff40eac"
    assert groups.shapes == {"image": (3, 32, 32), "text": (28,)}
    assert keywords.shapes == {"image": (3, 32, 32), "text": (8,)}
    for found in (groups, keywords):
        assert {split: len(rows) for split, rows in found.splits.items()} == {
            "train": 950,
            "val": 161,
            "test": 490,
        }
        assert str(file.parent) not in str(dict(found.recipe))
    assert (groups.task, keywords.task) == (Task.SINGLE_LABEL, Task.MULTI_LABEL)
    assert groups.classes[:2] == ("Activities", "Animals & Nature")
    assert keywords.classes[:3] == ("face", "nature", "female")


def test_splits_are_the_files_own_and_seeded(groups: PairedData, file: Path) -> None:
    with np.load(file, allow_pickle=False) as stored:
        tested = np.flatnonzero(~stored["is_train"])
    assert groups.splits["test"].tolist() == tested.tolist()
    for one, other in combinations(groups.splits.values(), 2):
        assert not set(one.tolist()) & set(other.tolist())
    shares = [torch.bincount(groups.target[groups.splits[s]], minlength=8).double() for s in ("train", "val")]
    assert (shares[0] / 950 - shares[1] / 161).abs().max() < 0.01
    other = data.load("emoji", path=str(file), seed=1)
    assert not torch.equal(other.splits["val"], groups.splits["val"])
    assert torch.equal(other.splits["test"], groups.splits["test"])


def test_the_vocabulary_knows_training_words_alone(groups: PairedData) -> None:
    known = groups.vocabularies["text"]
    said = {
        s: " ".join(groups.captions["text"][i] for i in rows.tolist()) for s, rows in groups.splits.items()
    }
    spoken = {split: set(words(text)) for split, text in said.items()}
    assert set(known.words[2:]) <= spoken["train"]
    assert any(word not in known.words for word in spoken["train"])
    ids = groups.modalities["text"].numpy()
    unknown = {split: known.unknown_share(ids[rows]) for split, rows in groups.splits.items()}
    assert 0 < unknown["train"] < unknown["val"] < 0.5
    assert groups.caption("text", 0) == ("grinning face: :D, face, grin, grinning, happy, joy, smile, smiley")


def test_the_picture_is_on_white_whatever_the_file_hides(groups: PairedData, file: Path) -> None:
    with np.load(file, allow_pickle=False) as stored:
        rgba = stored["rgba32"].astype(np.float64) / 255
    image = groups.modalities["image"].double().numpy()
    white = rgba[..., :3] * rgba[..., 3:] + 1 - rgba[..., 3:]
    assert np.abs(image + 1 - np.moveaxis(white, -1, 1)).max() < 0.01
    assert (image[np.broadcast_to(rgba[:, None, ..., 3] == 0, image.shape)] == 0).all()
    four = data.load("emoji", channels=4, path=str(file)).modalities["image"].double().numpy()
    assert np.array_equal(four[:, :3], image)
    assert np.abs(four[:, 3] - rgba[..., 3]).max() < 0.01


def test_keywords_are_the_targets_and_not_in_the_text(keywords: PairedData, file: Path) -> None:
    with np.load(file, allow_pickle=False) as stored:
        listed = [json.loads(str(row)) for row in stored["keywords_json"]]
        names, group = [str(name) for name in stored["name"]], stored["y"]
    for i in (0, 400, 1600):
        assert keywords.target[i].tolist() == [float(word in listed[i]) for word in keywords.classes]
    assert keywords.captions["text"] == tuple(names)
    assert keywords.facts["group"].tolist() == group.tolist()
    train = keywords.splits["train"].tolist()
    counts = Counter(word for i in train for word in set(listed[i]))
    assert sorted(counts.values(), reverse=True)[:20] == [counts[word] for word in keywords.classes]
    assert len(data.load("emoji", target="keywords", num_keywords=7, path=str(file)).classes) == 7


def test_plain_classifiers_reach_what_they_should(groups: PairedData, file: Path) -> None:
    """Known of this split: image 58, text 87 %; pixels on white cost a linear classifier a few points."""
    from sklearn.linear_model import LogisticRegression

    rest, test = torch.cat([groups.splits["train"], groups.splits["val"]]), groups.splits["test"]
    y = groups.target.numpy()

    def accuracy(x: np.ndarray, strength: float) -> float:
        return 100 * LogisticRegression(C=strength, max_iter=200).fit(x[rest], y[rest]).score(
            x[test], y[test]
        )

    small = torch.nn.functional.avg_pool2d(groups.modalities["image"], 2).flatten(1).numpy()
    assert accuracy(small, 0.03) == pytest.approx(53, abs=4)
    assert accuracy(bags(groups), 1.0) == pytest.approx(88, abs=2)
    names = bags(data.load("emoji", text="name", path=str(file)))
    assert accuracy(names, 1.0) == pytest.approx(54, abs=3)


def test_a_missing_or_altered_file_is_named(file: Path, tmp_path: Path) -> None:
    (tmp_path / "mirror").mkdir()
    with pytest.raises(DamagedFile, match=r"missing.*No public address.*Apache-2\.0 / OFL / MIT") as caught:
        data.get("emoji", tmp_path / "mirror")
    assert caught.value.argument == str(tmp_path / "mirror" / "features" / "emoji.npz")
    with np.load(file, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    arrays["y"][0] += 1
    np.savez(tmp_path / "emoji.npz", **arrays)
    with pytest.raises(DamagedFile, match="SHA-256") as caught:
        data.load("emoji", path=str(tmp_path / "emoji.npz"))
    assert caught.value.argument == str(tmp_path / "emoji.npz")
