"""PairedData: what it refuses, and what it keeps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from mmkd_lab.core.check import LabError
from mmkd_lab.data.paired import PairedData, Task

N = 12


def parts(**changes: object) -> dict[str, object]:
    """Twelve samples of two classes in three splits, with changes."""
    generator = torch.Generator().manual_seed(0)
    return {
        "name": "toy",
        "modalities": {
            "a": torch.randn(N, 3, generator=generator),
            "b": torch.randn(N, 2, 2, generator=generator),
        },
        "target": torch.arange(N) % 2,
        "splits": {"train": torch.arange(6), "val": torch.arange(6, 8), "test": torch.arange(8, N)},
        "classes": ("even", "odd"),
        **changes,
    }


def toy(**changes: object) -> PairedData:
    return PairedData(**parts(**changes))  # type: ignore[arg-type]


def with_value(value: float) -> Tensor:
    a = torch.zeros(N, 3)
    a[7, 1] = value
    return a


BAD = {
    "one modality is shorter": (
        {"modalities": {"a": torch.zeros(N, 3), "b": torch.zeros(N - 1, 2)}},
        "modalities['b']",
        "(11, 2)",
    ),
    "no modality": ({"modalities": {}}, "modalities", "{}"),
    "a modality is missing": ({"modalities": {"a": None}}, "modalities['a']", "NoneType"),
    "a modality without columns": ({"modalities": {"a": torch.zeros(N, 0)}}, "modalities['a']", "(12, 0)"),
    "a modality of booleans": (
        {"modalities": {"a": torch.zeros(N, 2, dtype=torch.bool)}},
        "modalities['a']",
        "bool",
    ),
    "NaN": ({"modalities": {"a": with_value(float("nan"))}}, "modalities['a']", "first row 7"),
    "infinite": ({"modalities": {"a": with_value(float("-inf"))}}, "modalities['a']", "first row 7"),
    "label too high": ({"target": torch.arange(N) % 3}, "target", "labels from 0 to 2"),
    "label negative": ({"target": torch.arange(N) % 2 - 1}, "target", "labels from -1 to 0"),
    "labels not whole": ({"target": torch.zeros(N)}, "target", "float32"),
    "labels in two dimensions": ({"target": torch.zeros(N, 1, dtype=torch.int64)}, "target", "(12, 1)"),
    "target is no tensor": ({"target": [0, 1] * 6}, "target", "[0, 1, 0"),
    "no sample": (
        {"target": torch.zeros(0, dtype=torch.int64), "modalities": {"a": torch.zeros(0, 3)}},
        "target",
        "(0,)",
    ),
    "one class": ({"classes": ("only",)}, "classes", "only"),
    "a class twice": ({"classes": ("x", "x")}, "classes", "'x', 'x'"),
    "unknown task": ({"task": "single label"}, "task", "single label"),
    "no name": ({"name": ""}, "name", "''"),
    "class absent": (
        {"splits": {"train": torch.arange(6), "test": torch.tensor([8, 10])}},
        "splits['test']",
        "no sample of 'odd'",
    ),
    "overlapping splits": (
        {"splits": {"train": torch.arange(7), "test": torch.arange(6, 12)}},
        "splits",
        "1 samples",
    ),
    "a position twice": ({"splits": {"train": torch.tensor([0, 1, 1])}}, "splits", "1 samples"),
    "unknown split": ({"splits": {"training": torch.arange(6)}}, "splits", "'training'"),
    "no split": ({"splits": {}}, "splits", "{}"),
    "empty split": ({"splits": {"train": torch.arange(0)}}, "splits['train']", "(0,)"),
    "position too high": (
        {"splits": {"train": torch.arange(1, N + 1)}},
        "splits['train']",
        "positions 1 to 12",
    ),
    "split is a mask": (
        {"splits": {"train": torch.ones(N, dtype=torch.bool)}},
        "splits['train']",
        "torch.bool",
    ),
    "split is a list": ({"splits": {"train": [0, 1]}}, "splits['train']", "list"),
    "duplicate index": ({"index": torch.arange(N) // 2}, "index", "6 distinct numbers for 12"),
    "index too short": ({"index": torch.arange(N - 1)}, "index", "(11,)"),
    "index not whole": ({"index": torch.arange(N).float()}, "index", "float32"),
    "group on both sides": ({"group": torch.arange(N) // 7}, "group", "= 0"),
    "no mapping": ({"modalities": None}, "modalities", "None"),
    "splits as a list": ({"splits": [("train", 3)]}, "splits", "[("),
    "recipe as text": ({"recipe": ""}, "recipe", "''"),
    "no target": ({"target": None}, "target", "None"),
    "one text for classes": ({"classes": "pq"}, "classes", "'pq'"),
    "classes by number": ({"classes": (0, 1)}, "classes", "0"),
    "modality without text for a name": ({"modalities": {3: torch.zeros(N, 2)}}, "modalities", "3"),
    "bfloat16": ({"modalities": {"a": torch.zeros(N, 2).bfloat16()}}, "modalities['a']", "bfloat16"),
    "sparse": ({"modalities": {"a": torch.eye(N).to_sparse()}}, "modalities['a']", "sparse"),
    "group too short": ({"group": torch.zeros(3, dtype=torch.int64)}, "group", "(3,)"),
    "group not whole": ({"group": torch.zeros(N)}, "group", "float32"),
    "sources too short": ({"sources": {"image": torch.arange(3)}}, "sources['image']", "(3,)"),
    "multi-label above one": (
        {"task": Task.MULTI_LABEL, "target": torch.full((N, 2), 1.5)},
        "target",
        "outside",
    ),
    "multi-label of whole numbers": (
        {"task": Task.MULTI_LABEL, "target": torch.ones(N, 2).long()},
        "target",
        "int64",
    ),
    "multi-label of other width": (
        {"task": Task.MULTI_LABEL, "target": torch.ones(N, 3)},
        "target",
        "(12, 3)",
    ),
    "dense below -1": ({"task": Task.DENSE, "target": torch.full((N, 2, 2), -2)}, "target", "labels from -2"),
    "dense in one dimension": ({"task": Task.DENSE}, "target", "(12,)"),
}


@pytest.mark.parametrize("case", BAD)
def test_refuses(case: str) -> None:
    changes, argument, value = BAD[case]
    with pytest.raises(LabError) as caught:
        toy(**changes)
    assert caught.value.argument == argument
    assert value in str(caught.value)


def test_group_on_both_sides_names_both_splits() -> None:
    with pytest.raises(LabError, match="both 'train' and 'val'"):
        toy(group=torch.arange(N) // 7)


def test_group_on_one_side_is_accepted() -> None:
    assert toy(group=torch.tensor([0] * 6 + [1] * 2 + [2] * 4)).group is not None


@pytest.mark.parametrize("positions", [torch.tensor([0, N]), torch.tensor([-1]), torch.tensor([0.0]), [0]])
def test_select_refuses_positions(positions: object) -> None:
    with pytest.raises(LabError, match="positions"):
        toy().select(positions)  # type: ignore[arg-type]


def test_unknown_split_and_modality_are_listed() -> None:
    with pytest.raises(LabError, match=r"'tset'.*'train', 'val' or 'test'.*Did you mean 'test'"):
        toy().positions("tset")
    with pytest.raises(LabError, match=r"modality = 'c'.*'a' or 'b'"):
        toy().batch(torch.tensor([0]), ["c"])


def test_select_keeps_each_sample_whole() -> None:
    data = toy(index=torch.arange(N) + 100, sources={"a": torch.arange(N) * 7})
    kept = torch.tensor([9, 0, 3, 11, 10])
    part = data.select(kept)
    assert part.sample_index.tolist() == [109, 100, 103, 111, 110]
    assert part.sources["a"].tolist() == [63, 0, 21, 77, 70]
    assert torch.equal(part.modalities["b"], data.modalities["b"][kept])
    assert sorted(part.splits) == ["test", "train"]
    assert set(part.sample_index[part.splits["test"]].tolist()) == {109, 110, 111}


def test_batch_widens_half_precision_and_keeps_token_ids() -> None:
    data = toy(modalities={"a": torch.randn(N, 3).half(), "b": torch.arange(N)[:, None]})
    batch = data.batch(torch.tensor([[0, 1, 2], [3, 4, 5]]))
    assert batch["a"].dtype == torch.float32
    assert batch["a"].shape == (2, 3, 3)
    assert batch["b"].dtype == torch.int64


def test_fingerprint_sees_every_part() -> None:
    base = toy(group=torch.arange(N), sources={"a": torch.arange(N)})
    same = toy(group=torch.arange(N), sources={"a": torch.arange(N)})
    assert base.fingerprint == same.fingerprint
    changed = [
        {"name": "other"},
        {"classes": ("odd", "even")},
        {"target": 1 - torch.arange(N) % 2},
        {"index": torch.arange(N) + 1},
        {"group": torch.arange(N) + 1},
        {"sources": {"a": torch.arange(N) + 1}},
        {"modalities": {"a": with_value(1e-7), "b": torch.zeros(N, 2)}},
        {"splits": {"train": torch.arange(6), "val": torch.arange(6, 8)}},
    ]
    prints = {base.fingerprint}
    for change in changed:
        prints.add(toy(**{"group": torch.arange(N), "sources": {"a": torch.arange(N)}, **change}).fingerprint)
    assert len(prints) == len(changed) + 1


def test_mappings_cannot_be_changed_afterwards() -> None:
    data = toy()
    with pytest.raises(TypeError):
        data.modalities["a"] = torch.zeros(1)  # type: ignore[index]


def test_dense_and_multi_label_are_accepted() -> None:
    dense = toy(task=Task.DENSE, target=torch.from_numpy(np.full((N, 2, 2), -1)))
    assert dense.num_classes == 2
    assert toy(task=Task.MULTI_LABEL, target=torch.full((N, 2), 0.5)).target.shape == (N, 2)


@pytest.mark.parametrize("positions", [None, 0, [0], torch.tensor([0.0]), "0", np.array([0])])
def test_a_batch_takes_positions_alone(positions: object) -> None:
    with pytest.raises(LabError, match="positions = "):
        toy().batch(positions)  # type: ignore[arg-type]


@pytest.mark.parametrize("device", [None, 7, "gpu", ""])
def test_unknown_devices_are_named(device: object) -> None:
    with pytest.raises(LabError, match="device = "):
        toy().to(device)  # type: ignore[arg-type]
