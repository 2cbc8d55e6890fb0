"""The arithmetic of a step: schedules, clipping, optimisers, against closed forms and torch itself."""

from __future__ import annotations

import json
from dataclasses import replace
from math import cos, pi

import numpy as np
import pytest
import torch
from torch import nn

from mmkd_lab.core.check import LabError
from mmkd_lab.models import NetSpec, build
from mmkd_lab.training import Recipe, Replicas, fit
from mmkd_lab.training.engine import Flat, clip_each
from mmkd_lab.training.order import Order, ViewDraw
from mmkd_lab.training.schedule import factor, rates
from tests.training.toy import plain, toy


def test_recipes_round_trip_through_json():
    odd = Recipe(epochs=np.int64(2), lr=np.float32(0.5), clip=1)
    for recipe in (odd, Recipe(), Recipe(steps=7, batch_size=None, clip=1.0, select="last", patience=3)):
        assert Recipe.from_dict(json.loads(json.dumps(recipe.as_dict()))) == recipe


def test_a_floor_in_steps_raises_epochs_and_patience_where_the_split_is_small():
    recipe = Recipe(epochs=20, min_steps=640, batch_size=64, patience=5)
    assert recipe.raised(2000) is recipe
    assert recipe.length(2000) == (32, 640)
    assert recipe.raised(323) == replace(recipe, epochs=107, patience=27)
    assert recipe.length(323) == recipe.raised(323).length(323) == (6, 642)
    with pytest.raises(LabError, match="min_steps = 640"):
        Recipe(steps=100, min_steps=640)


def course(name, total, **more):
    return [factor(name, step, total=total, **more) for step in range(total)]


def test_constant_and_step():
    assert course("constant", 3) == [1.0, 1.0, 1.0]
    assert course("step", 8) == [1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01]


def test_cosine_is_its_closed_form_and_torchs():
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=10)
    for step, ours in enumerate(course("cosine", 10)):
        assert ours == pytest.approx((1 + cos(pi * step / 10)) / 2)
        assert ours == pytest.approx(theirs.get_last_lr()[0])
        optimiser.step()
        theirs.step()


def test_one_cycle_rises_to_one_and_falls():
    found = course("onecycle", 1000)
    assert found[0] == pytest.approx(1 / 25)
    assert found[300] == pytest.approx(1.0)
    assert found[150] == pytest.approx((1 + 1 / 25) / 2)
    assert found[650] == pytest.approx((1 + 1 / 25e4) / 2)
    assert found[:301] == sorted(found[:301])
    assert found[300:] == sorted(found[300:], reverse=True)


def test_warm_up_is_linear_and_comes_before_the_schedule():
    found = course("cosine", 20, warmup=0.2)
    assert found[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert found[4:] == pytest.approx(course("cosine", 16))
    assert rates(Recipe(steps=2, lr=0.5, schedule="constant"), total=2) == [0.5, 0.5]


def test_each_replicas_gradient_is_clipped_by_its_own_norm():
    generator = torch.Generator().manual_seed(0)
    gradients = [torch.randn(3, 4, 2, generator=generator), torch.randn(3, 5, generator=generator)]
    gradients = [g * torch.tensor([0.01, 1.0, 50.0]).reshape(3, *[1] * (g.ndim - 1)) for g in gradients]
    alone = []
    for r in range(3):
        parameters = [nn.Parameter(torch.zeros_like(g[r])) for g in gradients]
        for parameter, g in zip(parameters, gradients, strict=True):
            parameter.grad = g[r].clone()
        norm = nn.utils.clip_grad_norm_(parameters, 1.0)
        alone.append((norm, [parameter.grad for parameter in parameters]))
    norms = clip_each(gradients, limit=1.0)
    for r, (norm, clipped) in enumerate(alone):
        torch.testing.assert_close(norms[r], norm)
        for g, want in zip(gradients, clipped, strict=True):
            torch.testing.assert_close(g[r], want)
    assert norms[0] < 1.0 < norms[1]


def test_a_flat_buffer_holds_values_and_gradients_whatever_their_layout():
    conv = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1), nn.Flatten(), nn.Linear(2, 2))
    conv = conv.double().to(memory_format=torch.channels_last)
    x = torch.randn(5, 3, 3, 3, dtype=torch.float64)
    want = conv(x)
    want.square().sum().backward()
    gradients = [parameter.grad.clone() for parameter in conv.parameters()]
    flat = Flat(list(conv.parameters()))
    torch.testing.assert_close(conv(x), want)
    conv(x).square().sum().backward()
    assert all(one.is_contiguous() for one in conv.parameters())
    torch.testing.assert_close(flat.views(flat.gradient), gradients)
    before = [parameter.detach().clone() for parameter in conv.parameters()]
    with torch.no_grad():
        flat.parameter.mul_(2.0)
    torch.testing.assert_close([one.data for one in conv.parameters()], [2 * value for value in before])


@pytest.mark.parametrize(
    ("recipe", "make"),
    [
        (
            Recipe(steps=4, optimiser="sgd", lr=0.1, momentum=0.8, weight_decay=0.01, schedule="constant"),
            lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.8, weight_decay=0.01),
        ),
        (
            Recipe(steps=4, optimiser="adam", lr=0.01, weight_decay=0.01, schedule="constant"),
            lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.01),
        ),
        (
            Recipe(steps=4, optimiser="adamw", lr=0.01, weight_decay=0.1, schedule="constant"),
            lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
        ),
    ],
    ids=["sgd", "adam", "adamw"],
)
def test_the_loop_is_torchs_own_loop(recipe, make):
    data = toy()
    recipe = replace(recipe, batch_size=16, select="last", clip=0.7)
    spec = NetSpec("mlp", width=2, features=4, standardise=False)
    net = build(spec, data.shapes, 4, seed=6).double()
    optimiser = make(net.parameters())
    train = data.positions("train")
    order = Order([6], len(train))
    for slots in torch.split(order.epoch()[0], 16):
        where = train[slots]
        optimiser.zero_grad()
        x = data.batch(where, dtype=torch.float64)
        nn.functional.cross_entropy(net(x), data.target[where]).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 0.7)
        optimiser.step()
    for mode in ("stacked", "looped"):
        replicas = Replicas.build(spec, data, seeds=[6, 1], device="cpu")
        fitted = fit(replicas, data, plain, recipe, mode=mode, progress=False)
        for name, value in net.named_parameters():
            torch.testing.assert_close(fitted.replicas.parameters[name][0], value.detach(), atol=1e-9, rtol=0)


def test_order_belongs_to_the_seed_alone():
    three, one = Order([4, 5, 4], 20), Order([5], 20)
    for _ in range(3):
        together, alone = three.epoch(), one.epoch()
        assert torch.equal(together[1], alone[0])
        assert torch.equal(together[0], together[2])
        assert not torch.equal(together[0], together[1])
        assert torch.equal(together.sort(1).values, torch.arange(20).expand(3, 20))


def test_modality_dropout_has_its_rate_and_spares_one():
    stays = ViewDraw([0, 1], ["a", "b", "c"], 0.3).batch(20000, torch.device("cpu"))
    kept = torch.stack(list(stays.values()))
    assert kept.any(0).all()
    # P(stays) = 0.7, and a third of the times when all three would have gone
    assert float(kept.float().mean()) == pytest.approx(0.7 + 0.3**3 / 3, abs=0.005)
    assert not torch.equal(stays["a"][0], stays["a"][1])
