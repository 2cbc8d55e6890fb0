"""A repaired teacher is the user's own network, says what the engine's says, and comes back from disk."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from mmkd_lab.attribution import Editor, by_channel, load_repaired, repair
from mmkd_lab.core.check import DamagedFile, LabError
from mmkd_lab.experiments.repairs import Edit, EditTask, LayerPlace, ask_edited
from mmkd_lab.models import ModelAdapter
from mmkd_lab.study import failure_cases
from tests.attribution.test_editing import IMAGES, VECTORS, paired
from tests.attribution.tiny import Conv, Joined, Linear, Student, draw
from tests.study import tiny


class Normed(nn.Module):
    """A user's network of one picture: a convolution with batch statistics, then a head."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.act, self.head = nn.ReLU(inplace=True), nn.Linear(4, 2)

    def forward(self, picture):
        return self.head(self.act(self.norm(self.conv(picture))).mean((2, 3)))


class Attending(nn.Module):
    """Torch's own encoder layer, which has a faster way that reads weights past its parts."""

    modalities = ("a",)

    def __init__(self):
        super().__init__()
        self.encoder = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.encoder(x["a"]).mean(1))


def normed():
    torch.manual_seed(0)
    net = Normed()
    for _ in range(3):
        net(torch.randn(16, 1, 4, 4))
    return net.eval()


def everything(net, data):
    x = data.batch(torch.arange(len(data)), dtype=next(net.parameters()).dtype)
    with torch.no_grad():
        return net.eval()(x)


SEQUENCES = paired(draw(30, a=(3, 4), b=(2,)))
CASES = {
    "maps": (lambda: Conv("flat"), IMAGES, "act", "output"),
    "behind an mlp": (lambda: Conv("mlp"), IMAGES, "conv", "output"),
    "before the head": (lambda: Conv("pooled"), IMAGES, None, "output"),
    "where modalities meet": (Joined, VECTORS, "first", "output"),
    "batch statistics": (lambda: ModelAdapter(normed(), modalities=["a"]), IMAGES, "norm", "input"),
    "in place": (lambda: ModelAdapter(normed(), modalities=["a"]), IMAGES, "norm", "output"),
    "within an encoder": (Attending, SEQUENCES, "encoder.linear1", "output"),
}


@pytest.mark.parametrize("replace", ["mean", "zeros"])
@pytest.mark.parametrize(("make", "data", "layer", "side"), CASES.values(), ids=CASES)
def test_it_says_what_the_edited_teacher_says_and_leaves_yours_alone(make, data, layer, side, replace):
    torch.manual_seed(0)
    net, student = make().double(), Student().double()
    before, said = copy.deepcopy(net.state_dict()), everything(net, data)
    found = repair(net, student, data, ratio=0.5, layer=layer, side=side, replace=replace, seed=3)
    ranked = by_channel(net, student, data, layer=layer, side=side, seed=3)
    wanted = Editor.of(net, data, ranked).keeping(found.kept, replace=replace).logits
    repaired = everything(found.network, data)
    for split, logits in wanted.items():
        torch.testing.assert_close(repaired[data.positions(split)], logits, atol=1e-12, rtol=1e-12)
    assert type(found.network) is type(net)
    assert (repaired - said).abs().max() > 1e-6
    assert list(before) == list(net.state_dict())
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert torch.equal(everything(net, data), said)
    assert sorted([*found.kept, *found.removed]) == list(range(len(ranked)))


def test_it_is_the_teacher_of_the_study(tmp_path):
    study = tiny.repair(tmp_path, ratios=[0.5], losses=["kd alone"], arms=["no_kd", "mg_kd"], truth=None)
    data, pair, saliency = tiny.paired(), study.pairs[1], study.rankings[1]
    task = EditTask(pair, LayerPlace(), Edit("general", 0.5), saliency, pair.task.recipe, None)
    engine = ask_edited(task)
    teacher, student = pair.nets()
    found = repair(teacher, student, data, ratio=0.5, seed=1)
    assert (
        found.kept.tolist() == engine.metrics["channels"] == study.provenance["channels"]["mg_kd, 0.5, 0"][1]
    )
    order = torch.cat([data.positions(split) for split in data.splits])
    said = everything(found.network, data)[order]
    assert said.dtype == torch.float64
    np.testing.assert_allclose(said.numpy(), engine.tensors["logits"][0], atol=1e-12, rtol=1e-12)
    assert repr(found).endswith(
        "without 4 of 8 channels at the input of 'head' (ranked 'general', mean instead)"
    )


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_it_comes_back_from_disk_bit_by_bit(tmp_path, kind):
    net = normed().to(kind)
    found = repair(ModelAdapter(net, modalities=["a"]), Student().to(kind), IMAGES, ratio=0.5, layer="conv")
    path = found.save(tmp_path / "repaired.safetensors")
    again = load_repaired(path, Normed())
    x = IMAGES.modalities["a"].to(kind)
    assert torch.equal(again(x), found.network.module(x))
    state, theirs = again.state_dict(), found.network.module.state_dict()
    assert list(state) == list(theirs)
    assert all(
        torch.equal(state[name], theirs[name]) and state[name].dtype == theirs[name].dtype for name in state
    )
    held = bytearray(path.read_bytes())
    held[-3] ^= 1
    path.write_bytes(held)
    with pytest.raises(DamagedFile, match="must be that of what the file holds"):
        load_repaired(path, Normed())


