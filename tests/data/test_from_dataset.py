"""Paired data of a torch Dataset: what stays there, what is held, and what may be wrong with one."""

import pickle
from collections import namedtuple

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from mmkd_lab import data
from mmkd_lab.core.check import LabError
from mmkd_lab.data.on_demand import OnDemand

N = 30
PICTURES = np.random.default_rng(0).integers(0, 256, (N, 16, 12, 3), dtype=np.uint8)


def _same(i, item):
    return item


class Scenes(Dataset):
    """Pictures, texts and sounds of three kinds; `change` is what goes wrong with an item."""

    def __init__(self, change=_same, n=N):
        self.change, self.n = change, n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        item = {
            "image": Image.fromarray(PICTURES[i]),
            "text": f"a {('cat', 'dog', 'cow')[i % 3]} again",
            "sound": torch.full((4,), i / 7),
            "label": ("cat", "dog", "cow")[i % 3],
            "speaker": i // 3,
            "id": f"scene {i}",
        }
        return self.change(i, item)


def of(change=_same, /, **options):
    return data.from_dataset(Scenes(change), **{"group": "speaker", "ids": "id", **options})


@pytest.mark.parametrize("workers", [0, 2])
def test_numbers_stay_and_words_are_held(workers):
    found = of(workers=workers)
    kinds = {name: isinstance(values, OnDemand) for name, values in found.modalities.items()}
    assert kinds == {"image": True, "text": False, "sound": True}
    assert found.classes == ("cat", "cow", "dog")
    assert (found.ids[7], found.caption("text", 7)) == ("scene 7", "a dog again")
    at = torch.tensor([[3, 17], [3, 0]])
    x = found.batch(at, dtype=torch.float64)
    pictures = torch.from_numpy(np.moveaxis(PICTURES, 3, 1)[at.numpy()]).double() / 255
    assert torch.equal(x["image"], pictures)
    assert torch.equal(x["sound"][..., 0], (at.float() / 7).double())
    assert (
        found.fingerprint == of().fingerprint != of(lambda i, x: {**x, "sound": x["sound"] + 1}).fingerprint
    )
    assert pickle.loads(pickle.dumps(found)).fingerprint == found.fingerprint


def test_an_item_is_read_once_for_all_its_modalities():
    asked = []
    found = of(lambda i, item: asked.append(i) or item)
    asked.clear()
    found.select(torch.arange(N)).batch(torch.tensor([4, 2]))
    assert asked == [4, 2]


def test_tuples_named_tuples_and_tensor_datasets():
    x, y, target = torch.arange(2.0 * N).view(N, 2), torch.ones(N, 3, dtype=torch.uint8), torch.arange(N) % 2
    first = data.from_dataset(TensorDataset(x, y, target), modalities=("a", "b"))
    pair = namedtuple("pair", "a b label")
    second = data.from_dataset([pair(*row) for row in zip(x, y, target.tolist(), strict=True)])
    third = data.from_dataset(TensorDataset(x, y), modalities=("a", "b"), label=None or target.tolist())
    fourth = data.from_dataset(TensorDataset(target, x, y), modalities={"a": 1, "b": 2}, label=0)
    assert len({one.fingerprint for one in (first, second, third, fourth)}) == 1
    assert torch.equal(fourth.batch(torch.tensor([5]))["a"][0], x[5])


def test_datasets_by_split():
    train, test = Scenes(), Scenes(n=15)
    found = data.from_dataset({"train": train, "test": test}, modalities=("image", "sound"))
    assert {name: len(where) for name, where in found.splits.items()} == {"train": 24, "val": 6, "test": 15}
    assert found.positions("test").tolist() == list(range(30, 45))


def test_several_labels_and_token_ids():
    def change(i, item):
        return {"ids": torch.arange(3) + i, "x": [0.5, i], "label": [float(i % 2), 1.0, float(i % 3 == 0)]}

    found = data.from_dataset(Scenes(change), tokens=["ids"])
    assert (found.task.value, found.num_classes) == ("multi-label", 3)
    assert found.modalities["ids"].dtype == torch.int64
    assert found.modalities["x"].dtype == torch.float32


class Stream(IterableDataset):
    def __iter__(self):
        yield {"image": torch.zeros(2), "label": 0}


class Long(Stream):
    def __len__(self):
        return 3

    def __getitem__(self, i):
        return {}


def _raise(i, item):
    if i == 20:
        raise OSError("broken disk")
    return item


def _at(i, **change):
    return lambda j, item: {**item, **change} if i == j else item


