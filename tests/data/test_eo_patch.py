"""eo_patch: blocks of one scene, where they stand, and what is standardised by what."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmkd_lab import data
from mmkd_lab.core.check import DamagedFile, LabError
from mmkd_lab.data.datasets.eo_patch import CLASSES, NUMBERS


@pytest.fixture(scope="module")
def file(mirror):
    place = data.where("eo_patch", mirror)[0]
    if not place.exists:
        pytest.skip("no features/eo_patch.npz in or beside the mirror")
    return str(place.path)


@pytest.fixture(scope="module")
def raw(file):
    with np.load(file, allow_pickle=False) as found:
        return {name: found[name] for name in ("optical", "height", "label")}


def test_blocks_are_whole_and_of_one_split(file, raw):
    found = data.load("eo_patch", path=file)
    assert found.shapes == {"optical": (65, 10, 10), "height": (3, 10, 10)}
    assert {name: len(rows) for name, rows in found.splits.items()} == {"train": 60, "val": 15, "test": 25}
    assert sorted(found.sample_index.tolist()) == list(range(100))
    assert found.classes == CLASSES
    for where, number in enumerate(found.sample_index.tolist()):
        top, left = 10 * (number // 10), 10 * (number % 10)
        wanted = raw["label"][top : top + 10, left : left + 10].astype(int)
        mine = np.array([-1, *NUMBERS])[found.target[where].numpy() + 1]
        np.testing.assert_array_equal(mine, np.where(np.isin(wanted, NUMBERS), wanted, -1))


def test_channels_are_standardised_by_the_training_blocks(file, raw):
    found = data.load("eo_patch", path=file, block=20)
    train = found.modalities["optical"][found.positions("train")]
    assert train.mean((0, 2, 3)).abs().max() < 0.01
    assert (train.std((0, 2, 3), correction=0) - 1).abs().max() < 0.01
    # Within a block the first channel of height is the map itself, up to shift and scale.
    for where, number in enumerate(found.sample_index.tolist()[:3]):
        top, left = 20 * (number // 5), 20 * (number % 5)
        own = raw["height"][top : top + 20, left : left + 20].ravel()
        here = found.modalities["height"][where, 0].numpy().ravel()
        assert np.corrcoef(own, here)[0, 1] > 0.999


def test_splits_are_seeded(file):
    first, again, other = (data.load("eo_patch", path=file, seed=seed) for seed in (0, 0, 1))
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert not torch.equal(first.sample_index, other.sample_index)


def test_what_cannot_be_is_refused(file, tmp_path):
    with pytest.raises(LabError, match="test"):
        data.load("eo_patch", path=file, test=0.6)
    with pytest.raises(LabError, match="block"):
        data.load("eo_patch", path=file, block=7)
    damaged = tmp_path / "eo_patch.npz"
    damaged.write_bytes(b"PK" + bytes(100))
    with pytest.raises(DamagedFile, match=r"eo_patch\.npz"):
        data.load("eo_patch", path=str(damaged))
