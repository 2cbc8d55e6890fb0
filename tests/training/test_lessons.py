"""Training with more than logits: reductions, stacked equals looped, independence, leaks and bad input."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from mmkd_lab.distill.hints import Hints
from mmkd_lab.distill.msd import Msd, msd_views
from mmkd_lab.distill.teacher_views import TeacherViews
from torch import nn

from mmkd_lab.data.meta import set_aside
from mmkd_lab.data.task import Task
from mmkd_lab.distill.distillation import Distillation
from mmkd_lab.distill.losses.hints import Hints
from mmkd_lab.distill.method import HEAD
from mmkd_lab.distill.teacher_outputs import TeacherOutputs
from mmkd_lab.distill.views import msd_views
from mmkd_lab.distill.weights import Weighting, weigh
from mmkd_lab.models import (
    AttentionMask,
    Learned,
    ModelAdapter,
    NetSpec,
    Permutation,
    Zeros,
    removal_named,
)
from mmkd_lab.training import Replicas, fit
from mmkd_lab.training.teach import teacher_outputs
from tests.distill.pairs import pairs
from tests.training.lesson_toy import (
    CONV,
    LEARNED,
    MLP,
    RECIPE,
    assert_alike,
    halves,
    loss_of,
    students,
    taught,
    trained,
)


@pytest.mark.parametrize("mode", ["stacked", "looped"])
@pytest.mark.parametrize("ce", [0.5, 1.0], ids=["kd", "ce"])
def test_without_c_it_trains_as_plain_kd_and_without_b_as_ce(mode, ce):
    data = pairs()
    teacher = taught(data)
    loss = loss_of(data, c=0.0, ce=ce, kd=1 - ce)
    plain = trained(data, Distillation(loss.terms[:2]), teacher.only(), mode=mode)
    assert_alike(trained(data, loss, teacher, mode=mode), plain, atol=2e-6)


CASES = {
    "mlp": (MLP, {}, Zeros()),
    "conv": (CONV, {"image": True}, Zeros()),
    "three": (MLP, {"modalities": 3}, Zeros()),
    "multi-label": (MLP, {"task": Task.MULTI_LABEL}, Zeros()),
    "attention": (NetSpec("mlp", width=2, features=4, fusion="attention"), {}, AttentionMask()),
    "stand-in": (NetSpec("mlp", width=2, features=4, baseline=True), {}, Learned()),
    "mean": (MLP, {}, "mean"),
    "permutation": (MLP, {}, Permutation()),
    "one stream": (
        NetSpec("auto", features=4, depth=1, heads=2, fusion="single_stream"),
        {"image": True},
        AttentionMask(),
    ),
}


@pytest.mark.parametrize("learned", LEARNED)
@pytest.mark.parametrize("name", CASES)
def test_stacked_is_looped(name, learned):
    spec, given, removal = CASES[name]
    data = pairs(**given)
    removal = removal_named("mean", data) if removal == "mean" else removal
    teacher = replace(taught(data), removal=removal.name)
    loss = loss_of(data, c=torch.tensor([0.5, 1.0, 0.0]), removal=removal, learned=LEARNED[learned])
    stacked, looped = (trained(data, loss, teacher, spec=spec, mode=mode) for mode in ("stacked", "looped"))
    assert_alike(stacked, looped)
    if learned != "none":
        keys = ["replica", "seed", "step", "view"]
        one, two = (f.weights.set_index(keys)["value"].sort_index() for f in (stacked, looped))
        assert one.index.equals(two.index)
        assert float((one - two).abs().max()) < 1e-4
        means = stacked.weights.groupby(["replica", "step"])["value"].mean()
        assert float((means - 1).abs().max()) < 1e-5
        assert sorted(stacked.weights["step"].unique()) == [0, 2, 4, 6]
        assert_by_sample(stacked, looped, data)
    else:
        assert stacked.weights_by_sample is looped.weights_by_sample is None


def assert_by_sample(stacked, looped, data):
    """A weight for every replica, view and training sample; alike in both modes, their mean over views 1."""
    found = stacked.weights_by_sample
    assert found.shape == (3, len(msd_views(data.modalities)), len(data.positions("train")))
    torch.testing.assert_close(found.mean(1), torch.ones_like(found[:, 0]))
    torch.testing.assert_close(found, looped.weights_by_sample, atol=1e-4, rtol=0)


@pytest.mark.parametrize("mode", ["stacked", "looped"])
@pytest.mark.parametrize("learned", ["global", "instance"])
def test_the_weights_of_all_samples_are_those_of_the_last_step(mode, learned):
    """All samples are one batch, in the split's order, and its weights are looked at in every step."""
    data = pairs()
    whole = replace(RECIPE, batch_size=None, steps=5)
    how = replace(LEARNED[learned], every=1)
    found = trained(data, loss_of(data, learned=how), taught(data), mode=mode, recipe=whole)
    last = found.weights.query("step == 4").pivot(index="replica", columns="view", values="value")
    means = found.weights_by_sample.mean(-1)
    torch.testing.assert_close(means, torch.tensor(last.to_numpy(), dtype=torch.float32))
    spread = found.weights_by_sample.std(-1)
    assert (float(spread.min()) > 1e-4) == (learned == "instance")
    assert float((means - 1).abs().max()) > 1e-3
    turned = replace(data, splits={**data.splits, "train": data.splits["train"].flip(0)})
    other = trained(turned, loss_of(data, learned=how), taught(data), mode=mode, recipe=whole)
    torch.testing.assert_close(other.weights_by_sample.flip(-1), found.weights_by_sample, atol=1e-4, rtol=0)


