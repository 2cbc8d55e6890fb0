"""What the teacher looks at: by modality, within its own, and by channel (Algorithm 1)."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

import numpy as np
from torch import nn

from mmkd_lab.attribution import Maps, by_modality, within_modality
from mmkd_lab.core.stats import Interval, mean_interval
from mmkd_lab.data.paired import PairedData
from mmkd_lab.distill import ARMS
from mmkd_lab.experiments.jobs import Job, JobOutcome
from mmkd_lab.experiments.lessons import Teacher
from mmkd_lab.experiments.networks import loaded, teacher_seed
from mmkd_lab.experiments.plan import Plan
from mmkd_lab.experiments.store import key
from mmkd_lab.plotting import maps_figure, saliency_figure
from mmkd_lab.study.diagnosis.case import ALL, OTHER, Case
from mmkd_lab.study.diagnosis.finding import SectionFound, listed

#: Samples whose attribution is meaned, and of those the ones that are drawn.
MOST, DRAWN, BARS = 300, 6, 3
#: Columns that are drawn one by one, at most.
COLUMNS = 40
BY_MODALITY, CHANNELS = "attribution", "channels"
HALF = "cells that hold half of it, %"


@dataclass(frozen=True, eq=False)
class LookTask:
    """Ask a network what counts: by modality, or within one if it is named."""

    net: nn.Module
    data: PairedData
    split: str
    within: str | None = None


def looks(case: Case, found: SectionFound) -> None:
    """The network of all modalities by modality, the teacher within its own and by channel."""
    _by_modality(case, found)
    if case.experiment.teachers["other"].kind == "table":
        found.says.append("The teacher is a table of answers: there is nothing to look into.")
        return
    _within(case, found)
    _channels(case, found)


def _by_modality(case: Case, found: SectionFound) -> None:
    plan, _ = case.everything()
    seed, names = case.experiment.seeds[0], sorted(case.data.modalities)
    made = key(role="diagnosis, by modality", network=plan.taught[Teacher(ALL, seed)].made, split=case.split)
    task = LookTask(_module(plan, "all", seed), case.data, case.split)
    (result,) = case.desk.run([Job(made, look, task, "attribution by modality")])
    values = {name: Interval(*result.metrics["shares"][name]) for name in names}
    for name, value in values.items():
        found.number(name, "share of |Shapley value|, %", value, role=BY_MODALITY)
    shown = listed([f"{value.show(digits=0)} % to {name}" for name, value in values.items()])
    found.says.append(
        f"A network that sees all modalities owes {shown} (Shapley values of the label's log-odds)."
    )


def _within(case: Case, found: SectionFound) -> None:
    plan, seed = case.plan(), case.teacher_seeds[0]
    case.teachers()
    made = key(role="diagnosis, within", network=plan.taught[Teacher(OTHER, seed)].made, split=case.split)
    task = LookTask(_module(plan, "other", seed), case.data, case.split, case.teacher)
    (result,) = case.desk.run([Job(made, look, task, "attribution within a modality")])
    value = Interval(*result.metrics["half"])
    cells = result.metrics["cells"]
    found.number("teacher", HALF, value, role=BY_MODALITY)
    found.says.append(
        f"Of the {cells:,} numbers of {case.teacher}, {value.show(digits=1)} % hold half of what the teacher "
        f"goes by (gradient times input)."
    )
    maps, inputs = (np.asarray(result.tensors[name]) for name in ("maps", "inputs"))
    if maps.ndim > 2 or maps.shape[1] <= COLUMNS:
        labels = [str(one) for one in result.metrics["labels"]]
        if maps.ndim == 2:  # one row of bars a sample
            maps, inputs, labels = maps[:BARS], inputs[:BARS], labels[:BARS]
        title = f"{case.data.name}: where the {case.teacher} teacher looks"
        found.figures.append(maps_figure(maps, inputs=inputs, labels=labels, title=title))


def _channels(case: Case, found: SectionFound) -> None:
    plan, kind = case.plan(), ARMS["aligned_kd"].teacher
    assert kind is not None
    plan.teach([Teacher(kind, seed) for seed in case.experiment.seeds])
    ranked = {seed: plan.rankings[True, seed] for seed in case.experiment.seeds}
    first = next(iter(ranked.values()))
    for name, sign in (("above 0", 1), ("below 0", -1)):
        values = {s: 100.0 * float((sign * one.values > 0).mean()) for s, one in ranked.items()}
        found.seeds(f"channels {name}", "share, %", values, role=CHANNELS)
    dead = {s: 100.0 * float(one.constant.mean()) for s, one in ranked.items()}
    found.seeds("channels dead", "share, %", dead, role=CHANNELS)
    below = found.get("channels below 0", "share, %", CHANNELS)
    found.says.append(
        f"Of the {len(first)} channels at the {first.side} of {first.layer!r}, {below.show(digits=0)} % are "
        f"below 0 by Algorithm 1, on the training samples: permuting one of them brings a copy of the "
        f"teacher, trained on jointly with a student, closer to it: they carry what the student does not see."
    )
    title = f"{case.data.name}: channels of the {case.teacher} teacher, seed {next(iter(ranked))}"
    found.figures.append(saliency_figure(first.table, title=title))


def _module(plan: Plan, sees: str, seed: int) -> nn.Module:
    """A teacher that was asked, as a module of its own."""
    experiment, kept = plan.experiment, plan.networks.get((sees, seed))
    source, state = experiment.teachers[sees], None if kept is None else kept.tensors
    made = loaded(source, state, teacher_seed(seed), experiment.device, experiment.teacher_recipe)
    return made.module()


def look(task: LookTask) -> JobOutcome:
    """Shares by modality; or maps of a few samples, and how many cells hold half of the attribution."""
    data, few = task.data, task.data.positions(task.split)[:MOST]
    kept = data.batch(few)
    dtype = next(task.net.parameters()).dtype
    x = {name: v.to(dtype) if v.is_floating_point() else v for name, v in kept.items()}
    if task.within is None:
        some = by_modality(task.net, x, target="label", output="log_probability", labels=data.target[few])
        rows = some.shares.set_index("modality")
        ends = {
            name: [100 * float(rows.loc[name, one]) for one in ("share", "low", "high")]
            for name in rows.index
        }
        return JobOutcome({"shares": {name: [*one, int(rows.loc[name, "n"])] for name, one in ends.items()}})
    found: Maps = within_modality(task.net, x, modality=task.within, method="gradient_x_input")
    sizes = np.sort(np.abs(found.values).reshape(len(found.values), -1))[:, ::-1]
    total = sizes.sum(1, keepdims=True)
    half = 1 + (np.cumsum(sizes, 1) < total / 2).sum(1)
    shares = mean_interval(100.0 * half[total[:, 0] > 0] / sizes.shape[1]) if (total > 0).any() else None
    seen = [nan, nan, nan, 0] if shares is None else [shares.mean, shares.low, shares.high, shares.n]
    labels = [data.classes[int(k)] for k in found.target[:DRAWN]]
    return JobOutcome(
        {"half": seen, "cells": sizes.shape[1], "labels": labels},
        {"maps": found.values[:DRAWN], "inputs": np.asarray(found.inputs[:DRAWN], dtype=float)},
    )
