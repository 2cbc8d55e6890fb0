"""What networks and teachers are of: classes in order and samples in order; nothing else is answered."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from mmkd_lab.core.check import LabError
from mmkd_lab.data.paired import PairedData
from mmkd_lab.distill import Distillation, TeacherOutputs, labels_only
from mmkd_lab.distill.losses.kd import KD
from mmkd_lab.models import NetSpec, View
from mmkd_lab.training import Recipe, Replicas, evaluate, fit, teacher_outputs
from mmkd_lab.training.checkpoint import load, save
from tests.training.toy import CLASSES, DOUBLE, toy

DATA, ONE = toy(), Recipe(epochs=1, **DOUBLE)
TURNED = ("two", "zero", "one", "three")
OTHERS = {
    "classes in another order": lambda: turned(DATA),
    "rows in another order": lambda: rows(torch.arange(len(DATA)).flip(0)),
    "another set": lambda: toy(seed=3),
}


def turned(data):
    """The same samples and labels, the classes in another order."""
    number = torch.tensor([TURNED.index(name) for name in CLASSES])
    return replace(data, classes=TURNED, target=number[data.target])


def rows(order):
    """Samples under the default index, 0 .. N - 1, wherever they came from."""
    x = {name: values[order] for name, values in DATA.modalities.items()}
    return PairedData(DATA.name, x, DATA.target[order], DATA.splits, CLASSES)


def untrained(data, seeds=(0,)):
    return Replicas.build(NetSpec("linear"), data, seeds=seeds, device="cpu")


@pytest.fixture(scope="module")
def trained():
    return fit(untrained(DATA), DATA, labels_only(), ONE, progress=False).replicas


@pytest.mark.parametrize("case", OTHERS)
def test_a_teacher_teaches_the_very_samples_that_it_was_asked_about(case, trained):
    first = rows(torch.arange(len(DATA))) if case == "rows in another order" else DATA
    other, said = OTHERS[case](), teacher_outputs(trained, first)
    loss = Distillation(((1.0, KD(temperature=1.0, task=DATA.task, convention="kl")),))
    fit(untrained(first), first, loss, ONE, teacher=said, progress=False)
    for sets in (other, [other, other]):  # for all replicas, or one each
        with pytest.raises(LabError, match=r"teacher = .*Ask the teacher about the very dataset"):
            fit(untrained(other, (0, 1)), sets, loss, ONE, teacher=said, progress=False)


def test_a_trained_network_knows_its_classes_wherever_it_goes(trained, tmp_path):
    wanted, other = trained.predict(DATA), turned(DATA)
    kept = load(save(trained, tmp_path / "net.safetensors"), device="cpu")
    again = Replicas.of([trained.module()], device="cpu")
    for one in (trained, trained[0], kept, again, Replicas.join([trained, kept]), trained.to("cpu")):
        assert one.classes == CLASSES
        torch.testing.assert_close(one.predict(DATA)[:1], wanted, atol=0, rtol=0)
        for ask in (one.predict, one.features, lambda d, one=one: evaluate(one, d, split="val")):
            with pytest.raises(LabError, match=r"replicas\.classes = .*'two', 'zero', 'one', 'three'"):
                ask(other)
    tuned = fit(trained, other, labels_only(), ONE, progress=False).replicas
    assert tuned.classes == TURNED
    assert trained.classes == CLASSES
    assert untrained(DATA).classes is None


class Direction(nn.Module):
    """Divides by a norm, which is 0 where the modality is removed."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 4)

    def forward(self, speech):
        return self.fc(speech / speech.norm(dim=1, keepdim=True))


def test_what_is_not_finite_passes_nowhere():
    nets, gone = Replicas.of([Direction()], data=DATA, device="cpu"), View.only("image")
    assert nets.predict(DATA).isfinite().all()
    asks = [
        lambda: nets.predict(DATA, split="test", view=gone),
        lambda: nets.features(DATA, split="test", view=gone),
        lambda: evaluate(nets, DATA, split="test", view=gone),
        lambda: teacher_outputs(nets, DATA, views=[View(frozenset())]),
    ]
    for ask in asks:
        with pytest.raises(LabError, match="replicas = 'Direction of seed 0': gives NaN or infinite values"):
            ask()
    large = torch.full((1, len(DATA), 4), 1e39, dtype=torch.float64)
    with pytest.raises(LabError, match=r"logits = .*finite, in single precision too"):
        TeacherOutputs(DATA.sample_index, large)
