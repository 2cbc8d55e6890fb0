"""The work of jobs: train a network, ask a teacher, train a student. Any process can do each of them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from mmkd_lab.core.seed import derive
from mmkd_lab.data.paired import PairedData
from mmkd_lab.distill import Context, Distillation, TeacherOutputs, labels_only
from mmkd_lab.experiments.jobs import Arrays, JobOutcome
from mmkd_lab.experiments.scoring import scored
from mmkd_lab.models import View
from mmkd_lab.models.removal import Removal
from mmkd_lab.training import TrainingResult, fit, prune, teacher_outputs
from mmkd_lab.training.checkpoint import described
from mmkd_lab.training.reading import Augment
from mmkd_lab.training.recipe import Recipe
from mmkd_lab.training.replicas import Replicas
from mmkd_lab.training.sources import Source

#: Over how many draws from the marginal a teacher's word is averaged, where modalities are permuted: a target
#: should not rest on one random partner.
DRAWS = 8
#: Under what name the weights of the training samples are kept, one array for each view.
SAMPLE_WEIGHTS = "sample_weights"


def teacher_seed(seed: int) -> int:
    """A teacher's own stream: under the student's, equal networks would start from equal weights."""
    return derive(seed, "teacher")


@dataclass(frozen=True, eq=False)
class NetworkTask:
    """Train a network on labels alone.

    Args:
        source: where it comes from.
        data: the samples.
        recipe: the training.
        seed: of its weights and of its order of samples.
        device: where.
        removal: how `recipe.modality_dropout` removes, or None.
        class_weights: of the labels, or None.
    """

    source: Source
    data: PairedData
    recipe: Recipe
    seed: int
    device: torch.device
    removal: Removal | None = None
    class_weights: tuple[float, ...] | None = None


def train_network(task: NetworkTask) -> JobOutcome:
    """Its state, {'state/<name>': ...}, and how it came about."""
    untrained = task.source.replicas([task.seed], device=task.device, recipe=task.recipe)
    dropout = task.removal if task.recipe.modality_dropout else None
    fitted = fit(
        untrained,
        task.data,
        labels_only(task.data.task, class_weights=task.class_weights),
        task.recipe,
        dropout_removal=dropout,
        absent=task.removal,
        progress=False,
    )
    return JobOutcome(_facts(fitted), state_of(fitted.replicas))


@dataclass(frozen=True)
class Asks:
    """What a teacher is asked about every sample, beside its logits.

    Args:
        views: the views beside the full input.
        layers: the layers whose features are kept, for every sample.
        view_features: whether features at the head are kept under each view too.
        removal: the name of the operator that removes what a view does not keep.
        probe: the split on which what the head reads is kept with the head's weight, or None.
    """

    views: tuple[View, ...] = ()
    layers: tuple[str, ...] = ()
    view_features: bool = False
    removal: str = "zeros"
    probe: str | None = None

    def describe(self) -> dict[str, object]:
        """Plain values for a key."""
        views = [view.label for view in self.views]
        return {**self.__dict__, "views": views, "layers": list(self.layers)}


@dataclass(frozen=True, eq=False)
class OutputsTask:
    """Ask a teacher about every sample.

    Args:
        source: where the teacher comes from.
        data: the samples.
        recipe: how it was trained, for the precision.
        asks: what is asked.
        removal: the operator of that name.
        device: where.
        state: the teacher's state; None for one that is used as it came.
        seed: of the teacher.
    """

    source: Source
    data: PairedData
    recipe: Recipe
    asks: Asks
    removal: Removal
    device: torch.device
    state: Arrays | None = None
    seed: int = 0


def ask_teacher(task: OutputsTask) -> JobOutcome:
    """What it says, as `TeacherOutputs.arrays` has it, and on the probe split what its head reads."""
    network = loaded(task.source, task.state, task.seed, task.device, task.recipe)
    asks = task.asks
    said = teacher_outputs(
        network,
        task.data,
        views=asks.views,
        removal=task.removal,
        layers=asks.layers,
        view_features=asks.view_features,
        draws=DRAWS,
    )
    kept = dict(said.arrays())
    if asks.probe is not None:
        kept |= probed(network, task.data, asks.probe)
    return JobOutcome({"parameters": network.size}, kept)


@dataclass(frozen=True, eq=False)
class StudentTask:
    """Train a student.

    Args:
        source: where it comes from.
        data: the samples.
        loss: what it learns from.
        recipe: the training, with the student's modality dropout.
        seed: of its weights and of its order of samples.
        device: where.
        context: what the loss's methods prepare the teacher's outputs by.
        teacher: what its teacher says (R = 1), or None.
        views: those under which its outputs are kept, the full one first.
        removal: how modalities go.
        probe: the split on which its features are kept, or None.
        pruned_from: the teacher that it is pruned from, its state and its source.
        keep: whether its own network is kept, too; see `state_of`. What is left of a pruned one never is.
        augment: what it sees of its samples instead, or None.
        live: its teacher where that is asked in every step: source, state and recipe.
    """

    source: Source
    data: PairedData
    loss: Distillation
    recipe: Recipe
    seed: int
    device: torch.device
    context: Context
    teacher: TeacherOutputs | None
    views: tuple[View, ...]
    removal: Removal
    probe: str | None = None
    pruned_from: tuple[Source, Arrays, Recipe] | None = None
    keep: bool = False
    augment: Augment | None = None
    live: tuple[Source, Arrays | None, Recipe] | None = None


def train_student(task: StudentTask) -> JobOutcome:
    """Its outputs under every view, on all splits but train; its scores on all; its weights of samples."""
    taught, live = None, None
    if task.live is not None:
        source, state, recipe = task.live
        live = loaded(source, state, teacher_seed(task.seed), task.device, recipe)
    elif task.teacher is not None:
        taught = task.loss.prepare(task.teacher, task.context, seed=task.seed)
    before = _clock(task.device)
    untrained, searched = _start(task)
    train = task.data.positions("train")
    samples = int(task.data.seen(untrained.modalities)[train].sum())
    if task.loss.learned is not None:  # torch loads what looking ahead needs at first use: no part of a step
        short = replace(task.recipe, epochs=None, min_steps=None, steps=1, modality_dropout=0.0)
        fit(untrained, task.data, task.loss.to(task.device), short, teacher=taught, progress=False)
        before = _clock(task.device)
    fitted = fit(
        untrained,
        task.data,
        task.loss.to(task.device),
        task.recipe,
        teacher=live or taught,
        augment=task.augment,
        dropout_removal=task.removal if task.recipe.modality_dropout else None,
        absent=task.removal,
        progress=False,
    )
    steps = searched + sum(steps_run(fitted, task.recipe, samples))
    facts = {**_facts(fitted), "seconds": (_clock(task.device) - before) / steps}
    if _keeps(task):
        facts["network"] = described(fitted.replicas)
    scores = _scores(fitted.replicas, task.data, task.removal)
    return JobOutcome({**facts, "scores": scores}, _kept(task, fitted, taught))


def _start(task: StudentTask) -> tuple[Replicas, int]:
    """The untrained student, or what is left of its teacher, with the steps that the search took."""
    untrained = task.source.replicas([task.seed], device=task.device, recipe=task.recipe)
    if task.pruned_from is None:
        return untrained, 0
    source, state, recipe = task.pruned_from
    large = loaded(source, state, teacher_seed(task.seed), task.device, recipe)
    left = prune(large, task.data, task.recipe, parameters=untrained.size, progress=False).nets[0]
    return left, task.recipe.length(len(task.data.positions("train")))[1]


def _keeps(task: StudentTask) -> bool:
    return task.keep and task.pruned_from is None


def _kept(task: StudentTask, fitted: TrainingResult, taught: TeacherOutputs | None) -> dict[str, np.ndarray]:
    network = fitted.replicas
    kept = state_of(network) if _keeps(task) else {}
    for split in (one for one in task.data.splits if one == task.probe or one not in ("train", "meta")):
        for view in task.views:
            seen = None if view == task.views[0] else view
            removal = None if seen is None and not task.data.present else task.removal
            said = network.predict(task.data, split=split, view=seen, removal=removal)
            kept[f"logits/{split}/{view.label}"] = said[0].numpy()
    if task.probe is not None:
        kept |= probed(network, task.data, task.probe)
    if fitted.weights is not None:
        wide = fitted.weights.pivot_table(index="step", columns="view", values="value")
        kept["weights/step"] = wide.index.to_numpy(dtype=np.int64)
        kept |= {f"weights/{view}": wide[view].to_numpy(dtype=np.float64) for view in wide}
    if taught is not None and taught.weights:
        kept |= _sample_weights(task, fitted, taught)
    return kept


def _sample_weights(
    task: StudentTask, fitted: TrainingResult, taught: TeacherOutputs
) -> dict[str, np.ndarray]:
    """The weight of every training sample under each view: the teacher's times what was learned."""
    rows = taught.rows(task.data.sample_index[task.data.positions("train")].to(taught.index.device))
    found = {view: values[0].double().cpu() for view, values in rows.weights.items()}
    learned = fitted.weights_by_sample
    if learned is not None:
        found = {view: found[view] * learned[0, v].double() for v, view in enumerate(found)}
    return {f"{SAMPLE_WEIGHTS}/{view.label}": values.numpy() for view, values in found.items()}