def test_it_teaches(tmp_path):
    """Any study takes it for a teacher, and tells it from the one that was not repaired."""
    data, net = tiny.paired(), nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    student = ModelAdapter(nn.Linear(6, 3), modalities=["b"])
    found = repair(ModelAdapter(net, modalities=["a"]), student, data, ratio=0.75, layer="0")
    settings = {"student": "b", "arms": ["no_kd", "cm_kd"], "seeds": [0], "progress": False}
    settings |= {"recipe": tiny.RECIPE, "student_model": tiny.SPEC, "device": "cpu"}
    scores = [
        failure_cases(data, teacher_model=one, store=tiny.ResultStore(tmp_path), **settings)
        .table.query("role == 'teacher' and metric == 'nll' and split == 'test'")["value"]
        .item()
        for one in (net, found.network.module, found.network)
    ]
    assert scores[1] == scores[2] != scores[0]


DATA = VECTORS
WRONG = [
    (lambda: repair(3, Student(), DATA, ratio=0.5), r"teacher = 3: must be a torch.nn.Module"),
    (lambda: repair(Linear(), Student, DATA, ratio=0.5), "student = .*must be a torch.nn.Module"),
    (lambda: repair(Linear(), Student(), draw(a=(4,)), ratio=0.5), "data = .*must be a PairedData"),
    (lambda: repair(Linear(), Student(), DATA, ratio=1.0), "ratio = 1.0: must be below 1"),
    (
        lambda: repair(Linear(), Student(), DATA, ratio=0.1),
        "ratio = 0.1: removes none of the 4 channels.*0.25",
    ),
    (lambda: repair(Linear(), Student(), DATA, ratio=0.5, ranking="generic"), "Did you mean 'general'"),
    (lambda: repair(Linear(), Student(), DATA, ratio=0.5, ranking="oracle"), "truth = None"),
    (lambda: repair(Linear(), Student(), DATA, ratio=0.5, truth=[7]), "truth = .*0 to 3"),
    (lambda: repair(Linear(), Student(), DATA, ratio=0.5, layer="body"), "layer = 'body'.*It has 'head'"),
    (lambda: repair(Linear(), Student(), DATA, ratio=0.5, replace="retrain"), "replace = 'retrain'"),
    (lambda: repair(nn.Linear(4, 2), Student(), DATA, ratio=0.5), "Say what it reads"),
]


@pytest.mark.parametrize(("call", "words"), WRONG)
def test_wrong_input_is_refused(call, words):
    with pytest.raises(LabError, match=words):
        call()


def test_what_does_not_fit_is_refused(tmp_path):
    found = repair(Linear(), Student(), DATA, ratio=0.5)
    path = found.save(tmp_path / "a.safetensors")
    (tmp_path / "foreign.safetensors").write_bytes(b"no tensors")
    for call, kind, words in (
        (
            lambda: repair(found.network, Student(), DATA, ratio=0.5),
            LabError,
            "'head': has lost channels already",
        ),
        (
            lambda: load_repaired(path, Linear(d=5)),
            LabError,
            "network = 'Linear': does not fit.*size mismatch",
        ),
        (
            lambda: load_repaired(path, nn.Linear(4, 2)),
            LabError,
            "layer = 'head': is no layer of this Linear",
        ),
        (lambda: load_repaired(path, Linear), LabError, "must be a torch.nn.Module of the repaired class"),
        (lambda: load_repaired(tmp_path / "none", Linear()), DamagedFile, "holds no networks"),
        (lambda: load_repaired(tmp_path / "foreign.safetensors", Linear()), DamagedFile, "holds no networks"),
        (lambda: found.save(tmp_path), LabError, "must be a file, and is a folder"),
        (
            lambda: found.network({"a": torch.zeros(2, 5)}),
            LabError,
            r"input = \(2, 5\): must be \(4,\) a sample",
        ),
    ):
        with pytest.raises(kind, match=words):
            call()
