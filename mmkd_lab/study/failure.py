"""Failure case 1 of crossmodal distillation: does a stronger teacher make a better student?

Xue et al. 2023 (MFH), section 3 and table 1: a teacher that sees more than the student is stronger than a
unimodal teacher, yet its student is no better. Here on any paired data and any networks, with paired seeds
and intervals.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from mmkd_lab.data.paired import PairedData
from mmkd_lab.experiments.build import crossmodal
from mmkd_lab.experiments.checks import Checked, checked
from mmkd_lab.experiments.claims import Claim, claim, headline, label, sentence
from mmkd_lab.experiments.experiment import Experiment
from mmkd_lab.experiments.lessons import Student, teachers_of
from mmkd_lab.experiments.linear import linear
from mmkd_lab.experiments.plan import Plan
from mmkd_lab.experiments.report import file_name, provenance
from mmkd_lab.experiments.result import Study
from mmkd_lab.experiments.session import session
from mmkd_lab.experiments.store import ResultStore
from mmkd_lab.experiments.summary import primary_metric
from mmkd_lab.experiments.table import Table, teacher_scores

NAME = "failure_cases"
ARMS = ("no_kd", "um_kd", "cm_kd", "mm_kd", "kl_only")
#: The arms with a teacher that sees more than, or something other than, what the student sees.
ACROSS = ("cm_kd", "mm_kd")


def failure_cases(
    dataset: str | PairedData,
    *,
    student: str,
    teacher: str | None = None,
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
        student: the modality the student sees.
        teacher: the modality the crossmodal teacher sees; may be left out when there are only two.
        arms: names of registered arms; by default those of `ARMS` that can be had.
        seeds: distinct whole numbers; the profile's number of seeds by default.
        student_model: a NetSpec, a function that gives a fresh module, or a module; see `training.sources`.
        teacher_model: the same, or a table of outputs; or {'student' | 'other' | 'all': one of these}, by
            what the teacher sees. A trained module and a table stand for the crossmodal teacher alone.
        store: where finished networks are kept; the default store when None.
        jobs: how many networks are trained at a time, in processes; see README for clusters.
        progress: show a progress bar over networks.
        options: see `experiments.Config`: profile, recipe, teacher_recipe, kd_weight (rho of
            (1 - rho) CE + rho T² KL; 0.5 and T = 4 are the starting values of the open benchmark MST-Distill,
            Li et al. 2025), temperature, convention, device.

    Returns:
        a study of kind 'arms'. Accuracy in percent, nll in nats, for every split; the verdict is about test.
        The row 'linear', of role 'baseline', is logistic regression on the student's input, where that can be
        had. `provenance['notes']` says what is wrong with the networks, see `experiments.checks`.

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
    total = len(experiment.seeds) * (len(experiment.teachers) + len(experiment.arms)) + 1
    with session(total, store=store, jobs=jobs, progress=progress) as runner:
        plan = Plan(experiment, runner)
        table, found = train(plan)
    views = {arm: " + ".join(experiment.modalities[kind]) for arm, kind in _sees(experiment).items()}
    return Study(
        name=file_name(NAME, experiment.data.name, student),
        title=title(table, student=student) + found.caution,
        table=table,
        verdict=verdict(table, student=student, views=views) + found.beside,
        kind="arms",
        options={"metric": primary_metric(table)},
        provenance={
            **provenance(experiment, dict(runner.counts), started),
            "student": student,
            "teacher": experiment.modalities["other"][0],
            "notes": found.notes,
        },
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
    by_logits = linear(plan)
    found = checked(
        plan,
        zip((one.arm.name for one in wanted), results, strict=True),
        ((arm, one) for arm, several in teachers.items() for one in several),
        by_logits,
    )
    each = iter(results)
    table = Table(experiment.study, experiment.data)
    for arm in experiment.arms:
        for teacher in teachers.get(arm.name, ()):
            scores = teacher_scores(plan.taught[teacher].said, experiment.data)
            table.scores(arm.name, "teacher", teacher.seed, scores)
        for seed in experiment.seeds:
            table.scores(arm.name, "student", seed, next(each).metrics["scores"])
    table.baseline(by_logits, experiment.seeds[0])
    return table.frame(), found


def _sees(experiment: Experiment) -> dict[str, str]:
    return {arm.name: arm.teacher.sees for arm in experiment.arms if arm.teacher is not None}


def claims(table: pd.DataFrame, *, student: str, views: Mapping[str, str]) -> list[tuple[str, list[Claim]]]:
    """[(arm, what is claimed of its teacher and student)] of every arm across modalities; largest first."""
    students = set(table[table["role"] == "student"]["arm"])
    found = []
    for arm in (name for name in ACROSS if name in students):
        some = []
        names = {arm: f"the {views[arm]} teacher", "um_kd": f"the {student} teacher"}
        if "um_kd" in students and "um_kd" in set(table[table["role"] == "teacher"]["arm"]):
            some.append(claim(table, arm, "um_kd", role="teacher", names=names))
        whose = {arm: "its student", "um_kd": "unimodal KD's", "no_kd": "no KD's"}
        some += [claim(table, arm, c, names=whose) for c in ("um_kd", "no_kd") if c in students]
        found.append((arm, some))
    return found


def outcome(some: Sequence[Claim]) -> str:
    """What an arm's claims say together of the failure case; '' where there is nothing to say."""
    teacher = next((one for one in some if one.role == "teacher"), None)
    over = next((one for one in some if one.role == "student" and one.control == "um_kd"), None)
    if teacher is None or over is None:
        return "no test of the failure case, which needs unimodal KD"
    if over.found.n < 2:
        return "no conclusion, since one seed has no interval"
    if teacher.side > 0:
        return {
            1: "the stronger teacher made the better student",
            0: "no gain over the weaker teacher is shown",
            -1: "a failure case, the stronger teacher made the worse student",
        }[over.side]
    if teacher.side < 0 < over.side:
        return "the weaker teacher made the better student"
    return "no test of the failure case, since its teacher is not shown to be the stronger one"


