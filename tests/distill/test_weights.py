"""Saliency by hand; weighting schemes: mean 1, controls that keep the distribution, no other split."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from math import log

import pytest
import torch

from mmkd_lab.data.task import Task
from mmkd_lab.distill.method import CLASSES
from mmkd_lab.distill.saliency import CREDITS, DELTAS, difference, needed_views, saliency
from mmkd_lab.distill.teacher_outputs import TeacherOutputs
from mmkd_lab.distill.views import msd_views
from mmkd_lab.distill.weights import Weighting, effective_sample_size, weigh
from mmkd_lab.models import View, all_views
from tests.distill.pairs import certain, pairs, said

#: KL of (0.9, 0.1) from (0.5, 0.5).
K = log(2) + 0.9 * log(0.9) + 0.1 * log(0.1)
REDUNDANT = {(): 0.5, ("v",): 0.9, ("t",): 0.9}
SYNERGY = {(): 0.5, ("v",): 0.5, ("t",): 0.5}
UNIQUE = {(): 0.5, ("v",): 0.5, ("t",): 0.9}
SCHEMES = [
    Weighting(),
    Weighting("fixed", fixed={"a": 3.0, "b": 1.0}),
    Weighting("population"),
    Weighting("normalised"),
    Weighting("softmax", kappa=0.3),
    Weighting("tanh"),
    Weighting("normalised", delta="loss", credit="shapley"),
    Weighting("tanh", delta="correctness"),
]
IDS = ["uniform", "fixed", "population", "normalised", "softmax", "tanh", "shapley-loss", "correctness"]


def teacher_of(data, *, scale=1.0):
    views = {*msd_views(data.modalities), *needed_views(data.modalities, credit="shapley")}
    return said(data, sorted(views, key=lambda view: view.label), scale=scale)


def training(data, teacher):
    return torch.isin(teacher.index, data.sample_index[data.positions("train")])


def stacked(teacher):
    return torch.stack(list(teacher.weights.values()))


@pytest.mark.parametrize("task", CLASSES, ids=[task.name for task in CLASSES])
@pytest.mark.parametrize("weighting", SCHEMES, ids=IDS)
def test_the_mean_weight_over_views_and_training_samples_is_one(weighting, task):
    data = pairs(task=task)
    teacher = teacher_of(data)
    for control in ("none", "shuffled", "wrong"):
        found = weigh(teacher, msd_views(data.modalities), replace(weighting, control=control), data=data)
        weights = stacked(found)[..., training(data, teacher)]
        assert bool((weights >= 0).all())
        torch.testing.assert_close(weights.mean((0, 2)), torch.ones(2))


def test_each_scheme_is_its_formula():
    data = pairs()
    teacher, views = teacher_of(data), msd_views(data.modalities)
    s = torch.stack(list(saliency(teacher, data.modalities).values()))
    train = training(data, teacher)
    mean = s[..., train].mean(-1, keepdim=True)
    expected = {
        "population": (2 * mean / mean.sum(0)).expand_as(s),
        "normalised": 2 * s / s.sum(0),
        "softmax": 2 * s.softmax(0),
        "tanh": s.tanh() / s.tanh()[..., train].mean((0, 2), keepdim=True),
    }
    for scheme, want in expected.items():
        torch.testing.assert_close(stacked(weigh(teacher, views, Weighting(scheme), data=data)), want)
    fixed = weigh(teacher, views, Weighting("fixed", fixed={"a": 3.0, "b": 1.0}), data=data)
    assert [float(w.unique()) for w in fixed.weights.values()] == [1.5, 0.5]


@pytest.mark.parametrize(("scheme", "delta"), [("population", "kl"), ("normalised", "js"), ("tanh", "tv")])
def test_a_modality_that_the_teacher_ignores_has_weight_zero(scheme, delta):
    """It ignores a: its a-only output is what it says to nothing, and the weight of that term is 0."""
    data = pairs()
    b, nothing = torch.randn(1, len(data), 3, generator=torch.Generator().manual_seed(1)), torch.zeros(3)
    views = {View.only("b"): b, View.only("a"): nothing.expand(b.shape)}
    teacher = TeacherOutputs(data.sample_index, b, views=views)
    known = saliency(teacher, data.modalities, delta=delta)
    assert float(known["a"].abs().max()) < 1e-6
    assert float(known["b"].min()) > 0
    found = weigh(teacher, msd_views(data.modalities), Weighting(scheme, delta=delta), data=data)
    assert float(found.weights[View.only("a")].max()) < 1e-4
    assert float(found.weights[View.only("b")].mean()) > 1.5


def test_population_weights_are_of_the_signed_mean():
    """Without a as many answers are mended as are broken; without b a quarter of them are broken."""
    data = pairs()
    train, names = data.positions("train"), torch.arange(24)
    right = 3.0 * torch.eye(3)[data.target][None]
    wrong = right.roll(1, dims=-1)

    def said(where):
        logits = right.clone()
        logits[:, train[where]] = wrong[:, train[where]]
        return logits

    full, lacks_a, lacks_b = names < 6, (names >= 6) & (names < 12), names < 12
    views = {View.only("b"): said(lacks_a), View.only("a"): said(lacks_b)}
    teacher = TeacherOutputs(data.sample_index, said(full), views=views)
    signed = saliency(teacher, data.modalities, delta="correctness", data=data)
    means = {m: float(s[0, training(data, teacher)].mean()) for m, s in signed.items()}
    assert means == {"a": 0.0, "b": 0.25}
    found = weigh(teacher, msd_views("ab"), Weighting("population", delta="correctness"), data=data)
    assert float(found.weights[View.only("a")].unique()) == 0.0
    assert float(found.weights[View.only("b")].unique()) == 2.0


@pytest.mark.parametrize("weighting", SCHEMES, ids=IDS)
@pytest.mark.parametrize("control", ["none", "shuffled", "wrong"])
def test_no_other_split_takes_part(weighting, control):
    """Other outputs and labels for meta, val and test samples leave the training samples' weights alone."""
    data = pairs()
    teacher, views = teacher_of(data), msd_views(data.modalities)
    train = training(data, teacher)

    def spoilt(values):
        return torch.where(train[:, None], values, -7.0 * values.flip(-1))

    views_ = {view: spoilt(values) for view, values in teacher.views.items()}
    other = TeacherOutputs(teacher.index, spoilt(teacher.logits), views=views_)
    target = data.target.clone()
    rest = torch.cat([data.positions(s) for s in ("meta", "val", "test")])
    target[rest] = (target[rest] + 1) % 3
    used = replace(weighting, control=control)
    one = stacked(weigh(teacher, views, used, data=data))
    two = stacked(weigh(other, views, used, data=replace(data, target=target)))
    assert torch.equal(one[..., train], two[..., train])


