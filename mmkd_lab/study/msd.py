"""KD against modality-specific distillation, with the controls that tell why one is better.

Jin et al. 2021 (MSD, Findings of EMNLP) let the student also mimic what its teacher says from each modality
alone. The paper's code was never published; no number of this study is the paper's.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from mmkd_lab.core.check import one_of, require
from mmkd_lab.data.paired import PairedData, Task
from mmkd_lab.distill import TeacherOutputs, UnreliableTeacher, gates, reliability, warn_unreliable
from mmkd_lab.experiments import summary
from mmkd_lab.experiments.build import multimodal
from mmkd_lab.experiments.checks import Checked, checked
from mmkd_lab.experiments.config import MSD_OPTIONS
from mmkd_lab.experiments.experiment import Experiment
from mmkd_lab.experiments.lessons import Student, Teacher, teachers_of
from mmkd_lab.experiments.plain import line, plain
from mmkd_lab.experiments.plan import Plan
from mmkd_lab.experiments.report import file_name, provenance
from mmkd_lab.experiments.result import Study
from mmkd_lab.experiments.runner import Runner
from mmkd_lab.experiments.scoring import scored
from mmkd_lab.experiments.session import session
from mmkd_lab.experiments.store import Result, ResultStore
from mmkd_lab.experiments.students import Students
from mmkd_lab.experiments.table import (
    Said,
    Table,
    densities,
    metrics,
    said_by_student,
    said_by_teacher,
    weight_rows,
    weights_by_sample,
    weights_over_time,
)
from mmkd_lab.experiments.tuning import (
    Tried,
    rates,
    strengths,
    trained_for,
    tuned_teachers,
)
from mmkd_lab.study.msd_words import notes, title, verdict

NAME = "kd_vs_msd"
ARMS = (
    *("no_kd", "kd", "kd_drop", "kd_views", "msd_uniform", "msd_population", "msd_instance", "msd_global"),
    *("msd_learned", "msd_shuffled", "msd_wrong", "fitnet", "rkd", "sp", "gram", "dkd", "dist", "telme"),
    *("multi_teacher", "pruned"),
)
#: KD, MSD with and without learned weights, and what tells why one is better.
COMPARED = ("no_kd", "kd", "kd_drop", "kd_views", "msd_uniform", "msd_instance", "msd_global", "msd_shuffled")
#: The arms whose weights differ from sample to sample, controls left out.
BY_INSTANCE = ("msd_instance", "msd_learned")
SPLITS = ("val", "test")


@dataclass(frozen=True, eq=False, repr=False)
class MsdStudy(Study):
    """A comparison with what its figures need; of one loaded from disk only the table is there.

    Attributes:
        reliability: the teachers under every view, on val; see `distill.reliability`.
        weights_over_time: arm, seed, step, view, value, of learned weights.
        weights_by_sample: arm, seed, sample, view, value and the data's facts, of msd_instance and, as they
            are when training ends, of msd_learned.
        outputs: {arm, or 'teacher': {view: (R, N, K)}} logits on test.
        target: the test labels.
        task: what they are.
    """

    reliability: pd.DataFrame = field(default_factory=pd.DataFrame)
    weights_over_time: pd.DataFrame = field(default_factory=pd.DataFrame)
    weights_by_sample: pd.DataFrame = field(default_factory=pd.DataFrame)
    outputs: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    target: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    task: Task = Task.SINGLE_LABEL

    def differences(
        self, *, metric: str | None = None, split: str = "test", against: Sequence[str] = ("kd",)
    ) -> pd.DataFrame:
        """Every arm against others, per view, paired by seed; see `summary.differences`."""
        return summary.differences(self.table, against=against, metric=metric, split=split)

    def scores(self, *arms: str) -> pd.DataFrame:
        """What densities are drawn of, all seeds pooled: arm, view, score; see `table.densities`.

        Raises `LabError` for an arm that is not there, or a study that was loaded from disk.
        """
        rule = "has no outputs"
        require(len(self.outputs) > 0, "study", self.name, rule, "A loaded study has its table alone.")
        for arm in arms:
            one_of("arm", arm, list(self.outputs))
        parts = [
            pd.DataFrame({"arm": arm, "view": view, "score": densities(x, self.target, self.task).flatten()})
            for arm in arms or self.outputs
            for view, x in self.outputs[arm].items()
        ]
        return pd.concat(parts, ignore_index=True)


def kd_vs_msd(
    dataset: str | PairedData,
    *,
    arms: Sequence[str] | None = None,
    seeds: Iterable[int] | None = None,
    student_model: object = None,
    teacher_model: object = None,
    store: ResultStore | None = None,
    jobs: int | None = None,
    progress: bool = True,
    **options: Any,  # noqa: ANN401 - the fields of Config
) -> MsdStudy:
    """Train a small student by every arm on paired seeds; it reads all modalities, as its teacher does.

    All arms train on the training split without its part 'meta'; the learned arms alone see the labels of
    'meta' too. Before any student, the teacher's word on each modality alone is checked (`UnreliableTeacher`
    warns). With `tune` every method's strength is chosen among five by the full input's validation score,
    meaned over three seeds of their own (`experiments.tuning`); with `rates` the learning rates are too. The
    epoch is chosen on validation as well, and nothing on test. Two arms are controls of MSD's terms:
    'kd_views' (same views and compute, but what the teacher says of the full input is the target under every
    view) and 'kd_drop' (no further view at all).

    Args:
        dataset, seeds, student_model, teacher_model, store, jobs, progress: as in `failure_cases`; some of
            the modalities are `data.only("a", "b")`. A trained module and a table stand for the teacher that
            sees everything.
        arms: 'kd' among them; None for all of `ARMS` that can be had: what cannot, and why, is
            `provenance['left_out']`.
        options: see `experiments.Config`: those of `failure_cases`, and removal, aux, weighting, learned,
            msd_weight, drop, tune, rates, teacher_dropout, gate, meta_share.

    Returns:
        a study of kind 'msd', with the column `view`. Metrics by view: see `table.metrics`; on 'train' also
        weight and ess (effective share of the samples) of MSD's terms, for the learned arms as they are when
        training ends, seconds_per_step (processor time on a CPU, validation included) and steps_of_kd, its
        ratio to KD's. `provenance['notes']` says what a reader must know of the comparison.

    Raises:
        LabError: an unknown dataset, arm, option or profile; fewer than two modalities; a missing split; a
            removal that a network cannot do; numbers out of range.
        DamagedFile: a stored entry, or a file of the dataset, is damaged.
    """
    started = time.perf_counter()
    experiment = multimodal(
        NAME,
        dataset,
        arms=(arms, ARMS, ("kd",)),
        seeds=seeds,
        models=(student_model, teacher_model),
        options=options,
    )
    with session(_total(experiment), store=store, jobs=jobs, progress=progress) as runner:
        ran = _run(experiment, runner)
    return _study(ran, provenance(ran.experiment, dict(runner.counts), started, *MSD_OPTIONS))


def _total(experiment: Experiment) -> int:
    each = len(experiment.modalities["all"]) if "multi_teacher" in experiment.names else 0
    return trained_for(experiment) + len(experiment.seeds) * (1 + each + len(experiment.arms)) + 1


@dataclass(frozen=True, eq=False)
class Ran:
    """What came out."""

    experiment: Experiment
    teachers: TeacherOutputs
    reliability: pd.DataFrame
    unreliable: list[str]
    strengths: dict[str, float]
    tried: list[Tried]
    results: dict[str, list[Result]]
    others: Mapping[str, Mapping[str, Tensor]]
    found: Checked
    students: Students


def _run(experiment: Experiment, runner: Runner) -> Ran:
    paces: list[Tried] = []
    if experiment.config.rates:
        experiment, paces = rates(experiment, runner)
    plan, config = Plan(experiment, runner), experiment.config
    teachers = teachers_of(experiment.arms, experiment.seeds)
    tuned = tuned_teachers(experiment) if config.tune else []
    plan.teach([*(one for several in teachers.values() for one in several), *tuned])
    said = _stacked(plan, teachers["kd"])
    known = reliability(said, experiment.data)
    if config.gate:
        _gate(plan, teachers["kd"], said)
        kd = [one for one in tuned if one.kind == teachers["kd"][0].kind]
        _gate(plan, kd, _stacked(plan, kd)) if kd else None
    unreliable = _warned(known)
    chosen, tried = strengths(plan) if config.tune else (experiment.plain, [])
    wanted = [
        Student(arm, seed, chosen, teachers[arm.name][i] if arm.name in teachers else None)
        for arm in experiment.arms
        for i, seed in enumerate(experiment.seeds)
    ]
    results = iter(plan.students(wanted))
    by_arm = {arm.name: [next(results) for _ in experiment.seeds] for arm in experiment.arms}
    others = plain(plan)
    found = checked(
        plan,
        ((arm, one) for arm, several in by_arm.items() for one in several),
        ((arm, one) for arm, several in teachers.items() for one in several),
        others,
    )
    every = [*paces, *tried]
    students = Students.of_plan(plan)
    return Ran(experiment, said, known, unreliable, dict(chosen), every, by_arm, others, found, students)


def _stacked(plan: Plan, teachers: Sequence[Teacher]) -> TeacherOutputs:
    return TeacherOutputs.stack([plan.taught[one].said for one in teachers])


def _gate(plan: Plan, teachers: Sequence[Teacher], said: TeacherOutputs) -> None:
    found = gates(reliability(said, plan.experiment.data), said)
    for r, teacher in enumerate(teachers):
        plan.gates[teacher.seed] = {view: share[r : r + 1] for view, share in found.items()}


def _warned(table: pd.DataFrame) -> list[str]:
    """Warn once, from where the study was called, of views that no student should mimic."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UnreliableTeacher)
        way_out = "Train it with modality dropout, teacher_dropout=0.3, or gate its weights, gate=True."
        said = warn_unreliable(table[table["view"] != "nothing"], way_out=way_out)
    for one in caught:
        warnings.warn(str(one.message), one.category, stacklevel=4)
    return said


