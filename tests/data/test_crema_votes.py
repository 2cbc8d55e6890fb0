"""crema_votes: actors apart, shares that are shares, the raters' own accuracy, and soft labels by index."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch

from mmkd_lab import data
from mmkd_lab.core.check import LabError
from mmkd_lab.data.datasets.crema_votes import SENSES, soft_labels
from mmkd_lab.data.paired import PairedData


@pytest.fixture(scope="module")
def votes(mirror: Path) -> PairedData:
    if not data.where("crema_votes", mirror)[0].exists:
        pytest.skip("no features/crema_votes.npz in or beside the mirror")
    return data.load("crema_votes", senses=SENSES, mirror=str(mirror))


def test_the_default_is_the_stated_dataset(votes: PairedData, mirror: Path) -> None:
    found = data.load("crema_votes", mirror=str(mirror))
    assert found.fingerprint == "e2e892503ac80d45"
    assert found.recipe["hash"] == "f3c6cd2f95c0cfdc"
    assert found.shapes == {"voice": (6,), "face": (6,)}
    assert len(found) == 7442
    assert found.classes == ("anger", "disgust", "fear", "happy", "neutral", "sad")
    for name in ("voice", "face"):
        assert torch.equal(found.modalities[name], votes.modalities[name])


@pytest.mark.parametrize("seed", [0, 1])
def test_actors_are_on_one_side(seed: int, mirror: Path, votes: PairedData) -> None:
    found = data.load("crema_votes", val_actors=10, test_actors=20, seed=seed, mirror=str(mirror))
    assert found.group is not None
    sides = {split: set(found.group[rows].tolist()) for split, rows in found.splits.items()}
    assert {split: len(actors) for split, actors in sides.items()} == {"train": 61, "val": 10, "test": 20}
    for one, other in combinations(sides, 2):
        assert not sides[one] & sides[other]
    assert sum(map(len, found.splits.values())) == 7442


def test_the_majority_of_raters_is_right_as_often_as_stated(votes: PairedData) -> None:
    """The first of equal votes counts, as in the stated numbers; within 0.1 points."""
    for name, known in {"voice": 45.5, "face": 69.0, "audiovisual": 74.8}.items():
        right = votes.modalities[name].numpy().argmax(axis=1) == votes.target.numpy()
        assert 100 * right.mean() == pytest.approx(known, abs=0.1)


def test_both_senses_teach_more_than_either(votes: PairedData) -> None:
    from sklearn.linear_model import LogisticRegression

    y, train, test = votes.target.numpy(), votes.splits["train"].numpy(), votes.splits["test"].numpy()

    def accuracy(*names: str) -> float:
        x = np.concatenate([votes.modalities[name].numpy() for name in names], axis=1)
        return 100 * LogisticRegression(max_iter=200).fit(x[train], y[train]).score(x[test], y[test])

    assert accuracy("voice") > 45.5 + 5
    assert accuracy("face") > 69.0 + 2
    assert accuracy("voice", "face") > accuracy("face") + 3


def test_soft_labels_follow_the_sample_index(votes: PairedData, mirror: Path) -> None:
    everything = soft_labels(mirror=mirror)
    assert everything.shape == (7442, 3, 6)
    assert torch.allclose(everything.sum(dim=-1), torch.ones(7442, 3))
    part = votes.select(votes.splits["val"].flip(0))
    found = soft_labels(part.sample_index, mirror=mirror)
    for position, name in enumerate(SENSES):
        assert torch.equal(found[:, position], part.modalities[name])


def test_smoothing_keeps_logarithms_finite(votes: PairedData, mirror: Path) -> None:
    plain, smooth = soft_labels(mirror=mirror), soft_labels(smoothing=0.5, mirror=mirror)
    assert not plain.log().isfinite().all()
    assert smooth.log().isfinite().all()
    assert torch.allclose(smooth.sum(dim=-1), torch.ones(7442, 3))
    assert torch.equal(smooth.argmax(dim=-1), plain.argmax(dim=-1))


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (torch.tensor([0, 7442]), r"index = 'indices 0 to 7442': must lie between 0 and 7441"),
        (torch.tensor([-1]), r"index = 'indices -1 to -1'"),
        (torch.tensor([0.0]), r"index = 'torch.float32 \(1,\)'"),
        (torch.tensor([[0]]), r"index = 'torch.int64 \(1, 1\)'"),
        (torch.tensor([], dtype=torch.int64), r"index = 'torch.int64 \(0,\)'"),
        ([0, 1], r"index = 'list'"),
    ],
)
def test_soft_labels_refuse_unknown_samples(
    index: object, expected: str, votes: PairedData, mirror: Path
) -> None:
    with pytest.raises(LabError, match=expected):
        soft_labels(index, mirror=mirror)  # type: ignore[arg-type]
