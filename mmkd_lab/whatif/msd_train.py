"""The networks of the MSD panel: trained by the engine, kept by its store, asked under every view."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor, nn

from mmkd_lab import data as datasets
from mmkd_lab.attribution.networks import logits, onto
from mmkd_lab.core.check import require
from mmkd_lab.data.paired import PairedData
from mmkd_lab.data.task import Task
from mmkd_lab.experiments.build import multimodal
from mmkd_lab.experiments.experiment import Experiment
from mmkd_lab.experiments.lessons import Student, Teacher, teachers_of
from mmkd_lab.experiments.networks import loaded, teacher_seed
from mmkd_lab.experiments.plan import Plan
from mmkd_lab.experiments.profiles import MULTIMODAL
from mmkd_lab.experiments.runner import Runner
from mmkd_lab.experiments.store import Result
from mmkd_lab.experiments.table import Table, said_by_student, said_by_teacher, sample_weights
from mmkd_lab.models import View, all_views
from mmkd_lab.models.removal import removal_named
from mmkd_lab.training.metrics import score
from mmkd_lab.whatif.answer import Progress
from mmkd_lab.whatif.msd_state import MsdState

#: The datasets by name, small: a panel opens in half a minute on one core.
SIZES = {"n_train": 600, "n_val": 200, "n_test": 300}
DATASETS = ("shapes_vl", "av_digits")
MOST_MODALITIES = 5
_STUDY = "what_if_msd"


@dataclass(frozen=True, eq=False)
class Trained:
    """What came out, and what the first seed's networks say of every test sample.

    Attributes:
        data: the samples.
        views: those of the table, the full input first.
        table: tidy: one row per network, view and metric, on test.
        nets: {'teacher' | 'student': network}; the student is that of the state's scheme.
        said: {'teacher' | 'student': {view: (N, K) logits on test}}, under every view there is.
        inputs, instead: {modality: (N, ...)} test samples, and what stands there once a modality is removed.
        weights: {view label: (N,)} what the scheme weighs MSD's terms by; of learned weights the mean over
            the training samples.
    """

    data: PairedData
    views: tuple[View, ...]
    table: pd.DataFrame
    nets: Mapping[str, nn.Module]
    said: Mapping[str, Mapping[View, Tensor]]
    inputs: Mapping[str, Tensor]
    instead: Mapping[str, Tensor]
    weights: Mapping[str, npt.NDArray[np.float64]]

    @property
    def modalities(self) -> tuple[str, ...]:
        """Their names, sorted."""
        return tuple(sorted(self.inputs))

    @cached_property
    def accuracies(self) -> dict[tuple[str, str], npt.NDArray[np.float64]]:
        """{(arm, view label): (seeds,) test accuracy, percent}."""
        found = self.table[self.table["metric"] == "accuracy"].sort_values("seed").groupby(["arm", "view"])
        return {(str(arm), str(view)): part["value"].to_numpy() for (arm, view), part in found}

    @cached_property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """{modality: the values between which nearly all of its test samples lie}, for pictures."""
        found = {name: np.percentile(values.numpy(), [0.5, 99.5]) for name, values in self.inputs.items()}
        return {
            name: (float(low), float(high) if high > low else float(low) + 1.0)
            for name, (low, high) in found.items()
        }

    @property
    def target(self) -> Tensor:
        """(N,) the classes of the test samples."""
        return self.data.target[self.data.positions("test")]


def load(name: str) -> PairedData:
    """A dataset by name, small. Raises `LabError` for another than those of `DATASETS`."""
    require(name in DATASETS, "data", name, f"must be one of {list(DATASETS)}, or a PairedData")
    return datasets.load(name, **SIZES)


def experiment_of(state: MsdState, data: PairedData) -> Experiment:
    """What a state has trained. Raises `LabError` as `study.kd_vs_msd` does, and for another task than one
    label a sample, or more than five modalities."""
    require(data.task is Task.SINGLE_LABEL, "data", data.task.value, "must have one label a sample")
    names = sorted(data.modalities)
    rule = f"must have at most {MOST_MODALITIES} modalities"
    require(len(names) <= MOST_MODALITIES, "data", names, rule)
    recipe = replace(MULTIMODAL["quick"].recipe, epochs=None, min_steps=None, steps=state.steps)
    return multimodal(
        _STUDY,
        data,
        arms=(state.arms, state.arms, ("kd",)),
        seeds=range(state.seeds),
        models=(None, None),
        options={
            "kd_weight": state.kd,
            "msd_weight": state.msd,
            "temperature": state.temperature,
            "removal": state.removal,
            "tune": False,
            "recipe": recipe,
            "device": "cpu",
        },
    )


def networks(experiment: Experiment) -> int:
    """How many are trained."""
    return len(experiment.seeds) * (1 + len(experiment.arms))


def train(experiment: Experiment, runner: Runner) -> Generator[Progress, None, Trained]:
    """One network after another, each a step of the generator."""
    plan, total, done = Plan(experiment, runner), networks(experiment), 0
    results: dict[str, list[Result]] = {arm.name: [] for arm in experiment.arms}
    teachers = teachers_of(experiment.arms, experiment.seeds)
    for i, seed in enumerate(experiment.seeds):
        yield Progress(done, total, f"networks, now the teacher of seed {seed}")
        plan.teach([teachers["kd"][i]])
        done += 1
        for arm in experiment.arms:
            yield Progress(done, total, f"networks, now {arm.label}, seed {seed}")
            teacher = teachers[arm.name][i] if arm.name in teachers else None
            results[arm.name] += plan.students([Student(arm, seed, experiment.plain, teacher)])
            done += 1
    return _gathered(plan, teachers["kd"], results)


def _gathered(plan: Plan, teachers: list[Teacher], results: Mapping[str, list[Result]]) -> Trained:
    experiment, data = plan.experiment, plan.experiment.data
    first, shown = experiment.seeds[0], experiment.arms[2].name
    large = plan.networks["all", first].tensors
    source = experiment.teachers["all"]
    stream, device = teacher_seed(first), experiment.device
    teacher = loaded(source, large, stream, device, experiment.teacher_recipe).module()
    own = results[shown][0].tensors
    student = loaded(experiment.student, own, first, device, experiment.student_recipe).module()
    test = data.positions("test")
    inputs = data.batch(test, tuple(data.modalities), dtype=torch.float64)
    instead = removal_named(experiment.config.removal, data).apply(inputs, View.only())
    nets = {"teacher": teacher, "student": student}
    views = all_views(inputs)
    return Trained(
        data=data,
        views=experiment.looked_at,
        table=_table(plan, teachers, results),
        nets=nets,
        said={
            who: {view: said(net, mixed(inputs, instead, view)) for view in views}
            for who, net in nets.items()
        },
        inputs=inputs,
        instead=instead,
        weights=_weights(plan, teachers[0], results[shown]),
    )


def mixed(inputs: Mapping[str, Tensor], instead: Mapping[str, Tensor], view: View) -> dict[str, Tensor]:
    """{modality: (N, ...)}: the inputs that a view keeps, and what stands instead of the others."""
    return {name: values if name in view else instead[name] for name, values in inputs.items()}


def said(net: nn.Module, x: Mapping[str, Tensor]) -> Tensor:
    """(N, K) logits, in double precision."""
    return logits(net, onto(net, x)).double()


def _table(plan: Plan, teachers: list[Teacher], results: Mapping[str, list[Result]]) -> pd.DataFrame:
    experiment, data = plan.experiment, plan.experiment.data
    views, table = experiment.looked_at, Table(_STUDY, data, ("view",))
    target = data.target[data.positions("test")]
    for r, seed in enumerate(experiment.seeds):
        heard = {"teacher": said_by_teacher(plan.taught[teachers[r]].said, data, ("test",), views)}
        heard |= {arm: said_by_student(several[r], ("test",), views) for arm, several in results.items()}
        for arm, by_split in heard.items():
            role = "teacher" if arm == "teacher" else "student"
            for view, z in by_split["test"].items():
                named = {name: float(one[0]) for name, one in score(z[None], target, task=data.task).items()}
                table.add(arm, role, seed, "test", named, view)
    return table.frame()


def _weights(plan: Plan, teacher: Teacher, results: list[Result]) -> dict[str, npt.NDArray[np.float64]]:
    experiment, arm, data = plan.experiment, plan.experiment.arms[2], plan.experiment.data
    loss, test = experiment.loss(arm, experiment.plain), data.sample_index[data.positions("test")]
    if loss.learned is not None:
        means = {view: float(one.mean()) for view, one in sample_weights(results[0]).items()}
        return {view: np.full(len(test), mean) for view, mean in means.items()}
    taught = loss.prepare(plan.taught[teacher].said, experiment.context, seed=experiment.seeds[0])
    assert taught is not None  # an arm of MSD reads its teacher
    return {view.label: one[0].double().numpy() for view, one in taught.rows(test).weights.items()}
