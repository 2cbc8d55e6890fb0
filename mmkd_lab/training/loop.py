"""The loop itself: epochs of steps for the replicas of one engine. `fit` prepares it and is what to call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from mmkd_lab.core.check import LabError
from mmkd_lab.core.seed import derive
from mmkd_lab.data.paired import PairedData
from mmkd_lab.distill.distillation import Distillation
from mmkd_lab.models.removal import Removal
from mmkd_lab.training.batch import Batch, Said
from mmkd_lab.training.data_parallel import DataParallel
from mmkd_lab.training.engine import Engine, clip_each
from mmkd_lab.training.fabric import optimiser
from mmkd_lab.training.inputs import TrainingSplit, eval_inputs
from mmkd_lab.training.learner import WeightLearner
from mmkd_lab.training.lessons import Lessons
from mmkd_lab.training.metrics import score
from mmkd_lab.training.order import Order, ViewDraw
from mmkd_lab.training.outputs import answered, asked, full
from mmkd_lab.training.recipe import Recipe
from mmkd_lab.training.replicas import CHUNK, Replicas
from mmkd_lab.training.schedule import rates
from mmkd_lab.training.select import Selection


@dataclass(frozen=True)
class Row:
    """One line of history for R replicas: `alive` says whose training had not yet been stopped."""

    epoch: int
    split: str
    metric: str
    value: Tensor
    alive: Tensor


@dataclass
class Job:
    """What one run of the loop trains, on what, and how. A looped fit has one job per replica."""

    replicas: Replicas
    resident: TrainingSplit
    sets: Sequence[PairedData]
    loss: Distillation
    teacher: Lessons | None
    recipe: Recipe
    dropout: Removal | None
    fabric: Any
    bar: Any
    rows: list[Row] = field(default_factory=list)
    learner: WeightLearner | None = None

    def __post_init__(self) -> None:
        rate = self.recipe.modality_dropout
        self.views = ViewDraw(self.replicas.seeds, sorted(self.resident.x), rate) if self.dropout else None
        self.share = DataParallel(self.fabric.global_rank, self.fabric.world_size)


def run(job: Job, engine: Engine) -> tuple[Replicas, Tensor]:
    """Train; returns the replicas with their selected weights, and the epochs these come from, (R,)."""
    recipe, samples = job.recipe, job.resident.samples
    stepper = job.fabric.setup_optimizers(optimiser(engine.flat.parameter, recipe))
    per_epoch, total = recipe.length(samples)
    lr = rates(recipe, total=total)
    order = Order(job.replicas.seeds, samples)
    selection = Selection(recipe, engine.state())
    epoch = 0
    with _seeded(job):
        for start in range(0, total, per_epoch):
            epoch, alive = epoch + 1, ~selection.stopped
            here = lr[start : start + per_epoch]
            means = _epoch(job, engine, stepper, order, here)
            _still_finite(means["loss"], alive, job, epoch)
            job.rows += [Row(epoch, "train", name, value, alive) for name, value in means.items()]
            job.bar.update(len(here))
            if job.learner is not None:
                job.learner.settle(alive)
            if epoch % recipe.validate_every == 0 or start + per_epoch >= total:
                _look(job, engine, selection, epoch)
            if bool(selection.stopped.all()):
                break
    job.bar.update(max(0, total - epoch * per_epoch))
    return job.replicas.with_state(selection.state), selection.epoch


def _epoch(
    job: Job, engine: Engine, stepper: torch.optim.Optimizer, order: Order, lr: Sequence[float]
) -> dict[str, Tensor]:
    """One pass, a step per learning rate. Returns the loss's terms, meaned over the steps, (R,)."""
    engine.train()
    sums: dict[str, Tensor] = {}
    for rate, whole in zip(lr, _batches(job, order, len(lr)), strict=True):
        batch = whole.part(job.share)
        for group in stepper.param_groups:
            group["lr"] = rate
        said = _said(job, engine, batch)
        if job.learner is not None:
            batch = replace(batch, teacher=job.learner.step(engine, batch, said, rate))
        engine.flat.zero_grad()
        terms = job.loss(said.outputs, batch.target, batch.teacher, engine.extras)
        job.fabric.backward(batch.weight * terms["loss"].sum())
        job.share.average(job.fabric, engine.flat.gradient)
        if job.recipe.clip is not None:
            job.fabric.strategy.precision.unscale_gradients(stepper)
            clip_each(engine.gradients(), limit=job.recipe.clip)
        stepper.step()
        for name, value in terms.items():
            seen = batch.weight * value.detach()
            sums[name] = sums[name] + seen if name in sums else seen
    return {name: job.share.average(job.fabric, value / len(lr)) for name, value in sums.items()}


