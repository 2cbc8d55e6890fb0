"""The case of a diagnosis: one pair of modalities, its networks, and how a call about it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmkd_lab.attribution import Joint
from mmkd_lab.core.check import LabError, require
from mmkd_lab.data.paired import PairedData, Task
from mmkd_lab.distill import ARMS, TeacherKind, TeacherOutputs
from mmkd_lab.experiments.build import crossmodal
from mmkd_lab.experiments.experiment import Experiment
from mmkd_lab.experiments.lessons import Student, Teacher
from mmkd_lab.experiments.plain import classified
from mmkd_lab.experiments.plan import Plan
from mmkd_lab.experiments.profiles import PROFILES
from mmkd_lab.experiments.repairs import tried
from mmkd_lab.experiments.store import Result
from mmkd_lab.models import View
from mmkd_lab.study.diagnosis.budget import Desk, pace
from mmkd_lab.training.metrics import first_of
from mmkd_lab.training.sources import Source, source_of

SEEDS = 3
#: Options of `experiments.Config` that mean something to a diagnosis, beside the common ones.
OPTIONS = ("layer", "side", "axis", "joint")
_ARMS = ("no_kd", "cm_kd")
#: Steps of joint training for the ranking of channels, and epochs at most.
_JOINT_STEPS, _JOINT_EPOCHS = 640, 100
OTHER, ALL = TeacherKind("other"), TeacherKind("all")
Said = dict[int, Tensor]
_SPLITS = {"val": "validation", "test": "test"}


@dataclass(eq=False)
class Case:
    """What sections look at. `experiment` is the one of the pair; `chosen` says that its recipes are not the
    profile's, `calls` how the user named data and models, `left` how many seconds are left."""

    experiment: Experiment
    desk: Desk
    calls: dict[str, str]
    left: Callable[[], float] = lambda: float("inf")
    train: tuple[str, ...] = ()
    chosen: bool = False
    held: dict[str, Any] = field(default_factory=dict)

    @property
    def data(self) -> PairedData:
        """The samples."""
        return self.experiment.data

    @property
    def student(self) -> str:
        """The student's modality."""
        return self.experiment.modalities["student"][0]

    @property
    def teacher(self) -> str:
        """The teacher's modality."""
        return self.experiment.modalities["other"][0]

    @property
    def split(self) -> str:
        """Where evidence is looked for: never the test split, unless there is no other."""
        return "val" if "val" in self.data.splits else "test"

    @property
    def single(self) -> bool:
        """Whether every sample has one label."""
        return self.data.task is Task.SINGLE_LABEL

    @property
    def metric(self) -> str:
        """The task's first metric."""
        return first_of(self.data.task)

    @property
    def pilot_metric(self) -> str:
        """What is said of pilots."""
        return "accuracy" if self.single else "labels right"

    @property
    def unit(self) -> str:
        """What its numbers are, for axes and sentences."""
        return f"{self.metric.replace('_', ' ')}, % of {_SPLITS[self.split]}"

    def target(self) -> Tensor:
        """The labels on the split of the evidence."""
        return self.data.target[self.data.positions(self.split)].cpu()

    def use(self, experiment: Experiment) -> None:
        """Go on with other recipes."""
        self.experiment, self.held, self.chosen = experiment, {}, True

    def call(self, function: str, *more: str, pair: bool = True) -> str:
        """A line that can be copied: `study.failure_cases(data, student="b", teacher="a", ...)`."""
        named = [f'student="{self.student}"', f'teacher="{self.teacher}"'] if pair else []
        given = ("student_model", "teacher_model") if pair else ()  # they read one modality each
        models, recipe = [self.calls[name] for name in given if name in self.calls], list[str]()
        if pair and self.chosen and not any(one.startswith("recipe=") for one in more):
            recipe = [f"recipe={written(self.experiment)}"]
        layer = self.experiment.config.layer
        if layer is not None and function in ("diagnose", "repair_teachers"):
            recipe.append(f"layer={layer!r}")
        return f"study.{function}({', '.join([self.calls['data'], *named, *models, *recipe, *more])})"

    # Networks.

    def plan(self, experiment: Experiment | None = None, name: str = "pair") -> Plan:
        """The plan of the pair, or of another experiment by its name."""
        if name not in self.held:
            self.held[name] = Plan(self.experiment if experiment is None else experiment, self.desk)
        plan: Plan = self.held[name]
        return plan

    def untaught(self) -> dict[int, Result]:
        """{seed: student that learned from labels alone}."""
        return untaught(self.plan())

    def answers(self, results: Mapping[int, Result]) -> Said:
        """{seed: (N, K)} of students on the split of the evidence."""
        view = next(name for name in next(iter(results.values())).tensors if f"logits/{self.split}/" in name)
        return {seed: torch.from_numpy(np.array(one.tensors[view])) for seed, one in results.items()}

    @property
    def teacher_seeds(self) -> tuple[int, ...]:
        """The seeds of teachers: one where it is not trained."""
        trains = self.experiment.teachers["other"].trains
        return self.experiment.seeds if trains else self.experiment.seeds[:1]

    def teachers(self) -> dict[int, TeacherOutputs]:
        """{seed: what the crossmodal teacher says of every sample}."""
        plan, wanted = self.plan(), {seed: Teacher(OTHER, seed) for seed in self.teacher_seeds}
        plan.teach(wanted.values())
        return {seed: plan.taught[one].said for seed, one in wanted.items()}

    def said(self, outputs: Mapping[int, TeacherOutputs], split: str | None = None) -> Said:
        """{seed: (N, K)} of teachers on a split."""
        index = self.data.sample_index[self.data.positions(split or self.split)].cpu()
        return {seed: one.rows(index).logits[0].cpu() for seed, one in outputs.items()}

    def everything(self) -> tuple[Plan, dict[int, TeacherOutputs]]:
        """A network that sees all modalities, one a seed: its plan, and what it says, under each view."""
        names = tuple(sorted(self.data.modalities))
        source = self._probe(names)
        seen = replace(
            self.experiment,
            arms=(),
            modalities={**self.experiment.modalities, "student": names, "all": names},
            teachers={"all": source},
            views=tuple(View.only(name) for name in names),
            probe=None,
        )
        plan, wanted = self.plan(seen, "all"), {s: Teacher(ALL, s) for s in self.experiment.seeds}
        plan.teach(wanted.values())
        return plan, {seed: plan.taught[one].said for seed, one in wanted.items()}

    def small(self, name: str) -> dict[int, Result]:
        """Small networks that read one modality, from labels alone: the students, where they are the same."""
        source, own = self._probe((name,)), self.experiment.student
        if name == self.student and source.alike(own):
            return self.untaught()
        modalities = {**self.experiment.modalities, "student": (name,)}
        alone = replace(
            self.experiment, arms=(ARMS["no_kd"],), modalities=modalities, student=source, probe=None
        )
        return untaught(self.plan(alone, f"small {name}"))

    def _probe(self, names: tuple[str, ...]) -> Source:
        """A small network on any modalities: your description of the student where it can read them, or else
        dense layers."""
        given, how = self.experiment.student.spec, {"data": self.data, "modalities": names}
        if given is not None and isinstance(given.encoder, str) and "student_model" in self.calls:
            try:
                return source_of(given, argument="student_model", **how)  # type: ignore[arg-type]
            except LabError:  # a student of numbers need not read a text
                pass
        profile = replace(PROFILES[self.experiment.config.profile], dense=True)
        spec = profile.network("student", self.data)
        return source_of(spec, argument="student_model", **how)  # type: ignore[arg-type]

    def classified(self, names: tuple[str, ...]) -> dict[str, Tensor]:
        """{classifier: (N, K)} of plain classifiers, on the split of the evidence."""
        key = f"plain {names}"
        if key not in self.held:
            self.held[key] = classified(self.desk, self.data, names)
        return {one: said[self.split] for one, said in self.held[key].items()}

    # How long it will take.

    def seconds(self, who: str) -> float:
        """Of training one network of the 'student', the 'teacher' or 'all' that there is to see."""
        if f"pace {who}" not in self.held:
            experiment = self.experiment
            source = experiment.student if who == "student" else experiment.teachers["other"]
            if who == "all" or source.kind == "table":
                source = self._probe(tuple(sorted(self.data.modalities)))
            recipe = experiment.student_recipe if who == "student" else experiment.teacher_recipe
            self.held[f"pace {who}"] = pace(source, self.data, recipe)
        found: float = self.held[f"pace {who}"]
        return found

    @property
    def plain_seconds(self) -> float:
        """Of plain classifiers on all modalities, as they go on one core."""
        n, rows = len(self.data.positions("train")), len(self.data)
        width = sum(values[0].numel() for values in self.data.modalities.values())
        kernel = 4 * n * n * (2 * width + 60 * self.data.num_classes) if n * rows <= 2**26 else 0
        return 0.5 + 2 * (4 * 60 * n * width * self.data.num_classes + kernel) / 3e9


