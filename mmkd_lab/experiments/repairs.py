"""The work behind repaired teachers: train a pair jointly, rank the teacher's channels, ask it without some.

Source: Xue et al. 2023 (MFH), Algorithm 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from mmkd_lab.attribution import (
    ChannelSaliency,
    Editor,
    Joint,
    RankingContext,
    align,
    by_channel,
    kept_channels,
    truth_of,
)
from mmkd_lab.core.check import LabError, require
from mmkd_lab.core.seed import derive
from mmkd_lab.data.paired import PairedData, Task
from mmkd_lab.distill import TeacherOutputs
from mmkd_lab.distill.losses.ce import CrossEntropy
from mmkd_lab.distill.teacher_outputs import identity_of
from mmkd_lab.experiments.experiment import Experiment
from mmkd_lab.experiments.jobs import Arrays, JobOutcome
from mmkd_lab.experiments.networks import loaded
from mmkd_lab.experiments.store import Result
from mmkd_lab.training.recipe import Recipe
from mmkd_lab.training.sources import Source


@dataclass(frozen=True, eq=False)
class PairTask:
    """Train a teacher and a student jointly: Algorithm 1, step 1.

    Args:
        teacher, student: where they come from.
        data: the samples.
        joint: how.
        seed: the study's.
        recipe: of the precision.
        device: where.
        labels: the term that reads the labels; None for that of the task.
    """

    teacher: Source
    student: Source
    data: PairedData
    joint: Joint
    seed: int
    recipe: Recipe
    device: torch.device
    labels: CrossEntropy | None = None


def train_pair(task: PairTask) -> JobOutcome:
    """The state of both, {'teacher/state/<name>': ..., 'student/state/<name>': ...}."""
    streams = pair_streams(task.seed)
    nets = [
        loaded(source, None, stream, task.device, task.recipe).module()
        for source, stream in zip((task.teacher, task.student), streams, strict=True)
    ]
    trained = align(nets[0], nets[1], task.data, joint=task.joint, labels=task.labels, seed=streams[1])
    return JobOutcome(
        {"role": "aligned pair"},
        {
            f"{role}/state/{name}": values.detach().cpu().numpy()
            for role, net in zip(("teacher", "student"), (trained.teacher, trained.student), strict=True)
            for name, values in [*net.named_parameters(), *net.named_buffers()]
        },
    )


def pair_streams(seed: int) -> tuple[int, int]:
    """The streams of teacher and student of a jointly trained pair."""
    return derive(seed, "aligned", "teacher"), derive(seed, "aligned", "student")


@dataclass(frozen=True, eq=False)
class Pair:
    """A jointly trained teacher and student: the task that made them, and their states."""

    task: PairTask
    states: Arrays

    def nets(self) -> tuple[nn.Module, nn.Module]:
        """Teacher and student as modules."""
        task, found = self.task, []
        for role, source, seed in zip(
            ("teacher", "student"), (task.teacher, task.student), pair_streams(task.seed), strict=True
        ):
            state = {
                name.removeprefix(f"{role}/"): values
                for name, values in self.states.items()
                if name.startswith(f"{role}/")
            }
            found.append(loaded(source, state, seed, task.device, task.recipe).module())
        return found[0], found[1]


@dataclass(frozen=True)
class LayerPlace:
    """Where channels are: a layer (None for what the head reads), its side, and the axis of the channels."""

    layer: str | None = None
    side: Literal["output", "input"] = "output"
    axis: int | None = None


@dataclass(frozen=True, eq=False)
class RankTask:
    """Rank the channels of a pair's teacher at a place: Algorithm 1, step 2, on the training split."""

    pair: Pair
    place: LayerPlace


def rank_channels(task: RankTask) -> JobOutcome:
    """The saliency of every channel, as `saliency_of` reads it."""
    teacher, student = task.pair.nets()
    place = task.place
    found = by_channel(
        teacher,
        student,
        task.pair.task.data,
        layer=place.layer,
        side=place.side,
        axis=place.axis,
        seed=task.pair.task.seed,
    )
    numbers = {"values": found.values, "standard_error": found.standard_error, "constant": found.constant}
    if found.magnitude is not None:
        numbers["magnitude"] = found.magnitude
    facts = ("start", "layer", "side", "axis", "method", "distance", "permutations", "n")
    return JobOutcome({name: getattr(found, name) for name in facts}, numbers)


def saliency_of(ranked: JobOutcome | Result) -> ChannelSaliency:
    """What `rank_channels` found."""
    numbers: dict[str, Any] = {name: np.array(one) for name, one in ranked.tensors.items()}
    return ChannelSaliency(**ranked.metrics, **numbers)


