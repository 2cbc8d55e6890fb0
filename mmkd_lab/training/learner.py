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
from dataclasses import dataclass, replace
from functools import cache
from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import jvp

from mmkd_lab.core.check import LabError, require
from mmkd_lab.core.seed import derive
from mmkd_lab.data.paired import PairedData
from mmkd_lab.data.task import META, Task
from mmkd_lab.distill.distillation import Distillation
from mmkd_lab.distill.learned import LearnedWeights
from mmkd_lab.distill.losses.ce import cross_entropy
from mmkd_lab.distill.method import Outputs
from mmkd_lab.distill.saliency import difference
from mmkd_lab.models.views import View
from mmkd_lab.training.batch import Batch, Said
from mmkd_lab.training.engine import Engine
from mmkd_lab.training.inputs import rows_of
from mmkd_lab.training.lessons import part_of
from mmkd_lab.training.outputs import full, logits_of_views
from mmkd_lab.training.replicas import CHUNK

#: What the network of 'instance' reads about each view of a sample.
CLUES = 3


@dataclass(frozen=True)
class Look:
    """The weights at one update: (R, V), the means over the batch."""

    step: int
    weights: Tensor


class WeightLearner:
    """Learns phi for R replicas at once; each by its own gradient, from its own stream of meta samples."""

    def __init__(
        self,
        loss: Distillation,
        sets: Sequence[PairedData],
        *,
        seeds: Sequence[int],
        modalities: Sequence[str] | None,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        autocast: Any,  # noqa: ANN401 - a context manager of Fabric
    ) -> None:
        assert loss.learned is not None
        assert loss.learning is not None
        self.loss, self.how, self.autocast = loss, loss.learned, autocast
        self.factor, self.msd = loss.learning
        self.views, self.task = self.msd.views, sets[0].task
        self.meta_x, self.meta_target = _meta(sets, modalities, device, dtype)
        self.generators = [torch.Generator().manual_seed(derive(seed, "meta")) for seed in seeds]
        self.phi = _phi(self.how, len(self.views), seeds, device, dtype)
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
            self._update(batch, self.hypergradient(engine, batch, said, eta))
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
        size = max(64, CHUNK // len(target))
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
        named = self.loss(said.outputs, batch.target, self._weighted(teacher, weights), engine.extras)
        torch.autograd.backward(named["loss"].sum(), retain_graph=True)
        here = flat.parameter.detach()
        ahead = self._meta_gradient(engine, here - eta * flat.gradient)
        run = logits_of_views(engine, said.question)
        # In single precision whatever the recipe's: autocast does not know of forward mode.
        moves: dict[View, Tensor] = jvp(run, (flat.views(here),), (flat.views(ahead),))[1]
        slope = torch.stack([self._slope(view, said.outputs, teacher, moves[view]) for view in self.views], 1)
        size = 1 if self.how.level == "global" else batch.target.shape[1]
        return -eta / size * self._factor(slope) * slope

    def _update(self, batch: Batch, slope: Tensor) -> None:
        assert batch.teacher is not None
        self.stepper.zero_grad()
        weights = self.weights(batch.teacher, batch.target)
        if self.how.level == "global":
            weights = weights[..., 0]
        torch.autograd.backward((slope * weights).sum())
        self.stepper.step()

    def _meta_gradient(self, engine: Engine, moved: Tensor) -> Tensor:
        """grad L_meta at other parameters, a buffer laid out as `flat`'s; from the next meta samples."""
        size = self.meta_target.shape[1]
        drawn = [torch.randperm(size, generator=g)[: self.how.batch_size] for g in self.generators]
        slots = torch.stack(drawn).to(self.meta_target.device)
        x = {name: _own(values, slots) for name, values in self.meta_x.items()}
        moved = moved.requires_grad_()
        with self.autocast():
            logits = engine.function(x, False)(engine.flat.views(moved))
        loss = cross_entropy(full(logits), _own(self.meta_target, slots), task=self.task)
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


def _phi(
    how: LearnedWeights, views: int, seeds: Sequence[int], device: torch.device, dtype: torch.dtype
) -> list[nn.Parameter]:
    """All weights equal at the start: the last layer is 0."""
    if how.level == "global":
        return [nn.Parameter(torch.zeros(len(seeds), views, device=device, dtype=dtype))]
    clues, parts = CLUES * views, []
    for seed in seeds:
        generator = torch.Generator().manual_seed(derive(seed, "init", "weights"))
        parts.append(torch.randn(clues, how.hidden, generator=generator) / sqrt(clues))
    r = len(seeds)
    first = (torch.stack(parts), torch.zeros(r, how.hidden))
    last = (torch.zeros(r, how.hidden, views), torch.zeros(r, views))
    return [nn.Parameter(value.to(device, dtype)) for value in (*first, *last)]


def _meta(
    sets: Sequence[PairedData], modalities: Sequence[str] | None, device: torch.device, dtype: torch.dtype
) -> tuple[dict[str, Tensor], Tensor]:
    """{modality: (1 or R, N, ...)} and targets (1 or R, N, ...) of the split 'meta'."""
    for one in sets:
        if META not in one.splits:
            raise LabError(
                "data",
                list(one.splits),
                "must have a split 'meta', on which the weights are learned",
                "See data.set_aside(): neither the validation nor the test split may serve.",
            )
    sizes = sorted({len(one.positions(META)) for one in sets})
    require(len(sizes) == 1, "data", sizes, "every dataset must have as many samples in 'meta'")
    names = list(sets[0].modalities) if modalities is None else list(modalities)
    where = [one.positions(META) for one in sets]
    x = {
        name: torch.stack(
            [one.batch(p, [name], dtype=dtype)[name] for one, p in zip(sets, where, strict=True)]
        ).to(device)
        for name in names
    }
    return x, torch.stack([one.target[p] for one, p in zip(sets, where, strict=True)]).to(device)


def _own(values: Tensor, slots: Tensor) -> Tensor:
    """(1 or R, N, ...) and slots (R, B) -> (R, B, ...)."""
    return values[0][slots] if len(values) == 1 else rows_of(values, slots)


def _cost(logits: Tensor, target: Tensor, task: Task) -> Tensor:
    """Negative log-likelihood of every sample, (R, B), meaned over labels or positions."""
    if task is Task.MULTI_LABEL:
        each = nn.functional.binary_cross_entropy_with_logits(logits, target.to(logits), reduction="none")
        return each.mean(-1)
    axis = 2
    log_p = logits.log_softmax(axis).gather(axis, target.clamp(min=0).unsqueeze(axis)).squeeze(axis)
    each = -log_p * (target >= 0)
    return each if each.ndim == 2 else each.flatten(2).mean(-1)


def _sureness(logits: Tensor, task: Task) -> Tensor:
    """(R, B), the probability of what is predicted, meaned over labels or positions."""
    if task is Task.MULTI_LABEL:
        p = logits.sigmoid()
        return torch.maximum(p, 1 - p).mean(-1)
    best = logits.softmax(2).amax(2)
    return best if best.ndim == 2 else best.flatten(2).mean(-1)