def untaught(plan: Plan) -> dict[int, Result]:
    """{seed: student from labels alone} of a plan."""
    experiment = plan.experiment
    wanted = [Student(ARMS["no_kd"], seed, experiment.plain, None) for seed in experiment.seeds]
    return dict(zip(experiment.seeds, plan.students(wanted), strict=True))


def written(experiment: Experiment) -> str:
    """A student's recipe as it is called in a line of Python."""
    recipe, plain = experiment.student_recipe, PROFILES[experiment.config.profile].recipe
    names = ("epochs", "min_steps", "batch_size", "optimiser", "lr", "weight_decay")
    shown = [f"{n}={getattr(recipe, n)!r}" for n in names if getattr(recipe, n) != getattr(type(plain)(), n)]
    return f"training.Recipe({', '.join(shown)})"


def experiment_of(
    dataset: object,
    *,
    pair: tuple[str, str | None],
    models: tuple[object, object],
    seeds: Iterable[int] | None,
    options: Mapping[str, Any],
) -> Experiment:
    """The experiment of a pair, checked; (student, teacher) in `pair` and `models`."""
    found = crossmodal(
        "diagnose",
        dataset,
        student=pair[0],
        teacher=pair[1],
        arms=(None, _ARMS, ()),
        seeds=range(SEEDS) if seeds is None else seeds,
        models=models,
        options=options,
        known=OPTIONS,
    )
    for role, argument in (("student", "student"), ("other", "teacher")):
        names = found.modalities[role]
        require(len(names) == 1, argument, " + ".join(names), "must be one modality: two are compared here")
    answered = _answered(found)
    if answered is not None:
        return experiment_of(answered, pair=pair, models=models, seeds=found.seeds, options=options)
    task, known = found.data.task, (Task.SINGLE_LABEL, Task.MULTI_LABEL)
    rule = f"must be {' or '.join(one.value for one in known)}"
    way_out = "Ask one question of it: data.one_label(...)."
    if task is Task.DENSE:
        way_out = "Scenes are read by failure_cases, repair_teachers and kd_vs_msd."
    require(task in known, "task of dataset", task.value, rule, way_out)
    rule = "must have a teacher: crossmodal KD cannot be had here"
    require("cm_kd" in found.names, "teacher", found.left_out.get("cm_kd"), rule)
    found = _paced(found)
    if "joint" not in options:
        per_epoch = -(-len(found.data.positions("train")) // 64)
        epochs = max(1, min(_JOINT_EPOCHS, round(_JOINT_STEPS / per_epoch)))
        found = replace(found, config=replace(found.config, joint=Joint(epochs=epochs)))
    if task is Task.SINGLE_LABEL and found.teachers["other"].kind != "table":
        # channels are ranked, none are removed
        tried(replace(found, arms=(ARMS["aligned_kd"],), config=replace(found.config, ratios=(0.0,))))
    return found


def _paced(found: Experiment) -> Experiment:
    """Where nobody gave a recipe, beyond 2,048 training samples epochs shrink, and about as many steps are
    made as of 2,048: many small networks are tried here."""
    more = max(1.0, len(found.data.positions("train")) / 2048)
    names = [name for name in ("student_recipe", "teacher_recipe") if _free(found, name)]
    recipes = {name: getattr(found, name) for name in names}
    shorter = {n: replace(one, epochs=max(1, int((one.epochs or 1) / more))) for n, one in recipes.items()}
    return replace(found, **shorter)


def _free(found: Experiment, name: str) -> bool:
    """Whether a recipe is the profile's, not one that was given."""
    given = found.config.recipe or (found.config.teacher_recipe if name == "teacher_recipe" else None)
    return given is None


def _answered(found: Experiment) -> PairedData | None:
    """The data whose evidence is of the samples that a partial table has; None where that is all of them."""
    data, source = found.data, found.teachers.get("other")
    if source is None or source.kind != "table" or not source.outputs.partial:
        return None
    split = "val" if "val" in data.splits else "test"
    where = data.positions(split)
    there = torch.isin(data.sample_index[where].cpu(), source.outputs.index.cpu())
    own = isinstance(source.value, TeacherOutputs) and source.value.identity is not None
    if own or bool(there.all()) or not bool(there.any()):
        return None
    return replace(data, splits={**data.splits, split: where[there]})


def called(data: object, given: Mapping[str, object]) -> dict[str, str]:
    """How a call about this case is written: a set by its name, what was given as a variable of its name."""
    found = {name: f"{name}={name}" for name, value in given.items() if value is not None}
    return {"data": f'"{data}"' if isinstance(data, str) else "data", **found}


def names_of(modalities: Sequence[str]) -> str:
    """'image', or 'image and speech together'."""
    return modalities[0] if len(modalities) == 1 else f"{' and '.join(modalities)} together"