def test_controls_keep_the_distribution_and_break_the_meaning():
    data = pairs()
    teacher, views = teacher_of(data), msd_views(data.modalities)
    train = training(data, teacher)
    right = stacked(weigh(teacher, views, Weighting("normalised"), data=data))
    mixed = stacked(weigh(teacher, views, Weighting("normalised", control="shuffled"), data=data))
    assert not torch.equal(mixed, right)
    assert torch.equal(mixed[..., train].sort(-1).values, right[..., train].sort(-1).values)
    torch.testing.assert_close(mixed.sum(0), torch.full_like(mixed[0], 2.0))
    assert torch.equal(mixed[..., ~train], right[..., ~train])
    other = weigh(teacher, views, Weighting("normalised", control="shuffled"), data=data, seed=1)
    assert not torch.equal(stacked(other), mixed)
    wrong = stacked(weigh(teacher, views, Weighting("normalised", control="wrong"), data=data))
    assert torch.equal(wrong, right.flip(0))


def test_a_gate_lowers_the_weights_of_its_teacher_alone():
    data = pairs()
    teacher, views = teacher_of(data), msd_views(data.modalities)
    gate = {views[0]: torch.tensor([0.25, 1.0]), views[1]: torch.tensor([0.0, 1.0])}
    gate[View.only()] = torch.tensor([0.5, 0.5])  # only saliency reads it
    found = weigh(teacher, views, Weighting(), data=data, gate=gate)
    assert [float(w[0].unique()) for w in found.weights.values()] == [0.25, 0.0]
    assert [float(w[1].unique()) for w in found.weights.values()] == [1.0, 1.0]
    shut = weigh(teacher, views, Weighting(), data=data, gate={view: torch.zeros(2) for view in views})
    assert float(stacked(shut).sum()) == 0


def test_effective_sample_size():
    assert float(effective_sample_size(torch.ones(10))) == 1.0
    assert float(effective_sample_size(torch.tensor([1.0, 0.0, 0.0, 0.0]))) == 0.25
    assert float(effective_sample_size(torch.tensor([2.0, 1.0]))) == pytest.approx(0.9)
    assert effective_sample_size(torch.tensor([[1.0, 1.0], [0.0, 0.0]])).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("scheme", ["population", "normalised", "tanh"])
