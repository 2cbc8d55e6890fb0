"""rooms: what is declared, and an oracle that measures colours and heights and sees just that."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from mmkd_lab import data
from mmkd_lab.core.check import LabError
from mmkd_lab.data.datasets import rooms
from mmkd_lab.data.datasets.rooms import CLASSES, KINDS, SUFFICES, VIEWS, RoomShares
from mmkd_lab.training.metrics import mean_iou

MIX = {"rgb": 0.4, "depth": 0.1, "redundant": 0.3, "synergy": 0.2}
CLEAN = {"rgb_noise": 0.0, "depth_noise": 0.0}


def load(**more):
    return data.load("rooms", **{"n_train": 60, "n_val": 10, "n_test": 30, **MIX, **more})


def measured(found):
    """Of every object its kind and class by the target; by the pictures, whether it is blue, high, plain."""
    rgb, depth = (found.modalities[name].double().numpy() for name in ("rgb", "depth"))
    rows = []
    for i, target in enumerate(found.target.numpy()):
        spots, count = ndimage.label(target > 0)
        place = np.stack([np.ones(target.shape), *np.indices(target.shape)], axis=-1)
        floor = target == 0
        plane = place @ np.linalg.lstsq(place[floor], depth[i, 0][floor], rcond=None)[0]
        for number in range(1, count + 1):
            at = spots == number
            (label,) = set(target[at].tolist())
            height = (plane - depth[i, 0])[at].mean()
            red, blue = rgb[i, 0][at].mean(), rgb[i, 2][at].mean()
            plain = abs(red - blue) < 0.2, abs(height - 0.6) < 0.05
            rows.append(((label - 1) // 2, (label - 1) % 2, blue > red, height > 0.6, *plain))
    return np.array(rows, dtype=int).T


def test_an_oracle_sees_what_is_declared():
    kind, which, blue, high, plain_colour, plain_height = measured(load(**CLEAN))
    for number, name in enumerate(KINDS):
        here = kind == number
        says = {"rgb": blue, "depth": high, "both": blue ^ high if name == "synergy" else blue}
        says["both"] = high if name == "depth" else says["both"]
        for view in VIEWS:
            right = (says[view] == which)[here].mean()
            told = view in SUFFICES[name]
            # What does not tell is the same for both classes, or independent of them.
            assert right == 1.0 if told else 0.3 < right < 0.7, (name, view)
        assert bool(plain_colour[here].all()) == (name == "depth")
        assert bool(plain_height[here].all()) == (name == "rgb")


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_every_split_has_the_declared_shares(split):
    found = load()
    at = found.positions(split)
    counts = np.array([int(found.facts[kind][at].sum()) for kind in KINDS])
    assert counts.sum() == round(0.85 * 4 * len(at))
    assert np.abs(counts - counts.sum() * np.array(list(MIX.values()))).max() < 1
    kind, which, *_ = measured(found.select(at))
    assert np.bincount(kind, minlength=4).tolist() == counts.tolist()
    assert max(abs(int((which[kind == k] * 2 - 1).sum())) for k in range(4)) <= 1
    assert found.task is data.Task.DENSE
    assert found.classes == CLASSES


def test_no_scene_is_in_two_splits_and_every_one_is_drawn_anew():
    found = load()
    flat = found.modalities["rgb"].flatten(1)
    assert len(torch.unique(flat, dim=0)) == len(found) == len(torch.unique(found.group))
    assert load(seed=1).fingerprint != found.fingerprint == load().fingerprint
    # A larger training split leaves the other splits as they are.
    more = load(n_train=70)
    assert torch.equal(more.target[more.positions("test")], found.target[found.positions("test")])


def test_the_void_is_a_ring_around_every_object():
    none, ring, wide = (load(void=void, **CLEAN).target.numpy() for void in (0, 1, 2))
    assert not (none < 0).any()
    for target, steps in ((ring, 1), (wide, 2)):
        grown = np.stack([ndimage.binary_dilation(one > 0, np.ones((3, 3)), steps) for one in target])
        assert (grown & (target <= 0) == (target < 0)).all()


def test_noise_is_of_either_sensor_alone_and_of_the_given_size():
    clean = load(**CLEAN)
    for name, size in (("rgb", 0.3), ("depth", 0.2)):
        noisy = load(**{**CLEAN, f"{name}_noise": size})
        apart = noisy.modalities[name] - clean.modalities[name]
        assert float(apart.std()) == pytest.approx(2 * size if name == "rgb" else size, rel=0.02)
        assert torch.equal(noisy.target, clean.target)


def test_other_sizes():
    found = load(height=20, width=48, objects=2, n_train=5, n_val=1, n_test=1)
    assert found.shapes == {"rgb": (3, 20, 48), "depth": (1, 20, 48)}
    assert int(sum(found.facts[kind].sum() for kind in KINDS)) == 34 + 7 + 7  # of 8 cells a scene


def test_declared_numbers_by_hand():
    world = rooms.declared(load())
    assert world == RoomShares(**MIX)
    assert [world.told(view) for view in VIEWS] == pytest.approx([0.7, 0.4, 1.0])
    assert world.object_accuracy("rgb") == pytest.approx(85.0)
    # Floor and two kinds are told by colours, and two pairs of classes get a third each.
    assert world.mean_iou("rgb") == pytest.approx(100 * (1 + 4 + 4 / 3) / 9)
    assert RoomShares(rgb=1, depth=0, redundant=0, synergy=0).mean_iou("depth") == pytest.approx(500 / 9)
    assert world.mean_iou("both") == pytest.approx(100.0)


def test_no_way_to_guess_beats_the_declared_mean_iou():
    """A guess that ignores the class, for any share q of the pixels, against the formula's best, q = 1/2."""
    target = torch.arange(40000).reshape(1, 200, 200) % 2
    said = torch.rand(1, 200, 200, generator=torch.Generator().manual_seed(0))
    for q in (0.0, 0.2, 0.5, 0.9):
        logits = torch.stack([(said < q).double(), (said >= q).double()], dim=1)
        wanted = 100 * (q / (1 + q) + (1 - q) / (2 - q)) / 2
        assert float(mean_iou(logits, target)) == pytest.approx(wanted, abs=0.3)


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"rgb": 0.5}, "rgb . depth . redundant . synergy"),
        ({"rgb": -0.1}, "rgb"),
        ({"height": 16, "objects": 2, "width": 16}, "cells of 8 pixels"),
        ({"n_train": 0}, "n_train"),
        ({"height": 15}, "height"),
    ],
)
def test_what_cannot_be_is_refused(parameters, told):
    with pytest.raises(LabError, match=told):
        load(**parameters)