def _said(job: Job, engine: Engine, batch: Batch) -> Said:
    """What the students say about a batch: logits, and all that the methods of a distillation ask for."""
    needs, removal = job.loss.needs, job.loss.removal
    question = asked(engine, batch.x, batch.shared, views=needs.views, removal=removal)
    with job.fabric.autocast():
        outputs = answered(engine, question, needs)
    _one_logit_a_class(outputs.logits, job)
    return Said(question, outputs)


def _batches(job: Job, order: Order, count: int) -> Iterator[Batch]:
    """`count` batches of one pass."""
    resident, size, device = job.resident, job.recipe.batch_size, job.replicas.device
    if size is None or size >= resident.samples:
        yield from _whole(job, count)
        return
    for slots in torch.split(order.epoch().to(device), size, dim=1)[:count]:
        x, target = resident.pick(slots)
        teacher = None if job.teacher is None else job.teacher.pick(slots)
        yield Batch(_thinned(job, x, slots.shape[1]), target, teacher)


def _whole(job: Job, count: int) -> Iterator[Batch]:
    """The full batch again and again. Replicas share one copy, unless something is drawn per replica."""
    replicas, resident = len(job.replicas), job.resident
    x, target = resident.whole()
    shared = not resident.each
    if shared:
        target = target.expand(replicas, *target.shape)
        if job.dropout is not None:
            x = {name: value.expand(replicas, *value.shape) for name, value in x.items()}
            shared = False
    teacher = None if job.teacher is None else job.teacher.whole(replicas)
    for _ in range(count):
        yield Batch(_thinned(job, x, resident.samples), target, teacher, shared)


def _thinned(job: Job, x: dict[str, Tensor], size: int) -> dict[str, Tensor]:
    """Modality dropout, where the recipe asks for it."""
    if job.dropout is None or job.views is None:
        return x
    return job.dropout.apply_where(x, job.views.batch(size, job.replicas.device))


def _look(job: Job, engine: Engine, selection: Selection, epoch: int) -> None:
    """Score the validation split, where there is one, and let the selection decide."""
    if any("val" not in one.splits for one in job.sets):
        selection.see(epoch, None, None, engine.state())
        return
    engine.eval()
    alive = ~selection.stopped
    named = _score(job, engine, alive)
    job.rows += [Row(epoch, "val", name, value, alive) for name, value in named.items()]
    first = next(iter(named))
    selection.see(epoch, named[first], named["nll"], engine.state())


def _score(job: Job, engine: Engine, alive: Tensor) -> dict[str, Tensor]:
    replicas, device = job.replicas, job.replicas.device
    size = max(64, CHUNK // len(replicas))
    each = [
        eval_inputs(
            one, replicas.modalities, "val", None, None, size=size, device=device, dtype=replicas.dtype
        )
        for one in job.sets
    ]
    parts = []
    with torch.inference_mode(), job.fabric.autocast():
        for xs in zip(*each, strict=True):
            shared = len(xs) == 1
            x = xs[0] if shared else {name: torch.stack([one[name] for one in xs]) for name in xs[0]}
            parts.append(full(engine(x, shared)))
    targets = [one.target[one.positions("val")].to(device) for one in job.sets]
    target = targets[0] if len(targets) == 1 else torch.stack(targets)
    logits = torch.cat(parts, dim=1)
    logits[~alive.to(device)] = 0.0  # training was stopped: what has become of them since is of no matter
    return score(logits, target, task=job.resident.task)


def _one_logit_a_class(logits: Tensor, job: Job) -> None:
    classes = job.resident.classes
    if logits.ndim < 3 or logits.shape[2] != classes:
        shape = f"logits {tuple(logits.shape)}"
        raise LabError("replicas", shape, f"must be (R, B, {classes}), one logit for each class of the data")


def _still_finite(loss: Tensor, alive: Tensor, job: Job, epoch: int) -> None:
    """A replica whose training was stopped goes on in the stack, and may do what it likes there."""
    bad = (~torch.isfinite(loss.cpu()) & alive).nonzero().flatten().tolist()
    if bad:
        raise LabError(
            "recipe.lr",
            job.recipe.lr,
            f"the loss of seed {job.replicas.seeds[bad[0]]} is no longer finite in epoch {epoch}",
            "Lower it, or clip the gradient.",
        )


@contextmanager
def _seeded(job: Job) -> Iterator[None]:
    """A stream of its own for networks that draw from torch's global generator, such as dropout."""
    device = job.replicas.device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(derive(job.replicas.seeds[0], "dropout"))
        yield