def probed(network: Replicas, data: PairedData, split: str) -> dict[str, np.ndarray]:
    """What the head reads on a split."""
    return {f"probe/{split}": network.features(data, split=split)[0].double().numpy()}


def loaded(source: Source, state: Arrays | None, seed: int, device: torch.device, recipe: Recipe) -> Replicas:
    """One network from its source and, where it was trained, its state."""
    network = source.replicas([seed], device=device, recipe=recipe)
    if state is None:
        return network
    named = {
        name.removeprefix("state/"): torch.from_numpy(np.array(values))[None].to(device)
        for name, values in state.items()
        if name.startswith("state/")
    }
    return network.with_state(named)


def state_of(network: Replicas) -> dict[str, np.ndarray]:
    """Parameters and buffers of one network, as `loaded` wants them."""
    named: Mapping[str, Tensor] = {**network.parameters, **network.buffers}
    return {f"state/{name}": value[0].detach().cpu().numpy() for name, value in named.items()}


def steps_run(fitted: TrainingResult, recipe: Recipe, samples: int) -> list[int]:
    """How many steps each replica took of a recipe that may stop early, for so many training samples."""
    per_epoch, most = recipe.length(samples)
    epochs = fitted.history.groupby("replica")["epoch"].max()
    return [min(per_epoch * int(last), most) for last in epochs.sort_index()]


def _facts(fitted: TrainingResult) -> dict[str, object]:
    history = fitted.history.drop(columns=["replica", "seed"])
    return {
        "best_epoch": int(fitted.best_epoch[0]),
        "parameters": fitted.replicas.size,
        "history": history.to_dict("list"),
    }


def _scores(network: Replicas, data: PairedData, removal: Removal) -> dict[str, dict[str, float]]:
    how = {"removal": removal} if data.present else {}
    return {
        split: scored(network.predict(data, split=split, **how), data, where)  # type: ignore[arg-type]
        for split, where in data.splits.items()
    }


def _clock(device: torch.device) -> float:
    """Seconds: of the processor on a CPU, which others may be using too."""
    if device.type == "cpu":
        return time.process_time()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()
