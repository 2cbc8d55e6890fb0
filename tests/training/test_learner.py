"""Hypergradients of learned weights against finite differences of plain modules, in double precision."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from torch import nn
from torch.func import functional_call

from mmkd_lab.core.seed import derive
from mmkd_lab.data.task import Task
from mmkd_lab.distill import KD, CrossEntropy
from mmkd_lab.distill.distance import Distance
from mmkd_lab.distill.distillation import Distillation
from mmkd_lab.distill.learned import LearnedWeights
from mmkd_lab.distill.losses.msd import Msd
from mmkd_lab.distill.method import Outputs
from mmkd_lab.distill.views import msd_views
from mmkd_lab.models import AttentionMask, Learned, ModelAdapter, NetSpec, Permutation, Zeros
from mmkd_lab.training import Replicas
from mmkd_lab.training.batch import Batch, Said, answered, asked
from mmkd_lab.training.engine import Engine
from mmkd_lab.training.learner import WeightLearner
from mmkd_lab.training.lessons import part_of
from tests.distill.pairs import pairs

ETA, SEEDS = 0.3, (3, 8)
MLP = NetSpec("mlp", width=2, features=4)


class Grid(nn.Module):
    """A dense task: logits (B, 2, 2, 2) from all maps."""

    def __init__(self):
        super().__init__()
        self.first, self.frozen = nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(3, 3, 1)
        self.last = nn.Conv2d(3, 2, 4, stride=4)
        self.frozen.requires_grad_(False)

    def forward(self, x):
        both = torch.cat([x["a"], x["b"]], dim=1)
        return self.last(torch.tanh(self.frozen(torch.tanh(self.first(both)))))


def grids():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return [ModelAdapter(Grid(), modalities=("a", "b")) for _ in SEEDS]


#: name -> (spec or networks, dataset, removal, distance, gate)
CASES = {
    "mlp": (MLP, {}, Zeros(), "kl", False),
    "conv": (NetSpec("lenet", width=2, features=4), {"image": True}, Zeros(), "kl", False),
    "mid": (NetSpec("lenet", width=2, features=4, fusion="mid"), {"image": True}, Zeros(), "kl", True),
    "attention": (NetSpec("mlp", width=2, features=4, fusion="attention"), {}, AttentionMask(), "kl", False),
    "stand-in": (NetSpec("mlp", width=2, features=4, baseline=True), {}, Learned(), "mse", True),
    "permutation": (MLP, {}, Permutation(), "kl", False),
    "three": (MLP, {"modalities": 3}, Zeros(), "kl", True),
    "multi-label": (MLP, {"task": Task.MULTI_LABEL}, Zeros(), "kl", False),
    "dense": (grids, {"task": Task.DENSE}, Zeros(), "kl", False),
}


class Bench:
    """One step of R students in double precision, and the same step spelt out with plain modules."""

    def __init__(self, name, level, *, distance=None, phi=True):
        spec, given, self.removal, kind, gated = CASES[name]
        self.data = pairs(**given)
        if callable(spec):
            self.replicas = Replicas.of(spec(), seeds=SEEDS, device="cpu")
        else:
            self.replicas = Replicas.build(spec, self.data, seeds=SEEDS, device="cpu")
        self.replicas = self.replicas.to(dtype=torch.float64)
        self.replicas.prepare(self.data)
        self.views = msd_views(self.data.modalities)
        self.temperature = {self.views[0]: 2.0}
        self.c = torch.tensor([0.7, 1.9])
        self.distance = kind if distance is None else distance
        task, how = self.data.task, LearnedWeights(level, batch_size=8, hidden=5)
        msd = Msd(self.views, self.distance, self.temperature, task, how)
        base = (0.6, CrossEntropy(task)), (0.4, KD(3.0, "kl", task))
        self.loss = Distillation((*base, (self.c, msd)), self.removal)
        generator = torch.Generator().manual_seed(1)
        slots = torch.stack([torch.randperm(24, generator=generator)[:7] for _ in SEEDS])
        rows = self.data.positions("train")[slots]
        x = {m: values.double() for m, values in self.data.batch(rows).items()}
        self.teacher = self.outputs_of(rows.shape, gated, generator)
        self.batch = Batch(x, self.data.target[rows], self.teacher)
        self.learners = [self.learner(range(len(SEEDS)))] + [self.learner([r]) for r in range(len(SEEDS))]
        if phi:
            for learner in self.learners:
                self.stir(learner)

    def outputs_of(self, shape, gated, generator):
        k = self.data.num_classes
        more = (2, 2) if self.data.task is Task.DENSE else ()

        def draw():
            return torch.randn(*shape, k, *more, generator=generator).double()

        gate = {self.views[1]: torch.rand(shape, generator=generator).double()} if gated else {}
        return Outputs(draw(), {view: draw() for view in self.views}, weights=gate)

    def learner(self, which):
        loss = self.loss if len(which) > 1 else self.loss[which[0]]
        made = WeightLearner(
            loss,
            [self.data],
            self.replicas[list(which)],
            nullcontext,
        )
        made.which = which
        return made

    def stir(self, learner):
        """Weights that differ from 1, the same for a replica alone as in company."""
        for i, value in enumerate(learner.phi):
            each = [torch.Generator().manual_seed(10 * SEEDS[r] + i) for r in learner.which]
            drawn = [torch.randn(value.shape[1:], generator=g, dtype=torch.float64) for g in each]
            value.data.add_(0.7 * torch.stack(drawn))

    def engine(self, r=None):
        return Engine(self.replicas if r is None else self.replicas[r], stacked=r is None)

    def part(self, r):
        if r is None:
            return self.batch
        t = self.teacher
        one = Outputs(
            t.logits[[r]],
            {v: y[[r]] for v, y in t.views.items()},
            weights={v: w[[r]] for v, w in t.weights.items()},
        )
        return Batch({m: v[[r]] for m, v in self.batch.x.items()}, self.batch.target[[r]], one)

    def ours(self, r=None):
        """(hypergradient, weights) for all replicas, or for one in a loop; and the engine that was used."""
        learner, engine, batch = self.learners[0 if r is None else 1 + r], self.engine(r), self.part(r)
        removal = Permutation() if isinstance(self.removal, Permutation) else self.removal
        question = asked(engine, batch.x, False, views=self.views, removal=removal)
        said = Said(question, answered(engine, question, self.loss.needs))
        found = learner.hypergradient(engine, batch, said, ETA)
        return found, learner.weights(batch.teacher, batch.target).detach(), engine, batch, said

    def looked_ahead(self, r, weights):
        """L_meta one SGD step ahead, with plain modules and plain formulas; weights (V, B)."""
        net, task = self.replicas.module(r), self.data.task
        learnt = {
            n: p.detach().clone().requires_grad_() for n, p in net.named_parameters() if p.requires_grad
        }
        x, target = {m: v[r] for m, v in self.batch.x.items()}, self.batch.target[r]
        full = functional_call(net, learnt, (x,))
        teacher = self.teacher
        base = 0.6 * _ce(full, target, task)
        base = base + 0.4 * Distance("kl", temperature=3.0, task=task)(full, teacher.logits[r])
        removal = Permutation() if isinstance(self.removal, Permutation) else self.removal
        for v, view in enumerate(self.views):
            said = functional_call(net, learnt, (removal.apply(x, view),))
            measure = Distance(self.distance, temperature=self.temperature.get(view, 1.0), task=task)
            w = weights[v]
            if view in teacher.weights:
                w = w * teacher.weights[view][r]
            base = base + float(self.c[r]) * measure(said, teacher.views[view][r], weights=w)
        slopes = torch.autograd.grad(base, list(learnt.values()))
        ahead = {n: (p - ETA * g).detach() for (n, p), g in zip(learnt.items(), slopes, strict=True)}
        meta = self.data.positions("meta")
        generator = torch.Generator().manual_seed(derive(SEEDS[r], "meta"))
        drawn = meta[torch.randperm(len(meta), generator=generator)[:8]]
        x = {m: v.double() for m, v in self.data.batch(drawn).items()}
        return float(_ce(functional_call(net, ahead, (x,)), self.data.target[drawn], task))


def _ce(logits, target, task):
    if task is Task.MULTI_LABEL:
        each = nn.functional.binary_cross_entropy_with_logits(logits, target.to(logits), reduction="none")
        return each.sum(-1).mean()
    return nn.functional.cross_entropy(logits, target, ignore_index=-1)


def check(bench, found, weights, r, *, level, eps=1e-6):
    """Central differences along every weight (global) or along three directions (instance)."""
    if level == "global":
        directions = [torch.eye(len(weights))[v][:, None].expand_as(weights) for v in range(len(weights))]
        slopes = found.tolist()
    else:
        generator = torch.Generator().manual_seed(0)
        directions = [torch.randn(weights.shape, generator=generator).double() for _ in range(3)]
        slopes = [float((found * way).sum()) for way in directions]
    for slope, way in zip(slopes, directions, strict=True):
        up, down = (bench.looked_ahead(r, weights + sign * eps * way) for sign in (1, -1))
        # The rounding of a loss near 1, over eps, is some 1e-10.
        assert slope == pytest.approx((up - down) / (2 * eps), rel=1e-6, abs=1e-9)
        assert abs(slope) > 1e-6


@pytest.mark.parametrize("level", ["global", "instance"])
@pytest.mark.parametrize("name", CASES)
def test_hypergradients_are_finite_differences(name, level):
    bench = Bench(name, level)
    together, weights, *_ = bench.ours()
    assert together.shape == (2, len(bench.views), *((7,) if level == "instance" else ()))
    torch.testing.assert_close(weights.mean(1), torch.ones_like(weights[:, 0]))
    if name != "dense":
        assert float(weights.std()) > 0.05
    for r in range(2):
        if name != "permutation":  # which mixes the samples of one batch: that of both replicas in one order
            bench.learners[0].generators, bench.learners[1 + r].generators = (
                None,
                bench.learner([r]).generators,
            )
        check(bench, together[r], weights[r], r, level=level)
        bench.learners[1 + r] = fresh = bench.learner([r])
        bench.stir(fresh)
        alone, own, *_ = bench.ours(r)
        torch.testing.assert_close(own[0], weights[r], rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(alone[0], together[r], rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("distance", ["mse", "dist"])
def test_global_weights_work_for_every_distance(distance):
    bench = Bench("mlp", "global", distance=distance)
    found, weights, *_ = bench.ours()
    for r in range(2):
        check(bench, found[r], weights[r], r, level="global")


@pytest.mark.parametrize("r", [None, 0], ids=["stacked", "looped"])
@pytest.mark.parametrize("name", ["mlp", "conv", "dense"])
def test_looking_ahead_moves_nothing(name, r):
    bench = Bench(name, "global")
    engine = bench.engine(r)
    before = {key: value.clone() for key, value in engine.state().items()}
    _, _, engine, *_ = bench.ours(r)
    for key, value in engine.state().items():
        assert torch.equal(value, before[key]), key


@pytest.mark.parametrize("level", ["global", "instance"])
def test_a_step_goes_down_and_gives_the_weights_of_the_batch(level):
    """Adam moves every entry of phi against its gradient, so the weight of the more useful view rises."""
    bench = Bench("mlp", level, phi=False)
    slope, before, engine, batch, said = bench.ours()
    learner = bench.learner(range(2))
    given = learner.step(engine, batch, said, ETA)
    after = torch.stack([given.weights[view] for view in bench.views], dim=1)
    assert torch.equal(before, torch.ones_like(before))
    torch.testing.assert_close(after.mean(1), torch.ones_like(after[:, 0]))
    wide = slope if level == "instance" else slope[..., None] / 7
    for r in range(2):
        assert float((wide[r] * (after[r] - 1)).sum()) < 0
    assert [look.step for look in learner.looks] == [0]
    torch.testing.assert_close(learner.looks[0].weights, after.mean(-1))
    # The graph of what was said is still there for the step itself.
    bench.loss(said.outputs, batch.target, given, {})["loss"].sum().backward()


@pytest.mark.parametrize("level", ["global", "instance"])
def test_final_weights_are_of_the_phi_that_was_settled_and_of_any_number_of_samples(level, monkeypatch):
    monkeypatch.setattr("mmkd_lab.training.learner.at_once", lambda *_: 64)  # three parts and a rest
    bench = Bench("mlp", level)
    learner = bench.learners[0]
    many = [torch.arange(7).repeat(30)] * 2
    target = torch.stack([bench.batch.target[r, rows] for r, rows in enumerate(many)])
    teacher = part_of(bench.teacher, many[0])
    learner.final = [value.detach().clone() for value in learner.phi]
    before = learner.weights(teacher, target).detach()
    torch.testing.assert_close(learner.final_weights(teacher, target), before)
    bench.stir(learner)
    learner.settle(torch.tensor([True, False]))
    found, now = learner.final_weights(teacher, target), learner.weights(teacher, target).detach()
    torch.testing.assert_close(found, torch.stack([now[0], before[1]]))
    assert not torch.allclose(now[1], before[1])


def test_it_updates_every_so_often_and_never_at_rate_zero():
    bench = Bench("mlp", "global", phi=False)
    engine, batch = bench.engine(), bench.batch
    learner = bench.learner(range(2))
    start = learner.phi[0].detach().clone()
    changed = []
    for step in range(11):
        question = asked(engine, batch.x, False, views=bench.views, removal=bench.removal)
        said = Said(question, answered(engine, question, bench.loss.needs))
        before = learner.phi[0].detach().clone()
        learner.step(engine, batch, said, 0.0 if step == 0 else ETA)
        if not torch.equal(before, learner.phi[0]):
            changed.append(step)
    assert changed == [5, 10]
    assert not torch.equal(start, learner.phi[0])
    assert [look.step for look in learner.looks] == [0, 5, 10]


def test_the_meta_split_alone_looks_ahead():
    bench = Bench("mlp", "global")
    data, learner = bench.data, bench.learners[0]
    x, target = learner.meta.whole()
    assert torch.equal(target, data.target[data.positions("meta")])
    for name, values in x.items():
        assert torch.equal(values, data.modalities[name][data.positions("meta")].double())
