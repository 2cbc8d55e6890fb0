"""PairedData: what it takes and keeps, what its fingerprint sees, and how it travels to other processes."""

from __future__ import annotations

import pickle

import joblib
import numpy as np
import pytest
import torch

from mmkd_lab.core.check import LabError
from mmkd_lab.data.identity import Identity
from mmkd_lab.data.paired import PairedData, Task
from mmkd_lab.data.text import Vocabulary

N = 12


def parts(**changes):
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


def toy(**changes):
    return PairedData(**parts(**changes))


def full(**changes):
    """Every field in use."""
    known = Vocabulary.of(["one", "two"])
    said = tuple("one two"[: 3 + 4 * (i % 2)] for i in range(N))
    given = {
        "modalities": {"a": torch.arange(N * 3.0).reshape(N, 3), "t": torch.from_numpy(known.encode(said))},
        "group": torch.arange(N),
        "sources": {"a": torch.arange(N) * 7},
        "facts": {"kind": torch.arange(N) % 3},
        "vocabularies": {"t": known},
        "captions": {"t": said},
        "index": torch.arange(N) + 100,
        "ids": tuple(f"s{i}" for i in range(N)),
    }
    return toy(**{**given, **changes})


@pytest.mark.parametrize("kind", [torch.uint8, torch.int8, torch.int32])
def test_whole_numbers_of_any_type_are_labels(kind):
    found = toy(target=(torch.arange(N) % 2).to(kind), index=torch.arange(N).to(kind))
    assert found.fingerprint == toy().fingerprint


def test_numpy_masks_lists_and_numbered_classes_are_taken():
    plain = toy(classes=("0", "1"))
    target, a = np.arange(N, dtype=np.uint8) % 2, plain.modalities["a"].numpy()
    a.setflags(write=False)  # torch would warn of an array that may only be read
    masks = {name: np.isin(np.arange(N), where) for name, where in plain.splits.items()}
    lists = {name: where.tolist() for name, where in plain.splits.items()}
    for splits in (masks, lists):
        found = toy(
            modalities={"a": a, "b": plain.modalities["b"].numpy()[::-1][::-1]},
            target=target,
            splits=splits,
            classes=range(2),
        )
        assert found.fingerprint == plain.fingerprint
        assert found.modalities["a"].data_ptr() == plain.modalities["a"].data_ptr()


def test_dense_and_multi_label_are_accepted():
    assert toy(task=Task.DENSE, target=torch.full((N, 2, 2), -1)).num_classes == 2
    hot = torch.eye(2)[torch.arange(N) % 2]
    assert toy(task=Task.MULTI_LABEL, target=hot.bool()).target.dtype == torch.float32
    assert torch.equal(toy(task=Task.MULTI_LABEL, target=hot.long()).target, hot)


def test_a_batch_comes_in_the_precision_that_is_asked_for():
    stored = {"a": torch.randn(N, 3).half(), "b": torch.arange(N)[:, None], "c": torch.randn(N, 1).double()}
    data, rows = toy(modalities=stored), torch.tensor([[0, 1, 2], [3, 4, 5]])
    batch = data.batch(rows)
    assert {name: x.dtype for name, x in batch.items()} == {
        "a": torch.float32,
        "b": torch.int64,
        "c": torch.float32,
    }
    assert batch["a"].shape == (2, 3, 3)
    double = data.batch(rows, ["c"], dtype=torch.float64)
    assert torch.equal(double["c"], stored["c"][rows])


def test_select_keeps_each_sample_whole():
    data, kept = full(), torch.tensor([9, 0, 3, 11, 10])
    part = data.select(kept)
    assert part.sample_index.tolist() == [109, 100, 103, 111, 110]
    assert part.sources["a"].tolist() == [63, 0, 21, 77, 70]
    assert torch.equal(part.modalities["t"], data.modalities["t"][kept])
    assert [part.caption("t", i) for i in range(5)] == [data.caption("t", i) for i in kept.tolist()]
    assert part.ids == tuple(f"s{i}" for i in kept.tolist())
    assert sorted(part.splits) == ["test", "train"]
    assert set(part.sample_index[part.splits["test"]].tolist()) == {109, 110, 111}


