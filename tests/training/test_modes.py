"""Stacked, looped and alone give the same networks: in double precision, to nine digits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from mmkd_lab.core.check import LabError
from mmkd_lab.data.task import Task
from mmkd_lab.distill import Distillation, TeacherOutputs
from mmkd_lab.distill.losses.ce import CrossEntropy
from mmkd_lab.distill.losses.kd import KD
from mmkd_lab.models import AttentionMask, Learned, Mean, NetSpec, Zeros
from mmkd_lab.training import Recipe, Replicas, evaluate, fit
from tests.training.test_replicas import SPECS
from tests.training.toy import DOUBLE, plain, toy, worlds

SGD = Recipe(epochs=4, batch_size=16, optimiser="sgd", lr=0.05, warmup=0.1, **DOUBLE)
ADAM = Recipe(steps=12, batch_size=16, lr=1e-3, select="last", **DOUBLE)
MODES = ("stacked", "looped")
TASK = Task.SINGLE_LABEL


def trained(spec, data, recipe, *, seeds=(0, 1, 2), loss=plain, mode, **more):
    first = data[0] if isinstance(data, list) else data
    replicas = Replicas.build(spec, first, seeds=seeds, device="cpu")
    return fit(replicas, data, loss, recipe, mode=mode, progress=False, **more)


def assert_same(one, two, *, rows=slice(None), atol=1e-9):
    assert one.replicas.dtype == two.replicas.dtype
    for name, value in one.replicas.parameters.items():
        torch.testing.assert_close(two.replicas.parameters[name], value[rows], atol=atol, rtol=0)
    assert np.array_equal(one.best_epoch[rows], two.best_epoch)


@pytest.mark.parametrize("name", SPECS)
def test_stacked_is_looped_is_alone(name):
    data, recipe = toy(), replace(SGD, clip=0.5) if name in ("linear", "lenet", "mid") else ADAM
    stacked, looped = (trained(SPECS[name], data, recipe, mode=mode) for mode in MODES)
    assert (stacked.mode, looped.mode) == MODES
    assert_same(stacked, looped)
    assert_same(stacked, trained(SPECS[name], data, recipe, seeds=[1], mode="stacked"), rows=slice(1, 2))
    torch.testing.assert_close(
        stacked.replicas.predict(data), looped.replicas.predict(data), atol=1e-9, rtol=0
    )
    start = Replicas.build(SPECS[name], data, seeds=[0, 1, 2], device="cpu").parameters["head.weight"]
    assert not torch.allclose(stacked.replicas.parameters["head.weight"].to(start), start)


@pytest.mark.parametrize("encoder", ["conv1d", "gru"])
def test_sequences_stacked_are_sequences_looped(encoder):
    data, spec = toy(image=(9, 2, 3), speech=(12, 2)), NetSpec(encoder, width=2, features=5)
    stacked, looped = (trained(spec, data, ADAM, mode=mode) for mode in MODES)
    assert_same(stacked, looped)
    start = Replicas.build(spec, data, seeds=[0, 1, 2], device="cpu").parameters["head.weight"]
    assert not torch.allclose(stacked.replicas.parameters["head.weight"].to(start), start)


def test_histories_agree_and_are_tidy():
    data, loss = toy(), Distillation(((1.0, CrossEntropy(TASK)),))
    stacked, looped = (trained(SPECS["mlp"], data, SGD, mode=mode, loss=loss).history for mode in MODES)
    assert list(stacked.columns) == ["replica", "seed", "epoch", "split", "metric", "value"]
    assert set(stacked.loc[stacked["split"] == "train", "metric"]) == {"ce", "loss"}
    assert set(stacked.loc[stacked["split"] == "val", "metric"]) == {
        "accuracy",
        "balanced_accuracy",
        "macro_f1",
        "nll",
    }
    assert len(stacked) == 3 * 4 * 6
    columns = ["replica", "seed", "epoch", "split", "metric"]
    both = stacked.merge(looped, on=columns, validate="1:1")
    np.testing.assert_allclose(both["value_x"], both["value_y"], atol=1e-9)
    assert len(both) == len(stacked)


def teachers(data, count):
    logits = torch.randn(count, len(data), 4, generator=torch.Generator().manual_seed(7)) * 3
    return TeacherOutputs(data.sample_index, logits)


def half_and_half(ce=0.5, kd=0.5):
    return Distillation(((ce, CrossEntropy(TASK)), (kd, KD(2.0, "kl", TASK))))


def test_arms_with_weights_and_teachers_of_their_own_stack():
    data, cache = toy(), teachers(toy(), 3)
    loss = half_and_half(torch.tensor([1.0, 0.5, 0.0]), torch.tensor([0.0, 0.5, 1.0]))
    seeds = [2, 2, 2]
    stacked, looped = (
        trained(SPECS["mlp"], data, SGD, seeds=seeds, mode=mode, loss=loss, teacher=cache) for mode in MODES
    )
    assert_same(stacked, looped)
    third = trained(SPECS["mlp"], data, SGD, seeds=[2], mode="looped", loss=loss[2], teacher=cache[2])
    assert_same(stacked, third, rows=slice(2, 3))
    head = stacked.replicas.parameters["head.weight"]
    assert not torch.allclose(head[0], head[2])


def test_one_teacher_serves_all_replicas_by_sample_index():
    data, sets = toy(), worlds(3)
    one = teachers(data, 1)
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))
    others = TeacherOutputs.stack([one, one, one]), TeacherOutputs(one.index[order], one.logits[:, order])
    for mode in MODES:
        shared = trained(SPECS["mlp"], data, SGD, mode=mode, loss=half_and_half(), teacher=one)
        for other in others:
            again = trained(SPECS["mlp"], data, SGD, mode=mode, loss=half_and_half(), teacher=other)
            assert_same(shared, again, atol=1e-12)
    spec, teacher = NetSpec("linear", standardise=False), teachers(sets[0], 1)
    runs = [trained(spec, sets, SGD, mode=mode, loss=half_and_half(), teacher=teacher) for mode in MODES]
    for r, own in enumerate(sets):
        alone = trained(spec, own, SGD, seeds=[r], loss=half_and_half(), teacher=teacher, mode="looped")
        for fitted in runs:
            assert_same(fitted, alone, rows=slice(r, r + 1))


@pytest.mark.parametrize("batch_size", [None, 8])
def test_replicas_may_have_data_of_their_own(batch_size):
    sets, spec = worlds(3), NetSpec("linear", standardise=False)
    recipe = replace(SGD, batch_size=batch_size)
    stacked, looped = (trained(spec, sets, recipe, mode=mode) for mode in MODES)
    assert_same(stacked, looped)
    found = evaluate(stacked.replicas, sets, split="test")
    for r, data in enumerate(sets):
        assert_same(stacked, trained(spec, data, recipe, seeds=[r], mode="looped"), rows=slice(r, r + 1))
        alone = evaluate(stacked.replicas[r], data, split="test")
        assert found["nll"][r] == pytest.approx(alone["nll"][0], rel=1e-12)


def test_a_full_batch_is_one_batch_of_everything():
    data, recipe = toy(), replace(SGD, select="last")
    first, *others = (
        trained(SPECS["linear"], data, replace(recipe, batch_size=size), mode="stacked")
        for size in (None, 50, 500)
    )
    for other in others:
        assert_same(first, other)


@pytest.mark.parametrize(
    ("fusion", "removal", "batch_size"),
    [("late", Zeros, None), ("late", Mean, 16), ("attention", AttentionMask, 16), ("late", Learned, 16)],
)
def test_modality_dropout_is_drawn_per_replica(fusion, removal, batch_size):
    data = toy()
    operator = Mean.of(data) if removal is Mean else removal()
    spec = NetSpec(fusion=fusion, width=4, features=6, baseline=removal is Learned)
    recipe = replace(SGD, epochs=2, batch_size=batch_size, modality_dropout=0.4)
    stacked, looped = (trained(spec, data, recipe, mode=mode, dropout_removal=operator) for mode in MODES)
    assert_same(stacked, looped)
    alone = trained(spec, data, recipe, seeds=[2], mode="stacked", dropout_removal=operator)
    assert_same(stacked, alone, rows=slice(2, 3))
    if removal is Learned:
        assert stacked.replicas.parameters["baseline_0"].abs().max() > 0


@pytest.mark.parametrize("mode", MODES)
def test_a_run_replays_to_the_last_bit_and_leaves_what_it_was_given(mode):
    data, spec = toy(), SPECS["lenet"]
    replicas = Replicas.build(spec, data, seeds=[0, 1], device="cpu")
    before = {name: value.clone() for name, value in replicas.parameters.items()}
    torch.manual_seed(1)
    one = fit(replicas, data, plain, SGD, mode=mode, progress=False)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    two = fit(replicas, data, plain, SGD, mode=mode, progress=False)
    assert torch.equal(torch.get_rng_state(), state)
    assert_same(one, two, atol=0)
    assert one.history.equals(two.history)
    assert all(torch.equal(replicas.parameters[name], value) for name, value in before.items())


class Drawing(nn.Module):
    """Draws random numbers in training without a module that would tell."""

    def __init__(self):
        super().__init__()
        self.hidden, self.out = nn.Linear(6, 8), nn.Linear(8, 4)

    def forward(self, x):
        hidden = self.hidden(x["speech"]).relu()
        return self.out(nn.functional.dropout(hidden, 0.5, self.training))


class Dropping(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 4)
        )

    def forward(self, x):
        return self.body(x["speech"])


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (Drawing, r"mode = 'stacked': .* random .* Use mode='looped'"),
        (Dropping, r"mode = 'stacked'.*body\.1"),
    ],
)
def test_who_cannot_be_stacked_is_looped_replays_and_is_refused_stacked(module, said):
    data, replicas = toy(), Replicas.of([module(), module()], seeds=[3, 4], device="cpu")
    one, two = (fit(replicas, data, plain, SGD, progress=False) for _ in range(2))
    assert_same(one, two, atol=0)
    alone = fit(replicas[1], data, plain, SGD, progress=False)
    assert_same(one, alone, rows=slice(1, 2), atol=0)
    assert torch.equal(one.replicas.predict(data), one.replicas.predict(data))  # evaluation draws nothing
    if module is Dropping:
        assert one.replicas.buffers["module.body.1.running_mean"].any()
    with pytest.raises(LabError, match=said):
        fit(replicas, data, plain, SGD, mode="stacked", progress=False)