def _study(ran: Ran, made: dict[str, object]) -> MsdStudy:
    experiment, data = ran.experiment, ran.experiment.data
    table, outputs = _table(ran)
    views = [view.label for view in experiment.looked_at]
    metric = experiment.config.metric or summary.primary_metric(table)
    instance = {arm: ran.results[arm] for arm in BY_INSTANCE if arm in ran.results}
    return MsdStudy(
        name=file_name(NAME, data.name),
        title=title(table, views=views, metric=metric) + ran.found.caution,
        table=table,
        verdict=verdict(table, views=views, removal=experiment.config.removal, metric=metric)
        + ran.found.beside,
        kind="msd",
        options={"metric": metric, "views": views},
        provenance={
            **made,
            "notes": [*notes(experiment, ran.tried, table), *ran.found.notes],
            "strengths": ran.strengths,
            "tuning": [asdict(one) for one in ran.tried],
            "reliability": ran.reliability.dropna(axis=1).round(6).to_dict("records"),
            "unreliable": ran.unreliable,
            "student_parameters": ran.results["kd"][0].metrics["parameters"],
        },
        students=ran.students,
        reliability=ran.reliability,
        weights_over_time=weights_over_time(ran.results, experiment.seeds),
        weights_by_sample=weights_by_sample(instance, experiment.seeds, data),
        outputs=outputs,
        target=data.target[data.positions("test")].cpu(),
        task=data.task,
    )


