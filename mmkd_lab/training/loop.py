"""The loop itself: epochs of steps for the replicas of one engine. `fit` prepares it and is what to call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor

from mmkd_lab.core.calling_off import go_on
from mmkd_lab.core.check import require
from mmkd_lab.core.seed import derive
from mmkd_lab.training.batch import Batch, Said, answered, asked, full
from mmkd_lab.training.device import at_once
from mmkd_lab.training.engine import Engine, clip_each
from mmkd_lab.training.inputs import eval_inputs
from mmkd_lab.training.job import Fitting, HistoryRow
from mmkd_lab.training.metrics import score
from mmkd_lab.training.order import Order
from mmkd_lab.training.recipe import Recipe
from mmkd_lab.training.replicas import Replicas
from mmkd_lab.training.schedule import optimiser, rates
from mmkd_lab.training.select import Selection


def run(job: Fitting, *, stacked: bool) -> tuple[Replicas, Tensor]:
    """Train; returns the replicas with their selected weights, and the epochs these come from, (R,)."""
    samples, seeds = job.resident.samples, job.replicas.seeds
    recipe = job.recipe.raised(samples)
    engine = Engine(job.replicas, job.extras(), stacked=stacked)
    stepper = job.fabric.setup_optimizers(optimiser(engine.flat.parameter, recipe))
    per_epoch, total = recipe.length(samples)
    lr, order, selection = (
        rates(recipe, total=total),
        Order(seeds, samples),
        Selection(recipe, engine.state()),
    )
    epoch = 0
    with _seeded(job):
        for start in range(0, total, per_epoch):
            go_on()
            epoch, alive = epoch + 1, ~selection.stopped
            here = lr[start : start + per_epoch]
            means = _epoch(job, engine, stepper, order, here, epoch)
            # A replica whose training was stopped goes on in the stack, and may do what it likes there.
            require_finite(means["loss"].cpu().where(alive, 0.0), f"in epoch {epoch}", seeds, recipe)
            _note(job, epoch, "train", means, alive)
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
    job: Fitting,
    engine: Engine,
    stepper: torch.optim.Optimizer,
    order: Order,
    lr: Sequence[float],
    epoch: int,
) -> dict[str, Tensor]:
    """One pass, a step per learning rate. Returns the loss's terms, meaned over the steps, (R,)."""
    engine.net.train()
    sums: dict[str, Tensor] = {}
    for rate, whole in zip(lr, _batches(job, order, len(lr)), strict=True):
        batch = whole.part(job.share)
        for group in stepper.param_groups:
            group["lr"] = rate
        said = _said(job, engine, batch)
        if job.learner is not None:
            batch = replace(batch, teacher=job.learner.step(engine, batch, said, rate))
        engine.flat.zero_grad()
        terms = job.loss(replace(said.outputs, epoch=epoch), batch.target, batch.teacher, engine.extras)
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


def _said(job: Fitting, engine: Engine, batch: Batch) -> Said:
    """What the students say about a batch: logits, and all that the methods of a distillation ask for."""
    needs, classes = job.loss.needs, job.resident.classes
    question = asked(engine, batch.x, batch.shared, views=needs.views, removal=job.loss.removal)
    with job.fabric.autocast():
        outputs = answered(engine, question, needs)
    shape, rule = (
        tuple(outputs.logits.shape),
        f"must be (R, B, {classes}), one logit for each class of the data",
    )
    require(len(shape) > 2 and shape[2] == classes, "replicas", f"logits {shape}", rule)
    return Said(question, outputs)


def _batches(job: Fitting, order: Order, count: int) -> Iterator[Batch]:
    """`count` batches of one pass."""
    resident, size = job.resident, job.recipe.batch_size
    if size is None or size >= resident.samples:
        yield from _whole(job, count)
        return
    for slots in torch.split(order.epoch().to(job.replicas.device), size, dim=1)[:count]:
        x, target = resident.pick(slots)
        teacher = None if job.teacher is None else job.teacher.pick(slots)
        yield Batch(_thinned(job, x, slots.shape[1]), target, teacher)


def _whole(job: Fitting, count: int) -> Iterator[Batch]:
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


def _thinned(job: Fitting, x: dict[str, Tensor], size: int) -> dict[str, Tensor]:
    """Modality dropout, where the recipe asks for it."""
    if job.dropout is None or job.views is None:
        return x
    return job.dropout.apply_where(x, job.views.batch(size, job.replicas.device))


def _look(job: Fitting, engine: Engine, selection: Selection, epoch: int) -> None:
    """Score the validation split, where there is one, and let the selection decide."""
    if any("val" not in one.splits for one in job.sets):
        selection.see(epoch, None, None, engine.state())
        return
    engine.net.eval()
    alive = ~selection.stopped
    named = _score(job, engine, alive)
    _note(job, epoch, "val", named, alive)
    selection.see(epoch, next(iter(named.values())), named["nll"], engine.state())


def _score(job: Fitting, engine: Engine, alive: Tensor) -> dict[str, Tensor]:
    replicas, device = job.replicas, job.replicas.device
    how = {"size": at_once(len(replicas), device), "device": device, "dtype": replicas.dtype}
    each = [eval_inputs(one, replicas.modalities, "val", **how) for one in job.sets]  # type: ignore[arg-type]
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


def _note(job: Fitting, epoch: int, split: str, named: dict[str, Tensor], alive: Tensor) -> None:
    going = alive.tolist()
    job.rows.extend(HistoryRow(epoch, split, name, value.tolist(), going) for name, value in named.items())


def require_finite(loss: Tensor, when: str, seeds: Sequence[int], recipe: Recipe) -> None:
    """Raise `LabError` unless the loss (R,) is finite."""
    bad = (~torch.isfinite(loss)).nonzero().flatten().tolist()
    rule = f"the loss of seed {seeds[bad[0]]} is no longer finite {when}" if bad else ""
    require(not bad, "recipe.lr", recipe.lr, rule, "Lower it, or clip the gradient.")


@contextmanager
def _seeded(job: Fitting) -> Iterator[None]:
    """A stream of its own for networks that draw from torch's global generator, such as dropout."""
    device = job.replicas.device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(derive(job.replicas.seeds[0], "dropout"))
        yield
