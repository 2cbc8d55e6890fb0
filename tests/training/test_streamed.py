"""Splits that are read batch by batch train as those that are held; what students see of a sample instead."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

from mmkd_lab.core.check import LabError
from mmkd_lab.data import PairedData, from_dataset
from mmkd_lab.data.on_demand import OnDemand
from mmkd_lab.data.task import Task
from mmkd_lab.distill import KD, CrossEntropy, Distillation, labels_only
from mmkd_lab.models import NetSpec
from mmkd_lab.models.removal import Zeros
from mmkd_lab.training import Augment, Recipe, Replicas, fit, prune, streamed, teacher_outputs
from mmkd_lab.training.inputs import standardise
from mmkd_lab.training.streamed import Streamed, split_of
from tests.training.toy import DOUBLE, toy, worlds

SPEC = NetSpec(width=2, features=4)
SHORT = Recipe(epochs=2, batch_size=16, lr=0.01, **DOUBLE)


class Items(Dataset):
    def __init__(self, data):
        self.data = data

    def __len__(self):
        return len(self.data)

    def __getitem__(self, i):
        return {name: values[i] for name, values in self.data.modalities.items()} | {
            "label": self.data.target[i]
        }


def on_disk(folder, data, name="x"):
    for modality, values in data.modalities.items():
        np.save(folder / f"{name} {modality}.npy", values.numpy())
    opened = {
        one: np.load(folder / f"{name} {one}.npy", mmap_mode="r", allow_pickle=False)
        for one in data.modalities
    }
    return replace(data, modalities=opened)


def in_dataset(data, workers):
    splits = {name: data.sample_index[where] for name, where in data.splits.items()}
    found = from_dataset(Items(data), ids=data.sample_index, split=splits, workers=workers)
    return replace(found, classes=data.classes)


@pytest.fixture(autouse=True)
def _nothing_is_held(monkeypatch):
    monkeypatch.setattr(streamed, "HELD", 0)


def trained(data, *, spec=SPEC, recipe=SHORT, seeds=(0, 1), loss=None, **options):
    first = data if isinstance(data, PairedData) else data[0]
    replicas = Replicas.build(spec, first, seeds=seeds, device="cpu")
    return fit(replicas, data, loss or labels_only(), recipe, progress=False, **options)


def same(one, other):
    assert one.history.equals(other.history)
    for name, values in one.replicas.parameters.items():
        assert torch.equal(values, other.replicas.parameters[name])


@pytest.mark.parametrize("mode", ["looped", "stacked"])
@pytest.mark.parametrize("batch", [16, None])
def test_what_is_streamed_trains_as_what_is_held(tmp_path, mode, batch, monkeypatch):
    recipe = replace(SHORT, batch_size=batch)
    if batch is None:
        monkeypatch.setattr(streamed, "HELD", 2**20)  # full batches are never streamed
    same(
        trained(toy(), recipe=recipe, mode=mode), trained(on_disk(tmp_path, toy()), recipe=recipe, mode=mode)
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_change_nothing_not_even_what_dropout_draws(workers):
    class Dropping(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.5), nn.Linear(8, 4))

        def forward(self, speech):
            return self.layers(speech)

    def found(data):
        torch.manual_seed(0)
        replicas = Replicas.of([Dropping()], data=data, device="cpu")
        return fit(replicas, data, labels_only(), replace(SHORT, modality_dropout=0.0), progress=False)

    streams = in_dataset(toy(), workers)
    assert isinstance(streams.modalities["speech"], OnDemand)
    same(found(toy()), found(streams))


def test_each_replica_streams_its_own_data(tmp_path):
    held = worlds(2)
    mapped = [on_disk(tmp_path, one, str(i)) for i, one in enumerate(held)]
    for mode in ("looped", "stacked"):
        same(*(trained(sets, spec=SPEC.on("image"), mode=mode) for sets in (held, mapped)))


def test_modality_dropout_pruning_and_learned_weights_are_streamed_too(tmp_path):
    recipe = replace(SHORT, modality_dropout=0.3)
    data = toy()
    mapped = on_disk(tmp_path, data)
    same(*(trained(one, recipe=recipe, dropout_removal=Zeros()) for one in (data, mapped)))
    nets = [
        Replicas.build(NetSpec(width=4, features=8), one, seeds=[0], device="cpu") for one in (data, mapped)
    ]
    few = nets[0].size // 2
    losses = [
        prune(n, one, SHORT, parameters=few, progress=False).loss
        for n, one in zip(nets, (data, mapped), strict=True)
    ]
    assert torch.equal(*losses)


def test_predictions_and_scales_are_those_of_the_data_in_memory(tmp_path):
    data = toy(train=200, image=(3, 8, 8))
    mapped = on_disk(tmp_path, data)
    nets = [Replicas.build(SPEC, one, seeds=[0], device="cpu") for one in (data, mapped)]
    for name, values in nets[0].buffers.items():
        assert torch.equal(values, nets[1].buffers[name])
    for split in (None, "val"):
        assert torch.equal(
            *(net.predict(one, split=split) for net, one in zip(nets, (data, mapped), strict=True))
        )


def test_means_of_what_is_on_disk_are_read_once(tmp_path, monkeypatch):
    mapped, read = on_disk(tmp_path, toy()), []
    real = PairedData.once

    def counted(self, name, about, make):
        return real(self, name, about, lambda: read.append(name) or make())

    monkeypatch.setattr(PairedData, "once", counted)
    for _ in range(2):
        net = Replicas.build(SPEC, mapped, seeds=[0], device="cpu")
        standardise([net.module()], mapped)
    assert sorted(read) == ["image", "speech"]


def test_full_batches_of_what_is_never_held_are_refused(tmp_path):
    with pytest.raises(LabError, match=r"recipe\.batch_size = None: must be given.*read row by row"):
        trained(on_disk(tmp_path, toy()), recipe=replace(SHORT, batch_size=None))


def noise(x, generator):
    return {name: values + torch.randn(values.shape, generator=generator) for name, values in x.items()}


def seen(data, seeds=(0, 1), augment=noise, slots=((3, 1), (1, 2)), epoch=1):
    replicas = Replicas.build(SPEC, data, seeds=seeds, device="cpu")
    split = split_of([data], replicas, augment=Augment(augment))
    ((_, x, _),) = split.picked([(epoch, torch.tensor(slots))])
    return x["speech"] - data.modalities["speech"][data.positions("train")[torch.tensor(slots)]]


def test_the_draws_of_a_sample_are_those_of_seed_sample_and_epoch():
    data = toy()
    first = seen(data)
    assert torch.equal(first[1, 1], seen(data, seeds=(1,), slots=[[4, 5, 2]])[0, 2])
    others = [
        first[1, 1],
        first[0, 1],
        first[1, 0],
        seen(data, epoch=2)[1, 1],
        seen(data, seeds=(2, 3))[1, 1],
    ]
    assert len({tuple(one.tolist()) for one in others}) == 5
    reordered = data.select(torch.arange(len(data)).flip(0))
    where = data.positions("train")[2]
    slot = int((reordered.sample_index[reordered.positions("train")] == data.sample_index[where]).nonzero())
    torch.testing.assert_close(seen(reordered, slots=[[0, 0], [slot, slot]])[1, 1], first[1, 1])


@pytest.mark.parametrize("workers", [0, 2])
def test_augmented_training_is_the_same_held_streamed_and_by_workers(workers):
    augment = Augment(noise)
    held = trained(toy(), augment=augment)
    same(held, trained(in_dataset(toy(), workers), augment=augment))
    alone = trained(toy(), seeds=(1,), augment=augment).history
    beside = held.history.query("seed == 1").reset_index(drop=True)
    assert np.array_equal(alone["value"], beside["value"])
    assert not trained(toy()).history.equals(held.history)


def test_augmenting_to_nothing_changes_nothing_and_only_training_is_augmented():
    same(trained(toy()), trained(toy(), augment=Augment(lambda x, generator: x)))
    zeros = Augment(lambda x, generator: {name: torch.zeros_like(values) for name, values in x.items()})
    assert trained(toy(), augment=zeros).history.query("split == 'val'")["value"].notna().all()


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda x, generator: None, "NoneType.*must return .*as it was given, for sample"),
        (lambda x, generator: {"speech": x["speech"]}, "must return .*'image', 'speech'"),
        (lambda x, generator: {**x, "speech": x["speech"][:3]}, r"float32 \(3,\).*must return 'speech' as"),
        (lambda x, generator: {**x, "speech": x["speech"].long()}, "torch.int64"),
        (lambda x, generator: {**x, "speech": 3}, "int.*must return 'speech'"),
        (lambda x, generator: 1 / 0, "failed on sample .* with ZeroDivisionError"),
    ],
)
def test_a_function_that_does_not_give_the_sample_back_is_refused(function, says):
    with pytest.raises(LabError, match=rf"augment = .*{says}"):
        trained(toy(), augment=Augment(function))


LOSS = Distillation(((0.5, CrossEntropy(Task.SINGLE_LABEL)), (0.5, KD(4.0, "kl", Task.SINGLE_LABEL))))


def taught(data, seeds=(7,), **options):
    teacher = Replicas.build(SPEC.on("image"), data, seeds=seeds, device="cpu", dtype=torch.float64)
    return teacher, {"loss": LOSS, "spec": SPEC.on("speech"), **options}


@pytest.mark.parametrize("teachers", [(7,), (7, 8)])
@pytest.mark.parametrize("mode", ["looped", "stacked"])
def test_a_live_teacher_says_what_it_said_of_the_same_sample(teachers, mode):
    data = toy()
    teacher, how = taught(data, teachers, mode=mode)
    live, cached = (trained(data, teacher=one, **how) for one in (teacher, teacher_outputs(teacher, data)))
    np.testing.assert_allclose(live.history["value"], cached.history["value"], rtol=1e-9)


def test_a_live_teacher_sees_what_its_student_sees():
    data, zeros = toy(), Augment(lambda x, generator: {name: 0 * values for name, values in x.items()})
    teacher, how = taught(data)
    blank = replace(
        data, modalities={name: torch.zeros_like(values) for name, values in data.modalities.items()}
    )
    found = trained(data, teacher=teacher, augment=zeros, **how)
    blank_word = teacher_outputs(teacher, blank)
    same_word = replace(blank_word, identity=teacher_outputs(teacher, data).identity)
    wanted = trained(data, teacher=same_word, augment=zeros, **how)
    clean = trained(data, teacher=teacher_outputs(teacher, data), augment=zeros, **how)
    terms = [one.history.query("split == 'train'")["value"] for one in (found, wanted, clean)]
    np.testing.assert_allclose(terms[0], terms[1], rtol=1e-9)
    assert np.abs(terms[0].to_numpy() - terms[2].to_numpy()).max() > 1e-3


def test_live_teachers_that_cannot_be_asked_are_refused():
    data = toy()
    teacher, how = taught(data)
    with pytest.raises(LabError, match="must have the classes"):
        trained(data, teacher=teacher.meaning(("a", "b", "c", "d")), **how)
    with pytest.raises(LabError, match="3 teachers"):
        trained(data, teacher=taught(data, (1, 2, 3))[0], **how)


def test_a_streamed_split_holds_no_inputs(tmp_path):
    mapped = on_disk(tmp_path, toy())
    replicas = Replicas.build(SPEC, mapped, seeds=[0], device="cpu")
    split = split_of([mapped], replicas)
    assert isinstance(split, Streamed)
    assert split.x == {}
    assert split.names == ["image", "speech"]
