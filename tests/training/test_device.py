"""Precision, threads, strategies, and modules that cannot be stacked."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from mmkd_lab.core.check import LabError
from mmkd_lab.models import NetSpec, build
from mmkd_lab.training import Recipe, Replicas, evaluate, fit, strategy, threads
from mmkd_lab.training.device import deterministic
from tests.training.toy import plain, toy


@pytest.mark.parametrize("mode", ["stacked", "looped"])
def test_bf16_runs_on_the_cpu_and_learns(mode):
    data = toy()
    seen = []

    def spy(logits, target, teacher=None):
        seen.append(logits.dtype)
        return plain(logits, target)

    replicas = Replicas.build(NetSpec("mlp"), data, seeds=[0, 1], device="cpu")
    recipe = Recipe(epochs=6, batch_size=16, precision="bf16-mixed", clip=1.0)
    fitted = fit(replicas, data, spy, recipe, mode=mode, progress=False)
    exact = fit(replicas, data, plain, Recipe(epochs=6, batch_size=16, clip=1.0), mode=mode, progress=False)
    assert set(seen) == {torch.float32}
    assert all(value.dtype == torch.float32 for value in fitted.replicas.parameters.values())
    assert (evaluate(fitted.replicas, data, split="train")["accuracy"] > 90).all()
    far = fitted.replicas.predict(data) - exact.replicas.predict(data)
    assert far.abs().max() > 1e-4  # it did compute in half precision


def test_threads_are_put_back_even_after_an_error():
    before = torch.get_num_threads()
    with threads(1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before

    def fail():
        with threads(1):
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert torch.get_num_threads() == before


def test_cudnn_is_deterministic_inside_and_as_before_outside():
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    for device, inside in (("cpu", before), ("cuda", (True, False))):
        with deterministic(torch.device(device)):
            assert (cudnn.deterministic, cudnn.benchmark) == inside
        assert (cudnn.deterministic, cudnn.benchmark) == before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("precision", ["32-true", "16-mixed", "bf16-mixed"])
def test_the_gpu_agrees_with_the_cpu(precision):
    data = toy()
    recipe = Recipe(epochs=3, batch_size=16, optimiser="sgd", lr=0.05, precision=precision, clip=1.0)
    cpu = fit(
        Replicas.build(NetSpec(), data, seeds=[0, 1], device="cpu"),
        data,
        plain,
        Recipe(epochs=3, batch_size=16, optimiser="sgd", lr=0.05, clip=1.0),
        progress=False,
    )
    gpu = fit(Replicas.build(NetSpec(), data, seeds=[0, 1]), data, plain, recipe, progress=False)
    tolerance = 1e-3 if precision == "32-true" else 0.2
    torch.testing.assert_close(
        gpu.replicas.predict(data), cpu.replicas.predict(data), atol=tolerance, rtol=0.05
    )


def test_the_choice_is_the_recorded_one():
    shapes = {"small": (1, 8, 8), "": (1, 28, 28)}
    for device, choices in strategy.table().items():
        for kind, mode in choices.items():
            encoder, _, size = kind.partition(" ")
            shape = shapes[size]
            if encoder == "single_stream":
                spec = NetSpec(width=2, fusion=encoder)
            elif encoder == "bag":
                spec, shape = NetSpec(width=2, vocabulary={"m": 9}), (5,)
            else:
                spec = NetSpec(encoder, width=2)
            net = build(spec, {"m": shape}, 2, seed=0)
            assert strategy.choose(net, torch.device(device)) == mode
            assert strategy.choose(net, torch.device(device), "compiled") == "compiled"
    assert set(strategy.table()["cpu"]) == set(strategy.KINDS)


def test_the_costliest_encoder_decides():
    choices = strategy.table()["cpu"]
    spec = NetSpec({"a": "linear", "b": "resnet", "c": "lenet"}, width=2)
    net = build(spec, {"a": (3,), "b": (1, 8, 8), "c": (1, 28, 28)}, 2, seed=0)
    assert strategy.choose(net, torch.device("cpu")) == choices["lenet"]
    assert strategy.choose(nn.Linear(2, 2), torch.device("cpu")) == "looped"
    assert strategy.choose(nn.Linear(2, 2), torch.device("cuda")) == "stacked"


def test_the_table_names_its_measurement():
    from importlib.resources import files

    recorded = json.loads(files("mmkd_lab.training").joinpath(strategy.TABLE).read_text())
    assert recorded["measured"]["script"] == "benchmarks/replicas.py"


class Dropping(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 4)
        )

    def forward(self, x):
        return self.body(x["speech"])


def test_own_modules_with_dropout_and_batch_norm_are_looped_and_replay():
    data = toy()
    replicas = Replicas.of([Dropping() for _ in range(2)], seeds=[3, 4], device="cpu")
    recipe = Recipe(epochs=4, batch_size=16)
    one, two = (fit(replicas, data, plain, recipe, progress=False) for _ in range(2))
    assert one.mode == "looped"
    for kind in ("parameters", "buffers"):
        first, second = getattr(one.replicas, kind), getattr(two.replicas, kind)
        assert all(torch.equal(first[name], second[name]) for name in first)
    second = fit(replicas[1], data, plain, recipe, progress=False)
    for name, value in second.replicas.parameters.items():
        assert torch.equal(value[0], one.replicas.parameters[name][1])
    assert one.replicas.buffers["module.body.1.running_mean"].any()
    logits = one.replicas.predict(data)
    assert torch.equal(logits, one.replicas.predict(data))  # evaluation draws nothing
    with pytest.raises(LabError, match=r"mode = 'stacked'.*module\.body\.1"):
        fit(replicas, data, plain, recipe, mode="stacked", progress=False)


def test_dropout_at_rate_zero_is_no_obstacle():
    for rate, stuck in ((0.1, ["drop", "attend"]), (0.0, [])):
        net = nn.ModuleDict({"drop": nn.Dropout(rate), "attend": nn.MultiheadAttention(6, 2, dropout=rate)})
        assert strategy.obstacles(net) == stuck


def test_progress_goes_to_stderr_only_when_asked(capsys, monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    data = toy()
    replicas = Replicas.build(NetSpec("linear"), data, seeds=[0], device="cpu")
    fit(replicas, data, plain, Recipe(epochs=1), progress=False, label="quiet")
    assert capsys.readouterr() == ("", "")
    fit(replicas, data, plain, Recipe(epochs=1), progress=True, label="teachers")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "teachers" in shown.err