def _table(ran: Ran) -> tuple[pd.DataFrame, dict[str, dict[str, Tensor]]]:
    experiment, data = ran.experiment, ran.experiment.data
    views, seeds = experiment.looked_at, experiment.seeds
    table = Table(NAME, data, ("view",))
    heard: dict[str, list[Said]] = {"teacher": []}
    for r, seed in enumerate(seeds):
        heard["teacher"].append(said_by_teacher(ran.teachers[r], data, SPLITS, views))
        _network(table, "teacher", "teacher", seed, heard["teacher"][r], None)
    full = experiment.full.label
    for arm, results in ran.results.items():
        heard[arm] = [said_by_student(result, SPLITS, views) for result in results]
        for r, seed in enumerate(seeds):
            _network(table, arm, "student", seed, heard[arm][r], heard["teacher"][r])
            weight_rows(table, arm, seed, results[r])
            mine, its = (float(one.metrics["seconds"]) for one in (results[r], ran.results["kd"][r]))
            table.add(
                arm, "student", seed, "train", {"seconds_per_step": mine, "steps_of_kd": mine / its}, full
            )
    table.baseline(line(ran.others), seeds[0], full)
    known = [v.label for v in views if all(v.label in one["test"] for one in heard["teacher"])]
    outputs = {
        arm: {
            label_: torch.stack([one["test"][label_] for one in each])
            for label_ in (known if arm == "teacher" else [view.label for view in views])
        }
        for arm, each in heard.items()
    }
    return table.frame(), outputs


def _network(table: Table, arm: str, role: str, seed: int, said: Said, teacher: Said | None) -> None:
    """One network: everything on test, the task's metrics on val."""
    data = table.data
    for split, by_view in said.items():
        target = data.target[data.positions(split)].cpu()
        for view, logits in by_view.items():
            against = None if teacher is None or split != "test" else teacher[split].get(view)
            named = metrics(logits, target, data.task, against, also=data.metrics)
            if split == "test" and data.present:
                named |= scored(logits[None], data, data.positions(split))
            if split != "test":
                named.pop("ece", None)
            table.add(arm, role, seed, split, named, view)
