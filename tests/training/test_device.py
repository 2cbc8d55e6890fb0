"""Precision, threads, and who is stacked where."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from mmkd_lab.distill import TeacherOutputs
from mmkd_lab.models import NetSpec
from mmkd_lab.training import Recipe, Replicas, evaluate, fit, threads
from mmkd_lab.training.device import deterministic
from mmkd_lab.training.recipe import resolve_precision
from mmkd_lab.training.stacking import choose, obstacles
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
    exact = fit(replicas, data, plain, replace(recipe, precision="32-true"), mode=mode, progress=False)
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
@pytest.mark.parametrize("precision", ["64-true", "32-true", "16-mixed", "bf16-mixed"])
def test_the_gpu_agrees_with_the_cpu(precision):
    data = toy()
    recipe = Recipe(epochs=3, batch_size=16, optimiser="sgd", lr=0.05, precision=precision, clip=1.0)
    cpu = fit(
        Replicas.build(NetSpec(), data, seeds=[0, 1], device="cpu"),
        data,
        plain,
        replace(recipe, precision="64-true"),
        progress=False,
    )
    gpu = fit(Replicas.build(NetSpec(), data, seeds=[0, 1]), data, plain, recipe, progress=False)
    tolerance = {"64-true": 1e-9, "32-true": 1e-3}.get(precision, 0.2)
    assert gpu.mode == "stacked"
    torch.testing.assert_close(
        gpu.replicas.predict(data).double(), cpu.replicas.predict(data), atol=tolerance, rtol=10 * tolerance
    )


def test_networks_are_looped_on_a_cpu_and_stacked_on_cuda_where_they_can_be():
    cpu, cuda, net = torch.device("cpu"), torch.device("cuda"), nn.Linear(2, 2)
    assert [choose(net, cpu), choose(net, cuda), choose(net, cpu, "stacked")] == [
        "looped",
        "stacked",
        "stacked",
    ]
    assert choose(net, cuda, "looped") == choose(nn.BatchNorm1d(2), cuda) == "looped"


def test_auto_is_double_where_that_is_cheap(monkeypatch):
    auto, cpu, cuda = Recipe(precision="auto"), torch.device("cpu"), torch.device("cuda", 0)
    assert resolve_precision(auto, 4_999_999, cpu) == "64-true"
    assert resolve_precision(auto, 5_000_000, cpu) == "32-true"
    assert resolve_precision(auto, 10, torch.device("mps")) == "32-true"
    assert resolve_precision(Recipe(precision="bf16-mixed"), 10, cpu) == "bf16-mixed"
    for capability, wanted in (((9, 0), "64-true"), ((8, 6), "32-true")):  # H100 and RTX 3090
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device, known=capability: known)
        assert resolve_precision(auto, 10, cuda) == wanted


@pytest.mark.parametrize("mode", ["stacked", "looped"])
def test_everything_follows_the_precision_and_double_is_single_with_more_digits(mode):
    data, seen = toy(), []

    def spy(logits, target, teacher=None):
        seen.append({logits.dtype, teacher.dtype})
        return plain(logits, target)

    teacher = TeacherOutputs(data.sample_index, torch.zeros(1, len(data), 4))
    spec, recipe = NetSpec("mlp", width=2), Recipe(steps=6, batch_size=16, optimiser="sgd", lr=0.05)
    replicas = Replicas.build(spec, data, seeds=[0, 1], device="cpu")
    found = {}
    for precision, dtype in (("32-true", torch.float32), ("64-true", torch.float64)):
        seen.clear()
        run = replace(recipe, precision=precision)
        after = fit(replicas, data, spy, run, teacher=teacher, mode=mode, progress=False).replicas
        found[precision] = after.predict(data)
        assert all(one == {dtype} for one in seen)
        assert after.dtype == found[precision].dtype == after.features(data).dtype == dtype
        assert {value.dtype for value in after.buffers.values()} == {dtype}
        assert {value.dtype for value in after.module().parameters()} == {dtype}
    assert replicas.dtype == torch.float32
    torch.testing.assert_close(found["32-true"].double(), found["64-true"], atol=1e-4, rtol=0)
    assert not torch.equal(found["32-true"].double(), found["64-true"])
    means = Replicas.build(spec, data, seeds=[0], device="cpu", dtype=torch.float64).buffers["shift_1"][0]
    torch.testing.assert_close(means, data.modalities["speech"][:50].double().mean(0), atol=1e-15, rtol=1e-14)


def test_dropout_at_rate_zero_is_no_obstacle():
    for rate, stuck in ((0.1, ["drop", "attend"]), (0.0, [])):
        net = nn.ModuleDict({"drop": nn.Dropout(rate), "attend": nn.MultiheadAttention(6, 2, dropout=rate)})
        assert obstacles(net) == stuck


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
