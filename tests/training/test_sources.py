"""What a study takes for a model: every kind works, has a key of its own, or is turned away at the door."""

from __future__ import annotations

import json
from dataclasses import replace

import pandas as pd
import pytest
import torch
from torch import nn

from mmkd_lab.core.check import LabError
from mmkd_lab.distill import TeacherOutputs
from mmkd_lab.models import NetSpec
from mmkd_lab.training import Recipe
from mmkd_lab.training.sources import Source, source_of
from tests.training.toy import DOUBLE, toy

DATA = toy()


class Net(nn.Module):
    def __init__(self, hidden=5, classes=4):
        super().__init__()
        self.layer1, self.fc = nn.Linear(6, hidden), nn.Linear(hidden, classes)

    def forward(self, speech):
        return self.fc(torch.tanh(self.layer1(speech)))


class Other(Net):
    def forward(self, speech):
        return self.fc(torch.relu(self.layer1(speech)))


def make():
    return Net()


def seeded(kind=Net, **settings):
    torch.manual_seed(0)
    return kind(**settings)


def table(**more):
    logits = torch.randn(len(DATA), 4, generator=torch.Generator().manual_seed(0))
    frame = pd.DataFrame(logits.numpy(), columns=list(DATA.classes)).assign(id=DATA.sample_index.numpy())
    return frame.assign(**more)


def of(value, **more):
    return source_of(value, argument="student_model", data=DATA, **more)


def test_a_description_builds_under_each_seed():
    source = of(NetSpec("linear"), modalities=["image"])
    assert (source.kind, source.trains, source.spec.modalities) == ("spec", True, ("image",))
    found = source.replicas([3, 4], device="cpu", recipe=Recipe(**DOUBLE))
    assert (found.seeds, found.dtype, found.modalities) == ((3, 4), torch.float64, ("image",))
    assert source.of("speech").replicas([0], device="cpu").modalities == ("speech",)
    assert "zeros" in source.removals


def test_a_function_is_called_under_each_seed_and_leaves_torch_alone():
    source, before = of(make), torch.get_rng_state()
    found = source.replicas([3, 4, 3], device="cpu")
    assert torch.equal(torch.get_rng_state(), before)
    weight = found.parameters["module.fc.weight"]
    assert torch.equal(weight[0], weight[2])
    assert not torch.equal(weight[0], weight[1])
    assert (source.kind, source.trains, found.modalities) == ("function", True, ("speech",))
    assert torch.equal(source.replicas([4], device="cpu").parameters["module.fc.weight"][0], weight[1])


def test_what_was_changed_in_place_has_another_key():
    module, outputs = seeded(), TeacherOutputs(DATA.sample_index, torch.zeros(1, len(DATA), 4))
    first = of(module).describe(), of(outputs).describe()
    with torch.no_grad():
        module.fc.weight.mul_(2)
    outputs.logits.add_(1)
    for before, now in zip(first, (of(module).describe(), of(outputs).describe()), strict=True):
        assert before != now


def test_a_module_keeps_its_weights_under_every_seed():
    module = seeded()
    source = of(module)
    found = source.replicas([3, 4], device="cpu")
    assert (source.kind, source.trains, source.spec) == ("module", False, None)
    for r in range(2):
        assert torch.equal(found.parameters["module.fc.weight"][r], module.fc.weight)


def test_a_table_has_outputs_and_no_network(tmp_path):
    table().to_csv(tmp_path / "teacher.csv", index=False)
    sources = [of(tmp_path / "teacher.csv"), of(str(tmp_path / "teacher.csv"))]
    sources.append(of(sources[0].outputs))
    assert isinstance(sources[0].outputs, TeacherOutputs)
    assert len({json.dumps(one.describe()) for one in sources}) == 1
    for source in sources:
        assert (source.kind, source.trains, source.removals) == ("table", False, None)
        with pytest.raises(LabError, match=r"student_model = .*no network behind it"):
            source.replicas([0])


def text(source: Source) -> str:
    return json.dumps(source.describe(), sort_keys=True)


def numbered(module, version):
    module.mmkd_version = version
    return module


def test_a_key_changes_with_what_changes_a_result_and_with_nothing_else():
    one = text(of(seeded()))
    assert one == text(of(seeded()))
    moved = seeded()
    with torch.no_grad():
        moved.fc.bias += 1
    others = [
        of(moved),
        of(seeded(hidden=6)),
        of(seeded(Other)),
        of(numbered(seeded(), 1)),
        of(numbered(seeded(), 2)),
        of(make),
        of(lambda: Net(hidden=5)),
        of(NetSpec("linear")),
        of(NetSpec("mlp")),
    ]
    assert len({one, *map(text, others)}) == 10


FIVE = replace(DATA, target=torch.arange(len(DATA)) % 5, classes=(*DATA.classes, "four"))
REFUSED = {
    "a number": (lambda: of(3), "student_model = 3", "NetSpec"),
    "no module made": (lambda: of(lambda: 3), "student_model = 3", "makes a torch.nn.Module"),
    "other modalities": (lambda: of(NetSpec(), modalities=["smell"]), "modalities = 'smell'", "'speech'"),
    "another number of classes": (
        lambda: source_of(Net(), argument="teacher_model", data=FIVE),
        "teacher_model = 'logits (2, 4)'",
        "5 classes of toy",
    ),
    "not to be called": (lambda: of(nn.Linear(6, 4)), "student_model = 'Linear'", "modalities"),
    "another modality of a module": (lambda: of(Net()).of("image"), "student_model = Net", "NetSpec"),
    "outputs of a module": (lambda: of(Net()).outputs, "student_model = 'module'", "teacher_outputs()"),
    "no such file": (lambda: of("nowhere.csv"), "'nowhere.csv'", "exists"),
    "outputs of other data": (
        lambda: source_of(of(table()).outputs, argument="teacher_model", data=toy(seed=1)),
        "teacher = ",
        "of the data toy",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_a_model_is_told_why(case):
    call, *wanted = REFUSED[case]
    with pytest.raises(LabError) as caught:
        call()
    for said in wanted:
        assert said in str(caught.value)