@pytest.mark.parametrize("learned", ["global", "instance"])
def test_weights_of_a_stopped_replica_stay_as_they_were(learned):
    data = pairs()
    recipe = replace(RECIPE, steps=None, epochs=12, patience=1, lr=0.05)
    loss = loss_of(data, learned=LEARNED[learned])
    stacked, looped = (
        trained(data, loss, taught(data), mode=mode, recipe=recipe) for mode in ("stacked", "looped")
    )
    ends = stacked.history.groupby("replica")["epoch"].max()
    assert ends.nunique() > 1
    torch.testing.assert_close(stacked.weights_by_sample, looped.weights_by_sample, atol=1e-4, rtol=0)


@pytest.mark.parametrize("learned", LEARNED)
@pytest.mark.parametrize("removal", [Zeros(), Permutation(seed=4)], ids=["zeros", "permutation"])
@pytest.mark.parametrize("mode", ["stacked", "looped"])
def test_a_replica_depends_on_nobody_beside_it_and_repeats(mode, removal, learned):
    data = pairs()
    teacher = replace(taught(data, weighting=Weighting("normalised")), removal=removal.name)
    loss = loss_of(data, removal=removal, learned=LEARNED[learned])
    together = trained(data, loss, teacher, mode=mode)
    again = trained(data, loss, teacher, mode=mode)
    for name, value in together.replicas.parameters.items():
        assert torch.equal(value, again.replicas.parameters[name])
    alone = trained(data, loss, teacher[2], mode=mode, seeds=(2,))
    assert_alike(together, alone, rows=slice(2, 3))


def test_the_same_teacher_for_all_is_each_its_own_copy():
    data = pairs()
    one = taught(data, replicas=1)
    loss = loss_of(data)
    assert_alike(trained(data, loss, one), trained(data, loss, TeacherOutputs.stack([one, one, one])))


@pytest.mark.parametrize("learned", LEARNED)
def test_every_replica_its_own_data(learned):
    sets = [pairs(seed=seed) for seed in range(3)]
    sets = [replace(one, index=sets[0].sample_index) for one in sets]
    spec, teacher = replace(MLP, standardise=False), taught(sets[0])
    loss = loss_of(sets[0], learned=LEARNED[learned])
    stacked, looped = (trained(sets, loss, teacher, spec=spec, mode=mode) for mode in ("stacked", "looped"))
    assert_alike(stacked, looped)
    own = trained(sets[1], loss, teacher[1], spec=spec, seeds=(1,))
    assert_alike(stacked, own, rows=slice(1, 2))
    if learned != "none":
        assert_by_sample(stacked, looped, sets[0])
        torch.testing.assert_close(stacked.weights_by_sample[1:2], own.weights_by_sample, atol=1e-4, rtol=0)


@pytest.mark.parametrize("learned", LEARNED)
@pytest.mark.parametrize("mode", ["stacked", "looped"])
def test_the_whole_split_as_one_batch(mode, learned):
    """All in one batch is all in one batch, drawn or not: only the order of the samples differs."""
    data = pairs()
    teacher, loss = taught(data), loss_of(data, learned=LEARNED[learned])
    whole = replace(RECIPE, batch_size=None, steps=3)
    one = trained(data, loss, teacher, mode=mode, recipe=whole)
    two = trained(data, loss, teacher, mode=mode, recipe=replace(whole, batch_size=24))
    other = trained(data, loss, teacher, mode="looped" if mode == "stacked" else "stacked", recipe=whole)
    assert_alike(one, two)
    assert_alike(one, other)


@pytest.mark.parametrize(
    "removal", [Zeros(), AttentionMask(), Learned()], ids=["zeros", "attention", "learned"]
)
def test_modality_dropout_beside_msd(removal):
    data = pairs()
    spec = NetSpec("mlp", width=2, features=4, fusion="attention", baseline=True)
    recipe = replace(RECIPE, modality_dropout=0.4)
    for learned in LEARNED.values():
        teacher = replace(taught(data), removal=removal.name)
        loss = loss_of(data, removal=removal, learned=learned)
        both = [
            trained(data, loss, teacher, spec=spec, mode=mode, recipe=recipe, dropout_removal=removal)
            for mode in ("stacked", "looped")
        ]
        assert_alike(*both)
        whole = replace(recipe, batch_size=None, steps=2)
        trained(data, loss, teacher, spec=spec, recipe=whole, dropout_removal=removal)