def test_another_dataset_declares_nothing_of_the_kind():
    with pytest.raises(LabError, match="must be a dataset 'rooms'"):
        rooms.declared(data.load("gaussian"))
    with pytest.raises(LabError, match="view"):
        RoomShares().told("touch")


def test_objects_one_by_one_have_the_declared_information():
    """Which of two classes an object is, by colour and height in its cell: as much as is declared."""
    found = rooms.objects(load(n_train=400, n_val=10, n_test=10, **CLEAN))
    world = RoomShares(**MIX)
    rows = found.positions("train")
    rgb, depth = (found.modalities[name][rows].double().numpy() for name in ("rgb", "depth"))
    spot = np.s_[..., 7:9, 7:9]  # the middle of a cell is always of its object
    blue = rgb[:, 2][spot].mean((1, 2)) > rgb[:, 0][spot].mean((1, 2))
    rim = np.quantile(depth[:, 0], 0.95, axis=(1, 2))  # the floor, nearly
    high = rim - depth[:, 0][spot].mean((1, 2)) > 0.62
    kind, which = found.facts["evidence"][rows].numpy(), found.target[rows].numpy()
    for view, says in (("rgb", blue), ("depth", high), ("both", 2 * blue + high)):
        bits = sum(_information(says[kind == k], which[kind == k]) * np.mean(kind == k) for k in range(4))
        assert bits == pytest.approx(world.information(view), abs=0.06)
    assert torch.equal(torch.unique(found.group), torch.unique(load(n_train=400, n_val=10, n_test=10).group))


def _information(said, which):
    """I(said; which) in bits, of two columns of numbers."""
    table = np.zeros((4, 2))
    np.add.at(table, (said.astype(int), which), 1 / len(which))
    alone = table.sum(1, keepdims=True) * table.sum(0)
    return float((table[table > 0] * np.log2(table[table > 0] / alone[table > 0])).sum())
