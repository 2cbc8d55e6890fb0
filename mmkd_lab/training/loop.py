"""The loop itself: epochs of steps for the replicas of one engine. `fit` prepares it and is what to call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import count

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
from mmkd_lab.training.lessons import Live
from mmkd_lab.training.metrics import cost_of, goodness, score
from mmkd_lab.training.order import Order
from mmkd_lab.training.reading import Request, in_place
from mmkd_lab.training.recipe import Recipe
from mmkd_lab.training.replicas import Replicas
from mmkd_lab.training.schedule import optimiser, rates
from mmkd_lab.training.select import Selection


def run(job: Fitting, *, stacked: bool) -> tuple[Replicas, Tensor]:
    """Train; returns the replicas with their selected weights, and the epochs these come from, (R,)."""
    samples, seeds = job.resident.samples, job.replicas.seeds
    recipe = job.recipe.raised(samples)
    engine = Engine(job.replicas, job.extras(), stacked=stacked, unit=job.resident.unit)
    stepper = job.fabric.setup_optimizers(optimiser(engine.flat.parameter, recipe))
    per_epoch, total = recipe.length(samples)
    lr, order, selection = (
        rates(recipe, total=total),
        Order(seeds, samples),
        Selection(recipe, engine.state()),
    )
    epoch, ready = 0, _batches(job, order)
    with _seeded(job):
        for start in range(0, total, per_epoch):
            go_on()
            epoch, alive = epoch + 1, ~selection.stopped
            here = lr[start : start + per_epoch]
            means = _epoch(job, engine, stepper, ready, here, epoch)
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
    ready: Iterator[Batch],
    lr: Sequence[float],
    epoch: int,
) -> dict[str, Tensor]:
    """One pass, a step per learning rate. Returns the loss's terms, meaned over the steps, (R,)."""
    engine.net.train()
    sums: dict[str, Tensor] = {}
    for rate, whole in zip(lr, ready, strict=False):  # the batches have no end
        batch = whole.part(job.share)
        for group in stepper.param_groups:
            group["lr"] = rate
        said = _said(job, engine, batch)
        if job.learner is not None:
            batch = replace(batch, teacher=job.learner.step(engine, batch, said, rate))
        engine.flat.zero_grad()
        terms = job.loss(
            replace(said.outputs, epoch=epoch, counts=batch.counts),
            batch.target,
            batch.teacher,
            engine.extras,
        )
        mine = batch.weight
        job.fabric.backward(terms["loss"].sum() if mine == 1.0 else mine * terms["loss"].sum())
        job.share.average(job.fabric, engine.flat.gradient)
        if job.recipe.clip is not None:
            job.fabric.strategy.precision.unscale_gradients(stepper)
            clip_each(engine.gradients(), limit=job.recipe.clip)
        stepper.step()
        for name, value in terms.items():
            seen = value.detach() if mine == 1.0 else mine * value.detach()
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


def _batches(job: Fitting, order: Order) -> Iterator[Batch]:
    """The batches of one pass after the other, without end."""
    split, size = job.resident, job.recipe.batch_size or job.resident.samples
    whole = size >= split.samples
    if whole and split.x and not isinstance(job.teacher, Live):
        yield from _whole(job)
        return

    def asked() -> Iterator[Request]:
        """(epoch, slots); a full batch has the order of the split, as where it is held."""
        same = torch.arange(split.samples).expand(len(job.replicas), -1)
        for epoch in count(1):
            for slots in torch.split(same if whole else order.epoch(), size, dim=1):
                yield epoch, slots

    for slots, every, target in split.picked(asked()):
        teacher = None if job.teacher is None else job.teacher.about(slots, every, job.fabric.autocast)
        if teacher is not None and split.unit is not None and isinstance(job.teacher, Live):
            teacher = replace(teacher, logits=(teacher.logits - split.unit[0]) / split.unit[1])
        x = {name: every[name] for name in split.names}
        yield Batch(_thinned(job, x, slots), target, teacher, counts=split.counted(slots))


def _whole(job: Fitting) -> Iterator[Batch]:
    """The full batch again and again. Replicas share one copy, unless something is drawn per replica."""
    replicas, resident = len(job.replicas), job.resident
    x, target = resident.whole()
    shared = not resident.each
    if shared:
        target = target.expand(replicas, *target.shape)
        if job.dropout is not None:
            x = {name: value.expand(replicas, *value.shape) for name, value in x.items()}
            shared = False
    assert not isinstance(job.teacher, Live)
    teacher = None if job.teacher is None else job.teacher.whole(replicas)
    counts = resident.counts
    counts = None if counts is None else counts.expand(replicas, -1).to(resident.dtype)
    while True:
        yield Batch(_thinned(job, x), target, teacher, shared, counts=counts)


def _thinned(job: Fitting, x: dict[str, Tensor], slots: Tensor | None = None) -> dict[str, Tensor]:
    """Without what samples lack, and modality dropout where the recipe asks for it."""
    there = job.resident.stays(slots)
    if job.dropout is None or job.views is None:
        return job.absent.apply_where(x, there) if there else x
    size = job.resident.samples if slots is None else slots.shape[1]
    stays = job.views.batch(size, job.replicas.device)
    if there:
        both = {name: mask & there[name] if name in there else mask for name, mask in stays.items()}
        left = torch.stack(list(both.values())).any(0)  # a sample keeps one of those that it has
        stays = {m: torch.where(left, mask, there.get(m, torch.ones_like(mask))) for m, mask in both.items()}
    return job.dropout.apply_where(x, stays)


def _look(job: Fitting, engine: Engine, selection: Selection, epoch: int) -> None:
    """Score the validation split, where there is one, and let the selection decide."""
    if any("val" not in one.splits for one in job.sets):
        selection.see(epoch, None, None, engine.state())
        return
    engine.net.eval()
    alive = ~selection.stopped
    named = _score(job, engine, alive)
    _note(job, epoch, "val", named, alive)
    good = goodness(named, job.recipe.select_metric)
    selection.see(epoch, good, named[cost_of(job.resident.task)], engine.state())


def _score(job: Fitting, engine: Engine, alive: Tensor) -> dict[str, Tensor]:
    replicas, device = job.replicas, job.replicas.device
    how = {"size": at_once(len(replicas), device), "device": device, "dtype": replicas.dtype}
    each = [
        eval_inputs(one, replicas.modalities, "val", None, job.absent if one.present else None, **how)  # type: ignore[arg-type]
        for one in job.sets
    ]

    def said() -> Iterator[Tensor]:
        for xs in zip(*each, strict=True):
            shared = len(xs) == 1
            x = xs[0] if shared else {name: torch.stack([one[name] for one in xs]) for name in xs[0]}
            yield full(engine(x, shared))

    with torch.inference_mode(), job.fabric.autocast():
        logits = in_place(said(), len(job.sets[0].positions("val")))
    logits = logits.clone()
    targets = [one.target[one.positions("val")].to(device) for one in job.sets]
    target = targets[0] if len(targets) == 1 else torch.stack(targets)
    if job.resident.unit is not None:
        logits = logits * job.resident.unit[1] + job.resident.unit[0]
    logits[~alive.to(device)] = 0.0  # training was stopped: what has become of them since is of no matter
    return score(logits, target, task=job.resident.task, also=job.sets[0].metrics)


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
