"""Failure case 1 of crossmodal distillation: does a stronger teacher make a better student?

Xue et al. 2023 (MFH), section 3 and table 1: a teacher that sees more than the student is stronger than a
unimodal teacher, yet its student is no better. Here on any paired data and any networks, with paired seeds
and intervals.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from mmkd_lab.data.paired import PairedData
from mmkd_lab.experiments.build import crossmodal
from mmkd_lab.experiments.checks import Checked, checked
from mmkd_lab.experiments.claims import (
    ALONE,
    Claim,
    called,
    claim,
    clauses,
    headline,
    label,
    ordered,
    unit_of,
)
from mmkd_lab.experiments.experiment import Experiment, Names
from mmkd_lab.experiments.lessons import Student, teachers_of
from mmkd_lab.experiments.plain import line, plain
from mmkd_lab.experiments.plan import Plan
from mmkd_lab.experiments.report import file_name, provenance
from mmkd_lab.experiments.result import Study
from mmkd_lab.experiments.session import session
from mmkd_lab.experiments.store import ResultStore
from mmkd_lab.experiments.students import Students
from mmkd_lab.experiments.summary import primary_metric
from mmkd_lab.experiments.table import Table, teacher_scores

NAME = "failure_cases"
ARMS = ("no_kd", "um_kd", "cm_kd", "mm_kd", "kl_only")


def failure_cases(
    dataset: str | PairedData,
    *,
    student: Names,
    teacher: Names | None = None,
    arms: Sequence[str] | None = None,
    seeds: Iterable[int] | None = None,
    student_model: object = None,
    teacher_model: object = None,
    store: ResultStore | None = None,
    jobs: int | None = None,
    progress: bool = True,
    **options: Any,  # noqa: ANN401 - the fields of Config
) -> Study:
    """Train every arm's teacher and student on paired seeds, and say who made the better student.

    Under one seed all students start from the same weights and see the samples in the same order; only what
    they learn from differs. Temperature and weights are the same for every arm and are not tuned. The network
    of the best validation epoch is kept; the test split selects nothing.

    Args:
        dataset: a name for `data.load`, with the profile's parameters, or your own paired data, used whole.
        student: the modality that the student sees, or several: ("a", "b") or "a + b".
        teacher: that or those that the crossmodal teacher sees, any but exactly the student's; may be left
            out when there is one beside the student's.
        arms: names of registered arms; by default those of `ARMS` that can be had.
        seeds: distinct whole numbers; the profile's number of seeds by default.
        student_model: a NetSpec, a function that gives a fresh module, or a module; see `training.sources`.
        teacher_model: the same, or a table of answers, complete or not, see `distill.read_answers`; or
            {'student' | 'other' | 'all': one of these}, by what the teacher sees. A trained module and a
            table stand for the crossmodal teacher alone.
        store: where finished networks are kept; the default store when None.
        jobs: how many networks are trained at a time, in processes; see README for clusters.
        progress: show a progress bar over networks.
        options: see `experiments.Config`: profile, recipe, teacher_recipe, kd_weight (rho of
            (1 - rho) CE + rho T² KL; 0.5 and T = 4 are the starting values of the open benchmark MST-Distill,
            Li et al. 2025), temperature, convention, metric, device.

    Returns:
        a study of kind 'arms'. Accuracy in percent, nll in nats, for every split (in a regression R2 in
        percent, rmse and mae in the target's unit); the verdict is about test. The row 'linear', of role
        'baseline', is logistic regression (ridge) on the student's input, where that can be had.
        `provenance['notes']` says what is wrong with the networks, see `experiments.checks`.

    Raises:
        LabError: an unknown dataset, modality, arm, option or profile; fewer than two modalities; repeated
            seeds; a value out of range; a missing split that selection or the report needs.
        DamagedFile: a stored entry, or a file of the dataset, is damaged.
    """
    started = time.perf_counter()
    experiment = crossmodal(
        NAME,
        dataset,
        student=student,
        teacher=teacher,
        arms=(arms, ARMS, ()),
        seeds=seeds,
        models=(student_model, teacher_model),
        options=options,
        known=(),
    )
    # A teacher is trained, then asked; the one beside them is logistic regression.
    total = len(experiment.seeds) * (2 * len(experiment.teachers) + len(experiment.arms)) + 1
    with session(total, store=store, jobs=jobs, progress=progress) as runner:
        plan = Plan(experiment, runner)
        table, found = train(plan)
    metric = experiment.config.metric or primary_metric(table)
    who = experiment.seen_by("student")
    views = {arm: experiment.seen_by(kind) for arm, kind in _sees(experiment).items()}
    return Study(
        name=file_name(NAME, experiment.data.name, *experiment.modalities["student"]),
        title=title(table, student=who, metric=metric) + found.caution,
        table=table,
        verdict=verdict(table, student=who, views=views, metric=metric) + found.beside,
        kind="arms",
        options={"metric": metric},
        provenance={
            **provenance(experiment, dict(runner.counts), started),
            "student": who,
            "teacher": experiment.seen_by("other"),
            "notes": found.notes,
        },
        students=Students.of_plan(plan),
    )


def train(plan: Plan) -> tuple[pd.DataFrame, Checked]:
    """Train teachers and students; the tidy table, arm by arm: its teachers, then its students; and what is
    to be told of them."""
    experiment = plan.experiment
    teachers = teachers_of(experiment.arms, experiment.seeds)
    plan.teach(one for several in teachers.values() for one in several)
    wanted = [
        Student(arm, seed, experiment.plain, teachers[arm.name][i] if arm.name in teachers else None)
        for arm in experiment.arms
        for i, seed in enumerate(experiment.seeds)
    ]
    results = plan.students(wanted)
    others = plain(plan)
    found = checked(
        plan,
        zip((one.arm.name for one in wanted), results, strict=True),
        ((arm, one) for arm, several in teachers.items() for one in several),
        others,
    )
    each = iter(results)
    table = Table(experiment.study, experiment.data)
    for arm in experiment.arms:
        for teacher in teachers.get(arm.name, ()):
            scores = teacher_scores(plan.taught[teacher].said, experiment.data)
            table.scores(arm.name, "teacher", teacher.seed, scores)
        for seed in experiment.seeds:
            table.scores(arm.name, "student", seed, next(each).metrics["scores"])
    table.baseline(line(others), experiment.seeds[0])
    return table.frame(), found


def _sees(experiment: Experiment) -> dict[str, str]:
    return {arm.name: arm.teacher.sees for arm in experiment.arms if arm.teacher is not None}


def claims(
    table: pd.DataFrame, *, student: str, views: Mapping[str, str], metric: str | None = None
) -> list[tuple[str, list[Claim], list[Claim]]]:
    """[(arm, what is claimed of its teacher, of its student)], the largest shown effect on a student first.

    `views` says what each arm's teacher sees. Students are compared with unimodal KD's and no KD's, or with
    the first arm's where there is neither; teachers that see something else with unimodal KD's. `metric` is
    the primary one when None.
    """
    test = table[table["split"] == "test"]
    of = {role: list(dict.fromkeys(test[test["role"] == role]["arm"])) for role in ("teacher", "student")}
    # Scores over other samples are no scores to compare.
    partial = set(test[test["metric"] == "answered"]["arm"])
    found = []
    for arm in (name for name in of["student"] if name != "no_kd"):
        controls = [one for one in _controls(of["student"]) if one != arm]
        whose = {**{one: f"{label(one)}'s" for one in controls}, arm: "its student"}
        teacher, sees = [], views.get(arm, student)
        if sees != student and {arm, "um_kd"} <= set(of["teacher"]) - partial:
            names = {arm: f"the {sees} teacher", "um_kd": f"the {student} teacher"}
            teacher.append(claim(table, arm, "um_kd", role="teacher", names=names, metric=metric))
        if controls:
            said = [claim(table, arm, one, names=whose, metric=metric) for one in controls]
            found.append((arm, teacher, ordered(said)))
    first = ordered([students[0] for _, _, students in found])
    return sorted(found, key=lambda one: first.index(one[2][0]))


def _controls(students: Sequence[str]) -> list[str]:
    """What students are compared with."""
    return [one for one in ("um_kd", "no_kd") if one in students] or list(students[:1])


def outcome(teacher: Sequence[Claim], students: Sequence[Claim]) -> str:
    """What an arm's claims say together of the failure case: whose student is compared with whose."""
    by = {one.control: one for one in students}
    if "um_kd" not in by:
        return "no test of the failure case, which needs unimodal KD"
    if not teacher:
        return "no test of the failure case, since its teacher has not answered for all of test"
    (taught,), over = teacher, by["um_kd"]
    if taught.side == 0 or (taught.side < 0 and over.side <= 0):
        return "no test of the failure case, since its teacher is not shown to be the stronger one"
    if over.side == 0:
        return "no gain over the weaker teacher is shown"
    this, other = ("stronger", "weaker") if taught.side > 0 else ("weaker", "stronger")
    if over.side < 0:
        return f"a failure case, the {this} teacher made a worse student than the {other} one"
    yet = {0: ", which is not shown to be better than no KD's", -1: ", which is worse than no KD's"}
    alone = yet.get(by["no_kd"].side, "") if "no_kd" in by else ""
    return f"the {this} teacher made a better student than the {other} one{alone}"


def verdict(table: pd.DataFrame, *, student: str, views: Mapping[str, str], metric: str | None = None) -> str:
    """Every arm with all its numbers and what they say together; `views` and `metric` as in `claims`."""
    metric, n = metric or primary_metric(table), table["seed"].nunique()
    plural = "s" if n > 1 else ""
    lead = f"On {table['dataset'].iloc[0]} ({student} student, {n} seed{plural}, test {called(metric)})"
    said = []
    for arm, teacher, students in claims(table, student=student, views=views, metric=metric):
        tested = n > 1 and views.get(arm, student) != student
        what = f"; {outcome(teacher, students)}" if tested else ""
        said.append(f"{label(arm)}: {', '.join([*clauses(teacher), *clauses(students)])}{what}")
    if not said:
        return f"{lead}, nothing is compared."
    return f"{lead}, in {unit_of(metric)}. {'. '.join(said)}{'' if n > 1 else f'; {ALONE}'}."


def title(table: pd.DataFrame, *, student: str, metric: str | None = None) -> str:
    """The largest shown difference from unimodal KD, or from no KD where none from that is shown."""
    found = claims(table, student=student, views={}, metric=metric)
    every = [one for _, _, students in found for one in students]
    some = [one for one in every if one.control == "um_kd" and one.side] or every
    lead = f"{table['dataset'].iloc[0]}, {student} student"
    return headline(lead, [replace(one, names={}) for one in some])