def _without(name):
    return lambda i, item: {key: value for key, value in item.items() if i != 20 or key != name}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_fails_says_so_as_this_process_does(workers):
    with pytest.raises(LabError, match=r"sample 20'?: cannot be read: OSError: broken disk"):
        of(_raise, workers=workers)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_raise, "sample 20'?: cannot be read: OSError: broken disk"),
        (_without("sound"), r"sample 20 with \['image', .*must have 'sound'"),
        (_without("label"), "sample 20 with .*must have 'label'"),
        (
            _at(20, sound=torch.zeros(5)),
            r"sound float32 \(5,\) in sample 20.*must be as in sample 0, float32 \(4,\)",
        ),
        (_at(20, sound=torch.zeros(4).double()), "sound float64 .* in sample 20"),
        (_at(20, text=torch.zeros(2)), "text float32 in sample 20.*as in sample 0, text"),
        (_at(20, sound="hush"), "sound text in sample 20"),
        (_at(20, sound=torch.full((4,), torch.nan)), "modality 'sound' = '1 rows with NaN .* first row 20'"),
        (_at(20, image=Image.new("RGB", (9, 9))), r"image uint8 \(3, 9, 9\) in sample 20"),
        (_at(20, sound=object()), "object under 'sound' in sample 20"),
        (lambda i, item: None if i == 20 else item, "NoneType in sample 20'?: must be a dict, or a tuple"),
        (_at(20, label=None), "1 of 30 missing, first in row 20"),
        (_at(20, id="scene 4"), "'scene 4' more than once"),
        (
            lambda i, item: {**item, "sound": torch.rand(4)},
            "'sound'.*is another each time it is read.*augment",
        ),
    ],
)
def test_a_sample_that_cannot_be_used_is_named(change, says):
    with pytest.raises(LabError, match=says):
        of(change)


PAIRS = [(torch.ones(2) * i, i % 2) for i in range(N)]


@pytest.mark.parametrize(
    ("dataset", "options", "says"),
    [
        (Stream(), {}, "Stream without '__len__'.*must be a map-style Dataset"),
        (Long(), {}, "Long.*must be a map-style Dataset"),
        (3, {}, "int without '__getitem__' or '__len__'"),
        ([], {}, "list of length 0"),
        ({}, {}, "at least one Dataset"),
        ({"train": Scenes()}, {"split": "id"}, "must be left out"),
        (PAIRS, {}, "modalities = None: must name all of a sample's 2 parts but the last"),
        (PAIRS, {"modalities": ("a", "b")}, "must name all of a sample's 2 parts but the last"),
        (PAIRS, {"modalities": ("a",), "label": 5}, "label = 5: must be one of 0 or 1, in every sample"),
        (Scenes(), {"label": "kind"}, "label = 'kind': must be one of 'image'"),
        (Scenes(), {"label": [0, 1]}, "one row per sample"),
        (Scenes(), {"modalities": ("image", "smell")}, "modalities = 'smell': must be among"),
        (Scenes(), {"tokens": ("smell",)}, "tokens = 'smell'"),
        (Scenes(), {"tokens": ("sound",)}, "must be token ids"),
        (Scenes(), {"workers": -1}, "workers = -1"),
        ([{"x": torch.zeros(2)}] * N, {}, "label = None: must be one of 'x'"),
        ([{"label": 1}] * N, {}, "must leave a modality beside the label"),
        ([{"x": torch.zeros(2), "label": 1, "y": 2}] * N, {}, r"label = \['label', 'y'\]: must be one of"),
    ],
)
def test_a_dataset_that_cannot_be_used_is_refused(dataset, options, says):
    with pytest.raises(LabError, match=says):
        data.from_dataset(dataset, **options)


def test_a_sample_that_changes_afterwards_is_named():
    broken = set()
    found = of(lambda i, item: {**item, "sound": torch.zeros(3)} if i in broken else item)
    broken.add(5)
    with pytest.raises(LabError, match=r"sound \(3,\) torch.float32 in sample 5"):
        found.batch(torch.tensor([4, 5]))


def test_a_hugging_face_dataset():
    datasets = pytest.importorskip("datasets")
    items = [{"sound": [0.5, i], "text": f"word {i % 3}", "label": i % 2} for i in range(N)]
    found = data.from_dataset(datasets.Dataset.from_list(items))
    assert found.shapes == {"sound": (2,), "text": (2,)}
    assert torch.equal(found.batch(torch.tensor([7]))["sound"], torch.tensor([[0.5, 7.0]]))
