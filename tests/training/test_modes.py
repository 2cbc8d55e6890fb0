"""Stacked, looped and alone give the same networks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from mmkd_lab.core.check import LabError
from mmkd_lab.distill import Objective, TeacherCache
from mmkd_lab.models import AttentionMask, Learned, Mean, NetSpec, Zeros
from mmkd_lab.training import Recipe, Replicas, evaluate, fit
from tests.training.test_replicas import SPECS
from tests.training.toy import plain, toy, worlds

# SGD for the long runs: Adam divides by the size of the gradient, so that an entry whose gradient is rounding
# noise moves a full step in a random direction, and with it the last digits of everything else.
SGD = Recipe(epochs=4, batch_size=16, optimiser="sgd", lr=0.05, schedule="cosine", warmup=0.1)
ADAM = Recipe(steps=3, batch_size=16, optimiser="adam", lr=1e-3, select="last")


def trained(spec, data, recipe, *, seeds=(0, 1, 2), objective=plain, mode, **more):
    replicas = Replicas.build(
        spec, data if not isinstance(data, list) else data[0], seeds=seeds, device="cpu"
    )
    return fit(replicas, data, objective, recipe, mode=mode, progress=False, **more)


def assert_same(one, two, *, data, atol=1e-5):
    for name, value in one.replicas.parameters.items():
        torch.testing.assert_close(two.replicas.parameters[name], value, atol=atol, rtol=0)
    first, second = (fitted.replicas.predict(data, split="test") for fitted in (one, two))
    torch.testing.assert_close(first, second, atol=atol, rtol=1e-5)
    assert np.array_equal(one.best_epoch, two.best_epoch)


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("clip", [None, 0.5])
def test_stacked_is_looped_is_alone(name, clip):
    data = toy()
    from dataclasses import replace

    recipe = replace(SGD, clip=clip)
    stacked = trained(SPECS[name], data, recipe, mode="stacked")
    looped = trained(SPECS[name], data, recipe, mode="looped")
    assert_same(stacked, looped, data=data)
    for r, seed in enumerate((0, 1, 2)):
        for mode in ("stacked", "looped"):
            alone = trained(SPECS[name], data, recipe, seeds=[seed], mode=mode)
            for parameter, value in alone.replicas.parameters.items():
                torch.testing.assert_close(
                    stacked.replicas.parameters[parameter][r], value[0], atol=1e-5, rtol=0
                )
    moved = Replicas.build(SPECS[name], data, seeds=[0, 1, 2], device="cpu").parameters["head.weight"]
    assert not torch.allclose(stacked.replicas.parameters["head.weight"], moved)


@pytest.mark.parametrize("name", ["linear", "mlp", "lenet"])
def test_adam_agrees_too(name):
    data = toy()
    assert_same(*(trained(SPECS[name], data, ADAM, mode=mode) for mode in ("stacked", "looped")), data=data)


@pytest.mark.parametrize("mode", ["stacked", "looped"])
def test_histories_agree_and_are_tidy(mode):
    data = toy()
    fitted = trained(SPECS["mlp"], data, SGD, mode=mode, objective=Objective())
    history = fitted.history
    assert list(history.columns) == ["replica", "seed", "epoch", "split", "metric", "value"]
    assert set(history.loc[history["split"] == "train", "metric"]) == {"ce", "kd", "loss"}
    assert set(history.loc[history["split"] == "val", "metric"]) == {"accuracy", "nll"}
    assert len(history) == 3 * 4 * 5
    assert not history.duplicated(["replica", "epoch", "split", "metric"]).any()
    other = trained(SPECS["mlp"], data, SGD, mode="stacked", objective=Objective()).history
    columns = ["replica", "seed", "epoch", "split", "metric"]
    both = history.merge(other, on=columns, validate="1:1")
    np.testing.assert_allclose(both["value_x"], both["value_y"], atol=1e-4)
    assert len(both) == len(history)


def test_the_same_seed_twice_is_the_same_network_under_paired_objectives():
    data = toy()
    fitted = trained(SPECS["mlp"], data, SGD, seeds=[3, 3, 4], mode="stacked")
    for value in fitted.replicas.parameters.values():
        torch.testing.assert_close(value[0], value[1], atol=1e-6, rtol=0)


def teachers(data, count):
    logits = torch.randn(count, len(data), 4, generator=torch.Generator().manual_seed(7)) * 3
    return TeacherCache(data.sample_index, logits)


@pytest.mark.parametrize("name", ["mlp", "lenet"])
def test_arms_with_weights_and_teachers_of_their_own_stack(name):
    data = toy()
    objective = Objective(ce=torch.tensor([1.0, 0.5, 0.0]), kd=torch.tensor([0.0, 0.5, 1.0]), temperature=2.0)
    cache = teachers(data, 3)
    runs = [
        trained(SPECS[name], data, SGD, seeds=[2, 2, 2], mode=mode, objective=objective, teacher=cache)
        for mode in ("stacked", "looped")
    ]
    assert_same(*runs, data=data)
    third = trained(
        SPECS[name], data, SGD, seeds=[2], mode="looped", objective=objective[2], teacher=cache[2]
    )
    for parameter, value in third.replicas.parameters.items():
        torch.testing.assert_close(runs[0].replicas.parameters[parameter][2], value[0], atol=1e-5, rtol=0)
        assert parameter.endswith(("scale", "shift")) or not torch.allclose(
            runs[0].replicas.parameters[parameter][0], runs[0].replicas.parameters[parameter][2]
        )


def test_one_teacher_serves_all_replicas():
    data = toy()
    objective, one = Objective(ce=0.5, kd=0.5), teachers(data, 1)
    three = TeacherCache.stack([one, one, one])
    for mode in ("stacked", "looped"):
        shared = trained(SPECS["mlp"], data, SGD, mode=mode, objective=objective, teacher=one)
        each = trained(SPECS["mlp"], data, SGD, mode=mode, objective=objective, teacher=three)
        assert_same(shared, each, data=data, atol=1e-6)


def test_one_teacher_serves_replicas_with_data_of_their_own():
    sets = worlds(3)
    logits = torch.randn(1, len(sets[0]), 4, generator=torch.Generator().manual_seed(7))
    teacher, spec = TeacherCache(sets[0].sample_index, logits), NetSpec("linear", standardise=False)
    objective = Objective(ce=0.5, kd=0.5)
    runs = {
        mode: trained(spec, sets, SGD, mode=mode, objective=objective, teacher=teacher)
        for mode in ("stacked", "looped")
    }
    for r, data in enumerate(sets):
        alone = trained(spec, data, SGD, seeds=[r], objective=objective, teacher=teacher, mode="looped")
        for fitted in runs.values():
            torch.testing.assert_close(
                fitted.replicas.parameters["head.weight"][r],
                alone.replicas.parameters["head.weight"][0],
                atol=1e-6,
                rtol=0,
            )


def test_the_teacher_is_paired_by_sample_index():
    data = toy()
    cache = teachers(data, 1)
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))
    shuffled = TeacherCache(cache.index[order], cache.logits[:, order])
    runs = [
        trained(SPECS["linear"], data, SGD, mode="stacked", objective=Objective(ce=0.0, kd=1.0), teacher=one)
        for one in (cache, shuffled)
    ]
    assert_same(*runs, data=data, atol=0)


@pytest.mark.parametrize("batch_size", [None, 8])
def test_replicas_may_have_data_of_their_own(batch_size):
    sets = worlds(3)
    recipe = Recipe(epochs=5, batch_size=batch_size, optimiser="sgd", lr=0.1)
    spec = NetSpec("linear", standardise=False)
    stacked = trained(spec, sets, recipe, mode="stacked")
    looped = trained(spec, sets, recipe, mode="looped")
    for r, data in enumerate(sets):
        alone = trained(spec, data, recipe, seeds=[r], mode="looped")
        for name, value in alone.replicas.parameters.items():
            torch.testing.assert_close(stacked.replicas.parameters[name][r], value[0], atol=1e-6, rtol=0)
            torch.testing.assert_close(looped.replicas.parameters[name][r], value[0], atol=1e-6, rtol=0)
    found = evaluate(stacked.replicas, sets, split="test")
    for r, data in enumerate(sets):
        assert found["nll"][r] == pytest.approx(evaluate(stacked.replicas[r], data, split="test")["nll"][0])


def test_a_full_batch_is_one_batch_of_everything():
    data = toy()
    recipes = [
        Recipe(epochs=5, batch_size=size, optimiser="sgd", lr=0.1, select="last") for size in (None, 50, 500)
    ]
    first, *others = (trained(SPECS["linear"], data, recipe, mode="stacked") for recipe in recipes)
    for other in others:
        assert_same(first, other, data=data)


@pytest.mark.parametrize(
    ("fusion", "removal"), [("late", Zeros), ("late", Mean), ("attention", AttentionMask), ("late", Learned)]
)
@pytest.mark.parametrize("batch_size", [None, 16])
def test_modality_dropout_is_drawn_per_replica(fusion, removal, batch_size):
    data = toy()
    operator = Mean.of(data) if removal is Mean else removal()
    spec = NetSpec(fusion=fusion, width=4, features=6, baseline=removal is Learned)
    recipe = Recipe(epochs=2, batch_size=batch_size, optimiser="sgd", lr=0.05, modality_dropout=0.4)
    runs = {
        mode: trained(spec, data, recipe, mode=mode, dropout_removal=operator)
        for mode in ("stacked", "looped")
    }
    assert_same(runs["stacked"], runs["looped"], data=data)
    alone = trained(spec, data, recipe, seeds=[2], mode="stacked", dropout_removal=operator)
    for name, value in alone.replicas.parameters.items():
        torch.testing.assert_close(runs["stacked"].replicas.parameters[name][2], value[0], atol=1e-5, rtol=0)
    if removal is Learned:
        assert runs["stacked"].replicas.parameters["baseline_0"].abs().max() > 0


def test_the_replicas_given_are_left_as_they_are():
    data = toy()
    for mode in ("stacked", "looped"):
        replicas = Replicas.build(SPECS["lenet"], data, seeds=[0, 1], device="cpu")
        before = {name: value.clone() for name, value in replicas.parameters.items()}
        fit(replicas, data, plain, SGD, mode=mode, progress=False)
        assert all(torch.equal(replicas.parameters[name], value) for name, value in before.items())


@pytest.mark.parametrize("mode", ["stacked", "looped"])
def test_a_run_replays_to_the_last_bit(mode):
    data = toy()
    torch.manual_seed(1)
    one = trained(SPECS["lenet"], data, SGD, mode=mode)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    two = trained(SPECS["lenet"], data, SGD, mode=mode)
    assert torch.equal(torch.get_rng_state(), before)
    assert_same(one, two, data=data, atol=0)
    assert one.history.equals(two.history)


class Drawing(nn.Module):
    """Draws random numbers in training without a module that would tell."""

    def __init__(self):
        super().__init__()
        self.hidden, self.out = nn.Linear(6, 8), nn.Linear(8, 4)

    def forward(self, x):
        hidden = self.hidden(x["speech"]).relu()
        return self.out(nn.functional.dropout(hidden, 0.5, self.training))


def test_a_network_that_draws_by_itself_replays_looped_and_is_refused_stacked():
    data, replicas = toy(), Replicas.of([Drawing(), Drawing()], device="cpu")
    runs = [fit(replicas, data, plain, SGD, mode="looped", progress=False) for _ in range(2)]
    assert_same(*runs, data=data, atol=0)
    replicas.predict(data)  # leaves the network in evaluation mode, which must not hide the refusal
    with pytest.raises(LabError, match=r"mode = 'stacked': .* random .* Use mode='looped'"):
        fit(replicas, data, plain, SGD, mode="stacked", progress=False)


@pytest.mark.parametrize("mode", ["stacked", "looped"])
def test_a_frozen_parameter_stays_frozen(mode):
    data, nets = (
        toy(),
        [nn.Sequential(Speech(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4)) for _ in range(2)],
    )
    for net in nets:
        net[1].requires_grad_(False)
    before = Replicas.of(nets, device="cpu")
    after = fit(before, data, plain, SGD, mode=mode, progress=False).replicas
    for name, value in before.parameters.items():
        assert torch.equal(after.parameters[name], value) == name.startswith("module.1.")


class Speech(nn.Module):
    def forward(self, x):
        return x["speech"]


def test_compiled_is_looped(monkeypatch):
    data = toy()
    compile_with = torch.compile
    # Everything of the compiled path but the code generator, which needs a C++ compiler and half a minute.
    monkeypatch.setattr(torch, "compile", lambda net: compile_with(net, backend="eager"))
    compiled = trained(SPECS["mlp"], data, SGD, seeds=[0, 1], mode="compiled")
    assert compiled.mode == "compiled"
    assert_same(compiled, trained(SPECS["mlp"], data, SGD, seeds=[0, 1], mode="looped"), data=data)
