"""Learn the weights of MSD's terms beside the student: a one-step look-ahead with the exact hypergradient.

Let g_base be the gradient of a·CE + b·KD + ..., g_v that of view v's term with all weights 1, c the factor of
the whole term, eta the step of the look-ahead. With theta' = theta - eta · (g_base + c sum_v w_v g_v),

    dL_meta(theta') / dw_v     = -eta · c     · <grad L_meta(theta'), g_v(theta)>
    dL_meta(theta') / dw_{v,i} = -(eta·c / B) · <grad L_meta(theta'), grad D_{v,i}(theta)>

which is exact and needs no second-order graph: a weight rises when its gradient agrees with that of the
samples set aside. All inner products come from one forward-mode pass, since <g, grad D> is the derivative of
D along g. theta itself is never moved: theta' is a buffer of its own.

Sources: Jin et al. 2021 (MSD) for learning the weights; Ren et al. 2018, section 3, for the look-ahead; Shu
et al. 2019 for weights as a function of the sample.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from math import sqrt
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import jvp

from mmkd_lab.core.seed import derive
from mmkd_lab.data.paired import PairedData
from mmkd_lab.data.task import META, Task
from mmkd_lab.distill.distillation import Distillation
from mmkd_lab.distill.learned import LearnedWeights
from mmkd_lab.distill.losses.ce import cross_entropy
from mmkd_lab.distill.method import Outputs
from mmkd_lab.distill.saliency import difference
from mmkd_lab.models.views import View
from mmkd_lab.training.batch import Batch, Said, full, logits_of_views
from mmkd_lab.training.device import at_once
from mmkd_lab.training.engine import Engine
from mmkd_lab.training.lessons import part_of
from mmkd_lab.training.replicas import Replicas
from mmkd_lab.training.streamed import split_of

#: What the network of 'instance' reads about each view of a sample.
CLUES = 3


class Look(NamedTuple):
    """The weights at one update: (R, V), the means over the batch."""

    step: int
    weights: Tensor


class WeightLearner:
    """Learns phi for R replicas at once; each by its own gradient, from its own stream of meta samples.

    Raises `LabError` for datasets whose 'meta' splits differ in size.
    """

    def __init__(
        self,
        loss: Distillation,
        sets: Sequence[PairedData],
        students: Replicas,
        autocast: Any,  # noqa: ANN401 - a context manager of Fabric
    ) -> None:
        assert loss.learned is not None
        assert loss.learning is not None
        self.loss, self.how, self.autocast = loss, loss.learned, autocast
        self.factor, self.msd = loss.learning
        self.views, self.task = self.msd.views, sets[0].task
        where, kind = students.device, students.dtype
        self.meta = split_of(sets, students, split=META)
        self.generators = [torch.Generator().manual_seed(derive(seed, "meta")) for seed in students.seeds]
        first = _phi(self.how, len(self.views), students.seeds)
        self.phi = [nn.Parameter(value.to(where, kind)) for value in first]
        self.final = [value.detach().clone() for value in self.phi]
        self.stepper = torch.optim.Adam(self.phi, lr=self.how.learning_rate)
        self.steps, self.looks = 0, list[Look]()
        _load_forward_mode()

    def step(self, engine: Engine, batch: Batch, said: Said, rate: float) -> Outputs:
        """Update phi when it is time; returns the teacher's outputs with the weights of this batch.

        The graph behind `said` is left for the loop's own backward pass.
        """
        assert batch.teacher is not None
        due = self.steps % self.how.every == 0
        eta = rate if self.how.lookahead is None else self.how.lookahead
        if due and eta > 0:
            slope = self.hypergradient(engine, batch, said, eta)
            self.stepper.zero_grad()
            weights = self.weights(batch.teacher, batch.target)
            moved = weights[..., 0] if self.how.level == "global" else weights
            torch.autograd.backward((slope * moved).sum())
            self.stepper.step()
        with torch.no_grad():
            weights = self.weights(batch.teacher, batch.target)
            if due:
                self.looks.append(Look(self.steps, weights.mean(-1).cpu()))
        self.steps += 1
        return self._weighted(batch.teacher, weights)

    def weights(self, teacher: Outputs, target: Tensor) -> Tensor:
        """(R, V, B); their mean over views is 1 for every sample."""
        return self._under(self.phi, teacher, target)

    def settle(self, alive: Tensor) -> None:
        """Take the present phi for the final one, of the replicas (R,) whose training goes on."""
        where = alive.to(self.phi[0].device)
        for kept, now in zip(self.final, self.phi, strict=True):
            kept[where] = now.detach()[where]

    @torch.no_grad()
    def final_weights(self, teacher: Outputs, target: Tensor) -> Tensor:
        """The weights of any samples, (R, V, N) on the CPU, by the phi that `settle` saw last."""
        size = at_once(len(target), self.phi[0].device)
        parts = [slice(start, start + size) for start in range(0, target.shape[1], size)]
        found = [self._under(self.final, part_of(teacher, rows), target[:, rows]).cpu() for rows in parts]
        return torch.cat(found, dim=-1)

    def _under(self, phi: Sequence[Tensor], teacher: Outputs, target: Tensor) -> Tensor:
        count = len(self.views)
        if self.how.level == "global":
            shares = phi[0].softmax(-1)[..., None]
            return count * shares.expand(*shares.shape[:2], target.shape[1])
        w1, b1, w2, b2 = phi
        clues = self._clues(teacher, target).to(w1.dtype)
        hidden = torch.baddbmm(b1[:, None], clues, w1).relu()
        return count * torch.baddbmm(b2[:, None], hidden, w2).softmax(-1).transpose(1, 2)

    def hypergradient(self, engine: Engine, batch: Batch, said: Said, eta: float) -> Tensor:
        """dL_meta(theta') / dw at the present weights: (R, V) or, by instance, (R, V, B)."""
        teacher = batch.teacher
        assert teacher is not None
        with torch.no_grad():
            weights = self.weights(teacher, batch.target)
        flat = engine.flat
        flat.zero_grad()
        heard = replace(said.outputs, counts=batch.counts)
        named = self.loss(heard, batch.target, self._weighted(teacher, weights), engine.extras)
        torch.autograd.backward(named["loss"].sum(), retain_graph=True)
        here = flat.parameter.detach()
        ahead = self._meta_gradient(engine, here - eta * flat.gradient)
        # In single precision whatever the recipe's: autocast does not know of forward mode.
        run = logits_of_views(engine, said.question)
        moves: dict[View, Tensor] = jvp(run, (flat.views(here),), (flat.views(ahead),))[1]
        slope = torch.stack([self._slope(view, said.outputs, teacher, moves[view]) for view in self.views], 1)
        size = 1 if self.how.level == "global" else batch.target.shape[1]
        return -eta / size * self._factor(slope) * slope

    def _meta_gradient(self, engine: Engine, moved: Tensor) -> Tensor:
        """grad L_meta at other parameters, a buffer laid out as `flat`'s; from the next meta samples."""
        size, many = self.meta.samples, self.how.batch_size
        drawn = [torch.randperm(size, generator=generator)[:many] for generator in self.generators]
        slots = torch.stack(drawn).to(moved.device)
        (x, target), counts = self.meta.pick(slots), self.meta.counted(slots)
        moved = moved.requires_grad_()
        with self.autocast():
            logits = engine(x, learnt=engine.flat.views(moved))
        weights = None if self.loss.labels is None else self.loss.labels.class_weights
        how = {"class_weights": weights, "sample_weights": counts}
        loss = cross_entropy(full(logits), target, task=self.task, **how)  # type: ignore[arg-type]
        return torch.autograd.grad(loss.sum(), moved)[0]

    def _slope(self, view: View, student: Outputs, teacher: Outputs, moves: Tensor) -> Tensor:
        """How fast one view's term, its weights all 1, grows as the logits move: (R,), or by instance (R, B).

        The teacher's own weights, a gate for instance, stay a factor of the term.
        """
        logits, gate = student.under(view).detach().requires_grad_(), teacher.weights.get(view)
        measure = self.msd.measure(view)
        if self.how.level == "global":
            term = measure(logits, teacher.under(view), weights=gate)
        else:
            # A sample's distance depends on its own logits alone, so that one backward pass serves all.
            each = measure.each(logits, teacher.under(view))
            term = each if gate is None else each * gate
        (push,) = torch.autograd.grad(term.sum(), logits)
        return (push * moves).flatten(1 if self.how.level == "global" else 2).sum(-1)

    def _factor(self, like: Tensor) -> Tensor:
        factor = self.factor if isinstance(self.factor, Tensor) else torch.full((len(like),), self.factor)
        return factor.to(like).reshape(-1, *[1] * (like.ndim - 1))

    def _weighted(self, teacher: Outputs, weights: Tensor) -> Outputs:
        """What the teacher's outputs bring along, as a gate for instance, stays a factor."""
        named = dict(zip(self.views, weights.unbind(1), strict=True))
        gated = {v: w * teacher.weights[v] if v in teacher.weights else w for v, w in named.items()}
        return replace(teacher, weights=gated)

    def _clues(self, teacher: Outputs, target: Tensor) -> Tensor:
        """(R, B, 3 V): what can be known about a sample's views from the teacher and the label."""
        found = []
        for view in self.views:
            alone = full(teacher.under(view))
            moved = difference(full(teacher.logits), alone, delta="js", task=self.task)
            cost = _cost(alone, target, self.task)
            found += [moved.clamp(min=0).sqrt(), torch.exp(-cost), _sureness(alone, self.task)]
        return torch.stack(found, dim=-1)


@cache
def _load_forward_mode() -> None:
    """torch loads its forward-mode rules at first use, and there warns of what it has deprecated itself."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="torch")
        one = torch.ones(1)
        jvp(torch.sin, (one,), (one,))


def _phi(how: LearnedWeights, views: int, seeds: Sequence[int]) -> list[Tensor]:
    """All weights equal at the start: the last layer is 0."""
    r, clues = len(seeds), CLUES * views
    if how.level == "global":
        return [torch.zeros(r, views)]
    each = [torch.Generator().manual_seed(derive(seed, "init", "weights")) for seed in seeds]
    drawn = [torch.randn(clues, how.hidden, generator=g, dtype=torch.float64) / sqrt(clues) for g in each]
    last = torch.zeros(r, how.hidden, views), torch.zeros(r, views)
    return [torch.stack(drawn), torch.zeros(r, how.hidden), *last]


def _cost(logits: Tensor, target: Tensor, task: Task) -> Tensor:
    """Negative log-likelihood of every sample, (R, B), meaned over labels or positions."""
    if task is Task.MULTI_LABEL:
        each = nn.functional.binary_cross_entropy_with_logits(logits, target.to(logits), reduction="none")
        return each.mean(-1)
    log_p = logits.log_softmax(2).gather(2, target.clamp(min=0).unsqueeze(2)).squeeze(2)
    return _by_sample(-log_p * (target >= 0))


def _sureness(logits: Tensor, task: Task) -> Tensor:
    """(R, B), the probability of what is predicted, meaned over labels or positions."""
    if task is Task.MULTI_LABEL:
        p = logits.sigmoid()
        return torch.maximum(p, 1 - p).mean(-1)
    return _by_sample(logits.softmax(2).amax(2))


def _by_sample(values: Tensor) -> Tensor:
    """(R, B), or (R, B, H, W) meaned over its positions."""
    return values if values.ndim == 2 else values.flatten(2).mean(-1)