def test_the_fingerprint_sees_every_part():
    assert full().fingerprint == full().fingerprint
    first = full().modalities["t"]
    changed = [
        {"name": "other"},
        {"classes": ("odd", "even")},
        {"target": 1 - torch.arange(N) % 2},
        {"index": torch.arange(N)},
        {"group": torch.arange(N) + 1},
        {"sources": {"a": torch.arange(N)}},
        {"facts": {"kind": torch.arange(N) % 4}},
        {"facts": {}},
        {"ids": tuple(f"t{i}" for i in range(N))},
        {"modalities": {"a": torch.arange(N * 3.0).reshape(N, 3) + 1e-6, "t": first}},
        {"vocabularies": {"t": Vocabulary.of(["two", "one"])}},
        {"splits": {"train": torch.arange(6), "val": torch.arange(6, 8)}},
    ]
    assert len({full().fingerprint, *(full(**change).fingerprint for change in changed)}) == 13


@pytest.mark.parametrize("ids", [("a",) * N, [f"s{i}" for i in range(N - 1)]])
def test_ids_are_one_text_a_sample(ids):
    with pytest.raises(LabError, match=r"^ids = .* must be one text per sample \(12 in all\), no two alike"):
        toy(ids=ids)


@pytest.mark.parametrize("part", ["a", "target", "train", "kind"])
def test_the_fingerprint_is_made_anew_after_a_change_in_place(part):
    data = full()
    before = data.fingerprint
    held = {**data.modalities, **data.splits, **data.facts, "target": data.target}
    old = held[part].clone()
    held[part].add_(1)
    changed = data.fingerprint
    assert changed != before
    assert data.identity == Identity(("even", "odd"), ("a", "t"), changed)
    held[part].copy_(old)
    assert data.fingerprint == before


def test_no_change_in_place_escapes_the_fingerprint():
    numbers = np.arange(3.0 * N).reshape(N, 3)
    data = toy(modalities={"a": numbers, "b": torch.zeros(N, 1)})
    values, seen, array = data.modalities["a"], [data.fingerprint], data.__getstate__()["arrays"]
    changes = [
        lambda: numbers.__setitem__((0, 0), 7),
        lambda: values.numpy().__setitem__((1, 0), 7),
        lambda: values.data.mul_(2),
        lambda: values.copy_(values.flip(0)),  # the same numbers in another order
        lambda: data.target.numpy().__setitem__(slice(None), 1 - data.target.numpy()),
    ]
    for change in changes:
        change()
        seen.append(data.fingerprint)
        assert seen[-1] == data._digest()
    assert len(set(seen)) == 6
    again = data.__getstate__()["arrays"]
    assert not any(again[place] is array[place] for place in again)  # nor one that joblib has mapped


def test_mappings_cannot_be_changed_afterwards():
    with pytest.raises(TypeError):
        toy().modalities["a"] = torch.zeros(1)


def test_a_pickled_copy_is_the_same_data():
    data = full()
    copy = pickle.loads(pickle.dumps(data))
    assert copy.fingerprint == data.fingerprint
    assert copy._digest() == data.fingerprint
    assert copy.select(torch.arange(6, 8)).captions == data.select(torch.arange(6, 8)).captions
    copy.modalities["a"].add_(1)
    assert copy.fingerprint != data.fingerprint


def _seen(data):
    arrays, values = data.__getstate__()["arrays"], data.modalities["a"]
    mapped = arrays["modalities", "a"]
    return data._digest(), type(mapped).__name__, mapped.ctypes.data == values.data_ptr()


def test_worker_processes_map_the_tensors_instead_of_copying_them():
    values = torch.arange(12 * 420_000, dtype=torch.float32).reshape(12, -1) / 7  # 20 MB
    data = toy(modalities={"a": values, "b": torch.zeros(N, 1)})
    first, second = data.__getstate__()["arrays"], data.__getstate__()["arrays"]
    assert all(first[place] is second[place] for place in first)  # joblib knows an array by its identity
    found = joblib.Parallel(n_jobs=2, backend="loky")(joblib.delayed(_seen)(data) for _ in range(2))
    assert found == [(data.fingerprint, "memmap", True)] * 2


@pytest.mark.parametrize(
    "positions", [torch.tensor([0, N]), torch.tensor([-1]), torch.tensor([0.0]), [0]], ids=str
)
def test_select_refuses_positions(positions):
    with pytest.raises(LabError, match="positions"):
        toy().select(positions)