def test_without_any_saliency_weights_are_equal(scheme):
    data = pairs()
    same = torch.randn(1, len(data), 3, generator=torch.Generator().manual_seed(0))
    teacher = TeacherOutputs(data.sample_index, same, views={View.only(m): same for m in "ab"})
    found = weigh(teacher, msd_views(data.modalities), Weighting(scheme), data=data)
    assert torch.equal(stacked(found), torch.ones(2, 1, len(data)))


def of(others, credit):
    found = saliency(certain(0.9, others=others), ["v", "t"], credit=credit)
    return pytest.approx((float(found["v"]), float(found["t"])), abs=1e-6)


def test_drop_is_blind_to_redundancy_only_to_synergy_and_shapley_to_neither():
    assert of(REDUNDANT, "drop") == (0, 0)
    assert of(REDUNDANT, "only") == (K, K)
    assert of(REDUNDANT, "shapley") == (K / 2, K / 2)
    assert of(SYNERGY, "drop") == (K, K)
    assert of(SYNERGY, "only") == (0, 0)
    assert of(SYNERGY, "shapley") == (K / 2, K / 2)


@pytest.mark.parametrize("credit", CREDITS)
def test_what_the_teacher_ignores_has_no_saliency(credit):
    assert of(UNIQUE, credit) == (0, K)


@pytest.mark.parametrize("delta", ["kl", "js", "tv"])
def test_outputs_that_agree_but_for_rounding_have_no_saliency(delta):
    """Weights by instance are ratios: noise of 1e-7 would become weights from 0 to M."""
    full = 3 * torch.randn(2, 500, 3, generator=torch.Generator().manual_seed(0))
    found = difference(full, full * (1 + 1e-7) - 5.0, delta=delta)
    assert float(found.min()) >= 0
    assert float(found.max()) < (1e-9 if delta != "tv" else 1e-5)


def test_deltas_by_hand():
    full, other = (torch.tensor([p, 1 - p], dtype=torch.float64).log()[None, None] for p in (0.9, 0.4))
    middle = (0.65, 0.35)
    js = 0.5 * (0.9 * log(0.9 / middle[0]) + 0.1 * log(0.1 / middle[1]))
    js += 0.5 * (0.4 * log(0.4 / middle[0]) + 0.6 * log(0.6 / middle[1]))
    target = torch.tensor([0])
    expected = {
        "kl": 0.9 * log(0.9 / 0.4) + 0.1 * log(0.1 / 0.6),
        "js": js,
        "tv": 0.5,
        "logit": (log(0.9 / 0.4) - log(0.1 / 0.6)) / 2,
        "loss": log(0.9 / 0.4),
        "correctness": 1.0,
    }
    assert set(expected) == set(DELTAS)
    for delta, value in expected.items():
        found = difference(full, other, delta=delta, target=target)
        assert found.shape == (1, 1)
        assert float(found) == pytest.approx(value, rel=1e-6), delta
    assert float(difference(other, full, delta="loss", target=target)) < 0


def test_dense_is_the_mean_over_positions():
    full, other = torch.randn(2, 2, 3, 4, 2, 2, generator=torch.Generator().manual_seed(0))
    target = torch.tensor([[[0, 1], [2, 3]]] * 3)
    for delta in DELTAS:
        found = difference(full, other, delta=delta, task=Task.DENSE, target=target)
        rows = [x.permute(0, 1, 3, 4, 2).reshape(2, 12, 4) for x in (full, other)]
        flat = difference(*rows, delta=delta, target=target.flatten())
        torch.testing.assert_close(found, flat.view(2, 3, 4).mean(-1))


def test_shapley_is_the_mean_over_all_orders():
    data = pairs(modalities=3)
    teacher = said(data, all_views(data.modalities)[:-1])
    names = tuple(data.modalities)

    def value(kept):
        if len(kept) == 3:
            return torch.zeros(2, len(data))
        return -difference(teacher.logits, teacher.views[View.only(*kept)], delta="js")

    found = saliency(teacher, names, credit="shapley", delta="js")
    for m in names:
        gains = [
            value({*order[: order.index(m) + 1]}) - value({*order[: order.index(m)]})
            for order in permutations(names)
        ]
        torch.testing.assert_close(found[m], torch.stack(gains).mean(0))


def test_needed_views():
    assert {v.label for v in needed_views("ab")} == {"a", "b"}
    assert {v.label for v in needed_views("abc")} == {"a+b", "a+c", "b+c"}
    assert {v.label for v in needed_views("abc", credit="only")} == {"nothing", "a", "b", "c"}
    assert len(needed_views("abc", credit="shapley")) == 7
