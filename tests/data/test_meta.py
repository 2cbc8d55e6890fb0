"""Samples set aside for learned weights: of the training split, disjoint, by class and by group."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mmkd_lab.core.check import LabError
from mmkd_lab.data.meta import set_aside
from mmkd_lab.data.paired import PairedData, Task


def data(*, groups=None, task=Task.SINGLE_LABEL):
    n = 80
    target = torch.arange(n) % 4
    if task is Task.MULTI_LABEL:
        target = torch.eye(4)[target]
    where = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    splits = {"train": where[:40], "val": where[40:60], "test": where[60:]}
    group = None
    if groups:
        side = torch.zeros(n, dtype=torch.int64)
        for name, rows in splits.items():
            side[rows] = {"train": 0, "val": 100, "test": 200}[name] + torch.arange(len(rows)) % groups
        group = side
    names = ("p", "q", "r", "s")
    return PairedData("d", {"a": torch.randn(n, 2)}, target, splits, names, task, group=group)


@pytest.mark.parametrize("task", [Task.SINGLE_LABEL, Task.MULTI_LABEL], ids=["single", "multi"])
@pytest.mark.parametrize("groups", [None, 8], ids=["rows", "groups"])
def test_the_training_split_alone_is_divided(groups, task):
    before = data(groups=groups, task=task)
    after = set_aside(before, share=0.25)
    assert set(after.splits) == {"train", "val", "test", "meta"}
    for name in ("val", "test"):
        assert torch.equal(after.splits[name], before.splits[name])
    train, meta = (set(after.splits[name].tolist()) for name in ("train", "meta"))
    assert not train & meta
    assert train | meta == set(before.splits["train"].tolist())
    assert len(meta) == 10


def test_classes_keep_their_shares():
    found = set_aside(data(), share=0.2)
    before = torch.bincount(data().target[data().positions("train")])
    counts = torch.bincount(found.target[found.positions("meta")], minlength=4)
    assert counts.tolist() == [max(1, round(0.2 * int(k))) for k in before]


def test_groups_stay_whole():
    found = set_aside(data(groups=8), share=0.3)
    sides = [set(found.group[found.positions(name)].tolist()) for name in ("train", "meta", "val", "test")]
    assert sum(map(len, sides)) == len(set().union(*sides))
    assert len(sides[1]) == 3  # of 5 samples each: the first to reach 12 of 40


def test_the_seed_decides():
    one, again, other = (set_aside(data(), seed=seed).positions("meta") for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert set_aside(data(), share=0.2, seed=3).recipe["meta"] == {"share": 0.2, "seed": 3}


def test_bad_input():
    for share in (0.0, -0.1, 1.5, float("nan")):
        with pytest.raises(LabError, match="share = "):
            set_aside(data(), share=share)
    with pytest.raises(LabError, match="share = 1"):
        set_aside(data(), share=1.0)
    with pytest.raises(LabError, match=r"data = .*must not have a 'meta' split yet"):
        set_aside(set_aside(data()))
    with pytest.raises(LabError, match="data = 'd'"):
        set_aside("d")
    one_group = replace(data(), group=torch.where(data(groups=1).group > 0, data(groups=1).group, 0))
    with pytest.raises(LabError, match=r"share = 0.1: must leave samples in 'train' and in 'meta', of 40"):
        set_aside(one_group)