@dataclass(frozen=True)
class Edit:
    """Which channels of a teacher go, and what stands in for them.

    Args:
        ranking: the ranking whose last channels go; None removes none.
        ratio: the share that goes.
        draw: which of several random choices.
        replace: 'mean', 'zeros' or 'retrain'.
        truth: the channels declared to be shared, or None.
    """

    ranking: str | None
    ratio: float = 0.0
    draw: int = 0
    replace: Literal["mean", "zeros", "retrain"] = "mean"
    truth: tuple[int, ...] | None = None


@dataclass(frozen=True, eq=False)
class EditTask:
    """Ask a pair's teacher about every sample, without some of its channels."""

    pair: Pair
    place: LayerPlace
    edit: Edit
    saliency: ChannelSaliency
    recipe: Recipe
    probe: str | None


def ask_edited(task: EditTask) -> JobOutcome:
    """What it says, as `TeacherOutputs.arrays` has it; on the probe split, what its head reads."""
    asked, edit, saliency = task.pair.task, task.edit, task.saliency
    teacher, _ = task.pair.nets()
    channels = None
    if edit.ranking is not None:
        truth = None if edit.truth is None else truth_of(edit.truth, len(saliency))
        context = RankingContext(saliency, seed=asked.seed, draw=edit.draw, truth=truth)
        channels = kept_channels(edit.ranking, context, edit.ratio)
    editor, probe = Editor.of(teacher, asked.data, saliency), [] if task.probe is None else [task.probe]
    if edit.replace == "retrain":
        stream = derive(asked.seed, "repair", "head")
        found = editor.retrained(channels, recipe=task.recipe, stream=stream, features=probe)
    else:
        found = editor.keeping(channels, replace=edit.replace, features=probe)
    metrics = dict[str, object]()
    if channels is not None:
        lost = np.setdiff1d(np.flatnonzero(~saliency.constant), channels)
        metrics = {"channels": channels.tolist(), "living_removed": len(lost)}
    kept = {f"probe/{split}": values for split, values in found.features.items()}
    return JobOutcome(metrics, {**by_sample(found.logits, asked.data).arrays(), **kept})


def by_sample(logits: Mapping[str, torch.Tensor], data: PairedData) -> TeacherOutputs:
    """{split: (N, K)} of one teacher as its outputs by sample index."""
    index = torch.cat([data.sample_index[data.positions(split)].cpu() for split in logits])
    return TeacherOutputs(index, torch.cat(list(logits.values()))[None], identity=identity_of(data))


def untrained(experiment: Experiment) -> tuple[nn.Module, nn.Module, dict[str, torch.Tensor]]:
    """Teacher and student before training, and a few samples for them."""
    data, streams = experiment.data, pair_streams(0)
    teacher, student = (
        source.replicas([stream], device="cpu", recipe=experiment.teacher_recipe).module()
        for source, stream in zip((experiment.teachers["other"], experiment.student), streams, strict=True)
    )
    few = {name: values.cpu() for name, values in data.batch(data.positions("train")[:8]).items()}
    dtype = next(teacher.parameters()).dtype
    few = {name: v.to(dtype) if v.is_floating_point() else v for name, v in few.items()}
    return teacher, student, few


def tried(experiment: Experiment) -> Experiment:
    """Whatever is wrong with the channels is found on untrained networks, before hours of training."""
    data, config = experiment.data, experiment.config
    rule = "trains a new head on one row of features a sample, and a dense task has maps"
    dense = data.task is Task.DENSE and config.replace == "retrain"
    require(not dense, "replace", config.replace, rule, "Use 'mean' or 'zeros'.")
    rule, way_out = (
        "must have every modality of every sample, since a pair is trained on both",
        ("Take the complete ones: data.select(data.seen(whole=True).nonzero().flatten())."),
    )
    require(not data.present, "dataset", list(data.present), rule, way_out)
    edited = [one for one in experiment.arms if one.teacher is not None and one.teacher.training != "alone"]
    if not edited:
        return experiment
    teacher, student, few = untrained(experiment)
    found = by_channel(
        teacher, student, few, permutations=1, layer=config.layer, side=config.side, axis=config.axis
    )
    for ratio in (one for one in config.ratios if 0 < one * len(found) < 1):
        rule = f"removes none of the {len(found)} channels"
        raise LabError("ratios", ratio, rule, f"Use 0, or at least {1 / len(found):.3g}.")
    truth = None if config.truth is None else truth_of(config.truth, len(found))
    for arm in edited:
        if arm.teacher is not None and arm.teacher.ranking is not None:
            kept_channels(arm.teacher.ranking, RankingContext(found, truth=truth), 0.0)
    return experiment
