"""Learning rates and strengths, chosen on the validation split with seeds that no comparison has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import torch

from mmkd_lab.core.seed import derive
from mmkd_lab.distill import ARMS, Arm, Strength
from mmkd_lab.experiments.experiment import Experiment, strengths_of
from mmkd_lab.experiments.lessons import Student, Teacher
from mmkd_lab.experiments.plan import Plan
from mmkd_lab.experiments.runner import Runner
from mmkd_lab.experiments.store import Result
from mmkd_lab.training.metrics import cost_of, goodness, score

#: The seeds that rates and strengths are chosen with; no seed of a study is among them.
TUNING = tuple(derive(i, "kd_vs_msd", "tuning") for i in range(3))
STUDENT_RATE, TEACHER_RATE = "student's rate", "teacher's rate"


@dataclass(frozen=True)
class Tried:
    """One candidate of one choice: means over the tuning seeds, validation split, full input.

    Args:
        choice: what is chosen, a learning rate or a method's strength.
        value: the candidate.
        metric: that which selects epochs, the task's first unless the recipe names another.
        val: its mean, negative where less is better.
        nll: the mean negative log-likelihood (rmse in a regression), which decides between equal `val`.
        n: seeds.
    """

    choice: str
    value: float
    metric: str
    val: float
    nll: float
    n: int


def best(tried: Sequence[Tried]) -> float:
    """The value with the best mean score; ties go to the lower nll, then to the one that comes first."""
    return ranked(tried)[0].value


def ranked(tried: Sequence[Tried]) -> list[Tried]:
    """The best first, as `best` has it."""
    return sorted(tried, key=lambda one: (-one.val, one.nll))


def at_the_end(tried: Sequence[Tried]) -> dict[str, float]:
    """{choice: value} of what was chosen from an end of its candidates, beyond which a better one may lie."""
    choices: dict[str, list[Tried]] = {}
    for one in tried:
        choices.setdefault(one.choice, []).append(one)
    found = {}
    for name, some in choices.items():
        value, known = best(some), sorted(one.value for one in some)
        if len(known) > 1 and value in (known[0], known[-1]):
            found[name] = value
    return found


def strengths(plan: Plan) -> tuple[dict[str, float], list[Tried]]:
    """The strengths with the best mean validation score on the full input, and all that were tried.

    KD's first; then, beside it, every other: that of a family by the arm that it names, so that no member is
    favoured. What is best for the full input need not be so with a modality missing.
    """
    experiment, seen = plan.experiment, list[Tried]()
    chosen = dict(experiment.plain)
    known = strengths_of(experiment.arms)
    for stage in (
        [one for one in known if one.name == "kd"],
        [one for one in known if one.name != "kd"],
    ):
        wanted = [
            Student(carrier(one, experiment.arms), seed, {**chosen, one.name: value}, None)
            for one in stage
            for value in one.grid
            for seed in TUNING
        ]
        results = iter(plan.students([_with_teacher(one) for one in wanted]))
        for one in stage:
            some = [
                tried(one.name, value, experiment, [_on_val(experiment, next(results)) for _ in TUNING])
                for value in one.grid
            ]
            seen += some
            chosen[one.name] = best(some)
    return chosen, seen


def carrier(strength: Strength, arms: Sequence[Arm]) -> Arm:
    """The arm by which a strength is chosen: the one it names, else the first that has it."""
    if strength.tuned_on is not None:
        return ARMS[strength.tuned_on]
    return next(arm for arm in arms if strength in strengths_of([arm]))


def tuned_teachers(experiment: Experiment) -> list[Teacher]:
    """The teachers that choosing strengths takes."""
    kinds = {carrier(one, experiment.arms).teacher for one in strengths_of(experiment.arms)}
    return [Teacher(kind, seed) for kind in kinds if kind is not None for seed in TUNING]


def _with_teacher(student: Student) -> Student:
    kind = student.arm.teacher
    return student if kind is None else replace(student, teacher=Teacher(kind, student.seed))


def rates(experiment: Experiment, runner: Runner) -> tuple[Experiment, list[Tried]]:
    """The experiment at the rates at which both networks learn best from labels alone, and all tried."""
    students, teachers = list[Tried](), list[Tried]()
    kind = next(arm.teacher for arm in experiment.arms if arm.teacher is not None)
    for rate in experiment.config.rates:
        trial = replace(
            experiment,
            arms=(ARMS["no_kd"],),
            student_recipe=replace(experiment.student_recipe, lr=rate),
            teacher_recipe=replace(experiment.teacher_recipe, lr=rate),
        )
        plan = Plan(trial, runner)
        small = plan.students([Student(ARMS["no_kd"], seed, {}, None) for seed in TUNING])
        students.append(tried(STUDENT_RATE, rate, trial, [_on_val(trial, one) for one in small]))
        if trial.teachers[kind.sees].trains:
            plan.teach([Teacher(kind, seed) for seed in TUNING])
            index = trial.data.sample_index[trial.data.positions("val")]
            large = [one.said.rows(index).logits[0] for one in plan.taught.values()]
            teachers.append(tried(TEACHER_RATE, rate, trial, large))
    return replace(
        experiment,
        student_recipe=replace(experiment.student_recipe, lr=best(students)),
        teacher_recipe=replace(
            experiment.teacher_recipe, lr=best(teachers) if teachers else experiment.teacher_recipe.lr
        ),
    ), [*students, *teachers]


def trained_for(experiment: Experiment) -> int:
    """How many networks choosing takes."""
    config, found = experiment.config, 2 * len(experiment.config.rates)
    if config.tune:
        found += sum(len(one.grid) for one in strengths_of(experiment.arms)) + 1
    return len(TUNING) * found


def _on_val(experiment: Experiment, result: Result) -> torch.Tensor:
    """(N, K) logits on the validation split, full input."""
    return torch.from_numpy(result.tensors[f"logits/val/{experiment.full.label}"].copy())


def tried(choice: str, value: float, experiment: Experiment, logits: Sequence[torch.Tensor]) -> Tried:
    """One candidate from what its networks, one a seed, say on the validation split."""
    data = experiment.data
    target, said = data.target[data.positions("val")].cpu(), torch.stack([one.cpu() for one in logits])
    named: Mapping[str, torch.Tensor] = score(said, target, task=data.task, also=data.metrics)
    metric = experiment.student_recipe.select_metric or next(iter(named))
    cost = named[cost_of(data.task)]
    means = fmean(goodness(named, metric).tolist()), fmean(cost.tolist())
    return Tried(choice, value, metric, *means, len(logits))