@pytest.mark.parametrize("learned", LEARNED)
@pytest.mark.parametrize("mode", ["stacked", "looped"])
def test_half_precision_stays_near_single(mode, learned):
    data = pairs()
    teacher, loss = taught(data), loss_of(data, learned=LEARNED[learned])
    single = trained(data, loss, teacher, mode=mode)
    half = trained(data, loss, teacher, mode=mode, recipe=replace(RECIPE, precision="bf16-mixed"))
    assert_alike(half, single, atol=0.05)


def test_a_methods_own_parameters_are_trained_and_clipped_alike():
    data = pairs()
    teachers = students(data, NetSpec("mlp", width=4, features=6))
    teacher = teacher_outputs(teachers, data, views=msd_views(data.modalities), layers=[HEAD])
    recipe = replace(RECIPE, clip=0.05)
    for learned in LEARNED.values():
        loss = Distillation((*loss_of(data, learned=learned).terms, (3.0, Hints())), Zeros())
        fits = [trained(data, loss, teacher, mode=mode, recipe=recipe) for mode in ("stacked", "looped")]
        assert_alike(*fits)
        history = fits[0].history
        found = history[(history["metric"] == "hints") & (history["replica"] == 0)]["value"].tolist()
        assert found[-1] < found[0]
        assert set(fits[0].replicas.parameters) == set(students(data).parameters)


@pytest.mark.parametrize("learned", LEARNED)
def test_frozen_parameters_stay(learned):
    data = pairs()
    teacher = replace(taught(data), features={HEAD: torch.randn(3, len(data), 4)})
    loss = Distillation((*loss_of(data, learned=LEARNED[learned]).terms, (1.0, Hints())), Zeros())
    replicas = Replicas.of(halves(), device="cpu")
    fits = [
        fit(replicas, data, loss, RECIPE, teacher=teacher, mode=mode, progress=False)
        for mode in ("stacked", "looped")
    ]
    assert_alike(*fits)
    for one in fits:
        assert torch.equal(
            one.replicas.parameters["module.one.weight"], replicas.parameters["module.one.weight"]
        )
        assert not torch.equal(
            one.replicas.parameters["module.two.weight"], replicas.parameters["module.two.weight"]
        )


@pytest.mark.parametrize("learned", LEARNED)
def test_val_and_test_play_no_part(learned):
    """Nothing of them reaches the training, except that val selects, which is switched off here."""
    data = pairs()
    data = set_aside(replace(data, splits={k: v for k, v in data.splits.items() if k != "meta"}), share=0.3)
    rest = torch.cat([data.positions("val"), data.positions("test")])
    x = {m: values.clone() for m, values in data.modalities.items()}
    for values in x.values():
        values[rest] = values[rest].flip(-1) - 3.0
    target = data.target.clone()
    target[rest] = (target[rest] + 1) % 3
    spoilt = replace(data, modalities=x, target=target)
    teachers = students(data)
    found = []
    for one in (data, spoilt):
        teacher = teacher_outputs(teachers, one, views=msd_views(one.modalities), removal="permutation")
        teacher = weigh(teacher, msd_views(one.modalities), Weighting("tanh", delta="loss"), data=one)
        loss = loss_of(one, removal=Permutation(), learned=LEARNED[learned])
        found.append(trained(one, loss, teacher))
    for name, value in found[0].replicas.parameters.items():
        assert torch.equal(value, found[1].replicas.parameters[name])


def test_learned_weights_read_the_meta_split_and_fixed_ones_do_not():
    data = pairs()
    target = data.target.clone()
    meta = data.positions("meta")
    target[meta] = (target[meta] + 1) % 3
    teacher = taught(data)
    for learned, same in (("none", True), ("global", False), ("instance", False)):
        one, two = (
            trained(d, loss_of(data, learned=LEARNED[learned]), teacher)
            for d in (data, replace(data, target=target))
        )
        equal = all(torch.equal(v, two.replicas.parameters[n]) for n, v in one.replicas.parameters.items())
        assert equal is same


def test_dense_targets():
    data = pairs(task=Task.DENSE)

    class Grid(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.Conv2d(2, 2, 4, stride=4)

        def forward(self, x):
            return self.last(torch.cat([x["a"], x["b"]], dim=1))

    with torch.random.fork_rng():
        torch.manual_seed(0)
        replicas = Replicas.of([ModelAdapter(Grid(), modalities=("a", "b")) for _ in range(3)], device="cpu")
    teacher = taught(data, weighting=Weighting("normalised"))
    for distance in ("kl", "mse", "dist"):
        loss = loss_of(data, distance=distance)
        fits = [
            fit(replicas, data, loss, RECIPE, teacher=teacher, mode=mode, progress=False)
            for mode in ("stacked", "looped")
        ]
        assert_alike(*fits)


def test_every_term_is_in_the_history_by_name():
    data = pairs()
    history = trained(data, loss_of(data), taught(data)).history
    names = set(history[history["split"] == "train"]["metric"])
    assert names == {"ce", "kd", "msd", "msd/a", "msd/b", "loss"}