def verdict(table: pd.DataFrame, *, student: str, views: Mapping[str, str]) -> str:
    """One sentence with every number it rests on; `views` says what each arm's teacher sees."""
    metric, n = primary_metric(table), table["seed"].nunique()
    lead = f"On {table['dataset'].iloc[0]} ({student} student, {n} seed{'s' if n > 1 else ''}, test {metric})"
    clauses = []
    for arm, some in claims(table, student=student, views=views):
        said = [f"{c.name(c.treated)} {c.text()}" for c in some if c.role == "teacher"]
        taught = [c.text() for c in some if c.role == "student"]
        said += [f"its student {' and '.join(taught)}"] if taught else []
        if said:
            clauses.append(f"{label(arm)}: {', '.join(said)}; {outcome(some)}")
    if clauses:
        return f"{lead}, in points. {'. '.join(clauses)}."
    return sentence(lead, _without(table)) if _without(table) else f"{lead}, nothing is compared."


def title(table: pd.DataFrame, *, student: str) -> str:
    """The largest shown difference from unimodal KD, or from no KD where there is none."""
    lead, students = (
        f"{table['dataset'].iloc[0]}, {student} student",
        set(table[table["role"] == "student"]["arm"]),
    )
    control = "um_kd" if "um_kd" in students else "no_kd"
    others = [arm for arm in dict.fromkeys(table["arm"]) if arm in students - {control, "no_kd"}]
    return headline(lead, [claim(table, arm, control) for arm in others] if control in students else [])


def _without(table: pd.DataFrame) -> list[Claim]:
    students = list(dict.fromkeys(table[table["role"] == "student"]["arm"]))
    return [claim(table, arm, students[0]) for arm in students[1:]]
